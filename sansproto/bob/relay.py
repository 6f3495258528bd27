"""The relay: introduces peers, checks what they say to each other, joins them in rooms. docs/protocols/bob.rst.

An Endpoint with two listeners: :data:`RELAY_PORT` and :data:`SECURE_PORT`.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import Annotated, Any, Final, Never

from ..component import Part
from ..contract import Link, Phase, Transmit
from ..errors import WireError
from ..events import CloseCause, Closed
from ..links import Mark, StreamLink
from ..snapshot import CACHED
from ..streams import StreamEndpoint
from ..trace import Trace
from . import packets as p
from .events import Departure, RelayEvent
from .host import Heard
from .limits import RelayDelays, RelayLimits
from .member import MemberInput
from .registry import Registry
from .secure import SecurePort
from .visitor import VisitorInput, VisitorState

RELAY_PORT: Final = "relay"
"""The label of the listener for hello and the exchanges (TCP port 9000 by custom)."""

SECURE_PORT: Final = "secure"
"""The label of the listener for the secure rooms (TCP port 9001 by custom)."""


class Relay(StreamEndpoint[RelayEvent, Never]):
    """Introduces up to 65,534 peers to each other, and joins those that agree. It cannot read what they send then.

    Bytes that are not a packet end the connection. Packets that the sender may not send now are dropped and counted.

    Verbs: ``close``.
    """

    registry: Registry
    secure: SecurePort
    _was_announced: bool
    """What was given out last is an announcement."""
    limits: Annotated[RelayLimits, CACHED]
    delays: Annotated[RelayDelays, CACHED]

    def __init__(
        self, *, limits: RelayLimits | None = None, delays: RelayDelays | None = None, trace: Trace | None = None
    ) -> None:
        self.limits, self.delays = limits or RelayLimits(), delays or RelayDelays()
        super().__init__(entropy=None, delays=self.delays, limits=self.limits, trace=trace)
        self.registry, self.secure = Registry(self), SecurePort(self)
        self.phase = Phase.OPEN
        self._was_announced = False

    # -- the contract

    def stream_blocked(self, link: Link, now: float) -> None:
        self.registry.log.block(link)
        super().stream_blocked(link, now)

    def stream_unblocked(self, link: Link, now: float) -> None:
        self.registry.unblocked(link)
        super().stream_unblocked(link, now)

    def next_transmit(self) -> Transmit | None:
        """Direct packets and announcements take turns, so that neither waits for all of the other."""
        transmit = None
        if self._was_announced or self._outbox:
            transmit, self._was_announced = super().next_transmit(), False
        if transmit is None:
            transmit = self._next_announcement()
            self._was_announced = transmit is not None
        return transmit or super().next_transmit()

    def _next_announcement(self) -> Transmit | None:
        while (key := self.registry.log.next_reader()) is not None:
            transmit = self.next_of(self.links[Link(key)])
            if transmit is not None:
                return transmit
        return None

    def advance(self, now: float) -> None:
        before = self.clock
        super().advance(now)
        if self.clock > before:
            self.registry.withdraw_dying()

    def next_timeout(self) -> float | None:
        if self.registry.dying and self.phase is not Phase.CLOSED:
            return nextafter(self.clock, inf)
        return super().next_timeout()

    # -- links

    def link_accepted(self, link: StreamLink) -> None:
        (self.secure if link.listener == SECURE_PORT else self.registry).accept(link.key)

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        visitor = self.secure.visitors.get(link.key)
        if visitor is None:
            header, payload, offset = p.FRAME.decode_prefix(data, offset)
            return Heard(header.uid, payload), offset
        if visitor.state is VisitorState.READING:
            return p.RoomLine.decode_prefix(data, offset)
        return data[offset:] if offset else data, len(data)

    def link_packet(self, link: StreamLink, packet: Any) -> None:
        visitor = self.secure.visitors.get(link.key)
        if visitor is None:
            self.registry.receive(link.key, packet)
            self.run()
            self.registry.at_hand = None
        elif isinstance(packet, p.RoomLine):
            self.secure.read_line(visitor, packet.identity)
        else:
            visitor.receive(packet)

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        if link.key in self.secure.visitors:
            self.secure.visitors[link.key].post(VisitorInput.UNKNOWN())
        else:
            self.registry.members[link.key].post(MemberInput.MALFORMED())

    def link_eof(self, link: StreamLink) -> None:
        self.link_over(link, CloseCause.LOST, "")

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        """Acted upon at once: a link that was lost is forgotten next, and who had it."""
        visitor, member = self.secure.visitors.get(link.key), self.registry.members.get(link.key)
        if visitor is not None:
            VisitorInput.LEFT().act(visitor)
        elif member is not None and cause is CloseCause.LOST:
            MemberInput.LEFT(Departure.LEFT).act(member)
        elif member is not None:
            member.post(MemberInput.LEFT(Departure.SLOW))

    def link_gone(self, link: StreamLink) -> None:
        self.registry.forget_link(link.key)
        self.secure.visitors.remove(link.key)

    def link_pull(self, link: StreamLink, mark: Mark | None) -> bytes | None:
        member = self.registry.members.get(link.key)
        return None if member is None else member.pull(mark)

    # -- the host of its parts

    def drop(self, reason: str, part: Part[Any] | None = None, *about: Any, **named: Any) -> None:
        super().drop(reason, part, *about, **named)
        self.registry.was_dropped(reason, part)

    def open_room(self, client: str, server: str) -> None:
        self.secure.open_room(client, server)

    # -- the end

    def closing(self) -> None:
        self.registry.say_goodbye()
        self.secure.say_goodbye()
        self._forget_everybody()

    def end(self, closed: Closed) -> None:
        super().end(closed)
        self._forget_everybody()

    def _forget_everybody(self) -> None:
        self.registry.forget()
        self.secure.forget()
        self.registry, self.secure = Registry(self), SecurePort(self)
