"""Ways that come and go all the time, and lose, copy, delay and change packets: all arrives, once and in order.

Somebody who is offline, or a packet that comes twice or not in order, is found by who listens.
"""

from __future__ import annotations

from random import Random

import pytest
from bad_relays import AT_A, AT_B, Faults
from soaking import SOAKING

from sansproto.testing.faulty_relay import Fault
from sansproto.testing.network import Conditions

pytestmark = pytest.mark.unmeasured
SECONDS = 3600.0 if SOAKING else 90.0
UP, ROUND = 3.0, 10.0


def unreliable(seed: int, share: float, trip: float) -> Fault:
    """A relay that does to each packet what a bad network does to datagrams."""
    random = Random(seed)

    def treat(sender: bytes, receiver: bytes, data: bytes) -> list[tuple[float, bytes]]:
        chance, passed = random.random, []
        for _ in range(2 if chance() < share else 1):
            if chance() < share:
                continue
            changed = data[:-1] + bytes([data[-1] ^ 1]) if chance() < share / 3 else data
            passed.append((chance() * 4 * trip if chance() < share else 0.0, changed))
        return passed

    return treat


class Flapping(Faults):
    """Two relays and UDP, none of which is reliable, and who of them is up."""

    def __init__(self, trip: float, share: float, seed: int) -> None:
        super().__init__(2, trip, udp=True, bulk="", seed=seed)
        way = Conditions(latency=trip / 2, loss=share, reorder=share, duplicate=share, corrupt=share / 3)
        self.net.way(AT_A, AT_B, way)
        for number in range(2):
            self.treat(number, unreliable(seed + number, share, trip))

    def let_up(self, *ways: int) -> None:
        """Relays by their numbers; -1 is UDP."""
        self.block_udp(is_blocked=-1 not in ways)
        for number in range(2):
            self.stop(number, is_stopped=number not in ways)

    def finish(self) -> None:
        self.let_up(-1, 0, 1)
        self.net.way(AT_A, AT_B, Conditions(latency=0.01))
        for number in range(2):
            self.treat(number, None)
        self.run(15.0)
        self.net.run(5.0)
        for node in self.both:
            node.listen()
        assert self.all_arrived()


@pytest.mark.parametrize("trip", [0.02, 0.3])
@pytest.mark.parametrize("seed", range(4) if SOAKING else [1])
def test_ways_that_flap_each_3_seconds(seed: int, trip: float) -> None:
    """Some of them are up, or one at least in three of ten seconds."""
    random = Random(seed)
    world = Flapping(trip, 0.3, seed)
    begun = world.net.now
    while world.net.now < begun + SECONDS:
        for up in (1, random.randrange(3), random.randrange(3)):
            world.let_up(*random.sample([-1, 0, 1], up))
            world.run(UP)
    world.finish()


@pytest.mark.parametrize("trip", [0.02, 0.3])
@pytest.mark.parametrize("seed", range(4) if SOAKING else [1])
def test_one_way_is_up_for_3_seconds_in_10(seed: int, trip: float) -> None:
    random = Random(seed)
    world = Flapping(trip, 0.3, seed)
    begun = world.net.now
    while world.net.now < begun + SECONDS:
        world.let_up(random.choice([-1, 0, 1]))
        world.run(UP)
        world.let_up()
        world.run(ROUND - UP)
    world.finish()
