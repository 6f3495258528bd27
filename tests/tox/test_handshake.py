"""Cookies and handshakes of a node, with friends that a script plays."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from scripted_tox import ALIVE, AT_B, AT_C, DHT, ELSEWHERE, KILL, ONLINE, REAL, REQUEST, Friend, Heard, NodePeer, keys
from tox_world import World, chat, meet

from sansproto.errors import LocalProtocolError
from sansproto.tox import crypto
from sansproto.tox import packets as p
from sansproto.tox.crypto import KeyPair
from sansproto.tox.events import FriendOffline, FriendOnline, MessageReceived, OfflineReason, Undelivered
from sansproto.tox.limits import NodeLimits

LOW = bytes(32)


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def kinds(friend: Friend) -> list[Any]:
    """What came: the kinds of packets, and the payloads of data that opens."""
    return [one.payload if isinstance(one, Heard) else type(one) for one in friend.take()]


# -- cookies


def test_everybody_gets_a_cookie_for_a_request_by_the_way_it_came() -> None:
    peer = NodePeer.live()
    stranger = Friend(peer, 7)
    stranger.say(stranger.request(b"my count"))
    (body,) = stranger.take()
    assert body.number == b"my count"
    cookie = crypto.open_cookie(peer.endpoint.keyring.cookie_key, body.cookie)
    assert (cookie.time, cookie.real_key, cookie.dht_key) == (0, stranger.real.public, stranger.dht.public)
    stranger.say(stranger.request(), path=ELSEWHERE)
    assert [one.path for one in peer.transmits] == [ELSEWHERE]
    assert len(peer.transmits[0].data) == 161
    assert peer.stats.dropped == {}


def test_strangers_get_ten_cookies_at_once_and_ten_a_second() -> None:
    peer = NodePeer.live()
    strangers = [Friend(peer, 7), Friend(peer, 8, AT_C)]
    for one in strangers:
        one.say(*[one.request() for _ in range(8)])
    assert [len(one.take()) for one in strangers] == [8, 2]
    assert peer.stats.dropped == {"too many cookie requests": 6}
    peer.now = 0.55
    strangers[0].say(*[strangers[0].request() for _ in range(8)])
    assert len(strangers[0].take()) == 5
    peer.now = 100.0
    strangers[0].say(*[strangers[0].request() for _ in range(12)])
    assert len(strangers[0].take()) == 10


def test_a_friend_gets_cookies_when_strangers_have_used_up_theirs() -> None:
    peer = NodePeer.live()
    stranger, friend = Friend(peer, 7, AT_C), peer.befriend()
    stranger.say(*[changed(stranger.request(), 100) for _ in range(12)])
    assert peer.stats.dropped == {"a cookie request that does not open": 10, "too many cookie requests": 2}
    friend.say(*[friend.request() for _ in range(12)])
    assert len(friend.take()) == 10
    friend.say(changed(friend.request(), 100))
    assert peer.stats.dropped == {"a cookie request that does not open": 11, "too many cookie requests": 4}


def test_a_request_with_a_key_that_is_none_costs_nothing() -> None:
    peer = NodePeer.live()
    stranger = Friend(peer, 7)
    before = peer.endpoint.cookies
    stranger.say(p.DATAGRAM.encode(p.CookieRequest(LOW, bytes(24), bytes(88))))
    assert peer.stats.dropped == {"a key that is none": 1}
    assert (peer.endpoint.cookies, stranger.take()) == (before, [])


def test_a_real_key_that_is_none_gets_no_cookie() -> None:
    peer = NodePeer.live()
    stranger = Friend(peer, 7)
    sealed = crypto.seal_body(stranger.between_dht, bytes(24), p.CookieRequestBody(LOW, bytes(32), bytes(8)))
    stranger.say(p.DATAGRAM.encode(p.CookieRequest(stranger.dht.public, bytes(24), sealed)))
    assert peer.stats.dropped == {"a cookie request that does not open": 1}


# -- the node calls


def test_a_node_calls_a_friend_at_its_path() -> None:
    peer = NodePeer.live()
    friend = peer.befriend(at=AT_B)
    (asked,) = friend.take()
    assert (asked.real_key, asked.unused) == (REAL.public, bytes(32))
    friend.say(friend.response(asked.number))
    (body,) = friend.take()
    friend.adopt(body)
    friend.say(friend.handshake(body.other_cookie))
    assert kinds(friend) == [REQUEST]
    friend.say(friend.lossless(ONLINE))
    assert [one[:1] for one in friend.heard()] == [ONLINE, ALIVE, b"\x30", b"\x31", b"\x32"]
    assert peer.take() == [FriendOnline(friend.real.public)]
    assert peer.stats.dropped == {}


def test_a_friend_that_does_not_answer_is_called_again_and_again() -> None:
    peer = NodePeer.live()
    friend = peer.befriend(at=AT_B)
    times = [peer.now for _ in friend.take()]
    while peer.now < 90.0:
        peer.tick()
        times += [peer.now for one in friend.take() if isinstance(one, p.CookieRequestBody)]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert 1.0 <= pauses[0] <= 1.3
    assert 2.0 <= min(pauses[1:20]) <= max(pauses) <= 3.9


def test_an_answer_that_opens_counts_once_and_only_if_it_was_asked_for() -> None:
    peer = NodePeer.live()
    friend = peer.befriend(at=AT_B)
    (asked,) = friend.take()
    response = friend.response(asked.number)
    friend.say(changed(response, 100), friend.response(b"whatever"))
    assert friend.take() == []
    assert peer.stats.dropped == {"a cookie response that does not open": 1, "unknown handshake": 1}
    friend.say(response, response)
    assert kinds(friend) == [p.HandshakeBody]
    assert peer.stats.dropped["a challenge that was answered"] == 1
    Friend(peer, 7, ELSEWHERE).say(response)
    assert peer.stats.dropped["a cookie response from an unknown address"] == 1
    assert peer.stats.dropped["a cookie response that does not open"] == 1


def test_a_session_through_a_relay_counts_nothing_that_reads_like_a_fault() -> None:
    """The cookie was asked for by several ways: the other answers come when there is no handshake any more."""
    world = World()
    relay, a, b = world.relay(), world.node(1, has_socket=False), world.node(2, has_socket=False)
    for one, other in ((a, b), (b, a)):
        one.use(relay)
        one.befriend(other, relays=(relay,))
    meet(world, a, b)
    chat(world, a, b, 5.0)
    counted = {*a.tox.stats.dropped, *b.tox.stats.dropped}
    assert "a late cookie response" in counted
    assert counted <= {"a late cookie response", "a challenge that was answered", "a copy of a handshake"}


def test_one_path_may_be_that_of_several_friends() -> None:
    peer = NodePeer.live()
    first, _ = (peer.befriend(number, at=AT_B) for number in (2, 3))
    asked, of_the_other = first.take()
    assert of_the_other is None
    first.say(first.response(asked.number))
    assert kinds(first) == [p.HandshakeBody]


def test_the_handshake_is_repeated_each_second_and_its_cookie_is_renewed() -> None:
    peer = NodePeer.live()
    friend = peer.befriend(at=AT_B)
    friend.answer_request()
    (first,) = friend.inbox
    friend.inbox.clear()
    times, cookies = [0.0], []
    while peer.now < 16.0:
        peer.tick()
        for data in friend.inbox:
            if data[0] == 0x1A:
                assert data == first
                times.append(peer.now)
            else:
                cookies.append(peer.now)
        friend.inbox.clear()
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert 1.0 <= min(pauses) <= max(pauses) <= 1.3
    assert 12.0 < cookies[0] < 13.4


def test_the_answer_confirms_with_a_list_each_second_and_the_handshake_until_data_comes() -> None:
    peer = NodePeer.live()
    friend = peer.befriend(at=AT_B)
    friend.answer_request()
    first = friend.inbox[-1]
    friend.answer_handshake()
    assert kinds(friend) == [REQUEST]
    peer.wait(2.0)
    handshake, again = friend.inbox[0::2]
    assert again == handshake
    assert friend.opened(handshake).session_key == friend.opened(first).session_key == friend.us
    assert kinds(friend)[1::2] == [REQUEST, REQUEST]
    friend.say(friend.data(REQUEST))
    peer.wait(5.0)
    assert handshake not in friend.inbox


def test_an_answer_without_data_is_forgotten_and_the_friend_is_called_anew() -> None:
    peer = NodePeer.live()
    friend = peer.befriend(at=AT_B)
    friend.answer_request()
    friend.answer_handshake()
    own = friend.us
    peer.wait(18.0)
    assert p.CookieRequestBody in kinds(friend)
    friend.begin("second")
    peer.wait(2.0)
    friend.answer_request()
    (body,) = [one for one in friend.take() if isinstance(one, p.HandshakeBody)][-1:]
    assert body.session_key != own  # what was sealed under it must not be sealed again


# -- both call


def test_a_call_that_crosses_ours_is_the_answer_to_it() -> None:
    peer = NodePeer.live()
    friend = peer.befriend(at=AT_B)
    friend.shake()  # our request was not answered
    friend.come_online()
    assert peer.take() == [FriendOnline(friend.real.public)]
    assert len(peer.endpoint.sessions.all) == 1


def test_handshakes_that_cross_make_one_session() -> None:
    peer = NodePeer.live()
    friend = peer.befriend(at=AT_B)
    cookie = friend.ask_cookie()
    peer.wait(1.5)
    friend.answer_request()
    body = friend.take()[-1]
    friend.say(friend.handshake(cookie))  # not made for our handshake
    friend.adopt(body)
    assert kinds(friend) == [REQUEST]
    friend.come_online()
    assert peer.take() == [FriendOnline(friend.real.public)]
    assert len(peer.endpoint.sessions.all) == 1


def test_a_friend_that_restarts_before_it_answers_gets_a_handshake_with_a_cookie_of_its_new_process() -> None:
    peer = NodePeer.live()
    friend = peer.befriend(at=AT_B)
    friend.answer_request()
    friend.begin("restarted")
    friend.cookie_key = b"another process".ljust(32)
    friend.say(friend.handshake(friend.ask_cookie()))
    friend.take()
    peer.wait(1.1)
    (again,) = [data for data in friend.inbox if data[0] == 0x1A]
    assert crypto.open_cookie(friend.cookie_key, p.DATAGRAM.decode(again).cookie).real_key == REAL.public
    friend.adopt(friend.opened(again))
    friend.come_online()
    assert peer.take() == [FriendOnline(friend.real.public)]


def test_whatever_is_begun_has_one_key_until_a_session_is_in_use() -> None:
    peer = NodePeer.live()
    friend = peer.befriend(at=AT_B)
    friend.shake()
    first = friend.us
    friend.begin("second")
    peer.wait(2.0)
    friend.take()
    friend.shake()
    assert friend.us == first
    friend.come_online()
    friend.begin("third")
    friend.shake()
    assert friend.us != first


# -- the friend calls


def test_a_friend_that_calls_beside_a_session_gets_a_handshake_and_nothing_else() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    before, friend.inbox = friend.keys, []
    friend.begin("restarted")
    made = friend.shake()
    peer.wait(0.9)
    friend.say(made)
    assert p.HandshakeBody not in kinds(friend)
    peer.wait(0.2)
    friend.say(made, made)
    assert kinds(friend).count(p.HandshakeBody) == 1
    assert peer.stats.dropped == {"a copy of a handshake": 2}
    assert peer.take() == []
    assert before != friend.keys


def test_the_first_data_replaces_the_session() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    number = peer.send_message(friend.real.public, "hello", peer.now)
    old, old_shared = friend.keys, friend.shared
    friend.begin("restarted")
    friend.shake()
    assert peer.take() == []
    friend.say(friend.lossless(ONLINE))
    assert peer.take() == [
        Undelivered(friend.real.public, (number,), ()),
        FriendOffline(friend.real.public, OfflineReason.RESTARTED),
        FriendOnline(friend.real.public, 2),
    ]
    new = friend.keys, friend.shared, friend.sent
    friend.keys, friend.shared, friend.sent = old, old_shared, 2
    friend.say(friend.lossless(b"\x40late"), friend.data(KILL))
    assert peer.take() == []
    assert peer.stats.dropped == {"late data of a replaced session": 2}
    friend.keys, friend.shared, friend.sent = new
    friend.number = 1
    friend.say(friend.lossless(b"\x40new"))
    assert peer.take() == [MessageReceived(friend.real.public, "new")]


def test_a_handshake_alone_changes_nothing() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    session = peer.endpoint.friends.all[friend.real.public].session
    old = friend.keys, friend.shared, friend.sent, friend.number
    friend.begin("restarted")
    friend.shake()
    friend.keys, friend.shared, friend.sent, friend.number = old
    friend.say(friend.lossless(b"\x40still here"))
    assert peer.take() == [MessageReceived(friend.real.public, "still here")]
    peer.wait(17.0)
    assert list(peer.endpoint.sessions.all.values()) == [session]
    friend.say(friend.lossless(b"\x40still here"))
    assert peer.take() == [MessageReceived(friend.real.public, "still here")]


def test_the_end_of_a_candidate_is_not_that_of_the_session() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    old = friend.keys, friend.shared, friend.sent, friend.number
    friend.begin("restarted")
    friend.shake()
    friend.say(friend.data(KILL))
    assert len(peer.endpoint.sessions.all) == 1
    friend.keys, friend.shared, friend.sent, friend.number = old
    friend.say(friend.lossless(b"\x40still here"))
    assert peer.take() == [MessageReceived(friend.real.public, "still here")]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [(b"", "data without a payload"), (bytes(5), "data without a payload")],
)
def test_nothing_but_zeros_confirms_no_session(payload: bytes, reason: str) -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    friend.shake()
    friend.say(crypto.seal_data(friend.shared, friend.keys.base_nonce, bytes(8) + payload + bytes(5)))
    assert peer.stats.dropped == {reason: 1}
    assert peer.endpoint.friends.all[friend.real.public].session is None
    friend.sent = 1
    friend.say(friend.data(b"\xff"))  # an id that nobody uses does
    assert peer.endpoint.friends.all[friend.real.public].session is not None


@pytest.mark.parametrize("start", [1, -1])
def test_an_acknowledgement_of_what_was_not_sent_confirms_no_session(start: int) -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    friend.shake()
    friend.say(friend.data(REQUEST, start=start))
    assert peer.stats.dropped == {"an acknowledgement of what was not sent": 1}
    assert peer.endpoint.friends.all[friend.real.public].session is None


def test_the_first_packet_may_have_any_distance_from_the_base_nonce() -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    friend.shake()
    friend.say(friend.lossless(ONLINE, skip=65_535))
    assert peer.take() == [FriendOnline(friend.real.public)]


def test_data_that_overtakes_its_handshake_is_dropped() -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    cookie = friend.ask_cookie()
    friend.say(b"\x1b" + bytes(31))
    assert peer.stats.dropped == {"data from an unknown address": 1}
    friend.say(friend.handshake(cookie), b"\x1b" + bytes(31))
    assert peer.stats.dropped == {"data from an unknown address": 1, "data that does not open": 1}


# -- handshakes that are none


def test_a_cookie_lives_for_fifteen_whole_seconds() -> None:
    for wait, is_good in ((15.9, True), (16.0, False)):
        peer = NodePeer.live()
        friend = peer.befriend()
        cookie = friend.ask_cookie()
        peer.now = wait
        friend.say(friend.handshake(cookie))
        assert (p.HandshakeBody in kinds(friend)) is is_good
        assert peer.stats.dropped == ({} if is_good else {"a handshake with an old cookie": 1})


def test_a_cookie_of_the_future_is_none() -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    key = peer.endpoint.keyring.cookie_key
    friend.say(friend.handshake(crypto.make_cookie(key, bytes(24), 1, friend.real.public, friend.dht.public)))
    assert peer.stats.dropped == {"a handshake with an old cookie": 1}


def test_a_cookie_is_good_for_its_owner_only() -> None:
    peer = NodePeer.live()
    friend, other, stranger = peer.befriend(), peer.befriend(3, AT_C), Friend(peer, 7, ELSEWHERE)
    cookie = friend.ask_cookie()
    for thief in (other, stranger):
        thief.say(thief.handshake(cookie))
    assert peer.stats.dropped == {"a handshake that does not open": 2}
    stranger.say(stranger.handshake(stranger.ask_cookie()))
    assert peer.stats.dropped == {"a handshake that does not open": 2, "a handshake of a stranger": 1}
    friend.say(friend.handshake(friend.cookie()))
    assert peer.stats.dropped["a handshake with a cookie that is not ours"] == 1
    assert len(peer.endpoint.sessions.all) == 0


def test_a_handshake_is_bound_to_the_cookie_outside() -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    first, second = friend.ask_cookie(), friend.ask_cookie()
    made = friend.handshake(first)
    friend.say(made[:1] + second + made[113:])
    assert peer.stats.dropped == {"a handshake that does not open": 1}


def test_a_session_key_that_is_none() -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    friend.keys = friend.keys._replace(pair=KeyPair(bytes(32), LOW))
    friend.say(friend.handshake(friend.ask_cookie()))
    assert peer.stats.dropped == {"a handshake that does not open": 1}


def test_a_handshake_counts_once_also_when_its_session_is_over() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.begin("restarted")
    made = friend.shake()
    friend.say(friend.data(KILL))
    assert len(peer.endpoint.sessions.all) == 1
    friend.say(made)
    assert len(peer.endpoint.sessions.all) == 1
    assert peer.stats.dropped == {"a copy of a handshake": 1}
    peer.now += 17.0
    friend.say(friend.handshake(friend.ask_cookie()))
    assert len(peer.endpoint.keyring.seen) == 1  # the others' cookies are dead


def test_handshakes_are_remembered_up_to_a_limit() -> None:
    peer = NodePeer.live(limits=NodeLimits(seen=2))
    friend = peer.met()
    for name in ("one", "two", "three"):
        friend.begin(name)
        friend.shake()
    assert len(peer.endpoint.keyring.seen) == 2


def test_a_handshake_with_the_same_key_is_a_copy() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.say(friend.handshake(friend.ask_cookie()))
    assert kinds(friend) == []
    assert peer.stats.dropped == {"a copy of a handshake": 1}


def test_a_low_order_answer_is_no_answer() -> None:
    peer = NodePeer.live()
    friend = peer.befriend(at=AT_B)
    friend.answer_request()
    (body,) = friend.take()
    friend.keys = friend.keys._replace(pair=KeyPair(bytes(32), LOW))
    friend.say(friend.handshake(body.other_cookie))
    assert peer.stats.dropped == {"a handshake that does not open": 1}
    friend.keys = keys("first")
    friend.say(friend.handshake(body.other_cookie))
    assert len(peer.endpoint.sessions.all) == 1


# -- who they are


@pytest.mark.parametrize(
    ("real", "dht"), [(LOW, DHT.public), (DHT.public, LOW), (REAL.public, DHT.public), (b"k", b"k")]
)
def test_what_is_no_friend(real: bytes, dht: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        NodePeer.live().add_friend(real, dht, 0.0)


def test_a_friend_may_have_another_dht_key_after_a_restart() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.dht = KeyPair.of(bytes([77]) * 32)
    friend.begin("restarted")
    friend.shake()
    entry = peer.endpoint.friends.all[friend.real.public]
    assert entry.dht_keys == [KeyPair.of(bytes([102]) * 32).public, friend.dht.public]
    assert entry.ways.dht_key == KeyPair.of(bytes([102]) * 32).public  # nothing came under the new session yet
    friend.come_online()
    assert entry.dht_keys == [friend.dht.public] == [entry.ways.dht_key]
    assert list(peer.endpoint.friends.by_dht_key) == [friend.dht.public]


def test_a_friend_whose_other_dht_key_is_told_has_restarted_and_is_called_at_once() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.wait(3.0)
    friend.take()
    peer.take()
    then = peer.now
    peer.add_friend(friend.real.public, friend.dht.public, peer.now)
    assert friend.take() == []
    friend.dht = KeyPair.of(bytes([77]) * 32)
    friend.begin("restarted")
    peer.add_friend(friend.real.public, friend.dht.public, peer.now)
    friend.be_called()
    assert peer.now == then
    key = friend.real.public
    assert peer.take() == [FriendOffline(key, OfflineReason.RESTARTED), FriendOnline(key, 2)]


def test_of_several_dht_keys_that_a_friend_may_have_the_newest_is_remembered() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    for number in (77, 78):
        friend.dht = KeyPair.of(bytes([number]) * 32)
        friend.begin(str(number))
        friend.shake()
    entry = peer.endpoint.friends.all[friend.real.public]
    assert entry.dht_keys == [KeyPair.of(bytes([102]) * 32).public, friend.dht.public]
