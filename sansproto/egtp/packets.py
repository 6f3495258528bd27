"""Every packet of EGTP, declared once: docs/protocols/egtp.rst, packets. Integers are little-endian, everywhere."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from struct import Struct
from typing import Final, TypeAlias

from ..errors import Fault, WireError
from ..wire import (
    ABSENT,
    BOOL,
    U8,
    U16LE,
    U32LE,
    U64LE,
    Absent,
    Bytes,
    EnumOf,
    Fixed,
    InRange,
    OneOf,
    Packet,
    Rest,
    Trailing,
    by_id,
    field,
    packet,
    padding,
)

SID_SIZE: Final = 8
"""Bytes of a session id, which its receiver chooses."""

TAG_SIZE: Final = 16
"""Bytes by which what is sealed is longer than its clear text."""

MAX_PACKET: Final = 65_535
"""Bytes of the largest packet; a mailbox server may take less."""

HEADER_SIZE: Final = 17
"""Bytes before what is sealed in a Data packet."""

OVERHEAD: Final = HEADER_SIZE + 1 + TAG_SIZE
"""Bytes by which a Data packet is longer than the message that it holds."""

MAX_MESSAGE: Final = MAX_PACKET - OVERHEAD
"""Bytes of the largest message."""

NO_TOKEN: Final = bytes(32)
"""What stands in the place of a token where there is none."""

_SID: Final = Fixed(SID_SIZE)
_VALUE: Final = Fixed(8)
_KEY: Final = Fixed(32)
_RESET_TOKEN: Final = Fixed(16)


def _is_no_zero(value: bytes, offset: int, name: str) -> None:
    if not any(value):
        raise WireError(Fault.BAD_VALUE, offset, name)


# -- the handshake -----------------------------------------------------------------------------------------------------


@packet(id=0x08)
class H1(Packet):
    """The first handshake message: whoever sends it wants a session."""

    reserved: bytes = padding(7, "zero")
    ephemeral: bytes = field(_KEY, "the initiator's ephemeral public key")
    static: bytes = field(Fixed(48), "the initiator's static public key", sealed=True)
    payload: bytes = field(Fixed(40), "InitPayload", sealed=True)
    token: bytes = field(Fixed(32), "token and proof of a challenge, as they came; zero: none")
    mac: bytes = field(Fixed(16), "under the recipient's public key, of all before")


@packet
class InitPayload(Packet):
    """What an initiator says in its first message."""

    stamp: int = field(U64LE, "microseconds since 1970, or boot counter and sequence: it only grows")
    instance: bytes = field(_VALUE, "4 bytes of the process, 4 of the entry that it has for the peer")
    sid: bytes = field(_SID, "by which the initiator knows the session; not zero")

    def validate(self) -> None:
        _is_no_zero(self.sid, 16, "sid")


@packet(id=0x09)
class H2(Packet):
    """The answer to an H1."""

    sid: bytes = field(_SID, "the initiator's, out of the H1 that is answered")
    ephemeral: bytes = field(_KEY, "the responder's ephemeral public key")
    payload: bytes = field(Fixed(48), "ReplyPayload", sealed=True)


@packet
class ReplyPayload(Packet):
    """What a responder says in its answer."""

    sid: bytes = field(_SID, "by which the responder knows the session; not zero")
    instance: bytes = field(_VALUE, "as in InitPayload")
    reset_token: bytes = field(_RESET_TOKEN, "of the responder, for its sid", secret=True)

    def validate(self) -> None:
        _is_no_zero(self.sid, 0, "sid")


@packet(id=0x0A)
class CH(Packet):
    """A challenge: prove that you are where you seem to be."""

    hs_id: bytes = field(Fixed(8), "the first bytes of the handshake's id")
    token: bytes = field(Fixed(24), "Token, opaque to whoever gets it")
    proof: bytes = field(Fixed(8), "that the H1 was opened; zero: it was not")

    def validate(self) -> None:
        _is_no_zero(self.token + self.proof, 8, "token")


@packet
class Token(Packet):
    """What a challenge hands out. Only the one who made it reads it."""

    time: int = field(U64LE, "milliseconds of the issuer's own clock, from an offset that nobody else knows")
    mac: bytes = field(Fixed(16), "under a secret of the issuer, of time and path")


# -- sessions ----------------------------------------------------------------------------------------------------------


@packet(id=0x0B)
class Data(Packet):
    """Everything under a session."""

    sid: bytes = field(_SID, "chosen by the receiver")
    counter: int = field(U64LE, "of the packets sealed in this direction, from 0")
    sealed: bytes = field(Rest(MAX_PACKET - HEADER_SIZE, min=1 + TAG_SIZE), "kind and body, then the tag", sealed=True)


data_header: Final[Callable[[int, bytes, int], bytes]] = Struct("<B8sQ").pack
"""The first 17 bytes of a Data packet, out of its type, sid and counter: the tag covers them, too."""

challenge_header: Final[Callable[[int, bytes, bytes], bytes]] = Struct("<B8s24s").pack
"""The first 33 bytes of a CH, out of its type, hs_id and token: the proof is of them."""


@packet(id=0x0C)
class Hint(Packet):
    """I do not know the session of your packet."""

    sid: bytes = field(_SID, "which is not known here")
    reset_token: bytes | Absent = field(Trailing(_RESET_TOKEN), "of the one who sends the hint", default=ABSENT)


Datagram: TypeAlias = H1 | H2 | CH | Data | Hint

DATAGRAM: Final = OneOf[Datagram](U8, by_id(*Datagram.__args__))
"""All datagrams, by their first byte: 4 to 15 is what RFC 7983 leaves to others on a shared port."""

H1_SIZE: Final = 176


class Goodbye(Enum):
    """Why a session was closed; a reason that is not known here counts as ``NORMAL``."""

    NORMAL = 0
    """The host is done with the peer."""
    GOING_AWAY = 1
    """The host ends."""
    REFUSED = 2
    """The host does not want the peer."""


@packet(id=0)
class App(Packet):
    message: bytes = field(Rest(MAX_MESSAGE), "of the application", secret=True)


@packet(id=1)
class Keepalive(Packet):
    filler: bytes = field(_VALUE, "sent as zero, not looked at", default=bytes(8))


@packet(id=2)
class Ping(Packet):
    value: bytes = field(_VALUE, "random")


@packet(id=3)
class Pong(Packet):
    value: bytes = field(_VALUE, "that of the Ping or Confirm")


@packet(id=4)
class Confirm(Packet):
    value: bytes = field(_VALUE, "random")
    reset_token: bytes = field(_RESET_TOKEN, "of the initiator, for its sid", secret=True)


@packet(id=5)
class PathChallenge(Packet):
    value: bytes = field(_VALUE, "is to come back")


@packet(id=6)
class PathResponse(Packet):
    value: bytes = field(_VALUE, "that of the PathChallenge")


@packet(id=7)
class Close(Packet):
    reason: int = field(U8, "0 normal, 1 going away, 2 refused; others mean 0")


Clear: TypeAlias = App | Keepalive | Ping | Pong | Confirm | PathChallenge | PathResponse | Close

CLEAR: Final = OneOf[Clear](U8, by_id(*Clear.__args__))
"""What is sealed in a Data packet, by its kind."""

CLOSE_SIZE: Final = HEADER_SIZE + 2 + TAG_SIZE
"""Bytes of a Data packet with a Close."""


@packet
class KeyRecord(Packet):
    """The keys of a session, as they are saved; never sent."""

    remote_sid: bytes = field(_SID, "the other end's")
    send: bytes = field(_KEY, secret=True)
    receive: bytes = field(_KEY, secret=True)
    is_ours: bool = field(BOOL, "whether we sent the H1")


LAST_COUNTER: Final = 2**64 - 8194
"""The highest counter with which anything is sealed or opened."""


# -- paths, as tokens are bound to them; never sent --------------------------------------------------------------------


@packet(id=0x04)
class PathV4(Packet):
    label: bytes = field(Bytes(U8, max=255), "of the local socket")
    address: bytes = field(Fixed(4))
    port: int = field(U16LE)


@packet(id=0x06)
class PathV6(Packet):
    label: bytes = field(Bytes(U8, max=255), "of the local socket")
    address: bytes = field(Fixed(16))
    port: int = field(U16LE)
    scope: int = field(U32LE, "the interface of a link-local address, else 0")


@packet(id=0x52)
class PathRelay(Packet):
    server: bytes = field(_KEY, "static public key")
    mailbox: bytes = field(_KEY, "of the peer")


PATH: Final = OneOf[PathV4 | PathV6 | PathRelay](U8, by_id(PathV4, PathV6, PathRelay))
"""A path as it is serialised, by what kind it is of."""


# -- the mailbox -------------------------------------------------------------------------------------------------------

MAX_FRAME: Final = 65_535
"""Bytes of the largest frame, without its length."""

MAX_BLOB: Final = MAX_FRAME - TAG_SIZE - 37
"""Bytes of the largest blob that fits into a Deposit."""

POLL_MOST: Final = 64
"""Messages that one Poll may ask for."""

PIPELINE: Final = 64
"""Requests that may wait for their answers."""

_MAILBOX: Final = Fixed(32)
_TAG: Final = Fixed(4)
_EPOCH: Final = Fixed(8)


@packet
class FrameOfStream(Packet):
    """A frame of the stream: one Noise message."""

    message: bytes = field(Bytes(U16LE, max=MAX_FRAME, min=1))


@packet
class FirstMessage(Packet):
    """The first frame, a client's."""

    ephemeral: bytes = field(_KEY, "the client's ephemeral public key")
    static: bytes = field(Fixed(48), "the client's static public key", sealed=True)
    payload: bytes = field(Fixed(16), "nothing", sealed=True)


