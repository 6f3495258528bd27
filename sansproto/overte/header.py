"""What every datagram begins with: docs/protocols/overte.rst, datagrams. The header is little-endian.

::

    sequence and flags (4)  [message and position (4)  part (4)]  type (1)  version (1)  [source (2)]  [MAC (16)]

From the type on, a reliable packet that was sent several times may be obfuscated, payload included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from struct import Struct
from typing import Final, Self, TypeAlias, cast

import attrs

from ..blank import blank_of
from ..errors import Fault, WireError
from ..wire import (
    U8,
    U16LE,
    U32LE,
    Buffer,
    Codec,
    EnumOf,
    Fixed,
    InRange,
    Nested,
    Node,
    Opener,
    Packet,
    Shape,
    field,
    packet,
)
from ..wire.dissect import parent
from .versions import Form, PacketType

MAX_DATAGRAM: Final = 1392
"""Bytes of the largest datagram that the reference sends."""

MAX_SEQUENCE: Final = 0x07FFFFFF
"""After this number comes 0."""

NO_MAC: Final = bytes(16)
"""What stands for the MAC where there is no key, or packets are not authenticated."""

CONTROL_BIT: Final = 1 << 31
"""Of the word that a datagram begins with: a control packet, whose type is in the bits 16 to 30."""
RELIABLE_BIT: Final = 1 << 30
"""Of this word: the packet is to be acknowledged."""
MESSAGE_BIT: Final = 1 << 29
"""Of this word: message and part follow."""
LEVEL_SHIFT: Final = 27
"""The lower of the two bits of this word that are the level of obfuscation; those below are the sequence number."""
_UNUSUAL: Final = CONTROL_BIT | MESSAGE_BIT | 3 << LEVEL_SHIFT
OBFUSCATION_KEYS: Final = (b"tessirbc", b"adraribs", b"namffuhr")
"""What is repeated and exclusive-ored with everything behind word, message and part, at the levels 1, 2 and 3."""
MAX_MESSAGE_NUMBER: Final = (1 << 30) - 1
"""The highest number of a message; in the two bits above it is the position."""


class Position(Enum):
    """Where in its message a packet stands."""

    ONLY = 0
    """It is the whole message."""
    LAST = 1
    """The last part of several."""
    FIRST = 2
    """The first part of several."""
    MIDDLE = 3
    """A part between the first and the last."""


@attrs.frozen
class Part:
    """Which part of which message a packet is. ``message`` has 30 bits, ``number`` 32."""

    position: Position
    """Which of its parts it is."""
    message: int
    """The number of the message, 30 bits."""
    number: int
    """The number of the part, from 0, 32 bits."""

    @classmethod
    def of(cls, message: int, number: int, count: int) -> Self:
        """One of so many parts."""
        if count == 1:
            return cls(Position.ONLY, message, number)
        position = Position.FIRST if number == 0 else Position.LAST if number == count - 1 else Position.MIDDLE
        return cls(position, message, number)


@attrs.frozen(weakref_slot=False)
class Header:
    """The header of a data packet. ``source`` and ``mac`` are there, or not, as the form of the type says.

    ``sequence`` has 27 bits, ``version`` 8, ``source`` 16; ``obfuscation`` is 0 to 3.
    """

    type: PacketType
    """What the payload is."""
    sequence: int
    """27 bits."""
    version: int
    """Of the type, 8 bits."""
    source: int | None = None
    """The sender's local id, 16 bits; None if the form has none."""
    mac: bytes | None = None
    """16 bytes, zeros if there is no key; None if the form has none."""
    reliable: bool = attrs.field(default=False, kw_only=True)
    """It is to be acknowledged."""
    part: Part | None = attrs.field(default=None, kw_only=True)
    """Its place in a message; None: it stands alone."""
    obfuscation: int = attrs.field(default=0, kw_only=True)
    """The level, 0 (none) to 3."""


class ControlType(Enum):
    """What the two ends of a reliable channel tell each other."""

    ACK = 0
    """All packets up to this number have arrived."""
    HANDSHAKE = 1
    """The first reliable packet will have this number."""
    HANDSHAKE_ACK = 2
    """The handshake with this number arrived."""
    HANDSHAKE_REQUEST = 3
    """A reliable packet came without a handshake."""


@attrs.frozen
class Control:
    """A control packet. All but HANDSHAKE_REQUEST have a sequence number."""

    type: ControlType
    """What it says."""
    sequence: int | None = None
    """27 bits; None of a HANDSHAKE_REQUEST."""


Head: TypeAlias = Header | Control


