"""The way of a client or server: to the relay, on to the secure room, and to the end. docs/protocols/bob.rst."""

from __future__ import annotations

from enum import Enum
from ipaddress import ip_address
from typing import Annotated, Final, Protocol

import attrs

from ..component import Component, Host
from ..contract import Address, Link, Lookup
from ..events import CloseCause, Closed
from ..links import StreamLink
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .crypto import SharedKeys
from .events import Connected, PeerEvent, Registered, Violation
from .limits import PeerDelays

NOWHERE: Final = Link(0)
"""No link."""

_QUERY: Final = 1


@attrs.frozen
class Agreed:
    """What is needed for the secure room: who the other peer is, and the keys shared with it."""

    uid: int
    identity: str
    keys: SharedKeys = attrs.field(repr=False)
    public: p.PublicParameters


class PeerState(Enum):
    NEW = 0
    PREPARING = 1
    """A server derives its own secret."""
    RESOLVING = 2
    CONNECTING = 3
    GREETING = 4
    """Hello is sent."""
    WAITING = 5
    """Registered; exchanges run."""
    PAIRED = 6
    """A client has accepted one server."""
    APPROACHING = 7
    """On the way to the secure port."""
    LOBBY = 8
    """The line is sent."""
    TALKING = 9
    CLOSING = 10
    """The channel closes: its closing packet is out."""
    ENDED = 11


class PeerInput:
    START = Input[PeerState, None]()
    """The verb connect, or what it needs is prepared."""
    LOOKED_UP = Input[PeerState, tuple[Address, ...]]()
    OPENED = Input[PeerState, None]()
    UNREACHABLE = Input[PeerState, str]()
    IDENTITY = Input[PeerState, str]()
    CHOOSE = Input[PeerState, None]()
    """The verb accept; ACCEPT follows."""
    ACCEPT = Input[PeerState, Agreed]()
    TAKEN = Input[PeerState, Agreed]()
    """A server learns that it was accepted."""
    DONE = Input[PeerState, None]()
    PARTNER_GONE = Input[PeerState, None]()
    RELAY_CLOSED = Input[PeerState, None]()
    RELAY_TIMEOUT = Input[PeerState, None]()
    RELAY_LOST = Input[PeerState, str]()
    JOINED = Input[PeerState, None]()
    ROOM_REFUSED = Input[PeerState, p.RoomCode]()
    ROOM_LOST = Input[PeerState, str]()
    MOVED = Input[PeerState, None]()
    """Bytes went through the channel."""
    CHANNEL_ENDED = Input[PeerState, Closed[Violation]]()
    CLOSE = Input[PeerState, None]()
    VIOLATED = Input[PeerState, Closed[Violation]]()
    EXHAUSTED = Input[PeerState, None]()
    LOOKUP_EXPIRED = Input[PeerState, None]()
    GREETING_EXPIRED = Input[PeerState, None]()
    WAITING_EXPIRED = Input[PeerState, None]()
    DONE_EXPIRED = Input[PeerState, None]()
    LOBBY_EXPIRED = Input[PeerState, None]()
    SILENCE_EXPIRED = Input[PeerState, None]()
    SEND = Input[PeerState, None]()


class PeerTimer:
    LOOKUP = Timer(PeerInput.LOOKUP_EXPIRED, PeerDelays.lookup)
    GREETING = Timer(PeerInput.GREETING_EXPIRED, PeerDelays.greeting)
    WAITING = Timer(PeerInput.WAITING_EXPIRED, PeerDelays.waiting)
    DONE = Timer(PeerInput.DONE_EXPIRED, PeerDelays.done)
    LOBBY = Timer(PeerInput.LOBBY_EXPIRED, PeerDelays.lobby)
    SILENCE = Timer(PeerInput.SILENCE_EXPIRED, PeerDelays.silence)


_S, _I, _T = PeerState, PeerInput, PeerTimer


