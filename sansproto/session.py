"""What every session is made of: clock, events, timers, agenda, snapshot.

The annotations in the body of a session class *are* its state: every annotated attribute is part of the snapshot unless
it is a ClassVar or marked ``Annotated[T, CACHED]``, as constructor arguments are: ``restore`` gets those again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from math import inf
from typing import Annotated, Any, ClassVar, Final, Generic, Self, TypeVar, get_args, get_origin, get_type_hints

from .contract import Entropy, Instant, Phase, Snapshot, Stats
from .events import CloseCause, Closed
from .machine import Ladder, Machine, Stateful, TimerKey, machines_of
from .snapshot import CACHED, Freeze, Thaw, codec
from .timers import TimerTable
from .trace import Dropped, Judged, PacketSeen, Stepped, Trace

E = TypeVar("E")

_CLOSED: Final = Phase.CLOSED  # looked up once: with every input it is asked for


class SessionBase(Generic[E]):
    """The part of the contract that does not depend on the transport."""

    phase: Phase = Phase.NEW  # with values here, these count as the properties of the contract
    stats: Stats = Stats()
    ending: Closed | None  # why the session is over; None while it is not
    _clock: Instant
    _events: deque[E]
    _timers: TimerTable[TimerKey]
    _entropy: Annotated[Entropy | None, CACHED]
    _delays: Annotated[object, CACHED]
    _trace: Annotated[Trace | None, CACHED]
    _agenda: Annotated[deque[tuple[Machine[Any, Any], Stateful, Any, object]], CACHED]

    _machines: ClassVar[tuple[Machine[Any, Any], ...]] = ()

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        super().__init_subclass__()
        if not abstract:
            found = list(machines_of(cls))
            cls._machines = tuple(machine.bound_to(cls, name, index) for index, (name, machine) in enumerate(found))
            for machine in cls._machines:
                setattr(cls, machine.name, machine)

    def __init__(self, *, entropy: Entropy | None, delays: object, trace: Trace | None) -> None:
        self.phase = Phase.NEW
        self.stats = Stats()
        self.ending = None
        self._clock = 0.0
        self._events = deque()
        self._timers = TimerTable()
        self._entropy = entropy
        self._delays = delays
        self._trace = trace
        self._agenda = deque()

    # -- the contract

    def next_event(self) -> E | None:
        return self._events.popleft() if self._events else None

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def handle_timeout(self, now: float) -> None:
        self._advance(now)
        while (due := self._timers.pop_due(self._clock)) is not None:
            index, key, timer = due
            self._machines[index].fire(self, key, timer)
            self._settle()

    def timers(self) -> Mapping[str, float]:
        return {self._machines[index].timer_name(key, timer): at for (index, key, timer), at in self._timers}

    def snapshot(self) -> Snapshot:
        return self.freeze(0.0)

    @classmethod
    def restore(cls, snapshot: Snapshot, **arguments: Any) -> Self:
        """The session whose snapshot this is, given the same constructor arguments."""
        return cls.thaw(snapshot, 0.0, **arguments)

    def freeze(self, base: float, *, leave_out: frozenset[str] = frozenset()) -> Snapshot:
        """A snapshot with points in time relative to ``base``."""
        return tuple(
            [
                freeze(getattr(self, name), base)
                for name, freeze, _ in type(self)._state_codecs()
                if name not in leave_out
            ]
        )

    @classmethod
    def thaw(cls, frozen: Snapshot, base: float, **arguments: Any) -> Self:
        session = cls(**arguments)
        for (name, _, thaw), value in zip(cls._state_codecs(), frozen, strict=True):
            setattr(session, name, thaw(value, base))
        session._rebuild()
        return session

    def _rebuild(self) -> None:
        """Make the cached attributes again after a restore."""

    @classmethod
    def _state_codecs(cls) -> tuple[tuple[str, Freeze, Thaw], ...]:
        found: tuple[tuple[str, Freeze, Thaw], ...] | None = cls.__dict__.get("_state_codecs_of")
        if found is None:
            kinds = get_type_hints(cls, include_extras=True)
            kinds["_events"] = deque[_event_type(cls)]  # type: ignore[misc]  # a type that is known at run time only
            found = tuple((name, *codec(kind)) for name, kind in kinds.items() if _is_state(kind))
            cls._state_codecs_of = found  # type: ignore[attr-defined]
        return found

    # -- for subclasses

    def _advance(self, now: float) -> None:
        """Take the caller's time; a clock that goes back, or is no finite number, stands still."""
        if self._clock < now < inf:
            self._clock = now

    def _alive(self, now: float) -> bool:
        """Take the time; False, and counted, when the session is over and ignores its inputs."""
        self._advance(now)
        if self.phase is _CLOSED:
            self._drop("closed")
            return False
        return True

    def _post(self, machine: Machine[Any, Any], obj: Stateful, on: Any, arg: object = None) -> None:
        """Queue an input (or the name of a ladder) for an object; it acts before the public call returns."""
        self._agenda.append((machine, obj, on, arg))

    def _settle(self) -> None:
        agenda = self._agenda
        while agenda:
            machine, obj, on, arg = agenda.popleft()
            machine.step(self, obj, on, arg)

    def _emit(self, event: E) -> None:
        self._events.append(event)

    def _drop(self, reason: str) -> None:
        self.stats.drop(reason)
        if self._trace is not None:
            self._trace(Dropped(self._clock, reason))

    def _end(self, closed: Closed) -> None:
        """The session is over: the one place that emits ``Closed``."""
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.CLOSED
            self.ending = closed
            self._timers = TimerTable()
            self._agenda.clear()
            self._emit(closed)  # type: ignore[arg-type]  # Closed is in the union of every protocol

    def _cancel_timers(self, machine: Machine[Any, Any], key: Hashable) -> None:
        """Disarm what an object that is forgotten may have armed."""
        for timer in machine.table.timers:
            self._timers.cancel((machine.index, key, timer.value))

    def _note_received(self, link: int, packet: object, size: int) -> None:
        """Count a packet that was understood."""
        self.stats.packets_received += 1
        if self._trace is not None:
            self._trace(PacketSeen(self._clock, False, link, _packet_name(packet), size))

    def _note_sent(self, link: int, packet: object, size: int) -> None:
        """Count a packet that was queued."""
        self.stats.packets_sent += 1
        if self._trace is not None:
            self._trace(PacketSeen(self._clock, True, link, _packet_name(packet), size))

    def _trace_step(self, machine: Machine[Any, Any], obj: Stateful, on: Any, to: Any) -> None:
        assert self._trace is not None  # whoever calls has looked
        after = None if to is None else to.name
        self._trace(Stepped(self._clock, machine.table.name, str(obj.key), obj.state.name, on.name, after))

    def _trace_rung(self, machine: Machine[Any, Any], ladder: Ladder[Any], number: int) -> None:
        assert self._trace is not None
        self._trace(Judged(self._clock, machine.table.name, ladder.name, number))


ABORTED = Closed(CloseCause.ABORTED)


def _packet_name(packet: object) -> str:
    """The class of a packet, which may stand behind what its header says."""
    return type(packet[-1] if isinstance(packet, tuple) else packet).__name__


def _is_state(kind: Any) -> bool:
    return get_origin(kind) is not ClassVar and not (get_origin(kind) is Annotated and CACHED in kind.__metadata__)


def _event_type(cls: type) -> Any:
    """The union that a session class gives as E; one that leaves E open (``lift``) queues ``Closed`` alone."""
    for base in cls.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            for argument in get_args(generic):
                if not isinstance(argument, TypeVar):
                    return argument
    return Closed
