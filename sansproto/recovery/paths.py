"""Following a peer that moves, and nobody else. docs/protocols/recovery.rst, R10 paths."""

from __future__ import annotations

from enum import Enum
from hmac import compare_digest
from typing import Annotated, Final, Protocol

from ..component import Component
from ..contract import Instant
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..rates import Level, Rate, keep_newest
from ..snapshot import CACHED
from .calls import quietly
from .host import RecoveryHost
from .items import Route
from .limits import RecoveryConfig, RecoveryDelays

LEAST_SIZE: Final = 42
"""Bytes of a packet that may nominate a route: those of a challenge."""


class MovingPeer(Protocol):
    """What the routes of a peer ask of it."""

    key: bytes
    route: Route | None

    @property
    def times(self) -> RecoveryDelays: ...
    @property
    def probe_after(self) -> float: ...
    @property
    def pto(self) -> float: ...
    def challenge(self, value: bytes, route: Route) -> None: ...
    def move(self, route: Route, seconds: float) -> None: ...


class PathsOwner(Protocol):
    """What the routes of a peer ask of the core."""

    config: RecoveryConfig
    path_secret: bytes


class PathsState(Enum):
    STEADY = 0
    CHECKING = 1
    """The route in use was challenged."""
    DOUBTFUL = 2
    """It did not answer in time: another route has to be validated now."""


class PathsInput:
    NOMINATED = Input[PathsState, Route]()
    ANSWERED = Input[PathsState, None]()
    VALIDATED = Input[PathsState, Route]()
    CHECK_DUE = Input[PathsState, None]()


class Paths(Component[PathsState, RecoveryHost]):
    """Routes that a peer's packets nominated. While another one is validated, what is sent goes there, too."""

    challenged: dict[Route, Instant]
    budget: Level
    """Of challenges to routes that packets nominated."""
    other: Route | None
    """The route that was validated last beside the one in use."""
    seconds: float
    """How long it took to answer its challenge."""
    validated: Instant
    checked: Instant | None
    """When the route in use was challenged."""
    seen: Instant
    """When something recent came from the route in use."""
    core: Annotated[PathsOwner, CACHED]
    peer: Annotated[MovingPeer, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: RecoveryHost, core: PathsOwner, peer: MovingPeer) -> None:
        super().__init__(host)
        self.core, self.peer = core, peer
        self.challenged, self.other = {}, None
        self.seconds, self.validated, self.checked, self.seen = 0.0, 0.0, None, 0.0
        self.budget = Level(core.config.limits.challenge_burst, host.clock)

    # -- what others ask of it

    def also(self) -> Route | None:
        """Where everything that goes to the route in use goes, too."""
        if self.other is not None and self.host.clock - self.validated >= 2 * self.peer.probe_after:
            self.other = None
        return self.other

    def settle(self) -> None:
        """The peer's route was set anew."""
        self.seen, self.other = self.host.clock, None

    def note(self, route: Route, size: int) -> None:
        """A packet came that only the peer can have sent lately."""
        if route == self.peer.route:
            self.seen = self.host.clock
        elif size >= LEAST_SIZE and route.reply:
            self.nominate(route)

    def nominate(self, route: Route) -> None:
        """The peer may be at this route."""
        current = self.peer.route
        if current is not None and not route.relayed and not current.relayed and route != current:
            self.post(PathsInput.NOMINATED(route))

    def judge(self, value: bytes, route: Route) -> None:
        """A response came, from wherever: it counts for the route that its challenge was sent to."""
        current = self.peer.route
        known: list[Route] = [*self.challenged, route, *([] if current is None else [current])]
        for one in dict.fromkeys(known):
            if self._is_value_of(value, one):
                self.post(PathsInput.ANSWERED() if one == current else PathsInput.VALIDATED(one))

    # -- conditions and times

    def is_checked_lately(self) -> bool:
        return self.checked is not None and self.host.clock - self.checked < self._pause()

    def is_left(self) -> bool:
        """Did the route in use bring nothing for long, although it answers?"""
        return self.host.clock - self.seen > self.peer.times.contest

    def is_left_for_other(self) -> bool:
        return self.is_left() and self.also() is not None

    def has_other(self) -> bool:
        """Was another one validated since the route in use was challenged?"""
        return self.also() is not None and self.checked is not None and self.validated >= self.checked

    def until_checked(self) -> float:
        return self.peer.probe_after

    # -- actions

    def challenge(self, route: Route) -> None:
        now, before = self.host.clock, self.challenged.get(route)
        is_due = before is None or now - before >= self._pause()
        if is_due and self._is_admitted():
            self.budget.take(self._rate(), now)
            keep_newest(self.challenged, route, now, self.core.config.limits.routes)
            self._ask(route)

    def check(self) -> None:
        """Challenge the route in use."""
        current = self.peer.route
        assert current is not None  # or no other one is nominated
        self.checked = self.host.clock
        self._ask(current)

    def take_in(self, route: Route) -> None:
        """The shortest time counts: a copy of the response may come at any time."""
        now = self.host.clock
        seconds = now - self.challenged.get(route, now)
        self.seconds = min(self.seconds, seconds) if route == self.other else seconds
        self.other, self.validated = route, now

    def move(self) -> None:
        """The other route is the one in use from now on."""
        route = self.other
        assert route is not None
        self.settle()
        self.peer.move(route, self.seconds)

    # -- inside

    def _pause(self) -> float:
        """Between two challenges to the same route: so often that it stays validated, whatever the round trip."""
        return max(self.peer.times.challenge, min(2 * self.peer.pto, self.peer.probe_after))

    def _rate(self) -> Rate:
        limits = self.core.config.limits
        return Rate(limits.challenge_rate, limits.challenge_burst)

    def _is_admitted(self) -> bool:
        """Who is first must not be who is always admitted: the others would never be challenged."""
        share = self.budget.share(self._rate(), self.host.clock)
        return share >= 1.0 or int.from_bytes(self.host.draw(2, "recovery.admission"), "little") < share * 65536

    def _epoch(self) -> int:
        return int(self.host.clock * 1000) // int(2 * self.core.config.direct.probe * 1000)

    def _ask(self, route: Route) -> None:
        value = self._value(route, self._epoch())
        if value is not None:
            self.peer.challenge(value, route)

    def _value(self, route: Route, epoch: int) -> bytes | None:
        secret, key = self.core.path_secret, self.peer.key
        return quietly(self.host.path_value, secret, key, epoch % (1 << 64), route)

    def _is_value_of(self, value: bytes, route: Route) -> bool:
        epoch = self._epoch()
        values = [self._value(route, one) for one in (epoch, epoch - 1)]
        return sum(compare_digest(value, one) for one in values if one is not None) > 0


