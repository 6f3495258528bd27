"""Tox: handshakes, packets, idle sessions, and what a flood at a relay leaves of a link through it."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Line
from benchmarks.tox import handshake, idle, packet, quic, relay


def run() -> Iterator[Line]:
    for module in (handshake, packet, quic, idle, relay):
        yield from module.run()
