"""What is on its way in one direction of a session: docs/protocols/tox.rst, sending and receiving.

Numbers here count from 0 and do not wrap: on the wire are their lowest 32 bits. An action on one packet takes the same
time however many there are, one on a list as long as the list, and nothing is kept of what was acknowledged or handed
on. docs/protocols/tox.rst, what others can use up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import filterfalse, takewhile
from typing import Final, NamedTuple

import attrs

from ..contract import Instant
from . import requests

SIZE: Final = 32_768
"""Packets that may be on their way at once, in either direction."""
OWN: Final = 64
"""So many of them are left to what a node says of itself."""

SMALL: Final = 96
"""A packet of fewer bytes goes by another way if the one in use has no room, and may pass where others do not."""

_WIRE: Final = 0xFFFF_FFFF
_BEHIND: Final = 1 << 31
"""What is ahead by more is behind."""
_REACH: Final = 8192
"""So many packets are looked at for a list of what is missing: more are rarely on their way, and it is made often."""


class Heard(NamedTuple):
    """What the other end's word shows."""

    arrived: int
    """So many more packets have arrived."""
    round_trip: float | None
    """The time since the newest of them was sent; None if it was sent twice, or may have arrived before."""
    missing: int = 0
    """So many more are to be sent again."""
    numbers: Sequence[int] = ()
    """All that this is about; some were known to have arrived before."""
    has_large: bool = False
    """Is one that arrived not small? Looked at only where packets were sent again."""
    again: int = 0
    """So many that were sent again are to be sent once more."""


@attrs.define(eq=False, weakref_slot=False)
class SendWindow:
    """Lossless packets that were sent and not acknowledged. A packet gets its number when it is sent first."""

    start: int = 0
    """All before it are acknowledged."""
    end: int = 0
    """The number of the next one."""
    packets: dict[int, tuple[bytes, Instant]] = attrs.field(factory=dict, repr=False)
    """Those from ``start`` on that are not known to have arrived, in their order, and when each was sent last."""
    arrived: dict[int, bytes] = attrs.field(factory=dict, repr=False)
    """The others, which the other end has behind a gap: it cannot hand them on yet."""
    asked: list[int] = attrs.field(factory=list)
    """What is to be sent again, the lowest number last."""
    again: dict[int, Instant] = attrs.field(factory=dict)
    """What was sent again, and when it was sent first."""

    @property
    def number(self) -> int:
        """That of the next packet, on the wire."""
        return self.end & _WIRE

    @property
    def waiting(self) -> int:
        """How many are not acknowledged. The other end may have some of them, behind a gap."""
        return self.end - self.start

    @property
    def in_flight(self) -> int:
        """How many neither arrived nor are known to be missing."""
        return len(self.packets) - len(self.asked)

    def add(self, payload: bytes, now: Instant) -> int:
        """A packet is sent; its number on the wire. Only while fewer than :data:`SIZE` are on their way."""
        number = self.end
        self.packets[number] = (payload, now)
        self.end = number + 1
        return number & _WIRE

    def is_possible(self, buffer_start: int) -> bool:
        """Can the other end wait for this packet next, now or some time ago? It cannot if it was never sent."""
        ahead = (buffer_start - self.start) & _WIRE
        return ahead <= self.end - self.start or _WIRE + 1 - ahead <= min(self.start, _BEHIND)

    def acknowledge(self, buffer_start: int, now: Instant) -> Heard | None:
        """The other end has all before this one. None for an old acknowledgement, or one of what is known."""
        ahead = (buffer_start - self.start) & _WIRE
        if not 0 < ahead <= self.end - self.start:
            return None
        acknowledged, known = range(self.start, self.start + ahead), len(self.arrived)
        self.start += ahead
        sent, has_large = self._sent(acknowledged), bool(self.again) and self._has_large(acknowledged)
        for number in acknowledged:
            if self.packets.pop(number, None) is None:
                del self.arrived[number]
            if self.again:
                self.again.pop(number, None)
        if not self.packets:
            self.packets = {}  # one that was used needs more memory
        while self.asked and self.asked[-1] < self.start:
            self.asked.pop()
        rtt = None if sent is None else now - sent
        return Heard(ahead - known + len(self.arrived), rtt, 0, acknowledged, has_large)

    def read_request(self, buffer_start: int, listed: bytes, now: Instant, round_trip: float) -> Heard:
        """The other end says what is missing from this packet on. What is asked for is sent again if it was not sent
        within a round trip."""
        first = self.start + ((buffer_start - self.start + _BEHIND) & _WIRE) - _BEHIND
        walked = requests.walk(listed, max(self.end - first, 0))
        wanted = {first + number for number in walked.asked}
        due = {number for number in wanted if self._was_sent_before(number, now - round_trip)}
        due_now = due.difference(self.asked)
        missing = due_now.difference(self.again)
        passed = takewhile((first + walked.passed).__gt__, self.packets)
        arrived = [number for number in passed if number not in wanted]
        is_whole = len(listed) < requests.MOST and walked.passed < _REACH - requests.FURTHER
        newest = self._sent(arrived) if arrived and is_whole else None
        has_large = bool(self.again) and self._has_large(arrived)
        for number in arrived:
            self.arrived[number] = self.packets.pop(number)[0]
        if due or arrived:
            self.asked = sorted((number for number in due.union(self.asked) if number in self.packets), reverse=True)
        return Heard(
            len(arrived),
            None if newest is None else now - newest,
            len(missing),
            arrived,
            has_large,
            len(due_now) - len(missing),
        )

    @property
    def asked_size(self) -> int:
        """Bytes of the next packet that is sent again."""
        return len(self.packets[self.asked[-1]][0]) if self.asked else 0

    def next_asked(self, now: Instant) -> tuple[int, bytes] | None:
        """The next packet that is sent again, and its number; None: there is none."""
        if not self.asked:
            return None
        number = self.asked.pop()
        payload, sent = self.packets[number]
        self.packets[number] = payload, now
        self.again.setdefault(number, sent)
        return number, payload

    def ask(self, numbers: Iterable[int]) -> None:
        """These are to be sent again, too."""
        self.asked = sorted({*numbers, *self.asked}, reverse=True)

    def has_arrived(self, number: int) -> bool:
        """Does the other end have it, although it waits for one before it?"""
        return number not in self.packets

    def sent_first(self, number: int) -> Instant:
        """When a packet was sent for the first time that is not known to have arrived."""
        return self.again.get(number, self.packets[number][1])

    def copy(self, number: int) -> bytes:
        """A packet is sent by another way, too: how long it takes is not known any more."""
        payload, sent = self.packets[number]
        self.again.setdefault(number, sent)
        return payload

    def take_all(self) -> list[bytes]:
        """What was not acknowledged, in its order: it is given up."""
        left = self.arrived | {number: payload for number, (payload, _) in self.packets.items()}
        self.packets, self.arrived, self.asked, self.again = {}, {}, [], {}
        return [payload for _, payload in sorted(left.items())]

    def _sent(self, arrived: Sequence[int]) -> Instant | None:
        """When the newest of these was sent, which are heard of now; None if which time is not known, or if it may have
        arrived long before: it stood behind a packet that was sent again later."""
        newest, packets, again = arrived[-1], self.packets, self.again
        if newest not in packets or newest in again:
            return None
        sent = packets[newest][1]
        if again and any(packets[number][1] > sent for number in arrived if number in again and number in packets):
            return None
        return sent

    def is_large(self, number: int) -> bool:
        """Is it not one of those that pass where large packets do not? Not asked of those that have arrived."""
        return len(self.packets[number][0]) >= SMALL

    def _has_large(self, arrived: Iterable[int]) -> bool:
        return any(number in self.packets and self.is_large(number) for number in arrived)

    def _was_sent_before(self, number: int, then: Instant) -> bool:
        packet = self.packets.get(number)
        return packet is not None and packet[1] < then


