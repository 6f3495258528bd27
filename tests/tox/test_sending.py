"""What a node sends: numbers, receipts, rates, what waits, and what is handed up."""

from __future__ import annotations

from itertools import pairwise, takewhile
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scripted_tox import ALIVE, AT_B, AT_C, KILL, ONLINE, REAL, REQUEST, Friend, Heard, NodePeer

from sansproto.contract import SendDatagram
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.tox import windows
from sansproto.tox.events import FriendOffline, FriendWritable, MessageDelivered, OfflineReason, Undelivered
from sansproto.tox.formulas import Formulas
from sansproto.tox.limits import NodeLimits
from sansproto.tox.node import ToxNode
from sansproto.tox.outgoing import Pace
from sansproto.tox.paths import Direct


def outgoing_of(friend: Friend) -> Any:
    return friend.peer.endpoint.friends.all[friend.real.public].session.outgoing


def custom(number: int, size: int = 4) -> bytes:
    return b"\xa0" + number.to_bytes(size, "big")


def packets(friend: Friend) -> list[Heard]:
    """What came, without lists and signs of life."""
    return [one for one in friend.take() if isinstance(one, Heard) and one.payload not in (REQUEST, ALIVE)]


# -- numbers and receipts


def test_a_message_is_delivered_when_the_acknowledgement_passes_it() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    key = friend.real.public
    assert [peer.send_message(key, text, peer.now) for text in ("one", "two")] == [1, 2]
    assert peer.send_message(key, "waves", peer.now, action=True) == 3
    first, second, third = packets(friend)
    assert [one.payload for one in (first, second, third)] == [b"\x40one", b"\x40two", b"\x41waves"]
    assert (second.number, third.number) == (first.number + 1, first.number + 2)
    friend.say(friend.data(b"\x01\x01", start=first.number))  # it has the third
    assert peer.take() == []
    friend.say(friend.data(REQUEST, start=first.number + 2))
    assert peer.take() == [MessageDelivered(key, 1), MessageDelivered(key, 2)]
    friend.say(friend.data(REQUEST, start=first.number + 2), friend.data(REQUEST, start=first.number + 3))
    assert peer.take() == [MessageDelivered(key, 3)]


def test_signs_of_life_do_not_wait_behind_what_the_application_sends() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    key = friend.real.public
    while peer.send(key, custom(0), peer.now):
        pass
    before = packets(friend)[-1].number
    peer.wait(8.1)
    alive = [one for one in friend.take() if isinstance(one, Heard) and one.payload == ALIVE]
    assert min(one.number for one in alive) > before  # they got their numbers now
    assert peer.endpoint.stats.refused == {"too many packets wait for the friend": 1}


def test_what_is_asked_for_is_sent_again_with_another_nonce_and_the_present_acknowledgement() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.send(friend.real.public, custom(7), peer.now)
    peer.drain()
    (sent,) = [data for data in friend.inbox if getattr(friend.opened(data), "payload", b"") == custom(7)]
    (first,) = packets(friend)
    friend.say(friend.lossless(b"\x40x"))
    peer.now += 0.5
    friend.say(friend.data(b"\x01\x01", start=first.number))
    again = [data for data in friend.inbox if getattr(friend.opened(data), "payload", b"") == custom(7)]
    assert len(again) == 1
    assert again[0] != sent
    (second,) = packets(friend)
    assert second == Heard(first.start + 1, first.number, custom(7))


def test_a_packet_is_not_sent_again_more_often_than_an_answer_takes() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    outgoing_of(friend).recent = 0.2
    peer.send(friend.real.public, custom(7), peer.now)
    (first,) = packets(friend)
    for _ in range(10):
        peer.now += 0.05
        friend.say(friend.data(b"\x01\x01", start=first.number))
    assert len(packets(friend)) == 2


