"""What a client makes of a relay, of whatever kind, and how it comes back to it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from scripted_relay import PONG, SERVER, ZERO, A, B, C, ClientPeer

from sansproto.contract import AbortTransport, Address, CloseTransport, Phase
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.events import CloseCause, Closed, Writable
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.vectors import VectorTest, load
from sansproto.tox import (
    KeyPair,
    Linked,
    OobReceived,
    Relay,
    RelayClient,
    RelayClientDelays,
    RelayClientLimits,
    RelayConnected,
    RelayedReceived,
    RelayLost,
    RelayViolation,
    Routed,
    RouteRefused,
    Unlinked,
)
from sansproto.tox import packets as p
from sansproto.tox.relay_channel import RelayChannel

UP, LINK = RelayConnected(SERVER.public), p.ConnectNotification(16)
GOLDEN = Path(__file__).parents[2] / "vectors" / "tox" / "tox.json"


def vectors(kind: str) -> list[VectorTest]:
    """Those of the reference."""
    return [test for test in load(GOLDEN) if test.type == kind]


def up(**arguments: Any) -> ClientPeer:
    peer = ClientPeer.live(**arguments)
    peer.up()
    return peer


def linked(**arguments: Any) -> ClientPeer:
    """With B, for which the relay gave the id 16."""
    peer = up(**arguments)
    peer.route(B.public, peer.now)
    assert peer.speaker.take() == [p.RoutingRequest(B.public)]
    assert peer.say(p.RoutingResponse(16, B.public), LINK) == [Routed(B.public), Linked(B.public)]
    return peer


def lost(peer: ClientPeer) -> RelayViolation | None:
    """How the relay broke the protocol, in the one event that says that it is lost."""
    *others, event = peer.take()
    assert others == []
    assert isinstance(event, RelayLost)
    assert event.cause is CloseCause.VIOLATION
    assert peer.how[peer.link] is AbortTransport
    return event.violation


# -- the handshake


def test_a_client_greets_and_asks_at_once_whether_the_relay_is_there() -> None:
    peer = ClientPeer.live()
    peer.connect(peer.now)
    assert peer.phase is Phase.OPENING
    peer.open()
    assert len(peer.speaker.buffer) == 128
    for byte in peer.answer():
        assert peer.take() == []
        peer.speaker.give(bytes([byte]))
    assert peer.take() == [UP]
    assert peer.phase is Phase.OPEN
    assert peer.speaker.take() == [p.RelayPing(b"\1" + bytes(7))]


def test_a_relay_that_has_another_key_is_not_believed() -> None:
    peer = ClientPeer.live()
    peer.connect(peer.now)
    peer.open()
    answer = peer.answer()
    peer.speaker.give(answer[:50] + bytes([answer[50] ^ 1]) + answer[51:])
    assert lost(peer) is RelayViolation.BAD_HELLO
    assert peer.stats.dropped == {"bad answer to the hello": 1}


def test_an_answer_with_a_key_of_small_order_is_dropped() -> None:
    peer = ClientPeer.live()
    peer.connect(peer.now)
    peer.open()
    peer.speaker.give(peer.answer(temporary=ZERO))
    assert lost(peer) is RelayViolation.BAD_HELLO
    assert peer.stats.dropped == {"bad answer to the hello": 1}


def test_what_is_drawn_is_what_the_hello_holds() -> None:
    (golden,) = vectors("tox.relay_hello")
    given = {name: bytes.fromhex(text) for name, text in golden["inputs"].items()}
    relay, hello = KeyPair.of(given["server_sk"]).public, bytes.fromhex(golden["outputs"]["out"])
    drawn = {
        f"relay.{relay.hex()[:8]}.secret": [given["client_temp_sk"]],
        f"relay.{relay.hex()[:8]}.base_nonce": [bytes.fromhex(golden["outputs"]["client_base_nonce"])],
        f"relay.{relay.hex()[:8]}.nonce": [hello[32:56]],
    }
    arguments = {"relay": Relay(relay, Address("192.0.2.1", 443)), "private_key": given["client_sk"]}
    peer = ClientPeer.live(**arguments, entropy=ScriptedEntropy(drawn))
    peer.connect(peer.now)
    peer.open()
    assert peer.speaker.buffer == hello


def test_frames_are_those_of_the_reference() -> None:
    golden = vectors("tox.relay_frame")
    for test in golden:
        given, data = test["inputs"], bytes.fromhex(test["outputs"]["out"])
        key, nonce = bytes.fromhex(given["shared_key"]), int(given["nonce"], 16)
        frame = p.decode_frame(bytes.fromhex(given["plain"]))
        channel = RelayChannel(key, nonce, nonce)
        assert channel.seal(frame) == data
        assert p.decode_frame(channel.open(data[2:])) == frame
        assert channel.outgoing == channel.incoming == nonce + 1
    assert len(golden) == 4


def test_a_nonce_wraps() -> None:
    channel = RelayChannel(bytes(32), 2**192 - 1, 2**192 - 1)
    for _ in range(2):
        assert p.decode_frame(channel.open(channel.seal(PONG)[2:])) == PONG
    assert channel.outgoing == 1


# -- what a relay may say, and what it may not

CUTTING = {
    "routing request": (p.RoutingRequest(B.public), RelayViolation.BAD_PACKET),
    "short routing response": (b"\1\x10" + bytes(31), RelayViolation.BAD_PACKET),
    "long notification": (b"\2\x10\x10", RelayViolation.BAD_PACKET),
    "ping of 8 bytes": (b"\4" + bytes(7), RelayViolation.BAD_PACKET),
    "pong 0": (p.RelayPong(bytes(8)), RelayViolation.ZERO_PONG),
    "OOB to send": (p.OobSend(B.public, b"x"), RelayViolation.BAD_PACKET),
    "OOB without data": (b"\7" + B.public, RelayViolation.BAD_PACKET),
    "OOB of 1025 bytes": (b"\7" + B.public + bytes(1025), RelayViolation.BAD_PACKET),
    "onion request": (b"\x08" + bytes(60), RelayViolation.BAD_PACKET),
    "reserved id": (b"\x0c" + bytes(60), RelayViolation.BAD_PACKET),
    "nothing": (b"", RelayViolation.BAD_PACKET),
}


@pytest.mark.parametrize(("frame", "violation"), CUTTING.values(), ids=CUTTING)
def test_a_frame_that_no_relay_may_send_ends_the_stream(frame: Any, violation: RelayViolation) -> None:
    peer = up()
    peer.speaker.give(peer.speaker.seal(frame))
    assert lost(peer) is violation


@pytest.mark.parametrize("change", [b"\x08\x01", b"\0\x20" + bytes(32)], ids=["2049 bytes", "not sealed"])
def test_bytes_that_are_no_frame_end_the_stream(change: bytes) -> None:
    peer = up()
    peer.speaker.give(change)
    assert lost(peer) is RelayViolation.BAD_FRAME


HARMLESS = {
    "data for an unknown id": (p.Relayed(17, b"x"), "not linked"),
    "empty packet": (b"\x10", "empty packet"),
    "empty packet for an unknown id": (b"\xff", "empty packet"),
    "pong with another number": (p.RelayPong(b"whatever"), "unknown pong"),
    "ping with the number 0": (p.RelayPing(bytes(8)), "ping without a number"),
    "response that nobody asked for": (p.RoutingResponse(17, C.public), "not asked for"),
    "response with the id of another key": (p.RoutingResponse(16, B.public), "not asked for"),
    "refusal that nobody asked for": (p.RoutingResponse(0, C.public), "not asked for"),
    "second answer": (p.RoutingResponse(20, B.public), "unexpected answer"),
    "late refusal": (p.RoutingResponse(0, B.public), "unexpected answer"),
    "second link": (LINK, "unexpected answer"),
    "link of an unknown id": (p.ConnectNotification(17), "unknown id"),
    "end of an unknown id": (p.DisconnectNotification(17), "unknown id"),
    "OOB from a key of small order": (p.OobReceived(ZERO, b"x"), "a key that is none"),
    "onion answer": (b"\x09" + bytes(60), "of the onion"),
    "forwarding": (b"\x0b" + bytes(60), "of the onion"),
}


@pytest.mark.parametrize(("frame", "reason"), HARMLESS.values(), ids=HARMLESS)
def test_a_useless_frame_is_counted_and_changes_nothing(frame: Any, reason: str) -> None:
    peer = linked()
    assert peer.say(frame, p.Relayed(16, b"data")) == [RelayedReceived(B.public, b"data")]
    assert peer.stats.dropped == {reason: 1}
    assert peer.speaker.take() == []


def test_a_frame_without_content_moves_no_nonce() -> None:
    peer = linked()
    peer.speaker.give(bytes(4))
    assert peer.say(p.Relayed(16, b"data")) == [RelayedReceived(B.public, b"data")]
    assert peer.stats.dropped == {"empty frame": 2}


# -- pings


def test_pings_are_answered() -> None:
    peer = up()
    assert peer.say(p.RelayPing(b"a number")) == []
    assert peer.speaker.take() == [p.RelayPong(b"a number")]


def test_a_relay_that_does_not_answer_pings_is_left() -> None:
    peer = up()
    peer.wait(30.0)
    (ping,) = peer.speaker.take()
    assert ping == p.RelayPing(b"\2" + bytes(7))
    peer.wait(9.9)
    assert peer.say(p.RelayPong(ping.number), p.RelayPong(ping.number)) == []
    assert peer.stats.dropped == {"unknown pong": 1}
    peer.wait(30.0)
    assert peer.take() == []
    peer.wait(0.2)
    assert peer.take() == [RelayLost(SERVER.public, CloseCause.TIMEOUT, detail="the relay does not answer")]


# -- dialling


def test_a_relay_that_cannot_be_reached_is_dialled_again_and_again_and_told_once() -> None:
    peer = ClientPeer.live(entropy=ScriptedEntropy({f"relay.{SERVER.public.hex()[:8]}.redial": [b"\0", b"\xff"] * 9}))
    peer.connect(peer.now)
    dialled = []
    for _ in range(6):
        peer.drain()
        dialled.append(peer.now)
        peer.stream_lost(peer.link, peer.now, detail="refused")
        peer.tick()
    pauses = [round(after - before, 6) for before, after in pairwise(dialled)]
    assert pauses == [0.9, 2.2, 2.7, 3.3, 2.7]
    assert peer.take() == [RelayLost(SERVER.public, CloseCause.UNREACHABLE, detail="refused")]
    peer.come_up()
    assert peer.take() == [UP]


def test_a_relay_may_be_away_for_days() -> None:
    peer = ClientPeer.live()
    peer.connect(peer.now)
    for _ in range(1100):  # 2 to this power is no float any more
        peer.drain()
        peer.stream_lost(peer.link, peer.now)
        peer.tick()
    assert peer.now < 1100 * 3.3
    peer.come_up()


def test_a_relay_that_takes_the_connection_and_says_nothing_is_left_after_10_seconds() -> None:
    peer = ClientPeer.live()
    peer.connect(peer.now)
    peer.wait(6.0)
    peer.open()
    peer.wait(3.9)
    assert peer.take() == []
    peer.wait(0.1)
    assert peer.take() == [RelayLost(SERVER.public, CloseCause.TIMEOUT, detail="the relay does not answer")]


def test_pauses_begin_anew_when_a_stream_has_lasted() -> None:
    peer = up()
    for lasts, failures in ((20.0, 1), (20.0, 2), (31.0, 1)):
        peer.wait(min(lasts, 5.0))
        peer.wait(lasts - 5.0)
        peer.stream_lost(peer.link, peer.now)
        peer.drain()
        assert peer.endpoint.relays[SERVER.public].failures == failures
        peer.tick()
        peer.come_up()


@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_relay_that_comes_back_is_asked_again(how: str) -> None:
    peer = linked()
    first = peer.link
    if how == "end":
        peer.receive_eof(peer.link, peer.now)
    else:
        peer.stream_lost(peer.link, peer.now)
    unlinked, gone = peer.take()
    assert unlinked == Unlinked(B.public)
    assert gone.cause is CloseCause.LOST
    assert peer.phase is Phase.OPENING
    peer.tick()
    assert peer.link != first
    peer.open()
    peer.speaker.give(peer.answer())
    assert peer.speaker.take() == [p.RelayPing(b"\2" + bytes(7)), p.RoutingRequest(B.public)]
    assert peer.say(p.RoutingResponse(16, B.public), LINK) == [UP, Routed(B.public), Linked(B.public)]


@pytest.mark.parametrize("report", ["network_changed", "resumed"])
def test_a_relay_is_dialled_at_once_when_our_address_changed(report: str) -> None:
    peer = linked()
    first = peer.link

    def changed() -> None:
        if report == "resumed":
            peer.resumed(peer.now, asleep=60.0)
        else:
            peer.network_changed(peer.now)

    changed()
    assert peer.take() == [Unlinked(B.public), RelayLost(SERVER.public, CloseCause.LOCAL, detail="dialled anew")]
    assert (peer.link, peer.how) == (first + 1, {first: AbortTransport})
    changed()  # while it is on its way
    assert peer.take() == []
    assert (peer.link, peer.how) == (first + 2, {first: AbortTransport, first + 1: AbortTransport})
    peer.stream_lost(peer.link, peer.now)
    changed()  # during a pause
    peer.drain()
    assert peer.link == first + 3
    peer.come_up()
    assert peer.take() == [RelayLost(SERVER.public, CloseCause.UNREACHABLE), UP]


# -- routes


def test_the_answers_about_a_key_lead_from_one_state_to_the_next() -> None:
    peer = linked()
    assert peer.say(p.DisconnectNotification(16)) == [Unlinked(B.public)]
    assert peer.say(p.DisconnectNotification(16)) == []
    assert peer.say(LINK) == [Linked(B.public)]
    assert peer.route(B.public, peer.now)
    assert peer.speaker.take() == []
    assert peer.stats.dropped == {"unexpected answer": 1}


def test_a_key_that_is_refused_is_asked_for_again() -> None:
    peer = up()
    peer.route(B.public, peer.now)
    assert peer.say(p.RoutingResponse(0, B.public)) == [RouteRefused(B.public)]
    assert peer.speaker.take() == [p.RoutingRequest(B.public)]
    peer.wait(29.9)
    assert peer.speaker.take() == []
    peer.wait(0.1)
    assert peer.speaker.take()[-1:] == [p.RoutingRequest(B.public)]
    assert peer.say(p.RoutingResponse(15, B.public)) == [RouteRefused(B.public)]


def test_an_id_is_given_back_once_and_only_while_it_is_ours() -> None:
    peer = linked()
    peer.unroute(B.public, peer.now)
    peer.unroute(B.public, peer.now)
    assert peer.take() == [Unlinked(B.public)]
    assert peer.speaker.take() == [p.DisconnectNotification(16)]
    assert peer.say(LINK, p.Relayed(16, b"late")) == []
    assert not peer.send(B.public, b"x", peer.now)


def test_an_id_by_which_nobody_is_linked_is_given_back_too() -> None:
    peer = up()
    peer.route(B.public, peer.now)
    assert peer.say(p.RoutingResponse(16, B.public)) == [Routed(B.public)]
    peer.unroute(B.public, peer.now)
    assert peer.take() == []
    assert peer.speaker.take() == [p.RoutingRequest(B.public), p.DisconnectNotification(16)]
    assert not peer.endpoint.relays[SERVER.public].routes


def test_a_key_that_is_not_wanted_any_more_is_given_back_when_the_answer_comes() -> None:
    for answer, said in ((16, [p.DisconnectNotification(16)]), (0, [])):
        peer = up()
        peer.route(B.public, peer.now)
        peer.unroute(B.public, peer.now)
        assert peer.speaker.take() == [p.RoutingRequest(B.public)]
        assert peer.say(p.RoutingResponse(answer, B.public)) == []
        assert peer.speaker.take() == said
        assert not peer.endpoint.relays[SERVER.public].routes


def test_a_key_that_is_wanted_again_before_the_answer_is_kept() -> None:
    peer = up()
    peer.route(B.public, peer.now)
    peer.unroute(B.public, peer.now)
    peer.route(B.public, peer.now)
    assert peer.say(p.RoutingResponse(16, B.public)) == [Routed(B.public)]
    assert peer.speaker.take() == [p.RoutingRequest(B.public)]


def test_a_key_that_was_given_back_and_is_wanted_again_is_asked_for_anew() -> None:
    peer = linked()
    peer.unroute(B.public, peer.now)
    peer.route(B.public, peer.now)
    assert peer.speaker.take() == [p.DisconnectNotification(16), p.RoutingRequest(B.public)]
    assert peer.say(p.RoutingResponse(16, B.public)) == [Unlinked(B.public), Routed(B.public)]


def test_routes_wait_for_the_relay_and_may_be_given_up_meanwhile() -> None:
    peer = ClientPeer.live()
    peer.connect(peer.now)
    for key in (B, C):
        assert peer.route(key.public, peer.now)
    peer.unroute(C.public, peer.now)
    peer.open()
    peer.speaker.give(peer.answer())
    assert peer.speaker.take()[1:] == [p.RoutingRequest(B.public)]
    peer.say(p.RoutingResponse(0, B.public))
    peer.unroute(B.public, peer.now)
    peer.wait(40.0)
    assert p.RoutingRequest(B.public) not in peer.speaker.take()


@pytest.mark.parametrize("state", ["REQUESTED", "LEAVING", "REGISTERED", "REFUSED"])
def test_every_route_survives_the_end_of_the_stream(state: str) -> None:
    peer = up()
    peer.route(B.public, peer.now)
    if state == "LEAVING":
        peer.unroute(B.public, peer.now)
    elif state != "REQUESTED":
        peer.say(p.RoutingResponse(16 if state == "REGISTERED" else 0, B.public))
    relay = peer.endpoint.relays[SERVER.public]
    assert relay.routes[B.public].state.name == state
    peer.stream_lost(peer.link, peer.now)
    peer.tick()
    peer.open()
    peer.speaker.give(peer.answer())
    assert peer.speaker.take()[1:] == ([] if state == "LEAVING" else [p.RoutingRequest(B.public)])
    assert not relay.by_id
    peer.wait(9.0)  # no timer of before


def test_there_are_so_many_routes() -> None:
    peer = up(limits=RelayClientLimits(routes=2))
    assert [peer.route(key.public, peer.now) for key in (B, C, SERVER, C)] == [True, True, False, True]
    assert peer.stats.refused == {"too many keys at this relay": 1}


# -- packets


def test_packets_go_to_who_is_linked() -> None:
    peer = linked()
    assert peer.send(B.public, bytes(2031), peer.now)
    assert peer.send_oob(C.public, bytes(1024), peer.now)
    assert peer.speaker.take() == [p.Relayed(16, bytes(2031)), p.OobSend(C.public, bytes(1024))]
    assert not peer.send(C.public, b"x", peer.now)
    assert peer.stats.refused == {"not linked at this relay": 1}
    assert peer.say(p.OobReceived(C.public, b"y"), p.Relayed(16, b"z")) == [
        OobReceived(C.public, b"y"),
        RelayedReceived(B.public, b"z"),
    ]


def test_packets_from_who_is_not_linked_any_more_are_dropped() -> None:
    peer = linked()
    assert peer.say(p.DisconnectNotification(16), p.Relayed(16, b"x")) == [Unlinked(B.public)]
    assert not peer.send(B.public, b"x", peer.now)
    assert peer.stats.dropped == {"not linked": 1}


def test_what_does_not_fit_is_refused_until_there_is_room() -> None:
    peer = linked(limits=RelayClientLimits(unsent=3000))
    peer.stream_blocked(peer.link, peer.now)
    assert not peer.send(B.public, b"x", peer.now)
    assert not peer.send_oob(B.public, b"x", peer.now)
    assert peer.take() == []
    peer.stream_unblocked(peer.link, peer.now)
    assert peer.take() == [Writable()]
    taken = [peer.endpoint.send(B.public, bytes(1000), peer.now) for _ in range(4)]
    assert taken == [True, True, False, False]
    assert peer.take() == [Writable()]
    assert len(peer.speaker.take()) == 2
    assert peer.stats.refused == {"too much waits for this relay": 4}


def test_no_packets_are_taken_while_the_relay_is_away() -> None:
    peer = ClientPeer.live()
    peer.connect(peer.now)
    assert not peer.send_oob(B.public, b"x", peer.now)
    assert not peer.send(B.public, b"x", peer.now)
    assert peer.stats.refused == {"no stream to this relay": 1, "not linked at this relay": 1}
    peer.come_up()
    assert peer.take() == [UP]


# -- verbs that are not allowed, and the end


def test_what_is_no_key_or_of_no_size_is_the_callers_bug() -> None:
    peer = linked()
    for call in (
        lambda: peer.route(ZERO, peer.now),
        lambda: peer.unroute(b"short", peer.now),
        lambda: peer.send(B.public, b"", peer.now),
        lambda: peer.send(B.public, bytes(2032), peer.now),
        lambda: peer.send_oob(B.public, bytes(1025), peer.now),
        lambda: peer.send_oob(ZERO, b"x", peer.now),
        lambda: peer.connect(peer.now),
    ):
        with pytest.raises(LocalProtocolError):
            call()
    assert peer.speaker.take() == []
    with pytest.raises(ValueError, match="none"):
        ClientPeer.live(relay=Relay(ZERO, Address("192.0.2.1", 1)))
    with pytest.raises(ValueError, match="32 bytes"):
        ClientPeer.live(private_key=b"short")


def test_nothing_is_asked_for_before_connect() -> None:
    peer = ClientPeer.live()
    assert peer.public_key == A.public
    with pytest.raises(LocalProtocolError, match="not connected"):
        peer.route(B.public, peer.now)
    peer.network_changed(peer.now)
    peer.drain()
    assert peer.transmits == []


@pytest.mark.parametrize("state", ["NEW", "DIALLING", "UP", "AWAY"])
def test_a_client_can_be_closed_at_any_time(state: str) -> None:
    peer = ClientPeer.live()
    if state != "NEW":
        peer.connect(peer.now)
        peer.drain()
    if state == "UP":
        peer.come_up()
        peer.route(B.public, peer.now)
        peer.say(p.RoutingResponse(16, B.public), LINK)
        peer.send(B.public, b"last words", peer.now)
    if state == "AWAY":
        peer.stream_lost(peer.link, peer.now)
    peer.take()
    peer.close(peer.now)
    if state == "UP":
        with pytest.raises(NotOpen):
            peer.send(B.public, b"x", peer.now)
    events = peer.take()
    assert events[-1] == Closed(CloseCause.LOCAL)
    assert events[:-1] == ([Unlinked(B.public)] if state == "UP" else [])
    assert peer.how == {"DIALLING": {1: AbortTransport}, "UP": {1: CloseTransport}}.get(state, {})
    assert not peer.timers()
    assert state != "AWAY" or peer.stats.dropped == {}
    with pytest.raises(NotOpen):
        peer.route(B.public, peer.now)
    peer.network_changed(peer.now)


def test_a_client_that_is_aborted_keeps_no_link() -> None:
    peer = linked()
    peer.abort()
    assert peer.take() == [Closed(CloseCause.ABORTED)]
    assert (peer.how, peer.endpoint.relays[SERVER.public].link) == ({1: AbortTransport}, 0)
    peer.abort()


def test_a_restored_client_goes_on() -> None:
    peer = linked()
    arguments = {**ClientPeer.arguments, "entropy": ScriptedEntropy()}
    peer.endpoint = RelayClient.restore(peer.endpoint.snapshot(), **arguments)
    assert peer.say(p.Relayed(16, b"x"), p.DisconnectNotification(16)) == [
        RelayedReceived(B.public, b"x"),
        Unlinked(B.public),
    ]


def test_delays_are_its_own() -> None:
    peer = up(delays=RelayClientDelays(ping=3.0, pong=1.0))
    peer.wait(3.5)
    assert peer.speaker.take() == [p.RelayPing(b"\2" + bytes(7))]
