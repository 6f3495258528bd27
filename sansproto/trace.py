"""What a session did and why, as records: transitions, rungs, drops and packets. No record holds a secret.

A session takes ``trace``, any callable with one argument; None costs nothing. :class:`JsonSeqWriter` makes the lines of
a qlog-like file out of records.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeAlias

import attrs


@attrs.frozen
class Stepped:
    """An object took an input; ``to`` is None when a default (ignore, violation) answered it."""

    time: float
    machine: str
    key: str
    state: str
    input: str
    to: str | None


@attrs.frozen
class Judged:
    """A ladder named an input; ``rung`` is the number of the rung that applied (its length: none did)."""

    time: float
    machine: str
    ladder: str
    rung: int


@attrs.frozen
class Dropped:
    """Something that arrived was ignored, and counted under this reason."""

    time: float
    reason: str


@attrs.frozen
class PacketSeen:
    """A packet passed: its name and size, never its contents."""

    time: float
    sent: bool
    link: int
    name: str
    size: int


TraceRecord: TypeAlias = Stepped | Judged | Dropped | PacketSeen
Trace: TypeAlias = Callable[[TraceRecord], None]


def json_line(record: TraceRecord) -> str:
    """One line of a trace file: time, name and data, as qlog's events have them."""
    data = attrs.asdict(record)
    time = data.pop("time")
    return json.dumps({"time": time, "name": type(record).__name__, "data": data}, sort_keys=True)


class JsonSeqWriter:
    """A trace that hands JSON text lines (with their newline) to ``write``, for example a text file's method."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def __call__(self, record: TraceRecord) -> None:
        self._write(json_line(record) + "\n")
