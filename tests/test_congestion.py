"""The window that goes by delays, driven by itself. How fair it is: tests/tox/test_fairness.py."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansproto.congestion import TICK, DelayWindow

ROUND_TRIP = 0.1
LATER = round(ROUND_TRIP / TICK)


def hear(
    window: DelayWindow,
    now: float,
    count: int,
    round_trip: float | None,
    *,
    in_flight: int = 1_000_000,
    gaps: bool = False,
) -> None:
    """So many more are acknowledged; many others are in flight."""
    window.note_acknowledged(now, count, round_trip, in_flight=in_flight, gaps=gaps)


def run(window: DelayWindow, seconds: float, *, most: float = 1e9) -> list[int]:
    """Send as much as may be sent; each 50 ms what was sent a round trip before is acknowledged, of so many in a second
    at most. How many are sent in each 50 ms."""
    sent, began = [0] * LATER, window.filled
    waiting, in_flight = 0.0, 0
    for tick in range(round(seconds / TICK)):
        sent.append(0)
        for step in range(10):
            count = window.may_send(began + tick * TICK + step * TICK / 10, in_flight)
            sent[-1] += count
            in_flight += count
            for _ in range(count):
                window.note_sent()
        waiting += sent[-1 - LATER]
        through = int(min(waiting, most * TICK))
        waiting -= through
        in_flight -= through
        if through:
            hear(window, began + (tick + 1) * TICK, through, ROUND_TRIP + waiting / most, in_flight=in_flight)
    return sent


def test_the_rate_doubles_with_each_round_trip_until_something_stands_in_a_queue() -> None:
    window = DelayWindow(0.0)
    run(window, 1.0)
    assert window.is_starting
    assert window.rate > 20 / ROUND_TRIP * 2**4
    run(window, 3.0, most=1000.0)
    assert not window.is_starting


def test_in_the_start_the_rate_becomes_at_most_three_times_as_high_as_packets_arrive() -> None:
    """Each acknowledgement tells of ten round trips."""
    window, in_flight, rates = DelayWindow.begin(0.0, TICK / 10), 0, list[float]()
    for tick in range(8):
        rates.append(window.rate)
        for step in range(10):
            sent = window.may_send(tick * TICK + step * TICK / 10, in_flight)
            in_flight += sent
            for _ in range(sent):
                window.note_sent()
        hear(window, (tick + 1) * TICK, in_flight, TICK / 10, in_flight=0)
        in_flight = 0
    assert window.is_starting
    assert all(after <= 3.01 * before for before, after in pairwise(rates[2:]))
    assert rates[-1] > 100 * rates[0]
    arrived, before = 0.0, window.rate
    while window.is_starting:
        tick, arrived = tick + 1, before * TICK
        hear(window, (tick + 1) * TICK, int(arrived), TICK, in_flight=0)
    assert window.window * 10 == pytest.approx(arrived, rel=0.1)  # what arrives in the round trip of the empty way


def test_behind_the_start_it_waits_for_what_was_too_much() -> None:
    """Of that, some is found to be missing a round trip later only."""
    window = DelayWindow(0.0)
    run(window, 1.0)
    hear(window, 1.1, 100, 0.2)
    assert not window.is_starting
    before = window.window
    hear(window, 1.1 + 1.5 * ROUND_TRIP + TICK, 100, ROUND_TRIP)
    assert window.window == before
    hear(window, 1.1 + 2.1 * ROUND_TRIP + TICK, 100, ROUND_TRIP)
    assert window.window > before


def test_the_rate_comes_to_that_of_the_way() -> None:
    sent = run(DelayWindow(0.0), 20.0, most=1000.0)
    assert 0.9 * 1000 < sum(sent[-200:]) / 10 < 1.02 * 1000


def test_without_acknowledgements_two_windows_are_sent() -> None:
    window = DelayWindow(0.0)
    in_flight = 0
    for tick in range(1000):
        count = window.may_send(tick * TICK, in_flight)
        in_flight += count
        for _ in range(count):
            window.note_sent()
    assert in_flight == 2 * (20 + 1)  # in the beginning a round trip is taken for a second


def test_no_more_is_sent_at_once_after_a_pause_than_in_ten_milliseconds() -> None:
    window = DelayWindow(0.0, window=1000.0, tokens=0.0)
    assert window.may_send(60.0, 0) == 10


def test_losses_by_chance_leave_the_window_as_it_is() -> None:
    window = DelayWindow(0.0, window=100.0)
    for missing, arrived in ((2, 0), (3, 7), (30, 70)):
        window.note_missing(0.0, missing, arrived)
    assert window.window == 100.0


def test_many_losses_shrink_it_once_in_a_round_trip() -> None:
    window = DelayWindow(0.0, window=100.0)
    for _ in range(5):
        window.note_missing(0.0, 40, 60)
    assert window.window == 70.0
    window.note_missing(window.round_trip + TICK, 40, 60)
    assert window.window == 49.0


def test_a_packet_that_was_on_its_way_while_nothing_came_does_not_say_how_long_the_empty_way_is() -> None:
    window = DelayWindow(0.0)
    run(window, 2.0, most=1000.0)
    hear(window, 20.0, 1, 18.0)
    assert window.empty == ROUND_TRIP
    hear(window, 20.6, 1, None)
    assert window.round_trip == ROUND_TRIP


def test_after_a_pause_half_of_what_arrived_before_may_arrive_in_a_round_trip() -> None:
    window = DelayWindow(0.0)
    run(window, 2.0, most=1000.0)
    before = window.window
    hear(window, 4.0, 1, ROUND_TRIP)
    assert before / 3 < window.window < 1.01 * before
    for now in (9.0, 14.0, 19.0, 24.0):
        hear(window, now, 1, ROUND_TRIP)
    assert window.window < before / 3


def test_it_does_not_grow_before_it_is_seen_what_that_brought() -> None:
    window = DelayWindow(0.0, window=100.0, is_starting=False)
    run(window, 1.0, most=1000.0)
    before = window.window
    window.note_missing(1.0, 400, 600)
    hear(window, 1.0, 50, ROUND_TRIP)
    assert window.window == 0.7 * before
    hear(window, 1.0 + ROUND_TRIP + TICK / 2, 50, ROUND_TRIP)
    assert window.window == 0.7 * before
    hear(window, 1.0 + ROUND_TRIP + 2 * TICK, 50, ROUND_TRIP)
    assert window.window > 0.7 * before


def test_what_arrived_since_packets_were_missing_counts_against_them() -> None:
    """A list of what is missing speaks of the packets behind the first gap alone."""
    window = DelayWindow(0.0, window=100.0, is_starting=False)
    hear(window, 1.0, 10, None)
    before = window.window
    window.note_missing(1.0, 4, 0)
    assert window.window == before
    window.note_missing(1.0, 4, 0)
    assert window.window == 0.7 * before


def test_a_round_trip_that_was_long_counts_for_half_a_second_while_all_packets_are_sent_twice() -> None:
    window = DelayWindow(0.0)
    run(window, 1.0, most=1000.0)
    hear(window, 2.0, 1, 1.0, gaps=True)  # one that waited behind a gap
    assert window.round_trip == 1.0
    hear(window, 2.4, 1, None, gaps=True)
    assert window.round_trip == 1.0
    hear(window, 2.6, 1, None, gaps=True)
    assert window.round_trip == window.empty == ROUND_TRIP
    assert window.rate >= 16 / ROUND_TRIP


def test_beside_one_who_keeps_the_queue_full_more_packets_may_stand_there() -> None:
    window = DelayWindow(0.0, window=40.0, is_starting=False)
    hear(window, 0.0, 20, 0.05)
    lowest = 40.0
    for tick in range(1, 180):
        hear(window, tick * TICK, int(window.window), 0.15)
        lowest = min(lowest, window.window)
    assert window.boost == 8.0
    assert window.window > lowest
    window.note_missing(9.5, 1, 99)
    assert window.boost == 4.0
    hear(window, 9.6, 1, 0.05)
    assert window.boost == 1.0


@given(st.lists(st.tuples(st.floats(0.0, 0.01), st.integers(1, 50), st.floats(0.0, 60.0), st.booleans()), max_size=60))
def test_whatever_is_acknowledged_the_window_keeps_its_bounds(course: list[tuple[float, int, float, bool]]) -> None:
    window, now = DelayWindow(0.0), 0.0
    for passed, count, round_trip, gaps in course:
        now += passed
        hear(window, now, count, round_trip, gaps=gaps)
        if count % 3 == 0:
            window.note_missing(now, count, count)
        assert 16.0 <= window.window <= 16.0 + 1.5 * sum(one[1] for one in course) / 0.2 * (window.empty + 0.1)
        assert 0.002 <= window.wait() <= TICK


def test_who_acknowledges_each_packet_fills_no_memory() -> None:
    window = DelayWindow(0.0)
    for number in range(20_000):
        hear(window, number / 1000, 1, 0.1 + number / 1e6)
    assert max(map(len, (window.base.values, window.standing.values, window.lately.values, window.slices))) <= 66


@pytest.mark.parametrize("left", [0, 50, 200, 1000])
def test_a_queue_that_is_gone_when_it_is_learnt_slows_nothing_down(left: int) -> None:
    """The other end acknowledges when it has read all that stood there. No more than what is in flight stands there
    now. 1000 packets in a second come through, 400 at once."""
    window, long = DelayWindow(0.0, is_starting=False), 4 * ROUND_TRIP
    hear(window, 0.4, 400, ROUND_TRIP)
    for turn in range(2, 13):
        hear(window, 0.4 * turn, 400, long, in_flight=left)
    assert window.rate == pytest.approx(window.window / min(ROUND_TRIP + left / 1000, long), rel=0.1)
    window.move(long)
    assert window.rate == window.window / long


@pytest.mark.parametrize(("told", "counts"), [(0.2, 0.2), (None, 1.0), (0.0, 0.005), (3600.0, 10.0)])
def test_on_another_way_its_round_trip_counts_if_it_is_known(told: float | None, counts: float) -> None:
    window = DelayWindow(0.0, window=100.0, is_starting=False)
    hear(window, 1.0, 1, 1.0)
    window.move(told)
    assert window.empty == window.round_trip == counts
    assert window.rate == window.window / counts
    hear(window, 2.0, 1, 0.5)
    assert window.empty == window.round_trip == 0.5


def test_what_was_learnt_counts_for_ten_seconds() -> None:
    window = DelayWindow(1.0)
    assert window.is_active(10.9)
    assert not window.is_active(11.0)


# -- an other end that acknowledges what and when it likes


def recovers_within(window: DelayWindow, now: float) -> float:
    """Seconds until seven tenths of the rate of an honest way are sent."""
    window.filled = now
    sent = run(window, 20.0, most=1000.0)[LATER:]
    second = round(1.0 / TICK)
    return next(place * TICK for place in range(len(sent)) if sum(sent[place : place + second]) >= 700)


@pytest.mark.parametrize("pause", [60.0, 3600.0, 1e9])
@pytest.mark.parametrize("is_starting", [True, False])
def test_acknowledgements_after_a_long_pause_do_not_slow_it_down_for_as_long(pause: float, is_starting: bool) -> None:
    """The other end's program took nothing for so long, or it lies."""
    window = DelayWindow(0.0)
    run(window, 1.0 if is_starting else 5.0, most=1e9 if is_starting else 1000.0)
    assert window.is_starting is is_starting
    now = 5.0 + pause
    hear(window, now, 4, pause)
    window.note_missing(now, 40, 0)
    while window.may_send_again(now):
        window.note_sent_again(now)
    assert window.wait() <= TICK
    assert recovers_within(window, now) < 3.0


