"""Tox: what a flood at a relay leaves of the speed between two of its clients."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Line
from benchmarks.tox import relay


def run() -> Iterator[Line]:
    for module in (relay,):
        yield from module.run()
