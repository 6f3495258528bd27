"""What speaks against a relay, for one friend. docs/protocols/tox.rst, evidence."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

import attrs

from ..contract import Instant

MOST_GARBLED: Final = 3
"""So many packets that do not open are enough .."""
_WITHIN: Final = 10.0
""".. if they came in so many seconds."""
SETTLED: Final = 5.0
"""A session has to be in use for so long: before, they may be of the one before it."""
_SILENCE: Final = 3.0


def patience(rtt: float) -> float:
    """How long nothing may come by a relay while something is to come."""
    return max(_SILENCE, 2 * rtt + 1.0)


@attrs.define(eq=False, weakref_slot=False)
class Evidence:
    """What one friend's relays did in the session in use."""

    heard: dict[bytes, Instant] = attrs.field(factory=dict)
    """When something genuine came last, by each relay."""
    garbled: dict[bytes, tuple[Instant, ...]] = attrs.field(factory=dict)
    """When the last packets came that did not open."""
    due: dict[bytes, tuple[int, Instant]] = attrs.field(factory=dict)
    """Relays that were left because a packet is not known to have arrived: which, and when it was sent."""
    blamed: Instant = -inf
    """When something had come last as a relay was blamed: it is the only one for this silence."""

    missing: tuple[int, Instant] = (-1, 0.0)
    """The packet that is to come next and does not, and since when, or since demoted relays were asked again for it."""

    def note_missing(self, number: int, now: Instant, patience: float) -> bool:
        """This packet is missing while others come. For so long?"""
        last, since = self.missing
        if number == last and now - since < patience:
            return False
        self.missing = number, now
        return number == last

    def note_garbled(self, relay: bytes, now: Instant) -> bool:
        """A packet did not open. Is that enough?"""
        times = self.garbled[relay] = (*self.garbled.get(relay, ()), now)[-MOST_GARBLED:]
        return len(times) == MOST_GARBLED and now - times[0] <= _WITHIN

    def note_arrived(self, is_proved: Callable[[bytes, int, Instant], bool]) -> None:
        """Something has arrived, perhaps by these relays."""
        self.due = {relay: due for relay, due in self.due.items() if not is_proved(relay, *due)}

    def suspect(self, direct: Instant, alarm: Instant | None) -> tuple[bytes, Instant] | None:
        """A relay by which nothing comes though something is to come, and since when: one that is silent while others
        are not; or, if all are, the one by which the friend was heard last, for that is where it sends. Once for each
        silence: the friend may be away.

        ``direct`` is when it was heard last by UDP, ``alarm`` since when we wait for an acknowledgement, if we do.
        """
        last, newest = max(((time, relay) for relay, time in self.heard.items()), default=(-inf, b""))
        anything = max(last, direct)
        for relay, (_, due) in self.due.items():
            if relay in self.heard and anything > (since := max(due, self.heard[relay])):
                return relay, since
        if alarm is None or last < direct or last == self.blamed or not newest:
            return None
        return newest, max(alarm, last)

    def is_silent(self, relay: bytes, now: Instant) -> bool:
        """Did nothing genuine come by it for some time?"""
        return now - self.heard.get(relay, -inf) >= _SILENCE

    def blame(self, relay: bytes) -> None:
        """It is not used for some time."""
        self.blamed = max(self.heard.values(), default=-inf)
        self.forget(relay)

    def forget(self, relay: bytes) -> None:
        """What was said of it counts no more."""
        for known in (self.garbled, self.due):
            known.pop(relay, None)
