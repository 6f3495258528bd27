"""Tables with a row or a guard's step missing, and which of these an exploration steps on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import attrs

from sansproto.machine import Guards, Row, Step, Table
from sansproto.old_machine import Machine
from sansproto.old_machine import Table as OldTable
from sansproto.testing.explorer import Party
from sansproto.testing.tables import check, each, row_name
from sansproto.trace import Classified, Judged, Stepped, TraceRecord

T = TypeVar("T")
AnyTable: TypeAlias = Table[Any, Any] | OldTable[Any, Any, Any, Any]


@attrs.frozen
class Less:
    """A table with fewer rows, or with a list of guards that has fewer steps."""

    table: Table[Any, Any]
    rows: tuple[Row[Any, Any], ...]
    steps: Mapping[Guards[Any, Any, Any, Any], tuple[Step, ...]] = attrs.field(factory=dict)


def mutants(table: AnyTable) -> Iterator[tuple[str, Any]]:
    """The table without one row, rung or step, each of them in turn. A step that makes a value cannot be left out."""
    if isinstance(table, OldTable):
        yield from _old_mutants(table)
        return
    for row in table.rows:
        yield f"{table.name}: {row_name(row)}", Less(table, tuple(one for one in table.rows if one is not row))
    for guards in table.guards:
        for number, step in enumerate(guards.steps):
            if _can_be_left_out(step):
                steps = guards.steps[:number] + guards.steps[number + 1 :]
                yield _step_name(table, guards, step), Less(table, table.rows, {guards: steps})


def _old_mutants(table: OldTable[Any, Any, Any, Any]) -> Iterator[tuple[str, Any]]:
    for row in table.rows:
        yield (
            f"{table.name}: {row_name(row)}",
            attrs.evolve(table, rows=tuple(one for one in table.rows if one is not row)),
        )
    for ladder in table.ladders:
        for number, rung in enumerate(ladder.rungs):
            less = attrs.evolve(ladder, rungs=ladder.rungs[:number] + ladder.rungs[number + 1 :])
            others = tuple(less if one is ladder else one for one in table.ladders)
            yield f"{table.name}: rung {ladder.name}/{rung.check}", attrs.evolve(table, ladders=others)


def _can_be_left_out(step: Step) -> bool:
    return step.kind.name in ("NEED", "GIVE")


def _step_name(table: Table[Any, Any], guards: Guards[Any, Any, Any, Any], step: Step) -> str:
    return f"{table.name}: guard {guards.name}/{step.name}"


def is_found(table: AnyTable, mutant: Any, docs: str | Path) -> bool:
    """Do the static checks say more about the mutant than about the table?"""
    before = set(check(table, docs))
    if not isinstance(mutant, Less):
        return not set(check(mutant, docs)) <= before
    try:
        with running(table, mutant, ()):
            return not set(check(table, docs)) <= before
    except ValueError:  # it is no longer total
        return True


@contextmanager
def running(table: AnyTable, instead: Any, classes: Iterable[type[Any]]) -> Iterator[None]:
    """Every session of these classes runs another table."""
    if isinstance(instead, Less):
        rows, steps = instead.table.rows, {guards: guards.steps for guards in instead.steps}
        try:
            _replace(instead.table, instead.rows, instead.steps)
            yield
        finally:
            _replace(instead.table, rows, steps)
        return
    bound = [(owner, machine) for owner in classes for machine in owner._machines if machine.table is table]
    saved = [vars(machine).copy() for _, machine in bound]
    for owner, machine in bound:
        mutant = Machine(instead, objects=machine.objects).bound_to(owner, machine.name, machine.index)
        vars(machine).update(vars(mutant))
    try:
        yield
    finally:
        for (_, machine), old in zip(bound, saved, strict=True):
            vars(machine).update(old)


def _replace(
    table: Table[Any, Any],
    rows: tuple[Row[Any, Any], ...],
    steps: Mapping[Guards[Any, Any, Any, Any], tuple[Step, ...]],
) -> None:
    for guards, others in steps.items():
        guards.replace_steps(others)
    if rows is not table.rows:
        table.replace_rows(rows)


def stepped_on(
    run: Callable[[Mapping[str, Party]], T],
    parties: Mapping[str, Party],
    tables: Iterable[AnyTable],
    classes: Iterable[type[Any]],
) -> tuple[T, set[str]]:
    """What ``run`` gives, and the rows, rungs and steps that these sessions used, as ``mutants`` names them."""
    names = dict(item for table in tables for item in _names(table))
    seen = set()

    def note(record: TraceRecord) -> None:
        if isinstance(record, Stepped):
            seen.add(names.get((record.machine, record.state, record.input)))
            seen.add(names.get((record.machine, record.row)))
        elif isinstance(record, Judged):
            seen.add(names.get((record.machine, record.ladder, record.rung)))
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
    if isinstance(table, OldTable):
        for old in table.rows:
            cells = [(table.name, state.name, on.name) for state in each(old.state) for on in each(old.on)]
            yield from ((cell, f"{table.name}: {row_name(old)}") for cell in cells)
        for ladder in table.ladders:
            for number, rung in enumerate(ladder.rungs):
                yield (table.name, ladder.name, number), f"{table.name}: rung {ladder.name}/{rung.check}"
        return
    for number, row in enumerate(table.rows):
        yield (table.name, number), f"{table.name}: {row_name(row)}"
    for guards in table.guards:
        for number, step in enumerate(guards.steps):
            if _can_be_left_out(step):
                yield (table.name, guards.name, number), _step_name(table, guards, step)