@attrs.define(eq=False, weakref_slot=False)
class ReceiveWindow:
    """Lossless packets that arrived before others which they follow."""

    start: int = 0
    """The number of the packet that is handed on next."""
    end: int = 0
    """All that were sent, as far as is known, are below it."""
    held: dict[int, bytes] = attrs.field(factory=dict, repr=False)

    @property
    def number(self) -> int:
        """That of the packet which is handed on next, on the wire."""
        return self.start & _WIRE

    @property
    def is_missing(self) -> bool:
        """Was something sent that did not arrive?"""
        return self.end > self.start

    @property
    def span(self) -> int:
        """How many numbers the gaps and what is behind them have."""
        return self.end - self.start

    def is_new(self, number: int) -> bool:
        """Is a packet with this number on the wire not here yet, and not out of reach?"""
        ahead = (number - self.start) & _WIRE
        return ahead < SIZE and self.start + ahead not in self.held

    def is_known(self, number: int) -> bool:
        """Has a packet with this number on the wire come before? Not asked of those from long ago."""
        behind = (self.start - number) & _WIRE
        return 0 < behind <= min(self.start, SIZE) or self.start + ((number - self.start) & _WIRE) in self.held

    def put(self, number: int, payload: bytes) -> None:
        """A new packet arrived."""
        place = self.start + ((number - self.start) & _WIRE)
        self.held[place] = payload
        if place >= self.end:
            self.end = place + 1

    @property
    def has_next(self) -> bool:
        """Is the next packet in order here?"""
        return self.start in self.held

    def next(self) -> bytes | None:
        """The next packet in order; None: it did not arrive yet."""
        payload = self.held.pop(self.start, None)
        if payload is not None:
            self.start += 1
        return payload

    def note_end(self, number: int) -> None:
        """The other end says which number it gives to its next packet: those before it were sent."""
        end = self.start + ((number - self.start) & _WIRE)
        if end - self.start <= SIZE and self.end < end:
            self.end = end

    def request(self) -> bytes:
        """The payload that says which packets are missing."""
        if self.end == self.start:
            return requests.NOTHING
        span = min(self.span, _REACH)
        missing = filterfalse(self.held.__contains__, range(self.start, self.start + span))
        return requests.encode((number - self.start for number in missing), span)
