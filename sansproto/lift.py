"""Sessions on one stream, or on datagrams alone, as endpoints: adapters have one kind of machine to drive.

The application keeps the session and calls its verbs; the adapter drives the endpoint, which looks at the session
whenever it is asked for output.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Annotated, Any, Generic, Protocol, Self, TypeVar

import attrs

from .contract import (
    Address,
    CloseTransport,
    CloseWrite,
    DatagramSession,
    Link,
    Path,
    Phase,
    SendBytes,
    Snapshot,
    StreamSession,
    Transmit,
)
from .errors import LocalProtocolError
from .events import CloseCause, Closed
from .old_endpoint import EndpointBase
from .old_links import LinkDelays, LinkLimits, LinkState, Pipe, some
from .snapshot import CACHED
from .trace import Trace

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)

_OVER = (LinkState.ABORTING, LinkState.GONE)
_OPEN = (LinkState.OPEN, LinkState.BLOCKED)


@attrs.frozen(kw_only=True)
class LiftLimits:
    """``link_queue``: bytes. A session that ends may leave that many behind for a link that is blocked."""

    links: int = some(1)
    link_queue: int = some(1 << 20)
    link_packets: int = some(64)
    events: int = some(1)


class LiftableStream(StreamSession[E_co], Protocol[E_co]):
    """A StreamSession that was built on SessionBase."""

    def freeze(self, base: float, *, leave_out: frozenset[str] = ...) -> Snapshot: ...


class LiftableDatagram(DatagramSession[E_co], Protocol[E_co]):
    """A DatagramSession that was built on SessionBase."""

    def freeze(self, base: float, *, leave_out: frozenset[str] = ...) -> Snapshot: ...


class _Lifted(EndpointBase[E], Generic[E], abstract=True):
    """What both kinds share. Events stay in the session; only ``Closed`` waits here, until the link is over."""

    _events: deque[Closed]  # type: ignore[assignment]  # those of the session stay there
    _core: Annotated[Any, CACHED]

    def __init__(
        self, session: Any, *, delays: LinkDelays | None, limits: LinkLimits | None, trace: Trace | None
    ) -> None:
        super().__init__(entropy=None, delays=delays or LinkDelays(), limits=limits or LiftLimits(), trace=trace)
        self._core = session
        self._rebuild()

    def next_event(self) -> E | None:
        event: E | None = super().next_event() or self._core.next_event()
        self._look()
        if isinstance(event, Closed) and self.phase is not Phase.CLOSED:
            self._farewell = event
            return None
        return event

    def next_timeout(self) -> float | None:
        return min((at for at in (super().next_timeout(), self._core.next_timeout()) if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        super().handle_timeout(now)
        self._core.handle_timeout(self._clock)
        self._look()

    def close(self, now: float) -> None:
        self._advance(now)
        self._core.close(self._clock)
        self._look()

    def abort(self) -> None:
        self._core.abort()
        for pipe in self._pipes.values():
            self._abort_link(pipe)
        self._settle()
        self._look()

    def transport_lost(self, now: float, *, detail: str = "") -> None:
        if self._alive(now):
            self._lose_all(now, detail)
            self._lose(detail)

    def timers(self) -> Mapping[str, float]:
        return {**super().timers(), **self._core.timers()}

    def freeze(self, base: float, *, leave_out: frozenset[str] = frozenset()) -> Snapshot:
        self._look()
        return self._core.freeze(base, leave_out=leave_out), super().freeze(base, leave_out=leave_out)

    @classmethod
    def restore(cls, snapshot: Snapshot, **arguments: Any) -> Self:
        """The endpoint of a snapshot; ``session`` is here a function that restores the session from its own."""
        parts: Any = snapshot
        core, own = parts
        return cls.restore_at(own, 0.0, **{**arguments, "session": arguments["session"](core)})

    def _rebuild(self) -> None:
        self.stats.dropped = self._core.stats.dropped  # one count, wherever something was ignored
        self._look()

    def _lose(self, detail: str) -> None:
        """The session has no transport any more."""
        if self._core.phase is not Phase.CLOSED:
            self._core.transport_lost(self._clock, detail=detail)
        self._look()

    def _look(self) -> None:
        """Follow the session, whose verbs are called behind the endpoint's back."""
        core = self._core
        self.stats.packets_received, self.stats.packets_sent = core.stats.packets_received, core.stats.packets_sent
        if core.phase is not Phase.CLOSED:
            self.phase = core.phase
        elif self.phase is not Phase.CLOSED:
            waits = self._farewell is not None or any(pipe.state not in _OVER for pipe in self._pipes.values())
            self.phase = Phase.CLOSING if waits else Phase.CLOSED
            self.ending = None if waits else core.ending


