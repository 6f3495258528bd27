"""One message of 300 kB, and one of 3 MB, over the virtual network: virtual time, named as such."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Line
from benchmarks.nodes import Entropy
from sansproto.contract import Path
from sansproto.freenet import FreenetGateway, FreenetPeer, MessageReceived
from sansproto.testing.network import Conditions, VirtualNetwork

REAL = 26.0
"""kB/s of freenet-core with itself at 15 % loss each way."""
REAL_CLEAN = 1250.0
"""kB/s of freenet-core on a clean way: its fixed rate."""


def rate(size: int, seed: int, loss: float, latency: float) -> float:
    """kB per second of virtual time, from ``send`` until it is handed up."""
    net = VirtualNetwork(seed=seed, default=Conditions(loss=loss, latency=latency))
    gateway = FreenetGateway(private_key=bytes([7]) * 32, entropy=Entropy())
    joiner = FreenetPeer(private_key=bytes([9]) * 32, entropy=Entropy())
    there = net.host("10.0.0.1").run(gateway, sockets={"udp": 7000})
    here = net.host("10.0.0.2").run(joiner, sockets={"udp": 7000})
    here.call(lambda now: joiner.connect(gateway.public_key, Path("udp", "10.0.0.1", 7000), now, gateway=True))
    net.run_until(lambda: bool(joiner.sessions) and bool(gateway.sessions))
    start = net.now
    here.call(lambda now: joiner.send(1, bytes(size), now))
    net.run_until(lambda: any(isinstance(event, MessageReceived) for event in there.events))
    return size / 1000 / (net.now - start)


def run() -> Iterator[Line]:
    slow = sorted(rate(300_000, seed, 0.15, 0.02) for seed in range(9))[4]
    yield Line("300 kB at 15 % loss each way and 20 ms, virtual time", slow, 5 * REAL, at_least=True, unit=" kB/s")
    clean = rate(3_000_000, 1, 0.0, 0.0005)
    yield Line("3 MB on a clean way, virtual time", clean, 10 * REAL_CLEAN, at_least=True, unit=" kB/s")
