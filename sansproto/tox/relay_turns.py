"""Work of a relay that is done in turns, so that no flood takes more than a share of its time.

docs/protocols/tox.rst, turns.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Final

from ..component import Component, Host
from ..contract import Link
from ..fair import FairQueue
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED


class TurnsState(Enum):
    IDLE = 0
    BUSY = 1
    """A turn has begun, and is not over yet."""


class TurnsInput:
    CAME = Input[TurnsState, None]()
    """Somebody waits."""
    OVER = Input[TurnsState, None]()


class RelayTurns(Component[TurnsState, Host[Any]]):
    """Serves so many links in each turn, at once as long as it lasts; groups of addresses take turns in it."""

    queue: FairQueue
    left: int
    """Links that can still be served in this turn."""
    serve: Annotated[Callable[[Link], None], CACHED]
    at_once: Annotated[int, CACHED]
    every: Annotated[float, CACHED]
    """Seconds."""

    def __init__(self, host: Host[Any], serve: Callable[[Link], None], at_once: int, every: float) -> None:
        super().__init__(host)
        self.serve, self.at_once, self.every = serve, at_once, every
        self.queue, self.left = FairQueue(), 0

    def wait(self, group: bytes, link: Link) -> None:
        """Serve a link when it is its turn: at once if not too many others were served just now."""
        self.queue.add(group, link)
        self.post(TurnsInput.CAME())

    # -- conditions, times, actions

    def has_more(self) -> bool:
        return self.queue.size > 0

    def until_over(self) -> float:
        return self.every

    def begin(self) -> None:
        self.left = self.at_once
        self.serve_some()

    def serve_some(self) -> None:
        while self.left > 0 and self.queue.size:
            self.left -= 1
            self.serve(self.queue.pop())


_S, _I, _C = TurnsState, TurnsInput, RelayTurns


class TurnsTimer:
    TURN = Timer(TurnsInput.OVER, RelayTurns.until_over)


_T = TurnsTimer
_REF: Final = "turns"

TURNS: Final = Table[RelayTurns, TurnsState](
    RelayTurns,
    TurnsInput,
    TurnsTimer,
    name="tox.relay_turns",
    initial=_S.IDLE,
    idle={_S.IDLE: "somebody who waits"},
    rows=(
        Row(_S.IDLE, _I.CAME, _S.BUSY, _C.begin, arm=(_T.TURN,), ref=_REF),
        Row(_S.BUSY, _I.CAME, None, _C.serve_some, ref=_REF),
        Row(_S.BUSY, _I.OVER, None, _C.begin, when=_C.has_more, arm=(_T.TURN,), ref=_REF),
        Row(_S.BUSY, _I.OVER, _S.IDLE, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
