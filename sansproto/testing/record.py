"""Record what an endpoint does as the steps of a ``session`` vector, play them back, and see which rows were hit.

A :class:`Recorder` stands between a driver and an endpoint::

    recorder = Recorder(Client(..., entropy=entropy))
    recorder.connect(0.0, to=HERE)          # any verb, any report; outputs are popped from the recorder, too
    ...
    differences = replay(recorder.steps, Client(..., entropy=ScriptedEntropy(script)))

Times in steps are whole milliseconds: the endpoint gets the times of its inputs rounded to them. Values are JSON: bytes
as hexadecimal text, enum members by name, attrs instances as objects of those fields that differ from their default.
Text for people (``detail``) is no part of an event.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from math import ceil
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs

from ..contract import Address, Endpoint, Link, Path, SendError
from ..errors import LocalProtocolError, NotOpen
from ..trace import Classified, Stepped, TraceRecord
from .entropy import Draw
from .tables import AnyTable

Step = dict[str, Any]

_REPORTS: Mapping[str, str] = {
    "stream_accepted": "accepted",
    "stream_opened": "opened",
    "receive_data": "data",
    "receive_eof": "eof",
    "stream_lost": "lost",
    "transport_lost": "lost",
    "stream_blocked": "blocked",
    "stream_unblocked": "unblocked",
    "looked_up": "looked_up",
    "socket_bound": "bound",
    "receive_datagram": "datagram",
    "datagram_failed": "datagram_failed",
    "handle_timeout": "timer",
}
"""The transport's reports, and what they are called in a step. Every other method is a verb."""

_PASSED_ON = frozenset({"next_timeout", "timers", "snapshot"})
_TICKS = 1000  # per second


