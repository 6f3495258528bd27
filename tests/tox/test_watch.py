"""What one session makes of acknowledgements, and of the ways by which they come. docs/protocols/tox.rst, ways.

How long that takes on a network is told by tests/tox/test_paths.py.
"""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from scripted import PartHost

from sansproto.tox import requests
from sansproto.tox.tracks import UDP, Track
from sansproto.tox.watch import Watch
from sansproto.tox.windows import SendWindow

ONE, TWO = b"one", b"two"


class Sender:
    """What a watch asks of the sending half of a session that has two relays, the first one in use."""

    def __init__(self, *trips: float, used: bytes = ONE) -> None:
        self.host, self.window, self.left = PartHost(), SendWindow(), list[Any]()
        self.bad, self.trips = list[bytes](), list[float | None]()
        self.copied, self.asked, self.recalls = list[list[int]](), list[bytes](), list[float]()
        tracks = {used: Track(trips), TWO: Track(trips)}
        self.ways: Any = SimpleNamespace(
            used=used,
            moves=1,
            has_fallen=False,
            evidence=None,
            relays={ONE: None, TWO: None},
            tracks=tracks,
            track=tracks.__getitem__,
            others=lambda: [TWO],
            is_held=lambda name: False,
            note_arrived=lambda is_proved: None,
            judge_silence=lambda since: None,
            recall=lambda: self.recalls.append(self.host.clock),
            direct=list,
            leave=lambda to, **_: self.left.append(to),
            leave_for_better=self.bad.append,
        )
        self.watch = Watch(self.host, self)
        self.watch.note_moved()

    def send(self, count: int) -> None:
        for _ in range(count):
            self.window.add(bytes(200), self.host.clock)

    def wait(self, seconds: float) -> None:
        self.host.advance(self.host.clock + seconds)
        self.watch.tick()

    def acknowledge(self, name: bytes) -> None:
        """All that was sent, by this way."""
        heard = self.window.acknowledge(self.window.number, self.host.clock)
        assert heard is not None
        self.watch.note_heard(heard, name)
        self.watch.tick()

    # -- what is asked

    is_held_up = False

    def send_alive_by(self, name: bytes) -> None:
        self.asked.append(name)

    def send_copies(self, name: bytes, numbers: list[int]) -> int:
        self.copied.append(numbers)
        return len(numbers)

    def send_list_by(self, name: bytes) -> None: ...
    def send_probes(self, ways: Any) -> None: ...
    def begin_way(self, rtt: float | None) -> None:
        self.trips.append(rtt)


def overdue(sender: Sender, by: bytes) -> None:
    """Packets are not acknowledged within T, 0.6 s, and then by this way, before V, which is 2.5 s. One was copied."""
    sender.send(2)
    sender.wait(0.7)
    assert sender.watch.alarm is not None
    sender.wait(0.3)
    sender.acknowledge(by)


@pytest.mark.parametrize(
    ("trips", "used", "alarm", "verdict"),
    [
        ((0.1, 0.3), ONE, 0.6, 0.8),
        ((0.1, 0.3), UDP, 0.6, 1.3),
        ((2.0,), ONE, 2.5, 2.5),
        ((2.0,), UDP, 2.5, 4.7),
        ((), ONE, 3.5, 3.5),  # nothing is known
    ],
)
def test_when_an_alarm_begins_and_when_a_way_is_left(
    trips: tuple[float, ...], used: bytes, alarm: float, verdict: float
) -> None:
    """T, and V if there is an answer by another way, which is not about what is overdue."""
    sender = Sender(*trips, used=used)
    sender.send(2)
    sender.wait(alarm - 0.01)
    assert sender.watch.alarm is None
    sender.wait(0.02)
    assert sender.watch.alarm is not None
    sender.watch.alarm.answer = TWO
    if alarm < verdict:
        sender.wait(verdict - alarm - 0.02)
        assert sender.left == []
    sender.wait(0.02)
    assert sender.left == [TWO]


def test_an_alarm_copies_twice_as_many_each_time_up_to_32_and_then_the_oldest_8() -> None:
    sender = Sender(0.1)
    sender.send(100)
    sender.wait(0.7)
    for _ in range(9):
        sender.wait(0.98)
        before = len(sender.copied)
        sender.wait(0.03)
        assert len(sender.copied) == before + 1
    assert [len(numbers) for numbers in sender.copied] == [1, 2, 4, 8, 16, 32, 32, 5, 8, 8]
    assert [number for numbers in sender.copied[:8] for number in numbers] == [*range(100)]
    assert sender.copied[-1] == [*range(8)]


@pytest.mark.parametrize(("rounds", "left"), [(1, []), (2, [None])])
def test_a_way_is_left_in_the_second_round_if_what_arrives_is_what_went_by_others_too(
    rounds: int, left: list[None]
) -> None:
    sender = Sender(0.1)
    sender.send(10)
    sender.wait(0.7)
    for _ in range(rounds - 1):
        sender.wait(1.0)
    heard = sender.window.acknowledge(1, sender.host.clock)
    assert heard is not None
    sender.watch.note_heard(heard, ONE)
    sender.watch.tick()
    assert sender.left == left


def test_rounds_of_an_alarm_are_a_round_trip_apart() -> None:
    sender = Sender(2.0)
    sender.send(100)
    sender.wait(2.6)
    for seconds, rounds in ((1.9, 1), (0.2, 2), (1.9, 2), (0.2, 3)):
        sender.wait(seconds)
        assert len(sender.copied) == rounds


