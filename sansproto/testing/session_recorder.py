"""Session vectors out of scripts: a recorded session on a clock of whole milliseconds, and the file that scripts give.

A script plays all other parties. :func:`document` runs all scripts, and makes the vector file of what they recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from math import ceil
from typing import Any

import attrs

from ..errors import LocalProtocolError, NotOpen
from ..trace import Trace
from ._internal.declared import tables_below
from .conformance import Make
from .entropy import ScriptedEntropy
from .record import Coverage, Recorder, replay, script_of
from .tables import AnyTable
from .vectors import VERSION, VectorTest

Config = dict[str, Any]


def whole(settings: Any) -> Config:
    """Limits or delays, all of them; times become milliseconds."""
    values = {field.name: getattr(settings, field.name) for field in attrs.fields(type(settings))}
    return {name: round(value * 1000) if isinstance(value, float) else value for name, value in values.items()}


class SessionRecorder(Recorder):
    """One session of a kind, on a clock of whole milliseconds."""

    before_input: Callable[[], object]
    """Set by whoever drives it: pops what came out, which belongs to the input before."""

    def __init__(self, machines: Mapping[str, Make], kind: str, config: Config) -> None:
        self.kind, self.config = kind, config
        self.entropy = ScriptedEntropy(seed=f"sansproto {kind.partition('.')[0]}".encode())
        super().__init__(machines[kind](config, self.entropy))

    def next_timeout(self) -> float | None:
        """When the next timer is due, rounded up."""
        at = self._endpoint.next_timeout()
        if at is None:
            return None
        milliseconds = ceil(at * 1000)
        return (milliseconds if milliseconds / 1000 >= at else milliseconds + 1) / 1000

    def fails(self, call: Callable[[], object]) -> None:
        """Make a call that raises."""
        with suppress(LocalProtocolError, NotOpen):
            call()
        assert "raises" in self._steps[-1]

    def _finish(self) -> None:
        self.before_input()
        super()._finish()


def document(protocol: str, version: str, scenarios: Iterable[Callable[[], Any]]) -> Config:
    """The vector file of all scenarios, each of which gives who drove a recorder: their names are its comments."""
    groups: dict[str, list[Config]] = {}
    number = 0
    for number, function in enumerate(scenarios, 1):
        peer = function()
        groups.setdefault(peer.kind, []).append(
            {
                "tcId": number,
                "comment": function.__name__.replace("_", " "),
                "flags": [],
                "result": "valid",
                "config": peer.config,
                "entropy": script_of(peer.entropy.draws),
                "steps": peer.steps,
            }
        )
    source = {"name": "sansproto", "version": version, "provenance": "self"}
    return {
        "schema": "session",
        "protocol": protocol,
        "schemaVersion": VERSION,
        "notes": {},
        "numberOfTests": number,
        "testGroups": [
            {"type": kind, "source": source, "requires": [], "tests": tests} for kind, tests in groups.items()
        ],
    }


def session_of(test: VectorTest, machines: Mapping[str, Make], trace: Trace | None = None) -> Any:
    """The session that a vector describes."""
    entropy = ScriptedEntropy({name: list(map(bytes.fromhex, draws)) for name, draws in test["entropy"].items()})
    return machines[test.type](test["config"], entropy, trace)


def cover(found: Coverage, tests: Iterable[VectorTest], machines: Mapping[str, Make]) -> None:
    """Note what these vectors hit. They have to pass."""
    for test in tests:
        session = session_of(test, machines, found)
        assert replay(test["steps"], session) == []
        for table in tables_below(type(session)):
            found.rows.update(_permitted(test["steps"], table))


def _permitted(steps: Iterable[Mapping[str, Any]], table: AnyTable) -> Iterator[tuple[str, int]]:
    """Rows that do nothing but allow a verb: no input is ever posted for them, the verb is asked about and goes on."""
    calls = {step["call"] for step in steps if "call" in step and "raises" not in step}
    for number, row in enumerate(table.rows):
        does = row.to is not None or row.do or row.arm or row.cancel
        if not does and any(on.name.lower() in calls for on in row.on):
            yield table.name, number
