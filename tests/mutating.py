"""Tables with something changed, and who notices: scenarios, vectors and tests, each of them a *witness*.

Mutants are a row without one of its pairs of state and input, a row that does not arm or cancel one of its timers, does
not do one of its actions or asks no condition, and guards without one step. Each mutant has to be noticed by the static
checks or by a witness, which is written down, so that it need not be looked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from types import ModuleType
from typing import Any, TypeAlias

import attrs
from exploring_tables import AnyTable, Mutant, changed, mutants, without

from sansproto.machine import Row
from sansproto.session import Session
from sansproto.trace import Classified, Stepped, TraceRecord

Witness: TypeAlias = Callable[[], object]
"""Raises if something is wrong."""


def changes(table: AnyTable) -> Iterator[tuple[str, Mutant]]:
    """The mutants of a table."""
    for row in table.rows:
        for state, on in product(row.states, row.on):
            yield f"{row!r}: no {state.name} x {on.name}", Mutant(table, without(table.rows, state, on))
        for name, other in _others(row):
            yield f"{row!r}: {name}", Mutant(table, tuple(other if one is row else one for one in table.rows))
    for name, mutant in mutants(table):
        if mutant.steps:
            yield name.partition(": ")[2], mutant


def _others(row: Row[Any, Any]) -> Iterator[tuple[str, Row[Any, Any]]]:
    for kind in ("arm", "cancel", "do"):
        parts = getattr(row, kind)
        for number, part in enumerate(parts):
            name = part.__name__ if kind == "do" else part.name
            yield f"no {kind} {name}", changed(row, **{kind: parts[:number] + parts[number + 1 :]})


def cases_of(module: ModuleType) -> Iterator[tuple[str, Witness]]:
    """The tests of a module that need no fixture, by name and parameters."""
    for name, function in vars(module).items():
        if name.startswith("test_") and callable(function):
            marks = [one for one in getattr(function, "pytestmark", ()) if one.name == "parametrize"]
            for given in product(*(_given(*mark.args[:2]) for mark in marks)):
                arguments = {key: value for part in given for key, value in part.items()}
                if set(function.__code__.co_varnames[: function.__code__.co_argcount]) == set(arguments):
                    number = "".join(f" {index}" for index in _indices(marks, given))
                    yield f"{module.__name__}.{name}{number}", partial(function, **arguments)


def _given(names: Any, values: Any) -> list[dict[str, Any]]:
    keys = [one.strip() for one in names.split(",")] if isinstance(names, str) else list(names)
    return [dict(zip(keys, _values(value, len(keys)), strict=True)) for value in values]


def _values(value: Any, count: int) -> Any:
    value = getattr(value, "values", value) if type(value).__name__ == "ParameterSet" else value
    return value if count > 1 or type(value).__name__ == "ParameterSet" else (value,)


def _indices(marks: list[Any], given: tuple[dict[str, Any], ...]) -> list[int]:
    return [_given(*mark.args[:2]).index(one) for mark, one in zip(marks, given, strict=True)]


@attrs.define
class Seen:
    """What the sessions of a witness did: the rows and steps that they used, and all that left them."""

    used: set[tuple[Any, ...]] = attrs.field(factory=set)
    left: int = 0
    """What was sent, told and counted, and when: a number that is another one if any of that is."""

    def __call__(self, record: TraceRecord) -> None:
        if isinstance(record, Stepped):
            self.used.add((record.machine, record.row))
        elif isinstance(record, Classified):
            self.used.add((record.machine, record.guards, record.step))
        else:
            self.left = hash((self.left, record))


def watch(witness: Witness) -> Seen:
    """Run it. All its sessions that have no trace are watched."""
    seen, begin, emit = Seen(), Session.__init__, Session.emit

    def begin_watched(session: Any, *, trace: Any = None, **given: Any) -> None:
        begin(session, trace=trace or seen, **given)

    def emit_watched(session: Any, event: Any) -> None:
        seen.left = hash((seen.left, session.clock, repr(event)))
        emit(session, event)

    Session.__init__, Session.emit = begin_watched, emit_watched  # type: ignore[method-assign]
    try:
        witness()
    finally:
        Session.__init__, Session.emit = begin, emit  # type: ignore[method-assign]
    return seen


def is_noticed(witness: Witness, before: Seen) -> bool:
    """Does it fail, or does something else leave its sessions?"""
    try:
        return watch(witness).left != before.left
    except Exception:
        return True
