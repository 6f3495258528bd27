"""One thing less, or another one, in a table of EGTP: the static checks, a test or a session vector notice it.

``make test`` tries every 12th mutant, ``make soak`` all of them.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import pytest
import test_classification
import test_corners_egtp
import test_hostile_egtp
import test_mailbox
import test_node
import test_sessions_egtp
from mutating import Known, all_mutants, checks_in, learn, who_notices
from soaking import SOAKING

from sansproto.testing._internal.protocols import tables_of

pytestmark = pytest.mark.unmeasured

DOCS = Path(__file__).parents[2] / "docs" / "protocols"
TABLES = tables_of("egtp")
EVERY = 1 if SOAKING else 12
MODULES = (test_classification, test_corners_egtp, test_hostile_egtp, test_mailbox, test_node)

_CLOSES = "nobody reads a link that closes, and the connection is forgotten with it"
_FORGOTTEN = "whoever has a connection that is over forgets it"
_ERROR = "egtp.mailbox_connection: row READY|REGISTERING|OWNER x ERROR"
_EXPIRED = "egtp.mailbox_connection: row HELLO|READY|REGISTERING|OWNER x EXPIRED"
_CLOSE = "egtp.mailbox_connection: row NEW|DIALLING|HELLO|READY|REGISTERING|OWNER x CLOSE"

HARMLESS = {
    "egtp.gate: row OPEN x START|CONNECT|SEND|DISCONNECT: is missing": "asked only, by the verbs",
    **{f"egtp.caller: row OWNER x SUPERSEDED: {how}": _CLOSES for how in ("to HELLO", "to OPEN", "to ENDING", "stays")},
    "egtp.caller: row HELLO|OPEN|OWNER x EXPIRED: to NEW": _CLOSES,
    "egtp.caller: row ENDING x EXPIRED: to NEW": _CLOSES,
    "egtp.caller: row HELLO|OPEN|OWNER|ENDING x LEFT: does not leave": "the server does it when the link is gone",
    **{f"{_ERROR}: {how}": _FORGOTTEN for how in ("to READY", "to OWNER", "stays")},
    **{f"{_EXPIRED}: {how}": _FORGOTTEN for how in ("to NEW", "to DIALLING", "to READY", "to OWNER")},
    f"{_CLOSE}: stays": _FORGOTTEN,
}
"""Without these everything goes on as before."""

UNNOTICED = {
    "egtp.depositor: row DIALLING|OPEN x PUT when is_full: does not refuse",
    "egtp.depositor: row OPEN x ANSWERED when is_busy: does not send",
    "egtp.gate: row CLOSING|WRITING x CLOSE: is missing",
    "egtp.gate: guard h1/is_for_us: is missing",
    "egtp.gate: row OPEN x HELD when is_first: always",
    "egtp.gate: row OPEN x CLOSE when is_done: stays",
    "egtp.caller: row OPEN|OWNER x FINISHED: does not finish",
    f"{_ERROR}: does not close",
    "egtp.mailbox_connection: row DIALLING|HELLO|READY|REGISTERING|OWNER x LOST: does not close",
    f"{_CLOSE}: does not close",
    "egtp.own_mailbox: row DIALLING x LOST: does not leave",
    "egtp.own_mailbox: row DIALLING|POLLING|IDLE|AWAY x STOP: to DIALLING",
    "egtp.own_mailbox: row DIALLING|POLLING|IDLE|AWAY x STOP: to POLLING",
}
"""Here a test is still missing, or something that the table does twice could go."""


@cache
def known() -> list[Known]:
    scenarios = {name: test for module in MODULES for name, test in checks_in(module)}
    for vector in test_sessions_egtp.SESSIONS.tests:
        scenarios[vector.comment] = partial(test_sessions_egtp.test_what_was_recorded_is_what_comes_out, vector)
    return learn(scenarios, TABLES)


def test_what_is_wrong_in_a_table_is_noticed() -> None:
    every = [(f"{name}: {how}", uses, one) for table in TABLES for name, how, uses, one in all_mutants(table)]
    missed = HARMLESS.keys() | UNNOTICED
    assert missed <= {name for name, _, _ in every}
    mutants = every if SOAKING else [one for one in every if one[0] not in missed][::EVERY]
    unnoticed = {name for name, uses, one in mutants if who_notices(uses, one, known(), DOCS) is None}
    assert unnoticed == (missed if SOAKING else set())
