"""Tables with a row or rung missing, and which of these an exploration steps on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs

from sansproto.old_machine import Machine, Table
from sansproto.testing.explorer import Party
from sansproto.testing.tables import each, row_name
from sansproto.trace import Judged, Stepped, TraceRecord

T = TypeVar("T")
AnyTable = Table[Any, Any, Any, Any]


def mutants(table: AnyTable) -> Iterator[tuple[str, AnyTable]]:
    """The table without one row or rung, each of them in turn."""
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


@contextmanager
def running(table: AnyTable, instead: AnyTable, classes: Iterable[type[Any]]) -> Iterator[None]:
    """Every session of these classes runs another table."""
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


def stepped_on(
    run: Callable[[Mapping[str, Party]], T],
    parties: Mapping[str, Party],
    tables: Iterable[AnyTable],
    classes: Iterable[type[Any]],
) -> tuple[T, set[str]]:
    """What ``run`` gives, and the rows and rungs that sessions of these classes used, as ``mutants`` names them."""
    names: dict[tuple[Hashable, ...], str] = {}
    for table in tables:
        for row in table.rows:
            cells = [(table.name, state.name, on.name) for state in each(row.state) for on in each(row.on)]
            names.update(dict.fromkeys(cells, f"{table.name}: {row_name(row)}"))
        for ladder in table.ladders:
            for number, rung in enumerate(ladder.rungs):
                names[table.name, ladder.name, number] = f"{table.name}: rung {ladder.name}/{rung.check}"
    seen = set()

    def note(record: TraceRecord) -> None:
        if isinstance(record, Stepped):
            seen.add(names.get((record.machine, record.state, record.input)))
        elif isinstance(record, Judged):
            seen.add(names.get((record.machine, record.ladder, record.rung)))

    kinds = tuple(classes)
    traced = {
        name: attrs.evolve(party, arguments={**party.arguments, "trace": note}) if party.kind in kinds else party
        for name, party in parties.items()
    }
    return run(traced), {name for name in seen if name is not None}
