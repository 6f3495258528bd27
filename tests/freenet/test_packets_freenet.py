"""Packets, versions and seals of Freenet: what the vectors do not say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansproto.contract import Address
from sansproto.curve25519 import PRIME
from sansproto.errors import Fault, WireError
from sansproto.freenet import KeyPair, Version, crypto
from sansproto.freenet import packets as p
from sansproto.freenet.versions import OURS
from sansproto.testing.strategies import packets

ONE, OTHER = KeyPair.of(b"\1" * 32), KeyPair.of(b"\2" * 32)
KEY, NONCE = b"\3" * 16, b"\4" * 12
NOOP = p.Clear(0, (), p.NoOp()).encode()


def fault_of(function: Callable[..., Any], *arguments: Any) -> Fault:
    with pytest.raises(WireError) as caught:
        function(*arguments)
    return caught.value.fault


# -- packets


@given(packets(p.Clear))
def test_what_is_sealed_is_read_again(clear: p.Clear) -> None:
    assert p.read_clear(clear.encode()) == clear
    assert p.read_clear(clear.encode() + b"behind") == clear


@given(st.binary(max_size=80) | packets(p.Clear).map(p.Clear.encode))
def test_the_fast_way_reads_fragments_as_the_declaration_does_and_nothing_else(data: bytes) -> None:
    fast = p.read_fragment(data)
    try:
        clear = p.Clear.decode(data)
    except WireError:
        clear = None
    match clear:
        case p.Clear(packet_id, (), p.StreamFragment(stream, total, fragment, payload, None)):
            assert fast == (packet_id, stream, total, fragment, payload)
        case _:
            assert fast is None


@given(packets(p.StreamFragment), st.integers(0, 2**32 - 1))
def test_the_fast_way_writes_fragments_as_the_declaration_does(one: p.StreamFragment, packet_id: int) -> None:
    bare = p.StreamFragment(one.stream, one.total, one.fragment, one.payload)
    written = p.write_fragment(packet_id, one.stream, one.total, one.fragment, one.payload)
    assert written == p.Clear(packet_id, (), bare).encode()
    assert p.read_fragment(written) == (packet_id, one.stream, one.total, one.fragment, one.payload)
    assert p.read_fragment(written + b"\0") is None
    assert p.read_fragment(written[:-1]) is None


def test_a_receipt_for_what_would_be_a_variant_makes_no_fragment() -> None:
    """All else in these bytes is as in a fragment."""
    payload = bytes(4) + (3).to_bytes(8, "little") + b"abc\0"
    clear = p.Clear(5, (2,), p.ShortMessage(payload))
    assert p.read_fragment(clear.encode()) is None
    assert p.read_clear(clear.encode()) == clear


def test_sizes_of_what_is_sent() -> None:
    address = p.AddressV4(bytes(4), 0)
    assert len(p.DATAGRAM.encode(p.Intro(bytes(32), bytes(40)))) == p.INTRO_SIZE
    assert len(p.write_fragment(0, 0, 0, 1, bytes(p.FRAGMENT_SIZE))) == p.MAX_CLEAR == 1171
    assert len(NOOP) == p.MIN_CLEAR
    bodies: list[tuple[p.Body, int]] = [
        (p.NoOp(), 45),
        (p.Ping(0), 53),
        (p.AckConnection(p.Granted(KEY, address)), 75),
        (p.AckConnectionV2(KEY, address, bytes(8)), 79),
        (p.AckConnectionV2(KEY, p.AddressV6(bytes(16), 0), bytes(8)), 91),
    ]
    for body, size in bodies:
        assert len(crypto.Cipher(KEY).seal(NONCE, p.Clear(0, (), body).encode())) == size


@pytest.mark.parametrize(
    ("total", "metadata", "count"),
    [(0, None, 1), (1130, None, 1), (1131, None, 2), (1130, b"", 2), (1082, b"x" * 40, 1)],
)
def test_metadata_makes_the_first_fragment_shorter(total: int, metadata: bytes | None, count: int) -> None:
    assert p.fragment_count(total, metadata) == count


def test_what_a_packet_is_asked_for_and_holds_is_not_shown() -> None:
    shown = repr(p.Clear(1, (), p.AckConnection(p.Granted(KEY, p.AddressV4(bytes(4), 1)))))
    shown += repr(p.IntroBody(bytes(8), KEY)) + repr(p.ShortMessage(b"secret")) + repr(p.Message(b"secret"))
    shown += repr(p.StreamFragment(1, 6, 1, b"secret", b"secret"))
    assert "secret" not in shown
    assert "\\x03" not in shown


@pytest.mark.parametrize(
    ("address", "size"), [(Address("192.0.2.1", 7), 4), (Address("2001:db8::1", 65535), 16), (Address("::", 0), 16)]
)
def test_an_address_is_told_and_read(address: Address, size: int) -> None:
    seen = p.seen_at(address)
    assert (len(seen.host), p.told_by(seen)) == (size, address)


def test_an_ipv4_address_within_ipv6_is_one() -> None:
    assert p.told_by(p.AddressV6(bytes(10) + b"\xff\xff\1\2\3\4", 7)) == Address("1.2.3.4", 7)


# -- versions


@given(st.binary(min_size=8, max_size=8))
def test_every_version_is_one(data: bytes) -> None:
    version = Version.read(data)
    assert Version.read(version.wire) == version


def test_what_we_tell() -> None:
    assert OURS.wire.hex() == "ff00020081004001"
    assert str(OURS) == "0.2.129"
    assert Version((1, 2, 3)).wire.hex() == "0102030000000000"


def test_a_version_that_has_no_bytes_is_refused() -> None:
    assert fault_of(lambda: Version((0, 2, 256)).wire) is Fault.BAD_VALUE
    assert fault_of(lambda: Version((0, 2, 65536), (0, 2, 0)).wire) is Fault.BAD_VALUE


def test_each_end_has_a_say_in_who_speaks_to_whom() -> None:
    old, asks = Version((0, 2, 63)), Version((0, 2, 140), (0, 2, 130))
    assert OURS.speaks_to(OURS)
    for other in (old, asks):
        assert not OURS.speaks_to(other)
        assert not other.speaks_to(OURS)


# -- keys and seals


@pytest.mark.parametrize("point", [0, 1, PRIME - 1, PRIME, PRIME + 1, 1 << 255])
def test_a_point_of_small_order_is_refused_before_anything_is_opened(point: int) -> None:
    """What is sealed under the result, which everybody knows, would open."""
    public = point.to_bytes(32, "little")
    assert fault_of(crypto.open_intro, ONE.secret, p.Intro(public, bytes(40))) is Fault.BAD_POINT
    assert fault_of(crypto.seal_intro, public, OTHER.secret, p.IntroBody(bytes(8), KEY)) is Fault.BAD_POINT
    assert not crypto.is_key(public)
    assert crypto.is_key(ONE.public)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_has_32_bytes(size: int) -> None:
    assert not crypto.is_key(b"\3" * size)
    with pytest.raises(ValueError, match="32 bytes"):
        KeyPair.of(b"\3" * size)


def test_a_secret_key_is_not_shown() -> None:
    assert "\\x01" not in repr(ONE)
    assert ONE.public.hex() in repr(ONE)


@pytest.mark.parametrize(
    ("size", "fault"), [(size, Fault.TRUNCATED) for size in range(45)] + [(1501, Fault.BAD_LENGTH)]
)
def test_what_has_no_room_for_a_clear_text_is_refused_by_its_size(size: int, fault: Fault) -> None:
    data = (b"\2" + bytes(1500))[:size]
    assert fault_of(crypto.Cipher(KEY).open, data) is fault
    assert fault_of(p.DATAGRAM.decode, data) is fault


@given(packets(p.Clear).map(p.Clear.encode).filter(lambda clear: len(clear) <= 1471))
def test_what_is_sealed_opens_unless_a_byte_was_changed(clear: bytes) -> None:
    data = crypto.Cipher(KEY).seal(NONCE, clear)
    packet = p.DATAGRAM.decode(data)
    assert isinstance(packet, p.Symmetric)
    assert (packet.nonce, crypto.Cipher(KEY).open(data)) == (NONCE, clear)
    changed = data[:-1] + bytes([data[-1] ^ 1])
    assert fault_of(crypto.Cipher(KEY).open, changed) is Fault.BAD_MAC
    assert fault_of(crypto.Cipher(KEY[::-1][1:] + b"x").open, data) is Fault.BAD_MAC
