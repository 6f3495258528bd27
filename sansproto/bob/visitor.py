"""A connection to the secure port of a relay: it sends a line, and gets into the room that the line is for."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

from ..component import Component, Host
from ..links import StreamLink
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .events import RelayEvent
from .limits import RelayDelays, RelayLimits
from .room import Room, RoomInput


class VisitorState(Enum):
    NEW = 0
    READING = 1
    """Its line is not there yet."""
    ALONE = 2
    """Its partner is not there yet."""
    JOINED = 3
    ENDED = 4


class VisitorInput:
    CONNECTED = Input[VisitorState, None]()
    FIRST = Input[VisitorState, str]()
    SECOND = Input[VisitorState, str]()
    UNKNOWN = Input[VisitorState, str]()
    """What it sent is the line of no room, or no line."""
    PARTNER_CAME = Input[VisitorState, None]()
    BYTES = Input[VisitorState, bytes]()
    LEFT = Input[VisitorState, None]()
    PARTNER_LEFT = Input[VisitorState, None]()
    ROOM_EXPIRED = Input[VisitorState, None]()
    LINE_EXPIRED = Input[VisitorState, None]()
    FLOODED = Input[VisitorState, bytes]()
    """More bytes before the partner came than there may be."""


class VisitorTimer:
    LINE = Timer(VisitorInput.LINE_EXPIRED, RelayDelays.line)


class VisitorOwner(Protocol):
    """What a visitor asks of the secure port."""

    @property
    def delays(self) -> RelayDelays: ...
    @property
    def limits(self) -> RelayLimits: ...
    def room_of(self, line: str) -> Room | None: ...
    def relay(self, source: StreamLink, room: Room, data: bytes) -> None: ...


class Visitor(Component[VisitorState, Host[RelayEvent]]):
    """A connection to the secure port."""

    __slots__ = ("delays", "early", "line", "link", "owner")
    line: str
    """What it sent to get into its room; empty before."""
    early: int
    """Bytes that came before its partner did."""
    link: Annotated[StreamLink, CACHED]
    owner: Annotated[VisitorOwner, CACHED]
    delays: Annotated[RelayDelays, CACHED]

    def __init__(self, host: Host[RelayEvent], owner: VisitorOwner, link: StreamLink) -> None:
        super().__init__(host)
        self.owner, self.link, self.delays = owner, link, owner.delays
        self.line, self.early = "", 0

    # -- guards

    def asks_for_no_room(self, line: str) -> bool:
        return self.owner.room_of(line) is None

    def asks_for_a_taken_place(self, line: str) -> bool:
        room = self.owner.room_of(line)
        return room is not None and line in room.visitors

    def is_second(self, line: str) -> bool:
        room = self.owner.room_of(line)
        return room is not None and bool(room.visitors)

    def is_flooding(self, data: bytes) -> bool:
        return self.state is VisitorState.ALONE and self.early + len(data) > self.owner.limits.early

    # -- actions

    def enter(self, line: str) -> None:
        self.line = line
        self._room().enter(line, self.link.key)

    def fill(self) -> None:
        self._room().post(RoomInput.FILLED(self.link.key))

    def answer_joined(self) -> None:
        self._answer(p.RoomCode.JOINED)

    def answer_unknown(self) -> None:
        self._answer(p.RoomCode.UNKNOWN)

    def answer_expired(self) -> None:
        self._answer(p.RoomCode.EXPIRED)

    def send_close(self) -> None:
        self.link.queue(p.CLOSE)

    def pass_on(self, data: bytes) -> None:
        self.owner.relay(self.link, self._room(), data)

    def drop_early(self, data: bytes) -> None:
        self.early += len(data)
        self.host.drop("before the partner came", self)

    def leave(self) -> None:
        self._room().leave(self.line)

    def close(self) -> None:
        self.link.close()

    def abort(self) -> None:
        self.link.abort()

    # -- inside

    def _room(self) -> Room:
        room = self.owner.room_of(self.line)
        assert room is not None, "a visitor that has entered is told before its room is gone"
        return room

    def _answer(self, code: p.RoomCode) -> None:
        self.link.write(p.RoomAnswer(code).encode())


_S, _I, _T, _V = VisitorState, VisitorInput, VisitorTimer, Visitor

LINE: Final = (
    Guards.of(Visitor, _S, str, "line")
    .give_if(_V.asks_for_no_room, _I.UNKNOWN, ref="the secure room")
    .give_if(_V.asks_for_a_taken_place, _I.UNKNOWN, ref="the secure room")
    .give_if(_V.is_second, _I.SECOND, ref="the secure room")
    .give(_I.FIRST)
)
BYTES: Final = Guards.of(Visitor, _S, bytes, "bytes").give_if(_V.is_flooding, _I.FLOODED, ref="floods").give(_I.BYTES)

VISITOR: Final = Table[Visitor, VisitorState](
    Visitor,
    VisitorInput,
    VisitorTimer,
    name="bob.visitor",
    page="bob",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={_S.NEW: "the connection that makes it", _S.ALONE: "the room's own timer", _S.JOINED: "the room's own timer"},
    rows=(
        Row(_S.NEW, _I.CONNECTED, _S.READING, arm=(_T.LINE,), ref="the secure room"),
        Row(_S.READING, _I.FIRST, _S.ALONE, _V.enter, cancel=(_T.LINE,), ref="the secure room"),
        Row(
            _S.READING,
            _I.SECOND,
            _S.JOINED,
            _V.enter,
            _V.fill,
            _V.answer_joined,
            cancel=(_T.LINE,),
            ref="the secure room",
        ),
        Row(_S.ALONE, _I.PARTNER_CAME, _S.JOINED, _V.answer_joined, ref="the secure room"),
        Row(_S.READING, _I.UNKNOWN | _I.LEFT, _S.ENDED, _V.answer_unknown, _V.close, ref="the secure room"),
        Row(_S.READING, _I.LINE_EXPIRED, _S.ENDED, _V.answer_expired, _V.close, ref="the secure room"),
        Row(_S.ALONE, _I.BYTES, None, _V.drop_early, ref="the secure room"),
        Row(_S.ALONE, _I.FLOODED, _S.ENDED, _V.leave, _V.abort, ref="floods"),
        Row(_S.ALONE, _I.LEFT, _S.ENDED, _V.leave, _V.close, ref="the end of a room"),
        Row(_S.ALONE, _I.ROOM_EXPIRED, _S.ENDED, _V.close, ref="the end of a room"),
        Row(_S.JOINED, _I.BYTES, None, _V.pass_on, ref="the secure room"),
        Row(_S.JOINED, _I.LEFT, _S.ENDED, _V.send_close, _V.leave, _V.close, ref="the end of a room"),
        Row(_S.JOINED, _I.PARTNER_LEFT | _I.ROOM_EXPIRED, _S.ENDED, _V.send_close, _V.close, ref="the end of a room"),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
