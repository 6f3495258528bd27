"""What the parts of Bob have in common: packets as they hear them; a relay's host, and its connections."""

from __future__ import annotations

from typing import Annotated, Any, Generic, NamedTuple, Protocol, TypeVar

from ..component import Component, Host, Parts
from ..contract import Link
from ..links import StreamLink
from ..machine import S
from ..snapshot import CACHED
from . import packets as p
from .events import RelayEvent
from .limits import RelayDelays, RelayLimits

Q_co = TypeVar("Q_co", covariant=True)


class Heard(NamedTuple, Generic[Q_co]):
    """A packet with the uid in its header: whom a relay is to give it to, or whose it is at a client or server."""

    uid: int
    packet: Q_co


def concerns_the_relay(part: Component[Any, Any], heard: Heard[Any]) -> bool:
    """Is it for the relay itself, or of it?"""
    return heard.uid == p.RELAY


def concerns_a_peer(part: Component[Any, Any], heard: Heard[Any]) -> bool:
    return heard.uid != p.RELAY


class RelayHost(Host[RelayEvent], Protocol):
    """What the parts of a relay ask of it."""

    delays: RelayDelays
    limits: RelayLimits
    links: Parts[Link, StreamLink]

    def offer(self, link: StreamLink) -> None: ...
    def note_sent(self, link: int, name: str, size: int) -> None: ...
    def open_room(self, client: str, server: str) -> None: ...


class Connection(Component[S, RelayHost]):
    """Of either port."""

    __slots__ = ("delays", "link")
    link: Annotated[StreamLink, CACHED]
    delays: Annotated[RelayDelays, CACHED]

    def __init__(self, host: RelayHost, link: StreamLink) -> None:
        super().__init__(host)
        self.link, self.delays = link, host.delays

    def close(self) -> None:
        self.link.close()

    def abort(self) -> None:
        self.link.abort()
