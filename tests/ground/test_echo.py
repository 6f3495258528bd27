"""What an application of the echo protocol sees, at both ends of a network, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "howto"))

from echo import GUESTS, PROBES, EchoServer, GuestLeft, GuestSaid, Message, Prober, ServerAnswered

from sansproto import contract
from sansproto.bob import Relay
from sansproto.contract import Address, Phase
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.events import CloseCause, Closed
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, VirtualNetwork

HERE = Address("192.0.2.7", 4000)


def test_a_prober_gets_its_answer_through_losses_or_gives_up() -> None:
    net = VirtualNetwork(seed=1, default=Conditions(loss=0.5))
    server = EchoServer(entropy=ScriptedEntropy())
    host = net.host("10.0.0.1")
    host.run(server, sockets={PROBES: 7})
    prober = Prober(server=contract.Path(PROBES, "10.0.0.1", 7), entropy=ScriptedEntropy())
    node = net.host("10.0.0.2").run(prober, sockets={PROBES: 0})
    node.call(prober.probe)
    with pytest.raises(LocalProtocolError, match="asked already"):
        node.call(prober.probe)
    net.run_until(lambda: bool(node.events))
    assert (node.events, prober.phase) == ([ServerAnswered(0)], Phase.OPEN)
    host.black_hole = True
    node.call(prober.probe)
    sent, before = prober.stats.packets_sent, net.now
    net.run_until(lambda: len(node.events) > 1)
    assert node.events[1:] == [Closed(CloseCause.TIMEOUT)]
    assert (prober.stats.packets_sent - sent + 1, net.now - before) == (5, 0.5 * (1 + 2 + 4 + 8 + 16))
    with pytest.raises(NotOpen):
        node.call(prober.probe)


def test_what_is_too_long_is_refused_before_anything_changes() -> None:
    server = EchoServer(entropy=ScriptedEntropy())
    link = server.stream_accepted(GUESTS, HERE, 0.0)
    server.receive_data(link, Message(b"hi").encode(), 0.0)
    before = server.snapshot()
    with pytest.raises(LocalProtocolError, match="more than 200 bytes"):
        server.say(link, "\u00e4" * 101, 1.0)
    assert server.snapshot() == before


def test_a_server_that_closes_tells_that_its_guests_left() -> None:
    server = EchoServer(entropy=ScriptedEntropy())
    link = server.stream_accepted(GUESTS, HERE, 0.0)
    stranger = server.stream_accepted(GUESTS, HERE, 0.0)
    server.receive_data(link, b"".join(Message(text).encode() for text in (b"hi", b"\xff", b"hello")), 0.0)
    server.close(1.0)
    for each in (link, stranger):
        server.stream_lost(each, 2.0)
    events = list(iter(server.next_event, None))
    assert events == [GuestSaid(link, "hello"), GuestLeft(link), Closed(CloseCause.LOCAL)]
    assert server.stats.dropped == {"not text": 1}


def test_a_socket_is_nothing_to_count_but_for_an_endpoint_without_datagrams() -> None:
    prober = Prober(server=contract.Path(PROBES, "192.0.2.1", 7), entropy=ScriptedEntropy())
    relay = Relay()
    for each in (prober, relay):
        each.socket_bound(PROBES, HERE, 0.0)
        each.abort()
        each.socket_bound(PROBES, HERE, 0.0)
    assert (prober.stats.dropped, relay.stats.dropped) == ({"closed": 1}, {"unexpected report": 1, "closed": 1})
