"""What QDataStream writes, as codecs; all of it is big-endian. docs/protocols/overte.rst, two serialisations.

Two codecs that Overte's packets need besides are here too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from struct import Struct
from typing import Final, TypeAlias, TypeVar

import attrs

from ..blank import blank_of
from ..errors import Fault, WireError
from ..wire import (
    U8,
    U16BE,
    U32BE,
    Buffer,
    Bytes,
    Codec,
    Fixed,
    Node,
    OneOf,
    Opener,
    Packet,
    Reader,
    SourceCodec,
    Writer,
    field,
    packet,
)
from ..wire.base import Shape, total
from ..wire.dissect import parent

T = TypeVar("T")

MAX_BYTES: Final = 1392
"""The most bytes that a string or array may have: as many as the largest datagram of the reference."""

NULL_UUID: Final = bytes(16)
UUID: Final = Fixed(16)
"""A QUuid: its 16 bytes in the order of RFC 4122. It stays ``bytes``; :func:`uuid_text` is for people."""

WRITE_BYTES: Final = Bytes(U32BE, max=MAX_BYTES)
"""What ``QDataStream::writeBytes`` writes: a length, then bytes."""

U8_LIST: Final = Bytes(U32BE, max=MAX_BYTES)
"""A QList of items of one byte, or a QSet: a count, then the items."""

MAX_SCOPE: Final = 512
"""The most bytes that the scope of an address may have: an interface has a name of up to 256 letters, or a number.

So the longest node record fits into a domain list, whatever a node says of its sockets.
"""

NULL_LENGTH: Final = 0xFFFFFFFF


def uuid_text(uuid: bytes) -> str:
    """The usual form of 16 bytes: ``00112233-4455-6677-8899-aabbccddeeff``."""
    digits = uuid.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


# -- strings and arrays, which may be null -----------------------------------------------------------------------------


@attrs.frozen(slots=False, eq=False)
class Nullable(SourceCodec[T | None]):
    max: int = MAX_BYTES

    def shape(self) -> Shape:
        return Shape(type(self).__name__, 4, 4 + self.max)

    def emit_encode(self, writer: Writer, value: str) -> None:
        writer.call(self._write, value)

    def _write(self, value: T | None) -> bytes:
        if value is None:
            return b"\xff\xff\xff\xff"
        content = self._content_of(value)
        if len(content) > self.max:
            raise WireError(Fault.BAD_LENGTH)
        return len(content).to_bytes(4, "big") + content

    def _content_of(self, value: T) -> bytes:
        raise NotImplementedError

    def _emit_content(self, reader: Reader) -> str:
        length = reader.take("I", ">")
        result = reader.let("None")
        with reader.block(f"if {length} != {NULL_LENGTH}:"):
            self._refuse_length(reader, length)
            reader.refuse(f"{length} > {self.max}", Fault.BAD_LENGTH, "o - 4")
            content = reader.slice(length)
            reader.line(f"{result} = {content}")
        return result

    def _refuse_length(self, reader: Reader, length: str) -> None:
        """Refuse a length that no content can have."""


class QByteArray(Nullable[bytes]):
    """Bytes, at most ``max`` of them, or None: to Qt, null is not the same as empty."""

    def emit_decode(self, reader: Reader) -> str:
        return self._emit_content(reader)

    def _content_of(self, value: bytes) -> bytes:
        return value


class QString(Nullable[str]):
    """UTF-16 text of at most ``max`` bytes, or None, which is not the same as empty.

    Qt does not care whether the UTF-16 is well-formed: half a surrogate pair decodes to a lone surrogate. A string that
    has both halves as two characters is no different on the wire from the one with the whole character: ``BAD_VALUE``.
    An odd number of bytes is ``BAD_ENCODING``.
    """

    def _refuse_length(self, reader: Reader, length: str) -> None:
        reader.refuse(f"{length} & 1", Fault.BAD_ENCODING, "o - 4")

    def emit_decode(self, reader: Reader) -> str:
        raw = self._emit_content(reader)
        return f'None if {raw} is None else str({raw}, "utf-16-be", "surrogatepass")'

    def _content_of(self, value: str) -> bytes:
        if _SPLIT_PAIR.search(value):
            raise WireError(Fault.BAD_VALUE)
        return value.encode("utf-16-be", "surrogatepass")


_SPLIT_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")

QBYTEARRAY: Final = QByteArray()
QSTRING: Final = QString()
_SCOPE: Final = QString(MAX_SCOPE)


# -- addresses ---------------------------------------------------------------------------------------------------------


class SocketType(IntEnum):
    """What an address with a socket type in front of it is good for."""

    UNKNOWN = 0
    """Not said."""
    UDP = 1
    """Datagrams."""
    WEBRTC = 2
    """A browser's data channel."""


