"""The encrypted channel: records of AES-256-GCM both ways over one stream. docs/protocols/bob.rst, the channel."""

from __future__ import annotations

from collections import deque
from enum import Enum
from math import inf
from typing import Annotated, Any, Final, Protocol

import attrs

from ..component import Component, Host, Refusal
from ..contract import Link, Phase, SendBytes
from ..errors import Fault, LocalProtocolError, WireError
from ..events import CloseCause, Closed, DataReceived, Writable
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..session import ABORTED, StreamSession
from ..snapshot import CACHED
from ..trace import Trace
from .crypto import MAX_PLAINTEXT, RecordCipher, RecordKey
from .events import ChannelEvent, Violation
from .limits import PeerDelays, PeerLimits
from .packets import CLOSE, TAG_SIZE

_STREAM: Final = Link(0)
_HEADER: Final = 2
_CLOSE_MARK: Final = 0xFFFF
_LEAST: Final = 64  # bytes: so much a record counts at least until it is popped, for an event takes that much memory

SEND_BUFFER_FULL: Final = Refusal("send buffer full", ref="the channel")


@attrs.define(eq=False, weakref_slot=False)
class Direction:
    """One direction: its key, and the number of the next record."""

    key: RecordKey
    sequence: int = 0


class ChannelState(Enum):
    OPEN = 0
    CLOSING = 1
    """Our closing packet is on its way."""
    CLOSED = 2


class ChannelInput:
    SEND = Input[ChannelState, None]()
    CLOSE = Input[ChannelState, None]()
    CLOSE_SEEN = Input[ChannelState, None]()
    BAD_RECORD = Input[ChannelState, Closed[Violation]]()
    CUT = Input[ChannelState, str]()
    """The stream ended."""
    EXPIRED = Input[ChannelState, None]()


class ChannelTimer:
    FAREWELL = Timer(ChannelInput.EXPIRED, PeerDelays.farewell)


_S, _I, _T = ChannelState, ChannelInput, ChannelTimer
_OPEN: Final = _S.OPEN
_CLOSED: Final = _S.CLOSED


class ChannelHost(Host[Any], Protocol):
    """What a channel asks of its session."""

    limits: PeerLimits
    delays: PeerDelays

    def channel_ended(self, closed: Closed[Violation]) -> None: ...


