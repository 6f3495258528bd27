"""What nodes say to each other, as packets: docs/protocols/overte.rst, payloads.

Here are messages, identities, wishes and moderation, and a table of all payloads with how each of them is sent; those
of avatars and audio have modules of their own. A payload is what ``send_to_node`` takes and ``PacketReceived`` has;
``DomainClient.send`` and ``DomainClient.read`` do both. What is packed is little-endian, but for identities.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntFlag
from typing import Final, TypeAlias

from ..errors import Fault
from ..wire import (
    ABSENT,
    BOOL,
    F32LE,
    I32BE,
    I32LE,
    U16LE,
    U32BE,
    U32LE,
    Absent,
    Bytes,
    Nested,
    Packet,
    Text,
    TextToEnd,
    Trailing,
    by_id,
    const,
    field,
    packet,
)
from .audio import (
    AudioEnvironment,
    AudioStreamStats,
    InjectorGainSet,
    MicrophoneAudioNoEcho,
    MicrophoneAudioWithEcho,
    MixedAudio,
    MuteEnvironment,
    NegotiateAudioFormat,
    NoisyMute,
    PerAvatarGainSet,
    SelectedAudioFormat,
    SilentAudioFrame,
)
from .avatars import (
    VIEWS,
    AvatarData,
    AvatarQuery,
    BulkAvatarData,
    BulkAvatarTraits,
    BulkAvatarTraitsAck,
    KillAvatar,
    SetAvatarTraits,
    TraitOverride,
    View,
)
from .header import MAX_SEQUENCE, Datagram
from .packets import PACKETS, OvertePacket
from .qt import QSTRING, UUID, ToEnd
from .versions import PacketType, VersionTable

MAX_MESSAGE: Final = 1 << 20
"""Bytes of the largest message that is read."""

MAX_CHANNEL: Final = 0xFFFF
"""Bytes of the longest name of a channel."""

MAX_IDENTITIES: Final = 1024
"""The most identities in one message."""

MAX_IGNORED: Final = 4096
"""The most nodes in one list of those who are ignored."""

_WITHOUT_ATTACHMENTS: Final = 55
"""The version of identities from which on they have none."""


# -- messages ----------------------------------------------------------------------------------------------------------


@packet(id=PacketType.MESSAGES_SUBSCRIBE.value)
class MessagesSubscribe(Packet):
    """Subscribe to a channel, until the mixer is gone: send it on each ``NodeActivated`` of the mixer."""

    channel: str = field(TextToEnd(MAX_CHANNEL), "case counts")


@packet(id=PacketType.MESSAGES_UNSUBSCRIBE.value)
class MessagesUnsubscribe(MessagesSubscribe):
    pass


@packet(id=PacketType.MESSAGES_DATA.value)
class MessagesData(Packet):
    """A message to all who subscribed to the channel, also to its sender. ``sender`` is a claim, which the mixer passes
    on unchecked. Text that is passed on ends at a NUL, and bad UTF-8 in it is replaced."""

    channel: str = field(Text(U16LE, max=MAX_CHANNEL))
    is_text: bool = field(BOOL, "the data are UTF-8")
    data: bytes = field(Bytes(U32LE, max=MAX_MESSAGE))
    sender: bytes | Absent = field(Trailing(UUID), "a claim, not checked; the null id if it is absent", default=ABSENT)

    @property
    def text(self) -> str:
        """The data as text; bytes that are not UTF-8 are replaced."""
        return self.data.decode("utf-8", "replace")

    @classmethod
    def of_text(cls, channel: str, text: str, sender: bytes) -> MessagesData:
        """A text for a channel. ``sender`` is our session UUID."""
        return cls(channel, True, text.encode(), sender)


# -- identities --------------------------------------------------------------------------------------------------------


class IdentityFlags(IntFlag):
    """The bits of an identity's ``flags``."""

    REPLICATED = 1
    """The avatar comes from another domain."""
    LOOK_AT_SNAPPING = 2
    """Its eyes follow those of others. On by default."""
    VERIFICATION_FAILED = 4
    """It wears something that its owner has no right to."""


