"""What single rows of the tables are for, where no scenario comes to them. docs/protocols/recovery.rst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from symbolic import H1, H2, Data, HintPacket, Junk, at, decode, encode, route_of
from world import End, World, packets

from sansproto.contract import Path
from sansproto.recovery import (
    Kind,
    Limited,
    OnConflict,
    PathChanged,
    PathConflict,
    PeerClosed,
    PeerForgotten,
    PeerLost,
    Reason,
    Recovery,
    RecoveryConfig,
    RecoveryDelays,
    RecoveryLimits,
    Unreachable,
)
from sansproto.recovery.conflict import ConflictInput, ConflictState
from sansproto.recovery.door import Door
from sansproto.recovery.events import Limit
from sansproto.recovery.paths import PathsInput, PathsState
from sansproto.recovery.session import SessionState

OLD = RecoveryConfig(direct=RecoveryDelays(rekey=600.0, session=900.0))
"""Sessions that outlive these tests."""

FAR = at("192.0.2.66", 6)


def act(end: End, do: Callable[[], Any]) -> None:
    """What a host does in one turn."""
    end.place.call(lambda now: end.session._do(now, do))


def of_kind(world: World, sender: End, kind: Kind) -> list[tuple[Path, Data]]:
    """Packets of a session that were recorded."""
    found = [(path, decode(data)) for who, path, data in world.recorded if who == sender.name]
    return [(path, packet) for path, packet in found if isinstance(packet, Data) and packet.kind == kind.value]


def losing(world: World, sender: End, kind: type[Any], *kinds: Kind) -> None:
    """What an end sends of a kind is lost from now on."""
    codes = {one.value for one in kinds}

    def tap(place: Any, data: bytes, path: Path) -> bool:
        packet = decode(data)
        return place is sender.place and isinstance(packet, kind) and (not codes or packet.kind in codes)

    world.net.taps.append(tap)


# -- two peers on one route


def successor(world: World, a: End, b: End) -> End:
    """C, at the address of A, which is gone."""
    a.stop()
    c = world.end("C", a.host.address)
    c.host.black_hole = False
    c.connect(b)
    world.until(lambda: bool(b.events(PathConflict)), 2.0)
    return c


@pytest.mark.parametrize("choice", [OnConflict.COEXIST, OnConflict.REPLACE])
def test_an_older_peer_that_is_silent_is_lost_after_the_pings_or_after_a_call(choice: OnConflict) -> None:
    world = World()
    a, b = world.pair(config=RecoveryConfig(on_conflict=choice))
    world.record()
    c = successor(world, a, b)
    begun = world.now
    world.until(lambda: bool(b.events(PeerLost)), 120.0)
    lasted = world.now - begun
    assert b.events(PeerLost)[0].other == c.id
    assert b.entry(a) is None
    assert c.is_synced(b)
    assert len(of_kind(world, b, Kind.PING)) >= 3
    if choice is OnConflict.REPLACE:
        assert 13.9 <= lasted <= 14.5  # probes of 2, 4 and 8 s
    else:
        assert 92.0 <= lasted <= 106.0  # and a handshake of 90 s, which silence has begun meanwhile


def test_who_does_not_answer_the_pings_is_called() -> None:
    """Also if it may be silent for longer."""
    patient = RecoveryDelays(dead=60.0, dead_min=60.0, dead_max=60.0, previous=90.0)
    world = World()
    a, b = world.pair(config=RecoveryConfig(direct=patient))
    world.record()
    successor(world, a, b)
    begun = world.now
    world.until(lambda: bool([*packets(world.recorded, H1, "B")]), 20.0)
    assert 13.9 <= world.now - begun <= 14.5
    assert b.entry(a).conflict.state is ConflictState.CALLING
    world.until(lambda: bool(b.events(PeerLost)), 95.0)
    assert b.entry(a) is None


def test_replacing_begins_with_pings_too() -> None:
    """An older peer that answers stays."""
    world = World()
    a, b = world.pair(config=RecoveryConfig(on_conflict=OnConflict.REPLACE))
    a.move(2)
    c = world.end("C", a.host.address)
    c.connect(b)
    world.until(lambda: bool(b.events(PathConflict)), 1.0)
    a.send(b)
    world.run(100.0)
    assert not b.events(PeerLost)
    assert b.current(a) is not None


def test_who_is_asked_already_is_not_asked_anew_for_a_third_one() -> None:
    world = World()
    a, b = world.pair()
    successor(world, a, b)
    conflict = b.entry(a).conflict
    other = conflict.other
    world.run(3.0)
    assert conflict.tries == 2
    for state in (ConflictState.ASKING, ConflictState.CALLING):
        world.until(lambda state=state: conflict.state is state, 20.0)  # type: ignore[misc]
        tries = conflict.tries
        act(b, lambda: conflict.post(ConflictInput.CONTESTED(b"D")))
        assert (conflict.other, conflict.tries, conflict.state) == (other, tries, state)
        world.check()


@pytest.mark.parametrize("state", [ConflictState.NONE, ConflictState.ASKING])
def test_a_call_that_is_given_up_ends_nobody_who_was_not_called_for_a_conflict(state: ConflictState) -> None:
    world = World()
    a, b = world.pair(config=OLD)
    if state is ConflictState.ASKING:
        successor(world, a, b)
    else:
        a.stop()
    entry = b.entry(a)
    act(b, lambda: entry.call_failed(None))
    assert b.events(Unreachable)
    assert entry.conflict.state is state
    assert b.entry(a) is entry
    world.check()


# -- peers


def test_a_peer_that_is_wanted_is_not_forgotten() -> None:
    world = World()
    a, b = world.pair()
    b.stop()
    world.run(600.0)
    assert a.entry(b) is not None
    assert not a.events(PeerForgotten)
    world.record()
    world.run(130.0)
    assert [*packets(world.recorded, H1, "A")]
    b.start()
    world.until(lambda: a.is_synced(b), 130.0)
    b.stop()
    world.run(600.0)
    assert a.entry(b) is not None


def test_a_peer_is_forgotten_as_long_after_its_last_session_as_a_session_lives() -> None:
    world = World()
    a, b = world.pair()
    b.send(a)
    a.stop()
    for _ in range(2):  # again: its entry is a new one
        world.until(lambda: not b.core.peers, 400.0)
        (forgotten,) = b.events(PeerForgotten)
        assert forgotten.peer == a.id
        assert not [*b.session._timers]
        b.log.clear()
        a.start()
        a.connect(b)
        world.until(lambda: a.is_synced(b), 5.0)
        a.stop()


# -- pokes


@pytest.mark.parametrize("last", [False, True])
def test_each_of_the_pings_of_a_poke_may_be_the_one_that_is_answered(*, last: bool) -> None:
    world = World()
    a, _ = world.pair(config=OLD)
    poke = next(peer.poke for peer in a.core.peers.values())
    world.record()
    losing(world, a, Data, Kind.PING)
    a.network_changed()
    world.until(lambda: len(poke.values) == 4, 3.0)
    assert not [*packets(world.recorded, H1)]
    if not last:
        world.until(lambda: bool([*packets(world.recorded, H1, "A")]), 1.0)
        return
    world.net.taps.pop()
    act(a, poke.ping)
    world.run(1.0)
    assert not [*packets(world.recorded, H1)]
    assert len(a.reasons()) == 1


def test_a_late_answer_to_a_poke_is_one() -> None:
    """A session out of a record is in use again, although the handshake for its silence has begun."""
    world = World()
    a, b = world.pair(config=OLD)
    record = a.core.save(b.id)
    assert record is not None
    a.restart()
    held: list[bytes] = []
    world.net.taps.append(
        lambda sender, data, path: sender is b.place and held.append(data) is None  # what B says comes later
    )
    a.place.call(lambda now: a.session.load(record, now))
    session = a.current(b)
    world.until(lambda: a.entry(b).call.is_outstanding, 20.0)
    assert session.state is SessionState.LOADED
    world.net.taps.clear()
    pong = next(data for data in held if isinstance(decode(data), Data) and decode(data).kind == Kind.PONG.value)
    world.spoof(a, pong, b.path)
    world.net.run(0.001)
    assert session.state is SessionState.CURRENT


def test_of_many_peers_some_are_asked_at_a_time_and_all_in_the_end() -> None:
    world = World()
    a, b = world.pair(config=RecoveryConfig(limits=RecoveryLimits(slice=1)))
    others = [world.end(name) for name in "CDE"]
    for other in others:
        other.connect(a)
    world.run(1.0)
    world.record()
    a.network_changed()
    world.net.run(0.001)
    asked = [path.host for path, _ in of_kind(world, a, Kind.PING)]
    assert sorted(asked) == sorted(end.host.address for end in (b, *others))


def test_one_report_is_carried_out_once() -> None:
    world = World()
    a, _ = world.pair(config=OLD)
    world.record()
    a.network_changed()
    world.run(10.0)
    assert len(of_kind(world, a, Kind.PING)) == 1
    a.network_changed()
    a.network_changed()
    a.network_changed()
    world.run(10.0)
    assert len(of_kind(world, a, Kind.PING)) == 3  # at once, and at the end of the pause


def test_a_sleep_that_is_reported_within_a_pause_is_not_forgotten() -> None:
    world = World()
    a, _ = world.pair()
    a.network_changed()
    a.resumed(30.0)
    a.resumed(300.0)
    a.resumed(20.0)
    world.run(0.5)
    assert a.reasons() == [Reason.FIRST]
    world.run(1.5)
    assert a.reasons() == [Reason.FIRST, Reason.REKEY]  # the session is older than that


# -- routes


def paths_of(b: End, a: End) -> Any:
    return b.entry(a).paths


@pytest.mark.parametrize("is_left", [False, True])
def test_another_route_that_answers_is_taken_if_the_old_one_brought_nothing_for_long(*, is_left: bool) -> None:
    world = World()
    a, b = world.pair(config=OLD)
    other, paths = route_of(at("10.9.9.9")), paths_of(b, a)
    if is_left:
        world.run(10.1)
    else:
        a.send(b)
        world.run(0.2)
    act(b, lambda: paths.post(PathsInput.VALIDATED(other)))
    assert [event.new for event in b.events(PathChanged)] == ([other] if is_left else [])
    assert paths.other == (None if is_left else other)


def test_a_route_is_challenged_while_the_one_in_use_was_asked_a_moment_ago() -> None:
    world = World()
    a, b = world.pair(config=OLD)
    paths = paths_of(b, a)
    routes = [at(f"192.0.2.{number}", 6) for number in (1, 2)]
    world.record()
    for path in routes:
        act(b, lambda path=path: paths.post(PathsInput.NOMINATED(route_of(path))))  # type: ignore[misc]
        world.net.run(0.12)
        assert paths.state is PathsState.STEADY  # A has answered from where it was
    assert [path for path, _ in of_kind(world, b, Kind.PATH_CHALLENGE)] == [routes[0], a.path, routes[1]]


def test_a_route_that_is_validated_late_is_taken_if_the_old_one_never_answered() -> None:
    world = World()
    a, b = world.pair(config=OLD)
    paths, other = paths_of(b, a), route_of(at("10.9.9.9"))
    a.stop()
    act(b, lambda: paths.post(PathsInput.NOMINATED(other)))
    world.until(lambda: paths.state is PathsState.DOUBTFUL, 3.0)
    act(b, lambda: paths.post(PathsInput.VALIDATED(other)))
    assert paths.state is PathsState.STEADY
    assert [event.new for event in b.events(PathChanged)] == [other]
    assert b.entry(a).route == other


def test_a_second_copy_of_a_response_counts() -> None:
    """An observer was faster with the first one, and the route was nominated too long ago to be remembered."""
    world = World()
    a, b = world.pair(config=OLD)
    a.move()
    responses: list[bytes] = []

    def tap(sender: Any, data: bytes, path: Path) -> bool:
        packet = decode(data)
        is_response = isinstance(packet, Data) and packet.kind == Kind.PATH_RESPONSE.value
        if is_response:
            responses.append(data)
        return is_response

    world.net.taps.append(tap)
    a.send(b)
    world.until(lambda: bool(responses), 1.0)
    paths = paths_of(b, a)
    paths.challenged.clear()
    world.spoof(b, responses[0], FAR)
    world.net.run(0.001)
    assert paths.other is None
    world.spoof(b, responses[0], a.path)
    world.net.run(0.001)
    assert paths.other == route_of(a.path)
    assert b.session.stats.noted["a second copy"] == 1


# -- sessions


def test_of_two_sessions_that_crossed_the_smaller_one_stands_behind() -> None:
    """Both are confirmed if no end hears of the other's handshake in time. What came in the smaller one counts, too."""
    world = World(core=type("NoTieBreak", (Recovery,), {"make_door": lambda core: Patient(core.host, core)}))
    world.is_wrong = False
    a, b = world.end("A", config=OLD), world.end("B", config=OLD)
    a.connect(b)
    b.connect(a)
    world.run(0.3)
    assert a.is_synced(b)
    used = a.current(b)
    stood = [(end, other) for end, other in ((a, b), (b, a)) if len(end.reasons()) == 1]
    assert stood
    for end, other in stood:
        (behind,) = [one for one in end.core.sessions.values() if one is not end.current(other)]
        assert behind.state is SessionState.PREVIOUS
        assert behind.generation == end.generation(other)
        assert not [one for one in other.core.sessions.values() if one.pings]  # the first packet was a ping
        assert not end.core.offered
    world.run(90.0)
    assert a.current(b) is used
    assert len(a.core.sessions) == len(b.core.sessions) == 1


