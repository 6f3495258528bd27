"""Round trips. docs/protocols/recovery.rst, silence."""

from __future__ import annotations

from typing import Final

import attrs

_LEAST: Final = 0.1


@attrs.define(weakref_slot=False)
class RoundTrip:
    """The smoothed round trip, and how much it varies; 0.0 until one was measured."""

    smooth: float = 0.0
    variation: float = 0.0

    def measure(self, seconds: float) -> None:
        """A ping was answered after so long."""
        if not self.pto:
            self.smooth, self.variation = seconds, seconds / 2
        else:
            self.variation = 0.75 * self.variation + 0.25 * abs(self.smooth - seconds)
            self.smooth = 0.875 * self.smooth + 0.125 * seconds

    def begin(self, seconds: float) -> None:
        """Forget all, and begin with one measurement."""
        self.smooth, self.variation = seconds, seconds / 2

    def forget(self) -> None:
        self.smooth = self.variation = 0.0

    @property
    def pto(self) -> float:
        """How long an answer may take; 0.0 while nothing was measured."""
        return self.smooth + max(4 * self.variation, _LEAST) if self.variation else 0.0
