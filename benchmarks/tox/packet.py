"""A lossless packet of 1373 bytes from one application to the other, against the bare calls of PyNaCl.

The floor seals and opens, with its nonces and clear texts ready. Ours is all that two nodes do from ``send_many``, or
``send``, to the event at the other end: checks, congestion, both windows, acknowledgements, queues, timers. The session
was there, and fast; the clock makes steps of 1 ms, in each of which 64 packets are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from os import urandom
from time import process_time

from nacl import bindings as sodium

from benchmarks.measure import Line, ratio
from benchmarks.tox.nodes import fast
from sansproto.tox import packets as p

STEPS = 40
PACKETS = [b"\xa0" + urandom(p.MAX_PAYLOAD - 1) for _ in range(64)]
TIMES = STEPS * len(PACKETS)


def raw() -> float:
    key, clear = urandom(32), [bytes(8) + packet for packet in PACKETS]
    seal, unseal = sodium.crypto_box_afternm, sodium.crypto_box_open_afternm
    nonces = [number.to_bytes(24, "big") for number in range(TIMES)]
    start = process_time()
    sealed = [seal(clear[number % 64], nonces[number], key) for number in range(TIMES)]
    for number in range(TIMES):
        unseal(sealed[number], nonces[number], key)
    return process_time() - start


def ours(*, together: bool) -> Callable[[], float]:
    pair = fast(PACKETS)

    def measure() -> float:
        sent = received = 0
        start = process_time()
        for _ in range(STEPS):
            sent += pair.step(PACKETS, together=together)
            received += pair.received()
        elapsed = process_time() - start
        assert sent == received == TIMES
        return elapsed

    return measure


def run() -> Iterator[Line]:
    for together, verb in ((True, "send_many"), (False, "send")):
        value, floor, time = ratio(raw, ours(together=together), rounds=21)
        note = f"bare {floor / TIMES * 1e6:.2f} us, ours {time / TIMES * 1e6:.2f} us"
        name = f"tox: lossless packet of 1373 bytes between two nodes by {verb}, bare seal and open / ours"
        yield Line(name, value, 0.5, True, note=note)
