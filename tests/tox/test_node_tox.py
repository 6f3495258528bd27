"""The node: its end, its addresses, its relays, and what is kept of it."""

from __future__ import annotations

import pytest
from scripted_tox import AT_B, AT_C, DHT, ELSEWHERE, KILL, ONLINE, REAL, REQUEST, Friend, Heard, NodePeer
from tox_world import World, all_arrived, chat, meet, offline

from sansproto.contract import Address, Path, Phase
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.events import CloseCause, Closed
from sansproto.recovery import Admission, Visit
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.tox import packets as p
from sansproto.tox.crypto import KeyPair
from sansproto.tox.events import (
    CustomReceived,
    FriendOffline,
    FriendOnline,
    FriendWritable,
    MessageReceived,
    OfflineReason,
    RelayConnected,
    RelayLost,
    RelaysShared,
)
from sansproto.tox.limits import NodeLimits
from sansproto.tox.node import ToxNode
from sansproto.tox.nodes import Relay
from sansproto.tox.paths import Relayed, friend_route
from sansproto.tox.relay_inputs import Ended
from sansproto.trace import PacketSeen

NOT_A_KEY = bytes(32)


# -- keys and the end


def test_the_keys_of_a_node() -> None:
    peer = NodePeer.live()
    assert (peer.endpoint.real_key, peer.endpoint.dht_key) == (REAL.public, DHT.public)
    for real, dht in ((b"short", DHT.secret), (REAL.secret, b"short")):
        with pytest.raises(ValueError, match="32 bytes"):
            ToxNode(real_key=real, dht_key=dht, entropy=ScriptedEntropy())
    assert REAL.secret.hex() not in repr(vars(peer.endpoint))


def test_a_node_without_friends_ends_at_once() -> None:
    peer = NodePeer.live()
    peer.close(0.0)
    assert peer.take() == [Closed(CloseCause.LOCAL)]


def test_friends_are_told_twice_that_a_node_ends() -> None:
    peer = NodePeer.live()
    friend, other = peer.met(), peer.befriend(3, AT_C)
    other.shake()
    friend.take()
    other.take()
    peer.close(peer.now)
    assert friend.heard() == [KILL]
    assert peer.endpoint.phase is Phase.CLOSING
    assert peer.take() == [FriendOffline(friend.real.public, OfflineReason.REMOVED)]
    peer.wait(1.1)
    assert friend.heard() == [KILL]
    peer.close(peer.now)
    assert peer.stats.dropped == {}
    friend.say(friend.request(), friend.lossless(b"\x40late"))
    friend.say(friend.data(KILL))
    assert friend.take() == []
    assert peer.stats.dropped == {"closing": 3}
    peer.wait(1.0)
    assert peer.take() == [Closed(CloseCause.LOCAL)]
    for call in (
        lambda: peer.add_friend(friend.real.public, friend.dht.public, peer.now),
        lambda: peer.remove_friend(friend.real.public, peer.now),
        lambda: peer.add_relay(Relay(b"r" * 32, Address("192.0.2.1", 443)), peer.now),
        lambda: peer.remove_relay(b"r" * 32, peer.now),
        lambda: peer.set_profile(peer.now),
        lambda: peer.set_typing(friend.real.public, True, peer.now),
        lambda: peer.send_message(friend.real.public, "x", peer.now),
    ):
        with pytest.raises(NotOpen):
            call()
    peer.network_changed(peer.now)
    peer.resumed(peer.now, asleep=1.0)
    peer.close(peer.now)
    assert peer.take() == []


# -- addresses


def answer_pings(friend: Friend) -> int:
    """Answer the DHT pings that came; how many there were."""
    pings = [one for one in friend.take() if isinstance(one, p.DhtPingBody)]
    for ping in pings:
        friend.say(friend.pong(ping.number))
    return len(pings)


