"""Three small sessions, one of each kind, on which the network, the links and the laws are shown.

``Echo`` is an endpoint: messages with a one-byte length, a greeting that must come first, a verb, a table of its own.
``Lines`` is a stream session: lines, of which ``bye`` is the last. ``Beat`` is a datagram session with a keep-alive.
``Visitor`` and ``Desk`` talk over datagrams, and get over it when the other forgets everything or the NAT moves them.
"""

from __future__ import annotations

import hmac
from collections import deque
from enum import Enum
from hashlib import sha256
from typing import Annotated, ClassVar, TypeAlias

import attrs

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
    SendDatagram,
    Transmit,
)
from sansproto.errors import Fault, LocalProtocolError, NotOpen, WireError
from sansproto.events import CloseCause, Closed, DataReceived
from sansproto.old_endpoint import EndpointBase
from sansproto.old_links import Pipe
from sansproto.old_machine import Ladder, Machine, Otherwise, Row, Rung, Table, Verdict
from sansproto.old_session import ABORTED, SessionBase
from sansproto.session import Answers
from sansproto.snapshot import CACHED
from sansproto.trace import Trace

SECRET = b"open sesame, and close it again"


@attrs.frozen(kw_only=True)
class ToyLimits:
    links: int = 4
    link_queue: int = 2000
    link_packets: int = 64
    events: int = 8


@attrs.frozen(kw_only=True)
class ToyDelays:
    connect: float = 5.0
    stalled: float = 20.0
    unread: float = 20.0
    linger: float = 3.0
    greet: float = 10.0
    beat: float = 7.0


class GuestState(Enum):
    NEW = 0
    SILENT = 1  # has not greeted
    KNOWN = 2
    GONE = 3


class GuestInput(Enum):
    CAME = 0
    GREETED = 1
    SPOKE = 2
    LEFT = 3
    GREET_EXPIRED = 4
    BROKE = 5
    SAY = 6


class GuestAction(Enum):
    ANSWER = 0
    TELL = 1
    CUT = 2
    DISMISS = 3
    REPEAT = 4


class GuestTimer(Enum):
    GREET = 0


_S, _I, _A, _T = GuestState, GuestInput, GuestAction, GuestTimer

GUEST = Table(
    name="guest",
    page="toy",
    states=_S,
    inputs=_I,
    actions=_A,
    timers=_T,
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={_S.NEW: "a connection", _S.KNOWN: "the guest"},
    rows=(
        Row(_S.NEW, _I.CAME, _S.SILENT, arm=(_T.GREET,), ref="coming"),
        Row(_S.SILENT, _I.GREETED, _S.KNOWN, (_A.ANSWER,), cancel=(_T.GREET,), ref="greeting"),
        Row(_S.KNOWN, _I.SPOKE, None, (_A.REPEAT, _A.TELL), ref="speaking"),
        Row(_S.KNOWN, _I.SAY, None, (_A.REPEAT,), ref="speaking"),
        Row(_S.SILENT, _I.GREET_EXPIRED, _S.GONE, (_A.CUT,), ref="greeting"),
        Row((_S.SILENT, _S.KNOWN), _I.BROKE, _S.GONE, (_A.CUT,), ref="breaking"),
        Row((_S.SILENT, _S.KNOWN), _I.LEFT, _S.GONE, (_A.DISMISS,), ref="leaving"),
    ),
    otherwise=(
        Otherwise((_S.SILENT,), (_I.SPOKE,), Verdict.VIOLATION, "spoke before greeting"),
        Otherwise((_S.SILENT,), (_I.SAY,), Verdict.REJECT, "the guest has not greeted"),
        Otherwise(None, (_I.SAY,), Verdict.NOT_OPEN),
        Otherwise(None, None, Verdict.IGNORE, "stale"),
    ),
    fires={_T.GREET: _I.GREET_EXPIRED},
    ladders=(
        Ladder(
            "message",
            (Rung("farewell", _I.LEFT, ref="leaving"), Rung("greeting", _I.GREETED, ref="greeting")),
            _I.SPOKE,
        ),
    ),
    violated=_I.BROKE,
)


@attrs.define(eq=False)
class Guest:
    key: Link
    name: bytes = b""
    state: GuestState = GuestState.NEW