def test_the_round_trip_is_the_shortest_that_was_seen() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.wait(3.0)
    friend.say(friend.data(REQUEST))
    outgoing = outgoing_of(friend)
    outgoing.round_trip = 1.0
    for seconds, expected in ((0.3, 0.3), (0.1, 0.1), (0.7, 0.1)):
        peer.send(friend.real.public, custom(7), peer.now)
        peer.now += seconds
        friend.start = outgoing.window.number
        friend.say(friend.data(REQUEST))
        assert outgoing.round_trip == pytest.approx(expected)


def test_lists_are_sent_each_second_while_something_is_not_acknowledged() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.wait(1.0)
    friend.say(friend.data(REQUEST, start=outgoing_of(friend).window.number))
    friend.take()
    peer.send(friend.real.public, custom(1), peer.now)
    times: list[float] = []
    begun = peer.now
    while peer.now < begun + 7.5:
        peer.tick()
        times += [peer.now for one in friend.take() if isinstance(one, Heard) and one.payload == REQUEST]
    pauses = [after - before for before, after in pairwise(times)]
    assert 0.95 <= min(pauses) <= max(pauses) <= 1.1


# -- what waits


def test_the_application_is_told_when_it_may_go_on() -> None:
    peer = NodePeer.live(pace=Pace.FORMULAS, limits=NodeLimits(queue=8))
    friend = peer.met()
    key = friend.real.public
    count = 0
    while peer.send(key, custom(count), peer.now):
        count += 1
    assert count == 64 + 8
    assert peer.take() == []
    heard: list[int] = []
    while len(heard) < count:
        heard += [one.number for one in packets(friend)]
        friend.start = outgoing_of(friend).window.number
        friend.say(friend.data(REQUEST))
        peer.tick()
    assert peer.take() == [FriendWritable(key)]
    assert heard == list(range(heard[0], heard[0] + count))


def test_several_packets_are_taken_as_far_as_they_fit() -> None:
    peer = NodePeer.live(pace=Pace.FORMULAS, limits=NodeLimits(queue=8))
    friend = peer.met()
    key = friend.real.public
    assert peer.send_many(key, [custom(number) for number in range(10)], peer.now) == 10
    assert peer.send_many(key, [custom(number) for number in range(10, 100)], peer.now) == 62
    assert peer.send_many(key, [custom(0)], peer.now) == 0
    assert [one.payload for one in packets(friend)] == [custom(number) for number in range(64)]
    assert peer.send_many(key, [], peer.now) == 0
    peer.wait(30.0)
    assert peer.take() == [FriendWritable(key)]


def test_of_many_packets_those_are_looked_at_that_could_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = NodePeer.live(pace=Pace.FORMULAS, limits=NodeLimits(queue=8))
    key, looked_at = peer.met().real.public, 0
    check = ToxNode._check_custom

    def counted(*arguments: Any) -> None:
        nonlocal looked_at
        looked_at += 1
        check(*arguments)

    monkeypatch.setattr(ToxNode, "_check_custom", counted)
    many = [*[custom(0)] * 10_000, b"\xc8lossy"]
    taken = [peer.send_many(key, many, peer.now) for _ in range(100)]
    assert taken == [64 + 8, *[0] * 99]
    assert looked_at == sum(taken) + len(taken)
    assert peer.endpoint.stats.refused == {"too many packets wait for the friend": 100}


def test_what_waits_is_sent_as_the_rate_allows_and_not_in_bursts() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.wait(3.0)
    friend.say(friend.data(REQUEST, start=outgoing_of(friend).window.number))
    peer.wait(3.0)  # its rate is looked at no more
    outgoing_of(friend).congestion = Formulas(rate=400.0, filled=peer.now)
    peer.send_many(friend.real.public, [custom(number) for number in range(200)], peer.now)
    counts = []
    for _ in range(9):
        counts.append(len(packets(friend)))
        peer.wait(0.005)
    assert counts[0] == 64
    assert {*counts[1:]} <= {1, 2, 3}


