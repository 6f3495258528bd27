"""What every session is made of: clock, events, timers, input queue, draws. It is the host of its parts.

A role (client, server, relay, node) declares its parts as attributes and hands what arrives to them; the parts reach
the session through :class:`~sansproto.component.Host`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import inf, nextafter
from typing import Annotated, Any, ClassVar, Final, Generic, Self, TypeVar

import attrs

from . import contract
from .component import Asked, Component, Declared, Note, Part, Refusal, components_of
from .contract import Entropy, Instant, Phase, Snapshot, Stats
from .errors import NotOpen, WireError
from .events import CloseCause, Closed
from .machine import Happened, S, Timer
from .snapshot import CACHED
from .timers import TimerTable
from .trace import Dropped, Noted, PacketSeen, Refused, Trace, Where, place_name

E = TypeVar("E")

_TIMERS: Final = 32  # that one call lets act, of those that are due

_CLOSED: Final = Phase.CLOSED  # looked up once: with every input it is asked for

ABORTED: Final = Closed(CloseCause.ABORTED)


@attrs.frozen
class Answers:
    """What a session sends to somebody whom nobody authenticated, and only there: at most so many datagrams of so many
    bytes for each that it received."""

    bytes: int
    """The most bytes of one answer."""
    per_datagram: int = 1
    """The most answers to one datagram."""
    grows: int = attrs.field(default=0, kw_only=True)
    """How much longer an answer may be than what it answers, in bytes."""
    budget: str = attrs.field(default="", kw_only=True)
    """The attribute of the session that bounds the answers to all strangers together, if there is one: the only state
    that a stranger changes."""


class Session(Declared, Generic[E]):
    """The part of the contract that does not depend on the transport."""

    strangers: ClassVar[Answers] = Answers(0, 0)
    """How it answers who is not authenticated; without a declaration not at all."""
    phase: Phase
    stats: Stats
    ending: Closed | None
    """Why the session is over; None while it is not."""
    clock: Instant
    """The time of the last call, as parts see it."""
    _goes_on: Instant | None
    """When the timers go on, of which more were due than one call lets act: behind whatever else there is to do."""
    _events: deque[E]
    _timers: Annotated[TimerTable[Component[Any, Any], Timer[Any, Any]], CACHED]
    """A part of the snapshot all the same, by the places of the parts."""
    trace: Annotated[Trace | None, CACHED]
    where: Annotated[Where, CACHED]
    """From where the input at hand came: set by the endpoint."""
    _inputs: Annotated[deque[tuple[Component[Any, Any], Happened[Any]]], CACHED]
    _entropy: Annotated[Entropy | None, CACHED]
    _wall_epoch: Annotated[float, CACHED]

    def __init__(self, *, entropy: Entropy | None, wall_epoch: float = 0.0, trace: Trace | None = None) -> None:
        self.place = None
        self.phase, self.stats, self.ending, self.clock = Phase.NEW, Stats(), None, 0.0
        self._goes_on = None
        self._events, self._inputs, self._timers = deque(), deque(), TimerTable()
        self._entropy, self._wall_epoch, self.trace, self.where = entropy, wall_epoch, trace, None

    # -- the contract

    def next_event(self) -> E | None:
        return self._events.popleft() if self._events else None

    @property
    def waiting_events(self) -> int:
        """How many events the application has not popped yet."""
        return len(self._events)

    def next_timeout(self) -> float | None:
        return self._timers.next() if self._goes_on is None else self._goes_on

    def handle_timeout(self, now: float) -> None:
        self.advance(now)
        self._goes_on = None
        for _ in range(_TIMERS):
            due = self._timers.pop_due(self.clock)
            if due is None:
                return
            part, timer = due
            on = timer.on
            part.compiled[part.state._value_][on.index](part, on, None)  # at once: nothing is queued before it
            if self._inputs:
                self.run()
        at = self._timers.next()
        if at is not None and at <= self.clock:
            self._goes_on = nextafter(self.clock, inf)

    def timers(self) -> Mapping[str, float]:
        self.name_parts(())
        return {f"{place_name(part.place)}.{timer.name}": at for (part, timer), at in self._timers}

    def snapshot(self) -> Snapshot:
        return self.freeze(0.0)

    @classmethod
    def restore(cls, snapshot: Snapshot, shift: float = 0.0, /, **arguments: Any) -> Self:
        """The session whose snapshot this is, given the same constructor arguments.

        Times in it are moved by ``shift`` seconds: for a clock that began anew, how much more it says than the old one.
        """
        session = cls(**arguments)
        session.thaw(snapshot, shift)
        return session

    def freeze(self, base: float, *, leave_out: frozenset[str] = frozenset()) -> Snapshot:
        self.name_parts(())
        parts = {*components_of(self)}
        for (part, _), _ in self._timers:
            if part not in parts:
                raise TypeError(f"{type(part).__name__} is no declared part of {type(self).__name__}")
        timers = tuple([(part.place, timer.index, at - base) for (part, timer), at in self._timers])
        return timers, *super().freeze(base, leave_out=leave_out)

    def thaw(self, frozen: Snapshot, base: float) -> None:
        timers: Any
        timers, *rest = frozen
        super().thaw(tuple(rest), base)
        self.name_parts(())
        parts = {part.place: part for part in components_of(self)}
        for place, index, at in timers:
            self._timers.set(parts[place], parts[place].table.timers[index], at + base)

    # -- the host of its parts

    def wall(self) -> float:
        """The wall clock in seconds since 1970."""
        return self._wall_epoch + self.clock

    def draw(self, n: int, purpose: str) -> bytes:
        """Random bytes. ValueError, out of the call that needs them, if the source gives more or fewer."""
        assert self._entropy is not None, "a session that draws asks for entropy"
        drawn = self._entropy(n, purpose=purpose)
        if len(drawn) != n:
            raise ValueError(f"entropy gave {len(drawn)} bytes for {purpose}, not {n}")
        return drawn

    def arm(self, part: Component[Any, Any], timer: Timer[Any, Any], delay: float) -> None:
        """Set a timer of a part; nothing if the part was removed, or the session is over."""
        if not part.forgotten and self.phase is not _CLOSED:
            clock = self.clock
            at = clock + delay
            if at == inf:  # never: it needs no memory
                self._timers.cancel(part, timer)
                return
            self._timers.set(part, timer, at if at > clock else nextafter(clock, inf))

    def cancel(self, part: Component[Any, Any], timer: Timer[Any, Any]) -> None:
        """Disarm a timer of a part."""
        self._timers.cancel(part, timer)

    def enqueue(self, part: Component[S, Any], happened: Happened[S]) -> None:
        """Queue an input for a part; nothing if the session is over."""
        if self.phase is not _CLOSED:
            self._inputs.append((part, happened))

    def emit(self, event: E) -> None:
        """Queue an event for the application; nothing follows the last one."""
        if self.phase is not _CLOSED:
            self._events.append(event)

    def drop(
        self,
        reason: str,
        part: Part[Any] | None = None,
        guard: str = "",
        error: WireError | None = None,
        where: Where = None,
    ) -> None:
        """Count something that is ignored; ``guard`` is what decided so, ``error`` what it raised."""
        counts = self.stats.dropped
        if self.trace is None:  # the rest is for who looks on: there may be a flood
            counts[reason] = counts.get(reason, 0) + 1
            return
        why = {} if error is None else {"fault": error.fault, "offset": error.offset, "field": error.field}
        where = self.where if where is None else where
        self._count_in(counts, reason, part, Dropped, guard=guard, where=where, **why)

    def count_refusal(self, refusal: Refusal, part: Part[Any] | None = None) -> None:
        """Count output that is not taken."""
        self._count_in(self.stats.refused, refusal.reason, part, Refused)

    def count_note(self, note: Note, part: Part[Any] | None = None) -> None:
        """Count a remark on what is accepted."""
        self._count_in(self.stats.noted, note.remark, part, Noted, where=self.where)

    def _count_in(self, counts: dict[str, int], name: str, part: Part[Any] | None, record: Any, **known: Any) -> None:
        counts[name] = counts.get(name, 0) + 1
        if self.trace is not None:
            self.trace(record(self.clock, name, place=place_name(None if part is None else part.place), **known))

    # -- for roles

    def advance(self, now: float) -> None:
        """Take the caller's time, first in each call; a clock that goes back, or is not finite, stands still."""
        if self.clock < now < inf:
            self.clock = now
        if self.trace is not None and self.place is None:
            self.name_parts(())  # once, so that records tell places

    def alive(self, now: float, where: Where = None) -> bool:
        """Take the time; False, and counted, when the session is over and ignores its inputs, from wherever."""
        self.advance(now)
        if self.phase is _CLOSED:
            self.drop("closed", where=where)
            return False
        return True

    def closes(self, now: float) -> bool:
        """Take the time of a ``close``; False when the session is over: it may come again, and nothing is to count."""
        self.advance(now)
        return self.phase is not _CLOSED

    def verb(self, name: str, now: float, *asked: Asked) -> None:
        """What the application asks for: refused by any of the parts before more than the time changes, or done by all.

        NotOpen once the session is over, whatever the parts' states.
        """
        self.advance(now)
        self.ask(name, *asked)
        for one in asked:
            self.enqueue(one.part, one.happened)
        self.run()

    def ask(self, name: str, *asked: Asked) -> None:
        """Raise LocalProtocolError or NotOpen, naming the verb, if one of the parts does not allow it now."""
        if self.phase is _CLOSED:
            raise NotOpen(name, _CLOSED.name)
        for one in asked:
            one.part.table.ask(one.part, one.happened, name)

    def run(self) -> None:
        """Empty the input queue. What is queued for a part that was removed meanwhile is dropped."""
        queue = self._inputs
        while queue:
            part, happened = queue.popleft()
            if part.forgotten:
                self.drop("removed", part)
            else:  # as Happened.act does, once less called
                on = happened.on
                part.compiled[part.state._value_][on.index](part, on, happened.payload)

    def end(self, closed: Closed) -> None:
        """The session is over: the one place that emits ``Closed``."""
        if self.phase is not _CLOSED:
            self.emit(closed)  # type: ignore[arg-type]  # Closed is in the union of every protocol
            self.phase = _CLOSED
            self.ending = closed
            self._timers.clear()
            self._goes_on = None
            self._inputs.clear()

    def name_of(self, packet: Any) -> str:
        """What a trace calls a packet: by its class, also behind what its header says."""
        return type(packet[-1] if isinstance(packet, tuple) else packet).__name__

    def note_sent(self, link: int, name: str, size: int) -> None:
        """Count a packet that was queued."""
        self.stats.packets_sent += 1
        if self.trace is not None:
            self.trace(PacketSeen(self.clock, True, link, name, size))


class StreamSession(Session[E], contract.StreamSession[E]):
    """The base of what lives on one byte stream. :class:`~sansproto.wrap.WrappedStream` makes an endpoint of it."""