@attrs.frozen(weakref_slot=False)
class SockAddr:
    """An address with its port.

    ``host`` is canonical numeric text (IPv4 within IPv6 as ``::ffff:192.0.2.1``), empty for the null address, ``*`` for
    any address of both families. Only IPv6 has a ``scope``, where None (which Qt writes) is not the same as empty.
    Where a packet does not say the ``kind``, it is UDP; a value that is no :class:`SocketType` is kept as it is.
    """

    host: str
    """Canonical numeric text; empty: null; ``*``: any."""
    port: int
    """0 where none is known."""
    scope: str | None = None
    """Of IPv6 only; None and empty differ on the wire."""
    kind: int = SocketType.UDP
    """A :class:`SocketType`, if it is one that is known."""

    @property
    def is_null(self) -> bool:
        return not self.host and not self.port


NULL_SOCK_ADDR: Final = SockAddr("", 0)
_BlankSockAddr: Final = blank_of(SockAddr)


@packet
class _V4(Packet):
    address: int = field(U32BE)
    port: int = field(U16BE)


V6_BYTES: Final = Fixed(16)


@packet
class _V6(Packet):
    address: bytes = field(V6_BYTES)
    scope: str | None = field(_SCOPE)
    port: int = field(U16BE)


@packet
class _Any(Packet):
    port: int = field(U16BE)


@packet
class NullAddress(Packet):
    port: int = field(U16BE)


_Body: TypeAlias = _V4 | _V6 | _Any | NullAddress
ADDRESS_FORMS: Final[Mapping[int, type[_Body]]] = {0x00: _V4, 0x01: _V6, 0x02: _Any, 0xFF: NullAddress}
ADDRESS: Final = OneOf[_Body](U8, ADDRESS_FORMS)
_MAPPED: Final = bytes(10) + b"\xff\xff"


@attrs.frozen(slots=False, eq=False)
class SockAddrCodec(SourceCodec[SockAddr]):
    """A QHostAddress, then the port; in front of it, if ``typed``, the socket type."""

    typed: bool

    def shape(self) -> Shape:
        address = ADDRESS.shape()
        name = "u8 socket type, SockAddr" if self.typed else "SockAddr"
        return Shape(name, self.typed + address.min_size, total([self.typed, address.max_size]))

    def emit_decode(self, reader: Reader) -> str:
        # Nearly all addresses are IPv4. With the socket type they are just 8 bytes: one number, for which the cache has
        # the object.
        reader.settle()
        value = reader.fresh()
        if self.typed:
            size, tag, key = 8, "buf[o + 1]", f"{reader.bind(Struct('>Q').unpack_from)}(buf, o)[0]"
        else:
            size, tag, key = 7, "buf[o]", f'int.from_bytes(buf[o:o + 7], "big") + {_UDP_V4}'
        with reader.block(f"if end - o >= {size} and not {tag}:"):
            reader.line(f"{value} = {reader.bind(_v4)}({key})")
            reader.move(f"o + {size}")
        with reader.block("else:"):
            reader.line(f"{value} = {reader.call(reader.bind(self._read))}")
        return value

    def emit_encode(self, writer: Writer, value: str) -> None:
        writer.call(self._write, value)

    def _read(self, data: Buffer, offset: int, end: int) -> tuple[SockAddr, int]:
        kind: int = SocketType.UDP
        if self.typed:
            kind, offset = U8.decode_from(data, offset, end)
        body, offset = ADDRESS.decode_from(data, offset, end)
        return from_body(body, kind), offset

    def _write(self, value: SockAddr) -> bytes:
        head, v6 = _host_bytes(value.host)
        if value.scope is not None and not v6:
            raise WireError(Fault.BAD_VALUE, 0, "scope")
        if not (0 <= value.kind <= 0xFF if self.typed else value.kind == SocketType.UDP):
            raise WireError(Fault.BAD_VALUE, 0, "kind")
        if not 0 <= value.port <= 0xFFFF:
            raise WireError(Fault.BAD_VALUE, 0, "port")
        kind = bytes((value.kind,)) if self.typed else b""
        scope = _SCOPE.encode(value.scope) if v6 else b""
        return kind + head + scope + value.port.to_bytes(2, "big")

    def dissect_from(self, data: Buffer, offset: int, end: int, name: str, opener: Opener | None) -> Node:
        leaf = super().dissect_from(data, offset, end, name, opener)
        nodes = [U8.dissect_from(data, offset, end, "kind", opener)] if self.typed else []
        if not (nodes and nodes[0].fault):
            nodes.append(ADDRESS.dissect_from(data, offset + self.typed, end, "address", opener))
        return parent(name, data, offset, end, nodes, leaf.value, leaf.fault)


