"""Do scenarios notice when one thing is wrong in a table? Each mutant is run in those that come to what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from inspect import isfunction, signature
from itertools import product
from pathlib import Path
from time import process_time
from types import ModuleType
from typing import Any, TypeAlias

import attrs
from _pytest.mark.structures import ParameterSet
from exploring_tables import AnyTable, Mutant, changed, is_found, mutants, names_of, running

from sansproto.machine import Row
from sansproto.trace import Classified, Dropped, Stepped, Trace, TraceRecord

Scenario: TypeAlias = Callable[[], Any]
"""It raises an exception if something is wrong."""

TraceTo: TypeAlias = Callable[[Trace | None], None]
"""Has everything traced from now on, or nothing."""

UNEXPECTED = "late"
"""The reason for inputs without a row."""

ALWAYS = "always"
"""How a mutant differs whose condition is not asked: rows behind it led to what it does now."""

_LEAVE = {"leave", "be_lost"}
"""Actions by which a part has itself removed, or its owner."""

_PATIENCE = 10
"""A mutant may take so many times the steps of what is right; more is noticed, too."""


def all_mutants(table: AnyTable) -> Iterator[tuple[str, str, frozenset[str], Mutant]]:
    """What it is a mutant of, how it differs, what leads to it, and the table with one thing changed.

    A row or step less; a condition that is not asked; another next state; an action, or a timer that is armed or
    cancelled, less.
    """
    for name, mutant in mutants(table):
        yield name, "is missing", frozenset({name}), mutant
    for number, row in enumerate(table.rows):
        for how, changes in changes_of(table, row):
            rows = (*table.rows[:number], changed(row, **changes), *table.rows[number + 1 :])
            same = [one for one in table.rows if {*one.states} & {*row.states} and {*one.on} & {*row.on}]
            uses = frozenset(f"{table.name}: {one!r}" for one in (same if how == ALWAYS else [row]))
            yield f"{table.name}: {row!r}", how, uses, Mutant(table, rows)


def changes_of(table: AnyTable, row: Row[Any, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if row.when is not None:
        yield ALWAYS, {"when": _always}
    for what, some in (("arm", row.arm), ("cancel", row.cancel)):
        for timer in some:
            yield f"does not {what} {timer.name}", {what: tuple(one for one in some if one is not timer)}
    for number, action in enumerate(row.do):
        yield f"does not {action.__name__}", {"do": row.do[:number] + row.do[number + 1 :]}
    if _LEAVE & {action.__name__ for action in row.do}:
        return  # it is forgotten: its state does not matter any more
    for state in table.states:
        if row.to is not None and state is not row.to and row.states != (state,):
            yield f"to {state.name}", {"to": state}
    if row.to is not None and row.to not in row.states:
        yield "stays", {"to": None}


def _always(part: Any) -> bool:
    return True


def checks_in(module: ModuleType) -> Iterator[tuple[str, Scenario]]:
    """The tests of a module that need nothing but what ``parametrize`` gives them."""
    for name, test in vars(module).items():
        if name.startswith("test_") and isfunction(test):
            for arguments in _parameters(test):
                if signature(test).parameters.keys() == arguments.keys():
                    yield f"{name}{[*arguments.values()] if arguments else ''}", partial(test, **arguments)


def _parameters(test: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    columns = [[*_column(*mark.args[:2])] for mark in marks]
    for row in product(*columns):
        yield {name: value for part in row for name, value in part.items()}


def _column(names: str | Sequence[str], values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    many = [name.strip() for name in names.split(",")] if isinstance(names, str) else [*names]
    for value in values:
        given = value.values if isinstance(value, ParameterSet) else value
        yield dict(zip(many, given if len(many) > 1 else [given], strict=True))


class TooLong(Exception):
    """Things go on and on."""


@attrs.define
class Observer:
    """Counts the steps of whatever is traced to it, and knows which rows and steps of guards they are of."""

    names: dict[tuple[Any, ...], str]
    seen: set[str] = attrs.field(factory=set)
    drops: set[str] = attrs.field(factory=set)
    count: int = 0
    most: float = float("inf")

    def __call__(self, record: TraceRecord) -> None:
        self.count += 1
        if self.count > self.most:
            raise TooLong(f"more than {self.most} steps")
        if isinstance(record, Stepped):
            self.seen.add(self.names.get((record.machine, record.row), ""))
        elif isinstance(record, Classified):
            self.seen.add(self.names.get((record.machine, record.guards, record.step), ""))
        elif isinstance(record, Dropped):
            self.drops.add(record.reason)


@attrs.frozen
class Known:
    """A scenario as it is when nothing is wrong."""

    name: str
    scenario: Scenario
    uses: frozenset[str]
    steps: int
    seconds: float

    def notices(self, mutant: Mutant, trace_to: TraceTo) -> bool:
        """Does it fail now, or come to an input that no row expects?"""
        observer = Observer({}, most=_PATIENCE * self.steps + 10_000)
        trace_to(observer)
        try:
            with running(mutant):
                self.scenario()
        except Exception:
            return True
        finally:
            trace_to(None)
        return UNEXPECTED in observer.drops


def learn(scenarios: Mapping[str, Scenario], tables: Iterable[AnyTable], trace_to: TraceTo) -> list[Known]:
    """What each scenario comes to; those that take little time first."""
    names = dict(item for table in tables for item in names_of(table))
    found = []
    for name, scenario in scenarios.items():
        observer, begun = Observer(names), process_time()
        trace_to(observer)
        try:
            scenario()
        finally:
            trace_to(None)
        found.append(Known(name, scenario, frozenset(observer.seen), observer.count, process_time() - begun))
    return sorted(found, key=lambda one: one.seconds)


def who_notices(
    uses: frozenset[str], mutant: Mutant, known: Iterable[Known], docs: Path, trace_to: TraceTo
) -> str | None:
    """The static checks, or the first scenario; None if nobody does."""
    if is_found(mutant, docs):
        return "the static checks"
    for one in known:
        if uses & one.uses and one.notices(mutant, trace_to):
            return one.name
    return None