@packet
class Identity(Packet):
    """Who an avatar is. The mixer ignores the id and the session's name that a sender gives.

    ``sequence`` has to be newer than every one that the mixer sent about this avatar, and the mixer raises it by
    itself. :func:`next_identity` gives it.
    """

    id: bytes = field(UUID, "the session UUID of its node")
    sequence: int = field(I32BE, "27 bits, which go round")
    name: str | None = field(QSTRING, "as it calls itself")
    session_name: str | None = field(QSTRING, "the same, and different from all others here; empty from agents")
    flags: int = field(U32BE, "bits of IdentityFlags")


@packet(id=PacketType.AVATAR_IDENTITY.value)
class AvatarIdentity(Packet):
    avatars: tuple[Identity, ...] = field(ToEnd(Nested(Identity), max=MAX_IDENTITIES))


@packet
class IdentityBefore55(Packet):
    """The same in tables with a lower version. It could have attachments, which are not spoken here."""

    id: bytes = field(UUID, "the session UUID of its node")
    sequence: int = field(I32BE, "27 bits, which go round")
    attachments: bytes = const(bytes(4), "how many: none", fault=Fault.UNSUPPORTED)
    name: str | None = field(QSTRING, "as it calls itself")
    session_name: str | None = field(QSTRING, "the same, and different from all others here; empty from agents")
    flags: int = field(U32BE, "bits of IdentityFlags")


@packet(id=PacketType.AVATAR_IDENTITY.value)
class AvatarIdentityBefore55(Packet):
    """What :class:`AvatarIdentity` is in tables where its version is below 55."""

    avatars: tuple[IdentityBefore55, ...] = field(ToEnd(Nested(IdentityBefore55), max=MAX_IDENTITIES))


def next_identity(*known: int) -> int:
    """The sequence of a changed identity: one more than our last one and all that the mixer told about us."""
    newest = known[0]
    for other in known[1:]:
        if 0 < (other - newest) & MAX_SEQUENCE <= MAX_SEQUENCE // 2:
            newest = other
    return (newest + 1) & MAX_SEQUENCE


# -- moderation and wishes ---------------------------------------------------------------------------------------------


@packet(id=PacketType.NODE_MUTE_REQUEST.value)
class NodeMuteRequest(Packet):
    """Needs the permission to kick: the audio mixer tells the node to mute."""

    id: bytes = field(UUID)


@packet(id=PacketType.NODE_IGNORE_REQUEST.value)
class NodeIgnoreRequest(Packet):
    """Ignore nodes. Sent to both mixers, the nodes and we neither hear nor see each other. Sent to the audio mixer
    alone, it only mutes them for us."""

    is_on: bool = field(BOOL)
    ids: tuple[bytes, ...] = field(ToEnd(UUID, max=MAX_IGNORED))


@packet(id=PacketType.RADIUS_IGNORE_REQUEST.value)
class RadiusIgnoreRequest(Packet):
    """Our bubble: a node that comes too near vanishes, for both sides. Send it to both mixers, on each activation."""

    is_on: bool = field(BOOL)


@packet(id=PacketType.REQUESTS_DOMAIN_LIST_DATA.value)
class RequestsDomainListData(Packet):
    """Ask the avatar mixer for avatars that are ignored, or out of view, too."""

    is_on: bool = field(BOOL)


@packet(id=PacketType.ENTITY_QUERY.value)
class EntityQuery(Packet):
    """Which entities we want to have. Without a query the entity server sends nothing."""

    connection_id: int = field(U16LE, "anything; one more with each session")
    views: tuple[View, ...] = field(VIEWS, "none: all entities")
    packets_per_second: int = field(I32LE, "at most")
    size_scale: float = field(F32LE)
    level_adjust: int = field(I32LE)
    filter: bytes = field(Bytes(U16LE, max=0xFFFF), "JSON, in Qt's binary form or, from version 24 on, CBOR")
    flags: int = field(U16LE, "1: tell when all is there")


_OfType: TypeAlias = (
    MessagesData
    | MessagesSubscribe
    | MessagesUnsubscribe
    | AvatarIdentity
    | AvatarData
    | BulkAvatarData
    | KillAvatar
    | AvatarQuery
    | SetAvatarTraits
    | BulkAvatarTraits
    | BulkAvatarTraitsAck
    | NegotiateAudioFormat
    | SelectedAudioFormat
    | MicrophoneAudioNoEcho
    | MicrophoneAudioWithEcho
    | SilentAudioFrame
    | MixedAudio
    | AudioEnvironment
    | AudioStreamStats
    | NoisyMute
    | MuteEnvironment
    | PerAvatarGainSet
    | InjectorGainSet
    | NodeMuteRequest
    | NodeIgnoreRequest
    | RadiusIgnoreRequest
    | RequestsDomainListData
    | EntityQuery
)

