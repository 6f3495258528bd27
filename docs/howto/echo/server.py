"""The echo server: it owns its guests, and hands them what arrives."""

from __future__ import annotations

from typing import Annotated, Never

import attrs

from sansproto.component import Parts
from sansproto.contract import Entropy, Link, Phase
from sansproto.errors import NotOpen, WireError
from sansproto.events import CloseCause, Closed
from sansproto.limits import some
from sansproto.links import StreamLink
from sansproto.snapshot import CACHED
from sansproto.streams import StreamEndpoint
from sansproto.trace import Trace

from .events import EchoEvent
from .guest import MESSAGE, EchoDelays, Guest, I
from .packets import Message


@attrs.frozen(kw_only=True)
class EchoLimits:
    """Bounds of an echo server."""

    links: int = some(1000)
    """guests at once"""
    link_queue: int = some(2000)
    """bytes that wait for one guest: over it the guest is cut"""
    link_packets: int = some(64)
    """messages of one guest that one call takes"""
    events: int = some(100)
    """not yet popped: over it nothing is read"""


class EchoServer(StreamEndpoint[EchoEvent, Never]):
    """Repeats what guests say, once they have greeted. ``entropy`` is drawn on for 4 bytes per guest."""

    guests: Parts[Link, Guest]
    _delays: Annotated[EchoDelays, CACHED]

    def __init__(
        self,
        *,
        entropy: Entropy,
        delays: EchoDelays | None = None,
        limits: EchoLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._delays = delays or EchoDelays()
        super().__init__(entropy=entropy, delays=self._delays, limits=limits or EchoLimits(), trace=trace)
        self.guests = Parts(lambda key: Guest(self, self, key, self._delays))
        self.phase = Phase.OPEN

    # -- verbs

    def say(self, link: Link, text: bytes, now: float) -> None:
        """Say something to a guest. Raises NotOpen if it is gone, LocalProtocolError if it has not greeted."""
        guest = self.guests.get(link)
        if guest is None:
            raise NotOpen("say", "GONE")
        self.verb("say", now, guest.asked(I.SAY(text)))

    def close(self, now: float) -> None:
        self.advance(now)
        self.close_gracefully(Closed(CloseCause.LOCAL))
        self.run()

    # -- what a guest asks

    def link_of(self, guest: Guest) -> StreamLink:
        return self.links[Link(guest.key)]

    # -- links

    def link_accepted(self, link: StreamLink) -> None:
        self.guests.add(link.key).post(I.CAME())

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        return Message.decode_prefix(data, offset)

    def link_packet(self, link: StreamLink, packet: object) -> None:
        assert isinstance(packet, Message)  # nothing else is decoded
        self.guests[link.key].take(MESSAGE, packet.text)

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        self.guests[link.key].post(I.BROKE(error.fault.value))

    def link_eof(self, link: StreamLink) -> None:
        link.close()

    def link_gone(self, link: StreamLink) -> None:
        guest = self.guests.get(link.key)
        if guest is not None:
            guest.leave(link.key)
            self.guests.remove(link.key)
