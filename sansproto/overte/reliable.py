"""The reliable channel: what must arrive at an address, and what came from it. docs/protocols/overte.rst, handshake.

Two objects for each address: a :class:`Sender` and a :class:`Receiver`, which know nothing of each other. Numbers have
27 bits and go round.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias, TypeVar

import attrs

from ..contract import Entropy, Instant, Path, SendDatagram
from ..events import Closed
from ..old_endpoint import EndpointBase
from ..old_machine import Machine
from ..snapshot import CACHED
from ..trace import PacketSeen, Trace
from .header import (
    MAX_SEQUENCE,
    Control,
    ControlType,
    Head,
    Header,
    Part,
    Position,
    encode_datagram,
    next_sequence,
    obfuscation_level,
    sequence_distance,
)
from .limits import TransportDelays, TransportLimits
from .tables import RECEIVING, SENDING
from .tables.reliable import ReceivingInput, ReceivingState, SendingInput, SendingState
from .versions import PacketType

E = TypeVar("E")

Remote: TypeAlias = tuple[str, int, int]
"""An address as the key of a channel: host, port, scope."""

_FASTEST_RESEND: Final = 0.01  # seconds
_MOST_BACKOFF: Final = 10  # doublings: from the fastest to over the slowest
_MOST_STRANGE: Final = 3  # answers: more than a network could have kept back for so long
_LEAST_PART: Final = 256  # bytes that a part of a long message has on average, at least: parts cost memory too
_SHARE: Final = 100  # of the room that is left, what more than one message to an address may take: a hundredth
_MESSAGE_NUMBERS: Final = 1 << 30


def remote_of(path: Path) -> Remote:
    """The key of the address that a path leads to."""
    return path.host, path.port, path.scope


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


@attrs.define(eq=False, weakref_slot=False)
class Sender:
    """What goes to one address reliably, in the order of its numbers: held, flying, waiting.

    Lists, although they are taken from in front: an empty deque needs ten times as much memory, and there may be one
    channel for each node of a large domain.
    """

    key: Remote
    path: Path
    first: int  # the number that the handshake announces
    next: int  # the number of the first packet that waits
    handshakes: int = 0  # how often it was announced and not confirmed
    state: SendingState = SendingState.UNSHAKEN
    held: list[Outgoing] = attrs.field(factory=list)  # acknowledged parts of a message that is not, as a whole
    flying: list[Outgoing] = attrs.field(factory=list)  # sent, not acknowledged
    waiting: list[Outgoing] = attrs.field(factory=list)
    message: int = 0  # the number of the last one
    size: int = 0  # bytes of messages among all packets
    was_odd: bool = False  # the last answer since the last resend did not fit
    strange: int = 0  # sendings, one after the other, of which that can be said
    backoff: int = 0  # how often the time until a resend was doubled
    trip: float = 0.0  # smoothed time from a packet to its acknowledgement; 0: not yet measured
    spread: float = 0.0

    @property
    def oldest(self) -> int:
        """The number of the first packet that is not acknowledged."""
        return next_sequence(self.next, -len(self.flying))

    def acknowledged_by(self, number: int) -> int:
        """How many more packets are acknowledged by this number; 0 if it means nothing now."""
        count = sequence_distance(self.oldest, number) + 1
        return count if 0 < count <= len(self.flying) else 0

    def measure(self, trip: float) -> None:
        """Take a measured time into the estimate, as TCP does."""
        if self.trip == 0.0:
            self.trip, self.spread = trip, trip / 2
        else:
            self.spread += (abs(trip - self.trip) - self.spread) / 4
            self.trip += (trip - self.trip) / 8

    def trust(self) -> None:
        """The other end counts as we do."""
        self.was_odd, self.strange = False, 0

    def gather(self) -> None:
        """Let everything that did not arrive as a whole wait again."""
        self.waiting = [*self.held, *self.flying, *self.waiting]
        self.held.clear()
        self.flying.clear()

    def clear(self) -> int:
        """Forget all packets; their number."""
        self.gather()
        count = len(self.waiting)
        self.waiting.clear()
        return count


@attrs.define(eq=False, weakref_slot=False)
class Assembly:
    """A message of which parts are missing. One that failed keeps no parts, but stays until all of it has come."""

    type: PacketType
    source: int | None
    parts: dict[int, bytes] = attrs.field(factory=dict)
    size: int = 0
    arrived: int = 0  # how many parts
    whole: int = 0  # how many there are; 0: the last one is missing
    failed: bool = False

    @property
    def weight(self) -> int:
        """What it counts for among all that is unfinished."""
        return max(self.size, len(self.parts) * _LEAST_PART)


@attrs.define(eq=False, weakref_slot=False)
class Receiver:
    """What comes reliably from one address."""

    key: Remote
    path: Path
    state: ReceivingState = ReceivingState.UNKNOWN
    first: int = 0  # the number that was announced
    last: int = 0  # up to here everything has come
    ahead: dict[int, None] = attrs.field(factory=dict)  # what has come beyond; a third of an empty set's size
    messages: dict[int, Assembly] = attrs.field(factory=dict)


Arrival: TypeAlias = tuple[Header, bytes, Any]
"""A packet with whoever sent it."""


class ReliableChannels(EndpointBase[E], abstract=True):
    """An endpoint with reliable channels, and the one place where datagrams are queued.

    There is a channel only with an address for which ``accepts_channel`` holds: who stops accepting it has to call
    ``forget_channel``.
    """

    _senders: dict[Remote, Sender]
    _receivers: dict[Remote, Receiver]
    _unfinished: int  # bytes of all messages of which parts are missing
    _unacknowledged: int  # and of all that did not yet arrive as a whole
    _limits: Annotated[TransportLimits, CACHED]

    _sending = Machine(SENDING, objects="_senders")
    _receiving = Machine(RECEIVING, objects="_receivers")

    def __init__(
        self, *, entropy: Entropy, delays: TransportDelays, limits: TransportLimits, trace: Trace | None
    ) -> None:
        super().__init__(entropy=entropy, delays=delays, limits=limits, trace=trace)
        self._limits = limits
        self._senders = {}
        self._receivers = {}
        self._unfinished = self._unacknowledged = 0

    # -- for the roles

    def accepts_channel(self, path: Path) -> bool:
        """May this address have a channel?"""
        return False

    def arrived(self, header: Header, payload: bytes, path: Path, peer: Any) -> None:
        """A packet was accepted, or a message is complete (``header`` is that of the part that came last)."""

    def undelivered(self, path: Path, count: int) -> None:
        """So many reliable packets to this address were given up."""

    def forget_channel(self, path: Path) -> None:
        """What waits for this address is dropped, as is what has come from it of unfinished messages."""
        key = remote_of(path)
        sender, receiver = self._senders.pop(key, None), self._receivers.pop(key, None)
        if sender is not None:
            self._post(self._sending, sender, SendingInput.FORGOTTEN)
        if receiver is not None:
            self._post(self._receiving, receiver, ReceivingInput.FORGOTTEN)

    # -- for the transport

    def send_datagram(self, data: bytes, path: Path, name: str) -> None:
        """Queue a datagram; over ``limits.outbox`` it is dropped and counted."""
        outbox, stats = self._outbox, self.stats
        if len(outbox) >= self._limits.outbox:
            self._drop("outbox full")
            return
        outbox.append(SendDatagram(data, path))
        stats.packets_sent += 1
        stats.bytes_sent += len(data)
        if self._trace is not None:
            self._trace(PacketSeen(self._clock, True, 0, name, len(data)))

    def _line_up(self, path: Path, packets: list[Outgoing]) -> bool:
        """Let packets wait for their turn, all or none of them; False, and counted, if they cannot."""
        sender = self._sender_to(path)
        if sender is None:
            self._drop("no channel")
            return False
        if len(sender.waiting) + len(packets) > self._limits.reliable_queue:
            self._drop("reliable queue full")
            return False
        size, left = _size_of(packets), self._limits.unacknowledged - self._unacknowledged
        if size and (size > left or (sender.size and sender.size + size > left // _SHARE)):
            self._drop("too much is unacknowledged")
            return False
        self._weigh_on(sender, size)
        sender.waiting.extend(packets)
        self._post(self._sending, sender, SendingInput.QUEUED)
        return True

    def _next_message(self, path: Path) -> int:
        """The number of one more message to this address."""
        sender = self._sender_to(path)
        if sender is None:
            return 0
        sender.message = (sender.message + 1) % _MESSAGE_NUMBERS
        return sender.message

    def _control(self, control: Control, path: Path) -> None:
        """A control packet came. From an address that may have no channel it does nothing."""
        if control.type is ControlType.HANDSHAKE:
            receiver = self._receiver_from(path)
            if receiver is not None:
                self._post(self._receiving, receiver, "handshake", control.sequence)
            return
        sender = self._senders.get(remote_of(path))
        if sender is None:
            self._drop("no channel")
        elif control.type is ControlType.ACK:
            self._post(self._sending, sender, "ack", control.sequence)
        elif control.type is ControlType.HANDSHAKE_ACK:
            self._post(self._sending, sender, "handshake_ack", control.sequence)
        else:
            self._post(self._sending, sender, "handshake_request")

    def _reliable(self, arrival: Arrival, path: Path) -> None:
        """A reliable packet came."""
        receiver = self._receiver_from(path)
        if receiver is not None:
            self._post(self._receiving, receiver, "data", arrival)

    def _end(self, closed: Closed) -> None:
        super()._end(closed)
        self._senders.clear()
        self._receivers.clear()
        self._unfinished = self._unacknowledged = 0

    # -- the ladders' checks

    def _sending_is_our_number(self, sender: Sender, number: int) -> bool:
        return number == sender.first

    def _sending_is_nothing_new(self, sender: Sender, number: int) -> bool:
        return not sender.acknowledged_by(number)

    def _sending_is_everything(self, sender: Sender, number: int) -> bool:
        return sender.acknowledged_by(number) == len(sender.flying) and not sender.waiting

    def _sending_is_misunderstood(self, sender: Sender, _: object) -> bool:
        return sender.strange + sender.was_odd >= _MOST_STRANGE

    def _sending_is_idle(self, sender: Sender, _: object) -> bool:
        return not sender.flying and not sender.waiting

    def _receiving_is_first(self, receiver: Receiver, _: int) -> bool:
        return receiver.state is ReceivingState.UNKNOWN

    def _receiving_is_known_number(self, receiver: Receiver, number: int) -> bool:
        return number == receiver.first

    def _receiving_is_seen(self, receiver: Receiver, arrival: Arrival) -> bool:
        number = arrival[0].sequence
        return sequence_distance(receiver.last, number) <= 0 or number in receiver.ahead

    def _receiving_is_too_far(self, receiver: Receiver, arrival: Arrival) -> bool:
        return sequence_distance(receiver.last, arrival[0].sequence) > self._limits.ahead

    def _receiving_is_one_too_many(self, receiver: Receiver, arrival: Arrival) -> bool:
        part = arrival[0].part
        if part is None or part.position is Position.ONLY or part.message in receiver.messages:
            return False
        return len(receiver.messages) >= self._limits.messages

    def _receiving_is_next(self, receiver: Receiver, arrival: Arrival) -> bool:
        return sequence_distance(receiver.last, arrival[0].sequence) == 1

    # -- what is sent: the table's actions

    def _sending_resend_delay(self, sender: Sender) -> float:
        delays = self._delays
        assert isinstance(delays, TransportDelays)
        estimate = sender.trip + 4 * sender.spread if sender.trip else delays.resend
        return min(max(estimate, _FASTEST_RESEND) * 2.0**sender.backoff, delays.slowest_resend)

    def _sending_handshake_delay(self, sender: Sender) -> float:
        """An address that was never heard may be somebody's who asked for nothing."""
        delays = self._delays
        assert isinstance(delays, TransportDelays)
        return min(delays.handshake * 2.0 ** min(sender.handshakes, _MOST_BACKOFF), delays.slowest_resend)

    def _sending_send_handshake(self, sender: Sender, _: object) -> None:
        sender.handshakes += 1
        self._send_control(ControlType.HANDSHAKE, sender.first, sender.path)

    def _sending_send_more(self, sender: Sender, _: object) -> None:
        sender.handshakes = 0
        while sender.waiting and len(sender.flying) < self._limits.window:
            packet = sender.waiting.pop(0)
            packet.sendings = 0
            sender.flying.append(packet)
            self._send_once_more(sender, packet, sender.next)
            sender.next = next_sequence(sender.next)

    def _sending_resend(self, sender: Sender, _: object) -> None:
        sender.backoff = min(sender.backoff + 1, _MOST_BACKOFF)
        sender.strange += sender.was_odd
        sender.was_odd = False
        number = sender.oldest
        for packet in sender.flying:
            self._send_once_more(sender, packet, number)
            number = next_sequence(number)

    def _sending_renumber(self, sender: Sender, _: object) -> None:
        sender.first = sender.next = self._draw_number(sender.key)
        sender.handshakes = 0
        sender.trust()
        sender.gather()

    def _sending_take_ack(self, sender: Sender, number: int) -> None:
        sender.trust()
        count = sender.acknowledged_by(number)
        newest = sender.flying[count - 1]
        for _ in range(count):
            packet = sender.flying.pop(0)
            sender.held.append(packet)
            if not packet.is_unfinished:
                self._weigh_on(sender, -_size_of(sender.held))
                sender.held.clear()
        if newest.sendings == 1:  # else nobody knows which sending was acknowledged
            sender.measure(self._clock - newest.sent)
        if newest.sendings == 1 or count > 1:  # a gap was closed: the packet was lost, not late
            sender.backoff = 0

    def _sending_weigh(self, sender: Sender, number: int) -> None:
        """An old handshake that was kept back takes the other end to old numbers, and it would stay there."""
        if number == next_sequence(sender.oldest, -1):
            sender.trust()
        else:
            self._drop("a number that means nothing now")
            sender.was_odd = True

    def _sending_discard(self, sender: Sender, _: object) -> None:
        sender.clear()
        self._weigh_on(sender, -sender.size)

    def _sending_give_up(self, sender: Sender, _: object) -> None:
        count = sender.clear()
        self._weigh_on(sender, -sender.size)
        self._drop("undelivered")
        self.undelivered(sender.path, count)

    def _weigh_on(self, sender: Sender, size: int) -> None:
        sender.size += size
        self._unacknowledged += size

    def _send_once_more(self, sender: Sender, packet: Outgoing, number: int) -> None:
        level = obfuscation_level(packet.sendings)
        packet.header = attrs.evolve(packet.header, sequence=number, obfuscation=level)
        packet.sendings += 1
        packet.sent = self._clock
        self.send_datagram(encode_datagram(packet.header, packet.payload), sender.path, packet.header.type.name)

    # -- what comes: the table's actions

    def _receiving_start(self, receiver: Receiver, number: int) -> None:
        receiver.first = number
        receiver.last = next_sequence(number, -1)
        receiver.ahead.clear()

    def _receiving_send_handshake_ack(self, receiver: Receiver, number: int) -> None:
        self._send_control(ControlType.HANDSHAKE_ACK, number, receiver.path)

    def _receiving_send_handshake_request(self, receiver: Receiver, _: object) -> None:
        self._send_control(ControlType.HANDSHAKE_REQUEST, None, receiver.path)

    def _receiving_fail_messages(self, receiver: Receiver, _: object) -> None:
        for assembly in receiver.messages.values():
            self._unfinished -= assembly.weight
            if not assembly.failed:
                self._drop("unfinished message")
        receiver.messages.clear()

    def _receiving_advance(self, receiver: Receiver, arrival: Arrival) -> None:
        last = arrival[0].sequence
        while (number := next_sequence(last)) in receiver.ahead:
            del receiver.ahead[number]
            last = number
        receiver.last = last

    def _receiving_remember(self, receiver: Receiver, arrival: Arrival) -> None:
        receiver.ahead[arrival[0].sequence] = None

    def _receiving_refuse(self, receiver: Receiver, arrival: Arrival) -> None:
        """What is acknowledged then is something else, so it comes again; a sender that counts otherwise notices."""
        self._drop("too far ahead" if self._receiving_is_too_far(receiver, arrival) else "too many messages at once")

    def _receiving_send_ack(self, receiver: Receiver, _: object) -> None:
        self._send_control(ControlType.ACK, receiver.last, receiver.path)

    def _receiving_deliver(self, receiver: Receiver, arrival: Arrival) -> None:
        header, payload, peer = arrival
        if header.part is not None and header.part.position is not Position.ONLY:
            message = self._assemble(receiver, header, header.part, payload)
            if message is None:
                return
            payload = message
        self.arrived(header, payload, receiver.path, peer)

    # -- inside

    def _assemble(self, receiver: Receiver, header: Header, part: Part, payload: bytes) -> bytes | None:
        """Put a part in its place; the message, if it is complete now."""
        assembly = receiver.messages.get(part.message)
        if assembly is None:
            assembly = receiver.messages[part.message] = Assembly(header.type, header.source)
        assembly.arrived += 1
        if part.position is Position.LAST:
            assembly.whole = part.number + 1
        if not assembly.failed:
            self._add_part(assembly, header, part, payload)
        if not assembly.whole or assembly.arrived < assembly.whole:
            return None
        del receiver.messages[part.message]
        self._unfinished -= assembly.weight
        if assembly.failed:
            return None
        if max(assembly.parts) >= assembly.whole:
            self._drop("contradictory message")
            return None
        return b"".join([assembly.parts[number] for number in range(assembly.whole)])

    def _add_part(self, assembly: Assembly, header: Header, part: Part, payload: bytes) -> None:
        parts, most, size = assembly.parts, self._limits.message_size, len(payload)
        self._unfinished -= assembly.weight
        if assembly.size + size > most or len(parts) >= most // _LEAST_PART:
            reason = "message too large"
        elif (
            header.type is not assembly.type
            or header.source != assembly.source
            or part.number in parts
            or (part.number == 0) is not (part.position is Position.FIRST)
        ):
            reason = "contradictory message"
        else:
            parts[part.number] = payload
            assembly.size += size
            if self._unfinished + assembly.weight <= self._limits.unfinished:
                self._unfinished += assembly.weight
                return
            reason = "too much is unfinished"
        assembly.failed, assembly.size = True, 0
        parts.clear()
        self._drop(reason)

    def _send_control(self, kind: ControlType, number: int | None, path: Path) -> None:
        head: Head = Control(kind, number)
        self.send_datagram(encode_datagram(head), path, kind.name)

    def _sender_to(self, path: Path) -> Sender | None:
        key = remote_of(path)
        sender = self._senders.get(key)
        if sender is None and self.accepts_channel(path):
            number = self._draw_number(key)
            sender = self._senders[key] = Sender(key, path, number, number)
        return sender

    def _receiver_from(self, path: Path) -> Receiver | None:
        key = remote_of(path)
        receiver = self._receivers.get(key)
        if receiver is None and self.accepts_channel(path):
            receiver = self._receivers[key] = Receiver(key, path)
        if receiver is None:
            self._drop("no channel")
        return receiver

    def _draw_number(self, key: Remote) -> int:
        assert self._entropy is not None  # the constructor of a transport asks for it
        drawn = self._entropy(4, purpose=f"channel.{key[0]}:{key[1]}.start")
        return int.from_bytes(drawn, "big") & MAX_SEQUENCE


def _size_of(packets: list[Outgoing]) -> int:
    """Bytes of those that belong to messages."""
    return sum(len(packet.payload) for packet in packets if packet.header.part is not None)
