"""``sessions.json`` is what its scenarios say and what our machines do, and no row or rung is without a vector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import pytest
from scenarios import PATH, document
from transcripts import PLAYED, PeerReplay, RelayReplay

from sansproto.bob import tables
from sansproto.links import LINK
from sansproto.testing import conformance_bob
from sansproto.testing.conformance import differences
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.record import Coverage, replay
from sansproto.testing.tables import AnyTable, each
from sansproto.testing.vectors import VectorTest, dumps, load
from sansproto.trace import Trace

SESSIONS = load(PATH)
TABLES: list[AnyTable] = [LINK, *(getattr(tables, name) for name in tables.__all__)]


def session_of(test: VectorTest, trace: Trace) -> Any:
    entropy = ScriptedEntropy({name: list(map(bytes.fromhex, draws)) for name, draws in test["entropy"].items()})
    return conformance_bob.MACHINES[test.type](test["config"], entropy, trace)


@pytest.mark.parametrize("test", SESSIONS.tests, ids=lambda test: test.comment)
def test_what_was_recorded_is_what_comes_out(test: VectorTest) -> None:
    assert differences(test, conformance_bob) == []


def test_the_file_is_what_the_scenarios_write() -> None:
    """If this fails on purpose, run tests/bob/scenarios.py and read the difference."""
    assert dumps(document()) == PATH.read_text("ascii")


def permitted(steps: Iterable[dict[str, Any]], table: AnyTable) -> Iterator[tuple[str, str, str]]:
    """Rows that do nothing but allow a verb: no input is ever posted for them, the verb is asked about and goes on."""
    calls = {step["call"] for step in steps if "call" in step and "raises" not in step}
    for row in table.rows:
        if row.to is None and not row.do and not row.arm and not row.cancel:
            for on in each(row.on):
                if on.name.lower() in calls:
                    yield from ((table.name, state.name, on.name) for state in each(row.state))


@cache
def coverage() -> Coverage:
    """What the golden transcripts and the sessions hit together."""
    found = Coverage()
    for test, view in PLAYED:
        (RelayReplay if view == "relay" else PeerReplay)(test, view, trace=found).run()
    for test in SESSIONS:
        session = session_of(test, found)
        assert replay(test["steps"], session) == []
        for machine in session._machines:
            found.pairs.update(permitted(test["steps"], machine.table))
    return found


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_row_and_rung_is_hit_by_a_vector(table: AnyTable) -> None:
    assert coverage().missing([table]) == []
