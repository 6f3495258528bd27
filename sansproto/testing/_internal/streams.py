"""The streams of the virtual network: windows, chunks, half-closes, resets, and the blindness of paused sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

import attrs

from ...contract import (
    AbortTransport,
    Address,
    CloseTransport,
    CloseWrite,
    Link,
    PauseReading,
    ResumeReading,
    SendBytes,
    Transmit,
)
from .driver import BrokenContract

if TYPE_CHECKING:
    from ..network import Host, Node

_SEGMENT = 16384  # bytes of a stream that travel together


@attrs.frozen(kw_only=True)
class Conditions:
    """The way from one host to another. Times in seconds, ``rate`` in bytes per second, probabilities from 0 to 1."""

    latency: float = 0.01
    jitter: float = 0.0  # up to this much more, drawn for each packet; streams keep their order
    rate: float = inf
    loss: float = 0.0  # of datagrams, as are the next three
    duplicate: float = 0.0
    reorder: float = 0.0  # held back by up to four latencies
    corrupt: float = 0.0  # one bit is flipped
    buffer: int = 65536  # bytes of a stream on its way, of its sender's socket, of datagrams before a way with a rate
    read: int = 65536  # bytes that one read gives at most
    split: bool = False  # reads end anywhere
    coalesce: float = 0.0  # reads wait up to this long for more
    late_read: float = 0.5  # probability that one more read comes after PauseReading


class StreamEnd:
    """One end of a stream, like a socket: bytes to send, bytes to read, and its state."""

    def __init__(self, host: Host, node: Node[Any] | None, link: Link | None) -> None:
        self.host = host
        self.net = host.net
        self.remote = Address("", 0)
        self.peer: StreamEnd | None = None
        self.opened = False
        self.dead = False  # stream_lost was reported, or nobody is there to hear it
        self.paused = False
        self.blocked = False
        self._node: Node[Any] | None = None
        self._link = Link(0)
        self._out: deque[bytes] = deque()
        self._unsent = 0
        self._flight = 0  # bytes on the way to the peer, or unread there
        self._last_arrival = 0.0
        self._finish = False  # FIN follows the last byte
        self._finished = False
        self._closing = False
        self._inbox = bytearray()
        self._eof = False
        self._eof_told = False
        self._was_reset = ""
        self._reading = False
        self._late_read = False
        self._is_stranded = False
        if node is not None and link is not None:
            self.own(node, link)

    def own(self, node: Node[Any], link: Link) -> None:
        """Make this end a link of the node's endpoint."""
        self._node, self._link = node, link
        node.links[link] = self
        self.host.ends[self] = None

    @property
    def _source(self) -> str:
        """Its address, as the other end sees it."""
        return self.host.edge(self.remote.host)

    # -- opening

    def connect(self, address: Address) -> None:
        self.remote = address
        source, port = self._source, self.host.free_port()
        delay = self.net.travel(source, address.host, 0)
        self._go(delay, address.host, lambda: self._knock(address, Address(source, port)))

    def _knock(self, address: Address, origin: Address) -> None:
        target = self.net.hosts[address.host]
        if self.dead or target.is_hidden_from(self.host):
            return
        found = target.listener(address.port)
        back = self.net.travel(address.host, origin.host, 0)
        if found is None:
            self.net.after(back, lambda: self.lose("connection refused"))
            return
        node, label = found
        peer = self.peer = StreamEnd(target, None, None)
        peer.peer, peer.remote = self, origin
        self.net.after(back, self._open)
        node.accept(label, peer)

    def _open(self) -> None:
        node = self._node
        if not self.dead and node is not None:
            self.opened = True
            node.report(lambda: node.endpoint.stream_opened(self._link, node.now))
            self.read_soon()

    # -- what the endpoint wants

    def carry(self, transmit: Transmit) -> None:
        if isinstance(transmit, AbortTransport):
            self._abort()
            return
        allowed = (PauseReading, ResumeReading)  # they say nothing of the direction that is blocked
        if not self.opened or (self.blocked and not isinstance(transmit, allowed)):
            raise BrokenContract(f"{transmit}: the link is {'blocked' if self.opened else 'not open yet'}")
        match transmit:
            case SendBytes():
                self._send(transmit.data)
            case CloseWrite():
                self._finish = True
                self._pump()
            case CloseTransport():
                self._finish = self._closing = True
                self._pump()
            case PauseReading():
                self.paused = True
                way = self._way_in()
                self._late_read = bool(self._inbox) and self.net._random.random() < way.late_read
                self.read_soon()
            case _:
                self.paused = False
                self.read_soon()

    def _send(self, data: bytes) -> None:
        if self._finish:
            raise BrokenContract(f"link {self._link}: bytes after CloseWrite")
        self._out.append(data)
        self._unsent += len(data)
        self._pump()
        if self._unsent > self._way_out().buffer and self._node is not None:
            self.blocked = True
            self._node.endpoint.stream_blocked(self._link, self._node.now)

    def _abort(self) -> None:
        self._out.clear()
        self._send_reset()
        self.net.after(0.0, lambda: self.lose("aborted"))

    # -- sending

    def _way_out(self) -> Conditions:
        return self.net.conditions(self._source, self.remote.host)

    def _way_in(self) -> Conditions:
        return self.net.conditions(self.remote.host, self._source)

    def _pump(self) -> None:
        """Send as many bytes as there is room for; then FIN."""
        peer = self.peer
        assert peer is not None  # nothing is sent before the stream is open
        room = self._way_out().buffer - self._flight
        while self._out and room > 0:
            piece = self._out.popleft()
            size = min(room, _SEGMENT)
            if len(piece) > size:
                self._out.appendleft(piece[size:])
                piece = piece[:size]
            room -= len(piece)
            self._unsent -= len(piece)
            self._flight += len(piece)
            self._ship(len(piece), lambda piece=piece: peer.arrive(piece))  # type: ignore[misc]
        if not self._out and self._finish and not self._finished:
            self._finished = True
            self._ship(0, peer.arrive_fin)
            if self._closing:
                self.net.after(0.0, lambda: self.lose("closed"))
        if self.blocked and 2 * self._unsent <= self._way_out().buffer:
            self._unblock()

    def taken(self, size: int) -> None:
        """The other end has read so many bytes."""
        self._flight -= size
        if not self.dead:
            self._pump()

    def _ship(self, size: int, act: Callable[[], None]) -> None:
        delay = self.net.travel(self._source, self.remote.host, size)
        self._last_arrival = arrival = max(self._last_arrival, self.net.now + delay)  # streams keep their order
        self._go(arrival - self.net.now, self.remote.host, act)

    def _unblock(self) -> None:
        node = self._node
        assert node is not None
        self.blocked = False
        node.report(lambda: node.endpoint.stream_unblocked(self._link, node.now))

    def _go(self, delay: float, target: str, act: Callable[[], None], *, lost_in_partition: bool = False) -> None:
        source = self._source

        def arrive() -> None:
            host = self.net.hosts.get(target)
            if host is None or host.black_hole or self._is_stranded:
                return
            if not self.net.is_parted(source, target):
                act()
            elif not lost_in_partition:
                self.net._waiting.append((source, target, arrive))

        self.net.after(delay, arrive)

    # -- receiving

    def arrive(self, data: bytes) -> None:
        if self.dead:
            if self.host.nodes:  # a machine that is up answers for a socket that is no more
                self._send_reset()
            return
        self._inbox += data
        self.read_soon()

    def arrive_fin(self) -> None:
        self._eof = True
        self.read_soon()

    def read_soon(self) -> None:
        """Schedule a look at the socket a little later, unless one is scheduled."""
        if not self._reading and (not self.paused or self._late_read):
            self._reading = True
            wait = self._way_in().coalesce
            self.net.after(self.net._random.random() * wait if wait else 0.0, self._read)

    def _read(self) -> None:
        self._reading = False
        node, way = self._node, self._way_in()
        if self.dead or not self.opened or node is None or (self.paused and not self._late_read):
            return
        self._late_read = False
        if self._was_reset:
            self.lose(self._was_reset)
        elif self._inbox:
            size = min(len(self._inbox), way.read)
            if way.split:
                size = self.net._random.randint(1, size)
            data = bytes(self._inbox[:size])
            del self._inbox[:size]
            assert self.peer is not None
            self.peer.taken(size)
            node.report(lambda: node.endpoint.receive_data(self._link, data, node.now))
            if self._inbox or self._eof:
                self.read_soon()
        elif self._eof and not self._eof_told:
            self._eof_told = True
            node.report(lambda: node.endpoint.receive_eof(self._link, node.now))

    # -- ends

    def reset(self, detail: str) -> None:
        """The other end, or the network, resets. A paused end does not see it before it reads again."""
        self._was_reset = detail
        self._inbox.clear()
        if not self.opened:
            self.lose(detail)
        else:
            self.read_soon()

    def refuse(self) -> None:
        """The connection is refused."""
        self.dead = True
        self._send_reset()

    def strand(self) -> None:
        """One of the two ends has another address: nothing passes any more."""
        for end in filter(None, (self, self.peer)):
            end._is_stranded = True

    def vanish(self, silent: bool) -> None:
        """The process with this end was killed."""
        self.host.ends.pop(self, None)
        self._out.clear()
        if silent:
            self.dead = True
        else:
            self.refuse()

    def lose(self, detail: str) -> None:
        """Report the end of the link, once."""
        node = self._node
        if self.dead or node is None:
            return
        self.dead = True
        del node.links[self._link], self.host.ends[self]
        node.report(lambda: node.endpoint.stream_lost(self._link, node.now, detail=detail))

    def _send_reset(self) -> None:
        peer = self.peer
        if peer is not None and not peer.dead:
            delay = self.net.travel(self._source, self.remote.host, 0)
            self._go(delay, self.remote.host, lambda: peer.reset("connection reset"), lost_in_partition=True)
