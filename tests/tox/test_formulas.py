"""How fast toxcore sends. docs/protocols/tox.rst, congestion."""

from __future__ import annotations

import pytest

from sansproto.tox.formulas import Formulas


def test_64_packets_are_sent_at_once_and_then_at_the_rate() -> None:
    congestion = Formulas(0.0)
    assert congestion.may_send(0.0, 0) == 64
    for _ in range(64):
        congestion.note_sent()
    assert congestion.may_send(0.0, 0) == 0
    assert congestion.may_send(0.5, 0) == 2
    assert congestion.may_send(1000.0, 0) <= 4 * 4 * 1000 + 64
    assert congestion.wait() == 0.05  # it is not for the rate that something waits
    congestion.left = 0.5
    assert congestion.wait() == 0.25


def run(congestion: Formulas, seconds: float, *, capacity: float) -> list[float]:
    """Send as much as may be; of that so many packets a second are acknowledged, two ticks later. The rates."""
    sent, arrived, rates = [0, 0], 0.0, list[float]()
    for tick in range(1, int(seconds * 20)):
        now = tick * 0.05
        sent.append(sent[-1] + congestion.may_send(now, 0))
        for _ in range(sent[-1] - sent[-2]):
            congestion.note_sent()
        arrived = min(arrived + capacity * 0.05, sent[-3])
        congestion.tick(now, int(sent[-1] - arrived), 0.1)
        rates.append(congestion.rate)
    return rates


def test_the_rate_grows_by_a_fifth_of_what_arrives_while_nothing_is_lost() -> None:
    rates = run(Formulas(0.0), 20.0, capacity=1e9)
    assert rates[-1] > 50 * rates[40]


def test_the_rate_stays_near_what_arrives() -> None:
    rates = run(Formulas(0.0), 60.0, capacity=500.0)
    assert 400.0 < sum(rates[-400:]) / 400 < 600.0


def test_what_has_to_be_sent_again_counts_against_the_rate() -> None:
    congestion = Formulas(0.0, left=2.0, asked_left=10.0)
    congestion.note_sent_again(1.0)
    assert (congestion.left, congestion.congested) == (1.0, None)
    congestion.note_sent_again(1.0)
    assert (congestion.left, congestion.congested) == (0.0, 1.0)
    for _ in range(8):
        assert congestion.may_send_again(1.0)
        congestion.note_sent_again(1.0)
    congestion.filled = 1.0
    assert not congestion.may_send_again(1.0)
    assert congestion.may_send_again(1.5)


def test_a_congestion_of_the_last_second_lets_the_rate_fall() -> None:
    rates = []
    for congested in (None, 0.5, 4.5):
        congestion = Formulas(0.0, congested=congested)
        congestion.tick(0.0, 0, 0.1)
        congestion.sent = [10] * 24
        congestion.tick(5.0, 0, 0.1)
        rates.append(congestion.rate)
    assert rates == [pytest.approx(240.0), pytest.approx(240.0), pytest.approx(180.0)]


def test_a_long_queue_lets_the_rate_fall_to_half_of_what_arrives_in_its_time() -> None:
    congestion = Formulas(0.0)
    congestion.tick(0.0, 600, 0.1)
    congestion.queues, congestion.sent = [600] * 12, [10] * 24
    congestion.tick(5.0, 600, 0.1)
    assert congestion.rate == pytest.approx(200.0 * 2 / 3)
    congestion.queues = [64] * 12
    congestion.tick(5.1, 64, 0.1)
    assert congestion.rate == pytest.approx(1.2 * 200.0, rel=0.1)


def test_packets_that_were_sent_so_long_ago_that_they_may_have_arrived_are_counted() -> None:
    congestion = Formulas(0.0)
    congestion.tick(0.0, 0, 0.1)
    congestion.sent = [*range(24)]
    congestion.sent_now = 100
    congestion.tick(1.0, 0, 0.2)
    assert congestion.rate == pytest.approx(1.2 * sum(range(8, 20)) / 0.6)
    congestion.sent, congestion.sent_now = [*range(24)], 100
    congestion.tick(1.0, 0, 5.0)
    assert congestion.rate == pytest.approx(1.2 * (sum(range(1, 12)) + 100) / 0.6)
