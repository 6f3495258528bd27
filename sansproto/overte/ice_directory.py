"""What an ice-server knows, and whom it believes: docs/protocols/overte.rst, ice-server."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Final

import attrs

from ..component import Component, Parts, Refusal
from ..endpoint import Received
from ..machine import Guards, Input, Row, Table
from ..snapshot import CACHED
from .crypto import BadKey, verify
from .ice_events import DomainKeyWanted, IceServerEvent
from .ice_peer import IcePeer, IcePeerInput, Seen
from .limits import IceDelays, IceLimits
from .packets import ICEServerHeartbeat, ICEServerHeartbeatACK, ICEServerHeartbeatDenied, ICEServerQuery
from .parts import Arrival, OverteHost, keep_newest, receives

LONGER: Final = Refusal("answer longer than the query", ref="ice-server")

Heartbeat = Received[ICEServerHeartbeat]
Query = Received[ICEServerQuery]


@attrs.frozen
class Introduction:
    """A query, and the peer that it asks for."""

    query: Query
    wanted: IcePeer


class DirectoryState(Enum):
    READY = 0


class DirectoryInput:
    BEAT = Input[DirectoryState, Heartbeat]()
    """A domain's heartbeat that is believed."""
    KEY_UNKNOWN = Input[DirectoryState, Heartbeat]()
    BADLY_SIGNED = Input[DirectoryState, Heartbeat]()
    ASKED = Input[DirectoryState, Query]()
    """A client wants to know where somebody is."""
    ASKED_IN_PASSING = Input[DirectoryState, Query]()
    """The same, but there is no room to remember who asks."""
    INTRODUCED = Input[DirectoryState, Introduction]()


class Directory(Component[DirectoryState, OverteHost[IceServerEvent]]):
    """Where domains and clients are."""

    peers: Parts[bytes, IcePeer]
    keys: OrderedDict[bytes, bytes | str | None]
    """None: there is none."""
    wanted: OrderedDict[bytes, None]
    """Domains whose key the application was asked for."""
    clients: Annotated[set[bytes], CACHED]
    """Those of the peers that are no domains."""
    believes: Annotated[bool, CACHED]
    limits: Annotated[IceLimits, CACHED]

    def __init__(
        self, host: OverteHost[IceServerEvent], keys: Mapping[bytes, bytes] | None, delays: IceDelays, limits: IceLimits
    ) -> None:
        super().__init__(host)
        self.peers = Parts(lambda key: IcePeer(host, self, delays, key))
        self.keys, self.wanted = OrderedDict(keys or {}), OrderedDict()
        self.believes, self.limits = keys is None, limits
        self.rebuild()

    def rebuild(self) -> None:
        self.clients = {key for key, peer in self.peers.items() if not peer.seen.is_domain}

    # -- what happens

    def provide_key(self, domain_id: bytes, key: bytes | str | None) -> None:
        self.wanted.pop(domain_id, None)
        keep_newest(self.keys, domain_id, key, self.limits.peers)

    def forget_peer(self, key: bytes) -> None:
        self.peers.remove(key)
        self.clients.discard(key)

    # -- guards

    def is_its_id(self, beat: Heartbeat) -> bool:
        known = self.peers.get(beat.packet.id)
        return known is None or not known.seen.is_domain or known.seen.path == beat.path

    def has_room(self, beat: Heartbeat) -> bool:
        return beat.packet.id in self.peers or len(self.peers) < self.limits.peers

    def is_of_unknown_key(self, beat: Heartbeat) -> bool:
        return not self.believes and beat.packet.id not in self.keys

    def is_badly_signed(self, beat: Heartbeat) -> bool:
        if self.believes:
            return False
        key = self.keys[beat.packet.id]
        try:
            return key is None or not verify(key, beat.packet.signature or b"", beat.packet.signed)
        except BadKey:
            return True

    def is_its_client_id(self, query: Query) -> bool:
        known = self.peers.get(query.packet.id)
        return known is None or (not known.seen.is_domain and known.seen.path == query.path)

    def is_one_client_too_many(self, query: Query) -> bool:
        limit = self.limits.peers
        is_full = len(self.clients) >= limit // 2 or len(self.peers) >= limit
        return is_full and query.packet.id not in self.peers

    def find_wanted(self, query: Query) -> Introduction | None:
        wanted = self.peers.get(query.packet.wanted)
        return None if wanted is None else Introduction(query, wanted)

    def is_elsewhere(self, introduction: Introduction) -> bool:
        """Else both packets would go to who asks: more than it sent."""
        return introduction.wanted.seen.path != introduction.query.path

    # -- actions

    def note_domain(self, beat: Heartbeat) -> None:
        self.clients.discard(beat.packet.id)
        self._note(beat.packet.id, Seen.by(beat))

    def note_client(self, query: Query) -> None:
        self.clients.add(query.packet.id)
        self._note(query.packet.id, Seen.by(query))

    def send_ack(self, beat: Heartbeat) -> None:
        self.host.answer(beat.path, ICEServerHeartbeatACK())

    def deny(self, beat: Heartbeat) -> None:
        self.host.answer(beat.path, ICEServerHeartbeatDenied())

    def tell_key_wanted(self, beat: Heartbeat) -> None:
        domain_id = beat.packet.id
        if domain_id not in self.wanted:
            keep_newest(self.wanted, domain_id, None, self.limits.peers)
            self.host.emit(DomainKeyWanted(domain_id))

    def introduce(self, query: Query) -> None:
        self.take(INTRODUCTION, query)

    def tell_both(self, introduction: Introduction) -> None:
        """Who asks and who is wanted about each other."""
        query, wanted = introduction.query, introduction.wanted
        answer = wanted.seen.information(wanted.key)
        if len(answer.encode()) > len(query.packet.encode()):
            self.host.count_refusal(LONGER, self)
        else:
            self.host.send_packet(query.path, answer)
        self.host.answer(wanted.seen.path, Seen.by(query).information(query.packet.id))

    # -- inside

    def _note(self, key: bytes, seen: Seen) -> None:
        peer = self.peers.get(key) or self.peers.add(key, IcePeer.note, seen)
        peer.post(IcePeerInput.SPOKE(seen))


