"""Heartbeats to the one ice-server that is registered with: docs/protocols/overte.rst, heartbeats."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, Protocol

from ..component import Component, Host
from ..contract import Path
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .limits import ServerDelays, ServerLimits
from .versions import PacketType


class HeartbeatState(Enum):
    NEW = 0
    BEATING = 1
    GONE = 2


class HeartbeatInput:
    START = Input[HeartbeatState, None]()
    DUE = Input[HeartbeatState, None]()


class HeartbeatTimer:
    BEAT = Timer(HeartbeatInput.DUE, ServerDelays.beat)


class HeartbeatHost(Host[Any], Protocol):
    """What heartbeats need of the domain server."""

    def send_raw(self, path: Path, type: PacketType, payload: bytes) -> None: ...


class Registrar(Protocol):
    """Who is told when an ice-server answers no more."""

    @property
    def payload(self) -> bytes:
        """Of a heartbeat."""
        ...

    def lose_server(self) -> None: ...


class Heartbeat(Component[HeartbeatState, HeartbeatHost]):
    """The heartbeats to one address, for as long as it answers."""

    path: Path
    """The ice-server's."""
    unanswered: int
    denials: int
    """One after the other."""
    owner: Annotated[Registrar, CACHED]
    delays: Annotated[ServerDelays, CACHED]
    limits: Annotated[ServerLimits, CACHED]

    def __init__(self, host: HeartbeatHost, owner: Registrar, delays: ServerDelays, limits: ServerLimits) -> None:
        super().__init__(host)
        self.owner, self.delays, self.limits = owner, delays, limits
        self.unanswered = self.denials = 0

    def begin(self, path: Path) -> None:
        self.path = path

    def note_ack(self) -> None:
        self.unanswered = self.denials = 0

    def note_denial(self) -> None:
        self.unanswered = 0  # it is there, after all
        self.denials += 1

    def is_unanswered(self) -> bool:
        return self.unanswered > self.limits.beats

    def send(self) -> None:
        self.unanswered += 1
        self.host.send_raw(self.path, PacketType.ICE_SERVER_HEARTBEAT, self.owner.payload)

    def give_up(self) -> None:
        self.owner.lose_server()


_S, _I, _T = HeartbeatState, HeartbeatInput, HeartbeatTimer

HEARTBEAT: Final = Table[Heartbeat, HeartbeatState](
    Heartbeat,
    HeartbeatInput,
    HeartbeatTimer,
    name="overte.heartbeat",
    page="overte",
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={
        _S.NEW: "the registration that makes it",
        _S.BEATING: "the domain's end, or the ice-server's silence: it is a keep-alive",
    },
    rows=(
        Row(_S.NEW, _I.START, _S.BEATING, Heartbeat.send, arm=(_T.BEAT,), ref="heartbeats"),
        Row(_S.BEATING, _I.DUE, _S.GONE, Heartbeat.give_up, when=Heartbeat.is_unanswered, ref="heartbeats"),
        Row(_S.BEATING, _I.DUE, None, Heartbeat.send, arm=(_T.BEAT,), ref="heartbeats"),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
