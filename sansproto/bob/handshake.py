"""A server's exchange with one client. docs/protocols/bob.rst, the server."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

import attrs

from ..errors import WireError
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import crypto
from . import packets as p
from .events import Failure, PeerAgreed
from .exchange import Exchange, ExchangeOwner
from .limits import PeerDelays


class HandshakeState(Enum):
    NEW = 0
    HELD = 1
    """Too many exchanges are unproven: the answer has to wait."""
    ANSWERED = 2
    """Y is sent."""
    AGREED = 3
    TAKEN = 4
    ENDED = 5


class HandshakeInput:
    X = Input[HandshakeState, None]()
    ANSWER = Input[HandshakeState, None]()
    BAD_POINT = Input[HandshakeState, WireError]()
    PROOF = Input[HandshakeState, None]()
    BAD_PROOF = Input[HandshakeState, WireError]()
    ACCEPTED = Input[HandshakeState, None]()
    REFUSED = Input[HandshakeState, None]()
    FAILED = Input[HandshakeState, p.SpokeFault]()
    """The client said so: this is what a wrong password looks like."""
    GONE = Input[HandshakeState, None]()
    EXPIRED = Input[HandshakeState, None]()
    ABANDON = Input[HandshakeState, None]()


class HandshakeTimer:
    ANSWER = Timer(HandshakeInput.EXPIRED, PeerDelays.answer)


_S, _I, _T = HandshakeState, HandshakeInput, HandshakeTimer


@attrs.frozen
class Answered:
    """What the client's proof is checked with, and the keys that it leads to."""

    expected: bytes = attrs.field(repr=False)
    keys: crypto.SharedKeys = attrs.field(repr=False)


class HandshakeOwner(ExchangeOwner, Protocol):
    """What a handshake asks of its server."""

    @property
    def secret(self) -> crypto.ServerSecret: ...
    def be_taken(self, handshake: Handshake, keys: crypto.SharedKeys) -> None: ...


class Handshake(Exchange[HandshakeState]):
    """What a server knows of one client. Its identity is what it says: a relay should have compared it."""

    x_point: bytes
    answered: Answered | None
    """Once Y is sent."""
    owner: Annotated[HandshakeOwner, CACHED]

    def begin(self, identity: str, x_point: bytes) -> None:
        self.identity, self.x_point, self.answered = identity, x_point, None
        self.post(_I.X())

    # -- for the server

    def judge(self, validator: bytes) -> None:
        """The client's proof."""
        if self.answered is not None:
            try:
                crypto.server_check(self.answered.expected, validator)
            except WireError as error:
                self.post(_I.BAD_PROOF(error))
                return
        self.post(_I.PROOF())

    def have_turn(self) -> None:
        self.post(_I.ANSWER())

    def fail(self, fault: p.SpokeFault) -> None:
        self.post(_I.FAILED(fault))

    def lose_peer(self) -> None:
        self.post(_I.GONE())

    def abandon(self) -> None:
        self.post(_I.ABANDON())

    # -- conditions

    def is_last_guess(self) -> bool:
        return self.owner.turns.guesses.total >= self.owner.limits.guesses

    def is_excessive(self) -> bool:
        """Of its kind, or of those who wait for their turn."""
        turns = self.owner.turns
        return super().is_excessive() or (turns.is_busy() and turns.is_full(self.identity))

    # -- actions

    def answer(self) -> None:
        """Send Y. From here on this exchange is a guess at the password, until the client proves that it was right.

        So is a bad point: how long it takes to refuse one depends on the password.
        """
        self.owner.turns.guesses.count(self.key)
        y = crypto.scalar(self.host.draw(32, f"offer.{self.key:04x}.y"))
        identities = self.identity.encode(), self.owner.identity.encode()
        try:
            reply = crypto.server_reply(self.owner.secret, y, self.x_point, *identities)
        except WireError as error:
            self.post(_I.BAD_POINT(error))
            return
        self.answered = Answered(reply.expected, reply.keys)
        self.owner.say(self.key, p.YAndServerValidator(reply.y_point, reply.validator))

    def clear_guess(self) -> None:
        self.owner.turns.guesses.clear(self.key)

    def send_agreement(self) -> None:
        self.owner.say(self.key, p.Agreement())

    def fail_point(self) -> None:
        self.owner.say(self.key, p.SpokeFailure(p.SpokeFault.POINT))

    def fail_proof(self) -> None:
        self.owner.say(self.key, p.SpokeFailure(p.SpokeFault.CLIENT_VALIDATOR))

    def tell_agreed(self) -> None:
        self.host.emit(PeerAgreed(self.key, self.identity))

    def tell_refused(self) -> None:
        self._tell(Failure.REFUSED)

    def be_taken(self) -> None:
        assert self.answered is not None  # the state says so
        self.owner.be_taken(self, self.answered.keys)


_H: Final = Handshake
_BUSY: Final = (_S.HELD, _S.ANSWERED, _S.AGREED)

HANDSHAKE: Final = Table[Handshake, HandshakeState](
    Handshake,
    HandshakeInput,
    HandshakeTimer,
    name="bob.handshake",
    page="bob",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={
        _S.NEW: "the packet that makes it",
        _S.HELD: "its turn, for which there is one timer for all",
        _S.AGREED: "the client's answer, the relay, or the peer's own waiting timer",
        _S.TAKEN: "the way to the secure room, which begins in the same call",
    },
    rows=(
        Row(_S.NEW, _I.X, _S.ENDED, _H.leave, _H.exhaust, when=_H.is_last_guess, ref="guesses"),
        Row(_S.NEW, _I.X, _S.ENDED, _H.leave, when=_H.is_excessive, ref="guesses"),
        Row(_S.NEW, _I.X, _S.HELD, _H.wait, when=_H.is_held_back, ref="turns"),
        Row(_S.NEW, _I.X, _S.ANSWERED, _H.take_turn, _H.answer, arm=(_T.ANSWER,), ref="answering a client"),
        Row(_S.HELD, _I.ANSWER, _S.ANSWERED, _H.answer, arm=(_T.ANSWER,), ref="turns"),
        Row(_S.ANSWERED, _I.BAD_POINT, _S.ENDED, _H.fail_point, _H.tell_failed, _H.leave, ref="failures"),
        Row(
            _S.ANSWERED,
            _I.PROOF,
            _S.AGREED,
            _H.clear_guess,
            _H.send_agreement,
            _H.tell_agreed,
            cancel=(_T.ANSWER,),
            ref="the agreement",
        ),
        Row(_S.ANSWERED, _I.BAD_PROOF, _S.ENDED, _H.fail_proof, _H.tell_failed, _H.leave, ref="failures"),
        Row(_S.ANSWERED, _I.EXPIRED, _S.ENDED, _H.tell_silent, _H.leave, ref="times and limits"),
        Row(_S.AGREED, _I.ACCEPTED, _S.TAKEN, _H.be_taken, ref="the agreement"),
        Row((_S.HELD, _S.ANSWERED), _I.ACCEPTED, None, _H.send_no_handshake, ref="failures"),
        Row(_S.AGREED, _I.REFUSED, _S.ENDED, _H.tell_refused, _H.leave, ref="the agreement"),
        Row(_BUSY, _I.FAILED, _S.ENDED, _H.tell_failed, _H.leave, ref="failures"),
        Row(_BUSY, _I.GONE, _S.ENDED, _H.tell_gone, _H.leave, ref="failures"),
        Row((*_BUSY, _S.TAKEN), _I.ABANDON, _S.ENDED, _H.leave, ref="the agreement"),
    ),
    defaults=(Default(Outcome.IGNORE, "out of order"),),
)
