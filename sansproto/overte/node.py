"""One node as a client sees it: who it is, and which of its sockets works.

docs/protocols/overte.rst, nodes, node pings, hole punching.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Final, Protocol, TypeAlias

import attrs

from ..blank import blank_of
from ..contract import Instant, Path
from ..endpoint import Received
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import crypto
from . import packets as p
from .events import NodeActivated, NodeAdded, NodeInfo, NodeMeasured, NodeRemoved, PacketReceived, Removal
from .header import NO_MAC
from .limits import ClientDelays
from .parts import Arrival, ClientHost, ClientPart, read, receives
from .qt import NULL_UUID, SocketType
from .remote import address_of, ways_to
from .versions import PacketType

_PINGS: Final = 64
"""How many of our pings a node may still answer."""

_QUIET: Final = 3
"""Pings of ours without one from its symmetric socket: that may be another one by now."""

_MAX_CONNECTION_ID: Final = (1 << 63) - 1
_SAMPLES: Final = 30
_AGNOSTIC, _LOCAL, _PUBLIC, _SYMMETRIC = (one.value for one in p.PingType)
_KINDS: Final = tuple(bytes((one.value,)) for one in p.PingType)
_OFFICES: Final = {int(kind): chr(kind) for kind in p.STATIC}
_BlankInfo, _BlankAdded = blank_of(NodeInfo), blank_of(NodeAdded)
_PING_PACKET: Final = PacketType.PING

Claim: TypeAlias = int | str
"""What only one node can have: a local id, an office (the letter of its type)."""


@attrs.frozen(weakref_slot=False)
class Listing:
    """What the domain says of a node. ``sockets`` are those that can be sent to, by the PingType that goes there."""

    type: p.NodeType | int
    local_id: int
    sockets: dict[int, Path]
    webrtc: bool
    """It has sockets for WebRTC, and no others."""
    permissions: int
    replicated: bool
    secret: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, record: p.NodeRecord, domain: str) -> Listing:
        """As a record says it; a null public address means the domain's."""
        local, public, secret = record.local_socket, record.public_socket, record.secret
        listing = _BlankListing()
        listing.type, listing.local_id, listing.permissions = record.type, record.local_id, record.permissions
        listing.replicated, listing.secret = record.replicated, b"" if secret == NULL_UUID else secret
        listing.sockets = sockets = ways_to(local, public, domain)
        listing.webrtc = not sockets and SocketType.WEBRTC in (public.kind, local.kind)
        listing.__class__ = cls
        found: Listing = listing
        return found


_BlankListing: Final = blank_of(Listing)


class NodeState(Enum):
    UNKNOWN = 0
    PUNCHING = 1
    """No socket of it is known to work."""
    ACTIVE = 2
    GONE = 3
    FOREIGN = 4
    """It is reached over WebRTC only."""


_ACTIVE: Final = NodeState.ACTIVE  # looked up once: for every ping


class NodeInput:
    LISTED = Input[NodeState, None]()
    LISTED_AGAIN = Input[NodeState, Listing]()
    MOVED = Input[NodeState, Listing]()
    """Listed without the socket that worked."""
    PING_DUE = Input[NodeState, None]()
    PINGED = Input[NodeState, Received[p.Ping]]()
    PINGED_ELSEWHERE = Input[NodeState, Received[p.Ping]]()
    """From an address that is new: the way that is known may have ended."""
    PINGED_STALE = Input[NodeState, Received[p.Ping]]()
    """Not newer than a ping that was seen."""
    PINGED_ANEW = Input[NodeState, Received[p.Ping]]()
    """With a higher connection id: it began again."""
    REPLIED = Input[NodeState, Received[p.PingReply]]()
    """From the public or symmetric socket that was pinged."""
    REPLIED_LOCAL = Input[NodeState, Received[p.PingReply]]()
    REPLIED_ANY = Input[NodeState, Received[p.PingReply]]()
    """To an agnostic ping, or from another socket than was pinged."""
    PACKET = Input[NodeState, Arrival]()
    """Another packet from it, for the application."""
    SILENCE = Input[NodeState, None]()
    LOST = Input[NodeState, Removal]()
    """The domain says so, or there is a node that cannot be there beside it."""


