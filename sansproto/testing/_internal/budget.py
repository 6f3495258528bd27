"""The budget of an exploration: how often the network misbehaves, and what an attacker can send."""

from __future__ import annotations

from typing import NamedTuple

import attrs

from ...contract import Path


class Budget(NamedTuple):
    """How often the network misbehaves, at most."""

    losses: int = 0  # a datagram is dropped, or a stream falls silent for good
    duplicates: int = 0  # a datagram arrives, and will arrive again
    replays: int = 0  # what was delivered once arrives at any end that is open now
    cuts: int = 0  # a stream is reset, what is in flight is lost; each end learns it in its own time
    early: int = 0  # time passes although something is in flight
    inserts: int = 0  # the attacker's bytes
    splits: int = 0  # half of a chunk arrives
    blocks: int = 0  # a transport takes no more bytes for a while; for good if the stream falls silent
    restarts: int = 0  # a party loses all its state; its streams are cut
    moves: int = 0  # a NAT gives a datagram socket another address; what is sent to the old one is lost

    def without(self, name: str) -> Budget:
        return self._replace(**{name: getattr(self, name) - 1})

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self._asdict().items() if count) or "no faults"


@attrs.frozen
class Insert:
    """Bytes that the attacker can put into any stream that ends at this party, or send to it as a datagram."""

    to: str
    data: bytes
    path: Path | None = None
