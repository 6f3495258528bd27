"""What a session did and why, as records: transitions, guards, drops and packets. No record holds a secret.

A session takes ``trace``, any callable with one argument; None costs nothing. :class:`JsonSeqWriter` makes the lines of
a qlog-like file out of records.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, TypeAlias

import attrs

from .contract import Link, Path
from .errors import Fault

Place: TypeAlias = tuple[Hashable, ...]
"""Where a part is in its session: the names of attributes, and the keys of parts of which there are many."""

Where: TypeAlias = Path | Link | None
"""From where an input came; None: from the application or a timer."""


@attrs.frozen
class _Record:
    time: float
    """The session's clock, in seconds."""


@attrs.frozen
class Stepped(_Record):
    """An object took an input; ``to`` is None when a default (ignore, violation) answered it."""

    machine: str
    """The name of the table."""
    key: str
    """The place of the object in its session."""
    state: str
    """The state before."""
    input: str
    """What happened."""
    to: str | None
    """The state afterwards."""
    row: int = attrs.field(default=-1, kw_only=True)
    """The number of the row in its table; -1: a default."""


@attrs.frozen
class Classified(_Record):
    """Guards decided: the step with this number gave an input or dropped."""

    machine: str
    """The name of the table of the object."""
    key: str
    """The place of the object in its session."""
    guards: str
    """The name of the guards."""
    step: int
    """The number of the step that decided, from 0."""


@attrs.frozen
class Dropped(_Record):
    """Something that arrived was ignored, and counted under this reason."""

    reason: str
    """As ``stats.dropped`` counts it."""
    place: str = attrs.field(default="", kw_only=True)
    """The place of the part that dropped it; empty: the session itself."""
    guard: str = attrs.field(default="", kw_only=True)
    """The guards and their step, as in ``handshake.open_cookie``; empty: a table, or the session itself."""
    where: Where = attrs.field(default=None, kw_only=True)
    """From where the input at hand came."""
    fault: Fault | None = attrs.field(default=None, kw_only=True)
    """What was wrong with the bytes, if they did not decode or open; with the place in them, and the field."""
    offset: int = attrs.field(default=0, kw_only=True)
    """Where in the bytes the fault is."""
    field: str = attrs.field(default="", kw_only=True)
    """The field with the fault, dotted if it is within another; empty if it is not known."""


@attrs.frozen
class Refused(_Record):
    """Output was refused; the verb said so to its caller."""

    reason: str
    """As ``stats.refused`` counts it."""
    place: str = attrs.field(default="", kw_only=True)
    """The place of the part that refused; empty: the session itself."""


@attrs.frozen
class Noted(_Record):
    """Something was accepted, with a remark."""

    remark: str
    """As ``stats.noted`` counts it."""
    place: str = attrs.field(default="", kw_only=True)
    """The place of the part that accepted; empty: the session itself."""
    where: Where = attrs.field(default=None, kw_only=True)
    """From where the input at hand came."""


@attrs.frozen
class PacketSeen(_Record):
    """A packet passed: its name and size, never its contents."""

    sent: bool
    """By us; else it was received."""
    link: int
    """The stream; 0 for datagrams."""
    name: str
    """The class of the packet."""
    size: int
    """Its bytes on the wire."""


TraceRecord: TypeAlias = Stepped | Classified | Dropped | Refused | Noted | PacketSeen
Trace: TypeAlias = Callable[[TraceRecord], None]


@lru_cache(1024)
def place_name(place: Place | None) -> str:
    """A place as text: ``nodes.6e6f6465``."""
    return ".".join(key.hex() if isinstance(key, bytes) else str(key) for key in place or () if key is not None)


def json_line(record: TraceRecord) -> str:
    """One line of a trace file: time, name and data, as qlog's events have them; without what is as ever."""
    data = {
        field.name: value
        for field in attrs.fields(type(record))
        if (value := getattr(record, field.name)) != field.default
    }
    time = data.pop("time")
    return json.dumps({"time": time, "name": type(record).__name__, "data": data}, sort_keys=True, default=_plain)


def _plain(value: Any) -> object:
    """A path, or a member of an enum, as JSON knows it."""
    return attrs.asdict(value) if isinstance(value, Path) else value.value


class JsonSeqWriter:
    """A trace that hands JSON text lines (with their newline) to ``write``, for example a text file's method."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def __call__(self, record: TraceRecord) -> None:
        self._write(json_line(record) + "\n")
