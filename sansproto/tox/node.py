"""The node: sessions with friends, and what friends say to each other. docs/protocols/tox.rst, the node.

An Endpoint with any number of datagram sockets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Final, assert_never

import attrs

from ..component import Parts, Refusal
from ..contract import Entropy, Path, Phase, Transmit
from ..errors import Fault, LocalProtocolError, WireError
from ..events import CloseCause, Closed
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
from ..rates import Level
from ..session import Answers
from ..snapshot import CACHED
from ..trace import Trace
from . import crypto
from . import packets as p
from .events import FriendWritable, MessageDelivered, OfflineReason, Presence, ToxEvent, Undelivered
from .friend import NOT_ONLINE, PACKET, Friend, FriendInput, FriendState
from .gate import (
    HANDSHAKE,
    OTHERS,
    PING_CAME,
    RELAYED,
    REQUEST_CAME,
    RESPONSE,
    Answered,
    Came,
    Gate,
    GateInput,
    Shook,
)
from .keyring import Agreed, Keyring
from .limits import RECOVERY, NodeDelays, NodeLimits
from .nodes import MOST_NODES, Relay, encode_nodes
from .paths import Direct, Relayed, Several, Way, Ways, friend_route, place_of, way_route
from .relay_events import RelayConnected, RelayLost
from .relay_link import Ended, RelayLink
from .relay_links import RelayUser
from .session import DATA, OPENED, Arrived, Session, SessionInput

_DATA: Final = p.Data.__wire__.id or 0
_HANDSHAKE: Final = p.Handshake.__wire__.id or 0
_HANDSHAKE_SIZE: Final = 385
_DATA_SIZES: Final = range(28, p.MAX_PACKET + 1)
_NAMES: Final = {number: kind.__name__ for number, kind in p.DATAGRAM.packets.items()}


@attrs.define(eq=False, weakref_slot=False)
class Profile:
    """What a node says of itself."""

    name: bytes = b""
    status_message: bytes = b""
    presence: int = 0


class ToxNode(RelayUser[ToxEvent, p.Datagram | bytes]):
    """One end of sessions with friends, each known by its real key.

    ``real_key`` and ``dht_key`` are this node's secret keys, 32 bytes each. Both are kept across restarts.
    """

    datagram = p.DATAGRAM
    strangers: ClassVar = Answers(161, grows=16, budget="cookies")
    cookies: Level
    """What is left of cookies for strangers."""
    keyring: Keyring
    friends: Parts[bytes, Friend]
    """By their real keys."""
    sessions: Parts[bytes, Session]
    """By the ids that the recovery core gives."""
    gate: Gate
    recovery: Recovery
    profile: Profile
    own_relays: dict[bytes, None]
    """Those that the application wants, by their keys."""
    by_path: Annotated[dict[Path, list[bytes]], CACHED]
    """Who may be where."""
    by_dht_key: Annotated[dict[bytes, bytes], CACHED]
    """Whose DHT key it is, or may be."""
    blocked: Annotated[dict[bytes, None], CACHED]
    """Friends to whom something waits for room in the outbox."""
    stalled: dict[bytes, None]
    """Sessions that keep what came until the application has taken events."""
    delays: Annotated[NodeDelays, CACHED]
    limits: Annotated[NodeLimits, CACHED]

    def __init__(
        self,
        *,
        real_key: bytes,
        dht_key: bytes,
        entropy: Entropy,
        wall_epoch: float = 0.0,
        recovery: RecoveryConfig | None = None,
        limits: NodeLimits | None = None,
        delays: NodeDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Raises ValueError unless both keys have 32 bytes."""
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
        self.profile, self.cookies = Profile(), Level(self.limits.cookies, 0.0)
        self.keyring, self.own_relays = Keyring(self, real, self.own_dht), {}
        self.friends, self.sessions = Parts(self._make_friend), Parts(self._make_session)
        self.gate = Gate(self)
        self.recovery = Recovery(self, real.public, recovery or RECOVERY)
        self.by_path, self.by_dht_key, self.blocked, self.stalled = {}, {}, {}, {}
        self.phase = Phase.OPEN

    def rebuild(self) -> None:
        super().rebuild()
        self.by_path, self.by_dht_key = {}, {}
        for friend in self.friends.values():
            for key in friend.dht_keys:
                self.by_dht_key[key] = friend.key
            for path in friend.ways.paths:
                self.path_known(path, friend.key)

    # -- verbs

    @property
    def real_key(self) -> bytes:
        """Our public real key: who we are."""
        return self.keyring.real.public

    @property
    def dht_key(self) -> bytes:
        """Our public DHT key: with which others find us."""
        return self.keyring.dht.public

    def add_friend(
        self,
        real_key: bytes,
        dht_key: bytes,
        now: float,
        *,
        path: Path | None = None,
        relays: Iterable[Relay] = (),
    ) -> bool:
        """Have a session with a friend, whose public keys these are; False if there are too many friends.

        It is looked for at the path, at these relays and at those of :meth:`add_relay`. Of one that is known, all this
        is new. ``FriendOnline`` follows. Raises LocalProtocolError for
        what is no key, or ourselves; NotOpen after ``close``.
        """
        self._ask("add_friend")
        if not crypto.is_key(real_key) or not crypto.is_key(dht_key) or real_key == self.real_key:
            raise LocalProtocolError("add_friend", self.phase.name, "not the keys of a friend")
        self.advance(now)
        friend = self.friends.get(real_key)
        if friend is None and len(self.friends) >= self.limits.friends:
            return False
        if friend is None:
            friend = self.friends.add(real_key)
        self._set_dht_key(friend, dht_key)
        if path is not None:
            friend.ways.learn_path(path)
        for relay in relays:
            self._tie(friend, relay)
        for key in self.own_relays:
            self._tie(friend, Relay(key, self.relays[key].address))
        self.recovery.connect(real_key, friend_route(real_key))
        self.run()
        return True

    def remove_friend(self, real_key: bytes, now: float) -> None:
        """End the session with a friend, and forget it. Nothing happens if it is not known. Raises NotOpen after
        ``close``."""
        self._ask("remove_friend")
        self.advance(now)
        friend = self.friends.get(real_key)
        if friend is not None:
            self.recovery.disconnect(real_key)
            self.run()  # the goodbye goes out by ways that are still known
            FriendInput.ENDED(OfflineReason.REMOVED).act(friend)
            for key in tuple(friend.ways.relays):
                self._untie(friend, key)
            friend.ways.forget_all()
            for key in friend.dht_keys:
                del self.by_dht_key[key]
            self.friends.remove(real_key)
            self.run()

    def add_relay(self, relay: Relay, now: float) -> bool:
        """Use a relay, to meet all friends at it; False if there are too many relays. ``RelayConnected`` follows.

        Raises LocalProtocolError if its key is none; NotOpen after ``close``.
        """
        self._ask("add_relay")
        if not crypto.is_key(relay.key):
            raise LocalProtocolError("add_relay", self.phase.name, "not the key of a relay")
        self.advance(now)
        if relay.key not in self.relays and len(self.relays) >= self.limits.relays:
            return False
        self.own_relays[relay.key] = None
        self.use_relay(relay)
        for friend in self.friends.values():
            self._tie(friend, relay)
        self.run()
        return True

    def remove_relay(self, key: bytes, now: float) -> None:
        """Use a relay no longer, unless a friend is to be met there. Nothing happens if it is not known. Raises NotOpen
        after ``close``."""
        self._ask("remove_relay")
        self.advance(now)
        if key in self.own_relays:
            del self.own_relays[key]
            for friend in self.friends.values():
                self._untie(friend, key)
            self.run()

    def is_online(self, friend: bytes) -> bool:
        """Does a friend listen?"""
        entry = self.friends.get(friend)
        return entry is not None and entry.state is FriendState.ONLINE

    def session_number(self, friend: bytes) -> int | None:
        """By which number ``FriendOnline`` told of a friend; None if it does not listen now.

        What is asked in one turn with a ``send`` binds that to a session: the next one may be in use before the events
        about the end of this one are popped.
        """
        entry = self.friends.get(friend)
        return entry.times_online if entry is not None and entry.state is FriendState.ONLINE else None

    def waiting(self, friend: bytes) -> int:
        """How many lossless packets a friend has not acknowledged: at 0 all that ``send`` took has arrived. A few of
        them may be the node's own."""
        entry = self.friends.get(friend)
        session = None if entry is None else entry.session
        return 0 if session is None else session.waiting

    def send_message(self, friend: bytes, text: str, now: float, *, action: bool = False) -> int | None:
        """Send a message; its number, with which ``MessageDelivered`` or ``Undelivered`` follows. None if it was not
        taken: the friend is not online, or too much waits; after the latter ``FriendWritable`` follows.

        Raises LocalProtocolError for an empty text, or one of more than 1372 bytes; NotOpen after ``close``.
        """
        data = text.encode()
        if not 0 < len(data) < p.MAX_PAYLOAD:
            raise LocalProtocolError("send_message", self.phase.name, f"not 1 to {p.MAX_PAYLOAD - 1} bytes")
        entry, session = self._listening("send_message", friend, now)
        if session is None:
            return None
        kind: Any = p.Action if action else p.Message
        if not session.send(p.FRIEND.encode(kind(data)), entry.messages + 1):
            return None
        entry.messages += 1
        self.run()
        return entry.messages

    def send(self, friend: bytes, data: bytes, now: float) -> bool:
        """Send a custom packet, whose first byte is its id: 160 to 191 lossless, 200 to 254 lossy. False if it was not
        taken: the friend is not online, or too much waits; after the latter ``FriendWritable`` follows.

        Raises LocalProtocolError for another id, or more than 1373 bytes; NotOpen after ``close``.
        """
        is_lossless = data[:1] and data[0] in p.CUSTOM_LOSSLESS
        if not (is_lossless or (data[:1] and data[0] in p.CUSTOM_LOSSY)) or len(data) > p.MAX_PAYLOAD:
            raise LocalProtocolError("send", self.phase.name, "not a custom packet")
        _, session = self._listening("send", friend, now)
        if session is None:
            return False
        taken = session.send(data) if is_lossless else session.send_lossy(data)
        self.run()
        return taken

    def set_profile(
        self, now: float, *, name: str = "", status_message: str = "", presence: Presence = Presence.NONE
    ) -> None:
        """Tell all friends who we are. Raises LocalProtocolError for a name of more than 128 bytes or a status message
        of more than 1007; NotOpen after ``close``."""
        self._ask("set_profile")
        profile = Profile(name.encode(), status_message.encode(), presence.value)
        if len(profile.name) > 128 or len(profile.status_message) > 1007:
            raise LocalProtocolError("set_profile", self.phase.name, "too long")
        self.advance(now)
        self.profile = profile
        for friend in self.friends.values():
            friend.post(FriendInput.PROFILE())
        self.run()

    def close(self, now: float) -> None:
        """End all sessions, for ``NodeDelays.farewell`` seconds; then ``Closed`` follows."""
        if self.alive(now):
            self.gate.post(GateInput.CLOSE())
            self.run()

    # -- reports of the host

    def network_changed(self, now: float) -> None:
        if self.alive(now):
            self.redial_relays()
            self.recovery.network_changed()
            self.run()

    def resumed(self, now: float, *, asleep: float) -> None:
        if self.alive(now):
            self.redial_relays()
            self.recovery.resumed(asleep)
            self.run()

    # -- the contract

    def decode(self, data: bytes, path: Path) -> p.Datagram | bytes | None:
        """Data is opened as it is."""
        if data and data[0] == _DATA:
            if len(data) not in _DATA_SIZES:
                raise WireError(Fault.BAD_LENGTH)
            return data
        return super().decode(data, path)

    def name_of(self, packet: Any) -> str:
        return _NAMES[_DATA] if isinstance(packet, bytes) else super().name_of(packet)

    def received(self, packet: p.Datagram | bytes, path: Path) -> None:
        self.arrived(packet, Direct(path))

    def next_event(self) -> ToxEvent | None:
        event = super().next_event()
        if self.stalled and len(self._events) <= self.limits.events // 4:
            stalled, self.stalled = self.stalled, {}
            for session in map(self.session_of, stalled):
                if session is not None:
                    session.post(SessionInput.RESUMED())
            self.run()
        return event

    def next_transmit(self) -> Transmit | None:
        transmit = super().next_transmit()
        if self.blocked and len(self._outbox) <= self.limits.outbox // 2:
            self._unblock()
            self.run()
        return transmit

    # -- what arrives, by whichever way

    def arrived(self, packet: p.Datagram | bytes, way: Way) -> None:
        match packet:
            case bytes():
                self._take_data(Arrived(packet, way))
            case p.Handshake():
                self.gate.take(HANDSHAKE, Came(packet, way))
            case p.CookieRequest():
                self.gate.take(REQUEST_CAME, Came(packet, way))
            case p.CookieResponse():
                self.gate.take(RESPONSE, Came(packet, way))
            case p.DhtPing():
                self.gate.take(PING_CAME, Came(packet, way))
            case p.DhtPong():
                pass
            case p.Data():
                pass
            case _:
                assert_never(packet)

    def _take_data(self, arrived: Arrived) -> None:
        for friend in self.friends_at(arrived.way):
            session = friend.session
            if session is not None:
                session.take(DATA, arrived)
                return
        self.gate.take(OTHERS, arrived)

    # -- what relays tell

    def relay_up(self, relay: RelayLink) -> None:
        if relay.key in self.own_relays:
            self.emit(RelayConnected(relay.key))
            for friend in self.friends.values():
                friend.post(FriendInput.RELAYS())
        for friend in self.friends.values():
            if relay.key in friend.ways.relays:
                self._look_for(friend)

    def relay_down(self, relay: RelayLink, ended: Ended) -> None:
        if relay.key in self.own_relays:
            self.emit(RelayLost(relay.key, ended.cause, violation=ended.violation, detail=ended.detail))

    def relay_linked(self, relay: RelayLink, key: bytes) -> None:
        friend = self.friend_with(key)
        if friend is not None:
            self._look_for(friend)

    def relay_heard(self, relay: RelayLink, key: bytes, data: bytes) -> None:
        self.gate.take(RELAYED, Came(data, Relayed(relay.key, key, True)))

    def relay_heard_oob(self, relay: RelayLink, key: bytes, data: bytes) -> None:
        self.gate.take(RELAYED, Came(data, Relayed(relay.key, key, False)))

    def relay_writable(self, relay: RelayLink) -> None:
        self._unblock()

    # -- what the gate asks

    @property
    def has_friends(self) -> bool:
        return bool(self.friends)

    def friend(self, key: bytes) -> Friend | None:
        return self.friends.get(key)

    def friend_with(self, dht_key: bytes) -> Friend | None:
        key = self.by_dht_key.get(dht_key)
        return None if key is None else self.friends[key]

    def friends_at(self, way: Way) -> Iterable[Friend]:
        """Who may be at the other end: through a relay, only at those where they are looked for."""
        if isinstance(way, Direct):
            return [self.friends[key] for key in self.by_path.get(way.path, ())]
        friend = self.friend_with(way.key)
        return [] if friend is None or way.relay not in friend.ways.relays else [friend]

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
        self._learn(shook)
        route = way_route(shook.way, shaken.friend)
        self.recovery.hear_init(Knock(shaken.name, b"", route, shaken, proven=True))

    def hear_reply(self, shook: Shook) -> None:
        """A handshake stands for the answer to the latest of our attempts."""
        shaken = shook.shaken
        self._learn(shook)
        self.recovery.hear_reply(self.recovery.peers[shaken.friend].call.attempts[-1].sid, shaken)

    def take_data(self, session: Session, arrived: Arrived) -> None:
        session.take(OPENED, arrived)

    def say_goodbye(self) -> None:
        self.phase = Phase.CLOSING
        for key, friend in self.friends.items():
            self.recovery.disconnect(key, CloseReason.GOING_AWAY)
            FriendInput.ENDED(OfflineReason.REMOVED).act(friend)

    def leave(self) -> None:
        for key in tuple(self.relays):
            self.leave_relay(key)
        self.close_gracefully(Closed(CloseCause.LOCAL))

    # -- what friends ask

    def session_of(self, sid: bytes | None) -> Session | None:
        return None if sid is None else self.sessions.get(sid)

    def make_ways(self, friend: bytes) -> Ways:
        return Ways(self, friend)

    def relays_to_share(self) -> bytes:
        """The relays at which we are, for a friend."""
        up = [self.relays[key] for key in self.own_relays if self.relays[key].is_up]
        return encode_nodes(Relay(relay.key, relay.address) for relay in up[:MOST_NODES])

    def meet_at(self, friend: bytes, relays: Iterable[Relay]) -> None:
        """A friend says where it can be met."""
        for relay in relays:
            self._tie(self.friends[friend], relay)

    def ask_alive(self, friend: bytes) -> None:
        """The first sign of life tells how long an answer takes. If the friend began, the core asks."""
        peer = self.recovery.peers[friend]
        if peer.current is not None and peer.current.is_ours:
            peer.ping()

    def lose(self, friend: bytes) -> None:
        """Nothing came from a friend for too long."""
        session = self.friends[friend].session
        assert session is not None  # its timer runs only then
        self.transmit(session.seal_kill(), friend_route(friend))
        self._end(session, OfflineReason.SILENT)

    # -- what ways ask

    def has_outbox(self) -> bool:
        return len(self._outbox) < self.limits.outbox

    def path_known(self, path: Path, friend: bytes) -> None:
        known = self.by_path.setdefault(path, [])
        if friend not in known:
            known.insert(0, friend)
            del known[self.limits.sharers :]

    def path_forgotten(self, path: Path, friend: bytes) -> None:
        known = self.by_path.get(path, [])
        if friend in known:
            known.remove(friend)
        if not known:
            self.by_path.pop(path, None)

    # -- what sessions ask

    def way_to(self, friend: bytes, size: int) -> Direct | Relayed | Several | None:
        way = self.friends[friend].ways.pick(size)
        if way is None:
            self.blocked[friend] = None
        return way

    def put(self, way: Direct | Relayed | Several, data: bytes) -> None:
        match way:
            case Direct(path):
                self.send_datagram(data, path, _NAMES[data[0]])
            case Relayed(key, dht_key, is_linked):
                relay = self.relays.get(key)
                if relay is not None:
                    (relay.send if is_linked else relay.send_oob)(dht_key, data)
            case Several(ways):
                for one in ways:
                    self.put(one, data)

    def is_direct(self, friend: bytes) -> bool:
        return self.friends[friend].ways.is_direct

    def expect_answer(self, sid: bytes) -> None:
        self.recovery.note_sent(sid)

    def note_life(self, session: Session, way: Way) -> None:
        friend = self.friends[session.friend]
        friend.heard = self.clock
        friend.ways.note_heard(way)
        self.recovery.note_heard(session.sid)

    def note_pong(self, sid: bytes, value: bytes, seconds: float) -> None:
        """The shortest time counts: an acknowledgement may have waited for others."""
        self.recovery.note_answered(sid, value, seconds)

    def confirm(self, session: Session, arrived: Arrived) -> None:
        self.friends[session.friend].ways.note_heard(arrived.way)
        route = friend_route(session.friend)
        self.recovery.hear_data(Sealed(session.sid, arrived.counter, len(arrived.data), route, arrived))

    def be_killed(self, session: Session) -> None:
        self._end(session, OfflineReason.SAID)

    def try_others(self, arrived: Arrived) -> None:
        self.gate.take(OTHERS, arrived)

    def takes_packets(self, session: Session) -> bool:
        if len(self._events) < self.limits.events // 2:
            return True
        self.stalled[session.sid] = None
        return False

    def hand_on(self, session: Session, payload: bytes) -> None:
        self.friends[session.friend].take(PACKET, payload)

    def tell_delivered(self, session: Session, message: int) -> None:
        self.emit(MessageDelivered(session.friend, message))

    def tell_writable(self, session: Session) -> None:
        self.emit(FriendWritable(session.friend))

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
        self.sessions.add(sid, Session.begin, secret)

    def erase(self, sid: bytes) -> None:
        self.keyring.erase(sid)
        session = self.sessions.get(sid)
        if session is not None:
            if session.sent:
                self.keyring.forget_draft(session.friend, session.own_key)
            self.sessions.remove(sid)

    def export(self, sid: bytes) -> bytes:
        return b""

    def restore_keys(self, sid: bytes, keys: bytes) -> None:
        pass

    def seal(self, sid: bytes, counter: int, kind: Kind, body: bytes) -> bytes | None:
        session = self.sessions[sid]
        match kind:
            case Kind.CONFIRM:
                return session.seal_confirm()
            case Kind.CLOSE:
                return session.seal_kill()
            case Kind.PING:
                session.send_alive(body)
        return None

    def open(self, packet: Sealed) -> Opened:
        """A session has opened it: the core only learns that something came."""
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
            friend = self.friends.get(place)
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
        friend = self.friends.get(peer)
        session = None if friend is None else friend.session
        if session is not None:
            self._hand_up(session)
        return ()

    # -- what the keyring asks

    def dht_key_of(self, friend: bytes) -> bytes:
        return self.friends[friend].ways.dht_key

    # -- inside

    def _make_friend(self, key: bytes) -> Friend:
        return Friend(self, key)

    def _make_session(self, sid: bytes) -> Session:
        return Session(self, sid)

    def _ask(self, verb: str) -> None:
        self.ask(verb, self.gate.asked(GateInput.VERB()))

    def _listening(self, verb: str, friend: bytes, now: float) -> tuple[Friend, Session | None]:
        """A friend and its session; None: it is not online."""
        self._ask(verb)
        entry = self.friends.get(friend)
        if entry is None:
            raise LocalProtocolError(verb, self.phase.name, "not a friend")
        self.advance(now)
        if entry.state is not FriendState.ONLINE:
            self.count_refusal(NOT_ONLINE, entry)
            return entry, None
        return entry, entry.session

    def _look_for(self, friend: Friend) -> None:
        """There is another way to a friend."""
        if friend.session is not None:
            friend.session.pump()
        elif friend.key in self.recovery.peers:
            self.recovery.peers[friend.key].urge_call()

    def _unblock(self) -> None:
        """There is room again, somewhere."""
        blocked, self.blocked = self.blocked, {}
        for key in blocked:
            friend = self.friends.get(key)
            if friend is not None and friend.session is not None:
                friend.session.pump()

    def _tie(self, friend: Friend, relay: Relay) -> None:
        """Look for a friend at a relay, if there is room for it."""
        known, ways = relay.key in self.relays, friend.ways
        if relay.key not in ways.relays and len(ways.relays) >= self.limits.friend_relays:
            return
        if not known and len(self.relays) >= self.limits.relays:
            return
        ways.relays[relay.key] = None
        link = self.use_relay(relay)
        for key in friend.dht_keys:
            link.route(key)

    def _untie(self, friend: Friend, key: bytes) -> None:
        """Look for a friend at a relay no longer; nobody uses it whom nobody looks for there."""
        if key not in friend.ways.relays:
            return
        del friend.ways.relays[key]
        for dht_key in friend.dht_keys:
            self.relays[key].unroute(dht_key)
        if key not in self.own_relays and not any(key in one.ways.relays for one in self.friends.values()):
            self.leave_relay(key)

    def _learn(self, shook: Shook) -> None:
        """A handshake is genuine: its sender may be where it came from, with the DHT key that it has now."""
        friend, way = self.friends[shook.shaken.friend], shook.way
        key = shook.shaken.cookie.dht_key
        if key not in friend.dht_keys:
            if len(friend.dht_keys) > 1:
                self._forget_dht_key(friend, friend.dht_keys[1])
            self._add_dht_key(friend, key)
        if isinstance(way, Direct):
            friend.ways.learn_path(way.path)
        else:
            self._tie(friend, Relay(way.relay, self.relays[way.relay].address))

    def _add_dht_key(self, friend: Friend, key: bytes) -> None:
        friend.dht_keys.append(key)
        self.by_dht_key[key] = friend.key
        for relay in friend.ways.relays:
            self.relays[relay].route(key)

    def _forget_dht_key(self, friend: Friend, key: bytes) -> None:
        friend.dht_keys.remove(key)
        if self.by_dht_key.get(key) == friend.key:
            del self.by_dht_key[key]
        for relay in friend.ways.relays:
            self.relays[relay].unroute(key)

    def _set_dht_key(self, friend: Friend, key: bytes) -> None:
        """This is the DHT key that a friend has."""
        for other in [one for one in friend.dht_keys if one != key]:
            self._forget_dht_key(friend, other)
        if not friend.dht_keys:
            self._add_dht_key(friend, key)
        friend.ways.dht_key = key

    def _start(self, event: Established) -> None:
        """A session is in use from now on."""
        friend, session = self.friends[event.peer], self.sessions[event.handle]
        old = self.session_of(event.old_handle)
        if old is not None:
            FriendInput.ENDED(OfflineReason.RESTARTED).act(friend)
            SessionInput.REPLACED().act(old)
        self.keyring.forget_draft(friend.key)
        self._set_dht_key(friend, session.dht_key)
        SessionInput.PROMOTED().act(session)
        friend.current = session.sid
        FriendInput.STARTED().act(friend)

    def _end(self, session: Session, reason: OfflineReason) -> None:
        """A session is over, and another one is wanted."""
        friend = self.friends[session.friend]
        if friend.current == session.sid:
            self._hand_up(session)
            FriendInput.ENDED(reason).act(friend)
        self.recovery.end_session(session.sid)

    def _hand_up(self, session: Session) -> None:
        messages, packets = session.take_undelivered()
        if messages or packets:
            self.emit(Undelivered(session.friend, tuple(messages), tuple(packets)))
