"""The scenarios S51 to S97 of docs/protocols/recovery.rst, as ends of Freenet come through them."""

from __future__ import annotations

from typing import Any

from freenet_world import at, lost, told
from scripted_freenet import GATE, JOIN
from stage_freenet import FAR, Stage, nth, numbers_at
from stories_freenet import NOTICED, Story, settled

from sansproto.contract import Path
from sansproto.freenet import Confirmed, Connected, MessageReceived, PathConflict, PeerLost
from sansproto.testing.network import Node

STORIES: dict[str, Story] = {}


def story(*names: str) -> Any:
    def keep(told: Story) -> Story:
        STORIES.update(dict.fromkeys(names, told))
        return told

    return keep


@story("S54", "S85")
def replays_do_not_hurry_a_call() -> None:
    """Of the intros of a peer that is called: ours leaves once for each of them, and for none from elsewhere."""
    sent = []
    for source in (None, FAR, "peer"):
        stage = Stage()
        b, a = stage.callers()
        stage.record()
        for _ in range(3):
            a.restart(stage.new_peer(JOIN), silent=True)
            stage.call(a, b)
            stage.net.run(3.0)
        intros, path = stage.sent(a), at(a)
        a.stop(silent=True)
        b.restart(stage.new_peer(GATE), silent=True)
        stage.recorded.clear()
        b.call(lambda now, b=b, path=path: b.endpoint.connect(JOIN.public, path, now))  # type: ignore[misc]
        if source is not None:
            stage.storm(intros, b, lambda _, source=source, path=path: path if source == "peer" else FAR, 10.0, 30.0)  # type: ignore[misc]
        stage.net.run(30.0)
        sent.append(stage.count(b))
    quiet, elsewhere, there = sent
    assert elsewhere == quiet
    assert there <= quiet + 300


@story("S56", "S89")
def restart_behind_the_answer() -> None:
    """B restarts between its answer and A's: A is connected, not confirmed, and finds out. Or B does so each time, and
    A does not call it all the time."""
    stage = Stage()
    b, a = stage.gateway(), stage.peer()
    stage.join(a, b)
    stage.until(lambda: bool(b.endpoint.offered), 1.0)
    stage.restart_gateway(b)
    stage.until(lambda: bool(told(a, Confirmed)), NOTICED)
    stage = Stage()
    b, a = stage.gateway(), stage.peer()
    stage.record()

    def tap(sender: Node[Any], data: bytes, path: Path) -> None:
        if sender is b and b.endpoint.offered:
            stage.net.after(0.001, lambda: stage.restart_gateway(b))

    stage.taps.append(tap)
    stage.join(a, b)
    stage.net.run(60.0)
    assert stage.count(a) <= 40


@story("S57", "S79")
def faster_copies_of_one_that_moves() -> None:
    stage = Stage(latency=0.1)
    b, a = stage.talking()
    stage.race(a, b)
    stage.move(a)
    stage.until(nth(a, 2), NOTICED)
    settled(stage, a, b, 1.0)
    assert numbers_at(b, a) == [2]


@story("S63")
def end_and_connect_at_once() -> None:
    stage = Stage()
    b, a = stage.talking()
    a.call(lambda now: a.endpoint.disconnect(at(b), now))
    stage.join(a, b)
    stage.until(nth(a, 2), 0.2)
    settled(stage, a, b, 0.5)
    assert [(one.generation, one.replaced) for one in told(b, PeerLost)] == [(1, True)]


@story("S65")
def a_listener_is_left() -> None:
    """There is no goodbye: silence says it."""
    stage = Stage()
    b, a = stage.pair()
    stage.net.run(10.0)
    a.call(lambda now: a.endpoint.disconnect(at(b), now))
    stage.until(lambda: lost(b) == [1], 130.0)
    stage.record()
    stage.net.run(60.0)
    assert not stage.recorded


@story("S71", "S74")
def reports_for_ever() -> None:
    """That the host slept, or is in another network: whatever it says, few pings and no intros follow."""
    for report in ("network_changed", "resumed"):
        stage = Stage()
        _b, a = stage.talking()
        more: dict[str, Any] = {"asleep": 3600.0} if report == "resumed" else {}
        pings = a.endpoint.by_number[1].generations[1].sending.sent
        before = pings.end - len([text for text in stage.said if text.startswith(b"10.0.0.2")])
        stage.record()
        stage.each(0.02, lambda: a.call(lambda now: getattr(a.endpoint, report)(now, **more)), 60.0)  # noqa: B023
        stage.net.run(65.0)
        after = pings.end - len([text for text in stage.said if text.startswith(b"10.0.0.2")])
        assert stage.lost() == []
        assert stage.count(a) == 0
        assert after - before <= 130


@story("S88")
def confirm_of_a_dead_process() -> None:
    """It is held back until the next process of A is up. It begins a session that nobody has: A's is not touched."""
    stage = Stage()
    b, a = stage.gateway(), stage.peer()
    held: list[bytes] = []
    stage.taps.append(lambda sender, data, path: sender is a and data[0] == 2 and not held.append(data))  # type: ignore[func-returns-value]
    stage.join(a, b)
    stage.net.run(0.3)
    stage.taps.clear()
    assert held
    stage.restart(a, b, JOIN)
    stage.talk(a, b)
    stage.talk(b, a)
    stage.until(nth(b, 1), 0.2)
    for data in held:
        stage.inject(b, data, at(a))
    stage.net.run(2.0)
    assert [(one.generation, one.other) for one in told(b, PathConflict)] == [(1, 2)]
    b.call(lambda now: b.endpoint.end_session(2, now))  # or it is silent for 120 s
    settled(stage, a, b, 2.0)
    assert lost(b) == []


@story("S90", "S95")
def early_data_and_another_process() -> None:
    """What A said in its session went to a process of B that is gone: nothing of it is heard by the next one."""
    stage = Stage()
    b, a = stage.gateway(), stage.peer()
    stage.join(a, b)
    stage.until(nth(a, 1), 1.0)
    stage.speak(a, b)
    stage.restart_gateway(b)
    first = stage.speak(a, b)
    stage.until(nth(a, 2), NOTICED)
    (gone,) = told(a, PeerLost)
    assert first in gone.undelivered
    second = stage.speak(a, b)
    stage.net.run(5.0)
    assert [one.data for one in told(b, MessageReceived)] == [second]


@story("S96")
def silence_is_measured_while_it_is_watched() -> None:
    """One talks, and the other one says nothing but receipts: nobody is asked, and nobody called."""
    for latency in (0.01, 0.15):
        for speaks in range(2):
            stage = Stage(latency=latency)
            pair = stage.pair()
            stage.talk(pair[speaks], pair[1 - speaks])
            stage.record()
            stage.net.run(60.0)
            assert stage.count(pair[1]) == 0
            assert stage.lost() == []
            assert [len(told(end, Connected)) for end in pair] == [1, 1]
