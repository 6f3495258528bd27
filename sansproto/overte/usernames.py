"""Who the other nodes are: what a client asks its domain about them. docs/protocols/overte.rst, names and statistics.

The answer is sent once and may be lost, so that the question is asked again each second.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, NamedTuple, Protocol

from ..component import Component, Parts
from ..contract import Phase
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .events import NotAnswered, UsernameAnswered
from .limits import ClientDelays
from .parts import Arrival, ClientHost, ClientPart, reads


class NameState(Enum):
    NEW = 0
    ASKED = 1
    ENDED = 2


class NameInput:
    ASK = Input[NameState, None]()
    AGAIN = Input[NameState, None]()
    ANSWERED = Input[NameState, p.UsernameFromIDReply]()
    EXPIRED = Input[NameState, None]()


class NameTimer:
    AGAIN = Timer(NameInput.AGAIN, ClientDelays.check_in)
    ANSWER = Timer(NameInput.EXPIRED, ClientDelays.answer)


class NameOwner(Protocol):
    """What it needs of those who keep the questions."""

    def end(self, node_id: bytes) -> None: ...


class NameQuery(ClientPart[NameState]):
    """The question who a node is."""

    node_id: Annotated[bytes, CACHED]
    owner: Annotated[NameOwner, CACHED]

    def __init__(self, host: ClientHost, owner: NameOwner, node_id: bytes) -> None:
        super().__init__(host)
        self.owner, self.node_id = owner, node_id

    def send(self) -> None:
        if self.host.phase is Phase.OPEN and self.host.domain is not None:
            source = self.host.membership.local_id
            self.host.send_reliable(self.host.domain, p.UsernameFromIDRequest(self.node_id), source=source)

    def tell_answer(self, reply: p.UsernameFromIDReply) -> None:
        self.host.emit(
            UsernameAnswered(reply.id, username=reply.username, fingerprint=reply.fingerprint, may_kick=reply.may_kick)
        )

    def tell_no_answer(self) -> None:
        self.host.emit(NotAnswered(node_id=self.node_id))

    def forget_itself(self) -> None:
        self.owner.end(self.node_id)


_N, _NS, _NI, _NT = NameQuery, NameState, NameInput, NameTimer

NAME: Final = Table[NameQuery, NameState](
    NameQuery,
    NameInput,
    NameTimer,
    name="overte.name",
    initial=_NS.NEW,
    terminal=(_NS.ENDED,),
    idle={_NS.NEW: "the call that makes it"},
    rows=(
        Row(_NS.NEW, _NI.ASK, _NS.ASKED, _N.send, arm=(_NT.AGAIN, _NT.ANSWER), ref="names and statistics"),
        Row(_NS.ASKED, _NI.AGAIN, None, _N.send, arm=(_NT.AGAIN,), ref="names and statistics"),
        Row(_NS.ASKED, _NI.ANSWERED, _NS.ENDED, _N.forget_itself, _N.tell_answer, ref="names and statistics"),
        Row(_NS.ASKED, _NI.EXPIRED, _NS.ENDED, _N.forget_itself, _N.tell_no_answer, ref="names and statistics"),
    ),
    defaults=(Default(Outcome.IGNORE, "late answer"),),
)


class Named(NamedTuple):
    """An answer, and the question that it is for."""

    query: NameQuery
    reply: p.UsernameFromIDReply


class NamesState(Enum):
    READY = 0


class NamesInput:
    ANSWERED = Input[NamesState, Named]()


class Names(Component[NamesState, ClientHost]):
    """The questions that are open, by the node that each is about."""

    open: Parts[bytes, NameQuery]

    def __init__(self, host: ClientHost) -> None:
        super().__init__(host)
        self.open = Parts(lambda node_id: NameQuery(host, self, node_id))

    def ask(self, node_id: bytes) -> None:
        """Unless it is asked already."""
        if node_id not in self.open:
            self.open.add(node_id).post(NameInput.ASK())

    def end(self, node_id: bytes) -> None:
        self.open.remove(node_id)

    # -- guards and actions

    def is_from_domain(self, arrival: Arrival) -> bool:
        return arrival.path == self.host.domain

    def find_question(self, reply: p.UsernameFromIDReply) -> Named | None:
        query = self.open.get(reply.id)
        return None if query is None else Named(query, reply)

    def hand_on(self, named: Named) -> None:
        named.query.post(NameInput.ANSWERED(named.reply))


_C, _S, _I = Names, NamesState, NamesInput

REPLY: Final = (
    Guards.of(_C, _S, Arrival, "reply")
    .need(_C.is_from_domain, "not from the domain", ref="accepted sources")
    .make(reads(p.UsernameFromIDReply), "malformed UsernameFromIDReply", ref="names and statistics")
    .make(_C.find_question, "an answer to no question", ref="names and statistics")
    .give(_I.ANSWERED)
)
NAMES: Final = Table[Names, NamesState](
    Names,
    NamesInput,
    name="overte.names",
    initial=_S.READY,
    idle={_S.READY: "the next question"},
    rows=(Row(_S.READY, _I.ANSWERED, None, _C.hand_on, ref="names and statistics"),),
    defaults=(),
)
