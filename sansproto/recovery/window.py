"""Which packets of a session came already, and which are recent. docs/protocols/recovery.rst, R2 data and R10 paths."""

from __future__ import annotations

from functools import cache

import attrs

from ..contract import Instant


@cache
def _mask(size: int) -> int:
    return (1 << size) - 1


@attrs.define(weakref_slot=False)
class Window:
    """Counters behind the highest one, as bits: bit n stands for ``highest - n``."""

    size: int
    highest: int = -1
    bits: int = 0
    recent: int = -1
    """What is above it is recent: the highest counter of a while ago."""
    newer: int = -1
    """What ``recent`` becomes next."""
    marked: Instant = 0.0
    until: Instant = 0.0
    """When it has to be looked at what is recent."""

    def is_new(self, counter: int) -> bool:
        """Was it not seen, and is it not too old to know?"""
        behind = self.highest - counter
        return behind < 0 or (behind < self.size and not self.bits >> behind & 1)

    def is_recent_copy(self, counter: int) -> bool:
        """Was it seen, not long ago? Of what is too far behind nobody knows."""
        return self.recent < counter <= self.highest < counter + self.size and not self.is_new(counter)

    def mark(self, counter: int) -> bool:
        """It was seen now; is it the newest one?"""
        ahead = counter - self.highest
        if ahead <= 0:
            self.bits |= 1 << -ahead
            return False
        bits = self.bits << ahead | 1 if ahead < self.size else 1
        self.bits = bits if bits.bit_length() <= self.size else bits & _mask(self.size)
        self.highest = counter
        return True

    def grow_old(self, now: float, after: float) -> None:
        """What came more than ``after`` ago, and at most twice that, is not recent any more."""
        self.recent = self.highest if now - self.marked >= 2 * after else self.newer
        self.newer, self.marked, self.until = self.highest, now, now + after
