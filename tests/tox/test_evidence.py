"""What speaks against a relay, for one friend: it is not used for that friend, and nobody else loses it.

docs/protocols/tox.rst, evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from bad_relays import Faults, Talker
from scripted import PartHost
from scripted_tox import AT_C, NodePeer
from tox_world import Tox, World, meet

from sansproto.contract import Address, Path
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.faulty_relay import FaultyRelay, black_hole, corrupting, delayed, mtu_black_hole
from sansproto.tox import FriendOffline, Relay
from sansproto.tox.crypto import Bulk
from sansproto.tox.events import DemotionReason, RelayDemoted
from sansproto.tox.evidence import Evidence
from sansproto.tox.friends import Friends
from sansproto.tox.limits import NodeLimits, RelayClientDelays
from sansproto.tox.outgoing import Outgoing
from sansproto.tox.paths import GARBLED, PASSES_NOTHING, Direct, Ways
from sansproto.tox.relay_inputs import RelayState
from sansproto.tox.relay_link import RelayLink
from sansproto.tox.relay_route import RelayRoute, RouteInput, RouteState
from sansproto.tox.session import NOT_TOLD

GARBAGE = b"\x1b" + bytes(40)


def route(node: Tox, friend: Tox, relay: Relay) -> RouteState:
    return node.tox.relays[relay.key].routes[friend.tox.dht_key].state


def routes(world: Faults, node: Tox, friend: Tox) -> list[RouteState]:
    return [route(node, friend, relay) for relay in world.known]


def is_demoted(world: Faults, number: int) -> bool:
    """By either of the two."""
    return any(route(node, world.other(node), world.known[number]) is DEMOTED for node in world.both)


ONLINE, DEMOTED = RouteState.ONLINE, RouteState.DEMOTED


class Three(Faults):
    """A third node, at the same relays, with which the first one has a session, too."""

    def __init__(self, relays: int, **more: Any) -> None:
        super().__init__(relays, **more)
        self.c = Talker(self, 3)
        for relay in self.known:
            self.c.use(relay)
        self.a.befriend(self.c)
        self.c.befriend(self.a)
        meet(self, self.a, self.c)
        self.run(6.0)

    def corrupt(self, number: int, *between: Tox) -> None:
        """A relay changes what goes between these two."""
        change, keys = corrupting(1.0), {node.tox.dht_key for node in between}
        self.treat(number, lambda one, other, data: change(one, other, data) if {one, other} == keys else [(0.0, data)])

    def send_garbage(self) -> None:
        """The third one sends garbage through all its relays."""

        def send(now: float) -> None:
            for relay in self.c.tox.relays.values():
                relay.send(self.a.tox.dht_key, GARBAGE)
            self.c.tox.run()

        self.c.node.call(send)


# -- packets that do not open


def test_a_relay_that_corrupts_is_not_used_for_that_friend_and_is_for_all_others() -> None:
    world = Three(2)
    world.corrupt(0, world.a, world.b)
    world.a.events.clear()
    for _ in range(20):
        world.a.talk(world.b)
        world.b.talk(world.a)
        world.net.run(0.1)
    assert routes(world, world.a, world.b) == [DEMOTED, ONLINE]
    assert routes(world, world.a, world.c) == [ONLINE, ONLINE]
    told = [event for event in world.a.events if isinstance(event, RelayDemoted)]
    assert told == [RelayDemoted(world.known[0].key, world.b.key, DemotionReason.GARBLED)]
    assert world.a.tox.stats.noted[GARBLED.remark] == 1
    assert world.a.tox.stats.dropped["data that does not open"] >= 3
    world.a.listen()
    world.b.listen()
    assert world.all_arrived()


def two_of_three_corrupt() -> None:
    world = Faults(3)
    world.run(6.0)
    for number in range(2):
        world.treat(number, corrupting(0.5, seed=number))
    world.run(6.0)
    for node in world.both:
        assert routes(world, node, world.other(node)) != [ONLINE, ONLINE, ONLINE]
    assert sum(state is ONLINE for state in routes(world, world.a, world.b)) == 1
    assert world.used(world.a) == world.used(world.b) == 2
    assert world.all_arrived()


def a_friend_frames_relays(*, is_online: bool) -> None:
    world = Three(3)
    if not is_online:
        world.b.node.stop()
        world.net.run(1.0)
    wanted = ONLINE if is_online else RouteState.REGISTERED
    streams = [world.a.tox.relays[relay.key].link for relay in world.known]
    for _ in range(60):
        world.send_garbage()
        world.net.run(1.0)
    assert sum(state is DEMOTED for state in routes(world, world.a, world.c)) == 2  # the last one is not given up
    assert routes(world, world.a, world.b) == [wanted] * 3
    assert [world.a.tox.relays[relay.key].link for relay in world.known] == streams
    assert [world.a.tox.is_online(node.key) for node in (world.b, world.c)] == [is_online, True]


def own_relays_only() -> None:
    a_friend_frames_relays(is_online=True)


def the_application_names_none() -> None:
    """A relay that two friends told of is not left for one of them, though the other one is away."""
    world, at_it = met_at_their_relay()
    away = Tox(world, 3)
    world.node_a.befriend(away, relays=(at_it,))
    world.net.run(6.0)
    stream = world.node_a.tox.relays[at_it.key].link
    garble(world)
    assert route(world.node_a, world.node_b, at_it) is DEMOTED
    assert route(world.node_a, away, at_it) is RouteState.REGISTERED
    assert world.node_a.tox.relays[at_it.key].link == stream


CASES: list[Callable[[], None]] = [two_of_three_corrupt, own_relays_only, the_application_names_none]


@pytest.mark.unmeasured
@pytest.mark.parametrize("case", CASES)
def test_who_loses_a_relay(case: Callable[[], None]) -> None:
    case()


@pytest.mark.unmeasured
def test_a_friend_that_is_away_keeps_its_relays() -> None:
    a_friend_frames_relays(is_online=False)


def leaves_for_all(ways: Any, relay: bytes, reason: DemotionReason) -> None:
    """All relays but one, whoever is to be met there."""
    if ways._may_demote(relay):
        for one in [key for key in ways.relays if key != relay]:
            for friend in ways.host.friends.all.values():
                ways.host.relays[one].demote(friend.ways.dht_key)


def blames_nobody(ways: Any, relay: bytes, reason: DemotionReason) -> None:
    return None


def hangs_up(friends: Any, relay: RelayLink) -> None:
    relay.rest()


WRONG: dict[str, tuple[type[Any], str, Any, Callable[[], None]]] = {
    "leave all but one": (Ways, "_demote", leaves_for_all, own_relays_only),
    "never leave any": (Ways, "_demote", blames_nobody, two_of_three_corrupt),
    "hang up, whoever else is there": (Friends, "relay_demoted", hangs_up, the_application_names_none),
    "hang up, though the application wants it": (Friends, "relay_demoted", hangs_up, own_relays_only),
}


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, wrong, case = WRONG[name]
    monkeypatch.setattr(place, attribute, wrong)
    with pytest.raises(AssertionError):
        case()


def test_a_relay_of_a_friend_that_was_left_is_replaced_by_another_one_that_it_tells_of() -> None:
    world, _ = met_at_their_relay(limits=NodeLimits(friend_relays=1))
    garble(world)
    better = world.relay()
    world.node_b.use(better)
    world.net.run(2.0)
    assert list(world.node_a.tox.relays) == [better.key]
    assert route(world.node_a, world.node_b, better) is ONLINE


class TheirRelay(World):
    """A friend by UDP, which also told of a relay of its own."""

    node_a: Tox
    node_b: Tox
    server: FaultyRelay


def met_at_their_relay(**more: Any) -> tuple[TheirRelay, Relay]:
    world = TheirRelay()
    world.server = FaultyRelay(private_key=bytes([90]) * 32, entropy=ScriptedEntropy())
    world.net.host("10.0.2.1").run(world.server, listen={"relay": 443})
    relay = Relay(world.server.public_key, Address("10.0.2.1", 443))
    world.node_a, world.node_b = Tox(world, 1, **more), Tox(world, 2)
    world.node_b.use(relay)
    world.node_a.befriend(world.node_b, path=True)
    world.node_b.befriend(world.node_a)
    meet(world, world.node_a, world.node_b)
    world.net.run(6.0)
    assert route(world.node_a, world.node_b, relay) is ONLINE  # by ShareRelays
    return world, relay


def garble(world: TheirRelay) -> None:
    for _ in range(3):
        link, dht_key = next(iter(world.node_b.tox.relays.values())), world.node_a.tox.dht_key
        world.node_b.node.call(lambda now, link=link, dht_key=dht_key: link.send(dht_key, GARBAGE))
        world.net.run(0.2)


def test_a_relay_of_a_friend_alone_is_left_and_dialled_again() -> None:
    world, relay = met_at_their_relay()
    link = world.node_a.tox.relays[relay.key]
    garble(world)
    world.net.run(1.0)
    assert (link.state, route(world.node_a, world.node_b, relay)) == (RelayState.RESTING, DEMOTED)
    world.net.run(29.5)
    assert (link.state, route(world.node_a, world.node_b, relay)) == (RelayState.UP, ONLINE)


@pytest.mark.parametrize("who", ["the application", "another friend", "a new key"])
def test_a_relay_that_rests_is_dialled_for_whoever_wants_it(who: str) -> None:
    world, relay = met_at_their_relay()
    garble(world)
    node, link = world.node_a, world.node_a.tox.relays[relay.key]
    assert link.state is RelayState.RESTING
    if who == "the application":
        node.use(relay)
    elif who == "another friend":
        node.befriend(Tox(world, 3), relays=(relay,))
    else:
        friend = node.tox.friends.all[world.node_b.key]
        node.node.call(lambda now: node.tox.friends.learn(friend, friend.ways.best, Tox(world, 3).tox.dht_key))  # type: ignore[arg-type]
    world.net.run(1.0)
    assert link.state is RelayState.UP
    assert route(node, world.node_b, relay) is DEMOTED


def test_the_first_5_seconds_of_a_session_say_nothing() -> None:
    world = Faults(2)
    world.run(1.0)
    world.treat(0, corrupting(1.0))
    world.run(3.5)
    assert routes(world, world.a, world.b) == [ONLINE, ONLINE]
    assert world.used(world.a) == 1  # it is left all the same


def said_by_relay(world: Faults, number: int, pause: float, count: int = 3) -> list[RouteState]:
    """Garbage of the friend through a relay, with pauses between."""
    for _ in range(count):
        link = world.b.tox.relays[world.known[number].key]
        world.b.node.call(lambda now, link=link: link.send(world.a.tox.dht_key, GARBAGE))
        world.net.run(pause)
    return routes(world, world.a, world.b)


def test_three_packets_in_10_seconds_are_enough() -> None:
    world = Faults(2)
    world.run(6.0)
    assert said_by_relay(world, 1, 5.1, 4) == [ONLINE, ONLINE]
    world.net.run(10.0)
    assert said_by_relay(world, 1, 4.9, 2) == [ONLINE, ONLINE]
    assert said_by_relay(world, 1, 0.1, 1) == [ONLINE, DEMOTED]


def test_what_anybody_can_send_says_nothing() -> None:
    """Not through a link."""
    world = Faults(2)
    world.run(6.0)
    for _ in range(10):
        for relay in world.b.tox.relays.values():
            world.b.node.call(lambda now, relay=relay: relay.send_oob(world.a.tox.dht_key, GARBAGE))
        world.net.run(0.1)
    assert routes(world, world.a, world.b) == [ONLINE, ONLINE]
    assert world.a.tox.stats.dropped["data that does not open"] == 20


def restarted(world: Faults, number: int) -> None:
    """A relay's process begins anew."""
    server = FaultyRelay(private_key=bytes([50 + number]) * 32, entropy=ScriptedEntropy(seed=b"again"))
    world.servers[number] = server
    world.relays[number] = world.relays[number].host.run(server, listen={"relay": 443})


