"""The way of a client or server: to the relay, on to the secure room, and to the end. docs/protocols/bob.rst."""

from __future__ import annotations

from enum import Enum
from ipaddress import ip_address
from typing import Annotated, Any, Final, Protocol, TypeAlias

import attrs

from ..component import Component, Host, Parts
from ..contract import Address, Link, Lookup
from ..events import CloseCause, Closed
from ..links import StreamLink
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .crypto import SharedKeys
from .events import Connected, Failure, PeerEvent, PeerFailed, Registered, Violation
from .host import Heard, concerns_a_peer, concerns_the_relay
from .limits import PeerDelays

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
    PREPARE = Input[PeerState, None]()
    """A server's verb connect."""
    START = Input[PeerState, None]()
    """A client's, or a server is prepared."""
    LOOKED_UP = Input[PeerState, tuple[Address, ...]]()
    OPENED = Input[PeerState, StreamLink]()
    UNREACHABLE = Input[PeerState, str]()
    IDENTITY = Input[PeerState, Heard[p.ClientIdentity | p.ServerIdentity]]()
    MET = Input[PeerState, Heard[Any]]()
    """A server is announced, or a client asks."""
    NOBODY = Input[PeerState, Heard[Any]]()
    """Something about an exchange that is not there."""
    PEER_LEFT = Input[PeerState, Heard[p.PeerClosed]]()
    UNEXPECTED = Input[PeerState, Heard[Any]]()
    CHOOSE = Input[PeerState, None]()
    """The verb accept; ACCEPT follows."""
    ACCEPT = Input[PeerState, Agreed]()
    TAKEN = Input[PeerState, Agreed]()
    """A server learns that it was accepted."""
    DONE = Input[PeerState, Agreed]()
    PARTNER_GONE = Input[PeerState, None]()
    RELAY_CLOSED = Input[PeerState, Heard[Any]]()
    RELAY_TIMEOUT = Input[PeerState, Heard[Any]]()
    LOST = Input[PeerState, Closed[Violation]]()
    """The link that counts in this state."""
    JOINED = Input[PeerState, StreamLink]()
    ROOM_REFUSED = Input[PeerState, p.RoomCode]()
    MOVED = Input[PeerState, None]()
    """Bytes went through the channel."""
    CHANNEL_ENDED = Input[PeerState, Closed[Violation]]()
    CLOSE = Input[PeerState, None]()
    VIOLATED = Input[PeerState, Closed[Violation]]()
    EXHAUSTED = Input[PeerState, None]()
    EXPIRED = Input[PeerState, None]()
    """The timer of this state, of which each has one at most."""
    SEND = Input[PeerState, None]()


class PeerTimer:
    LOOKUP = Timer(PeerInput.EXPIRED, PeerDelays.lookup)
    GREETING = Timer(PeerInput.EXPIRED, PeerDelays.greeting)
    WAITING = Timer(PeerInput.EXPIRED, PeerDelays.waiting)
    DONE = Timer(PeerInput.EXPIRED, PeerDelays.done)
    LOBBY = Timer(PeerInput.EXPIRED, PeerDelays.lobby)
    SILENCE = Timer(PeerInput.EXPIRED, PeerDelays.silence)


_S, _I, _T = PeerState, PeerInput, PeerTimer


class WayHost(Host[PeerEvent], Protocol):
    """What the way asks of its peer."""

    delays: PeerDelays
    links: Parts[Link, StreamLink]

    @property
    def comes_back(self) -> bool: ...
    def send_hello(self) -> None: ...
    def say(self, uid: int, packet: p.BobPacket) -> None: ...
    def write(self, link: StreamLink, name: str, data: bytes) -> None: ...
    def meet(self, heard: Heard[Any]) -> None: ...
    def lose_peer(self, uid: int) -> None: ...
    def ask_transport(self, what: Lookup) -> None: ...
    def open_link(self, address: Address) -> StreamLink: ...
    def abandon(self) -> None: ...
    def open_channel(self, agreed: Agreed) -> None: ...
    def close_channel(self) -> None: ...
    def close_gracefully(self, closed: Closed[Violation]) -> None: ...


