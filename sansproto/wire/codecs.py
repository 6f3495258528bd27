"""How single fields look on the wire.

A codec that writes source (:class:`SourceCodec`) costs nothing per field at run time; one that does not (a plain
:class:`Codec`, the way to add a type of your own) costs a method call. Both compose with each other.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from struct import calcsize
from typing import Any, ClassVar, Final, TypeVar, cast

import attrs

from ..errors import Fault, WireError
from .base import Codec, Shape, SourceCodec, total
from .dissect import Node, Opener
from .source import Buffer, Reader, Writer

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

#: The bytes that :class:`Terminated` text may consist of unless told otherwise: 20 to 7e.
PRINTABLE: Final = bytes(range(0x20, 0x7F))


class Absent(Enum):
    """The type of :data:`ABSENT`: a trailing field that is not there, which is neither null nor empty."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent.ABSENT


@attrs.frozen(slots=False, eq=False)
class _Scalar(SourceCodec[T]):
    """One item of a struct, without any check of ours: ``struct`` itself refuses what is out of range."""

    name: str
    format: str
    """The byte order (for single bytes empty) and the code of ``struct``."""

    @property
    def size(self) -> int:
        return calcsize(self.format)

    def shape(self) -> Shape:
        return Shape(self.name, self.size, self.size)

    def emit_decode(self, reader: Reader) -> str:
        return reader.take(self.format[-1], self.format[:-1])

    def emit_encode(self, writer: Writer, value: str) -> None:
        writer.pack(self.format[-1], value, self.format[:-1])


class Int(_Scalar[int]):
    """An integer of fixed width."""

    @property
    def low(self) -> int:
        return -(1 << 8 * self.size - 1) if self.format[-1].islower() else 0

    @property
    def high(self) -> int:
        return (1 << 8 * self.size) - 1 + self.low


class Float(_Scalar[float]):
    """An IEEE 754 number. Encoding rounds to what the width can hold, and refuses what is too large for it."""

    def shape(self) -> Shape:
        lossy = "signalling NaNs, which encoding may turn into quiet ones"
        return attrs.evolve(super().shape(), accepts=lossy)


U8: Final = Int("u8", "B")
U16BE: Final = Int("u16be", ">H")
U16LE: Final = Int("u16le", "<H")
U32BE: Final = Int("u32be", ">I")
U32LE: Final = Int("u32le", "<I")
U64BE: Final = Int("u64be", ">Q")
U64LE: Final = Int("u64le", "<Q")
I8: Final = Int("i8", "b")
I16BE: Final = Int("i16be", ">h")
I16LE: Final = Int("i16le", "<h")
I32BE: Final = Int("i32be", ">i")
I32LE: Final = Int("i32le", "<i")
I64BE: Final = Int("i64be", ">q")
I64LE: Final = Int("i64le", "<q")
F32BE: Final = Float("f32be", ">f")
F32LE: Final = Float("f32le", "<f")
F64BE: Final = Float("f64be", ">d")
F64LE: Final = Float("f64le", "<d")


@attrs.frozen(slots=False, eq=False)
class Bool(SourceCodec[bool]):
    """One byte, 0 or 1; anything else is ``BAD_VALUE``."""

    def shape(self) -> Shape:
        return Shape("bool", 1, 1)

    def emit_decode(self, reader: Reader) -> str:
        raw = reader.take("B")
        reader.refuse(f"{raw} > 1", Fault.BAD_VALUE, reader.at)
        return f"{raw} == 1"

    def emit_encode(self, writer: Writer, value: str) -> None:
        writer.refuse(f"{value} is not True and {value} is not False", Fault.BAD_VALUE)
        writer.pack("B", value)


BOOL: Final = Bool()


@attrs.frozen(slots=False, eq=False)
class Fixed(SourceCodec[bytes]):
    """Exactly ``size`` bytes."""

    size: int

    def shape(self) -> Shape:
        return Shape(f"{self.size} bytes", self.size, self.size)

    def emit_decode(self, reader: Reader) -> str:
        return reader.take(f"{self.size}s")

    def emit_encode(self, writer: Writer, value: str) -> None:
        writer.refuse(f"len({value}) != {self.size}", Fault.BAD_LENGTH)
        writer.pack(f"{self.size}s", value)


