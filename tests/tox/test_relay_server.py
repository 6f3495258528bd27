"""What a relay does with each of its clients' frames, and with those who are no clients yet."""

from __future__ import annotations

from typing import Any

import pytest
from nacl import bindings as sodium
from scripted_relay import (
    HERE,
    NONCE,
    PING,
    PONG,
    SERVER,
    THERE,
    ZERO,
    A,
    B,
    C,
    D,
    Guest,
    ServerPeer,
    sealed_keys,
)

from sansproto.contract import AbortTransport, Address, CloseTransport
from sansproto.events import CloseCause, Closed
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.tox import (
    KeyPair,
    RelayClientJoined,
    RelayClientLeft,
    RelayServer,
    RelayServerDelays,
    RelayServerLimits,
)
from sansproto.tox import packets as p

THERE_TOO = "203.0.113.9"
LINKED, PARTED = p.ConnectNotification(16), p.DisconnectNotification(16)


def live(**limits: Any) -> ServerPeer:
    return ServerPeer.live(limits=RelayServerLimits(**limits))


def wanted(key: KeyPair) -> p.RoutingRequest:
    return p.RoutingRequest(key.public)


# -- the handshake


def test_a_hello_is_answered_whatever_the_pieces_in_which_it_comes() -> None:
    peer = ServerPeer.live()
    guest = Guest(peer)
    for byte in guest.hello:
        assert guest.sends is None
        guest.give(bytes([byte]))
    assert guest.state == "ANSWERED"
    for byte in guest.seal(PING):
        guest.give(bytes([byte]))
    assert guest.take() == [PONG]
    assert peer.take() == [RelayClientJoined(A.public, guest.at, address=Address(HERE, 40000))]


def test_what_is_drawn_for_a_hello_is_what_the_answer_holds() -> None:
    drawn = {"link.1.secret": [B.secret], "link.1.base_nonce": [b"b" * 24], "link.1.nonce": [b"n" * 24]}
    peer = ServerPeer.live(entropy=ScriptedEntropy(drawn))
    guest = Guest(peer)
    seen = bytearray()
    guest.hear = seen.extend  # type: ignore[method-assign, assignment]
    guest.give(guest.hello)
    answer = p.RelayAnswer.decode(bytes(seen))
    opened = sodium.crypto_secretbox_open(answer.sealed, b"n" * 24, guest.shared)
    assert p.RelayKeys.decode(opened) == p.RelayKeys(B.public, b"b" * 24)


def test_the_first_good_frame_is_acted_upon() -> None:
    a, b = (peer := ServerPeer.live()).client(A), peer.guest(B, THERE)
    assert b.say(p.OobSend(A.public, b"first")) == []
    assert a.take() == [p.OobReceived(B.public, b"first")]


def test_nobody_reaches_who_has_not_sent_a_good_frame() -> None:
    peer = ServerPeer.live()
    a, b = peer.client(A), peer.guest(B, THERE)
    assert a.say(wanted(B), p.OobSend(B.public, b"anybody?")) == [p.RoutingResponse(16, B.public)]
    assert b.take() == []
    assert peer.stats.dropped == {"nobody has this key": 1}


def test_a_hello_that_does_not_open_ends_the_connection() -> None:
    peer = ServerPeer.live()
    guest = Guest(peer)
    guest.give(guest.hello[:-1] + bytes([guest.hello[-1] ^ 1]))
    assert guest.is_cut
    assert peer.stats.dropped == {"bad hello": 1}


@pytest.mark.parametrize("place", ["long-term", "temporary"])
def test_a_hello_with_a_key_of_small_order_ends_the_connection(place: str) -> None:
    peer = ServerPeer.live()
    guest = Guest(peer)
    one = p.RelayHello(ZERO, NONCE, bytes(72)), p.RelayHello(A.public, NONCE, sealed_keys(guest.shared, ZERO))
    guest.give(one[place == "temporary"].encode())
    assert guest.is_cut
    assert peer.stats.dropped == {"a key that is none" if place == "long-term" else "bad hello": 1}