@packet
class SecondMessage(Packet):
    """The second frame, the server's."""

    ephemeral: bytes = field(_KEY, "the server's ephemeral public key")
    payload: bytes = field(Fixed(24), "Terms", sealed=True)


@packet
class Terms(Packet):
    """What a server takes, and for how long it keeps it."""

    max_blob: int = field(U16LE, "bytes of the largest blob")
    max_stored: int = field(U16LE, "messages that a mailbox holds")
    retention: int = field(U32LE, "seconds that a message is kept")


@packet(id=0x01)
class Register(Packet):
    """Make or open the mailbox of my static key."""


@packet(id=0x02)
class Deposit(Packet):
    tag: bytes = field(_TAG, "comes back in the answer")
    mailbox: bytes = field(_MAILBOX)
    blob: bytes = field(Rest(MAX_BLOB, min=1), "one packet of EGTP", secret=True)


@packet(id=0x03)
class Poll(Packet):
    most: int = field(InRange(U8, 1, POLL_MOST), "messages that are wanted")


@packet(id=0x04)
class Ack(Packet):
    seq: int = field(U64LE, "this message and all before it may be erased")


Request: TypeAlias = Register | Deposit | Poll | Ack

REQUEST: Final = OneOf[Request](U8, by_id(*Request.__args__))


