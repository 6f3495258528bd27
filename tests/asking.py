"""A toy protocol for the tests of the test tools: a client asks ``?``, a server answers ``!``, both hang up."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, Never, Protocol, TypeAlias

import attrs

from sansproto.component import Component, Host
from sansproto.contract import Address, Entropy, Link, Lookup, Path, Phase, Rebind
from sansproto.endpoint import DatagramEndpoint
from sansproto.errors import Fault, WireError
from sansproto.events import CloseCause, Closed
from sansproto.links import LinkDelays, LinkLimits, StreamLink
from sansproto.machine import Default, Guards, Input, Outcome, Row, Table, Timer
from sansproto.snapshot import CACHED
from sansproto.streams import StreamEndpoint
from sansproto.trace import Trace

HERE = Address("192.0.2.9", 7)


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


@attrs.frozen(kw_only=True)
class Limits(LinkLimits):
    links: int = 4
    link_queue: int = 64
    events: int = 16
    outbox: int = 16


@attrs.frozen(kw_only=True)
class Delays(LinkDelays):
    connect: float = 8.0
    stalled: float = 4.0
    unread: float = 4.0
    linger: float = 2.0
    repeat: float = 1.0


LIMITS, DELAYS = Limits(), Delays()


class AskState(Enum):
    NEW = 0
    CONNECTING = 1
    ASKING = 2
    DONE = 3


class AskInput:
    CONNECT = Input[AskState, Address]()
    OPENED = Input[AskState, None]()
    ANSWERED = Input[AskState, bytes]()
    RUBBISH = Input[AskState, None]()
    EXPIRED = Input[AskState, None]()
    LOST = Input[AskState, None]()
    CLOSE = Input[AskState, None]()


class AskTimer:
    REPEAT = Timer(AskInput.EXPIRED, Delays.repeat)


class Asker(Protocol):
    """What a question asks of its client."""

    def dial(self, to: Address) -> StreamLink: ...
    def write(self, link: Link, data: bytes) -> None: ...
    def close_gracefully(self, closed: Closed) -> None: ...


class Question(Component[AskState, Host[ToyEvent]]):
    link: Link
    times: int
    owner: Annotated[Asker, CACHED]
    delays: Annotated[Delays, CACHED]

    def __init__(self, host: Host[ToyEvent], owner: Asker, delays: Delays) -> None:
        super().__init__(host)
        self.owner, self.delays = owner, delays
        self.link, self.times = Link(0), 0

    def is_answer(self, packet: bytes) -> bool:
        return packet == b"!"

    def is_tired(self) -> bool:
        return self.times >= 2

    def dial(self, to: Address) -> None:
        self.link = self.owner.dial(to).key

    def ask(self) -> None:
        self.times = min(self.times + 1, 2)
        self.owner.write(self.link, b"?")

    def tell_answer(self) -> None:
        self.host.emit(Answered(self.times))

    def hang_up(self) -> None:
        self.owner.close_gracefully(Closed(CloseCause.LOCAL))

    def tell_timeout(self) -> None:
        self.owner.close_gracefully(Closed(CloseCause.TIMEOUT))

    def tell_lost(self) -> None:
        self.owner.close_gracefully(Closed(CloseCause.LOST))


_S, _I, _T, _Q = AskState, AskInput, AskTimer, Question
_ACTIVE: Final = (_S.CONNECTING, _S.ASKING)

PACKET: Final = (
    Guards.of(Question, AskState, bytes, "packet")
    .need(Question.is_answer, "a question", ref="asking")
    .give(AskInput.ANSWERED)
)

ASK: Final = Table[Question, AskState](
    Question,
    AskInput,
    AskTimer,
    name="ask",
    initial=_S.NEW,
    terminal=(_S.DONE,),
    idle={_S.NEW: "connect()"},
    rows=(
        Row(_S.NEW, _I.CONNECT, _S.CONNECTING, _Q.dial, arm=(_T.REPEAT,), ref="asking"),
        Row(_S.CONNECTING, _I.OPENED, _S.ASKING, _Q.ask, arm=(_T.REPEAT,), ref="asking"),
        Row(_S.ASKING, _I.ANSWERED, _S.DONE, _Q.tell_answer, _Q.hang_up, ref="asking"),
        Row(_S.ASKING, _I.EXPIRED, _S.DONE, _Q.tell_timeout, when=_Q.is_tired, ref="repeating"),
        Row(_S.ASKING, _I.EXPIRED, None, _Q.ask, arm=(_T.REPEAT,), ref="repeating"),
        Row(_S.CONNECTING, _I.EXPIRED, _S.DONE, _Q.tell_timeout, ref="repeating"),
        Row(_ACTIVE, _I.LOST | _I.RUBBISH, _S.DONE, _Q.tell_lost, ref="ends"),
        Row(_ACTIVE, _I.CLOSE, _S.DONE, _Q.hang_up, ref="ends"),
    ),
    defaults=(
        Default(Outcome.NOT_OPEN, "", _I.CONNECT, states=(_S.DONE,)),
        Default(Outcome.REJECT, "twice", _I.CONNECT, states=_ACTIVE),
        Default(Outcome.IGNORE, "late"),
    ),
)


class Toy(StreamEndpoint[ToyEvent, Never]):
    def __init__(
        self,
        *,
        entropy: Entropy | None = None,
        delays: Delays = DELAYS,
        limits: Limits = LIMITS,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(entropy=entropy, delays=delays, limits=limits, datagrams=limits, trace=trace)

    def write(self, link: Link, data: bytes) -> None:
        if link in self.links:
            self.links[link].write(data)

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        if data[offset] not in b"?!":
            raise WireError(Fault.BAD_TYPE, offset)
        return data[offset : offset + 1], offset + 1


class Client(Toy):
    question: Question

    def __init__(self, *, delays: Delays = DELAYS, **arguments: Any) -> None:
        super().__init__(delays=delays, **arguments)
        self.question = Question(self, self, delays)

    def connect(self, now: float, *, to: Address = HERE) -> str:
        self.verb("connect", now, self.question.asked(_I.CONNECT(to)))
        return "connecting"

    def close(self, now: float) -> None:
        self.advance(now)
        self.question.post(_I.CLOSE())
        self.run()

    def finish(self, now: float) -> None:
        self.advance(now)
        for link in self.links.values():
            link.finish()

    def dial(self, to: Address) -> StreamLink:
        self.phase = Phase.OPENING
        return self.open_link(to)

    def link_opened(self, link: StreamLink) -> None:
        self.question.post(_I.OPENED())

    def link_packet(self, link: StreamLink, packet: object) -> None:
        assert isinstance(packet, bytes)  # see link_decode
        self.question.take(PACKET, packet)

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        self.question.post(_I.RUBBISH())

    def link_eof(self, link: StreamLink) -> None:
        self.question.post(_I.LOST())

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        self.question.post(_I.LOST())


class Server(Toy):
    _decides: Annotated[bool, CACHED]

    def __init__(self, *, decides: bool = False, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._decides = decides

    def answer(self, link: int, now: float) -> None:
        self.advance(now)
        self.write(Link(link), b"!")
        self.run()

    def hold(self, link: int, now: float) -> None:
        self.advance(now)
        if link in self.links:
            self.links[Link(link)].pause()
        self.run()

    def release(self, link: int, now: float) -> None:
        self.advance(now)
        if link in self.links:
            self.links[Link(link)].resume()
        self.run()

    def close(self, now: float) -> None:
        self.advance(now)
        self.close_gracefully(Closed(CloseCause.LOCAL))
        self.run()

    def link_accepted(self, link: StreamLink) -> None:
        self.phase = Phase.OPEN

    def link_packet(self, link: StreamLink, packet: object) -> None:
        if packet == b"?" and not self._decides:
            link.write(b"!")
        else:
            self.emit(Asked(link.key))

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        link.abort()

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        self.emit(LinkEnded(link.key, cause=cause))

    def link_eof(self, link: StreamLink) -> None:
        link.close()


class Stubborn(Client):
    """Does not mind that the other end has finished."""

    def link_eof(self, link: StreamLink) -> None:
        pass


class Pinger(DatagramEndpoint[ToyEvent, bytes]):
    """Looks a name up, sends a ping there, and answers pings; each pong is an event."""

    _queries: int

    def __init__(self) -> None:
        super().__init__(entropy=None, limits=LIMITS, trace=None)
        self._queries = 0

    def ping(self, host: str, now: float) -> None:
        self.advance(now)
        self._queries += 1
        self.ask_transport(Lookup(self._queries, host, 9))

    def rebind(self, now: float) -> None:
        self.advance(now)
        self.ask_transport(Rebind("udp"))

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        self.advance(now)
        for address in addresses:
            self.send_datagram(b"ping", Path("udp", address.host, address.port))

    def decode(self, data: bytes, path: Path) -> bytes:
        return data

    def received(self, packet: bytes, path: Path) -> None:
        if packet == b"ping":
            self.send_datagram(b"pong", path)
        else:
            self.emit(Answered(path.port))
