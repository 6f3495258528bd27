"""Two nodes and an attacker explored: it inserts what it makes, replays what it heard, and drops what it likes.

Whatever it does, a session in use stays as it is, what is delivered was said, and once it stops both find each other.
How much was seen is printed (``pytest -rP``). SANSPROTO_SOAK=1 looks at 110,000 states of each exploration.
"""

from __future__ import annotations

import pytest
from exploring_node import EXPLORATIONS, Exploration
from soaking import SOAKING
from variants_node import VARIANTS

pytestmark = pytest.mark.unmeasured

STATES = 110_000 if SOAKING else 800
LONG = {"a cookie is good for ever"}
"""Found only where SANSPROTO_SOAK asks for it, and by ``test_handshake``."""
BY_NAME = {one.name: one for one in EXPLORATIONS}


@pytest.mark.parametrize("exploration", EXPLORATIONS, ids=lambda one: one.name)
def test_whatever_the_attacker_does_the_nodes_agree(exploration: Exploration) -> None:
    report = exploration.run(STATES // exploration.weight)
    print(f"{exploration.name}: {report}")
    assert not report.violations, report
    assert report.states >= STATES // exploration.weight


@pytest.mark.parametrize("name", [name for name in VARIANTS if SOAKING or name not in LONG])
def test_what_is_wrong_is_found(name: str) -> None:
    variant = VARIANTS[name]
    with variant.running():
        assert BY_NAME[variant.found_by].run(3_000).violations