def test_a_relay_is_kept_if_the_others_were_left_because_nothing_arrived() -> None:
    world = Faults(2)
    world.run(6.0)
    world.a.ways(world.b).track(world.known[1].key).suspect_until = world.net.now + 30.0
    assert said_by_relay(world, 0, 0.1) == [ONLINE, ONLINE]
    world.net.run(30.0)
    assert said_by_relay(world, 0, 0.1) == [DEMOTED, ONLINE]


def test_what_was_said_of_a_relay_is_forgotten_with_the_session() -> None:
    world = Faults(2)
    world.run(6.0)
    assert said_by_relay(world, 1, 0.1, 2) == [ONLINE, ONLINE]
    world.a.node.call(lambda now: world.a.tox.advance(now) or world.a.ways(world.b).begin_session())
    world.net.run(5.0)
    assert said_by_relay(world, 1, 0.1, 2) == [ONLINE, ONLINE]
    assert said_by_relay(world, 1, 0.1, 1) == [ONLINE, DEMOTED]


def test_what_was_said_of_a_relay_is_forgotten_with_it() -> None:
    world = Faults(2)
    world.run(6.0)
    assert said_by_relay(world, 1, 0.1, 2) == [ONLINE, ONLINE]
    world.a.node.call(lambda now: world.a.tox.remove_relay(world.known[1].key, now))
    world.a.use(world.known[1])
    world.net.run(1.0)
    assert said_by_relay(world, 1, 0.1, 1) == [ONLINE, ONLINE]


