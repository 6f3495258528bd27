"""A world in which ends of Freenet talk, restart, move, sleep and are attacked, and what was seen of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final

from freenet_world import World, at, told
from scripted_freenet import GATE, JOIN
from soaking import SOAKING

from sansproto.contract import Path
from sansproto.freenet import Connected, MessageReceived
from sansproto.testing.network import Node

FAR: Final = Path("udp", "192.0.2.66", 6)
"""Where an observer is."""


def seeds(few: int, many: int) -> Iterator[int]:
    """The seeds to try: more of them when there is much time (``SANSPROTO_SOAK``)."""
    yield from range(many if SOAKING else few)


class Stage(World):
    """Ends that talk, and who listens and spoofs."""

    def __init__(self, seed: int = 1, **conditions: Any) -> None:
        super().__init__(seed, **conditions)
        self.taps: list[Callable[[Node[Any], bytes, Path], object]] = []
        """Each sees what is sent, and True from it lets that vanish."""
        self.recorded: list[tuple[Node[Any], bytes, Path]] = []
        self.said: dict[bytes, tuple[float, Node[Any]]] = {}
        """When it was said, and to whom."""
        self._send = self.net.send_datagram
        self.net.send_datagram = self._tapped  # type: ignore[method-assign]

    def _tapped(self, sender: Node[Any], data: bytes, path: Path) -> None:
        if sum(bool(tap(sender, data, path)) for tap in self.taps) == 0:  # each of them sees it
            self._send(sender, data, path)

    # -- ends

    def callers(self, *, expects: bool = False) -> tuple[Node[Any], Node[Any]]:
        """Two peers, of which the first one calls; the other one does, too, unless it only expects."""
        b, a = self.peer("10.0.0.1", GATE), self.peer("10.0.0.2", JOIN)
        self.call(a, b, expects=expects)
        self.join(b, a, JOIN, gateway=False)
        return b, a

    def call(self, a: Node[Any], b: Node[Any], *, expects: bool = False) -> None:
        """A peer that was called by the other one calls it, or expects its call."""
        if expects:
            a.call(lambda now: a.endpoint.expect(at(b), now))
        else:
            self.join(a, b, gateway=False)

    def talking(self, every: float = 0.1) -> tuple[Node[Any], Node[Any]]:
        """A gateway, and its joiner, who talk."""
        b, a = self.pair()
        self.talk(a, b, every)
        self.talk(b, a, every)
        self.net.run(3.0)
        return b, a

    def restart_gateway(self, b: Node[Any]) -> None:
        b.restart(self.new_gateway(), silent=True)

    def move(self, a: Node[Any], port: int = 0) -> None:
        """Its NAT gave it another port: nobody was told."""
        a.sockets["udp"] = port or a.sockets["udp"] + 1

    def sleep(self, seconds: float, *nodes: Node[Any], frozen: bool = True) -> None:
        """They sleep, and their clocks with them, if these freeze."""
        hosts = [one.host.address for one in nodes]
        others = [one for one in self.net.hosts if one not in hosts]
        ways = [(here, there) for here in hosts for there in others]
        for here, there in ways:
            self.net.partition(here, there)
        for one in nodes:
            one._is_asleep = True
        self.net.run(seconds)
        for here, there in ways:
            self.net.heal(here, there)
        for one in nodes:
            one._is_asleep, one._life, one._alarm = False, one._life + 1, None
            one.host.clock -= seconds if frozen else 0.0
            one.report(lambda one=one: one.endpoint.resumed(one.now, asleep=seconds))  # type: ignore[misc]

    # -- what they say

    def each(self, every: float, act: Callable[[], Any], lasts: float = 1e9) -> None:
        """Do something again and again, from now on."""
        end = self.net.now + lasts

        def again() -> None:
            if self.net.now < end:
                act()
                self.net.after(every, again)

        again()

    def talk(self, who: Node[Any], whom: Node[Any], every: float = 0.1, lasts: float = 1e9) -> None:
        self.each(every, lambda: who in who.host.nodes and not who._is_asleep and self.speak(who, whom), lasts)

    def speak(self, who: Node[Any], whom: Node[Any]) -> bytes | None:
        """Something that nobody said before, in the newest session; None if there is none."""
        there = at(whom)
        sessions = [number for number, path in who.endpoint.sessions.items() if path == there]
        if not sessions:
            return None
        life = who._life
        text = b"%s>%s:%06d:%d.%d" % (name(who), name(whom), len(self.said), life, max(sessions))
        if who.call(lambda now: who.endpoint.send(max(sessions), text, now)):
            self.said[text] = self.net.now, whom
        return text

    def lost(self, since: float = 0.0, until: float | None = None, *, to: Node[Any] | None = None) -> list[bytes]:
        """What was said in this time, and did not arrive; nothing arrived twice, or where it was not said to."""
        until = self.net.now - 1.0 if until is None else until
        heard = [(one.data, node) for node in self.nodes for one in told(node, MessageReceived)]
        assert len({text for text, _ in heard}) == len(heard)
        assert all(self.said[text][1] is node for text, node in heard if text in self.said)
        there = {text for text, _ in heard}
        wanted = [text for text, (when, whom) in self.said.items() if since <= when <= until and to in (None, whom)]
        return [text for text in wanted if text not in there]

    @property
    def nodes(self) -> list[Node[Any]]:
        return list({id(node): node for host in self.net.hosts.values() for node in host.nodes}.values())

    # -- who attacks

    def record(self) -> None:
        """An observer sees all that is sent from now on."""
        self.taps.append(lambda *seen: self.recorded.append(seen))

    def sent(self, who: Node[Any], kind: int = 1) -> list[bytes]:
        """What it sent, as recorded: each datagram once."""
        return list(dict.fromkeys(data for sender, data, _ in self.recorded if sender is who and data[0] == kind))

    def count(self, who: Node[Any], kind: int = 1) -> int:
        """The same, and copies, too."""
        return sum(sender is who and data[0] == kind for sender, data, _ in self.recorded)

    def inject(self, to: Node[Any], data: bytes, source: Path, delay: float = 0.0) -> None:
        """Somebody sends this with another source address."""
        self.net.after(delay, lambda: to.receive_datagram(data, source) if to in to.host.nodes else None)

    def old_intros(self, a: Node[Any], b: Node[Any], wanted: int) -> list[bytes]:
        """Intros that A sent in lives that are over."""
        self.record()
        for _ in range(wanted):
            self.restart(a, b, JOIN)
            self.net.run(2.0)
        self.taps.clear()
        found = self.sent(a)
        assert len(found) >= wanted
        return found

    def storm(
        self, data: list[bytes], to: Node[Any], source: Callable[[int], Path], rate: float, lasts: float = 60.0
    ) -> None:
        """Replays, one after the other."""
        numbers = count()

        def one() -> None:
            number = next(numbers)
            self.inject(to, data[number % len(data)], source(number))

        self.each(1 / rate, one, lasts)

    def race(self, a: Node[Any], b: Node[Any], hosts: int = 1) -> None:
        """An observer near A is faster with copies of its packets, from addresses of its own."""

        def tap(sender: Node[Any], data: bytes, path: Path) -> None:
            for number in range(hosts if sender is a else 0):
                self.inject(b, data, Path("udp", f"192.0.2.{66 + number}", 6), 0.001)

        self.taps.append(tap)


def name(node: Node[Any]) -> bytes:
    return f"{node.host.address}".encode()


def anywhere(number: int) -> Path:
    return Path("udp", f"198.51.{number % 250}.{number // 250 % 250 + 1}", 1 + number % 60000)


def nth(end: Node[Any], wanted: int) -> Callable[[], bool]:
    """Was it told of so many sessions?"""
    return lambda: len(told(end, Connected)) >= wanted


def numbers_at(b: Node[Any], a: Node[Any]) -> list[int]:
    """The sessions of B with who is where A is."""
    return [number for number, path in b.endpoint.sessions.items() if path == at(a)]
