"""The conversations of ``vectors/tox/nodes.json``: one party, one script each, recorded from our own machines.

They hit every row and step of gate, session and friend. ``make vectors`` writes the file again; the same code gives the
same file, byte by byte. All delays and limits stand in each ``config``: times in milliseconds.
"""

from __future__ import annotations

from typing import Any

from recording import Scenarios
from scripted_relay import SERVER, SOCKS_GRANTED, SOCKS_YES, ClientPeer
from scripted_tox import (
    ALIVE,
    AT_B,
    AT_C,
    ELSEWHERE,
    KILL,
    OFFLINE,
    ONLINE,
    REAL,
    REQUEST,
    Friend,
    Heard,
    NodePeer,
)

from sansproto.contract import Address
from sansproto.tox import Presence, Relay
from sansproto.tox import packets as p
from sansproto.tox.nodes import encode_nodes

scenario = Scenarios("tox/nodes.json")
LOW = bytes(32)
"""A point of small order."""
RELAY = Relay(SERVER.public, Address("192.0.2.1", 443))
BULK: dict[str, Any] = {"queue": 100, "outbox": 100}


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


class RelayedPeer(NodePeer, ClientPeer):
    """A node, its friends, and a relay."""


# -- handshakes --------------------------------------------------------------------------------------------------------


@scenario
def a_node_calls_a_friend_and_both_talk() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.befriend(at=AT_B)
    friend.be_called()
    key = friend.real.public
    peer.send_message(key, "hello", peer.now)
    peer.send_message(key, "waves", peer.now, action=True)
    friend.say(friend.lossless(b"\x40hello"), friend.data(REQUEST, start=friend.start + 2))
    peer.send(key, b"\xa0lossless", peer.now)
    peer.send(key, b"\xc8lossy", peer.now)
    friend.say(friend.lossless(b"\xa0lossless"), friend.data(b"\xc8lossy"))
    peer.wait(2.0)
    peer.remove_friend(key, peer.now)
    return peer


@scenario
def a_friend_calls() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    peer.set_profile(peer.now, name="Ada", status_message="thinking", presence=Presence.AWAY)
    peer.set_typing(friend.real.public, True, peer.now)
    return peer


@scenario
def a_call_that_crosses_ours_is_the_answer_to_it() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.befriend(at=AT_B)
    friend.shake()
    friend.come_online()
    return peer


@scenario
def handshakes_cross() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.befriend(at=AT_B)
    cookie = friend.ask_cookie()
    peer.wait(1.5)
    friend.answer_request()
    body = friend.take()[-1]
    friend.say(friend.handshake(cookie))
    friend.adopt(body)
    friend.take()
    friend.come_online()
    return peer


@scenario
def a_friend_does_not_answer() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.befriend(at=AT_B)
    peer.wait(4.0)
    friend.answer_request()
    peer.wait(14.0)
    friend.take()
    return peer


@scenario
def a_restarted_friend_replaces_its_session_with_its_first_data() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    peer.send_message(friend.real.public, "lost", peer.now)
    old = friend.keys, friend.shared
    friend.begin("restarted")
    made = friend.shake()
    friend.say(made)
    peer.wait(1.5)
    friend.say(made)
    friend.say(friend.data(b""), friend.lossless(ONLINE))
    new = friend.keys, friend.shared, friend.sent
    friend.keys, friend.shared, friend.sent = *old, 2
    friend.say(
        friend.lossless(b"\x40late"),
        friend.lossless(b"\x40later"),
        friend.data(b""),
        friend.data(b"\xc8late"),
        friend.data(REQUEST),
        friend.data(b"\x0f"),
        friend.data(KILL),
    )
    friend.keys, friend.shared, friend.sent = new
    friend.number = 1
    friend.say(friend.lossless(b"\x40new"))
    return peer


@scenario
def the_end_of_a_candidate_is_not_that_of_the_session() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    old = friend.keys, friend.shared, friend.sent, friend.number
    friend.begin("restarted")
    friend.shake()
    friend.say(friend.data(KILL))
    friend.keys, friend.shared, friend.sent, friend.number = old
    friend.say(friend.lossless(b"\x40still here"), friend.data(KILL))
    return peer


