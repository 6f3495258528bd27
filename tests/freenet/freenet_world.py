"""Ends of Freenet on a virtual network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from scripted_freenet import GATE, JOIN, OTHER, make_intro, of

from sansproto.contract import Path
from sansproto.freenet import (
    Connected,
    FreenetGateway,
    FreenetPeer,
    KeyPair,
    MessageReceived,
    PeerLost,
)
from sansproto.freenet import packets as p
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, Node, VirtualNetwork

T = TypeVar("T")

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


def intro(number: int) -> bytes:
    """An intro of nobody to the gateway: anybody can make one."""
    return make_intro(GATE, of(f"key {number}", p.KEY_SIZE), f"ephemeral {number}")
