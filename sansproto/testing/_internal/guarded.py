"""Checks that guards change nothing: compares the session before and after they decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ...machine import Table
from ...session import Session
from ...trace import Classified, TraceRecord
from ..operations import LawBroken


@contextmanager
def guards_watched(tables: Iterable[Table[Any, Any]]) -> Iterator[None]:
    """LawBroken as soon as a list of guards of these tables has decided, if anything but counters has changed since it
    was given what it decides about."""
    changed: list[tuple[list[Any], int, Any]] = []
    for table in tables:
        for cells in [cells for cls in table.classes for cells in cls.compiled.values()]:
            for guards in table.guards:
                decide = cells[guards.index]
                changed.append((cells, guards.index, decide))
                cells[guards.index] = _watched(decide)
    try:
        yield
    finally:
        for cells, index, decide in changed:
            cells[index] = decide


def _watched(decide: Callable[..., None]) -> Callable[..., None]:
    def watch(part: Any, guards: Any, given: object) -> None:
        session: Session[Any] = part.host
        trace, before = session.trace, _held(session)

        def compare(record: TraceRecord) -> None:
            """The record of the decision comes before what it leads to."""
            if isinstance(record, Classified):
                session.trace, after = trace, _held(session)
                if after != before:
                    where = f"{guards.name}.{guards.steps[record.step].name}"
                    raise LawBroken(f"guards that decided at {where} have changed {before} to {after}")
            if trace is not None:
                trace(record)

        session.trace = compare
        try:
            decide(part, guards, given)
        finally:
            session.trace = trace

    return watch


def _held(session: Session[Any]) -> object:
    return len(session._inputs), session.freeze(0.0, leave_out=frozenset({"stats"}))
