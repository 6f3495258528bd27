"""The static checks pass sound tables, and see what is taken out of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from asking import ASK, HERE, AskAction, Asked, AskInput, AskState, AskTimer, Client, Delays, Limits, Server, without

from sansproto.old_links import LINK, LinkState, LinkTimer
from sansproto.old_machine import Ladder, Machine, Otherwise, Row, Rung, Table, Verdict
from sansproto.testing.cast import Decision
from sansproto.testing.charts import document, mermaid, rst_table, to_json, write_json
from sansproto.testing.explorer import Budget, Party, Scene, Verb, explore
from sansproto.testing.old_charts import ladder_rst
from sansproto.testing.old_tables import check, each, headings, row_name
from sansproto.testing.vectors import validate

AnyTable = Table[Any, Any, Any, Any]
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "protocols"
TOY_PAGE = "Toy\n===\n\nAsking\n------\n\nRepeating\n~~~~~~~~~\n\nEnds\n----\n\nNot a heading\n--\n"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "toy.rst").write_text(TOY_PAGE)
    return tmp_path


def with_row(table: AnyTable, number: int, **changes: Any) -> AnyTable:
    rows = list(table.rows)
    rows[number] = attrs.evolve(rows[number], **changes)
    return attrs.evolve(table, rows=tuple(rows))


def findings(table: AnyTable, docs: Path) -> str:
    return "\n".join(check(table, docs))


def test_the_links_are_sound() -> None:
    assert check(LINK, DOCS) == []


def test_the_toy_is_sound(docs: Path) -> None:
    assert check(ASK, docs) == []


def test_headings_are_underlined_lines(docs: Path) -> None:
    assert headings(docs / "toy.rst") == {"toy", "asking", "repeating", "ends"}


# -- one finding each

WAITS = attrs.evolve(ASK, rows=tuple(attrs.evolve(row, arm=()) if row.arm else row for row in ASK.rows))
NOTHING_LAST = attrs.evolve(ASK, ladders=(attrs.evolve(ASK.ladders[0], rungs=()),))
IN_CIRCLES = with_row(ASK, 5, to=AskState.CONNECTING, arm=(AskTimer.REPEAT,))
_S, _I, _A, _T = AskState, AskInput, AskAction, AskTimer


ALIEN: dict[Any, str] = {_S.NEW: "x"}


@pytest.mark.parametrize(
    ("table", "finding"),
    [
        (attrs.evolve(ASK, otherwise=()), "ask: neither row nor default for AskState.NEW"),
        (attrs.evolve(ASK, rows=(*ASK.rows, ASK.rows[0])), "ask: two rows for"),
        (attrs.evolve(ASK, page="nowhere"), "there is no page nowhere.rst"),
        (with_row(ASK, 0, ref="elsewhere"), "row NEW x CONNECT: no heading 'elsewhere' in toy.rst"),
        (with_row(ASK, 0, ref=""), "row NEW x CONNECT has no reference"),
        (
            attrs.evolve(ASK, ladders=(Ladder("repeat", (Rung("tired", _I.EXPIRED_LAST, ref="sleep"),), _I.EXPIRED),)),
            "rung repeat/tired: no heading 'sleep' in toy.rst",
        ),
        (with_row(ASK, 7, state=(_S.ASKING, _S.DONE)), "row ASKING|DONE x CLOSE leaves the terminal state DONE"),
        (attrs.evolve(ASK, idle={_S.NEW: ""}), "nothing is named that ends the idle state NEW"),
        (attrs.evolve(ASK, idle={**ASK.idle, _S.DONE: "x"}), "AskState.DONE cannot be idle"),
        (attrs.evolve(LINK, idle=ALIEN), "AskState.NEW cannot be idle"),
        (with_row(ASK, 0, do=()), "no row does DIAL"),
        (without(ASK, _S.ASKING, _I.ANSWERED), "no row and no default of its own answers ANSWERED"),
        (
            attrs.evolve(ASK, otherwise=(*ASK.otherwise, Otherwise(None, None, Verdict.REJECT))),
            "default 4 (REJECT) decides nothing",
        ),
        (attrs.evolve(ASK, ladders=ASK.ladders * 2), "two ladders have one name"),
        (WAITS, "no row arms REPEAT"),
        (attrs.evolve(ASK, fires={}), "nothing is said about what REPEAT fires"),
        (attrs.evolve(ASK, ladders=()), "REPEAT fires the ladder 'repeat', which is not there"),
        (with_row(ASK, 2, arm=(_T.REPEAT,)), "row ASKING x ANSWERED arms a timer of an object that has ended"),
        (
            attrs.evolve(ASK, otherwise=(Otherwise(None, None, Verdict.VIOLATION),)),
            "NEW x OPENED is a violation, but no input is named that follows",
        ),
        (
            attrs.evolve(ASK, otherwise=(Otherwise(None, None, Verdict.VIOLATION),), violated=_I.RUBBISH),
            "NEW x OPENED is a violation, but RUBBISH does nothing there",
        ),
        (without(ASK, _S.CONNECTING, _I.OPENED), "ASKING is never reached"),
        (
            with_row(ASK, 5, state=(_S.NEW, *each(ASK.rows[5].state))),
            "no timer is armed that could make NEW x EXPIRED_LAST",
        ),
        (with_row(ASK, 1, cancel=(_T.REPEAT,), arm=()), "an object can be in ASKING with no timer: it waits for ever"),
        (without(ASK, _S.ASKING, _I.EXPIRED), "an object can be in ASKING with no timer: it waits for ever"),
        (without(ASK, _S.ASKING, _I.EXPIRED), "ASKING with REPEAT: REPEAT fires EXPIRED, which does nothing there"),
        (NOTHING_LAST, "with a silent peer it goes on for ever in ASKING, by REPEAT"),
        (IN_CIRCLES, "with a silent peer it goes on for ever in CONNECTING, by REPEAT"),
        (
            with_row(LINK, -1, state=(LinkState.DRAINING, LinkState.DRAINING_BLOCKED)),
            "no way leads from ABORTING to an end",
        ),
    ],
)
def test_a_fault_is_found(table: AnyTable, finding: str, docs: Path) -> None:
    assert finding in findings(table, docs)


def test_objects_of_a_table_without_an_end_need_no_way_there(docs: Path) -> None:
    assert "no way leads" not in findings(attrs.evolve(ASK, terminal=(), idle={**ASK.idle, _S.DONE: "connect()"}), docs)


def test_a_violation_leads_where_its_row_does(docs: Path) -> None:
    table = attrs.evolve(
        ASK,
        rows=(*ASK.rows, Row(_S.NEW, _I.RUBBISH, _S.DONE, ref="ends")),
        otherwise=(
            ASK.otherwise[0],
            ASK.otherwise[1],
            Otherwise((_S.ASKING,), (_I.OPENED,), Verdict.VIOLATION, "opened twice"),
            ASK.otherwise[2],
        ),
        violated=_I.RUBBISH,
    )
    assert check(table, docs) == []


# -- endless rounds, with a second timer


def two_timers(*, deadline_is_moved: bool) -> AnyTable:
    """Asks again and again by one timer, until another one ends it: if that one is left alone."""
    timers = (LinkTimer.CONNECT, LinkTimer.LINGER)
    again = timers if deadline_is_moved else timers[:1]
    return Table(
        name="two",
        page="toy",
        states=AskState,
        inputs=AskInput,
        actions=AskAction,
        timers=LinkTimer,
        initial=_S.NEW,
        terminal=(_S.DONE,),
        idle={_S.NEW: "connect()"},
        rows=(
            Row(_S.NEW, _I.CONNECT, _S.CONNECTING, arm=timers, ref="asking"),
            Row(_S.CONNECTING, _I.EXPIRED, _S.ASKING, arm=again, ref="asking"),
            Row(_S.ASKING, _I.EXPIRED, _S.CONNECTING, arm=again[:1], ref="asking"),
            Row((_S.CONNECTING, _S.ASKING), _I.EXPIRED_LAST, _S.DONE, ref="asking"),
        ),
        otherwise=(Otherwise(None, None, Verdict.IGNORE),),
        fires={LinkTimer.CONNECT: _I.EXPIRED, LinkTimer.LINGER: _I.EXPIRED_LAST},
    )


def test_a_deadline_that_is_left_alone_ends_a_round(docs: Path) -> None:
    assert "for ever" not in findings(two_timers(deadline_is_moved=False), docs)


def test_a_deadline_that_is_moved_each_round_does_not(docs: Path) -> None:
    found = findings(two_timers(deadline_is_moved=True), docs)
    assert "with a silent peer it goes on for ever in ASKING, CONNECTING, by CONNECT" in found


def test_a_round_that_never_asks_the_ladder_is_found_behind_one_that_does(docs: Path) -> None:
    """CONNECT goes round by itself; LINGER's ladder would lead out, but is armed again each time."""
    table = attrs.evolve(
        two_timers(deadline_is_moved=True),
        fires={LinkTimer.CONNECT: _I.EXPIRED, LinkTimer.LINGER: "tick"},
        ladders=(Ladder("tick", (Rung("tired", _I.EXPIRED_LAST, ref="ends"),), _I.EXPIRED),),
    )
    assert "goes on for ever in ASKING, CONNECTING, by CONNECT" in findings(table, docs)