class NodeOwner(Protocol):
    """What it needs of the table of nodes that it stands in."""

    connection_ids: OrderedDict[bytes, int]

    def is_free(self, path: Path) -> bool: ...
    def has_all(self, node: Node) -> bool: ...
    def claim(self, node: Node) -> None: ...
    def release(self, node: Node) -> None: ...
    def let_go(self, paths: Iterable[Path]) -> None: ...
    def forget_node(self, node: Node, connection_id: int) -> None: ...


class Node(ClientPart[NodeState]):
    """Another node. It is slotted, with lists: an empty deque needs ten times as much memory."""

    __slots__ = (
        *("active", "heard", "key", "listing", "newest", "owner", "ping_ms", "pings"),
        *("quiet", "samples", "skew_us", "symmetric"),
    )
    listing: Listing
    symmetric: Path | None
    """From where it was heard, if that is neither of its listed sockets."""
    quiet: int
    """How often we pinged it since it pinged from there, up to a few."""
    heard: Instant
    active: int
    """The PingType of the socket that works; 0: none is known to."""
    newest: int
    """The sender's clock in the newest ping from it."""
    pings: list[tuple[int, int]]
    """Clock and type of ours that were not answered."""
    samples: list[int]
    """Of its clock's skew."""
    ping_ms: int | None
    skew_us: int | None
    key: Annotated[bytes, CACHED]
    """Its session UUID."""
    owner: Annotated[NodeOwner, CACHED]

    def __init__(self, host: ClientHost, owner: NodeOwner, key: bytes) -> None:
        self.place, self.host, self.forgotten = None, host, False  # as ClientPart does
        self.state, self.armed, self.delays = self.table.initial, None, host.delays
        self.owner, self.key = owner, key
        self.active = self.newest = self.quiet = 0
        self.symmetric = self.ping_ms = self.skew_us = None
        self.pings, self.samples = [], []

    def begin(self, listing: Listing) -> None:
        self.listing, self.heard = listing, self.host.clock

    # -- what it is

    @property
    def secret(self) -> bytes:
        return self.listing.secret

    @property
    def sockets(self) -> dict[int, Path]:
        """All that can be sent to, by the PingType that goes there."""
        listed = self.listing.sockets
        return listed if self.symmetric is None else {**listed, _SYMMETRIC: self.symmetric}

    @property
    def way(self) -> Path | None:
        """The socket that works."""
        return self.sockets.get(self.active)

    @property
    def claims(self) -> tuple[Claim, ...]:
        said = self.listing
        office = _OFFICES.get(said.type)
        return (said.local_id,) if office is None else (said.local_id, office)

    @property
    def public(self) -> Path | None:
        """Its socket for others, if it has one."""
        return self.listing.sockets.get(_PUBLIC)

    @property
    def connection_id(self) -> int:
        """How often we dropped it, or what it said of that."""
        return self.owner.connection_ids.get(self.key, 0)

    @property
    def info(self) -> NodeInfo:
        info, said = _BlankInfo(), self.listing
        info.node_id, info.local_id, info.type = self.key, said.local_id, said.type
        info.permissions, info.replicated, info.webrtc = said.permissions, said.replicated, said.webrtc
        info.ping_ms, info.skew_us = self.ping_ms, self.skew_us
        sockets, symmetric = said.sockets, self.symmetric
        info.public = public = None if (path := sockets.get(_PUBLIC)) is None else address_of(path)
        info.local = local = None if (path := sockets.get(_LOCAL)) is None else address_of(path)
        info.symmetric = seen = None if symmetric is None else address_of(symmetric)
        info.active = (None, local, public, seen)[self.active]
        info.__class__ = NodeInfo
        found: NodeInfo = info
        return found

    # -- guards and conditions

    def read_reply(self, arrival: Arrival) -> Received[p.PingReply]:
        """A reply with its clocks in either order of bytes: the one in which the echoed clock is ours."""
        reply = read(self, p.PingReply, arrival.payload)
        if (reply.pinged_clock, reply.type) not in self.pings:
            turned = p.PingReply(reply.type, _turned(reply.pinged_clock), _turned(reply.clock))
            if (turned.pinged_clock, turned.type) in self.pings:
                reply = turned
        return Received(reply, arrival.path)

    def is_elsewhere(self, pinged: Received[p.Ping]) -> bool:
        """Does it ping from where it never was, as behind a router that gave it another port?"""
        return (
            pinged.path not in self.sockets.values()
            and (self.symmetric is None or self.quiet >= _QUIET)
            and self.owner.is_free(pinged.path)
        )

    def is_foreign(self) -> bool:
        return self.listing.webrtc

    def is_moved(self, listing: Listing) -> bool:
        return self.active in (_LOCAL, _PUBLIC) and listing.sockets.get(self.active) != self.way

    def is_began_again(self, pinged: Received[p.Ping]) -> bool:
        return pinged.packet.connection_id > self.connection_id

    def is_stale(self, pinged: Received[p.Ping]) -> bool:
        return pinged.packet.clock <= self.newest

    def is_solicited(self, replied: Received[p.PingReply]) -> bool:
        return (replied.packet.pinged_clock, replied.packet.type) in self.pings

    def is_of_no_socket(self, replied: Received[p.PingReply]) -> bool:
        """Does it not say which socket is good? What is sent to one that answers from another has its acknowledgements
        from there, too, and then they belong to nothing.
        """
        pinged, path = self.sockets.get(replied.packet.type), replied.path
        return pinged is None or (pinged.host, pinged.port) != (path.host, path.port)

    def is_local(self, replied: Received[p.PingReply]) -> bool:
        return replied.packet.type == _LOCAL

    def is_believed(self, arrival: Arrival) -> bool:
        """From somewhere else, only a MAC shows who sent it."""
        return arrival.header.mac is not None or arrival.path in self.sockets.values()

    def is_heard_lately(self) -> bool:
        return self.host.clock - self.heard < self.delays.silence

    def is_heard_now(self) -> bool:
        return self.is_now(self.heard)

    def is_now(self, heard: Instant) -> bool:
        """Is who was heard then no silent node yet?"""
        return self.host.clock - heard <= 2 * self.delays.ping

    def is_lost(self, why: Removal) -> bool:
        """One list may name both ends of a change: by now each may have what is its own again."""
        return why is not Removal.REPLACED or not self.owner.has_all(self)

    # -- the table's delay and actions

    def until_ping(self) -> float:
        return self.delays.ping if self.state is _ACTIVE else self.delays.punch

    def update(self, listing: Listing) -> None:
        before, way = self.listing, self.way
        if listing == before:
            return
        self.owner.release(self)
        self.listing = listing
        if listing.sockets != before.sockets:
            self.pings.clear()  # what answers them did not come by these sockets
        if self.way != way:
            self.active = 0
        here = self.sockets.values()
        self.owner.let_go(path for path in before.sockets.values() if path not in here)
        self.owner.claim(self)

    def send_ping(self) -> None:
        self._ping({_AGNOSTIC: self.sockets[self.active]})

    def send_punches(self) -> None:
        self._ping(self.sockets)

    def _ping(self, ways: dict[int, Path]) -> None:
        """Ping these sockets, each with its PingType."""
        host = self.host
        if self.symmetric is not None:
            self.quiet = min(self.quiet + 1, _QUIET)
        if host.is_squelched:
            return
        clock, us, secret, mac = host.wall_us(), host.membership.local_id, self.listing.secret, NO_MAC
        pings, send, is_signed = self.pings, host.send_raw, secret and host.authenticates()
        clocks = p.pack_clocks(clock, self.connection_id)
        for kind, path in ways.items():
            pings.append((clock, kind))
            payload = _KINDS[kind] + clocks
            if is_signed:
                mac = crypto.mac(secret, payload)
            send(path, _PING_PACKET, payload, source=us, mac=mac)
        if len(pings) > _PINGS:
            del pings[:-_PINGS]

    def answer(self, pinged: Received[p.Ping]) -> None:
        if not self.host.is_squelched:
            reply = p.PingReply(pinged.packet.type, pinged.packet.clock, self.host.wall_us())
            self.host.send_packet(pinged.path, reply, source=self.host.membership.local_id, secret=self.secret)

    def note_ping(self, pinged: Received[p.Ping]) -> None:
        self.newest = pinged.packet.clock
        if pinged.path == self.symmetric:
            self.quiet = 0

    def note_symmetric(self, pinged: Received[p.Ping]) -> None:
        """A sender that is neither its public nor its local socket is its symmetric one."""
        self.owner.release(self)
        before, self.symmetric, self.quiet = self.symmetric, pinged.path, 0
        if self.active == _SYMMETRIC:
            self.active = 0
        self.owner.claim(self)
        if before is not None:
            self.owner.let_go((before,))

    def activate(self, replied: Received[p.PingReply]) -> None:
        if self.active != replied.packet.type:
            self.active = int(replied.packet.type)
            self.host.emit(NodeActivated(self.key, address_of(self.sockets[self.active])))

    def measure(self, replied: Received[p.PingReply]) -> None:
        """Take in a measurement, in microseconds. The division and the rank are the reference's."""
        reply = replied.packet
        self.pings.remove((reply.pinged_clock, reply.type))
        rtt = self.host.wall_us() - reply.pinged_clock
        self.samples.append(reply.clock - (reply.pinged_clock + rtt // 2))
        del self.samples[:-_SAMPLES]
        self.ping_ms = rtt // 1000
        self.skew_us = sorted(self.samples)[(8 * (len(self.samples) - 1) + 5) // 10]
        self.host.emit(NodeMeasured(self.key, ping_ms=self.ping_ms, skew_us=self.skew_us))

    def forget_itself(self) -> None:
        self.owner.forget_node(self, min(self.connection_id + 1, _MAX_CONNECTION_ID))

    def forget_in_turn(self, pinged: Received[p.Ping]) -> None:
        """It dropped us, and said how often."""
        self.owner.forget_node(self, pinged.packet.connection_id)

    def tell_packet(self, arrival: Arrival) -> None:
        self.host.emit(PacketReceived(self.key, arrival.header.type, payload=arrival.payload))

    def tell_added(self) -> None:
        added = _BlankAdded()
        added.node = self.info
        added.__class__ = NodeAdded
        self.host.emit(added)

    def tell_lost(self, why: Removal) -> None:
        self.host.emit(NodeRemoved(self.key, why))

    def tell_silent(self) -> None:
        self.host.emit(NodeRemoved(self.key, Removal.SILENT))

    def tell_restarted(self) -> None:
        self.host.emit(NodeRemoved(self.key, Removal.RESTARTED))


def _turned(clock: int) -> int:
    """The number with its bytes in the other order."""
    return int.from_bytes(clock.to_bytes(8, "big"), "little")


_S, _I, _N = NodeState, NodeInput, Node
_HERE = (_S.PUNCHING, _S.ACTIVE)

LISTED: Final = (
    Guards.of(_N, NodeState, Listing, "listing").give_if(_N.is_moved, _I.MOVED, ref="nodes").give(_I.LISTED_AGAIN)
)
_PING: Final = (
    Guards.of(_N, NodeState, Arrival, "ping")
    .make(receives(p.Ping), "malformed Ping", ref="node pings")
    .give_if(_N.is_began_again, _I.PINGED_ANEW, ref="connection ids")
    .give_if(_N.is_stale, _I.PINGED_STALE, ref="node pings")
    .give_if(_N.is_elsewhere, _I.PINGED_ELSEWHERE, ref="hole punching")
    .give(_I.PINGED)
)
_REPLY: Final = (
    Guards.of(_N, NodeState, Arrival, "reply")
    .make(_N.read_reply, "malformed PingReply", ref="node pings")
    .need(_N.is_solicited, "a reply to no ping of ours", ref="node pings")
    .give_if(_N.is_of_no_socket, _I.REPLIED_ANY, ref="hole punching")
    .give_if(_N.is_local, _I.REPLIED_LOCAL, ref="hole punching")
    .give(_I.REPLIED)
)
OTHERS: Final = (
    Guards.of(_N, NodeState, Arrival, "other packet")
    .need(_N.is_believed, "unverified from elsewhere", ref="nodes")
    .give(_I.PACKET)
)
OF_TYPE: Final = {PacketType.PING.value: _PING, PacketType.PING_REPLY.value: _REPLY}
"""Which guards see a packet of a node, by the number of its type; those of OTHERS see all others."""


class NodeTimer:
    PING = Timer(NodeInput.PING_DUE, Node.until_ping)
    SILENCE = Timer(NodeInput.SILENCE, ClientDelays.silence)


_TI = NodeTimer

NODE: Final = Table[Node, NodeState](
    Node,
    NodeInput,
    NodeTimer,
    name="overte.node",
    initial=_S.UNKNOWN,
    terminal=(_S.GONE,),
    idle={_S.UNKNOWN: "the list that names it", _S.FOREIGN: "the domain, which removes it"},
    rows=(
        Row(_S.UNKNOWN, _I.LISTED, _S.FOREIGN, _N.tell_added, when=_N.is_foreign, ref="WebRTC"),
        Row(_S.FOREIGN, _I.LISTED_AGAIN, None, _N.update, ref="WebRTC"),
        Row(
            _S.UNKNOWN, _I.LISTED, _S.PUNCHING, _N.tell_added, _N.send_punches, arm=(_TI.PING, _TI.SILENCE), ref="nodes"
        ),
        Row(_HERE, _I.LISTED_AGAIN, None, _N.update, ref="nodes"),
        Row(_S.ACTIVE, _I.MOVED, _S.PUNCHING, _N.update, _N.send_punches, arm=(_TI.PING,), ref="nodes"),
        Row(_S.PUNCHING, _I.PING_DUE, None, _N.send_punches, arm=(_TI.PING,), ref="hole punching"),
        Row(_S.ACTIVE, _I.PING_DUE, None, _N.send_ping, arm=(_TI.PING,), ref="node pings"),
        Row(_HERE, _I.PINGED, None, _N.note_ping, _N.answer, ref="node pings"),
        Row(_S.PUNCHING, _I.PINGED_ELSEWHERE, None, _N.note_ping, _N.note_symmetric, _N.answer, ref="hole punching"),
        Row(
            _S.ACTIVE,
            _I.PINGED_ELSEWHERE,
            _S.PUNCHING,
            _N.note_ping,
            _N.note_symmetric,
            _N.answer,
            _N.send_punches,
            arm=(_TI.PING,),
            ref="hole punching",
        ),
        Row(_HERE, _I.PINGED_STALE, None, _N.answer, ref="node pings"),
        Row(_HERE, _I.PINGED_ANEW, _S.GONE, _N.answer, _N.forget_in_turn, _N.tell_restarted, ref="connection ids"),
        Row(
            _S.PUNCHING,
            _I.REPLIED | _I.REPLIED_LOCAL,
            _S.ACTIVE,
            _N.activate,
            _N.measure,
            arm=(_TI.PING,),
            ref="hole punching",
        ),
        Row(_S.ACTIVE, _I.REPLIED_LOCAL, None, _N.activate, _N.measure, ref="hole punching"),
        Row(_S.ACTIVE, _I.REPLIED, None, _N.measure, ref="hole punching"),
        Row(_HERE, _I.REPLIED_ANY, None, _N.measure, ref="clock skew"),
        Row(_HERE, _I.PACKET, None, _N.tell_packet, ref="nodes"),
        Row(_HERE, _I.SILENCE, None, when=_N.is_heard_lately, arm=(_TI.SILENCE,), ref="silent nodes"),
        Row(_HERE, _I.SILENCE, _S.GONE, _N.forget_itself, _N.tell_silent, ref="silent nodes"),
        Row((*_HERE, _S.FOREIGN), _I.LOST, _S.GONE, _N.forget_itself, _N.tell_lost, when=_N.is_lost, ref="nodes"),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
