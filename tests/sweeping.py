"""Sweeps: all that can come to an endpoint comes to it in each of its phases, and never raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Generic, TypeVar

import attrs

from sansproto.contract import Path, SendDatagram
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.laws import weight

Stage = TypeVar("Stage")


def counts(endpoint: Any) -> tuple[dict[str, int], dict[str, int]]:
    stats = endpoint.stats
    return dict(stats.dropped), {**stats.noted, **stats.refused}


@attrs.frozen
class Outcome:
    """What comes of one datagram."""

    dropped: list[str]
    """Why it was."""
    remarks: list[str]
    """What else was counted about it."""
    events: list[Any]
    sent: list[bytes]


@attrs.frozen
class Phase:
    """What makes copies of an endpoint in a phase, the time there, and what comes from where."""

    restore: Callable[[], Any]
    now: float
    datagrams: Mapping[str, tuple[bytes, Path]]

    def outcome(self, name: str) -> Outcome:
        """What comes of a datagram; nor does what it leads to raise."""
        one = self.restore()
        waiting, before = len(one._outbox), counts(one)
        one.receive_datagram(*self.datagrams[name], self.now)
        dropped, remarks = (
            [reason for reason, count in after.items() if count != there.get(reason)]
            for after, there in zip(counts(one), before, strict=True)
        )
        sent = [*iter(one.next_transmit, None)][waiting:]
        events = [*iter(one.next_event, None)]
        for _ in range(20):
            if (due := one.next_timeout()) is not None:
                one.handle_timeout(max(due, self.now))
        return Outcome(dropped, remarks, events, [one.data for one in sent if isinstance(one, SendDatagram)])

    def grows(self) -> list[int]:
        """Its sizes after all of it has come several times, if it is larger at last than it was by then."""
        one, found = self.restore(), []
        for _ in range(10):
            for data, path in self.datagrams.values():
                one.receive_datagram(data, path, self.now)
                while one.next_event() or one.next_transmit():
                    pass
            found.append(weight(one.snapshot()))
        return found if max(found[5:]) > max(found[:5]) else []


class Sweep(Generic[Stage]):
    """The phases of endpoints. A phase is made once; each datagram gets a copy of it.

    A stage has an ``endpoint`` with its ``arguments``, and the time that it is ``now``.
    """

    def __init__(self, datagrams: Callable[[Stage], Mapping[str, tuple[bytes, Path]]]) -> None:
        self.datagrams = datagrams
        self.stages: dict[str, Callable[[], Stage]] = {}

    def phase(self, make: Callable[[], Stage]) -> Callable[[], Stage]:
        self.stages[make.__name__] = make
        return make

    @cache  # noqa: B019 - a sweep lives as long as its test
    def __getitem__(self, name: str) -> Phase:
        stage: Any = self.stages[name]()
        kind, snapshot = type(stage.endpoint), stage.endpoint.snapshot()

        def restore() -> Any:
            return kind.restore(snapshot, **{**stage.arguments, "entropy": ScriptedEntropy(seed=b"again")})

        return Phase(restore, stage.now, self.datagrams(stage))
