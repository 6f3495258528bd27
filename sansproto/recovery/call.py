"""Our own handshake with a peer: at most one at a time. docs/protocols/recovery.rst, R6 own handshake."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, Protocol

import attrs

from ..component import Component, Refusal
from ..contract import Instant
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..rates import keep_newest
from ..snapshot import CACHED
from .calls import attempt, quietly
from .host import RecoveryHost
from .items import Call as Offer
from .items import Challenge, Reply, Route
from .limits import RecoveryConfig, RecoveryDelays, growing

NOT_MADE: Final = Refusal("the host could not make an init", ref="what the host does")

_JITTER: Final = 0.3
_FOLLOWS: Final = 3
"""So many times the longest pause after a start, what comes next does not wait."""


@attrs.define(weakref_slot=False)
class Attempt:
    """One Init of a handshake. It is sent again as it is; another token needs another attempt."""

    sid: bytes
    hs_id: bytes
    data: bytes = attrs.field(repr=False)
    token: bytes
    made: Instant
    address: int
    """At which of our addresses it was made."""
    is_challenged: bool = False
    """A challenge with proof was answered by another attempt."""


@attrs.define(eq=False, weakref_slot=False)
class Challenged:
    """A challenge that arrived, for one of the attempts."""

    sid: bytes
    route: Route
    packet: Any


@attrs.define(eq=False, weakref_slot=False)
class Replied:
    """A Reply that arrived, for one of the attempts."""

    sid: bytes
    packet: Any


@attrs.define(eq=False, weakref_slot=False)
class Won:
    """What an attempt was answered with."""

    sid: bytes
    reply: Reply


@attrs.define(eq=False, weakref_slot=False)
class Demand:
    """What was asked of an attempt."""

    sid: bytes
    challenge: Challenge


class CallPeer(Protocol):
    """What a call asks of the peer that it is to."""

    key: bytes
    mine: bytes
    cur: bytes | None
    generation: int

    @property
    def times(self) -> RecoveryDelays: ...
    @property
    def poke_after(self) -> float: ...
    @property
    def called_at(self) -> Route | None: ...
    @property
    def is_wanted(self) -> bool: ...
    @property
    def is_answer_hidden(self) -> bool: ...
    def is_heard(self, instance: bytes) -> bool: ...
    def adopt(self, call: Call, attempt: Attempt, reply: Reply) -> None: ...
    def call_failed(self, route: Route | None) -> None: ...
    def reconsider(self) -> None: ...


class CallOwner(Protocol):
    """What a call asks of the core."""

    config: RecoveryConfig
    address: int

    def is_elsewhere(self, address: int) -> bool: ...
    def new_sid(self) -> bytes: ...
    def new_stamp(self) -> int: ...
    def add_attempt(self, attempt: Attempt, call: Call) -> None: ...
    def remove_attempt(self, attempt: Attempt, *, erase: bool) -> None: ...


class CallState(Enum):
    IDLE = 0
    WAITING = 1
    """A call was asked for too early."""
    CALLING = 2
    """Our Init was not answered yet."""
    ANSWERED = 3
    """There is a session, but nothing came under it yet."""


class CallInput:
    START = Input[CallState, None]()
    URGE = Input[CallState, None]()
    REDIAL = Input[CallState, None]()
    RESET = Input[CallState, None]()
    """The peer has lost a session, and is there."""
    HOLD = Input[CallState, None]()
    CUT = Input[CallState, None]()
    CHALLENGED = Input[CallState, Demand]()
    REPLIED = Input[CallState, Won]()
    WON = Input[CallState, None]()
    BEATEN = Input[CallState, None]()
    LOST = Input[CallState, None]()
    HALF_MADE = Input[CallState, None]()
    TAKEN_BACK = Input[CallState, None]()
    RESEND_DUE = Input[CallState, None]()
    GIVE_UP_DUE = Input[CallState, None]()
    START_DUE = Input[CallState, None]()


class Call(Component[CallState, RecoveryHost]):
    """The handshake of ours with one peer, and when the next one may begin."""

    attempts: tuple[Attempt, ...]
    stamp: int
    began: Instant
    generation: int
    """The peer's when the handshake began."""
    pause: float
    sent: Instant
    """When an Init was sent last."""
    was_held: bool
    starts: int
    """Handshakes that began since a session was confirmed."""
    last_start: Instant
    next_start: Instant
    challenges: int
    """Challenges without proof that were answered."""
    next_challenge: Instant
    proven_until: Instant
    """Up to then only challenges with proof are heard."""
    backoffs: dict[Route, Instant]
    """Routes where the peer was not reached: not before then."""
    is_retry: bool
    """What waits is another try, which is made only if a session is still wanted."""
    core: Annotated[CallOwner, CACHED]
    peer: Annotated[CallPeer, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: RecoveryHost, core: CallOwner, peer: CallPeer) -> None:
        super().__init__(host)
        self.core, self.peer = core, peer
        self.attempts, self.backoffs = (), {}
        self.stamp = self.generation = self.starts = self.challenges = 0
        self.began = self.pause = self.sent = self.last_start = self.next_start = self.next_challenge = (
            self.proven_until
        ) = 0.0
        self.was_held = self.is_retry = False

    # -- what others ask of it

    @property
    def is_outstanding(self) -> bool:
        return self.state in (CallState.CALLING, CallState.ANSWERED)

    @property
    def age(self) -> float:
        return self.host.clock - self.began

    def cut_backoffs(self) -> None:
        """The peer is there: its own handshake gets a little time, then ours goes on."""
        latest = self.host.clock + self.peer.times.rto
        for route, until in self.backoffs.items():
            self.backoffs[route] = min(until, latest)
        self.post(CallInput.CUT())

    def forget_backoffs(self) -> None:
        self.backoffs.clear()

    def be_reset(self) -> None:
        """The peer's reset token came: it is there, and waits for us."""
        self.backoffs.clear()
        self.post(CallInput.RESET())

    # -- guards

    def is_from_called_route(self, challenged: Challenged) -> bool:
        route = challenged.route
        home = route if route.reply else quietly(self.host.home, route, self.peer.key)
        return home == self.peer.called_at

    def open_challenge(self, challenged: Challenged) -> Demand | None:
        challenge = attempt(self.host.open_challenge, challenged.sid, challenged.packet)
        return None if challenge is None else Demand(challenged.sid, challenge)

    def is_from_here(self, challenged: Challenged) -> bool:
        """The token of another address is good for nothing here."""
        return not self.core.is_elsewhere(self._attempt(challenged.sid).address)

    def is_first(self, demand: Demand) -> bool:
        """With proof it is answered once for each attempt."""
        return not (demand.challenge.proven and self._attempt(demand.sid).is_challenged)

    def may_answer(self, demand: Demand) -> bool:
        """Without proof after longer and longer pauses."""
        return demand.challenge.proven or self.host.clock >= max(self.next_challenge, self.proven_until)

    def open_reply(self, replied: Replied) -> Won | None:
        reply = attempt(self.host.open_reply, replied.sid, replied.packet)
        return None if reply is None else Won(replied.sid, reply)

    def is_heard(self, won: Won) -> bool:
        return self.peer.is_heard(won.reply.instance)

    def is_attempt(self, about: Challenged | Replied) -> bool:
        """An attempt that was there when the packet came may have gone since."""
        return any(one.sid == about.sid for one in self.attempts)

    # -- conditions

    def is_due(self) -> bool:
        return self.until_start() <= 0.0

    def is_route_free(self) -> bool:
        return self.until_route() <= 0.0

    def is_first_hold(self) -> bool:
        return not self.was_held

    def is_no_more_wanted(self) -> bool:
        return self.is_retry and not self.peer.is_wanted

    def is_answer_hidden(self) -> bool:
        """Can its session not be confirmed any more, since we are at another address?"""
        return self.peer.is_answer_hidden

    # -- times

    def until_start(self) -> float:
        return max(self.next_start - self.host.clock, self.until_route())

    def until_route(self) -> float:
        """Until the route may be used that was in vain."""
        route = self.peer.called_at
        return self.backoffs.get(route, 0.0) - self.host.clock if route is not None else 0.0

    def first_pause(self) -> float:
        return self._jittered(self.peer.times.rto)

    def next_pause(self) -> float:
        return self._jittered(self._longer())

    def held_pause(self) -> float:
        return 2 * self.peer.times.rto

    def until_overdue(self) -> float:
        """Until the answer to the last Init should have come."""
        return max(self.sent + self.peer.poke_after - self.host.clock, 0.0)

    def until_given_up(self) -> float:
        return self.peer.times.give_up

    def until_retry(self) -> float:
        return self.peer.times.retry

    # -- actions

    def remember(self) -> None:
        """It is asked for, not only tried again."""
        self.is_retry = False

    def begin(self) -> None:
        """A new handshake: another stamp, no token."""
        times, now = self.peer.times, self.host.clock
        self.drop_attempts()
        self.stamp, self.generation = self.core.new_stamp(), self.peer.generation
        self.began, self.pause = now, times.rto
        self.was_held, self.is_retry = False, False
        self.challenges, self.next_challenge, self.proven_until = 0, now, now
        self.last_start, self.next_start = now, now + growing(self.starts, times)
        self.starts += 1
        self._attempt_anew(b"")

    def resend(self) -> None:
        """The same Init again, or a new attempt if its token is too old, or it was made at another address."""
        self.pause = self._longer()
        self._send()

    def note_held(self) -> None:
        self.was_held = True

    def send_at_once(self) -> None:
        self.begin_pauses_anew()
        self._send()

    def begin_pauses_anew(self) -> None:
        self.pause = self.peer.times.rto

    def answer_challenge(self, demand: Demand) -> None:
        """Another attempt, with the token."""
        times, now = self.peer.times, self.host.clock
        if demand.challenge.proven:
            self._attempt(demand.sid).is_challenged = True
            self.proven_until = now + times.token
        else:
            self.next_challenge = now + growing(self.challenges, times)
            self.challenges += 1
        self.pause = times.rto
        self._attempt_anew(demand.challenge.token)

    def adopt(self, won: Won) -> None:
        attempt = self._attempt(won.sid)
        self.attempts = tuple(one for one in self.attempts if one is not attempt)
        self.core.remove_attempt(attempt, erase=False)
        self.drop_attempts()
        self.peer.adopt(self, attempt, won.reply)

    def drop_attempts(self) -> None:
        for one in self.attempts:
            self.core.remove_attempt(one, erase=True)
        self.attempts = ()

    def note_confirmed(self) -> None:
        """A session with the peer was confirmed: what comes next need not wait, but soon after a start a little."""
        times = self.peer.times
        is_new = self.host.clock - self.last_start > _FOLLOWS * times.rto_max
        self.starts, self.next_start = 0, self.host.clock if is_new else self.last_start + times.rto
        self.backoffs.clear()

    def give_up(self) -> None:
        route = self.peer.called_at
        if route is not None:
            keep_newest(self.backoffs, route, self.host.clock + self.peer.times.retry, self.core.config.limits.routes)
        self.is_retry = True
        self.drop_attempts()
        self.peer.call_failed(route)

    def reconsider(self) -> None:
        self.peer.reconsider()

    # -- inside

    def _attempt(self, sid: bytes) -> Attempt:
        return next(one for one in self.attempts if one.sid == sid)

    def _attempt_anew(self, token: bytes) -> None:
        """Another Init; the first attempt, the one before this one and this one can still be answered."""
        peer, route = self.peer, self.peer.called_at
        sid = self.core.new_sid()
        offer = Offer(peer.key, sid, self.stamp, peer.mine, token, route)
        try:
            made = self.host.make_init(offer)
        except Exception:  # docs/protocols/recovery.rst, what the host does.
            self.host.count_refusal(NOT_MADE, self)
            return
        new = Attempt(sid, made.hs_id, made.data, token, self.host.clock, self.core.address)
        self.attempts = (*self.attempts, new)
        self.core.add_attempt(new, self)
        if len(self.attempts) > self.core.config.limits.attempts:
            first, second, *newer = self.attempts
            self.attempts = (first, *newer)
            self.core.remove_attempt(second, erase=True)
        self._transmit(new)

    def _send(self) -> None:
        last = self.attempts[-1] if self.attempts else None
        is_old = last is not None and bool(last.token) and self.host.clock - last.made > self.peer.times.token
        if last is None or is_old or self.core.is_elsewhere(last.address):
            self._attempt_anew(b"")
        else:
            self._transmit(last)

    def _transmit(self, one: Attempt) -> None:
        route = self.peer.called_at
        self.sent = self.host.clock
        if route is not None:
            self.host.transmit(one.data, route)

    def _longer(self) -> float:
        """The pause behind the next one: of a peer that has answered it is short."""
        times, has_answered = self.peer.times, any(one.token for one in self.attempts)
        most = times.rto_max if has_answered or not times.search_max else times.search_max
        return min(2 * self.pause, most)

    def _jittered(self, seconds: float) -> float:
        drawn = int.from_bytes(self.host.draw(2, "recovery.jitter"), "little")
        return seconds * (1 + _JITTER * drawn / 65535)