class DatagramEndpoint(_Lifted[E]):
    """A DatagramSession as an endpoint that refuses streams."""

    def __init__(
        self,
        session: LiftableDatagram[E],
        *,
        delays: LinkDelays | None = None,
        limits: LinkLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(session, delays=delays, limits=limits, trace=trace)

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        self.where = self._core.where = path
        if self._alive(now):
            self.stats.bytes_received += len(data)
            self._core.receive_datagram(data, path, self._clock)
            self._look()
        self.where = self._core.where = None

    def next_transmit(self) -> Transmit | None:
        transmit: Transmit | None = super().next_transmit() or self._core.next_transmit()
        self.stats.bytes_sent = self._core.stats.bytes_sent
        self._look()
        return transmit


class StreamEndpoint(_Lifted[E]):
    """A StreamSession as an endpoint with one stream: the one that :meth:`connect` asks for, or the first accepted."""

    _stream: Link | None
    _had_one: bool

    def __init__(
        self,
        session: LiftableStream[E],
        *,
        delays: LinkDelays | None = None,
        limits: LinkLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._stream = None
        self._had_one = False
        super().__init__(session, delays=delays, limits=limits, trace=trace)

    def connect(self, address: Address, now: float) -> None:
        """Ask for the stream. LocalProtocolError if there is, or was, one already, or if the session has ended."""
        if self._had_one or self._core.phase in (Phase.CLOSING, Phase.CLOSED):
            raise LocalProtocolError("connect", self.phase.name, "one stream, once")
        self._advance(now)
        self._take(self._open_link(address))
        self._settle()

    def close(self, now: float) -> None:
        """End politely; at once if the stream is not there yet."""
        super().close(now)
        pipe = self._pipe()
        if pipe is None:
            self._lose("")
        elif pipe.state is LinkState.OPENING:
            self._close_link(pipe)
            self._settle()
            self._lose("")

    def receive_data(self, link: Link, data: bytes, now: float) -> None:
        pipe = self._readable(link, now)
        if pipe is not None:
            self.stats.bytes_received += len(data)
            self._core.receive_data(data, self._clock)
            self._look()

    def receive_eof(self, link: Link, now: float) -> None:
        pipe = self._readable(link, now)
        if pipe is not None:
            pipe.eof = True
            self._core.receive_eof(self._clock)
            self._look()

    def next_transmit(self) -> Transmit | None:
        self._look()
        pipe = self._pipe()
        if pipe is not None:
            self._offer(pipe)
        return super().next_transmit()

    def _take(self, pipe: Pipe) -> None:
        self._stream, self._had_one = pipe.key, True

    def _pipe(self) -> Pipe | None:
        return None if self._stream is None else self._pipes.get(self._stream)

    def _look(self) -> None:
        pipe = self._pipe()
        if pipe is not None:
            self._follow(pipe)
            self._settle()
        super()._look()

    def _follow(self, pipe: Pipe) -> None:
        over = self._core.phase is Phase.CLOSED
        if over or pipe.finish:  # nothing is pulled any more, and a blocked link may still be reset
            while pipe.state in _OPEN and (transmit := self._core.next_transmit()) is not None:
                self._forward(pipe, transmit)
        if over and pipe.state in (LinkState.OPENING, *_OPEN):
            self._close_link(pipe)
        elif pipe.state in _OPEN:
            (self._resume if self._core.wants_data else self._pause)(pipe)

    def _forward(self, pipe: Pipe, transmit: Transmit) -> None:
        if isinstance(transmit, SendBytes):
            self._write(pipe, transmit.data)
        elif isinstance(transmit, CloseWrite):
            self._finish_link(pipe)
        elif isinstance(transmit, CloseTransport):
            self._close_link(pipe)
        else:  # AbortTransport: a stream session has nothing else to say
            self._abort_link(pipe)
        self._settle()

    # -- what the link tells

    def _link_accepted(self, pipe: Pipe) -> None:
        if self._had_one:
            self._abort_link(pipe)
        else:
            self._take(pipe)

    def _link_pull(self, pipe: Pipe, mark: int | None) -> bytes | None:
        transmit = self._core.next_transmit()
        if isinstance(transmit, SendBytes):
            return transmit.data
        if transmit is not None:
            self._forward(pipe, transmit)
        return None

    def _link_over(self, pipe: Pipe, cause: CloseCause, detail: str) -> None:
        self._lose(detail)

    def _link_gone(self, pipe: Pipe) -> None:
        if pipe.key == self._stream:
            self._stream = None
            self._lose("")