class SecureChannel(Component[ChannelState, ChannelHost]):
    """One end of an encrypted channel; its owner passes on bytes, and takes what is received and what is to be sent."""

    outgoing: Direction | None
    incoming: Direction | None
    received: deque[DataReceived | Writable]
    """Not yet taken by the application."""
    inbox: bytes
    """The last read, understood up to ``read``."""
    read: int
    records: deque[bytes]
    """Not yet taken by the stream."""
    queued: int
    """Bytes in ``records``."""
    undelivered: int
    """Bytes in ``received``, more for small records."""
    has_ended: bool
    """The stream."""
    wanting: bool
    """``send`` took less than it was given."""
    told_writable: bool
    """That is in ``received``, and one is enough."""
    limits: Annotated[PeerLimits, CACHED]
    delays: Annotated[PeerDelays, CACHED]
    sealer: Annotated[RecordCipher | None, CACHED]
    opener: Annotated[RecordCipher | None, CACHED]

    def __init__(self, host: ChannelHost) -> None:
        super().__init__(host)
        self.limits, self.delays = host.limits, host.delays
        self.received, self.inbox, self.read, self.records = deque(), b"", 0, deque()
        self.queued = self.undelivered = 0
        self.has_ended = self.wanting = self.told_writable = False
        self.begin(None, None)

    def begin(self, send_key: RecordKey | None, receive_key: RecordKey | None) -> None:
        """The keys of both directions; None where the cipher is none that works."""
        self.outgoing = None if send_key is None else Direction(send_key)
        self.incoming = None if receive_key is None else Direction(receive_key)
        self.rebuild()

    def rebuild(self) -> None:
        self.sealer = RecordCipher(self.outgoing.key) if self.outgoing else None
        self.opener = RecordCipher(self.incoming.key) if self.incoming else None

    # -- verbs

    @property
    def is_over(self) -> bool:
        return self.state is _CLOSED

    @property
    def capacity(self) -> int:
        """Bytes that ``send`` would take now, rounded up to a whole record; 0 where it would raise."""
        if self.outgoing is None or self.state is not _S.OPEN:
            return 0
        return max(0, self.limits.send_buffer - self.queued)

    def send(self, data: bytes) -> int:
        """Queue records, and return how many bytes were taken."""
        if self.state is not _OPEN:
            self.table.ask(self, _I.SEND(), "send")
        way, sealer = self.outgoing, self.sealer
        if way is None or sealer is None:
            raise LocalProtocolError("send", self.state.name, "no usable cipher in this direction")
        size, taken, room = len(data), 0, self.limits.send_buffer
        while taken < size and self.queued < room:
            piece = data if size <= MAX_PLAINTEXT else memoryview(data)[taken : taken + MAX_PLAINTEXT]
            record = sealer.seal(way.sequence, piece)
            self.records.append(record)
            way.sequence += 1
            taken += len(piece)
            self.queued += len(record)
        if taken < size:
            self.wanting = True
            self.host.count_refusal(SEND_BUFFER_FULL, self)
        return taken

    def close(self) -> None:
        _I.CLOSE().act(self)

    def abort(self) -> None:
        """It is over, and nobody is told."""
        self.state = _S.CLOSED
        self.drop_output()

    # -- the stream

    @property
    def wants_data(self) -> bool:
        return self.undelivered < self.limits.receive_buffer

    def receive(self, data: bytes) -> None:
        rest = len(self.inbox) - self.read
        self.inbox, self.read = self._rejoin(data, rest) if rest else (data, 0)
        if self.state is not _CLOSED:  # as it may be since the beginning of this read
            self._understand()

    def end_stream(self) -> None:
        """Nothing follows what was received."""
        self.has_ended = True
        self._understand()

    def lose_stream(self, detail: str = "") -> None:
        """What came before the loss still counts."""
        if not self.is_over:
            self._understand(all_of_it=True)
        if not self.is_over:
            _I.CUT(detail or "the stream was lost").act(self)
        self.drop_output()

    def take_trailing_data(self) -> bytes:
        """What followed the other end's closing packet."""
        rest, self.inbox, self.read = self.inbox[self.read :], b"", 0
        return rest

    # -- output

    def next_received(self) -> DataReceived | Writable | None:
        if not self.received:
            return None
        event = self.received.popleft()
        if not isinstance(event, DataReceived):
            self.told_writable = False
        else:
            before, size = self.undelivered, len(event.data)
            self.undelivered = before - (size if size > _LEAST else _LEAST)
            if before >= self.limits.receive_buffer and self.wants_data and not self.is_over:
                self._understand()
        return event

    def next_record(self) -> bytes | None:
        if not self.records:
            return None
        record = self.records.popleft()
        self.queued -= len(record)
        if self.wanting and self.queued <= self.limits.send_buffer // 2 and self.state is _S.OPEN:
            self.wanting = False
            if not self.told_writable:
                self.told_writable = True
                self.received.append(Writable())
        return record

    # -- conditions and actions

    def has_output(self) -> bool:
        return bool(self.records)

    def send_close(self) -> None:
        self.records.append(CLOSE)
        self.queued += len(CLOSE)

    def end_local(self) -> None:
        self.host.channel_ended(Closed(CloseCause.LOCAL))

    def end_remote(self) -> None:
        self.host.channel_ended(Closed(CloseCause.REMOTE))

    def end_early(self) -> None:
        self.drop_output()
        detail = "closed before everything was sent"
        self.host.channel_ended(Closed(CloseCause.LOST, Violation.STREAM_CUT, detail=detail))

    def end_violated(self, closed: Closed[Violation]) -> None:
        self.host.channel_ended(closed)

    def end_cut(self, detail: str) -> None:
        self.host.channel_ended(Closed(CloseCause.LOST, Violation.STREAM_CUT, detail=detail))

    def drop_output(self) -> None:
        self.records.clear()
        self.queued = 0

    # -- inside: inputs act at once, for what follows in the same read depends on them

    def _rejoin(self, data: bytes, rest: int) -> tuple[bytes, int]:
        """Complete and open the record that the last read began; the new read, and how much of it that took.

        Only that one record is copied: the others are opened where they lie.
        """
        inbox, start = self.inbox, self.read
        if rest >= _HEADER and self.wants_data:
            size = inbox[start] << 8 | inbox[start + 1]
            missing = size + _HEADER + TAG_SIZE - rest
            if size <= MAX_PLAINTEXT and missing <= len(data):
                body = b"".join((memoryview(inbox)[start + _HEADER :], memoryview(data)[:missing]))
                if self._open(size, body):
                    return data, missing
        return inbox[start:] + data, 0

    def _understand(self, *, all_of_it: bool = False) -> None:
        """Open the records that are there, as far as the application has room for them, and notice the end."""
        data, offset = self.inbox, self.read
        end, view = len(data), memoryview(data)
        limit = inf if all_of_it else self.limits.receive_buffer
        while end - offset >= _HEADER and self.undelivered < limit:
            size = data[offset] << 8 | data[offset + 1]
            stop = offset + size + _HEADER + TAG_SIZE
            if size > MAX_PLAINTEXT:
                self.read = offset
                self._notice_mark(size, end - offset, last=self.has_ended or all_of_it)
                return
            if stop > end:
                break
            self.read = offset
            if not self._open(size, view[offset + _HEADER : stop]):
                return
            offset = stop
        self.read = offset
        if self.has_ended and self.undelivered < limit:
            _I.CUT("the stream ended without a closing packet").act(self)

    def _open(self, size: int, body: bytes | memoryview) -> bool:
        """Open a record: ciphertext and tag of so many bytes of plaintext. False if it is none: then all is over."""
        way, opener = self.incoming, self.opener
        try:
            if way is None or opener is None:
                raise WireError(Fault.UNSUPPORTED)
            plaintext = opener.open(way.sequence, size, body)
        except WireError as error:
            corrupted = Closed(CloseCause.VIOLATION, Violation.RECORD_CORRUPTED, detail=error.fault.value)
            _I.BAD_RECORD(corrupted).act(self)
            return False
        way.sequence += 1
        if plaintext:
            self.received.append(DataReceived(plaintext))
            self.undelivered += size if size > _LEAST else _LEAST
        return True

    def _notice_mark(self, size: int, there: int, *, last: bool) -> None:
        """What begins here is no record: a closing packet, of which two bytes are enough, or a violation."""
        if size != _CLOSE_MARK:
            _I.BAD_RECORD(Closed(CloseCause.VIOLATION, Violation.RECORD_TOO_LONG)).act(self)
        elif there >= len(CLOSE) or last:
            self.read += min(there, len(CLOSE))
            _I.CLOSE_SEEN().act(self)


