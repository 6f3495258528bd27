"""How fast a sender may send: what it tells and asks, and a window that keeps the queues on the way short.

Counts are packets, times seconds of one clock. Any sender that numbers packets and hears which have arrived can use it.
docs/congestion.rst.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

import attrs

from .contract import Instant

TICK: Final = 0.05
"""Seconds between two calls of :meth:`Congestion.tick`, which the sender makes while it :meth:`~Congestion.is_active`
or something is not acknowledged."""


class Congestion(Protocol):
    """What a sender tells, and asks. *In flight* is what was sent, and neither arrived nor is known to be missing."""

    @property
    def rate(self) -> float:
        """Packets per second, about."""
        ...

    def is_active(self, now: Instant) -> bool:
        """Is what was learnt still worth to be kept, although all has arrived?"""
        ...

    def wait(self) -> float:
        """Seconds until it makes sense to ask again, if nothing is told before."""
        ...

    def may_send(self, now: Instant, in_flight: int) -> int:
        """How many packets may be sent now for the first time."""
        ...

    def most(self, now: Instant, in_flight: int) -> int:
        """No more packets than these may be sent now, however often that is asked."""
        ...

    def may_send_again(self, now: Instant) -> bool:
        """May a packet be sent now that is missing?"""
        ...

    def note_sent(self) -> None:
        """A packet is sent for the first time."""
        ...

    def note_sent_again(self, now: Instant) -> None:
        """A packet that was missing is sent."""
        ...

    def note_acknowledged(
        self, now: Instant, count: int, round_trip: float | None, *, in_flight: int, gaps: bool = False
    ) -> None:
        """So many more have arrived, and so many are in flight now. The round trip is that of the newest that arrived;
        None if it was sent twice. Where packets are missing it may be longer than it is: newer ones have arrived of
        which nothing is said."""
        ...

    def note_missing(self, now: Instant, missing: int, arrived: int) -> None:
        """So many were found to be missing, beside so many that arrived."""
        ...

    def tick(self, now: Instant, waiting: int, round_trip: float) -> None:
        """Another :data:`TICK` has passed, and so many packets are not acknowledged."""
        ...

    def move(self, round_trip: float | None) -> None:
        """Packets go by another way from now on: round trips of the old one say nothing. The sender tells no more of
        these, and what is known of the new one."""
        ...


# -- the delay window --------------------------------------------------------------------------------------------------

_FIRST: Final = 20.0
"""The first window. It doubles with each round trip until something stands in the queue."""
_FLOOR: Final = 16.0
"""The lowest window."""
_SHARE: Final = 0.35
"""One by this many packets of each sender stand in the queue when all have the same share."""
_UNSEEN: Final = 0.002
"""Seconds of a queue that are not told from noise."""
_BASE: Final = 10.0
"""Seconds whose lowest round trip is that of the empty way."""
_STANDING: Final = 0.06
"""Seconds whose lowest round trip shows what stands in the queue: an acknowledgement or two."""
_STANDING_BY_GAPS: Final = 0.5
"""The same while packets are missing: an acknowledgement then speaks of the packets before the last gap."""
_GAP: Final = 5.0
"""So many packets an acknowledgement is late then, at the best."""
_FASTER: Final = 3.0
"""In the start the rate becomes so many times as high as packets arrive, at most."""
_STARTED: Final = 0.02
"""The start ends when so many seconds stand in the queue, and what these packets take to be sent: acknowledgements are
held back while few packets come."""
_SOME, _SOME_BY_GAPS = 6.0, 40.0
_FASTEST: Final = 4.0
"""The window moves so many times faster, at most, the longer it moves in one direction."""
_SHRINK, _SHORT = 0.1, 0.1
"""The part by which a window may shrink at one acknowledgement if the round trip is not longer than that."""
_LATE: Final = 0.05
"""Seconds for which acknowledgements are held back."""
_SLICE: Final = 0.2
"""Seconds over which it is counted how fast packets arrive."""
_AHEAD: Final = 1.5
"""The window may be so many times as large as what arrives in a round trip."""
_UNHEARD: Final = 2.0
"""So many windows may be in flight: the rate bounds what is sent, unless nothing is acknowledged. Behind gaps
acknowledgements say less than has arrived."""
_LATELY, _FULL = 1.0, 0.02
"""A queue of so many seconds which did not get shorter for so long is kept full by somebody else."""
_BOOST: Final = 8.0
"""So many times as many packets stand in it, at most, before one is lost."""
_FEW, _PART, _CUT = 3, 0.3, 0.7
"""So many packets, and so large a part, have to be missing to shrink the window to that: losses by chance do not."""
_BURST, _LEAST_BURST = 0.01, 4.0
"""Seconds whose packets may be sent at once; packets."""
_LEAST_WAIT = 0.002
_LEAST_RTT, _MOST_RTT = 0.005, 10.0
_LONG_AGO: Final = 100.0
_VALUES: Final = 64
"""So many are remembered at most, whoever acknowledges how often."""


def _rtt(round_trip: float) -> float:
    """It counts as no shorter and no longer than that: what is longer was a pause, of the way or of the other end."""
    return min(max(round_trip, _LEAST_RTT), _MOST_RTT)


@attrs.define(eq=False, weakref_slot=False)
class Lowest:
    """The lowest value of the last seconds."""

    values: deque[tuple[Instant, float]] = attrs.field(factory=deque)
    """Each is lower than all behind it."""

    def add(self, now: Instant, value: float, seconds: float) -> float:
        values = self.values
        while values and values[-1][1] >= value:
            values.pop()
        if not values or now - values[-1][0] > seconds / _VALUES:
            values.append((now, value))
        while values[0][0] < now - seconds:
            values.popleft()
        return values[0][1]


@attrs.define(eq=False, weakref_slot=False)
class DelayWindow:
    """A window that goes by how long packets wait in queues, and that takes no notice of losses by chance.

    It approaches the rate at which a fixed number of its packets stand in the queue, so that all senders who share the
    queue come to the same rate. Beside one who keeps the queue full it lets more of its packets stand there.
    """

    filled: Instant
    """When tokens were added last; in the beginning: now."""
    window: float = _FIRST
    tokens: float = _FIRST
    empty: float = 1.0
    """The round trip of the empty way."""
    round_trip: float = 1.0
    """The round trip with what stands in the queue."""
    measured: Instant = 0.0
    """When that was learnt. Where all packets are sent twice nothing is, and one that was late would count for ever."""
    left: float = _MOST_RTT
    """No packet that is sent now takes longer: what stood in the queue may be gone when that is learnt."""
    base: Lowest = attrs.field(factory=Lowest)
    standing: Lowest = attrs.field(factory=Lowest)
    lately: Lowest = attrs.field(factory=Lowest)
    slices: deque[tuple[Instant, int]] = attrs.field(factory=deque)
    """When each began, and how many packets arrived after that, and before the next one began."""
    newest: float = 0.0
    """How many packets arrive in a second, as far as that is known in the start; 0 before."""
    counted: tuple[Instant, int] | None = None
    """Since when those are counted that say so, and how many they are."""
    is_starting: bool = True
    is_up: bool = True
    """The direction in which the window moves."""
    speed: float = 1.0
    """How many times as fast as in the beginning; it doubles with each round trip in one direction."""
    turned: Instant = 0.0
    """When that was found last."""
    boost: float = 1.0
    """So many times as many packets are wanted in the queue."""
    arrived: int = 0
    """Packets since some were found to be missing; of many, a window's worth."""
    cut: Instant = -_LONG_AGO
    """When the window was cut last."""
    eased: Instant = -_LONG_AGO
    """When the boost was halved last."""

    @property
    def rate(self) -> float:
        return self.window / min(self.round_trip, self.left)

    def is_active(self, now: Instant) -> bool:
        return now - self.filled < _BASE

    def wait(self) -> float:
        """No longer than a tick: the rate may be a higher one until then."""
        return TICK if self.tokens >= 1.0 else min(max((1.0 - self.tokens) / self.rate, _LEAST_WAIT), TICK)

    def may_send(self, now: Instant, in_flight: int) -> int:
        rate = self.rate
        if now > self.filled:
            self.tokens = min(self.tokens + (now - self.filled) * rate, max(rate * _BURST, _LEAST_BURST))
            self.filled = now
        return max(int(min(self.tokens, _UNHEARD * (self.window + rate * _LATE) - in_flight)), 0)

    def most(self, now: Instant, in_flight: int) -> int:
        return self.may_send(now, in_flight)

    def may_send_again(self, now: Instant) -> bool:
        return self.may_send(now, 0) > 0

    def note_sent(self) -> None:
        self.tokens -= 1.0

    def note_sent_again(self, now: Instant) -> None:
        """Also if it had to be sent at once, without a look at the rate: what is sent then is paid for in a round trip,
        and no debt is larger than that."""
        self.tokens = max(self.tokens - 1.0, -self.window)

    def note_acknowledged(
        self, now: Instant, count: int, round_trip: float | None, *, in_flight: int, gaps: bool = False
    ) -> None:
        if round_trip is not None:
            round_trip = _rtt(round_trip)
            if self.base.values and now - self.measured > _BASE:  # it may say how long nothing came
                self.base.add(now, self.empty, _BASE)
            self.empty = self.base.add(now, round_trip, _BASE)
            self.round_trip = self.standing.add(now, round_trip, _STANDING_BY_GAPS if gaps else _STANDING)
            self.measured = now
        elif now - self.measured > _STANDING_BY_GAPS:
            self.round_trip = self.empty
        self._count(now, count)
        self.left = self.empty + in_flight / self._mean(now)
        self.arrived = min(self.arrived + count, int(self.window))
        queued = self.round_trip - self.empty
        if self.is_starting:
            self._count_newest(now, count)
            grown = self.window + count
            if self.newest:
                grown = max(self.window, min(grown, _FASTER * self.newest * self.round_trip))
            self.window = grown
            if queued > _STARTED + (_SOME_BY_GAPS if gaps else _SOME) / self.rate:
                self.is_starting = False
                self._shrink(now, max(self._best(), self.newest) * self.empty)
                self.cut += self.empty  # of what was too much some is found to be missing only then
        else:
            queued -= _UNSEEN + (_GAP / self.rate if gaps else 0.0)
            self._compete(now, count)
            self._move(now, count, self.boost / (_SHARE * queued) if queued > 0.0 else None)
        most = _AHEAD * self._best() * (self.empty + 2 * _LATE) + _FLOOR
        self.window = max(min(self.window, most), _FLOOR)

    def note_missing(self, now: Instant, missing: int, arrived: int) -> None:
        if self._is_seen(now, self.eased):
            self.boost, self.eased = max(self.boost / 2, 1.0), now
        arrived, self.arrived = max(arrived, self.arrived), 0
        if missing >= _FEW and missing > _PART * (missing + arrived) and self._is_seen(now, self.cut):
            self.is_starting = False
            self._shrink(now, _CUT * self.window)

    def tick(self, now: Instant, waiting: int, round_trip: float) -> None:
        """It goes by what is acknowledged."""

    def move(self, round_trip: float | None) -> None:
        self.base, self.standing, self.lately = Lowest(), Lowest(), Lowest()
        self.boost, self.left = 1.0, _MOST_RTT
        if round_trip is not None:
            self.empty = self.round_trip = _rtt(round_trip)

    @classmethod
    def begin(cls, now: Instant, round_trip: float) -> DelayWindow:
        """That of a sender who knows the round trip, and nothing else."""
        rtt = _rtt(round_trip)
        return cls(now, empty=rtt, round_trip=rtt)

    # -- inside

    def _compete(self, now: Instant, count: int) -> None:
        """Whoever keeps the queue full leaves nothing to those who wait until it is empty."""
        if self.lately.add(now, self.round_trip, _LATELY) - self.empty > _FULL:
            self.boost = min(self.boost + count / self.window, _BOOST)
        else:
            self.boost = 1.0

    def _move(self, now: Instant, count: int, target: float | None) -> None:
        """Towards a rate; without one, up."""
        is_up, turn = target is None or self.rate < target, self.round_trip + _LATE
        if is_up is not self.is_up:
            self.is_up, self.speed, self.turned = is_up, 1.0, now + 2 * turn
        elif now - self.turned > turn:
            self.speed, self.turned = min(2 * self.speed, _FASTEST), now
        step = self.speed * self.boost * count / (_SHARE * self.window)
        if not self._is_seen(now, self.cut):
            return
        if is_up:
            self.window += min(step, count / 2)
        else:
            self.window -= min(step, self.window * _SHRINK * min(1.0, _SHORT / self.round_trip))

    def _shrink(self, now: Instant, window: float) -> None:
        self.window, self.cut = max(min(self.window, window), _FLOOR), now

    def _is_seen(self, now: Instant, since: Instant) -> bool:
        """Were packets acknowledged since that were sent after it? Counted in round trips as they are now: one that was
        long, because the other end was late with its acknowledgement, does not keep the window small for as long."""
        return now - since >= self.round_trip + _LATE

    def _count(self, now: Instant, count: int) -> None:
        slices, oldest = self.slices, now - max(1.0, 2 * self.round_trip)
        if slices and slices[-1][0] < oldest:  # nothing arrived for so long: what did before counts for half
            count += max(count for _, count in slices) // 2
            slices.clear()
        began, had = slices.pop() if slices else (now - _SLICE, 0)
        slices.append((began, had + count))
        if now - began >= _SLICE:
            slices.append((now, 0))
        while len(slices) > 1 and (slices[1][0] < oldest or len(slices) > _VALUES):
            slices.popleft()

    def _count_newest(self, now: Instant, count: int) -> None:
        """Over a shorter time than others are counted: the start may be over before."""
        if self.counted is None:  # when these came is not known
            self.counted = now, 0
            return
        since, had = self.counted
        self.counted = since, had + count
        if now - since >= min(self.round_trip, _LATE):
            self.newest, self.counted = (had + count) / (now - since), (now, 0)

    def _best(self) -> float:
        """How many packets arrived in a second, at the best of times lately."""
        return max(count for _, count in self.slices) / _SLICE

    def _mean(self, now: Instant) -> float:
        """The same of all that is counted."""
        return sum(count for _, count in self.slices) / max(now - self.slices[0][0], _SLICE)