class Way(Component[PeerState, WayHost]):
    """How far a client or server has come."""

    identity: str
    """How the relay sees us; empty before Registered."""
    addresses: list[Address]
    """Of the relay, not yet tried."""
    relay: Link
    """To the relay port; 0 while there is none."""
    accepted: Agreed | None
    """A client's choice, while the relay has not confirmed it."""
    partners: dict[Link, Agreed]
    """With whom it is in the room that a link leads to; there is one at most."""
    last: tuple[Address, Agreed] | None
    """Where the relay was, and who the partner is, since it left for the secure port."""
    delays: Annotated[PeerDelays, CACHED]
    target: Annotated[Address, CACHED]
    """The relay, by its address or its name."""
    secure_port: Annotated[int, CACHED]

    def __init__(self, host: WayHost, target: Address, secure_port: int) -> None:
        super().__init__(host)
        self.target, self.secure_port, self.delays = target, secure_port, host.delays
        self.identity, self.addresses, self.relay, self.accepted, self.partners = "", [], Link(0), None, {}
        self.last = None

    def forget_link(self, key: Link) -> None:
        self.partners.pop(key, None)
        if key == self.relay:
            self.relay = Link(0)

    def cease(self) -> None:
        """The session is over, whoever ended it."""
        self.state = _S.ENDED

    # -- guards and conditions

    def is_about_us(self, heard: Heard[p.PeerClosed]) -> bool:
        return heard.packet.uid == p.RELAY

    def find_accepted(self, heard: Heard[p.Done]) -> Agreed | None:
        return self.accepted

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

    def comes_back(self) -> bool:
        return self.host.comes_back

    # -- actions

    def look_up(self) -> None:
        self.host.ask_transport(Lookup(_QUERY, self.target.host, self.target.port))

    def dial_target(self) -> None:
        self.dial_found((Address(str(ip_address(self.target.host)), self.target.port),))

    def dial_found(self, addresses: tuple[Address, ...]) -> None:
        self.addresses = list(addresses)
        self.dial()

    def dial(self) -> None:
        self.relay = self.host.open_link(self.addresses.pop(0)).key

    def send_hello(self) -> None:
        self.host.send_hello()

    def register(self, heard: Heard[p.ClientIdentity | p.ServerIdentity]) -> None:
        self.identity = heard.packet.identity
        self.host.emit(Registered(self.identity))

    def meet(self, heard: Heard[Any]) -> None:
        self.host.meet(heard)

    def say_nobody(self, heard: Heard[Any]) -> None:
        self.host.say(p.RELAY, p.RelayFailure(_MISSING[type(heard.packet)], heard.uid))

    def lose_peer(self, heard: Heard[p.PeerClosed]) -> None:
        self.host.lose_peer(heard.packet.uid)

    def send_accepted(self, agreed: Agreed) -> None:
        self.accepted = agreed
        self.host.say(agreed.uid, p.Accepted())

    def choose_anew(self) -> None:
        self.accepted = None

    def approach(self, agreed: Agreed) -> None:
        """Every exchange ends: nobody needs it any more."""
        self.host.abandon()
        relay, self.accepted = self.host.links[self.relay], None
        relay.close()
        self.last = relay.peer, agreed
        self.partners[self.host.open_link(attrs.evolve(relay.peer, port=self.secure_port)).key] = agreed

    def come_back(self) -> None:
        """To the relay, as a newcomer: what failed with one partner may go well with the next."""
        assert self.last is not None  # it was there before
        address, agreed = self.last
        for key in (*self.partners,):
            self.host.links[key].close()
        self.partners.clear()
        self.host.emit(PeerFailed(agreed.uid, Failure.ABSENT, identity=agreed.identity))
        self.dial_found((address,))

    def send_line(self, link: StreamLink) -> None:
        line = p.RoomLine(self.partners[link.key].identity)
        self.host.write(link, type(line).__name__, line.encode())

    def open_channel(self, link: StreamLink) -> None:
        agreed = self.partners[link.key]
        self.host.open_channel(agreed)
        self.host.emit(Connected(agreed.identity))

    def close_channel(self) -> None:
        self.host.close_channel()

    def end_local(self) -> None:
        self.host.close_gracefully(Closed(CloseCause.LOCAL))

    def end_remote(self) -> None:
        self.host.close_gracefully(Closed(CloseCause.REMOTE, detail="the relay ended the connection"))

    def end_refused(self, code: p.RoomCode) -> None:
        expired = code is p.RoomCode.EXPIRED
        violation = Violation.ROOM_EXPIRED if expired else Violation.ROOM_UNKNOWN
        self.host.close_gracefully(Closed(CloseCause.REFUSED, violation))

    def end_without_address(self) -> None:
        self.end_unreachable("the relay's name has no address")

    def end_unreachable(self, detail: str) -> None:
        self.host.close_gracefully(Closed(CloseCause.UNREACHABLE, detail=detail))

    def end_relay_timeout(self) -> None:
        detail = "the relay's time for us is over"
        self.host.close_gracefully(Closed(CloseCause.TIMEOUT, Violation.RELAY_TIMEOUT, detail=detail))

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
        self.host.close_gracefully(closed)

    def end_limit(self) -> None:
        self.host.close_gracefully(Closed(CloseCause.LIMIT, Violation.TOO_MANY_GUESSES))

    # -- inside

    def _end_late(self, detail: str) -> None:
        self.host.close_gracefully(Closed(CloseCause.TIMEOUT, detail=detail))


