"""Each wrong variant of the rules is caught by the scenarios that the page names for it."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from exploring_tables import running
from test_scenarios import STORIES
from variants import VARIANTS

pytestmark = pytest.mark.unmeasured

CASES = [(name, story) for name, one in VARIANTS.items() for story in one.caught_by]


@pytest.mark.parametrize(("name", "story"), CASES, ids=[f"{story}-{name}" for name, story in CASES])
def test_a_wrong_variant_is_caught(name: str, story: str) -> None:
    one = VARIANTS[name]
    with nullcontext() if one.mutant is None else running(one.mutant()), pytest.raises(AssertionError):
        STORIES[story](one.core)
