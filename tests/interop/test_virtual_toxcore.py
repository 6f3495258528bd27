"""A real toxcore on a clock of ours: what takes minutes takes moments. docs/protocols/tox.rst, restart."""

from __future__ import annotations

import random

import pytest
from record_toxcore import NodePeer, Real
from toxcore import debian

from sansproto.tox import FriendOffline, MessageReceived

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(debian is None, reason="libtoxcore.so.2, the package libtoxcore2, cannot be loaded"),
]


@pytest.fixture
def real() -> Real:
    assert debian is not None
    peer = NodePeer.live()
    real = Real(peer, debian, 1)
    real.go_on(2.0)
    assert peer.endpoint.is_online(real.key)
    return real


def heard(real: Real) -> list[str]:
    return [event.text for event in real.peer.events if isinstance(event, MessageReceived)]


def test_two_outages_of_150_seconds(real: Real) -> None:
    """It has forgotten by then where we are: we call."""
    for round_number in range(2):
        real.loses = lambda number: True
        real.go_on(150.0)
        assert not real.peer.endpoint.is_online(real.key)
        real.loses = lambda number: False
        real.go_on(8.0)
        assert real.peer.endpoint.is_online(real.key)
        real.peer.send_message(real.key, f"{round_number}", real.peer.now)
        real.toxcore.send_text(b"%d" % round_number)
        real.go_on(2.0)
    assert heard(real) == ["0", "1"]
    assert real.toxcore.texts == [b"0", b"1"]


@pytest.mark.parametrize("seed", range(5))
def test_a_third_of_all_packets_is_lost(real: Real, seed: int) -> None:
    chance = random.Random(seed)
    real.loses = lambda number: chance.random() < 0.3
    said = 0
    for number in range(100):
        assert real.peer.send_message(real.key, f"{number}", real.peer.now)
        said += bool(real.toxcore.send_text(b"%d" % number))
        real.go_on(0.1)
    real.go_on(30.0)
    assert real.toxcore.texts == [b"%d" % number for number in range(100)]
    assert heard(real) == [str(number) for number in range(said)]
    assert not [event for event in real.peer.events if isinstance(event, FriendOffline)]
