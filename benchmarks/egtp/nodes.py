"""Nodes of EGTP for all of these measurements, and the shortest way between two of them."""

from __future__ import annotations

from os import urandom
from typing import Any

from sansproto.contract import Path
from sansproto.egtp import EgtpNode, MessageReceived

AT_A, AT_B = Path("udp", "192.0.2.1", 4000), Path("udp", "198.51.100.1", 4000)


class Entropy:
    """Random bytes that were drawn before: what they cost is not ours."""

    def __init__(self) -> None:
        self.pool, self.at = urandom(1 << 16), 0

    def __call__(self, n: int, *, purpose: str) -> bytes:
        at = self.at
        self.at = end = at + n
        if end > 1 << 16:
            self.__init__()  # type: ignore[misc]
            return self(n, purpose=purpose)
        return self.pool[at:end]


def node(**arguments: Any) -> EgtpNode:
    """A node with a new key."""
    return EgtpNode(private_key=urandom(32), entropy=Entropy(), wall_epoch=1.7e9, **arguments)


class Pair:
    """Two nodes, each at its path. What one sends is at the other one at once."""

    def __init__(self, **arguments: Any) -> None:
        self.a, self.b = node(**arguments), node(**arguments)
        self.now = 0.0

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

    def carry(self) -> bool:
        """Once to and fro; whether there was anything."""
        a, b, now, was_any = self.a, self.b, self.now, False
        while (transmit := a.next_transmit()) is not None:
            b.receive_datagram(transmit.data, AT_A, now)  # type: ignore[union-attr]
            was_any = True
        while (transmit := b.next_transmit()) is not None:
            a.receive_datagram(transmit.data, AT_B, now)  # type: ignore[union-attr]
            was_any = True
        return was_any

    @property
    def is_connected(self) -> bool:
        """Is there a session that both use?"""
        mine, its = self.a.recovery.peers.get(self.b.public_key), self.b.recovery.peers.get(self.a.public_key)
        return None not in (mine and mine.cur, its and its.cur)

    def drain(self) -> None:
        """Take all events."""
        for one in (self.a, self.b):
            while one.next_event() is not None:
                pass

    def received(self) -> int:
        """How many messages b has received since it was asked last."""
        count = 0
        while (event := self.b.next_event()) is not None:
            count += event.__class__ is MessageReceived
        return count

    def wake(self) -> None:
        """Let timers act that are due."""
        for one in (self.a, self.b):
            due = one.next_timeout()
            if due is not None and due <= self.now:
                one.handle_timeout(self.now)


def connected(**arguments: Any) -> Pair:
    """A pair with a session, and no events of it."""
    pair = Pair(**arguments)
    pair.connect()
    assert pair.is_connected
    pair.drain()
    return pair