Payload: TypeAlias = _OfType | TraitOverride

PAYLOADS: Final[dict[int, type[_OfType]]] = by_id(*_OfType.__args__)
"""The payloads by the numbers of their types. The type of :class:`SetAvatarTraits` is that of :class:`TraitOverride`,
too."""

DATAGRAM: Final = Datagram({**PACKETS, **PAYLOADS})
"""Any datagram, for dissection, with what nodes say to each other: ``DATAGRAM.dissect(data)``."""


# -- how they are sent -------------------------------------------------------------------------------------------------


class Delivery(Enum):
    """How a payload goes to a node."""

    ONCE = 0
    """In a datagram that may be lost."""
    RELIABLE = 1
    """In one that is sent until it arrives."""
    MESSAGE = 2
    """Reliably, in as many datagrams as it needs."""


_MESSAGES: Final = frozenset(
    {
        MessagesData,
        MessagesSubscribe,
        MessagesUnsubscribe,
        AvatarIdentity,
        SetAvatarTraits,
        TraitOverride,
        BulkAvatarTraits,
    }
)
_RELIABLE: Final = frozenset(
    {
        BulkAvatarTraitsAck,
        InjectorGainSet,
        KillAvatar,
        NodeMuteRequest,
        PerAvatarGainSet,
        RadiusIgnoreRequest,
        RequestsDomainListData,
    }
)


def delivery_of(payload: Payload) -> Delivery:
    """How the reference sends this payload."""
    kind = type(payload)
    if isinstance(payload, NodeIgnoreRequest):
        return Delivery.RELIABLE if len(payload.ids) == 1 else Delivery.MESSAGE
    if kind in _MESSAGES:
        return Delivery.MESSAGE
    return Delivery.RELIABLE if kind in _RELIABLE else Delivery.ONCE


# -- layouts that follow the table of versions -------------------------------------------------------------------------


def encode(payload: Payload, versions: VersionTable) -> bytes:
    """A payload as peers with this table of versions read it. Raises WireError for values that cannot be sent."""
    if isinstance(payload, AvatarIdentity) and _has_attachments(versions):
        avatars = (
            IdentityBefore55(one.id, one.sequence, one.name, one.session_name, one.flags) for one in payload.avatars
        )
        return AvatarIdentityBefore55(tuple(avatars)).encode()
    return payload.encode()


def decode(
    type: PacketType, payload: bytes, versions: VersionTable, *, for_agent: bool = False
) -> tuple[Payload | None, int]:
    """A payload as peers with this table of versions write it, and how many bytes it has: the rest is ignored.

    ``for_agent``: an agent received it, to whom :class:`SetAvatarTraits` is :class:`TraitOverride`. None for types that
    are not in :data:`PAYLOADS`. Raises WireError if it does not decode as its type.
    """
    kind = PAYLOADS.get(type.value)
    if kind is None:
        return None, len(payload)
    if kind is AvatarIdentity and _has_attachments(versions):
        older, end = AvatarIdentityBefore55.decode_prefix(payload)
        avatars = (Identity(one.id, one.sequence, one.name, one.session_name, one.flags) for one in older.avatars)
        return AvatarIdentity(tuple(avatars)), end
    if kind is SetAvatarTraits and for_agent:
        return TraitOverride.decode_prefix(payload)
    return kind.decode_prefix(payload)


def _has_attachments(versions: VersionTable) -> bool:
    return versions[PacketType.AVATAR_IDENTITY] < _WITHOUT_ATTACHMENTS


TYPES: Final[Mapping[type[Packet], PacketType]] = {
    TraitOverride: PacketType.SET_AVATAR_TRAITS,
    **{kind: next(one for one in PacketType if one.value == number) for number, kind in PAYLOADS.items()},
}
"""The types of payloads."""

AnyPacket: TypeAlias = OvertePacket | Payload