_S, _I, _C = CallState, CallInput, Call

CHALLENGE: Final = (
    Guards.of(Call, CallState, Challenged, "challenge")
    .need(_C.is_attempt, "unknown handshake", ref="R5 freshness")
    .need(_C.is_from_called_route, "a challenge from elsewhere", ref="R5 freshness")
    .need(_C.is_from_here, "a challenge to another address", ref="R18 network change")
    .make(_C.open_challenge, "a challenge that does not open", ref="R5 freshness")
    .need(_C.is_first, "a challenge that was answered", ref="R5 freshness")
    .need(_C.may_answer, "a challenge too soon", ref="R5 freshness")
    .give(_I.CHALLENGED)
)

REPLY: Final = (
    Guards.of(Call, CallState, Replied, "reply")
    .need(_C.is_attempt, "unknown handshake", ref="R8 confirm")
    .make(_C.open_reply, "a reply that does not open", ref="R1 opaque")
    .need(_C.is_heard, "another process of a peer, too soon", ref="R12 myself")
    .give(_I.REPLIED)
)


class CallTimer:
    RESEND_FIRST = Timer(_I.RESEND_DUE, _C.first_pause)
    RESEND = Timer(_I.RESEND_DUE, _C.next_pause)
    RESEND_HELD = Timer(_I.RESEND_DUE, _C.held_pause)
    RESEND_OVERDUE = Timer(_I.RESEND_DUE, _C.until_overdue)
    GIVE_UP = Timer(_I.GIVE_UP_DUE, _C.until_given_up)
    START = Timer(_I.START_DUE, _C.until_start)
    RETRY = Timer(_I.START_DUE, _C.until_retry)


