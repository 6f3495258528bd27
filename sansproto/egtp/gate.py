"""What a node looks at before the recovery core does, and its end. docs/protocols/egtp.rst, the node."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, NamedTuple, Protocol, TypeAlias

from ..component import Component, Host
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..recovery import Knock, Route
from ..snapshot import CACHED
from . import packets as p
from .crypto import handshake_id
from .keyring import Keyring
from .limits import NodeDelays

_TOKEN: Final = 24


class Stored(NamedTuple):
    """A blob out of a mailbox."""

    data: bytes
    route: Route


Seen: TypeAlias = tuple[bytes, p.Datagram]
"""A datagram, and the packet that it is."""


class Arrived(NamedTuple):
    """A packet, by whichever route."""

    seen: Seen
    route: Route


class Knocked(NamedTuple):
    """An H1, and all its bytes."""

    packet: p.H1
    data: bytes
    route: Route


class GateState(Enum):
    OPEN = 0
    CLOSING = 1
    """Peers that did not hear the goodbye are told again."""
    CLOSED = 2


class GateInput:
    START = Input[GateState, None]()
    CONNECT = Input[GateState, None]()
    SEND = Input[GateState, None]()
    DISCONNECT = Input[GateState, None]()
    KNOCKED = Input[GateState, Knocked]()
    ARRIVED = Input[GateState, Arrived]()
    CLOSE = Input[GateState, None]()
    EXPIRED = Input[GateState, None]()


class GateTimer:
    FAREWELL = Timer(GateInput.EXPIRED, NodeDelays.farewell)


class GateHost(Host[Any], Protocol):
    """What the gate asks of its node."""

    delays: NodeDelays
    keyring: Keyring

    @property
    def has_peers(self) -> bool: ...
    def arrived(self, seen: Seen, route: Route) -> None: ...
    def knock(self, knock: Knock) -> None: ...
    def say_goodbye(self) -> None: ...
    def leave(self) -> None: ...


class Gate(Component[GateState, GateHost]):
    """Strangers stop here, and so does everybody once the node is closed."""

    delays: Annotated[NodeDelays, CACHED]

    def __init__(self, host: GateHost) -> None:
        super().__init__(host)
        self.delays = host.delays

    # -- guards

    def is_for_us(self, knocked: Knocked) -> bool:
        return self.host.keyring.is_for_us(knocked.data)

    def read(self, stored: Stored) -> Arrived | None:
        return Arrived((stored.data, p.DATAGRAM.decode(stored.data)), stored.route)

    # -- conditions and actions

    def has_nobody(self) -> bool:
        return not self.host.has_peers

    def knock(self, knocked: Knocked) -> None:
        token = b"" if knocked.packet.token == p.NO_TOKEN else knocked.packet.token[:_TOKEN]
        self.host.knock(Knock(handshake_id(knocked.data), token, knocked.route, knocked.packet))

    def hand_on(self, arrived: Arrived) -> None:
        self.host.arrived(arrived.seen, arrived.route)

    def say_goodbye(self) -> None:
        self.host.say_goodbye()

    def leave(self) -> None:
        self.host.leave()


_S, _I, _T, _C = GateState, GateInput, GateTimer, Gate
_NODE: Final = "the node"

KNOCK: Final = (
    Guards.of(Gate, GateState, Knocked, "h1")
    .need(_C.is_for_us, "an H1 for somebody else", ref="the handshake")
    .give(_I.KNOCKED)
)
STORED: Final = (
    Guards.of(Gate, GateState, Stored, "stored packet")
    .make(_C.read, "malformed packet in the mailbox", ref="over mailboxes")
    .give(_I.ARRIVED)
)

GATE: Final = Table[Gate, GateState](
    Gate,
    GateInput,
    GateTimer,
    name="egtp.gate",
    initial=_S.OPEN,
    terminal=(_S.CLOSED,),
    idle={_S.OPEN: "the application, which closes the node"},
    rows=(
        Row(_S.OPEN, _I.START | _I.CONNECT | _I.SEND | _I.DISCONNECT, ref=_NODE),
        Row(_S.OPEN, _I.KNOCKED, None, _C.knock, ref="the handshake"),
        Row((_S.OPEN, _S.CLOSING), _I.ARRIVED, None, _C.hand_on, ref="over mailboxes"),
        Row(_S.OPEN, _I.CLOSE, _S.CLOSED, _C.leave, when=_C.has_nobody, ref="closing a node"),
        Row(_S.OPEN, _I.CLOSE, _S.CLOSING, _C.say_goodbye, arm=(_T.FAREWELL,), ref="closing a node"),
        Row(_S.CLOSING, _I.CLOSE, ref="closing a node"),
        Row(_S.CLOSING, _I.EXPIRED, _S.CLOSED, _C.leave, ref="closing a node"),
    ),
    defaults=(
        Default(Outcome.NOT_OPEN, "", _I.START, _I.CONNECT, _I.SEND, _I.DISCONNECT),
        Default(Outcome.IGNORE, "closing"),
    ),
)
