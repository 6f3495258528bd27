"""The conversations of ``vectors/freenet/sessions.json``: one party, one script each, recorded from our own machines.

They hit every row and step. ``make vectors`` writes the file again; the same code gives the same file, byte by byte.
All delays and limits stand in each ``config``: times in milliseconds.
"""

from __future__ import annotations

from recording import Scenarios
from scripted import ScriptedPeer
from scripted_freenet import (
    GATE,
    HERE,
    OLD,
    THERE,
    GatewayPeer,
    Guest,
    JoinerPeer,
    fragment,
    make_intro,
    of,
)

from sansproto.contract import Path
from sansproto.events import Writable
from sansproto.freenet import (
    Confirmed,
    Connected,
    MessageReceived,
    PathConflict,
    PeerLost,
    Refused,
    StreamReceived,
    Unreachable,
    Version,
)
from sansproto.freenet import packets as p
from sansproto.freenet.crypto import Cipher, open_intro

scenario = Scenarios("freenet/sessions.json")

# -- a gateway ---------------------------------------------------------------------------------------------------------


@scenario
def a_joiner_is_let_in_and_talks() -> ScriptedPeer:
    peer = GatewayPeer.recorded()
    guest = peer.guest()
    assert isinstance(guest.ask(), p.AckConnectionV2)
    assert peer.take() == []
    guest.ack()
    (connected,) = peer.take()
    assert isinstance(connected, Connected)
    assert (connected.path, connected.generation, connected.proven, connected.confirmed) == (HERE, 1, None, True)
    guest.text(b"hello")
    assert peer.take() == [MessageReceived(HERE, b"hello", generation=1)]
    assert peer.send(1, b"welcome", peer.now)
    (packet,) = guest.take()
    assert (packet.packet_id, packet.acked, packet.body.payload[8:]) == (1, (1,), b"welcome")
    guest.say(p.NoOp(), 1)
    peer.wait(0.05)
    (packet,) = guest.take()
    assert (packet.packet_id, packet.acked, packet.body) == (0, (2, 1), p.NoOp())
    assert peer.end_session(1, peer.now) == ()
    guest.text(b"anybody?")
    assert peer.stats.dropped == {"from an address where nobody is": 1}
    return peer


@scenario
def an_old_joiner_is_answered_in_the_old_way() -> ScriptedPeer:
    peer = GatewayPeer.recorded()
    guest = peer.guest(THERE)
    guest.give(make_intro(GATE, guest.key, "old", OLD))
    assert isinstance(guest.granted(), p.AckConnection)
    return peer


@scenario
def versions_that_do_not_fit_are_told_so_but_not_all() -> ScriptedPeer:
    peer = GatewayPeer.recorded(limits={"error_rate": 1.0})
    guest = peer.guest()
    for number in range(16):
        guest.give(make_intro(GATE, guest.key, f"misfit {number}", Version((0, 2, 63), (0, 2, 1))))
    told = [body for body in guest.bodies() if isinstance(body, p.AckConnection)]
    assert set(told) == {p.AckConnection(p.Refusal("expected version 0.2.129"))}
    assert 10 <= len(told) < 16
    assert not peer.places
    return peer


@scenario
def an_intro_is_known_by_its_bytes() -> ScriptedPeer:
    peer = GatewayPeer.recorded()
    guest = peer.guest()
    assert guest.ask()
    key = guest.send_key
    assert guest.ask()
    assert guest.send_key == key
    guest.give(make_intro(GATE, guest.key, "the same key"))
    assert peer.stats.dropped == {"the key of another intro": 1}
    guest.ack()
    peer.take()
    guest.give(guest.intro)  # late
    assert peer.stats.dropped == {"the key of another intro": 1, "the intro of a session that is there": 1}
    return peer


@scenario
def what_does_not_open_changes_nothing() -> ScriptedPeer:
    peer = GatewayPeer.recorded()
    guest, stranger = peer.joined(), peer.guest(name="stranger")
    peer.take()
    guest.take()
    for data in (b"", b"\1" * 73, b"\2" * 11, b"\2" * 60, b"\3", b"\1" + bytes(72), guest.intro[:-1]):
        guest.give(data)
    assert stranger.ask() is not None
    stranger.give(b"\2" * 60)
    assert peer.stats.dropped == {
        "malformed datagram": 4,
        "an intro that does not open": 2,
        "opens under no key": 2,
    }
    guest.text(b"still here")
    assert peer.take() == [MessageReceived(HERE, b"still here", generation=1)]
    return peer


