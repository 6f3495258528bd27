"""The connection of a client to its domain: found, asked for, kept alive, and lost.

docs/protocols/overte.rst, check-in, the domain list, silence.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Annotated, Final, TypeVar

from ..contract import Address, Path, Phase
from ..endpoint import Received
from ..events import CloseCause, Closed
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED, MEMO
from ..wire import Packet
from . import events as e
from . import packets as p
from .introduction import NO_MEMBER, Introduction, Membership, Sockets
from .limits import ClientDelays
from .lists import Told
from .node import Node
from .nodes import NodeTable
from .parts import Arrival, ClientHost, ClientPart, reads, receives
from .queries import Answer, Queries, QueryInput
from .rendezvous import IceTarget
from .stun import StunClient
from .versions import DOMAIN_SOURCED
from .ways import Ways

P = TypeVar("P", bound=p.OvertePacket)

LOOKUP: Final = 1
"""The number of the lookup of the domain's name, or of the ice-server's."""


class ConnectionState(Enum):
    NEW = 0
    RESOLVING = 1
    """The name of the domain, or of the ice-server."""
    SEEKING = 2
    """By ICE."""
    CONNECTING = 3
    CONNECTED = 4
    CLOSED = 5
    SETTLING = 6
    """Connected, and given other ids: there may be more of them, so nobody is told yet."""


_CONNECTED: Final = ConnectionState.CONNECTED  # looked up once: for every list


class ConnectionInput:
    CONNECT = Input[ConnectionState, None]()
    FOUND = Input[ConnectionState, tuple[Path, ...]]()
    """The ways to the domain, or to the ice-server: one at least."""
    NOT_FOUND = Input[ConnectionState, None]()
    REACHED = Input[ConnectionState, Path]()
    """By ICE."""
    DUE = Input[ConnectionState, None]()
    """A check-in."""
    REFRESH = Input[ConnectionState, None]()
    CHECK_IN = Input[ConnectionState, Sockets]()
    """It is due, and our own sockets are known."""
    EXTRA = Input[ConnectionState, Sockets]()
    """Likewise, beside those of the timer."""
    LISTED = Input[ConnectionState, Told]()
    LISTED_AGAIN = Input[ConnectionState, Told]()
    RENUMBERED = Input[ConnectionState, Told]()
    """We are somebody else now."""
    SETTLED = Input[ConnectionState, None]()
    """And stay it."""
    DENIED = Input[ConnectionState, Received[p.DomainConnectionDenied]]()
    TOKEN = Input[ConnectionState, Received[p.ConnectionToken]]()
    NODE_TOLD = Input[ConnectionState, p.AddedNode]()
    NODE_REMOVED = Input[ConnectionState, Node]()
    ANSWERED = Input[ConnectionState, Answer]()
    PACKET = Input[ConnectionState, e.PacketReceived]()
    """For the application."""
    MOVED = Input[ConnectionState, Sockets]()
    """Our own sockets are known, or changed."""
    GAVE_UP = Input[ConnectionState, None]()
    CLOSE = Input[ConnectionState, None]()


class Connection(ClientPart[ConnectionState]):
    """Where the domain is, who we are there, and how long it has been silent."""

    ways: Ways
    latest: int
    """When that was asked which the last list answered, by our clock."""
    membership: Membership
    adopted: Annotated[p.DomainList | None, MEMO]
    """The list of which all is known."""
    told: Sockets | None
    """Our sockets, as they were told last."""
    silent: int
    """Check-ins that were not answered."""
    reason: int
    uptime: int
    """Microseconds that the previous connection lasted."""
    token: bytes
    denials: dict[int, e.Denied]
    """The last one of each code."""
    introduction: Annotated[Introduction, CACHED]
    own: Annotated[StunClient, CACHED]
    nodes: Annotated[NodeTable, CACHED]
    queries: Annotated[Queries, CACHED]

    def __init__(
        self,
        host: ClientHost,
        target: IceTarget,
        introduction: Introduction,
        own: StunClient,
        nodes: NodeTable,
        queries: Queries,
        *,
        by_ice: bool,
    ) -> None:
        super().__init__(host)
        self.ways, self.introduction = Ways(host, target, by_ice=by_ice), introduction
        self.own, self.nodes, self.queries = own, nodes, queries
        self.told = self.adopted = None
        self.membership = NO_MEMBER
        self.silent = self.uptime = self.latest = 0
        self.reason = p.ConnectReason.CONNECT.value
        self.token = b""
        self.denials = {}

    # -- for the client

    def looked_up(self, addresses: tuple[Address, ...]) -> None:
        ways = self.ways.found(addresses)
        if ways:
            self.post(ConnectionInput.FOUND(ways))
        elif self.state is ConnectionState.RESOLVING:  # else it stays where it was
            self.post(ConnectionInput.NOT_FOUND())

    def sockets_changed(self, sockets: Sockets) -> None:
        if sockets != self.told:
            self.post(ConnectionInput.MOVED(sockets))

    # -- guards and conditions

    def is_by_ice(self) -> bool:
        return self.ways.by_ice

    def is_from_domain(self, arrival: Arrival) -> bool:
        return self.ways.has(arrival.path)

    def read_list(self, arrival: Arrival) -> Told:
        return self.nodes.lists.read(self, arrival)

    def is_asked_for(self) -> bool:
        """We told of ourselves."""
        return self.told is not None

    def is_timely(self, told: Told) -> bool:
        """Does it answer nothing that was asked before what the last one answered?"""
        return not 0 < told.clock < self.latest

    def is_unlisted(self) -> bool:
        return self.state not in _IN

    def is_same_domain(self, told: Told) -> bool:
        return told.list.domain_id == self.membership.domain_id

    def is_renumbered(self, told: Told) -> bool:
        found, us = told.list, self.membership
        return found.session_id != us.session_id or found.local_id != us.local_id

    def find_node(self, packet: p.RemovedNode) -> Node | None:
        return self.nodes.nodes.get(packet.id)

    def find_path_query(self, packet: p.PathResponse) -> Answer | None:
        return self.queries.path_answer(packet)

    def find_settings_query(self, arrival: Arrival) -> Answer | None:
        return self.queries.settings_answer(arrival.payload)

    def read_replicated(self, arrival: Arrival) -> e.PacketReceived | None:
        return self.nodes.read_replicated(arrival)

    def read_sourced(self, arrival: Arrival) -> e.PacketReceived | None:
        if arrival.header.type not in DOMAIN_SOURCED:
            return None
        return e.PacketReceived(self.membership.domain_id, arrival.header.type, payload=arrival.payload)

    def is_too_silent(self) -> bool:
        return self.silent >= self.host.limits.silent_check_ins and self.own.sockets is not None

    def is_to_be_sought(self) -> bool:
        """Is it too silent where an ice-server said that it is?"""
        return self.ways.by_ice and self.is_too_silent()

    def is_denied(self) -> bool:
        return bool(self.denials)

    def is_patient(self) -> bool:
        return self.delays.give_up is None

    def patience(self) -> float:
        return self.delays.give_up or inf

    # -- finding the domain

    def begin(self) -> None:
        self.host.phase = Phase.OPENING
        self.look_up()
        self.own.learn()

    def look_up(self) -> None:
        self.ways.look_up(LOOKUP)

    def note_ways(self, ways: tuple[Path, ...]) -> None:
        self.ways.take_in(ways)
        self.own.find_own(ways[0])

    def seek(self) -> None:
        """Ask the ice-server, at each of its addresses in turn."""
        self.ways.go(None)
        self.host.seek(self.ways.known)

    def set_path(self, path: Path) -> None:
        self.ways.go(path)

    def turn(self) -> None:
        self.ways.turn()

    # -- check-ins

    def check_in(self) -> None:
        self.own.do_without_own()
        self._check_in(ConnectionInput.CHECK_IN)

    def check_in_at_once(self) -> None:
        self._check_in(ConnectionInput.EXTRA)

    def _check_in(self, on: Input[ConnectionState, Sockets]) -> None:
        sockets = self.own.sockets
        if sockets is not None:
            self.post(on(sockets))

    def count(self) -> None:
        """A check-in that the timer asked for."""
        self.silent += 1

    def send_connect(self, sockets: Sockets) -> None:
        self.silent = max(self.silent, 1)
        self.told = sockets
        request = self.introduction.connect_request(
            self.host.wall_us(),
            sockets,
            reason=self.reason,
            uptime=self.uptime,
            signature=self.introduction.sign(self.token),
        )
        self._send(request)

    def send_list_request(self, sockets: Sockets) -> None:
        self.silent = max(self.silent, 1)
        self._send(self.introduction.check_in(p.DomainListRequest, self.host.wall_us(), sockets))

    def send_copies(self, sockets: Sockets) -> None:
        """The more, the longer the domain is silent."""
        for _ in range(1, min(2 ** max(self.silent - 2, 0), self.host.limits.copies)):
            self.send_list_request(sockets)

    def send_disconnect(self) -> None:
        self._send(p.DisconnectRequest())

    def _send(self, packet: Packet) -> None:
        if self.ways.domain is not None:
            self.host.send_packet(self.ways.domain, packet, source=self.membership.local_id)

    # -- what the domain says

    def note_answer(self, told: Told) -> None:
        self.silent, self.latest = 0, told.clock or self.latest

    def adopt(self, told: Told) -> None:
        found = told.list
        if found is self.adopted:  # as nearly always
            self.silent, self.latest = 0, told.clock or self.latest
            return
        self.note_answer(told)
        if self.host.phase is Phase.OPEN and found.permissions != self.membership.permissions:
            self.host.emit(e.PermissionsChanged(found.permissions))
        self.adopt_ids(told)
        self.adopted = found
        self.nodes.adopt(found, told.clock)

    def adopt_ids(self, told: Told) -> None:
        self.note_answer(told)
        found, before = told.list, self.membership
        self.ways.settle(told.path)
        is_new = self.host.phase is not Phase.OPEN
        if is_new:
            self.host.phase = Phase.OPEN
            self.reason = p.ConnectReason.CONNECT.value
            self.denials.clear()
        self.membership = Membership(
            session_id=found.session_id,
            local_id=found.local_id,
            domain_id=found.domain_id,
            domain_local_id=found.domain_local_id,
            permissions=found.permissions,
            authenticated=found.authenticated,
            since=self.host.clock if is_new else before.since,
        )

    def ask_settings(self) -> None:
        self.queries.ask(p.DomainSettingsRequest(self.introduction.settings.value))

    def note_token(self, received: Received[p.ConnectionToken]) -> None:
        self.silent = 0
        self.ways.settle(received.path)
        self.token = received.packet.token

    def note_denial(self, received: Received[p.DomainConnectionDenied]) -> None:
        """A signature that is refused may be over a token that has expired: without one, there is a new one."""
        self.silent = 0
        self.ways.settle(received.path)
        packet = received.packet
        code = int(packet.reason)
        if code == p.DenialReason.LOGIN_ERROR_DIRECTORY:
            self.token = b""
        denied = e.Denied(packet.reason, packet.text, extra=packet.extra, hint=e.HINTS.get(code, ""))
        known = self.denials.pop(code, None)
        self.denials[code] = denied  # behind the others: the last one is what the end is told with
        if known != denied:
            self.host.emit(denied)

    def add_node(self, packet: p.AddedNode) -> None:
        self.nodes.hear_of(packet)

    def remove_node(self, node: Node) -> None:
        self.nodes.remove(node)

    def hand_answer(self, answer: Answer) -> None:
        answer.query.post(QueryInput.ANSWERED(answer.event))

    def tell_packet(self, event: e.PacketReceived) -> None:
        self.host.emit(event)

    # -- losses

    def note_silence(self) -> None:
        """It may be somewhere else by now."""
        self.silent = 0
        self.ways.lose()
        self.reason = p.ConnectReason.SILENT_DOMAIN_DISCONNECT.value
        self.look_up()

    def reset(self) -> None:
        """Forget nodes, ids, token and channels."""
        self.host.phase = Phase.OPENING
        self.uptime = int((self.host.clock - self.membership.since) * 1e6)
        self.membership, self.adopted = NO_MEMBER, None
        self.token = b""
        self.silent = self.latest = 0
        self.nodes.forget_all()
        self.queries.forget_all()
        if self.ways.domain is not None:
            self.host.forget_channel(self.ways.domain)

    # -- what the application is told

    def tell_connected(self, told: Told) -> None:
        found = told.list
        self.host.emit(
            e.Connected(found.session_id, found.local_id, domain_id=found.domain_id, permissions=found.permissions)
        )

    def tell_changed(self) -> None:
        us = self.membership
        self.host.emit(e.Renumbered(us.session_id, us.local_id, permissions=us.permissions))

    def tell_silent(self) -> None:
        self.host.emit(e.Disconnected(e.Loss.SILENT))

    def tell_moved(self) -> None:
        self.host.emit(e.Disconnected(e.Loss.MOVED))

    def end_local(self) -> None:
        self.host.end(Closed(CloseCause.LOCAL))

    def end_not_found(self) -> None:
        self.host.end(Closed(CloseCause.UNREACHABLE, detail=f"{self.ways.target.host}: no address was found"))

    def end_timeout(self) -> None:
        if self.token and self.introduction.private_key is not None:
            detail = "the domain asked for a signature of the username, and did not answer to it"
        else:
            detail = "no domain server answered"
        self.host.end(Closed(CloseCause.TIMEOUT, detail=detail))

    def end_refused(self) -> None:
        denied = next(reversed(self.denials.values()))
        code = next((reason for reason in p.DenialReason if reason == denied.code), p.DenialReason.UNKNOWN)
        self.host.end(Closed(CloseCause.REFUSED, code, detail=denied.reason or denied.hint))


class ConnectionTimer:
    LOOKUP = Timer(ConnectionInput.NOT_FOUND, ClientDelays.lookup)
    CHECK_IN = Timer(ConnectionInput.DUE, ClientDelays.check_in)
    SETTLE = Timer(ConnectionInput.SETTLED, ClientDelays.settle)
    GIVE_UP = Timer(ConnectionInput.GAVE_UP, Connection.patience)


_S, _I, _T, _C = ConnectionState, ConnectionInput, ConnectionTimer, Connection
_TRYING = (_S.SEEKING, _S.CONNECTING)
_IN = (_CONNECTED, _S.SETTLING)
_FOUND = (_S.CONNECTING, *_IN)
_TRY = (_T.CHECK_IN, _T.GIVE_UP)


def _guards(name: str) -> Guards[Connection, ConnectionState, Arrival, Arrival]:
    return Guards.of(Connection, ConnectionState, Arrival, name)


def _from_domain(name: str) -> Guards[Connection, ConnectionState, Arrival, Arrival]:
    """What only the domain may say."""
    return _guards(name).need(Connection.is_from_domain, "not from the domain", ref="accepted sources")


def _of_domain(kind: type[P], ref: str) -> Guards[Connection, ConnectionState, Arrival, P]:
    return _from_domain(kind.__name__).make(reads(kind), f"malformed {kind.__name__}", ref=ref)


def _answer_of_domain(kind: type[P], ref: str) -> Guards[Connection, ConnectionState, Arrival, Received[P]]:
    return _from_domain(kind.__name__).make(receives(kind), f"malformed {kind.__name__}", ref=ref)


LIST: Final = (
    _from_domain("DomainList")
    .make(_C.read_list, "malformed DomainList", ref="the domain list")
    .need(_C.is_asked_for, "a list that was not asked for", ref="the domain list")
    .need(_C.is_timely, "late list", ref="the domain list")
    .give_if(_C.is_unlisted, _I.LISTED, ref="the domain list")
    .need(_C.is_same_domain, "a list of another domain", ref="the domain list")
    .give_if(_C.is_renumbered, _I.RENUMBERED, ref="changed ids")
    .give(_I.LISTED_AGAIN)
)
DENIAL: Final = _answer_of_domain(p.DomainConnectionDenied, "denials").give(_I.DENIED)
TOKEN: Final = _answer_of_domain(p.ConnectionToken, "usernames").give(_I.TOKEN)
ADDED_NODE: Final = _of_domain(p.AddedNode, "nodes").give(_I.NODE_TOLD)
REMOVED_NODE: Final = (
    _of_domain(p.RemovedNode, "nodes").make(_C.find_node, "unknown node", ref="nodes").give(_I.NODE_REMOVED)
)
PATH_RESPONSE: Final = (
    _of_domain(p.PathResponse, "paths and settings")
    .make(_C.find_path_query, "an answer to no question", ref="paths and settings")
    .give(_I.ANSWERED)
)
SETTINGS: Final = (
    _from_domain("DomainSettings")
    .make(_C.find_settings_query, "an answer to no question", ref="paths and settings")
    .give(_I.ANSWERED)
)
UNSOURCED: Final = (
    _guards("other packet without a source").make(_C.read_replicated, "unexpected packet", ref="nodes").give(_I.PACKET)
)
SOURCED: Final = (
    _guards("sourced packet of the domain")
    .make(_C.read_sourced, "unexpected packet", ref="accepted sources")
    .give(_I.PACKET)
)

CONNECTION: Final = Table[Connection, ConnectionState](
    Connection,
    ConnectionInput,
    ConnectionTimer,
    name="overte.connection",
    initial=_S.NEW,
    terminal=(_S.CLOSED,),
    idle={_S.NEW: "connect()"},
    rows=(
        Row(_S.NEW, _I.CONNECT, _S.RESOLVING, _C.begin, arm=(_T.LOOKUP,), ref="finding the domain"),
        Row(
            _S.RESOLVING,
            _I.FOUND,
            _S.SEEKING,
            _C.note_ways,
            _C.seek,
            when=_C.is_by_ice,
            arm=(_T.GIVE_UP,),
            cancel=(_T.LOOKUP, _T.CHECK_IN),
            ref="ICE",
        ),
        Row(
            _S.RESOLVING,
            _I.FOUND,
            _S.CONNECTING,
            _C.note_ways,
            _C.check_in_at_once,
            arm=_TRY,
            cancel=(_T.LOOKUP,),
            ref="finding the domain",
        ),
        Row(
            _S.RESOLVING,
            _I.NOT_FOUND,
            None,
            when=_C.is_patient,
            arm=(_T.CHECK_IN,),
            cancel=(_T.LOOKUP,),
            ref="giving up",
        ),
        Row(_S.RESOLVING, _I.NOT_FOUND, _S.CLOSED, _C.end_not_found, ref="finding the domain"),
        Row(_S.RESOLVING, _I.DUE, None, _C.look_up, arm=(_T.LOOKUP,), ref="giving up"),
        Row(_S.SEEKING, _I.FOUND, None, _C.note_ways, _C.seek, ref="ICE"),
        Row(_S.SEEKING, _I.REACHED, _S.CONNECTING, _C.set_path, _C.check_in_at_once, arm=_TRY, ref="ICE"),
        Row(_FOUND, _I.FOUND, None, _C.note_ways, ref="finding the domain"),
        Row(_FOUND, _I.REFRESH, None, _C.check_in_at_once, ref="check-in"),
        Row(_S.CONNECTING, _I.DUE, _S.SEEKING, _C.note_silence, _C.seek, when=_C.is_to_be_sought, ref="ICE"),
        Row(_S.CONNECTING, _I.DUE, None, _C.note_silence, when=_C.is_too_silent, arm=(_T.CHECK_IN,), ref="silence"),
        Row(
            _IN,
            _I.DUE,
            _S.SEEKING,
            _C.reset,
            _C.note_silence,
            _C.seek,
            _C.tell_silent,
            when=_C.is_to_be_sought,
            arm=(_T.GIVE_UP,),
            cancel=(_T.SETTLE,),
            ref="ICE",
        ),
        Row(
            _IN,
            _I.DUE,
            _S.CONNECTING,
            _C.reset,
            _C.note_silence,
            _C.tell_silent,
            when=_C.is_too_silent,
            arm=_TRY,
            cancel=(_T.SETTLE,),
            ref="silence",
        ),
        Row(_FOUND, _I.DUE, None, _C.check_in, arm=(_T.CHECK_IN,), ref="check-in"),
        Row(_S.CONNECTING, _I.CHECK_IN, None, _C.count, _C.turn, _C.send_connect, ref="check-in"),
        Row(_S.CONNECTING, _I.EXTRA | _I.MOVED, None, _C.send_connect, ref="check-in"),
        Row(
            _S.CONNECTING,
            _I.LISTED,
            _S.CONNECTED,
            _C.tell_connected,
            _C.adopt,
            _C.ask_settings,
            cancel=(_T.GIVE_UP,),
            ref="the domain list",
        ),
        Row(_S.CONNECTING, _I.DENIED, None, _C.note_denial, ref="denials"),
        Row(_S.CONNECTING, _I.TOKEN, None, _C.note_token, _C.check_in_at_once, ref="usernames"),
        Row(_TRYING, _I.GAVE_UP, _S.CLOSED, _C.end_refused, when=_C.is_denied, ref="giving up"),
        Row(_TRYING, _I.GAVE_UP, _S.CLOSED, _C.end_timeout, ref="giving up"),
        Row(_IN, _I.CHECK_IN, None, _C.count, _C.send_list_request, _C.send_copies, ref="check-in"),
        Row(_IN, _I.EXTRA, None, _C.send_list_request, ref="check-in"),
        Row(_S.CONNECTED, _I.LISTED_AGAIN, None, _C.adopt, ref="the domain list"),
        Row(_S.CONNECTED, _I.RENUMBERED, _S.SETTLING, _C.reset, _C.adopt_ids, arm=(_T.SETTLE,), ref="changed ids"),
        Row(_S.SETTLING, _I.RENUMBERED, None, _C.adopt_ids, arm=(_T.SETTLE,), ref="changed ids"),
        Row(_S.SETTLING, _I.LISTED_AGAIN, None, _C.note_answer, ref="changed ids"),
        Row(
            _S.SETTLING,
            _I.SETTLED,
            _S.CONNECTED,
            _C.tell_changed,
            _C.check_in_at_once,
            _C.ask_settings,
            ref="changed ids",
        ),
        Row(_S.CONNECTED, _I.NODE_TOLD, None, _C.add_node, ref="nodes"),
        Row(_S.SETTLING, _I.NODE_TOLD, None, ref="changed ids"),
        Row(_S.CONNECTED, _I.NODE_REMOVED, None, _C.remove_node, ref="nodes"),
        Row(_IN, _I.ANSWERED, None, _C.hand_answer, ref="paths and settings"),
        Row(_IN, _I.PACKET, None, _C.tell_packet, ref="nodes"),
        Row(
            _IN,
            _I.MOVED,
            _S.CONNECTING,
            _C.send_disconnect,
            _C.reset,
            _C.tell_moved,
            _C.check_in_at_once,
            arm=_TRY,
            cancel=(_T.SETTLE,),
            ref="own sockets",
        ),
        Row((_S.NEW, _S.RESOLVING, _S.SEEKING), _I.MOVED, None, ref="own sockets"),
        Row(_IN, _I.CLOSE, _S.CLOSED, _C.send_disconnect, _C.end_local, ref="leaving"),
        Row((_S.NEW, _S.RESOLVING, *_TRYING), _I.CLOSE, _S.CLOSED, _C.end_local, ref="leaving"),
    ),
    defaults=(
        Default(Outcome.REJECT, "connect() once", _I.CONNECT),
        Default(Outcome.NOT_OPEN, "", _I.REFRESH),
        Default(Outcome.IGNORE, "a list that was not asked for", _I.LISTED),
        Default(Outcome.IGNORE, "late answer", _I.DENIED, _I.TOKEN),
        Default(Outcome.IGNORE, "a node before the first list", _I.NODE_TOLD),
        Default(Outcome.IGNORE, "late"),
    ),
)
