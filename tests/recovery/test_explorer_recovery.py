"""Two ends of recovery explored: handshakes that cross, restarts during a handshake, closes against restarts.

Every order of what can happen is tried, up to the number of states that is given: all of those that are not deeper
than the depth which is printed (``pytest -rP``). SANSPROTO_SOAK=1 looks at 110,000 of each.
"""

from __future__ import annotations

import pytest
from exploring_recovery import Exploration, explorations
from soaking import SOAKING
from variants import VARIANTS, Forgetful

from sansproto.recovery import CloseReason, Recovery
from sansproto.recovery.farewell import Farewells
from sansproto.recovery.peer import Peer
from sansproto.recovery.session import Session

pytestmark = pytest.mark.unmeasured

STATES = 110_000 if SOAKING else 5_000
EXPLORATIONS = explorations()


@pytest.mark.parametrize("exploration", EXPLORATIONS, ids=lambda one: one.name)
def test_whatever_the_order_the_ends_agree_when_they_are_calm(exploration: Exploration) -> None:
    report = exploration.run(STATES)
    print(f"{exploration.name}: {report}")
    assert not report.violations, report
    assert report.states >= STATES
    assert report.deepest >= 8


NO_TIE_BREAK = VARIANTS["no tie-break"].core
"""It saves work, and is not what makes the ends agree: then both handshakes are confirmed."""


def test_without_a_tie_break_the_ends_agree_too() -> None:
    report = EXPLORATIONS[1].run(STATES, NO_TIE_BREAK)
    print(report)
    assert not report.violations, report


class Selfish(Peer):
    """Of two sessions that crossed it uses its own."""

    def order_of(self, session: Session) -> tuple[int, bytes]:
        return int(session.is_ours), b""


class Divided(NO_TIE_BREAK):  # type: ignore[misc, valid-type]
    def make_peer(self, key: bytes) -> Peer:
        return Selfish(self.host, self, key)


class Careless(Recovery):
    """Forgets at once whom it left."""

    def make_farewells(self) -> Farewells:
        return Forgetful(self.host, self, self.make_tombstone)

    def disconnect(self, peer: bytes, reason: CloseReason = CloseReason.NORMAL) -> None:
        super().disconnect(peer, reason)
        self.farewells.tombstones.remove_all()


@pytest.mark.parametrize(("number", "core"), [(1, Divided), (3, Careless)])
def test_what_is_wrong_is_found(number: int, core: type[Recovery]) -> None:
    assert EXPLORATIONS[number].run(40_000, core).violations
