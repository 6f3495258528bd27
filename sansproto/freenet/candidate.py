"""A session that somebody asked for, and nobody confirmed: docs/protocols/freenet.rst, intros."""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Annotated, Final, Protocol

from ..component import Component, DatagramHost
from ..contract import Address, Instant, Path
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED, MEMO
from . import packets as p
from .crypto import Cipher
from .events import FreenetEvent
from .generation import PREFIX, Keys, Made
from .limits import FreenetDelays
from .versions import Version


class CandidateHost(DatagramHost[FreenetEvent], Protocol):
    """What it asks of the endpoint."""

    version: Version
    delays: FreenetDelays


class CandidateOwner(Protocol):
    """What it asks of its address."""

    @property
    def path(self) -> Path: ...
    @property
    def has_live(self) -> bool: ...
    @property
    def may_ack(self) -> bool: ...
    @property
    def has_place(self) -> bool: ...
    def confirm(self, candidate: Candidate) -> None: ...
    def send_ack(self, datagram: bytes, name: str) -> None: ...
    def note_answered(self, intro: bytes) -> None: ...
    def forget_candidate(self, intro: bytes) -> None: ...


class CandidateState(Enum):
    NEW = 0
    WAITING = 1
    """An intro was answered. Nothing came that shows that somebody heard it."""
    HEARD = 2
    """Something opened under its key. It may be the second handshake with a peer that we call ourselves."""
    GONE = 3


class CandidateInput:
    OFFERED = Input[CandidateState, None]()
    REPEATED = Input[CandidateState, None]()
    HEARD = Input[CandidateState, None]()
    NOT_LINKED = Input[CandidateState, None]()
    EXPIRED = Input[CandidateState, None]()


class Candidate(Component[CandidateState, CandidateHost]):
    """A session that somebody asked for with an intro, by the bytes of that. Its key to receive is our own."""

    send_key: bytes
    receive_key: bytes
    nonces: bytes
    version: Version
    born: Instant
    since: Instant
    """When its intro was answered first, or came if it was not: who waited for an answer has to have time to use it."""
    acked: Instant
    """When its intro was answered last."""
    acks: int
    """How often."""
    opening: Annotated[Cipher | None, MEMO]
    owner: Annotated[CandidateOwner, CACHED]
    intro: Annotated[bytes, CACHED]
    delays: Annotated[FreenetDelays, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: CandidateHost, owner: CandidateOwner, intro: bytes) -> None:
        super().__init__(host)
        self.owner, self.intro, self.delays, self.opening = owner, intro, host.delays, None
        self.send_key = self.receive_key = self.nonces = b""
        self.version, self.acked, self.acks = Version((0, 0, 0)), -inf, 0
        self.born = self.since = 0.0

    def begin(self, send_key: bytes, version: Version) -> None:
        name = f"candidate.{self.intro[1:9].hex()}"
        self.send_key, self.version, self.born = send_key, version, self.host.clock
        self.since = self.born
        self.receive_key = self.host.draw(p.KEY_SIZE, f"{name}.key")
        self.nonces = self.host.draw(PREFIX, f"{name}.nonce")

    @property
    def opener(self) -> Cipher:
        opener = self.opening = self.opening or Cipher(self.receive_key)
        return opener

    def made(self) -> Made:
        """What its session begins with: the round trip is at most that since its first answer."""
        round_trip = self.host.clock - self.born
        return Made(Keys(self.send_key, self.receive_key), self.owner.path, round_trip, self.version, intro=self.intro)

    # -- conditions, times and actions

    def may_answer(self) -> bool:
        """Beside a session that is there, what is not for its holder is answered rarely."""
        if not self.owner.has_live:
            return True
        is_late = self.host.clock - self.acked >= self.delays.ack_pause
        return is_late and self.owner.may_ack

    def life(self) -> float:
        return min(self.delays.candidate, self.born + self.delays.candidate_max - self.host.clock)

    def until_not_linked(self) -> float:
        return self.delays.link

    def has_no_place(self) -> bool:
        return not self.owner.has_place

    def answer(self) -> None:
        now, self.acks = self.host.clock, self.acks + 1
        if self.acks == 1:
            self.since = now
            self.owner.note_answered(self.intro)
        self.acked = now
        path, ours = self.owner.path, self.host.version
        seen = p.seen_at(Address(path.host, path.port))
        body: p.Body = p.AckConnection(p.Granted(self.receive_key, seen))
        if self.version.takes_version:
            body = p.AckConnectionV2(self.receive_key, seen, ours.wire)
        nonce = self.nonces + self.acks.to_bytes(4, "big")  # a session's end in other bytes: they are little-endian
        datagram = Cipher(self.send_key).seal(nonce, p.Clear(0, (), body).encode())
        self.owner.send_ack(datagram, type(body).__name__)

    def confirm(self) -> None:
        """Nobody showed that it belongs to the session of our own call."""
        self.owner.confirm(self)

    def leave(self) -> None:
        self.owner.forget_candidate(self.intro)


_S, _I, _C = CandidateState, CandidateInput, Candidate


class CandidateTimer:
    LIFE = Timer(_I.EXPIRED, _C.life)
    LINK = Timer(_I.NOT_LINKED, _C.until_not_linked)


_T = CandidateTimer
_REF: Final = "intros"
_TWO: Final = "two calls"
_OPEN: Final = (_S.WAITING, _S.HEARD)

CANDIDATE: Final = Table[Candidate, CandidateState](
    Candidate,
    CandidateInput,
    CandidateTimer,
    name="freenet.candidate",
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={_S.NEW: "what it is made for"},
    rows=(
        Row(_S.NEW, _I.OFFERED, _S.WAITING, _C.answer, when=_C.may_answer, arm=(_T.LIFE,), ref=_REF),
        Row(_S.NEW, _I.OFFERED, _S.WAITING, arm=(_T.LIFE,), ref=_REF),
        Row(_OPEN, _I.REPEATED, None, _C.answer, when=_C.may_answer, arm=(_T.LIFE,), ref=_REF),
        Row(_OPEN, _I.REPEATED, None, arm=(_T.LIFE,), ref=_REF),
        Row(_S.WAITING, _I.HEARD, _S.HEARD, arm=(_T.LINK,), ref=_TWO),
        Row(_S.HEARD, _I.HEARD, None, ref=_TWO),
        Row(_S.HEARD, _I.NOT_LINKED, _S.WAITING, when=_C.has_no_place, ref=_TWO),
        Row(_S.HEARD, _I.NOT_LINKED, _S.GONE, _C.confirm, ref=_TWO),
        Row(_OPEN, _I.EXPIRED, _S.GONE, _C.leave, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
