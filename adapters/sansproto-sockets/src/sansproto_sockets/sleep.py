"""Notices that the machine slept, or that the program was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable

NOTABLE = 5.0  # seconds: wall clocks are set by less than that all the time
_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", None)  # Linux: it counts on while the machine sleeps


class SleepWatch:
    """Compares the clock of the endpoint, which stands still while the machine sleeps, with those that go on then."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ahead = self._look()

    def slept(self) -> float:
        """Seconds that the clock did not count since the last call: at least 5, or 0."""
        before, self._ahead = self._ahead, self._look()
        slept = max(now - then for now, then in zip(self._ahead, before, strict=True))
        return slept if slept >= NOTABLE else 0.0

    def _look(self) -> tuple[float, ...]:
        now = self._clock()
        others = (time.time(),) if _BOOT_TIME is None else (time.time(), time.clock_gettime(_BOOT_TIME))
        return tuple(other - now for other in others)
