"""What goes to one address reliably, in the order of its numbers. docs/protocols/overte.rst, handshake.

Numbers have 27 bits and go round.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

import attrs

from ..component import Component, Note, Refusal
from ..contract import Instant, Path
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .header import (
    MAX_MESSAGE_NUMBER,
    MAX_SEQUENCE,
    Control,
    ControlType,
    Header,
    Position,
    encode_datagram,
    next_sequence,
    obfuscation_level,
    sequence_distance,
)
from .parts import ChannelHost
from .remote import Remote, path_of
from .versions import PacketType

_FASTEST_RESEND: Final = 0.01  # seconds
_MOST_BACKOFF: Final = 10  # doublings: from the fastest to over the slowest
_MOST_MISMATCHES: Final = 3  # more than a network could have kept back for so long
_SHARE: Final = 100  # of the room that is left, what more than one message to an address may take: a hundredth

QUEUE_FULL: Final = Refusal("reliable queue full", ref="acknowledgement")
TOO_MUCH_UNACKNOWLEDGED: Final = Refusal("too much is unacknowledged", ref="messages")
MISMATCH: Final = Note("an acknowledgement that does not fit", ref="handshake request")
UNDELIVERED: Final = Note("undelivered", ref="giving up")


class SendingState(Enum):
    UNSHAKEN = 0
    """The other end does not know our numbers."""
    SHAKING = 1
    FLOWING = 2
    """Something is not acknowledged."""
    RESTING = 3


class SendingInput:
    QUEUED = Input[SendingState, None]()
    SHAKEN = Input[SendingState, int]()
    PROGRESS = Input[SendingState, int]()
    """Some of what is in flight is acknowledged."""
    ALL_ACKED = Input[SendingState, int]()
    STALE = Input[SendingState, int]()
    """It acknowledges nothing new, or what was never sent."""
    REQUESTED = Input[SendingState, None]()
    """The other end asks for a handshake."""
    HANDSHAKE_EXPIRED = Input[SendingState, None]()
    RESEND_EXPIRED = Input[SendingState, None]()
    GAVE_UP = Input[SendingState, None]()


@attrs.define(eq=False, weakref_slot=False)
class Outgoing:
    """A packet that must arrive. The sequence number and level in its header are those of its last sending."""

    header: Header
    payload: bytes
    sendings: int = 0
    sent: Instant = 0.0

    @property
    def is_unfinished(self) -> bool:
        """Do parts of the same message follow?"""
        part = self.header.part
        return part is not None and part.position in (Position.FIRST, Position.MIDDLE)

    @property
    def is_first(self) -> bool:
        """Is it all of what is sent, or where that begins?"""
        part = self.header.part
        return part is None or part.position in (Position.ONLY, Position.FIRST)

    @property
    def size(self) -> int:
        """Bytes that count among all that is unacknowledged: those of messages."""
        return 0 if self.header.part is None else len(self.payload)


class SenderOwner(Protocol):
    """What all senders have in common."""

    unacknowledged: int
    """Bytes of all messages that did not yet arrive as a whole."""


class Sender(Component[SendingState, ChannelHost]):
    """What goes to one address: one list, first packets that are held, then those in flight, then those that wait.

    Slotted, and with a list although packets are taken from in front: there may be one for each node of a large domain,
    and an empty deque needs ten times as much memory.
    """

    __slots__ = (
        *("backoff", "count_held", "count_in_flight", "first", "handshakes", "message", "mismatches", "next", "owner"),
        *("packets", "remote", "rttvar", "size", "srtt", "was_odd"),
    )

    first: int
    """The number that the handshake announces."""
    next: int
    """The number of the first packet that waits."""
    handshakes: int
    """How often it was announced and not confirmed."""
    packets: list[Outgoing]
    count_held: int
    """So many are acknowledged parts of a message that is not, as a whole."""
    count_in_flight: int
    """So many were sent and are not acknowledged."""
    message: int
    """The number of the last one."""
    size: int
    """Bytes of messages among all packets."""
    was_odd: bool
    """The last answer since the last resend did not fit."""
    mismatches: int
    """Sendings, one after the other, of which that can be said."""
    backoff: int
    """How often the time until a resend was doubled."""
    srtt: float
    """Smoothed time from a packet to its acknowledgement; 0: not yet measured."""
    rttvar: float
    remote: Annotated[Remote, CACHED]
    owner: Annotated[SenderOwner, CACHED]

    def __init__(self, host: ChannelHost, owner: SenderOwner, remote: Remote) -> None:
        super().__init__(host)
        self.owner, self.remote, self.packets = owner, remote, []
        self.first = self.next = self.handshakes = self.message = self.mismatches = self.backoff = 0
        self.size = self.count_held = self.count_in_flight = 0
        self.srtt = self.rttvar = 0.0
        self.was_odd = False

    @property
    def in_flight(self) -> list[Outgoing]:
        return self.packets[self.count_held : self.count_held + self.count_in_flight]

    @property
    def count_waiting(self) -> int:
        return len(self.packets) - self.count_held - self.count_in_flight

    @property
    def oldest(self) -> int:
        """The number of the first packet that is not acknowledged."""
        return next_sequence(self.next, -self.count_in_flight)

    # -- for the endpoint

    def count(self, type: PacketType) -> int:
        """How many single packets and messages of a type wait here until they have arrived."""
        return sum(packet.header.type is type and packet.is_first for packet in self.packets)

    def queue(self, packets: list[Outgoing]) -> bool:
        """Let packets wait for their turn, all or none of them; False, and counted, if they cannot."""
        limits = self.host.limits
        if self.count_waiting + len(packets) > limits.reliable_queue:
            self.host.count_refusal(QUEUE_FULL, self)
            return False
        size, left = sum(packet.size for packet in packets), limits.unacknowledged - self.owner.unacknowledged
        if size and (size > left or (self.size and self.size + size > left // _SHARE)):
            self.host.count_refusal(TOO_MUCH_UNACKNOWLEDGED, self)
            return False
        self._weigh(size)
        self.packets.extend(packets)
        self.post(SendingInput.QUEUED())
        return True

    def next_message(self) -> int:
        """The number of one more message."""
        self.message = (self.message + 1) & MAX_MESSAGE_NUMBER
        return self.message

    def draw_number(self) -> None:
        """Begin anew somewhere."""
        host, port, _ = self.remote
        drawn = self.host.draw(4, f"channel.{host}:{port}.start")
        self.first = self.next = int.from_bytes(drawn, "big") & MAX_SEQUENCE

    def discard(self) -> int:
        """Forget all packets; their number."""
        count = len(self.packets)
        self.packets.clear()
        self.count_held = self.count_in_flight = 0
        self._weigh(-self.size)
        return count

    # -- guards and conditions

    def is_our_number(self, number: int) -> bool:
        return number == self.first

    def is_nothing_new(self, number: int) -> bool:
        return not self._acknowledged_by(number)

    def is_everything(self, number: int) -> bool:
        return self._acknowledged_by(number) == self.count_in_flight and not self.count_waiting

    def is_repeated(self, number: int) -> bool:
        """Is it the last acknowledgement again?"""
        return number == next_sequence(self.oldest, -1)

    def is_misunderstood(self) -> bool:
        """Does the other end go on to acknowledge what does not fit? It has another first number then."""
        return self.mismatches + self.was_odd >= _MOST_MISMATCHES

    # -- delays

    def resend_delay(self) -> float:
        delays = self.host.delays
        estimate = self.srtt + 4 * self.rttvar if self.srtt else delays.resend
        return min(max(estimate, _FASTEST_RESEND) * 2.0**self.backoff, delays.slowest_resend)

    def handshake_delay(self) -> float:
        """An address that was never heard may be somebody's who asked for nothing."""
        delays = self.host.delays
        return min(delays.handshake * 2.0 ** min(self.handshakes, _MOST_BACKOFF), delays.slowest_resend)

    def undelivered_delay(self) -> float:
        return self.host.delays.undelivered

    # -- actions

    def send_handshake(self) -> None:
        self.handshakes += 1
        kind = ControlType.HANDSHAKE
        self.host.send_datagram(encode_datagram(Control(kind, self.first)), path_of(self.remote), kind.name)

    def send_more(self) -> None:
        self.handshakes = 0
        begin, path = self.count_held + self.count_in_flight, path_of(self.remote)
        for packet in self.packets[begin : self.count_held + self.host.limits.window]:
            packet.sendings = 0
            self.count_in_flight += 1
            self._send(packet, self.next, path)
            self.next = next_sequence(self.next)

    def resend(self) -> None:
        self.backoff = min(self.backoff + 1, _MOST_BACKOFF)
        self.mismatches += self.was_odd
        self.was_odd = False
        number, path = self.oldest, path_of(self.remote)
        for packet in self.in_flight:
            self._send(packet, number, path)
            number = next_sequence(number)

    def renumber(self) -> None:
        """A new first number for all that did not arrive as a whole."""
        self.draw_number()
        self.handshakes = 0
        self.trust()
        self.count_held = self.count_in_flight = 0

    def take_ack(self, number: int) -> None:
        """What is acknowledged need not be sent again."""
        self.trust()
        count = self._acknowledged_by(number)
        newest = self.packets[self.count_held + count - 1]
        for _ in range(count):
            self.count_held += 1
            self.count_in_flight -= 1
            if not self.packets[self.count_held - 1].is_unfinished:
                self._weigh(-sum(packet.size for packet in self.packets[: self.count_held]))
                del self.packets[: self.count_held]
                self.count_held = 0
        if newest.sendings == 1:
            self._measure(self.host.clock - newest.sent)
        if newest.sendings == 1 or count > 1:  # a gap was closed: the packet was lost, not late
            self.backoff = 0

    def trust(self) -> None:
        """The other end counts as we do."""
        self.was_odd, self.mismatches = False, 0

    def note_mismatch(self) -> None:
        """An old handshake that was kept back takes the other end to old numbers, and it would stay there."""
        self.host.count_note(MISMATCH, self)
        self.was_odd = True

    def give_up(self) -> None:
        count = self.discard()
        self.host.count_note(UNDELIVERED, self)
        self.host.undelivered(path_of(self.remote), count)

    # -- inside

    def _acknowledged_by(self, number: int) -> int:
        """How many more packets are acknowledged by this number; 0 if it means nothing now."""
        count = sequence_distance(self.oldest, number) + 1
        return count if 0 < count <= self.count_in_flight else 0

    def _measure(self, rtt: float) -> None:
        """Take a measured time into the estimate, as TCP does."""
        if self.srtt == 0.0:
            self.srtt, self.rttvar = rtt, rtt / 2
        else:
            self.rttvar += (abs(rtt - self.srtt) - self.rttvar) / 4
            self.srtt += (rtt - self.srtt) / 8

    def _weigh(self, size: int) -> None:
        self.size += size
        self.owner.unacknowledged += size

    def _send(self, packet: Outgoing, number: int, path: Path) -> None:
        level = obfuscation_level(packet.sendings)
        packet.header = attrs.evolve(packet.header, sequence=number, obfuscation=level)
        packet.sendings += 1
        packet.sent = self.host.clock
        self.host.send_datagram(encode_datagram(packet.header, packet.payload), path, packet.header.type.name)


