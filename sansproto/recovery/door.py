"""What arrives and belongs to no session yet: handshakes, hints, and data that nobody knows.

docs/protocols/recovery.rst, R4 duplicates, R5 freshness, R7 accept, R12 myself, R13 limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from hmac import compare_digest
from itertools import islice
from typing import Annotated, Any, Final, Protocol

import attrs

from ..component import Component, Note, Parts
from ..machine import Default, Guards, Input, Outcome, Row, Table
from ..rates import Budget, Rate
from ..snapshot import CACHED
from .call import CHALLENGE, REPLY, Call, CallInput, Challenged, Replied
from .calls import attempt, quietly
from .events import DuplicateIdentity, Limit, SelfConnection
from .host import RecoveryHost
from .items import Admission, Hint, Init, Knock, MadeReply, Route, Sealed, Visit
from .limits import RecoveryConfig, RecoveryDelays
from .peer import PROCESS, Peer
from .session import Session
from .tokens import Tokens

HINTED: Final = Note("a hint was sent", ref="R1 opaque")
CHALLENGED: Final = Note("a challenge was sent", ref="R5 freshness")
OUTRANKED: Final = Note("an init that crossed ours and is outranked", ref="R7 accept")
REPEATED: Final = Note("a reply was sent again", ref="R4 duplicates")

LEAST_DATA: Final = 34
"""Bytes of a packet that may be answered with a hint."""

_MICROSECONDS: Final = 1_000_000


@attrs.define(eq=False, weakref_slot=False)
class Weighed:
    """An Init before it is opened. ``proven``: its token is good, if it came by a direct route."""

    knock: Knock
    proven: bool


@attrs.define(eq=False, weakref_slot=False)
class Entered:
    """An Init that was opened, where its answer goes, and whether its token is good."""

    knock: Knock
    init: Init
    route: Route
    proven: bool
    refused: bool = False
    """It gets a session only to be told no."""
    sid: bytes = b""
    mine: bytes = b""
    made: MadeReply | None = None


@attrs.define(eq=False, weakref_slot=False)
class HandshakeReply:
    """A Reply, by the session id of an attempt of ours."""

    sid: bytes
    packet: Any


@attrs.define(eq=False, weakref_slot=False)
class HandshakeChallenge:
    """A challenge, by the session id of an attempt of ours."""

    sid: bytes
    route: Route
    packet: Any


@attrs.define(eq=False, weakref_slot=False)
class Meant:
    """A hint, and the sessions that it may be about."""

    hint: Hint
    sessions: list[Session]


class DoorOwner(Protocol):
    """What the door asks of the core."""

    config: RecoveryConfig
    me: bytes
    process: bytes
    peers: Parts[bytes, Peer]
    tokens: Tokens
    offered: dict[bytes, Session]
    attempts: dict[bytes, Call]
    by_handshake: dict[bytes, Session]
    by_remote: dict[bytes, dict[bytes, Session]]

    def times_of(self, route: Route | None) -> RecoveryDelays: ...
    def free_sid(self) -> bytes: ...
    def instance_for(self, peer: bytes, *, refused: bool) -> bytes: ...
    def has_said(self, peer: bytes, instance: bytes) -> bool: ...
    def add_offered(self, entered: Entered) -> None: ...
    def has_place(self, group: bytes) -> bool: ...
    def evict(self, session: Session, newcomer: bytes) -> None: ...
    def remove_peer(self, peer: Peer) -> None: ...
    def may_tell(self, what: str, about: bytes) -> bool: ...
    def note_limit(self, limit: Limit) -> None: ...


class DoorState(Enum):
    OPEN = 0


class DoorInput:
    DUPLICATE = Input[DoorState, Knock]()
    UNWEIGHED = Input[DoorState, Weighed]()
    TOO_MANY = Input[DoorState, Weighed]()
    KNOCKED = Input[DoorState, Weighed]()
    MYSELF = Input[DoorState, Entered]()
    UNPROVEN = Input[DoorState, Entered]()
    NO_ROOM = Input[DoorState, Entered]()
    OUTRANKED = Input[DoorState, Entered]()
    ACCEPTED = Input[DoorState, Entered]()
    TOO_MANY_REPLIES = Input[DoorState, HandshakeReply]()
    REPLIED = Input[DoorState, HandshakeReply]()
    CHALLENGED = Input[DoorState, HandshakeChallenge]()
    UNKNOWN = Input[DoorState, Sealed]()
    RESET = Input[DoorState, Meant]()
    HINTED = Input[DoorState, Meant]()
    DROPPED_MYSELF = Input[DoorState, None]()
    DROPPED_INIT = Input[DoorState, None]()
    DROPPED_CANDIDATE = Input[DoorState, None]()
    DROPPED_REPLY = Input[DoorState, None]()


class Door(Component[DoorState, RecoveryHost]):
    """Strangers come here. What it spends on them has a budget, and nothing that is there is changed for them."""

    inits: Budget
    """Of Inits without proof: whoever names any address uses it up."""
    proven: Budget
    """Of Inits with proof, which is of nobody else's address."""
    replies: Budget
    """Groups of it are peers: none of those that we call takes what the others need."""
    hints: Budget
    core: Annotated[DoorOwner, CACHED]

    def __init__(self, host: RecoveryHost, core: DoorOwner) -> None:
        super().__init__(host)
        self.core = core
        limits = core.config.limits
        inits = Rate(limits.init_rate, limits.init_burst), Rate(limits.group_rate, limits.group_burst)
        replies = Rate(limits.reply_rate, limits.reply_burst), Rate(limits.peer_reply_rate, limits.peer_reply_burst)
        hints = Rate(limits.hint_rate, limits.hint_burst), Rate(limits.group_hint_rate, limits.group_hint_burst)
        self.inits, self.proven = Budget(host, *inits, limits.groups), Budget(host, *inits, limits.groups)
        self.replies, self.hints = Budget(host, *replies, limits.groups), Budget(host, *hints, limits.groups)

    # -- guards: an Init that was not opened

    def is_of_candidate(self, knock: Knock) -> bool:
        session = self.core.by_handshake.get(knock.hs_id)
        return session is not None and session.sid in self.core.offered

    def is_new_handshake(self, knock: Knock) -> bool:
        return knock.hs_id not in self.core.by_handshake

    def weigh(self, knock: Knock) -> Weighed:
        """Over a relay the token can be judged only when the peer is known: its own route is in there."""
        route = knock.route
        if knock.proven:
            return Weighed(knock, True)
        return Weighed(
            knock, bool(knock.token and route.reply and quietly(self.core.tokens.is_good, knock.token, route))
        )

    def is_over_limit(self, weighed: Weighed) -> bool:
        """Can it be told so without opening it?"""
        return not weighed.proven and weighed.knock.route.reply and not self._has_budget(weighed)

    def is_too_many(self, weighed: Weighed) -> bool:
        return not self._has_budget(weighed)

    # -- guards: an Init

    def open_init(self, weighed: Weighed) -> Entered | None:
        knock = weighed.knock
        init = attempt(self.host.open_init, knock)
        if init is None:
            return None
        if knock.route.reply:
            return Entered(knock, init, knock.route, weighed.proven)
        route = attempt(self.host.home, knock.route, init.peer)
        if route is None:
            return None
        good = bool(knock.token) and quietly(self.core.tokens.is_good, knock.token, route)
        return Entered(knock, init, route, bool(good))

    def is_from_myself(self, entered: Entered) -> bool:
        return entered.init.peer == self.core.me

    def admit(self, entered: Entered) -> Entered | None:
        """A peer with a session, or one that we call ourselves, is let in; of others the host decides."""
        init, peer = entered.init, self.core.peers.get(entered.init.peer)
        if peer is not None and (peer.cur is not None or peer.is_wanted):
            return entered
        said = self.core.has_said(init.peer, init.instance)
        admission = attempt(self.host.admit, Visit(init.peer, init.instance, said, entered.route))
        entered.refused = admission is Admission.REFUSE
        return None if admission in (None, Admission.IGNORE) else entered

    def is_heard(self, entered: Entered) -> bool:
        peer = self.core.peers.get(entered.init.peer)
        return peer is None or peer.is_heard(entered.init.instance)

    def needs_proof(self, entered: Entered) -> bool:
        """Without proof: is it stale, from the future, one of several, or one of many, of its group or of all?"""
        if entered.proven:
            return False
        init, core = entered.init, self.core
        peer = core.peers.get(init.peer)
        if peer is not None and peer.floor is not None and init.stamp <= peer.floor:
            return True
        ahead = init.stamp - self.host.wall() * _MICROSECONDS
        if ahead > core.times_of(entered.route).future * _MICROSECONDS:
            return True
        limits, is_stranger = core.config.limits, not entered.refused and self._is_unknown(init.peer)
        if is_stranger and len(self._strangers_of(entered.route.group)) >= -(-limits.candidates_per_group // 2):
            return True
        return self._is_one_of_several(entered) or len(core.offered) >= limits.candidates // 2

    def has_no_room(self, entered: Entered) -> bool:
        return not self._can_have_entry(entered) or self._victim(entered) is _NOBODY

    def is_outranked(self, entered: Entered) -> bool:
        """Did it cross with a handshake of ours that the peer will prefer, too?"""
        init, peer = entered.init, self.core.peers.get(entered.init.peer)
        if peer is None or entered.refused:
            return False
        crossing, call, current = peer.times.crossing, peer.call, peer.current
        its, me = (init.stamp, init.peer), self.core.me
        if call.is_outstanding and call.age < crossing and entered.route == peer.called_at:
            return (call.stamp, me) > its
        if current is None or not current.is_ours or current.instance != init.instance:
            return False
        is_fresh = self.host.clock - current.confirmed < crossing and entered.route == peer.route
        return is_fresh and (current.stamp, me) > its

    def prepare(self, entered: Entered) -> Entered | None:
        """The answer: the last step that can fail, before anything is changed."""
        init = entered.init
        entered.sid = self.core.free_sid()
        entered.mine = self.core.instance_for(init.peer, refused=entered.refused)
        entered.made = attempt(self.host.make_reply, init, entered.sid, entered.mine)
        return None if entered.made is None else entered

    # -- guards: replies, challenges

    def is_attempt(self, about: HandshakeReply | HandshakeChallenge) -> bool:
        return about.sid in self.core.attempts

    def has_too_many_replies(self, reply: HandshakeReply) -> bool:
        return not (self.replies.has_in(self.core.attempts[reply.sid].peer.key) and self.replies.has())

    # -- guards: data that nobody knows, hints

    def is_of_nobody(self, packet: Sealed) -> bool:
        """The id of a handshake of ours is not unknown: a hint about it would end a session that is about to live."""
        return packet.sid not in self.core.attempts

    def may_hint(self, packet: Sealed) -> bool:
        route = packet.route
        if packet.size < LEAST_DATA or not route.reply or not self.core.times_of(route).has_hints:
            return False
        return self.hints.has() and (self.hints.has_in(route.group) or self.hints.is_idle())

    def find(self, hint: Hint) -> Meant | None:
        """A malicious peer may have chosen the id that another one has: there may be several."""
        found = [*islice(self.core.by_remote.get(hint.sid, {}).values(), self.core.config.limits.same_sid)]
        if not hint.token:
            found = [one for one in found if one.peer is not None and one.entry.route == hint.route]
        return Meant(hint, found) if found else None

    def match(self, meant: Meant) -> Meant | None:
        """With a reset token: those sessions in which the peer told just that one."""
        token = meant.hint.token
        if token:
            meant.sessions = [one for one in meant.sessions if one.reset and compare_digest(one.reset, token)]
        return meant if meant.sessions else None

    def is_reset(self, meant: Meant) -> bool:
        return bool(meant.hint.token)

    # -- actions

    def reply_again(self, knock: Knock) -> None:
        """Where this copy came from: the first one may have been a copy that somebody else was faster with."""
        self.host.count_note(REPEATED, self)
        session = self.core.by_handshake[knock.hs_id]
        session.again = session.answered_at(knock.route)
        self.host.transmit(session.reply, session.again)

    def challenge_unopened(self, weighed: Weighed) -> None:
        self.core.note_limit(Limit.INIT)
        self._challenge(weighed.knock, weighed.knock.route, None)

    def tell_too_many(self) -> None:
        self.core.note_limit(Limit.INIT)
        self.post(DoorInput.DROPPED_INIT())

    def charge(self, weighed: Weighed) -> None:
        route = weighed.knock.route
        if not weighed.proven:
            self.inits.take_in(route.group)
            if route.reply:
                self.inits.take()
        elif self.proven.has_in(route.group):
            self.proven.take_in(route.group)
        else:
            self.proven.take()

    def look_inside(self, weighed: Weighed) -> None:
        self.take(INIT, weighed)

    def tell_myself(self, entered: Entered) -> None:
        route = entered.knock.route
        if entered.init.instance[:PROCESS] == self.core.process:
            if self.core.may_tell("self", route.name):
                self.host.tell(SelfConnection(route))
        elif self.core.may_tell("duplicate", route.name):
            self.host.tell(DuplicateIdentity(route))
        self.post(DoorInput.DROPPED_MYSELF())

    def cut_backoffs(self, entered: Entered) -> None:
        """The peer is there."""
        peer = self.core.peers.get(entered.init.peer)
        if peer is not None:
            peer.call.cut_backoffs()

    def challenge(self, entered: Entered) -> None:
        self._challenge(entered.knock, entered.route, entered.init)

    def tell_no_room(self) -> None:
        self.core.note_limit(Limit.CANDIDATE)
        self.post(DoorInput.DROPPED_CANDIDATE())

    def note_outranked(self) -> None:
        self.host.count_note(OUTRANKED, self)

    def make_room(self, entered: Entered) -> None:
        """One candidate goes at most, and one entry."""
        victim, before = self._victim(entered), len(self.core.peers)
        if isinstance(victim, Session):
            self.core.evict(victim, entered.init.peer)
        if len(self.core.peers) == before and not self._has_place(entered):
            for peer in [*self._evictable(entered)][:1]:
                self.core.remove_peer(peer)

    def accept(self, entered: Entered) -> None:
        self.core.add_offered(entered)
        assert entered.made is not None
        self.host.transmit(entered.made.data, entered.route)
        peer = self.core.peers.get(entered.init.peer)
        if peer is not None and not entered.refused:
            peer.call.post(CallInput.HOLD())

    def hand_reply(self, reply: HandshakeReply) -> None:
        call = self.core.attempts[reply.sid]
        self.replies.take()
        self.replies.take_in(call.peer.key)
        call.take(REPLY, Replied(reply.sid, reply.packet))

    def hand_challenge(self, challenge: HandshakeChallenge) -> None:
        call = self.core.attempts[challenge.sid]
        call.take(CHALLENGE, Challenged(challenge.sid, challenge.route, challenge.packet))

    def tell_too_many_replies(self) -> None:
        self.core.note_limit(Limit.REPLY)
        self.post(DoorInput.DROPPED_REPLY())

    def hint(self, packet: Sealed) -> None:
        self.hints.take()
        self.hints.take_in(packet.route.group)
        made = quietly(self.host.make_hint, packet.sid)
        if made is not None:
            self.host.count_note(HINTED, self)
            self.host.transmit(made, packet.route)

    def suspect(self, meant: Meant) -> None:
        for session in meant.sessions:
            session.entry.be_hinted(session)

    def reset(self, meant: Meant) -> None:
        for session in meant.sessions:
            session.entry.be_reset(session)

    # -- inside

    def _has_budget(self, weighed: Weighed) -> bool:
        """With proof a group's budget or that of all; without proof both. Relays are few, and ours to choose."""
        route = weighed.knock.route
        if weighed.proven:
            return self.proven.has_in(route.group) or self.proven.has()
        return (self.inits.has() or not route.reply) and self.inits.has_in(route.group)

    def _challenge(self, knock: Knock, route: Route, init: Init | None) -> None:
        token = quietly(self.core.tokens.issue, route)
        packet = None if token is None else quietly(self.host.make_challenge, knock, token, init)
        if packet is not None:
            self.host.count_note(CHALLENGED, self)
            self.host.transmit(packet, route)

    def _is_one_of_several(self, entered: Entered) -> bool:
        return any(one.peer_id == entered.init.peer for one in self.core.offered.values())

    def _has_place(self, entered: Entered) -> bool:
        """Is there an entry of the peer, or room for one, or no need of one?"""
        has_entry = entered.refused or entered.init.peer in self.core.peers
        return has_entry or self.core.has_place(entered.route.group)

    def _can_have_entry(self, entered: Entered) -> bool:
        return self._has_place(entered) or bool(self._evictable(entered))

    def _evictable(self, entered: Entered) -> Mapping[Peer, None]:
        """Peers of the same group that never had a confirmed session, and of which nothing is proven."""
        found: dict[Peer, None] = {}
        for session in self._strangers_of(entered.route.group):
            if session.peer is not None and not session.proven:
                found[self.core.peers[session.peer_id]] = None
        return found

    def _strangers_of(self, group: bytes) -> list[Session]:
        """The candidates of strangers that came from this group of routes, the oldest first."""
        there = (one for one in self.core.offered.values() if one.route is not None and one.route.group == group)
        return [one for one in there if self._is_unknown(one.peer_id)]

    def _is_unknown(self, peer_id: bytes) -> bool:
        """Never confirmed, and not called by us."""
        peer = self.core.peers.get(peer_id)
        return peer is None or peer.is_unknown

    def _victim(self, entered: Entered) -> Session | object | None:
        """The candidate that has to go for another one: None if there is room, nobody if there is none."""
        limits, offered = self.core.config.limits, list(self.core.offered.values())
        if not offered:
            return None
        own = [one for one in offered if one.peer_id == entered.init.peer]
        if len(own) >= limits.candidates_per_peer:
            return _oldest_unproven(own)
        if not self._is_unknown(entered.init.peer):
            if len(offered) < limits.candidates:
                return None
            strangers = [one for one in offered if self._is_unknown(one.peer_id)]
            victim = _oldest_unproven(strangers)
            return victim if victim is not _NOBODY else next(iter(strangers), _NOBODY)
        near = self._strangers_of(entered.route.group)
        groups = -(-limits.candidates // limits.candidates_per_group)  # that would hold all of it, without shares
        share = -(-(limits.candidates - len(offered) + len(near)) // groups)
        if len(offered) >= limits.candidates or len(near) >= min(share, limits.candidates_per_group):
            return _oldest_unproven(near)
        return None


_NOBODY: Final = object()


def _oldest_unproven(sessions: list[Session]) -> Session | object:
    return next((one for one in sessions if not one.proven), _NOBODY)


_S, _I, _D = DoorState, DoorInput, Door

KNOCK: Final = (
    Guards.of(Door, DoorState, Knock, "knock")
    .give_if(_D.is_of_candidate, _I.DUPLICATE, ref="R4 duplicates")
    .need(_D.is_new_handshake, "a late copy of an init", ref="R4 duplicates")
    .make(_D.weigh, "an init that cannot be weighed", ref="R13 limits")
    .give_if(_D.is_over_limit, _I.UNWEIGHED, ref="R13 limits")
    .give_if(_D.is_too_many, _I.TOO_MANY, ref="R13 limits")
    .give(_I.KNOCKED)
)

INIT: Final = (
    Guards.of(Door, DoorState, Weighed, "init")
    .make(_D.open_init, "an init that does not open", ref="R1 opaque")
    .give_if(_D.is_from_myself, _I.MYSELF, ref="R12 myself")
    .make(_D.admit, "a peer that is not let in", ref="R16 goodbye")
    .need(_D.is_heard, "another process of a peer, too soon", ref="R12 myself")
    .give_if(_D.needs_proof, _I.UNPROVEN, ref="R5 freshness")
    .give_if(_D.has_no_room, _I.NO_ROOM, ref="R13 limits")
    .give_if(_D.is_outranked, _I.OUTRANKED, ref="R7 accept")
    .make(_D.prepare, "a reply that cannot be made", ref="what the host does")
    .give(_I.ACCEPTED)
)

HANDSHAKE_REPLY: Final = (
    Guards.of(Door, DoorState, HandshakeReply, "handshake reply")
    .need(_D.is_attempt, "unknown handshake", ref="R8 confirm")
    .give_if(_D.has_too_many_replies, _I.TOO_MANY_REPLIES, ref="R13 limits")
    .give(_I.REPLIED)
)

HANDSHAKE_CHALLENGE: Final = (
    Guards.of(Door, DoorState, HandshakeChallenge, "handshake challenge")
    .need(_D.is_attempt, "unknown handshake", ref="R5 freshness")
    .give(_I.CHALLENGED)
)

UNKNOWN_DATA: Final = (
    Guards.of(Door, DoorState, Sealed, "unknown data")
    .need(_D.is_of_nobody, "data for a handshake", ref="R1 opaque")
    .need(_D.may_hint, "unknown session", ref="R1 opaque")
    .give(_I.UNKNOWN)
)

HINT: Final = (
    Guards.of(Door, DoorState, Hint, "hint")
    .make(_D.find, "a hint about no session", ref="R3 hint")
    .make(_D.match, "a wrong reset token", ref="R3 hint")
    .give_if(_D.is_reset, _I.RESET, ref="R3 hint")
    .give(_I.HINTED)
)

_R4, _R5, _R7, _R13 = "R4 duplicates", "R5 freshness", "R7 accept", "R13 limits"

DOOR: Final = Table[Door, DoorState](
    Door,
    DoorInput,
    name="recovery.door",
    initial=_S.OPEN,
    idle={_S.OPEN: "the end of the core"},
    rows=(
        Row(_S.OPEN, _I.DUPLICATE, None, _D.reply_again, ref=_R4),
        Row(_S.OPEN, _I.UNWEIGHED, None, _D.challenge_unopened, ref=_R13),
        Row(_S.OPEN, _I.TOO_MANY, None, _D.tell_too_many, ref=_R13),
        Row(_S.OPEN, _I.KNOCKED, None, _D.charge, _D.look_inside, ref=_R13),
        Row(_S.OPEN, _I.MYSELF, None, _D.tell_myself, ref="R12 myself"),
        Row(_S.OPEN, _I.UNPROVEN, None, _D.cut_backoffs, _D.challenge, ref=_R5),
        Row(_S.OPEN, _I.NO_ROOM, None, _D.cut_backoffs, _D.tell_no_room, ref=_R13),
        Row(_S.OPEN, _I.OUTRANKED, None, _D.cut_backoffs, _D.note_outranked, ref=_R7),
        Row(_S.OPEN, _I.ACCEPTED, None, _D.cut_backoffs, _D.make_room, _D.accept, ref=_R7),
        Row(_S.OPEN, _I.REPLIED, None, _D.hand_reply, ref="R8 confirm"),
        Row(_S.OPEN, _I.TOO_MANY_REPLIES, None, _D.tell_too_many_replies, ref=_R13),
        Row(_S.OPEN, _I.CHALLENGED, None, _D.hand_challenge, ref=_R5),
        Row(_S.OPEN, _I.UNKNOWN, None, _D.hint, ref="R1 opaque"),
        Row(_S.OPEN, _I.RESET, None, _D.reset, ref="R3 hint"),
        Row(_S.OPEN, _I.HINTED, None, _D.suspect, ref="R3 hint"),
    ),
    defaults=(
        Default(Outcome.IGNORE, "an init under our own key", _I.DROPPED_MYSELF),
        Default(Outcome.IGNORE, "too many inits", _I.DROPPED_INIT),
        Default(Outcome.IGNORE, "no room for a candidate", _I.DROPPED_CANDIDATE),
        Default(Outcome.IGNORE, "too many replies", _I.DROPPED_REPLY),
    ),
)
