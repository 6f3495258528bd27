"""The echo server: it owns its guests, hands them what arrives, and answers probes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from sansproto.component import Parts
from sansproto.contract import Entropy, Link, Path, Phase
from sansproto.errors import LocalProtocolError, NotOpen, WireError
from sansproto.links import StreamLink
from sansproto.session import Answers
from sansproto.snapshot import CACHED
from sansproto.streams import StreamEndpoint
from sansproto.trace import Trace

from .events import EchoEvent
from .guest import MESSAGE, Guest, I
from .limits import EchoDelays, EchoLimits
from .packets import MAX_COUNT, MAX_MESSAGE, TO_PROBER, TO_SERVER, Count, Message, Probe

GUESTS: Final = "guests"
"""The label of the listener."""

PROBES: Final = "probes"
"""The label of the datagram socket."""


class EchoServer(StreamEndpoint[EchoEvent, Probe]):
    """Repeats what guests say, once they have greeted; tells who probes it how many there are.

    ``entropy`` is drawn on for 4 bytes per guest.
    """

    datagram = TO_SERVER
    strangers: ClassVar = Answers(11)
    guests: Parts[Link, Guest]
    delays: Annotated[EchoDelays, CACHED]

    def __init__(
        self,
        *,
        entropy: Entropy,
        delays: EchoDelays | None = None,
        limits: EchoLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.delays, limits = delays or EchoDelays(), limits or EchoLimits()
        super().__init__(entropy=entropy, delays=self.delays, limits=limits, datagrams=limits, trace=trace)
        self.guests = Parts(lambda key: Guest(self, key, self.delays))
        self.phase = Phase.OPEN

    # -- verbs

    def say(self, link: Link, text: str, now: float) -> None:
        """Say something to a guest.

        Raises NotOpen if it is gone, LocalProtocolError if it has not greeted or ``text`` is longer than 200 bytes.
        """
        guest = self.guests.get(link)
        if guest is None:
            raise NotOpen("say", "GONE")
        if len(text.encode()) > MAX_MESSAGE:
            raise LocalProtocolError("say", guest.state.name, f"more than {MAX_MESSAGE} bytes")
        self.verb("say", now, guest.asked(I.SAY(text)))

    # -- what a guest needs

    def link_of(self, guest: Guest) -> StreamLink:
        return self.links[guest.key]

    def send(self, guest: Guest, message: Message) -> None:
        data = message.encode()
        self.links[guest.key].write(data)
        self.note_sent(guest.key, "Message", len(data))

    # -- what arrives on links

    def link_accepted(self, link: StreamLink) -> None:
        self.guests.add(link.key).post(I.CAME())

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        return Message.decode_prefix(data, offset)

    def link_packet(self, link: StreamLink, packet: object) -> None:
        assert isinstance(packet, Message)  # nothing else is decoded
        self.guests[link.key].take(MESSAGE, packet)

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        self.guests[link.key].post(I.BROKE(error.fault.value))

    def link_eof(self, link: StreamLink) -> None:
        link.close()

    def link_gone(self, link: StreamLink) -> None:
        guest = self.guests.get(link.key)
        if guest is not None:  # a link that was refused had none
            guest.leave()
            self.guests.remove(link.key)

    # -- what arrives as a datagram

    def received(self, packet: Probe, path: Path) -> None:
        self.answer(packet, path)

    def answer(self, packet: Probe, path: Path) -> None:
        count = Count(packet.number, min(len(self.guests), MAX_COUNT))
        self.send_datagram(TO_PROBER.encode(count), path, "Count")