@attrs.frozen(slots=False, eq=False)
class Const(SourceCodec[bytes]):
    """Bytes that are always the same: a magic number, a version, padding. Anything else is ``fault``."""

    content: bytes
    fault: Fault = Fault.BAD_VALUE

    def shape(self) -> Shape:
        return Shape(self.content.hex(), len(self.content), len(self.content))

    def emit_decode(self, reader: Reader) -> str:
        raw = reader.take(f"{len(self.content)}s")
        reader.refuse(f"{raw} != {reader.bind(self.content)}", self.fault, reader.at)
        return raw

    def emit_encode(self, writer: Writer, value: str) -> None:
        writer.refuse(f"{value} != {writer.bind(self.content)}", Fault.BAD_VALUE)
        writer.pack(f"{len(self.content)}s", value)


@attrs.frozen(slots=False, eq=False)
class HexInt(SourceCodec[int]):
    """An unsigned integer as ``size`` hexadecimal digits, most significant first; no sign, space or prefix."""

    size: int
    low: ClassVar = 0

    def shape(self) -> Shape:
        return Shape(f"{self.size} hex digits", self.size, self.size, accepts="upper-case digits")

    @property
    def high(self) -> int:
        return int(16**self.size) - 1

    def emit_decode(self, reader: Reader) -> str:
        raw = reader.take(f"{self.size}s")
        digits = f'b"0" + {raw}' if self.size % 2 else raw
        number = f'int.from_bytes({reader.bind(unhexlify)}({digits}), "big")'
        return reader.parse(number, Fault.BAD_ENCODING, reader.at)

    def emit_encode(self, writer: Writer, value: str) -> None:
        writer.refuse(f"not 0 <= {value} <= {self.high}", Fault.BAD_VALUE)
        writer.pack(f"{self.size}s", f'b"%0{self.size}x" % {value}')


@attrs.frozen(slots=False, eq=False)
class InRange(SourceCodec[int]):
    """``inner``, but only values from ``low`` to ``high``, both included; others are ``BAD_VALUE``."""

    inner: Codec[int]
    low: int
    high: int

    def shape(self) -> Shape:
        inner = self.inner.shape()
        return attrs.evolve(inner, type_name=f"{inner.type_name}, {self.low} to {self.high}")

    def emit_decode(self, reader: Reader) -> str:
        value = self.inner.emit_decode(reader)
        reader.refuse(f"not {self.low} <= {value} <= {self.high}", Fault.BAD_VALUE, reader.at)
        return value

    def emit_encode(self, writer: Writer, value: str) -> None:
        writer.refuse(f"not {self.low} <= {value} <= {self.high}", Fault.BAD_VALUE)
        self.inner.emit_encode(writer, value)


@attrs.frozen(slots=False, eq=False)
class EnumOf(SourceCodec[E]):
    """A member of ``enum``, whose value is encoded by ``inner``; values of no member are ``fault``. Not for flags."""

    enum: type[E]
    inner: Codec[Any]
    fault: Fault = Fault.BAD_VALUE

    def shape(self) -> Shape:
        inner = self.inner.shape()
        return attrs.evolve(inner, type_name=f"{self.enum.__name__} ({inner.type_name})")

    def emit_decode(self, reader: Reader) -> str:
        raw = self.inner.emit_decode(reader)
        members = reader.bind({member.value: member for member in self.enum})
        value = reader.let(f"{members}.get({raw})")
        reader.refuse(f"{value} is None", self.fault, reader.at)
        return value

    def emit_encode(self, writer: Writer, value: str) -> None:
        writer.refuse(f"type({value}) is not {writer.bind(self.enum)}", Fault.BAD_VALUE)
        self.inner.emit_encode(writer, f"{value}._value_")


