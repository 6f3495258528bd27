"""What users of Tox lost, as cases: which test has each, and those that nobody else has.

two outages of 5 minutes
    test_restart_tox::test_two_outages_of_five_minutes
the clock jumps by 60 s and by 1 h
    test_roaming::test_friends_talk_again_soon_behind_a_sleep
the same: no burst of timers
    test_roaming::test_no_timers_are_made_up_for_behind_a_sleep
IPv4 is dead, IPv6 is alive
    test_roaming::test_ipv6_is_used_when_ipv4_is_dead_and_the_other_way_round
another network, VPN on and off
    test_roaming::test_a_network_that_changes_costs_no_session
the same: relays are dialled at once
    test_roaming::test_a_relay_is_dialled_at_once_in_another_network
the same: a router gives another port
    test_roaming::test_a_router_that_gives_another_port_costs_no_session
the same: what waits is kept
    test_roaming::test_what_was_to_be_sent_before_a_sleep_is_sent_behind_it_or_told
a full send queue for 60 s
    test_cases::test_a_full_queue_holds_up_no_signs_of_life_and_no_pings_of_a_relay
the same: what is missing is asked for
    test_cases::test_a_full_queue_holds_up_no_lists_of_what_is_missing
a relay is away for 5 s and for 60 s
    test_cases::test_a_relay_that_was_away_is_linked_again_once_and_friends_are_told
a proxy: no UDP, no direct TCP, no look-up
    test_tox_proxies::test_nothing_leaves_a_node_but_by_its_proxy
a proxy: replies in fragments
    test_tox_proxies::test_the_answer_of_the_relay_may_come_in_pieces_that_begin_with_that_of_the_proxy
a proxy: a wrong port
    test_tox_proxies::test_a_proxy_that_cannot_be_reached_is_told_as_such_and_dialled_again
each kind of packet malformed
    test_laws_tox_node::test_*
a session is ended in each event's handler
    test_cases::test_a_friend_is_removed_and_a_node_closed_at_any_event
low-order keys: packets
    test_packets_tox::test_a_point_of_small_order_is_no_key
low-order keys: handshakes
    test_handshake::test_a_low_order_answer_is_no_answer
low-order keys: relays
    test_relay_client::test_an_answer_with_a_key_of_small_order_is_dropped
low-order keys: clients of a relay
    test_relay_server::test_a_hello_with_a_key_of_small_order_ends_the_connection
floods of cookie requests
    test_hostile_tox::test_floods_of_strangers_make_nothing_grow
floods of connections to a relay
    test_relay_server::test_who_floods_from_one_address_does_not_push_out_its_neighbours
the port is taken, so there is no UDP
    test_cases::test_a_node_without_a_socket_meets_its_friends_at_a_relay
only IPv6
    test_cases::test_nodes_that_have_ipv6_alone_meet_by_udp_and_at_a_relay
UDP is blocked, and later open
    test_paths::test_udp_is_found_within_10_seconds_after_it_opens
a stolen long-term key
    test_cases::test_who_has_stolen_our_real_key_can_pose_to_us_as_anybody
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path as File
from typing import Any

import pytest
from scripted_tox import REAL, Friend, NodePeer
from tox_world import Tox, World, all_arrived, chat, meet, offline

from sansproto.contract import Address
from sansproto.events import Closed
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions
from sansproto.tox import (
    CustomReceived,
    FriendOffline,
    FriendOnline,
    KeyPair,
    MessageReceived,
    Relay,
    RelayConnected,
    RelayLost,
    RelayServer,
    RelaysShared,
    ToxNode,
    crypto,
)
from sansproto.trace import Stepped, TraceRecord

HERE = File(__file__).parent


def test_each_case_has_its_test() -> None:
    assert __doc__ is not None
    named = re.findall(r"^    (\w+)::(\w+\*?)$", __doc__, re.M)
    assert len(named) == 26
    for file, name in named:
        text = (HERE / f"{file}.py").read_text("utf-8")
        assert name == "test_*" or f"\ndef {name}(" in text, (file, name)


def at_a_relay(world: World, **more: Any) -> tuple[Tox, Tox]:
    a, b, relay = world.node(1), world.node(2, **more), world.relay()
    for node in (a, b):
        node.use(relay)
    a.befriend(b)
    b.befriend(a)
    meet(world, a, b)
    return a, b


@pytest.mark.unmeasured
def test_a_full_queue_holds_up_no_signs_of_life_and_no_pings_of_a_relay() -> None:
    """By a way that takes 15 packets a second."""
    world, records = World(), list[TraceRecord]()
    a, b = at_a_relay(world, trace=records.append)
    slow = Conditions(latency=0.02, rate=20_000.0)
    world.net.way("10.0.0.1", "10.0.1.0", slow, back=Conditions(latency=0.02))
    begun, taken = world.net.now, 0
    for _ in range(600):
        taken += a.give(b, [b"\xa0" + bytes(1300)] * 100)
        world.net.run(0.1)
    arrived = sum(isinstance(event, CustomReceived) for event in b.events)
    signs = [one.time for one in records if isinstance(one, Stepped) and one.input == "ALIVE" and one.time > begun]
    assert 600 < arrived < taken  # the queue was full all the time
    assert max(after - before for before, after in pairwise([begun, *signs, world.net.now])) < 11.0
    assert offline(a, b) == []
    assert not [event for event in (*a.events, *b.events) if isinstance(event, RelayLost)]


@pytest.mark.unmeasured
def test_a_full_queue_holds_up_no_lists_of_what_is_missing() -> None:
    """What the friend says comes whole meanwhile, though a third of it is lost."""
    world = World()
    a, b = world.node(1), world.node(2)
    a.befriend(b, path=True)
    b.befriend(a)
    meet(world, a, b)
    slow = Conditions(latency=0.02, rate=100_000.0, buffer=20_000)
    world.net.way("10.0.0.1", "10.0.0.2", slow, back=Conditions(latency=0.02, loss=0.3))
    taken = 0
    for number in range(100):
        taken += a.give(b, [b"\xa0" + bytes(1300)] * 100)
        b.say(a, f"{number}")
        world.net.run(0.1)
        assert len(a.texts()) > number - 40
    arrived = sum(isinstance(event, CustomReceived) for event in b.events)
    assert 400 < arrived < taken - 200  # the queue was full all the time


@pytest.mark.unmeasured
def test_a_node_without_a_socket_meets_its_friends_at_a_relay() -> None:
    """A packet for a socket that is not there would break the contract with the adapter."""
    world = World()
    a, b, relay = world.node(1, has_socket=False), world.node(2), world.relay()
    a.befriend(b)
    b.befriend(a, path=True)
    for node in (a, b):
        node.use(relay)
    meet(world, a, b)
    a.node.call(lambda now: a.tox.network_changed(now))
    chat(world, a, b, 20.0)
    world.net.run(1.0)
    assert all_arrived(a, b)
    assert (a.ways(b).used, b.ways(a).used) == (relay.key, relay.key)
    assert any(isinstance(event, RelayConnected) for event in a.events)


@pytest.mark.parametrize("by", ["UDP", "relay"])
def test_nodes_that_have_ipv6_alone_meet_by_udp_and_at_a_relay(by: str) -> None:
    world = World()
    a, b = (Tox(world, number, host=world.net.host(f"fd00::{number}")) for number in (1, 2))
    if by == "relay":
        server = RelayServer(private_key=b"r" * 32, entropy=ScriptedEntropy(seed=b"r"))
        world.net.host("fd00::9").run(server, listen={"relay": 443})
        for node in (a, b):
            node.use(Relay(server.public_key, Address("fd00::9", 443)))
    a.befriend(b, path=by == "UDP")
    b.befriend(a)
    meet(world, a, b)
    chat(world, a, b, 5.0)
    world.net.run(1.0)
    assert all_arrived(a, b)
    assert a.ways(b).is_direct is (by == "UDP")


@pytest.mark.parametrize("away", [5.0, 60.0])
def test_a_relay_that_was_away_is_linked_again_once_and_friends_are_told(away: float) -> None:
    """Both have another way meanwhile."""
    world = World()
    a, b = at_a_relay(world)
    a.befriend(b, path=True)
    world.net.run(10.0)  # UDP is found, though nobody talks
    assert a.ways(b).is_direct
    at, server = world.relays[0], world.relays[0].endpoint
    at.stop()
    world.net.run(away)
    for node in (a, b):
        node.events.clear()
    again = RelayServer(private_key=bytes([50]) * 32, entropy=ScriptedEntropy(seed=b"again"))
    assert again.public_key == server.public_key
    at.host.run(again, listen={"relay": 443})
    world.net.run(10.0)
    for node in (a, b):
        assert node.events.count(RelayConnected(again.public_key)) == 1
        assert len([event for event in node.events if isinstance(event, RelaysShared)]) == 1
        assert len(node.tox.links) == 1
    assert len(again.links) == len(again.clients) == 2
    assert offline(a, b) == []


ENDS: dict[str, Callable[[ToxNode, bytes], Callable[[float], None]]] = {
    "a friend is removed": lambda node, friend: lambda now: node.remove_friend(friend, now),
    "the node is closed": lambda node, friend: node.close,
    "the node is aborted": lambda node, friend: lambda now: node.abort(),
}


@pytest.mark.unmeasured
@pytest.mark.parametrize("what", ENDS)
@pytest.mark.parametrize("at", range(12))
def test_a_friend_is_removed_and_a_node_closed_at_any_event(at: int, what: str) -> None:
    """In the handler of the event with this number: nothing is raised, and no event follows that is not of this end."""
    world = World()
    a, relay = Tox(world, 1), world.relay()
    b = world.node(2)
    a.node.stop()
    a.node = a.node.host.run(a.tox, sockets={"udp": a.path.port}, auto_drain=False)
    for node in (a, b):
        node.use(relay)
    b.node.call(lambda now: b.tox.set_profile(now, name="b", status_message="here"))
    a.befriend(b, path=True)
    b.befriend(a)
    for turn in range(200):
        world.net.run(0.05)
        if b.tox.is_online(a.key):
            b.say(a, f"{turn}")
            b.give(a, [b"\xa0data"])
        if a.node.take() and len(a.events) == at + 1:
            a.node.call(ENDS[what](a.tox, b.key))
    assert len(a.events) > at
    world.net.run(60.0)
    a.node.take(10_000)
    kinds = [type(event) for event in a.events[at + 1 :]]
    if what == "a friend is removed":
        assert kinds.count(FriendOffline) <= 1
        assert FriendOnline not in kinds
        assert not a.tox.friends.all
        assert not a.tox.sessions.all
    else:
        assert isinstance(a.events[-1], Closed)
        assert kinds.count(Closed) == 1


class Thief(Friend):
    """It has our secret real key, and no secret of the friend in whose name it speaks."""

    def __init__(self, peer: NodePeer, friend: Friend) -> None:
        super().__init__(peer, 9)
        self.real = KeyPair(bytes(32), friend.real.public)

    @property
    def between_real(self) -> bytes:
        return crypto.agree(REAL.secret, self.real.public)


def test_who_has_stolen_our_real_key_can_pose_to_us_as_anybody() -> None:
    """docs/protocols/tox.rst, security notes, says so: both real keys lead to the same."""
    peer = NodePeer.live()
    friend = peer.befriend(3)
    thief = Thief(peer, friend)
    thief.call()
    thief.say(thief.lossless(b"\x40it is me"))
    told = peer.take()
    assert FriendOnline(friend.real.public) in told
    assert MessageReceived(friend.real.public, "it is me") in told
