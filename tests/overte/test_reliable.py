"""The reliable channel: all arrives, once, whatever the network and the other end do; and nothing grows."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_overte import Friend, Talker, got, sent, to

from sansproto.contract import Path, Phase
from sansproto.events import CloseCause, Closed
from sansproto.overte.events import PacketReceived, Undelivered
from sansproto.overte.header import (
    MAX_DATAGRAM,
    MAX_MESSAGE_NUMBER,
    MAX_SEQUENCE,
    Control,
    ControlType,
    Header,
    Part,
    Position,
    encode_datagram,
    next_sequence,
)
from sansproto.overte.limits import TransportDelays, TransportLimits
from sansproto.overte.remote import SOCKET
from sansproto.overte.versions import DEFAULT, PacketType
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, VirtualNetwork

A, B = "192.0.2.1", "192.0.2.2"
ACK, HANDSHAKE = ControlType.ACK, ControlType.HANDSHAKE
HANDSHAKE_ACK, HANDSHAKE_REQUEST = ControlType.HANDSHAKE_ACK, ControlType.HANDSHAKE_REQUEST
SINGLE, MESSAGE = PacketType.DOMAIN_SETTINGS_REQUEST, PacketType.DOMAIN_SETTINGS
numbers = st.integers(0, MAX_SEQUENCE) | st.integers(-20, 20).map(lambda n: n & MAX_SEQUENCE)


def a_talker(other: str = B, *, start: int | None = None, **options: Any) -> Talker:
    script = {} if start is None else {f"channel.{other}:4000.start": [start.to_bytes(4, "big")]}
    seed = options.pop("seed", b"")
    return Talker(friends=(Friend(7, other),), entropy=ScriptedEntropy(script, seed), **options)


def deliver(talker: Talker, head: Header | Control, payload: bytes = b"", now: float = 0.0, host: str = B) -> None:
    talker.receive_datagram(encode_datagram(head, payload), to(host), now)


def data(number: int, part: Part | None = None, kind: PacketType | None = None) -> Header:
    kind = kind or (MESSAGE if part else SINGLE)
    return Header(kind, number & MAX_SEQUENCE, DEFAULT[kind], reliable=True, part=part)


def open_sender(start: int = 100, **options: Any) -> Talker:
    """A talker whose channel to B is shaken, with nothing outstanding."""
    talker = a_talker(start=start, **options)
    assert talker.say(to(B), b"first", 0.0)
    sent(talker)
    deliver(talker, Control(HANDSHAKE_ACK, start))
    sent(talker)
    deliver(talker, Control(ACK, start))
    return talker


def open_receiver(first: int = 100, **options: Any) -> Talker:
    talker = a_talker(**options)
    deliver(talker, Control(HANDSHAKE, first))
    assert sent(talker) == [(Control(HANDSHAKE_ACK, first), b"")]
    return talker


def acks(talker: Talker) -> list[int | None]:
    heads = [head for head, _ in sent(talker)]
    assert all(isinstance(head, Control) and head.type is ACK for head in heads)
    return [head.sequence for head in heads]


# -- two ends over a network -------------------------------------------------------------------------------------------

items = st.lists(st.tuples(st.booleans(), st.integers(0, 6000)), min_size=1, max_size=30)


class Pair:
    """Two talkers on a bad network."""

    def __init__(self, seed: int, conditions: Conditions, **options: Any) -> None:
        self.net = VirtualNetwork(seed=seed, default=conditions)
        self.options = options
        self.a, self.b = (
            self.net.host(host).run(a_talker(other, **options), sockets={SOCKET: 4000})
            for host, other in ((A, B), (B, A))
        )
        self.count = 0

    def send(self, node: Any, other: str, whole: bool, size: int) -> bytes:
        """Give something to one of them; what it was given."""
        self.count += 1
        payload = b"%06d" % self.count + bytes(size if whole else size % 1300)
        verb = node.endpoint.tell if whole else node.endpoint.say
        assert node.call(lambda now: verb(to(other), payload, now))
        return payload

    def rest(self) -> bool:
        return all(
            not sender.in_flight and not sender.count_waiting
            for node in (self.a, self.b)
            for sender in node.endpoint.channels.senders.values()
        )


bad = st.builds(
    Conditions,
    latency=st.floats(0.001, 0.3),
    jitter=st.floats(0, 0.1),
    loss=st.floats(0, 0.4),
    duplicate=st.floats(0, 0.5),
    reorder=st.floats(0, 0.5),
)


def payloads(node: Any) -> list[bytes]:
    return [event.payload for event in node.events if isinstance(event, PacketReceived)]


@pytest.mark.unmeasured
@given(st.integers(0, 1000), bad, numbers, items, items)
def test_all_arrives_once_whatever_the_network_does(
    seed: int, conditions: Conditions, start: int, ours: Any, theirs: Any
) -> None:
    delays = TransportDelays(undelivered=600)
    pair = Pair(seed, conditions, start=start, delays=delays, limits=TransportLimits(window=8))
    from_a = [pair.send(pair.a, B, *item) for item in ours]
    from_b = [pair.send(pair.b, A, *item) for item in theirs]
    pair.net.run_until(pair.rest, within=3000)
    pair.net.run(5)
    assert Counter(payloads(pair.b)) == Counter(from_a)
    assert Counter(payloads(pair.a)) == Counter(from_b)
    assert not pair.a.endpoint.timers()
    assert not pair.b.endpoint.timers()


def test_without_losses_the_order_is_kept_and_nothing_is_repeated() -> None:
    pair = Pair(1, Conditions(latency=0.04))
    given = [pair.send(pair.a, B, i % 3 == 0, 700 * i) for i in range(40)]
    pair.net.run_until(pair.rest)
    assert payloads(pair.b) == given
    parts = sum(1 if i % 3 else max(1, -(-(700 * i + 6) // (MAX_DATAGRAM - 14))) for i in range(40))
    assert pair.a.endpoint.stats.packets_sent == parts + 1  # and one handshake


@pytest.mark.unmeasured
@given(st.integers(0, 1000), bad, items, items, st.floats(0, 2), st.booleans())
def test_after_a_restart_all_that_was_not_acknowledged_comes_again(
    seed: int, conditions: Conditions, before: Any, after: Any, when: float, sender_too: bool
) -> None:
    """Whoever asks for a handshake gets all that waits, a message that had come in part from its beginning."""
    delays = TransportDelays(undelivered=600)
    pair = Pair(seed, conditions, delays=delays, limits=TransportLimits(window=8))
    given = [pair.send(pair.a, B, *item) for item in before]
    pair.net.run(when)
    pair.b.restart(a_talker(A, delays=delays, seed=b"new"))
    given += [pair.send(pair.a, B, *item) for item in after]
    if sender_too:
        pair.send(pair.b, A, True, 3000)
    pair.net.run_until(pair.rest, within=3000)
    arrived = Counter(payloads(pair.b))  # at the first and at the second
    assert set(arrived) == set(given)


def test_a_sender_that_restarts_is_understood() -> None:
    pair = Pair(3, Conditions(latency=0.05, loss=0.2))
    first = [pair.send(pair.a, B, True, 3000) for _ in range(3)]
    pair.net.run_until(pair.rest)
    pair.send(pair.a, B, True, 60_000)
    pair.net.run(0.2)
    assert pair.b.endpoint.channels.receivers[A, 4000, 0].messages
    pair.a.restart(a_talker(B, seed=b"new"))
    second = [pair.send(pair.a, B, True, 3000) for _ in range(3)]
    pair.net.run_until(pair.rest)
    assert Counter(payloads(pair.b)) == Counter(first + second)
    assert pair.b.endpoint.stats.noted["unfinished message"] == 1


@pytest.mark.unmeasured
@given(st.integers(0, 1000), bad, items, st.integers(1, 15))
def test_a_restored_talker_goes_on_as_if_nothing_had_happened(
    seed: int, conditions: Conditions, given_items: Any, every: int
) -> None:
    """Every few steps both ends are replaced by what their snapshots make of them."""

    def run(restores: bool) -> tuple[Any, ...]:
        pair = Pair(seed, conditions)
        for item in given_items:
            pair.send(pair.a, B, *item)
        for step in range(40):
            pair.net.run(0.1)
            if restores and step % every == 0:
                for node, other in ((pair.a, B), (pair.b, A)):
                    old = node.endpoint
                    new = Talker.restore(old.snapshot(), friends=(Friend(7, other),), entropy=old._entropy)
                    assert new.snapshot() == old.snapshot()
                    node.endpoint = node._driver.endpoint = new
        return pair.a.endpoint.snapshot(), pair.b.endpoint.snapshot(), pair.b.events

    assert run(True) == run(False)


# -- the sender --------------------------------------------------------------------------------------------------------


def test_handshakes_ever_more_slowly_until_one_is_answered_and_no_data_before() -> None:
    talker = a_talker(start=0x5123456)
    assert talker.say(to(B), b"x", 0.0)
    assert talker.say(to(B), b"y", 0.0)
    for at in (0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 11.3):
        assert sent(talker) == [(Control(HANDSHAKE, 0x5123456), b"")]
        assert talker.next_timeout() == pytest.approx(at)
        talker.handle_timeout(talker.next_timeout() or 0.0)
    sent(talker)
    deliver(talker, Control(HANDSHAKE_ACK, 0x5123457), now=11.41)  # not ours
    assert sent(talker) == []
    deliver(talker, Control(HANDSHAKE_ACK, 0x5123456), now=11.42)
    assert [(head.sequence, payload) for head, payload in sent(talker)] == [(0x5123456, b"x"), (0x5123457, b"y")]
    deliver(talker, Control(HANDSHAKE_ACK, 0x5123456), now=11.43)
    assert sent(talker) == []
    deliver(talker, Control(HANDSHAKE_REQUEST), now=11.44)
    assert talker.next_timeout() == pytest.approx(11.54)  # as the first time


def test_the_start_has_27_bits() -> None:
    talker = a_talker(start=0xFFFFFFFF)
    talker.say(to(B), b"x", 0.0)
    assert sent(talker) == [(Control(HANDSHAKE, MAX_SEQUENCE), b"")]


def test_a_channel_at_rest_goes_on_with_its_numbers() -> None:
    talker = open_sender(MAX_SEQUENCE)
    assert not talker.timers()
    talker.say(to(B), b"x", 60.0)
    ((head, payload),) = sent(talker)
    assert (head.sequence, payload) == (0, b"x")


def test_obfuscation_grows_with_the_resends_and_so_does_the_time_between_them() -> None:
    talker = open_sender(delays=TransportDelays(undelivered=60))
    talker.say(to(B), b"payload", 1.0)
    levels, times = [], []
    while len(levels) < 10:
        ((head, payload),) = sent(talker)
        assert isinstance(head, Header)
        assert (head.sequence, payload) == (101, b"payload")
        levels.append(head.obfuscation)
        times.append(talker.clock)
        talker.handle_timeout(talker.next_timeout() or 0.0)
    assert levels == [0, 0, 0, 1, 2, 3, 0, 1, 2, 3]
    assert [later - sooner for sooner, later in pairwise(times)] == pytest.approx([0.5, 0.5, 1, 2, 4, 5, 5, 5, 5])


@given(st.floats(0.0001, 20))
def test_the_time_until_a_resend_follows_the_round_trip_between_its_bounds(trip: float) -> None:
    talker, now = open_sender(delays=TransportDelays(undelivered=600)), 0.0
    for number in range(101, 140):
        talker.say(to(B), b"x", now)
        now += trip
        deliver(talker, Control(ACK, number), now=now)
    sent(talker)
    talker.say(to(B), b"x", now)
    wait = (talker.next_timeout() or 0.0) - now
    assert wait == pytest.approx(min(max(trip, 0.01), 5.0), rel=0.1)


def test_an_estimate_that_is_too_short_is_corrected() -> None:
    """A packet that was resent says nothing about the time, so the doubled time stays until one was not."""
    pair = Pair(1, Conditions(latency=0.005))
    for _ in range(20):
        pair.send(pair.a, B, False, 1)
        pair.net.run(0.1)
    pair.net.default = Conditions(latency=0.4)
    counts = []
    for _ in range(30):
        before = pair.a.endpoint.stats.packets_sent
        pair.send(pair.a, B, False, 1)
        pair.net.run(3)
        counts.append(pair.a.endpoint.stats.packets_sent - before)
    assert counts[0] > 3
    assert counts[-10:] == [1] * 10


def test_what_nobody_acknowledges_is_given_up_and_the_next_begins_anew() -> None:
    talker = open_sender(limits=TransportLimits(window=2))
    for number in range(5):
        assert talker.say(to(B), bytes([number]), 1.0)
    old = talker.channels.senders[B, 4000, 0].first
    while talker.timers():
        sent(talker)
        talker.handle_timeout(talker.next_timeout() or 0.0)
    assert talker.clock == pytest.approx(16.0)
    assert talker.next_event() == Undelivered(B.encode(), 5)
    sent(talker)
    assert talker.say(to(B), b"x", 20.0)
    ((head, _),) = sent(talker)
    assert isinstance(head, Control)
    assert head.sequence != old


def test_a_handshake_without_end_is_given_up_too() -> None:
    talker = a_talker()
    talker.say(to(B), b"x", 0.0)
    while talker.timers():
        sent(talker)
        talker.handle_timeout(talker.next_timeout() or 0.0)
    assert talker.clock == pytest.approx(15.0)
    assert talker.next_event() == Undelivered(B.encode(), 1)


def test_somebody_who_asks_for_handshakes_for_ever_is_given_up_as_well() -> None:
    talker = a_talker()
    talker.say(to(B), b"x", 0.0)
    now = 0.0
    while talker.phase is Phase.NEW and talker.next_event() is None:
        for head, _ in sent(talker):
            answer = HANDSHAKE_REQUEST if isinstance(head, Header) else HANDSHAKE_ACK
            number = head.sequence if answer is HANDSHAKE_ACK else None
            now += 0.01
            deliver(talker, Control(answer, number), now=now)
        talker.handle_timeout(max(now, talker.next_timeout() or 0.0))
        assert talker.clock < 16


def test_a_handshake_request_gets_a_new_number_and_all_that_waits() -> None:
    talker = open_sender(limits=TransportLimits(window=3))
    message = bytes(range(256)) * 20
    talker.tell(to(B), message, 1.0)
    talker.say(to(B), b"behind", 1.0)
    assert len(sent(talker)) == 3
    deliver(talker, Control(ACK, 102), now=1.1)  # two of its parts
    for _ in range(3):
        talker.handle_timeout(talker.next_timeout() or 0.0)
    assert isinstance(head := sent(talker)[-1][0], Header)
    assert head.obfuscation == 1
    deliver(talker, Control(HANDSHAKE_REQUEST), now=1.2)
    deliver(talker, Control(HANDSHAKE_REQUEST), now=1.2)
    start = handshake_of(talker)
    assert start != 100
    deliver(talker, Control(HANDSHAKE_ACK, start), now=1.3)
    seen = []
    for _ in range(5):
        seen += sent(talker)
        deliver(talker, Control(ACK, next_sequence(start, len(seen) - 1)), now=1.4)
    assert all(isinstance(head, Header) and not head.obfuscation for head, _ in seen)
    assert [head.sequence for head, _ in seen] == [next_sequence(start, i) for i in range(5)]
    assert b"".join(payload for _, payload in seen) == message + b"behind"
    assert not talker.timers()


def handshake_of(talker: Talker) -> int:
    """The number of the handshake that is all that it sends."""
    ((head, _),) = sent(talker)
    assert isinstance(head, Control)
    assert head.type is HANDSHAKE
    assert head.sequence is not None
    return head.sequence


def test_answers_that_never_fit_make_a_handshake_and_one_that_fits_does_not() -> None:
    talker = open_sender(delays=TransportDelays(undelivered=600))
    talker.say(to(B), b"x", 0.0)
    for answers in ((99, 98), (7,), (5, 100), (99, 98, 7, 6), (7,), (), (99, 5)):
        ((head, _),) = sent(talker)
        assert isinstance(head, Header)
        for number in answers:
            deliver(talker, Control(ACK, number))
        talker.handle_timeout(talker.next_timeout() or 0.0)
    start = handshake_of(talker)
    deliver(talker, Control(HANDSHAKE_ACK, start))
    assert [(head.sequence, payload) for head, payload in sent(talker)] == [(start, b"x")]


@pytest.mark.unmeasured
@given(st.integers(0, 1000), bad, items, items)
def test_an_old_handshake_that_comes_late_does_not_stop_a_channel(
    seed: int, conditions: Conditions, before: Any, after: Any
) -> None:
    pair = Pair(seed, conditions, delays=TransportDelays(undelivered=600))
    given = [pair.send(pair.a, B, *item) for item in before]
    pair.net.run(1)
    old = next_sequence(pair.a.endpoint.channels.senders[B, 4000, 0].first, -2000)  # ours are too far ahead of it
    pair.b.receive_datagram(encode_datagram(Control(HANDSHAKE, old)), Path(SOCKET, A, 4000))
    given += [pair.send(pair.a, B, *item) for item in after]
    pair.net.run_until(pair.rest, within=3000)
    assert set(payloads(pair.b)) == set(given)
    assert not any(isinstance(event, Undelivered) for event in pair.a.events)


def test_a_handshake_request_at_rest_makes_the_next_packet_begin_anew() -> None:
    talker = open_sender()
    deliver(talker, Control(HANDSHAKE_REQUEST))
    assert sent(talker) == []
    talker.say(to(B), b"x", 1.0)
    assert handshake_of(talker) != 100


def test_progress_is_time_won() -> None:
    talker, now = open_sender(delays=TransportDelays(undelivered=15)), 0.0
    for _ in range(10):
        talker.say(to(B), b"x", now)
    for number in range(101, 110):
        now += 10
        deliver(talker, Control(ACK, number), now=now)
    talker.handle_timeout(now)
    assert talker.next_event() is None


@given(numbers, st.lists(st.one_of(st.none(), numbers, st.integers(-12, 12)), max_size=30))
def test_only_an_ack_of_what_is_outstanding_means_anything(start: int, steps: list[int | None]) -> None:
    """Against a model: the numbers that are outstanding, in a window of 4. Steps: a packet more, or an ACK."""
    talker = open_sender(start, limits=TransportLimits(window=4, reliable_queue=8))
    first, count = 1, 1  # the oldest one that is not acknowledged and the next, as distances from the start
    for step in steps:
        if step is None:
            count += talker.say(to(B), b"x", 0.0)
        else:
            number = next_sequence(start, step)
            deliver(talker, Control(ACK, number))
            if (number - start - first & MAX_SEQUENCE) < min(count - first, 4):
                first += (number - start - first & MAX_SEQUENCE) + 1
        sender = talker.channels.senders[B, 4000, 0]
        assert sender.oldest == next_sequence(start, first)
        assert len(sender.in_flight) == min(count - first, 4)
        assert sender.count_in_flight + sender.count_waiting == count - first
        assert bool(talker.timers()) is (count > first)


def test_a_full_queue_takes_no_more_and_no_half_of_a_message() -> None:
    talker = a_talker(limits=TransportLimits(reliable_queue=4, message_size=10_000))
    assert talker.say(to(B), b"x", 0.0)
    assert not talker.tell(to(B), bytes(6000), 0.0)
    assert talker.tell(to(B), bytes(4000), 0.0)
    assert not talker.say(to(B), b"x", 0.0)
    assert not talker.tell(to(B), bytes(10_001), 0.0)
    assert not talker.say(to("192.0.2.9"), b"x", 0.0)
    assert not talker.tell(to("192.0.2.9"), b"x", 0.0)
    assert talker.stats.refused == {"reliable queue full": 2, "message too large": 1, "no channel": 2}
    assert len(talker.channels.senders) == 1


# -- the receiver ------------------------------------------------------------------------------------------------------


@given(numbers, st.lists(st.integers(-2, 6) | st.integers(-30, 30), max_size=60))
def test_each_packet_arrives_once_and_the_highest_in_order_is_acknowledged(first: int, offsets: list[int]) -> None:
    talker = open_receiver(first, limits=TransportLimits(ahead=20))
    last, seen, arrived = -1, set[int](), []
    for offset in offsets:
        deliver(talker, data(first + offset), b"%d" % offset)
        if last < offset <= last + 20 and offset not in seen:
            seen.add(offset)
            arrived.append(b"%d" % offset)
        while last + 1 in seen:
            last += 1
        assert acks(talker) == [next_sequence(first, last)]
    assert got(talker) == arrived
    beyond = {next_sequence(first, offset) for offset in seen if offset > last}
    assert talker.channels.receivers[B, 4000, 0].ahead.keys() == beyond


def test_a_gap_that_is_closed_is_forgotten() -> None:
    talker = open_receiver(MAX_SEQUENCE)
    for number in (1, 0, 3, MAX_SEQUENCE):
        deliver(talker, data(number), b"")
    assert acks(talker) == [MAX_SEQUENCE - 1, MAX_SEQUENCE - 1, MAX_SEQUENCE - 1, 1]
    assert talker.channels.receivers[B, 4000, 0].ahead.keys() == {3}


def test_before_a_handshake_nothing_is_taken() -> None:
    talker = a_talker()
    deliver(talker, data(5), b"x")
    assert sent(talker) == [(Control(HANDSHAKE_REQUEST), b"")]
    assert got(talker) == []
    deliver(talker, Control(HANDSHAKE, 5))
    deliver(talker, data(5), b"x")
    assert sent(talker) == [(Control(HANDSHAKE_ACK, 5), b""), (Control(ACK, 5), b"")]
    assert got(talker) == [b"x"]


def test_the_known_handshake_is_only_answered_and_another_begins_anew() -> None:
    talker = open_receiver(100)
    for number in (100, 102):
        deliver(talker, data(number), b"%d" % number)
    deliver(talker, data(103, Part(Position.FIRST, 1, 0)), b"never ended")
    deliver(talker, Control(HANDSHAKE, 100))
    deliver(talker, data(100), b"again")
    assert sent(talker)[-2:] == [(Control(HANDSHAKE_ACK, 100), b""), (Control(ACK, 100), b"")]
    assert got(talker) == [b"100", b"102"]
    deliver(talker, Control(HANDSHAKE, 99))
    assert talker.stats.noted["unfinished message"] == 1
    for number in (99, 100, 102):
        deliver(talker, data(number), b"new %d" % number)
    assert sent(talker)[-1] == (Control(ACK, 100), b"")
    assert got(talker) == [b"new 99", b"new 100", b"new 102"]


def parts_of(message: int, pieces: list[bytes]) -> list[tuple[Part, bytes]]:
    if len(pieces) == 1:
        return [(Part(Position.ONLY, message, 0), pieces[0])]
    ends = {0: Position.FIRST, len(pieces) - 1: Position.LAST}
    return [(Part(ends.get(i, Position.MIDDLE), message, i), piece) for i, piece in enumerate(pieces)]


@given(numbers, st.data())
def test_messages_are_put_together_from_parts_in_any_order(first: int, chance: st.DataObject) -> None:
    """Also when their parts are mixed with those of others, as the reference mixes them."""
    messages = chance.draw(st.lists(st.lists(st.binary(max_size=5), min_size=1, max_size=6), max_size=5))
    queues = [parts_of(number, pieces) for number, pieces in enumerate(messages)]
    order = chance.draw(st.permutations([i for i, queue in enumerate(queues) for _ in queue]))
    stream = [(next_sequence(first, i), *queues[which].pop(0)) for i, which in enumerate(order)]
    talker = open_receiver(first)
    for number, part, payload in chance.draw(st.permutations(stream)):
        deliver(talker, data(number, part), payload)
    assert Counter(got(talker)) == Counter(b"".join(pieces) for pieces in messages)
    assert not talker.channels.receivers[B, 4000, 0].messages
    assert acks(talker)[-1:] == [next_sequence(first, len(stream) - 1)] * bool(stream)


def test_one_message_more_than_may_be_open_waits_for_room() -> None:
    talker = open_receiver(0, limits=TransportLimits(messages=2))
    deliver(talker, data(0, Part(Position.FIRST, 1, 0)), b"a")
    deliver(talker, data(1, Part(Position.FIRST, 2, 0)), b"b")
    deliver(talker, data(2, Part(Position.FIRST, 3, 0)), b"c")
    deliver(talker, data(3, Part(Position.ONLY, 4, 0)), b"only")
    deliver(talker, data(4, Part(Position.LAST, 1, 1)), b"a")
    assert acks(talker) == [0, 1, 1, 1, 1]  # 2 is not acknowledged: it is not kept
    deliver(talker, data(2, Part(Position.FIRST, 3, 0)), b"c")
    assert acks(talker) == [4]
    assert got(talker) == [b"only", b"aa"]
    assert talker.stats.noted == {"too many messages at once": 1}


def test_a_message_that_is_too_large_fails_and_holds_up_nothing() -> None:
    talker = open_receiver(0, limits=TransportLimits(message_size=1024))
    for number in range(4):
        deliver(talker, data(number, Part(Position.MIDDLE if number else Position.FIRST, 1, number)), bytes(500))
    assert sum(map(len, talker.channels.receivers[B, 4000, 0].messages[1].parts.values())) == 0
    deliver(talker, data(4, Part(Position.LAST, 1, 4)), b"")
    deliver(talker, data(5), b"behind")
    assert acks(talker) == [0, 1, 2, 3, 4, 5]
    assert got(talker) == [b"behind"]
    assert not talker.channels.receivers[B, 4000, 0].messages
    assert talker.stats.noted == {"message too large": 1}


def test_all_unfinished_messages_have_a_bound_together() -> None:
    """Many addresses may each begin a few messages, and never end them."""
    talker = open_receiver(0, limits=TransportLimits(unfinished=1000))
    for message in range(3):
        deliver(talker, data(message, Part(Position.FIRST, message, 0)), bytes(400))
    assert talker.stats.noted == {"too much is unfinished": 1}
    deliver(talker, data(3, Part(Position.LAST, 0, 1)), b"end")
    deliver(talker, data(4, Part(Position.LAST, 2, 1)), b"end")
    deliver(talker, data(5, Part(Position.FIRST, 5, 0)), bytes(500))
    assert got(talker) == [bytes(400) + b"end"]
    assert talker.channels.unfinished == 900
    talker.do(0.0, talker.forget_channel, to(B))
    assert talker.channels.unfinished == 0


def test_parts_without_content_count_among_all_that_is_unfinished() -> None:
    talker = open_receiver(0, limits=TransportLimits(unfinished=256 * 100))
    for message in range(16):
        for part in range(10):
            position = Position.MIDDLE if part else Position.FIRST
            deliver(talker, data(10 * message + part, Part(position, message, part)))
    messages = talker.channels.receivers[B, 4000, 0].messages
    assert sum(len(message.parts) for message in messages.values()) == 100
    assert talker.channels.unfinished == 256 * 100
    assert talker.stats.noted == {"too much is unfinished": 6}
    talker.do(0.0, talker.forget_channel, to(B))
    assert talker.channels.unfinished == 0


def test_a_message_fails_only_once() -> None:
    talker = open_receiver(0, limits=TransportLimits(message_size=1024))
    deliver(talker, data(0, Part(Position.FIRST, 1, 0)), bytes(1100))
    deliver(talker, Control(HANDSHAKE, 50))
    assert not talker.channels.receivers[B, 4000, 0].messages
    assert talker.stats.noted == {"message too large": 1}


def test_parts_without_content_are_bounded_too() -> None:
    talker = open_receiver(0, limits=TransportLimits(message_size=1024))
    for number in range(6):
        deliver(talker, data(number, Part(Position.MIDDLE if number else Position.FIRST, 1, number)), b"")
    assert talker.stats.noted == {"message too large": 1}


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize(
    ("limit", "pieces", "first", "note"),
    [
        ("ahead", [b"x"], 23, "too far ahead"),
        ("message_size", [bytes(512), bytes(512)], 0, "message too large"),
        ("message_size", [b"", b"", b"", b""], 0, "message too large"),
    ],
    ids=["numbers", "bytes", "parts"],
)
def test_a_bound_is_met_and_not_passed(limit: str, pieces: list[bytes], first: int, note: str, over: int) -> None:
    """By a number ahead of those that came, by the bytes of a message, and by its parts, of 256 bytes each at least."""
    talker = open_receiver(0, limits=TransportLimits(**{limit: 24 if limit == "ahead" else 1024}))
    if limit == "ahead":
        first += over
    elif over:
        pieces = [*pieces, b"x"]
    for number, (part, piece) in enumerate(parts_of(1, pieces), first):
        deliver(talker, data(number, part), piece)
    expected = ([], {note: 1}) if over else ([b"".join(pieces)], {})
    assert (got(talker), talker.stats.noted) == expected


def test_after_the_last_number_of_a_message_comes_the_first() -> None:
    sender = open_sender().channels.senders[B, 4000, 0]
    sender.message = MAX_MESSAGE_NUMBER
    assert [sender.next_message(), sender.next_message()] == [0, 1]


F, M, L = Position.FIRST, Position.MIDDLE, Position.LAST


@pytest.mark.parametrize(
    "parts",
    [
        [(F, 0), (M, 1), (M, 1), (L, 3)],
        [(F, 1), (L, 2)],
        [(M, 0), (L, 1)],
        [(L, 0)],
        [(F, 0), (M, 5), (L, 2)],
        [(F, 0), (M, 1), (M, 2), (L, 1)],
    ],
)
def test_parts_that_contradict_each_other_fail_their_message(parts: list[tuple[Position, int]]) -> None:
    talker = open_receiver(0)
    for number, (position, part) in enumerate(parts):
        deliver(talker, data(number, Part(position, 1, part)), b"x")
    assert got(talker) == []
    assert talker.stats.noted == {"contradictory message": 1}


def test_parts_of_two_types_or_sources_are_no_message() -> None:
    talker = a_talker()
    talker.friends[8] = Friend(8, B)
    talker.authenticates = lambda: False  # type: ignore[method-assign]
    deliver(talker, Control(HANDSHAKE, 0))
    ping = PacketType.PING
    heads = [
        data(0, Part(F, 1, 0)),
        data(1, Part(L, 1, 1), SINGLE),
        *(
            Header(ping, 2 + i, DEFAULT[ping], 7 + i, bytes(16), reliable=True, part=Part((F, L)[i], 2, i))
            for i in (0, 1)
        ),
    ]
    for head in heads:
        deliver(talker, head, b"x")
    assert got(talker) == []
    assert talker.stats.noted == {"contradictory message": 2}


def test_what_is_dropped_while_the_application_sleeps_is_not_acknowledged() -> None:
    talker = open_receiver(0, limits=TransportLimits(events=2))
    for number in range(3):
        deliver(talker, data(number), b"%d" % number)
    assert acks(talker) == [0, 1]
    assert got(talker) == [b"0", b"1"]
    deliver(talker, data(2), b"2")
    assert acks(talker) == [2]
    assert got(talker) == [b"2"]
    assert talker.stats.dropped == {"busy": 1}


# -- both --------------------------------------------------------------------------------------------------------------


def state_of(talker: Talker) -> Any:
    return talker.freeze(0.0, leave_out=frozenset({"stats"}))


garbage = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda kind, number: encode_datagram(Control(kind, None if kind is HANDSHAKE_REQUEST else number)),
        st.sampled_from(ControlType),
        numbers,
    ),
    st.builds(lambda number, content: encode_datagram(data(number), content), numbers, st.binary(max_size=9)),
    st.builds(
        lambda number, position, message, part: encode_datagram(data(number, Part(position, message, part)), b"x"),
        numbers,
        st.sampled_from(Position),
        st.integers(0, 3),
        st.integers(0, 4) | st.just(0xFFFFFFFF),
    ),
)


@given(st.lists(garbage, max_size=40))
def test_strangers_change_nothing(datagrams: list[bytes]) -> None:
    talker = open_sender()
    talker.say(to(B), b"x", 1.0)
    before = state_of(talker)
    for datagram in datagrams:
        if datagram[4:5] != bytes([MESSAGE.value]):  # data without the reliable bit is for everybody's ears
            talker.receive_datagram(datagram, to("192.0.2.99"), 1.0)
            if talker._events:
                talker._events.clear()
    assert state_of(talker) == before


@given(st.lists(st.tuples(garbage, st.floats(0, 1)), max_size=60))
def test_whatever_a_friend_sends_nothing_raises_and_all_stays_within_the_limits(
    steps: list[tuple[bytes, float]],
) -> None:
    limits = TransportLimits(
        events=40,
        outbox=30,
        window=3,
        reliable_queue=5,
        ahead=4,
        messages=2,
        message_size=1024,
        addresses=2,
        unfinished=1500,
    )
    talker, now = a_talker(start=3, limits=limits), 0.0
    for datagram, wait in steps:
        now += wait
        talker.say(to(B), b"x", now)
        talker.handle_timeout(now)
        talker.receive_datagram(datagram, to(B), now)
        assert len(talker._outbox) <= 30
        for sender in talker.channels.senders.values():
            assert len(sender.in_flight) <= 3
            assert sender.count_waiting <= 5 + 3
            assert not sender.count_held
        for receiver in talker.channels.receivers.values():
            assert len(receiver.ahead) <= 4
            assert len(receiver.messages) <= 2
        open_messages = [
            message for receiver in talker.channels.receivers.values() for message in receiver.messages.values()
        ]
        sizes = [[len(part) for part in message.parts.values()] for message in open_messages]
        assert talker.channels.unfinished == sum(max(sum(parts), 256 * len(parts)) for parts in sizes) <= 1500
        timeout = talker.next_timeout()
        assert timeout is None or timeout > now


def test_a_forgotten_channel_leaves_nothing_behind() -> None:
    talker = open_receiver(0)
    deliver(talker, data(0, Part(F, 1, 0)), b"x")
    assert talker.say(to(B), b"x", 0.0)
    talker.do(0.0, talker.forget_channel, to(B))
    talker.do(0.0, talker.forget_channel, to(B))
    assert not talker.timers()
    assert not talker.channels.senders
    assert not talker.channels.receivers
    sent(talker)
    for kind in (ACK, HANDSHAKE_ACK, HANDSHAKE_REQUEST):
        deliver(talker, Control(kind, None if kind is HANDSHAKE_REQUEST else 1))
    assert sent(talker) == []
    assert talker.stats.noted == {"unfinished message": 1}
    assert talker.stats.dropped == {"no channel": 3}
    talker.say(to(B), b"x", 1.0)
    assert len(sent(talker)) == 1


def test_all_messages_that_are_not_acknowledged_have_a_bound_together() -> None:
    """Whoever can ask for long answers in the name of many addresses does not fill the memory with them."""
    talker = open_sender(100, limits=TransportLimits(unacknowledged=4000))
    assert talker.tell(to(B), bytes(3000), 0.0)
    assert not talker.tell(to(B), bytes(1001), 0.0)
    assert talker.stats.refused == {"too much is unacknowledged": 1}
    assert talker.say(to(B), b"short", 0.0)
    deliver(talker, Control(ACK, 102))
    assert talker.channels.unacknowledged == 3000  # a message that has not arrived as a whole may have to be sent again
    deliver(talker, Control(ACK, 103))
    assert talker.channels.unacknowledged == 0
    assert talker.tell(to(B), bytes(4000), 0.0)
    talker.handle_timeout(20.0)
    assert talker.channels.unacknowledged == 0
    assert talker.tell(to(B), bytes(4000), 20.0)
    talker.do(20.0, talker.forget_channel, to(B))
    assert talker.channels.unacknowledged == 0


def test_a_first_message_to_an_address_needs_the_room_that_others_left() -> None:
    talker = Talker(friends=(Friend(1, A), Friend(2, B)), limits=TransportLimits(unacknowledged=4000))
    assert talker.tell(to(A), bytes(3000), 0.0)
    assert not talker.tell(to(B), bytes(1001), 0.0)
    assert talker.tell(to(B), bytes(1000), 0.0)
    assert talker.channels.unacknowledged == 4000


def test_who_asks_in_the_name_of_a_few_addresses_leaves_the_others_their_messages() -> None:
    """What the first ones have asked for again and again waits; a first message needs no more than the room for it."""
    hosts = [f"198.51.100.{number}" for number in range(40)]
    limits = TransportLimits(unacknowledged=1_000_000)
    talker = Talker(friends=tuple(Friend(number, host) for number, host in enumerate(hosts, 1)), limits=limits)
    for host in hosts[:-1]:
        while talker.tell(to(host), bytes(2000), 0.0):
            assert talker.channels.senders[host, 4000, 0].size <= 10_000
    assert 500_000 < 1_000_000 - talker.channels.unacknowledged < 1_000_000
    assert talker.tell(to(hosts[-1]), bytes(500_000), 0.0)
    assert not talker.tell(to(hosts[-1]), bytes(1), 0.0)
    assert talker.say(to(hosts[-1]), b"short", 0.0)
    assert talker.channels.unacknowledged == sum(sender.size for sender in talker.channels.senders.values())
    while talker.next_timeout() is not None:
        talker.handle_timeout(20.0)
    assert talker.channels.unacknowledged == 0
    assert not any(sender.size for sender in talker.channels.senders.values())


@pytest.mark.parametrize("end", ["abort", "lost", "close"])
def test_at_the_end_nothing_is_left(end: str) -> None:
    talker = open_receiver(0)
    talker.say(to(B), b"x", 0.0)
    if end == "abort":
        talker.abort()
    elif end == "lost":
        talker.transport_lost(1.0)
    else:
        talker.do(1.0, talker.end, Closed(CloseCause.LOCAL))
    event = talker.next_event()
    assert isinstance(event, Closed)
    assert not talker.timers()
    assert not talker.channels.senders
    assert not talker.channels.receivers
    deliver(talker, data(0), b"x", now=2.0)
    talker.handle_timeout(9.0)
    assert talker.next_event() is None


def test_a_full_outbox_drops_what_is_sent_and_the_channel_sends_it_again() -> None:
    talker = open_sender(limits=TransportLimits(outbox=2))
    for number in range(4):
        talker.say(to(B), bytes([number]), 0.0)
    assert len(sent(talker)) == 2
    assert talker.stats.refused == {"outbox full": 2}
    talker.handle_timeout(talker.next_timeout() or 0.0)
    assert [payload for _, payload in sent(talker)] == [b"\0", b"\1"]
