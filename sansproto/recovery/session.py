"""One set of keys with a peer, from the handshake to its end. docs/protocols/recovery.rst, sessions.

A session knows its own counters, clocks and pings. Which of a peer's sessions is in use is the peer's business.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, TypeVar

from ..component import Component, Note, Refusal
from ..contract import Instant
from ..errors import WireError
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .host import RecoveryHost
from .items import Arrival, CloseReason, Delivery, Kind, Route, Sealed
from .limits import RecoveryDelays
from .owners import SessionOwner, SessionPeer
from .silence import Debt, DebtInput, Silence, SilenceInput
from .window import Window

A = TypeVar("A")

COPY: Final = Note("a second copy", ref="R10 paths")
NOT_SEALED: Final = Refusal("the host could not seal it", ref="what the host does")
HIDDEN: Final = Refusal("the network changed since", ref="poke")
USED_UP: Final = Refusal("no counter is left", ref="R14 keys")

_VALUE: Final = 8
_APP, _CLOSE = Kind.APP, Kind.CLOSE
"""Looked up once: each packet asks for them."""


class SessionState(Enum):
    NEW = 0
    OFFERED = 1
    """We answered the peer's Init; nothing came under it."""
    CALLED = 2
    """The peer answered our Init; nothing came under it."""
    REFUSED = 3
    """We answered the peer's Init only to say no."""
    LOADED = 4
    """Out of a record: the peer is asked whether it still knows it."""
    CURRENT = 5
    """In use."""
    PREVIOUS = 6
    """Replaced; open for receiving."""
    GONE = 7


_CURRENT: Final = SessionState.CURRENT  # looked up once, as kinds are


class SessionInput:
    OFFER = Input[SessionState, None]()
    CALL = Input[SessionState, None]()
    REFUSE = Input[SessionState, None]()
    LOAD = Input[SessionState, None]()
    COPIED = Input[SessionState, Arrival]()
    FIRST = Input[SessionState, Arrival]()
    APP = Input[SessionState, Arrival]()
    PING = Input[SessionState, Arrival]()
    PONG = Input[SessionState, Arrival]()
    CHALLENGE = Input[SessionState, Arrival]()
    RESPONSE = Input[SessionState, Arrival]()
    SIGN = Input[SessionState, Arrival]()
    CLOSED = Input[SessionState, Arrival]()
    PROVED = Input[SessionState, None]()
    REPLACED = Input[SessionState, None]()
    EXPIRED = Input[SessionState, None]()
    REPEAT = Input[SessionState, None]()
    REKEY_DUE = Input[SessionState, None]()


