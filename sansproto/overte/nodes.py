"""The nodes that a client knows of: who has which address, and what lists say of them.

docs/protocols/overte.rst, nodes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Annotated, Any, Final

import attrs

from ..component import Note, Part, Parts
from ..contract import Instant, Path
from ..snapshot import CACHED, MEMO
from . import packets as p
from .events import Removal
from .node import LISTED, OF_TYPE, OTHERS, Claim, Listing, Node, NodeInput
from .parts import Arrival, ClientHost, keep_newest, read
from .qt import NULL_UUID

_CLOCKS: Final = slice(41, 65)
"""What two lists that say the same differ in."""

_NO_CLOCKS: Final = bytes(24)
_LISTS: Final = 64
"""The most of them that are remembered."""

RECORD_OF_OURSELVES: Final = Note("a record of ourselves", ref="nodes")
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


class ListCache:
    """Lists whose records would change nothing, as nearly all are, by their bytes without the clocks.

    What is kept, and given instead of an equal list, has clocks of 0 and no records.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, p.DomainList] = {}
        self._new: tuple[bytes, p.DomainList] | None = None

    def read(self, part: Part[Any], payload: bytes) -> p.DomainList:
        """A list. Raises WireError."""
        key = payload[: _CLOCKS.start] + payload[_CLOCKS.stop :]
        found = self._known.get(key)
        if found is None:
            found = read(part, p.DomainList, payload)
            self._new = key, found
        return found

    def take_in(self, found: p.DomainList) -> tuple[p.NodeRecord, ...]:
        """Know a list that was just read; its records. Whatever they change calls :meth:`clear`."""
        if self._new is not None and found is self._new[1]:
            key, self._new = self._new[0], None
            if len(self._known) >= _LISTS:
                self._known.clear()
            front = key[: _CLOCKS.start], key[_CLOCKS.start : _CLOCKS.start + 1]
            self._known[key] = p.DomainList.decode(_NO_CLOCKS.join(front))
        return found.nodes

    def clear(self) -> None:
        self._known.clear()


class NodeTable(Part[ClientHost]):
    """The nodes by their ids, and by what only one of them can have."""

    nodes: Parts[bytes, Node]
    connection_ids: OrderedDict[bytes, int]
    """How often we dropped a node, or what it said of that."""
    index: Annotated[dict[Claim, Node], CACHED]
    lists: Annotated[ListCache, MEMO]

    def __init__(self, host: ClientHost) -> None:
        super().__init__(host)
        self.nodes, self.connection_ids = Parts(lambda key: Node(host, self, key)), OrderedDict()
        self.rebuild()

    def rebuild(self) -> None:
        self.lists = ListCache()
        self.index = {claim: node for node in self.nodes.values() for claim in node.claims}

    # -- for the client

    def adopt(self, found: p.DomainList) -> None:
        for record in self.lists.take_in(found):
            self.hear_of(record)

    def hear_of(self, record: p.NodeRecord) -> None:
        """The domain tells of a node."""
        key, domain = record.id, self.host.domain
        listing = Listing.of(record, "" if domain is None else domain.host)
        node = self.nodes.get(key)
        if key in (self.host.membership.session_id, NULL_UUID):
            self._leave_out(RECORD_OF_OURSELVES)
        elif node is not None:
            node.take(LISTED, listing)
        elif len(self.nodes) >= self.host.limits.nodes:
            self._leave_out(TOO_MANY_NODES)
        else:
            node = self.nodes.add(key, Node.begin, listing)
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
        if node is not None and self.index.get(path) is node:
            return node
        if node is not None:
            return ElsewhereSender(node) if us.authenticated else None
        is_domain = path == self.host.domain and local_id and local_id == us.domain_local_id
        return DomainSender() if is_domain else None

    def forget_all(self) -> None:
        """As if no node had ever been known."""
        for node in self.nodes.values():
            self.let_go(node.sockets.values())
        self.nodes.remove_all()
        for table in (self.index, self.connection_ids, self.lists):
            table.clear()

    # -- for the nodes

    def is_free(self, path: Path) -> bool:
        return path not in self.index and path != self.host.domain

    def claim(self, node: Node) -> None:
        """Let a node have what is its own; whoever had any of it before is gone."""
        rivals = {}
        for claim in node.claims:
            other = self.index.get(claim)
            if other is not None and other is not node:
                rivals[other.key] = other
            self.index[claim] = node
        for other in rivals.values():
            other.post(NodeInput.LOST(Removal.REPLACED))

    def release(self, node: Node) -> None:
        """It changes, or goes."""
        self.lists.clear()
        for claim in node.claims:
            if self.index.get(claim) is node:
                del self.index[claim]

    def let_go(self, paths: Iterable[Path]) -> None:
        """These sockets are no longer a node's: what waits for them never arrives."""
        for path in paths:
            if path != self.host.domain:
                self.host.forget_channel(path)

    def forget_node(self, node: Node, connection_id: int) -> None:
        self.release(node)
        self.let_go(node.sockets.values())
        self.nodes.remove(node.key)
        keep_newest(self.connection_ids, node.key, connection_id, self.host.limits.connection_ids)
