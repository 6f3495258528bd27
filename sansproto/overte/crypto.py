"""Everything of Overte that needs a cryptographic library: docs/protocols/overte.rst, MAC and signatures.

Pure functions. Keys are bytes: the 16 bytes of a connection secret, DER for RSA.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

try:  # Python's own: for inputs as short as ours that of OpenSSL takes twice as long, and some systems forbid it
    from _md5 import md5  # type: ignore[import-not-found]
except ImportError:  # a Python that was built without it
    from hashlib import md5

MIN_BITS = 1024
MAX_BITS = 4096
"""The size of an RSA key; the reference makes keys of 2048 bits. A public key comes from a network: size is work."""


_BLOCK: Final = 64
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
"""HMAC as RFC 2104 writes it: ``hmac.digest`` takes three times as long, and each datagram to a node has one."""


class BadKey(ValueError):
    """Bytes that are not an RSA key of the expected form and size; says nothing of what they hold."""


# -- datagrams ---------------------------------------------------------------------------------------------------------


def mac(secret: bytes, payload: bytes) -> bytes:
    """HMAC-MD5 of a payload, 16 bytes: the header is not covered. A secret has no more bytes than a block of MD5."""
    key = secret.ljust(_BLOCK, b"\0")
    found: bytes = md5(key.translate(_OUTER) + md5(key.translate(_INNER) + payload).digest()).digest()
    return found


def mac_matches(secret: bytes, payload: bytes, received: bytes) -> bool:
    """Whether the MAC is that of the payload; takes the same time either way."""
    return hmac.compare_digest(mac(secret, payload), received)


def protocol_signature(versions: bytes) -> bytes:
    """The 16 bytes that stand for a table of versions, one byte for each packet type."""
    signature: bytes = md5(bytes([len(versions)]) + versions, usedforsecurity=False).digest()
    return signature


# -- names and heartbeats ----------------------------------------------------------------------------------------------


def load_private_key(der: bytes) -> RSAPrivateKey:
    """The key in a PKCS#1 RSAPrivateKey (or PKCS#8), without a password. Raises :class:`BadKey`."""
    return _private_key(der, unchecked=False)


def _private_key(der: bytes, *, unchecked: bool) -> RSAPrivateKey:
    try:
        key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=unchecked)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKey("not a private key in DER") from None
    if not isinstance(key, RSAPrivateKey) or not MIN_BITS <= key.key_size <= MAX_BITS:
        raise BadKey(f"not an RSA key of {MIN_BITS} to {MAX_BITS} bits")
    return key


def load_public_key(encoded: bytes | str) -> RSAPublicKey:
    """The key in a SubjectPublicKeyInfo: DER, or base64 of it as directory services give it. Raises :class:`BadKey`."""
    try:
        der = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else encoded
        key = load_der_public_key(der)
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        raise BadKey("not a public key in DER") from None
    if not isinstance(key, RSAPublicKey) or not MIN_BITS <= key.key_size <= MAX_BITS:
        raise BadKey(f"not an RSA key of {MIN_BITS} to {MAX_BITS} bits")
    return key


def public_key_der(private_key: bytes) -> bytes:
    """The SubjectPublicKeyInfo for a private key in DER. Raises :class:`BadKey`."""
    key = load_private_key(private_key).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign(private_key: bytes, message: bytes) -> bytes:
    """RSASSA-PKCS1-v1_5 with SHA-256, by a private key in DER; nothing in it is random. Raises :class:`BadKey`.

    The numbers of the key are not checked, which would take two hundred times as long as signing: who takes a key from
    somewhere does that once, with :func:`load_private_key`.
    """
    return _private_key(private_key, unchecked=True).sign(message, PKCS1v15(), SHA256())


def verify(public_key: bytes | str, signature: bytes, message: bytes) -> bool:
    """Whether the signature is that key's, in a form of :func:`load_public_key`. Raises :class:`BadKey`."""
    try:
        load_public_key(public_key).verify(signature, message, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def signed_digest(public_key: bytes | str, signature: bytes) -> bytes | None:
    """The SHA-256 that this signature is over, or None if it is not that key's. Raises :class:`BadKey`."""
    try:
        return load_public_key(public_key).recover_data_from_signature(signature, PKCS1v15(), SHA256())
    except InvalidSignature:
        return None


def are_equal(one: bytes, other: bytes) -> bool:
    """Takes the same time either way."""
    return hmac.compare_digest(one, other)


def lower(username: str) -> str:
    """A username as it is signed and looked up: letter by letter, which matters to a few alphabets."""
    return "".join(map(str.lower, username))


def username_message(username: str, token: bytes) -> bytes:
    """What a user signs: the name in lower case, and the 16 bytes of the connection token.

    As in Qt, no letter's case depends on its neighbours, and half a surrogate pair becomes a question mark.
    """
    return lower(username).encode("utf-8", "replace") + token


def sign_username(private_key: bytes, username: str, token: bytes) -> bytes:
    """The signature that goes with a username and a token. Raises :class:`BadKey`."""
    return sign(private_key, username_message(username, token))


def verify_username(public_key: bytes | str, signature: bytes, username: str, token: bytes) -> bool:
    """Whether the user signed this token. Raises :class:`BadKey`."""
    return verify(public_key, signature, username_message(username, token))
