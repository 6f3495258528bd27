"""A data packet of 1200 bytes, sealed and opened, against the bare calls of ChaCha20-Poly1305.

The floor has its nonces, headers and clear texts ready. Ours begins with a message and a counter, makes the packet,
reads it again, and ends with the message. What a node does besides (the window, times, limits, events) is in the note.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import urandom
from time import process_time

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from benchmarks.egtp.nodes import AT_A, Pair, connected
from benchmarks.measure import Line, ratio
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
    for number in range(TIMES):
        sealed = aead.encrypt(nonces[number], clear[number % 64], headers[number])
        aead.decrypt(nonces[number], sealed, headers[number])
    return process_time() - start


class Ours:
    def __init__(self) -> None:
        self.pair = connected()
        peer = self.pair.a.recovery.peers[self.pair.b.public_key]
        assert peer.cur is not None
        self.sid, self.route, self.counter = peer.cur, peer.route, 1000

    def packets(self) -> float:
        """Made, read and opened."""
        seal, keyring, decode = self.pair.a.keyring.seal, self.pair.b.keyring, self.pair.b.decode
        open_packet, read = keyring.open, keyring.read
        sid, route, first = self.sid, self.route, self.counter
        assert route is not None
        self.counter += TIMES
        start = process_time()
        for number in range(TIMES):
            data = seal(sid, first + number, Kind.APP, MESSAGES[number % 64])
            seen = decode(data, AT_A)
            sealed = Sealed(seen[1].sid, seen[1].counter, len(data), route, seen)
            opened = read(sealed, open_packet(sealed))
        elapsed = process_time() - start
        assert len(data) == SIZE
        assert opened.body == MESSAGES[number % 64]
        return elapsed


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
    value, floor, time = ratio(raw, ours.packets, rounds=15)
    pair = connected()
    whole = ratio(raw, lambda: messages(pair), rounds=9)[0]
    note = f"bare {floor / TIMES * 1e6:.2f} us, ours {time / TIMES * 1e6:.2f} us; {whole:.3f} through two nodes"
    yield Line("egtp: data packet of 1200 bytes, bare AEAD calls / ours", value, 0.5, True, note=note)
