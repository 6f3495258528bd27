"""Each wrong variant of the rules is caught by the scenarios that the page names for it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from exploring_tables import running
from test_scenarios import STORIES
from variants import VARIANTS

pytestmark = pytest.mark.unmeasured

CASES = [(name, story) for name, one in VARIANTS.items() for story in one.caught_by]


def test_the_page_counts_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocols" / "recovery.rst").read_text("utf-8")
    assert f"{len(VARIANTS)} cores or tables that are wrong" in page
    assert {name.partition(" ")[0] for name in STORIES} == {f"S{number:02}" for number in range(1, 98)}
    assert all(one.caught_by for one in VARIANTS.values())


@pytest.mark.parametrize(("name", "story"), CASES, ids=[f"{story}-{name}" for name, story in CASES])
def test_a_wrong_variant_is_caught(name: str, story: str) -> None:
    one = VARIANTS[name]
    with nullcontext() if one.mutant is None else running(one.mutant()), pytest.raises(AssertionError):
        STORIES[story](one.core)
