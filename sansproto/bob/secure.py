"""The secure port of a relay: its visitors, their rooms, and which line leads to which room."""

from __future__ import annotations

from collections import OrderedDict

from ..component import Part, Parts
from ..contract import Link
from ..machine import Happened
from .host import RelayHost
from .room import Room, RoomInput
from .visitor import LINE, Place, Visitor, VisitorInput, VisitorState


class SecurePort(Part[RelayHost]):
    """All visitors and rooms."""

    visitors: Parts[Link, Visitor]
    rooms: Parts[int, Room]
    lines: dict[str, int]
    """The room that waits for a line, or that was entered with it."""
    waiting: OrderedDict[int, None]
    """The rooms that are not full, the oldest first."""
    last_room: int

    def __init__(self, host: RelayHost) -> None:
        super().__init__(host)
        self.visitors = Parts(lambda key: Visitor(host, self, host.links[key]))
        self.rooms = Parts(lambda key: Room(host, self, key))
        self.lines, self.waiting, self.last_room = {}, OrderedDict(), 0

    def accept(self, link: Link) -> None:
        self.visitors.add(link).post(VisitorInput.CONNECTED())

    def read_line(self, visitor: Visitor, line: str) -> None:
        if line in self.lines:
            visitor.take(LINE, Place(line, self.room_of(line)))
        else:
            visitor.post(VisitorInput.UNKNOWN())

    def open_room(self, client: str, server: str) -> None:
        """A room for these two. One that still waits for a line of them, or holds it, ends: a port was used again.

        So does the one that has waited longest, if too many wait: whoever means it comes at once.
        """
        over = {self.lines[line]: None for line in (client, server) if line in self.lines}
        if len(self.waiting) >= self.host.limits.peers:
            over[next(iter(self.waiting))] = None
        for key in over:
            self.rooms[key].post(RoomInput.EXPIRED())
        self.last_room += 1
        self.rooms.add(self.last_room, Room.begin, client, server)
        self.waiting[self.last_room] = None

    def say_goodbye(self) -> None:
        for visitor in self.visitors.values():
            if visitor.state is VisitorState.JOINED:
                visitor.send_close()

    # -- what visitors and rooms ask

    def room_of(self, line: str) -> Room:
        return self.rooms[self.lines[line]]

    def give_lines(self, room: Room) -> None:
        self.lines[room.client] = self.lines[room.server] = room.key

    def wait_no_longer(self, room: Room) -> None:
        del self.waiting[room.key]

    def remove_room(self, room: Room) -> None:
        self.rooms.remove(room.key)
        self.waiting.pop(room.key, None)
        for line in (room.client, room.server):
            self.lines.pop(line, None)

    def tell(self, link: Link, happened: Happened[VisitorState]) -> None:
        self.visitors[link].post(happened)
