"""Is a peer still there, now that we slept or moved? docs/protocols/recovery.rst, poke.

:class:`Poke` asks one peer; :class:`Pokes` takes the reports of the host and goes through the peers, whatever they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from enum import Enum
from typing import Annotated, Any, Final, Generic, Protocol, TypeVar

from ..component import Component, Host
from ..contract import Instant
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .host import RecoveryHost
from .limits import RecoveryConfig, RecoveryDelays, growing

K = TypeVar("K", bound=Hashable)


class PokedPeer(Protocol):
    """What a poke asks of its peer."""

    @property
    def times(self) -> RecoveryDelays: ...
    @property
    def can_be_pinged(self) -> bool: ...
    @property
    def poke_after(self) -> float: ...
    def ping(self) -> bytes | None: ...
    def forget_backoffs(self) -> None: ...
    def urge_call(self) -> None: ...


class PokeState(Enum):
    IDLE = 0
    PINGING = 1
    """One of the pings has to be answered."""


class PokeInput:
    POKED = Input[PokeState, None]()
    ANSWERED = Input[PokeState, None]()
    CONFIRMED = Input[PokeState, None]()
    PING_DUE = Input[PokeState, None]()
    PAUSE_OVER = Input[PokeState, None]()


class Poke(Component[PokeState, RecoveryHost]):
    """Pings to one peer, of which one has to be answered: what else comes proves the other direction only."""

    values: tuple[bytes, ...]
    next_poke: Instant
    peer: Annotated[PokedPeer, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: RecoveryHost, peer: PokedPeer) -> None:
        super().__init__(host)
        self.peer, self.values, self.next_poke = peer, (), 0.0

    def is_answered_by(self, value: bytes) -> bool:
        return value in self.values

    # -- conditions and times

    def is_too_soon(self) -> bool:
        return self.host.clock < self.next_poke

    def can_ping(self) -> bool:
        return self.peer.can_be_pinged

    def has_pings(self) -> bool:
        return len(self.values) < self.peer.times.poke_pings

    def until_ping(self) -> float:
        return self.peer.poke_after

    def until_pause_over(self) -> float:
        return self.next_poke - self.host.clock

    # -- actions

    def begin(self) -> None:
        self.next_poke = self.host.clock + self.peer.times.poke_pause
        self.values = ()
        self.peer.forget_backoffs()

    def ping(self) -> None:
        value = self.peer.ping()
        self.values = (*self.values, b"" if value is None else value)

    def urge_call(self) -> None:
        self.peer.urge_call()


_S, _I, _C = PokeState, PokeInput, Poke


class PokeTimer:
    PING = Timer(_I.PING_DUE, _C.until_ping)
    PAUSE = Timer(_I.PAUSE_OVER, _C.until_pause_over)


_T = PokeTimer
_ANY: Final = (_S.IDLE, _S.PINGING)
_POKED: Final = _I.POKED | _I.PAUSE_OVER
_REF: Final = "poke"

POKE: Final = Table[Poke, PokeState](
    Poke,
    PokeInput,
    PokeTimer,
    name="recovery.poke",
    initial=_S.IDLE,
    idle={_S.IDLE: "a report of the host"},
    rows=(
        Row(_ANY, _POKED, None, when=_C.is_too_soon, arm=(_T.PAUSE,), ref=_REF),
        Row(_ANY, _POKED, _S.PINGING, _C.begin, _C.ping, when=_C.can_ping, arm=(_T.PING,), ref=_REF),
        Row(_ANY, _POKED, _S.IDLE, _C.begin, _C.urge_call, cancel=(_T.PING,), ref=_REF),
        Row(_S.PINGING, _I.PING_DUE, None, _C.ping, when=_C.has_pings, arm=(_T.PING,), ref=_REF),
        Row(_S.PINGING, _I.PING_DUE, _S.IDLE, _C.urge_call, ref=_REF),
        Row(_S.PINGING, _I.ANSWERED | _I.CONFIRMED, _S.IDLE, cancel=(_T.PING,), ref=_REF),
        Row(_S.IDLE, _I.ANSWERED | _I.CONFIRMED, None, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)


class PokesOwner(Protocol[K]):
    """What the reports of the host ask of who has the peers."""

    def peer_ids(self) -> Iterable[K]: ...
    def poke_peer(self, key: K, asleep: float) -> None: ...
    def renew_tokens(self) -> None: ...


class PokesState(Enum):
    READY = 0
    PAUSED = 1
    """A report was carried out a moment ago."""
    PAUSED_AGAIN = 2
    """Another one came since: it is carried out when the pause is over."""


class PokesInput:
    REPORTED = Input[PokesState, float]()
    PAUSE_OVER = Input[PokesState, None]()
    SLICE_DUE = Input[PokesState, None]()


class Pokes(Component[PokesState, Host[Any]], Generic[K]):
    """The reports of the host, and the peers, by their keys, that were not looked after yet."""

    asleep: float
    """The longest sleep that was reported and not looked after; 0.0: none."""
    slept: float
    """As the peers that are looked after now are told."""
    done: int
    """Reports that were carried out, one soon after the other."""
    last: Instant
    todo: deque[K]
    owner: Annotated[PokesOwner[K], CACHED]
    config: Annotated[RecoveryConfig, CACHED]

    def __init__(self, host: Host[Any], owner: PokesOwner[K], config: RecoveryConfig) -> None:
        super().__init__(host)
        self.owner, self.config, self.todo = owner, config, deque()
        self.asleep = self.slept = self.last = 0.0
        self.done = 0

    # -- conditions and times

    def has_more(self) -> bool:
        return len(self.todo) > self.config.limits.slice

    def pause(self) -> float:
        return growing(self._done_lately(), self.config.direct)

    def at_once(self) -> float:
        return 0.0

    # -- actions

    def note(self, asleep: float) -> None:
        self.asleep = max(self.asleep, asleep)

    def begin(self) -> None:
        self.done, self.last = self._done_lately() + 1, self.host.clock
        self.slept, self.asleep = self.asleep, 0.0
        if self.slept > 0.0:
            self.owner.renew_tokens()
        waiting = set(self.todo)
        self.todo.extend(key for key in self.owner.peer_ids() if key not in waiting)

    def go_on(self) -> None:
        for _ in range(min(len(self.todo), self.config.limits.slice)):
            self.owner.poke_peer(self.todo.popleft(), self.slept)

    def _done_lately(self) -> int:
        return self.done if self.done and self.host.clock - self.last < self.config.direct.quiet else 0


class PeerPokes(Pokes[bytes]):
    """The same of the core's peers."""


