"""Writes the source of one encode or decode function and compiles it.

Codecs talk to a :class:`Reader` or a :class:`Writer`. Both gather neighbouring fixed-size items into *runs*; a run
becomes one ``struct.Struct``. Which codec an item came from no longer matters when the function runs.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import Fault, WireError

Buffer = bytes | bytearray
Decoder = Callable[[Buffer, int, int], tuple[Any, int]]

_PACK_ERRORS = (struct.error, OverflowError)


class _Source(ABC):
    """The lines of a function, the objects that they name, and the field that they are about."""

    def __init__(self) -> None:
        self.field = ""
        self._lines: list[str] = []
        self._depth = 1
        self._fresh = 0
        self._run: list[tuple[str, str, str]] = []  # struct code, variable or expression, field
        self._order = ""
        self._env: dict[str, Any] = {
            "WireError": WireError,
            "Fault": Fault,
            "PACK_ERRORS": _PACK_ERRORS,
            "blame": _blame,
            "cut": _cut,
            "inside": inside,
        }

    def bind(self, value: object) -> str:
        """A name by which the function can refer to ``value``."""
        name = f"k{len(self._env)}"
        self._env[name] = value
        return name

    def fresh(self) -> str:
        """The name of a new variable."""
        self._fresh += 1
        return f"v{self._fresh}"

    def line(self, text: str) -> None:
        """Add statements; they may use any variable handed out so far, and see an offset ``o`` that has not moved."""
        self._lines += ["    " * self._depth + line for line in text.split("\n")]

    def let(self, expression: str) -> str:
        """A new variable with the value of ``expression``."""
        name = self.fresh()
        self.line(f"{name} = {expression}")
        return name

    def refuse(self, condition: str, fault: Fault, at: str = "0") -> None:
        """Raise ``WireError(fault, at, field)`` where the condition holds."""
        self.line(f"if {condition}:\n    raise WireError({fault}, {at}, {self.field!r})")

    def parse(self, expression: str, fault: Fault, at: str = "0") -> str:
        """A new variable with the value of ``expression``; ``WireError(fault, at, field)`` if it raises ValueError."""
        value = self.fresh()
        error = f"WireError({fault}, {at}, {self.field!r})"
        self.line(f"try:\n    {value} = {expression}\nexcept ValueError:\n    raise {error} from None")
        return value

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Indent what is added inside under ``head`` (an ``if``, ``else`` or ``for`` line)."""
        self.settle()
        self.line(head)
        self._depth += 1
        yield
        self.settle()
        self._depth -= 1

    @abstractmethod
    def settle(self) -> None:
        """End the open run; nothing is left pending."""

    def build(self, name: str, parameters: str) -> Callable[..., Any]:
        text = f"def {name}({parameters}):\n" + "\n".join(self._lines) + "\n"
        exec(compile(text, f"<wire {name}>", "exec"), self._env)
        function: Callable[..., Any] = self._env[name]
        return function

    def _join_run(self, code: str, variable: str, order: str) -> None:
        if order and self._order and order != self._order:
            self.settle()
        self._order = order or self._order
        self._run.append((code, variable, self.field))

    def _close_run(self) -> tuple[struct.Struct, str, list[tuple[str, str]]]:
        """The struct of the run, its variables separated by commas, and its (struct code, field) pairs."""
        order = self._order or ">"
        layout = struct.Struct(order + "".join(code for code, _, _ in self._run))
        variables = "".join(f"{variable}, " for _, variable, _ in self._run)
        parts = [(order + code, field) for code, _, field in self._run]
        self._run, self._order = [], ""
        return layout, variables, parts


