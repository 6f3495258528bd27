"""The laws, kept by relay server and relay client, from openings that lead into each state of their tables."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import strategies as st
from law_data import drawn, near, prefixes
from scripted_relay import (
    BASE,
    NONCE,
    PING,
    SERVER,
    SOCKS_GRANTED,
    SOCKS_YES,
    TEMPORARY,
    ZERO,
    A,
    B,
    C,
    Half,
    packed,
    sealed_keys,
)

from sansproto.contract import Address
from sansproto.testing.laws import Laws, Subject
from sansproto.testing.operations import (
    Accept,
    Blocked,
    Call,
    Close,
    Data,
    Eof,
    Lost,
    Moved,
    Op,
    Opened,
    Unblocked,
    Wait,
)
from sansproto.tox import (
    RELAY_PORT,
    KeyPair,
    Proxy,
    ProxyKind,
    Relay,
    RelayClient,
    RelayClientDelays,
    RelayClientLimits,
    RelayServer,
    RelayServerDelays,
    RelayServerLimits,
    crypto,
)
from sansproto.tox import packets as p

pytestmark = pytest.mark.unmeasured

TEXT = b"what only a linked client may read"
HERE, THERE = Address("192.0.2.7", 1234), Address("198.51.100.8", 1234)


# -- the server --------------------------------------------------------------------------------------------------------

SERVER_LIMITS = RelayServerLimits(
    links=5,
    link_queue=1500,
    link_packets=6,
    events=30,
    links_of_group=4,
    half_open=3,
    unconfirmed=2,
    hellos=2,
    routes=400,
    relayed=900,
    relayed_blocked=600,
    frames=12,
    turn_frames=12,
    passed=2,
    frame_rate=30,
)
SERVER_DELAYS = RelayServerDelays(stalled=90.0, unread=90.0, turn=0.25, hellos=0.125)


def talk(link: int, keys: KeyPair, *frames: p.Control | p.Relayed | bytes) -> list[bytes]:
    """All that a client says on this link, to a relay that draws what the laws give it."""
    shared = crypto.agree(keys.secret, SERVER.public)
    hello = p.RelayHello(keys.public, NONCE, sealed_keys(shared, TEMPORARY.public)).encode()
    theirs = KeyPair.of(drawn(f"link.{link}.secret"))
    sends = Half(crypto.agree(TEMPORARY.secret, theirs.public), BASE)
    return [hello, *(sends.seal(packed(frame)) for frame in frames)]


def wanted(key: KeyPair) -> p.RoutingRequest:
    return p.RoutingRequest(key.public)


OF_A = talk(
    1, A, PING, wanted(B), p.Relayed(16, TEXT), p.OobSend(B.public, TEXT), wanted(C), p.DisconnectNotification(16)
)
OF_B = talk(2, B, wanted(A), p.Relayed(16, TEXT), p.RelayPong(b"\1" + bytes(7)), p.OobSend(ZERO, b"x"), b"\x08onion")
AGAIN = talk(3, A, PING, wanted(B), p.Relayed(16, bytes(300)), *[PING] * 45, p.Relayed(99, b"x"))
STEPS: list[Op] = [
    Accept(RELAY_PORT, HERE),
    Data(0, (OF_A[0],)),
    Data(0, (OF_A[1],)),
    Accept(RELAY_PORT, THERE),
    Data(1, (OF_B[0],)),
    Data(0, (OF_A[2],)),
    Data(1, (OF_B[1],)),
    Data(0, (OF_A[3] + OF_A[4],)),
    Accept(RELAY_PORT, HERE),
    Data(2, (AGAIN[0],)),
    Wait(1.0),
    Data(2, (AGAIN[1] + AGAIN[2],)),  # which ends the first one
    Wait(0.0),
    *[Data(1, (b"".join(AGAIN[at : at + 6]),)) for at in range(3, 45, 6)],  # the second of those that are left
]


class TestRelayServer(Laws):
    subject = Subject(
        cls=RelayServer,
        arguments=lambda entropy, trace: {
            "private_key": SERVER.secret,
            "entropy": entropy,
            "limits": SERVER_LIMITS,
            "delays": SERVER_DELAYS,
            "trace": trace,
        },
        listeners=(RELAY_PORT,),
        data=near(OF_A) | near(OF_B) | near(AGAIN),
        peers=st.sampled_from([HERE, THERE, Address("2001:db8::7", 9)]),
        openings=(
            *prefixes(STEPS),
            (*STEPS[:8], Blocked(1), Data(0, (OF_A[5],)), Data(0, (OF_A[6],)), Unblocked(1)),
            (*STEPS[:8], Wait(31.0), Data(1, (b"".join(OF_B[2:4]),))),
            (*STEPS[:8], Wait(41.0)),
            (*STEPS[:8], Eof(1)),
            (*STEPS[:8], Lost(0)),
            (*STEPS, Close()),
        ),
        secrets=(SERVER.secret, TEXT, drawn("link.1.secret"), drawn("link.2.secret")),
        max_state=60_000,
    )


# -- the client --------------------------------------------------------------------------------------------------------

CLIENT_LIMITS = RelayClientLimits(links=3, link_queue=2000, link_packets=4, events=10, unsent=600, routes=3)
CLIENT_DELAYS = RelayClientDelays(stalled=90.0, unread=90.0)
NAME = f"relay.{SERVER.public.hex()[:8]}"


def answers(*frames: p.Control | p.Relayed | bytes) -> list[bytes]:
    """All that a relay says on its first stream, to a client that draws what the laws give it."""
    shared = crypto.agree(A.secret, SERVER.public)
    theirs = KeyPair.of(drawn(f"{NAME}.secret"))
    sends = Half(crypto.agree(TEMPORARY.secret, theirs.public), BASE)
    answer = p.RelayAnswer(NONCE, sealed_keys(shared, TEMPORARY.public)).encode()
    return [answer, *(sends.seal(packed(frame)) for frame in frames)]


HEARD = answers(
    p.RelayPong(b"\1" + bytes(7)),
    p.RoutingResponse(16, B.public),
    p.ConnectNotification(16),
    p.Relayed(16, TEXT),
    p.OobReceived(C.public, TEXT),
    p.RelayPing(b"a number"),
    p.RoutingResponse(0, C.public),
    p.DisconnectNotification(16),
    p.OobReceived(ZERO, b"x"),
    p.Relayed(17, b"x"),
    b"\x0cwhat no relay says",
)
USING: list[Op] = [
    Call("connect"),
    Call("route", (B.public,)),
    Opened(0),
    Data(0, (HEARD[0],)),
    Data(0, (HEARD[1],)),
    Data(0, (HEARD[2],)),
    Data(0, (HEARD[3],)),
    Call("send", (B.public, TEXT)),
    Data(0, (HEARD[4] + HEARD[5],)),
    Call("route", (C.public,)),
    Data(0, (HEARD[6],)),
    Data(0, (HEARD[7],)),
    Data(0, (HEARD[8],)),
    Call("unroute", (B.public,)),
]


class TestRelayClient(Laws):
    subject = Subject(
        cls=RelayClient,
        arguments=lambda entropy, trace: {
            "relay": Relay(SERVER.public, Address("192.0.2.1", 443)),
            "private_key": A.secret,
            "entropy": entropy,
            "limits": CLIENT_LIMITS,
            "delays": CLIENT_DELAYS,
            "trace": trace,
        },
        data=near(HEARD),
        verbs={
            "connect": st.just(()),
            "route": st.tuples(st.sampled_from([B.public, C.public, SERVER.public, TEMPORARY.public, ZERO])),
            "unroute": st.tuples(st.sampled_from([B.public, C.public])),
            "send": st.tuples(st.sampled_from([B.public, C.public]), st.sampled_from([TEXT, b"", bytes(500)])),
            "send_oob": st.tuples(st.sampled_from([B.public, ZERO]), st.sampled_from([TEXT, bytes(2000)])),
        },
        openings=(
            *prefixes(USING),
            (*USING[:7], Moved(None)),
            (*USING[:7], Lost(0)),
            (*USING[:7], Lost(0), Wait(5.0), Opened(1)),
            (*USING[:7], Eof(0)),
            (*USING[:7], Wait(31.0)),
            (*USING[:7], Data(0, (HEARD[-1],))),
            (*USING[:2], Wait(11.0)),
            (*USING[:12], Wait(31.0)),
            (*USING, Close()),
        ),
        secrets=(A.secret, TEXT, drawn(f"{NAME}.secret")),
        max_state=60_000,
    )


# -- the client, behind a proxy ----------------------------------------------------------------------------------------

SAID = [SOCKS_YES, SOCKS_GRANTED, b"\5\0\5\5", *HEARD[:4]]
ASKING: list[Op] = [
    Call("connect"),
    Opened(0),
    Data(0, (SOCKS_YES,)),
    Data(0, (SOCKS_GRANTED,)),
    Data(0, (HEARD[0],)),
    Call("route", (B.public,)),
    Data(0, (HEARD[1],)),
    Data(0, (HEARD[2],)),
    Data(0, (HEARD[3],)),
]


class TestRelayClientBehindAProxy(Laws):
    subject = attrs.evolve(
        TestRelayClient.subject,
        arguments=lambda entropy, trace: {
            **TestRelayClient.subject.arguments(entropy, trace),
            "proxy": Proxy(ProxyKind.SOCKS5, Address("proxy.example", 1080)),
        },
        data=near(SAID),
        openings=(
            *prefixes(ASKING),
            (*ASKING[:2], Data(0, (SOCKS_YES + SOCKS_GRANTED + HEARD[0],))),
            (*ASKING[:3], Data(0, (b"\5\5",))),
            (*ASKING[:2], Data(0, (b"\4\x5b",))),
            (*ASKING[:3], Eof(0)),
            (*ASKING[:3], Lost(0), Wait(5.0), Opened(1)),
            (*ASKING[:3], Moved(None)),
            (*ASKING[:3], Wait(11.0)),
            (*ASKING[:1], Wait(11.0)),
            (*ASKING[:3], Close()),
        ),
    )


def test_the_openings_lead_where_they_should() -> None:
    """If a frame no longer opened, all would be as silent as without it."""
    server: Any = TestRelayServer.subject.run().play(STEPS).endpoint
    assert {key: visitor.state.name for key, visitor in server.visitors.items()} == {2: "CLIENT", 3: "CLIENT"}
    assert server.frames.queue.size == 1
    client: Any = TestRelayClient.subject.run().play(USING).endpoint
    assert {key: route.state.name for key, route in client.relays[SERVER.public].routes.items()} == {
        C.public: "REFUSED"
    }
    behind: Any = TestRelayClientBehindAProxy.subject.run().play(ASKING).endpoint
    assert behind.relays[SERVER.public].is_linked(B.public)