@scenario
def budgets_of_intros_and_of_what_is_tried() -> ScriptedPeer:
    peer = GatewayPeer.recorded(limits={"intro_rate": 4.0, "address_rate": 2.0, "open_rate": 2.0})
    guest = peer.guest()
    for number in range(6):
        guest.give(make_intro(GATE, of(f"key {number}", 16), f"flood {number}"))
    assert peer.stats.dropped["too many intros from this address"] >= 1
    for number in range(6):
        Guest(peer, Path("udp", f"192.0.2.{number + 20}", 1), f"other {number}").ask()
    assert peer.stats.dropped["too many intros"] >= 1
    for _ in range(4):
        guest.give(b"\2" * 60)
    assert peer.stats.dropped["too many packets to try"] >= 1
    return peer


@scenario
def candidates_end_and_make_room() -> ScriptedPeer:
    peer = GatewayPeer.recorded(limits={"candidates": 3, "candidates_of_address": 2})
    first, second, third = (Guest(peer, HERE, f"guest {number}") for number in range(3))
    for guest in (first, second, third):
        assert guest.ask()
    first.ack()  # it had to make room
    assert peer.stats.dropped == {"opens under no key": 1}
    others = [Guest(peer, Path("udp", f"192.0.2.{number + 20}", 1), f"other {number}") for number in range(2)]
    for guest in others:
        assert guest.ask()
    assert len(peer.offered) == 3
    peer.wait(21)
    assert not peer.places
    return peer


@scenario
def another_one_at_the_address_who_answers_stays() -> ScriptedPeer:
    peer = GatewayPeer.recorded()
    first = peer.joined()
    second = peer.guest(name="second")
    assert peer.send(1, b"waits", peer.now)
    assert second.ask()
    peer.wait(0.01)
    assert first.pong()
    second.ack()
    assert peer.send(1, b"waits, too", peer.now)
    peer.take()
    peer.wait(0.01)
    assert first.pong()
    assert peer.take() == [PathConflict(HERE, 1, other=2)]
    assert peer.stats.dropped == {}
    third = peer.guest(name="third")  # one that convinced us is asked longer, and its messages do not wait
    assert third.ask()
    third.ack()
    peer.send(1, b"does not wait", peer.now)
    assert any(isinstance(body, p.ShortMessage) for body in first.bodies())
    peer.wait(5.0)
    lost = [event for event in peer.take() if isinstance(event, PeerLost)]
    assert [(event.generation, event.replaced, event.undelivered) for event in lost] == [
        (2, True, ()),
        (1, True, (b"waits", b"waits, too", b"does not wait")),
    ]
    return peer


@scenario
def intros_beside_a_session_are_answered_rarely() -> ScriptedPeer:
    peer = GatewayPeer.recorded()
    first = peer.joined()
    answered = 0
    for number in range(14):
        other = Guest(peer, HERE, f"other {number}")
        answered += other.ask() is not None
        answered += other.ask() is not None  # too soon
        peer.wait(0.1)
        first.pong()
    assert answered == 12
    peer.wait(3.0)
    return peer


@scenario
def one_ping_for_who_is_silent() -> ScriptedPeer:
    peer = GatewayPeer.recorded()
    first = peer.joined()
    other = peer.guest(name="other")
    other.ask()
    first.take()
    peer.wait(2.0)
    assert len(first.bodies()) == 8
    other.give(make_intro(GATE, of("another key", 16), "another"))
    assert len(first.bodies()) == 1
    first.text(b"there I am")
    assert [type(event) for event in peer.take()] == [Connected, MessageReceived]
    return peer


