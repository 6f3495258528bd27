"""The nodes that a client knows of: who has which address, and what lists say of them.

docs/protocols/overte.rst, nodes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Final

import attrs

from ..component import Note, Part, Parts
from ..contract import Instant, Path
from ..snapshot import CACHED, MEMO
from . import packets as p
from .events import PacketReceived, Removal
from .lists import ListCache
from .node import LISTED, OF_TYPE, OTHERS, Claim, Listing, Node, NodeInput
from .parts import Arrival, ClientHost, keep_newest
from .qt import NULL_UUID
from .remote import Remote, path_of, remote_of
from .versions import REPLICATED

_PUBLIC: Final = p.PingType.PUBLIC.value
_UPSTREAM: Final = frozenset({p.NodeType.UPSTREAM_AUDIO_MIXER, p.NodeType.UPSTREAM_AVATAR_MIXER})

RECORD_OF_OURSELVES: Final = Note("a record of ourselves", ref="nodes")
RECORD_OF_REMOVED: Final = Note("a record of a removed node", ref="nodes")
TOO_MANY_NODES: Final = Note("too many nodes", ref="nodes")


@attrs.define(eq=False, weakref_slot=False)
class ElsewhereSender:
    """Who sends as a node from somewhere else: nothing is noted of it before its packet is known to be genuine."""

    node: Node
    heard: Instant = 0.0

    @property
    def secret(self) -> bytes:
        return self.node.secret


@attrs.define(eq=False, weakref_slot=False)
class DomainSender:
    """The domain, which shares no secret with us."""

    heard: Instant = 0.0
    secret: bytes = attrs.field(default=b"", init=False, repr=False)


class Neighbours(dict[Node, None]):
    """Nodes with one public socket."""

    __slots__ = ("heard",)
    heard: Instant
    """When the one was heard that was not heard for longest, or before. As long as that is not long ago, nobody has to
    look at all of them."""


class NodeTable(Part[ClientHost]):
    """The nodes by their ids, and by what only one of them can have."""

    nodes: Parts[bytes, Node]
    connection_ids: OrderedDict[bytes, int]
    """How often we dropped a node, or what it said of that."""
    removed: OrderedDict[bytes, int]
    """Nodes that the domain took back, and our wall clock then: a list that was asked for before may still name one."""
    index: Annotated[dict[Claim, Node], CACHED]
    places: Annotated[dict[Remote, dict[Node, None]], CACHED]
    """Who has which socket. Two may have the same one in different networks, or as they themselves say."""
    publics: Annotated[dict[Remote, Neighbours], CACHED]
    """Whose public socket it is, where several have one socket."""
    lists: Annotated[ListCache, MEMO]

    def __init__(self, host: ClientHost) -> None:
        super().__init__(host)
        self.nodes, self.connection_ids = Parts(partial(Node, host, self)), OrderedDict()
        self.removed = OrderedDict()
        self.rebuild()

    def rebuild(self) -> None:
        self.lists = ListCache()
        self.index = {claim: node for node in self.nodes.values() for claim in node.claims}
        self.places, self.publics = {}, {}
        for node in self.nodes.values():
            self._settle(node)

    # -- for the client

    def adopt(self, found: p.DomainList, clock: int) -> None:
        """A list that answers what we asked at this time by our clock; 0 if it does not say.

        Those that are known come first: where they were, there may be a new one now.
        """
        records, nodes, removed = self.lists.take_in(found), self.nodes, self.removed
        if removed:
            for record in records:
                if not clock or clock >= removed.get(record.id, 0):
                    removed.pop(record.id, None)
        if nodes:
            records = (*[one for one in records if one.id in nodes], *[one for one in records if one.id not in nodes])
        self.hear_of(*records)

    def hear_of(self, *records: p.NodeRecord) -> None:
        """The domain tells of nodes."""
        nodes, removed, domain = self.nodes, self.removed, self.host.domain
        host, ours, most = (
            "" if domain is None else domain.host,
            self.host.membership.session_id,
            self.host.limits.nodes,
        )
        for record in records:
            key = record.id
            if key in (ours, NULL_UUID):
                self._leave_out(RECORD_OF_OURSELVES)
            elif key in removed:
                self._leave_out(RECORD_OF_REMOVED)
            elif (node := nodes.get(key)) is not None:
                node.take(LISTED, Listing.of(record, host))
            elif len(nodes) >= most:
                self._leave_out(TOO_MANY_NODES)
            else:
                node = nodes.add(key, Node.begin, Listing.of(record, host))
                self.claim(node)
                node.post(NodeInput.LISTED())

    def _leave_out(self, note: Note) -> None:
        self.lists.clear()
        self.host.count_note(note, self)

    def hear(self, arrival: Arrival) -> None:
        """A packet of a node arrived."""
        node = arrival.peer
        if isinstance(node, ElsewhereSender):
            node = node.node
            if arrival.header.mac is not None:
                node.heard = self.host.clock
        OF_TYPE.get(arrival.header.type._value_, OTHERS).act(node, arrival)

    def source_of(self, local_id: int, path: Path) -> Node | ElsewhereSender | DomainSender | None:
        """Who may have sent a packet with this source from there."""
        node, us = self.index.get(local_id), self.host.membership
        if node is not None and path in node.sockets.values():
            return node
        if node is not None:
            return ElsewhereSender(node) if us.authenticated else None
        is_domain = path == self.host.domain and local_id and local_id == us.domain_local_id
        return DomainSender() if is_domain else None

    def forget_all(self) -> None:
        """As if no node had ever been known."""
        paths = tuple(map(path_of, self.places))
        self.nodes.remove_all()
        for table in (self.index, self.places, self.publics, self.connection_ids, self.removed, self.lists):
            table.clear()
        self.let_go(paths)

    def remove(self, node: Node) -> None:
        """The domain says that it is gone."""
        keep_newest(self.removed, node.key, self.host.wall_us(), self.host.limits.connection_ids)
        node.post(NodeInput.LOST(Removal.REMOVED))

    def active_at(self, path: Path) -> Node | None:
        """The node that is sent to there."""
        return next((node for node in self.places.get(remote_of(path), ()) if node.way == path), None)

    def read_replicated(self, arrival: Arrival) -> PacketReceived | None:
        """A packet without a source, as mixers of other domains pass them on from their public sockets."""
        kind, path = arrival.header.type, arrival.path
        for node in self.places.get(remote_of(path), ()) if kind in REPLICATED else ():
            if node.listing.type in _UPSTREAM and node.public == path:
                return PacketReceived(node.key, kind, payload=arrival.payload)
        return None

    # -- for the nodes

    def is_free(self, path: Path) -> bool:
        return remote_of(path) not in self.places and path != self.host.domain

    def has_all(self, node: Node) -> bool:
        """Has it what is its own, and nobody its place?"""
        public = node.public
        is_alone = public is None or len(self.publics.get(remote_of(public), ())) < 2 or node.is_heard_now()
        return is_alone and all(self.index.get(claim) is node for claim in node.claims)

    def claim(self, node: Node) -> None:
        """Let a node have what is its own; whoever had any of it before, and has not moved meanwhile, is gone.

        So is who has its public socket and is not heard: it began anew there. Whoever is heard stays: several behind a
        router that do not know how others see them say the same. A node that comes back takes nobody's place.
        """
        rivals, index = {}, self.index
        for claim in node.claims:
            other = index.setdefault(claim, node)
            if other is not node:
                rivals[other.key] = other
                index[claim] = node
        here = self._settle(node)
        if here is not None and node.key not in self.connection_ids and not node.is_now(here.heard):
            silent = {other.key: other for other in here if other is not node and not other.is_heard_now()}
            rivals.update(silent)
            here.heard = min(other.heard for other in here if other.key not in silent)
        for other in rivals.values():
            other.post(NodeInput.LOST(Removal.REPLACED))

    def _settle(self, node: Node) -> Neighbours | None:
        """Note where a node is; the nodes with its public socket, if there are others at it."""
        places, found = self.places, None
        for kind, path in node.sockets.items():
            remote = path.host, path.port, path.scope
            here = places.get(remote)
            if here is None:
                places[remote] = {node: None}
                continue
            here[node] = None
            if kind == _PUBLIC:
                found = self.publics.get(remote)
                if found is None:
                    found = self.publics[remote] = Neighbours({one: None for one in here if one.public == path})
                    found.heard = min(one.heard for one in found)
                else:
                    found[node] = None
                    found.heard = min(found.heard, node.heard)
        return found

    def release(self, node: Node) -> None:
        """It changes, or goes."""
        self.lists.clear()
        for claim in node.claims:
            if self.index.get(claim) is node:
                del self.index[claim]
        for path in node.sockets.values():
            remote = remote_of(path)
            here = self.places.get(remote, {})  # two of its sockets may be the same
            here.pop(node, None)
            if not here:
                self.places.pop(remote, None)
                self.publics.pop(remote, None)
            elif remote in self.publics:
                self.publics[remote].pop(node, None)

    def let_go(self, paths: Iterable[Path]) -> None:
        """These sockets are no longer a node's: what waits for them never arrives, unless they are another one's."""
        for path in paths:
            if path != self.host.domain and remote_of(path) not in self.places:
                self.host.forget_channel(path)

    def forget_node(self, node: Node, connection_id: int) -> None:
        self.release(node)
        self.let_go(node.sockets.values())
        self.nodes.remove(node.key)
        keep_newest(self.connection_ids, node.key, connection_id, self.host.limits.connection_ids)
