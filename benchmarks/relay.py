"""The relay's machine by itself: memory, and what one packet costs among many peers."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from statistics import median
from time import perf_counter

from benchmarks.measure import Line
from sansproto.bob import RELAY_PORT, Relay
from sansproto.bob import packets as p
from sansproto.contract import Address, Link, SendBytes

MANY, FEW = 10_000, 100
PUBLIC = bytes(34)


def crowd(size: int) -> tuple[Relay, list[tuple[Link, str]]]:
    """A relay at which so many clients wait."""
    relay, clients = Relay(), []
    for number in range(size):
        peer = Address(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 40000)
        link = relay.stream_accepted(RELAY_PORT, peer, 0.0)
        relay.receive_data(link, p.encode(p.RELAY, p.HelloAsClient()), 0.0)
        clients.append((link, str(peer)))
        drain(relay)
    return relay, clients


def drain(relay: Relay) -> None:
    while relay.next_transmit() is not None or relay.next_event() is not None:
        pass


def server_joins(relay: Relay, port: int) -> tuple[Link, float]:
    """One more server: its link, and the seconds that its hello took."""
    link = relay.stream_accepted(RELAY_PORT, Address("192.0.2.1", port), 1.0)
    start = perf_counter()
    relay.receive_data(link, p.encode(p.RELAY, p.HelloAsServer(PUBLIC)), 1.0)
    return link, perf_counter() - start


def forwarding(relay: Relay, clients: list[tuple[Link, str]], port: int) -> float:
    """Seconds for one packet from a client to a server, which joins for this measurement."""
    server, _ = server_joins(relay, port)
    drain(relay)
    uid, times = len(clients) + port, []
    for link, identity in clients[:FEW]:
        packet = p.encode(uid, p.XAndClientIdentity(bytes(32), identity))
        start = perf_counter()
        relay.receive_data(link, packet, 1.0)
        transmit = relay.next_transmit()
        times.append(perf_counter() - start)
        assert isinstance(transmit, SendBytes)
        assert transmit.link == server
    return median(times)


def run() -> Iterator[Line]:
    tracemalloc.start()
    crowd_of_many = crowd(MANY)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    yield Line("relay: memory of 10,000 waiting peers", size / 1e6, 80, False, " MB")
    crowd_of_few = crowd(FEW)
    pairs = [(forwarding(*crowd_of_few, port), forwarding(*crowd_of_many, port)) for port in range(1, 22)]
    value = median(many / few for few, many in pairs)
    note = f"{median(many for _, many in pairs) * 1e6:.1f} us"
    yield Line("relay: forwarding one packet among 10,000 / among 100", value, 1.3, False, note=note)
    longest = median(announcing(crowd_of_many[0], port) for port in range(100, 107))
    yield Line("relay: the longest call of an announcement to 10,000 clients", longest * 1e3, 1.0, False, " ms")


def announcing(relay: Relay, port: int) -> float:
    """Seconds of the longest call between a server's hello and the last announcement of it."""
    _, longest = server_joins(relay, port)
    while True:
        start = perf_counter()
        transmit = relay.next_transmit()
        if transmit is None:
            return longest
        longest = max(longest, perf_counter() - start)