@lru_cache(4096)
def _v4(number: int) -> SockAddr:
    """The address whose typed form is this number, big-endian."""
    blank = _BlankSockAddr()
    blank.host = f"{number >> 40 & 255}.{number >> 32 & 255}.{number >> 24 & 255}.{number >> 16 & 255}"
    blank.port, blank.scope, blank.kind = number & 0xFFFF, None, number >> 56
    blank.__class__ = SockAddr
    sock: SockAddr = blank
    return sock


_UDP_V4: Final = SocketType.UDP << 56


@lru_cache(1024)
def _v6_text(address: bytes) -> str:
    if address.startswith(_MAPPED):  # Pythons differ in how they write it
        return "::ffff:" + ".".join(map(str, address[12:]))
    return str(IPv6Address(address))


def from_body(body: _Body, kind: int) -> SockAddr:
    match body:
        case _V4():
            return _v4(kind << 56 | body.address << 16 | body.port)
        case _V6():
            return SockAddr(_v6_text(body.address), body.port, body.scope, kind)
    return SockAddr("*" if isinstance(body, _Any) else "", body.port, None, kind)


@lru_cache(4096)
def _host_bytes(host: str) -> tuple[bytes, bool]:
    """The tag and the address, without scope and port, and whether it is IPv6."""
    if host in _WITHOUT_BODY:
        return _WITHOUT_BODY[host], False
    try:
        address = ip_address(host)
    except ValueError:
        raise WireError(Fault.BAD_VALUE, 0, "host") from None
    v6 = address.version == 6
    if host != (_v6_text(address.packed) if v6 else str(address)):
        raise WireError(Fault.BAD_VALUE, 0, "host")
    return bytes([v6]) + address.packed, v6


def sock_addr_end(data: Buffer, offset: int) -> int | None:
    """Where a typed SockAddr ends, whatever its values are; None if its sizes make no sense."""
    body = ADDRESS_FORMS.get(data[offset + 1]) if offset + 1 < len(data) else None
    if body is None:
        return None
    end = offset + 2 + body.__wire__.min_size
    if body is _V6:
        size = int.from_bytes(data[offset + 18 : offset + 22], "big")
        end += 0 if size == NULL_LENGTH else size
    return end if end <= len(data) else None


_WITHOUT_BODY: Final = {"*": b"\x02", "": b"\xff"}

SOCK_ADDR: Final = SockAddrCodec(typed=False)
TYPED_SOCK_ADDR: Final = SockAddrCodec(typed=True)


# -- two codecs that have nothing to do with Qt ------------------------------------------------------------------------


@attrs.frozen(slots=False, eq=False)
class OpenEnum(SourceCodec[int]):
    """A member of ``enum`` as ``inner`` encodes its value; any other value is left as the number that it is."""

    inner: Codec[int]
    enum: type[IntEnum]

    def shape(self) -> Shape:
        inner = self.inner.shape()
        return attrs.evolve(inner, type_name=f"{self.enum.__name__} ({inner.type_name})")

    def emit_decode(self, reader: Reader) -> str:
        raw = self.inner.emit_decode(reader)
        members = reader.bind({member.value: member for member in self.enum})
        return f"{members}.get({raw}, {raw})"

    def emit_encode(self, writer: Writer, value: str) -> None:
        self.inner.emit_encode(writer, value)


@attrs.frozen(slots=False, eq=False)
class ToEnd(SourceCodec[tuple[T, ...]]):
    """Items up to the end of the packet, at most ``max``. The bytes left must be a whole number of items."""

    item: Codec[T]
    max: int = attrs.field(kw_only=True)

    def shape(self) -> Shape:
        item = self.item.shape()
        name = f"up to the end, 0 to {self.max} times ({item.type_name})"
        most = item.max_size and item.max_size * self.max
        return Shape(name, 0, most, greedy=True, accepts=item.accepts)

    def emit_decode(self, reader: Reader) -> str:
        reader.settle()
        items = reader.let("[]")
        with reader.block("while o != end:"):
            reader.refuse(f"len({items}) == {self.max}", Fault.BAD_LENGTH, "o")
            value = self.item.emit_decode(reader)
            reader.line(f"{items}.append({value})")
        return f"tuple({items})"

    def emit_encode(self, writer: Writer, value: str) -> None:
        items, item = writer.let("[]"), writer.fresh()
        writer.refuse(f"len({value}) > {self.max}", Fault.BAD_LENGTH)
        with writer.part(f"for {item} in {value}:", items):
            self.item.emit_encode(writer, item)
        writer.put(f'b"".join({items})')

    def dissect_from(self, data: Buffer, offset: int, end: int, name: str, opener: Opener | None) -> Node:
        leaf = super().dissect_from(data, offset, end, name, opener)
        nodes: list[Node] = []
        while len(nodes) < self.max and (start := nodes[-1].end if nodes else offset) < end:
            nodes.append(self.item.dissect_from(data, start, end, f"[{len(nodes)}]", opener))
        return parent(name, data, offset, end, nodes, leaf.value, leaf.fault)
