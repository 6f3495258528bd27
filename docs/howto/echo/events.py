"""What the echo server and the prober tell their applications."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from sansproto.contract import Link
from sansproto.events import Closed


@attrs.frozen
class GuestSaid:
    """A guest that has greeted said something."""

    link: Link
    text: str


@attrs.frozen
class GuestLeft:
    """A guest that had greeted is gone."""

    link: Link


EchoEvent: TypeAlias = GuestSaid | GuestLeft | Closed


@attrs.frozen
class ServerAnswered:
    """The server is there, and has so many guests."""

    guests: int


ProberEvent: TypeAlias = ServerAnswered | Closed