class Patient(Door):
    """Lets both handshakes of a crossing go on."""

    def is_outranked(self, entered: Any) -> bool:
        return False


@pytest.mark.parametrize("state", [SessionState.OFFERED, SessionState.REFUSED, SessionState.PREVIOUS])
def test_who_closes_one_session_that_is_not_in_use_gets_silence_for_it(state: SessionState) -> None:
    world = World()
    a, b = world.end("A", config=OLD), world.end("B", config=OLD)
    if state is SessionState.PREVIOUS:
        a.connect(b)
        world.run(0.5)
        act(a, lambda: a.core.redial(b.id))
        world.run(0.5)
    else:
        losing(world, a, Data)
        a.connect(b)
        world.run(0.3)
        if state is SessionState.REFUSED:
            b.disconnect(a)
    (sid,) = [one.sid for one in b.core.sessions.values() if one.state is state]
    generation = b.generation(a)
    theirs = next(one for one in a.core.sessions.values() if one.remote_sid == sid)
    close = a.session.seal(theirs.sid, theirs.counter + 5, Kind.CLOSE, b"\0")
    world.record()
    world.spoof(b, close, a.path)
    world.spoof(b, a.session.seal(theirs.sid, theirs.counter + 6, Kind.APP, bytes(60)), a.path, 0.01)
    world.net.run(0.02)
    assert sid not in b.core.sessions
    assert sid in b.core.farewells.tombstones
    assert not [data for who, _, data in world.recorded if who == "B"]
    assert not b.events(PeerClosed)
    assert b.generation(a) == generation


