"""The contract between machines and whatever drives them.

A machine (a *session*) turns bytes, timer calls and transport reports into *events* for its application and *transmits*
for its transport. It never blocks, never raises on input, and holds no socket, clock or random source: times are float
seconds of any monotonic clock, passed in as ``now``; random bytes come from an :class:`Entropy` argument.

The loop that drives an :class:`Endpoint` (``sansproto.testing._internal.driver`` is one, in 30 lines)::

    while True:
        drain next_event() and next_transmit() until both give None, carrying transmits out
        wait for a socket, or until next_timeout()
        report what happened: receive_data(...), stream_lost(...), handle_timeout(now), ...

No order of draining is required. ``Order`` is promised per link, never between links.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, NewType, Protocol, TypeAlias, TypeVar

import attrs

E_co = TypeVar("E_co", covariant=True)

Link = NewType("Link", int)
"""A stream connection of an endpoint, named by the core: counted up from 1, never reused."""

Instant: TypeAlias = Annotated[float, "instant"]
"""A float that is a point in time (a snapshot can be taken relative to it), as against a duration."""

Snapshot: TypeAlias = tuple[object, ...]
"""All state of a session as nested tuples of plain values and members of enums: comparable, hashable, picklable."""


class Phase(Enum):
    """Where a session is in its life, in any protocol."""

    NEW = 0
    """Nothing was sent or received."""
    OPENING = 1
    """On the way to the state in which it is useful."""
    OPEN = 2
    """In use."""
    CLOSING = 3
    """It closes gracefully; nothing new begins."""
    CLOSED = 4
    """Over: inputs are ignored and counted."""


class SendError(Enum):
    """What the system said of a datagram that was not sent, or did not arrive. Anybody can forge some of it."""

    UNREACHABLE = 0
    """Nobody listens there, or no route leads there."""
    TOO_BIG = 1
    """Longer than the path takes."""
    OTHER = 2
    """Something else, or nothing is known."""


class Entropy(Protocol):
    """A source of random bytes. Draws are named, so that a test or a vector can pin each of them."""

    def __call__(self, n: int, *, purpose: str) -> bytes: ...


@attrs.frozen(weakref_slot=False)
class Address:
    """A numeric IP address with its port. ``host`` is canonical text; ``scope`` is the IPv6 zone index or 0."""

    host: str
    """Canonical numeric text, without brackets."""
    port: int
    """0 where none is known."""
    scope: int = 0
    """The IPv6 zone index, or 0."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@attrs.frozen(eq=False, weakref_slot=False)
class Path:
    """The way of a datagram: the label of the local socket, and the remote address.

    Verbs that take a path refuse a host that is not numeric, and report others in canonical form: the address of IPv4
    for one within IPv6.
    """

    socket: str
    """The label of the local socket."""
    host: str
    """The remote address: canonical numeric text."""
    port: int
    """The remote port."""
    scope: int = 0
    """The IPv6 zone index, or 0."""

    def __eq__(self, other: object) -> bool:
        """As attrs has it, in the order in which paths differ; nearly every datagram is compared with its sender's."""
        if self is other:
            return True
        return (
            type(other) is Path
            and self.port == other.port
            and self.host == other.host
            and self.socket == other.socket
            and self.scope == other.scope
        )

    def __hash__(self) -> int:
        return hash((self.host, self.port))  # of paths that are equal so far, hardly ever do two differ


@attrs.define(weakref_slot=False)
class SendDatagram:
    """Send a datagram, or lose it: nothing is reported but what ``datagram_failed`` says.

    For a label that no socket has, the adapter aborts and raises ``UnboundSocket``: the program is wrong then.

    (Not frozen: this is the bulk path.)
    """

    data: bytes
    """The whole datagram."""
    path: Path
    """From which socket, and where to."""


@attrs.frozen
class Rebind:
    """Close the datagram socket of this label and bind a new one, on another port if it had an ephemeral one."""

    socket: str
    """Its label."""


@attrs.frozen
class Lookup:
    """Resolve a name and report it with ``looked_up(query, addresses, now)``; no addresses mean that it failed."""

    query: int
    """The number that ``looked_up`` gives back."""
    host: str
    """The name, or a numeric address."""
    port: int
    """The port that the addresses get."""


@attrs.frozen
class OwnAddress:
    """Find out our own address on the route to another one (nothing is sent for it), and report it with
    ``looked_up(query, addresses, now)``; no addresses mean that there is no route. The ports have no meaning.
    """

    query: int
    """The number that ``looked_up`` gives back."""
    to: Address
    """Where the way leads."""


@attrs.frozen
class OpenStream:
    """Connect. The adapter reports ``stream_opened``, or ``stream_lost``."""

    link: Link
    """The id of the new stream, with which all reports about it come."""
    address: Address
    """Where to connect."""


