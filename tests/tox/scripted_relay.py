"""Scripted peers of relays: the clients of a server, and the relay of a client. They speak with packets alone."""

from __future__ import annotations

from typing import Any, ClassVar

from nacl import bindings as sodium
from scripted import ScriptedPeer

from sansproto.contract import AbortTransport, Address, CloseTransport, Link, SendBytes
from sansproto.errors import WireError
from sansproto.tox import (
    RELAY_PORT,
    KeyPair,
    Relay,
    RelayClient,
    RelayClientDelays,
    RelayClientLimits,
    RelayServer,
    RelayServerDelays,
    RelayServerLimits,
)
from sansproto.tox import packets as p

SERVER = KeyPair.of(bytes(range(32)))
A, B, C, D = (KeyPair.of(bytes([number]) * 32) for number in (1, 2, 3, 4))
HERE, THERE = "192.0.2.7", "198.51.100.8"
TEMPORARY, BASE, NONCE = KeyPair.of(b"temporar" * 4), b"base-nonce--base-nonce--", b"nonce-nonce-nonce-nonce-"
ZERO = bytes(32)
"""A point of small order."""
PING = p.RelayPing(b"one ping")
PONG = p.RelayPong(b"one ping")


class Half:
    """One direction of a stream, as its specification has it."""

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self.key, self.nonce = key, int.from_bytes(nonce, "big")

    def next_nonce(self) -> bytes:
        self.nonce += 1
        return (self.nonce - 1).to_bytes(24, "big")

    def seal(self, clear: bytes) -> bytes:
        sealed = sodium.crypto_secretbox(clear, self.next_nonce(), self.key)
        return len(sealed).to_bytes(2, "big") + sealed

    def open(self, sealed: bytes) -> bytes:
        return sodium.crypto_secretbox_open(sealed, self.next_nonce(), self.key)


def packed(frame: p.Control | p.Relayed | bytes) -> bytes:
    return frame if isinstance(frame, bytes) else p.encode_frame(frame)


class Speaker:
    """One end of a stream: what it seals, and what it has heard."""

    def __init__(self) -> None:
        self.inbox = b""
        self.sends: Half | None = None
        self.hears: Half | None = None
        self.heard: list[Any] = []

    def agree(self, secret: bytes, other: bytes, base: bytes, their_base: bytes) -> None:
        key = sodium.crypto_box_beforenm(other, secret)
        self.sends, self.hears = Half(key, base), Half(key, their_base)

    def seal(self, *frames: p.Control | p.Relayed | bytes) -> bytes:
        assert self.sends is not None
        return b"".join(self.sends.seal(packed(frame)) for frame in frames)

    def read_frames(self) -> None:
        while self.hears is not None:
            try:
                frame, end = p.RelayFrame.decode_prefix(self.inbox)
            except WireError:
                return
            self.inbox = self.inbox[end:]
            self.heard.append(p.decode_frame(self.hears.open(frame.sealed)))

    def take(self) -> list[Any]:
        found, self.heard = self.heard, []
        return found


def sealed_keys(key: bytes, public: bytes, base: bytes = BASE) -> bytes:
    return sodium.crypto_secretbox(p.RelayKeys(public, base).encode(), NONCE, key)


class Stream(ScriptedPeer):
    """What both have to know of links."""

    def __init__(self, endpoint: Any) -> None:
        self.how: dict[Link, type] = {}  # a link ended
        super().__init__(endpoint)

    def carry(self, transmit: Any) -> None:
        match transmit:
            case SendBytes(link, data):
                self.arrive(link, data)
                return
            case CloseTransport(link) | AbortTransport(link):
                self.how[link] = type(transmit)
        super().carry(transmit)

    def arrive(self, link: Link, data: bytes) -> None:
        raise NotImplementedError

    def give(self, link: Link, data: bytes) -> None:
        self.drain()
        self.now += self.pause
        self.receive_data(link, data, self.now)
        self.drain()


# -- the clients of a server -------------------------------------------------------------------------------------------