class Session(Component[SessionState, RecoveryHost]):
    """A session, by our id of it."""

    peer_id: bytes
    remote_sid: bytes
    is_ours: bool
    """We sent the Init."""
    stamp: int
    instance: bytes
    """What the peer showed in the handshake."""
    mine: bytes
    """What we showed."""
    hs_id: bytes
    proven: bool
    """Its Init held a good token."""
    route: Route | None
    """Where the answers of its handshake go."""
    again: Route | None
    """Where our Reply was sent again last."""
    reply: bytes
    """Our Reply, which is sent again as it is until the session is confirmed."""
    began: int
    """The peer's generation when the handshake began."""
    confirmed: Instant
    generation: int
    counter: int
    bound: int
    """The first counter that may not be used."""
    alarm: int
    """The counter at which something has to be done before the bound is reached."""
    window: Window
    last_in: Instant
    reset: bytes
    """The peer's reset token."""
    was_reset: bool
    """A reset token came for it."""
    address: int
    """At which of our addresses it was made."""
    pings: dict[bytes, Instant]
    pause: float
    silence: Silence
    debt: Debt
    core: Annotated[SessionOwner[Session], CACHED]
    sid: Annotated[bytes, CACHED]
    peer: Annotated[SessionPeer[Session] | None, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: RecoveryHost, core: SessionOwner[Session], sid: bytes) -> None:
        super().__init__(host)
        self.core, self.sid, self.peer = core, sid, None
        self.peer_id = self.remote_sid = self.instance = self.mine = self.hs_id = self.reply = self.reset = b""
        self.is_ours = self.proven = self.was_reset = False
        self.address = core.address
        self.stamp = self.began = self.generation = self.counter = 0
        self.route, self.again, self.pings, self.pause = None, None, {}, 0.0
        self.silence, self.debt = Silence(host, self), Debt(host, self)
        limits = core.config.limits
        self.bound, self.alarm = limits.packets, limits.rekey_packets
        self.window, self.confirmed, self.last_in = Window(limits.window), 0.0, 0.0

    # -- what others ask of it

    @property
    def entry(self) -> SessionPeer[Session]:
        """The peer that it is with; a session that is refused has none."""
        assert self.peer is not None
        return self.peer

    def answered_at(self, route: Route) -> Route:
        """Where a packet of the handshake is answered that came by a route, of a session that the peer began."""
        home = route if route.reply else self.route
        assert home is not None
        return home

    def send_app(self, data: bytes) -> bool:
        """Send a packet of the layer above; False if nothing may be sent under this session. What the host cannot seal
        is lost, as by the network."""
        if self.counter >= self.bound or self.is_hidden:
            return False
        self._send(self._seal(_APP, data))
        return True

    def ping(self) -> bytes:
        """Send a ping; its value."""
        value = self._new_value()
        self._send(self.seal(Kind.PING, value))
        return value

    def challenge(self, value: bytes, route: Route) -> None:
        """Ask who is at a route, and no one else."""
        packet = self.seal(Kind.PATH_CHALLENGE, value)
        if packet is not None:
            self.host.transmit(packet, route)

    def seal(self, kind: Kind, body: bytes) -> bytes | None:
        """A packet under the next counter. None if none is left, or the host could not: then it is as lost."""
        if self.is_hidden or self.counter >= self.bound:
            self.host.count_refusal(HIDDEN if self.is_hidden else USED_UP, self)
            return None
        return self._seal(kind, body)

    # -- for hosts that number their packets, or some of them, themselves

    def note_sent(self, *, is_watched: bool = False) -> None:
        """The host has sent a packet that should be answered. If it watches itself for the answer, it calls
        :meth:`await_answer` when none came for a while: most come, and need no timer here."""
        if self.silence.since is None:
            self.silence.since = self.host.clock
            if not is_watched:
                self.await_answer()

    def await_answer(self) -> None:
        """What the host has sent, and watched, was not answered up to now."""
        self.silence.watch()

    def note_heard(self) -> None:
        """The host has opened a packet that is newer than all before, of the session in use. It need not say so while
        no answer is due."""
        self.silence.end()

    def forget_pings(self) -> None:
        """What was asked up to now is not answered by the host's packets."""
        self.pings = {}

    def note_answered(self, value: bytes, seconds: float | None = None) -> None:
        """A ping was answered: if nobody says how long that takes, it took until now."""
        sent = self.pings.pop(value, None)
        self.pings = self.pings or {}  # one that was used needs more memory
        if sent is not None:
            self.entry.answered(self, value, self.host.clock - sent if seconds is None else seconds)
            self.silence.look_sooner()

    def look_again(self) -> None:
        """Its silence had no end: begin anew with the next packet that should be answered."""
        self.silence.begin_anew()

    @property
    def is_hidden(self) -> bool:
        """Is nothing sent under it any more, as that would link the address before a change with the one behind it?"""
        return self.address != self.core.address and self.core.is_elsewhere(self.address)

    @property
    def is_in_use(self) -> bool:
        return self.state is _CURRENT

    @property
    def times(self) -> RecoveryDelays:
        """Of the peer's route, or of that of the handshake while there is none."""
        return self.core.times_of(self.entry.route or self.route)

    @property
    def dead_after(self) -> float:
        return self.entry.dead_after

    def send_keepalive(self) -> None:
        self._give(self.seal(Kind.KEEPALIVE, bytes(_VALUE)))

    def call_anew(self) -> None:
        self.entry.start_call()

    def take_back_call(self) -> None:
        """Its silence had an end after all."""
        self.entry.take_back_call()

    @property
    def is_unconfirmed_offer(self) -> bool:
        """Did the peer begin it, and is its first packet still to come?"""
        return not self.is_ours and self.state in (SessionState.NEW, SessionState.OFFERED, SessionState.REFUSED)

    def is_worn_by(self, asleep: float) -> bool:
        """Should there be another one, if it is so much older than its clock says?"""
        return self.host.clock - self.confirmed + asleep > self.until_rekey()

    def is_worn(self) -> bool:
        """Should there be another one by now?"""
        limit = self.core.config.limits.rekey_packets
        return self.host.clock - self.confirmed >= self.until_rekey() or self.counter >= min(limit, self.bound)

    # -- guards

    def is_legal(self, packet: Sealed) -> bool:
        return packet.counter < self.core.config.limits.packets

    def open(self, packet: Sealed) -> tuple[Sealed, bytes] | None:
        try:  # as ``attempt`` does, with one call less for each packet
            return packet, self.host.open(packet)
        except WireError:
            raise
        except Exception:
            return None

    def read_clear(self, genuine: tuple[Sealed, bytes]) -> Arrival | None:
        packet, clear = genuine
        try:  # as above
            return Arrival(packet.counter, packet.size, packet.route, self.host.read(packet, clear))
        except WireError:
            raise
        except Exception:
            return None

    def is_copy_of_recent(self, arrival: Arrival) -> bool:
        window = self.window
        return arrival.counter <= window.highest and self.state is _CURRENT and window.is_recent_copy(arrival.counter)

    def is_new(self, arrival: Arrival) -> bool:
        window = self.window
        return arrival.counter > window.highest or window.is_new(arrival.counter)

    def is_close(self, arrival: Arrival) -> bool:
        return arrival.opened.kind is _CLOSE

    def is_unconfirmed(self) -> bool:
        return self.state in _UNCONFIRMED

    def is_app(self, arrival: Arrival) -> bool:
        return arrival.opened.kind is _APP

    def is_ping(self, arrival: Arrival) -> bool:
        return arrival.opened.kind in (Kind.PING, Kind.CONFIRM)

    def is_pong(self, arrival: Arrival) -> bool:
        return arrival.opened.kind is Kind.PONG

    def is_challenge(self, arrival: Arrival) -> bool:
        return arrival.opened.kind is Kind.PATH_CHALLENGE

    def is_response(self, arrival: Arrival) -> bool:
        return arrival.opened.kind is Kind.PATH_RESPONSE

    # -- conditions

    def is_behind_sibling(self) -> bool:
        return self.entry.is_behind_sibling(self)

    def is_contested(self, arrival: Arrival) -> bool:
        return self.core.is_contested(self, arrival.route)

    def is_outdated(self) -> bool:
        """Another session was confirmed since its handshake began."""
        return self.entry.cur is not None and self.began < self.entry.generation

    def is_heard_lately(self) -> bool:
        return self.until_forgotten() > 0.0

    # -- times

    def candidate_life(self) -> float:
        return self.core.times_of(self.route).candidate

    def life(self) -> float:
        return self.times.session

    def rest_of_life(self) -> float:
        return self.confirmed + self.life() - self.host.clock

    def until_forgotten(self) -> float:
        """Of a session that was replaced: counted from that, and from what came in it last."""
        ends = max(self.last_in, self.entry.in_use_since) + self.times.previous
        return min(ends - self.host.clock, self.rest_of_life())

    def first_repeat(self) -> float:
        return self.core.times_of(self.route).rto

    def next_repeat(self) -> float:
        return min(2 * self.pause, self.core.times_of(self.route).rto_max)

    def until_rekey(self) -> float:
        return self.times.rekey * (1.0 if self.is_ours else 1.25)

    def rest_until_rekey(self) -> float:
        return self.confirmed + self.until_rekey() - self.host.clock

    def forget_after(self) -> float:
        return self.times.previous

    # -- actions: the handshake

    def confirm_first(self) -> None:
        self.pause = self.first_repeat()
        self._send_confirm()

    def confirm_again(self) -> None:
        self.pause = self.next_repeat()
        self._send_confirm()

    def promote(self, arrival: Arrival) -> None:
        self._note_confirmed()
        self.entry.promote(self, arrival)

    def stand_behind(self) -> None:
        self._note_confirmed()
        self.entry.stand_behind(self)

    def read(self, arrival: Arrival) -> None:
        """Now that it is confirmed: what the packet is."""
        self.take(CONFIRMED_DATA, arrival)

    def resume(self) -> None:
        """Send what waited."""
        self.entry.flush()

    def turn_away(self, arrival: Arrival) -> None:
        self.core.turn_away(self, arrival.route)

    def contest(self, arrival: Arrival) -> None:
        self.core.contest(self, arrival.route)

    # -- actions: packets

    def hear(self, arrival: Arrival) -> None:
        """A packet that is genuine and new: the session is alive."""
        self.last_in = self.host.clock
        window = self.window
        if self.last_in >= window.until:
            window.grow_old(self.last_in, self.entry.probe_after)
        newest = window.mark(arrival.counter)
        self.silence.end()
        self.entry.heard(self, arrival, newest=newest)

    def deliver(self, arrival: Arrival) -> None:
        peer = self.entry
        stale = self.generation < peer.restarted
        self.host.deliver(Delivery(peer.key, self.generation, self.sid, arrival.opened.body, stale=stale))

    def owe(self) -> None:
        self.debt.owe()

    def answer_ping(self, arrival: Arrival) -> None:
        body = arrival.opened.body
        if arrival.opened.kind is Kind.CONFIRM:
            self.reset = body[_VALUE:]
        self._give(self.seal(Kind.PONG, body[:_VALUE]))

    def note_pong(self, arrival: Arrival) -> None:
        self.note_answered(arrival.opened.body)

    def answer_challenge(self, arrival: Arrival) -> None:
        """Where it came from, and nowhere else."""
        packet = self.seal(Kind.PATH_RESPONSE, arrival.opened.body)
        if packet is not None:
            self.host.transmit(packet, arrival.route)

    def judge_response(self, arrival: Arrival) -> None:
        self.entry.judge_response(arrival)

    def note_copy(self, arrival: Arrival) -> None:
        self.host.count_note(COPY, self)
        self.entry.copied(arrival)

    def close(self, arrival: Arrival) -> None:
        code = arrival.opened.body[0]
        self.entry.goodbye(self, CloseReason(code) if code in _CLOSE_CODES else CloseReason.NORMAL)

    # -- actions: time

    def rest(self) -> None:
        """It is not in use any more: nobody watches, and nothing is owed."""
        self.silence.post(SilenceInput.STOP())
        self.debt.post(DebtInput.STOP())

    def lapse(self) -> None:
        self.entry.lapse(self)

    # -- actions: the end

    def drain(self) -> None:
        self.core.drain(self)

    def leave(self) -> None:
        self.core.remove_session(self)

    # -- inside

    def _note_confirmed(self) -> None:
        self.confirmed, self.reply = self.host.clock, b""
        self.core.note_confirmed(self)

    def _seal(self, kind: Kind, body: bytes) -> bytes | None:
        counter = self.counter
        self.counter = counter + 1
        try:
            packet = self.host.seal(self.sid, counter, kind, body)
        except Exception:  # docs/protocols/recovery.rst, what the host does.
            self.host.count_refusal(NOT_SEALED, self)
            return None
        if counter >= self.alarm:
            self._run_out()
        self.debt.pay()
        return packet

    def _give(self, packet: bytes | None) -> None:
        """What is not answered."""
        if packet is not None:
            self.entry.transmit(packet)

    def _send(self, packet: bytes | None) -> None:
        """What should be answered."""
        if packet is not None:
            self.silence.await_answer()
            self.entry.transmit(packet)

    def _send_confirm(self) -> None:
        packet = self.seal(Kind.CONFIRM, self._new_value() + self.host.reset_token(self.sid))
        route = self.entry.called_at
        if packet is not None and route is not None:
            self.silence.await_answer()
            self.host.transmit(packet, route)

    def _new_value(self) -> bytes:
        """8 bytes that come back with the answer. Of too many that were not answered the oldest is forgotten."""
        value = self.host.draw(_VALUE, f"recovery.value.{self.sid.hex()}.{self.counter}")
        self.pings[value] = self.host.clock
        while len(self.pings) > self.core.config.limits.pings:
            del self.pings[next(iter(self.pings))]
        return value

    def _run_out(self) -> None:
        """The last counters are near."""
        self.alarm = self.bound - 1
        if self.counter >= min(self.core.config.limits.rekey_packets, self.alarm):
            self.entry.start_call()
        else:
            self.core.ask_save(self)