@attrs.define(weakref_slot=False)
class SendBytes:
    """Bytes for a link, in order. (Not frozen: this is the bulk path.)"""

    link: Link
    """The stream to write to."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """Never empty."""


@attrs.frozen
class CloseWrite:
    """Send FIN once everything queued before is written; reading goes on."""

    link: Link
    """The stream to write to."""


@attrs.frozen
class CloseTransport:
    """Close once everything queued before is written. The adapter reports ``stream_lost`` when it is done."""

    link: Link
    """The stream to close."""


@attrs.frozen
class AbortTransport:
    """Drop what is unwritten and reset. The adapter reports ``stream_lost``."""

    link: Link
    """The stream to reset."""


@attrs.frozen
class PauseReading:
    """Read nothing from a stream until it is resumed."""

    link: Link
    """The stream to leave unread."""


@attrs.frozen
class ResumeReading:
    """Read from a stream again."""

    link: Link
    """The stream to read again."""


@attrs.frozen
class PauseAccepting:
    """Accept no stream from a listener until it is resumed."""

    listener: str
    """The label of the listener."""


@attrs.frozen
class ResumeAccepting:
    """Accept streams from a listener again."""

    listener: str
    """The label of the listener."""


Transmit: TypeAlias = (
    SendDatagram
    | Rebind
    | Lookup
    | OwnAddress
    | OpenStream
    | SendBytes
    | CloseWrite
    | CloseTransport
    | AbortTransport
    | PauseReading
    | ResumeReading
    | PauseAccepting
    | ResumeAccepting
)
"""What a transport is asked to do: a closed union."""


@attrs.define
class Stats:
    """Counters of packets and bytes (never of calls); and of what was dropped, refused or remarked, by reason."""

    packets_received: int = 0
    """Packets that were decoded."""
    bytes_received: int = 0
    """All bytes that arrived, also those of packets that were dropped."""
    packets_sent: int = 0
    """Packets that were queued for the transport."""
    bytes_sent: int = 0
    """The bytes of these."""
    dropped: dict[str, int] = attrs.field(factory=dict)
    """Packets and reports that arrived and were ignored."""
    refused: dict[str, int] = attrs.field(factory=dict)
    """Output that was not taken; the verb said so."""
    noted: dict[str, int] = attrs.field(factory=dict)
    """Remarks on what was accepted."""


class Session(Protocol[E_co]):
    """What every machine has, whatever its transport."""

    phase: Phase
    """Where it is in its life. To be read only."""
    stats: Stats
    """What it counted. To be read only."""

    def next_event(self) -> E_co | None:
        """Pop the next event; None means nothing now. May queue transmits (reading resumes)."""

    def next_transmit(self) -> Transmit | None:
        """Pop the next thing for the transport; None means nothing now. May queue events (``Writable``)."""

    def next_timeout(self) -> float | None:
        """When :meth:`handle_timeout` should be called next. A pure query."""

    def handle_timeout(self, now: float) -> None:
        """Let due timers act. Early and spurious calls do nothing, late ones catch up once. Never raises.

        Of very many that are due some act, and :meth:`next_timeout` asks to be called again at once.
        """

    def close(self, now: float) -> None:
        """End gracefully; idempotent. The last event, ``Closed``, follows when all that was queued is out."""

    def abort(self) -> None:
        """End now; what is queued is dropped. ``Closed`` is queued before the call returns."""

    def transport_lost(self, now: float, *, detail: str = "") -> None:
        """The whole transport is gone. Never raises."""

    def timers(self) -> Mapping[str, float]:
        """For people: the armed timers by name, and when each fires."""
        ...

    def snapshot(self) -> Snapshot:
        """All state as nested tuples of plain values; ``restore(snapshot, **same arguments)`` behaves the same."""
        ...


class StreamSession(Session[E_co], Protocol[E_co]):
    """A machine that lives on one byte stream. Its transmits carry link 0.

    ``sansproto.wrap.WrappedStream`` makes an endpoint of it, for adapters.
    """

    @property
    def wants_data(self) -> bool:
        """False while undelivered events fill it: stop reading until events were popped."""
        ...

    def receive_data(self, data: bytes, now: float) -> None: ...

    def receive_eof(self, now: float) -> None: ...

    def take_trailing_data(self) -> bytes:
        """Bytes behind the end of this protocol, for the one that follows on the stream."""
        ...


class Endpoint(Session[E_co], Protocol[E_co]):
    """A machine that owns any number of streams, listeners and datagram sockets: what the adapters drive.

    Reports about links that it does not know, or that are dead, are counted and change nothing.
    """

    def stream_accepted(self, listener: str, peer: Address, now: float) -> Link: ...

    def stream_opened(self, link: Link, now: float) -> None: ...

    def receive_data(self, link: Link, data: bytes, now: float) -> None: ...

    def receive_eof(self, link: Link, now: float) -> None: ...

    def stream_lost(self, link: Link, now: float, *, detail: str = "") -> None:
        """The link is over, whichever end closed it and however it failed. Reported once per link; its number is dead
        then.
        """

    def stream_blocked(self, link: Link, now: float) -> None:
        """The transport of this link takes no more bytes for now."""

    def stream_unblocked(self, link: Link, now: float) -> None: ...

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None: ...

    def datagram_failed(
        self, path: Path, now: float, *, error: SendError = SendError.OTHER, detail: str = ""
    ) -> None: ...

    def socket_bound(self, socket: str, address: Address, now: float) -> None: ...

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None: ...

    def network_changed(self, now: float) -> None:
        """The host moved to another network, or thinks so: paths may be dead, and our address another one."""

    def resumed(self, now: float, *, asleep: float) -> None:
        """The host slept, or the program was stopped. ``asleep``: seconds that ``now`` does not count, perhaps 0."""
