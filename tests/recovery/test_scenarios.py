"""The scenarios of docs/protocols/recovery.rst, by name."""

from __future__ import annotations

import pytest
from stories_d import STORIES

from sansproto.recovery import Recovery


@pytest.mark.parametrize("name", sorted(STORIES))
def test_a_scenario_comes_out_as_it_should(name: str) -> None:
    STORIES[name](Recovery)
