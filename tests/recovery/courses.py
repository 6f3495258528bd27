"""Random courses of events for a few ends, made of a seed or by Hypothesis, and what has to come of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Final

from symbolic import H1, Ch, Data, HintPacket, Junk, at, decode, encode, route_of
from world import End, World

from sansproto.contract import Path, SendError
from sansproto.recovery import Kind, Recovery, RecoveryConfig, RecoveryDelays

FAR: Final = at("192.0.2.66", 6)
"""An address of the attacker, which nobody calls, and where nobody answers."""

CONVERGES: Final = 75.0
"""Seconds after the last fault in which two ends use the same session, and both ways are open."""


class Course:
    """A world, what can happen in it, and what must hold when it has calmed down."""

    def __init__(
        self,
        seed: int,
        *,
        rtt: float,
        loss: float = 0.0,
        jitter: float = 0.0,
        duplicate: float = 0.0,
        core: type[Recovery] = Recovery,
        **options: Any,
    ) -> None:
        self.world = World(seed, rtt=rtt, loss=loss, jitter=jitter, duplicate=duplicate, core=core)
        self.chance: Random = self.world.net.chance
        self.ends = [self.world.end(name, **options) for name in "AB"]
        self.ends.append(self.world.end("C", self.ends[0].host.address, port=2, **options))
        self.spent: Counter[str] = Counter()
        self.got: Counter[str] = Counter()
        self.world.record()
        self.world.net.taps.append(self._count)

    def _count(self, sender: Any, data: bytes, path: Path) -> None:
        peers = sender.endpoint.recovery.peers.values()
        routes = [route for peer in peers for route in (peer.route, peer.paths.other)]
        if path.host == FAR.host and route_of(FAR) not in routes:  # unless it was faster, or a challenge was answered
            self.got[sender.endpoint.me.decode()] += decode(data).size

    # -- what can happen: ``one`` is an end, ``other`` another one

    def connect(self, one: End, other: End) -> None:
        one.connect(other)

    def disconnect(self, one: End, other: End) -> None:
        one.disconnect(other)

    def send(self, one: End, other: End) -> None:
        one.send(other)

    def restart(self, one: End, other: End) -> None:
        one.restart(wall=self.chance.choice([0.0, 0.0, -3600.0, 86400.0, -1e8]))

    def move(self, one: End, other: End) -> None:
        one.move()

    def move_and_tell(self, one: End, other: End) -> None:
        one.move()
        one.network_changed()

    def swap(self, one: End, other: End) -> None:
        """A and C, which are at one address, exchange their ports."""
        a, c = self.ends[0], self.ends[2]
        here, there = a.path.port, c.path.port
        a.move(there)
        c.move(here)

    def sleep(self, one: End, other: End) -> None:
        frozen = one is self.ends[1] and self.chance.random() < 0.5  # the others share a host, and its clock
        one.sleep(self.chance.uniform(1.0, 300.0), frozen=frozen)

    def lie_about_sleep(self, one: End, other: End) -> None:
        one.resumed(self.chance.uniform(0.0, 1e5))

    def report_network(self, one: End, other: End) -> None:
        one.network_changed()

    def report_error(self, one: End, other: End) -> None:
        one.os_error(other, self.chance.choice([*SendError]))

    def freeze_and_thaw(self, one: End, other: End) -> None:
        one.freeze_and_thaw()

    def part(self, one: End, other: End) -> None:
        """Nothing passes between two hosts for a while."""
        net, a, b = self.world.net, one.host.address, other.host.address
        if a != b:
            net.partition(a, b)
            net.after(self.chance.uniform(1.0, 60.0), lambda: net.heal(a, b))

    # -- attacks

    def _spoof(self, to: End, data: bytes, source: Path) -> None:
        if source == FAR:
            self.spent[to.name] += decode(data).size
        self.world.spoof(to, data, source)

    def replay(self, one: End, other: End) -> None:
        """Something that was sent is sent again, to anybody, from anywhere."""
        if self.world.recorded:
            _, _, data = self.chance.choice(self.world.recorded[-2000:])
            self._spoof(one, data, self.chance.choice([other.path, one.path, FAR]))

    def replay_storm(self, one: End, other: End) -> None:
        """Old Inits of the other end."""
        inits = [data for _, _, data in self.world.recorded if isinstance(decode(data), H1)]
        for data in inits[-25:]:
            self._spoof(one, data, self.chance.choice([other.path, FAR]))

    def junk(self, one: End, other: End) -> None:
        sids = [*one.core.sessions, *one.core.farewells.tombstones, b"nobody's"]
        size = self.chance.choice([33, 34, 35, 36, 42, 1200])
        self._spoof(one, encode(Junk(self.chance.choice(sids), size)), self.chance.choice([other.path, FAR]))

    def hint(self, one: End, other: End) -> None:
        """A hint about a session that is there, with no token, or a wrong one."""
        sids = [session.remote_sid for session in one.core.sessions.values()]
        if sids:
            token = self.chance.choice([b"", b"?" * 16])
            packet = HintPacket(self.chance.choice(sids), token, 9 + len(token))
            self._spoof(one, encode(packet), self.chance.choice([other.path, FAR]))

    def forge_challenge(self, one: End, other: End) -> None:
        for peer in one.core.peers.values():
            for attempt in peer.call.attempts:
                proof = self.chance.choice([b"", b"?" * 16])
                token = self.chance.randbytes(24)
                self._spoof(one, encode(Ch(attempt.hs_id[:8], token, proof)), other.path)

    def forge_init(self, one: End, other: End) -> None:
        """An Init of nobody, of the end itself, or of the other one with somebody else's stamp."""
        peer = self.chance.choice([b"nobody", one.id])
        made = self.chance.randbytes(8)
        stamp = self.chance.choice([0, int(1.7e15), 1 << 63])
        self._spoof(
            one, encode(H1(one.id, peer, made, made, stamp, made, b"", b"")), self.chance.choice([other.path, FAR])
        )

    # -- the end of it

    def calm_down(self) -> None:
        """No more faults, and A and B want each other."""
        net = self.world.net
        net._walls.clear()
        self.world.lose(0.0)
        self.world.run(1.0)
        a, b = self.ends[:2]
        self.world.until(lambda: a.is_up and b.is_up, 320.0)
        for end, other in ((a, b), (b, a)):
            end.connect(other)
        for end in (a, b):
            end.resumed(300.0)

    def check_end(self) -> None:
        """They find each other, what they say arrives, and a goodbye is one."""
        world, (a, b) = self.world, self.ends[:2]
        begun, talks = world.now, [True]
        for end, other in ((a, b), (b, a)):
            world.each(0.5, lambda end=end, other=other: talks[0] and end.send(other), CONVERGES)  # type: ignore[misc]
        world.until(lambda: a.is_synced(b) and all(self._is_heard(end, begun) for end in (a, b)), CONVERGES)
        talks[0] = False
        for end in self.ends:
            assert self.got[end.name] <= self.spent[end.name], "more goes to a stranger than comes from it"
        losing = [2]

        def lose_closes(sender: Any, data: bytes, path: Path) -> bool:
            packet = decode(data)
            is_lost = bool(losing[0]) and isinstance(packet, Data) and packet.kind == Kind.CLOSE.value
            losing[0] -= is_lost
            return is_lost

        world.net.taps.append(lose_closes)
        b.talk(a, 0.5, 60.0)
        a.disconnect(b)
        arrived = len([data for data in world.arrived if data.startswith(b"B>A")])
        world.until(lambda: a.id not in b.core.peers, 60.0)
        world.run(10.0)
        assert b.id not in a.core.peers, "a goodbye is undone"
        assert a.id not in b.core.peers, "whoever was left calls again"
        assert arrived == len([data for data in world.arrived if data.startswith(b"B>A")])

    def _is_heard(self, one: End, since: float) -> bool:
        """Did something arrive that an end has said since?"""
        sent, said = self.world.sent, f"{one.name}>".encode()
        return any(data.startswith(said) and sent[data] > since for data in self.world.arrived)


