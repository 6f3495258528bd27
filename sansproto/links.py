"""A stream link: what waits on it in each direction, and how it opens, stalls and ends. docs/protocols/links.rst.

:class:`~sansproto.streams.StreamEndpoint` owns the links of an endpoint; a protocol writes to them.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, Protocol, TypeAlias

import attrs

from .component import Component, Host
from .contract import (
    AbortTransport,
    Address,
    CloseTransport,
    CloseWrite,
    Link,
    PauseReading,
    ResumeReading,
    SendBytes,
    Stats,
    Transmit,
)
from .events import CloseCause
from .limits import seconds, some
from .machine import Default, Input, Outcome, Row, Table, Timer
from .snapshot import CACHED

_ONE_WRITE: Final = 65536  # bytes of small packets that go out together
_NOWHERE: Final = Address("", 0)


@attrs.frozen(kw_only=True)
class LinkDelays:
    """The times of any link: docs/protocols/links.rst."""

    connect: float = seconds(20.0)
    """From asking for a connection until it is there."""
    stalled: float = seconds(300.0)
    """How long the transport may take nothing before the link is aborted."""
    unread: float = seconds(300.0)
    """How long we may leave a link unread: longer than anybody thinks about a question."""
    linger: float = seconds(30.0)
    """From our close to the end of the connection."""


@attrs.frozen(kw_only=True)
class LinkLimits:
    """The bounds of any link: docs/protocols/links.rst."""

    links: int = some(2)
    """Streams at once."""
    link_queue: int = some(1 << 18)
    """Bytes of output that wait for one link: over it the link ends."""
    link_packets: int = some(64)
    """Packets of one link that one call decodes: the rest waits for the next one."""
    events: int = some(1024)
    """Events that are not yet popped: over it nothing is read."""


class LinkState(Enum):
    NEW = 0
    OPENING = 1
    """OpenStream is on its way."""
    OPEN = 2
    BLOCKED = 3
    """The transport takes no more bytes."""
    DRAINING = 4
    """It closes once what is queued is written."""
    DRAINING_BLOCKED = 5
    ABORTING = 6
    """Reset, waiting for the transport to confirm."""
    GONE = 7


class LinkInput:
    ASK = Input[LinkState, None]()
    ACCEPTED = Input[LinkState, None]()
    OPENED = Input[LinkState, None]()
    BLOCKED = Input[LinkState, None]()
    UNBLOCKED = Input[LinkState, None]()
    PAUSED = Input[LinkState, None]()
    """This end stopped reading."""
    RESUMED = Input[LinkState, None]()
    CLOSE = Input[LinkState, None]()
    ABORT = Input[LinkState, None]()
    OVERFLOWED = Input[LinkState, None]()
    """More was queued than a link may hold."""
    CONNECT_EXPIRED = Input[LinkState, None]()
    STALL_EXPIRED = Input[LinkState, None]()
    LINGER_EXPIRED = Input[LinkState, None]()
    LOST = Input[LinkState, str]()
    """The transport says so, with a detail for people."""


class LinkTimer:
    CONNECT = Timer(LinkInput.CONNECT_EXPIRED, LinkDelays.connect)
    STALLED = Timer(LinkInput.STALL_EXPIRED, LinkDelays.stalled)
    """The transport takes nothing."""
    UNREAD = Timer(LinkInput.STALL_EXPIRED, LinkDelays.unread)
    """This end reads nothing."""
    LINGER = Timer(LinkInput.LINGER_EXPIRED, LinkDelays.linger)


_S, _I, _T = LinkState, LinkInput, LinkTimer

OPEN: Final = (_S.OPEN, _S.BLOCKED)
"""The link carries bytes both ways."""

_LIVE: Final = (_S.OPENING, *OPEN)
_DRAINING: Final = (_S.DRAINING, _S.DRAINING_BLOCKED)

TAKING: Final = (_S.NEW, *_LIVE)
"""What is written is queued."""

OVER: Final = (_S.ABORTING, _S.GONE)

OFFERING: Final = (*OPEN, _S.DRAINING, _S.ABORTING)
"""There may be something for the transport."""


@attrs.frozen
class Pull:
    """A mark in the output of a link: here stands what the protocol pulls from elsewhere, up to this number."""

    up_to: int


@attrs.frozen
class PullAnew:
    """A mark in the output of a link: from here on what is pulled begins anew, after this number."""

    since: int


Mark: TypeAlias = Pull | PullAnew


class LinkHost(Host[Any], Protocol):
    """What a link asks of its endpoint."""

    stats: Stats
    link_delays: LinkDelays
    link_limits: LinkLimits

    def offer(self, link: StreamLink) -> None: ...
    def stop_reading(self, link: StreamLink) -> None: ...
    def is_waiting(self, link: StreamLink) -> bool: ...
    def wait_for_turn(self, link: StreamLink) -> None: ...
    def wait_no_longer(self, link: StreamLink) -> None: ...
    def release_feeders(self, link: StreamLink) -> None: ...
    def forget_link(self, link: StreamLink) -> None: ...
    def link_accepted(self, link: StreamLink) -> None: ...
    def link_opened(self, link: StreamLink) -> None: ...
    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None: ...
    def link_pull(self, link: StreamLink, mark: Mark | None) -> bytes | None: ...


class StreamLink(Component[LinkState, LinkHost]):
    """One stream link: what waits in each direction. Slotted: a relay has tens of thousands of them."""

    listener: str
    """The label it was accepted on; empty: opened by this end."""
    peer: Address
    out: list[bytes | Pull | PullAnew]
    """Output, in order. A list, since an empty deque needs ten times as much memory."""
    queued: int
    """Bytes in ``out``."""
    inbox: bytes
    """Received, not yet decoded."""
    eof: bool
    """The other end has finished; the protocol learns it after the inbox."""
    eof_told: bool
    finishing: bool
    """CloseWrite is wanted, then given."""
    finish_given: bool
    close_given: bool
    abort_given: bool
    held: bool
    """The protocol wants no more bytes."""
    halted: bool
    """Nor does it look at those that are here."""
    paused: bool
    """Nor does anybody: it is held, or waits for the application."""
    pause_given: bool
    feeders: dict[Link, None]
    """Paused links that feed this one."""
    offered: bool
    """It stands in the queue of links with output."""
    key: Annotated[Link, CACHED]
    delays: Annotated[LinkDelays, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: LinkHost, key: Link) -> None:
        super().__init__(host)
        self.key, self.delays = key, host.link_delays
        self.listener, self.peer = "", _NOWHERE
        self.out, self.queued, self.inbox, self.feeders = [], 0, b"", {}
        self.eof = self.eof_told = self.finishing = self.finish_given = self.close_given = self.abort_given = False
        self.held = self.halted = self.paused = self.pause_given = self.offered = False

    def begin(self, listener: str, peer: Address) -> None:
        """Where it comes from, or leads to."""
        self.listener, self.peer = listener, peer

    # -- for protocols

    def write(self, data: bytes) -> None:
        """Queue bytes; a link that then holds more than its bound is cut, for it is the slow one that pays.

        A link that is closing, or has said its last word, takes nothing more.
        """
        if self.queue(data) and self.queued > self.host.link_limits.link_queue:
            self.post(_I.OVERFLOWED())

    def queue(self, data: bytes) -> bool:
        """Queue bytes if the link takes any, whatever its bound: what is relayed, and the last words behind it.

        How much was relayed depends on the size of reads. Its reader is not the slow one for what the source said last.
        """
        if self.state not in TAKING or self.finishing or not data:
            return False
        self.out.append(data)
        self.queued += len(data)
        self.host.offer(self)
        return True

    def mark(self, mark: Mark) -> None:
        """Let what the protocol pulls stand here in the output."""
        self.out.append(mark)

    def relay_to(self, target: StreamLink, data: bytes) -> None:
        """Pass on what this link received to another one, which pauses this one when it cannot keep up."""
        if target.queue(data) and target.queued > self.host.link_limits.link_queue // 2 and not self.paused:
            target.feeders[self.key] = None
            self.pause()

    def finish(self) -> None:
        """Half-close once what is queued is out."""
        self.finishing = True
        self.host.offer(self)

    def close(self) -> None:
        """Close once what is queued is out, or after the linger time."""
        if self.state in TAKING:
            self.post(_I.CLOSE())

    def abort(self) -> None:
        if self.state not in OVER:
            self.post(_I.ABORT())

    def pause(self) -> None:
        """Read no more from it; what is not resumed within ``unread`` is cut."""
        self.held = True
        self.gate()

    def resume(self) -> None:
        self.held = False
        self.gate()

    def halt(self) -> None:
        """Pause, and look at nothing more of what was read already, until :meth:`go_on`."""
        self.halted = True
        self.pause()

    def go_on(self) -> None:
        """Look at what was read first, when it is the link's turn; then resume."""
        self.halted = False
        if self.inbox or self.eof:
            self.host.wait_for_turn(self)
        self.resume()

    def deafen(self) -> None:
        """Never look at what it sends again: it is not even read, until it ends."""
        self.eof = self.eof_told = True
        self.pause()

    # -- for the endpoint

    def gate(self) -> None:
        """Pause or resume reading, whichever is wanted now."""
        wanted = self.held or self.host.is_waiting(self)
        if wanted != self.paused:
            self.paused = wanted
            if self.state in OPEN:  # nobody reads one that closes
                if wanted:
                    self.host.stop_reading(self)
                self.post(_I.PAUSED() if wanted else _I.RESUMED())

    def next_transmit(self) -> Transmit | None:
        """What to give out next: nothing but an abort if it is not yet open.

        If it is blocked, an abort or what concerns reading: else the inbox of a link that is blocked could only grow.
        """
        key, state = self.key, self.state
        if state is _S.ABORTING:
            given, self.abort_given = self.abort_given, True
            return None if given else AbortTransport(key)
        if self.paused != self.pause_given and state in OPEN:
            self.pause_given = self.paused
            return PauseReading(key) if self.paused else ResumeReading(key)
        if state is not _S.OPEN and state is not _S.DRAINING:
            return None
        data = self._next_output()
        if data is not None:
            self.host.stats.bytes_sent += len(data)
            return SendBytes(key, data)
        if state is _S.DRAINING:
            given, self.close_given = self.close_given, True
            return None if given else CloseTransport(key)
        if self.finishing and not self.finish_given:
            self.finish_given = True
            return CloseWrite(key)
        return None

    def _next_output(self) -> bytes | None:
        """In the order of the queue; pulled where a mark stands, and behind its end."""
        out = self.out
        while out and not isinstance(out[0], bytes):
            pulled = self.host.link_pull(self, out[0])
            if pulled is not None:
                return pulled
            out.pop(0)
        if out:
            return self._pop_write()
        return None if self.finishing else self.host.link_pull(self, None)

    def _pop_write(self) -> bytes:
        """The first packets of the queue, up to the next mark and to about the size of one write."""
        parts, size = [], 0
        for part in self.out:
            if not isinstance(part, bytes) or size >= _ONE_WRITE:
                break
            parts.append(part)
            size += len(part)
        del self.out[: len(parts)]
        bound = self.host.link_limits.link_queue // 2
        was_over = self.queued > bound
        self.queued -= size
        if was_over and self.queued <= bound:
            self.host.release_feeders(self)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # -- actions

    def tell_accepted(self) -> None:
        self.host.link_accepted(self)

    def tell_opened(self) -> None:
        self.host.link_opened(self)

    def tell_expired(self) -> None:
        self.host.link_over(self, CloseCause.UNREACHABLE, "no connection in time")

    def tell_unreachable(self, detail: str) -> None:
        self.host.link_over(self, CloseCause.UNREACHABLE, detail)

    def tell_stalled(self) -> None:
        self.host.link_over(self, CloseCause.TIMEOUT, "nothing moved for too long")

    def tell_overflowed(self) -> None:
        self.host.link_over(self, CloseCause.LIMIT, "it reads more slowly than is sent to it")

    def tell_lost(self, detail: str) -> None:
        self.host.link_over(self, CloseCause.LOST, detail)

    def drop_output(self) -> None:
        self.out.clear()
        self.queued = 0
        self.inbox = b""
        self.host.wait_no_longer(self)
        self.host.release_feeders(self)
        self.host.offer(self)

    def offer(self) -> None:
        """There may be something to transmit."""
        self.host.offer(self)

    def leave(self) -> None:
        """The transport confirmed the end, whoever wanted it."""
        self.host.forget_link(self)


