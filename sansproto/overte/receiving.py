"""What comes reliably from one address: each packet once, and messages put together. docs/protocols/overte.rst."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

import attrs

from ..component import Component, Note
from ..machine import Guards, Input, Row, Table
from ..snapshot import CACHED
from .header import Control, ControlType, Header, Part, Position, encode_datagram, next_sequence, sequence_distance
from .parts import Arrival, ChannelHost
from .remote import Remote, path_of
from .versions import PacketType

_LEAST_PART: Final = 256  # bytes that a part of a long message has on average, at least: parts cost memory too

UNFINISHED: Final = Note("unfinished message", ref="the end of a channel")
TOO_FAR: Final = Note("too far ahead", ref="acknowledgement")
TOO_MANY: Final = Note("too many messages at once", ref="messages")
TOO_LARGE: Final = Note("message too large", ref="messages")
CONTRADICTORY: Final = Note("contradictory message", ref="messages")
TOO_MUCH_UNFINISHED: Final = Note("too much is unfinished", ref="messages")


class ReceivingState(Enum):
    UNKNOWN = 0
    """The first number was not announced."""
    READY = 1


class ReceivingInput:
    HANDSHAKE = Input[ReceivingState, int]()
    NEXT = Input[ReceivingState, Arrival]()
    """The number that was expected."""
    AHEAD = Input[ReceivingState, Arrival]()
    """Numbers before it are missing."""
    DUPLICATE = Input[ReceivingState, Arrival]()
    TOO_FAR = Input[ReceivingState, Arrival]()
    NO_ROOM = Input[ReceivingState, Arrival]()
    """It begins one message more than may be unfinished."""


@attrs.define(eq=False, weakref_slot=False)
class Assembly:
    """A message of which parts are missing. One that failed keeps no parts, but stays until all of it has come."""

    type: PacketType
    source: int | None
    parts: dict[int, bytes] = attrs.field(factory=dict)
    size: int = 0
    arrived: int = 0
    """How many parts."""
    whole: int = 0
    """How many there are; 0: the last one is missing."""
    failed: bool = False

    @property
    def weight(self) -> int:
        """What it counts for among all that is unfinished."""
        return max(self.size, len(self.parts) * _LEAST_PART)

    def contradicts(self, header: Header, part: Part) -> bool:
        return (
            header.type is not self.type
            or header.source != self.source
            or part.number in self.parts
            or (part.number == 0) is not (part.position is Position.FIRST)
        )

    def fail(self) -> None:
        self.failed, self.size = True, 0
        self.parts.clear()


class ReceiverOwner(Protocol):
    """What all receivers have in common."""

    unfinished: int
    """Bytes of all messages of which parts are missing."""


class Receiver(Component[ReceivingState, ChannelHost]):
    """What comes from one address. Slotted: there may be one for each node of a large domain."""

    __slots__ = ("ahead", "first", "last", "messages", "owner", "remote")

    first: int
    """The number that was announced."""
    last: int
    """Up to here everything has come."""
    ahead: dict[int, None]
    """What has come beyond. An empty dict has a third of an empty set's size."""
    messages: dict[int, Assembly]
    remote: Annotated[Remote, CACHED]
    owner: Annotated[ReceiverOwner, CACHED]

    def __init__(self, host: ChannelHost, owner: ReceiverOwner, remote: Remote) -> None:
        super().__init__(host)
        self.owner, self.remote = owner, remote
        self.first = self.last = 0
        self.ahead, self.messages = {}, {}

    # -- guards and conditions

    def is_known_number(self, number: int) -> bool:
        return number == self.first

    def is_seen(self, arrival: Arrival) -> bool:
        number = arrival.header.sequence
        return sequence_distance(self.last, number) <= 0 or number in self.ahead

    def is_too_far(self, arrival: Arrival) -> bool:
        return sequence_distance(self.last, arrival.header.sequence) > self.host.limits.ahead

    def is_one_too_many(self, arrival: Arrival) -> bool:
        part = arrival.header.part
        if part is None or part.position is Position.ONLY or part.message in self.messages:
            return False
        return len(self.messages) >= self.host.limits.messages

    def is_next(self, arrival: Arrival) -> bool:
        return sequence_distance(self.last, arrival.header.sequence) == 1

    # -- actions

    def start(self, number: int) -> None:
        self.first = number
        self.last = next_sequence(number, -1)
        self.ahead.clear()

    def fail_messages(self) -> None:
        for assembly in self.messages.values():
            self.owner.unfinished -= assembly.weight
            if not assembly.failed:
                self.host.count_note(UNFINISHED, self)
        self.messages.clear()

    def advance(self, arrival: Arrival) -> None:
        last = arrival.header.sequence
        while (number := next_sequence(last)) in self.ahead:
            del self.ahead[number]
            last = number
        self.last = last

    def remember(self, arrival: Arrival) -> None:
        self.ahead[arrival.header.sequence] = None

    def note_too_far(self) -> None:
        """What is acknowledged then is something else, so it comes again; a sender that counts otherwise notices."""
        self.host.count_note(TOO_FAR, self)

    def note_too_many(self) -> None:
        self.host.count_note(TOO_MANY, self)

    def deliver(self, arrival: Arrival) -> None:
        """A single packet, or the message that this part completes: then ``arrival`` is of the part that came last."""
        header = arrival.header
        if header.part is not None and header.part.position is not Position.ONLY:
            message = self._assemble(header, header.part, arrival.payload)
            if message is None:
                return
            arrival.payload = message
        self.host.arrived(arrival)

    def send_handshake_ack(self, number: int) -> None:
        self._send(Control(ControlType.HANDSHAKE_ACK, number))

    def send_handshake_request(self) -> None:
        self._send(Control(ControlType.HANDSHAKE_REQUEST))

    def send_ack(self) -> None:
        self._send(Control(ControlType.ACK, self.last))

    # -- inside

    def _send(self, control: Control) -> None:
        self.host.send_datagram(encode_datagram(control), path_of(self.remote), control.type.name)

    def _assemble(self, header: Header, part: Part, payload: bytes) -> bytes | None:
        """Put a part in its place; the message, if it is complete now."""
        assembly = self.messages.get(part.message)
        if assembly is None:
            assembly = self.messages[part.message] = Assembly(header.type, header.source)
        assembly.arrived += 1
        if part.position is Position.LAST:
            assembly.whole = part.number + 1
        if not assembly.failed:
            self._add_part(assembly, header, part, payload)
        if not assembly.whole or assembly.arrived < assembly.whole:
            return None
        del self.messages[part.message]
        self.owner.unfinished -= assembly.weight
        if assembly.failed:
            return None
        if max(assembly.parts) >= assembly.whole:
            self.host.count_note(CONTRADICTORY, self)
            return None
        return b"".join([assembly.parts[number] for number in range(assembly.whole)])

    def _add_part(self, assembly: Assembly, header: Header, part: Part, payload: bytes) -> None:
        owner, limits, size = self.owner, self.host.limits, len(payload)
        owner.unfinished -= assembly.weight
        if assembly.size + size > limits.message_size or len(assembly.parts) >= limits.message_size // _LEAST_PART:
            note = TOO_LARGE
        elif assembly.contradicts(header, part):
            note = CONTRADICTORY
        else:
            assembly.parts[part.number] = payload
            assembly.size += size
            if owner.unfinished + assembly.weight <= limits.unfinished:
                owner.unfinished += assembly.weight
                return
            note = TOO_MUCH_UNFINISHED
        assembly.fail()
        self.host.count_note(note, self)


