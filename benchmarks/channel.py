"""The channel in process: 32,767-byte records, 64 KiB reads, events popped; against the raw AES-GCM calls."""

from __future__ import annotations

from collections.abc import Iterator
from os import urandom
from struct import pack
from time import perf_counter

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.measure import Line, ratio
from sansproto.bob import Channel
from sansproto.bob.crypto import MAX_PLAINTEXT, RecordKey

RECORDS = 2048
READ = 65536
KEY = RecordKey(urandom(32), urandom(12))
FILE = [urandom(MAX_PLAINTEXT) for _ in range(64)]  # more than a processor's fast cache


def raw() -> float:
    """Encrypt every record, keep the ciphertexts as a network would, decrypt every one, keep the plaintexts."""
    aead, aad = AESGCM(KEY.key), pack(">HH", 1, MAX_PLAINTEXT)
    nonces = [KEY.base_nonce + pack(">Q", number) for number in range(RECORDS)]
    start = perf_counter()
    sealed = [aead.encrypt(nonce, FILE[number % 64], aad) for number, nonce in enumerate(nonces)]
    opened = [aead.decrypt(nonce, record, aad) for nonce, record in zip(nonces, sealed, strict=True)]
    elapsed = perf_counter() - start
    assert len(opened) == RECORDS
    return elapsed


def ours() -> float:
    """The same through two channels, in the same two steps."""
    sender = Channel(send_key=KEY, receive_key=None)
    receiver = Channel(send_key=None, receive_key=KEY)
    wire, opened = [], []
    start = perf_counter()
    for number in range(RECORDS):
        sender.send(FILE[number % 64], 0.0)
        while (transmit := sender.next_transmit()) is not None:
            wire.append(transmit.data)
    elapsed = perf_counter() - start
    reads = list(_cut(b"".join(wire)))
    start = perf_counter()
    for read in reads:
        receiver.receive_data(read, 0.0)
        while (event := receiver.next_event()) is not None:
            opened.append(event)
    elapsed += perf_counter() - start
    assert len(opened) == RECORDS
    return elapsed


def _cut(stream: bytes) -> Iterator[bytes]:
    for start in range(0, len(stream), READ):
        yield stream[start : start + READ]


def run() -> Iterator[Line]:
    value, floor, time = ratio(raw, ours, rounds=9)
    note = f"raw {floor / RECORDS * 1e6:.1f} us, ours {time / RECORDS * 1e6:.1f} us a record, both ends"
    yield Line("channel: raw AESGCM encrypt + decrypt / ours", value, 0.75, True, note=note)
