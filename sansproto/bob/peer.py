"""What a client and a server share: the way to the relay, the secure room and the channel. docs/protocols/bob.rst."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Generic, Never, TypeVar

from ..component import OptionalPart, Parts
from ..contract import Address, Entropy, Phase
from ..errors import LocalProtocolError, WireError
from ..events import CloseCause, Closed
from ..links import Mark, StreamLink
from ..machine import Happened
from ..snapshot import CACHED
from ..streams import StreamEndpoint
from ..trace import Trace
from . import packets as p
from .channel import SecureChannel
from .crypto import Derivation, RecordKey
from .events import PeerEvent, Role, Violation
from .exchange import Exchange
from .host import Heard
from .kdf import KdfQueue
from .limits import PeerDelays, PeerLimits
from .turns import Turns
from .way import Agreed, Meaning, PeerInput, PeerState, Way

X = TypeVar("X", bound=Exchange[Any, Any])


class Peer(StreamEndpoint[PeerEvent, Never], Generic[X]):
    """The base of :class:`~sansproto.bob.client.Client` and :class:`~sansproto.bob.server.Server`."""

    role: ClassVar[Role]
    meanings: ClassVar[Mapping[type[p.BobPacket], Meaning]]
    """What a packet is that is no part of an exchange."""
    way: Way
    exchanges: Parts[int, X]
    """With other peers, by their uid."""
    kdf: KdfQueue
    turns: Turns
    channel: OptionalPart[SecureChannel]
    limits: Annotated[PeerLimits, CACHED]
    delays: Annotated[PeerDelays, CACHED]
    comes_back: Annotated[bool, CACHED]
    """Does it go to the relay again if its partner does not come to the secure room?"""
    _password: Annotated[bytes, CACHED]

    def __init__(
        self,
        *,
        relay: tuple[str, int],
        secure_port: int,
        password: bytes,
        entropy: Entropy,
        limits: PeerLimits | None = None,
        delays: PeerDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.limits, self.delays, self.comes_back = limits or PeerLimits(), delays or PeerDelays(), False
        super().__init__(entropy=entropy, delays=self.delays, limits=self.limits, trace=trace)
        self._password = password
        self.way = Way(self, Address(*relay), secure_port)
        self.exchanges = Parts(self.make_exchange)
        self.kdf, self.turns = KdfQueue(self), Turns(self)
        self.channel = OptionalPart(lambda: SecureChannel(self))

    # -- for roles

    @abstractmethod
    def make_exchange(self, uid: int) -> X:
        """An exchange with another peer."""

    @abstractmethod
    def meet(self, heard: Heard[Any]) -> None:
        """A packet of somebody with whom there may be an exchange now."""

    @abstractmethod
    def derived(self, uid: int, material: bytes) -> None:
        """The key material for this peer (0: for ourselves) is there."""

    @abstractmethod
    def prepare(self) -> None:
        """Do what is needed before the relay is asked."""

    @abstractmethod
    def send_hello(self) -> None:
        """Say which role this is."""

    # -- verbs

    @property
    def identity(self) -> str:
        """The name by which the relay knows us; empty before ``Registered``."""
        return self.way.identity

    @property
    def state(self) -> PeerState:
        """How far the session has come."""
        return self.way.state

    def connect(self, now: float) -> None:
        """Go to the relay and say hello; ``Registered`` follows. Raises LocalProtocolError if called twice, NotOpen
        after the end."""
        self.ask("connect")
        if self.state is not PeerState.NEW:
            raise LocalProtocolError("connect", self.state.name)
        self.advance(now)
        self.phase = Phase.OPENING
        self.prepare()
        self.run()

    @property
    def capacity(self) -> int:
        """Bytes that ``send`` would take now; 0 before ``Connected``, and without a cipher to send with."""
        return self.channel[None].capacity if self.state is PeerState.TALKING else 0

    @property
    def unsent(self) -> int:
        """Bytes of records that ``send`` took and that are not given to the transport yet."""
        return 0 if self.channel.part is None else self.channel.part.queued

    def send(self, data: bytes, now: float) -> int:
        """Queue bytes for the other peer and return how many were taken.

        Raises NotOpen before ``connect`` and once it is over or closing, whoever wanted that; LocalProtocolError before
        ``Connected`` and where the cipher of this direction is none that works.
        """
        self.verb("send", now, self.way.asked(PeerInput.SEND()))
        taken = self.channel[None].send(data)
        self._offer_room()
        return taken

    def close(self, now: float) -> None:
        if self.closes(now) and self._closing is None:
            self.way.post(PeerInput.CLOSE())
            self.run()

    # -- events and output of the channel

    def next_event(self) -> PeerEvent | None:
        channel = self.channel.part
        if channel is None or (self._events and not isinstance(self._events[0], Closed)):
            return super().next_event()
        event = channel.next_received()
        if event is None:
            return super().next_event()
        if channel.wants_data:
            for key in self.way.partners:
                self.links[key].resume()
        self._offer_room()
        self.run()
        return event

    def link_pull(self, link: StreamLink, mark: Mark | None) -> bytes | None:
        channel = self.channel.part
        record = channel.next_record() if channel is not None and link.key in self.way.partners else None
        if record is not None:
            self._note_movement()
            self.run()
        return record

    # -- links

    def link_opened(self, link: StreamLink) -> None:
        self.way.post(PeerInput.OPENED(link))

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        if link.key not in self.way.partners:
            header, payload, offset = p.FRAME.decode_prefix(data, offset)
            return Heard(header.uid, payload), offset
        if self.state is PeerState.LOBBY:
            return p.RoomAnswer.decode_prefix(data, offset)
        return data[offset:], len(data)

    def link_packet(self, link: StreamLink, packet: Any) -> None:
        if isinstance(packet, Heard):
            self._hear(packet)
        elif isinstance(packet, p.RoomAnswer):
            joined = packet.code is p.RoomCode.JOINED
            self.way.post(PeerInput.JOINED(link) if joined else PeerInput.ROOM_REFUSED(packet.code))
        else:
            channel = self.channel[None]  # behind the relay's answer there is one
            self._note_movement()
            channel.receive(packet)
            if not channel.wants_data:
                link.pause()
            self._offer_room()

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        violation = Violation.BAD_ROOM_ANSWER if link.key in self.way.partners else Violation.BAD_PACKET
        detail = f"{error.fault.value} in {error.field or 'a packet'}"  # the offset depends on how the stream was cut
        self.way.post(PeerInput.VIOLATED(Closed(CloseCause.VIOLATION, violation, detail=detail)))

    def link_eof(self, link: StreamLink) -> None:
        self.link_over(link, CloseCause.LOST, "the relay closed the connection")

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        if cause is CloseCause.UNREACHABLE:
            self.way.post(PeerInput.UNREACHABLE(detail))
        elif self.channel.part is not None:
            self.channel.part.lose_stream(detail)
            self._offer_room()
        else:
            violation = Violation.ROOM_LOST if link.key in self.way.partners else Violation.RELAY_LOST
            self.way.post(PeerInput.LOST(Closed(CloseCause.LOST, violation, detail=detail)))

    def link_gone(self, link: StreamLink) -> None:
        self.way.forget_link(link.key)

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        if self.alive(now):
            self.way.post(PeerInput.LOOKED_UP(tuple(addresses)))
            self.run()

    def closing(self) -> None:
        self.abandon()

    def end(self, closed: Closed) -> None:
        """Whoever ended it: no verb does anything any more, and what the channel has received is still handed out."""
        super().end(closed)
        self.way.cease()
        self.abandon()
        if self.channel.part is not None and not self.channel.part.is_over:
            self.channel.part.lose_stream()

    # -- what the way asks

    def say(self, uid: int, packet: p.BobPacket) -> None:
        """Send a packet to a peer, or to the relay."""
        self.write(self.links[self.way.relay], type(packet).__name__, p.encode(uid, packet))

    def write(self, link: StreamLink, name: str, data: bytes) -> None:
        self.note_sent(link.key, name, len(data))
        link.write(data)

    def lose_peer(self, uid: int) -> None:
        """It left the relay."""
        self.turns.guesses.forget(uid)
        if uid in self.exchanges:
            self.exchanges[uid].post(self.exchanges[uid].gone())

    def abandon(self) -> None:
        """Nobody needs the exchanges any more, nor what they wait for."""
        self.exchanges.remove_all()
        self.kdf.clear()
        self.turns.clear()

    def open_channel(self, agreed: Agreed) -> None:
        to_client = RecordKey.from_shared(agreed.keys.client)
        works = agreed.public.client_cipher is p.Cipher.AES_256_GCM
        to_server = RecordKey.from_shared(agreed.keys.server) if works else None
        is_server = self.role is Role.SERVER
        self.channel.start(SecureChannel.begin, *(to_client, to_server) if is_server else (to_server, to_client))
        self.phase = Phase.OPEN

    def close_channel(self) -> None:
        self.phase = Phase.CLOSING
        self.channel[None].close()
        self._offer_room()

    # -- what exchanges, turns and the channel ask

    @property
    def has_too_many(self) -> bool:
        """Exchanges for one more."""
        return len(self.exchanges) >= self.limits.exchanges

    def has_turn(self, uid: int) -> None:
        self.exchanges[uid].post(self.exchanges[uid].has_turn())

    def keep_exchange(self, exchange: X) -> None:
        self.exchanges.keep(exchange.key, exchange)

    def forget_exchange(self, uid: int) -> None:
        self.kdf.take_off(uid)
        self.turns.leave(uid)
        self.exchanges.remove(uid)

    def channel_ended(self, closed: Closed[Violation]) -> None:
        self.way.post(PeerInput.CHANNEL_ENDED(closed))

    def put_in_queue(self, uid: int, salt: bytes, count: int) -> None:
        """Derive from our password."""
        self.kdf.put(uid, Derivation(self._password, salt, count))

    # -- inside

    def _hear(self, heard: Heard[p.BobPacket]) -> None:
        """Of the relay, or of a peer: a part of an exchange with it, or what may begin one."""
        exchange, kind = self.exchanges.get(heard.uid), type(heard.packet)
        if exchange is not None and kind in exchange.meanings:
            exchange.hear(heard.packet)
        else:
            self.way.post(Happened(self.meanings.get(kind, PeerInput.UNEXPECTED), heard))

    def _note_movement(self) -> None:
        if self.state is PeerState.TALKING:
            self.way.post(PeerInput.MOVED())

    def _offer_room(self) -> None:
        """The channel may have output."""
        for key in self.way.partners:
            self.offer(self.links[key])
