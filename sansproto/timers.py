"""A table of named deadlines over one lazy heap: re-arming costs the same at 10 timers and at 10,000."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class TimerTable(Generic[K]):
    """Deadlines by key. Equal deadlines fire in the order in which they were armed.

    A deadline that moves away leaves its heap entry behind, which is looked at again when it comes up; the heap is
    rebuilt when it holds more than twice the live timers plus 64.
    """

    def __init__(self) -> None:
        self._armed: dict[K, tuple[float, int]] = {}
        self._queued: dict[K, float] = {}  # the earliest heap entry of a key; later ones of it are stale
        self._heap: list[tuple[float, int, K]] = []
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
        heap = self._heap
        while heap:
            at, order, key = heap[0]
            armed = self._armed.get(key)
            if armed == (at, order):
                return at
            heappop(heap)
            if self._queued.get(key) == at:
                del self._queued[key]
                if armed is not None:
                    self._push(key, *armed)
        return None

    def pop_due(self, now: float) -> K | None:
        """Disarm and return the first timer that is due at ``now``."""
        at = self.next()
        if at is None or at > now:
            return None
        _, _, key = heappop(self._heap)
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

    def _push(self, key: K, at: float, order: int) -> None:
        heappush(self._heap, (at, order, key))
        self._queued[key] = at

    def _trim(self) -> None:
        if len(self._heap) <= 2 * len(self._armed) + 64:
            return
        self._heap = [(at, order, key) for key, (at, order) in self._armed.items()]
        self._queued = {key: at for key, (at, _) in self._armed.items()}
        heapify(self._heap)
