"""A stream between client and relay: its handshake, and frames in order. docs/protocols/tox.rst, relay streams."""

from __future__ import annotations

import attrs

from . import crypto
from . import packets as p

_NONCES = 1 << 8 * p.NONCE_SIZE


@attrs.define(eq=False)
class RelayChannel:
    """Both directions of a stream, as one end sees them."""

    key: bytes = attrs.field(repr=False)
    """What both keys of this stream agree on."""
    outgoing: int
    """The nonce of the next frame of this end."""
    incoming: int
    """That of the other end."""

    def seal(self, frame: p.Control | p.Relayed) -> bytes:
        """The next frame."""
        data = crypto.seal_frame(self.key, self.outgoing.to_bytes(p.NONCE_SIZE, "big"), frame)
        self.outgoing = (self.outgoing + 1) % _NONCES
        return data

    def open(self, sealed: bytes) -> bytes:
        """What is in the next frame. Raises WireError (``BAD_MAC``)."""
        clear = crypto.open_sealed(self.key, self.incoming.to_bytes(p.NONCE_SIZE, "big"), sealed)
        self.incoming = (self.incoming + 1) % _NONCES
        return clear


@attrs.frozen
class OwnKeys:
    """What one end draws for one stream."""

    secret: bytes = attrs.field(repr=False)
    """Its private key of this stream, 32 bytes."""
    base_nonce: bytes
    """Of its first frame, 24 bytes."""

    def channel(self, other: p.RelayKeys) -> RelayChannel:
        """The stream, given what the other end says. Raises WireError (``BAD_POINT``)."""
        key = crypto.agree(self.secret, other.key)
        return RelayChannel(key, int.from_bytes(self.base_nonce, "big"), int.from_bytes(other.base_nonce, "big"))

    def seal(self, shared: bytes, nonce: bytes) -> bytes:
        """What the other end has to know, for a hello or its answer; ``shared`` is what both DHT keys agree on."""
        public = crypto.KeyPair.of(self.secret).public
        return crypto.seal_body(shared, nonce, p.RelayKeys(public, self.base_nonce))


def write_hello(shared: bytes, client: bytes, own: OwnKeys, nonce: bytes) -> bytes:
    """The first bytes of a client with this public DHT key."""
    return p.RelayHello(client, nonce, own.seal(shared, nonce)).encode()


def write_answer(shared: bytes, own: OwnKeys, nonce: bytes) -> bytes:
    """The first bytes of a relay."""
    return p.RelayAnswer(nonce, own.seal(shared, nonce)).encode()


def read_keys(shared: bytes, packet: p.RelayHello | p.RelayAnswer) -> p.RelayKeys:
    """What either says. Raises WireError (``BAD_MAC``, ``BAD_POINT``)."""
    return crypto.open_body(p.RelayKeys, shared, packet)
