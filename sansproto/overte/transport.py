"""What client, server and ice-server share: one socket, headers, who is heard. docs/protocols/overte.rst, datagrams."""

from __future__ import annotations

from collections import OrderedDict
from struct import Struct
from typing import Annotated, Final, Protocol, TypeAlias, TypeVar

from ..contract import Address, Entropy, Instant, Path
from ..errors import WireError
from ..snapshot import CACHED
from ..trace import PacketSeen, Trace
from ..wire import Packet
from . import crypto
from .header import (
    MAX_DATAGRAM,
    NO_MAC,
    Control,
    Header,
    Part,
    Position,
    decode_datagram,
    encode_datagram,
    next_sequence,
)
from .limits import TransportDelays, TransportLimits
from .reliable import Outgoing, ReliableChannels, Remote
from .versions import Form, PacketType, VersionTable

E = TypeVar("E")
P = TypeVar("P", bound=Packet)

SOCKET: Final = "udp"
"""The label of the one datagram socket."""

_UNSOURCED: Final = Struct("<IBB").pack
_SOURCED: Final = Struct("<IBBH").pack
_VERIFIED: Final = Struct("<IBBH16s").pack
_TYPES: Final = tuple(PacketType)
_HAS_NO_SOURCE, _HAS_SOURCE = Form.UNSOURCED, Form.SOURCED  # members: to look one up costs more than a struct call
_ROOM: Final = {
    form: MAX_DATAGRAM - 12 - size for form, size in ((Form.UNSOURCED, 2), (Form.SOURCED, 4), (Form.VERIFIED, 20))
}
"""Bytes of a message that one part of it can hold."""

Content: TypeAlias = Packet | tuple[PacketType, bytes]
"""What a datagram holds: a packet, or a type and a payload that is encoded already."""


class Peer(Protocol):
    """Somebody who sends sourced packets: ``secret`` is empty if there is none, ``heard`` the last time."""

    heard: Instant

    @property
    def local_id(self) -> int: ...

    @property
    def secret(self) -> bytes: ...


