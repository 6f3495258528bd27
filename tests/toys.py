"""Small sessions, one of each kind, on which the network, the links and the laws are shown.

``Echo`` is the server of docs/howto/echo, which also dials, by name too. ``Lines`` is a stream session: lines, of which
``bye`` is the last. ``Beat`` speaks datagrams and has a keep-alive. ``Visitor`` and ``Desk``
talk over datagrams, and get over it when the other forgets everything or the NAT moves them.
"""

from __future__ import annotations

import hmac
from collections import deque
from enum import Enum
from typing import Annotated, ClassVar, Final, NamedTuple, Protocol, TypeAlias

import attrs
from echo import EchoDelays, EchoLimits, EchoServer

from sansproto.component import Component, DatagramHost
from sansproto.contract import (
    Address,
    CloseTransport,
    CloseWrite,
    Entropy,
    Link,
    Lookup,
    Path,
    Phase,
    Rebind,
    SendBytes,
    Transmit,
)
from sansproto.endpoint import DatagramEndpoint
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.events import CloseCause, Closed, DataReceived
from sansproto.limits import some
from sansproto.links import StreamLink
from sansproto.machine import Default, Guards, Input, Outcome, Row, Table, Timer
from sansproto.session import ABORTED, StreamSession
from sansproto.snapshot import CACHED
from sansproto.trace import Trace

SECRET = b"open sesame, and close it again"


@attrs.frozen(kw_only=True)
class ToyLimits(EchoLimits):
    links: int = some(4)
    events: int = some(8)
    outbox: int = some(20)


@attrs.frozen(kw_only=True)
class ToyDelays(EchoDelays):
    connect: float = 5.0
    stalled: float = 20.0
    unread: float = 20.0
    linger: float = 3.0
    beat: float = 7.0


class Echo(EchoServer):
    """The server of docs/howto/echo. It dials guests too."""

    _asked: int
    _asking: bool
    _secret: Annotated[bytes, CACHED]

    def __init__(self, *, entropy: Entropy, limits: ToyLimits | None = None, trace: Trace | None = None) -> None:
        super().__init__(entropy=entropy, delays=ToyDelays(), limits=limits or ToyLimits(), trace=trace)
        self._asked, self._asking, self._secret = 0, False, SECRET

    # verbs

    def dial(self, address: Address, now: float) -> None:
        self._ready("dial", now)
        if len(self.links) >= self.link_limits.links:
            raise LocalProtocolError("dial", self.phase.name, "as many links as there may be")
        self.open_link(address)
        self.run()

    def dial_name(self, host: str, now: float) -> None:
        """Dial a host by its name, from another port than before."""
        self._ready("dial_name", now)
        if self._asking:
            raise LocalProtocolError("dial_name", self.phase.name, "one question after another")
        self._asking = True
        self._asked += 1
        self.ask_transport(Lookup(self._asked, host, 9000))
        self.ask_transport(Rebind("udp"))

    def _ready(self, verb: str, now: float) -> None:
        self.advance(now)
        if self.phase is not Phase.OPEN:
            raise NotOpen(verb, self.phase.name)

    # reports

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        if query == self._asked and self.phase is Phase.OPEN:
            self._asking = False
            if addresses and not self.links:
                self.dial(addresses[0], now)

    def link_opened(self, link: StreamLink) -> None:
        link.write(b"\x02hi")
        self.link_accepted(link)


@attrs.frozen
class Line:
    text: bytes


LinesEvent: TypeAlias = Line | DataReceived | Closed


