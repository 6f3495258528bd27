"""Beside aioquic: packets that fill datagrams of the same size, in order and repeated if they were lost, as there.

The application offers all that is left whenever the friend is writable; what nobody waits for is slept through, but at
least 1 ms passes between two turns. Of both, all behind the handshake is measured, so how fast may be sent has to be
found out yet. In the note: a session that has found out, and is given 64 packets each millisecond.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from time import process_time

from benchmarks.measure import Line
from benchmarks.quic import DATA, DATAGRAM, SIZE, beside
from benchmarks.tox.nodes import connected, fast
from sansproto.tox import FriendWritable

OVERHEAD = 28
"""Of a datagram over what the application sends: 27 bytes, and one that says what it is."""
AT_ONCE = 64
PACKETS = [b"\xa0" + DATA[at : at + DATAGRAM - OVERHEAD] for at in range(0, SIZE, DATAGRAM - OVERHEAD)]


def ours() -> float:
    pair = connected()
    start = process_time()
    sent, received, is_writable = 0, 0, True
    while received < len(PACKETS):
        if is_writable:
            sent += pair.send(PACKETS[sent:], together=True)
            is_writable = False
        pair.carry()
        received += pair.received()
        while (event := pair.a.next_event()) is not None:
            is_writable |= event.__class__ is FriendWritable
        pair.sleep()
    elapsed = process_time() - start
    assert sent == received
    return elapsed


def at_speed(*, together: bool) -> float:
    """MB/s, once the rate has grown."""
    pair = fast(PACKETS[:AT_ONCE])
    sent = received = 0
    start = process_time()
    while received < len(PACKETS):
        sent += pair.step(PACKETS[sent : sent + AT_ONCE], together=together)
        received += pair.received()
    return SIZE / (process_time() - start) / 1e6


def run() -> Iterator[Line]:
    many, one = (median(at_speed(together=together) for _ in range(3)) for together in (True, False))
    note = f"; at speed {many:.1f} MB/s by send_many, {one:.1f} MB/s by send"
    yield from beside("tox", ours, 2.5, note=note)
