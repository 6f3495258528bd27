"""Relays that misbehave, and what two nodes that use them notice of it."""

from __future__ import annotations

from itertools import pairwise

from tox_world import Tox, World, meet

from sansproto.contract import Address
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.faulty_relay import Fault, FaultyRelay
from sansproto.testing.network import Conditions
from sansproto.tox import FriendOffline, MessageReceived, Relay
from sansproto.tox.tracks import UDP

AT_A, AT_B = "10.0.0.1", "10.0.0.2"
BULK = [b"\xa0" + bytes(1000)] * 20


class Faults(World):
    """Two nodes who talk all the time, by relays that may be bad and by UDP."""

    def __init__(
        self,
        relays: int,
        trip: float = 0.02,
        *,
        udp: bool = False,
        loss: float = 0.0,
        bulk: str = "",
        seed: int = 1,
        first: Fault | None = None,
    ) -> None:
        """``first`` is what the first relay does, already before they meet."""
        super().__init__(seed=seed, latency=trip / 4)
        self.servers: list[FaultyRelay] = []
        self.known = [self.faulty_relay() for _ in range(relays)]
        if first is not None:
            self.treat(0, first)
        self.a, self.b, self.bulk = Talker(self, 1), Talker(self, 2), bulk
        self.both = (self.a, self.b)
        self.net.way(AT_A, AT_B, Conditions(latency=trip / 2, loss=loss))
        for relay in self.known:
            for node in self.both:
                node.use(relay)
        self.a.befriend(self.b, path=udp)
        self.b.befriend(self.a)
        meet(self, self.a, self.b, within=60.0)

    def faulty_relay(self) -> Relay:
        number = len(self.relays)
        server = FaultyRelay(private_key=bytes([50 + number]) * 32, entropy=ScriptedEntropy(seed=b"%d" % number))
        self.relays.append(self.net.host(f"10.0.1.{number}").run(server, listen={"relay": 443}))
        self.servers.append(server)
        return Relay(server.public_key, Address(f"10.0.1.{number}", 443))

    # -- misfortunes

    def treat(self, number: int, fault: Fault | None) -> None:
        self.servers[number].fault = fault

    def stop(self, number: int, *, is_stopped: bool = True) -> None:
        """A relay's machine stands still: what is sent to it waits."""
        for host in (AT_A, AT_B):
            (self.net.partition if is_stopped else self.net.heal)(host, f"10.0.1.{number}")

    def block_udp(self, *, is_blocked: bool = True) -> None:
        (self.net.partition if is_blocked else self.net.heal)(AT_A, AT_B)

    def drop_large_datagrams(self, most: int) -> None:
        """UDP passes no packets of more bytes."""
        send = self.net.send_datagram
        self.net.send_datagram = lambda node, data, path: (  # type: ignore[method-assign]
            send(node, data, path) if len(data) <= most else None
        )

    # -- what is noticed

    def other(self, node: Tox) -> Tox:
        return self.b if node is self.a else self.a

    def used(self, node: Tox) -> int | None:
        """The number of the relay in use; -1 is UDP."""
        names = [UDP, *(relay.key for relay in self.known)]
        used = node.ways(self.other(node)).used
        return None if used is None else names.index(used) - 1

    @property
    def moves(self) -> int:
        """How often one of them has taken another way."""
        return sum(node.ways(self.other(node)).moves for node in self.both)

    @property
    def copies(self) -> int:
        return sum(node.copies for node in self.both)

    def run(self, seconds: float) -> None:
        """Both say something each tenth of a second, and send as much as goes where ``bulk`` names them."""
        for _ in range(round(seconds * 10)):
            for name, node in zip("ab", self.both, strict=True):
                node.talk(self.other(node))
                if name in self.bulk:
                    node.give(self.other(node), BULK)
            for _ in range(5):
                self.net.run(0.02)
                for node in self.both:
                    node.listen()

    def gap(self, since: float) -> float:
        """The longest time in which one of them got nothing."""
        worst = 0.0
        for node in self.both:
            times = [since, *(time for time in node.arrived if time > since), self.net.now]
            worst = max(worst, *(after - before for before, after in pairwise(times)))
        return worst

    def all_arrived(self) -> bool:
        return all(len(self.other(node).arrived) == node.said for node in self.both)  # type: ignore[attr-defined]


class Talker(Tox):
    """A node that talks all the time. What it hears has to come once, and in order."""

    said = copies = 0

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, number)
        self.arrived: list[float] = []

    def talk(self, other: Tox) -> None:
        if self.say(other, str(self.said)) is not None:
            self.said += 1
        session = self.tox.friends.all[other.key].session
        if session is not None and session.outgoing.watch.alarm is not None:
            self.copies = max(self.copies, len(session.outgoing.watch.carried.copied))

    def listen(self) -> None:
        for event in self.events:
            assert not isinstance(event, FriendOffline)
            if isinstance(event, MessageReceived):
                assert event.text == str(len(self.arrived))
                self.arrived.append(self.world.net.now)
        self.events.clear()
