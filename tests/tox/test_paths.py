"""Which way two nodes use when relays and UDP fail them: how long nothing arrives, and what that costs.

docs/protocols/tox.rst, ways.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from bad_relays import AT_A, AT_B, BULK, Faults
from soaking import SOAKING
from tox_world import World, chat, meet

from sansproto.testing._internal.alike import differences
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.faulty_relay import Fault, black_hole, corrupting, delayed, lossy, mtu_black_hole
from sansproto.testing.network import Conditions
from sansproto.tox import CustomReceived, KeyPair, ToxNode
from sansproto.tox.outgoing import Outgoing
from sansproto.tox.tracks import UDP, Carried, Track
from sansproto.tox.watch import NOT_PASSED
from sansproto.tox.windows import Heard, SendWindow

Misfortune = Callable[[Faults], None]
TRIPS = [0.02, 0.1, 0.3, 0.6, 2.0] if SOAKING else [0.02, 2.0]
SLOW = TRIPS if SOAKING else [0.6, 2.0]
"""The two for which the table on the page has a column each."""
WARM, SECONDS = 8.0, 12.0
RATE = 1.25e6
LARGE = [b"\xa0" + bytes(1372)] * 256


def freeze(*who: str) -> Misfortune:
    """The relay in use swallows what these send."""
    return lambda world: world.treat(
        world.used(world.a) or 0, black_hole(*(getattr(world, x).tox.dht_key for x in who))
    )


def stop(world: Faults) -> None:
    world.stop(world.used(world.a) or 0)


def die(world: Faults) -> None:
    world.relays[world.used(world.a) or 0].stop()


def delay(world: Faults) -> None:
    world.treat(world.used(world.a) or 0, delayed(3.0))


def drop(world: Faults) -> None:
    world.treat(world.used(world.a) or 0, lossy(0.5))


def corrupt(part: float) -> Misfortune:
    return lambda world: world.treat(world.used(world.a) or 0, corrupting(part))


def rename(world: Faults) -> None:
    """Nothing shows any more that it was a packet of a session."""
    world.treat(world.used(world.a) or 0, lambda sender, receiver, data: [(0.0, b"\x77" + data[1:])])


def corrupt_two(world: Faults) -> None:
    for number in range(2):
        world.treat(number, corrupting(0.5, seed=number))


def freeze_three(world: Faults) -> None:
    for number in range(3):
        world.treat(number, black_hole(world.a.tox.dht_key, world.b.tox.dht_key))


def freeze_data(world: Faults) -> None:
    world.treat(world.used(world.a) or 0, mtu_black_hole(200))


def block(world: Faults) -> None:
    world.block_udp()


#: what fails, how many relays there are, UDP, who sends much, the longest gap up to a round trip of 600 ms and at 2 s
CASES: dict[str, tuple[Misfortune, int, bool, str, float, float]] = {
    "frozen one way": (freeze("a"), 2, False, "", 1.4, 3.6),
    "frozen the other way": (freeze("b"), 2, False, "", 1.4, 3.6),
    "frozen both ways": (freeze("a", "b"), 2, False, "", 1.4, 4.2),
    "frozen one way, much is sent": (freeze("a"), 2, False, "ab", 2.0, 5.0),
    "stands still": (stop, 2, False, "", 1.8, 4.2),
    "dies": (die, 2, False, "", 0.5, 1.5),
    "delays by 3 s": (delay, 2, False, "", 1.8, 3.6),
    "drops half": (drop, 2, False, "", 2.3, 7.1),
    "drops half, much is sent": (drop, 2, False, "a", 2.3, 7.1),
    "corrupts 30 %": (corrupt(0.3), 2, False, "", 1.6, 3.6),
    "corrupts everything": (corrupt(1.0), 2, False, "", 1.3, 3.6),
    "changes the kind of each packet": (rename, 2, False, "", 1.8, 3.6),
    "two corrupt half": (corrupt_two, 3, False, "", 2.0, 4.8),
    "three of four frozen": (freeze_three, 4, False, "", 1.9, 4.5),
    "good for small packets, freezes others": (freeze_data, 2, False, "ab", 1.4, 3.0),
    "UDP blocked": (block, 2, True, "", 1.8, 5.4),
    "UDP blocked, much is sent": (block, 2, True, "b", 1.8, 5.4),
}
WHO_LEAVES = {"frozen one way": (0,), "frozen one way, much is sent": (0,), "frozen the other way": (1,)}


@pytest.mark.parametrize(
    ("name", "trip"),
    [
        *[("drops half", trip) for trip in TRIPS],
        *[pytest.param(*one, marks=pytest.mark.unmeasured) for one in product(CASES, SLOW) if one[0] != "drops half"],
    ],
)
def test_what_fails_is_left(name: str, trip: float) -> None:
    """Within 2 seconds, or 3 round trips, if nothing arrives; in a direction that works it may stay in use."""
    fault, relays, udp, bulk, most, most_at_2_s = CASES[name]
    world = Faults(relays, trip, udp=udp, bulk=bulk)
    world.run(WARM)
    at, before, bad = world.net.now, world.moves, [world.used(node) for node in world.both]
    assert bad == ([-1, -1] if udp else [0, 0])
    fault(world)
    left: dict[int, float] = {}
    while world.net.now < at + SECONDS:
        world.run(0.1)
        for number, node in enumerate(world.both):
            if world.used(node) != bad[number]:
                left.setdefault(number, world.net.now - at)
    gap = world.gap(at)
    print(f"{name}, {trip}: {gap:.2f} s without anything, {world.moves - before} moves, left after {left}")
    assert gap <= (most if trip < 1.0 else most_at_2_s)
    passes_some = any(part in name for part in ("half", "corrupts", "small"))
    for number in WHO_LEAVES.get(name, (0, 1)):
        assert left[number] <= (10.0 if passes_some else max(2.0, 3 * trip))
    assert world.moves - before <= 4


def without_data(sender: bytes, receiver: bytes, data: bytes) -> list[tuple[float, bytes]]:
    """Handshakes pass, and packets of a session do not."""
    return [] if data[0] == 27 else [(0.0, data)]


@pytest.mark.parametrize("fault", [black_hole(), corrupting(1.0), delayed(3.0), without_data])
def test_friends_meet_at_a_good_relay_although_the_first_one_is_bad(fault: Fault) -> None:
    """Nothing shows which one is bad: they have no session yet."""
    world = Faults(2, first=fault)
    assert world.net.now < 1.0
    assert [world.used(node) for node in world.both] == [1, 1]


@pytest.mark.unmeasured
@pytest.mark.parametrize("trip", TRIPS)
@pytest.mark.parametrize("bulk", ["", "a", "ab"] if SOAKING else ["", "ab"])
@pytest.mark.parametrize("udp", [False, True])
def test_without_a_fault_there_is_no_switch_and_no_copy(trip: float, bulk: str, udp: bool) -> None:
    world = Faults(2, trip, udp=udp, bulk=bulk)
    world.run(WARM)
    before = world.moves
    world.run(SECONDS)
    assert world.moves == before
    assert world.copies == 0
    assert world.used(world.a) == world.used(world.b) == (-1 if udp else 0)


@pytest.mark.parametrize("trip", [0.02, 0.6] if SOAKING else [0.6])
def test_relays_that_are_up_for_3_seconds_in_10_one_after_the_other_lose_nothing(trip: float) -> None:
    """Somebody who is offline, or a word that comes twice or not in order, is found by who listens."""
    world = Faults(2, trip)
    for turn in range(60 if SOAKING else 12):
        for number in range(2):
            world.stop(number, is_stopped=number != turn % 2)
        world.run(3.0)
        world.stop(turn % 2)
        world.run(7.0)
    for number in range(2):
        world.stop(number, is_stopped=False)
    world.run(5.0)
    world.net.run(5.0)
    for node in world.both:
        node.listen()
    assert world.all_arrived()


@pytest.mark.unmeasured
@pytest.mark.parametrize("trip", [0.02, 0.3])
@pytest.mark.parametrize("is_stopped", [False, True])
@pytest.mark.parametrize("seed", range(4) if SOAKING else [1])
def test_of_three_relays_the_good_one_is_found_whichever_it_is(seed: int, is_stopped: bool, trip: float) -> None:
    """It changes each 3 to 12 seconds. The others swallow everything, or stand still."""
    random, world, good = Random(seed), Faults(3, trip, seed=seed), 0
    world.run(5.0)
    began = world.net.now
    for _ in range(8):
        good = random.choice([number for number in range(3) if number != good])
        for number in range(3):
            if is_stopped:
                world.stop(number, is_stopped=number != good)
            else:
                world.treat(number, None if number == good else black_hole())
        world.run(random.uniform(3.0, 12.0))
    print(f"{world.gap(began):.1f} s without anything")
    assert world.gap(began) < 6.0


@pytest.mark.unmeasured
def test_udp_is_used_again_as_soon_as_it_is_open_but_not_for_5_20_and_60_seconds_after_it_failed() -> None:
    world = Faults(2, udp=True)
    world.run(WARM)
    holds = []
    for _ in range(4):
        world.block_udp()
        while world.used(world.a) == -1:
            world.run(0.1)
        left = world.net.now
        world.run(2.0)
        world.block_udp(is_blocked=False)
        while world.used(world.a) != -1:
            world.run(0.1)
        holds.append(world.net.now - left)
        while world.used(world.b) != -1:
            world.run(0.1)
    for hold, least in zip(holds, (5.0, 20.0, 60.0, 60.0), strict=True):
        assert least - 0.01 <= hold <= least + 4.2
    world.run(61.0)  # it is as good as new
    world.block_udp()
    world.run(3.0)
    world.block_udp(is_blocked=False)
    world.run(8.0)
    assert world.used(world.a) == -1


@pytest.mark.unmeasured
@pytest.mark.parametrize("trip", [0.02, 0.6])
def test_a_lossless_stream_each_way_goes_over_to_a_relay_and_back_to_udp(trip: float) -> None:
    world = Faults(2, trip, udp=True)
    came = dict.fromkeys(world.both, 0)
    sent, ways = came.copy(), list[tuple[int | None, ...]]()

    def stream(seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            for node in world.both:
                packets = [b"\xa0%d " % number + bytes(200) for number in range(sent[node], sent[node] + 10)]
                sent[node] += node.give(world.other(node), packets)
            world.net.run(0.02)
            take()
        ways.append(tuple(world.used(node) for node in world.both))

    def take() -> None:
        for node in world.both:
            for event in node.events:
                if isinstance(event, CustomReceived):
                    assert event.data.startswith(b"\xa0%d " % came[node])
                    came[node] += 1
            node.listen()

    stream(5.0)
    world.block_udp()
    stream(6.0)
    world.block_udp(is_blocked=False)
    stream(12.0)
    world.net.run(3.0)
    take()
    assert ways == [(-1, -1), (0, 0), (-1, -1)]
    assert [came[node] for node in world.both] == [sent[world.other(node)] for node in world.both]
    assert min(sent.values()) > 8000


@pytest.mark.unmeasured
def test_udp_by_which_nothing_came_since_it_was_left_is_not_used_instead_of_a_relay_that_failed_before() -> None:
    world = Faults(2, udp=True)
    world.run(WARM)
    world.block_udp()
    world.run(2.0)
    frozen = world.used(world.a)
    world.treat(frozen, black_hole())
    world.run(2.0)
    assert world.used(world.a) == 1 - frozen
    world.treat(frozen, None)
    world.relays[1 - frozen].stop()
    at = world.net.now
    world.run(3.0)
    assert world.used(world.a) == world.used(world.b) == frozen
    assert world.gap(at) < 0.5


@pytest.mark.parametrize("trip", [0.02, 0.6])
@pytest.mark.parametrize("pause", [1, 4])
def test_a_relay_that_passes_most_packets_and_some_never_is_left(pause: int, trip: float) -> None:
    """The others show that it works, and wait at the other end for these, however often they are sent again."""
    world = Faults(2, trip)
    world.run(WARM)
    world.treat(0, lambda sender, receiver, data: [] if 400 <= len(data) < 500 else [(0.0, data)])
    worst, last = 0.0, world.net.now
    for turn in range(100):
        if turn % pause == 0:
            world.a.say(world.b, 400 * "x")
        world.a.give(world.b, BULK)
        world.net.run(0.1)
        if world.b.events:
            worst, last = max(worst, world.net.now - last), world.net.now
        world.b.events.clear()
    print(f"{trip}, {pause}: {worst:.1f} s without anything")
    assert worst < 1.5 + 2 * trip
    assert world.used(world.a) == 1


def test_what_a_relay_has_not_passed_before_it_was_used_does_not_count_against_it() -> None:
    """Nor does an answer that comes by another one before its own."""
    world = Faults(3, bulk="b")
    first, second, third = (relay.key for relay in world.known)
    world.b.node.call(lambda now: world.b.tox.advance(now) or world.b.ways(world.a).leave(third))
    world.run(WARM)
    assert (world.used(world.a), world.used(world.b)) == (0, 2)
    world.treat(1, black_hole(world.a.tox.dht_key))
    world.a.node.call(lambda now: outgoing(world).send_alive_by(second))
    world.run(0.1)
    world.treat(1, None)
    world.run(0.2)
    world.a.node.call(lambda now: world.a.tox.relays[first].demote(world.b.tox.dht_key) or world.a.tox.run())
    for _ in range(50):
        world.run(0.1)
        assert world.used(world.a) == 1


@pytest.mark.parametrize("trip", [1.2, 2.0])
def test_what_a_relay_has_swallowed_goes_once_by_the_next_one_and_is_no_reason_to_leave_it(trip: float) -> None:
    """Nothing is known of the next one, and what waits is much, and old."""
    world = Faults(3, trip, bulk="a")
    world.run(WARM)
    world.treat(0, black_hole(world.a.tox.dht_key))
    passed = list[int]()
    world.treat(1, lambda sender, receiver, data: passed.append(len(data)) or [(0.0, data)])  # type: ignore[func-returns-value]
    while world.used(world.a) != 1:
        world.run(0.1)
    window = outgoing(world).window
    begun, end = window.start, window.end
    assert end - begun > 300
    while window.start < end:
        world.run(0.1)
        assert world.used(world.a) == 1
    assert sum(size > 1000 for size in passed) < 1.1 * (window.end - begun)


def test_a_relay_is_not_left_because_it_takes_long_to_pass_what_another_one_has_swallowed() -> None:
    """The oldest packet is an old one all the time, and has only just gone by this relay."""
    world = Faults(3)
    for number, rate in enumerate((1e6, 3.8e4, 3.8e4)):
        world.net.way(AT_A, f"10.0.1.{number}", Conditions(latency=0.005, rate=rate, buffer=10_000))
    world.run(1.0)

    def step() -> None:
        world.a.give(world.b, LARGE)
        world.net.run(0.1)
        world.b.events.clear()

    for _ in range(50):
        step()
    world.treat(0, black_hole(world.a.tox.dht_key))
    while world.used(world.a) != 1:
        step()
    window = outgoing(world).window
    end, begun = window.end, world.net.now
    while window.start < end:
        step()
        assert world.used(world.a) == 1
    assert world.net.now - begun > 4.0


def test_the_only_relay_is_not_left_though_it_never_passes_some_packets() -> None:
    world = Faults(1)
    world.run(WARM)
    world.treat(0, lambda sender, receiver, data: [] if 400 <= len(data) < 500 else [(0.0, data)])
    for _ in range(40):
        world.a.say(world.b, 400 * "x")
        world.a.give(world.b, BULK)
        world.net.run(0.1)
    assert len(outgoing(world).window.again) > 0
    assert world.used(world.a) == 0
    assert world.a.tox.stats.noted[NOT_PASSED.remark] > 0
    world.treat(0, None)
    world.net.run(2.0)
    assert outgoing(world).window.waiting == 0


@pytest.mark.unmeasured
@pytest.mark.parametrize("trip", [0.02, 0.3])
def test_udp_that_passes_small_packets_alone_is_left_and_not_taken_again_while_it_is_held_off(trip: float) -> None:
    """Signs of life, words and acknowledgements arrive by it all the time."""
    world = Faults(2, trip, udp=True, bulk="a")
    world.run(WARM)
    ways, since = world.a.ways(world.b), world.net.now
    world.drop_large_datagrams(300)
    while ways.used == UDP:
        world.run(0.1)
    assert world.net.now - since < 3.0
    world.treat(world.used(world.a) or 0, delayed(1.0))
    while not (is_free := world.net.now >= ways.held_until) and ways.used != UDP:
        world.run(0.1)
    assert is_free
    world.run(20.0)
    assert world.gap(since) < 4.0
    assert world.moves < 12


def narrow(world: Faults, trip: float, queue: float) -> None:
    """Each way takes 10 Mbit/s, and lets packets wait for as many round trips."""
    buffer = int(RATE * trip * queue)
    world.net.way(AT_A, AT_B, Conditions(latency=trip / 2, rate=RATE, buffer=buffer))
    for number in range(len(world.relays)):
        world.net.way(AT_A, f"10.0.1.{number}", Conditions(latency=trip / 4, rate=RATE, buffer=buffer))


@pytest.mark.unmeasured
@pytest.mark.parametrize("trip", [0.02, 0.05, 0.2] if SOAKING else [0.02, 0.2])
@pytest.mark.parametrize("queue", [1.0, 2.0])
@pytest.mark.parametrize("relays", [0, 1, 2] if SOAKING else [0, 2])
@pytest.mark.parametrize("pause", [0.0, 3.0])
def test_a_transfer_that_begins_into_a_queue_which_it_fills_stays_at_udp(
    trip: float, queue: float, relays: int, pause: float
) -> None:
    """What it loses in the beginning says nothing about the way: congestion control slows down."""
    world = Faults(relays, trip, udp=True)
    world.run(WARM)
    narrow(world, trip, queue)
    world.net.run(pause)
    before, arrived = world.moves, 0
    for _ in range(600):
        world.a.give(world.b, LARGE)
        world.net.run(0.01)
        arrived += sum(isinstance(event, CustomReceived) for event in world.b.events)
        world.b.events.clear()
        assert world.moves == before
    print(f"{trip}, {queue}, {relays}: {arrived * 1400 / RATE / 6.0:.2f} of the way")
    assert arrived * 1400 > 0.7 * RATE * 6.0


@pytest.mark.unmeasured
def test_a_loss_that_does_not_last_is_no_reason_to_leave_udp() -> None:
    """Of two parts of its time in which packets are lost, the better one counts."""
    world, trip = Faults(1, 0.05, udp=True), 0.05
    world.run(WARM)
    before, buffer, worst = world.moves, int(RATE * trip), 0.0
    for step in range(500):
        loss = 0.8 if 200 <= step < 230 else 0.0
        world.net.way(AT_A, AT_B, Conditions(latency=trip / 2, rate=RATE, buffer=buffer, loss=loss))
        world.a.give(world.b, LARGE)
        world.net.run(0.01)
        world.b.events.clear()
        worst = max(worst, *world.a.ways(world.b).tracks[UDP].shares, 0.0)
    assert worst > 0.5
    assert world.moves == before


@pytest.mark.parametrize("trip", [0.02, 0.6])
@pytest.mark.parametrize("bulk", ["", "a"])
def test_udp_that_drops_half_is_left_within_10_seconds(trip: float, bulk: str) -> None:
    world = Faults(1, trip, udp=True, bulk=bulk)
    world.run(WARM)
    world.net.way(AT_A, AT_B, Conditions(latency=trip / 2, loss=0.5))
    began = world.net.now
    while world.used(world.a) == -1:
        world.run(0.1)
    assert world.net.now - began < 10.0


@pytest.mark.parametrize(("served", "is_suspect"), [(59.0, True), (60.0, False)])
def test_a_relay_that_closes_after_less_than_a_minute_of_use_is_suspect(served: float, is_suspect: bool) -> None:
    track = Track()
    track.begin(1000.0)
    track.close(1000.0 + served)
    assert track.is_suspect(1000.0 + served) is is_suspect


def test_a_packet_that_was_sent_before_a_way_was_taken_again_does_not_say_how_long_it_takes() -> None:
    """The way may have been closed meanwhile, and the relay have kept the packet."""
    track = Track()
    assert track.note_rtt(0.1, 10.0)
    track.begin(10.0)
    assert not track.note_rtt(17.0, 20.0)
    assert track.note_rtt(9.0, 20.0)
    assert track.rtts == (0.1, 9.0)


@pytest.mark.unmeasured
def test_relays_that_link_and_unlink_in_turn_are_left_for_one_that_stays() -> None:
    """One of the two is open at each moment. The third one is never used, if it is only the next one that counts."""
    world = Faults(3, 0.3)
    world.run(1.0)
    began = world.net.now
    for turn in range(60):
        for number, linked in ((turn % 2, True), ((turn + 1) % 2, False)):
            for node in world.both:
                keys = node.tox.dht_key, world.other(node).tox.dht_key
                server = world.servers[number]
                world.relays[number].call(lambda now, server=server, keys=keys: server.claim(*keys, now, linked=linked))  # type: ignore[misc] # noqa: B023
            world.net.run(0.01)
        world.run(0.2)
    assert [world.used(node) for node in world.both] == [2, 2]
    assert world.moves <= 2 + 2 * 3
    assert world.gap(began) < 1.0


def test_a_packet_that_was_sent_again_by_a_way_and_copied_by_others_shows_of_none_that_it_works() -> None:
    window, carried = SendWindow(), Carried()
    for way in (b"one", b"two"):
        carried.begin(window.end, way)
        window.add(b"payload", 0.0)
    carried.move(0, b"two", 1.0)
    assert [carried.carrier(number) for number in range(2)] == [b"two", b"two"]
    carried.copied.add(0)
    assert [carried.carrier(number) for number in range(2)] == [None, b"two"]
    assert carried.has_own(window, b"two")
    assert carried.note_arrived([0], 0) == set()
    assert carried.unproved(window, b"two") == 1


@pytest.mark.unmeasured
@pytest.mark.parametrize("trip", [0.02, 0.3])
def test_relays_that_pass_packets_of_who_does_not_use_them_are_left(trip: float) -> None:
    """What shows that another one is good is copied by this one, too, and sent again by it."""
    world = Faults(3, trip, bulk="ab")
    world.run(WARM)
    began, key = world.net.now, world.a.tox.dht_key

    def treat(number: int) -> None:
        world.treat(
            number,
            lambda sender, receiver, data: [] if sender == key and world.used(world.a) == number else [(0.0, data)],
        )

    treat(0)
    treat(1)
    world.run(SECONDS)
    assert world.used(world.a) == 2
    assert world.gap(began) < 4.0


def test_a_relay_that_others_keep_full_is_left() -> None:
    """What is small goes by another one all the time, and nothing is on its way of what waits."""
    world = Faults(2)
    world.run(WARM)
    relay, nobody = world.a.tox.relays[world.known[0].key], KeyPair.of(b"nobody's" * 4).public
    world.net.way(AT_A, "10.0.1.0", Conditions(latency=0.005, rate=3000.0), back=Conditions(latency=0.005))

    def fill(now: float) -> None:
        while relay.has_room(1000):
            relay.send_oob(nobody, bytes(1000))
        world.a.tox.run()

    for turn in range(160):
        if turn % 5 == 0:
            world.a.talk(world.b)
        if turn >= 10:
            world.a.give(world.b, BULK)
        world.a.node.call(fill)
        world.net.run(0.02)
    world.b.listen()
    world.net.run(2.0)
    world.b.listen()
    assert world.used(world.a) == 1
    assert len(world.b.arrived) == world.a.said


def test_nothing_is_kept_of_relays_that_friends_told_of_and_that_are_gone() -> None:
    """What went by one of them may arrive later."""
    world = Faults(2)
    world.run(1.0)
    ways, gone, carried = world.a.ways(world.b), world.known[1].key, Carried()
    arrived = False
    world.treat(0, delayed(0.5))
    world.treat(1, black_hole(world.b.tox.dht_key))
    world.a.node.call(lambda now: outgoing(world).send_alive_by(gone))
    world.net.run(0.2)
    world.a.node.call(lambda now: world.a.tox.remove_relay(gone, now))
    world.a.node.call(lambda now: world.a.talk(world.b))
    for _ in range(20):
        world.net.run(0.1)
        carried = outgoing(world).watch.carry()
        arrived |= gone in carried.proved
        world.a.talk(world.b)
    assert arrived
    assert gone not in ways.tracks
    assert gone not in carried.proved
    assert gone not in carried.proved_at


@pytest.mark.unmeasured
@pytest.mark.parametrize("trip", [0.02, 0.6])
@pytest.mark.parametrize("talks", [True, False])
def test_udp_is_found_within_10_seconds_after_it_opens(talks: bool, trip: float) -> None:
    """Whenever that is between two probes, and whether or not anybody says anything."""
    for pause in range(4):
        world = Faults(1, trip, udp=True)
        world.block_udp()
        world.run(12.0 + pause)
        assert world.used(world.a) == world.used(world.b) == 0
        run = world.run if talks else world.net.run
        run(20.0)
        world.block_udp(is_blocked=False)
        run(10.0)
        assert world.used(world.a) == world.used(world.b) == -1


def test_a_way_that_nobody_talks_on_is_left_too() -> None:
    """A sign of life that does not arrive is enough."""
    world = Faults(2)
    world.run(1.0)
    world.net.run(20.0)
    stop(world)
    world.net.run(8.0 + 1.5)
    assert world.used(world.a) == 1
    assert world.used(world.b) == 1


def test_what_is_small_goes_by_another_relay_while_one_takes_nothing() -> None:
    world = Faults(2)
    world.run(1.0)
    ways = world.a.ways(world.b)
    link = world.a.tox.links[world.a.tox.relays[world.known[0].key].link]
    link.write(bytes(1 << 17))
    assert ways.used == world.known[0].key
    assert ways.pick(1000) is None
    assert ways.pick(40).relay == world.known[1].key  # type: ignore[union-attr]
    world.a.talk(world.b)
    window, carried = outgoing(world).window, outgoing(world).watch.carried
    assert carried.way_of(window.end - 1) == world.known[1].key  # it says nothing of the way in use
    assert carried.way_of(window.end) == world.known[0].key


def test_at_a_relay_that_takes_no_more_large_packets_there_is_room_for_small_ones() -> None:
    world = Faults(1)
    world.run(1.0)
    ways, key = world.a.ways(world.b), world.known[0].key
    link = world.a.tox.links[world.a.tox.relays[key].link]
    while ways.way(key, 96) is not None:
        link.write(bytes(100))
    for _ in range(40):
        assert ways.way(key, 95) is not None
        link.write(bytes(95))


def test_while_nothing_gets_through_the_oldest_are_copied_again_and_nobody_is_blamed() -> None:
    world = Faults(2)
    world.run(3.0)
    for number in range(2):
        world.stop(number)
    for _ in range(3):
        world.a.talk(world.b)
    before = world.moves
    world.net.run(9.0)
    alarm = outgoing(world).watch.alarm
    assert alarm.rounds > 5
    assert world.known[1].key in {name for _, name in outgoing(world).watch.carried.runs}  # it has something of its own
    for number in range(2):
        world.stop(number, is_stopped=False)
    world.net.run(4.0)
    world.b.listen()
    assert world.all_arrived()
    assert world.moves <= before + 1
    assert outgoing(world).watch.alarm is None


@pytest.mark.unmeasured
@pytest.mark.parametrize("bulk", ["", "a"])
def test_a_friend_that_acknowledges_nothing_costs_copies_and_no_way(bulk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 32 a second by each other way."""
    world = Faults(3, bulk=bulk)
    world.run(WARM)
    seal, send, copies = Outgoing.seal, Outgoing.send_copies, Counter[tuple[int, bytes]]()

    def withhold(outgoing: Outgoing, payload: bytes, number: int) -> bytes:
        receiving = outgoing.session.receiving
        start, receiving.start = receiving.start, 0  # which is long known
        data = seal(outgoing, payload, number)
        receiving.start = start
        return data

    def count(outgoing: Outgoing, name: bytes, numbers: list[int]) -> int:
        sent = send(outgoing, name, numbers)
        copies[int(world.net.now - at), name] += sent
        return sent

    monkeypatch.setattr(Outgoing, "seal", lambda *one: (withhold if one[0].host is world.b.tox else seal)(*one))
    monkeypatch.setattr(Outgoing, "send_copies", count)
    at, before = world.net.now, world.moves
    world.run(20.0)
    assert world.moves == before
    assert 0 < max(copies.values()) <= 32
    assert {name for _, name in copies} == {relay.key for relay in world.known[1:]}


