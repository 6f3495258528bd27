"""A network in memory: virtual time, loss, delay, routers, restarts and sleep, and the same course for the same seed.

::

    net = VirtualNetwork(seed=1, default=Conditions(latency=0.02, loss=0.1))
    relay = net.host("10.0.0.1").run(relay_session, listen={"relay": 9000})
    client = net.host("10.0.0.2").run(client_session)
    client.call(client_session.connect)
    net.run_until(lambda: Connected() in client.events)

Endpoints are driven as adapters drive them. A transmit that the contract does not allow raises :class:`BrokenContract`.
One for a socket that is not there raises :class:`~sansproto.errors.UnboundSocket`, as with the adapters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random
from typing import Any, Generic, TypeVar, TypeVarTuple

from ..contract import (
    AbortTransport,
    Address,
    CloseTransport,
    CloseWrite,
    Endpoint,
    Link,
    Lookup,
    OpenStream,
    OwnAddress,
    Path,
    PauseAccepting,
    PauseReading,
    Rebind,
    ResumeReading,
    SendBytes,
    SendDatagram,
    Transmit,
)
from ..errors import UnboundSocket
from ._internal.driver import ENDLESS, BrokenContract, Driver
from ._internal.streams import Conditions, StreamEnd

E = TypeVar("E")
R = TypeVar("R")
Arguments = TypeVarTuple("Arguments")

__all__ = ["BrokenContract", "Conditions", "Host", "Nat", "Node", "VirtualNetwork"]

_BACKLOG = 128  # connections that wait for a listener that accepts none for now


class VirtualNetwork:
    """Hosts, the routes between them, names, and the clock of all of them."""

    def __init__(self, *, seed: int = 0, default: Conditions | None = None) -> None:
        self.now = 0.0
        self.default = default or Conditions()
        self.hosts: dict[str, Host] = {}
        self.names: dict[str, tuple[str, ...]] = {}
        self.packets = 0  # datagrams and pieces of streams that were put on their way
        self._random = Random(seed)
        self._scheduled: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._at_once = 0  # how many things have happened without any time passing
        self._ways: dict[tuple[str, str], Conditions] = {}
        self._busy: dict[tuple[str, str], float] = {}
        self._walls: set[frozenset[str]] = set()
        self._waiting: list[tuple[str, str, Callable[[], None]]] = []  # streams in front of a wall

    # -- what there is

    def host(self, address: str, *, clock: float = 0.0, nat: Nat | None = None) -> Host:
        """A machine with this address. Its clock is ahead of the network's by ``clock`` seconds."""
        return Host(self, address, clock, nat)

    def nat(self, address: str, **options: Any) -> Nat:
        """A router with this public address, for the ``nat`` of hosts; options as :class:`Nat` has them."""
        return Nat(self, address, **options)

    def name(self, name: str, *addresses: str) -> None:
        """Let a name resolve. Without addresses, and for names never given, lookups fail."""
        self.names[name] = addresses

    def way(self, a: str, b: str, conditions: Conditions, *, back: Conditions | None = None) -> None:
        """The conditions from ``a`` to ``b``, and back."""
        self._ways[a, b] = conditions
        self._ways[b, a] = back or conditions

    def conditions(self, source: str, target: str) -> Conditions:
        return self._ways.get((source, target), self.default)

    # -- misfortunes

    def partition(self, a: str, b: str) -> None:
        """From now on nothing passes between two hosts: datagrams and resets vanish, streams wait.

        A host behind a router is parted at the router: give its address.
        """
        self._walls.add(frozenset((a, b)))

    def heal(self, a: str, b: str) -> None:
        """End a partition."""
        self._walls.discard(frozenset((a, b)))
        waiting, self._waiting = self._waiting, []
        for source, target, go_on in waiting:
            if self.is_parted(source, target):
                self._waiting.append((source, target, go_on))
            else:
                go_on()  # at once: what is still on its way must not overtake it

    def cut(self, a: str, b: str) -> None:
        """Reset every stream between two hosts, at both ends."""
        for end in [*self.hosts[a].ends]:
            if end.peer is not None and end.peer.host is self.hosts[b]:
                end.peer.reset("connection reset")
                end.reset("connection reset")

    def is_parted(self, a: str, b: str) -> bool:
        return frozenset((a, b)) in self._walls

    # -- time

    def after(self, delay: float, act: Callable[[], None]) -> None:
        """Let something happen; equal times happen in the order in which they were asked for."""
        heappush(self._scheduled, (self.now + delay, next(self._number), act))

    def run(self, seconds: float) -> None:
        """Let this much time pass."""
        self._run_to(self.now + seconds)

    def run_until(self, goal: float | Callable[[], bool], *, within: float = 300.0) -> None:
        """Run to a point in time, or until a predicate holds. TimeoutError if it does not within so many seconds."""
        if not callable(goal):
            self._run_to(goal)
            return
        end = self.now + within
        while not goal():
            if not self._scheduled or self._scheduled[0][0] > end:
                self.now = end
                raise TimeoutError(f"not reached within {within} s; pending: {self._pending()}")
            self._next()

    def _run_to(self, end: float) -> None:
        while self._scheduled and self._scheduled[0][0] <= end:
            self._next()
        self.now = max(self.now, end)

    def _next(self) -> None:
        at, _, act = heappop(self._scheduled)
        self._at_once = self._at_once + 1 if at == self.now else 0
        if self._at_once > ENDLESS:
            raise BrokenContract(f"time stands still at {at}; pending: {self._pending()}")
        self.now = at
        act()

    def _pending(self) -> str:
        nodes = [node for host in self.hosts.values() for node in host.nodes]
        return ", ".join(f"{node.host.address}: {dict(node.endpoint.timers())}" for node in nodes) or "nothing"

    # -- datagrams

    def send_datagram(self, sender: Node[Any], data: bytes, path: Path) -> None:
        edge = sender.host.edge(path.host)
        source, port = sender.host.public(sender.sockets[path.socket], path.host, path.port)
        chance, way = self._random, self.conditions(edge, path.host)
        if self.is_parted(edge, path.host) or chance.random() < way.loss:
            self.packets += 1
            return
        for _ in range(2 if chance.random() < way.duplicate else 1):
            if way.rate < inf and self.queued(edge, path.host) + len(data) > way.buffer:
                self.packets += 1  # the queue of the router is full
                continue
            delay = self.travel(edge, path.host, len(data))
            if chance.random() < way.reorder:
                delay += chance.random() * 4 * way.latency
            sent = self._corrupt(data) if chance.random() < way.corrupt else data
            self.after(delay, lambda sent=sent: self._arrive(sender, sent, path, edge, source, port))  # type: ignore[misc]

    def _arrive(self, sender: Node[Any], data: bytes, path: Path, edge: str, source: str, port: int) -> None:
        if self.is_parted(edge, path.host):
            return
        target = self.hosts.get(path.host)
        if target is not None and target.router is not None:
            found = target.router.inward(path.port, source, port)
            if found is None:
                return
            target, inner = found
        else:
            inner = path.port
            if target is not None and target.is_hidden_from(sender.host):
                return
        if target is None or target.black_hole:
            return
        for node in target.nodes:
            for label, bound in node.sockets.items():
                if bound == inner:
                    node.receive_datagram(data, Path(label, source, port))
                    return
        sender.fail_datagram(path, self.travel(path.host, edge, 0))

    def travel(self, source: str, target: str, size: int) -> float:
        """Seconds until a packet of this size arrives if it is sent now. The link is busy while it leaves."""
        self.packets += 1
        way = self.conditions(source, target)
        leaves = self.now
        if way.rate < inf:
            leaves = max(self.now, self._busy.get((source, target), 0.0)) + size / way.rate
            self._busy[source, target] = leaves
        jitter = self._random.random() * way.jitter if way.jitter else 0.0
        return leaves - self.now + way.latency + jitter

    def queued(self, source: str, target: str) -> float:
        """Bytes that wait until the link is free."""
        until = self._busy.get((source, target), 0.0)
        return (until - self.now) * self.conditions(source, target).rate if until > self.now else 0.0

    def _corrupt(self, data: bytes) -> bytes:
        changed = bytearray(data)
        if changed:
            bit = self._random.randrange(8 * len(changed))
            changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)