_C: Final = SecureChannel

CHANNEL: Final = Table[SecureChannel, ChannelState](
    SecureChannel,
    ChannelInput,
    ChannelTimer,
    name="bob.channel",
    initial=_S.OPEN,
    terminal=(_S.CLOSED,),
    idle={_S.OPEN: "either end, with a closing packet or with the stream's end"},
    rows=(
        Row(_S.OPEN, _I.SEND, ref="the channel"),
        Row(_S.OPEN, _I.CLOSE, _S.CLOSING, _C.send_close, arm=(_T.FAREWELL,), ref="closing the channel"),
        Row(_S.OPEN, _I.CLOSE_SEEN, _S.CLOSED, _C.end_early, when=_C.has_output, ref="closing the channel"),
        Row(_S.OPEN, _I.CLOSE_SEEN, _S.CLOSED, _C.send_close, _C.end_remote, ref="closing the channel"),
        Row(_S.OPEN, _I.BAD_RECORD, _S.CLOSED, _C.end_violated, ref="bad records"),
        Row(_S.OPEN, _I.CUT, _S.CLOSED, _C.end_cut, ref="closing the channel"),
        Row(
            _S.CLOSING,
            _I.CLOSE_SEEN | _I.CUT | _I.BAD_RECORD | _I.EXPIRED,
            _S.CLOSED,
            _C.end_local,
            ref="closing the channel",
        ),
    ),
    defaults=(
        Default(Outcome.NOT_OPEN, "", _I.SEND, states=(_S.CLOSING, _S.CLOSED)),
        Default(Outcome.IGNORE, "closed"),
    ),
)