def test_who_is_slow_with_the_hello_or_the_first_frame_is_cut() -> None:
    peer = ServerPeer.live()
    guest = Guest(peer)
    guest.give(guest.hello[:100])
    peer.wait(9.9)
    assert guest.state == "HELLO"
    peer.wait(0.1)
    assert guest.is_cut
    other = peer.guest(B)
    peer.wait(9.9)
    assert other.state == "ANSWERED"
    peer.wait(0.1)
    assert other.is_cut
    assert peer.take() == []


def test_what_follows_a_hello_is_looked_at_behind_the_answer() -> None:
    peer = ServerPeer.live()
    guest = Guest(peer)
    guest.give(guest.hello + b"\0\0\0\0")
    assert guest.state == "ANSWERED"
    peer.tick()
    assert peer.stats.dropped == {"empty frame": 2}
    assert guest.say(PING) == [PONG]


def test_what_follows_a_hello_that_waits_for_its_turn_waits_too() -> None:
    peer = live(hellos=1)
    first, second = Guest(peer, A), Guest(peer, B)
    first.give(first.hello)
    second.give(second.hello + bytes(2))
    second.give(b"\xff\xff")
    assert (second.state, peer.stats.dropped) == ("WAITING", {})
    peer.wait(0.004)
    assert (second.is_cut, peer.stats.dropped) == (True, {"empty frame": 1})


# -- two connections with one key


def test_a_copied_hello_harms_nobody() -> None:
    peer = ServerPeer.live()
    a, b = peer.pair()
    copy = Guest(peer, A, THERE_TOO)
    copy.give(a.hello)
    copy.give(bytes(2) + b"\0\x20" + bytes(32))  # which does not open
    assert copy.is_cut
    b.say(p.Relayed(16, b"still here"), p.OobSend(A.public, b"still known"))
    assert a.take() == [p.Relayed(16, b"still here"), p.OobReceived(B.public, b"still known")]


def test_the_first_good_frame_of_another_connection_ends_the_older_one() -> None:
    peer = ServerPeer.live()
    a, b = peer.pair()
    peer.take()
    again = peer.guest(A, THERE_TOO)
    assert (a.state, b.take()) == ("CLIENT", [])
    assert again.say(wanted(B)) == [p.RoutingResponse(16, B.public), LINKED]
    assert a.is_cut
    assert b.take() == [PARTED, LINKED]
    assert [type(event) for event in peer.take()] == [RelayClientLeft, RelayClientJoined]
    b.say(p.Relayed(16, b"hello again"))
    assert again.take() == [p.Relayed(16, b"hello again")]
    assert peer.endpoint.held_ids == 2


# -- frames that end the stream, and those that do not

CUTTING = {
    "routing request of 32 bytes": b"\0" + bytes(31),
    "routing request of 34 bytes": b"\0" + bytes(33),
    "routing response": p.RoutingResponse(16, B.public),
    "notification without an id": b"\2",
    "long notification": b"\3\x10\x10",
    "ping of 8 bytes": b"\4" + bytes(7),
    "ping of 10 bytes": b"\4" + bytes(9),
    "pong of 8 bytes": b"\5" + bytes(7),
    "pong 0": p.RelayPong(bytes(8)),
    "OOB without data": b"\6" + B.public,
    "OOB of 1025 bytes": b"\6" + B.public + bytes(1025),
    "OOB that was received": p.OobReceived(B.public, b"x"),
    "onion answer": b"\x09" + bytes(100),
    "forwarding": b"\x0b" + bytes(100),
    **{f"reserved id {number}": bytes([number, 1]) for number in (12, 13, 14, 15)},
    "nothing": b"",
    "data for an unknown id": p.Relayed(200, b"data"),
}


@pytest.mark.parametrize("frame", CUTTING.values(), ids=CUTTING)
def test_a_frame_that_nobody_may_send_ends_the_stream(frame: Any) -> None:
    peer = ServerPeer.live()
    a, b = peer.pair()
    assert a.say(frame) == []
    assert (a.is_cut, a.state) == (True, "GONE")
    assert b.take() == [PARTED]


