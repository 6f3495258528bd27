"""The vectors of the echo protocol: they pass, they are what the scenarios say, and no row or guard is without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import conformance_echo
import pytest
from scenarios_echo import PATH, sessions

from sansproto.testing.conformance import differences
from sansproto.testing.record import Coverage
from sansproto.testing.session_recorder import cover
from sansproto.testing.tables import check
from sansproto.testing.vectors import VectorTest, dumps, load, validate

ROOT = Path(__file__).parents[2]
FILES = sorted(PATH.parent.glob("*.json"))
TESTS = [test for path in FILES for test in load(path)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_what_its_schema_says(path: Path) -> None:
    assert validate(path, ROOT / "vectors" / "schema").protocol == "echo"


@pytest.mark.parametrize("test", TESTS, ids=lambda test: f"{test.type}-{test.comment}")
def test_a_vector_is_what_comes_out(test: VectorTest) -> None:
    assert differences(test, conformance_echo) == []


def test_the_file_is_what_the_scenarios_write() -> None:
    """If this fails on purpose, run make vectors and read the difference."""
    assert dumps(sessions()) == PATH.read_text("ascii")


@pytest.mark.parametrize("table", conformance_echo.TABLES, ids=lambda table: table.name)
def test_a_table_is_sound_and_each_row_and_guard_is_hit_by_a_vector(table: Any) -> None:
    assert check(table, ROOT / "docs" / "howto" / "echo") == []
    found = Coverage()
    cover(found, load(PATH), conformance_echo.MACHINES)
    assert found.missing([table]) == []
