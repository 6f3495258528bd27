"""The deadlines of parts over one lazy heap: re-arming costs the same at 10 timers and at 10,000."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from math import inf
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

P = TypeVar("P", bound="Holder")
T = TypeVar("T")

_SWEEP: Final = 4  # old heap entries that one call looks at


class Holder(Protocol):
    """What has timers."""

    armed: Armed | None
    """The last one that was armed for the first time; each knows the one before."""


class Armed:
    """An armed timer. ``queued`` is the number of its earliest heap entry, the only one that counts."""

    __slots__ = ("at", "before", "order", "part", "queued", "queued_at", "timer")
    at: float
    before: Armed | None
    order: int
    part: Any
    """None: it is not armed any more."""
    queued: int
    queued_at: float
    timer: Any


_Entry: TypeAlias = tuple[float, int, Armed]


class TimerTable(Generic[P, T]):
    """Deadlines by part and timer. Equal deadlines fire in the order in which they were armed.

    A deadline that moves away leaves its heap entry behind, which is looked at again when it comes up. A heap with more
    entries than twice the live timers plus 64 becomes the old one: each call then moves what is live of a few entries
    to a new heap. So no call has to rebuild it as a whole.
    """

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._old: list[_Entry] = []  # a heap too; it only shrinks
        self._live = self._order = 0

    def __len__(self) -> int:
        """How many timers are armed."""
        return self._live

    def __iter__(self) -> Iterator[tuple[tuple[P, T], float]]:
        """Timers and deadlines in the order in which they were armed."""
        for one in sorted(self._all(), key=lambda one: one.order):
            yield (one.part, one.timer), one.at

    def set(self, part: P, timer: T, at: float) -> None:
        """Arm a timer, or move it."""
        one = _find(part, timer)
        if one is None:
            one = Armed()
            one.part, one.timer, one.before, one.queued_at = part, timer, part.armed, inf
            part.armed = one
            self._live += 1
        self._order = order = self._order + 1
        one.at, one.order = at, order
        if at < one.queued_at:
            one.queued, one.queued_at = order, at
            heappush(self._heap, (at, order, one))
            self._trim()

    def cancel(self, part: P, timer: T) -> None:
        """Disarm a timer; nothing happens if it is not armed."""
        one = _find(part, timer)
        if one is not None:
            self._disarm(one)
            self._trim()

    def clear(self) -> None:
        """Disarm all of them."""
        for one in self._all():
            one.part.armed = None
        self._heap, self._old, self._live = [], [], 0

    def next(self) -> float | None:
        """The earliest deadline."""
        heap = self._front()
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> tuple[P, T] | None:
        """Disarm and return the first timer that is due at ``now``."""
        heap = self._front()
        if not heap or heap[0][0] > now:
            return None
        one = heappop(heap)[2]
        due = one.part, one.timer
        self._disarm(one)
        return due

    def _all(self) -> list[Armed]:
        return [one for heap in (self._heap, self._old) for _, number, one in heap if one.queued == number]

    def _disarm(self, one: Armed) -> None:
        holder = one.part
        if holder.armed is one:
            holder.armed = one.before
        else:
            behind = holder.armed
            while behind.before is not one:
                behind = behind.before
            behind.before = one.before
        one.part = one.timer = one.before = None  # the heap holds nothing else alive
        one.order = one.queued = 0
        self._live -= 1

    def _front(self) -> list[_Entry]:
        """The heap with the earliest deadline on its top; empty if there is none."""
        while True:
            heap, old = self._heap, self._old
            if old and not (heap and heap[0] < old[0]):
                heap = old
            if not heap or heap[0][1] == heap[0][2].order:
                return heap
            self._replace(heappop(heap))

    def _replace(self, entry: _Entry) -> None:
        """An entry was taken from its heap: queue what it stands for now, if that is not queued otherwise."""
        _, number, one = entry
        if one.queued == number:
            one.queued, one.queued_at = one.order, one.at
            heappush(self._heap, (one.at, one.order, one))

    def _trim(self) -> None:
        old = self._old
        if not old:
            if len(self._heap) <= 2 * self._live + 64:
                return
            old, self._old, self._heap = self._heap, self._heap, []
        for _ in range(min(_SWEEP, len(old))):
            self._replace(old.pop())  # without its last entry a heap is still one


def _find(part: Holder, timer: Any) -> Armed | None:
    one = part.armed
    while one is not None and one.timer is not timer:
        one = one.before
    return one
