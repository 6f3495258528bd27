"""Every packet of Bob, declared once: docs/protocols/bob.rst, packets."""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Any, Final, TypeAlias

import attrs

from ..errors import Fault, WireError
from ..wire import (
    ABSENT,
    U8,
    U16BE,
    U64BE,
    Absent,
    Bytes,
    Codec,
    EnumOf,
    Fixed,
    Frame,
    HexInt,
    InRange,
    Packet,
    Rest,
    Shape,
    Terminated,
    TextToEnd,
    Trailing,
    by_id,
    const,
    field,
    packet,
)
from ..wire.source import Buffer

RELAY: Final = 0
"""The uid of the relay itself."""

MAX_UID: Final = 65534
"""The largest uid that a relay gives out; 65535 silences the reference's relay."""

MAX_IDENTITY: Final = 64
"""Bytes of an identity, which is printable ASCII. The reference sends at most 53, and never stops reading at 409."""

MAX_LINE: Final = 100
"""Bytes of the line that asks for a secure room, without its newline."""

TAG_SIZE: Final = 16
"""Bytes by which a record's ciphertext is longer than its plaintext."""

_IDENTITY: Final = Terminated(MAX_IDENTITY, min=1)
_UID: Final = HexInt(4)
_POINT: Final = Fixed(32)
_VALIDATOR: Final = Fixed(64)
_PUBLIC: Final = Fixed(34)


class Cipher(Enum):
    """What a public packet may offer. Only AES-256-GCM works with the protocol's nonces of 20 bytes."""

    AES_256_GCM = 0
    """The only one that is spoken here."""
    AES_256_CCM16 = 1
    """Known to the reference: nobody can send with it. Refused as the server's."""
    CHACHA20_POLY1305 = 2
    """What the reference offers to its client: nobody can send with it. Refused as the server's."""


@packet
class PublicParameters(Packet):
    """What a server tells of its password: 34 bytes, in clear, not authenticated."""

    version: int = field(U16BE, "1; any other is read in the same way")
    kdf: bytes = const(b"\x00\x02", "PBKDF2", fault=Fault.UNSUPPORTED)
    count: int = field(InRange(U64BE, 1, 10**6), "rounds of the password derivation")
    server_cipher: Cipher = field(EnumOf(Cipher, U16BE), "what the server sends with")
    client_cipher: Cipher = field(EnumOf(Cipher, U16BE), "what the client sends with")
    hash: bytes = const(b"\x00\x04", "SHA-256", fault=Fault.UNSUPPORTED)
    salt: bytes = field(Fixed(16))

    def validate(self) -> None:
        if self.server_cipher is not Cipher.AES_256_GCM:
            raise WireError(Fault.UNSUPPORTED, 12, "server_cipher")


@packet
class SecretPacket(Packet):
    """What ``spoke`` keeps of a server's password instead of the password: 162 bytes, never sent."""

    public: bytes = field(_PUBLIC, "the public packet")
    m_point: bytes = field(_POINT, secret=True)
    n_point: bytes = field(_POINT, secret=True)
    h_k: bytes = field(Fixed(32), secret=True)
    l_point: bytes = field(_POINT, secret=True)

    def validate(self) -> None:
        PublicParameters.decode(self.public)


@packet
class Header(Packet):
    """The beginning of every packet between a peer and its relay."""

    uid: int = field(_UID, "to the relay: the destination; from it: the source; 0: the relay itself")
    type: int = field(HexInt(2), "which packet follows")


@packet(id=0x00)
class HelloAsServer(Packet):
    public: bytes = field(_PUBLIC, "PublicParameters, which a relay passes on unread")


@packet(id=0x01)
class HelloAsClient(Packet):
    pass


@packet(id=0x02)
class ServerIdentity(Packet):
    identity: str = field(_IDENTITY, "how the relay sees the server: address, colon, port")


@packet(id=0x03)
class ClientIdentity(Packet):
    identity: str = field(_IDENTITY, "how the relay sees the client")


@packet(id=0x04)
class NewServer(Packet):
    uid: int = field(_UID)
    public: bytes = field(_PUBLIC, "PublicParameters")
    identity: str = field(_IDENTITY)


@packet(id=0x05)
class ClientValidator(Packet):
    validator: bytes = field(_VALIDATOR, "subkey 3: the client knows the password")


@packet(id=0x06)
class YAndServerValidator(Packet):
    y_point: bytes = field(_POINT)
    validator: bytes = field(_VALIDATOR, "subkey 2: the server knows the password")


@packet(id=0x07)
class XAndClientIdentity(Packet):
    x_point: bytes = field(_POINT)
    identity: str = field(_IDENTITY, "as the relay gave it in ClientIdentity")


@packet(id=0x08)
class Agreement(Packet):
    pass


@packet(id=0x09)
class PeerClosed(Packet):
    uid: int = field(_UID, "who left; 0: the relay ends this connection")