@attrs.frozen(slots=False, eq=False)
class Bytes(SourceCodec[bytes]):
    """A length, then that many bytes: ``min`` to ``max`` of them, others are ``BAD_LENGTH``."""

    count: Codec[int]
    max: int = attrs.field(kw_only=True)
    min: int = attrs.field(kw_only=True, default=0)

    def shape(self) -> Shape:
        count = self.count.shape()
        name = f"{count.type_name} length, {self.min} to {self.max} bytes"
        most = total([count.max_size, self.max])
        return Shape(name, count.min_size + self.min, most, accepts=count.accepts)

    def emit_decode(self, reader: Reader) -> str:
        length = reader.let(self.count.emit_decode(reader))
        reader.refuse(f"not {self.min} <= {length} <= {self.max}", Fault.BAD_LENGTH, reader.at)
        return reader.slice(length)

    def emit_encode(self, writer: Writer, value: str) -> None:
        length = writer.let(f"len({value})")
        writer.refuse(f"not {self.min} <= {length} <= {self.max}", Fault.BAD_LENGTH)
        self.count.emit_encode(writer, length)
        writer.put(value)


@attrs.frozen(slots=False, eq=False)
class Text(SourceCodec[str]):
    """A length in bytes, then text of that many bytes in ``encoding``, which must be one without a byte order mark."""

    count: Codec[int]
    max: int = attrs.field(kw_only=True)
    min: int = attrs.field(kw_only=True, default=0)
    encoding: str = attrs.field(kw_only=True, default="utf-8")

    @property
    def _bytes(self) -> Bytes:
        return Bytes(self.count, max=self.max, min=self.min)

    def shape(self) -> Shape:
        raw = self._bytes.shape()
        return attrs.evolve(raw, type_name=f"{raw.type_name} of {self.encoding}")

    def emit_decode(self, reader: Reader) -> str:
        raw = self._bytes.emit_decode(reader)
        return reader.parse(f"str({raw}, {self.encoding!r})", Fault.BAD_ENCODING, reader.at)

    def emit_encode(self, writer: Writer, value: str) -> None:
        raw = writer.parse(f"{value}.encode({self.encoding!r})", Fault.BAD_VALUE)
        self._bytes.emit_encode(writer, raw)


@attrs.frozen(slots=False, eq=False)
class Terminated(SourceCodec[str]):
    """At most ``max`` bytes of ASCII text, then ``terminator``, which is no part of the value.

    ``BAD_LENGTH`` as soon as ``max + len(terminator)`` bytes are there without a terminator. Bytes over 7f are
    ``BAD_ENCODING``, others that are not in ``allowed`` are ``BAD_VALUE``.
    """

    max: int
    terminator: bytes = b"\0"
    min: int = attrs.field(kw_only=True, default=0)
    allowed: bytes = attrs.field(kw_only=True, default=PRINTABLE)

    def __attrs_post_init__(self) -> None:
        if not self.allowed.isascii() or self.terminator[0] in self.allowed:
            raise ValueError("the text must be ASCII, and nothing in it may begin the terminator")

    def shape(self) -> Shape:
        name = f"{self.min} to {self.max} bytes of text, then {self.terminator.hex()}"
        return Shape(name, self.min + len(self.terminator), self.max + len(self.terminator))

    def emit_decode(self, reader: Reader) -> str:
        most = self.max + len(self.terminator)
        start, stop, limit = reader.mark(), reader.fresh(), reader.fresh()
        reader.line(f"{limit} = {start} + {most}\nif {limit} > end:\n    {limit} = end")
        reader.line(f"{stop} = buf.find({reader.bind(self.terminator)}, {start}, {limit})")
        missing = (start, "end", str(most), repr(reader.field), str(reader.after))
        reader.line(f"if {stop} < 0:\n    raise {reader.bind(_unterminated)}({', '.join(missing)})")
        if self.min:
            reader.refuse(f"{stop} - {start} < {self.min}", Fault.BAD_LENGTH, start)
        raw = reader.let(f"buf[{start}:{stop}]")
        reader.refuse(f"not {raw}.isascii()", Fault.BAD_ENCODING, start)
        reader.refuse(f"{raw}.translate(None, {reader.bind(self.allowed)})", Fault.BAD_VALUE, start)
        reader.move(f"{stop} + {len(self.terminator)}")
        return f'{raw}.decode("ascii")'

    def emit_encode(self, writer: Writer, value: str) -> None:
        writer.refuse(f"not {self.min} <= len({value}) <= {self.max}", Fault.BAD_LENGTH)
        writer.refuse(f"not {value}.isascii()", Fault.BAD_VALUE)
        raw = writer.let(f"{value}.encode()")
        writer.refuse(f"{raw}.translate(None, {writer.bind(self.allowed)})", Fault.BAD_VALUE)
        writer.put(f"{raw} + {writer.bind(self.terminator)}")