@scenario
def nobody_is_pushed_out_and_the_silent_one_makes_room() -> ScriptedPeer:
    peer = GatewayPeer.recorded(limits={"generations": 1})
    first, second = peer.joined(), peer.guest(name="second")
    second.ask()
    second.ack()
    assert peer.stats.dropped == {"no place for another session": 1}
    first.take()
    peer.wait(2.0)  # it was asked because of the intro
    second.text(b"now")
    events = peer.take()
    assert [type(event) for event in events] == [Connected, PeerLost, Connected, MessageReceived]
    assert [*peer.sessions] == [2]
    return peer


@scenario
def a_session_ends_after_two_minutes_of_silence() -> ScriptedPeer:
    peer = GatewayPeer.recorded()
    guest = peer.joined()
    peer.wait(1.0)
    guest.say(p.NoOp())
    assert peer.send(1, b"never heard", peer.now)
    peer.take()
    peer.wait(130.0)
    assert peer.take() == [PeerLost(HERE, 1, undelivered=(b"never heard",))]
    assert not peer.places
    return peer


@scenario
def copies_are_acknowledged_again_and_handed_up_once() -> ScriptedPeer:
    peer = GatewayPeer.recorded()
    guest = peer.joined()
    peer.take()
    guest.take()
    for _ in range(3):
        guest.text(b"once", number=7)
    peer.wait(0.2)
    assert guest.receipts() == [7]
    guest.text(b"once", number=7)
    guest.text(b"once", number=7)
    peer.wait(0.2)
    assert guest.receipts() == [7, 7]
    assert peer.take() == [MessageReceived(HERE, b"once", generation=1)]
    guest.text(b"first", number=0)
    guest.text(b"first", number=0)
    peer.wait(0.2)
    assert guest.receipts() == [0, 7]
    guest.text(b"once", number=7)
    for number in range(20, 40):
        guest.text(b"many", number=number)
    assert len(guest.receipts()) == 17  # 16 at once, and the last one once more
    guest.say(p.Ping(1), number=20)
    assert guest.bodies() == [p.Pong(1)]
    assert peer.stats.noted == {"a second copy": 6}
    return peer


@scenario
def pings_are_answered_and_junk_in_a_session_is_dropped() -> ScriptedPeer:
    peer = GatewayPeer.recorded()
    guest = peer.joined()
    peer.take()
    guest.take()
    guest.say(p.Ping(77))
    (packet,) = guest.take()
    assert (packet.packet_id, packet.acked, packet.body) == (0, (1,), p.Pong(77))
    guest.say(p.Ping(77), number=1)
    assert guest.bodies() == [p.Pong(77)]
    guest.say(p.Pong(1))
    guest.say(p.Pong(1), number=2)
    guest.ack()
    guest.give(guest.seal(p.Clear(9, (), p.NoOp()))[:29] + bytes(16))
    short = p.Clear(9, (), p.ShortMessage(b"1234567"))
    guest.give(guest.seal(short))
    guest.nonces += 1
    guest.give(Cipher(guest.send_key).seal(of("junk", 12), b"\7" * 16))
    assert peer.stats.dropped == {"opens under no key": 1, "not a message": 1, "not a packet": 1}
    return peer


@scenario
def streams_come_and_end() -> ScriptedPeer:
    peer = GatewayPeer.recorded(limits={"streams": 2, "stream_bytes": 5000})
    guest = peer.joined()
    peer.take()
    whole = p.Message(b"a" * 2000).encode()
    guest.say(fragment(2, whole[1130:], 2008))
    guest.say(fragment(1, whole[:1130], 2008))
    assert peer.take() == [MessageReceived(HERE, b"a" * 2000, generation=1)]
    guest.say(fragment(1, whole[:1130], 2008))  # of a stream that is over
    upper = p.STREAM_OF_UPPER_LAYER | 6
    guest.say(fragment(1, b"not a message", 13, stream=upper, metadata=b"about it"))
    (event,) = peer.take()
    assert event == StreamReceived(HERE, b"not a message", generation=1, stream=upper, metadata=b"about it")
    guest.say(fragment(1, b"1234567", 7, stream=7))  # not a message
    assert peer.stats.dropped == {"not a message": 1, "of a stream that is over": 1}
    guest.say(fragment(1, b"x" * 10, 1 << 63, stream=8))  # a total that nobody has room for
    guest.say(fragment(1, b"x" * 10, 20, stream=9))
    guest.say(fragment(2, b"x" * 10, 21, stream=9))  # another total
    assert peer.stats.noted == {"a stream ended before it was complete": 2}
    guest.say(fragment(1, b"x" * 10, 20, stream=10))
    guest.text(b"meanwhile")
    for _ in range(6):
        peer.wait(10.0)
        guest.text(b"alive")
    assert peer.stats.noted == {"a stream ended before it was complete": 3}
    guest.say(fragment(1, b"x" * 10, 20, stream=11))
    for number in range(9):
        peer.wait(10.0)
        guest.text(b"alive")
        if number == 1:
            guest.say(fragment(1, b"x" * 10, 20, stream=12))
            guest.take()
            late = guest.say(fragment(1, b"late", 4, stream=13 | p.STREAM_OF_UPPER_LAYER))  # two are open
            assert peer.stats.dropped["no room for another stream"] == 1
            peer.wait(1.0)
            assert late not in guest.receipts()
    guest.say(fragment(1, b"late", 4, stream=13 | p.STREAM_OF_UPPER_LAYER), number=late)
    assert StreamReceived in {type(event) for event in peer.take()}
    assert peer.stats.noted == {"a stream ended before it was complete": 5}
    return peer


