"""What can happen to a relay as its client sees it, and what comes with that. docs/protocols/tox.rst, relay client."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from ..events import CloseCause
from ..machine import Input
from ..proxies import ProxyFailure
from . import packets as p
from .relay_events import RelayLost, RelayViolation
from .relay_route import RelayRoute


class RelayState(Enum):
    RESTING = 0
    """Not wanted."""
    DIALLING = 1
    GREETING = 2
    """Our hello is on its way."""
    UP = 3
    AWAY = 4
    """The stream is over; until the next try."""
    ASKING = 5
    """The proxy was asked for the relay."""


class Ended(NamedTuple):
    """Why a stream to a relay ended, or none came about."""

    cause: CloseCause
    violation: RelayViolation | None = None
    detail: str = ""
    proxy: ProxyFailure | None = None

    def event(self, relay: bytes) -> RelayLost:
        """What the application is told."""
        return RelayLost(relay, self.cause, violation=self.violation, proxy=self.proxy, detail=self.detail)


class Answered(NamedTuple):
    """A relay's answer about a key that it was asked for."""

    route: RelayRoute
    id: int


class FromFriend(NamedTuple):
    """A packet, and the DHT key of its sender."""

    key: bytes
    data: bytes


class RelayInput:
    START = Input[RelayState, None]()
    OPENED = Input[RelayState, None]()
    PASSED = Input[RelayState, None]()
    """The proxy has made it a stream to the relay."""
    GREETED = Input[RelayState, p.RelayKeys]()
    """The relay's answer to our hello."""
    LOOKED_AT = Input[RelayState, None]()
    """What came as the answer was looked at: if it was dropped, there is none."""
    EMPTY = Input[RelayState, None]()
    """A frame without content."""
    ONION = Input[RelayState, None]()
    """One of a part of Tox that is not spoken here."""
    ANSWERED = Input[RelayState, Answered]()
    LINKED = Input[RelayState, RelayRoute]()
    UNLINKED = Input[RelayState, RelayRoute]()
    RELAYED = Input[RelayState, FromFriend]()
    OOB = Input[RelayState, FromFriend]()
    PINGED = Input[RelayState, p.RelayPing]()
    PONG = Input[RelayState, p.RelayPong]()
    ZERO_PONG = Input[RelayState, p.RelayPong]()
    PING_DUE = Input[RelayState, None]()
    ASK = Input[RelayState, None]()
    """Does it still answer?"""
    EXPIRED = Input[RelayState, None]()
    LOST = Input[RelayState, Ended]()
    DUE = Input[RelayState, None]()
    REDIAL = Input[RelayState, None]()
    """Dial at once: our own address may be another one."""
    STOP = Input[RelayState, None]()
