"""A client's exchange with one server. docs/protocols/bob.rst, the client."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

import attrs

from ..errors import Fault, WireError
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import crypto
from . import packets as p
from .events import PeerAgreed
from .exchange import Exchange, ExchangeOwner
from .limits import PeerDelays
from .way import Agreed


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


class OfferInput:
    ANNOUNCED = Input[OfferState, p.PublicParameters]()
    UNREADABLE = Input[OfferState, None]()
    """Its parameters are none that are spoken here."""
    DERIVED = Input[OfferState, crypto.ClientSecret]()
    ASK = Input[OfferState, None]()
    REPLY = Input[OfferState, crypto.ClientFinish]()
    BAD_REPLY = Input[OfferState, WireError]()
    UNASKED = Input[OfferState, None]()
    """A reply to nothing."""
    AGREEMENT = Input[OfferState, None]()
    ACCEPT = Input[OfferState, None]()
    REFUSE = Input[OfferState, None]()
    FAILED = Input[OfferState, p.SpokeFault]()
    """The server said so."""
    GONE = Input[OfferState, None]()
    EXPIRED = Input[OfferState, None]()
    ABANDON = Input[OfferState, None]()


class OfferTimer:
    ANSWER = Timer(OfferInput.EXPIRED, PeerDelays.answer)


_S, _I, _T = OfferState, OfferInput, OfferTimer


@attrs.frozen
class Question:
    """What the server's reply is checked with."""

    secret: crypto.ClientSecret = attrs.field(repr=False)
    x: bytes = attrs.field(repr=False)
    x_point: bytes


class OfferOwner(ExchangeOwner, Protocol):
    """What an offer asks of its client."""

    def derive(self, uid: int, public: p.PublicParameters) -> None: ...
    def choose(self, agreed: Agreed) -> None: ...
    def lose_partner(self) -> None: ...


class Offer(Exchange[OfferState]):
    """What a client knows of one server."""

    public: p.PublicParameters | None
    """None: they cannot be read."""
    secret: crypto.ClientSecret | None
    """While X waits."""
    question: Question | None
    """While the server's reply is awaited."""
    agreed: Agreed | None
    """Once the server has proved that it knows the password."""
    owner: Annotated[OfferOwner, CACHED]

    def begin(self, identity: str, public: p.PublicParameters | None) -> None:
        self.identity, self.public = identity, public
        self.secret = self.question = self.agreed = None
        self.post(_I.UNREADABLE() if public is None else _I.ANNOUNCED(public))

    # -- for the client

    def judge(self, packet: p.YAndServerValidator) -> None:
        """The server's reply."""
        question = self.question
        if question is None:
            self.post(_I.UNASKED())
            return
        identities = self.owner.identity.encode(), self.identity.encode()
        try:
            finish = crypto.client_finish(
                question.secret, question.x, question.x_point, packet.y_point, packet.validator, *identities
            )
        except WireError as error:
            self.post(_I.BAD_REPLY(error))
        else:
            self.post(_I.REPLY(finish))

    def have_turn(self) -> None:
        self.post(_I.ASK())

    def fail(self, fault: p.SpokeFault) -> None:
        self.post(_I.FAILED(fault))

    def lose_peer(self) -> None:
        self.post(_I.GONE())

    def abandon(self) -> None:
        self.post(_I.ABANDON())

    # -- conditions

    def is_last_guess(self) -> bool:
        return self.owner.turns.guesses.total + 1 >= self.owner.limits.guesses

    # -- actions

    def derive(self, public: p.PublicParameters) -> None:
        self.owner.derive(self.key, public)

    def keep(self, secret: crypto.ClientSecret) -> None:
        self.secret = secret

    def send_x(self) -> None:
        assert self.secret is not None  # what was derived is kept
        x = crypto.scalar(self.host.draw(32, f"offer.{self.key:04x}.x"))
        self.question, self.secret = Question(self.secret, x, crypto.client_hello(self.secret, x)), None
        self.owner.say(self.key, p.XAndClientIdentity(self.question.x_point, self.owner.identity))

    def send_proof(self, finish: crypto.ClientFinish) -> None:
        assert self.public is not None  # they were read
        self.question, self.agreed = None, Agreed(self.key, self.identity, finish.keys, self.public)
        self.owner.say(self.key, p.ClientValidator(finish.validator))

    def send_refused(self) -> None:
        self.owner.say(self.key, p.Refused())

    def fail_public(self) -> None:
        self.owner.say(self.key, p.SpokeFailure(p.SpokeFault.PUBLIC_PACKET))

    def fail_reply(self, error: WireError) -> None:
        bad_point = error.fault is Fault.BAD_POINT
        fault = p.SpokeFault.POINT if bad_point else p.SpokeFault.SERVER_VALIDATOR
        self.owner.say(self.key, p.SpokeFailure(fault))

    def count_guess(self, error: WireError) -> None:
        guesses = self.owner.turns.guesses
        guesses.count(self.key)
        if error.fault is not Fault.BAD_POINT:
            guesses.mismatched.add(self.key)

    def tell_agreed(self) -> None:
        self.host.emit(PeerAgreed(self.key, self.identity))

    def tell_unreadable(self) -> None:
        self.tell_failed(WireError(Fault.UNSUPPORTED))

    def choose(self) -> None:
        assert self.agreed is not None  # the state says so
        self.owner.choose(self.agreed)

    def leave_partner(self) -> None:
        self.owner.lose_partner()