HARMLESS = {
    "notification that only relays send": (p.ConnectNotification(16), "notification of a client"),
    "onion request": (b"\x08" + bytes(60), "for the onion"),
    "forward request": (b"\x0a" + bytes(60), "for the onion"),
    "pong that nobody asked for": (PONG, "unknown pong"),
    "id that it does not hold": (p.DisconnectNotification(17), "unknown id"),
    "id that can be none": (p.DisconnectNotification(3), "unknown id"),
    "empty packet": (b"\x10", "empty packet"),
    "empty packet for an unknown id": (b"\xff", "empty packet"),
    "OOB for nobody": (p.OobSend(C.public, b"x"), "nobody has this key"),
    "OOB for a key of small order": (p.OobSend(ZERO, b"x"), "a key that is none"),
    "routing request for a key of small order": (p.RoutingRequest(ZERO), "a key that is none"),
}


@pytest.mark.parametrize(("frame", "reason"), HARMLESS.values(), ids=HARMLESS)
def test_a_useless_frame_is_counted_and_harms_nobody(frame: Any, reason: str) -> None:
    peer = ServerPeer.live()
    a, b = peer.pair()
    assert a.say(frame, p.Relayed(16, b"data")) == []
    assert b.take() == [p.Relayed(16, b"data")]
    assert peer.stats.dropped == {reason: 1}


def test_a_frame_that_does_not_open_ends_the_stream() -> None:
    for place in (2, -1):
        peer = ServerPeer.live()
        a, b = peer.pair()
        frame = bytearray(a.seal(PING))
        frame[place] ^= 1
        a.give(bytes(frame))
        assert (a.is_cut, b.take()) == (True, [PARTED])


def test_the_largest_frame_has_2048_bytes() -> None:
    peer = ServerPeer.live()
    a, b = peer.pair()
    data = bytes(range(256)) * 7 + bytes(239)
    assert len(data) == 2031
    a.say(p.Relayed(16, data))
    assert b.take() == [p.Relayed(16, data)]
    a.give(b"\x08\x01")
    assert a.is_cut


def test_a_frame_without_content_moves_no_nonce() -> None:
    a = (peer := ServerPeer.live()).client()
    a.give(bytes(6))
    assert a.say(PING) == [PONG]
    assert peer.stats.dropped == {"empty frame": 3}


def test_a_ping_with_the_number_0_is_answered() -> None:
    assert ServerPeer.live().client().say(p.RelayPing(bytes(8))) == [p.RelayPong(bytes(8))]


# -- ids


def test_ids_are_given_from_16_on_and_the_lowest_free_one_first() -> None:
    a = ServerPeer.live().client()
    for number, key in enumerate((B, C, D), 16):
        assert a.say(wanted(key)) == [p.RoutingResponse(number, key.public)]
    assert a.say(wanted(C)) == [p.RoutingResponse(17, C.public)]  # it has one already
    assert a.say(p.DisconnectNotification(16), p.DisconnectNotification(17)) == []
    other = KeyPair.of(b"e" * 32)
    assert a.say(wanted(other), wanted(B)) == [
        p.RoutingResponse(16, other.public),
        p.RoutingResponse(17, B.public),
    ]


def test_nobody_gets_an_id_for_itself_or_the_241st_one() -> None:
    a = live(frames=1000).client()
    assert a.say(wanted(A)) == [p.RoutingResponse(0, A.public)]
    keys = [number.to_bytes(32, "little") for number in range(2, 243)]
    heard = [a.say(p.RoutingRequest(key))[0].connection for key in keys]
    assert heard == [*range(16, 256), 0]
    assert a.say(p.RoutingRequest(keys[5]))[0].connection == 21
    assert a.say(p.DisconnectNotification(100), p.RoutingRequest(b"\x09" * 32)) == [
        p.RoutingResponse(100, b"\x09" * 32)
    ]


def test_a_client_gets_a_hundredth_of_the_ids_that_are_left() -> None:
    peer = live(routes=301)
    a, b = peer.client(A), peer.client(B, THERE)
    answers = [one.connection for one in a.say(wanted(B), wanted(C), wanted(D), p.RoutingRequest(b"\x09" * 32))]
    assert answers == [16, 17, 0, 0]  # of 301 left, 300, 299
    assert [one.connection for one in b.say(wanted(A), wanted(C), wanted(D))][:1] == [16]
    a.say(p.DisconnectNotification(17))
    assert peer.endpoint.held_ids == 1 + 2
    peer.stream_lost(a.at, peer.now)
    assert peer.endpoint.held_ids == 2