_L: Final = StreamLink
_ALL: Final = (_T.CONNECT, _T.STALLED, _T.UNREAD, _T.LINGER)

LINK: Final = Table[StreamLink, LinkState](
    StreamLink,
    LinkInput,
    LinkTimer,
    name="links.link",
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={
        _S.NEW: "the call that makes it",
        _S.OPEN: "the protocol's own timers, a verb, or the transport",
        _S.ABORTING: "the transport, which reports stream_lost for every link it was told to reset",
    },
    rows=(
        Row(_S.NEW, _I.ASK, _S.OPENING, arm=(_T.CONNECT,), ref="opening"),
        Row(_S.NEW, _I.ACCEPTED, _S.OPEN, _L.tell_accepted, ref="opening"),
        Row(_S.OPENING, _I.OPENED, _S.OPEN, _L.tell_opened, _L.offer, cancel=(_T.CONNECT,), ref="opening"),
        Row(_S.OPENING, _I.CLOSE, _S.ABORTING, _L.drop_output, cancel=_ALL, ref="opening"),
        Row(_S.OPENING, _I.CONNECT_EXPIRED, _S.ABORTING, _L.drop_output, _L.tell_expired, cancel=_ALL, ref="opening"),
        Row(_S.OPENING, _I.LOST, _S.GONE, _L.tell_unreachable, _L.leave, ref="opening"),
        Row(_S.OPEN, _I.BLOCKED, _S.BLOCKED, arm=(_T.STALLED,), ref="flow control"),
        Row(_S.BLOCKED, _I.UNBLOCKED, _S.OPEN, _L.offer, cancel=(_T.STALLED,), ref="flow control"),
        Row(OPEN, _I.PAUSED, None, _L.offer, arm=(_T.UNREAD,), ref="flow control"),
        Row(OPEN, _I.RESUMED, None, _L.offer, cancel=(_T.UNREAD,), ref="flow control"),
        Row(OPEN, _I.STALL_EXPIRED, _S.ABORTING, _L.drop_output, _L.tell_stalled, cancel=_ALL, ref="stalled links"),
        Row(_LIVE, _I.OVERFLOWED, _S.ABORTING, _L.drop_output, _L.tell_overflowed, cancel=_ALL, ref="slow links"),
        Row(_S.OPEN, _I.CLOSE, _S.DRAINING, _L.offer, arm=(_T.LINGER,), cancel=(_T.UNREAD,), ref="closing"),
        Row(_S.BLOCKED, _I.CLOSE, _S.DRAINING_BLOCKED, arm=(_T.LINGER,), cancel=(_T.STALLED, _T.UNREAD), ref="closing"),
        Row(_S.DRAINING, _I.BLOCKED, _S.DRAINING_BLOCKED, ref="closing"),
        Row(_S.DRAINING_BLOCKED, _I.UNBLOCKED, _S.DRAINING, _L.offer, ref="closing"),
        Row(_DRAINING, _I.LINGER_EXPIRED, _S.ABORTING, _L.drop_output, cancel=_ALL, ref="closing"),
        Row((_S.NEW, *_LIVE, *_DRAINING), _I.ABORT, _S.ABORTING, _L.drop_output, cancel=_ALL, ref="aborting"),
        Row(OPEN, _I.LOST, _S.GONE, _L.tell_lost, _L.leave, ref="the end of a link"),
        Row((*_DRAINING, _S.ABORTING), _I.LOST, _S.GONE, _L.leave, ref="the end of a link"),
    ),
    defaults=(Default(Outcome.IGNORE, "stale link report"),),
)
