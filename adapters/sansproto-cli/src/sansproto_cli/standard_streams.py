"""The standard input and output of commands that are pipes."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from sansproto.errors import NotOpen

from .exits import CommandFailed, Exit
from .report import Reporter
from .signals import at_once

_READ = 65536
_AGAIN = 0.05  # seconds until messages are offered again that were not taken, if nobody says that they fit


def pieces(data: bytes, most: int) -> list[bytes]:
    """Lines with their ends, none longer than this; the last one has no end yet, and may be empty."""
    *lines, rest = data.split(b"\n")
    *full, rest = _cut(rest, most)
    return [piece for line in lines for piece in _cut(line + b"\n", most) if piece] + full + [rest]


def _cut(line: bytes, most: int) -> list[bytes]:
    """The last piece is shorter than that."""
    return [line[at : at + most] for at in range(0, len(line) + 1, most)]


class Output(Protocol):
    """Where messages go."""

    def message(self, data: bytes) -> None: ...


class RawOutput:
    """Messages as they are, one after another."""

    def message(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            with at_once():
                while view:
                    view = view[os.write(1, view) :]
        except OSError as error:
            raise CommandFailed(
                Exit.FILES, f"Cannot write the output ({error.strerror}): send it elsewhere."
            ) from error


class JsonOutput:
    """A JSON object for each."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def message(self, data: bytes) -> None:
        facts: dict[str, object] = {"hex": data.hex()}
        with suppress(UnicodeDecodeError):
            facts["line"] = data.decode()
        self._reporter.tell("message", "", **facts)


class Input:
    """An input, in messages, read in a thread: nothing can interrupt that.

    ``cut`` makes messages of what was read; the last one is not complete yet, and may be empty. ``send`` takes as many
    of them as fit from the left. ``end`` is sent after all of them.
    """

    def __init__(
        self,
        descriptor: int,
        cut: Callable[[bytes], list[bytes]],
        send: Callable[[deque[bytes]], object],
        end: bytes = b"",
    ) -> None:
        self._descriptor, self._cut, self._send, self._end = descriptor, cut, send, end
        self._has_room, self._is_stopped = threading.Event(), False
        self._waiting: deque[bytes] = deque()
        self.is_over = False
        """All of it was taken."""
        threading.Thread(target=self._read, name="input", daemon=True).start()

    @property
    def held(self) -> int:
        """Messages that were read and not taken."""
        return len(self._waiting)

    def stop(self) -> None:
        self._is_stopped = True
        self._has_room.set()

    def go_on(self) -> None:
        """Messages may fit now."""
        self._has_room.set()

    def _read(self) -> None:
        with suppress(OSError, NotOpen):  # closed; or the node is
            rest = b""
            while data := os.read(
                self._descriptor, _READ
            ):  # a buffer would have a lock that the end of the process wants
                *whole, rest = self._cut(rest + data)
                if not self._take(whole):
                    return
            self.is_over = self._take([rest, self._end])

    def _take(self, messages: list[bytes]) -> bool:
        self._waiting.extend(message for message in messages if message)
        while self._waiting:
            self._has_room.clear()
            self._send(self._waiting)
            if self._waiting:
                self._has_room.wait(_AGAIN)
            if self._is_stopped:
                return False
        return True