@packet(id=0x0A)
class Accepted(Packet):
    pass


@packet(id=0x0B)
class Refused(Packet):
    pass


class Missing(Enum):
    """What a peer could not find for a packet that it got."""

    CLIENT = b"C"
    """There is no such client."""
    SERVER = b"S"
    """There is no such server."""
    HANDSHAKE = b"H"
    """There is no exchange of these two."""
    AGREEMENT = b"N"
    """Nobody agreed with the one who accepted."""


@packet(id=0x0C)
class RelayFailure(Packet):
    missing: Missing = field(EnumOf(Missing, Fixed(1)))
    uid: int = field(_UID, "of the other peer; 0 with AGREEMENT")

    def validate(self) -> None:
        if self.missing is Missing.AGREEMENT and self.uid:
            raise WireError(Fault.BAD_VALUE, 1, "uid")


class SpokeFault(Enum):
    """Why an exchange failed."""

    POINT = b"\x00"
    """The bytes are not a valid point of the curve."""
    SERVER_VALIDATOR = b"\x01"
    """What the client checks differs: this is what a wrong password looks like."""
    CLIENT_VALIDATOR = b"\x02"
    """What the server checks differs."""
    PUBLIC_PACKET = b"\x03"
    """The public parameters are malformed."""
    SECRET_PACKET = b"\x04"
    """The secret parameters are malformed."""


@packet(id=0x0D)
class SpokeFailure(Packet):
    fault: SpokeFault = field(EnumOf(SpokeFault, Fixed(1)))


@packet(id=0x0E)
class Done(Packet):
    pass


@packet(id=0x0F)
class Timeout(Packet):
    pass


BobPacket: TypeAlias = (
    HelloAsServer
    | HelloAsClient
    | ServerIdentity
    | ClientIdentity
    | NewServer
    | ClientValidator
    | YAndServerValidator
    | XAndClientIdentity
    | Agreement
    | PeerClosed
    | Accepted
    | Refused
    | RelayFailure
    | SpokeFailure
    | Done
    | Timeout
)

PACKETS: Final[dict[int, type[BobPacket]]] = by_id(*BobPacket.__args__)
FRAME: Final = Frame[Header, BobPacket](Header, "type", PACKETS)


def encode(uid: int, payload: BobPacket) -> bytes:
    """A packet with its header."""
    return FRAME.encode((Header(uid, payload.__wire__.id or 0), payload))


# -- the secure room ---------------------------------------------------------------------------------------------------


@packet
class RoomLine(Packet):
    """The first line on the secure port."""

    identity: str = field(Terminated(MAX_LINE, b"\n"), "of the other peer")


class RoomCode(Enum):
    JOINED = b"00"
    """Both peers are in the room."""
    EXPIRED = b"01"
    """No line came in time."""
    UNKNOWN = b"02"
    """No room waits for this line."""


@packet
class RoomAnswer(Packet):
    code: RoomCode = field(EnumOf(RoomCode, Fixed(2)))


# -- the channel -------------------------------------------------------------------------------------------------------

CLOSE: Final = b"\xff\xff\xff\xff"
"""Ends a channel, in clear. Two bytes are enough to tell it from a record."""


class CiphertextSize(Codec[int]):
    """The size of a record's ciphertext with its tag; the wire has that of the plaintext."""

    def shape(self) -> Shape:
        return Shape("CiphertextSize", 2)

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[int, int]:
        size, offset = U16BE.decode_from(data, offset, end)
        return size + TAG_SIZE, offset

    def encode(self, value: int) -> bytes:
        return U16BE.encode(value - TAG_SIZE)


@packet
class Record(Packet):
    sealed: bytes = field(
        Bytes(CiphertextSize(), min=TAG_SIZE, max=0x7FFF + TAG_SIZE), "AES-256-GCM: ciphertext, tag", sealed=True
    )


# -- what two ends of ours say in the channel --------------------------------------------------------------------------

MAX_ERROR: Final = 1024
"""Bytes of the text with which a sender gives up."""

MAX_FIELDS: Final = 4096
"""Bytes of the JSON in metadata, or in a receipt."""


def json_object(text: str) -> dict[str, Any]:
    """The JSON object that a text is.

    Raises ``WireError``: ``BAD_ENCODING`` for what is no JSON, has a member twice or is nested too deeply,
    ``BAD_VALUE`` for JSON that is no object.
    """
    try:
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise WireError(Fault.BAD_ENCODING) from None
    if not isinstance(value, dict):
        raise WireError(Fault.BAD_VALUE)
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is there twice")
    return members


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