@pytest.mark.unmeasured
def test_the_last_way_is_kept_and_left_when_there_is_another_one() -> None:
    world = Faults(2)
    world.run(6.0)
    world.relays[1].stop()
    world.treat(0, corrupting(0.5))
    world.run(3.0)
    assert route(world.a, world.b, world.known[0]) is ONLINE
    restarted(world, 1)
    world.run(6.0)
    assert is_demoted(world, 0)
    assert world.used(world.a) == world.used(world.b) == 1
    assert world.all_arrived()


@pytest.mark.unmeasured
def test_a_relay_is_asked_again_at_once_if_no_other_way_is_left() -> None:
    world = Faults(2)
    world.run(6.0)
    world.treat(0, corrupting(1.0))
    world.run(2.0)
    assert is_demoted(world, 0)
    world.treat(0, None)
    world.relays[1].stop()
    at = world.net.now
    world.run(3.0)
    assert world.gap(at) < 1.0
    assert route(world.a, world.b, world.known[0]) is ONLINE


def test_udp_that_fails_brings_back_the_relays_that_were_left() -> None:
    world = Faults(2, udp=True)
    world.run(8.0)
    for number in range(2):
        said_by_relay(world, number, 0.1)
    assert routes(world, world.a, world.b) == [DEMOTED, DEMOTED]  # UDP is a way, too
    assert all(relay.is_up for relay in world.a.tox.relays.values())  # the application wants them
    world.block_udp()
    at = world.net.now
    world.run(12.0)
    assert world.gap(at) <= 3.0
    assert ONLINE in routes(world, world.a, world.b)


