"""A transfer, and a newcomer, beside 200 hostile clients of one relay: wall-clock time, measured next to each other.

The hostile clients are a process of their own, and everything is on one machine, with one address. So the figure also
holds what the hostile clients themselves take of the processors.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

from benchmarks.foes import KINDS
from benchmarks.measure import Line
from benchmarks.transfer import free_port, measure_way, process, relay, through_relay

FOES = 200
SIZE = 64 << 20
PAIRS = 5
NEWCOMERS = 5
WHAT = {"hello": "repeated hellos", "dropped": "packets that are dropped", "slow": "one byte a second"}


def run() -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            yield from beside(kind, Path(folder) / kind)


def beside(kind: str, folder: Path) -> Iterator[Line]:
    folder.mkdir()
    file = folder / "random.bin"
    file.write_bytes(os.urandom(SIZE))
    port, secure_port = free_port(), free_port()
    with relay(port, secure_port):
        times = []
        for number in range(PAIRS + 1):
            alone = through_relay(port, secure_port, file, folder / f"{number}-alone")
            with foes(kind, port):
                sleep(2.0)  # until they are all there
                times.append((alone, through_relay(port, secure_port, file, folder / f"{number}-beside")))
        times = times[1:]  # the first one warms up
        alone, among = (SIZE / median(column) / 1e6 for column in zip(*times, strict=True))
        value = median(alone / among for alone, among in times)
        name = f"hostile: speed beside {FOES} clients with {WHAT[kind]} / alone"
        yield Line(name, value, 0.5, True, note=f"{among:.0f} and {alone:.0f} MB/s")
        with foes(kind, port):
            sleep(15.0)
            worst = max(newcomer(port, secure_port) for _ in range(NEWCOMERS))
        name = f"hostile: the slowest newcomer among {FOES} with {WHAT[kind]}, from its connection to Done"
        yield Line(name, worst, 2.0, False, " s")


def newcomer(port: int, secure_port: int) -> float:
    """Seconds that a server and a client take to connect, meet and agree, one after another."""
    start = perf_counter()
    asyncio.run(measure_way(port, secure_port))
    return perf_counter() - start


def foes(kind: str, port: int) -> AbstractContextManager[None]:
    return process("-m", "benchmarks.foes", kind, str(port), str(FOES))