class Host:
    """A machine on the network. ``black_hole`` lets everything that is sent to it vanish."""

    def __init__(self, net: VirtualNetwork, address: str, clock: float, nat: Nat | None) -> None:
        self.net = net
        self.addresses: list[str] = []
        self.add_address(address)
        self.clock = clock
        self.nat = nat
        self.router: Nat | None = None
        self.black_hole = False
        self.nodes: list[Node[Any]] = []
        self.ends: dict[StreamEnd, None] = {}
        self._ports = count(40000)

    @property
    def address(self) -> str:
        """The first one."""
        return self.addresses[0]

    def add_address(self, address: str) -> None:
        """One more, as of the other IP version. Packets leave by the first address of their target's version."""
        if address in self.net.hosts:
            raise ValueError(f"{address} is there already")
        self.net.hosts[address] = self
        self.addresses.append(address)

    def move(self, address: str) -> None:
        """The machine has another address in place of its first one. What was on its way to the old one is lost, and
        streams stand still: neither end learns of it. Call ``network_changed`` of an endpoint if it shall know."""
        for end in self.ends:
            end.strand()
        self.add_address(address)
        del self.net.hosts[self.addresses[0]]
        self.addresses[0] = self.addresses.pop()

    def edge(self, target: str) -> str:
        """The address under which somebody at this address sees this host."""
        if self.nat is not None:
            return self.nat.address
        return self.own_for(target)

    def own_for(self, target: str) -> str:
        """The address of this host from which it sends to that one."""
        if len(self.addresses) == 1:
            return self.addresses[0]
        alike = (one for one in self.addresses if (":" in one) is (":" in target))
        return next(alike, self.address)

    def run(
        self,
        endpoint: Endpoint[E],
        *,
        listen: Mapping[str, int] | None = None,
        sockets: Mapping[str, int] | None = None,
        auto_drain: bool = True,
    ) -> Node[E]:
        """Drive an endpoint on this host, with listeners and datagram sockets by label; port 0 is any free port.

        Without ``auto_drain`` events stay in the endpoint until :meth:`Node.take`.
        """
        return Node(self, endpoint, dict(listen or {}), dict(sockets or {}), auto_drain)

    def free_port(self) -> int:
        return next(self._ports)

    def public(self, port: int, host: str, remote: int) -> tuple[str, int]:
        """The address and port that a packet to ``host`` and ``remote`` carries as its source."""
        nat, other = self.nat, self.net.hosts.get(host)
        if nat is None or (other is not None and other.nat is nat):
            return (self.edge(host) if nat is None else self.address), port
        return nat.address, nat.outward(self, port, host, remote)

    def is_hidden_from(self, other: Host) -> bool:
        """Whether a router is between the two hosts, so that this one cannot be reached at its own address."""
        return self.nat is not None and self.nat is not other.nat

    def listener(self, port: int) -> tuple[Node[Any], str] | None:
        for node in self.nodes:
            for label, bound in node.listeners.items():
                if bound == port:
                    return node, label
        return None


