"""Headers of every form, obfuscation, and numbers that wrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansproto.errors import Fault, WireError
from sansproto.overte.header import (
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
    next_sequence,
    obfuscation_level,
    sequence_distance,
)
from sansproto.overte.packets import DATAGRAM
from sansproto.overte.versions import Form, PacketType

T = TypeVar("T")

sequences = st.integers(0, MAX_SEQUENCE)
sources, macs = st.integers(0, 0xFFFF), st.binary(min_size=16, max_size=16)
parts = st.builds(Part, st.sampled_from(Position), st.integers(0, (1 << 30) - 1), st.integers(0, (1 << 32) - 1))


def headers_of(kind: PacketType) -> st.SearchStrategy[Header]:
    return st.builds(
        Header,
        st.just(kind),
        sequences,
        st.integers(0, 255),
        st.none() if kind.form is Form.UNSOURCED else sources,
        macs if kind.form is Form.VERIFIED else st.none(),
        reliable=st.booleans(),
        part=st.none() | parts,
        obfuscation=st.integers(0, 3),
    )


controls = st.builds(Control, st.sampled_from(list(ControlType)[:3]), sequences) | st.just(
    Control(ControlType.HANDSHAKE_REQUEST)
)
headers: st.SearchStrategy[Header] = st.sampled_from(PacketType).flatmap(headers_of)
heads: st.SearchStrategy[Head] = headers | controls


def attempt(decode: Callable[[bytes], T], data: bytes) -> T | WireError:
    try:
        return decode(data)
    except WireError as error:
        return error


@given(heads, st.binary(max_size=40))
def test_round_trip(head: Head, payload: bytes) -> None:
    wire = encode_datagram(head, payload)
    assert decode_datagram(wire) == decode_datagram(bytearray(wire)) == DATAGRAM.decode(wire) == (head, payload)
    assert DATAGRAM.encode((head, payload)) == wire
    assert type(decode_datagram(bytearray(wire))[1]) is bytes


@pytest.mark.parametrize("kind", PacketType, ids=lambda kind: str(kind.name))
def test_every_type_has_the_header_of_its_form(kind: PacketType) -> None:
    source = None if kind.form is Form.UNSOURCED else 50900
    header = Header(kind, 7, 22, source, NO_MAC if kind.form is Form.VERIFIED else None)
    wire = encode_datagram(header, b"payload")
    size = {Form.UNSOURCED: 6, Form.SOURCED: 8, Form.VERIFIED: 24}[kind.form]
    assert (wire[4], wire[6:8], wire[size:]) == (kind.value, wire[6:8] if size == 6 else b"\xd4\xc6", b"payload")
    assert decode_datagram(wire) == (header, b"payload")
    for cut in range(size):
        with pytest.raises(WireError) as error:
            decode_datagram(wire[:cut])
        assert error.value.fault is Fault.TRUNCATED
        assert 0 < error.value.need <= size - cut
        assert DATAGRAM.dissect(wire[:cut]).fault is Fault.TRUNCATED


@given(st.binary(max_size=60), st.integers(0, 255), st.binary(max_size=40))
def test_any_bytes_are_a_datagram_or_a_wire_error(data: bytes, top: int, rest: bytes) -> None:
    for wire in (data, data[:3] + bytes([top]) + rest):
        tree = DATAGRAM.dissect(wire)
        assert tree.raw == wire
        found = attempt(decode_datagram, wire)
        if isinstance(found, WireError):
            assert tree.fault is found.fault
            with pytest.raises(WireError) as inside:
                DATAGRAM.decode_from(b"xy" + wire, 2, len(wire) + 2)
            assert (inside.value.fault, inside.value.offset) == (found.fault, found.offset + 2)
        else:
            assert encode_datagram(*found) == wire


@given(heads, st.binary(max_size=40))
def test_decoding_by_hand_gives_what_the_declared_layouts_give(head: Head, payload: bytes) -> None:
    tree = DATAGRAM.dissect(encode_datagram(head, payload))
    nodes = {
        node.name: node.value for top in tree.children for node in (top, *(top.opened.children if top.opened else ()))
    }
    found, rest = decode_datagram(tree.raw)
    if isinstance(found, Control):
        assert nodes.get("sequence") == found.sequence
        assert nodes.get("trailing", b"") == rest
        return
    assert str(nodes["word"]).startswith(f"sequence {found.sequence}")
    names = ("type", "version", "source", "mac")
    assert [nodes.get(name) for name in names] == [getattr(found, name) for name in names]
    if found.part is not None:
        part = found.part
        assert (nodes["message"], nodes["part"]) == (part.position.value << 30 | part.message, part.number)


@given(headers, st.binary(max_size=100), st.integers(0, 3))
def test_a_level_hides_all_but_the_front(header: Header, payload: bytes, level: int) -> None:
    wire, other = (encode_datagram(attrs.evolve(header, obfuscation=one), payload) for one in (0, level))
    start = 12 if header.part else 4
    assert (other[:3], other[4:start]) == (wire[:3], wire[4:start])
    assert (wire[start:] == other[start:]) is (level == 0)
    decoded, same = decode_datagram(other)
    assert isinstance(decoded, Header)
    assert (decoded.type, decoded.obfuscation, same) == (header.type, level, payload)


def test_levels_of_repetitions() -> None:
    assert [obfuscation_level(count) for count in range(11)] == [0, 0, 0, 1, 2, 3, 0, 1, 2, 3, 0]


@pytest.mark.parametrize(
    ("head", "field"),
    [
        (Header(PacketType.PING, 1 << 27, 18, 1, NO_MAC), "sequence"),
        (Header(PacketType.PING, 1, 256, 1, NO_MAC), "version"),
        (Header(PacketType.PING, 1, 18, 1 << 16, NO_MAC), "source"),
        (Header(PacketType.PING, 1, 18, None, NO_MAC), "source"),
        (Header(PacketType.PING, 1, 18, 1, None), "mac"),
        (Header(PacketType.PING, 1, 18, 1, b"short"), "mac"),
        (Header(PacketType.PING, 1, 18, 1, b""), "mac"),
        (Header(PacketType.DOMAIN_LIST, 1, 25, 1), "source"),
        (Header(PacketType.DOMAIN_LIST_REQUEST, 1, 23, 1, NO_MAC), "mac"),
        (Header(PacketType.DOMAIN_LIST, 1, 25, obfuscation=4), "obfuscation"),
        (Header(PacketType.DOMAIN_LIST, 1, 25, part=Part(Position.ONLY, 1 << 30, 0)), "message"),
        (Header(PacketType.DOMAIN_LIST, 1, 25, part=Part(Position.ONLY, 0, -1)), "number"),
        (Control(ControlType.ACK), "sequence"),
        (Control(ControlType.ACK, -1), "sequence"),
        (Control(ControlType.HANDSHAKE_REQUEST, 1), "sequence"),
    ],
)
def test_what_has_no_encoding(head: Head, field: str) -> None:
    with pytest.raises(WireError) as error:
        encode_datagram(head)
    assert (error.value.fault, error.value.field) == (Fault.BAD_VALUE, field)


@given(sequences, st.integers(-(1 << 26), (1 << 26) - 1))
def test_numbers_go_around(start: int, distance: int) -> None:
    end = next_sequence(start, distance)
    assert 0 <= end <= MAX_SEQUENCE
    assert sequence_distance(start, end) == distance


def test_after_the_last_number_comes_zero() -> None:
    assert next_sequence(MAX_SEQUENCE) == 0
    assert sequence_distance(MAX_SEQUENCE, 0) == 1


def test_the_tree_opens_what_was_obfuscated() -> None:
    wire = encode_datagram(Header(PacketType.ICE_PING, 5, 18, reliable=True, obfuscation=2), bytes(17))
    tree = DATAGRAM.dissect(wire)
    word, hidden = tree.children
    assert word.value == "sequence 5, reliable, obfuscation 2"
    assert hidden.opened is not None
    assert [node.name for node in hidden.opened.walk()] == ["plain", "type", "version", "ICEPing", "ice_id", "type"]
    assert hidden.opened.offset == 0
