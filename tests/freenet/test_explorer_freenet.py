"""A gateway and a joiner explored, with an attacker who sees, replays and spoofs: each message comes once, and nobody
else's intro ends a session.

The figures of each exploration are printed (``pytest -rP``). SANSPROTO_SOAK=1 adds those that take minutes.
"""

from __future__ import annotations

import pytest
from exploring_freenet import EXPLORATIONS, LONG, Exploration
from soaking import SOAKING

pytestmark = pytest.mark.unmeasured


@pytest.mark.parametrize("exploration", [*EXPLORATIONS, *(LONG if SOAKING else ())], ids=lambda one: one.name)
def test_a_joiner_is_served_whatever_happens(exploration: Exploration) -> None:
    report = exploration.run()
    print(f"{exploration.name}: {report}")
    assert not report.violations, report
    assert report.exhausted
