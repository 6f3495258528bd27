"""What the machines of Bob tell their applications."""

from __future__ import annotations

from enum import Enum
from typing import Never, TypeAlias

import attrs

from ..events import Closed, DataReceived, Writable


class Violation(Enum):
    """How the other end broke the protocol, or which answer or loss ended the session (``Closed.violation``)."""

    BAD_PACKET = 0  # bytes that are no packet
    BAD_ROOM_ANSWER = 1
    ROOM_UNKNOWN = 2  # the relay knows no room for us
    ROOM_EXPIRED = 3  # the relay got tired of waiting for our line
    RELAY_TIMEOUT = 4  # the relay's time for us is over
    TOO_MANY_GUESSES = 5  # more exchanges failed than the limits allow
    RECORD_CORRUPTED = 6  # an authentication tag differs: somebody changed the data
    RECORD_TOO_LONG = 7
    STREAM_CUT = 8  # the stream ended without the closing packet, or before everything was sent
    RELAY_LOST = 9  # the connection to the relay port ended without a word
    ROOM_LOST = 10  # that to the secure port did, before the other peer was there


class Failure(Enum):
    """Why the exchange with one peer did not come to an agreement."""

    WRONG_PASSWORD = 0  # the two ends have different passwords (or somebody changed what they said)
    BAD_POINT = 1  # what should have been a point of the curve is none
    BAD_PUBLIC = 2  # its parameters are malformed, or none that are spoken here
    SILENT = 3  # it did not answer in time
    REFUSED = 4  # its user said no
    GONE = 5  # it left the relay


@attrs.frozen
class Registered:
    """The relay took this peer up; ``identity`` is how others see it: ``address:port``."""

    identity: str


@attrs.frozen
class PeerAgreed:
    """Peer ``uid`` proved that it knows the password. A client now calls ``accept`` or ``refuse``; a server waits."""

    uid: int
    identity: str


@attrs.frozen
class PeerFailed:
    """There will be no agreement with this peer; ``identity`` is empty if it never told one."""

    uid: int
    failure: Failure
    identity: str = attrs.field(default="", kw_only=True)


@attrs.frozen
class Connected:
    """The encrypted channel with this peer is open."""

    identity: str


PeerEvent: TypeAlias = Registered | PeerAgreed | PeerFailed | Connected | DataReceived | Writable | Closed[Violation]
"""The events of a client and of a server."""

ChannelEvent: TypeAlias = DataReceived | Writable | Closed[Violation]


class Role(Enum):
    CLIENT = 0  # receives the file
    SERVER = 1  # sends it


class Departure(Enum):
    """Why a peer is no longer registered at a relay."""

    LEFT = 0  # it closed, or its connection failed
    IDLE = 1
    MALFORMED = 2  # it sent what is no packet
    SLOW = 3  # it did not read what was sent to it, or was left unread for too long
    PAIRED = 4  # it goes on in a secure room
    FLOODING = 5  # it sent more packets that are dropped than its budget allows


@attrs.frozen
class PeerJoined:
    uid: int
    identity: str
    role: Role


@attrs.frozen
class PeerLeft:
    uid: int
    identity: str
    departure: Departure


@attrs.frozen
class RoomOpened:
    """Two peers agreed; both are expected at the secure port."""

    client: str
    server: str


@attrs.frozen
class RoomClosed:
    """A room is over; ``size`` bytes passed through it."""

    client: str
    server: str
    size: int = attrs.field(default=0, kw_only=True)


RelayEvent: TypeAlias = PeerJoined | PeerLeft | RoomOpened | RoomClosed | Closed[Never]
