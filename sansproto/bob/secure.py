"""The secure port of a relay: its visitors, their rooms, and which line leads to which room."""

from __future__ import annotations

from typing import Annotated, Protocol

from ..component import Host, Part, Parts
from ..contract import Link
from ..links import StreamLink
from ..snapshot import CACHED
from .events import RelayEvent
from .limits import RelayDelays, RelayLimits
from .room import Room, RoomInput
from .visitor import Visitor, VisitorInput, VisitorState


class SecureHost(Host[RelayEvent], Protocol):
    """What the secure port asks of the relay."""

    @property
    def delays(self) -> RelayDelays: ...
    @property
    def limits(self) -> RelayLimits: ...
    @property
    def links(self) -> Parts[Link, StreamLink]: ...


class SecurePort(Part[SecureHost]):
    """All visitors and rooms."""

    visitors: Parts[Link, Visitor]
    rooms: Parts[int, Room]
    lines: dict[str, int]
    """The room that waits for a line, or that was entered with it."""
    last_room: int
    delays: Annotated[RelayDelays, CACHED]
    limits: Annotated[RelayLimits, CACHED]

    def __init__(self, host: SecureHost) -> None:
        super().__init__(host)
        self.delays, self.limits = host.delays, host.limits
        self.visitors = Parts(lambda key: Visitor(host, self, host.links[key]))
        self.rooms = Parts(lambda key: Room(host, self, key, self.delays))
        self.lines, self.last_room = {}, 0

    def accept(self, link: Link) -> None:
        self.visitors.add(link).post(VisitorInput.CONNECTED())

    def open_room(self, client: str, server: str) -> None:
        """A room for these two. One that still waits for a line of them, or holds it, ends: a port was used again."""
        for key in dict.fromkeys(self.lines[line] for line in (client, server) if line in self.lines):
            self.rooms[key].post(RoomInput.EXPIRED())
        self.last_room += 1
        self.rooms.add(self.last_room, Room.begin, client, server).post(RoomInput.OPEN())

    def say_goodbye(self) -> None:
        for visitor in self.visitors.values():
            if visitor.state is VisitorState.JOINED:
                visitor.send_close()

    def clear(self) -> None:
        """Forget everybody."""
        self.visitors.remove_all()
        self.rooms.remove_all()
        self.lines, self.last_room = {}, 0

    # -- what visitors and rooms ask

    def room_of(self, line: str) -> Room | None:
        key = self.lines.get(line)
        return None if key is None else self.rooms[key]

    def relay(self, source: StreamLink, room: Room, data: bytes) -> None:
        """Pass bytes on to the partner."""
        partner = room.partner_of(self.visitors[source.key].line)
        source.relay_to(self.host.links[partner], data)
        room.note_moved(len(data))

    def give_lines(self, room: Room) -> None:
        self.lines[room.client] = self.lines[room.server] = room.key

    def remove_room(self, room: Room) -> None:
        self.rooms.remove(room.key)
        for line in (room.client, room.server):
            self.lines.pop(line, None)

    def tell_partner_came(self, link: Link) -> None:
        self.visitors[link].post(VisitorInput.PARTNER_CAME())

    def tell_partner_left(self, link: Link) -> None:
        self.visitors[link].post(VisitorInput.PARTNER_LEFT())

    def tell_room_expired(self, link: Link) -> None:
        self.visitors[link].post(VisitorInput.ROOM_EXPIRED())