def test_everybody_gets_an_answer_to_a_ping_within_the_budget() -> None:
    peer = NodePeer.live()
    stranger = Friend(peer, 7)
    stranger.say(stranger.ping(b"number 7"))
    assert stranger.take() == [p.DhtPongBody(b"number 7")]
    stranger.say(*[stranger.ping(bytes(8)) for _ in range(12)])
    assert len(stranger.take()) == 9
    assert peer.stats.dropped == {"too many pings": 3}
    stranger.say(p.DATAGRAM.encode(p.DhtPing(NOT_A_KEY, bytes(24), bytes(25))))
    assert peer.stats.dropped == {"too many pings": 3, "a key that is none": 1}


def test_pings_that_do_not_open() -> None:
    peer = NodePeer.live()
    friend, stranger = peer.befriend(), Friend(peer, 7, AT_C)
    for one in (friend, stranger):
        ping = one.ping(bytes(8))
        one.say(ping[:-1] + bytes([ping[-1] ^ 1]))
        one.say(one.pong(bytes(8), kind=p.DhtPing))
    assert peer.stats.dropped == {"a ping that does not open": 4}
    assert peer.endpoint.friends.all[friend.real.public].cookies.left == 10


def test_a_friend_has_a_budget_of_its_own_for_pings() -> None:
    peer = NodePeer.live()
    friend, stranger = peer.befriend(), Friend(peer, 7, AT_C)
    stranger.say(*[stranger.ping(bytes(8)) for _ in range(12)])
    friend.say(*[friend.ping(bytes(8)) for _ in range(12)])
    assert [type(one) for one in friend.take()].count(p.DhtPongBody) == 10
    assert peer.stats.dropped == {"too many pings": 4}


def test_a_friend_with_another_address_is_found_by_pings_and_its_next_packet() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.move(ELSEWHERE)
    friend.say(friend.lossless(b"\x40nobody knows me here"))
    assert peer.stats.dropped == {"data from an unknown address": 1}
    friend.say(friend.ping(b"number 1"))
    pong, ping = friend.take()
    assert pong == p.DhtPongBody(b"number 1")
    entry = peer.endpoint.friends.all[friend.real.public]
    assert list(entry.ways.paths) == [AT_B]
    friend.say(friend.pong(ping.number))
    assert list(entry.ways.paths) == [ELSEWHERE, AT_B]  # what is heard is still the other one
    friend.number -= 1
    friend.say(friend.lossless(b"\x40here I am"))
    assert peer.take() == [MessageReceived(friend.real.public, "here I am")]
    assert list(entry.ways.paths) == [AT_B, ELSEWHERE]
    friend.take()
    peer.send_message(friend.real.public, "I see", peer.now)
    assert b"\x40I see" in friend.heard()
    friend.say(friend.ping(b"number 2"))
    assert friend.take() == [p.DhtPongBody(b"number 2")]  # the address is known by now


def test_an_answer_to_no_ping_of_ours() -> None:
    peer = NodePeer.live()
    friend, stranger = peer.met(), Friend(peer, 7, AT_C)
    friend.say(friend.pong(b"number 1"))
    stranger.say(stranger.pong(b"number 1"))
    friend.say(friend.ping(bytes(8)), path=ELSEWHERE)
    (sent,) = [one.data for one in peer.transmits if one.data[0] == 0]
    number = friend.read(sent).number
    friend.say(friend.pong(number))  # not from where the ping went
    friend.say(friend.pong(b"another."), path=ELSEWHERE)
    assert peer.stats.dropped == {"an answer to no ping of ours": 4}
    friend.say(friend.pong(number), friend.pong(number), path=ELSEWHERE)
    assert peer.stats.dropped == {"an answer to no ping of ours": 5}


def test_only_so_many_pings_are_awaited() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    for port in range(9):
        friend.say(friend.ping(bytes(8)), path=Path("udp", "198.51.100.99", port))
    assert len(peer.endpoint.friends.all[friend.real.public].pings) == 4


def test_after_a_change_of_network_friends_are_pinged_from_the_new_address() -> None:
    peer = NodePeer.live()
    friend = peer.met(3)
    peer.wait(3.0)
    friend.take()
    peer.network_changed(peer.now)
    peer.wait(0.01)
    assert answer_pings(friend) == 1
    friend.start = peer.endpoint.friends.all[friend.real.public].session.outgoing.window.number
    friend.say(friend.data(REQUEST))
    peer.wait(4.0)
    assert answer_pings(friend) == 0  # it was told


