"""A node of ours and the real toxcore at relays of either kind, and between relays and UDP."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from tox_pairs import DIRECT, OFFLINE, RELAYED, Both, Meeting, Talk, bulk, link_two, told
from tox_parts import Client, OurRelay, Ours, Scene, free_port
from toxcore import Library, RelayProcess, Toxcore

from sansproto.testing.faulty_relay import Fault, black_hole, corrupting
from sansproto.tox.events import FriendOnline, MessageDelivered, MessageReceived, RelayDemoted, RelaysShared
from sansproto.tox.relay_events import (
    Linked,
    OobReceived,
    RelayConnected,
    RelayedReceived,
    RelayLost,
    Routed,
    RouteRefused,
    Unlinked,
)

pytestmark = pytest.mark.interop

Record: TypeAlias = Callable[[str, object], None]


# -- our client at toxcore's relay -------------------------------------------------------------------------------------


@pytest.fixture
def clients(scene: Scene, library: Library) -> tuple[Client, Client]:
    """Two, who are linked."""
    relay = scene.add(Toxcore(library, relay_port=free_port()))
    return link_two(scene, relay)


def test_two_clients_of_ours_are_linked(scene: Scene, clients: tuple[Client, Client]) -> None:
    a, b = clients
    for size in (1, 1400, 2031):
        assert a.call("send", b.key, bytes(size))
        assert told(scene, b, 1) == [RelayedReceived(a.key, bytes(size))]
    for size in (1, 1024):
        assert b.call("send_oob", a.key, bytes(size))
        assert told(scene, a, 1) == [OobReceived(b.key, bytes(size))]
    assert a.core.stats.dropped == b.core.stats.dropped == {}


def test_whatever_we_give_back_the_relay_keeps_us(scene: Scene, clients: tuple[Client, Client]) -> None:
    a, b = clients
    for _ in range(3):
        a.call("unroute", b.key)
        a.call("route", b.key)
        assert told(scene, a, 3) == [Unlinked(b.key), Routed(b.key), Linked(b.key)]
        assert told(scene, b, 2) == [Unlinked(a.key), Linked(a.key)]
    a.call("unroute", b.key)
    assert told(scene, a, 1) == [Unlinked(b.key)]
    assert told(scene, b, 1) == [Unlinked(a.key)]
    for key in some_keys(5):
        a.call("route", key)
        a.call("unroute", key)
    a.call("route", b.key)
    assert told(scene, a, 2) == [Routed(b.key), Linked(b.key)]


def some_keys(count: int) -> list[bytes]:
    return [secrets.token_bytes(31) + b"\1" for _ in range(count)]


def test_the_relay_has_240_ids_for_us(scene: Scene, library: Library) -> None:
    a = scene.add(Client(scene.add(Toxcore(library, relay_port=free_port()))))
    keys = some_keys(240)
    for key in keys[:239]:
        assert a.call("route", key)
    assert set(told(scene, a, 240)) == {RelayConnected(a.relay_key), *map(Routed, keys[:239])}
    a.call("route", a.key)
    assert told(scene, a, 1) == [RouteRefused(a.key)]
    a.call("unroute", a.key)
    a.call("route", keys[239])
    assert told(scene, a, 1) == [Routed(keys[239])]
    assert not a.call("send", keys[0], b"nobody there")


def test_another_login_ends_the_first_one(scene: Scene, library: Library) -> None:
    relay = scene.add(Toxcore(library, relay_port=free_port()))
    first = scene.add(Client(relay, redial=60.0, redial_most=60.0))
    assert told(scene, first, 1) == [RelayConnected(relay.dht_key)]
    second = scene.add(Client(relay, keys=first.keys))
    assert [type(event) for event in told(scene, first, 1)] == [RelayLost]
    second.call("send_oob", second.key, b"who is it?")
    assert told(scene, second, 2) == [RelayConnected(relay.dht_key), OobReceived(second.key, b"who is it?")]


# -- nodes at relays ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["our relay", "toxcore's relay"])
def relay(request: pytest.FixtureRequest, scene: Scene, library: Library) -> Any:
    if request.param == "our relay":
        return scene.add(OurRelay())
    return scene.add(RelayProcess(library, free_port()))


def test_through_a_relay(scene: Scene, library: Library, relay: Any) -> None:
    pair = Meeting(scene, library, relay)
    pair.connect()
    pair.exchange()
    pair.forget()
    bulk(pair, 300, 1000, within=60.0)  # a relay of toxcore drops what a busy end does not read in time


def test_through_a_relay_again(scene: Scene, library: Library, relay: Any) -> None:
    """Toxcore has forgotten by which relay we came, but was told where we are: it calls, and is a stranger."""
    pair = Meeting(scene, library, relay)
    pair.connect()
    pair.exchange()
    node = pair.ours.node
    pair.ours.call(node.remove_friend, pair.theirs.real_key)
    scene.until(lambda: pair.theirs.status == OFFLINE)
    scene.until(lambda: node.stats.dropped.get("a handshake of a stranger"), 20.0)
    pair.connect()
    pair.exchange()


def test_two_of_ours_at_a_relay_of_toxcore(scene: Scene, library: Library) -> None:
    relay = scene.add(RelayProcess(library, free_port()))
    one, other = scene.add(Ours(is_udp=False)), scene.add(Ours(is_udp=False))
    for node, friend in ((one, other), (other, one)):
        node.use_relay(relay.relay_port, relay.dht_key)
        node.befriend(friend)
    scene.until(lambda: one.of(FriendOnline) and other.of(FriendOnline))
    for node, friend in ((one, other), (other, one)):
        assert node.text(friend, "hello")
    scene.until(lambda: one.of(MessageDelivered) and other.of(MessageDelivered))
    assert [event.text for node in (one, other) for event in node.of(MessageReceived)] == ["hello", "hello"]


def test_a_relay_is_lost(scene: Scene, library: Library, relay: Any, record_property: Record) -> None:
    """And another one is there."""
    pair = Meeting(scene, library, relay, scene.add(OurRelay()))
    pair.connect()
    talk = Talk(pair)
    talk.go_on()
    scene.stop(relay)
    talk.go_on(20)
    talk.finish()
    record_property("longest gaps", [round(gap, 2) for gap in talk.gaps])


def test_each_learns_the_relays_of_the_other(scene: Scene, library: Library) -> None:
    """They meet at one that both know. Toxcore tells of its relays once it uses more than three for a friend."""
    common, *relays = [scene.add(OurRelay()) for _ in range(5)]
    pair = Meeting(scene, library, common)
    for end, own in ((pair.theirs, relays[:2]), (pair.ours, relays[2:])):
        for relay in own:
            end.use_relay(relay.relay_port, relay.dht_key)
    pair.connect()
    links, friend = pair.ours.node.relays, pair.ours.node.friends.all[pair.theirs.real_key].ways
    scene.until(lambda: all(one.dht_key in links and links[one.dht_key].is_linked(friend.dht_key) for one in relays))
    (shared,) = pair.ours.of(RelaysShared)
    assert {relay.dht_key for relay in relays[:2]} < {relay.key for relay in shared.relays}
    talk = Talk(pair)
    talk.go_on()
    for relay in (common, *relays[2:]):
        scene.stop(relay)
    talk.go_on(20)
    talk.finish()


Faulty: TypeAlias = Callable[[Meeting], Fault]


def swallows_what_both_send(pair: Meeting) -> Fault:
    return black_hole()


def swallows_what_toxcore_sends(pair: Meeting) -> Fault:
    return black_hole(pair.theirs.dht_key)


def corrupts_a_third(pair: Meeting) -> Fault:
    return corrupting(0.3)


@pytest.mark.parametrize("faulty", [swallows_what_both_send, swallows_what_toxcore_sends, corrupts_a_third])
def test_toxcore_leaves_a_relay_that_we_leave(
    scene: Scene, library: Library, faulty: Faulty, record_property: Record
) -> None:
    """By itself it would stay there, for 34 seconds or for ever. It answers its pings."""
    relays = [scene.add(OurRelay()) for _ in range(2)]
    pair = Meeting(scene, library, *relays)
    pair.connect()
    talk = Talk(pair)
    scene.run(6.0)  # a session has to last for some time before anything is blamed
    talk.go_on()
    ways = pair.ours.node.friends.all[pair.theirs.real_key].ways
    assert ways.evidence is not None
    used = max(ways.evidence.heard, key=ways.evidence.heard.__getitem__)
    next(relay for relay in relays if relay.dht_key == used).server.fault = faulty(pair)
    scene.run(8.0)
    talk.finish()
    record_property("longest gaps", [round(gap, 2) for gap in talk.gaps])
    assert max(talk.gaps) < 6.0
    assert [event.relay for event in pair.ours.of(RelayDemoted)] == [used]


# -- UDP and relays ----------------------------------------------------------------------------------------------------


def test_udp_is_cut_and_comes_back(scene: Scene, library: Library, record_property: Record) -> None:
    """Toxcore waits for UDP for 8 seconds."""
    pair = Both(scene, library)
    pair.connect()
    scene.until(lambda: pair.is_direct)
    talk = Talk(pair)
    talk.go_on()
    pair.line.is_cut = True
    record_property("through the relay after", scene.until(lambda: pair.theirs.status == RELAYED, 12.0))
    talk.go_on(20)
    pair.line.is_cut = False
    record_property("by UDP after", scene.until(lambda: pair.is_direct, 10.0))
    talk.go_on()
    talk.finish()
    record_property("longest gaps", [round(gap, 2) for gap in talk.gaps])
    assert max(talk.gaps) < 12.0
    assert pair.theirs.statuses == [DIRECT, RELAYED, DIRECT]


def test_a_session_through_a_relay_goes_over_to_udp(scene: Scene, library: Library, record_property: Record) -> None:
    """Toxcore never saw our address: it learns it by the DHT ping."""
    pair = Both(scene, library)
    pair.ours.befriend(pair.theirs)
    scene.until(lambda: pair.is_online and pair.theirs.status == RELAYED)
    talk = Talk(pair)
    talk.go_on()
    pair.call()
    record_property("seconds", scene.until(lambda: pair.is_direct, 8.0))
    talk.go_on()
    talk.finish()
    assert pair.theirs.statuses == [RELAYED, DIRECT]