# -- mutation


def mutants(table: AnyTable) -> Iterator[tuple[str, AnyTable]]:
    """A row less, a timer not armed, another target."""
    for number, row in enumerate(table.rows):
        name = row_name(row)
        yield f"without {name}", attrs.evolve(table, rows=table.rows[:number] + table.rows[number + 1 :])
        for timer in row.arm:
            left = tuple(other for other in row.arm if other is not timer)
            yield f"{name}: does not arm {timer.name}", with_row(table, number, arm=left)
        for state in table.states:
            if row.to is not None and state is not row.to and each(row.state) != (state,):
                yield f"{name}: to {state.name}", with_row(table, number, to=state)
        if row.to is not None and row.to not in each(row.state):
            yield f"{name}: stays", with_row(table, number, to=None)


BUDGETS = (Budget(cuts=1), Budget(losses=1), Budget(losses=1, blocks=1))
HARMLESS = {
    LINK.name: {
        "row OPENING x LOST: stays": "the link is forgotten, whatever its state says",
        "row OPEN|BLOCKED x LOST: stays": "the same",
        "without row DRAINING x BLOCKED": "who drains at once never has a link that drains and is blocked later",
        "row DRAINING x BLOCKED: to GONE": "the same",
        "row DRAINING x BLOCKED: stays": "the same",
    },
    ASK.name: {
        "row CONNECTING x OPENED: does not arm REPEAT": "it runs already",
        **dict.fromkeys(
            (
                "row ASKING x ANSWERED: to CONNECTING",
                "row ASKING x ANSWERED: stays",
                "row CONNECTING|ASKING x EXPIRED_LAST: to NEW",
                "row CONNECTING|ASKING x LOST|RUBBISH: to CONNECTING",
                "row CONNECTING|ASKING x LOST|RUBBISH: to ASKING",
                "row CONNECTING|ASKING x LOST|RUBBISH: stays",
                "row CONNECTING|ASKING x CLOSE: to CONNECTING",
                "row CONNECTING|ASKING x CLOSE: to ASKING",
                "row CONNECTING|ASKING x CLOSE: stays",
            ),
            "the session says farewell, and with it the question ends",
        ),
    },
}


