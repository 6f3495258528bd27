"""A relay and its clients explored: ids are never confused, and nothing is left of who is gone.

The figures of each exploration are printed (``pytest -rP``). SANSPROTO_SOAK=1 adds those that take minutes.
"""

from __future__ import annotations

import pytest
from exploring_relay import EXPLORATIONS, LONG, Exploration
from soaking import SOAKING

pytestmark = pytest.mark.unmeasured


@pytest.mark.parametrize("exploration", [*EXPLORATIONS, *(LONG if SOAKING else ())], ids=lambda one: one.name)
def test_clients_and_relay_agree_whatever_happens(exploration: Exploration) -> None:
    report = exploration.run()
    print(f"{exploration.name}: {report}")
    assert not report.violations, report
    assert report.exhausted
