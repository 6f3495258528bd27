"""The ice-server: tells clients and domains behind routers about each other. docs/protocols/overte.rst, ice-server."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

import attrs

from ..contract import Address, Entropy, Path, Phase
from ..errors import NotOpen
from ..events import CloseCause, Closed
from ..old_machine import Machine
from ..snapshot import CACHED
from ..trace import Trace
from .crypto import BadKey, verify
from .header import Header
from .ice_events import DomainKeyWanted, IcePeerAdded, IcePeerRemoved, IceServerEvent
from .limits import IceDelays, IceLimits
from .nodes import path_to
from .packets import (
    ICEServerHeartbeat,
    ICEServerHeartbeatACK,
    ICEServerHeartbeatDenied,
    ICEServerPeerInformation,
    ICEServerQuery,
)
from .qt import NULL_SOCK_ADDR, SockAddr
from .tables.ice import ICE_PEER, IcePeerState
from .transport import Transport
from .versions import DEFAULT, PacketType, VersionTable

ICE_PORT: Final = 7337
"""The UDP port of ice-servers by custom."""

_Introduction: TypeAlias = ICEServerHeartbeat | ICEServerQuery


@attrs.define(eq=False, weakref_slot=False)
class IcePeer:
    """A domain that beats, or a client that asked. ``path`` is where its last packet came from."""

    key: bytes
    path: Path
    state: IcePeerState = IcePeerState.NEW
    public: SockAddr = NULL_SOCK_ADDR
    local: SockAddr = NULL_SOCK_ADDR
    is_domain: bool = False


@attrs.frozen
class Spoken:
    """What a peer said, and from where."""

    packet: Any  # an _Introduction; which one, the ladder knows
    path: Path


class IceServer(Transport[IceServerEvent]):
    """Knows where domains are, and tells clients who ask, and the domains about them.

    An id belongs to the address that spoke first, until that is silent for 5 s; a domain takes its id from a client
    that has it. Of the ``limits.peers`` at most half are clients, whose queries nobody signs: however many ask, domains
    have their place, and a client who finds none is answered all the same. No answer is longer than the query; what the
    wanted peer is told goes to where it spoke from itself.

    ``keys`` are the public keys (SubjectPublicKeyInfo in DER) of domains by id. With None every well-formed heartbeat
    is believed; else those of unknown domains remain unanswered until :meth:`provide_key`: ``DomainKeyWanted`` asks.
    """

    _peers: dict[bytes, IcePeer]
    _clients: dict[bytes, None]  # those of the peers that are no domains
    _keys: OrderedDict[bytes, bytes | str]  # empty: there is none
    _wanted: OrderedDict[bytes, None]  # domains whose key the application was asked for
    _believes: Annotated[bool, CACHED]
    _limits: Annotated[IceLimits, CACHED]

    _peer = Machine(ICE_PEER, objects="_peers")

    def __init__(
        self,
        *,
        entropy: Entropy,
        wall_epoch: float,
        keys: Mapping[bytes, bytes] | None = None,
        versions: VersionTable = DEFAULT,
        delays: IceDelays | None = None,
        limits: IceLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(
            entropy=entropy,
            wall_epoch=wall_epoch,
            versions=versions,
            delays=delays or IceDelays(),
            limits=limits or IceLimits(),
            trace=trace,
        )
        self.phase = Phase.OPEN
        self._peers = {}
        self._clients = {}
        self._keys = OrderedDict(keys or {})
        self._wanted = OrderedDict()
        self._believes = keys is None

    # -- verbs

    def provide_key(self, domain_id: bytes, key: bytes | str | None, now: float) -> None:
        """Answer ``DomainKeyWanted``: the domain's public key, as DER or as the base64 text of directory services.

        None: there is none, and the domain's heartbeats are denied. A key is kept until ``limits.peers`` newer ones
        came; one of another form gets the domain denials. Raises NotOpen after the end.
        """
        if self.phase is Phase.CLOSED:
            raise NotOpen("provide_key", self.phase.name)
        self._advance(now)
        self._wanted.pop(domain_id, None)
        self._keys.pop(domain_id, None)
        self._keys[domain_id] = key or b""
        if len(self._keys) > self._limits.peers:
            self._keys.popitem(last=False)

    def close(self, now: float) -> None:
        if self._alive(now):
            self._end(Closed(CloseCause.LOCAL))

    # -- what arrives

    def arrived(self, header: Header, payload: bytes, path: Path, peer: Any) -> None:
        packet: _Introduction | None
        match header.type:
            case PacketType.ICE_SERVER_HEARTBEAT:
                packet, ladder = self.decode_payload(ICEServerHeartbeat, payload), "heartbeat"
            case PacketType.ICE_SERVER_QUERY:
                packet, ladder = self.decode_payload(ICEServerQuery, payload), "query"
            case _:
                self._drop("unexpected packet")
                return
        if packet is not None:
            known = self._peers.get(packet.id) or IcePeer(packet.id, path)
            self._post(self._peer, known, ladder, Spoken(packet, path))

    def _end(self, closed: Closed) -> None:
        super()._end(closed)
        for table in (self._peers, self._clients, self._keys, self._wanted):
            table.clear()

    # checks

    def _peer_is_another_domain(self, peer: IcePeer, spoken: Spoken) -> bool:
        return peer.is_domain and peer.path != spoken.path

    def _peer_is_too_many(self, peer: IcePeer, _: Spoken) -> bool:
        return peer.state is IcePeerState.NEW and len(self._peers) >= self._limits.peers

    def _peer_is_of_unknown_key(self, peer: IcePeer, _: Spoken) -> bool:
        return not self._believes and peer.key not in self._keys

    def _peer_is_badly_signed(self, peer: IcePeer, spoken: Spoken) -> bool:
        if self._believes:
            return False
        beat = spoken.packet
        try:
            return not verify(self._keys[peer.key], beat.signature or b"", beat.signed)
        except BadKey:
            return True

    def _peer_is_known_as_client(self, peer: IcePeer, _: Spoken) -> bool:
        return peer.key in self._clients

    def _peer_is_another(self, peer: IcePeer, spoken: Spoken) -> bool:
        return peer.is_domain or peer.path != spoken.path

    def _peer_is_one_client_too_many(self, peer: IcePeer, spoken: Spoken) -> bool:
        is_new = peer.state is IcePeerState.NEW
        return is_new and (len(self._clients) >= self._limits.peers // 2 or self._peer_is_too_many(peer, spoken))

    # actions

    def _peer_remember(self, peer: IcePeer, spoken: Spoken) -> None:
        peer.path = spoken.path
        peer.local = spoken.packet.local_socket
        peer.public = _public(spoken)
        peer.is_domain = isinstance(spoken.packet, ICEServerHeartbeat)
        self._peers[peer.key] = peer
        if peer.is_domain:
            self._clients.pop(peer.key, None)
        else:
            self._clients[peer.key] = None

    def _peer_forget(self, peer: IcePeer, _: object) -> None:
        del self._peers[peer.key]
        self._clients.pop(peer.key, None)

    def _peer_introduce(self, peer: IcePeer, spoken: Spoken) -> None:
        query = spoken.packet
        wanted = self._peers.get(query.wanted)
        if wanted is None:
            self._drop("unknown peer")
            return
        if wanted.path == spoken.path:  # both packets would go to who asks: more than it sent
            self._drop("peer at the same address")
            return
        answer = ICEServerPeerInformation(wanted.key, wanted.public, wanted.local).encode()
        if len(answer) > len(query.encode()):
            self._drop("answer longer than the query")
        else:
            self.send_raw(spoken.path, PacketType.ICE_SERVER_PEER_INFORMATION, answer)
        self.answer(wanted.path, ICEServerPeerInformation(peer.key, _public(spoken), query.local_socket))

    def _peer_send_ack(self, _: IcePeer, spoken: Spoken) -> None:
        self.answer(spoken.path, ICEServerHeartbeatACK())

    def _peer_deny(self, _: IcePeer, spoken: Spoken) -> None:
        self.answer(spoken.path, ICEServerHeartbeatDenied())

    def _peer_tell_added(self, peer: IcePeer, _: object) -> None:
        address = Address(peer.path.host, peer.path.port, peer.path.scope)
        self._emit(IcePeerAdded(peer.key, address, is_domain=peer.is_domain))

    def _peer_tell_removed(self, peer: IcePeer, _: object) -> None:
        self._emit(IcePeerRemoved(peer.key))

    def _peer_tell_key_wanted(self, peer: IcePeer, _: object) -> None:
        if peer.key in self._wanted:
            return
        self._wanted[peer.key] = None
        if len(self._wanted) > self._limits.peers:
            self._wanted.popitem(last=False)
        self._emit(DomainKeyWanted(peer.key))


def _public(spoken: Spoken) -> SockAddr:
    """What a peer says its public socket is; if it does not know, what it looks like from here is the best guess."""
    said: SockAddr = spoken.packet.public_socket
    return said if path_to(said) else SockAddr(spoken.path.host, spoken.path.port)
