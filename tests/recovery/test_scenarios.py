"""The scenarios of docs/protocols/recovery.rst, by name."""

from __future__ import annotations

import pytest
import stories_d
import stories_e
import stories_f

from sansproto.recovery import Recovery

LONG = {
    *("S03 late", "S05", "S07", "S09", "S15", "S16", "S21", "S22", "S28", "S34", "S41", "S45", "S54", "S58", "S62"),
    *("S67", "S69", "S71", "S72", "S74", "S75", "S76", "S78", "S79", "S83", "S87", "S91", "S92", "S93", "S95"),
}
STORIES = {**stories_d.STORIES, **stories_e.STORIES, **stories_f.STORIES}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.unmeasured] * (name in LONG)) for name in sorted(STORIES)]
)
def test_a_scenario_comes_out_as_it_should(name: str) -> None:
    STORIES[name](Recovery)
