"""Tox: how fast a node sends to a real toxcore, and over ways that change; what friends at relays cost."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Line
from benchmarks.tox_paths import idle, real, switching


def run() -> Iterator[Line]:
    for module in (switching, idle, real):
        yield from module.run()
