"""SPOKE and the record cipher: everything of Bob that needs a cryptographic library. Pure functions, no randomness.

*Server* is the peer that sends the file, *client* the one that receives it. Points and scalars are 32 bytes,
little-endian.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b, sha256
from struct import Struct

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl import bindings as sodium

from ..errors import Fault, WireError

MAX_ITERATIONS = 1_000_000
"""The most rounds of the password derivation that are ever computed: the count comes from an unauthenticated packet."""

MAX_PLAINTEXT = 0x7FFF
"""The largest payload of one record, in bytes."""

_BLOCKS = 4
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))
_HMAC_BLOCK = 64

_TRANSCRIPT_VERSION = b"\x01\x00"
_SUBKEY_LABEL = b"SPOKE".ljust(16, b"\0")

_LENGTH = Struct(">H").pack
_SEQUENCE = Struct(">Q").pack
_RECORD_VERSION = b"\x00\x01"
_FULL_HEADER = _LENGTH(MAX_PLAINTEXT)
_FULL_AAD = _RECORD_VERSION + _FULL_HEADER


# -- the password ------------------------------------------------------------------------------------------------------


def _within_limit(_: object, field: attrs.Attribute[int], value: int) -> None:
    if not 1 <= value <= MAX_ITERATIONS:
        raise ValueError(f"{field.name} is not in 1..{MAX_ITERATIONS}")


def _first_messages(derivation: Derivation) -> tuple[bytes, ...]:
    return tuple(derivation.salt + block.to_bytes(4, "little") for block in range(1, _BLOCKS + 1))


@attrs.define
class Derivation:
    """The 128 bytes of key material that a password gives, computed in slices: plain state that can be stored between.

    It is PBKDF2 with HMAC-SHA-256, except that the block number is little-endian, so that no library's PBKDF2 fits.
    Raises :class:`ValueError` for a ``count`` outside of 1..:data:`MAX_ITERATIONS`.
    """

    password: bytes = attrs.field(repr=False)
    salt: bytes
    count: int = attrs.field(validator=_within_limit)
    done: int = 0
    chain: tuple[bytes, ...] = attrs.field(default=attrs.Factory(_first_messages, takes_self=True), repr=False)
    sums: tuple[int, ...] = attrs.field(default=(0,) * _BLOCKS, repr=False)

    def step(self, rounds: int = 256) -> bool:
        """Advance by up to ``rounds`` (about 2 microseconds each); True once all ``count`` rounds are done."""
        rounds = min(rounds, self.count - self.done)
        key = sha256(self.password).digest() if len(self.password) > _HMAC_BLOCK else self.password
        key = key.ljust(_HMAC_BLOCK, b"\0")
        inner = sha256(key.translate(_INNER_PAD)).copy
        outer = sha256(key.translate(_OUTER_PAD)).copy
        from_bytes = int.from_bytes
        chain, sums = [], []
        for digest, total in zip(self.chain, self.sums, strict=True):
            for _ in range(rounds):
                message = inner()
                message.update(digest)
                mac = outer()
                mac.update(message.digest())
                digest = mac.digest()
                total ^= from_bytes(digest, "big")
            chain.append(digest)
            sums.append(total)
        self.chain, self.sums = tuple(chain), tuple(sums)
        self.done += rounds
        return self.done == self.count

    @property
    def result(self) -> bytes:
        """The 128 bytes. Raises :class:`ValueError` before the last round."""
        if self.done < self.count:
            raise ValueError(f"{self.done} of {self.count} rounds are done")
        return b"".join([total.to_bytes(32, "big") for total in self.sums])


def derive(password: bytes, salt: bytes, count: int) -> bytes:
    """The whole :class:`Derivation` at once: up to 2 seconds for the largest count."""
    derivation = Derivation(password, salt, count)
    derivation.step(count)
    return derivation.result


@attrs.frozen
class ClientSecret:
    """What a client keeps of the password: two masks and the hashes that enter the transcript and the verifier."""

    m_point: bytes = attrs.field(repr=False)
    n_point: bytes = attrs.field(repr=False)
    h_k: bytes = attrs.field(repr=False)
    h_l: bytes = attrs.field(repr=False)

    @classmethod
    def from_derived(cls, derived: bytes) -> ClientSecret:
        """From the 128 bytes of :func:`derive`."""
        return cls(*_masks(derived), derived[96:128])


@attrs.frozen
class ServerSecret:
    """What a server keeps of the password: ``l_point`` takes the place of ``h_l`` and does not give it back."""

    m_point: bytes = attrs.field(repr=False)
    n_point: bytes = attrs.field(repr=False)
    h_k: bytes = attrs.field(repr=False)
    l_point: bytes = attrs.field(repr=False)

    @classmethod
    def from_derived(cls, derived: bytes) -> ServerSecret:
        """From the 128 bytes of :func:`derive`."""
        return cls(*_masks(derived), sodium.crypto_scalarmult_ed25519_base(derived[96:128]))


def _masks(derived: bytes) -> tuple[bytes, bytes, bytes]:
    to_point = sodium.crypto_core_ed25519_from_uniform
    return to_point(derived[0:32]), to_point(derived[32:64]), derived[64:96]


# -- the key exchange --------------------------------------------------------------------------------------------------


@attrs.frozen
class SharedKeys:
    """What both ends agree on, 64 bytes each. The names mislead: the server sends with ``client``, the client with
    ``server``."""

    client: bytes = attrs.field(repr=False)
    server: bytes = attrs.field(repr=False)


@attrs.frozen
class ServerReply:
    """The server's half: ``y_point`` and ``validator`` are sent; ``expected`` is what the client must answer."""

    y_point: bytes
    validator: bytes
    keys: SharedKeys
    expected: bytes = attrs.field(repr=False)