def test_a_close_under_a_candidate_that_is_older_than_the_session_in_use_ends_only_that() -> None:
    world = World()
    a, b = world.end("A", config=OLD), world.end("B", config=OLD)
    losing(world, a, Data, Kind.CONFIRM)
    a.connect(b)
    world.run(0.3)
    (mine,) = a.core.sessions.values()
    assert mine.state is SessionState.CALLED
    b.connect(a)
    world.until(lambda: a.current(b) is not None and b.current(a) is not None, 10.0)
    assert a.current(b) is not mine
    assert mine.state is SessionState.CALLED
    (theirs,) = [one for one in b.core.sessions.values() if one.remote_sid == mine.sid]
    close = b.session.seal(theirs.sid, 99, Kind.CLOSE, b"\0")
    world.spoof(a, close, b.path)
    world.net.run(0.001)
    assert mine.sid not in a.core.sessions
    assert mine.sid in a.core.farewells.tombstones
    assert a.current(b) is not None
    assert not a.events(PeerClosed)


@pytest.mark.parametrize("comes_later", [False, True])
def test_who_answers_an_init_came_after_whoever_had_called_when_it_was_made(comes_later: bool) -> None:
    """A candidate of another process that is older than our Init is of one that is gone; a younger one may not be."""
    world = World()
    a, b = world.end("A", config=OLD), world.end("B", config=OLD)
    world.record()
    losing(world, b, H2)
    losing(world, b, Data)
    first, second = ((a, b), (b, a)) if comes_later else ((b, a), (a, b))
    first[0].connect(first[1])
    world.run(0.3)
    b.restart()
    second[0].connect(second[1])
    world.run(0.3)
    (theirs,) = [one for one in a.core.sessions.values() if one.state is SessionState.OFFERED]
    reply = next(packets(world.recorded, H2, "B"))
    world.spoof(a, reply, b.path)
    world.net.run(0.001)
    (ours,) = [one for one in a.core.sessions.values() if one.state is SessionState.CALLED]
    assert ours.instance != theirs.instance
    assert (theirs.sid in a.core.sessions) is comes_later