_W: Final = Way
_STARTING: Final = (_S.NEW, _S.PREPARING)
_AT_RELAY: Final = (_S.GREETING, _S.WAITING, _S.PAIRED)
_BEFORE_CHANNEL: Final = (_S.PREPARING, _S.RESOLVING, _S.CONNECTING, *_AT_RELAY, _S.APPROACHING, _S.LOBBY)
_VERBS: Final = (_I.CHOOSE, _I.SEND)
_REACHING, _AGREEMENT, _ROOM = "reaching the relay", "the agreement", "the secure room"
_RELAY, _TIMES, _BACK = "when the relay ends a session", "times and limits", "a server comes back"
_MISSING: Final[dict[type[p.BobPacket], p.Missing]] = {
    p.YAndServerValidator: p.Missing.SERVER,
    p.ClientValidator: p.Missing.CLIENT,
    p.Agreement: p.Missing.HANDSHAKE,
    p.Accepted: p.Missing.HANDSHAKE,
}

Meaning: TypeAlias = Input[PeerState, Heard[Any]] | Guards[Any, PeerState, Any, None]


def _of_the_relay(name: str) -> Guards[Way, PeerState, Heard[Any], Heard[Any]]:
    guards = Guards.of(Way, PeerState, Heard[Any], name)
    return guards.need(concerns_the_relay, "unexpected packet", ref=_RELAY)


IDENTITY: Final = _of_the_relay("identity").give(_I.IDENTITY)
CLOSED: Final = _of_the_relay("closed").give_if(_W.is_about_us, _I.RELAY_CLOSED, ref=_RELAY).give(_I.PEER_LEFT)
TIMEOUT: Final = _of_the_relay("timeout").give(_I.RELAY_TIMEOUT)
DONE: Final = _of_the_relay("done").make(_W.find_accepted, "stale", ref=_AGREEMENT).give(_I.DONE)
NEW_SERVER: Final = _of_the_relay("new_server").give(_I.MET)
X: Final = (
    Guards.of(Way, _S, Heard[Any], "x")
    .need(concerns_a_peer, "unexpected packet", ref="answering a client")
    .give(_I.MET)
)
_OF_ANY_RELAY: Final[dict[type[p.BobPacket], Meaning]] = {p.PeerClosed: CLOSED, p.Timeout: TIMEOUT, p.Done: DONE}

TO_A_CLIENT: Final[dict[type[p.BobPacket], Meaning]] = {
    **_OF_ANY_RELAY,
    p.ClientIdentity: IDENTITY,
    p.NewServer: NEW_SERVER,
    p.YAndServerValidator: _I.NOBODY,
    p.Agreement: _I.NOBODY,
}
"""What the packets are that are no part of an exchange."""

TO_A_SERVER: Final[dict[type[p.BobPacket], Meaning]] = {
    **_OF_ANY_RELAY,
    p.ServerIdentity: IDENTITY,
    p.XAndClientIdentity: X,
    p.ClientValidator: _I.NOBODY,
    p.Accepted: _I.NOBODY,
}