@pytest.mark.unmeasured
@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.01, 0.3, 1.0, 5.0]), st.integers(0, 120), st.booleans()), max_size=8))
def test_as_many_are_taken_together_as_one_by_one(steps: list[tuple[float, int, bool]]) -> None:
    """What was not taken is counted, so that the application is told when it may go on."""
    together, alone = (NodePeer.live(limits=NodeLimits(queue=8, outbox=40)) for _ in range(2))
    friends = {peer: peer.met() for peer in (together, alone)}
    for pause, count, is_acknowledged in steps:
        for peer, friend in friends.items():
            peer.now += pause
            if is_acknowledged:
                peer.drain()
                friend.say(friend.data(REQUEST, start=outgoing_of(friend).window.number))
        offered, key = [custom(number) for number in range(count)], friend.real.public
        one_by_one = takewhile(bool, (alone.endpoint.send(key, one, alone.now) for one in offered))
        assert together.endpoint.send_many(key, offered, together.now) == len([*one_by_one])
        assert together.endpoint.stats == alone.endpoint.stats


ASKED = bytes([1, 1, 2, 1])


@pytest.mark.unmeasured
@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.3, 4.0]),
            st.sampled_from(["send", "send", "other", "lossy", "acknowledge", "ask", "take", "tick"]),
            st.integers(1, 40),
        ),
        max_size=20,
    )
)
def test_what_may_go_at_once_is_the_same_when_it_is_looked_at_for_each_packet(
    steps: list[tuple[float, str, int]],
) -> None:
    """How many packets may go by the direct path is looked at once, and used up by those that follow at that time."""
    told = []
    for is_forgotten in (False, True):
        peer = NodePeer.live(limits=NodeLimits(queue=8, outbox=40))
        friend, other = peer.met(), peer.met(3, path=AT_C)
        node, sent = peer.endpoint, []
        for pause, step, count in steps:
            peer.now += pause
            if step == "tick":
                node.handle_timeout(peer.now)
            elif step == "take":
                sent += [one for _ in range(count) if (one := node.next_transmit()) is not None]
            elif step == "acknowledge":
                node.receive_datagram(friend.data(REQUEST, start=outgoing_of(friend).window.number), AT_B, peer.now)
            elif step == "ask":
                start = outgoing_of(friend).window.start
                node.receive_datagram(friend.data(ASKED, start=start), AT_B, peer.now)
            else:
                who = other if step == "other" else friend
                for number in range(count):
                    for one in (friend, other):
                        if is_forgotten:
                            outgoing_of(one).turn = 0
                    data = b"\xc8" if step == "lossy" else custom(number)
                    node.send(who.real.public, data, peer.now)
        told.append((sent, [*iter(node.next_transmit, None)], node.stats, node.next_timeout()))
    assert told[0] == told[1]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.001, 0.01, 0.05, 0.3]),
            st.sampled_from(["send", "send", "acknowledge"]),
            st.integers(1, 120),
        ),
        max_size=20,
    )
)
@example(
    [
        *[(0.05, "send", 113), (0.05, "acknowledge", 0), (0.05, "send", 14), (0.05, "acknowledge", 0)],
        *[(0.05, "send", 85), (0.001, "send", 15), (0.3, "acknowledge", 0), (0.001, "send", 97)],
    ]
)  # all that waits is sent, and so much comes then that some waits again
def test_what_waits_is_looked_at_as_soon_as_the_rate_lets_it_go(steps: list[tuple[float, str, int]]) -> None:
    """Also if it was found before that nothing may go until something is acknowledged."""
    peer = NodePeer.live()
    friend = peer.met()
    outgoing = outgoing_of(friend)
    for pause, step, count in steps:
        peer.wait(pause)
        if step == "acknowledge":
            friend.say(friend.data(REQUEST, start=outgoing.window.number))
        else:
            peer.send_many(friend.real.public, [custom(number) for number in range(count)], peer.now)
            peer.drain()
        if outgoing.queue:
            assert peer.endpoint.next_timeout() <= peer.now + outgoing.pause + 1e-9


