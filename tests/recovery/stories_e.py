"""The scenarios S51 to S58 of docs/protocols/recovery.rst: attacks on handshakes and routes."""

from __future__ import annotations

from itertools import count
from typing import Any, Final

from stories_d import Story, is_used, nothing_is_lost, old_inits, talking
from symbolic import H1, Ch, at, decode, encode, path_of
from world import End, World, packets

from sansproto.contract import Path
from sansproto.recovery import PathChanged, Recovery

STORIES: dict[str, Story] = {}
FAR: Final = at("192.0.2.66", 6)
"""Where an observer is."""


def story(name: str) -> Any:
    def keep(told: Story) -> Story:
        STORIES[name] = told
        return told

    return keep


def answers_to(world: World, b: End, path: Path, kind: type[Any]) -> list[Any]:
    """What an end has sent to a route, of one kind."""
    return [
        decode(data)
        for who, to, data in world.recorded
        if (who, to.host, to.port) == (b.name, path.host, path.port) and isinstance(decode(data), kind)
    ]


@story("S51")
def pasted_tokens(core: type[Recovery]) -> None:
    """An observer pastes fresh tokens into recorded Inits of A, while only A can heal."""
    world = World(core=core)
    a, b = world.pair()
    inits = old_inits(world, a, b, 25)
    a.talk(b)
    world.run(1.0)
    world.record()
    world.net.taps.append(lambda sender, data, path: sender is b.place and isinstance(decode(data), H1))
    numbers = count()

    def paste() -> None:
        tokens = [ch.token for ch in answers_to(world, b, FAR, Ch)]
        for _ in range(3):
            init = decode(inits[next(numbers) % len(inits)])
            if tokens:
                init = init._replace(token=tokens[-1] + b"?" * 8)
            world.spoof(b, encode(init), FAR)
        world.recorded[:] = world.recorded[-100:]

    world.each(0.05, paste, 60.0)
    world.run(5.0)
    a.restart()
    a.connect(b)
    world.until(is_used(world, a, b), 8.0)


@story("S52")
def caller_of_an_old_address(core: type[Recovery]) -> None:
    """B calls where A was; A is somewhere else by then, and its clock is behind."""
    world = World(core=core)
    a, b = talking(world)
    a.stop()
    world.until(lambda: b.entry(a).call.is_outstanding, 20.0)
    world.run(6.0)
    a.move()
    a.start(wall=-600.0)
    a.connect(b)
    world.until(is_used(world, a, b), 1.0)


@story("S53")
def raced_handshake(core: type[Recovery]) -> None:
    """An observer is faster than A with copies of its Init and of the confirm: it never has A's packets."""
    world = World(rtt=0.2, core=core)
    a, b = talking(world)
    world.net.taps.append(lambda sender, data, path: world.spoof(b, data, FAR, 0.01) if sender is a.place else None)
    a.restart()
    a.connect(b)
    seen = set()
    for _ in range(100):
        world.net.run(0.1)
        seen.add(path_of(b.entry(a).route).host)
    assert seen == {a.host.address}
    nothing_is_lost(world, world.now - 5.0)


@story("S54")
def replays_hold_a_call(core: type[Recovery]) -> None:
    """Replays of the peer's Inits, from where it is called, slow a call of ours down once."""
    sent = []
    for attacked in (False, True):
        world = World(core=core)
        a, b = world.end("A"), world.end("B")
        b.connect(a)
        world.run(1.0)
        inits = old_inits(world, a, b, 25)
        path = a.path
        a.stop()
        b.restart()
        world.record()
        world.recorded.clear()
        b.connect(a, path)
        numbers = count()
        if attacked:
            world.each(0.1, lambda: world.spoof(b, inits[next(numbers) % 25], path), 30.0)  # noqa: B023
        world.run(30.0)
        sent.append(len([*packets(world.recorded, H1, "B")]))
    quiet, attacked_too = sent
    assert quiet - 1 <= attacked_too <= quiet + 1


@story("S55")
def forged_challenges_on_a_long_way(core: type[Recovery]) -> None:
    world = World(rtt=1.3, core=core)
    a, b = world.end("A"), world.end("B")
    world.record()
    numbers = count()

    def forge() -> None:
        inits = [decode(packet) for packet in packets(world.recorded, H1, "A")]
        if inits:
            world.spoof(a, encode(Ch(inits[-1].hs_id[:8], next(numbers).to_bytes(24, "big"), b"")), b.path)

    world.each(0.1, forge, 20.0)
    a.connect(b)
    world.until(lambda: a.is_synced(b), 2.7)
    assert len([*packets(world.recorded, H1, "A")]) <= 6


@story("S56")
def restart_behind_the_reply(core: type[Recovery]) -> None:
    """B restarts between its Reply and A's confirm: its reset token says so."""
    world = World(core=core)
    a, b = world.end("A"), world.end("B")
    a.connect(b)
    world.until(lambda: bool(b.core.sessions), 1.0)
    world.net.run(0.01)
    b.restart()
    world.until(lambda: a.is_synced(b), 1.2)


@story("S57")
def faster_copies_of_one_that_moves(core: type[Recovery]) -> None:
    for seed in range(4):
        world = World(seed, rtt=0.2, core=core)
        a, b = talking(world)
        moved_to = 4000 + seed

        def race(sender: Any, data: bytes, path: Path, world: World = world, a: End = a, b: End = b) -> None:
            if sender is a.place and a.path.port > 1:
                world.spoof(b, data, FAR, world.net.chance.uniform(0.0, 0.09))

        world.net.taps.append(race)
        a.move(moved_to)
        moved = world.now
        world.run(6.0)
        route = path_of(b.entry(a).route)
        assert (route.host, route.port) == (a.host.address, moved_to)
        assert len(b.events(PathChanged)) == 1
        nothing_is_lost(world, moved + 3.0)


@story("S58")
def proven_flood(core: type[Recovery]) -> None:
    """A real host with 200 identities and good tokens: an honest stranger gets in all the same."""
    world = World(core=core)
    _a, b = talking(world)
    c = world.end("C")
    world.record()
    numbers = count()

    def flood() -> None:
        tokens = [ch.token for ch in answers_to(world, b, FAR, Ch)]
        token = tokens[-1] + b"?" * 8 if tokens else b""
        for _ in range(20):
            number = next(numbers)
            name = f"X{number % 200}".encode()
            made, stamp = number.to_bytes(8, "big"), int((1.7e9 + world.now) * 1e6)
            init = H1(b.id, name, made, b"\1" + made[1:], stamp, name.ljust(8, b"."), token, token)
            world.spoof(b, encode(init), FAR)
        world.recorded[:] = world.recorded[-200:]

    world.each(0.01, flood, 10.0)
    most = 0
    for _ in range(50):
        world.net.run(0.1)
        world.check()
        most = max(most, len(b.core.offered))
    begun, opened = world.now, b.session.opened
    c.connect(b)
    world.until(lambda: c.is_synced(b), 1.5)
    world.net.run(4.0)
    assert most <= 12
    assert (b.session.opened - opened) / (world.now - begun) <= 35.0
    nothing_is_lost(world)
