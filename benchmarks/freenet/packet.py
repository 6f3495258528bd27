"""A full packet of a stream, 1200 bytes, sealed and opened, against the bare calls of AES-128-GCM.

The floor has its nonces and clear texts ready. Ours are pieces of a stream that become datagrams, and datagrams that
become pieces of a stream. What two ends do besides, from ``send`` to the event at the other end (pace, receipts, times,
limits, queues), is in the note.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import urandom
from time import process_time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.freenet.nodes import Pair, connected
from benchmarks.measure import Line, ratio
from sansproto.freenet import packets as p
from sansproto.freenet.crypto import Cipher

TIMES = 1000
TOTAL = TIMES * p.FRAGMENT_SIZE
KEY = urandom(p.KEY_SIZE)
NONCES = [number.to_bytes(p.NONCE_SIZE, "little") for number in range(TIMES)]
PIECES = [urandom(p.FRAGMENT_SIZE) for _ in range(64)]
CLEAR = [p.write_fragment(number, 7, TOTAL, number, PIECES[number % 64]) for number in range(TIMES)]


def raw() -> float:
    aead = AESGCM(KEY)
    start = process_time()
    sealed = [aead.encrypt(NONCES[number], CLEAR[number], None) for number in range(TIMES)]
    for number in range(TIMES):
        aead.decrypt(NONCES[number], sealed[number], None)
    return process_time() - start


def ours() -> float:
    cipher, write, read = Cipher(KEY), p.write_fragment, p.read_fragment
    start = process_time()
    sealed = [
        cipher.seal(NONCES[number], write(number, 7, TOTAL, number, PIECES[number % 64])) for number in range(TIMES)
    ]
    for data in sealed:
        found = read(cipher.open(data))
    elapsed = process_time() - start
    assert len(sealed[0]) == p.MAX_SENT
    assert found == (TIMES - 1, 7, TOTAL, TIMES - 1, PIECES[(TIMES - 1) % 64])
    return elapsed


def stream(pair: Pair) -> float:
    """Seconds from ``send`` to the event at the other end, for a stream of as many packets."""
    data, session, received = bytes(TOTAL - p.LENGTH_SIZE), next(iter(pair.a.sessions)), 0
    start = process_time()
    assert pair.a.send(session, data, pair.now)
    while not received:
        if not pair.carry():
            pair.now += 0.001
            pair.wake()
        received += pair.received()
    elapsed = process_time() - start
    for _ in range(100):  # the last receipts
        pair.carry()
        pair.now += 0.01
        pair.wake()
    pair.drain()
    return elapsed


def run() -> Iterator[Line]:
    value, floor, time = ratio(raw, ours, rounds=25)
    pair = connected()
    whole = ratio(raw, lambda: stream(pair), rounds=5)[0]
    note = f"bare {floor / TIMES * 1e6:.2f} us, ours {time / TIMES * 1e6:.2f} us; {whole:.3f} through two ends"
    yield Line("freenet: packet of 1200 bytes, bare AEAD calls / ours", value, 0.5, True, note=note)
