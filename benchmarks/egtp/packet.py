"""A data packet of 1200 bytes, sealed and opened, against the bare calls of ChaCha20-Poly1305.

The floor has its nonces, headers and clear texts ready. Ours is a message and a counter that become a datagram, and a
packet that was read out of one and becomes a message. What two nodes do besides, from ``send`` to the event at the
other end (reading, the window, times, limits, queues), is in the note.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import urandom
from time import process_time

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from benchmarks.egtp.nodes import Pair, connected
from benchmarks.measure import Line, ratio
from benchmarks.nodes import AT_A
from sansproto.egtp import packets as p
from sansproto.recovery import Kind, Sealed

TIMES = 1000
SIZE = 1200
MESSAGES = [urandom(SIZE - p.OVERHEAD) for _ in range(64)]


def raw() -> float:
    aead = ChaCha20Poly1305(urandom(32))
    nonces = [bytes(4) + number.to_bytes(8, "little") for number in range(TIMES)]
    headers = [p.data_header(0x0B, bytes(8), number) for number in range(TIMES)]
    clear = [b"\0" + message for message in MESSAGES]
    start = process_time()
    sealed = [aead.encrypt(nonces[number], clear[number % 64], headers[number]) for number in range(TIMES)]
    for number in range(TIMES):
        aead.decrypt(nonces[number], sealed[number], headers[number])
    return process_time() - start


class Ours:
    def __init__(self) -> None:
        self.pair = connected()
        peer = self.pair.a.recovery.peers[self.pair.b.public_key]
        assert peer.cur is not None
        assert peer.route is not None
        self.sid, self.route, self.counter = peer.cur, peer.route, 1000

    def sealed_and_opened(self) -> float:
        """Each on its own: what is opened was read before."""
        seal, keyring, sid = self.pair.a.keyring.seal, self.pair.b.keyring, self.sid
        open_packet, read, first = keyring.open, keyring.read, self.counter
        self.counter += TIMES
        start = process_time()
        sealed = [seal(sid, first + number, Kind.APP, MESSAGES[number % 64]) for number in range(TIMES)]
        elapsed = process_time() - start
        assert len(sealed[0]) == SIZE
        packets = [self.read(data) for data in sealed]
        start = process_time()
        for packet in packets:
            opened = read(packet, open_packet(packet))
        assert opened.body == MESSAGES[(TIMES - 1) % 64]
        return elapsed + process_time() - start

    def read(self, data: bytes) -> Sealed:
        """A datagram, as the core gets it."""
        seen = self.pair.b.decode(data, AT_A)
        assert isinstance(seen[1], p.Data)
        return Sealed(seen[1].sid, seen[1].counter, len(data), self.route, seen)


def messages(pair: Pair) -> float:
    """From ``send`` to the event at the other end."""
    a, peer, received = pair.a, pair.b.public_key, 0
    start = process_time()
    for number in range(TIMES):
        a.send(peer, MESSAGES[number % 64], pair.now)
        pair.carry()
        received += pair.received()
    elapsed = process_time() - start
    assert received == TIMES
    return elapsed


def run() -> Iterator[Line]:
    ours = Ours()
    value, floor, time = ratio(raw, ours.sealed_and_opened, rounds=15)
    pair = connected()
    whole = ratio(raw, lambda: messages(pair), rounds=9)[0]
    note = f"bare {floor / TIMES * 1e6:.2f} us, ours {time / TIMES * 1e6:.2f} us; {whole:.3f} through two nodes"
    yield Line("egtp: data packet of 1200 bytes, bare AEAD calls / ours", value, 0.5, True, note=note)
