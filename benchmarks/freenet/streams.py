"""One message of 300 kB, and one of 3 MB, over the virtual network: virtual time, named as such. And 3 MB on loopback,
between two processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import get_context
from time import monotonic
from typing import Any

from benchmarks.measure import Line
from benchmarks.nodes import Entropy
from sansproto.contract import Path
from sansproto.freenet import FreenetGateway, FreenetPeer, MessageReceived
from sansproto.testing.network import Conditions, VirtualNetwork
from sansproto_sockets import run as run_sockets

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


def serve(pipe: Any) -> None:
    """A gateway: its port and key, and then when each message came, until something is said to it."""
    gateway = FreenetGateway(private_key=bytes([7]) * 32, entropy=Entropy())
    with run_sockets(gateway, sockets={"udp": ("127.0.0.1", 0)}) as runner:
        pipe.send((runner.addresses["udp"].port, gateway.public_key))
        while not pipe.poll():
            runner.run_once(0.2)
            with suppress(TimeoutError):
                while True:
                    if isinstance(runner.next_event(timeout=0), MessageReceived):
                        pipe.send(monotonic())


def loopback(size: int, times: int) -> float:
    """kB per second, at best."""
    context = get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,))
    process.start()
    port, key = pipe.recv()
    joiner, best = FreenetPeer(private_key=bytes([9]) * 32, entropy=Entropy()), 0.0
    with run_sockets(joiner, sockets={"udp": ("127.0.0.1", 0)}) as runner:
        runner.call(lambda now: joiner.connect(key, Path("udp", "127.0.0.1", port), now, gateway=True))
        while not joiner.sessions:
            runner.run_once(0.1)
        for _ in range(times):
            start = monotonic()
            runner.call(lambda now: joiner.send(1, bytes(size), now))
            while not pipe.poll() or joiner.undelivered(1):
                runner.run_once(0.02)
            best = max(best, size / 1000 / (pipe.recv() - start))
    pipe.send("that is all")
    process.join()
    return best


def run() -> Iterator[Line]:
    slow = sorted(rate(300_000, seed, 0.15, 0.02) for seed in range(9))[4]
    yield Line("300 kB at 15 % loss each way and 20 ms, virtual time", slow, 5 * REAL, at_least=True, unit=" kB/s")
    clean = rate(3_000_000, 1, 0.0, 0.0005)
    yield Line("3 MB on a clean way, virtual time", clean, 10 * REAL_CLEAN, at_least=True, unit=" kB/s")
    yield Line("3 MB on loopback, best of 5", loopback(3_000_000, 5), 10 * REAL_CLEAN, at_least=True, unit=" kB/s")
