"""What friends say to each other, and when they are there."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_tox import ALIVE, AT_B, AT_C, ELSEWHERE, KILL, OFFLINE, ONLINE, REQUEST, Friend, Heard, NodePeer

from sansproto.contract import Address
from sansproto.errors import LocalProtocolError
from sansproto.tox import packets as p
from sansproto.tox.crypto import KeyPair
from sansproto.tox.events import (
    FriendOffline,
    FriendOnline,
    FriendPacketReceived,
    MessageReceived,
    NameChanged,
    OfflineReason,
    Presence,
    PresenceChanged,
    RelaysShared,
    StatusMessageChanged,
    TypingChanged,
)
from sansproto.tox.limits import NodeLimits
from sansproto.tox.nodes import Relay, encode_nodes
from sansproto.tox.paths import Direct
from sansproto.tox.tracks import UDP

RELAY = Relay(b"r" * 32, Address("192.0.2.1", 443))


def greeted(friend: Friend) -> list[bytes]:
    """What the node says in a session, without lists."""
    return [one for one in friend.heard() if one != REQUEST]


# -- there or not


def test_online_comes_first_and_a_friend_is_online_when_it_says_so() -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    friend.shake()
    friend.say(friend.data(REQUEST))
    assert greeted(friend) == [ONLINE, ALIVE, b"\x30", b"\x31", b"\x32\x00"]
    assert peer.take() == []
    assert not peer.is_online(friend.real.public)
    friend.say(friend.lossless(ONLINE), friend.lossless(ONLINE))
    assert peer.take() == [FriendOnline(friend.real.public)]
    assert peer.is_online(friend.real.public)
    assert not peer.is_online(b"nobody")
    assert peer.stats.dropped == {}


def test_a_friend_that_leaves_before_it_listens_is_greeted_when_it_comes_back() -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    friend.shake()
    friend.say(friend.data(REQUEST), friend.data(KILL))
    assert peer.take() == []  # nobody was told that it was there
    friend.begin("second")
    friend.shake()
    friend.take()
    friend.say(friend.data(REQUEST))
    assert greeted(friend)[0] == ONLINE
    friend.say(friend.lossless(ONLINE))
    assert peer.take() == [FriendOnline(friend.real.public)]


def test_a_friend_may_stop_to_listen_for_a_while() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    key = friend.real.public
    friend.say(friend.lossless(OFFLINE), friend.lossless(OFFLINE), friend.lossless(b"\x40lost"))
    assert peer.take() == [FriendOffline(key, OfflineReason.SAID)]
    assert peer.stats.dropped == {"before the friend is online": 1}
    friend.say(friend.lossless(ONLINE), friend.lossless(b"\x40heard"))
    assert peer.take() == [FriendOnline(key, 2), MessageReceived(key, "heard")]


@pytest.mark.parametrize("payload", [b"\x40text", b"\xa0custom", b"\xc8lossy", b"\x30name", b"\x50" + bytes(45)])
def test_what_a_friend_says_before_it_is_online_is_dropped(payload: bytes) -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    friend.shake()
    friend.say(friend.data(REQUEST), friend.lossless(payload))
    assert peer.take() == []
    assert peer.stats.dropped == {"before the friend is online": 1}


def test_what_a_friend_says_before_it_is_online_and_is_heard_all_the_same() -> None:
    peer = NodePeer.live()
    friend = peer.befriend()
    friend.shake()
    asked = p.FRIEND.encode(p.FriendRequest(7, b"let me in"))
    friend.say(friend.lossless(ALIVE), friend.lossless(asked), friend.lossless(b"\x11" + encode_nodes([RELAY])))
    assert [type(event) for event in peer.take()] == [FriendPacketReceived, RelaysShared]
    assert peer.stats.dropped == {}


def test_a_friend_of_whom_nothing_is_heard_for_60_seconds_is_lost() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    key, begun = friend.real.public, peer.now
    peer.wait(59.9)
    assert peer.take() == []
    friend.take()
    peer.wait(0.2)
    assert peer.take() == [FriendOffline(key, OfflineReason.SILENT)]
    assert peer.now == pytest.approx(begun + 60.1)
    assert KILL in friend.heard()
    assert len(peer.endpoint.sessions.all) == 0
    peer.wait(10.0)
    assert p.CookieRequestBody in [type(one) for one in friend.take()]


@pytest.mark.parametrize("heard", [1.0, 9.5, 59.0])
def test_the_60_seconds_begin_with_what_was_heard_last(heard: float) -> None:
    peer = NodePeer.live()
    friend = peer.met()
    peer.wait(heard)
    friend.say(friend.data(REQUEST))
    peer.wait(59.99)
    assert peer.take() == []
    peer.wait(0.02)
    assert peer.take() == [FriendOffline(friend.real.public, OfflineReason.SILENT)]


def test_signs_of_life_keep_their_time_whenever_the_friend_was_heard() -> None:
    peer = NodePeer.live()
    friend = peer.met(3)
    begun, said = peer.now, set()
    for second in range(60):
        if second in (3, 33):
            friend.say(friend.data(REQUEST))
        peer.wait(1.0)
        said.add(round(peer.endpoint.friends.all[friend.real.public].said - begun))
    assert said == {0, 8, 16, 24, 32, 40, 48, 56}


def test_any_new_packet_is_a_sign_of_life() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    for _ in range(4):
        peer.wait(30.0)
        friend.say(friend.data(REQUEST))
    assert peer.take() == []
    assert peer.is_online(friend.real.public)


@pytest.mark.parametrize(("number", "first"), [(2, 4.0), (3, 8.0)])
def test_we_say_each_8_seconds_that_we_live_and_take_turns_with_the_friend(number: int, first: float) -> None:
    peer = NodePeer.live()
    friend = peer.met(number)
    assert (first == 4.0) == (peer.endpoint.real_key < friend.real.public)
    times: list[float] = []
    while peer.now < 60.0:
        peer.tick()
        found = friend.take()
        times += [peer.now for one in found if isinstance(one, Heard) and one.payload == ALIVE]
        friend.start = peer.endpoint.friends.all[friend.real.public].session.outgoing.window.number
        friend.say(friend.data(REQUEST))
    assert times == [at for turn in range(8) if (at := first + 8.0 * turn) <= 60.0]


# -- what they say


@pytest.mark.parametrize(
    ("packet", "event"),
    [
        (p.Message("grüße".encode()), lambda key: MessageReceived(key, "grüße")),
        (p.Action(b"waves"), lambda key: MessageReceived(key, "waves", is_action=True)),
        (p.Message(b""), lambda key: MessageReceived(key, "")),
        (p.Name(b"Bea"), lambda key: NameChanged(key, "Bea")),
        (p.Name(b""), lambda key: NameChanged(key, "")),
        (p.StatusMessage(b"at work"), lambda key: StatusMessageChanged(key, "at work")),
        (p.Status(2), lambda key: PresenceChanged(key, Presence.BUSY)),
        (p.Status(1), lambda key: PresenceChanged(key, Presence.AWAY)),
        (p.Status(0), lambda key: PresenceChanged(key, Presence.NONE)),
        (p.Typing(1), lambda key: TypingChanged(key, True)),
        (p.Typing(0), lambda key: TypingChanged(key, False)),
        (p.FileRequest(1, 0, 7, b"f" * 32, b"x"), None),
        (p.FileControl(0, 1, 3, bytes(8)), None),
        (p.FileData(1, b"piece"), None),
        (p.FriendRequest(7, b"hello"), None),
    ],
    ids=lambda one: type(one).__name__ if hasattr(one, "encode") else "",
)
def test_what_a_friend_says_is_told(packet: Any, event: Any) -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.say(friend.lossless(p.FRIEND.encode(packet)))
    key = friend.real.public
    assert peer.take() == [FriendPacketReceived(key, packet) if event is None else event(key)]
    assert peer.stats.dropped == {}


@pytest.mark.parametrize("status", [3, 255])
def test_a_status_that_nobody_knows_changes_nothing(status: int) -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.say(friend.lossless(p.FRIEND.encode(p.Status(status))))
    assert peer.take() == []
    assert peer.stats.dropped == {"a status that nobody knows": 1}


def test_a_text_that_is_not_utf_8_is_told_as_far_as_it_is() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.say(friend.lossless(b"\x40caf\xe9"))
    assert peer.take() == [MessageReceived(friend.real.public, "caf�")]
    assert peer.stats.noted == {"a text that is not UTF-8": 1}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x45msi", "a packet of a friend that is not spoken here"),
        (b"\x60group", "a packet of a friend that is not spoken here"),
        (b"\xc0av", "a packet of a friend that is not spoken here"),
        (b"\x32", "a malformed packet of a friend"),
        (b"\x30" + bytes(129), "a malformed packet of a friend"),
        (b"\x10more", "a malformed packet of a friend"),
        (b"\x11\x82", "a malformed packet of a friend"),
        (b"\x11" + encode_nodes([Relay(bytes(32), RELAY.address)]), "a malformed packet of a friend"),
    ],
)
def test_what_is_not_spoken_here(payload: bytes, reason: str) -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.say(friend.data(payload) if payload[0] in p.LOSSY else friend.lossless(payload))
    assert peer.take() == []
    assert peer.stats.dropped == {reason: 1}
    friend.say(friend.lossless(b"\x40next"))
    assert peer.take() == [MessageReceived(friend.real.public, "next")]


# -- what we say of ourselves


def test_all_friends_are_told_who_we_are_at_once_and_when_they_come() -> None:
    peer = NodePeer.live()
    friend, away = peer.met(), peer.befriend(3, AT_C)
    friend.take()
    peer.set_profile(peer.now, name="Ada", status_message="thinking", presence=Presence.AWAY)
    told = [b"\x30Ada", b"\x31thinking", b"\x32\x01"]
    assert greeted(friend) == told
    assert peer.stats.dropped == {}
    away.shake()
    away.say(away.data(REQUEST))
    assert greeted(away) == [ONLINE, ALIVE, *told]


@pytest.mark.parametrize("more", [{"name": "x" * 129}, {"status_message": "x" * 1008}])
def test_a_name_that_is_too_long(more: Any) -> None:
    peer = NodePeer.live()
    with pytest.raises(LocalProtocolError):
        peer.set_profile(0.0, **more)
    assert peer.endpoint.profile.name == b""


def test_a_friend_is_told_that_somebody_types() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    friend.take()
    assert peer.set_typing(friend.real.public, True, peer.now)
    assert peer.set_typing(friend.real.public, False, peer.now)
    assert greeted(friend) == [b"\x33\x01", b"\x33\x00"]


# -- they come and go


def test_a_friend_that_is_removed_is_told_and_forgotten() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    key = friend.real.public
    friend.take()
    peer.remove_friend(key, peer.now)
    assert friend.heard() == [KILL]
    assert peer.take() == [FriendOffline(key, OfflineReason.REMOVED)]
    node = peer.endpoint
    assert not node.friends.all
    assert not node.friends.by_path
    assert not node.friends.by_dht_key
    assert not node.sessions.all
    assert not node.recovery.peers
    assert not node.keyring.attempts
    friend.say(friend.lossless(b"\x40still here?"))
    assert peer.stats.dropped == {"data from an unknown address": 1}
    peer.remove_friend(key, peer.now)
    friend.say(friend.request())
    friend.say(friend.handshake(next(one.cookie for one in friend.take() if one is not None)))
    assert peer.stats.dropped["a handshake of a stranger"] == 1


def test_a_friend_that_is_removed_and_added_again_is_called() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    key = friend.real.public
    peer.remove_friend(key, peer.now)
    friend.take()
    friend.begin("second")
    peer.add_friend(key, friend.dht.public, peer.now, path=AT_B)
    friend.be_called()
    assert peer.take()[-1] == FriendOnline(key, 1)


def test_relays_of_a_friend_that_were_dead_for_a_minute_are_replaced_by_those_that_it_tells_of_later() -> None:
    peer = NodePeer.live()
    friend = peer.met()
    relays = [Relay(KeyPair.of(bytes([number]) * 32).public, Address("192.0.2.1", number)) for number in range(1, 10)]

    def tell(*told: Relay) -> list[int]:
        """At which it is looked for then."""
        friend.say(friend.lossless(b"\x11" + encode_nodes(told)))
        known = peer.endpoint.friends.all[friend.real.public].ways.relays
        return sorted(relays.index(relay) for relay in relays if relay.key in known)

    peer.add_relay(relays[0], peer.now)
    tell(*relays[1:4])
    peer.wait(1.0)
    assert tell(*relays[4:7]) == [0, 1, 2, 3, 4, 5]
    peer.wait(58.5)
    assert tell(relays[6]) == [0, 1, 2, 3, 4, 5]
    peer.wait(0.8)
    assert tell(*relays[6:9]) == [0, 4, 5, 6, 7, 8]  # 0 is the application's
    assert set(peer.endpoint.relays) == {relays[number].key for number in (0, 4, 5, 6, 7, 8)}
    assert tell(*relays[1:4]) == [0, 4, 5, 6, 7, 8]


def test_there_are_only_so_many_friends() -> None:
    peer = NodePeer.live(limits=NodeLimits(friends=2))
    friends = [peer.befriend(number, AT_B) for number in (2, 3)]
    other = Friend(peer, 4)
    assert not peer.add_friend(other.real.public, other.dht.public, peer.now)
    assert peer.add_friend(friends[0].real.public, friends[0].dht.public, peer.now)
    peer.remove_friend(friends[1].real.public, peer.now)
    assert peer.add_friend(other.real.public, other.dht.public, peer.now)


def test_the_application_knows_another_dht_key_of_a_friend() -> None:
    peer = NodePeer.live()
    friend = peer.befriend(at=AT_B)
    assert len(friend.take()) == 1
    other = Friend(peer, 2, AT_C, 90)
    peer.add_friend(friend.real.public, other.dht.public, peer.now, path=AT_C)
    assert [type(one) for one in other.take()] == [p.CookieRequestBody]
    assert list(peer.endpoint.friends.by_dht_key) == [other.dht.public]


def test_a_friend_may_be_at_several_paths_of_which_the_newest_are_remembered() -> None:
    peer = NodePeer.live(limits=NodeLimits(paths=2))
    friend = peer.befriend(at=AT_B)
    key = friend.real.public
    for path in (AT_B, ELSEWHERE, AT_C):
        peer.add_friend(key, friend.dht.public, peer.now, path=path)
    entry = peer.endpoint.friends.all[key]
    assert list(entry.ways.paths) == [ELSEWHERE, AT_C]
    assert [*peer.endpoint.friends.by_path] == [ELSEWHERE, AT_C]
    friend.move(ELSEWHERE)
    friend.be_called()
    assert list(entry.ways.paths) == [AT_C, ELSEWHERE]  # where it is heard
    peer.add_friend(key, friend.dht.public, peer.now, path=AT_B)
    assert list(entry.ways.paths) == [AT_B, ELSEWHERE]


def test_an_event_shows_keys_as_people_write_them() -> None:
    assert repr(FriendOnline(bytes([0x4F] * 32))) == f"FriendOnline(friend={'4f' * 32}, session=1)"


# -- does it still know the session?


def asked(peer: NodePeer, friend: Friend, pauses: tuple[float, ...], trip: float = 0.1) -> list[bool]:
    """Questions with such pauses behind them: what is thought after each pause."""
    entry = peer.endpoint.friends.all[friend.real.public]
    peer.wait(0.1)
    friend.say(friend.data(REQUEST))
    peer.wait(0.1)
    entry.ways.track(UDP).rtts = (trip,)
    thought = []
    for pause in pauses:
        peer.endpoint.advance(peer.now)
        entry.ask_in_session(Direct(AT_B))
        peer.wait(pause)
        peer.endpoint.advance(peer.now)
        thought.append(entry.may_still_know_us)
    return thought


def test_a_friend_that_answers_none_of_three_questions_in_a_row_does_not_know_the_session() -> None:
    peer = NodePeer.live()
    assert asked(peer, peer.met(3), (0.6, 0.6, 0.3)) == [True, True, True]  # it may still answer the last one
    peer = NodePeer.live()
    assert asked(peer, peer.met(3), (0.6, 0.6, 0.6)) == [True, True, False]


@pytest.mark.parametrize(
    ("pauses", "thought"),
    [
        ((2.1, 2.1, 1.9), [True] * 3),
        ((2.1, 2.1, 2.1), [True, True, False]),
        ((0.9,) * 9, [True] * 8 + [False]),  # each third one is a question of its own
    ],
)
def test_where_answers_take_a_second_questions_are_two_apart(pauses: tuple[float, ...], thought: list[bool]) -> None:
    peer = NodePeer.live()
    assert asked(peer, peer.met(3), pauses, trip=1.0) == thought


def test_questions_before_an_outage_do_not_count() -> None:
    peer = NodePeer.live()
    assert asked(peer, peer.met(3), (0.6, 0.6, 7.0, 0.6, 0.6, 0.6)) == [True, True, True, True, True, False]


def test_a_question_that_is_answered_is_the_first_one_again() -> None:
    peer = NodePeer.live()
    friend = peer.met(3)
    assert asked(peer, friend, (0.6, 0.6)) == [True, True]
    assert asked(peer, friend, (0.6, 0.6, 0.6)) == [True, True, False]  # before which it says something


def test_two_questions_at_once_are_one() -> None:
    peer = NodePeer.live()
    assert asked(peer, peer.met(3), (0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.6)) == [True] * 7
