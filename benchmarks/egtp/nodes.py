"""Nodes of EGTP for all of these measurements."""

from __future__ import annotations

from os import urandom
from typing import Any

from benchmarks import nodes
from benchmarks.nodes import AT_A, AT_B, Entropy
from sansproto.egtp import EgtpNode, MessageReceived


def node(**arguments: Any) -> EgtpNode:
    """A node with a new key."""
    return EgtpNode(private_key=urandom(32), entropy=Entropy(), wall_epoch=1.7e9, **arguments)


class Pair(nodes.Pair):
    message = MessageReceived
    a: EgtpNode
    b: EgtpNode

    def __init__(self, **arguments: Any) -> None:
        super().__init__(node(**arguments), node(**arguments))

    def meet(self) -> None:
        """A handshake, up to the packet with which both use the session."""
        a, b, now = self.a, self.b, self.now
        a.connect(b.public_key, AT_B, now)
        for source, target, path in ((a, b, AT_A), (b, a, AT_B), (a, b, AT_A), (b, a, AT_B)):
            target.receive_datagram(source.next_transmit().data, path, now)  # type: ignore[union-attr]

    def connect(self) -> None:
        """Until nothing is to be said any more: both have measured a round trip, too."""
        self.meet()
        while self.carry():
            pass

    def part(self) -> None:
        self.a.disconnect(self.b.public_key, self.now)

    @property
    def is_empty(self) -> bool:
        return not self.a.recovery.peers and not self.b.recovery.peers

    @property
    def is_connected(self) -> bool:
        mine, its = self.a.recovery.peers.get(self.b.public_key), self.b.recovery.peers.get(self.a.public_key)
        return None not in (mine and mine.cur, its and its.cur)


def connected(**arguments: Any) -> Pair:
    """A pair with a session, and no events of it."""
    pair = Pair(**arguments)
    pair.connect()
    assert pair.is_connected
    pair.drain()
    return pair
