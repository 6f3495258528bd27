"""Which packets of a session came, and which are on their way. docs/protocols/freenet.rst, receipts.

Ids here count from 0 and do not wrap: on the wire are their lowest 32 bits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import islice
from math import inf
from typing import Final, NamedTuple

import attrs

from ..contract import Instant
from ..recovery.rtt import RoundTrip

_WIRE: Final = 0xFFFF_FFFF
_BEHIND: Final = 1 << 31
"""What is ahead by more is behind."""
_GAPS: Final = 1024
"""Of more gaps the oldest is given up."""


@attrs.frozen
class Gap:
    """Ids that did not come, although something behind them did."""

    start: int
    end: int
    since: Instant


@attrs.define(eq=False, weakref_slot=False)
class Arrived:
    """The ids that came, for the whole life of a session: all below ``end`` but those in gaps."""

    end: int = 0
    gaps: list[Gap] = attrs.field(factory=list)

    def is_new(self, number: int) -> bool:
        """Did this id, as it is on the wire, not come yet? What is below the first gap did, or was given up."""
        full = self._unwrap(number)
        return full >= self.end or self._find(full) is not None

    def mark(self, number: int, now: Instant, patience: float) -> None:
        """A new one came."""
        full = self._unwrap(number)
        if full >= self.end:
            if full > self.end:
                self.gaps.append(Gap(self.end, full, now))
            self.end = full + 1
        else:
            at = self._find(full)
            assert at is not None  # it is new
            gap = self.gaps[at]
            parts = (Gap(gap.start, full, gap.since), Gap(full + 1, gap.end, gap.since))
            self.gaps[at : at + 1] = [part for part in parts if part.start < part.end]
        while self.gaps and (len(self.gaps) > _GAPS or now - self.gaps[0].since > patience):
            del self.gaps[0]

    def _unwrap(self, number: int) -> int:
        return self.end + ((number - self.end + _BEHIND) & _WIRE) - _BEHIND

    def _find(self, full: int) -> int | None:
        at = bisect_right(self.gaps, full, key=_start) - 1
        return at if at >= 0 and full < self.gaps[at].end else None


def _start(gap: Gap) -> int:
    return gap.start


@attrs.define(weakref_slot=False)
class Flight:
    """A packet that is not acknowledged. It is sent again as it is, its nonce included."""

    datagram: bytes = attrs.field(repr=False)
    first: Instant
    """When it was sent first."""
    last: Instant
    """When it was sent last."""
    message: int
    """Of which message it is."""
    times: int = 1
    """How often it was sent."""


class Heard(NamedTuple):
    """What receipts show."""

    arrived: int
    """So many more packets have arrived."""
    messages: list[int]
    """The message of each of them."""
    round_trip: float | None
    """The time since the newest of them was sent; None if it was sent twice."""
    missing: int
    """So many more are to be sent again."""
    sent: Instant
    """The latest of the times at which they were sent first."""


_LEAST_ORDER, _MOST_ORDER = 0.01, 0.25
"""Seconds by which packets may overtake each other without being taken for lost, at least and at most."""
_UNMEASURED: Final = 0.5
"""Seconds that a receipt may take while no round trip was measured."""
_MOST_PAUSE: Final = 10.0
_DOUBLINGS: Final = 8
_FEW: Final = 2
"""So many packets are sent again when no receipts come."""


@attrs.define(eq=False, weakref_slot=False)
class Sent:
    """Packets that were sent and not acknowledged."""

    end: int = 1
    """The id of the next one. The answer in a handshake has id 0, and what needs no receipt."""
    flights: dict[int, Flight] = attrs.field(factory=dict)
    """Those that were sent once and are on their way, first what was sent longest ago."""
    repeated: dict[int, dict[int, Flight]] = attrs.field(factory=dict)
    """The same of those that were sent more often, by how often."""
    again: dict[int, Flight] = attrs.field(factory=dict)
    """Those that are to be sent again."""
    newest: Instant = 0.0
    """When the newest of the packets was sent that have arrived."""
    tries: int = 0
    """How often nothing came in time since the last receipt."""

    @property
    def on_their_way(self) -> int:
        return len(self.flights) + sum(map(len, self.repeated.values()))

    @property
    def waiting(self) -> int:
        """How many are not acknowledged."""
        return self.on_their_way + len(self.again)

    def next_id(self) -> int:
        self.end += 1
        return (self.end - 1) & _WIRE

    def add(self, number: int, datagram: bytes, message: int, now: Instant) -> None:
        """A packet is sent first."""
        self.flights[number] = Flight(datagram, now, now, message)

    def acknowledge(self, numbers: Iterable[int], now: Instant, rtt: RoundTrip) -> Heard | None:
        """Receipts came; None if they say nothing new."""
        found = [one for number in dict.fromkeys(numbers) if (one := self._take(number)) is not None]
        if not found:
            return None
        self.tries = 0
        newest = max(found, key=_last)
        measured = now - newest.last if newest.times == 1 else None
        self.newest = max(self.newest, newest.last)
        missing = self._find_missing(now, rtt)
        if not self.flights:  # one that was used needs more memory
            self.flights, self.repeated = {}, {times: group for times, group in self.repeated.items() if group}
        return Heard(len(found), [one.message for one in found], measured, missing, max(one.first for one in found))

    def pause(self, rtt: RoundTrip, times: int) -> float:
        """How long the receipt of a packet may take that was sent so often: twice as long each time."""
        doublings = min(max(self.tries, times - 1), _DOUBLINGS)
        return min((rtt.pto or _UNMEASURED) * 2.0**doublings, _MOST_PAUSE)

    def due(self, rtt: RoundTrip) -> Instant:
        """When it is to be looked at what is on its way, if no receipts come; infinite: nothing is."""
        return self._first_due(rtt)[0]

    def look(self, rtt: RoundTrip) -> int:
        """No receipts came: the oldest of those that have waited for too long are to be sent again, so many."""
        _, due = self._first_due(rtt)
        self.tries += 1
        oldest = [*islice(due, _FEW)]
        for number in oldest:
            self.again[number] = due.pop(number)
        return len(oldest)

    def next_again(self, now: Instant) -> Flight:
        """The next packet that is sent again."""
        number = next(iter(self.again))
        flight = self.again.pop(number)
        flight.last, flight.times = now, flight.times + 1
        self.repeated.setdefault(min(flight.times, _DOUBLINGS + 1), {})[number] = flight
        return flight

    def _groups(self) -> list[tuple[int, dict[int, Flight]]]:
        """What is on its way, by how often it was sent."""
        groups = [(1, self.flights), *self.repeated.items()] if self.repeated else [(1, self.flights)]
        return [(times, group) for times, group in groups if group]

    def _first_due(self, rtt: RoundTrip) -> tuple[Instant, dict[int, Flight]]:
        """What is due first: when, and those that were sent as often."""
        due = [(_oldest(group).last + self.pause(rtt, times), group) for times, group in self._groups()]
        return min(due, key=_due, default=(inf, {}))

    def _take(self, number: int) -> Flight | None:
        """A packet that has arrived."""
        for group in (self.flights, self.again, *self.repeated.values()):
            if number in group:
                return group.pop(number)
        return None

    def _find_missing(self, now: Instant, rtt: RoundTrip) -> int:
        """What was sent before something that arrived. What was sent often has to wait longer: it may be there, and its
        receipts were lost."""
        until, found = self.newest - min(max(rtt.smooth / 4, _LEAST_ORDER), _MOST_ORDER), 0
        for times, group in self._groups():
            last = until if times == 1 else min(until, now - self.pause(rtt, times - 1))
            while group and _oldest(group).last <= last:
                number = next(iter(group))
                self.again[number] = group.pop(number)
                found += 1
        return found


def _oldest(group: dict[int, Flight]) -> Flight:
    return next(iter(group.values()))


def _due(group: tuple[Instant, dict[int, Flight]]) -> Instant:
    return group[0]


def _last(flight: Flight) -> Instant:
    return flight.last
