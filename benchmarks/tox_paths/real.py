"""A stream of lossless packets into a real toxcore, from a node of ours and from another toxcore.

Sender and receiver are two processes on loopback; each sender offers all that is taken. What is compared is how much
arrives in each second: of its first ten, in which it is found out how fast may be sent, and of those that follow.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path as File
from statistics import mean
from time import sleep
from typing import Final

from benchmarks.measure import Line

sys.path.insert(0, str(File(__file__).parents[2] / "tests" / "interop"))

from tox_parts import Ours, free_port
from toxcore import HERE, Toxcore, debian

from sansproto.contract import Path

FIRST, MORE = 10, 8
"""Seconds."""
PACKET = b"\xa0" + bytes(1372)
OFFERED: Final = [PACKET] * 2000
REST = 0.001


class Receiver:
    """A process that counts what arrives."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.tox_paths.receiver", str(FIRST + MORE)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        real, dht, port = self._process.stdout.readline().split()
        self.real_key, self.dht_key, self.port = bytes.fromhex(real), bytes.fromhex(dht), int(port)

    def meet(self, key: bytes) -> None:
        assert self._process.stdin is not None
        print(key.hex(), file=self._process.stdin, flush=True)

    def counts(self, turn: Callable[[], None]) -> list[int]:
        """Packets of each second, while the sender has its turns."""
        while self._process.poll() is None:
            turn()
        assert self._process.stdout is not None
        return [int(line) for line in self._process.stdout]


def theirs() -> list[int]:
    assert debian is not None
    receiver, sender = Receiver(), Toxcore(debian, port=free_port())
    sender.befriend(receiver.real_key)
    sender.meet(receiver.port, receiver.dht_key)
    receiver.meet(sender.real_key)

    def turn() -> None:
        sender.turn()
        while sender.status and sender.send_lossless(PACKET):
            pass
        sleep(REST)

    counts = receiver.counts(turn)
    sender.stop()
    return counts


def ours() -> list[int]:
    receiver, sender = Receiver(), Ours()
    receiver.meet(sender.real_key)
    sender.befriend(receiver, path=Path("udp", HERE, receiver.port))

    def turn() -> None:
        sender.turn()
        sender.events.clear()
        if sender.node.is_online(receiver.real_key):
            sender.call(sender.node.send_many, receiver.real_key, OFFERED)

    counts = receiver.counts(turn)
    sender.stop()
    return counts


def run() -> Iterator[Line]:
    if debian is None:
        print("tox_paths: not run, there is no libtoxcore")
        return
    counts, reference = ours(), theirs()
    first, other_first = mean(counts[:FIRST]), mean(reference[:FIRST])
    steady, other_steady = mean(counts[FIRST:]), mean(reference[FIRST:])
    note = f"{first:,.0f} and {other_first:,.0f} packets a second"
    yield Line(
        "tox: packets into a toxcore in the first 10 s, ours / of a toxcore", first / other_first, 5.0, True, note=note
    )
    note = f"{steady:,.0f} and {other_steady:,.0f} packets a second"
    yield Line("tox: the same in the 8 s after that", steady / other_steady, 1.0, True, note=note)
    yield Line("tox: the same in our second second / afterwards", counts[1] / steady, 0.9, True)