def test_two_who_leave_the_last_relay_of_each_other_come_together_again() -> None:
    world = Faults(2)
    world.run(6.0)

    for node, relay in zip(world.both, world.known, strict=True):
        node.tox.relays[relay.key].demote(world.other(node).tox.dht_key)
        node.node.call(lambda now, node=node: node.tox.run())
    at = world.net.now
    world.run(2.0)
    assert world.gap(at) < 0.7


def test_a_relay_is_asked_again_after_30_120_480_and_600_seconds_and_is_as_good_as_new_after_600() -> None:
    host = PartHost()
    made = RelayRoute(host, host, b"key", RelayClientDelays())
    pauses = []
    for linked in (1.0, 599.0, 1.0, 1.0, 1.0, 600.0):
        made.state = ONLINE
        made.tell_linked()
        host.advance(host.clock + linked)
        made.post(RouteInput.DEMOTED())
        host.run()
        assert made.state is DEMOTED
        pauses.append(host.armed["DEMOTED"])
        host.advance(host.clock + pauses[-1])
        host.cancel(made, next(timer for (_, timer), _ in host._timers))
    assert pauses == [30.0, 120.0, 480.0, 600.0, 600.0, 30.0]


# -- a relay that passes nothing on


@pytest.mark.unmeasured
def test_a_relay_that_answers_and_passes_nothing_on_is_not_used_for_some_time() -> None:
    world = Faults(2)
    world.run(6.0)
    world.treat(0, black_hole())
    world.run(5.0)
    assert is_demoted(world, 0)
    assert world.a.tox.stats.noted[PASSES_NOTHING.remark] == 1
    assert world.used(world.a) == world.used(world.b) == 1


