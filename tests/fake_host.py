"""A host for a part that a test drives alone: it keeps what the part asks for."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sansproto.component import Component, Note, Part, Refusal
from sansproto.contract import Path
from sansproto.errors import WireError
from sansproto.machine import Happened, Timer
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.trace import Trace


class FakeHost:
    """What :class:`~sansproto.component.Host` says, and datagrams. Tests add what else a part wants of its owner."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.trace: Trace | None = None
        self.entropy = ScriptedEntropy()
        self.armed: dict[str, float] = {}
        """The delays of the timers that run, by their names."""
        self.events: list[Any] = []
        self.sent: list[tuple[bytes, Path]] = []
        self.dropped, self.refused, self.noted = Counter[str](), Counter[str](), Counter[str]()
        self._queue: list[tuple[Component[Any, Any], Happened[Any]]] = []

    def run(self) -> None:
        """Empty the input queue."""
        while self._queue:
            part, happened = self._queue.pop(0)
            happened.act(part)

    def fire(self, part: Component[Any, Any], timer: Timer[Any, Any]) -> None:
        """Let a timer be due."""
        del self.armed[timer.name]
        part.post(timer.on())
        self.run()

    # -- what a part asks

    def wall(self) -> float:
        return 1.7e9 + self.clock

    def draw(self, n: int, purpose: str) -> bytes:
        return self.entropy(n, purpose=purpose)

    def arm(self, part: Component[Any, Any], timer: Timer[Any, Any], delay: float) -> None:
        self.armed[timer.name] = delay

    def cancel(self, part: Component[Any, Any], timer: Timer[Any, Any]) -> None:
        self.armed.pop(timer.name, None)

    def enqueue(self, part: Component[Any, Any], happened: Happened[Any]) -> None:
        self._queue.append((part, happened))

    def emit(self, event: Any) -> None:
        self.events.append(event)

    def drop(self, reason: str, part: Part[Any] | None = None, guard: str = "", error: WireError | None = None) -> None:
        self.dropped[reason] += 1

    def count_refusal(self, refusal: Refusal, part: Part[Any] | None = None) -> None:
        self.refused[refusal.reason] += 1

    def count_note(self, note: Note, part: Part[Any] | None = None) -> None:
        self.noted[note.remark] += 1

    def send_datagram(self, data: bytes, path: Path, name: str = "") -> bool:
        self.sent.append((data, path))
        return True
