"""The parts that every role of Overte owns, each driven alone."""

from __future__ import annotations

from pathlib import Path as File
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import PartHost
from scripted_overte import Friend, Talker

from sansproto.contract import Path
from sansproto.overte import crypto
from sansproto.overte.channels import OTHER_VERSION, PACKET, Channels
from sansproto.overte.header import Control, ControlType, Header, Part, Position, decode_datagram, encode_datagram
from sansproto.overte.limits import TransportDelays, TransportLimits
from sansproto.overte.parts import Arrival
from sansproto.overte.receiving import DATA, Receiver, ReceivingInput
from sansproto.overte.remote import SOCKET
from sansproto.overte.sending import ACK, HANDSHAKE_ACK, Outgoing, Sender, SendingInput, SendingState, SendingTimer
from sansproto.overte.versions import DEFAULT, PacketType
from sansproto.testing.tables import check

DOCS = File(__file__).parents[2] / "docs" / "protocols"
PATH = Path(SOCKET, "192.0.2.2", 4000)
REMOTE = (PATH.host, PATH.port, 0)
SETTINGS = PacketType.DOMAIN_SETTINGS


class OverteHost(PartHost):
    """An endpoint that accepts one address, and what all channels have in common."""

    def __init__(self, **limits: int) -> None:
        friend = Friend(7, PATH.host, b"secret")
        super().__init__(
            TransportDelays(),
            TransportLimits(**limits),
            unacknowledged=0,
            unfinished=0,
            friend=friend,
            accepts_channel=lambda path: path == PATH,
            accepts_version=lambda header: header.type is PacketType.DOMAIN_CONNECT_REQUEST,
            accepts_unverified=lambda header, *_: header.type is PacketType.ASSET_GET,
            authenticates=lambda: True,
            source_of=lambda number, _: {7: friend}.get(number),
            arrived=lambda arrival: self.emit((arrival.payload, arrival.peer)),
            undelivered=lambda *what: self.emit(("undelivered", *what)),
        )
        self.channels = Channels(self)

    def said(self) -> list[Any]:
        """The numbers of the control packets, or the payloads, that were sent since the last time."""
        found = [decode_datagram(data) for _, data, *_ in self.told]
        self.told.clear()
        return [(head.type.name, head.sequence) if isinstance(head, Control) else payload for head, payload in found]


def packet(number: int = 1, *, kind: PacketType = SETTINGS, **more: Any) -> Header:
    return Header(kind, number, **{"version": DEFAULT[kind], "reliable": True, **more})


def test_a_sender_alone() -> None:
    host = OverteHost()
    sender = Sender(host, host, REMOTE)
    sender.first = sender.next = 100
    assert sender.queue([Outgoing(packet(), b"a"), Outgoing(packet(), b"b")])
    host.run()
    assert (sender.state, host.said(), host.armed) == (
        SendingState.SHAKING,
        [("HANDSHAKE", 100)],
        {"HANDSHAKE": 0.1, "UNDELIVERED": 15.0},
    )
    for guards, number in ((HANDSHAKE_ACK, 100), (ACK, 100), (ACK, 7), (ACK, 101)):
        sender.take(guards, number)
    host.run()
    assert (sender.state, host.said(), host.armed) == (SendingState.RESTING, [b"a", b"b"], {})
    assert host.stats.noted == {"an acknowledgement that does not fit": 1}
    sender.queue([Outgoing(packet(), b"c")])
    host.run()
    host.fire(sender, SendingTimer.UNDELIVERED)
    assert (sender.state, host.events()) == (SendingState.UNSHAKEN, [("undelivered", PATH, 1)])
    sender.post(SendingInput.REQUESTED())
    host.run()
    assert host.stats.dropped == {"late control packet": 1}


