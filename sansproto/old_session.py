"""The session of machines that are bound by name, until the last of them has moved to components."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from .component import components_of
from .contract import Entropy, Snapshot
from .events import Closed
from .old_machine import Ladder, Machine, Stateful, machines_of
from .session import ABORTED, Session
from .snapshot import CACHED
from .timers import TimerTable
from .trace import Judged, PacketSeen, Stepped, Trace, place_name

__all__ = ["ABORTED", "SessionBase"]

E = TypeVar("E")


class SessionBase(Session[E]):
    """A session with old machines beside its parts."""

    _delays: Annotated[object, CACHED]
    _machines: ClassVar[tuple[Machine[Any, Any], ...]] = ()

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        super().__init_subclass__()
        if not abstract:
            found = list(machines_of(cls))
            cls._machines = tuple(machine.bound_to(cls, name, index) for index, (name, machine) in enumerate(found))
            for machine in cls._machines:
                setattr(cls, machine.name, machine)

    def __init__(
        self, *, entropy: Entropy | None, delays: object = None, wall_epoch: float = 0.0, trace: Trace | None
    ) -> None:
        super().__init__(entropy=entropy, wall_epoch=wall_epoch, trace=trace)
        self._delays = delays

    def handle_timeout(self, now: float) -> None:
        self.advance(now)
        while (due := self._timers.pop_due(self.clock)) is not None:
            key: Any = due
            if len(key) == 2:
                part, one = key
                self.enqueue(part, one.on())
            else:
                machine, key, timer = key
                self._machines[machine].fire(self, key, timer)
            self._settle()

    def timers(self) -> Mapping[str, float]:
        found = {}
        key: Any
        self.name_parts(())
        for key, at in self._timers:
            if len(key) == 2:
                found[f"{place_name(key[0].place)}.{key[1].name}"] = at
            else:
                found[self._machines[key[0]].timer_name(key[1], key[2])] = at
        return found

    def freeze(self, base: float, *, leave_out: frozenset[str] = frozenset()) -> Snapshot:
        timers, self._timers = self._timers, TimerTable()
        rest = super().freeze(base, leave_out=leave_out)[1:]
        self._timers = timers
        keys: Any = [(key, at - base) for key, at in timers]
        return tuple([(key if len(key) == 3 else (key[0].place, key[1].index), at) for key, at in keys]), *rest

    def thaw(self, frozen: Snapshot, base: float) -> None:
        timers: Any = frozen[0]
        super().thaw(((), *frozen[1:]), base)
        self._timers = TimerTable()
        parts = {part.place: part for part in components_of(self)}
        for key, at in timers:
            known = key if len(key) == 3 else (parts[key[0]], parts[key[0]].table.timers[key[1]])
            self._timers.set(known, at + base)

    # -- names of the old ground

    @property
    def _clock(self) -> float:
        return self.clock

    @_clock.setter
    def _clock(self, value: float) -> None:
        self.clock = value

    @property
    def _trace(self) -> Trace | None:
        return self.trace

    @_trace.setter
    def _trace(self, value: Trace | None) -> None:
        self.trace = value

    def advance(self, now: float) -> None:
        self._advance(now)

    def _advance(self, now: float) -> None:
        super().advance(now)

    def _alive(self, now: float) -> bool:
        return self.alive(now)

    def _emit(self, event: E) -> None:
        self.emit(event)

    def _drop(self, reason: str) -> None:
        self.drop(reason)

    def rebuild(self) -> None:
        self._rebuild()

    def _rebuild(self) -> None:
        """Make the cached attributes again after a restore."""

    def end(self, closed: Closed) -> None:
        self._end(closed)

    def _end(self, closed: Closed) -> None:
        super().end(closed)

    def _note_received(self, link: int, packet: object, size: int) -> None:
        self.stats.packets_received += 1
        if self.trace is not None:
            self.trace(PacketSeen(self.clock, False, link, self.name_of(packet), size))

    def _note_sent(self, link: int, packet: object, size: int) -> None:
        self.note_sent(link, self.name_of(packet), size)

    # -- old machines

    def _post(self, machine: Machine[Any, Any], obj: Stateful, on: Any, arg: object = None) -> None:
        """Queue an input (or the name of a ladder) for an object; it acts before the public call returns."""
        queue: Any = self._inputs
        queue.append((machine, obj, on, arg))

    def _settle(self) -> None:
        self.run()

    def run(self) -> None:
        if self.place is None:
            self.name_parts(())
        queue: Any = self._inputs
        while queue:
            item = queue.popleft()
            if len(item) == 4:
                machine, obj, on, arg = item
                machine.step(self, obj, on, arg)
            elif item[0].forgotten:
                self.drop("removed", item[0])
            else:
                item[1].on.act(item[0], item[1].payload)

    def _cancel_timers(self, machine: Machine[Any, Any], key: Hashable) -> None:
        """Disarm what an object that is forgotten may have armed."""
        for timer in machine.table.timers:
            self._cancel((machine.index, key, timer.value))

    def _cancel(self, key: Any) -> None:
        self._timers.cancel(key)

    def _trace_step(self, machine: Machine[Any, Any], obj: Stateful, on: Any, to: Any) -> None:
        assert self.trace is not None  # whoever calls has looked
        after = None if to is None else to.name
        self.trace(Stepped(self.clock, machine.table.name, str(obj.key), obj.state.name, on.name, after))

    def _trace_rung(self, machine: Machine[Any, Any], ladder: Ladder[Any], number: int) -> None:
        assert self.trace is not None
        self.trace(Judged(self.clock, machine.table.name, ladder.name, number))
