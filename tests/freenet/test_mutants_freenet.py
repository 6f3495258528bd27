"""One thing less, or another one, in a table of Freenet: the static checks, a test, a vector or a scenario notice it.

``make test`` tries every 12th mutant, ``make soak`` all of them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import test_corners_freenet
import test_rows_freenet
import test_sessions_freenet
from mutating import Scenarios, assert_noticed, checks_in
from test_scenarios_freenet import STORIES

from sansproto.testing._internal.protocols import tables_of

pytestmark = pytest.mark.unmeasured

DOCS = Path(__file__).parents[2] / "docs" / "protocols"
TABLES = tables_of("freenet")

_REMOVED = "it is removed when its session is made"

HARMLESS = {f"freenet.candidate: row HEARD x NOT_LINKED: {how}": _REMOVED for how in ("to WAITING", "stays")}
"""Without these everything goes on as before."""


def test_what_is_wrong_in_a_table_is_noticed() -> None:
    checks = {**dict(checks_in(test_rows_freenet)), **dict(checks_in(test_corners_freenet))}
    replay = test_sessions_freenet.test_what_was_recorded_is_what_comes_out
    vectors = {test.comment: partial(replay, test) for test in test_sessions_freenet.SESSIONS.tests}
    assert_noticed(TABLES, Scenarios(TABLES, {**checks, **vectors}, STORIES), DOCS, harmless=HARMLESS, step=12)