def test_a_node_that_is_restored_in_the_middle_of_an_alarm_goes_on_with_it() -> None:
    world = Faults(2)
    world.run(3.0)
    world.treat(0, black_hole(world.a.tox.dht_key, world.b.tox.dht_key))
    while outgoing(world).watch.alarm is None or not outgoing(world).watch.carried.copied:
        world.run(0.1)
    node = world.a.tox
    again = ToxNode.restore(
        node.snapshot(), real_key=bytes([1]) * 32, dht_key=bytes([101]) * 32, entropy=ScriptedEntropy(seed=b"\1")
    )
    assert [*differences(node, again)] == []
    assert again.friends.all[world.b.key].session.outgoing.watch.alarm.rounds > 0  # type: ignore[union-attr]
    for _ in range(20):
        due = node.next_timeout()
        assert due == again.next_timeout()
        assert due is not None
        sent = []
        for one in (node, again):
            one.handle_timeout(due)
            sent.append([*iter(one.next_transmit, None)])
        assert sent[0] == sent[1]


def test_a_relay_without_room_gets_no_copies() -> None:
    world = Faults(2)
    world.run(3.0)
    world.stop(1)
    link = world.a.tox.links[world.a.tox.relays[world.known[1].key].link]
    link.write(bytes((1 << 17) + (1 << 14)))  # nonsense, which would end the stream
    world.treat(0, black_hole(world.a.tox.dht_key))
    world.run(3.0)
    watch = outgoing(world).watch
    assert watch.alarm.rounds > 1
    assert watch.carried.copied == set()
    assert world.used(world.a) == 0  # what might be no better is not taken instead


