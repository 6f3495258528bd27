"""Conversations of a node with a real toxcore, for ``vectors/tox/toxcore.json``: every byte that it said, and ours.

Run by hand where Debian's libtoxcore2 is, with ``PYTHONPATH=tests:tests/tox``: keys are drawn and cookies hold the time
of day, so no two runs give the same file. Conversations that are in the file already stay as they are; to record one
anew, delete it there. Each runs on a clock that stands still between its steps, without a socket.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path as File
from typing import Any

from scripted import Party
from scripted_relay import A, B, ClientPeer
from scripted_tox import NodePeer
from toxcore import HERE, Library, debian
from virtual_toxcore import Stream, VirtualToxcore

from sansproto.contract import Address, Path
from sansproto.testing import session_recorder
from sansproto.testing.vectors import write_json
from sansproto.tox import Presence, Relay

PATH = File(__file__).parents[2] / "vectors" / "tox" / "toxcore.json"
STEP = 0.05
US = Path("udp", HERE, 33445)
THEM = Path("udp", HERE, 33446)
CONVERSATIONS: list[Callable[[], NodePeer | ClientPeer]] = []


class Real(Party):
    """A toxcore at a path of the peer."""

    def __init__(self, peer: NodePeer, library: Library, seed: int) -> None:
        super().__init__(peer, THEM)
        self.toxcore = VirtualToxcore(library, seed, port=THEM.port)
        self.begun = peer.now
        self.loses: Callable[[int], bool] = lambda number: False
        """Which packets do not arrive, by their number."""
        self.carried = 0
        self.toxcore.befriend(peer.endpoint.real_key)
        peer.add_friend(self.toxcore.real_key, self.toxcore.dht_key, peer.now, path=THEM)

    @property
    def key(self) -> bytes:
        return self.toxcore.real_key

    def hear(self, data: bytes) -> None:
        if not self._is_lost():
            self.toxcore.inbox.append((data, US))

    def go_on(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            self.peer.wait(STEP)
            for data, path in self.toxcore.at(self.peer.now):
                if path == US and not self._is_lost():
                    self.give(data)

    def _is_lost(self) -> bool:
        self.carried += 1
        return self.loses(self.carried)


def conversation(function: Callable[[Real], None]) -> None:
    def run() -> NodePeer:
        assert debian is not None, "there is no libtoxcore"
        peer = NodePeer.recorded()
        peer.pause = 0.0
        real = Real(peer, debian, len(CONVERSATIONS))
        function(real)
        peer.end()
        real.toxcore.stop()
        return peer

    run.__name__ = function.__name__
    CONVERSATIONS.append(run)


@conversation
def toxcore_is_called_and_both_talk(real: Real) -> None:
    peer = real.peer
    real.go_on(1.0)
    peer.set_profile(peer.now, name="ours", status_message="here", presence=Presence.AWAY)
    peer.send_message(real.key, "hello", peer.now)
    real.toxcore.send_text(b"hello, too")
    real.go_on(2.0)
    peer.send(real.key, b"\xa0lossless", peer.now)
    peer.send(real.key, b"\xc8lossy", peer.now)
    real.toxcore.send_lossless(b"\xa1lossless")
    real.toxcore.send_lossy(b"\xc9lossy")
    real.go_on(9.0)
    peer.set_typing(real.key, True, peer.now)
    real.go_on(1.0)


@conversation
def every_fifth_packet_is_lost(real: Real) -> None:
    peer = real.peer
    real.go_on(1.0)
    real.loses = lambda number: number % 5 == 0
    for number in range(20):
        peer.send_message(real.key, f"{number}", peer.now)
        real.toxcore.send_text(b"%d" % number)
        real.go_on(0.1)
    real.go_on(8.0)


@conversation
def toxcore_deletes_us_and_asks_again(real: Real) -> None:
    peer = real.peer
    real.go_on(2.0)
    real.toxcore.unfriend()
    real.go_on(2.0)
    real.toxcore.befriend(peer.endpoint.real_key)
    real.go_on(6.0)
    real.toxcore.send_text(b"again")
    real.go_on(1.0)


@conversation
def nothing_gets_through_for_forty_seconds(real: Real) -> None:
    real.go_on(2.0)
    real.loses = lambda number: True
    real.peer.wait(40.0)
    real.toxcore.at(real.peer.now)
    real.loses = lambda number: False
    real.go_on(10.0)
    real.toxcore.send_text(b"back")
    real.go_on(1.0)


# -- toxcore is a relay


class AtRelay(Party):
    """The connection of a client of ours to a relay of toxcore."""

    def __init__(self, peer: ClientPeer, relay: VirtualToxcore) -> None:
        peer.drain()
        super().__init__(peer, peer.link)
        self.stream: Stream = relay.dial()
        peer.open()

    def hear(self, data: bytes) -> None:
        self.stream.inbox += data

    def pass_on(self) -> None:
        """What the relay has sent, and whether it has hung up."""
        if self.stream.outbox:
            self.give(bytes(self.stream.outbox))
            self.stream.outbox.clear()
        if self.stream.is_over and self.at in self.peer.links:
            self.peer.stream_lost(self.at, self.peer.now)


class RealRelay:
    """A relay of toxcore, a client of ours that is recorded, and others that are not."""

    def __init__(self, library: Library, seed: int) -> None:
        self.toxcore = VirtualToxcore(library, seed, port=THEM.port, relay_port=THEM.port)
        self.ends: list[AtRelay] = []
        self.peer = ClientPeer.recorded(relay=self.toxcore.dht_key.hex(), host=HERE, port=THEM.port)
        self.peer.pause = 0.0
        self.dial(self.peer)

    def dial(self, peer: ClientPeer) -> None:
        peer.connect(peer.now)
        self.ends.append(AtRelay(peer, self.toxcore))

    def other(self, secret: bytes) -> ClientPeer:
        """Another client."""
        relay = Relay(self.toxcore.dht_key, Address(HERE, THEM.port))
        other = ClientPeer.live(private_key=secret, relay=relay)
        other.at(self.peer.now)
        self.dial(other)
        return other

    def go_on(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            for end in self.ends:
                end.peer.wait(STEP)
            self.toxcore.at(self.peer.now)
            for end in self.ends:
                end.pass_on()


def at_relay(function: Callable[[RealRelay], None]) -> None:
    def run() -> ClientPeer:
        assert debian is not None, "there is no libtoxcore"
        relay = RealRelay(debian, len(CONVERSATIONS))
        function(relay)
        relay.peer.end()
        relay.toxcore.stop()
        return relay.peer

    run.__name__ = function.__name__
    CONVERSATIONS.append(run)


@at_relay
def two_clients_meet_at_a_relay_of_toxcore(relay: RealRelay) -> None:
    peer = relay.peer
    peer.route(B.public, peer.now)
    relay.go_on(1.0)
    other = relay.other(B.secret)
    relay.go_on(1.0)
    other.route(A.public, other.now)
    relay.go_on(1.0)
    for data in (b"to the other one", bytes(1400)):
        assert peer.send(B.public, data, peer.now)
        assert other.send(A.public, data, other.now)
    assert peer.send_oob(B.public, b"by its key", peer.now)
    assert other.send_oob(A.public, b"by its key", other.now)
    relay.go_on(1.0)
    other.unroute(A.public, other.now)
    relay.go_on(1.0)
    other.route(A.public, other.now)
    relay.go_on(62.0)
    peer.route(A.public, peer.now)
    relay.go_on(1.0)
    peer.unroute(B.public, peer.now)
    relay.go_on(1.0)
    peer.close(peer.now)


@at_relay
def another_login_with_our_key_ends_ours_at_a_relay_of_toxcore(relay: RealRelay) -> None:
    relay.go_on(1.0)
    relay.other(A.secret)
    relay.go_on(1.0)
    relay.ends.pop()
    relay.go_on(1.0)
    relay.ends = [AtRelay(relay.peer, relay.toxcore)]
    relay.go_on(1.0)


def document(version: str) -> dict[str, Any]:
    """The vector file: what it holds, and the conversations that it lacks."""
    assert debian is not None
    had = json.loads(PATH.read_text("ascii"))
    groups = {group["type"]: group for group in had["testGroups"]}
    there = {test["comment"] for group in groups.values() for test in group["tests"]}
    new = [one for one in CONVERSATIONS if one.__name__.replace("_", " ") not in there]
    for group in session_recorder.document("tox", version, new)["testGroups"]:
        group["source"] = {"name": "libtoxcore", "version": debian.version, "provenance": "reference-capture"}
        groups.setdefault(group["type"], {**group, "tests": []})["tests"] += group["tests"]
    tests = [test for group in groups.values() for test in group["tests"]]
    for number, test in enumerate(tests, 1):
        test["tcId"] = number
    return {**had, "numberOfTests": len(tests), "testGroups": [*groups.values()]}


if __name__ == "__main__":
    from sansproto import __version__

    write_json(PATH, document(__version__))
