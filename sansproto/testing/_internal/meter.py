"""Measures a call in executed lines or CPU time, and stops one that exceeds a limit, because it may never return."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from types import FrameType
from typing import Any, TypeVar

from ..operations import LawBroken

T = TypeVar("T")

PATIENCE = 60.0  # seconds of the CPU: no example of a law takes as many


class TooMuch(LawBroken):
    """A call exceeded its limit, and was stopped."""


class Metered:
    """An endpoint whose drains and timer calls may execute so many lines, and no more.

    ``work``, for each event or transmit, and ``waiting`` for what earlier calls have left to do; ``slice`` for each
    timer that is due.
    """

    def __init__(self, endpoint: Any, work: int, slice: int) -> None:
        self.waiting = 0
        self._endpoint = endpoint
        self._work = work
        self._slice = slice

    def __getattr__(self, name: str) -> Any:
        return getattr(self._endpoint, name)

    def next_event(self) -> Any:
        return measured(self._endpoint.next_event, self._work + self.waiting)[0]

    def next_transmit(self) -> Any:
        return measured(self._endpoint.next_transmit, self._work + self.waiting)[0]

    def handle_timeout(self, now: float) -> None:
        due = sum(at <= now for at in self._endpoint.timers().values())
        measured(lambda: self._endpoint.handle_timeout(now), self._work + self.waiting + self._slice * due)


def measured(act: Callable[[], T], most: float = inf) -> tuple[T, int]:
    """The result of a call, and how many lines it executed: the same on any machine. Over ``most`` it is stopped."""
    count = 0

    def tracer(frame: FrameType, event: str, _: object) -> Any:  # pragma: no cover - coverage sees no trace function
        nonlocal count
        count += event in ("call", "line")
        if count > most:
            raise TooMuch(f"more than {most} lines, and in {frame.f_code.co_qualname} it still goes on")
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        return act(), count
    finally:
        sys.settrace(before)


@contextmanager
def patience(seconds: float | None = None) -> Iterator[None]:
    """Raise TooMuch after so many seconds of CPU time, on systems with such alarms."""

    def give_up(_: int, frame: FrameType | None) -> None:
        where = "somewhere" if frame is None else f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
        raise TooMuch(f"still going on after {seconds or PATIENCE:g} s of the CPU, in {where}")

    try:
        before = signal.signal(signal.SIGVTALRM, give_up)
    except (AttributeError, ValueError):  # on Windows, or outside of the main thread
        yield
        return
    most = seconds or PATIENCE
    outer = signal.setitimer(signal.ITIMER_VIRTUAL, most, most / 10)  # again: a finalizer swallows what is raised in it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        signal.setitimer(signal.ITIMER_VIRTUAL, *outer)
