"""One peer: its sessions, of which one is in use, and what is known of it. docs/protocols/recovery.rst, peers."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

from ..component import Component, Refusal
from ..contract import Instant
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .call import Attempt, Call, CallInput
from .calls import quietly
from .conflict import Conflict, ConflictInput, ConflictState
from .events import (
    Established,
    Expired,
    IdentityConflict,
    PathChanged,
    PeerClosed,
    PeerForgotten,
    PeerLost,
    PeerRestarted,
    Reason,
    Undelivered,
    Unreachable,
)
from .host import RecoveryHost
from .items import NO_INSTANCE, Arrival, CloseReason, Kind, Reply, Route
from .limits import RecoveryConfig, RecoveryDelays
from .paths import Paths
from .poke import Poke, PokeInput
from .rtt import RoundTrip
from .session import Session, SessionInput, SessionState
from .suspicion import Suspicion, SuspicionInput, SuspicionState

QUEUE_FULL: Final = Refusal("too many packets wait for the peer", ref="peers")

_SUSPECT, _UNCONTESTED = SuspicionState.SUSPECT, ConflictState.NONE
_LOADED, _PATH_CHALLENGE = SessionState.LOADED, Kind.PATH_CHALLENGE
"""Looked up once: each packet asks for them."""

PROCESS: Final = 4
"""Bytes of an instance that tell the process; the rest is of its entry about us."""


class PeerOwner(Protocol):
    """What a peer asks of the core."""

    config: RecoveryConfig
    me: bytes

    def times_of(self, route: Route | None) -> RecoveryDelays: ...
    def sessions_of(self, peer: Peer) -> list[Session]: ...
    def session_of(self, sid: bytes | None) -> Session | None: ...
    def add_own_session(self, peer: Peer, call: Call, attempt: Attempt, reply: Reply) -> None: ...
    def remove_session(self, session: Session) -> None: ...
    def drain(self, session: Session) -> None: ...
    def remove_peer(self, peer: Peer) -> None: ...
    def renew_peer(self, peer: Peer, kept: list[Session]) -> None: ...
    def forgive(self, peer: bytes, instance: bytes) -> None: ...
    def moved(self, peer: Peer, old: Route | None) -> None: ...
    def next_generation(self) -> int: ...
    def note_route(self, peer: Peer) -> None: ...
    def make_call(self, peer: Peer) -> Call: ...
    def make_suspicion(self, peer: Peer) -> Suspicion: ...
    def make_poke(self, peer: Peer) -> Poke: ...
    def make_paths(self, peer: Peer) -> Paths: ...
    def make_conflict(self, peer: Peer) -> Conflict: ...


class PeerState(Enum):
    NEW = 0
    """No session with it was ever confirmed."""
    LIVE = 1
    """One is in use."""
    LAPSED = 2
    """The last one reached its end."""
    GONE = 3


class PeerInput:
    CONFIRMED = Input[PeerState, None]()
    LAPSED = Input[PeerState, None]()
    EMPTIED = Input[PeerState, None]()
    FORGET_DUE = Input[PeerState, None]()


class Peer(Component[PeerState, RecoveryHost]):
    """The entry of a peer, by its id."""

    route: Route | None
    dial: Route | None
    """Where it is called, if not at its route."""
    is_called: bool
    """The application wants a session with it."""
    group: bytes
    """Of the route that it came from, if it came by itself; else empty."""
    cur: bytes | None
    """The session in use."""
    in_use_since: Instant
    sids: list[bytes]
    """Its sessions, in the order in which they were made."""
    floor: int | None
    """The stamp of the last session that it began and that was confirmed."""
    instance: bytes
    """What it showed in the session that was confirmed last, or that early packets went to; empty: none."""
    mine: bytes
    """What we show to it."""
    generation: int
    """Of the last session with it that was in use; of a new entry the last one of all peers."""
    restarted: int
    """The first generation of its present instance."""
    rtt: RoundTrip
    queue: list[bytes]
    """What waits for a session. (A list: an empty deque needs ten times as much memory.)"""
    processes: tuple[bytes, ...]
    flaps: tuple[Instant, ...]
    flap_delay: float
    held_until: Instant
    """Up to then another process of it is not heard."""
    call: Call
    suspicion: Suspicion
    poke: Poke
    paths: Paths
    conflict: Conflict
    core: Annotated[PeerOwner, CACHED]
    key: Annotated[bytes, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: RecoveryHost, core: PeerOwner, key: bytes) -> None:
        super().__init__(host)
        self.core, self.key = core, key
        self.route, self.dial, self.cur, self.floor, self.sids = None, None, None, None, []
        self.is_called = False
        self.instance, self.mine, self.group = NO_INSTANCE, NO_INSTANCE, b""
        self.generation = self.restarted = 0
        self.rtt, self.queue = RoundTrip(), []
        self.processes = self.flaps = ()
        self.flap_delay = self.held_until = self.in_use_since = 0.0
        self.call, self.suspicion, self.poke = core.make_call(self), core.make_suspicion(self), core.make_poke(self)
        self.paths, self.conflict = core.make_paths(self), core.make_conflict(self)

    def begin(self, mine: bytes, generation: int, group: bytes) -> None:
        self.mine, self.generation, self.group = mine, generation, group

    # -- what it is

    @property
    def times(self) -> RecoveryDelays:
        return self.core.times_of(self.route or self.dial)

    @property
    def called_at(self) -> Route | None:
        return self.dial or self.route

    @property
    def current(self) -> Session | None:
        return self.core.session_of(self.cur)

    @property
    def is_wanted(self) -> bool:
        return self.is_called or bool(self.queue)

    @property
    def is_unknown(self) -> bool:
        """No session with it was ever confirmed, and nobody here asked for one."""
        return not self.is_called and self.state is PeerState.NEW

    @property
    def is_answer_hidden(self) -> bool:
        """Is the last session of ours that was not confirmed one of another address?"""
        called = self.sessions(SessionState.CALLED)
        return bool(called) and called[-1].is_hidden

    @property
    def can_be_suspected(self) -> bool:
        """Would a hint lead to anything?"""
        return self.cur is not None and self.times.has_hints and self.suspicion.is_open

    @property
    def can_be_pinged(self) -> bool:
        session = self.current
        return session is not None and not session.is_hidden

    @property
    def pto(self) -> float:
        return self.rtt.pto

    @property
    def dead_after(self) -> float:
        """How long it may be silent."""
        times, pto = self.times, self.rtt.pto
        return min(max(6 * pto, times.dead_min), times.dead_max) if pto and times.has_pings else times.dead

    @property
    def probe_after(self) -> float:
        """How long the answer to a ping may take."""
        times = self.times
        return max(min(3 * self.rtt.pto, times.hint_min), times.probe)

    @property
    def poke_after(self) -> float:
        pto = self.rtt.pto
        return max(self.times.poke, 2 * pto) if pto else self.times.probe

    def is_heard(self, instance: bytes) -> bool:
        """Of two processes that take turns, the one that is not in use has to wait."""
        return self.host.clock >= self.held_until or instance[:PROCESS] == self.instance[:PROCESS]

    def sessions(self, *states: SessionState) -> list[Session]:
        """Those in these states, oldest first."""
        return [session for session in self.core.sessions_of(self) if session.state in states]

    # -- what the application asks for

    def connect(self, route: Route) -> None:
        """A session is wanted, at this route."""
        is_elsewhere = self.called_at is not None and route != self.called_at
        self.is_called = True
        if self.cur is None:
            self._set_route(route)
        self.dial = route
        if self.cur is None:
            self.call.post(CallInput.REDIAL() if is_elsewhere else CallInput.START())
        else:
            self.paths.nominate(route)

    def send(self, data: bytes) -> bool:
        """Send a packet of the layer above, now or when there is a session; False if too many wait."""
        if not self.queue and self._send_now(data):
            return True
        if len(self.queue) >= self.core.config.limits.queue:
            self.host.count_refusal(QUEUE_FULL, self)
            return False
        self.queue.append(data)
        if self.cur is None:
            self.call.post(CallInput.START())
        return True

    # -- what its parts ask of it

    def ping(self) -> bytes | None:
        """A ping under the session in use; its value."""
        session = self.current
        return None if session is None or session.is_hidden else session.ping()

    def challenge(self, value: bytes, route: Route) -> None:
        session = self.current
        assert session is not None  # a route is nominated by its packets, or beside it
        session.challenge(value, route)

    def start_call(self) -> None:
        self.call.post(CallInput.START())

    def take_back_call(self) -> None:
        """The session in use is alive: who keeps it wants no other one."""
        if self.times.keeps_sessions:
            self.call.post(CallInput.TAKEN_BACK())

    def urge_call(self) -> None:
        if self.is_wanted or self.cur is not None:
            self.call.post(CallInput.REDIAL() if self.core.config.unlinkable else CallInput.URGE())

    def forget_backoffs(self) -> None:
        self.call.forget_backoffs()
        self.suspicion.forget_hints()

    def transmit(self, data: bytes) -> None:
        """Send where it is, and where it may be."""
        if self.route is not None:
            self.host.transmit(data, self.route)
            other = None if self.paths.other is None else self.paths.also()
            if other is not None:
                self.host.transmit(data, other)

    def move(self, route: Route, seconds: float) -> None:
        """It answered at another route, after so long."""
        old = self.route
        assert old is not None  # or no other one is nominated
        self._set_route(route)
        self.dial = None
        if seconds > 0.0:
            self.rtt.begin(seconds)
        self.host.tell(PathChanged(self.key, self.generation, old=old, new=route))

    def adopt(self, call: Call, attempt: Attempt, reply: Reply) -> None:
        """An Init of ours was answered: who answers came after whoever had begun another session when it was made."""
        for one in self.sessions(SessionState.OFFERED):
            if one.instance != reply.instance and one.confirmed < attempt.made:
                self.core.remove_session(one)
        self.core.add_own_session(self, call, attempt, reply)

    def flush(self) -> None:
        """Send what waits, as far as that goes."""
        sent = 0
        while sent < len(self.queue) and self._send_now(self.queue[sent]):
            sent += 1
        del self.queue[:sent]

    def be_hinted(self, session: Session) -> None:
        """Somebody at its route does not know a session: only that in use matters."""
        if session.sid == self.cur and self.times.has_hints:
            self.suspicion.post(SuspicionInput.HINTED())

    def be_reset(self, session: Session) -> None:
        """Its reset token came, for a session of ours that was not confirmed, or the one in use: once.

        Who has forgotten the one in use has forgotten what the same instance has answered, too.
        """
        is_half_made, is_used = session.state is SessionState.CALLED, session.sid == self.cur
        if session.was_reset or not (is_half_made or is_used):
            return
        session.was_reset = True
        also = [one for one in self.sessions(SessionState.CALLED) if is_used and one.instance == session.instance]
        for one in [session] if is_half_made else also:
            one.was_reset = True
            self.call.post(CallInput.HALF_MADE())
        if is_half_made:
            self.call.post(CallInput.START())
        else:
            self.call.be_reset()

    def call_failed(self, route: Route | None) -> None:
        self.host.tell(Unreachable(self.key, self.generation, route=route))
        self.conflict.post(ConflictInput.UNREACHED())
        session = self.current
        if session is not None:
            session.look_again()
        self.post(PeerInput.EMPTIED())

    def reconsider(self) -> None:
        """A session of ours that was not confirmed is gone."""
        session = self.current
        if session is not None:
            session.look_again()
        if session.is_worn() if session is not None else self.is_wanted:
            self.call.post(CallInput.START())
        self.post(PeerInput.EMPTIED())

    def be_lost(self, other: bytes) -> None:
        self.hand_up()
        self.host.tell(PeerLost(self.key, self.generation, other=other))
        self.core.remove_peer(self)

    # -- what its sessions ask of it

    def order_of(self, session: Session) -> tuple[int, bytes]:
        """Of two sessions that crossed, both ends use the larger one."""
        return session.stamp, self.core.me if session.is_ours else self.key

    def is_behind_sibling(self, session: Session) -> bool:
        """Did its handshake cross with that of the session in use, which is the larger one?"""
        current = self.current
        if current is None or current.is_ours is session.is_ours or current.instance != session.instance:
            return False
        return session.began < current.generation and self.order_of(current) > self.order_of(session)

    def stand_behind(self, session: Session) -> None:
        """A session was confirmed that the one in use outranks: it is open for receiving."""
        session.generation = self.generation
        self._note_floor(session)
        self._end_calls(session)
        self._trim()

    def promote(self, session: Session, arrival: Arrival) -> None:
        """A session was confirmed: it is in use from now on."""
        old, before = self.current, self.instance
        for other in self.sessions(SessionState.OFFERED, SessionState.CALLED):
            is_older = self.sids.index(other.sid) < self.sids.index(session.sid)
            if other is not session and is_older and other.instance != session.instance:
                self.core.remove_session(other)
        self._note_floor(session)
        if old is not None:
            old.post(SessionInput.REPLACED())
        self.cur, self.in_use_since = session.sid, self.host.clock
        self.instance, self.mine = session.instance, session.mine
        reason = Reason.FIRST if self.state is PeerState.NEW else Reason.REKEY
        if before not in (NO_INSTANCE, session.instance):
            reason = Reason.RESTART
        if reason is Reason.RESTART:
            self.hand_up()
            self.rtt.forget()
            self.suspicion.forget_hints()
        self.generation = self.core.next_generation()
        session.generation = self.generation
        if reason is not Reason.REKEY:
            self.restarted = self.generation
        self.core.forgive(self.key, session.instance)
        self._trim()
        self._find_route(session, arrival.route)
        self._tell(session, old, reason, before)
        self._end_calls(session)
        self.suspicion.post(SuspicionInput.CONFIRMED())
        self.poke.post(PokeInput.CONFIRMED())
        self.conflict.post(ConflictInput.CONFIRMED())
        self.post(PeerInput.CONFIRMED())
        self.core.note_route(self)
        self.flush()
        if not session.is_ours and not self.rtt.pto and self.times.has_pings:
            session.ping()

    def heard(self, session: Session, arrival: Arrival, *, newest: bool) -> None:
        """Something genuine and new came in one of its sessions."""
        if session.sid != self.cur:
            return
        if self.suspicion.state is _SUSPECT:
            self.suspicion.post(SuspicionInput.ALIVE())
        if self.conflict.state is not _UNCONTESTED:
            self.conflict.post(ConflictInput.ALIVE())
        if not newest:
            return
        if arrival.route is self.route:  # nearly always
            self.paths.seen = self.host.clock
        else:
            self.copied(arrival)

    def copied(self, arrival: Arrival) -> None:
        """A packet that only the peer can have sent lately came by a route. A challenge is answered there already:
        with one of ours it would be twice as much as came."""
        is_answered = arrival.opened.kind is _PATH_CHALLENGE
        self.paths.note(arrival.route, 0 if is_answered else arrival.size)

    def judge_response(self, arrival: Arrival) -> None:
        self.paths.judge(arrival.opened.body, arrival.route)

    def answered(self, session: Session, value: bytes, seconds: float) -> None:
        """A ping was answered, after so long."""
        self.rtt.measure(seconds)
        if self.poke.is_answered_by(value):
            self.poke.post(PokeInput.ANSWERED())
            session.post(SessionInput.PROVED())
            self.flush()

    def lapse(self, session: Session) -> None:
        """The session in use reached its end. None of those before it takes its place."""
        self.cur = None
        self.host.tell(Expired(self.key, self.generation, handle=session.sid))
        self.post(PeerInput.LAPSED())
        if self.is_wanted:
            self.call.post(CallInput.START())

    def forget_session(self, session: Session) -> None:
        """It is gone; that in use lapses before."""
        self.sids.remove(session.sid)
        if session.is_ours and not session.generation and not session.was_reset:
            self.call.post(CallInput.LOST())
        self.post(PeerInput.EMPTIED())

    def goodbye(self, session: Session, reason: CloseReason) -> None:
        """The peer said goodbye: all that its instance has with us goes; what another one began lives on."""
        current = self.current
        instances = {session.instance, *([] if current is None else [current.instance])}
        kept = [one for one in self.sessions(SessionState.OFFERED) if one.instance not in instances]
        for one in self.core.sessions_of(self):
            if one not in kept:
                self.core.drain(one)
        self.hand_up()
        self.host.tell(PeerClosed(self.key, self.generation, reason=reason))
        self.core.renew_peer(self, kept)

    # -- conditions, times and actions

    def is_unused(self) -> bool:
        return not self.is_called and not self.sids and not self.call.is_outstanding

    def is_wanted_still(self) -> bool:
        return self.is_wanted

    def until_forgotten(self) -> float:
        return self.times.session

    def leave(self) -> None:
        self.core.remove_peer(self)

    def tell_forgotten(self) -> None:
        self.hand_up()
        self.host.tell(PeerForgotten(self.key, self.generation))

    def hand_up(self) -> None:
        """What did not arrive, or may not have: once."""
        unknown = quietly(self.host.unacknowledged, self.key) or ()
        packets = (*unknown, *self.queue)
        self.queue.clear()
        if packets:
            self.host.tell(Undelivered(self.key, self.generation, packets=packets))

    # -- inside

    def _send_now(self, data: bytes) -> bool:
        """Send under the session in use, or before there is one under one of ours that was not confirmed yet."""
        session = self.core.session_of(self.cur)
        if session is not None:
            return session.state is not _LOADED and session.send_app(data)
        early = [one for one in self.sessions(SessionState.CALLED) if self.instance in (NO_INSTANCE, one.instance)]
        if not early or not early[-1].send_app(data):
            return False
        self.instance, self.mine = early[-1].instance, early[-1].mine
        return True

    def _set_route(self, route: Route) -> None:
        old, self.route = self.route, route
        self.paths.settle()
        self.core.moved(self, old)

    def _find_route(self, session: Session, route: Route) -> None:
        """The route of the packet that confirmed a session: it is taken only where nothing else is known, or where
        routes cannot be challenged. A Reply of ours has to have gone there, or anybody could be faster with a copy."""
        if self.route is None and route.reply and session.route is not None:
            route = route if route == session.again else session.route
        home = route if route.reply else quietly(self.host.home, route, self.key)
        self.dial = None
        if home is not None and (self.route is None or ((home.relayed or self.route.relayed) and home != self.route)):
            self._set_route(home)

    def _note_floor(self, session: Session) -> None:
        if not session.is_ours:
            self.floor = session.stamp

    def _end_calls(self, session: Session) -> None:
        won = session.is_ours and not session.was_reset
        self.call.post(CallInput.WON() if won else CallInput.BEATEN())

    def _trim(self) -> None:
        """Of the sessions that were in use, or stand behind, only the latest are kept."""
        behind = [one for one in self.core.sessions_of(self) if one.generation and one.sid != self.cur]
        behind.sort(key=lambda one: (one.confirmed, one.generation))
        for one in behind[: -self.core.config.limits.previous]:
            self.core.remove_session(one)

    def _tell(self, session: Session, old: Session | None, reason: Reason, before: bytes) -> None:
        old_handle = None if old is None else old.sid
        self.host.tell(Established(self.key, self.generation, handle=session.sid, reason=reason, old_handle=old_handle))
        if reason is Reason.RESTART:
            after = session.instance
            self.host.tell(PeerRestarted(self.key, self.generation, old_instance=before, new_instance=after))
            self._note_process(before[:PROCESS], after[:PROCESS])

    def _note_process(self, before: bytes, after: bytes) -> None:
        """A process that comes back means that two of them take turns."""
        times, now, limits = self.times, self.host.clock, self.core.config.limits
        is_back = after != before and after in self.processes
        others = (process for process in self.processes if process not in (before, after))
        self.processes = (*others, *dict.fromkeys((before, after)))[-limits.processes :]
        self.flaps = tuple(at for at in self.flaps if now - at <= times.flap_window)
        if not is_back:
            return
        if not self.flaps:
            self.flap_delay = 0.0
        self.flaps = (*self.flaps, now)
        if len(self.flaps) > limits.flaps:
            self.flaps = self.flaps[1:]
            self.flap_delay = min(max(2 * self.flap_delay, times.flap_delay), times.flap_delay_max)
            self.held_until = now + self.flap_delay
            self.host.tell(IdentityConflict(self.key, self.generation))


_S, _I, _C = PeerState, PeerInput, Peer


class PeerTimer:
    FORGET = Timer(_I.FORGET_DUE, _C.until_forgotten)


_T = PeerTimer
_REF: Final = "peers"

PEER: Final = Table[Peer, PeerState](
    Peer,
    PeerInput,
    PeerTimer,
    name="recovery.peer",
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={_S.NEW: "the end of its sessions and calls", _S.LIVE: "the end of the session in use"},
    rows=(
        Row((_S.NEW, _S.LIVE, _S.LAPSED), _I.CONFIRMED, _S.LIVE, cancel=(_T.FORGET,), ref=_REF),
        Row(_S.LIVE, _I.LAPSED, _S.LAPSED, arm=(_T.FORGET,), ref=_REF),
        Row(_S.NEW, _I.EMPTIED, _S.GONE, _C.leave, when=_C.is_unused, ref=_REF),
        Row((_S.NEW, _S.LIVE, _S.LAPSED), _I.EMPTIED, None, ref=_REF),
        Row(_S.LAPSED, _I.FORGET_DUE, None, when=_C.is_wanted_still, arm=(_T.FORGET,), ref=_REF),
        Row(_S.LAPSED, _I.FORGET_DUE, _S.GONE, _C.tell_forgotten, _C.leave, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
