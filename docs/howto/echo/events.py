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
    """Its connection, for ``say``."""
    text: str
    """At most 200 bytes of UTF-8."""


@attrs.frozen
class GuestLeft:
    """A guest that had greeted is gone."""

    link: Link
    """What its connection was: no verb takes it any more."""


EchoEvent: TypeAlias = GuestSaid | GuestLeft | Closed


@attrs.frozen
class ServerAnswered:
    """The server is there, and has so many guests."""

    guests: int
    """At most 65,535: a server that has more says that."""


ProberEvent: TypeAlias = ServerAnswered | Closed
