"""What a client asks of its domain, or sends it, about other nodes."""

from __future__ import annotations

import pytest
from scripted_overte import DOMAIN, ClientPeer

from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.overte.header import MAX_DATAGRAM
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