ACTIONS: Final[dict[str, int]] = {
    "connect": 8,
    "disconnect": 3,
    "send": 20,
    "restart": 4,
    "move": 3,
    "move_and_tell": 2,
    "swap": 1,
    "sleep": 1,
    "lie_about_sleep": 1,
    "report_network": 1,
    "report_error": 2,
    "freeze_and_thaw": 2,
    "part": 2,
    "replay": 20,
    "replay_storm": 2,
    "junk": 5,
    "hint": 5,
    "forge_challenge": 3,
    "forge_init": 3,
}
"""What can happen, and how often."""


def act(course: Course, name: str, one: End, other: End) -> None:
    """Let something happen, unless the end is asleep."""
    if one.is_up:
        action: Callable[[End, End], None] = getattr(course, name)
        action(one, other)


def course_of(seed: int, core: type[Recovery] = Recovery) -> Course:
    """A world as this seed makes it, in which nothing has happened yet."""
    chance = Random(seed)
    rekey = chance.choice([12.0, 60.0, 120.0])
    unlinkable = chance.random() < 0.1
    return Course(
        seed,
        rtt=chance.choice([0.01, 0.1, 0.3, 0.6]),
        loss=chance.choice([0.0, 0.05, 0.2]),
        jitter=chance.choice([0.0, 0.1]),
        duplicate=chance.choice([0.0, 0.1]),
        core=core,
        config=RecoveryConfig(direct=RecoveryDelays(rekey=rekey), unlinkable=unlinkable),
        has_tokens=chance.random() < 0.7,
    )


def run(seed: int, core: type[Recovery] = Recovery) -> Course:
    """Everything that this seed lets happen. AssertionError if anything comes of it that must not."""
    course, chance = course_of(seed, core), Random(f"course {seed}")
    names, weights = [*ACTIONS], [*ACTIONS.values()]
    course.connect(*course.ends[:2])
    for _ in range(150):
        one, other = chance.sample(course.ends, 2)
        act(course, chance.choices(names, weights)[0], one, other)
        course.world.net.run(chance.expovariate(4.0))
        course.world.check()
    course.calm_down()
    course.check_end()
    return course
