"""A connection to a relay: its hello, the ids that it holds, and which of its packets go where.

docs/protocols/tox.rst, relay server.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, NamedTuple, Protocol, assert_never

import attrs

from ..component import Component, Host
from ..contract import Instant
from ..errors import WireError
from ..fair import address_bytes, group_of_address
from ..links import LinkState, StreamLink
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import crypto
from . import packets as p
from .limits import RelayServerDelays, RelayServerLimits
from .relay_channel import OwnKeys, RelayChannel, read_keys, write_answer
from .relay_events import RelayClientJoined, RelayClientLeft, RelayServerEvent

_NO_NUMBER: Final = bytes(8)  # of a ping that nobody sends
_ONION: Final = frozenset({8, 10})  # first bytes of frames for parts of Tox that are not spoken here
_SHARE: Final = 100  # of the ids that are left, one client gets a hundredth


class VisitorState(Enum):
    NEW = 0
    HELLO = 1
    """Its hello is not there yet."""
    WAITING = 2
    """Its hello waits for its turn."""
    ANSWERED = 3
    """It has not shown yet that it has the key: the hello may be a copy."""
    CLIENT = 4
    ENDED = 5


@attrs.define(eq=False)
class Wish:
    """Whom a client wants to be linked with."""

    key: bytes
    """The DHT key."""
    peer: int = 0
    """The id that the other one has for this client; 0: they are not linked."""
    is_told: bool = False
    """The last notification said that they are."""


class Greeted(NamedTuple):
    """A hello that opened."""

    shared: bytes
    """What both DHT keys agree on."""
    keys: p.RelayKeys


class Parcel(NamedTuple):
    """A packet, and the connection that it is for."""

    receiver: RelayVisitor
    packet: p.Relayed | p.OobReceived


class VisitorInput:
    CAME = Input[VisitorState, None]()
    HELLO = Input[VisitorState, p.RelayHello]()
    PARSED = Input[VisitorState, None]()
    """What came as the hello was looked at: if it was dropped, there is none."""
    GREETED = Input[VisitorState, Greeted]()
    OPENED = Input[VisitorState, None]()
    """The same, when it was its turn to be opened."""
    CONFIRMED = Input[VisitorState, None]()
    """The first frame that opens."""
    EMPTY = Input[VisitorState, None]()
    """A frame without content."""
    ONION = Input[VisitorState, None]()
    """One of a part of Tox that is not spoken here."""
    ROUTE = Input[VisitorState, bytes]()
    REFUSED = Input[VisitorState, bytes]()
    """A key for which it gets no id."""
    UNROUTE = Input[VisitorState, int]()
    NOTIFIED = Input[VisitorState, None]()
    """A notification that only relays send, and that does no harm."""
    PINGED = Input[VisitorState, p.RelayPing]()
    PONG = Input[VisitorState, p.RelayPong]()
    PARCEL = Input[VisitorState, Parcel]()
    BROKEN = Input[VisitorState, Any]()
    """It does not speak the protocol, or somebody changed what it said."""
    PING_DUE = Input[VisitorState, None]()
    PONG_EXPIRED = Input[VisitorState, None]()
    EXPIRED = Input[VisitorState, None]()
    PUSHED_OUT = Input[VisitorState, None]()
    """Somebody newer needs its place."""
    SUPERSEDED = Input[VisitorState, None]()
    """The owner of the key has another connection."""
    FINISHED = Input[VisitorState, None]()
    LEFT = Input[VisitorState, None]()


class VisitorTimer:
    HELLO = Timer(VisitorInput.EXPIRED, RelayServerDelays.hello)
    CONFIRM = Timer(VisitorInput.EXPIRED, RelayServerDelays.confirm)
    PING = Timer(VisitorInput.PING_DUE, RelayServerDelays.ping)
    PONG = Timer(VisitorInput.PONG_EXPIRED, RelayServerDelays.pong)


class VisitorHost(Host[RelayServerEvent], Protocol):
    """What a connection asks of its relay."""

    keys: crypto.KeyPair
    delays: RelayServerDelays
    limits: RelayServerLimits
    is_strict: bool
    held_ids: int
    """By all clients."""

    def note_sent(self, link: int, name: str, size: int) -> None: ...

    def client_of(self, key: bytes) -> RelayVisitor | None: ...
    def note_half_open(self, visitor: RelayVisitor) -> None: ...
    def note_unconfirmed(self, visitor: RelayVisitor) -> None: ...
    def note_client(self, visitor: RelayVisitor) -> None: ...
    def note_gone(self, visitor: RelayVisitor) -> None: ...
    def wait_for_greeting(self, visitor: RelayVisitor) -> None: ...
    def wait_for_frames(self, visitor: RelayVisitor) -> None: ...
    def wait_to_pass(self, visitor: RelayVisitor) -> None: ...
    def frame_rate(self) -> float: ...


class RelayVisitor(Component[VisitorState, VisitorHost]):
    """A connection to a relay."""

    hello: p.RelayHello | None
    """While it waits for its turn."""
    key: bytes
    """Its DHT key; empty until its hello has opened."""
    channel: RelayChannel | None
    wishes: dict[int, Wish]
    """By the ids that it has for them."""
    news: dict[int, None]
    """Ids of which it is told as soon as it takes output."""
    pings: int
    pending: bytes
    """The number of the ping that was not answered; empty: none."""
    used: float
    """Frames that went to nobody, less what time has given back until ``used_at``."""
    used_at: Instant
    passed: int
    """Packets that were passed on since it had its turn; those within a group of addresses twice."""
    ids: Annotated[dict[bytes, int], CACHED]
    """By key."""
    link: Annotated[StreamLink, CACHED]
    address: Annotated[bytes, CACHED]
    group: Annotated[bytes, CACHED]
    """Of its address."""
    delays: Annotated[RelayServerDelays, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: VisitorHost, link: StreamLink) -> None:
        super().__init__(host)
        self.link, self.delays, self.address = link, host.delays, address_bytes(link.peer.host)
        self.group = group_of_address(self.address)
        self.hello, self.key, self.channel = None, b"", None
        self.wishes, self.ids, self.news = {}, {}, {}
        self.pings, self.pending, self.used, self.used_at, self.passed = 0, b"", 0.0, 0.0, 0

    def rebuild(self) -> None:
        self.ids = {wish.key: number for number, wish in self.wishes.items()}

    # -- for its relay

    def hear(self, packet: p.RelayHello | p.RelayFrame) -> None:
        if isinstance(packet, p.RelayHello):
            self.link.halt()  # nothing behind it is looked at before it is answered
            self.take(HELLO, packet)
            self.post(_I.PARSED())
            return
        self.used += 1  # given back if it is passed on
        if packet.sealed:
            self._hear_frame(packet.sealed)
        else:
            self.post(_I.EMPTY())
        if self.used > self.host.limits.frames:
            self._slow_down()

    def greet(self) -> None:
        """It is its turn."""
        assert self.hello is not None  # it waited for that
        self.take(GREETING, self.hello)
        self.post(_I.OPENED())

    def go_on(self) -> None:
        """It is its turn: it may send some frames more that go to nobody."""
        self.used -= self.host.limits.turn_frames
        self.link.go_on()

    def go_on_passing(self) -> None:
        """It is its turn: others had theirs, if they wanted it."""
        self.passed -= self.host.limits.turn_frames
        self.link.go_on()

    def pull_news(self) -> bytes | None:
        """The next notification, sealed, for a link that has sent all that it had."""
        while self.news:
            number = next(iter(self.news))
            del self.news[number]
            wish = self.wishes[number]
            if wish.is_told != bool(wish.peer):
                return self._seal(self._notification(number, wish))
        return None

    # -- for other connections

    def has_room(self, size: int) -> bool:
        """Is it passed on what a linked client sends?"""
        limits = self.host.limits
        most = limits.relayed if self.link.state is LinkState.OPEN else limits.relayed_blocked
        return self.link.queued + size <= most

    def has_room_for_anybody(self, size: int) -> bool:
        """Is it passed on what somebody sends with whom it is not linked? It leaves room for those who are."""
        return self.link.queued + size <= self.host.limits.relayed_blocked

    def say(self, packet: p.Control | p.Relayed) -> None:
        self.link.write(self._seal(packet))

    def tell(self, number: int) -> None:
        """Whether it is linked by this id, now or when its link takes output: toggling fills nobody's queue."""
        if self.has_room(0) and not self.news:
            self.say(self._notification(number, self.wishes[number]))
        else:
            self.news[number] = None

    # -- guards

    def has_a_key(self, packet: p.RelayHello | p.OobSend) -> bool:
        return crypto.is_key(packet.key)

    def open_hello(self, hello: p.RelayHello) -> Greeted:
        shared = crypto.agree(self.host.keys.secret, hello.key)
        return Greeted(shared, read_keys(shared, hello))

    def read_wish(self, request: p.RoutingRequest) -> bytes | None:
        return request.key if crypto.is_key(request.key) else None

    def gets_no_id(self, key: bytes) -> bool:
        """For itself; or it holds too many, or all together do."""
        if key == self.key:
            return True
        left = self.host.limits.routes - self.host.held_ids
        return key not in self.ids and len(self.wishes) >= min(p.MAX_IDS, left // _SHARE)

    def breaks_the_reference(self, told: p.DisconnectNotification) -> bool:
        return self.host.is_strict and told.connection not in self.wishes

    def find_id(self, told: p.DisconnectNotification) -> int | None:
        return told.connection if told.connection in self.wishes else None

    def is_zero(self, pong: p.RelayPong) -> bool:
        return pong.number == _NO_NUMBER

    def is_expected(self, pong: p.RelayPong) -> bool:
        return pong.number == self.pending

    def has_content(self, relayed: p.Relayed) -> bool:
        return bool(relayed.data)

    def is_unknown(self, relayed: p.Relayed) -> bool:
        return relayed.connection not in self.wishes

    def find_partner(self, relayed: p.Relayed) -> Parcel | None:
        """Who is linked with it, and knows that."""
        wish = self.wishes[relayed.connection]
        other = self.host.client_of(wish.key) if wish.peer else None
        if other is None or not other.wishes[wish.peer].is_told:
            return None
        return Parcel(other, p.Relayed(wish.peer, relayed.data))

    def find_receiver(self, oob: p.OobSend) -> Parcel | None:
        other = self.host.client_of(oob.key)
        return None if other is None else Parcel(other, p.OobReceived(self.key, oob.data))

    def reaches_its_partner(self, parcel: Parcel) -> bool:
        return parcel.receiver.has_room(len(parcel.packet.data))

    def reaches_its_receiver(self, parcel: Parcel) -> bool:
        return parcel.receiver.has_room_for_anybody(len(parcel.packet.data))

    def is_unread(self) -> bool:
        """Its answer may be here, and not looked at."""
        return self.link.paused

    # -- actions

    def enter(self) -> None:
        self.host.note_half_open(self)

    def wait_for_turn(self, hello: p.RelayHello) -> None:
        self.hello = hello
        self.host.wait_for_greeting(self)

    def answer(self, greeted: Greeted) -> None:
        assert self.hello is not None  # it is the one that opened
        self.key, self.hello = self.hello.key, None
        draw, name = self.host.draw, f"link.{self.link.key}"
        own = OwnKeys(draw(p.KEY_SIZE, f"{name}.secret"), draw(p.NONCE_SIZE, f"{name}.base_nonce"))
        data = write_answer(greeted.shared, own, draw(p.NONCE_SIZE, f"{name}.nonce"))
        self.channel, self.used_at = own.channel(greeted.keys), self.host.clock
        self.host.note_sent(self.link.key, "RelayAnswer", len(data))
        self.link.write(data)
        self.host.note_unconfirmed(self)
        self.link.go_on()

    def take_place(self) -> None:
        """Another connection with this key is over: only now, for anybody can copy a hello."""
        older = self.host.client_of(self.key)
        if older is not None:
            _I.SUPERSEDED().act(older)
        self.host.note_client(self)
        self.host.emit(RelayClientJoined(self.key, self.link.key, address=self.link.peer))

    def route(self, key: bytes) -> None:
        """Each key has one id. The answer comes before the notification."""
        number = self.ids.get(key, 0)
        if number:
            self.say(p.RoutingResponse(number, key))
            return
        number = next(one for one in range(p.FIRST_ID, 256) if one not in self.wishes)
        self.wishes[number], self.ids[key] = Wish(key), number
        self.host.held_ids += 1
        self.say(p.RoutingResponse(number, key))
        other = self.host.client_of(key)
        theirs = 0 if other is None else other.ids.get(self.key, 0)
        if other is not None and theirs:
            self.wishes[number].peer, other.wishes[theirs].peer = theirs, number
            self.tell(number)
            other.tell(theirs)

    def refuse(self, key: bytes) -> None:
        self.say(p.RoutingResponse(0, key))

    def unroute(self, number: int) -> None:
        self._part(self.wishes[number])
        del self.ids[self.wishes.pop(number).key]
        self.news.pop(number, None)
        self.host.held_ids -= 1

    def answer_ping(self, ping: p.RelayPing) -> None:
        self.say(p.RelayPong(ping.number))

    def ping(self) -> None:
        self.pings += 1
        self.pending = self.pings.to_bytes(8, "little")
        self.say(p.RelayPing(self.pending))

    def note_pong(self) -> None:
        self.pending = b""

    def pass_on(self, parcel: Parcel) -> None:
        parcel.receiver.say(parcel.packet)
        if isinstance(parcel.packet, p.Relayed):
            self.used -= 1
            self.passed += 1 if parcel.receiver.group != self.group else 2  # both ends' networks pay for it
            if self.passed >= self.host.limits.passed and not self.link.halted:
                self.link.halt()
                self.host.wait_to_pass(self)

    def leave(self) -> None:
        """Who was linked with it is told at once."""
        for wish in self.wishes.values():
            self._part(wish)
        self.host.held_ids -= len(self.wishes)
        self.wishes.clear()
        self.ids.clear()
        self.news.clear()
        self.hello = None
        self.host.note_gone(self)

    def tell_left(self) -> None:
        self.host.emit(RelayClientLeft(self.key, self.link.key))

    def close(self) -> None:
        self.link.close()

    def abort(self) -> None:
        self.link.abort()

    # -- inside

    def _hear_frame(self, sealed: bytes) -> None:
        assert self.channel is not None  # frames are decoded behind the answer only
        try:
            clear = self.channel.open(sealed)
        except WireError:
            self.post(_I.BROKEN(None))
            return
        if self.state is VisitorState.ANSWERED:
            self.post(_I.CONFIRMED())
        if clear and clear[0] in _ONION:
            self.post(_I.ONION())
            return
        try:
            packet = p.decode_frame(clear)
        except WireError:
            self.post(_I.BROKEN(None))
            return
        self._hear_packet(packet)

    def _hear_packet(self, packet: p.Control | p.Relayed) -> None:
        match packet:
            case p.Relayed():
                self.take(RELAYED, packet)
            case p.OobSend():
                self.take(OOB, packet)
            case p.RoutingRequest():
                self.take(ROUTE, packet)
            case p.DisconnectNotification():
                self.take(UNROUTE, packet)
            case p.ConnectNotification():
                self.post(_I.NOTIFIED())
            case p.RelayPing():
                self.post(_I.PINGED(packet))
            case p.RelayPong():
                self.take(PONG, packet)
            case p.RoutingResponse() | p.OobReceived():
                self.post(_I.BROKEN(packet))
            case _:
                assert_never(packet)

    def _slow_down(self) -> None:
        """It has used up its share of frames that go to nobody: it waits for its turn, and is not read meanwhile."""
        now = self.host.clock
        self.used = max(0.0, self.used - (now - self.used_at) * self.host.frame_rate())
        self.used_at = now
        if self.used > self.host.limits.frames:
            self.link.halt()
            self.host.wait_for_frames(self)

    def _part(self, wish: Wish) -> None:
        """Whoever is linked with it by this wish is not any more."""
        other = self.host.client_of(wish.key) if wish.peer else None
        if other is not None:
            other.wishes[wish.peer].peer = 0
            other.tell(wish.peer)

    def _notification(self, number: int, wish: Wish) -> p.ConnectNotification | p.DisconnectNotification:
        """What it was not told yet."""
        wish.is_told = bool(wish.peer)
        return p.ConnectNotification(number) if wish.is_told else p.DisconnectNotification(number)

    def _seal(self, packet: p.Control | p.Relayed) -> bytes:
        assert self.channel is not None  # it was answered
        frame = self.channel.seal(packet)
        self.host.note_sent(self.link.key, type(packet).__name__, len(frame))
        return frame


_S, _I, _T, _V = VisitorState, VisitorInput, VisitorTimer, RelayVisitor
_REF: Final = "relay server"
_STREAMS: Final = "relay streams"
_KEYS: Final = "invalid keys"
_PINGS: Final = "pings of a relay"
_ALL: Final = (_T.HELLO, _T.CONFIRM, _T.PING, _T.PONG)

HELLO: Final = (
    Guards.of(RelayVisitor, _S, p.RelayHello, "hello")
    .need(_V.has_a_key, "a key that is none", ref=_KEYS)
    .give(_I.HELLO)
)
GREETING: Final = (
    Guards.of(RelayVisitor, _S, p.RelayHello, "greeting")
    .make(_V.open_hello, "bad hello", ref=_STREAMS)
    .give(_I.GREETED)
)
ROUTE: Final = (
    Guards.of(RelayVisitor, _S, p.RoutingRequest, "route")
    .make(_V.read_wish, "a key that is none", ref=_KEYS)
    .give_if(_V.gets_no_id, _I.REFUSED, ref="ids at a relay")
    .give(_I.ROUTE)
)
UNROUTE: Final = (
    Guards.of(RelayVisitor, _S, p.DisconnectNotification, "unroute")
    .give_if(_V.breaks_the_reference, _I.BROKEN, ref="ids at a relay")
    .make(_V.find_id, "unknown id", ref="ids at a relay")
    .give(_I.UNROUTE)
)
PONG: Final = (
    Guards.of(RelayVisitor, _S, p.RelayPong, "pong")
    .give_if(_V.is_zero, _I.BROKEN, ref=_PINGS)
    .need(_V.is_expected, "unknown pong", ref=_PINGS)
    .give(_I.PONG)
)
RELAYED: Final = (
    Guards.of(RelayVisitor, _S, p.Relayed, "relayed")
    .need(_V.has_content, "empty packet", ref="empty packets")
    .give_if(_V.is_unknown, _I.BROKEN, ref="ids at a relay")
    .make(_V.find_partner, "not linked", ref="ids at a relay")
    .need(_V.reaches_its_partner, "no room", ref="full links")
    .give(_I.PARCEL)
)
OOB: Final = (
    Guards.of(RelayVisitor, _S, p.OobSend, "oob")
    .need(_V.has_a_key, "a key that is none", ref=_KEYS)
    .make(_V.find_receiver, "nobody has this key", ref=_REF)
    .need(_V.reaches_its_receiver, "no room", ref="full links")
    .give(_I.PARCEL)
)

_OPENING: Final = (_S.HELLO, _S.WAITING, _S.ANSWERED)

VISITOR: Final = Table[RelayVisitor, VisitorState](
    RelayVisitor,
    VisitorInput,
    VisitorTimer,
    name="tox.relay_visitor",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={_S.NEW: "the connection that makes it", _S.CLIENT: "the end of the connection: it is a keep-alive"},
    rows=(
        Row(_S.NEW, _I.CAME, _S.HELLO, _V.enter, arm=(_T.HELLO,), ref=_STREAMS),
        Row(_S.HELLO, _I.HELLO, _S.WAITING, _V.wait_for_turn, ref="turns"),
        Row(_S.WAITING, _I.PARSED, None, ref=_STREAMS),
        Row(_S.WAITING, _I.GREETED, _S.ANSWERED, _V.answer, arm=(_T.CONFIRM,), cancel=(_T.HELLO,), ref=_STREAMS),
        Row(_S.ANSWERED, _I.PARSED | _I.OPENED, None, ref=_STREAMS),
        Row(_S.ANSWERED, _I.CONFIRMED, _S.CLIENT, _V.take_place, arm=(_T.PING,), cancel=(_T.CONFIRM,), ref=_STREAMS),
        Row(_S.CLIENT, _I.ROUTE, None, _V.route, ref="ids at a relay"),
        Row(_S.CLIENT, _I.REFUSED, None, _V.refuse, ref="ids at a relay"),
        Row(_S.CLIENT, _I.UNROUTE, None, _V.unroute, ref="ids at a relay"),
        Row(_S.CLIENT, _I.PARCEL, None, _V.pass_on, ref=_REF),
        Row(_S.CLIENT, _I.PINGED, None, _V.answer_ping, ref=_PINGS),
        Row(_S.CLIENT, _I.PING_DUE, None, _V.ping, arm=(_T.PING, _T.PONG), ref=_PINGS),
        Row(_S.CLIENT, _I.PONG, None, _V.note_pong, cancel=(_T.PONG,), ref=_PINGS),
        Row(_S.CLIENT, _I.PONG_EXPIRED, None, when=_V.is_unread, arm=(_T.PONG,), ref=_PINGS),
        Row(_S.CLIENT, _I.PONG_EXPIRED, _S.ENDED, _V.leave, _V.tell_left, _V.abort, ref=_PINGS),
        Row(_S.CLIENT, _I.BROKEN | _I.SUPERSEDED, _S.ENDED, _V.leave, _V.tell_left, _V.abort, ref=_REF),
        Row(_S.CLIENT, _I.FINISHED, _S.ENDED, _V.leave, _V.tell_left, _V.close, ref=_REF),
        Row(_S.CLIENT, _I.LEFT, _S.ENDED, _V.leave, _V.tell_left, ref=_REF),
        Row(_S.HELLO, _I.PARSED, _S.ENDED, _V.leave, _V.abort, ref=_STREAMS),
        Row(_S.WAITING, _I.OPENED, _S.ENDED, _V.leave, _V.abort, ref=_STREAMS),
        Row(_OPENING, _I.EXPIRED | _I.PUSHED_OUT | _I.BROKEN, _S.ENDED, _V.leave, _V.abort, ref=_STREAMS),
        Row(_OPENING, _I.FINISHED, _S.ENDED, _V.leave, _V.close, ref=_STREAMS),
        Row(_OPENING, _I.LEFT, _S.ENDED, _V.leave, ref=_STREAMS),
    ),
    defaults=(
        Default(Outcome.IGNORE, "empty frame", _I.EMPTY),
        Default(Outcome.IGNORE, "for the onion", _I.ONION),
        Default(Outcome.IGNORE, "notification of a client", _I.NOTIFIED),
        Default(Outcome.IGNORE, "late"),
    ),
)
