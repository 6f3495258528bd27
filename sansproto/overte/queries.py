"""What a client asks its domain: paths and settings, over the reliable channel. docs/protocols/overte.rst, paths and
settings."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, NamedTuple, Protocol, TypeAlias

from ..component import Note, Part, Parts
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .events import ClientEvent, NotAnswered, PathAnswered, SettingsReceived
from .limits import ClientDelays
from .parts import ClientHost, ClientPart

LATE_ANSWER: Final = Note("late answer", ref="paths and settings")

Question: TypeAlias = p.PathQuery | p.DomainSettingsRequest


class QueryState(Enum):
    NEW = 0
    ASKED = 1
    ENDED = 2
    WAITING = 3
    """For the answer to another question about settings."""
    OVERDUE = 4
    """The application was told that there is no answer; one that comes now is not for the next question."""


class QueryInput:
    ASK = Input[QueryState, None]()
    HELD = Input[QueryState, None]()
    """To be asked when another question is over."""
    ANSWERED = Input[QueryState, ClientEvent]()
    """With what the application is told."""
    EXPIRED = Input[QueryState, None]()
    FORGOTTEN = Input[QueryState, None]()


class QueryTimer:
    ANSWER = Timer(QueryInput.EXPIRED, ClientDelays.answer)


class QueryOwner(Protocol):
    """What it needs of those who keep the questions."""

    def end(self, query: Query) -> None: ...


class Query(ClientPart[QueryState]):
    """A question for the viewpoint of a path, or for settings."""

    question: Question
    number: Annotated[int, CACHED]
    owner: Annotated[QueryOwner, CACHED]

    def __init__(self, host: ClientHost, owner: QueryOwner, number: int) -> None:
        super().__init__(host)
        self.owner, self.number = owner, number

    def begin(self, question: Question) -> None:
        self.question = question

    # -- conditions

    def is_about_settings(self) -> bool:
        return isinstance(self.question, p.DomainSettingsRequest)

    # -- the table's actions

    def send(self) -> None:
        if self.host.domain is not None:
            self.host.send_reliable(self.host.domain, self.question)

    def tell_answer(self, answer: ClientEvent) -> None:
        self.host.emit(answer)

    def note_late(self) -> None:
        self.host.count_note(LATE_ANSWER, self)

    def tell_no_answer(self) -> None:
        if isinstance(self.question, p.PathQuery):
            self.host.emit(NotAnswered(self.question.path))
        else:
            self.host.emit(NotAnswered(kind=self.question.type))

    def forget_itself(self) -> None:
        self.owner.end(self)


_S, _I, _T, _Q = QueryState, QueryInput, QueryTimer, Query

QUERY: Final = Table[Query, QueryState](
    Query,
    QueryInput,
    QueryTimer,
    name="overte.query",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={_S.NEW: "the call that makes it", _S.WAITING: "the question that is asked before it, which has a timer"},
    rows=(
        Row((_S.NEW, _S.WAITING), _I.ASK, _S.ASKED, _Q.send, arm=(_T.ANSWER,), ref="paths and settings"),
        Row(_S.NEW, _I.HELD, _S.WAITING, ref="paths and settings"),
        Row(_S.ASKED, _I.ANSWERED, _S.ENDED, _Q.tell_answer, _Q.forget_itself, ref="paths and settings"),
        Row(
            _S.ASKED,
            _I.EXPIRED,
            _S.OVERDUE,
            _Q.tell_no_answer,
            when=_Q.is_about_settings,
            arm=(_T.ANSWER,),
            ref="paths and settings",
        ),
        Row(_S.ASKED, _I.EXPIRED, _S.ENDED, _Q.tell_no_answer, _Q.forget_itself, ref="paths and settings"),
        Row(_S.OVERDUE, _I.ANSWERED, _S.ENDED, _Q.note_late, _Q.forget_itself, ref="paths and settings"),
        Row(_S.OVERDUE, _I.EXPIRED | _I.FORGOTTEN, _S.ENDED, _Q.forget_itself, ref="paths and settings"),
        Row(
            (_S.ASKED, _S.WAITING),
            _I.FORGOTTEN,
            _S.ENDED,
            _Q.tell_no_answer,
            _Q.forget_itself,
            ref="paths and settings",
        ),
    ),
    defaults=(Default(Outcome.IGNORE, "late answer"),),
)


class Answer(NamedTuple):
    """What the application is told, and the question that it answers."""

    query: Query
    event: ClientEvent


class Queries(Part[ClientHost]):
    """The questions that are open. Answers about settings do not say to what: such questions are asked one by one."""

    open: Parts[int, Query]
    last: int

    def __init__(self, host: ClientHost) -> None:
        super().__init__(host)
        self.last, self.open = 0, Parts(lambda number: Query(host, self, number))

    def ask(self, question: Question) -> None:
        self.last += 1
        is_held = isinstance(question, p.DomainSettingsRequest) and self._first_about_settings() is not None
        query = self.open.add(self.last, Query.begin, question)
        query.post(QueryInput.HELD() if is_held else QueryInput.ASK())

    def end(self, query: Query) -> None:
        """It is over: the next one about settings is asked."""
        self.open.remove(query.number)
        following = self._first_about_settings() if query.is_about_settings() else None
        if following is not None and following.state is QueryState.WAITING:
            following.post(QueryInput.ASK())

    def _first_about_settings(self) -> Query | None:
        return next((query for query in self.open.values() if query.is_about_settings()), None)

    def path_answer(self, packet: p.PathResponse) -> Answer | None:
        asked = p.PathQuery(packet.path)
        event = PathAnswered(packet.path, packet.viewpoint)
        return next((Answer(query, event) for query in self.open.values() if query.question == asked), None)

    def settings_answer(self, json: bytes) -> Answer | None:
        query = self._first_about_settings()
        if query is None or not isinstance(query.question, p.DomainSettingsRequest):
            return None
        return Answer(query, SettingsReceived(query.question.type, json))

    def forget_all(self) -> None:
        """There is no connection any more."""
        for query in reversed(self.open.values()):  # so that none is asked meanwhile
            query.post(QueryInput.FORGOTTEN())