class Channel(StreamSession[ChannelEvent]):
    """One end of an encrypted channel, over a byte stream of your own. Each ``send`` begins a new record.

    Each record that arrives is one ``DataReceived``, unless it is empty. Records are neither joined nor split.

    ``send_key`` or ``receive_key`` is None if the cipher of that direction cannot be used. Then ``send`` raises
    LocalProtocolError, or a record that arrives ends the channel.

    Verbs: ``send``, ``close``. Queries: ``capacity``.
    """

    channel: SecureChannel
    limits: Annotated[PeerLimits, CACHED]
    delays: Annotated[PeerDelays, CACHED]

    def __init__(
        self,
        *,
        send_key: RecordKey | None,
        receive_key: RecordKey | None,
        limits: PeerLimits | None = None,
        delays: PeerDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(entropy=None, trace=trace)
        self.phase = Phase.OPEN
        self.limits, self.delays = limits or PeerLimits(), delays or PeerDelays()
        self.channel = SecureChannel(self)
        self.channel.begin(send_key, receive_key)
        self.name_parts(())

    # -- verbs

    @property
    def capacity(self) -> int:
        """Bytes that ``send`` would take now, rounded up to a whole record; 0 where it would raise."""
        return self.channel.capacity

    def send(self, data: bytes, now: float) -> int:
        """Queue ``data`` in records of up to 32,767 bytes and return how many bytes were taken.

        A record is taken whole as long as there is any room, so that up to 32,767 bytes never end in two records. When
        less than everything is taken, ``Writable`` follows as soon as there is room again. Raises LocalProtocolError
        without a cipher to send with, NotOpen after ``close`` or the end.
        """
        channel = self.channel
        taken = channel.send(data)
        self.advance(now)
        self.stats.packets_sent = channel.outgoing.sequence if channel.outgoing else 0
        return taken

    def close(self, now: float) -> None:
        """Send the closing packet. ``Closed`` comes with the other end's answer, or after ``farewell`` seconds."""
        if self.closes(now):
            self.phase = Phase.CLOSING
            self.channel.close()

    def abort(self) -> None:
        """End at once. Output that was not popped is dropped."""
        if self.phase is not Phase.CLOSED:
            self.channel.abort()
            self.end(ABORTED)

    # -- the stream

    @property
    def wants_data(self) -> bool:
        return self.channel.wants_data

    def receive_data(self, data: bytes, now: float) -> None:
        if self.alive(now):
            self.stats.bytes_received += len(data)
            self.channel.receive(data)
            self._count()

    def receive_eof(self, now: float) -> None:
        if self.alive(now):
            self.channel.end_stream()
            self._count()

    def transport_lost(self, now: float, *, detail: str = "") -> None:
        self.alive(now)
        self.channel.lose_stream(detail)
        self._count()

    def take_trailing_data(self) -> bytes:
        """What followed the other end's closing packet."""
        return self.channel.take_trailing_data() if self.phase is Phase.CLOSED else b""

    # -- output

    def next_event(self) -> ChannelEvent | None:
        channel = self.channel
        if not channel.received:
            return self._events.popleft() if self._events else None
        read = channel.read
        event = channel.next_received()
        if channel.read != read:  # there was no room for what is opened now
            self._count()
        return event

    def next_transmit(self) -> SendBytes | None:
        channel = self.channel
        record = channel.next_record() if channel.records else None
        if record is None:
            return None
        self.stats.bytes_sent += len(record)
        return SendBytes(_STREAM, record)

    # -- what the channel tells

    def channel_ended(self, closed: Closed[Violation]) -> None:
        self.end(closed)

    def _count(self) -> None:
        """Records are the packets of a channel."""
        incoming = self.channel.incoming
        if incoming is not None:
            self.stats.packets_received = incoming.sequence
