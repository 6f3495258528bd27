"""Ends that are thawed out of a snapshot at any time, in the midst of handshakes, questions, calls and streams."""

from __future__ import annotations

from typing import Any

import pytest
from freenet_world import PORT, at, told
from scripted_freenet import GATE, JOIN
from soaking import SOAKING
from stage_freenet import Stage, anywhere, seeds
from stories_freenet import Flood, passes

from sansproto.freenet import FreenetGateway, FreenetPeer, PeerLost
from sansproto.testing._internal.driver import Driver
from sansproto.testing.network import Node

pytestmark = pytest.mark.unmeasured


def thaw(node: Node[Any]) -> None:
    """Another object with the same state goes on in its place."""
    old = node.endpoint
    secret = (JOIN if isinstance(old, FreenetPeer) else GATE).secret
    new = type(old).restore(old.snapshot(), private_key=secret, entropy=old._entropy)
    assert new.snapshot() == old.snapshot()
    node.endpoint = new
    node._driver = Driver(new, node._carry, node.events.append)
    node._alarm, node._life = None, node._life + 1
    node._set_alarm()


@pytest.mark.parametrize("every", [0.11, *([0.037] * SOAKING)])
def test_a_session_survives_it(every: float) -> None:
    """From the first intro on, with streams, losses, and a stranger's intros and junk."""
    for seed in seeds(1, 30):
        stage = Stage(seed, loss=0.1)
        b, a = stage.gateway(), stage.peer()
        flood = Flood()
        stage.each(every, lambda a=a, b=b: (thaw(a), thaw(b)), 12.0)  # type: ignore[misc]
        stage.storm([flood.intro(n) for n in range(40)] + [b"\2" * 60] * 40, b, lambda _, a=a: at(a), 20.0, 12.0)  # type: ignore[misc]
        stage.storm([flood.intro(n) for n in range(40, 90)], b, anywhere, 20.0, 12.0)
        stage.join(a, b)
        stage.talk(a, b, 0.3)
        stage.talk(b, a, 0.3)
        stage.net.run(18.0)
        assert stage.lost() == []
        assert not told(a, PeerLost) + told(b, PeerLost)
        assert isinstance(b.endpoint, FreenetGateway)
        assert b.sockets["udp"] == PORT


def test_restarts_are_survived_with_it() -> None:
    for seed in seeds(2, 30):
        stage = Stage(seed, latency=0.05, loss=0.1)
        b, a = stage.pair()
        stage.talk(a, b, 0.2)
        stage.talk(b, a, 0.2)
        stage.each(0.1, lambda a=a, b=b: (thaw(a), thaw(b)), 30.0)  # type: ignore[misc]
        for when in (3.0, 3.3, 9.0):
            stage.net.after(when, lambda a=a, b=b, stage=stage: stage.restart(a, b, JOIN))  # type: ignore[misc]
        stage.net.after(15.0, lambda b=b, stage=stage: stage.restart_gateway(b))  # type: ignore[misc]
        stage.net.run(41.0)
        stage.until(passes(stage, a, b), 10.0)
        assert len(a.endpoint.sessions) == 1
        stage.lost()