def test_after_a_sleep_a_friend_that_does_not_answer_is_called() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.wait(3.0)
    friend.take()
    peer.resumed(peer.now, asleep=60.0)
    peer.wait(9.0)
    assert p.CookieRequestBody in [type(one) for one in friend.take()]


def test_what_is_of_other_parts_of_tox_is_passed_over() -> None:
    peer = NodePeer.live()
    for kind in (0x02, 0x04, 0x20, 0x80, 0x9C, 0xFF):
        peer.receive_datagram(bytes([kind]) + bytes(100), AT_B, 0.0)
    assert peer.stats.dropped == {"malformed datagram": 6}


def test_while_too_many_events_wait_nothing_is_taken() -> None:
    """What is lossless waits in its window before that."""
    peer = NodePeer.live(limits=NodeLimits(events=2))
    friend = peer.met()
    node = peer.endpoint
    for number in range(4):
        node.receive_datagram(friend.lossless(b"\x40%d" % number), AT_B, peer.now)
    assert node.stats.dropped == {}
    assert node.waiting_events == 1
    for number in range(3):
        node.receive_datagram(friend.data(b"\xc8%d" % number), AT_B, peer.now)
    assert node.stats.dropped == {"busy": 2}


# -- relays


def test_friends_meet_at_a_relay_that_both_use() -> None:
    world = World()
    relay, a, b = world.relay(), world.node(1), world.node(2)
    assert a.use(relay)
    assert b.use(relay)
    a.befriend(b)
    b.befriend(a)
    assert meet(world, a, b) < 0.5
    chat(world, a, b, 10.0)
    world.net.run(2.0)
    assert all_arrived(a, b)
    assert RelayConnected(relay.key) in a.events
    assert not a.ways(b).is_direct


def test_friends_meet_where_one_of_them_is_and_learn_each_others_relays() -> None:
    world = World()
    first, second, a, b = world.relay(), world.relay(), world.node(1), world.node(2)
    a.use(first)
    b.use(second)
    a.befriend(b, relays=(second,))
    b.befriend(a)
    meet(world, a, b)
    world.net.run(3.0)
    assert RelaysShared(a.key, (first,)) in b.events
    assert RelaysShared(b.key, (second,)) in a.events
    assert [*a.ways(b).relays] == [first.key, second.key] or [*a.ways(b).relays] == [second.key, first.key]
    chat(world, a, b, 3.0)
    for node in world.relays[1:]:
        node.stop()
    chat(world, a, b, 10.0)
    world.net.run(3.0)
    assert all_arrived(a, b)
    assert offline(a, b) == []
    assert [event.relay for event in b.events if isinstance(event, RelayLost)] == [second.key]


@pytest.mark.unmeasured
def test_a_session_goes_on_through_relays_when_udp_is_cut_and_comes_back() -> None:
    world = World()
    relay, a, b = world.relay(), world.node(1), world.node(2)
    a.use(relay)
    b.use(relay)
    a.befriend(b, path=True)
    b.befriend(a)
    meet(world, a, b)
    chat(world, a, b, 5.0)
    assert a.ways(b).is_direct
    assert b.ways(a).is_direct
    world.net.partition("10.0.0.1", "10.0.0.2")
    chat(world, a, b, 20.0)
    assert not a.ways(b).is_direct
    assert not b.ways(a).is_direct
    world.net.heal("10.0.0.1", "10.0.0.2")
    chat(world, a, b, 20.0)
    world.net.run(3.0)
    assert all_arrived(a, b)
    assert a.ways(b).is_direct
    assert b.ways(a).is_direct
    assert offline(a, b) == []