@scenario
def handshakes_that_are_none() -> NodePeer:
    peer = NodePeer.recorded()
    friend, stranger = peer.befriend(), Friend(peer, 7, ELSEWHERE)
    first, second = friend.ask_cookie(), friend.ask_cookie()
    made = friend.handshake(first)
    friend.say(friend.handshake(friend.cookie()), made[:1] + second + made[113:], changed(made, 200))
    stranger.say(stranger.handshake(stranger.ask_cookie()), stranger.handshake(first))
    peer.wait(16.0)
    friend.say(made)
    return peer


@scenario
def cookie_requests_are_answered_within_a_budget() -> NodePeer:
    peer = NodePeer.recorded()
    stranger, friend = Friend(peer, 7, AT_C), peer.befriend()
    stranger.say(stranger.request(), changed(stranger.request(), 100))
    peer.pause = 0.0
    stranger.say(*[stranger.request() for _ in range(10)])
    friend.say(changed(friend.request(), 100), *[friend.request() for _ in range(11)])
    low = p.CookieRequest(LOW, bytes(24), bytes(88))
    stranger.say(p.DATAGRAM.encode(low))
    return peer


@scenario
def answers_to_cookie_requests_that_are_none() -> NodePeer:
    peer = NodePeer.recorded()
    friend, _ = (peer.befriend(number, at=AT_B) for number in (2, 3))
    asked, _ = friend.take()
    response = friend.response(asked.number)
    friend.say(changed(response, 100), friend.response(b"whatever"), response, response)
    Friend(peer, 7, ELSEWHERE).say(response)
    return peer


@scenario
def pings_are_answered_within_a_budget() -> NodePeer:
    peer = NodePeer.recorded()
    stranger, friend = Friend(peer, 7, AT_C), peer.befriend()
    stranger.say(stranger.ping(b"a number"), changed(stranger.ping(b"a number"), 70))
    peer.pause = 0.0
    stranger.say(*[stranger.ping(b"a number") for _ in range(10)])
    friend.say(changed(friend.ping(b"a number"), 70), *[friend.ping(b"a number") for _ in range(11)])
    stranger.say(p.DATAGRAM.encode(p.DhtPing(LOW, bytes(24), bytes(25))))
    return peer


@scenario
def a_friend_with_another_address_is_found_by_a_ping() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    friend.move(ELSEWHERE)
    friend.say(friend.ping(b"a number"))
    number = next(one.number for one in friend.take() if isinstance(one, p.DhtPingBody))
    friend.say(friend.pong(b"whatever"), changed(friend.pong(number), 70), friend.pong(number))
    friend.say(friend.lossless(b"\x40from elsewhere"))
    peer.send_message(friend.real.public, "to elsewhere", peer.now)
    return peer


# -- what is received --------------------------------------------------------------------------------------------------


@scenario
def packets_in_any_order_are_handed_on_in_theirs() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    peer.pause = 0.01
    first, second, third = (friend.lossless(b"\x40%d" % number) for number in range(3))
    friend.say(third, first, first)
    peer.wait(0.2)
    friend.say(second)
    friend.say(friend.data(b"\x401", number=friend.number - 2), friend.data(b"\x40far", number=friend.number + 32_768))
    for number in range(8):
        peer.wait(0.03)
        friend.say(friend.lossless(b"\xa0%d" % number))
    peer.wait(1.0)
    return peer


@scenario
def more_comes_at_once_than_the_application_has_taken() -> NodePeer:
    """Half of the events may wait: the rest is handed on when they are taken."""
    peer = NodePeer.recorded(limits={"events": 8})
    friend = peer.met()
    packets = [friend.lossless(b"\xa0%d" % number) for number in range(7)]
    friend.say(*packets[1:], packets[0])
    peer.wait(0.2)
    return peer


@scenario
def lossy_packets_come_once_and_tell_which_numbers_there_are() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    made = friend.data(b"\xc8lossy", number=friend.number + 2)
    friend.say(made, made, friend.data(b"\x0f"), friend.data(KILL, start=friend.start + 7), friend.data(b""))
    peer.wait(2.5)
    return peer


@scenario
def nonces_move_on() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    late = friend.data(b"\xc8late")
    friend.say(friend.data(b"\xc8one", skip=30_000), friend.data(b"\xc8two", skip=30_000), late)
    return peer


