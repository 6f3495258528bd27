"""Machines that sleep, and networks that change. docs/protocols/tox.rst, the node."""

from __future__ import annotations

from typing import Any

import pytest
from tox_world import Tox, World, chat, meet, offline

from sansproto.tox import MessageDelivered, Undelivered

SOON = 8.0
"""Seconds until friends talk again."""


def friends(world: World, *, by_relay: bool) -> tuple[Tox, Tox]:
    a, b = world.node(1), world.node(2)
    if by_relay:
        relay = world.relay()
        a.use(relay)
        b.use(relay)
    a.befriend(b, path=not by_relay)
    b.befriend(a)
    meet(world, a, b)
    return a, b


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


@pytest.mark.parametrize("by_relay", [False, True])
@pytest.mark.parametrize("asleep", [5.0, 60.0, 3600.0])
def test_friends_talk_again_soon_behind_a_sleep(asleep: float, by_relay: bool) -> None:
    world = World()
    a, b = friends(world, by_relay=by_relay)
    chat(world, a, b, 3.0)
    said = a.say(b, "before")
    a.node.sleep(asleep)
    took = until_it_arrives(world, a, b)
    took_back = until_it_arrives(world, b, a)
    assert max(took, took_back) < SOON
    told: list[Any] = [event for event in a.events if isinstance(event, Undelivered) and said in event.messages]
    told += [event for event in a.events if isinstance(event, MessageDelivered) and event.number == said]
    assert len(told) == 1


@pytest.mark.parametrize("by_relay", [False, True])
def test_no_timers_are_made_up_for_behind_a_sleep(by_relay: bool) -> None:
    world = World()
    a, b = friends(world, by_relay=by_relay)
    chat(world, a, b, 3.0)
    a.node.sleep(3600.0)
    before = a.tox.stats.packets_sent
    world.net.run(2.0)
    assert a.tox.stats.packets_sent - before < 30


def test_a_network_that_changes_costs_no_session() -> None:
    """Another address, through a relay and directly: what waits is kept."""
    world = World()
    a, b = friends(world, by_relay=True)
    chat(world, a, b, 3.0)
    world.net.cut("10.0.0.1", "10.0.1.0")
    a.node.call(lambda now: a.tox.network_changed(now))
    chat(world, a, b, 10.0)
    assert offline(a, b) == []


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
