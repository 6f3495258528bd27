"""The node: sessions with peers that survive restarts, moves and sleep. docs/protocols/egtp.rst, the node.

An Endpoint with any number of datagram sockets, and connections to mailbox servers if it has mailboxes.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Annotated, Any, ClassVar, Final, Never, assert_never

from ..component import Asked, Note, Part, Refusal
from ..contract import Entropy, Link, Path, Phase, SendError, Transmit
from ..errors import LocalProtocolError, WireError
from ..events import CloseCause, Closed, Writable
from ..links import StreamLink
from ..machine import Happened
from ..recovery import (
    Admission,
    Call,
    Challenge,
    CloseReason,
    Delivery,
    DuplicateIdentity,
    Hint,
    IdentityConflict,
    Init,
    Kind,
    Knock,
    Limited,
    MadeInit,
    MadeReply,
    Opened,
    PathConflict,
    PeerRecord,
    Recovery,
    RecoveryConfig,
    RecoveryDelays,
    RecoveryEvent,
    Refused,
    Reply,
    Route,
    SaveWanted,
    Sealed,
    SelfConnection,
    Suspected,
    TooBig,
    Unreachable,
    Visit,
)
from ..session import Answers
from ..snapshot import CACHED
from ..streams import StreamEndpoint
from ..trace import Trace
from ..wire import ABSENT
from . import crypto
from . import packets as p
from .depositor import Depositor
from .gate import KNOCK, STORED, Gate, GateInput, Knocked, Seen, Stored
from .keyring import Keyring, Keys
from .limits import NodeDelays, NodeLimits
from .mailbox_connection import ConnectionInput, ConnectionState, Ended, MailboxConnection
from .mailbox_events import MailboxViolation
from .node_events import EgtpEvent, MailboxReachable, MailboxUnreachable, MessageReceived, Relay
from .own_mailbox import OwnMailboxInput
from .relays import Relays
from .routes import Mailbox, Routes, place_of, polled_route, relay_route

OUTPUT_WAITS: Final = Refusal("too much output waits", ref="sending")
EVENTS_WAIT: Final = Refusal("too many events wait", ref="sending")
NOT_TOLD: Final = Note("an event was left out, too many wait", ref="sending")

_REMARKS: Final = (
    DuplicateIdentity,
    IdentityConflict,
    Limited,
    PathConflict,
    Refused,
    SaveWanted,
    SelfConnection,
    Suspected,
    TooBig,
    Unreachable,
)
"""Events that change nothing: an application that takes no events misses them."""

_H1: Final = p.H1.__wire__.id
_NAMES: Final = {number: kind.__name__ for number, kind in p.DATAGRAM.packets.items()}


class EgtpNode(StreamEndpoint[EgtpEvent, Seen]):
    """Keeps encrypted sessions with any number of peers. The id of a peer is its static public key.

    ``private_key`` is this node's static X25519 key, 32 bytes. ``relays`` are the mailbox servers at which it has a
    mailbox: it polls them once it is started, and reaches peers who have a mailbox there too. ``only`` names the peers
    that are let in; without it everybody is. With ``reset_tokens=False`` hints carry none: two processes that have the
    same key must not vouch for each other. Without ``recovery`` the times of paths by mailbox go by ``delays.poll``;
    one of yours needs ``relay=RecoveryDelays.relay(poll)``.

    ``wall_epoch`` is the wall clock at time 0, in seconds since 1970. A wrong value costs only a round trip.

    Verbs: ``start``, ``connect``, ``connect_by_mailbox``, ``send``, ``disconnect``, ``save``, ``saved``, ``load``,
    ``close``. Queries: ``public_key``, ``waiting``, ``silent_since``.
    """

    datagram = p.DATAGRAM
    strangers: ClassVar = Answers(89)
    keyring: Keyring
    routes: Routes
    gate: Gate
    recovery: Recovery
    relays: Relays
    _is_wanting: bool
    """``send`` refused something because too much output waited."""
    _sending: Annotated[Asked, CACHED]
    """What ``send`` asks: made once, as each message asks it."""
    delays: Annotated[NodeDelays, CACHED]
    limits: Annotated[NodeLimits, CACHED]
    own_private: Annotated[bytes, CACHED]
    only: Annotated[Collection[bytes] | None, CACHED]

    def __init__(
        self,
        *,
        private_key: bytes,
        entropy: Entropy,
        wall_epoch: float,
        relays: tuple[Relay, ...] = (),
        only: Collection[bytes] | None = None,
        reset_tokens: bool = True,
        recovery: RecoveryConfig | None = None,
        limits: NodeLimits | None = None,
        delays: NodeDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Raises ValueError unless all keys have 32 bytes."""
        self.limits, self.delays = limits or NodeLimits(), delays or NodeDelays()
        super().__init__(
            entropy=entropy,
            delays=self.delays,
            limits=self.limits,
            datagrams=self.limits,
            wall_epoch=wall_epoch,
            trace=trace,
        )
        own = crypto.KeyPair.of(private_key)
        if any(len(relay.key) != crypto.KEY_SIZE for relay in relays):
            raise ValueError(f"a key has {crypto.KEY_SIZE} bytes")
        self.own_private, self.only, self._is_wanting = private_key, only, False
        self.keyring = Keyring(self, own, has_reset_tokens=reset_tokens)
        self.routes, self.gate = Routes(self, self.limits.paths), Gate(self)
        self._sending = self.gate.asked(GateInput.SEND())
        config = recovery or RecoveryConfig(relay=RecoveryDelays.relay(self.delays.poll))
        self.recovery = Recovery(self, own.public, config)
        self.relays = Relays(self, {relay.key: relay.address for relay in relays})
        self.phase = Phase.OPEN

    # -- verbs

    @property
    def public_key(self) -> bytes:
        """The id of this node."""
        return self.keyring.own.public

    def waiting(self, peer: bytes) -> int:
        """Messages that wait for a session with this peer."""
        entry = self.recovery.peers.get(peer)
        return 0 if entry is None else len(entry.queue)

    def silent_since(self, peer: bytes) -> float | None:
        """Since when a peer has not answered, although we sent it something that it has to answer.

        None if it has answered, if there is no session, or if the session is by mailboxes, where answers take long.
        """
        entry = self.recovery.peers.get(peer)
        session = None if entry is None else entry.current
        return session.silence.since if session is not None and session.times.has_pings else None

    def start(self, now: float) -> None:
        """Begin to poll the mailboxes. Raises LocalProtocolError if called twice, NotOpen after ``close``."""
        asked = [mailbox.asked(OwnMailboxInput.START()) for mailbox in self.relays.own.values()]
        self.ask("start", self.gate.asked(GateInput.START()))
        self.verb("start", now, *asked)

    def connect(self, peer: bytes, path: Path, now: float) -> bool:
        """Keep a session with a peer, which may be at this path. Returns False if there are too many peers.

        ``Established`` follows, and comes again whenever the session is replaced. If there is a session by another
        path, that path is used until the peer answers at the new one. Raises LocalProtocolError if the key is not
        valid, or is our own, or if the host in the path is not numeric; NotOpen after ``close``.
        """
        self._ask_connect("connect", peer)
        return self._connect(peer, self.routes.of(self.path_given("connect", path)), now)

    def connect_by_mailbox(self, peer: bytes, server: bytes, now: float) -> bool:
        """The same, through the mailboxes that both nodes have at the server with this key.

        Raises LocalProtocolError also if this node has no mailbox there.
        """
        self._ask_connect("connect_by_mailbox", peer)
        if server not in self.relays.addresses:
            raise LocalProtocolError("connect_by_mailbox", self.phase.name, "no mailbox at this server")
        return self._connect(peer, relay_route(server, peer), now)

    def send(self, peer: bytes, data: bytes, now: float) -> bool:
        """Send a message. It may be lost or overtaken, and arrives at most once. Without a session it waits for one.

        Returns False if it was not taken: ``connect`` was not called, too many messages wait for a session, or too much
        output or too many events wait. In the last two cases ``Writable`` follows. Raises LocalProtocolError for a
        message of more than ``NodeLimits.message`` bytes; NotOpen after ``close``.
        """
        self.ask("send", self._sending)
        if len(data) > self.limits.message:
            raise LocalProtocolError("send", self.phase.name, f"more than {self.limits.message} bytes")
        self.advance(now)
        if len(self._outbox) >= self.limits.outbox or len(self._events) >= self.limits.events:
            self._is_wanting = True
            self.count_refusal(EVENTS_WAIT if self._has_too_many_events() else OUTPUT_WAITS)
            return False
        taken = self.recovery.send(peer, data)
        if self._inputs:
            self.run()
        return taken

    def disconnect(self, peer: bytes, now: float, *, reason: CloseReason = CloseReason.NORMAL) -> None:
        """Say goodbye to a peer, and forget it. Does nothing if the peer is unknown. Raises NotOpen after ``close``."""
        self.ask("disconnect", self.gate.asked(GateInput.DISCONNECT()))
        self.advance(now)
        if peer in self.recovery.peers:
            self.gate.note_goodbye()
        self.recovery.disconnect(peer, reason)
        self.run()

    def save(self, peer: bytes, now: float) -> PeerRecord | None:
        """A record of the session with a peer, with which another process can continue it. None if there is no session.

        It holds the session's keys. ``SaveWanted`` asks for a new record: store it in place of the old one, and then
        call :meth:`saved`. Raises NotOpen after the end.
        """
        self.ask("save")
        self.advance(now)
        return self.recovery.save(peer)

    def saved(self, record: PeerRecord, now: float) -> None:
        """The last record is stored: the session may now use the counters that it reserves. Raises NotOpen after the
        end.
        """
        self.ask("saved")
        self.advance(now)
        self.recovery.saved(record)

    def load(self, record: PeerRecord, now: float) -> bool:
        """Continue a session that was saved. Returns False if it is too old, or if there is a session with this peer.

        Load a record only once: delete it before, or a nonce may be used twice. Nothing is sent before the peer has
        shown that it knows the session. Raises NotOpen after ``close``.
        """
        self.ask("load", self.gate.asked(GateInput.CONNECT()))
        self.advance(now)
        taken = self.recovery.load(record)
        self.run()
        return taken

    def close(self, now: float) -> None:
        """Say goodbye to all peers; ``Closed`` follows.

        It comes ``NodeDelays.farewell`` seconds after the last goodbye, and when mailbox servers have taken the packets
        for them, which may take ``handover`` seconds more. Its ``cause`` is LOCAL if everything was sent, TIMEOUT if
        ``handover`` was too short, and LOST if a packet was lost.
        """
        if self.closes(now):
            self.gate.post(GateInput.CLOSE())
            self.run()

    # -- reports of the host

    def network_changed(self, now: float) -> None:
        """This host has, or may have, another address. The node pings its peers, and connects to its mailbox servers
        anew.
        """
        if self.alive(now):
            self.recovery.network_changed()
            self.relays.network_changed()
            self.run()

    def resumed(self, now: float, *, asleep: float) -> None:
        """This host slept for about so many seconds. The node checks its sessions, and connects to its mailbox servers
        anew.
        """
        if self.alive(now):
            self.recovery.resumed(asleep)
            self.relays.network_changed()
            self.run()

    # -- the contract

    def decode(self, data: bytes, path: Path) -> Seen:
        return data, p.DATAGRAM.decode(data)

    def received(self, packet: Seen, path: Path) -> None:
        """The paths of strangers are not remembered: a flood would push out those of peers."""
        self.arrived(packet, self.routes.of(path, keep=packet[0][0] != _H1))

    def datagram_failed(self, path: Path, now: float, *, error: SendError = SendError.OTHER, detail: str = "") -> None:
        super().datagram_failed(path, now, error=error, detail=detail)
        if self.phase is not Phase.CLOSED:
            self.recovery.route_failed(self.routes.of(path), error)
            self.run()

    def next_transmit(self) -> Transmit | None:
        transmit = self._outbox.popleft() if self._outbox else super().next_transmit()
        if self._is_wanting and self._has_room():
            self._is_wanting = False
            self.emit(Writable())
        return transmit

    # -- links

    def link_opened(self, link: StreamLink) -> None:
        self._tell_connection(link, ConnectionInput.OPENED())

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        return p.FrameOfStream.decode_prefix(data, offset)

    def link_packet(self, link: StreamLink, packet: Any) -> None:
        self._tell_connection(link, ConnectionInput.FRAME(packet.message))

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        self._tell_connection(link, ConnectionInput.BAD(MailboxViolation.BAD_FRAME))

    def link_eof(self, link: StreamLink) -> None:
        self.link_over(link, CloseCause.LOST, "the server has closed the connection")

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        """Acted upon at once: a link that was lost is forgotten next."""
        connection = self.relays.connection(link.key)
        if connection is not None:
            ConnectionInput.LOST(Ended(cause, None, detail)).act(connection)

    def link_gone(self, link: StreamLink) -> None:
        self.relays.forget_link(link.key)

    def _tell_connection(self, link: StreamLink, happened: Happened[ConnectionState]) -> None:
        connection = self.relays.connection(link.key)
        if connection is not None:
            connection.post(happened)

    # -- what the gate asks

    @property
    def has_peers(self) -> bool:
        return bool(self.recovery.peers)

    @property
    def under_way(self) -> int:
        return self.relays.under_way

    @property
    def lost(self) -> int:
        return self.relays.lost

    def arrived(self, seen: Seen, route: Route) -> None:
        """A packet, by whichever route."""
        core, (data, packet) = self.recovery, seen
        match packet:
            case p.Data():
                core.hear_data(Sealed(packet.sid, packet.counter, len(data), route, seen))
            case p.H1():
                KNOCK.act(self.gate, Knocked(packet, data, route))
            case p.H2():
                core.hear_reply(packet.sid, packet)
            case p.CH():
                core.hear_challenge(packet.hs_id, route, packet)
            case p.Hint():
                token = b"" if packet.reset_token is ABSENT else packet.reset_token
                core.hear_hint(Hint(packet.sid, token, route))
            case _:
                assert_never(packet)

    def knock(self, knock: Knock) -> None:
        self.recovery.hear_init(knock)

    @property
    def init_pause(self) -> float:
        """After so many seconds another one may be opened."""
        return 1 / self.recovery.config.limits.group_rate

    def may_open(self, route: Route) -> bool:
        return self.recovery.may_open(route)

    def say_goodbye(self) -> None:
        """To some of the peers."""
        self.phase = Phase.CLOSING
        for peer in list(islice(self.recovery.peers, self.limits.goodbyes)):
            self.recovery.disconnect(peer, CloseReason.GOING_AWAY)

    def leave(self, closed: Closed[Never]) -> None:
        self.relays.stop()
        self.close_gracefully(closed)

    # -- what mailboxes ask

    def make_connection(self, owner: Any, server: bytes, key: str) -> MailboxConnection:
        return MailboxConnection(self, owner, server, key)

    def mailbox_dialled(self, connection: MailboxConnection, link: Link) -> None:
        self.relays.by_link[link] = connection

    def mailbox_left(self, link: Link) -> None:
        self.relays.by_link.pop(link, None)

    def mailbox_is_up(self, server: bytes) -> None:
        self.emit(MailboxReachable(server))

    def mailbox_is_down(self, server: bytes, ended: Ended) -> None:
        self.emit(MailboxUnreachable(server, ended.cause, violation=ended.violation))

    def read_blob(self, server: bytes, blob: bytes) -> None:
        self.gate.take(STORED, Stored(blob, polled_route(server)))

    def redial_mailboxes(self) -> None:
        self.relays.redial()

    def drop_depositor(self, depositor: Depositor) -> None:
        self.relays.depositors.remove(depositor.key)
        self.note_written()

    def note_written(self) -> None:
        if not self.relays.under_way:
            self.gate.post(GateInput.WRITTEN())

    def lose_packet(self, why: Refusal, part: Part[Any]) -> None:
        self.relays.lost += 1
        self.count_refusal(why, part)

    # -- what the recovery core asks (docs/protocols/recovery.rst, what the host does)

    def make_init(self, call: Call) -> MadeInit:
        return self.keyring.make_init(call)

    def open_init(self, knock: Knock) -> Init:
        return self.keyring.open_init(knock)

    def make_reply(self, init: Init, sid: bytes, instance: bytes) -> MadeReply:
        return self.keyring.make_reply(init, sid, instance)

    def open_reply(self, sid: bytes, packet: Any) -> Reply:
        return self.keyring.open_reply(sid, packet)

    def make_challenge(self, knock: Knock, token: bytes, init: Init | None) -> bytes:
        return self.keyring.make_challenge(knock, token, init)

    def open_challenge(self, sid: bytes, packet: Any) -> Challenge:
        return self.keyring.open_challenge(sid, packet)

    def install(self, sid: bytes, secret: Keys) -> None:
        self.keyring.install(sid, secret)

    def erase(self, sid: bytes) -> None:
        self.keyring.erase(sid)

    def export(self, sid: bytes) -> bytes:
        return self.keyring.export(sid)

    def restore_keys(self, sid: bytes, keys: bytes) -> None:
        self.keyring.restore_keys(sid, keys)

    def seal(self, sid: bytes, counter: int, kind: Kind, body: bytes) -> bytes:
        return self.keyring.seal(sid, counter, kind, body)

    def open(self, packet: Sealed) -> bytes:
        return self.keyring.open(packet)

    def read(self, packet: Sealed, clear: bytes) -> Opened:
        return self.keyring.read(packet, clear)

    def make_hint(self, sid: bytes) -> bytes:
        return self.keyring.make_hint(sid)

    def reset_token(self, sid: bytes) -> bytes:
        return self.keyring.reset_token(sid)

    def token_mac(self, secret: bytes, time: bytes, route: Route) -> bytes:
        return crypto.token_mac(secret, time, route.name)

    def path_value(self, secret: bytes, peer: bytes, epoch: int, route: Route) -> bytes:
        return crypto.path_value(secret, peer, epoch, route.name)

    def transmit(self, data: bytes, route: Route) -> None:
        place = route.place or place_of(route)
        if isinstance(place, Mailbox):
            self.relays.put(place.server, place.mailbox, data)
        else:
            self.send_datagram(data, place, _NAMES[data[0]])

    def home(self, route: Route, peer: bytes) -> Route | None:
        return relay_route(route.name[1:], peer)

    def admit(self, visit: Visit) -> Admission:
        if visit.said:
            return Admission.REFUSE
        return Admission.ACCEPT if self.only is None or visit.peer in self.only else Admission.IGNORE

    def tell(self, event: RecoveryEvent) -> None:
        if isinstance(event, _REMARKS) and self._has_too_many_events():
            self.count_note(NOT_TOLD)
        else:
            self.emit(event)

    def deliver(self, delivery: Delivery) -> None:
        self.emit(
            MessageReceived(
                delivery.peer,
                delivery.data,
                generation=delivery.generation,
                handle=delivery.handle,
                stale=delivery.stale,
            )
        )

    def unacknowledged(self, peer: bytes) -> tuple[bytes, ...]:
        """Nothing is acknowledged here: what was sent is gone."""
        return ()

    # -- inside

    def _has_room(self) -> bool:
        return len(self._outbox) <= self.limits.outbox // 2 and len(self._events) <= self.limits.events // 2

    def _has_too_many_events(self) -> bool:
        return len(self._events) >= self.limits.events

    def _ask_connect(self, verb: str, peer: bytes) -> None:
        self.ask(verb, self.gate.asked(GateInput.CONNECT()))
        if not crypto.is_key(peer):
            raise LocalProtocolError(verb, self.phase.name, "not the key of a node")

    def _connect(self, peer: bytes, route: Route, now: float) -> bool:
        self.advance(now)
        taken = self.recovery.connect(peer, route)
        self.run()
        return taken
