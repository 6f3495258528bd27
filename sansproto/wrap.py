"""A session on one stream as an endpoint: adapters have one kind of machine to drive.

The application keeps the session and calls its verbs; the adapter drives the endpoint, which looks at the session
whenever it is asked for output.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Annotated, Any, Final, Never, Self, TypeVar

from .contract import Address, CloseTransport, CloseWrite, Link, Phase, SendBytes, Snapshot, Transmit
from .errors import LocalProtocolError, NotOpen
from .events import CloseCause, Closed
from .links import OPEN, OVER, LinkDelays, LinkLimits, LinkState, Mark, StreamLink
from .session import StreamSession
from .snapshot import CACHED
from .streams import StreamEndpoint
from .trace import Trace

E = TypeVar("E")

_LIMITS: Final = LinkLimits(links=1, link_queue=1 << 20, events=1)
"""A session that ends may leave that many bytes behind for a link that is blocked; its own events wait there."""


class WrappedStream(StreamEndpoint[E, Never]):
    """A StreamSession as an endpoint with one stream: the one that :meth:`connect` asks for, or the first accepted."""

    _events: deque[Closed]  # type: ignore[assignment]  # those of the session stay there
    _stream: Link | None
    _had_one: bool
    _core: Annotated[StreamSession[E], CACHED]

    def __init__(
        self,
        session: StreamSession[E],
        *,
        delays: LinkDelays | None = None,
        limits: LinkLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(entropy=None, delays=delays or LinkDelays(), limits=limits or _LIMITS, trace=trace)
        self._core, self._stream, self._had_one = session, None, False
        self.rebuild()

    def connect(self, address: Address, now: float) -> None:
        """Ask for the stream. NotOpen if the session has ended; LocalProtocolError if there is, or was, one already."""
        if self._core.phase in (Phase.CLOSING, Phase.CLOSED):
            raise NotOpen("connect", self._core.phase.name)
        if self._had_one:
            raise LocalProtocolError("connect", self.phase.name, "one stream, once")
        self.advance(now)
        self._take_link(self.open_link(address))
        self.run()

    # -- the contract

    def next_event(self) -> E | None:
        event = super().next_event() or self._core.next_event()
        self._look()
        if isinstance(event, Closed) and self.phase is not Phase.CLOSED:
            self._closing = event
            return None
        return event

    def next_transmit(self) -> Transmit | None:
        self._look()
        link = self._link()
        if link is not None:
            self.offer(link)
        return super().next_transmit()

    def next_timeout(self) -> float | None:
        return min((at for at in (super().next_timeout(), self._core.next_timeout()) if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        super().handle_timeout(now)
        self._core.handle_timeout(self.clock)
        self._look()

    def close(self, now: float) -> None:
        """End politely; at once if the stream is not there yet."""
        self.advance(now)
        self._core.close(self.clock)
        self._look()
        link = self._link()
        if link is None or link.state is LinkState.OPENING:
            self._lose("")

    def abort(self) -> None:
        self._core.abort()
        for link in self.links.values():
            link.abort()
        self.run()
        if self._closing is not None:
            self.end(self._closing)
        self._look()

    def transport_lost(self, now: float, *, detail: str = "") -> None:
        if self.alive(now):
            self.lose_links(now, detail)
            self._lose(detail)

    def timers(self) -> Mapping[str, float]:
        return {**super().timers(), **self._core.timers()}

    def freeze(self, base: float, *, leave_out: frozenset[str] = frozenset()) -> Snapshot:
        self._look()
        return self._core.freeze(base, leave_out=leave_out), super().freeze(base, leave_out=leave_out)

    @classmethod
    def restore(cls, snapshot: Snapshot, shift: float = 0.0, /, **arguments: Any) -> Self:
        """The endpoint of a snapshot; ``session`` is here a function that restores the session from its own."""
        parts: Any = snapshot
        core, own = parts
        return super().restore(own, shift, **{**arguments, "session": arguments["session"](core, shift)})

    def rebuild(self) -> None:
        own, core = self.stats, self._core.stats  # one count, wherever something was ignored
        own.dropped, own.refused, own.noted = core.dropped, core.refused, core.noted
        self._look()

    # -- what the link tells

    def link_accepted(self, link: StreamLink) -> None:
        if self._had_one:
            link.abort()
        else:
            self._take_link(link)

    def link_pull(self, link: StreamLink, mark: Mark | None) -> bytes | None:
        transmit = self._core.next_transmit()
        if isinstance(transmit, SendBytes):
            return transmit.data
        if transmit is not None:
            self._forward(link, transmit)
        return None

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        self._lose(detail)

    def link_gone(self, link: StreamLink) -> None:
        if link.key == self._stream:
            self._stream = None
            self._lose("")

    # -- inside

    def _consume(self, link: StreamLink, *, most: int | None = None, last: bool = False) -> int:
        """The session decodes, and keeps what it has no room for."""
        data, link.inbox = link.inbox, b""
        if data:
            self._core.receive_data(data, self.clock)
        elif link.eof:
            self._core.receive_eof(self.clock)
        self._look()
        return 0

    def _take_link(self, link: StreamLink) -> None:
        self._stream, self._had_one = link.key, True

    def _link(self) -> StreamLink | None:
        return None if self._stream is None else self.links.get(self._stream)

    def _lose(self, detail: str) -> None:
        """The session has no transport any more."""
        if self._core.phase is not Phase.CLOSED:
            self._core.transport_lost(self.clock, detail=detail)
        self._look()

    def _look(self) -> None:
        """Follow the session, whose verbs are called behind the endpoint's back."""
        link, core = self._link(), self._core
        if link is not None:
            self._follow(link)
            self.run()
        self.stats.packets_received, self.stats.packets_sent = core.stats.packets_received, core.stats.packets_sent
        if core.phase is not Phase.CLOSED:
            self.phase = core.phase
        elif self.phase is not Phase.CLOSED:
            waits = self._closing is not None or any(link.state not in OVER for link in self.links.values())
            self.phase = Phase.CLOSING if waits else Phase.CLOSED
            self.ending = None if waits else core.ending

    def _follow(self, link: StreamLink) -> None:
        over = self._core.phase is Phase.CLOSED
        if over or link.finishing:  # nothing is pulled any more, and a blocked link may still be reset
            while link.state in OPEN and (transmit := self._core.next_transmit()) is not None:
                self._forward(link, transmit)
        if over and link.state in (LinkState.OPENING, *OPEN):
            link.close()
        elif link.state in OPEN:
            (link.resume if self._core.wants_data else link.pause)()

    def _forward(self, link: StreamLink, transmit: Transmit) -> None:
        if isinstance(transmit, SendBytes):
            link.write(transmit.data)
        elif isinstance(transmit, CloseWrite):
            link.finish()
        elif isinstance(transmit, CloseTransport):
            link.close()
        else:  # AbortTransport: a stream session has nothing else to say
            link.abort()
        self.run()
