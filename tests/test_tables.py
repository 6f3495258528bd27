"""The static checks pass sound tables, and see what is wrong with others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Set
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import attrs
import pytest
from asking import (
    ASK,
    HERE,
    Asked,
    AskInput,
    AskState,
    AskTimer,
    Client,
    Delays,
    Limits,
    Question,
    Server,
)
from exploring_tables import AnyTable, Mutant, changed, explore_all, is_found, mutants, running, without

from sansproto.component import Component, Host
from sansproto.links import LINK, LinkState
from sansproto.machine import Default, Guards, Input, Outcome, Row, Table, Timer
from sansproto.snapshot import CACHED
from sansproto.testing._internal.charts import document, guards_rst, mermaid, rst_table, to_json
from sansproto.testing._internal.parties import Parties
from sansproto.testing.explorer import Budget, Decision, Insert, Party, Report, Scene, Verb, explore
from sansproto.testing.tables import check, headings
from sansproto.testing.vectors import validate, write_json

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "protocols"
TOY_PAGE = "Toy\n===\n\nAsking\n------\n\nRepeating\n~~~~~~~~~\n\nEnds\n----\n\nNot a heading\n--\n"

_S, _I, _T, _Q = AskState, AskInput, AskTimer, Question
ACTIVE = (_S.CONNECTING, _S.ASKING)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "ask.rst").write_text(TOY_PAGE)
    return tmp_path


def table(
    timers: type = AskTimer,
    classify: Callable[[Guards[Any, AskState, bytes, bytes]], object] | None = None,
    **changes: Any,
) -> AnyTable:
    """The table of the toy with other arguments; its part has the guards that ``classify`` makes, or none."""

    class Part(Component[AskState, Host[Any]]):
        delays: Annotated[Delays, CACHED]

    if classify is not None:
        classify(Guards.of(Part, AskState, bytes, "packet"))
    arguments = {
        name: getattr(ASK, name) for name in ("name", "initial", "terminal", "idle", "rows", "defaults", "violated")
    }
    return Table[Any, AskState](Part, AskInput, timers, **{**arguments, **changes})


def with_row(number: int, *, classify: Any = None, **changes: Any) -> AnyTable:
    rows = list(ASK.rows)
    rows[number] = changed(rows[number], **changes)
    return table(rows=tuple(rows), classify=classify)


def findings(of: AnyTable, docs: Path) -> str:
    return "\n".join(check(of, docs))


def test_the_links_are_sound() -> None:
    assert check(LINK, DOCS) == []


def test_the_toy_is_sound(docs: Path) -> None:
    assert check(ASK, docs) == []
    assert check(table(), docs) == []


def test_headings_are_underlined_lines(docs: Path) -> None:
    assert headings(docs / "ask.rst") == {"toy", "asking", "repeating", "ends"}


# -- one finding each

IGNORES = Default(Outcome.IGNORE, "late")
VIOLATES = Default(Outcome.VIOLATION, "unheard of")
OPENED_TWICE = Default(Outcome.VIOLATION, "opened twice", _I.OPENED, states=(_S.ASKING,))


@pytest.mark.parametrize(
    ("defaults", "rows", "complaint"),
    [
        ((), ASK.rows, r"^ask: neither row nor default for AskState\.NEW, OPENED$"),
        (ASK.defaults, (*ASK.rows, ASK.rows[0]), r"^ask: two rows for AskState\.NEW, CONNECT$"),
    ],
)
def test_a_table_that_does_not_say_what_happens_cannot_be_made(
    defaults: tuple[Default[AskState], ...], rows: tuple[Row[Any, AskState], ...], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        table(rows=rows, defaults=defaults)


@pytest.mark.parametrize(
    ("of", "finding"),
    [
        (table(name="nowhere"), "there is no page nowhere.rst"),
        (with_row(0, ref="elsewhere"), "row NEW x CONNECT: no heading 'elsewhere' in ask.rst"),
        (with_row(0, ref=""), "row NEW x CONNECT has no reference"),
        (with_row(7, states=(_S.ASKING, _S.DONE)), "row ASKING|DONE x CLOSE leaves the terminal state DONE"),
        (table(idle={_S.NEW: ""}), "nothing is named that ends the idle state NEW"),
        (table(idle={**ASK.idle, _S.DONE: "x"}), "AskState.DONE cannot be idle"),
        (table(idle={LinkState.NEW: "x"}), "LinkState.NEW cannot be idle"),
        (
            table(rows=without(ASK.rows, _S.ASKING, _I.ANSWERED)),
            "no row and no default of its own answers ANSWERED",
        ),
        (table(defaults=(*ASK.defaults, Default(Outcome.REJECT))), "default 4 (REJECT) decides nothing"),
        (table(defaults=(Default(Outcome.IGNORE),)), "default 1 (IGNORE) has no reason"),
        (table(defaults=(Default(Outcome.VIOLATION),)), "default 1 (VIOLATION) has no reason"),
        (table(rows=tuple(changed(row, arm=()) for row in ASK.rows)), "no row arms REPEAT"),
        (with_row(2, arm=(_T.REPEAT,)), "row ASKING x ANSWERED arms a timer of an object that has ended"),
        (with_row(2, cancel=(_T.REPEAT,)), "row ASKING x ANSWERED cancels a timer of an object that has ended"),
        (with_row(1, cancel=(_T.REPEAT,)), "row CONNECTING x OPENED cancels REPEAT, which it arms"),
        (table(defaults=(VIOLATES,)), "NEW x OPENED is a violation, but no input is named that follows"),
        (
            table(defaults=(VIOLATES,), violated=_I.RUBBISH),
            "NEW x OPENED is a violation, but RUBBISH does nothing there",
        ),
        (
            table(
                defaults=(VIOLATES,),
                violated=_I.RUBBISH,
                rows=(*ASK.rows, Row(_S.NEW, _I.RUBBISH, _S.DONE, when=_Q.is_tired, ref="ends")),
            ),
            "NEW x RUBBISH is a violation, but RUBBISH does nothing there",
        ),
        (table(rows=without(ASK.rows, _S.CONNECTING, _I.OPENED)), "ASKING is never reached"),
        (with_row(5, states=(_S.NEW, _S.CONNECTING)), "no timer is armed that could make NEW x EXPIRED"),
        (with_row(1, cancel=(_T.REPEAT,), arm=()), "an object can be in ASKING with no timer: it waits for ever"),
        (
            table(rows=without(ASK.rows, _S.ASKING, _I.EXPIRED)),
            "ASKING with REPEAT: REPEAT fires EXPIRED, which does nothing there",
        ),
        (
            table(rows=without(ASK.rows, _S.ASKING, _I.EXPIRED)),
            "an object can be in ASKING with no timer: it waits for ever",
        ),
        (
            table(rows=tuple(row for row in ASK.rows if row.when is None)),
            "with a silent peer it goes on for ever in ASKING, by REPEAT",
        ),
        (
            with_row(5, to=_S.CONNECTING, arm=(_T.REPEAT,)),
            "with a silent peer it goes on for ever in CONNECTING, by REPEAT",
        ),
        (
            table(idle={**ASK.idle, _S.CONNECTING: "the server"}),
            "CONNECTING is called idle, but a timer runs in it, and leads on",
        ),
        (
            table(defaults=(Default(Outcome.REJECT, "too early", _I.EXPIRED), *ASK.defaults)),
            "NEW x EXPIRED raises (REJECT), though it is made by REPEAT, by no verb",
        ),
        (
            table(classify=lambda guards: guards.give(_I.OPENED), defaults=(Default(Outcome.NOT_OPEN),)),
            "NEW x OPENED raises (NOT_OPEN), though it is made by guards 'packet', by no verb",
        ),
        (
            table(
                defaults=(Default(Outcome.VIOLATION, "twice", _I.OPENED), Default(Outcome.REJECT, "never")),
                violated=_I.RUBBISH,
            ),
            "NEW x RUBBISH raises (REJECT), though it is made by violations, by no verb",
        ),
    ],
)
def test_a_fault_is_found(of: AnyTable, finding: str, docs: Path) -> None:
    assert finding in findings(of, docs)


def test_a_state_that_nothing_leaves_is_found() -> None:
    rows = (*LINK.rows[:-1], changed(LINK.rows[-1], states=(LinkState.DRAINING, LinkState.DRAINING_BLOCKED)))
    with running(Mutant(LINK, rows)):
        assert "links.link: no way leads from ABORTING to an end" in check(LINK, DOCS)


def test_objects_of_a_table_without_an_end_need_no_way_there(docs: Path) -> None:
    endless = table(terminal=(), idle={**ASK.idle, _S.DONE: "connect()"})
    assert "no way leads" not in findings(endless, docs)


def test_a_violation_leads_where_its_row_does(docs: Path) -> None:
    violated = table(
        rows=(*ASK.rows, Row(_S.NEW, _I.RUBBISH, _S.DONE, ref="ends")),
        defaults=(*ASK.defaults[:2], OPENED_TWICE, ASK.defaults[2]),
        violated=_I.RUBBISH,
    )
    assert check(violated, docs) == []


# -- guards


class Elsewhere:
    """Inputs of the same states in another class."""

    LATE = Input[AskState, bytes]()


def read(part: Any, packet: bytes) -> bytes | None:
    return packet or None


@pytest.mark.parametrize(
    ("reason", "ref", "finding"),
    [
        ("a question", "", "ask: guard packet/is_answer has no reference"),
        ("a question", "sleep", "ask: guard packet/is_answer: no heading 'sleep' in ask.rst"),
        ("", "asking", "ask: guard packet/is_answer drops without a reason"),
    ],
)
def test_a_fault_of_guards_is_found(reason: str, ref: str, finding: str, docs: Path) -> None:
    of = table(classify=lambda guards: guards.need(_Q.is_answer, reason, ref=ref).give(_I.ANSWERED))
    assert check(of, docs) == [finding]


def test_guards_that_give_an_input_of_another_class_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^ask: guards 'packet': LATE stands in another class$"):
        table(classify=lambda guards: guards.give(Elsewhere.LATE))


def test_a_step_that_can_decide_nothing_is_found(docs: Path) -> None:
    """What a step before it asked is known, unless another value was made since."""

    def classify(guards: Guards[Any, AskState, bytes, bytes], *, makes: bool) -> None:
        guards = guards.need(_Q.is_answer, "a question", ref="asking").need(_Q.is_tired, "early", ref="asking")
        guards = guards.make(read, "empty", ref="asking") if makes else guards
        guards.give_if(_Q.is_answer, _I.ANSWERED, ref="asking").give(_I.ANSWERED)

    assert check(table(classify=partial(classify, makes=True)), docs) == []
    found = check(table(classify=partial(classify, makes=False)), docs)
    assert found == ["ask: guard packet/is_answer asks what a step before it asked"]


def test_what_guards_give_needs_no_timer(docs: Path) -> None:
    """That an input is posted by a timer does not mean that nothing else makes it."""
    states = (_S.NEW, _S.CONNECTING)
    never = "ask: row NEW|CONNECTING x EXPIRED: no timer is armed that could make NEW x EXPIRED"
    assert check(with_row(5, states=states), docs) == [never]
    expired: Any = _I.EXPIRED
    assert check(with_row(5, states=states, classify=lambda guards: guards.give(expired)), docs) == []


# -- endless rounds, with a second timer


class Two:
    AGAIN = Timer(AskInput.EXPIRED, Delays.repeat)
    LAST = Timer(AskInput.LOST, Delays.connect)


def two_timers(*rows: Row[Any, AskState], deadline_is_moved: bool) -> AnyTable:
    """Asks again and again by one timer, until another one ends it: if that one is left alone."""
    both = (Two.AGAIN, Two.LAST)
    return table(
        Two,
        rows=(
            Row(_S.NEW, _I.CONNECT, _S.CONNECTING, arm=both, ref="asking"),
            Row(_S.CONNECTING, _I.EXPIRED, _S.ASKING, arm=both if deadline_is_moved else both[:1], ref="asking"),
            Row(_S.ASKING, _I.EXPIRED, _S.CONNECTING, arm=both[:1], ref="asking"),
            *(rows or [Row(ACTIVE, _I.LOST, _S.DONE, ref="ends")]),
        ),
        defaults=(Default(Outcome.IGNORE, "late"),),
    )


def test_a_deadline_that_is_left_alone_ends_a_round(docs: Path) -> None:
    assert "for ever" not in findings(two_timers(deadline_is_moved=False), docs)


def test_a_deadline_that_is_moved_each_round_does_not(docs: Path) -> None:
    found = findings(two_timers(deadline_is_moved=True), docs)
    assert "with a silent peer it goes on for ever in ASKING, CONNECTING, by AGAIN" in found


def test_a_round_without_a_condition_is_found_behind_one_that_a_condition_ends(docs: Path) -> None:
    """AGAIN goes round by itself; the condition on LAST would lead out, but LAST is armed again each time."""
    of = two_timers(
        Row(ACTIVE, _I.LOST, _S.DONE, when=_Q.is_tired, ref="ends"),
        Row(_S.CONNECTING, _I.LOST, _S.ASKING, arm=(Two.AGAIN, Two.LAST), ref="ends"),
        Row(_S.ASKING, _I.LOST, _S.CONNECTING, arm=(Two.LAST,), ref="ends"),
        deadline_is_moved=True,
    )
    assert "goes on for ever in ASKING, CONNECTING, by AGAIN\n" in findings(of, docs) + "\n"


# -- mutation


def variants(of: AnyTable) -> Iterator[tuple[str, Mutant]]:
    """A row or step less, a timer not armed, another target."""
    yield from mutants(of)
    for number, row in enumerate(of.rows):
        for what, changes in changes_of(of, row):
            rows = (*of.rows[:number], changed(row, **changes), *of.rows[number + 1 :])
            yield f"{of.name}: {row!r}: {what}", Mutant(of, rows)


def whose(variant: str) -> str:
    """The name of the row or step that it is a variant of."""
    return ": ".join(variant.split(": ")[:2])


def changes_of(of: AnyTable, row: Row[Any, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for timer in row.arm:
        yield f"does not arm {timer.name}", {"arm": tuple(other for other in row.arm if other is not timer)}
    for state in of.states:
        if row.to is not None and state is not row.to and row.states != (state,):
            yield f"to {state.name}", {"to": state}
    if row.to is not None and row.to not in row.states:
        yield "stays", {"to": None}


BUDGETS = (Budget(cuts=1), Budget(losses=1))
HARMLESS = {
    LINK.name: {
        "row OPENING x LOST: stays": "the link is forgotten, whatever its state says",
        "row OPEN|BLOCKED x LOST: stays": "the same",
        "row DRAINING x BLOCKED": "who drains at once never has a link that drains and is blocked later",
        "row DRAINING x BLOCKED: to GONE": "the same",
        "row DRAINING x BLOCKED: stays": "the same",
    },
    ASK.name: {
        "row CONNECTING x OPENED: does not arm REPEAT": "it runs already",
        **dict.fromkeys(
            (
                "row ASKING x ANSWERED: to CONNECTING",
                "row ASKING x ANSWERED: stays",
                "row ASKING x EXPIRED when is_tired: to NEW",
                "row CONNECTING x EXPIRED: to NEW",
                "row CONNECTING|ASKING x LOST|RUBBISH: to CONNECTING",
                "row CONNECTING|ASKING x LOST|RUBBISH: to ASKING",
                "row CONNECTING|ASKING x LOST|RUBBISH: stays",
                "row CONNECTING|ASKING x CLOSE: to CONNECTING",
                "row CONNECTING|ASKING x CLOSE: to ASKING",
                "row CONNECTING|ASKING x CLOSE: stays",
            ),
            "the session closes, and with it the question ends",
        ),
    },
}


@attrs.frozen
class Meeting:
    """A client and a server. What is compared is how it may end for them, or what goes wrong."""

    budget: Budget

    @property
    def parties(self) -> Mapping[str, Party]:
        def policy(event: Any) -> Decision:
            answer = Verb("answer", (1,))
            return ((Verb("hold", (1,)), answer), (answer,)) if isinstance(event, Asked) else ()

        arguments = {"delays": Delays(connect=0.5), "limits": Limits(link_queue=1)}
        close: Decision = ((Verb("close"),), ())
        may = () if self.budget.blocks else (close,)
        deciding = {"decides": True, **arguments}
        return {
            "client": Party(Client, arguments, start=(Verb("connect"),), may=may),
            "server": Party(Server, deciding, policy=policy, may=(close,), listens={HERE: "main"}),
        }

    def run(
        self, max_states: int = 200_000, *, parties: Parties | None = None, expected: Set[Hashable] | None = None
    ) -> tuple[Report, set[Hashable]]:
        ends: set[Hashable] = set()

        def note(final: Scene) -> Iterator[str]:
            end = tuple((final[name].told, final[name].phase, len(final[name].session.links)) for name in final)
            ends.add(end)
            if expected is not None and end not in expected:
                yield "another end"

        report = explore(
            parties or self.parties,
            budget=self.budget,
            verify=note,
            inserts=[Insert("client", b"?")],
            max_states=max_states,
        )
        return report, ends | {violation.complaint for violation in report.violations}


@pytest.mark.parametrize("budget", [*BUDGETS, Budget(losses=1, blocks=1), Budget(inserts=1)], ids=str)
def test_whole_tables_lead_to_an_end(budget: Budget) -> None:
    report, ends = Meeting(budget).run()
    assert report.exhausted
    assert not any(isinstance(end, str) for end in ends)


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("of", "budgets"),
    [(LINK, (*BUDGETS, Budget(losses=1, blocks=1))), (ASK, (*BUDGETS, Budget(inserts=1)))],
    ids=["link", "ask"],
)
def test_what_is_taken_out_of_a_table_is_missed(of: AnyTable, budgets: tuple[Budget, ...], docs: Path) -> None:
    """By the static checks, or else by an exploration: it ends otherwise."""
    (docs / "links.rst").write_text((DOCS / "links.rst").read_text())
    known = explore_all(map(Meeting, budgets), [of], (Client, Server))
    unseen = set()
    for name, mutant in variants(of):
        if not is_found(mutant, docs):
            with running(mutant):
                if not any(one.changes(whose(name)) for one in known):
                    unseen.add(name.removeprefix(f"{of.name}: "))
    assert unseen == set(HARMLESS[of.name])


@pytest.mark.unmeasured
def test_what_a_mutant_has_nothing_to_do_with_is_remembered() -> None:
    """To compute all of it again gives the same."""
    (known,) = explore_all([Meeting(Budget())], [LINK], (Client, Server))
    noticed = []
    for name, mutant in mutants(LINK):
        with suppress(ValueError), running(mutant):  # what is no longer total does not run
            report, ends = known.exploration.run(parties=Parties(known.exploration.parties))
            noticed.append(ends != known.ends or not report.exhausted)
            assert known.changes(name) is noticed[-1], name
    assert {*noticed} == {True, False}


# -- charts


def test_a_diagram_draws_every_row_once() -> None:
    lines = mermaid(ASK).splitlines()
    assert lines[:3] == ["stateDiagram-v2", "    [*] --> NEW", "    NEW --> CONNECTING: CONNECT"]
    assert "    ASKING --> DONE: ANSWERED, EXPIRED, LOST, RUBBISH, CLOSE" in lines
    assert "    ASKING --> ASKING: EXPIRED" in lines
    assert lines[-1] == "    DONE --> [*]"


def test_the_rst_tables_are_well_formed_and_complete() -> None:
    text = rst_table(ASK)
    assert text.startswith(".. list-table::\n   :header-rows: 1\n\n   * - In\n     - On\n")
    assert text.count("   * -") == 2 + len(ASK.rows) + len(ASK.defaults)
    assert text.count("     -") == 5 * (1 + len(ASK.rows)) + 3 * (1 + len(ASK.defaults))
    assert "   * - NEW\n     - CONNECT\n     - CONNECTING\n     - dial\n     - +REPEAT\n     - asking\n" in text
    assert "   * - ASKING\n     - EXPIRED, if tired\n     - DONE\n     - tell timeout\n" in text
    assert "     - -STALLED\n" in rst_table(LINK)
    assert "   * - any\n     - any\n     - IGNORE\n     - late\n" in text


def test_a_table_that_has_a_row_for_every_pair_lists_no_defaults() -> None:
    every = Row(tuple(_S), _I.CONNECT | _I.OPENED, ref="asking")
    rest = Row(tuple(_S), _I.ANSWERED | _I.RUBBISH | _I.EXPIRED | _I.LOST | _I.CLOSE, ref="ends")
    assert "Without a row" not in rst_table(table(rows=(every, rest), defaults=()))


def test_guards_are_listed_with_the_outcome_of_each_step() -> None:
    of = table(
        classify=lambda guards: (
            guards.make(read, "empty", ref="ends").give_if(_Q.is_answer, _I.ANSWERED, ref="asking").give(_I.ANSWERED)
        )
    )
    assert guards_rst(of) == (
        "Guards *packet*:\n\n"
        ".. list-table::\n   :header-rows: 1\n\n"
        "   * - Step\n     - Outcome\n     - See\n"
        "   * - read\n     - dropped if not: empty\n     - ends\n"
        "   * - answer?\n     - ANSWERED\n     - asking\n"
        "   * - otherwise\n     - ANSWERED\n     -\n"
    )
    assert guards_rst(table()) == ""


def test_a_table_as_json_says_all_that_the_table_says(tmp_path: Path) -> None:
    named = table(
        name="toy.ask",
        violated=_I.RUBBISH,
        defaults=(*ASK.defaults[:2], OPENED_TWICE, ASK.defaults[2]),
        classify=lambda guards: guards.need(_Q.is_answer, "a question", ref="asking").give(_I.ANSWERED),
    )
    write_json(tmp_path / "machine.json", document("toy", [named]))
    (test,) = validate(tmp_path / "machine.json", ROOT / "vectors" / "schema")
    assert test["rows"][6] == {
        "state": ["CONNECTING", "ASKING"],
        "input": ["LOST", "RUBBISH"],
        "when": None,
        "next": "DONE",
        "actions": ["tell_lost"],
        "arm": [],
        "cancel": [],
        "ref": "ends",
    }
    assert (test["rows"][3]["when"], test["actions"][:2]) == ("is_tired", ["dial", "ask"])
    assert test["guards"] == [
        {
            "name": "packet",
            "steps": [
                {"step": "is_answer", "input": None, "drop": "a question", "ref": "asking"},
                {"step": "otherwise", "input": "ANSWERED", "drop": None, "ref": ""},
            ],
        }
    ]
    assert test["fires"] == [{"timer": "REPEAT", "input": "EXPIRED"}]
    assert test["violated"] == "RUBBISH"
    assert test["defaults"][2] == {
        "states": ["ASKING"],
        "inputs": ["OPENED"],
        "outcome": "VIOLATION",
        "reason": "opened twice",
    }
    assert test["defaults"][3]["states"] is test["defaults"][3]["inputs"] is None
    assert to_json(LINK)["violated"] is None
