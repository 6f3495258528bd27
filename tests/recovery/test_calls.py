"""Our own handshake with a peer: its pauses, and who may say what to it. docs/protocols/recovery.rst, R6."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from symbolic import H1, Ch, Data, HintPacket, at, decode, encode, path_of
from world import End, World, packets

from sansproto.contract import Path
from sansproto.recovery import Challenge, Established, Kind, RecoveryConfig, RecoveryDelays, Unreachable
from sansproto.recovery.call import Call, CallInput, CallState, Demand
from sansproto.recovery.session import SessionState

NOWHERE = at("192.0.2.9"), at("192.0.2.10")


def calling(config: RecoveryConfig | None = None) -> tuple[World, End, End]:
    """A calls B, which is not there."""
    world = World()
    a, b = world.end("A", config=config), world.end("B")
    b.stop()
    world.record()
    a.connect(b)
    world.run(0.1)
    return world, a, b


def call_of(one: End, other: End) -> Call:
    call: Call = one.entry(other).call
    return call


def post(end: End, call: Call, *happened: Any) -> None:
    """These things happen one after another, in one turn."""
    end.place.call(lambda now: end.session._do(now, lambda: [call.post(one) for one in happened]))


def inits(world: World, end: End) -> list[tuple[Path, H1]]:
    """What an end has sent to whom."""
    return [(path, decode(data)) for who, path, data in world.recorded if who == end.name and is_init(data)]


def is_init(data: bytes) -> bool:
    return isinstance(decode(data), H1)


def timers_of(end: End, call: Call) -> dict[str, float]:
    """Until when they run."""
    return {timer.name: due - end.session.clock for (part, timer), due in end.session._timers if part is call}


# -- when an Init is sent again


STEPS = {
    "hold": ("RESEND_HELD", 2.0),
    "reset": ("RESEND_OVERDUE", 2.0),
    "urge": ("RESEND_FIRST", 1.3),
    "redial": ("RESEND_FIRST", 1.3),
    "challenge": ("RESEND_FIRST", 1.3),
    "wait": ("RESEND", 2.6),
}
"""What can happen to a handshake, the timer that then runs, and how long at most."""


def step(world: World, a: End, call: Call, name: str) -> None:
    if name == "wait":
        world.run(1.4)
    elif name == "challenge":
        post(a, call, CallInput.CHALLENGED(Demand(call.attempts[-1].sid, Challenge(b"token" * 5, proven=True))))
    else:
        post(a, call, getattr(CallInput, name.upper())())


@pytest.mark.parametrize("second", [name for name in STEPS if name != "wait"])
@pytest.mark.parametrize("first", [*STEPS])
def test_whatever_happens_one_timer_runs_until_the_init_is_sent_again(first: str, second: str) -> None:
    world, a, b = calling()
    call = call_of(a, b)
    step(world, a, call, first)
    step(world, a, call, second)
    if (first, second) == ("hold", "hold"):
        world.run(0.5)
        step(world, a, call, "hold")  # once for each handshake
        assert timers_of(a, call)["RESEND_HELD"] <= 1.5
    timer, most = STEPS[second]
    running = timers_of(a, call)
    assert running.keys() == {timer, "GIVE_UP"}
    assert running[timer] <= most
    world.check()


@pytest.mark.parametrize("how", ["urge", "redial", "reset"])
def test_a_handshake_that_is_urged_begins_its_pauses_and_its_patience_anew(how: str) -> None:
    world, a, b = calling()
    world.run(30.0)
    before = inits(world, a)
    post(a, call_of(a, b), getattr(CallInput, how.upper())())
    begun = world.now
    world.run(0.01)
    sent = inits(world, a)[len(before) :]
    assert len(sent) == 1
    assert (sent[0][1] == before[-1][1]) is (how != "redial")
    world.run(4.6)
    assert len(inits(world, a)) - len(before) >= (2 if how == "reset" else 3)  # with pauses of 5 s it would be one
    assert not a.events(Unreachable)
    world.until(lambda: bool(a.events(Unreachable)), 90.0 + 0.1)
    assert world.now - begun >= 90.0


# -- when the next one begins


def test_who_was_not_reached_is_called_again_when_the_route_has_rested() -> None:
    world, a, b = calling()
    world.run(95.0)
    assert a.events(Unreachable)
    assert call_of(a, b).state is CallState.WAITING
    sent = len(inits(world, a))
    world.run(20.0)
    assert len(inits(world, a)) == sent
    world.run(10.0)
    assert len(inits(world, a)) > sent


def test_a_route_that_rests_is_not_called_whoever_asks() -> None:
    world, a, b = calling(RecoveryConfig(direct=RecoveryDelays(retry=300.0)))
    first, second = NOWHERE
    a.connect(b, first)
    world.run(91.0)
    a.connect(b, second)
    world.run(4.0)
    assert len([path for path, _ in inits(world, a) if path == second]) >= 2  # at once, and again
    world.run(90.0)
    assert len(a.events(Unreachable)) == 2
    sent = len(inits(world, a))
    a.connect(b, first)  # which rests
    post(a, call_of(a, b), CallInput.START(), CallInput.URGE())
    world.run(190.0)
    assert len(inits(world, a)) == sent
    world.until(lambda: len(inits(world, a)) > sent, 30.0)
    assert inits(world, a)[-1][0] == first


def half_made(world: World) -> tuple[End, End]:
    """B has answered A's Init and restarted: A knows by a reset token, and waits for the next call."""
    a, b = world.end("A"), world.end("B")
    a.connect(b)
    world.until(lambda: bool(b.core.sessions), 1.0)
    world.net.run(0.01)
    b.restart()
    world.until(lambda: call_of(a, b).state is CallState.WAITING, 1.0)
    return a, b


