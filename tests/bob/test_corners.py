"""What no conversation reaches: arguments that are refused, and the rarest turns of the machines."""

from __future__ import annotations

from typing import Any

import pytest

from sansproto.bob import RELAY_PORT, Channel, Client, Departure, PeerDelays, PeerLeft, Relay, RelayLimits, Server
from sansproto.bob import packets as p
from sansproto.bob.crypto import RecordKey
from sansproto.contract import Address, SendBytes
from sansproto.errors import Fault, WireError

ARGUMENTS: dict[str, Any] = {
    "relay": ("192.0.2.1", 9000),
    "secure_port": 9001,
    "password": b"password",
    "entropy": lambda n, *, purpose: bytes(n),
}


def test_arguments_that_make_no_sense_are_refused() -> None:
    for count in (0, 10**6 + 1):
        with pytest.raises(ValueError, match="count"):
            Server(**ARGUMENTS, count=count)
    with pytest.raises(ValueError, match="linger"):
        PeerDelays(linger=0.0)


def test_a_record_is_at_most_32767_bytes_long() -> None:
    with pytest.raises(WireError) as caught:
        p.Record.decode(b"\x80\x00" + bytes(40000))
    assert caught.value.fault is Fault.BAD_LENGTH


def test_there_is_no_room_for_data_before_the_channel_and_some_in_it() -> None:
    assert Client(**ARGUMENTS).capacity == 0
    channel = Channel(send_key=RecordKey(bytes(32), bytes(12)), receive_key=None)
    before = channel.capacity
    channel.send(bytes(1000), 0.0)
    assert channel.capacity == before - 1018
    assert channel.take_trailing_data() == b""


def test_a_client_too_slow_to_be_told_who_left_is_cut() -> None:
    relay = Relay(limits=RelayLimits(departures=2))

    def drain() -> list[Any]:
        said = []
        while (one := relay.next_transmit() or relay.next_event()) is not None:
            said.append(one)
        return said

    slow = relay.stream_accepted(RELAY_PORT, Address("192.0.2.7", 1), 0.0)
    relay.receive_data(slow, p.encode(p.RELAY, p.HelloAsClient()), 0.0)
    drain()
    relay.stream_blocked(slow, 0.0)
    for number in range(4):
        server = relay.stream_accepted(RELAY_PORT, Address("192.0.2.8", number), float(number))
        relay.receive_data(server, p.encode(p.RELAY, p.HelloAsServer(bytes(34))), float(number))
        relay.stream_lost(server, number + 0.5)
    assert not [one for one in drain() if isinstance(one, SendBytes) and one.link == slow]
    relay.stream_unblocked(slow, 4.0)
    said = drain()
    assert PeerLeft(1, "192.0.2.7:1", Departure.SLOW) in said