@pytest.mark.unmeasured
def test_a_way_is_left_too_if_copies_arrive_and_no_answer_shows_by_which_way() -> None:
    """One relay takes nothing from us, the other one nothing from the friend."""
    world = Faults(2)
    world.run(3.0)
    world.treat(0, black_hole(world.a.tox.dht_key))
    world.treat(1, black_hole(world.b.tox.dht_key))
    had, ways = outgoing(world).window.start, set[int]()
    for _ in range(40):
        world.run(0.25)
        ways.add(world.used(world.a))
    assert ways == {0, 1}
    assert outgoing(world).window.start > had + 30  # it goes on


def test_what_came_by_a_way_is_acknowledged_by_it_too() -> None:
    world = Faults(2)
    world.run(1.0)
    senders: list[bytes] = []

    def note(sender: bytes, receiver: bytes, data: bytes) -> list[tuple[float, bytes]]:
        senders.append(sender)
        return [(0.0, data)]

    world.treat(1, note)
    world.a.node.call(lambda now: outgoing(world).send_alive_by(world.known[1].key))
    world.net.run(0.2)
    assert senders == [world.a.tox.dht_key, world.b.tox.dht_key]


def test_udp_that_is_held_off_is_used_when_there_is_nothing_else() -> None:
    world = Faults(2, udp=True)
    world.run(WARM)
    world.block_udp()
    while world.used(world.a) == -1:
        world.run(0.1)
    world.block_udp(is_blocked=False)
    world.run(4.2)
    assert world.used(world.a) != -1
    for relay in world.relays:
        relay.stop()
    world.run(0.3)
    assert world.used(world.a) == -1