class Reader(_Source):
    """Writes ``(buf, o, end) -> (value, o)``: ``buf[o:end]`` is what there is, the result says where reading stopped.

    ``at`` is an expression: the offset of the item read last. ``after`` is the fewest bytes that the fields behind
    the present one take; it only makes ``WireError.need`` larger.
    """

    def __init__(self) -> None:
        super().__init__()
        self.at = "o"
        self.after = 0
        self._delta = 0  # how far the cursor is ahead of the variable `o`
        self._start = 0
        self._run_after = 0

    def take(self, code: str, order: str = "") -> str:
        """A variable with the next item, of this struct code; ``order`` is ``<``, ``>`` or, for single bytes, empty."""
        variable = self.fresh()
        self._join_run(code, variable, order)
        if len(self._run) == 1:
            self._start = len(self._lines)
        size = struct.calcsize(">" + "".join(code for code, _, _ in self._run[:-1]))
        self.at = self._plus(self._delta + size)
        self._run_after = self.after
        return variable

    def cursor(self) -> str:
        """An expression, valid until the next read: the offset of what comes next."""
        self._end_run()
        return self._plus(self._delta)

    def mark(self) -> str:
        """Like :meth:`cursor`, but a variable; also becomes ``at``."""
        self.at = self.let(self.cursor())
        return self.at

    def move(self, expression: str) -> None:
        """Go on reading at the offset ``expression``."""
        self.line(f"o = {expression}")
        self._delta = 0

    def require(self, size: str) -> str:
        """Refuse fewer than ``size`` further bytes (an expression, not negative). A variable: the offset behind them.

        ``at`` is where they begin. Nothing is read.
        """
        start = self.mark()
        stop = self.let(f"{start} + {size}")
        self.line(
            f"if {stop} > end:\n"
            f"    raise WireError(Fault.TRUNCATED, {start}, {self.field!r}, need={stop} - end + {self.after})"
        )
        return stop

    def slice(self, length: str) -> str:
        """A variable with the next ``length`` bytes (an expression, not negative)."""
        stop = self.require(length)
        data = self.let(f"bytes(buf[{self.at}:{stop}])")
        self.move(stop)
        return data

    def call(self, decoder: str) -> str:
        """A variable with what the function of that name, a :data:`Decoder`, reads next."""
        start = self.mark()
        value = self.fresh()
        self.line(
            f"try:\n    {value}, o = {decoder}(buf, {start}, end)\n"
            f"except WireError as error:\n    raise inside(error, {self.field!r}, {self.after}) from None"
        )
        self._delta = 0
        return value

    def settle(self) -> None:
        self._end_run()
        if self._delta:
            self.move(self._plus(self._delta))

    def _plus(self, distance: int) -> str:
        return f"o + {distance}" if distance else "o"

    def _end_run(self) -> None:
        if not self._run:
            return
        layout, variables, parts = self._close_run()
        start, self._delta = self._plus(self._delta), self._delta + layout.size
        checks = self._lines[self._start :]
        del self._lines[self._start :]
        self.line(f"if end - o < {self._delta}:\n    raise cut({start}, end, {self.bind(parts)}, {self._run_after})")
        if layout.format == ">B":  # a tag, nearly always
            self.line(f"{variables.rstrip(', ')} = buf[{start}]")
        else:
            self.line(f"{variables}= {self.bind(layout.unpack_from)}(buf, {start})")
        self._lines += checks


class Writer(_Source):
    """Writes ``(x) -> bytes``. All checks of a run come before it is packed."""

    def __init__(self) -> None:
        super().__init__()
        self.trailing = ""  # the variable with the previous optional trailing field, if there is one
        self._pieces: list[str] = []

    def pack(self, code: str, expression: str, order: str = "") -> None:
        """Append one item of this struct code."""
        self._join_run(code, expression, order)

    def put(self, expression: str) -> None:
        """Append bytes of any length."""
        self.settle()
        self._pieces.append(expression)

    def call(self, encoder: Callable[[Any], Buffer], value: str) -> None:
        """Append what ``encoder`` makes of ``value``."""
        self.settle()
        piece, name = self.fresh(), self.bind(encoder)
        self.line(
            f"try:\n    {piece} = {name}({value})\n"
            f"except WireError as error:\n    raise inside(error, {self.field!r}) from None"
        )
        self._pieces.append(piece)

    @contextmanager
    def part(self, head: str, target: str) -> Iterator[None]:
        """Under ``head``, append what is written inside to the list ``target`` instead."""
        self.settle()
        outer, self._pieces = self._pieces, []
        with self.block(head):
            yield
            self.line(f"{target}.append({self.result()})")
        self._pieces = outer

    def result(self) -> str:
        """An expression with everything appended so far."""
        self.settle()
        return f'b"".join(({"".join(f"{piece}, " for piece in self._pieces)}))'

    def settle(self) -> None:
        if not self._run:
            return
        layout, variables, parts = self._close_run()
        piece = self.fresh()
        self.line(
            f"try:\n    {piece} = {self.bind(layout.pack)}({variables})\n"
            f"except PACK_ERRORS:\n    raise blame({self.bind(parts)}, ({variables})) from None"
        )
        self._pieces.append(piece)


def inside(error: WireError, field: str, after: int = 0, start: int = 0) -> WireError:
    """The same error, seen from a packet in which it happened in ``field``, at an offset that counts from ``start``."""
    path = ".".join(name for name in (field, error.field) if name)
    need = error.need + after if error.fault is Fault.TRUNCATED else 0
    return WireError(error.fault, error.offset + start, path, need=need)


def _cut(start: int, end: int, parts: Sequence[tuple[str, str]], after: int) -> WireError:
    """The error for a run that does not end before ``end``: it names the first field that is cut."""
    stop, name, at = start, "", start
    for code, field in parts:
        size = struct.calcsize(code)
        if stop <= end:
            name, at = field, stop
        stop += size
    return WireError(Fault.TRUNCATED, at, name, need=stop - end + after)


def _blame(parts: Sequence[tuple[str, str]], values: Sequence[object]) -> WireError:
    """The error for a run that would not pack: it names the first value that is at fault."""
    fields = (field for (code, field), value in zip(parts, values, strict=True) if not _packs(code, value))
    return WireError(Fault.BAD_VALUE, 0, next(fields))


def _packs(code: str, value: object) -> bool:
    try:
        struct.pack(code, value)
    except _PACK_ERRORS:
        return False
    return True
