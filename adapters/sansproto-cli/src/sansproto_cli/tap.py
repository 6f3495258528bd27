"""A relay that shows what passes through it: packets as trees, and of the rooms what a relay can see at all."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import attrs

from sansproto.bob import SECURE_PORT, Relay
from sansproto.bob.packets import CLOSE, FRAME, TAG_SIZE, PublicParameters, RoomAnswer, RoomLine
from sansproto.contract import Address, Link, SendBytes, Transmit
from sansproto.errors import Fault, WireError
from sansproto.wire import Node

_HEADER = 2  # bytes before a record


@attrs.frozen
class Passed:
    """One packet. ``peer`` is the identity of the other end, ``uid`` that of the header, None on the secure port."""

    time: float
    peer: str
    to_relay: bool
    uid: int | None
    packet: Node


@attrs.define
class Records:
    """What one direction of a room carried."""

    count: int = 0
    size: int = 0


class TappedRelay(Relay):
    """Calls ``seen`` for every packet, and counts the records of its rooms by the identity of who sent them."""

    def watch(self, seen: Callable[[Passed], None]) -> None:
        """Call once, before the relay runs."""
        self.seen = seen
        self.records: dict[str, Records] = {}
        self.taps: dict[tuple[Link, bool], _Tap] = {}

    def stream_accepted(self, listener: str, peer: Address, now: float) -> Link:
        link = super().stream_accepted(listener, peer, now)
        for to_relay in (True, False):
            self.taps[link, to_relay] = _Tap(self, str(peer), to_relay, is_room=listener == SECURE_PORT)
        return link

    def receive_data(self, link: Link, data: bytes, now: float) -> None:
        self.taps[link, True].feed(data, now)
        super().receive_data(link, data, now)

    def next_transmit(self) -> Transmit | None:
        transmit = super().next_transmit()
        if isinstance(transmit, SendBytes):
            self.taps[transmit.link, False].feed(transmit.data, self.clock)
        return transmit


@attrs.define
class _Tap:
    """One direction of one connection."""

    relay: TappedRelay
    peer: str
    to_relay: bool
    is_room: bool
    _is_greeted: bool = False  # the line, or its answer, is behind us
    _buffer: bytes = b""

    def feed(self, data: bytes, now: float) -> None:
        self._buffer += data
        try:
            while self._buffer:
                self._take(now)
        except WireError as error:
            if error.fault is not Fault.TRUNCATED:
                raise

    def _take(self, now: float) -> None:
        if not self.is_room:
            header, _, end = FRAME.decode_prefix(self._buffer, 0)
            node = FRAME.dissect(self._cut(end)).children[1]
            self.relay.seen(Passed(now, self.peer, self.to_relay, header.uid, node))
        elif not self._is_greeted:
            packet = RoomLine if self.to_relay else RoomAnswer
            _, end = packet.decode_prefix(self._buffer, 0)
            self._is_greeted = True
            self.relay.seen(Passed(now, self.peer, self.to_relay, None, packet.dissect(self._cut(end))))
        elif self._buffer.startswith(CLOSE):
            self._cut(len(CLOSE))
            closing = Node(name="close", offset=0, raw=CLOSE)
            self.relay.seen(Passed(now, self.peer, self.to_relay, None, closing))
        else:
            size = int.from_bytes(self._buffer[:_HEADER], "big") + _HEADER + TAG_SIZE
            if len(self._buffer) < max(size, len(CLOSE)):
                raise WireError(Fault.TRUNCATED)
            self._cut(size)
            if self.to_relay:
                records = self.relay.records.setdefault(self.peer, Records())
                records.count += 1
                records.size += size

    def _cut(self, size: int) -> bytes:
        piece, self._buffer = self._buffer[:size], self._buffer[size:]
        return piece


def summary(packet: Node) -> str:
    """The fields of a packet on one line, long ones shortened."""
    return "  ".join(f"{node.name} {_short(node)}".strip() for node in packet.children)


def _short(node: Node) -> str:
    value = node.value
    if node.name == "public":
        return "(" + ", ".join(_short(child) for child in PublicParameters.dissect(node.raw).children[2:5]) + ")"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bytes):
        return value.hex()[:8] + "\N{HORIZONTAL ELLIPSIS}" + f" ({len(value)} bytes)"
    return str(value)
