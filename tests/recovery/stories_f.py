"""The scenarios S59 to S97 of docs/protocols/recovery.rst: goodbyes, sleep, moves, and who is in the way of them."""

from __future__ import annotations

from typing import Any, Final

import attrs
from stories_d import Story, is_used, nothing_is_lost, old_inits, storm, talking
from symbolic import H1, H2, Data, HintPacket, Junk, at, decode, encode, path_of
from world import EPOCH, End, World, packets, seeds

from sansproto.contract import Path, SendError
from sansproto.recovery import (
    Admission,
    CloseReason,
    Expired,
    Kind,
    PathChanged,
    PeerClosed,
    Reason,
    Recovery,
    RecoveryConfig,
    RecoveryDelays,
    Unreachable,
)

STORIES: dict[str, Story] = {}
FAR: Final = at("192.0.2.66", 6)
"""Where an observer is."""


def story(name: str) -> Any:
    def keep(told: Story) -> Story:
        STORIES[name] = told
        return told

    return keep


def is_close(data: bytes) -> bool:
    packet = decode(data)
    return isinstance(packet, Data) and packet.kind == Kind.CLOSE.value


def is_confirm(data: bytes) -> bool:
    packet = decode(data)
    return isinstance(packet, Data) and packet.kind == Kind.CONFIRM.value


def losing_closes(world: World, end: End, most: int) -> None:
    """The first closes of an end are lost."""
    left = [most]

    def tap(sender: Any, data: bytes, path: Path) -> bool:
        if sender is end.place and is_close(data) and left[0] and path.host != FAR.host:
            left[0] -= 1
            return True
        return False

    world.net.taps.append(tap)


def calls_of(world: World, end: End, since: int = 0) -> int:
    """How many Inits an end has sent, as recorded."""
    return len([*packets(world.recorded[since:], H1, end.name)])


def knows(end: End, count: int = 1) -> Any:
    return lambda: len(end.events(PeerClosed)) >= count


def is_over(world: World, a: End, b: End) -> None:
    """A has said goodbye, and nothing of B reaches it any more; B calls nobody."""
    assert b.id not in a.core.peers
    assert a.id not in b.core.peers
    assert not a.core.attempts
    assert not b.core.attempts


# -- S59 to S68: goodbyes


@story("S59")
def lost_close(core: type[Recovery]) -> None:
    for lost in (1, 2, 3):
        world = World(core=core)
        a, b = talking(world)
        losing_closes(world, a, lost)
        world.record()
        arrived = len(world.arrived)
        a.disconnect(b)
        gone = world.now
        world.until(knows(b), 2.6)
        known = len(world.recorded)
        world.run(40.0)
        assert all(when <= gone for data, when in world.arrived.items() if data.startswith(b"B>A"))
        assert len(world.arrived) >= arrived
        assert len(a.reasons()) == 1
        assert calls_of(world, b, known) == 0
        is_over(world, a, b)


@story("S60")
def closes_on_a_bad_network(core: type[Recovery]) -> None:
    for seed in seeds(12, 300):
        world = World(seed, loss=0.3, core=core)
        a, b = world.end("A"), world.end("B")
        a.connect(b)
        world.until(lambda: a.is_synced(b), 60.0)  # noqa: B023
        b.talk(a)
        a.talk(b)
        world.net.run(3.0)
        world.record()
        a.disconnect(b)
        gone = world.now
        world.until(knows(b), 25.0)
        known = len(world.recorded)
        world.net.run(30.0)
        assert all(when <= gone for data, when in world.arrived.items() if data.startswith(b"B>A"))
        assert calls_of(world, b, known) == 0
        is_over(world, a, b)


@story("S61")
def nothing_arrives_after_the_close(core: type[Recovery]) -> None:
    for has_tokens in (True, False):
        world = World(core=core)
        a, b = talking(world, has_tokens=has_tokens)
        world.net.taps.append(lambda sender, data, path: sender is a.place)  # noqa: B023
        a.disconnect(b)
        world.net.after(20.0, world.net.taps.clear)
        world.until(knows(b), 27.0)
        assert b.events(PeerClosed)[0].reason in (CloseReason.REFUSED, CloseReason.NORMAL)
        world.run(40.0)
        assert len(a.reasons()) == 1
        is_over(world, a, b)


