"""Restarts, outages and bad networks: two nodes on a network in memory."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_tox import REQUEST, NodePeer
from tox_world import Tox, World, all_arrived, chat, meet, offline

from sansproto.tox import (
    CustomReceived,
    FriendOffline,
    FriendOnline,
    MessageDelivered,
    MessageReceived,
    OfflineReason,
    Undelivered,
)
from sansproto.tox import packets as p

ROUND_TRIP = 0.04


def pair(world: World) -> tuple[Tox, Tox]:
    """Two friends of which the first calls."""
    a, b = world.node(1), world.node(2)
    a.befriend(b, path=True)
    b.befriend(a)
    meet(world, a, b)
    return a, b


def back(world: World, a: Tox, b: Tox, within: float = 60.0) -> float:
    """Until both have another session with each other."""
    begun, a_before = world.net.now, len(a.events)

    def is_back() -> bool:
        news = a.events[a_before:]
        return any(isinstance(one, FriendOnline) for one in news) and b.tox.is_online(a.key)

    world.net.run_until(is_back, within=within)
    return world.net.now - begun


def kinds(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


# -- restarts (docs/protocols/tox.rst, restart)


@pytest.mark.parametrize("round_trip", [0.02, 0.3, 2.0])
def test_a_friend_that_restarts_and_calls_is_back_in_three_and_a_half_round_trips(round_trip: float) -> None:
    """24, 25, 26, 26, 27: after the last one the survivor sends, and the other end answers."""
    world = World(latency=round_trip / 2)
    a, b = pair(world)
    world.net.run(20.0)
    b.restart("again")
    b.befriend(a, path=True)
    assert back(world, a, b) == pytest.approx(3.5 * round_trip)
    assert [event.reason for event in offline(a)] == [OfflineReason.RESTARTED]


def test_a_friend_that_restarts_at_another_port_is_back_as_fast() -> None:
    world = World()
    a, b = pair(world)
    world.net.run(20.0)
    b.node.stop(silent=True)
    c = Tox(world, 3, "again", keys=2)
    c.befriend(a, path=True)
    assert back(world, a, c) == pytest.approx(3.5 * ROUND_TRIP)


def test_a_friend_that_restarts_and_keeps_silent_is_found_out_by_its_silence() -> None:
    """Three seconds after a packet that it should have acknowledged, here a message, it is asked for a cookie. Three
    more are needed, each after 0.6 seconds: each shows that a way to it is open, and it says nothing in the session."""
    world = World()
    a, b = pair(world)
    world.net.run(20.0)
    b.restart("again")
    b.befriend(a)  # it does not know where
    a.tox.probe = lambda friend, path: None  # type: ignore[method-assign]
    a.say(b, "are you there?")
    assert back(world, a, b) == pytest.approx(3.0 + 1.8, abs=0.3)


def test_a_friend_that_restarts_and_keeps_silent_learns_where_we_are_by_the_ping_of_an_alarm() -> None:
    world = World()
    a, b = pair(world)
    world.net.run(20.0)
    b.restart("again")
    b.befriend(a)
    a.say(b, "are you there?")
    assert back(world, a, b) < 2.0


@pytest.mark.parametrize("at", [0.0, 4.05, 8.05])
def test_that_takes_no_longer_just_after_a_sign_of_life(at: float) -> None:
    world = World()
    a, b = pair(world)
    world.net.run(16.0 + at)
    b.restart("again")
    b.befriend(a)
    a.tox.probe = lambda friend, path: None  # type: ignore[method-assign]
    a.say(b, "are you there?")
    assert back(world, a, b) < 5.1


@pytest.mark.parametrize("latency", [0.001, 0.02, 0.2])
def test_two_nodes_without_anything_to_say_send_two_packets_each_in_eight_seconds(latency: float) -> None:
    """A sign of life, and what acknowledges that of the friend."""
    world = World(latency=latency)
    a, b = pair(world)
    world.net.run(16.0)
    before = [end.tox.stats.packets_sent for end in (a, b)]
    world.net.run(80.0)
    assert [end.tox.stats.packets_sent - sent for end, sent in zip((a, b), before, strict=True)] == [20, 20]


def test_without_anything_to_say_that_takes_up_to_eight_seconds_more() -> None:
    world = World()
    a, b = pair(world)
    world.net.run(20.0)
    b.restart("again")
    b.befriend(a)
    assert back(world, a, b) < 8.0 + 3.0 + 0.2


@pytest.mark.parametrize("seed", range(8))
def test_under_loss_a_restart_takes_some_repetitions_of_a_second(seed: int) -> None:
    world = World(seed, loss=0.3)
    a, b = pair(world)
    world.net.run(10.0)
    b.restart("again")
    b.befriend(a, path=True)
    assert back(world, a, b) < 25.0
    assert kinds(offline(a)) == ["FriendOffline"]


def test_after_a_clean_end_the_friend_is_back_at_once() -> None:
    world = World()
    a, b = pair(world)
    world.net.run(20.0)
    b.node.call(b.tox.close)
    world.net.run(0.1)
    assert [event.reason for event in offline(a)] == [OfflineReason.SAID]
    world.net.run(3.0)
    b.restart("again")
    b.befriend(a, path=True)
    assert back(world, a, b) < 0.3


def test_what_did_not_arrive_is_handed_up_once_and_what_did_is_not_told_again() -> None:
    world = World()
    a, b = pair(world)
    arrived = [a.say(b, f"{number}") for number in range(5)]
    world.net.run(5.0)
    b.restart("again")
    lost = [a.say(b, f"{number}") for number in range(5, 10)]
    b.befriend(a, path=True)
    back(world, a, b)
    told = [event for event in a.events if isinstance(event, Undelivered)]
    assert [event.messages for event in told] == [tuple(lost)]
    assert [event.number for event in a.events if hasattr(event, "number")] == arrived
    assert b.texts() == [str(number) for number in range(5)]  # of the process before
    world.net.run(60.0)
    assert len([event for event in a.events if isinstance(event, Undelivered)]) == 1
    assert kinds(offline(a, b)) == ["FriendOffline"]


@pytest.mark.parametrize("seed", range(4))
def test_both_ends_restart_again_and_again_and_no_message_is_told_twice(seed: int) -> None:
    world = World(seed, loss=0.2, reorder=0.2, duplicate=0.2)
    a, b = pair(world)
    given: dict[str, int] = {}
    for turn in range(6):
        for number in range(10):
            text = f"{turn} {number}"
            if a.say(b, text) is not None:
                given[text] = turn
            world.net.run(0.2)
        one, other = (b, a) if turn % 2 else (a, b)
        one.restart(f"{turn}")
        one.befriend(other, path=True)
        world.net.run_until(lambda: a.tox.is_online(b.key) and b.tox.is_online(a.key), within=90.0)
    world.net.run(20.0)
    assert len(set(b.texts())) == len(b.texts())
    assert set(b.texts()) <= set(given)


# -- outages


def test_an_outage_of_some_seconds_does_not_replace_the_session() -> None:
    world = World()
    a, b = pair(world)
    world.net.run(20.0)
    world.net.partition("10.0.0.1", "10.0.0.2")
    for number in range(50):
        a.say(b, f"{number}")
        world.net.run(0.1)
    world.net.heal("10.0.0.1", "10.0.0.2")
    world.net.run(10.0)
    assert b.texts() == [str(number) for number in range(50)]
    assert offline(a, b) == []


@pytest.mark.parametrize("ways", [{"10.0.0.2"}, {"10.0.1.0"}, {"10.0.0.2", "10.0.1.0"}], ids=["UDP", "relay", "both"])
def test_two_outages_of_five_minutes(ways: set[str]) -> None:
    world = World()
    a, b = world.node(1), world.node(2)
    if "10.0.1.0" in ways:
        relay = world.relay()
        a.use(relay)
        b.use(relay)
    a.befriend(b, path="10.0.0.2" in ways)
    b.befriend(a)
    meet(world, a, b)
    for _ in range(2):
        world.net.run(20.0)
        for host in ways:
            world.net.partition("10.0.0.1", host)
        world.net.run(300.0)
        assert not a.tox.is_online(b.key)
        assert not b.tox.is_online(a.key)
        for host in ways:
            world.net.heal("10.0.0.1", host)
        assert meet(world, a, b) < 8.0


@pytest.mark.unmeasured
def test_both_ends_call_at_the_same_time() -> None:
    for seed in range(10):
        world = World(seed, loss=0.3 if seed else 0.0)
        a, b = world.node(1), world.node(2)
        a.befriend(b, path=True)
        b.befriend(a, path=True)
        assert meet(world, a, b) < 25.0
        world.net.run(40.0)
        assert offline(a, b) == []  # and the sessions are the same


# -- bad networks


@pytest.mark.parametrize("seed", range(4))
def test_every_lossless_byte_arrives_once_and_in_order(seed: int) -> None:
    world = World(seed, loss=0.3, reorder=0.3, duplicate=0.2, corrupt=0.05)
    a, b = pair(world)
    packets = [b"\xa0" + number.to_bytes(4, "big") + bytes(number % 700) for number in range(120)]
    left = packets
    while left or len([one for one in b.events if isinstance(one, CustomReceived)]) < len(packets):
        left = left[a.give(b, left[:20]) :]
        world.net.run(0.5)
        assert world.net.now < 500.0
    assert [one.data for one in b.events if isinstance(one, CustomReceived)] == packets
    assert offline(a, b) == []


def test_an_idle_session_of_two_nodes_sends_little() -> None:
    world = World()
    a, b = pair(world)
    world.net.run(20.0)
    before = a.tox.stats.packets_sent + b.tox.stats.packets_sent
    world.net.run(80.0)
    sent = a.tox.stats.packets_sent + b.tox.stats.packets_sent - before
    assert sent <= 2 * 80 / 4 + 24  # one each 4 seconds, and those that acknowledge
    assert offline(a, b) == []


def test_messages_of_a_friend_that_was_offline_are_those_of_its_new_session() -> None:
    world = World()
    a, b = pair(world)
    world.net.run(5.0)
    b.restart("again")
    b.befriend(a, path=True)
    back(world, a, b)
    a.say(b, "hello again")
    world.net.run(1.0)
    events = [event for event in b.events if isinstance(event, (FriendOffline, MessageReceived))]
    assert events == [MessageReceived(a.key, "hello again")]


def test_a_call_for_silence_ends_when_the_old_session_shows_that_it_lives() -> None:
    """What was on its way for it is late then: the session is kept, and what waits in it."""
    peer = NodePeer.live()
    friend = peer.met()
    peer.send_message(friend.real.public, "are you there?", peer.now)
    peer.wait(10.5)
    (asked, *_) = [one for one in friend.take() if isinstance(one, p.CookieRequestBody)]
    friend.say(friend.data(REQUEST))
    peer.take()
    friend.say(friend.response(asked.number))
    peer.wait(2.5)
    assert not any(isinstance(one, p.HandshakeBody | p.CookieRequestBody) for one in friend.take())
    assert len(peer.endpoint.sessions.all) == 1
    assert peer.take() == []
    friend.say(friend.data(REQUEST, start=friend.start + 1))
    assert peer.take() == [MessageDelivered(friend.real.public, 1)]


@pytest.mark.unmeasured
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("seconds", [4.0, 12.0, 20.0])
def test_a_session_outlives_an_outage_in_which_both_have_called_anew(seed: int, seconds: float) -> None:
    world = World(seed, latency=0.05)
    a, b = pair(world)
    chat(world, a, b, 5.0)
    world.net.partition("10.0.0.1", "10.0.0.2")
    chat(world, a, b, seconds + seed * 0.1)
    world.net.heal("10.0.0.1", "10.0.0.2")
    world.net.run(8.0)
    assert not offline(a, b)
    assert all_arrived(a, b)