@scenario
def messages_wait_for_receipts() -> ScriptedPeer:
    peer = GatewayPeer.recorded(limits={"unsent": 3000, "window": 4, "burst": 2})
    guest = peer.joined()
    peer.wait(0.1)
    peer.take()
    guest.take()
    assert peer.send(1, b"b" * 4000, peer.now)
    assert not peer.send(1, b"too much", peer.now)
    assert not peer.send(5, b"nobody", peer.now)
    peer.wait(0.1)
    heard = guest.take()
    assert [packet.body.fragment for packet in heard] == [1, 2, 3, 4]
    guest.say(p.NoOp(), heard[0].packet_id, heard[3].packet_id)  # two are missing
    peer.wait(0.3)
    guest.say(p.NoOp(), *(packet.packet_id for packet in heard))
    assert peer.take() == [Writable()]
    assert peer.send(1, b"small", peer.now)
    peer.wait(3.0)  # it is sent again
    again = [packet for packet in guest.take() if isinstance(packet.body, p.ShortMessage)]
    assert len(again) >= 2
    guest.say(p.NoOp(), again[0].packet_id)
    peer.wait(0.1)
    guest.say(p.NoOp(), again[0].packet_id)  # which is known
    assert peer.stats.refused == {"too many messages wait": 1, "no such session": 1}
    peer.close(peer.now)
    return peer


# -- a peer ------------------------------------------------------------------------------------------------------------


@scenario
def a_peer_calls_a_gateway() -> ScriptedPeer:
    peer = JoinerPeer.recorded(delays={"again": 0.2})
    gate = peer.called()
    peer.wait(0.6)
    assert 3 <= len(gate.intros) <= 4
    assert len({*gate.intros}) == 1
    answer = gate.answer()
    (connected,) = peer.take()
    assert isinstance(connected, Connected)
    assert (connected.proven, connected.confirmed, connected.generation) == (GATE.public, False, 1)
    assert [type(body) for body in gate.bodies()] == [p.AckConnection, p.Ping]
    peer.wait(1.5)
    assert [type(body) for body in gate.bodies()][:2] == [p.AckConnection, p.Ping]
    peer.wait(8.0)
    gate.take()
    gate.give(answer)  # once more
    gate.give(answer)  # too soon
    ack, receipt = gate.take()
    assert (type(ack.body), receipt.acked, receipt.body) == (p.AckConnection, (0,), p.NoOp())
    gate.text(b"welcome")
    assert peer.take() == [Confirmed(HERE, 1), MessageReceived(HERE, b"welcome", generation=1)]
    peer.disconnect(HERE, peer.now)
    assert not peer.places
    peer.disconnect(HERE, peer.now)
    return peer


@scenario
def a_gateway_of_another_version_is_not_called_again() -> ScriptedPeer:
    peer = JoinerPeer.recorded()
    gate = peer.called()
    gate.send_key = open_intro(GATE.secret, p.Intro.decode(gate.intros[0][1:])).key
    gate.say(p.NoOp(), number=0)
    gate.say(p.AckConnection(p.Refusal("expected version 0.9.0")), number=0)
    assert peer.take() == [Refused(HERE, reason="expected version 0.9.0")]
    assert peer.stats.dropped == {"no answer to an intro": 1}
    assert not peer.places
    return peer


