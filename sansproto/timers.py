"""A table of named deadlines over one lazy heap: re-arming costs the same at 10 timers and at 10,000."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heappop, heappush
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SWEEP: Final = 4  # old heap entries that one call looks at


class TimerTable(Generic[K]):
    """Deadlines by key. Equal deadlines fire in the order in which they were armed.

    A deadline that moves away leaves its heap entry behind, which is looked at again when it comes up. A heap with more
    entries than twice the live timers plus 64 becomes the old one: each call then moves what is live of a few entries
    to a new heap. So no call has to rebuild it as a whole.
    """

    def __init__(self) -> None:
        self._armed: dict[K, tuple[float, int]] = {}
        self._queued: dict[K, float] = {}  # the earliest heap entry of a key; later ones of it are stale
        self._heap: list[tuple[float, int, K]] = []
        self._old: list[tuple[float, int, K]] = []  # a heap too; it only shrinks
        self._order = 0

    def set(self, key: K, at: float) -> None:
        """Arm a timer, or move it."""
        self._order += 1
        self._armed[key] = (at, self._order)
        queued = self._queued.get(key)
        if queued is None or at < queued:
            self._push(key, at, self._order)
            self._trim()

    def cancel(self, key: K) -> None:
        """Disarm a timer; nothing happens if it is not armed."""
        self._armed.pop(key, None)
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
        _, _, key = heappop(heap)
        del self._armed[key], self._queued[key]
        return key

    def get(self, key: K) -> float | None:
        armed = self._armed.get(key)
        return None if armed is None else armed[0]

    def __len__(self) -> int:
        return len(self._armed)

    def __iter__(self) -> Iterator[tuple[K, float]]:
        """Keys and deadlines in the order in which they were armed."""
        for key, (at, _) in sorted(self._armed.items(), key=lambda item: item[1][1]):
            yield key, at

    def freeze(self, base: float) -> tuple[object, ...]:
        """The armed timers as plain values, deadlines relative to ``base``."""
        return tuple((key, at - base) for key, at in self)

    @classmethod
    def thaw(cls, frozen: tuple[tuple[K, float], ...], base: float) -> TimerTable[K]:
        table = cls()
        for key, at in frozen:
            table.set(key, at + base)
        return table

    def _front(self) -> list[tuple[float, int, K]]:
        """The heap with the earliest deadline on its top; empty if there is none."""
        while True:
            heap, old = self._heap, self._old
            if old and not (heap and heap[0] < old[0]):
                heap = old
            if not heap:
                return heap
            at, order, key = heap[0]
            if self._armed.get(key) == (at, order):
                return heap
            self._replace(heappop(heap))

    def _push(self, key: K, at: float, order: int) -> None:
        heappush(self._heap, (at, order, key))
        self._queued[key] = at

    def _replace(self, entry: tuple[float, int, K]) -> None:
        """An entry was taken from its heap: queue what it stands for now, if that is not queued otherwise."""
        at, _, key = entry
        if self._queued.get(key) == at:
            del self._queued[key]
            armed = self._armed.get(key)
            if armed is not None:
                self._push(key, *armed)

    def _trim(self) -> None:
        old = self._old
        if not old:
            if len(self._heap) <= 2 * len(self._armed) + 64:
                return
            old, self._old, self._heap = self._heap, self._heap, []
        for _ in range(min(_SWEEP, len(old))):
            self._replace(old.pop())  # without its last entry a heap is still one
