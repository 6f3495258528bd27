"""Friends are told at which relays a node is, and told again while they are not there."""

from __future__ import annotations

from typing import Any

import pytest
from tox_world import Tox, World, meet

from sansproto.contract import Address, Path
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, VirtualNetwork
from sansproto.tox.events import FriendOnline, RelaysShared
from sansproto.tox.limits import NodeLimits
from sansproto.tox.node import ToxNode
from sansproto.tox.nodes import Relay, encode_nodes
from sansproto.tox.relay_server import RELAY_PORT, RelayServer


def node(number: int, **more: Any) -> ToxNode:
    entropy = ScriptedEntropy(seed=bytes([number]))
    return ToxNode(real_key=bytes([number]) * 32, dht_key=bytes([number + 100]) * 32, entropy=entropy, **more)


@pytest.mark.parametrize(
    ("most", "path", "told"),
    [(1, None, 9), (2, None, 1), (1, Path("udp", "192.0.2.2", 33445), 1)],
    ids=["at one of two relays", "at both", "at one, and by UDP"],
)
def test_a_friend_that_is_not_at_a_relay_of_ours_is_told_again_each_8_seconds(
    most: int, path: Path | None, told: int
) -> None:
    network = VirtualNetwork(seed=1, default=Conditions(latency=0.01))
    ours, theirs = node(1), node(2, limits=NodeLimits(friend_relays=most))
    us = network.host("192.0.2.1").run(ours, sockets={"udp": 33445})
    them = network.host("192.0.2.2").run(theirs, sockets={"udp": 33445})
    for number in (1, 2):
        address = Address(f"198.51.100.{number}", 443)
        server = RelayServer(private_key=bytes([50 + number]) * 32, entropy=ScriptedEntropy(seed=bytes([50 + number])))
        network.host(address.host).run(server, listen={RELAY_PORT: address.port})
        relay = Relay(server.public_key, address)
        us.call(lambda now, relay=relay: ours.add_relay(relay, now))
        if number <= most:
            them.call(lambda now, relay=relay: theirs.add_relay(relay, now))
    network.run(1.0)
    them.call(lambda now: theirs.add_friend(ours.real_key, ours.dht_key, now))
    us.call(lambda now: ours.add_friend(theirs.real_key, theirs.dht_key, now, path=path))
    network.run_until(lambda: any(isinstance(event, FriendOnline) for event in them.events), within=10.0)
    network.run(60.0)
    assert len([event for event in them.events if isinstance(event, RelaysShared)]) == told


def test_a_friend_is_told_when_another_relay_of_ours_is_up() -> None:
    world = World()
    a, b = world.node(1), world.node(2)
    a.befriend(b, path=True)
    b.befriend(a, path=True)
    meet(world, a, b)
    for _ in range(2):
        a.use(world.relay())
        world.net.run(1.0)
    assert [len(event.relays) for event in b.events if isinstance(event, RelaysShared)] == [1, 2]


NOWHERE = Address("10.0.9.9", 443)


def lie(world: World, liar: Tox, node: Tox, relay: Relay) -> None:
    """Tell of a relay that it is where nobody is."""
    session = liar.tox.friends.all[node.key].session
    assert session is not None
    packet = b"\x11" + encode_nodes([Relay(relay.key, NOWHERE)])
    liar.node.call(lambda now: session.outgoing.send_at_once(packet))
    world.net.run(1.0)


def met_by_udp(world: World, node: Tox, *friends: Tox) -> None:
    for friend in friends:
        node.befriend(friend, path=True)
        friend.befriend(node, path=True)
        meet(world, node, friend)


def test_a_friend_that_lies_about_a_relay_does_not_keep_the_application_from_it() -> None:
    world = World()
    a, liar, relay = world.node(1), world.node(2), world.relay()
    met_by_udp(world, a, liar)
    lie(world, liar, a, relay)
    assert a.tox.relays[relay.key].address == NOWHERE
    a.use(relay)
    world.net.run(1.0)
    link = a.tox.relays[relay.key]
    assert (link.address, link.is_up) == (relay.address, True)
    lie(world, liar, a, relay)
    world.relays[0].stop()
    world.net.run(60.0)
    assert link.address == relay.address


def test_the_application_may_say_again_where_a_relay_is() -> None:
    world = World()
    a, relay = world.node(1), world.relay()
    a.use(relay)
    world.net.run(1.0)
    a.use(Relay(relay.key, NOWHERE))
    link = a.tox.relays[relay.key]
    assert (link.address, link.is_up) == (NOWHERE, True)  # as long as it serves
    world.net.cut("10.0.0.1", "10.0.1.0")
    world.net.run(5.0)
    a.use(relay)
    world.net.run(1.0)
    assert link.is_up


@pytest.mark.parametrize("order", ["liar first", "liar last"])
def test_a_friend_that_lies_about_a_relay_does_not_keep_others_from_it(order: str) -> None:
    """Each is believed in turn. What has worked is tried first when the stream ends."""
    world = World()
    a, liar, b, relay = world.node(1), world.node(2), world.node(3), world.relay()
    met_by_udp(world, a, liar)
    b.use(relay)
    if order == "liar last":
        met_by_udp(world, a, b)
    lie(world, liar, a, relay)
    if order == "liar first":
        met_by_udp(world, a, b)
    world.net.run(15.0)
    link = a.tox.relays[relay.key]
    assert link.is_up
    world.net.partition("10.0.0.1", "10.0.0.3")
    world.net.cut("10.0.0.1", "10.0.1.0")
    world.net.run(5.0)
    assert link.is_linked(b.tox.dht_key)


def test_a_friend_that_says_of_a_relay_that_it_moved_is_believed_when_the_old_place_is_dead() -> None:
    world = World()
    a, b, relay = world.node(1), world.node(2), world.relay()
    met_by_udp(world, a, b)
    lie(world, b, a, relay)
    b.use(relay)
    world.net.run(15.0)
    link = a.tox.relays[relay.key]
    assert (link.address, link.is_up) == (relay.address, True)
