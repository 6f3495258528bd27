"""EGTP: handshakes, packets, idle peers, floods, and how long two ends take to find each other again."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.egtp import flood, handshake, idle, packet, quic, recovery
from benchmarks.measure import Line


def run() -> Iterator[Line]:
    for module in (handshake, packet, quic, idle, flood, recovery):
        yield from module.run()
