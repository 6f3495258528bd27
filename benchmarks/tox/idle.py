"""10,000 friends who say nothing: what their sessions cost a node, in time and in memory.

Each friend is a node, too. All of them come online within 8 s, and send signs of life and acknowledgements as the node
itself does. Measured are all calls of the one node in 16 s, two rounds of signs of life: ``next_timeout`` and
``handle_timeout``, what arrives, what it sends, and its events. The clock makes steps of 1 ms, as drivers do that sleep
in between: in each, timers act that are due, and what has come is read; then what the node sends is taken.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from time import process_time
from typing import Any

import attrs

from benchmarks.idle import let_act, paths
from benchmarks.measure import Line, ratio
from benchmarks.nodes import AT_A, Entropy
from benchmarks.tox.nodes import STEP, node
from sansproto.contract import Path
from sansproto.tox import ToxNode
from sansproto.tox.limits import RECOVERY

FRIENDS, FEW = 10_000, 10
WEIGHED = 625
"""Friends of the node whose memory is measured: tables of 10,000 entries are as full as those of 625."""
ALIVE = 8.0
SETTLED, SPAN = 2 * ALIVE, 2 * ALIVE
CALLS = 20_000
RATES = dict.fromkeys(("init_rate", "init_burst", "group_rate", "group_burst", "reply_rate", "reply_burst"), FRIENDS)
ROOMY = attrs.evolve(RECOVERY, limits=attrs.evolve(RECOVERY.limits, **RATES))
"""So many friends are let in as fast as they come."""


class Crowd:
    """A node, and its friends."""

    def __init__(self, count: int) -> None:
        self.host, self.friends = node(recovery=ROOMY), dict[Path, ToxNode]()
        self.due: list[tuple[float, str, Path]] = []
        self.wakes: dict[Path, float] = {}
        self.coming: list[tuple[bytes, Path]] = []
        self.now = self.timers = self.others = 0.0
        self.received = 0
        entropy = Entropy()  # one for all of them: its size is not theirs
        for number, path in enumerate(paths(count)):
            self.pass_to(number * ALIVE / count)
            self.befriend(path, node(entropy))

    def befriend(self, path: Path, friend: ToxNode) -> None:
        self.friends[path] = friend
        self.host.add_friend(friend.real_key, friend.dht_key, self.now)
        friend.add_friend(self.host.real_key, self.host.dht_key, self.now, path=AT_A)
        self.collect(path)
        while self.coming:
            self.turn()
        assert self.host.is_online(friend.real_key)
        assert friend.is_online(self.host.real_key)

    def pass_to(self, end: float) -> None:
        """All that happens until then."""
        while self.now + STEP <= end:
            self.now += STEP
            while self.due and self.due[0][0] <= self.now:
                at, _, path = heappop(self.due)
                if self.wakes[path] == at:
                    self.friends[path].handle_timeout(self.now)
                    self.collect(path)
            self.turn()

    def turn(self) -> None:
        """The node's, and what its friends say to that."""
        host, now, coming, is_due = self.host, self.now, self.coming, True
        self.coming = []
        while is_due:
            spent, is_due = let_act(host, now)
            self.timers += spent
        start = process_time()
        for data, path in coming:
            host.receive_datagram(data, path, now)
        datagrams = take(host)
        self.others += process_time() - start
        self.received += len(coming)
        for one in datagrams:
            self.friends[one.path].receive_datagram(one.data, AT_A, now)
            self.collect(one.path)

    def collect(self, path: Path) -> None:
        """What a friend sends, and when it wakes."""
        friend = self.friends[path]
        self.coming += [(one.data, path) for one in take(friend)]
        at = friend.next_timeout()
        if at is not None and self.wakes.get(path) != at:
            self.wakes[path] = at
            heappush(self.due, (at, path.host, path))


def take(node: Any) -> list[Any]:
    """The datagrams of a node; of its events it is relieved."""
    while node.next_event() is not None:
        pass
    return [*iter(node.next_transmit, None)]


def nothing_due(crowd: Crowd) -> Callable[[], float]:
    """Seconds for timer calls that come too early."""
    host, now = crowd.host, crowd.now
    due = host.next_timeout()
    assert due is not None
    assert due > now

    def measure() -> float:
        start = process_time()
        for _ in range(CALLS):
            host.next_timeout()
            host.handle_timeout(now)
        return process_time() - start

    return measure


def memory() -> float:
    """Bytes that a node needs for each friend, of whom it has heard nothing but signs of life for a while."""
    gc.collect()
    tracemalloc.start()
    crowd = Crowd(WEIGHED)
    crowd.pass_to(ALIVE + SETTLED)
    host, crowd = crowd.host, None  # type: ignore[assignment]
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    del host
    gc.collect()
    size -= tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size / WEIGHED


def run() -> Iterator[Line]:
    crowd = Crowd(FRIENDS)
    crowd.pass_to(ALIVE + SETTLED)
    crowd.timers, crowd.others, crowd.received = 0.0, 0.0, 0
    crowd.pass_to(ALIVE + SETTLED + SPAN)
    assert all(crowd.host.is_online(friend.real_key) for friend in crowd.friends.values())
    assert not crowd.host.stats.dropped
    spent = crowd.timers + crowd.others
    note = f"timers alone {crowd.timers / SPAN * 100:.1f} %; {crowd.received / SPAN:.0f} packets a second each way"
    yield Line("tox: 10,000 idle sessions of a node, share of a core", spent / SPAN * 100, 10.0, False, " %", note=note)
    few = Crowd(FEW)
    few.pass_to(ALIVE + SETTLED)
    value, at_few, at_many = ratio(nothing_due(few), nothing_due(crowd), rounds=15)
    note = f"{at_few / CALLS * 1e6:.2f} and {at_many / CALLS * 1e6:.2f} us"
    yield Line("tox: a timer call with nothing due at 10 sessions / at 10,000", value, 0.9, True, note=note)
    del crowd, few
    yield Line("tox: memory of an idle session of a node", memory() / 1e3, 8.0, False, " KB")