_PS, _PI, _PC = PokesState, PokesInput, Pokes[Any]


class PokesTimer:
    PAUSE = Timer(_PI.PAUSE_OVER, _PC.pause)
    SLICE = Timer(_PI.SLICE_DUE, _PC.at_once)


_PT = PokesTimer
_ANY_PAUSE: Final = (_PS.READY, _PS.PAUSED, _PS.PAUSED_AGAIN)

POKES: Final = Table[Pokes[Any], PokesState](
    Pokes,
    PokesInput,
    PokesTimer,
    name="recovery.pokes",
    initial=_PS.READY,
    idle={_PS.READY: "a report of the host"},
    rows=(
        Row(_PS.READY, _PI.REPORTED, _PS.PAUSED, _PC.note, _PC.begin, arm=(_PT.PAUSE, _PT.SLICE), ref=_REF),
        Row((_PS.PAUSED, _PS.PAUSED_AGAIN), _PI.REPORTED, _PS.PAUSED_AGAIN, _PC.note, ref=_REF),
        Row(_PS.PAUSED, _PI.PAUSE_OVER, _PS.READY, ref=_REF),
        Row(_PS.PAUSED_AGAIN, _PI.PAUSE_OVER, _PS.PAUSED, _PC.begin, arm=(_PT.PAUSE, _PT.SLICE), ref=_REF),
        Row(_ANY_PAUSE, _PI.SLICE_DUE, None, _PC.go_on, when=_PC.has_more, arm=(_PT.SLICE,), ref=_REF),
        Row(_ANY_PAUSE, _PI.SLICE_DUE, None, _PC.go_on, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