_S, _I, _C = SessionState, SessionInput, Session
_UNCONFIRMED: Final = (_S.OFFERED, _S.CALLED, _S.REFUSED)
_LIVE: Final = (_S.LOADED, _S.CURRENT)
_OPEN: Final = (*_LIVE, _S.PREVIOUS)
_CLOSE_CODES: Final = {reason.value for reason in CloseReason}


def _by_kind(guards: Guards[Session, SessionState, A, Arrival]) -> Guards[Session, SessionState, A, None]:
    """What a packet of a confirmed session is."""
    return (
        guards.give_if(_C.is_app, _I.APP, ref="R2 data")
        .give_if(_C.is_ping, _I.PING, ref="R2 data")
        .give_if(_C.is_pong, _I.PONG, ref="R2 data")
        .give_if(_C.is_challenge, _I.CHALLENGE, ref="R10 paths")
        .give_if(_C.is_response, _I.RESPONSE, ref="R10 paths")
        .give(_I.SIGN)
    )


DATA: Final = _by_kind(
    Guards.of(Session, SessionState, Sealed, "data")
    .need(_C.is_legal, "a counter out of range", ref="R14 keys")
    .make(_C.open, "data that does not open", ref="R1 opaque")
    .make(_C.read_clear, "data that cannot be read", ref="R1 opaque")
    .give_if(_C.is_copy_of_recent, _I.COPIED, ref="R10 paths")
    .need(_C.is_new, "replay", ref="R2 data")
    .give_if(_C.is_close, _I.CLOSED, ref="R16 goodbye")
    .give_if(_C.is_unconfirmed, _I.FIRST, ref="R8 confirm")
)
"""What a packet is that claims to be of a session."""

