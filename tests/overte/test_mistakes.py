"""Why a client that does nearly everything right is thrown out after 10 to 20 s: five mistakes, each on its own.

docs/protocols/overte.rst tells them as a story. Each test here makes one of them, everything else being as it should,
and shows what the domain server does with it.
"""

from __future__ import annotations

from pathlib import Path as File
from typing import Any

import pytest
from scripted_overte import DOMAIN_ID, Party, ServerPeer

from sansproto.contract import Address
from sansproto.errors import WireError
from sansproto.overte import packets as p
from sansproto.overte.header import Control, ControlType, Header, decode_datagram, encode_datagram
from sansproto.overte.qt import SockAddr
from sansproto.overte.server_events import Departure, NodeLeft
from sansproto.overte.versions import DEFAULT, PacketType
from sansproto.testing._internal.lenient_overte import read_leniently
from sansproto.testing.vectors import VectorTest, load

VECTORS = File(__file__).parents[2] / "vectors" / "overte" / "codec.json"
SECONDS = 30  # three times as long as a silent node is kept


def vector(name: str, kind: str) -> VectorTest:
    (found,) = (test for test in load(VECTORS) if test.comment.startswith(name) and test.type == kind)
    return found


class Starworld(Party):
    """A client that can make the mistakes. It sends something every second, as it believes it must."""

    sent = 0  # datagrams, counted from 0

    def send(self, kind: PacketType, payload: bytes, *, big_endian: bool = False, source: bool = True) -> None:
        header = Header(
            kind,
            self.sent,
            DEFAULT[kind],
            self.local_id if kind.form.value else None,
            bytes(16) if kind.form.value == 2 else None,
        )
        data = encode_datagram(header, payload)
        if big_endian:
            data = data[3::-1] + data[4:]
        self.sent += 1
        self.domain.say(data if source else data[:6], self.path)

    def keep_alive(self, **mistakes: bool) -> None:
        """A list request, as it should be unless something else is said."""
        fields = {name: getattr(self.request().check_in, name) for name in p.CheckIn.__annotations__}
        self.send(PacketType.DOMAIN_LIST_REQUEST, p.DomainListRequest(**fields).encode(), **mistakes)

    def ping(self) -> None:
        self.send(PacketType.PING, p.Ping(p.PingType.LOCAL, 1, 0).encode())


def let_in(**options: Any) -> Starworld:
    domain = ServerPeer.live(**options)
    party = Starworld(domain)
    assert isinstance(party.connect(), p.DomainList)
    domain.take()
    return party


def lives(party: Starworld, seconds: int, act: Any) -> bool:
    """Let it act every second; is it still a node?"""
    for _ in range(seconds):
        party.domain.wait(1.0)
        act()
    departures = [event for event in party.domain.take() if isinstance(event, NodeLeft)]
    assert departures in ([], [NodeLeft(party.node_id, Departure.SILENT)])
    return not departures


# -- 1: pings to the domain server -------------------------------------------------------------------------------------


def test_a_domain_server_shares_no_secret_and_so_counts_no_ping_as_a_sign_of_life() -> None:
    """ "Expected hash: empty" in the log is no deadlock: nobody was to send this."""
    party = let_in()
    assert lives(party, 9, party.ping)
    assert party.domain.stats.dropped["no secret"] == 9
    assert not lives(party, 2, party.ping)
    assert party.packets(p.PingReply) == []


def test_a_domain_server_does_not_answer_pings_even_where_packets_have_no_mac() -> None:
    """Then they are heard, though nobody handles them: the deadlock is not seen where authentication is off."""
    party = let_in(authenticate=False)
    assert lives(party, SECONDS, party.ping)
    assert party.domain.stats.dropped["unexpected packet"] == SECONDS
    assert party.packets(p.PingReply) == []


# -- 2: the list request without a local id ----------------------------------------------------------------------------


def test_a_list_request_of_six_bytes_is_nobodys() -> None:
    party = let_in()
    lists = len(party.packets(p.DomainList))
    assert lives(party, 9, lambda: party.keep_alive(source=False))
    assert party.domain.stats.dropped["malformed datagram"] == 9
    assert not lives(party, 2, lambda: party.keep_alive(source=False))
    assert len(party.packets(p.DomainList)) == lists  # "the server responds" was to the connect requests beside it


# -- 3: the tag of an IPv4 address -------------------------------------------------------------------------------------

REPLAY = "investigation_connect_payload_replay"
MANGLED = "7f00:1:b991:101:7f00:1:b991:0"  # as his log has it


def test_an_ipv4_address_with_the_tag_of_ipv6_is_malformed() -> None:
    payload = vector(REPLAY, "overte.payload").octets("wire")
    with pytest.raises(WireError) as error:
        p.DomainConnectRequest.decode(payload)
    assert error.value.field == "check_in.public_socket.scope"
    party = Starworld(ServerPeer.live())
    assert party.say(PacketType.DOMAIN_CONNECT_REQUEST, payload) is None  # a strict server says nothing
    assert party.domain.stats.dropped["malformed connect request"] == 1


