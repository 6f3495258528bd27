"""Ctrl-C and its like, for commands that have something to say before they end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from .exits import Exit, Interrupted


class Signals:
    """While it is entered, Ctrl-C, SIGTERM and the loss of the terminal wait for :meth:`check`; the second does not."""

    def __init__(self) -> None:
        self._seen: Exit | None = None
        self.is_ending = False
        self.is_at_once = False
        self._before: dict[int, Any] = {}

    def check(self) -> None:
        if self._seen is not None:
            self.is_ending = True
            raise Interrupted(self._seen)

    def __enter__(self) -> Self:
        _entered.append(self)
        for number in (signal.SIGINT, *_endings()):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        _entered.remove(self)

    def _note(self, number: int, _: FrameType | None) -> None:
        code = Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED
        is_first, self._seen = self._seen is None, code
        if not is_first or self.is_at_once:
            self.check()


_entered: list[Signals] = []


def _endings() -> Iterator[int]:
    """The signals that end a command, besides Ctrl-C."""
    yield signal.SIGTERM
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        yield signal.SIGHUP


def end_as_ctrl_c_does() -> None:
    """For a command that waits in many places and looks at no signals: none of them leaves anything behind."""

    def end(number: int, _: FrameType | None) -> None:
        raise Interrupted(Exit.TERMINATED)

    for number in _endings():
        signal.signal(number, end)


def is_ending() -> bool:
    """Was a signal acted upon?"""
    return any(signals.is_ending for signals in _entered)


@contextmanager
def at_once() -> Iterator[None]:
    """Within it the first signal does not wait: what is written may be stopped by somebody who reads nothing."""
    for signals in _entered:
        signals.is_at_once = True
        if not signals.is_ending:
            signals.check()
    try:
        yield
    finally:
        for signals in _entered:
            signals.is_at_once = False
