"""Announcements of servers, pulled by each client at its own pace. docs/protocols/bob.rst, announcements.

Announcing to 10,000 clients costs no call more than announcing to one: every client has a place in one log, and whoever
can take a packet asks for the next.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable
from operator import itemgetter
from typing import Final

import attrs

_BLOCK = 512


@attrs.define(eq=False, weakref_slot=False)
class Entries:
    """Packets by number, in blocks of which none is empty.

    Of half a million, a list would move as many to strike one out, and a dictionary copy all of them now and then.
    """

    size: int = 0
    blocks: list[list[tuple[int, bytes]]] = attrs.field(factory=list)

    def __len__(self) -> int:
        return self.size

    def add(self, number: int, packet: bytes) -> None:
        """Append a packet; its number is larger than all before."""
        if not self.blocks or len(self.blocks[-1]) >= _BLOCK:
            self.blocks.append([])
        self.blocks[-1].append((number, packet))
        self.size += 1

    def strike(self, number: int) -> None:
        """Take out the packet of this number, which is there."""
        place = bisect_left(self.blocks, number, key=_last_number)
        block = self.blocks[place]
        del block[bisect_left(block, number, key=_number)]
        if not block:
            del self.blocks[place]
        self.size -= 1

    def first(self) -> int:
        """The smallest number there is."""
        return _number(self.blocks[0][0])

    def after(self, number: int) -> tuple[int, bytes]:
        """The first number that is larger than this one, with its packet."""
        place = bisect_right(self.blocks, number, key=_last_number)
        if place == len(self.blocks):
            return _NEVER
        block = self.blocks[place]
        return block[bisect_right(block, number, key=_number)]


_number: Final[Callable[[tuple[int, bytes]], int]] = itemgetter(0)


def _last_number(block: list[tuple[int, bytes]]) -> int:
    return block[-1][0]


_NEVER = 1 << 63, b""


@attrs.define(eq=False, weakref_slot=False)
class Subscriber:
    """How far one client has read."""

    key: int  # its link
    since: int  # departures up to this number are none of its business
    read: int = 0
    blocked: bool = True
    group: int = 0  # unless it is blocked


@attrs.define(eq=False, weakref_slot=False)
class AnnouncementLog:
    """The log: an announcement for every server that is there, and the last ``kept`` departures.

    Subscribers that are not blocked stand in groups: one for those that have read everything, and for the others one
    for each change that they have not looked at, so that a change moves them all at once.
    """

    kept: int
    last: int = 0  # the number of the last entry
    arrivals: Entries = attrs.field(factory=Entries)
    departures: Entries = attrs.field(factory=Entries)
    forgotten: int = 0  # the last departure that is no longer kept
    subscribers: dict[int, Subscriber] = attrs.field(factory=dict)
    groups: OrderedDict[int, OrderedDict[int, None]] = attrs.field(
        factory=lambda: OrderedDict({0: OrderedDict[int, None]()})
    )  # the ones that have waited longest first, the one that is up to date last
    newest: int = 0
    newcomers: int = 0  # the name of the last group that was made for somebody who came in between

    def announce(self, packet: bytes) -> int:
        """Log the arrival of a server; the number that it goes by."""
        self._log(self.arrivals, packet)
        return self.last

    def withdraw(self, numbers: list[int], packet: bytes) -> None:
        """Strike the arrivals of a server out and log its departure."""
        for number in numbers:
            self.arrivals.strike(number)
        self._log(self.departures, packet)
        if len(self.departures) > self.kept:
            self.forgotten = self.departures.first()
            self.departures.strike(self.forgotten)

    def subscribe(self, link: int, since: int) -> None:
        """From now on this link reads every arrival that stands, and departures after number ``since``.

        One that has subscribed already begins anew, and stays blocked if it was.
        """
        stays_blocked = link in self.subscribers and self.subscribers[link].blocked
        self.unsubscribe(link)
        self.subscribers[link] = Subscriber(link, since)
        if not stays_blocked:
            self.unblock(link)

    def unsubscribe(self, link: int) -> None:
        self.block(link)
        self.subscribers.pop(link, None)

    def block(self, link: int) -> None:
        """This link takes nothing for now."""
        subscriber = self.subscribers.get(link)
        if subscriber is not None and not subscriber.blocked:
            subscriber.blocked = True
            self._leave_group(subscriber)

    def unblock(self, link: int) -> None:
        subscriber = self.subscribers.get(link)
        if subscriber is not None and subscriber.blocked:
            subscriber.blocked = False
            is_current = self._next_for(subscriber) is _NEVER
            self._join_group(subscriber, self.newest if is_current else self._lagging_group())

    def next_reader(self) -> int | None:
        """Somebody who lags behind, those who came last first; they take turns."""
        oldest = next(iter(self.groups))
        if oldest == self.newest:
            return None
        link = next(reversed(self.groups[oldest]))
        self.groups[oldest].move_to_end(link, last=False)
        return link

    def pull(self, link: int, up_to: int) -> bytes | None:
        """The next entry for this link, up to this number; None if there is none.

        Raises LookupError if departures that it has not read are no longer kept: it is too slow to be told the truth.
        """
        subscriber = self.subscribers[link]
        if max(subscriber.read, subscriber.since) < self.forgotten:
            raise LookupError(link)
        number, packet = self._next_for(subscriber)
        if number > up_to:
            return None
        subscriber.read = number
        if not subscriber.blocked and self._next_for(subscriber) is _NEVER:  # now: asking all who wait in vain is long
            self._leave_group(subscriber)
            self._join_group(subscriber, self.newest)
        return packet

    def _next_for(self, subscriber: Subscriber) -> tuple[int, bytes]:
        told = max(subscriber.read, subscriber.since)
        return min(self.arrivals.after(subscriber.read), self.departures.after(told))

    def _log(self, entries: Entries, packet: bytes) -> None:
        """Add an entry: nobody is up to date any more."""
        self.last += 1
        entries.add(self.last, packet)
        if not self.groups[self.newest]:
            del self.groups[self.newest]
        self.newest += 1
        self.groups[self.newest] = OrderedDict()

    def _lagging_group(self) -> int:
        """A group of subscribers that have something to read."""
        if len(self.groups) == 1:
            self.newcomers -= 1
            self.groups[self.newcomers] = OrderedDict()
            self.groups.move_to_end(self.newcomers, last=False)
        return next(iter(self.groups))

    def _join_group(self, subscriber: Subscriber, group: int) -> None:
        subscriber.group = group
        self.groups[group][subscriber.key] = None

    def _leave_group(self, subscriber: Subscriber) -> None:
        group = self.groups[subscriber.group]
        del group[subscriber.key]
        if not group and subscriber.group != self.newest:
            del self.groups[subscriber.group]
