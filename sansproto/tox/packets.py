"""Every packet of Tox between two friends and their relays, declared once: docs/protocols/tox.rst, packets.

Numbers are big-endian. Values that only their sender reads (numbers of cookies and pings) are 8 opaque bytes.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from ..errors import Fault, WireError
from ..wire import (
    U8,
    U16BE,
    U32BE,
    U64BE,
    U64LE,
    Bytes,
    Fixed,
    InRange,
    OneOf,
    Packet,
    Rest,
    by_id,
    const,
    field,
    packet,
)

KEY_SIZE: Final = 32
"""Bytes of every key, public or secret."""

NONCE_SIZE: Final = 24
"""Bytes of a nonce: one big-endian number."""

MAC_SIZE: Final = 16
"""Bytes by which what is sealed is longer than its clear text. The MAC comes first."""

MAX_PACKET: Final = 1400
"""Bytes of the largest packet, by UDP or through a relay."""

MAX_PAYLOAD: Final = 1373
"""Bytes of the largest payload of a Data packet, its id included."""

COOKIE_SIZE: Final = 112

_KEY: Final = Fixed(KEY_SIZE)
_NONCE: Final = Fixed(NONCE_SIZE)
_NUMBER: Final = Fixed(8)


def _sealed(size: int) -> Fixed:
    return Fixed(size + MAC_SIZE)


# -- between two nodes -------------------------------------------------------------------------------------------------


@packet(id=0x18)
class CookieRequest(Packet):
    """I want to talk to you: show me that you are there."""

    dht_key: bytes = field(_KEY, "the sender's DHT key")
    nonce: bytes = field(_NONCE)
    sealed: bytes = field(_sealed(72), "CookieRequestBody, between both DHT keys", sealed=True)


@packet
class CookieRequestBody(Packet):
    real_key: bytes = field(_KEY, "the sender's real key")
    unused: bytes = field(_KEY, "sent as zero, not looked at")
    number: bytes = field(_NUMBER, "comes back in the answer")


@packet(id=0x19)
class CookieResponse(Packet):
    """The answer to a CookieRequest."""

    nonce: bytes = field(_NONCE)
    sealed: bytes = field(_sealed(120), "CookieResponseBody, between both DHT keys", sealed=True)


@packet
class CookieResponseBody(Packet):
    cookie: bytes = field(Fixed(COOKIE_SIZE), "Cookie, opaque to whoever gets it")
    number: bytes = field(_NUMBER, "that of the CookieRequest")


@packet
class Cookie(Packet):
    """What a handshake has to hold. Only its issuer reads it."""

    nonce: bytes = field(_NONCE)
    sealed: bytes = field(_sealed(72), "CookieBody, under a secret of the issuer", sealed=True)


@packet
class CookieBody(Packet):
    time: int = field(U64LE, "seconds by the issuer's own clock")
    real_key: bytes = field(_KEY, "of the one to whom it was issued")
    dht_key: bytes = field(_KEY, "of the same")


@packet(id=0x1A)
class Handshake(Packet):
    """Keys for a session."""

    cookie: bytes = field(Fixed(COOKIE_SIZE), "issued by the receiver of this packet")
    nonce: bytes = field(_NONCE)
    sealed: bytes = field(_sealed(232), "HandshakeBody, between both real keys", sealed=True)


@packet
class HandshakeBody(Packet):
    base_nonce: bytes = field(_NONCE, "of the first Data packet of the sender of this packet")
    session_key: bytes = field(_KEY, "the sender's public key of this session")
    cookie_hash: bytes = field(Fixed(64), "SHA-512 of the cookie outside")
    other_cookie: bytes = field(Fixed(COOKIE_SIZE), "issued by the sender: with it the receiver can answer")


@packet(id=0x1B)
class Data(Packet):
    """Everything under a session."""

    tail: int = field(U16BE, "the last two bytes of the nonce")
    sealed: bytes = field(
        Rest(MAX_PACKET - 3, min=MAC_SIZE + 9), "DataBody, between both keys of the session", sealed=True
    )


@packet
class DataBody(Packet):
    buffer_start: int = field(U32BE, "the lossless packet that the sender waits for next")
    number: int = field(U32BE, "of this lossless packet; with others that of the sender's next lossless packet")
    padded: bytes = field(Rest(MAX_PACKET - 27, min=1), "zeros, then the payload, whose first byte is its id")


@packet(id=0x00)
class DhtPing(Packet):
    """Are you there? The one packet of the DHT that is needed here."""

    dht_key: bytes = field(_KEY, "the sender's DHT key")
    nonce: bytes = field(_NONCE)
    sealed: bytes = field(_sealed(9), "DhtPingBody, between both DHT keys", sealed=True)


@packet
class DhtPingBody(Packet):
    kind: bytes = const(b"\0")
    number: bytes = field(_NUMBER, "comes back in the answer")


@packet(id=0x01)
class DhtPong(Packet):
    """The answer to a DhtPing."""

    dht_key: bytes = field(_KEY, "the sender's DHT key")
    nonce: bytes = field(_NONCE)
    sealed: bytes = field(_sealed(9), "DhtPongBody, between both DHT keys", sealed=True)


@packet
class DhtPongBody(Packet):
    kind: bytes = const(b"\1")
    number: bytes = field(_NUMBER, "that of the DhtPing")


Datagram: TypeAlias = DhtPing | DhtPong | CookieRequest | CookieResponse | Handshake | Data

DATAGRAM: Final = OneOf[Datagram](U8, by_id(*Datagram.__args__))
"""All packets that are looked at, by their first byte; others belong to parts of Tox that are not spoken here."""


# -- payloads of Data --------------------------------------------------------------------------------------------------

REQUEST: Final = 1
"""The id of a list of missing packets: docs/protocols/tox.rst, request lists."""
KILL: Final = 2
"""The id of the end of a session."""
LOSSLESS: Final = range(16, 192)
"""Ids of packets that arrive once and in order."""
LOSSY: Final = range(192, 255)
"""Ids of packets that may be lost."""
CUSTOM_LOSSLESS: Final = range(160, 192)
"""Ids of lossless packets that are the application's."""
CUSTOM_LOSSY: Final = range(200, 255)
"""Ids of lossy packets that are the application's."""


