"""The nodes that a client knows of: lists, pings, hole punching, and what is sent to them.

docs/protocols/overte.rst, nodes, node pings, hole punching.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from ..contract import Address, Path, Phase
from ..errors import LocalProtocolError, NotOpen
from ..old_machine import Machine
from ..snapshot import CACHED, MEMO
from . import packets as p
from .events import (
    ClientEvent,
    NodeActivated,
    NodeAdded,
    NodeInfo,
    NodeMeasured,
    NodeRemoved,
    PacketReceived,
    Removal,
    Undelivered,
)
from .header import MAX_DATAGRAM, Header
from .limits import ClientDelays, ClientLimits
from .node import Claim, Node, Voice
from .qt import NULL_UUID, SockAddr
from .tables import NODE
from .tables.node import NodeInput, NodeState
from .transport import SOCKET, Peer, Transport
from .versions import DOMAIN_SOURCED, REPLICATED, PacketType

_UPSTREAM: Final = frozenset({p.NodeType.UPSTREAM_AUDIO_MIXER, p.NodeType.UPSTREAM_AVATAR_MIXER})
_REPLICATED: Final = frozenset(REPLICATED.values())
_SQUELCH: Final = 2  # unanswered check-ins: over it nothing unreliable goes to nodes
_PINGS: Final = 64  # how many of our pings a node may still answer
_MAX_CONNECTION_ID: Final = (1 << 63) - 1
_LONGEST: Final = MAX_DATAGRAM - 24  # behind the longest header of a single packet
_CLOCKS: Final = slice(41, 65)  # what two lists that say the same differ in; a flag and the records follow
_NO_CLOCKS: Final = bytes(24)
_LISTS: Final = 64  # the most of them that are remembered


def path_to(sock: SockAddr, instead: str = "") -> Path | None:
    """Where a socket of the wire is, with the host ``instead`` of a null one; None if nothing can be sent there."""
    host = sock.host or instead
    if host in ("", "*", "0.0.0.0", "::") or not sock.port:
        return None
    if host.startswith("::ffff:") and "." in host:
        host = host[7:]
    scope = int(sock.scope) if sock.scope and sock.scope.isascii() and sock.scope.isdecimal() else 0
    return Path(SOCKET, host, sock.port, scope)


class NodeTable(Transport[ClientEvent], abstract=True):
    """The part of a client that has to do with other nodes."""

    session_id: bytes
    local_id: int
    _domain: Path | None
    domain_id: bytes
    _domain_local_id: int
    _authenticated: bool
    _silent: int
    _nodes: dict[bytes, Node]
    _connection_ids: dict[bytes, int]  # how often we dropped a node, or what it said of that
    _index: Annotated[dict[Claim, Node], CACHED]  # who has what only one can have
    _listed: Annotated[bytes, MEMO]  # the list that came last, without its clocks
    _unchanged: Annotated[dict[bytes, p.DomainList], MEMO]  # whose records would change nothing: lists without them
    _bounds: Annotated[ClientLimits, CACHED]
    _times: Annotated[ClientDelays, CACHED]

    _node = Machine(NODE, objects="_nodes")

    # -- verbs

    @property
    def nodes(self) -> Mapping[bytes, NodeInfo]:
        """The nodes that are known now, by their ids."""
        return {key: node.info for key, node in self._nodes.items()}

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
        ``limits.message_size`` bytes, and is split. True if it was queued. False, and counted, if the node is not
        there or not reached (any more), if its queue is full, and for what is not reliable while the domain is silent.
        Raises NotOpen while there is no connection, LocalProtocolError for more than 1368 bytes that are no message.
        """
        if self.phase is not Phase.OPEN:
            raise NotOpen("send_to_node", self.phase.name)
        if not message and len(payload) > _LONGEST:
            raise LocalProtocolError("send_to_node", self.phase.name, f"more than {_LONGEST} bytes, but no message")
        self._advance(now)
        node = self._nodes.get(node_id)
        if node is None or not node.active:
            self._drop("node not reached")
            return False
        path, sent = node.sockets[node.active], True
        if message:
            sent = self.send_message(path, type, payload, source=self.local_id, secret=node.secret)
        elif reliable:
            sent = self.send_reliable(path, (type, payload), source=self.local_id, secret=node.secret)
        elif self._silent > _SQUELCH:
            self._drop("squelched")
            return False
        else:
            self.send_raw(path, type, payload, source=self.local_id, secret=node.secret)
        self._settle()
        return sent

    # -- for the client

    def _decode_list(self, payload: bytes) -> p.DomainList | None:
        """A list; if its records would change nothing, as nearly always, without them, and with clocks at 0."""
        self._listed = payload[: _CLOCKS.start] + payload[_CLOCKS.stop :]
        return self._unchanged.get(self._listed) or self.decode_payload(p.DomainList, payload)

    def _adopt_nodes(self, found: p.DomainList) -> None:
        """The records of the list that came last. Whatever they change forgets that they were adopted."""
        if self._listed in self._unchanged:
            return
        if len(self._unchanged) >= _LISTS:
            self._unchanged.clear()
        front = self._listed[: _CLOCKS.start], self._listed[_CLOCKS.start : _CLOCKS.start + 1]
        self._unchanged[self._listed] = p.DomainList.decode(_NO_CLOCKS.join(front))
        for record in found.nodes:
            self._record(record)

    def _record(self, record: p.NodeRecord) -> None:
        """The domain tells of a node."""
        if record.id in (self.session_id, NULL_UUID):
            self._unchanged.clear()
            self._drop("a record of ourselves")
            return
        node = self._nodes.get(record.id)
        if node is not None:
            self._post(self._node, node, "record", record)
        elif len(self._nodes) >= self._bounds.nodes:
            self._unchanged.clear()
            self._drop("too many nodes")
        else:
            node = Node(
                record.id,
                int(record.type),
                record.local_id,
                self._sockets_of(record),
                record.permissions,
                record.replicated,
                b"" if record.secret == NULL_UUID else record.secret,
                self._clock,
            )
            self._claim(node)
            self._nodes[node.key] = node
            self._post(self._node, node, NodeInput.LISTED)

    def _remove_node(self, packet: p.RemovedNode) -> None:
        node = self._nodes.get(packet.id)
        if node is None:
            self._drop("unknown node")
        else:
            self._post(self._node, node, NodeInput.REMOVED)

    def _forget_nodes(self) -> None:
        """A reset: as if no node had ever been known."""
        for node in self._nodes.values():
            self._post(self._node, node, NodeInput.FORGOTTEN)
        self._nodes.clear()
        self._index.clear()
        self._connection_ids.clear()

    def _node_packet(self, header: Header, payload: bytes, path: Path, voice: Node | Voice) -> None:
        """A packet with a source."""
        node = voice if isinstance(voice, Node) else voice.node
        if node is None:
            if header.type in DOMAIN_SOURCED:
                self._emit(PacketReceived(self.domain_id, header.type, payload=payload))
            else:
                self._drop("unexpected packet")
            return
        if node is not voice:
            if header.mac is None:
                self._drop("unverified from elsewhere")
                return
            node.heard = self._clock
        if header.type is PacketType.PING:
            ping = self.decode_payload(p.Ping, payload)
            if ping is not None:
                self._post(self._node, node, "ping", (ping, path))
        elif header.type is PacketType.PING_REPLY:
            reply = self.decode_payload(p.PingReply, payload)
            if reply is not None:
                self._post(self._node, node, "reply", reply)
        else:
            self._emit(PacketReceived(node.key, header.type, payload=payload))

    def _stray_packet(self, header: Header, payload: bytes, path: Path) -> None:
        """A packet without a source that nothing else takes: upstream mixers pass some on, from public sockets."""
        node = self._index.get(path)
        if (
            node is not None
            and node.type in _UPSTREAM
            and node.sockets.get(p.PingType.PUBLIC) == path
            and header.type in _REPLICATED
        ):
            self._emit(PacketReceived(node.key, header.type, payload=payload))
        else:
            self._drop("unexpected packet")

    # -- the transport's questions

    def source_of(self, local_id: int, path: Path) -> Peer | None:
        node = self._index.get(local_id)
        if node is not None and self._index.get(path) is node:
            return node
        if node is not None and self._authenticated:
            return Voice(local_id, node.secret, self._clock, node)
        if node is None and path == self._domain and local_id and local_id == self._domain_local_id:
            return Voice(local_id, b"", self._clock, None)
        return None

    def authenticates(self) -> bool:
        return self._authenticated

    def accepts_unverified(self, header: Header, path: Path, peer: Peer) -> bool:
        return isinstance(peer, Voice) and peer.node is None and header.type in DOMAIN_SOURCED

    def accepts_channel(self, path: Path) -> bool:
        return path == self._domain or path in self._index

    def undelivered(self, path: Path, count: int) -> None:
        node = self._index.get(path)
        self._emit(Undelivered(b"" if node is None else node.key, count))

    def _rebuild(self) -> None:
        super()._rebuild()
        for node in self._nodes.values():
            self._index.update(dict.fromkeys(node.claims, node))

    # -- who has what

    def _sockets_of(self, record: p.NodeRecord) -> dict[int, Path]:
        """A null public address means the domain's."""
        domain = self._domain.host if self._domain is not None else ""
        found = {
            p.PingType.LOCAL.value: path_to(record.local_socket),
            p.PingType.PUBLIC.value: path_to(record.public_socket, domain),
        }
        return {kind: path for kind, path in found.items() if path is not None}

    def _claim(self, node: Node) -> None:
        """Let a node have what is its own; whoever had any of it before is gone."""
        rivals = {}
        for claim in node.claims:
            other = self._index.get(claim)
            if other is not None and other is not node:
                rivals[other.key] = other
            self._index[claim] = node
        for other in rivals.values():
            self._post(self._node, other, NodeInput.REPLACED)

    def _release(self, node: Node) -> None:
        for claim in node.claims:
            if self._index.get(claim) is node:
                del self._index[claim]

    def _let_go(self, path: Path) -> None:
        """A socket is no longer a node's: what waits for it never arrives."""
        if path != self._domain:
            self.forget_channel(path)

    # -- the ladders' checks

    def _node_is_moved(self, node: Node, record: p.NodeRecord) -> bool:
        if node.active not in (p.PingType.LOCAL, p.PingType.PUBLIC):
            return False
        return self._sockets_of(record).get(node.active) != node.sockets[node.active]

    def _node_is_stale(self, node: Node, arrival: tuple[p.Ping, Path]) -> bool:
        return arrival[0].clock <= node.newest

    def _node_is_began_again(self, node: Node, arrival: tuple[p.Ping, Path]) -> bool:
        return arrival[0].connection_id > self._connection_ids.get(node.key, 0)

    def _node_is_unsolicited(self, node: Node, reply: p.PingReply) -> bool:
        return (reply.pinged_clock, reply.type) not in node.pings

    def _node_is_agnostic(self, _: Node, reply: p.PingReply) -> bool:
        return reply.type == p.PingType.AGNOSTIC

    def _node_is_local(self, _: Node, reply: p.PingReply) -> bool:
        return reply.type == p.PingType.LOCAL

    def _node_is_heard_lately(self, node: Node, _: object) -> bool:
        return self._clock - node.heard < self._times.silence

    # -- the table's delay and actions

    def _node_ping_delay(self, node: Node) -> float:
        return self._times.ping if node.state is NodeState.ACTIVE else self._times.punch

    def _node_update(self, node: Node, record: p.NodeRecord) -> None:
        known = node.permissions, node.replicated, node.secret
        node.permissions, node.replicated = record.permissions, record.replicated
        node.secret = b"" if record.secret == NULL_UUID else record.secret
        if known != (node.permissions, node.replicated, node.secret):
            self._unchanged.clear()
        before, sockets = node.sockets, self._sockets_of(record)
        if p.PingType.SYMMETRIC in before:
            sockets[p.PingType.SYMMETRIC.value] = before[p.PingType.SYMMETRIC]
        if (node.type, node.local_id, before) == (record.type, record.local_id, sockets):
            return
        self._unchanged.clear()
        self._release(node)
        node.type, node.local_id = int(record.type), record.local_id
        if sockets != before:
            node.pings.clear()  # what answers them did not come by these sockets
            if sockets.get(node.active) != before.get(node.active):
                node.active = 0
            node.sockets = sockets
            for path in [path for path in before.values() if path not in sockets.values()]:
                self._let_go(path)
        self._claim(node)

    def _node_send_ping(self, node: Node, _: object) -> None:
        self._ping(node, p.PingType.AGNOSTIC.value, node.sockets[node.active])

    def _node_send_punches(self, node: Node, _: object) -> None:
        for kind, path in node.sockets.items():
            self._ping(node, kind, path)

    def _ping(self, node: Node, kind: int, path: Path) -> None:
        if self._silent > _SQUELCH:
            return
        clock = self.wall_us()
        node.pings.append((clock, kind))
        if len(node.pings) > _PINGS:
            node.pings.popleft()
        ping = p.Ping(kind, clock, self._connection_ids.get(node.key, 0))
        self.send_packet(path, ping, source=self.local_id, secret=node.secret)

    def _node_answer(self, node: Node, arrival: tuple[p.Ping, Path]) -> None:
        if self._silent > _SQUELCH:
            return
        ping, path = arrival
        reply = p.PingReply(ping.type, ping.clock, self.wall_us())
        self.send_packet(path, reply, source=self.local_id, secret=node.secret)

    def _node_note_ping(self, node: Node, arrival: tuple[p.Ping, Path]) -> None:
        ping, path = arrival
        node.newest = ping.clock
        if p.PingType.SYMMETRIC not in node.sockets and path not in self._index and path != self._domain:
            node.sockets[p.PingType.SYMMETRIC.value] = path
            self._index[path] = node

    def _node_activate(self, node: Node, reply: p.PingReply) -> None:
        if node.active != reply.type:
            node.active = int(reply.type)
            path = node.sockets[node.active]
            self._emit(NodeActivated(node.key, Address(path.host, path.port, path.scope)))

    def _node_measure(self, node: Node, reply: p.PingReply) -> None:
        node.pings.remove((reply.pinged_clock, reply.type))
        rtt = self.wall_us() - reply.pinged_clock
        node.measure(rtt, reply.clock - (reply.pinged_clock + rtt // 2))
        assert node.ping_ms is not None and node.skew_us is not None
        self._emit(NodeMeasured(node.key, ping_ms=node.ping_ms, skew_us=node.skew_us))

    def _node_forget(self, node: Node, _: object) -> None:
        if self._nodes.get(node.key) is node:
            del self._nodes[node.key]
        self._unchanged.clear()
        self._release(node)
        for path in node.sockets.values():
            self._let_go(path)

    def _node_raise_connection_id(self, node: Node, _: object) -> None:
        self._set_connection_id(node, min(self._connection_ids.get(node.key, 0) + 1, _MAX_CONNECTION_ID))

    def _node_take_connection_id(self, node: Node, arrival: tuple[p.Ping, Path]) -> None:
        self._set_connection_id(node, arrival[0].connection_id)

    def _set_connection_id(self, node: Node, number: int) -> None:
        ids = self._connection_ids
        ids.pop(node.key, None)  # the one that changed last is the last that is forgotten
        if len(ids) >= self._bounds.connection_ids:
            del ids[next(iter(ids))]
        ids[node.key] = number

    def _node_tell_added(self, node: Node, _: object) -> None:
        self._emit(NodeAdded(node.info))

    def _node_tell_removed(self, node: Node, _: object) -> None:
        self._emit(NodeRemoved(node.key, Removal.REMOVED))

    def _node_tell_silent(self, node: Node, _: object) -> None:
        self._emit(NodeRemoved(node.key, Removal.SILENT))

    def _node_tell_replaced(self, node: Node, _: object) -> None:
        self._emit(NodeRemoved(node.key, Removal.REPLACED))

    def _node_tell_restarted(self, node: Node, _: object) -> None:
        self._emit(NodeRemoved(node.key, Removal.RESTARTED))
