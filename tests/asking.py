"""A toy protocol for the tests of the test tools: a client asks ``?``, a server answers ``!``, both hang up."""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeAlias

import attrs

from sansproto.contract import Address, Entropy, Link, Lookup, Path, Phase, Rebind, SendDatagram
from sansproto.errors import Fault, WireError
from sansproto.events import CloseCause, Closed
from sansproto.old_endpoint import EndpointBase
from sansproto.old_links import Pipe
from sansproto.old_machine import Ladder, Machine, Otherwise, Row, Rung, Table, Verdict
from sansproto.trace import Trace

HERE = Address("192.0.2.9", 7)


class AskState(Enum):
    NEW = 0
    CONNECTING = 1
    ASKING = 2
    DONE = 3


class AskInput(Enum):
    CONNECT = 0
    OPENED = 1
    ANSWERED = 2
    RUBBISH = 3
    EXPIRED = 4
    EXPIRED_LAST = 5
    LOST = 6
    CLOSE = 7


class AskAction(Enum):
    DIAL = 0
    ASK = 1
    TELL_ANSWER = 2
    HANG_UP = 3
    TELL_TIMEOUT = 4
    TELL_LOST = 5


class AskTimer(Enum):
    REPEAT = 0


_S, _I, _A, _T = AskState, AskInput, AskAction, AskTimer
_ACTIVE = (_S.CONNECTING, _S.ASKING)

ASK: Table[AskState, AskInput, AskAction, AskTimer] = Table(
    name="ask",
    page="toy",
    states=_S,
    inputs=_I,
    actions=_A,
    timers=_T,
    initial=_S.NEW,
    terminal=(_S.DONE,),
    idle={_S.NEW: "connect()"},
    rows=(
        Row(_S.NEW, _I.CONNECT, _S.CONNECTING, (_A.DIAL,), arm=(_T.REPEAT,), ref="asking"),
        Row(_S.CONNECTING, _I.OPENED, _S.ASKING, (_A.ASK,), arm=(_T.REPEAT,), ref="asking"),
        Row(_S.ASKING, _I.ANSWERED, _S.DONE, (_A.TELL_ANSWER, _A.HANG_UP), ref="asking"),
        Row(_S.ASKING, _I.EXPIRED, None, (_A.ASK,), arm=(_T.REPEAT,), ref="repeating"),
        Row(_S.CONNECTING, _I.EXPIRED, None, arm=(_T.REPEAT,), ref="repeating"),
        Row(_ACTIVE, _I.EXPIRED_LAST, _S.DONE, (_A.TELL_TIMEOUT, _A.HANG_UP), ref="repeating"),
        Row(_ACTIVE, (_I.LOST, _I.RUBBISH), _S.DONE, (_A.TELL_LOST, _A.HANG_UP), ref="ends"),
        Row(_ACTIVE, _I.CLOSE, _S.DONE, (_A.HANG_UP,), ref="ends"),
    ),
    otherwise=(
        Otherwise((_S.DONE,), (_I.CONNECT,), Verdict.NOT_OPEN),
        Otherwise(_ACTIVE, (_I.CONNECT,), Verdict.REJECT, "twice"),
        Otherwise(None, None, Verdict.IGNORE, "late"),
    ),
    fires={_T.REPEAT: "repeat"},
    ladders=(Ladder("repeat", (Rung("tired", _I.EXPIRED_LAST, ref="repeating"),), _I.EXPIRED),),
)


@attrs.frozen
class Answered:
    again: int


@attrs.frozen
class Asked:
    link: int


@attrs.frozen
class LinkEnded:
    link: int
    cause: CloseCause = attrs.field(kw_only=True)


ToyEvent: TypeAlias = Answered | Asked | LinkEnded | Closed


@attrs.frozen
class Limits:
    links: int = 4
    link_queue: int = 64
    link_packets: int = 64
    events: int = 16


LIMITS = Limits()


@attrs.frozen
class Delays:
    connect: float = 8.0
    stalled: float = 4.0
    unread: float = 4.0
    linger: float = 2.0
    repeat: float = 1.0


DELAYS = Delays()


NO_LINK = Link(0)


@attrs.define(eq=False)
class Question:
    key: int = 0
    state: AskState = AskState.NEW
    link: Link = NO_LINK
    asked: int = 0