@packet(id=16)
class Alive(Packet):
    """The friend is there; at least each 8 seconds."""


@packet(id=17)
class ShareRelays(Packet):
    """Relays on which the sender can be met."""

    nodes: bytes = field(Rest(MAX_PAYLOAD - 1), "packed nodes, at most 3")


@packet(id=18)
class FriendRequest(Packet):
    """Somebody asks to become a friend."""

    nospam: int = field(U32BE, "out of the receiver's Tox ID")
    message: bytes = field(Rest(MAX_PAYLOAD - 5), "UTF-8")


@packet(id=24)
class Online(Packet):
    """From now on I listen."""


@packet(id=25)
class Offline(Packet):
    """I do not listen any more."""


@packet(id=48)
class Name(Packet):
    name: bytes = field(Rest(128), "UTF-8")


@packet(id=49)
class StatusMessage(Packet):
    message: bytes = field(Rest(1007), "UTF-8")


@packet(id=50)
class Status(Packet):
    status: int = field(U8, "0 none, 1 away, 2 busy")


@packet(id=51)
class Typing(Packet):
    typing: int = field(U8, "1: the friend types")


@packet(id=64)
class Message(Packet):
    text: bytes = field(Rest(MAX_PAYLOAD - 1), "UTF-8")


@packet(id=65)
class Action(Packet):
    text: bytes = field(Rest(MAX_PAYLOAD - 1), "UTF-8")


@packet(id=80)
class FileRequest(Packet):
    """The sender offers a file."""

    file: int = field(U8, "its number among the sender's files")
    kind: int = field(U32BE, "0 data, 1 avatar")
    size: int = field(U64BE, "in bytes; all ones: not known")
    file_id: bytes = field(Fixed(32))
    name: bytes = field(Rest(255), "UTF-8")


@packet(id=81)
class FileControl(Packet):
    sending: int = field(U8, "0: of a file that the sender of this receives; 1: of one that it sends")
    file: int = field(U8)
    control: int = field(U8, "0 accept, 1 pause, 2 kill, 3 seek")
    position: bytes = field(Rest(8), "with seek: 8 bytes, from where on")


@packet(id=82)
class FileData(Packet):
    file: int = field(U8)
    data: bytes = field(Rest(MAX_PAYLOAD - 2), "a piece; one of less than 1371 bytes ends the file")


Friend: TypeAlias = (
    Alive
    | ShareRelays
    | FriendRequest
    | Online
    | Offline
    | Name
    | StatusMessage
    | Status
    | Typing
    | Message
    | Action
    | FileRequest
    | FileControl
    | FileData
)

FRIEND: Final = OneOf[Friend](U8, by_id(*Friend.__args__))
"""What friends say to each other, by its id."""


# -- nodes, as ShareRelays holds them ----------------------------------------------------------------------------------


@packet(id=0x02)
class UdpV4(Packet):
    address: bytes = field(Fixed(4))
    port: int = field(U16BE)
    key: bytes = field(_KEY, "the node's DHT key")


