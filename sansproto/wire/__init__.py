"""One declaration per packet, and everything else derived from it.

A packet is a class whose fields carry their codec and a short doc string::

    @packet(id=0x18)
    class CookieRequest(Packet):
        key: bytes = field(Fixed(32), "sender's key")
        nonce: bytes = field(Fixed(24))
        sealed: bytes = field(Fixed(88), "box: real key, padding, number", sealed=True)

``CookieRequest.decode(data)`` and ``packet.encode()`` run functions that were compiled from the declaration when the
class was made; ``dissect`` gives a tree also of broken bytes, :func:`layout_rows` the byte table of the docs, and
``sansproto.testing.strategies.packets`` a Hypothesis strategy.

Two laws hold: ``decode(encode(x)) == x`` for every packet that encodes (a NaN aside; a binary32 field is rounded by
encoding), and ``encode(decode(b)) == b`` for all bytes but those that a codec's ``accepts`` names.
"""

from ..errors import Fault, WireError
from .base import Codec, Shape, SourceCodec
from .codecs import (
    ABSENT,
    BOOL,
    F32BE,
    F32LE,
    F64BE,
    F64LE,
    I8,
    I16BE,
    I16LE,
    I32BE,
    I32LE,
    I64BE,
    I64LE,
    PRINTABLE,
    U8,
    U16BE,
    U16LE,
    U32BE,
    U32LE,
    U64BE,
    U64LE,
    Absent,
    Bool,
    Bytes,
    Const,
    EnumOf,
    Fixed,
    Float,
    HexInt,
    InRange,
    Int,
    ListOf,
    Rest,
    Terminated,
    Text,
    Trailing,
)
from .declare import Field, Frame, Nested, OneOf, Packet, Wire, by_id, const, field, packet, padding
from .dissect import Node, Opener, Sealed
from .layout import LayoutRow, layout_rows, layout_rst
from .source import Buffer, Reader, Writer

__all__ = [
    "ABSENT",
    "BOOL",
    "F32BE",
    "F32LE",
    "F64BE",
    "F64LE",
    "I8",
    "I16BE",
    "I16LE",
    "I32BE",
    "I32LE",
    "I64BE",
    "I64LE",
    "PRINTABLE",
    "U8",
    "U16BE",
    "U16LE",
    "U32BE",
    "U32LE",
    "U64BE",
    "U64LE",
    "Absent",
    "Bool",
    "Buffer",
    "Bytes",
    "Codec",
    "Const",
    "EnumOf",
    "Fault",
    "Field",
    "Fixed",
    "Float",
    "Frame",
    "HexInt",
    "InRange",
    "Int",
    "LayoutRow",
    "ListOf",
    "Nested",
    "Node",
    "OneOf",
    "Opener",
    "Packet",
    "Reader",
    "Rest",
    "Sealed",
    "Shape",
    "SourceCodec",
    "Terminated",
    "Text",
    "Trailing",
    "Wire",
    "WireError",
    "Writer",
    "by_id",
    "const",
    "field",
    "layout_rows",
    "layout_rst",
    "packet",
    "padding",
]