@attrs.frozen(slots=False, eq=False)
class Rest(SourceCodec[bytes]):
    """All bytes that are left, ``min`` to ``max`` of them. Only for the last field."""

    max: int
    min: int = attrs.field(kw_only=True, default=0)

    def shape(self) -> Shape:
        return Shape(f"the rest, {self.min} to {self.max} bytes", self.min, self.max, greedy=True)

    def emit_decode(self, reader: Reader) -> str:
        length = reader.let(f"end - ({reader.cursor()})")
        reader.refuse(f"{length} > {self.max}", Fault.BAD_LENGTH, reader.cursor())
        # Reading `min` bytes where there are fewer is what says how many are missing.
        return reader.slice(f"({length} if {length} > {self.min} else {self.min})")

    def emit_encode(self, writer: Writer, value: str) -> None:
        writer.refuse(f"not {self.min} <= len({value}) <= {self.max}", Fault.BAD_LENGTH)
        writer.put(value)


class TextToEnd(Codec[str]):
    """UTF-8 text up to the end: ``min`` to ``max`` bytes behind ``lead``, which is no part of it."""

    def __init__(self, max: int, *, min: int = 0, lead: bytes = b"") -> None:
        self.max = max
        self.min = min
        self._raw = Rest(max + len(lead), min=min + len(lead))
        self.lead = lead

    def shape(self) -> Shape:
        behind = f"{self.lead.hex()}, then " if self.lead else ""
        name = f"{behind}the rest, {self.min} to {self.max} bytes of utf-8"
        return attrs.evolve(self._raw.shape(), type_name=name)

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[str, int]:
        raw, stop = self._raw.decode_from(data, offset, end)
        if not raw.startswith(self.lead):
            raise WireError(Fault.BAD_VALUE, offset)
        try:
            return raw[len(self.lead) :].decode(), stop
        except UnicodeDecodeError:
            raise WireError(Fault.BAD_ENCODING, offset) from None

    def encode(self, value: str) -> bytes:
        try:
            raw = value.encode()
        except UnicodeEncodeError:
            raise WireError(Fault.BAD_VALUE) from None
        return self._raw.encode(self.lead + raw)


