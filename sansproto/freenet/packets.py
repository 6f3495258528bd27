"""Every packet of Freenet's transport, declared once: docs/protocols/freenet.rst, packets.

What is sealed is written as bincode does it: integers are little-endian, counts and lengths have 64 bits, tags 32.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from struct import Struct
from typing import Final, TypeAlias

from ..contract import Address
from ..fair import address_bytes
from ..wire import (
    U8,
    U16BE,
    U16LE,
    U32LE,
    U64LE,
    Bytes,
    Fixed,
    ListOf,
    OneOf,
    Optional,
    Packet,
    Rest,
    Text,
    by_id,
    const,
    field,
    packet,
)

KEY_SIZE: Final = 16
"""Bytes of the key of a session, in one direction."""

NONCE_SIZE: Final = 12

TAG_SIZE: Final = 16
"""Bytes by which what is sealed is longer than its clear text."""

MAX_SENT: Final = 1200
"""Bytes of the largest datagram that is sent."""

MAX_RECEIVED: Final = 1500
"""Bytes of the largest datagram that is taken."""

OVERHEAD: Final = 1 + NONCE_SIZE + TAG_SIZE
"""Bytes by which a Symmetric is longer than its Clear."""

MAX_CLEAR: Final = MAX_SENT - OVERHEAD
"""Bytes of the largest Clear that is sent."""

MIN_CLEAR: Final = 16
"""Bytes of the smallest Clear: a NoOp without receipts."""

_MOST_CLEAR: Final = MAX_RECEIVED - OVERHEAD
_MOST_BODY: Final = _MOST_CLEAR - MIN_CLEAR

MAX_ACKED: Final = _MOST_BODY // 4
"""Receipts that fit into the largest datagram that is taken."""

MAX_SHORT: Final = 1106
"""Bytes of the largest payload that is sent as one ShortMessage; a larger one is a stream."""

FRAGMENT_SIZE: Final = MAX_CLEAR - MIN_CLEAR - 25
"""Bytes of a stream in each fragment but the last."""

LENGTH_SIZE: Final = 8
"""Bytes by which a payload is longer than the message in it."""

STREAM_OF_UPPER_LAYER: Final = 1 << 31
"""The bit of a stream's id that says: its bytes are not a message."""

_PUBLIC_KEY: Final = Fixed(32)
_KEY: Final = Fixed(KEY_SIZE)
_VERSION: Final = Fixed(8)


# -- datagrams ---------------------------------------------------------------------------------------------------------


@packet(id=0x01)
class Intro(Packet):
    """Somebody wants a session, and does not say who it is."""

    ephemeral: bytes = field(_PUBLIC_KEY, "a fresh public key of the sender")
    sealed: bytes = field(Fixed(24 + TAG_SIZE), "IntroBody", sealed=True)


@packet(id=0x02)
class Symmetric(Packet):
    """Everything else."""

    nonce: bytes = field(Fixed(NONCE_SIZE), "never the same under one key; its order means nothing")
    sealed: bytes = field(
        Rest(_MOST_CLEAR + TAG_SIZE, min=MIN_CLEAR + TAG_SIZE),
        "Clear, under a key that the receiver chose",
        sealed=True,
    )


Datagram: TypeAlias = Intro | Symmetric

DATAGRAM: Final = OneOf[Datagram](U8, by_id(*Datagram.__args__))
"""All datagrams, by their first byte."""

INTRO_SIZE: Final = 73

MIN_SYMMETRIC: Final = OVERHEAD + MIN_CLEAR
"""Bytes of the smallest Symmetric."""


@packet
class IntroBody(Packet):
    """What an intro says."""

    version: bytes = field(_VERSION, "VersionField or OldVersionField, of the sender")
    key: bytes = field(_KEY, "under which the sender wants to receive", secret=True)


@packet
class VersionField(Packet):
    """The version of a program, and the oldest one that it speaks to."""

    mark: bytes = const(b"\xff")
    major: int = field(U8)
    minor: int = field(U8)
    patch: int = field(U16BE)
    minimum: int = field(U16BE, "patch of the oldest version that it speaks to; major and minor are its own")
    form: int = field(U8, "1 is sent; 0 would make it an OldVersionField", default=1)


@packet
class OldVersionField(Packet):
    """A version of a program that says nothing about others: the first byte is not ff, or the last one is 0."""

    major: int = field(U8)
    minor: int = field(U8)
    patch: int = field(U8)
    flags: bytes = field(Fixed(5), "not looked at", default=bytes(5))


# -- the address of the other end --------------------------------------------------------------------------------------


@packet(id=0)
class AddressV4(Packet):
    host: bytes = field(Fixed(4))
    port: int = field(U16LE)


@packet(id=1)
class AddressV6(Packet):
    host: bytes = field(Fixed(16))
    port: int = field(U16LE)


Seen: TypeAlias = AddressV4 | AddressV6

SEEN: Final = OneOf[Seen](U32LE, by_id(AddressV4, AddressV6))


def seen_at(address: Address) -> Seen:
    """How a numeric address is told to its owner."""
    packed = address_bytes(address.host)
    return (AddressV4 if len(packed) == 4 else AddressV6)(packed, address.port)


