"""Hostile friends, relays and strangers: what they cannot use up. docs/protocols/tox.rst, what others can use up."""

from __future__ import annotations

from collections import Counter
from math import inf
from random import Random
from typing import Any

import pytest
from bad_relays import Faults
from hypothesis import given
from hypothesis import strategies as st
from scripted_relay import SERVER, ClientPeer
from scripted_tox import (
    ALIVE,
    AT_B,
    AT_C,
    ELSEWHERE,
    KILL,
    REQUEST,
    Friend,
    Heard,
    NodePeer,
)
from test_sending import outgoing_of

from sansproto.congestion import DelayWindow
from sansproto.contract import Address, Path, SendDatagram
from sansproto.testing._internal.meter import measured
from sansproto.testing.laws import weight
from sansproto.tox import KeyPair, Pace, Relay, crypto, requests
from sansproto.tox import packets as p
from sansproto.tox.limits import NodeLimits
from sansproto.tox.nodes import encode_nodes
from sansproto.tox.tracks import Carried
from sansproto.tox.watch import NOT_PASSED
from sansproto.tox.windows import SIZE, ReceiveWindow, SendWindow

RELAY = Relay(SERVER.public, Address("192.0.2.1", 443))


class NodeAtRelay(NodePeer, ClientPeer):
    """A node, its friends, and a relay that says what it likes."""


def at(number: int) -> Path:
    return Path("udp", f"203.0.113.{number}", 33445)


def relays_of(number: int) -> list[Relay]:
    """Six that a friend tells of."""
    keys = [KeyPair.of(bytes([9, number, one]) + bytes(29)).public for one in range(6)]
    return [Relay(key, Address(f"203.0.113.{number}", 1000 + one)) for one, key in enumerate(keys)]


def tell_relays(friend: Friend, number: int) -> None:
    for first in (0, 3):
        friend.say(friend.lossless(b"\x11" + encode_nodes(relays_of(number)[first : first + 3])))


def sent_by_udp(peer: NodePeer) -> Counter[int]:
    """How many packets of each kind went out since the last time, where nobody is."""
    return Counter(one.data[0] for one in peer.take(peer.transmits) if isinstance(one, SendDatagram))


# -- a friend: acknowledgements


def test_a_friend_that_acknowledges_what_has_not_arrived_does_not_make_the_node_deaf_to_others() -> None:
    """The adapter takes few datagrams, and the application has always something for both."""
    peer = NodePeer.live()
    liar, other = peer.met(), peer.met(3, AT_C)
    node: Any = peer.endpoint
    heard, begun = Counter[bytes](), peer.now
    for step in range(1, 2001):
        peer.now = begun + step * 0.005
        if (node.next_timeout() or inf) <= peer.now:
            node.handle_timeout(peer.now)
        for friend in (liar, other):
            node.send_many(friend.real.public, [b"\xa0" + bytes(1372)] * 256, peer.now)
        for _ in range(5):
            datagram = node.next_transmit()
            packet = other.opened(datagram.data) if isinstance(datagram, SendDatagram) else None
            if isinstance(packet, Heard):
                heard[packet.payload[:1]] += 1
                other.start += packet.number == other.start and packet.payload != REQUEST
        node.receive_datagram(liar.data(REQUEST, start=outgoing_of(liar).window.end), AT_B, peer.now)
        if step % 10 == 0:
            node.receive_datagram(other.data(REQUEST), AT_C, peer.now)
            node.receive_datagram(other.lossless(b"\x40are you there?"), AT_C, peer.now)
        while node.next_event() is not None:
            pass
    assert node.stats.dropped == {}
    assert node.stats.noted == {}
    assert heard[REQUEST] > 50
    assert heard[ALIVE] > 0
    assert heard[b"\xa0"] > 160


def test_friends_whose_packets_wait_for_room_have_their_turns() -> None:
    peer = NodePeer.live(pace=Pace.FORMULAS, limits=NodeLimits(outbox=32, queue=64))
    friends = [peer.met(number, at(number)) for number in (2, 3, 4)]
    node: Any = peer.endpoint
    taken: list[int] = []
    for friend in friends:
        assert node.send_many(friend.real.public, [b"\xa0"] * 60, peer.now) == 60
    while (datagram := node.next_transmit()) is not None:
        assert isinstance(datagram, SendDatagram)
        number = int(datagram.path.host.rpartition(".")[2])
        if not taken or taken[-1] != number:
            taken.append(number)
    assert taken[:12] == [2, 3, 4] * 4


