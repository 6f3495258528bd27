"""How often something may happen: a burst, and a rate at which it is allowed again."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from ..contract import Instant


@attrs.define(eq=False)
class Bucket:
    """What was taken, less what the rate has given back since."""

    taken: float = 0.0
    since: Instant = 0.0

    def is_empty(self, now: Instant, burst: int, rate: float) -> bool:
        return self._left_of(now, rate) + 1 > burst

    def take(self, now: Instant, rate: float) -> None:
        self.taken, self.since = self._left_of(now, rate) + 1, now

    def _left_of(self, now: Instant, rate: float) -> float:
        return max(0.0, self.taken - (now - self.since) * rate)


def bucket_of(buckets: OrderedDict[bytes, Bucket], group: bytes, most: int) -> Bucket:
    """The bucket of a group, now the latest one that was used; the one that was not used for longest makes room."""
    found = buckets.pop(group, None) or Bucket()
    buckets[group] = found
    if len(buckets) > most:
        buckets.popitem(last=False)
    return found
