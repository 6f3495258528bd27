"""What is told while it happens: to a person at a terminal, as plain lines, or as JSON lines for a script."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, Protocol, TextIO, TypeAlias, TypeVar, cast

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .exits import CommandFailed, Exit, Interrupted
from .progress import Bar, Pace, in_words
from .shown import printable as printable
from .signals import at_once, is_ending

R = TypeVar("R")

_AT_ONCE = 1024  # characters that a pipe takes at once if it takes anything
_JSON_EVERY = 0.5  # seconds between two signs of progress
_PLAIN_EVERY = 5.0


Rows: TypeAlias = Sequence[Sequence[str]]
"""A table: the first row is the heading."""


class OutputFailed(CommandFailed):
    """Nothing can be told any more where it should be."""


class Reporter(Protocol):
    """Takes events as they happen. ``facts`` are what a script wants to know, ``text`` what a person does."""

    def tell(self, event: str, text: str = "", **facts: object) -> None: ...

    def command(self, event: str, text: str, command: str, **facts: object) -> None:
        """Tell a command to be typed on another computer."""

    def ask(self, question: str) -> None:
        """Put a question that a line of the standard input will answer."""

    def text(self, text: str) -> None:
        """Show a text that somebody sent, which may have many lines."""

    def answered(self) -> None:
        """The line is there: where it was typed, the question has its end."""

    def progress(self, done: int, total: int | None) -> None:
        """Called often; the first call is the begin of the transfer. None: nobody knows."""

    def rest(self) -> None:
        """However it went, there will be no more progress: a terminal gets its cursor back."""

    def show(self, rows: Rows) -> bool:
        """Show this table instead of the one before; none without rows. False: there is no place for tables here."""
        ...

    def fail(self, failure: CommandFailed) -> None: ...


def make_reporter(*, as_json: bool = False, quiet: bool = False, beside: bool = False) -> Reporter:
    """What fits to where the output goes. ``beside``: the output is somebody else's, so all goes to the errors."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a name that the terminal cannot show must not end a transfer
            reconfigure(errors="backslashreplace")
    if as_json:
        return JsonReporter(sys.stdout)
    console, errors = _console(sys.stderr if beside else sys.stdout), _console(sys.stderr)
    if quiet:
        return QuietReporter(sys.stderr)
    if console.is_terminal and not console.is_dumb_terminal and not (beside and sys.stdout.isatty()):
        return TerminalReporter(console, errors)
    return PlainReporter(sys.stderr if beside else sys.stdout, sys.stderr)


def make_console(stream: TextIO, **options: Any) -> Console:
    """It raises OutputFailed where it cannot write."""
    return Console(file=cast(IO[str], _Stream(stream)), **options)


def _console(stream: TextIO) -> Console:
    """Without emoji codes: names, passwords and IPv6 addresses may look like such."""
    return make_console(stream, highlight=False, soft_wrap=True, emoji=False)


class _Stream:
    """A standard stream that may be gone, or on a full disk: that is no bug, and who ends does not mind."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._try(lambda: self._stream.write(text)) or 0

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, write: Callable[[], R]) -> R | None:
        try:
            return write()
        except OSError as error:
            _silence(self._stream)
            if is_ending():
                return None
            if isinstance(error, BrokenPipeError):  # as of head: the console ends the command without a word
                raise
            raise _unwritable(error) from error


def _print(text: str, out: TextIO) -> None:
    try:
        if len(text) < _AT_ONCE and has_room(out):
            print(text, file=out, flush=True)
            return
        if is_ending() and not has_room(out):
            _silence(out)
        with at_once():
            print(text, file=out, flush=True)
    except Interrupted:
        if not has_room(out):
            _silence(out)
        raise
    except OSError as error:
        _silence(out)
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> OutputFailed:
    return OutputFailed(Exit.FILES, f"Cannot write the output ({error.strerror}): send it elsewhere.")


def has_room(out: TextIO) -> bool:
    """Would a line be written at once, as far as the system can tell?"""
    with suppress(OSError, ValueError):
        return bool(select.select((), (out,), (), 0.0)[1])
    return True


def _silence(out: TextIO) -> None:
    """What is left in its buffer, and what comes, goes nowhere: the interpreter would fail, or wait, to write it."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