class Recorder:
    """An endpoint that logs: inputs begin a step, what is popped afterwards belongs to it.

    It has the methods and attributes of the endpoint that it wraps, and passes them on; ``steps`` is the log. Drain it
    after every input (each adapter does), for :func:`replay` will.
    """

    def __init__(self, endpoint: Endpoint[Any]) -> None:
        self._endpoint = endpoint
        self._steps: list[Step] = []
        self._transmits: list[Step] = []
        self._events: list[Step] = []
        self._time = 0

    @property
    def steps(self) -> list[Step]:
        """All steps so far; the last one as it is now."""
        self._finish()
        return self._steps

    def next_event(self) -> Any:
        event = self._endpoint.next_event()
        if event is not None:
            self._events.append(told(event))
        return event

    def next_transmit(self) -> Any:
        transmit = self._endpoint.next_transmit()
        if transmit is not None:
            self._transmits.append(told(transmit))
        return transmit

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._endpoint, name)
        if name in _PASSED_ON or name.startswith("_") or not callable(method):
            return method
        signature = inspect.signature(method)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return self._record(name, method, bound.arguments)

        return recorded

    def _record(self, name: str, method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        self._finish()
        if "now" in arguments:
            self._time = max(self._time, round(arguments["now"] * _TICKS))
            arguments["now"] = self._time / _TICKS
        given = {key: value for key, value in arguments.items() if key != "now" and value is not SendError.OTHER}
        step: Step = {"t": self._time}
        self._steps.append(step)
        if name not in _REPORTS:
            step["call"] = name
            if given:
                step["args"] = plain(given)
        elif name == "handle_timeout":
            step["timer"] = True
        else:
            step[_REPORTS[name]] = {_SPELT.get(key, key): plain(value) for key, value in given.items()}
        try:
            value = method(**arguments)
        except (LocalProtocolError, NotOpen) as error:
            step["raises"] = type(error).__name__
            raise
        if name == "stream_accepted":
            step["accepted"]["link"] = value
        elif value is not None:
            step["returns"] = plain(value)
        return value

    def _finish(self) -> None:
        """What came out since the last input belongs to its step."""
        if self._steps:
            out = self._steps[-1].get("out", {})
            transmits = [*out.get("transmits", ()), *self._transmits]
            events = [*out.get("events", ()), *self._events]
            self._transmits, self._events = [], []
            self._steps[-1]["out"] = _out(self._endpoint, transmits, events)


def script_of(draws: Iterable[Draw]) -> dict[str, list[str]]:
    """What was drawn, in the form of the ``entropy`` member of a vector."""
    script: dict[str, list[str]] = {}
    for draw in draws:
        script.setdefault(draw.purpose, []).append(draw.data.hex())
    return script


def replay(steps: Sequence[Step], endpoint: Endpoint[Any]) -> list[str]:
    """Give an endpoint the inputs of all steps and compare all that comes out; differences as text."""
    differences: list[str] = []
    for number, step in enumerate(steps, 1):
        got = _play(step, endpoint)
        for member in ("link", "returns", "raises"):
            expected = step.get("accepted", {}).get("link") if member == "link" else step.get(member)
            differences += _difference(number, member, expected, got.get(member))
        out = step["out"]
        actual = _out(endpoint, *_drained(endpoint))
        per_link = _by_link(out.get("transmits", ())), _by_link(actual.get("transmits", ()))
        differences += _difference(number, "transmits", *per_link)
        differences += _difference(number, "events", out.get("events", []), actual.get("events", []))
        differences += _difference(number, "next_timeout", out["next_timeout"], actual["next_timeout"])
        differences += _difference(number, "phase", out["phase"], actual["phase"])
    return differences


def feed(steps: Iterable[Step], endpoint: Endpoint[Any]) -> list[Step]:
    """Give an endpoint the inputs of all steps, whose timers fire between them in their time; its events."""
    events: list[Step] = []
    for step in steps:
        while (at := endpoint.next_timeout()) is not None and at * _TICKS <= step["t"]:
            endpoint.handle_timeout(at)
            events += _drained(endpoint)[1]
        _play(step, endpoint)
        events += _drained(endpoint)[1]
    return events


class Coverage:
    """A trace that notes which rows of tables and which steps of guards were hit. Give it to sessions as ``trace``."""

    def __init__(self) -> None:
        self.rows: set[tuple[str, int]] = set()  # table, number
        self.steps: set[tuple[str, str, int]] = set()  # table, guards, number

    def __call__(self, record: TraceRecord) -> None:
        if isinstance(record, Stepped):
            self.rows.add((record.machine, record.row))
        elif isinstance(record, Classified):
            self.steps.add((record.machine, record.guards, record.step))

    def missing(self, tables: Iterable[AnyTable]) -> list[str]:
        """The rows (in none of their states, on none of their inputs) and guards' steps that were never taken."""
        return [f"{table.name}: {missed}" for table in tables for missed in self._missing(table)]

    def _missing(self, table: AnyTable) -> Iterator[str]:
        for number, row in enumerate(table.rows):
            if (table.name, number) not in self.rows:
                yield repr(row)
        for guards in table.guards:
            for number, step in enumerate(guards.steps):
                if (table.name, guards.name, number) not in self.steps:
                    yield f"guard {guards.name}/{step.name}"


# -- values as JSON, and back


def plain(value: Any) -> Any:
    """A value of the contract as JSON."""
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, Enum):
        return value.name
    if attrs.has(type(value)):
        return _fields(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int)):
        return value
    raise TypeError(f"{value!r} has no form in a vector")


