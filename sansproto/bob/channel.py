"""The encrypted channel: records of AES-256-GCM both ways over one stream. docs/protocols/bob.rst, the channel."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any, ClassVar, Self

import attrs

from ..contract import Link, Phase, SendBytes, Snapshot
from ..errors import Fault, LocalProtocolError, WireError
from ..events import CloseCause, Closed, DataReceived, Writable
from ..old_machine import Machine
from ..old_session import ABORTED, SessionBase
from ..snapshot import CACHED
from ..trace import Trace
from .crypto import MAX_PLAINTEXT, RecordCipher, RecordKey
from .events import ChannelEvent, Violation
from .limits import PeerDelays, PeerLimits
from .packets import CLOSE, TAG_SIZE
from .tables import CHANNEL
from .tables.channel import ChannelInput, ChannelState

_STREAM = Link(0)
_HEADER = 2
_CLOSE_MARK = 0xFFFF


@attrs.define(eq=False, weakref_slot=False)
class _Way:
    """One direction: its key, and the number of the next record."""

    key: RecordKey
    sequence: int = 0


class Channel(SessionBase[ChannelEvent]):
    """One end of an encrypted channel, a StreamSession; each ``send`` begins a record of its own.

    Each record that arrives, unless it is empty, is one ``DataReceived``: none is joined with another, or split.

    ``send_key`` or ``receive_key`` is None when the cipher of that direction is none that works: then ``send`` raises
    LocalProtocolError, and a record that arrives ends the channel.
    """

    state: ChannelState
    key: ClassVar[int] = 0
    _outgoing: _Way | None
    _incoming: _Way | None
    _inbox: bytes  # the last read, understood up to _read
    _read: int
    _records: deque[SendBytes]
    _queued: int  # bytes in _records
    _undelivered: int  # bytes in _events
    _ended: bool  # the stream
    _wanting: bool  # send() took less than it was given
    _limits: Annotated[PeerLimits, CACHED]
    _sealer: Annotated[RecordCipher | None, CACHED]
    _opener: Annotated[RecordCipher | None, CACHED]

    _channel = Machine(CHANNEL)

    def __init__(
        self,
        *,
        send_key: RecordKey | None,
        receive_key: RecordKey | None,
        limits: PeerLimits | None = None,
        delays: PeerDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(entropy=None, delays=delays or PeerDelays(), trace=trace)
        self.phase = Phase.OPEN
        self.state = ChannelState.OPEN
        self._outgoing = _Way(send_key) if send_key is not None else None
        self._incoming = _Way(receive_key) if receive_key is not None else None
        self._inbox = b""
        self._read = 0
        self._records = deque()
        self._queued = self._undelivered = 0
        self._ended = self._wanting = False
        self._limits = limits or PeerLimits()
        self._rebuild()

    # -- verbs

    @property
    def capacity(self) -> int:
        """Bytes that ``send`` would take now, rounded up to a whole record; 0 where it would raise."""
        if self._outgoing is None or self.state is not ChannelState.OPEN:
            return 0
        return max(0, self._limits.send_buffer - self._queued)

    def send(self, data: bytes, now: float) -> int:
        """Queue ``data`` in records of up to 32,767 bytes and return how many bytes were taken.

        A record is taken whole as long as there is any room, so that up to 32,767 bytes never end in two records. When
        less than everything is taken, ``Writable`` follows as soon as there is room again. Raises LocalProtocolError
        without a cipher to send with, NotOpen after ``close`` or the end.
        """
        if self.state is not ChannelState.OPEN:
            self._channel.ask(self, ChannelInput.SEND, "send")
        way, sealer = self._outgoing, self._sealer
        if way is None or sealer is None:
            raise LocalProtocolError("send", self.state.name, "no usable cipher in this direction")
        self._advance(now)
        records, stats = self._records, self.stats
        room, size, taken = self._limits.send_buffer - self._queued, len(data), 0
        while taken < size and room > 0:
            piece = data if size <= MAX_PLAINTEXT else memoryview(data)[taken : taken + MAX_PLAINTEXT]
            record = sealer.seal(way.sequence, piece)
            records.append(SendBytes(_STREAM, record))
            way.sequence += 1
            taken += len(piece)
            room -= len(record)
            stats.packets_sent += 1
        self._queued = self._limits.send_buffer - room
        if taken < size:
            self._wanting = True
        return taken

    def close(self, now: float) -> None:
        """Say that nothing more follows; ``Closed`` comes with the other end's answer, or after the farewell time."""
        if self._alive(now):
            self._channel.step(self, self, ChannelInput.CLOSE)

    def abort(self) -> None:
        """End now. What was not popped of the output is dropped."""
        if self.phase is not Phase.CLOSED:
            self.state = ChannelState.CLOSED
            self._drop_output()
            self._end(ABORTED)

    # -- the stream

    @property
    def wants_data(self) -> bool:
        return self._undelivered < self._limits.receive_buffer

    def receive_data(self, data: bytes, now: float) -> None:
        if not self._alive(now):
            return
        self.stats.bytes_received += len(data)
        rest = len(self._inbox) - self._read
        data, self._read = self._rejoin(data, rest) if rest else (data, 0)
        self._inbox = data
        if self.phase is not Phase.CLOSED:  # as it may be since the beginning of this read
            self._understand()

    def receive_eof(self, now: float) -> None:
        if self._alive(now):
            self._ended = True
            self._understand()

    def transport_lost(self, now: float, *, detail: str = "") -> None:
        if self._alive(now):
            self._understand(all_of_it=True)  # what came before the loss still counts
        if self.phase is not Phase.CLOSED:
            self._channel.step(self, self, ChannelInput.CUT, detail or "the stream was lost")
        self._drop_output()

    def take_trailing_data(self) -> bytes:
        """What followed the other end's closing packet."""
        if self.phase is not Phase.CLOSED:
            return b""
        rest, self._inbox, self._read = self._inbox[self._read :], b"", 0
        return rest

    # -- output

    def next_event(self) -> ChannelEvent | None:
        if not self._events:
            return None
        event = self._events.popleft()
        if isinstance(event, DataReceived):
            was_full = self._undelivered >= self._limits.receive_buffer
            self._undelivered -= len(event.data)
            if was_full and self.wants_data and self.phase is not Phase.CLOSED:
                self._understand()
        return event

    def next_transmit(self) -> SendBytes | None:
        if not self._records:
            return None
        record = self._records.popleft()
        size = len(record.data)
        self._queued -= size
        self.stats.bytes_sent += size
        if self._wanting and self._queued <= self._limits.send_buffer // 2 and self.phase is Phase.OPEN:
            self._wanting = False
            if Writable() not in self._events:  # one that nobody has read says it, too
                self._emit(Writable())
        return record

    # -- inside

    @classmethod
    def restore_at(cls, snapshot: Snapshot, base: float, **arguments: Any) -> Self:
        """As ever; but the keys are state, and inside of a peer's snapshot there are no arguments (``equip``)."""
        return super().restore_at(snapshot, base, **{"send_key": None, "receive_key": None, **arguments})

    def equip(self, limits: PeerLimits, delays: PeerDelays, trace: Trace | None) -> None:
        """After the restore of the peer that it is a part of: what that was constructed with."""
        self._limits, self._delays, self._trace = limits, delays, trace

    def _rebuild(self) -> None:
        self._sealer = RecordCipher(self._outgoing.key) if self._outgoing else None
        self._opener = RecordCipher(self._incoming.key) if self._incoming else None

    def _rejoin(self, data: bytes, rest: int) -> tuple[bytes, int]:
        """Complete the record that the last read began; the new read, and how much of it that took.

        Only that one record is copied: the others are opened where they lie.
        """
        inbox, start = self._inbox, self._read
        if rest >= _HEADER:
            missing = (inbox[start] << 8 | inbox[start + 1]) + _HEADER + TAG_SIZE - rest
            if 0 < missing <= len(data):
                self._inbox = b"".join((memoryview(inbox)[start:], memoryview(data)[:missing]))
                self._read = 0
                self._understand()
                if self._read == len(self._inbox):
                    return data, missing
                start, inbox, data = self._read, self._inbox, data[missing:]
        return inbox[start:] + data, 0

    def _understand(self, *, all_of_it: bool = False) -> None:
        """Open the records that are there, as far as the application has room for them, and notice the end."""
        data, offset = self._inbox, self._read
        end = len(data)
        events, opener, way = self._events, self._opener, self._incoming
        limit = end + self._undelivered if all_of_it else self._limits.receive_buffer
        while end - offset >= _HEADER and self._undelivered < limit:
            size = data[offset] << 8 | data[offset + 1]
            stop = offset + size + _HEADER + TAG_SIZE
            if size > MAX_PLAINTEXT:
                self._read = offset
                self._notice_mark(size, end - offset, last=self._ended or all_of_it)
                return
            if stop > end:
                break
            try:
                if opener is None or way is None:
                    raise WireError(Fault.UNSUPPORTED)
                plaintext = opener.open(way.sequence, data, offset, stop)
            except WireError as error:
                self._read = offset
                self._channel.step(self, self, ChannelInput.CORRUPTED, error.fault.value)
                return
            offset = stop
            way.sequence += 1
            self.stats.packets_received += 1
            if plaintext:
                events.append(DataReceived(plaintext))
                self._undelivered += size
        self._read = offset
        if self._ended and self._undelivered < limit:
            self._channel.step(self, self, ChannelInput.CUT, "the stream ended without a closing packet")

    def _notice_mark(self, size: int, there: int, *, last: bool) -> None:
        """What begins here is no record: a closing packet, of which two bytes are enough, or a violation."""
        if size != _CLOSE_MARK:
            self._channel.step(self, self, ChannelInput.TOO_LONG)
        elif there >= len(CLOSE) or last:
            self._read += min(there, len(CLOSE))
            self._channel.step(self, self, "close")

    # -- the table's checks and actions

    def _channel_is_interrupted(self, _: object, __: object) -> bool:
        return bool(self._records)

    def _channel_send_close(self, _: object, __: object) -> None:
        self.phase = Phase.CLOSING
        self._records.append(SendBytes(_STREAM, CLOSE))
        self._queued += len(CLOSE)

    def _channel_end_local(self, _: object, __: object) -> None:
        self._end(Closed(CloseCause.LOCAL))

    def _channel_end_remote(self, _: object, __: object) -> None:
        self._end(Closed(CloseCause.REMOTE))

    def _channel_end_early(self, _: object, __: object) -> None:
        self._drop_output()
        self._end(Closed(CloseCause.LOST, Violation.STREAM_CUT, detail="closed before everything was sent"))

    def _channel_end_corrupted(self, _: object, detail: object) -> None:
        self._end(Closed(CloseCause.VIOLATION, Violation.RECORD_CORRUPTED, detail=str(detail)))

    def _channel_end_too_long(self, _: object, __: object) -> None:
        self._end(Closed(CloseCause.VIOLATION, Violation.RECORD_TOO_LONG))

    def _channel_end_cut(self, _: object, detail: object) -> None:
        self._end(Closed(CloseCause.LOST, Violation.STREAM_CUT, detail=str(detail)))

    def _drop_output(self) -> None:
        self._records.clear()
        self._queued = 0
