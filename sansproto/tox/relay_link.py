"""A relay as its client sees it: dialled as long as it is wanted, and all that goes through it.

docs/protocols/tox.rst, relay client.
"""

from __future__ import annotations

from functools import cached_property
from math import inf
from typing import Annotated, Any, Final, assert_never

from ..component import Component, OptionalPart, Parts, Refusal
from ..contract import Address, Instant, Link
from ..errors import WireError
from ..events import CloseCause
from ..links import LinkState
from ..machine import Default, Guards, Outcome, Row, Table, Timer
from ..proxies import ProxyCall, ProxyFailure
from ..snapshot import CACHED
from ..wire import Packet
from . import crypto
from . import packets as p
from .limits import RelayClientDelays
from .relay_channel import OwnKeys, RelayChannel, read_keys, write_hello
from .relay_events import RelayViolation
from .relay_host import RelayHost
from .relay_inputs import Answered, Ended, FromFriend, RelayInput, RelayState
from .relay_route import RelayRoute, RouteInput, RouteState, next_address

_MOST_FAILURES: Final = 16  # from there on the pauses do not grow, however short they began
_NO_NUMBER: Final = bytes(8)  # of a ping that nobody sends
_ONION: Final = frozenset({9, 11})  # first bytes of frames that belong to parts of Tox that are not spoken here

NOT_LINKED: Final = Refusal("not linked at this relay", ref="relay client")
NO_RELAY: Final = Refusal("no stream to this relay", ref="relay client")
NO_ROOM: Final = Refusal("too much waits for this relay", ref="relay client")
TOO_MANY_ROUTES: Final = Refusal("too many keys at this relay", ref="relay client")