@pytest.mark.unmeasured
def test_a_relay_that_does_not_answer_itself_is_not_blamed() -> None:
    """It may be our own network that is away."""
    world = Faults(2)
    world.run(6.0)
    world.stop(0)
    world.run(9.0)
    assert all(relay.is_up for relay in world.a.tox.relays.values())
    assert routes(world, world.a, world.b) == [ONLINE, ONLINE]
    world.run(5.0)
    assert not world.a.tox.relays[world.known[0].key].is_up  # it was asked, and has not answered for 10 seconds
    assert PASSES_NOTHING.remark not in world.a.tox.stats.noted


@pytest.mark.unmeasured
def test_a_friend_that_is_away_costs_one_relay_once() -> None:
    world = Faults(3)
    world.run(6.0)
    for number in range(3):
        world.net.partition("10.0.0.2", f"10.0.1.{number}")
    demoted = list[RouteState]()
    for _ in range(200):
        world.a.talk(world.b)
        world.net.run(0.1)
        demoted += [one for one in routes(world, world.a, world.b) if one is DEMOTED]
    assert 0 < len(demoted) <= 10  # it is asked for again while nothing comes by the others
    assert DEMOTED not in routes(world, world.a, world.b)
    assert world.a.tox.stats.noted[PASSES_NOTHING.remark] == 1


def sends_like_toxcore(monkeypatch: pytest.MonkeyPatch, node: Tox) -> None:
    """By the first relay that is linked, whatever comes of it, and acknowledges by this one alone."""

    def change(place: type[Any], name: str, answer: Any) -> None:
        usual = getattr(place, name)

        def changed(part: Any, *arguments: Any, **named: Any) -> Any:
            return answer if part.host is node.tox else usual(part, *arguments, **named)

        monkeypatch.setattr(place, name, changed)

    change(Ways, "leave", False)
    change(Ways, "leave_for_better", None)
    change(Ways, "others", [])
    change(Outgoing, "send_list_by", None)


@pytest.mark.unmeasured
def test_a_friend_that_sends_by_a_relay_that_passes_nothing_on_is_made_to_take_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As toxcore does: it stays for 34 seconds if its relay does not tell it that we have left."""
    world = Faults(2)
    world.run(6.0)
    sends_like_toxcore(monkeypatch, world.b)
    world.treat(0, black_hole(world.b.tox.dht_key))
    at = world.net.now
    world.run(12.0)
    assert 1.0 < world.gap(at) < 4.0
    assert world.used(world.b) == 1
    assert world.a.tox.stats.noted[PASSES_NOTHING.remark] == 1


@pytest.mark.unmeasured
def test_a_relay_by_which_a_friend_never_sent_is_left_but_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toxcore acknowledges by its first relay, by whichever we send."""
    world = Faults(2)
    sends_like_toxcore(monkeypatch, world.b)
    ways = world.a.ways(world.b)
    world.a.node.call(lambda now: world.a.tox.advance(now) or ways.leave(world.known[1].key))
    world.run(3.0)
    ways.begin_session()
    world.run(6.0)
    assert world.used(world.a) == 1
    world.treat(1, black_hole(world.a.tox.dht_key))
    world.run(6.0)
    assert world.used(world.a) == 0
    assert ways.evidence.due
    assert routes(world, world.a, world.b) == [ONLINE, ONLINE]


