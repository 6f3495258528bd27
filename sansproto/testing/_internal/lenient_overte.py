"""How the reference reads packets of Overte: without ever looking at the state of the stream. For comparison only."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from ...overte.qt import (
    ADDRESS_FORMS,
    NULL_LENGTH,
    V6_BYTES,
    Nullable,
    NullAddress,
    OpenEnum,
    QByteArray,
    SockAddrCodec,
    SocketType,
    ToEnd,
    from_body,
)
from ...wire import ABSENT, U8, U32BE, Bool, Bytes, Codec, Fixed, Int, Nested, Packet, Rest, Text, Trailing

P = TypeVar("P", bound=Packet)


def read_leniently(kind: type[P], data: bytes) -> P:
    """The packet that the reference takes ``data`` for: docs/protocols/overte.rst, reader.

    What is behind the end reads as 0 or empty, and a read over the end uses up the rest. A string of an odd length is
    empty, and reading goes on behind its length. Never raises ``WireError``.
    """
    return _Lenient(data).packet(kind)


class _Lenient:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def packet(self, kind: type[P]) -> P:
        return kind(**{field.name: self._value(field.codec) for field in kind.__wire__.fields})

    def _left(self) -> int:
        return len(self._data) - self._at

    def _take(self, size: int) -> bytes:
        """So many bytes, or those that are left if there are fewer."""
        start, self._at = self._at, min(self._at + size, len(self._data))
        return self._data[start : self._at]

    def _exactly(self, size: int, otherwise: bytes) -> bytes:
        raw = self._take(size)
        return raw if len(raw) == size else otherwise

    def _value(self, codec: Codec[Any]) -> Any:
        match codec:
            case Fixed() if codec is V6_BYTES:  # read one by one
                return self._take(16).ljust(16, b"\0")
            case Int() | Fixed():
                return codec.decode(self._exactly(codec.size, bytes(codec.size)))
            case Bool():
                return self._exactly(1, b"\0") != b"\0"
            case OpenEnum():
                return codec.decode(codec.inner.encode(self._value(codec.inner)))
            case Bytes():
                return self._take_counted(codec)
            case Text():
                return str(self._take(self._value(codec.count)), "utf-8", "replace")
            case Rest():
                return self._take(self._left())
            case Nullable():
                return self._nullable(codec)
            case SockAddrCodec():
                kind = self._value(U8) if codec.typed else SocketType.UDP
                return from_body(self.packet(ADDRESS_FORMS.get(self._value(U8), NullAddress)), kind)
            case Nested():
                return self.packet(codec.packet)
            case Trailing():
                return self._value(codec.inner) if self._left() else ABSENT
            case ToEnd():
                return tuple(iter(lambda: self._value(codec.item) if self._left() else None, None))
        raise TypeError(f"{codec.shape().type_name} is never read leniently")

    def _take_counted(self, codec: Bytes) -> bytes:
        return self._exactly(self._value(codec.count), b"")

    def _nullable(self, codec: Nullable[Any]) -> bytes | str | None:
        length = cast(int, self._value(U32BE))
        if length == NULL_LENGTH:
            return None
        if isinstance(codec, QByteArray):
            return self._exactly(length, b"")
        return str(b"" if length & 1 else self._exactly(length, b""), "utf-16-be", "surrogatepass")
