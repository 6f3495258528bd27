"""The base of what speaks datagrams: outbox, decoding, bounds, the end. docs/protocols/endpoints.rst."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Annotated, Any, ClassVar, Final, Generic, Protocol, TypeVar

import attrs

from . import contract
from .component import Refusal
from .contract import (
    AbortTransport,
    Address,
    Entropy,
    Link,
    Lookup,
    OwnAddress,
    Path,
    Phase,
    Rebind,
    SendDatagram,
    SendError,
    Transmit,
)
from .errors import LocalProtocolError, WireError
from .events import CloseCause, Closed
from .fair import numeric_host
from .session import ABORTED, Session
from .snapshot import CACHED
from .trace import PacketSeen, Trace
from .wire import OneOf

E = TypeVar("E")
D = TypeVar("D")
M_co = TypeVar("M_co", covariant=True)

_CLOSED: Final = Phase.CLOSED  # looked up once: with every datagram it is asked for

OUTBOX_FULL: Final = Refusal("outbox full", ref="bounds")


@attrs.frozen
class Received(Generic[M_co]):
    """A packet that a datagram held, and where it came from: what guards are given."""

    packet: M_co
    path: Path


class DatagramLimits(Protocol):
    """What the limits of an endpoint have to say about datagrams."""

    @property
    def events(self) -> int:
        """Events that are not yet popped: over it what arrives is dropped."""
        ...

    @property
    def outbox(self) -> int:
        """Datagrams that are not yet taken: over it new ones are refused, and what arrives is dropped."""
        ...


class DatagramEndpoint(Session[E], contract.Endpoint[E], Generic[E, D]):
    """An endpoint that speaks datagrams. ``D`` is what :meth:`decode` makes of one, a union of packets.

    A role gives ``datagram`` or overrides :meth:`decode`, and hands what was decoded to its parts in :meth:`received`;
    parts send through the host's :meth:`send_datagram`. While too many events or datagrams wait, what arrives is
    dropped, as by a full socket.
    """

    datagram: ClassVar[OneOf[Any]]
    """All packets that a datagram can be, for :meth:`decode`."""

    _outbox: deque[Transmit]
    """Everything that is not for a link which is there."""
    _last_link: int
    _datagram_limits: Annotated[DatagramLimits | None, CACHED]

    def __init__(
        self, *, entropy: Entropy | None, limits: DatagramLimits | None, wall_epoch: float = 0.0, trace: Trace | None
    ) -> None:
        """Without ``limits`` it speaks no datagrams: those that arrive are dropped."""
        super().__init__(entropy=entropy, wall_epoch=wall_epoch, trace=trace)
        self._outbox, self._last_link, self._datagram_limits = deque(), 0, limits

    # -- for roles

    def decode(self, data: bytes, path: Path) -> D | None:
        """The packet in a datagram. WireError drops it as ``malformed datagram``.

        None: it belongs to another protocol on the same socket, which was told.
        """
        packet: D = self.datagram.decode(data)
        return packet

    def received(self, packet: D, path: Path) -> None:
        """A datagram was decoded."""
        raise NotImplementedError

    def close_gracefully(self, closed: Closed) -> None:
        """End the session; what is in the outbox still goes out."""
        self.end(closed)

    def path_given(self, verb: str, path: Path) -> Path:
        """A path of the application's, as datagrams come by it. Raises LocalProtocolError if that is none."""
        try:
            host = numeric_host(path.host)
        except ValueError:
            reason = f"{path.host!r} is not a numeric address: look names up first, a zone is the path's scope"
            raise LocalProtocolError(verb, self.phase.name, reason) from None
        if not 0 < path.port < 1 << 16:
            raise LocalProtocolError(verb, self.phase.name, f"{path.port} is not a port")
        return Path(path.socket, host, path.port, path.scope)

    # -- the host of its parts

    def send_datagram(self, data: bytes, path: Path, name: str = "") -> bool:
        """Queue a datagram; False, and counted, if too many wait. ``name`` is the packet's, for the trace."""
        limits = self._datagram_limits
        outbox = self._outbox
        if limits is None or len(outbox) >= limits.outbox:
            self.count_refusal(OUTBOX_FULL)
            return False
        outbox.append(SendDatagram(data, path))
        stats = self.stats
        stats.packets_sent += 1
        stats.bytes_sent += len(data)
        if self.trace is not None:
            self.trace(PacketSeen(self.clock, True, 0, name, len(data)))
        return True

    def ask_transport(self, what: Lookup | OwnAddress | Rebind) -> None:
        """Have a name looked up, or an address of our own, or a socket bound anew."""
        self._outbox.append(what)

    # -- the contract

    def next_transmit(self) -> Transmit | None:
        return self._outbox.popleft() if self._outbox else None

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        if self.trace is None and self.clock <= now < inf and self.phase is not _CLOSED:
            self.clock = now  # as ``advance`` does, once less called
        elif not self.alive(now, path):
            return
        stats, self.where = self.stats, path
        stats.bytes_received += len(data)
        limits = self._datagram_limits
        if limits is None:
            self.drop("unexpected datagram")
        elif len(self._events) >= limits.events or len(self._outbox) >= limits.outbox:
            self.drop("busy")
        else:
            try:
                packet = self.decode(data, path)
            except WireError as error:
                self.drop("malformed datagram", error=error)
            else:
                if packet is not None:
                    stats.packets_received += 1
                    if self.trace is not None:
                        self.trace(PacketSeen(self.clock, False, 0, self.name_of(packet), len(data)))
                    self.received(packet, path)
                if self._inputs:
                    self.run()
        self.where = None

    def datagram_failed(self, path: Path, now: float, *, error: SendError = SendError.OTHER, detail: str = "") -> None:
        """Anybody could forge what causes this report: it is counted, and timers find out what it meant."""
        if self.alive(now, path):
            self.drop("unexpected report" if self._datagram_limits is None else "datagram failed", where=path)

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        """Every adapter reports it at its start: it is nothing to count, unless no datagrams are spoken."""
        if self.alive(now) and self._datagram_limits is None:
            self.drop("unexpected report")

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        self._unexpected(now)

    def network_changed(self, now: float) -> None:
        """Every adapter may report it: nothing to count, and nothing to do for those whose timers find out."""
        self.alive(now)

    def resumed(self, now: float, *, asleep: float) -> None:
        """As ``network_changed``."""
        self.alive(now)

    def close(self, now: float) -> None:
        if self.closes(now):
            self.close_gracefully(Closed(CloseCause.LOCAL))
            self.run()

    def abort(self) -> None:
        if self.phase is not Phase.CLOSED:
            self._outbox.clear()
            self.end(ABORTED)

    def transport_lost(self, now: float, *, detail: str = "") -> None:
        if self.alive(now):
            self._outbox.clear()
            self.end(Closed(CloseCause.LOST, detail=detail))

    # -- the contract: streams, of which it has none

    def stream_accepted(self, listener: str, peer: Address, now: float) -> Link:
        self._unexpected(now)
        self._last_link += 1
        link = Link(self._last_link)
        self._outbox.append(AbortTransport(link))
        return link

    def _unknown_link(self, link: Link, now: float) -> None:
        self.advance(now)
        self.drop("unknown link", where=link)

    stream_opened = receive_eof = stream_blocked = stream_unblocked = _unknown_link

    def receive_data(self, link: Link, data: bytes, now: float) -> None:
        self._unknown_link(link, now)

    def stream_lost(self, link: Link, now: float, *, detail: str = "") -> None:
        self._unknown_link(link, now)

    # -- inside

    def _unexpected(self, now: float) -> None:
        if self.alive(now):
            self.drop("unexpected report")
