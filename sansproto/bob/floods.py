"""How much of a peer a relay drops before it cuts the peer, and how fast it cuts. docs/protocols/bob.rst, floods."""

from __future__ import annotations

from math import inf

import attrs

from ..contract import Instant


@attrs.define(eq=False, weakref_slot=False)
class Bucket:
    """What may happen ``burst`` times at once, and ``rate`` times more in each second."""

    paid: Instant = 0.0  # until then all that happened is paid for

    def delay(self, now: Instant, rate: int, burst: int) -> float:
        """Seconds until it may happen once more; at once if this is not positive."""
        return max(self.paid, now) - now + (1 - burst) / rate

    def count(self, now: Instant, rate: int, most: float = inf) -> None:
        """It happened, or will in time, but nobody waits for more than ``most`` seconds."""
        self.paid = min(max(self.paid, now) + 1 / rate, now + 1 + most)
