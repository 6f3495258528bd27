"""Another identity was confirmed on a peer's route. docs/protocols/recovery.rst, R11 same route."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

from ..component import Component
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .host import RecoveryHost
from .limits import OnConflict, RecoveryConfig

_TRIES: Final = 3


class ContestedPeer(Protocol):
    """What a conflict asks of the peer whose route it is about."""

    @property
    def probe_after(self) -> float: ...
    def ping(self) -> bytes | None: ...
    def start_call(self) -> None: ...
    def be_lost(self, other: bytes) -> None: ...


class ConflictOwner(Protocol):
    """What a conflict asks of the core."""

    config: RecoveryConfig


class ConflictState(Enum):
    NONE = 0
    ASKING = 1
    """The peer is pinged."""
    CALLING = 2
    """It did not answer: it is called."""


class ConflictInput:
    CONTESTED = Input[ConflictState, bytes]()
    ALIVE = Input[ConflictState, None]()
    CONFIRMED = Input[ConflictState, None]()
    UNREACHED = Input[ConflictState, None]()
    PROBE_DUE = Input[ConflictState, None]()


class Conflict(Component[ConflictState, RecoveryHost]):
    """Whether a peer is still there although its route is another one's, too."""

    other: bytes
    tries: int
    core: Annotated[ConflictOwner, CACHED]
    peer: Annotated[ContestedPeer, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: RecoveryHost, core: ConflictOwner, peer: ContestedPeer) -> None:
        super().__init__(host)
        self.core, self.peer, self.other, self.tries = core, peer, b"", 0

    def may_try(self) -> bool:
        return self.tries < _TRIES

    def is_replaced(self) -> bool:
        return self.core.config.on_conflict is OnConflict.REPLACE

    def until_probe(self) -> float:
        """Twice as long each time."""
        return self.peer.probe_after * float(2**self.tries)

    def first_probe(self) -> float:
        return self.peer.probe_after

    def begin(self, other: bytes) -> None:
        self.other, self.tries = other, 0
        self.ask()

    def ask(self) -> None:
        self.tries += 1
        self.peer.ping()

    def call(self) -> None:
        self.peer.start_call()

    def be_lost(self) -> None:
        self.peer.be_lost(self.other)


_S, _I, _C = ConflictState, ConflictInput, Conflict


class ConflictTimer:
    PROBE = Timer(_I.PROBE_DUE, _C.first_probe)
    PROBE_LONGER = Timer(_I.PROBE_DUE, _C.until_probe)


_T = ConflictTimer
_PROBES: Final = (_T.PROBE, _T.PROBE_LONGER)
_REF: Final = "R11 same route"

CONFLICT: Final = Table[Conflict, ConflictState](
    Conflict,
    ConflictInput,
    ConflictTimer,
    name="recovery.conflict",
    initial=_S.NONE,
    idle={_S.NONE: "another identity on the route", _S.CALLING: "the end of the call"},
    rows=(
        Row(_S.NONE, _I.CONTESTED, _S.ASKING, _C.begin, arm=(_T.PROBE,), ref=_REF),
        Row((_S.ASKING, _S.CALLING), _I.CONTESTED, None, ref=_REF),
        Row(_S.ASKING, _I.PROBE_DUE, None, _C.ask, when=_C.may_try, arm=(_T.PROBE_LONGER,), ref=_REF),
        Row(_S.ASKING, _I.PROBE_DUE, _S.NONE, _C.be_lost, when=_C.is_replaced, ref=_REF),
        Row(_S.ASKING, _I.PROBE_DUE, _S.CALLING, _C.call, ref=_REF),
        Row(_S.CALLING, _I.UNREACHED, _S.NONE, _C.be_lost, ref=_REF),
        Row((_S.NONE, _S.ASKING), _I.UNREACHED, None, ref=_REF),
        Row((_S.ASKING, _S.CALLING), _I.ALIVE | _I.CONFIRMED, _S.NONE, cancel=_PROBES, ref=_REF),
        Row(_S.NONE, _I.ALIVE | _I.CONFIRMED, None, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
