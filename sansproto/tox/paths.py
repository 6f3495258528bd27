"""By which way a packet goes to a friend. docs/protocols/tox.rst, ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple, Protocol, TypeAlias

from ..component import Host, Part
from ..contract import Instant, Path
from ..recovery import Route
from ..snapshot import CACHED
from ..wire import BOOL, U8, U16BE, U32BE, Fixed, Packet, Text, field, packet
from . import packets as p
from .limits import NodeDelays, NodeLimits
from .relay_link import RelayLink

SMALL: Final = 96
"""Bytes of the largest packet that is risked on a direct path by which nothing comes."""

_RESERVE: Final = 4096
"""Bytes of room at a relay that are left for small packets."""
_FRIEND: Final = b"F"
_DIRECT: Final = b"U"
_RELAYED: Final = b"R"


class Direct(NamedTuple):
    """By UDP."""

    path: Path


class Relayed(NamedTuple):
    """Through a relay: linked with the other end, or by its key."""

    relay: bytes
    """The relay's key."""
    key: bytes
    """The DHT key of the other end."""
    is_linked: bool


class Several(NamedTuple):
    """By each of these ways."""

    ways: tuple[Direct | Relayed, ...]


Way: TypeAlias = Direct | Relayed
"""How a packet came."""


@packet
class PathName(Packet):
    """A path as bytes."""

    socket: str = field(Text(U8, max=255))
    host: str = field(Text(U8, max=64))
    port: int = field(U16BE)
    scope: int = field(U32BE)


@packet
class RelayedName(Packet):
    """A way through a relay as bytes."""

    relay: bytes = field(Fixed(p.KEY_SIZE))
    key: bytes = field(Fixed(p.KEY_SIZE))
    is_linked: bool = field(BOOL)


def friend_route(friend: bytes) -> Route:
    """Any way to a friend, as the recovery core knows it."""
    return Route(_FRIEND + friend, friend, relayed=True)


def way_route(way: Way, friend: bytes) -> Route:
    """Just this way."""
    if isinstance(way, Relayed):
        return Route(_RELAYED + RelayedName(*way).encode(), friend, relayed=True)
    path = way.path
    return Route(_DIRECT + PathName(path.socket, path.host, path.port, path.scope).encode(), friend, relayed=True)


def place_of(route: Route) -> Way | bytes:
    """Where a route leads: one way, or any to a friend."""
    kind, name = route.name[:1], route.name[1:]
    if kind == _FRIEND:
        return name
    if kind == _RELAYED:
        relayed = RelayedName.decode(name)
        return Relayed(relayed.relay, relayed.key, relayed.is_linked)
    path = PathName.decode(name)
    return Direct(Path(path.socket, path.host, path.port, path.scope))


class PathIndex(Protocol):
    """Who may be where."""

    def path_known(self, path: Path, friend: bytes) -> None: ...
    def path_forgotten(self, path: Path, friend: bytes) -> None: ...


class WaysHost(Host[Any], Protocol):
    """What the ways to a friend ask of its node."""

    delays: NodeDelays
    limits: NodeLimits

    @property
    def relays(self) -> Mapping[bytes, RelayLink]: ...
    @property
    def room_in_outbox(self) -> int: ...
    @property
    def friends(self) -> PathIndex: ...


