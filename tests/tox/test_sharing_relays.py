"""Friends are told at which relays a node is, and told again while they are not there."""

from __future__ import annotations

from typing import Any

import pytest
from tox_world import World, meet

from sansproto.contract import Address, Path
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, VirtualNetwork
from sansproto.tox.events import FriendOnline, RelaysShared
from sansproto.tox.limits import NodeLimits
from sansproto.tox.node import ToxNode
from sansproto.tox.nodes import Relay
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
