"""Everything of EGTP that needs a cryptographic library: Noise, seals, macs, tokens. Pure functions, no randomness.

The handshake is Noise_IK_25519_ChaChaPoly_BLAKE2s, for datagrams and for mailboxes, which differ in prologue and
payloads alone. How the functions follow each other: docs/protocols/egtp.rst, the handshake. State is bytes: a
:class:`Transcript` holds both hashes, a key has 32 bytes. A :class:`Cipher` is a cache beside a key.
"""

from __future__ import annotations

import hmac
from hashlib import blake2s
from struct import Struct
from typing import Final

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from ..curve25519 import PRIME, has_small_order
from ..errors import Fault, WireError
from .packets import LAST_COUNTER, NO_TOKEN, Token

KEY_SIZE: Final = 32

_NAME: Final = b"Noise_IK_25519_ChaChaPoly_BLAKE2s"
_DATAGRAM: Final = b"EGTP-R1/datagram"
_MAILBOX: Final = b"EGTP-R1/mailbox1"
_FIRST: Final = bytes(12)  # the nonce of whatever a key seals first
_NONCE: Final = Struct("<4xQ").pack


# -- primitives --------------------------------------------------------------------------------------------------------


def hashed(size: int, data: bytes, key: bytes = b"") -> bytes:
    """BLAKE2s with a digest of ``size`` bytes, keyed (as in RFC 7693) if there is a key."""
    return blake2s(data, digest_size=size, key=key).digest()


def are_equal(one: bytes, other: bytes) -> bool:
    """Takes the same time either way."""
    return hmac.compare_digest(one, other)


def public_key(private: bytes) -> bytes:
    """The X25519 public key of 32 private bytes."""
    return sodium.crypto_scalarmult_base(private)


def agree(private: bytes, public: bytes) -> bytes:
    """X25519. Raises WireError (``BAD_POINT``) if the result is zero: the point has a small order."""
    try:
        shared = sodium.crypto_scalarmult(private, public)
    except CryptoError:
        shared = bytes(KEY_SIZE)
    if not any(shared):
        raise WireError(Fault.BAD_POINT)
    return shared


def is_canonical(public: bytes) -> bool:
    """Is this the one encoding of its point? Another one would be a second name of the same peer."""
    return int.from_bytes(public, "little") < PRIME


def is_key(public: bytes) -> bool:
    """Can it be a node's static key: canonical, and of no small order?"""
    return len(public) == KEY_SIZE and is_canonical(public) and not has_small_order(public)


def hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """The two outputs of Noise's HKDF."""
    secret = hmac.digest(chaining_key, material, "blake2s")
    first = hmac.digest(secret, b"\1", "blake2s")
    return first, hmac.digest(secret, first + b"\2", "blake2s")


class Cipher:
    """ChaCha20-Poly1305 under one key: a cache, which costs as much to make as to seal with."""

    __slots__ = ("_decrypt", "_encrypt")

    def __init__(self, key: bytes) -> None:
        aead = ChaCha20Poly1305(key)
        self._encrypt, self._decrypt = aead.encrypt, aead.decrypt

    def seal(self, counter: int, clear: bytes, header: bytes = b"") -> bytes:
        """The sealed text with its tag. Raises ValueError beyond the last counter: nothing is sealed with it."""
        if not 0 <= counter <= LAST_COUNTER:
            raise ValueError("the key is used up")
        return self._encrypt(_NONCE(counter), clear, header)

    def open(self, counter: int, sealed: bytes, header: bytes = b"") -> bytes:
        """The clear text. Raises WireError (``BAD_MAC``)."""
        try:
            return self._decrypt(_NONCE(counter), sealed, header)
        except InvalidTag:
            raise WireError(Fault.BAD_MAC) from None


# -- Noise -------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Keys:
    """What a handshake leads to."""

    from_initiator: bytes = attrs.field(repr=False)
    from_responder: bytes = attrs.field(repr=False)
    hash: bytes
    """Of the handshake: for upper layers that bind themselves to this channel."""


