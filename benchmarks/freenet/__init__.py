"""Freenet: handshakes, packets, streams, and many peers or strangers at once."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.freenet import crowd, handshake, packet, streams
from benchmarks.measure import Line


def run() -> Iterator[Line]:
    for module in (handshake, packet, streams, crowd):
        yield from module.run()
