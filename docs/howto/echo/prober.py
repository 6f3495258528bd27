"""The prober: asks a server by datagram how many guests it has, and again until an answer comes."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

from sansproto.component import Component, DatagramHost
from sansproto.contract import Entropy, Path, Phase
from sansproto.endpoint import DatagramEndpoint, Received
from sansproto.events import CloseCause, Closed
from sansproto.machine import Default, Guards, Input, Outcome, Row, Table, Timer
from sansproto.snapshot import CACHED
from sansproto.trace import Trace

from .events import ProberEvent, ServerAnswered
from .limits import ProberDelays, ProberLimits
from .packets import TO_PROBER, TO_SERVER, Count, Probe


class S(Enum):
    """What a question is."""

    RESTING = 0
    ASKED = 1
    GIVEN_UP = 2


class I:
    """What can happen to it."""

    PROBE = Input[S, None]()
    """The application's verb."""
    ANSWERED = Input[S, Count]()
    UNANSWERED = Input[S, None]()
    """For a while."""


class ProberHost(DatagramHost[ProberEvent], Protocol):
    """What a question needs of its prober."""

    phase: Phase

    def end(self, closed: Closed) -> None: ...


class Question(Component[S, ProberHost]):
    """The question to the server, as often as it is asked."""

    number: bytes
    sent: int
    """How often, without an answer."""
    server: Annotated[Path, CACHED]
    delays: Annotated[ProberDelays, CACHED]
    limits: Annotated[ProberLimits, CACHED]

    def __init__(self, host: ProberHost, server: Path, delays: ProberDelays, limits: ProberLimits) -> None:
        super().__init__(host)
        self.server, self.delays, self.limits = server, delays, limits
        self.number, self.sent = b"", 0

    # -- guards and conditions

    def is_from_server(self, answer: Received[Count]) -> bool:
        return answer.path == self.server

    def match(self, answer: Received[Count]) -> Count | None:
        return answer.packet if answer.packet.number == self.number else None

    def is_hopeless(self) -> bool:
        return self.sent >= self.limits.questions

    # -- delays

    def patience(self) -> float:
        return self.delays.repeat * 2.0**self.sent  # timers are armed before the actions run: it counts those before

    # -- actions

    def begin(self) -> None:
        self.number, self.sent = self.host.draw(8, "number"), 0
        self.host.phase = Phase.OPENING

    def send(self) -> None:
        self.sent += 1
        self.host.send_datagram(TO_SERVER.encode(Probe(self.number)), self.server, "Probe")

    def tell(self, answer: Count) -> None:
        self.sent, self.host.phase = 0, Phase.OPEN
        self.host.emit(ServerAnswered(answer.guests))

    def give_up(self) -> None:
        self.host.end(Closed(CloseCause.TIMEOUT))


class T:
    REPEAT = Timer(I.UNANSWERED, Question.patience)


ANSWER: Final = (
    Guards.of(Question, S, Received[Count], "answer")
    .need(Question.is_from_server, "not from the server", ref="probing")
    .make(Question.match, "answer to another question", ref="probing")
    .give(I.ANSWERED)
)

QUESTION: Final = Table[Question, S](
    Question,
    I,
    T,
    name="echo.question",
    initial=S.RESTING,
    terminal=(S.GIVEN_UP,),
    idle={S.RESTING: "the application, which asks"},
    rows=(
        Row(S.RESTING, I.PROBE, S.ASKED, Question.begin, Question.send, arm=(T.REPEAT,), ref="probing"),
        Row(S.ASKED, I.ANSWERED, S.RESTING, Question.tell, cancel=(T.REPEAT,), ref="probing"),
        Row(S.ASKED, I.UNANSWERED, S.GIVEN_UP, Question.give_up, when=Question.is_hopeless, ref="probing"),
        Row(S.ASKED, I.UNANSWERED, None, Question.send, arm=(T.REPEAT,), ref="probing"),
    ),
    defaults=(
        Default(Outcome.REJECT, "it is asked already", I.PROBE),
        Default(Outcome.IGNORE, "late"),
    ),
)


class Prober(DatagramEndpoint[ProberEvent, Count]):
    """Asks an echo server how many guests it has. ``entropy`` is drawn on for 8 bytes per question."""

    datagram = TO_PROBER
    question: Question

    def __init__(
        self,
        *,
        server: Path,
        entropy: Entropy,
        delays: ProberDelays | None = None,
        limits: ProberLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        limits = limits or ProberLimits()
        super().__init__(entropy=entropy, limits=limits, trace=trace)
        self.question = Question(self, server, delays or ProberDelays(), limits)

    def probe(self, now: float) -> None:
        """Ask the server. Raises LocalProtocolError while an answer is awaited, NotOpen after the end."""
        self.verb("probe", now, self.question.asked(I.PROBE()))

    def received(self, packet: Count, path: Path) -> None:
        self.question.take(ANSWER, Received(packet, path))
