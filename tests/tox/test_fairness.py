"""Sessions that share a way of 10 Mbit/s: how much each gets, and how long packets wait. docs/congestion.rst."""

from __future__ import annotations

import pytest
from soaking import SOAKING
from tox_world import Tox, World, meet

from sansproto.testing.network import Conditions
from sansproto.tox import CustomReceived, Pace

pytestmark = pytest.mark.unmeasured
DELAY, FORMULAS = Pace.DELAY, Pace.FORMULAS
RATE = 1.25e6
SIZE = 1400
PACKETS = [b"\xa0" + bytes(1372)] * 256
STEP = 0.01


class Shared(World):
    """A way that drops what waits longer than ``queue`` seconds."""

    def __init__(self, round_trip: float = 0.05, queue: float = 0.05, loss: float = 0.0) -> None:
        super().__init__(latency=round_trip / 2)
        self.senders, self.receivers = self.net.host("10.0.2.1"), self.net.host("10.0.2.2")
        way = Conditions(latency=round_trip / 2, rate=RATE, loss=loss, buffer=int(RATE * queue))
        self.net.way("10.0.2.1", "10.0.2.2", way, back=Conditions(latency=round_trip / 2, loss=loss))
        self.flows: list[Flow] = []
        self.queues: list[float] = []

    def flow(self, pace: Pace) -> Flow:
        number = 2 * len(self.flows) + 1
        sender, receiver = (
            Tox(self, number + place, pace=pace, host=host) for place, host in enumerate((self.senders, self.receivers))
        )
        receiver.befriend(sender)
        sender.befriend(receiver, path=True)
        meet(self, sender, receiver)
        self.flows.append(Flow(sender, receiver))
        return self.flows[-1]

    def run(self, seconds: float) -> list[float]:
        """What each flow gets of the way."""
        before = [flow.arrived for flow in self.flows]
        self.queues = []
        for _ in range(round(seconds / STEP)):
            for flow in self.flows:
                flow.go_on()
            self.net.run(STEP)
            self.queues.append(self.net.queued("10.0.2.1", "10.0.2.2") / RATE)
        return [(flow.arrived - had) * SIZE / RATE / seconds for flow, had in zip(self.flows, before, strict=True)]

    @property
    def queue(self) -> float:
        """Seconds that packets wait, at the 95th percentile."""
        return sorted(self.queues)[len(self.queues) * 95 // 100]


class Flow:
    """One that sends as much as it may."""

    def __init__(self, sender: Tox, receiver: Tox) -> None:
        self.sender, self.receiver, self.arrived = sender, receiver, 0

    def go_on(self) -> None:
        self.sender.give(self.receiver, PACKETS)
        self.arrived += sum(isinstance(event, CustomReceived) for event in self.receiver.events)
        self.receiver.events.clear()
        self.sender.events.clear()


def jain(shares: list[float]) -> float:
    return sum(shares) ** 2 / len(shares) / sum(share**2 for share in shares)


@pytest.mark.parametrize(("queue", "lead"), [(0.1, 0.1), *([(0.05, 5.0), (0.05, 0.1), (0.1, 5.0)] * SOAKING)])
def test_two_sessions_get_the_same_and_keep_the_queue_short(queue: float, lead: float) -> None:
    world = Shared(queue=queue)
    world.flow(DELAY)
    world.run(lead)
    world.flow(DELAY)
    world.run(10.0)
    shares = world.run(30.0)
    print(f"shares {shares}, Jain {jain(shares):.3f}, queue {world.queue * 1e3:.0f} ms")
    assert jain(shares) >= 0.9
    assert sum(shares) > 0.85
    assert world.queue <= 0.05


@pytest.mark.parametrize("queue", [0.1, *([0.05] * SOAKING)])
def test_a_session_beside_the_formulas_of_toxcore_that_were_there_first_gets_a_fifth(queue: float) -> None:
    """The formulas fall to 4 packets/s now and then, whoever is beside them: of three times the middle one counts."""
    shares = []
    for lead in (10.0, 10.2, 10.3):
        world = Shared(queue=queue)
        world.flow(FORMULAS)
        world.run(lead)
        world.flow(DELAY)
        world.run(5.0)
        shares.append(world.run(15.0))
    print(f"shares {shares}, Jain {[round(jain(share), 3) for share in shares]}")
    theirs, ours = (sorted(share[who] for share in shares) for who in (0, 1))
    assert ours[0] >= 0.2
    assert theirs[1] >= 0.25  # half of what they get beside each other


def test_losses_by_chance_leave_more_than_half_of_the_rate() -> None:
    rates = []
    for loss in (0.0, 0.01, 0.03):
        world = Shared(round_trip=0.2, queue=0.2, loss=loss)
        world.flow(DELAY)
        world.run(10.0)
        rates += world.run(20.0)
    print(f"shares {rates}")
    assert rates[0] > 0.85
    assert min(rates) > rates[0] / 2


@pytest.mark.parametrize("round_trip", [0.02, 0.05, 0.2])
def test_the_rate_is_there_within_moments(round_trip: float) -> None:
    world = Shared(round_trip=round_trip, queue=round_trip)
    world.flow(DELAY)
    world.run(1.0 + 5 * round_trip)
    (soon,) = world.run(1.0)
    world.run(5.0)
    (steady,) = world.run(5.0)
    print(f"{soon:.2f} of {steady:.2f}")
    assert soon > 0.9 * steady


def test_a_way_that_is_fast_and_drops_long_bursts_is_used_all_the_same() -> None:
    """So does a receiver on the same computer that gets no time to read."""
    world = Shared(round_trip=0.002, queue=0.0)
    back, rate = Conditions(latency=0.001), 200e6
    world.net.way("10.0.2.1", "10.0.2.2", Conditions(latency=0.001, rate=rate, buffer=90 * SIZE), back=back)
    flow = world.flow(DELAY)
    for _ in range(8):
        world.run(0.15)
        world.net.way("10.0.2.1", "10.0.2.2", Conditions(latency=0.001, loss=1.0), back=back)
        world.run(0.1)
        world.net.way("10.0.2.1", "10.0.2.2", Conditions(latency=0.001, rate=rate, buffer=90 * SIZE), back=back)
    world.run(8.0)
    arrived = flow.arrived
    world.run(2.0)
    print(f"{(flow.arrived - arrived) / 2:.0f} packets a second, {flow.arrived} in all")
    assert flow.arrived - arrived > 2 * 1000
