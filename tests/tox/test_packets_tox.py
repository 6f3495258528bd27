"""What is sealed in packets, payloads and their padding, packed nodes, points that are no keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from sansproto.contract import Address
from sansproto.errors import Fault, WireError
from sansproto.testing.conformance_tox import PARTS
from sansproto.testing.strategies import packets
from sansproto.tox import Relay, crypto, nodes, payloads
from sansproto.tox import packets as p
from sansproto.wire import OneOf, Packet

ONE, OTHER = crypto.KeyPair.of(b"\1" * 32), crypto.KeyPair.of(b"\2" * 32)
KEY = crypto.agree(ONE.secret, OTHER.public)
NONCE = bytes(range(24))
PRIME = 2**255 - 19
ORDER_8 = (
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
)
SMALL = [
    *((number % 2**255).to_bytes(32, "little") for number in (0, 1, PRIME - 1, PRIME, PRIME + 1)),
    *map(bytes.fromhex, ORDER_8),
]
SMALL += [point[:-1] + bytes([point[-1] | 0x80]) for point in SMALL]
"""All encodings of the points of small order, with the bit that is not looked at."""


def fault_of(function: Callable[..., Any], *arguments: Any) -> tuple[Fault, str]:
    with pytest.raises(WireError) as caught:
        function(*arguments)
    return caught.value.fault, caught.value.field


# -- keys


@pytest.mark.parametrize("point", SMALL, ids=bytes.hex)
def test_a_point_of_small_order_is_no_key(point: bytes) -> None:
    with pytest.raises(CryptoError):
        sodium.crypto_box_beforenm(point, ONE.secret)
    assert not crypto.is_key(point)
    assert fault_of(crypto.agree, ONE.secret, point) == (Fault.BAD_POINT, "")


@given(st.binary(min_size=32, max_size=32).filter(lambda point: point not in SMALL))
@example((2).to_bytes(32, "little"))
@example((PRIME - 2).to_bytes(32, "little"))
@example((PRIME + 2).to_bytes(32, "little"))
def test_every_other_point_is_one(point: bytes) -> None:
    assert crypto.is_key(point)
    assert crypto.agree(ONE.secret, point) == sodium.crypto_box_beforenm(point, ONE.secret)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_has_32_bytes(size: int) -> None:
    assert not crypto.is_key(b"\3" * size)
    assert fault_of(crypto.agree, ONE.secret, b"\3" * size) == (Fault.BAD_POINT, "")
    with pytest.raises(ValueError, match="32 bytes"):
        crypto.KeyPair.of(b"\3" * size)


def test_a_secret_key_is_not_shown() -> None:
    assert "\\x01" not in repr(ONE)
    assert repr(ONE.public) in repr(ONE)


# -- what is sealed


@pytest.mark.parametrize(
    ("kind", "name", "make"),
    [
        (p.CookieRequestBody, "real_key", lambda point: p.CookieRequestBody(point, bytes(32), bytes(8))),
        (p.HandshakeBody, "session_key", lambda point: p.HandshakeBody(NONCE, point, bytes(64), bytes(112))),
        (p.RelayKeys, "key", lambda point: p.RelayKeys(point, NONCE)),
    ],
)
def test_a_sealed_key_has_to_be_one(kind: type[Packet], name: str, make: Callable[[bytes], Packet]) -> None:
    for point in SMALL:
        packet = p.RelayAnswer(NONCE, crypto.seal_body(KEY, NONCE, make(point)))
        assert fault_of(crypto.open_body, kind, KEY, packet) == (Fault.BAD_POINT, name)
    packet = p.RelayAnswer(NONCE, crypto.seal_body(KEY, NONCE, make(ONE.public)))
    assert crypto.open_body(kind, KEY, packet) == make(ONE.public)


def test_what_was_changed_does_not_open() -> None:
    body = p.CookieResponseBody(bytes(112), b"number08")
    packet = p.CookieResponse(NONCE, crypto.seal_body(KEY, NONCE, body))
    assert crypto.open_body(p.CookieResponseBody, KEY, packet) == body
    for bit in (0, 15 * 8, 16 * 8, 8 * len(packet.sealed) - 1):
        changed = bytearray(packet.sealed)
        changed[bit // 8] ^= 1 << bit % 8
        other = p.CookieResponse(NONCE, bytes(changed))
        assert fault_of(crypto.open_body, p.CookieResponseBody, KEY, other) == (Fault.BAD_MAC, "")
    other = p.CookieResponse(crypto.nonce_after(NONCE, 1), packet.sealed)
    assert fault_of(crypto.open_body, p.CookieResponseBody, KEY, other) == (Fault.BAD_MAC, "")
    assert fault_of(crypto.open_sealed, KEY, NONCE, b"") == (Fault.BAD_MAC, "")


def test_a_cookie_opens_for_its_issuer_alone() -> None:
    cookie = crypto.make_cookie(b"\7" * 32, NONCE, 12345678901, ONE.public, OTHER.public)
    assert len(cookie) == p.COOKIE_SIZE
    assert crypto.open_cookie(b"\7" * 32, cookie) == p.CookieBody(12345678901, ONE.public, OTHER.public)
    assert fault_of(crypto.open_cookie, b"\x08" * 32, cookie) == (Fault.BAD_MAC, "")


def test_a_handshake_is_bound_to_the_cookie_outside() -> None:
    cookie, other = b"\5" * 112, b"\5" * 111 + b"\6"
    packet = crypto.make_handshake(KEY, NONCE, cookie, NONCE, ONE.public, other)
    assert crypto.open_handshake(KEY, packet) == p.HandshakeBody(NONCE, ONE.public, crypto.sha512(cookie), other)
    moved = p.Handshake(other, packet.nonce, packet.sealed)
    assert fault_of(crypto.open_handshake, KEY, moved) == (Fault.BAD_CHECKSUM, "cookie_hash")
    wrong = crypto.agree(ONE.secret, ONE.public)
    assert fault_of(crypto.open_handshake, wrong, packet) == (Fault.BAD_MAC, "")


FRAMES = [
    p.RelayPing(b"number08"),
    p.RoutingRequest(ONE.public),
    p.OobSend(ONE.public, b"x"),
    p.Relayed(16, b""),
    p.Relayed(255, b"x" * p.MAX_RELAYED),
]


def open_frame(key: bytes, nonce: bytes, sealed: bytes) -> p.Control | p.Relayed:
    return p.decode_frame(crypto.open_sealed(key, nonce, sealed))


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: f"{type(frame).__name__}")
def test_a_frame_is_sealed_behind_its_length(frame: p.Control | p.Relayed) -> None:
    wire = crypto.seal_frame(KEY, NONCE, frame)
    length = int.from_bytes(wire[:2], "big")
    assert (len(wire), length <= p.MAX_FRAME) == (2 + length, True)
    assert open_frame(KEY, NONCE, wire[2:]) == frame
    assert fault_of(open_frame, KEY, crypto.nonce_after(NONCE, 1), wire[2:]) == (Fault.BAD_MAC, "")


def test_a_frame_of_nothing_is_none() -> None:
    assert fault_of(open_frame, KEY, NONCE, crypto.seal(KEY, NONCE, b"")) == (Fault.TRUNCATED, "")


UNIONS: list[OneOf[Any]] = [p.DATAGRAM, p.FRIEND, p.CONTROL, p.NODE]


@given(packet=st.one_of([packets(kind) for codec in UNIONS for kind in codec.packets.values()]))
def test_round_trip_of_tagged_packets(packet: Packet) -> None:
    codec = next(one for one in UNIONS if type(packet) in one.packets.values())
    assert codec.decode(codec.encode(packet)) == packet


@given(packet=st.one_of([packets(kind) for kind in (*PARTS.values(), p.Relayed)]))
def test_round_trip_of_other_packets(packet: Packet) -> None:
    assert type(packet).decode(packet.encode()) == packet


# -- payloads


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=p.MAX_PAYLOAD))
@example(0, 2**32 - 1, b"\x01" + bytes(1372))
@example(1, 2, b"\x01")
def test_a_payload_comes_back_from_a_packet_of_a_size_of_eight(start: int, number: int, payload: bytes) -> None:
    payload = b"\x10" + payload[1:]
    clear = payloads.write(start, number, payload)
    size = len(p.DATAGRAM.encode(p.Data(0, crypto.seal(KEY, NONCE, clear))))
    assert size % 8 == 0
    assert size - 27 - len(payload) < 8
    assert 32 <= size <= p.MAX_PACKET
    assert payloads.read(clear) == (start, number, payload)
    assert p.DataBody.decode(clear) == p.DataBody(start, number, bytes(-(len(payload) + 3) % 8) + payload)


@given(st.integers(0, 1372), st.binary(max_size=8))
def test_any_number_of_zeros_is_passed_over(zeros: int, rest: bytes) -> None:
    clear = p.DataBody(1, 2, bytes(zeros) + b"\x10" + rest).encode() if zeros < 1364 else bytes(8 + zeros)
    assert payloads.read(clear)[2] == (b"\x10" + rest if zeros < 1364 else b"")


# -- nodes

V4 = Relay(ONE.public, Address("10.0.0.1", 33445))
V6 = Relay(OTHER.public, Address("2001:db8::1", 443))
ADDRESSES = st.one_of([st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda one: one.ipv4_mapped is None)])
RELAYS = st.builds(
    lambda key, host, port: Relay(key, Address(str(host), port)),
    st.binary(min_size=32, max_size=32).filter(crypto.is_key),
    ADDRESSES,
    st.integers(0, 65535),
)


@given(st.lists(RELAYS, min_size=1, max_size=5))
def test_three_relays_arrive(relays: list[Relay]) -> None:
    packed = nodes.encode_nodes(relays)
    assert nodes.decode_nodes(packed) == tuple(relays[:3])
    assert packed == nodes.encode_nodes(relays[:3])


def test_more_than_three_are_not_looked_at() -> None:
    packed = nodes.encode_nodes([V4, V6, V4])
    assert nodes.decode_nodes(packed + nodes.encode_nodes([V6])) == (V4, V6, V4)
    assert nodes.decode_nodes(packed + b"\x82 and what is cut off") == (V4, V6, V4)


def test_a_udp_node_is_taken_as_a_relay() -> None:
    udp = p.NODE.encode(p.UdpV4(bytes([10, 0, 0, 1]), 33445, ONE.public))
    assert nodes.decode_nodes(udp) == (V4,)


def test_ipv4_within_ipv6_is_ipv4() -> None:
    packed = p.NODE.encode(p.TcpV6(bytes(10) + b"\xff\xff" + bytes([10, 0, 0, 1]), 33445, ONE.public))
    assert nodes.decode_nodes(packed) == (V4,)
    mapped = Relay(ONE.public, Address("::ffff:10.0.0.1", 33445))
    assert nodes.encode_nodes([mapped]) == nodes.encode_nodes([V4])


@pytest.mark.parametrize("end", [b"\x81" + bytes(38), b"\0", b"\x82", b"\x82" + bytes(5), b"\x8a" + bytes(17)])
def test_an_address_that_cannot_be_read_ends_the_list(end: bytes) -> None:
    assert nodes.decode_nodes(nodes.encode_nodes([V4]) + end) == (V4,)
    assert fault_of(nodes.decode_nodes, end)[0] in (Fault.BAD_TYPE, Fault.TRUNCATED)


@pytest.mark.parametrize("cut", range(32))
def test_a_key_that_is_cut_off_drops_the_list(cut: int) -> None:
    second = nodes.encode_nodes([V6])
    assert fault_of(nodes.decode_nodes, nodes.encode_nodes([V4]) + second[: 19 + cut]) == (Fault.TRUNCATED, "key")


def test_a_key_that_is_none_drops_the_list() -> None:
    bad = p.NODE.encode(p.TcpV4(bytes(4), 80, SMALL[0]))
    assert fault_of(nodes.decode_nodes, nodes.encode_nodes([V4]) + bad) == (Fault.BAD_POINT, "key")


def test_no_node_is_no_list() -> None:
    assert fault_of(nodes.decode_nodes, b"") == (Fault.TRUNCATED, "")
