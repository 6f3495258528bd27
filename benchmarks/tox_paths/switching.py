"""A stream of lossless packets over two relays and a direct path, each of 10 Mbit/s and 50 ms to and fro.

In virtual time: how much arrives while another way is taken each second, against one that stays at UDP.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

from benchmarks.measure import Line
from benchmarks.tox.nodes import node
from sansproto.contract import Address, Path
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, Node, VirtualNetwork
from sansproto.tox import RELAY_PORT, CustomReceived, Relay, RelayServer
from sansproto.tox.paths import WORKS
from sansproto.tox.tracks import UDP

RATE, TRIP = 1.25e6, 0.05
WARM, SECONDS, STEP = 5, 20, 0.01
PACKETS = [b"\xa0" + bytes(1372)] * 256


class Stream:
    """Two nodes, which are linked at two relays and by UDP."""

    def __init__(self) -> None:
        half = Conditions(latency=TRIP / 4, rate=RATE, buffer=1 << 16)
        self.net = VirtualNetwork(seed=1, default=half)
        self.net.way("10.0.0.1", "10.0.0.2", Conditions(latency=TRIP / 2, rate=RATE, buffer=1 << 16))
        self.sender, self.receiver = self._node(1), self._node(2)
        self.relays = [self._relay(number) for number in (1, 2)]
        self._befriend(self.receiver, self.sender, None)
        self._befriend(self.sender, self.receiver, Path("udp", "10.0.0.2", 33445))
        self.net.run(3.0)

    def _node(self, number: int) -> Node[Any]:
        return self.net.host(f"10.0.0.{number}").run(node(), sockets={"udp": 33445})

    def _relay(self, number: int) -> Relay:
        server = RelayServer(private_key=bytes([number]) * 32, entropy=ScriptedEntropy(seed=b"%d" % number))
        self.net.host(f"10.0.1.{number}").run(server, listen={RELAY_PORT: 443})
        relay = Relay(server.public_key, Address(f"10.0.1.{number}", 443))
        for end in (self.sender, self.receiver):
            end.call(lambda now, end=end: end.endpoint.add_relay(relay, now))  # type: ignore[misc]
        return relay

    @staticmethod
    def _befriend(one: Node[Any], other: Node[Any], path: Path | None) -> None:
        friend = other.endpoint
        one.call(lambda now: one.endpoint.add_friend(friend.real_key, friend.dht_key, now, path=path))

    @property
    def ways(self) -> Any:
        """The sender's."""
        return self.sender.endpoint.friends.all[self.receiver.endpoint.real_key].ways

    def run(self, seconds: float) -> int:
        """How many packets arrive."""
        sender, friend = self.sender.endpoint, self.receiver.endpoint.real_key
        for _ in range(round(seconds / STEP)):
            self.sender.call(lambda now: sender.send_many(friend, PACKETS, now))
            self.net.run(STEP)
        count = sum(isinstance(event, CustomReceived) for event in self.receiver.events)
        self.receiver.events.clear()
        return count

    def switch(self, name: bytes) -> None:
        """Take another way."""
        ways = self.ways
        assert ways.is_open(name)
        ways.held_until = self.net.now + 2.0  # else UDP is taken again with the next packet
        ways._use(name, WORKS)


def arrived(*, switches: bool) -> float:
    """Packets in each second."""
    stream = Stream()
    names = cycle([*(relay.key for relay in stream.relays), UDP])
    stream.run(WARM)
    count, before = 0, stream.ways.moves
    for _ in range(SECONDS):
        if switches:
            stream.switch(next(names))
        count += stream.run(1.0)
    assert stream.ways.moves - before == SECONDS * switches
    return count / SECONDS


def run() -> Iterator[Line]:
    moving, staying = arrived(switches=True), arrived(switches=False)
    note = f"{moving:,.0f} and {staying:,.0f} packets a second"
    name = "tox: packets over two relays and UDP, another way each second / always UDP"
    yield Line(name, moving / staying, 0.8, True, note=note)