@packet(id=0x81)
class Registered(Packet):
    epoch: bytes = field(_EPOCH, "random, another one if the mailbox is made anew")
    stored: int = field(U16LE, "messages in it")


@packet(id=0x82)
class Deposited(Packet):
    tag: bytes = field(_TAG)
    status: int = field(InRange(U8, 0, 1), "0 stored, 1 not stored")


@packet(id=0x83)
class Message(Packet):
    seq: int = field(U64LE, "from 1 in each epoch")
    blob: bytes = field(Rest(MAX_FRAME - TAG_SIZE - 9, min=1), secret=True)


@packet(id=0x84)
class Polled(Packet):
    sent: int = field(U8, "messages that came before this")
    left: int = field(U16LE, "messages that a further Poll would give")


@packet(id=0x85)
class Acked(Packet):
    floor: int = field(U64LE, "the highest number that was acknowledged")
    stored: int = field(U16LE, "messages in the mailbox")


class ErrorCode(Enum):
    """Why a mailbox server closes a connection."""

    TYPE = 1
    """No request has this type."""
    LENGTH = 2
    """The request has another size, or the blob is too large."""
    FIELD = 3
    """A value that the field may not have."""
    ORDER = 4
    """Registered twice, or acknowledged what was not sent."""
    NOT_REGISTERED = 5
    """Only the owner of a mailbox may ask for that."""
    SUPERSEDED = 6
    """The owner registered on another connection."""
    LIMIT = 7
    """Too many requests at once, or no room for a new mailbox."""


@packet(id=0x8F)
class Error(Packet):
    code: ErrorCode = field(EnumOf(ErrorCode, U8))


Response: TypeAlias = Registered | Deposited | Message | Polled | Acked | Error

RESPONSE: Final = OneOf[Response](U8, by_id(*Response.__args__))
