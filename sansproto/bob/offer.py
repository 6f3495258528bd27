"""A client's exchange with one server. docs/protocols/bob.rst, the client."""

from __future__ import annotations

from enum import Enum
from functools import cached_property
from typing import Final, Protocol

import attrs

from ..errors import Fault, WireError
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from . import crypto
from . import packets as p
from .exchange import Exchange, ExchangeHost
from .limits import PeerDelays
from .way import Agreed, PeerInput


class OfferState(Enum):
    NEW = 0
    DERIVING = 1
    HELD = 2
    """Too many exchanges failed: X has to wait."""
    ASKED = 3
    """X is sent."""
    PROVEN = 4
    """The server knows the password, and our proof is sent."""
    AGREED = 5
    """The application is asked."""
    ACCEPTED = 6
    ENDED = 7


@attrs.frozen
class Question:
    """What the server's reply is checked with."""

    secret: crypto.ClientSecret = attrs.field(repr=False)
    x: bytes = attrs.field(repr=False)
    x_point: bytes


class OfferInput:
    ANNOUNCED = Input[OfferState, p.PublicParameters]()
    UNREADABLE = Input[OfferState, p.SpokeFailure]()
    """Its parameters are none that are spoken here."""
    AGAIN = Input[OfferState, p.NewServer]()
    """It is announced with others."""
    DERIVED = Input[OfferState, crypto.ClientSecret]()
    ASK = Input[OfferState, None]()
    REPLY = Input[OfferState, p.YAndServerValidator]()
    PROVEN = Input[OfferState, crypto.ClientFinish]()
    BAD_REPLY = Input[OfferState, p.SpokeFailure]()
    AGREEMENT = Input[OfferState, p.Agreement]()
    ACCEPT = Input[OfferState, Agreed]()
    REFUSE = Input[OfferState, None]()
    FAILED = Input[OfferState, p.SpokeFailure]()
    """The server said so."""
    GONE = Input[OfferState, None]()
    EXPIRED = Input[OfferState, None]()


class OfferTimer:
    ANSWER = Timer(OfferInput.EXPIRED, PeerDelays.answer)


_S, _I, _T = OfferState, OfferInput, OfferTimer


class OfferHost(ExchangeHost, Protocol):
    """What an offer asks of its client."""

    def begin_offer(self, packet: p.NewServer) -> None: ...
    def put_in_queue(self, uid: int, salt: bytes, count: int) -> None: ...


class Offer(Exchange[OfferState, OfferHost]):
    """What a client knows of one server."""

    has_turn, gone = _I.ASK, _I.GONE
    packet: p.NewServer
    """With which it was announced."""
    secret: crypto.ClientSecret | None
    """While X waits."""
    question: Question | None
    """While the server's reply is awaited."""

    def begin(self, packet: p.NewServer) -> None:
        self.packet, self.identity, self.secret, self.question = packet, packet.identity, None, None
        try:
            self.post(_I.ANNOUNCED(self.public))
        except WireError:
            self.post(_I.UNREADABLE(p.SpokeFailure(p.SpokeFault.PUBLIC_PACKET)))

    @cached_property
    def public(self) -> p.PublicParameters:
        """WireError if it is none that is spoken here."""
        return p.PublicParameters.decode(self.packet.public)

    # -- guards and conditions

    def is_another(self, packet: p.NewServer) -> bool:
        return packet.public != self.packet.public

    def is_last_guess(self) -> bool:
        return self.host.turns.guesses.total + 1 >= self.host.limits.guesses

    # -- actions

    def derive(self, public: p.PublicParameters) -> None:
        self.host.put_in_queue(self.key, public.salt, public.count)

    def keep(self, secret: crypto.ClientSecret) -> None:
        self.secret = secret

    def ask(self) -> None:
        """Send X."""
        assert self.secret is not None  # what was derived is kept
        x = crypto.scalar(self.host.draw(32, f"offer.{self.key:04x}.x"))
        self.question, self.secret = Question(self.secret, x, crypto.client_hello(self.secret, x)), None
        self.host.say(self.key, p.XAndClientIdentity(self.question.x_point, self.host.identity))

    def judge(self, reply: p.YAndServerValidator) -> None:
        asked = self.question
        assert asked is not None  # X was sent
        identities = self.host.identity.encode(), self.identity.encode()
        try:
            finish = crypto.client_finish(
                asked.secret, asked.x, asked.x_point, reply.y_point, reply.validator, *identities
            )
        except WireError as error:
            bad_point = error.fault is Fault.BAD_POINT
            fault = p.SpokeFault.POINT if bad_point else p.SpokeFault.SERVER_VALIDATOR
            self.post(_I.BAD_REPLY(p.SpokeFailure(fault)))
        else:
            self.post(_I.PROVEN(finish))

    def send_proof(self, finish: crypto.ClientFinish) -> None:
        self.question, self.agreed = None, Agreed(self.key, self.identity, finish.keys, self.public)
        self.host.say(self.key, p.ClientValidator(finish.validator))

    def send_refused(self) -> None:
        self.host.say(self.key, p.Refused())

    def lose(self, failure: p.SpokeFailure) -> None:
        """The server has used up one guess."""
        guesses = self.host.turns.guesses
        guesses.count(self.key)
        if failure.fault is not p.SpokeFault.POINT:
            guesses.mismatched.add(self.key)
        self.fail(failure)

    def choose(self, agreed: Agreed) -> None:
        self.host.way.post(PeerInput.ACCEPT(agreed))

    def leave_partner(self) -> None:
        self.host.way.post(PeerInput.PARTNER_GONE())

    def begin_anew(self, packet: p.NewServer) -> None:
        self.host.begin_offer(packet)


