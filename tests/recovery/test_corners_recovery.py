"""Corners of the recovery core that no scenario comes to: limits, records, and hosts that fail."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from symbolic import H1, H2, Ch, Data, Node, at, decode, encode, route_of
from world import EPOCH, End, World, packets

from sansproto.contract import Path
from sansproto.recovery import (
    Admission,
    CloseReason,
    Kind,
    Limited,
    OnConflict,
    PathConflict,
    PeerClosed,
    PeerForgotten,
    PeerLost,
    PeerRecord,
    Reason,
    RecoveryConfig,
    RecoveryDelays,
    RecoveryLimits,
    Refused,
    SaveWanted,
    Unreachable,
)
from sansproto.recovery.conflict import ConflictState
from sansproto.recovery.events import Limit
from sansproto.recovery.limits import DELAY_RULES, LIMIT_RULES
from sansproto.recovery.session import SessionState
from sansproto.recovery.suspicion import SuspicionState
from sansproto.testing.entropy import ScriptedEntropy

NEAR = "192.0.2.7"
"""The address of strangers."""


def limited(**limits: Any) -> RecoveryConfig:
    return RecoveryConfig(limits=RecoveryLimits(**limits))


def knock(to: End, peer: str, *, sid: bytes = b"", host: str = NEAR) -> None:
    """A stranger's Init comes, and nothing else of it."""
    stamp = int(to.session.wall() * 1_000_000)
    packet = H1(to.id, peer.encode(), peer.encode(), sid or peer.encode() * 8, stamp, peer.encode() * 8, b"", b"")
    to.world.spoof(to, encode(packet), at(host))
    to.world.run(0.1)


def test_what_a_host_says_of_who_is_not_there_changes_nothing() -> None:
    end = World().end("A")
    before = end.session.snapshot()
    end.core.redial(b"nobody")
    end.core.end_session(b"nobody's")
    end.session.run()
    assert end.session.snapshot() == before


def deaf(world: World, *ends: End) -> None:
    """No packet of a session leaves these ends: what they begin is not confirmed."""
    world.net.taps.append(
        lambda sender, data, path: any(sender is end.place for end in ends) and isinstance(decode(data), Data)
    )


def saved(end: End, other: End) -> PeerRecord:
    record = end.core.save(other.id)
    assert record is not None
    return record


def load(end: End, record: PeerRecord) -> bool:
    return bool(end.place.call(lambda now: end.session.load(record, now)))


# -- limits