# -- a friend: lists of missing packets


def test_a_list_costs_as_much_as_it_is_long_not_as_what_it_passes() -> None:
    """With 129 bytes a friend passes a whole window, again and again."""
    window = SendWindow()
    for _ in range(SIZE):
        window.add(b"payload", 0.0)
    whole = b"\x01" + bytes(128)
    assert window.read_request(0, whole, 1.0, 0.5).arrived == 128 * 255
    for _ in range(3):
        window.next_asked(1.0)
        heard, lines = measured(lambda: window.read_request(0, whole, 1.0, 0.5))
        assert heard.arrived == 0
        assert lines < 1000


def test_only_what_a_list_asks_for_waits_to_be_sent_again() -> None:
    window, most = SendWindow(), p.MAX_PAYLOAD
    for _ in range(SIZE):
        window.add(b"payload", 0.0)
    lists = [b"\x01" * (most - 1), *(bytes([1 + first]) + b"\x17" * (most - 2) for first in range(23))]
    for listed in lists:
        window.read_request(0, listed, 1.0, 0.5)
        assert len(window.asked) < most


def test_lists_of_a_friend_are_read_up_to_a_rate() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.send(friend.real.public, b"\xa0one", peer.now)
    begun = friend.start
    for _ in range(1000):
        friend.say(friend.data(b"\x01\x01", start=begun))
    noted = dict(peer.stats.noted)
    assert 890 < noted["a list of missing packets too soon behind others"] < 910
    friend.take()
    peer.wait(2.0)
    assert b"\xa0one" not in friend.heard()
    friend.say(friend.data(b"\x01\x01", start=begun))
    assert b"\xa0one" in friend.heard()
    assert peer.stats.noted == noted


def test_what_a_list_acknowledges_counts_also_when_the_list_does_not() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    begun = friend.start
    peer.send(friend.real.public, b"\xa0one", peer.now)
    for _ in range(101):
        friend.say(friend.data(b"\x01\x01", start=begun))
    friend.say(friend.data(b"\x01\x01", start=begun + 1))
    assert outgoing_of(friend).window.waiting == 0


def test_a_packet_that_a_friend_has_and_never_acknowledges_is_not_one_that_does_not_pass() -> None:
    """It asked for it once, and was sent it again."""
    peer = NodePeer.live()
    friend = peer.met()
    begun = friend.start
    for number in range(3):
        peer.send(friend.real.public, b"\xa0%d" % number, peer.now)
    peer.wait(1.0)
    friend.say(friend.data(b"\x01\x01", start=begun))
    window, watch = outgoing_of(friend).window, outgoing_of(friend).watch
    assert begun in window.again
    for _ in range(15):
        friend.say(friend.data(b"\x01\x02\x00", start=begun))  # it has all but the second
        peer.wait(1.0)
        assert watch.alarm is None
    assert window.has_arrived(begun)
    assert NOT_PASSED.remark not in peer.stats.noted