class RelayLink(Component[RelayState, RelayHost]):
    """A relay that is dialled again and again, and the friends' keys there."""

    address: Address
    is_placed: bool
    """The application says that it is there: nobody knows better."""
    link: Link
    """0: there is none."""
    own: OwnKeys | None
    """While the relay's answer is awaited."""
    call: OptionalPart[ProxyCall]
    """While the proxy's answer is awaited."""
    channel: RelayChannel | None
    routes: Parts[bytes, RelayRoute]
    """By the friends' DHT keys."""
    pings: int
    pending: bytes
    """The number of the ping that was not answered; empty: none."""
    pinged: Instant
    """When that went out, or the last one before."""
    answered: Instant
    """When the last one went out that was answered."""
    lost: Instant
    """Since when there is no stream, if there is none."""
    failures: int
    """Streams that failed since one lasted."""
    is_wanting: bool
    """A packet was refused because too much waited."""
    by_id: Annotated[dict[int, RelayRoute], CACHED]
    key: Annotated[bytes, CACHED]
    """The relay's DHT key."""
    delays: Annotated[RelayClientDelays, CACHED]

    def __init__(self, host: RelayHost, key: bytes) -> None:
        super().__init__(host)
        self.key, self.delays = key, host.relay_delays
        self.address, self.link, self.own, self.channel = Address("", 0), Link(0), None, None
        self.routes = Parts(lambda friend: RelayRoute(host, self, friend, self.delays))
        self.call = OptionalPart(self._make_call)
        self.by_id, self.is_placed = {}, False
        self.pings, self.pending, self.failures, self.is_wanting = 0, b"", 0, False
        self.pinged, self.answered, self.lost = -inf, -inf, 0.0

    @cached_property
    def shared(self) -> bytes:
        """What our DHT key and the relay's agree on."""
        return crypto.agree(self.host.own_dht.secret, self.key)

    def rebuild(self) -> None:
        self.by_id = {route.id: route for route in self.routes.values() if route.id}

    def begin(self, address: Address) -> None:
        self.address, self.lost = address, self.host.clock
        self.post(_I.START())

    # -- for its session

    @property
    def is_up(self) -> bool:
        return self.state is RelayState.UP

    def is_linked(self, key: bytes) -> bool:
        """Do packets reach this friend?"""
        route = self.routes.get(key)
        return route is not None and route.state is RouteState.ONLINE

    def has_room(self, size: int = 0) -> bool:
        """Does it take a packet of so many bytes?"""
        link = self.host.links.get(self.link)
        if link is None or link.state is not LinkState.OPEN or not self.is_up:
            return False
        return link.queued + size <= self.host.relay_limits.unsent

    def route(self, key: bytes, address: Address | None = None) -> bool:
        """Have us linked with a friend, as soon as both are there; False, and counted, if there are too many.

        ``key`` is no point of small order; ``address`` is where the friend says that the relay is.
        """
        if key not in self.routes:
            if len(self.routes) >= self.host.relay_limits.routes:
                self.host.count_refusal(TOO_MANY_ROUTES, self)
                return False
            route = self.routes.add(key)
            if self.is_up:
                RouteInput.UP().act(route)
        self.routes[key].address = address
        RouteInput.WANTED().act(self.routes[key])
        return True

    def unroute(self, key: bytes) -> None:
        """Not any more. Nothing happens if it was not asked for."""
        if key in self.routes:
            RouteInput.UNWANTED().act(self.routes[key])

    def demote(self, key: bytes) -> None:
        """Do not use it for a friend for some time, if they are linked."""
        if self.is_linked(key):
            self.routes[key].post(RouteInput.DEMOTED())

    def recall(self, key: bytes) -> None:
        """Use it for a friend again, if it was demoted: there is no better one."""
        if self.is_demoted(key):
            self.routes[key].post(RouteInput.RECALLED())

    def is_demoted(self, key: bytes) -> bool:
        """Is it not used for a friend at present?"""
        route = self.routes.get(key)
        return route is not None and route.state is RouteState.DEMOTED

    @property
    def is_unused(self) -> bool:
        """Is it used for nobody at present?"""
        return all(route.state is RouteState.DEMOTED for route in self.routes.values())

    def rest(self) -> None:
        """Hang up, until somebody is to be met there again."""
        self.post(_I.STOP())

    def wake(self) -> None:
        """Dial it, if it was at rest."""
        if self.state is RelayState.RESTING:
            self.post(_I.START())

    def ask(self) -> None:
        """Find out whether it still answers: then ``answered`` is a later time. Nothing happens if it does not."""
        self.post(_I.ASK())

    def send(self, key: bytes, data: bytes) -> bool:
        """A packet of 1 to 2031 bytes for a friend; False, and counted, if they are not linked, or too much waits.

        After the latter ``relay_writable`` follows.
        """
        if not self.is_linked(key):
            self.host.count_refusal(NOT_LINKED, self)
            return False
        return self._send(p.Relayed(self.routes[key].id, data), len(data))

    def send_oob(self, key: bytes, data: bytes) -> bool:
        """A packet of 1 to 1024 bytes for whoever has this key, which is no point of small order. As :meth:`send`."""
        if not self.is_up:
            self.host.count_refusal(NO_RELAY, self)
            return False
        return self._send(p.OobSend(key, data), len(data))

    def note_room(self) -> None:
        """Some output is out: tell who waits for it."""
        if self.is_wanting and self.has_room():
            self.is_wanting = False
            self.host.relay_writable(self)

    def note_gone(self) -> None:
        """Its link is over, and so is the session."""
        self.link = Link(0)

    # -- what comes from the relay

    def decode(self, data: bytes, offset: int) -> tuple[object, int]:
        """The next packet on its link."""
        if self.call.part is not None:
            return self.call.part.decode(data, offset)
        kind = p.RelayAnswer if self.state is RelayState.GREETING else p.RelayFrame
        return kind.decode_prefix(data, offset)

    def hear(self, packet: Any) -> None:
        """What :meth:`decode` gave."""
        if self.call.part is not None:
            self.call.part.hear(packet)
        elif isinstance(packet, p.RelayAnswer):
            self.take(ANSWER, packet)
            self.post(_I.LOOKED_AT())
        elif packet.sealed:
            self._hear_frame(packet.sealed)
        else:
            self.post(_I.EMPTY())

    def hear_broken(self) -> None:
        """Bytes that are no frame, or no answer of a proxy."""
        if self.call.part is not None:
            self.proxy_failed(CloseCause.VIOLATION, ProxyFailure.BAD_REPLY, "what comes is no answer of such a proxy")
            return
        self.post(_I.LOST(Ended(CloseCause.VIOLATION, RelayViolation.BAD_FRAME)))

    def hear_end(self) -> None:
        """The other end has closed the stream."""
        self.end_with(CloseCause.LOST, f"the {'proxy' if self.call else 'relay'} has closed the connection")

    def end_with(self, cause: CloseCause, detail: str) -> None:
        """The stream is over, or none came about; acted upon at once, for a link that was lost is forgotten next.

        Until the proxy has let us through, it is the proxy that is lost.
        """
        failure = None
        if self._waits_for_proxy:
            failure = ProxyFailure.UNREACHABLE if self.call.part is None else ProxyFailure.CLOSED
        _I.LOST(Ended(cause, None, detail, failure)).act(self)

    # -- what its call to the proxy asks

    def write_to_proxy(self, packet: Packet) -> None:
        self._write(packet.encode(), type(packet).__name__)

    def proxy_granted(self) -> None:
        self.post(_I.PASSED())

    def proxy_failed(self, cause: CloseCause, failure: ProxyFailure, detail: str) -> None:
        self.post(_I.LOST(Ended(cause, None, detail, failure)))

    # -- guards

    def open_answer(self, answer: p.RelayAnswer) -> p.RelayKeys:
        return read_keys(self.shared, answer)

    def find_asked(self, response: p.RoutingResponse) -> Answered | None:
        """About a key that the relay was asked for; and with an id that is not another one's."""
        route = self.routes.get(response.key)
        if route is None or response.connection in self.by_id:
            return None
        return Answered(route, response.connection)

    def find_route(self, told: p.ConnectNotification | p.DisconnectNotification) -> RelayRoute | None:
        return self.by_id.get(told.connection)

    def has_content(self, relayed: p.Relayed) -> bool:
        return bool(relayed.data)

    def find_sender(self, relayed: p.Relayed) -> FromFriend | None:
        """Only from who is linked."""
        route = self.by_id.get(relayed.connection)
        if route is None or route.state is not RouteState.ONLINE:
            return None
        return FromFriend(route.key, relayed.data)

    def read_oob(self, received: p.OobReceived) -> FromFriend | None:
        return FromFriend(received.key, received.data) if crypto.is_key(received.key) else None

    def wants_an_answer(self, ping: p.RelayPing) -> bool:
        """An answer with this number would end the stream."""
        return ping.number != _NO_NUMBER

    def is_zero(self, pong: p.RelayPong) -> bool:
        return pong.number == _NO_NUMBER

    def is_expected(self, pong: p.RelayPong) -> bool:
        return pong.number == self.pending

    def is_waiting(self) -> bool:
        """Is a ping on its way?"""
        return bool(self.pending)

    def has_proxy(self) -> bool:
        return self.host.proxy is not None

    # -- times

    def until_redial(self) -> float:
        """A tenth more or less: those who lost a relay together do not come back together."""
        drawn = self.host.draw(1, f"{self._name}.redial")[0]
        pause = min(self.delays.redial * 2.0**self.failures, self.delays.redial_most)
        return pause * (0.9 + 0.2 * drawn / 255)

    # -- actions

    def dial(self) -> None:
        """Through a proxy, nobody else is dialled, nor is any name looked up."""
        proxy = self.host.proxy
        self.link = self.host.open_link(self.address if proxy is None else proxy.address).key
        self.host.relay_dialled(self)

    def ask_proxy(self) -> None:
        self.call.start(ProxyCall.begin, self.address)

    def leave_proxy(self) -> None:
        self.call.end()

    def send_hello(self) -> None:
        draw, name = self.host.draw, self._name
        self.own = OwnKeys(draw(p.KEY_SIZE, f"{name}.secret"), draw(p.NONCE_SIZE, f"{name}.base_nonce"))
        data = write_hello(self.shared, self.host.own_dht.public, self.own, draw(p.NONCE_SIZE, f"{name}.nonce"))
        self._write(data, "RelayHello")

    def begin_channel(self, keys: p.RelayKeys) -> None:
        assert self.own is not None  # our hello is out
        self.channel, self.own = self.own.channel(keys), None
        self.host.relay_up(self)
        for route in self.routes.values():
            route.post(RouteInput.UP())

    def ping(self) -> None:
        self.pings += 1
        self.pending, self.pinged = self.pings.to_bytes(8, "little"), self.host.clock
        self.say(p.RelayPing(self.pending))

    def note_lasting(self) -> None:
        self.failures = 0

    def note_pong(self) -> None:
        self.pending, self.answered = b"", self.pinged

    def answer_ping(self, ping: p.RelayPing) -> None:
        self.say(p.RelayPong(ping.number))

    def tell_route(self, answered: Answered) -> None:
        """Ids below 16 mean no, whichever it is."""
        is_id = answered.id >= p.FIRST_ID
        answered.route.post(RouteInput.ACCEPTED(answered.id) if is_id else RouteInput.REFUSED())

    def link_route(self, route: RelayRoute) -> None:
        route.post(RouteInput.LINKED())

    def unlink_route(self, route: RelayRoute) -> None:
        route.post(RouteInput.UNLINKED())

    def hand_over(self, packet: FromFriend) -> None:
        self.host.relay_heard(self, *packet)

    def hand_over_oob(self, packet: FromFriend) -> None:
        self.host.relay_heard_oob(self, *packet)

    def fail_hello(self) -> None:
        self.fail(Ended(CloseCause.VIOLATION, RelayViolation.BAD_HELLO))

    def fail_zero_pong(self) -> None:
        self.fail(Ended(CloseCause.VIOLATION, RelayViolation.ZERO_PONG))

    def fail_silent(self) -> None:
        who, failure = ("proxy", ProxyFailure.SILENT) if self._waits_for_proxy else ("relay", None)
        self.fail(Ended(CloseCause.TIMEOUT, None, f"the {who} does not answer", failure))

    def fail(self, ended: Ended) -> None:
        """Told once: that it fails again and again is no news."""
        is_news = self.channel is not None or not self.failures
        self.failures = min(self.failures + 1, _MOST_FAILURES)
        if self.channel is None and not self.is_placed:
            self.address = next_address(self.routes.values(), self.address)
        self._leave(is_graceful=False)
        if is_news:
            self.host.relay_down(self, ended)

    def redial(self) -> None:
        was_up = self.channel is not None
        self._leave(is_graceful=False)
        if was_up:
            self.host.relay_down(self, Ended(CloseCause.LOCAL, None, "dialled anew"))
        self.dial()

    def hang_up(self) -> None:
        self._leave(is_graceful=True)

    # -- what its routes ask

    def say(self, packet: p.Control | p.Relayed) -> None:
        assert self.channel is not None  # it is up
        self._write(self.channel.seal(packet), type(packet).__name__)

    def take_id(self, route: RelayRoute) -> None:
        self.by_id[route.id] = route

    def free_id(self, route: RelayRoute) -> None:
        del self.by_id[route.id]

    def remove_route(self, route: RelayRoute) -> None:
        self.routes.remove(route.key)

    def route_registered(self, route: RelayRoute) -> None:
        self.host.relay_routed(self, route.key)

    def route_refused(self, route: RelayRoute) -> None:
        self.host.relay_refused(self, route.key)

    def route_linked(self, route: RelayRoute) -> None:
        self.host.relay_linked(self, route.key)

    def route_unlinked(self, route: RelayRoute) -> None:
        self.host.relay_unlinked(self, route.key)

    def route_demoted(self, route: RelayRoute) -> None:
        self.host.relay_demoted(self, route.key)

    # -- inside

    def _make_call(self) -> ProxyCall:
        assert self.host.proxy is not None  # it is asked only if there is one
        return ProxyCall(self.host, self, self.host.proxy)

    @property
    def _waits_for_proxy(self) -> bool:
        """Is the stream, which is on its way or here, none to the relay yet?"""
        return self.host.proxy is not None and self.own is None and self.channel is None

    @property
    def _name(self) -> str:
        """What its draws are called by."""
        return f"relay.{self.key.hex()[:8]}"

    def _hear_frame(self, sealed: bytes) -> None:
        assert self.channel is not None  # frames are decoded behind the answer only
        try:
            clear = self.channel.open(sealed)
        except WireError:
            self.hear_broken()
            return
        if clear and clear[0] in _ONION:
            self.post(_I.ONION())
            return
        try:
            packet = p.decode_frame(clear)
        except WireError:
            self._hear_unexpected()
            return
        self._hear_packet(packet)

    def _hear_packet(self, packet: p.Control | p.Relayed) -> None:
        match packet:
            case p.Relayed():
                self.take(RELAYED, packet)
            case p.RoutingResponse():
                self.take(RESPONSE, packet)
            case p.ConnectNotification():
                self.take(LINKED, packet)
            case p.DisconnectNotification():
                self.take(UNLINKED, packet)
            case p.OobReceived():
                self.take(OOB, packet)
            case p.RelayPing():
                self.take(PING, packet)
            case p.RelayPong():
                self.take(PONG, packet)
            case p.RoutingRequest() | p.OobSend():
                self._hear_unexpected()
            case _:
                assert_never(packet)

    def _hear_unexpected(self) -> None:
        self.post(_I.LOST(Ended(CloseCause.VIOLATION, RelayViolation.BAD_PACKET)))

    def _send(self, packet: p.OobSend | p.Relayed, size: int) -> bool:
        if not self.has_room(size):
            self.is_wanting = True
            self.host.count_refusal(NO_ROOM, self)
            return False
        self.say(packet)
        return True

    def _write(self, data: bytes, name: str) -> None:
        self.host.note_sent(self.link, name, len(data))
        self.host.links[self.link].write(data)

    def _leave(self, *, is_graceful: bool) -> None:
        """The stream is over, or will be: nothing of it is kept."""
        for route in tuple(self.routes.values()):
            RouteInput.DOWN().act(route)
        link, self.link = self.host.links[self.link], Link(0)
        if self.channel is not None:
            self.lost = self.host.clock
        self.own = self.channel = None
        self.call.end()
        self.host.relay_hung_up(self, link.key)
        (link.close if is_graceful else link.abort)()


