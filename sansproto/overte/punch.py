"""A client that a domain pings, for as long as the way to it is not known: docs/protocols/overte.rst, ICE."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, Protocol

from ..component import Component, Host
from ..contract import Path
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from ..wire import Packet
from .limits import ServerDelays
from .packets import ICEPing, ICEServerPeerInformation, PingType
from .paths import path_to


class PunchState(Enum):
    NEW = 0
    PINGING = 1
    GONE = 2


class PunchInput:
    TOLD = Input[PunchState, ICEServerPeerInformation]()
    """The ice-server said where the client is."""
    PING_DUE = Input[PunchState, None]()
    REACHED = Input[PunchState, None]()
    EXPIRED = Input[PunchState, None]()


class PunchTimer:
    PING = Timer(PunchInput.PING_DUE, ServerDelays.ping)
    END = Timer(PunchInput.EXPIRED, ServerDelays.end)


class PunchHost(Host[Any], Protocol):
    """What needs a domain server to ping somebody."""

    def send_packet(self, path: Path, packet: Packet) -> None: ...


class PunchOwner(Protocol):
    """Who keeps the clients that are pinged."""

    domain_id: bytes

    def forget_punch(self, client_id: bytes) -> None: ...


class Punch(Component[PunchState, PunchHost]):
    """A client that wants to reach us."""

    targets: tuple[tuple[PingType, Path], ...]
    """Its sockets that can be sent to."""
    client_id: Annotated[bytes, CACHED]
    owner: Annotated[PunchOwner, CACHED]
    delays: Annotated[ServerDelays, CACHED]

    def __init__(self, host: PunchHost, owner: PunchOwner, delays: ServerDelays, client_id: bytes) -> None:
        super().__init__(host)
        self.owner, self.delays, self.client_id = owner, delays, client_id
        self.targets = ()

    def is_at(self, path: Path) -> bool:
        return any(path == target for _, target in self.targets)

    def remember(self, client: ICEServerPeerInformation) -> None:
        sockets = (PingType.LOCAL, client.local_socket), (PingType.PUBLIC, client.public_socket)
        self.targets = tuple((kind, path) for kind, socket in sockets if (path := path_to(socket)) is not None)

    def send_pings(self) -> None:
        for kind, path in self.targets:
            self.host.send_packet(path, ICEPing(self.owner.domain_id, kind))

    def forget_it(self) -> None:
        self.owner.forget_punch(self.client_id)


_S, _I, _T, _P = PunchState, PunchInput, PunchTimer, Punch

PUNCH: Final = Table[Punch, PunchState](
    Punch,
    PunchInput,
    PunchTimer,
    name="overte.punch",
    page="overte",
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={_S.NEW: "the packet that makes it"},
    rows=(
        Row((_S.NEW, _S.PINGING), _I.TOLD, _S.PINGING, _P.remember, _P.send_pings, arm=(_T.PING, _T.END), ref="ICE"),
        Row(_S.PINGING, _I.PING_DUE, None, _P.send_pings, arm=(_T.PING,), ref="ICE"),
        Row(_S.PINGING, _I.REACHED | _I.EXPIRED, _S.GONE, _P.forget_it, ref="ICE"),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
