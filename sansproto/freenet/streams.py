"""Messages, cut into what packets carry, and put together again. docs/protocols/freenet.rst, streams."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import attrs

from ..contract import Instant
from ..rates import keep_newest
from . import packets as p

COST: Final = 64
"""Bytes that a message counts beside its own: for memory, and so that there are not too many empty ones."""
_PIECE: Final = 128
"""The same of a fragment."""
_ENDED: Final = 256
"""So many streams are remembered that are over."""


class StreamBounds(Protocol):
    """How much another end may tell."""

    @property
    def streams(self) -> int: ...
    @property
    def stream_bytes(self) -> int: ...


class Whole(NamedTuple):
    """A stream of which all is here."""

    stream: int
    data: bytes
    metadata: bytes | None

    def __repr__(self) -> str:
        return f"Whole({self.stream}, <{len(self.data)} bytes>)"


@attrs.define(eq=False, weakref_slot=False)
class Incoming:
    """A stream that is not complete."""

    total: int
    progress: Instant
    """When a fragment of it came last."""
    pieces: dict[int, bytes] = attrs.field(factory=dict, repr=False)
    size: int = 0
    metadata: bytes | None = attrs.field(default=None, repr=False)


@attrs.define(eq=False, weakref_slot=False)
class Inbox:
    """The streams of a session that are not complete. Memory grows with what has arrived, never with what is told."""

    open: dict[int, Incoming] = attrs.field(factory=dict)
    told: int = 0
    """Bytes that they say they have."""
    held: int = 0
    """Bytes of them that are here, and what their fragments cost."""
    ended: dict[int, None] = attrs.field(factory=dict)
    """Of what is over nothing is taken any more."""

    def is_wanted(self, fragment: p.StreamFragment) -> bool:
        """Is it of no stream that is over?"""
        return fragment.stream not in self.ended

    def has_room(self, fragment: p.StreamFragment, bounds: StreamBounds) -> bool:
        """Is its stream open, may it be opened now, or will it never be?"""
        if fragment.stream in self.open or fragment.total > bounds.stream_bytes:
            return True
        return len(self.open) < bounds.streams and self.told + fragment.total <= bounds.stream_bytes

    def fits(self, fragment: p.StreamFragment, bounds: StreamBounds) -> bool:
        """Can it belong to its stream, and its stream to those that we take?"""
        number, total, size = fragment.fragment, fragment.total, len(fragment.payload)
        known = self.open.get(fragment.stream) or Incoming(total, 0.0)
        pieces, most = known.pieces, p.fragment_count(total) + 1  # metadata may fill one
        if known.total != total or total > bounds.stream_bytes or not 1 <= number <= most or not size:
            return False
        if number in pieces:
            return pieces[number] == fragment.payload
        left, numbers = total - known.size - size, len(pieces) + 1
        return left > 0 or (left == 0 and max(number, max(pieces, default=0)) == numbers)  # the last one leaves no gap

    def put(self, fragment: p.StreamFragment, now: Instant) -> Whole | None:
        """A fragment that fits; its stream if that is complete now."""
        number = fragment.stream
        known = self.open.get(number)
        if known is None:
            known = self.open[number] = Incoming(fragment.total, now)
            self.told += fragment.total
        if fragment.fragment not in known.pieces:
            known.pieces[fragment.fragment] = fragment.payload
            known.size, known.progress = known.size + len(fragment.payload), now
            self.held += len(fragment.payload) + _PIECE
        if fragment.metadata is not None:
            known.metadata = fragment.metadata
        if known.size < known.total:
            return None
        self.end(number)
        pieces = known.pieces
        return Whole(number, b"".join([pieces[n] for n in range(1, len(pieces) + 1)]), known.metadata)

    def end(self, number: int) -> None:
        """A stream is over, one way or another."""
        known = self.open.pop(number, None)
        if known is not None:
            self.told -= known.total
            self.held -= known.size + len(known.pieces) * _PIECE
        keep_newest(self.ended, number, None, _ENDED)

    def stale(self, now: Instant, patience: float) -> list[int]:
        """Streams without progress for so long."""
        return [number for number, one in self.open.items() if now - one.progress >= patience]


@attrs.define(eq=False, weakref_slot=False)
class Outgoing:
    """A message that is sent, or waits for it."""

    data: bytes = attrs.field(repr=False)
    stream: int | None
    """The id of its stream; None: it is one short message."""
    sent: int = 0
    """Packets of it that were sent."""
    waiting: int = 0
    """Packets of it that are not acknowledged."""

    @property
    def packets(self) -> int:
        return 1 if self.stream is None else p.fragment_count(p.LENGTH_SIZE + len(self.data))

    def next(self) -> p.ShortMessage | p.StreamFragment:
        """The next packet of it."""
        self.sent, self.waiting = self.sent + 1, self.waiting + 1
        if self.stream is None:
            return p.ShortMessage(p.Message(self.data).encode())
        total, size = p.LENGTH_SIZE + len(self.data), p.FRAGMENT_SIZE
        start = (self.sent - 1) * size - p.LENGTH_SIZE
        piece = self.data[max(start, 0) : start + size]
        if start < 0:
            piece = len(self.data).to_bytes(p.LENGTH_SIZE, "little") + piece
        return p.StreamFragment(self.stream, total, self.sent, piece)


@attrs.define(eq=False, weakref_slot=False)
class Outbox:
    """Messages of a session that are not known to have arrived, in their order."""

    all: dict[int, Outgoing] = attrs.field(factory=dict)
    queue: list[int] = attrs.field(factory=list)
    """Of which something was not sent yet."""
    size: int = 0
    """Bytes of them, and what they cost."""
    given: int = 0
    streams: int = 0

    def add(self, data: bytes) -> None:
        stream = None
        if p.LENGTH_SIZE + len(data) > p.MAX_SHORT:
            self.streams, stream = self.streams + 1, self.streams & (p.STREAM_OF_UPPER_LAYER - 1)
        self.given += 1
        self.all[self.given] = Outgoing(data, stream)
        self.queue.append(self.given)
        self.size += len(data) + COST

    def next(self) -> tuple[int, p.ShortMessage | p.StreamFragment]:
        """The next packet to be sent first, and of which message. Something waits."""
        number = self.queue[0]
        message = self.all[number]
        body = message.next()
        if message.sent == message.packets:
            del self.queue[0]
        return number, body

    def note_arrived(self, numbers: list[int]) -> None:
        """Packets of these messages arrived."""
        for number in numbers:
            message = self.all[number]
            message.waiting -= 1
            if not message.waiting and message.sent == message.packets:
                self.size -= len(message.data) + COST
                del self.all[number]

    def messages(self) -> tuple[bytes, ...]:
        """What is not known to have arrived."""
        return tuple(message.data for message in self.all.values())
