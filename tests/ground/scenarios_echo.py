"""The scripts of docs/howto/echo/vectors/sessions.json; ``make vectors`` writes it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance_echo import MACHINES
from echo import GUESTS, PROBES, Count, EchoDelays, EchoLimits, Message, Probe, ProberDelays, ProberLimits
from echo.packets import TO_PROBER, TO_SERVER
from scripted import ScriptedPeer

from sansproto import __version__, contract
from sansproto.contract import Address, Link
from sansproto.testing.record import plain
from sansproto.testing.session_recorder import Config, SessionRecorder, document, whole
from sansproto.testing.vectors import write_json

PATH = Path(__file__).parents[2] / "docs" / "howto" / "echo" / "vectors" / "sessions.json"
ME, ELSEWHERE = contract.Path(PROBES, "192.0.2.7", 4001), contract.Path(PROBES, "192.0.2.8", 4001)
SERVER = contract.Path(PROBES, "192.0.2.1", 7)


class ServerPeer(ScriptedPeer):
    """A guest, connected to a server."""

    def __init__(self) -> None:
        settings: Config = {"delays": whole(EchoDelays()), "limits": whole(EchoLimits())}
        super().__init__(SessionRecorder(MACHINES, "echo.server", settings))
        self.link: Link = self.stream_accepted(GUESTS, Address("192.0.2.7", 4000), self.now)

    def hear(self, text: bytes) -> None:
        self.now += 1.0
        self.receive_data(self.link, Message(text).encode(), self.now)


class ProberPeer(ScriptedPeer):
    """The server of a prober that has asked."""

    def __init__(self) -> None:
        settings: Config = {"delays": whole(ProberDelays()), "limits": whole(ProberLimits())}
        super().__init__(SessionRecorder(MACHINES, "echo.prober", {"server": plain(SERVER), **settings}))
        self.probe(self.now)
        self.number = self.entropy.draws[0].data

    def answer(self, count: Count, path: contract.Path = SERVER) -> None:
        self.now += 0.125
        self.receive_datagram(TO_PROBER.encode(count), path, self.now)


def a_guest_greets_and_speaks_and_leaves() -> ScriptedPeer:
    peer = ServerPeer()
    peer.hear(b"hi there")
    peer.hear(b"hello")
    peer.hear(b"\xff")
    peer.say(peer.link, "good evening", peer.now)
    peer.hear(b"bye")
    peer.stream_lost(peer.link, peer.now)
    peer.fails(lambda: peer.say(peer.link, "come back", peer.now))
    return peer


def who_does_not_greet_is_reset() -> ScriptedPeer:
    peer = ServerPeer()
    peer.fails(lambda: peer.say(peer.link, "who are you?", peer.now))
    peer.tick()
    return peer


def who_speaks_before_greeting_is_reset() -> ScriptedPeer:
    peer = ServerPeer()
    peer.hear(b"hello")
    return peer


def anybody_may_probe() -> ScriptedPeer:
    peer = ServerPeer()
    peer.receive_datagram(TO_SERVER.encode(Probe(bytes(range(8)))), ME, peer.now)
    peer.receive_datagram(b"\1" + bytes(range(8)), ME, peer.now)
    peer.close(peer.now)
    return peer


def an_answer_counts_if_it_is_to_our_question() -> ScriptedPeer:
    peer = ProberPeer()
    peer.answer(Count(peer.number, 7), ELSEWHERE)
    peer.answer(Count(bytes(8), 7))
    peer.answer(Count(peer.number, 7))
    peer.close(peer.now)
    return peer


def a_prober_gives_up() -> ScriptedPeer:
    peer = ProberPeer()
    while peer.tick():
        pass
    return peer


SCENARIOS: list[Callable[[], ScriptedPeer]] = [
    a_guest_greets_and_speaks_and_leaves,
    who_does_not_greet_is_reset,
    who_speaks_before_greeting_is_reset,
    anybody_may_probe,
    an_answer_counts_if_it_is_to_our_question,
    a_prober_gives_up,
]


def sessions() -> dict[str, Any]:
    """The vector file."""
    return document("echo", __version__, SCENARIOS)


if __name__ == "__main__":
    write_json(PATH, sessions())
