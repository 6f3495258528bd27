"""How long and how much: what the recovery core may use, as profiles. docs/protocols/recovery.rst, times and limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from math import inf
from typing import Final, TypeAlias, TypeVar

import attrs

from ..limits import seconds, some

_ANSWER_PAUSE: Final = 5.0


@attrs.frozen(kw_only=True)
class RecoveryDelays:
    """A profile: the times of one kind of route. Raises ValueError for times that do not fit each other.

    The defaults are those of direct datagrams; :meth:`relay` gives those of a relay that is polled.
    """

    round_trip: float = seconds(0.5)
    """The longest round trip that these times are made for."""
    rto: float = seconds(1.0)
    """Until an Init or a confirm is sent again; doubled each time."""
    rto_max: float = seconds(5.0)
    """The most between two of them."""
    search_max: float = attrs.field(default=0.0, validator=attrs.validators.ge(0.0))
    """The same for Inits to a peer that has not answered at all; 0: as ``rto_max``."""
    give_up: float = seconds(90.0)
    """After this time without an answer to a handshake, the peer is unreachable."""
    retry: float = seconds(30.0)
    """Until an unreachable peer is called again on the same route."""
    candidate: float = seconds(20.0)
    """The life of a session that was not confirmed."""
    crossing: float = seconds(5.0)
    """How long a handshake of ours outranks one of the peer."""
    keepalive: float = seconds(5.0)
    """After this time in which data came and nothing was sent, a keepalive is sent."""
    dead: float = seconds(15.0)
    """Silence after which the peer is called, while no round trip was measured."""
    dead_min: float = seconds(3.0)
    """The least of that time once round trips were measured."""
    dead_max: float = seconds(30.0)
    """The most of that time once round trips were measured."""
    probe: float = seconds(2.0)
    """How long the answer to a ping may take while no round trip was measured; later the minimum of that time."""
    hint_min: float = seconds(5.0)
    """Between two hints that cause a ping, at first; doubled each time."""
    hint_max: float = seconds(60.0)
    """The most between two of them."""
    previous: float = seconds(60.0)
    """How long a session that was replaced is open for receiving."""
    token: float = seconds(30.0)
    """The life of the token in a challenge."""
    future: float = seconds(300.0)
    """How far ahead of our wall clock a stamp may be without proof."""
    rekey: float = attrs.field(default=120.0, validator=attrs.validators.gt(0))
    """The age at which the initiator of a session calls anew; the other end waits a quarter longer."""
    session: float = attrs.field(default=180.0, validator=attrs.validators.gt(0))
    """The age at which a session ends; with both infinite it has no age."""
    contest: float = seconds(10.0)
    """How long nothing may come from a route that answers, before another one that was validated takes its place."""
    challenge: float = seconds(0.3)
    """The least between two challenges to the same route."""
    poke: float = seconds(0.5)
    """The minimum between two pings after a change of network."""
    poke_pause: float = attrs.field(default=0.0, validator=attrs.validators.ge(0.0))
    """The least between two of these rounds with one peer; 0: as often as the host reports."""
    quiet: float = seconds(60.0)
    """After this time without a report of the host, the pauses between the rounds begin anew."""
    flap_window: float = seconds(60.0)
    """The time in which alternations between two processes of one peer are counted."""
    flap_delay: float = seconds(1.0)
    """How long a process that came back too often is ignored; doubled each time."""
    flap_delay_max: float = seconds(60.0)
    """The maximum of that."""
    notice: float = seconds(60.0)
    """Between two events of one kind about the same peer or route, if anybody can cause such events."""
    poke_pings: int = some(4)
    """Pings to each peer after a change of network."""
    has_hints: bool = True
    """Whether hints are sent and heard."""
    has_pings: bool = True
    """Whether the time of silence is measured, with pings of its own."""
    keeps_sessions: bool = False
    """Whether a call for silence is taken back when the session in use turns out to be alive, and nothing has answered
    the call: a session that is replaced costs more than one that was silent for a while."""
    has_moves: bool = True
    """Whether a peer can be followed to another route by its packets."""

    def __attrs_post_init__(self) -> None:
        _check(self, DELAY_RULES)

    @classmethod
    def relay(cls, poll: float = 60.0) -> RecoveryDelays:
        """The times for a relay that each end polls every ``poll`` seconds."""
        rto, rto_max, dead = 2 * poll + 10, 4 * poll + 20, 6 * poll + 40
        return cls(
            round_trip=2 * poll,
            rto=rto,
            rto_max=rto_max,
            give_up=max(30 * poll, 1.4 * (rto + 4 * rto_max)),
            retry=10 * poll,
            candidate=max(10 * poll, 2 * rto_max),
            crossing=rto_max,
            keepalive=poll + 10,
            dead=dead,
            dead_min=dead,
            dead_max=dead,
            probe=rto,
            previous=max(20 * poll, dead + 3 * rto_max + 20),
            token=10 * poll,
            future=86_400.0,
            rekey=max(40_000.0, 24 * rto_max),
            session=max(60_000.0, 40 * rto_max),
            poke_pause=rto,
            poke_pings=1,
            has_hints=False,
            has_pings=False,
            has_moves=False,
        )

    @property
    def tries(self) -> int:
        """How often an Init is sent before the peer is given up, with the longest random pauses."""
        sent, at, pause = 1, 0.0, self.rto
        while sent < 64 and (at := at + 1.3 * pause) < self.give_up:
            sent, pause = sent + 1, min(2 * pause, self.rto_max)
        return sent

    @property
    def answers_a_minute(self) -> int:
        """How often a closed session answers in the first minute, to one route."""
        sent, at = 1, 0.0
        while sent < 64 and (at := at + answer_pause(sent - 1, self)) <= 60.0:
            sent += 1
        return sent


def growing(done: int, times: RecoveryDelays) -> float:
    """The pause behind the first, second, third ... of a kind: doubled each time, up to a bound."""
    return min(times.rto * float(2 ** min(done, 16)), times.rto_max)


def answer_pause(done: int, times: RecoveryDelays) -> float:
    """The same for the answers of a closed session, which may come to somebody who did not ask for them."""
    return min(times.rto * float(2 ** min(done, 16)), max(times.rto_max, _ANSWER_PAUSE))


@attrs.frozen(kw_only=True)
class RecoveryLimits:
    """How much. Rates are per second. Raises ValueError for limits that do not fit each other."""

    peers: int = some(1024)
    """Peers at once. Of those that come by themselves a group of routes gets a quarter of what is left."""
    queue: int = some(256)
    """Packets that wait for one peer while it has no session."""
    previous: int = some(2)
    """Sessions of one peer that were replaced and are still open for receiving."""
    candidates: int = some(64, least=2)
    """Unconfirmed sessions that peers began, of all peers."""
    candidates_per_peer: int = some(2)
    """The same, of one peer."""
    candidates_per_group: int = some(8)
    """The same, of peers of one group of routes that never had a confirmed session."""
    own_candidates: int = some(2)
    """Unconfirmed sessions that we began with one peer."""
    attempts: int = some(3, least=2)
    """Inits of one handshake that may still be answered."""
    init_rate: float = seconds(20.0)
    """Inits that are opened, of all; those with proof, and those without, each."""
    init_burst: int = some(20)
    """The same, at once."""
    group_rate: float = seconds(2.0)
    """Inits that are opened, from one group of routes."""
    group_burst: int = some(8)
    """The same, at once."""
    reply_rate: float = seconds(200.0)
    """Replies that are opened, of all."""
    reply_burst: int = some(200)
    """The same, at once."""
    peer_reply_rate: float = seconds(20.0)
    """Replies of one peer that are opened."""
    peer_reply_burst: int = some(40)
    """The same, at once."""
    hint_rate: float = seconds(10.0)
    """Hints that are sent, to all."""
    hint_burst: int = some(10)
    """The same, at once."""
    group_hint_rate: float = seconds(1.0)
    """Hints that are sent to one group of routes, and more while half of those for all are left."""
    group_hint_burst: int = some(4)
    """The same, at once."""
    groups: int = some(1024)
    """Groups of routes that are remembered: over it the one that was used least lately is forgotten."""
    tombstones: int = some(256)
    """Closed sessions that are remembered."""
    tombstones_per_peer: int = some(6)
    """The same, of one peer."""
    said: int = some(1024)
    """Peers to which we said goodbye; they are not let in again when they call."""
    said_instances: int = some(4)
    """Instances of each of them."""
    routes: int = some(4)
    """Routes of one peer whose challenges and pauses are remembered."""
    challenge_rate: float = seconds(20.0)
    """Routes of one peer that are challenged; the fewer are left, the more of them are left out, at random."""
    challenge_burst: int = some(40)
    """The same, at once."""
    same_sid: int = some(8)
    """Sessions with the same remote id that a hint is compared with."""
    same_route: int = some(8)
    """Peers on the same route that are asked at once whether they are still there."""
    pings: int = some(8)
    """Pings of one session that wait for their answer."""
    flaps: int = some(4)
    """Alternations between processes of one peer within ``flap_window``; over it one of them is ignored for some time.
    """
    processes: int = some(4)
    """Processes of one peer that are remembered."""
    notices: int = some(256)
    """Peers and routes about which events came lately."""
    window: int = some(8192)
    """How far behind the highest counter a packet may be."""
    rekey_packets: int = some(1 << 60)
    """Packets after which a session is replaced."""
    packets: int = some((1 << 64) - (1 << 13) - 1)
    """Packets of a session; counters from this one on are not accepted."""
    reserve: int = some(1 << 16)
    """Counters that a saved record skips, and that a session may use until it is saved again."""
    slice: int = some(64)
    """Peers that one call processes."""

    def __attrs_post_init__(self) -> None:
        _check(self, LIMIT_RULES)


T = TypeVar("T")

Rules: TypeAlias = Mapping[str, Callable[[T], bool]]
"""What has to hold, in words, and whether it does."""

DELAY_RULES: Final[Rules[RecoveryDelays]] = {
    "``round_trip`` < ``rto`` <= ``rto_max``": lambda d: d.round_trip < d.rto <= d.rto_max,
    "``give_up`` holds 12 ``rto_max``, or 6 tries": lambda d: d.give_up >= 12 * d.rto_max or d.tries >= 6,
    "``candidate`` >= 4 ``rto_max``, over a relay 2": lambda d: d.candidate >= (4 if d.has_moves else 2) * d.rto_max,
    "``crossing`` >= ``rto_max``": lambda d: d.crossing >= d.rto_max,
    "``dead_min`` <= ``dead`` <= ``dead_max``": lambda d: d.dead_min <= d.dead <= d.dead_max,
    "``dead_min`` >= 6 ``round_trip``, if it is measured": lambda d: not d.has_pings or d.dead_min >= 6 * d.round_trip,
    "``dead`` > ``round_trip``": lambda d: d.dead > d.round_trip,
    "``probe`` > ``round_trip``": lambda d: d.probe > d.round_trip,
    "``probe`` <= ``hint_min`` <= ``hint_max``, if there are hints": lambda d: (
        not d.has_hints or d.probe <= d.hint_min <= d.hint_max
    ),
    "``previous`` > ``dead_max`` + 3 ``rto_max``": lambda d: d.previous > d.dead_max + 3 * d.rto_max,
    "``token`` >= 2 ``round_trip``": lambda d: d.token >= 2 * d.round_trip,
    "``session`` > 1.25 ``rekey``, or both are infinite": lambda d: d.session > 1.25 * d.rekey or d.rekey == inf,
    "``session`` >= ``rekey`` + 12 ``rto_max``": lambda d: d.session >= d.rekey + 12 * d.rto_max,
    "``contest`` > ``keepalive``, if peers move": lambda d: not d.has_moves or d.contest > d.keepalive,
    "``flap_delay`` <= ``flap_delay_max``": lambda d: d.flap_delay <= d.flap_delay_max,
    "a closed session answers at most 14 times a minute on one route": lambda d: d.answers_a_minute <= 14,
}

LIMIT_RULES: Final[Rules[RecoveryLimits]] = {
    "``tombstones_per_peer`` >= 1 + ``previous`` + ``own_candidates``": lambda limits: (
        limits.tombstones_per_peer >= 1 + limits.previous + limits.own_candidates
    ),
    "``tombstones`` >= ``tombstones_per_peer``": lambda limits: limits.tombstones >= limits.tombstones_per_peer,
    "``candidates`` >= ``candidates_per_peer``": lambda limits: limits.candidates >= limits.candidates_per_peer,
    "``rekey_packets`` < ``packets`` < 2^64": lambda limits: limits.rekey_packets < limits.packets < 1 << 64,
}


def _check(values: T, rules: Rules[T]) -> None:
    for rule, holds in rules.items():
        if not holds(values):
            raise ValueError(f"not so: {rule}")


class OnConflict(Enum):
    """What is done when a peer is confirmed on exactly the route of another one."""

    COEXIST = 0
    """Both stay; the older one is given up if it does not answer pings and then a handshake."""
    REFUSE = 1
    """The new one is turned away as long as the older one is not given up."""
    REPLACE = 2
    """As COEXIST, but the older one is given up if it does not answer pings."""


DIRECT: Final = RecoveryDelays()
RELAY: Final = RecoveryDelays.relay()


@attrs.frozen(kw_only=True)
class RecoveryConfig:
    """All that can be set of a core."""

    direct: RecoveryDelays = DIRECT
    """The times for peers on direct routes."""
    relay: RecoveryDelays = RELAY
    """The times for peers on relayed routes."""
    limits: RecoveryLimits = RecoveryLimits()
    """The limits on numbers and rates."""
    on_conflict: OnConflict = OnConflict.COEXIST
    """What happens if two peers are on one route."""
    unlinkable: bool = False
    """After a change of network nothing is sent under old sessions: a handshake comes first."""