def test_what_confirms_a_session_is_acted_upon() -> None:
    """A pong, which measures the round trip."""
    world = World(rtt=0.2)
    a, b = world.end("A"), world.end("B")
    losing(world, b, Data, Kind.PING)
    a.connect(b)
    world.run(0.5)
    assert a.entry(b).rtt.pto == pytest.approx(0.2 + 0.4, abs=0.05)


def test_counters_have_an_end() -> None:
    world = World()
    a, b = world.pair(config=RecoveryConfig(limits=RecoveryLimits(rekey_packets=50, packets=100)))
    session = a.current(b)
    for counter in (99, 100):
        packet = a.session.seal(session.sid, counter, Kind.PING, b"8 bytes!")
        world.spoof(b, packet, a.path)
        world.net.run(0.001)
        assert b.session.stats.dropped == ({"a counter out of range": 1} if counter == 100 else {})


@pytest.mark.parametrize("kind", [Kind.PATH_CHALLENGE, Kind.PATH_RESPONSE])
def test_challenges_and_responses_are_signs_of_life_and_count_once(kind: Kind) -> None:
    world = World()
    a, b = world.pair(config=OLD)
    session = a.current(b)
    losing(world, b, Data)
    a.send(b)
    packet = b.session.seal(session.remote_sid, 50, kind, b"8 bytes!")
    world.spoof(a, packet, b.path)
    world.net.run(0.01)
    assert session.silence.since is None
    assert session.window.highest == 50
    world.spoof(a, packet, b.path)
    world.net.run(0.001)
    assert a.session.stats.noted == {"a second copy": 1}