_S, _I, _C = PathsState, PathsInput, Paths


class PathsTimer:
    CHECK = Timer(_I.CHECK_DUE, _C.until_checked)


_T = PathsTimer
_OPEN: Final = (_S.CHECKING, _S.DOUBTFUL)
_REF: Final = "R10 paths"

PATHS: Final = Table[Paths, PathsState](
    Paths,
    PathsInput,
    PathsTimer,
    name="recovery.paths",
    initial=_S.STEADY,
    idle={_S.STEADY: "a packet from another route"},
    rows=(
        Row(_S.STEADY, _I.NOMINATED, None, _C.challenge, when=_C.is_checked_lately, ref=_REF),
        Row(_S.STEADY, _I.NOMINATED, _S.CHECKING, _C.challenge, _C.check, arm=(_T.CHECK,), ref=_REF),
        Row(_OPEN, _I.NOMINATED, None, _C.challenge, ref=_REF),
        Row(_OPEN, _I.ANSWERED, _S.STEADY, _C.move, when=_C.is_left_for_other, cancel=(_T.CHECK,), ref=_REF),
        Row(_OPEN, _I.ANSWERED, _S.STEADY, cancel=(_T.CHECK,), ref=_REF),
        Row(_S.STEADY, _I.ANSWERED, None, ref=_REF),
        Row(_S.STEADY, _I.VALIDATED, None, _C.take_in, _C.move, when=_C.is_left, ref=_REF),
        Row((_S.STEADY, _S.CHECKING), _I.VALIDATED, None, _C.take_in, ref=_REF),
        Row(_S.DOUBTFUL, _I.VALIDATED, _S.STEADY, _C.take_in, _C.move, cancel=(_T.CHECK,), ref=_REF),
        Row(_S.CHECKING, _I.CHECK_DUE, _S.STEADY, _C.move, when=_C.has_other, ref=_REF),
        Row(_S.CHECKING, _I.CHECK_DUE, _S.DOUBTFUL, arm=(_T.CHECK,), ref=_REF),
        Row(_S.DOUBTFUL, _I.CHECK_DUE, _S.STEADY, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
