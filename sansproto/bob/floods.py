"""How much of a peer a relay drops before it cuts the peer, and how fast it cuts. docs/protocols/bob.rst, floods."""

from __future__ import annotations

from typing import Final

import attrs

from ..contract import Instant

_ANSWERS: Final = 2  # an answer, and that the exchange failed: so much may be on its way to somebody who leaves


@attrs.define(eq=False, weakref_slot=False)
class Budget:
    """What a peer has wasted, less what the rate has allowed since; and how much more is not its own doing."""

    excuses: int = 0
    wasted: float = 0.0
    since: Instant = 0.0

    def was_told(self) -> None:
        """The peer got a packet that it may answer, whether or not somebody is there to take the answer."""
        self.excuses += _ANSWERS

    def excuse(self) -> None:
        self.excuses -= 1

    def is_spent(self, now: Instant, burst: int, rate: int) -> bool:
        return self._left_of(now, rate) + 1 > burst

    def charge(self, now: Instant, rate: int) -> None:
        self.wasted, self.since = self._left_of(now, rate) + 1, now

    def _left_of(self, now: Instant, rate: int) -> float:
        return max(0.0, self.wasted - (now - self.since) * rate)


@attrs.define(eq=False, weakref_slot=False)
class Pace:
    """Cuts at once, as many as ``rate`` in any second; how long each one beyond has to wait."""

    paid: Instant = 0.0  # until then the cuts that there were are paid for

    def delay(self, now: Instant, rate: int) -> float:
        """Seconds until one more cut; none if this is not positive."""
        return max(self.paid, now) + 1 / rate - 1 - now

    def count(self, now: Instant, rate: int, most: float) -> None:
        """One more was cut, or waits for it, for no more than ``most`` seconds."""
        self.paid = now + 1 + min(self.delay(now, rate), most)
