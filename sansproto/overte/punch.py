"""A client that a domain pings, for as long as the way to it is not known: docs/protocols/overte.rst, ICE."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final

from ..component import Component, Parts
from ..contract import Path
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .limits import ServerDelays
from .packets import ICEPing, ICEServerPeerInformation
from .parts import ServerHost
from .remote import ways_to


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


class Punch(Component[PunchState, ServerHost]):
    """A client that wants to reach us."""

    targets: dict[int, Path]
    """Its sockets that can be sent to, by the PingType that goes there."""
    client_id: Annotated[bytes, CACHED]
    siblings: Annotated[Parts[bytes, Any], CACHED]
    delays: Annotated[ServerDelays, CACHED]

    def __init__(self, host: ServerHost, siblings: Parts[bytes, Any], client_id: bytes) -> None:
        super().__init__(host)
        self.siblings, self.delays, self.client_id = siblings, host.delays, client_id
        self.targets = {}

    def remember(self, client: ICEServerPeerInformation) -> None:
        self.targets = ways_to(client.local_socket, client.public_socket)

    def send_pings(self) -> None:
        for kind, path in self.targets.items():
            self.host.send_packet(path, ICEPing(self.host.domain_id, kind))

    def forget_it(self) -> None:
        for path in self.targets.values():
            self.host.forget_address(path)
        self.siblings.remove(self.client_id)


_S, _I, _T, _P = PunchState, PunchInput, PunchTimer, Punch

PUNCH: Final = Table[Punch, PunchState](
    Punch,
    PunchInput,
    PunchTimer,
    name="overte.punch",
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
