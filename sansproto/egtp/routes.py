"""Routes of packets, as the recovery core knows them, and what they are to this node. docs/protocols/egtp.rst."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Final

import attrs

from ..component import Host, Part
from ..contract import Path
from ..recovery import Route
from ..snapshot import CACHED, MEMO
from . import packets as p
from .crypto import mailbox_id
from .paths import path_and_group, relay_path_bytes

RELAY: Final = bytes([p.PathRelay.__wire__.id or 0])
"""What serialised paths to mailboxes begin with."""


@attrs.frozen
class Mailbox:
    """A mailbox as the place of a peer."""

    server: bytes
    """The server's key."""
    mailbox: bytes
    """The id of the mailbox; empty: of an unknown one."""


def relay_route(server: bytes, peer: bytes) -> Route:
    """The way to the mailbox of a peer."""
    return Route(relay_path_bytes(server, mailbox_id(server, peer)), RELAY + server, relayed=True)


def polled_route(server: bytes) -> Route:
    """The way of what was in our own mailbox: who put it there is not known."""
    return Route(RELAY + server, RELAY + server, relayed=True, reply=False)


def place_of(route: Route) -> Path | Mailbox:
    """Where a route leads."""
    if route.relayed:
        return Mailbox(route.name[1:33], route.name[33:])
    path = p.PATH.decode(route.name)
    assert not isinstance(path, p.PathRelay)
    scope = path.scope if isinstance(path, p.PathV6) else 0
    return Path(path.label.decode("utf-8", "replace"), str(ip_address(path.address)), path.port, scope)


class Routes(Part[Host[Any]]):
    """The routes of datagrams, which cost more to make than to remember."""

    by_path: Annotated[dict[Path, Route], MEMO]
    most: Annotated[int, CACHED]

    def __init__(self, host: Host[Any], most: int) -> None:
        super().__init__(host)
        self.most, self.by_path = most, {}

    def of(self, path: Path, *, keep: bool = True) -> Route:
        """The route of a datagram; ``keep`` it for the next one."""
        found = self.by_path.get(path)
        if found is None:
            found = Route(*path_and_group(path), place=path)
            if keep:
                if len(self.by_path) >= self.most:
                    self.by_path.clear()
                self.by_path[path] = found
        return found