@scenario
def nobody_answers_and_then_somebody_does() -> ScriptedPeer:
    peer = JoinerPeer.recorded()
    gate = peer.called()
    peer.wait(10.5)
    assert peer.take() == [Unreachable(HERE)]
    gate.answer(version=None)  # an old gateway, to the round before
    (connected,) = peer.take()
    assert isinstance(connected, Connected)
    assert connected.version is None
    return peer


@scenario
def a_host_that_slept_or_moved_asks_and_calls_at_once() -> ScriptedPeer:
    peer = JoinerPeer.recorded()
    gate = peer.called()
    peer.network_changed(peer.now)  # it calls already
    peer.wait(10.5)
    gate.take()
    peer.resumed(peer.now, asleep=60)
    peer.wait(0.01)
    assert gate.answer()
    assert gate.pong()
    peer.wait(4.0)
    gate.take()
    peer.network_changed(peer.now)
    peer.wait(0.1)
    assert gate.pong()
    assert [type(event) for event in peer.take()] == [Unreachable, Connected, Confirmed]
    return peer


@scenario
def rounds_follow_each_other() -> ScriptedPeer:
    peer = JoinerPeer.recorded()
    gate = peer.called()
    peer.wait(11.2)
    assert len({*gate.intros}) == 2
    return peer


@scenario
def a_gateway_that_restarted_is_noticed() -> ScriptedPeer:
    peer = JoinerPeer.recorded()
    gate = peer.joined()
    assert gate.pong()
    assert peer.send(1, b"to the old one", peer.now)
    peer.take()
    before = len(gate.intros)
    peer.wait(10.8)
    pings = [body for body in gate.bodies() if isinstance(body, p.Ping)]
    assert len(pings) == 16
    assert len(gate.intros) > before
    gate.key = of("another process", 16)
    gate.answer()
    lost, connected = peer.take()
    assert lost == PeerLost(HERE, 1, replaced=True, undelivered=(b"to the old one",))
    assert isinstance(connected, Connected)
    assert connected.generation == 2
    return peer


@scenario
def a_gateway_that_was_only_silent_is_kept() -> ScriptedPeer:
    peer = JoinerPeer.recorded()
    gate = peer.joined()
    assert gate.pong()
    peer.take()
    peer.wait(18.0)
    intros = len(gate.intros)
    gate.text(b"sorry")
    assert peer.take() == [MessageReceived(HERE, b"sorry", generation=1)]
    peer.wait(2.0)
    assert len(gate.intros) == intros
    return peer


@scenario
def who_is_not_expected_is_not_opened() -> ScriptedPeer:
    peer = JoinerPeer.recorded()
    guest = peer.guest()
    guest.give(guest.intro)
    assert peer.stats.dropped == {"an intro from where nobody is expected": 1}
    peer.expect(HERE, peer.now)
    guest.join()
    (connected,) = peer.take()
    assert isinstance(connected, Connected)
    peer.wait(2.0)
    peer.end_session(1, peer.now)
    assert peer.end_session(1, peer.now) == ()
    gate = peer.called(path=THERE)
    gate.give(gate.intro)  # a gateway calls nobody
    assert peer.stats.dropped == {"an intro from where nobody is expected": 2}
    return peer


@scenario
def two_calls_become_one_session() -> ScriptedPeer:
    peer = JoinerPeer.recorded()
    gate = peer.called(gateway=False)
    called = len(gate.intros)
    assert gate.ask()  # its own intro
    assert len(gate.intros) == called + 1
    other = gate.send_key
    gate.answer()
    (connected,) = peer.take()
    assert connected.proven == GATE.public
    pings = [body for body in gate.bodies() if isinstance(body, p.Ping)]
    ours = gate.send_key
    gate.send_key = other
    gate.ack()  # under a key of which nobody knows whose it is
    gate.text(b"comes again")
    assert peer.take() == []
    gate.say(p.Ping(5), number=0)
    gate.say(p.Ping(6), number=0)
    answered = gate.bodies()
    assert [type(body) for body in answered] == [p.Pong, p.Ping, p.Pong]
    gate.say(p.Pong(pings[0].sequence), number=0)
    assert peer.take() == [Confirmed(HERE, 1)]
    gate.text(b"under the second key")
    gate.send_key = ours
    gate.text(b"under the first")
    assert [event.data for event in peer.take()] == [b"under the second key", b"under the first"]
    return peer


