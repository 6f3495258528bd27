"""Our client at toxcore's relay, and toxcore's clients at ours."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from toxcore_thread import MISSING, PATH, Toxcore, wait_for

from sansproto.contract import Address
from sansproto.tox import (
    RELAY_PORT,
    KeyPair,
    Linked,
    OobReceived,
    Relay,
    RelayClient,
    RelayClientDelays,
    RelayClientJoined,
    RelayClientLeft,
    RelayConnected,
    RelayedReceived,
    RelayLost,
    RelayServer,
    Routed,
    RouteRefused,
    Unlinked,
    crypto,
    payloads,
)
from sansproto.tox import packets as p
from sansproto.tox.nodes import encode_nodes
from sansproto_threads import run

pytestmark = [pytest.mark.interop, pytest.mark.skipif(not PATH, reason=MISSING)]

ALIVE, SHARE_RELAYS, ONLINE, KILL = b"\x10", b"\x11", b"\x18", b"\x02"


def entropy(n: int, *, purpose: str) -> bytes:
    return secrets.token_bytes(n)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Client:
    """A client of ours on a real socket."""

    def __init__(self, runner: Any, core: RelayClient) -> None:
        self.runner, self.core, self.key = runner, core, core.public_key

    def call(self, verb: str, *arguments: Any) -> Any:
        return self.runner.call(lambda now: getattr(self.core, verb)(*arguments, now))

    def told(self) -> Any:
        return self.runner.next_event(timeout=10.0)


@contextmanager
def client(relay: bytes, port: int, *, keys: KeyPair | None = None, **delays: float) -> Iterator[Client]:
    keys = keys or KeyPair.of(secrets.token_bytes(32))
    core = RelayClient(
        relay=Relay(relay, Address("127.0.0.1", port)),
        private_key=keys.secret,
        entropy=entropy,
        delays=RelayClientDelays(**delays),
    )
    with run(core) as runner:
        one = Client(runner, core)
        one.call("connect")
        assert one.told() == RelayConnected(relay)
        yield one


# -- toxcore's relay ---------------------------------------------------------------------------------------------------


@contextmanager
def their_relay() -> Iterator[tuple[bytes, int]]:
    port = free_port()
    with Toxcore(udp=True, tcp_port=port) as relay:
        yield relay.dht_key, port


@contextmanager
def two_of_ours() -> Iterator[tuple[Client, Client]]:
    with their_relay() as where, client(*where) as a, client(*where) as b:
        a.call("route", b.key)
        assert a.told() == Routed(b.key)
        b.call("route", a.key)
        assert [b.told(), b.told()] == [Routed(a.key), Linked(a.key)]
        assert a.told() == Linked(b.key)
        yield a, b


def test_two_clients_of_ours_are_linked_by_their_relay() -> None:
    with two_of_ours() as (a, b):
        for size in (1, 1400, 2031):
            assert a.call("send", b.key, bytes(size))
            assert b.told() == RelayedReceived(a.key, bytes(size))
        for size in (1, 1024):
            assert b.call("send_oob", a.key, bytes(size))
            assert a.told() == OobReceived(b.key, bytes(size))
        assert a.core.stats.dropped == b.core.stats.dropped == {}


def test_their_relay_keeps_us_whatever_we_give_back() -> None:
    with two_of_ours() as (a, b):
        for _ in range(3):
            a.call("unroute", b.key)
            a.call("route", b.key)
            assert [a.told(), a.told(), a.told()] == [Unlinked(b.key), Routed(b.key), Linked(b.key)]
            assert [b.told(), b.told()] == [Unlinked(a.key), Linked(a.key)]
        a.call("unroute", b.key)
        assert (a.told(), b.told()) == (Unlinked(b.key), Unlinked(a.key))
        others = [secrets.token_bytes(31) + b"\1" for _ in range(5)]
        for key in others:
            a.call("route", key)
            a.call("unroute", key)
        a.call("route", b.key)
        assert [a.told(), a.told()] == [Routed(b.key), Linked(b.key)]


def test_their_relay_has_240_ids_for_us() -> None:
    with their_relay() as where, client(*where) as a:
        keys = [secrets.token_bytes(31) + b"\1" for _ in range(240)]
        for key in keys[:239]:
            assert a.call("route", key)
        assert {a.told() for _ in range(239)} == {Routed(key) for key in keys[:239]}
        a.call("route", a.key)
        assert a.told() == RouteRefused(a.key)
        a.call("unroute", a.key)
        a.call("route", keys[239])
        assert a.told() == Routed(keys[239])
        assert not a.call("send", keys[0], b"nobody there")


def test_another_login_ends_the_first_one_at_their_relay() -> None:
    keys = KeyPair.of(secrets.token_bytes(32))
    with (
        their_relay() as where,
        client(*where, keys=keys, redial=60.0, redial_most=60.0) as first,
        client(*where, keys=keys) as second,
    ):
        assert isinstance(first.told(), RelayLost)
        second.call("send_oob", keys.public, b"who is it?")
        assert second.told() == OobReceived(keys.public, b"who is it?")


@pytest.mark.slow
def test_a_stream_to_their_relay_lasts() -> None:
    with two_of_ours() as (a, b):
        with pytest.raises(TimeoutError):
            a.runner.next_event(timeout=75.0)  # two pings of each side, and 10 seconds more
        assert a.call("send", b.key, b"still here")
        assert b.told() == RelayedReceived(a.key, b"still here")


# -- our relay ---------------------------------------------------------------------------------------------------------


class OurRelay:
    """A relay of ours on a real socket, and who came to it."""

    def __init__(self, runner: Any, core: RelayServer) -> None:
        self.runner, self.core = runner, core
        self.key, self.port = core.public_key, runner.addresses[RELAY_PORT].port

    def told(self) -> Any:
        return self.runner.next_event(timeout=20.0)

    def came(self) -> bytes:
        event = self.told()
        assert isinstance(event, RelayClientJoined)
        return event.key


@contextmanager
def our_relay(**arguments: Any) -> Iterator[OurRelay]:
    core = RelayServer(private_key=secrets.token_bytes(32), entropy=entropy, **arguments)
    with run(core, listen={RELAY_PORT: ("127.0.0.1", 0)}) as runner:
        yield OurRelay(runner, core)


class Impostor:
    """A friend of a toxcore, made of packets: it calls, by a relay, and says what a test says."""

    def __init__(self, wire: Client, real: KeyPair, dht: KeyPair, friend: Toxcore) -> None:
        self.wire, self.real, self.dht, self.friend = wire, real, dht, friend
        self.sent = self.nonce = 0

    def call(self) -> None:
        """Up to the first packet of the session."""
        shared, nonce = crypto.agree(self.dht.secret, self.friend.dht_key), secrets.token_bytes(24)
        body = p.CookieRequestBody(self.real.public, bytes(32), b"a number")
        request = p.CookieRequest(self.dht.public, nonce, crypto.seal_body(shared, nonce, body))
        self.wire.call("send_oob", self.friend.dht_key, p.EXCHANGE.encode(request))
        response = p.EXCHANGE.decode(self.next_packet())
        assert isinstance(response, p.CookieResponse)
        cookie = crypto.open_body(p.CookieResponseBody, shared, response).cookie
        session, base = KeyPair.of(secrets.token_bytes(32)), secrets.token_bytes(24)
        between = crypto.agree(self.real.secret, self.friend.real_key)
        ours = crypto.make_cookie(bytes(32), secrets.token_bytes(24), 0, self.friend.real_key, self.friend.dht_key)
        handshake = crypto.make_handshake(between, secrets.token_bytes(24), cookie, base, session.public, ours)
        self.wire.call("send_oob", self.friend.dht_key, p.EXCHANGE.encode(handshake))
        while not isinstance(answer := p.EXCHANGE.decode(self.next_packet()), p.Handshake):
            pass
        theirs = crypto.open_handshake(between, answer)
        self.key = crypto.agree(session.secret, theirs.session_key)
        self.nonce = int.from_bytes(base, "big")

    def next_packet(self) -> bytes:
        """By whichever way it comes."""
        while True:
            event = self.wire.told()
            if isinstance(event, OobReceived | RelayedReceived):
                return event.data

    def say(self, payload: bytes, *, is_lossless: bool = True) -> None:
        clear = payloads.write(0, self.sent, payload)
        self.sent += is_lossless
        packet = crypto.seal_data(self.key, (self.nonce % 2**192).to_bytes(24, "big"), clear)
        self.nonce += 1
        if not self.wire.call("send", self.friend.dht_key, packet):
            assert self.wire.call("send_oob", self.friend.dht_key, packet)


def test_their_client_uses_our_relay_and_is_linked_with_whom_it_talks_to() -> None:
    real, dht = KeyPair.of(secrets.token_bytes(32)), KeyPair.of(secrets.token_bytes(32))
    with our_relay() as relay, Toxcore() as theirs:
        theirs.add_relay(relay.port, relay.key)
        friend = theirs.add_friend(real.public)
        assert relay.came() == theirs.dht_key
        with client(relay.key, relay.port, keys=dht) as wire:
            assert relay.came() == dht.public
            wire.call("route", theirs.dht_key)
            assert wire.told() == Routed(theirs.dht_key)
            impostor = Impostor(wire, real, dht, theirs)
            impostor.call()
            wait_for(lambda: wire.core.relays[relay.key].is_linked(theirs.dht_key), "linked")
            for payload in (ONLINE, ALIVE, b"\x40hello, toxcore"):
                impostor.say(payload)
            wait_for(lambda: theirs.status(friend) == 1, "online by TCP")
            wait_for(lambda: theirs.messages == [b"hello, toxcore"], "the message")
        assert relay.told() == RelayClientLeft(dht.public, 2)
        assert set(relay.core.stats.dropped) <= {"for the onion", "unknown id", "nobody has this key", "not linked"}


def test_two_clients_of_theirs_talk_through_our_relay() -> None:
    """How they learn each other's DHT keys is the DHT's business: somebody tells one of them, in the other's name."""
    with our_relay() as relay, our_relay() as elsewhere, Toxcore() as a, Toxcore() as b:
        for one in (a, b):
            one.add_relay(relay.port, relay.key)
        a.add_relay(elsewhere.port, elsewhere.key)
        assert {relay.came(), relay.came()} == {a.dht_key, b.dht_key}
        assert elsewhere.came() == a.dht_key
        of_a, of_b = b.add_friend(a.real_key), a.add_friend(b.real_key)
        real, dht = KeyPair.of(b.real_secret), KeyPair.of(b.dht_secret())
        assert (real.public, dht.public) == (b.real_key, b.dht_key)
        with client(elsewhere.key, elsewhere.port, keys=dht) as wire:
            wire.call("route", a.dht_key)
            impostor = Impostor(wire, real, dht, a)
            impostor.call()
            impostor.say(ONLINE)
            impostor.say(SHARE_RELAYS + encode_nodes([Relay(relay.key, Address("127.0.0.1", relay.port))]))
            wait_for(lambda: a.status(of_b) == 1, "online, as it believes")
            impostor.say(KILL, is_lossless=False)
        wait_for(lambda: a.status(of_b) == b.status(of_a) == 1, "online", 30.0)
        for number in range(200):
            a.send(of_b, f"to b, {number}".encode())
            b.send(of_a, f"to a, {number}".encode())
        wait_for(lambda: len(a.messages) == len(b.messages) == 200, "all messages", 30.0)
        assert b.messages == [f"to b, {number}".encode() for number in range(200)]
        assert a.messages == [f"to a, {number}".encode() for number in range(200)]
        assert len(relay.core.clients) == 2