@story("S62")
def both_close(core: type[Recovery]) -> None:
    for rtt, loss, seed in ((0.1, 0.0, 0), (6.0, 0.0, 0), *((0.1, 0.2, n) for n in range(8)), (6.0, 0.2, 0)):
        world = World(seed, rtt=rtt, core=core)
        a, b = talking(world) if rtt < 1 else world.pair()
        world.lose(loss)
        world.record()
        a.disconnect(b)
        b.disconnect(a)
        a.talk(b, 0.5, 10.0)
        world.run(8 * rtt + 10.0)
        assert len(world.recorded) <= 14
        landed = len(world.recorded)
        world.run(60.0)
        assert len(world.recorded) == landed
        for _ in range(3):  # whatever is replayed
            for who, _path, data in world.recorded[:landed]:
                to = b if who == "A" else a
                world.spoof(to, data, a.path if who == "A" else b.path)
            world.run(0.01)
        world.run(30.0)
        assert len(world.recorded) - landed <= 8
        is_over(world, a, b)


@story("S63")
def close_and_connect_at_once(core: type[Recovery]) -> None:
    for case in ("in order", "lost", "late"):
        world = World(core=core)
        a, b = talking(world)
        if case == "lost":
            losing_closes(world, a, 2)
        elif case == "late":
            world.net.taps.append(
                lambda sender, data, path: is_close(data) and not world.spoof(b, data, a.path, 0.6)  # noqa: B023
            )
        a.disconnect(b)
        a.connect(b)
        again = world.now
        world.run(20.0)
        assert a.is_synced(b)
        nothing_is_lost(world, again + 1.5)
        if case != "in order":
            assert b.events(PeerClosed) == []


@story("S64")
def restart_while_closing(core: type[Recovery]) -> None:
    # A restarts: it has forgotten that it said goodbye
    world = World(core=core)
    a, b = talking(world)
    losing_closes(world, a, 99)
    a.disconnect(b)
    a.restart()
    world.until(is_used(world, a, b), 5.0)
    # B restarts: it is another instance
    world = World(core=core)
    a, b = talking(world)
    losing_closes(world, a, 99)
    a.disconnect(b)
    b.restart()
    b.connect(a)
    world.until(is_used(world, a, b), 5.0)
    # A restarts, and its host remembers
    world = World(core=core)
    a, b = talking(world)
    losing_closes(world, a, 2)
    a.disconnect(b)
    a.more["policy"] = lambda visit: Admission.REFUSE
    a.restart()
    world.until(knows(b), 10.0)
    assert b.events(PeerClosed)[0].reason is CloseReason.REFUSED
    assert len(a.reasons()) == 1


@story("S65")
def a_listener_is_left(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world, both=False)
    losing_closes(world, a, 2)
    a.disconnect(b)
    begun = world.now
    world.until(knows(b), 200.0)
    assert world.now - begun < 160.0
    is_over(world, a, b)
    world = World(core=core)
    b, a = world.end("B"), world.end("A")
    b.connect(a)  # B made the session, so that it calls first
    world.run(1.0)
    losing_closes(world, a, 2)
    a.disconnect(b)
    world.until(knows(b), 125.0)


