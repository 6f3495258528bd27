"""Budgets: how often something may be done at once, and in each second; for all, and for each group of who asks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Annotated, Any, TypeVar

import attrs

from .component import Host, Part
from .contract import Instant
from .snapshot import CACHED

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def keep_newest(table: dict[K, V], key: K, value: V, limit: int) -> None:
    """Put a value last; what is over the limit is forgotten, the oldest first. (A large table is an OrderedDict.)"""
    table.pop(key, None)
    table[key] = value
    while len(table) > limit:
        del table[next(iter(table))]


@attrs.frozen
class Rate:
    """So many a second, and so many at once."""

    rate: float
    burst: float


@attrs.define(weakref_slot=False)
class Level:
    """What is left of a budget."""

    left: float
    at: Instant

    def filled(self, rate: Rate, now: float) -> float:
        """How many are left, if there were no bound."""
        return self.left + (now - self.at) * rate.rate

    def has(self, rate: Rate, now: float) -> bool:
        """Is there one left?"""
        return self.left + (now - self.at) * rate.rate >= 1.0

    def share(self, rate: Rate, now: float) -> float:
        """How much is left of all that there can be: 1.0 is all."""
        return min(self.left + (now - self.at) * rate.rate, rate.burst) / rate.burst

    def take(self, rate: Rate, now: float, count: float = 1.0) -> None:
        """Use one, or so many."""
        self.left = self.share(rate, now) * rate.burst - count
        self.at = now


class Shares(Part[Host[Any]]):
    """A budget for each group; the group that was asked for least lately is forgotten."""

    groups: OrderedDict[bytes, Level]
    each: Annotated[Rate, CACHED]
    most: Annotated[int, CACHED]

    def __init__(self, host: Host[Any], each: Rate, most: int) -> None:
        super().__init__(host)
        self.each, self.most, self.groups = each, most, OrderedDict()

    def has_in(self, group: bytes) -> bool:
        """Is there one left for a group?"""
        level = self.groups.get(group)
        return level is None or level.has(self.each, self.host.clock)

    def take_in(self, group: bytes) -> None:
        """Use one of a group."""
        level = self.groups.get(group) or Level(self.each.burst, self.host.clock)
        level.take(self.each, self.host.clock)
        keep_newest(self.groups, group, level, self.most)


class Budget(Shares):
    """A budget for all, beside one for each group."""

    total: Level
    all: Annotated[Rate, CACHED]

    def __init__(self, host: Host[Any], all: Rate, each: Rate, most: int) -> None:
        super().__init__(host, each, most)
        self.all, self.total = all, Level(all.burst, 0.0)

    def has(self) -> bool:
        """Is there one left for anybody?"""
        return self.total.has(self.all, self.host.clock)

    def is_idle(self) -> bool:
        """Is most of it left, so that nobody else goes short if a group gets more than its own?"""
        return self.total.share(self.all, self.host.clock) > 0.5

    def take(self) -> None:
        """Use one of all."""
        self.total.take(self.all, self.host.clock)