class Nat:
    """A router that rewrites the source of datagrams.

    From outside, the hosts behind it are reached by its own address alone; among themselves they need no router.
    ``symmetric`` maps each destination to a port of its own; ``open`` lets strangers in; a mapping that carried nothing
    outwards for ``expiry`` seconds is forgotten.
    """

    def __init__(
        self, net: VirtualNetwork, address: str, *, symmetric: bool = False, open: bool = False, expiry: float = inf
    ) -> None:
        self.net = net
        self.address = address
        self.symmetric = symmetric
        self.open = open
        self.expiry = expiry
        self._ports = count(50000)
        self._mappings: dict[tuple[str, int, str, int], int] = {}
        self._inner: dict[int, tuple[Host, int]] = {}
        self._known: dict[int, set[tuple[str, int]]] = {}
        self._used: dict[int, float] = {}
        net.host(address).router = self

    def rebind(self) -> None:
        """Forget every mapping: what is sent next comes from other ports, and nothing finds the old ones."""
        self._mappings.clear()
        self._inner.clear()
        self._known.clear()
        self._used.clear()

    def outward(self, inner: Host, port: int, host: str, remote: int) -> int:
        key = (inner.address, port, *((host, remote) if self.symmetric else ("", 0)))
        outer = self._mappings.get(key)
        if outer is None or self._is_stale(outer):
            outer = self._mappings[key] = next(self._ports)
            self._inner[outer] = (inner, port)
            self._known[outer] = set()
        self._known[outer].add((host, remote))
        self._used[outer] = self.net.now
        return outer

    def inward(self, outer: int, host: str, remote: int) -> tuple[Host, int] | None:
        if outer not in self._inner or self._is_stale(outer):
            return None
        return self._inner[outer] if self.open or (host, remote) in self._known[outer] else None

    def _is_stale(self, outer: int) -> bool:
        return self.net.now - self._used[outer] > self.expiry


