"""Every packet of the domain flow, declared once: docs/protocols/overte.rst, packets.

These are payloads; :mod:`.header` says what stands in front of them. The names of the reference are kept, without
"Domain" and "Server" where nothing else has the name. Ids are 16 bytes, clocks microseconds since 1970.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final, TypeAlias

from ..wire import (
    ABSENT,
    BOOL,
    I64LE,
    U8,
    U16BE,
    U16LE,
    U32BE,
    U32LE,
    U64BE,
    U64LE,
    Absent,
    Nested,
    Packet,
    Rest,
    Text,
    Trailing,
    by_id,
    field,
    packet,
)
from .header import MAX_DATAGRAM, Datagram
from .qt import QBYTEARRAY, QSTRING, SOCK_ADDR, TYPED_SOCK_ADDR, U8_LIST, UUID, WRITE_BYTES, OpenEnum, SockAddr, ToEnd
from .versions import PacketType

MAX_SETTINGS: Final = 1 << 20
"""Bytes of the largest settings text that is read."""

MAX_NODES: Final = 64
"""The most nodes in one datagram of a domain list; more than 28 do not fit into one of the reference's."""

_TEXT: Final = Text(U16LE, max=MAX_DATAGRAM)


class NodeType(IntEnum):
    """What a node does. Where a packet has another value, it is kept as the number that it is."""

    UNASSIGNED = 0x01
    """An assignment client without an assignment."""
    ASSET_SERVER = ord("A")
    """Stores files."""
    UPSTREAM_AUDIO_MIXER = ord("B")
    """The audio mixer of a domain that this one replicates."""
    UPSTREAM_AVATAR_MIXER = ord("C")
    """The avatar mixer of a domain that this one replicates."""
    DOMAIN_SERVER = ord("D")
    """The domain itself."""
    AGENT = ord("I")
    """A user's client, or a script that acts like one."""
    AUDIO_MIXER = ord("M")
    """Mixes what is heard."""
    ENTITY_SCRIPT_SERVER = ord("S")
    """Runs the server-side scripts of entities."""
    AVATAR_MIXER = ord("W")
    """Passes avatars on."""
    DOWNSTREAM_AUDIO_MIXER = ord("a")
    """The audio mixer of a domain to which this one is replicated."""
    MESSAGES_MIXER = ord("m")
    """Passes messages between scripts on."""
    ENTITY_SERVER = ord("o")
    """Keeps the entities."""
    DOWNSTREAM_AVATAR_MIXER = ord("w")
    """The avatar mixer of a domain to which this one is replicated."""


class ConnectReason(IntEnum):
    """Why a client connects."""

    CONNECT = 0
    """The user wants to."""
    SILENT_DOMAIN_DISCONNECT = 1
    """The domain left too many check-ins unanswered."""
    AWAKE = 2
    """The machine had slept."""


class PingType(IntEnum):
    """Over which of the receiver's addresses a ping went."""

    AGNOSTIC = 0
    """It does not matter: the one that is known to work."""
    LOCAL = 1
    """The one in its own network."""
    PUBLIC = 2
    """The one for others."""
    SYMMETRIC = 3
    """The one from which it was heard, if that is neither of both."""


class AssignmentType(IntEnum):
    """Whose settings are asked for."""

    AUDIO_MIXER = 0
    """Of audio mixers."""
    AVATAR_MIXER = 1
    """Of avatar mixers."""
    AGENT = 2
    """Of agents."""
    ASSET_SERVER = 3
    """Of asset servers."""
    MESSAGES_MIXER = 4
    """Of messages mixers."""
    ENTITY_SCRIPT_SERVER = 5
    """Of entity script servers."""
    ENTITY_SERVER = 6
    """Of entity servers."""
    ALL = 7
    """Of all of them."""


STATIC: Final = frozenset(NodeType[kind.name] for kind in AssignmentType if kind.name not in ("AGENT", "ALL"))
"""The types of which a domain has one each; they come by assignment only."""


