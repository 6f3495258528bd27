"""Floods: what strangers, observers and hostile peers can use up, and what they cannot keep from others."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from symbolic import H1, H2, SIZES, Ch, Data, HintPacket, at, decode, digest, encode, route_of
from test_corners_recovery import NEAR, deaf, knock, limited, load, saved
from world import EPOCH, End, World, packets

from sansproto.contract import Path, SendError
from sansproto.recovery import Established, Kind, PathConflict, RecoveryConfig, Suspected
from sansproto.recovery.call import CallState

FAR = "198.51.100.7"


def junk(to: End, number: int) -> bytes:
    """An Init that is charged, and does not open: whoever knows the public key can make it."""
    return encode(H1(to.id, b"M", b"%d" % number, b"junk....", 0, b"instance", b"?", b""))


class Stranger:
    """An identity of somebody who has many, and sends all their packets from one path."""

    def __init__(self, to: End, name: str, path: Path) -> None:
        self.to, self.name, self.path, self.heard = to, name.encode(), path, list[Any]()
        to.world.net.taps.append(self._tap)

    def _tap(self, sender: Any, data: bytes, path: Path) -> None:
        if sender is self.to.place and path == self.path:
            self.heard.append(decode(data))

    def join(self) -> None:
        """Shake hands, and confirm."""
        world, to = self.to.world, self.to
        stamp = int(to.session.wall() * 1_000_000)
        init = H1(to.id, self.name, self.name, self.name.ljust(8, b"."), stamp, self.name.ljust(8, b"."), b"", b"")
        world.spoof(to, encode(init), self.path)
        world.run(0.01)
        (reply,) = (one for one in self.heard if isinstance(one, H2) and one.sid == init.sid)
        self.key, self.sid, self.counter = digest("key", init.hs_id, reply.ephemeral) + b"i", reply.remote, 0
        self.say(Kind.CONFIRM, bytes(24))

    def say(self, kind: Kind, body: bytes = bytes(8)) -> None:
        packet = Data(self.sid, self.counter, self.key, kind.value, body, SIZES[kind])
        self.counter += 1
        self.to.world.spoof(self.to, encode(packet), self.path)
        self.to.world.run(0.01)


def crowd(to: End, count: int) -> list[Stranger]:
    """So many of them on one route, each with a session, and each heard behind the one that came last."""
    found = list[Stranger]()
    for number in range(count):
        found.append(Stranger(to, f"X{number}", at(FAR)))
        found[-1].join()
        for one in found:
            one.say(Kind.KEEPALIVE)
        to.world.run(1.0)
    return found


# -- Inits


@pytest.mark.unmeasured
@pytest.mark.parametrize("is_known", [False, True])
def test_inits_without_proof_use_up_nothing_of_those_with_proof(*, is_known: bool) -> None:
    """Spoofed ones come from the group of A and from many others, faster than the budgets grow."""
    world = World()
    a, b = world.end("A"), world.end("B")
    if is_known:
        a.connect(b)
        world.until(lambda: a.is_synced(b), 1.0)
        a.restart()
    numbers = iter(range(10**6))
    hosts = [a.host.address, *(f"192.0.2.{number}" for number in range(30))]
    for host in hosts:
        world.each(0.02, lambda host=host: world.spoof(b, junk(b, next(numbers)), at(host, 9)), 20.0)  # type: ignore[misc]
    world.run(2.0)  # the bursts are used up
    a.connect(b)
    assert world.until(lambda: a.is_synced(b), 2.0) < 1.0
    assert b.session.opened < 120


def test_inits_of_one_address_with_proof_use_up_nothing_of_other_groups() -> None:
    world = World()
    a, b, hostile = world.end("A", wall=EPOCH + 3600.0), world.end("B"), world.end("M")  # A has to prove where it is
    hostile.connect(b)
    world.until(lambda: hostile.is_synced(b), 1.0)
    tokens = b.core.tokens

    def proven(number: int) -> bytes:
        token = tokens.issue(route_of(hostile.path))
        return encode(H1(b.id, b"M%d" % number, b"%d" % number, b"flood...", 0, b"instance", token, token))

    numbers = iter(range(10**6))
    world.each(0.005, lambda: world.spoof(b, proven(next(numbers)), hostile.path), 10.0)
    world.run(3.0)
    a.connect(b)
    assert world.until(lambda: a.is_synced(b), 2.0) < 1.0


def test_a_crowded_group_proves_where_it_is() -> None:
    """Half of the places of a group: whoever cannot be answered there takes no more of them."""
    world = World()
    b = world.end("B", config=limited(candidates_per_group=4))
    for name in "VWXYZ":
        knock(b, name)
        world.run(1.0)
    assert [session.peer_id for session in b.core.offered.values()] == [b"V", b"W"]
    assert b.session.stats.noted == {"a challenge was sent": 3}
    a = world.end("A", "192.0.2.7", port=7)
    a.connect(b)
    world.until(lambda: a.is_synced(b), 2.0)


# -- the table of peers


def test_strangers_of_one_group_leave_places_to_others() -> None:
    world = World()
    b = world.end("B", config=limited(peers=20))
    ends = [world.end(f"X{number}", FAR, port=number + 1) for number in range(20)]
    for one in ends:
        one.connect(b)
    world.run(60.0)
    there = len(b.core.peers)
    assert there == 4  # a quarter of what is left
    friend = world.end("F")
    friend.connect(b)
    world.until(lambda: friend.is_synced(b), 2.0)
    mine = world.end("G", FAR, port=99)
    assert b.place.call(lambda now: b.session.connect(mine.id, mine.path, now))
    world.until(lambda: b.is_synced(mine), 2.0)


def test_peers_that_we_call_count_for_no_group() -> None:
    world = World()
    b = world.end("B", config=limited(peers=20))
    for number in range(10):
        called = world.end(f"C{number}", FAR, port=number + 1)
        b.connect(called)
        world.until(lambda called=called: b.is_synced(called), 3.0)  # type: ignore[misc]
    strangers = [world.end(f"X{number}", FAR, port=number + 50) for number in range(4)]
    for one in strangers:
        one.connect(b)
        world.run(2.0)
    assert [one.is_synced(b) for one in strangers] == [True, True, False, False]
    b.connect(strangers[0])  # it is called, too, from now on
    world.run(40.0)
    assert sum(one.is_synced(b) for one in strangers) == 3


def test_shares_are_part_of_a_snapshot_and_go_with_their_peers() -> None:
    world = World()
    b = world.end("B", config=limited(peers=20))
    one, other = world.end("X", FAR), world.end("Y", FAR, port=2)
    for end in (one, other):
        end.connect(b)
        world.run(1.0)
    group = route_of(one.path).group
    b.freeze_and_thaw()
    assert {key: [*there] for key, there in b.core.let_in.items()} == {group: [one.id, other.id]}
    b.disconnect(one)
    assert [*b.core.let_in[group]] == [other.id]
    b.disconnect(other)
    assert b.core.let_in == {}


def test_who_moved_still_counts_for_where_it_came_from() -> None:
    world = World()
    b = world.end("B", config=limited(peers=4))
    one, elsewhere = Stranger(b, "X", at(FAR)), at("192.0.2.99")
    one.join()
    world.run(1.0)
    there = Stranger(b, "X", elsewhere)
    one.path = elsewhere
    for _ in range(200):
        one.say(Kind.PING)
        for packet in there.heard:
            if isinstance(packet, Data) and packet.kind == Kind.PATH_CHALLENGE.value:
                one.say(Kind.PATH_RESPONSE, packet.body)
        there.heard.clear()
        world.run(0.1)
    assert b.core.peers[b"X"].route == route_of(elsewhere)
    assert [*b.core.let_in] == [route_of(at(FAR)).group]


def test_a_peer_that_lives_on_after_its_goodbye_counts_for_where_it_came_from() -> None:
    world = World()
    b = world.end("B")
    b.place.call(lambda now: b.session.connect(b"X", at(FAR), now))
    one = Stranger(b, "X", at(FAR))
    one.join()
    world.run(1.0)
    assert b.core.let_in == {}
    stamp = int(b.session.wall() * 1_000_000)
    another = H1(b.id, b"X", b"again", b"another.", stamp, b"restarts", b"", b"")
    world.spoof(b, encode(another), at(NEAR))
    world.run(0.1)
    one.say(Kind.CLOSE, b"\0")
    assert [*b.core.peers] == [b"X"]
    assert {group: [*there] for group, there in b.core.let_in.items()} == {route_of(at(NEAR)).group: [b"X"]}


def test_a_newcomer_costs_a_crowded_table_one_entry() -> None:
    world = World()
    b = world.end("B", config=limited(peers=20, candidates_per_group=4))
    for port, name in enumerate("CDEFG", 1):
        stranger = world.end(name, FAR, port=port)
        deaf(world, stranger)
        if name == "G":  # there is less left than when the others came
            for number in range(8):
                b.place.call(lambda now, number=number: b.session.connect(b"%d" % number, at(NEAR), now))  # type: ignore[misc]
        stranger.connect(b)
        world.run(0.5)
    assert [session.peer_id for session in b.core.offered.values()] == [b"D", b"E", b"F", b"G"]


# -- peers on one route


def test_a_peer_that_comes_to_a_crowded_route_causes_few_questions() -> None:
    world = World()
    b = world.end("B", config=limited(same_route=3))
    crowd(b, 10)
    last, events = Stranger(b, "Y", at(FAR)), len(b.events(PathConflict))
    last.join()
    pings = [one for one in last.heard if isinstance(one, Data) and one.kind == Kind.PING.value]
    assert len(pings) == 3 + 1  # and one to measure the round trip
    told = b.events(PathConflict)[events:]
    assert [event.peer for event in told] == [b"X0", b"X1", b"X2"]
    assert {event.other for event in told} == {b"Y"}


def test_while_some_of_a_crowded_route_are_asked_no_others_are() -> None:
    world = World()
    b = world.end("B", config=limited(same_route=2))
    crowd(b, 4)
    events = len(b.events(PathConflict))
    for name in ("Y", "Z"):
        Stranger(b, name, at(FAR)).join()
    assert [event.peer for event in b.events(PathConflict)[events:]] == [b"X0", b"X1"]


def test_an_error_of_a_crowded_route_causes_few_questions() -> None:
    world = World()
    b = world.end("B", config=limited(same_route=3))
    crowd(b, 6)
    for already in (3, 6, 6):
        b._report(lambda now: b.session.os_error(at(FAR), now, error=SendError.UNREACHABLE))
        assert len(b.events(Suspected)) == already


# -- replies


def test_replies_of_one_peer_use_up_nothing_of_others() -> None:
    """A peer that we call knows the id of our session: it, or an observer there, answers again and again."""
    world = World()
    a, hostile = world.end("A"), world.end("M")
    deaf(world, hostile)
    world.net.taps.append(lambda sender, data, path: sender is hostile.place)
    a.connect(hostile)
    world.run(0.1)
    (sid,) = a.core.attempts
    numbers = iter(range(10**6))

    def answer() -> None:
        for _ in range(10):
            forged = H2(sid, b"", hostile.id, b"%d" % next(numbers), b"remote!!", b"instance", b"")
            world.spoof(a, encode(forged), hostile.path)

    world.each(0.01, answer, 10.0)
    world.run(3.0)
    b = world.end("B")
    a.connect(b)
    assert world.until(lambda: a.is_synced(b), 1.0) < 0.5
    opened = a.session.stats.dropped["a reply that does not open"]
    assert opened <= 40 + 20 * 4  # its own budget


# -- hints


def test_a_hint_is_compared_with_so_many_sessions_at_most() -> None:
    world = World()
    b = world.end("B", config=limited(same_sid=2))
    for peer in "XYZ":
        knock(b, peer, sid=b"the same", host=f"192.0.2.{ord(peer)}")
        world.run(1.0)
    seen: list[int] = []
    find = b.core.door.find
    b.core.door.find = lambda hint: seen.append(len(find(hint).sessions))  # type: ignore[method-assign,union-attr]
    b.core.door.find(HintPacket(b"the same", b"?" * 16, 25))  # type: ignore[arg-type]
    assert seen == [2]


# -- records


def test_a_record_that_was_not_stored_any_more_costs_no_counter_twice() -> None:
    """The program saves again, goes on, and ends before the new record is stored: the first one is loaded."""
    world = World()
    a, b = world.pair(config=limited(reserve=20))
    stored = saved(a, b)
    session = a.current(b)
    while session.counter < stored.session.counter - 3:
        a.send(b)
    saved(a, b)
    for _ in range(10):
        a.send(b)
    uppers = a.uppers
    a.restart()  # every counter that is used twice is noticed
    a.uppers = uppers
    assert load(a, stored)
    world.run(1.0)
    for _ in range(5):
        a.send(b)
    world.run(1.0)
    assert a.is_synced(b)


def test_a_record_that_lasts_lets_its_session_go_on() -> None:
    world = World()
    a, b = world.pair(config=limited(reserve=20))
    first = saved(a, b)
    session = a.current(b)
    for _ in range(12):
        a.send(b)
    second = saved(a, b)
    assert session.bound == first.session.counter < second.session.counter
    for record, bound in ((second, second), (first, second), (second, second)):
        a.core.saved(record)
        assert session.bound == bound.session.counter
    a.core.saved(attrs.evolve(second, session=attrs.evolve(second.session, sid=b"unknown.", counter=99)))
    assert session.bound == second.session.counter
    while session.counter < session.alarm:
        a.send(b)
    world.run(1.0)
    assert a.current(b) is session


def test_a_stranger_in_the_place_of_a_saved_peer_goes_for_its_record() -> None:
    """An observer repeats an old Init before the record is loaded."""
    world = World()
    world.record()
    a, b = world.pair()
    init = next(packets(world.recorded, H1, "A"))
    record = saved(b, a)
    b.restart()
    world.spoof(b, init, at(FAR))
    world.run(0.1)
    assert [*b.core.peers] == [a.id]
    since = world.now
    assert load(b, record)
    world.run(1.0)
    assert b.is_synced(a)
    assert b.reasons(since) == []  # nothing was established anew


@pytest.mark.parametrize("is_called", [False, True])
def test_a_record_takes_the_last_place_from_a_stranger_and_nobody_else(*, is_called: bool) -> None:
    world = World()
    a, b = world.pair(config=limited(peers=1))
    record = saved(b, a)
    b.restart()
    if is_called:
        b.place.call(lambda now: b.session.connect(b"X", at(FAR), now))
    else:
        knock(b, "X", host=FAR)
    assert [*b.core.peers] == [b"X"]
    assert load(b, record) is not is_called
    assert [*b.core.peers] == [b"X" if is_called else a.id]


# -- another address, with nothing that links it to the one before

UNLINKABLE = RecoveryConfig(unlinkable=True)


def test_an_init_under_way_is_not_repeated_at_another_address() -> None:
    """Also while the round of looking after the peers still has to wait: its pause is longer than that of an Init."""
    world = World()
    a, b = world.end("A", config=UNLINKABLE), world.end("B")
    world.record()
    world.net.taps.append(lambda sender, data, path: sender is a.place)  # nothing of it arrives
    a.connect(b)
    for seconds in (0.5, 0.7):
        a.network_changed()
        world.run(seconds)
    before = {decode(data).ephemeral for data in packets(world.recorded, H1, "A")}
    world.recorded.clear()
    a.network_changed()
    world.run(20.0)
    sent = [decode(data).ephemeral for data in packets(world.recorded, H1, "A")]
    assert not before & set(sent)
    assert len(set(sent)) < len(sent)  # at one address it is repeated


def test_the_token_of_one_address_is_not_shown_at_another() -> None:
    world = World()
    a, b = world.end("A", config=UNLINKABLE, wall=EPOCH - 3600.0), world.end("B")
    b.connect(a)
    world.until(lambda: a.is_synced(b), 2.0)
    b.restart()
    a.core.pokes.post = lambda happened: None  # type: ignore[method-assign]
    world.run(1.0)
    world.net.taps.append(lambda sender, data, path: sender is a.place and a.network_changed())
    world.record()
    a.restart()
    a.core.pokes.post = lambda happened: None  # type: ignore[method-assign]
    token = b.core.tokens.issue(route_of(a.path))
    a.connect(b)
    (call,) = [peer.call for peer in a.core.peers.values()]
    name = call.attempts[0].hs_id[:8]
    world.spoof(a, encode(Ch(name, token, b"")), b.path)
    world.run(0.1)
    assert a.session.stats.dropped["a challenge to another address"] == 1
    assert not [data for data in packets(world.recorded, H1, "A") if decode(data).token]


def test_a_session_that_cannot_be_confirmed_from_here_is_begun_anew() -> None:
    world = World()
    a, b = world.end("A", config=UNLINKABLE), world.end("B")
    tap = lambda sender, data, path: sender is a.place and isinstance(decode(data), Data)  # noqa: E731
    world.net.taps.append(tap)
    a.connect(b)
    world.until(lambda: a.entry(b).call.state is CallState.ANSWERED, 1.0)
    world.net.taps.remove(tap)
    world.record()
    (hidden,) = a.core.sessions.values()
    a.network_changed()
    assert world.until(lambda: a.is_synced(b), 2.0) < 0.5
    assert not [data for data in packets(world.recorded, Data, "A") if decode(data).sid == hidden.remote_sid]


def test_a_goodbye_is_not_said_under_a_session_of_another_address() -> None:
    """Who is left learns it by a refusal, when it calls."""
    world = World()
    a, b = world.pair(config=UNLINKABLE)
    old = a.current(b).remote_sid
    a.core.pokes.post = lambda happened: None  # type: ignore[method-assign]
    a.network_changed()
    world.record()
    a.disconnect(b)
    b.talk(a, 0.2, 60.0)
    world.run(60.0)
    assert b.entry(a) is None
    assert not [data for data in packets(world.recorded, Data, "A") if decode(data).sid == old]


def test_a_goodbye_is_not_repeated_at_another_address() -> None:
    world = World()
    a, b = world.pair(config=UNLINKABLE)
    world.net.taps.append(lambda sender, data, path: sender is a.place)
    a.disconnect(b)
    world.record()
    a.network_changed()
    (sid,) = a.core.farewells.tombstones
    world.spoof(a, encode(Data(sid, 99, b"?", Kind.APP.value, b"", 60)), b.path)
    world.run(5.0)
    assert not [1 for who, _, _ in world.recorded if who == "A"]


def test_a_saved_session_is_of_another_address() -> None:
    world = World()
    a, b = world.pair(config=UNLINKABLE)
    record = saved(a, b)
    a.restart()
    world.record()
    assert load(a, record)
    a.send(b)
    world.until(lambda: len(world.arrived) == 1, 2.0)
    first, *_ = [decode(data) for who, _, data in world.recorded if who == "A"]
    assert isinstance(first, H1)
    assert record.session.remote_sid not in {decode(data).sid for data in packets(world.recorded, Data, "A")}
    assert [event.reason.name for event in b.events(Established)] == ["FIRST", "REKEY"]