def outcomes(budget: Budget, *, link: AnyTable = LINK, ask: AnyTable = ASK) -> set[Any]:
    """How it may end for a client and a server that run these tables, or what goes wrong."""
    ends: set[Any] = set()

    def note(final: Scene) -> tuple[()]:
        ends.add(tuple((final[name].told, final[name].phase, len(final[name].session._pipes)) for name in final))
        return ()

    def policy(event: Any) -> Decision:
        answer = Verb("answer", (1,))
        return ((Verb("hold", (1,)), answer), (answer,)) if isinstance(event, Asked) else ()

    links = Machine(link, objects="_pipes")
    asker = type("Asker", (Client,), {"_link": links, "_ask": Machine(ask, objects="_question")})
    answerer = type("Answerer", (Server,), {"_link": links})
    arguments = {"delays": Delays(connect=0.5), "limits": Limits(link_queue=1)}
    close: Decision = ((Verb("close"),), ())
    parties = {
        "client": Party(asker, arguments, start=(Verb("connect"),), may=() if budget.blocks else (close,)),
        "server": Party(answerer, {"decides": True, **arguments}, policy=policy, may=(close,), listens={HERE: "main"}),
    }
    report = explore(parties, budget=budget, verify=note)
    assert report.exhausted or report.violations
    return ends | {violation.complaint for violation in report.violations}


