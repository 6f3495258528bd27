"""What a client asks its domain: paths and settings, over the reliable channel. docs/protocols/overte.rst, paths and
settings."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

from ..component import Part, Parts
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .events import ClientEvent, NotAnswered, PathAnswered, SettingsReceived
from .limits import ClientDelays
from .parts import ClientHost, ClientPart

Question: TypeAlias = p.PathQuery | p.DomainSettingsRequest


class QueryState(Enum):
    NEW = 0
    ASKED = 1
    ENDED = 2


class QueryInput:
    ASK = Input[QueryState, None]()
    ANSWERED = Input[QueryState, ClientEvent]()
    """With what the application is told."""
    EXPIRED = Input[QueryState, None]()
    FORGOTTEN = Input[QueryState, None]()


class QueryTimer:
    ANSWER = Timer(QueryInput.EXPIRED, ClientDelays.answer)


class Query(ClientPart[QueryState]):
    """A question for the viewpoint of a path, or for settings."""

    question: Question
    number: Annotated[int, CACHED]
    siblings: Annotated[Parts[int, Any], CACHED]

    def __init__(self, host: ClientHost, siblings: Parts[int, Any], number: int) -> None:
        super().__init__(host)
        self.siblings, self.number = siblings, number

    def begin(self, question: Question) -> None:
        self.question = question

    # -- the table's actions

    def send(self) -> None:
        if self.host.domain is not None:
            self.host.send_reliable(self.host.domain, self.question)

    def tell_answer(self, answer: ClientEvent) -> None:
        self.host.emit(answer)

    def tell_no_answer(self) -> None:
        if isinstance(self.question, p.PathQuery):
            self.host.emit(NotAnswered(self.question.path))
        else:
            self.host.emit(NotAnswered(kind=self.question.type))

    def forget_itself(self) -> None:
        self.siblings.remove(self.number)


_S, _I, _T, _Q = QueryState, QueryInput, QueryTimer, Query

QUERY: Final = Table[Query, QueryState](
    Query,
    QueryInput,
    QueryTimer,
    name="overte.query",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={_S.NEW: "the call that makes it"},
    rows=(
        Row(_S.NEW, _I.ASK, _S.ASKED, _Q.send, arm=(_T.ANSWER,), ref="paths and settings"),
        Row(_S.ASKED, _I.ANSWERED, _S.ENDED, _Q.forget_itself, _Q.tell_answer, ref="paths and settings"),
        Row(
            _S.ASKED, _I.EXPIRED | _I.FORGOTTEN, _S.ENDED, _Q.forget_itself, _Q.tell_no_answer, ref="paths and settings"
        ),
    ),
    defaults=(Default(Outcome.IGNORE, "late answer"),),
)


class Answer(NamedTuple):
    """What the application is told, and the question that it answers."""

    query: Query
    event: ClientEvent


class Queries(Part[ClientHost]):
    """The questions that are open. Answers about settings do not say to what: they are taken in order."""

    open: Parts[int, Query]
    last: int

    def __init__(self, host: ClientHost) -> None:
        super().__init__(host)
        self.last, self.open = 0, Parts(lambda number: Query(host, self.open, number))

    def ask(self, question: Question) -> None:
        self.last += 1
        self.open.add(self.last, Query.begin, question).post(QueryInput.ASK())

    def path_answer(self, packet: p.PathResponse) -> Answer | None:
        asked = p.PathQuery(packet.path)
        event = PathAnswered(packet.path, packet.viewpoint)
        return next((Answer(query, event) for query in self.open.values() if query.question == asked), None)

    def settings_answer(self, json: bytes) -> Answer | None:
        for query in self.open.values():
            if isinstance(query.question, p.DomainSettingsRequest):
                return Answer(query, SettingsReceived(query.question.type, json))
        return None

    def forget_all(self) -> None:
        """There is no connection any more."""
        for query in self.open.values():
            query.post(QueryInput.FORGOTTEN())
