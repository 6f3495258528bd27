"""The node: sessions with friends, and what friends say to each other. docs/protocols/tox.rst, the node."""

from __future__ import annotations

from collections.abc import Container
from typing import Annotated, Any, ClassVar, Final, TypeAlias, assert_never

from ..contract import Entropy, Path, Phase, Transmit
from ..errors import Fault, LocalProtocolError, NotOpen, WireError
from ..events import CloseCause, Closed
from ..proxies import Proxy
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
from ..session import Answers
from ..snapshot import CACHED
from ..trace import Trace
from . import crypto
from . import packets as p
from .events import OfflineReason, Presence, RelayDemoted, ToxEvent
from .friend import CUSTOM, NOT_ONLINE, Friend, FriendInput, FriendState, Profile
from .friends import Friends
from .gate import HANDSHAKE, OTHERS, PING_CAME, PONG, RELAYED, REQUEST_CAME, RESPONSE, Came, Cookies, Gate, GateInput
from .keyring import Agreed, Keyring
from .limits import RECOVERY, NodeDelays, NodeLimits
from .nodes import Relay
from .outgoing import Pace, Target
from .paths import Direct, Relayed, Several, Way, friend_route, place_of
from .relay_events import RelayConnected, RelayLost
from .relay_inputs import Ended
from .relay_link import RelayLink
from .relay_links import RelayUser
from .session import DATA, NOT_TOLD, Arrived, Session
from .sessions import Sessions

Incoming: TypeAlias = p.DhtPing | p.DhtPong | p.CookieRequest | p.CookieResponse | p.Handshake | bytes
"""What a packet is: bytes are Data, which sessions open as they are."""

_DATA: Final = p.Data.__wire__.id or 0
_HANDSHAKE: Final = p.Handshake.__wire__.id or 0
_HANDSHAKE_SIZE: Final = 385
_DATA_SIZES: Final = range(28, p.MAX_PACKET + 1)
_NAMES: Final = {number: kind.__name__ for number, kind in p.DATAGRAM.packets.items()}