@pytest.mark.unmeasured
@pytest.mark.parametrize("limits", [NodeLimits(queue=8), NodeLimits(outbox=1)], ids=["little waits", "no room for UDP"])
def test_who_offers_more_than_a_relay_takes_is_told_when_more_fits(limits: NodeLimits) -> None:
    world = World()
    relay, a, b = world.relay(), world.node(1, limits=limits), world.node(2)
    a.use(relay)
    b.use(relay)
    a.befriend(b)
    b.befriend(a)
    meet(world, a, b)
    offered = [b"\xa0%d" % number for number in range(8000)]
    taken = a.give(b, offered)
    while taken < len(offered):
        world.net.run_until(lambda: FriendWritable(b.key) in a.events)
        a.events.clear()
        taken += a.give(b, offered[taken:])
    world.net.run(10.0)
    assert [event.data for event in b.events if isinstance(event, CustomReceived)] == offered


def test_a_friend_with_another_address_keeps_its_session() -> None:
    world = World()
    relay, a, b = world.relay(), world.node(1), world.node(2)
    a.use(relay)
    b.use(relay)
    a.befriend(b, path=True)
    b.befriend(a)
    meet(world, a, b)
    chat(world, a, b, 3.0)
    a.node.host.move("10.0.0.3")
    a.node.call(lambda now: a.tox.network_changed(now))
    chat(world, a, b, 15.0)
    world.net.run(3.0)
    assert all_arrived(a, b)
    assert offline(a, b) == []
    assert next(reversed(b.ways(a).paths)).host == "10.0.0.3"
    assert b.ways(a).is_direct


def test_there_are_only_so_many_relays() -> None:
    world = World()
    relays = [world.relay() for _ in range(4)]
    a = world.node(1, limits=NodeLimits(relays=3, friend_relays=2))
    assert [a.use(relay) for relay in relays] == [True, True, True, False]
    assert a.use(relays[0])
    b = world.node(2)
    a.befriend(b, relays=tuple(relays))
    assert len(a.ways(b).relays) == 2
    a.node.call(lambda now: a.tox.remove_relay(relays[2].key, now))
    c = world.node(3)
    a.befriend(c, relays=(relays[3],))
    assert relays[3].key in a.ways(c).relays


def test_a_relay_is_used_as_long_as_a_friend_or_the_application_wants_it() -> None:
    world = World()
    first, second, a, b = world.relay(), world.relay(), world.node(1), world.node(2)
    a.use(first)
    a.befriend(b, relays=(second,))
    world.net.run(1.0)
    assert set(a.tox.relays) == {first.key, second.key}
    remove = a.tox.remove_relay
    a.node.call(lambda now: remove(second.key, now))  # it is the friend's
    assert set(a.tox.relays) == {first.key, second.key}
    a.node.call(lambda now: remove(first.key, now))
    assert set(a.tox.relays) == {second.key}
    a.node.call(lambda now: a.tox.remove_friend(b.key, now))
    assert set(a.tox.relays) == set()
    a.use(first)
    world.net.run(1.0)
    a.node.call(lambda now: remove(first.key, now))
    assert set(a.tox.relays) == set()
    world.net.run(1.0)
    assert not a.tox.links


def test_what_is_no_relay() -> None:
    with pytest.raises(LocalProtocolError):
        NodePeer.live().add_relay(Relay(NOT_A_KEY, Address("192.0.2.1", 443)), 0.0)


def test_a_relay_that_is_lost_while_nobody_takes_events_is_not_told() -> None:
    world = World()
    relay = world.relay()
    a = world.node(1, limits=NodeLimits(events=1))
    a.use(relay)
    world.net.run(1.0)
    assert a.events == [RelayConnected(relay.key)]
    a.tox.emit(FriendOnline(b""))
    a.tox.relay_down(a.tox.relays[relay.key], Ended(CloseCause.LOST))
    a.tox.relay_up(a.tox.relays[relay.key])
    assert a.tox.stats.noted == {"an event was left out, too many wait": 2}


def test_a_node_that_ends_leaves_its_relays() -> None:
    world = World()
    relay, a, b = world.relay(), world.node(1), world.node(2)
    a.use(relay)
    b.use(relay)
    a.befriend(b)
    b.befriend(a)
    meet(world, a, b)
    a.node.call(a.tox.close)
    world.net.run(1.0)
    assert offline(b) == [FriendOffline(a.key, OfflineReason.SAID)]
    world.net.run(3.0)
    assert a.events[-1] == Closed(CloseCause.LOCAL)
    assert not a.tox.links


