"""The base of what speaks datagrams: what it decodes, bounds, drops, refuses and remarks, and how it ends."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import attrs
import pytest

from sansproto.component import Note
from sansproto.contract import Lookup, Path, Rebind, SendDatagram
from sansproto.endpoint import OUTBOX_FULL, DatagramEndpoint
from sansproto.errors import Fault, NotOpen
from sansproto.events import CloseCause, Closed
from sansproto.session import ABORTED
from sansproto.trace import Dropped, Noted, PacketSeen, Refused, TraceRecord
from sansproto.wire import U8, OneOf, Packet, Rest, field, packet

THERE = Path("udp", "192.0.2.9", 4000)
TRAILING = Note("a tail", ref="decoding")


@packet
class Ping(Packet):
    number: int = field(U8)
    tail: bytes = field(Rest(9))


@packet
class Pong(Packet):
    number: int = field(U8)


Said: TypeAlias = Ping | Pong


@attrs.frozen
class Limits:
    events: int = 2
    outbox: int = 2


class Pinger(DatagramEndpoint[Pong | Closed, Said]):
    """Answers each ping, and tells of each pong."""

    datagram: ClassVar = OneOf[Ping | Pong](U8, {1: Ping, 2: Pong})

    def __init__(self, *, limits: Limits | None = Limits(), **arguments: Any) -> None:
        super().__init__(entropy=lambda n, *, purpose: bytes(3), limits=limits, **{"trace": None, **arguments})

    def decode(self, data: bytes, path: Path) -> Said | None:
        return None if data.startswith(b"other") else super().decode(data, path)

    def received(self, packet: Said, path: Path) -> None:
        match packet:
            case Ping():
                if packet.tail:
                    self.count_note(TRAILING)
                self.send_datagram(self.datagram.encode(Pong(packet.number)), path, "Pong")
            case Pong():
                self.emit(packet)


def made(**arguments: Any) -> tuple[Pinger, list[TraceRecord]]:
    seen: list[TraceRecord] = []
    return Pinger(trace=seen.append, **arguments), seen


def test_a_datagram_is_one_packet_and_the_trace_says_what_comes_of_it() -> None:
    pinger, seen = made()
    for data in (b"\x01\x07", b"\x02\x08", b"\x03", b"other", b"\x01\x09tail"):
        pinger.receive_datagram(data, THERE, 1.0)
    assert [*iter(pinger.next_transmit, None)] == [SendDatagram(data, THERE) for data in (b"\x02\x07", b"\x02\x09")]
    assert [*iter(pinger.next_event, None)] == [Pong(8)]
    assert seen == [
        PacketSeen(1.0, False, 0, "Ping", 2),
        PacketSeen(1.0, True, 0, "Pong", 2),
        PacketSeen(1.0, False, 0, "Pong", 2),
        Dropped(1.0, "malformed datagram", where=THERE, fault=Fault.BAD_TYPE, offset=0),
        PacketSeen(1.0, False, 0, "Ping", 6),
        Noted(1.0, "a tail", where=THERE),
        PacketSeen(1.0, True, 0, "Pong", 2),
    ]
    stats = pinger.stats
    assert (stats.packets_received, stats.bytes_received, stats.packets_sent, stats.bytes_sent) == (3, 16, 2, 4)
    assert (stats.dropped, stats.noted, stats.refused) == ({"malformed datagram": 1}, {"a tail": 1}, {})


def test_what_finds_no_room_is_dropped_or_refused() -> None:
    """Events and datagrams that nobody takes hold up what arrives, as a full socket does."""
    for data, take in ((b"\x02\x08", Pinger.next_event), (b"\x01\x08", Pinger.next_transmit)):
        pinger, seen = made()
        for _ in range(3):
            pinger.receive_datagram(data, THERE, 1.0)
        assert pinger.stats.dropped == {"busy": 1}
        take(pinger)
        pinger.receive_datagram(data, THERE, 1.0)
        assert pinger.stats.dropped == {"busy": 1}
    assert not pinger.send_datagram(b"more", THERE)
    assert seen[-1] == Refused(1.0, OUTBOX_FULL.reason)
    assert pinger.stats.refused == {OUTBOX_FULL.reason: 1}


def test_what_is_asked_of_the_transport_always_finds_room() -> None:
    pinger, _ = made(limits=Limits(outbox=1))
    assert pinger.send_datagram(b"1", THERE)
    for wanted in (Lookup(1, "host", 9), Rebind("udp")):
        pinger.ask_transport(wanted)
    assert [*iter(pinger.next_transmit, None)] == [SendDatagram(b"1", THERE), Lookup(1, "host", 9), Rebind("udp")]


def test_remarks_are_counted_without_a_trace_too() -> None:
    pinger = Pinger()
    for _ in range(2):
        pinger.receive_datagram(b"\x01\x09tail", THERE, 1.0)
    assert pinger.stats.noted == {"a tail": 2}


def test_without_limits_it_speaks_no_datagrams() -> None:
    pinger = Pinger(limits=None)
    pinger.receive_datagram(b"\x02\x08", THERE, 1.0)
    pinger.datagram_failed(THERE, 1.0)
    assert not pinger.send_datagram(b"1", THERE)
    assert pinger.stats.dropped == {"unexpected datagram": 1, "unexpected report": 1}
    assert (pinger.next_event(), pinger.next_transmit()) == (None, None)


@pytest.mark.parametrize(
    ("end", "last", "sent"),
    [
        (lambda pinger: pinger.close(2.0), Closed(CloseCause.LOCAL), True),
        (lambda pinger: pinger.abort(), ABORTED, False),
        (lambda pinger: pinger.transport_lost(2.0, detail="down"), Closed(CloseCause.LOST, detail="down"), False),
    ],
    ids=["close", "abort", "transport_lost"],
)
def test_closed_is_the_last_event_and_what_was_queued_goes_out_if_it_can(end: Any, last: Closed, sent: bool) -> None:
    pinger, _ = made()
    pinger.send_datagram(b"goodbye", THERE)
    pinger.emit(Pong(1))
    for _ in range(2):
        end(pinger)
        pinger.emit(Pong(2))
    pinger.receive_datagram(b"\x02\x08", THERE, 3.0)
    assert [*iter(pinger.next_event, None)] == [Pong(1), last]
    assert pinger.ending == last
    assert pinger.next_transmit() == (SendDatagram(b"goodbye", THERE) if sent else None)
    with pytest.raises(NotOpen, match="ping"):
        pinger.verb("ping", 3.0)


def test_a_source_of_random_bytes_gives_as_many_as_are_drawn() -> None:
    pinger, _ = made()
    assert pinger.draw(3, "key") == bytes(3)
    with pytest.raises(ValueError, match="entropy gave 3 bytes for key, not 4"):
        pinger.draw(4, "key")


def test_a_role_says_what_it_does_with_packets() -> None:
    with pytest.raises(NotImplementedError):
        DatagramEndpoint.received(made()[0], Pong(1), THERE)
