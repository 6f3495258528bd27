"""Machines that sleep, and networks that change. docs/protocols/tox.rst, the node."""

from __future__ import annotations

from typing import Any

import pytest
from tox_world import Tox, World, all_arrived, chat, meet, offline

from sansproto.contract import Path
from sansproto.tox import CustomReceived, MessageDelivered, Undelivered

SOON = 8.0
"""Seconds until friends talk again."""


UDP, RELAY, BOTH = "UDP", "relay", "both"
by_each_way = pytest.mark.parametrize("by", [UDP, RELAY, BOTH])


def friends(world: World, by: str) -> tuple[Tox, Tox]:
    a, b = world.node(1), world.node(2)
    if by != UDP:
        relay = world.relay()
        a.use(relay)
        b.use(relay)
    a.befriend(b, path=by != RELAY)
    b.befriend(a)
    meet(world, a, b)
    return a, b


def talk(world: World, a: Tox, b: Tox, seconds: float) -> float:
    """A message both ways each tenth of a second; the longest time in which one of them got none."""
    worst, since = 0.0, [world.net.now] * 2
    had = [len(node.texts()) for node in (a, b)]
    for _ in range(round(seconds * 10)):
        chat(world, a, b, 0.1)
        for number, node in enumerate((a, b)):
            if len(node.texts()) > had[number]:
                had[number], since[number] = len(node.texts()), world.net.now
            worst = max(worst, world.net.now - since[number])
    return worst


def change(node: Tox) -> None:
    """Its machine says that it is in another network."""
    node.node.call(lambda now: node.tox.network_changed(now))


def until_it_arrives(world: World, a: Tox, b: Tox) -> float:
    """Say something until it arrives; how long that took."""
    begun, before = world.net.now, len(b.texts())

    def is_there() -> bool:
        a.say(b, "are you there?")
        return len(b.texts()) > before

    while not is_there():
        world.net.run(0.1)
        assert world.net.now - begun < 120.0
    return world.net.now - begun


@pytest.mark.unmeasured
@by_each_way
@pytest.mark.parametrize("asleep", [5.0, 60.0, 3600.0])
def test_friends_talk_again_soon_behind_a_sleep(asleep: float, by: str) -> None:
    world = World()
    a, b = friends(world, by)
    chat(world, a, b, 3.0)
    said = a.say(b, "before")
    a.node.sleep(asleep)
    took = until_it_arrives(world, a, b)
    took_back = until_it_arrives(world, b, a)
    assert max(took, took_back) < SOON
    told: list[Any] = [event for event in a.events if isinstance(event, Undelivered) and said in event.messages]
    told += [event for event in a.events if isinstance(event, MessageDelivered) and event.number == said]
    assert len(told) == 1


@pytest.mark.unmeasured
@by_each_way
@pytest.mark.parametrize("asleep", [60.0, 3600.0])
def test_friends_talk_again_soon_behind_a_sleep_in_which_the_address_changed(asleep: float, by: str) -> None:
    """Streams stand still then, and no packet of the friend arrives."""
    world = World()
    a, b = friends(world, by)
    chat(world, a, b, 3.0)
    a.node.host.move("10.8.0.1")
    a.node.sleep(asleep)
    assert until_it_arrives(world, a, b) + until_it_arrives(world, b, a) < SOON


@pytest.mark.unmeasured
@by_each_way
def test_no_timers_are_made_up_for_behind_a_sleep(by: str) -> None:
    world = World()
    a, b = friends(world, by)
    chat(world, a, b, 3.0)
    a.node.sleep(3600.0)
    before = a.tox.stats.packets_sent
    world.net.run(2.0)
    assert a.tox.stats.packets_sent - before < 30


@pytest.mark.unmeasured
@by_each_way
def test_what_was_to_be_sent_before_a_sleep_is_sent_behind_it_or_told(by: str) -> None:
    world = World()
    a, b = friends(world, by)
    world.net.run(1.0)
    offered = [b"\xa0" + number.to_bytes(2, "big") + bytes(1000) for number in range(300)]
    taken = a.give(b, offered)
    a.node.sleep(60.0)
    until_it_arrives(world, a, b)
    world.net.run(2.0)
    told = [data for event in a.events if isinstance(event, Undelivered) for data in event.packets]
    arrived = [event.data for event in b.events if isinstance(event, CustomReceived)]
    assert arrived == offered[: len(arrived)]  # in order, each once
    assert {*arrived, *told} == {*offered[:taken]}


# -- other networks


