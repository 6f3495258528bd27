"""What client, server and ice-server share: one socket, headers, sources. docs/protocols/overte.rst, datagrams."""

from __future__ import annotations

from collections import OrderedDict
from struct import Struct
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

from ..component import Component, Declared, Parts, Refusal
from ..contract import Address, Entropy, Path
from ..endpoint import DatagramEndpoint
from ..events import Closed
from ..machine import Guards, S
from ..snapshot import CACHED
from ..trace import Trace
from ..wire import Packet
from . import crypto
from .channels import OTHER_VERSION, PACKET, Channels, ChannelsInput
from .header import MAX_SEQUENCE, NO_MAC, ROOM, Control, Head, Header, Part, decode_datagram, encode_datagram
from .limits import TransportDelays, TransportLimits
from .packets import PACKETS
from .parts import Arrival, Peer
from .remote import SOCKET, Remote, remote_of
from .sending import Outgoing
from .versions import Form, PacketType, VersionTable

E = TypeVar("E")
Delays = TypeVar("Delays", bound=TransportDelays)
Limits = TypeVar("Limits", bound=TransportLimits)

_UNSOURCED: Final = Struct("<IBB").pack
_SOURCED: Final = Struct("<IBBH").pack
_VERIFIED: Final = Struct("<IBBH16s").pack
_TYPES: Final[dict[type[Packet], PacketType]] = {kind: tuple(PacketType)[number] for number, kind in PACKETS.items()}
# To look a member up costs more than a struct call.
_HAS_NO_SOURCE, _HAS_SOURCE, _HAS_MAC = Form.UNSOURCED, Form.SOURCED, Form.VERIFIED

TOO_LARGE: Final = Refusal("message too large", ref="messages")

Content: TypeAlias = Packet | tuple[PacketType, bytes]
"""What a datagram holds: a packet, or a type and a payload that is encoded already."""


