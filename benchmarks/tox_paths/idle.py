"""1,000 friends who say nothing, at 8 relays: what their sessions cost a node. Relays and friends run beside it, in
virtual time, and only what is called of the one node is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

from benchmarks.measure import Line
from benchmarks.tox.idle import ROOMY
from benchmarks.tox.nodes import node
from sansproto.contract import Address
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, Node, VirtualNetwork
from sansproto.tox import RELAY_PORT, Relay, RelayServer

FRIENDS, RELAYS = 1000, 8
SETTLED, SPAN = 30.0, 32.0
"""Seconds."""


class Measured:
    """An endpoint, and the seconds that its calls have taken."""

    def __init__(self, endpoint: Any) -> None:
        self.endpoint, self.spent = endpoint, 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.endpoint, name)
        return self._measured(found) if callable(found) else found

    def _measured(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def measure(*arguments: Any, **more: Any) -> Any:
            start = process_time()
            try:
                return call(*arguments, **more)
            finally:
                self.spent += process_time() - start

        return measure


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
    assert all(measured.is_online(friend.real_key) for friend in friends)
    ours.events.clear()
    return net, measured


def run() -> Iterator[Line]:
    net, measured = crowd()
    measured.spent, before = 0.0, measured.stats.packets_sent
    net.run(SPAN)
    note = f"{(measured.stats.packets_sent - before) / SPAN:.0f} packets a second each way"
    name = "tox: 1,000 idle sessions of a node at 8 relays, share of a core"
    yield Line(name, measured.spent / SPAN * 100, 5.0, False, " %", note=note)