@attrs.frozen
class ClientFinish:
    """The client's half: ``validator`` is sent."""

    validator: bytes
    keys: SharedKeys


def scalar(random: bytes) -> bytes:
    """A secret scalar out of 32 random bytes: a multiple of 8 below 2**255.

    Raises :class:`ValueError` for 0. That takes 252 zero bits: the source of the bytes is broken, and any scalar made
    up instead could be guessed, which would lay the password open to an offline search.
    """
    if len(random) != 32:
        raise ValueError("a scalar is made of 32 bytes")
    value = int.from_bytes(random, "little") & ((1 << 255) - 8)
    if not value:
        raise ValueError("the random source gave zeros")
    return value.to_bytes(32, "little")


def client_hello(secret: ClientSecret, x: bytes) -> bytes:
    """X, the client's first point. Raises :class:`ValueError` if the scalar ``x`` is 0 modulo the group order."""
    return _blind(x, secret.m_point)


def server_reply(
    secret: ServerSecret, y: bytes, x_point: bytes, client_identity: bytes, server_identity: bytes
) -> ServerReply:
    """Answer a client's X with the scalar ``y``, fresh for each answer.

    Raises :class:`WireError` with ``BAD_POINT`` if X is not masked from the prime-order group, and :class:`ValueError`
    if ``y`` is 0 modulo the group order.
    """
    y_point = _blind(y, secret.n_point)
    _, z = _unblind(x_point, secret.m_point, y, "X")
    v = sodium.crypto_scalarmult_ed25519_noclamp(y, secret.l_point)
    identities = client_identity + server_identity
    keys, server_validator, client_validator = _agree(identities, x_point, y_point, z, secret.h_k, v)
    return ServerReply(y_point, server_validator, keys, client_validator)


def client_finish(
    secret: ClientSecret,
    x: bytes,
    x_point: bytes,
    y_point: bytes,
    server_validator: bytes,
    client_identity: bytes,
    server_identity: bytes,
) -> ClientFinish:
    """Check the server's answer to ``x_point``, and answer it.

    Raises :class:`WireError`: ``BAD_POINT`` if Y is not masked from the prime-order group, ``BAD_MAC`` in
    ``server_validator`` if the two ends differ in the password, in an identity or in a point.
    """
    element, z = _unblind(y_point, secret.n_point, x, "Y")
    v = sodium.crypto_scalarmult_ed25519(secret.h_l, element)
    identities = client_identity + server_identity
    keys, expected, client_validator = _agree(identities, x_point, y_point, z, secret.h_k, v)
    _compare(expected, server_validator, "server_validator")
    return ClientFinish(client_validator, keys)


def server_check(expected: bytes, client_validator: bytes) -> None:
    """Compare a client's answer with :attr:`ServerReply.expected`.

    Raises :class:`WireError` with ``BAD_MAC`` in ``client_validator`` if they differ.
    """
    _compare(expected, client_validator, "client_validator")