class ToxNode(RelayUser[ToxEvent, Incoming]):
    """Keeps encrypted sessions with friends, over UDP and relays. The id of a friend is its real key.

    The arguments ``real_key`` and ``dht_key`` are secret keys, 32 bytes each: keep both across restarts. The queries of
    the same names are the public keys. With a ``proxy`` the node connects only to relays, and sends no datagrams.

    ``wall_epoch`` is the wall clock at time 0, in seconds since 1970; a wrong value does no harm. To change a part of
    ``recovery``, evolve ``sansproto.tox.limits.RECOVERY``. The label of a friend's path is the label of a socket.

    Verbs: ``add_friend``, ``remove_friend``, ``add_relay``, ``remove_relay``, ``send_message``, ``send``,
    ``send_many``, ``set_profile``, ``set_typing``, ``close``. Queries: ``is_online``, ``session_number``,
    ``waiting``, ``real_key``, ``dht_key``.
    """

    datagram = p.DATAGRAM
    strangers: ClassVar = Answers(161, grows=16, budget="cookies")

    cookies: Cookies
    keyring: Keyring
    friends: Friends
    sessions: Sessions
    gate: Gate
    recovery: Recovery
    profile: Profile
    pace: Pace
    bulk: Annotated[crypto.Bulk, CACHED]
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
        proxy: Proxy | None = None,
        limits: NodeLimits | None = None,
        delays: NodeDelays | None = None,
        pace: Pace = Pace.DELAY,
        trace: Trace | None = None,
    ) -> None:
        """Raises ValueError unless both keys have 32 bytes."""
        self.limits, self.delays = limits or NodeLimits(), delays or NodeDelays()
        super().__init__(
            own_dht=crypto.KeyPair.of(dht_key),
            entropy=entropy,
            delays=self.delays,
            limits=self.limits,
            proxy=proxy,
            datagrams=self.limits if proxy is None else None,
            wall_epoch=wall_epoch,
            trace=trace,
        )
        real = crypto.KeyPair.of(real_key)
        self.profile, self.cookies, self.pace = Profile(), Cookies.all(self.limits.cookies), pace
        self.keyring = Keyring(self, real, self.own_dht)
        self.friends, self.sessions = Friends(self, self._make_friend), Sessions(self, self._make_session)
        self.gate, self.bulk = Gate(self), crypto.Bulk()
        self.recovery = Recovery(self, real.public, recovery or RECOVERY)
        self.phase = Phase.OPEN

    def rebuild(self) -> None:
        super().rebuild()
        self.sessions.join()

    # -- verbs

    @property
    def real_key(self) -> bytes:
        """Our public real key, by which friends know us."""
        return self.keyring.real.public

    @property
    def dht_key(self) -> bytes:
        """Our public DHT key, by which friends find us at relays, and which they need to call us."""
        return self.keyring.dht.public

    def add_friend(
        self,
        real_key: bytes,
        dht_key: bytes,
        now: float,
        *,
        path: Path | None = None,
        relays: tuple[Relay, ...] = (),
    ) -> bool:
        """Keep a session with the friend that has these public keys. Returns False if there are too many friends.

        The node looks for the friend at the path (not if there is a proxy), at these relays and at those of
        :meth:`add_relay`. For a known friend all this is new; with another DHT key it has restarted, and is called.
        ``FriendOnline`` follows. Raises LocalProtocolError for an invalid key, our own key, or a host that is a name;
        NotOpen after ``close``.
        """
        self._ask("add_friend")
        if not crypto.is_key(real_key) or not crypto.is_key(dht_key) or real_key == self.real_key:
            raise LocalProtocolError("add_friend", self.phase.name, "not the keys of a friend")
        path = path and self.path_given("add_friend", path)
        self.advance(now)
        friend = self.friends.add(real_key)
        if friend is None:
            return False
        is_changed = bool(friend.dht_keys) and friend.ways.dht_key != dht_key
        self.friends.set_dht_key(friend, dht_key)
        if path and not self.proxy:
            friend.ways.learn_path(path)
        for relay in relays:
            self.friends.tie(friend, relay)
        self.friends.tie_to_own(friend)
        self.recovery.connect(real_key, friend_route(real_key))
        if is_changed:
            self.recovery.redial(real_key)
        self.run()
        return True

    def remove_friend(self, real_key: bytes, now: float) -> None:
        """End a session with a friend, and forget it. Does nothing if it is unknown. Raises NotOpen after ``close``."""
        self._ask("remove_friend")
        self.advance(now)
        friend = self.friends.all.get(real_key)
        if friend is not None:
            self.recovery.disconnect(real_key)
            self.run()  # the goodbye goes out by ways that are still known
            FriendInput.ENDED(OfflineReason.REMOVED).act(friend)
            self.friends.remove(friend)
            self.run()

    def add_relay(self, relay: Relay, now: float) -> bool:
        """Use a relay to meet friends. Returns False if there are too many relays. ``RelayConnected`` follows.

        Raises LocalProtocolError if its key is not valid; NotOpen after ``close``.
        """
        self._ask("add_relay")
        if not crypto.is_key(relay.key):
            raise LocalProtocolError("add_relay", self.phase.name, "not the key of a relay")
        self.advance(now)
        taken = self.friends.add_relay(relay)
        self.run()
        return taken

    def remove_relay(self, key: bytes, now: float) -> None:
        """Stop using a relay, for all friends. Does nothing if the relay is unknown. Raises NotOpen after ``close``."""
        self._ask("remove_relay")
        self.advance(now)
        self.friends.remove_relay(key)
        self.run()

    def is_online(self, friend: bytes) -> bool:
        """Is a friend online?"""
        entry = self.friends.all.get(friend)
        return entry is not None and entry.state is FriendState.ONLINE

    def session_number(self, friend: bytes) -> int | None:
        """The number of the session with a friend, as in ``FriendOnline``. None if the friend is not online.

        Compare it in the same ``call`` as ``send``: the next session may be in use before you pop the event about the
        end of this one.
        """
        entry = self.friends.all.get(friend)
        return entry.times_online if entry is not None and entry.state is FriendState.ONLINE else None

    def waiting(self, friend: bytes) -> int:
        """How many lossless packets a friend has not acknowledged, the node's own included. At 0, all have arrived."""
        entry = self.friends.all.get(friend)
        session = None if entry is None else entry.session
        return 0 if session is None else session.outgoing.unacknowledged

    def send_message(self, friend: bytes, text: str, now: float, *, action: bool = False) -> int | None:
        """Send a message. Returns its number, which ``MessageDelivered`` or ``Undelivered`` has later. Returns None if
        it was not taken: the friend is not online, or too much waits. In the second case ``FriendWritable`` follows.

        Raises LocalProtocolError for an empty text, or one of more than 1372 bytes; NotOpen after ``close``.
        """
        self._ask("send_message")
        data = text.encode()
        if not 0 < len(data) < p.MAX_PAYLOAD:
            raise LocalProtocolError("send_message", self.phase.name, f"not 1 to {p.MAX_PAYLOAD - 1} bytes")
        entry, session = self._listening("send_message", friend, now)
        if session is None:
            return None
        kind: Any = p.Action if action else p.Message
        if not session.outgoing.send(p.FRIEND.encode(kind(data)), entry.messages + 1):
            return None
        entry.messages += 1
        self.run()
        return entry.messages

    def send(self, friend: bytes, data: bytes, now: float) -> bool:
        """Send a custom packet. Its first byte is its id: 160 to 191 lossless, 200 to 254 lossy. Returns False if it
        was not taken: the friend is not online, or too much waits. In the second case ``FriendWritable`` follows.

        Raises LocalProtocolError for another id, or more than 1373 bytes; NotOpen after ``close``.
        """
        self._ask("send")
        self._check_custom("send", data)
        _, session = self._listening("send", friend, now)
        if session is None:
            return False
        taken = session.outgoing.send(data) if data[0] in p.CUSTOM_LOSSLESS else session.outgoing.send_lossy(data)
        self.run()
        return taken

    def send_many(self, friend: bytes, packets: list[bytes], now: float) -> int:
        """Send as many custom lossless packets as fit, from the first on, and return how many. Raises as ``send``."""
        self._ask("send_many")
        _, session = self._listening("send_many", friend, now)
        if session is None:
            return 0
        packets = packets[: session.outgoing.most + 1]  # the last one is refused
        for data in packets:
            self._check_custom("send_many", data, p.CUSTOM_LOSSLESS)
        taken = session.outgoing.send_many(packets)
        self.run()
        return taken

    def set_profile(
        self, now: float, *, name: str = "", status_message: str = "", presence: Presence = Presence.NONE
    ) -> None:
        """Tell all friends our name, status message and presence, even if they are empty. If too much is not
        acknowledged by a friend, only the newest of each is sent to it later. Raises LocalProtocolError for a name of
        more than 128 bytes or a status message of more than 1007; NotOpen after ``close``.
        """
        self._ask("set_profile")
        profile = Profile(name.encode(), status_message.encode(), presence.value)
        if len(profile.name) > 128 or len(profile.status_message) > 1007:
            raise LocalProtocolError("set_profile", self.phase.name, "too long")
        self.advance(now)
        self.profile = profile
        for friend in self.friends.all.values():
            friend.post(FriendInput.PROFILE())
        self.run()

    def set_typing(self, friend: bytes, typing: bool, now: float) -> bool:
        """Tell a friend that the user types, or has stopped. Returns False if the friend is not online. If too much is
        not acknowledged, only the last call is sent, later. Raises NotOpen after ``close``.
        """
        self._ask("set_typing")
        _, session = self._listening("set_typing", friend, now)
        if session is None:
            return False
        session.outgoing.send_at_once(p.FRIEND.encode(p.Typing(int(typing))))
        self.run()
        return True

    def close(self, now: float) -> None:
        """End all sessions, for ``NodeDelays.farewell`` seconds; then ``Closed`` follows."""
        if self.closes(now):
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

    def decode(self, data: bytes, path: Path) -> Incoming | None:
        """Data is opened as it is."""
        if data and data[0] == _DATA:
            if len(data) not in _DATA_SIZES:
                raise WireError(Fault.BAD_LENGTH)
            return data
        return super().decode(data, path)

    def name_of(self, packet: Any) -> str:
        return _NAMES[_DATA] if isinstance(packet, bytes) else super().name_of(packet)

    def received(self, packet: Incoming, path: Path) -> None:
        if isinstance(packet, bytes):
            way, session = self.friends.lanes.get(path) or self.friends.lane(path)
            if session is None:
                self.gate.take(OTHERS, Arrived(packet, way))
            else:
                DATA.act(session, Arrived(packet, way))
        else:
            self.arrived(packet, Direct(path))

    def next_event(self) -> ToxEvent | None:
        event = super().next_event()
        if self.sessions.stalled and len(self._events) <= self.limits.events // 4:
            self.sessions.go_on()
            self.run()
        return event

    def next_transmit(self) -> Transmit | None:
        transmit = super().next_transmit()
        if self.friends.is_full and len(self._outbox) <= self.limits.outbox // 2:
            self.friends.is_full = False
            self.friends.unblock()
            self.run()
        return transmit

    # -- what arrives, by whichever way

    def arrived(self, packet: Incoming, way: Way) -> None:
        match packet:
            case bytes():
                session = self.friends.session_at(way)
                if session is None:
                    self.gate.take(OTHERS, Arrived(packet, way))
                else:
                    session.take(DATA, Arrived(packet, way))
            case p.Handshake():
                self.gate.take(HANDSHAKE, Came(packet, way))
            case p.CookieRequest():
                self.gate.take(REQUEST_CAME, Came(packet, way))
            case p.CookieResponse():
                self.gate.take(RESPONSE, Came(packet, way))
            case p.DhtPing():
                self.gate.take(PING_CAME, Came(packet, way))
            case p.DhtPong():
                self.gate.take(PONG, Came(packet, way))
            case _:
                assert_never(packet)

    # -- what relays tell

    def relay_up(self, relay: RelayLink) -> None:
        if relay.key in self.friends.own_relays:
            self.remark(RelayConnected(relay.key))
            for friend in self.friends.all.values():
                friend.post(FriendInput.RELAYS())
        self.friends.relay_up(relay.key)

    def relay_down(self, relay: RelayLink, ended: Ended) -> None:
        if relay.key in self.friends.own_relays:
            self.remark(ended.event(relay.key))

    def relay_linked(self, relay: RelayLink, key: bytes) -> None:
        self.friends.relay_linked(key)

    def relay_unlinked(self, relay: RelayLink, key: bytes) -> None:
        self.friends.relay_unlinked(key)

    def relay_demoted(self, relay: RelayLink, key: bytes) -> None:
        self.friends.relay_demoted(relay)

    def relay_heard(self, relay: RelayLink, key: bytes, data: bytes) -> None:
        self.gate.take(RELAYED, Came(data, Relayed(relay.key, key, True)))

    def relay_heard_oob(self, relay: RelayLink, key: bytes, data: bytes) -> None:
        self.gate.take(RELAYED, Came(data, Relayed(relay.key, key, False)))

    def relay_writable(self, relay: RelayLink) -> None:
        self.friends.unblock()

    # -- what parts ask

    def remark(self, event: RelayConnected | RelayLost | RelayDemoted) -> None:
        """What an application misses that takes no events: relays and friends can cause it as often as they like."""
        if self.takes_lossy():
            self.emit(event)
        else:
            self.count_note(NOT_TOLD)

    def say_goodbye(self) -> None:
        self.phase = Phase.CLOSING
        for key, friend in self.friends.all.items():
            self.recovery.disconnect(key, CloseReason.GOING_AWAY)
            FriendInput.ENDED(OfflineReason.REMOVED).act(friend)

    def leave(self) -> None:
        for key in tuple(self.relays):
            self.leave_relay(key)
        self.close_gracefully(Closed(CloseCause.LOCAL))

    def dht_key_of(self, friend: bytes) -> bytes:
        return self.friends.all[friend].ways.dht_key

    @property
    def room_in_outbox(self) -> int:
        return self.limits.outbox - len(self._outbox)

    @property
    def room_for_bulk(self) -> int:
        """There is always room left for what may not wait. None while others wait for their turn."""
        return 0 if self.friends.is_full else self.room_in_outbox - self.limits.outbox // 4

    def takes_packets(self) -> bool:
        """Does the application take events, or is there much room for them?"""
        return len(self._events) < self.limits.events // 2

    def takes_lossy(self) -> bool:
        """Those are lost before there are so many events that nobody is heard any more."""
        return len(self._events) < self.limits.events - self.limits.events // 4

    def note_stalled(self, session: Session) -> None:
        self.sessions.note_stalled(session)

    def wait_for_room(self, friend: bytes) -> None:
        self.friends.wait_for_room(friend)

    def put(self, way: Target, data: bytes) -> None:
        if isinstance(way, Direct):
            self.send_datagram(data, way.path, _NAMES[data[0]])
        elif isinstance(way, Several):
            for one in way.ways:
                self.put(one, data)
        elif way.relay in self.relays:
            relay = self.relays[way.relay]
            (relay.send if way.is_linked else relay.send_oob)(way.key, data)

    def probe(self, friend: bytes, path: Path) -> None:
        self.friends.ping(self.friends.all[friend], path)

    def confirm(self, session: Session, arrived: Arrived) -> None:
        self.sessions.confirm(session, arrived)

    def be_killed(self, session: Session) -> None:
        self.sessions.end(session, OfflineReason.SAID)

    def try_others(self, arrived: Arrived) -> None:
        self.gate.take(OTHERS, arrived)

    # -- what the recovery core asks (docs/protocols/recovery.rst, what the host does)

    def make_init(self, call: Call) -> MadeInit:
        return self.keyring.make_init(call)

    def open_init(self, knock: Knock) -> Init:
        """The gate has opened it. It has no stamp: that its cookie is ours says enough."""
        shaken = knock.packet
        return Init(shaken.friend, b"", 0, self.keyring.instance_of(shaken), shaken)

    def make_reply(self, init: Init, sid: bytes, instance: bytes) -> MadeReply:
        return self.keyring.make_reply(init.secret, sid)

    def open_reply(self, sid: bytes, packet: Any) -> Reply:
        return self.keyring.open_reply(sid, packet)

    def make_challenge(self, knock: Knock, token: bytes, init: Init | None) -> bytes:
        return b""

    def open_challenge(self, sid: bytes, packet: p.CookieResponseBody) -> Challenge:
        return Challenge(packet.cookie, proven=True)

    def install(self, sid: bytes, secret: Agreed) -> None:
        self.sessions.install(sid, secret)

    def erase(self, sid: bytes) -> None:
        self.sessions.erase(sid)

    def export(self, sid: bytes) -> bytes:
        return b""

    def restore_keys(self, sid: bytes, keys: bytes) -> None:
        pass

    def seal(self, sid: bytes, counter: int, kind: Kind, body: bytes) -> bytes | None:
        """A session sends its pings itself: they have numbers, and are acknowledged. There are no other kinds."""
        session = self.sessions.all[sid]
        if kind is Kind.CONFIRM:
            return session.seal_confirm()
        if kind is Kind.CLOSE:
            return session.seal_kill()
        self.friends.ping_from(self.friends.all[session.friend.key], self.recovery.address)
        session.outgoing.send_alive(body)
        return None

    def open(self, packet: Sealed) -> bytes:
        return b""  # a session has opened it: the core only learns that something came

    def read(self, packet: Sealed, clear: bytes) -> Opened:
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
        place, ways = place_of(route), list[Way]()
        if not isinstance(place, bytes):
            ways.append(place)
        elif place in self.friends.all:
            ways += self.friends.all[place].ways.all()
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
            self.sessions.start(event)

    def deliver(self, delivery: Delivery) -> None:
        """Sessions hand on what comes: the core never sees it."""

    def unacknowledged(self, peer: bytes) -> tuple[bytes, ...]:
        """They are told here: the core does not know what a message is."""
        if peer in self.friends.all:
            self.sessions.hand_up(self.friends.all[peer])
        return ()

    # -- inside

    def _make_friend(self, key: bytes) -> Friend:
        return Friend(self, key)

    def _make_session(self, sid: bytes) -> Session:
        return Session(self, sid)

    def _ask(self, verb: str) -> None:
        if self.phase is not Phase.OPEN:
            raise NotOpen(verb, self.phase.name)

    def _check_custom(self, verb: str, data: bytes, ids: Container[int] = CUSTOM) -> None:
        if not 0 < len(data) <= p.MAX_PAYLOAD or data[0] not in ids:
            raise LocalProtocolError(verb, self.phase.name, "not a custom packet")

    def _listening(self, verb: str, friend: bytes, now: float) -> tuple[Friend, Session | None]:
        """A friend and its session; None: it is not online."""
        entry = self.friends.all.get(friend)
        if entry is None:
            raise LocalProtocolError(verb, self.phase.name, "not a friend")
        self.advance(now)
        if entry.state is not FriendState.ONLINE:
            self.count_refusal(NOT_ONLINE, entry)
            return entry, None
        return entry, entry.session
