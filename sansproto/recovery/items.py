"""What goes in: routes, and what a host tells of packets. docs/protocols/recovery.rst, what the host tells."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final

import attrs

from ..snapshot import MEMO

NO_INSTANCE: Final = b""


@attrs.frozen
class Route:
    """The way of a packet, as the host names it. Opaque to the core, which compares routes and remembers them."""

    name: bytes
    """What distinguishes it: the host can read a route off its name."""
    group: bytes
    """What it shares with routes of the same owner (a prefix of the address): rates are limited by it."""
    relayed: bool = False
    """Whether the times of the relay profile hold."""
    reply: bool = True
    """False: nothing can be sent back to the origin of this packet; the host finds the peer's own route."""
    place: Annotated[Any, MEMO] = attrs.field(default=None, eq=False, repr=False)
    """The host's own view of it, if it is known."""


class Kind(Enum):
    """What a packet of a session is."""

    APP = 0
    """Data of the layer above."""
    KEEPALIVE = 1
    """Nothing but a sign of life."""
    PING = 2
    """8 bytes to be sent back."""
    PONG = 3
    """The 8 bytes of a ping or confirm."""
    CONFIRM = 4
    """The initiator's first packet: 8 bytes to be sent back, and its reset token of 16 bytes."""
    PATH_CHALLENGE = 5
    """8 bytes to be sent back by whoever is at a route."""
    PATH_RESPONSE = 6
    """The 8 bytes of a challenge."""
    CLOSE = 7
    """Goodbye: 1 byte, the reason."""


class CloseReason(Enum):
    """Why an end says goodbye."""

    NORMAL = 0
    """It is done."""
    GOING_AWAY = 1
    """Its program ends."""
    REFUSED = 2
    """It does not want the session."""


class Admission(Enum):
    """What the host says of a peer that calls and that we do not want ourselves."""

    ACCEPT = 0
    """It gets a session."""
    REFUSE = 1
    """It gets a handshake, and then a close with the reason REFUSED."""
    IGNORE = 2
    """It gets no answer."""


# -- handshakes


@attrs.define(weakref_slot=False)
class Knock:
    """An Init of which nothing was opened yet."""

    hs_id: bytes
    """What names this handshake: a hash of the Init."""
    token: bytes
    """The 24 bytes of the token in it that we may have issued; empty: none."""
    route: Route
    """Where it came from."""
    packet: Any = attrs.field(default=None, repr=False)
    """The host's own view of the packet, handed back to ``open_init``."""
    proven: bool = attrs.field(default=False, kw_only=True)
    """The host has seen itself that who sent it gets packets where it came from, and is no replay."""


@attrs.frozen
class Init:
    """An Init that the host opened: authentic from ``peer``, addressed to us, bound to the token of its knock."""

    peer: bytes
    """Who calls: ids are compared as bytes."""
    sid: bytes
    """The session id that the peer chose."""
    stamp: int
    """When it began the handshake, by its clock."""
    instance: bytes
    """4 bytes of its process, 4 of its entry about us."""
    secret: Any = attrs.field(default=None, repr=False)
    """The host's own state of this handshake, handed back to ``make_reply``."""


@attrs.frozen
class Call:
    """What an Init of ours is to hold."""

    peer: bytes
    """Who is called."""
    sid: bytes
    """The session id that we chose: it names this attempt at the host, too."""
    stamp: int
    """When the handshake began, by our clock; larger than all before."""
    instance: bytes
    """What we show to this peer."""
    token: bytes = b""
    """What the challenge gave, as it came; empty: none."""
    route: Route | None = None
    """Where it will be sent."""


@attrs.frozen
class MadeInit:
    """An Init that the host made."""

    hs_id: bytes
    """What names this handshake."""
    data: bytes = attrs.field(repr=False)
    """The packet."""


@attrs.frozen
class MadeReply:
    """A Reply that the host made."""

    data: bytes = attrs.field(repr=False)
    """The packet; it is sent again as it is."""
    secret: Any = attrs.field(default=None, repr=False)
    """The keys, in the host's own form, handed back to ``install``."""


@attrs.frozen
class Reply:
    """A Reply that the host opened: authentic from the peer of an attempt of ours, and bound to it."""

    sid: bytes
    """The session id that the peer chose."""
    instance: bytes
    """4 bytes of its process, 4 of its entry about us."""
    reset: bytes = attrs.field(default=b"", repr=False)
    """Its reset token for this session, 16 bytes; empty: it has none."""
    secret: Any = attrs.field(default=None, repr=False)
    """The keys, in the host's own form, handed back to ``install``."""


@attrs.frozen
class Challenge:
    """Somebody asks for proof that we get packets at our address."""

    token: bytes
    """What the next Init is to hold."""
    proven: bool
    """Whether it was made by somebody who had opened our Init; otherwise anybody can have made it."""


# -- sessions


@attrs.define(weakref_slot=False)
class Sealed:
    """A packet of a session that was not opened yet. (Not frozen, nor are others of which each packet makes one.)"""

    sid: bytes
    """The id of the session, which we chose."""
    counter: int
    """Its number, from 0."""
    size: int
    """Bytes of the whole packet."""
    route: Route
    """Where it came from."""
    packet: Any = attrs.field(default=None, repr=False)
    """The host's own view of the packet, handed back to ``open``."""


@attrs.define(weakref_slot=False)
class Opened:
    """What was in a packet of a session."""

    kind: Kind
    """What it is."""
    body: bytes = attrs.field(repr=False)
    """What comes with it, of the size that the kind asks for."""


@attrs.define(eq=False, weakref_slot=False)
class Arrival:
    """A packet of a session that was opened."""

    counter: int
    size: int
    route: Route
    opened: Opened


@attrs.frozen
class Hint:
    """Somebody says that it does not know a session."""

    sid: bytes
    """The id in the packet that it got: of a session of ours the remote one."""
    token: bytes = attrs.field(repr=False)
    """A reset token; empty: none."""
    route: Route
    """Where the hint came from."""


@attrs.frozen
class Visit:
    """A peer calls that has no session with us and that we do not want ourselves."""

    peer: bytes
    """Who."""
    instance: bytes
    """What it shows."""
    said: bool
    """We said goodbye to just this instance."""
    route: Route
    """Where its Init came from."""


@attrs.define(weakref_slot=False)
class Delivery:
    """A packet of the layer above, for the first time."""

    peer: bytes
    """Who sent it."""
    generation: int
    """Of the session that it came in."""
    handle: bytes
    """The session."""
    data: bytes = attrs.field(repr=False)
    """What it is."""
    stale: bool = False
    """It was sent by an instance that was replaced: it must not enter the new state."""
