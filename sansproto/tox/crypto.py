"""Everything of Tox that needs a cryptographic library: keys, seals, hashes, nonces. Pure functions, no randomness.

What is sealed "between" two keys is sealed with the key that both agree on (``agree``): docs/protocols/tox.rst,
primitives. A sealed text is its MAC of 16 bytes, then as many bytes as the clear text has.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, Protocol, TypeVar

import attrs
from nacl import bindings as sodium
from nacl.exceptions import CryptoError

try:
    from nacl import _sodium as raw  # pyright: ignore[reportAttributeAccessIssue]  # what nacl.bindings are made of
except ImportError:
    raw = None

from ..curve25519 import has_small_order
from ..errors import Fault, WireError
from ..wire import Packet
from . import packets as p
from .packets import KEY_SIZE, NONCE_SIZE

B = TypeVar("B", bound=Packet)

_LAST_NONCE: Final = (1 << 8 * NONCE_SIZE) - 1
_DATA: Final = bytes([0x1B])


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


# -- primitives --------------------------------------------------------------------------------------------------------


def is_key(public: bytes) -> bool:
    """Can it be a public key: 32 bytes, and of no small order? With such a point everybody agrees on the same key."""
    return len(public) == KEY_SIZE and not has_small_order(public)


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
    return ((int.from_bytes(nonce, "big") + steps) & _LAST_NONCE).to_bytes(NONCE_SIZE, "big")


def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


# -- what is sealed in packets -----------------------------------------------------------------------------------------


class Sealed(Protocol):
    """A packet with a nonce and what is sealed under it."""

    @property
    def nonce(self) -> bytes: ...

    @property
    def sealed(self) -> bytes: ...


_KEYS: Final[Mapping[type[Packet], str]] = {
    p.CookieRequestBody: "real_key",
    p.HandshakeBody: "session_key",
    p.RelayKeys: "key",
}
"""The public key in a body."""


def seal_body(key: bytes, nonce: bytes, body: Packet) -> bytes:
    """What stands in ``sealed`` of a packet with this nonce."""
    return seal(key, nonce, body.encode())


def open_body(kind: type[B], key: bytes, packet: Sealed) -> B:
    """What is sealed in a packet. Raises WireError (``BAD_MAC``, ``BAD_POINT`` for a public key that is none)."""
    body = kind.decode(open_sealed(key, packet.nonce, packet.sealed))
    name = _KEYS.get(kind)
    if name is not None and not is_key(getattr(body, name)):
        raise WireError(Fault.BAD_POINT, field=name)
    return body


def make_cookie(secret: bytes, nonce: bytes, time: int, real_key: bytes, dht_key: bytes) -> bytes:
    """A cookie for the owner of both keys, 112 bytes: ``time`` is in seconds of the issuer's clock."""
    return p.Cookie(nonce, seal_body(secret, nonce, p.CookieBody(time, real_key, dht_key))).encode()


def open_cookie(secret: bytes, cookie: bytes) -> p.CookieBody:
    """What a cookie holds. Raises WireError (``BAD_MAC``) if it was not made under this secret."""
    return open_body(p.CookieBody, secret, p.Cookie.decode(cookie))


def make_handshake(
    key: bytes, nonce: bytes, cookie: bytes, base_nonce: bytes, session_key: bytes, other_cookie: bytes
) -> p.Handshake:
    """Sealed under the key that both real keys agree on, and bound to the cookie outside."""
    body = p.HandshakeBody(base_nonce, session_key, sha512(cookie), other_cookie)
    return p.Handshake(cookie, nonce, seal_body(key, nonce, body))


def open_handshake(key: bytes, packet: p.Handshake) -> p.HandshakeBody:
    """Raises WireError (``BAD_MAC``, ``BAD_CHECKSUM`` if another cookie stands outside, ``BAD_POINT``)."""
    body = open_body(p.HandshakeBody, key, packet)
    if not hmac.compare_digest(body.cookie_hash, sha512(packet.cookie)):
        raise WireError(Fault.BAD_CHECKSUM, field="cookie_hash")
    return body


def seal_data(key: bytes, nonce: bytes, clear: bytes) -> bytes:
    """A whole Data packet. (By hand: this is the bulk path.)"""
    return _DATA + nonce[-2:] + seal(key, nonce, clear)


class Bulk:
    """Seals and opens whole Data packets. Where PyNaCl lets us, in room of its own, without the copies that its
    functions make: it belongs to one node, for threads must not share it."""

    __slots__ = ("_room", "_view")

    def __init__(self) -> None:
        if raw is not None:
            self._room = raw.ffi.new("unsigned char[]", p.MAX_PACKET)
            self._view = raw.ffi.buffer(self._room)

    def seal(self, key: bytes, nonce: bytes, clear: bytes) -> bytes:
        """A packet with at most 1381 bytes of clear text."""
        if raw is None:
            return seal_data(key, nonce, clear)
        size = len(clear)
        raw.lib.crypto_secretbox_easy(self._room, clear, size, nonce, key)
        sealed: bytes = self._view[: size + p.MAC_SIZE]
        return _DATA + nonce[22:] + sealed

    def open(self, key: bytes, nonce: bytes, data: bytes) -> bytes | None:
        """The clear text of a packet of 28 to 1400 bytes; None if it does not open."""
        sealed = data[3:]
        if raw is None:
            try:
                return open_sealed(key, nonce, sealed)
            except WireError:
                return None
        size = len(sealed)
        if raw.lib.crypto_secretbox_open_easy(self._room, sealed, size, nonce, key):
            return None
        clear: bytes = self._view[: size - p.MAC_SIZE]
        return clear


def seal_frame(key: bytes, nonce: bytes, frame: p.Control | p.Relayed) -> bytes:
    """A frame of a stream to a relay, with its length."""
    return p.RelayFrame(seal(key, nonce, p.encode_frame(frame))).encode()
