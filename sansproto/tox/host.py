"""What a node does for its parts: the gate, the friends, the sessions, and the recovery core.

docs/protocols/tox.rst, the node; docs/protocols/recovery.rst, what the host does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, TypeAlias

import attrs

from ..component import Parts
from ..contract import Entropy, Path, Phase
from ..events import CloseCause, Closed
from ..rates import Level
from ..recovery import (
    Admission,
    Call,
    Challenge,
    CloseReason,
    Delivery,
    Established,
    Init,
    Kind,
    Knock,
    MadeInit,
    MadeReply,
    Opened,
    Recovery,
    RecoveryConfig,
    RecoveryEvent,
    Reply,
    Route,
    Sealed,
    Visit,
)
from ..snapshot import CACHED
from ..trace import Trace
from . import crypto
from . import packets as p
from .events import OfflineReason, ToxEvent, Undelivered
from .friend import Friend, FriendInput
from .friends import Friends
from .gate import OTHERS, Answered, Gate, Shook
from .keyring import Agreed, Keyring
from .limits import RECOVERY, NodeDelays, NodeLimits
from .nodes import Relay
from .outgoing import Target
from .paths import Direct, Several, Way, Ways, friend_route, place_of, way_route
from .relay_links import RelayUser
from .session import OPENED, Arrived, Session, SessionInput

Incoming: TypeAlias = p.DhtPing | p.DhtPong | p.CookieRequest | p.CookieResponse | p.Handshake | bytes
"""What a packet is: bytes are Data, which sessions open as they are."""

_HANDSHAKE: Final = p.Handshake.__wire__.id or 0
_HANDSHAKE_SIZE: Final = 385
_NAMES: Final = {number: kind.__name__ for number, kind in p.DATAGRAM.packets.items()}


@attrs.define(eq=False, weakref_slot=False)
class Profile:
    """What a node says of itself."""

    name: bytes = b""
    status_message: bytes = b""
    presence: int = 0


class ToxHost(RelayUser[ToxEvent, Incoming]):
    """Everything of a node but what the application and the transport see of it."""

    cookies: Level
    """What is left of cookies for strangers."""
    keyring: Keyring
    friends: Friends
    sessions: Parts[bytes, Session]
    """By the ids that the recovery core gives."""
    gate: Gate
    recovery: Recovery
    profile: Profile
    stalled: dict[bytes, None]
    """Sessions that keep what came until the application has taken events."""
    is_full: bool
    """Something waits for room in the outbox."""
    bulk: Annotated[crypto.Bulk, CACHED]
    delays: Annotated[NodeDelays, CACHED]
    limits: Annotated[NodeLimits, CACHED]

    def __init__(
        self,
        *,
        real_key: bytes,
        dht_key: bytes,
        entropy: Entropy,
        wall_epoch: float,
        recovery: RecoveryConfig | None,
        limits: NodeLimits | None,
        delays: NodeDelays | None,
        trace: Trace | None,
    ) -> None:
        self.limits, self.delays = limits or NodeLimits(), delays or NodeDelays()
        super().__init__(
            own_dht=crypto.KeyPair.of(dht_key),
            entropy=entropy,
            delays=self.delays,
            limits=self.limits,
            datagrams=self.limits,
            wall_epoch=wall_epoch,
            trace=trace,
        )
        real = crypto.KeyPair.of(real_key)
        self.profile, self.cookies, self.is_full = Profile(), Level(self.limits.cookies, 0.0), False
        self.keyring = Keyring(self, real, self.own_dht)
        self.friends, self.sessions = Friends(self, self._make_friend), Parts(self._make_session)
        self.gate, self.bulk, self.stalled = Gate(self), crypto.Bulk(), {}
        self.recovery = Recovery(self, real.public, recovery or RECOVERY)

    def rebuild(self) -> None:
        super().rebuild()
        for sid, core in self.recovery.sessions.items():
            self._join(self.sessions[sid], core.peer_id)
        for friend in self.friends.all.values():
            friend.session = None if friend.current is None else self.sessions[friend.current]

    # -- what the gate asks

    def arrived(self, packet: Incoming, way: Way) -> None:
        """A packet, by whichever way."""
        raise NotImplementedError

    def sessions_of(self, friend: bytes) -> Iterable[Session]:
        """The newest one first."""
        peer = self.recovery.peers.get(friend)
        return [] if peer is None else [self.sessions[sid] for sid in reversed(peer.sids)]

    def has_attempt(self, friend: bytes) -> bool:
        peer = self.recovery.peers.get(friend)
        return peer is not None and bool(peer.call.attempts)

    def is_offer(self, session: Session) -> bool:
        return session.sid in self.recovery.offered

    def answer(self, data: bytes, way: Way) -> None:
        self.put(way, data)

    def hear_cookie(self, answered: Answered) -> None:
        self.recovery.hear_challenge(answered.body.number, friend_route(answered.friend), answered.body)

    def hear_handshake(self, shook: Shook) -> None:
        shaken = shook.shaken
        self.friends.learn(self.friends.all[shaken.friend], shook.way, shaken.cookie.dht_key)
        route = way_route(shook.way, shaken.friend)
        self.recovery.hear_init(Knock(shaken.name, b"", route, shaken, proven=True))

    def hear_reply(self, shook: Shook) -> None:
        """A handshake stands for the answer to the latest of our attempts."""
        shaken = shook.shaken
        self.friends.learn(self.friends.all[shaken.friend], shook.way, shaken.cookie.dht_key)
        self.recovery.hear_reply(self.recovery.peers[shaken.friend].call.attempts[-1].sid, shaken)

    def take_data(self, session: Session, arrived: Arrived) -> None:
        session.take(OPENED, arrived)

    def say_goodbye(self) -> None:
        self.phase = Phase.CLOSING
        for key, friend in self.friends.all.items():
            self.recovery.disconnect(key, CloseReason.GOING_AWAY)
            FriendInput.ENDED(OfflineReason.REMOVED).act(friend)

    def leave(self) -> None:
        for key in tuple(self.relays):
            self.leave_relay(key)
        self.close_gracefully(Closed(CloseCause.LOCAL))

    # -- what friends ask

    def make_ways(self, friend: bytes) -> Ways:
        return Ways(self, friend)

    def session_changed(self) -> None:
        self.friends.session_changed()

    def relays_to_share(self) -> bytes:
        return self.friends.relays_to_share()

    def is_missed(self, friend: bytes) -> bool:
        return self.friends.is_missed(self.friends.all[friend])

    def meet_at(self, friend: bytes, relays: Iterable[Relay]) -> None:
        self.friends.meet_at(friend, relays)

    def urge_call(self, friend: bytes) -> None:
        """There is a new way to a friend."""
        peer = self.recovery.peers.get(friend)
        if peer is not None:
            peer.urge_call()

    def ask_alive(self, friend: bytes) -> None:
        """The first sign of life tells how long an answer takes. If the friend began, the core asks."""
        peer = self.recovery.peers[friend]
        if peer.current is not None and peer.current.is_ours:
            peer.ping()

    def lose(self, friend: bytes) -> None:
        """Nothing came from a friend for too long."""
        session = self.friends.all[friend].session
        assert session is not None  # its timer runs only then
        self.transmit(session.seal_kill(), friend_route(friend))
        self._end(session, OfflineReason.SILENT)

    # -- what ways ask

    @property
    def room_in_outbox(self) -> int:
        return self.limits.outbox - len(self._outbox)

    def path_known(self, path: Path, friend: bytes) -> None:
        self.friends.path_known(path, friend)

    def path_forgotten(self, path: Path, friend: bytes) -> None:
        self.friends.path_forgotten(path, friend)

    # -- what sessions ask

    def takes_packets(self) -> bool:
        """Does the application take events, or is there much room for them?"""
        return len(self._events) < self.limits.events // 2

    def wait_for_room(self, friend: bytes) -> None:
        self.friends.blocked[friend] = None
        self.is_full = self.is_full or self.room_in_outbox <= 0

    def put(self, way: Target, data: bytes) -> None:
        if isinstance(way, Direct):
            self.send_datagram(data, way.path, _NAMES[data[0]])
        elif isinstance(way, Several):
            for one in way.ways:
                self.put(one, data)
        elif way.relay in self.relays:
            relay = self.relays[way.relay]
            (relay.send if way.is_linked else relay.send_oob)(way.key, data)

    def ping(self, friend: bytes, path: Path) -> None:
        self.friends.ping(self.friends.all[friend], path)

    def confirm(self, session: Session, arrived: Arrived) -> None:
        session.friend.ways.note_heard(arrived.way)
        route = friend_route(session.friend.key)
        self.recovery.hear_data(Sealed(session.sid, arrived.counter, len(arrived.data), route, arrived))

    def be_killed(self, session: Session) -> None:
        self._end(session, OfflineReason.SAID)

    def try_others(self, arrived: Arrived) -> None:
        self.gate.take(OTHERS, arrived)

    # -- what the recovery core asks (docs/protocols/recovery.rst, what the host does)

    def make_init(self, call: Call) -> MadeInit:
        return self.keyring.make_init(call)

    def open_init(self, knock: Knock) -> Init:
        """The gate has opened it. It has no stamp: that its cookie is ours says enough."""
        shaken = knock.packet
        name = self.keyring.sid_of(shaken)
        return Init(shaken.friend, name, 0, name, shaken)

    def make_reply(self, init: Init, sid: bytes, instance: bytes) -> MadeReply:
        return self.keyring.make_reply(init.secret, sid)

    def open_reply(self, sid: bytes, packet: Any) -> Reply:
        return self.keyring.open_reply(sid, packet)

    def make_challenge(self, knock: Knock, token: bytes, init: Init | None) -> bytes:
        return b""

    def open_challenge(self, sid: bytes, packet: p.CookieResponseBody) -> Challenge:
        """The gate has opened it."""
        return Challenge(packet.cookie, proven=True)

    def install(self, sid: bytes, secret: Agreed) -> None:
        self.keyring.erase(sid)
        self.keyring.keep_draft(secret.friend, secret.draft)
        self._join(self.sessions.add(sid, Session.begin, secret), secret.friend)

    def erase(self, sid: bytes) -> None:
        self.keyring.erase(sid)
        session = self.sessions.get(sid)
        if session is not None:
            if session.outgoing.sealed:
                self.keyring.forget_draft(session.friend.key, session.own_key)
            self.sessions.remove(sid)

    def export(self, sid: bytes) -> bytes:
        return b""

    def restore_keys(self, sid: bytes, keys: bytes) -> None:
        pass

    def seal(self, sid: bytes, counter: int, kind: Kind, body: bytes) -> bytes | None:
        """A ping is sent by the session itself: it has a number, and is answered by what acknowledges it. There are no
        other kinds."""
        session = self.sessions[sid]
        if kind is Kind.CONFIRM:
            return session.seal_confirm()
        if kind is Kind.CLOSE:
            return session.seal_kill()
        self.friends.ping_from(self.friends.all[session.friend.key], self.recovery.address)
        session.outgoing.send_alive(body)
        return None

    def open(self, packet: Sealed) -> bytes:
        """A session has opened it: the core only learns that something came."""
        return b""

    def read(self, packet: Sealed, clear: bytes) -> Opened:
        """As above."""
        return Opened(Kind.KEEPALIVE, b"")

    def make_hint(self, sid: bytes) -> bytes | None:
        return None

    def reset_token(self, sid: bytes) -> bytes:
        return b""

    def token_mac(self, secret: bytes, time: bytes, route: Route) -> bytes:
        return b""

    def path_value(self, secret: bytes, peer: bytes, epoch: int, route: Route) -> bytes:
        return b""

    def transmit(self, data: bytes, route: Route) -> None:
        place = place_of(route)
        if isinstance(place, bytes):
            friend = self.friends.all.get(place)
            ways = [] if friend is None else friend.ways.all()
        else:
            ways = [place]
        parts = [data]
        if data[0] == _HANDSHAKE and len(data) > _HANDSHAKE_SIZE:
            parts = [data[:_HANDSHAKE_SIZE], data[_HANDSHAKE_SIZE:]]
        for way in ways:
            for part in parts:
                self.put(way, part)

    def home(self, route: Route, peer: bytes) -> Route | None:
        return None

    def admit(self, visit: Visit) -> Admission:
        """The gate lets only friends in."""
        return Admission.ACCEPT

    def tell(self, event: RecoveryEvent) -> None:
        if isinstance(event, Established):
            self._start(event)

    def deliver(self, delivery: Delivery) -> None:
        """Sessions hand on what comes: the core never sees it."""

    def unacknowledged(self, peer: bytes) -> tuple[bytes, ...]:
        """They are told here: the core does not know what a message is."""
        friend = self.friends.all.get(peer)
        session = None if friend is None else friend.session
        if session is not None:
            self._hand_up(session)
        return ()

    # -- what the keyring asks

    def dht_key_of(self, friend: bytes) -> bytes:
        return self.friends.all[friend].ways.dht_key

    # -- inside

    def _make_friend(self, key: bytes) -> Friend:
        return Friend(self, key)

    def _make_session(self, sid: bytes) -> Session:
        return Session(self, sid)

    def _join(self, session: Session, friend: bytes) -> None:
        session.friend, session.core = self.friends.all[friend], self.recovery.sessions[session.sid]

    def _start(self, event: Established) -> None:
        """A session is in use from now on."""
        friend, session = self.friends.all[event.peer], self.sessions[event.handle]
        old = friend.session
        if old is not None:
            FriendInput.ENDED(OfflineReason.RESTARTED).act(friend)
            SessionInput.REPLACED().act(old)
        self.keyring.forget_draft(friend.key)
        self.keyring.forget_agreed(session.dht_key, friend.key)
        self.friends.set_dht_key(friend, session.dht_key)
        self.recovery.sessions[session.sid].forget_pings()  # nothing answers the packets of the handshake but data
        SessionInput.PROMOTED().act(session)
        friend.current, friend.session = session.sid, session
        self.friends.session_changed()
        FriendInput.STARTED().act(friend)

    def _end(self, session: Session, reason: OfflineReason) -> None:
        """A session is over, and another one is wanted."""
        friend = self.friends.all[session.friend.key]
        if friend.session is session:
            self._hand_up(session)
            FriendInput.ENDED(reason).act(friend)
        self.recovery.end_session(session.sid)

    def _hand_up(self, session: Session) -> None:
        messages, packets = session.outgoing.take_undelivered()
        if messages or packets:
            self.emit(Undelivered(session.friend.key, tuple(messages), tuple(packets)))
