"""What a client asks of its domain, or sends it, about other nodes."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_overte import DOMAIN, STRANGER, ClientPeer, control

from sansproto.contract import Address
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.overte import packets as p
from sansproto.overte.events import Disconnected, Loss, NotAnswered, UsernameAnswered
from sansproto.overte.header import MAX_DATAGRAM, ControlType
from sansproto.overte.limits import ClientLimits
from sansproto.overte.qt import SockAddr
from sansproto.overte.versions import PacketType

STATS = PacketType.NODE_JSON_STATS


def test_any_packet_goes_to_the_domain_in_all_three_ways() -> None:
    peer = ClientPeer.live()
    assert peer.send_to_domain(STATS, b"{}", peer.now)
    ((header, payload, path),) = peer.sent()
    assert (header.type, header.source, header.mac, payload, path) == (STATS, peer.local_id, None, b"{}", DOMAIN)
    assert not header.reliable
    assert peer.send_to_domain(STATS, b"one", peer.now, reliable=True)
    assert peer.send_to_domain(STATS, bytes(5000), peer.now, message=True)
    peer.shake()
    found = [(header, payload) for header, payload, _ in peer.sent() if header.type is STATS]
    assert [payload for header, payload in found if header.part is None] == [b"one"]
    assert b"".join(payload for header, payload in found if header.part is not None) == bytes(5000)
    assert all(header.reliable and header.source == peer.local_id for header, _ in found)


def test_a_verified_type_to_the_domain_has_an_empty_mac() -> None:
    """The domain shares no secret with anybody."""
    peer = ClientPeer.live()
    assert peer.send_to_domain(PacketType.PING, bytes(17), peer.now)
    ((header, _, _),) = peer.sent()
    assert header.mac == bytes(16)


def test_too_much_for_one_datagram_has_to_be_a_message() -> None:
    peer = ClientPeer.live()
    with pytest.raises(LocalProtocolError, match="1368 bytes"):
        peer.send_to_domain(STATS, bytes(1369), peer.now)
    assert peer.send_to_domain(PacketType.ENTITY_EDIT, bytes(1368), peer.now)
    assert len(peer.take(peer.transmits)[0].data) == MAX_DATAGRAM


def test_nothing_goes_to_a_domain_that_is_not_there() -> None:
    peer = ClientPeer.live(connected=False)
    with pytest.raises(NotOpen):
        peer.send_to_domain(STATS, b"{}", peer.now)


# -- kicking, and asking who somebody is

OTHER = bytes(range(16))


def replied(**says: Any) -> p.UsernameFromIDReply:
    return p.UsernameFromIDReply(**{"id": OTHER, "username": "", "fingerprint": bytes(16), "may_kick": False, **says})


def asked(peer: ClientPeer) -> list[bytes]:
    return [packet.id for _, packet, _ in peer.sent(p.UsernameFromIDRequest)]


def test_a_kick_goes_to_the_domain_with_its_bans() -> None:
    peer = ClientPeer.live()
    assert peer.kick(OTHER, peer.now)
    assert peer.kick(OTHER, peer.now, ban=0)
    peer.shake()
    found = [(header, packet) for header, packet, _ in peer.sent(p.NodeKickRequest)]
    assert [packet for _, packet in found] == [p.NodeKickRequest(OTHER, 3), p.NodeKickRequest(OTHER, 0)]
    assert all(header.reliable and header.source == peer.local_id for header, _ in found)


def test_a_name_is_asked_for_again_until_the_answer_comes() -> None:
    peer = ClientPeer.live()
    peer.ask_username(OTHER, peer.now)
    peer.ask_username(OTHER, peer.now)  # one question is enough
    peer.shake()
    assert asked(peer) == [OTHER]
    peer.say(control(ControlType.ACK, peer.first + 1))  # that and the question for settings: nothing is sent again
    peer.at(peer.now + 0.8)
    assert asked(peer) == []
    peer.at(peer.now + 0.3)
    assert asked(peer) == [OTHER]
    peer.say(replied(username="ada", fingerprint=b"m" * 16, may_kick=True))
    assert peer.take() == [UsernameAnswered(OTHER, username="ada", fingerprint=b"m" * 16, may_kick=True)]
    peer.say(replied())
    assert peer.stats.dropped["an answer to no question"] == 1
    assert not [name for name in peer.timers() if "names" in name]


def test_only_the_domain_answers() -> None:
    peer = ClientPeer.live()
    peer.ask_username(OTHER, peer.now)
    peer.say(replied(), STRANGER)
    peer.say((PacketType.USERNAME_FROM_ID_REPLY, bytes(16) + b"\xff" * 4))
    assert peer.take() == []
    assert peer.stats.dropped == {"not from the domain": 1, "malformed UsernameFromIDReply": 1}


def test_who_is_never_told_of_is_said_after_a_while() -> None:
    peer = ClientPeer.live()
    peer.ask_username(OTHER, peer.now)
    for second in range(1, 7):
        peer.at(float(second))
        peer.list()
    assert NotAnswered(node_id=OTHER) in peer.take()
    peer.at(peer.now + 3.5)
    peer.ask_username(OTHER, peer.now)
    peer.at(peer.now + 5.5)  # the domain is silent: the client is out, and asks nobody
    told = peer.take()
    assert told.index(NotAnswered(node_id=OTHER)) > told.index(Disconnected(Loss.SILENT))


def test_what_cannot_be_asked() -> None:
    peer = ClientPeer.live(limits=ClientLimits(queries=1))
    for verb in (peer.kick, peer.ask_username):
        with pytest.raises(LocalProtocolError, match="16 bytes"):
            verb(b"short", peer.now)
    peer.ask_username(OTHER, peer.now)
    peer.ask_username(OTHER, peer.now)
    with pytest.raises(LocalProtocolError, match="too many"):
        peer.ask_username(bytes(16), peer.now)
    outside = ClientPeer.live(connected=False)
    for verb in (outside.kick, outside.ask_username):
        with pytest.raises(NotOpen):
            verb(OTHER, 0.0)


# -- our own public address


def test_a_public_address_that_is_known_is_told() -> None:
    peer = ClientPeer.live(connected=False, public=("203.0.113.7", 40105))
    peer.go()
    (request,) = (packet for _, packet, _ in peer.sent(p.DomainConnectRequest))
    assert request.check_in.public_socket == SockAddr("203.0.113.7", 40105)
    peer.list()
    peer.sent()
    peer.bind(Address("192.168.1.24", 48002))  # another port here, the same one outside
    (request,) = (packet for _, packet, _ in peer.sent(p.DomainConnectRequest))
    assert request.check_in.public_socket == SockAddr("203.0.113.7", 40105)
    assert request.check_in.local_socket.port == 48002


@pytest.mark.parametrize("public", [("here", 1), ("203.0.113.7", 65536)])
def test_a_public_address_that_cannot_be_told_is_refused(public: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        ClientPeer.live(public=public)


def test_public_address_and_stun_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="stun and public"):
        ClientPeer.live(public=("203.0.113.7", 1), stun=("stun.example", 3478))
