"""All sessions of a node, and which of a friend's is in use. docs/protocols/tox.rst, restart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..component import Host, Part, Parts
from ..recovery import Established, Recovery
from .events import OfflineReason, Undelivered
from .friend import URGES, Friend, FriendInput
from .friends import Friends
from .keyring import Agreed, Keyring
from .paths import friend_route
from .session import Arrived, Session, SessionInput


class SessionsHost(Host[Any], Protocol):
    """What is asked of the node."""

    friends: Friends
    keyring: Keyring
    recovery: Recovery

    def transmit(self, data: bytes, route: Any) -> None: ...


class Sessions(Part[SessionsHost]):
    """Sessions by the ids that the recovery core gives."""

    all: Parts[bytes, Session]
    stalled: dict[bytes, None]
    """Those that keep what came until the application has taken events."""

    def __init__(self, host: SessionsHost, make: Callable[[bytes], Session]) -> None:
        super().__init__(host)
        self.all, self.stalled = Parts(make), {}

    def join(self) -> None:
        """Behind a restore: tell all of them whose they are."""
        for sid, core in self.host.recovery.sessions.items():
            self._join(self.all[sid], core.peer_id)
        for friend in self.host.friends.all.values():
            friend.session = None if friend.current is None else self.all[friend.current]

    # -- what there is

    def of(self, friend: bytes) -> Iterable[Session]:
        """The newest one first."""
        peer = self.host.recovery.peers.get(friend)
        return [] if peer is None else [self.all[sid] for sid in reversed(peer.sids)]

    def has_attempt(self, friend: bytes) -> bool:
        """Is a handshake of ours not answered?"""
        peer = self.host.recovery.peers.get(friend)
        return peer is not None and bool(peer.call.attempts)

    def is_offer(self, session: Session) -> bool:
        """Did the friend begin it, and is its first data still to come?"""
        return session.sid in self.host.recovery.offered

    # -- the application takes no events, and then it does

    def note_stalled(self, session: Session) -> None:
        self.stalled[session.sid] = None

    def go_on(self) -> None:
        stalled, self.stalled = self.stalled, {}
        for sid in stalled:
            self.all[sid].post(SessionInput.RESUMED())

    # -- they come and go

    def install(self, sid: bytes, agreed: Agreed) -> None:
        self.host.keyring.erase(sid)
        self.host.keyring.keep_draft(agreed.friend, agreed.draft)
        self._join(self.all.add(sid, Session.begin, agreed), agreed.friend)

    def erase(self, sid: bytes) -> None:
        self.host.keyring.erase(sid)
        self.stalled.pop(sid, None)
        session = self.all.get(sid)
        if session is not None:
            if session.outgoing.sealed:
                self.host.keyring.forget_draft(session.friend.key, session.own_key)
            self.all.remove(sid)

    def start(self, event: Established) -> None:
        """One is in use from now on."""
        friend, session = self.host.friends.all[event.peer], self.all[event.handle]
        old = friend.session
        if old is not None:
            FriendInput.ENDED(OfflineReason.RESTARTED).act(friend)
            SessionInput.REPLACED().act(old)
        self.host.keyring.forget_draft(friend.key)
        self.host.keyring.forget_agreed(session.dht_key, friend.key)
        self.host.friends.set_dht_key(friend, session.dht_key)
        session.core.forget_pings()  # nothing answers the packets of the handshake but data
        SessionInput.PROMOTED().act(session)
        friend.current, friend.session = session.sid, session
        friend.ways.begin_session()
        self.host.friends.session_changed()
        FriendInput.STARTED().act(friend)

    def end(self, session: Session, reason: OfflineReason) -> None:
        """One is over, and another one is wanted."""
        friend = self.host.friends.all[session.friend.key]
        if friend.session is session:
            self.hand_up(friend)
            FriendInput.ENDED(reason).act(friend)
        self.host.recovery.end_session(session.sid)

    def lose(self, friend: Friend) -> None:
        """Nothing came from a friend for too long."""
        session = friend.session
        assert session is not None  # its timer runs only then
        self.host.transmit(session.seal_kill(), friend_route(friend.key))
        self.end(session, OfflineReason.SILENT)

    def hand_up(self, friend: Friend) -> None:
        """What is not known to have arrived in the session in use is told, once."""
        session = friend.session
        if session is not None:
            messages, packets = session.outgoing.take_undelivered()
            if messages or packets:
                self.host.emit(Undelivered(friend.key, tuple(messages), tuple(packets)))

    # -- what is asked of the core

    def confirm(self, session: Session, arrived: Arrived) -> None:
        """The first packet of a session came."""
        session.friend.ways.note_first(arrived.way)
        self.host.recovery.hear_data(arrived.sealed(session.sid, friend_route(session.friend.key)))

    def ask_alive(self, friend: Friend) -> None:
        """The first sign of life tells how long an answer takes. If the friend began, the core asks."""
        peer = self.host.recovery.peers[friend.key]
        if peer.current is not None and peer.current.is_ours:
            peer.ping()

    def tidy(self) -> None:
        """Now and then, while sessions are idle: what is left of their handshakes is forgotten."""
        self.host.keyring.forget_old()

    def urge_call(self, friend: Friend) -> None:
        """There is a new way to a friend without a session. A relay can say so as often as it likes."""
        peer = self.host.recovery.peers.get(friend.key)
        if peer is not None and friend.urges.has(URGES, self.host.clock):
            friend.urges.take(URGES, self.host.clock)
            peer.urge_call()

    # -- inside

    def _join(self, session: Session, friend: bytes) -> None:
        session.friend, session.core = self.host.friends.all[friend], self.host.recovery.sessions[session.sid]