@attrs.define(weakref_slot=False)
class Transcript:
    """The symmetric state of Noise between two messages. No key of it seals twice, so there is no counter.

    (Not frozen, nor is what is keyed: a handshake makes thirty of them. Nothing changes one.)
    """

    chaining_key: bytes = attrs.field(repr=False)
    hash: bytes = attrs.field(repr=False)

    @classmethod
    def initial(cls) -> Transcript:
        """What every transcript begins with."""
        name = blake2s(_NAME).digest()
        return cls(name, name)

    @classmethod
    def begin(cls, prologue: bytes, responder: bytes) -> Transcript:
        """Of a handshake whose responder's static key both ends know."""
        return _INITIAL.mix(prologue).mix(responder)

    def mix(self, data: bytes) -> Transcript:
        return Transcript(self.chaining_key, blake2s(self.hash + data).digest())

    def mix_key(self, shared: bytes) -> Keyed:
        chaining_key, key = hkdf(self.chaining_key, shared)
        return Keyed(Transcript(chaining_key, self.hash), key)

    def split(self) -> Keys:
        return Keys(*hkdf(self.chaining_key, b""), self.hash)


@attrs.define(weakref_slot=False)
class Keyed:
    """A transcript with the key that an agreement gave, for one message."""

    transcript: Transcript
    key: bytes = attrs.field(repr=False)

    def mix_key(self, shared: bytes) -> Keyed:
        """With this one's key nothing is sealed."""
        return self.transcript.mix_key(shared)

    def seal(self, clear: bytes) -> tuple[bytes, Transcript]:
        sealed = ChaCha20Poly1305(self.key).encrypt(_FIRST, clear, self.transcript.hash)
        return sealed, self.transcript.mix(sealed)

    def open(self, sealed: bytes) -> tuple[bytes, Transcript]:
        """Raises WireError (``BAD_MAC``)."""
        try:
            clear = ChaCha20Poly1305(self.key).decrypt(_FIRST, sealed, self.transcript.hash)
        except InvalidTag:
            raise WireError(Fault.BAD_MAC) from None
        return clear, self.transcript.mix(sealed)


_INITIAL: Final = Transcript.initial()


@attrs.frozen
class KeyPair:
    """An X25519 key pair."""

    private: bytes = attrs.field(repr=False)
    """32 bytes, which nobody else may know."""
    public: bytes
    """32 bytes: a node's id."""

    @classmethod
    def of(cls, private: bytes) -> KeyPair:
        """Raises ValueError unless there are 32 bytes."""
        if len(private) != KEY_SIZE:
            raise ValueError(f"a private key has {KEY_SIZE} bytes")
        return cls(private, public_key(private))


@attrs.frozen
class Initiation:
    """What an initiator keeps while it waits for the second message."""

    ephemeral: bytes = attrs.field(repr=False)
    transcript: Transcript


def datagram_prologue(token: bytes) -> bytes:
    """The prologue of a handshake over datagrams: the token is part of the transcript."""
    return _DATAGRAM + token


def begin_datagram(responder: bytes, token: bytes = NO_TOKEN) -> Transcript:
    return Transcript.begin(datagram_prologue(token), responder)


def begin_mailbox(server: bytes) -> Transcript:
    return Transcript.begin(_MAILBOX, server)


def write_first(
    begun: Transcript, static: KeyPair, ephemeral: bytes, responder: bytes, payload: bytes
) -> tuple[bytes, bytes, bytes, Initiation]:
    """The first message: ephemeral key, sealed static key, sealed payload. Raises WireError (``BAD_POINT``)."""
    public = public_key(ephemeral)
    sealed_static, transcript = begun.mix(public).mix_key(agree(ephemeral, responder)).seal(static.public)
    sealed, transcript = transcript.mix_key(agree(static.private, responder)).seal(payload)
    return public, sealed_static, sealed, Initiation(ephemeral, transcript)


