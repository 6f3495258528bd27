"""Nodes of Tox for all of these measurements."""

from __future__ import annotations

from os import urandom
from typing import Any

from benchmarks import nodes
from benchmarks.nodes import AT_B, Entropy
from sansproto.tox import CustomReceived, ToxNode

STEP = 0.001


def node(entropy: Entropy | None = None, **arguments: Any) -> ToxNode:
    """A node with new keys."""
    return ToxNode(
        real_key=urandom(32), dht_key=urandom(32), entropy=entropy or Entropy(), wall_epoch=1.7e9, **arguments
    )


class Pair(nodes.Pair):
    message = CustomReceived
    a: ToxNode
    b: ToxNode

    def __init__(self, **arguments: Any) -> None:
        super().__init__(node(**arguments), node(**arguments))

    def meet(self) -> None:
        """A handshake, and all that both say behind it."""
        a, b, now = self.a, self.b, self.now
        b.add_friend(a.real_key, a.dht_key, now)
        a.add_friend(b.real_key, b.dht_key, now, path=AT_B)
        while self.carry():
            pass

    def part(self) -> None:
        for one, other in ((self.a, self.b), (self.b, self.a)):
            one.remove_friend(other.real_key, self.now)

    @property
    def is_empty(self) -> bool:
        return not self.a.sessions.all and not self.b.recovery.peers

    @property
    def is_connected(self) -> bool:
        """Does each know that the other one listens?"""
        return self.a.is_online(self.b.real_key) and self.b.is_online(self.a.real_key)

    def send(self, packets: list[bytes], *, together: bool) -> int:
        """Have packets sent by one call or by one each; how many were taken."""
        a, friend, now = self.a, self.b.real_key, self.now
        if together:
            return a.send_many(friend, packets, now)
        for count, packet in enumerate(packets):
            if not a.send(friend, packet, now):
                return count
        return len(packets)

    def sleep(self) -> None:
        """Until a timer is due, and it has acted; for a millisecond at least."""
        self.now += STEP
        self.now = max(self.now, min(one.next_timeout() or self.now for one in (self.a, self.b)))
        self.wake()

    def step(self, packets: list[bytes], *, together: bool) -> int:
        """A millisecond: timers, what the application sends, what arrives. How many packets were taken."""
        self.now += STEP
        self.wake()
        count = self.send(packets, together=together)
        self.carry()
        return count


def connected(**arguments: Any) -> Pair:
    """A pair with a session, and no events of it."""
    pair = Pair(**arguments)
    pair.meet()
    assert pair.is_connected
    pair.drain()
    return pair


def fast(packets: list[bytes], **arguments: Any) -> Pair:
    """A pair whose congestion control takes all of these packets each millisecond."""
    pair, in_a_row = connected(**arguments), 0
    while in_a_row < 200:
        in_a_row = in_a_row + 1 if pair.step(packets, together=True) == len(packets) else 0
        pair.drain()
    return pair


def outgoing(pair: Pair) -> Any:
    """What a has for sending to b."""
    session = pair.a.friends.all[pair.b.real_key].session
    assert session is not None
    return session.outgoing