def test_an_id_that_was_not_given_is_not_missed_unless_the_relay_is_strict() -> None:
    for strict in (False, True):
        peer = ServerPeer.live(strict=strict)
        a = peer.client()
        assert a.say(wanted(B), p.DisconnectNotification(16)) == [p.RoutingResponse(16, B.public)]
        a.say(p.DisconnectNotification(16))
        assert a.is_cut is strict
        assert peer.stats.dropped == ({} if strict else {"unknown id": 1})


# -- links between clients


def test_both_are_told_once_both_want_it_and_the_answer_comes_first() -> None:
    peer = ServerPeer.live()
    a, b = peer.client(A), peer.client(B, THERE)
    assert b.say(wanted(C), wanted(A)) == [p.RoutingResponse(16, C.public), p.RoutingResponse(17, A.public)]
    assert a.say(wanted(B)) == [p.RoutingResponse(16, B.public), p.ConnectNotification(16)]
    assert b.take() == [p.ConnectNotification(17)]
    assert a.say(wanted(B)) == [p.RoutingResponse(16, B.public)]
    assert b.take() == []


def test_packets_come_with_the_receivers_id_for_their_sender() -> None:
    peer = ServerPeer.live()
    a, b, c = peer.client(A), peer.client(B, THERE), peer.client(C, THERE_TOO)
    b.say(wanted(C), wanted(A))
    a.say(wanted(B), wanted(C))
    c.say(wanted(A), wanted(B))
    for guest in (a, b, c):
        guest.take()
    ids = {
        (one, other): peer.endpoint.client_of(one.public).ids[other.public]
        for one in (A, B, C)
        for other in (A, B, C)
        if one is not other
    }
    guests = {A: a, B: b, C: c}
    for one, other in ids:
        text = f"{one.public.hex()[:4]} to {other.public.hex()[:4]}".encode()
        guests[one].say(p.Relayed(ids[one, other], text))
        assert guests[other].take() == [p.Relayed(ids[other, one], text)]


def test_what_is_sent_to_who_is_not_linked_goes_nowhere() -> None:
    peer = ServerPeer.live()
    a, b = peer.client(A), peer.client(B, THERE)
    assert a.say(wanted(B), p.Relayed(16, b"too early")) == [p.RoutingResponse(16, B.public)]
    b.say(wanted(A))
    b.take()
    b.say(p.DisconnectNotification(16))
    assert a.say(p.Relayed(16, b"too late")) == [LINKED, PARTED]
    assert b.take() == []
    assert peer.stats.dropped == {"not linked": 2}


def test_who_gives_back_an_id_parts_from_the_other_who_keeps_its_own() -> None:
    peer = ServerPeer.live()
    a, b = peer.pair()
    a.say(p.DisconnectNotification(16))
    assert (a.take(), b.take()) == ([], [PARTED])
    assert a.say(wanted(C), wanted(B)) == [
        p.RoutingResponse(16, C.public),
        p.RoutingResponse(17, B.public),
        p.ConnectNotification(17),
    ]
    assert b.take() == [LINKED]
    b.say(p.Relayed(16, b"to the new id"))
    assert a.take() == [p.Relayed(17, b"to the new id")]


@pytest.mark.parametrize("hello", [False, True])
def test_who_ends_its_stream_before_it_is_a_client_leaves_nothing(hello: bool) -> None:
    peer = ServerPeer.live()
    guest = peer.guest(A) if hello else Guest(peer, A)
    peer.receive_eof(guest.at, peer.now)
    peer.drain()
    assert peer.how == {guest.at: CloseTransport}
    assert (peer.endpoint.half_open.size, peer.endpoint.unconfirmed.size) == (0, 0)
    assert peer.take() == []


@pytest.mark.parametrize("how", ["reset", "end", "violation"])
def test_who_is_linked_is_told_at_once_that_the_other_left(how: str) -> None:
    peer = ServerPeer.live()
    a, b = peer.pair()
    c = peer.client(C, THERE_TOO)
    c.say(wanted(A))
    a.say(wanted(C))
    c.take()
    peer.take()
    if how == "reset":
        peer.stream_lost(a.at, peer.now)
    elif how == "end":
        peer.receive_eof(a.at, peer.now)
    else:
        a.give(b"\xff\xff")
    peer.drain()
    assert (b.take(), c.take()) == ([PARTED], [PARTED])
    assert peer.how.get(a.at) is {"reset": None, "end": CloseTransport, "violation": AbortTransport}[how]
    assert peer.take() == [RelayClientLeft(A.public, a.at)]
    assert peer.endpoint.held_ids == 2
    again = peer.client(A)
    assert again.say(wanted(C)) == [p.RoutingResponse(16, C.public), LINKED]
    assert (b.take(), c.take()) == ([], [LINKED])