CONFIRMED_DATA: Final = _by_kind(Guards.of(Session, SessionState, Arrival, "confirmed data"))
"""The packet that confirmed a session."""


class SessionTimer:
    CANDIDATE = Timer(_I.EXPIRED, _C.candidate_life)
    LIFE = Timer(_I.EXPIRED, _C.life)
    LIFE_REST = Timer(_I.EXPIRED, _C.rest_of_life)
    FORGET = Timer(_I.EXPIRED, _C.forget_after)
    FORGET_LATER = Timer(_I.EXPIRED, _C.until_forgotten)
    REPEAT = Timer(_I.REPEAT, _C.first_repeat)
    REPEAT_LATER = Timer(_I.REPEAT, _C.next_repeat)
    REKEY = Timer(_I.REKEY_DUE, _C.until_rekey)
    REKEY_REST = Timer(_I.REKEY_DUE, _C.rest_until_rekey)


_T = SessionTimer
_HANDSHAKE: Final = (_T.CANDIDATE, _T.REPEAT, _T.REPEAT_LATER)
_IN_USE: Final = (_T.LIFE, _T.LIFE_REST, _T.REKEY, _T.REKEY_REST)
_R9: Final = "R9 one to send, all to receive"

SESSION: Final = Table[Session, SessionState](
    Session,
    SessionInput,
    SessionTimer,
    name="recovery.session",
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={_S.NEW: "what it is made for"},
    rows=(
        Row(_S.NEW, _I.OFFER, _S.OFFERED, arm=(_T.CANDIDATE,), ref="R7 accept"),
        Row(_S.NEW, _I.CALL, _S.CALLED, _C.confirm_first, _C.resume, arm=(_T.CANDIDATE, _T.REPEAT), ref="R8 confirm"),
        Row(_S.OFFERED, _I.REFUSE, _S.REFUSED, ref="R16 goodbye"),
        Row(_S.NEW, _I.REFUSE, _S.REFUSED, arm=(_T.CANDIDATE,), ref="R16 goodbye"),
        Row(_S.NEW, _I.LOAD, _S.LOADED, arm=(_T.LIFE_REST,), ref="persistence"),
        Row(_S.CALLED, _I.REPEAT, None, _C.confirm_again, arm=(_T.REPEAT_LATER,), ref="R8 confirm"),
        Row(
            *(_S.OFFERED, _I.FIRST, _S.GONE, _C.turn_away, _C.contest, _C.leave),
            when=_C.is_contested,
            ref="R11 same route",
        ),
        Row(
            *((_S.OFFERED, _S.CALLED), _I.FIRST, _S.PREVIOUS, _C.stand_behind, _C.read),
            when=_C.is_behind_sibling,
            cancel=_HANDSHAKE,
            arm=(_T.FORGET,),
            ref="R8 confirm",
        ),
        Row(
            *((_S.OFFERED, _S.CALLED), _I.FIRST, _S.CURRENT, _C.promote, _C.read),
            cancel=_HANDSHAKE,
            arm=(_T.LIFE, _T.REKEY),
            ref="R8 confirm",
        ),
        Row(_S.REFUSED, _I.FIRST, _S.GONE, _C.turn_away, _C.leave, ref="R16 goodbye"),
        Row(_LIVE, _I.APP, None, _C.hear, _C.deliver, _C.owe, ref="R2 data"),
        Row(_S.PREVIOUS, _I.APP, None, _C.hear, _C.deliver, ref=_R9),
        Row(_OPEN, _I.PING, None, _C.hear, _C.answer_ping, ref="R2 data"),
        Row(_OPEN, _I.PONG, None, _C.hear, _C.note_pong, ref="R2 data"),
        Row(_OPEN, _I.CHALLENGE, None, _C.hear, _C.answer_challenge, ref="R10 paths"),
        Row(_OPEN, _I.RESPONSE, None, _C.hear, _C.judge_response, ref="R10 paths"),
        Row(_OPEN, _I.SIGN, None, _C.hear, ref="R2 data"),
        Row(_S.CURRENT, _I.COPIED, None, _C.note_copy, _C.judge_response, when=_C.is_response, ref="R10 paths"),
        Row(_S.CURRENT, _I.COPIED, None, _C.note_copy, ref="R10 paths"),
        Row((_S.OFFERED, _S.REFUSED, _S.PREVIOUS), _I.CLOSED, _S.GONE, _C.drain, _C.leave, ref="R16 goodbye"),
        Row(_S.CALLED, _I.CLOSED, _S.GONE, _C.drain, _C.leave, when=_C.is_outdated, ref="R16 goodbye"),
        Row((_S.CALLED, *_LIVE), _I.CLOSED, None, _C.close, ref="R16 goodbye"),
        Row(_S.LOADED, _I.PROVED, _S.CURRENT, _C.resume, arm=(_T.REKEY_REST,), ref="persistence"),
        Row((_S.CURRENT, _S.PREVIOUS), _I.PROVED, None, ref="poke"),
        Row(_LIVE, _I.REPLACED, _S.PREVIOUS, _C.rest, arm=(_T.FORGET,), cancel=_IN_USE, ref="R8 confirm"),
        Row(_S.CURRENT, _I.REKEY_DUE, None, _C.call_anew, ref="R6 own handshake"),
        Row(_UNCONFIRMED, _I.EXPIRED, _S.GONE, _C.leave, ref=_R9),
        Row(_S.PREVIOUS, _I.EXPIRED, None, when=_C.is_heard_lately, arm=(_T.FORGET_LATER,), ref=_R9),
        Row(_S.PREVIOUS, _I.EXPIRED, _S.GONE, _C.leave, ref=_R9),
        Row(_LIVE, _I.EXPIRED, _S.GONE, _C.lapse, _C.leave, ref=_R9),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
