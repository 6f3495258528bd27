"""1,000 friends who say nothing, at 8 relays: what their sessions cost a node. Relays and friends run beside it, in
virtual time, and only what is called of the one node is measured."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator
from time import process_time
from typing import Any

from benchmarks.measure import Line
from benchmarks.tox.idle import ROOMY
from benchmarks.tox.nodes import STEP, node
from sansproto.contract import Address, Link, Transmit
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, Node, VirtualNetwork
from sansproto.tox import RELAY_PORT, Relay, RelayServer, ToxNode

FRIENDS, RELAYS = 1000, 8
SETTLED, SPAN = 30.0, 32.0
"""Seconds."""


class Measured:
    """A node, and the seconds that its calls take. As drivers do it sleeps for a millisecond at least."""

    def __init__(self, node: ToxNode) -> None:
        self.node, self.spent, self.woken = node, 0.0, 0.0
        self.read: list[tuple[Link, bytes]] = []
        self.transmits: deque[Transmit] = deque()

    def receive_data(self, link: Link, data: bytes, now: float) -> None:
        self.read.append((link, data))

    def next_timeout(self) -> float | None:
        if self.read:
            return self.woken + STEP
        due = self.node.next_timeout()
        return None if due is None else max(due, self.woken + STEP)

    def handle_timeout(self, now: float) -> None:
        node, read = self.node, self.read
        self.woken, self.read = now, []
        start = process_time()
        for link, data in read:
            node.receive_data(link, data, now)
        while (due := node.next_timeout()) is not None and due <= now:
            node.handle_timeout(now)
        while node.next_event() is not None:
            pass
        self.transmits += iter(node.next_transmit, None)
        self.spent += process_time() - start

    def next_event(self) -> None:
        return None

    def next_transmit(self) -> Transmit | None:
        return self.transmits.popleft() if self.transmits else self.node.next_transmit()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, name)


def crowd() -> tuple[VirtualNetwork, Measured]:
    """All friends are online."""
    net = VirtualNetwork(seed=1, default=Conditions(latency=0.02))
    relays = []
    for number in range(RELAYS):
        server = RelayServer(private_key=bytes([number + 1]) * 32, entropy=ScriptedEntropy(seed=b"%d" % number))
        net.host(f"10.1.0.{number}").run(server, listen={RELAY_PORT: 443})
        relays.append(Relay(server.public_key, Address(f"10.1.0.{number}", 443)))
    measured = Measured(node(recovery=ROOMY))
    ours: Node[Any] = net.host("10.0.0.1").run(measured)  # type: ignore[arg-type]
    friends = []
    for number in range(FRIENDS):
        friend = node()
        theirs = net.host(f"10.2.{number >> 8}.{number & 255}").run(friend)
        for one, other in ((ours, friend), (theirs, measured)):
            keys, relay = (other.real_key, other.dht_key), relays[number % RELAYS]
            one.call(lambda now, one=one, keys=keys, relay=relay: one.endpoint.add_friend(*keys, now, relays=(relay,)))  # type: ignore[misc]
        friends.append(friend)
        net.run(0.008)
    net.run(SETTLED)
    assert all(measured.node.is_online(friend.real_key) for friend in friends)
    return net, measured


def run() -> Iterator[Line]:
    net, measured = crowd()
    gc.collect()
    gc.freeze()  # else the collector looks at all the friends in calls of the one node
    measured.spent, before = 0.0, measured.node.stats.packets_sent
    net.run(SPAN)
    gc.unfreeze()
    note = f"{(measured.node.stats.packets_sent - before) / SPAN:.0f} packets a second each way"
    name = "tox: 1,000 idle sessions of a node at 8 relays, share of a core"
    yield Line(name, measured.spent / SPAN * 100, 5.0, False, " %", note=note)