def test_in_some_rounds_of_an_alarm_a_sign_of_life_goes_by_each_way_without_a_packet_of_its_own() -> None:
    sender = Sender(0.1)
    sender.send(1)
    sender.wait(0.7)
    counts = [len(sender.asked)]
    for _ in range(9):
        sender.wait(1.0)
        counts.append(len(sender.asked))
    assert counts == [2, 4, 6, 6, 8, 8, 8, 8, 10, 10]  # the packet was copied: neither has one of its own
    assert {*sender.asked} == {ONE, TWO}


def test_if_all_ways_were_dead_all_times_begin_anew_with_what_comes_by_the_way_in_use() -> None:
    sender = Sender(0.1)
    sender.send(10)
    sender.wait(0.7)
    for _ in range(2):
        sender.wait(1.0)
    heard = sender.window.acknowledge(1, sender.host.clock)
    assert heard is not None
    sender.watch.note_heard(heard, ONE)
    assert (sender.watch.alarm, sender.left) == (None, [])
    sender.wait(0.5)
    assert sender.watch.alarm is None
    sender.wait(0.2)
    assert sender.watch.alarm is not None


def test_an_acknowledgement_that_is_late_and_comes_by_another_way_ends_an_alarm_once() -> None:
    sender = Sender(0.1, 2.0)
    overdue(sender, TWO)
    assert (sender.left, sender.watch.alarm) == ([], None)
    overdue(sender, TWO)
    assert sender.left == [TWO]


def test_one_by_the_way_in_use_between_two_of_these_shows_that_it_works() -> None:
    sender = Sender(0.1, 2.0)
    for by in (TWO, ONE, TWO):
        overdue(sender, by)
        assert (sender.left, sender.watch.alarm) == ([], None)


def passes_all_but(sender: Sender, missing: list[int], seconds: float) -> list[float]:
    """A packet each 0.1 s arrives by the way in use; these do not, however often. When some were copied."""
    times = list[float]()
    for _ in range(round(seconds * 10)):
        before = len(sender.copied)
        sender.send(1)
        sender.wait(0.1)
        end, now = sender.window.end, sender.host.clock
        on_its_way = end - 1  # a list says nothing of what is behind the last one that is missing
        listed = requests.encode([*[number for number in missing if number < on_its_way], on_its_way], end)[1:]
        heard = sender.window.read_request(0, listed, now, 0.15)
        if heard.numbers:
            sender.watch.note_heard(heard, ONE)
        while (again := sender.window.next_asked(now)) is not None:
            sender.watch.note_again(again[0])
        times += [sender.host.clock] * (len(sender.copied) > before)
    return times


def test_packets_that_a_way_does_not_pass_go_by_others_once_in_a_second_and_the_third_time_it_is_left() -> None:
    sender = Sender(0.1)
    times = passes_all_but(sender, [0, 2], 7.0)
    assert sender.watch.alarm is None
    assert times[0] == pytest.approx(1.5)  # twice V, of which 0.2 s is the round trip
    assert all(1.0 <= later - before < 1.11 for before, later in pairwise(times))
    assert sender.copied[0] == [0]  # the other one is not as late
    assert sender.copied[1:] == [[0, 2]] * (len(times) - 1)
    assert (sender.left, sender.recalls) == ([None] * (len(times) // 3), times[2::3])


def test_no_more_than_8_of_them_are_copied() -> None:
    sender = Sender(0.1)
    sender.send(20)
    passes_all_but(sender, [*range(12)], 4.0)
    assert [*map(len, sender.copied)][-1] == 8


@pytest.mark.parametrize(
    ("used", "again", "size", "seconds", "is_bad"),
    [
        (ONE, 20, 96, 0.21, True),
        (ONE, 19, 96, 0.4, False),
        (ONE, 20, 95, 0.4, False),
        (ONE, 20, 96, 0.19, False),
        (UDP, 20, 96, 0.29, False),
        (UDP, 20, 96, 0.31, True),
    ],
)
def test_a_way_by_which_no_large_packet_arrives_any_more_is_bad(
    used: bytes, again: int, size: int, seconds: float, is_bad: bool
) -> None:
    """20 were sent again, and none of any for 0.2 s, and by UDP a round trip."""
    sender = Sender(0.1, used=used)
    for _ in range(again):
        sender.window.add(bytes(size), sender.host.clock)
    for number in range(again):
        sender.watch.note_again(number)
    sender.wait(seconds)
    assert sender.bad == [used] * is_bad


def test_a_large_packet_that_arrives_shows_that_the_way_passes_them() -> None:
    sender = Sender(0.1)
    sender.send(22)
    for number in range(1, 21):
        sender.watch.note_again(number)
    sender.window.again[1] = 0.0
    heard = sender.window.acknowledge(1, sender.host.clock)
    assert heard is not None
    sender.watch.note_heard(heard, ONE)
    sender.wait(0.4)
    assert sender.bad == []


@pytest.mark.parametrize(
    ("waits", "sent", "seconds", "is_bad"),
    [(True, 1, 1.0, True), (True, 2, 1.0, False), (False, 1, 1.0, False), (True, 1, 0.9, False)],
)
def test_a_relay_that_takes_fewer_than_2_packets_in_a_second_while_others_wait_is_bad(
    waits: bool, sent: int, seconds: float, is_bad: bool
) -> None:
    sender = Sender(2.0)
    sender.is_held_up = waits
    sender.send(sent)
    sender.wait(seconds)
    assert sender.bad == [ONE] * is_bad


def test_another_way_begins_with_its_own_round_trip() -> None:
    sender = Sender(0.3, 0.1)
    sender.ways.tracks[TWO].rtts = ()
    for used, moves in ((TWO, 2), (ONE, 3)):
        sender.ways.used, sender.ways.moves = used, moves
        sender.wait(0.1)
    assert sender.trips == [0.1, None, 0.1]