class Permissions(IntFlag):
    """The bits of ``permissions``, which packets have as a number: any 32 bits are kept."""

    CONNECT = 1
    """Come in."""
    ADJUST_LOCKS = 2
    """Lock and unlock entities."""
    REZ = 4
    """Create entities that stay."""
    REZ_TEMPORARY = 8
    """Create entities that are gone after a while."""
    WRITE_ASSETS = 16
    """Store files at the asset server."""
    PAST_CAPACITY = 32
    """Come in when it is full."""
    KICK = 64
    """Throw others out."""
    REPLACE_CONTENT = 128
    """Replace all entities at once."""
    PRIVATE_USER_DATA = 1024
    """See and set the private data of entities."""
    REZ_AVATAR_ENTITIES = 2048
    """Wear entities."""
    VIEW_ASSET_URLS = 4096
    """See from where entities are loaded."""


class Ban(IntFlag):
    """By what somebody who is kicked stays outside."""

    NAME = 1
    """The verified username."""
    MACHINE = 2
    """The fingerprint of the machine."""
    HOST = 4
    """The address."""


USUAL_BAN: Final = int(Ban.NAME | Ban.MACHINE)
"""By what is usually banned: what the older form of a kick request means, which does not say it."""


class DenialReason(IntEnum):
    """Why a domain server refuses a client."""

    UNKNOWN = 0
    """Never sent, as far as known."""
    PROTOCOL_MISMATCH = 1
    """The version byte or the signature of the protocol differs."""
    LOGIN_ERROR_DIRECTORY = 2
    """The signature of the username is wrong, or the key unfit."""
    NOT_AUTHORIZED_DIRECTORY = 3
    """No permission to connect; an account of the directory service may have it."""
    TOO_MANY_USERS = 4
    """It is full; ``extra`` says where else to go."""
    TIMED_OUT = 5
    """Never sent by a server: the reference's client says it."""
    LOGIN_ERROR_DOMAIN = 6
    """An account of the domain's own was not verified."""
    NOT_AUTHORIZED_DOMAIN = 7
    """No permission to connect; ``extra`` says where to log in with the domain."""

    @property
    def hard(self) -> bool:
        """Whether asking again is of no use before something changes."""
        return self not in (DenialReason.UNKNOWN, DenialReason.LOGIN_ERROR_DIRECTORY, DenialReason.LOGIN_ERROR_DOMAIN)


_NODE_TYPE: Final = OpenEnum(U8, NodeType)
_PING_TYPE: Final = OpenEnum(U8, PingType)


# -- client and domain server ------------------------------------------------------------------------------------------


@packet
class CheckIn(Packet):
    """What a client tells of itself with every check-in, connected or not."""

    client_clock: int = field(U64BE)
    node_type: int = field(_NODE_TYPE)
    public_socket: SockAddr = field(TYPED_SOCK_ADDR, "a null address: take the one that this came from")
    local_socket: SockAddr = field(TYPED_SOCK_ADDR)
    interests: bytes = field(U8_LIST, "node types, in any order")
    place_name: str | None = field(QSTRING)


@packet(id=PacketType.DOMAIN_CONNECT_REQUEST.value)
class DomainConnectRequest(Packet):
    connect_id: bytes = field(UUID, "of the assignment, or of the ICE client if ICE led here; else null")
    protocol_signature: bytes = field(WRITE_BYTES, "16 bytes")
    hardware_address: str | None = field(QSTRING, "of the network interface; newer clients send null")
    machine_fingerprint: bytes = field(UUID)
    system_info: bytes | None = field(QBYTEARRAY, "JSON, compressed")
    reason: int = field(OpenEnum(U32BE, ConnectReason))
    previous_uptime: int = field(U64BE, "microseconds of the previous connection, 0 the first time")
    check_in: CheckIn = field(Nested(CheckIn))
    username: str | None = field(QSTRING, "with directory services; null or empty: anonymous")
    username_signature: bytes | None = field(
        QBYTEARRAY, "empty if there is none; the reference then writes an empty string, which is no different"
    )
    domain_username: str | Absent | None = field(
        Trailing(QSTRING), "with the domain's own accounts; absent unless logged in there", default=ABSENT
    )
    domain_tokens: str | Absent | None = field(Trailing(QSTRING), "access:refresh", secret=True, default=ABSENT)


