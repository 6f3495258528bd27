"""A gateway with many idle peers, and one that is flooded with intros: made by hand, without sockets.

In a flood of spoofed intros a gateway opens 2,000 in a second; the figure is what is left of its time. Who joins
meanwhile sends its intro four times in a second, and is in when one of them is among those that are opened: ten times
fewer of both, which changes no part of it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from hashlib import sha256
from os import urandom
from pathlib import Path as File
from random import Random
from time import process_time

from benchmarks.measure import Line
from benchmarks.nodes import Entropy
from sansproto.contract import Path, SendDatagram
from sansproto.freenet import OURS, Connected, FreenetGateway, FreenetLimits
from sansproto.freenet import packets as p
from sansproto.freenet.crypto import Cipher, KeyPair, seal_intro

MANY, FEW = 10_000, 100
FLOOD = 20_000
SECRET = urandom(32)
PUBLIC = KeyPair.of(SECRET).public
SEEN = p.AddressV4(bytes(4), 1)


def intro(key: bytes) -> bytes:
    return seal_intro(PUBLIC, urandom(32), p.IntroBody(OURS.wire, key))


def read_answer(key: bytes, answer: bytes) -> tuple[bytes, bytes]:
    """The key in a gateway's answer to an intro with this key, and the joiner's own answer."""
    body = p.read_clear(Cipher(key).open(answer)).body
    assert isinstance(body, p.AckConnectionV2)
    ack = p.Clear(0, (), p.AckConnection(p.Granted(key, SEEN)))
    return body.key, Cipher(body.key).seal(bytes(12), ack.encode())


class Crowd:
    """A gateway, and peers that were all let in and say nothing more than they have to."""

    def __init__(self, size: int) -> None:
        self.gateway, self.now = FreenetGateway(private_key=SECRET, entropy=Entropy()), 0.0
        self.keys: list[tuple[Path, bytes]] = []
        for number in range(size):
            self.wait(0.001)
            self.join(Path("udp", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 4000))
        self.wait(1.0)

    def join(self, path: Path) -> None:
        gateway, key = self.gateway, urandom(16)
        gateway.receive_datagram(intro(key), path, self.now)
        answer = gateway.next_transmit()
        assert isinstance(answer, SendDatagram)
        their_key, ack = read_answer(key, answer.data)
        self.keys.append((path, their_key))
        gateway.receive_datagram(ack, path, self.now)
        self.ping(number=1, which=-1)

    def ping(self, number: int, which: int) -> None:
        path, key = self.keys[which]
        data = Cipher(key).seal(number.to_bytes(12, "big"), p.Clear(number, (), p.Ping(number)).encode())
        self.gateway.receive_datagram(data, path, self.now)
        self.drain()

    def drain(self) -> None:
        while self.gateway.next_transmit() is not None or self.gateway.next_event() is not None:
            pass

    def wait(self, seconds: float) -> float:
        """Let time pass; what the timers cost."""
        spent, end = 0.0, self.now + seconds
        while (due := self.gateway.next_timeout()) is not None and due <= end:
            start = process_time()
            self.gateway.handle_timeout(due)
            spent += process_time() - start
            self.drain()
        self.now = end
        return spent

    def packet(self, times: int = 1000) -> float:
        path, key = self.keys[len(self.keys) // 2]
        text = p.ShortMessage(p.Message(b"text").encode())
        packets = [
            Cipher(key).seal(n.to_bytes(12, "big"), p.Clear(n, (), text).encode()) for n in range(10, 10 + times)
        ]
        start = process_time()
        for data in packets:
            self.gateway.receive_datagram(data, path, self.now)
        spent = process_time() - start
        self.drain()
        return spent / times


def idle() -> Iterator[Line]:
    small = min(Crowd(FEW).packet() for _ in range(3))
    gc.collect()
    before = resident()
    crowd = Crowd(MANY)
    gc.collect()
    yield Line("memory of an idle peer", (resident() - before) / MANY / 1024, 8.0, at_least=False, unit=" KB")
    spent = 0.0
    for second in range(10):  # each of them pings every 5 s
        for which in range(second % 5, MANY, 5):
            crowd.ping(20 + second, which)
        spent += crowd.wait(1.0)
    yield Line("timers of 10,000 idle peers", spent / 10 * 100, 2.0, at_least=False, unit=" % of a core")
    yield Line("a packet among 10,000 peers, to one among 100", crowd.packet() / small, 1.3, at_least=False, unit=" x")


def resident() -> float:
    return int(File("/proc/self/statm").read_text("ascii").split()[1]) * 4096.0


def flood() -> Iterator[Line]:
    gateway, random, now = FreenetGateway(private_key=SECRET, entropy=Entropy()), Random(1), 0.0
    intros = [intro(urandom(16)) for _ in range(4000)]
    left = []
    for second in range(4):
        given = [(intros[random.randrange(len(intros))], somewhere(random)) for _ in range(FLOOD)]
        start = process_time()
        for number, (data, path) in enumerate(given):
            now = second + number / FLOOD
            gateway.receive_datagram(data, path, now)
            gateway.next_transmit()
        left.append(1 - process_time() + start)
        while (due := gateway.next_timeout()) is not None and due <= now:
            gateway.handle_timeout(due)
    note = f"{len(gateway.offered)} candidates"
    yield Line("left to a live pair in a flood of 20,000 intros/s", max(left[1:]), 0.7, at_least=True, note=note)


def joined(seed: int) -> float:
    """How long it takes to be let in during a flood of which a tenth is opened."""
    random, limits = Random(seed), FreenetLimits(intro_rate=200.0)
    gateway, now = FreenetGateway(private_key=SECRET, entropy=Entropy(), limits=limits), 0.0
    intros = [intro(urandom(16)) for _ in range(500)]
    key, path, due = sha256(b"%d" % seed).digest()[:16], Path("udp", "192.0.2.1", 7000), 1.0
    own = intro(key)
    while now < 11.0:
        now += 1 / 2000
        gateway.receive_datagram(intros[random.randrange(len(intros))], somewhere(random), now)
        if now >= due:
            due += random.uniform(0.2, 0.3)
            gateway.receive_datagram(own, path, now)
        while (transmit := gateway.next_transmit()) is not None:
            if isinstance(transmit, SendDatagram) and transmit.path == path:
                gateway.receive_datagram(read_answer(key, transmit.data)[1], path, now)
        if isinstance(gateway.next_event(), Connected):
            return now - 1.0
    return 11.0


def somewhere(random: Random) -> Path:
    return Path("udp", f"198.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}", 4000)


def run() -> Iterator[Line]:
    yield from idle()
    yield from flood()
    times = [joined(seed) for seed in range(100)]
    for within, target in ((3.0, 65.0), (10.0, 95.0)):
        share = 100 * sum(one <= within for one in times) / len(times)
        yield Line(f"joiners that are in within {within:g} s of a flood", share, target, at_least=True, unit=" %")
