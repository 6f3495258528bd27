"""One thing less, or another one, in a table of EGTP: the static checks, a test or a session vector notice it.

``make test`` tries every 12th mutant, ``make soak`` all of them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import test_classification
import test_corners_egtp
import test_hostile_egtp
import test_mailbox
import test_node
import test_parts_egtp
import test_sessions_egtp
from mutating import Scenarios, assert_noticed, checks_in

from sansproto.testing._internal.protocols import tables_of

pytestmark = pytest.mark.unmeasured

DOCS = Path(__file__).parents[2] / "docs" / "protocols"
TABLES = tables_of("egtp")
MODULES = (test_classification, test_corners_egtp, test_hostile_egtp, test_mailbox, test_node, test_parts_egtp)

_CLOSES = "nobody reads a link that closes, and the connection is forgotten with it"

HARMLESS = {
    "egtp.gate: row OPEN x START|CONNECT|SEND|DISCONNECT: is missing": "asked only, by the verbs",
    **{f"egtp.caller: row OWNER x SUPERSEDED: {how}": _CLOSES for how in ("to HELLO", "to OPEN", "to ENDING", "stays")},
    "egtp.caller: row HELLO|OPEN|OWNER x EXPIRED: to NEW": _CLOSES,
    "egtp.caller: row ENDING x EXPIRED: to NEW": _CLOSES,
    "egtp.caller: row HELLO|OPEN|OWNER|ENDING x LEFT: does not leave": "the server does it when the link is gone",
}
"""Without these everything goes on as before."""


def test_what_is_wrong_in_a_table_is_noticed() -> None:
    scenarios = {name: test for module in MODULES for name, test in checks_in(module)}
    for vector in test_sessions_egtp.SESSIONS.tests:
        scenarios[vector.comment] = partial(test_sessions_egtp.test_what_was_recorded_is_what_comes_out, vector)
    assert_noticed(TABLES, Scenarios(TABLES, scenarios), DOCS, harmless=HARMLESS, step=12)
