"""The desk for strangers: a server that answers only so many probes in a second, whoever sends them."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar, Final, Protocol

import attrs

from sansproto.component import Component, DatagramHost
from sansproto.contract import Instant, Path
from sansproto.endpoint import Received
from sansproto.machine import Guards, Input, Row, Table
from sansproto.session import Answers

from .events import EchoEvent
from .packets import Probe
from .server import EchoServer

MOST: Final = 100
"""Answers to all strangers together, in one second."""


@attrs.frozen
class Spent:
    """What strangers have used up of the budget."""

    since: Instant = 0.0
    """When the second began."""
    answers: int = 0
    """How many they got in it."""


class S(Enum):
    """What a desk is."""

    OPEN = 0


class I:
    """What can happen to it."""

    ASKED = Input[S, Received[Probe]]()


class DeskHost(DatagramHost[EchoEvent], Protocol):
    """What a desk needs of its server."""

    spent: Spent

    def answer(self, packet: Probe, path: Path) -> None: ...


class Desk(Component[S, DeskHost]):
    """Answers whom nobody knows. It keeps nothing of them."""

    def is_new_second(self) -> bool:
        return self.host.clock >= self.host.spent.since + 1.0

    def is_within_budget(self) -> bool:
        return self.is_new_second() or self.host.spent.answers < MOST

    def charge(self) -> None:
        spent = Spent(self.host.clock) if self.is_new_second() else self.host.spent
        self.host.spent = attrs.evolve(spent, answers=spent.answers + 1)

    def answer(self, asked: Received[Probe]) -> None:
        self.host.answer(asked.packet, asked.path)


PROBE: Final = (
    Guards.of(Desk, S, Received[Probe], "probe")
    .need(Desk.is_within_budget, "too many strangers", ref="probing")
    .give(I.ASKED)
)

DESK: Final = Table[Desk, S](
    Desk,
    I,
    name="echo.desk",
    initial=S.OPEN,
    idle={S.OPEN: "the end of the session"},
    rows=(Row(S.OPEN, I.ASKED, None, Desk.charge, Desk.answer, ref="probing"),),
    defaults=(),
)


class CarefulServer(EchoServer):
    """An echo server with a desk for strangers."""

    strangers: ClassVar = Answers(11, budget="spent")
    spent: Spent
    desk: Desk

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.spent, self.desk = Spent(), Desk(self)

    def received(self, packet: Probe, path: Path) -> None:
        self.desk.take(PROBE, Received(packet, path))
