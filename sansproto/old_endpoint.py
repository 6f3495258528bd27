"""The base of every endpoint: queues, flow control, stalls, and the ends of its links, once for all protocols.

``docs/protocols/links.rst`` describes the behaviour. A protocol derives from :class:`EndpointBase`, writes with
``_write``, ends links with ``_close_link`` and ``_abort_link``, and gets the ``_link_*`` calls.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from math import inf, nextafter
from typing import Annotated, Any, TypeVar

from .component import Part
from .contract import (
    AbortTransport,
    Address,
    CloseTransport,
    CloseWrite,
    Endpoint,
    Entropy,
    Link,
    Lookup,
    OpenStream,
    Path,
    PauseAccepting,
    PauseReading,
    Phase,
    Rebind,
    ResumeAccepting,
    ResumeReading,
    SendBytes,
    SendDatagram,
    Transmit,
)
from .errors import Fault, WireError
from .events import CloseCause, Closed
from .old_links import LINK, OFFERING, OPEN, OVER, TAKING, LinkInput, LinkLimits, LinkState, Pipe
from .old_machine import Machine
from .old_session import ABORTED, SessionBase
from .snapshot import CACHED
from .trace import Trace

E = TypeVar("E")

_ONE_WRITE = 65536  # bytes of small packets that go out together
_ONE_MEAL = 65536  # bytes of links that waited, looked at in one call, or one inbox if that is larger
_SMALLEST_BITE = 256  # a link counts as so many bytes at least


class EndpointBase(SessionBase[E], Endpoint[E], abstract=True):
    """The stream half of the Endpoint contract, and refusals for the datagram half that a protocol may override."""

    _pipes: dict[Link, Pipe]
    _offers: deque[Link]
    _outbox: deque[Lookup | OpenStream | SendDatagram | Rebind | PauseAccepting | ResumeAccepting]
    _last_link: int
    _starved: OrderedDict[Link, None]  # unread: events wait for the application, or one call was not enough
    _flooding: OrderedDict[Link, None]  # to be paused before others get their output: meanwhile they are read
    _full: dict[str, None]  # listeners that were asked to pause
    _farewell: Closed | None
    _link_limits: Annotated[LinkLimits, CACHED]
    _error: Annotated[WireError | None, CACHED]  # what is wrong with the input at hand

    _link = Machine(LINK, objects="_pipes")

    def __init__(self, *, entropy: Entropy | None, delays: object, limits: LinkLimits, trace: Trace | None) -> None:
        super().__init__(entropy=entropy, delays=delays, trace=trace)
        self._pipes = {}
        self._offers = deque()
        self._outbox = deque()
        self._last_link = 0
        self._starved = OrderedDict()
        self._flooding = OrderedDict()
        self._full = {}
        self._farewell = None
        self._link_limits = limits
        self._error = None

    # -- reports of the transport

    def stream_accepted(self, listener: str, peer: Address, now: float) -> Link:
        pipe = self._new_pipe(listener, peer)
        if not self._alive(now) or self._farewell is not None or len(self._pipes) > self._link_limits.links:
            self._abort_link(pipe)
        else:
            self._post(self._link, pipe, LinkInput.ACCEPTED)
        if len(self._pipes) >= self._link_limits.links and listener not in self._full:
            self._full[listener] = None
            self._outbox.append(PauseAccepting(listener))
        self._settle()
        return pipe.key

    def stream_opened(self, link: Link, now: float) -> None:
        self._report(link, LinkInput.OPENED, now)

    def stream_blocked(self, link: Link, now: float) -> None:
        self._report(link, LinkInput.BLOCKED, now)

    def stream_unblocked(self, link: Link, now: float) -> None:
        self._report(link, LinkInput.UNBLOCKED, now)

    def stream_lost(self, link: Link, now: float, *, detail: str = "") -> None:
        if link in self._starved:  # what came before the loss still counts, whatever waits for the application
            self._advance(now)
            del self._starved[link]
            self._consume(self._pipes[link], last=True)
        self._report(link, LinkInput.LOST, now, detail)

    def receive_data(self, link: Link, data: bytes, now: float) -> None:
        pipe = self._readable(link, now)
        if pipe is None:
            return
        self.stats.bytes_received += len(data)
        pipe.inbox = pipe.inbox + data if pipe.inbox else data
        if link not in self._starved:
            self._consume(pipe)

    def receive_eof(self, link: Link, now: float) -> None:
        pipe = self._readable(link, now)
        if pipe is None or pipe.eof:
            return
        pipe.eof = True
        if link not in self._starved:
            self._consume(pipe)

    def transport_lost(self, now: float, *, detail: str = "") -> None:
        if self._alive(now):
            self._lose_all(now, detail)
            self._end(self._farewell or Closed(CloseCause.LOST, detail=detail))

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        self.where = path
        if self._alive(now):
            self._drop("unexpected datagram")
        self.where = None

    def datagram_failed(self, path: Path, now: float, *, detail: str = "") -> None:
        self.where = path
        if self._alive(now):
            self._drop("unexpected report")
        self.where = None

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        if self._alive(now):
            self._drop("unexpected report")

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        if self._alive(now):
            self._drop("unexpected report")

    # -- output

    def next_event(self) -> E | None:
        if not self._events:
            return None
        event = self._events.popleft()
        if self._can_feed():
            self._feed_starved()
        return event

    def next_timeout(self) -> float | None:
        return nextafter(self._clock, inf) if self._can_feed() else super().next_timeout()

    def handle_timeout(self, now: float) -> None:
        before = self._clock
        super().handle_timeout(now)
        if self._clock > before and self._can_feed():  # more waited than one call can take
            self._feed_starved()

    def next_transmit(self) -> Transmit | None:
        if self._outbox:
            return self._outbox.popleft()
        while self._flooding:
            link, _ = self._flooding.popitem(last=False)
            flooding = self._pipes[link]
            if flooding.paused and not flooding.pause_given and flooding.state in OPEN:
                flooding.pause_given = True
                return PauseReading(link)
        offers = self._offers
        while offers:
            pipe = self._pipes.get(offers.popleft())
            if pipe is None:
                continue
            pipe.offered = False
            transmit = self._next_of(pipe)
            if transmit is not None:
                self._offer(pipe)
                return transmit
        return None

    def abort(self) -> None:
        if self.phase is Phase.CLOSED:
            return
        for pipe in tuple(self._pipes.values()):
            self._abort_link(pipe)
        self._settle()
        self._end(ABORTED)

    def drop(self, reason: str, part: Part[Any] | None = None, guard: str = "", error: WireError | None = None) -> None:
        super().drop(reason, part, guard, error or self._error)

    # -- for protocols

    def ask_transport(self, what: Lookup | Rebind) -> None:
        """Have a name looked up, or a socket bound anew."""
        self._outbox.append(what)

    def _link_accepted(self, pipe: Pipe) -> None:
        """A listener took a connection. An endpoint that does not listen refuses it."""
        self._abort_link(pipe)

    def _link_opened(self, pipe: Pipe) -> None:
        """A connection that this end asked for is there."""

    def _link_decode(self, pipe: Pipe, data: bytes, offset: int) -> tuple[object, int]:
        """The packet at ``offset`` and where the next begins; WireError (TRUNCATED: wait for more bytes)."""
        raise WireError(Fault.UNSUPPORTED)

    def _link_packet(self, pipe: Pipe, packet: object) -> None:
        """A packet arrived."""

    def _link_broken(self, pipe: Pipe, error: WireError) -> None:
        """What arrived is no packet. What follows it on the link is not looked at."""

    def _link_eof(self, pipe: Pipe) -> None:
        """The other end finished; ``pipe.inbox`` holds the beginning of a packet that never ended, if anything."""

    def _link_over(self, pipe: Pipe, cause: CloseCause, detail: str) -> None:
        """The link ended without this end's doing: told once, while what is known about it is still there."""

    def _link_gone(self, pipe: Pipe) -> None:
        """The transport confirmed the end, whoever wanted it; nothing of the link may be kept."""

    def _link_pull(self, pipe: Pipe, mark: int | None) -> bytes | None:
        """More output for a link that has come to this mark in its queue; None: there is no more.

        Without a mark: for a link whose queue is empty, also for one that closes after it.
        """
        return None

    def _open_link(self, address: Address) -> Pipe:
        """Ask for a connection."""
        pipe = self._new_pipe("", address)
        self._outbox.append(OpenStream(pipe.key, address))
        self._post(self._link, pipe, LinkInput.ASK)
        return pipe

    def _write(self, pipe: Pipe, data: bytes) -> None:
        """Queue bytes; a link that then holds more than its bound is cut, for it is the slow one that pays.

        A link that is closing, or has said its last word, takes nothing more.
        """
        if self._queue(pipe, data) and pipe.queued > self._link_limits.link_queue:
            self._post(self._link, pipe, LinkInput.OVERFLOWED)

    def _pour(self, source: Pipe, target: Pipe, data: bytes) -> None:
        """Pass on what one link received to another, which pauses the source when it cannot keep up."""
        if self._queue(target, data) and target.queued > self._link_limits.link_queue // 2 and not source.paused:
            target.feeders[source.key] = None
            self._pause(source)

    def _queue(self, pipe: Pipe, data: bytes) -> bool:
        """Queue bytes if the link takes any, whatever its bound: what is poured, and the last words behind it.

        How much was poured depends on the size of reads. Its reader is not the slow one for what the source said last.
        """
        if pipe.state not in TAKING or pipe.finish or not data:
            return False
        pipe.out.append(data)
        pipe.queued += len(data)
        self._offer(pipe)
        return True

    def _finish_link(self, pipe: Pipe) -> None:
        """Half-close once what is queued is out."""
        pipe.finish = True
        self._offer(pipe)

    def _close_link(self, pipe: Pipe) -> None:
        """Close once what is queued is out, or after the linger time."""
        if pipe.state in TAKING:
            self._post(self._link, pipe, LinkInput.CLOSE)

    def _abort_link(self, pipe: Pipe) -> None:
        if pipe.state not in OVER:
            self._post(self._link, pipe, LinkInput.ABORT)

    def _pause(self, pipe: Pipe) -> None:
        """Read no more from a link; what is not resumed within ``stalled`` is cut."""
        pipe.held = True
        self._gate(pipe)

    def _deafen(self, pipe: Pipe) -> None:
        """Never look at what a link sends again: it is not even read, until it ends."""
        pipe.eof = pipe.eof_told = True
        self._pause(pipe)

    def _resume(self, pipe: Pipe) -> None:
        pipe.held = False
        self._gate(pipe)

    def _gate(self, pipe: Pipe) -> None:
        wanted = pipe.held or pipe.key in self._starved
        if wanted != pipe.paused:
            pipe.paused = wanted
            if pipe.state in OPEN:  # nobody reads one that closes
                if wanted:
                    self._flooding[pipe.key] = None
                self._post(self._link, pipe, LinkInput.PAUSED if wanted else LinkInput.RESUMED)

    def _is_congested(self) -> bool:
        """Do so many events wait that links are not read?"""
        return len(self._events) >= self._link_limits.events

    def _starve(self, pipe: Pipe) -> None:
        """Leave the inbox of a link until a later call, or until the application has popped events."""
        self._starved[pipe.key] = None
        self._gate(pipe)

    def _offer(self, pipe: Pipe) -> None:
        """There may be something to transmit for this link."""
        if not pipe.offered and pipe.state in OFFERING:
            pipe.offered = True
            self._offers.append(pipe.key)

    def _part(self, closed: Closed) -> None:
        """End the session once every link is closed: the first reason given stays."""
        if self._farewell is None and self.phase is not Phase.CLOSED:
            self._farewell = closed
            self.phase = Phase.CLOSING
            self._parting()
            for pipe in self._pipes.values():
                self._close_link(pipe)
            if not self._pipes:
                self._end(closed)

    def _parting(self) -> None:
        """The session says farewell: end what is under way."""

    # -- the link table's actions

    def _link_tell_accepted(self, pipe: Pipe, _: object) -> None:
        self._link_accepted(pipe)

    def _link_tell_opened(self, pipe: Pipe, _: object) -> None:
        self._link_opened(pipe)

    def _link_tell_unreachable(self, pipe: Pipe, detail: object) -> None:
        text = detail if isinstance(detail, str) else "no connection in time"  # a timer brings its own name
        self._link_over(pipe, CloseCause.UNREACHABLE, text)

    def _link_tell_stalled(self, pipe: Pipe, _: object) -> None:
        self._link_over(pipe, CloseCause.TIMEOUT, "nothing moved for too long")

    def _link_tell_overflowed(self, pipe: Pipe, _: object) -> None:
        self._link_over(pipe, CloseCause.LIMIT, "it reads more slowly than is sent to it")

    def _link_tell_lost(self, pipe: Pipe, detail: object) -> None:
        self._link_over(pipe, CloseCause.LOST, str(detail))

    def _link_drop_output(self, pipe: Pipe, _: object) -> None:
        pipe.out.clear()
        pipe.queued = 0
        pipe.inbox = b""
        self._starved.pop(pipe.key, None)
        self._let_feed(pipe)
        self._offer(pipe)

    def _link_offer(self, pipe: Pipe, _: object) -> None:
        self._offer(pipe)

    def _link_forget(self, pipe: Pipe, _: object) -> None:
        del self._pipes[pipe.key]
        self._starved.pop(pipe.key, None)
        self._flooding.pop(pipe.key, None)
        self._let_feed(pipe)
        self._link_gone(pipe)
        if self._full and len(self._pipes) < self._link_limits.links:
            self._outbox.extend(ResumeAccepting(listener) for listener in self._full)
            self._full.clear()
        if self._farewell is not None and not self._pipes:
            self._end(self._farewell)

    # -- inside

    def _lose_all(self, now: float, detail: str) -> None:
        """Every link is over; what the protocol asks for in answer is asked in vain."""
        for link in tuple(self._pipes):
            self.stream_lost(link, now, detail=detail)
        for queue in (self._pipes, self._offers, self._outbox, self._starved, self._flooding):
            queue.clear()

    def _new_pipe(self, listener: str, peer: Address) -> Pipe:
        self._last_link += 1
        link = Link(self._last_link)
        pipe = self._pipes[link] = Pipe(link, listener, peer)
        return pipe

    def _report(self, link: Link, on: LinkInput, now: float, arg: object = None) -> None:
        self.where = link
        self._advance(now)
        pipe = self._pipes.get(link)
        if pipe is None:
            self._drop("unknown link")
        else:
            self._post(self._link, pipe, on, arg)
            self._settle()
        self.where = None

    def _readable(self, link: Link, now: float) -> Pipe | None:
        """The link if what it sends still matters; counted otherwise."""
        self.where = link
        pipe = self._pipes.get(link) if self._alive(now) else None
        if self.phase is not Phase.CLOSED and (pipe is None or pipe.state not in OPEN or pipe.eof):
            self._drop("late data")
            pipe = None
        self.where = None
        return pipe

    def _consume(self, pipe: Pipe, *, most: int | None = None, last: bool = False) -> int:
        """Hand over packets that a link's inbox holds, at most ``link_packets``, then its end; how many there were.

        What is left, or has to wait until the application reads, is for a later call. But the ``last`` words of a link
        are not kept back: nobody could ask for them later.
        """
        self.where = pipe.key
        data, offset, count = pipe.inbox, 0, 0
        most = self._link_limits.link_packets if most is None else most
        while offset < len(data) and pipe.state in OPEN and not pipe.eof_told:
            if not last and (count >= most or self._is_congested()):
                self._starve(pipe)
                break
            try:
                packet, end = self._link_decode(pipe, data, offset)
            except WireError as error:
                if error.fault is not Fault.TRUNCATED:
                    offset = len(data)
                    pipe.eof = pipe.eof_told = True
                    self._error = error
                    self._link_broken(pipe, error)
                break
            self._note_received(pipe.key, packet, end - offset)
            offset, count = end, count + 1
            self._link_packet(pipe, packet)
            self._settle()
        pipe.inbox = data[offset:] if pipe.state in OPEN and not pipe.eof_told else b""
        if pipe.eof and not pipe.eof_told and pipe.key not in self._starved and pipe.state in OPEN:
            pipe.eof_told = True
            self._link_eof(pipe)
        self._settle()
        self.where = self._error = None
        return count

    def _can_feed(self) -> bool:
        """Do links wait, and not for the application to pop events?"""
        return bool(self._starved) and len(self._events) <= self._link_limits.events // 2

    def _feed_starved(self) -> None:
        """Links that waited go on, in the order in which they stopped: all of them together with one call's work."""
        eaten, left = 0, self._link_limits.link_packets
        while self._starved and not self._is_congested() and eaten < _ONE_MEAL and left > 0:
            link, _ = self._starved.popitem(last=False)
            pipe = self._pipes[link]
            eaten += max(len(pipe.inbox), _SMALLEST_BITE)
            left -= self._consume(pipe, most=left)
            self._gate(pipe)
            self._settle()

    def _next_of(self, pipe: Pipe) -> Transmit | None:
        """What to give out next for a link: nothing but an abort if it is not yet open.

        If it is blocked, an abort or what concerns reading: else the inbox of a link that is blocked could only grow.
        """
        link, state = pipe.key, pipe.state
        if state is LinkState.ABORTING:
            given, pipe.abort_given = pipe.abort_given, True
            return None if given else AbortTransport(link)
        if pipe.paused != pipe.pause_given and state in OPEN:
            pipe.pause_given = pipe.paused
            return PauseReading(link) if pipe.paused else ResumeReading(link)
        if state is not LinkState.OPEN and state is not LinkState.DRAINING:
            return None
        data = self._take_output(pipe)
        if data is not None:
            self.stats.bytes_sent += len(data)
            return SendBytes(link, data)
        if state is LinkState.DRAINING:
            given, pipe.close_given = pipe.close_given, True
            return None if given else CloseTransport(link)
        if pipe.finish and not pipe.finish_given:
            pipe.finish_given = True
            return CloseWrite(link)
        return None

    def _take_output(self, pipe: Pipe) -> bytes | None:
        out = pipe.out
        while out and out[0].__class__ is int:
            pulled = self._link_pull(pipe, out[0])
            if pulled is not None:
                return pulled
            out.pop(0)
        if not out:
            return None if pipe.finish else self._link_pull(pipe, None)
        data = out.pop(0)
        assert isinstance(data, bytes)  # marks were taken away above
        if out and len(data) < _ONE_WRITE:  # many small packets: one write
            data = self._join_output(data, out)
        bound = self._link_limits.link_queue // 2
        was_over = pipe.queued > bound
        pipe.queued -= len(data)
        if was_over and pipe.queued <= bound:
            self._let_feed(pipe)
            self._settle()
        return data

    def _let_feed(self, pipe: Pipe) -> None:
        """The links that were paused because this one could not keep up may be read again."""
        for link in pipe.feeders:
            if link in self._pipes:
                self._resume(self._pipes[link])
        pipe.feeders.clear()

    @staticmethod
    def _join_output(data: bytes, out: list[bytes | int]) -> bytes:
        """More of the same queue behind ``data``, up to the next mark and to about the size of one write."""
        parts, size = [data], len(data)
        for part in out:
            if isinstance(part, int) or size >= _ONE_WRITE:
                break
            parts.append(part)
            size += len(part)
        del out[: len(parts) - 1]
        return b"".join(parts)
