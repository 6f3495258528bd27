"""Tables and ladders as pictures, as text and as JSON: made from the same objects that run.

:func:`mermaid` draws the states, :func:`rst_table` and :func:`ladder_rst` write the rows and rungs for the docs, and
:func:`document` is the vector file of kind ``machine`` that :func:`write_json` writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from .. import __version__
from ..old_machine import Ladder, Otherwise, Row
from .old_tables import AnyTable, each
from .vectors import VERSION, dumps


def mermaid(table: AnyTable) -> str:
    """A Mermaid state diagram: an arrow for each pair of states, with the inputs that lead there."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        for state in each(row.state):
            target = state if row.to is None else row.to
            arrows.setdefault((state.name, target.name), []).extend(on.name for on in each(row.on))
    lines = [f"{source} --> {target}: {', '.join(inputs)}" for (source, target), inputs in arrows.items()]
    lines = [f"[*] --> {table.initial.name}", *lines, *(f"{state.name} --> [*]" for state in table.terminal)]
    return "\n".join(("stateDiagram-v2", *(f"    {line}" for line in lines))) + "\n"


def rst_table(table: AnyTable) -> str:
    """The rows and the defaults as reStructuredText tables."""
    rows = [
        (_names(row.state), _names(row.on), _name(row.to), _names(row.do), _timers(row), row.ref) for row in table.rows
    ]
    defaults = [
        (_names(default.states), _names(default.inputs), default.verdict.name, _reason(default))
        for default in table.otherwise
    ]
    return (
        _list_table(("In", "On", "Then in", "Does", "Timers", "See"), rows)
        + "\nWithout a row:\n\n"
        + _list_table(("In", "On", "Verdict", "Reason"), defaults)
    )


def ladder_rst(table: AnyTable) -> str:
    """The ladders as reStructuredText tables: the first rung that holds names the input."""
    timers = {fires: timer.name for timer, fires in table.fires.items() if isinstance(fires, str)}
    parts = []
    for ladder in table.ladders:
        rows = [(rung.check.replace("_", " "), rung.input.name, rung.ref) for rung in ladder.rungs]
        cause = f", when {timers[ladder.name]} fires" if ladder.name in timers else ""
        heading = f"Ladder *{ladder.name}*{cause}:\n\n"
        parts.append(
            heading + _list_table(("If it is", "It counts as", "See"), [*rows, ("else", ladder.otherwise.name, "")])
        )
    return "\n".join(parts)


def to_json(table: AnyTable) -> dict[str, Any]:
    """The table as plain JSON values: what a test of a ``machine`` vector file holds beside its number and comment."""
    return {
        "machine": table.name,
        "page": f"docs/protocols/{table.page}.rst",
        **{
            kind: [member.name for member in getattr(table, kind)] for kind in ("states", "inputs", "actions", "timers")
        },
        "initial": table.initial.name,
        "terminal": [state.name for state in table.terminal],
        "idle": [{"state": state.name, "ends": ends} for state, ends in table.idle.items()],
        "rows": [_row(row) for row in table.rows],
        "defaults": [_default(default) for default in table.otherwise],
        "fires": [
            {"timer": timer.name, **({"ladder": fires} if isinstance(fires, str) else {"input": fires.name})}
            for timer, fires in table.fires.items()
        ],
        "ladders": [_ladder(ladder) for ladder in table.ladders],
        "violated": None if table.violated is None else table.violated.name,
    }


def document(protocol: str, tables: Sequence[AnyTable]) -> dict[str, Any]:
    """The vector file of kind ``machine`` of a protocol: one test per table."""
    tests = [
        {"tcId": number, "comment": f"the table {table.name}", "flags": [], "result": "valid", **to_json(table)}
        for number, table in enumerate(tables, 1)
    ]
    source = {"name": "sansproto", "version": __version__, "provenance": "self"}
    return {
        "schema": "machine",
        "protocol": protocol,
        "schemaVersion": VERSION,
        "notes": {},
        "numberOfTests": len(tests),
        "testGroups": [{"type": f"{protocol}.table", "source": source, "requires": [], "tests": tests}],
    }


def write_json(path: str | Path, value: dict[str, Any]) -> None:
    """Write a vector file in the canonical layout."""
    Path(path).write_text(dumps(value), "ascii")


def _row(row: Row[Any, Any, Any, Any]) -> dict[str, Any]:
    return {
        "state": [state.name for state in each(row.state)],
        "input": [on.name for on in each(row.on)],
        "next": None if row.to is None else row.to.name,
        "actions": [action.name for action in row.do],
        "arm": [timer.name for timer in row.arm],
        "cancel": [timer.name for timer in row.cancel],
        "ref": row.ref,
    }


def _default(default: Otherwise[Any, Any]) -> dict[str, Any]:
    return {
        "states": None if default.states is None else [state.name for state in default.states],
        "inputs": None if default.inputs is None else [on.name for on in default.inputs],
        "verdict": default.verdict.name,
        "reason": _reason(default),
    }


def _ladder(ladder: Ladder[Any]) -> dict[str, Any]:
    rungs = [{"check": rung.check, "input": rung.input.name, "ref": rung.ref} for rung in ladder.rungs]
    return {"name": ladder.name, "rungs": rungs, "otherwise": ladder.otherwise.name}


def _reason(default: Otherwise[Any, Any]) -> str:
    return default.reason.name if isinstance(default.reason, Enum) else default.reason


def _name(state: Enum | None) -> str:
    return "the same" if state is None else state.name


def _names(members: Any) -> str:
    return "any" if members is None else ", ".join(member.name for member in each(members))


def _timers(row: Row[Any, Any, Any, Any]) -> str:
    return ", ".join((*(f"+{timer.name}" for timer in row.arm), *(f"-{timer.name}" for timer in row.cancel)))


def _list_table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (titles, *rows):
        lines += [f"   {'*' if not column else ' '} - {cell}".rstrip() for column, cell in enumerate(row)]
    return "\n".join(lines) + "\n"