def test_oob_packets_name_their_sender() -> None:
    peer = ServerPeer.live()
    a, b = peer.client(A), peer.client(B, THERE)
    assert a.say(p.OobSend(B.public, bytes(1024)), p.OobSend(A.public, b"to myself")) == [
        p.OobReceived(A.public, b"to myself")
    ]
    assert b.take() == [p.OobReceived(A.public, bytes(1024))]


# -- pings


def test_a_client_is_asked_each_30_seconds_and_cut_10_seconds_later() -> None:
    peer = ServerPeer.live()
    a, b = peer.pair()
    peer.wait(30.0)
    (ping,) = a.take()
    assert b.take() == [ping]
    peer.wait(5.0)
    a.say(p.RelayPong(ping.number))
    peer.wait(5.0)
    assert (a.state, a.take()) == ("CLIENT", [PARTED])
    assert b.is_cut
    peer.wait(20.0)
    (second,) = a.take()
    assert second != ping
    a.say(p.RelayPong(ping.number))
    assert peer.stats.dropped == {"unknown pong": 1}
    peer.wait(10.0)
    assert a.is_cut


def test_who_is_not_read_is_not_silent() -> None:
    peer = live(frames=4, turn_frames=4, frame_rate=1)
    a = peer.client()
    a.give(a.seal(*[PING] * 30))
    peer.endpoint.frames.queue.discard(b"\4\xc0\0\2", a.at)  # as if thousands were before it
    peer.now += 30.0
    peer.endpoint.handle_timeout(peer.now)
    peer.wait(15.0)
    assert a.state == "CLIENT"
    peer.endpoint.wait_for_frames(peer.endpoint.visitors[a.at])
    peer.endpoint.run()
    peer.wait(10.0)
    assert a.is_cut


# -- who may come in


def test_who_is_over_the_bound_of_half_open_connections_takes_the_place_of_its_own_kind() -> None:
    peer = live(half_open=3)
    honest = Guest(peer, B, THERE)
    crowd = [Guest(peer, A, f"192.0.2.{number}") for number in range(5)]
    assert [guest.is_cut for guest in (honest, *crowd)] == [False, True, True, True, False, False]
    assert peer.endpoint.half_open.size == 3
    honest.give(honest.hello)
    assert honest.state == "ANSWERED"
    assert peer.endpoint.half_open.size == 2


def test_who_is_over_the_bound_of_unconfirmed_connections_takes_the_place_of_its_own_kind() -> None:
    peer = live(unconfirmed=2)
    honest = peer.guest(B, THERE)
    crowd = [peer.guest(A, f"192.0.2.{number}") for number in range(3)]
    assert [guest.is_cut for guest in (honest, *crowd)] == [False, True, True, False]
    assert honest.say(PING) == [PONG]
    assert crowd[2].say(PING) == [PONG]
    assert peer.endpoint.unconfirmed.size == 0


def test_who_floods_from_one_address_does_not_push_out_its_neighbours() -> None:
    peer = live(half_open=3, unconfirmed=3)
    neighbour, slow = peer.guest(B, HERE), Guest(peer, B, HERE)
    for _ in range(8):
        peer.guest(A, "192.0.2.77")
        Guest(peer, A, "192.0.2.77")
    assert not slow.is_cut
    assert neighbour.say(PING) == [PONG]


def test_hellos_are_not_opened_so_fast_that_nobody_has_two_seconds_to_confirm_one() -> None:
    limits, delays = RelayServerLimits(), RelayServerDelays()
    assert limits.unconfirmed * delays.hellos / limits.hellos >= 2.0


