"""How a domain is found behind a router: heartbeats to an ice-server, pings to the clients that it names.

docs/protocols/overte.rst, heartbeats and ICE.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import attrs

from ..contract import Address, Lookup, Path, Phase
from ..events import Closed
from ..old_machine import Machine
from ..snapshot import CACHED
from .crypto import load_private_key, sign
from .header import Header
from .ice_events import KeyRefused
from .limits import ServerDelays, ServerLimits
from .nodes import path_to
from .packets import ICEPing, ICEPingReply, ICEServerHeartbeat, ICEServerPeerInformation, PingType
from .qt import SockAddr
from .server_events import ServerEvent
from .tables.ice import HEARTBEAT, PUNCH, HeartbeatInput, HeartbeatState, PunchInput, PunchState
from .transport import SOCKET, Transport
from .versions import PacketType

_FROM_ICE_SERVER: Final = frozenset(
    {
        PacketType.ICE_SERVER_PEER_INFORMATION,
        PacketType.ICE_SERVER_HEARTBEAT_ACK,
        PacketType.ICE_SERVER_HEARTBEAT_DENIED,
    }
)


def _some(_: object, field: attrs.Attribute[Any], value: tuple[Any, ...]) -> None:
    if not value:
        raise ValueError(f"{field.name} must not be empty")


def _signs(_: object, field: attrs.Attribute[bytes], value: bytes) -> None:
    load_private_key(value)


@attrs.frozen(kw_only=True)
class IceRegistration:
    """With which ice-servers (host, a name or an address, and port) a domain registers; they are tried in turn.

    ``private_key`` is an RSA key in DER, ``public`` the address that our socket has for others; None leaves it to the
    ice-server to see. ``local_host`` is our address on the own network, where the socket is bound to any. Raises
    ValueError without servers, :class:`~sansproto.overte.crypto.BadKey` for another key.
    """

    servers: tuple[tuple[str, int], ...] = attrs.field(validator=_some)
    private_key: bytes = attrs.field(repr=False, validator=_signs)
    public: Address | None = None
    local_host: str | None = None


@attrs.define(eq=False, weakref_slot=False)
class Heartbeat:
    """What a domain knows of its ice-server."""

    key: int = 0
    state: HeartbeatState = HeartbeatState.OFF
    server: int = 0  # which of them
    query: int = 0  # the number of the last look-up
    path: Path | None = None  # to the ice-server, as long as it is this one
    payload: bytes = b""  # of our heartbeat: the same each time, so it is signed once
    unanswered: int = 0
    denials: int = 0


@attrs.define(eq=False, weakref_slot=False)
class Punch:
    """A client that wants to reach us, by its ICE client id."""

    key: bytes
    state: PunchState = PunchState.NEW
    local: Path | None = None
    public: Path | None = None


class Heartbeats(Transport[ServerEvent], abstract=True):
    """The part of a domain server that speaks ICE: it calls :meth:`_set_up_ice` and :meth:`_ice_arrived`."""

    _registration: Heartbeat
    _punches: dict[bytes, Punch]
    _domain_id: Annotated[bytes, CACHED]
    _ice: Annotated[IceRegistration | None, CACHED]
    _delays: Annotated[ServerDelays, CACHED]
    _limits: Annotated[ServerLimits, CACHED]

    _heartbeat = Machine(HEARTBEAT, objects="_registration")
    _punch = Machine(PUNCH, objects="_punches")

    # -- for the domain server

    def _set_up_ice(self, ice: IceRegistration | None) -> None:
        """Heartbeats begin when the socket is bound, if there is a registration. ``_domain_id`` is the role's."""
        self._ice = ice
        self._registration = Heartbeat()
        self._punches = {}

    def _ice_arrived(self, header: Header, payload: bytes, path: Path) -> bool:
        """True if the packet was one of ICE, and is dealt with."""
        if header.type in _FROM_ICE_SERVER and path != self._registration.path:
            self._drop("not from our ice-server")
            return True
        match header.type:
            case PacketType.ICE_PING:
                ping = self.decode_payload(ICEPing, payload)
                if ping is not None:
                    self.answer(path, ICEPingReply(self._domain_id, ping.type))
            case PacketType.ICE_PING_REPLY:
                self._ping_replied(self.decode_payload(ICEPingReply, payload), path)
            case PacketType.ICE_SERVER_PEER_INFORMATION:
                self._client_named(self.decode_payload(ICEServerPeerInformation, payload))
            case PacketType.ICE_SERVER_HEARTBEAT_ACK:
                self._post(self._heartbeat, self._registration, HeartbeatInput.ACKED)
            case PacketType.ICE_SERVER_HEARTBEAT_DENIED:
                self._post(self._heartbeat, self._registration, "denial")
            case _:
                return False
        return True

    # -- the contract

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        super().socket_bound(socket, address, now)
        if self._ice is not None and socket == SOCKET and self.phase is not Phase.CLOSED:
            own = self._registration
            own.payload = _signed(self._ice, self._domain_id, address)
            if own.state is HeartbeatState.OFF:
                self._post(self._heartbeat, own, HeartbeatInput.START)
                self._settle()

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        if query != self._registration.query:
            super().looked_up(query, addresses, now)
        elif self._alive(now):
            self._post(self._heartbeat, self._registration, "looked_up", addresses)
            self._settle()

    def _end(self, closed: Closed) -> None:
        super()._end(closed)
        self._punches.clear()

    # -- heartbeats: checks

    def _heartbeat_is_nothing_found(self, _: Heartbeat, addresses: tuple[Address, ...]) -> bool:
        return not addresses

    def _heartbeat_is_unanswered(self, own: Heartbeat, _: object) -> bool:
        return own.unanswered > self._limits.beats

    def _heartbeat_is_often(self, own: Heartbeat, _: object) -> bool:
        return own.denials >= self._limits.denials

    # actions

    def _heartbeat_pause_delay(self, _: Heartbeat) -> float:
        return self._delays.beat

    def _heartbeat_look_up(self, own: Heartbeat, _: object) -> None:
        own.query += 1
        self._outbox.append(Lookup(own.query, *self._server(own)))

    def _heartbeat_adopt(self, own: Heartbeat, addresses: tuple[Address, ...]) -> None:
        assert self.local is not None  # heartbeats begin when the socket is bound
        of_our_family = [found for found in addresses if (":" in found.host) == (":" in self.local.host)]
        found = (of_our_family or addresses)[0]
        own.path = Path(SOCKET, found.host, found.port, found.scope)

    def _heartbeat_send(self, own: Heartbeat, _: object) -> None:
        assert own.path is not None  # whoever beats has adopted one
        own.unanswered += 1
        self.send_raw(own.path, PacketType.ICE_SERVER_HEARTBEAT, own.payload)

    def _heartbeat_note_ack(self, own: Heartbeat, _: object) -> None:
        own.unanswered = own.denials = 0

    def _heartbeat_note_denial(self, own: Heartbeat, _: object) -> None:
        own.unanswered = 0  # it is there, after all
        own.denials += 1

    def _heartbeat_next_server(self, own: Heartbeat, _: object) -> None:
        assert self._ice is not None  # without there are no heartbeats
        own.server = (own.server + 1) % len(self._ice.servers)
        own.path = None
        own.unanswered = own.denials = 0

    def _heartbeat_tell_key_refused(self, own: Heartbeat, _: object) -> None:
        own.denials = 0
        self._emit(KeyRefused(*self._server(own)))

    def _server(self, own: Heartbeat) -> tuple[str, int]:
        assert self._ice is not None
        return self._ice.servers[own.server]

    # -- clients

    def _client_named(self, client: ICEServerPeerInformation | None) -> None:
        if client is None:
            return
        punch = self._punches.get(client.id)
        if punch is None and len(self._punches) >= self._limits.punches:
            self._drop("too many clients at once")
        else:
            self._post(self._punch, punch or Punch(client.id), PunchInput.TOLD, client)

    def _ping_replied(self, reply: ICEPingReply | None, path: Path) -> None:
        punch = self._punches.get(reply.ice_id) if reply is not None else None
        if punch is not None and path in (punch.local, punch.public):
            self._post(self._punch, punch, PunchInput.REACHED)
        elif reply is not None:
            self._drop("late")

    def _punch_remember(self, punch: Punch, client: ICEServerPeerInformation) -> None:
        punch.local, punch.public = path_to(client.local_socket), path_to(client.public_socket)
        self._punches[punch.key] = punch

    def _punch_send_pings(self, punch: Punch, _: object) -> None:
        for kind, path in ((PingType.LOCAL, punch.local), (PingType.PUBLIC, punch.public)):
            if path is not None:
                self.send_packet(path, ICEPing(self._domain_id, kind))

    def _punch_forget(self, punch: Punch, _: object) -> None:
        del self._punches[punch.key]


def _signed(ice: IceRegistration, domain_id: bytes, local: Address) -> bytes:
    """The payload of a heartbeat."""
    own = SockAddr(ice.local_host or local.host, local.port)
    public = SockAddr("", local.port) if ice.public is None else SockAddr(ice.public.host, ice.public.port)
    signature = sign(ice.private_key, ICEServerHeartbeat(domain_id, public, own, None).signed)
    return ICEServerHeartbeat(domain_id, public, own, signature).encode()
