"""Conversations of a node with a real toxcore, for ``vectors/tox/toxcore.json``: every byte that it said, and ours.

Run by hand where Debian's libtoxcore2 is, with ``PYTHONPATH=tests:tests/tox``: cookies hold the time of day, so no two
runs give the same file. Each conversation runs on a clock that stands still between its steps, without a socket.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as File
from typing import Any

from scripted import Party
from scripted_tox import NodePeer
from toxcore import HERE, Library, debian
from virtual_toxcore import VirtualToxcore

from sansproto.contract import Path
from sansproto.testing import session_recorder
from sansproto.testing.vectors import write_json
from sansproto.tox import Presence

PATH = File(__file__).parents[2] / "vectors" / "tox" / "toxcore.json"
STEP = 0.05
US = Path("udp", HERE, 33445)
THEM = Path("udp", HERE, 33446)
CONVERSATIONS: list[Callable[[], NodePeer]] = []


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


def document(version: str) -> dict[str, Any]:
    """The vector file."""
    assert debian is not None
    made = session_recorder.document("tox", version, CONVERSATIONS)
    for group in made["testGroups"]:
        group["source"] = {"name": "libtoxcore", "version": debian.version, "provenance": "reference-capture"}
    return made


if __name__ == "__main__":
    from sansproto import __version__

    write_json(PATH, document(__version__))
