"""The parts of a relay, each driven alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripted import PartHost
from transcripts import packets_in

from sansproto.bob import Departure, PeerJoined, PeerLeft, RelayDelays, RelayLimits, Role, RoomClosed, RoomOpened
from sansproto.bob import packets as p
from sansproto.bob.host import Heard
from sansproto.bob.member import MemberInput, MemberTimer
from sansproto.bob.pair import PAIR, Pair, PairState, Passed, X
from sansproto.bob.registry import Registry
from sansproto.bob.room import Room, RoomState, RoomTimer
from sansproto.bob.secure import SecurePort
from sansproto.bob.visitor import LINE, Place, Visitor, VisitorInput, VisitorState
from sansproto.component import Parts
from sansproto.contract import Address, Link
from sansproto.links import LinkInput, Pull, StreamLink
from sansproto.testing._internal.protocols import tables_of
from sansproto.testing.tables import check

DOCS = Path(__file__).parents[2] / "docs" / "protocols"


class RelayHost(PartHost):
    """A relay with links, and nothing else."""

    def __init__(self, **limits: int) -> None:
        super().__init__(RelayDelays(), RelayLimits(**limits))
        self.link_delays, self.link_limits = self.delays, self.limits
        self.links: Parts[Link, StreamLink] = Parts(lambda key: StreamLink(self, key))  # type: ignore[arg-type]

    def connect(self, number: int) -> StreamLink:
        link = self.links.add(Link(number), StreamLink.begin, "relay", Address("192.0.2.1", number))
        link.post(LinkInput.ACCEPTED())
        self.run()
        return link

    def said(self, link: StreamLink) -> list[Any]:
        data = b"".join(part for part in link.out if isinstance(part, bytes))
        link.out.clear()
        return [*packets_in(data)]


@pytest.mark.parametrize("name", ["member", "pair", "room", "visitor"])
def test_the_tables_are_sound(name: str) -> None:
    (table,) = [table for table in tables_of("bob") if table.name == f"bob.{name}"]
    assert check(table, DOCS) == []


def test_a_room_tells_its_visitors_and_its_end() -> None:
    host = RelayHost()
    room = Room(host, host, 1)
    room.begin("client", "server")
    room.enter("client", Link(1))
    room.enter("server", Link(2))
    room.note_moved(10)
    host.run()
    assert (room.state, host.armed) == (RoomState.FULL, {"SILENCE": host.delays.silence})
    assert host.told == [("give_lines", room), ("wait_no_longer", room), ("tell", 1, VisitorInput.PARTNER_CAME())]
    host.fire(room, RoomTimer.SILENCE)
    told = [("tell", link, VisitorInput.ROOM_OVER()) for link in (1, 2)]
    assert host.told[3:] == [*told, ("remove_room", room)]
    assert host.events() == [RoomOpened("client", "server"), RoomClosed("client", "server", size=10)]


class Floor(RelayHost):
    """A secure port with one room."""

    def __init__(self) -> None:
        super().__init__(early=3)
        self.room = Room(self, self, 1)
        self.room.begin("client", "server")

    def room_of(self, line: str) -> Room:
        return self.room


def test_a_visitor_gets_into_its_room() -> None:
    host = Floor()
    first, second = (Visitor(host, host, host.connect(number)) for number in (1, 2))
    for visitor, line in ((first, "client"), (second, "server")):
        visitor.post(VisitorInput.CONNECTED())
        visitor.take(LINE, Place(line, host.room))
        host.run()
    first.receive(b"123")
    host.run()
    assert (first.state, second.state, host.stats.dropped) == (
        VisitorState.ALONE,
        VisitorState.JOINED,
        {"before the partner came": 1},
    )
    assert second.link.out == [p.RoomAnswer(p.RoomCode.JOINED).encode()]
    second.receive(b"data")
    host.run()
    assert (first.link.out, host.room.size) == ([b"data"], 4)
    first.receive(b"4")
    host.run()
    assert first.state is VisitorState.ENDED


def test_an_exchange_goes_through_in_its_order_only() -> None:
    host = RelayHost()
    pair = Pair(host, host, 1, 2)  # type: ignore[arg-type]
    host.may_begin = lambda _: True  # type: ignore[method-assign, assignment]
    packet = p.XAndClientIdentity(bytes(32), "192.0.2.1:1")
    for _ in range(2):
        pair.take(X, Passed(host, 1, packet))
    host.run()
    assert (pair.state, host.stats.dropped) == (PairState.ASKED, {"out of order": 1})
    assert host.told == [("remember", pair), ("forward", 1, packet)]
    assert pair.table is PAIR


def test_a_member_is_introduced_and_leaves() -> None:
    host = RelayHost()
    registry = Registry(host)
    for number in (1, 2):
        host.connect(number)
        registry.accept(Link(number))
    client, server = registry.members.values()
    client.hear(Heard(p.RELAY, p.HelloAsClient()))
    server.hear(Heard(p.RELAY, p.HelloAsServer(bytes(34))))
    host.run()
    assert host.said(client.link) == [(p.RELAY, p.ClientIdentity("192.0.2.1:1"))]
    assert client.pull(Pull(1)) == p.encode(p.RELAY, p.NewServer(2, bytes(34), "192.0.2.1:2"))
    registry.receive(Link(1), Heard(2, p.Accepted()))
    host.run()
    assert host.stats.dropped == {"out of order": 1}
    host.fire(server, MemberTimer.SILENCE)
    client.post(MemberInput.LEFT(Departure.LEFT))
    host.run()
    assert host.events() == [
        PeerJoined(1, "192.0.2.1:1", Role.CLIENT),
        PeerJoined(2, "192.0.2.1:2", Role.SERVER),
        PeerLeft(2, "192.0.2.1:2", Departure.IDLE),
        PeerLeft(1, "192.0.2.1:1", Departure.LEFT),
    ]
    assert not registry.uids
    assert not registry.pair_count


def test_the_secure_port_leads_lines_to_rooms_and_ends_a_room_whose_line_is_used_again() -> None:
    host = RelayHost(peers=3)
    port = SecurePort(host)
    for number in range(2):
        port.open_room(f"client {number}", f"server {number}")
        host.run()
    assert [room.key for room in map(port.room_of, ("client 0", "server 0", "client 1"))] == [1, 1, 2]
    port.open_room("client 1", "another")
    host.run()
    assert [*port.rooms] == [*port.waiting] == [1, 3]
    for number in (3, 4):  # there is no room for more than three that wait: the oldest goes
        port.open_room(f"client {number}", f"server {number}")
        host.run()
    assert [*port.rooms] == [*port.waiting] == [3, 4, 5]
    assert "server 0" not in port.lines
    for number, line in ((1, "client 3"), (2, "nobody")):
        port.accept(host.connect(number).key)
        visitor = port.visitors[Link(number)]
        host.run()
        port.read_line(visitor, line)
        host.run()
    assert port.visitors[Link(1)].state is VisitorState.ALONE  # in its room
    assert port.visitors[Link(2)].state is VisitorState.ENDED  # nobody expects it