def test_handshakes_that_follow_each_other_have_pauses_which_a_change_of_network_ends() -> None:
    world = World()
    a, b = half_made(world)
    waits = timers_of(a, call_of(a, b))["START"]
    assert 0.5 < waits < 1.0
    a.network_changed()
    world.until(lambda: a.is_synced(b), 0.3)


def test_what_is_not_wanted_any_more_is_not_tried_again() -> None:
    """B has a session out of a record, and cannot reach A; then A answers under that session after all."""
    config = RecoveryConfig(direct=RecoveryDelays(rekey=600.0, session=900.0))
    world = World()
    a, b = world.pair(config=config)
    record = b.core.save(a.id)
    assert record is not None
    b.restart()
    world.net.partition(a.host.address, b.host.address)
    b.place.call(lambda now: b.session.load(record, now))
    b.send(a)
    world.until(lambda: bool(b.events(Unreachable)), 110.0)
    assert call_of(b, a).state is CallState.WAITING
    world.net.heal(a.host.address, b.host.address)
    b.network_changed()
    world.until(lambda: b.current(a).state is SessionState.CURRENT, 2.0)
    world.until(lambda: bool(world.arrived), 0.2)
    world.record()
    world.run(60.0)
    assert call_of(b, a).state is CallState.IDLE
    assert not inits(world, b)


@pytest.mark.parametrize("how", ["start", "urge"])
def test_what_is_asked_for_is_no_mere_try(how: str) -> None:
    world = World()
    a, b = world.pair()
    call = call_of(b, a)  # which A called: B wants nothing by itself
    call.is_retry, call.next_start = True, b.session.clock + 2.0
    call.backoffs[b.entry(a).called_at] = b.session.clock + 2.0
    post(b, call, getattr(CallInput, how.upper())())
    assert call.state is CallState.WAITING
    world.record()
    world.run(2.5)
    assert inits(world, b)


def test_who_wants_nobody_gives_up_and_rests() -> None:
    world = World()
    a, b = world.pair(config=RecoveryConfig(direct=RecoveryDelays(rekey=600.0, session=900.0)))
    b.send(a)
    a.stop()
    world.record()
    world.until(lambda: bool(b.events(Unreachable)), 120.0)
    world.recorded.clear()
    world.run(100.0)
    assert call_of(b, a).state is CallState.IDLE
    assert not inits(world, b)