_S, _I, _O = SendingState, SendingInput, Sender

HANDSHAKE_ACK: Final = (
    Guards.of(_O, SendingState, int, "handshake_ack")
    .need(_O.is_our_number, "a number that means nothing now", ref="handshake")
    .give(_I.SHAKEN)
)
ACK: Final = (
    Guards.of(_O, SendingState, int, "ack")
    .give_if(_O.is_nothing_new, _I.STALE, ref="acknowledgement")
    .give_if(_O.is_everything, _I.ALL_ACKED, ref="acknowledgement")
    .give(_I.PROGRESS)
)


class SendingTimer:
    HANDSHAKE = Timer(_I.HANDSHAKE_EXPIRED, Sender.handshake_delay)
    RESEND = Timer(_I.RESEND_EXPIRED, Sender.resend_delay)
    UNDELIVERED = Timer(_I.GAVE_UP, Sender.undelivered_delay)


_T = SendingTimer
_BUSY = (_S.SHAKING, _S.FLOWING)
_FLOW = (_T.RESEND, _T.UNDELIVERED)

SENDING: Final = Table[Sender, SendingState](
    Sender,
    SendingInput,
    SendingTimer,
    name="overte.sending",
    initial=_S.UNSHAKEN,
    idle={_S.UNSHAKEN: "the next reliable packet", _S.RESTING: "the next reliable packet"},
    rows=(
        Row(_S.UNSHAKEN, _I.QUEUED, _S.SHAKING, _O.send_handshake, arm=(_T.HANDSHAKE, _T.UNDELIVERED), ref="handshake"),
        Row(_S.SHAKING, _I.QUEUED, None, ref="handshake"),
        Row(_S.SHAKING, _I.HANDSHAKE_EXPIRED, None, _O.send_handshake, arm=(_T.HANDSHAKE,), ref="handshake"),
        Row(_S.SHAKING, _I.SHAKEN, _S.FLOWING, _O.send_more, arm=(_T.RESEND,), cancel=(_T.HANDSHAKE,), ref="handshake"),
        Row(_S.FLOWING, _I.QUEUED, None, _O.send_more, ref="acknowledgement"),
        Row(_S.RESTING, _I.QUEUED, _S.FLOWING, _O.send_more, arm=_FLOW, ref="acknowledgement"),
        Row(_S.FLOWING, _I.PROGRESS, None, _O.take_ack, _O.send_more, arm=_FLOW, ref="acknowledgement"),
        Row(_S.FLOWING, _I.ALL_ACKED, _S.RESTING, _O.take_ack, cancel=_FLOW, ref="acknowledgement"),
        Row(_S.FLOWING, _I.STALE, None, _O.trust, when=_O.is_repeated, ref="acknowledgement"),
        Row(_S.FLOWING, _I.STALE, None, _O.note_mismatch, ref="handshake request"),
        Row(
            _S.FLOWING,
            _I.RESEND_EXPIRED,
            _S.SHAKING,
            _O.renumber,
            _O.send_handshake,
            when=_O.is_misunderstood,
            arm=(_T.HANDSHAKE,),
            cancel=(_T.RESEND,),
            ref="handshake request",
        ),
        Row(_S.FLOWING, _I.RESEND_EXPIRED, None, _O.resend, arm=(_T.RESEND,), ref="resending"),
        Row(
            _S.FLOWING,
            _I.REQUESTED,
            _S.SHAKING,
            _O.renumber,
            _O.send_handshake,
            arm=(_T.HANDSHAKE,),
            cancel=(_T.RESEND,),
            ref="handshake request",
        ),
        Row(_S.RESTING, _I.REQUESTED, _S.UNSHAKEN, _O.renumber, ref="handshake request"),
        Row(_BUSY, _I.GAVE_UP, _S.UNSHAKEN, _O.renumber, _O.give_up, cancel=(_T.HANDSHAKE, *_FLOW), ref="giving up"),
    ),
    defaults=(
        Default(Outcome.IGNORE, "a number that means nothing now", _I.STALE),
        Default(Outcome.IGNORE, "late control packet"),
    ),
)
