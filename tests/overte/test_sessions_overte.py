"""``sessions.json`` is what its scenarios say and what our machines do, and no row or step is without a vector."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from scenarios_overte import scenario

from sansproto.testing import conformance_overte
from sansproto.testing.conformance import differences
from sansproto.testing.record import Coverage
from sansproto.testing.session_recorder import cover
from sansproto.testing.vectors import VectorTest, dumps, load

SESSIONS = load(scenario.path)


@pytest.mark.parametrize("test", SESSIONS.tests, ids=lambda test: test.comment)
def test_what_was_recorded_is_what_comes_out(test: VectorTest) -> None:
    assert differences(test, conformance_overte) == []


def test_the_file_is_what_the_scenarios_write() -> None:
    """If this fails on purpose, run make vectors and read the difference."""
    assert dumps(scenario.document()) == scenario.path.read_text("ascii")


@cache
def coverage() -> Coverage:
    found = Coverage()
    cover(found, SESSIONS, conformance_overte.MACHINES)
    return found


@pytest.mark.parametrize("table", conformance_overte.TABLES, ids=lambda table: table.name)
def test_every_row_and_step_is_hit_by_a_vector(table: Any) -> None:
    assert coverage().missing([table]) == []