@pytest.mark.parametrize("is_answered", [False, True])
def test_behind_a_session_that_was_confirmed_nothing_waits(*, is_answered: bool) -> None:
    """B has called A meanwhile; then that session is silent, too."""
    world = World()
    a, b = world.end("A", config=RecoveryConfig(direct=RecoveryDelays(retry=300.0))), world.end("B")
    call = None
    if is_answered:
        a.connect(b)
        world.net.taps.append(lambda sender, data, path: isinstance(decode(data), Data) and sender is b.place)
        world.run(1.0)
        call = call_of(a, b)
        call.starts, call.next_start, call.backoffs[a.entry(b).called_at] = 9, world.now + 300.0, world.now + 300.0
        assert call.state is CallState.ANSWERED
        post(a, call, CallInput.BEATEN())
    else:
        b.stop()
        a.connect(b)
        world.until(lambda: bool(a.events(Unreachable)), 100.0)
        b.start()
        call = call_of(a, b)
        world.net.taps.append(lambda sender, data, path: is_init(data) and sender is a.place)
        b.connect(a)
        world.until(lambda: a.is_synced(b), 1.0)
        world.net.taps.clear()
    assert (call.starts, call.backoffs) == (0, {})
    assert call.next_start <= a.session.clock + 1.0
    world.run(1.0)
    b.stop()
    a.send(b)
    world.record()
    world.until(lambda: bool(inits(world, a)), 20.0)


@pytest.mark.parametrize("state", [CallState.IDLE, CallState.WAITING, CallState.CALLING])
def test_what_becomes_of_an_older_session_does_not_matter_to_a_call(state: CallState) -> None:
    world = World()
    if state is CallState.IDLE:
        a, b = world.pair()
    elif state is CallState.WAITING:
        a, b = half_made(world)
    else:
        world, a, b = calling()
    call = call_of(a, b)
    before = a.core.freeze(0.0)
    for happened in (CallInput.LOST, CallInput.HALF_MADE):
        post(a, call, happened())
    assert call.state is state
    assert a.core.freeze(0.0) == before
    world.check()


# -- what arrives too late, or comes from elsewhere


def demanding(world: World) -> tuple[End, End, bytes]:
    """A's clock is behind, and B asks it for proof: B's challenge is on its way."""
    a, b = world.pair()
    a.restart(wall=-600.0)
    world.record()
    a.connect(b)
    world.until(lambda: bool([*packets(world.recorded, Ch, "B")]), 1.0)
    return a, b, next(packets(world.recorded, Ch, "B"))


def test_a_challenge_counts_once_and_from_where_was_called() -> None:
    world = World()
    a, b, challenge = demanding(world)
    world.spoof(a, challenge, at("192.0.2.66"))
    world.run(0.0001)
    assert a.session.stats.dropped == {"a challenge from elsewhere": 1}
    for _ in range(3):
        world.spoof(a, challenge, b.path)
    world.net.run(0.001)
    assert len(inits(world, a)) == 2
    assert a.session.stats.dropped["a challenge that was answered"] == 2
    world.until(lambda: a.is_synced(b), 1.0)


def test_of_what_arrives_together_the_first_counts() -> None:
    """A host hands over several packets before anything is done."""
    world = World()
    a, b = world.end("A"), world.end("B")
    world.record()
    replies: list[Any] = []
    world.net.taps.append(lambda sender, data, path: sender is b.place and replies.append(decode(data)) is None)
    a.connect(b)
    world.until(lambda: bool(replies), 1.0)
    (attempt,) = call_of(a, b).attempts
    challenge = Ch(attempt.hs_id[:8], bytes(24), b"")

    def hear(now: float) -> None:
        a.session.advance(now)
        a.core.hear_reply(attempt.sid, replies[0])
        a.core.hear_reply(attempt.sid, replies[0])
        a.core.hear_challenge(attempt.hs_id[:8], a.entry(b).called_at, challenge)
        a.session.run()

    a.place.call(hear)
    assert call_of(a, b).state is CallState.ANSWERED
    assert a.session.stats.dropped == {"unknown handshake": 2}


