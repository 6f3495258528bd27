"""What the scripts of Freenet's sessions do not reach: verbs that are refused, bounds, restored ends, ids."""

from __future__ import annotations

import itertools
import math

import pytest
from freenet_world import World, newest, say, texts, told
from hypothesis import given
from hypothesis import strategies as st
from scripted_freenet import GATE, HERE, JOIN, THERE, GatewayPeer, Guest, JoinerPeer, fragment, make_intro, of

from sansproto.contract import Path
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.events import Writable
from sansproto.freenet import (
    Connected,
    FreenetDelays,
    FreenetGateway,
    FreenetLimits,
    MessageReceived,
    PeerLost,
    Unreachable,
)
from sansproto.freenet import packets as p
from sansproto.freenet.streams import Inbox, Outbox
from sansproto.freenet.windows import Arrived, Sent
from sansproto.recovery.rtt import RoundTrip
from sansproto.testing.entropy import ScriptedEntropy


def test_what_a_peer_does_not_call() -> None:
    peer = JoinerPeer.live()
    for key in (bytes(32), b"short", peer.public_key):
        with pytest.raises(LocalProtocolError, match="not the key of a peer"):
            peer.connect(key, HERE, 0.0)
    assert peer.connect(GATE.public, HERE, 0.0)
    with pytest.raises(LocalProtocolError, match="called already"):
        peer.connect(GATE.public, HERE, 0.0)
    with pytest.raises(LocalProtocolError, match="more than 16777208 bytes"):
        peer.send(1, bytes((16 << 20) - 7), 0.0)
    peer.close(0.0)
    for call in (
        lambda: peer.connect(GATE.public, HERE, 0.0),
        lambda: peer.disconnect(HERE, 0.0),
        lambda: peer.expect(HERE, 0.0),
        lambda: peer.send(1, b"", 0.0),
        lambda: peer.end_session(1, 0.0),
    ):
        with pytest.raises(NotOpen):
            call()


def test_there_are_not_more_addresses_than_sessions_can_be() -> None:
    peer = JoinerPeer.live(limits=FreenetLimits(sessions=1))
    assert peer.connect(GATE.public, HERE, 0.0)
    assert not peer.connect(GATE.public, THERE, 0.0)
    assert peer.stats.refused == {"too many addresses": 1}


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        FreenetGateway(private_key=b"short", entropy=ScriptedEntropy())


def test_who_takes_no_events_is_not_told_of_each_round() -> None:
    peer = JoinerPeer.live(limits=FreenetLimits(events=1))
    peer.called()
    for _ in range(40):
        peer.endpoint.handle_timeout(peer.now)
        peer.now += 1.0
    found = [*iter(peer.endpoint.next_event, None)]
    assert found == [Unreachable(HERE)]


def test_limits_of_sessions_of_a_host_and_of_all() -> None:
    for limits in (FreenetLimits(sessions=2), FreenetLimits(sessions_of_host=2)):
        peer = GatewayPeer.live(limits=limits)
        for number in range(3):
            path = type(HERE)("udp", HERE.host, 4000 + number)
            Guest(peer, path, f"guest {number}").join()
        assert len(peer.sessions) == 2
        assert peer.stats.dropped == {"no place for another session": 1}
        peer.end_session(1, 0.0)
        guest = Guest(peer, path, "guest 2")
        guest.join()
        assert len(peer.sessions) == 2


def test_hosts_of_ipv4_within_ipv6_are_not_one() -> None:
    peer = GatewayPeer.live(limits=FreenetLimits(sessions_of_host=1))
    for number in range(2):
        Guest(peer, type(HERE)("udp", f"::ffff:192.0.2.{number}", 4000), f"guest {number}").join()
    assert [*peer.sessions] == [1, 2]