@packet(id=PacketType.DOMAIN_LIST_REQUEST.value)
class DomainListRequest(CheckIn):
    """The keep-alive of a client."""


@packet
class NodeRecord(Packet):
    """A node, as the domain server tells another one of it."""

    type: int = field(_NODE_TYPE)
    id: bytes = field(UUID)
    public_socket: SockAddr = field(TYPED_SOCK_ADDR, "a null address: the domain server's")
    local_socket: SockAddr = field(TYPED_SOCK_ADDR)
    permissions: int = field(U32BE)
    replicated: bool = field(BOOL)
    local_id: int = field(U16BE)
    secret: bytes = field(UUID, "which the receiver and this node have in common; null: none", secret=True)


@packet(id=PacketType.DOMAIN_LIST.value)
class DomainList(Packet):
    """One datagram of a list; each of them stands for itself."""

    domain_id: bytes = field(UUID)
    domain_local_id: int = field(U16BE)
    session_id: bytes = field(UUID, "the receiver's")
    local_id: int = field(U16BE, "the receiver's")
    permissions: int = field(U32BE, "the receiver's")
    authenticated: bool = field(BOOL, "whether packets between nodes have a MAC")
    client_clock: int = field(U64BE, "of the request that this answers")
    server_clock: int = field(U64BE)
    processing_time: int = field(U64BE, "microseconds")
    new_connection: bool = field(BOOL, "whether it answers a connect request")
    nodes: tuple[NodeRecord, ...] = field(ToEnd(Nested(NodeRecord), max=MAX_NODES))


pack_list_head: Final = Struct(">16sH16sHI?QQQ?").pack
"""What stands in front of the records of a :class:`DomainList`, of its fields in order: for the server, which has the
records encoded already."""


@packet(id=PacketType.DOMAIN_SERVER_ADDED_NODE.value)
class AddedNode(NodeRecord):
    pass


@packet(id=PacketType.DOMAIN_SERVER_REMOVED_NODE.value)
class RemovedNode(Packet):
    id: bytes = field(UUID)


@packet(id=PacketType.DOMAIN_CONNECTION_DENIED.value)
class DomainConnectionDenied(Packet):
    reason: int = field(OpenEnum(U8, DenialReason))
    text: str = field(_TEXT, "for people")
    extra: str = field(_TEXT, "where else to go, or with whom to log in: URL, |, client id")


@packet(id=PacketType.DOMAIN_SERVER_CONNECTION_TOKEN.value)
class ConnectionToken(Packet):
    token: bytes = field(UUID)


@packet(id=PacketType.DOMAIN_DISCONNECT_REQUEST.value)
class DisconnectRequest(Packet):
    pass


@packet(id=PacketType.DOMAIN_SETTINGS_REQUEST.value)
class DomainSettingsRequest(Packet):
    type: int = field(OpenEnum(U8, AssignmentType))


@packet(id=PacketType.DOMAIN_SETTINGS.value)
class DomainSettings(Packet):
    json: bytes = field(Rest(MAX_SETTINGS))


@packet(id=PacketType.DOMAIN_SERVER_PATH_QUERY.value)
class PathQuery(Packet):
    path: str = field(_TEXT)


@packet(id=PacketType.DOMAIN_SERVER_PATH_RESPONSE.value)
class PathResponse(Packet):
    path: str = field(_TEXT, "as in the query")
    viewpoint: str = field(_TEXT)


@packet(id=PacketType.DOMAIN_SERVER_REQUIRE_DTLS.value)
class RequireDTLS(Packet):
    port: int = field(U16LE)


@packet(id=PacketType.USERNAME_FROM_ID_REQUEST.value)
class UsernameFromIDRequest(Packet):
    id: bytes = field(UUID)


@packet(id=PacketType.NODE_KICK_REQUEST.value)
class NodeKickRequest(Packet):
    id: bytes = field(UUID)
    ban_flags: int | Absent = field(Trailing(U32LE), "bits of Ban; absent in an older form", default=ABSENT)