def outgoing(world: Faults) -> Any:
    session = world.a.tox.friends.all[world.b.key].session
    assert session is not None
    return session.outgoing


def test_relays_that_were_left_are_tried_last() -> None:
    world = Faults(3)
    world.run(1.0)
    ways, (first, second, third) = world.a.ways(world.b), (relay.key for relay in world.known)
    assert (ways.used, leave(world), ways.used) == (first, True, second)
    assert not leave(world)  # not so soon
    waits = []
    for expected in (third, first, second, third):
        began = world.net.now
        while not leave(world):
            world.net.run(0.25)
        waits.append(world.net.now - began)
        assert ways.used == expected  # the one that was left longest ago
    assert waits == pytest.approx([1.0, 2.0, 4.0, 8.0], abs=0.3)
    world.net.run(55.0)
    assert leave(world)
    world.net.run(7.0)
    assert not leave(world)
    world.net.run(54.0)
    assert leave(world)
    world.net.run(1.1)
    assert leave(world)


def test_a_relay_that_was_left_is_taken_again_if_a_packet_by_it_alone_has_arrived() -> None:
    world = Faults(4)
    world.run(1.0)
    ways, (first, second, third, fourth) = world.a.ways(world.b), (relay.key for relay in world.known)

    def go_to(to: bytes, **more: Any) -> bool:
        return world.a.node.call(lambda now: world.a.tox.advance(now) or ways.leave(to, **more))

    assert (go_to(second), ways.used) == (True, second)
    world.net.run(1.1)
    assert (go_to(first), ways.used) == (True, third)
    world.net.run(1.1)
    assert not go_to(first)  # each time it takes longer
    assert ways._next(third) == fourth  # which has not failed yet
    assert (go_to(first, is_proved=True), ways.used) == (True, first)