def test_what_had_to_be_sent_at_once_is_paid_for_within_a_round_trip() -> None:
    window = DelayWindow.begin(0.0, ROUND_TRIP)
    for _ in range(100_000):
        window.note_sent_again(0.0)
    assert window.may_send(0.0, 0) == 0
    assert window.may_send(1.1 * ROUND_TRIP, 0) > 0


@pytest.mark.unmeasured
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.001, TICK, 1.0, 60.0, 3600.0]),
            st.sampled_from(["send", "again", "all", "one", "missing", "move"]),
            st.none() | st.sampled_from([0.0, 1e-9, 0.005, 0.1, 1.0, 60.0, 3600.0]),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_no_lie_lasts_longer_than_the_lowest_round_trip_is_remembered(
    course: list[tuple[float, str, float | None, bool]],
) -> None:
    window, now, in_flight = DelayWindow(0.0), 0.0, 0
    for passed, what, trip, gaps in course:
        now += passed
        if what == "send":
            for _ in range(min(window.may_send(now, in_flight), 30_000 - in_flight)):
                window.note_sent()
                in_flight += 1
        elif what == "again":
            while window.may_send_again(now):
                window.note_sent_again(now)
        elif what in ("all", "one") and in_flight:
            count = in_flight if what == "all" else 1
            in_flight -= count
            hear(window, now, count, trip, in_flight=in_flight, gaps=gaps)
        elif what == "missing":
            window.note_missing(now, in_flight, 0)
        elif what == "move":
            window.move(trip)
        assert 16.0 <= window.window < 1e6
        assert 1.0 < window.rate < 1e8
        assert 0.002 <= window.wait() <= TICK
    assert recovers_within(window, now) < 10.0 + 2.0


def test_acknowledgements_cut_into_pieces_let_it_grow_no_faster() -> None:
    whole, pieces = (DelayWindow(0.0, is_starting=False) for _ in range(2))
    for tick in range(100):
        now = tick * TICK
        hear(whole, now, 20, ROUND_TRIP)
        for _ in range(20):
            hear(pieces, now, 1, ROUND_TRIP)
    assert pieces.window < 1.01 * whole.window
