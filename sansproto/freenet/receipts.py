"""What came in a session, and that it is acknowledged: docs/protocols/freenet.rst, receipts."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, Protocol

from ..component import Component, Host
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .limits import FreenetDelays
from .windows import Arrived

_MOST: Final = 16
"""So many packets are acknowledged at once."""


class Acknowledger(Protocol):
    """What receipts ask of their session."""

    delays: FreenetDelays

    def send_receipts(self) -> None: ...
    def be_calm(self) -> None: ...


class ReceiptsState(Enum):
    NONE = 0
    COPIES = 1
    """They are due for copies only, which has time."""
    OWING = 2


_OWING: Final = ReceiptsState.OWING  # looked up once: each packet asks for it


class ReceiptsInput:
    NEW = Input[ReceiptsState, None]()
    COPY = Input[ReceiptsState, None]()
    DUE = Input[ReceiptsState, None]()


class Receipts(Component[ReceiptsState, Host[Any]]):
    """The ids that came in a session, and those that are to be acknowledged."""

    arrived: Arrived
    owed: list[int]
    """Receipts that were not sent."""
    repeated: list[int]
    """Those that were sent last: they go out once more, with the next ones."""
    session: Annotated[Acknowledger, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: Host[Any], session: Acknowledger) -> None:
        super().__init__(host)
        self.session, self.arrived, self.owed, self.repeated = session, Arrived(), [], []

    def is_copy(self, number: int) -> bool:
        return not self.arrived.is_new(number)

    def note_new(self, number: int) -> None:
        """A packet with a new id came. Its receipt is due, whatever it is."""
        self.arrived.mark(number, self.host.clock, self.session.delays.gap)
        self.owed.append(number)
        if self.state is not _OWING or len(self.owed) >= _MOST:
            self.post(ReceiptsInput.NEW())

    def note_copy(self, number: int) -> None:
        """A copy is acknowledged again, for its receipt may be lost: but of id 0, which stands for what needs none."""
        if number and len(self.owed) < _MOST and number not in self.owed:
            self.owed.append(number)
            self.post(ReceiptsInput.COPY())

    def take_some(self, room: int) -> tuple[int, ...]:
        """Those that are due, as far as there is room, and those that were sent last: if one packet is lost, all are
        known all the same."""
        owed = self.owed[:room]
        if not owed:
            return ()
        again = self.repeated[: room - len(owed)]
        self.owed, self.repeated = self.owed[room:], owed
        return (*owed, *again)

    # -- conditions, times and actions

    def is_paid(self) -> bool:
        """Has something been sent meanwhile that had room for all? A pong is."""
        return not self.owed

    def is_much(self) -> bool:
        return len(self.owed) >= _MOST

    def until_due(self) -> float:
        return self.session.delays.receipt

    def until_again(self) -> float:
        return self.session.delays.again

    def send(self) -> None:
        if self.owed:
            self.session.send_receipts()

    def rest(self) -> None:
        self.session.be_calm()


_S, _I, _C = ReceiptsState, ReceiptsInput, Receipts


class ReceiptsTimer:
    SOON = Timer(_I.DUE, _C.until_due)
    AGAIN = Timer(_I.DUE, _C.until_again)


_T = ReceiptsTimer
_ANY: Final = (_S.NONE, _S.COPIES, _S.OWING)
_REF: Final = "receipts"

RECEIPTS: Final = Table[Receipts, ReceiptsState](
    Receipts,
    ReceiptsInput,
    ReceiptsTimer,
    name="freenet.receipts",
    initial=_S.NONE,
    idle={_S.NONE: "a packet"},
    rows=(
        Row(_ANY, _I.NEW, None, _C.rest, when=_C.is_paid, ref=_REF),
        Row(_ANY, _I.NEW, _S.NONE, _C.send, when=_C.is_much, cancel=(_T.SOON, _T.AGAIN), ref=_REF),
        Row((_S.NONE, _S.COPIES), _I.NEW, _S.OWING, cancel=(_T.AGAIN,), arm=(_T.SOON,), ref=_REF),
        Row(_S.NONE, _I.COPY, _S.COPIES, arm=(_T.AGAIN,), ref=_REF),
        Row((_S.COPIES, _S.OWING), _I.COPY, None, ref=_REF),
        Row((_S.COPIES, _S.OWING), _I.DUE, _S.NONE, _C.send, _C.rest, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