# -- a session whose silence had an end


def test_a_call_for_silence_is_taken_back_where_sessions_are_kept() -> None:
    world = World()
    kept = RecoveryConfig(direct=RecoveryDelays(keeps_sessions=True, rekey=600.0, session=900.0))
    a, b = world.pair(config=kept)
    session = b.current(a)
    for lasts in (6.0, 115.0):  # until B calls, and until it has given up
        begun = world.now
        world.net.partition(a.host.address, b.host.address)
        b.send(a)
        world.run(lasts)
        call = call_of(b, a)
        assert call.state is (CallState.CALLING if lasts < 10.0 else CallState.WAITING)
        world.net.taps.append(lambda sender, data, path: is_init(data))
        world.net.heal(a.host.address, b.host.address)
        a.send(b)
        world.run(0.2)
        assert call.state is CallState.IDLE
        assert not call.attempts
        assert not timers_of(b, call)
        world.net.taps.clear()
        world.run(5.0)
        assert b.current(a) is session
        assert not b.events(Established, begun)


@pytest.mark.parametrize("state", [CallState.IDLE, CallState.ANSWERED])
def test_nothing_is_taken_back_that_was_answered(state: CallState) -> None:
    world = World()
    a, b = world.end("A"), world.end("B")
    world.net.taps.append(lambda sender, data, path: isinstance(decode(data), Data) and sender is b.place)
    a.connect(b)
    if state is CallState.IDLE:
        world.net.taps.clear()
    world.run(1.0)
    call = call_of(a, b)
    assert call.state is state
    before = a.core.freeze(0.0)
    post(a, call, CallInput.TAKEN_BACK())
    assert a.core.freeze(0.0) == before
    assert not a.session.stats.dropped


def test_a_handshake_that_was_answered_is_not_begun_again_for_a_report() -> None:
    world = World()
    a, b = world.end("A"), world.end("B")
    world.record()
    world.net.taps.append(lambda sender, data, path: isinstance(decode(data), Data) and sender is b.place)
    a.connect(b)
    world.run(1.0)
    call = call_of(a, b)
    assert call.state is CallState.ANSWERED
    for happened in (CallInput.URGE, CallInput.REDIAL, CallInput.RESET, CallInput.HOLD, CallInput.CUT):
        post(a, call, happened())
    assert call.state is CallState.ANSWERED
    assert len(inits(world, a)) == 1


def test_a_session_that_would_link_two_addresses_is_called_anew_until_it_is_answered() -> None:
    world = World()
    a, b = world.end("A", config=RecoveryConfig(unlinkable=True)), world.end("B")
    world.record()
    world.net.taps.append(lambda sender, data, path: isinstance(decode(data), Data) and sender is b.place)
    a.connect(b)
    world.run(1.0)
    world.net.taps.append(lambda sender, data, path: is_init(data))
    a.network_changed()
    world.run(3.0)
    assert call_of(a, b).state is CallState.CALLING
    assert len(inits(world, a)) >= 3
    world.net.taps.clear()
    world.until(lambda: a.is_synced(b), 5.0)


# -- reset tokens during a call


def test_a_reset_token_shortens_the_pauses_of_a_call() -> None:
    """B was away, and is back: what it gets of the session in use says so."""
    world = World()
    a, b = world.pair()
    a.talk(b, 1.0)
    b.stop()
    world.until(lambda: call_of(a, b).age > 20.0 and call_of(a, b).is_outstanding, 60.0)
    world.net.taps.append(lambda sender, data, path: is_init(data) and world.now < back + 2.0)
    b.start()
    back = world.now
    world.until(lambda: a.is_synced(b), 4.5)
    assert [decode(data) for data in packets(world.recorded, HintPacket)] == []


__all__ = ["Kind", "attrs", "encode", "path_of"]