class WayOwner(Protocol):
    """What the way asks of its peer."""

    @property
    def is_prepared(self) -> bool: ...
    def prepare(self) -> None: ...
    def send_hello(self) -> None: ...
    def register(self, identity: str) -> None: ...
    def say(self, uid: int, packet: p.BobPacket) -> None: ...
    def say_line(self, line: p.RoomLine) -> None: ...
    def ask_transport(self, what: Lookup) -> None: ...
    def open_link(self, address: Address) -> StreamLink: ...
    def leave_relay(self) -> Address: ...
    def abandon(self) -> None: ...
    def open_channel(self, agreed: Agreed) -> None: ...
    def close_channel(self) -> None: ...
    def close_gracefully(self, closed: Closed[Violation]) -> None: ...


class Way(Component[PeerState, Host[PeerEvent]]):
    """How far a client or server has come."""

    addresses: list[Address]
    """Of the relay, not yet tried."""
    relay: Link
    """To the relay port; 0: none."""
    room: Link
    """To the secure port; 0: none."""
    agreed: Agreed | None
    """With whom it goes to the secure room."""
    owner: Annotated[WayOwner, CACHED]
    delays: Annotated[PeerDelays, CACHED]
    target: Annotated[Address, CACHED]
    """The relay, by its address or its name."""
    secure_port: Annotated[int, CACHED]

    def __init__(
        self, host: Host[PeerEvent], owner: WayOwner, target: Address, secure_port: int, delays: PeerDelays
    ) -> None:
        super().__init__(host)
        self.owner, self.target, self.secure_port, self.delays = owner, target, secure_port, delays
        self.addresses, self.relay, self.room, self.agreed = [], NOWHERE, NOWHERE, None

    # -- for the peer

    def forget_link(self, key: Link) -> None:
        if key == self.relay:
            self.relay = NOWHERE
        elif key == self.room:
            self.room = NOWHERE

    def cease(self) -> None:
        """The session is over, whoever ended it."""
        self.state = _S.ENDED

    # -- conditions

    def is_unprepared(self) -> bool:
        return not self.owner.is_prepared

    def is_given_a_name(self) -> bool:
        try:
            ip_address(self.target.host)
        except ValueError:
            return True
        return False

    def is_without_address(self, addresses: tuple[Address, ...]) -> bool:
        return not addresses

    def is_left_with_an_address(self) -> bool:
        return bool(self.addresses)

    # -- actions

    def prepare(self) -> None:
        self.owner.prepare()

    def look_up(self) -> None:
        self.owner.ask_transport(Lookup(_QUERY, self.target.host, self.target.port))

    def dial_target(self) -> None:
        self.dial_found((Address(str(ip_address(self.target.host)), self.target.port),))

    def dial_found(self, addresses: tuple[Address, ...]) -> None:
        self.addresses = list(addresses)
        self.dial()

    def dial(self) -> None:
        self.relay = self.owner.open_link(self.addresses.pop(0)).key

    def send_hello(self) -> None:
        self.owner.send_hello()

    def remember_identity(self, identity: str) -> None:
        self.owner.register(identity)
        self.host.emit(Registered(identity))

    def send_accepted(self, agreed: Agreed) -> None:
        self.agreed = agreed
        self.owner.say(agreed.uid, p.Accepted())

    def follow(self, agreed: Agreed) -> None:
        self.agreed = agreed

    def abandon(self) -> None:
        """Every exchange ends: nobody needs it any more."""
        self.owner.abandon()

    def approach(self) -> None:
        address = self.owner.leave_relay()
        self.relay = NOWHERE
        self.room = self.owner.open_link(attrs.evolve(address, port=self.secure_port)).key

    def send_line(self) -> None:
        self.owner.say_line(p.RoomLine(self._partner().identity))

    def open_channel(self) -> None:
        self.owner.open_channel(self._partner())
        self.host.emit(Connected(self._partner().identity))

    def close_channel(self) -> None:
        self.owner.close_channel()

    def end_local(self) -> None:
        self.owner.close_gracefully(Closed(CloseCause.LOCAL))

    def end_remote(self) -> None:
        self.owner.close_gracefully(Closed(CloseCause.REMOTE, detail="the relay ended the connection"))

    def end_refused(self, code: p.RoomCode) -> None:
        expired = code is p.RoomCode.EXPIRED
        violation = Violation.ROOM_EXPIRED if expired else Violation.ROOM_UNKNOWN
        self.owner.close_gracefully(Closed(CloseCause.REFUSED, violation))

    def end_without_address(self) -> None:
        self.end_unreachable("the relay's name has no address")

    def end_unreachable(self, detail: str) -> None:
        self.owner.close_gracefully(Closed(CloseCause.UNREACHABLE, detail=detail))

    def end_relay_lost(self, detail: str) -> None:
        self.owner.close_gracefully(Closed(CloseCause.LOST, Violation.RELAY_LOST, detail=detail))

    def end_room_lost(self, detail: str) -> None:
        self.owner.close_gracefully(Closed(CloseCause.LOST, Violation.ROOM_LOST, detail=detail))

    def end_relay_timeout(self) -> None:
        detail = "the relay's time for us is over"
        self.owner.close_gracefully(Closed(CloseCause.TIMEOUT, Violation.RELAY_TIMEOUT, detail=detail))

    def end_without_greeting(self) -> None:
        self._end_late("the relay did not answer our hello")

    def end_without_agreement(self) -> None:
        self._end_late("nobody came to an agreement")

    def end_without_done(self) -> None:
        self._end_late("the relay did not confirm the agreement")

    def end_without_partner(self) -> None:
        self._end_late("the other peer did not come to the secure room")

    def end_silent(self) -> None:
        self._end_late("nothing moved for too long")

    def end_as_told(self, closed: Closed[Violation]) -> None:
        self.owner.close_gracefully(closed)

    def end_limit(self) -> None:
        self.owner.close_gracefully(Closed(CloseCause.LIMIT, Violation.TOO_MANY_GUESSES))

    # -- inside

    def _end_late(self, detail: str) -> None:
        self.owner.close_gracefully(Closed(CloseCause.TIMEOUT, detail=detail))

    def _partner(self) -> Agreed:
        assert self.agreed is not None  # nobody approaches without
        return self.agreed