@scenario
def a_packet_is_far_ahead() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    friend.say(friend.data(b"\xc8too far", skip=100_000))
    peer.wait(2.0)
    friend.say(friend.data(b"\xc8far"), friend.data(b"\xc8next"))
    peer.wait(2.0)
    friend.say(b"\x1b" + bytes(40), b"\x1b" + bytes(40))
    return peer


@scenario
def data_of_nobody() -> NodePeer:
    peer = NodePeer.recorded()
    friend, other = peer.met(), peer.met(3, AT_C)
    friend.say(friend.lossless(b"\x40from elsewhere"), path=ELSEWHERE)
    friend.say(b"\x1b" + bytes(40), b"\x1b" + bytes(5), b"\x77")
    third, fourth = (peer.befriend(number, path=AT_B) for number in (4, 5))
    for one in (third, fourth):
        one.shake()
        one.say(one.lossless(ONLINE))
    said = third.lossless(b"\x40third")
    third.say(said, said, third.data(b"\xc8lossy", start=99), third.data(b""))
    fourth.say(fourth.lossless(b"\x40fourth"))
    lossy = third.data(b"\xc8lossy")
    third.say(lossy, lossy)
    third.say(third.data(b"\x40third", number=third.number - 1), third.data(b"\x40far", number=third.number + 32_768))
    other.say(friend.data(REQUEST))
    return peer


# -- what is sent ------------------------------------------------------------------------------------------------------


@scenario
def what_is_asked_for_is_sent_again() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    key = friend.real.public
    for text in ("one", "two", "three"):
        peer.send_message(key, text, peer.now)
    friend.say(friend.data(b"\x01\x01\x01"))
    peer.wait(2.0)
    friend.say(friend.data(b"\x01\x01\x01"), friend.data(b"\x01\x09\x00"))
    peer.wait(1.0)
    friend.say(friend.data(REQUEST, start=friend.start + 3))
    peer.wait(1.0)
    return peer


@scenario
def much_waits_for_its_turn() -> NodePeer:
    peer = NodePeer.recorded(limits=BULK)
    friend = peer.met()
    key = friend.real.public
    peer.send_many(key, [b"\xa0%d" % number for number in range(300)], peer.now)
    peer.send(key, b"\xa0more", peer.now)
    for seconds in (*[0.25] * 6, 10.5):
        peer.wait(seconds)
        arrived = friend.take()
        friend.start = max(
            [
                friend.start,
                *(one.number + 1 for one in arrived if isinstance(one, Heard) and one.payload[:1] != REQUEST),
            ]
        )
        friend.say(friend.data(REQUEST))
    peer.wait(1.0)
    return peer


@scenario
def what_did_not_arrive_is_handed_up() -> NodePeer:
    peer = NodePeer.recorded(limits=BULK)
    friend = peer.met()
    key = friend.real.public
    peer.send_message(key, "lost", peer.now)
    peer.send_many(key, [b"\xa0%d" % number for number in range(80)], peer.now)
    peer.wait(2.0)
    friend.say(friend.data(KILL))
    peer.send_message(key, "too late", peer.now)
    peer.send(key, b"\xa0too late", peer.now)
    peer.set_typing(key, False, peer.now)
    return peer


@scenario
def what_cannot_be_sent() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    key = friend.real.public
    peer.endpoint.fails(lambda: peer.send_message(key, "", peer.now))
    peer.endpoint.fails(lambda: peer.send(key, b"\x40", peer.now))
    peer.endpoint.fails(lambda: peer.send_many(key, [b"\xc8lossy"], peer.now))
    peer.endpoint.fails(lambda: peer.send(REAL.public, b"\xa0", peer.now))
    peer.endpoint.fails(lambda: peer.set_profile(peer.now, name="x" * 129))
    peer.endpoint.fails(lambda: peer.add_friend(LOW, friend.dht.public, peer.now))
    peer.endpoint.fails(lambda: peer.add_relay(Relay(LOW, RELAY.address), peer.now))
    return peer


# -- friends -----------------------------------------------------------------------------------------------------------