class Node(Generic[E]):
    """An endpoint that runs on a host. ``events`` holds what it gave out."""

    def __init__(
        self, host: Host, endpoint: Endpoint[E], listen: dict[str, int], sockets: dict[str, int], auto_drain: bool
    ) -> None:
        self.host = host
        self.net = host.net
        self.events: list[E] = []
        self.listeners = {label: port or host.free_port() for label, port in listen.items()}
        self.sockets = {label: port or host.free_port() for label, port in sockets.items()}
        self.links: dict[Link, StreamEnd] = {}
        self._paused: dict[str, deque[StreamEnd]] = {}  # listeners that accept none for now: who waits there
        self._auto_drain = auto_drain
        self._life = 0
        self._is_asleep = False
        self._alarm: float | None = None
        host.nodes.append(self)
        self._start(endpoint)

    @property
    def now(self) -> float:
        """The time on this host."""
        return self.net.now + self.host.clock

    def call(self, verb: Callable[[*Arguments, float], R], *arguments: *Arguments) -> R:
        """Call ``verb(*arguments, now)``, as a runner does, and carry out what the endpoint then asks for."""
        return self.report(lambda: verb(*arguments, self.now))

    def take(self, most: int = 1) -> list[E]:
        """Pop events that an endpoint without ``auto_drain`` kept."""
        taken: list[E] = []
        while len(taken) < most and (event := self.endpoint.next_event()) is not None:
            taken.append(event)
        self.events += taken
        self.report(lambda: None)
        return taken

    def stop(self, *, silent: bool = False) -> None:
        """Take the endpoint away. Its streams are reset. With ``silent`` nobody is told, as in a power cut."""
        self.host.nodes.remove(self)
        for end in [*self.links.values()]:
            end.vanish(silent)
        for waiting in self._paused.values():
            for end in waiting:
                end.vanish(silent)
        self.links.clear()
        self._paused.clear()
        self._life += 1

    def restart(self, endpoint: Endpoint[E], *, silent: bool = False) -> None:
        """Run another endpoint in the place of this one, on the same ports, without its streams."""
        self.stop(silent=silent)
        self.host.nodes.append(self)
        self._start(endpoint)

    def sleep(self, seconds: float) -> None:
        """Have the machine sleep: nothing reaches it, no timer rings, its clock stands still. Others go on meanwhile.
        Streams are still there, if their other ends are. Then ``resumed`` tells the endpoint how long it was."""
        net = self.net
        ways = [(here, there) for here in self.host.addresses for there in net.hosts if not net.is_parted(here, there)]
        self._is_asleep = True
        for here, there in ways:
            net.partition(here, there)
        net.run(seconds)
        self._is_asleep = False
        self.host.clock -= seconds
        self._life, self._alarm = self._life + 1, None  # what was to ring would be early
        for here, there in ways:
            net.heal(here, there)
        self.report(lambda: self.endpoint.resumed(self.now, asleep=seconds))

    def receive_datagram(self, data: bytes, path: Path) -> None:
        self.report(lambda: self.endpoint.receive_datagram(data, path, self.now))

    def fail_datagram(self, path: Path, delay: float) -> None:
        """Nobody listens where a datagram went."""
        if self in self.host.nodes:
            self._later(lambda: self.endpoint.datagram_failed(path, self.now, detail="port unreachable"), delay)

    def report(self, act: Callable[[], R]) -> R:
        """Give the endpoint an input, carry out its transmits, and schedule its next timeout."""
        try:
            return self._driver.call(act)
        finally:
            self._set_alarm()

    def _start(self, endpoint: Endpoint[E]) -> None:
        self.endpoint = endpoint
        self._alarm = None
        self._driver = Driver(endpoint, self._carry, self.events.append if self._auto_drain else None)
        for label, port in self.sockets.items():
            self._say_bound(label, port)
        self.report(lambda: None)

    def _say_bound(self, label: str, port: int) -> None:
        self._later(lambda: self.endpoint.socket_bound(label, Address(self.host.address, port), self.now))

    def _later(self, act: Callable[[], None], delay: float = 0.0) -> None:
        """Give the endpoint a report, unless it was taken away before."""
        life = self._life
        self.net.after(delay, lambda: self.report(act) if life == self._life else None)

    def _set_alarm(self) -> None:
        at = self.endpoint.next_timeout()
        if at is None:
            self._alarm = None
        elif self._alarm is None or at < self._alarm:
            self._alarm = at
            life = self._life
            self.net.after(max(at - self.now, 0.0), lambda: self._ring(at, life))

    def _ring(self, at: float, life: int) -> None:
        if self._alarm == at and life == self._life and not self._is_asleep:
            self._alarm = None
            self._driver.wake(max(self.now, at))  # the sum of two floats may be a little early
            self._set_alarm()

    # -- what endpoints want

    def _carry(self, transmit: Transmit) -> None:
        match transmit:
            case SendBytes() | CloseWrite() | CloseTransport() | AbortTransport() | PauseReading() | ResumeReading():
                end = self.links.get(transmit.link)
                if end is None:
                    raise BrokenContract(f"{transmit}: there is no such link")
                end.carry(transmit)
            case OpenStream():
                if transmit.link in self.links:
                    raise BrokenContract(f"{transmit}: the link is there already")
                StreamEnd(self.host, self, transmit.link).connect(transmit.address)
            case SendDatagram():
                self._check_bound(transmit.path.socket)
                self.net.send_datagram(self, transmit.data, transmit.path)
            case Rebind():
                self._check_bound(transmit.socket)
                port = self.sockets[transmit.socket] = self.host.free_port()
                self._say_bound(transmit.socket, port)
            case Lookup():
                self._look_up(transmit)
            case OwnAddress(query, to):
                own = Address(self.host.own_for(to.host), 0)
                self._later(lambda: self.endpoint.looked_up(query, (own,), self.now))
            case PauseAccepting():
                self._paused.setdefault(transmit.listener, deque())
            case _:
                for end in self._paused.pop(transmit.listener, ()):
                    self.accept(transmit.listener, end)

    def _check_bound(self, label: str) -> None:
        if label not in self.sockets:
            raise UnboundSocket(label, tuple(self.sockets))

    def _look_up(self, lookup: Lookup) -> None:
        hosts: Iterable[str] = self.net.names.get(lookup.host, ())
        if lookup.host in self.net.hosts:
            hosts = (lookup.host,)
        addresses = tuple(Address(host, lookup.port) for host in hosts)
        self._later(lambda: self.endpoint.looked_up(lookup.query, addresses, self.now), self.net.default.latency)

    def accept(self, label: str, end: StreamEnd) -> None:
        """A connection arrived at a listener."""
        waiting = self._paused.get(label)
        if waiting is not None and len(waiting) < _BACKLOG:
            waiting.append(end)
        elif waiting is not None:
            end.refuse()
        else:
            self.report(lambda: self._accept(label, end))

    def _accept(self, label: str, end: StreamEnd) -> None:
        assert end.peer is not None
        link = self.endpoint.stream_accepted(label, end.remote, self.now)
        end.own(self, link)
        end.opened = True
        end.read_soon()