class Lines(StreamSession[LinesEvent]):
    """Sends ``hello``, reads lines of up to 40 bytes, and ends with the line ``bye``."""

    _inbox: bytes
    _out: deque[bytes]
    _trailing: bytes
    _finish: bool
    _broken: bool
    _shut: bool

    MAX_EVENTS = 6
    MAX_OUT = 300

    def __init__(self, *, trace: Trace | None = None) -> None:
        super().__init__(entropy=None, trace=trace)
        self._inbox = self._trailing = b""
        self._out = deque([b"hello\n"])
        self._finish = self._broken = self._shut = False
        self.phase = Phase.OPEN

    @property
    def wants_data(self) -> bool:
        return len(self._events) < self.MAX_EVENTS

    def write(self, text: bytes, now: float) -> None:
        self.advance(now)
        if self.phase is not Phase.OPEN:
            raise NotOpen("write", self.phase.name)
        if sum(map(len, self._out)) + len(text) >= self.MAX_OUT:
            raise LocalProtocolError("write", self.phase.name, "too much waits")
        self._out.append(text + b"\n")

    def next_event(self) -> LinesEvent | None:
        self._read()
        return super().next_event()

    def next_transmit(self) -> Transmit | None:
        if self._out:
            data = self._out.popleft()
            self.stats.bytes_sent += len(data)
            return SendBytes(Link(0), data)
        if self._finish:
            self._finish = False
            return CloseWrite(Link(0))
        if self.phase is Phase.CLOSED and not self._shut:
            self._shut = True
            return CloseTransport(Link(0))
        return None

    def receive_data(self, data: bytes, now: float) -> None:
        if self.alive(now):
            self.stats.bytes_received += len(data)
            self._inbox += data
            self._read()

    def receive_eof(self, now: float) -> None:
        if self.alive(now):
            self._broken = True
            self._read()

    def take_trailing_data(self) -> bytes:
        data, self._trailing = self._trailing, b""
        return data

    def finish(self, now: float) -> None:
        if self.phase is not Phase.OPEN:
            raise NotOpen("finish", self.phase.name)
        self.advance(now)
        self.phase = Phase.CLOSING
        self._finish = True

    def close(self, now: float) -> None:
        self.advance(now)
        self.end(Closed(CloseCause.LOCAL))

    def abort(self) -> None:
        self.end(ABORTED)

    def transport_lost(self, now: float, *, detail: str = "") -> None:
        if self.alive(now):
            while self._take_line():
                pass
            self.end(Closed(CloseCause.LOST, detail=detail))

    def _read(self) -> None:
        if self.phase is Phase.CLOSED:
            return
        while self.wants_data and self._take_line():
            pass
        if self.wants_data and self._broken:
            self.end(Closed(CloseCause.REMOTE))

    def _take_line(self) -> bool:
        line, newline, rest = self._inbox.partition(b"\n")
        if len(line) > 40:
            self.end(Closed(CloseCause.VIOLATION, detail="too long"))
        elif line == b"bye" and newline:
            self._inbox, self._trailing = b"", rest
            self.end(Closed(CloseCause.REMOTE))
        elif newline:
            self._inbox = rest
            self.stats.packets_received += 1
            self.emit(Line(line))
            return True
        return False


class Raw(Lines):
    """Hands on what arrives as it arrives."""

    def _take_line(self) -> bool:
        data, self._inbox = self._inbox, b""
        if data:
            self.emit(DataReceived(data))
        return bool(data)


@attrs.frozen
class Heard:
    number: int


@attrs.frozen
class Bound:
    address: Address


BeatEvent: TypeAlias = Heard | Bound | Closed

PEER = Path("udp", "192.0.2.9", 4000)


def sealed(number: int) -> bytes:
    body = number.to_bytes(2, "big")
    return body + hmac.digest(SECRET, body, "sha256")[:8]


def number_in(data: bytes) -> int:
    return int.from_bytes(data[:2], "big")


class Came(NamedTuple):
    data: bytes
    path: Path


class S(Enum):
    STILL = 0
    BEATING = 1
    OVER = 2


class I:  # noqa: E742
    START = Input[S, Path]()
    HEARD = Input[S, Came]()
    DUE = Input[S, None]()


class T:
    BEAT = Timer(I.DUE, ToyDelays.beat)


class PulseHost(DatagramHost[BeatEvent], Protocol):
    """What a pulse asks of its session."""

    def end(self, closed: Closed) -> None: ...


class Pulse(Component[S, PulseHost]):
    """Beats until it has not been heard for three beats."""

    number: int
    heard: int
    missed: int
    peer: Path
    delays: Annotated[ToyDelays, CACHED]
    key: Annotated[bytes, CACHED]

    def __init__(self, host: PulseHost) -> None:
        super().__init__(host)
        self.number = self.heard = self.missed = 0
        self.peer, self.delays, self.key = PEER, ToyDelays(), SECRET

    # guards

    def is_valid(self, came: Came) -> bool:
        return hmac.compare_digest(came.data, sealed(number_in(came.data)))

    def is_new(self, came: Came) -> bool:
        return number_in(came.data) > self.heard

    def is_alone(self) -> bool:
        return self.missed >= 3

    # actions

    def begin(self, peer: Path) -> None:
        self.peer = peer
        self.beat()

    def beat(self) -> None:
        self.number += 1
        self.host.send_datagram(sealed(self.number), self.peer)

    def beat_again(self) -> None:
        self.missed += 1
        self.beat()

    def hear(self, came: Came) -> None:
        self.heard, self.peer, self.missed = number_in(came.data), came.path, 0
        self.host.emit(Heard(self.heard))

    def give_up(self) -> None:
        self.host.end(Closed(CloseCause.TIMEOUT))