class JsonReporter:
    """One object a line, with ``event`` in each."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._pace = Pace(_JSON_EVERY)

    def tell(self, event: str, text: str = "", **facts: object) -> None:
        _print(json.dumps({"event": event, **facts}), self._out)

    def command(self, event: str, text: str, command: str, **facts: object) -> None:
        self.tell(event, "", command=command, **facts)

    def ask(self, question: str) -> None:
        """The offer was told; a script answers it."""

    def text(self, text: str) -> None:
        _print(json.dumps({"event": "text", "text": text}), self._out)

    def answered(self) -> None:
        pass

    def progress(self, done: int, total: int | None) -> None:
        look = self._pace.look(done, total)
        if look is not None:
            left = None if look.left is None else round(look.left, 1)
            stalled = {"stalled": True} if look.stalled else {}
            rate = round(look.rate)
            self.tell("progress", "", done=done, size=total, rate=rate, seconds_left=left, **stalled)

    def rest(self) -> None:
        pass

    def show(self, rows: Rows) -> bool:
        return False

    def fail(self, failure: CommandFailed) -> None:
        reason = failure.code.name.lower()
        self.tell("failed", code=int(failure.code), reason=reason, message=failure.message)


class QuietReporter:
    """Failures alone."""

    def __init__(self, errors: TextIO) -> None:
        self._errors = errors

    def tell(self, event: str, text: str = "", **facts: object) -> None:
        pass

    def command(self, event: str, text: str, command: str, **facts: object) -> None:
        pass

    def ask(self, question: str) -> None:
        pass

    def text(self, text: str) -> None:
        pass

    def answered(self) -> None:
        pass

    def progress(self, done: int, total: int | None) -> None:
        pass

    def rest(self) -> None:
        pass

    def show(self, rows: Rows) -> bool:
        return False

    def fail(self, failure: CommandFailed) -> None:
        with suppress(OutputFailed):  # there is no other place to tell that
            _print(f"sansproto: {printable(failure.message)}", self._errors)


class PlainReporter(QuietReporter):
    """Lines without control characters; failures go to the errors."""

    def __init__(self, out: TextIO, errors: TextIO) -> None:
        super().__init__(errors)
        self._out = out
        self._pace = Pace(_PLAIN_EVERY)

    def tell(self, event: str, text: str = "", **facts: object) -> None:
        if text:
            _print(printable(text), self._out)

    def command(self, event: str, text: str, command: str, **facts: object) -> None:
        self.tell(event, text)
        _print(f"    {command}", self._out)  # as it is: it will be copied

    def ask(self, question: str) -> None:
        self.tell("", question)

    def text(self, text: str) -> None:
        for line in text.splitlines():
            _print(printable(line.expandtabs()), self._out)

    def progress(self, done: int, total: int | None) -> None:
        look = self._pace.look(done, total)
        if look is not None and (done or look.stalled):
            self.tell("", in_words(look))


class TerminalReporter:
    """Colours, a bar, and a table."""

    def __init__(self, console: Console, errors: Console) -> None:
        self._console = console
        self._errors = errors
        self._bar = Bar(console)
        self._is_asking = False
        self._live: Live | None = None
        self._rows: Rows = ()

    def tell(self, event: str, text: str = "", **facts: object) -> None:
        self._stop()
        if text:  # above the table, if there is one
            self._say(text, {"finished": "bold green", "warning": "yellow"}.get(event, ""))

    def command(self, event: str, text: str, command: str, **facts: object) -> None:
        self._stop()
        self._say(text)
        self._console.print(f"\n    {command}\n", style="bold cyan", markup=False)  # as it is: it will be copied

    def ask(self, question: str) -> None:
        self._stop()
        self._is_asking = True
        self._console.print(printable(question), style="bold", markup=False, end=" ")

    def text(self, text: str) -> None:
        self._stop()
        for line in text.splitlines():
            self._console.print(printable(line.expandtabs()), markup=False)

    def answered(self) -> None:
        self._is_asking = False

    def progress(self, done: int, total: int | None) -> None:
        self._bar.show(done, total)

    def rest(self) -> None:
        with suppress(OutputFailed):  # the terminal was closed
            self._stop()

    def show(self, rows: Rows) -> bool:
        if not rows:
            if self._live is not None:
                self._live.stop()
            self._live, self._rows = None, ()
        elif rows != self._rows:
            self._rows = rows
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False, transient=True)
                self._live.start()
            self._live.update(_table(rows), refresh=True)
        return True

    def fail(self, failure: CommandFailed) -> None:
        with suppress(OutputFailed):  # there is no other place to tell that
            self._stop()
            _begin_line(self._errors)
            self._errors.print(f"\N{MULTIPLICATION SIGN} {printable(failure.message)}", style="bold red", markup=False)

    def _say(self, text: str, style: str = "") -> None:
        if is_ending():
            _begin_line(self._console)
        lines = "\n".join(printable(line) for line in text.split("\n"))
        self._console.print(lines, style=style, markup=False)

    def _stop(self) -> None:
        self._bar.clear()
        if self._is_asking:
            self._is_asking = False
            self._console.print()


def _begin_line(console: Console) -> None:
    """The terminal has shown what was typed: ^C, or no answer to a question."""
    if console.is_terminal:
        console.file.write("\r\x1b[K")


def _table(rows: Rows) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in rows[0]:
        table.add_column(name, no_wrap=True)
    for row in rows[1:]:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
