"""Ends of Freenet on a virtual network, and one that is played by hand, packet by packet."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, TypeVar

from sansproto.contract import Path, SendDatagram
from sansproto.freenet import (
    Connected,
    FreenetGateway,
    FreenetPeer,
    KeyPair,
    MessageReceived,
    PeerLost,
)
from sansproto.freenet import packets as p
from sansproto.freenet.crypto import Cipher, open_intro, seal_intro
from sansproto.freenet.versions import OURS, Version
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, Node, VirtualNetwork

T = TypeVar("T")

GATE = KeyPair.of(bytes([7]) * 32)
JOIN = KeyPair.of(bytes([9]) * 32)
OTHER = KeyPair.of(bytes([11]) * 32)
PORT = 7000


class World:
    """Ends with a socket each."""

    def __init__(self, seed: int = 1, **conditions: Any) -> None:
        self.net = VirtualNetwork(seed=seed, default=Conditions(**{"latency": 0.02, **conditions}))
        self.seed, self.lives = seed, 0

    def entropy(self) -> ScriptedEntropy:
        """Of another process."""
        self.lives += 1
        return ScriptedEntropy(seed=f"{self.seed}.{self.lives}".encode())

    def new_gateway(self, **more: Any) -> FreenetGateway:
        return FreenetGateway(private_key=GATE.secret, entropy=self.entropy(), **more)

    def new_peer(self, keys: KeyPair = JOIN, **more: Any) -> FreenetPeer:
        return FreenetPeer(private_key=keys.secret, entropy=self.entropy(), **more)

    def gateway(self, address: str = "10.0.0.1", **more: Any) -> Node[Any]:
        return self.net.host(address).run(self.new_gateway(**more), sockets={"udp": PORT})

    def peer(self, address: str = "10.0.0.2", keys: KeyPair = JOIN, **more: Any) -> Node[Any]:
        return self.net.host(address).run(self.new_peer(keys, **more), sockets={"udp": PORT})

    def join(self, joiner: Node[Any], gate: Node[Any], keys: KeyPair = GATE, *, gateway: bool = True) -> None:
        joiner.call(lambda now: joiner.endpoint.connect(keys.public, at(gate), now, gateway=gateway))

    def pair(self, **more: Any) -> tuple[Node[Any], Node[Any]]:
        """A gateway, and a joiner that has joined."""
        gate, joiner = self.gateway(**more), self.peer(**more)
        self.join(joiner, gate)
        self.until(lambda: bool(told(gate, Connected)))
        return gate, joiner

    def restart(self, joiner: Node[Any], gate: Node[Any], keys: KeyPair = OTHER) -> None:
        """Another process, at the same address, with another identity: nobody was told."""
        joiner.restart(self.new_peer(keys), silent=True)
        self.join(joiner, gate)

    def until(self, goal: Callable[[], bool], within: float = 60.0) -> float:
        """How long it took."""
        began = self.net.now
        self.net.run_until(goal, within=within)
        return self.net.now - began

    def spoof(self, target: Node[Any], source: Node[Any], data: bytes) -> None:
        """A datagram with the address of somebody else."""
        target.receive_datagram(data, at(source))


def at(end: Node[Any]) -> Path:
    return Path("udp", end.host.address, end.sockets["udp"])


def told(end: Node[Any], kind: type[T]) -> list[T]:
    return [event for event in end.events if isinstance(event, kind)]


def texts(end: Node[Any]) -> list[bytes]:
    return [event.data for event in told(end, MessageReceived)]


def lost(end: Node[Any]) -> list[int]:
    return [event.generation for event in told(end, PeerLost)]


def newest(end: Node[Any]) -> int:
    return max(end.endpoint.sessions)


def say(end: Node[Any], text: bytes, generation: int = 0) -> bool:
    """In the newest session, unless it is said in which."""
    taken: bool = end.call(lambda now: end.endpoint.send(generation or newest(end), text, now))
    return taken


def intro(number: int, receiver: KeyPair = GATE, version: Version = OURS) -> bytes:
    """An intro of nobody: anybody can make one."""
    body = p.IntroBody(version.wire, sha256(b"key %d" % number).digest()[: p.KEY_SIZE])
    return seal_intro(receiver.public, sha256(b"ephemeral %d" % number).digest(), body)


class Hand:
    """An end that is played by hand beside one of ours, which is driven without a network."""

    def __init__(self, end: FreenetGateway | FreenetPeer, path: Path | None = None, number: int = 1) -> None:
        self.end, self.path = end, path or Path("udp", "192.0.2.7", 4000)
        self.number, self.now, self.nonces = number, 0.0, 0
        self.key, self.send_key = sha256(b"hand %d" % number).digest()[: p.KEY_SIZE], b""
        self.sent: list[p.Clear] = []

    @property
    def intro(self) -> bytes:
        return self.intro_for(GATE)

    def intro_for(self, receiver: KeyPair, version: Version = OURS) -> bytes:
        ephemeral = sha256(b"hand's %d" % self.number).digest()
        return seal_intro(receiver.public, ephemeral, p.IntroBody(version.wire, self.key))

    def give(self, data: bytes, path: Path | None = None) -> list[bytes]:
        """What it sends then."""
        self.end.receive_datagram(data, path or self.path, self.now)
        return self.taken()

    def taken(self) -> list[bytes]:
        found = []
        while (transmit := self.end.next_transmit()) is not None:
            assert isinstance(transmit, SendDatagram)
            found.append(transmit.data)
        return found

    def wait(self, seconds: float) -> list[bytes]:
        """Let time pass."""
        found, until = self.taken(), self.now + seconds
        while (due := self.end.next_timeout()) is not None and due <= until:
            self.now = max(self.now, due)
            self.end.handle_timeout(self.now)
            found += self.taken()
        self.now = until
        return found

    def open(self, data: bytes, key: bytes = b"") -> p.Clear:
        return p.read_clear(Cipher(key or self.key).open(data))

    def bodies(self, datagrams: list[bytes], key: bytes = b"") -> list[Any]:
        return [self.open(data, key).body for data in datagrams]

    def seal(self, packet: p.Clear, key: bytes = b"") -> bytes:
        self.nonces += 1
        nonce = b"hand" + self.nonces.to_bytes(8, "little")
        return Cipher(key or self.send_key).seal(nonce, packet.encode())

    def say(self, number: int, body: p.Body, *acked: int) -> list[bytes]:
        """A packet; what it sends then."""
        return self.give(self.seal(p.Clear(number, acked, body)))

    def text(self, number: int, text: bytes, *acked: int) -> list[bytes]:
        return self.say(number, p.ShortMessage(p.Message(text).encode()), *acked)

    def join(self) -> None:
        """A whole handshake with a gateway."""
        (answer,) = self.give(self.intro)
        ack = self.open(answer).body
        assert isinstance(ack, p.AckConnectionV2)
        self.send_key = ack.key
        self.say(0, self.ack())

    def ack(self, key: bytes = b"") -> p.AckConnection:
        return p.AckConnection(p.Granted(key or self.key, p.AddressV4(bytes([10, 0, 0, 1]), PORT)))

    def answer_call(self, datagrams: list[bytes], keys: KeyPair = GATE) -> list[bytes]:
        """As a gateway, to the intro in these; what it sends then."""
        body = open_intro(keys.secret, p.Intro.decode(datagrams[0][1:]))
        self.send_key = body.key
        return self.give(self.seal(p.Clear(0, (), p.AckConnectionV2(self.key, self.ack().result.address, OURS.wire))))

    def events(self) -> list[Any]:
        found = []
        while (event := self.end.next_event()) is not None:
            found.append(event)
        return found
