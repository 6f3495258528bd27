"""One thing less, or another one, in a table of recovery: the static checks or a scenario notice each of them.

``make test`` tries every 24th mutant, ``make soak`` all of them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import test_calls
import test_corners_recovery
import test_floods_recovery
import test_rules
from mutating import Scenarios, assert_noticed, checks_in
from test_scenarios import STORIES

from sansproto.recovery import Recovery
from sansproto.recovery.call import CALL
from sansproto.recovery.conflict import CONFLICT
from sansproto.recovery.door import DOOR
from sansproto.recovery.paths import PATHS
from sansproto.recovery.peer import PEER
from sansproto.recovery.poke import POKE, POKES
from sansproto.recovery.session import SESSION
from sansproto.recovery.silence import DEBT, SILENCE
from sansproto.recovery.suspicion import SUSPICION
from sansproto.recovery.tombstone import TOMBSTONE
from sansproto.testing._internal.protocols import tables_of

pytestmark = pytest.mark.unmeasured

DOCS = Path(__file__).parents[2] / "docs" / "protocols"
TABLES = (CALL, CONFLICT, DEBT, DOOR, PATHS, PEER, POKE, POKES, SESSION, SILENCE, SUSPICION, TOMBSTONE)

HARMLESS = {
    "recovery.session: row CURRENT x COPIED when is_response: always": "what is no response has the value of none",
    "recovery.session: guard confirmed data/is_response: is missing": "nothing was asked under a session before",
}
"""Without these everything goes on as before."""

QUICK = (test_calls, test_rules, test_corners_recovery)
"""These come to most of it."""


def test_all_tables_are_tried() -> None:
    assert {table.name for table in TABLES} == {table.name for table in tables_of("recovery")}


def test_what_is_wrong_in_a_table_is_noticed() -> None:
    quick = {name: test for module in QUICK for name, test in checks_in(module)}
    slow = {name: partial(story, Recovery) for name, story in STORIES.items()} | dict(checks_in(test_floods_recovery))
    assert_noticed(TABLES, Scenarios(TABLES, quick, slow), DOCS, harmless=HARMLESS, step=24)
