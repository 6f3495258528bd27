"""How much and how long: what every machine of Tox may use. Times are seconds, sizes bytes."""

from __future__ import annotations

from math import inf
from typing import Final

import attrs

from ..limits import seconds, some
from ..links import LinkDelays, LinkLimits
from ..recovery import RecoveryConfig, RecoveryDelays, RecoveryLimits
from .packets import MAX_IDS
from .windows import OWN, SIZE


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
    """The maximum of this time."""
    refused: float = seconds(30.0)
    """How long after a relay refused a friend's key it is asked again."""
    demoted: float = seconds(30.0)
    """How long a relay that failed a friend is not used for this friend; four times as long each time."""
    demoted_most: float = seconds(600.0)
    """The maximum of this time; after so long in use, a relay begins again at ``demoted``."""


@attrs.frozen(kw_only=True)
class RelayClientLimits(LinkLimits):
    """The bounds of whoever uses relays."""

    unsent: int = some(1 << 16)
    """Bytes of output that wait for one relay; over it no packets are taken, so that pings leave in time."""
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
    """Between two turns in which hellos are processed."""
    turn: float = seconds(0.016)
    """Between two turns of clients that have used up their share of frames."""


@attrs.frozen(kw_only=True)
class RelayServerLimits(LinkLimits):
    """A relay's bounds."""

    links: int = some(8192)
    """Streams at once."""
    link_queue: int = some(1 << 19)
    """Bytes of output that wait for one link; over it the link ends."""
    events: int = some(4096)
    """Events that are not yet popped: over it nothing is read."""
    links_of_group: int = some(4096)
    """Streams at once of one group of addresses."""
    half_open: int = some(256)
    """Connections whose hello is not answered yet."""
    unconfirmed: int = some(2048)
    """Connections whose hello was answered, and that have not shown yet that they have the key."""
    hellos: int = some(4)
    """Hellos that are processed in one turn."""
    routes: int = some(1 << 18)
    """Ids that all clients hold; one client gets no more than 1 % of those left."""
    relayed: int = some(1 << 18)
    """Bytes of output that wait for one link; over it packets of other clients for it are dropped."""
    relayed_blocked: int = some(1 << 15)
    """The same, while its transport takes nothing."""
    frames: int = some(8)
    """Frames of one client that are not passed on to a linked one, at once."""
    frame_rate: int = some(4000)
    """More of these in each second, of all clients together: each has the same share."""
    passed: int = some(8)
    """Packets of one client that are passed on before others have their turn; within a group each counts twice."""
    turn_frames: int = some(64)
    """How many more of either are passed on or taken when it is the client's turn."""


# -- nodes -------------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class NodeDelays(RelayClientDelays):
    """A node's times, besides those of its recovery."""

    cookie: float = seconds(15.0)
    """The life of a cookie, in whole seconds of the clock."""
    repeat: float = seconds(1.0)
    """The least between two answers to a handshake that comes again."""
    request: float = seconds(1.0)
    """Between two lists of missing packets while something was sent that is not acknowledged."""
    acknowledge: float = seconds(0.055)
    """From a lossless packet to the earliest list of missing packets, which acknowledges it."""
    missing: float = seconds(0.25)
    """Between two of these lists while packets are missing, and none come."""
    quiet: float = seconds(4.5)
    """The longest time in which nothing is sent in a session."""
    alive: float = seconds(8.0)
    """Between two signs of life for the friend's program."""
    silent: float = seconds(60.0)
    """How long nothing may come from a friend before its session ends."""
    direct: float = seconds(8.0)
    """How long nothing may come by the direct path before relays are used."""
    probe: float = seconds(4.0)
    """Between two probes of a direct path by which nothing comes."""
    farewell: float = seconds(1.5)
    """From ``close`` until the end; meanwhile each friend gets two goodbyes."""


@attrs.frozen(kw_only=True)
class NodeLimits(RelayClientLimits):
    """A node's bounds, besides those of its recovery."""

    links: int = some(96)
    """Streams at once."""
    events: int = some(4096)
    """Events that are not popped yet; over it arriving packets are dropped, and relays are not read."""
    outbox: int = some(1024)
    """Datagrams that the transport has not taken yet; over it nothing is sent, and arriving packets are dropped."""
    friends: int = some(16_384)
    """Friends at once."""
    relays: int = some(32)
    """Relays at once."""
    friend_relays: int = some(6)
    """Relays at which the node looks for one friend."""
    queue: int = some(256)
    """Packets of one friend that wait until they may be sent."""
    window: int = _up_to(SIZE - OWN, SIZE - OWN)
    """Packets to one friend that may wait for acknowledgement."""
    own: int = _up_to(OWN, OWN)
    """Packets about the node itself that may wait for a friend's acknowledgement beyond that; over it the newest of
    each kind waits.
    """
    paths: int = some(4)
    """Direct paths of one friend that are remembered."""
    sharers: int = some(4)
    """Friends that are remembered at one path."""
    cookies: int = some(10)
    """Cookies for strangers at once, and as many in each second; the same again for strangers that come through a
    relay, or from an address of a friend.
    """
    friend_cookies: int = some(10)
    """The same for each friend."""
    seen: int = some(1024)
    """Handshakes that are remembered as long as their cookies live."""
    keys: int = some(1024)
    """Strangers' keys whose agreed keys are remembered."""


RECOVERY_TIMES: Final = RecoveryDelays(
    rto=1.0,
    rto_max=1.0,
    search_max=2.0,
    give_up=60.0,
    retry=2.0,
    candidate=16.0,
    dead=10.0,
    token=12.0,
    rekey=inf,
    session=inf,
    has_hints=False,
    has_moves=False,
    keeps_sessions=True,
)
"""The times of sessions with friends. docs/protocols/tox.rst, restart."""

RECOVERY: Final = RecoveryConfig(
    direct=RECOVERY_TIMES,
    relay=RECOVERY_TIMES,
    limits=RecoveryLimits(candidates_per_peer=4, candidates_per_group=4, peers=16_384),
)
