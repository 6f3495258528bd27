"""Is whoever has a session still there? Only its holder can answer. docs/protocols/freenet.rst, questions."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, Protocol

import attrs

from ..component import Component, Host
from ..contract import Instant
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED

PINGS: Final = 8
CALLER_PINGS: Final = 16


class Why(Enum):
    """Because of what it is asked: the later one outranks the one before."""

    INTRO = 0
    """Somebody sent an intro from its address."""
    SILENCE = 1
    """Nothing new came for a while of whom we called."""
    REPLACED = 2
    """Somebody confirmed another session at its address."""


@attrs.frozen
class Ask:
    """What is asked."""

    why: Why
    pings: int
    """So many have to stay without an answer."""
    other: int = 0
    """The session that was confirmed."""


class Asked(Protocol):
    """What a question needs of the session that is asked."""

    @property
    def round_trip(self) -> float: ...
    @property
    def may_be_asked(self) -> bool: ...
    def ping(self) -> None: ...
    def be_unanswered(self, ask: Ask) -> None: ...
    def be_answered(self, ask: Ask) -> None: ...


class QuestionState(Enum):
    CALM = 0
    ASKING = 1


class QuestionInput:
    ASKED = Input[QuestionState, Ask]()
    ANSWERED = Input[QuestionState, None]()
    DUE = Input[QuestionState, None]()


class Question(Component[QuestionState, Host[Any]]):
    """Pings to one session."""

    ask: Ask | None
    sent: int
    since: Instant
    """When it began. What answers it was sent later."""
    session: Annotated[Asked, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: Host[Any], session: Asked) -> None:
        super().__init__(host)
        self.session, self.ask, self.sent, self.since = session, None, 0, 0.0

    @property
    def why(self) -> Why | None:
        """Because of what it is asked; None: it is not."""
        return None if self.ask is None else self.ask.why

    # -- conditions and times

    def outranks(self, ask: Ask) -> bool:
        return ask.why.value > self._asked().why.value

    def has_more(self) -> bool:
        return self.sent < self._asked().pings

    def has_to_wait(self) -> bool:
        return self.has_more() and not self.session.may_be_asked

    def at_once(self) -> float:
        return 0.0

    def until_next(self) -> float:
        """Behind the ping that is sent now: the next one, or the end of patience."""
        rtt, is_caller = self.session.round_trip, self._asked().why is Why.SILENCE
        if self.sent + 1 >= self._asked().pings:
            return max(1.0 if is_caller else 0.3, 2 * rtt)
        if is_caller and not self.sent:
            return max(0.5, 1.5 * rtt)
        return max(0.25 if is_caller else 0.1, rtt / 4)

    # -- actions

    def begin(self, ask: Ask) -> None:
        self.ask, self.sent, self.since = ask, 0, self.host.clock

    def ping(self) -> None:
        self.sent += 1
        self.session.ping()

    def tell_answered(self) -> None:
        ask, self.ask = self._asked(), None
        self.session.be_answered(ask)

    def tell_unanswered(self) -> None:
        ask, self.ask = self._asked(), None
        self.session.be_unanswered(ask)

    def _asked(self) -> Ask:
        """What it is asked for, in ASKING."""
        assert self.ask is not None
        return self.ask


_S, _I, _C = QuestionState, QuestionInput, Question


class QuestionTimer:
    FIRST = Timer(_I.DUE, _C.at_once)
    NEXT = Timer(_I.DUE, _C.until_next)


_T = QuestionTimer
_REF: Final = "questions"

QUESTION: Final = Table[Question, QuestionState](
    Question,
    QuestionInput,
    QuestionTimer,
    name="freenet.question",
    initial=_S.CALM,
    idle={_S.CALM: "an intro, silence, or another session at its address"},
    rows=(
        Row(_S.CALM, _I.ASKED, _S.ASKING, _C.begin, arm=(_T.FIRST,), ref=_REF),
        Row(_S.ASKING, _I.ASKED, None, _C.begin, when=_C.outranks, cancel=(_T.NEXT,), arm=(_T.FIRST,), ref=_REF),
        Row(_S.ASKING, _I.ASKED, None, ref=_REF),
        Row(_S.ASKING, _I.DUE, None, when=_C.has_to_wait, arm=(_T.NEXT,), ref=_REF),
        Row(_S.ASKING, _I.DUE, None, _C.ping, when=_C.has_more, arm=(_T.NEXT,), ref=_REF),
        Row(_S.ASKING, _I.DUE, _S.CALM, _C.tell_unanswered, ref=_REF),
        Row(_S.ASKING, _I.ANSWERED, _S.CALM, _C.tell_answered, cancel=(_T.FIRST, _T.NEXT), ref=_REF),
        Row(_S.CALM, _I.ANSWERED, None, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