@packet(id=PacketType.USERNAME_FROM_ID_REPLY.value)
class UsernameFromIDReply(Packet):
    id: bytes = field(UUID)
    username: str = field(Text(U32LE, max=MAX_DATAGRAM), "empty, as the next one, unless the asker may know it")
    fingerprint: bytes = field(UUID, "of its machine")
    may_kick: bool = field(BOOL, "the node that it is about")


# -- nodes -------------------------------------------------------------------------------------------------------------


@packet(id=PacketType.PING.value)
class Ping(Packet):
    type: int = field(_PING_TYPE)
    clock: int = field(U64LE, "the sender's")
    connection_id: int = field(I64LE, "how often the sender has dropped the receiver")


pack_clocks: Final = Struct("<Qq").pack
"""The fields of a :class:`Ping` behind its type, in order: for the client, which pings each of many nodes."""


@packet(id=PacketType.PING_REPLY.value)
class PingReply(Packet):
    type: int = field(_PING_TYPE, "as in the ping")
    pinged_clock: int = field(U64LE, "as in the ping")
    clock: int = field(U64LE, "the replier's")


# -- ICE ---------------------------------------------------------------------------------------------------------------


@packet(id=PacketType.ICE_PING.value)
class ICEPing(Packet):
    ice_id: bytes = field(UUID, "the sender's: its ICE client id, or the domain's id")
    type: int = field(_PING_TYPE)


@packet(id=PacketType.ICE_PING_REPLY.value)
class ICEPingReply(Packet):
    ice_id: bytes = field(UUID, "the replier's")
    type: int = field(_PING_TYPE, "as in the ping")


@packet(id=PacketType.ICE_SERVER_PEER_INFORMATION.value)
class ICEServerPeerInformation(Packet):
    id: bytes = field(UUID)
    public_socket: SockAddr = field(SOCK_ADDR)
    local_socket: SockAddr = field(SOCK_ADDR)


@packet(id=PacketType.ICE_SERVER_QUERY.value)
class ICEServerQuery(Packet):
    id: bytes = field(UUID, "the ICE client's")
    public_socket: SockAddr = field(SOCK_ADDR)
    local_socket: SockAddr = field(SOCK_ADDR)
    wanted: bytes = field(UUID, "whom it looks for")


@packet(id=PacketType.ICE_SERVER_HEARTBEAT.value)
class ICEServerHeartbeat(Packet):
    """A domain server says that it is there."""

    id: bytes = field(UUID, "the domain's")
    public_socket: SockAddr = field(SOCK_ADDR)
    local_socket: SockAddr = field(SOCK_ADDR)
    signature: bytes | None = field(QBYTEARRAY, "of the bytes in front of it, with the domain's RSA key")

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is for."""
        return ICEServerPeerInformation(self.id, self.public_socket, self.local_socket).encode()


@packet(id=PacketType.ICE_SERVER_HEARTBEAT_ACK.value)
class ICEServerHeartbeatACK(Packet):
    pass


@packet(id=PacketType.ICE_SERVER_HEARTBEAT_DENIED.value)
class ICEServerHeartbeatDenied(Packet):
    pass


OvertePacket: TypeAlias = (
    DomainConnectRequest
    | DomainListRequest
    | DomainList
    | AddedNode
    | RemovedNode
    | DomainConnectionDenied
    | ConnectionToken
    | DisconnectRequest
    | DomainSettingsRequest
    | DomainSettings
    | PathQuery
    | PathResponse
    | RequireDTLS
    | UsernameFromIDRequest
    | UsernameFromIDReply
    | NodeKickRequest
    | Ping
    | PingReply
    | ICEPing
    | ICEPingReply
    | ICEServerPeerInformation
    | ICEServerQuery
    | ICEServerHeartbeat
    | ICEServerHeartbeatACK
    | ICEServerHeartbeatDenied
)

PACKETS: Final[dict[int, type[OvertePacket]]] = by_id(*OvertePacket.__args__)
"""The payloads by the numbers of their types."""

DATAGRAM: Final = Datagram(PACKETS)
"""Any datagram, for dissection: ``DATAGRAM.dissect(data)``."""