def test_a_group_of_addresses_has_so_many_connections() -> None:
    peer = live(links_of_group=2)
    guests = [Guest(peer, A, HERE), Guest(peer, A, "192.0.2.77"), Guest(peer, A, HERE), Guest(peer, A, THERE)]
    assert [guest.is_cut for guest in guests] == [False, False, True, False]
    assert peer.stats.refused == {"too many connections of a group of addresses": 1}
    peer.stream_lost(guests[0].at, peer.now)
    assert not Guest(peer, A, HERE).is_cut
    assert Guest(peer, A, HERE).is_cut


def test_a_relay_has_so_many_connections() -> None:
    peer = live(links=1)
    guests = [Guest(peer, A, HERE), Guest(peer, A, THERE)]
    assert [guest.is_cut for guest in guests] == [False, True]
    guests[0].give(guests[0].hello)
    assert guests[0].state == "ANSWERED"


def test_of_all_hellos_some_are_opened_in_each_turn_and_networks_take_turns() -> None:
    peer = live(hellos=2)
    hosts = (HERE, HERE, HERE, HERE, THERE, THERE_TOO)
    guests = [Guest(peer, KeyPair.of(bytes([40 + number]) * 32), host) for number, host in enumerate(hosts)]
    for guest in guests:
        guest.give(guest.hello)

    def answered() -> list[int]:
        return [number for number, guest in enumerate(guests) if guest.state == "ANSWERED"]

    assert answered() == [0, 1]
    peer.stream_lost(guests[2].at, peer.now)
    peer.wait(0.003)
    assert answered() == [0, 1]
    peer.wait(0.001)
    assert answered() == [0, 1, 3, 4]
    peer.wait(0.004)
    assert answered() == [0, 1, 3, 4, 5]
    peer.wait(0.004)
    assert peer.endpoint.greetings.state.name == "IDLE"


# -- who sends too much, and who reads too slowly


def test_a_client_whose_link_is_full_misses_packets_and_the_sender_is_not_held_up() -> None:
    peer = live(relayed=5000, relayed_blocked=3000)
    a, b = peer.pair()
    for blocked, taken in ((False, 4), (True, 2)):
        if blocked:
            peer.stream_blocked(b.at, peer.now)
        peer.endpoint.receive_data(a.at, a.seal(*[p.Relayed(16, bytes(1100))] * 6), peer.now)
        assert not peer.links[a.at].paused
        if blocked:
            peer.stream_unblocked(b.at, peer.now)
        peer.drain()
        assert len(b.take()) == taken
    assert peer.stats.dropped == {"no room": 2 + 4}


def test_strangers_leave_room_for_those_who_are_linked() -> None:
    peer = live(relayed=5000, relayed_blocked=3000)
    a, b = peer.pair()
    packets = [p.OobSend(B.public, bytes(1000)), p.Relayed(16, bytes(1200))]
    peer.endpoint.receive_data(a.at, a.seal(*packets * 4), peer.now)
    peer.drain()
    assert [type(one) for one in b.take()] == [p.OobReceived, p.Relayed, p.Relayed, p.Relayed]
    assert peer.stats.dropped == {"no room": 3 + 1}


def test_who_asks_and_does_not_read_is_cut() -> None:
    peer = live(link_queue=1000, frames=1000)
    a, b = peer.pair()
    peer.stream_blocked(a.at, peer.now)
    for _ in range(37):
        a.give(a.seal(PING))
    assert not a.is_cut
    a.give(a.seal(PING))
    assert (a.is_cut, b.take()) == (True, [PARTED])


def test_who_comes_and_goes_fills_nobodys_queue() -> None:
    peer = live(link_queue=300, relayed=100, relayed_blocked=100, frames=1000)
    a, b = peer.pair()
    peer.stream_blocked(a.at, peer.now)
    for _ in range(50):
        b.say(p.DisconnectNotification(16), wanted(A))
    assert not a.is_cut
    b.take()
    b.say(p.Relayed(16, b"it is not told yet"))
    peer.stream_unblocked(a.at, peer.now)
    assert a.take()[-1] in (LINKED, PARTED)
    b.say(p.DisconnectNotification(16))
    b.say(wanted(A))
    assert a.take()[-2:] == [PARTED, LINKED]
    b.say(p.Relayed(16, b"now it is"))
    assert a.take() == [p.Relayed(16, b"now it is")]


