"""What the machines of Bob tell their applications."""

from __future__ import annotations

from enum import Enum
from typing import Never, TypeAlias

import attrs

from ..events import Closed, DataReceived, Writable


class Violation(Enum):
    """How the other end broke the protocol, or which answer or loss ended the session (``Closed.violation``)."""

    BAD_PACKET = 0
    """Bytes on the relay port that are no packet."""
    BAD_ROOM_ANSWER = 1
    """The secure port did not answer with one of the three codes."""
    ROOM_UNKNOWN = 2
    """The relay knows no room for us."""
    ROOM_EXPIRED = 3
    """The relay got tired of waiting for our line."""
    RELAY_TIMEOUT = 4
    """The relay's time for us is over."""
    TOO_MANY_GUESSES = 5
    """More exchanges failed than the limits allow."""
    RECORD_CORRUPTED = 6
    """An authentication tag differs: somebody changed the data."""
    RECORD_TOO_LONG = 7
    """A record announces more bytes than one may have: this is no channel."""
    STREAM_CUT = 8
    """The stream ended without the closing packet, or before everything was sent."""
    RELAY_LOST = 9
    """The connection to the relay port ended without a word."""
    ROOM_LOST = 10
    """The connection to the secure port ended before the other peer was there."""


class Failure(Enum):
    """Why the exchange with one peer did not come to an agreement."""

    WRONG_PASSWORD = 0
    """The two ends have different passwords (or somebody changed what they said)."""
    BAD_POINT = 1
    """What should have been a point of the curve is none."""
    BAD_PUBLIC = 2
    """Its parameters are malformed, or none that are spoken here."""
    SILENT = 3
    """It did not answer in time."""
    REFUSED = 4
    """Its user said no."""
    GONE = 5
    """It left the relay."""
    ABSENT = 6
    """It agreed, and there was no room with it at the secure port in time."""


@attrs.frozen
class Registered:
    """The relay took this peer up; ``identity`` is how others see it: ``address:port``."""

    identity: str
    """``address:port``, as the relay sees us."""


@attrs.frozen
class PeerAgreed:
    """Peer ``uid`` proved that it knows the password. A client now calls ``accept`` or ``refuse``; a server waits."""

    uid: int
    """Its number at the relay, which ``accept`` and ``refuse`` take."""
    identity: str
    """``address:port``, as the relay sees it."""


@attrs.frozen
class PeerFailed:
    """There will be no agreement with this peer; ``identity`` is empty if it never told one."""

    uid: int
    """Its number at the relay."""
    failure: Failure
    """Why there is no agreement."""
    identity: str = attrs.field(default="", kw_only=True)
    """``address:port``, as the relay sees it; empty if it never told one."""


@attrs.frozen
class Connected:
    """The encrypted channel with this peer is open."""

    identity: str
    """``address:port``, as the relay sees the peer."""


PeerEvent: TypeAlias = Registered | PeerAgreed | PeerFailed | Connected | DataReceived | Writable | Closed[Violation]
"""The events of a client and of a server."""

ChannelEvent: TypeAlias = DataReceived | Writable | Closed[Violation]


class Role(Enum):
    """What a peer is there for."""

    CLIENT = 0
    """It receives the file."""
    SERVER = 1
    """It sends the file."""


class Departure(Enum):
    """Why a peer is no longer registered at a relay."""

    LEFT = 0
    """It closed, or its connection failed."""
    IDLE = 1
    """It sent nothing for too long."""
    MALFORMED = 2
    """It sent what is no packet."""
    SLOW = 3
    """It did not read what was sent to it, or was left unread for too long."""
    PAIRED = 4
    """It goes on in a secure room."""
    FLOODING = 5
    """It sent more packets that are dropped than its budget allows."""


@attrs.frozen
class PeerJoined:
    """A peer said hello to this relay."""

    uid: int
    """Its number at this relay."""
    identity: str
    """``address:port``, from where it is connected."""
    role: Role
    """What it said that it is."""


@attrs.frozen
class PeerLeft:
    """A peer is no longer registered."""

    uid: int
    """Its number at this relay, which another peer may get."""
    identity: str
    """``address:port``, from where it was connected."""
    departure: Departure
    """Why it is gone."""


@attrs.frozen
class RoomOpened:
    """Two peers agreed; both are expected at the secure port."""

    client: str
    """The identity of the one that receives."""
    server: str
    """The identity of the one that sends."""


@attrs.frozen
class RoomClosed:
    """A room is over; ``size`` bytes passed through it."""

    client: str
    """The identity of the one that receives."""
    server: str
    """The identity of the one that sends."""
    size: int = attrs.field(default=0, kw_only=True)
    """The bytes that passed, in both directions together."""


RelayEvent: TypeAlias = PeerJoined | PeerLeft | RoomOpened | RoomClosed | Closed[Never]
