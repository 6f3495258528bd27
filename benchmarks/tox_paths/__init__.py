"""Tox: how fast a node sends to a real toxcore."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Line
from benchmarks.tox_paths import real


def run() -> Iterator[Line]:
    for module in (real,):
        yield from module.run()
