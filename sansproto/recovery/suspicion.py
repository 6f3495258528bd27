"""What hints lead to: a question to the session in use. docs/protocols/recovery.rst, R3 hint."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

from ..component import Component
from ..contract import Instant
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .events import Suspected
from .host import RecoveryHost
from .limits import RecoveryDelays


class SuspectedPeer(Protocol):
    """What a suspicion asks of its peer."""

    key: bytes
    generation: int

    @property
    def times(self) -> RecoveryDelays: ...
    @property
    def probe_after(self) -> float: ...
    def ping(self) -> bytes | None: ...
    def start_call(self) -> None: ...


class SuspicionState(Enum):
    CALM = 0
    SUSPECT = 1
    """A ping under the session in use was not answered yet."""


class SuspicionInput:
    HINTED = Input[SuspicionState, None]()
    ALIVE = Input[SuspicionState, None]()
    CONFIRMED = Input[SuspicionState, None]()
    PROBE_DUE = Input[SuspicionState, None]()


class Suspicion(Component[SuspicionState, RecoveryHost]):
    """Whether a peer may have lost the session in use, and when a hint may say so again."""

    gap: float
    """0.0: as in the beginning."""
    next_hint: Instant
    peer: Annotated[SuspectedPeer, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: RecoveryHost, peer: SuspectedPeer) -> None:
        super().__init__(host)
        self.peer = peer
        self.gap, self.next_hint = 0.0, 0.0

    @property
    def is_open(self) -> bool:
        """Would a hint be heard?"""
        return self.state is SuspicionState.CALM and not self.is_too_soon()

    def forget_hints(self) -> None:
        """The next hint is heard at once."""
        self.gap, self.next_hint = 0.0, self.host.clock

    # -- conditions and times

    def is_too_soon(self) -> bool:
        return self.host.clock < self.next_hint

    def until_judged(self) -> float:
        return self.peer.probe_after

    # -- actions

    def ask(self) -> None:
        times, now = self.peer.times, self.host.clock
        is_long_ago = now - self.next_hint >= times.hint_max
        self.gap = times.hint_min if is_long_ago or not self.gap else min(2 * self.gap, times.hint_max)
        self.next_hint = now + self.gap
        self.peer.ping()
        self.host.tell(Suspected(self.peer.key, self.peer.generation))

    def call(self) -> None:
        self.peer.start_call()


_S, _I, _C = SuspicionState, SuspicionInput, Suspicion


class SuspicionTimer:
    PROBE = Timer(_I.PROBE_DUE, _C.until_judged)


_T = SuspicionTimer
_REF: Final = "R3 hint"

SUSPICION: Final = Table[Suspicion, SuspicionState](
    Suspicion,
    SuspicionInput,
    SuspicionTimer,
    name="recovery.suspicion",
    initial=_S.CALM,
    idle={_S.CALM: "a hint"},
    rows=(
        Row(_S.CALM, _I.HINTED, None, when=_C.is_too_soon, ref=_REF),
        Row(_S.CALM, _I.HINTED, _S.SUSPECT, _C.ask, arm=(_T.PROBE,), ref=_REF),
        Row(_S.SUSPECT, _I.HINTED, None, ref=_REF),
        Row(_S.SUSPECT, _I.ALIVE | _I.CONFIRMED, _S.CALM, cancel=(_T.PROBE,), ref=_REF),
        Row(_S.CALM, _I.ALIVE | _I.CONFIRMED, None, ref=_REF),
        Row(_S.SUSPECT, _I.PROBE_DUE, _S.CALM, _C.call, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
