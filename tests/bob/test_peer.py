"""What a client and a server do with many exchanges at once, with a random source that is broken, and at their end."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from scripted_bob import BASE_POINT, HOST, ME, OTHER, ClientPeer, MemberPeer, ServerPeer

from sansproto.bob import (
    RELAY_PORT,
    SECURE_PORT,
    Client,
    Connected,
    Failure,
    PeerAgreed,
    PeerLimits,
    Relay,
    Server,
    Violation,
)
from sansproto.bob import packets as p
from sansproto.bob.way import PeerState
from sansproto.contract import Entropy, PauseReading, ResumeReading
from sansproto.events import CloseCause, Closed, Writable
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, VirtualNetwork

PUBLIC = p.PublicParameters(1, 1, p.Cipher.AES_256_GCM, p.Cipher.AES_256_GCM, bytes(16))


def of_size(size: int, wrong: str) -> Entropy:
    """A random source that gives so many bytes for one purpose."""
    return lambda n, *, purpose: b"r" * (size if purpose == wrong else n)


def test_those_who_wait_for_their_turn_are_no_more_than_the_guesses_that_are_left() -> None:
    """However many ask at once, so that none of them has guessed yet when the last one comes."""
    limits = PeerLimits(guesses=40)
    at = ServerPeer.live(limits=limits)
    at.register()
    for uid in range(1, 200):
        at.get(uid, p.XAndClientIdentity(BASE_POINT, f"10.0.0.{uid}:1"))
    at.get(p.RELAY, p.PeerClosed(40))  # the last who waits; its place is free again
    at.get(200, x := p.XAndClientIdentity(BASE_POINT, OTHER))
    at.get(201, x)
    at.wait(5.0)
    assert at.whom(p.YAndServerValidator) == [*range(1, 40), 200]
    at.get(202, x)
    at.wait(0.01)
    assert len(at.whom(p.YAndServerValidator)) == limits.guesses
    assert at.endpoint.ending == Closed(CloseCause.LIMIT, Violation.TOO_MANY_GUESSES)


@pytest.mark.parametrize("kind", [ClientPeer, ServerPeer])
def test_a_bad_point_is_a_guess(kind: type[ClientPeer] | type[ServerPeer]) -> None:
    """A guess, and a point of small order: how long that takes to refuse says whether it was right."""
    at = kind.live(limits=PeerLimits(guesses_of_one=2, guesses=5))
    at.register()
    for uid in (1, 1, 1, 2, 2, 2, 3):
        if kind is ClientPeer:
            at.get(p.RELAY, p.NewServer(uid, PUBLIC.encode(), OTHER))
            at.wait(0.01)
            at.get(uid, p.YAndServerValidator(bytes(32), bytes(64)))
        else:
            at.get(uid, p.XAndClientIdentity(bytes(32), OTHER))
        at.wait(0.01)
    assert at.whom(p.SpokeFailure) == [1, 1, 2, 2, 3]
    assert {packet for _, packet in at.all(p.SpokeFailure)} == {p.SpokeFailure(p.SpokeFault.POINT)}
    if kind is ServerPeer:
        at.get(4, p.XAndClientIdentity(BASE_POINT, OTHER))
        at.wait(0.01)
        assert not at.whom(p.YAndServerValidator)
    assert at.endpoint.ending == Closed(CloseCause.LIMIT, Violation.TOO_MANY_GUESSES)


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_salt_of_another_size_is_refused_where_it_is_drawn(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes for salt"):
        ServerPeer.live(entropy=of_size(size, "salt")).register()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_scalar_of_another_size_is_refused_where_it_is_drawn(size: int) -> None:
    server = ServerPeer.live(entropy=of_size(size, "offer.0002.y"))
    server.register()
    with pytest.raises(ValueError, match=f"{size} bytes for offer"):
        server.get(2, p.XAndClientIdentity(BASE_POINT, OTHER))
    client = ClientPeer.live(entropy=of_size(size, "offer.0001.x"))
    client.register()
    client.get(p.RELAY, p.NewServer(1, PUBLIC.encode(), OTHER))
    with pytest.raises(ValueError, match=f"{size} bytes for offer"):
        client.wait(0.01)


@pytest.mark.parametrize("kind", [ClientPeer, ServerPeer])
def test_a_loss_says_which_connection_it_was(kind: type[ClientPeer] | type[ServerPeer]) -> None:
    """However it was lost: a client or server may have been on its way from one to the other."""
    for lose in ("stream_lost", "receive_eof", "transport_lost"):
        for there, violation in ((False, Violation.RELAY_LOST), (True, Violation.ROOM_LOST)):
            peer = kind.recorded()
            peer.talk(answer=b"") if there else peer.register()
            peer.drain()
            getattr(peer, lose)(*(() if lose == "transport_lost" else (peer.link,)), peer.now)
            peer.end()
            ending = peer._endpoint.ending
            assert (ending.cause, ending.violation) == (CloseCause.LOST, violation)


def test_what_is_read_behind_the_end_of_a_channel_is_nothing_to_wonder_about() -> None:
    """No packet was dropped when an event was popped."""
    peer = ClientPeer.recorded()
    peer.talk()
    data = b"".join(peer.other_sends.seal(number, b"data") for number in range(9))
    peer.receive_data(peer.link, data + p.CLOSE, peer.now)
    peer.drain()
    assert peer.stats.dropped == {}


def test_what_nobody_reads_pauses_the_connection() -> None:
    """Until it is read: a channel holds what a sender may have on its way, and no more."""
    peer = ClientPeer.recorded()
    peer.talk()
    peer.drain()
    client: Any = peer._endpoint
    data = b"".join(peer.other_sends.seal(number, bytes(32_767)) for number in range(40))
    client.receive_data(peer.link, data, peer.now)
    assert PauseReading(peer.link) in iter(client.next_transmit, None)
    assert sum(len(event.data) for event in iter(client.next_event, None)) == 40 * 32_767
    assert ResumeReading(peer.link) in iter(client.next_transmit, None)


def test_who_loses_the_race_for_a_server_is_told_at_once_and_waits_for_another_one() -> None:
    net = VirtualNetwork(seed=1, default=Conditions(latency=0.02))
    net.host(HOST).run(Relay(), listen={RELAY_PORT: 9000, SECURE_PORT: 9001})
    ends = []
    for number, role in enumerate((Server, Client, Client)):
        end = net.host(f"192.0.2.{10 + number}").run(
            role(entropy=ScriptedEntropy(seed=b"%d" % number), **MemberPeer.arguments)
        )
        end.call(end.endpoint.connect)
        ends.append(end)
    _, first, second = ends
    net.run(3.0)
    for client in (first, second):
        (uid,) = [event.uid for event in client.events if isinstance(event, PeerAgreed)]
        client.call(partial(client.endpoint.accept, uid))
    net.run(0.5)
    assert [isinstance(end.events[-1], Connected) for end in ends] == [True, True, False]
    failed = second.events[-1]
    assert (failed.failure, second.endpoint.way.state) == (Failure.GONE, PeerState.WAITING)


def test_what_the_transport_has_not_taken_is_unsent() -> None:
    peer = ServerPeer.live()
    assert peer.endpoint.unsent == 0
    peer.talk()
    peer.stream_blocked(peer.link, peer.now)
    assert peer.send(bytes(1000), peer.now) == 1000
    assert peer.endpoint.unsent == 1018
    peer.stream_unblocked(peer.link, peer.now)
    peer.drain()
    assert peer.endpoint.unsent == 0


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_client_that_does_not_come_to_the_room_ends_a_server_or_does_not(comes_back: bool) -> None:
    peer = ServerPeer.live(comes_back=comes_back)
    peer.talk(answer=b"")
    peer.wait(peer.endpoint.delays.lobby + 1.0)
    if not comes_back:
        assert peer.endpoint.ending.cause is CloseCause.TIMEOUT
        return
    assert peer.endpoint.state is PeerState.CONNECTING
    peer.open()
    peer.get(p.RELAY, p.ServerIdentity(ME))
    peer.meet()
    peer.open()
    peer.receive_data(peer.link, b"00", peer.now)
    assert peer.endpoint.state is PeerState.TALKING


def test_the_link_to_a_room_that_came_to_nothing_gets_none_of_what_is_sent_in_the_next_one() -> None:
    """It may close slowly: the transport has not taken the line that was meant for it."""
    peer = ServerPeer.live(comes_back=True)
    peer.talk(answer=b"")
    slow = peer.link
    peer.stream_blocked(slow, peer.now)
    peer.wait(peer.endpoint.delays.lobby + 1.0)
    peer.open()
    peer.get(p.RELAY, p.ServerIdentity(ME))
    peer.meet()
    peer.open()
    peer.receive_data(peer.link, b"00", peer.now)
    assert peer.endpoint.state is PeerState.TALKING
    peer.drain()
    peer.written.clear()
    peer.stream_blocked(peer.link, peer.now)
    peer.send(b"for the second one", peer.now)
    peer.stream_unblocked(slow, peer.now)
    peer.drain()
    peer.stream_unblocked(peer.link, peer.now)
    peer.drain()
    assert {link: len(data) for link, data in peer.written.items()} == {peer.link: 2 + 18 + 16}


@pytest.mark.parametrize("kind", [ClientPeer, ServerPeer])
def test_there_are_only_so_many_exchanges_at_once(kind: Any) -> None:
    """However many peers a relay tells of."""
    peer = kind.live(limits=PeerLimits(exchanges=2))
    peer.register()
    for uid in range(2, 6):
        peer.announce(uid) if kind is ClientPeer else peer.ask(uid)
    assert list(peer.endpoint.exchanges) == [2, 3]
    assert peer.stats.dropped == {"too many exchanges": 2}


def test_no_more_is_sealed_than_the_send_buffer_holds() -> None:
    peer = ServerPeer.live(limits=PeerLimits(send_buffer=50_000))
    peer.talk()
    peer.stream_blocked(peer.link, peer.now)
    assert peer.endpoint.capacity == 50_000
    assert peer.send(bytes(1_000_000), peer.now) == 2 * 32_767  # whole records, until they are as much
    assert (peer.endpoint.capacity, peer.send(b"more", peer.now)) == (0, 0)
    peer.stream_unblocked(peer.link, peer.now)
    peer.drain()
    assert peer.endpoint.capacity == 50_000
    assert Writable() in peer.events
