"""One thing less, or another one, in a table of Freenet: the static checks, a test, a vector or a scenario notice it.

``make test`` tries every 12th mutant, ``make soak`` all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import pytest
import test_corners_freenet
import test_rows_freenet
from mutating import Known, assert_noticed, checks_in, learn
from test_scenarios_freenet import STORIES
from test_sessions_freenet import SESSIONS, test_what_was_recorded_is_what_comes_out

from sansproto.testing._internal.protocols import tables_of

pytestmark = pytest.mark.unmeasured

DOCS = Path(__file__).parents[2] / "docs" / "protocols"
TABLES = tables_of("freenet")

_REMOVED = "it is removed when its session is made"

HARMLESS = {f"freenet.candidate: row HEARD x NOT_LINKED: {how}": _REMOVED for how in ("to WAITING", "stays")}
"""Without these everything goes on as before."""


@cache
def quick() -> list[Known]:
    vectors = {test.comment: partial(test_what_was_recorded_is_what_comes_out, test) for test in SESSIONS.tests}
    return learn({**dict(checks_in(test_rows_freenet)), **dict(checks_in(test_corners_freenet)), **vectors}, TABLES)


@cache
def slow() -> list[Known]:
    return learn(STORIES, TABLES)


def known() -> Iterator[Known]:
    """The slow ones are made only when somebody asks for them."""
    yield from quick()
    yield from slow()


def test_what_is_wrong_in_a_table_is_noticed() -> None:
    assert_noticed(TABLES, known, DOCS, harmless=HARMLESS, step=12)
