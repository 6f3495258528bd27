"""How fast lossless packets are sent by toxcore's rules: docs/protocols/tox.rst, congestion.

They stand behind the interface of :mod:`sansproto.congestion`.
"""

from __future__ import annotations

from typing import Final

import attrs

from ..congestion import TICK
from ..contract import Instant

_SPAN: Final = 12
"""Ticks whose packets count."""
_RING: Final = 2 * _SPAN
_FLOOR: Final = 4.0
"""The lowest rate, in packets per second."""
_QUEUE: Final = 64
"""So many packets may wait for acknowledgement at any rate; as many are sent at once in the beginning."""
_EASED: Final = 1.0
"""How long an event of congestion is remembered."""
_UP, _DOWN, _RATIO = 1.2, 0.9, 2.0


@attrs.define(eq=False, weakref_slot=False)
class Formulas:
    """The rate of one session. It works by ticks."""

    filled: Instant
    rate: float = _FLOOR
    """First sendings per second."""
    asked_rate: float = _FLOOR
    """Packets that are sent again, per second."""
    left: float = float(_QUEUE)
    """What may be sent at once."""
    asked_left: float = float(_QUEUE)
    """The same of packets that are sent again."""
    congested: Instant | None = None
    queues: list[int] = attrs.field(factory=list)
    """Packets that waited for acknowledgement, the newest tick last; empty before the first tick."""
    sent: list[int] = attrs.field(factory=list)
    asked: list[int] = attrs.field(factory=list)
    sent_now: int = 0
    asked_now: int = 0

    @classmethod
    def begin(cls, now: Instant, round_trip: float) -> Formulas:
        """They are told the round trip at each tick."""
        return cls(now)

    # -- what a session asks

    def is_active(self, now: Instant) -> bool:
        return bool(self.sent_now or self.asked_now or any(self.sent) or any(self.asked))

    def wait(self) -> float:
        return TICK if self.left >= 1.0 else max(1.0 / self.rate, TICK / 10)

    def may_send(self, now: Instant, in_flight: int) -> int:
        if self.left < 1.0:
            self._refill(now)
        return int(self.left)

    def most(self, now: Instant, in_flight: int) -> int:
        return int(self.left + self.rate * max(now - self.filled, 0.0))

    def may_send_again(self, now: Instant) -> bool:
        if self.asked_left < 1.0:
            self._refill(now)
        return self.asked_left >= 1.0

    # -- what it tells

    def note_sent(self) -> None:
        self.left -= 1.0
        self.asked_left -= 1.0
        self.sent_now += 1

    def note_sent_again(self, now: Instant) -> None:
        self.asked_left -= 1.0
        self.asked_now += 1
        if self.left <= 1.0:
            self.left, self.congested = 0.0, now
        else:
            self.left -= 1.0

    def note_acknowledged(
        self, now: Instant, count: int, round_trip: float | None, *, in_flight: int, gaps: bool = False
    ) -> None:
        """It goes by what waits at each tick."""

    def note_missing(self, now: Instant, missing: int, arrived: int) -> None:
        """It goes by what is sent again."""

    def tick(self, now: Instant, waiting: int, round_trip: float) -> None:
        if not self.queues:
            self.queues, self.sent, self.asked = [0] * _SPAN, [0] * _RING, [0] * _RING
        for ring, newest in ((self.queues, waiting), (self.sent, self.sent_now), (self.asked, self.asked_now)):
            del ring[0]
            ring.append(newest)
        self.sent_now = self.asked_now = 0
        growth = self.queues[-1] - self.queues[0]
        sent, again = self._counted(self.sent, round_trip), self._counted(self.asked, round_trip)
        if growth > 0:
            sent -= growth
        else:
            again = min(again, -growth)
        arrived = max(sent / (_SPAN * TICK), _FLOOR)
        ratio = waiting / arrived
        if ratio > _RATIO and waiting > _QUEUE:
            rate = arrived * _RATIO / ratio
        else:
            is_eased = self.congested is None or now - self.congested > _EASED
            rate = arrived * (_UP if is_eased else _DOWN)
        self._refill(now)
        self.rate = max(rate, _FLOOR)
        self.asked_rate = max(_UP * (sent + again) / (_SPAN * TICK), self.rate)

    def move(self, round_trip: float | None) -> None:
        """They know of no ways."""

    # -- inside

    def _refill(self, now: Instant) -> None:
        passed = now - self.filled
        if passed <= 0.0:
            return
        self.filled = now
        added = self.rate * passed
        self.left = min(self.left + added, 4 * added + _QUEUE)
        self.asked_left = max(self.asked_rate * passed, self.left)

    def _counted(self, ring: list[int], round_trip: float) -> int:
        """Of the ticks whose acknowledgements may have come by now."""
        delay = min(round(round_trip / TICK), _SPAN)
        end = _RING - 1 - delay
        counted = sum(ring[max(end - _SPAN, 0) : end])
        return counted + ring[-1] if delay == _SPAN else counted
