"""Messages of many packets: while an end restarts, and where ids begin anew."""

from __future__ import annotations

import pytest
from freenet_world import World, newest, say, texts, told
from scripted_freenet import JOIN, OTHER, GatewayPeer, fragment

from sansproto.freenet import Confirmed, Connected, MessageReceived, PeerLost
from sansproto.freenet import packets as p

pytestmark = pytest.mark.unmeasured

LARGE = bytes(number * 7 + number // 256 & 255 for number in range(300_000))


@pytest.mark.parametrize("loss", [0.0, 0.15])
@pytest.mark.parametrize("sender", ["gate", "joiner"])
def test_a_stream_of_who_is_gone_is_told_whole_and_comes_whole_in_the_next_session(sender: str, loss: float) -> None:
    """In the middle of it the other end restarts: nothing of it is handed up, nothing mixed with its successor."""
    world = World(latency=0.05, loss=loss)
    gate, joiner = world.pair()
    world.net.run(2.0)
    here, there = (gate, joiner) if sender == "gate" else (joiner, gate)
    assert say(here, LARGE)
    world.net.run(0.25)
    if sender == "gate":
        world.restart(joiner, gate, OTHER)
    else:
        gate.restart(world.new_gateway(), silent=True)
    world.until(lambda: bool(told(here, PeerLost)) and len(told(here, Connected)) == 2)
    assert [one.undelivered for one in told(here, PeerLost)] == [(LARGE,)]
    assert texts(there) == []
    assert say(here, LARGE[::-1], newest(here))
    world.until(lambda: bool(there.endpoint.sessions))
    assert say(there, LARGE, newest(there))
    world.until(lambda: texts(there) == [LARGE[::-1]] and texts(here) == [LARGE])
    (place,) = there.endpoint.places.values()
    assert [one.inbound.inbox.told for one in place.generations.values()] == [0]


def test_a_stream_goes_on_behind_an_outage() -> None:
    world = World(latency=0.05)
    gate, joiner = world.pair()
    assert say(gate, LARGE, 1)
    world.net.run(0.2)
    world.net.partition("10.0.0.1", "10.0.0.2")
    world.net.run(8.0)  # the joiner has not given it up yet
    world.net.heal("10.0.0.1", "10.0.0.2")
    world.until(lambda: texts(joiner) == [LARGE], within=20)
    assert len(told(joiner, Confirmed)) == 1


def test_streams_both_ways_while_the_joiner_restarts_again_and_again() -> None:
    world = World(3, latency=0.05, loss=0.1)
    gate, joiner = world.pair()
    for number in range(6):
        assert say(gate, LARGE + bytes([number]), newest(gate))
        assert say(joiner, bytes([number]) + LARGE, newest(joiner))
        world.net.run(0.4)
        world.restart(joiner, gate, (OTHER, JOIN)[number % 2])
        joiner.events.clear()
        world.until(lambda: bool(told(joiner, Confirmed)), within=20)
    assert say(joiner, LARGE)
    world.until(lambda: LARGE in texts(gate))
    heard = texts(gate)
    assert len(heard) == len({*heard}) < 7
    world.until(lambda: len(gate.endpoint.sessions) == 1, within=20)


def test_ids_begin_anew() -> None:
    """Messages and a stream across the end of 32 bits: each once, with receipts as they are on the wire."""
    peer = GatewayPeer.live()
    guest = peer.joined()
    session = peer.by_number[1].generations[1]
    guest.number = session.receipts.arrived.end = (1 << 32) - 3
    peer.take()
    whole = p.Message(b"a" * 3000).encode()
    for number in range(3):
        piece = whole[number * p.FRAGMENT_SIZE : (number + 1) * p.FRAGMENT_SIZE]
        guest.say(fragment(number + 1, piece, len(whole)), number=guest.number + number & 0xFFFF_FFFF)
    for number in (3, 1, 2, 3):
        guest.text(b"%d" % number, number=guest.number + 10 + number & 0xFFFF_FFFF)
    guest.text(b"late", number=(1 << 32) - 1)  # the stream's last one had it
    peer.wait(0.2)
    heard = [event.data for event in peer.take() if isinstance(event, MessageReceived)]
    assert heard == [b"a" * 3000, b"3", b"1", b"2"]
    assert {*guest.receipts()} == {(1 << 32) - 3, (1 << 32) - 2, (1 << 32) - 1, 8, 9, 10}
    assert session.receipts.arrived.end == (1 << 32) + 11
