"""A node of ours and the real toxcore behind proxies, and at relays that misbehave. docs/protocols/tox.rst, ways."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path as File
from typing import TypeAlias

import pytest
from tox_pairs import DIRECT, RELAYED, Both, Meeting, Talk
from tox_parts import OurRelay, Scene
from toxcore import HERE, Library

from sansproto.contract import Address
from sansproto.testing.faulty_relay import Fault, black_hole, corrupting, delayed, lossy
from sansproto.tox import Proxy, ProxyKind

pytestmark = pytest.mark.interop

Record: TypeAlias = Callable[[str, object], None]
PATIENCE = 60.0
"""Seconds within which all that does not depend on time happens on a computer that has much else to do."""
PROGRAM = File(__file__).parents[1] / "cli" / "real_proxy.py"


@contextmanager
def real_proxy(kind: str) -> Iterator[int]:
    """A proxy from the package index; its port."""
    command = [sys.executable, str(PROGRAM), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate()


@pytest.mark.parametrize("who", ["ours", "theirs", "both"])
@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_through_a_proxy_and_a_relay(scene: Scene, library: Library, kind: str, who: str) -> None:
    with ExitStack() as stack:
        ports = [stack.enter_context(real_proxy(kind)) if who in (one, "both") else 0 for one in ("ours", "theirs")]
        proxy = Proxy(ProxyKind(kind), Address(HERE, ports[0])) if ports[0] else None
        their_proxy = (kind, ports[1]) if ports[1] else None
        pair = Meeting(scene, library, scene.add(OurRelay()), proxy=proxy, their_proxy=their_proxy)
        pair.connect()
        pair.exchange()
        assert pair.ours.node.friends.all[pair.theirs.real_key].ways.paths == {}


#: what our relay does to our packets, and the longest time in which nothing of ours arrives
FAULTS: dict[str, tuple[Callable[[bytes], Fault], float]] = {
    "swallows": (black_hole, 5.0),
    "delays by 3 s": (lambda key: delayed(3.0), 6.0),
    "loses half": (lambda key: lossy(0.5), 6.0),
    "corrupts": (lambda key: corrupting(1.0), 6.0),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_relay_that_misbehaves_is_left(scene: Scene, library: Library, name: str, record_property: Record) -> None:
    make, most = FAULTS[name]
    relays = [scene.add(OurRelay()) for _ in range(2)]
    pair = Meeting(scene, library, *relays)
    pair.connect()
    ways = pair.ours.node.friends.all[pair.theirs.real_key].ways
    talk = Talk(pair)
    talk.go_on()
    scene.until(lambda: all(pair.ours.node.relays[one.dht_key].is_linked(ways.dht_key) for one in relays), 30.0)
    bad = next(one for one in relays if one.dht_key == ways.used)
    fault = make(pair.ours.dht_key)
    # toxcore sends by the first relay that is linked, whatever that does: only our direction is to be seen here
    bad.server.fault = lambda sender, receiver, data: (
        fault(sender, receiver, data) if sender == pair.ours.dht_key else [(0.0, data)]
    )
    record_property("left after", round(scene.until(lambda: ways.used != bad.dht_key, 10.0), 2))
    talk.go_on(30)
    bad.server.fault = None
    talk.finish(within=40.0)
    record_property("longest gaps", [round(gap, 2) for gap in talk.gaps])
    assert talk.gaps[0] < most


def test_udp_to_a_relay_and_back_under_load(scene: Scene, library: Library, record_property: Record) -> None:
    """Of ours: what toxcore had sent in its 8 seconds of silence it would send again at 8 packets a second."""
    pair = Both(scene, library)
    pair.connect()
    scene.until(lambda: pair.is_direct)
    talk = Talk(pair, pause=0.005, share=40)
    talk.go_on(20, PATIENCE)
    pair.line.is_cut = True
    scene.until(lambda: pair.theirs.status == RELAYED, PATIENCE)
    talk.go_on(20, PATIENCE)
    pair.line.is_cut = False
    scene.until(lambda: pair.is_direct, PATIENCE)
    talk.go_on(20, PATIENCE)
    scene.until(lambda: talk.sent > 2000, PATIENCE)
    talk.finish(PATIENCE)
    record_property("longest gaps", [round(gap, 2) for gap in talk.gaps])
    assert pair.theirs.statuses == [DIRECT, RELAYED, DIRECT]
