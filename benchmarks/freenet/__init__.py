"""Freenet: handshakes and packets."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.freenet import handshake, packet
from benchmarks.measure import Line


def run() -> Iterator[Line]:
    for module in (handshake, packet):
        yield from module.run()
