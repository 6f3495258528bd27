"""What is shown of a transfer is true: it begins with a yes, what stands still is told, and a bar fits."""

from __future__ import annotations

import io
import json
import signal
import time
from pathlib import Path

import pytest
from cli_commands import Place, failed
from rich.console import Console

from sansproto_cli import progress
from sansproto_cli.progress import Bar, Look, Pace, in_width, in_words


def _big(place: Place) -> Path:
    path = place.folder / "big"
    path.write_bytes(bytes(20_000_000))
    return path


# -- the question ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGINT, (10, "it was stopped")), (signal.SIGKILL, (7, "start both sides again"))],
)
def test_a_sender_that_leaves_ends_the_question(place: Place, number: signal.Signals, told: tuple[int, str]) -> None:
    path = place.folder / "small"
    path.write_bytes(b"1")
    sender, receiver = place.send(path), place.receive(stdin=None)
    receiver.wait_for("[Y/n]")
    sender.signal(number)
    failed(receiver.wait(), *told)  # though nobody has typed anything
    assert place.received == []


def test_a_sender_that_waited_long_enough_says_so_to_who_still_thinks(place: Place) -> None:
    sender, receiver = place.send(_big(place), "--timeout", 3), place.receive(stdin=None)
    receiver.wait_for("[Y/n]")
    failed(receiver.wait(), 10, "Nobody said yes in 3 s")
    failed(sender.wait(), 3, "Nobody said yes in 3 s")


def test_clock_and_bar_begin_with_the_yes(place: Place) -> None:
    sender, receiver = place.send(_big(place), "--json"), place.receive("--json", stdin=None)
    receiver.wait_for("offered")
    sender.wait_for("asked")
    time.sleep(1.0)
    assert b"progress" not in sender.output + receiver.output
    typed = time.monotonic()
    receiver.type("y")
    received, sent = receiver.wait(), sender.wait()
    passed = time.monotonic() - typed
    assert (sent.code, received.code) == (0, 0)
    names = [event["event"] for event in sent.events]
    assert names.index("asked") < names.index("accepted") < names.index("progress")
    assert sent.event("progress")["done"] == received.event("progress")["done"] == 0
    for result in (sent, received):
        assert result.event("finished")["seconds"] <= passed


def test_a_stall_is_told_within_two_seconds(place: Place) -> None:
    sender = place.send("-", stdin=None)
    receiver = place.receive("-y", "--json")
    sender.type("one")
    receiver.wait_for("progress")
    receiver.wait_for('"stalled": true')
    sender.wait_for("stalled: nothing moves")
    sender.end_input()
    events = receiver.wait().events
    stalled = [event for event in events if event.get("stalled")]
    assert stalled[0]["rate"] == 0
    assert stalled[0]["seconds_left"] is None


def test_what_the_transport_has_not_taken_is_not_told_as_sent(place: Place) -> None:
    """The receiver is stopped, and the sender has its buffers full."""
    path = place.folder / "big"
    path.write_bytes(bytes(60_000_000))
    sender, receiver = place.send(path, "--no-compress", "--json"), place.receive("--json", stdin=None)
    receiver.wait_for("offered")
    receiver.type("y")
    sender.wait_for("progress")
    receiver.signal(signal.SIGSTOP)
    sender.wait_for('"stalled": true')
    stalled = next(json.loads(line) for line in sender.output.splitlines() if b'"stalled": true' in line)
    receiver.signal(signal.SIGCONT)
    assert receiver.wait().code == sender.wait().code == 0
    assert stalled["done"] < 60_000_000


# -- the pace ----------------------------------------------------------------------------------------------------------


class _Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)

    def __call__(self, seconds: float) -> None:
        self.now += seconds


def test_the_rate_is_that_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = _Clock(monkeypatch), Pace(0.5)
    assert pace.look(0, 100_000) == Look(0, 100_000, 0.0, None, False)
    assert pace.look(1, 100_000) is None
    done = 0
    for _ in range(100):
        clock(0.1)
        done += 100
        look = pace.look(done, 100_000)
    clock(0.5)
    look = pace.look(done, 100_000)
    assert look is not None
    assert 700 < look.rate < 1000
    assert look.left == (100_000 - done) / look.rate


def test_it_is_told_when_it_begins_to_stand_still_and_when_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = _Clock(monkeypatch), Pace(60.0)
    pace.look(0, 10)
    clock(0.1)
    assert pace.look(5, 10) is None
    clock(1.4)
    assert pace.look(5, 10) is None
    clock(0.2)
    look = pace.look(5, 10)
    assert look is not None
    assert (look.stalled, look.rate, look.left) == (True, 0.0, None)
    assert "stalled" in in_words(look)
    clock(10.0)
    assert pace.look(5, 10) is None
    again = pace.look(6, 10)
    assert again is not None
    assert (again.stalled, again.rate, again.left) == (False, 0.0, None)
    assert in_words(again) == "60 % of 10 bytes"
    clock(0.5)
    soon = pace.look(8, 10)
    assert soon is not None
    assert (soon.rate, soon.left) == (4.0, 0.5)  # of the half second since it goes on
    pace.look(10, 10)
    clock(10.0)
    assert pace.look(10, 10) is None  # all is there


# -- the bar -----------------------------------------------------------------------------------------------------------

_LOOKS = [
    Look(0, 0, 0.0, None, False),
    Look(0, 1, 0.0, None, False),
    Look(10**12, 10**13, 10**9, 86_400.0, False),
    Look(999_999, 1_000_000, 12_345.6, 0.1, False),
    Look(1, 2, 0.0, None, True),
    Look(123_456, None, 1000.0, None, False),
    Look(123_456, None, 0.0, None, True),
]


@pytest.mark.parametrize("look", _LOOKS)
@pytest.mark.parametrize("width", [10, 20, 29, 30, 79, 200])
def test_a_bar_fits(look: Look, width: int) -> None:
    line = in_width(look, width)
    assert len(line) <= width
    assert ("stalled" in line) == look.stalled or width < 20
    if look.total is not None and width >= 20:
        assert "%" in line
    if look.total is not None and width >= 29:
        assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in line or "\N{BOX DRAWINGS LIGHT HORIZONTAL}" in line
        assert "/s" in line or look.stalled


@pytest.mark.parametrize("columns", [30, 100])
def test_a_bar_is_as_wide_as_the_terminal_is_now(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, out = _Clock(monkeypatch), io.StringIO()
    bar = Bar(Console(file=out, force_terminal=True, width=100))
    bar.show(0, 100)
    monkeypatch.setattr(progress, "_width", lambda console: columns)
    clock(1.0)
    bar.show(50, 100)
    bar.clear()
    first, second, last = out.getvalue().split("\r\x1b[J")[1:]
    assert len(second.rstrip("\r")) < columns
    assert first.endswith("\r")
    assert second.endswith("\r")
    assert last == "\x1b[?25h"
