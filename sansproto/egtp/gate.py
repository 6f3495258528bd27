"""What a node looks at before the recovery core does, and its end. docs/protocols/egtp.rst, the node."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Annotated, Any, Final, NamedTuple, Never, Protocol, TypeAlias

from ..component import Component, Host
from ..contract import Instant
from ..events import CloseCause, Closed
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
    WRITING = 2
    """Mailbox servers have yet to take some packets."""
    CLOSED = 3


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
    WRITTEN = Input[GateState, None]()
    """Mailbox servers have taken all packets, or lost them."""
    EXPIRED = Input[GateState, None]()


class GateHost(Host[Any], Protocol):
    """What the gate asks of its node."""

    delays: NodeDelays
    limits: NodeLimits
    keyring: Keyring

    @property
    def has_peers(self) -> bool: ...
    @property
    def under_way(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def init_pause(self) -> float: ...
    def may_open(self, route: Route) -> bool: ...
    def arrived(self, seen: Seen, route: Route) -> None: ...
    def knock(self, knock: Knock) -> None: ...
    def say_goodbye(self) -> None: ...
    def leave(self, closed: Closed[Never]) -> None: ...


class Gate(Component[GateState, GateHost]):
    """Strangers stop here, and so does everybody once the node is closed."""

    held: dict[bytes, deque[bytes]]
    """By the group of a mailbox server: H1s out of the mailbox there that wait until they may be opened. A poll brings
    those of a minute at once, and whoever deposits can put others before them."""
    told_until: Instant
    """Up to then whoever did not hear the last goodbye is told again."""
    lost_before: int
    """Packets that no mailbox server had taken when the first of these goodbyes was said."""
    delays: Annotated[NodeDelays, CACHED]

    def __init__(self, host: GateHost) -> None:
        super().__init__(host)
        self.delays, self.held = host.delays, {}
        self.told_until, self.lost_before = 0.0, 0

    def note_goodbye(self) -> None:
        """One is said to a peer."""
        self._count_anew()
        self.told_until = self.host.clock + self.delays.farewell

    # -- guards

    def is_for_us(self, knocked: Knocked) -> bool:
        return self.host.keyring.is_for_us(knocked.data)

    def read(self, stored: Stored) -> Arrived | None:
        return Arrived((stored.data, p.DATAGRAM.decode(stored.data)), stored.route)

    def has_to_wait(self, knocked: Knocked) -> bool:
        """Is it out of a mailbox, and may not be opened yet? Who calls directly is told what to do instead."""
        route = knocked.route
        held = self.held.get(route.group, ())
        if held:
            return len(held) < self.host.limits.held
        return not route.reply and not self.host.may_open(route)

    # -- conditions and times

    def is_first(self) -> bool:
        return not self.held

    def until_held(self) -> float:
        return self.host.init_pause

    def at_once(self) -> float:
        return 0.0

    def is_done(self) -> bool:
        return not (self.host.has_peers or self.host.under_way or self.until_told())

    def is_writing(self) -> bool:
        return self.host.under_way > 0

    def until_told(self) -> float:
        if self.host.has_peers:  # they are told now
            return self.delays.farewell
        return max(self.told_until - self.host.clock, 0.0)

    # -- actions

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
        self.host.arrived(arrived.seen, arrived.route)

    def say_goodbye(self) -> None:
        if self.host.has_peers:
            self.note_goodbye()
        else:
            self._count_anew()
        self.host.say_goodbye()
        if self.host.has_peers:
            self.post(_I.PEERS_ARE_LEFT())

    def leave_at_once(self) -> None:
        self.host.leave(Closed(CloseCause.LOCAL))

    def leave(self) -> None:
        """Did everything leave that was on its way to mailboxes since the goodbye?"""
        late, lost = self.host.under_way, self.host.lost - self.lost_before
        cause = CloseCause.TIMEOUT if late else CloseCause.LOST if lost else CloseCause.LOCAL
        detail = f"packets that no mailbox server took: {late + lost}" if late + lost else ""
        self.host.leave(Closed(cause, detail=detail))

    # -- inside

    def _count_anew(self) -> None:
        if self.host.clock >= self.told_until:
            self.lost_before = self.host.lost


_S, _I, _C = GateState, GateInput, Gate


class GateTimer:
    HELD = Timer(GateInput.HELD_DUE, Gate.until_held)
    GOODBYE = Timer(GateInput.GOODBYE_DUE, Gate.at_once)
    FAREWELL = Timer(GateInput.EXPIRED, Gate.until_told)
    HANDOVER = Timer(GateInput.EXPIRED, NodeDelays.handover)


_T = GateTimer
_LEAVING: Final = (_S.CLOSING, _S.WRITING)
_NODE: Final = "the node"
_CLOSING: Final = "closing a node"

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
        Row((_S.OPEN, *_LEAVING), _I.ARRIVED, None, _C.hand_on, ref="over mailboxes"),
        Row(_S.OPEN, _I.CLOSE, _S.CLOSED, _C.leave_at_once, when=_C.is_done, ref=_CLOSING),
        Row(_S.OPEN, _I.CLOSE, _S.CLOSING, _C.say_goodbye, arm=(_T.FAREWELL,), cancel=(_T.HELD,), ref=_CLOSING),
        Row(_LEAVING, _I.CLOSE, ref=_CLOSING),
        Row(_S.CLOSING, _I.PEERS_ARE_LEFT, None, arm=(_T.GOODBYE,), ref=_CLOSING),
        Row(_S.CLOSING, _I.GOODBYE_DUE, None, _C.say_goodbye, ref=_CLOSING),
        Row(
            *(_S.CLOSING, _I.EXPIRED, _S.WRITING),
            when=_C.is_writing,
            arm=(_T.HANDOVER,),
            cancel=(_T.GOODBYE,),
            ref=_CLOSING,
        ),
        Row(_S.CLOSING, _I.EXPIRED, _S.CLOSED, _C.leave, ref=_CLOSING),
        Row((_S.OPEN, _S.CLOSING), _I.WRITTEN, None, ref=_CLOSING),
        Row(_S.WRITING, _I.WRITTEN, _S.CLOSED, _C.leave, ref=_CLOSING),
        Row(_S.WRITING, _I.EXPIRED, _S.CLOSED, _C.leave, ref=_CLOSING),
    ),
    defaults=(
        Default(Outcome.NOT_OPEN, "", _I.START, _I.CONNECT, _I.SEND, _I.DISCONNECT),
        Default(Outcome.IGNORE, "closing"),
    ),
)