@attrs.frozen(slots=False, eq=False)
class ListOf(SourceCodec[tuple[T, ...]]):
    """A count, then that many items. The count is held against ``max`` and the bytes left before anything is read."""

    item: Codec[T]
    count: Codec[int]
    max: int = attrs.field(kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.item.shape().greedy:
            raise TypeError("an item of a list must say where it ends")

    def shape(self) -> Shape:
        count, item = self.count.shape(), self.item.shape()
        name = f"{count.type_name} count, 0 to {self.max} times ({item.type_name})"
        most = total([count.max_size, None if item.max_size is None else item.max_size * self.max])
        accepts = "; ".join(dict.fromkeys(text for text in (count.accepts, item.accepts) if text))
        return Shape(name, count.min_size, most, accepts=accepts)

    def emit_decode(self, reader: Reader) -> str:
        count = reader.let(self.count.emit_decode(reader))
        reader.refuse(f"not 0 <= {count} <= {self.max}", Fault.BAD_LENGTH, reader.at)
        reader.require(f"{count} * {self.item.shape().min_size}")
        items = reader.let("[]")
        with reader.block(f"for _ in range({count}):"):
            item = self.item.emit_decode(reader)
            reader.line(f"{items}.append({item})")
        return f"tuple({items})"

    def emit_encode(self, writer: Writer, value: str) -> None:
        count, items, item = writer.let(f"len({value})"), writer.let("[]"), writer.fresh()
        writer.refuse(f"{count} > {self.max}", Fault.BAD_LENGTH)
        self.count.emit_encode(writer, count)
        with writer.part(f"for {item} in {value}:", items):
            self.item.emit_encode(writer, item)
        writer.put(f'b"".join({items})')

    def parts(self, data: Buffer, offset: int, end: int, opener: Opener | None, error: WireError | None) -> list[Node]:
        nodes = [self.count.dissect_from(data, offset, end, "count", opener)]
        # Not one node more than the limit, whatever the count says.
        wanted = cast(int, nodes[0].value or 0)
        for index in range(wanted if wanted <= self.max else 0):
            if nodes[-1].fault:
                break
            nodes.append(self.item.dissect_from(data, nodes[-1].end, end, f"[{index}]", opener))
        return nodes


@attrs.frozen(slots=False, eq=False)
class Optional(SourceCodec[T | None]):
    """One byte, 0 for None or 1, then the value; anything else is ``BAD_VALUE``."""

    inner: Codec[T]

    def shape(self) -> Shape:
        inner = self.inner.shape()
        return Shape(
            f"0, or 1 and {inner.type_name}",
            1,
            total([1, inner.max_size]),
            greedy=inner.greedy,
            accepts=inner.accepts,
        )

    def emit_decode(self, reader: Reader) -> str:
        there = reader.take("B")
        reader.refuse(f"{there} > 1", Fault.BAD_VALUE, reader.at)
        result = reader.let("None")
        with reader.block(f"if {there}:"):
            value = self.inner.emit_decode(reader)
            reader.line(f"{result} = {value}")
        return result

    def emit_encode(self, writer: Writer, value: str) -> None:
        there, pieces = writer.let(f"{value} is not None"), writer.let("[]")
        writer.pack("B", there)
        with writer.part(f"if {there}:", pieces):
            self.inner.emit_encode(writer, value)
        writer.put(f'b"".join({pieces})')


@attrs.frozen(slots=False, eq=False)
class Trailing(SourceCodec[T | Absent]):
    """A field that may be missing at the end of the packet: then it is :data:`ABSENT`. Only such fields may follow."""

    inner: Codec[T]

    def __attrs_post_init__(self) -> None:
        if self.inner.shape().min_size == 0:
            raise TypeError("nothing tells an empty value from an absent one")

    def shape(self) -> Shape:
        inner = self.inner.shape()
        return attrs.evolve(inner, type_name=f"optional {inner.type_name}", min_size=0, greedy=True)

    def emit_decode(self, reader: Reader) -> str:
        reader.settle()
        absent = reader.bind(ABSENT)
        result = reader.let(absent)
        with reader.block("if o != end:"):
            value = self.inner.emit_decode(reader)
            reader.line(f"{result} = {value}")
        return result

    def emit_encode(self, writer: Writer, value: str) -> None:
        value, pieces, absent = writer.let(value), writer.let("[]"), writer.bind(ABSENT)
        if writer.trailing:
            writer.refuse(f"{value} is not {absent} and {writer.trailing} is {absent}", Fault.BAD_VALUE)
        writer.trailing = value
        with writer.part(f"if {value} is not {absent}:", pieces):
            self.inner.emit_encode(writer, value)
        writer.put(f'b"".join({pieces})')

    def dissect_from(self, data: Buffer, offset: int, end: int, name: str, opener: Opener | None) -> Node:
        if offset == end:
            return Node(name=name, offset=offset, raw=b"", value=ABSENT)
        return self.inner.dissect_from(data, offset, end, name, opener)


def check_order(fields: Sequence[tuple[str, Codec[Any]]]) -> None:
    """Raise TypeError for a field behind one that reads up to the end. ``Trailing`` ones may follow each other."""
    for (before, first), (name, second) in pairwise(fields):
        row = isinstance(first, Trailing) and not first.inner.shape().greedy and isinstance(second, Trailing)
        if first.shape().greedy and not row:
            raise TypeError(f"{name} cannot follow {before}, which reads up to the end")


def _unterminated(start: int, end: int, most: int, field: str, after: int) -> WireError:
    if end - start >= most:
        return WireError(Fault.BAD_LENGTH, start, field)
    return WireError(Fault.TRUNCATED, start, field, need=1 + after)
