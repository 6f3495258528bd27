"""Tables and guards as pictures, as text and as JSON: made from the same objects that run.

:func:`mermaid` draws the states, :func:`rst_table` and :func:`guards_rst` write rows and guards for the docs, and
:func:`document` is the vector file of kind ``machine`` of a protocol's tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ... import __version__
from ...machine import Default, Guards, Row, Step
from ..tables import AnyTable
from ..vectors import VERSION


def mermaid(table: AnyTable) -> str:
    """A Mermaid state diagram: an arrow for each pair of states, with the inputs that lead there."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        for state in row.states:
            target = state if row.to is None else row.to
            arrows.setdefault((state.name, target.name), []).extend(on.name for on in row.on)
    lines = [
        f"{source} --> {target}: {', '.join(dict.fromkeys(inputs))}" for (source, target), inputs in arrows.items()
    ]
    lines = [f"[*] --> {table.initial.name}", *lines, *(f"{state.name} --> [*]" for state in table.terminal)]
    return "\n".join(("stateDiagram-v2", *(f"    {line}" for line in lines))) + "\n"


def rst_table(table: AnyTable) -> str:
    """The rows and the defaults as reStructuredText tables."""
    rows = [
        (
            _names(row.states),
            _names(row.on) + ("" if row.when is None else f", if {_words(row.when.__name__)}"),
            "the same" if row.to is None else row.to.name,
            ", ".join(_words(action.__name__) for action in row.do),
            _timers(row),
            row.ref,
        )
        for row in table.rows
    ]
    defaults = [
        (_names(default.states) or "any", _names(default.on) or "any", default.outcome.name, default.reason)
        for default in table.defaults
    ]
    text = list_table(("In", "On", "Then in", "Does", "Timers", "See"), rows)
    if defaults:
        text += "\nWithout a row:\n\n" + list_table(("In", "On", "Outcome", "Reason"), defaults)
    return text


def guards_rst(table: AnyTable) -> str:
    """The guards as reStructuredText tables: one outcome for each step; the last one holds if no other applies."""
    parts = []
    for guards in table.guards:
        rows = [_step_cells(step) for step in guards.steps]
        parts.append(f"Guards *{guards.name}*:\n\n" + list_table(("Step", "Outcome", "See"), rows))
    return "\n".join(parts)


def to_json(table: AnyTable) -> dict[str, Any]:
    """The table as plain JSON values: what a test of a ``machine`` vector file holds beside its number and comment."""
    return {
        "machine": table.name,
        "page": f"docs/protocols/{table.page}.rst",
        "states": [state.name for state in table.states],
        "inputs": [on.name for on in table.inputs],
        "actions": list(dict.fromkeys(action.__name__ for row in table.rows for action in row.do)),
        "timers": [timer.name for timer in table.timers],
        "initial": table.initial.name,
        "terminal": [state.name for state in table.terminal],
        "idle": [{"state": state.name, "ends": ends} for state, ends in table.idle.items()],
        "rows": [_row(row) for row in table.rows],
        "defaults": [_default(default) for default in table.defaults],
        "fires": [{"timer": timer.name, "input": timer.on.name} for timer in table.timers],
        "guards": [_guards(guards) for guards in table.guards],
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


def _row(row: Row[Any, Any]) -> dict[str, Any]:
    return {
        "state": [state.name for state in row.states],
        "input": [on.name for on in row.on],
        "when": None if row.when is None else row.when.__name__,
        "next": None if row.to is None else row.to.name,
        "actions": [action.__name__ for action in row.do],
        "arm": [timer.name for timer in row.arm],
        "cancel": [timer.name for timer in row.cancel],
        "ref": row.ref,
    }


def _default(default: Default[Any]) -> dict[str, Any]:
    return {
        "states": [state.name for state in default.states] or None,
        "inputs": [on.name for on in default.on] or None,
        "outcome": default.outcome.name,
        "reason": default.reason,
    }


def _guards(guards: Guards[Any, Any, Any, None]) -> dict[str, Any]:
    return {
        "name": guards.name,
        "steps": [
            {
                "step": step.name,
                "input": None if step.on is None else step.on.name,
                "drop": step.reason if step.on is None else None,
                "ref": step.ref,
            }
            for step in guards.steps
        ],
    }


def _step_cells(step: Step) -> tuple[str, str, str]:
    words = _words(step.name)
    if step.on is None:
        return words, f"dropped if not: {step.reason}", step.ref
    return words if step.call is None else f"{words}?", step.on.name, step.ref


def _words(name: str) -> str:
    return name.removeprefix("is_").replace("_", " ")


def _names(members: Iterable[Any]) -> str:
    return ", ".join(member.name for member in members)


def _timers(row: Row[Any, Any]) -> str:
    return ", ".join((*(f"+{timer.name}" for timer in row.arm), *(f"-{timer.name}" for timer in row.cancel)))


def list_table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (titles, *rows):
        lines += [f"   {'*' if not column else ' '} - {cell}".rstrip() for column, cell in enumerate(row)]
    return "\n".join(lines) + "\n"
