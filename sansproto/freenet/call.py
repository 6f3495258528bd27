"""Our own call of an address: docs/protocols/freenet.rst, calling."""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Annotated, Any, Final, NamedTuple, Protocol

import attrs

from ..component import Component, DatagramHost
from ..contract import Instant, Path
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .crypto import seal_intro
from .events import FreenetEvent, Refused, Unreachable
from .generation import Keys, Made
from .limits import FreenetDelays
from .versions import Version

_PAUSES: Final = (1.0, 2.0, 4.0, 5.0)
_APART: Final = 0.05


class CallHost(DatagramHost[FreenetEvent], Protocol):
    """What a call asks of the endpoint."""

    delays: FreenetDelays
    version: Version

    @property
    def has_event_room(self) -> bool: ...
    def end_call(self, place: Any) -> None: ...


class CallOwner(Protocol):
    """What a call asks of its address."""

    @property
    def path(self) -> Path: ...
    def adopt(self, made: Made) -> None: ...


@attrs.define(weakref_slot=False)
class Attempt:
    """An intro of ours. Its answer counts in the next round, too."""

    key: bytes = attrs.field(repr=False)
    """Under which we want to receive."""
    datagram: bytes = attrs.field(repr=False)
    first: Instant
    """When it was sent first."""


class Answer(NamedTuple):
    """What opened under the key of an intro of ours, and was read."""

    attempt: Attempt
    packet: p.Clear


class CallState(Enum):
    NEW = 0
    CALLING = 1
    PAUSED = 2
    """The intro had no answer: another one follows."""
    UP = 3
    """There is a session."""
    REFUSED = 4


class CallInput:
    START = Input[CallState, None]()
    ANSWERED = Input[CallState, Answer]()
    REFUSED = Input[CallState, Answer]()
    HEARD = Input[CallState, None]()
    JOINED = Input[CallState, None]()
    LOST = Input[CallState, None]()
    ALIVE = Input[CallState, None]()
    REPEAT_DUE = Input[CallState, None]()
    ROUND_OVER = Input[CallState, None]()
    PAUSE_OVER = Input[CallState, None]()
    POKED = Input[CallState, None]()


class Call(Component[CallState, CallHost]):
    """Rounds of intros to an address, until there is a session; again when that is over."""

    peer: bytes
    is_gateway: bool
    """It sends no intros itself."""
    attempts: list[Attempt]
    """The last two."""
    rounds: int
    """Since there was a session."""
    drawn: int
    introduced: Instant
    """When our intro left last because of one of the peer's."""
    owner: Annotated[CallOwner, CACHED]
    delays: Annotated[FreenetDelays, CACHED]

    def __init__(self, host: CallHost, owner: CallOwner) -> None:
        super().__init__(host)
        self.owner, self.delays, self.peer, self.is_gateway = owner, host.delays, b"", False
        self.attempts, self.rounds, self.drawn, self.introduced = [], 0, 0, -inf

    def begin(self, peer: bytes, is_gateway: bool) -> None:  # what it is made with
        self.peer, self.is_gateway = peer, is_gateway

    @property
    def is_outstanding(self) -> bool:
        return self.state is CallState.CALLING

    def introduce(self) -> None:
        """Our answer to an intro follows: so that a real peer has read ours, and sends under its key.

        (Also if a repeated one left just now: a real peer takes none before it calls us itself. But whoever repeats an
        intro in its name ever so often does not make us flood it.)
        """
        if self.is_outstanding and self.host.clock - self.introduced >= _APART:
            self.introduced = self.host.clock
            self.send_intro()

    # -- guards

    def find_ack(self, answer: Answer) -> Answer | None:
        is_ack = type(answer.packet.body) in (p.AckConnection, p.AckConnectionV2)
        return answer if is_ack else None

    def is_refusal(self, answer: Answer) -> bool:
        body = answer.packet.body
        return isinstance(body, p.AckConnection) and isinstance(body.result, p.Refusal)

    # -- times

    def until_repeat(self) -> float:
        """A fifth more or less: many joiners do not call at the same moments."""
        spread = int.from_bytes(self.host.draw(1, "call.repeat"), "big") / 255
        return self.delays.repeat * (0.8 + 0.4 * spread)

    def until_over(self) -> float:
        return self.delays.round

    def until_next(self) -> float:
        return self.delays.pause * _PAUSES[min(self.rounds, len(_PAUSES)) - 1]

    # -- actions

    def begin_round(self) -> None:
        self.drawn, self.rounds = self.drawn + 1, self.rounds + 1
        where = self.owner.path
        name = f"call.{where.host}:{where.port}.{self.drawn}"
        key = self.host.draw(p.KEY_SIZE, f"{name}.key")
        ephemeral = self.host.draw(32, f"{name}.ephemeral")
        datagram = seal_intro(self.peer, ephemeral, p.IntroBody(self.host.version.wire, key))
        self.attempts = [*self.attempts[-1:], Attempt(key, datagram, self.host.clock)]
        self.send_intro()

    def send_intro(self) -> None:
        self.host.send_datagram(self.attempts[-1].datagram, self.owner.path, "Intro")

    def tell_unreachable(self) -> None:
        if self.host.has_event_room:
            self.host.emit(Unreachable(self.owner.path))

    def adopt(self, answer: Answer) -> None:
        """The key in the answer was sealed for us by who has the secret that we called."""
        body, attempt = answer.packet.body, answer.attempt
        version = None
        if isinstance(body, p.AckConnectionV2):
            key, seen, version = body.key, body.address, Version.read(body.version)
        else:
            assert isinstance(body, p.AckConnection)  # guards say so
            assert isinstance(body.result, p.Granted)  # they do
            key, seen = body.result.key, body.result.address
        self.settle()
        keys, path = Keys(key, attempt.key), self.owner.path
        rtt = self.host.clock - attempt.first
        self.owner.adopt(Made(keys, path, rtt, version, proven=self.peer, seen_at=p.told_by(seen)))

    def settle(self) -> None:
        self.attempts, self.rounds = [], 0

    def tell_refused(self, answer: Answer) -> None:
        body = answer.packet.body
        assert isinstance(body, p.AckConnection)  # guards say so
        assert isinstance(body.result, p.Refusal)  # they do
        self.host.emit(Refused(self.owner.path, reason=body.result.reason))

    def leave(self) -> None:
        self.host.end_call(self.owner)