@attrs.frozen
class Said:
    link: Link
    data: bytes


@attrs.frozen
class Left:
    link: Link


EchoEvent: TypeAlias = Said | Left | Closed


class Echo(EndpointBase[EchoEvent]):
    """Repeats what guests say to them once they said ``hi``; answers datagrams with their digest."""

    strangers: ClassVar = Answers(32)
    _guests: dict[Link, Guest]
    _asked: int
    _asking: bool
    _secret: Annotated[bytes, CACHED]

    _guest = Machine(GUEST, objects="_guests")

    def __init__(
        self,
        *,
        entropy: Entropy,
        secret: bytes = SECRET,
        limits: ToyLimits | None = None,
        delays: ToyDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(entropy=entropy, delays=delays or ToyDelays(), limits=limits or ToyLimits(), trace=trace)
        self._secret = secret
        self._guests = {}
        self._asked = 0
        self._asking = False
        self.phase = Phase.OPEN

    # verbs

    def dial(self, address: Address, now: float) -> None:
        self._ready("dial", now)
        if len(self._pipes) >= self._link_limits.links:
            raise LocalProtocolError("dial", self.phase.name, "as many links as there may be")
        self._open_link(address)
        self._settle()

    def ask(self, host: str, now: float) -> None:
        """Dial a host by its name, from another port than before."""
        self._ready("ask", now)
        if self._asking:
            raise LocalProtocolError("ask", self.phase.name, "one question after another")
        self._asking = True
        self._asked += 1
        self._outbox.extend([Lookup(self._asked, host, 9000), Rebind("udp")])

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        if query == self._asked and self.phase is Phase.OPEN:
            self._asking = False
            if addresses and not self._pipes:
                self.dial(addresses[0], now)

    def say(self, link: int, data: bytes, now: float) -> None:
        self._ready("say", now)
        guest = self._guests.get(Link(link))
        if guest is None:
            raise NotOpen("say", "gone")
        self._guest.ask(guest, _I.SAY, "say")
        self._post(self._guest, guest, _I.SAY, data)
        self._settle()

    def close(self, now: float) -> None:
        self._advance(now)
        self._part(Closed(CloseCause.LOCAL))
        self._settle()

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        if self._alive(now):
            self.stats.packets_received += 1
            self._outbox.append(SendDatagram(sha256(data).digest()[: len(data)], path))
            if len(self._outbox) > 20:
                self._outbox.popleft()

    def _ready(self, verb: str, now: float) -> None:
        self._advance(now)
        if self.phase is not Phase.OPEN:
            raise NotOpen(verb, self.phase.name)

    # the links

    def _link_accepted(self, pipe: Pipe) -> None:
        guest = self._guests[pipe.key] = Guest(pipe.key)
        self._post(self._guest, guest, _I.CAME)

    def _link_opened(self, pipe: Pipe) -> None:
        self._write(pipe, b"\x02hi")
        self._link_accepted(pipe)

    def _link_decode(self, pipe: Pipe, data: bytes, offset: int) -> tuple[object, int]:
        size = data[offset]
        if size > 200:
            raise WireError(Fault.BAD_LENGTH, offset)
        if len(data) < offset + 1 + size:
            raise WireError(Fault.TRUNCATED, offset, need=offset + 1 + size - len(data))
        return data[offset + 1 : offset + 1 + size], offset + 1 + size

    def _link_packet(self, pipe: Pipe, packet: object) -> None:
        self._post(self._guest, self._guests[pipe.key], "message", packet)

    def _link_broken(self, pipe: Pipe, error: WireError) -> None:
        self._post(self._guest, self._guests[pipe.key], _I.BROKE)

    def _link_eof(self, pipe: Pipe) -> None:
        self._close_link(pipe)

    def _link_gone(self, pipe: Pipe) -> None:
        guest = self._guests.pop(pipe.key, None)
        if guest is not None:
            self._cancel_timers(self._guest, guest.key)
            if guest.name and self.phase is not Phase.CLOSED:  # of strangers nobody hears
                self._emit(Left(guest.key))

    # the guests

    def _guest_is_farewell(self, guest: Guest, message: bytes) -> bool:
        return message == b"bye"

    def _guest_is_greeting(self, guest: Guest, message: bytes) -> bool:
        return guest.state is _S.SILENT and message.startswith(b"hi")

    def _guest_answer(self, guest: Guest, message: bytes) -> None:
        guest.name = self.draw(4, purpose=f"guest.{guest.key}.name")
        self._guest_repeat(guest, b"hi" + guest.name)

    def _guest_repeat(self, guest: Guest, message: bytes) -> None:
        self._write(self._pipes[guest.key], bytes([len(message)]) + message)

    def _guest_tell(self, guest: Guest, message: bytes) -> None:
        self._emit(Said(guest.key, message))

    def _guest_cut(self, guest: Guest, _: object) -> None:
        self._abort_link(self._pipes[guest.key])

    def _guest_dismiss(self, guest: Guest, _: object) -> None:
        self._close_link(self._pipes[guest.key])


@attrs.frozen
class Line:
    text: bytes


LinesEvent: TypeAlias = Line | DataReceived | Closed


class Lines(SessionBase[LinesEvent]):
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
        super().__init__(entropy=None, delays=ToyDelays(), trace=trace)
        self._inbox = self._trailing = b""
        self._out = deque([b"hello\n"])
        self._finish = self._broken = self._shut = False
        self.phase = Phase.OPEN

    @property
    def wants_data(self) -> bool:
        return len(self._events) < self.MAX_EVENTS

    def write(self, text: bytes, now: float) -> None:
        self._advance(now)
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
        if self._alive(now):
            self.stats.bytes_received += len(data)
            self._inbox += data
            self._read()

    def receive_eof(self, now: float) -> None:
        if self._alive(now):
            self._broken = True
            self._read()

    def take_trailing_data(self) -> bytes:
        data, self._trailing = self._trailing, b""
        return data

    def finish(self, now: float) -> None:
        if self.phase is not Phase.OPEN:
            raise NotOpen("finish", self.phase.name)
        self._advance(now)
        self.phase = Phase.CLOSING
        self._finish = True

    def close(self, now: float) -> None:
        self._advance(now)
        self._end(Closed(CloseCause.LOCAL))

    def abort(self) -> None:
        self._end(ABORTED)

    def transport_lost(self, now: float, *, detail: str = "") -> None:
        if self._alive(now):
            while self._take_line():
                pass
            self._end(Closed(CloseCause.LOST, detail=detail))

    def _read(self) -> None:
        if self.phase is Phase.CLOSED:
            return
        while self.wants_data and self._take_line():
            pass
        if self.wants_data and self._broken:
            self._end(Closed(CloseCause.REMOTE))

    def _take_line(self) -> bool:
        line, newline, rest = self._inbox.partition(b"\n")
        if len(line) > 40:
            self._end(Closed(CloseCause.VIOLATION, detail="too long"))
        elif line == b"bye" and newline:
            self._inbox, self._trailing = b"", rest
            self._end(Closed(CloseCause.REMOTE))
        elif newline:
            self._inbox = rest
            self.stats.packets_received += 1
            self._emit(Line(line))
            return True
        return False


class Raw(Lines):
    """Hands on what arrives as it arrives."""

    def _take_line(self) -> bool:
        data, self._inbox = self._inbox, b""
        if data:
            self._emit(DataReceived(data))
        return bool(data)


@attrs.frozen
class Heard:
    number: int


@attrs.frozen
class Bound:
    address: Address


BeatEvent: TypeAlias = Heard | Bound | Closed


class Beat(SessionBase[BeatEvent]):
    """Counts authentic datagrams, sends one now and then, and ends when it heard none for three beats."""

    _peer: Path
    _number: int
    _heard: int
    _missed: int
    _out: deque[SendDatagram | Rebind]
    _key: Annotated[bytes, CACHED]

    MAX_EVENTS = 6

    def __init__(self, *, entropy: Entropy, trace: Trace | None = None) -> None:
        super().__init__(entropy=entropy, delays=ToyDelays(), trace=trace)
        self._key = SECRET
        self._peer = PEER
        self._number = self._heard = self._missed = 0
        self._out = deque()

    def start(self, now: float) -> None:
        self._advance(now)
        if self.phase is not Phase.NEW:
            raise LocalProtocolError("start", self.phase.name)
        self.phase = Phase.OPEN
        self._beat()

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        if not self._alive(now):
            return
        number = int.from_bytes(data[:2], "big")
        if not hmac.compare_digest(data, sealed(number)):
            self._drop("bad seal")
        elif number <= self._heard or len(self._events) >= self.MAX_EVENTS:
            self._drop("old or too much")
        else:
            self._peer, self._heard, self._missed = path, number, 0
            self._emit(Heard(number))

    def next_transmit(self) -> Transmit | None:
        return self._out.popleft() if self._out else None

    def handle_timeout(self, now: float) -> None:
        self._advance(now)
        if self._timers.pop_due(self._clock) is not None:
            self._missed += 1
            if self._missed > 3:
                self._end(Closed(CloseCause.TIMEOUT))
            else:
                self._beat()

    def timers(self) -> dict[str, float]:
        at = self._timers.next()
        return {} if at is None else {"beat": at}

    def close(self, now: float) -> None:
        self._advance(now)
        self._end(Closed(CloseCause.LOCAL))

    def abort(self) -> None:
        self._end(ABORTED)

    def transport_lost(self, now: float, *, detail: str = "") -> None:
        if self._alive(now):
            self._end(Closed(CloseCause.LOST, detail=detail))

    def _beat(self) -> None:
        self._number += 1
        self._out.append(SendDatagram(sealed(self._number), self._peer))
        self._timers.set((0, 0, 0), self._clock + ToyDelays().beat)


PEER = Path("udp", "192.0.2.9", 4000)


def sealed(number: int) -> bytes:
    body = number.to_bytes(2, "big")
    return body + hmac.digest(SECRET, body, "sha256")[:8]


class Visitor(Beat):
    """Says ``h`` to a desk until it has a ticket, and shows it (``q`` and the ticket) until it is answered."""

    _desk: Path
    _ticket: bytes
    _is_bound: bool

    def __init__(self, *, entropy: Entropy) -> None:
        super().__init__(entropy=entropy)
        self._desk = PEER
        self._ticket = b""
        self._is_bound = False

    def visit(self, desk: Address, now: float) -> None:
        if not self._is_bound:
            raise LocalProtocolError("visit", self.phase.name, "there is no socket yet")
        self._desk = Path("udp", desk.host, desk.port, desk.scope)
        self.start(now)

    def rebind(self, now: float) -> None:
        self._advance(now)
        self._out.append(Rebind("udp"))

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        if self._alive(now):
            self._is_bound = True
            self._emit(Bound(address))

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        if not self._alive(now):
            return
        if data == b"answer":
            self._emit(Heard(1))
            self._end(Closed(CloseCause.LOCAL))
        elif data[:1] == (b"?" if self._ticket else b"t"):  # it does not know the ticket; or here is one
            self._ticket, self._missed = data[1:], 0
            self._beat()

    def _beat(self) -> None:
        self._out.append(SendDatagram(b"q" + self._ticket if self._ticket else b"h", self._desk))
        self._timers.set((0, 0, 0), self._clock + ToyDelays().beat)


class Desk(EndpointBase[EchoEvent]):
    """Gives a ticket to everyone who comes, and answers all who show one."""

    _tickets: dict[bytes, Path]

    def __init__(self, *, entropy: Entropy) -> None:
        super().__init__(entropy=entropy, delays=ToyDelays(), limits=ToyLimits(), trace=None)
        self._tickets = {}

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        self._advance(now)
        if data == b"h":
            assert self._entropy is not None  # see the constructor
            ticket = self._entropy(2, purpose=f"the ticket of {path.host}:{path.port}")
            if ticket not in self._tickets:
                self._emit(Said(Link(0), ticket))
            self._tickets[ticket] = path
            self._outbox.append(SendDatagram(b"t" + ticket, path))
        elif data[1:] in self._tickets:
            self._outbox.append(SendDatagram(b"answer", self._way_back(data[1:], path)))
        else:
            self._turn_away(path)

    def close(self, now: float) -> None:
        self._advance(now)
        self._part(Closed(CloseCause.LOCAL))

    def _way_back(self, ticket: bytes, path: Path) -> Path:
        return path

    def _turn_away(self, path: Path) -> None:
        self._outbox.append(SendDatagram(b"?", path))