# -- the layouts, from which trees and sizes are derived. What decode_datagram makes of them is written by hand: it runs
# for each packet, and takes less than half the time.

_TYPE: Final = EnumOf(PacketType, U8, Fault.BAD_TYPE)


@packet()
class Word(Packet):
    """The beginning of every datagram."""

    word: int = field(U32LE, "flags and sequence number")


@packet()
class PartOfMessage(Packet):
    """What follows the word in a part of a message."""

    message: int = field(U32LE, "message number; the upper two bits are the position")
    part: int = field(U32LE, "part number")


@packet()
class Unsourced(Packet):
    """What a header ends with if its type has no source."""

    type: PacketType = field(_TYPE)
    version: int = field(U8, "of this type")


@packet()
class Sourced(Packet):
    type: PacketType = field(_TYPE)
    version: int = field(U8, "of this type")
    source: int = field(U16LE, "the sender's local id")


@packet()
class Verified(Packet):
    type: PacketType = field(_TYPE)
    version: int = field(U8, "of this type")
    source: int = field(U16LE, "the sender's local id")
    mac: bytes = field(Fixed(16), "zeros if there is no key")


@packet()
class NumberedControl(Packet):
    """What follows the word of all control packets but HandshakeRequest."""

    sequence: int = field(InRange(U32LE, 0, MAX_SEQUENCE))


FORMS: Final[Mapping[Form, type[Packet]]] = {Form.UNSOURCED: Unsourced, Form.SOURCED: Sourced, Form.VERIFIED: Verified}

ROOM: Final = {form: MAX_DATAGRAM - 12 - layout.__wire__.min_size for form, layout in FORMS.items()}
"""Bytes of a message that one part of it can hold."""


def decode_datagram(data: Buffer) -> tuple[Head, bytes]:
    """The header and what follows it, no longer obfuscated; behind a control packet nothing should follow.

    Raises ``WireError``: ``TRUNCATED`` if the datagram is shorter than its header, ``BAD_TYPE`` for a type over 105 or
    an unknown control packet, ``BAD_VALUE`` for a control packet with a sequence number over 27 bits or with flags.
    """
    if type(data) is not bytes:
        data = bytes(data)
    size = len(data)
    if size < 4:
        raise _truncated(data, 4, "word")
    (word,) = _WORD(data)
    part, level, start = None, 0, 4
    if word & _UNUSUAL:
        if word & CONTROL_BIT:
            return _decode_control(word, data)
        if word & MESSAGE_BIT:
            part, start = _decode_part(data), 12
        level = word >> LEVEL_SHIFT & 3
        if level:
            data = _exclusive_or(data, start, level)
    if size < start + 2:
        raise _truncated(data, start + 2, "type" if size == start else "version")
    try:
        kind, length = _SHAPES[data[start]]
    except IndexError:
        raise WireError(Fault.BAD_TYPE, start, "type") from None
    end = start + length
    if size < end:
        raise _truncated(data, end, "source" if size < start + 4 else "mac")
    header = _Blank()
    header.type = kind
    header.sequence = word & MAX_SEQUENCE
    header.version = data[start + 1]
    header.source = _SOURCE(data, start + 2)[0] if length > 2 else None
    header.mac = data[start + 4 : end] if length > 4 else None
    header.reliable = word & RELIABLE_BIT != 0
    header.part = part
    header.obfuscation = level
    header.__class__ = Header
    return header, data[end:]


def encode_datagram(head: Head, payload: bytes = b"") -> bytes:
    """The datagram. Raises ``WireError`` (``BAD_VALUE``) for fields that are too large or do not fit the type."""
    if isinstance(head, Control):
        return _encode_control(head) + payload
    level = _bounded(head.obfuscation, 3, "obfuscation")
    word = _bounded(head.sequence, MAX_SEQUENCE, "sequence") | head.reliable * RELIABLE_BIT | level << LEVEL_SHIFT
    begin = b""
    if head.part is not None:
        word |= MESSAGE_BIT
        message = _bounded(head.part.message, MAX_MESSAGE_NUMBER, "message") | head.part.position._value_ << 30
        begin = _PART_PACK(message, _bounded(head.part.number, 0xFFFFFFFF, "number"))
    version = _bounded(head.version, 0xFF, "version")
    begin = _WORD_PACK(word) + begin
    plain = begin + bytes((head.type._value_, version)) + _encode_source_and_mac(head) + payload
    return _exclusive_or(plain, len(begin), level) if level else plain


def obfuscation_level(repetition: int) -> int:
    """The level at which a packet is sent for the n-th time after the first: 0, 0, 1, 2, 3, 0, 1, 2, 3, ..."""
    return (repetition - 2) % 4 if repetition > 2 else 0