PEER: Final = Table[Way, PeerState](
    Way,
    PeerInput,
    PeerTimer,
    name="bob.peer",
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
        Row(_S.NEW, _I.PREPARE, _S.PREPARING, ref="a server's secret"),
        Row(_STARTING, _I.START, _S.RESOLVING, _W.look_up, when=_W.is_given_a_name, arm=(_T.LOOKUP,), ref=_REACHING),
        Row(_STARTING, _I.START, _S.CONNECTING, _W.dial_target, ref=_REACHING),
        Row(_S.RESOLVING, _I.LOOKED_UP, _S.ENDED, _W.end_without_address, when=_W.is_without_address, ref=_REACHING),
        Row(_S.RESOLVING, _I.LOOKED_UP, _S.CONNECTING, _W.dial_found, cancel=(_T.LOOKUP,), ref=_REACHING),
        Row(_S.RESOLVING, _I.EXPIRED, _S.ENDED, _W.end_without_address, ref=_REACHING),
        Row(_S.CONNECTING, _I.UNREACHABLE, None, _W.dial, when=_W.is_left_with_an_address, ref=_REACHING),
        Row((_S.CONNECTING, _S.APPROACHING), _I.UNREACHABLE, _S.ENDED, _W.end_unreachable, ref=_REACHING),
        Row(_S.CONNECTING, _I.OPENED, _S.GREETING, _W.send_hello, arm=(_T.GREETING,), ref="hello"),
        Row(_S.GREETING, _I.IDENTITY, _S.WAITING, _W.register, arm=(_T.WAITING,), cancel=(_T.GREETING,), ref="hello"),
        Row((_S.WAITING, _S.PAIRED), _I.MET, None, _W.meet, ref="meeting a server"),
        Row(_AT_RELAY, _I.NOBODY, None, _W.say_nobody, ref="failures"),
        Row(_AT_RELAY, _I.PEER_LEFT, None, _W.lose_peer, ref="leaving"),
        Row(_S.WAITING, _I.CHOOSE, ref=_AGREEMENT),
        Row(_S.WAITING, _I.ACCEPT, _S.PAIRED, _W.send_accepted, arm=(_T.DONE,), cancel=(_T.WAITING,), ref=_AGREEMENT),
        Row(_S.WAITING, _I.TAKEN, _S.APPROACHING, _W.approach, cancel=(_T.WAITING,), ref=_AGREEMENT),
        Row(
            _S.PAIRED, _I.PARTNER_GONE, _S.WAITING, _W.choose_anew, arm=(_T.WAITING,), cancel=(_T.DONE,), ref=_AGREEMENT
        ),
        Row(_S.PAIRED, _I.DONE, _S.APPROACHING, _W.approach, cancel=(_T.DONE,), ref=_AGREEMENT),
        Row(_AT_RELAY, _I.RELAY_CLOSED, _S.ENDED, _W.end_remote, ref=_RELAY),
        Row(_AT_RELAY, _I.RELAY_TIMEOUT, _S.ENDED, _W.end_relay_timeout, ref=_RELAY),
        Row(_AT_RELAY, _I.LOST, _S.ENDED, _W.end_as_told, ref=_RELAY),
        Row(_S.GREETING, _I.EXPIRED, _S.ENDED, _W.end_without_greeting, ref=_TIMES),
        Row(_S.WAITING, _I.EXPIRED, _S.ENDED, _W.end_without_agreement, ref=_TIMES),
        Row(_S.PAIRED, _I.EXPIRED, _S.ENDED, _W.end_without_done, ref=_TIMES),
        Row(_S.LOBBY, _I.EXPIRED, _S.CONNECTING, _W.come_back, when=_W.comes_back, ref=_BACK),
        Row(_S.LOBBY, _I.EXPIRED, _S.ENDED, _W.end_without_partner, ref=_TIMES),
        Row(
            _S.LOBBY,
            _I.ROOM_REFUSED | _I.LOST,
            _S.CONNECTING,
            _W.come_back,
            when=_W.comes_back,
            cancel=(_T.LOBBY,),
            ref=_BACK,
        ),
        Row((*_AT_RELAY, _S.LOBBY), _I.VIOLATED, _S.ENDED, _W.end_as_told, ref="bad packets"),
        Row(_AT_RELAY, _I.EXHAUSTED, _S.ENDED, _W.end_limit, ref="guesses"),
        Row(_S.APPROACHING, _I.OPENED, _S.LOBBY, _W.send_line, arm=(_T.LOBBY,), ref=_ROOM),
        Row(_S.LOBBY, _I.JOINED, _S.TALKING, _W.open_channel, arm=(_T.SILENCE,), cancel=(_T.LOBBY,), ref=_ROOM),
        Row(_S.LOBBY, _I.ROOM_REFUSED, _S.ENDED, _W.end_refused, ref=_ROOM),
        Row(_S.LOBBY, _I.LOST, _S.ENDED, _W.end_as_told, ref=_ROOM),
        Row(_S.TALKING, _I.MOVED, None, arm=(_T.SILENCE,), ref=_TIMES),
        Row(_S.TALKING, _I.SEND, ref="the channel"),
        Row(_S.TALKING, _I.EXPIRED, _S.ENDED, _W.end_silent, ref=_TIMES),
        Row(_S.TALKING, _I.CLOSE, _S.CLOSING, _W.close_channel, cancel=(_T.SILENCE,), ref="closing the channel"),
        Row((_S.TALKING, _S.CLOSING), _I.CHANNEL_ENDED, _S.ENDED, _W.end_as_told, ref="closing the channel"),
        Row((_S.NEW, *_BEFORE_CHANNEL), _I.CLOSE, _S.ENDED, _W.end_local, ref="leaving"),
    ),
    defaults=(
        Default(Outcome.IGNORE, "unexpected packet", _I.UNEXPECTED, _I.MET),
        Default(Outcome.NOT_OPEN, "connect first", *_VERBS, states=(_S.NEW,)),
        Default(Outcome.NOT_OPEN, "", *_VERBS, states=(_S.ENDED, _S.CLOSING)),
        Default(Outcome.REJECT, "", *_VERBS),
        Default(Outcome.IGNORE, "stale"),
    ),
)
