"""Bob explored: no party waits for ever, nobody is deceived, and a row or step that is missing is noticed.

The figures of each exploration are printed (``pytest -rP``). SANSPROTO_SOAK=1 adds those that take minutes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from exploring import (
    BUSY_USER,
    CLASSES,
    TABLES,
    Exploration,
    everybody_waits,
    explorations,
    long_explorations,
    small,
)
from exploring_tables import explore_all, is_found, mutants, running
from soaking import SOAKING

from sansproto.testing.explorer import Budget
from sansproto.testing.tables import check

pytestmark = pytest.mark.unmeasured

DOCS = Path(__file__).parents[2] / "docs" / "protocols"
EXPLORATIONS = [*explorations(), *(long_explorations() if SOAKING else ())]

CONCERNS = {
    "bob.member: guard failure/concerns_the_relay",
    "bob.member: guard hello/concerns_the_relay",
    "bob.peer: guard closed/concerns_the_relay",
    "bob.peer: guard done/concerns_the_relay",
    "bob.peer: guard identity/concerns_the_relay",
    "bob.peer: guard new_server/concerns_the_relay",
    "bob.peer: guard timeout/concerns_the_relay",
    "bob.peer: guard x/concerns_a_peer",
}

HARMLESS = {
    "bob.channel: row OPEN x SEND": "on the bulk path send() looks at the state itself",
    "bob.kdf: row BUSY x PUT": "the queue is at work already",
    "bob.member: guard packet/has_said_hello": "who has not has no role either",
    "bob.member: row STRANGER x LEFT": "who has not said hello is known to nobody, and forgotten with its link",
    "bob.offer: row AGREED x AGAIN": "our relay lets through only what is in order: vectors step on it",
    "bob.offer: row DERIVING|HELD|ASKED x AGREEMENT": "likewise",
    "bob.handshake: row HELD|ANSWERED x ACCEPTED": "likewise",
    **dict.fromkeys(CONCERNS, "honest ends put the right uid into each header: vectors step on these"),
}
"""Without these everything goes on as before, for another guard stands behind."""

BY_VECTORS = {
    "bob.channel: row OPEN x BAD_RECORD",
    "bob.channel: row OPEN x CUT",
    "bob.peer: row LOBBY x EXPIRED when comes_back",
    "bob.peer: row LOBBY x ROOM_REFUSED|LOST when comes_back",
    "bob.visitor: guard line/asks_for_a_taken_place",
}
"""Of the explorations only those notice these that ``make soak`` adds; vectors and tests do, too."""

NEVER = {
    "bob.channel: row OPEN x SEND",  # asked only, by the verb
    "bob.peer: row RESOLVING x EXPIRED",  # each look-up is answered
    "bob.handshake: row AGREED x REFUSED",  # a relay keeps a refusal to itself
    "bob.handshake: row HELD|ANSWERED x ACCEPTED",
    "bob.offer: row AGREED x AGAIN",
    "bob.offer: row DERIVING|HELD|ASKED x AGREEMENT",  # these three: our relay lets through only what is in order
    *CONCERNS,
}
"""Rows that no exploration with an honest relay steps on; ``test_sessions`` and the insertions do."""

FLOODS = {
    *(f"{table.name}: {row!r}" for table in TABLES for row in table.rows if row.ref == "floods"),
    *(
        f"{table.name}: guard {guards.name}/{step.name}"
        for table in TABLES
        for guards in table.guards
        for step in guards.steps
        if step.ref == "floods"
    ),
}
"""No exploration has so many packets that anybody floods; ``test_floods`` and vectors 72 to 76 step on all of these."""


@pytest.mark.parametrize("exploration", EXPLORATIONS, ids=lambda one: one.name)
def test_within_the_budget_nobody_waits_for_ever_and_nobody_is_deceived(exploration: Exploration) -> None:
    report, ends = exploration.run(max_states=8_000_000)
    print(f"{exploration.name}: {report}; {len(ends)} outcomes")
    assert not report.violations, report
    assert report.exhausted
    if exploration.name == EXPLORATIONS[0].name:
        assert report.states >= 100_000


@pytest.mark.parametrize("budget", [Budget(), Budget(cuts=1), Budget(losses=1), Budget(splits=1)], ids=str)
def test_a_reduced_exploration_meets_every_end(budget: Budget) -> None:
    one = Exploration("", BUSY_USER, budget, begin=None if SOAKING else everybody_waits)
    (reduced, ends), (whole, all_ends) = one.run(), one.run(reduced=False)
    assert ends == all_ends
    assert reduced.states < whole.states
    assert reduced.finals == whole.finals


@pytest.mark.slow
def test_a_row_or_step_that_is_missing_is_noticed() -> None:
    """By the static checks, by a violation, or because something else is told in the end."""
    known = explore_all(small(), TABLES, CLASSES)
    unnoticed = set()
    for table in TABLES:
        assert check(table, DOCS) == []
        for name, mutant in mutants(table):
            if name not in FLOODS and not is_found(mutant, DOCS):
                with running(mutant):
                    if not any(one.changes(name) for one in known):
                        unnoticed.add(name)
    assert unnoticed == {*HARMLESS, *(() if SOAKING else BY_VECTORS)}
    every = {name for table in TABLES for name, _ in mutants(table)}
    never = every - {name for one in known for name in one.parties.uses} - FLOODS
    assert never == NEVER if SOAKING else never > NEVER