_T = CallTimer
_RESENDS: Final = (_T.RESEND_FIRST, _T.RESEND, _T.RESEND_HELD, _T.RESEND_OVERDUE)
_CALLS: Final = (*_RESENDS, _T.GIVE_UP)
_WAITS: Final = (_T.START, _T.RETRY)
_RESTS: Final = (_S.IDLE, _S.WAITING)
_ASKS: Final = _I.START | _I.RESET
_R6: Final = "R6 own handshake"
_BEGINS: Final = (_T.RESEND_FIRST, _T.GIVE_UP)


def _but(timer: Timer[Call, CallState]) -> tuple[Timer[Call, CallState], ...]:
    """The other timers until an Init is sent again."""
    return tuple(one for one in _RESENDS if one is not timer)


CALL: Final = Table[Call, CallState](
    Call,
    CallInput,
    CallTimer,
    name="recovery.call",
    initial=_S.IDLE,
    idle={_S.IDLE: "whoever wants a session", _S.ANSWERED: "the first packet of the session, or its end"},
    rows=(
        Row(_RESTS, _ASKS, _S.CALLING, _C.begin, when=_C.is_due, cancel=_WAITS, arm=_BEGINS, ref=_R6),
        Row(_RESTS, _ASKS, _S.WAITING, _C.remember, cancel=(_T.RETRY,), arm=(_T.START,), ref="pace"),
        Row(
            *(_RESTS, _I.URGE | _I.REDIAL, _S.CALLING, _C.begin),
            when=_C.is_route_free,
            cancel=_WAITS,
            arm=_BEGINS,
            ref="pace",
        ),
        Row(_RESTS, _I.URGE | _I.REDIAL, _S.WAITING, _C.remember, cancel=(_T.RETRY,), arm=(_T.START,), ref="pace"),
        Row(_S.WAITING, _I.START_DUE, _S.IDLE, when=_C.is_no_more_wanted, ref="pace"),
        Row(_S.WAITING, _I.START_DUE, _S.CALLING, _C.begin, arm=_BEGINS, ref="pace"),
        Row(_S.WAITING, _I.CUT, None, cancel=(_T.RETRY,), arm=(_T.START,), ref="pace"),
        Row((_S.IDLE, _S.CALLING, _S.ANSWERED), _I.CUT, None, ref="pace"),
        Row((_S.CALLING, _S.ANSWERED), _I.START, None, ref=_R6),
        Row(_S.CALLING, _I.URGE, None, _C.send_at_once, cancel=_but(_T.RESEND_FIRST), arm=_BEGINS, ref="poke"),
        Row(
            *(_S.CALLING, _I.RESET, None, _C.begin_pauses_anew),
            cancel=_but(_T.RESEND_OVERDUE),
            arm=(_T.RESEND_OVERDUE, _T.GIVE_UP),
            ref="R3 hint",
        ),
        Row(_S.CALLING, _I.REDIAL, None, _C.begin, cancel=_but(_T.RESEND_FIRST), arm=_BEGINS, ref="pace"),
        Row(
            *(_S.ANSWERED, _I.REDIAL, _S.CALLING, _C.begin),
            when=_C.is_answer_hidden,
            arm=_BEGINS,
            ref="R18 network change",
        ),
        Row(_S.ANSWERED, _I.URGE | _I.REDIAL | _I.RESET, None, ref=_R6),
        Row(_S.CALLING, _I.RESEND_DUE, None, _C.resend, arm=(_T.RESEND,), ref=_R6),
        Row(
            *(_S.CALLING, _I.HOLD, None, _C.note_held),
            when=_C.is_first_hold,
            cancel=_but(_T.RESEND_HELD),
            arm=(_T.RESEND_HELD,),
            ref="R7 accept",
        ),
        Row((_S.IDLE, _S.WAITING, _S.CALLING, _S.ANSWERED), _I.HOLD, None, ref="R7 accept"),
        Row(
            *(_S.CALLING, _I.CHALLENGED, None, _C.answer_challenge),
            cancel=_but(_T.RESEND_FIRST),
            arm=(_T.RESEND_FIRST,),
            ref="R5 freshness",
        ),
        Row(_S.CALLING, _I.REPLIED, _S.ANSWERED, _C.adopt, cancel=_CALLS, ref="R8 confirm"),
        Row(_S.CALLING, _I.GIVE_UP_DUE, _S.WAITING, _C.give_up, cancel=_RESENDS, arm=(_T.RETRY,), ref=_R6),
        Row(
            (_S.CALLING, *_RESTS),
            _I.BEATEN | _I.WON,
            _S.IDLE,
            _C.drop_attempts,
            _C.note_confirmed,
            cancel=(*_CALLS, *_WAITS),
            ref="R8 confirm",
        ),
        Row(_S.ANSWERED, _I.WON, _S.IDLE, _C.note_confirmed, ref="R8 confirm"),
        Row(_S.ANSWERED, _I.BEATEN, None, _C.note_confirmed, ref="R8 confirm"),
        Row(_S.ANSWERED, _I.LOST, _S.IDLE, _C.reconsider, ref=_R6),
        Row(
            (_S.CALLING, _S.WAITING), _I.TAKEN_BACK, _S.IDLE, _C.drop_attempts, cancel=(*_CALLS, *_WAITS), ref="silence"
        ),
        Row((_S.IDLE, _S.ANSWERED), _I.TAKEN_BACK, None, ref="silence"),
        Row(_S.ANSWERED, _I.HALF_MADE, _S.IDLE, ref="R3 hint"),
        Row((_S.CALLING, *_RESTS), _I.LOST | _I.HALF_MADE, None, ref=_R6),
    ),
    defaults=(
        Default(Outcome.IGNORE, "unknown handshake", _I.CHALLENGED, _I.REPLIED),
        Default(Outcome.IGNORE, "late"),
    ),
)
