"""What a node looks at before the recovery core does, and its end. docs/protocols/egtp.rst, the node."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Annotated, Any, Final, NamedTuple, Protocol

from ..component import Component, Host
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..recovery import Knock, Route
from ..snapshot import CACHED
from . import packets as p
from .crypto import handshake_id
from .keyring import Keyring
from .limits import NodeDelays, NodeLimits
from .routes import polled_route

_TOKEN: Final = 24


class Stored(NamedTuple):
    """A blob out of a mailbox."""

    data: bytes
    route: Route


class Arrived(NamedTuple):
    """A packet, by whichever route."""

    packet: p.Datagram
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
    HELD = Input[GateState, Knocked]()
    """It may be opened later."""
    HELD_DUE = Input[GateState, None]()
    HELD_ARE_LEFT = Input[GateState, None]()
    ARRIVED = Input[GateState, Arrived]()
    CLOSE = Input[GateState, None]()
    PEERS_ARE_LEFT = Input[GateState, None]()
    """One call does not say goodbye to all of them."""
    GOODBYE_DUE = Input[GateState, None]()
    EXPIRED = Input[GateState, None]()


class GateHost(Host[Any], Protocol):
    """What the gate asks of its node."""

    delays: NodeDelays
    limits: NodeLimits
    keyring: Keyring

    @property
    def has_peers(self) -> bool: ...
    @property
    def init_pause(self) -> float: ...
    def may_open(self, route: Route) -> bool: ...
    def arrived(self, packet: p.Datagram, route: Route) -> None: ...
    def knock(self, knock: Knock) -> None: ...
    def say_goodbye(self) -> None: ...
    def leave(self) -> None: ...


class Gate(Component[GateState, GateHost]):
    """Strangers stop here, and so does everybody once the node is closed."""

    held: dict[bytes, deque[bytes]]
    """By the group of a mailbox server: H1s out of the mailbox there that wait until they may be opened. A poll brings
    those of a minute at once, and whoever deposits can put others before them."""
    delays: Annotated[NodeDelays, CACHED]

    def __init__(self, host: GateHost) -> None:
        super().__init__(host)
        self.delays, self.held = host.delays, {}

    # -- guards

    def is_for_us(self, knocked: Knocked) -> bool:
        return self.host.keyring.is_for_us(knocked.data)

    def read(self, stored: Stored) -> Arrived | None:
        return Arrived(p.DATAGRAM.decode(stored.data), stored.route)

    def has_to_wait(self, knocked: Knocked) -> bool:
        """Is it out of a mailbox, and may not be opened yet? Who calls directly is told what to do instead."""
        route = knocked.route
        held = self.held.get(route.group, ())
        if held:
            return len(held) < self.host.limits.held
        return not route.reply and not self.host.may_open(route)

    # -- conditions, times and actions

    def has_nobody(self) -> bool:
        return not self.host.has_peers

    def is_first(self) -> bool:
        return not self.held

    def until_held(self) -> float:
        return self.host.init_pause

    def at_once(self) -> float:
        return 0.0

    def hold(self, knocked: Knocked) -> None:
        self.held.setdefault(knocked.route.group, deque()).append(knocked.data)

    def take_held(self) -> None:
        """One of each mailbox, if it may be opened now."""
        for group, waiting in list(self.held.items()):
            route = polled_route(group[1:])
            if self.host.may_open(route):
                data = waiting.popleft()
                if not waiting:
                    del self.held[group]
                packet = p.DATAGRAM.decode(data)
                assert isinstance(packet, p.H1)
                self.knock(Knocked(packet, data, route))
        if self.held:
            self.post(_I.HELD_ARE_LEFT())

    def knock(self, knocked: Knocked) -> None:
        token = b"" if knocked.packet.token == p.NO_TOKEN else knocked.packet.token[:_TOKEN]
        self.host.knock(Knock(handshake_id(knocked.data), token, knocked.route, knocked.packet))

    def hand_on(self, arrived: Arrived) -> None:
        self.host.arrived(arrived.packet, arrived.route)

    def say_goodbye(self) -> None:
        self.host.say_goodbye()
        if self.host.has_peers:
            self.post(_I.PEERS_ARE_LEFT())

    def leave(self) -> None:
        self.host.leave()


_S, _I, _C = GateState, GateInput, Gate
_NODE: Final = "the node"
_END: Final = "closing a node"

KNOCK: Final = (
    Guards.of(Gate, GateState, Knocked, "h1")
    .need(_C.is_for_us, "an H1 for somebody else", ref="the handshake")
    .give_if(_C.has_to_wait, _I.HELD, ref="over mailboxes")
    .give(_I.KNOCKED)
)
STORED: Final = (
    Guards.of(Gate, GateState, Stored, "stored packet")
    .make(_C.read, "malformed packet in the mailbox", ref="over mailboxes")
    .give(_I.ARRIVED)
)


class GateTimer:
    HELD = Timer(_I.HELD_DUE, _C.until_held)
    GOODBYE = Timer(_I.GOODBYE_DUE, _C.at_once)
    FAREWELL = Timer(_I.EXPIRED, NodeDelays.farewell)


_T = GateTimer

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
        Row(_S.OPEN, _I.HELD, None, _C.hold, when=_C.is_first, arm=(_T.HELD,), ref="over mailboxes"),
        Row(_S.OPEN, _I.HELD, None, _C.hold, ref="over mailboxes"),
        Row(_S.OPEN, _I.HELD_DUE, None, _C.take_held, ref="over mailboxes"),
        Row(_S.OPEN, _I.HELD_ARE_LEFT, None, arm=(_T.HELD,), ref="over mailboxes"),
        Row((_S.OPEN, _S.CLOSING), _I.ARRIVED, None, _C.hand_on, ref="over mailboxes"),
        Row(_S.OPEN, _I.CLOSE, _S.CLOSED, _C.leave, when=_C.has_nobody, ref=_END),
        Row(_S.OPEN, _I.CLOSE, _S.CLOSING, _C.say_goodbye, arm=(_T.FAREWELL,), cancel=(_T.HELD,), ref=_END),
        Row(_S.CLOSING, _I.CLOSE, ref=_END),
        Row(_S.CLOSING, _I.PEERS_ARE_LEFT, None, arm=(_T.GOODBYE,), ref=_END),
        Row(_S.CLOSING, _I.GOODBYE_DUE, None, _C.say_goodbye, ref=_END),
        Row(_S.CLOSING, _I.EXPIRED, _S.CLOSED, _C.leave, ref=_END),
    ),
    defaults=(
        Default(Outcome.NOT_OPEN, "", _I.START, _I.CONNECT, _I.SEND, _I.DISCONNECT),
        Default(Outcome.IGNORE, "closing"),
    ),
)
