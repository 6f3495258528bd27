"""How a transfer goes: what is behind it, how fast it is now, and whether it stands still."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress

import attrs
from rich.console import Console
from rich.filesize import decimal

_WINDOW = 3.0  # seconds over which the rate is taken
_GRAIN = 0.05  # seconds between two samples
_STALLED = 1.5  # seconds without any movement
_SOON = 0.5  # seconds until the rate of what goes on is told
_HIDE, _SHOW, _CLEAR = "\x1b[?25l", "\x1b[?25h", "\r\x1b[J"
_FILLED, _EMPTY = "\N{BOX DRAWINGS HEAVY HORIZONTAL}", "\N{BOX DRAWINGS LIGHT HORIZONTAL}"
_LEAST_BAR, _MOST_BAR = 8, 40
_LEAST_WIDTH = 25  # for a bar at all


@attrs.frozen
class Look:
    """At one moment; ``total`` and ``left`` (seconds) are None where nobody knows."""

    done: int
    total: int | None
    rate: float
    left: float | None
    stalled: bool

    @property
    def percent(self) -> int | None:
        return None if self.total is None else self.done * 100 // self.total if self.total else 100


class Pace:
    """Told of all progress, it gives a :class:`Look` now and then, and when it begins or ends to stand still."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._samples: deque[tuple[float, int]] = deque()
        self._next = self._moved = 0.0
        self._was_stalled = False

    def look(self, done: int, total: int | None) -> Look | None:
        """None: it is not time for another one."""
        now, is_first = time.monotonic(), not self._samples
        if is_first or done != self._samples[-1][1]:
            self._moved = now
        if len(self._samples) > 1 and now - self._samples[-2][0] < _GRAIN:
            self._samples.pop()
        self._samples.append((now, done))
        while len(self._samples) > 2 and self._samples[1][0] < now - _WINDOW:
            self._samples.popleft()
        stalled = now - self._moved >= _STALLED and done != total
        goes_on = self._was_stalled and not stalled
        if stalled == self._was_stalled and now < self._next:
            return None
        if goes_on:  # how fast, is not known yet: the time in which it stood still does not count
            self._samples.clear()
            self._samples.append((now, done))
        self._was_stalled, self._next = stalled, now + (min(self._every, _SOON) if goes_on else self._every)
        return None if is_first and done else Look(done, total, *self._speed(done, total, stalled), stalled)

    def _speed(self, done: int, total: int | None, stalled: bool) -> tuple[float, float | None]:
        (since, before), (now, _) = self._samples[0], self._samples[-1]
        rate = 0.0 if stalled or now <= since else (done - before) / (now - since)
        return rate, (total - done) / rate if total is not None and rate else None


def in_words(look: Look) -> str:
    """For a line of its own."""
    text = decimal(look.done) if look.percent is None else f"{look.percent} % of {decimal(look.total or 0)}"
    if look.stalled:
        return f"{text}, stalled: nothing moves"
    rate = f", {decimal(int(look.rate))}/s" if look.rate else ""
    return text + rate + ("" if look.left is None else f", {look.left:.0f} s left")


def in_width(look: Look, width: int) -> str:
    """For the last line of a terminal: a bar, if it is known how much is to come, and of the rest as much as fits."""
    percent = "" if look.percent is None else f"{look.percent:3} %"
    rate = "stalled" if look.stalled else f"{decimal(int(look.rate))}/s"
    left = "" if look.left is None else f"{look.left:.0f} s left"
    done = decimal(look.done) + ("" if look.total is None else f" of {decimal(look.total)}")
    kept = _LEAST_BAR + 2 if percent and width >= _LEAST_WIDTH else 0
    text = ""
    for part in (percent, rate, left, done):
        longer = f"{text}  {part}" if text and part else text + part
        if len(longer) <= width - kept:
            text = longer
    room = min(_MOST_BAR, width - len(text) - 2)
    if look.percent is None or room < _LEAST_BAR:
        return text
    filled = min(room, room * look.percent // 100)
    return f"{_FILLED * filled}{_EMPTY * (room - filled)}  {text}"


class Bar:
    """The last line of a terminal.

    The cursor waits at its beginning: a terminal that becomes narrower breaks the line in several, and what is behind
    the cursor can be cleared all the same.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pace = Pace(0.1)
        self._is_shown = False

    def show(self, done: int, total: int | None) -> None:
        look = self._pace.look(done, total)
        if look is not None:
            line = in_width(look, _width(self._console) - 1)
            self._write(f"{'' if self._is_shown else _HIDE}{_CLEAR}{line}\r")
            self._is_shown = True

    def clear(self) -> None:
        if self._is_shown:
            self._is_shown = False
            self._write(_CLEAR + _SHOW)

    def _write(self, text: str) -> None:
        encoding = self._console.encoding
        self._console.file.write(text.encode(encoding, "replace").decode(encoding))
        self._console.file.flush()


def _width(console: Console) -> int:
    """Columns, as they are now: the environment may have those of long ago."""
    with suppress(OSError, ValueError):
        columns = os.get_terminal_size(console.file.fileno()).columns
        if columns:
            return columns
    return console.width
