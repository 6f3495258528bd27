"""Everything of Freenet that needs a cryptographic library. Pure functions, no randomness.

Keys are bytes: 32 of X25519, 16 of AES-128-GCM. A :class:`Cipher` is a cache beside a key.
"""

from __future__ import annotations

from typing import Final

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from nacl import bindings as sodium

from ..curve25519 import has_small_order
from ..errors import Fault, WireError
from .packets import DATAGRAM, MAX_RECEIVED, MIN_SYMMETRIC, NONCE_SIZE, Intro, IntroBody

SECRET_SIZE: Final = 32
"""Bytes of an X25519 key."""

_FIRST: Final = bytes(NONCE_SIZE)  # the key of an intro seals once
_SYMMETRIC: Final = bytes([0x02])
_SEALED: Final = 1 + NONCE_SIZE


@attrs.frozen
class KeyPair:
    """An X25519 key pair."""

    secret: bytes = attrs.field(repr=False)
    """32 bytes, which nobody else may know."""
    public: bytes = attrs.field(repr=bytes.hex)
    """32 bytes: what a joiner must know of its gateway."""

    @classmethod
    def of(cls, secret: bytes) -> KeyPair:
        """Raises ValueError unless there are 32 bytes."""
        if len(secret) != SECRET_SIZE:
            raise ValueError(f"a secret key has {SECRET_SIZE} bytes")
        return cls(secret, sodium.crypto_scalarmult_base(secret))


def is_key(public: bytes) -> bool:
    """Can it be a public key: 32 bytes, and of no small order? With such a point everybody agrees on the same key."""
    return len(public) == SECRET_SIZE and not has_small_order(public)


def _agreed(secret: bytes, public: bytes) -> ChaCha20Poly1305:
    """Under the bare result of X25519. Raises WireError (``BAD_POINT``) for a point of small order."""
    if not is_key(public):
        raise WireError(Fault.BAD_POINT)
    return ChaCha20Poly1305(sodium.crypto_scalarmult(secret, public))


def seal_intro(receiver: bytes, ephemeral: bytes, body: IntroBody) -> bytes:
    """A whole intro, out of the receiver's public key and an ephemeral secret.

    Raises WireError (``BAD_POINT``) if the receiver's key is none.
    """
    sealed = _agreed(ephemeral, receiver).encrypt(_FIRST, body.encode(), None)
    return DATAGRAM.encode(Intro(sodium.crypto_scalarmult_base(ephemeral), sealed))


def open_intro(secret: bytes, intro: Intro) -> IntroBody:
    """What an intro says to the owner of this secret. Raises WireError (``BAD_POINT``, ``BAD_MAC``)."""
    try:
        return IntroBody.decode(_agreed(secret, intro.ephemeral).decrypt(_FIRST, intro.sealed, None))
    except InvalidTag:
        raise WireError(Fault.BAD_MAC) from None


class Cipher:
    """AES-128-GCM under one key: a cache, which costs as much to make as to seal with."""

    __slots__ = ("_decrypt", "_encrypt")

    def __init__(self, key: bytes) -> None:
        aead = AESGCM(key)
        self._encrypt, self._decrypt = aead.encrypt, aead.decrypt

    def seal(self, nonce: bytes, clear: bytes) -> bytes:
        """A whole Symmetric. (By hand, as is what opens it: this is the bulk path.)"""
        return _SYMMETRIC + nonce + self._encrypt(nonce, clear, None)

    def open(self, data: bytes) -> bytes:
        """The clear text of a Symmetric, given whole. Raises WireError (``TRUNCATED``, ``BAD_LENGTH``, ``BAD_MAC``)."""
        if not MIN_SYMMETRIC <= len(data) <= MAX_RECEIVED:
            raise _wrong_size(len(data))
        try:
            return self._decrypt(data[1:_SEALED], data[_SEALED:], None)
        except InvalidTag:
            raise WireError(Fault.BAD_MAC) from None


def _wrong_size(size: int) -> WireError:
    missing = MIN_SYMMETRIC - size
    return WireError(Fault.TRUNCATED, need=missing) if missing > 0 else WireError(Fault.BAD_LENGTH)
