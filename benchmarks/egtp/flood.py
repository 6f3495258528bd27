"""A flood of Inits at one end of a pair that talks: 20,000 a second, each genuine, of another identity and address.

Time is that of the processor, and the clock of the nodes is the same: so many Inits arrive in each second of it,
whatever else runs on the machine. What the pair gets done without them and beside them is measured in turns.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import cycle
from os import urandom
from time import process_time

from benchmarks.egtp.nodes import Pair, connected
from benchmarks.measure import Line, ratio
from sansproto.contract import Path
from sansproto.egtp import EgtpNode, KeyPair, crypto
from sansproto.egtp import packets as p

RATE = 20_000
INITS = 8192
AT_ONCE = 64  # messages between two looks at the clock: about a millisecond, as a driver reads what has come meanwhile
SECONDS = 0.4
COUNT, SLOW = 100_000, 200  # Inits, and how many a second let budgets recover, so that each table gets full
MESSAGE = urandom(1198)


def inits(host: EgtpNode) -> Iterator[tuple[bytes, Path]]:
    """Without an end: more of them than a node remembers paths, again and again."""
    made, mac_key = [], crypto.mac_key(host.public_key)
    for place in range(INITS):
        payload = p.InitPayload(int(1.7e15), urandom(8), urandom(8)).encode()
        keys, begun = KeyPair.of(urandom(32)), crypto.begin_datagram(host.public_key)
        *parts, _ = crypto.write_first(begun, keys, urandom(32), host.public_key, payload)
        data = p.DATAGRAM.encode(p.H1(*parts, p.NO_TOKEN, bytes(16)))[:160]
        address = f"{11 + place % 100}.{place >> 8}.{place & 255}.{place % 251}"
        made.append((data + crypto.h1_mac(mac_key, data), Path("udp", address, 4000)))
    return cycle(made)


def arrive(host: EgtpNode, flood: Iterator[tuple[bytes, Path]], count: int, now: float) -> None:
    """So many of them, and what is said to them is taken."""
    for _ in range(count):
        data, path = next(flood)
        host.receive_datagram(data, path, now)
        host.next_transmit()


def talking(pair: Pair, flood: Iterator[tuple[bytes, Path]] | None) -> Callable[[], float]:
    """Seconds for each message that gets through."""

    def measure() -> float:
        a, peer, count, arrived = pair.a, pair.b.public_key, 0, 0
        begin, before = process_time(), pair.now
        while (passed := process_time() - begin) < SECONDS or (flood is not None and arrived < SECONDS * RATE):
            assert passed < 4 * SECONDS, "they come faster than they are dealt with"
            pair.now = before + passed
            if flood is not None:
                due = min(int(min(passed, SECONDS) * RATE) - arrived, RATE // 100)
                arrive(pair.b, flood, due, pair.now)
                arrived += due
            for _ in range(AT_ONCE):
                a.send(peer, MESSAGE, pair.now)
            pair.carry()
            pair.wake()
            count += pair.received()
        return passed / count

    return measure


def run() -> Iterator[Line]:
    pair = connected()
    flood = inits(pair.b)
    value, alone, beside = ratio(talking(pair, None), talking(pair, flood), rounds=9)
    each = (1 - value) / RATE * 1e6
    note = f"{1 / alone / 1e3:.1f} and {1 / beside / 1e3:.1f} thousand messages a second, {each:.1f} us an Init"
    yield Line("egtp: speed of a pair beside 20,000 Inits a second / alone", value, 0.7, True, note=note)
    tracemalloc.start()
    pair = connected()
    flood = inits(pair.b)
    before = tracemalloc.get_traced_memory()[0]
    sizes = [grown(pair, flood, rate) - before for rate in (SLOW, RATE)]
    tracemalloc.stop()
    name = f"egtp: memory behind {COUNT:,} more Inits / behind as many that filled the tables"
    yield Line(name, sizes[1] / sizes[0], 1.05, False, note=f"{sizes[0] / 1e3:.0f} kB besides the pair and the Inits")


def grown(pair: Pair, flood: Iterator[tuple[bytes, Path]], rate: int) -> int:
    """Bytes that are in use behind so many of them."""
    for _ in range(COUNT // 200):
        pair.now += 200 / rate
        arrive(pair.b, flood, 200, pair.now)
        pair.wake()
        pair.carry()
        pair.received()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