_S, _I, _D = DirectoryState, DirectoryInput, Directory

HEARTBEAT: Final = (
    Guards.of(_D, _S, Arrival, "heartbeat")
    .make(receives(ICEServerHeartbeat), "malformed ICEServerHeartbeat", ref="ice-server")
    .need(_D.is_its_id, "the id of another peer", ref="ice-server")
    .need(_D.has_room, "no room for a peer", ref="ice-server")
    .give_if(_D.is_of_unknown_key, _I.KEY_UNKNOWN, ref="ice-server")
    .give_if(_D.is_badly_signed, _I.BADLY_SIGNED, ref="ice-server")
    .give(_I.BEAT)
)

QUERY: Final = (
    Guards.of(_D, _S, Arrival, "query")
    .make(receives(ICEServerQuery), "malformed ICEServerQuery", ref="ice-server")
    .need(_D.is_its_client_id, "the id of another peer", ref="ice-server")
    .give_if(_D.is_one_client_too_many, _I.ASKED_IN_PASSING, ref="ice-server")
    .give(_I.ASKED)
)

INTRODUCTION: Final = (
    Guards.of(_D, _S, Query, "introduction")
    .make(_D.find_wanted, "unknown peer", ref="ice-server")
    .need(_D.is_elsewhere, "peer at the same address", ref="ice-server")
    .give(_I.INTRODUCED)
)

DIRECTORY: Final = Table[Directory, DirectoryState](
    Directory,
    DirectoryInput,
    name="overte.ice_directory",
    initial=_S.READY,
    idle={_S.READY: "the ice-server's end: it answers whoever asks"},
    rows=(
        Row(_S.READY, _I.BEAT, None, _D.note_domain, _D.send_ack, ref="ice-server"),
        Row(_S.READY, _I.KEY_UNKNOWN, None, _D.tell_key_wanted, ref="ice-server"),
        Row(_S.READY, _I.BADLY_SIGNED, None, _D.deny, _D.tell_key_wanted, ref="ice-server"),
        Row(_S.READY, _I.ASKED, None, _D.note_client, _D.introduce, ref="ice-server"),
        Row(_S.READY, _I.ASKED_IN_PASSING, None, _D.introduce, ref="ice-server"),
        Row(_S.READY, _I.INTRODUCED, None, _D.tell_both, ref="ice-server"),
    ),
    defaults=(),
)