def test_nobody_is_sent_packets_of_a_link_of_which_they_were_not_told() -> None:
    peer = live(relayed=500, relayed_blocked=1)
    a, b = peer.client(A), peer.client(B, THERE)
    a.say(wanted(B))
    peer.stream_blocked(a.at, peer.now)
    a.give(a.seal(PING))
    b.say(wanted(A))
    peer.endpoint.stream_unblocked(a.at, peer.now)
    peer.endpoint.receive_data(b.at, b.seal(p.Relayed(16, b"too early")), peer.now)
    assert peer.stats.dropped == {"not linked": 1}
    b.say(p.Relayed(16, b"now they were"))
    assert a.take()[-3:] == [PONG, LINKED, p.Relayed(16, b"now they were")]


def test_news_of_an_id_that_was_given_back_are_no_news() -> None:
    peer = live(relayed=1, relayed_blocked=1)
    a, b = peer.client(A), peer.client(B, THERE)
    a.say(wanted(B), wanted(C))
    peer.stream_blocked(a.at, peer.now)
    a.give(a.seal(PING))
    b.say(wanted(A))
    assert peer.endpoint.visitors[a.at].news == {16: None}
    a.give(a.seal(p.DisconnectNotification(16)))
    assert peer.endpoint.visitors[a.at].news == {}
    peer.stream_unblocked(a.at, peer.now)
    assert a.take()[-1:] == [PONG]


# -- frames that go to nobody


@pytest.mark.parametrize("age", [0.0, 1000.0], ids=["at the beginning", "later"])
def test_who_sends_many_frames_to_nobody_is_read_in_turns(age: float) -> None:
    peer = live(frames=10, turn_frames=10, frame_rate=1)
    peer.wait(age)
    a = peer.client()
    a.give(a.seal(*[PING] * 60))
    heard = len(a.take())
    assert heard == 10 + 10  # its share, and the turn that was free
    assert peer.links[a.at].pause_given
    counts = []
    for _ in range(5):
        peer.wait(0.016)
        counts.append(len(a.take()))
    assert counts == [10, 10, 10, 10, 0]
    assert not peer.links[a.at].paused


def test_networks_take_turns_with_frames_too() -> None:
    peer = live(frames=10, turn_frames=10, frame_rate=1)
    crowd = [peer.client(KeyPair.of(bytes([50 + number]) * 32), HERE) for number in range(5)]
    honest = peer.client(B, THERE)
    for guest in crowd:
        guest.give(guest.seal(*[PING] * 60))
    honest.give(honest.seal(*[PING] * 12))
    peer.wait(0.032)
    assert len(honest.take()) == 12
    assert peer.endpoint.frames.queue.size == 5


def test_frames_that_are_passed_on_cost_nothing_and_the_others_come_back_with_time() -> None:
    peer = live(frames=10, turn_frames=10, frame_rate=10)
    a, b = peer.pair()
    for _ in range(100):
        a.say(p.Relayed(16, b"data"))
        peer.wait(0.001)
    assert len(b.take()) == 100
    assert peer.endpoint.frames.state.name == "IDLE"
    for pings in (2, 4):  # each half second; the share of each of the two is 5 in a second
        had_a_turn = False
        for _ in range(20):
            peer.wait(0.5)
            a.say(*[PING] * pings)
            had_a_turn |= peer.endpoint.frames.state.name == "BUSY"
        assert had_a_turn is (pings == 4)


def test_networks_take_turns_with_packets_that_are_passed_on() -> None:
    peer = live(passed=3, turn_frames=10)
    a, b = peer.pair()
    crowd = [peer.client(KeyPair.of(bytes([60 + number]) * 32), THERE_TOO) for number in range(4)]
    for guest in crowd:
        guest.say(wanted(B))
        b.say(p.RoutingRequest(guest.keys.public))
    peer.wait(1.0)
    b.take()
    for guest in crowd:
        guest.give(guest.seal(*[p.Relayed(16, b"of the crowd")] * 63))
    a.give(a.seal(*[p.Relayed(16, b"a")] * 63))
    counts = [_counted(b.take(), b"a")]
    for _ in range(8):
        peer.tick()
        counts.append(_counted(b.take(), b"a"))
    assert counts[0] == (3, 4 * 3 + 10)  # all that may be passed on at once, and one turn
    assert counts[1:] == [(0, 10), (10, 0), (0, 10), (10, 0), (0, 10), (10, 0), (0, 10), (10, 0)]


