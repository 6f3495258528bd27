"""What the echo protocol makes of its vectors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "howto"))

from echo import EchoDelays, EchoLimits, EchoServer, Message, Prober, ProberDelays, ProberLimits
from echo.guest import GUEST
from echo.prober import QUESTION

from sansproto.contract import Entropy
from sansproto.contract import Path as Way
from sansproto.testing.conformance import Answer, Config, Make, settings
from sansproto.testing.record import plain
from sansproto.testing.vectors import VectorTest
from sansproto.trace import Trace


def message(test: VectorTest) -> Answer:
    wire = test.octets("wire")
    value, end = Message.decode_prefix(wire)
    return {"packet": "Message", "fields": plain(value), "rest": wire[end:].hex(), "canonical": value.encode().hex()}


def server(config: Config, entropy: Entropy, trace: Trace | None = None) -> EchoServer:
    delays, limits = settings(EchoDelays, config["delays"]), settings(EchoLimits, config["limits"])
    return EchoServer(entropy=entropy, delays=delays, limits=limits, trace=trace)


def prober(config: Config, entropy: Entropy, trace: Trace | None = None) -> Prober:
    delays, limits = settings(ProberDelays, config["delays"]), settings(ProberLimits, config["limits"])
    return Prober(server=Way(**config["server"]), entropy=entropy, delays=delays, limits=limits, trace=trace)


ANSWERS: Mapping[str, Callable[[VectorTest], Answer]] = {"echo.message": message}
MACHINES: Mapping[str, Make] = {"echo.server": server, "echo.prober": prober}
TABLES = (GUEST, QUESTION)
CANNOT: frozenset[str] = frozenset()