@pytest.mark.unmeasured
def test_late_packets_show_that_a_relay_passes_them_on() -> None:
    world = Faults(2, bulk="b")
    world.run(6.0)
    world.treat(1, delayed(0.2))
    session = world.b.tox.friends.all[world.a.key].session
    assert session is not None
    world.b.node.call(lambda now: session.outgoing.send_alive_by(world.known[1].key))
    at = world.net.now
    world.run(0.5)
    assert world.a.ways(world.b).evidence.heard[world.known[1].key] == pytest.approx(at + 0.21, abs=0.01)


def test_a_relay_by_which_what_was_missed_has_arrived_is_not_blamed() -> None:
    evidence = Evidence(heard={b"one": 1.0, b"other": 1.0})
    evidence.due = {b"one": (7, 2.0), b"other": (7, 2.0)}
    evidence.note_arrived(lambda relay, number, sent: relay == b"one")
    assert evidence.due == {b"other": (7, 2.0)}
    assert evidence.suspect(9.0, None) == (b"other", 2.0)
    assert evidence.suspect(1.5, None) is None  # nothing else came since
    evidence.forget(b"other")
    assert evidence.suspect(9.0, None) is None


def test_silence_counts_from_when_something_was_to_come_by_the_way_by_which_the_friend_sends() -> None:
    """A session that was quiet before says nothing against its relay, nor does one by UDP."""
    evidence = Evidence(heard={b"one": 1.0, b"other": 2.0})
    assert evidence.suspect(-inf, None) is None  # nothing is to come
    assert evidence.suspect(-inf, 6.0) == (b"other", 6.0)
    assert evidence.suspect(-inf, 1.5) == (b"other", 2.0)
    assert evidence.suspect(2.5, 6.0) is None  # the friend sends by UDP


@pytest.mark.parametrize(("trip", "least"), [(0.02, 3.0), (2.0, 5.0)])
def test_silence_is_no_evidence_before_3_seconds_or_two_round_trips_and_one_second(trip: float, least: float) -> None:
    world = Faults(2, trip)
    world.run(12.0)
    world.treat(0, black_hole())
    began = world.net.now
    while not is_demoted(world, 0):
        world.run(0.1)
    assert least < world.net.now - began < least + trip + 2.5


@pytest.mark.unmeasured
def test_a_relay_by_which_something_comes_is_not_blamed() -> None:
    world = Faults(2, bulk="ab")
    world.run(6.0)
    world.treat(0, mtu_black_hole(199))
    world.run(8.0)
    assert world.used(world.a) == world.used(world.b) == 1
    assert routes(world, world.a, world.b) == [ONLINE, ONLINE]


# -- packets that are far ahead


class Counting(Bulk):
    opened = 0

    def open(self, key: bytes, nonce: bytes, packet: bytes) -> bytes | None:
        Counting.opened += 1
        return super().open(key, nonce, packet)


def test_a_packet_is_looked_for_far_ahead_once_a_second_when_nothing_came_for_2_seconds() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.endpoint.bulk = Counting()

    def cost() -> int:
        before = Counting.opened
        friend.say(GARBAGE)
        return Counting.opened - before

    usual = cost()
    peer.wait(1.9)
    assert cost() == usual
    peer.wait(0.1)
    assert cost() == usual + 8
    assert cost() == usual
    peer.wait(1.0)
    assert cost() == usual + 8
    peer.take()
    friend.say(friend.data(b"\xc8x", skip=8 * 65_536 - 2))
    assert peer.take() == []  # not within this second
    peer.wait(1.0)
    friend.say(friend.data(b"\xc8x"), friend.data(b"\xc8y"))
    assert [event.data for event in peer.take()] == [b"\xc8x", b"\xc8y"]


