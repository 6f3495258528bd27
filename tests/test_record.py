"""What an endpoint did can be written down, checked against the schema of vectors, and played back."""

from __future__ import annotations

from enum import Enum
from pathlib import Path as File
from typing import Any

import attrs
import pytest
from asking import ASK, HERE, AskInput, AskState, Client, Pinger, Server
from exploring_tables import Mutant, running, without

from sansproto.contract import Address, Link, Path
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.explorer import Budget, Insert, Party, Verb, explore
from sansproto.testing.record import Coverage, Recorder, Step, lively, plain, replay, script_of
from sansproto.testing.vectors import validate, write_json

ROOT = File(__file__).parents[1]
PEER = Address("192.0.2.1", 50000)


class Drained(Recorder):
    """Has everything that comes out popped before the next input."""

    def _finish(self) -> None:
        while self.next_event() is not None or self.next_transmit() is not None:
            pass
        super()._finish()


def asking() -> list[Step]:
    """A client whose first question gets no answer, and that is asked for too much."""
    recorder = Drained(Client())
    recorder.connect(0.0, to=HERE)
    recorder.stream_opened(Link(1), 0.25)
    with pytest.raises(LocalProtocolError):
        recorder.connect(0.5)
    recorder.stream_blocked(Link(1), 0.75)
    recorder.stream_unblocked(Link(1), 1.0)
    recorder.handle_timeout(1.2504)
    recorder.receive_data(Link(1), b"!", 1.5)
    recorder.stream_lost(Link(1), 1.75)
    with pytest.raises(NotOpen):
        recorder.connect(2.0)
    recorder.abort()
    return recorder.steps


def serving() -> list[Step]:
    recorder = Drained(Server(decides=True))
    link = recorder.stream_accepted("main", PEER, 0.0)
    recorder.receive_data(link, b"?", 0.125)
    recorder.answer(link, 0.25)
    other = recorder.stream_accepted("main", PEER, 0.375)
    recorder.answer(other, 0.5)
    recorder.receive_eof(link, 0.5)
    recorder.transport_lost(0.75, detail="unplugged")
    return recorder.steps


def pinging() -> list[Step]:
    recorder = Drained(Pinger())
    recorder.ping("b", 0.0)
    recorder.looked_up(1, (Address("192.0.2.2", 9),), 1.0)
    path = Path("udp", "192.0.2.2", 9, 3)
    recorder.socket_bound("udp", PEER, 1.0)
    recorder.receive_datagram(b"pong", path, 2.0)
    recorder.datagram_failed(path, 2.0, detail="no route")
    recorder.abort()
    return recorder.steps


SCRIPTS = [(asking, Client), (serving, lambda: Server(decides=True)), (pinging, Pinger)]


@pytest.mark.parametrize(("script", "make"), SCRIPTS)
def test_what_was_recorded_can_be_replayed(script: Any, make: Any) -> None:
    assert replay(script(), make()) == []


@pytest.mark.parametrize("script", [script for script, _ in SCRIPTS])
def test_recorded_steps_are_a_session_vector(script: Any, tmp_path: File) -> None:
    test = {"tcId": 1, "comment": "", "flags": [], "result": "valid", "config": {}, "entropy": {}, "steps": script()}
    group = {
        "type": "toy.any",
        "source": {"name": "sansproto", "version": "0", "provenance": "self"},
        "requires": [],
        "tests": [test],
    }
    document = {
        "schema": "session",
        "protocol": "toy",
        "schemaVersion": 1,
        "notes": {},
        "numberOfTests": 1,
        "testGroups": [group],
    }
    write_json(tmp_path / "session.json", document)
    (loaded,) = validate(tmp_path / "session.json", ROOT / "vectors" / "schema")
    assert loaded["steps"] == test["steps"]


def test_a_step_says_all_that_came_of_an_input() -> None:
    steps = asking()
    assert steps[0] == {
        "t": 0,
        "call": "connect",
        "args": {"to": {"host": "192.0.2.9", "port": 7}},
        "returns": "connecting",
        "out": {
            "transmits": [{"kind": "OpenStream", "link": 1, "address": {"host": "192.0.2.9", "port": 7}}],
            "next_timeout": 1000,
            "phase": "OPENING",
        },
    }
    assert steps[2]["raises"] == "LocalProtocolError"
    assert [step["t"] for step in steps] == [0, 250, 500, 750, 1000, 1250, 1500, 1750, 2000, 2000]
    assert steps[7]["out"]["events"] == [{"kind": "Answered", "again": 2}, {"kind": "Closed", "cause": "LOCAL"}][1:]


def test_bytes_for_a_link_count_as_one_however_they_are_cut() -> None:
    recorder = Drained(Server())
    link = recorder.stream_accepted("main", PEER, 0.0)
    recorder.receive_data(link, b"?????", 0.0)
    assert recorder.next_transmit().data == b"!!!!!"
    steps = recorder.steps
    pieces = [{"kind": "SendBytes", "link": 1, "data": data} for data in ("21", "212121", "21")]
    steps[1]["out"]["transmits"] = pieces
    assert replay(steps, Server()) == []
    assert recorder.steps[1]["out"]["transmits"] == [{"kind": "SendBytes", "link": 1, "data": "2121212121"}]
    steps[1]["out"]["transmits"] = pieces[:2]
    assert len(replay(steps, Server())) == 1