def test_a_packet_that_stays_in_a_network_counts_twice() -> None:
    peer = live(passed=4, turn_frames=10)
    a, b = peer.pair()
    one, other = (peer.client(KeyPair.of(bytes([number]) * 32), THERE_TOO) for number in (60, 61))
    one.say(p.RoutingRequest(other.keys.public))
    other.say(p.RoutingRequest(one.keys.public))
    peer.wait(1.0)
    for sender, receiver in ((a, b), (one, other)):
        receiver.take()
        sender.give(sender.seal(*[p.Relayed(16, b"data")] * 60))
    counts = [(len(b.take()), len(other.take()))]
    for _ in range(9):
        peer.tick()
        counts.append((len(b.take()), len(other.take())))
    assert counts == [(4 + 10, 2), *[(10, 0), (0, 5)] * 4, (6, 0)]


def _counted(packets: list[Any], name: bytes) -> tuple[int, int]:
    """Those of one sender, and all others."""
    names = [packet.data for packet in packets if isinstance(packet, p.Relayed)]
    return names.count(name), len(names) - names.count(name)


def test_who_is_alone_passes_on_as_much_as_comes() -> None:
    peer = live(passed=3, turn_frames=10)
    a, b = peer.pair()
    a.give(a.seal(*[p.Relayed(16, b"data")] * 60))
    turns = 0
    while peer.links[a.at].paused:
        peer.tick()
        turns += 1
    assert len(b.take()) == 60
    assert (turns, peer.now) == (5, pytest.approx(0.0))


def test_who_is_lost_while_it_waits_for_its_turn_leaves_nothing() -> None:
    peer = live(frames=4, turn_frames=4, frame_rate=1)
    a = peer.client()
    a.give(a.seal(*[PING] * 30))
    assert peer.endpoint.frames.queue.size == 1
    peer.stream_lost(a.at, peer.now)
    assert peer.endpoint.frames.queue.size == 0
    assert not peer.endpoint.visitors


def test_who_is_lost_while_packets_of_it_wait_for_their_turn_leaves_nothing() -> None:
    peer = live(passed=2, turn_frames=2)
    a, b = peer.pair()
    a.give(a.seal(*[p.Relayed(16, b"data")] * 30))
    assert peer.endpoint.passing.queue.size == 1
    peer.stream_lost(a.at, peer.now)
    assert peer.endpoint.passing.queue.size == 0
    peer.wait(1.0)
    assert b.take() == [p.Relayed(16, b"data")] * 4 + [PARTED]


# -- the end, and the beginning


def test_a_relay_that_closes_ends_each_connection() -> None:
    peer = ServerPeer.live()
    a, b = peer.pair()
    Guest(peer, C)
    peer.take()
    peer.close(peer.now)
    peer.drain()
    assert set(peer.how.values()) == {CloseTransport}
    assert peer.take() == [
        RelayClientLeft(A.public, a.at),
        RelayClientLeft(B.public, b.at),
        Closed(CloseCause.LOCAL),
    ]
    assert not peer.endpoint.clients


def test_a_restored_relay_goes_on() -> None:
    peer = live(links_of_group=2)
    a, b = peer.pair()
    again = RelayServer.restore(
        peer.endpoint.snapshot(),
        private_key=SERVER.secret,
        entropy=ScriptedEntropy(),
        limits=RelayServerLimits(links_of_group=2),
    )
    peer.endpoint = again
    assert a.say(wanted(B), p.Relayed(16, b"still here")) == [p.RoutingResponse(16, B.public)]
    assert b.take() == [p.Relayed(16, b"still here")]
    assert not Guest(peer, C, HERE).is_cut
    assert Guest(peer, C, HERE).is_cut


def test_a_relay_has_a_public_key() -> None:
    assert ServerPeer.live().public_key == SERVER.public
    with pytest.raises(ValueError, match="32 bytes"):
        RelayServer(private_key=b"short", entropy=ScriptedEntropy())


def test_delays_are_its_own() -> None:
    peer = ServerPeer.live(delays=RelayServerDelays(ping=3.0, pong=1.0))
    a = peer.client()
    peer.wait(4.0)
    assert a.is_cut
