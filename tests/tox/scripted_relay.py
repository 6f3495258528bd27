"""Scripted peers of relays: the clients of a server, and the relay of a client. They speak with packets alone."""

from __future__ import annotations

from typing import Any, ClassVar

from nacl import bindings as sodium
from scripted import Party, ScriptedPeer

from sansproto.contract import AbortTransport, Address, Link
from sansproto.tox import RELAY_PORT, KeyPair, Relay, RelayClient, RelayServer
from sansproto.tox import packets as p

SERVER = KeyPair.of(bytes(range(32)))
A, B, C, D = (KeyPair.of(bytes([number]) * 32) for number in (1, 2, 3, 4))
HERE, THERE = "192.0.2.7", "198.51.100.8"
TEMPORARY, BASE, NONCE = KeyPair.of(b"temporar" * 4), b"base-nonce--base-nonce--", b"nonce-nonce-nonce-nonce-"
ZERO = bytes(32)
"""A point of small order."""
PING = p.RelayPing(b"one ping")
PONG = p.RelayPong(b"one ping")


SOCKS_YES, SOCKS_GRANTED = b"\5\0", b"\5\0\0\1\x7f\0\0\1\x04\x38"
HTTP_YES = b"HTTP/1.1 200 Connection established\r\n\r\n"
"""What proxies say."""


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


def sealed_keys(key: bytes, public: bytes, base: bytes = BASE) -> bytes:
    return sodium.crypto_secretbox(p.RelayKeys(public, base).encode(), NONCE, key)


class Speaker(Party):
    """One end of a stream: what it seals, and what it has heard."""

    def __init__(self, peer: Any, link: Link) -> None:
        super().__init__(peer, link)
        self.buffer = b""
        self.sends: Half | None = None
        self.hears: Half | None = None

    def agree(self, secret: bytes, keys: p.RelayKeys) -> None:
        key = sodium.crypto_box_beforenm(keys.key, secret)
        self.sends, self.hears = Half(key, BASE), Half(key, keys.base_nonce)

    def seal(self, *frames: p.Control | p.Relayed | bytes) -> bytes:
        assert self.sends is not None
        return b"".join(self.sends.seal(packed(frame)) for frame in frames)

    def say(self, *frames: p.Control | p.Relayed | bytes) -> list[Any]:
        """What comes back."""
        self.give(self.seal(*frames))
        return self.take()

    def hear(self, data: bytes) -> None:
        self.buffer += data
        while self.hears is not None and len(self.buffer) >= 2 + int.from_bytes(self.buffer[:2], "big"):
            frame, end = p.RelayFrame.decode_prefix(self.buffer)
            self.buffer = self.buffer[end:]
            self.inbox.append(p.decode_frame(self.hears.open(frame.sealed)))


class Guest(Speaker):
    """Somebody at a relay, who says what a script says."""

    def __init__(self, peer: ServerPeer, keys: KeyPair = A, host: str = HERE) -> None:
        at = Address(host, 40000 + len(peer.parties))
        super().__init__(peer, peer.stream_accepted(RELAY_PORT, at, peer.now))
        self.keys, self.shared = keys, sodium.crypto_box_beforenm(SERVER.public, keys.secret)
        self.hello = p.RelayHello(keys.public, NONCE, sealed_keys(self.shared, TEMPORARY.public)).encode()
        peer.drain()

    def hear(self, data: bytes) -> None:
        self.buffer += data
        if self.hears is None and len(self.buffer) >= 96:
            answer, self.buffer = p.RelayAnswer.decode(self.buffer[:96]), self.buffer[96:]
            opened = sodium.crypto_secretbox_open(answer.sealed, answer.nonce, self.shared)
            self.agree(TEMPORARY.secret, p.RelayKeys.decode(opened))
        super().hear(b"")

    @property
    def state(self) -> str:
        """Of its connection; GONE when the relay has ended it."""
        visitor = self.peer.endpoint.visitors.get(self.at)
        return "GONE" if visitor is None else visitor.state.name

    @property
    def is_cut(self) -> bool:
        return self.peer.how.get(self.at) is AbortTransport


class ServerPeer(ScriptedPeer):
    """All clients of a relay."""

    kind, role, arguments = "tox.relay_server", RelayServer, {"private_key": SERVER.secret}

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


class ClientPeer(ScriptedPeer):
    """The relay of a client that is A."""

    kind, role = "tox.relay_client", RelayClient
    arguments: ClassVar[Any] = {"relay": Relay(SERVER.public, Address("192.0.2.1", 443)), "private_key": A.secret}
    usual: ClassVar[Any] = {"relay": SERVER.public.hex(), "host": "192.0.2.1", "port": 443}
    speaker: Speaker

    def heard_by_proxy(self) -> bytes:
        """What it has said since the last time, on a connection that leads nowhere yet."""
        self.drain()
        said, self.speaker.buffer = self.speaker.buffer, b""
        return said

    def open(self) -> None:
        self.drain()
        self.speaker = Speaker(self, self.link)
        super().open()

    def answer(self, *, temporary: bytes = TEMPORARY.public) -> bytes:
        """The answer to its hello."""
        hello, self.speaker.buffer = p.RelayHello.decode(self.speaker.buffer), b""
        key = sodium.crypto_box_beforenm(hello.key, SERVER.secret)
        opened = sodium.crypto_secretbox_open(hello.sealed, hello.nonce, key)
        self.speaker.agree(TEMPORARY.secret, p.RelayKeys.decode(opened))
        return p.RelayAnswer(NONCE, sealed_keys(key, temporary)).encode()

    def come_up(self, *replies: bytes) -> None:
        """Accept the connection, perhaps as a proxy, and answer the hello and the first ping."""
        self.open()
        for reply in replies:
            self.heard_by_proxy()
            self.speaker.give(reply)
        self.speaker.give(self.answer())
        first, *_ = self.speaker.take()
        assert isinstance(first, p.RelayPing)
        self.speaker.give(self.speaker.seal(p.RelayPong(first.number)))

    def up(self) -> None:
        """Connect, too."""
        self.connect(self.now)
        self.come_up()
        self.take()

    def say(self, *frames: p.Control | p.Relayed | bytes) -> list[Any]:
        """What it is told."""
        self.speaker.give(self.speaker.seal(*frames))
        return self.take()
