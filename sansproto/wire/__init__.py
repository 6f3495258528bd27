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

from ..errors import Fault as Fault
from ..errors import WireError as WireError
from .base import Codec as Codec
from .base import Shape as Shape
from .base import SourceCodec as SourceCodec
from .codecs import ABSENT as ABSENT
from .codecs import BOOL as BOOL
from .codecs import F32BE as F32BE
from .codecs import F32LE as F32LE
from .codecs import F64BE as F64BE
from .codecs import F64LE as F64LE
from .codecs import I8 as I8
from .codecs import I16BE as I16BE
from .codecs import I16LE as I16LE
from .codecs import I32BE as I32BE
from .codecs import I32LE as I32LE
from .codecs import I64BE as I64BE
from .codecs import I64LE as I64LE
from .codecs import PRINTABLE as PRINTABLE
from .codecs import U8 as U8
from .codecs import U16BE as U16BE
from .codecs import U16LE as U16LE
from .codecs import U32BE as U32BE
from .codecs import U32LE as U32LE
from .codecs import U64BE as U64BE
from .codecs import U64LE as U64LE
from .codecs import Absent as Absent
from .codecs import Bool as Bool
from .codecs import Bytes as Bytes
from .codecs import Const as Const
from .codecs import EnumOf as EnumOf
from .codecs import Fixed as Fixed
from .codecs import Float as Float
from .codecs import HexInt as HexInt
from .codecs import InRange as InRange
from .codecs import Int as Int
from .codecs import ListOf as ListOf
from .codecs import Optional as Optional
from .codecs import Rest as Rest
from .codecs import Terminated as Terminated
from .codecs import Text as Text
from .codecs import TextToEnd as TextToEnd
from .codecs import Trailing as Trailing
from .declare import Field as Field
from .declare import Frame as Frame
from .declare import Nested as Nested
from .declare import OneOf as OneOf
from .declare import Packet as Packet
from .declare import Wire as Wire
from .declare import by_id as by_id
from .declare import const as const
from .declare import field as field
from .declare import packet as packet
from .declare import padding as padding
from .dissect import Node as Node
from .dissect import Opener as Opener
from .dissect import Sealed as Sealed
from .layout import LayoutRow as LayoutRow
from .layout import layout_rows as layout_rows
from .layout import layout_rst as layout_rst
from .source import Buffer as Buffer
from .source import Reader as Reader
from .source import Writer as Writer
