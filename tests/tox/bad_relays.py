"""Relays that misbehave, and what two nodes that use them notice of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from tox_world import Tox, World, meet

from sansproto.component import Parts
from sansproto.contract import Address
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, Node
from sansproto.tox import CustomReceived, FriendOffline, MessageReceived, Relay, RelayServer
from sansproto.tox import packets as p
from sansproto.tox.outgoing import Outgoing
from sansproto.tox.relay_visitor import Parcel, RelayVisitor

Treatment = Callable[[bytes, bytes, bytes], Iterable[tuple[float, bytes]]]
"""Of a packet from somebody to somebody: what becomes of it, and after how many seconds."""


class BadRelay(RelayServer):
    """It passes on what its treatment makes of each packet."""

    def __init__(self, *, private_key: bytes, entropy: ScriptedEntropy) -> None:
        super().__init__(private_key=private_key, entropy=entropy)
        self.visitors = Parts(lambda key: BadVisitor(self, self.links[key]))
        self.treat: Treatment | None = None
        self.node: Node[Any] | None = None


class BadVisitor(RelayVisitor):
    def pass_on(self, parcel: Parcel) -> None:
        relay, packet, receiver = self.host, parcel.packet, parcel.receiver
        assert isinstance(relay, BadRelay)
        if relay.treat is None or not isinstance(packet, p.Relayed):
            super().pass_on(parcel)
            return
        for delay, data in relay.treat(self.key, receiver.key, packet.data):
            made = p.Relayed(packet.connection, data)
            if delay:
                node = relay.node
                assert node is not None
                node.net.after(delay, lambda made=made: node.report(lambda: self._late(receiver, made)))  # type: ignore[misc]
            else:
                receiver.say(made)

    def _late(self, receiver: RelayVisitor, packet: p.Relayed) -> None:
        if not receiver.forgotten and receiver.link.key in self.host.links:
            receiver.say(packet)


def slow(seconds: float) -> Treatment:
    return lambda sender, receiver, data: [(seconds, data)]


def frozen(*senders: bytes) -> Treatment:
    """What these send is taken, and goes nowhere."""
    return lambda sender, receiver, data: [] if sender in senders else [(0.0, data)]


def lossy(part: float, seed: int = 1) -> Treatment:
    random = Random(seed)
    return lambda sender, receiver, data: [] if random.random() < part else [(0.0, data)]


def corrupting(part: float, seed: int = 1) -> Treatment:
    random = Random(seed)

    def treat(sender: bytes, receiver: bytes, data: bytes) -> list[tuple[float, bytes]]:
        return [(0.0, data[:-1] + bytes([data[-1] ^ 1]) if random.random() < part else data)]

    return treat


def freezing_data(sender: bytes, receiver: bytes, data: bytes) -> list[tuple[float, bytes]]:
    """Small packets pass."""
    return [] if len(data) >= 200 else [(0.0, data)]


class Ways(World):
    """Two nodes who talk all the time, by relays that may be bad and by UDP."""

    def __init__(
        self, relays: int, trip: float = 0.02, *, udp: bool = False, loss: float = 0.0, bulk: str = "", seed: int = 1
    ) -> None:
        super().__init__(seed=seed, latency=trip / 4)
        self.copies = self.sent = 0
        self.bad = [self.bad_relay() for _ in range(relays)]
        self.a, self.b = self.node(1), self.node(2)
        self.net.way("10.0.0.1", "10.0.0.2", Conditions(latency=trip / 2, loss=loss))
        for relay in self.bad:
            self.a.use(relay)
            self.b.use(relay)
        self.a.befriend(self.b, path=udp)
        self.b.befriend(self.a)
        self.bulk = bulk
        self.arrived: dict[str, list[float]] = {"a": [], "b": []}
        self.said = {"a": 0, "b": 0}
        meet(self, self.a, self.b, within=60.0)

    def bad_relay(self) -> Relay:
        number = len(self.relays)
        server = BadRelay(private_key=bytes([50 + number]) * 32, entropy=ScriptedEntropy(seed=b"%d" % number))
        server.node = self.net.host(f"10.0.1.{number}").run(server, listen={"relay": 443})
        self.relays.append(server.node)
        return Relay(server.public_key, Address(f"10.0.1.{number}", 443))

    def treat(self, number: int, treatment: Treatment | None) -> None:
        self.relays[number].endpoint.treat = treatment  # type: ignore[attr-defined]

    def used(self, node: Tox) -> int | None:
        """The number of the relay in use; -1 is UDP."""
        used = node.ways(self.other(node)).used
        if used is None:
            return None
        return -1 if used == b"" else next(n for n, relay in enumerate(self.bad) if relay.key == used)

    def other(self, node: Tox) -> Tox:
        return self.b if node is self.a else self.a

    def moves(self) -> int:
        return self.a.ways(self.b).moves + self.b.ways(self.a).moves

    def run(self, seconds: float) -> None:
        """Both say something each tenth of a second, and send as much as goes where ``bulk`` says so."""
        for _ in range(round(seconds * 10)):
            for name, node in (("a", self.a), ("b", self.b)):
                other = self.other(node)
                if node.say(other, f"{self.said[name]}") is not None:
                    self.said[name] += 1
                if name in self.bulk:
                    node.give(other, [b"\xa0" + bytes(1000)] * 20)
            for _ in range(5):
                self.net.run(0.02)
                self.look()

    def look(self) -> None:
        for name, node in (("a", self.a), ("b", self.b)):
            texts = [event for event in node.events if isinstance(event, MessageReceived)]
            self.arrived[name] += [self.net.now] * len(texts)
            for event in texts:
                assert event.text == f"{self.heard(name)}", (name, event.text, self.heard(name))
                self.count(name)
            self.gone = [event for event in node.events if isinstance(event, FriendOffline)]
            assert not self.gone, self.gone
            node.events[:] = [e for e in node.events if not isinstance(e, MessageReceived | CustomReceived)]

    def heard(self, name: str) -> int:
        return self._heard.get(name, 0)

    def count(self, name: str) -> None:
        self._heard[name] = self.heard(name) + 1

    @property
    def _heard(self) -> dict[str, int]:
        self.__dict__.setdefault("heard_", {})
        return self.__dict__["heard_"]

    def gap(self, since: float) -> float:
        """The longest time in which one of them got nothing."""
        worst = 0.0
        for times in self.arrived.values():
            after = [since, *(time for time in times if time > since), self.net.now]
            worst = max(worst, *(b - a for a, b in zip(after, after[1:], strict=False)))
        return worst
