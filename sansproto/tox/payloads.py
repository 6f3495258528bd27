"""The clear text of a Data packet: docs/protocols/tox.rst, data packets. (By hand: this is the bulk path.)"""

from __future__ import annotations

from struct import Struct
from typing import Final

from .packets import MAX_PAYLOAD

_HEAD: Final = Struct(">II")
_PADDING: Final = tuple(bytes((MAX_PAYLOAD - size) % 8) for size in range(8))
"""By the last three bits of the size of a payload: what is sealed tells its size to 8 bytes only."""


def write(buffer_start: int, number: int, payload: bytes) -> bytes:
    """A DataBody. The payload has 1 to 1373 bytes, the first of which is not zero."""
    return _HEAD.pack(buffer_start, number) + _PADDING[len(payload) & 7] + payload


def read(clear: bytes) -> tuple[int, int, bytes]:
    """``buffer_start`` and ``number`` of a DataBody, and its payload: of nothing but zeros nothing is left."""
    buffer_start, number = _HEAD.unpack_from(clear)
    return buffer_start, number, clear[8:].lstrip(b"\0")