def test_who_can_send_in_the_name_of_one_place_has_packets_from_others_looked_for_all_the_same() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.add_friend(friend.real.public, friend.dht.public, peer.now, path=AT_C)
    peer.wait(2.0)
    peer.take()
    friend.say(GARBAGE)
    late = friend.data(b"\xc8x", skip=65_536)
    friend.say(late)
    assert peer.take() == []  # not within this second
    peer.endpoint.receive_datagram(late, AT_C, peer.now)
    assert [event.data for event in peer.take()] == [b"\xc8x"]


def test_no_more_is_remembered_of_searches_than_the_ways_of_the_last_second() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    ways: Any = peer.endpoint.friends.all[friend.real.public].ways  # type: ignore[attr-defined]
    for number in range(100):
        peer.at(peer.now + 0.5)
        ways.note_searched(Direct(Path("udp", f"203.0.113.{number}", 33445)))
    assert len(ways.searched) <= 3


def test_a_friend_of_whom_nothing_opens_is_lost_after_60_seconds() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.take()
    for _ in range(59):
        friend.say(GARBAGE)
        peer.wait(1.0)
    assert not any(isinstance(event, FriendOffline) for event in peer.take())
    peer.wait(1.5)
    assert any(isinstance(event, FriendOffline) for event in peer.take())


def test_a_friend_that_has_relays_demoted_leaves_room_for_the_events_of_others() -> None:
    world = Faults(2)
    world.run(6.0)
    events: Any = world.a.tox._events
    limits = world.a.tox.limits
    events.extend([events] * (limits.events - limits.events // 4))
    world.a.node.call(lambda now: world.a.ways(world.b)._demote(world.known[1].key, DemotionReason.GARBLED))
    assert not any(isinstance(event, RelayDemoted) for event in events)
    assert world.a.tox.stats.noted[NOT_TOLD.remark] == 1


@pytest.mark.unmeasured
def test_a_relay_by_which_nothing_comes_is_given_up_even_for_suspect_ones() -> None:
    world = Faults(2)
    world.run(6.0)
    for node in world.both:
        node.ways(world.other(node)).track(world.known[1].key).suspect_until = world.net.now + 60.0
    world.treat(0, black_hole())
    world.run(6.0)
    assert is_demoted(world, 0)
    assert world.used(world.a) == world.used(world.b) == 1


@pytest.mark.unmeasured
def test_if_the_last_relay_passes_nothing_on_the_others_are_asked_again() -> None:
    world = Faults(2)
    world.run(6.0)
    world.treat(0, corrupting(1.0))
    world.run(2.0)
    assert is_demoted(world, 0)
    world.treat(0, None)
    world.treat(1, black_hole())
    at = world.net.now
    world.run(10.0)
    assert 1.0 < world.gap(at) < 4.0
    assert world.used(world.a) == world.used(world.b) == 0


def test_relays_that_were_demoted_are_asked_again_if_what_is_open_does_not_pass_all() -> None:
    """The friend who misses packets hears others all the time, and has no alarm."""
    world = Faults(2)
    world.run(8.0)
    world.treat(0, corrupting(1.0))
    world.run(2.0)
    assert world.b.tox.relays[world.known[0].key].is_demoted(world.a.tox.dht_key)
    world.treat(0, None)
    world.treat(1, mtu_black_hole(200))
    world.bulk, at, used = "a", world.net.now, set[int | None]()
    for _ in range(100):
        world.run(0.1)
        used.add(world.used(world.a))
    print(f"{world.gap(at):.1f} s without anything")
    assert world.gap(at) < 8.0
    assert used == {0, 1}


def test_they_are_asked_once_in_three_seconds_for_one_packet() -> None:
    evidence, asked = Evidence(), []
    for number, now in ((7, 0.0), (7, 2.9), (7, 3.0), (7, 5.9), (7, 6.0), (8, 6.1), (8, 9.0), (9, 9.1), (9, 12.2)):
        asked.append(evidence.note_missing(number, now, 3.0))
    assert asked == [False, False, True, False, True, False, False, False, True]