def test_a_receiver_alone() -> None:
    host = OverteHost(messages=1)
    receiver = Receiver(host, host, REMOTE)
    first, last = Part(Position.FIRST, 1, 0), Part(Position.LAST, 1, 1)
    receiver.take(DATA, Arrival(packet(5), b"", PATH))
    receiver.post(ReceivingInput.HANDSHAKE(5))
    for header, payload in (
        (packet(6, part=last), b"def"),
        (packet(7, part=Part(Position.FIRST, 2, 0)), b"?"),
        (packet(5, part=first), b"abc"),
        (packet(5, part=first), b"abc"),
    ):
        receiver.take(DATA, Arrival(header, payload, PATH, host.friend))
    host.run()
    acks = [("ACK", number) for number in (4, 4, 6, 6)]
    assert host.said() == [("HANDSHAKE_REQUEST", None), ("HANDSHAKE_ACK", 5), *acks]
    assert host.events() == [(b"abcdef", host.friend)]
    assert (host.stats.noted, host.unfinished) == ({"too many messages at once": 1}, 0)


def test_channels_alone() -> None:
    host = OverteHost()
    channels, stranger = host.channels, Path(SOCKET, "192.0.2.9", 4000)
    for path in (PATH, stranger):
        channels.take_control(Control(ControlType.HANDSHAKE, 9), path)
        channels.take_control(Control(ControlType.HANDSHAKE_REQUEST), path)
        channels.take_data(Arrival(packet(9), b"x", path))
    host.run()
    assert (host.said(), host.events()) == ([("HANDSHAKE_ACK", 9), ("ACK", 9)], [(b"x", None)])
    assert host.stats.dropped == {"no channel": 4}
    assert channels.sender_to(stranger) is None
    sender = channels.sender_to(PATH)
    assert sender is not None
    assert sender.queue([Outgoing(packet(), b"y")])
    assert (host.stats.refused, len(channels.senders), len(channels.receivers)) == ({"no channel": 1}, 1, 1)
    channels.forget_channel(PATH)
    assert not channels.senders
    assert not channels.receivers


def test_who_is_heard() -> None:
    host = OverteHost()
    channels, mac = host.channels, crypto.mac(b"secret", b"x")
    ping, loose = PacketType.PING, Part(Position.ONLY, 1, 0)
    host.clock = 5.0
    for guards, header in (
        (OTHER_VERSION, packet(version=1, reliable=False)),
        (OTHER_VERSION, packet(version=1, kind=PacketType.DOMAIN_CONNECT_REQUEST)),
        (PACKET, packet(kind=ping, source=8, mac=mac)),
        (PACKET, packet(kind=ping, source=7, mac=bytes(16))),
        (PACKET, packet(kind=ping, source=7, mac=mac, reliable=False)),
        (PACKET, packet(kind=ping, source=7, mac=mac, reliable=False, part=loose)),
    ):
        guards.act(channels, Arrival(header, b"x", PATH))
    assert host.events() == [(b"x", None), (b"x", host.friend)]
    assert host.stats.dropped == {"other version": 1, "unknown source": 1, "wrong hash": 1}
    assert (host.stats.noted, host.friend.heard) == ({"other version": 1, "unreliable message": 1}, 5.0)


@given(st.sampled_from(PacketType), st.booleans(), st.none() | st.just(Part(Position.ONLY, 1, 0)), st.booleans())
def test_what_skips_the_guards_would_pass_them(kind: PacketType, reliable: bool, part: Part | None, ours: bool) -> None:
    """An endpoint hands on at once what has nothing to check. The guards would do the same with it."""
    version = DEFAULT[kind] if ours else DEFAULT[kind] ^ 1
    source, mac = {0: (None, None), 1: (7, None), 2: (7, bytes(16))}[kind.form.value]
    data = encode_datagram(Header(kind, 1, version, source, mac, reliable=reliable, part=part), b"x")
    found = []
    for skips in (True, False):
        talker = Talker(friends=(Friend(7, PATH.host),))
        if skips:
            talker.receive_datagram(data, PATH, 1.0)
        else:
            header, payload = decode_datagram(data)
            assert isinstance(header, Header)
            guards = PACKET if header.version == DEFAULT[kind] else OTHER_VERSION
            guards.act(talker.channels, Arrival(header, payload, PATH))
            talker.advance(1.0)
            talker.run()
        found.append((talker.next_event(), talker.next_transmit(), talker.stats.dropped, talker.stats.noted))
    assert found[0] == found[1]


@pytest.mark.parametrize("part", [Sender, Receiver, Channels])
def test_the_tables_are_whole(part: Any) -> None:
    assert check(part.table, DOCS) == []
