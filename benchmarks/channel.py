"""The channel in process: 32,767-byte records, 64 KiB reads, events popped; against the raw AES-GCM calls.

The records go in batches of 4 MB: more than the fast caches of a processor hold, as a file's bytes are, and few enough
that memory is used again. With 64 MB at once the figure said whose pages the system had just taken back, 0.25 or 0.98.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import urandom
from struct import pack
from time import perf_counter

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.measure import Line, ratio
from sansproto.bob import Channel
from sansproto.bob.crypto import MAX_PLAINTEXT, RecordKey
from sansproto.bob.packets import TAG_SIZE

RECORDS = 2048
BATCH = 128
SMALL = 16  # they stay in the caches
READ = 65536
KEY = RecordKey(urandom(32), urandom(12))
FILE = [urandom(MAX_PLAINTEXT) for _ in range(64)]


def raw(batch: int) -> float:
    """Encrypt the records of a batch, keep the ciphertexts, decrypt what arrives of them, keep the plaintexts."""
    aead, aad = AESGCM(KEY.key), pack(">HH", 1, MAX_PLAINTEXT)
    nonces = [KEY.base_nonce + pack(">Q", number) for number in range(RECORDS)]
    elapsed = 0.0
    for first in range(0, RECORDS, batch):
        numbers = range(first, first + batch)
        start = perf_counter()
        sealed = [aead.encrypt(nonces[number], FILE[number % 64], aad) for number in numbers]
        elapsed += perf_counter() - start
        reads = list(_cut(b"".join(sealed), MAX_PLAINTEXT + TAG_SIZE))
        start = perf_counter()
        opened = [aead.decrypt(nonces[number], record, aad) for number, record in zip(numbers, reads, strict=True)]
        elapsed += perf_counter() - start
        assert len(opened) == batch
    return elapsed


def ours(batch: int) -> float:
    """The same through two channels, in the same two steps."""
    sender = Channel(send_key=KEY, receive_key=None)
    receiver = Channel(send_key=None, receive_key=KEY)
    elapsed = 0.0
    for first in range(0, RECORDS, batch):
        wire, opened = [], []
        start = perf_counter()
        for number in range(first, first + batch):
            sender.send(FILE[number % 64], 0.0)
            while (transmit := sender.next_transmit()) is not None:
                wire.append(transmit.data)
        elapsed += perf_counter() - start
        reads = list(_cut(b"".join(wire), READ))
        start = perf_counter()
        for read in reads:
            receiver.receive_data(read, 0.0)
            while (event := receiver.next_event()) is not None:
                opened.append(event)
        elapsed += perf_counter() - start
        assert len(opened) == batch
    return elapsed


def _cut(stream: bytes, size: int) -> Iterator[bytes]:
    """As a network does with it, which is not measured: it takes the same memory out of the caches for both."""
    for start in range(0, len(stream), size):
        yield stream[start : start + size]


def run() -> Iterator[Line]:
    value, floor, time = ratio(lambda: raw(BATCH), lambda: ours(BATCH), rounds=9)
    cached = ratio(lambda: raw(SMALL), lambda: ours(SMALL), rounds=9)[0]
    note = f"raw {floor / RECORDS * 1e6:.1f} us, ours {time / RECORDS * 1e6:.1f} us a record, both ends"
    yield Line(
        "channel: raw AESGCM encrypt + decrypt / ours", value, 0.75, True, note=f"{note}; {cached:.3f} in the cache"
    )
