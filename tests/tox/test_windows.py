"""Windows against a model that keeps everything, over a way that loses, doubles and mixes packets."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sansproto.tox import requests
from sansproto.tox.windows import SIZE, SMALL, Heard, ReceiveWindow, SendWindow

WRAP = 1 << 32


def send_window(start: int = 0, *, sent: int = 0, now: float = 0.0) -> SendWindow:
    window = SendWindow(start, start)
    for number in range(start, start + sent):
        assert window.add(b"%d" % number, now) == number % WRAP
    return window


# -- both ends together


class Ends:
    """A sender and a receiver. What is on its way may be lost, doubled, and come in any order."""

    def __init__(self, seed: int, start: int, loss: float) -> None:
        self.random, self.loss, self.now = Random(seed), loss, 0.0
        self.sender, self.receiver = SendWindow(start, start), ReceiveWindow(start, start)
        self.forth: list[tuple[int, bytes, int]] = []
        self.back: list[tuple[int, bytes]] = []
        self.given: list[bytes] = []
        self.taken: list[bytes] = []

    def put(self, number: int, payload: bytes) -> None:
        for _ in range(self.random.choice([1, 1, 2])):
            if self.random.random() >= self.loss:
                self.forth.append((number, payload, self.sender.number))

    def send(self) -> None:
        payload = b"packet %d" % len(self.given)
        self.given.append(payload)
        self.put(self.sender.add(payload, self.now), payload)

    def send_again(self) -> None:
        while (found := self.sender.next_asked(self.now)) is not None:
            self.put(found[0] & 0xFFFF_FFFF, found[1])

    def request(self) -> None:
        if self.random.random() >= self.loss:
            self.back.append((self.receiver.number, self.receiver.request()))

    def arrive(self) -> None:
        if not self.forth:
            return
        number, payload, end = self.forth.pop(self.random.randrange(len(self.forth)))
        if self.receiver.is_new(number):
            self.receiver.put(number, payload)
        self.receiver.note_end(end)
        while (next := self.receiver.next()) is not None:
            self.taken.append(next)

    def hear(self) -> None:
        if not self.back:
            return
        start, payload = self.back.pop(self.random.randrange(len(self.back)))
        if self.sender.is_possible(start):
            self.sender.acknowledge(start, self.now)
            self.sender.read_request(start, payload[1:], self.now, 0.5)
        self.send_again()

    def check(self) -> None:
        """What arrived is the beginning of what was given, and what the sender has forgotten has arrived."""
        assert self.taken == self.given[: len(self.taken)]
        window = self.sender
        kept = {**window.arrived, **{number: payload for number, (payload, _) in window.packets.items()}}
        assert [payload for _, payload in sorted(kept.items())] == self.given[len(self.given) - len(kept) :]
        assert [*window.packets] == sorted(window.packets)
        assert {*window.asked} <= {*window.packets}
        assert len(self.given) - len(kept) <= len(self.taken)
        assert len(self.receiver.held) <= self.receiver.span <= SIZE


@given(
    st.integers(0, 1 << 32),
    st.sampled_from([0, 1, WRAP - 3, WRAP + 5, 3 * WRAP - 1]),
    st.sampled_from([0.0, 0.1, 0.3, 0.6]),
    st.lists(st.sampled_from("sssaaarh."), max_size=200),
)
def test_every_packet_arrives_once_and_in_order(seed: int, start: int, loss: float, course: list[str]) -> None:
    ends = Ends(seed, start, loss)
    steps = {"s": ends.send, "a": ends.arrive, "r": ends.request, "h": ends.hear}
    for step in course:
        ends.now += 0.1
        steps.get(step, lambda: None)()
        ends.check()
    ends.loss = 0.0
    for _ in range(100):
        if ends.taken == ends.given and not ends.sender.packets:
            break
        ends.now += 1.0
        ends.receiver.note_end(ends.sender.number)  # as each list of the sender tells
        ends.request()
        while ends.back:
            ends.hear()
        while ends.forth:
            ends.arrive()
        ends.check()
    assert ends.taken == ends.given
    assert not ends.sender.packets


def test_a_whole_window_of_which_all_but_the_last_was_lost() -> None:
    sender, receiver, now = send_window(sent=SIZE), ReceiveWindow(), 1.0
    assert sender.waiting == SIZE
    receiver.put(SIZE - 1, b"%d" % (SIZE - 1))
    taken, rounds = 0, 0
    while receiver.is_missing:
        now, rounds = now + 1.0, rounds + 1
        sender.acknowledge(receiver.number, now)
        sender.read_request(receiver.number, receiver.request()[1:], now, 0.5)
        while (found := sender.next_asked(now)) is not None:
            receiver.put(*found)
        while (payload := receiver.next()) is not None:
            assert payload == b"%d" % taken
            taken += 1
    assert taken == SIZE
    assert rounds == 24  # 1372 numbers in a list


# -- the sender


def test_an_acknowledgement_tells_the_round_trip_of_the_newest_packet_that_it_names() -> None:
    window = send_window(sent=2)
    window.add(b"later", 5.0)
    assert window.acknowledge(3, 7.0) == Heard(3, 2.0, 0, range(3))
    assert (window.start, window.packets) == (3, {})
    assert window.acknowledge(3, 9.0) is None
    assert window.acknowledge(1, 9.0) is None


@pytest.mark.parametrize("start", [0, WRAP - 2, 5 * WRAP])
def test_an_acknowledgement_is_possible_up_to_what_was_sent_and_whatever_is_older(start: int) -> None:
    window = send_window(start, sent=4)
    window.acknowledge((start + 1) % WRAP, 0.0)
    assert [window.is_possible((start + ahead) % WRAP) for ahead in (0, 1, 4)] == [True] * 3
    assert window.is_possible((start - 40_000) % WRAP) is (start > 40_000)  # before the first packet was none
    assert not window.is_possible((start + 5) % WRAP)
    assert not window.is_possible((start + SIZE + 7) % WRAP)


def test_a_packet_is_not_sent_again_within_a_round_trip() -> None:
    window = send_window(sent=3)
    window.read_request(0, b"\1\1", 0.5, 0.5)
    assert window.next_asked(0.5) is None
    window.read_request(0, b"\1\1", 0.6, 0.5)
    assert window.next_asked(0.6) == (0, b"0")
    window.read_request(0, b"\1\1", 0.7, 0.5)
    assert window.next_asked(0.7) == (1, b"1")
    assert window.next_asked(0.7) is None


def test_what_was_sent_again_and_is_lost_again_is_told_each_time() -> None:
    """Else congestion control notices nothing of it."""
    window = send_window(sent=3)
    for now in (1.0, 2.0, 3.0):
        heard = window.read_request(0, b"\1\1", now, 0.5)
        assert (heard.missing, heard.again) == ((2, 0) if now == 1.0 else (0, 2))
        heard = window.read_request(0, b"\1\1", now, 0.5)
        assert (heard.missing, heard.again) == (0, 0)  # they wait already
        assert [window.next_asked(now) for _ in range(2)] == [(0, b"0"), (1, b"1")]


def test_it_is_seen_whether_a_large_packet_arrives_where_some_were_sent_again() -> None:
    window = send_window(sent=3)  # these are small
    for size in (SMALL, SMALL - 1, SMALL):
        window.add(bytes(size), 0.0)
    assert window.read_request(0, b"\1\3\1\1", 1.0, 0.5) == Heard(2, 1.0, 4, [1, 2])
    window.read_request(0, b"\1\5", 1.0, 0.5)  # 3 and 4 are here, and nothing was sent again yet
    window.next_asked(1.0)
    window.add(b"small", 1.0)
    assert window.read_request(0, b"\1\5\2", 2.0, 0.5).has_large is False
    window.add(bytes(SMALL), 2.0)
    assert window.read_request(0, b"\1\5\3", 3.0, 0.5).has_large is True
    assert window.acknowledge(5, 3.0).has_large is False  # type: ignore[union-attr]
    window.add(bytes(SMALL), 3.0)
    window.read_request(5, b"\1", 4.0, 0.5)
    window.next_asked(4.0)
    assert window.acknowledge(6, 5.0).has_large is True  # type: ignore[union-attr]


def test_the_lowest_packet_that_was_asked_for_is_sent_first() -> None:
    window = send_window(sent=3)
    window.add(b"3", 0.8)
    window.read_request(0, b"\1\1\1\1", 1.0, 0.5)
    assert window.next_asked(1.0) == (0, b"0")
    window.read_request(0, b"\1\1\1\1", 1.4, 0.5)
    assert [window.next_asked(1.4) for _ in range(4)] == [(1, b"1"), (2, b"2"), (3, b"3"), None]


def test_what_arrived_behind_a_gap_is_kept_until_the_gap_is_closed_and_not_sent_again() -> None:
    window = send_window(sent=4)
    assert window.read_request(0, b"\1\3", 2.0, 0.5) == Heard(2, 2.0, 2, [1, 2])  # 0 and 3 are missing
    assert window.in_flight == 0
    assert [window.next_asked(2.0) for _ in range(3)] == [(0, b"0"), (3, b"3"), None]
    window.read_request(0, b"\1\1\1\1", 9.0, 0.5)  # an older list, which came late
    assert [window.next_asked(9.0) for _ in range(3)] == [(0, b"0"), (3, b"3"), None]
    assert window.take_all() == [b"0", b"1", b"2", b"3"]
    assert window.take_all() == []


def test_the_round_trip_of_a_list_is_that_of_the_newest_packet_that_it_passes() -> None:
    window = send_window(sent=2)
    window.add(b"2", 3.0)
    window.add(b"3", 3.5)
    assert window.read_request(0, b"\1\3", 4.0, 9.0) == Heard(2, 1.0, 0, [1, 2])
    assert window.read_request(0, b"\1\3", 5.0, 9.0) == Heard(0, None, 0, [])
    assert window.in_flight == 2
    assert window.acknowledge(3, 5.0) == Heard(
        1, None, 0, range(3)
    )  # the first, which was missing, and others that were known
    assert window.in_flight == 1


def test_no_round_trip_is_told_by_a_packet_that_was_known_to_have_arrived() -> None:
    window = send_window(sent=3)
    window.read_request(0, b"\1\2", 4.0, 9.0)
    assert window.acknowledge(2, 5.0) == Heard(1, None, 0, range(2))


def test_no_round_trip_is_told_by_a_packet_that_stood_behind_one_which_was_sent_again_later() -> None:
    window = send_window(sent=2)
    window.add(b"2", 1.0)
    assert window.read_request(0, b"\1", 4.0, 1.0).missing == 1
    window.next_asked(4.0)
    window.add(b"3", 5.0)
    assert window.acknowledge(3, 6.0) == Heard(3, None, 0, range(3))  # 1 and 2 may have been there for long
    assert window.acknowledge(4, 7.0) == Heard(1, 2.0, 0, range(3, 4))


def test_a_packet_that_was_sent_after_one_which_was_sent_again_tells_the_round_trip() -> None:
    window = send_window(sent=1)
    window.read_request(0, b"\1", 4.0, 1.0)
    window.next_asked(4.0)
    window.add(b"1", 5.0)
    assert window.acknowledge(2, 6.0) == Heard(2, 1.0, 0, range(2))


def test_a_list_that_is_full_tells_no_round_trip() -> None:
    for steps, round_trip in ((requests.MOST, None), (requests.MOST - 1, 9.0)):
        window = send_window(sent=3000)
        assert window.read_request(0, b"\2" * steps, 9.0, 99.0).round_trip == round_trip
    window = send_window(sent=9000)
    assert window.read_request(0, b"\1" + b"\0" * 32, 9.0, 99.0).round_trip is None  # it has looked no further


def test_a_packet_that_was_sent_twice_tells_no_round_trip() -> None:
    window = send_window(sent=2)
    assert window.read_request(0, b"\1", 4.0, 1.0).missing == 1
    assert window.in_flight == 1
    window.next_asked(4.0)
    assert window.in_flight == 2
    assert window.read_request(0, b"\1", 9.0, 1.0) == Heard(0, None, again=1, numbers=[])  # it is lost again
    window.next_asked(9.0)
    assert window.acknowledge(1, 9.5) == Heard(1, None, 0, range(1))
    assert window.again == {}
    window.read_request(1, b"\1", 20.0, 1.0)
    assert window.acknowledge(2, 21.0) == Heard(
        1, 21.0, 0, range(1, 2)
    )  # what was asked for and has arrived is not sent
    assert window.next_asked(21.0) is None


def test_what_is_to_be_sent_again_and_has_arrived_is_not_sent() -> None:
    window = send_window(sent=4)
    window.read_request(0, b"\1\1", 4.0, 1.0)
    window.read_request(0, b"\1\3", 4.0, 9.0)
    assert window.in_flight == 1
    assert [window.next_asked(4.0) for _ in range(2)] == [(0, b"0"), None]


def test_a_stale_list_counts_from_its_own_start() -> None:
    window = send_window(WRAP - 2, sent=6)
    window.acknowledge(0, 0.0)  # the first two
    assert window.is_possible(WRAP - 2)
    assert window.acknowledge(WRAP - 2, 1.0) is None
    window.read_request(WRAP - 2, b"\1\3", 1.0, 0.5)  # WRAP - 2, which is done, and WRAP + 1
    assert [window.next_asked(1.0) for _ in range(2)] == [(WRAP + 1, b"%d" % (WRAP + 1)), None]
    assert window.start == WRAP


# -- the receiver


@pytest.mark.parametrize("start", [0, WRAP - 1, 2 * WRAP + 7])
def test_packets_are_new_within_the_window_and_once(start: int) -> None:
    window = ReceiveWindow(start, start)
    assert not window.is_new((start - 1) % WRAP)
    assert window.is_new((start + SIZE - 1) % WRAP)
    assert not window.is_new((start + SIZE) % WRAP)
    window.put((start + 1) % WRAP, b"second")
    assert not window.is_new((start + 1) % WRAP)
    assert window.next() is None
    window.put(start % WRAP, b"first")
    assert [window.next() for _ in range(3)] == [b"first", b"second", None]
    assert window.number == (start + 2) % WRAP
    assert window.held == {}


@pytest.mark.parametrize("start", [0, WRAP - 1])
@pytest.mark.parametrize(
    ("ahead", "span"), [(0, 0), (1, 1), (SIZE, SIZE), (SIZE + 1, 0), (-1, 0), (1 << 31, 0)], ids=str
)
def test_the_end_moves_up_to_a_whole_window_ahead(start: int, ahead: int, span: int) -> None:
    window = ReceiveWindow(start, start)
    window.note_end((start + ahead) % WRAP)
    assert window.span == span


def test_the_end_never_moves_back() -> None:
    window = ReceiveWindow()
    window.put(4, b"fifth")
    assert window.span == 5
    window.note_end(2)
    assert window.span == 5
    window.put(1, b"second")
    assert window.span == 5
    assert window.is_missing


@given(st.sets(st.integers(0, 600)), st.integers(0, 700))
@example({0}, 1)
def test_a_request_asks_for_what_is_missing_and_nothing_else(there: set[int], end: int) -> None:
    receiver = ReceiveWindow()
    for number in there:
        receiver.put(number, b"%d" % number)
    receiver.note_end(end)
    while receiver.next() is not None:
        pass
    sender = send_window(sent=max([end, *(number + 1 for number in there)], default=0))
    asked = set()
    for _ in range(4):
        sender.acknowledge(receiver.number, 9.0)
        sender.read_request(receiver.number, receiver.request()[1:], 9.0, 0.5)
        while (found := sender.next_asked(9.0)) is not None:
            asked.add(found[0])
    assert asked == set(range(sender.start, sender.end)) - there


def test_without_a_gap_a_request_only_acknowledges() -> None:
    assert ReceiveWindow().request() == b"\1"
