"""Tables with a row or a guard's step missing, and which of these an exploration steps on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import attrs

from sansproto.machine import Guards, Input, Row, Step, Table
from sansproto.testing.explorer import Party
from sansproto.testing.tables import check
from sansproto.trace import Classified, Stepped, TraceRecord

T = TypeVar("T")
AnyTable: TypeAlias = Table[Any, Any]
Rows: TypeAlias = tuple[Row[Any, Any], ...]
AnyGuards: TypeAlias = Guards[Any, Any, Any, Any]


@attrs.frozen
class Mutant:
    """A table with other rows, or with a list of guards that has other steps."""

    table: AnyTable
    rows: Rows
    steps: Mapping[AnyGuards, tuple[Step, ...]] = attrs.field(factory=dict)


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
    before = set(check(mutant.table, docs))
    try:
        with running(mutant):
            return not set(check(mutant.table, docs)) <= before
    except ValueError:  # it is no longer total
        return True


@contextmanager
def running(mutant: Mutant) -> Iterator[None]:
    """Every session runs it instead of its table."""
    table = mutant.table
    original = Mutant(table, table.rows, {guards: guards.steps for guards in mutant.steps})
    try:
        _run(mutant)
        yield
    finally:
        _run(original)


def _run(mutant: Mutant) -> None:
    for guards, steps in mutant.steps.items():
        guards.steps = steps
    mutant.table.rows = mutant.rows
    mutant.table.make()


def stepped_on(
    run: Callable[[Mapping[str, Party]], T],
    parties: Mapping[str, Party],
    tables: Iterable[AnyTable],
    classes: Iterable[type[Any]],
) -> tuple[T, set[str]]:
    """What ``run`` gives, and the rows and steps that sessions of these classes used, as ``mutants`` names them."""
    names = dict(item for table in tables for item in _names(table))
    seen = set()

    def note(record: TraceRecord) -> None:
        if isinstance(record, Stepped):
            seen.add(names.get((record.machine, record.row)))
        elif isinstance(record, Classified):
            seen.add(names.get((record.machine, record.guards, record.step)))

    kinds = tuple(classes)
    traced = {
        name: attrs.evolve(party, arguments={**party.arguments, "trace": note}) if party.kind in kinds else party
        for name, party in parties.items()
    }
    return run(traced), {name for name in seen if name is not None}


def _names(table: AnyTable) -> Iterator[tuple[tuple[Hashable, ...], str]]:
    """How ``mutants`` names what a record is of."""
    for number, row in enumerate(table.rows):
        yield (table.name, number), f"{table.name}: {row!r}"
    for guards in table.guards:
        for number, step in enumerate(guards.steps):
            if _can_be_left_out(step):
                yield (table.name, guards.name, number), _step_name(table, guards, step)
