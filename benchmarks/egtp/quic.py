"""Beside aioquic: messages that fill datagrams of the same size, which are neither ordered nor repeated.

That is most of the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import process_time

from benchmarks.egtp.nodes import Pair, connected
from benchmarks.measure import Line
from benchmarks.quic import DATA, DATAGRAM, SIZE, STEP, beside
from sansproto.egtp import NodeLimits
from sansproto.egtp.packets import OVERHEAD

AT_ONCE = 64
MESSAGES = [DATA[at : at + DATAGRAM - OVERHEAD] for at in range(0, SIZE, DATAGRAM - OVERHEAD)]


def ours() -> float:
    pair = connected(limits=NodeLimits(message=DATAGRAM - OVERHEAD))
    start = process_time()
    count = transfer(pair)
    elapsed = process_time() - start
    assert count == len(MESSAGES)
    return elapsed


def transfer(pair: Pair) -> int:
    a, peer, count = pair.a, pair.b.public_key, 0
    for first in range(0, len(MESSAGES), AT_ONCE):
        pair.now += STEP
        pair.wake()
        for message in MESSAGES[first : first + AT_ONCE]:
            a.send(peer, message, pair.now)
        pair.carry()
        count += pair.received()
    return count


def run() -> Iterator[Line]:
    yield from beside("egtp", ours, 3.0)