DATAGRAM: Final = (
    Guards.of(Pulse, S, Came, "datagram")
    .need(Pulse.is_valid, "bad seal", ref="beats")
    .need(Pulse.is_new, "old", ref="beats")
    .give(I.HEARD)
)

PULSE: Final = Table[Pulse, S](
    Pulse,
    I,
    T,
    name="pulse",
    initial=S.STILL,
    terminal=(S.OVER,),
    idle={S.STILL: "start()"},
    rows=(
        Row(S.STILL, I.START, S.BEATING, Pulse.begin, arm=(T.BEAT,), ref="beats"),
        Row(S.BEATING, I.HEARD, None, Pulse.hear, ref="beats"),
        Row(S.BEATING, I.DUE, S.OVER, Pulse.give_up, when=Pulse.is_alone, ref="beats"),
        Row(S.BEATING, I.DUE, None, Pulse.beat_again, arm=(T.BEAT,), ref="beats"),
    ),
    defaults=(Default(Outcome.REJECT, "twice", I.START), Default(Outcome.IGNORE, "late")),
)


class Beat(DatagramEndpoint[BeatEvent, bytes]):
    """Counts authentic datagrams, sends one now and then, and ends when it heard none for three beats."""

    pulse_kind: ClassVar[type[Pulse]] = Pulse
    pulse: Pulse

    def __init__(self, *, entropy: Entropy, trace: Trace | None = None) -> None:
        super().__init__(entropy=entropy, limits=ToyLimits(), trace=trace)
        self.pulse = self.pulse_kind(self)

    def start(self, now: float, peer: Path = PEER) -> None:
        self.verb("start", now, self.pulse.asked(I.START(peer)))
        self.phase = Phase.OPEN

    def decode(self, data: bytes, path: Path) -> bytes:
        return data

    def received(self, packet: bytes, path: Path) -> None:
        self.pulse.take(DATAGRAM, Came(packet, path))


class Visit(Pulse):
    """Says ``h`` to a desk until it has a ticket, and shows it (``q`` and the ticket) until it is answered."""

    ticket: bytes

    def __init__(self, host: PulseHost) -> None:
        super().__init__(host)
        self.ticket = b""

    def is_valid(self, came: Came) -> bool:
        """An answer; that it does not know the ticket; or here is one."""
        return came.data == b"answer" or came.data[:1] == (b"?" if self.ticket else b"t")

    def is_new(self, came: Came) -> bool:
        return True

    def beat(self) -> None:
        self.host.send_datagram(b"q" + self.ticket if self.ticket else b"h", self.peer)

    def hear(self, came: Came) -> None:
        if came.data == b"answer":
            self.host.emit(Heard(1))
            self.host.end(Closed(CloseCause.LOCAL))
        else:
            self.ticket, self.missed = came.data[1:], 0
            self.beat()
            self.host.arm(self, T.BEAT, self.delays.beat)


class Visitor(Beat):
    """Visits a desk once it has a socket."""

    pulse_kind = Visit
    _is_bound: bool

    def __init__(self, *, entropy: Entropy) -> None:
        super().__init__(entropy=entropy)
        self._is_bound = False

    def visit(self, desk: Address, now: float) -> None:
        if not self._is_bound:
            raise LocalProtocolError("visit", self.phase.name, "there is no socket yet")
        self.start(now, Path("udp", desk.host, desk.port, desk.scope))

    def rebind(self, now: float) -> None:
        self.advance(now)
        self.ask_transport(Rebind("udp"))

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        if self.alive(now):
            self._is_bound = True
            self.emit(Bound(address))


@attrs.frozen
class Said:
    ticket: bytes


class Desk(DatagramEndpoint[Said | Closed, bytes]):
    """Gives a ticket to everyone who comes, and answers all who show one."""

    _tickets: dict[bytes, Path]

    def __init__(self, *, entropy: Entropy) -> None:
        super().__init__(entropy=entropy, limits=ToyLimits(), trace=None)
        self._tickets = {}

    def decode(self, data: bytes, path: Path) -> bytes:
        return data

    def received(self, packet: bytes, path: Path) -> None:
        if packet == b"h":
            ticket = self.draw(2, f"the ticket of {path.host}:{path.port}")
            if ticket not in self._tickets:
                self.emit(Said(ticket))
            self._tickets[ticket] = path
            self.send_datagram(b"t" + ticket, path)
        elif packet[1:] in self._tickets:
            self.send_datagram(b"answer", self._way_back(packet[1:], path))
        else:
            self._turn_away(path)

    def _way_back(self, ticket: bytes, path: Path) -> Path:
        return path

    def _turn_away(self, path: Path) -> None:
        self.send_datagram(b"?", path)
