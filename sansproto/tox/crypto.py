"""Everything of Tox that needs a cryptographic library: keys, seals, hashes, nonces. Pure functions, no randomness.

What is sealed "between" two keys is sealed with the key that both agree on (``agree``): docs/protocols/tox.rst,
primitives. A sealed text is its MAC of 16 bytes, then as many bytes as the clear text has.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import attrs
from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from ..errors import Fault, WireError
from .packets import KEY_SIZE, NONCE_SIZE

_NONCES: Final = 1 << 8 * NONCE_SIZE
_SIGN: Final = 0x7F
_PRIME: Final = 2**255 - 19
_ORDER_8: Final = (
    0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
)
_SMALL: Final = frozenset(
    number.to_bytes(KEY_SIZE, "little") for number in (0, 1, *_ORDER_8, _PRIME - 1, _PRIME, _PRIME + 1)
)
"""The points of small order, in every encoding but for the bit that is not looked at."""


@attrs.frozen
class KeyPair:
    """An X25519 key pair."""

    secret: bytes = attrs.field(repr=False)
    """32 bytes, which nobody else may know."""
    public: bytes
    """32 bytes."""

    @classmethod
    def of(cls, secret: bytes) -> KeyPair:
        """Raises ValueError unless there are 32 bytes."""
        if len(secret) != KEY_SIZE:
            raise ValueError(f"a secret key has {KEY_SIZE} bytes")
        return cls(secret, sodium.crypto_scalarmult_base(secret))


def is_key(public: bytes) -> bool:
    """Can it be a public key: 32 bytes, and of no small order? With such a point everybody agrees on the same key."""
    return len(public) == KEY_SIZE and public[:-1] + bytes([public[-1] & _SIGN]) not in _SMALL


def agree(secret: bytes, public: bytes) -> bytes:
    """The key of 32 bytes that both ends get. Raises WireError (``BAD_POINT``) for a point of small order."""
    if not is_key(public):
        raise WireError(Fault.BAD_POINT)
    return sodium.crypto_box_beforenm(public, secret)


def seal(key: bytes, nonce: bytes, clear: bytes) -> bytes:
    return sodium.crypto_secretbox(clear, nonce, key)


def open_sealed(key: bytes, nonce: bytes, sealed: bytes) -> bytes:
    """The clear text. Raises WireError (``BAD_MAC``)."""
    try:
        return sodium.crypto_secretbox_open(sealed, nonce, key)
    except CryptoError:
        raise WireError(Fault.BAD_MAC) from None


def nonce_after(nonce: bytes, steps: int) -> bytes:
    """The nonce that follows after so many steps."""
    return ((int.from_bytes(nonce, "big") + steps) % _NONCES).to_bytes(NONCE_SIZE, "big")


def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def are_equal(one: bytes, other: bytes) -> bool:
    """Takes the same time either way."""
    return hmac.compare_digest(one, other)