class Transport(ReliableChannels[E], abstract=True):
    """An endpoint on one UDP socket, :data:`SOCKET`, that speaks with any number of others.

    Nothing that a stranger sends changes more than counters; roles decide by their hooks who is none. While too many
    events or datagrams wait to be taken, what arrives is dropped, as a full socket would.
    """

    local: Address | None  # of our socket
    _sequences: OrderedDict[Remote, int]  # the last unreliable number to each address
    _wall_epoch: Annotated[float, CACHED]
    _versions: Annotated[VersionTable, CACHED]

    def __init__(
        self,
        *,
        entropy: Entropy,
        wall_epoch: float,
        versions: VersionTable,
        delays: TransportDelays,
        limits: TransportLimits,
        trace: Trace | None,
    ) -> None:
        super().__init__(entropy=entropy, delays=delays, limits=limits, trace=trace)
        self._wall_epoch = wall_epoch
        self._versions = versions
        self.local = None
        self._sequences = OrderedDict()

    # -- the contract

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        if not self._alive(now):
            return
        self.stats.bytes_received += len(data)
        limits = self._limits
        if len(self._events) >= limits.events or len(self._outbox) >= limits.outbox:
            self._drop("busy")
            return
        if not self.take_first(data, path):
            self._take_datagram(data, path)
        self._settle()

    def datagram_failed(self, path: Path, now: float, *, detail: str = "") -> None:
        """Anybody could forge what causes this report: it is counted, and timers find out what it meant."""
        if self._alive(now):
            self._drop("datagram failed")

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        if not self._alive(now):
            return
        if socket == SOCKET:
            self.local = address
        else:
            self._drop("unexpected report")

    # -- sending

    def send_packet(self, path: Path, packet: Packet, *, source: int = 0, secret: bytes = b"") -> None:
        """Send a packet once. ``source`` is our local id, for types whose header has one."""
        self.send_raw(path, _TYPES[_number_of(packet)], packet.encode(), source=source, secret=secret)

    def answer(self, path: Path, packet: Packet) -> None:
        """Send a packet without a source to somebody of whom nothing is kept: it is always the first one to them."""
        type, payload = _TYPES[_number_of(packet)], packet.encode()
        header = Header(type, 1, self._versions[type])
        self.send_datagram(encode_datagram(header, payload), path, type.name)

    def send_raw(self, path: Path, type: PacketType, payload: bytes, *, source: int = 0, secret: bytes = b"") -> None:
        """The same with a payload that is encoded already."""
        remote = (path.host, path.port, path.scope)
        sequences = self._sequences
        last = sequences.get(remote)
        if last is None:
            if len(sequences) >= self._limits.addresses:
                sequences.popitem(last=False)
            last = 0
        sequences[remote] = sequence = next_sequence(last)
        # The hot path: what encode_datagram does for such a header, which is not made.
        value, form = type._value_, type.form
        version = self._versions.versions[value]
        if form is _HAS_NO_SOURCE:
            head = _UNSOURCED(sequence, value, version)
        elif form is _HAS_SOURCE:
            head = _SOURCED(sequence, value, version, source)
        else:
            head = _VERIFIED(sequence, value, version, source, self._mac(payload, secret))
        self.send_datagram(head + payload, path, type._name_)

    def send_reliable(self, path: Path, content: Content, *, source: int = 0, secret: bytes = b"") -> bool:
        """Send a packet until it is acknowledged.

        False, and counted, if the address may have no channel or too much waits for it.
        """
        type, payload = content if isinstance(content, tuple) else (_TYPES[_number_of(content)], content.encode())
        header = self._reliable_header(type, payload, source, secret)
        return self._line_up(path, [Outgoing(header, payload)])

    def send_message(
        self, path: Path, type: PacketType, payload: bytes, *, source: int = 0, secret: bytes = b""
    ) -> bool:
        """Send a message of up to ``limits.message_size`` bytes in as many parts as it needs, until all have arrived.

        False, and counted, if it is larger, the address may have no channel, or too much waits for it.
        """
        if len(payload) > self._limits.message_size:
            self._drop("message too large")
            return False
        message, room = self._next_message(path), _ROOM[type.form]
        count = max(-(-len(payload) // room), 1)
        packets = []
        for number in range(count):
            piece = payload[number * room : (number + 1) * room]
            part = Part(_position(number, count), message, number)
            packets.append(Outgoing(self._reliable_header(type, piece, source, secret, part), piece))
        return self._line_up(path, packets)

    def wall_us(self) -> int:
        """The wall clock in microseconds."""
        return int((self._wall_epoch + self._clock) * 1e6)

    # -- receiving: for the roles, beside the hooks of ReliableChannels

    def take_first(self, data: bytes, path: Path) -> bool:
        """A datagram that is not of this protocol: True if it was taken."""
        return False

    def other_version(self, header: Header, payload: bytes, path: Path) -> None:
        """The type has another version there. (It is counted and dropped.)"""

    def source_of(self, local_id: int, path: Path) -> Peer | None:
        """Who may have sent a packet with this source from there."""
        return None

    def authenticates(self) -> bool:
        """Do packets have a MAC, where their type has a place for it?"""
        return True

    def accepts_unverified(self, header: Header, path: Path, peer: Peer) -> bool:
        """Asked of a packet whose MAC is wrong or cannot be checked."""
        return False

    def decode_payload(self, kind: type[P], payload: bytes) -> P | None:
        """The payload as a packet of this kind; None, and counted, if it is none. Bytes behind it are counted only."""
        try:
            packet, end = kind.decode_prefix(payload)
        except WireError:
            self._drop(f"malformed {kind.__name__}")
            return None
        if end < len(payload):
            self.stats.drop("trailing bytes")
        return packet

    # -- inside

    def _take_datagram(self, data: bytes, path: Path) -> None:
        try:
            head, payload = decode_datagram(data)
        except WireError:
            self._drop("malformed datagram")
            return
        self.stats.packets_received += 1
        if self._trace is not None:
            self._trace(PacketSeen(self._clock, False, 0, head.type.name, len(data)))
        if isinstance(head, Control):
            self._control(head, path)
            return
        if head.version != self._versions.versions[head.type._value_]:
            self._drop("other version")
            self.other_version(head, payload, path)
            return
        peer = None
        if head.source is not None:
            peer = self.source_of(head.source, path)
            if peer is None:
                self._drop("unknown source")
                return
            if head.mac is not None and self.authenticates() and not self._is_genuine(head, payload, path, peer):
                return
            peer.heard = self._clock
        if head.reliable:
            self._reliable((head, payload, peer), path)
        elif head.part is not None:
            self._drop("unreliable message")
        else:
            self.arrived(head, payload, path, peer)

    def _is_genuine(self, header: Header, payload: bytes, path: Path, peer: Peer) -> bool:
        secret, mac = peer.secret, header.mac
        if secret and mac is not None and crypto.mac_matches(secret, payload, mac):
            return True
        if self.accepts_unverified(header, path, peer):
            return True
        self._drop("wrong hash" if secret else "no secret")
        return False

    def _reliable_header(
        self, type: PacketType, payload: bytes, source: int, secret: bytes, part: Part | None = None
    ) -> Header:
        """A header that gets its sequence number when it is sent."""
        form = type.form
        return Header(
            type,
            0,
            self._versions[type],
            None if form is Form.UNSOURCED else source,
            self._mac(payload, secret) if form is Form.VERIFIED else None,
            reliable=True,
            part=part,
        )

    def _mac(self, payload: bytes, secret: bytes) -> bytes:
        return crypto.mac(secret, payload) if secret and self.authenticates() else NO_MAC


def _number_of(packet: Packet) -> int:
    number = packet.__wire__.id
    assert number is not None  # every packet of this protocol has its type as its id
    return number


def _position(number: int, count: int) -> Position:
    if count == 1:
        return Position.ONLY
    if number == 0:
        return Position.FIRST
    return Position.LAST if number == count - 1 else Position.MIDDLE