def test_more_than_the_outbox_takes_waits_for_room() -> None:
    peer = NodePeer.live(pace=Pace.FORMULAS, limits=NodeLimits(outbox=16, queue=100))
    friend = peer.met()
    key, node = friend.real.public, peer.endpoint
    assert node.send_many(key, [custom(number) for number in range(40)], peer.now) == 40
    assert len([one for one in iter(node.next_transmit, None) if isinstance(one, SendDatagram)]) == 40
    assert node.stats.refused == {}
    for number in range(20):
        assert node.send(key, custom(number), peer.now)
    assert len(node._outbox) == 12
    assert [node.send(key, b"\xc8lossy", peer.now) for _ in range(5)] == [True] * 4 + [False]
    peer.drain()
    assert outgoing_of(friend).queue is None or len(outgoing_of(friend).queue) == 0


def test_a_friend_that_is_removed_waits_for_no_room() -> None:
    peer = NodePeer.live(limits=NodeLimits(outbox=16))
    friend = peer.met()
    node = peer.endpoint
    node.send_many(friend.real.public, [custom(number) for number in range(40)], peer.now)
    assert node.friends.blocked
    node.remove_friend(friend.real.public, peer.now)
    assert not node.friends.blocked


def test_unacknowledged_packets_stay_below_five_seconds_of_the_rate() -> None:
    peer = NodePeer.live(pace=Pace.FORMULAS, limits=NodeLimits(queue=1000))
    friend = peer.met()
    for number in range(1000):
        peer.send(friend.real.public, custom(number), peer.now)
    peer.wait(25.0)  # nothing is acknowledged
    outgoing = outgoing_of(friend)
    assert outgoing.congestion.rate == 4.0
    assert outgoing.window.waiting <= 64 + 20 + 10


def test_a_window_may_be_smaller() -> None:
    peer = NodePeer.live(limits=NodeLimits(window=20))
    friend = peer.met()
    for number in range(50):
        peer.send(friend.real.public, custom(number), peer.now)
    assert outgoing_of(friend).window.waiting == 20


def kept(friend: Friend) -> int:
    """What is kept of packets that the friend did not acknowledge."""
    outgoing = outgoing_of(friend)
    return sum(map(len, (outgoing.window.packets, outgoing.own or (), outgoing.withheld or (), outgoing.pings or ())))


def test_who_acknowledges_nothing_is_told_the_newest_of_each_kind_when_it_does() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    key = friend.real.public
    for number in range(500):
        assert peer.set_typing(key, number % 2 == 0, peer.now)
        peer.set_profile(peer.now, name=f"name {number}")
    outgoing = outgoing_of(friend)
    assert outgoing.window.waiting == NodeLimits().own
    assert kept(friend) == 2 * NodeLimits().own + 4
    friend.take()
    friend.say(friend.data(REQUEST, start=outgoing.window.number))
    assert [one.payload for one in packets(friend)] == [b"\x33\0", b"\x30name 499", b"\x31", b"\x32\0"]
    assert outgoing.withheld is None


def test_what_a_node_says_of_itself_has_room_beside_what_the_application_sends() -> None:
    peer = NodePeer.live(pace=Pace.FORMULAS, limits=NodeLimits(window=20, own=10))
    friend = peer.met()
    key = friend.real.public
    for number in range(50):
        peer.send(key, custom(number), peer.now)
    for _ in range(50):
        peer.set_typing(key, True, peer.now)
    window = outgoing_of(friend).window
    assert window.waiting == 30
    friend.say(friend.data(REQUEST, start=window.number - 5))
    assert window.waiting == 20  # five of ten were not acknowledged: one has room, and fourteen of the application


def test_a_way_is_not_asked_by_a_sign_of_life_while_too_much_of_the_node_itself_is_not_acknowledged() -> None:
    peer = NodePeer.live(limits=NodeLimits(own=8))
    friend = peer.met()
    outgoing = outgoing_of(friend)
    number = outgoing.window.end
    outgoing.ask_by(Direct(AT_B))
    assert outgoing.window.end == number + 1
    for _ in range(8):
        peer.set_typing(friend.real.public, True, peer.now)
    number = outgoing.window.end
    outgoing.ask_by(Direct(AT_B))
    assert outgoing.window.end == number


