"""What is known of one way to a friend: how long it is suspect, and how good it is. docs/protocols/tox.rst, ways."""

from __future__ import annotations

import pytest

from sansproto.tox.tracks import Track, longest, shortest, unmeasured


def used(served: float, now: float, track: Track) -> None:
    """It is used for so long, and left."""
    track.begin(now - served)
    track.leave(now)


def test_a_way_that_is_left_is_suspect_for_30_seconds_and_for_twice_as_long_each_time_up_to_300() -> None:
    track, now = Track(), 1000.0
    for seconds in (30.0, 60.0, 120.0, 240.0, 300.0, 300.0):
        used(59.0, now, track)
        assert track.suspect_until - now == seconds
        assert track.is_suspect(now + seconds - 0.1)
        assert not track.is_suspect(now + seconds)
        now += 1000.0
    used(60.0, now, track)
    assert track.suspect_until - now == 30.0


def test_a_round_trip_is_that_of_the_last_8_packets() -> None:
    track = Track()
    for trip in (5.0, 0.01, *[1.0] * 7, 2.0):
        track.note_rtt(trip, 100.0)
    assert (len(track.rtts), shortest(track, ()), longest(track, ())) == (8, 1.0, 2.0)


def test_a_way_that_is_not_measured_has_the_longest_recent_round_trip_of_the_others_up_to_3_seconds() -> None:
    assert unmeasured([]) == unmeasured([Track()]) == 3.0
    others = [Track((9.0, 0.1)), Track((0.1, 0.4)), Track()]
    assert shortest(None, others) == longest(Track(), others) == unmeasured(others) == 0.4
    assert unmeasured([Track((4.0,))]) == 3.0


def counted(trips: tuple[float, ...], parts: list[tuple[float, int, int]], *, is_udp: bool = False) -> bool:
    """Is a way bad with these round trips, by which so many packets went, and were lost, in parts of its time?"""
    track, now = Track(trips), 1000.0
    track.begin(now)
    bad = False
    for seconds, went, lost in parts:
        now += seconds
        bad = track.count(now, went, lost, is_udp=is_udp, loses_all=False)
    return bad


@pytest.mark.parametrize(
    ("trips", "parts", "is_bad", "is_bad_udp"),
    [
        ((2.9,), [(0.5, 20, 0)] * 2, False, False),
        ((3.1,), [(0.5, 20, 0)] * 2, True, False),
        ((4.1,), [(4.1, 20, 0)] * 2, True, True),
        ((9.0,) * 5 + (1.0, 9.0, 9.0), [(9.0, 20, 0)] * 2, False, False),  # the shortest of the last three
        ((0.1, 9.0, 9.0, 9.0), [(9.0, 20, 0)] * 2, True, True),
        ((0.1,), [(0.5, 20, 7)] * 2, True, False),
        ((0.1,), [(0.5, 20, 8)] * 2, True, True),
        ((0.1,), [(0.5, 20, 5)] * 2, False, False),
        ((0.1,), [(0.5, 20, 20)], False, False),  # two parts show a loss that lasts
        ((0.1,), [(0.5, 20, 20), (0.5, 20, 5)], False, False),  # and the better one counts
        ((0.1,), [(0.5, 20, 5), (0.5, 20, 20)], False, False),
        ((0.1,), [(0.5, 19, 19)], False, False),  # too few packets, or in too short a time
        ((0.1,), [(0.5, 19, 19), (0.5, 1, 1), (0.5, 19, 19)], False, False),
        ((0.1,), [(0.4, 30, 30)] * 3, False, False),
        ((1.0,), [(0.6, 20, 20)] * 3, True, False),  # by UDP it is counted for a round trip
        ((1.0,), [(0.6, 20, 20)] * 4, True, True),
        ((), [(0.5, 20, 20)] * 2, False, False),
    ],
)
def test_a_way_is_bad_that_is_slow_or_loses_much(
    trips: tuple[float, ...], parts: list[tuple[float, int, int]], is_bad: bool, is_bad_udp: bool
) -> None:
    """3 s, and by UDP 4 s, of which a loss of all packets is 10 s."""
    assert (counted(trips, parts), counted(trips, parts, is_udp=True)) == (is_bad, is_bad_udp)


def test_a_way_by_which_nothing_arrives_is_bad_at_once() -> None:
    track = Track()
    assert track.count(1000.0, 0, 0, is_udp=False, loses_all=True)
    assert track.score == 10.0


def test_instead_of_a_bad_way_one_is_used_that_is_twice_as_good_or_that_is_not_known_for_300_seconds() -> None:
    bad, other, now = Track(score=4.0, scored=1000.0), Track(), 1000.0
    assert other.is_better(bad, now)  # never used
    other.scored = now - 299.0
    for score, is_better in ((1.9, True), (2.0, False)):
        other.score = score
        assert other.is_better(bad, now) is is_better
    other.scored = now - 300.0
    assert other.is_better(bad, now)
    other.suspect_until = now + 0.1
    assert not other.is_better(bad, now)
