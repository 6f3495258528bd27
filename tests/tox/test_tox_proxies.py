"""Relays through a proxy: what goes to it, what it may answer, and that nothing goes past it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_relay import HTTP_YES, SERVER, SOCKS_GRANTED, SOCKS_YES, B, C, ClientPeer
from scripted_tox import DHT, REAL, Friend, NodePeer
from tox_world import World, meet

from sansproto.contract import Address, OpenStream, Path, Phase, SendBytes
from sansproto.events import CloseCause
from sansproto.proxies import MAX_REPLY
from sansproto.testing._internal.driver import Driver
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.tox import (
    RELAY_PORT,
    Linked,
    Proxy,
    ProxyFailure,
    ProxyKind,
    Relay,
    RelayClient,
    RelayConnected,
    RelayedReceived,
    RelayLost,
    RelayServer,
    RelaysShared,
    Routed,
    ToxNode,
)
from sansproto.tox import packets as p

PROXY_AT = Address("proxy.example", 8080)
NAMED = Relay(SERVER.public, Address("relay.example", 33445))
SOCKS5, HTTP = Proxy(ProxyKind.SOCKS5, PROXY_AT), Proxy(ProxyKind.HTTP, PROXY_AT)
QUESTION = b"CONNECT relay.example:33445 HTTP/1.1\r\nHost: relay.example:33445\r\n\r\n"
DIALOGUES = {
    SOCKS5: [
        (b"\5\1\0", SOCKS_YES),
        (b"\5\1\0\3\x0drelay.example\x82\xa5", SOCKS_GRANTED),
    ],
    HTTP: [(QUESTION, HTTP_YES)],
}
both = pytest.mark.parametrize("proxy", [SOCKS5, HTTP], ids=lambda proxy: proxy.kind.value)


def connecting(proxy: Proxy, **more: Any) -> ClientPeer:
    """The connection to the proxy is there."""
    peer = ClientPeer.live(relay=NAMED, proxy=proxy, **more)
    peer.connect(peer.now)
    peer.open()
    return peer


def passed(proxy: Proxy) -> ClientPeer:
    """The proxy has said yes."""
    peer = connecting(proxy)
    for question, reply in DIALOGUES[proxy]:
        assert peer.heard_by_proxy() == question
        peer.speaker.give(reply)
    return peer


def lost(peer: ClientPeer) -> tuple[CloseCause, ProxyFailure | None, str]:
    (event,) = peer.take()
    assert isinstance(event, RelayLost)
    assert event.violation is None
    assert peer.phase is Phase.OPENING
    return event.cause, event.proxy, event.detail


# -- a client


@both
def test_the_hello_follows_the_yes_of_the_proxy_and_the_rest_is_as_without(proxy: Proxy) -> None:
    peer = passed(proxy)
    assert len(peer.speaker.buffer) == 128
    peer.speaker.give(peer.answer())
    assert peer.take() == [RelayConnected(SERVER.public)]
    assert peer.speaker.take() == [p.RelayPing(b"\1" + bytes(7))]
    peer.route(B.public, peer.now)
    told = peer.say(p.RoutingResponse(16, B.public), p.ConnectNotification(16), p.Relayed(16, b"data"))
    assert told == [Routed(B.public), Linked(B.public), RelayedReceived(B.public, b"data")]
    assert peer.stats.dropped == {}


@both
def test_the_answer_of_the_relay_may_come_in_pieces_that_begin_with_that_of_the_proxy(proxy: Proxy) -> None:
    peer = connecting(proxy)
    *first, (_, last) = DIALOGUES[proxy]
    for _, reply in first:
        peer.speaker.give(reply)
    peer.heard_by_proxy()
    peer.speaker.give(last[:-1])
    assert peer.heard_by_proxy() == b""
    peer.speaker.give(last[-1:])
    peer.speaker.give(peer.answer())
    assert peer.take() == [RelayConnected(SERVER.public)]


def test_only_the_proxy_is_dialled_and_no_name_is_looked_up() -> None:
    client = RelayClient(relay=NAMED, private_key=bytes(32), entropy=ScriptedEntropy(), proxy=SOCKS5)
    client.connect(0.0)
    assert client.next_transmit() == OpenStream(1, PROXY_AT)
    assert client.next_transmit() is None


@both
def test_a_proxy_that_cannot_be_reached_is_told_as_such_and_dialled_again(proxy: Proxy) -> None:
    peer = ClientPeer.live(relay=NAMED, proxy=proxy)
    peer.connect(peer.now)
    for _ in range(3):
        peer.drain()
        peer.stream_lost(peer.link, peer.now, detail="refused")
        peer.tick()
    assert lost(peer) == (CloseCause.UNREACHABLE, ProxyFailure.UNREACHABLE, "refused")


@both
@pytest.mark.parametrize("opens", [True, False])
def test_a_proxy_that_says_nothing_is_left_10_seconds_after_it_was_dialled(proxy: Proxy, opens: bool) -> None:
    peer = ClientPeer.live(relay=NAMED, proxy=proxy)
    peer.connect(peer.now)
    peer.wait(6.0)
    if opens:
        peer.open()
    peer.wait(3.9)
    assert peer.take() == []
    peer.wait(0.1)
    assert lost(peer) == (CloseCause.TIMEOUT, ProxyFailure.SILENT, "the proxy does not answer")


@both
def test_the_relay_has_no_more_time_because_of_the_proxy(proxy: Proxy) -> None:
    peer = passed(proxy)
    peer.wait(9.9)
    assert peer.take() == []
    peer.wait(0.1)
    assert lost(peer) == (CloseCause.TIMEOUT, None, "the relay does not answer")


@both
@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_proxy_that_ends_in_the_middle_is_told_wherever_that_is(proxy: Proxy, how: str) -> None:
    replies = b"".join(reply for _, reply in DIALOGUES[proxy])
    for at in range(len(replies)):
        peer = connecting(proxy)
        peer.speaker.give(replies[:at])
        if how == "end":
            peer.receive_eof(peer.link, peer.now)
            assert lost(peer) == (CloseCause.LOST, ProxyFailure.CLOSED, "the proxy has closed the connection")
        else:
            peer.stream_lost(peer.link, peer.now, detail="reset")
            assert lost(peer) == (CloseCause.LOST, ProxyFailure.CLOSED, "reset")


@both
@pytest.mark.parametrize("how", ["end", "reset"])
def test_behind_the_yes_it_is_the_relay_that_is_lost(proxy: Proxy, how: str) -> None:
    peer = passed(proxy)
    if how == "end":
        peer.receive_eof(peer.link, peer.now)
        assert lost(peer) == (CloseCause.LOST, None, "the relay has closed the connection")
    else:
        peer.stream_lost(peer.link, peer.now, detail="reset")
        assert lost(peer) == (CloseCause.LOST, None, "reset")


NO = [
    (SOCKS5, b"\5\xff", CloseCause.REFUSED, ProxyFailure.NEEDS_PASSWORD),
    (SOCKS5, b"\5\0\5\4", CloseCause.REFUSED, ProxyFailure.HOST_UNREACHABLE),
    (SOCKS5, b"\5\0\5\5\0\1" + bytes(6), CloseCause.REFUSED, ProxyFailure.CONNECTION_REFUSED),
    (SOCKS5, b"\5\0\5\x63", CloseCause.REFUSED, ProxyFailure.UNKNOWN_CODE),
    (SOCKS5, b"\4\x5b", CloseCause.VIOLATION, ProxyFailure.BAD_REPLY),
    (SOCKS5, b"SSH-2.0-something\r\n", CloseCause.VIOLATION, ProxyFailure.BAD_REPLY),
    (SOCKS5, b"\5\0\5\0\0\x09", CloseCause.VIOLATION, ProxyFailure.BAD_REPLY),
    (HTTP, b"HTTP/1.1 503 Service Unavailable\r\n\r\n", CloseCause.REFUSED, ProxyFailure.REFUSED),
    (HTTP, b"HTTP/1.1 407 Who?\r\n\r\n", CloseCause.REFUSED, ProxyFailure.NEEDS_PASSWORD),
    (HTTP, b"HTTP/1.1 YES OK\r\n\r\n", CloseCause.VIOLATION, ProxyFailure.BAD_REPLY),
    (HTTP, b"\5\0\0\0\0\0\0\0\0\0\0\0", CloseCause.VIOLATION, ProxyFailure.BAD_REPLY),
    (HTTP, b"HTTP/1.1 200 OK\r\n" + b"x" * MAX_REPLY, CloseCause.VIOLATION, ProxyFailure.BAD_REPLY),
    (HTTP, b"HTTP/1.1 20\r\n\r\n", CloseCause.VIOLATION, ProxyFailure.BAD_REPLY),
]


@pytest.mark.parametrize(("proxy", "reply", "cause", "failure"), NO)
def test_a_no_is_told_and_the_proxy_asked_again(
    proxy: Proxy, reply: bytes, cause: CloseCause, failure: ProxyFailure
) -> None:
    peer = connecting(proxy)
    first = peer.link
    peer.speaker.give(reply)
    assert lost(peer)[:2] == (cause, failure)
    peer.tick()
    peer.open()
    assert peer.link > first
    assert peer.heard_by_proxy() == DIALOGUES[proxy][0][0]


@both
def test_a_name_that_no_proxy_can_be_told_is_told(proxy: Proxy) -> None:
    peer = ClientPeer.live(relay=Relay(SERVER.public, Address("no name", 1)), proxy=proxy)
    peer.connect(peer.now)
    peer.open()
    assert lost(peer) == (CloseCause.UNREACHABLE, ProxyFailure.BAD_NAME, "no proxy can be told this name")
    assert peer.heard_by_proxy() == b""


@both
def test_the_network_changes_while_the_proxy_is_asked(proxy: Proxy) -> None:
    peer = connecting(proxy)
    peer.network_changed(peer.now)
    peer.drain()
    peer.speaker.give(DIALOGUES[proxy][0][1])  # of the connection that was left
    assert peer.stats.dropped == {"late data": 1}
    peer.open()
    assert peer.heard_by_proxy() == DIALOGUES[proxy][0][0]
    assert peer.take() == []
    peer.network_changed(peer.now)
    peer.drain()
    peer.stream_lost(peer.link, peer.now, detail="refused")
    assert lost(peer) == (CloseCause.UNREACHABLE, ProxyFailure.UNREACHABLE, "refused")


@both
def test_a_client_that_is_closed_while_the_proxy_is_asked_ends(proxy: Proxy) -> None:
    peer = connecting(proxy)
    peer.close(peer.now)
    peer.drain()
    assert peer.phase is Phase.CLOSED


@both
def test_nothing_secret_is_in_a_trace(proxy: Proxy) -> None:
    seen: list[Any] = []
    peer = connecting(proxy, private_key=bytes(range(7, 39)), trace=seen.append)
    for _, reply in DIALOGUES[proxy]:
        peer.heard_by_proxy()
        peer.speaker.give(reply)
    peer.speaker.give(peer.answer())
    told = repr(seen)
    assert "RelayHello" in told
    assert ("SocksGreeting" if proxy is SOCKS5 else "HttpConnect") in told
    for secret in (bytes(range(7, 39)), peer.endpoint.own_dht.secret):
        assert secret.hex() not in told
        assert repr(secret)[2:-1] not in told


# -- a node


class Watched:
    """A node behind a proxy: all that it has the adapter do."""

    def __init__(self, proxy: Proxy) -> None:
        self.node = ToxNode(
            real_key=REAL.secret, dht_key=DHT.secret, entropy=ScriptedEntropy(seed=b"proxy"), proxy=proxy
        )
        self.transmits: list[Any] = []
        self.now = 0.0
        self.driver = Driver(self.node, self.transmits.append, lambda _: None)

    @property
    def streams(self) -> list[Address]:
        return [one.address for one in self.transmits if isinstance(one, OpenStream)]


PATHS = st.sampled_from([Path("udp", "192.0.2.9", 33445), Path("udp", "2001:db8::9", 33445)])
KEYS = st.sampled_from([B.public, C.public, SERVER.public])
RELAYS = st.builds(Relay, KEYS, st.sampled_from([Address("192.0.2.1", 443), NAMED.address, Address("no name", 1)]))
GENUINE = Friend(NodePeer.live(), 7)
"""Whom a node without a proxy answers."""
DATAGRAMS = st.sampled_from(
    [GENUINE.request(), GENUINE.ping(b"a number"), GENUINE.pong(b"a number"), b"\x1b" + bytes(40)]
)
STEPS = st.one_of(
    st.tuples(st.just("add_friend"), KEYS, KEYS, PATHS, st.lists(RELAYS, max_size=2)),
    st.tuples(st.just("add_relay"), RELAYS),
    st.tuples(st.just("datagram"), DATAGRAMS | st.binary(max_size=40), PATHS),
    st.tuples(st.just("opened"), st.integers(1, 6)),
    st.tuples(st.just("data"), st.integers(1, 6), st.binary(max_size=20)),
    st.tuples(st.just("yes"), st.integers(1, 6)),
    st.tuples(st.just("lost"), st.integers(1, 6)),
    st.tuples(st.just("failed"), PATHS),
    st.tuples(st.just("moved")),
    st.tuples(st.just("slept")),
    st.tuples(st.just("wait"), st.floats(0.1, 40.0)),
)


def do(watched: Watched, step: Any) -> None:
    node, now = watched.node, watched.now
    match step:
        case "add_friend", real, dht, path, relays:
            node.add_friend(real, dht, now, path=path, relays=tuple(relays))
        case "add_relay", relay:
            node.add_relay(relay, now)
        case "datagram", data, path:
            node.receive_datagram(data, path, now)
        case "opened", link:
            node.stream_opened(link, now)
        case "data", link, data:
            node.receive_data(link, data, now)
        case "yes", link:
            for _, reply in DIALOGUES[node.proxy or SOCKS5]:
                node.receive_data(link, reply, now)
        case "lost", link:
            node.stream_lost(link, now)
        case "failed", path:
            node.datagram_failed(path, now)
        case "moved", *_:
            node.network_changed(now)
        case "slept", *_:
            node.resumed(now, asleep=60.0)
        case "wait", seconds:
            while (due := node.next_timeout()) is not None and due <= watched.now + seconds:
                watched.driver.wake(due)
            watched.now += seconds
    watched.driver.drain()


@pytest.mark.unmeasured
@both
@settings(max_examples=200)
@given(steps=st.lists(STEPS, max_size=12))
def test_nothing_leaves_a_node_but_by_its_proxy(proxy: Proxy, steps: list[Any]) -> None:
    watched = Watched(proxy)
    for step in [("add_relay", NAMED), *steps]:
        do(watched, step)
    kinds = {type(one).__name__ for one in watched.transmits}
    assert kinds <= {"OpenStream", "SendBytes", "CloseTransport", "AbortTransport"}
    assert {*watched.streams} == {PROXY_AT}


def test_without_a_proxy_the_same_would_leave_by_other_ways() -> None:
    """What the test above sees is there to be seen."""
    watched = Watched(SOCKS5)
    watched.node = ToxNode(real_key=REAL.secret, dht_key=DHT.secret, entropy=ScriptedEntropy(seed=b"proxy"))
    watched.driver = Driver(watched.node, watched.transmits.append, lambda _: None)
    do(watched, ("add_relay", NAMED))
    assert watched.streams == [NAMED.address]
    path = Path("udp", "192.0.2.9", 33445)
    for step in (("add_friend", B.public, C.public, path, []), ("datagram", GENUINE.request(), path)):
        watched.transmits.clear()
        do(watched, step)
        assert {type(one).__name__ for one in watched.transmits} == {"SendDatagram"}


@both
def test_datagrams_that_arrive_are_dropped_and_a_path_is_not_used(proxy: Proxy) -> None:
    watched = Watched(proxy)
    path = Path("udp", "192.0.2.9", 33445)
    do(watched, ("add_friend", B.public, C.public, path, []))
    do(watched, ("datagram", GENUINE.request(), path))
    do(watched, ("wait", 30.0))
    assert watched.transmits == []
    assert watched.node.stats.dropped == {"unexpected datagram": 1}
    assert watched.node.stats.refused == {}
    assert watched.node.friends.by_path == {}


def test_a_node_tells_what_is_wrong_with_its_proxy() -> None:
    watched = Watched(SOCKS5)
    events: list[Any] = []
    watched.driver = Driver(watched.node, watched.transmits.append, events.append)
    do(watched, ("add_relay", NAMED))
    do(watched, ("opened", 1))
    do(watched, ("data", 1, b"\5\0\5\2"))
    detail = "the proxy answers with code 2, not allowed"
    assert events == [
        RelayLost(SERVER.public, CloseCause.REFUSED, proxy=ProxyFailure.NOT_ALLOWED, detail=detail),
    ]
    assert SendBytes(1, b"\5\1\0") in watched.transmits


@pytest.mark.parametrize("named", [True, False])
def test_a_relay_that_is_known_by_its_name_alone_is_not_told_to_friends(named: bool) -> None:
    world = World()
    a, b = world.node(1), world.node(2)
    a.befriend(b, path=True)
    b.befriend(a, path=True)
    meet(world, a, b)
    server = RelayServer(private_key=bytes(32), entropy=ScriptedEntropy())
    at = Address("relay.example" if named else "198.51.100.1", 443)
    world.net.host(at.host).run(server, listen={RELAY_PORT: at.port})
    a.use(Relay(server.public_key, at))
    world.net.run(20.0)
    assert RelayConnected(server.public_key) in a.events
    assert any(isinstance(event, RelaysShared) for event in b.events) is not named
    assert b.tox.is_online(a.key)
