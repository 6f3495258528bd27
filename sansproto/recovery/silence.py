"""How long a session may be silent, and how long we may be. docs/protocols/recovery.rst, silence."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

from ..component import Component
from ..contract import Instant
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .host import RecoveryHost
from .limits import RecoveryDelays

_PARTS: Final = 6
"""The time of silence has so many parts."""
_FIRST: Final = 2
"""After so many of them the first ping is sent, and then one after each."""


class WatchedSession(Protocol):
    """What silence asks of its session."""

    @property
    def is_in_use(self) -> bool: ...
    @property
    def times(self) -> RecoveryDelays: ...
    @property
    def dead_after(self) -> float: ...
    def ping(self) -> bytes: ...
    def send_keepalive(self) -> None: ...
    def call_anew(self) -> None: ...
    def take_back_call(self) -> None: ...


class SilenceState(Enum):
    RESTING = 0
    WATCHING = 1
    """The timer runs: it is set once, and looks then what has happened since."""


_RESTING: Final = SilenceState.RESTING  # looked up once: each packet asks for it


class SilenceInput:
    AWAITS = Input[SilenceState, None]()
    MEASURED = Input[SilenceState, None]()
    STOP = Input[SilenceState, None]()
    DUE = Input[SilenceState, None]()


class Silence(Component[SilenceState, RecoveryHost]):
    """The peer's silence in a session: since our first packet that should be answered, and was not."""

    since: Instant | None
    pings: int
    has_called: bool
    """It had no end, so the peer is called."""
    session: Annotated[WatchedSession, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: RecoveryHost, session: WatchedSession) -> None:
        super().__init__(host)
        self.session, self.since, self.pings, self.has_called = session, None, 0, False

    def await_answer(self) -> None:
        """A packet was sent that should be answered."""
        if self.since is None:
            self.since = self.host.clock
        self.watch()

    def watch(self) -> None:
        """If something was sent that should be answered, wait for that."""
        if self.state is _RESTING and self.since is not None and self.session.is_in_use:
            self.post(SilenceInput.AWAITS())

    def end(self) -> None:
        """Something came in the session."""
        self.since, self.pings = None, 0
        if self.has_called:
            self.has_called = False
            self.session.take_back_call()

    def begin_anew(self) -> None:
        """The call for it came to nothing: the next packet that should be answered counts."""
        self.since, self.pings = None, 0

    def look_sooner(self) -> None:
        """The round trip was measured, and with it how long silence may last."""
        if self.state is SilenceState.WATCHING:
            self.post(SilenceInput.MEASURED())

    # -- conditions and times

    def is_over(self) -> bool:
        return self.since is None

    def is_early(self) -> bool:
        return self.until_due() > 0.0

    def may_ping(self) -> bool:
        return self.session.times.has_pings and self.pings < _PARTS - _FIRST

    def until_due(self) -> float:
        """Until the next ping, or the end of patience."""
        parts = _FIRST + self.pings if self.session.times.has_pings else _PARTS
        since = self.host.clock if self.since is None else self.since
        return since + self.session.dead_after * parts / _PARTS - self.host.clock

    def until_next(self) -> float:
        """The same behind one ping more."""
        return self.until_due() + self.session.dead_after / _PARTS

    # -- actions

    def ask(self) -> None:
        self.pings += 1
        self.session.ping()

    def give_up(self) -> None:
        self.has_called = True
        self.session.call_anew()


_S, _I, _C = SilenceState, SilenceInput, Silence


class SilenceTimer:
    FIRST = Timer(_I.DUE, _C.until_due)
    NEXT = Timer(_I.DUE, _C.until_next)


_T = SilenceTimer
_REF: Final = "silence"

SILENCE: Final = Table[Silence, SilenceState](
    Silence,
    SilenceInput,
    SilenceTimer,
    name="recovery.silence",
    initial=_S.RESTING,
    idle={_S.RESTING: "a packet that should be answered"},
    rows=(
        Row(_S.RESTING, _I.AWAITS, _S.WATCHING, arm=(_T.FIRST,), ref=_REF),
        Row(_S.WATCHING, _I.AWAITS, None, ref=_REF),
        Row(_S.WATCHING, _I.MEASURED, None, cancel=(_T.NEXT,), arm=(_T.FIRST,), ref=_REF),
        Row(_S.WATCHING, _I.DUE, _S.RESTING, when=_C.is_over, ref=_REF),
        Row(_S.WATCHING, _I.DUE, None, when=_C.is_early, arm=(_T.FIRST,), ref=_REF),
        Row(_S.WATCHING, _I.DUE, None, _C.ask, when=_C.may_ping, arm=(_T.NEXT,), ref=_REF),
        Row(_S.WATCHING, _I.DUE, _S.RESTING, _C.give_up, ref=_REF),
        Row((_S.RESTING, _S.WATCHING), _I.STOP, _S.RESTING, cancel=(_T.FIRST, _T.NEXT), ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)


class DebtState(Enum):
    NONE = 0
    OWING = 1
    """The timer runs: it is set once, and looks then what has happened since."""


_NONE: Final = DebtState.NONE  # looked up once: each packet asks for it


class DebtInput:
    OWES = Input[DebtState, None]()
    STOP = Input[DebtState, None]()
    DUE = Input[DebtState, None]()


class Debt(Component[DebtState, RecoveryHost]):
    """Our own silence in a session: since the first packet of the peer that should be answered, and was not."""

    since: Instant | None
    session: Annotated[WatchedSession, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: RecoveryHost, session: WatchedSession) -> None:
        super().__init__(host)
        self.session, self.since = session, None

    def owe(self) -> None:
        """A packet came that should be answered by something."""
        if self.since is None:
            self.since = self.host.clock
            if self.state is _NONE:
                self.post(DebtInput.OWES())

    def pay(self) -> None:
        """Something was sent."""
        self.since = None

    # -- conditions and times

    def is_paid(self) -> bool:
        return self.since is None

    def is_early(self) -> bool:
        return self.until_due() > 0.0

    def until_due(self) -> float:
        since = self.host.clock if self.since is None else self.since
        return since + self.session.times.keepalive - self.host.clock

    # -- actions

    def send(self) -> None:
        self.session.send_keepalive()


_DS, _DI, _D = DebtState, DebtInput, Debt


class DebtTimer:
    KEEPALIVE = Timer(_DI.DUE, _D.until_due)


_DT = DebtTimer
_KEEPALIVE: Final = "R2 data"

DEBT: Final = Table[Debt, DebtState](
    Debt,
    DebtInput,
    DebtTimer,
    name="recovery.debt",
    initial=_DS.NONE,
    idle={_DS.NONE: "a packet that should be answered"},
    rows=(
        Row(_DS.NONE, _DI.OWES, _DS.OWING, arm=(_DT.KEEPALIVE,), ref=_KEEPALIVE),
        Row(_DS.OWING, _DI.OWES, None, ref=_KEEPALIVE),
        Row(_DS.OWING, _DI.DUE, _DS.NONE, when=_D.is_paid, ref=_KEEPALIVE),
        Row(_DS.OWING, _DI.DUE, None, when=_D.is_early, arm=(_DT.KEEPALIVE,), ref=_KEEPALIVE),
        Row(_DS.OWING, _DI.DUE, _DS.NONE, _D.send, ref=_KEEPALIVE),
        Row((_DS.NONE, _DS.OWING), _DI.STOP, _DS.NONE, cancel=(_DT.KEEPALIVE,), ref=_KEEPALIVE),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
