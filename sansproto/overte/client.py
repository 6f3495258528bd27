"""The client: it connects to a domain, keeps the connection alive, and reaches the nodes that the domain names.

docs/protocols/overte.rst.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

from ..contract import Address, Entropy, Instant, Lookup, Path, Phase
from ..errors import NotOpen, WireError
from ..events import CloseCause, Closed
from ..old_machine import Machine
from ..snapshot import CACHED
from ..trace import Trace
from ..wire import by_id
from . import crypto
from . import packets as p
from .events import Connected, Denied, Disconnected, Loss, PermissionsChanged, Renumbered, hint_for
from .header import MAX_DATAGRAM, Header
from .limits import ClientDelays, ClientLimits
from .nodes import NodeTable
from .qt import NULL_SOCK_ADDR, NULL_UUID, SockAddr
from .queries import Queries
from .rendezvous import IceClient, IceTarget
from .stun import QUERY as STUN_QUERY
from .stun import Asking
from .tables import CONNECTION
from .tables.client import ConnectionInput, ConnectionState
from .versions import DEFAULT, VersionTable

C = TypeVar("C", bound=p.CheckIn)

_OPEN, _CONNECTED = Phase.OPEN, ConnectionState.CONNECTED  # looked up once: for every list
_QUERY: Final = 1  # the number of the lookup of the domain's name, or of the ice-server's
_NO_SYSTEM_INFO: Final = bytes(4)  # nothing, compressed
_SETTINGS: Final = {
    p.NodeType.AUDIO_MIXER: p.AssignmentType.AUDIO_MIXER,
    p.NodeType.AVATAR_MIXER: p.AssignmentType.AVATAR_MIXER,
    p.NodeType.AGENT: p.AssignmentType.AGENT,
    p.NodeType.ASSET_SERVER: p.AssignmentType.ASSET_SERVER,
    p.NodeType.MESSAGES_MIXER: p.AssignmentType.MESSAGES_MIXER,
    p.NodeType.ENTITY_SCRIPT_SERVER: p.AssignmentType.ENTITY_SCRIPT_SERVER,
    p.NodeType.ENTITY_SERVER: p.AssignmentType.ENTITY_SERVER,
}
_FROM_DOMAIN: Final[dict[int, type[p.OvertePacket]]] = by_id(
    p.DomainList,
    p.AddedNode,
    p.RemovedNode,
    p.DomainConnectionDenied,
    p.ConnectionToken,
    p.PathResponse,
    p.DomainSettings,
)
"""By the numbers of their types."""


class DomainClient(IceClient, Queries, NodeTable):
    """One client of one domain: its domain server, and the nodes that this names.

    ``host`` is a name or an address; with ``ice`` that of the ice-server counts. Nothing is sent before the socket is
    reported by ``socket_bound``. ``local_host`` is our address as others on the same network see it: needed where the
    socket is bound to any address. Without ``stun`` the domain takes the public address from our packets. ``interest``
    are the letters of the node types that we want to hear of.

    ``username`` is one of the directory service, proved with ``private_key`` (PKCS#1 DER, RSA); ``domain_account`` is a
    username and ``access:refresh`` tokens of the domain's own accounts. ``assignment`` is the UUID of 16 bytes under
    which the domain expects a mixer or server. ``entropy`` is drawn on for 4 bytes per
    reliable channel and 12 per round of STUN. Raises ValueError for arguments that do not fit together, or into a
    datagram.
    """

    session_id: bytes  # ours, 16 bytes; null while there is no connection
    local_id: int
    domain_id: bytes
    permissions: int  # bits of Permissions
    _domain_local_id: int
    _reason: int
    _since: Instant  # when the connection began
    _uptime: int  # microseconds that the previous connection lasted
    _token: bytes
    _denials: dict[int, Denied]  # the last one of each code
    _host: Annotated[str, CACHED]
    _port: Annotated[int, CACHED]
    _node_type: Annotated[p.NodeType, CACHED]
    _interest: Annotated[bytes, CACHED]
    _fingerprint: Annotated[bytes, CACHED]
    _username: Annotated[str, CACHED]
    _private_key: Annotated[bytes | None, CACHED]
    _account: Annotated[tuple[str, str] | None, CACHED]
    _place_name: Annotated[str | None, CACHED]
    _connect_id: Annotated[bytes, CACHED]

    _connection = Machine(CONNECTION)

    def __init__(
        self,
        *,
        host: str,
        port: int = 40102,
        entropy: Entropy,
        wall_epoch: float,
        node_type: p.NodeType = p.NodeType.AGENT,
        interest: bytes = b"MWoAmS",
        fingerprint: bytes = NULL_UUID,
        username: str = "",
        private_key: bytes | None = None,
        domain_account: tuple[str, str] | None = None,
        place_name: str | None = None,
        stun: tuple[str, int] | None = None,
        ice: IceTarget | None = None,
        assignment: bytes = NULL_UUID,
        local_host: str | None = None,
        versions: VersionTable = DEFAULT,
        delays: ClientDelays | None = None,
        limits: ClientLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._times = delays or ClientDelays()
        self._bounds = limits or ClientLimits()
        super().__init__(
            entropy=entropy,
            wall_epoch=wall_epoch,
            versions=versions,
            delays=self._times,
            limits=self._bounds,
            trace=trace,
        )
        self._host, self._port = host, port
        self._node_type = node_type
        self._interest = interest
        self._fingerprint = fingerprint
        self._username = crypto.lower(username)  # a server may compare it as it is
        self._private_key = private_key
        self._account = domain_account
        self._place_name = place_name
        self._stun_server = stun
        self._ice = ice
        self._connect_id = assignment if ice is None else ice.client_id
        self._local_host = local_host
        self._know_nothing()
        self._check_arguments(assignment)

    def _know_nothing(self) -> None:
        self.state = ConnectionState.NEW
        self.session_id = self.domain_id = NULL_UUID
        self.local_id = self._domain_local_id = self.permissions = 0
        self._domain = self._ice_server = self._told = self._public = None
        self._authenticated = True
        self._ice_sockets = {}
        self._silent = self._uptime = self._last_query = 0
        self._reason = p.ConnectReason.CONNECT.value
        self._since = 0.0
        self._token = b""
        self._denials = {}
        self._nodes = {}
        self._index = {}
        self._listed = b""
        self._unchanged = {}
        self._connection_ids = {}
        self._queries = {}
        self._asking = Asking()

    def _check_arguments(self, assignment: bytes) -> None:
        if self._ice is not None and assignment != NULL_UUID:
            raise ValueError("ice and assignment do not go together: both take the place of the connect id")
        if bool(self._username) is not (self._private_key is not None):
            raise ValueError("username and private_key go together")
        signature = b""
        if self._private_key is not None:
            signature = bytes(crypto.load_private_key(self._private_key).key_size // 8)
        try:
            local = SockAddr(self._local_host or "", 0)
            request = self._connect_request((local, local), signature)
            if len(request.encode()) > MAX_DATAGRAM - 6:
                raise ValueError("more than fits into a connect request")
            if self._ice is not None:
                self._ice_query(self._ice, (NULL_SOCK_ADDR, local)).encode()
        except WireError as error:
            raise ValueError(f"an argument cannot be sent: {error}") from None

    # -- verbs

    def connect(self, now: float) -> None:
        """Go to the domain: ``Connected`` follows, or ``Closed`` after ``delays.give_up``, with ``Denied`` before it
        for what the domain said. Raises LocalProtocolError if called twice."""
        self._connection.ask(self, ConnectionInput.CONNECT, "connect")
        self._advance(now)
        self.phase = Phase.OPENING
        self._post(self._connection, self, ConnectionInput.CONNECT)
        if self.local is not None:
            self._learn_public()
        self._settle()

    def refresh(self, now: float) -> None:
        """Check in at once, besides what the timer does: the domain's list comes sooner. Raises NotOpen before the
        domain is found and after the end."""
        if self.state not in (ConnectionState.CONNECTING, ConnectionState.CONNECTED):
            raise NotOpen("refresh", self.state.name)
        self._advance(now)
        self._post(self._connection, self, "at_once")
        self._settle()

    def close(self, now: float) -> None:
        if self._alive(now):
            self._post(self._connection, self, ConnectionInput.CLOSE)
            self._settle()

    # -- reports of the transport

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        before = self.local
        super().socket_bound(socket, address, now)
        if self.local != before:
            self._public = None
            if self.phase is not Phase.NEW:
                self._learn_public()
            self._sockets_changed()
            self._settle()

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        if not self._alive(now):
            return
        if query == _QUERY:
            self._post(self._connection, self, "looked_up", addresses)
        elif query == STUN_QUERY:
            self._post(self._stun, self._asking, "looked_up", addresses)
        else:
            self._drop("unexpected report")
        self._settle()

    # -- what arrives

    def arrived(self, header: Header, payload: bytes, path: Path, peer: Any) -> None:
        kind = _FROM_DOMAIN.get(header.type._value_)
        if peer is not None:
            self._node_packet(header, payload, path, peer)
        elif kind is None:
            if not self._ice_packet(header, payload, path):
                self._stray_packet(header, payload, path)
        elif path == self._domain:
            if kind is p.DomainList:
                found = self._decode_list(payload)
                if found is not None and self._told is not None:
                    self._post(self._connection, self, "domain_list", found)
                elif found is not None:  # nothing was told of us
                    self._drop("a list that was not asked for")
            else:
                packet = self.decode_payload(kind, payload)
                if packet is not None:
                    self._domain_packet(packet)
        else:
            self._drop("not from the domain")

    def _domain_packet(self, packet: p.OvertePacket) -> None:
        match packet:
            case p.DomainConnectionDenied():
                self._post(self._connection, self, ConnectionInput.DENIED, packet)
            case p.ConnectionToken():
                self._post(self._connection, self, ConnectionInput.TOKEN, packet)
            case p.PathResponse():
                self._path_answered(packet)
            case p.DomainSettings():
                self._settings_answered(packet)
            case p.RemovedNode():
                self._remove_node(packet)
            case p.AddedNode() if self.state is ConnectionState.CONNECTED:
                self._record(packet)
            case _:
                self._drop("a node before the first list")

    def _end(self, closed: Closed) -> None:
        super()._end(closed)
        self.state = ConnectionState.CLOSED  # however it ended
        self._asking = Asking()
        for table in (self._nodes, self._index, self._queries):
            table.clear()

    # -- what is told of ourselves

    def _sockets_changed(self) -> None:
        if self.local is None or self._public is None or self._told == self._own_sockets():
            return
        if self.state is ConnectionState.CONNECTED:
            self._post(self._connection, self, ConnectionInput.MOVED)
        elif self.state in (ConnectionState.QUERYING, ConnectionState.CONNECTING):
            self._post(self._connection, self, "at_once")

    def _check_in(self, kind: type[C], sockets: tuple[SockAddr, SockAddr]) -> C:
        return kind(
            client_clock=self.wall_us(),
            node_type=self._node_type,
            public_socket=sockets[0],
            local_socket=sockets[1],
            interests=self._interest,
            place_name=self._place_name,
        )

    def _connect_request(self, sockets: tuple[SockAddr, SockAddr], signature: bytes) -> p.DomainConnectRequest:
        account = (
            {} if self._account is None else dict(zip(("domain_username", "domain_tokens"), self._account, strict=True))
        )
        return p.DomainConnectRequest(
            connect_id=self._connect_id,
            protocol_signature=self._versions.signature,
            hardware_address=None,
            machine_fingerprint=self._fingerprint,
            system_info=_NO_SYSTEM_INFO,
            reason=self._reason,
            previous_uptime=self._uptime,
            check_in=self._check_in(p.CheckIn, sockets),
            username=self._username or None,
            username_signature=signature,
            **account,
        )

    # -- the ladders' checks

    def _connection_is_unbound(self, _: object, __: object) -> bool:
        return self.local is None

    def _connection_is_public_unknown(self, _: object, __: object) -> bool:
        return self._public is None

    def _connection_is_too_silent(self, _: object, __: object) -> bool:
        return self._silent >= self._bounds.silent_check_ins

    def _connection_is_denied(self, _: object, __: object) -> bool:
        return bool(self._denials)

    def _connection_is_nothing_found(self, _: object, addresses: tuple[Address, ...]) -> bool:
        return not addresses

    def _connection_is_unlisted(self, _: object, __: object) -> bool:
        return self.state is not _CONNECTED

    def _connection_is_foreign_domain(self, _: object, found: p.DomainList) -> bool:
        return found.domain_id != self.domain_id

    def _connection_is_ids_changed(self, _: object, found: p.DomainList) -> bool:
        return found.session_id != self.session_id or found.local_id != self.local_id

    # -- the table's actions

    def _connection_look_up(self, _: object, __: object) -> None:
        host, port = (self._host, self._port) if self._ice is None else (self._ice.host, self._ice.port)
        self._outbox.append(Lookup(_QUERY, host, port))

    def _connection_set_domain(self, _: object, found: Path | tuple[Address, ...]) -> None:
        self._domain = found if isinstance(found, Path) else self._pick(found)

    def _connection_check_in_at_once(self, _: object, __: object) -> None:
        self._post(self._connection, self, "at_once")

    def _connection_count(self, _: object, __: object) -> None:
        self._silent += 1

    def _connection_send_connect(self, _: object, __: object) -> None:
        assert self._domain is not None
        self._silent = max(self._silent, 1)
        self._told = self._own_sockets()
        signature = b""
        if self._token and self._private_key is not None:
            signature = crypto.sign_username(self._private_key, self._username, self._token)
        self.send_packet(self._domain, self._connect_request(self._told, signature))

    def _connection_send_list_request(self, _: object, __: object) -> None:
        assert self._domain is not None and self._told is not None
        self._silent = max(self._silent, 1)
        self.send_packet(self._domain, self._check_in(p.DomainListRequest, self._told), source=self.local_id)

    def _connection_send_copies(self, _: object, __: object) -> None:
        for _copy in range(1, min(2 ** max(self._silent - 2, 0), self._bounds.copies)):
            self._connection_send_list_request(self, None)

    def _connection_send_disconnect(self, _: object, __: object) -> None:
        assert self._domain is not None
        self.send_packet(self._domain, p.DisconnectRequest(), source=self.local_id)

    def _connection_note_token(self, _: object, packet: p.ConnectionToken) -> None:
        self._silent = 0
        self._token = packet.token

    def _connection_note_denial(self, _: object, packet: p.DomainConnectionDenied) -> None:
        self._silent = 0
        code = int(packet.reason)
        denied = Denied(packet.reason, packet.text, extra=packet.extra, hint=hint_for(code))
        known = self._denials.pop(code, None)
        self._denials[code] = denied  # behind the others: the last one is what the end is told with
        if known != denied:
            self._emit(denied)

    def _connection_note_silence(self, _: object, __: object) -> None:
        self._silent = 0
        self._reason = p.ConnectReason.SILENT_DOMAIN_DISCONNECT.value

    def _connection_reset(self, _: object, __: object) -> None:
        assert self._domain is not None
        self.phase = Phase.OPENING
        self.session_id = self.domain_id = NULL_UUID
        self.local_id = self._domain_local_id = 0
        self._token = b""
        self._silent = 0
        self._uptime = int((self._clock - self._since) * 1e6)
        self._forget_nodes()
        self._forget_queries()
        self.forget_channel(self._domain)

    def _connection_adopt(self, _: object, found: p.DomainList) -> None:
        if self.phase is not _OPEN:
            self.phase = _OPEN
            self._since = self._clock
            self._reason = p.ConnectReason.CONNECT.value
            self._denials.clear()
        elif found.permissions != self.permissions:
            self._emit(PermissionsChanged(found.permissions))
        self._silent = 0
        self.domain_id, self._domain_local_id = found.domain_id, found.domain_local_id
        self.session_id, self.local_id = found.session_id, found.local_id
        self.permissions = found.permissions
        self._authenticated = found.authenticated
        self._adopt_nodes(found)

    def _connection_request_settings(self, _: object, __: object) -> None:
        self._begin_query(None, _SETTINGS.get(self._node_type, p.AssignmentType.ALL).value)

    def _connection_tell_connected(self, _: object, found: p.DomainList) -> None:
        self._emit(
            Connected(found.session_id, found.local_id, domain_id=found.domain_id, permissions=found.permissions)
        )

    def _connection_tell_changed(self, _: object, found: p.DomainList) -> None:
        self._emit(Renumbered(found.session_id, found.local_id, permissions=found.permissions))

    def _connection_tell_silent(self, _: object, __: object) -> None:
        self._emit(Disconnected(Loss.SILENT))

    def _connection_tell_moved(self, _: object, __: object) -> None:
        self._emit(Disconnected(Loss.MOVED))

    def _connection_end_local(self, _: object, __: object) -> None:
        self._end(Closed(CloseCause.LOCAL))

    def _connection_end_not_found(self, _: object, __: object) -> None:
        name = self._host if self._ice is None else self._ice.host
        self._end(Closed(CloseCause.UNREACHABLE, detail=f"{name}: no address was found"))

    def _connection_end_timeout(self, _: object, __: object) -> None:
        if self._token and self._private_key is not None:
            detail = "the domain asked for a signature of the username, and did not answer to it"
        else:
            detail = "no domain server answered"
        self._end(Closed(CloseCause.TIMEOUT, detail=detail))

    def _connection_end_refused(self, _: object, __: object) -> None:
        denied = next(reversed(self._denials.values()))
        code = next((reason for reason in p.DenialReason if reason == denied.code), p.DenialReason.UNKNOWN)
        self._end(Closed(CloseCause.REFUSED, code, detail=denied.reason or denied.hint))