# -- sequence numbers --------------------------------------------------------------------------------------------------


def next_sequence(sequence: int, count: int = 1) -> int:
    """The number ``count`` behind this one (in front of it if negative)."""
    return sequence + count & MAX_SEQUENCE


def sequence_distance(start: int, end: int) -> int:
    """How many numbers ``end`` is ahead of ``start``, by the shorter way around: -2^26 to 2^26 - 1."""
    return (end - start + _HALF & MAX_SEQUENCE) - _HALF


_HALF: Final = (MAX_SEQUENCE + 1) // 2


# -- the parts of a header ---------------------------------------------------------------------------------------------

_WORD: Final = Struct("<I").unpack_from
_WORD_PACK: Final = Struct("<I").pack
_PART: Final = Struct("<II").unpack_from
_PART_PACK: Final = Struct("<II").pack
_SOURCE: Final = Struct("<H").unpack_from
_SOURCE_PACK: Final = Struct("<H").pack
_POSITIONS: Final = tuple(Position)
_CONTROLS: Final = tuple(ControlType)

_Blank: Final = blank_of(Header)

_SHAPES: Final = tuple((kind, FORMS[kind.form].__wire__.min_size) for kind in PacketType)
"""For each number: the type, and the bytes from the type to the payload."""


def _truncated(data: Buffer, size: int, field: str) -> WireError:
    return WireError(Fault.TRUNCATED, len(data), field, need=size - len(data))


def _bounded(value: int, most: int, field: str) -> int:
    if not 0 <= value <= most:
        raise WireError(Fault.BAD_VALUE, 0, field)
    return value


def _decode_part(data: Buffer) -> Part:
    if len(data) < 12:
        raise _truncated(data, 12, "part")
    message, number = _PART(data, 4)
    return Part(_POSITIONS[message >> 30], message & MAX_MESSAGE_NUMBER, number)


def _encode_source_and_mac(head: Header) -> bytes:
    form = head.type.form
    if (head.source is None) is not (form is Form.UNSOURCED):
        raise WireError(Fault.BAD_VALUE, 0, "source")
    if (head.mac is None) is (form is Form.VERIFIED) or (head.mac is not None and len(head.mac) != 16):
        raise WireError(Fault.BAD_VALUE, 0, "mac")
    source = _SOURCE_PACK(_bounded(head.source, 0xFFFF, "source")) if head.source is not None else b""
    return source + (head.mac or b"")


def _decode_control(word: int, data: Buffer) -> tuple[Control, bytes]:
    if word & 0x7FFF0000 >= len(_CONTROLS) << 16:
        raise WireError(Fault.BAD_TYPE, 0, "word")
    if word & 0xFFFF:
        raise WireError(Fault.BAD_VALUE, 0, "word")
    kind = _CONTROLS[word >> 16 & 0x7FFF]
    if kind is ControlType.HANDSHAKE_REQUEST:
        return Control(kind), bytes(data[4:])
    if len(data) < 8:
        raise _truncated(data, 8, "sequence")
    (sequence,) = _WORD(data, 4)
    if sequence > MAX_SEQUENCE:
        raise WireError(Fault.BAD_VALUE, 4, "sequence")
    return Control(kind, sequence), bytes(data[8:])


def _encode_control(control: Control) -> bytes:
    word = _WORD_PACK(CONTROL_BIT | control.type._value_ << 16)
    if (control.sequence is None) is not (control.type is ControlType.HANDSHAKE_REQUEST):
        raise WireError(Fault.BAD_VALUE, 0, "sequence")
    if control.sequence is None:
        return word
    return word + _WORD_PACK(_bounded(control.sequence, MAX_SEQUENCE, "sequence"))