@pytest.mark.unmeasured
def test_bulk_through_a_relay_waits_for_room_and_arrives_whole() -> None:
    world = World(rate=200_000.0)
    relay, a, b = world.relay(), world.node(1), world.node(2)
    a.use(relay)
    b.use(relay)
    a.befriend(b)
    b.befriend(a)
    meet(world, a, b)
    packets = [b"\xa0" + number.to_bytes(4, "big") + bytes(1300) for number in range(1500)]
    left = packets
    while left:
        left = left[a.give(b, left[:100]) :]
        world.net.run(0.05)
    world.net.run_until(lambda: len([e for e in b.events if hasattr(e, "data")]) == len(packets), within=300.0)
    assert [event.data for event in b.events if hasattr(event, "data")] == packets
    assert offline(a, b) == []


def test_what_comes_by_key_through_a_relay_is_of_its_sender() -> None:
    """A stranger at the same relay is answered, but cannot ask in another one's name."""
    world = World()
    relay, a, b = world.relay(), world.node(1), world.node(2)
    a.use(relay)
    b.use(relay)
    world.net.run(1.0)
    link = b.tox.relays[relay.key]
    heard: list[bytes] = []
    b.tox.relay_heard_oob = lambda relay, key, data: heard.append(data)  # type: ignore[method-assign]
    peer = NodePeer.live()
    stranger, other = Friend(peer, 2), Friend(peer, 7)
    for data in (
        stranger.request(to=a.tox.dht_key),
        other.request(to=a.tox.dht_key),
        b"\x77",
        b"\x1b" + bytes(40),
        b"",
    ):
        if data:
            link.send_oob(a.tox.dht_key, data)
    b.node.call(lambda now: None)
    world.net.run(1.0)
    assert [data[0] for data in heard] == [0x19]
    assert a.tox.stats.dropped == {
        "a cookie request in the name of another one": 1,
        "malformed packet through a relay": 1,
        "data from an unknown address": 1,
    }


def test_a_friend_whose_path_others_claim_is_still_found() -> None:
    peer = NodePeer.live(limits=NodeLimits(sharers=2))
    friend = peer.met()
    for number in range(3, 7):
        peer.befriend(number, AT_B, at=AT_B)
    friends = peer.endpoint.friends
    assert friends.by_path[AT_B][0] == friend.real.public
    assert len(friends.by_path[AT_B]) == 2
    friend.say(friend.lossless(b"\x40still found"))
    assert peer.take() == [MessageReceived(friend.real.public, "still found")]
    first = peer.befriend(8, AT_C, at=AT_C)
    for number in (9, 10):
        peer.befriend(number, AT_C, at=AT_C)
    assert first.real.public not in friends.by_path[AT_C]
    first.call()
    assert first.real.public in friends.by_path[AT_C]


def test_room_that_comes_for_a_friend_who_was_removed() -> None:
    peer = NodePeer.live(limits=NodeLimits(outbox=8))
    friend = peer.met()
    node = peer.endpoint
    assert node.send_many(friend.real.public, [b"\xa0"] * 20, peer.now) == 20
    node.friends.blocked[b"somebody else"] = None
    peer.drain()
    assert node.friends.blocked == {}
    assert len(friend.heard()) == 20


def test_two_friends_with_one_dht_key() -> None:
    peer = NodePeer.live()
    one, other = peer.befriend(2, AT_B), peer.befriend(3, AT_C, dht=102)
    assert peer.endpoint.friends.by_dht_key == {one.dht.public: other.real.public}
    peer.remove_friend(one.real.public, peer.now)
    assert peer.endpoint.friends.by_dht_key == {one.dht.public: other.real.public}


def test_the_end_is_told_once_to_a_friend_that_is_removed() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.take()
    peer.remove_friend(friend.real.public, peer.now)
    peer.wait(5.0)
    assert friend.heard() == [KILL]


