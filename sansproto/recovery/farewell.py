"""Goodbyes: to whom we said one, and sessions that were closed. docs/protocols/recovery.rst, R16 goodbye."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from math import inf
from typing import Annotated, Protocol

import attrs

from ..component import Part, Parts
from ..rates import keep_newest
from ..snapshot import CACHED
from .host import RecoveryHost
from .items import CloseReason, Kind, Route
from .limits import RecoveryConfig, RecoveryDelays
from .session import Session
from .tombstone import Tombstone, TombstoneInput


@attrs.frozen
class Said:
    """A peer to whom we said goodbye: which instances of it, and what we showed to it."""

    instances: tuple[bytes, ...]
    mine: bytes


class FarewellOwner(Protocol):
    """What goodbyes ask of the core."""

    config: RecoveryConfig

    def times_of(self, route: Route | None) -> RecoveryDelays: ...
    def is_elsewhere(self, address: int) -> bool: ...


class Farewells(Part[RecoveryHost]):
    """Of peers that are forgotten otherwise."""

    tombstones: Parts[bytes, Tombstone]
    said: OrderedDict[bytes, Said]
    core: Annotated[FarewellOwner, CACHED]

    def __init__(self, host: RecoveryHost, core: FarewellOwner, make: Callable[[bytes], Tombstone]) -> None:
        super().__init__(host)
        self.core, self.said, self.tombstones = core, OrderedDict(), Parts(make)

    def times_of(self, route: Route | None) -> RecoveryDelays:
        return self.core.times_of(route)

    def is_elsewhere(self, address: int) -> bool:
        return self.core.is_elsewhere(address)

    # -- to whom

    def has_said(self, peer: bytes, instance: bytes) -> bool:
        """Did we say goodbye to just this instance of a peer?"""
        return peer in self.said and instance in self.said[peer].instances

    def say(self, peer: bytes, instances: Iterable[bytes], mine: bytes) -> None:
        """Goodbye to these instances of a peer: the newest ones last."""
        limits = self.core.config.limits
        before = self.said[peer].instances if peer in self.said else ()
        all = dict.fromkeys(reversed([*before, *instances]))  # the last of equal ones counts
        newest = tuple(reversed([*all][: limits.said_instances]))
        keep_newest(self.said, peer, Said(newest, mine), limits.said)

    def forgive(self, peer: bytes, instance: bytes) -> None:
        """There is a session with this instance of a peer again."""
        said = self.said.get(peer)
        if said is not None and instance in said.instances:
            left = tuple(one for one in said.instances if one != instance)
            if left:
                self.said[peer] = Said(left, said.mine)
            else:
                del self.said[peer]

    # -- sessions

    def close(self, session: Session, reason: CloseReason, home: Route | None, *, aloud: bool) -> None:
        """Say goodbye under a session: the packet is sent now if ``aloud``, and kept."""
        packet = session.seal(Kind.CLOSE, bytes([reason.value]))
        said = TombstoneInput.SAY_TWICE() if aloud else TombstoneInput.SAY()
        self._bury(session, packet or b"", home, self._life(session)).post(said)

    def refuse(self, session: Session, route: Route) -> None:
        """Say no under a session, where its first packet came from."""
        packet = session.seal(Kind.CLOSE, bytes([CloseReason.REFUSED.value]))
        self._bury(session, packet or b"", route, self._life(session)).post(TombstoneInput.REFUSE())

    def drain(self, session: Session) -> None:
        """The peer said goodbye under a session."""
        life = self.core.times_of(session.route).previous
        self._bury(session, b"", session.route, life).post(TombstoneInput.DRAIN())

    def remove_tombstone(self, tombstone: Tombstone) -> None:
        self.tombstones.remove(tombstone.sid)

    # -- inside

    def _life(self, session: Session) -> float:
        """As long as the peer can hold the session, if there is an end to that."""
        times = self.core.times_of(session.route)
        if times.session == inf:
            return times.previous
        return max(times.previous, session.confirmed + times.session + times.candidate - self.host.clock)

    def _bury(self, session: Session, packet: bytes, home: Route | None, life: float) -> Tombstone:
        limits = self.core.config.limits
        others = [one for one in self.tombstones.values() if one.peer_id == session.peer_id]
        if len(others) >= limits.tombstones_per_peer:
            self.tombstones.remove(_least(others).sid)
        if len(self.tombstones) >= limits.tombstones:
            self.tombstones.remove(_least(self.tombstones.values()).sid)
        return self.tombstones.add(session.sid, Tombstone.begin, session, packet, home, life)


def _least(tombstones: Iterable[Tombstone]) -> Tombstone:
    """The lowest rank, and then the oldest: they are in the order in which they were made."""
    return min(tombstones, key=lambda one: one.rank)
