"""A table of named deadlines over one lazy heap: re-arming costs the same at 10 timers and at 10,000."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heappop, heappush
from math import inf
from typing import Any, Final, Generic, TypeAlias, TypeVar

K = TypeVar("K", bound=Hashable)

_SWEEP: Final = 4  # old heap entries that one call looks at


class _Timer:
    """An armed timer. ``queued`` is the number of its earliest heap entry, the only one that counts."""

    __slots__ = ("at", "key", "order", "queued", "queued_at")
    at: float
    key: Any
    order: int
    queued: int
    queued_at: float


_Entry: TypeAlias = tuple[float, int, _Timer]


class TimerTable(Generic[K]):
    """Deadlines by key. Equal deadlines fire in the order in which they were armed.

    A deadline that moves away leaves its heap entry behind, which is looked at again when it comes up. A heap with more
    entries than twice the live timers plus 64 becomes the old one: each call then moves what is live of a few entries
    to a new heap. So no call has to rebuild it as a whole.
    """

    def __init__(self) -> None:
        self._armed: dict[K, _Timer] = {}
        self._heap: list[_Entry] = []
        self._old: list[_Entry] = []  # a heap too; it only shrinks
        self._order = 0

    def set(self, key: K, at: float) -> None:
        """Arm a timer, or move it."""
        timer = self._armed.get(key)
        if timer is None:
            timer = self._armed[key] = _Timer()
            timer.key, timer.queued_at = key, inf
        self._order = order = self._order + 1
        timer.at, timer.order = at, order
        if at < timer.queued_at:
            timer.queued, timer.queued_at = order, at
            heappush(self._heap, (at, order, timer))
            self._trim()

    def cancel(self, key: K) -> None:
        """Disarm a timer; nothing happens if it is not armed."""
        timer = self._armed.pop(key, None)
        if timer is not None:
            timer.key, timer.order, timer.queued = None, 0, 0  # the heap holds nothing else alive
            self._trim()

    def next(self) -> float | None:
        """The earliest deadline."""
        heap = self._front()
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> K | None:
        """Disarm and return the first timer that is due at ``now``."""
        heap = self._front()
        if not heap or heap[0][0] > now:
            return None
        key: K = heappop(heap)[2].key
        del self._armed[key]
        return key

    def __iter__(self) -> Iterator[tuple[K, float]]:
        """Keys and deadlines in the order in which they were armed."""
        for timer in sorted(self._armed.values(), key=lambda timer: timer.order):
            yield timer.key, timer.at

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
        _, number, timer = entry
        if timer.queued == number:
            timer.queued, timer.queued_at = timer.order, timer.at
            heappush(self._heap, (timer.at, timer.order, timer))

    def _trim(self) -> None:
        old = self._old
        if not old:
            if len(self._heap) <= 2 * len(self._armed) + 64:
                return
            old, self._old, self._heap = self._heap, self._heap, []
        for _ in range(min(_SWEEP, len(old))):
            self._replace(old.pop())  # without its last entry a heap is still one