def test_agreed_keys_are_remembered_up_to_a_limit() -> None:
    peer = NodePeer.live(limits=NodeLimits(keys=2, friends=1))
    for number in range(20, 30):
        stranger = Friend(peer, number)
        stranger.say(stranger.request())
        assert len(stranger.take()) == 1
    assert len(peer.endpoint.keyring.shared) == 4


def test_the_trace_calls_data_by_its_name() -> None:
    names: list[str] = []
    peer = NodePeer.live(trace=lambda record: names.append(record.name) if isinstance(record, PacketSeen) else None)
    friend = peer.met()
    assert names[:2] == ["CookieRequest", "CookieResponse"]
    friend.say(friend.lossless(b"\x40x"))
    assert names[-1] == "Data"


def test_what_the_recovery_core_does_not_need_of_this_host() -> None:
    """Tokens, hints, challenges of routes and records: cookies and the choice of ways stand for them."""
    node, route = NodePeer.live().endpoint, friend_route(b"friend")
    asked = (
        node.make_challenge(None, b"token", None),
        node.token_mac(b"secret", b"time", route),
        node.path_value(b"secret", b"peer", 1, route),
        node.reset_token(b"sid"),
        node.export(b"sid"),
    )
    assert asked == (b"", b"", b"", b"", b"")
    node.relay_linked(None, b"a friend who was removed")
    assert (node.make_hint(b"sid"), node.home(route, b"peer")) == (None, None)
    node.restore_keys(b"sid", b"keys")
    node.deliver(None)
    node.put(Relayed(b"a relay that is gone", b"key", True), b"\x18")
    assert node.next_transmit() is None


def test_a_relay_that_comes_up_while_the_node_ends() -> None:
    world = World()
    relay, a, b = world.relay(), world.node(1), world.node(2)
    a.befriend(b, path=True)
    b.befriend(a)
    meet(world, a, b)
    a.use(relay)
    a.node.call(a.tox.close)
    world.net.run(1.0)
    assert a.events[-1] == RelayConnected(relay.key)


def test_a_friend_is_looked_for_at_its_relays_only() -> None:
    world = World()
    first, second = world.relay(), world.relay()
    a = world.node(1, limits=NodeLimits(friend_relays=1))
    b, c = world.node(2), world.node(3)
    a.befriend(b, relays=(first,))
    a.befriend(c, relays=(second,))
    b.use(first)
    b.befriend(a)
    c.use(second)
    c.befriend(a)
    assert meet(world, a, b) < 2.0
    assert meet(world, a, c) < 2.0


def test_without_a_link_small_packets_go_by_key_through_all_relays() -> None:
    """Until both ends have asked the relay for each other. It may be at any of them."""
    world = World()
    first, second, a, b = world.relay(), world.relay(), world.node(1), world.node(2)
    for relay in (first, second):
        a.use(relay)
        b.use(relay)
    a.befriend(b)
    b.befriend(a)
    meet(world, a, b)
    for relay in (first, second):
        for one, other in ((a, b), (b, a)):
            one.tox.relays[relay.key].unroute(other.tox.dht_key)
    b.node.call(lambda now: b.tox.remove_relay(first.key, now))
    world.net.run(1.0)
    assert not any(link.is_linked(b.tox.dht_key) for link in a.tox.relays.values())
    a.say(b, "by key")
    a.say(b, "x" * 1200)  # more than goes by key
    world.net.run(1.0)
    assert b.texts() == ["by key"]
    for one, other in ((a, b), (b, a)):
        one.tox.relays[second.key].route(other.tox.dht_key)
    world.net.run(5.0)
    assert b.texts() == ["by key", "x" * 1200]


def test_a_friend_that_was_tied_when_there_was_no_room_for_its_relay() -> None:
    world = World()
    first, second = world.relay(), world.relay()
    a, b = world.node(1, limits=NodeLimits(relays=1)), world.node(2)
    a.use(first)
    a.befriend(b, relays=(second,))
    assert [*a.ways(b).relays] == [first.key]


