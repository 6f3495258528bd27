"""The base of what uses stream links: queues, flow control, stalls, and the ends of links, once for all protocols.

docs/protocols/links.rst describes the behaviour. A role derives from :class:`StreamEndpoint`, writes to its links, and
gets the ``link_*`` calls.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from math import inf, nextafter
from typing import Annotated, Final, TypeVar

from .component import Parts
from .contract import Address, Entropy, Link, OpenStream, PauseAccepting, PauseReading, Phase, ResumeAccepting, Transmit
from .endpoint import D, DatagramEndpoint, DatagramLimits
from .errors import Fault, WireError
from .events import CloseCause, Closed
from .links import OFFERING, OPEN, LinkDelays, LinkInput, LinkLimits, LinkState, Mark, StreamLink
from .machine import Happened
from .session import ABORTED
from .snapshot import CACHED
from .trace import PacketSeen, Trace

E = TypeVar("E")

_BATCH: Final = 65536  # bytes of links that waited, looked at in one call, or one inbox if that is larger
_LEAST_COST: Final = 256  # a link counts as so many bytes at least


class StreamEndpoint(DatagramEndpoint[E, D]):
    """An endpoint with stream links; with limits for them, it speaks datagrams too."""

    links: Parts[Link, StreamLink]
    _offers: deque[Link]
    _waiting: OrderedDict[Link, None]
    """Unread links: events wait for the application, or one call was not enough, or they were halted before."""
    _stopping: OrderedDict[Link, None]
    """Links to be paused before others get their output: meanwhile they are read."""
    _full: dict[str, None]
    """Listeners that were asked to pause."""
    _closing: Closed | None
    """Why the session ends once its links are closed."""
    link_limits: Annotated[LinkLimits, CACHED]
    link_delays: Annotated[LinkDelays, CACHED]

    def __init__(
        self,
        *,
        entropy: Entropy | None,
        delays: LinkDelays,
        limits: LinkLimits,
        datagrams: DatagramLimits | None = None,
        wall_epoch: float = 0.0,
        trace: Trace | None,
    ) -> None:
        super().__init__(entropy=entropy, limits=datagrams, wall_epoch=wall_epoch, trace=trace)
        self.link_delays, self.link_limits = delays, limits
        self.links = Parts(lambda key: StreamLink(self, key))
        self._offers, self._waiting, self._stopping = deque(), OrderedDict(), OrderedDict()
        self._full = {}
        self._closing = None

    # -- for roles

    def link_accepted(self, link: StreamLink) -> None:
        """A listener took a connection. An endpoint that does not listen refuses it."""
        link.abort()

    def link_opened(self, link: StreamLink) -> None:
        """A connection that this end asked for is there."""

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        """The packet at ``offset`` and where the next begins; WireError (TRUNCATED: wait for more bytes)."""
        raise WireError(Fault.UNSUPPORTED)

    def link_packet(self, link: StreamLink, packet: object) -> None:
        """A packet arrived."""

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        """What arrived is no packet. What follows it on the link is not looked at."""

    def link_eof(self, link: StreamLink) -> None:
        """The other end finished; ``link.inbox`` holds the beginning of a packet that never ended, if anything."""

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        """The link ended without this end's doing: told once, while what is known about it is still there."""

    def link_gone(self, link: StreamLink) -> None:
        """The transport confirmed the end, whoever wanted it; nothing of the link may be kept."""

    def link_pull(self, link: StreamLink, mark: Mark | None) -> bytes | None:
        """More output for a link that has come to this mark in its queue; None: there is no more.

        Without a mark: for a link whose queue is empty, also for one that closes after it.
        """
        return None

    def open_link(self, address: Address) -> StreamLink:
        """Ask for a connection."""
        link = self._new_link("", address)
        self._outbox.append(OpenStream(link.key, address))
        link.post(LinkInput.ASK())
        return link

    def close_gracefully(self, closed: Closed) -> None:
        """End the session once every link is closed: the first reason given stays."""
        if self._closing is None and self.phase is not Phase.CLOSED:
            self._closing = closed
            self.phase = Phase.CLOSING
            self.closing()
            told = {part for part, happened in self._inputs if happened.on is LinkInput.CLOSE}
            for link in self.links.values():
                if link not in told:
                    link.close()
            if not self.links:
                self.end(closed)

    def closing(self) -> None:
        """The session says goodbye: end what is under way."""

    # -- reports of the transport

    def stream_accepted(self, listener: str, peer: Address, now: float) -> Link:
        link = self._new_link(listener, peer)
        if not self.alive(now) or self._closing is not None or len(self.links) > self.link_limits.links:
            LinkInput.ABORT().act(link)  # at once: nothing is queued when the session is over
        else:
            link.post(LinkInput.ACCEPTED())
        if len(self.links) >= self.link_limits.links and listener not in self._full:
            self._full[listener] = None
            self._outbox.append(PauseAccepting(listener))
        self.run()
        return link.key

    def stream_opened(self, link: Link, now: float) -> None:
        self._report(link, LinkInput.OPENED(), now)

    def stream_blocked(self, link: Link, now: float) -> None:
        self._report(link, LinkInput.BLOCKED(), now)

    def stream_unblocked(self, link: Link, now: float) -> None:
        self._report(link, LinkInput.UNBLOCKED(), now)

    def stream_lost(self, link: Link, now: float, *, detail: str = "") -> None:
        if link in self._waiting:  # what came before the loss still counts, whatever waits for the application
            self.advance(now)
            del self._waiting[link]
            self._consume(self.links[link], last=True)
        self._report(link, LinkInput.LOST(detail), now)

    def receive_data(self, link: Link, data: bytes, now: float) -> None:
        readable = self._readable(link, now)
        if readable is None:
            return
        self.stats.bytes_received += len(data)
        readable.inbox = readable.inbox + data if readable.inbox else data
        if link not in self._waiting:
            self._consume(readable)

    def receive_eof(self, link: Link, now: float) -> None:
        readable = self._readable(link, now)
        if readable is None or readable.eof:
            return
        readable.eof = True
        if link not in self._waiting:
            self._consume(readable)

    def transport_lost(self, now: float, *, detail: str = "") -> None:
        if self.alive(now):
            self.lose_links(now, detail)
            self.end(self._closing or Closed(CloseCause.LOST, detail=detail))

    # -- output

    def next_event(self) -> E | None:
        if not self._events:
            return None
        event = self._events.popleft()
        if self._waiting and self._can_go_on():
            self._go_on()
        return event

    def next_timeout(self) -> float | None:
        return nextafter(self.clock, inf) if self._waiting and self._can_go_on() else super().next_timeout()

    def handle_timeout(self, now: float) -> None:
        before = self.clock
        super().handle_timeout(now)
        if self._waiting and self.clock > before and self._can_go_on():  # more waited than one call can take
            self._go_on()

    def next_transmit(self) -> Transmit | None:
        if self._outbox:
            return self._outbox.popleft()
        while self._stopping:
            key, _ = self._stopping.popitem(last=False)
            link = self.links[key]
            if link.paused and not link.pause_given and link.state in OPEN:
                link.pause_given = True
                return PauseReading(key)
        while self._offers:
            offered = self.links.get(self._offers.popleft())
            if offered is not None:
                offered.offered = False
                transmit = self.next_of(offered)
                if transmit is not None:
                    self.offer(offered)
                    return transmit
        return None

    def next_of(self, link: StreamLink) -> Transmit | None:
        """What a link gives out next."""
        transmit = link.next_transmit()
        if self._inputs:
            self.run()
        return transmit

    def abort(self) -> None:
        if self.phase is Phase.CLOSED:
            return
        for link in tuple(self.links.values()):
            link.abort()
        self.run()
        self.end(ABORTED)

    # -- what links ask

    def offer(self, link: StreamLink) -> None:
        """There may be something to transmit for this link."""
        if not link.offered and link.state in OFFERING:
            link.offered = True
            self._offers.append(link.key)

    def stop_reading(self, link: StreamLink) -> None:
        self._stopping[link.key] = None

    def is_waiting(self, link: StreamLink) -> bool:
        return link.key in self._waiting

    def wait_for_turn(self, link: StreamLink) -> None:
        self._waiting[link.key] = None

    def wait_no_longer(self, link: StreamLink) -> None:
        self._waiting.pop(link.key, None)

    def release_feeders(self, link: StreamLink) -> None:
        """The links that were paused because this one could not keep up may be read again."""
        for key in link.feeders:
            if key in self.links:
                self.links[key].resume()
        link.feeders.clear()

    def forget_link(self, link: StreamLink) -> None:
        self.links.remove(link.key)
        self._waiting.pop(link.key, None)
        self._stopping.pop(link.key, None)
        self.release_feeders(link)
        self.link_gone(link)
        if self._full and len(self.links) < self.link_limits.links:
            self._outbox.extend(ResumeAccepting(listener) for listener in self._full)
            self._full.clear()
        if self._closing is not None and not self.links:
            self.end(self._closing)

    def lose_links(self, now: float, detail: str) -> None:
        """Every link is over; what the protocol asks for in answer is asked in vain."""
        for key in tuple(self.links):
            self.stream_lost(key, now, detail=detail)
        self.links.remove_all()
        for queue in (self._offers, self._outbox, self._waiting, self._stopping):
            queue.clear()

    # -- inside

    def _new_link(self, listener: str, peer: Address) -> StreamLink:
        self._last_link += 1
        return self.links.add(Link(self._last_link), StreamLink.begin, listener, peer)

    def _report(self, key: Link, happened: Happened[LinkState], now: float) -> None:
        link = self.links.get(key)
        if link is None:
            self._unknown_link(key, now)
        else:
            self.advance(now)
            self.where = key
            happened.act(link)  # also when the session is over, after which nothing is queued
            self.run()
            self.where = None

    def _readable(self, key: Link, now: float) -> StreamLink | None:
        """The link if what it sends still matters; counted otherwise."""
        if not self.alive(now, key):
            return None
        link = self.links.get(key)
        if link is None or link.state not in OPEN or link.eof:
            self.drop("late data", where=key)
            return None
        return link

    def _is_congested(self) -> bool:
        """Do so many events wait that links are not read?"""
        return len(self._events) >= self.link_limits.events

    def _consume(self, link: StreamLink, *, most: int | None = None, last: bool = False) -> int:
        """Hand over packets that a link's inbox holds, at most ``link_packets``, then its end; how many there were.

        What is left, or has to wait until the application reads, is for a later call. But the ``last`` words of a link
        are not kept back, unless it is halted: nobody could ask for them later.
        """
        self.where = link.key
        data, offset, count = link.inbox, 0, 0
        link.inbox = b""
        most = self.link_limits.link_packets if most is None else most
        while offset < len(data) and link.state in OPEN and not link.eof_told and not link.halted:
            if not last and (count >= most or self._is_congested()):
                self._waiting[link.key] = None
                link.gate()
                break
            try:
                packet, end = self.link_decode(link, data, offset)
            except WireError as error:
                if error.fault is not Fault.TRUNCATED:
                    offset = len(data)
                    link.eof = link.eof_told = True
                    self.link_broken(link, error)
                break
            self.stats.packets_received += 1
            if self.trace is not None:
                self.trace(PacketSeen(self.clock, False, link.key, self.name_of(packet), end - offset))
            offset, count = end, count + 1
            self.link_packet(link, packet)
            if self._inputs:
                self.run()
        link.inbox = data[offset:] if link.state in OPEN and not link.eof_told else b""
        is_read = link.key not in self._waiting and not link.halted
        if link.eof and not link.eof_told and is_read and link.state in OPEN:
            link.eof_told = True
            self.link_eof(link)
        if self._inputs:
            self.run()
        self.where = None
        return count

    def _can_go_on(self) -> bool:
        """Do links that wait not wait for the application to pop events?"""
        return len(self._events) <= self.link_limits.events // 2

    def _go_on(self) -> None:
        """Links that waited go on, in the order in which they stopped: all of them together with one call's work."""
        cost, left = 0, self.link_limits.link_packets
        while self._waiting and not self._is_congested() and cost < _BATCH and left > 0:
            key, _ = self._waiting.popitem(last=False)
            link = self.links[key]
            cost += max(len(link.inbox), _LEAST_COST)
            left -= self._consume(link, most=left)
            link.gate()
            self.run()
