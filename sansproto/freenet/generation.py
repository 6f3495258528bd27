"""A session with whoever is at an address, from its first packet to its end: docs/protocols/freenet.rst, sessions."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, NamedTuple, Protocol

import attrs

from ..component import Component, Note
from ..contract import Address, Instant, Path
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..rates import keep_newest
from ..recovery.rtt import RoundTrip
from ..snapshot import CACHED, MEMO
from . import packets as p
from .crypto import Cipher
from .events import Confirmed, Connected, MessageReceived, PathConflict, PeerLost
from .inbound import FRAGMENT, Inbound, InboundHost
from .limits import FreenetDelays
from .question import CALLER_PINGS, PINGS, Ask, Question, QuestionInput, QuestionState, Why
from .receipts import Receipts
from .sending import Sending, SendingHost, SendingState
from .versions import Version

COPY: Final = Note("a second copy", ref="receipts")

_NONCES: Final = 1 << 31  # so that neither they nor ids come round: what one call sends beyond it is far from 2^32
PREFIX: Final = p.NONCE_SIZE - 4
"""Bytes of a nonce that are drawn; the others count."""
_PINGS: Final = 32
"""So many pings wait for their answers: of more the oldest are forgotten."""
_LONGEST_FIRST: Final = 1.5
_ASKED_LATELY: Final = 600.0
_HELD: Final = 5.0
_ELSEWHERE: Final = 0.25
_NOW: Final = 0.001
"""What is due within so many seconds is due."""


@attrs.frozen
class Keys:
    """What a handshake gives."""

    send: bytes = attrs.field(repr=False)
    receive: bytes = attrs.field(repr=False)


class Made(NamedTuple):
    """What a session begins with."""

    keys: Keys
    path: Path
    round_trip: float
    version: Version | None
    intro: bytes = b""
    """The intro that it answers; empty: we called."""
    proven: bytes | None = None
    seen_at: Address | None = None


class GenerationHost(SendingHost, InboundHost, Protocol):
    """What a session asks of the endpoint."""


class GenerationOwner(Protocol):
    """What a session asks of the address that it is at."""

    last_intro: Instant

    def is_senior(self, number: int) -> bool: ...
    @property
    def may_ask(self) -> bool: ...
    def note_asked(self) -> None: ...
    def forget_generation(self, number: int) -> None: ...
    def call_anew(self) -> None: ...
    def keep_call(self) -> None: ...


class GenerationState(Enum):
    NEW = 0
    LIVE = 1
    GONE = 2


class GenerationInput:
    ANSWERED = Input[GenerationState, None]()
    CALLED = Input[GenerationState, None]()
    ACK = Input[GenerationState, p.Clear]()
    PING = Input[GenerationState, p.Clear]()
    PONG = Input[GenerationState, p.Clear]()
    COPIED = Input[GenerationState, p.Clear]()
    SIGN = Input[GenerationState, p.Clear]()
    MESSAGE = Input[GenerationState, tuple[p.Clear, bytes]]()
    FRAGMENT = Input[GenerationState, p.Clear]()
    QUIET_DUE = Input[GenerationState, None]()
    PROVE_DUE = Input[GenerationState, None]()
    PROVE_OVER = Input[GenerationState, None]()
    LOST = Input[GenerationState, bool]()


class Generation(Component[GenerationState, GenerationHost]):
    """A session, by its number."""

    path: Path
    intro: bytes
    send_key: bytes
    receive_key: bytes
    second_key: bytes
    """Another one under which it receives: the peer answered our intro, and we its own. Empty: there is none."""
    prefix: bytes
    """What all nonces of it begin with."""
    nonces: int
    """So many were used."""
    proven: bytes | None
    version: Version | None
    seen_at: Address | None
    is_confirmed: bool
    rtt: RoundTrip
    guessed: float
    """The round trip while none was measured."""
    answered_ack: Instant
    """When the answer in the handshake was answered last."""
    asked_elsewhere: Instant
    """When it was asked last whether another key is its own."""
    life: Instant
    """When the last sign of life came."""
    is_silent: bool
    """It did not answer a question."""
    convinced: list[Instant]
    """When it answered the last questions that another session caused."""
    pings: dict[int, Instant]
    """When those were sent that have no answer."""
    receipts: Receipts
    inbound: Inbound
    question: Question
    sending: Sending
    opening: Annotated[tuple[Cipher, ...], MEMO]
    sealing: Annotated[Cipher | None, MEMO]
    owner: Annotated[GenerationOwner, CACHED]
    number: Annotated[int, CACHED]
    delays: Annotated[FreenetDelays, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: GenerationHost, owner: GenerationOwner, number: int) -> None:
        super().__init__(host)
        self.owner, self.number, self.delays = owner, number, host.delays
        self.opening, self.sealing = (), None
        self.path = Path("", "", 0)
        self.intro = self.send_key = self.receive_key = self.second_key = self.prefix = b""
        self.nonces, self.proven, self.version, self.seen_at = 0, None, None, None
        self.is_confirmed, self.is_silent = True, False
        self.rtt, self.guessed = RoundTrip(), 0.0
        self.convinced, self.pings = [], {}
        self.answered_ack = self.life = self.asked_elsewhere = 0.0
        self.receipts, self.inbound = Receipts(host, self), Inbound(host, self)
        self.question, self.sending = Question(host, self), Sending(host, self)

    def begin(self, made: Made) -> None:
        self.path, self.intro = made.path, made.intro
        self.send_key, self.receive_key = made.keys.send, made.keys.receive
        self.guessed = min(made.round_trip, _LONGEST_FIRST)
        self.proven, self.version, self.seen_at = made.proven, made.version, made.seen_at
        self.is_confirmed, self.life = bool(made.intro), self.host.clock
        self.prefix = self.host.draw(PREFIX, f"session.{self.number}.nonce")

    # -- what others ask of it

    @property
    def is_caller(self) -> bool:
        """Did we call?"""
        return not self.intro

    @property
    def openers(self) -> tuple[Cipher, ...]:
        if not self.opening:
            self.opening = tuple(Cipher(key) for key in (self.receive_key, self.second_key) if key)
        return self.opening

    @property
    def round_trip(self) -> float:
        return self.rtt.smooth or self.guessed

    @property
    def is_held(self) -> bool:
        """Do messages wait? They may go to somebody who cannot open them, and counts that."""
        if self.question.why is Why.REPLACED and not self._convinced():
            return True
        now = self.host.clock
        return now - self.owner.last_intro < _HELD and now - self.life > max(0.25, self.round_trip / 2)

    @property
    def may_be_asked(self) -> bool:
        """May a ping be sent, or a packet again? All sessions of an address but one share few of them."""
        return self.owner.is_senior(self.number) or self.owner.may_ask

    def note_asked(self) -> None:
        if not self.owner.is_senior(self.number):
            self.owner.note_asked()

    def ask(self, why: Why, other: int = 0) -> None:
        """Find out whether it is still there."""
        times = 1 + len(self._convinced()) if why is Why.REPLACED else 1
        pings = CALLER_PINGS if why is Why.SILENCE else PINGS * times
        self.question.post(QuestionInput.ASKED(Ask(why, pings, other)))

    def link(self, key: bytes) -> None:
        """Whoever has the session receives our packets, and sends under this key, too."""
        self.second_key = key
        self.opening = ()

    def answer_elsewhere(self, sequence: int) -> None:
        """A ping came under a key of which it is not known whether it belongs to this session: who has this session
        gets the answer. It asks the same."""
        self._send(0, p.Pong(sequence))
        if self.host.clock - self.asked_elsewhere >= _ELSEWHERE:
            self.asked_elsewhere = self.host.clock
            self._send_ping()

    def send(self, data: bytes) -> None:
        self.sending.send(data)

    def undelivered(self) -> tuple[bytes, ...]:
        return self.sending.messages.messages()

    # -- what its question asks

    def ping(self) -> None:
        self.note_asked()
        self._send_ping()

    def be_answered(self, ask: Ask) -> None:
        self.is_silent = False
        if ask.why is Why.REPLACED:
            self.convinced = [*self._convinced()[-1:], self.host.clock]
            self.host.emit(PathConflict(self.path, self.number, other=ask.other))
            self.sending.work()

    def be_unanswered(self, ask: Ask) -> None:
        self.is_silent = True
        if ask.why is Why.REPLACED:
            self.post(GenerationInput.LOST(True))
        elif ask.why is Why.SILENCE:
            self.owner.call_anew()

    # -- what sending asks

    def seal(self, number: int, body: p.Body) -> bytes:
        """A whole datagram, with as many receipts as there is room for: beside a full fragment, none."""
        if type(body) is p.StreamFragment and len(body.payload) == p.FRAGMENT_SIZE:
            return self._seal(p.write_fragment(number, body.stream, body.total, body.fragment, body.payload))
        clear = p.Clear(number, (), body).encode()
        acked = self.receipts.take_some((p.MAX_CLEAR - len(clear)) // 4)
        return self._seal(p.Clear(number, acked, body).encode() if acked else clear)

    def transmit(self, datagram: bytes, name: str) -> None:
        self.host.send_datagram(datagram, self.path, name)

    def give_up(self) -> None:
        """What is sent does not arrive, whatever else does."""
        self.post(GenerationInput.LOST(False))

    # -- what receipts ask

    def send_receipts(self) -> None:
        self._send(0, p.NoOp())

    def be_calm(self) -> None:
        """Nothing came for a moment: ciphers are large, and quickly made."""
        if self.sending.state is SendingState.RESTING:
            self.opening, self.sealing = (), None

    # -- guards

    def read_packet(self, clear: bytes) -> p.Clear:
        return p.read_clear(clear)

    def is_ack(self, packet: p.Clear) -> bool:
        return type(packet.body) in (p.AckConnection, p.AckConnectionV2)

    def is_ping(self, packet: p.Clear) -> bool:
        return type(packet.body) is p.Ping

    def is_pong(self, packet: p.Clear) -> bool:
        return type(packet.body) is p.Pong

    def is_copy(self, packet: p.Clear) -> bool:
        return self.receipts.is_copy(packet.packet_id)

    def is_receipt(self, packet: p.Clear) -> bool:
        return type(packet.body) is p.NoOp

    def is_fragment(self, packet: p.Clear) -> bool:
        return type(packet.body) is p.StreamFragment

    def is_wanted(self, packet: p.Clear) -> bool:
        """(What is refused has no receipt: nobody believes that it arrived.)"""
        return type(packet.body) is not p.StreamFragment or self.inbound.is_wanted(packet.body)

    def has_room(self, packet: p.Clear) -> bool:
        """(Without a receipt it comes again, when there may be room.)"""
        return type(packet.body) is not p.StreamFragment or self.inbound.has_room(packet.body)

    def read_message(self, packet: p.Clear) -> tuple[p.Clear, bytes]:
        assert isinstance(packet.body, p.ShortMessage)  # nothing else is left
        return packet, p.read_message(packet.body.payload)

    # -- conditions

    def is_repeated(self, packet: p.Clear) -> bool:
        """Is it the answer to our intro once more? A peer that has called us, too, sends another one."""
        return self.is_caller and (type(packet.body) is p.AckConnectionV2) is (self.version is not None)

    def is_dead(self) -> bool:
        return self.host.clock - self.life >= self.delays.dead

    def is_quiet(self) -> bool:
        """(Nothing is asked of one that is just asked.)"""
        return self._until_quiet() < _NOW and self.question.state is QuestionState.CALM

    # -- times

    def until_quiet(self) -> float:
        left = self._until_quiet()
        return left if left >= _NOW else left + self._quiet()

    def until_proven(self) -> float:
        return self.delays.prove

    def until_prove(self) -> float:
        return max(self.delays.prove_repeat, 1.5 * self.round_trip)

    # -- actions: what arrives

    def hear(self, packet: p.Clear) -> None:
        """A packet that is new."""
        self.receipts.note_new(packet.packet_id)
        self._live()
        self._hear_receipts(packet.acked)

    def hear_copy(self, packet: p.Clear) -> None:
        self._hear_receipts(packet.acked)
        self.receipts.note_copy(packet.packet_id)

    def note_copy(self) -> None:
        self.host.count_note(COPY, self)

    def deliver(self, heard: tuple[p.Clear, bytes]) -> None:
        self.host.emit(MessageReceived(self.path, heard[1], generation=self.number))

    def hear_message(self, heard: tuple[p.Clear, bytes]) -> None:
        self.hear(heard[0])

    def answer_ping(self, packet: p.Clear) -> None:
        self._hear_any(packet)
        assert isinstance(packet.body, p.Ping)  # guards say so
        self._send(0, p.Pong(packet.body.sequence))

    def hear_pong(self, packet: p.Clear) -> None:
        """It is a sign of life if it answers a ping of ours that has no answer yet."""
        assert isinstance(packet.body, p.Pong)  # guards say so
        now, sent = self.host.clock, self.pings.pop(packet.body.sequence, None)
        if sent is not None:
            self.pings = self.pings or {}  # one that was used needs more memory
            self.rtt.measure(now - sent)
            self._live()
            self._answer(sent)
        self._hear_any(packet)

    def hear_ack(self) -> None:
        """The answer to our intro once more: ours was lost, or has no receipt. Not each copy is answered."""
        now = self.host.clock
        if now - self.answered_ack >= self.delays.again:
            self.answered_ack = now
            self._send_ack()
            self._seal_and_send(p.Clear(0, (0,), p.NoOp()))

    def put_fragment(self, packet: p.Clear) -> None:
        assert isinstance(packet.body, p.StreamFragment)  # guards say so
        self.hear(packet)
        self.inbound.take(FRAGMENT, packet.body)

    # -- actions: time

    def prove(self) -> None:
        """Our answer, and behind it what has an answer itself."""
        self._send_ack()
        self._send_ping()

    def call_anew(self) -> None:
        """Nobody was there, or is there any more."""
        self.is_silent = True
        self.owner.call_anew()

    def be_quiet(self) -> None:
        """Nothing new came for a while."""
        self.sending.rest()
        if self.is_caller and not self.is_silent:
            self.ask(Why.SILENCE)
        elif self.may_be_asked:
            self.ping()

    def rest(self) -> None:
        self.sending.rest()

    def tell_connected(self) -> None:
        self.host.emit(
            Connected(
                self.path,
                self.number,
                proven=self.proven,
                confirmed=self.is_confirmed,
                version=self.version,
                seen_at=self.seen_at,
            )
        )

    def lose(self) -> None:
        self.be_lost(False)

    def be_lost(self, replaced: bool) -> None:  # the payload of an input
        self.host.emit(PeerLost(self.path, self.number, replaced=replaced, undelivered=self.undelivered()))
        self.owner.forget_generation(self.number)

    # -- inside

    def _quiet(self) -> float:
        """A tenth more or less for the end that was called, by its nonces: two do not ask at the same time."""
        if self.is_caller:
            return self.delays.quiet
        spread = int.from_bytes(self.prefix[:2], "big") / 0xFFFF
        return self.delays.quiet_answered * (0.9 + 0.2 * spread)

    def _until_quiet(self) -> float:
        """Until it has been quiet for long; again and again, while it is."""
        quiet = self._quiet()
        since = self.host.clock - self.life
        return quiet - since if since < quiet else 0.0

    def _convinced(self) -> list[Instant]:
        return [at for at in self.convinced if self.host.clock - at < _ASKED_LATELY]

    def _live(self) -> None:
        """A sign of life."""
        was_silent, self.is_silent, self.life = self.is_silent, False, self.host.clock
        if not self.is_confirmed:
            self.is_confirmed = True
            self.host.emit(Confirmed(self.path, self.number))
        if self.question.why is not None and self.question.why is not Why.REPLACED:
            self.question.post(QuestionInput.ANSWERED())
        if was_silent:
            self.owner.keep_call()

    def _answer(self, sent: Instant) -> None:
        """Something came back that was sent then."""
        if self.question.why is Why.REPLACED and sent >= self.question.since:
            self.question.post(QuestionInput.ANSWERED())

    def _hear_any(self, packet: p.Clear) -> None:
        """One that is heard although it may be a copy."""
        if self.is_copy(packet):
            self.hear_copy(packet)
        else:
            self.hear(packet)

    def _hear_receipts(self, acked: tuple[int, ...]) -> None:
        if not acked:
            return
        sent = self.sending.hear(acked)
        if sent is not None:
            self._live()
            self._answer(sent)

    def _seal(self, clear: bytes) -> bytes:
        nonce = self.prefix + self.nonces.to_bytes(4, "little")
        self.nonces += 1
        if self.nonces == _NONCES:
            self.post(GenerationInput.LOST(False))
        sealer = self.sealing = self.sealing or Cipher(self.send_key)
        return sealer.seal(nonce, clear)

    def _seal_and_send(self, clear: p.Clear) -> None:
        self.transmit(self._seal(clear.encode()), type(clear.body).__name__)

    def _send(self, number: int, body: p.Body) -> None:
        self.transmit(self.seal(number, body), type(body).__name__)

    def _send_ack(self) -> None:
        granted = p.Granted(self.receive_key, p.seen_at(Address(self.path.host, self.path.port)))
        self._seal_and_send(p.Clear(0, (), p.AckConnection(granted)))

    def _send_ping(self) -> None:
        value = int.from_bytes(self.host.draw(8, f"session.{self.number}.ping.{self.sending.sent.end}"), "little")
        keep_newest(self.pings, value, self.host.clock, _PINGS)
        self._send(self.sending.sent.next_id(), p.Ping(value))


_S, _I, _C = GenerationState, GenerationInput, Generation


OPENED: Final = (
    Guards.of(Generation, GenerationState, bytes, "opened")
    .make(_C.read_packet, "not a packet", ref="packets")
    .give_if(_C.is_ack, _I.ACK, ref="handshake")
    .give_if(_C.is_ping, _I.PING, ref="keep-alive")
    .give_if(_C.is_pong, _I.PONG, ref="keep-alive")
    .give_if(_C.is_copy, _I.COPIED, ref="receipts")
    .give_if(_C.is_receipt, _I.SIGN, ref="receipts")
    .need(_C.is_wanted, "of a stream that is over", ref="streams")
    .need(_C.has_room, "no room for another stream", ref="streams")
    .give_if(_C.is_fragment, _I.FRAGMENT, ref="streams")
    .make(_C.read_message, "not a message", ref="messages")
    .give(_I.MESSAGE)
)
"""What a packet is that opened under the key of a session."""


class GenerationTimer:
    QUIET = Timer(_I.QUIET_DUE, _C.until_quiet)
    PROVE = Timer(_I.PROVE_DUE, _C.until_prove)
    PROVE_END = Timer(_I.PROVE_OVER, _C.until_proven)


_T = GenerationTimer
_PROVING: Final = (_T.PROVE, _T.PROVE_END)
"""Our answer is repeated until something opens that was sent after it."""

GENERATION: Final = Table[Generation, GenerationState](
    Generation,
    GenerationInput,
    GenerationTimer,
    name="freenet.generation",
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={_S.NEW: "what it is made for"},
    rows=(
        Row(_S.NEW, _I.ANSWERED, _S.LIVE, _C.tell_connected, arm=(_T.QUIET,), ref="sessions"),
        Row(
            *(_S.NEW, _I.CALLED, _S.LIVE, _C.tell_connected, _C.prove),
            arm=(_T.QUIET, *_PROVING),
            ref="handshake",
        ),
        Row(_S.LIVE, _I.PROVE_DUE, None, _C.prove, arm=(_T.PROVE,), ref="handshake"),
        Row(_S.LIVE, _I.PROVE_OVER, None, _C.call_anew, cancel=(_T.PROVE,), ref="handshake"),
        Row(_S.LIVE, _I.ACK, None, _C.hear_ack, when=_C.is_repeated, ref="handshake"),
        Row(_S.LIVE, _I.ACK, None, ref="handshake"),
        Row(_S.LIVE, _I.PING, None, _C.answer_ping, cancel=_PROVING, ref="keep-alive"),
        Row(_S.LIVE, _I.PONG, None, _C.hear_pong, cancel=_PROVING, ref="keep-alive"),
        Row(_S.LIVE, _I.COPIED, None, _C.note_copy, _C.hear_copy, ref="receipts"),
        Row(_S.LIVE, _I.SIGN, None, _C.hear, cancel=_PROVING, ref="receipts"),
        Row(_S.LIVE, _I.MESSAGE, None, _C.hear_message, _C.deliver, cancel=_PROVING, ref="messages"),
        Row(_S.LIVE, _I.FRAGMENT, None, _C.put_fragment, cancel=_PROVING, ref="streams"),
        Row(_S.LIVE, _I.QUIET_DUE, _S.GONE, _C.lose, when=_C.is_dead, ref="keep-alive"),
        Row(_S.LIVE, _I.QUIET_DUE, None, _C.be_quiet, when=_C.is_quiet, arm=(_T.QUIET,), ref="keep-alive"),
        Row(_S.LIVE, _I.QUIET_DUE, None, _C.rest, arm=(_T.QUIET,), ref="keep-alive"),
        Row(_S.LIVE, _I.LOST, _S.GONE, _C.be_lost, ref="sessions"),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
