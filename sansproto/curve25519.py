"""Which bytes are no key of X25519: whoever has such a point agrees on the same key with everybody."""

from __future__ import annotations

from typing import Final

PRIME: Final = 2**255 - 19
"""Of the field: smaller numbers are the canonical encodings."""

_SIZE: Final = 32
_LOW_BITS: Final = 0x7F
_ORDER_8: Final = (
    0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
)
_SMALL: Final = frozenset(number.to_bytes(_SIZE, "little") for number in (0, 1, *_ORDER_8, PRIME - 1, PRIME, PRIME + 1))


def has_small_order(public: bytes) -> bool:
    """Is this one of them, in any encoding? The highest bit of the 32 bytes is not looked at, as X25519 has it."""
    return public[:-1] + bytes([public[-1] & _LOW_BITS]) in _SMALL