@pytest.mark.unmeasured
@by_each_way
def test_a_network_that_changes_costs_no_session(by: str) -> None:
    """A VPN is switched on, and off: another address, and streams that stand still."""
    world = World()
    a, b = friends(world, by)
    talk(world, a, b, 3.0)
    for address in ("10.8.0.1", "10.0.0.1"):
        a.node.host.move(address)
        change(a)
        assert talk(world, a, b, 10.0) < 1.5
    world.net.run(1.0)
    assert offline(a, b) == []
    assert all_arrived(a, b)
    if by != RELAY:
        assert a.ways(b).is_direct
        assert b.ways(a).is_direct
        assert next(reversed(b.ways(a).paths)).host == "10.0.0.1"


def test_a_relay_is_dialled_at_once_in_another_network() -> None:
    world = World()
    a, b = friends(world, RELAY)
    a.node.host.move("10.8.0.1")
    world.net.run(5.0)
    change(a)
    assert talk(world, a, b, 5.0) < 1.5
    assert offline(a, b) == []


@pytest.mark.unmeasured
@by_each_way
def test_a_router_that_gives_another_port_costs_no_session(by: str) -> None:
    """Nobody is told: neither our machine, nor the friend."""
    world = World()
    router = world.net.nat("192.0.2.1")
    a = Tox(world, 1, host=world.net.host("10.0.0.1", nat=router))
    b = world.node(2)
    if by != UDP:
        relay = world.relay()
        a.use(relay)
        b.use(relay)
    a.befriend(b, path=by != RELAY)
    b.befriend(a)
    meet(world, a, b)
    talk(world, a, b, 3.0)
    router.rebind()
    assert talk(world, a, b, 20.0) < 3.0
    world.net.run(1.0)
    assert offline(a, b) == []
    assert all_arrived(a, b)
    assert (a.ways(b).is_direct, b.ways(a).is_direct) == (by != RELAY, by != RELAY)


@pytest.mark.unmeasured
@pytest.mark.parametrize(("by", "most"), [(RELAY, 13.0), (BOTH, 2.0)])
def test_another_address_of_which_nobody_says_anything_costs_no_session(by: str, most: float) -> None:
    """The relay is pinged because the friend is silent, and given up 10 seconds later."""
    world = World()
    a, b = friends(world, by)
    talk(world, a, b, 3.0)
    a.node.host.move("10.8.0.1")
    assert talk(world, a, b, 20.0) < most
    world.net.run(1.0)
    assert offline(a, b) == []
    assert all_arrived(a, b)


def dual(world: World, number: int) -> Tox:
    """A node that is reached by IPv4 and IPv6."""
    node = world.node(number)
    node.node.host.add_address(f"fd00::{number}")
    return node


@pytest.mark.unmeasured
@pytest.mark.parametrize("relay", [False, True])
@pytest.mark.parametrize("told", ["both", "one"])
def test_ipv6_is_used_when_ipv4_is_dead_and_the_other_way_round(told: str, relay: bool) -> None:
    """Both know both addresses of each other, or only one end does."""
    world = World()
    a, b = dual(world, 1), dual(world, 2)
    if relay:
        at = world.relay()
        a.use(at)
        b.use(at)
    for one, other, number in ((a, b, 2), (b, a, 1)):
        is_told = one is a or told == "both"
        one.befriend(other, path=is_told)
        if is_told:
            one.befriend(other, at=Path("udp", f"fd00::{number}", other.path.port))
    meet(world, a, b)
    talk(world, a, b, 3.0)
    pairs = [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")]
    for dead, alive in (pairs, pairs[::-1]):
        world.net.partition(*dead)
        world.net.heal(*alive)
        assert talk(world, a, b, 12.0) < 2.0
        world.net.run(1.0)
        assert offline(a, b) == []
        assert all_arrived(a, b)
        assert a.ways(b).best.path.host == alive[1]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("our real key", "a handshake that does not open"),
        ("our DHT key", "a cookie request that does not open"),
        ("its real key", "a handshake of a stranger"),
        ("its DHT key", None),
    ],
)
def test_what_is_counted_where_a_friend_was_told_with_a_wrong_key(wrong: str, reason: str | None) -> None:
    """docs/protocols/tox.rst, why a packet was dropped, tells people what to do about it."""
    world = World()
    us, it, other = Tox(world, 1), Tox(world, 2), Tox(world, 3)
    told = (other if wrong == "our real key" else us).key, (other if wrong == "our DHT key" else us).tox.dht_key
    known = (other if wrong == "its real key" else it).key, (other if wrong == "its DHT key" else it).tox.dht_key
    it.node.call(lambda now: it.tox.add_friend(*told, now, path=us.path))
    us.node.call(lambda now: us.tox.add_friend(*known, now))
    world.net.run(3.0)
    assert list(us.tox.stats.dropped) == ([reason] if reason else [])
    assert us.tox.is_online(it.key) is (reason is None)
