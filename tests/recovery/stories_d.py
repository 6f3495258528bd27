"""The scenarios S01 to S50 of docs/protocols/recovery.rst: what happens to the ends, and what has to come of it.

Each takes the core that the ends run, so that a wrong variant can run in its place, and fails with an AssertionError.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Final, TypeAlias

from symbolic import H1, H2, Ch, Data, HintPacket, Junk, at, decode, encode
from world import End, World, packets, seeds

from sansproto.contract import Path, SendError
from sansproto.recovery import (
    DuplicateIdentity,
    Established,
    Expired,
    IdentityConflict,
    Kind,
    PathChanged,
    PathConflict,
    PeerClosed,
    PeerLost,
    PeerRestarted,
    Reason,
    Recovery,
    RecoveryConfig,
    RecoveryDelays,
    RecoveryLimits,
    SelfConnection,
)

Story: TypeAlias = Callable[[type[Recovery]], None]
YEAR: Final = 365 * 86400.0


def story(name: str) -> Callable[[Story], Story]:
    def keep(told: Story) -> Story:
        STORIES[name] = told
        return told

    return keep


STORIES: dict[str, Story] = {}


def talking(world: World, *, both: bool = True, every: float = 0.1, **options: Any) -> tuple[End, End]:
    """A and B, who talk."""
    a, b = world.pair(**options)
    a.talk(b, every)
    if both:
        b.talk(a, every)
    world.run(3.0)
    return a, b


def nothing_is_lost(world: World, since: float = 0.0, until: float | None = None) -> None:
    """Of what A and B say to each other; what is still on its way does not count."""
    until = world.now - 0.5 if until is None else until
    a, b = world.ends["A"], world.ends["B"]
    assert world.lost(a, b, since, until) == []
    assert world.lost(b, a, since, until) == []


def is_used(world: World, a: End, b: End) -> Callable[[], bool]:
    """Do both use the same session, made after now?"""
    before = world.now

    def check() -> bool:
        mine, its = a.current(b), b.current(a)
        return a.is_synced(b) and (mine.confirmed >= before or its.confirmed >= before)

    return check


# -- S01 to S09: restarts, crossings, moves


@story("S01")
def first_contact(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = world.end("A"), world.end("B")
    a.connect(b)
    a.talk(b)
    world.run(0.3)
    b.talk(a)
    world.run(20.0)
    nothing_is_lost(world)
    assert a.reasons() == b.reasons() == [Reason.FIRST]
    assert a.is_synced(b)


@story("S02")
def restart_and_speak(core: type[Recovery]) -> None:
    for rtt in (0.02, 0.3):
        world = World(rtt=rtt, core=core)
        a, b = talking(world)
        a.restart()
        a.connect(b)
        world.until(lambda: b.reasons() == [Reason.FIRST, Reason.RESTART], 1.5 * rtt + 0.05)  # noqa: B023
        assert len(b.events(PeerRestarted)) == 1
        world.run(5.0)
        nothing_is_lost(world, world.now - 4.0)


@story("S03")
def restart_in_silence(core: type[Recovery]) -> None:
    for has_tokens, most in ((True, 2.0), (False, 4.0)):
        for rtt in (0.02, 0.3):
            world = World(rtt=rtt, core=core)
            a, b = talking(world, both=False, has_tokens=has_tokens)
            b.talk(a, 0.1)
            world.run(10.0)
            a.restart()
            world.until(is_used(world, a, b), most)


@story("S03 late")
def restart_after_a_while(core: type[Recovery]) -> None:
    """B calls A already, or has given it up, when A is there again; and has still to say something to it."""
    for after in (8.0, 10.0, 30.0, 60.0, 95.0, 110.0):
        for rtt in (0.02, 0.3):
            world = World(rtt=rtt, core=core)
            a, b = talking(world, both=False)
            b.talk(a, 0.1)
            world.run(10.0)
            a.restart(after=after)
            world.run(after)
            world.until(is_used(world, a, b), 2.0)


@story("S04")
def restart_behind_a_relay_in_silence(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = world.pair(poll=60.0)
    b.talk(a, 5.0)
    world.run(300.0)
    a.restart()
    world.until(lambda: b.reasons()[-1] is Reason.RESTART, 600.0)


@story("S05")
def restart_behind_a_relay(core: type[Recovery]) -> None:
    for wait in (0.0, 20.0, 50.0):
        world = World(core=core)
        a, b = talking(world, poll=60.0, every=5.0)
        world.run(300.0 + wait)
        a.restart()
        a.connect(b)
        a.talk(b, 5.0)
        world.until(lambda: b.reasons()[-1] is Reason.RESTART, 121.0)  # noqa: B023


@story("S06")
def both_restart(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    a.restart()
    b.restart()
    a.connect(b)
    b.connect(a)
    world.until(lambda: a.is_synced(b), 1.0)
    world.run(5.0)
    assert a.is_synced(b)
    nothing_is_lost(world, world.now - 4.0)


@story("S07")
def crossing(core: type[Recovery]) -> None:
    for seed in seeds(8, 60):
        for loss in (0.0, 0.2):
            world = World(seed, loss=loss, jitter=0.05, core=core)
            a, b = world.end("A"), world.end("B")
            a.connect(b)
            b.connect(a)
            a.talk(b)
            b.talk(a)
            world.run(15.0 if loss else 3.0)
            assert a.is_synced(b)
            if not loss:
                nothing_is_lost(world)


@story("S08")
def rebinding(core: type[Recovery]) -> None:
    for rtt in (0.02, 0.3):
        world = World(rtt=rtt, core=core)
        a, b = talking(world)
        handle = b.current(a).sid
        a.move()
        moved = world.now
        world.until(lambda: bool(b.events(PathChanged)), 3.0)  # noqa: B023
        world.run(5.0)
        assert b.current(a).sid == handle
        nothing_is_lost(world, moved + 3.0)
        assert world.lost(a, b, until=world.now - 0.5) == []


@story("S09")
def another_identity_at_the_same_address(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world, both=False)
    world.run(10.0)
    host, port = a.host.address, a.place.sockets["udp"]
    a.stop()
    c = world.end("C", host, port=port)
    c.host.black_hole = False
    c.connect(b)
    world.until(lambda: c.is_synced(b), 1.0)
    c.talk(b)
    b.talk(c)
    keys = b.current(a).sid
    assert [event.peer for event in b.events(PathConflict)] == [b"A"]
    world.run(60.0)
    assert b.current(a).sid == keys
    world.until(lambda: bool(b.events(PeerLost)), 60.0)
    assert b.entry(a) is None
    assert world.lost(c, b, until=world.now - 0.5) == world.lost(b, c, until=world.now - 0.5) == []


# -- S10 to S16: spoofed, replayed, flooded


@story("S10")
def spoofed_identity(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    c = world.end("C")
    world.record()
    c.connect(b)
    world.run(2.0)
    (init,) = packets(world.recorded, H1, "C")
    b.disconnect(c)
    world.run(2.0)
    world.each(0.1, lambda: world.spoof(b, init, a.path), 4.0)
    world.run(10.0)
    nothing_is_lost(world)
    assert b.reasons().count(Reason.FIRST) == 2
    assert a.reasons() == [Reason.FIRST]


def old_inits(world: World, a: End, b: End, wanted: int) -> list[bytes]:
    """Inits that A sent in lives that are over."""
    world.record()
    for _ in range(wanted):
        a.restart()
        a.connect(b)
        world.run(2.0)
    world.net.taps.clear()
    found = list(dict.fromkeys(packets(world.recorded, H1, a.name)))
    assert len(found) >= wanted
    return found


def storm(world: World, inits: list[bytes], b: End, source: Path, rate: float, lasts: float) -> None:
    """Replays, one after the other."""
    numbers = count()
    world.each(1 / rate, lambda: world.spoof(b, inits[next(numbers) % len(inits)], source), lasts)


@story("S11")
def replays_at_a_live_pair(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = world.pair()
    inits = old_inits(world, a, b, 3)
    a.talk(b)
    b.talk(a)
    world.run(2.0)
    begun = world.now
    storm(world, inits, b, a.path, 10.0, 40.0)
    world.run(42.0)
    nothing_is_lost(world, begun)


@story("S12")
def replays_after_the_other_end_restarted(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = world.pair()
    inits = old_inits(world, a, b, 3)
    a.talk(b)
    world.run(5.0)
    b.restart()
    storm(world, inits, b, a.path, 10.0, 40.0)
    world.until(is_used(world, a, b), 10.0)
    since = world.now
    world.run(30.0)
    assert a.is_synced(b)
    assert world.lost(a, b, since, world.now - 0.5) == []


@story("S13")
def junk(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    sid = b.current(a).sid
    world.each(0.005, lambda: world.spoof(b, encode(Junk(sid, 100)), a.path), 20.0)
    world.run(25.0)
    nothing_is_lost(world)
    assert b.session.stats.dropped["data that does not open"] >= 3999
    assert b.reasons() == [Reason.FIRST]


@story("S14")
def spoofed_hints(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    hint = encode(HintPacket(b.current(a).remote_sid, b"", 9))
    world.each(0.005, lambda: world.spoof(b, hint, a.path), 20.0)
    world.run(25.0)
    nothing_is_lost(world)
    assert a.reasons() == b.reasons() == [Reason.FIRST]


def strange_inits(world: World, b: End, rate: float, lasts: float) -> None:
    """Inits of identities that nobody has heard of, from everywhere."""
    numbers = count()

    def one() -> None:
        number = next(numbers)
        name = f"X{number}".encode()
        sid, stamp = number.to_bytes(8, "big"), int((1.7e9 + world.now) * 1e6)
        init = H1(b.id, name, name, b"\1" + sid[1:], stamp, name.ljust(8, b"."), b"", b"")
        world.spoof(b, encode(init), at(f"10.{number % 200}.{number // 200 % 200}.1", 7))

    world.each(1 / rate, one, lasts)


@story("S15")
def init_flood(core: type[Recovery]) -> None:
    world = World(core=core)
    _a, b = talking(world)
    strange_inits(world, b, 200.0, 30.0)
    most = 0
    for _ in range(35):
        world.run(1.0)
        most = max(most, len(b.core.sessions))
    assert most <= 33
    nothing_is_lost(world)


@story("S16")
def flood_and_restart(core: type[Recovery]) -> None:
    for seed in seeds(2, 10):
        world = World(seed, core=core)
        a, b = talking(world)
        strange_inits(world, b, 143.0, 30.0)
        world.run(5.0)
        a.restart()
        a.connect(b)
        world.until(is_used(world, a, b), 8.0)


# -- S17 to S20: clocks, and ourselves


@story("S17")
def clock_goes_back(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    a.restart(wall=-YEAR)
    a.connect(b)
    world.until(is_used(world, a, b), 5.0)
    assert b.session.stats.noted["a challenge was sent"] >= 1


@story("S18")
def future_clock_is_repaired(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    a.restart(wall=YEAR)
    a.connect(b)
    world.until(is_used(world, a, b), 5.0)
    high = b.entry(a).floor
    a.restart(wall=-YEAR)
    a.connect(b)
    world.until(is_used(world, a, b), 5.0)
    assert b.entry(a).floor < high


@story("S19")
def equal_stamps(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = world.end("A"), world.end("B")
    world.record()
    a.connect(b)
    b.connect(a)
    world.run(3.0)
    assert len({decode(packet).stamp for packet in packets(world.recorded, H1)}) == 1
    assert a.is_synced(b)
    assert b.current(a).is_ours
    assert not a.current(b).is_ours


@story("S20")
def ourselves(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    world.record()
    a.restart()
    a.connect(b)
    world.run(1.0)
    init = decode(next(packets(world.recorded, H1, "A")))
    before = b.current(a).sid
    mine, other = b.core.process + bytes(4), bytes(8)
    for number in range(50):
        world.spoof(a, encode(init), b.path)  # reflected: it opens for nobody but B
        for instance in (mine, other):
            world.spoof(
                b, encode(init._replace(peer=b"B", ephemeral=bytes([number, *instance]), instance=instance)), a.path
            )
        world.run(0.6)
    assert b.current(a).sid == before
    assert len(b.events(SelfConnection)) == len(b.events(DuplicateIdentity)) == 1
    assert not a.events(SelfConnection)
    assert b"B" not in b.core.peers


# -- S21 to S30


def chaos(world: World, *, moves: bool = False, lasts: float = 60.0) -> tuple[End, End]:
    """A and B restart, their clocks jump, and the network is bad, for a while; both want each other."""
    chance = world.net.chance
    a, b = world.end("A"), world.end("B")
    for end, other in ((a, b), (b, a)):
        end.connect(other)
        end.talk(other)
        at_time = chance.uniform(2.0, 15.0)
        while at_time < lasts:
            jump = chance.choice([0.0, 0.0, -YEAR, YEAR, -5.0, 5.0])
            world.net.after(
                at_time, lambda end=end, other=other, jump=jump: (end.restart(wall=jump), end.connect(other))
            )  # type: ignore[misc]
            if moves:
                world.net.after(at_time + chance.uniform(1.0, 5.0), end.move)
            at_time += chance.uniform(3.0, 20.0)
    world.run(lasts + 6.0)
    return a, b


@story("S21")
def random_restarts(core: type[Recovery]) -> None:
    for seed in seeds(4, 150):
        world = World(seed, rtt=0.1, jitter=0.1, loss=0.15, duplicate=0.1, core=core)
        a, b = chaos(world)
        world.until(lambda: a.is_synced(b), 45.0)  # noqa: B023
        since = world.now
        world.run(5.0)
        assert set(world.arrived) - set(world.sent) == set()
        for one, other in ((a, b), (b, a)):
            assert any(
                data in world.arrived
                for data in world.sent
                if data.startswith(f"{one.name}>{other.name}".encode()) and world.sent[data] > since
            )


@story("S22")
def rekeys_only(core: type[Recovery]) -> None:
    config = RecoveryConfig(direct=RecoveryDelays(rekey=12.0))
    world = World(rtt=0.02, jitter=0.29, core=core)
    a, b = world.pair(config=config)
    a.talk(b, 0.05)
    b.talk(a, 0.05)
    world.run(100.0)
    nothing_is_lost(world, until=world.now - 1.0)
    assert len(a.reasons()) > 6
    assert set(a.reasons()[1:]) == {Reason.REKEY}
    for end in (a, b):
        assert end.session.stats.dropped == {}


@story("S23")
def one_way_black_hole(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    world.net.taps.append(lambda sender, data, path: sender is a.place)
    world.run(40.0)
    assert world.lost(b, a, until=world.now - 0.5) == []  # this way is open all the time
    world.net.taps.clear()
    since = world.now
    world.until(lambda: bool(b_hears(world, a, b, since) and b_hears(world, b, a, since)), 12.0)
    world.run(12.0)
    nothing_is_lost(world, since + 12.0)


def b_hears(world: World, a: End, b: End, since: float) -> bool:
    prefix = f"{a.name}>{b.name}".encode()
    return any(
        data.startswith(prefix) and world.sent[data] >= since for data, when in world.arrived.items() if when >= since
    )


@story("S24")
def restart_while_mute(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = world.pair()
    world.run(30.0)
    b.restart()
    world.run(20.0)
    a.talk(b, 1.0)
    world.until(is_used(world, a, b), 4.0)


@story("S25")
def junk_masks_death(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    world.record()
    path, sid = b.path, a.current(b).sid
    b.stop()
    world.recorded.clear()
    world.each(0.05, lambda: world.spoof(a, encode(Junk(sid, 100)), path), 20.0)
    world.until(lambda: any(packets(world.recorded, H1, "A")), 4.5)


@story("S26")
def stale_replies(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = world.pair()
    world.record()
    for _ in range(3):
        a.restart()
        a.connect(b)
        world.run(1.0)
    replies = [*packets(world.recorded, H2, "B")]
    a.restart()
    a.connect(b)
    for reply in replies * 3:
        world.spoof(a, reply, b.path)
    world.until(lambda: a.is_synced(b), 0.3)
    assert a.session.stats.dropped["unknown handshake"] == 3 * len(replies)


@story("S27")
def copies_that_are_faster(core: type[Recovery]) -> None:
    world = World(rtt=0.2, core=core)
    a, b = talking(world)
    far = at("192.0.2.66", 6)
    world.net.taps.append(lambda sender, data, path: world.spoof(b, data, far, 0.01) if sender is a.place else None)
    world.run(20.0)
    assert b.entry(a).route.name == f"udp|{a.host.address}|1".encode()
    assert not b.events(PathChanged)
    nothing_is_lost(world)


@story("S28")
def chaos_with_an_attacker(core: type[Recovery]) -> None:
    for seed in seeds(4, 60):
        world = World(seed, rtt=0.1, jitter=0.1, loss=0.15, duplicate=0.1, core=core)
        chance = world.net.chance

        def attack(world: World = world, chance: Any = chance) -> None:
            if world.recorded:
                a, b = world.ends["A"], world.ends["B"]
                who, _path, data = chance.choice(world.recorded)
                to, other = (b, a) if who == "A" else (a, b)
                source = chance.choice([other.path, at("192.0.2.66", 6)])
                if to.is_up:
                    world.spoof(to, data, source)

        world.record()
        world.each(0.05, attack, 60.0)
        a, b = chaos(world, moves=True)
        a.connect(b)  # both may have moved at the same time
        world.until(lambda: a.is_synced(b), 45.0)  # noqa: B023
        world.run(5.0)
        assert a.is_synced(b)


@story("S29")
def swapped_addresses(core: type[Recovery]) -> None:
    world = World(core=core)
    b = world.end("B")
    a, c = world.end("A", "10.0.0.9", port=1), world.end("C", "10.0.0.9", port=2)
    for end in (a, c):
        end.connect(b)
        end.talk(b)
        world.run(1.0)
        b.talk(end)
    world.run(3.0)
    before = {end: b.current(end).sid for end in (a, c)}
    a.move(2)
    c.move(1)
    swapped = world.now
    world.until(lambda: len(b.events(PathChanged)) == 2, 3.0)
    world.run(5.0)
    for end in (a, c):
        assert b.current(end).sid == before[end]
        assert world.lost(b, end, swapped + 3.0, world.now - 0.5) == world.lost(end, b, until=world.now - 0.5) == []


@story("S30")
def two_peers(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    c = world.end("C")
    c.connect(b)
    c.talk(b)
    world.run(3.0)
    c.restart()
    c.connect(b)
    world.run(5.0)
    nothing_is_lost(world)
    assert a.reasons() == [Reason.FIRST]


# -- S31 to S38: clones and storms


@story("S31")
def clone(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = world.pair()
    world.has_one_process_each = False
    twin = world.end("A2")
    twin.id = b"A"
    twin.restart()
    for end in (a, twin):
        end.talk(b, 0.5)
        end.connect(b)
    b.talk(a, 0.5)
    world.run(120.0)
    assert b.events(IdentityConflict)
    assert len(b.reasons()) <= 60


@story("S32")
def storm_and_restart(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = world.pair()
    inits = old_inits(world, a, b, 25)
    a.talk(b)
    b.talk(a)
    world.run(1.0)
    storm(world, inits, b, a.path, 50.0, 30.0)
    world.run(3.0)
    a.restart()
    a.connect(b)
    world.until(is_used(world, a, b), 5.0)


@story("S33")
def storm_and_restart_of_the_other_end(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = world.pair()
    inits = old_inits(world, a, b, 25)
    a.talk(b)
    world.run(1.0)
    storm(world, inits, b, a.path, 50.0, 30.0)
    world.run(3.0)
    b.restart()
    world.until(is_used(world, a, b), 10.0)


@story("S34")
def clock_goes_back_behind_a_relay(core: type[Recovery]) -> None:
    for wait in (0.0, 20.0, 50.0):
        world = World(core=core)
        a, b = talking(world, poll=60.0, every=5.0)
        world.run(300.0 + wait)
        a.restart(wall=-115 * 86400.0)
        a.connect(b)
        world.until(lambda: b.reasons()[-1] is Reason.RESTART, 241.0)  # noqa: B023


@story("S35")
def cost_of_crossings(core: type[Recovery]) -> None:
    """Ideal are 120 sessions in use for 60 crossings."""
    promotions = 0
    for seed in range(60):
        world = World(seed, rtt=0.1, jitter=0.1, core=core)
        chance = world.net.chance
        a, b = world.end("A"), world.end("B")
        a.connect(b)
        world.net.after(chance.uniform(0.0, 0.1), lambda a=a, b=b: b.connect(a))  # type: ignore[misc]
        world.net.run(4.0)
        assert a.is_synced(b)
        promotions += len(a.reasons()) + len(b.reasons())
    assert promotions <= 140


def only_a_can_heal(world: World, inits: list[bytes], rate: float, *, restarts: End) -> None:
    """Nothing that B begins arrives, no hint leaves it, and old Inits of A come to it without end."""
    a, b = world.ends["A"], world.ends["B"]

    def hears_nothing(sender: Any, data: bytes, path: Path) -> bool:
        packet = decode(data)
        return sender is b.place and isinstance(packet, (H1, HintPacket))

    world.net.taps.append(hears_nothing)
    numbers = count()

    def replay() -> None:
        number = next(numbers)
        world.spoof(b, inits[number % len(inits)], at(f"192.{number % 250}.2.66", 6))

    world.each(1 / rate, replay, 60.0)
    world.run(3.0)
    restarts.restart()
    if restarts is a:
        a.connect(b)


@story("S36")
def storm_where_only_one_can_heal(core: type[Recovery]) -> None:
    world = World(rtt=0.3, core=core)
    a, b = world.pair()
    inits = old_inits(world, a, b, 25)
    a.talk(b)
    world.run(1.0)
    only_a_can_heal(world, inits, 50.0, restarts=a)
    world.until(is_used(world, a, b), 10.0)


@story("S37")
def storm_without_a_floor(core: type[Recovery]) -> None:
    world = World(rtt=0.3, core=core)
    a, b = world.pair()
    inits = old_inits(world, a, b, 25)
    a.talk(b)
    world.run(1.0)
    only_a_can_heal(world, inits, 50.0, restarts=b)
    world.until(is_used(world, a, b), 15.0)


@story("S38")
def storm_below_the_limit(core: type[Recovery]) -> None:
    world = World(rtt=0.6, core=core)
    a, b = world.pair()
    inits = old_inits(world, a, b, 25)
    a.talk(b)
    world.run(1.0)
    only_a_can_heal(world, inits, 15.0, restarts=b)
    world.until(is_used(world, a, b), 15.0)


# -- S39 to S50: the layer above, records, resets, limits


@story("S39")
def late_end_of_an_old_generation(core: type[Recovery]) -> None:
    """An upper layer that keeps what it was told last can ignore every event with a smaller generation."""
    world = World(core=core)
    a, b = talking(world)
    a.restart()
    a.connect(b)
    world.run(3.0)
    told = [(event.peer, event.generation) for _, event in b.log if hasattr(event, "generation")]
    assert told == sorted(told)
    assert [event.generation for event in b.events(Established)] == [1, 2]


@story("S40")
def garbled_content(core: type[Recovery]) -> None:
    """What is authentic and malformed counts as opaque: its counter may come again, and nobody is more alive by it."""
    world = World(core=core)
    a, b = talking(world)
    session = b.current(a)
    before = session.last_in, session.window.highest
    world.net.taps.append(lambda sender, data, path: sender is a.place)
    world.run(1.0)
    before = session.last_in, session.window.highest
    keys = a.session.keys[a.current(b).sid]
    for kind in range(9):
        packet = Data(session.sid, 10_000 + kind, keys.ours, kind, b"?" * 3, 37)
        b.session.garbles = True
        world.spoof(b, encode(packet), a.path)
        world.run(0.1)
    b.session.garbles = False
    assert (session.last_in, session.window.highest) == before
    assert b.session.stats.dropped["data that cannot be read"] == 9


@story("S41")
def suspended(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    a.sleep(3600.0, frozen=False)
    world.run(3600.1)
    world.record()
    a.resumed(3600.0)
    assert len(a.events(Expired)) == 1
    world.until(lambda: a.is_synced(b), 2.0)
    assert len([*packets(world.recorded, H1, "A")]) <= 2
    world.run(3.0)
    nothing_is_lost(world, world.now - 2.0)


@story("S42")
def persisted(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    record = a.core.save(b.id)
    assert record is not None
    counter, generation, floor = a.current(b).counter, a.generation(b), a.entry(b).floor
    world.record()
    uppers = a.uppers
    a.restart()
    a.uppers = uppers
    world.recorded.clear()
    assert a.place.call(lambda now: a.session.load(record, now))
    assert not a.place.call(lambda now: a.session.load(record, now))
    first = a.send(b)
    assert [decode(packet).kind for packet in packets(world.recorded, Data, "A")] == [Kind.PING.value]
    assert decode(next(packets(world.recorded, Data, "A"))).counter >= counter
    world.run(0.5)
    assert first in world.arrived
    world.run(5.0)
    nothing_is_lost(world, world.now - 4.0)
    assert (a.generation(b), a.entry(b).floor) == (generation, floor)
    assert b.reasons() == [Reason.FIRST]  # a clean reload is no restart


@story("S43")
def reset_tokens(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    c = world.end("C")
    c.connect(b)
    world.run(2.0)
    mine, other = b.current(a), b.current(c)
    far = at("192.0.2.66", 6)
    world.record()
    for token in (b"?" * 16, other.reset):
        world.spoof(b, encode(HintPacket(mine.remote_sid, token, 25)), far)
    world.run(1.0)
    assert not any(packets(world.recorded, H1, "B"))
    assert b.session.stats.dropped["a wrong reset token"] == 2
    for _ in range(20):
        world.spoof(b, encode(HintPacket(mine.remote_sid, mine.reset, 25)), far)
    world.run(3.0)
    assert len([*packets(world.recorded, H1, "B")]) == 1
    nothing_is_lost(world)
    assert b.reasons() == [Reason.FIRST, Reason.FIRST, Reason.REKEY]


@story("S44")
def hint_loop(core: type[Recovery]) -> None:
    world = World(rtt=2.0, core=core)
    a, b = talking(world)
    world.record()
    a.restart()
    b.restart()
    world.run(30.0)
    hints = [*packets(world.recorded, HintPacket)]
    assert 0 < len(hints) <= 22  # one at most for each packet that was on its way
    assert len([*packets(world.recorded, H1)]) == 0


def return_of_many(core: type[Recovery], *, hosts: int, count: int = 60) -> float:
    """How long it takes until all of many peers are in, when the end that they talk to has restarted."""
    world = World(core=core)
    b = world.end("B")
    many = [world.end(f"P{n}", f"10.1.{n % hosts}.1", port=10 + n) for n in range(count)]
    for number, end in enumerate(many):
        world.net.after(number * 0.5, lambda end=end: (end.connect(b), end.talk(b, 1.0)))  # type: ignore[misc]
    world.net.run(40.0)
    assert all(b.current(end) for end in many)
    b.restart()
    begun = world.now
    while not all(b.current(end) for end in many):
        world.net.run(0.1)
        world.check()
        assert world.now - begun < 15.0
    return world.now - begun


@story("S45")
def sixty_return(core: type[Recovery]) -> None:
    assert return_of_many(core, hosts=60) < 8.0
    assert return_of_many(core, hosts=1) < 8.2
    assert return_of_many(core, hosts=1, count=20) < 2.5  # by hints, which nobody else needs


@story("S46")
def forged_challenges(core: type[Recovery]) -> None:
    """An observer floods who has to prove that it is fresh with challenges of its own."""
    for seed in seeds(3, 20):
        world = World(seed, rtt=0.3, core=core)
        a, b = talking(world)
        world.record()
        a.restart(wall=-YEAR)
        world.recorded.clear()
        numbers = count()

        def forge(world: World = world, a: End = a, b: End = b, numbers: Any = numbers) -> None:
            inits = [decode(packet) for packet in packets(world.recorded, H1, "A")]
            if inits:
                token = next(numbers).to_bytes(24, "big")
                for proof in (b"", b"?" * 16):
                    world.spoof(a, encode(Ch(inits[-1].hs_id[:8], token, proof)), b.path)

        world.each(0.02, forge, 20.0)
        a.connect(b)
        world.until(is_used(world, a, b), 3.0)
        assert len([*packets(world.recorded, H1, "A")]) <= 8


@story("S47")
def replayed_close(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    world.record()
    a.disconnect(b)
    closes = [packet for packet in packets(world.recorded, Data, "A") if decode(packet).kind == Kind.CLOSE.value]
    world.run(3.0)
    assert len(b.events(PeerClosed)) == 1
    a.connect(b)
    world.run(1.0)
    b.talk(a)
    a.talk(b)
    since = world.now
    for close in closes * 20:
        world.spoof(b, close, a.path)
        world.run(0.2)
    assert len(b.events(PeerClosed)) == 1
    nothing_is_lost(world, since)


@story("S48")
def counters_run_out(core: type[Recovery]) -> None:
    limits = RecoveryLimits(rekey_packets=100, packets=120)
    world = World(core=core)
    a, b = world.pair(config=RecoveryConfig(limits=limits))
    a.talk(b, 0.02)
    world.run(30.0)
    assert len(a.reasons()) >= 10
    assert max(counter for _, counter in world.nonces) < 120
    assert world.lost(a, b, until=world.now - 0.5) == []
    for end in (a, b):
        assert set(end.reasons()[1:]) == {Reason.REKEY}
    world.net.taps.append(lambda sender, data, path: isinstance(decode(data), H1))
    world.run(10.0)
    assert a.current(b).counter == 120
    assert max(counter for _, counter in world.nonces) == 119


@story("S49")
def disconnect_during_a_handshake(core: type[Recovery]) -> None:
    world = World(rtt=0.4, core=core)
    a, b = world.end("A"), world.end("B")
    a.connect(b)
    world.run(0.3)
    a.disconnect(b)
    assert a.session.attempts == a.session.keys == {}
    world.run(0.2)
    assert a.session.stats.dropped == {"unknown handshake": 1}
    world.run(40.0)
    assert not a.core.sessions
    assert not b.core.sessions
    assert not b.core.peers
    assert not [event for end in (a, b) for event in end.events(Established)]


@story("S50")
def errors_of_the_system(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    for error in SendError:
        a.os_error(b, error)
    world.run(5.0)
    nothing_is_lost(world)
    assert a.reasons() == [Reason.FIRST]
