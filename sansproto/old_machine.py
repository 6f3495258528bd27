"""State machines as data: one total table per kind of object, and ladders for the guards.

A :class:`Table` says what happens for every pair of state and input; a :class:`Ladder` says which input a packet, verb
or timer *is*. Both are plain data: the runtime, the static checks, the diagrams, the vectors and the explorer read the
same objects. A session class binds a table with ``Machine(TABLE, objects="...")``; from then on the table's actions are
its methods (action ``SEND_HELLO`` of machine ``_member`` is ``_member_send_hello(member, arg)``), and so are the checks
of its rungs. A missing method is an error at class creation.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from enum import Enum
from math import inf, nextafter
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import attrs

from .errors import LocalProtocolError, NotOpen

if TYPE_CHECKING:
    from .old_session import SessionBase

S = TypeVar("S", bound=Enum)
I = TypeVar("I", bound=Enum)  # noqa: E741 - states, inputs, actions, timers: S, I, A, T
A = TypeVar("A", bound=Enum)
T = TypeVar("T", bound=Enum)


class NoTimers(Enum):
    """For tables without timers."""


class Verdict(Enum):
    """What a pair of state and input without a row means."""

    IGNORE = 0  # counted under the reason
    VIOLATION = 1  # the other end broke the protocol: the table's ``violated`` input follows, with the reason
    REJECT = 2  # the caller's bug: LocalProtocolError
    NOT_OPEN = 3  # a race with the end: NotOpen


@attrs.frozen
class Row(Generic[S, I, A, T]):
    """In one of these states, on one of these inputs: the next state (None stays), actions in order, timers."""

    state: S | tuple[S, ...]
    on: I | tuple[I, ...]
    to: S | None = None
    do: tuple[A, ...] = ()
    arm: tuple[T, ...] = attrs.field(default=(), kw_only=True)
    cancel: tuple[T, ...] = attrs.field(default=(), kw_only=True)
    ref: str = attrs.field(kw_only=True)


@attrs.frozen
class Otherwise(Generic[S, I]):
    """The verdict for pairs without a row; None stands for all. The first that applies decides."""

    states: tuple[S, ...] | None
    inputs: tuple[I, ...] | None
    verdict: Verdict
    reason: str | Enum = ""


@attrs.frozen
class Rung(Generic[I]):
    """If the session's ``check`` holds for the object and its argument, the thing is this input."""

    check: str
    input: I
    ref: str = attrs.field(kw_only=True)


@attrs.frozen
class Ladder(Generic[I]):
    """The guards of one kind of packet, verb or timer: the first rung that applies names the input."""

    name: str
    rungs: tuple[Rung[I], ...]
    otherwise: I


@attrs.frozen
class Table(Generic[S, I, A, T]):
    """All that can happen to one kind of object.

    ``fires`` gives the input or the ladder of each timer. ``idle`` maps states in which the object may rest without a
    timer to what ends them. Objects in a ``terminal`` state have no timers. ``page`` names the protocol page that every
    ``ref`` is a heading of.
    """

    name: str
    page: str
    states: type[S]
    inputs: type[I]
    actions: type[A]
    timers: type[T]
    initial: S
    terminal: tuple[S, ...]
    idle: Mapping[S, str]
    rows: tuple[Row[S, I, A, T], ...]
    otherwise: tuple[Otherwise[S, I], ...]
    fires: Mapping[T, I | str] = attrs.field(factory=dict)
    ladders: tuple[Ladder[I], ...] = ()
    violated: I | None = None

    def cells(self) -> Mapping[tuple[S, I], Row[S, I, A, T] | Otherwise[S, I]]:
        """The row or default of every pair; ValueError if one has none, or two rows."""
        cells: dict[tuple[S, I], Row[S, I, A, T] | Otherwise[S, I]] = {}
        for row in self.rows:
            for pair in ((state, on) for state in _each(row.state) for on in _each(row.on)):
                if pair in cells:
                    raise ValueError(f"{self.name}: two rows for {pair}")
                cells[pair] = row
        for state in self.states:
            for on in self.inputs:
                if (state, on) not in cells:
                    cells[state, on] = self._default(state, on)
        return cells

    def _default(self, state: S, on: I) -> Otherwise[S, I]:
        for default in self.otherwise:
            if (default.states is None or state in default.states) and (default.inputs is None or on in default.inputs):
                return default
        raise ValueError(f"{self.name}: neither row nor default for {state}, {on}")


class Stateful(Protocol):
    """An object that a table moves: ``key`` is a plain value that names it among its kind."""

    state: Any

    @property
    def key(self) -> Hashable: ...


TimerKey = tuple[int, Hashable, int]
_Handler = Callable[[Any, Any, Any], None]


class _Cell:
    """A compiled row: what a step does, without a look-up."""

    __slots__ = ("arm", "cancel", "default", "do", "to")

    def __init__(self) -> None:
        self.to: Enum | None = None
        self.do: tuple[_Handler, ...] = ()
        self.arm: tuple[tuple[int, Callable[[Any, Any], float]], ...] = ()
        self.cancel: tuple[int, ...] = ()
        self.default: Otherwise[Any, Any] | None = None