class Ways(Part[WaysHost]):
    """All ways to one friend."""

    dht_key: bytes
    """By which relays know it."""
    paths: dict[Path, None]
    """Where it may be by UDP: the one that was heard of last is last."""
    relays: dict[bytes, None]
    """At which it may be, by their keys: those that are tried first are first."""
    heard: Instant | None
    """When something genuine came by UDP, from the last of the paths."""
    tried: Instant
    """When a packet was risked there."""
    left_until: Instant
    """Up to then it is not used, whatever comes by it."""
    best: Annotated[Direct | None, CACHED]
    """The last of the paths."""
    friend: Annotated[bytes, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: WaysHost, friend: bytes) -> None:
        super().__init__(host)
        self.friend, self.dht_key, self.paths, self.relays = friend, b"", {}, {}
        self.heard, self.tried, self.left_until, self.best = None, 0.0, 0.0, None

    def rebuild(self) -> None:
        self.best = Direct(next(reversed(self.paths))) if self.paths else None

    # -- what is known

    def learn_path(self, path: Path) -> None:
        """The friend may be there: the application says so, or something genuine came from there."""
        self.host.friends.path_known(path, self.friend)
        if path in self.paths:
            return
        best = self.paths.popitem()[0] if self.heard is not None else path
        self.paths[path] = None
        self.paths[best] = None  # what was heard stays last
        if len(self.paths) > self.host.limits.paths:
            oldest = next(iter(self.paths))
            del self.paths[oldest]
            self.host.friends.path_forgotten(oldest, self.friend)
        self.rebuild()

    def note_heard(self, way: Way) -> None:
        """A new packet of a session came this way."""
        if isinstance(way, Direct):
            if self.host.clock >= self.left_until:
                self.heard = self.host.clock
            if way is not self.best and way != self.best:
                del self.paths[way.path]
                self.paths[way.path], self.best = None, way
        elif self.heard is not None and self.host.clock - self.heard > self.host.delays.doubt:
            self.doubt()  # the other end has left it

    def doubt(self) -> None:
        """No answer came by the way in use: if that is the direct path, relays take its place, if there are any."""
        if self.is_direct and any(self._is_linked(key) for key in self.relays):
            self.heard, self.left_until = None, self.host.clock + self.host.delays.left

    # -- where to

    @property
    def is_direct(self) -> bool:
        """Does what comes come by UDP?"""
        return self.heard is not None and self.host.clock - self.heard < self.host.delays.direct

    def pick(self, size: int) -> Direct | Relayed | Several | None:
        """How a packet of a session goes now; None: it has to wait. docs/protocols/tox.rst, ways."""
        if self.is_direct:
            return self._direct()
        relayed = self._relayed(size)
        if relayed is None and not any(self._is_linked(key) for key in self.relays):
            return self._direct()
        return relayed

    def probe(self) -> Direct | None:
        """The direct path, if nothing comes by it and it is to be tried again."""
        if self.is_direct or self.host.clock - self.tried < self.host.delays.probe:
            return None
        self.tried = self.host.clock
        return self._direct()

    def all(self) -> list[Way]:
        """How a packet of a handshake goes: to each place by UDP where the friend may be, and through relays."""
        linked = [Relayed(key, self.dht_key, True) for key in self.relays if self._is_linked(key)]
        return [*map(Direct, self.paths), *(linked[:1] or self._by_key())]

    # -- inside

    def _direct(self) -> Direct | None:
        return self.best if self.host.room_in_outbox > 0 else None

    def _is_linked(self, key: bytes) -> bool:
        relay = self.host.relays.get(key)
        return relay is not None and relay.is_linked(self.dht_key)

    def _by_key(self) -> list[Relayed]:
        """At each relay, linked or not."""
        found = [self.host.relays.get(key) for key in self.relays]
        return [Relayed(one.key, self.dht_key, False) for one in found if one is not None and one.is_up]

    def _relayed(self, size: int) -> Relayed | Several | None:
        """Through the first relay that takes it, or by key through all of them while it is linked at none."""
        wanted = size if size < SMALL else size + _RESERVE
        is_linked = False
        for key in self.relays:
            relay = self.host.relays.get(key)
            if relay is not None and relay.is_linked(self.dht_key):
                if relay.has_room(wanted):
                    return Relayed(key, self.dht_key, True)
                is_linked = relay.is_wanting = True
        if is_linked or size > p.MAX_OOB:
            return None
        ways = [one for one in self._by_key() if self.host.relays[one.relay].has_room(wanted)]
        return Several(tuple(ways)) if ways else None
