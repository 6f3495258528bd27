"""A node of EGTP on a machine that sleeps: its adapter notices, and the node finds its peers again at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import pytest
from test_asyncio import Harness as Asyncio
from test_sockets import Harness as Sockets
from test_threads import Harness as Threads
from test_trio import Harness as Trio

from sansproto.contract import Path
from sansproto.egtp import EgtpNode, Established, KeyPair, MessageReceived, PeerRestarted
from sansproto.testing._internal.adapter_harness import LOCAL, PATIENCE, Running
from sansproto.testing.entropy import ScriptedEntropy
from sansproto_sockets import wall_epoch

E = TypeVar("E")
A, B = KeyPair.of(bytes([1]) * 32), KeyPair.of(bytes([2]) * 32)
HARNESSES = {"asyncio": Asyncio(asyncio.new_event_loop), "sockets": Sockets(), "threads": Threads(), "trio": Trio()}


@contextmanager
def node(harness: Any, keys: KeyPair, life: bytes, port: int = 0) -> Iterator[tuple[EgtpNode, Running]]:
    """A process, which is killed in the end."""
    entropy = ScriptedEntropy(seed=life)
    endpoint = EgtpNode(private_key=keys.private, entropy=entropy, wall_epoch=wall_epoch())
    running = harness.start(endpoint, listen={}, sockets={"udp": (LOCAL[0], port)}, linger=0.0)
    try:
        yield endpoint, running
    finally:
        running.call(lambda _: endpoint.abort())
        running.cancel()


def until(running: Running, kind: type[E]) -> E:
    while not isinstance(event := running.next_event(PATIENCE), kind):
        pass
    return event


@pytest.mark.parametrize("harness", HARNESSES.values(), ids=HARNESSES)
def test_a_node_that_slept_finds_a_peer_that_restarted_meanwhile(harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the monotonic clock stood still. By that clock the session is seconds old: the node, which has nothing to
    say, would look after it in two minutes, and until then nobody could reach it."""
    with ExitStack() as stack:
        a, at_a = stack.enter_context(node(harness, A, b"a"))
        with node(harness, B, b"b") as (_, at_b):
            address = at_b.addresses["udp"]
            at_a.call(lambda now: a.connect(B.public, Path("udp", address.host, address.port), now))
            until(at_a, Established)
            until(at_b, Established)
        again, at_b = stack.enter_context(node(harness, B, b"b again", address.port))
        at_a.call(lambda now: a.waiting(B.public))
        with pytest.raises(TimeoutError):
            at_b.next_event(0.2)
        for clock in ("time", "clock_gettime"):
            went_on = getattr(time, clock)
            monkeypatch.setattr(time, clock, lambda *which, went_on=went_on: went_on(*which) + 3600.0)
        at_a.call(lambda now: a.waiting(B.public))  # its program wakes, and does anything at all
        until(at_a, PeerRestarted)
        until(at_b, Established)
        assert at_b.call(lambda now: again.send(A.public, b"good morning", now))
        assert until(at_a, MessageReceived).data == b"good morning"
