"""The wall clock of an explored party runs as far as it declares: what lapses by it is seen to lapse."""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack, unpack
from typing import Any

import attrs
import pytest
from toys import Visitor

from sansproto.contract import Address, Path
from sansproto.endpoint import DatagramEndpoint
from sansproto.events import CloseCause, Closed
from sansproto.testing._internal.subject import STARTS, Subject
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.explorer import Budget, Party, Report, Scene, Verb, explore

HOME, BOOTH = Address("192.0.2.1", 5000), Address("192.0.2.2", 8000)
EPOCH = 1.7e9


@attrs.frozen
class Limits:
    events: int = 8
    outbox: int = 8


class Booth(DatagramEndpoint[Closed, bytes]):
    """Gives a cookie to everyone who comes, and answers all who show one within half a second."""

    def __init__(self, *, wall_epoch: float) -> None:
        super().__init__(entropy=None, limits=Limits(), wall_epoch=wall_epoch, trace=None)

    def decode(self, data: bytes, path: Path) -> bytes:
        return data

    def received(self, packet: bytes, path: Path) -> None:
        if packet == b"h":
            self.send_datagram(b"t" + pack(">d", self.wall()), path)
        elif self.wall() - unpack(">d", packet[1:])[0] <= 0.5:
            self.send_datagram(b"answer", path)
        else:
            self.turn_away(path)

    def turn_away(self, path: Path) -> None:
        self.send_datagram(b"?", path)


class Silent(Booth):
    """Does not say that a cookie has expired."""

    def turn_away(self, path: Path) -> None:
        pass


def visit(kind: type[Booth], **arguments: Any) -> Report:
    """A visitor who shows his cookie again every seven seconds."""
    entropy = ScriptedEntropy(stateless=True)
    visitor = Party(Visitor, {"entropy": entropy}, (Verb("visit", (BOOTH,)),), sockets={"udp": HOME})
    horizon = arguments.pop("wall_horizon", 0.0)
    booth = Party(kind, {"wall_epoch": EPOCH}, sockets={"udp": BOOTH}, restarts=True, wall_horizon=horizon)
    return explore({"visitor": visitor, "booth": booth}, verify=visitor_is_answered, **arguments)


def visitor_is_answered(final: Scene) -> Iterator[str]:
    if final["visitor"].told[-1] != Closed(CloseCause.LOCAL):
        yield "the visitor has no answer"


def test_a_cookie_of_half_a_second_expires_where_the_wall_clock_runs() -> None:
    budget = Budget(losses=1)
    assert not visit(Silent, budget=budget).violations
    report = visit(Silent, budget=budget, wall_horizon=2.0)
    (violation,) = report.violations
    assert violation.complaint == "the visitor has no answer"
    assert sum("FAULT" in line for line in violation.path) == 1
    assert not visit(Silent, wall_horizon=2.0).violations  # nothing is lost: it is shown at once
    report = visit(Booth, budget=budget, wall_horizon=2.0)
    assert report.exhausted
    assert not report.violations, report


def test_the_report_says_where_the_wall_clock_stands_still() -> None:
    budget = Budget(losses=1)
    still = "the wall clock stands still for visitor, booth, within 1 losses; all there are"
    assert str(visit(Booth, budget=budget)).endswith(still)
    running = "the wall clock stands still for visitor, within 1 losses; all there are"
    assert str(visit(Booth, budget=budget, wall_horizon=2.0)).endswith(running)
    booth = {"booth": Party(Booth, {"wall_epoch": EPOCH}, sockets={"udp": BOOTH}, wall_horizon=1.0)}
    assert "stands still" not in str(explore(booth))


@pytest.mark.parametrize(
    ("horizon", "walls"),
    [(0.0, {0.0}), (2.0, {0.0, 2.0}), (10.0, {0.0, 7.0, 10.0}), (30.0, {0.0, 7.0, 14.0, 21.0, 28.0, 30.0})],
)
def test_elapsed_wall_time_stops_at_the_horizon(horizon: float, walls: set[float]) -> None:
    """Whatever is lost, the visitor gives up after three times; a restart of the booth sets no clock back."""
    seen: set[float] = set()

    def note(scene: Scene) -> tuple[()]:
        wall = scene["booth"].ask(Booth.wall)
        assert wall == scene["booth"].session.wall()
        seen.add(wall - EPOCH)
        return ()

    budget = Budget(losses=3, restarts=1)
    visit(Silent, budget=budget, wall_horizon=horizon, invariant=note, max_violations=10**6)
    assert seen == walls


@pytest.mark.parametrize("start", STARTS)
def test_the_wall_clock_of_a_law_says_the_same_whenever_its_run_begins(start: float) -> None:
    subject = Subject(cls=Booth, arguments=lambda entropy, trace: {"wall_epoch": EPOCH + 0.123456}, start=start)
    run = subject.run()
    for each in (run, run.fork()):
        assert each.now == start
        each.endpoint.handle_timeout(each.now)
        assert each.endpoint.wall() == EPOCH + 1000.123456


@pytest.mark.parametrize(("horizon", "complaint"), [(-1.0, "must be >= 0"), (1.0, "Booth cannot run")])
def test_a_horizon_needs_a_wall_clock(horizon: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Party(Booth, {}, wall_horizon=horizon)