_S, _I, _R = RelayState, RelayInput, RelayLink


class RelayTimer:
    OPENING = Timer(RelayInput.EXPIRED, RelayClientDelays.opening)
    PING = Timer(RelayInput.PING_DUE, RelayClientDelays.ping)
    PONG = Timer(RelayInput.EXPIRED, RelayClientDelays.pong)
    REDIAL = Timer(RelayInput.DUE, RelayLink.until_redial)


_T = RelayTimer
_REF: Final = "relay client"
_KEYS: Final = "invalid keys"
_STREAM: Final = (_T.OPENING, _T.PING, _T.PONG)

ANSWER: Final = (
    Guards.of(RelayLink, _S, p.RelayAnswer, "answer")
    .make(_R.open_answer, "bad answer to the hello", ref="relay streams")
    .give(_I.GREETED)
)
RESPONSE: Final = (
    Guards.of(RelayLink, _S, p.RoutingResponse, "response")
    .make(_R.find_asked, "not asked for", ref="routes")
    .give(_I.ANSWERED)
)
LINKED: Final = (
    Guards.of(RelayLink, _S, p.ConnectNotification, "linked")
    .make(_R.find_route, "unknown id", ref="routes")
    .give(_I.LINKED)
)
UNLINKED: Final = (
    Guards.of(RelayLink, _S, p.DisconnectNotification, "unlinked")
    .make(_R.find_route, "unknown id", ref="routes")
    .give(_I.UNLINKED)
)
RELAYED: Final = (
    Guards.of(RelayLink, _S, p.Relayed, "relayed")
    .need(_R.has_content, "empty packet", ref="empty packets")
    .make(_R.find_sender, "not linked", ref="routes")
    .give(_I.RELAYED)
)
OOB: Final = (
    Guards.of(RelayLink, _S, p.OobReceived, "oob").make(_R.read_oob, "a key that is none", ref=_KEYS).give(_I.OOB)
)
PING: Final = (
    Guards.of(RelayLink, _S, p.RelayPing, "ping")
    .need(_R.wants_an_answer, "ping without a number", ref="pings of a relay")
    .give(_I.PINGED)
)
PONG: Final = (
    Guards.of(RelayLink, _S, p.RelayPong, "pong")
    .give_if(_R.is_zero, _I.ZERO_PONG, ref="pings of a relay")
    .need(_R.is_expected, "unknown pong", ref="pings of a relay")
    .give(_I.PONG)
)