def test_packets_go_by_the_way_in_use_also_if_it_changed_just_now() -> None:
    world = World()
    relay = world.relay()
    a, b = world.node(1), world.node(2)
    a.befriend(b, path=True, relays=(relay,))
    b.befriend(a, relays=(relay,))
    meet(world, a, b)
    chat(world, a, b, 3.0)
    ways, by_relay = a.ways(b), []
    assert ways.used == UDP

    def send_and_leave(now: float) -> None:
        link = a.tox.links[a.tox.relays[relay.key].link]
        for leaves in (False, True):
            assert not leaves or ways.leave(relay.key)
            before = link.queued
            assert a.tox.send(b.key, b"\xa0packet", now)
            by_relay.append(link.queued > before)

    a.node.call(send_and_leave)
    assert by_relay == [False, True]


def test_the_only_way_is_not_left() -> None:
    world = Faults(1)
    world.run(1.0)
    assert not leave(world)
    assert world.used(world.a) == 0


def leave(world: Faults) -> bool:
    return world.a.node.call(lambda now: world.a.tox.advance(now) or world.a.ways(world.b).leave(None))


@pytest.mark.parametrize(("udp", "missing"), [(True, 3), (False, 1)])
def test_what_was_sent_again_and_is_asked_for_once_more_is_lost_by_udp_and_late_by_a_relay(
    udp: bool, missing: int
) -> None:
    world, told = Faults(1, udp=udp), list[int]()
    world.run(5.0)
    sending = outgoing(world)
    assert sending.ways.is_direct is udp
    sending.congestion = SimpleNamespace(note_missing=lambda now, missing, arrived: told.append(missing))
    sending._learn(Heard(0, None, missing=1, again=2), UDP)
    assert told == [missing]