def lively(value: Any, kind: Any) -> Any:
    """The value of this type that JSON stands for."""
    kind = getattr(kind, "__supertype__", kind)
    if get_origin(kind) in (Union, UnionType):
        kinds = [one for one in get_args(kind) if one is not type(None)]
        return None if value is None else lively(value, kinds[0])
    if get_origin(kind) in (tuple, list, Sequence):
        return get_origin(kind)(lively(item, get_args(kind)[0]) for item in value)
    if kind in (bytes, bytearray):
        return kind.fromhex(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind[value]
    if isinstance(kind, type) and attrs.has(kind):
        hints = get_type_hints(kind)
        return kind(**{name: lively(item, hints[name]) for name, item in value.items()})
    return value


_SPELT = {"data": "hex"}  # arguments that a step calls otherwise
_CALLED = {spelt: name for name, spelt in _SPELT.items()}
_METHODS = {member: name for name, member in _REPORTS.items() if name != "transport_lost"}
_KINDS: Mapping[str, Any] = {
    "link": Link,
    "peer": Address,
    "address": Address,
    "addresses": tuple[Address, ...],
    "path": Path,
    "error": SendError,
    "data": bytes,
}


def _fields(value: Any) -> dict[str, Any]:
    """The fields of an attrs instance that say more than their default."""
    return {
        field.name: field.metadata.get("plain", plain)(getattr(value, field.name))
        for field in attrs.fields(type(value))
        if field.name != "detail" and getattr(value, field.name) != _default(field)
    }


def _default(field: attrs.Attribute[Any]) -> Any:
    """The default of a field."""
    factory = getattr(field.default, "factory", None)
    return field.default if factory is None else factory()


def told(value: Any) -> dict[str, Any]:
    """An event or transmit. A field of its own that is called ``kind`` is ``of_kind`` here."""
    fields = {"of_kind" if name == "kind" else name: item for name, item in _fields(value).items()}
    return {"kind": type(value).__name__, **fields}


def _out(endpoint: Any, transmits: list[Any], events: list[Any]) -> dict[str, Any]:
    at = endpoint.next_timeout()
    return {
        **({"transmits": _joined(transmits)} if transmits else {}),
        **({"events": events} if events else {}),
        "next_timeout": None if at is None else ceil(at * _TICKS - 1e-6),
        "phase": endpoint.phase.name,
    }


def _joined(transmits: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adjacent bytes for a link as one."""
    joined: list[dict[str, Any]] = []
    for one in transmits:
        if joined and one["kind"] == "SendBytes" == joined[-1]["kind"] and one["link"] == joined[-1]["link"]:
            joined[-1] = {**one, "data": joined[-1]["data"] + one["data"]}
        else:
            joined.append(one)
    return joined


def _by_link(transmits: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order is promised for each link only."""
    return _joined(sorted(transmits, key=lambda one: one.get("link", 0)))


def _drained(endpoint: Any) -> tuple[list[Any], list[Any]]:
    transmits: list[Any] = []
    events: list[Any] = []
    while True:
        event, transmit = endpoint.next_event(), endpoint.next_transmit()
        if event is None and transmit is None:
            return [told(one) for one in transmits], [told(one) for one in events]
        transmits += [] if transmit is None else [transmit]
        events += [] if event is None else [event]


def _play(step: Step, endpoint: Any) -> dict[str, Any]:
    """Make a step's call; what it returned or raised."""
    name, given = _call_of(step)
    method = getattr(endpoint, name)
    if "call" in step:
        hints = get_type_hints(method)
        arguments = {key: lively(value, hints.get(key)) for key, value in given.items()}
    else:
        arguments = {
            _CALLED.get(key, key): lively(value, _KINDS.get(_CALLED.get(key, key))) for key, value in given.items()
        }
    if "now" in inspect.signature(method).parameters:
        arguments["now"] = step["t"] / _TICKS
    try:
        value = method(**arguments)
    except (LocalProtocolError, NotOpen) as error:
        return {"raises": type(error).__name__}
    if name == "stream_accepted":
        return {"link": value}
    return {} if value is None else {"returns": plain(value)}


def _call_of(step: Step) -> tuple[str, dict[str, Any]]:
    if "call" in step:
        return step["call"], step.get("args", {})
    (member,) = step.keys() & _METHODS.keys()
    given = {} if member == "timer" else dict(step[member])
    if member == "accepted":
        del given["link"]
    return "transport_lost" if member == "lost" and "link" not in given else _METHODS[member], given


def _difference(number: int, member: str, expected: Any, got: Any) -> list[str]:
    return [] if expected == got else [f"step {number}: {member}: expected {expected}, got {got}"]
