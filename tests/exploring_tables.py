"""Tables with a row or a guard's step missing, and whether explorations notice."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from copy import copy
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias

import attrs

from sansproto.machine import Guards, Input, Row, Step, Table
from sansproto.testing._internal.parties import Outcome, Parties
from sansproto.testing.explorer import Party, Report
from sansproto.testing.tables import check
from sansproto.trace import Classified, Stepped, TraceRecord

AnyTable: TypeAlias = Table[Any, Any]
Rows: TypeAlias = tuple[Row[Any, Any], ...]
AnyGuards: TypeAlias = Guards[Any, Any, Any, Any]
Use: TypeAlias = tuple[int, tuple[Any, ...]]  # a party; the input to one of its states, or the life that it begins


@attrs.frozen
class Made:
    """What a table and some of its guards consist of, and what was compiled of it."""

    rows: Rows
    steps: Mapping[AnyGuards, tuple[Step, ...]]
    pairs: Mapping[Any, Any]
    columns: Mapping[Any, Any]
    compiled: Mapping[type[Any], Any]

    @classmethod
    def of(cls, table: AnyTable, guards: Iterable[AnyGuards]) -> Made:
        steps, compiled = {one: one.steps for one in guards}, {one: one.compiled for one in table.classes}
        return cls(table.rows, steps, table.pairs, table.columns, compiled)

    def put_into(self, table: AnyTable) -> None:
        for guards, steps in self.steps.items():
            guards.steps = steps
        table.rows, table.pairs, table.columns = self.rows, dict(self.pairs), dict(self.columns)
        for one, compiled in self.compiled.items():
            one.compiled = compiled


@attrs.define
class Mutant:
    """A table with other rows, or with a list of guards that has other steps; it is compiled once."""

    table: AnyTable
    rows: Rows
    steps: Mapping[AnyGuards, tuple[Step, ...]] = attrs.field(factory=dict)
    made: Made | None = None

    def run(self) -> None:
        """Every session runs it instead of its table. ValueError if it is not total."""
        if self.made is not None:
            self.made.put_into(self.table)
            return
        for guards, steps in self.steps.items():
            guards.steps = steps
        self.table.rows = self.rows
        self.table.make()
        self.made = Made.of(self.table, self.steps)


def changed(row: Row[Any, Any], **changes: Any) -> Row[Any, Any]:
    """The row with other attributes."""
    other = copy(row)
    vars(other).update(changes)
    return other


def without(rows: Rows, state: Enum, on: Input[Any, Any]) -> Rows:
    """The rows, less what happens in a state on an input."""
    return tuple(
        changed(row, states=(one,), on=(other,))
        for row in rows
        for one in row.states
        for other in row.on
        if (one, other) != (state, on)
    )


def mutants(table: AnyTable) -> Iterator[tuple[str, Mutant]]:
    """The table without one row or step, each of them in turn. A step that makes a value cannot be left out."""
    for row in table.rows:
        yield f"{table.name}: {row!r}", Mutant(table, tuple(one for one in table.rows if one is not row))
    for guards in table.guards:
        for number, step in enumerate(guards.steps):
            if _can_be_left_out(step):
                steps = guards.steps[:number] + guards.steps[number + 1 :]
                yield _step_name(table, guards, step), Mutant(table, table.rows, {guards: steps})


def _can_be_left_out(step: Step) -> bool:
    return step.kind.name in ("NEED", "GIVE")


def _step_name(table: AnyTable, guards: AnyGuards, step: Step) -> str:
    return f"{table.name}: guard {guards.name}/{step.name}"


def is_found(mutant: Mutant, docs: str | Path) -> bool:
    """Do the static checks say more about the mutant than about the table?"""
    before = _findings(mutant.table, docs)
    try:
        with running(mutant):
            return not set(check(mutant.table, docs)) <= before
    except ValueError:  # it is no longer total
        return True


@cache
def _findings(table: AnyTable, docs: str | Path) -> frozenset[str]:
    return frozenset(check(table, docs))


@contextmanager
def running(mutant: Mutant) -> Iterator[None]:
    """Every session runs it instead of its table."""
    original = Made.of(mutant.table, mutant.steps)
    try:
        mutant.run()
        yield
    finally:
        original.put_into(mutant.table)


class Traced(Parties):
    """Parties, of which sessions of some classes remember the rows and steps that each of their outcomes comes from."""

    def __init__(self, parties: Mapping[str, Party], tables: Iterable[AnyTable], classes: Iterable[type[Any]]) -> None:
        self._names = dict(item for table in tables for item in names_of(table))
        self._seen: set[str] = set()
        self.uses: dict[str, dict[Use, Outcome | int]] = {}  # outcomes, by the names that mutants give rows and steps
        kinds = tuple(classes)
        super().__init__(
            {
                name: attrs.evolve(party, arguments={**party.arguments, "trace": self._note})
                if party.kind in kinds
                else party
                for name, party in parties.items()
            }
        )

    def begin(self, party: int, life: int = 0, wall: float = 0.0) -> int:
        number = super().begin(party, life, wall)
        self._note_use((party, (life, wall)), number)
        return number

    def compute(self, party: int, *key: Any) -> Outcome:
        outcome = super().compute(party, *key)
        self._note_use((party, key), outcome)
        return outcome

    def copy(self) -> Self:
        other = super().copy()
        other.uses = {}
        return other

    def without(self, name: str) -> Parties | None:
        """The same with a row or step left out: all that it has to do with is computed again.

        None if that comes out as before. Then whoever explores them meets nothing but what was met with it.
        """
        other, is_other = self.copy(), False
        for (party, key), before in self.uses.get(name, {}).items():
            if isinstance(before, Outcome):
                del other.outcomes[party][key]
            after = other.step(party, *key) if isinstance(before, Outcome) else other.begin(party, *key)
            is_other = is_other or after != before
        return other if is_other else None

    def _note(self, record: TraceRecord) -> None:
        if isinstance(record, Stepped):
            self._seen.add(self._names.get((record.machine, record.row), ""))
        elif isinstance(record, Classified):
            self._seen.add(self._names.get((record.machine, record.guards, record.step), ""))

    def _note_use(self, use: Use, outcome: Outcome | int) -> None:
        for name in self._seen:
            self.uses.setdefault(name, {})[use] = outcome
        self._seen = set()


class Exploration(Protocol):
    """``ends`` of a run are what is compared; it stops at the first one that is not ``expected``."""

    @property
    def parties(self) -> Mapping[str, Party]: ...

    def run(
        self, max_states: int = ..., *, parties: Parties, expected: Set[Hashable] | None = None
    ) -> tuple[Report, Set[Hashable]]: ...


@attrs.frozen
class Explored:
    """An exploration, and what came of it."""

    exploration: Exploration
    parties: Traced
    report: Report
    ends: Set[Hashable]

    def changes(self, name: str, *, by_states: bool = False) -> bool:
        """Does something else come of it now that a mutant of this name runs? More or fewer states, if they count."""
        parties = self.parties.without(name)
        if parties is None:
            return False
        states = self.report.states
        now, ends = self.exploration.run(
            states + 1 if by_states else 4 * states + 1000, parties=parties, expected=self.ends
        )
        is_other = ends != self.ends or (by_states and now.states != states)
        return is_other or bool(now.violations) or not now.exhausted


def explore_all(
    explorations: Iterable[Exploration], tables: Collection[AnyTable], classes: Collection[type[Any]]
) -> list[Explored]:
    """With whole tables, the small ones first. None may have a violation, or more states than it looks at."""
    found = []
    for one in explorations:
        parties = Traced(one.parties, tables, classes)
        report, ends = one.run(parties=parties)
        assert report.exhausted and not report.violations, report  # noqa: PT018
        found.append(Explored(one, parties, report, ends))
    return sorted(found, key=lambda one: one.report.states)


def names_of(table: AnyTable) -> Iterator[tuple[tuple[Hashable, ...], str]]:
    """How ``mutants`` names what a record is of."""
    for number, row in enumerate(table.rows):
        yield (table.name, number), f"{table.name}: {row!r}"
    for guards in table.guards:
        for number, step in enumerate(guards.steps):
            if _can_be_left_out(step):
                yield (table.name, guards.name, number), _step_name(table, guards, step)
