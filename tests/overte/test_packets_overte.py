"""The laws of every packet of Overte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansproto.errors import Fault, WireError
from sansproto.overte import packets as p
from sansproto.overte import qt
from sansproto.overte.header import Header, encode_datagram
from sansproto.overte.payloads import PAYLOADS, AvatarIdentityBefore55, TraitOverride
from sansproto.overte.versions import DEFAULT, Form, PacketType
from sansproto.testing.strategies import packets
from sansproto.wire import ABSENT, Packet, layout_rows

T = TypeVar("T")

KINDS = (*p.PACKETS.values(), *PAYLOADS.values(), AvatarIdentityBefore55, TraitOverride)

by_packet = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))


def attempt(decode: Callable[[bytes], T], data: bytes) -> T | WireError:
    try:
        return decode(data)
    except WireError as error:
        return error


@pytest.mark.unmeasured
@by_packet
@given(st.data())
def test_round_trip(kind: type[Packet], data: st.DataObject) -> None:
    value = data.draw(packets(kind))
    wire = value.encode()
    assert kind.decode(wire) == kind.decode(bytearray(wire)) == value
    assert layout_rows(kind) or not wire
    tree = kind.dissect(wire)
    assert (tree.value, tree.raw, tree.fault) == (value, wire, None)
    if not kind.__wire__.greedy:
        assert kind.decode_prefix(wire + b"more") == (value, len(wire))


@pytest.mark.unmeasured
@by_packet
@given(st.data())
def test_any_bytes_are_a_packet_or_a_wire_error(kind: type[Packet], data: st.DataObject) -> None:
    wire = bytearray(data.draw(packets(kind)).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        if wire:
            wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.sampled_from([0, 1, 2, 0x7F, 0xFF]))
    raw = bytes(wire[: data.draw(st.integers(0, len(wire)))]) + data.draw(st.binary(max_size=4))
    tree = kind.dissect(raw)
    assert tree.raw == raw
    value = attempt(kind.decode, raw)
    if isinstance(value, WireError):
        assert tree.fault is value.fault
    elif not kind.__wire__.accepts:
        assert value.encode() == raw


@pytest.mark.unmeasured
@given(packets(p.DomainList))
def test_a_list_ends_with_a_whole_node(value: p.DomainList) -> None:
    wire = value.encode()
    ends = {66}
    for node in value.nodes:
        ends.add(max(ends) + len(node.encode()))
    for size in range(66, min(len(wire), 400)):
        if size in ends:
            assert p.DomainList.decode(wire[:size]).nodes == value.nodes[: sorted(ends).index(size)]
        else:
            with pytest.raises(WireError) as error:
                p.DomainList.decode(wire[:size])
            assert error.value.fault is Fault.TRUNCATED


def test_a_list_has_a_limit() -> None:
    node = p.NodeRecord(p.NodeType.AGENT, bytes(16), qt.NULL_SOCK_ADDR, qt.NULL_SOCK_ADDR, 0, False, 1, bytes(16))
    full = p.DomainList(bytes(16), 1, bytes(16), 2, 0, True, 0, 0, 0, True, (node,) * p.MAX_NODES)
    assert p.DomainList.decode(full.encode()) == full
    for fails in (
        lambda: p.DomainList.decode(full.encode() + node.encode()),
        lambda: p.DomainList.decode(full.encode()[:66] + node.encode() * 65).encode(),
    ):
        with pytest.raises(WireError) as error:
            fails()
        assert (error.value.fault, error.value.field) == (Fault.BAD_LENGTH, "nodes")
    tree = p.DomainList.dissect(full.encode() + node.encode() * 5)
    assert tree.fault is Fault.BAD_LENGTH
    assert len(tree.children[-1].children) == p.MAX_NODES + 1  # the last one is what nobody read


def test_accounts_of_the_domain_may_be_absent() -> None:
    check_in = p.CheckIn(1, p.NodeType.AGENT, qt.NULL_SOCK_ADDR, qt.NULL_SOCK_ADDR, b"", None)
    request: dict[str, Any] = {
        "connect_id": bytes(16),
        "protocol_signature": DEFAULT.signature,
        "hardware_address": None,
        "machine_fingerprint": bytes(16),
        "system_info": None,
        "reason": p.ConnectReason.AWAKE,
        "previous_uptime": 0,
        "check_in": check_in,
        "username": None,
        "username_signature": b"",
    }
    short = p.DomainConnectRequest(**request)
    assert short.domain_username is short.domain_tokens is ABSENT
    long = p.DomainConnectRequest(**request, domain_username="me", domain_tokens="secret:token")
    assert p.DomainConnectRequest.decode(long.encode()) == long
    assert long.encode().startswith(short.encode())
    assert "secret" not in repr(long)


def test_secrets_of_nodes_are_not_shown() -> None:
    node = p.AddedNode(p.NodeType.AGENT, bytes(16), qt.NULL_SOCK_ADDR, qt.NULL_SOCK_ADDR, 0, False, 1, b"\xaa" * 16)
    assert "xaa" not in repr(node)
    assert [part.name for part in p.AddedNode.dissect(node.encode()).walk() if part.secret] == ["secret"]


def test_values_without_a_name_are_kept() -> None:
    denied = p.DomainConnectionDenied.decode(b"\xc8\0\0\0\0")
    assert (denied.reason, type(denied.reason)) == (200, int)
    assert type(p.ICEPing.decode(bytes(16) + b"\2").type) is p.PingType
    assert p.Permissions(0xFFFFFFFF) & 1 == p.Permissions.CONNECT


def test_denials() -> None:
    hard = [reason.value for reason in p.DenialReason if reason.hard]
    assert hard == [1, 3, 4, 5, 7]


def test_trailing_bytes_of_a_payload_show_in_the_tree() -> None:
    header = Header(PacketType.DOMAIN_SERVER_CONNECTION_TOKEN, 1, 22)
    tree = p.DATAGRAM.dissect(encode_datagram(header, bytes(16) + b"xy"))
    assert [node.name for node in tree.children] == ["word", "type", "version", "ConnectionToken", "trailing"]
    assert header.type.form is Form.UNSOURCED


def test_the_smallest_and_largest_packets() -> None:
    assert p.DomainList.__wire__.min_size == 66
    assert (p.DomainListRequest.__wire__.min_size, p.Ping.__wire__.max_size) == (25, 17)
    assert p.DomainList.__wire__.max_size is not None
    assert all(kind.__wire__.accepts == "" for kind in p.PACKETS.values())
