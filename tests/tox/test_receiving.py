"""What a node makes of the Data packets of a friend."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_tox import ALIVE, AT_B, AT_C, ELSEWHERE, KILL, ONLINE, REQUEST, Friend, Heard, NodePeer

from sansproto.tox import crypto
from sansproto.tox import packets as p
from sansproto.tox.events import CustomReceived, FriendOffline, MessageDelivered, MessageReceived, OfflineReason

WINDOW = 32_768


def session_of(friend: Friend) -> Any:
    return friend.peer.endpoint.friends.all[friend.real.public].session


def texts(peer: NodePeer) -> list[str]:
    return [event.text for event in peer.take() if isinstance(event, MessageReceived)]


def said(text: int | str) -> bytes:
    return b"\x40" + str(text).encode()


def acknowledged(friend: Friend) -> list[Heard]:
    """The lists that came since the last time."""
    return [one for one in friend.take() if isinstance(one, Heard) and one.payload[:1] == REQUEST]


# -- numbers


def test_packets_are_handed_on_in_order_and_once() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    first, second, third = (friend.lossless(said(number)) for number in range(3))
    friend.say(third, first, first)
    assert texts(peer) == ["0"]
    friend.say(third, second, second)
    assert texts(peer) == ["1", "2"]
    assert peer.stats.dropped == {"a lossless packet again": 3}


def test_a_number_may_be_up_to_a_window_ahead() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    start = friend.number
    friend.say(friend.data(said("far"), number=start + WINDOW))
    assert peer.stats.dropped == {"a number out of reach": 1}
    friend.say(friend.data(said("near"), number=start + WINDOW - 1))
    assert peer.stats.dropped == {"a number out of reach": 1}
    assert session_of(friend).receiving.span == WINDOW


@given(st.integers(0, 1 << 32), st.lists(st.sampled_from(["lose", "double", "swap", "keep"]), max_size=12))
def test_however_packets_come_they_are_handed_on_in_order(seed: int, fates: list[str]) -> None:
    peer, random = NodePeer.live(), Random(seed)
    friend = peer.met()
    payloads = {friend.number + number: said(number) for number in range(len(fates))}
    waiting = []
    for number, fate in zip(payloads, fates, strict=True):
        made = friend.data(payloads[number], number=number)
        waiting += {"lose": [], "double": [made, made], "swap": [made], "keep": [made]}[fate]
        if fate == "swap":
            random.shuffle(waiting)
    friend.say(*waiting)
    got = session_of(friend).receiving
    friend.say(
        *[friend.data(payloads[one], number=one) for one in payloads if one >= got.start and one not in got.held]
    )
    assert texts(peer) == [str(number) for number in range(len(fates))]


# -- acknowledgements


def test_a_lossless_packet_is_acknowledged_after_55_milliseconds() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.wait(2.0)
    friend.take()
    friend.say(friend.lossless(said("x")))
    peer.wait(0.05)
    assert acknowledged(friend) == []
    peer.wait(0.01)
    assert acknowledged(friend) == [Heard(friend.number, peer_number(friend), REQUEST)]


def peer_number(friend: Friend) -> int:
    number: int = session_of(friend).outgoing.window.number
    return number


def test_a_packet_is_acknowledged_within_55_milliseconds_however_soon_it_follows() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.wait(2.0)
    friend.take()
    for _ in range(2):
        friend.say(friend.lossless(said("x")))
        peer.wait(0.054)
        assert acknowledged(friend) == []
        peer.wait(0.002)
        assert len(acknowledged(friend)) == 1


def test_many_packets_are_acknowledged_each_54_milliseconds() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.wait(2.0)
    friend.take()
    times = []
    for _ in range(1000):
        peer.wait(0.001)
        friend.say(friend.lossless(b"\xa0"))
        times += [peer.now for _ in acknowledged(friend)]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert 0.050 <= min(pauses) <= max(pauses) <= 0.056


def test_gaps_are_asked_for_until_they_are_closed() -> None:
    peer = NodePeer.live()
    friend = peer.met(3)
    peer.wait(2.0)
    friend.take()
    lost = [friend.lossless(said(number)) for number in range(2)]
    friend.say(friend.lossless(said(2)))
    peer.wait(0.06)
    assert [one.payload for one in acknowledged(friend)] == [b"\x01\x01\x01"]
    peer.wait(3.0)
    assert [one.payload for one in acknowledged(friend)] == [b"\x01\x01\x01"] * 12
    friend.say(*lost)
    peer.wait(2.0)
    assert [one.payload for one in acknowledged(friend)] == [REQUEST]


def test_what_was_lost_at_the_end_is_noticed_by_the_number_of_a_list() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.wait(2.0)
    friend.take()
    friend.say(friend.data(REQUEST, number=friend.number + 2))
    peer.wait(0.06)
    assert [one.payload for one in acknowledged(friend)] == [b"\x01\x01\x01"]


@pytest.mark.parametrize(("ahead", "is_missing"), [(WINDOW, True), (WINDOW + 1, False), (0, False)])
@pytest.mark.parametrize("payload", [REQUEST, b"\xc8lossy", b"\xc0av"])
def test_how_far_ahead_a_lossy_packet_may_say_that_something_was_sent(
    payload: bytes, ahead: int, is_missing: bool
) -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.say(friend.data(payload, number=friend.number + ahead))
    assert session_of(friend).receiving.is_missing is is_missing


@pytest.mark.parametrize("payload", [b"\x03", b"\x0f", b"\xff"])
def test_ids_that_nobody_uses_are_passed_over(payload: bytes) -> None:
    peer = NodePeer.live()
    friend = peer.met()
    number = peer.send_message(friend.real.public, "hello", peer.now)
    friend.take()
    friend.say(friend.data(payload, number=friend.number + 3, start=friend.start + 1))
    assert not session_of(friend).receiving.is_missing
    assert [event.number for event in peer.take()] == [number]  # what it acknowledges counts
    assert peer.stats.noted == {"a packet whose id nobody uses": 1}
    assert peer.stats.dropped == {}


def test_an_idle_session_says_something_each_4_and_a_half_seconds() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.wait(3.0)
    friend.take()
    said, end = [], peer.now + 60.0
    while peer.now < end:
        peer.tick()
        for one in friend.take():
            said.append((peer.now, one.payload))
            if one.payload == ALIVE:
                friend.start += 1
        friend.say(friend.data(b"\xc8acknowledges"))
    alive = [at for at, payload in said if payload == ALIVE]
    assert {round(after - before, 3) for before, after in itertools.pairwise(alive)} == {8.0}
    gaps = [after - before for (before, _), (after, _) in itertools.pairwise(said)]
    assert max(gaps) <= 4.5
    assert len(said) <= 16


# -- nonces


def test_up_to_21844_nonces_may_be_left_out_each_time() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    for text in range(12):
        friend.say(friend.lossless(said(text), skip=21_844))
    assert texts(peer) == [str(text) for text in range(12)]
    assert peer.stats.dropped == {}


@pytest.mark.parametrize(("skip", "is_found"), [(65_533, True), (65_534, False)])
def test_65535_nonces_ahead_of_the_lowest_is_the_most(skip: int, is_found: bool) -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.say(friend.lossless(said(0), skip=skip))
    assert texts(peer) == (["0"] if is_found else [])
    friend.say(friend.lossless(said(1), skip=21_844))
    assert texts(peer) == (["1"] if is_found else [])


def test_a_late_packet_opens_as_long_as_its_nonce_is_within_reach() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    late, later = friend.data(b"\xc8late"), friend.data(b"\xc8later")
    friend.say(friend.data(REQUEST, skip=43_000))
    friend.say(late)
    assert peer.stats.dropped == {"a replayed packet": 1}  # it opens, but nobody knows whether it came before
    friend.say(friend.data(REQUEST, skip=1_000))
    friend.say(later)
    assert peer.stats.dropped == {"a replayed packet": 1, "data that does not open": 1}


def test_nonces_wrap() -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    friend.keys = friend.keys._replace(base_nonce=b"\xff" * 24)
    friend.call()
    friend.say(friend.lossless(said("after")))
    assert texts(peer) == ["after"]


# -- replays


def test_a_lossy_packet_is_handed_on_once() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    made = [friend.data(b"\xc8%d" % number) for number in range(3)]
    friend.say(made[2], made[0], made[2], made[0], made[1])
    assert [event.data for event in peer.take() if isinstance(event, CustomReceived)] == [b"\xc82", b"\xc80", b"\xc81"]
    assert peer.stats.dropped == {"a replayed packet": 2}


def test_a_list_of_nothing_is_taken_once_and_says_what_was_sent() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    session, end = session_of(friend), session_of(friend).outgoing.window.end
    made = friend.data(REQUEST, start=end)
    friend.say(made, made)
    assert peer.stats.dropped == {"a replayed packet": 1}
    friend.say(friend.data(REQUEST, start=end + 1))
    assert peer.stats.dropped == {"a replayed packet": 1, "an acknowledgement of what was not sent": 1}
    assert not session.receiving.is_missing
    friend.say(friend.data(REQUEST, start=end, number=friend.number + 1))
    assert session.receiving.is_missing


def test_the_memory_of_lossy_packets_is_made_with_the_first_and_is_small() -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    friend.shake()
    friend.say(friend.lossless(ONLINE))
    assert session_of(friend).replay is None
    friend.say(friend.data(b"\xc8first"))
    friend.say(friend.data(b"\xc8far", skip=8_000))
    assert session_of(friend).replay.bits.bit_length() <= 8 * 1024


@pytest.mark.parametrize(("behind", "is_taken"), [(8191, True), (8192, False)])
def test_a_lossy_packet_may_be_late_by_less_than_8192_nonces(behind: int, is_taken: bool) -> None:
    """Of those from before it is not known whether they came."""
    peer = NodePeer.live()
    friend = peer.met()
    late = friend.data(b"\xc8late")
    friend.say(friend.data(b"\xc8new", skip=behind - 1))
    peer.take()
    friend.say(late)
    assert [event.data for event in peer.take()] == [b"\xc8late"] * is_taken


def test_what_was_recorded_does_not_keep_a_session_alive() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    recorded = [friend.data(REQUEST), friend.data(b"\xc8x"), friend.lossless(said("x"))]
    friend.say(*recorded)
    peer.take()
    for _ in range(59):
        peer.wait(1.0)
        friend.say(*recorded)
    peer.wait(2.0)
    assert FriendOffline(friend.real.public, OfflineReason.SILENT) in peer.take()


# -- what is none


def test_where_data_comes_from() -> None:
    peer = NodePeer.live()
    friend, other = peer.met(), peer.met(3, AT_C)
    friend.say(friend.lossless(said("from elsewhere")), path=ELSEWHERE)
    assert peer.stats.dropped == {"data from an unknown address": 1}
    friend.say(other.lossless(said("of another one")))
    assert peer.stats.dropped == {"data from an unknown address": 1, "data that does not open": 1}
    assert texts(peer) == []


def test_friends_at_one_path_are_told_apart_by_their_keys() -> None:
    peer = NodePeer.live()
    friends = [peer.befriend(number) for number in (2, 3)]
    for friend in friends:
        friend.shake()
        friend.say(friend.lossless(ONLINE))
    for friend in friends:
        friend.say(friend.lossless(said(friend.real.public.hex())))
    assert texts(peer) == [friend.real.public.hex() for friend in friends]
    assert peer.stats.dropped == {}


@pytest.mark.parametrize("size", [0, 27, 1401])
def test_sizes_that_no_data_has(size: int) -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.say((b"\x1b" + bytes(1400))[:size] if size else b"")
    assert peer.stats.dropped == {"malformed datagram": 1}


def test_any_number_of_zeros_is_padding() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    for zeros in (0, 1, 100):
        nonce = (int.from_bytes(friend.keys.base_nonce, "big") + friend.sent).to_bytes(24, "big")
        clear = friend.start.to_bytes(4, "big") + friend.number.to_bytes(4, "big") + bytes(zeros) + said(zeros)
        friend.say(crypto.seal_data(friend.shared, nonce, clear))
        friend.sent, friend.number = friend.sent + 1, friend.number + 1
    assert texts(peer) == ["0", "1", "100"]


def empty(friend: Friend, start: int) -> bytes:
    """A Data packet with zeros alone."""
    nonce = (int.from_bytes(friend.keys.base_nonce, "big") + friend.sent).to_bytes(24, "big")
    friend.sent += 1
    return crypto.seal_data(friend.shared, nonce, start.to_bytes(4, "big") + bytes(4 + 5))


def test_data_without_a_payload_acknowledges() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.endpoint.send_message(friend.real.public, "well?", peer.now)
    entry = peer.endpoint.friends.all[friend.real.public]
    before = entry.heard
    peer.now += 1.0
    friend.say(empty(friend, friend.start + 1))
    assert peer.take() == [MessageDelivered(friend.real.public, 1)]
    assert entry.heard == before + 1.0
    assert peer.stats.noted == {"data without a payload": 1}
    friend.say(empty(friend, friend.start + 2))
    assert peer.stats.dropped == {"an acknowledgement of what was not sent": 1}


def test_a_lossless_packet_that_is_sent_again_is_acknowledged_again() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    sent = friend.lossless(said("x"))
    friend.say(sent)
    peer.wait(1.1)
    assert [one.start for one in friend.take()][-1] == friend.number  # and this was lost
    friend.say(sent)  # a copy that the network made
    peer.wait(1.1)
    assert friend.take() == []
    peer.endpoint.send_message(friend.real.public, "well?", peer.now)
    peer.drain()
    friend.take()
    friend.say(friend.data(said("x"), number=friend.number - 1, start=friend.start + 1))
    peer.wait(1.1)
    assert [(one.start, one.payload) for one in friend.take()] == [(friend.number, REQUEST)]
    assert [type(event) for event in peer.take()] == [MessageReceived, MessageDelivered]
    assert peer.stats.dropped == {"a lossless packet again": 1}
    assert peer.stats.noted == {"a lossless packet that was sent again": 1}


def test_the_second_list_within_2_seconds_is_answered_if_nothing_of_ours_went_for_one() -> None:
    peer = NodePeer.live()
    friend = peer.met(3)
    peer.wait(2.5)
    friend.take()
    said = []
    for pause in (0.6, 2.1, 1.0, 0.5, 1.2):
        friend.say(friend.data(REQUEST))
        peer.wait(pause)
        said.append(friend.heard())
    assert said == [[], [REQUEST], [], [REQUEST], []]


def test_what_is_held_behind_a_gap_is_known_when_it_is_sent_again() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    number = friend.number + 1
    friend.say(friend.data(said("x"), number=number), friend.data(said("x"), number=number))
    assert peer.stats.noted == {"a lossless packet that was sent again": 1}
    assert peer.stats.dropped == {}


@pytest.mark.parametrize("ahead", [32_768, 1 << 31, (1 << 32) - 40_000, (1 << 32) - 100])
def test_a_number_out_of_reach_is_no_packet_that_came_before(ahead: int) -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.say(friend.data(said("x"), number=friend.number + ahead))
    assert peer.stats.dropped == {"a number out of reach": 1}
    assert texts(peer) == []


def test_an_acknowledgement_of_what_was_not_sent_drops_the_packet() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.say(friend.lossless(said("x"), start=friend.start + 1))
    assert peer.stats.dropped == {"an acknowledgement of what was not sent": 1}
    assert texts(peer) == []


def test_an_older_acknowledgement_is_no_reason_to_drop_a_packet() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.say(friend.lossless(said("x"), start=0), friend.data(b"\xc8y", start=friend.start - 1))
    assert [type(event) for event in peer.take()] == [MessageReceived, CustomReceived]
    assert peer.stats.dropped == {}


def test_the_end_of_a_session() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.wait(5.0)
    friend.take()
    friend.say(friend.data(KILL), friend.data(KILL))
    assert peer.take() == [FriendOffline(friend.real.public, OfflineReason.SAID)]
    assert peer.stats.dropped == {"data that does not open": 1}
    assert len(peer.endpoint.sessions.all) == 0
    assert [type(one) for one in friend.take() if one is not None] == [p.CookieRequestBody]  # it is called at once


def test_an_end_is_not_told_twice_by_a_recorded_packet() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    end = friend.data(KILL)
    friend.say(end)
    friend.begin("second")
    friend.call()
    peer.take()
    friend.say(end)
    assert peer.take() == []


def test_data_is_opened_by_few_keys() -> None:
    """Of a friend who keeps beginning sessions."""
    peer = NodePeer.live()
    friend = peer.met(2, AT_B)
    cookie = friend.ask_cookie()
    for number in range(10):
        friend.begin(str(number))
        friend.say(friend.handshake(cookie))
    assert len(peer.endpoint.sessions.all) == 5
    assert peer.stats.dropped == {"no room for a candidate": 6}


def test_all_packets_are_looked_at_whichever_session_at_a_path_they_are_of() -> None:
    peer = NodePeer.live()
    friends = [peer.met(2, AT_B), peer.met(3, AT_B)]
    for friend in friends:
        lossy, one, two = friend.data(b"\xc8once"), friend.lossless(b"\xa0one"), friend.lossless(b"\xa0two")
        friend.say(lossy, lossy, two, two, one, one, friend.data(REQUEST))
        said = [event.data for event in peer.take() if event.friend == friend.real.public]
        assert said == [b"\xc8once", b"\xa0one", b"\xa0two"]
        friend.say(friend.data(b""), friend.data(b"\xc8never", start=friend.start + 100))
    assert peer.take() == []
    assert peer.stats.dropped == {
        "a replayed packet": 2,
        "a lossless packet again": 4,
        "an acknowledgement of what was not sent": 2,
    }
    assert peer.stats.noted == {"data without a payload": 2}
    for friend in reversed(friends):
        friend.say(friend.data(KILL))
        assert peer.take() == [FriendOffline(friend.real.public, OfflineReason.SAID)]