_PROXIES: Final = "proxies"
_WANTED: Final = (_S.DIALLING, _S.ASKING, _S.GREETING, _S.UP)

RELAY_LINK: Final = Table[RelayLink, RelayState](
    RelayLink,
    RelayInput,
    RelayTimer,
    name="tox.relay_link",
    initial=_S.RESTING,
    idle={
        _S.RESTING: "the session, which wants it",
        _S.UP: "the end of the stream: it is a keep-alive",
        _S.AWAY: "the session, which wants it no longer: until then it is dialled again and again",
    },
    rows=(
        Row(_S.RESTING, _I.START, _S.DIALLING, _R.dial, arm=(_T.OPENING,), ref=_REF),
        Row(_S.DIALLING, _I.OPENED, _S.ASKING, _R.ask_proxy, when=_R.has_proxy, ref=_PROXIES),
        Row(_S.DIALLING, _I.OPENED, _S.GREETING, _R.send_hello, ref="relay streams"),
        Row(_S.ASKING, _I.PASSED, _S.GREETING, _R.leave_proxy, _R.send_hello, ref=_PROXIES),
        Row(
            _S.GREETING,
            _I.GREETED,
            _S.UP,
            _R.begin_channel,
            _R.ping,
            arm=(_T.PING, _T.PONG),
            cancel=(_T.OPENING,),
            ref="relay streams",
        ),
        Row(_S.UP, _I.LOOKED_AT, None, ref="relay streams"),
        Row(_S.UP, _I.PING_DUE, None, _R.note_lasting, _R.ping, arm=(_T.PING, _T.PONG), ref="pings of a relay"),
        Row(_S.UP, _I.ASK, None, when=_R.is_waiting, ref="evidence"),
        Row(_S.UP, _I.ASK, None, _R.ping, arm=(_T.PONG,), ref="evidence"),
        Row(_S.UP, _I.PONG, None, _R.note_pong, cancel=(_T.PONG,), ref="pings of a relay"),
        Row(_S.UP, _I.PINGED, None, _R.answer_ping, ref="pings of a relay"),
        Row(_S.UP, _I.ANSWERED, None, _R.tell_route, ref="routes"),
        Row(_S.UP, _I.LINKED, None, _R.link_route, ref="routes"),
        Row(_S.UP, _I.UNLINKED, None, _R.unlink_route, ref="routes"),
        Row(_S.UP, _I.RELAYED, None, _R.hand_over, ref=_REF),
        Row(_S.UP, _I.OOB, None, _R.hand_over_oob, ref=_REF),
        Row(_S.GREETING, _I.LOOKED_AT, _S.AWAY, _R.fail_hello, arm=(_T.REDIAL,), cancel=_STREAM, ref="relay streams"),
        Row(_S.UP, _I.ZERO_PONG, _S.AWAY, _R.fail_zero_pong, arm=(_T.REDIAL,), cancel=_STREAM, ref="pings of a relay"),
        Row(_WANTED, _I.EXPIRED, _S.AWAY, _R.fail_silent, arm=(_T.REDIAL,), cancel=_STREAM, ref=_REF),
        Row(_WANTED, _I.LOST, _S.AWAY, _R.fail, arm=(_T.REDIAL,), cancel=_STREAM, ref=_REF),
        Row(_S.AWAY, _I.DUE | _I.REDIAL, _S.DIALLING, _R.dial, arm=(_T.OPENING,), cancel=(_T.REDIAL,), ref=_REF),
        Row(_WANTED, _I.REDIAL, _S.DIALLING, _R.redial, arm=(_T.OPENING,), cancel=(_T.PING, _T.PONG), ref=_REF),
        Row(_WANTED, _I.STOP, _S.RESTING, _R.hang_up, cancel=_STREAM, ref=_REF),
        Row(_S.AWAY, _I.STOP, _S.RESTING, cancel=(_T.REDIAL,), ref=_REF),
    ),
    defaults=(
        Default(Outcome.IGNORE, "empty frame", _I.EMPTY, states=(_S.UP,)),
        Default(Outcome.IGNORE, "of the onion", _I.ONION, states=(_S.UP,)),
        Default(Outcome.IGNORE, "late"),
    ),
)
