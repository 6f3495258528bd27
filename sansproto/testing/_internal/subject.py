"""The subject of the laws: a session class, and what may happen to it. See :mod:`sansproto.testing.laws`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs
from hypothesis import strategies as st

from ...contract import Address, Path, SendError
from ..operations import (
    START,
    Abort,
    Accept,
    Blocked,
    Bound,
    Call,
    Close,
    Data,
    Datagram,
    Drain,
    Eof,
    Failed,
    Kind,
    LookedUp,
    Lost,
    Moved,
    Nth,
    Op,
    Opened,
    Run,
    Stray,
    Tick,
    TransportLost,
    Unblocked,
    Wait,
)

links: st.SearchStrategy[Nth] = st.builds(Nth, st.integers(0, 3))
"""For the arguments of verbs: the id of some link."""

STARTS = (START, 0.0, 0.5, 2.0**20 + 0.25, 2.0**31)
"""When runs begin: exact in binary, so that wall clocks can be set to it."""

_PORTS = st.sampled_from([443, 9000])
addresses: st.SearchStrategy[Address] = st.builds(Address, st.sampled_from(["192.0.2.1", "2001:db8::1"]), _PORTS)
paths: st.SearchStrategy[Path] = st.builds(Path, st.just("udp"), st.sampled_from(["192.0.2.9", "192.0.2.8"]), _PORTS)
_NOTHING: st.SearchStrategy[Any] = st.nothing()
_ANSWERS: st.SearchStrategy[tuple[Address, ...]] = st.lists(addresses, max_size=2).map(tuple)


@attrs.frozen(kw_only=True)
class Subject(Kind):
    """A session class, and what may happen to it.

    ``data`` are bytes of a stream, ``datagrams`` what may arrive on the datagram socket, ``strangers`` datagrams that
    nobody authenticated. ``verbs`` gives the arguments of verbs, without ``now``. ``openings`` are ways into deeper
    states, of which each course of events begins with one. ``secrets`` must not be seen (law 12).

    Law 9: ``max_state`` bounds the ``weight`` of a snapshot, ``max_write`` the bytes of one transmit; operations
    are repeated ``flood`` times, and courses of them until it grows no more. Law 13: a call executes at most ``work``
    lines, and ``work_per_byte`` for each byte of its input, after the operations of ``crowd``; a timer call ``slice``
    for each timer that is due. Law 4: ``slack`` operations without draining stay under the limits.
    """

    listeners: tuple[str, ...] = ()
    data: st.SearchStrategy[bytes] = _NOTHING
    datagrams: st.SearchStrategy[bytes] = _NOTHING
    strangers: st.SearchStrategy[bytes] = _NOTHING
    verbs: Mapping[str, st.SearchStrategy[tuple[object, ...]]] = attrs.field(factory=dict)
    peers: st.SearchStrategy[Address] = addresses
    paths: st.SearchStrategy[Path] = paths
    answers: st.SearchStrategy[tuple[Address, ...]] = _ANSWERS
    openings: tuple[tuple[Op, ...], ...] = ()
    crowd: tuple[Op, ...] = ()
    secrets: tuple[bytes, ...] = ()
    max_state: int = 100_000
    max_write: int = 65536
    flood: int = 50
    work: int = 3000
    work_per_byte: int = 60
    slice: int = 20_000
    slack: int = 3

    @property
    def has_streams(self) -> bool:
        return not self.data.is_empty

    @property
    def dials(self) -> bool:
        """A stream session without listeners is connected before anything else happens."""
        return self.wraps and not self.listeners

    def beginning(self, start: float) -> Subject:
        """The same, with runs that begin at one of ``STARTS``."""
        return self._beginning[start]

    @cached_property
    def _beginning(self) -> Mapping[float, Subject]:
        return {start: attrs.evolve(self, start=start) for start in STARTS}

    def run(self, *, drain: Drain = Drain.EACH, watch: int = 0) -> Run:
        return Run(self, drain=drain, watch=watch, dial=self.dials)

    def operations(self, most: int = 20) -> st.SearchStrategy[list[Op]]:
        """Courses of events."""
        return self._course(st.lists(self.operation(), max_size=most))

    def floods(self) -> st.SearchStrategy[list[Op]]:
        """Events behind an opening by which nothing ends, on links that may be blocked."""
        return self._floods

    def operation(self) -> st.SearchStrategy[Op]:
        return self._operation

    # Strategies are made once: Hypothesis looks at each of them before it draws from it for the first time.

    @cached_property
    def _floods(self) -> st.SearchStrategy[list[Op]]:
        nth = st.integers(0, 3)
        calls = [st.builds(Call, st.just(name), args) for name, args in self.verbs.items()]
        inputs = [st.builds(Data, nth, st.tuples(self.data)), st.builds(Datagram, self._all_datagrams, self.paths)]
        blocked = st.lists(st.builds(Blocked, nth), max_size=2)
        calm = st.lists(st.one_of(*inputs, *calls), min_size=2, max_size=6)
        return st.tuples(blocked, calm).map(lambda parts: [*parts[0], *parts[1]])

    def _course(self, rest: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[list[Op]]:
        return st.tuples(st.sampled_from(self.ways_in()), rest).map(lambda parts: [*parts[0], *parts[1]])

    @cached_property
    def _all_datagrams(self) -> st.SearchStrategy[bytes]:
        return self.datagrams | self.strangers

    def ways_in(self) -> Sequence[tuple[Op, ...]]:
        first: tuple[Op, ...] = (Opened(0),) if self.dials else ()
        accepted = [(Accept(label, Address("192.0.2.7", 1234)),) for label in self.listeners]
        return self.openings or [first, *accepted]

    @cached_property
    def _operation(self) -> st.SearchStrategy[Op]:
        nth, time = st.integers(0, 3), st.sampled_from([0.0, 0.01, 1.0, 30.0, 1000.0])
        verbs = [st.builds(Call, st.just(name), args) for name, args in self.verbs.items()]
        always: list[st.SearchStrategy[Any]] = [st.builds(Wait, time), st.just(Tick()), *verbs]
        rare = st.sampled_from([Close(), Abort(), TransportLost(), Stray()])
        if self.has_streams:
            data = st.builds(Data, nth, st.tuples(self.data))
            reports = [st.builds(op, nth) for op in (Opened, Eof, Lost, Blocked, Unblocked)]
            always += [data, data, data, st.one_of(reports)]
        if self.listeners:
            always.append(st.builds(Accept, st.sampled_from(self.listeners), self.peers))
        if not self._all_datagrams.is_empty:
            always += [st.builds(Datagram, self._all_datagrams, self.paths)] * 2
            failed = st.builds(Failed, self.paths, st.sampled_from(SendError))
            moved = st.builds(Moved, st.sampled_from([None, 0.0, 1e5]))
            always.append(failed | moved | st.builds(Bound, st.just("udp"), addresses))
        always.append(st.one_of(rare, st.builds(LookedUp, nth, self.answers)))
        return st.one_of(always)
