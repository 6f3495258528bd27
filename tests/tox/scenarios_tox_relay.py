"""The conversations of ``vectors/tox/relays.json``: one party, one script each, recorded from our own machines.

They hit every row and step of relay server and relay client. ``make vectors`` writes the file again; the same code
gives the same file, byte by byte. All delays and limits stand in each ``config``: times in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recording import Scenarios
from scripted import ScriptedPeer
from scripted_relay import (
    HTTP_YES,
    PING,
    PONG,
    SERVER,
    SOCKS_GRANTED,
    SOCKS_YES,
    THERE,
    ZERO,
    A,
    B,
    C,
    ClientPeer,
    Guest,
    ServerPeer,
)

from sansproto.testing.session_recorder import Config
from sansproto.tox import KeyPair
from sansproto.tox import packets as p

scenario = Scenarios("tox/relays.json")
LINK, PART = p.ConnectNotification(16), p.DisconnectNotification(16)


def wanted(key: KeyPair) -> p.RoutingRequest:
    return p.RoutingRequest(key.public)


# -- a relay -----------------------------------------------------------------------------------------------------------


@scenario
def two_clients_are_linked_and_talk() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    a, b = peer.pair()
    a.say(p.Relayed(16, b"to b"))
    b.say(p.Relayed(16, b"to a"), p.Relayed(16, bytes(2031)))
    a.say(wanted(B))
    a.say(PART, wanted(B))
    peer.receive_eof(b.at, peer.now)
    a.say(p.Relayed(16, b"gone"))
    peer.close(peer.now)
    return peer


@scenario
def ids_are_given_the_lowest_first_and_refused() -> ScriptedPeer:
    peer = ServerPeer.recorded(limits={"routes": 300})
    a = peer.client()
    a.say(wanted(A), wanted(B), wanted(C), p.RoutingRequest(ZERO))
    a.say(p.RoutingRequest(bytes(31) + b"\1"), p.RoutingRequest(bytes(31) + b"\2"))
    a.say(p.DisconnectNotification(16), p.DisconnectNotification(16), wanted(C))
    return peer


@scenario
def a_strict_relay_cuts_who_gives_back_an_id_that_is_not_its_own() -> ScriptedPeer:
    peer = ServerPeer.recorded(strict=True)
    peer.client().say(p.DisconnectNotification(16))
    return peer


@scenario
def packets_for_anybody_name_their_sender() -> ScriptedPeer:
    peer = ServerPeer.recorded(limits={"relayed_blocked": 700})
    a, b = peer.client(A), peer.client(B, THERE)
    a.say(
        p.OobSend(B.public, b"hello"), p.OobSend(C.public, b"x"), p.OobSend(ZERO, b"x"), p.OobSend(B.public, bytes(900))
    )
    b.say(p.OobSend(B.public, b"to myself"))
    return peer


@scenario
def useless_frames_are_passed_over() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    a, b = peer.pair()
    a.give(bytes(2))
    a.say(b"\x10", b"\xff", b"\x08onion", b"\x0aonion", LINK, PONG, p.RelayPing(bytes(8)))
    b.say(wanted(C), p.Relayed(17, b"nobody"))
    return peer


@scenario
def packets_for_a_full_link_are_dropped() -> ScriptedPeer:
    peer = ServerPeer.recorded(limits={"relayed": 1500, "relayed_blocked": 1000})
    a, b = peer.pair()
    peer.now += peer.pause
    peer.stream_blocked(b.at, peer.now)
    a.say(*[p.Relayed(16, bytes(600))] * 3)
    a.say(PART, wanted(B), PART)
    peer.now += peer.pause
    peer.stream_unblocked(b.at, peer.now)
    return peer


def cut(frame: p.Control | p.Relayed | bytes) -> Callable[[], ScriptedPeer]:
    def run() -> ScriptedPeer:
        peer = ServerPeer.recorded()
        a, _ = peer.pair()
        a.say(frame)
        return peer

    return run


CUTTING: dict[str, p.Control | p.Relayed | bytes] = {
    "a_packet_for_an_unknown_id_cuts": p.Relayed(17, b"x"),
    "a_frame_that_only_relays_send_cuts": p.OobReceived(B.public, b"x"),
    "a_pong_without_a_number_cuts": p.RelayPong(bytes(8)),
    "a_routing_request_that_is_too_short_cuts": b"\0" + bytes(31),
    "nothing_cuts": b"",
    "a_reserved_id_cuts": b"\x0c",
}
for _name, _frame in CUTTING.items():
    _run = cut(_frame)
    _run.__name__ = _name
    scenario(_run)


@scenario
def bytes_that_are_no_frame_cut() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    a, b = peer.pair()
    a.give(b"\x08\x01")
    b.give(b"\0\x20" + bytes(32))
    return peer


@scenario
def clients_are_asked_and_cut_if_they_are_silent() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    a, b = peer.pair()
    peer.wait(30.0)
    a.take()
    a.say(p.RelayPong(b"\1" + bytes(7)), p.RelayPong(b"\1" + bytes(7)))
    b.say(p.RelayPong(b"\2" + bytes(7)))
    peer.wait(10.0)
    peer.now += peer.pause
    peer.stream_lost(a.at, peer.now)
    return peer


@scenario
def a_hello_can_be_copied_and_does_no_harm() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    a, b = peer.pair()
    copy = Guest(peer, A, THERE)
    copy.give(a.hello)
    b.say(p.Relayed(16, b"still here"))
    copy.give(b"\0\x20" + bytes(32))
    again = peer.guest(A, THERE)
    again.say(wanted(B))
    return peer


@scenario
def hellos_that_are_none_end_the_connection() -> ScriptedPeer:
    peer = ServerPeer.recorded(delays={"hello": 3.0, "confirm": 2.0})
    guests = [Guest(peer, A, f"192.0.2.{number}") for number in range(7)]
    guests[0].give(guests[0].hello[:-1] + b"\0")
    guests[1].give(ZERO + guests[1].hello[32:])
    guests[2].give(guests[2].hello)
    peer.now += peer.pause
    peer.receive_eof(guests[3].at, peer.now)
    peer.now += peer.pause
    peer.stream_lost(guests[4].at, peer.now)
    guests[5].give(guests[5].hello)
    peer.now += peer.pause
    peer.receive_eof(guests[5].at, peer.now)
    peer.wait(5.0)
    return peer


@scenario
def hellos_wait_for_their_turn() -> ScriptedPeer:
    peer = ServerPeer.recorded(limits={"hellos": 1, "half_open": 4}, delays={"hellos": 0.5})
    guests = [Guest(peer, A, f"192.0.2.{number}") for number in range(4)]
    for guest in guests:
        guest.give(guest.hello)
    Guest(peer, B, THERE)
    Guest(peer, B, THERE)
    peer.now += peer.pause
    peer.receive_eof(guests[2].at, peer.now)
    peer.wait(3.0)
    return peer


@scenario
def frames_to_nobody_wait_for_their_turn() -> ScriptedPeer:
    peer = ServerPeer.recorded(
        limits={"frames": 3, "turn_frames": 3, "frame_rate": 1},
        delays={"ping": 2.0, "pong": 0.5, "turn": 3.0, "unread": 20.0},
    )
    a = peer.client()
    a.give(a.seal(*[PING] * 20))
    peer.wait(9.0)
    return peer


# -- a client ----------------------------------------------------------------------------------------------------------


def linked(**config: Any) -> ClientPeer:
    peer = ClientPeer.recorded(**config)
    peer.up()
    peer.route(B.public, peer.now)
    peer.say(p.RoutingResponse(16, B.public), LINK)
    return peer


@scenario
def a_client_is_linked_and_talks() -> ScriptedPeer:
    peer = linked()
    peer.send(B.public, b"to b", peer.now)
    peer.send_oob(C.public, b"to c", peer.now)
    peer.say(p.Relayed(16, b"from b"), p.OobReceived(C.public, b"from c"), p.RelayPing(b"a number"))
    peer.say(PART, LINK)
    peer.route(B.public, peer.now)
    peer.unroute(B.public, peer.now)
    peer.unroute(B.public, peer.now)
    peer.endpoint.fails(lambda: peer.send(B.public, b"", peer.now))
    peer.send(B.public, b"late", peer.now)
    peer.close(peer.now)
    peer.endpoint.fails(lambda: peer.route(B.public, peer.now))
    return peer


@scenario
def what_makes_no_sense_is_passed_over() -> ScriptedPeer:
    peer = linked()
    peer.speaker.give(bytes(2))
    peer.say(
        p.Relayed(17, b"x"), b"\x10", p.RelayPong(b"whatever"), p.RelayPing(bytes(8)), p.RoutingResponse(17, C.public)
    )
    peer.say(p.RoutingResponse(20, B.public), LINK, p.DisconnectNotification(17), p.ConnectNotification(17))
    peer.say(p.OobReceived(ZERO, b"x"), b"\x09onion", p.RoutingResponse(16, B.public))
    return peer


@scenario
def a_key_is_refused_and_asked_for_again() -> ScriptedPeer:
    peer = ClientPeer.recorded(limits={"routes": 1}, delays={"refused": 5.0})
    peer.connect(peer.now)
    peer.route(B.public, peer.now)
    peer.come_up()
    peer.route(C.public, peer.now)
    peer.say(p.RoutingResponse(0, B.public))
    peer.wait(5.0)
    peer.say(p.RoutingResponse(0, B.public))
    peer.unroute(B.public, peer.now)
    return peer


@scenario
def a_key_is_given_up_before_the_relay_has_answered() -> ScriptedPeer:
    peer = ClientPeer.recorded()
    peer.connect(peer.now)
    peer.route(C.public, peer.now)
    peer.unroute(C.public, peer.now)
    peer.come_up()
    peer.route(B.public, peer.now)
    peer.unroute(B.public, peer.now)
    peer.route(B.public, peer.now)
    peer.unroute(B.public, peer.now)
    peer.say(p.RoutingResponse(16, B.public))
    peer.route(B.public, peer.now)
    peer.unroute(B.public, peer.now)
    peer.say(p.RoutingResponse(0, B.public))
    peer.route(B.public, peer.now)
    peer.say(p.RoutingResponse(16, B.public))
    peer.unroute(B.public, peer.now)
    return peer


@scenario
def a_relay_is_not_used_for_a_key_for_some_time() -> ScriptedPeer:
    peer = linked(delays={"demoted": 2.0})
    peer.demote(C.public, peer.now)
    answers = p.RoutingResponse(16, B.public), LINK
    peer.demote(B.public, peer.now)
    peer.say(*answers)
    peer.route(B.public, peer.now)
    peer.wait(2.0)
    peer.say(*answers)
    peer.demote(B.public, peer.now)
    peer.now += peer.pause
    peer.receive_eof(peer.link, peer.now)
    peer.tick()
    peer.come_up()
    peer.wait(7.0)
    peer.say(*answers)
    peer.demote(B.public, peer.now)
    peer.now += peer.pause
    peer.receive_eof(peer.link, peer.now)
    peer.wait(32.0)
    peer.come_up()
    peer.say(*answers)
    peer.demote(B.public, peer.now)
    peer.unroute(B.public, peer.now)
    return peer


@scenario
def a_relay_is_lost_and_dialled_again() -> ScriptedPeer:
    peer = linked()
    for key in (C, SERVER):
        peer.route(key.public, peer.now)
    peer.say(p.RoutingResponse(0, C.public))
    peer.unroute(SERVER.public, peer.now)
    peer.now += peer.pause
    peer.stream_lost(peer.link, peer.now, detail="reset")
    peer.tick()
    peer.now += peer.pause
    peer.stream_lost(peer.link, peer.now, detail="refused")
    peer.tick()
    peer.come_up()
    peer.say(p.RoutingResponse(16, B.public))
    peer.now += peer.pause
    peer.receive_eof(peer.link, peer.now)
    peer.drain()
    peer.close(peer.now)
    return peer


@scenario
def a_relay_that_does_not_answer_is_left() -> ScriptedPeer:
    peer = ClientPeer.recorded()
    peer.connect(peer.now)
    peer.open()
    peer.wait(10.0)
    peer.tick()
    peer.come_up()
    peer.wait(41.0)
    return peer


@scenario
def the_network_changes() -> ScriptedPeer:
    peer = linked()
    peer.network_changed(peer.now)
    peer.drain()
    peer.now += peer.pause
    peer.stream_lost(peer.link, peer.now)
    peer.resumed(peer.now, asleep=60)
    peer.come_up()
    return peer


@scenario
def a_relay_with_another_key_is_not_believed() -> ScriptedPeer:
    peer = ClientPeer.recorded()
    peer.connect(peer.now)
    peer.open()
    peer.speaker.give(bytes(96))
    return peer


@scenario
def a_client_leaves_a_relay_that_breaks_the_protocol() -> ScriptedPeer:
    peer = ClientPeer.recorded()
    peer.connect(peer.now)
    for frame in (p.RelayPong(bytes(8)), p.OobSend(B.public, b"x"), b"\x0c", b""):
        peer.come_up()
        peer.say(frame)
        peer.tick()
    peer.come_up()
    peer.speaker.give(b"\xff\xff")
    return peer


@scenario
def what_does_not_fit_is_refused_until_there_is_room() -> ScriptedPeer:
    peer = linked(limits={"unsent": 100})
    peer.send(B.public, bytes(200), peer.now)
    peer.now += peer.pause
    peer.stream_blocked(peer.link, peer.now)
    peer.send(B.public, b"x", peer.now)
    peer.send_oob(B.public, b"x", peer.now)
    peer.now += peer.pause
    peer.stream_unblocked(peer.link, peer.now)
    return peer


# -- a client behind a proxy -------------------------------------------------------------------------------------------


SOCKS5 = {"kind": "SOCKS5", "host": "proxy.example", "port": 1080}
HTTP = {"kind": "HTTP", "host": "192.0.2.80", "port": 8080}


def behind(proxy: Config, **config: Any) -> ClientPeer:
    """Of a relay that only the proxy can find."""
    peer = ClientPeer.recorded(host="relay.example", proxy=proxy, **config)
    peer.connect(peer.now)
    return peer


@scenario
def a_relay_is_used_through_socks5() -> ScriptedPeer:
    peer = behind(SOCKS5)
    peer.come_up(SOCKS_YES, SOCKS_GRANTED)
    peer.route(B.public, peer.now)
    peer.say(p.RoutingResponse(16, B.public), LINK, p.Relayed(16, b"from b"))
    return peer


@scenario
def a_relay_is_used_through_http() -> ScriptedPeer:
    peer = behind(HTTP)
    peer.come_up(HTTP_YES)
    peer.now += peer.pause
    peer.receive_eof(peer.link, peer.now)
    peer.tick()
    peer.come_up(HTTP_YES[:5], HTTP_YES[5:])
    return peer


@scenario
def an_address_is_told_as_an_address() -> ScriptedPeer:
    peer = ClientPeer.recorded(host="2001:db8::1", proxy=SOCKS5)
    peer.connect(peer.now)
    peer.come_up(*(bytes([byte]) for byte in SOCKS_YES + SOCKS_GRANTED))
    return peer


@scenario
def each_no_of_socks5_has_its_name() -> ScriptedPeer:
    peer = behind(SOCKS5, delays={"ping": 1.0})
    for code in (*range(1, 9), 99):
        peer.come_up(SOCKS_YES, SOCKS_GRANTED)
        peer.wait(1.0)  # it has lasted: the next failure is news
        peer.network_changed(peer.now)
        peer.open()
        peer.speaker.give(SOCKS_YES + b"\5" + bytes([code]))
        peer.tick()
    return peer


def refused(proxy: Config, reply: bytes) -> Callable[[], ScriptedPeer]:
    def run() -> ScriptedPeer:
        peer = behind(proxy)
        peer.open()
        peer.speaker.give(reply)
        return peer

    return run


REFUSALS: dict[str, tuple[Config, bytes]] = {
    "a_socks5_proxy_says_no": (SOCKS5, b"\5\0\5\5"),
    "a_socks5_proxy_wants_a_password": (SOCKS5, b"\5\xff"),
    "a_socks5_proxy_speaks_another_version": (SOCKS5, b"\4\x5b"),
    "an_http_proxy_says_no": (HTTP, b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno"),
    "an_http_proxy_wants_a_password": (HTTP, b"HTTP/1.0 407 Proxy Authentication Required\r\n\r\n"),
    "an_http_proxy_has_no_status": (HTTP, b"HTTP/1.1 yes OK\r\n\r\n"),
    "an_http_proxy_is_something_else": (HTTP, b"220 mail.example ESMTP\r\n"),
    "an_http_proxy_says_too_much": (HTTP, HTTP_YES[:-2] + b"x" * 8192),
}
for _name, (_proxy, _reply) in REFUSALS.items():
    _run = refused(_proxy, _reply)
    _run.__name__ = _name
    scenario(_run)


@scenario
def a_proxy_is_not_there_or_ends_or_is_silent() -> ScriptedPeer:
    peer = behind(SOCKS5, delays={"ping": 1.0})
    peer.drain()
    peer.now += peer.pause
    peer.stream_lost(peer.link, peer.now, detail="refused")
    for ends in (True, False):
        peer.tick()
        peer.come_up(SOCKS_YES, SOCKS_GRANTED)
        peer.wait(1.0)
        peer.network_changed(peer.now)
        peer.open()
        peer.speaker.give(SOCKS_YES)
        if ends:
            peer.now += peer.pause
            peer.receive_eof(peer.link, peer.now)
        else:
            peer.wait(10.0)
    return peer


@scenario
def a_name_that_no_proxy_can_be_told_is_told_to_none() -> ScriptedPeer:
    peer = ClientPeer.recorded(host="no name", proxy=HTTP)
    peer.connect(peer.now)
    peer.open()
    peer.close(peer.now)
    return peer


if __name__ == "__main__":
    scenario.write()
