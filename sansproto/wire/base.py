"""What a codec is: the base classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Generic, TypeAlias, TypeVar

import attrs

from ..errors import Fault, WireError
from .dissect import Node, Opener, parent
from .source import Buffer, Reader, Writer

T = TypeVar("T")

_Decode: TypeAlias = Callable[[Buffer, int, int], tuple[T, int]]


@attrs.frozen
class Shape:
    """What all encodings of a codec have in common."""

    type_name: str
    """The type as the byte tables of the docs name it."""
    min_size: int
    """The fewest bytes that an encoding takes."""
    max_size: int | None = None
    """The most bytes that an encoding takes; None if nothing bounds it."""
    greedy: bool = attrs.field(default=False, kw_only=True)
    """Whether decoding reads up to the end of what is there, so that nothing may follow."""
    accepts: str = attrs.field(default="", kw_only=True)
    """What decoding takes besides the one form that encoding gives, for the docs; empty means nothing."""


class Codec(ABC, Generic[T]):
    """The encoding of values of type ``T``.

    To add one without writing source, subclass this, give :meth:`shape`, :meth:`decode_from` and :meth:`encode`,
    and register a strategy with ``sansproto.testing.strategies.values``.
    """

    @abstractmethod
    def shape(self) -> Shape:
        """What all encodings have in common."""

    @abstractmethod
    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[T, int]:
        """The value that begins at ``offset``, and the offset behind it; must not look at ``data[end:]``.

        Raises ``WireError``, with offsets that count from the beginning of ``data``; ``TRUNCATED`` has ``need`` > 0.
        """

    @abstractmethod
    def encode(self, value: T) -> bytes:
        """The encoding of one value. Raises ``WireError`` (``BAD_VALUE``, ``BAD_LENGTH``) for what has none."""

    def emit_decode(self, reader: Reader) -> str:
        """Write source that reads the value. Returns an expression for it."""
        return reader.call(reader.bind(self.decode_from))

    def emit_encode(self, writer: Writer, value: str) -> None:
        """Write source that appends the value of the expression ``value``."""
        writer.call(self.encode, value)

    def decode(self, data: Buffer) -> T:
        """The value of which ``data`` is the encoding. Raises ``WireError``, ``TRAILING`` if bytes are left over."""
        value, offset = self.decode_from(data, 0, len(data))
        if offset != len(data):
            raise WireError(Fault.TRAILING, offset)
        return value

    def dissect(self, data: Buffer, opener: Opener | None = None) -> Node:
        """The tree of ``data``, whatever it holds. Raises only what ``opener`` raises, unless that is ``WireError``."""
        node = self.dissect_from(data, 0, len(data), self.shape().type_name, opener)
        if node.fault or node.end == len(data):
            return node
        rest = Node(name="trailing", offset=node.end, raw=bytes(data[node.end :]), fault=Fault.TRAILING)
        children = (*node.children, rest) if node.children else (node, rest)
        return parent(node.name, data, 0, len(data), children, None, Fault.TRAILING)

    def dissect_from(self, data: Buffer, offset: int, end: int, name: str, opener: Opener | None) -> Node:
        """The node of what begins at ``offset``."""
        value: T | None
        try:
            (value, stop), error = self.decode_from(data, offset, end), None
        except WireError as refused:
            value, stop, error = None, end, refused
        fault = error.fault if error else None
        nodes = self.parts(data, offset, end, opener, error)
        if nodes:
            return parent(name, data, offset, end, nodes, value, fault)
        return Node(name=name, offset=offset, raw=bytes(data[offset:stop]), value=value, fault=fault)

    def parts(self, data: Buffer, offset: int, end: int, opener: Opener | None, error: WireError | None) -> list[Node]:
        """The nodes of what it consists of, for a codec with parts; ``error`` is why it cannot be decoded."""
        return []


class SourceCodec(Codec[T]):
    """A codec that writes its source: only ``emit_decode`` and ``emit_encode`` say how it works.

    Instances need a ``__dict__``, in which the functions are kept that using the codec by itself asks for.
    """

    @abstractmethod
    def emit_decode(self, reader: Reader) -> str: ...

    @abstractmethod
    def emit_encode(self, writer: Writer, value: str) -> None: ...

    @cached_property
    def decode_from(self) -> _Decode[T]:  # pyright: ignore[reportIncompatibleMethodOverride]
        reader = Reader()
        value = self.emit_decode(reader)
        reader.line(f"return {value}, {reader.cursor()}")
        return reader.build("decode", "buf, o, end")

    @cached_property
    def encode(self) -> Callable[[T], bytes]:  # pyright: ignore[reportIncompatibleMethodOverride]
        writer = Writer()
        self.emit_encode(writer, "x")
        writer.line(f"return {writer.result()}")
        return writer.build("encode", "x")


def total(sizes: Iterable[int | None]) -> int | None:
    """The sum of sizes; None as soon as one of them is unbounded."""
    known = list(sizes)
    return None if None in known else sum(size or 0 for size in known)
