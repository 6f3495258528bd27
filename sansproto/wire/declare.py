"""Packets: one declaration, from which everything else is derived. See :mod:`sansproto.wire`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self, TypeVar, cast, dataclass_transform, overload

import attrs

from ..blank import blank_of
from ..errors import Fault, WireError
from .base import Codec, Shape, SourceCodec, total
from .codecs import Const, check_order
from .dissect import Node, Opener, Sealed
from .source import Buffer, Decoder, Reader, Writer

T = TypeVar("T")
P = TypeVar("P", bound="Packet")
H = TypeVar("H", bound="Packet")


@attrs.frozen
class Field:
    """One field of a packet, as it was declared."""

    codec: Codec[Any]
    doc: str
    secret: bool
    sealed: bool
    default: object
    name: str = ""


@attrs.frozen(kw_only=True)
class Wire(Shape):
    """What a packet class knows about its bytes: its ``__wire__``."""

    id: int | None
    fields: tuple[Field, ...]
    decode_from: Decoder = attrs.field(repr=False)
    encode: Callable[[Any], bytes] = attrs.field(repr=False)


class Packet:
    """The base of packet classes; :func:`packet` completes them."""

    __slots__ = ()
    __wire__: ClassVar[Wire]

    def validate(self) -> None:
        """Override to refuse (``WireError``) values that fit field by field but not together.

        Called after decoding and before encoding, not by the constructor. Offsets count from the packet's first byte.
        """

    def encode(self) -> bytes:
        """The bytes of the packet.

        Raises ``WireError`` (``BAD_VALUE``, ``BAD_LENGTH``, ``BAD_TYPE``, with the field) for values that have none.
        """
        return self.__wire__.encode(self)

    @classmethod
    def decode(cls, data: Buffer) -> Self:
        """The packet of which ``data`` is exactly the encoding.

        Raises ``WireError``; ``TRUNCATED`` if bytes are missing, ``TRAILING`` if bytes are left over.
        """
        end = len(data)
        value, offset = cls.__wire__.decode_from(data, 0, end)
        if offset != end:
            raise WireError(Fault.TRAILING, offset)
        return cast(Self, value)

    @classmethod
    def decode_prefix(cls, data: Buffer, offset: int = 0) -> tuple[Self, int]:
        """The packet that begins at ``offset``, and the offset behind it.

        Raises ``WireError``; after ``TRUNCATED``, trying again is of no use before ``need`` more bytes are there.
        """
        return cls.__wire__.decode_from(data, offset, len(data))

    @classmethod
    def dissect(cls, data: Buffer, opener: Opener | None = None) -> Node:
        """The tree of ``data``, whatever it holds; ``opener`` is asked for the content of sealed fields."""
        return Nested(cls).dissect(data, opener)


def field(
    codec: Codec[T], doc: str = "", *, secret: bool = False, sealed: bool = False, default: Any = attrs.NOTHING
) -> T:
    """Declare a field of a packet. A ``secret`` value is not in the repr; a ``sealed`` one is given to the opener.

    ``default`` makes the constructor argument optional; a :class:`Trailing` field usually has ``default=ABSENT``.
    """
    return cast(T, Field(codec, doc, secret, sealed, default))


def const(content: bytes, doc: str = "", *, fault: Fault = Fault.BAD_VALUE, init: Literal[False] = False) -> bytes:
    """Declare bytes that are always the same, such as a magic number. For others decoding raises ``fault``.

    They are an attribute of the class, not an argument of the constructor. ``init`` is for type checkers only.
    """
    return field(Const(content, fault), doc)


def padding(size: int, doc: str = "padding", *, init: Literal[False] = False) -> bytes:
    """Declare ``size`` zero bytes, which are checked."""
    return const(bytes(size), doc, init=init)


@overload
def packet(cls: type[P], /) -> type[P]: ...
@overload
def packet(*, id: int | None = None) -> Callable[[type[P]], type[P]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field, const, padding))
def packet(cls: type[P] | None = None, /, *, id: int | None = None) -> type[P] | Callable[[type[P]], type[P]]:
    """Make a frozen, slotted attrs class out of a class with declared fields, and compile its two functions.

    ``id`` is the value that names the packet where packets are told apart. The packet itself does not encode it: the
    frame or :class:`OneOf` around it does (:func:`by_id` makes their tables).
    """
    return _complete(cls, id) if cls is not None else lambda cls: _complete(cls, id)


def by_id(*packets: type[P]) -> dict[int, type[P]]:
    """A table of packets by their ids. Each packet needs an id of its own."""
    table = {wire.id: kind for kind in packets if (wire := kind.__wire__).id is not None}
    if len(table) != len(packets):
        raise ValueError("packets without an id, or with the same one")
    return table


def _complete(cls: type[P], id: int | None) -> type[P]:
    declared = [attrs.evolve(one, name=name) for name, one in vars(cls).items() if isinstance(one, Field)]
    these = {}
    for one in declared:
        if hasattr(Packet, one.name):
            raise TypeError(f"{one.name} is a name that packets use themselves")
        if isinstance(one.codec, Const):
            setattr(cls, one.name, one.codec.content)
        else:
            these[one.name] = attrs.field(default=one.default, repr=not one.secret)
    frozen = attrs.define(cls, these=these, frozen=True, slots=True, weakref_slot=False)
    fields = (*(cls.__wire__.fields if hasattr(cls, "__wire__") else ()), *declared)
    check_order([(one.name, one.codec) for one in fields])
    shapes = {one.name: one.codec.shape() for one in fields}
    frozen.__wire__ = Wire(
        cls.__name__,
        sum(shape.min_size for shape in shapes.values()),
        total(shape.max_size for shape in shapes.values()),
        greedy=any(shape.greedy for shape in shapes.values()),
        accepts="; ".join(f"{name}: {shape.accepts}" for name, shape in shapes.items() if shape.accepts),
        id=id,
        fields=fields,
        decode_from=_compile_decode(frozen, fields),
        encode=_compile_encode(frozen, fields),
    )
    return frozen


def _compile_decode(cls: type[Packet], fields: tuple[Field, ...]) -> Decoder:
    reader = Reader()
    values = []
    checked = cls.validate is not Packet.validate
    begin = reader.let("o") if checked else ""
    for index, one in enumerate(fields):
        reader.field, reader.after = one.name, sum(later.codec.shape().min_size for later in fields[index + 1 :])
        value = one.codec.emit_decode(reader)
        if not isinstance(one.codec, Const):
            values.append((one.name, value))
    end = reader.cursor()
    reader.line(f"x = {reader.bind(blank_of(cls))}()")
    for name, value in values:
        reader.line(f"x.{name} = {value}")
    reader.line(f"x.__class__ = {reader.bind(cls)}")
    if checked:
        error = f'inside(error, "", start={begin})'
        reader.line(f"try:\n    x.validate()\nexcept WireError as error:\n    raise {error} from None")
    reader.line(f"return x, {end}")
    return reader.build(f"decode_{cls.__name__}", "buf, o, end")


def _compile_encode(cls: type[Packet], fields: tuple[Field, ...]) -> Callable[[Any], bytes]:
    writer = Writer()
    if cls.validate is not Packet.validate:
        writer.line("x.validate()")
    for one in fields:
        writer.field = one.name
        one.codec.emit_encode(writer, writer.let(f"x.{one.name}"))
    writer.line(f"return {writer.result()}")
    return writer.build(f"encode_{cls.__name__}", "x")


@attrs.frozen(slots=False, eq=False)
class Nested(SourceCodec[P]):
    """A packet within a packet."""

    packet: type[P]

    def shape(self) -> Shape:
        return self.packet.__wire__

    def emit_decode(self, reader: Reader) -> str:
        return reader.call(reader.bind(self.packet.__wire__.decode_from))

    def emit_encode(self, writer: Writer, value: str) -> None:
        writer.refuse(f"type({value}) is not {writer.bind(self.packet)}", Fault.BAD_TYPE)
        writer.call(self.packet.__wire__.encode, value)

    def parts(self, data: Buffer, offset: int, end: int, opener: Opener | None, error: WireError | None) -> list[Node]:
        nodes: list[Node] = []
        for one in self.packet.__wire__.fields:
            node = one.codec.dissect_from(data, offset, end, one.name, opener)
            nodes.append(attrs.evolve(node, secret=one.secret))
            if node.fault:
                break
            offset = node.end
        else:
            if error is not None:  # each field can be read, but they do not fit together
                for index, node in enumerate(nodes):
                    if node.name == error.field:
                        nodes[index] = attrs.evolve(node, value=None, fault=error.fault)
        return nodes if opener is None else self._open(nodes, opener)

    def _open(self, nodes: list[Node], opener: Opener) -> list[Node]:
        siblings = {node.name: node.value for node in nodes if not node.fault}
        opened = []
        for node, one in zip(nodes, self.packet.__wire__.fields, strict=False):
            if one.sealed and isinstance(node.value, bytes):
                try:
                    content = opener(Sealed(self.packet, node.name, node.value, siblings))
                    node = attrs.evolve(node, opened=content)
                except WireError as error:
                    node = attrs.evolve(node, fault=error.fault)
            opened.append(node)
        return opened


@attrs.frozen(slots=False, eq=False)
class OneOf(SourceCodec[T]):
    """A tag, then the packet that ``packets`` has for it; other tags are ``BAD_TYPE``.

    ``OneOf[A | B](U8, {1: A, 2: B})`` is a codec of ``A | B``, so that ``match`` with ``assert_never`` can be checked.
    """

    tag: Codec[Any]
    packets: Mapping[Any, type[Packet]]

    def __attrs_post_init__(self) -> None:
        if len(set(self.packets.values())) != len(self.packets):
            raise ValueError("two tags for one packet")

    def shape(self) -> Shape:
        tag = self.tag.shape()
        name = f"{tag.type_name} tag, then {' or '.join(kind.__name__ for kind in self.packets.values())}"
        return _followed(tag, self.packets, name)

    def emit_decode(self, reader: Reader) -> str:
        tag = self.tag.emit_decode(reader)
        table = reader.bind({tag: kind.__wire__.decode_from for tag, kind in self.packets.items()})
        decoder = reader.let(f"{table}.get({tag})")
        reader.refuse(f"{decoder} is None", Fault.BAD_TYPE, reader.at)
        return reader.call(decoder)

    def emit_encode(self, writer: Writer, value: str) -> None:
        table = writer.bind({kind: tag for tag, kind in self.packets.items()})
        tag = writer.let(f"{table}.get(type({value}))")
        writer.refuse(f"{tag} is None", Fault.BAD_TYPE)
        self.tag.emit_encode(writer, tag)
        writer.call(Packet.encode, value)

    def parts(self, data: Buffer, offset: int, end: int, opener: Opener | None, error: WireError | None) -> list[Node]:
        tag = self.tag.dissect_from(data, offset, end, "tag", opener)
        kind = None if tag.fault else self.packets.get(tag.value)
        return [tag, *_behind(tag, kind, data, end, opener)]


@attrs.frozen(slots=False, eq=False)
class Frame(Codec[tuple[H, P]]):
    """A header packet, then the packet that ``payloads`` has for the value of the header's field ``tag``.

    ``Frame[Header, Hello | Closed](Header, "type", by_id(Hello, Closed))``. If the payloads depend on something that is
    known only at run time, make a frame for each of their tables. On a stream no payload may be greedy.
    """

    header: type[H]
    tag: str
    payloads: Mapping[Any, type[P]]

    def shape(self) -> Shape:
        return _followed(Nested(self.header).shape(), self.payloads, "Frame")

    def decode_prefix(self, data: Buffer, offset: int = 0) -> tuple[H, P, int]:
        """Header, payload and the offset behind them, of the frame that begins at ``offset``.

        Raises ``WireError``: ``BAD_TYPE`` for a tag without payload; after ``TRUNCATED``, trying again is of no use
        before ``need`` more bytes are there.
        """
        (header, payload), stop = self.decode_from(data, offset, len(data))
        return header, payload, stop

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[tuple[H, P], int]:
        header, start = self.header.__wire__.decode_from(data, offset, end)
        kind = self.payloads.get(getattr(header, self.tag))
        if kind is None:
            parts = Nested(self.header).dissect_from(data, offset, end, "", None).children
            raise WireError(Fault.BAD_TYPE, next(part.offset for part in parts if part.name == self.tag), self.tag)
        payload, stop = kind.__wire__.decode_from(data, start, end)
        return (header, payload), stop

    def encode(self, value: tuple[H, P]) -> bytes:
        header, payload = value
        if self.payloads.get(getattr(header, self.tag)) is not type(payload):
            raise WireError(Fault.BAD_TYPE, 0, self.tag)
        return header.encode() + payload.encode()

    def parts(self, data: Buffer, offset: int, end: int, opener: Opener | None, error: WireError | None) -> list[Node]:
        header = Nested(self.header).dissect_from(data, offset, end, self.header.__name__, opener)
        kind = None if header.fault else self.payloads.get(getattr(header.value, self.tag))
        return [header, *_behind(header, kind, data, end, opener)]


def _behind(first: Node, kind: type[Packet] | None, data: Buffer, end: int, opener: Opener | None) -> list[Node]:
    """The node of the packet of this kind behind ``first``, if any."""
    return [Nested(kind).dissect_from(data, first.end, end, kind.__name__, opener)] if kind else []


def _followed(first: Shape, packets: Mapping[Any, type[Packet]], name: str) -> Shape:
    """The shape of ``first`` with one of the packets behind it."""
    wires = [kind.__wire__ for kind in packets.values()]
    sizes = [wire.max_size for wire in wires]
    most = None if None in sizes else max(size or 0 for size in sizes)
    return Shape(
        name,
        first.min_size + min(wire.min_size for wire in wires),
        total([first.max_size, most]),
        greedy=any(wire.greedy for wire in wires),
        accepts="; ".join(dict.fromkeys(shape.accepts for shape in (first, *wires) if shape.accepts)),
    )