def test_who_only_listens_says_so_in_time() -> None:
    """Over a relay, where silence has no pings."""
    world = World()
    a, b = world.pair(poll=60.0)
    world.run(400.0)
    world.record()
    a.send(b)
    world.until(lambda: len(world.arrived) == 1, 200.0)
    came = world.now
    world.run(60.0)
    assert not of_kind(world, b, Kind.KEEPALIVE)
    world.until(lambda: bool(of_kind(world, b, Kind.KEEPALIVE)), 11.0)
    assert world.now - came >= 69.9
    world.run(400.0)
    assert len(of_kind(world, b, Kind.KEEPALIVE)) == 1
    assert not of_kind(world, a, Kind.KEEPALIVE)
    world.recorded.clear()
    a.send(b)
    world.until(lambda: len(world.arrived) == 2, 200.0)
    world.run(30.0)
    b.send(a)  # that is as good
    a.send(b)
    world.until(lambda: len(world.arrived) == 4, 200.0)
    world.until(lambda: bool(of_kind(world, b, Kind.KEEPALIVE)), 130.0)
    came = max(when for data, when in world.arrived.items() if data.startswith(b"A>B"))
    assert 69.9 <= world.now - came <= 70.1  # counted from what came since


def test_two_ends_that_have_nothing_to_say_have_nothing_to_do() -> None:
    world = World()
    a, b = world.pair(config=OLD)
    a.send(b)
    world.run(0.2)
    b.send(a)
    world.run(60.0)
    for end in (a, b):
        assert {timer.name for (_, timer), _ in end.session._timers} == {"LIFE", "REKEY"}


def test_what_is_paid_and_owed_again_in_one_turn_is_owed() -> None:
    world = World()
    a, b = world.pair(config=OLD)
    session = a.current(b)

    def twice() -> None:
        for _ in range(2):
            session.debt.owe()
            session.debt.pay()
            session.silence.await_answer()
            session.silence.since = None

    act(a, twice)
    act(a, twice)
    world.check()