_W: Final = Way
_STARTING: Final = (_S.NEW, _S.PREPARING)
_AT_RELAY: Final = (_S.GREETING, _S.WAITING, _S.PAIRED)
_BEFORE_CHANNEL: Final = (_S.PREPARING, _S.RESOLVING, _S.CONNECTING, *_AT_RELAY, _S.APPROACHING, _S.LOBBY)
_VERBS: Final = (_I.CHOOSE, _I.SEND)

PEER: Final = Table[Way, PeerState](
    Way,
    PeerInput,
    PeerTimer,
    name="bob.peer",
    page="bob",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={
        _S.NEW: "the verb connect",
        _S.PREPARING: "the queue of derivations, which works on a timer of its own",
        _S.CONNECTING: "the link's own connect timer",
        _S.APPROACHING: "the link's own connect timer",
        _S.CLOSING: "the channel's own timer, FAREWELL",
    },
    rows=(
        Row(_S.NEW, _I.START, _S.PREPARING, _W.prepare, when=_W.is_unprepared, ref="a server's secret"),
        Row(
            _STARTING,
            _I.START,
            _S.RESOLVING,
            _W.look_up,
            when=_W.is_given_a_name,
            arm=(_T.LOOKUP,),
            ref="reaching the relay",
        ),
        Row(_STARTING, _I.START, _S.CONNECTING, _W.dial_target, ref="reaching the relay"),
        Row(
            _S.RESOLVING,
            _I.LOOKED_UP,
            _S.ENDED,
            _W.end_without_address,
            when=_W.is_without_address,
            ref="reaching the relay",
        ),
        Row(_S.RESOLVING, _I.LOOKED_UP, _S.CONNECTING, _W.dial_found, cancel=(_T.LOOKUP,), ref="reaching the relay"),
        Row(_S.RESOLVING, _I.LOOKUP_EXPIRED, _S.ENDED, _W.end_without_address, ref="reaching the relay"),
        Row(_S.CONNECTING, _I.UNREACHABLE, None, _W.dial, when=_W.is_left_with_an_address, ref="reaching the relay"),
        Row((_S.CONNECTING, _S.APPROACHING), _I.UNREACHABLE, _S.ENDED, _W.end_unreachable, ref="reaching the relay"),
        Row(_S.CONNECTING, _I.OPENED, _S.GREETING, _W.send_hello, arm=(_T.GREETING,), ref="hello"),
        Row(
            _S.GREETING,
            _I.IDENTITY,
            _S.WAITING,
            _W.remember_identity,
            arm=(_T.WAITING,),
            cancel=(_T.GREETING,),
            ref="hello",
        ),
        Row(_S.WAITING, _I.CHOOSE, ref="the agreement"),
        Row(
            _S.WAITING,
            _I.ACCEPT,
            _S.PAIRED,
            _W.send_accepted,
            arm=(_T.DONE,),
            cancel=(_T.WAITING,),
            ref="the agreement",
        ),
        Row(
            _S.WAITING,
            _I.TAKEN,
            _S.APPROACHING,
            _W.follow,
            _W.abandon,
            _W.approach,
            cancel=(_T.WAITING,),
            ref="the agreement",
        ),
        Row(_S.PAIRED, _I.PARTNER_GONE, _S.WAITING, arm=(_T.WAITING,), cancel=(_T.DONE,), ref="the agreement"),
        Row(_S.PAIRED, _I.DONE, _S.APPROACHING, _W.abandon, _W.approach, cancel=(_T.DONE,), ref="the agreement"),
        Row(_AT_RELAY, _I.RELAY_CLOSED, _S.ENDED, _W.end_remote, ref="when the relay ends it"),
        Row(_AT_RELAY, _I.RELAY_TIMEOUT, _S.ENDED, _W.end_relay_timeout, ref="when the relay ends it"),
        Row(_AT_RELAY, _I.RELAY_LOST, _S.ENDED, _W.end_relay_lost, ref="when the relay ends it"),
        Row(_S.GREETING, _I.GREETING_EXPIRED, _S.ENDED, _W.end_without_greeting, ref="times and limits"),
        Row(_S.WAITING, _I.WAITING_EXPIRED, _S.ENDED, _W.end_without_agreement, ref="times and limits"),
        Row(_S.PAIRED, _I.DONE_EXPIRED, _S.ENDED, _W.end_without_done, ref="times and limits"),
        Row(_S.LOBBY, _I.LOBBY_EXPIRED, _S.ENDED, _W.end_without_partner, ref="times and limits"),
        Row((*_AT_RELAY, _S.LOBBY), _I.VIOLATED, _S.ENDED, _W.end_as_told, ref="bad packets"),
        Row(_AT_RELAY, _I.EXHAUSTED, _S.ENDED, _W.end_limit, ref="guesses"),
        Row(_S.APPROACHING, _I.OPENED, _S.LOBBY, _W.send_line, arm=(_T.LOBBY,), ref="the secure room"),
        Row(
            _S.LOBBY,
            _I.JOINED,
            _S.TALKING,
            _W.open_channel,
            arm=(_T.SILENCE,),
            cancel=(_T.LOBBY,),
            ref="the secure room",
        ),
        Row(_S.LOBBY, _I.ROOM_REFUSED, _S.ENDED, _W.end_refused, ref="the secure room"),
        Row(_S.LOBBY, _I.ROOM_LOST, _S.ENDED, _W.end_room_lost, ref="the secure room"),
        Row(_S.TALKING, _I.MOVED, None, arm=(_T.SILENCE,), ref="times and limits"),
        Row(_S.TALKING, _I.SEND, ref="the channel"),
        Row(_S.TALKING, _I.SILENCE_EXPIRED, _S.ENDED, _W.end_silent, ref="times and limits"),
        Row(_S.TALKING, _I.CLOSE, _S.CLOSING, _W.close_channel, cancel=(_T.SILENCE,), ref="closing the channel"),
        Row((_S.TALKING, _S.CLOSING), _I.CHANNEL_ENDED, _S.ENDED, _W.end_as_told, ref="closing the channel"),
        Row((_S.NEW, *_BEFORE_CHANNEL), _I.CLOSE, _S.ENDED, _W.end_local, ref="leaving"),
    ),
    defaults=(
        Default(Outcome.NOT_OPEN, "connect first", *_VERBS, states=(_S.NEW,)),
        Default(Outcome.NOT_OPEN, "", *_VERBS, states=(_S.ENDED, _S.CLOSING)),
        Default(Outcome.REJECT, "", *_VERBS),
        Default(Outcome.IGNORE, "stale"),
    ),
)