_S, _I, _R = ReceivingState, ReceivingInput, Receiver

DATA: Final = (
    Guards.of(_R, _S, Arrival, "data")
    .give_if(_R.is_seen, _I.DUPLICATE, ref="acknowledgement")
    .give_if(_R.is_too_far, _I.TOO_FAR, ref="acknowledgement")
    .give_if(_R.is_one_too_many, _I.NO_ROOM, ref="messages")
    .give_if(_R.is_next, _I.NEXT, ref="acknowledgement")
    .give(_I.AHEAD)
)

RECEIVING: Final = Table[Receiver, ReceivingState](
    Receiver,
    ReceivingInput,
    name="overte.receiving",
    initial=_S.UNKNOWN,
    idle={_S.UNKNOWN: "the other end's handshake", _S.READY: "the other end"},
    rows=(
        Row(_S.UNKNOWN, _I.HANDSHAKE, _S.READY, _R.start, _R.send_handshake_ack, ref="handshake"),
        Row(_S.READY, _I.HANDSHAKE, None, _R.send_handshake_ack, when=_R.is_known_number, ref="handshake"),
        Row(_S.READY, _I.HANDSHAKE, None, _R.fail_messages, _R.start, _R.send_handshake_ack, ref="handshake"),
        Row(
            _S.UNKNOWN,
            _I.NEXT | _I.AHEAD | _I.DUPLICATE | _I.TOO_FAR | _I.NO_ROOM,
            None,
            _R.send_handshake_request,
            ref="handshake request",
        ),
        Row(_S.READY, _I.NEXT, None, _R.advance, _R.send_ack, _R.deliver, ref="acknowledgement"),
        Row(_S.READY, _I.AHEAD, None, _R.remember, _R.send_ack, _R.deliver, ref="acknowledgement"),
        Row(_S.READY, _I.DUPLICATE, None, _R.send_ack, ref="acknowledgement"),
        Row(_S.READY, _I.TOO_FAR, None, _R.note_too_far, _R.send_ack, ref="acknowledgement"),
        Row(_S.READY, _I.NO_ROOM, None, _R.note_too_many, _R.send_ack, ref="messages"),
    ),
    defaults=(),
)