class OverteEndpoint(DatagramEndpoint[E, tuple[Head, bytes]], Generic[E, Delays, Limits]):
    """An endpoint on one UDP socket, :data:`SOCKET`, that speaks with any number of others.

    Nothing that a stranger sends changes more than counters; roles decide by their hooks who is none.
    """

    local: Address | None
    """Of our socket."""
    channels: Channels
    _sequences: OrderedDict[Remote, int]
    """The last unreliable number to each address."""
    versions: Annotated[VersionTable, CACHED]
    delays: Annotated[Delays, CACHED]
    limits: Annotated[Limits, CACHED]

    def __init__(
        self,
        *,
        entropy: Entropy,
        wall_epoch: float,
        versions: VersionTable,
        delays: Delays,
        limits: Limits,
        trace: Trace | None,
    ) -> None:
        super().__init__(entropy=entropy, limits=limits, wall_epoch=wall_epoch, trace=trace)
        self.versions, self.delays, self.limits = versions, delays, limits
        self.local = None
        self._sequences = OrderedDict()
        self.channels = Channels(self)

    # -- the contract

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        if socket != SOCKET:
            self._unexpected(now)
        elif self.alive(now):
            self.local = address

    # -- sending

    def send_packet(self, path: Path, packet: Packet, *, source: int = 0, secret: bytes = b"") -> None:
        """Send a packet once. ``source`` is our local id, for types whose header has one."""
        type, payload = _TYPES[packet.__class__], packet.encode()
        self.send_raw(path, type, payload, source=source, mac=self.mac_for(type, payload, secret))

    def answer(self, path: Path, packet: Packet) -> None:
        """Send a packet without a source to somebody of whom nothing is kept: it is always the first one to them."""
        type, payload = _TYPES[packet.__class__], packet.encode()
        header = Header(type, 1, self.versions[type])
        self.send_datagram(encode_datagram(header, payload), path, type.name)

    def send_raw(self, path: Path, type: PacketType, payload: bytes, *, source: int = 0, mac: bytes = NO_MAC) -> bool:
        """The same with a payload that is encoded already, and its MAC, for types whose header has one.

        False, and counted, if too many datagrams wait.
        """
        remote = (path.host, path.port, path.scope)
        sequences = self._sequences
        last = sequences.get(remote)
        if last is None:
            if len(sequences) >= self.limits.addresses:
                sequences.popitem(last=False)
            last = 0
        sequences[remote] = sequence = last + 1 & MAX_SEQUENCE
        # The hot path: what encode_datagram does for such a header, which is not made.
        value, form = type._value_, type.form
        version = self.versions.versions[value]
        if form is _HAS_NO_SOURCE:
            head = _UNSOURCED(sequence, value, version)
        elif form is _HAS_SOURCE:
            head = _SOURCED(sequence, value, version, source)
        else:
            head = _VERIFIED(sequence, value, version, source, mac)
        return self.send_datagram(head + payload, path, type._name_)

    def send_reliable(self, path: Path, content: Content, *, source: int = 0, secret: bytes = b"") -> bool:
        """Send a packet until it is acknowledged.

        False, and counted, if the address may have no channel or too much waits for it.
        """
        type, payload = content if isinstance(content, tuple) else (_TYPES[content.__class__], content.encode())
        sender = self.channels.sender_to(path)
        return sender is not None and sender.queue([self._outgoing(type, payload, source, secret)])

    def send_message(
        self, path: Path, type: PacketType, payload: bytes, *, source: int = 0, secret: bytes = b""
    ) -> bool:
        """Send a message of up to ``limits.message_size`` bytes in as many parts as it needs, until all have arrived.

        False, and counted, if it is larger, the address may have no channel, or too much waits for it.
        """
        if len(payload) > self.limits.message_size:
            self.count_refusal(TOO_LARGE)
            return False
        sender = self.channels.sender_to(path)
        if sender is None:
            return False
        message, room = sender.next_message(), ROOM[type.form]
        pieces = [payload[at : at + room] for at in range(0, len(payload), room)] or [b""]
        return sender.queue(
            [
                self._outgoing(type, piece, source, secret, Part.of(message, number, len(pieces)))
                for number, piece in enumerate(pieces)
            ]
        )

    def count_unacknowledged(self, path: Path, type: PacketType) -> int:
        """How many reliable packets and messages of a type wait for an address."""
        sender = self.channels.senders.get(remote_of(path))
        return 0 if sender is None else sender.count(type)

    def mac_for(self, type: PacketType, payload: bytes, secret: bytes) -> bytes:
        """The MAC of a packet to somebody with whom we share this secret; zeros where it has none."""
        if secret and type.form is _HAS_MAC and self.authenticates():
            return crypto.mac(secret, payload)
        return NO_MAC

    def wall_us(self) -> int:
        """The wall clock in microseconds."""
        return int((self._wall_epoch + self.clock) * 1e6)

    # -- receiving: hooks of the roles

    def accepts_version(self, header: Header) -> bool:
        """Asked of a packet whose type has another version there: does :meth:`arrived` get it all the same?"""
        return False

    def source_of(self, local_id: int, path: Path) -> Peer | None:
        """Who may have sent a packet with this source from there."""
        return None

    def authenticates(self) -> bool:
        """Do packets have a MAC, where their type has a place for it?"""
        return True

    def accepts_unverified(self, header: Header, path: Path, peer: Peer) -> bool:
        """Is a packet taken that has a wrong MAC, or one that cannot be checked?"""
        return False

    def accepts_channel(self, path: Path) -> bool:
        """May this address have a reliable channel? Who stops accepting it has to call :meth:`forget_channel`."""
        return False

    def arrived(self, arrival: Arrival) -> None:
        """A packet was accepted, or a message is complete: a role gives it to the part that decides what it is."""
        self.give(None, None, arrival)

    def undelivered(self, path: Path, count: int) -> None:
        """So many reliable packets to this address were given up."""

    # -- receiving

    def forget_channel(self, path: Path) -> None:
        """What waits for this address is dropped, as is what has come from it of unfinished messages."""
        self.channels.forget_channel(path)

    def forget_address(self, path: Path) -> None:
        """Nothing unreliable is sent there any more. If it is all the same, numbers begin anew, which harms nobody."""
        self._sequences.pop(remote_of(path), None)

    def give(
        self, part: Component[S, Any] | None, guards: Guards[Any, S, Arrival, None] | None, arrival: Arrival
    ) -> None:
        """Let a part decide at once what a packet is; without guards for its type, or a part, nobody expects it."""
        if part is None or guards is None:
            self.channels.post(ChannelsInput.UNEXPECTED())
        else:
            guards.act(part, arrival)

    # -- inside

    def decode(self, data: bytes, path: Path) -> tuple[Head, bytes] | None:
        return decode_datagram(data)

    def received(self, packet: tuple[Head, bytes], path: Path) -> None:
        head, payload = packet
        if isinstance(head, Control):
            self.channels.take_control(head, path)
            return
        arrival = Arrival(head, payload, path)
        if head.version != self.versions.versions[head.type._value_]:
            OTHER_VERSION.act(self.channels, arrival)
        elif head.source is None and not head.reliable and head.part is None:
            self.arrived(arrival)  # most have nothing that guards could check
        else:
            PACKET.act(self.channels, arrival)

    def name_of(self, packet: tuple[Head, bytes]) -> str:
        return packet[0].type.name

    def end(self, closed: Closed) -> None:
        super().end(closed)
        _forget_all(self)

    def _outgoing(
        self, type: PacketType, payload: bytes, source: int, secret: bytes, part: Part | None = None
    ) -> Outgoing:
        """A reliable packet, which gets its sequence number when it is sent."""
        sourced = None if type.form is _HAS_NO_SOURCE else source
        mac = self.mac_for(type, payload, secret) if type.form is _HAS_MAC else None
        return Outgoing(Header(type, 0, self.versions[type], sourced, mac, reliable=True, part=part), payload)


def _forget_all(owner: Declared) -> None:
    """Keep nobody, and nothing that waits for them."""
    for _, part in owner.parts():
        if isinstance(part, Parts):
            part.remove_all()
        else:
            _forget_all(part)
            part.rebuild()