_O: Final = Offer
_BUSY: Final = (_S.DERIVING, _S.HELD, _S.ASKED, _S.PROVEN, _S.AGREED)

OFFER: Final = Table[Offer, OfferState](
    Offer,
    OfferInput,
    OfferTimer,
    name="bob.offer",
    page="bob",
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
        Row(_S.NEW, _I.UNREADABLE, _S.ENDED, _O.fail_public, _O.tell_unreadable, _O.leave, ref="meeting a server"),
        Row(_S.DERIVING, _I.DERIVED, _S.HELD, _O.keep, _O.wait, when=_O.is_held_back, ref="turns"),
        Row(
            _S.DERIVING,
            _I.DERIVED,
            _S.ASKED,
            _O.keep,
            _O.take_turn,
            _O.send_x,
            arm=(_T.ANSWER,),
            ref="meeting a server",
        ),
        Row(_S.HELD, _I.ASK, _S.ASKED, _O.send_x, arm=(_T.ANSWER,), ref="turns"),
        Row(_S.ASKED, _I.REPLY, _S.PROVEN, _O.send_proof, arm=(_T.ANSWER,), ref="the client's proof"),
        Row(
            _S.ASKED,
            _I.BAD_REPLY,
            _S.ENDED,
            _O.count_guess,
            _O.fail_reply,
            _O.tell_failed,
            _O.leave,
            _O.exhaust,
            when=_O.is_last_guess,
            ref="guesses",
        ),
        Row(_S.ASKED, _I.BAD_REPLY, _S.ENDED, _O.count_guess, _O.fail_reply, _O.tell_failed, _O.leave, ref="failures"),
        Row(_S.PROVEN, _I.AGREEMENT, _S.AGREED, _O.tell_agreed, cancel=(_T.ANSWER,), ref="the agreement"),
        Row((_S.DERIVING, _S.HELD, _S.ASKED), _I.AGREEMENT, None, _O.send_no_handshake, ref="failures"),
        Row((_S.ASKED, _S.PROVEN), _I.EXPIRED, _S.ENDED, _O.tell_silent, _O.leave, ref="times and limits"),
        Row(_S.AGREED, _I.ACCEPT, _S.ACCEPTED, _O.choose, ref="the agreement"),
        Row(_S.AGREED, _I.REFUSE, _S.ENDED, _O.send_refused, _O.leave, ref="the agreement"),
        Row(_BUSY, _I.FAILED, _S.ENDED, _O.tell_failed, _O.leave, ref="failures"),
        Row(_BUSY, _I.GONE, _S.ENDED, _O.tell_gone, _O.leave, ref="failures"),
        Row(_S.ACCEPTED, _I.GONE, _S.ENDED, _O.tell_gone, _O.leave_partner, _O.leave, ref="the agreement"),
        Row((*_BUSY, _S.ACCEPTED), _I.ABANDON, _S.ENDED, _O.leave, ref="the agreement"),
    ),
    defaults=(
        Default(Outcome.REJECT, "this peer was accepted", _I.ACCEPT, _I.REFUSE, states=(_S.ACCEPTED,)),
        Default(Outcome.NOT_OPEN, "this peer has not agreed", _I.ACCEPT, _I.REFUSE),  # or no longer: a race
        Default(Outcome.IGNORE, "out of order", _I.UNASKED),
        Default(Outcome.IGNORE, "out of order"),
    ),
)