def read_ephemeral(begun: Transcript, static: KeyPair, ephemeral: bytes) -> Keyed:
    """The beginning of a first message. Raises WireError (``BAD_POINT``)."""
    return begun.mix(ephemeral).mix_key(agree(static.private, ephemeral))


def read_static(read: Transcript, static: KeyPair, initiator: bytes) -> Keyed:
    """The static key that was sealed in a first message. Raises WireError (``BAD_POINT``)."""
    if not is_canonical(initiator):
        raise WireError(Fault.BAD_POINT)
    return read.mix_key(agree(static.private, initiator))


def write_second(
    read: Transcript, ephemeral: bytes, initiator: bytes, its_ephemeral: bytes, payload: bytes
) -> tuple[bytes, bytes, Keys]:
    """The second message: ephemeral key, sealed payload. Raises WireError (``BAD_POINT``)."""
    public = public_key(ephemeral)
    keyed = read.mix(public).mix_key(agree(ephemeral, its_ephemeral)).mix_key(agree(ephemeral, initiator))
    sealed, transcript = keyed.seal(payload)
    return public, sealed, transcript.split()


def read_agreement(initiation: Initiation, static: KeyPair, ephemeral: bytes) -> Keyed:
    """The beginning of a second message. What was kept stays as it is. Raises WireError (``BAD_POINT``)."""
    keyed = initiation.transcript.mix(ephemeral).mix_key(agree(initiation.ephemeral, ephemeral))
    return keyed.mix_key(agree(static.private, ephemeral))


# -- labels ------------------------------------------------------------------------------------------------------------


def mac_key(recipient: bytes) -> bytes:
    """The key of the mac of an H1: whoever knows the recipient's public key knows it."""
    return hashed(32, b"EGTP-mac" + recipient)


def h1_mac(key: bytes, before: bytes) -> bytes:
    """The mac of the first 160 bytes of an H1."""
    return hashed(16, before, key)


def handshake_id(h1: bytes) -> bytes:
    """The id of a handshake, 32 bytes, out of its whole H1."""
    return hashed(32, b"EGTP-hid" + h1[8:128])


def reset_key(private: bytes) -> bytes:
    """The key of all reset tokens of a node."""
    return hashed(32, b"EGTP-rst", private)


def reset_token(key: bytes, sid: bytes) -> bytes:
    """The token with which a node that has forgotten a session shows that it is the one that had it."""
    return hashed(16, b"EGTP-rst" + sid, key)


def mailbox_id(server: bytes, owner: bytes) -> bytes:
    """The mailbox of an owner at a server, out of their static public keys."""
    return hashed(32, b"EGTP-mbx" + server + owner)


def challenge_proof(chaining_key: bytes, before: bytes) -> bytes:
    """The proof in a challenge, of its first 33 bytes: only who has opened the H1 can make it."""
    return hashed(8, before, hmac.digest(chaining_key, b"EGTP-chp", "blake2s"))


def path_value(secret: bytes, peer: bytes, epoch: int, path: bytes) -> bytes:
    """The value of a challenge of a path, which nobody has to remember."""
    return hashed(8, b"EGTP-pch" + peer + epoch.to_bytes(8, "little") + path, secret)


# -- tokens ------------------------------------------------------------------------------------------------------------


def make_token(secret: bytes, time: int, path: bytes) -> bytes:
    """A token, 24 bytes: ``time`` in milliseconds."""
    return Token(time, token_mac(secret, time.to_bytes(8, "little"), path)).encode()


def token_time(secret: bytes, token: bytes, path: bytes) -> int | None:
    """The time of a token that was made with this secret for this path; None if it was not."""
    found = Token.decode(token)
    return found.time if are_equal(found.mac, token_mac(secret, token[:8], path)) else None


def token_mac(secret: bytes, time: bytes, path: bytes) -> bytes:
    """The mac of a token: ``time`` as it stands there, 8 bytes."""
    return hashed(16, b"EGTP-tok" + time + path, secret)
