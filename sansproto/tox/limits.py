"""How much and how long: what every machine of Tox may use. Times are seconds, sizes packets unless said otherwise."""

from __future__ import annotations

from typing import Final

import attrs

from ..limits import seconds, some
from ..links import LinkDelays, LinkLimits
from ..recovery import RecoveryConfig, RecoveryDelays, RecoveryLimits
from .windows import SIZE

_YEARS: Final = 1e9
"""Sessions of Tox have no age."""


@attrs.frozen(kw_only=True)
class NodeDelays(LinkDelays):
    """A node's times, besides those of its recovery."""

    cookie: float = seconds(15.0)
    """The life of a cookie, in whole seconds of the clock."""
    repeat: float = seconds(1.0)
    """The least between two answers to a handshake that comes again."""
    request: float = seconds(1.0)
    """Between two lists of missing packets while something was sent that is not acknowledged."""
    acknowledge: float = seconds(0.05)
    """From a lossless packet to the earliest list of missing packets, which acknowledges it."""
    quiet: float = seconds(4.0)
    """The longest time in which nothing is sent in a session."""
    alive: float = seconds(8.0)
    """Between two signs of life for the friend's program."""
    silent: float = seconds(32.0)
    """How long nothing may come from a friend before its session ends."""
    direct: float = seconds(8.0)
    """How long nothing may come by the direct path before relays are used."""
    probe: float = seconds(4.0)
    """Between two tries of a direct path by which nothing comes."""
    farewell: float = seconds(1.5)
    """From close until the end: friends are told twice that their sessions end."""


@attrs.frozen(kw_only=True)
class NodeLimits(LinkLimits):
    """A node's bounds, besides those of its recovery."""

    links: int = some(96)
    """Streams at once."""
    events: int = some(4096)
    """Events that are not yet popped: over it what arrives is dropped, and relays are not read."""
    outbox: int = some(1024)
    """Datagrams that are not yet taken: over it nothing is sent, and what arrives is dropped."""
    friends: int = some(16_384)
    """Friends at once."""
    queue: int = some(256)
    """Packets of one friend that wait until they may be sent."""
    window: int = attrs.field(default=SIZE, validator=[attrs.validators.ge(1), attrs.validators.le(SIZE)])
    """Packets to one friend that may wait for acknowledgement."""
    paths: int = some(4)
    """Direct paths of one friend that are remembered."""
    sharers: int = some(4)
    """Friends that are remembered at one path."""
    cookies: int = some(10)
    """Cookies for strangers at once, and as many in each second after that."""
    friend_cookies: int = some(10)
    """The same for each friend."""
    seen: int = some(1024)
    """Handshakes that are remembered as long as their cookies live."""
    keys: int = some(1024)
    """Strangers' keys whose agreed keys are remembered."""


RECOVERY_TIMES: Final = RecoveryDelays(
    rto=1.0,
    rto_max=2.0,
    give_up=60.0,
    retry=2.0,
    candidate=16.0,
    dead=10.0,
    token=12.0,
    rekey=_YEARS,
    session=2 * _YEARS,
    has_hints=False,
    has_moves=False,
)
"""The times of sessions with friends. docs/protocols/tox.rst, restart."""

RECOVERY: Final = RecoveryConfig(
    direct=RECOVERY_TIMES,
    relay=RECOVERY_TIMES,
    limits=RecoveryLimits(candidates_per_peer=4, candidates_per_group=4, peers=16_384),
)