def test_an_end_that_is_restored_goes_on() -> None:
    """With sessions, candidates in their order, and calls."""
    peer = GatewayPeer.live()
    guest = peer.joined()
    others = [Guest(peer, type(HERE)("udp", "192.0.2.9", 9 - n), f"other {n}") for n in range(3)]
    for other in others:
        assert other.ask()
    arguments = {"private_key": GATE.secret, "entropy": ScriptedEntropy(seed=b"again")}
    other_one = FreenetGateway.restore(peer.endpoint.snapshot(), **arguments)
    assert other_one.offered == peer.offered
    assert [*other_one.offered] == [
        (place.where, one) for place in other_one.places.values() for one in place.candidates
    ]
    assert other_one.by_host == peer.by_host
    again = GatewayPeer(other_one)
    again.now = peer.now
    guest.peer = again
    again.parties[HERE].append(guest)
    guest.text(b"hello")
    assert [type(event) for event in again.take()][-1] is MessageReceived


def test_an_application_that_was_refused_is_told_when_to_go_on() -> None:
    """Once, and not before it has taken events itself."""
    peer = GatewayPeer.live(limits=FreenetLimits(outbox=2, unsent=2000, events=3))
    guest = peer.joined()
    end = peer.endpoint
    assert peer.endpoint.undelivered(1) == 0 == peer.endpoint.undelivered(9)
    peer.wait(0.1)
    peer.take()
    assert [end.send(1, b"one", peer.now), end.send(1, b"two", peer.now)] == [True, True]
    assert not end.send(1, b"three", peer.now)
    assert end.stats.refused == {"too much output waits": 1}
    assert end.undelivered(1) == 2
    assert peer.take() == [Writable()]
    assert end.send(1, bytes(1500), peer.now)
    assert not end.send(1, bytes(1500), peer.now)
    peer.drain()
    for number in range(3):
        end.receive_datagram(
            guest.seal(p.Clear(50 + number, (), p.ShortMessage(p.Message(b"m").encode()))), HERE, peer.now
        )
    end.limits = FreenetLimits(outbox=2, unsent=2000, events=100)
    end.receive_datagram(guest.seal(p.Clear(60, (1, 2, 3, 4, 5), p.NoOp())), HERE, peer.now)
    assert Writable() in peer.take()
    end.limits = FreenetLimits(outbox=2, unsent=2000, events=1)
    end._events.append(Writable())
    end.tell_room()
    assert peer.take() == [Writable(), Writable()]


def test_a_session_ends_with_its_nonces() -> None:
    peer = GatewayPeer.live()
    guest = peer.joined()
    peer.by_number[1].generations[1].nonces = (1 << 31) - 2
    guest.say(p.Ping(1))
    assert not [event for event in peer.take() if isinstance(event, PeerLost)]
    guest.say(p.Ping(2))
    assert [event for event in peer.take() if isinstance(event, PeerLost)] == [PeerLost(HERE, 1)]


def test_pings_for_silence_wait_for_what_an_address_shares() -> None:
    peer = GatewayPeer.live()
    first, second = peer.joined(), peer.guest(name="second")
    second.join()
    for _ in range(3):
        peer.wait(0.3)
        first.pong()
    place = peer.by_number[1]
    place.asked = [peer.now] * 20
    second.take()
    peer.wait(5.5)
    first.pong()
    peer.wait(2.6)
    assert second.bodies() == []
    assert place.generations[2].may_be_asked is False


def test_a_peer_that_is_called_no_longer_may_be_silent() -> None:
    """Its session goes on without a call: nobody is called anew for it."""
    peer = JoinerPeer.live()
    gate = peer.joined()
    gate.pong()
    place = peer.by_number[1]
    place.call.end()
    peer.wait(12.0)
    assert place.generations[1].is_silent
    gate.text(b"there")
    assert not place.generations[1].is_silent