@scenario
def an_end_that_heard_our_answer_first_is_joined_without_proof() -> ScriptedPeer:
    peer = JoinerPeer.recorded()
    gate = peer.called(gateway=False)
    assert gate.ask()
    gate.ack()
    gate.text(b"hello")
    assert peer.take() == []
    sent = len(gate.intros)
    peer.wait(2.1)
    assert len(gate.intros) == sent
    (connected,) = peer.take()
    assert (connected.proven, connected.generation) == (None, 1)
    gate.text(b"hello", number=1)
    assert peer.take() == [MessageReceived(HERE, b"hello", generation=1)]
    peer.end_session(1, peer.now)
    peer.drain()
    assert len(gate.intros) == sent + 1
    return peer


@scenario
def a_second_session_without_proof_is_a_conflict() -> ScriptedPeer:
    peer = JoinerPeer.recorded(limits={"generations": 1})
    gate, other = peer.called(gateway=False), peer.guest(name="other")
    assert other.ask()
    gate.answer()
    gate.pong()
    other.ack()
    other.ack()
    peer.wait(2.1)
    assert [*peer.sessions] == [1]
    other.ack()
    gate.text(b"alive")
    return peer


@scenario
def a_gateway_is_called_while_the_old_session_ends() -> ScriptedPeer:
    peer = JoinerPeer.recorded(delays={"dead": 16.0})
    gate = peer.joined()
    gate.pong()
    peer.wait(40.0)
    assert [type(event) for event in peer.take()] == [Connected, Confirmed, PeerLost, Unreachable, Unreachable]
    gate.answer()
    assert gate.pong()
    assert [type(event) for event in peer.take()] == [Connected, Confirmed]
    return peer


@scenario
def somebody_else_is_there_beside_the_peer_that_was_called() -> ScriptedPeer:
    peer = JoinerPeer.recorded()
    gate, other = peer.joined(gateway=False), peer.guest(name="other")
    gate.pong()
    peer.take()
    assert other.ask()
    other.ack()
    for _ in range(30):
        peer.wait(0.1)
        gate.pong()
    connected, conflict = peer.take()
    assert (connected.proven, connected.generation) == (None, 2)
    assert conflict == PathConflict(HERE, 1, other=2)
    gate.take()
    peer.wait(0.5)
    third = peer.guest(name="third")
    third.ask()
    peer.wait(2.0)  # the session of our call does not answer, and then it does
    gate.pong()
    return peer


@scenario
def one_at_an_address_after_the_other_and_all_stay() -> ScriptedPeer:
    """What they are asked is more than they share: the last ones wait for it."""
    peer = GatewayPeer.recorded()
    guests: list[Guest] = []

    for number in range(5):
        guests.append(peer.guest(name=f"guest {number}"))
        guests[-1].join()  # each of the others is asked because of the intro, and then because of the session
        for _ in range(6):
            peer.wait(0.5)
            for guest in guests:
                guest.pong()
    assert len(peer.sessions) == 5
    assert sum(isinstance(event, PathConflict) for event in peer.take()) >= 6
    return peer


@scenario
def an_intro_while_a_session_is_asked_for_a_better_reason() -> ScriptedPeer:
    peer = GatewayPeer.recorded()
    first, second = peer.joined(), peer.guest(name="second")
    second.join()
    first.pong()
    peer.wait(0.8)
    third = peer.guest(name="third")
    third.join()  # 16 pings, for it has answered before
    first.take()
    peer.wait(1.0)
    peer.guest(name="fourth").ask()
    peer.wait(2.0)
    assert [type(event) for event in peer.take()][-2:] == [PeerLost, PeerLost]
    return peer


if __name__ == "__main__":
    scenario.write()
