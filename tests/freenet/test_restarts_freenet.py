"""Restarts: another identity at the same address is let in, and the one before ends; a liar changes nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from freenet_world import World, at, intro, lost, newest, say, texts, told
from scripted_freenet import GATE, JOIN, OTHER

from sansproto.freenet import Confirmed, Connected, KeyPair, PathConflict, PeerLost, Unreachable

pytestmark = pytest.mark.unmeasured


@pytest.mark.parametrize(("latency", "lost_within"), [(0.01, 1.6), (0.15, 2.0), (0.75, 6.0)])
def test_a_joiner_that_restarts_is_let_in_and_the_one_before_is_lost(latency: float, lost_within: float) -> None:
    world = World(latency=latency)
    gate, joiner = world.pair()
    world.net.run(5)
    assert say(gate, b"to the old one")  # on its way when it dies
    joiner.restart(world.new_peer(OTHER), silent=True)
    world.join(joiner, gate)
    assert world.until(lambda: len(told(gate, Connected)) == 2) <= 0.1 + 4 * latency
    assert world.until(lambda: bool(told(gate, PeerLost))) <= lost_within
    (gone,) = told(gate, PeerLost)
    assert (gone.generation, gone.replaced, gone.undelivered) == (1, True, (b"to the old one",))
    assert [*gate.endpoint.sessions] == [2]
    assert say(joiner, b"hello")
    assert say(gate, b"welcome")
    world.until(lambda: b"hello" in texts(gate) and b"welcome" in texts(joiner))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("loss", [0.0, 0.15, 0.3])
@pytest.mark.parametrize("latency", [0.01, 0.55])
def test_three_restarts_in_one_second_end_with_one_session(latency: float, loss: float, seed: int) -> None:
    world = World(seed, latency=latency, loss=loss)
    gate, joiner = world.pair()
    for keys in (OTHER, JOIN, OTHER):
        world.net.run(0.33)
        world.restart(joiner, gate, keys)
        joiner.events.clear()
    took = world.until(lambda: bool(told(joiner, Confirmed)))
    assert took <= (0.8 if latency < 0.1 and not loss else 9.0)
    assert told(joiner, Connected)[-1].proven
    world.until(lambda: len(gate.endpoint.sessions) == 1, within=60)
    assert say(joiner, b"here")
    assert say(gate, b"and there")
    world.until(lambda: b"here" in texts(gate) and b"and there" in texts(joiner))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("latency", "loss", "within"), [(0.025, 0.0, 13.0), (0.75, 0.0, 24.0), (0.025, 0.15, 36.0)])
def test_a_joiner_notices_that_its_gateway_restarted(latency: float, loss: float, within: float, seed: int) -> None:
    world = World(seed, latency=latency, loss=loss)
    gate, joiner = world.pair()
    world.net.run(7)
    gate.restart(world.new_gateway(), silent=True)
    gate.events.clear()
    assert say(joiner, b"to the old one")
    assert world.until(lambda: len(told(joiner, Connected)) == 2) <= within
    (gone,) = told(joiner, PeerLost)
    assert (gone.undelivered, gone.replaced) == ((b"to the old one",), True)
    assert say(joiner, b"again")
    world.until(lambda: texts(gate) == [b"again"])


def test_both_restart_at_once() -> None:
    world = World()
    gate, joiner = world.pair()
    world.net.run(3)
    gate.restart(world.new_gateway(), silent=True)
    world.restart(joiner, gate)
    gate.events.clear()
    assert world.until(lambda: bool(told(gate, Connected))) <= 0.1
    assert lost(gate) == []


def test_a_crowd_is_in_again_soon_after_its_gateway_restarted() -> None:
    world = World()
    gate = world.gateway()
    crowd = [world.peer(f"10.1.{n // 250}.{n % 250 + 1}") for n in range(500)]
    for one in crowd:
        world.join(one, gate)
    world.until(lambda: len(gate.endpoint.sessions) == 500)
    gate.restart(world.new_gateway(), silent=True)
    first: dict[str, float] = {}
    arrived = gate.receive_datagram

    def seen(data: bytes, path: object) -> None:
        if data[0] == 1:
            first.setdefault(path.host, world.net.now)  # type: ignore[attr-defined]
        arrived(data, path)  # type: ignore[arg-type]
        for number, where in gate.endpoint.sessions.items():
            done.setdefault(where.host, (number, world.net.now))

    done: dict[str, tuple[int, float]] = {}
    gate.receive_datagram = seen  # type: ignore[method-assign, assignment]
    world.until(lambda: len(gate.endpoint.sessions) == 500, within=30)
    assert max(at_time - first[host] for host, (_, at_time) in done.items()) <= 5.0


def test_a_late_packet_of_the_old_session_ends_nothing() -> None:
    world = World()
    gate, joiner = world.pair()
    held: list[bytes] = []
    send = world.net.send_datagram
    world.net.send_datagram = lambda node, data, path: held.append(data)  # type: ignore[method-assign]
    assert say(joiner, b"late")
    world.net.send_datagram = send  # type: ignore[method-assign]
    old = at(joiner)
    joiner.restart(world.new_peer(OTHER), silent=True)
    world.join(joiner, gate)
    world.until(lambda: bool(lost(gate)))
    for data in held:
        gate.receive_datagram(data, old)
    world.net.run(200)
    assert [*gate.endpoint.sessions] == [2]
    assert texts(gate) == []
    assert lost(gate) == [1]


def test_two_who_answer_at_one_address_coexist() -> None:
    """As behind a NAT that gave a neighbour the same port: who is right is not known here."""
    world = World()
    gate, joiner = world.pair()
    neighbour = world.peer("10.0.0.3", OTHER)
    spoofed = at(joiner)
    mine = {neighbour.host.address, joiner.host.address}

    def shared(sender: object, data: bytes, path: object, source: str, port: int, *more: object) -> None:
        if sender is gate:  # both hear what is sent there
            for one in (joiner, neighbour):
                one.receive_datagram(data, at(gate))
        else:
            assert source in mine
            gate.receive_datagram(data, spoofed)

    world.net._arrive = shared  # type: ignore[method-assign, assignment]
    world.join(neighbour, gate)
    world.until(lambda: bool(told(gate, PathConflict)))
    (conflict,) = told(gate, PathConflict)
    assert (conflict.path, conflict.generation, conflict.other) == (spoofed, 1, 2)
    world.net.run(30)
    assert say(gate, b"one", 1)
    assert say(gate, b"two", 2)
    world.until(lambda: texts(joiner) == [b"one"] and texts(neighbour) == [b"two"])
    assert lost(gate) == []


def test_a_peer_that_nobody_answers_is_called_again_and_again() -> None:
    world = World()
    gate, joiner = world.gateway(), world.peer()
    world.net.partition("10.0.0.1", "10.0.0.2")
    world.join(joiner, gate)
    world.net.run(60)
    assert len(told(joiner, Unreachable)) == 4
    world.net.heal("10.0.0.1", "10.0.0.2")
    assert world.until(lambda: bool(told(joiner, Connected))) <= 6.0


def test_an_intro_in_a_joiners_name_changes_nothing() -> None:
    world = World()
    gate, joiner = world.pair()
    for number in range(100):
        world.spoof(gate, joiner, intro(number))
        world.net.run(0.1)
    assert say(gate, b"still")
    assert say(joiner, b"here")
    world.until(lambda: texts(joiner) == [b"still"] and texts(gate) == [b"here"])
    assert [*gate.endpoint.sessions] == [1] == [newest(joiner)]
    assert not lost(gate)


@pytest.mark.parametrize("report", ["network_changed", "resumed"])
def test_a_joiner_that_slept_or_moved_finds_out_at_once_that_its_session_is_gone(report: str) -> None:
    """Half the time that silence takes; whoever is still there loses nothing."""
    world = World()
    gate, joiner = world.pair()
    world.net.run(7)
    more = {"asleep": 60.0} if report == "resumed" else {}
    joiner.call(lambda now: getattr(joiner.endpoint, report)(now, **more))
    world.net.run(20)
    assert [*joiner.endpoint.sessions] == [1] == [*gate.endpoint.sessions]
    gate.restart(world.new_gateway(), silent=True)
    joiner.call(lambda now: getattr(joiner.endpoint, report)(now, **more))
    assert world.until(lambda: len(told(joiner, Connected)) == 2) <= 5.5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loss", [0.0, 0.15])
@pytest.mark.parametrize("keys", [OTHER, JOIN], ids=["new identity", "same identity"])
def test_peers_that_call_each_other_have_one_session_after_a_restart(keys: KeyPair, loss: float, seed: int) -> None:
    """Nobody sends an intro to who may be there already: it would be a restart to a real peer."""
    world = World(seed, loss=loss)
    a, b = world.peer("10.0.0.1", GATE), world.peer("10.0.0.2", JOIN)
    world.join(a, b, JOIN, gateway=False)
    world.join(b, a, GATE, gateway=False)
    world.net.run(20)
    b.restart(world.new_peer(keys), silent=True)
    b.events.clear()
    world.join(b, a, GATE, gateway=False)
    assert world.until(lambda: bool(told(b, Connected))) <= (0.1 if not loss else 2.0)
    world.net.run(20)
    assert [len(end.endpoint.sessions) for end in (a, b)] == [1, 1]
    assert [one.proven for one in told(b, Connected)] == [GATE.public]
    before = sum(end.endpoint.stats.packets_sent for end in (a, b))
    world.net.run(400)
    assert (sum(end.endpoint.stats.packets_sent for end in (a, b)) - before) / 400 <= (0.45 if not loss else 0.65)
    assert say(a, b"from a")
    assert say(b, b"from b")
    world.until(lambda: texts(a) == [b"from b"] and texts(b) == [b"from a"])


@pytest.mark.parametrize(("latency", "mostly"), [(0.02, 3.0), (0.55, 9.0)])
def test_who_restarts_while_a_stranger_floods_in_its_name_is_in_soon(latency: float, mostly: float) -> None:
    """200 intros in a second. First it is found out that the session before is silent."""
    took = []
    for seed in range(8):
        world = World(seed, latency=latency)
        gate, joiner = world.pair()
        numbers = itertools.count(seed * 100_000)
        flood(world, lambda gate=gate, joiner=joiner: gate.receive_datagram(intro(next(numbers)), at(joiner)))  # noqa: B023
        world.net.run(3.0)
        world.restart(joiner, gate)
        joiner.events.clear()
        took.append(world.until(lambda joiner=joiner: bool(told(joiner, Confirmed))))  # type: ignore[misc]
    assert max(took) <= 10.5
    assert sum(one <= mostly for one in took) >= 6


def flood(world: World, act: Callable[[], None], every: float = 0.005) -> None:
    act()
    world.net.after(every, lambda: flood(world, act, every))
