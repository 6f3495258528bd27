"""How a client finds a domain whose address only an ice-server knows. docs/protocols/overte.rst, ICE."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final

import attrs

from ..contract import Path
from ..endpoint import Received
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .introduction import Sockets
from .limits import ClientDelays
from .parts import Arrival, ClientHost, ClientPart, reads, receives
from .remote import turned, ways_to
from .stun import StunClient


@attrs.frozen(kw_only=True)
class IceTarget:
    """A domain whose address only an ice-server knows."""

    host: str
    """The ice-server: a name or an address."""
    port: int = 7337
    """Its UDP port."""
    domain_id: bytes
    """A UUID of 16 bytes."""
    client_id: bytes
    """A UUID of 16 bytes, drawn by the caller, new for each client."""

    def query(self, sockets: Sockets) -> p.ICEServerQuery:
        return p.ICEServerQuery(self.client_id, *sockets, self.domain_id)


class IceClientState(Enum):
    NEW = 0
    QUERYING = 1
    """The ice-server is asked where the domain is."""
    PUNCHING = 2
    """It was told; ICE pings are on their way."""
    REACHED = 3


class IceClientInput:
    START = Input[IceClientState, None]()
    QUERY_DUE = Input[IceClientState, None]()
    QUERY = Input[IceClientState, Sockets]()
    """Our own sockets are known."""
    MOVED = Input[IceClientState, Sockets]()
    """They are known now, or changed."""
    PEER_TOLD = Input[IceClientState, p.ICEServerPeerInformation]()
    """The ice-server said where the domain is."""
    PING_DUE = Input[IceClientState, None]()
    ROUND_OVER = Input[IceClientState, None]()
    PINGED = Input[IceClientState, Received[p.ICEPing]]()
    REPLIED = Input[IceClientState, Received[p.ICEPingReply]]()


class IceClientTimer:
    QUERY = Timer(IceClientInput.QUERY_DUE, ClientDelays.check_in)
    PING = Timer(IceClientInput.PING_DUE, ClientDelays.ice_ping)
    ROUND = Timer(IceClientInput.ROUND_OVER, ClientDelays.ice_round)


class IceClient(ClientPart[IceClientState]):
    """Asks an ice-server where the domain is, and opens the way to it."""

    servers: tuple[Path, ...]
    """The ice-server's addresses, which are asked in turn until one knows the domain."""
    server: Path
    """The one that is asked."""
    domain_sockets: dict[int, Path]
    """Where the domain may be, by the PingType that goes there."""
    told: Sockets | None
    """Our sockets, as they were told last."""
    target: Annotated[IceTarget, CACHED]
    own: Annotated[StunClient, CACHED]

    def __init__(self, host: ClientHost, target: IceTarget, own: StunClient) -> None:
        super().__init__(host)
        self.target, self.own = target, own
        self.told, self.domain_sockets = None, {}

    def begin(self, servers: tuple[Path, ...]) -> None:
        self.servers, self.server = servers, servers[0]
        self.post(IceClientInput.START())

    def sockets_changed(self, sockets: Sockets) -> None:
        if sockets != self.told:
            self.post(IceClientInput.MOVED(sockets))

    # -- guards and conditions

    def is_of_server(self, arrival: Arrival) -> bool:
        return arrival.path in self.servers

    def is_wanted(self, peer: p.ICEServerPeerInformation) -> bool:
        return peer.id == self.target.domain_id

    def is_ping_of_domain(self, pinged: Received[p.ICEPing]) -> bool:
        return pinged.packet.ice_id == self.target.domain_id

    def is_reply_of_domain(self, replied: Received[p.ICEPingReply]) -> bool:
        return replied.packet.ice_id == self.target.domain_id and replied.path in self.domain_sockets.values()

    # -- the table's actions

    def turn(self) -> None:
        self.server = turned(self.servers, self.server)

    def query_at_once(self) -> None:
        sockets = self.own.sockets
        if sockets is not None:
            self.post(IceClientInput.QUERY(sockets))

    def send_query(self, sockets: Sockets) -> None:
        self.told = sockets
        self.host.send_packet(self.server, self.target.query(sockets))

    def note_peer(self, peer: p.ICEServerPeerInformation) -> None:
        self.domain_sockets = ways_to(peer.local_socket, peer.public_socket)

    def send_pings(self) -> None:
        for kind, path in self.domain_sockets.items():
            self.host.send_packet(path, p.ICEPing(self.target.client_id, kind))

    def answer(self, pinged: Received[p.ICEPing]) -> None:
        self.host.answer(pinged.path, p.ICEPingReply(self.target.client_id, pinged.packet.type))

    def tell_reached(self, replied: Received[p.ICEPingReply]) -> None:
        self.host.reached(replied.path)


_S, _I, _T, _C = IceClientState, IceClientInput, IceClientTimer, IceClient

PEER: Final = (
    Guards.of(_C, IceClientState, Arrival, "peer information")
    .need(_C.is_of_server, "not from the ice-server", ref="ICE")
    .make(reads(p.ICEServerPeerInformation), "malformed ICEServerPeerInformation", ref="ICE")
    .need(_C.is_wanted, "another peer than was asked for", ref="ICE")
    .give(_I.PEER_TOLD)
)
PING: Final = (
    Guards.of(_C, IceClientState, Arrival, "ping")
    .make(receives(p.ICEPing), "malformed ICEPing", ref="ICE")
    .need(_C.is_ping_of_domain, "unexpected packet", ref="ICE")
    .give(_I.PINGED)
)
REPLY: Final = (
    Guards.of(_C, IceClientState, Arrival, "reply")
    .make(receives(p.ICEPingReply), "malformed ICEPingReply", ref="ICE")
    .need(_C.is_reply_of_domain, "unexpected packet", ref="ICE")
    .give(_I.REPLIED)
)

ICE_CLIENT: Final = Table[IceClient, IceClientState](
    IceClient,
    IceClientInput,
    IceClientTimer,
    name="overte.ice_client",
    initial=_S.NEW,
    idle={
        _S.NEW: "the address of the ice-server, which makes it",
        _S.QUERYING: "the connection, which gives up",
        _S.REACHED: "the end of the session",
    },
    rows=(
        Row(_S.NEW, _I.START, _S.QUERYING, _C.query_at_once, arm=(_T.QUERY,), ref="ICE"),
        Row(_S.QUERYING, _I.QUERY_DUE, None, _C.turn, _C.query_at_once, arm=(_T.QUERY,), ref="ICE"),
        Row(_S.QUERYING, _I.QUERY | _I.MOVED, None, _C.send_query, ref="ICE"),
        Row((_S.PUNCHING, _S.REACHED), _I.MOVED, None, ref="own sockets"),
        Row(
            _S.QUERYING,
            _I.PEER_TOLD,
            _S.PUNCHING,
            _C.note_peer,
            _C.send_pings,
            arm=(_T.PING, _T.ROUND),
            cancel=(_T.QUERY,),
            ref="ICE",
        ),
        Row(_S.PUNCHING, _I.PING_DUE, None, _C.send_pings, arm=(_T.PING,), ref="ICE"),
        Row(_S.PUNCHING, _I.ROUND_OVER, _S.QUERYING, _C.query_at_once, arm=(_T.QUERY,), cancel=(_T.PING,), ref="ICE"),
        Row(_S.PUNCHING, _I.REPLIED, _S.REACHED, _C.tell_reached, cancel=(_T.PING, _T.ROUND), ref="ICE"),
        Row((_S.QUERYING, _S.PUNCHING, _S.REACHED), _I.PINGED, None, _C.answer, ref="ICE"),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
