"""What an echo server tells its application."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from sansproto.contract import Link
from sansproto.events import Closed


@attrs.frozen
class GuestSaid:
    """A guest that has greeted said something."""

    link: Link
    text: bytes


@attrs.frozen
class GuestLeft:
    """A guest that had greeted is gone."""

    link: Link


EchoEvent: TypeAlias = GuestSaid | GuestLeft | Closed
