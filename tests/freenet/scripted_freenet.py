"""Freenet's scripted peers: whoever is at an address of a gateway or of a peer, played packet by packet."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import Any, ClassVar

from scripted import Party, ScriptedPeer

from sansproto.contract import Path
from sansproto.errors import WireError
from sansproto.freenet import OURS, FreenetGateway, FreenetPeer, KeyPair, Version
from sansproto.freenet import packets as p
from sansproto.freenet.crypto import Cipher, open_intro, seal_intro

GATE, JOIN, OTHER = (KeyPair.of(bytes([number]) * 32) for number in (7, 9, 11))
HERE, THERE = Path("udp", "192.0.2.7", 4000), Path("udp", "2001:db8::8", 4001)
SEEN = p.Granted(bytes(16), p.AddressV4(bytes([10, 0, 0, 1]), 7000)).address
OLD = Version((0, 2, 119), (0, 2, 64))


def of(name: str, size: int) -> bytes:
    """Bytes that nobody else has."""
    return sha256(name.encode()).digest()[:size]


def make_intro(receiver: KeyPair, key: bytes, ephemeral: str, version: Version = OURS) -> bytes:
    return seal_intro(receiver.public, of(ephemeral, 32), p.IntroBody(version.wire, key))


def fragment(
    number: int, data: bytes, total: int, *, stream: int = 5, metadata: bytes | None = None
) -> p.StreamFragment:
    return p.StreamFragment(stream, total, number, data, metadata)


class Guest(Party):
    """Somebody with a key of its own, at an address of one of ours."""

    def __init__(self, peer: Any, path: Path = HERE, name: str = "guest", receiver: KeyPair = GATE) -> None:
        super().__init__(peer, path)
        self.name, self.receiver, self.key, self.send_key = name, receiver, of(f"{name} key", 16), b""
        self.nonces, self.number = 0, 0
        self.intros: list[bytes] = []

    @property
    def intro(self) -> bytes:
        return make_intro(self.receiver, self.key, f"{self.name} ephemeral")

    def hear(self, data: bytes) -> None:
        """What opens for it; intros it keeps."""
        if data[0] == 1:
            self.intros.append(data)
        else:
            with suppress(WireError):
                self.inbox.append(p.read_clear(Cipher(self.key).open(data)))

    def bodies(self) -> list[Any]:
        """What it heard since the last time."""
        return [one.body for one in self.take()]

    def receipts(self) -> list[int]:
        """The same, of receipts."""
        return [number for one in self.take() for number in one.acked]

    def seal(self, packet: p.Clear, key: bytes = b"") -> bytes:
        self.nonces += 1
        return Cipher(key or self.send_key).seal(of(self.name, 4) + self.nonces.to_bytes(8, "little"), packet.encode())

    def say(self, body: p.Body, *acked: int, number: int | None = None, key: bytes = b"") -> int:
        """A packet with the next id, or this one; its id."""
        if number is None:
            self.number += 1
            number = self.number
        self.give(self.seal(p.Clear(number, acked, body), key))
        return number

    def text(self, text: bytes, *acked: int, number: int | None = None) -> int:
        return self.say(p.ShortMessage(p.Message(text).encode()), *acked, number=number)

    def ask(self) -> p.AckConnection | p.AckConnectionV2 | None:
        """Send the intro; the answer."""
        self.give(self.intro)
        return self.granted()

    def granted(self) -> p.AckConnection | p.AckConnectionV2 | None:
        """The key in the answer is taken over."""
        for body in self.bodies():
            if isinstance(body, p.AckConnectionV2):
                self.send_key = body.key
                return body
            if isinstance(body, p.AckConnection) and isinstance(body.result, p.Granted):
                self.send_key = body.result.key
                return body
        return None

    def ack(self) -> None:
        """A joiner's answer to the answer."""
        self.say(p.AckConnection(p.Granted(self.key, SEEN)), number=0)

    def join(self) -> None:
        """A whole handshake."""
        assert self.ask()
        self.ack()

    def answer(self, keys: KeyPair = GATE, *, version: Version | None = OURS) -> bytes:
        """Answer the newest intro, as a gateway; what it sent."""
        self.peer.drain()
        body = open_intro(keys.secret, p.Intro.decode(self.intros[-1][1:]))
        self.send_key = body.key
        ack: p.Body = p.AckConnection(p.Granted(self.key, SEEN))
        if version is not None:
            ack = p.AckConnectionV2(self.key, SEEN, version.wire)
        data = self.seal(p.Clear(0, (), ack))
        self.give(data)
        return data

    def pong(self) -> bool:
        """Answer the last ping that it heard; False if there was none."""
        pings = [body for body in self.bodies() if isinstance(body, p.Ping)]
        for ping in pings[-1:]:
            self.say(p.Pong(ping.sequence), number=0)
        return bool(pings)


class GatewayPeer(ScriptedPeer):
    """A gateway, and whoever comes."""

    kind, role = "freenet.gateway", FreenetGateway
    arguments: ClassVar[Any] = {"private_key": GATE.secret}

    def guest(self, path: Path = HERE, name: str = "guest") -> Guest:
        return Guest(self, path, name)

    def joined(self, path: Path = HERE, name: str = "guest") -> Guest:
        guest = self.guest(path, name)
        guest.join()
        return guest


class JoinerPeer(ScriptedPeer):
    """A peer, and whom it calls: somebody who has the key of the gateway."""

    kind, role = "freenet.peer", FreenetPeer
    arguments: ClassVar[Any] = {"private_key": JOIN.secret}

    def guest(self, path: Path = HERE, name: str = "gate") -> Guest:
        return Guest(self, path, name, JOIN)

    def called(self, *, gateway: bool = True, path: Path = HERE) -> Guest:
        """Whom it calls."""
        guest = self.guest(path)
        self.connect(GATE.public, path, self.now, gateway=gateway)
        self.drain()
        return guest

    def joined(self, *, gateway: bool = True) -> Guest:
        guest = self.called(gateway=gateway)
        guest.answer()
        return guest
