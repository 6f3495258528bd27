"""Events of the core. docs/protocols/recovery.rst, events."""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

import attrs

from ..events import hex_of
from .items import CloseReason, Route


class Reason(Enum):
    """Why a session was established. Only the instance of the peer decides this."""

    FIRST = 0
    """There was no session with this peer before. State that the layer above made with the entry stays valid."""
    REKEY = 1
    """The peer has the same instance: the layer above keeps its state."""
    RESTART = 2
    """The peer has another instance: the layer above starts anew, before it gets or sends a packet of this session."""


class Limit(Enum):
    """What exceeded its limit."""

    INIT = 0
    """Inits that arrived."""
    REPLY = 1
    """Replies that arrived."""
    CANDIDATE = 2
    """Sessions that are not confirmed yet."""
    HINT = 3
    """Hints to be sent."""


@attrs.frozen
class Established:
    """A session with a peer is in use from now on."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The id of the peer."""
    generation: int
    """The number of this session: larger than in all such events before, of any peer."""
    handle: bytes = attrs.field(kw_only=True, repr=bytes.hex)
    """Our id of the session."""
    reason: Reason = attrs.field(kw_only=True)
    """Why, and so what the layer above keeps."""
    old_handle: bytes | None = attrs.field(default=None, kw_only=True, repr=hex_of)
    """Our id of the session that was in use before; None if there was none."""


@attrs.frozen
class PeerRestarted:
    """The peer has restarted. Follows an ``Established`` with the reason RESTART."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The id of the peer."""
    generation: int
    """The generation of the new session."""
    old_instance: bytes = attrs.field(kw_only=True, repr=bytes.hex)
    """The instance of the peer before."""
    new_instance: bytes = attrs.field(kw_only=True, repr=bytes.hex)
    """The instance of the peer now."""


@attrs.frozen
class Undelivered:
    """Packets that were not sent, or may not have arrived. Each one is listed once.

    Comes before ``PeerClosed``, ``PeerLost``, ``PeerForgotten``, and ``Established`` for a restart.
    """

    peer: bytes = attrs.field(repr=bytes.hex)
    """The peer for which they were."""
    generation: int
    """The generation of the last session with it."""
    packets: tuple[bytes, ...] = attrs.field(kw_only=True, repr=lambda packets: f"<{len(packets)} packets>")
    """In the order in which they were given."""


@attrs.frozen
class PeerClosed:
    """The peer said goodbye. This end does not call it again before ``connect``."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The id of the peer."""
    generation: int
    """The generation of the last session with it."""
    reason: CloseReason = attrs.field(kw_only=True)
    """The reason in the goodbye."""


@attrs.frozen
class PeerLost:
    """Another peer has the route of this peer now, and this peer does not answer any more. It is forgotten."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The id of the peer."""
    generation: int
    """The generation of the last session with it."""
    other: bytes = attrs.field(kw_only=True, repr=bytes.hex)
    """The peer that has its route."""


@attrs.frozen
class PeerForgotten:
    """A peer had no session for a long time, and the application wanted none. It is forgotten."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The id of the peer."""
    generation: int
    """The generation of the last session with it."""


@attrs.frozen
class Expired:
    """The session in use reached its maximum age, and no new session had replaced it."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The peer of this session."""
    generation: int
    """The generation of this session."""
    handle: bytes = attrs.field(kw_only=True, repr=bytes.hex)
    """The session."""


@attrs.frozen
class Suspected:
    """A hint says that the peer does not know the session in use. A hint may be forged, so the core asks the peer."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The peer that may have restarted."""
    generation: int
    """The generation of this session."""


@attrs.frozen
class Unreachable:
    """The peer did not answer a handshake. The core tries again as long as a session is wanted."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The peer that did not answer."""
    generation: int
    """The generation of the last session with it."""
    route: Route | None = attrs.field(kw_only=True)
    """The route by which it was called."""


@attrs.frozen
class PathChanged:
    """The peer is at another route now. The session stays the same."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The id of the peer."""
    generation: int
    """The generation of the session in use."""
    old: Route = attrs.field(kw_only=True)
    """The route before."""
    new: Route = attrs.field(kw_only=True)
    """The route now."""


@attrs.frozen
class PathConflict:
    """A peer was confirmed on the route of another peer. The core asks that other peer whether it is still there."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The peer that had the route before."""
    generation: int
    """The generation of its session."""
    other: bytes = attrs.field(kw_only=True, repr=bytes.hex)
    """The peer that has the route now, too."""


@attrs.frozen
class IdentityConflict:
    """Two processes use the key of one peer at the same time."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The peer with this key."""
    generation: int
    """The generation of the session in use."""


@attrs.frozen
class SelfConnection:
    """An Init of this process came back to it. At most one event for each route in a minute."""

    route: Route
    """The route by which it came."""


@attrs.frozen
class DuplicateIdentity:
    """Another process uses our own key. At most one event for each route in a minute."""

    route: Route
    """The route by which it called."""


@attrs.frozen
class Refused:
    """A peer called, and the policy refused it. At most one event for each peer in a minute."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The id of the peer."""
    route: Route
    """The route by which it called."""


@attrs.frozen
class Limited:
    """Something exceeded its limit. At most one event of a kind in a minute."""

    limit: Limit
    """What exceeded its limit."""
    count: int
    """How often since the last such event, including this time."""


@attrs.frozen
class TooBig:
    """The operating system says that a datagram was too large for a route."""

    route: Route
    """The route."""


@attrs.frozen
class SaveWanted:
    """Half of the counters that the last record reserved are used. Save a new record, then call ``saved``."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The peer of the record."""
    generation: int
    """The generation of the session."""


RecoveryEvent: TypeAlias = (
    Established
    | PeerRestarted
    | Undelivered
    | PeerClosed
    | PeerLost
    | PeerForgotten
    | Expired
    | Suspected
    | Unreachable
    | PathChanged
    | PathConflict
    | IdentityConflict
    | SelfConnection
    | DuplicateIdentity
    | Refused
    | Limited
    | TooBig
    | SaveWanted
)
"""All events of the core."""