_O: Final = Offer
_UNPROVEN: Final = (_S.DERIVING, _S.HELD, _S.ASKED)
_BUSY: Final = (*_UNPROVEN, _S.PROVEN, _S.AGREED)

AGAIN: Final = (
    Guards.of(Offer, _S, p.NewServer, "again").need(_O.is_another, "announced again", ref="hello again").give(_I.AGAIN)
)
Offer.meanings = {p.YAndServerValidator: _I.REPLY, p.Agreement: _I.AGREEMENT, p.SpokeFailure: _I.FAILED}

OFFER: Final = Table[Offer, OfferState](
    Offer,
    OfferInput,
    OfferTimer,
    name="bob.offer",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={
        _S.NEW: "the announcement that makes it",
        _S.DERIVING: "the queue of derivations, which works on a timer of its own",
        _S.HELD: "its turn, for which there is one timer for all",
        _S.AGREED: "the application, with accept or refuse, or the peer's own waiting timer",
        _S.ACCEPTED: "the peer's own done timer",
    },
    rows=(
        Row(_S.NEW, _I.ANNOUNCED | _I.UNREADABLE, _S.ENDED, _O.leave, when=_O.is_excessive, ref="guesses"),
        Row(_S.NEW, _I.ANNOUNCED, _S.DERIVING, _O.derive, ref="meeting a server"),
        Row(_S.NEW, _I.UNREADABLE, _S.ENDED, _O.fail, _O.leave, ref="meeting a server"),
        Row((*_UNPROVEN, _S.PROVEN, _S.ACCEPTED), _I.AGAIN, _S.ENDED, _O.leave, _O.begin_anew, ref="hello again"),
        Row(_S.AGREED, _I.AGAIN, _S.ENDED, _O.tell_gone, _O.leave, _O.begin_anew, ref="hello again"),
        Row(_S.DERIVING, _I.DERIVED, _S.HELD, _O.keep, _O.wait, when=_O.is_held_back, ref="turns"),
        Row(_S.DERIVING, _I.DERIVED, _S.ASKED, _O.keep, _O.take_turn, _O.ask, arm=(_T.ANSWER,), ref="meeting a server"),
        Row(_S.HELD, _I.ASK, _S.ASKED, _O.ask, arm=(_T.ANSWER,), ref="turns"),
        Row(_S.ASKED, _I.REPLY, None, _O.judge, ref="the client's proof"),
        Row(_S.ASKED, _I.PROVEN, _S.PROVEN, _O.send_proof, arm=(_T.ANSWER,), ref="the client's proof"),
        Row(_S.ASKED, _I.BAD_REPLY, _S.ENDED, _O.lose, _O.leave, _O.exhaust, when=_O.is_last_guess, ref="guesses"),
        Row(_S.ASKED, _I.BAD_REPLY, _S.ENDED, _O.lose, _O.leave, ref="failures"),
        Row(_S.PROVEN, _I.AGREEMENT, _S.AGREED, _O.tell_agreed, cancel=(_T.ANSWER,), ref="the agreement"),
        Row(_UNPROVEN, _I.AGREEMENT, None, _O.send_no_handshake, ref="failures"),
        Row((_S.ASKED, _S.PROVEN), _I.EXPIRED, _S.ENDED, _O.tell_silent, _O.leave, ref="times and limits"),
        Row(_S.AGREED, _I.ACCEPT, _S.ACCEPTED, _O.choose, ref="the agreement"),
        Row(_S.AGREED, _I.REFUSE, _S.ENDED, _O.send_refused, _O.leave, ref="the agreement"),
        Row(_BUSY, _I.FAILED, _S.ENDED, _O.tell_failed, _O.leave, ref="failures"),
        Row(_BUSY, _I.GONE, _S.ENDED, _O.tell_gone, _O.leave, ref="failures"),
        Row(_S.ACCEPTED, _I.GONE, _S.ENDED, _O.tell_gone, _O.leave_partner, _O.leave, ref="the agreement"),
    ),
    defaults=(
        Default(Outcome.REJECT, "this peer was accepted", _I.ACCEPT, _I.REFUSE, states=(_S.ACCEPTED,)),
        Default(Outcome.NOT_OPEN, "this peer has not agreed", _I.ACCEPT, _I.REFUSE),  # or no longer: a race
        Default(Outcome.IGNORE, "out of order"),
    ),
)