@story("S66")
def attacks_on_a_goodbye(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    world.record()
    world.run(2.0)
    old = [(who, data) for who, _, data in world.recorded]
    sid = a.current(b).sid
    a.disconnect(b)
    for _ in range(20):
        a.disconnect(b)
    world.run(3.0)
    world.recorded.clear()
    for number in range(1000):
        who, data = old[number % len(old)]
        if who == "B" and decode(data).size > 35:
            data = encode(decode(data)._replace(size=35))
        world.spoof(a if who == "B" else b, data, b.path if who == "B" else a.path, number * 0.01)
    for number in range(500):
        forged = Data(sid, number, b"forged", Kind.CLOSE.value, b"\0", 35)
        world.spoof(a, encode(forged), b.path, number * 0.01)
    world.run(15.0)
    assert len(world.recorded) == 0
    is_over(world, a, b)
    assert len(b.events(PeerClosed)) == 1


@story("S67")
def flooded_tombstone(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world, has_tokens=False)
    sid = a.current(b).sid
    losing_closes(world, a, 2)
    world.record()
    a.disconnect(b)
    world.recorded.clear()
    world.each(0.002, lambda: world.spoof(a, encode(Junk(sid, 100)), FAR), 30.0)
    world.until(knows(b), 2.0)
    b.connect(a)
    world.run(30.0)
    answers = [path for who, path, data in world.recorded if who == "A" and is_close(data) and path.host == FAR.host]
    assert 1 <= len(answers) <= 10
    assert not any(packets(world.recorded, HintPacket, "A"))


@story("S68")
def crowd_of_goodbyes(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world, both=False)
    losing_closes(world, a, 2)
    a.disconnect(b)
    said = set(a.core.farewells.tombstones)
    crowd = [world.end(f"X{n}", f"10.{n % 250}.7.1", port=100 + n) for n in range(300)]
    for number, end in enumerate(crowd):
        world.net.after(number * 0.2, lambda end=end: end.connect(a))  # type: ignore[misc]
        world.net.after(number * 0.2 + 0.15, lambda end=end: a.id in end.core.peers and end.disconnect(a))  # type: ignore[misc]
    world.net.run(70.0)
    a.session.policy = lambda visit: Admission.REFUSE
    for number, end in enumerate(crowd):
        world.net.after(number * 0.2, lambda end=end: end.connect(a))  # type: ignore[misc]
    world.net.run(70.0)
    world.check()
    assert len(a.core.farewells.tombstones) == 256
    assert said <= set(a.core.farewells.tombstones)


# -- S69 to S77: sleep, networks, silence


@story("S69")
def sleeper(core: type[Recovery]) -> None:
    for frozen in (True, False):
        for has_tokens in (True, False):
            world = World(core=core)
            a, b = talking(world, has_tokens=has_tokens)
            a.sleep(3600.0, frozen=frozen)
            world.net.run(3600.0)
            world.net.run(0.01)
            a.resumed(3600.0)
            world.until(is_used(world, a, b), 0.6)
            since = world.now
            world.run(5.0)
            nothing_is_lost(world, since)


@story("S70")
def two_sleepers(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    for end in (a, b):
        end.sleep(3600.0, frozen=True)
    world.net.run(3600.01)
    begun = world.now
    for end in (a, b):
        end.resumed(3600.0)
    world.run(5.0)
    assert a.is_synced(b)
    nothing_is_lost(world, begun)
    assert Reason.REKEY in a.reasons()
    # a handshake of ours is open while the clock jumps
    world = World(core=core)
    a, b = world.end("A"), world.end("B")
    world.net.partition(a.host.address, b.host.address)
    a.connect(b)
    world.run(20.0)
    a.sleep(3600.0, frozen=False)
    world.net.run(3600.01)
    world.net.heal(a.host.address, b.host.address)
    a.resumed(3600.0)
    world.until(lambda: a.is_synced(b), 0.5)


@story("S71")
def lies_about_sleep(core: type[Recovery]) -> None:
    world = World(core=core)
    a, _b = talking(world)
    world.record()
    world.each(0.02, lambda: a.resumed(3600.0), 60.0)
    world.run(65.0)
    nothing_is_lost(world)
    assert calls_of(world, a) <= 16
    assert set(a.reasons()[1:]) == {Reason.REKEY}


MUTE: Final = RecoveryConfig(direct=RecoveryDelays(keepalive=60.0, contest=100.0))
"""Who only listens says nothing for long."""


def hears_again(world: World, b: End) -> bool:
    """Did something arrive that B has said since this was asked for the first time?"""
    begun = world.marks.setdefault("hears again", world.now)
    return any(when > begun and data in world.arrived for data, when in world.sent.items() if data.startswith(b"B>"))


@story("S72")
def listener_moves(core: type[Recovery]) -> None:
    for loss in (0.0, 0.1):
        for seed in seeds(6, 60):
            world = World(seed, core=core)
            a, b = world.pair(config=MUTE)
            b.talk(a)
            world.run(3.0)
            world.lose(loss)
            a.move()
            a.network_changed()
            world.until(lambda: hears_again(world, b), 5.0 if loss else 0.4)  # noqa: B023
            world.run(5.0)
            assert path_of(b.entry(a).route).port == a.path.port
    # what the first pings and challenges say is lost
    for kind in (Kind.PING, Kind.PATH_CHALLENGE):
        world = World(core=core)
        a, b = world.pair(config=MUTE)
        b.talk(a)
        world.run(3.0)
        left = [2]

        def tap(sender: Any, data: bytes, path: Path, left: Any = left, kind: Kind = kind, a: End = a) -> bool:
            packet = decode(data)
            is_lost = isinstance(packet, Data) and packet.kind == kind.value and left[0] > 0
            is_lost = is_lost and (sender is a.place or path.port == a.path.port)
            left[0] -= is_lost
            return is_lost

        a.move()
        world.net.taps.append(tap)
        a.network_changed()
        world.until(lambda: hears_again(world, b), 3.0)  # noqa: B023
    # its first ping is lost, and for a moment more it hears at its old address, too: that proves nothing
    world = World(core=core)
    a, b = world.pair(config=MUTE)
    b.talk(a)
    world.run(3.0)
    moved, old = world.now, a.path

    def overlap(sender: Any, data: bytes, path: Path) -> bool:
        if sender is b.place and path == old and world.now < moved + 0.4:
            world.spoof(a, data, b.path, 0.05)
        return sender is a.place and world.now < moved + 0.4

    a.move()
    world.net.taps.append(overlap)
    a.network_changed()
    world.run(0.5)
    world.until(lambda: hears_again(world, b), 2.0)


@story("S73")
def backoff_ends(core: type[Recovery]) -> None:
    slow = RecoveryConfig(direct=RecoveryDelays(retry=300.0))
    # the network of B comes back
    for case in ("network", "init", "route"):
        world = World(core=core)
        a, b = world.end("A"), world.end("B", config=slow)
        world.net.partition(a.host.address, b.host.address)
        b.connect(a, at("10.9.9.9") if case == "route" else None)
        world.until(lambda: bool(b.events(Unreachable)), 100.0)  # noqa: B023
        world.run(5.0)
        world.net.heal(a.host.address, b.host.address)
        if case == "network":
            b.network_changed()
            most = 0.5
        elif case == "init":  # from where it cannot be answered: the answers are lost
            init = H1(b.id, a.id, b"e", b"sid-of-a", int((EPOCH + world.now) * 1e6), b"i" * 8, b"", b"")
            world.spoof(b, encode(init), FAR)
            most = 1.7
        else:
            b.connect(a)
            most = 0.5
        world.until(lambda: a.is_synced(b), most)  # noqa: B023


@story("S74")
def network_changes_for_ever(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world, both=False)
    world.run(10.0)
    b.talk(a)
    world.record()
    world.each(0.02, a.network_changed, 60.0)
    world.run(59.9)
    pings = [packet for packet in packets(world.recorded, Data, "A") if decode(packet).kind == Kind.PING.value]
    assert len(pings) <= 20
    assert len({decode(packet).counter for packet in pings}) == len(pings)
    world.run(10.0)
    assert len(a.reasons()) == 1
    # the last one of a burst is carried out
    world = World(core=core)
    a, b = world.pair(config=MUTE)
    b.talk(a)
    world.run(10.0)
    for _ in range(20):
        a.network_changed()
    world.run(0.3)
    a.move()
    a.network_changed()
    world.until(lambda: hears_again(world, b), 2.0)


@story("S75")
def states_of_the_layer_above(core: type[Recovery]) -> None:
    """The world itself compares the states: see ``World.met``."""
    world = World(core=core)
    a, b = talking(world)
    b.sleep(300.0, frozen=True)  # the session reaches its end at one of them only
    world.run(300.1)
    assert a.events(Expired)
    assert not b.events(Expired)
    b.resumed(300.0)
    world.run(5.0)
    nothing_is_lost(world, world.now - 3.0)
    for seed in seeds(6, 60):
        world = World(seed, rtt=0.1, jitter=0.1, loss=0.1, duplicate=0.05, core=core)
        chance = world.net.chance
        a, b = world.end("A"), world.end("B")
        a.talk(b)
        b.talk(a)

        def happen(world: World = world, chance: Any = chance) -> None:
            a, b = world.ends["A"], world.ends["B"]
            one, other = chance.choice([(a, b), (b, a)])
            what = chance.choice(["restart", "close", "cut", "long cut", "nothing"])
            if what == "restart":
                one.restart()
            elif what == "close":
                one.disconnect(other)
            elif what != "nothing":
                world.net.partition(a.host.address, b.host.address)
                lasts = chance.uniform(8.0, 30.0) if what == "cut" else 200.0
                world.net.after(lasts, lambda: world.net.heal(a.host.address, b.host.address))
            for end, to in ((a, b), (b, a)):
                if chance.random() < 0.6:
                    world.net.after(chance.uniform(0.0, 5.0), lambda end=end, to=to: end.connect(to))  # type: ignore[misc]

        a.connect(b)
        at_time = 0.0
        for _ in range(12):
            at_time += chance.uniform(3.0, 40.0)
            world.net.after(at_time, happen)
        world.net.run(at_time + 60.0)
        world.check()
        assert len(world.met) >= 4


@story("S76")
def measured_silence(core: type[Recovery]) -> None:
    for rtt, most in ((0.001, 3.6), (0.1, 4.0), (0.6, 8.0), (3.0, 40.0)):
        world = World(rtt=rtt, core=core)
        config = RecoveryConfig()
        a, b = world.pair(has_tokens=False, config=config)
        b.talk(a, 0.2)
        world.run(40.0)
        world.net.taps.append(lambda sender, data, path: isinstance(decode(data), HintPacket))
        a.restart()
        world.until(is_used(world, a, b), most)
    for rtt, loss in ((0.001, 0.0), (0.1, 0.05), (0.6, 0.1)):
        config = RecoveryConfig(direct=RecoveryDelays(rekey=3600.0, session=7200.0))
        world = World(1, rtt=rtt, loss=0.0, core=core)
        a, b = world.pair(config=config)
        world.lose(loss)
        a.talk(b, 0.5)
        world.record()
        world.net.run(300.0)
        assert calls_of(world, a) + calls_of(world, b) <= 1
    # the round trip becomes much longer
    config = RecoveryConfig(direct=RecoveryDelays(rekey=3600.0, session=7200.0))
    world = World(rtt=0.1, core=core)
    a, b = world.pair(config=config)
    a.talk(b, 0.2)
    b.talk(a, 0.2)
    world.run(10.0)
    world.record()
    world.net.default = attrs.evolve(world.net.default, latency=2.0)
    changed = world.now
    world.run(60.0)
    assert calls_of(world, a) + calls_of(world, b) <= 4
    assert world.lost(a, b, until=world.now - 5.0) == world.lost(b, a, until=world.now - 5.0) == []
    assert changed


@story("S76 early")
def silence_right_behind_the_handshake(core: type[Recovery]) -> None:
    """The timer of silence was set before the round trip was measured, and silence may last shorter now."""
    for after in (0.1, 1.0, 3.0):
        world = World(rtt=0.02, core=core)
        world.net.taps.append(lambda sender, data, path: isinstance(decode(data), HintPacket))
        a, b = world.end("A"), world.end("B")
        a.connect(b)
        world.until(lambda: a.is_synced(b), 1.0)  # noqa: B023
        b.talk(a)
        world.run(after)
        a.restart()
        world.until(is_used(world, a, b), 3.3)


@story("S77")
def many_errors_of_the_system(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    world.record()
    world.each(0.01, lambda: a.os_error(b, SendError.UNREACHABLE), 30.0)
    world.run(35.0)
    nothing_is_lost(world)
    assert calls_of(world, a) == 0
    assert a.reasons() == [Reason.FIRST]


# -- S78 to S80, S86, S91, S92: racers


def race(world: World, a: End, b: End, *, from_hosts: int = 1, forwarding: int = 1, most: float = 0.0) -> None:
    """An observer near A is faster with copies of its packets, from addresses of its own, and forwards challenges that
    come there to A."""
    chance = world.net.chance
    sources = [at(f"192.0.2.{60 + n}", 6) for n in range(from_hosts)]

    def tap(sender: Any, data: bytes, path: Path) -> bool | None:
        if sender is a.place:
            for source in sources:
                world.spoof(b, data, source, chance.uniform(0.0, most))
        for source in sources[:forwarding]:
            packet = decode(data)
            if path.host == source.host and isinstance(packet, Data) and packet.kind == Kind.PATH_CHALLENGE.value:
                world.spoof(a, data, b.path, 0.05)
        return None

    world.net.taps.append(tap)


def share_lost(world: World, b: End, a: End, since: float) -> float:
    sent = [data for data, when in world.sent.items() if data.startswith(b"B>A") and since <= when < world.now - 1.0]
    return len([data for data in sent if data not in world.arrived]) / len(sent)


@story("S78")
def racer_while_nobody_moves(core: type[Recovery]) -> None:
    for every in (0.1, 0.02):
        for forwarding in (0, 1):
            world = World(rtt=0.2, core=core)
            a, b = talking(world, every=every)
            begun = world.now
            race(world, a, b, forwarding=forwarding)
            world.run(30.0)
            assert share_lost(world, b, a, begun) == 0.0
            assert not b.events(PathChanged)


@story("S79")
def racer_while_one_moves(core: type[Recovery]) -> None:
    for seed in seeds(3, 12):
        world = World(seed, rtt=0.2, core=core)
        a, b = talking(world)
        race(world, a, b, most=0.05)
        world.run(2.0)
        a.move()
        moved = world.now
        world.run(25.0)
        assert share_lost(world, b, a, moved + 3.0) == 0.0


@story("S80")
def left_address_still_answers(core: type[Recovery]) -> None:
    """A sends from another address, and still hears at the old one."""
    world = World(core=core)
    a, b = talking(world)
    old, new = a.path, at(a.host.address, 77)
    world.net.taps.append(lambda sender, data, path: sender is a.place and not world.spoof(b, data, new, 0.05))

    def also_there(sender: Any, data: bytes, path: Path) -> bool:
        if path.port == 77 and path.host == a.host.address:
            world.spoof(a, data, b.path, 0.05)
            return True
        return False

    world.net.taps.append(also_there)
    begun = world.now
    world.run(9.0)
    assert path_of(b.entry(a).route).port == old.port
    world.run(11.0)
    assert path_of(b.entry(a).route).port == 77
    assert share_lost(world, b, a, begun) == 0.0


@story("S86")
def victim_of_a_racer(core: type[Recovery]) -> None:
    """A racer that names somebody else's address sends it less than it spends."""
    world = World(rtt=0.2, core=core)
    a, b = talking(world)
    victim = at("203.0.113.5", 5)
    world.record()
    spent = [0]

    def tap(sender: Any, data: bytes, path: Path) -> None:
        if sender is a.place:
            spent[0] += decode(data).size
            world.spoof(b, data, victim, 0.01)

    world.net.taps.append(tap)
    world.run(20.0)
    got = sum(decode(data).size for _, path, data in world.recorded if path.host == victim.host)
    assert 0 < got < spent[0] / 3


@story("S91")
def racer_of_a_fast_flow(core: type[Recovery]) -> None:
    for moves in (False, True):
        world = World(5, rtt=0.2, core=core)
        a, b = talking(world, every=0.02)
        race(world, a, b, most=0.05)
        if moves:
            a.move()
        begun = world.now
        world.run(15.0)
        assert share_lost(world, b, a, begun + (3.0 if moves else 0.0)) == 0.0
    # a lossy network loses what it loses, and no more
    world = World(5, rtt=0.2, core=core)
    a, b = talking(world, every=0.02)
    world.lose(0.1)
    race(world, a, b, most=0.05)
    begun = world.now
    world.run(15.0)
    assert share_lost(world, b, a, begun) < 0.16


@story("S92")
def many_racers(core: type[Recovery]) -> None:
    for forwarding, moves in ((0, True), (1, True), (6, False)):
        world = World(7, rtt=0.2, core=core)
        a, b = talking(world)
        race(world, a, b, from_hosts=8, forwarding=forwarding, most=0.1)
        if moves:
            a.move()
        begun = world.now
        world.run(25.0)
        assert share_lost(world, b, a, begun + 5.0) == 0.0


# -- S81 to S85, S87 to S90, S93 to S95


@story("S81")
def hosts_that_fail(core: type[Recovery]) -> None:
    for seed in seeds(4, 40):
        world = World(seed, core=core)
        chance = world.net.chance
        fails = [True]
        options = {"fails": lambda step: fails[0] and chance.random() < 0.4}  # noqa: B023
        a, b = world.end("A", **options), world.end("B", **options)
        a.talk(b)
        b.talk(a)
        for number in range(8):
            restarts = b if seed % 2 and number % 2 else a
            world.net.after(number * 5.0, lambda a=a, b=b: a.connect(b))  # type: ignore[misc]
            world.net.after(number * 5.0 + 4.0, lambda end=restarts: end.restart())  # type: ignore[misc]
        world.run(40.0)
        fails[0] = False
        a.connect(b)
        world.until(lambda: a.is_synced(b), 20.0)  # noqa: B023


@story("S82")
def everything(core: type[Recovery]) -> None:
    for seed in seeds(3, 400):
        world = World(seed, rtt=0.1, jitter=0.1, loss=0.1, duplicate=0.1, core=core)
        chance = world.net.chance
        world.record()

        def disturb(world: World = world, chance: Any = chance) -> None:
            a, b = world.ends["A"], world.ends["B"]
            who, _, data = chance.choice(world.recorded)
            to, other = (b, a) if who == "A" else (a, b)
            if to.is_up:
                world.spoof(to, data, chance.choice([other.path, FAR]))

        def happen(world: World = world, chance: Any = chance) -> None:
            one, other = chance.sample([world.ends["A"], world.ends["B"]], 2)
            if not one.is_up:
                return
            match chance.randrange(8):
                case 0:
                    one.restart(wall=chance.choice([0.0, -3600.0, 3600.0]))
                case 1:
                    one.move()
                case 2:
                    one.sleep(chance.uniform(1.0, 20.0), frozen=chance.random() < 0.5)
                    return
                case 3:
                    one.disconnect(other)
                case 4:
                    one.os_error(other)
                case 5:
                    one.resumed(chance.uniform(0.0, 1e5))
                case 6:
                    one.network_changed()
                case 7:
                    return
            one.connect(other)

        a, b = world.end("A"), world.end("B")
        a.connect(b)
        a.talk(b)
        b.talk(a)
        world.net.after(1.0, lambda: world.each(0.05, disturb, 50.0))  # noqa: B023
        world.each(2.0, happen, 50.0)
        world.net.run(75.0)
        world.check()
        for end, other in ((a, b), (b, a)):
            end.connect(other)
        world.until(lambda: a.is_synced(b), 45.0)  # noqa: B023
        losing_closes(world, a, 2)
        a.disconnect(b)
        world.until(lambda: a.id not in b.core.peers, 60.0)  # noqa: B023
        assert b.id not in a.core.peers


@story("S83")
def left_while_asleep(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    losing_closes(world, a, 2)
    b.sleep(3600.0, frozen=True)
    world.run(1.0)
    a.disconnect(b)
    world.net.run(3599.1)
    b.resumed(3600.0)
    world.until(knows(b), 1.0)
    is_over(world, a, b)


@story("S84")
def replays_behind_a_goodbye(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = world.pair()
    inits = old_inits(world, b, a, 20)
    b.talk(a)
    world.run(1.0)
    a.disconnect(b)
    world.run(2.0)
    world.record()
    before = len(a.reasons())
    storm(world, inits, a, b.path, 20.0, 40.0)
    world.run(35.0)
    got = sum(decode(data).size for who, _, data in world.recorded if who == "A")
    assert got < 20 * 35 * 176 / 2
    assert len(a.reasons()) == before
    b.connect(a)
    world.until(is_used(world, a, b), 3.0)


@story("S85")
def replays_do_not_hurry(core: type[Recovery]) -> None:
    sent = []
    for attacked in (False, True):
        world = World(core=core)
        a, b = world.pair()
        inits = old_inits(world, a, b, 10)
        path = a.path
        a.stop()
        b.restart()
        b.connect(a, path)
        world.record()
        world.recorded.clear()
        if attacked:
            storm(world, inits, b, FAR, 2.0, 400.0)
        world.net.run(400.0)
        sent.append(calls_of(world, b))
    assert sent[1] <= 1.5 * sent[0]


@story("S87")
def lies_about_sleep_to_one_who_asks_for_proof(core: type[Recovery]) -> None:
    for seed in seeds(4, 20):
        world = World(seed, rtt=0.2, core=core)
        a, b = talking(world)
        world.each(0.02, lambda: b.resumed(3600.0), 30.0)  # noqa: B023
        world.run(5.0)
        world.net.taps.append(lambda sender, data, path: sender is b.place and isinstance(decode(data), H1))  # noqa: B023
        a.restart(wall=-1000.0)
        a.connect(b)
        world.until(is_used(world, a, b), 12.0)


@story("S88")
def confirm_of_a_dead_process(core: type[Recovery]) -> None:
    """It is held back until the next process of A is up."""
    world = World(core=core)
    a, b = world.end("A"), world.end("B")
    b.talk(a)
    held: list[bytes] = []

    def tap(sender: Any, data: bytes, path: Path) -> bool:
        packet = decode(data)
        if sender is a.place and a.life == 1 and isinstance(packet, Data):
            held.append(data)
            return True
        return False

    a.connect(b)
    world.run(1.0)
    world.net.taps.append(tap)
    a.restart()
    a.connect(b)
    world.run(0.3)
    assert held
    a.restart()
    a.connect(b)
    world.until(is_used(world, a, b), 1.5)
    established = len(b.reasons())
    for data in held:
        world.spoof(b, data, a.path)
    world.run(5.0)
    assert len(b.reasons()) == established
    assert a.is_synced(b)


@story("S89")
def crash_behind_each_reply(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = world.end("A"), world.end("B")
    world.record()

    def tap(sender: Any, data: bytes, path: Path) -> None:
        if sender is b.place and isinstance(decode(data), H2):
            world.net.after(0.01, b.restart)

    world.net.taps.append(tap)
    a.connect(b)
    a.talk(b)
    world.run(60.0)
    assert calls_of(world, a) <= 16


@story("S90")
def early_data_and_another_process(core: type[Recovery]) -> None:
    """What A said before its session was confirmed went to a process of B that is gone."""
    world = World(core=core)
    a, b = world.end("A"), world.end("B")
    world.net.taps.append(
        lambda sender, data, path: sender is b.place and not b.life and isinstance(decode(data), Data)
    )
    a.connect(b)
    first = a.send(b)
    world.until(lambda: first in world.arrived, 1.0)
    b.restart()
    a.talk(b)
    world.run(20.0)
    assert a.is_synced(b)
    assert a.reasons() == [Reason.RESTART]
    assert b.reasons()[-1] is Reason.FIRST


@story("S93")
def goodbye_behind_a_relay(core: type[Recovery]) -> None:
    for lost, most in ((0, 61.0), (1, 260.0), (2, 260.0), (3, 500.0)):
        world = World(core=core)
        a, b = talking(world, poll=60.0, every=10.0)
        world.run(300.0)
        losing_closes(world, a, lost)
        world.record()
        a.disconnect(b)
        world.until(knows(b), most)
        closes = [data for who, _, data in world.recorded if who == "A" and is_close(data)]
        assert len(closes) <= 5
        world.run(300.0)
        is_over(world, a, b)


@story("S94")
def late_close_of_a_previous_session(core: type[Recovery]) -> None:
    world = World(core=core)
    a, b = talking(world)
    held: list[bytes] = []

    def tap(sender: Any, data: bytes, path: Path) -> bool:
        if is_close(data):
            held.append(data)
        return is_close(data)

    world.net.taps.append(tap)
    a.disconnect(b)
    a.connect(b)
    world.until(is_used(world, a, b), 1.0)
    world.net.taps.clear()
    world.run(2.0)
    since = world.now
    for data in held:
        world.spoof(b, data, a.path)
    world.run(5.0)
    assert b.events(PeerClosed) == []
    nothing_is_lost(world, since)


@story("S95")
def early_data_to_a_successor(core: type[Recovery]) -> None:
    """A's session expired, and B is another process by then."""
    world = World(core=core)
    a, b = talking(world)
    world.net.partition(a.host.address, b.host.address)
    world.until(lambda: bool(a.events(Expired)), 250.0)
    b.restart()
    world.net.heal(a.host.address, b.host.address)
    world.run(40.0)
    assert a.is_synced(b)
    assert a.reasons()[-1] is Reason.RESTART


@story("S96")
def silence_is_measured_while_it_is_watched(core: type[Recovery]) -> None:
    """The time of silence becomes shorter with the first round trip: pings get their time all the same."""
    for rtt in (0.02, 0.3):
        world = World(rtt=rtt, core=core)
        a, b = world.pair()
        world.record()
        b.talk(a, 0.1)
        world.run(60.0)
        assert calls_of(world, a) + calls_of(world, b) == 0
        nothing_is_lost(world)


@story("S97")
def restart_with_a_half_made_session(core: type[Recovery]) -> None:
    """B renews the session, its confirms are lost, and A restarts: the token for the session in use says that the other
    one is dead, too."""
    world = World(core=core)
    a, b = talking(world, both=False)
    b.talk(a, 0.1)
    world.net.taps.append(lambda sender, data, path: is_confirm(data))
    b.place.call(lambda now: (b.entry(a).start_call(), b.session.run()))
    world.run(8.0)
    assert len(b.core.sessions_of(b.entry(a))) == 2
    a.restart()
    world.net.taps.pop()
    world.until(is_used(world, a, b), 2.0)
