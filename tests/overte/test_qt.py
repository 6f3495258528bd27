"""QDataStream's encodings: laws, limits, and how the reference reads what is broken."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansproto.errors import Fault, WireError
from sansproto.overte import packets as p
from sansproto.overte import qt
from sansproto.testing._internal.lenient_overte import read_leniently
from sansproto.testing._internal.qt_compression import deflate, inflate
from sansproto.testing.strategies import values
from sansproto.wire import Codec, HexInt, Packet, field, packet

T = TypeVar("T")

CODECS = [qt.QSTRING, qt.QBYTEARRAY, qt.UUID, qt.U8_LIST, qt.WRITE_BYTES, qt.SOCK_ADDR, qt.TYPED_SOCK_ADDR]
by_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: str(codec.shape().type_name))


def attempt(decode: Callable[[bytes], T], data: bytes) -> T | WireError:
    try:
        return decode(data)
    except WireError as error:
        return error


@pytest.mark.unmeasured
@by_codec
@given(st.data())
def test_round_trip(codec: Codec[object], data: st.DataObject) -> None:
    value = data.draw(values(codec))
    wire = codec.encode(value)
    assert codec.decode(wire) == value
    assert codec.shape().min_size <= len(wire) <= (codec.shape().max_size or 0)
    tree = codec.dissect(wire)
    assert (tree.value, tree.fault) == (value, None)
    for size in range(len(wire)):
        with pytest.raises(WireError) as error:
            codec.decode(wire[:size])
        assert error.value.fault is Fault.TRUNCATED
        assert 0 < error.value.need <= len(wire) - size
        assert codec.dissect(wire[:size]).fault is Fault.TRUNCATED


@pytest.mark.unmeasured
@by_codec
@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda data: b"\1\1" + data))
def test_any_bytes_are_a_value_or_a_wire_error(codec: Codec[object], data: bytes) -> None:
    tree = codec.dissect(data)
    value = attempt(codec.decode, data)
    if isinstance(value, WireError):
        assert tree.fault is value.fault
    else:
        assert codec.encode(value) == data
        assert codec.decode(bytearray(data)) == value == tree.value


def test_every_pair_of_utf16_units_comes_back() -> None:
    edges = [0, 0x41, 0xD7FF, 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xE000, 0xFFFE, 0xFEFF, 0xFFFF]
    for first in edges:
        for second in edges:
            wire = b"\0\0\0\4" + first.to_bytes(2, "big") + second.to_bytes(2, "big")
            assert qt.QSTRING.encode(qt.QSTRING.decode(wire)) == wire


@pytest.mark.parametrize(
    ("codec", "value", "fault"),
    [
        (qt.QSTRING, "\ud83d\ude00", Fault.BAD_VALUE),  # two characters for the bytes of one
        (qt.QSTRING, "x" * 697, Fault.BAD_LENGTH),
        (qt.QBYTEARRAY, bytes(1393), Fault.BAD_LENGTH),
        (qt.SOCK_ADDR, qt.SockAddr("localhost", 1), Fault.BAD_VALUE),
        (qt.SOCK_ADDR, qt.SockAddr("0:0::1", 1), Fault.BAD_VALUE),
        (qt.SOCK_ADDR, qt.SockAddr("::ffff:c000:201", 1), Fault.BAD_VALUE),
        (qt.SOCK_ADDR, qt.SockAddr("192.0.2.1", 65536), Fault.BAD_VALUE),
        (qt.SOCK_ADDR, qt.SockAddr("192.0.2.1", 1, scope=""), Fault.BAD_VALUE),
        (qt.SOCK_ADDR, qt.SockAddr("192.0.2.1", 1, kind=qt.SocketType.WEBRTC), Fault.BAD_VALUE),
        (qt.TYPED_SOCK_ADDR, qt.SockAddr("192.0.2.1", 1, kind=256), Fault.BAD_VALUE),
    ],
)
def test_what_has_no_encoding(codec: Codec[object], value: object, fault: Fault) -> None:
    with pytest.raises(WireError) as error:
        codec.encode(value)
    assert error.value.fault is fault


def test_null_is_address_and_port() -> None:
    assert qt.NULL_SOCK_ADDR.is_null
    assert not qt.SockAddr("", 1).is_null
    assert not qt.SockAddr("0.0.0.0", 0).is_null


def test_text_of_a_uuid() -> None:
    assert qt.uuid_text(bytes.fromhex("00112233445566778899aabbccddeeff")) == "00112233-4455-6677-8899-aabbccddeeff"


def test_a_bomb_is_not_inflated() -> None:
    bomb = deflate(bytes(50_000_000))
    tracemalloc.start()
    for announced in (bomb[:4], (1000).to_bytes(4, "big")):
        with pytest.raises(WireError) as error:
            inflate(announced + bomb[4:], 1000)
        assert error.value.fault is Fault.BAD_LENGTH
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@given(st.binary(max_size=300))
def test_compressed_comes_back(content: bytes) -> None:
    assert inflate(deflate(content), len(content)) == content


@given(st.binary(max_size=60))
def test_inflating_raises_nothing_else(data: bytes) -> None:
    for given_bytes in (data, bytes(3) + b"\x09" + data):
        content = attempt(lambda data: inflate(data, 10), given_bytes)
        assert isinstance(content, WireError) or len(content) <= 10


# -- the lenient reader


@pytest.mark.parametrize("kind", p.PACKETS.values(), ids=lambda kind: str(kind.__name__))
@given(st.data())
def test_the_lenient_reader_agrees_where_nothing_is_wrong(kind: type[Packet], data: st.DataObject) -> None:
    wire = data.draw(st.binary(max_size=200))
    lenient = read_leniently(kind, wire)
    assert type(lenient) is kind
    strict = attempt(kind.decode, wire)
    assert isinstance(strict, WireError) or lenient == strict


def test_behind_the_end_is_zero_and_a_long_read_uses_up_the_rest() -> None:
    empty = read_leniently(p.DomainConnectRequest, b"")
    assert (empty.connect_id, empty.system_info, empty.hardware_address, empty.reason) == (bytes(16), b"", "", 0)
    assert empty.check_in.public_socket == qt.SockAddr("0.0.0.0", 0, kind=0)
    nulls = read_leniently(p.DomainConnectRequest, bytes(20) + b"\xff" * 4 + bytes(16) + b"\xff" * 4)
    assert nulls.hardware_address is None
    assert nulls.system_info is None
    assert read_leniently(p.Ping, b"\2\1\2") == p.Ping(2, 0, 0)
    assert read_leniently(p.DomainConnectionDenied, b"\1\5\0ab") == p.DomainConnectionDenied(1, "ab", "")


def test_an_unknown_protocol_is_the_null_address() -> None:
    start = bytes(8) + b"I\1\x09\xbb\x81\1\2\0\1"
    read = read_leniently(p.DomainListRequest, start)
    assert (read.public_socket, read.local_socket) == (qt.SockAddr("", 48001), qt.SockAddr("*", 1))


def test_half_a_node_is_a_node() -> None:
    (node,) = read_leniently(p.DomainList, bytes(66) + b"M").nodes
    assert (node.type, node.id, node.replicated) == (p.NodeType.AUDIO_MIXER, bytes(16), False)


@packet
class Digits(Packet):
    value: int = field(HexInt(2))


def test_other_codecs_are_refused() -> None:
    with pytest.raises(TypeError, match="2 hex digits"):
        read_leniently(Digits, b"00")
