"""The core: two ends that always find each other again. docs/protocols/recovery.rst.

A host owns a :class:`Recovery`, hands it what arrives, and does what :class:`~.host.RecoveryHost` says. It takes the
time before each call, and empties its input queue (``run``) behind it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any, Final

import attrs

from ..component import Part, Parts, Refusal
from ..contract import Instant, SendError
from ..errors import LocalProtocolError
from ..rates import keep_newest
from ..snapshot import CACHED
from .call import Attempt, Call, CallInput
from .calls import quietly
from .conflict import Conflict, ConflictInput, ConflictState
from .door import (
    HANDSHAKE_CHALLENGE,
    HANDSHAKE_REPLY,
    HINT,
    KNOCK,
    UNKNOWN_DATA,
    Door,
    Entered,
    HandshakeChallenge,
    HandshakeReply,
)
from .events import Limit, Limited, PathConflict, Refused, SaveWanted, TooBig
from .farewell import Farewells
from .host import RecoveryHost
from .items import CloseReason, Hint, Knock, Reply, Route, Sealed
from .limits import OnConflict, RecoveryConfig, RecoveryDelays
from .paths import Paths
from .peer import PROCESS, Peer, PeerInput
from .poke import PeerPokes, Poke, PokeInput, PokesInput
from .records import PeerRecord, SessionRecord, allow, load_record, record_of
from .session import DATA, Session, SessionInput, SessionState
from .suspicion import Suspicion, SuspicionInput
from .tokens import Tokens
from .tombstone import CLOSED_DATA, Tombstone

NOT_CONNECTED: Final = Refusal("no session with this peer", ref="peers")
NO_PLACE: Final = Refusal("too many peers", ref="peers")

_SID: Final = 8
_NAME: Final = 8
_ENTRY: Final = 4
_MICROSECONDS: Final = 1_000_000


@attrs.define(weakref_slot=False)
class Counted:
    """How often something was over its limit since the last event about it."""

    count: int
    told: Instant | None


class Recovery(Part[RecoveryHost]):
    """All peers and sessions of one end."""

    peers: Parts[bytes, Peer]
    sessions: Parts[bytes, Session]
    farewells: Farewells
    door: Door
    pokes: PeerPokes
    tokens: Tokens
    process: bytes
    """What all instances that we show begin with."""
    path_secret: bytes
    last_stamp: int
    generation: int
    """Counted up with each session that comes into use, over all peers: so those of one peer grow, whatever becomes of
    its entry."""
    address: int
    """How often we may have come to another address."""
    drawn: int
    """Session ids that were drawn so far."""
    told: OrderedDict[bytes, Instant]
    limited: dict[int, Counted]
    config: Annotated[RecoveryConfig, CACHED]
    me: Annotated[bytes, CACHED]
    offered: Annotated[dict[bytes, Session], CACHED]
    """Sessions that peers began and that were not confirmed, oldest first."""
    attempts: Annotated[dict[bytes, Call], CACHED]
    """Own handshakes that were not answered, by the session ids of their attempts."""
    called: Annotated[dict[bytes, bytes], CACHED]
    """These session ids, by how the names of the handshakes begin."""
    by_handshake: Annotated[dict[bytes, Session], CACHED]
    """Sessions that peers began, by what names their handshake."""
    by_remote: Annotated[dict[bytes, dict[bytes, Session]], CACHED]
    """Sessions by the peers' ids of them, and then by ours: a malicious peer takes the id that another one has."""
    by_route: Annotated[dict[Route, dict[bytes, Peer]], CACHED]
    let_in: Annotated[dict[bytes, dict[bytes, Peer]], CACHED]
    """Peers that came by themselves, by the group of routes that they came from."""

    def __init__(self, host: RecoveryHost, me: bytes, config: RecoveryConfig) -> None:
        super().__init__(host)
        self.me, self.config = me, config
        self.peers = Parts(self.make_peer)
        self.sessions = Parts(self.make_session)
        self.farewells, self.door, self.pokes = self.make_farewells(), self.make_door(), self.make_pokes()
        self.tokens = Tokens(host, config)
        self.process = host.draw(PROCESS, "recovery.process")
        self.path_secret = host.draw(32, "recovery.path_secret")
        self.last_stamp, self.drawn, self.generation, self.address = 0, 0, 0, 0
        self.told, self.limited = OrderedDict(), {}
        self.rebuild()

    def rebuild(self) -> None:
        self.offered, self.by_handshake, self.by_remote, self.by_route = {}, {}, {}, {}
        self.attempts, self.called, self.let_in = {}, {}, {}
        for peer in self.peers.values():
            self._note_group(peer)
            for one in peer.call.attempts:
                self.add_attempt(one, peer.call)
            if peer.route is not None:
                self.by_route.setdefault(peer.route, {})[peer.key] = peer
        for session in self.sessions.values():
            self._index(session)
            if session.state is not SessionState.REFUSED:
                session.peer = self.peers[session.peer_id]

    # -- what the application asks for

    def connect(self, peer: bytes, route: Route) -> bool:
        """Have a session with a peer, who may be found at this route; False if there are too many peers.

        Raises LocalProtocolError for ourselves.
        """
        if peer == self.me:
            raise LocalProtocolError("connect", "any", "a peer cannot be ourselves")
        if peer not in self.peers:
            leaving = self._room_for(peer)
            if leaving is None:
                self.host.count_refusal(NO_PLACE, self)
                return False
            self._let_go(leaving)
            self._add_peer(peer, self.instance_for(peer, refused=False))
        self.peers[peer].connect(route)
        return True

    def send(self, peer: bytes, data: bytes) -> bool:
        """Send a packet of the layer above. False if there is no session with this peer and none is wanted, or too
        many packets wait for it."""
        entry = self.peers.get(peer)
        if entry is None or (entry.cur is None and entry.is_unknown):
            self.host.count_refusal(NOT_CONNECTED, self)
            return False
        return entry.send(data)

    def disconnect(self, peer: bytes, reason: CloseReason = CloseReason.NORMAL) -> None:
        """Say goodbye. Nothing happens if the peer is not known. docs/protocols/recovery.rst, R16 goodbye."""
        entry = self.peers.get(peer)
        if entry is None:
            return
        sessions = self.sessions_of(entry)
        offered = [one for one in sessions if one.state is SessionState.OFFERED]
        instances = [entry.instance] if entry.instance else []
        self.farewells.say(peer, [*(one.instance for one in sessions), *instances], entry.mine)
        for session in sessions:
            if session in offered:
                self._refuse_later(session)
            else:
                home = entry.called_at if session.state is SessionState.CALLED else entry.route
                aloud = session.state is not SessionState.PREVIOUS
                self.farewells.close(session, reason, home, aloud=aloud)
        entry.hand_up()
        self.remove_peer(entry)

    def save(self, peer: bytes) -> PeerRecord | None:
        """A record of the session in use with a peer; None if there is none that could be saved.

        The session then uses no more counters than the record skips: more only when a later record was ``saved``.
        """
        entry = self.peers.get(peer)
        session = None if entry is None else entry.current
        keys = None if session is None else quietly(self.host.export, session.sid)
        if entry is None or session is None or keys is None:
            return None
        return record_of(entry, session, keys)

    def saved(self, record: PeerRecord) -> None:
        """The host has stored a record so that it lasts, in place of the one before."""
        session = self.sessions.get(record.session.sid)
        if session is not None and record.session.counter > session.bound:
            allow(session, record.session.counter)

    def load(self, record: PeerRecord) -> bool:
        """Go on with a session that was saved; False if it is too old, or the peer is known already.

        Nothing is sent under it before the peer has answered a ping.
        """
        kept, leaving = record.session, self._room_for(record.peer)
        age = kept.age + max(self.host.wall() - kept.saved, 0.0)
        is_known = kept.sid in self.sessions or record.peer == self.me
        if leaving is None or is_known or age >= self.times_of(record.route).session:
            return False
        if quietly(self._restore_keys, kept) is None:
            return False
        self._let_go(leaving)
        peer, session = self.peers.add(record.peer), self.sessions.add(kept.sid)
        load_record(record, peer, session, age)
        session.peer = peer
        self.generation = max(self.generation, record.generation)
        self.moved(peer, None)
        self._index(session)
        self.note_confirmed(session)
        session.post(SessionInput.LOAD())
        peer.post(PeerInput.CONFIRMED())
        peer.poke.post(PokeInput.POKED())
        return True

    def network_changed(self) -> None:
        """The host is at another address, or may be."""
        self._report(0.0)

    def resumed(self, asleep: float) -> None:
        """The host slept, for about so many seconds."""
        self._report(max(asleep, 0.0))

    def route_failed(self, route: Route, error: SendError) -> None:
        """The operating system reports something about a route: nobody is closed for that."""
        if error is SendError.UNREACHABLE:
            there = (one for one in self.by_route.get(route, {}).values() if one.can_be_suspected)
            for peer in islice(there, self.config.limits.same_route):
                peer.suspicion.post(SuspicionInput.HINTED())
        elif error is SendError.TOO_BIG and self.may_tell("too big", route.name):
            self.host.tell(TooBig(route))

    # -- what arrives

    def hear_init(self, knock: Knock) -> None:
        """An Init, whose form and outer checks were good. Acted upon at once: there may be a flood of them."""
        KNOCK.act(self.door, knock)

    def may_open(self, route: Route) -> bool:
        """Would an Init be opened that came by this polled route now? A host may keep it until then."""
        return self.door.inits.has_in(route.group)

    def hear_reply(self, sid: bytes, packet: Any) -> None:
        """A Reply that names this session id of ours."""
        self.door.take(HANDSHAKE_REPLY, HandshakeReply(sid, packet))

    def hear_challenge(self, hs_id: bytes, route: Route, packet: Any) -> None:
        """A challenge that names a handshake of ours by how its id begins, 8 bytes."""
        self.door.take(HANDSHAKE_CHALLENGE, HandshakeChallenge(self.called.get(hs_id[:_NAME], b""), route, packet))

    def hear_data(self, packet: Sealed) -> None:
        """A packet of a session. Acted upon at once: this is the bulk path, and nothing else is to be done before."""
        session = self.sessions.get(packet.sid)
        if session is not None:
            DATA.act(session, packet)
        elif packet.sid in self.farewells.tombstones:
            self.farewells.tombstones[packet.sid].take(CLOSED_DATA, packet)
        else:
            self.door.take(UNKNOWN_DATA, packet)

    def redial(self, peer: bytes) -> None:
        """What the host makes an Init of has changed: a handshake begins anew, beside a session if there is one."""
        entry = self.peers.get(peer)
        if entry is not None:
            entry.call.post(CallInput.REDIAL())

    def end_session(self, sid: bytes) -> None:
        """The host knows that a session is over: that in use lapses, and the peer is called if one is wanted."""
        if sid in self.sessions:
            self.sessions[sid].post(SessionInput.EXPIRED())

    def hear_hint(self, hint: Hint) -> None:
        """Somebody does not know a session."""
        self.door.take(HINT, hint)

    # -- what it is made of: tests replace these

    def make_peer(self, key: bytes) -> Peer:
        return Peer(self.host, self, key)

    def make_session(self, sid: bytes) -> Session:
        return Session(self.host, self, sid)

    def make_tombstone(self, sid: bytes) -> Tombstone:
        return Tombstone(self.host, self.farewells, sid)

    def make_farewells(self) -> Farewells:
        return Farewells(self.host, self, self.make_tombstone)

    def make_pokes(self) -> PeerPokes:
        return PeerPokes(self.host, self, self.config)

    def make_door(self) -> Door:
        return Door(self.host, self)

    def make_call(self, peer: Peer) -> Call:
        return Call(self.host, self, peer)

    def make_suspicion(self, peer: Peer) -> Suspicion:
        return Suspicion(self.host, peer)

    def make_poke(self, peer: Peer) -> Poke:
        return Poke(self.host, peer)

    def make_paths(self, peer: Peer) -> Paths:
        return Paths(self.host, self, peer)

    def make_conflict(self, peer: Peer) -> Conflict:
        return Conflict(self.host, self, peer)

    # -- what its parts ask of it: names and times

    def times_of(self, route: Route | None) -> RecoveryDelays:
        """The profile for what goes by a route."""
        return self.config.relay if route is not None and route.relayed else self.config.direct

    def is_elsewhere(self, address: int) -> bool:
        """Is nothing sent that was used at this address of ours, as it would link it with the one where we are now?"""
        return self.config.unlinkable and address != self.address

    def new_sid(self) -> bytes:
        """A session id that is not used, and that no session had that is not forgotten yet."""
        self.drawn += 1
        return self.free_sid(0)

    def free_sid(self, ahead: int = 1) -> bytes:
        """The same, for a guard: whoever uses it counts it."""
        while True:
            sid = self.host.draw(_SID, f"recovery.sid.{self.drawn + ahead}")
            known = sid in self.sessions or sid in self.attempts or sid in self.farewells.tombstones
            if any(sid) and not known:
                return sid
            ahead += 1

    def next_generation(self) -> int:
        self.generation += 1
        return self.generation

    def new_stamp(self) -> int:
        """Microseconds since 1970, and always more than before."""
        self.last_stamp = max(int(self.host.wall() * _MICROSECONDS), self.last_stamp + 1)
        return self.last_stamp

    def instance_for(self, peer: bytes, *, refused: bool) -> bytes:
        """What we show to a peer: another one for each entry, but who is refused sees what it saw."""
        entry, said = self.peers.get(peer), self.farewells.said.get(peer)
        if entry is not None:
            return entry.mine
        if refused and said is not None and said.mine:
            return said.mine
        return self.process + self.host.draw(_ENTRY, "recovery.entry")

    def has_said(self, peer: bytes, instance: bytes) -> bool:
        return self.farewells.has_said(peer, instance)

    def forgive(self, peer: bytes, instance: bytes) -> None:
        self.farewells.forgive(peer, instance)

    def may_tell(self, what: str, about: bytes) -> bool:
        """Of events that anybody can cause, only the first within a minute is told."""
        key, now = what.encode() + b":" + about, self.host.clock
        if key in self.told and now - self.told[key] < self.config.direct.notice:
            return False
        keep_newest(self.told, key, now, self.config.limits.notices)
        return True

    def note_limit(self, limit: Limit) -> None:
        """Something was over its limit."""
        now, counted = self.host.clock, self.limited.get(limit.value)
        if counted is None:
            counted = self.limited[limit.value] = Counted(0, None)
        counted.count += 1
        if counted.told is None or now - counted.told >= self.config.direct.notice:
            self.host.tell(Limited(limit, counted.count))
            counted.count, counted.told = 0, now

    # -- what its parts ask of it: sessions

    def sessions_of(self, peer: Peer) -> list[Session]:
        """Oldest first."""
        return [self.sessions[sid] for sid in peer.sids]

    def session_of(self, sid: bytes | None) -> Session | None:
        return None if sid is None else self.sessions.get(sid)

    def add_offered(self, entered: Entered) -> None:
        """A session that a peer began; its entry is made if it is not refused and has none."""
        init, made = entered.init, entered.made
        assert made is not None
        peer = None
        if not entered.refused:
            peer = self.peers.get(init.peer) or self._add_peer(init.peer, entered.mine, entered.route.group)
        self.drawn += 1
        session = self.sessions.add(entered.sid)
        session.peer_id, session.remote_sid, session.instance, session.mine = (
            *(init.peer, init.sid, init.instance, entered.mine),
        )
        session.stamp, session.hs_id, session.proven = init.stamp, entered.knock.hs_id, entered.proven
        session.route, session.reply, session.confirmed = entered.route, made.data, self.host.clock
        self._add(session, peer, SessionInput.REFUSE() if peer is None else SessionInput.OFFER(), made.secret)

    def add_own_session(self, peer: Peer, call: Call, attempt: Attempt, reply: Reply) -> None:
        """A session that we began."""
        own = peer.sessions(SessionState.NEW, SessionState.CALLED)
        for one in own[: len(own) + 1 - self.config.limits.own_candidates]:
            self.remove_session(one)
        session = self.sessions.add(attempt.sid)
        session.is_ours, session.proven, session.peer_id = True, True, peer.key
        session.remote_sid, session.instance, session.mine = reply.sid, reply.instance, peer.mine
        session.stamp, session.hs_id, session.began = call.stamp, attempt.hs_id, call.generation
        session.route, session.reset, session.confirmed = peer.called_at, reply.reset, self.host.clock
        self._add(session, peer, SessionInput.CALL(), reply.secret)

    def note_confirmed(self, session: Session) -> None:
        """A session that a peer began is no candidate any more."""
        self.offered.pop(session.sid, None)

    def remove_session(self, session: Session) -> None:
        """Forget a session and its keys."""
        self.sessions.remove(session.sid)
        self.host.erase(session.sid)
        self.offered.pop(session.sid, None)
        if self.by_handshake.get(session.hs_id) is session:
            del self.by_handshake[session.hs_id]
        same = self.by_remote[session.remote_sid]
        del same[session.sid]
        if not same:
            del self.by_remote[session.remote_sid]
        if session.peer is not None:
            session.entry.forget_session(session)

    def drain(self, session: Session) -> None:
        self.farewells.drain(session)

    def turn_away(self, session: Session, route: Route) -> None:
        """A peer that is refused has confirmed its session: it is told, where it is."""
        self.farewells.refuse(session, session.answered_at(route))
        if self.may_tell("refused", session.peer_id):
            self.host.tell(Refused(session.peer_id, route))

    def add_attempt(self, attempt: Attempt, call: Call) -> None:
        self.attempts[attempt.sid] = call
        self.called[attempt.hs_id[:_NAME]] = attempt.sid

    def remove_attempt(self, attempt: Attempt, *, erase: bool) -> None:
        self.attempts.pop(attempt.sid, None)
        self.called.pop(attempt.hs_id[:_NAME], None)
        if erase:
            self.host.erase(attempt.sid)

    # -- what its parts ask of it: peers

    def peer_ids(self) -> Iterable[bytes]:
        return self.peers

    def remove_peer(self, peer: Peer) -> None:
        """Forget a peer with all that it has; nobody is told."""
        for session in self.sessions_of(peer):
            session.peer = None  # there is nobody to be told
            self.remove_session(session)
        peer.call.drop_attempts()
        self._forget_route(peer, peer.route)
        if peer.group:
            there = self.let_in[peer.group]
            del there[peer.key]
            if not there:
                del self.let_in[peer.group]
        self.peers.remove(peer.key)

    def has_place(self, group: bytes) -> bool:
        """May another peer of this group come by itself? A group gets a quarter of what is left, so that nobody takes
        all."""
        left = self.config.limits.peers - len(self.peers)
        return sum(not one.is_called for one in self.let_in.get(group, {}).values()) < -(-left // 4)

    def evict(self, session: Session, newcomer: bytes) -> None:
        """A candidate makes room for one of a newcomer, together with the entry that it was all of."""
        peer = self.peers.get(session.peer_id)
        if peer is not None and peer.is_unknown and peer.sids == [session.sid] and peer.key != newcomer:
            self.remove_peer(peer)
        else:
            self.remove_session(session)

    def renew_peer(self, peer: Peer, kept: list[Session]) -> None:
        """Forget a peer but for some sessions, which live on in a new entry."""
        for session in kept:
            peer.sids.remove(session.sid)
        self.remove_peer(peer)
        if kept:
            mine = self.instance_for(peer.key, refused=False)
            came_from = kept[0].route
            assert came_from is not None  # the peer began it
            new = self._add_peer(peer.key, mine, came_from.group)
            for session in kept:
                session.peer, session.began = new, new.generation
                new.sids.append(session.sid)

    def moved(self, peer: Peer, old: Route | None) -> None:
        self._forget_route(peer, old)
        if peer.route is not None:
            self.by_route.setdefault(peer.route, {})[peer.key] = peer

    def note_route(self, peer: Peer) -> None:
        """A session with a peer was confirmed: is another one on its route?"""
        route = peer.route
        if route is not None and not route.relayed:
            self._contest(route, peer.key)

    def is_contested(self, session: Session, route: Route) -> bool:
        """Is a peer turned away because another one is on its route?"""
        peer = session.entry
        if self.config.on_conflict is not OnConflict.REFUSE or session.is_ours or peer.cur is not None:
            return False
        return any(one.cur is not None and one is not peer for one in self.by_route.get(route, {}).values())

    def contest(self, session: Session, route: Route) -> None:
        """Ask who is on a route because of which a peer was turned away."""
        self._contest(route, session.peer_id)

    def poke_peer(self, key: bytes, asleep: float) -> None:
        peer = self.peers.get(key)
        if peer is None:
            return
        peer.poke.post(PokeInput.POKED())
        session = peer.current
        if session is not None and asleep and session.is_worn_by(asleep):
            peer.urge_call()

    def renew_tokens(self) -> None:
        self.tokens.renew()

    def ask_save(self, session: Session) -> None:
        self.host.tell(SaveWanted(session.peer_id, session.generation))

    # -- inside

    def _report(self, asleep: float) -> None:
        self.address += 1  # at once: the peers are looked after bit by bit
        self.pokes.post(PokesInput.REPORTED(asleep))

    def _add(self, session: Session, peer: Peer | None, begins: Any, secret: Any) -> None:
        if peer is not None:
            peer.sids.append(session.sid)
            session.peer = peer
            session.began = session.began if session.is_ours else peer.generation
        self._index(session)
        self.host.install(session.sid, secret)
        session.post(begins)

    def _index(self, session: Session) -> None:
        if not session.is_ours:
            self.by_handshake[session.hs_id] = session
            if session.is_unconfirmed_offer:
                self.offered[session.sid] = session
        self.by_remote.setdefault(session.remote_sid, {})[session.sid] = session

    def _restore_keys(self, record: SessionRecord) -> bool:
        self.host.restore_keys(record.sid, record.keys)
        return True

    def _refuse_later(self, session: Session) -> None:
        """A candidate of a peer to whom we say goodbye: its first packet is answered with a close."""
        session.entry.sids.remove(session.sid)
        session.peer = None
        session.post(SessionInput.REFUSE())

    def _forget_route(self, peer: Peer, route: Route | None) -> None:
        there = self.by_route.get(route) if route is not None else None
        if there is not None and route is not None:
            there.pop(peer.key, None)
            if not there:
                del self.by_route[route]

    def _contest(self, route: Route, newcomer: bytes) -> None:
        """Ask who else is on a route. Not all at once: one packet would cause as many pings as there are peers."""
        there = [one for one in self.by_route.get(route, {}).values() if one.cur is not None and one.key != newcomer]
        idle = [one for one in there if one.conflict.state is ConflictState.NONE]
        asked = len(there) - len(idle)
        for peer in idle[: max(0, self.config.limits.same_route - asked)]:
            self.host.tell(PathConflict(peer.key, peer.generation, other=newcomer))
            peer.conflict.post(ConflictInput.CONTESTED(newcomer))

    def _add_peer(self, key: bytes, mine: bytes, group: bytes = b"") -> Peer:
        """A new entry; of who came by itself with the group of routes that it came from."""
        peer = self.peers.add(key, Peer.begin, mine, self.generation, group)
        self._note_group(peer)
        return peer

    def _note_group(self, peer: Peer) -> None:
        if peer.group:
            self.let_in.setdefault(peer.group, {})[peer.key] = peer

    def _room_for(self, key: bytes) -> list[Peer] | None:
        """Who has to go for a peer that is wanted: strangers, in its place or in that of another one. None: there is no
        place, or it is there already."""
        entry = self.peers.get(key)
        if entry is None and len(self.peers) < self.config.limits.peers:
            return []
        there = self.peers.values() if entry is None else (entry,)
        stranger = next((one for one in there if one.is_unknown), None)
        return None if stranger is None else [stranger]

    def _let_go(self, strangers: list[Peer]) -> None:
        for one in strangers:
            self.remove_peer(one)