@scenario
def friends_say_what_they_are_and_do() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.befriend()
    friend.shake()
    asked = p.FRIEND.encode(p.FriendRequest(7, b"let me in"))
    shared = b"\x11" + encode_nodes([RELAY])
    friend.say(friend.data(REQUEST), friend.lossless(b"\x40early"), friend.lossless(b"\xa0early"))
    friend.say(friend.lossless(ALIVE), friend.lossless(asked), friend.lossless(OFFLINE))
    friend.say(friend.lossless(ONLINE), friend.lossless(ONLINE))
    for payload in (b"\x30Bea", b"\x31at work", b"\x32\x02", b"\x33\x01", b"\x41waves", b"\x40caf\xe9"):
        friend.say(friend.lossless(payload))
    for payload in (b"\x45msi", b"\x32", b"\x11\x82", shared, asked, OFFLINE):
        friend.say(friend.lossless(payload))
    peer.set_profile(peer.now, name="Ada")
    return peer


@scenario
def a_session_that_nobody_uses_says_that_it_lives_and_is_lost() -> NodePeer:
    peer = NodePeer.recorded(delays={"alive": 2.0, "silent": 5.0, "quiet": 1.5})
    friend, away = peer.met(), peer.befriend(3, AT_C)
    for wait in (2.5, 2.0, 4.9):
        peer.wait(wait)
        friend.start += len([one for one in friend.heard() if one == ALIVE])
        friend.say(friend.data(REQUEST))
    peer.set_profile(peer.now, name="Ada")
    peer.wait(5.0)
    away.take()
    return peer


@scenario
def a_session_rests_when_all_has_arrived() -> NodePeer:
    peer = NodePeer.recorded(delays={"alive": 20.0})
    friend = peer.met()
    friend.say(friend.data(REQUEST))
    peer.wait(11.0)
    return peer


@scenario
def a_session_without_a_friend_that_listens_ends() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.befriend()
    friend.shake()
    friend.say(friend.data(REQUEST), friend.data(KILL))
    return peer


# -- relays ------------------------------------------------------------------------------------------------------------


@scenario
def a_friend_is_met_at_a_relay() -> NodePeer:
    peer = RelayedPeer.recorded()
    peer.met(3, AT_C)  # who is told of the relay
    peer.add_relay(RELAY, peer.now)
    peer.come_up()
    friend = peer.befriend(path=ELSEWHERE)
    peer.add_friend(friend.real.public, friend.dht.public, peer.now, relays=(RELAY,))
    peer.say(p.RoutingResponse(16, friend.dht.public), p.ConnectNotification(16))
    hear(peer, friend)
    (asked,) = friend.take()
    peer.say(p.Relayed(16, friend.response(asked.number)))
    hear(peer, friend)
    (body,) = friend.take()
    friend.adopt(body)
    peer.say(p.Relayed(16, friend.handshake(body.other_cookie)))
    peer.say(p.Relayed(16, friend.lossless(ONLINE)), p.Relayed(16, friend.lossless(b"\x40hello")))
    hear(peer, friend)
    assert ONLINE in friend.heard()
    peer.send_message(friend.real.public, "hello", peer.now)
    return peer


def hear(peer: RelayedPeer, friend: Friend) -> None:
    """A friend gets what is for it through the relay."""
    friend.inbox += [one.data for one in peer.speaker.take() if isinstance(one, p.Relayed)]


@scenario
def packets_through_a_relay_that_are_none() -> NodePeer:
    peer = RelayedPeer.recorded()
    friend, stranger = peer.befriend(), Friend(peer, 7)
    peer.add_relay(RELAY, peer.now)
    peer.come_up()
    peer.say(
        p.OobReceived(stranger.dht.public, stranger.request()),
        p.OobReceived(stranger.dht.public, friend.request()),
        p.OobReceived(stranger.dht.public, b"\x77"),
        p.OobReceived(friend.dht.public, b"\x1b" + bytes(40)),
    )
    peer.remove_relay(RELAY.key, peer.now)
    return peer


def met_twice(**config: Any) -> tuple[RelayedPeer, Friend]:
    """A friend that is met by UDP, and linked at a relay of its own."""
    peer = RelayedPeer.recorded(**config)
    friend = peer.met()
    peer.add_friend(friend.real.public, friend.dht.public, peer.now, relays=(RELAY,))
    peer.come_up()
    peer.say(p.RoutingResponse(16, friend.dht.public), p.ConnectNotification(16))
    peer.wait(5.0)
    friend.start += len([one for one in friend.heard() if one == ALIVE])
    friend.say(friend.data(REQUEST))
    return peer, friend


