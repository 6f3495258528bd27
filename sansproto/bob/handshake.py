"""A server's exchange with one client. docs/protocols/bob.rst, the server."""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from ..errors import WireError
from ..machine import Default, Input, Outcome, Row, Table, Timer
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
    ENDED = 4


class HandshakeInput:
    X = Input[HandshakeState, p.XAndClientIdentity]()
    ANSWER = Input[HandshakeState, None]()
    PROOF = Input[HandshakeState, p.ClientValidator]()
    PROVEN = Input[HandshakeState, crypto.SharedKeys]()
    BAD = Input[HandshakeState, p.SpokeFailure]()
    """The point or the proof."""
    ACCEPTED = Input[HandshakeState, p.Accepted]()
    REFUSED = Input[HandshakeState, p.Refused]()
    FAILED = Input[HandshakeState, p.SpokeFailure]()
    """The client said so: this is what a wrong password looks like."""
    GONE = Input[HandshakeState, None]()
    EXPIRED = Input[HandshakeState, None]()


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

    has_turn, gone = _I.ANSWER, _I.GONE
    x_point: bytes
    reply: crypto.ServerReply | None
    """With which the client's proof is checked, while that is awaited."""

    def begin(self, packet: p.XAndClientIdentity) -> None:
        self.identity, self.x_point, self.reply = packet.identity, packet.x_point, None
        self.post(_I.X(packet))

    # -- conditions

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
            self.reply = crypto.server_reply(self.host.secret, y, self.x_point, *identities)
        except WireError:
            self.post(_I.BAD(p.SpokeFailure(p.SpokeFault.POINT)))
        else:
            self.host.say(self.key, p.YAndServerValidator(self.reply.y_point, self.reply.validator))

    def judge(self, proof: p.ClientValidator) -> None:
        assert self.reply is not None  # Y was sent
        try:
            crypto.server_check(self.reply.expected, proof.validator)
        except WireError:
            self.post(_I.BAD(p.SpokeFailure(p.SpokeFault.CLIENT_VALIDATOR)))
        else:
            self.post(_I.PROVEN(self.reply.keys))

    def agree(self, keys: crypto.SharedKeys) -> None:
        """It was no guess."""
        self.host.turns.guesses.clear(self.key)
        self.reply, self.agreed = None, Agreed(self.key, self.identity, keys, self.host.public)
        self.host.say(self.key, p.Agreement())

    def tell_refused(self) -> None:
        self.tell(Failure.REFUSED)

    def be_taken(self) -> None:
        assert self.agreed is not None  # AGREED says so
        self.host.way.post(PeerInput.TAKEN(self.agreed))


_H: Final = Handshake
_BUSY: Final = (_S.HELD, _S.ANSWERED, _S.AGREED)

Handshake.meanings = {
    p.XAndClientIdentity: _I.X,
    p.ClientValidator: _I.PROOF,
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
    },
    rows=(
        Row(_S.NEW, _I.X, _S.ENDED, _H.leave, _H.exhaust, when=_H.is_last_guess, ref="guesses"),
        Row(_S.NEW, _I.X, _S.ENDED, _H.leave, when=_H.is_excessive, ref="guesses"),
        Row(_S.NEW, _I.X, _S.HELD, _H.wait, when=_H.is_held_back, ref="turns"),
        Row(_S.NEW, _I.X, _S.ANSWERED, _H.take_turn, _H.answer, arm=(_T.ANSWER,), ref="answering a client"),
        Row(_S.HELD, _I.ANSWER, _S.ANSWERED, _H.answer, arm=(_T.ANSWER,), ref="turns"),
        Row(_S.ANSWERED, _I.PROOF, None, _H.judge, ref="the agreement"),
        Row(_S.ANSWERED, _I.PROVEN, _S.AGREED, _H.agree, _H.tell_agreed, cancel=(_T.ANSWER,), ref="the agreement"),
        Row(_S.ANSWERED, _I.BAD, _S.ENDED, _H.fail, _H.leave, ref="failures"),
        Row(_S.ANSWERED, _I.EXPIRED, _S.ENDED, _H.tell_silent, _H.leave, ref="times and limits"),
        Row(_S.AGREED, _I.ACCEPTED, _S.ENDED, _H.be_taken, ref="the agreement"),
        Row((_S.HELD, _S.ANSWERED), _I.ACCEPTED, None, _H.send_no_handshake, ref="failures"),
        Row(_S.AGREED, _I.REFUSED, _S.ENDED, _H.tell_refused, _H.leave, ref="the agreement"),
        Row(_BUSY, _I.FAILED, _S.ENDED, _H.tell_failed, _H.leave, ref="failures"),
        Row(_BUSY, _I.GONE, _S.ENDED, _H.tell_gone, _H.leave, ref="failures"),
    ),
    defaults=(Default(Outcome.IGNORE, "out of order"),),
)