def test_a_copy_of_a_fragment_and_numbers_with_gaps() -> None:
    inbox, bounds = Inbox(), FreenetLimits()
    for piece in (fragment(1, b"abc", 6), fragment(1, b"abc", 6)):
        assert inbox.fits(piece, bounds)
        assert inbox.put(piece, 0.0) is None
    assert not inbox.fits(fragment(1, b"abd", 6), bounds)
    assert not inbox.fits(fragment(2, b"", 6), bounds)
    assert not inbox.fits(fragment(2, b"defg", 6), bounds)
    assert not inbox.fits(fragment(0, b"def", 6), bounds)
    assert not inbox.fits(fragment(3, b"def", 6), bounds)
    wide = [fragment(1, b"a" * 1130, 2260, stream=6), fragment(3, b"b" * 1130, 2260, stream=6)]
    assert inbox.fits(wide[0], bounds)
    assert inbox.put(wide[0], 0.0) is None
    assert not inbox.fits(wide[1], bounds)  # nothing could come that fills the gap
    (whole,) = [inbox.put(fragment(2, b"def", 6), 0.0)]
    assert whole is not None
    assert (whole.data, inbox.told, [*inbox.open], inbox.held) == (b"abcdef", 2260, [6], 1130 + 128)
    inbox.end(6)
    assert (inbox.told, inbox.held) == (0, 0)
    for number in range(300):
        inbox.end(number)
    assert len(inbox.ended) == 256


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(0, (1 << 33)))
def test_each_id_is_new_once(numbers: list[int], begin: int) -> None:
    """Whatever their order, also around where they wrap."""
    arrived, seen = Arrived(end=begin), set[int]()
    for number in numbers:
        wire = (begin + number) & 0xFFFF_FFFF
        assert arrived.is_new(wire) is (number not in seen)
        if arrived.is_new(wire):
            arrived.mark(wire, 0.0, 180.0)
        seen.add(number)
    assert arrived.is_new((begin - 1) & 0xFFFF_FFFF) is False
    assert len(arrived.gaps) <= 21


def test_gaps_are_given_up_in_the_end() -> None:
    arrived = Arrived()
    arrived.mark(5, 0.0, 180.0)
    arrived.mark(7, 100.0, 180.0)
    assert (arrived.is_new(4), arrived.is_new(6)) == (True, True)
    arrived.mark(8, 190.0, 180.0)
    assert (arrived.is_new(4), arrived.is_new(6)) == (False, True)
    for number in range(1100):
        arrived.mark(10 + 2 * number, 200.0, 180.0)
    assert len(arrived.gaps) == 1024
    assert not arrived.is_new(6)


def test_what_is_missing_and_what_is_only_late() -> None:
    sent, rtt = Sent(), RoundTrip()
    rtt.begin(0.1)
    for number in range(5):
        sent.add(sent.next_id(), b"%d" % number, 1, number * 0.1)
    assert sent.acknowledge([99], 0.5, rtt) is None
    heard = sent.acknowledge([4, 4, 99], 0.5, rtt)
    assert heard is not None
    assert (heard.arrived, heard.missing, round(heard.round_trip or 0, 3)) == (1, 3, 0.2)
    assert (sent.waiting, [*sent.flights], [*sent.again]) == (4, [5], [1, 2, 3])
    assert sent.next_again(0.6).datagram == b"0"
    assert ([*sent.flights], sent.repeated.keys(), sent.on_their_way) == ([5], {2}, 2)
    heard = sent.acknowledge([5, 2], 0.7, rtt)
    assert heard is not None
    assert (heard.missing, [*sent.again]) == (0, [3])
    heard = sent.acknowledge([1], 0.75, rtt)
    assert heard is not None
    assert heard.round_trip is None  # it was sent twice
    assert sent.next_again(0.8).datagram == b"2"
    before = sent.due(rtt)
    assert sent.look(rtt) == 1
    assert sent.next_again(1.0).datagram == b"2"
    assert sent.due(rtt) - 1.0 > before - 0.8


