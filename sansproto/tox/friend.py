"""A friend: whether it is there, what it says, and what is said to it. docs/protocols/tox.rst, friends."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from math import inf, nextafter
from typing import Annotated, Any, Final, NamedTuple, Protocol

import attrs

from ..component import Component, Note, Refusal
from ..contract import Instant, Path
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..rates import Level, Rate
from ..snapshot import CACHED
from . import packets as p
from .events import (
    CustomReceived,
    FriendOffline,
    FriendOnline,
    FriendPacketReceived,
    FriendWritable,
    MessageDelivered,
    MessageReceived,
    NameChanged,
    OfflineReason,
    Presence,
    PresenceChanged,
    RelaysShared,
    StatusMessageChanged,
    TypingChanged,
)
from .limits import NodeDelays
from .nodes import Relay, decode_nodes
from .paths import Way, Ways, WaysHost
from .session import Session

NOT_ONLINE: Final = Refusal("the friend is not online", ref="friends")
NOT_UTF8: Final = Note("a text that is not UTF-8", ref="friends")

_PRESENCES: Final = {one.value: one for one in Presence}
CUSTOM: Final = frozenset((*p.CUSTOM_LOSSLESS, *p.CUSTOM_LOSSY))
"""Ids of packets that are the application's."""

URGES: Final = Rate(1.0, 8.0)
"""How often a friend is called because there is another way to it."""

_QUESTIONS: Final = 3
"""So often a friend that answers cookie requests is asked in the session in use, before there is to be another one."""
_BETWEEN: Final = 0.5
"""Seconds from one of these to the next, at least, or two round trips: so long an answer to the last one is waited for.
The next cookie is asked for later than a round trip, too."""
_SERIES: Final = 12.0
"""So many times as long after the last one they begin anew: its answer may have been lost with the way."""

_IDS: Final = frozenset(p.FRIEND.packets)
_ALIVE: Final = p.FRIEND.encode(p.Alive())


@attrs.define(eq=False, weakref_slot=False)
class Profile:
    """What a node says of itself."""

    name: bytes = b""
    status_message: bytes = b""
    presence: int = 0


class AllFriends(Protocol):
    """What a friend asks of all friends."""

    def session_changed(self) -> None: ...
    def relays_to_share(self) -> bytes: ...
    def is_missed(self, friend: Friend) -> bool: ...
    def meet_at(self, friend: Friend, relays: Iterable[Relay]) -> None: ...
    def path_known(self, path: Path, friend: bytes) -> None: ...
    def path_forgotten(self, path: Path, friend: bytes) -> None: ...


class AllSessions(Protocol):
    """What a friend asks of all sessions."""

    def ask_alive(self, friend: Friend) -> None: ...
    def tidy(self) -> None: ...
    def lose(self, friend: Friend) -> None: ...


class FriendHost(WaysHost, Protocol):
    """What a friend asks of its node."""

    @property
    def real_key(self) -> bytes: ...
    @property
    def profile(self) -> Profile: ...
    @property
    def friends(self) -> AllFriends: ...
    @property
    def sessions(self) -> AllSessions: ...


class Said(NamedTuple):
    """A packet of a friend."""

    packet: p.Friend


class FriendState(Enum):
    OFFLINE = 0
    """No session is in use."""
    CONNECTED = 1
    """There is one, in which the friend does not listen."""
    ONLINE = 2
    """It listens."""


class FriendInput:
    STARTED = Input[FriendState, None]()
    ENDED = Input[FriendState, OfflineReason]()
    ALIVE = Input[FriendState, bytes]()
    SHARED = Input[FriendState, Said]()
    ASKED = Input[FriendState, Said]()
    ONLINE = Input[FriendState, Said]()
    OFFLINE = Input[FriendState, Said]()
    SAID = Input[FriendState, Said]()
    CUSTOM = Input[FriendState, bytes]()
    PROFILE = Input[FriendState, None]()
    RELAYS = Input[FriendState, None]()
    PULSE_DUE = Input[FriendState, None]()