def _compare(expected: bytes, received: bytes, field: str) -> None:
    if not hmac.compare_digest(expected, received):
        raise WireError(Fault.BAD_MAC, field=field)


def _blind(secret_scalar: bytes, mask: bytes) -> bytes:
    try:
        element = sodium.crypto_scalarmult_ed25519_base_noclamp(secret_scalar)
    except (RuntimeError, TypeError):
        raise ValueError("a scalar has 32 bytes and is not 0 modulo the group order") from None
    return sodium.crypto_core_ed25519_add(element, mask)


def _unblind(point: bytes, mask: bytes, secret_scalar: bytes, field: str) -> tuple[bytes, bytes]:
    """The group element behind the mask, and its multiple. The subtraction fails for what does not decode, and the
    multiplication for what lies outside of the prime-order group: both are the peer's fault."""
    try:
        element = sodium.crypto_core_ed25519_sub(point, mask)
        return element, sodium.crypto_scalarmult_ed25519_noclamp(secret_scalar, element)
    except (RuntimeError, TypeError):
        raise WireError(Fault.BAD_POINT, field=field) from None


def _agree(
    identities: bytes, x_point: bytes, y_point: bytes, z: bytes, h_k: bytes, v: bytes
) -> tuple[SharedKeys, bytes, bytes]:
    """The keys, the validator that the server sends, and the one that the client sends."""
    transcript = b"".join((_TRANSCRIPT_VERSION, identities, x_point, y_point, z, h_k, v))
    keyed = blake2b(_SUBKEY_LABEL, key=blake2b(transcript).digest())
    subkeys = []
    for index in range(4):
        subkey = keyed.copy()
        subkey.update(index.to_bytes(16, "little"))
        subkeys.append(subkey.digest())
    client_key, server_key, server_validator, client_validator = subkeys
    return SharedKeys(client_key, server_key), server_validator, client_validator


# -- the record layer --------------------------------------------------------------------------------------------------


@attrs.frozen
class RecordKey:
    """The key (32 bytes) and base nonce (12 bytes) of one direction: state, as against :class:`RecordCipher`."""

    key: bytes = attrs.field(repr=False)
    """Of AES-256-GCM, 32 bytes."""
    base_nonce: bytes = attrs.field(repr=False)
    """12 bytes; the number of the record follows them."""

    @classmethod
    def from_shared(cls, shared: bytes) -> RecordKey:
        """From one of the two 64-byte :class:`SharedKeys`, of which the last 20 bytes are unused."""
        return cls(shared[:32], shared[32:44])


class RecordCipher:
    """AES-256-GCM for the records of one direction. A cache beside its :class:`RecordKey`, made anew after a restore.

    The 20-byte nonce is the base nonce followed by the record's number: 0, 1, 2, ... below 2**64.
    """

    __slots__ = ("_base_nonce", "_decrypt", "_encrypt")

    def __init__(self, key: RecordKey) -> None:
        aead = AESGCM(key.key)
        self._encrypt, self._decrypt = aead.encrypt, aead.decrypt
        self._base_nonce = key.base_nonce

    def seal(self, sequence: int, plaintext: bytes | memoryview) -> bytes:
        """A whole record: length, ciphertext, tag: 18 bytes more than the plaintext, which has 0..32,767 bytes."""
        size = len(plaintext)
        if size == MAX_PLAINTEXT:  # as nearly all records of a file are
            header, associated = _FULL_HEADER, _FULL_AAD
        elif size < MAX_PLAINTEXT:
            header = _LENGTH(size)
            associated = _RECORD_VERSION + header
        else:
            raise ValueError(f"a record takes {MAX_PLAINTEXT} bytes")
        return header + self._encrypt(self._base_nonce + _SEQUENCE(sequence), plaintext, associated)

    def open(self, sequence: int, size: int, body: bytes | memoryview) -> bytes:
        """The plaintext of a record: of ``size`` bytes, as its header says, from ciphertext and tag behind that.

        Raises :class:`WireError` with ``BAD_MAC``.
        """
        associated = _FULL_AAD if size == MAX_PLAINTEXT else _RECORD_VERSION + _LENGTH(size)
        try:
            return self._decrypt(self._base_nonce + _SEQUENCE(sequence), body, associated)
        except InvalidTag:
            raise WireError(Fault.BAD_MAC, field="record") from None