class FieldsToEnd(TextToEnd):
    """Text that is a JSON object, up to the end of the record; it stays as it was written."""

    def shape(self) -> Shape:
        text = super().shape()
        return attrs.evolve(text, type_name=f"{text.type_name}, a JSON object")

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[str, int]:
        text, stop = super().decode_from(data, offset, end)
        try:
            json_object(text)
        except WireError as error:
            raise WireError(error.fault, offset) from None
        return text, stop

    def encode(self, value: str) -> bytes:
        data = super().encode(value)
        json_object(value)
        return data


@packet
class SentHeader(Packet):
    """The beginning of each record of a sender whose receiver said ``receiving``."""

    type: int = field(U8, "what the record holds")


@packet(id=0)
class SentData(Packet):
    data: bytes = field(Rest(0x7FFE, min=1), "the next bytes of the file stream")


@packet(id=1)
class SentMetadata(Packet):
    fields: str = field(FieldsToEnd(MAX_FIELDS, min=2), "of no use today")


@packet(id=2)
class SentError(Packet):
    text: str = field(TextToEnd(MAX_ERROR), "why the sender gives up, for people")


@packet(id=3)
class SentEnd(Packet):
    pass


SentRecord: TypeAlias = SentData | SentMetadata | SentError | SentEnd

SENT_RECORDS: Final[dict[int, type[SentRecord]]] = by_id(*SentRecord.__args__)
SENT_FRAME: Final = Frame[SentHeader, SentRecord](SentHeader, "type", SENT_RECORDS)


def encode_sent(record: SentRecord) -> bytes:
    """A record with its type."""
    return SENT_FRAME.encode((SentHeader(record.__wire__.id or 0), record))


class Receipt(Enum):
    """What a receiver may say, each in a record of its own: docs/protocols/bob.rst, the receipt."""

    RECEIVING = b"receiving"
    """First: one of the others will follow."""
    ACCEPTED = b"accepted"
    """The file is wanted: its contents may come."""
    VERIFIED = b"verified"
    """The file arrived as it was sent."""
    REFUSED = b"refused"
    """The receiver does not want it."""
    FAILED = b"failed"
    """It could not be received or stored."""


class ReceiptReason(Enum):
    """Why a receiver says ``failed``: docs/protocols/bob.rst, the receipt."""

    STOPPED = b"stopped"
    """Somebody ended it."""
    NO_ROOM = b"no_room"
    """Its disk is full."""
    UNWRITABLE = b"unwritable"
    """It cannot write the file for another cause."""
    TOO_LARGE = b"too_large"
    """The file is larger than it allows."""
    NAME = b"name"
    """It takes no file of this name."""
    DAMAGED = b"damaged"
    """What arrived is not what was announced, or is not safe to keep."""

    @property
    def fields(self) -> str:
        """Of the :class:`ReceiptRecord` that says so."""
        return json.dumps({"reason": self.value.decode()})


_SHORTEST: Final = min(len(word.value) for word in Receipt)
_LONGEST: Final = max(len(word.value) for word in Receipt)


class ReceiptWord(Codec[Receipt]):
    """One of the words, up to a space or the end."""

    def shape(self) -> Shape:
        words = ", ".join(word.value.decode() for word in Receipt)
        return Shape(f"Receipt: {words}", _SHORTEST, _LONGEST)

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[Receipt, int]:
        word = bytes(data[offset : min(end, offset + _LONGEST + 1)]).partition(b" ")[0]
        try:
            return Receipt(word), offset + len(word)
        except ValueError:
            raise WireError(Fault.BAD_VALUE, offset) from None

    def encode(self, value: Receipt) -> bytes:
        return value.value


@packet
class ReceiptRecord(Packet):
    """What a receiver says. The fields of ``verified`` have at least ``sha256``, in lower-case hexadecimal digits."""

    word: Receipt = field(ReceiptWord())
    fields: str | Absent = field(
        Trailing(FieldsToEnd(MAX_FIELDS, min=2, lead=b" ")), "what is not known in it means nothing", default=ABSENT
    )

    def validate(self) -> None:
        digest = self.members.get("sha256")
        if self.word is Receipt.VERIFIED and not (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)):
            raise WireError(Fault.BAD_VALUE, len(self.word.value), "fields")

    @property
    def members(self) -> dict[str, Any]:
        """Of the object behind the word; none without one."""
        return {} if self.fields is ABSENT else json_object(self.fields)

    @property
    def sha256(self) -> bytes:
        """Of ``verified``: the hash of the contents that were received; empty of the other words."""
        is_verified = self.word is Receipt.VERIFIED and self.fields is not ABSENT
        return bytes.fromhex(self.members["sha256"]) if is_verified else b""

    @property
    def name(self) -> str:
        """Under which the file is kept: text of a stranger; empty if that was not said."""
        name = self.members.get("name")
        return name if isinstance(name, str) else ""

    @property
    def reason(self) -> ReceiptReason | None:
        """Why it failed; None if that was not said, or in a word that is not known."""
        told = self.members.get("reason")
        return next((reason for reason in ReceiptReason if reason.value.decode() == told), None)