@pytest.mark.parametrize(
    ("udp", "recent", "shortest", "expected"),
    [
        (True, 0.1, 0.1, 0.1),
        (True, 0.6, 0.1, 0.6),
        (True, 9.0, 0.1, 0.7),
        (False, 0.1, 0.1, 0.5),
        (False, 0.6, 0.1, 0.6),
        (False, 9.0, 1.0, 2.5),
    ],
)
def test_how_long_a_packet_is_not_sent_again(udp: bool, recent: float, shortest: float, expected: float) -> None:
    """For a round trip, but not for as long as a late answer took; by a relay for half a second at least."""
    world = Faults(1, udp=udp)
    world.run(5.0)
    sending = outgoing(world)
    assert sending.ways.is_direct is udp
    sending.recent, sending.round_trip = recent, shortest
    assert sending._until_again() == expected


def test_what_another_way_has_lost_is_no_loss_of_the_one_in_use_and_copies_count() -> None:
    world, told = Faults(2), list[str]()
    world.run(1.0)
    sending = outgoing(world)
    world.a.talk(world.b)
    sending.congestion = SimpleNamespace(
        note_missing=lambda now, missing, arrived: told.append("missing"),
        note_sent_again=lambda now: told.append("again"),
    )
    sending.watch.asking, sending.watch.asking_end = 0, 1
    sending._learn(Heard(0, None, missing=1), world.known[0].key)
    assert told == []
    sending.watch.asking = 1
    sending._learn(Heard(0, None, missing=1), world.known[0].key)
    assert sending.send_copies(world.known[1].key, [sending.window.start]) == 1
    assert told == ["missing", "again"]


def test_the_round_trip_of_another_way_says_nothing_about_the_one_in_use() -> None:
    """Neither to congestion control, nor to what is sent again."""
    world = Faults(2)
    world.run(3.0)
    world.net.run(2.0)
    world.treat(1, delayed(0.2))
    before = outgoing(world).recent
    world.a.node.call(lambda now: outgoing(world).send_alive_by(world.known[1].key))
    world.net.run(1.0)
    assert min(world.a.ways(world.b).tracks[world.known[1].key].rtts) > 0.2
    assert outgoing(world).recent == before < 0.1


def test_a_late_answer_by_the_way_in_use_does_not_hide_one_by_another_way() -> None:
    world = Faults(2)
    world.run(2.0)
    world.treat(0, delayed(0.15))
    world.run(0.3)
    world.net.run(2.0)
    world.treat(0, delayed(0.35))
    world.a.talk(world.b)
    seen = set[tuple[bool, int]]()
    for _ in range(40):
        world.net.run(0.02)
        alarm = outgoing(world).watch.alarm
        if alarm is not None:
            seen.add((alarm.answer is None, world.used(world.a) or 0))
    assert (False, 0) in seen