def test_messages_are_known_until_all_of_them_arrived() -> None:
    outbox = Outbox()
    for size in (1098, 1099, 0):
        outbox.add(bytes(size))
    numbers = [outbox.next() for _ in range(3)]
    assert [(number, type(body)) for number, body in numbers] == [
        (1, p.ShortMessage),
        (2, p.StreamFragment),
        (3, p.ShortMessage),
    ]
    assert outbox.messages() == (bytes(1098), bytes(1099), b"")
    outbox.note_arrived([2, 1])
    assert (outbox.messages(), outbox.size, outbox.queue) == ((b"",), 64, [])


def test_a_message_of_any_size_comes_through_both_ways() -> None:
    world = World(loss=0.15)
    gate, joiner = world.pair()
    for size in (0, 1, 1097, 1098, 1099, 1122, 1123, 2252, 100_000):
        data = bytes(number * 7 + number // 256 & 255 for number in range(size))
        assert say(joiner, data)
        assert say(gate, data, newest(gate))
        world.until(lambda data=data: texts(gate)[-1:] == [data] and texts(joiner)[-1:] == [data])  # type: ignore[misc]
    assert len(texts(gate)) == len(texts(joiner)) == 9


@pytest.mark.parametrize("loss", [0.0, 0.15])
def test_idle_links_are_quiet(loss: float) -> None:
    world = World(loss=loss)
    gate, joiner = world.pair()
    world.net.run(20)
    before = sum(end.endpoint.stats.packets_sent for end in (gate, joiner))
    world.net.run(600)
    sent = sum(end.endpoint.stats.packets_sent for end in (gate, joiner)) - before
    assert sent / 600 <= (0.45 if not loss else 0.65)
    assert [*gate.endpoint.sessions] == [1] == [*joiner.endpoint.sessions]


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_peers_that_call_each_other_have_one_session(loss: float) -> None:
    proven = 0
    for seed in range(8):
        world = World(seed, latency=0.02, jitter=0.01, loss=loss)
        a, b = world.peer("10.0.0.1", GATE), world.peer("10.0.0.2", JOIN)
        world.join(a, b, JOIN, gateway=False)
        world.net.run(0.05 * (seed % 2))
        world.join(b, a, GATE, gateway=False)
        world.net.run(20)
        assert say(a, b"from a")
        assert say(b, b"from b")
        world.net.run(5)
        assert (texts(a), texts(b)) == ([b"from b"], [b"from a"])
        assert [len(end.endpoint.sessions) for end in (a, b)] == [1, 1]
        proven += sum(one.proven is not None for end in (a, b) for one in told(end, Connected))
    assert proven == 16 or loss


def test_memory_of_an_idle_session_is_small() -> None:
    world = World()
    gate, joiner = world.pair()
    assert say(joiner, bytes(200_000))
    world.net.run(60)
    (place,) = joiner.endpoint.places.values()
    sending = place.generations[1].sending
    assert (sending.congestion, sending.sent.flights, sending.messages.all) == (None, {}, {})
    assert texts(gate) == [bytes(200_000)]


def test_delays_and_intros_of_others() -> None:
    with pytest.raises(ValueError, match="repeat"):
        FreenetDelays(repeat=0.0)
    assert make_intro(GATE, of("a", 16), "a") != make_intro(GATE, of("a", 16), "b")


@pytest.mark.parametrize("limits", [FreenetLimits(sessions=1), FreenetLimits(sessions_of_host=1)])
def test_who_restarts_gets_the_place_of_its_old_session_where_there_is_no_other_one(limits: FreenetLimits) -> None:
    world = World()
    gate, joiner = world.pair(limits=limits)
    world.net.run(3)
    world.restart(joiner, gate)
    assert world.until(lambda: newest(gate) == 2) <= 2.0
    assert [(event.generation, event.replaced) for event in told(gate, PeerLost)] == [(1, True)]
    assert [*gate.endpoint.sessions] == [2]
    world.until(lambda: say(joiner, b"back") and texts(gate) == [b"back"])


def test_nothing_is_sent_with_a_nonce_that_was_used() -> None:
    """Also if one call sends many packets where few nonces are left."""
    peer = GatewayPeer.live()
    peer.joined()
    session = peer.by_number[1].generations[1]
    session.nonces = (1 << 31) - 6
    assert peer.endpoint.send(1, bytes(100_000), peer.now)
    assert [event for event in peer.take() if isinstance(event, PeerLost)] == [
        PeerLost(HERE, 1, undelivered=(bytes(100_000),))
    ]
    assert (1 << 31) < session.nonces < 1 << 32


def test_a_message_has_a_receipt_only_if_it_can_be_handed_up() -> None:
    """Of many streams with losses some wait until there is room: nobody believes that they arrived, and they do."""
    world = World(latency=0.2, loss=0.2)
    gate, joiner = world.pair(limits=FreenetLimits(streams=6))
    texts_sent = [b"%03d" % number + bytes(1200) for number in range(200)]
    for text in texts_sent:
        assert say(joiner, text)
    world.until(lambda: not joiner.endpoint.undelivered(1), within=600.0)
    assert sorted(texts(gate)) == texts_sent
    assert gate.endpoint.stats.dropped["no room for another stream"]


def test_the_largest_message_is_taken_by_the_other_end() -> None:
    outbox, inbox, limits = Outbox(), Inbox(), FreenetLimits()
    outbox.add(bytes(limits.message))
    _, first = outbox.next()
    assert isinstance(first, p.StreamFragment)
    assert inbox.has_room(first, limits)
    assert inbox.fits(first, limits)
    assert inbox.put(first, 0.0) is None
    _, second = outbox.next()
    assert isinstance(second, p.StreamFragment)
    assert inbox.fits(second, limits)


def test_reports_of_the_host_ask_only_who_was_called_and_nobody_after_the_end() -> None:
    peer = JoinerPeer.live()
    peer.expect(HERE, peer.now)
    guest = peer.guest()
    guest.join()
    peer.wait(1.0)
    guest.take()
    peer.network_changed(peer.now)
    peer.wait(1.0)
    assert guest.bodies() == []
    gate = Guest(peer, THERE, "gate", JOIN)
    peer.connect(GATE.public, THERE, peer.now, gateway=True)
    peer.drain()
    gate.answer()
    peer.wait(12.0)
    assert peer.by_number[2].generations[2].is_silent
    gate.take()
    peer.network_changed(peer.now)  # it is called already, and asked no more
    peer.tick()
    assert gate.bodies() == []
    peer.close(peer.now)
    peer.network_changed(peer.now)
    assert peer.stats.dropped["closed"] == 1


def test_while_as_many_packets_wait_as_may_it_is_only_looked_for_receipts() -> None:
    peer = GatewayPeer.live(limits=FreenetLimits(window=4))
    guest = peer.joined()
    for number in range(10):
        assert peer.endpoint.send(1, b"%d" % number, peer.now)
    sending = peer.by_number[1].generations[1].sending
    assert (len(sending.sent.flights), len(sending.messages.queue)) == (4, 6)
    assert sending.until_due() == pytest.approx(sending.sent.due(sending.session.rtt) - peer.now)
    peer.drain()
    assert len([body for body in guest.bodies() if isinstance(body, p.ShortMessage)]) == 4


def test_what_never_has_a_receipt_is_sent_ever_more_slowly_and_ends_the_session() -> None:
    """Although everything else has its receipts, and the other end is alive."""
    peer = GatewayPeer.live()
    guest = peer.joined()
    assert peer.endpoint.send(1, b"never", peer.now)
    peer.drain()
    sent, ended = [peer.now], 0.0
    while not ended:
        if round(peer.now * 10) % 10 == 0 and peer.sessions:
            peer.endpoint.send(1, b"other", peer.now)
        peer.wait(0.1)
        for packet in guest.take():
            if isinstance(packet.body, p.ShortMessage) and packet.packet_id == 1:
                sent.append(peer.now)
            elif packet.packet_id:
                guest.say(p.NoOp(), packet.packet_id)
        ended = peer.now if PeerLost(HERE, 1, undelivered=(b"never",)) in peer.take() else 0.0
    pauses = [late - early for early, late in itertools.pairwise(sent)]
    assert sum(at < 30 for at in sent) <= 10
    assert max(pauses) <= 10.5
    assert all(late >= 0.9 * early for early, late in itertools.pairwise(pauses[2:]))
    assert 120 <= ended <= 131


def test_a_packet_that_had_to_wait_for_long_ends_nothing() -> None:
    """It was not sent often: others at the address had to be asked, say."""
    peer = GatewayPeer.live()
    guest = peer.joined()
    assert peer.endpoint.send(1, b"waits", peer.now)
    (flight,) = peer.by_number[1].generations[1].sending.sent.flights.values()
    flight.first -= 200.0
    peer.wait(5.0)
    assert flight.times >= 3
    assert [*peer.sessions] == [1]
    guest.say(p.NoOp(), 1)
    assert not peer.endpoint.undelivered(1)


def test_each_pause_is_twice_as_long_whatever_else_arrives() -> None:
    sent, rtt = Sent(), RoundTrip()
    rtt.begin(0.1)
    sent.add(sent.next_id(), b"0", 1, 0.0)
    times = [sent.due(rtt)]
    for _ in range(12):
        assert sent.look(rtt) == 1
        flight = sent.next_again(times[-1])
        sent.tries = 0  # others have their receipts
        times.append(sent.due(rtt))
    assert flight.times == 13
    assert [round(late - early, 1) for early, late in itertools.pairwise(times)][-3:] == [10.0] * 3
    assert sent.acknowledge([1], 99.0, rtt) is not None
    assert (sent.waiting, sent.due(rtt), sent.repeated) == (0, math.inf, {})


def test_what_is_tried_costs_as_many_as_there_are_keys() -> None:
    peer = GatewayPeer.live(limits=FreenetLimits(open_rate=100.0))
    for number in range(9):
        assert Guest(peer, HERE, f"guest {number}").ask()
    peer.wait(1.0)
    guest = peer.guest()
    for _ in range(12):
        guest.give(b"\2" * 60)
    assert peer.stats.dropped == {"opens under no key": 12}
    for _ in range(12):
        guest.give(b"\2" * 60)
    assert peer.stats.dropped == {"opens under no key": 12, "too many packets to try": 12}


def test_who_waited_for_its_answer_has_time_to_use_it() -> None:
    """Of too many intros at an address, those go first that were not answered, or long ago."""
    peer = GatewayPeer.live(limits=FreenetLimits(candidates_of_address=2))
    first = peer.joined()
    place = peer.by_number[1]
    second, third, fourth = (peer.guest(name=name) for name in ("second", "third", "fourth"))
    place.acks = [peer.now] * 12
    for guest in (second, third):
        assert guest.ask() is None
        peer.wait(0.3)
        first.pong()
    place.acks = []
    assert second.ask()
    assert fourth.ask()
    assert [*place.candidates] == [second.intro, fourth.intro]
    assert [intro for _, intro in peer.offered] == [second.intro, fourth.intro]
    peer.take()
    second.ack()
    assert [type(event) for event in peer.take()] == [Connected]


def test_who_confirms_nothing_is_called_anew() -> None:
    """Its gateway has forgotten it, or was never there."""
    peer = JoinerPeer.live()
    gate = peer.joined()
    peer.wait(7.9)
    assert len({*gate.intros}) == 1
    peer.wait(0.2)
    assert len({*gate.intros}) == 2
    gate.text(b"here")
    peer.take()
    sent = len(gate.intros)
    peer.wait(1.0)
    assert len(gate.intros) == sent


def test_a_key_is_shown_in_hexadecimal_and_one_that_is_absent_as_none() -> None:
    path = Path("udp", "192.0.2.1", 1)
    assert "proven=0102," in repr(Connected(path, 1, proven=b"\x01\x02"))
    assert "proven=None," in repr(Connected(path, 1))
