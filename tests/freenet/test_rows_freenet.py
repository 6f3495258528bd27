"""What rows of Freenet's tables do that no vector shows: timers end, memory is given back, copies are counted."""

from __future__ import annotations

import pytest
from scripted_freenet import GATE, HERE, GatewayPeer, JoinerPeer, fragment, make_intro

from sansproto.freenet import FreenetLimits, Unreachable, Version
from sansproto.freenet import packets as p
from sansproto.freenet.crypto import open_intro
from sansproto.freenet.inbound import InboundState
from sansproto.freenet.sending import SendingState


def test_who_does_not_speak_to_our_version_is_forgotten() -> None:
    peer = JoinerPeer.live()
    gate = peer.called()
    gate.send_key = open_intro(GATE.secret, p.Intro.decode(gate.intros[0][1:])).key
    gate.say(p.AckConnection(p.Refusal("expected version 0.9.0")), number=0)
    assert not peer.places


def test_a_gateway_counts_joiners_whose_version_does_not_fit_also_those_that_are_not_told() -> None:
    peer = GatewayPeer.live(limits=FreenetLimits(error_rate=1.0))
    guest = peer.guest()
    for number in range(16):
        guest.give(make_intro(GATE, guest.key, f"misfit {number}", Version((0, 2, 63), (0, 2, 1))))
    assert peer.endpoint.stats.noted == {"a joiner was refused: its version does not fit": 16}
    assert peer.take() == []


def test_a_call_that_is_not_needed_any_more_keeps_nothing() -> None:
    peer = JoinerPeer.live()
    gate = peer.joined()
    gate.pong()
    peer.wait(18.0)
    call = peer.by_number[1].call.part
    assert call.attempts
    gate.text(b"sorry")
    assert (call.attempts, call.rounds) == ([], 0)


def test_an_intro_that_was_answered_late_may_be_that_of_whom_we_called() -> None:
    peer = JoinerPeer.live()
    gate, other = peer.joined(gateway=False), peer.guest(name="other")
    gate.pong()
    place = peer.by_number[1]
    place.acks = [peer.now] * 12
    assert other.ask() is None
    peer.wait(0.5)
    gate.pong()
    place.acks = []
    assert other.ask()
    other.ack()
    for _ in range(7):
        peer.wait(0.3)
        gate.pong()
    assert sorted(peer.sessions) == [1, 2]


def test_copies_of_an_intro_that_has_no_answer_keep_it() -> None:
    peer = GatewayPeer.live()
    first, second = peer.joined(), peer.guest(name="second")
    place = peer.by_number[1]
    for _ in range(18):
        place.acks = [peer.now] * 12
        assert second.ask() is None
        peer.wait(1.0)
        first.text(b"alive")
    assert len(place.candidates) == 1
    peer.wait(2.1)
    assert not place.candidates


def test_what_costs_nothing() -> None:
    """The intro of a session that is there, and junk where nobody else is."""
    peer = GatewayPeer.live(limits=FreenetLimits(open_rate=1.0))
    guest = peer.joined()
    drawn = peer.endpoint.spent.drawn
    guest.give(guest.intro)
    assert peer.endpoint.spent.drawn == drawn
    for _ in range(9):
        guest.give(b"\2" * 60)
    assert peer.stats.dropped == {"the intro of a session that is there": 1, "opens under no key": 9}


@pytest.mark.parametrize(
    "body",
    [p.Ping(1), p.NoOp(), p.ShortMessage(p.Message(b"text").encode()), fragment(1, b"x" * 10, 20)],
    ids=lambda body: type(body).__name__,
)
def test_whatever_opens_confirms_that_our_answer_was_heard(body: p.Body) -> None:
    """It is not repeated any more, and nobody is called anew."""
    peer = JoinerPeer.live()
    gate = peer.joined()
    gate.say(body)
    gate.take()
    peer.wait(8.5)
    assert not [one for one in gate.bodies() if isinstance(one, p.AckConnection)]
    assert len({*gate.intros}) == 1
    assert not [event for event in peer.take() if isinstance(event, Unreachable)]


def test_copies_are_counted() -> None:
    peer = GatewayPeer.live()
    guest = peer.joined()
    for _ in range(3):
        guest.text(b"once", number=5)
    assert peer.stats.noted == {"a second copy": 2}


def test_of_a_session_that_only_listens_nothing_is_kept() -> None:
    """The other end talks; ours has said something, long ago."""
    peer = GatewayPeer.live()
    guest = peer.joined()
    session = peer.by_number[1].generations[1]
    assert peer.endpoint.send(1, b"text", peer.now)
    peer.drain()
    guest.say(p.NoOp(), 1)
    assert (session.sending.state, session.sending.congestion is None) == (SendingState.RESTING, False)
    assert not session.sending.armed
    for _ in range(25):
        peer.wait(1.0)
        guest.text(b"more")
    assert session.sending.congestion is None
    peer.wait(0.06)
    assert session.opening == ()
    guest.say(p.Ping(1))  # its receipt is in the pong
    assert session.opening == ()


def test_a_stream_that_cannot_be_is_over_and_no_timer_runs_for_it() -> None:
    peer = GatewayPeer.live()
    guest = peer.joined()
    inbound = peer.by_number[1].generations[1].inbound
    guest.say(fragment(1, b"x" * 10, 20))
    assert (inbound.state, inbound.inbox.told) == (InboundState.OPEN, 20)
    guest.say(fragment(2, b"x" * 10, 21))  # another total
    assert (inbound.inbox.open, inbound.inbox.told, [*inbound.inbox.ended]) == ({}, 0, [5])
    assert peer.stats.noted == {"a stream ended before it was complete": 1}
    peer.wait(31.0)
    assert (inbound.state, bool(inbound.armed)) == (InboundState.EMPTY, False)


def test_who_is_called_no_longer_is_not_asked_because_of_a_report() -> None:
    """It was to be, bit by bit."""
    peer = JoinerPeer.live()
    gate = peer.joined()
    gate.take()
    peer.network_changed(peer.now)
    peer.disconnect(HERE, peer.now)
    peer.wait(1.0)
    assert gate.bodies() == []
    assert not peer.places