class Toy(EndpointBase[ToyEvent], abstract=True):
    def __init__(
        self,
        *,
        entropy: Entropy | None = None,
        delays: Delays = DELAYS,
        limits: Limits = LIMITS,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(entropy=entropy, delays=delays, limits=limits, trace=trace)

    def _link_decode(self, pipe: Pipe, data: bytes, offset: int) -> tuple[object, int]:
        if data[offset] not in b"?!":
            raise WireError(Fault.BAD_TYPE, offset)
        return data[offset : offset + 1], offset + 1


class Client(Toy):
    _question: Question

    _ask = Machine(ASK, objects="_question")

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._question = Question()

    def connect(self, now: float, *, to: Address = HERE) -> str:
        self._ask.ask(self._question, AskInput.CONNECT, "connect")
        self._advance(now)
        self._post(self._ask, self._question, AskInput.CONNECT, to)
        self._settle()
        return "connecting"

    def close(self, now: float) -> None:
        self._take(AskInput.CLOSE)
        self._settle()

    def finish(self, now: float) -> None:
        for pipe in self._pipes.values():
            self._finish_link(pipe)

    def _take(self, on: AskInput) -> None:
        self._post(self._ask, self._question, on)

    def _link_opened(self, pipe: Pipe) -> None:
        self._take(AskInput.OPENED)

    def _link_packet(self, pipe: Pipe, packet: object) -> None:
        self._take(AskInput.ANSWERED if packet == b"!" else AskInput.RUBBISH)

    def _link_broken(self, pipe: Pipe, error: WireError) -> None:
        self._take(AskInput.RUBBISH)

    def _link_eof(self, pipe: Pipe) -> None:
        self._take(AskInput.LOST)

    def _link_over(self, pipe: Pipe, cause: CloseCause, detail: str) -> None:
        self._take(AskInput.LOST)

    def _ask_is_tired(self, question: Question, _: object) -> bool:
        return question.asked >= 2 or question.state is AskState.CONNECTING

    def _ask_dial(self, question: Question, to: object) -> None:
        assert isinstance(to, Address)
        self.phase = Phase.OPENING
        question.link = self._open_link(to).key

    def _ask_ask(self, question: Question, _: object) -> None:
        question.asked = min(question.asked + 1, 2)
        if pipe := self._pipes.get(question.link):
            self._write(pipe, b"?")

    def _ask_tell_answer(self, question: Question, _: object) -> None:
        self._emit(Answered(question.asked))
        self._farewell_of(CloseCause.LOCAL)

    def _ask_hang_up(self, question: Question, _: object) -> None:
        self._farewell_of(CloseCause.LOCAL)

    def _ask_tell_timeout(self, question: Question, _: object) -> None:
        self._farewell_of(CloseCause.TIMEOUT)

    def _ask_tell_lost(self, question: Question, _: object) -> None:
        self._farewell_of(CloseCause.LOST)

    def _farewell_of(self, cause: CloseCause) -> None:
        self._part(Closed(cause))


class Server(Toy):
    _answers: bool

    def __init__(self, *, decides: bool = False, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._answers = not decides

    def answer(self, link: int, now: float) -> None:
        self._advance(now)
        for pipe in self._pipes.values():
            if pipe.key == link:
                self._write(pipe, b"!")
        self._settle()

    def hold(self, link: int, now: float) -> None:
        self._advance(now)
        for pipe in self._pipes.values():
            if pipe.key == link:
                self._pause(pipe)
        self._settle()

    def release(self, link: int, now: float) -> None:
        self._advance(now)
        for pipe in self._pipes.values():
            if pipe.key == link:
                self._resume(pipe)
        self._settle()

    def close(self, now: float) -> None:
        self._advance(now)
        self._part(Closed(CloseCause.LOCAL))
        self._settle()

    def _link_accepted(self, pipe: Pipe) -> None:
        self.phase = Phase.OPEN

    def _link_packet(self, pipe: Pipe, packet: object) -> None:
        if self._answers and packet == b"?":
            self._write(pipe, b"!")
        else:
            self._emit(Asked(pipe.key))

    def _link_broken(self, pipe: Pipe, error: WireError) -> None:
        self._abort_link(pipe)

    def _link_over(self, pipe: Pipe, cause: CloseCause, detail: str) -> None:
        self._emit(LinkEnded(pipe.key, cause=cause))

    def _link_eof(self, pipe: Pipe) -> None:
        self._close_link(pipe)


class Stubborn(Client):
    """Does not mind that the other end has finished."""

    def _link_eof(self, pipe: Pipe) -> None:
        pass


class Pinger(EndpointBase[ToyEvent]):
    """Looks a name up, sends a ping there, and answers pings; each pong is an event."""

    _queries: int

    def __init__(self) -> None:
        super().__init__(entropy=None, delays=Delays(), limits=LIMITS, trace=None)
        self._queries = 0

    def ping(self, host: str, now: float) -> None:
        self._advance(now)
        self._queries += 1
        self._outbox.append(Lookup(self._queries, host, 9))

    def close(self, now: float) -> None:
        self._advance(now)
        self._part(Closed(CloseCause.LOCAL))

    def rebind(self, now: float) -> None:
        self._advance(now)
        self._outbox.append(Rebind("udp"))

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        self._advance(now)
        for address in addresses:
            self._outbox.append(SendDatagram(b"ping", Path("udp", address.host, address.port)))

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        self._advance(now)
        if data == b"ping":
            self._outbox.append(SendDatagram(b"pong", path))
        else:
            self._emit(Answered(path.port))


def client(table: Table[Any, Any, Any, Any]) -> type[Client]:
    """A client that runs another table."""
    return type("Client", (Client,), {"_ask": Machine(table, objects="_question")})


def without(table: Table[Any, Any, Any, Any], state: Enum, on: Enum) -> Table[Any, Any, Any, Any]:
    """The table less what happens in a state on an input."""
    rows = []
    for row in table.rows:
        states, inputs = (part if isinstance(part, tuple) else (part,) for part in (row.state, row.on))
        rows += [
            attrs.evolve(row, state=one, on=other) for one in states for other in inputs if (one, other) != (state, on)
        ]
    return attrs.evolve(table, rows=tuple(rows))
