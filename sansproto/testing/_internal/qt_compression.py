"""The format of ``qCompress``. Our packets contain only the empty one, and our machines do not read others."""

from __future__ import annotations

import zlib
from typing import Final

from ...errors import Fault, WireError
from ...wire import U32BE

_EMPTY: Final = bytes(4)


def inflate(data: bytes, limit: int) -> bytes:
    """What ``qCompress`` made ``data`` of: at most ``limit`` bytes.

    Raises ``WireError``: ``BAD_LENGTH`` over the limit or if the announced length is wrong, ``BAD_ENCODING`` if it is
    not a zlib stream, ``TRUNCATED`` or ``TRAILING`` if the stream does not end with the data.
    """
    announced, start = U32BE.decode_from(data, 0, len(data))
    if announced > limit:
        raise WireError(Fault.BAD_LENGTH)
    if data == _EMPTY:
        return b""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data[start:], announced + 1)
    except zlib.error:
        raise WireError(Fault.BAD_ENCODING, start) from None
    if len(content) > announced:
        raise WireError(Fault.BAD_LENGTH)
    if not stream.eof:
        raise WireError(Fault.TRUNCATED, len(data), need=1)
    if stream.unused_data:
        raise WireError(Fault.TRAILING, len(data) - len(stream.unused_data))
    if len(content) < announced:
        raise WireError(Fault.BAD_LENGTH)
    return content


def deflate(content: bytes) -> bytes:
    """What ``qCompress`` makes of ``content``, but for the choices that a zlib has."""
    return len(content).to_bytes(4, "big") + zlib.compress(content) if content else _EMPTY