def test_read_as_the_reference_does_it_gives_the_address_of_his_log() -> None:
    check_in = read_leniently(p.DomainConnectRequest, vector(REPLAY, "overte.lenient").octets("wire")).check_in
    assert check_in.node_type == p.NodeType.AGENT
    assert Address(check_in.public_socket.host, check_in.public_socket.port) == Address(MANGLED, 28416)
    assert check_in.public_socket.port == ord("o") << 8  # of his interest list
    assert (check_in.local_socket.host, check_in.local_socket.port) == ("0.0.0.0", 0)
    assert check_in.interests == b""


# -- 4: what follows from it -------------------------------------------------------------------------------------------


def interests_of(party: Party, interests: bytes) -> tuple[p.DomainList, int]:
    """The list that answers a connect request with these interests, and the size of its datagram."""
    found = party.connect(interests=interests)
    assert isinstance(found, p.DomainList)
    return found, next(len(one.data) for one in reversed(party.domain.transmits) if one.path == party.path)


def test_without_interests_every_list_is_empty_and_no_secret_comes() -> None:
    domain = ServerPeer.live()
    for number, kind in enumerate((p.NodeType.AUDIO_MIXER, p.NodeType.AVATAR_MIXER), 1):
        domain.mixer(number, kind)
    mangled = read_leniently(p.DomainConnectRequest, vector(REPLAY, "overte.lenient").octets("wire")).check_in
    empty, size = interests_of(Starworld(domain), mangled.interests)
    assert (empty.nodes, size) == ((), 72)
    full, size = interests_of(Starworld(domain, port=48002), b"MWoAmS")
    assert [chr(node.type) for node in full.nodes] == ["M", "W"]
    assert size == 72 + 2 * 56
    assert all(any(node.secret) for node in full.nodes)  # this is the handshake that he looked for


# -- 5: the first word, big-endian -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(256))
def test_the_low_byte_of_a_big_endian_counter_falls_on_the_flags(number: int) -> None:
    """Which is harmless up to 7, and then again and again."""
    header = Header(PacketType.DOMAIN_LIST_REQUEST, number, DEFAULT[PacketType.DOMAIN_LIST_REQUEST], 1)
    data = encode_datagram(header, bytes(40))
    data = data[3::-1] + data[4:]
    word = int.from_bytes(data[:4], "little")
    flags = {"control": word >> 31 & 1, "reliable": word >> 30 & 1, "message": word >> 29 & 1, "level": word >> 27 & 3}
    assert flags == {
        "control": number >> 7,
        "reliable": number >> 6 & 1,
        "message": number >> 5 & 1,
        "level": number >> 3 & 3,
    }
    try:
        head, _ = decode_datagram(data)
    except WireError:
        assert number >= 8
        return
    if isinstance(head, Control):
        assert number >= 128
    else:
        assert (head.type is header.type and head.version == header.version and head.source == 1) or number >= 8
        assert (head.obfuscation, head.reliable, head.part is not None) == (
            number >> 3 & 3,
            bool(number & 64),
            bool(number & 32),
        )


@pytest.mark.parametrize("number", [8, 128])
def test_what_the_reference_makes_of_it_is_no_packet_here_either(number: int) -> None:
    found = vector(f"investigation_bug_bigendian_seq_{number}:", "overte.datagram")
    with pytest.raises(WireError) as error:
        decode_datagram(found.octets("wire"))
    assert error.value.fault is found.error
    assert found.octets("wire")[3] == number  # its low byte, where the flags are


def test_a_perfect_keep_alive_dies_of_a_big_endian_word() -> None:
    party = let_in()
    party.sent = 1  # the connect request was number 0

    def beat() -> None:
        party.keep_alive(big_endian=True)

    lists = len(party.packets(p.DomainList))
    assert lives(party, 7, beat)
    assert len(party.packets(p.DomainList)) == lists + 7
    assert lives(party, 9, beat)  # all in vain
    assert not lives(party, 2, beat)
    assert len(party.packets(p.DomainList)) == lists + 7


# -- and without them --------------------------------------------------------------------------------------------------


def test_with_the_five_corrected_the_same_client_stays() -> None:
    party = let_in()
    partner = party.domain.mixer()
    lists = len(party.packets(p.DomainList))

    def beat() -> None:
        party.keep_alive()
        partner.check_in()

    assert lives(party, 600, beat)
    found = party.packets(p.DomainList)
    assert len(found) == lists + 600
    assert (found[-1].domain_id, found[-1].session_id) == (DOMAIN_ID, party.node_id)
    (record,) = found[-1].nodes
    assert (record.type, record.public_socket) == (
        p.NodeType.AUDIO_MIXER,
        SockAddr(partner.path.host, partner.path.port),
    )
    assert any(record.secret)
    assert not party.domain.stats.dropped
    assert party.sent > 256  # past every flag


def test_a_control_packet_of_a_counter_over_127_changes_nothing() -> None:
    """Big-endian counters from 128 on are control packets, for channels that nobody has."""
    party = let_in()
    party.domain.say(encode_datagram(Control(ControlType.ACK, 1)), party.path)
    assert party.domain.stats.dropped["no channel"] == 1
