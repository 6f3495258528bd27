"""What a core tells its host. docs/protocols/recovery.rst, events."""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

import attrs

from .items import CloseReason, Route


class Reason(Enum):
    """Why a session was established: it depends on the instance of the peer alone."""

    FIRST = 0
    """There was no session with this peer. State that was made with the entry goes on."""
    REKEY = 1
    """The same instance: nothing of the layer above starts anew."""
    RESTART = 2
    """Another instance: all of the layer above starts anew, before a packet of the new session goes up or out."""


class Limit(Enum):
    """What was too much."""

    INIT = 0
    """Inits."""
    REPLY = 1
    """Replies."""
    CANDIDATE = 2
    """Unconfirmed sessions."""
    HINT = 3
    """Hints to be sent."""


@attrs.frozen
class Established:
    """A session with a peer is in use from now on."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Who."""
    generation: int
    """Larger than in all such events before, of any peer."""
    handle: bytes = attrs.field(kw_only=True)
    """The session, by our id of it."""
    reason: Reason = attrs.field(kw_only=True)
    """What it means to the layer above."""
    old_handle: bytes | None = attrs.field(default=None, kw_only=True)
    """The session that was in use up to now."""


@attrs.frozen
class PeerRestarted:
    """Follows an ``Established`` for the reason RESTART."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Who."""
    generation: int
    """Of the new session."""
    old_instance: bytes = attrs.field(kw_only=True)
    """What the peer showed before."""
    new_instance: bytes = attrs.field(kw_only=True)
    """What it shows now."""


@attrs.frozen
class Undelivered:
    """Packets that were not sent, or of which the host does not know that they arrived: each is handed up once.

    Comes before ``PeerClosed``, ``PeerLost``, ``PeerForgotten``, and ``Established`` for a restart.
    """

    peer: bytes = attrs.field(repr=bytes.hex)
    """For whom they were."""
    generation: int
    """Of the last session with it."""
    packets: tuple[bytes, ...] = attrs.field(kw_only=True, repr=lambda packets: f"<{len(packets)} packets>")
    """In the order in which they were given."""


@attrs.frozen
class PeerClosed:
    """The peer said goodbye. It is not called again without ``connect``."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Who."""
    generation: int
    """Of the last session with it."""
    reason: CloseReason = attrs.field(kw_only=True)
    """What it said."""


@attrs.frozen
class PeerLost:
    """A peer whose route another one has now did not answer any more: it is forgotten."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Who."""
    generation: int
    """Of the last session with it."""
    other: bytes = attrs.field(kw_only=True, repr=bytes.hex)
    """Who has its route."""


@attrs.frozen
class PeerForgotten:
    """A peer had no session for long, and nobody wanted one: it is forgotten."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Who."""
    generation: int
    """Of the last session with it."""


@attrs.frozen
class Expired:
    """The session in use reached its greatest age and was not replaced."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """With whom."""
    generation: int
    """Of this session."""
    handle: bytes = attrs.field(kw_only=True)
    """The session."""


@attrs.frozen
class Suspected:
    """Somebody says that the peer does not know the session in use: it is asked."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Who may have restarted."""
    generation: int
    """Of this session."""


@attrs.frozen
class Unreachable:
    """A handshake was not answered. It is tried again later, as long as a session is wanted."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Who did not answer."""
    generation: int
    """Of the last session with it."""
    route: Route | None = attrs.field(kw_only=True)
    """Where it was called."""


@attrs.frozen
class PathChanged:
    """The peer is at another route now; the session is the same."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Who."""
    generation: int
    """Of the session in use."""
    old: Route = attrs.field(kw_only=True)
    """Where it was."""
    new: Route = attrs.field(kw_only=True)
    """Where it is."""


@attrs.frozen
class PathConflict:
    """A peer was confirmed on exactly the route of another one, which is asked whether it is still there."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Who had the route."""
    generation: int
    """Of its session."""
    other: bytes = attrs.field(kw_only=True, repr=bytes.hex)
    """Who has it now, too."""


@attrs.frozen
class IdentityConflict:
    """Two processes take turns with the key of one peer."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Whose key."""
    generation: int
    """Of the session in use."""


@attrs.frozen
class SelfConnection:
    """An Init of this very process came back. At most one for each route and minute."""

    route: Route
    """From where."""


@attrs.frozen
class DuplicateIdentity:
    """Another process has our own key. At most one for each route and minute."""

    route: Route
    """Where it called from."""


@attrs.frozen
class Refused:
    """A peer called and was refused. At most one for each peer and minute."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Who."""
    route: Route
    """Where it called from."""


@attrs.frozen
class Limited:
    """Something was over its limit. At most one of a kind for each minute."""

    limit: Limit
    """What."""
    count: int
    """How often since the last such event, this time included."""


@attrs.frozen
class TooBig:
    """The operating system says that a datagram was larger than a route carries."""

    route: Route
    """Which."""


@attrs.frozen
class SaveWanted:
    """Half of the counters that a record of a session leaves it are used: save it again, and say ``saved``."""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Whose record."""
    generation: int
    """Of the session."""


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
"""All of them."""