def test_a_hint_is_heard_once_in_a_while() -> None:
    world = World()
    a, b = world.pair(config=OLD)
    session = a.current(b)
    hint = encode(HintPacket(session.remote_sid, b"", 9))
    world.record()
    for _ in range(10):
        world.spoof(a, hint, b.path)
        world.run(0.4)  # the ping of each is answered before the next one
    assert len(of_kind(world, a, Kind.PING)) == 1
    world.run(2.0)
    world.spoof(a, hint, b.path)
    world.run(0.4)
    assert len(of_kind(world, a, Kind.PING)) == 2


# -- goodbyes


def test_a_close_that_was_not_said_aloud_is_said_to_who_asks_a_little_later() -> None:
    """Of a session that was replaced: what comes for it at once has crossed with the goodbye."""
    world = World()
    a, b = world.pair(config=OLD)
    old = a.current(b)
    act(a, lambda: a.core.redial(b.id))
    world.run(1.0)
    theirs = next(one for one in b.core.sessions.values() if one.remote_sid == old.sid)
    assert theirs.state is SessionState.PREVIOUS
    late = [b.session.seal(theirs.sid, 50 + number, Kind.APP, bytes(40)) for number in range(2)]
    losing(world, a, Data)
    a.disconnect(b)
    world.net.taps.pop()
    stone = a.core.farewells.tombstones[old.sid]
    world.record()
    world.spoof(a, late[0], b.path)
    world.net.run(0.001)
    assert a.session.stats.dropped == {"data of a closed session, too soon": 1}
    world.net.run(0.5)
    before = len(of_kind(world, a, Kind.CLOSE))
    world.spoof(a, late[1], b.path)
    world.net.run(0.001)
    assert len(of_kind(world, a, Kind.CLOSE)) == before + 1
    assert stone.rank == 2  # it goes behind those of who was refused


# -- strangers


def test_of_two_processes_that_take_turns_the_other_one_has_to_wait() -> None:
    world = World()
    a, b = world.pair(config=OLD)
    b.entry(a).held_until = b.session.clock + 5.0
    a.restart()
    a.connect(b)
    world.run(4.5)
    assert b.session.stats.dropped["another process of a peer, too soon"] >= 2
    assert not b.core.offered
    world.until(lambda: a.is_synced(b), 6.0)


def test_no_hint_is_sent_about_a_handshake_of_ours() -> None:
    """Whoever sees its session id in a Reply would get a reset token for the session that is about to live."""
    world = World()
    a, b = world.end("A"), world.end("B")
    b.stop()
    a.connect(b)
    world.run(0.1)
    (attempt,) = a.entry(b).call.attempts
    world.record()
    world.spoof(a, encode(Junk(attempt.sid, 60)), FAR)
    world.spoof(a, encode(Junk(b"nobody's", 60)), FAR)
    world.net.run(0.1)
    assert a.session.stats.dropped == {"data for a handshake": 1}
    assert [decode(data).sid for who, path, data in world.recorded if path.host == FAR.host] == [b"nobody's"]


def test_a_group_gets_hints_that_nobody_else_needs_and_no_more() -> None:
    world = World()
    b = world.end("B")
    world.record()

    def hinted() -> int:
        return len([*packets(world.recorded, HintPacket, "B")])

    for number in range(100):
        world.spoof(b, encode(Junk(number.to_bytes(8, "big"), 60)), FAR)
    world.net.run(0.01)
    assert 4 <= hinted() <= 6  # half of what there is for all
    for number in range(4):
        world.spoof(b, encode(Junk(number.to_bytes(8, "big"), 60)), at("203.0.113.7"))
    world.net.run(0.01)
    assert len([path for _, path, _ in world.recorded if path.host == "203.0.113.7"]) == 4
    before = hinted()
    for _ in range(100):
        world.spoof(b, encode(Junk(b"nobody's", 60)), FAR)
        world.net.run(0.1)
    assert 80 <= hinted() - before <= 105  # as many as there are for all, for nobody else asks


def proven(b: End, peer: bytes, number: int, source: Path) -> bytes:
    """An Init that somebody made who gets packets at this address."""
    issued = b.core.tokens.issue(route_of(source))
    assert issued is not None
    token = issued + b"?" * 8
    made, stamp = number.to_bytes(8, "big"), int(b.session.wall() * 1_000_000)
    return encode(H1(b.id, peer, made, b"\1" + made[1:], stamp, peer.ljust(8, b"."), token, token))


