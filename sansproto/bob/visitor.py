"""A connection to the secure port of a relay: it sends a line, and gets into the room that the line is for."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Protocol

from ..links import StreamLink
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .host import Connection, RelayHost
from .limits import RelayDelays

if TYPE_CHECKING:
    from .room import Room


class VisitorState(Enum):
    NEW = 0
    READING = 1
    """Its line is not there yet."""
    ALONE = 2
    """Its partner is not there yet."""
    JOINED = 3
    ENDED = 4


class Place(NamedTuple):
    """A line, and the room that it is for."""

    line: str
    room: Room


class VisitorInput:
    CONNECTED = Input[VisitorState, None]()
    FIRST = Input[VisitorState, Place]()
    SECOND = Input[VisitorState, Place]()
    UNKNOWN = Input[VisitorState, Any]()
    """What it sent is the line of no room, or no line."""
    PARTNER_CAME = Input[VisitorState, None]()
    BYTES = Input[VisitorState, bytes]()
    LEFT = Input[VisitorState, None]()
    ROOM_OVER = Input[VisitorState, None]()
    LINE_EXPIRED = Input[VisitorState, None]()
    FLOODED = Input[VisitorState, bytes]()
    """More bytes before the partner came than there may be."""


class VisitorTimer:
    LINE = Timer(VisitorInput.LINE_EXPIRED, RelayDelays.line)


class VisitorOwner(Protocol):
    """What a visitor asks of the secure port."""

    def room_of(self, line: str) -> Room: ...


class Visitor(Connection[VisitorState]):
    """A connection to the secure port."""

    __slots__ = ("early", "line", "owner")
    line: str
    """With which it got into its room, which does not end before it is told."""
    early: int
    """Bytes that came before its partner did."""
    owner: Annotated[VisitorOwner, CACHED]

    def __init__(self, host: RelayHost, owner: VisitorOwner, link: StreamLink) -> None:
        super().__init__(host, link)
        self.owner, self.line, self.early = owner, "", 0

    def receive(self, data: bytes) -> None:
        """Bytes for its partner."""
        if self.state is VisitorState.ALONE:
            self.early += len(data)
        self.take(BYTES, data)

    # -- guards

    def asks_for_a_taken_place(self, place: Place) -> bool:
        return place.line in place.room.visitors

    def is_second(self, place: Place) -> bool:
        return bool(place.room.visitors)

    def is_flooding(self) -> bool:
        return self.state is VisitorState.ALONE and self.early > self.host.limits.early

    # -- actions

    def enter(self, place: Place) -> None:
        self.line = place.line
        place.room.enter(place.line, self.link.key)

    def answer_joined(self) -> None:
        self._answer(p.RoomCode.JOINED)

    def answer_unknown(self) -> None:
        self._answer(p.RoomCode.UNKNOWN)

    def answer_expired(self) -> None:
        self._answer(p.RoomCode.EXPIRED)

    def send_close(self) -> None:
        self.link.queue(p.CLOSE)

    def pass_on(self, data: bytes) -> None:
        room = self.owner.room_of(self.line)
        self.link.relay_to(self.host.links[room.partner_of(self.line)], data)
        room.note_moved(len(data))

    def leave(self) -> None:
        self.owner.room_of(self.line).leave(self.line)

    # -- inside

    def _answer(self, code: p.RoomCode) -> None:
        self.link.write(p.RoomAnswer(code).encode())


_S, _I, _T, _V = VisitorState, VisitorInput, VisitorTimer, Visitor
_ROOM: Final = "the secure room"

LINE: Final = (
    Guards.of(Visitor, _S, Place, "line")
    .give_if(_V.asks_for_a_taken_place, _I.UNKNOWN, ref=_ROOM)
    .give_if(_V.is_second, _I.SECOND, ref=_ROOM)
    .give(_I.FIRST)
)
BYTES: Final = Guards.of(Visitor, _S, bytes, "bytes").give_if(_V.is_flooding, _I.FLOODED, ref="floods").give(_I.BYTES)

VISITOR: Final = Table[Visitor, VisitorState](
    Visitor,
    VisitorInput,
    VisitorTimer,
    name="bob.visitor",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={_S.NEW: "the connection that makes it", _S.ALONE: "the room's own timer", _S.JOINED: "the room's own timer"},
    rows=(
        Row(_S.NEW, _I.CONNECTED, _S.READING, arm=(_T.LINE,), ref=_ROOM),
        Row(_S.READING, _I.FIRST, _S.ALONE, _V.enter, cancel=(_T.LINE,), ref=_ROOM),
        Row(_S.READING, _I.SECOND, _S.JOINED, _V.enter, _V.answer_joined, cancel=(_T.LINE,), ref=_ROOM),
        Row(_S.ALONE, _I.PARTNER_CAME, _S.JOINED, _V.answer_joined, ref=_ROOM),
        Row(_S.READING, _I.UNKNOWN | _I.LEFT, _S.ENDED, _V.answer_unknown, _V.close, ref=_ROOM),
        Row(_S.READING, _I.LINE_EXPIRED, _S.ENDED, _V.answer_expired, _V.close, ref=_ROOM),
        Row(_S.ALONE, _I.FLOODED, _S.ENDED, _V.leave, _V.abort, ref="floods"),
        Row(_S.ALONE, _I.LEFT, _S.ENDED, _V.leave, _V.close, ref="the end of a room"),
        Row(_S.ALONE, _I.ROOM_OVER, _S.ENDED, _V.close, ref="the end of a room"),
        Row(_S.JOINED, _I.BYTES, None, _V.pass_on, ref=_ROOM),
        Row(_S.JOINED, _I.LEFT, _S.ENDED, _V.send_close, _V.leave, _V.close, ref="the end of a room"),
        Row(_S.JOINED, _I.ROOM_OVER, _S.ENDED, _V.send_close, _V.close, ref="the end of a room"),
    ),
    defaults=(
        Default(Outcome.IGNORE, "before the partner came", _I.BYTES, states=(_S.ALONE,)),
        Default(Outcome.IGNORE, "late"),
    ),
)
