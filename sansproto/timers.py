"""The deadlines of parts, in slices of time: re-arming costs the same at 10 timers and at 10,000."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import heappop, heappush
from math import inf
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeVar

P = TypeVar("P", bound="Holder")
T = TypeVar("T")

_SLICES: Final = 32.0
"""In a second."""
_FAR: Final = 1e15
"""All later deadlines are in one slice."""
_EMPTY: Final = 64
"""So many slices may be empty, or one for each timer if that is more."""


class Holder(Protocol):
    """What has timers."""

    armed: Armed | None
    """One of its timers that run, from which ``before`` leads to all others."""


class Armed:
    """An armed timer. Its numbers are negative, so that of several that are sorted the next one is the last."""

    __slots__ = ("before", "held", "index", "minus_at", "minus_order", "part", "timer")
    before: Armed | None
    held: _Slice
    """The slice of its deadline, or an earlier one."""
    index: int
    """Its place in the slice, as long as that is not sorted."""
    minus_at: float
    minus_order: int
    part: Any
    timer: Any


class _Slice(list[Armed]):
    """Timers whose deadlines are in this slice of time, or after it. When it becomes the first slice, it is sorted, and
    later timers move on."""

    __slots__ = ("is_sorted", "minus_end")
    is_sorted: bool
    minus_end: float


_deadline: Final = attrgetter("minus_at", "minus_order")


class TimerTable(Generic[P, T]):
    """Deadlines by part and timer. Equal deadlines fire in the order in which they were armed.

    A deadline that moves away stays in its slice, and goes to the right one when that is the first. So only timers that
    are due soon are compared with each other, and what was disarmed is gone.
    """

    def __init__(self) -> None:
        self._slices: dict[int, _Slice] = {}
        self._numbers: list[int] = []  # of the slices: a heap
        self._live = self._order = 0

    def __len__(self) -> int:
        """How many timers are armed."""
        return self._live

    def __iter__(self) -> Iterator[tuple[tuple[P, T], float]]:
        """Timers and deadlines in the order in which they were armed."""
        for one in sorted(self._all(), key=lambda one: -one.minus_order):
            yield (one.part, one.timer), -one.minus_at

    def set(self, part: P, timer: T, at: float) -> None:
        """Arm a timer, or move it."""
        self._order = order = self._order - 1
        one = part.armed
        while one is not None and one.timer is not timer:  # as _find does, with one call less
            one = one.before
        if one is None:
            one = Armed()
            one.part, one.timer, one.before = part, timer, part.armed
            one.minus_at, one.minus_order = -at, order
            part.armed = one
            self._live += 1
            held = self._slices.get(int(at * _SLICES)) if at < _FAR else None
            if held is None or held.is_sorted:
                self._put(one)
            else:  # as _put does, once less called
                one.held, one.index = held, len(held)
                held.append(one)
            return
        held = one.held
        if -at <= held.minus_end and not held.is_sorted:
            one.minus_at, one.minus_order = -at, order
            return
        _take(one)
        one.minus_at, one.minus_order = -at, order
        self._put(one)

    def cancel(self, part: P, timer: T) -> None:
        """Disarm a timer; nothing happens if it is not armed."""
        one = _find(part, timer)
        if one is not None:
            _take(one)
            self._disarm(one)

    def clear(self) -> None:
        """Disarm all of them."""
        for one in self._all():
            one.part.armed = None
        self._slices, self._numbers, self._live = {}, [], 0

    def next(self) -> float | None:
        """The earliest deadline."""
        front = self._front()
        return -front[-1].minus_at if front else None

    def pop_due(self, now: float) -> tuple[P, T] | None:
        """Disarm and return the first timer that is due at ``now``."""
        front = self._front()
        if not front or -front[-1].minus_at > now:
            return None
        one = front.pop()
        if one.part.armed is one:  # as _disarm does, with one call less
            one.part.armed = one.before
            self._live -= 1
        else:
            self._disarm(one)
        return one.part, one.timer

    def _all(self) -> list[Armed]:
        return [one for held in self._slices.values() for one in held]

    def _disarm(self, one: Armed) -> None:
        holder = one.part
        if holder.armed is one:
            holder.armed = one.before
        else:
            behind = holder.armed
            while behind.before is not one:
                behind = behind.before
            behind.before = one.before
        self._live -= 1

    def _front(self) -> _Slice | None:
        """The slice with the earliest deadline, sorted; None if there is none."""
        while self._numbers:
            number = self._numbers[0]
            held = self._slices[number]
            if not held.is_sorted:
                self._sort(held)
            if held:
                return held
            if self._slices.get(number) is held:  # with others that were empty it may be gone already
                del self._slices[heappop(self._numbers)]
        return None

    def _sort(self, held: _Slice) -> None:
        late = [one for one in held if one.minus_at <= held.minus_end]
        if late:
            held[:] = [one for one in held if one.minus_at > held.minus_end]
            for one in late:
                self._put(one)
        held.sort(key=_deadline)
        held.is_sorted = True

    def _put(self, one: Armed) -> None:
        at = -one.minus_at
        number = int((at if at < _FAR else _FAR) * _SLICES)
        held = self._slices.get(number)
        if held is None:
            if len(self._numbers) > self._live + _EMPTY:
                self._slices = {number: held for number, held in self._slices.items() if held}
                self._numbers = sorted(self._slices)
            held = self._slices[number] = _Slice()
            held.is_sorted, held.minus_end = False, -(number + 1) / _SLICES if number < _FAR * _SLICES else -inf
            heappush(self._numbers, number)
        one.held = held
        if held.is_sorted:
            insort(held, one, key=_deadline)
        else:
            one.index = len(held)
            held.append(one)


def _find(part: Holder, timer: Any) -> Armed | None:
    one = part.armed
    while one is not None and one.timer is not timer:
        one = one.before
    return one


def _take(one: Armed) -> None:
    """Out of its slice."""
    held = one.held
    if held.is_sorted:
        del held[bisect_left(held, _deadline(one), key=_deadline)]
    else:
        last = held.pop()
        if last is not one:
            held[one.index] = last
            last.index = one.index
