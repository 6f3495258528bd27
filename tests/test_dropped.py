"""The record of a drop says where the input came from, and what was wrong with its bytes."""

from __future__ import annotations

from typing import Any

from toys import Beat, Echo, sealed

from sansproto.contract import Address, Link, Path
from sansproto.errors import Fault, WireError
from sansproto.links import StreamLink
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.trace import Dropped, TraceRecord

HERE, THERE = Address("192.0.2.7", 1234), Path("udp", "192.0.2.9", 4000)


class Strict(Echo):
    def link_broken(self, link: StreamLink, error: WireError) -> None:
        self.drop("no message", error=error)
        super().link_broken(link, error)


class Deaf(Strict):
    """Speaks no datagrams."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._datagram_limits = None


def made(kind: Any = Strict) -> tuple[Any, list[TraceRecord]]:
    seen: list[TraceRecord] = []
    return kind(entropy=ScriptedEntropy(), trace=seen.append), seen


def drops(seen: list[TraceRecord]) -> list[Dropped]:
    return [record for record in seen if isinstance(record, Dropped)]


def test_bytes_that_are_no_packet_are_dropped_with_their_link_and_fault() -> None:
    echo, seen = made()
    link = echo.stream_accepted("echo", HERE, 1.0)
    echo.receive_data(link, b"\x02hi\xff", 2.0)
    broken = Dropped(2.0, "no message", where=link, fault=Fault.BAD_LENGTH, offset=3, field="text")
    assert drops(seen) == [broken]
    echo.receive_data(link, b"more", 3.0)
    assert drops(seen)[1:] == [Dropped(3.0, "late data", where=link)]


def test_what_waited_for_the_application_has_its_link_too() -> None:
    echo, seen = made()
    links = [echo.stream_accepted("echo", HERE, 1.0) for _ in range(2)]
    for link in links:
        echo.receive_data(link, b"\x02hi" + b"\x01a" * 10 + b"\xff", 2.0)
    assert drops(seen) == []
    while echo.next_event() is not None:
        pass
    echo.handle_timeout(3.0)
    assert [(drop.reason, drop.where, drop.fault) for drop in drops(seen)] == [
        ("no message", link, Fault.BAD_LENGTH) for link in links
    ]


def test_reports_of_links_that_nobody_knows_and_datagrams_that_nobody_expects() -> None:
    deaf, seen = made(Deaf)
    gone = Link(77)
    deaf.receive_data(gone, b"x", 1.0)
    deaf.stream_blocked(gone, 1.0)
    deaf.receive_datagram(b"x", THERE, 1.0)
    deaf.datagram_failed(THERE, 1.0)
    deaf.looked_up(1, (), 1.0)
    deaf.transport_lost(2.0)
    deaf.receive_eof(gone, 2.0)
    deaf.receive_datagram(b"x", THERE, 2.0)
    deaf.abort()
    where = [(drop.reason, drop.where) for drop in drops(seen)]
    assert where[:2] == [("late data", gone), ("unknown link", gone)]
    assert where[2:4] == [("unexpected datagram", THERE), ("unexpected report", THERE)]
    assert where[4:] == [("closed", gone), ("closed", THERE)]


def test_what_a_guard_drops_has_its_path_and_its_guard() -> None:
    beat, seen = made(Beat)
    beat.start(0.0)
    for data in (b"??" + sealed(1), sealed(1), sealed(1)):
        beat.receive_datagram(data, THERE, 1.0)
    beat.stream_lost(Link(7), 1.0)
    beat.datagram_failed(THERE, 1.0)
    beat.abort()
    beat.receive_datagram(b"?", THERE, 2.0)
    assert drops(seen) == [
        Dropped(1.0, "bad seal", place="pulse", guard="datagram.is_valid", where=THERE),
        Dropped(1.0, "old", place="pulse", guard="datagram.is_new", where=THERE),
        Dropped(1.0, "unknown link", where=Link(7)),
        Dropped(1.0, "datagram failed", where=THERE),
        Dropped(2.0, "closed", where=THERE),
    ]
    beat.abort()
    assert beat.where is None