@scenario
def a_relay_garbles_packets_and_is_left_until_it_is_asked_for_again() -> NodePeer:
    peer, _ = met_twice(delays={"demoted": 1.0})
    peer.wait(2.0)
    peer.say(*[p.Relayed(16, b"\x1b" + bytes(40))] * 3)
    peer.wait(1.0)
    return peer


@scenario
def a_relay_passes_nothing_on_though_it_answers() -> NodePeer:
    peer, friend = met_twice()
    peer.say(p.Relayed(16, friend.data(REQUEST)))
    peer.send_message(friend.real.public, "hello", peer.now)
    peer.wait(2.5)
    peer.say(*[p.RelayPong(one.number) for one in peer.take() if isinstance(one, p.RelayPing)])
    peer.wait(2.0)
    return peer


# -- the end -----------------------------------------------------------------------------------------------------------


@scenario
def a_node_without_friends_is_closed() -> NodePeer:
    peer = NodePeer.recorded()
    peer.close(peer.now)
    peer.endpoint.fails(lambda: peer.set_profile(peer.now))
    return peer


@scenario
def friends_are_told_twice_that_a_node_is_closed() -> NodePeer:
    peer = RelayedPeer.recorded()
    friend = peer.met()
    peer.add_relay(RELAY, peer.now)
    peer.come_up()
    peer.close(peer.now)
    peer.close(peer.now)
    friend.say(friend.lossless(b"\x40late"), friend.request())
    peer.wait(2.0)
    return peer


@scenario
def the_network_changes_and_the_machine_sleeps() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    peer.network_changed(peer.now)
    friend.take()
    peer.resumed(peer.now, asleep=60)
    friend.take()
    peer.wait(4.0)
    return peer


# -- a proxy -----------------------------------------------------------------------------------------------------------


@scenario
def a_node_behind_a_proxy_speaks_to_nobody_else() -> NodePeer:
    peer = RelayedPeer.recorded(proxy={"kind": "SOCKS5", "host": "proxy.example", "port": 1080})
    friend = peer.befriend(at=AT_B)
    friend.say(friend.request())
    peer.add_relay(Relay(SERVER.public, Address("relay.example", 443)), peer.now)
    peer.come_up(SOCKS_YES, SOCKS_GRANTED)
    peer.say(p.OobReceived(friend.dht.public, friend.request()))
    peer.network_changed(peer.now)
    peer.open()
    peer.speaker.give(b"\5\0\5\4")
    peer.wait(5.0)
    return peer


@scenario
def a_friend_that_is_silent_is_asked_in_the_session_before_its_cookie_is_used() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    old = friend.shared
    peer.send_message(friend.real.public, "are you there?", peer.now)
    peer.wait(3.5)
    friend.answer_request()  # it lives, and knows the session
    asked = [one for one in friend.take() if isinstance(one, Heard)][-1]
    friend.say(friend.data(REQUEST, start=asked.number + 1))
    friend.start = asked.number + 1
    peer.wait(10.0)
    peer.send_message(friend.real.public, "and now?", peer.now)
    peer.wait(3.5)
    friend.begin("restarted")
    for _ in range(3):
        friend.answer_request()
        peer.wait(2.1)
    friend.answer_request()
    friend.answer_handshake()
    friend.come_online()
    assert friend.shared != old
    return peer


@scenario
def a_status_that_nobody_knows_changes_nothing_and_who_is_told_of_the_end_may_say_so() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.met()
    for status in (2, 3, 255):
        friend.say(friend.lossless(bytes([50, status])))
    peer.close(peer.now)
    friend.say(friend.data(KILL))
    peer.wait(2.0)
    return peer


@scenario
def a_cookie_response_comes_when_the_session_is_there() -> NodePeer:
    peer = NodePeer.recorded()
    friend = peer.befriend(at=AT_B)
    friend.be_called()
    friend.say(friend.response(b"whatever"))
    return peer


if __name__ == "__main__":
    scenario.write()
