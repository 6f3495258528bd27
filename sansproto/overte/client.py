"""The client: it connects to a domain, keeps the connection alive, and reaches the nodes that the domain names.

docs/protocols/overte.rst.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..component import Note, OptionalPart, Refusal
from ..contract import Address, Entropy, Path, Phase
from ..errors import LocalProtocolError, NotOpen, WireError
from ..trace import Trace
from . import connection, crypto, rendezvous, stun
from . import packets as p
from .connection import Connection, ConnectionInput
from .endpoint import OverteEndpoint
from .events import ClientEvent, NodeInfo, PacketReceived, Undelivered
from .header import MAX_DATAGRAM, Head, Header, decode_datagram
from .introduction import Introduction, Membership
from .limits import ClientDelays, ClientLimits
from .nodes import DomainSender, NodeTable
from .parts import TRAILING, Arrival, Peer
from .payloads import TYPES, Delivery, Payload, decode, delivery_of, encode
from .qt import NULL_SOCK_ADDR, NULL_UUID, SockAddr
from .queries import Queries, Question
from .rendezvous import IceClient, IceTarget
from .stun import StunClient
from .usernames import REPLY, Names
from .versions import DEFAULT, DOMAIN_SOURCED, PacketType, VersionTable

_LONGEST: Final = MAX_DATAGRAM - 24
"""Bytes behind the longest header of a single packet."""

_LONGEST_PATH: Final = 1024
"""Bytes; a query has to fit into one datagram."""

_SQUELCH: Final = 2
"""Unanswered check-ins: over it nothing unreliable goes to nodes."""

_OF_THE_DOMAIN: Final = {
    PacketType.DOMAIN_LIST.value: connection.LIST,
    PacketType.DOMAIN_CONNECTION_DENIED.value: connection.DENIAL,
    PacketType.DOMAIN_SERVER_CONNECTION_TOKEN.value: connection.TOKEN,
    PacketType.DOMAIN_SERVER_ADDED_NODE.value: connection.ADDED_NODE,
    PacketType.DOMAIN_SERVER_REMOVED_NODE.value: connection.REMOVED_NODE,
    PacketType.DOMAIN_SERVER_PATH_RESPONSE.value: connection.PATH_RESPONSE,
    PacketType.DOMAIN_SETTINGS.value: connection.SETTINGS,
}
_OF_ICE: Final = {
    PacketType.ICE_SERVER_PEER_INFORMATION.value: rendezvous.PEER,
    PacketType.ICE_PING.value: rendezvous.PING,
    PacketType.ICE_PING_REPLY.value: rendezvous.REPLY,
}
"""Which guards see a packet without a source, by the number of its type."""

_NAME: Final = PacketType.USERNAME_FROM_ID_REPLY.value

NOT_REACHED: Final = Refusal("node not reached", ref="hole punching")
SQUELCHED: Final = Refusal("squelched", ref="silence")
MALFORMED_PAYLOAD: Final = Note("malformed payload", ref="payloads")


class DomainClient(OverteEndpoint[ClientEvent, ClientDelays, ClientLimits]):
    """Connects to one domain: to its domain server, and to the nodes that the domain server names.

    ``host`` is the domain's name or address; with ``ice`` the client asks that ice-server instead. ``local_host`` is
    our address for others on the same network; by default it is found out if the socket is bound to any address.
    ``public`` is host and port of our public socket, if you know it, for example behind a router that forwards a port.
    Without ``public`` and ``stun`` the domain takes our public address from our packets. ``interest`` has the letters
    of the node types of which the domain informs us. Nothing is sent before the adapter has called ``socket_bound``.

    ``username`` is a name at the directory service; ``private_key`` (PKCS#1 DER, RSA) proves it. ``domain_account`` is
    a username and ``access:refresh`` tokens of the domain's own accounts. ``assignment`` is the UUID of 16 bytes under
    which the domain expects a mixer or server. ``entropy`` is drawn on for 4 bytes per reliable channel and 12 per
    round of STUN. Raises ValueError for arguments that do not fit together, or into a datagram.

    Verbs: ``connect``, ``refresh``, ``send``, ``send_to_node``, ``send_to_domain``, ``ask_path``,
    ``request_settings``, ``ask_username``, ``kick``, ``close``. Queries: ``session_id``, ``local_id``,
    ``domain_id``, ``permissions``, ``nodes``, ``node``, ``read``.
    """

    stun: StunClient
    ice: OptionalPart[IceClient]
    """From the time on when the address of the ice-server is known."""
    queries: Queries
    names: Names
    node_table: NodeTable
    connection: Connection

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
        public: tuple[str, int] | None = None,
        ice: IceTarget | None = None,
        assignment: bytes = NULL_UUID,
        local_host: str | None = None,
        versions: VersionTable = DEFAULT,
        delays: ClientDelays | None = None,
        limits: ClientLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        delays, limits = delays or ClientDelays(), limits or ClientLimits()
        super().__init__(
            entropy=entropy, wall_epoch=wall_epoch, versions=versions, delays=delays, limits=limits, trace=trace
        )
        if ice is not None and assignment != NULL_UUID:
            raise ValueError("ice and assignment do not go together: both take the place of the connect id")
        if bool(username) is not (private_key is not None):
            raise ValueError("username and private_key go together")
        if stun is not None and public is not None:
            raise ValueError("stun and public do not go together: both say the public address")
        known = None if public is None else SockAddr(*public)
        target = ice or IceTarget(host=host, port=port, domain_id=NULL_UUID, client_id=assignment)
        introduction = Introduction(
            connect_id=target.client_id,
            signature=versions.signature,
            node_type=node_type,
            interest=interest,
            fingerprint=fingerprint,
            username=crypto.lower(username),  # a server may compare it as it is
            private_key=private_key,
            account=domain_account,
            place_name=place_name,
        )
        _check_arguments(introduction, target, SockAddr(local_host or "", 0), known or NULL_SOCK_ADDR)
        self.stun = StunClient(self, stun, local_host, known)
        self.ice = OptionalPart(lambda: IceClient(self, target, self.stun))
        self.queries, self.names, self.node_table = Queries(self), Names(self), NodeTable(self)
        self.connection = Connection(
            self, target, introduction, self.stun, self.node_table, self.queries, by_ice=ice is not None
        )

    # -- queries

    @property
    def session_id(self) -> bytes:
        """The id that the domain gave us, 16 bytes; null while there is no connection."""
        return self.membership.session_id

    @property
    def local_id(self) -> int:
        """Our number in the domain, which the headers of our packets have; 0 while there is no connection."""
        return self.membership.local_id

    @property
    def domain_id(self) -> bytes:
        """The domain's UUID, 16 bytes; null while there is no connection."""
        return self.membership.domain_id

    @property
    def permissions(self) -> int:
        """What the domain allows us: bits of ``Permissions``."""
        return self.membership.permissions

    @property
    def nodes(self) -> Mapping[bytes, NodeInfo]:
        """The nodes that are known now, by their ids. A node that an event named may be gone: see :meth:`node`."""
        return {key: node.info for key, node in self.node_table.nodes.items()}

    def node(self, node_id: bytes) -> NodeInfo | None:
        """A node as it is known now. None if it is gone; it may be gone before you handle the event that named it."""
        node = self.node_table.nodes.get(node_id)
        return None if node is None else node.info

    # -- verbs

    def connect(self, now: float) -> None:
        """Connect to the domain: ``Connected`` follows, or ``Closed`` after ``delays.give_up``. If the domain refuses,
        ``Denied`` comes before that. Raises LocalProtocolError if called twice, NotOpen after the end."""
        self.verb("connect", now, self.connection.asked(ConnectionInput.CONNECT()))

    def refresh(self, now: float) -> None:
        """Check in at once, so that the domain's list comes sooner. Raises NotOpen before the domain is found and after
        the end."""
        self.verb("refresh", now, self.connection.asked(ConnectionInput.REFRESH()))

    def close(self, now: float) -> None:
        if self.closes(now):
            self.connection.post(ConnectionInput.CLOSE())
            self.run()

    def ask_path(self, path: str, now: float) -> None:
        """Ask where a path leads: ``PathAnswered`` or ``NotAnswered`` follows.

        Raises NotOpen while there is no connection, LocalProtocolError for a path of more than 1024 bytes in UTF-8 and
        while ``limits.queries`` questions are open.
        """
        self._need_open("ask_path")
        try:
            size = len(path.encode())
        except UnicodeEncodeError:
            raise LocalProtocolError("ask_path", self.phase.name, "text that has no UTF-8") from None
        if size > _LONGEST_PATH:
            raise LocalProtocolError("ask_path", self.phase.name, f"a path of more than {_LONGEST_PATH} bytes")
        self._ask("ask_path", p.PathQuery(path), now)

    def request_settings(self, kind: p.AssignmentType, now: float) -> None:
        """Ask for the domain's settings of this kind: ``SettingsReceived`` or ``NotAnswered`` follows.

        An answer does not name its question, so only one such question is open at a time. Raises as ``ask_path`` does.
        """
        self._ask("request_settings", p.DomainSettingsRequest(kind.value), now)

    def ask_username(self, node_id: bytes, now: float) -> None:
        """Ask for the name of another node, or our own: ``UsernameAnswered`` or ``NotAnswered`` follows.

        The domain tells names only to nodes that may kick, and tells each node its own. The client asks again each
        second. Raises NotOpen while there is no connection, LocalProtocolError for an id that is not 16 bytes and while
        ``limits.queries`` such questions are open. docs/protocols/overte.rst, names and statistics.
        """
        self._need_id("ask_username", node_id)
        if node_id not in self.names.open and len(self.names.open) >= self.limits.queries:
            raise LocalProtocolError("ask_username", self.phase.name, "too many questions are open")
        self.advance(now)
        self.names.ask(node_id)
        self.run()

    def kick(self, node_id: bytes, now: float, *, ban: int = p.USUAL_BAN) -> bool:
        """Ask the domain to kick a node, and to ban it by these bits of :class:`~.packets.Ban`.

        It needs ``Permissions.KICK``; without it the domain does nothing. There is no answer, except that the node is
        removed. Returns False, and counts it, if too much waits for the domain. Raises NotOpen while there is no
        connection, LocalProtocolError for an id that is not 16 bytes. docs/protocols/overte.rst, kicking.
        """
        self._need_id("kick", node_id)
        request = p.NodeKickRequest(node_id, ban & 0xFFFFFFFF).encode()
        return self.send_to_domain(PacketType.NODE_KICK_REQUEST, request, now, reliable=True)

    def _need_id(self, verb: str, node_id: bytes) -> None:
        self._need_open(verb)
        if len(node_id) != 16:
            raise LocalProtocolError(verb, self.phase.name, "an id of a node has 16 bytes")

    def _ask(self, verb: str, question: Question, now: float) -> None:
        self._need_open(verb)
        if len(self.queries.open) >= self.limits.queries:
            raise LocalProtocolError(verb, self.phase.name, "too many questions are open")
        self.advance(now)
        self.queries.ask(question)
        self.run()

    def send_to_node(
        self,
        node_id: bytes,
        type: PacketType,
        payload: bytes,
        now: float,
        *,
        reliable: bool = False,
        message: bool = False,
    ) -> bool:
        """Send a node any packet, with the header and MAC that belong to its type.

        ``reliable`` packets are repeated until they arrive; a ``message`` is reliable, of up to
        ``limits.message_size`` bytes, and is split. Returns True if it was queued. Returns False, and counts it, if the
        node is gone or not reached, if its queue or the outbox is full, and for unreliable packets while the domain is
        silent. While the client connects again, all nodes are gone. Raises NotOpen before ``connect`` and after the
        end, LocalProtocolError for more than 1368 bytes without ``message``.
        """
        self._need_begun("send_to_node")
        self._need_sendable("send_to_node", payload, message)
        self.advance(now)
        node = self.node_table.nodes.get(node_id)
        way, sent = None if node is None else node.way, False
        if node is None or way is None:
            self.count_refusal(NOT_REACHED, self.node_table)
        elif self.is_squelched and not (message or reliable):
            self.count_refusal(SQUELCHED, self.node_table)
        else:
            sent = self._send(way, node.secret, type, payload, reliable, message)
        self.run()
        return sent

    def send_to_domain(
        self, type: PacketType, payload: bytes, now: float, *, reliable: bool = False, message: bool = False
    ) -> bool:
        """Send the domain server any packet, such as statistics. As :meth:`send_to_node`, but without a MAC.

        Domains drop types that they do not know. Returns False, and counts it, if too much waits for the domain. Raises
        NotOpen while there is no connection, LocalProtocolError as :meth:`send_to_node` does.
        docs/protocols/overte.rst, names and statistics.
        """
        self._need_open("send_to_domain")
        self._need_sendable("send_to_domain", payload, message)
        self.advance(now)
        assert self.domain is not None  # whoever is connected knows where
        sent = self._send(self.domain, b"", type, payload, reliable, message)
        self.run()
        return sent

    def send(self, node_id: bytes, payload: Payload, now: float) -> bool:
        """Send a node one of the packets of :mod:`.payloads`, in the way in which the reference sends it.

        It has the layout of our table of versions. Returns True or False, and raises NotOpen, as :meth:`send_to_node`
        does. Raises WireError for a packet with values that cannot be sent, LocalProtocolError for one that is too
        large. docs/protocols/overte.rst, payloads.
        """
        self._need_begun("send")
        how, type = delivery_of(payload), TYPES[payload.__class__]
        return self.send_to_node(
            node_id,
            type,
            encode(payload, self.versions),
            now,
            reliable=how is Delivery.RELIABLE,
            message=how is Delivery.MESSAGE,
        )

    def read(self, event: PacketReceived) -> Payload | None:
        """The packet in an event, read by our table of versions, and by what we are: :class:`~.avatars.TraitOverride`
        if we are an agent, :class:`~.avatars.SetAvatarTraits` if not.

        None for types that have no packet in :mod:`.payloads`, and for a payload that does not decode, which is counted
        as ``malformed payload``. Bytes after a packet are counted as ``trailing bytes``. docs/protocols/overte.rst,
        payloads.
        """
        try:
            is_agent = self.connection.introduction.node_type == p.NodeType.AGENT
            packet, end = decode(event.type, event.payload, self.versions, for_agent=is_agent)
        except WireError:
            self.count_note(MALFORMED_PAYLOAD, self.node_table)
            return None
        if end < len(event.payload):
            self.count_note(TRAILING, self.node_table)
        return packet

    def _send(self, path: Path, secret: bytes, type: PacketType, payload: bytes, reliable: bool, message: bool) -> bool:
        source = self.local_id
        if message:
            return self.send_message(path, type, payload, source=source, secret=secret)
        if reliable:
            return self.send_reliable(path, (type, payload), source=source, secret=secret)
        return self.send_raw(path, type, payload, source=source, mac=self.mac_for(type, payload, secret))

    def _need_sendable(self, verb: str, payload: bytes, message: bool) -> None:
        if not message and len(payload) > _LONGEST:
            raise LocalProtocolError(verb, self.phase.name, f"more than {_LONGEST} bytes, but no message")

    def _need_begun(self, verb: str) -> None:
        if self.phase not in (Phase.OPENING, Phase.OPEN):
            raise NotOpen(verb, self.phase.name)

    def _need_open(self, verb: str) -> None:
        if self.phase is not Phase.OPEN:
            raise NotOpen(verb, self.phase.name)

    # -- reports of the transport

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        before = self.local
        super().socket_bound(socket, address, now)
        if self.local != before:
            self.stun.public = self.stun.own_host = None
            if self.phase is not Phase.NEW:
                self.stun.learn()
            if self.domain is not None:
                self.stun.find_own(self.domain)
            self.sockets_changed()
            self.run()

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        if not self.alive(now):
            return
        if query == connection.LOOKUP:
            self.connection.looked_up(addresses)
        elif query == stun.QUERY:
            self.stun.looked_up(addresses)
        elif query == stun.OWN:
            self.stun.found_own(addresses)
        else:
            super().looked_up(query, addresses, now)
        self.run()

    # -- what arrives

    def decode(self, data: bytes, path: Path) -> tuple[Head, bytes] | None:
        if path in self.stun.servers:
            self.stun.hear(data)
            return None
        return decode_datagram(data)

    def source_of(self, local_id: int, path: Path) -> Peer | None:
        return self.node_table.source_of(local_id, path)

    def authenticates(self) -> bool:
        return self.connection.membership.authenticated

    def accepts_unverified(self, header: Header, path: Path, peer: Peer) -> bool:
        return isinstance(peer, DomainSender) and header.type in DOMAIN_SOURCED

    def accepts_channel(self, path: Path) -> bool:
        return not self.node_table.is_free(path)

    def arrived(self, arrival: Arrival) -> None:
        kind, peer = arrival.header.type._value_, arrival.peer
        if isinstance(peer, DomainSender):
            self.give(self.connection, connection.SOURCED, arrival)
        elif peer is not None:
            self.node_table.hear(arrival)
        elif kind == _NAME:
            self.give(self.names, REPLY, arrival)
        elif kind in _OF_ICE:
            self.give(self.ice.part, _OF_ICE[kind], arrival)
        else:
            self.give(self.connection, _OF_THE_DOMAIN.get(kind, connection.UNSOURCED), arrival)

    def undelivered(self, path: Path, count: int) -> None:
        node = self.node_table.active_at(path)
        self.emit(Undelivered(b"" if node is None else node.key, count))

    # -- the host of its parts

    @property
    def domain(self) -> Path | None:
        """Where the domain is, once it is found."""
        return self.connection.ways.domain

    @property
    def membership(self) -> Membership:
        return self.connection.membership

    @property
    def is_squelched(self) -> bool:
        """Has the domain been silent for so long that nodes are left alone?"""
        return self.connection.silent > _SQUELCH

    def sockets_changed(self) -> None:
        """Our own addresses are known, or are others than before."""
        sockets = self.stun.sockets
        if sockets is not None:
            self.connection.sockets_changed(sockets)
            for ice in self.ice.values():
                ice.sockets_changed(sockets)

    def seek(self, servers: tuple[Path, ...]) -> None:
        self.ice.start(IceClient.begin, servers)

    def reached(self, path: Path) -> None:
        self.connection.post(ConnectionInput.REACHED(path))


def _check_arguments(introduction: Introduction, target: IceTarget, local: SockAddr, public: SockAddr) -> None:
    """Raise ValueError for what cannot be sent, or says nothing to a domain."""
    wanted: object = introduction.interest
    if not isinstance(wanted, bytes) or not {*wanted} <= {*p.NodeType}:
        raise ValueError(f"interest has letters of NodeType, as bytes; {wanted!r} is something else")
    signature = bytes(introduction.signature_size)
    try:
        request = introduction.connect_request(0, (public, local), reason=0, uptime=0, signature=signature)
        if len(request.encode()) > MAX_DATAGRAM - 6:
            raise ValueError("more than fits into a connect request")
        target.query((public, local)).encode()
    except WireError as error:
        raise ValueError(f"an argument cannot be sent: {error}") from None