class Machine(Generic[S, I]):
    """A table bound to a session class.

    ``objects`` names the attribute with the objects by key, or with the one object; without it the object is the
    session itself.
    """

    def __init__(self, table: Table[S, I, Any, Any], *, objects: str = "") -> None:
        self.table = table
        self.objects = objects
        self.name = ""
        self.index = -1
        self._cells: list[list[_Cell]] = []
        self._ladders: dict[str, tuple[Ladder[I], tuple[tuple[int, Callable[[Any, Any, Any], bool], I], ...]]] = {}

    def bound_to(self, owner: type[SessionBase[Any]], name: str, index: int) -> Machine[S, I]:
        """The same table with its actions and checks resolved to methods of ``owner``."""
        machine = Machine(self.table, objects=self.objects)
        machine.name, machine.index = name, index
        prefix = f"_{name.strip('_')}_"
        table = self.table
        handlers = {action: getattr(owner, prefix + action.name.lower()) for action in table.actions}
        delays = {timer: _delay(owner, prefix, timer.name.lower()) for timer in table.timers}
        cells = table.cells()
        compiled: dict[int, _Cell] = {}
        for state in table.states:
            row = []
            for on in table.inputs:
                source = cells[state, on]
                cell = compiled.get(id(source))
                if cell is None or (isinstance(source, Row) and source.to is None):
                    cell = compiled[id(source)] = _Cell()
                    if isinstance(source, Row):
                        cell.to = source.to or state
                        cell.do = tuple(handlers[action] for action in source.do)
                        cell.arm = tuple((timer.value, delays[timer]) for timer in source.arm)
                        ends = cell.to in table.terminal
                        cell.cancel = tuple(timer.value for timer in (table.timers if ends else source.cancel))
                    else:
                        cell.default = source
                row.append(cell)
            machine._cells.append(row)
        for ladder in table.ladders:
            checks = ((getattr(owner, f"{prefix}is_{rung.check}"), rung.input) for rung in ladder.rungs)
            machine._ladders[ladder.name] = (ladder, tuple((number, *check) for number, check in enumerate(checks)))
        return machine

    def step(self, session: SessionBase[Any], obj: Stateful, on: I | str, arg: object = None) -> None:
        """Let one input, or the one that a ladder names, act on an object."""
        if on.__class__ is str:
            on = self.judge(session, obj, on, arg)
        state = obj.state
        cell = self._cells[state._value_][on._value_]  # type: ignore[union-attr]  # a str was replaced above
        if session._trace is not None:
            session._trace_step(self, obj, on, cell.to)
        if cell.default is not None:
            self._default(session, obj, on, cell.default)
            return
        obj.state = cell.to
        if cell.cancel:
            for timer in cell.cancel:
                session._cancel((self.index, obj.key, timer))
        if cell.arm:
            for timer, delay in cell.arm:
                clock = session._clock
                at = max(clock + delay(session, obj), nextafter(clock, inf))
                session._timers.set((self.index, obj.key, timer), at)  # type: ignore[arg-type]
        for handler in cell.do:
            handler(session, obj, arg)

    def judge(self, session: SessionBase[Any], obj: Stateful, name: str, arg: object) -> I:
        """The input that a ladder's first applying rung names."""
        ladder, checks = self._ladders[name]
        for number, check, on in checks:
            if check(session, obj, arg):
                if session._trace is not None:
                    session._trace_rung(self, ladder, number)
                return on
        if session._trace is not None:
            session._trace_rung(self, ladder, len(checks))
        return ladder.otherwise

    def ask(self, obj: Stateful, on: I, verb: str) -> None:
        """Raise LocalProtocolError or NotOpen if this input is not allowed now; change nothing."""
        default = self._cells[obj.state._value_][on._value_].default
        if default is not None and default.verdict is Verdict.REJECT:
            raise LocalProtocolError(verb, obj.state.name, str(default.reason))
        if default is not None and default.verdict is Verdict.NOT_OPEN:
            raise NotOpen(verb, obj.state.name)

    def fire(self, session: SessionBase[Any], key: Hashable, timer: int) -> None:
        """Let a due timer of the object with this key act."""
        holder: Any = getattr(session, self.objects) if self.objects else session
        obj = holder[key] if isinstance(holder, dict) else holder
        member = self.table.timers(timer)
        self.step(session, obj, self.table.fires[member], member)

    def timer_name(self, key: Hashable, timer: int) -> str:
        return f"{self.table.name}[{key}].{self.table.timers(timer).name}"

    def _default(self, session: SessionBase[Any], obj: Stateful, on: Any, default: Otherwise[S, I]) -> None:
        if default.verdict is Verdict.IGNORE:
            session._drop(str(default.reason))
        elif default.verdict is Verdict.VIOLATION and self.table.violated is not None:
            self.step(session, obj, self.table.violated, default.reason)
        else:
            self.ask(obj, on, on.name.lower())


def machines_of(owner: type) -> Iterator[tuple[str, Machine[Any, Any]]]:
    """The machines that a class and its bases bind, bases first."""
    found: dict[str, Machine[Any, Any]] = {}
    for base in reversed(owner.__mro__):
        found.update((name, value) for name, value in vars(base).items() if isinstance(value, Machine))
    yield from found.items()


def _each(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _delay(owner: type, prefix: str, name: str) -> Callable[[Any, Any], float]:
    """A timer's delay: the session's method ``_<machine>_<timer>_delay``, else the constant of its ``Delays``."""
    method = getattr(owner, f"{prefix}{name}_delay", None)
    if method is not None:
        found: Callable[[Any, Any], float] = method
        return found
    return lambda session, _: float(getattr(session._delays, name))
