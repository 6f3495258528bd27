"""What is known of each way to a friend, and which packets went by which. docs/protocols/tox.rst, ways."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from math import inf
from typing import Final

import attrs

from ..contract import Instant
from .windows import SendWindow

UDP: Final = b""
"""The name of the direct path; that of a relay is its key."""

MOST_RTT: Final = 3.0
"""The longest round trip that is taken for a way that is not measured yet."""

_RTTS: Final = 8
_FIRST_RTT: Final = 3.0
"""Where nothing was measured at all."""
_SUSPECT, _SUSPECT_MOST = 30.0, 300.0
_HOLDS: Final = (5.0, 20.0, 60.0)
"""How long the direct path is not used again that was left: the first time, the second, and then."""
_SERVED: Final = 60.0
"""A way that served for so long is as good as one that never failed."""
_PART, _LONGEST_PART = 0.5, 5.0
"""Seconds over which it is counted how many packets are lost. Two of these, one behind the other, show a loss that
lasts: what a transfer loses that begins too fast, or meets another one, is over before, for congestion control slows
down."""
LEAST_SENT: Final = 20
"""So many packets say how many are lost."""
_NEWEST, _NEWEST_SENT = 3, 64
"""Round trips; packets."""
_AGAIN: Final = 10.0
"""Seconds that the loss of all packets counts."""
_KNOWN: Final = 300.0
"""A score is not known any more after so long."""
_BAD, _BAD_UDP = 3.0, 4.0
"""A relay with a higher score is left, if there may be a better one; UDP, which loses packets where relays wait."""


@attrs.define(eq=False, weakref_slot=False)
class Track:
    """One way to a friend."""

    rtts: tuple[float, ...] = ()
    """The newest round trips of packets that were sent once, by this way alone."""
    since: Instant = 0.0
    """When it was taken into use."""
    suspect_until: Instant = 0.0
    suspicion: float = 0.0
    """How long it was suspect the last time."""
    falls: int = 0
    """How often it was left, one time after the other."""
    shares: tuple[float, ...] = ()
    """Of the packets that went in the last two parts of its time, those that were lost."""
    went: int = 0
    """Packets since then."""
    lost: int = 0
    parted: Instant = 0.0
    """When that was."""
    score: float = 0.0
    scored: Instant = -_KNOWN

    def note_rtt(self, rtt: float, now: Instant) -> bool:
        """A packet took so long, and its acknowledgement. False: it was sent before the way was taken into use this
        time, and says how long that was closed."""
        is_new = now - rtt >= self.since
        if is_new:
            self.rtts = (*self.rtts[1 - _RTTS :], rtt)
        return is_new

    def begin(self, now: Instant) -> None:
        """It is in use from now on."""
        self.since, self.shares = now, ()
        self._part(now)

    def leave(self, now: Instant) -> None:
        """Nothing arrived by it."""
        if now - self.since >= _SERVED:
            self.suspicion, self.falls = 0.0, 0
        self.suspicion = min(2 * self.suspicion, _SUSPECT_MOST) or _SUSPECT
        self.suspect_until = now + self.suspicion
        self.falls += 1

    def close(self, now: Instant) -> None:
        """It is not open any more. One that was not for long may go on like that."""
        if now - self.since < _SERVED:
            self.suspect_until = max(self.suspect_until, now + _SUSPECT)

    @property
    def hold(self) -> float:
        """How long it is held off, if it is the direct path that was left."""
        return _HOLDS[min(self.falls, len(_HOLDS)) - 1]

    def is_suspect(self, now: Instant) -> bool:
        return now < self.suspect_until

    def is_better(self, than: Track, now: Instant) -> bool:
        """Is it worth to be tried instead of one with a bad score? One of which nothing is known is."""
        return not self.is_suspect(now) and (now - self.scored >= _KNOWN or self.score < than.score / 2)

    def count(self, now: Instant, went: int, lost: int, *, is_udp: bool, loses_all: bool) -> bool:
        """Some time is over in which it was used. True: it is bad."""
        self.went += went
        self.lost += lost
        if loses_all:
            self.shares = (1.0, 1.0)
        elif self.went >= LEAST_SENT and now - self.parted >= max(_PART, is_udp * max(self.rtts, default=0.0)):
            self.shares = (*self.shares[-1:], self.lost / self.went)
            self._part(now)
        elif now - self.parted > _LONGEST_PART:
            self.shares = ()
            self._part(now)
        if not self.rtts and not loses_all:
            return False
        share = min(self.shares) if len(self.shares) > 1 else 0.0
        self.score, self.scored = min(self.rtts[-_NEWEST:], default=0.0) + _AGAIN * share, now
        return self.score > (_BAD_UDP if is_udp else _BAD)

    def _part(self, now: Instant) -> None:
        self.parted, self.went, self.lost = now, 0, 0


def _first(run: tuple[int, bytes | None]) -> int:
    return run[0]


def shortest(track: Track | None, others: Iterable[Track]) -> float:
    return min(track.rtts) if track is not None and track.rtts else unmeasured(others)


def longest(track: Track | None, others: Iterable[Track]) -> float:
    return max(track.rtts) if track is not None and track.rtts else unmeasured(others)


def unmeasured(others: Iterable[Track]) -> float:
    """The round trip that is taken for a way without any."""
    return min(max((one.rtts[-1] for one in others if one.rtts), default=_FIRST_RTT), MOST_RTT)


@attrs.define(eq=False, weakref_slot=False)
class Carried:
    """By which way lossless packets went that are on their way. Most go by the same as the one before."""

    start: int = 0
    """All before it are acknowledged, and forgotten."""
    runs: list[tuple[int, bytes | None]] = attrs.field(factory=lambda: [(0, None)])
    """From this number on, by this way. None: by several, or by one that is only hoped for."""
    copied: set[int] = attrs.field(factory=set)
    """Those that went by other ways, too."""
    moved: dict[int, tuple[bytes, Instant]] = attrs.field(factory=dict)
    """Those that went by another way at last, because the first one had failed: by which, and since when."""
    proved: dict[bytes, int] = attrs.field(factory=dict)
    """The newest by each way that has arrived, and went by no other."""
    proved_at: dict[bytes, Instant] = attrs.field(factory=dict)
    """When the newest of those by each way was sent that have moved, and arrived."""
    sought: int = 0
    """The first that may be unproved, of those that this way was the first to carry:"""
    sought_by: bytes | None = None

    def begin(self, number: int, way: bytes | None) -> None:
        """From this number on."""
        if self.runs[-1][0] == number:
            del self.runs[-1]
        self.runs.append((number, way))

    def put(self, number: int, way: bytes) -> None:
        """Only this one, the newest."""
        used = self.runs[-1][1]
        self.begin(number, way)
        self.runs.append((number + 1, used))

    def way_of(self, number: int) -> bytes | None:
        return self.runs[bisect_right(self.runs, number, key=_first) - 1][1]

    def last_way(self, number: int) -> bytes | None:
        """By which way it was sent last, copies aside."""
        moved = self.moved.get(number)
        return self.way_of(number) if moved is None else moved[0]

    def move(self, number: int, way: bytes, now: Instant) -> None:
        """A packet that the other end misses is sent again, by this way for the first time."""
        self.moved[number] = way, now

    def note_arrived(self, numbers: Iterable[int], newest: int) -> set[bytes]:
        """Which ways are shown to work."""
        shown: set[bytes] = set()
        for number in (newest,) if self.is_simple else numbers:
            if number in self.copied:
                continue  # by whichever way
            moved = self.moved.get(number)
            if moved is not None:
                way, sent = moved
                self.proved_at[way] = max(sent, self.proved_at.get(way, sent))
                shown.add(way)
            elif (name := self.way_of(number)) is not None:
                self.proved[name] = max(number, self.proved.get(name, -1))
                shown.add(name)
        return shown

    @property
    def is_simple(self) -> bool:
        """All went by one way."""
        return len(self.runs) == 1 and not self.copied and not self.moved

    def forget(self, before: int) -> None:
        """All before it are acknowledged."""
        start, self.start = self.start, before
        if self.is_simple:
            return
        del self.runs[: max(bisect_right(self.runs, before, key=_first) - 1, 0)]
        for number in range(start, before):
            self.copied.discard(number)
            self.moved.pop(number, None)

    def keep(self, ways: set[bytes]) -> None:
        """There are these ways, and no others any more."""
        for known in (self.proved, self.proved_at):
            for way in known.keys() - ways:
                del known[way]

    def is_proved(self, way: bytes, number: int, sent: Instant) -> bool:
        """Has something arrived by this way that was sent no sooner than that packet?"""
        return self.proved.get(way, -1) >= number or self.proved_at.get(way, -inf) > sent

    def unproved(self, window: SendWindow, way: bytes) -> int | None:
        """The first packet that this way was the first to carry, behind all that are known to have arrived by it. What
        was looked at is not looked at again: a packet that was proved, or moved, stays so."""
        if self.sought_by != way:
            self.sought, self.sought_by = 0, way
        proved, sent = self.proved.get(way, -1), self.proved_at.get(way, -inf)
        for number in self._of(window, way, max(self.sought, proved + 1)):
            self.sought = number
            if window.sent_first(number) > sent:
                return number
        self.sought = window.end
        return None

    def carrier(self, number: int) -> bytes | None:
        """By which way a packet went, if that is one alone."""
        return None if number in self.copied else self.last_way(number)

    def has_own(self, window: SendWindow, way: bytes) -> bool:
        """Is one of the newest packets on its way by this way alone?"""
        newest = range(max(window.start, window.end - _NEWEST_SENT), window.end)
        return any(self.carrier(number) == way and not window.has_arrived(number) for number in newest)

    def _of(self, window: SendWindow, way: bytes, at_least: int) -> Iterator[int]:
        """Packets on their way that this way was the first to carry, from a number on."""
        at_least = max(at_least, window.start)
        while at_least < window.end:
            place = bisect_right(self.runs, at_least, key=_first)
            end = self.runs[place][0] if place < len(self.runs) else window.end
            if self.runs[place - 1][1] == way:
                for number in range(at_least, end):
                    if number not in self.moved and not window.has_arrived(number):
                        yield number
            at_least = end


@attrs.define(eq=False, weakref_slot=False)
class Alarm:
    """Something that should have arrived is not known to have."""

    since: Instant
    """When it was sent."""
    number: int
    """The first packet that shows that it was a false one, if it arrives by the way in use alone."""
    end: int
    """The next one to be sent, when it was raised."""
    due: Instant
    """When packets are copied again."""
    rounds: int = 0
    copied: int = 0
    """All below this number went by all ways."""
    answer: bytes | None = None
    """The way by which something arrived meanwhile."""
    has_progress: bool = False
    """Something did that was copied."""