@packet(id=0x0A)
class UdpV6(Packet):
    address: bytes = field(Fixed(16))
    port: int = field(U16BE)
    key: bytes = field(_KEY, "the node's DHT key")


@packet(id=0x82)
class TcpV4(Packet):
    address: bytes = field(Fixed(4))
    port: int = field(U16BE)
    key: bytes = field(_KEY, "the relay's DHT key")


@packet(id=0x8A)
class TcpV6(Packet):
    address: bytes = field(Fixed(16))
    port: int = field(U16BE)
    key: bytes = field(_KEY, "the relay's DHT key")


PackedNode: TypeAlias = UdpV4 | UdpV6 | TcpV4 | TcpV6

NODE: Final = OneOf[PackedNode](U8, by_id(*PackedNode.__args__))
"""A node with its address, by the kind of address."""


# -- the stream to a relay ---------------------------------------------------------------------------------------------

MAX_FRAME: Final = 2048
"""Bytes of the largest sealed frame."""

MAX_OOB: Final = 1024
"""Bytes of the largest packet to a client by its key."""

MAX_RELAYED: Final = MAX_FRAME - MAC_SIZE - 1
"""Bytes of the largest packet to a linked client."""

FIRST_ID: Final = 16
"""The lowest id of a connection at a relay; the highest is 255."""

MAX_IDS: Final = 256 - FIRST_ID
"""Connections that one client has at a relay, at most."""


@packet
class RelayHello(Packet):
    """The first 128 bytes, a client's."""

    key: bytes = field(_KEY, "the client's DHT key")
    nonce: bytes = field(_NONCE)
    sealed: bytes = field(_sealed(56), "RelayKeys, between both DHT keys", sealed=True)


@packet
class RelayAnswer(Packet):
    """The first 96 bytes, the relay's."""

    nonce: bytes = field(_NONCE)
    sealed: bytes = field(_sealed(56), "RelayKeys, between both DHT keys", sealed=True)


@packet
class RelayKeys(Packet):
    key: bytes = field(_KEY, "the sender's public key of this stream")
    base_nonce: bytes = field(_NONCE, "of the sender's first frame")


@packet
class RelayFrame(Packet):
    """Everything behind the handshake. A frame without content is passed over."""

    sealed: bytes = field(Bytes(U16BE, max=MAX_FRAME), "Relayed, between both keys of this stream")


@packet(id=0)
class RoutingRequest(Packet):
    """The client wants to be linked with another one."""

    key: bytes = field(_KEY, "the other client's DHT key")


@packet(id=1)
class RoutingResponse(Packet):
    connection: int = field(U8, "its id from now on, 16 to 255; 0: refused")
    key: bytes = field(_KEY, "that of the RoutingRequest")


@packet(id=2)
class ConnectNotification(Packet):
    """Both ends asked for each other: they are linked."""

    connection: int = field(U8)


@packet(id=3)
class DisconnectNotification(Packet):
    """From a client: the id is free again. From a relay: the other end has left."""

    connection: int = field(U8)


@packet(id=4)
class RelayPing(Packet):
    number: bytes = field(_NUMBER, "comes back in the answer")


@packet(id=5)
class RelayPong(Packet):
    number: bytes = field(_NUMBER, "that of the RelayPing")


@packet(id=6)
class OobSend(Packet):
    """For a client by its key, linked or not."""

    key: bytes = field(_KEY, "the receiver's DHT key")
    data: bytes = field(Rest(MAX_OOB, min=1))


@packet(id=7)
class OobReceived(Packet):
    key: bytes = field(_KEY, "the sender's DHT key")
    data: bytes = field(Rest(MAX_OOB, min=1))


Control: TypeAlias = (
    RoutingRequest
    | RoutingResponse
    | ConnectNotification
    | DisconnectNotification
    | RelayPing
    | RelayPong
    | OobSend
    | OobReceived
)

CONTROL: Final = OneOf[Control](U8, by_id(*Control.__args__))
"""Frames whose first byte is no id of a connection."""


@packet
class Relayed(Packet):
    """For a linked client, or from one."""

    connection: int = field(InRange(U8, FIRST_ID, 255), "its id at this relay")
    data: bytes = field(Rest(MAX_RELAYED), "a packet; nothing is never sent")


def decode_frame(clear: bytes) -> Control | Relayed:
    """What was in a frame, by its first byte. Raises WireError."""
    if not clear:
        raise WireError(Fault.TRUNCATED, need=1)
    return Relayed.decode(clear) if clear[0] >= FIRST_ID else CONTROL.decode(clear)


def encode_frame(packet: Control | Relayed) -> bytes:
    return packet.encode() if isinstance(packet, Relayed) else CONTROL.encode(packet)