class Friend(Component[FriendState, FriendHost]):
    """A friend, by its real key."""

    dht_keys: list[bytes]
    """The DHT key that it has, and then one that it may have since."""
    current: bytes | None
    """The session in use."""
    heard: Instant
    """When something new came in it."""
    said: Instant
    """When we said that we live."""
    messages: int
    """Messages that were sent so far."""
    times_online: int
    """How often it has come online."""
    pings: dict[bytes, Path]
    """DHT pings that may still be answered: their numbers, and where they went."""
    address: int
    """Which of our own addresses it was told."""
    cookies: Level
    """What is left of cookies for it."""
    urges: Level
    """The same of calls because there is another way to it."""
    questions: int
    """How often it was asked in the session in use since something came in it. docs/protocols/tox.rst, restart."""
    asked_at: Instant
    """When it was asked last."""
    ways: Ways
    delays: Annotated[NodeDelays, CACHED]
    session: Annotated[Session | None, CACHED]
    """The session in use."""
    key: Annotated[bytes, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: FriendHost, key: bytes) -> None:
        super().__init__(host)
        self.key, self.delays, self.ways = key, host.delays, Ways(host, key)
        self.dht_keys, self.current, self.heard, self.said = [], None, 0.0, 0.0
        self.messages = self.times_online = 0
        self.pings, self.address, self.questions, self.asked_at = {}, 0, 0, 0.0
        self.cookies, self.urges, self.session = Level(host.limits.friend_cookies, 0.0), Level(URGES.burst, 0.0), None

    # -- what its sessions ask

    def take_payload(self, payload: bytes) -> None:
        """What came in the session in use. (Custom packets of a friend who listens need no table: that is bulk.)"""
        if payload[0] in CUSTOM and self.state is FriendState.ONLINE:
            self.host.emit(CustomReceived(self.key, payload))
        else:
            PACKET.act(self, payload)

    def tell_delivered(self, message: int) -> None:
        self.host.emit(MessageDelivered(self.key, message))

    def tell_writable(self) -> None:
        self.host.emit(FriendWritable(self.key))

    # -- is it still there?

    @property
    def may_still_know_us(self) -> bool:
        """Is there a session in use, in which it has answered our last question, or was not asked often enough, or may
        still answer?"""
        if self.session is None:
            return False
        if self.heard >= self.asked_at or self.questions < _QUESTIONS:
            return True
        between, waited = self._between(), self.host.clock - self.asked_at
        return self.questions == _QUESTIONS and not between <= waited <= _SERIES * between

    def ask_in_session(self, way: Way) -> None:
        """It is at the other end of this way: does it know the session in use?"""
        now, between = self.host.clock, self._between()
        if self.heard >= self.asked_at or now - self.asked_at > _SERIES * between:
            self.questions = 0
        if not self.questions or now - self.asked_at >= between:
            self.questions, self.asked_at = self.questions + 1, now
            self._session().outgoing.ask_by(way)

    def forget_session(self) -> None:
        """It is known not to have the session in use."""
        self.questions, self.asked_at = _QUESTIONS + 1, nextafter(self.host.clock, inf)

    def _between(self) -> float:
        return max(_BETWEEN, 2 * self._session().outgoing.watch.rtt)

    # -- guards

    def is_alive(self, payload: bytes) -> bool:
        """Asked first: an idle friend says nothing else."""
        return payload == _ALIVE

    def is_custom(self, payload: bytes) -> bool:
        return payload[0] in CUSTOM

    def is_known(self, payload: bytes) -> bool:
        return payload[0] in _IDS

    def read(self, payload: bytes) -> Said:
        """Raises WireError."""
        packet = p.FRIEND.decode(payload)
        if isinstance(packet, p.ShareRelays):
            decode_nodes(packet.nodes)
        return Said(packet)

    def is_shared(self, said: Said) -> bool:
        return isinstance(said.packet, p.ShareRelays)

    def is_asked(self, said: Said) -> bool:
        return isinstance(said.packet, p.FriendRequest)

    def is_online(self, said: Said) -> bool:
        return isinstance(said.packet, p.Online)

    def is_offline(self, said: Said) -> bool:
        return isinstance(said.packet, p.Offline)

    def is_status_known(self, said: Said) -> bool:
        """As toxcore does: another one changes nothing."""
        packet = said.packet
        return not isinstance(packet, p.Status) or packet.status in _PRESENCES

    # -- conditions and times

    def is_lost(self) -> bool:
        """Did nothing come for too long?"""
        return self.heard + self.delays.silent <= self.host.clock

    def is_early(self) -> bool:
        """Did we say not long ago that we live?"""
        return self.said + self.delays.alive > self.host.clock

    def until_lost(self) -> float:
        return self.heard + self.delays.silent - self.host.clock

    def until_first_pulse(self) -> float:
        """The ends take turns: what acknowledges the friend's sign of life is sent halfway between two of our own."""
        return self.delays.alive / (2 if self.host.real_key < self.key else 1)

    def until_pulse(self) -> float:
        """Until something has to be said, or it is lost."""
        return min(self.said + self.delays.alive - self.host.clock, self.until_lost())

    def until_next_pulse(self) -> float:
        """The same, if something is said now."""
        return min(self.delays.alive, self.until_lost())

    # -- actions

    def greet(self) -> None:
        """What we send before it listens to anything else."""
        now = self.heard = self.host.clock
        self.said = now + self.until_first_pulse() - self.delays.alive
        session = self._session()
        session.outgoing.send_at_once(p.FRIEND.encode(p.Online()))
        self.host.sessions.ask_alive(self)
        self.share_relays()
        self.introduce()

    def introduce(self) -> None:
        """Who we are."""
        profile, session = self.host.profile, self._session()
        for packet in (p.Name(profile.name), p.StatusMessage(profile.status_message), p.Status(profile.presence)):
            session.outgoing.send_at_once(p.FRIEND.encode(packet))

    def share_relays(self) -> None:
        """Where it can meet us, if all other ways are lost."""
        relays = self.host.friends.relays_to_share()
        if relays:
            self._session().outgoing.send_at_once(p.FRIEND.encode(p.ShareRelays(relays)))

    def send_alive(self) -> None:
        self.said = self.host.clock
        self._session().outgoing.send_alive()
        self.host.sessions.tidy()
        if self.host.friends.is_missed(self):
            self.share_relays()

    def end(self) -> None:
        self.current = self.session = None
        self.host.friends.session_changed()

    def tell_online(self) -> None:
        self.times_online += 1
        self.host.emit(FriendOnline(self.key, self.times_online))

    def tell_offline(self, reason: OfflineReason) -> None:
        self.host.emit(FriendOffline(self.key, reason))

    def tell_said_offline(self) -> None:
        self.host.emit(FriendOffline(self.key, OfflineReason.SAID))

    def tell_shared(self, said: Said) -> None:
        assert isinstance(said.packet, p.ShareRelays)
        relays = decode_nodes(said.packet.nodes)
        self.host.emit(RelaysShared(self.key, relays))
        self.host.friends.meet_at(self, relays)

    def tell_packet(self, said: Said) -> None:
        packet: Any = said.packet
        self.host.emit(FriendPacketReceived(self.key, packet))

    def tell(self, said: Said) -> None:
        """What only a friend says that listens."""
        key, emit, packet = self.key, self.host.emit, said.packet
        match packet:
            case p.Message() | p.Action():
                emit(MessageReceived(key, self._text(packet.text), isinstance(packet, p.Action)))
            case p.Name():
                emit(NameChanged(key, self._text(packet.name)))
            case p.StatusMessage():
                emit(StatusMessageChanged(key, self._text(packet.message)))
            case p.Status():
                emit(PresenceChanged(key, _PRESENCES[packet.status]))
            case p.Typing():
                emit(TypingChanged(key, packet.typing != 0))
            case _:
                self.tell_packet(said)

    def lose(self) -> None:
        """Nothing came for too long."""
        self.host.sessions.lose(self)

    # -- inside

    def _session(self) -> Session:
        session = self.session
        assert session is not None  # in the states in which this is done
        return session

    def _text(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.host.count_note(NOT_UTF8, self)
            return data.decode(errors="replace")


_S, _I, _C = FriendState, FriendInput, Friend
_FRIENDS: Final = "friends"

PACKET: Final = (
    Guards.of(Friend, FriendState, bytes, "friend packet")
    .give_if(_C.is_alive, _I.ALIVE, ref=_FRIENDS)
    .give_if(_C.is_custom, _I.CUSTOM, ref=_FRIENDS)
    .need(_C.is_known, "a packet of a friend that is not spoken here", ref=_FRIENDS)
    .make(_C.read, "a malformed packet of a friend", ref=_FRIENDS)
    .give_if(_C.is_shared, _I.SHARED, ref=_FRIENDS)
    .give_if(_C.is_asked, _I.ASKED, ref=_FRIENDS)
    .give_if(_C.is_online, _I.ONLINE, ref=_FRIENDS)
    .give_if(_C.is_offline, _I.OFFLINE, ref=_FRIENDS)
    .need(_C.is_status_known, "a status that nobody knows", ref=_FRIENDS)
    .give(_I.SAID)
)


class FriendTimer:
    FIRST = Timer(_I.PULSE_DUE, _C.until_first_pulse)
    PULSE = Timer(_I.PULSE_DUE, _C.until_next_pulse)
    PULSE_REST = Timer(_I.PULSE_DUE, _C.until_pulse)


_T = FriendTimer
_UP: Final = (_S.CONNECTED, _S.ONLINE)
_TIMERS: Final = (_T.FIRST, _T.PULSE, _T.PULSE_REST)

FRIEND: Final = Table[Friend, FriendState](
    Friend,
    FriendInput,
    FriendTimer,
    name="tox.friend",
    initial=_S.OFFLINE,
    idle={_S.OFFLINE: "a session", _S.CONNECTED: "the end of its session", _S.ONLINE: "the end of its session"},
    rows=(
        Row(_S.OFFLINE, _I.STARTED, _S.CONNECTED, _C.greet, arm=(_T.FIRST,), ref=_FRIENDS),
        Row(_S.CONNECTED, _I.ENDED, _S.OFFLINE, _C.end, cancel=_TIMERS, ref=_FRIENDS),
        Row(_S.ONLINE, _I.ENDED, _S.OFFLINE, _C.end, _C.tell_offline, cancel=_TIMERS, ref=_FRIENDS),
        Row(_S.CONNECTED, _I.ONLINE, _S.ONLINE, _C.tell_online, ref=_FRIENDS),
        Row(_S.ONLINE, _I.ONLINE, None, ref=_FRIENDS),
        Row(_S.ONLINE, _I.OFFLINE, _S.CONNECTED, _C.tell_said_offline, ref=_FRIENDS),
        Row(_S.CONNECTED, _I.OFFLINE, None, ref=_FRIENDS),
        Row(_UP, _I.ALIVE, None, ref=_FRIENDS),
        Row(_UP, _I.SHARED, None, _C.tell_shared, ref=_FRIENDS),
        Row(_UP, _I.ASKED, None, _C.tell_packet, ref=_FRIENDS),
        Row(_S.ONLINE, _I.SAID, None, _C.tell, ref=_FRIENDS),
        Row(_UP, _I.PROFILE, None, _C.introduce, ref=_FRIENDS),
        Row(_UP, _I.RELAYS, None, _C.share_relays, ref=_FRIENDS),
        Row(_S.OFFLINE, _I.PROFILE | _I.RELAYS | _I.ENDED, None, ref=_FRIENDS),
        Row(_UP, _I.PULSE_DUE, None, _C.lose, when=_C.is_lost, ref=_FRIENDS),
        Row(_UP, _I.PULSE_DUE, None, when=_C.is_early, arm=(_T.PULSE_REST,), ref=_FRIENDS),
        Row(_UP, _I.PULSE_DUE, None, _C.send_alive, arm=(_T.PULSE,), ref=_FRIENDS),
    ),
    defaults=(
        Default(Outcome.IGNORE, "before the friend is online", _I.SAID, _I.CUSTOM),
        Default(Outcome.IGNORE, "late"),
    ),
)