def test_over_the_limit_calls_with_proof_are_dropped_and_told() -> None:
    world = World()
    b = world.end("B")
    for number in range(40):
        world.spoof(b, proven(b, f"X{number}".encode(), number, FAR), FAR)
    world.net.run(0.01)
    assert b.session.opened == 28  # the burst of the group, and that of all
    assert b.session.stats.dropped["too many inits"] == 12
    assert [event.limit for event in b.events(Limited)].count(Limit.INIT) == 1


def test_groups_with_proof_leave_room_for_others() -> None:
    """Or a handful of networks, in which somebody has addresses, would hold all that there is."""
    world = World()
    config = RecoveryConfig(limits=RecoveryLimits(init_rate=1000.0, init_burst=1000))
    b, honest = world.end("B", config=config), world.end("H", "198.51.100.1")
    sources = [at(f"10.7.0.{group}", 6) for group in range(12)]
    for number in range(8):
        for group, source in enumerate(sources):
            world.spoof(b, proven(b, f"X{group}.{number}".encode(), 100 * group + number, source), source)
    world.net.run(0.01)
    held = Counter(one.route.group for one in b.core.offered.values() if one.route is not None)
    assert len(held) == 12
    assert max(held.values()) <= 8
    assert len(b.core.offered) < 64
    honest.connect(b)
    world.until(lambda: honest.is_synced(b), 1.5)


def test_the_first_group_gets_all_that_a_group_may_have() -> None:
    world = World()
    b = world.end("B")
    for number in range(12):
        world.spoof(b, proven(b, f"X{number}".encode(), number, FAR), FAR)
    world.net.run(0.01)
    assert len(b.core.offered) == 8
    assert b.session.stats.dropped == {"no room for a candidate": 4}


def gave_up(world: World) -> tuple[End, End]:
    """B has called A in vain: the route rests for long."""
    config = RecoveryConfig(direct=RecoveryDelays(retry=300.0))
    a, b = world.end("A"), world.end("B", config=config)
    a.stop()
    b.connect(a)
    world.until(lambda: bool(b.events(Unreachable)), 100.0)
    world.record()
    return a, b


def rests(b: End, a: End) -> float:
    return float(max(b.entry(a).call.backoffs.values()) - b.session.clock)


def test_a_call_that_is_asked_for_proof_shows_that_the_peer_is_there() -> None:
    world = World()
    a, b = gave_up(world)
    assert rests(b, a) > 200.0
    old = H1(b.id, a.id, b"old", b"old", 1 << 62, b"instance", b"", b"")
    world.spoof(b, encode(old), FAR)
    world.net.run(0.01)
    assert b.session.stats.noted == {"a challenge was sent": 1}
    assert rests(b, a) < 1.1
    world.until(lambda: bool([*packets(world.recorded, H1, "B")]), 1.2)


def test_a_call_for_which_there_is_no_room_shows_that_the_peer_is_there() -> None:
    world = World()
    a, b = gave_up(world)
    for number in range(3):
        b.entry(a).call.backoffs[b.entry(a).called_at] = b.session.clock + 300.0
        world.spoof(b, proven(b, a.id, number, FAR), FAR)
        world.net.run(0.01)
    assert b.session.stats.dropped == {"no room for a candidate": 1}
    assert rests(b, a) < 1.1


def test_a_call_that_crosses_ours_shows_that_the_peer_is_there() -> None:
    """On whatever route; the one that is called is not at rest."""
    world = World()
    a, b = world.end("A"), world.end("B")
    a.stop()
    b.connect(a)
    world.run(0.1)
    call = b.entry(a).call
    call.backoffs[route_of(FAR)] = b.session.clock + 300.0
    crossing = H1(b.id, a.id, b"cross", b"cross", 1, b"instance", b"", b"")
    world.spoof(b, encode(crossing), a.path)
    world.net.run(0.01)
    assert b.session.stats.noted == {"an init that crossed ours and is outranked": 1}
    assert not b.core.offered
    assert rests(b, a) < 1.1
