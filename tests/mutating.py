"""Do scenarios notice when one thing is wrong in a table? Each mutant is run in those that come to what was changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from inspect import isfunction, signature
from itertools import product
from pathlib import Path
from time import process_time
from types import ModuleType
from typing import Any, TypeAlias
from unittest.mock import patch

import attrs
from _pytest.mark.structures import ParameterSet
from exploring_tables import AnyTable, Mutant, changed, is_found, mutants, names_of, running
from soaking import SOAKING

from sansproto.machine import Row
from sansproto.session import Session
from sansproto.trace import Classified, Dropped, Stepped, TraceRecord

Scenario: TypeAlias = Callable[[], Any]
"""It raises an exception if something is wrong."""

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


def assert_noticed(
    tables: Sequence[AnyTable], scenarios: Scenarios, docs: Path, *, harmless: Iterable[str], step: int
) -> None:
    """Somebody notices each mutant, one of ``step`` of those that are not harmless; of all, all but the harmless."""
    every = [(f"{name}: {how}", uses, one) for table in tables for name, how, uses, one in all_mutants(table)]
    expected = {*harmless}
    assert expected <= {name for name, _, _ in every}
    mutants = every if SOAKING else [one for one in every if one[0] not in expected][::step]
    unnoticed = {name for name, uses, one in mutants if who_notices(uses, one, scenarios, docs) is None}
    assert unnoticed == (expected if SOAKING else set())


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
    """Counts the steps of all sessions, and knows which rows and steps of guards they are of, and what is odd."""

    names: dict[tuple[Any, ...], str]
    seen: set[str] = attrs.field(factory=set)
    odd: set[str] = attrs.field(factory=set)
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
        elif isinstance(record, Dropped) and record.reason == UNEXPECTED:
            self.odd.add("an input that no row expects")

    def look_at_timers(self, session: Session[Any]) -> None:
        """No timer is left behind."""
        waiting = set()
        for (part, timer), _ in session._timers:
            if not part.table.pairs[part.state, timer.on][0]:
                self.odd.add(f"{part.table.name}: {timer.name} runs in {part.state.name}")
            if (part, timer.on) in waiting:
                self.odd.add(f"{part.table.name}: two timers wait for {timer.on.name}")
            waiting.add((part, timer.on))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Whatever sessions are made meanwhile are watched, unless somebody else has their trace."""
        begin, run = Session.__init__, Session.run

        def begin_traced(session: Session[Any], **arguments: Any) -> None:
            begin(session, **{**arguments, "trace": arguments.get("trace") or self})

        def run_and_look(session: Session[Any]) -> None:
            run(session)
            if session.trace is self:
                self.look_at_timers(session)

        with patch.object(Session, "__init__", begin_traced), patch.object(Session, "run", run_and_look):
            yield


@attrs.frozen
class Known:
    """A scenario as it is when nothing is wrong."""

    name: str
    scenario: Scenario
    uses: frozenset[str]
    odd: frozenset[str]
    steps: int
    seconds: float

    def notices(self, mutant: Mutant) -> bool:
        """Does it fail now, or come to something odd?"""
        observer = Observer({}, most=_PATIENCE * self.steps + 10_000)
        try:
            with running(mutant), observer.watching():
                self.scenario()
        except Exception:
            return True
        return not observer.odd <= self.odd


class Scenarios:
    """Those that are quick are all run as they are at first; of the slow ones each when somebody comes to it."""

    def __init__(
        self, tables: Iterable[AnyTable], quick: Mapping[str, Scenario], slow: Mapping[str, Scenario] | None = None
    ) -> None:
        self._names = dict(item for table in tables for item in names_of(table))
        self._known = [self._learn(*item) for item in quick.items()]
        self._slow = deque((slow or {}).items())

    def __iter__(self) -> Iterator[Known]:
        yield from sorted(self._known, key=lambda one: one.seconds)
        while self._slow:
            self._known.append(self._learn(*self._slow.popleft()))
            yield self._known[-1]

    def _learn(self, name: str, scenario: Scenario) -> Known:
        observer, begun = Observer(self._names), process_time()
        with observer.watching():
            scenario()
        seen, odd = frozenset(observer.seen), frozenset(observer.odd)
        return Known(name, scenario, seen, odd, observer.count, process_time() - begun)


def who_notices(uses: frozenset[str], mutant: Mutant, known: Iterable[Known], docs: Path) -> str | None:
    """The static checks, or the first scenario; None if nobody does."""
    if is_found(mutant, docs):
        return "the static checks"
    return next((one.name for one in known if uses & one.uses and one.notices(mutant)), None)