class Guest(Speaker):
    """Somebody at a relay, who says what a script says."""

    def __init__(self, peer: ServerPeer, keys: KeyPair = A, host: str = HERE) -> None:
        super().__init__()
        self.peer, self.keys = peer, keys
        self.shared = sodium.crypto_box_beforenm(SERVER.public, keys.secret)
        self.hello = p.RelayHello(keys.public, NONCE, sealed_keys(self.shared, TEMPORARY.public)).encode()
        self.link = peer.stream_accepted(RELAY_PORT, Address(host, 40000 + len(peer.guests)), peer.now)
        peer.guests[self.link] = self
        peer.drain()

    def give(self, data: bytes) -> None:
        self.peer.give(self.link, data)

    def say(self, *frames: p.Control | p.Relayed | bytes) -> list[Any]:
        """What comes back."""
        self.give(self.seal(*frames))
        return self.take()

    def take(self) -> list[Any]:
        self.peer.drain()
        return super().take()

    def hear(self, data: bytes) -> None:
        self.inbox += data
        if self.hears is None and len(self.inbox) >= 96:
            answer, self.inbox = p.RelayAnswer.decode(self.inbox[:96]), self.inbox[96:]
            keys = p.RelayKeys.decode(sodium.crypto_secretbox_open(answer.sealed, answer.nonce, self.shared))
            self.agree(TEMPORARY.secret, keys.key, BASE, keys.base_nonce)
        self.read_frames()

    @property
    def state(self) -> str:
        """Of its connection; GONE when the relay has ended it."""
        visitor = self.peer.endpoint.visitors.get(self.link)
        return "GONE" if visitor is None else visitor.state.name

    @property
    def is_cut(self) -> bool:
        return self.peer.how.get(self.link) is AbortTransport


class ServerPeer(Stream):
    """All clients of a relay."""

    role = RelayServer
    arguments: ClassVar[Any] = {"private_key": SERVER.secret}
    kind = "tox.relay_server"
    usual: ClassVar[Any] = {"private_key": SERVER.secret.hex()}
    bounds: Any = (RelayServerLimits(), RelayServerDelays())

    def __init__(self, endpoint: Any) -> None:
        self.guests: dict[Link, Guest] = {}
        super().__init__(endpoint)

    def arrive(self, link: Link, data: bytes) -> None:
        self.guests[link].hear(data)

    def guest(self, keys: KeyPair = A, host: str = HERE) -> Guest:
        """Somebody who was answered."""
        guest = Guest(self, keys, host)
        guest.give(guest.hello)
        while guest.sends is None:
            self.tick()
        return guest

    def client(self, keys: KeyPair = A, host: str = HERE) -> Guest:
        """Somebody who has shown that the key is theirs."""
        guest = self.guest(keys, host)
        assert guest.say(PING) == [PONG]
        return guest

    def pair(self) -> tuple[Guest, Guest]:
        """A and B, who are linked; each has the id 16 for the other one."""
        a, b = self.client(A), self.client(B, THERE)
        a.say(p.RoutingRequest(B.public))
        b.say(p.RoutingRequest(A.public))
        assert a.take() == [p.ConnectNotification(16)]
        return a, b


# -- the relay of a client ---------------------------------------------------------------------------------------------


class ClientPeer(Stream):
    """The relay of a client that is A."""

    role = RelayClient
    arguments: ClassVar[Any] = {"relay": Relay(SERVER.public, Address("192.0.2.1", 443)), "private_key": A.secret}
    kind = "tox.relay_client"
    usual: ClassVar[Any] = {
        "relay": SERVER.public.hex(),
        "host": "192.0.2.1",
        "port": 443,
        "private_key": A.secret.hex(),
    }
    bounds: Any = (RelayClientLimits(), RelayClientDelays())

    def __init__(self, endpoint: Any) -> None:
        self.speaker = Speaker()
        super().__init__(endpoint)

    def arrive(self, link: Link, data: bytes) -> None:
        self.speaker.inbox += data
        self.speaker.read_frames()

    def opened(self) -> None:
        """The connection that was asked for last is there."""
        self.drain()
        self.now += self.pause
        self.speaker = Speaker()
        self.stream_opened(self.link, self.now)
        self.drain()

    def answer(self, *, temporary: bytes = TEMPORARY.public) -> bytes:
        """The answer to its hello."""
        hello = p.RelayHello.decode(self.speaker.inbox)
        self.speaker.inbox = b""
        key = sodium.crypto_box_beforenm(hello.key, SERVER.secret)
        theirs = p.RelayKeys.decode(sodium.crypto_secretbox_open(hello.sealed, hello.nonce, key))
        self.speaker.agree(TEMPORARY.secret, theirs.key, BASE, theirs.base_nonce)
        return p.RelayAnswer(NONCE, sealed_keys(key, temporary)).encode()

    def come_up(self) -> None:
        """Accept the connection, and answer the hello and the first ping."""
        self.opened()
        self.give(self.link, self.answer())
        first, *_ = self.speaker.take()
        assert isinstance(first, p.RelayPing)
        self.give(self.link, self.speaker.seal(p.RelayPong(first.number)))

    def up(self) -> None:
        """Connect, too."""
        self.connect(self.now)
        self.come_up()
        self.take()

    def say(self, *frames: p.Control | p.Relayed | bytes) -> list[Any]:
        """What it is told."""
        self.give(self.link, self.speaker.seal(*frames))
        return self.take()

    def asked(self) -> list[Any]:
        """What it has said since the last time."""
        self.drain()
        return self.speaker.take()
