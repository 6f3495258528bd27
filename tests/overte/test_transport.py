"""One socket, headers, MACs, who is heard: what the roles of Overte have in common."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_overte import Friend, Talker, got, sent, to

from sansproto.contract import Address, Path
from sansproto.errors import WireError
from sansproto.events import Closed
from sansproto.overte import crypto
from sansproto.overte.endpoint import OverteEndpoint
from sansproto.overte.events import PacketReceived
from sansproto.overte.header import (
    MAX_DATAGRAM,
    MAX_SEQUENCE,
    NO_MAC,
    Control,
    ControlType,
    Head,
    Header,
    Part,
    Position,
    decode_datagram,
    encode_datagram,
)
from sansproto.overte.limits import ClientLimits, IceLimits, ServerLimits, TransportDelays, TransportLimits
from sansproto.overte.packets import ConnectionToken, DomainSettingsRequest, Ping
from sansproto.overte.parts import read
from sansproto.overte.qt import SockAddr
from sansproto.overte.remote import SOCKET, path_to
from sansproto.overte.versions import DEFAULT, VERSIONS, Form, PacketType
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.trace import PacketSeen

HOST, SECRET = "192.0.2.2", bytes(range(16))
LIST_REQUEST, PING = PacketType.DOMAIN_LIST_REQUEST, PacketType.PING
types = st.sampled_from(PacketType)


class Lenient(Talker):
    """A role that takes something unverified, something of another version, and something that is not ours."""

    def accepts_unverified(self, header: Header, path: Path, peer: Any) -> bool:
        return header.type is PacketType.ASSET_GET_REPLY

    def accepts_version(self, header: Header) -> bool:
        return header.type is PacketType.PING_REPLY

    def decode(self, data: bytes, path: Path) -> tuple[Head, bytes] | None:
        return None if data.startswith(b"STUN") else super().decode(data, path)


def a_talker(role: type[Talker] = Talker, **options: Any) -> Talker:
    return role(friends=(Friend(7, HOST, SECRET), Friend(8, HOST)), **options)


def header(kind: PacketType, source: int | None = None, mac: bytes | None = None, **changes: Any) -> Header:
    return attrs.evolve(Header(kind, 1, DEFAULT[kind], source, mac), **changes)


def deliver(talker: Talker, head: Header | Control, payload: bytes = b"", now: float = 5.0, host: str = HOST) -> None:
    talker.receive_datagram(encode_datagram(head, payload), to(host), now)


# -- sending -----------------------------------------------------------------------------------------------------------


@given(types, st.binary(max_size=40), st.integers(0, 0xFFFF), st.sampled_from([b"", SECRET]), st.booleans())
def test_what_is_sent_has_the_header_of_its_type(
    kind: PacketType, payload: bytes, source: int, secret: bytes, authenticates: bool
) -> None:
    """The fast way to a datagram makes the same bytes as the codec, and the reliable way the same fields."""
    talker = a_talker()
    talker.authenticates = lambda: authenticates  # type: ignore[method-assign]
    mac = crypto.mac(secret, payload) if secret and authenticates else NO_MAC
    expected = {
        Form.UNSOURCED: header(kind),
        Form.SOURCED: header(kind, source),
        Form.VERIFIED: header(kind, source, mac),
    }[kind.form]
    talker.send_raw(to(HOST), kind, payload, source=source, mac=talker.mac_for(kind, payload, secret))
    transmit: Any = talker.next_transmit()
    assert transmit.data == encode_datagram(expected, payload)
    assert transmit.path == to(HOST)
    assert talker.send_reliable(to(HOST), (kind, payload), source=source, secret=secret)
    (outgoing,) = talker.channels.senders[HOST, 4000, 0].packets
    assert (outgoing.header, outgoing.payload) == (attrs.evolve(expected, reliable=True, sequence=0), payload)


def test_packets_know_their_types() -> None:
    talker = a_talker()
    ping = Ping(type=2, clock=5, connection_id=0)
    talker.send_packet(to(HOST), ping, source=9, secret=SECRET)
    talker.send_packet(to(HOST), ConnectionToken(token=SECRET))
    assert [(head.type, payload) for head, payload in sent(talker)] == [
        (PING, ping.encode()),
        (PacketType.DOMAIN_SERVER_CONNECTION_TOKEN, SECRET),
    ]
    assert talker.send_reliable(to(HOST), DomainSettingsRequest(type=7))
    (outgoing,) = talker.channels.senders[HOST, 4000, 0].packets
    assert (outgoing.header.type, outgoing.payload) == (PacketType.DOMAIN_SETTINGS_REQUEST, b"\7")


@given(types, st.integers(0, 6000))
def test_every_part_of_a_message_is_as_large_as_a_datagram_may_be(kind: PacketType, size: int) -> None:
    talker = a_talker()
    payload = bytes(i % 251 for i in range(size))
    assert talker.tell(to(HOST), payload, 0.0, type=kind, secret=SECRET)
    packets = [*talker.channels.senders[HOST, 4000, 0].packets]
    parts = [packet.header.part for packet in packets]
    assert b"".join(packet.payload for packet in packets) == payload
    assert [part.number for part in parts if part] == [*range(len(packets))]
    if len(packets) == 1:
        assert parts == [Part(Position.ONLY, 1, 0)]
    else:
        middle = [Position.MIDDLE] * (len(packets) - 2)
        assert [part.position for part in parts if part] == [Position.FIRST, *middle, Position.LAST]
    sizes = [len(encode_datagram(packet.header, packet.payload)) for packet in packets]
    assert all(found == MAX_DATAGRAM for found in sizes[:-1])
    assert sizes[-1] <= MAX_DATAGRAM
    if kind.form is Form.VERIFIED:
        assert all(packet.header.mac == crypto.mac(SECRET, packet.payload) for packet in packets)


def test_each_address_has_its_numbers_from_1_on_and_around() -> None:
    talker = a_talker(limits=TransportLimits(addresses=2))

    def number(host: str, port: int = 4000) -> int | None:
        talker.send_raw(to(host, port), LIST_REQUEST, b"")
        ((head, _),) = sent(talker)
        return head.sequence

    assert [number(HOST), number(HOST), number(HOST, 4001), number(HOST)] == [1, 2, 1, 3]
    assert number("192.0.2.3") == 1  # the third address: the first one is forgotten
    assert [number(HOST, 4001), number(HOST)] == [2, 1]
    assert len(talker._sequences) == 2
    talker._sequences[HOST, 4000, 0] = MAX_SEQUENCE - 1
    assert [number(HOST), number(HOST), number(HOST)] == [MAX_SEQUENCE, 0, 1]


def test_messages_have_numbers_that_go_round() -> None:
    talker = a_talker()
    talker.tell(to(HOST), b"", 0.0)
    sender = talker.channels.senders[HOST, 4000, 0]
    sender.message = (1 << 30) - 1
    talker.tell(to(HOST), b"", 0.0)
    assert [packet.header.part.message for packet in sender.packets if packet.header.part] == [1, 0]


def test_over_the_outbox_nothing_is_queued_and_nothing_taken() -> None:
    talker = a_talker(limits=TransportLimits(outbox=2))
    for _ in range(3):
        talker.send_raw(to(HOST), LIST_REQUEST, b"", source=7)
    deliver(talker, header(LIST_REQUEST, 7))
    assert talker.stats.refused == {"outbox full": 1}
    assert talker.stats.dropped == {"busy": 1}
    assert talker.stats.packets_sent == 2
    assert len(sent(talker)) == 2
    deliver(talker, header(LIST_REQUEST, 7))
    assert got(talker) == [b""]


# -- receiving ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (header(PacketType.DOMAIN_LIST), None),
        (header(LIST_REQUEST, 7), None),
        (header(LIST_REQUEST, 8), None),  # it has no secret, and needs none
        (header(LIST_REQUEST, 9), "unknown source"),
        (header(PING, 9, crypto.mac(SECRET, b"x")), "unknown source"),
        (header(PING, 7, crypto.mac(SECRET, b"x")), None),
        (header(PING, 7, crypto.mac(SECRET, b"y")), "wrong hash"),
        (header(PING, 7, NO_MAC), "wrong hash"),
        (header(PING, 8, crypto.mac(SECRET, b"x")), "no secret"),
        (header(PING, 8, crypto.mac(bytes(16), b"x")), "no secret"),
        (header(PING, 8, crypto.mac(b"", b"x")), "no secret"),
        (header(PING, 7, crypto.mac(SECRET, b"x"), version=19), "other version"),
        (header(LIST_REQUEST, 7, part=Part(Position.ONLY, 1, 0)), "unreliable message"),
    ],
)
def test_who_is_heard(head: Header, reason: str | None) -> None:
    talker = a_talker()
    deliver(talker, head, b"x")
    arrived = [PacketReceived(bytes([head.source or 0]), head.type, payload=b"x")] if reason is None else []
    assert [*iter(talker.next_event, None)] == arrived
    counted = talker.stats.noted if reason == "unreliable message" else talker.stats.dropped
    assert counted == ({reason: 1} if reason else {})
    heard = {friend.local_id for friend in talker.friends.values() if friend.heard == 5.0}
    accepted = reason is None or reason == "unreliable message"
    assert heard == ({head.source} if accepted and head.source else set())


def test_without_authentication_any_mac_will_do() -> None:
    talker = a_talker()
    talker.authenticates = lambda: False  # type: ignore[method-assign]
    deliver(talker, header(PING, 8, NO_MAC), b"x")
    assert got(talker) == [b"x"]


def test_a_role_may_take_some_types_unverified() -> None:
    talker = a_talker(Lenient)
    deliver(talker, header(PacketType.ASSET_GET_REPLY, 8, NO_MAC), b"x")
    deliver(talker, header(PING, 8, NO_MAC), b"y")
    assert got(talker) == [b"x"]
    assert talker.stats.dropped == {"no secret": 1}


def test_a_role_may_take_other_versions_of_some_types() -> None:
    talker = a_talker(Lenient, versions=VERSIONS["2026-newest-known"])
    for kind in (PacketType.PING_REPLY, PacketType.ENTITY_DATA):
        deliver(talker, header(kind, 7, NO_MAC), b"x")
    assert [*iter(talker.next_event, None)] == [PacketReceived(b"\7", PacketType.PING_REPLY, payload=b"x")]
    assert talker.friends[7].heard == 0.0
    assert talker.stats.dropped == {"other version": 1}


def test_a_reliable_packet_that_is_not_genuine_is_not_acknowledged() -> None:
    talker = a_talker()
    deliver(talker, Control(ControlType.HANDSHAKE, 1))
    sent(talker)
    deliver(talker, header(PING, 7, NO_MAC, reliable=True), b"x")
    assert sent(talker) == []
    deliver(talker, header(PING, 7, crypto.mac(SECRET, b"x"), reliable=True, obfuscation=3), b"x")
    assert sent(talker) == [(Control(ControlType.ACK, 1), b"")]
    assert [*iter(talker.next_event, None)] == [PacketReceived(b"\7", PING, payload=b"x")]


def test_what_is_no_datagram_of_ours_may_be_somebody_elses() -> None:
    talker = a_talker(Lenient)
    talker.receive_datagram(b"STUN", to(HOST), 0.0)
    assert talker.stats.dropped == {}
    talker.receive_datagram(b"STU", to(HOST), 0.0)
    assert talker.stats.dropped == {"malformed datagram": 1}
    assert talker.stats.bytes_received == 7
    assert talker.stats.packets_received == 0


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_nothing_that_arrives_raises(datagrams: list[bytes]) -> None:
    talker = a_talker()
    for datagram in datagrams:
        for host in (HOST, "192.0.2.99"):
            talker.receive_datagram(datagram, to(host), 1.0)
    for host in talker.channels.senders, talker.channels.receivers:
        assert len(host) <= 1


def test_payloads_are_read_with_and_without_something_behind() -> None:
    talker = a_talker()
    assert read(talker.channels, ConnectionToken, SECRET) == ConnectionToken(token=SECRET)
    assert talker.stats.noted == {}
    assert read(talker.channels, ConnectionToken, SECRET + b"more") == ConnectionToken(token=SECRET)
    with pytest.raises(WireError):
        read(talker.channels, ConnectionToken, SECRET[1:])
    assert talker.stats.noted == {"trailing bytes": 1}


class Deaf(OverteEndpoint[Closed, TransportDelays, TransportLimits]):
    """A role that says nothing about whom it knows."""


def test_without_a_role_there_are_only_strangers() -> None:
    deaf = Deaf(
        entropy=ScriptedEntropy(),
        wall_epoch=0.0,
        versions=DEFAULT,
        delays=TransportDelays(),
        limits=TransportLimits(),
        trace=None,
    )
    before = deaf.freeze(0.0, leave_out=frozenset({"stats"}))
    heads = [
        header(PacketType.DOMAIN_LIST),
        header(PacketType.DOMAIN_LIST, version=1),
        header(PING, 7, NO_MAC),
        header(PacketType.DOMAIN_SETTINGS, reliable=True),
        *(Control(kind, 1) for kind in ControlType if kind is not ControlType.HANDSHAKE_REQUEST),
        Control(ControlType.HANDSHAKE_REQUEST),
    ]
    for head in heads:
        deaf.receive_datagram(encode_datagram(head), to(HOST), 0.0)
    assert deaf.freeze(0.0, leave_out=frozenset({"stats"})) == before
    assert deaf.stats.dropped == {"unexpected packet": 1, "other version": 1, "unknown source": 1, "no channel": 5}
    assert deaf.authenticates()
    assert not deaf.accepts_unverified(heads[2], to(HOST), Friend(7, HOST))


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_the_wall_clock_is_in_microseconds() -> None:
    talker = a_talker()
    talker.advance(2.5)
    assert talker.wall_us() == 1_700_000_002_500_000


def test_reports_of_the_transport() -> None:
    talker = a_talker()
    talker.socket_bound(SOCKET, Address("192.0.2.1", 4000), 0.0)
    talker.socket_bound("other", Address("192.0.2.1", 4001), 0.0)
    talker.datagram_failed(to(HOST), 0.0, detail="port unreachable")
    assert talker.local == Address("192.0.2.1", 4000)
    assert talker.stats.dropped == {"unexpected report": 1, "datagram failed": 1}
    talker.abort()
    talker.stats.dropped.clear()
    talker.socket_bound(SOCKET, Address("192.0.2.1", 4002), 0.0)
    talker.datagram_failed(to(HOST), 0.0)
    deliver(talker, header(LIST_REQUEST, 7))
    assert talker.local == Address("192.0.2.1", 4000)
    assert talker.stats.dropped == {"closed": 3}


def test_the_trace_names_what_passes_and_nothing_of_what_is_in_it() -> None:
    records: list[Any] = []
    talker = a_talker(trace=records.append)
    talker.send_raw(to(HOST), PING, b"payload", source=1, mac=crypto.mac(SECRET, b"payload"))
    datagram: Any = talker.next_transmit()
    deliver(talker, attrs.evolve(decode_datagram(datagram.data)[0], source=7), b"payload")
    deliver(talker, Control(ControlType.HANDSHAKE, 5))
    seen = [(record.sent, record.name, record.size) for record in records if isinstance(record, PacketSeen)]
    assert seen == [(True, "PING", 31), (False, "PING", 31), (False, "HANDSHAKE", 8), (True, "HANDSHAKE_ACK", 8)]
    assert "payload" not in repr(records)


NONE_OF_THEM = {
    *((kind, "links") for kind in (ClientLimits, ServerLimits, IceLimits)),
    *((ClientLimits, name) for name in ("nodes", "connection_ids", "queries")),
    *((ServerLimits, name) for name in ("punches", "beats", "denials")),
}
"""Of these there may be none."""


@pytest.mark.parametrize("kind", [ClientLimits, ServerLimits, IceLimits])
def test_limits_leave_room_for_something(kind: Any) -> None:
    """With none, a session would wait for ever, or look for what it could not keep."""
    for field in attrs.fields(kind):
        least = 0 if (kind, field.name) in NONE_OF_THEM else 1
        kind(**{field.name: least})
        with pytest.raises(ValueError, match=field.name):
            kind(**{field.name: least - 1})


@pytest.mark.parametrize("host", ["", "*", "0.0.0.0", "::", "::ffff:0.0.0.0"])
def test_nothing_is_sent_to_an_address_that_is_none(host: str) -> None:
    assert path_to(SockAddr(host, 1)) is None