def test_a_relay_that_a_friend_needs_as_well_stays() -> None:
    world = World()
    first, second = world.relay(), world.relay()
    a = world.node(1, limits=NodeLimits(friend_relays=1))
    b, c = world.node(2), world.node(3)
    a.befriend(b, relays=(first,))
    a.befriend(c, relays=(first,))
    a.node.call(lambda now: a.tox.remove_friend(b.key, now))
    assert set(a.tox.relays) == {first.key}
    a.node.call(lambda now: a.tox.remove_relay(second.key, now))
    assert set(a.tox.relays) == {first.key}


def test_a_path_of_two_friends_of_whom_one_is_removed() -> None:
    peer = NodePeer.live()
    one, other = peer.befriend(2, AT_B, at=AT_B), peer.befriend(3, AT_B, at=AT_B)
    peer.remove_friend(one.real.public, peer.now)
    assert peer.endpoint.friends.by_path == {AT_B: [other.real.public]}


def test_a_friend_that_restarts_at_a_relay_is_answered_there() -> None:
    """Its key at the relay may be another one since."""
    world = World()
    relay, a, b = world.relay(), world.node(1), world.node(2)
    a.use(relay)
    b.use(relay)
    a.befriend(b)
    b.befriend(a)
    meet(world, a, b)
    world.net.run(5.0)
    b.dht = 77
    b.restart("again")
    b.use(relay)
    b.befriend(a)
    world.net.run_until(lambda: b.tox.is_online(a.key) and bool(offline(a)), within=5.0)
    assert a.ways(b).dht_key == b.tox.dht_key
    assert [*a.tox.relays[relay.key].routes] == [b.tox.dht_key]
    chat(world, a, b, 3.0)
    world.net.run(2.0)
    assert all_arrived(a, b)


# -- restore


def test_a_node_goes_on_as_it_was_saved() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    for number in range(80):
        peer.send(friend.real.public, b"\xa0%d" % number, peer.now)
    peer.send_message(friend.real.public, "waits", peer.now)
    friend.say(friend.data(b"\xc8lossy"))
    peer.take()
    node = peer.endpoint
    restored = ToxNode.restore(
        node.snapshot(), real_key=REAL.secret, dht_key=DHT.secret, entropy=ScriptedEntropy(seed=b"restored")
    )
    assert restored.snapshot() == node.snapshot()
    peer.endpoint = restored
    friend.say(friend.lossless(b"\x40still there?"))
    assert peer.take() == [MessageReceived(friend.real.public, "still there?")]
    peer.wait(30.0)
    numbers = [one.payload for one in friend.take() if isinstance(one, Heard) and one.payload[:1] == b"\xa0"]
    assert b"\xa079" in numbers


def test_a_restored_node_knows_who_may_be_where() -> None:
    peer = NodePeer.live()
    friend, away = peer.met(), peer.befriend(3, AT_C, at=AT_C)
    arguments = {"real_key": REAL.secret, "dht_key": DHT.secret, "entropy": ScriptedEntropy(seed=b"restored")}
    restored = ToxNode.restore(peer.endpoint.snapshot(), **arguments)
    assert restored.friends.by_path == peer.endpoint.friends.by_path
    assert restored.friends.by_dht_key == peer.endpoint.friends.by_dht_key
    assert restored.friends.all[friend.real.public].session is not None
    assert restored.friends.all[away.real.public].session is None


def test_the_public_keys_belong_to_the_secret_ones() -> None:
    assert KeyPair.of(REAL.secret).public == NodePeer.live().endpoint.real_key
    assert ONLINE == b"\x18"


def test_the_core_learns_no_way_and_no_packets_of_who_is_no_friend() -> None:
    peer = NodePeer.live()
    assert peer.endpoint.home(friend_route(REAL.public), b"nobody") is None
    assert peer.endpoint.unacknowledged(b"nobody") == ()
    visit = Visit(REAL.public, b"instance", False, friend_route(REAL.public))
    assert peer.endpoint.admit(visit) is Admission.ACCEPT  # the gate was asked before