@pytest.mark.unmeasured
def test_a_friend_that_speaks_for_hours_and_acknowledges_nothing_costs_no_more_than_that() -> None:
    peer = NodePeer.live(limits=NodeLimits(own=8))
    friend = peer.met()
    largest = 0
    for _ in range(1000):
        friend.say(friend.data(b"\xc8 I am here", start=0))
        peer.wait(4.0)
        largest = max(largest, kept(friend))
    assert peer.is_online(friend.real.public)
    assert largest <= 3 * 8 + 1


def test_a_sign_of_life_that_has_no_room_is_answered_by_what_is_acknowledged_since() -> None:
    peer = NodePeer.live(limits=NodeLimits(own=8))
    friend = peer.met()
    key = friend.real.public
    for _ in range(10):
        peer.set_typing(key, True, peer.now)
    outgoing = outgoing_of(friend)
    sent = outgoing.window.number
    for _ in range(20):
        outgoing.send_alive(b"any")
    assert len(outgoing.pings) == 8
    friend.take()
    friend.say(friend.data(REQUEST, start=sent))
    assert [one.payload for one in packets(friend)] == [b"\x33\1"]
    assert len(outgoing.pings) == 8  # what was acknowledged was sent before
    friend.say(friend.data(REQUEST, start=sent + 1))
    assert not outgoing.pings


def test_a_session_of_which_something_waits_for_the_application_leaves_nothing_when_it_is_over() -> None:
    peer = NodePeer.live(limits=NodeLimits(events=8))
    friend = peer.met()
    node = friend.peer.endpoint
    for _ in range(8):
        node.receive_datagram(friend.lossless(b"\x40text"), AT_B, peer.now)
    assert len(node.sessions.stalled) == 1
    node.receive_datagram(friend.data(KILL), AT_B, peer.now)
    assert not node.sessions.stalled


def test_lossy_packets_are_sent_at_once_and_have_no_number_of_their_own() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    key = friend.real.public
    assert peer.send(key, b"\xc8one", peer.now)
    assert peer.send(key, b"\xfetwo", peer.now)
    first, second = packets(friend)
    assert (first.payload, second.payload) == (b"\xc8one", b"\xfetwo")
    assert first.number == second.number == outgoing_of(friend).window.number


# -- what is handed up


def test_what_did_not_arrive_is_handed_up_once() -> None:
    peer = NodePeer.live(limits=NodeLimits(queue=8))
    friend = peer.met()
    key = friend.real.public
    count = 0
    while peer.send(key, custom(count), peer.now):
        count += 1
    first = packets(friend)[0].number
    friend.say(friend.data(b"\x01\x02", start=first + 1))  # it has the first, and the third
    friend.say(friend.data(KILL, start=first + 1))
    assert peer.take()[-2:] == [
        Undelivered(key, (), tuple(custom(number) for number in range(1, count))),
        FriendOffline(key, OfflineReason.SAID),
    ]
    friend.begin("second")
    peer.wait(2.0)
    friend.call()
    assert [type(event).__name__ for event in peer.take()] == ["FriendOnline"]


def test_messages_are_handed_up_by_their_numbers() -> None:
    peer = NodePeer.live(pace=Pace.FORMULAS, limits=NodeLimits(queue=8))
    friend = peer.met()
    key = friend.real.public
    for number in range(64):
        peer.send(key, custom(number), peer.now)
    numbers = [peer.send_message(key, "waits", peer.now) for _ in range(3)]
    peer.remove_friend(key, peer.now)
    undelivered, offline = peer.take()
    assert (undelivered.messages, len(undelivered.packets)) == (tuple(numbers), 64)
    assert offline == FriendOffline(key, OfflineReason.REMOVED)


def test_numbers_of_messages_go_on_in_the_next_session() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    key = friend.real.public
    assert peer.send_message(key, "one", peer.now) == 1
    friend.begin("second")
    friend.call()
    assert peer.send_message(key, "two", peer.now) == 2


# -- what may not be sent


