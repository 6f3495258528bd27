"""A relay of Tox that misbehaves: it delays, drops, corrupts or swallows packets, or lies about who is linked.

::

    relay = FaultyRelay(private_key=secret, entropy=ScriptedEntropy())
    net.host("10.0.1.1").run(relay, listen={"relay": 443})
    relay.fault = black_hole(node.dht_key)  # takes what this client sends, and answers its pings
    relay.fault = delayed(3.0)
    relay.fault = None

It is an endpoint like any other, so it runs on real sockets, too. Other misfortunes need no faulty relay: a machine
that stands still is a :meth:`~.network.VirtualNetwork.partition` between it and each client, a process that dies a
:meth:`~.network.Node.stop`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Annotated, Any, TypeAlias

from ..component import Parts
from ..contract import Link, Phase
from ..snapshot import CACHED
from ..tox import packets as p
from ..tox.relay_server import RelayServer
from ..tox.relay_visitor import RelayVisitor

Fault: TypeAlias = Callable[[bytes, bytes, bytes], Iterable[tuple[float, bytes]]]
"""Takes the DHT keys of the sender and the receiver, and a packet; gives what is passed on instead, and after how many
seconds each."""


def delayed(seconds: float) -> Fault:
    """Each packet arrives so much later."""
    return lambda sender, receiver, data: [(seconds, data)]


def black_hole(*senders: bytes) -> Fault:
    """What these clients send is taken and goes nowhere; of all clients, if none is named."""
    return lambda sender, receiver, data: [] if sender in senders or not senders else [(0.0, data)]


def mtu_black_hole(most: int) -> Fault:
    """Packets of more bytes go nowhere."""
    return lambda sender, receiver, data: [] if len(data) > most else [(0.0, data)]


def lossy(rate: float, *, seed: int = 1) -> Fault:
    """This part of the packets is dropped."""
    random = Random(seed)
    return lambda sender, receiver, data: [] if random.random() < rate else [(0.0, data)]


def corrupting(rate: float, *, seed: int = 1) -> Fault:
    """One bit at the end of this part of the packets is changed: they do not open."""
    random = Random(seed)

    def change(sender: bytes, receiver: bytes, data: bytes) -> list[tuple[float, bytes]]:
        return [(0.0, data[:-1] + bytes([data[-1] ^ 1]) if random.random() < rate else data)]

    return change


class FaultyRelay(RelayServer):
    """A relay that does to packets between clients what ``fault`` says. With ``None``, as in the beginning, it is good.

    Arguments are those of :class:`~sansproto.tox.RelayServer`. Its snapshot has neither the fault
    nor packets that are delayed.
    """

    fault: Annotated[Fault | None, CACHED]
    _held: Annotated[list[tuple[float, int, Link, p.Control | p.Relayed]], CACHED]
    """When each goes on, and to whom."""
    _number: Annotated[Iterator[int], CACHED]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.fault, self._held, self._number = None, [], count()
        self.visitors = Parts(lambda link: _FaultyVisitor(self, self.links[link]))

    def claim(self, client: bytes, other: bytes, now: float, *, linked: bool) -> None:
        """Lie: tell a client that it is, or is not, linked with another one. Both are DHT keys; KeyError unless the
        first one is here and has asked for the other."""
        self.advance(now)
        visitor = self.visitors[self.clients[client]]
        number = visitor.ids[other]
        visitor.say(p.ConnectNotification(number) if linked else p.DisconnectNotification(number))

    def pass_on(self, delay: float, receiver: RelayVisitor, packet: p.Control | p.Relayed) -> None:
        """Pass a packet on, after so many seconds."""
        if delay > 0.0:
            heappush(self._held, (self.clock + delay, next(self._number), receiver.link.key, packet))
        else:
            RelayVisitor.say(receiver, packet)

    def next_timeout(self) -> float | None:
        due = super().next_timeout()
        held = self._held[0][0] if self._held and self.phase is not Phase.CLOSED else None
        return min((at for at in (due, held) if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        super().handle_timeout(now)
        while self._held and self._held[0][0] <= self.clock:
            *_, link, packet = heappop(self._held)
            if link in self.visitors:
                RelayVisitor.say(self.visitors[link], packet)


class _FaultyVisitor(RelayVisitor):
    """A client, to whom only what is left of packets is said."""

    def say(self, packet: p.Control | p.Relayed) -> None:
        relay = self.host
        assert isinstance(relay, FaultyRelay)
        if relay.fault is None or not isinstance(packet, p.Relayed | p.OobReceived):
            super().say(packet)
        elif isinstance(packet, p.Relayed):
            for delay, data in relay.fault(self.wishes[packet.connection].key, self.key, packet.data):
                relay.pass_on(delay, self, p.Relayed(packet.connection, data))
        else:
            for delay, data in relay.fault(packet.key, self.key, packet.data):
                relay.pass_on(delay, self, p.OobReceived(packet.key, data))
