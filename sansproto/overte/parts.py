"""What parts of Overte's roles are given, how they read it, and what they may ask of the session that owns them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Any, Final, Protocol, TypeVar

import attrs

from ..component import Component, E_contra, Host, Note, Part
from ..contract import Address, Instant, Lookup, OwnAddress, Path, Phase, Stats
from ..endpoint import Received
from ..events import Closed
from ..machine import S
from ..snapshot import CACHED
from ..wire import Packet
from .events import ClientEvent
from .header import NO_MAC, Header
from .introduction import Membership
from .limits import ClientDelays, ClientLimits, ServerDelays, ServerLimits, TransportDelays, TransportLimits
from .policy import Policy
from .server_events import ServerEvent
from .versions import PacketType, VersionTable

K = TypeVar("K")
P = TypeVar("P", bound=Packet)
V = TypeVar("V")

TRAILING: Final = Note("trailing bytes", ref="where ours is stricter")


@attrs.define(eq=False, weakref_slot=False)
class Arrival:
    """A packet: its header, its payload, from where it came, and the peer who sent it, if that is known."""

    header: Header
    payload: bytes = attrs.field(repr=False)
    path: Path
    peer: Any = None


def read(part: Part[Any], kind: type[P], payload: bytes) -> P:
    """The payload as a packet of this kind. Raises WireError if it is none; bytes behind it are noted only."""
    packet, end = kind.decode_prefix(payload)
    if end < len(payload):
        part.host.count_note(TRAILING, part)
    return packet


def reads(kind: type[P]) -> Callable[[Part[Any], Arrival], P]:
    """What guards make of an arrival: a packet of this kind."""
    return _named(f"read_{kind.__name__}", lambda part, arrival: read(part, kind, arrival.payload))


def receives(kind: type[P]) -> Callable[[Part[Any], Arrival], Received[P]]:
    """The same with where it came from."""
    name = f"receive_{kind.__name__}"
    return _named(name, lambda part, arrival: Received(read(part, kind, arrival.payload), arrival.path))


def _named(name: str, step: Callable[[Part[Any], Arrival], V]) -> Callable[[Part[Any], Arrival], V]:
    """A step of guards, under the name that it has in docs and vectors."""
    step.__name__ = name
    return step


def keep_newest(table: OrderedDict[K, V], key: K, value: V, limit: int) -> None:
    """Put a value last; what is over the limit is forgotten, the oldest first."""
    table[key] = value
    table.move_to_end(key)
    while len(table) > limit:
        table.popitem(last=False)


# -- what they ask -----------------------------------------------------------------------------------------------------


class Peer(Protocol):
    """Somebody who sends sourced packets: ``secret`` is empty if there is none, ``heard`` the last time."""

    heard: Instant

    @property
    def secret(self) -> bytes: ...


class OverteHost(Host[E_contra], Protocol[E_contra]):
    """How parts of any role send: :class:`~.endpoint.OverteEndpoint` says more."""

    stats: Stats
    local: Address | None

    def wall_us(self) -> int: ...
    def ask_transport(self, what: Lookup | OwnAddress) -> None: ...
    def send_datagram(self, data: bytes, path: Path, name: str = "") -> bool: ...
    def send_packet(self, path: Path, packet: Packet, *, source: int = 0, secret: bytes = b"") -> None: ...
    def send_raw(
        self, path: Path, type: PacketType, payload: bytes, *, source: int = 0, mac: bytes = NO_MAC
    ) -> bool: ...
    def send_reliable(self, path: Path, content: Packet, *, source: int = 0) -> bool: ...
    def send_message(self, path: Path, type: PacketType, payload: bytes) -> bool: ...
    def answer(self, path: Path, packet: Packet) -> None: ...
    def forget_channel(self, path: Path) -> None: ...
    def forget_address(self, path: Path) -> None: ...
    def authenticates(self) -> bool: ...


class ChannelHost(OverteHost[Any], Protocol):
    """What reliable channels need, and who decides whose packets are heard."""

    @property
    def delays(self) -> TransportDelays: ...
    @property
    def limits(self) -> TransportLimits: ...
    def accepts_version(self, header: Header) -> bool: ...
    def source_of(self, local_id: int, path: Path) -> Peer | None: ...
    def accepts_unverified(self, header: Header, path: Path, peer: Peer) -> bool: ...
    def accepts_channel(self, path: Path) -> bool: ...
    def arrived(self, arrival: Arrival) -> None: ...
    def undelivered(self, path: Path, count: int) -> None: ...


class ClientHost(OverteHost[ClientEvent], Protocol):
    """What the parts of a client know of each other."""

    phase: Phase
    delays: ClientDelays
    limits: ClientLimits

    @property
    def domain(self) -> Path | None: ...
    @property
    def membership(self) -> Membership: ...
    @property
    def is_squelched(self) -> bool: ...
    def sockets_changed(self) -> None: ...
    def seek(self, servers: tuple[Path, ...]) -> None: ...
    def reached(self, path: Path) -> None: ...
    def end(self, closed: Closed) -> None: ...


class ClientPart(Component[S, ClientHost]):
    """A part of a client with a table."""

    __slots__ = ("delays",)
    delays: Annotated[ClientDelays, CACHED]

    def __init__(self, host: ClientHost) -> None:
        self.place, self.host, self.forgotten = None, host, False  # as Component does: nodes come by the dozen
        self.state, self.armed = self.table.initial, None
        self.delays = host.delays


class ServerHost(OverteHost[ServerEvent], Protocol):
    """What the parts of a domain server know of it."""

    delays: ServerDelays
    limits: ServerLimits
    versions: VersionTable
    policy: Policy
    domain_id: bytes
    trust_loopback: bool

    @property
    def waiting(self) -> int:
        """Datagrams that were not yet taken."""
        ...

    def count_unacknowledged(self, path: Path, type: PacketType) -> int: ...
