"""How much and how long: what every machine of Tox may use. Times are seconds, sizes bytes."""

from __future__ import annotations

import attrs

from ..limits import seconds, some
from ..links import LinkDelays, LinkLimits
from .packets import MAX_IDS


def _up_to(default: int, most: int) -> int:
    """A field of limits that a number on the wire bounds."""
    return attrs.field(default=default, validator=[attrs.validators.ge(1), attrs.validators.le(most)])


# -- relays ------------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class RelayClientDelays(LinkDelays):
    """The times of whoever uses relays."""

    opening: float = seconds(10.0)
    """From dialling a relay until its answer to the hello."""
    ping: float = seconds(30.0)
    """Between two pings of a relay."""
    pong: float = seconds(10.0)
    """From a ping until its answer."""
    redial: float = seconds(1.0)
    """From the end of a stream to a relay until the next try, a tenth more or less; doubled each time."""
    redial_most: float = seconds(3.0)
    """The most that this is."""
    refused: float = seconds(30.0)
    """From a relay's no to a friend's key until it is asked again."""


@attrs.frozen(kw_only=True)
class RelayClientLimits(LinkLimits):
    """The bounds of whoever uses relays."""

    unsent: int = some(1 << 16)
    """Output that waits for one relay: over it no packets are taken for it, so that pings leave in time."""
    routes: int = _up_to(MAX_IDS, MAX_IDS)
    """Friends' keys at one relay."""


@attrs.frozen(kw_only=True)
class RelayServerDelays(LinkDelays):
    """A relay's times."""

    hello: float = seconds(10.0)
    """From the connection to the end of the hello."""
    confirm: float = seconds(10.0)
    """From the answer to the first good frame."""
    ping: float = seconds(30.0)
    """Between two pings of a client."""
    pong: float = seconds(10.0)
    """From a ping until its answer."""
    hellos: float = seconds(0.004)
    """Between two turns in which hellos are worked off."""
    turn: float = seconds(0.016)
    """Between two turns of clients that have used up their share of frames."""


@attrs.frozen(kw_only=True)
class RelayServerLimits(LinkLimits):
    """A relay's bounds."""

    links: int = some(8192)
    """Streams at once."""
    link_queue: int = some(1 << 19)
    """Output that waits for one link: over it the link ends."""
    events: int = some(4096)
    """Events that are not yet popped: over it nothing is read."""
    links_of_group: int = some(4096)
    """Streams at once of one group of addresses."""
    half_open: int = some(256)
    """Connections whose hello is not answered yet."""
    unconfirmed: int = some(256)
    """Connections whose hello was answered, and that have not shown yet that they have the key."""
    hellos: int = some(4)
    """Hellos that are worked off in one turn."""
    routes: int = some(1 << 18)
    """Ids that all clients hold; one client gets no more than 1 % of those left."""
    relayed: int = some(1 << 18)
    """Output that waits for one link: over it what others send to it is dropped."""
    relayed_blocked: int = some(1 << 15)
    """The same, while its transport takes nothing."""
    frames: int = some(64)
    """Frames of one client that are not passed on to a linked one, at once; and so many more in one turn."""
    frame_rate: int = some(4000)
    """More of these in each second, of all clients together: each has the same share."""