_S, _I, _C = CallState, CallInput, Call

ANSWER: Final = (
    Guards.of(Call, CallState, Answer, "answer")
    .make(_C.find_ack, "no answer to an intro", ref="calling")
    .give_if(_C.is_refusal, _I.REFUSED, ref="versions")
    .give(_I.ANSWERED)
)
"""What a packet is that opened under the key of an intro of ours."""


class CallTimer:
    REPEAT = Timer(_I.REPEAT_DUE, _C.until_repeat)
    ROUND = Timer(_I.ROUND_OVER, _C.until_over)
    PAUSE = Timer(_I.PAUSE_OVER, _C.until_next)


_T = CallTimer
_SEEKING: Final = (_S.CALLING, _S.PAUSED)
_ALL: Final = (_T.REPEAT, _T.ROUND, _T.PAUSE)
_ROUND: Final = (_T.REPEAT, _T.ROUND)
_REF: Final = "calling"

CALL: Final = Table[Call, CallState](
    Call,
    CallInput,
    CallTimer,
    name="freenet.call",
    initial=_S.NEW,
    terminal=(_S.REFUSED,),
    idle={
        _S.NEW: "what it is made for",
        _S.UP: "the end of the session",
        _S.PAUSED: "``disconnect``, or an answer: it is called as long as it is wanted",
    },
    rows=(
        Row(_S.NEW, _I.START, _S.CALLING, _C.begin_round, arm=_ROUND, ref=_REF),
        Row(_S.CALLING, _I.REPEAT_DUE, None, _C.send_intro, arm=(_T.REPEAT,), ref=_REF),
        Row(_S.CALLING, _I.ROUND_OVER, _S.PAUSED, _C.tell_unreachable, cancel=(_T.REPEAT,), arm=(_T.PAUSE,), ref=_REF),
        Row(_S.CALLING, _I.HEARD, None, cancel=(_T.REPEAT,), ref="two calls"),
        Row(_S.PAUSED, _I.PAUSE_OVER, _S.CALLING, _C.begin_round, arm=_ROUND, ref=_REF),
        Row(_S.PAUSED, _I.POKED, _S.CALLING, _C.begin_round, cancel=(_T.PAUSE,), arm=_ROUND, ref=_REF),
        Row((_S.CALLING, _S.UP), _I.POKED, None, ref=_REF),
        Row(_SEEKING, _I.ANSWERED, _S.UP, _C.adopt, cancel=_ALL, ref=_REF),
        Row(_SEEKING, _I.REFUSED, _S.REFUSED, _C.tell_refused, _C.leave, ref="versions"),
        Row(_SEEKING, _I.JOINED | _I.ALIVE, _S.UP, _C.settle, cancel=_ALL, ref=_REF),
        Row(_S.UP, _I.JOINED | _I.ALIVE, None, ref=_REF),
        Row(_S.UP, _I.LOST, _S.CALLING, _C.begin_round, arm=_ROUND, ref=_REF),
        Row(_SEEKING, _I.LOST, None, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
