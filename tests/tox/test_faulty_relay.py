"""A relay that misbehaves as it is told: what reaches the other end, and when."""

from __future__ import annotations

from typing import Any

import pytest
from tox_world import World

from sansproto.contract import Address
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.faulty_relay import (
    Fault,
    FaultyRelay,
    black_hole,
    corrupting,
    delayed,
    lossy,
    mtu_black_hole,
)
from sansproto.testing.network import Node
from sansproto.tox import (
    KeyPair,
    Linked,
    OobReceived,
    Relay,
    RelayClient,
    RelayConnected,
    RelayedReceived,
    Unlinked,
)
from sansproto.tox import packets as p

TRIP = 0.02
A, B = KeyPair.of(b"a" * 32), KeyPair.of(b"b" * 32)


class Linking(World):
    """Two clients that are linked at a relay."""

    def __init__(self) -> None:
        super().__init__(latency=TRIP / 2)
        self.server = FaultyRelay(private_key=bytes(32), entropy=ScriptedEntropy())
        self.at = self.net.host("10.0.1.0").run(self.server, listen={"relay": 443})
        self.a, self.b = self._client(1, A), self._client(2, B)
        for one, other in ((self.a, B), (self.b, A)):
            one.call(lambda now, one=one, other=other: one.endpoint.route(other.public, now))  # type: ignore[misc]
        self.net.run(1.0)
        self.b.events.clear()
        self.a.events.clear()

    def _client(self, number: int, keys: KeyPair) -> Node[Any]:
        relay = Relay(self.server.public_key, Address("10.0.1.0", 443))
        client = RelayClient(relay=relay, private_key=keys.secret, entropy=ScriptedEntropy(seed=b"%d" % number))
        node = self.net.host(f"10.0.0.{number}").run(client)
        node.call(client.connect)
        self.net.run_until(lambda: RelayConnected(relay.key) in node.events)
        return node

    def send(self, *packets: bytes, oob: bool = False) -> None:
        """From A to B."""
        client: Any = self.a.endpoint
        for data in packets:
            send = client.send_oob if oob else client.send
            assert self.a.call(lambda now, send=send, data=data: send(B.public, data, now))  # type: ignore[misc]

    def arrived(self, seconds: float) -> list[bytes]:
        """What is at B after so long."""
        self.net.run(seconds)
        return [event.data for event in self.b.events if isinstance(event, RelayedReceived | OobReceived)]


@pytest.fixture
def world() -> Linking:
    return Linking()


@pytest.mark.parametrize("oob", [False, True])
@pytest.mark.parametrize("fault", [None, delayed(0.0), black_hole(B.public), lossy(0.0), corrupting(0.0)])
def test_nothing_happens_to_what_no_fault_concerns(world: Linking, fault: Fault | None, oob: bool) -> None:
    world.server.fault = fault
    world.send(b"one", b"two", oob=oob)
    assert world.arrived(TRIP + 0.001) == [b"one", b"two"]


@pytest.mark.parametrize("oob", [False, True])
def test_packets_are_delayed(world: Linking, oob: bool) -> None:
    world.server.fault = delayed(3.0)
    world.send(b"one", oob=oob)
    world.net.run(1.0)
    world.send(b"two", oob=oob)
    assert world.arrived(1.99 + TRIP) == []
    assert world.arrived(0.02) == [b"one"]
    assert world.arrived(1.0) == [b"one", b"two"]


def test_a_delay_does_not_hold_up_what_follows(world: Linking) -> None:
    world.server.fault = lambda sender, receiver, data: [(float(data), data), (0.0, receiver)]
    world.send(b"2", b"1")
    assert world.arrived(3.0) == [B.public, B.public, b"1", b"2"]


def test_what_was_delayed_for_a_client_that_left_is_lost(world: Linking) -> None:
    world.server.fault = delayed(3.0)
    world.send(b"one")
    world.net.run(1.0)
    world.b.stop()
    world.net.run(5.0)
    assert world.server.next_timeout() is not None  # its pings
    assert list(world.server.clients) == [A.public]


def test_a_relay_that_is_over_waits_for_nothing(world: Linking) -> None:
    world.server.fault = delayed(3.0)
    world.send(b"one")
    world.net.run(1.0)
    world.server.abort()
    assert world.server.next_timeout() is None


def test_a_snapshot_has_neither_the_fault_nor_what_is_delayed(world: Linking) -> None:
    before = world.server.snapshot()
    world.server.fault = delayed(3.0)
    world.server.pass_on(3.0, world.server.visitors[world.server.clients[B.public]], p.Relayed(16, b"one"))
    assert world.server.snapshot() == before
    again = FaultyRelay.restore(before, private_key=bytes(32), entropy=ScriptedEntropy())
    assert again.fault is None
    assert again.snapshot() == before


@pytest.mark.parametrize("fault", [black_hole(), black_hole(A.public), lossy(1.0)])
def test_packets_are_dropped(world: Linking, fault: Fault) -> None:
    world.server.fault = fault
    world.send(b"one")
    world.send(b"two", oob=True)
    assert world.arrived(1.0) == []


def test_large_packets_are_dropped(world: Linking) -> None:
    world.server.fault = mtu_black_hole(3)
    world.send(b"one", b"four")
    assert world.arrived(1.0) == [b"one"]


def test_a_part_is_dropped(world: Linking) -> None:
    world.server.fault = lossy(0.3)
    world.send(*[b"data"] * 200)
    assert 120 <= len(world.arrived(1.0)) <= 160


def test_a_part_is_corrupted(world: Linking) -> None:
    world.server.fault = corrupting(0.3)
    world.send(*[b"data"] * 200)
    found = world.arrived(1.0)
    assert len(found) == 200
    assert 40 <= found.count(b"dat`") <= 80
    assert {*found} == {b"data", b"dat`"}


def test_it_lies_about_who_is_linked(world: Linking) -> None:
    told: list[Any] = []
    for linked in (False, True):
        world.at.call(lambda now, linked=linked: world.server.claim(A.public, B.public, now, linked=linked))  # type: ignore[misc]
        world.net.run(0.1)
        told += world.a.events
        world.a.events.clear()
    assert told == [Unlinked(B.public), Linked(B.public)]
    assert world.b.events == []
    with pytest.raises(KeyError):
        world.server.claim(bytes(32), B.public, world.at.now, linked=True)