def test_nothing_is_taken_for_a_friend_who_is_not_online() -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    key = friend.real.public

    def tries() -> list[Any]:
        return [
            peer.send_message(key, "x", peer.now),
            peer.send(key, custom(1), peer.now),
            peer.send(key, b"\xc8", peer.now),
            peer.send_many(key, [custom(1)], peer.now),
            peer.set_typing(key, True, peer.now),
        ]

    assert tries() == [None, False, False, 0, False]
    friend.shake()
    friend.say(friend.data(REQUEST))
    assert tries() == [None, False, False, 0, False]
    friend.say(friend.lossless(ONLINE))
    assert tries() == [1, True, True, 1, True]
    assert peer.stats.refused == {"the friend is not online": 10}


@pytest.mark.parametrize("data", [b"", b"\x9f", b"\xc0", b"\xc7", b"\xff", b"\xa0" + bytes(1373)])
def test_what_is_no_custom_packet(data: bytes) -> None:
    peer = NodePeer.live()
    friend = peer.met()
    with pytest.raises(LocalProtocolError):
        peer.send(friend.real.public, data, peer.now)


def test_several_packets_are_lossless_ones() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    with pytest.raises(LocalProtocolError):
        peer.send_many(friend.real.public, [custom(1), b"\xc8lossy"], peer.now)
    assert packets(friend) == []


@pytest.mark.parametrize("text", ["", "x" * 1373])
def test_what_is_no_message(text: str) -> None:
    peer = NodePeer.live()
    friend = peer.met()
    with pytest.raises(LocalProtocolError):
        peer.send_message(friend.real.public, text, peer.now)
    assert peer.send_message(friend.real.public, "x" * 1372, peer.now) == 1


def test_a_message_that_is_not_taken_has_no_number() -> None:
    peer = NodePeer.live(limits=NodeLimits(queue=1))
    friend = peer.met()
    key = friend.real.public
    while peer.send(key, custom(0), peer.now):
        pass
    assert peer.send_message(key, "x", peer.now) is None
    friend.start = outgoing_of(friend).window.number
    friend.say(friend.data(REQUEST))
    peer.wait(1.0)
    assert peer.send_message(key, "x", peer.now) == 1


def test_who_is_no_friend() -> None:
    peer = NodePeer.live()
    for call in (
        lambda: peer.send(REAL.public, custom(1), 0.0),
        lambda: peer.send_message(REAL.public, "x", 0.0),
        lambda: peer.set_typing(REAL.public, True, 0.0),
    ):
        with pytest.raises(LocalProtocolError):
            call()


def test_a_node_that_is_closed_sends_nothing() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.close(peer.now)
    with pytest.raises(NotOpen):
        peer.send(friend.real.public, custom(1), peer.now)


def test_what_was_learnt_about_the_rate_is_forgotten_ten_seconds_later() -> None:
    peer = NodePeer.live()
    friend = peer.met(3, AT_B)
    peer.send(friend.real.public, custom(1), peer.now)
    friend.say(friend.data(REQUEST, start=outgoing_of(friend).window.number))
    assert outgoing_of(friend).congestion is not None
    peer.wait(9.0)
    assert outgoing_of(friend).congestion is not None
    friend.say(friend.data(REQUEST, start=outgoing_of(friend).window.number))  # a sign of life went out
    peer.wait(1.5)
    assert outgoing_of(friend).congestion is None
    assert peer.met(2, AT_C)


def test_what_an_idle_session_hears_by_another_way_or_of_what_was_sent_twice_says_less() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    outgoing = outgoing_of(friend)
    peer.wait(0.25)
    friend.say(friend.data(REQUEST, start=outgoing.window.number))  # all has arrived
    watch = outgoing.watch
    watch.strikes = 1
    track = watch.outgoing.ways.track(b"")
    before = track.rtts
    assert watch.note_heard(windows.Heard(1, None, numbers=[7]), b"relay") is None
    assert (watch.carried, watch.strikes, track.rtts) == (None, 1, before)
    assert watch.note_heard(windows.Heard(1, 0.25, numbers=[7]), b"") == 0.25
    assert (watch.carried, watch.strikes, track.rtts) == (None, 0, (*before, 0.25))