def test_questions_are_passed_on_and_leave_no_trace() -> None:
    recorder = Recorder(Client())
    assert recorder.timers() == {}
    assert recorder.phase.name == "NEW"
    assert len(recorder.links) == 0
    assert recorder.steps == []


def test_what_comes_out_late_belongs_to_the_last_input() -> None:
    recorder = Recorder(Server())
    link = recorder.stream_accepted("main", PEER, 0.0)
    recorder.receive_data(link, b"?", 0.0)
    assert "transmits" not in recorder.steps[1]["out"]
    recorder.next_transmit()
    assert recorder.steps[1]["out"]["transmits"] == [{"kind": "SendBytes", "link": 1, "data": "21"}]


@pytest.mark.parametrize(
    ("number", "change", "difference"),
    [
        (1, {"returns": "nothing"}, "step 1: returns: expected nothing, got connecting"),
        (3, {"raises": "NotOpen"}, "step 3: raises: expected NotOpen, got LocalProtocolError"),
        (2, {"out": {"next_timeout": 1250, "phase": "OPENING", "events": [{"kind": "X"}]}}, "events"),
        (2, {"out": {"next_timeout": 1249, "phase": "OPENING"}}, "step 2: next_timeout: expected 1249, got 1250"),
        (2, {"out": {"next_timeout": 1250, "phase": "OPEN"}}, "step 2: phase: expected OPEN, got OPENING"),
        (
            4,
            {"out": {"next_timeout": 1250, "phase": "OPENING", "transmits": [{"kind": "CloseWrite", "link": 1}]}},
            "transm",
        ),
    ],
)
def test_a_replay_tells_every_difference(number: int, change: dict[str, Any], difference: str) -> None:
    steps = asking()
    steps[number - 1] = {**steps[number - 1], **change}
    assert any(difference in text for text in replay(steps, Client()))


def test_a_replay_tells_a_wrong_link() -> None:
    steps = serving()
    steps[0]["accepted"]["link"] = 2
    assert replay(steps, Server(decides=True)) == ["step 1: link: expected 2, got 1"]


def test_another_machine_does_not_pass_for_the_recorded_one() -> None:
    steps = asking()
    with running(Mutant(ASK, without(ASK.rows, AskState.ASKING, AskInput.EXPIRED))):
        assert any("step 6: transmits" in text for text in replay(steps, Client()))


def test_named_draws_become_a_script() -> None:
    entropy = ScriptedEntropy(seed=b"1")
    drawn = [entropy(2, purpose="x"), entropy(2, purpose="y"), entropy(2, purpose="x")]
    script = script_of(entropy.draws)
    assert script == {"x": [drawn[0].hex(), drawn[2].hex()], "y": [drawn[1].hex()]}


class Colour(Enum):
    RED = 0


@attrs.frozen
class Paint:
    colour: Colour
    key: bytes | None = None


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (b"\x01", bytes, "01"),
        (Colour.RED, Colour, "RED"),
        (Paint(Colour.RED), Paint, {"colour": "RED"}),
        (Paint(Colour.RED, b"k"), Paint, {"colour": "RED", "key": "6b"}),
        ((Colour.RED,), tuple[Colour, ...], ["RED"]),
        ([1, True, None, "x"], list[Any], [1, True, None, "x"]),
        ({"a": b""}, dict[str, bytes], {"a": ""}),
        (None, Paint | None, None),
        (Link(3), Link, 3),
    ],
)
def test_values_become_json_and_come_back(value: Any, kind: Any, text: Any) -> None:
    assert plain(value) == text
    assert isinstance(value, dict) or lively(text, kind) == value


def test_a_value_without_a_form_is_refused() -> None:
    with pytest.raises(TypeError, match=r"0\.5 has no form in a vector"):
        plain(0.5)


def test_coverage_names_the_rows_and_steps_that_nothing_hit() -> None:
    coverage = Coverage()
    recorder = Recorder(Client(trace=coverage))
    recorder.connect(0.0)
    recorder.stream_opened(Link(1), 0.5)
    recorder.receive_data(Link(1), b"?", 0.5)
    recorder.handle_timeout(1.5)
    assert coverage.missing([ASK]) == [
        "ask: row ASKING x ANSWERED",
        "ask: row ASKING x EXPIRED when is_tired",
        "ask: row CONNECTING x EXPIRED",
        "ask: row CONNECTING|ASKING x LOST|RUBBISH",
        "ask: row CONNECTING|ASKING x CLOSE",
        "ask: guard packet/otherwise",
    ]
    assert "ask: guard packet/is_answer" in Coverage().missing([ASK])


def test_an_exploration_covers_what_no_single_script_does() -> None:
    coverage = Coverage()
    asker = Party(Client, {"trace": coverage}, start=(Verb("connect"),), may=(((Verb("close"),), ()),))
    server = Party(Server, {}, listens={HERE: "main"})
    budget = Budget(losses=1, cuts=1, early=1, inserts=1)
    explore({"client": asker, "server": server}, budget=budget, inserts=[Insert("client", b"?")])
    assert coverage.missing([ASK]) == []