def _exclusive_or(data: Buffer, start: int, level: int) -> bytes:
    """Everything from ``start`` on, exclusive-ored with the key of the level."""
    size = len(data) - start
    key = OBFUSCATION_KEYS[level - 1] * (size // 8 + 1)
    mixed = int.from_bytes(data[start:], "little") ^ int.from_bytes(key[:size], "little")
    return bytes(data[:start]) + mixed.to_bytes(size, "little")


# -- dissection --------------------------------------------------------------------------------------------------------


@attrs.frozen(slots=False, eq=False)
class Datagram(Codec[tuple[Head, bytes]]):
    """A whole datagram: :func:`decode_datagram` and :func:`encode_datagram`, and the tree, payload included.

    ``payloads`` are the packets by the numbers of their types. What was obfuscated is opened in the tree.
    """

    payloads: Mapping[int, type[Packet]]

    def shape(self) -> Shape:
        return Shape("datagram", 4, greedy=True)

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[tuple[Head, bytes], int]:
        try:
            return decode_datagram(data[offset:end]), end
        except WireError as error:
            raise WireError(error.fault, offset + error.offset, error.field, need=error.need) from None

    def encode(self, value: tuple[Head, bytes]) -> bytes:
        return encode_datagram(*value)

    def dissect_from(self, data: Buffer, offset: int, end: int, name: str, opener: Opener | None) -> Node:
        leaf = super().dissect_from(data, offset, end, name, opener)
        nodes = _in_a_row(data, offset, end, Word)
        if not nodes[0].fault:
            word = cast(int, nodes[0].value)
            nodes[0] = attrs.evolve(nodes[0], value=_describe(word))
            if word & CONTROL_BIT:
                nodes = self._control(data, end, word, nodes[0], leaf.fault)
            else:
                nodes += self._data(data, end, word, nodes[0], opener)
        return parent(name, data, offset, end, nodes, leaf.value, leaf.fault or _fault(nodes))

    def _control(self, data: Buffer, end: int, word: int, first: Node, fault: Fault | None) -> list[Node]:
        if word & 0x7FFFFFFF not in _CONTROL_WORDS:
            return [Node(name="word", offset=first.offset, raw=bytes(data[first.offset : end]), fault=fault)]
        has_sequence = word >> 16 & 0x7FFF != ControlType.HANDSHAKE_REQUEST._value_
        nodes = [first, *(_in_a_row(data, first.end, end, NumberedControl) if has_sequence else ())]
        return nodes if nodes[-1].end == end else [*nodes, _rest("trailing", data, nodes[-1].end, end)]

    def _data(self, data: Buffer, end: int, word: int, first: Node, opener: Opener | None) -> list[Node]:
        nodes = _in_a_row(data, first.end, end, PartOfMessage) if word & MESSAGE_BIT else []
        if _fault(nodes):
            return nodes
        start = nodes[-1].end if nodes else first.end
        # Of a packet that is in several parts, one has only a piece of the payload.
        whole = not nodes or not cast(int, nodes[0].value) >> 30
        level = word >> LEVEL_SHIFT & 3
        if not level:
            return nodes + self._tail(data, start, end, whole, opener)
        plain = _exclusive_or(data[start:end], 0, level)
        inner = self._tail(plain, 0, len(plain), whole, opener)
        opened = parent("plain", plain, 0, len(plain), inner, None, _fault(inner))
        return [*nodes, attrs.evolve(_rest("obfuscated", data, start, end), opened=opened)]

    def _tail(self, data: Buffer, start: int, end: int, whole: bool, opener: Opener | None) -> list[Node]:
        nodes = _in_a_row(data, start, end, Unsourced)
        if _fault(nodes):
            return nodes
        kind = cast(PacketType, nodes[0].value)
        nodes = _in_a_row(data, start, end, FORMS[kind.form])
        at, payload = nodes[-1].end, self.payloads.get(kind._value_) if whole else None
        if _fault(nodes):
            return nodes
        if payload is not None:
            nodes.append(Nested(payload).dissect_from(data, at, end, payload.__name__, opener))
            at = nodes[-1].end
        return nodes if at == end else [*nodes, _rest("payload" if payload is None else "trailing", data, at, end)]


_CONTROL_WORDS: Final = frozenset(kind._value_ << 16 for kind in ControlType)


def _in_a_row(data: Buffer, start: int, end: int, layout: type[Packet]) -> list[Node]:
    nodes: list[Node] = []
    for step in layout.__wire__.fields:
        nodes.append(step.codec.dissect_from(data, start, end, step.name, None))
        start = nodes[-1].end
        if nodes[-1].fault:
            break
    return nodes


def _fault(nodes: Sequence[Node]) -> Fault | None:
    return nodes[-1].fault if nodes else None


def _rest(name: str, data: Buffer, start: int, end: int) -> Node:
    raw = bytes(data[start:end])
    return Node(name=name, offset=start, raw=raw, value=raw)


def _describe(word: int) -> str:
    """The first four bytes in words."""
    if word & CONTROL_BIT:
        return f"control packet {word >> 16 & 0x7FFF}"
    level = word >> LEVEL_SHIFT & 3
    flags = (
        "reliable" if word & RELIABLE_BIT else "",
        "message" if word & MESSAGE_BIT else "",
        f"obfuscation {level}" if level else "",
    )
    return ", ".join([f"sequence {word & MAX_SEQUENCE}", *filter(None, flags)])