def test_no_packet_of_a_friend_costs_more_because_much_is_on_its_way() -> None:
    peer, many = NodePeer.live(), 8000
    friend = peer.met()
    node: Any = peer.endpoint
    window, begun = outgoing_of(friend).window, friend.start
    for _ in range(many):
        window.add(b"\xa0payload", peer.now)

    def costs(data: bytes) -> int:
        return measured(lambda: node.receive_datagram(data, AT_B, peer.now))[1]

    peer.now += 2.0
    costs(friend.data(b"\x01\x01" + bytes(many // 255), start=begun))  # it has all but the first
    peer.now += 2.0
    lists = [friend.data(b"\x01\x01" + bytes(many // 255), start=begun) for _ in range(3)]
    assert max(map(costs, [*lists, friend.data(ALIVE), friend.lossless(ALIVE)])) < 2000
    peer.at(peer.now + 2.0)
    assert measured(lambda: node.handle_timeout(node.next_timeout()))[1] < 4000
    costs(friend.data(REQUEST, start=begun + many // 2))
    ones = [friend.data(REQUEST, start=begun + many // 2 + number) for number in range(1, 5)]
    assert max(map(costs, ones)) < 2000


def test_an_acknowledgement_costs_no_more_because_all_was_sent_again_by_another_way() -> None:
    window, carried, many = SendWindow(), Carried(), 2000
    for _ in range(many):
        window.add(b"payload", 0.0)
    carried.begin(many, b"relay")
    carried.copied.update(range(many))
    window.ask(range(many))
    while (found := window.next_asked(1.0)) is not None:
        carried.move(found[0], b"relay", 1.0)

    def acknowledge(number: int) -> None:
        heard = window.acknowledge(number, 2.0)
        assert heard is not None
        carried.note_arrived(heard.numbers, number - 1)
        carried.forget(number)

    assert max(measured(lambda number=number: acknowledge(number))[1] for number in range(1, 5)) < 100
    acknowledge(many)
    assert (window.again, carried.copied, carried.moved) == ({}, set(), {})


def test_a_way_that_is_left_costs_no_more_because_much_is_on_its_way_by_it() -> None:
    """What it carried is sent again in turns."""
    world, many = Faults(2), 10_000
    world.run(1.0)
    session: Any = world.a.tox.friends.all[world.b.key].session
    outgoing, ways = session.outgoing, world.a.ways(world.b)
    for _ in range(many):
        outgoing.window.add(ALIVE, world.net.now)
    lines = [measured(lambda: (ways.leave(None), outgoing.watch.tick()))[1]]
    for _ in range(100):
        world.net.run(0.05)
        lines.append(measured(outgoing.pump)[1])
    assert max(lines) < 10_000
    assert outgoing.window.waiting == 0


def unproved(window: SendWindow, carried: Carried, way: bytes) -> int | None:
    """What it is, of all that are on their way."""
    newest, sent = carried.proved.get(way, -1), carried.proved_at.get(way, -inf)
    ours = (number for number in window.packets if number > newest and carried.way_of(number) == way)
    return next((one for one in ours if one not in carried.moved and window.sent_first(one) > sent), None)


@given(
    st.lists(st.tuples(st.sampled_from(["send", "other", "turn", "move", "prove", "list", "ack"]), st.integers(0, 9)))
)
def test_what_is_unproved_is_found_where_it_was_looked_for_last(steps: list[tuple[str, int]]) -> None:
    window, carried, ways = SendWindow(), Carried(), [b"", b"relay"]
    carried.begin(0, ways[0])
    for now, (what, number) in enumerate(steps):
        number += window.start
        if what in ("send", "other"):
            window.add(b"payload", float(now))
            if what == "other":
                carried.put(window.end - 1, ways[1])
        elif what == "turn":
            ways.reverse()
            carried.begin(window.end, ways[0])
        elif what == "move" and number in window.packets:
            window.ask([number])
            window.next_asked(float(now))
            carried.move(number, ways[0], float(now))
        elif what == "prove" and number in window.packets:
            window.arrived[number] = window.packets.pop(number)[0]
            carried.note_arrived([number], number)
        elif what == "acknowledge" and number < window.end:
            heard = window.acknowledge(number + 1, float(now))
            assert heard is not None
            carried.note_arrived(heard.numbers, number)
            carried.forget(window.start)
        expected = unproved(window, carried, ways[0])
        assert carried.unproved(window, ways[0]) == expected


def test_what_is_unproved_costs_what_is_new_however_much_was_sent_again_by_another_way() -> None:
    window, carried, many = SendWindow(), Carried(), 2000
    carried.begin(0, b"")
    for number in range(many):
        window.add(b"payload", 0.0)
        carried.move(number, b"relay", 1.0)
    assert measured(lambda: carried.unproved(window, b""))[0] is None
    window.add(b"payload", 2.0)
    for _ in range(3):
        found, lines = measured(lambda: carried.unproved(window, b""))
        assert found == many
        assert lines < 50


# -- a friend: numbers far ahead


def test_a_list_of_what_is_missing_is_made_of_a_part_of_the_window() -> None:
    """A hole in front and all behind it: the list is made each 50 milliseconds."""
    window = ReceiveWindow()
    for number in range(1, SIZE):
        window.put(number, b"payload")
    walked = requests.walk(window.request()[1:], SIZE)
    assert walked.asked == [0]
    assert 8000 < walked.passed <= 8192
    window.put(0, b"payload")
    for number in range(SIZE):
        assert window.next() == b"payload", number
    assert window.request() == REQUEST


def test_what_waited_behind_a_gap_is_handed_on_in_turns() -> None:
    """Thousands of packets of which the application learns nothing are there at once."""
    peer, many = NodePeer.live(), 4000
    friend = peer.met()
    first = friend.number
    node: Any = peer.endpoint
    for number in range(first + 1, first + many):
        node.receive_datagram(friend.data(ALIVE, number=number), AT_B, peer.now)
    node.receive_datagram(friend.data(b"\x40last", number=first + many), AT_B, peer.now)
    missing = friend.data(ALIVE, number=first)
    _, lines = measured(lambda: node.receive_datagram(missing, AT_B, peer.now))
    assert lines < 20_000
    heard: list[Any] = []
    for _ in range(30):
        _, lines = measured(lambda: heard.append(node.next_event()))
        assert lines < 20_000
    assert [event.text for event in heard if event is not None] == ["last"]
    assert node.sessions.stalled == {}


def test_a_session_that_waits_for_its_turn_goes_on_with_the_next_timer() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    first = friend.number
    for number in range(first + 1, first + 1000):
        peer.endpoint.receive_datagram(friend.data(ALIVE, number=number), AT_B, peer.now)
    friend.say(friend.data(ALIVE, number=first))
    friend.take()
    peer.wait(3.0)
    friend.take()
    peer.wait(2.0)
    friend.say(friend.data(REQUEST, number=first + 1000))
    peer.wait(5.0)
    assert [one for one in friend.take() if isinstance(one, Heard)][-1].start == first + 1000


# -- a friend: packets that may be lost


def test_a_friend_that_sends_more_than_the_application_takes_does_not_make_the_node_deaf() -> None:
    peer = NodePeer.live(limits=NodeLimits(events=64))
    bad, good = peer.met(), peer.met(3, AT_C)
    node: Any = peer.endpoint
    for _ in range(100):
        node.receive_datagram(bad.data(b"\xc8lossy"), AT_B, peer.now)
        node.receive_datagram(bad.lossless(b"\xa0lossless"), AT_B, peer.now)
    assert node.stats.dropped == {}
    assert node.stats.noted == {"an event was left out, too many wait": 100 - 48 + 16}
    node.receive_datagram(good.lossless(b"\x40still here"), AT_C, peer.now)
    assert "still here" in [getattr(event, "text", "") for event in peer.take()]


# -- a friend: relays


def test_relays_that_friends_tell_of_leave_room_for_those_of_the_application() -> None:
    peer = NodePeer.live(limits=NodeLimits(relays=4))
    tell_relays(peer.met(), 2)
    assert len(peer.relays) == 4
    assert peer.add_relay(RELAY, peer.now)
    assert len(peer.relays) == 4
    own = [Relay(KeyPair.of(bytes([7, one]) + bytes(30)).public, RELAY.address) for one in range(4)]
    assert [peer.add_relay(one, peer.now) for one in own] == [True, True, True, False]
    assert {*peer.relays} == {RELAY.key, *(one.key for one in own[:3])}


def test_friends_that_tell_of_many_relays_leave_room_for_those_of_others() -> None:
    peer = NodePeer.live(limits=NodeLimits(relays=12))
    greedy = [peer.met(number, at(number)) for number in (2, 3)]
    for number, friend in enumerate(greedy, 2):
        tell_relays(friend, number)
    late = peer.met(4, at(4))
    for _ in range(10):
        for number, friend in enumerate([*greedy, late], 2):
            tell_relays(friend, number)
    node: Any = peer.endpoint
    shares = [len(node.friends.all[friend.real.public].ways.relays) for friend in (*greedy, late)]
    assert len(node.relays) == 12
    assert sum(shares) == 12
    assert max(shares) - min(shares) <= 2
    dialled = {*node.relays}
    tell_relays(greedy[0], 5)
    assert {*node.relays} == dialled  # it has its share


def test_the_relay_that_goes_is_one_that_is_not_reached() -> None:
    peer = NodeAtRelay.live(limits=NodeLimits(relays=2))
    friend = peer.met()
    friend.say(friend.lossless(b"\x11" + encode_nodes([RELAY])))
    peer.come_up()
    other, own = relays_of(2)[:2]
    friend.say(friend.lossless(b"\x11" + encode_nodes([other])))
    assert {*peer.relays} == {RELAY.key, other.key}
    peer.add_relay(own, peer.now)
    assert {*peer.relays} == {RELAY.key, own.key}


# -- a friend: everything


def payloads(random: Random) -> list[bytes]:
    """One of each kind: some are well formed, some are not."""
    nodes = [Relay(KeyPair.of(random.randbytes(32)).public, Address("203.0.113.1", 1 + one)) for one in range(3)]
    ids = (0x10, 0x11, 0x12, 0x18, 0x19, *range(0x30, 0x34), 0x40, 0x41, *range(0x50, 0x53), 0x60, 0xA0)
    return [b"\x11" + encode_nodes(nodes), *(bytes([id]) + random.randbytes(random.randrange(1372)) for id in ids)]


@pytest.mark.unmeasured
@pytest.mark.parametrize("is_offline", [False, True])
def test_whatever_a_friend_sends_no_call_takes_long_and_nothing_grows(is_offline: bool) -> None:
    random, peer = Random(1), NodeAtRelay.live()
    friend, node, sizes = peer.met(), peer.endpoint, list[int]()
    if is_offline:
        friend.say(friend.lossless(b"\x19"))

    def costs(data: bytes) -> int:
        return measured(lambda: node.receive_datagram(data, AT_B, peer.now))[1]

    for turn in range(160):
        start = friend.start if turn % 2 else random.randrange(1 << 32)
        sent = [friend.lossless(one) for one in payloads(random)]
        sent += [friend.data(one, number=random.randrange(1 << 32)) for one in payloads(random)]
        sent += [friend.data(b"\x01" + random.randbytes(random.randrange(1372)), start=start), friend.data(b"")]
        sent += [b"\x1b" + random.randbytes(random.randrange(1399)), friend.data(b"\xc8" + bytes(turn))]
        assert max(map(costs, sent)) < 3000
        if turn < 40:
            peer.send(friend.real.public, b"\xa0" + bytes(turn), peer.now)
        peer.wait(random.choice([0.001, 0.3]))
        peer.take()
        sizes.append(weight(peer.snapshot()))
    assert max(sizes[80:]) <= max(sizes[:80]) * 1.1
    assert len(node.relays) <= 1 + node.limits.friend_relays  # type: ignore[attr-defined]


# -- a friend: sessions


@pytest.mark.unmeasured
def test_a_friend_that_begins_sessions_and_ends_them_makes_nothing_grow() -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    sizes = []
    for number in range(200):
        friend.begin(f"{number}")
        friend.call()
        if number % 2:
            friend.say(friend.data(KILL))
        peer.wait(0.15)
        peer.take()
        sizes.append(weight(peer.snapshot()))
    assert max(sizes[150:]) <= max(sizes[50:150])


def test_handshakes_of_a_friend_are_answered_up_to_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one cookie it makes as many as it likes."""
    peer = NodePeer.live()
    friend = peer.befriend()
    cookie = friend.ask_cookie()
    made = []
    for number in range(300):
        friend.begin(f"{number}")
        made.append(friend.handshake(cookie))
    agreed, agree = [], crypto.agree
    monkeypatch.setattr(crypto, "agree", lambda *keys: agreed.append(keys) or agree(*keys))
    for data in made:
        peer.endpoint.receive_datagram(data, AT_B, peer.now)
    assert len(agreed) < 40


def test_handshakes_of_a_friend_do_not_make_copies_of_others_count_again() -> None:
    peer = NodePeer.live(limits=NodeLimits(seen=8))
    good, bad = peer.befriend(2), peer.befriend(3, AT_C)
    made = good.shake()
    good.come_online()
    good.say(good.data(KILL))
    cookie = bad.ask_cookie()
    for number in range(20):
        bad.begin(f"{number}")
        bad.say(bad.handshake(cookie))
    assert len(peer.keyring.seen) == 8
    good.say(made)
    assert peer.stats.dropped["a copy of a handshake"] == 1


def test_no_key_is_kept_of_a_friend_that_was_removed() -> None:
    peer = NodePeer.live()
    for number in range(1, 20):
        friend = peer.befriend(number + 1, at(number), at=at(number))
        peer.remove_friend(friend.real.public, peer.now)
    keyring = peer.keyring
    assert (keyring.drafts, keyring.attempts, {*peer.friends.by_path}) == ({}, {}, set())


def test_an_acknowledgement_of_long_ago_makes_no_long_memory() -> None:
    """A friend that acknowledges one packet each 0.2 seconds, an hour late."""
    window = DelayWindow(0.0)
    for number in range(2000):
        now = 3600.0 + 0.21 * number
        window.note_acknowledged(now, 1, now, in_flight=1)
    assert len(window.slices) <= 64
    assert len(window.base.values) <= 65


# -- a relay


def test_a_relay_that_links_and_unlinks_a_friend_makes_us_call_it_seldom() -> None:
    peer = NodeAtRelay.live()
    friend = KeyPair.of(b"friend 7" * 4)
    peer.add_relay(RELAY, peer.now)
    peer.add_friend(friend.public, friend.public, peer.now, path=ELSEWHERE, relays=(RELAY,))
    peer.come_up()
    peer.say(p.RoutingResponse(16, friend.public))
    sent_by_udp(peer)
    for _ in range(300):
        peer.say(p.ConnectNotification(16), p.DisconnectNotification(16))
    assert 0 < sent_by_udp(peer)[24] <= 8
    peer.say(p.ConnectNotification(16))
    peer.wait(5.0)
    assert sent_by_udp(peer)[24] >= 2  # it goes on in time


# -- strangers


def test_a_friend_with_a_new_dht_key_gets_a_cookie_while_strangers_ask_for_thousands() -> None:
    """It is not known yet as a friend: that it comes from where a friend may be has to do."""
    peer = NodePeer.live()
    friend = peer.met()
    stranger = Friend(peer, 9, ELSEWHERE)
    again = Friend(peer, 2, AT_B, dht=55)
    again.begin("again")
    for number in range(100):
        stranger.say(stranger.request())
        if number == 50:
            again.call()
    assert peer.is_online(friend.real.public)
    assert len(stranger.take()) == 10
    assert peer.stats.dropped == {"too many cookie requests": 90}


def test_who_comes_through_a_relay_gets_a_cookie_while_strangers_ask_for_thousands() -> None:
    peer = NodeAtRelay.live()
    peer.add_relay(RELAY, peer.now)
    peer.come_up()
    stranger, other = Friend(peer, 9, ELSEWHERE), Friend(peer, 2, AT_C)
    for _ in range(100):
        stranger.say(stranger.request())
    assert [*map(type, peer.speaker.say(p.OobReceived(other.dht.public, other.request())))] == [p.OobSend]


@pytest.mark.unmeasured
def test_floods_of_strangers_make_nothing_grow() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    stranger = Friend(peer, 9, ELSEWHERE)
    changed = bytearray(friend.data(ALIVE))
    changed[-1] ^= 1
    kinds = [
        stranger.request(),
        stranger.ping(b"number 1"),
        stranger.pong(b"number 1"),
        stranger.response(b"number 1"),
        stranger.handshake(stranger.cookie()),
        bytes(changed),
        b"\x1b" + bytes(60),
        b"junk" * 20,
    ]
    sizes = []
    for number in range(3000):
        for data in kinds:
            peer.endpoint.receive_datagram(data, AT_B if data is kinds[5] else at(number % 250), peer.now)
        peer.now += 0.0005
        if number % 300 == 0:
            peer.drain()
            sizes.append(weight(peer.snapshot()))
    assert max(sizes[1:]) <= sizes[0] + 300
    friend.say(friend.data(REQUEST))
    other = peer.befriend(3, AT_C)
    other.call()
    assert peer.is_online(other.real.public)
