"""By which way a packet goes to a friend. docs/protocols/tox.rst, ways."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Any, Final, NamedTuple, Protocol, TypeAlias

from ..component import Host, Part
from ..contract import Instant, Path
from ..recovery import Route
from ..snapshot import CACHED
from ..wire import U8, U16BE, U32BE, Packet, Text, packet
from .limits import NodeDelays, NodeLimits

SMALL: Final = 96
"""Bytes of the largest packet that is risked on a direct path by which nothing comes."""

_FRIEND: Final = b"F"
_DIRECT: Final = b"U"


class Direct(NamedTuple):
    """By UDP."""

    path: Path


Way: TypeAlias = Direct


@packet(id=1)
class PathName(Packet):
    """A path as bytes."""

    socket: str = Text(U8, max=255)
    host: str = Text(U8, max=64)
    port: int = U16BE
    scope: int = U32BE


def friend_route(friend: bytes) -> Route:
    """Any way to a friend, as the recovery core knows it."""
    return Route(_FRIEND + friend, friend, relayed=True)


def way_route(way: Way, friend: bytes) -> Route:
    """Just this way."""
    path = way.path
    name = PathName(path.socket, path.host, path.port, path.scope).encode()
    return Route(_DIRECT + name, friend, relayed=True)


def place_of(route: Route) -> Way | bytes:
    """Where a route leads: one way, or any to a friend."""
    name = route.name[1:]
    return name if route.name[:1] == _FRIEND else Direct(Path(*attrs.astuple(PathName.decode(name))))


class WaysHost(Host[Any], Protocol):
    """What the ways to a friend ask of its node."""

    delays: NodeDelays
    limits: NodeLimits

    def has_outbox(self) -> bool: ...
    def path_known(self, path: Path, friend: bytes) -> None: ...
    def path_forgotten(self, path: Path, friend: bytes) -> None: ...


class Ways(Part[WaysHost]):
    """All ways to one friend."""

    paths: OrderedDict[Path, None]
    """Where it may be by UDP: the one that was heard of last is last."""
    heard: Instant | None
    """When something genuine came by the last of them."""
    friend: Annotated[bytes, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: WaysHost, friend: bytes) -> None:
        super().__init__(host)
        self.friend, self.paths, self.heard = friend, OrderedDict(), None

    # -- what is known

    def learn(self, path: Path) -> None:
        """The friend may be there: the application says so, or something genuine came from there."""
        if path in self.paths:
            return
        best = self.paths.popitem()[0] if self.heard is not None else path
        self.paths[path] = None
        self.paths[best] = None  # what was heard stays last
        self.host.path_known(path, self.friend)
        if len(self.paths) > self.host.limits.paths:
            oldest, _ = self.paths.popitem(last=False)
            self.host.path_forgotten(oldest, self.friend)

    def note_heard(self, way: Way) -> None:
        """A new packet of a session came this way."""
        self.heard = self.host.clock
        if next(reversed(self.paths)) != way.path:
            self.paths.move_to_end(way.path)

    def forget_all(self) -> None:
        for path in self.paths:
            self.host.path_forgotten(path, self.friend)

    # -- where to

    @property
    def is_direct(self) -> bool:
        """Does what comes come by UDP?"""
        return self.heard is not None and self.host.clock - self.heard < self.host.delays.direct

    def pick(self, size: int) -> Way | None:
        """How a packet of a session goes now; None: it has to wait."""
        return Direct(next(reversed(self.paths))) if self.paths and self.host.has_outbox() else None

    def all(self) -> list[Way]:
        """All ways: a packet of a handshake goes to each place where the friend may be."""
        return [Direct(path) for path in self.paths]
