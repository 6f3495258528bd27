"""What the machines of Bob tell their applications."""

from __future__ import annotations

from enum import Enum
from typing import Never, TypeAlias

import attrs

from ..events import Closed, DataReceived, Writable


class Violation(Enum):
    """How the other end broke the protocol, or which answer or loss ended the session (``Closed.violation``)."""

    BAD_PACKET = 0
    """Bytes on the relay port are not a packet."""
    BAD_ROOM_ANSWER = 1
    """The secure port did not answer with one of the three codes."""
    ROOM_UNKNOWN = 2
    """The relay has no room that waits for us."""
    ROOM_EXPIRED = 3
    """Our line came to the secure port too late."""
    RELAY_TIMEOUT = 4
    """The relay said that it heard nothing from us for too long."""
    TOO_MANY_GUESSES = 5
    """More exchanges failed than the limits allow."""
    RECORD_CORRUPTED = 6
    """An authentication tag differs: somebody changed the data."""
    RECORD_TOO_LONG = 7
    """A record announces more bytes than a record may have: what arrives is not a channel."""
    STREAM_CUT = 8
    """The stream ended without the closing packet, or before everything was sent."""
    RELAY_LOST = 9
    """The connection to the relay port ended without a goodbye."""
    ROOM_LOST = 10
    """The connection to the secure port ended before the other peer was there."""


class Failure(Enum):
    """Why the exchange with one peer did not come to an agreement."""

    WRONG_PASSWORD = 0
    """The two ends have different passwords (or somebody changed their packets on the way)."""
    BAD_POINT = 1
    """The peer sent bytes that are not a valid point of the curve."""
    BAD_PUBLIC = 2
    """The server's public packet is malformed, or asks for something that this library does not support."""
    SILENT = 3
    """The peer did not answer in time."""
    REFUSED = 4
    """The user of the peer said no."""
    GONE = 5
    """The peer left the relay."""
    ABSENT = 6
    """The peer agreed, but did not come to the secure port in time."""


@attrs.frozen
class Registered:
    """The relay registered this end. Other peers see it as ``identity``."""

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
    """The exchange with this peer failed. This end stays at the relay, and may meet others."""

    uid: int
    """Its number at the relay."""
    failure: Failure
    """Why there is no agreement."""
    identity: str = attrs.field(default="", kw_only=True)
    """``address:port``, as the relay sees the peer; empty if this end never learnt it."""


@attrs.frozen
class Connected:
    """The encrypted channel with this peer is open."""

    identity: str
    """``address:port``, as the relay sees the peer."""


PeerEvent: TypeAlias = Registered | PeerAgreed | PeerFailed | Connected | DataReceived | Writable | Closed[Violation]
"""The events of a client and of a server."""

ChannelEvent: TypeAlias = DataReceived | Writable | Closed[Violation]


class Role(Enum):
    """Whether a peer sends or receives."""

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
    """It sent bytes that are not a packet."""
    SLOW = 3
    """It did not read what the relay sent, or the relay did not read it for too long."""
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
    """The role in its hello."""


@attrs.frozen
class PeerLeft:
    """A peer is no longer registered at this relay."""

    uid: int
    """Its number at this relay, which another peer may get."""
    identity: str
    """``address:port``, from where it was connected."""
    departure: Departure
    """Why it is gone."""


@attrs.frozen
class RoomOpened:
    """Two peers agreed. The relay now expects both at its secure port."""

    client: str
    """The identity of the one that receives."""
    server: str
    """The identity of the one that sends."""


@attrs.frozen
class RoomClosed:
    """Two peers have left the secure port, or did not come. ``size`` bytes passed between them."""

    client: str
    """The identity of the one that receives."""
    server: str
    """The identity of the one that sends."""
    size: int = attrs.field(default=0, kw_only=True)
    """The bytes that passed, in both directions together."""


RelayEvent: TypeAlias = PeerJoined | PeerLeft | RoomOpened | RoomClosed | Closed[Never]
