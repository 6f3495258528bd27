"""An endpoint that a test controls: it gives out what the adapter reports, and notes reports that are not allowed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from math import inf
from typing import Any

import attrs

from ...contract import (
    AbortTransport,
    Address,
    CloseTransport,
    Endpoint,
    Link,
    OpenStream,
    Path,
    PauseReading,
    Phase,
    ResumeReading,
    SendBytes,
    SendError,
    Snapshot,
    Stats,
    Transmit,
)
from ...events import CloseCause, Closed

CHUNK = bytes(range(256)) * 256  # 64 KiB, of which a shift would be seen
ECHO_HIGH = 4 * len(CHUNK)  # an echo stops reading when so much waits to go back


@attrs.frozen
class Report:
    """An event: what the adapter called, for which link, and with what."""

    name: str
    link: Link | None = None
    value: Any = None


class ScriptedEndpoint(Endpoint[Report | Closed]):
    """Implements the contract for the test's hand: reports become events, and ``do`` gives out a transmit.

    A link is not read while data of it waits to be taken as an event; with ``echo``, data goes back instead.
    ``mistakes`` lists what the adapter did against the contract.
    """

    phase = Phase.OPEN
    stats = Stats()

    def __init__(self, *, echo: bool = False) -> None:
        self.mistakes: list[str] = []
        self.lost: Counter[Link] = Counter()
        self.live: set[Link] = set()
        self.given: Counter[Link] = Counter()  # bytes that the adapter took, by link
        self.asked = 0  # how often the adapter asked for an event
        self.polled = 0  # events that the adapter took
        self.endless: Transmit | None = None  # given out whenever there is nothing else
        self.bug: Exception | None = None  # raised when data arrives
        self._echo = echo
        self._links = 0
        self._events: deque[Report | Closed] = deque()
        self._outbox: deque[Transmit] = deque()
        self._queues: dict[Link, deque[Transmit]] = {}
        self._turns: deque[Link] = deque()
        self._closed_for_output: set[Link] = set()  # blocked, or not yet opened
        self._left_to_send: dict[Link, int] = {}
        self._waiting: Counter[Link] = Counter()  # bytes of the echo
        self._pausing: set[Link] = set()
        self._reads_when_paused: dict[Link, int] = {}
        self._ended: set[Link] = set()
        self._timers: dict[str, float] = {}

    # -- for the test: to be used within ``call``

    @property
    def has_output(self) -> bool:
        """Whether something waits that the adapter has not taken yet."""
        return bool(self._outbox)

    def do(self, *transmits: Transmit) -> None:
        for transmit in transmits:
            link = getattr(transmit, "link", None)
            if link is None or isinstance(transmit, (OpenStream, AbortTransport, PauseReading, ResumeReading)):
                self._outbox.append(transmit)
            elif link in self.live:
                self._queues[link].append(transmit)
                self._turns.append(link)

    def open(self, address: Address) -> Link:
        link = self._new_link()
        self._closed_for_output.add(link)
        self.do(OpenStream(link, address))
        return link

    def send_much(self, link: Link, size: int) -> None:
        """Give out so many bytes, as fast as the link takes them."""
        self._left_to_send[link] = size
        self._turns.append(link)

    def arm(self, at: float) -> None:
        self._timers["timer"] = at

    # -- reports

    def stream_accepted(self, listener: str, peer: Address, now: float) -> Link:
        link = self._new_link()
        self._report("accepted", link, (listener, peer))
        return link

    def stream_opened(self, link: Link, now: float) -> None:
        self._expect("opened", link, link in self._closed_for_output)
        self._unblock(link)
        self._report("opened", link)

    def receive_data(self, link: Link, data: bytes, now: float) -> None:
        self._expect("data", link, type(data) is bytes and data != b"" and link not in self._ended)
        if self.bug is not None:
            raise self.bug
        if link in self._reads_when_paused:
            self._reads_when_paused[link] += 1
            if self._reads_when_paused[link] > 1:
                self.mistakes.append(f"link {link} was read on and on after PauseReading")
        if not self._echo:
            self._report("data", link, data)
            self.do(PauseReading(link))
            return
        self.do(SendBytes(link, data))
        self._waiting[link] += len(data)
        if self._waiting[link] > ECHO_HIGH and link not in self._pausing:
            self._pausing.add(link)
            self.do(PauseReading(link))

    def receive_eof(self, link: Link, now: float) -> None:
        self._expect("eof", link, link not in self._ended)
        self._ended.add(link)
        self._report("eof", link)
        if self._echo:
            self.do(CloseTransport(link))

    def stream_lost(self, link: Link, now: float, *, detail: str = "") -> None:
        self._expect("lost", link, True)
        self.lost[link] += 1
        self.live.discard(link)
        self._left_to_send.pop(link, None)
        self._report("lost", link, detail)
        self._end_if_closing()

    def stream_blocked(self, link: Link, now: float) -> None:
        self._expect("blocked", link, link not in self._closed_for_output)
        self._closed_for_output.add(link)
        self._report("blocked", link)

    def stream_unblocked(self, link: Link, now: float) -> None:
        self._expect("unblocked", link, link in self._closed_for_output)
        self._unblock(link)
        self._report("unblocked", link)

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        self._report("datagram", value=(data, path))

    def datagram_failed(self, path: Path, now: float, *, error: SendError = SendError.OTHER, detail: str = "") -> None:
        self._report("datagram failed", value=(path, error))

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        self._report("bound", value=(socket, address))

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        self._report("looked up", value=(query, addresses))

    def network_changed(self, now: float) -> None:
        self._report("network changed")

    def resumed(self, now: float, *, asleep: float) -> None:
        self._report("resumed", value=asleep)

    # -- the rest of the contract

    def next_event(self) -> Report | Closed | None:
        self.asked += 1
        if not self._events:
            return None
        self.polled += 1
        event = self._events.popleft()
        if isinstance(event, Report) and event.name == "data" and event.link is not None and event.link in self.live:
            self.do(ResumeReading(event.link))
        return event

    def next_transmit(self) -> Transmit | None:
        if self._outbox:
            transmit = self._outbox.popleft()
            if isinstance(transmit, PauseReading):
                self._reads_when_paused[transmit.link] = 0
            elif isinstance(transmit, ResumeReading):
                self._reads_when_paused.pop(transmit.link, None)
            return transmit
        while self._turns:
            link = self._turns.popleft()
            if link in self.live and link not in self._closed_for_output and (found := self._next_of(link)):
                self._turns.append(link)
                return found
        return self.endless

    def next_timeout(self) -> float | None:
        return min(self.timers().values(), default=None)

    def handle_timeout(self, now: float) -> None:
        if self._timers.get("timer", inf) <= now:
            self._timers.clear()
            self._report("timer", value=now)

    def close(self, now: float) -> None:
        if self.phase is Phase.OPEN:
            self.phase = Phase.CLOSING
            for link in sorted(self.live):
                self.do(SendBytes(link, b"farewell"), CloseTransport(link))
            self._end_if_closing()

    def abort(self) -> None:
        if self.phase is not Phase.CLOSED:
            self.do(*(AbortTransport(link) for link in sorted(self.live)))
            self._end(CloseCause.ABORTED)

    def transport_lost(self, now: float, *, detail: str = "") -> None:
        self.mistakes.append("an adapter has no whole transport to lose")

    def timers(self) -> Mapping[str, float]:
        return self._timers

    def snapshot(self) -> Snapshot:
        """All that it knows, to be compared: a script is not restored."""
        return tuple(repr(value) for value in vars(self).values())

    # -- inside

    def _new_link(self) -> Link:
        self._links += 1
        link = Link(self._links)
        self.live.add(link)
        self._queues[link] = deque()
        return link

    def _report(self, name: str, link: Link | None = None, value: object = None) -> None:
        if self.phase is not Phase.CLOSED:
            self._events.append(Report(name, link, value))

    def _expect(self, name: str, link: Link, right: bool) -> None:
        if link not in self.live or not right:
            self.mistakes.append(f"{name} was reported for link {link}")

    def _unblock(self, link: Link) -> None:
        self._closed_for_output.discard(link)
        self._turns.append(link)

    def _next_of(self, link: Link) -> Transmit | None:
        if self._queues[link]:
            transmit = self._queues[link].popleft()
            if isinstance(transmit, SendBytes):
                self._waiting[link] -= len(transmit.data)
                if link in self._pausing and self._waiting[link] < ECHO_HIGH // 2:
                    self._pausing.discard(link)
                    self.do(ResumeReading(link))
            return transmit
        left = self._left_to_send.get(link, 0)
        if left:
            self._left_to_send[link] = max(0, left - len(CHUNK))
            self.given[link] += min(left, len(CHUNK))
            return SendBytes(link, CHUNK[:left])
        return None

    def _end_if_closing(self) -> None:
        if self.phase is Phase.CLOSING and not self.live:
            self._end(CloseCause.LOCAL)

    def _end(self, cause: CloseCause) -> None:
        self.phase = Phase.CLOSED
        self._timers.clear()
        self._events.append(Closed(cause))
