"""A server's exchange with one client. docs/protocols/bob.rst, the server."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple, Protocol

import attrs

from ..errors import WireError
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from . import crypto
from . import packets as p
from .events import Failure
from .exchange import Exchange, ExchangeHost
from .limits import PeerDelays
from .way import Agreed, PeerInput


class HandshakeState(Enum):
    NEW = 0
    HELD = 1
    """Too many exchanges are unproven: the answer has to wait."""
    ANSWERED = 2
    """Y is sent."""
    AGREED = 3
    TAKEN = 4
    ENDED = 5


@attrs.frozen
class Answered:
    """What the client's proof is checked with, and the keys that it leads to."""

    expected: bytes = attrs.field(repr=False)
    keys: crypto.SharedKeys = attrs.field(repr=False)


class Proof(NamedTuple):
    """The client's, of its knowing what our answer was made of."""

    answered: Answered
    packet: p.ClientValidator


class HandshakeInput:
    X = Input[HandshakeState, p.XAndClientIdentity]()
    ANSWER = Input[HandshakeState, None]()
    PROOF = Input[HandshakeState, Proof]()
    PROVEN = Input[HandshakeState, Answered]()
    BAD = Input[HandshakeState, p.SpokeFailure]()
    """The point or the proof."""
    EARLY = Input[HandshakeState, None]()
    """It was accepted before it agreed."""
    ACCEPTED = Input[HandshakeState, Agreed]()
    REFUSED = Input[HandshakeState, p.Refused]()
    FAILED = Input[HandshakeState, p.SpokeFailure]()
    """The client said so: this is what a wrong password looks like."""
    GONE = Input[HandshakeState, None]()
    EXPIRED = Input[HandshakeState, None]()
    ABANDON = Input[HandshakeState, None]()


class HandshakeTimer:
    ANSWER = Timer(HandshakeInput.EXPIRED, PeerDelays.answer)


_S, _I, _T = HandshakeState, HandshakeInput, HandshakeTimer


class HandshakeHost(ExchangeHost, Protocol):
    """What a handshake asks of its server."""

    @property
    def secret(self) -> crypto.ServerSecret: ...
    @property
    def public(self) -> p.PublicParameters: ...


class Handshake(Exchange[HandshakeState, HandshakeHost]):
    """What a server knows of one client. Its identity is what it says: a relay should have compared it."""

    has_turn, gone, abandoned = _I.ANSWER, _I.GONE, _I.ABANDON
    x_point: bytes
    answered: Answered | None
    """While the client's proof is awaited."""

    def begin(self, packet: p.XAndClientIdentity) -> None:
        self.identity, self.x_point, self.answered = packet.identity, packet.x_point, None
        self.post(_I.X(packet))

    def hear(self, packet: p.BobPacket) -> None:
        if isinstance(packet, p.Accepted):
            self.post(_I.EARLY() if self.agreed is None else _I.ACCEPTED(self.agreed))
        else:
            super().hear(packet)

    # -- guards and conditions

    def find_answered(self, packet: p.ClientValidator) -> Proof | None:
        return None if self.answered is None else Proof(self.answered, packet)

    def is_last_guess(self) -> bool:
        return self.host.turns.guesses.total >= self.host.limits.guesses

    def is_excessive(self) -> bool:
        """Of its kind, or of those who wait for their turn."""
        turns = self.host.turns
        return super().is_excessive() or (turns.is_busy() and turns.is_full(self.identity))

    # -- actions

    def answer(self) -> None:
        """Send Y. From here on this exchange is a guess at the password, until the client proves that it was right.

        So is a bad point: how long it takes to refuse one depends on the password.
        """
        self.host.turns.guesses.count(self.key)
        y = crypto.scalar(self.host.draw(32, f"offer.{self.key:04x}.y"))
        identities = self.identity.encode(), self.host.identity.encode()
        try:
            reply = crypto.server_reply(self.host.secret, y, self.x_point, *identities)
        except WireError:
            self.post(_I.BAD(p.SpokeFailure(p.SpokeFault.POINT)))
            return
        self.answered = Answered(reply.expected, reply.keys)
        self.host.say(self.key, p.YAndServerValidator(reply.y_point, reply.validator))

    def judge(self, proof: Proof) -> None:
        try:
            crypto.server_check(proof.answered.expected, proof.packet.validator)
        except WireError:
            self.post(_I.BAD(p.SpokeFailure(p.SpokeFault.CLIENT_VALIDATOR)))
        else:
            self.post(_I.PROVEN(proof.answered))

    def send_agreement(self, answered: Answered) -> None:
        """It was no guess."""
        self.host.turns.guesses.clear(self.key)
        self.answered, self.agreed = None, Agreed(self.key, self.identity, answered.keys, self.host.public)
        self.host.say(self.key, p.Agreement())

    def tell_refused(self) -> None:
        self.tell(Failure.REFUSED)

    def be_taken(self, agreed: Agreed) -> None:
        self.host.way.post(PeerInput.TAKEN(agreed))


_H: Final = Handshake
_BUSY: Final = (_S.HELD, _S.ANSWERED, _S.AGREED)

PROOF: Final = (
    Guards.of(Handshake, _S, p.ClientValidator, "proof")
    .make(_H.find_answered, "out of order", ref="the agreement")
    .give(_I.PROOF)
)
Handshake.meanings = {
    p.XAndClientIdentity: _I.X,
    p.ClientValidator: PROOF,
    p.Accepted: _I.ACCEPTED,
    p.Refused: _I.REFUSED,
    p.SpokeFailure: _I.FAILED,
}

HANDSHAKE: Final = Table[Handshake, HandshakeState](
    Handshake,
    HandshakeInput,
    HandshakeTimer,
    name="bob.handshake",
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
        Row(_S.ANSWERED, _I.PROOF, None, _H.judge, ref="the agreement"),
        Row(
            _S.ANSWERED,
            _I.PROVEN,
            _S.AGREED,
            _H.send_agreement,
            _H.tell_agreed,
            cancel=(_T.ANSWER,),
            ref="the agreement",
        ),
        Row(_S.ANSWERED, _I.BAD, _S.ENDED, _H.say_failure, _H.tell_failed, _H.leave, ref="failures"),
        Row(_S.ANSWERED, _I.EXPIRED, _S.ENDED, _H.tell_silent, _H.leave, ref="times and limits"),
        Row(_S.AGREED, _I.ACCEPTED, _S.TAKEN, _H.be_taken, ref="the agreement"),
        Row((_S.HELD, _S.ANSWERED), _I.EARLY, None, _H.send_no_handshake, ref="failures"),
        Row(_S.AGREED, _I.REFUSED, _S.ENDED, _H.tell_refused, _H.leave, ref="the agreement"),
        Row(_BUSY, _I.FAILED, _S.ENDED, _H.tell_failed, _H.leave, ref="failures"),
        Row(_BUSY, _I.GONE, _S.ENDED, _H.tell_gone, _H.leave, ref="failures"),
        Row((*_BUSY, _S.TAKEN), _I.ABANDON, _S.ENDED, _H.leave, ref="the agreement"),
    ),
    defaults=(Default(Outcome.IGNORE, "out of order"),),
)