def told_by(seen: Seen) -> Address:
    """The address that was told. IPv4 within IPv6 is IPv4."""
    host = ip_address(seen.host)
    return Address(str((host.ipv4_mapped if isinstance(host, IPv6Address) else None) or host), seen.port)


# -- what is sealed ----------------------------------------------------------------------------------------------------


@packet(id=0)
class Granted(Packet):
    key: bytes = field(_KEY, "under which the sender wants to receive", secret=True)
    address: Seen = field(SEEN, "of the receiver, as the sender sees it")


@packet(id=1)
class Refusal(Packet):
    reason: str = field(Text(U64LE, max=_MOST_BODY - 12), "for people; it names the version of the sender")


RESULT: Final = OneOf[Granted | Refusal](U32LE, by_id(Granted, Refusal))


@packet(id=0)
class AckConnection(Packet):
    """The answer to an intro, or to such an answer."""

    result: Granted | Refusal = field(RESULT)


@packet(id=1)
class ShortMessage(Packet):
    payload: bytes = field(Bytes(U64LE, max=_MOST_BODY - 8), "Message", secret=True)


@packet(id=2)
class StreamFragment(Packet):
    """A piece of a payload that is too large for a ShortMessage."""

    stream: int = field(U32LE, "its id; with the highest bit, its bytes are not a message")
    total: int = field(U64LE, "bytes of the whole stream")
    fragment: int = field(U32LE, "from 1")
    payload: bytes = field(Bytes(U64LE, max=_MOST_BODY - 25), "1130 bytes but in the last one", secret=True)
    metadata: bytes | None = field(
        Optional(Bytes(U64LE, max=_MOST_BODY - 33)), "in the first one, of the layer above", secret=True, default=None
    )


@packet(id=3)
class NoOp(Packet):
    """Nothing but receipts."""


@packet(id=4)
class Ping(Packet):
    sequence: int = field(U64LE, "comes back in the answer")


@packet(id=5)
class Pong(Packet):
    sequence: int = field(U64LE, "that of the Ping")


@packet(id=6)
class AckConnectionV2(Packet):
    """The answer to an intro whose sender has version 0.2.120 or later."""

    key: bytes = field(_KEY, "under which the sender wants to receive", secret=True)
    address: Seen = field(SEEN, "of the receiver, as the sender sees it")
    version: bytes = field(_VERSION, "VersionField or OldVersionField, of the sender")


Body: TypeAlias = AckConnection | ShortMessage | StreamFragment | NoOp | Ping | Pong | AckConnectionV2

BODY: Final = OneOf[Body](U32LE, by_id(*Body.__args__))
"""What a Clear holds, by its variant."""


@packet
class Clear(Packet):
    """What is sealed in a Symmetric. Bytes behind it are not looked at: :func:`read_clear`."""

    packet_id: int = field(U32LE, "of the packets of this direction; sent again, a packet keeps it")
    acked: tuple[int, ...] = field(ListOf(U32LE, U64LE, max=MAX_ACKED), "receipts: ids that have arrived")
    body: Body = field(BODY)


_FRAGMENT: Final = Struct("<IQIIQIQ")
_HEAD: Final = _FRAGMENT.size


def write_fragment(packet_id: int, stream: int, total: int, fragment: int, payload: bytes) -> bytes:
    """A Clear with a fragment, without receipts and metadata. (By hand: this is the bulk path.)"""
    return b"".join((_FRAGMENT.pack(packet_id, 0, 2, stream, total, fragment, len(payload)), payload, b"\0"))


def read_fragment(clear: bytes) -> tuple[int, int, int, int, bytes] | None:
    """What :func:`write_fragment` was given; None for everything else, which :func:`read_clear` reads."""
    if len(clear) > _HEAD:
        packet_id, acked, variant, stream, total, fragment, size = _FRAGMENT.unpack_from(clear)
        if variant == 2 and not acked and size + _HEAD + 1 == len(clear) and not clear[-1]:
            return packet_id, stream, total, fragment, clear[_HEAD:-1]
    return None


def read_clear(data: bytes) -> Clear:
    """What was sealed, with or without bytes behind it. Raises WireError."""
    found = read_fragment(data)
    if found is None:
        return Clear.decode_prefix(data)[0]
    packet_id, stream, total, fragment, payload = found
    return Clear(packet_id, (), StreamFragment(stream, total, fragment, payload))


@packet
class Message(Packet):
    """The payload of a ShortMessage or of a whole stream."""

    content: bytes = field(Bytes(U64LE, max=(1 << 32) - 1), "of the application", secret=True)


def read_message(payload: bytes) -> bytes:
    """The message in a payload, whatever follows it. Raises WireError."""
    return Message.decode_prefix(payload)[0].content


def fragment_count(total: int, metadata: bytes | None = None) -> int:
    """How many fragments a stream of so many bytes has; those of nothing are one."""
    shorter = 0 if metadata is None else LENGTH_SIZE + len(metadata)
    return max(1, -(-(total + shorter) // FRAGMENT_SIZE))
