"""The room of two visitors on the secure port of a relay. docs/protocols/bob.rst, the secure room."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

from ..component import Component
from ..contract import Link
from ..machine import Default, Happened, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .events import RoomClosed, RoomOpened
from .host import RelayHost
from .limits import RelayDelays
from .visitor import VisitorInput, VisitorState


class RoomState(Enum):
    NEW = 0
    WAITING = 1
    FULL = 2
    ENDED = 3


class RoomInput:
    OPEN = Input[RoomState, None]()
    FILLED = Input[RoomState, Link]()
    """Its second visitor came."""
    MOVED = Input[RoomState, None]()
    """Bytes passed."""
    LEFT = Input[RoomState, None]()
    """A visitor went."""
    EXPIRED = Input[RoomState, None]()


class RoomTimer:
    ROOM = Timer(RoomInput.EXPIRED, RelayDelays.room)
    SILENCE = Timer(RoomInput.EXPIRED, RelayDelays.silence)


class RoomOwner(Protocol):
    """What a room asks of the secure port."""

    def give_lines(self, room: Room) -> None: ...
    def wait_no_longer(self, room: Room) -> None: ...
    def remove_room(self, room: Room) -> None: ...
    def tell(self, link: Link, happened: Happened[VisitorState]) -> None: ...


class Room(Component[RoomState, RelayHost]):
    """A place for two visitors, each known by the line that it has to send: the identity of the other one."""

    __slots__ = ("client", "delays", "key", "owner", "server", "size", "visitors")
    client: str
    server: str
    visitors: dict[str, Link]
    """By line."""
    size: int
    """Bytes that passed."""
    key: Annotated[int, CACHED]
    owner: Annotated[RoomOwner, CACHED]
    delays: Annotated[RelayDelays, CACHED]

    def __init__(self, host: RelayHost, owner: RoomOwner, key: int) -> None:
        super().__init__(host)
        self.owner, self.key, self.delays = owner, key, host.delays
        self.client = self.server = ""
        self.visitors, self.size = {}, 0

    def begin(self, client: str, server: str) -> None:
        self.client, self.server = client, server
        self.post(RoomInput.OPEN())

    # -- for visitors

    def partner_of(self, line: str) -> Link:
        return self.visitors[self.client if line == self.server else self.server]

    def enter(self, line: str, link: Link) -> None:
        self.visitors[line] = link
        if len(self.visitors) == 2:
            self.post(RoomInput.FILLED(link))

    def leave(self, line: str) -> None:
        del self.visitors[line]
        self.post(RoomInput.LEFT())

    def note_moved(self, size: int) -> None:
        self.size += size
        self.post(RoomInput.MOVED())

    # -- actions

    def tell_opened(self) -> None:
        self.owner.give_lines(self)
        self.host.emit(RoomOpened(self.client, self.server))

    def tell_partner(self, newcomer: Link) -> None:
        self.owner.wait_no_longer(self)
        for link in self.visitors.values():
            if link != newcomer:
                self.owner.tell(link, VisitorInput.PARTNER_CAME())

    def dismiss(self) -> None:
        for link in self.visitors.values():
            self.owner.tell(link, VisitorInput.ROOM_OVER())

    def close(self) -> None:
        self.owner.remove_room(self)
        self.host.emit(RoomClosed(self.client, self.server, size=self.size))


_S, _I, _T, _R = RoomState, RoomInput, RoomTimer, Room
_ROOM: Final = "the secure room"

ROOM: Final = Table[Room, RoomState](
    Room,
    RoomInput,
    RoomTimer,
    name="bob.room",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={_S.NEW: "the agreement that opens it"},
    rows=(
        Row(_S.NEW, _I.OPEN, _S.WAITING, _R.tell_opened, arm=(_T.ROOM,), ref=_ROOM),
        Row(_S.WAITING, _I.FILLED, _S.FULL, _R.tell_partner, arm=(_T.SILENCE,), cancel=(_T.ROOM,), ref=_ROOM),
        Row(_S.FULL, _I.MOVED, None, arm=(_T.SILENCE,), ref=_ROOM),
        Row((_S.WAITING, _S.FULL), _I.LEFT | _I.EXPIRED, _S.ENDED, _R.dismiss, _R.close, ref="the end of a room"),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
