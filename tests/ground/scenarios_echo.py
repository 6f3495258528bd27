"""The scripts of docs/howto/echo/vectors/sessions.json; ``python tests/ground/scenarios_echo.py`` writes it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance_echo import MACHINES
from echo import GUESTS, PROBES, Count, EchoDelays, EchoLimits, Message, Probe, ProberDelays, ProberLimits
from echo.packets import TO_PROBER, TO_SERVER

from sansproto import __version__, contract
from sansproto.contract import Address, Link
from sansproto.testing.charts import write_json
from sansproto.testing.record import plain
from sansproto.testing.staging import Config, Stage, document, whole

PATH = Path(__file__).parents[2] / "docs" / "howto" / "echo" / "vectors" / "sessions.json"
ME, ELSEWHERE = contract.Path(PROBES, "192.0.2.7", 4001), contract.Path(PROBES, "192.0.2.8", 4001)
SERVER = contract.Path(PROBES, "192.0.2.1", 7)


class ServerStage(Stage):
    """A server, to which one guest has connected."""

    def __init__(self) -> None:
        super().__init__(MACHINES, "echo.server", {"delays": whole(EchoDelays()), "limits": whole(EchoLimits())})
        self.link: Link = self.stream_accepted(GUESTS, Address("192.0.2.7", 4000), self.now)

    def hear(self, text: bytes) -> None:
        self.wait(1.0)
        self.receive_data(self.link, Message(text).encode(), self.now)


class ProberStage(Stage):
    """A prober that has asked."""

    def __init__(self) -> None:
        settings: Config = {"delays": whole(ProberDelays()), "limits": whole(ProberLimits())}
        super().__init__(MACHINES, "echo.prober", {"server": plain(SERVER), **settings})
        self.probe(self.now)
        self.number = self.entropy.draws[0].data

    def answer(self, count: Count, path: contract.Path = SERVER) -> None:
        self.wait(0.125)
        self.receive_datagram(TO_PROBER.encode(count), path, self.now)


def a_guest_greets_and_speaks_and_leaves() -> Stage:
    stage = ServerStage()
    stage.hear(b"hi there")
    stage.hear(b"hello")
    stage.hear(b"\xff")
    stage.say(stage.link, "good evening", stage.now)
    stage.hear(b"bye")
    stage.stream_lost(stage.link, stage.now)
    stage.fails(lambda: stage.say(stage.link, "come back", stage.now))
    return stage


def who_does_not_greet_is_reset() -> Stage:
    stage = ServerStage()
    stage.fails(lambda: stage.say(stage.link, "who are you?", stage.now))
    stage.tick()
    return stage


def who_speaks_before_greeting_is_reset() -> Stage:
    stage = ServerStage()
    stage.hear(b"hello")
    return stage


def anybody_may_probe() -> Stage:
    stage = ServerStage()
    stage.receive_datagram(TO_SERVER.encode(Probe(bytes(range(8)))), ME, stage.now)
    stage.receive_datagram(b"\1" + bytes(range(8)), ME, stage.now)
    stage.close(stage.now)
    return stage


def an_answer_counts_if_it_is_to_our_question() -> Stage:
    stage = ProberStage()
    stage.answer(Count(stage.number, 7), ELSEWHERE)
    stage.answer(Count(bytes(8), 7))
    stage.answer(Count(stage.number, 7))
    stage.close(stage.now)
    return stage


def a_prober_gives_up() -> Stage:
    stage = ProberStage()
    while stage.next_timeout() is not None:
        stage.tick()
    return stage


SCENARIOS: list[Callable[[], Stage]] = [
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
