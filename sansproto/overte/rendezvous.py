"""How a client finds a domain whose address only an ice-server knows. docs/protocols/overte.rst, ICE."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

import attrs

from ..contract import Address, Path
from ..old_machine import Machine
from ..snapshot import CACHED
from . import packets as p
from .header import Header
from .paths import path_to
from .qt import SockAddr
from .stun import StunClient
from .tables import CONNECTION
from .tables.client import ConnectionInput, ConnectionState
from .versions import PacketType

_REACHABLE: Final = (
    ConnectionState.QUERYING,
    ConnectionState.PUNCHING,
    ConnectionState.CONNECTING,
    ConnectionState.CONNECTED,
)


@attrs.frozen(kw_only=True)
class IceTarget:
    """A domain whose address only an ice-server knows. Both ids are UUIDs of 16 bytes; ``client_id`` is drawn by the
    caller, new for each client."""

    host: str
    port: int = 7337
    domain_id: bytes
    client_id: bytes


class IceClient(StunClient, abstract=True):
    """The part of a client that asks an ice-server, and opens the way to the domain."""

    state: ConnectionState
    key: ClassVar[int] = 0
    _ice_server: Path | None
    _ice_sockets: dict[int, Path]  # where the domain may be, by the PingType that goes there
    _told: tuple[SockAddr, SockAddr] | None  # our public and local socket, as they were told last
    _ice: Annotated[IceTarget | None, CACHED]

    _connection = Machine(CONNECTION)

    # -- what arrives

    def _ice_packet(self, header: Header, payload: bytes, path: Path) -> bool:
        """A packet without a source: True if it belongs here."""
        if header.type is PacketType.ICE_PING:
            self._ice_ping(payload, path)
        elif header.type is PacketType.ICE_PING_REPLY:
            self._ice_ping_reply(payload, path)
        elif header.type is PacketType.ICE_SERVER_PEER_INFORMATION:
            self._ice_peer_information(payload, path)
        else:
            return False
        return True

    def _ice_ping(self, payload: bytes, path: Path) -> None:
        ping = self.decode_payload(p.ICEPing, payload)
        if ping is None:
            return
        if self._ice is None or ping.ice_id != self._ice.domain_id or self.state not in _REACHABLE:
            self._drop("unexpected packet")
        else:
            self.answer(path, p.ICEPingReply(self._ice.client_id, ping.type))

    def _ice_ping_reply(self, payload: bytes, path: Path) -> None:
        reply = self.decode_payload(p.ICEPingReply, payload)
        if reply is None:
            return
        if self._ice is None or reply.ice_id != self._ice.domain_id or path not in self._ice_sockets.values():
            self._drop("unexpected packet")
        else:
            self._post(self._connection, self, ConnectionInput.ICE_REPLIED, path)

    def _ice_peer_information(self, payload: bytes, path: Path) -> None:
        if self._ice is None or path != self._ice_server:
            self._drop("not from the ice-server")
            return
        peer = self.decode_payload(p.ICEServerPeerInformation, payload)
        if peer is not None and peer.id != self._ice.domain_id:
            self._drop("another peer than was asked for")
        elif peer is not None:
            self._post(self._connection, self, ConnectionInput.PEER_TOLD, peer)

    @staticmethod
    def _ice_query(ice: IceTarget, sockets: tuple[SockAddr, SockAddr]) -> p.ICEServerQuery:
        return p.ICEServerQuery(ice.client_id, *sockets, ice.domain_id)

    # -- the connection table's checks and actions

    def _connection_is_by_ice(self, _: object, __: object) -> bool:
        return self._ice is not None

    def _connection_set_ice_server(self, _: object, addresses: tuple[Address, ...]) -> None:
        self._ice_server = self._pick(addresses)

    def _connection_send_query(self, _: object, __: object) -> None:
        assert self._ice is not None and self._ice_server is not None  # else the state is another one
        self._told = self._own_sockets()
        self.send_packet(self._ice_server, self._ice_query(self._ice, self._told))

    def _connection_note_peer(self, _: object, peer: p.ICEServerPeerInformation) -> None:
        found = {
            p.PingType.LOCAL.value: path_to(peer.local_socket),
            p.PingType.PUBLIC.value: path_to(peer.public_socket),
        }
        self._ice_sockets = {kind: path for kind, path in found.items() if path is not None}

    def _connection_send_ice_pings(self, _: object, __: object) -> None:
        assert self._ice is not None
        for kind, path in self._ice_sockets.items():
            self.send_packet(path, p.ICEPing(self._ice.client_id, kind))