@pytest.mark.parametrize(("name", "table"), [("link", LINK), ("ask", ASK)])
def test_what_is_taken_out_of_a_table_is_missed(name: str, table: AnyTable, docs: Path) -> None:
    """By the static checks, or else by an exploration: it ends otherwise."""
    (docs / "links.rst").write_text((DOCS / "links.rst").read_text())
    budgets = BUDGETS if name == "link" else BUDGETS[:2]
    sound = {budget: outcomes(budget) for budget in budgets}
    assert not any(isinstance(end, str) for ends in sound.values() for end in ends)
    unseen = [
        what
        for what, mutant in mutants(table)
        if not check(mutant, docs) and all(outcomes(budget, **{name: mutant}) == sound[budget] for budget in budgets)
    ]
    assert set(unseen) == set(HARMLESS[table.name])


# -- charts


def test_a_diagram_draws_every_row_once() -> None:
    lines = mermaid(ASK).splitlines()
    assert lines[:3] == ["stateDiagram-v2", "    [*] --> NEW", "    NEW --> CONNECTING: CONNECT"]
    assert "    ASKING --> DONE: ANSWERED, EXPIRED_LAST, LOST, RUBBISH, CLOSE" in lines
    assert "    ASKING --> ASKING: EXPIRED" in lines
    assert lines[-1] == "    DONE --> [*]"


def test_the_rst_tables_are_well_formed_and_complete() -> None:
    text = rst_table(ASK)
    assert text.startswith(".. list-table::\n   :header-rows: 1\n\n   * - In\n     - On\n")
    assert text.count("   * -") == 2 + len(ASK.rows) + len(ASK.otherwise)
    assert text.count("     -") == 5 * (1 + len(ASK.rows)) + 3 * (1 + len(ASK.otherwise))
    assert "   * - NEW\n     - CONNECT\n     - CONNECTING\n     - DIAL\n     - +REPEAT\n     - asking\n" in text
    assert "     - -STALLED\n" in rst_table(LINK)
    assert "   * - any\n     - any\n     - IGNORE\n     - late\n" in text


def test_a_ladder_ends_with_what_is_left() -> None:
    assert ladder_rst(ASK) == (
        "Ladder *repeat*, when REPEAT fires:\n\n"
        ".. list-table::\n   :header-rows: 1\n\n"
        "   * - If it is\n     - It counts as\n     - See\n"
        "   * - tired\n     - EXPIRED_LAST\n     - repeating\n"
        "   * - else\n     - EXPIRED\n     -\n"
    )
    free = attrs.evolve(ASK, fires={_T.REPEAT: _I.EXPIRED})
    assert ladder_rst(free).startswith("Ladder *repeat*:\n")


def test_a_table_as_json_says_all_that_the_table_says(tmp_path: Path) -> None:
    named = attrs.evolve(
        ASK,
        name="toy.ask",
        violated=_I.RUBBISH,
        otherwise=(*ASK.otherwise[:2], Otherwise(None, None, Verdict.IGNORE, _I.LOST)),
    )
    write_json(tmp_path / "machine.json", document("toy", [named]))
    (test,) = validate(tmp_path / "machine.json", ROOT / "vectors" / "schema")
    assert test["rows"][6] == {
        "state": ["CONNECTING", "ASKING"],
        "input": ["LOST", "RUBBISH"],
        "next": "DONE",
        "actions": ["TELL_LOST", "HANG_UP"],
        "arm": [],
        "cancel": [],
        "ref": "ends",
    }
    assert test["ladders"] == [
        {
            "name": "repeat",
            "rungs": [{"check": "tired", "input": "EXPIRED_LAST", "ref": "repeating"}],
            "otherwise": "EXPIRED",
        }
    ]
    assert test["fires"] == [{"timer": "REPEAT", "ladder": "repeat"}]
    assert (test["violated"], test["defaults"][2]["reason"]) == ("RUBBISH", "LOST")
    assert to_json(LINK)["fires"][0] == {"timer": "CONNECT", "input": "CONNECT_EXPIRED"}
    assert to_json(LINK)["violated"] is None
