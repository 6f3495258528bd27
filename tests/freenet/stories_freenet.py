"""The scenarios S01 to S50 of docs/protocols/recovery.rst, as ends of Freenet come through them.

A gateway is B, and its joiner A; where B has to call, both are peers. Each fails with an AssertionError. Those that
have no meaning on Freenet's wire stand in ``test_scenarios_freenet.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import attrs
from freenet_world import at, intro, lost, told
from scripted_freenet import GATE, JOIN, OTHER, of
from stage_freenet import FAR, Stage, anywhere, nth, numbers_at, seeds

from sansproto.contract import SendError
from sansproto.freenet import Confirmed, Connected, MessageReceived, PeerLost
from sansproto.freenet.crypto import Cipher
from sansproto.testing.network import Node

Story: TypeAlias = Callable[[], None]
STORIES: dict[str, Story] = {}

NOTICED: Final = 13.0
"""Within so many seconds who called notices that the other end has restarted, without loss."""


def story(*names: str) -> Callable[[Story], Story]:
    def keep(told: Story) -> Story:
        STORIES.update(dict.fromkeys(names, told))
        return told

    return keep


def passes(stage: Stage, a: Node[Any], b: Node[Any]) -> Callable[[], bool]:
    """Did something arrive each way that was said since now?"""
    since = stage.net.now

    def check() -> bool:
        said = {text: whom for text, (when, whom) in stage.said.items() if when >= since}
        return all(any(said.get(one.data) is end for one in told(end, MessageReceived)) for end in (a, b))

    return check


def settled(stage: Stage, a: Node[Any], b: Node[Any], within: float) -> None:
    """Both talk to each other again, and nothing is lost from then on."""
    stage.until(passes(stage, a, b), within)
    since = stage.net.now + 1.0
    stage.net.run(5.0)
    assert stage.lost(since) == []


# -- S01 to S09: restarts, crossings, moves


@story("S01")
def first_contact() -> None:
    stage = Stage()
    b, a = stage.gateway(), stage.peer()
    stage.join(a, b)
    stage.talk(a, b)
    stage.net.run(0.3)
    stage.talk(b, a)
    stage.net.run(20.0)
    assert stage.lost() == []
    assert [*a.endpoint.sessions] == [*b.endpoint.sessions] == [1]


@story("S02", "S09")
def restart_and_speak() -> None:
    """With the same identity, or with another one: nobody sees it."""
    for keys in (JOIN, OTHER):
        for latency in (0.01, 0.15):
            stage = Stage(latency=latency)
            b, a = stage.talking()
            stage.restart(a, b, keys)
            stage.until(nth(b, 2), 3 * latency + 0.05)
            settled(stage, a, b, 1.0)
            assert [(one.generation, one.replaced) for one in told(b, PeerLost)] == [(1, True)]


@story("S03")
def restart_in_silence() -> None:
    """There are no hints: B finds out by asking, and calls."""
    stage = Stage()
    b, a = stage.callers(expects=True)
    stage.net.run(1.0)
    stage.talk(b, a)
    stage.net.run(10.0)
    a.restart(stage.new_peer(JOIN), silent=True)
    stage.call(a, b, expects=True)
    stage.until(nth(b, 2), NOTICED)


@story("S03 late", "S73")
def restart_after_a_while() -> None:
    """B calls A already; a pause between two rounds of calls is at most 5 s, and ends when the network comes back."""
    for after, reports in ((8.0, False), (30.0, False), (95.0, False), (27.0, True)):
        stage = Stage()
        b, a = stage.callers(expects=True)
        stage.net.run(10.0)
        stage.net.partition(a.host.address, b.host.address)
        a.restart(stage.new_peer(JOIN), silent=True)
        stage.call(a, b, expects=True)
        stage.net.run(after)
        stage.net.heal(a.host.address, b.host.address)
        if reports:
            b.call(lambda now, b=b: b.endpoint.network_changed(now))  # type: ignore[misc]
        stage.until(nth(b, 2), 0.5 if reports else 6.5 + max(0.0, 11.5 - after))


@story("S06")
def both_restart() -> None:
    stage = Stage()
    b, a = stage.callers()
    stage.net.run(3.0)
    for end, keys in ((a, JOIN), (b, GATE)):
        end.restart(stage.new_peer(keys), silent=True)
    stage.call(a, b)
    stage.join(b, a, JOIN, gateway=False)
    stage.until(lambda: nth(a, 2)() and nth(b, 2)(), 1.0)
    stage.net.run(5.0)
    stage.talk(a, b, lasts=5.0)
    stage.talk(b, a, lasts=5.0)
    stage.net.run(7.0)
    assert stage.lost() == []
    assert len(a.endpoint.sessions) == len(b.endpoint.sessions) == 1


@story("S07", "S35")
def crossing() -> None:
    """Whoever is first, both have the same session, and no other one: that costs two, one for each end."""
    costs = 0
    for seed in seeds(30, 120):
        loss = 0.2 * (seed % 2)
        stage = Stage(seed, loss=loss, jitter=0.05)
        b, a = stage.peer("10.0.0.1", GATE), stage.peer("10.0.0.2", JOIN)
        stage.join(a, b, gateway=False)
        stage.net.after(seed % 7 * 0.01, lambda a=a, b=b, stage=stage: stage.join(b, a, JOIN, gateway=False))  # type: ignore[misc]
        stage.net.run(20.0 if loss else 4.0)
        stage.speak(a, b)
        stage.speak(b, a)
        stage.net.run(5.0)
        assert stage.lost() == []
        assert len(a.endpoint.sessions) == len(b.endpoint.sessions) == 1
        costs += 0 if loss else sum(len(told(end, Connected)) for end in (a, b))
    assert costs == 2 * len([*seeds(30, 120)]) // 2


@story("S08", "S72")
def rebinding() -> None:
    """Sessions are found by address: A notices by silence, or is told, and calls from its new one."""
    for reports, within in ((False, NOTICED), (True, 6.0)):
        stage = Stage()
        b, a = stage.talking()
        stage.move(a)
        if reports:
            a.call(lambda now, a=a: a.endpoint.network_changed(now))  # type: ignore[misc]
        stage.until(nth(a, 2), within)
        settled(stage, a, b, 1.0)
        stage.until(lambda b=b: lost(b) == [1], 125.0)  # type: ignore[misc]
        assert numbers_at(b, a) == [2]


# -- S10 to S16: spoofed, replayed, flooded


@story("S10")
def spoofed_identity() -> None:
    stage = Stage()
    b, a = stage.talking()
    c = stage.peer("10.0.0.3", OTHER)
    stage.record()
    stage.join(c, b)
    stage.net.run(2.0)
    (intro,) = stage.sent(c)
    stage.storm([intro], b, lambda _: at(a), 10.0, 4.0)
    stage.net.run(10.0)
    assert stage.lost() == []
    assert (numbers_at(b, a), numbers_at(b, c)) == ([1], [2])


@story("S11")
def replays_at_a_live_pair() -> None:
    stage = Stage()
    b, a = stage.pair()
    intros = stage.old_intros(a, b, 3)
    stage.talk(a, b)
    stage.talk(b, a)
    stage.net.run(2.0)
    before = [*b.endpoint.sessions]
    stage.storm(intros, b, lambda _: at(a), 10.0, 40.0)
    stage.net.run(42.0)
    assert stage.lost() == []
    assert [*b.endpoint.sessions] == before


@story("S12", "S33", "S37", "S38")
def replays_after_the_gateway_restarted() -> None:
    """Of few intros and of many, from where A is and from everywhere."""
    for wanted, rate, source in ((3, 10.0, None), (25, 50.0, None), (25, 50.0, anywhere), (25, 15.0, anywhere)):
        stage = Stage()
        b, a = stage.pair()
        intros = stage.old_intros(a, b, wanted)
        stage.talk(a, b)
        stage.talk(b, a)
        stage.net.run(5.0)
        stage.restart_gateway(b)
        known = len(told(a, Connected))
        stage.storm(intros, b, source or (lambda _, a=a: at(a)), rate, 40.0)  # type: ignore[misc]
        stage.until(nth(a, known + 1), NOTICED + 1.0)
        settled(stage, a, b, 2.0)


@story("S13", "S25")
def junk() -> None:
    stage = Stage()
    b, a = stage.talking()
    stage.each(0.005, lambda: stage.spoof(b, a, b"\2" * 60), 20.0)
    stage.net.run(25.0)
    assert stage.lost() == []
    assert b.endpoint.stats.dropped["opens under no key"] >= 3999
    assert not lost(b)
    # it masks no death
    stage.record()
    path = at(b)
    b.stop(silent=True)
    stage.each(0.05, lambda: a.receive_datagram(b"\2" * 60, path), 20.0)
    stage.until(lambda: stage.count(a) > 0, NOTICED)


@story("S15")
def intro_flood() -> None:
    stage = Stage()
    b, _a = stage.talking()
    numbers = iter(range(6000))
    flood = Flood()
    stage.each(0.005, lambda: stage.inject(b, flood.intro(n := next(numbers)), anywhere(n)), 29.9)
    stage.net.run(31.0)
    assert len(b.endpoint.offered) <= 4096
    assert stage.lost() == []
    stage.net.run(21.0)
    assert (len(b.endpoint.offered), len(b.endpoint.places)) == (0, 1)


@story("S16", "S32", "S36")
def flood_and_restart() -> None:
    for wanted, rate, source, within in ((0, 143.0, anywhere, 8.0), (25, 50.0, None, 5.0), (25, 50.0, anywhere, 10.0)):
        for seed in seeds(2, 10):
            stage = Stage(seed)
            b, a = stage.pair()
            flood = Flood()
            intros = stage.old_intros(a, b, wanted) if wanted else [flood.intro(n) for n in range(1000)]
            stage.talk(a, b)
            stage.talk(b, a)
            stage.storm(intros, b, source or (lambda _, a=a: at(a)), rate, 30.0)  # type: ignore[misc]
            stage.net.run(5.0)
            stage.restart(a, b, JOIN)
            settled(stage, a, b, within)


@attrs.define
class Flood:
    """Intros of strangers, each another one."""

    made: dict[int, bytes] = attrs.field(factory=dict)

    def intro(self, number: int) -> bytes:
        if number not in self.made:
            self.made[number] = intro(number)
        return self.made[number]


# -- S20 to S30


def reflect(stage: Stage, a: Node[Any], b: Node[Any]) -> None:
    stage.taps.append(lambda who, data, path: stage.inject(who, data, at(b if who is a else a)))


@story("S20")
def ourselves() -> None:
    """What an end sends comes back to it, as if the other end had sent it."""
    for call in (Stage.talking, Stage.callers):
        stage = Stage()
        b, a = call(stage)
        reflect(stage, a, b)
        stage.talk(a, b)
        stage.talk(b, a)
        stage.net.run(20.0)
        stage.restart(a, b, JOIN) if call is Stage.talking else None
        settled(stage, a, b, 2.0)
        assert len(a.endpoint.sessions) == 1


def chaos(stage: Stage, *, moves: bool = False, lasts: float = 60.0) -> tuple[Node[Any], Node[Any]]:
    """A and B restart, and the network is bad, for a while; both want each other."""
    chance = stage.net._random
    b, a = stage.gateway(), stage.peer()
    stage.join(a, b)
    stage.talk(a, b)
    stage.talk(b, a)
    for restart in (lambda: stage.restart(a, b, JOIN), lambda: stage.restart_gateway(b)):
        when = chance.uniform(2.0, 15.0)
        while when < lasts:
            stage.net.after(when, restart)
            if moves:
                stage.net.after(when + chance.uniform(1.0, 5.0), lambda: stage.move(a))
            when += chance.uniform(3.0, 20.0)
    stage.net.run(lasts + 6.0)
    return b, a


@story("S21", "S75")
def random_restarts() -> None:
    """What was said in a session arrives in one session of the other end, and of no two of them."""
    for seed in seeds(4, 60):
        stage = Stage(seed, latency=0.05, jitter=0.1, loss=0.15, duplicate=0.1)
        b, a = chaos(stage)
        stage.until(passes(stage, a, b), 45.0)
        met: dict[bytes, set[int]] = {}
        for end in (a, b):
            for one in told(end, MessageReceived):
                met.setdefault(one.data.split(b":")[0] + one.data.split(b":")[2], set()).add(one.generation)
        assert max(map(len, met.values())) == 1
        assert len(met) >= 6
        stage.net.run(5.0)
        stage.lost()


@story("S23")
def one_way_black_hole() -> None:
    stage = Stage()
    b, a = stage.talking()
    stage.taps.append(lambda sender, data, path: sender is a)
    stage.net.run(40.0)
    stage.taps.clear()
    stage.until(passes(stage, a, b), 12.0)
    stage.until(lambda: stage.lost() == [], 30.0)
    assert [*a.endpoint.sessions] == [*b.endpoint.sessions] == [1]


@story("S24", "S76", "S76 early")
def silence_is_noticed() -> None:
    """B restarts: A is idle, or talks, or has only just joined; the longer a round trip, the later."""
    for latency, before, within in ((0.0005, 20.0, 11.0), (0.05, 40.0, 11.5), (0.75, 40.0, 21.0), (0.01, 0.1, NOTICED)):
        stage = Stage(latency=latency)
        b, a = stage.pair()
        stage.talk(a, b, 1.0)
        stage.net.run(before)
        stage.restart_gateway(b)
        stage.until(nth(a, 2), within + 4 * latency)
    for latency, loss in ((0.05, 0.05), (0.3, 0.1)):  # and nobody is called for nothing
        stage = Stage(latency=latency, loss=loss)
        b, a = stage.pair()
        stage.talk(a, b, 0.5)
        stage.record()
        stage.net.run(300.0)
        assert stage.count(a) == 0


@story("S26")
def stale_answers() -> None:
    stage = Stage()
    b, a = stage.pair()
    stage.record()
    for _ in range(3):
        stage.restart(a, b, JOIN)
        stage.net.run(1.0)
    answers = stage.sent(b, 2)
    known = len(told(a, Confirmed))
    stage.restart(a, b, JOIN)
    for answer in answers * 3:
        stage.inject(a, answer, at(b))
    stage.until(lambda: len(told(a, Confirmed)) > known, 0.3)
    assert a.endpoint.stats.dropped["opens under no key"] == 3 * len(answers)


@story("S27", "S53", "S78", "S91", "S92", "S86")
def copies_that_are_faster() -> None:
    """From one address and from many, of a slow flow and of a fast one, and of a handshake: nobody is followed, so
    nobody is led away; and nothing is sent to where they seem to come from but answers to intros."""
    for hosts, every in ((1, 0.1), (1, 0.02), (8, 0.1)):
        stage = Stage(latency=0.1)
        b, a = stage.talking(every)
        stage.race(a, b, hosts)
        stage.record()
        stage.net.run(15.0)
        assert stage.lost() == []
        assert not [path for _, _, path in stage.recorded if path.host.startswith("192.0.2.")]
        stage.restart(a, b, JOIN)
        settled(stage, a, b, 1.0)
        assert set(b.endpoint.sessions.values()) == {at(a)}
        heard = sum(path.host.startswith("192.0.2.") for _, _, path in stage.recorded)
        assert heard <= hosts * stage.count(a)


@story("S28", "S82")
def chaos_with_an_attacker() -> None:
    """Restarts, moves, a bad network, replays, sleep, errors of the system, and what the host says that is not true."""
    for seed in seeds(4, 60):
        stage = Stage(seed, latency=0.05, jitter=0.1, loss=0.1, duplicate=0.1)
        chance = stage.net._random
        stage.record()

        def attack(stage: Stage = stage, chance: Any = chance) -> None:
            if stage.recorded:
                who, data, _ = chance.choice(stage.recorded)
                other = next(one for one in stage.nodes if one is not who)
                stage.inject(other, data, chance.choice([at(who), FAR]))

        def disturb(stage: Stage = stage, chance: Any = chance) -> None:
            one, other = chance.sample(stage.nodes, 2)
            match chance.randrange(4):
                case 0:
                    one.report(lambda: one.endpoint.datagram_failed(at(other), one.now, error=SendError.UNREACHABLE))
                case 1:
                    one.call(lambda now: one.endpoint.resumed(now, asleep=1e5))
                case 2 if one.host.address == "10.0.0.2":
                    one.call(lambda now: one.endpoint.disconnect(at(other), now))
                    stage.join(one, other)
                case _:
                    one.call(lambda now: one.endpoint.network_changed(now))

        stage.net.after(0.5, lambda: stage.each(0.05, attack, 60.0))  # noqa: B023
        stage.net.after(1.0, lambda: stage.each(2.0, disturb, 60.0))  # noqa: B023
        b, a = chaos(stage, moves=True)
        stage.until(passes(stage, a, b), 45.0)
        stage.net.run(5.0)
        stage.lost()


@story("S29")
def swapped_addresses() -> None:
    stage = Stage()
    b = stage.gateway()
    host = stage.net.host("10.0.0.9")
    a, c = (host.run(stage.new_peer(keys), sockets={"udp": port}) for keys, port in ((JOIN, 1), (OTHER, 2)))
    for end in (a, c):
        stage.join(end, b)
        stage.talk(end, b)
    stage.net.run(3.0)
    stage.move(a, 2)
    stage.move(c, 1)
    stage.until(lambda: all(nth(end, 2)() for end in (a, c)), NOTICED)
    since = stage.net.now + 1.0
    stage.net.run(10.0)
    assert stage.lost(since) == []
    assert sorted(lost(b)) == [1, 2]


@story("S30", "S31")
def two_joiners() -> None:
    """Also with one identity: each address is for itself."""
    for keys in (OTHER, JOIN):
        stage = Stage()
        b, a = stage.talking()
        c = stage.peer("10.0.0.3", keys)
        stage.join(c, b)
        stage.talk(c, b)
        stage.net.run(3.0)
        since = stage.net.now + 1.0
        stage.restart(c, b, keys)
        stage.net.run(10.0)
        assert stage.lost(to=a) == []
        assert stage.lost(since) == []
        assert numbers_at(b, a) == [1]


# -- S39 to S50: the layer above, limits


@story("S39")
def late_end_of_an_old_generation() -> None:
    """An upper layer that keeps the last number that it was told can ignore what has a smaller one."""
    stage = Stage()
    b, a = stage.talking()
    stage.restart(a, b, JOIN)
    stage.net.run(3.0)
    assert [one.generation for one in told(b, Connected)] == [1, 2]
    assert [one.generation for one in told(b, PeerLost)] == [1]
    assert stage.lost(stage.net.now - 2.0, stage.net.now - 0.5) == []


@story("S40")
def garbled_content() -> None:
    stage = Stage()
    b, a = stage.talking()
    stage.taps.append(lambda sender, data, path: sender is a)
    stage.net.run(1.0)
    (theirs,) = b.endpoint.by_number[1].generations.values()
    (ours,) = a.endpoint.by_number[1].generations.values()
    before = theirs.life, theirs.receipts.arrived.end
    for number in range(9):
        clear = (10_000 + number).to_bytes(4, "little") + bytes(8) + bytes([7 + number, 0, 0, 0]) + b"???"
        stage.inject(b, Cipher(ours.send_key).seal(of(f"nonce {number}", 12), clear), at(a))
    stage.net.run(0.1)
    assert (theirs.life, theirs.receipts.arrived.end) == before
    assert b.endpoint.stats.dropped["not a packet"] == 9


@story("S41", "S69", "S70")
def suspended() -> None:
    """Its clock has gone on: its session is over, and it calls once. Or both slept, and nothing is lost."""
    for frozen, reports in ((False, 1), (True, 1), (True, 2)):
        stage = Stage()
        b, a = stage.talking()
        stage.record()
        stage.sleep(3600.0, *(a, b)[:reports], frozen=frozen)
        stage.until(passes(stage, a, b), 6.0)
        assert stage.count(a) <= 3
        assert len(told(a, Connected)) == (1 if reports == 2 else 2)
        settled(stage, a, b, 1.0)


@story("S45")
def many_return() -> None:
    for hosts in (60, 1):
        stage = Stage()
        b = stage.gateway()
        many = []
        for number in range(60):
            address = f"10.1.{number % hosts}.1"
            host = stage.net.hosts.get(address) or stage.net.host(address)
            many.append(host.run(stage.new_peer(), sockets={"udp": 10 + number}))
            stage.join(many[-1], b)
        stage.net.run(3.0)
        stage.restart_gateway(b)
        stage.until(lambda many=many: all(nth(one, 2)() for one in many), NOTICED + 5.0)  # type: ignore[misc]


@story("S48")
def nonces_run_out() -> None:
    """The session ends, and its peer is called for another one."""
    stage = Stage()
    b, a = stage.talking()
    a.endpoint.by_number[1].generations[1].nonces = (1 << 31) - 20
    stage.until(nth(a, 2), 10.0)
    settled(stage, a, b, 1.0)


@story("S49")
def disconnect_during_a_handshake() -> None:
    stage = Stage(latency=0.2)
    b, a = stage.gateway(), stage.peer()
    stage.join(a, b)
    stage.net.run(0.3)
    a.call(lambda now: a.endpoint.disconnect(at(b), now))
    assert not a.endpoint.places
    stage.net.run(30.0)
    assert a.endpoint.stats.dropped == {"from an address where nobody is": 2}  # the answer to the intro and to a copy
    assert not b.endpoint.places
    assert not told(a, Connected) + told(b, Connected)


@story("S50", "S77")
def errors_of_the_system() -> None:
    stage = Stage()
    b, a = stage.talking()
    stage.record()
    for error in SendError:
        stage.each(
            0.02,
            lambda error=error: a.report(lambda: a.endpoint.datagram_failed(at(b), a.now, error=error)),  # type: ignore[misc]
            30.0,
        )
    stage.net.run(35.0)
    assert stage.lost() == []
    assert stage.count(a) == 0