@pytest.mark.parametrize(
    "wrong",
    [
        {"round_trip": 2.0},
        {"crossing": 4.0},
        {"dead_min": 16.0},
        {"hint_max": 4.0},
        {"previous": 45.0},
        {"session": 150.0},
        {"contest": 5.0},
        {"flap_delay": 61.0},
        {"rto": 0.6, "rto_max": 1.0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_times_that_do_not_fit_each_other_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not so: ") as caught:
        RecoveryDelays(**wrong)
    assert str(caught.value).removeprefix("not so: ") in DELAY_RULES


@pytest.mark.parametrize(
    "wrong",
    [{"tombstones_per_peer": 4}, {"tombstones": 5}, {"candidates_per_peer": 65}, {"packets": 1 << 60}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_limits_that_do_not_fit_each_other_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="not so: ") as caught:
        RecoveryLimits(**wrong)
    assert str(caught.value).removeprefix("not so: ") in LIMIT_RULES


def test_a_hint_is_about_the_session_in_use_or_about_nothing() -> None:
    world = World()
    a, b = world.pair()
    peer = a.core.peers[b.id]
    other = attrs.make_class("Other", {"sid": attrs.field(default=b"another")})()
    for session, state in ((other, SuspicionState.CALM), (peer.current, SuspicionState.SUSPECT)):
        peer.be_hinted(session)
        a.session.run()
        assert peer.suspicion.state is state


def test_a_stranger_goes_for_who_is_called_and_nobody_else() -> None:
    world = World()
    a, b = world.end("A", config=limited(peers=1)), world.end("B")
    knock(a, "X")
    assert [*a.core.peers] == [b"X"]
    a.connect(b)
    assert [*a.core.peers] == [b"B"]
    world.until(lambda: a.is_synced(b), 2.0)
    assert not a.place.call(lambda now: a.session.connect(b"Y", at(NEAR), now))
    assert a.session.stats.refused["too many peers"] == 1
    assert a.is_synced(b)


def test_a_stranger_makes_room_only_for_one_of_its_group() -> None:
    world = World()
    b = world.end("B", config=limited(peers=1))
    knock(b, "X")
    knock(b, "Y", host="198.51.100.1")
    assert [*b.core.peers] == [b"X"]
    assert b.session.stats.dropped["no room for a candidate"] == 1
    assert [event.limit for event in b.events(Limited)] == [Limit.CANDIDATE]
    knock(b, "Z")
    assert [*b.core.peers] == [b"Z"]


def test_a_candidate_that_goes_takes_the_entry_of_its_peer_along_and_no_other() -> None:
    world = World()
    b = world.end("B", config=limited(peers=20, candidates_per_group=4))
    for port, name in enumerate("CDEFG", 1):
        stranger = world.end(name, NEAR, port=port)
        deaf(world, stranger)
        stranger.connect(b)
        world.run(0.5)
    sessions = [*b.core.offered.values()]
    assert [*b.core.peers] == [session.peer_id for session in sessions] == [b"D", b"E", b"F", b"G"]
    assert [session.proven for session in sessions] == [False, True, True, True]


@pytest.mark.parametrize("is_proven", [False, True])
def test_a_candidate_of_a_stranger_goes_for_one_of_a_peer_that_is_known(*, is_proven: bool) -> None:
    world = World()
    a, b = world.pair(config=limited(candidates=2))
    c, d, e = world.end("C", NEAR), world.end("D"), world.end("E", NEAR, port=2)
    deaf(world, c, d, e)
    for end in (c, d, *([e] if is_proven else [])):
        end.connect(b)
        world.run(0.5)
    first, second = b.core.offered.values()
    assert (first.proven, second.proven) == (is_proven, True)
    a.restart()
    a.connect(b)
    world.until(lambda: a.is_synced(b), 1.0)
    assert first.sid not in b.core.sessions
    assert second.sid in b.core.sessions


def test_of_the_candidates_of_strangers_one_without_proof_goes_first() -> None:
    world = World()
    a, b = world.pair(config=limited(candidates=4))
    ends = [world.end("C", wall=EPOCH + 3600.0), *map(world.end, "DEF")]  # C is asked for proof at once
    deaf(world, *ends)
    for end in ends:
        end.connect(b)
        world.run(0.5)
    sessions = [*b.core.offered.values()]
    assert [session.proven for session in sessions] == [True, False, True, True]
    a.restart()
    a.connect(b)
    world.until(lambda: a.is_synced(b), 1.0)
    assert [*b.core.offered.values()] == [sessions[0], *sessions[2:]]


def test_replies_over_the_limit_are_not_opened() -> None:
    world = World()
    a = world.end("A", config=limited(reply_rate=1.0, reply_burst=2))
    a.place.call(lambda now: a.session.connect(b"B", at(NEAR), now))
    (sid,) = a.core.attempts
    for number in range(4):
        forged = H2(sid, b"", b"B", bytes([number]), b"remote!!", b"instance", b"")
        world.spoof(a, encode(forged), at(NEAR))
    world.run(0.1)
    assert a.session.stats.dropped["a reply that does not open"] == 2
    assert a.session.stats.dropped["too many replies"] == 2
    assert a.events(Limited) == [Limited(Limit.REPLY, 1)]


def test_sessions_with_one_remote_id_are_forgotten_one_by_one() -> None:
    world = World()
    b = world.end("B", config=limited(same_sid=2))
    for peer in "XYZ":
        knock(b, peer, sid=b"the same", host=f"192.0.2.{ord(peer)}")
        world.run(1.0)
    sessions = dict(b.core.sessions)
    assert b.core.by_remote == {b"the same": sessions}
    world.run(17.5)  # the first one is at its end
    assert [*b.core.by_remote[b"the same"]] == [*sessions][1:]
    b.freeze_and_thaw()
    assert [*b.core.by_remote[b"the same"]] == [*sessions][1:]
    world.run(5.0)
    assert b.core.by_remote == {}
    assert not b.core.sessions


def test_a_session_id_that_is_used_or_zero_is_drawn_again() -> None:
    used, free = b"used....", b"free...."
    script = {f"recovery.sid.{number}": [sid] for number, sid in enumerate([used, bytes(8), used, free], 1)}
    node = Node(me=b"A", entropy=ScriptedEntropy(script))
    for peer in (b"B", b"C"):
        node.connect(peer, at(NEAR), 0.0)
    assert [*node.recovery.attempts] == [used, free]


def test_a_token_outlives_the_secret_that_it_was_made_with() -> None:
    node, route = Node(me=b"A", entropy=ScriptedEntropy()), route_of(at(NEAR))
    tokens, life = node.recovery.tokens, RecoveryConfig().direct.token
    node.advance(2400.0)
    old = tokens.issue(route)
    node.advance(2401.0)
    before = tokens.secret
    new = tokens.issue(route)
    assert tokens.secret != before
    assert tokens.is_good(old, route)
    assert tokens.is_good(new, route)
    node.advance(2401.0 + life)
    assert not tokens.is_good(old, route)
    assert tokens.is_good(new, route)


# -- records


def test_a_record_is_wanted_again_before_its_counters_end() -> None:
    world = World()
    a, b = world.pair(config=limited(reserve=20))
    saved(a, b)
    session = a.current(b)
    bound = session.bound
    while session.counter < bound - 10:
        assert a.events(SaveWanted) == []
        a.send(b)
    a.send(b)
    assert a.events(SaveWanted) == [SaveWanted(b.id, session.generation)]
    record = saved(a, b)
    assert record.session.counter > session.bound == bound  # the first record may still be the one that is loaded
    a.core.saved(record)
    assert session.bound == record.session.counter
    while a.current(b) is session:  # nobody saves again: there is another session before the last counter
        assert session.counter < session.bound
        a.send(b)
        world.run(0.5)
    assert a.reasons() == [Reason.FIRST, Reason.REKEY]


@pytest.mark.parametrize("case", ["keys", "myself", "age", "place", "known"])
def test_a_record_that_cannot_be_loaded_changes_nothing(case: str) -> None:
    world = World()
    a, b = world.pair(config=limited(peers=1))
    record = saved(a, b)
    if case != "known":
        a.restart()
    match case:
        case "keys":
            record = attrs.evolve(record, session=attrs.evolve(record.session, keys=b"not those"))
        case "myself":
            record = attrs.evolve(record, peer=a.id)
        case "age":
            record = attrs.evolve(record, session=attrs.evolve(record.session, age=180.0))
        case "place":
            a.place.call(lambda now: a.session.connect(b"Y", at(NEAR), now))
    before = a.core.freeze(0.0)
    assert not load(a, record)
    assert a.core.freeze(0.0) == before


@pytest.mark.parametrize("name", ["A", "B"])
def test_a_session_that_is_loaded_is_no_candidate(name: str) -> None:
    world = World()
    world.record()
    world.pair()
    one, other = world.ends[name], world.ends["B" if name == "A" else "A"]
    init = next(packets(world.recorded, H1, "A"))
    record = saved(one, other)
    one.restart()
    assert load(one, record)
    assert not one.core.offered
    world.run(1.0)
    assert one.current(other).state is SessionState.CURRENT
    if name == "B":
        world.spoof(one, init, other.path)
        world.run(0.1)
        assert one.session.stats.dropped["a late copy of an init"] == 1


def test_a_record_without_a_route_waits_for_the_peer() -> None:
    world = World()
    a, b = world.pair()
    record = attrs.evolve(saved(a, b), route=None)
    a.restart()
    world.record()
    assert load(a, record)
    assert a.core.by_route == {}
    world.run(100.0)
    assert not [who for who, _, _ in world.recorded if who == "A"]
    assert a.events(Unreachable) == [Unreachable(b.id, record.generation, route=None)]
    assert not a.entry(b).call.backoffs
    b.connect(a)
    b.talk(a, 1.0)
    world.until(lambda: a.entry(b).route == route_of(b.path), 60.0)
    world.run(1.0)
    assert a.is_synced(b)


def test_a_goodbye_to_who_is_nowhere_is_kept_and_not_sent() -> None:
    world = World()
    a, b = world.pair()
    record = attrs.evolve(saved(a, b), route=None)
    a.restart()
    load(a, record)
    sid = record.session.sid
    a.disconnect(b)
    world.record()
    world.run(5.0)
    large = encode(Data(sid, 99, b"?", Kind.APP.value, b"", 60))
    world.spoof(a, large, Path("relay", "unknown", 0))
    world.run(0.1)
    assert not world.recorded
    world.spoof(a, large, b.path)
    world.run(0.1)
    assert [decode(data).kind for _, _, data in world.recorded] == [Kind.CLOSE.value]


def test_candidates_and_those_who_are_refused_are_part_of_a_snapshot() -> None:
    world = World()
    b = world.end("B")
    knock(b, "X")
    knock(b, "Y")
    y = world.end("Y")
    b.disconnect(y)
    x, refused = b.core.sessions.values()
    assert (x.state, refused.state) == (SessionState.OFFERED, SessionState.REFUSED)
    b.freeze_and_thaw()
    assert [*b.core.offered] == [x.sid, refused.sid]
    assert b.core.by_route == {}
    assert b.core.sessions[x.sid].peer is b.core.peers[b"X"]
    assert b.core.sessions[refused.sid].peer is None
    world.check()


def test_who_is_forgiven_one_instance_is_not_forgiven_the_others() -> None:
    farewells = Node(me=b"A", entropy=ScriptedEntropy()).recovery.farewells
    farewells.say(b"B", [b"first", b"second"], b"mine")
    farewells.forgive(b"B", b"first")
    assert [farewells.has_said(b"B", one) for one in (b"first", b"second")] == [False, True]
    farewells.forgive(b"B", b"second")
    assert not farewells.said


# -- conflicts, refusals


def successor(world: World, a: End, b: End) -> End:
    """C, at the address of A, which is gone."""
    a.stop()
    c = world.end("C", a.host.address)
    c.host.black_hole = False
    c.connect(b)
    return c


@pytest.mark.parametrize("is_expected", [False, True])
def test_another_identity_on_a_route_is_turned_away_until_the_older_one_is_lost(*, is_expected: bool) -> None:
    world = World()
    a, b = world.pair(config=RecoveryConfig(on_conflict=OnConflict.REFUSE))
    if is_expected:
        b.place.call(lambda now: b.session.connect(b"C", a.path, now))
    c = successor(world, a, b)
    world.until(lambda: bool(c.events(PeerClosed)), 2.0)
    assert [event.reason for event in c.events(PeerClosed)] == [CloseReason.REFUSED]
    assert b.events(PathConflict)[0] == PathConflict(a.id, b.generation(a), other=c.id)
    assert {event.peer for event in b.events(PathConflict)} == {a.id}
    assert b.current(a) is not None
    world.until(lambda: bool(b.events(PeerLost)), 120.0)
    c.connect(b)
    world.until(lambda: c.is_synced(b), 40.0)


def test_an_older_identity_that_is_heard_is_not_given_up() -> None:
    world = World()
    a, b = world.pair()
    a.move(2)
    c = world.end("C", a.host.address)
    c.connect(b)
    world.until(lambda: bool(b.events(PathConflict)), 1.0)
    assert b.entry(a).conflict.state is ConflictState.ASKING
    a.send(b)
    world.run(0.2)
    assert b.entry(a).conflict.state is ConflictState.NONE
    world.run(150.0)
    assert b.events(PeerLost) == []
    assert c.is_synced(b)


def test_one_refusal_a_minute_is_told() -> None:
    world = World()
    a, b = world.end("A"), world.end("B", policy=lambda visit: Admission.REFUSE)
    for number, told in enumerate((1, 1, 2), 1):
        a.connect(b)
        world.until(lambda count=number: len(a.events(PeerClosed)) == count, 10.0)  # type: ignore[misc]
        assert len(b.events(Refused)) == told
        world.run(31.0)


def test_a_peer_that_is_gone_is_forgotten() -> None:
    world = World()
    a, b = world.pair()
    a.stop()
    world.run(350.0)
    assert b.entry(a) is not None
    world.run(20.0)
    assert [event.peer for event in b.events(PeerForgotten)] == [a.id]
    assert b.entry(a) is None


def test_a_handshake_that_is_never_confirmed_is_begun_again() -> None:
    world = World()
    a, b = world.end("A"), world.end("B")
    deaf(world, b)
    a.connect(b)
    world.run(15.0)
    (first,) = a.core.sessions
    world.run(15.0)
    assert first not in a.core.sessions
    world.net.taps.clear()
    world.until(lambda: a.is_synced(b), 10.0)


# -- moves and changes of the network


def test_an_unlinkable_host_sends_nothing_under_its_old_sessions() -> None:
    world = World()
    a, b = world.pair(config=RecoveryConfig(unlinkable=True))
    world.record()
    for number in range(1, 4):  # also within the pause between two rounds
        old = a.current(b)
        world.recorded.clear()
        a.network_changed()
        for counter, kind in enumerate((Kind.PATH_CHALLENGE, Kind.PING), 50):
            packet = b.session.seal(old.remote_sid, counter, kind, b"8 bytes!")
            world.spoof(a, packet, at(NEAR))  # a ping from elsewhere: that route would be challenged, too
        a.send(b)
        world.until(lambda count=number: len(world.arrived) == count, 3.0)  # type: ignore[misc]
        world.run(0.1)
        mine = [decode(data) for who, _, data in world.recorded if who == "A"]
        assert isinstance(mine[0], H1)
        assert old.remote_sid not in {packet.sid for packet in mine if isinstance(packet, Data)}
        assert a.current(b) is not old
    assert a.session.stats.refused["the network changed since"] > 0


def test_a_stranger_is_not_called_when_the_network_changes() -> None:
    world = World()
    b = world.end("B")
    knock(b, "X")
    world.record()
    b.network_changed()
    world.run(5.0)
    assert not world.recorded
    assert not b.core.attempts


def test_a_peer_that_goes_while_all_are_looked_after_is_passed_over() -> None:
    world = World()
    a, b = world.pair(config=limited(slice=1))
    c = world.end("C")
    c.connect(a)
    world.until(lambda: c.is_synced(a), 1.0)
    world.record()

    def change(now: float) -> None:
        a.session.network_changed(now)
        a.session.disconnect(c.id, now)

    a.place.call(change)
    world.run(0.1)
    assert {path.host for who, path, data in world.recorded if who == "A" and decode(data).kind == Kind.PING.value} == {
        b.host.address
    }


def test_over_a_relay_reports_are_answered_with_one_round_of_pings_a_pause() -> None:
    world = World()
    a, b = world.pair(poll=60.0)
    world.record()
    pings: list[float] = []

    def tap(sender: Any, data: bytes, path: Path) -> None:
        packet = decode(data)
        if sender is a.place and isinstance(packet, Data) and packet.kind == Kind.PING.value:
            pings.append(world.now)

    world.net.taps.append(tap)
    begun = world.now
    for _ in range(2):
        a.network_changed()
        world.run(10.0)
    world.run(300.0)
    assert [round(when - begun) for when in pings] == [0, 130]
    assert a.is_synced(b)


def test_a_route_of_which_no_challenge_can_be_made_is_not_taken() -> None:
    world = World()
    a, b = world.pair()
    a.move()
    b.session.fails = lambda step: step == "path_value"
    world.record()
    a.talk(b, 0.1, 2.0)
    world.run(3.0)
    assert b.entry(a).route != route_of(a.path)
    assert not [data for data in packets(world.recorded, Data, "B") if decode(data).kind == Kind.PATH_CHALLENGE.value]
    assert b.session.stats.refused == {}
    b.session.fails = lambda step: False
    a.send(b)
    world.until(lambda: b.entry(a).route == route_of(a.path), 10.0)


def test_who_cannot_be_answered_over_a_relay_gets_no_session() -> None:
    class Homeless(RuntimeError):
        pass

    world = World()
    a, b = world.end("A", poll=60.0), world.end("B", poll=60.0)
    b.session.home = lambda route, peer: None
    a.connect(b)
    world.run(130.0)
    assert b.session.stats.dropped["an init that does not open"] > 0
    assert not b.core.peers
    del b.session.home
    world.until(lambda: a.is_synced(b), 600.0)


# -- hosts that cannot seal


def test_a_goodbye_that_cannot_be_sealed_is_not_sent() -> None:
    world = World()
    a, b = world.pair()
    a.session.fails = lambda step: step == "seal"
    world.record()
    a.disconnect(b)
    world.run(5.0)
    assert not [data for who, _, data in world.recorded if who == "A"]


def test_a_refusal_that_cannot_be_sealed_is_not_sent() -> None:
    world = World()
    a, b = world.end("A"), world.end("B", policy=lambda visit: Admission.REFUSE, fails=lambda step: step == "seal")
    sent: list[bytes] = []
    world.net.taps.append(lambda sender, data, path: sender is b.place and sent.append(data))
    a.connect(b)
    world.run(3.0)
    assert sent
    assert all(isinstance(decode(data), H2) for data in sent)


def test_a_challenge_that_cannot_be_made_is_not_sent() -> None:
    world = World()
    a, b = world.pair()
    b.session.fails = lambda step: step == "make_challenge"
    world.record()
    a.restart(wall=-1000.0)  # its stamps are older than what was seen
    a.connect(b)
    world.run(3.0)
    assert not list(packets(world.recorded, Ch, "B"))
    b.session.fails = lambda step: False
    world.until(lambda: a.is_synced(b), 20.0)
    assert list(packets(world.recorded, Ch, "B"))
