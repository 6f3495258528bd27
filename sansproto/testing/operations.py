"""What can happen to a session, as plain data, and an adapter that keeps the contract and carries it out.

A :class:`Run` applies operations to an endpoint and keeps what came out of it, per link. Operations name links by
number among those that live, so that any list of operations makes sense; what cannot happen now (bytes on a link that
is not open) does not happen.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import deepcopy
from enum import Enum
from pickle import dumps, loads
from typing import Any, TypeAlias

import attrs

from ..contract import (
    AbortTransport,
    Address,
    CloseTransport,
    CloseWrite,
    Entropy,
    Link,
    Lookup,
    OpenStream,
    OwnAddress,
    Path,
    PauseAccepting,
    PauseReading,
    Rebind,
    ResumeAccepting,
    ResumeReading,
    SendBytes,
    SendDatagram,
    SendError,
    Snapshot,
    Transmit,
)
from ..errors import LocalProtocolError, NotOpen
from ..events import DataReceived, Writable
from ..trace import Trace, TraceRecord
from ..wrap import WrappedStream
from ._internal.driver import PULLS
from .entropy import ScriptedEntropy

SERVER = Address("192.0.2.1", 443)  # where a stream session without listeners is connected to
START = 1000.0
AT_ONCE = 10  # timer calls in one instant: what is drained may ask for one more, but not for ever


class LawBroken(AssertionError):
    """A session does what a law forbids."""


@attrs.frozen
class Accept:
    listener: str
    peer: Address


@attrs.frozen
class Opened:
    link: int


@attrs.frozen
class Data:
    """Bytes, in as many reads as there are pieces, with nothing drained between them."""

    link: int
    pieces: tuple[bytes, ...]


@attrs.frozen
class Eof:
    link: int


@attrs.frozen
class Lost:
    link: int


@attrs.frozen
class Blocked:
    link: int


@attrs.frozen
class Unblocked:
    link: int


@attrs.frozen
class Stray:
    """Every report of the contract, for a link id that does not exist."""


@attrs.frozen
class Datagram:
    data: bytes
    path: Path


@attrs.frozen
class Failed:
    path: Path
    error: SendError = SendError.OTHER


@attrs.frozen
class Moved:
    """The host is in another network, or was asleep for so many seconds."""

    asleep: float | None = None


@attrs.frozen
class Bound:
    socket: str
    address: Address


@attrs.frozen
class LookedUp:
    """The answer to one of the lookups that wait for theirs."""

    query: int
    addresses: tuple[Address, ...]


@attrs.frozen
class Nth:
    """Among the arguments of a verb: the id of a link."""

    link: int


@attrs.frozen
class Call:
    verb: str
    args: tuple[object, ...] = ()


@attrs.frozen
class Wait:
    """Time passes; timers are called when they are due."""

    seconds: float


@attrs.frozen
class Tick:
    """Time passes up to the next timeout."""


@attrs.frozen
class Close:
    """The application closes."""


@attrs.frozen
class Abort:
    """The application aborts."""


@attrs.frozen
class TransportLost:
    """The whole transport is lost."""


Op: TypeAlias = (
    Accept
    | Opened
    | Data
    | Eof
    | Lost
    | Blocked
    | Unblocked
    | Stray
    | Datagram
    | Failed
    | Moved
    | Bound
    | LookedUp
    | Call
    | Wait
    | Tick
    | Close
    | Abort
    | TransportLost
)

BARRIERS = (Opened, Lost, Blocked, Failed, LookedUp, Wait, Tick, Abort, TransportLost)
"""Operations before and after which everything is drained, however a run drains: law 4 does not hold across them."""


class Drain(Enum):
    """When the adapter asks for output."""

    EACH = 0  # after every operation
    LATE = 1  # at the barriers only
    PARTLY = 2  # an event or a transmit, now and then
    HOARD = 3  # transmits after every operation, events never


@attrs.frozen(kw_only=True)
class Kind:
    """How to make and restore a session; one on a stream is wrapped in an endpoint.

    ``start`` is the time when a run begins. The wall clock says the same then, whatever that is: it is ``wall_epoch``
    of the arguments and 1000 seconds.
    """

    cls: type[Any]
    arguments: Callable[[Entropy, Trace | None], Mapping[str, Any]]
    start: float = START

    @property
    def wraps(self) -> bool:
        return not hasattr(self.cls, "stream_accepted")

    def make(self, entropy: Entropy, trace: Trace | None) -> Any:
        session = self.cls(**self._arguments(entropy, trace))
        return WrappedStream(session, trace=trace) if self.wraps else session

    def restore(self, snapshot: Snapshot, entropy: Entropy, trace: Trace | None) -> Any:
        def session(core: Snapshot, shift: float = 0.0) -> Any:
            return self.cls.restore(core, shift, **self._arguments(entropy, trace))

        return WrappedStream.restore(snapshot, session=session, trace=trace) if self.wraps else session(snapshot)

    def _arguments(self, entropy: Entropy, trace: Trace | None) -> Mapping[str, Any]:
        given = self.arguments(entropy, trace)
        return {**given, "wall_epoch": given["wall_epoch"] + START - self.start} if "wall_epoch" in given else given


@attrs.define
class View:
    """What the adapter knows about a link."""

    link: Link
    opened: bool = False
    blocked: bool = False
    paused: bool = False
    late: bool = False  # one more read may come after PauseReading
    written: bool = False  # CloseWrite was given
    closing: bool = False  # CloseTransport was given
    told: bool = False  # one of both ends was given: stream_lost is due
    over: bool = False
    eof: bool = False
    held: list[Data | Eof | Lost] = attrs.field(factory=list)  # what a paused link is blind to


class Run:
    """One course of events. ``watch`` is the number of the law whose breaches raise on the way."""

    def __init__(self, kind: Kind, *, drain: Drain = Drain.EACH, watch: int = 0, dial: bool = False) -> None:
        self.kind = kind
        self.drain = drain
        self.watch = watch
        self.now = kind.start
        self.trace: list[TraceRecord] = []
        self.entropy = ScriptedEntropy(seed=b"laws")
        self.endpoint = kind.make(self.entropy, self.trace.append)
        self.views: dict[Link, View] = {}
        self.events: list[Any] = []
        self.outputs: dict[Hashable, list[Any]] = {}
        self.errors: list[Exception] = []
        self.returned: list[object] = []  # of verbs
        self.delivered: list[Op] = []  # data that were not held back
        self.was_paused = False
        self.transmits = 0
        self.largest = 0  # bytes in one transmit
        self._visible: list[View] = []
        self._queries: list[int] = []
        self._closed_doors: set[str] = set()
        self._turn = 0
        if watch == 16:  # ids that nothing else can be taken for
            self.endpoint._last_link = 7_000_000_000
        if dial:
            self.endpoint.connect(SERVER, self.now)
        self.barrier()

    @property
    def session(self) -> Any:
        return self.endpoint._core if self.kind.wraps else self.endpoint

    def state(self, *leave_out: str) -> Snapshot:
        frozen: Snapshot = self.endpoint.freeze(0.0, leave_out=frozenset(leave_out))
        return frozen

    def fork(self) -> Run:
        """The same, going on with an endpoint restored from a snapshot."""
        snapshot = self.endpoint.snapshot()
        other = deepcopy({name: value for name, value in vars(self).items() if name not in ("endpoint", "kind")})
        twin = object.__new__(Run)
        vars(twin).update(other, kind=self.kind)
        twin.endpoint = self.kind.restore(loads(dumps(snapshot)), twin.entropy, twin.trace.append)
        return twin

    # -- operations

    def play(self, ops: Sequence[Op]) -> Run:
        for op in ops:
            self.apply(op)
        self.barrier()
        return self

    def apply(self, op: Op) -> None:
        if isinstance(op, BARRIERS):
            self.barrier()
        self._do(op)
        if isinstance(op, BARRIERS):
            self.barrier()
        else:
            self._drain_some()

    def _do(self, op: Op) -> None:
        endpoint, now = self.endpoint, self.now
        match op:
            case Accept() if op.listener in self._closed_doors:
                pass
            case Accept():
                link = endpoint.stream_accepted(op.listener, op.peer, now)
                if link in self.views:
                    raise LawBroken(f"link {link} was given out twice")
                self._show(View(link, opened=True))
            case Opened() | Data() | Eof() | Lost() | Blocked() | Unblocked():
                self._on_link(op)
            case Stray():
                self._stray(Link(max(self.views, default=0) + 1000))
            case Datagram():
                endpoint.receive_datagram(op.data, op.path, now)
            case Failed():
                endpoint.datagram_failed(op.path, now, error=op.error, detail="unreachable")
            case Moved(None):
                endpoint.network_changed(now)
            case Moved(asleep):
                endpoint.resumed(now, asleep=asleep)
            case Bound():
                endpoint.socket_bound(op.socket, op.address, now)
            case LookedUp():
                query = self._queries.pop(op.query % len(self._queries)) if self._queries else -1
                endpoint.looked_up(query, op.addresses, now)
            case Call():
                self._call(op)
            case Wait():
                self._wait(now + op.seconds)
            case Tick():
                self._wait(max(now, endpoint.next_timeout() or now))
            case Close():
                endpoint.close(now)
            case Abort():
                endpoint.abort()
            case _:
                for view in self.views.values():
                    view.over = True
                endpoint.transport_lost(now, detail="network down")

    def _on_link(self, op: Opened | Data | Eof | Lost | Blocked | Unblocked) -> None:
        live = [view for view in self._visible if not view.over]
        if not live:
            return
        view, endpoint = live[op.link % len(live)], self.endpoint
        match op:
            case Opened():
                if not view.opened and not view.told:
                    view.opened = True
                    endpoint.stream_opened(view.link, self.now)
            case Blocked():
                if view.opened and not view.blocked and not view.told:
                    view.blocked = True
                    endpoint.stream_blocked(view.link, self.now)
            case Unblocked():
                if view.blocked:
                    view.blocked = False
                    endpoint.stream_unblocked(view.link, self.now)
            case _:
                self._arrive(view, op)

    def _arrive(self, view: View, op: Data | Eof | Lost) -> None:
        """A paused link is blind, but for one more read that may be on its way."""
        if view.over or (view.told and not isinstance(op, Lost)):
            return
        if view.paused and not view.told and not (view.late and isinstance(op, Data)):
            view.held.append(op)
            return
        view.late = False
        if isinstance(op, Lost):
            self.lose(view)
        elif view.opened and not view.eof:
            self.delivered.append(op)
            if isinstance(op, Data):
                for piece in op.pieces:
                    self.endpoint.receive_data(view.link, piece, self.now)
            else:
                view.eof = True
                self.endpoint.receive_eof(view.link, self.now)

    def lose(self, view: View) -> None:
        view.over = True
        self.endpoint.stream_lost(view.link, self.now, detail="reset")
        if self.watch == 16:
            self.drain_all()
            if _mentions(self.state("_last_link"), view.link):
                raise LawBroken(f"link {view.link} is over, but not forgotten: {self.state('_last_link')}")

    def _stray(self, link: Link) -> None:
        endpoint, now = self.endpoint, self.now
        endpoint.stream_opened(link, now)
        endpoint.receive_data(link, b"stray", now)
        endpoint.receive_eof(link, now)
        endpoint.stream_blocked(link, now)
        endpoint.stream_unblocked(link, now)
        endpoint.stream_lost(link, now)

    def _call(self, op: Call) -> None:
        live = [view.link for view in self._visible if not view.over] or [Link(0)]
        args = [live[arg.link % len(live)] if isinstance(arg, Nth) else arg for arg in op.args]
        before = self._all_but_the_clock() if self.watch == 5 else None
        try:
            self.returned.append(getattr(self.session, op.verb)(*args, self.now))
        except (LocalProtocolError, NotOpen) as error:
            self.errors.append(error)
            if before is not None and self._all_but_the_clock() != before:
                raise LawBroken(
                    f"{op} raised {error!r}, but changed {before} to {self._all_but_the_clock()}"
                ) from error

    def _all_but_the_clock(self) -> tuple[Snapshot, int]:
        return self.state("clock"), len(self.entropy.draws)

    def _wait(self, end: float) -> None:
        at_once = 0
        for _ in range(100):  # a keep-alive has no end; the clock then stops here, for everybody alike
            at = self.endpoint.next_timeout()
            if at is None or at > end:
                self.now = end
                break
            at_once = 0 if at > self.now else at_once + 1
            if self.watch == 6 and at_once > AT_ONCE:
                raise LawBroken(f"woken again and again at {self.now}: {dict(self.endpoint.timers())}")
            self.now = max(self.now, at)
            self.fire(self.now)
            self.drain_all()

    def fire(self, now: float) -> None:
        self.endpoint.handle_timeout(now)
        at = self.endpoint.next_timeout()
        if self.watch == 6 and at is not None and at <= now:
            raise LawBroken(f"handle_timeout({now}) leaves the next timeout at {at}: {dict(self.endpoint.timers())}")

    # -- output

    def barrier(self) -> None:
        """Drain everything; confirm the ends that the endpoint wanted."""
        self.drain_all()
        while told := [view for view in self.views.values() if view.told and not view.over]:
            for view in told:
                self.lose(view)
            self.drain_all()
        self._visible = [view for _, view in sorted(self.views.items()) if not view.over]

    def drain_all(self, *, events: bool = False) -> None:
        events = events or self.drain is not Drain.HOARD
        for _ in range(PULLS):
            if not (events and self._pop_event()) | self._pop_transmit() | self._release():
                return
        raise LawBroken(f"it never stops giving out events or transmits: {self.endpoint!r} at {self.now}")

    def _drain_some(self) -> None:
        if self.drain in (Drain.EACH, Drain.HOARD):
            self.drain_all()
        elif self.drain is Drain.PARTLY:
            self._turn += 1
            for pop in (self._pop_event, self._pop_transmit)[: self._turn % 3]:
                pop()

    def _release(self) -> bool:
        """Deliver the bytes that waited while a link was paused, now that it is read again."""
        for view in self.views.values():
            if view.held and not view.paused and not view.over:
                self._arrive(view, view.held.pop(0))
                return True
        return False

    def _pop_event(self) -> bool:
        event = self.endpoint.next_event()
        if event is None:
            return False
        self.events.append(event)
        said = self.outputs.setdefault(("events", getattr(event, "link", None)), [])
        if said and isinstance(event, DataReceived) and isinstance(said[-1], DataReceived):
            said[-1] = attrs.evolve(said[-1], data=said[-1].data + event.data)  # adjacent data count as one
        else:
            said.append(event)
        return True

    def _pop_transmit(self) -> bool:
        transmit: Transmit | None = self.endpoint.next_transmit()
        if transmit is None:
            return False
        self.transmits += 1
        self.largest = max(self.largest, len(getattr(transmit, "data", b"")))
        match transmit:
            case SendDatagram():
                self._say(transmit.path, transmit.data)
            case Rebind():
                self._say("sockets", transmit)
            case Lookup() | OwnAddress():
                self._queries.append(transmit.query)
                self._say("lookups", transmit)
            case OpenStream():
                self._say(transmit.link, transmit)
                self.views[transmit.link] = View(transmit.link)
            case PauseAccepting():
                self.was_paused = True
                self._closed_doors.add(transmit.listener)
            case ResumeAccepting():
                self._closed_doors.discard(transmit.listener)
            case _:
                self._on_transmit(self.views[transmit.link], transmit)
        return True

    def _on_transmit(
        self,
        view: View,
        transmit: SendBytes | CloseWrite | CloseTransport | AbortTransport | PauseReading | ResumeReading,
    ) -> None:
        reading = isinstance(transmit, PauseReading | ResumeReading)
        if self.watch == 15 and not isinstance(transmit, AbortTransport):
            blocked = view.blocked and not reading  # reading does not depend on what can be written
            if blocked or view.closing or view.over or not view.opened:
                raise LawBroken(f"{transmit} for {view}")
            if view.written and isinstance(transmit, SendBytes):
                raise LawBroken(f"{transmit} after CloseWrite")
        match transmit:
            case SendBytes():
                self._say_bytes(view.link, transmit.data)
            case PauseReading():
                self.was_paused = view.paused = view.late = True
            case ResumeReading():
                view.paused = view.late = False
            case _:
                self._say(view.link, transmit)
                view.written = view.written or isinstance(transmit, CloseWrite)
                view.closing = view.closing or isinstance(transmit, CloseTransport)
                view.told = view.told or not isinstance(transmit, CloseWrite)

    def _say(self, channel: Hashable, what: object) -> None:
        self.outputs.setdefault(channel, []).append(what)

    def _say_bytes(self, link: Link, data: bytes) -> None:
        said = self.outputs.setdefault(link, [])
        if said and isinstance(said[-1], bytes):
            said[-1] += data
        else:
            said.append(data)

    def _show(self, view: View) -> None:
        self.views[view.link] = view
        self._visible.append(view)

    # -- results

    def met_a_limit(self) -> bool:
        """Whether a limit took effect: a link was paused or cut (its queue was full), or a verb found no room."""
        overflowed = any(getattr(record, "input", "") == "OVERFLOWED" for record in self.trace)
        return self.was_paused or overflowed or any(isinstance(event, Writable) for event in self.events)


def same(a: Run, b: Run, why: str) -> None:
    """LawBroken if two runs differ in what came out on any link, or in what verbs returned."""
    for channel in [*a.outputs, *b.outputs]:
        one, other = a.outputs.get(channel, []), b.outputs.get(channel, [])
        if not _alike(one, other):
            raise LawBroken(f"{why}: {channel}: {one} != {other}")
    if a.returned != b.returned:
        raise LawBroken(f"{why}: verbs returned {a.returned} and {b.returned}")


def _alike(one: list[Any], other: list[Any]) -> bool:
    """The same, if a reset may overtake output that waits, and a close implies the end of writing."""
    if one and other and isinstance(one[-1], AbortTransport) and isinstance(other[-1], AbortTransport):
        short, long = sorted(
            (b"".join(part for part in said if isinstance(part, bytes)) for said in (one, other)), key=len
        )
        return long.startswith(short)
    return _closed(one) == _closed(other)


def _closed(said: list[Any]) -> list[Any]:
    whole = any(isinstance(part, CloseTransport) for part in said)
    return [part for part in said if not (whole and isinstance(part, CloseWrite))]


def _mentions(value: object, wanted: object) -> bool:
    return value == wanted or (isinstance(value, tuple) and any(_mentions(item, wanted) for item in value))
