"""The Noise transport of one stream: frames that are sealed in order. docs/protocols/egtp.rst, the channel."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import attrs

from ..errors import Fault, WireError
from ..snapshot import MEMO
from . import crypto
from .packets import TAG_SIZE, FirstMessage, FrameOfStream, SecondMessage, Terms


@attrs.define(eq=False)
class Direction:
    """One direction of a channel."""

    key: bytes = attrs.field(repr=False)
    counter: int = 0
    cipher: Annotated[crypto.Cipher | None, MEMO] = attrs.field(default=None, repr=False)

    def seal(self, clear: bytes) -> bytes:
        """The next frame."""
        frame = FrameOfStream(self._cipher().seal(self.counter, clear)).encode()
        self.counter += 1
        return frame

    def open(self, message: bytes) -> bytes:
        """The clear text of the next frame, never empty. Raises WireError (``BAD_LENGTH``, ``BAD_MAC``)."""
        if len(message) <= TAG_SIZE:
            raise WireError(Fault.BAD_LENGTH)
        clear = self._cipher().open(self.counter, message)
        self.counter += 1
        return clear

    def _cipher(self) -> crypto.Cipher:
        if self.cipher is None:
            self.cipher = crypto.Cipher(self.key)
        return self.cipher


@attrs.define(eq=False)
class Channel:
    """Both directions, as one end sees them."""

    outgoing: Direction
    incoming: Direction

    @classmethod
    def of_client(cls, keys: crypto.Keys) -> Channel:
        return cls(Direction(keys.from_initiator), Direction(keys.from_responder))

    @classmethod
    def of_server(cls, keys: crypto.Keys) -> Channel:
        return cls(Direction(keys.from_responder), Direction(keys.from_initiator))


# -- the handshake


class Hello(NamedTuple):
    """What a client's part of the handshake says. A replayed one says the same."""

    who: bytes
    """Static public key."""
    ephemeral: bytes
    transcript: crypto.Transcript


def write_hello(static: crypto.KeyPair, ephemeral: bytes, server: bytes) -> tuple[bytes, crypto.Initiation]:
    """The first frame of a client, and what it keeps. Raises WireError (``BAD_POINT``): no server has such a key."""
    *parts, kept = crypto.write_first(crypto.begin_mailbox(server), static, ephemeral, server, b"")
    return FrameOfStream(FirstMessage(*parts).encode()).encode(), kept


def read_hello(static: crypto.KeyPair, message: bytes) -> Hello:
    """Raises WireError."""
    first = FirstMessage.decode(message)
    begun = crypto.begin_mailbox(static.public)
    who, read = crypto.read_ephemeral(begun, static, first.ephemeral).open(first.static)
    _, read = crypto.read_static(read, static, who).open(first.payload)
    return Hello(who, first.ephemeral, read)


def write_welcome(hello: Hello, ephemeral: bytes, terms: Terms) -> tuple[bytes, Channel]:
    """The first frame of a server, and its channel. Raises WireError (``BAD_POINT``)."""
    public, sealed, keys = crypto.write_second(hello.transcript, ephemeral, hello.who, hello.ephemeral, terms.encode())
    return FrameOfStream(SecondMessage(public, sealed).encode()).encode(), Channel.of_server(keys)


def read_welcome(kept: crypto.Initiation, static: crypto.KeyPair, message: bytes) -> tuple[Terms, Channel]:
    """Raises WireError."""
    second = SecondMessage.decode(message)
    clear, read = crypto.read_agreement(kept, static, second.ephemeral).open(second.payload)
    return Terms.decode(clear), Channel.of_client(read.split())
