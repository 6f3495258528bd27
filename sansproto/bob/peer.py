"""What a client and a server share: the way to the relay, the secure room and the channel. docs/protocols/bob.rst."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Generic, Never, TypeVar

from ..component import OptionalPart, Parts
from ..contract import Address, Entropy, Link, Phase
from ..errors import LocalProtocolError, WireError
from ..events import CloseCause, Closed
from ..links import Mark, StreamLink
from ..snapshot import CACHED
from ..streams import StreamEndpoint
from ..trace import Trace
from . import packets as p
from .channel import SecureChannel
from .crypto import Derivation, RecordKey
from .events import PeerEvent, Violation
from .exchange import Exchange
from .kdf import KdfQueue
from .limits import PeerDelays, PeerLimits
from .turns import Turns
from .way import Agreed, PeerInput, PeerState, Way

X = TypeVar("X", bound=Exchange[Any])


class Peer(StreamEndpoint[PeerEvent, Never], Generic[X]):
    """The base of :class:`~sansproto.bob.client.Client` and :class:`~sansproto.bob.server.Server`."""

    identity: str
    """How the relay sees us; empty before Registered."""
    way: Way
    exchanges: Parts[int, X]
    """With other peers, by their uid."""
    kdf: KdfQueue
    turns: Turns
    channel: OptionalPart[SecureChannel]
    limits: Annotated[PeerLimits, CACHED]
    delays: Annotated[PeerDelays, CACHED]
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
        self.limits, self.delays = limits or PeerLimits(), delays or PeerDelays()
        super().__init__(entropy=entropy, delays=self.delays, limits=self.limits, trace=trace)
        self._password, self.identity = password, ""
        self.way = Way(self, self, Address(*relay), secure_port, self.delays)
        self.exchanges = Parts(self.make_exchange)
        self.kdf = KdfQueue(self, self, self.delays)
        self.turns = Turns(self, self, self.limits)
        self.channel = OptionalPart(lambda: SecureChannel(self, self, self.limits, self.delays))

    # -- for roles

    @abstractmethod
    def make_exchange(self, uid: int) -> X:
        """An exchange with another peer."""

    @abstractmethod
    def role_packet(self, uid: int, packet: p.BobPacket) -> None:
        """A packet that only one of the two roles understands."""

    @abstractmethod
    def record_keys(self, agreed: Agreed) -> tuple[RecordKey | None, RecordKey | None]:
        """To send and to receive, seen from this role; None without a cipher that works."""

    @abstractmethod
    def derived(self, uid: int, material: bytes) -> None:
        """The key material for this peer (0: for ourselves) is there."""

    @property
    @abstractmethod
    def is_prepared(self) -> bool:
        """Is there all that is needed before the relay is asked?"""

    @abstractmethod
    def prepare(self) -> None:
        """Begin to derive it."""

    @abstractmethod
    def send_hello(self) -> None:
        """Say which role this is."""

    # -- verbs

    @property
    def state(self) -> PeerState:
        """How far it has come."""
        return self.way.state

    def connect(self, now: float) -> None:
        """Go to the relay and say hello; ``Registered`` follows. Raises LocalProtocolError if called twice."""
        if self.state is not PeerState.NEW:
            raise LocalProtocolError("connect", self.state.name)
        self.advance(now)
        self.phase = Phase.OPENING
        self.way.post(PeerInput.START())
        self.run()

    @property
    def capacity(self) -> int:
        """Bytes that ``send`` would take now; 0 before ``Connected``, and without a cipher to send with."""
        return self.channel[None].capacity if self.state is PeerState.TALKING else 0

    def send(self, data: bytes, now: float) -> int:
        """Queue bytes for the other peer and return how many were taken (:meth:`Channel.send`).

        Raises NotOpen before ``connect`` and after ``close``, LocalProtocolError before ``Connected`` and where the
        cipher of this direction is none that works.
        """
        self.verb("send", now, self.way.asked(PeerInput.SEND()))
        taken = self.channel[None].send(data)
        self._offer_room()
        return taken

    def close(self, now: float) -> None:
        if self.alive(now) and self._closing is None:
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
        if channel.wants_data and self.way.room in self.links:
            self.links[self.way.room].resume()
        self._offer_room()
        self.run()
        return event

    def link_pull(self, link: StreamLink, mark: Mark | None) -> bytes | None:
        channel = self.channel.part
        record = channel.next_record() if channel is not None and link.key == self.way.room else None
        if record is not None:
            self._note_movement()
            self.run()
        return record

    # -- links

    def link_opened(self, link: StreamLink) -> None:
        self.way.post(PeerInput.OPENED())

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        if link.key == self.way.relay:
            header, payload, offset = p.FRAME.decode_prefix(data, offset)
            return (header.uid, payload), offset
        if self.state is PeerState.LOBBY:
            return p.RoomAnswer.decode_prefix(data, offset)
        return data[offset:], len(data)

    def link_packet(self, link: StreamLink, packet: Any) -> None:
        if link.key == self.way.relay:
            self._relay_packet(*packet)
        elif isinstance(packet, p.RoomAnswer):
            joined = packet.code is p.RoomCode.JOINED
            self.way.post(PeerInput.JOINED() if joined else PeerInput.ROOM_REFUSED(packet.code))
        else:
            channel = self.channel[None]  # behind the relay's answer there is one
            self._note_movement()
            channel.receive(packet)
            if not channel.wants_data:
                link.pause()
            self._offer_room()

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        violation = Violation.BAD_PACKET if link.key == self.way.relay else Violation.BAD_ROOM_ANSWER
        detail = (
            f"{error.fault.value} in {error.field or 'a packet'}"  # no offset: that depends on how the stream was cut
        )
        self.way.post(PeerInput.VIOLATED(Closed(CloseCause.VIOLATION, violation, detail=detail)))

    def link_eof(self, link: StreamLink) -> None:
        self.link_over(link, CloseCause.LOST, "the relay closed the connection")

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        if cause is CloseCause.UNREACHABLE:
            self.way.post(PeerInput.UNREACHABLE(detail))
        elif link.key == self.way.relay:
            self.way.post(PeerInput.RELAY_LOST(detail))
        elif self.channel.part is not None:
            self.channel.part.lose_stream(detail)
            self._offer_room()
        else:
            self.way.post(PeerInput.ROOM_LOST(detail))

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
        self.exchanges.remove_all()
        self.kdf.clear()
        self.turns.clear()
        if self.channel.part is not None and not self.channel.part.is_over:
            self.channel.part.lose_stream()

    # -- what the way asks

    def register(self, identity: str) -> None:
        self.identity = identity

    def say(self, uid: int, packet: p.BobPacket) -> None:
        """Send a packet to a peer, or to the relay."""
        self._write(self.way.relay, type(packet).__name__, p.encode(uid, packet))

    def say_line(self, line: p.RoomLine) -> None:
        self._write(self.way.room, type(line).__name__, line.encode())

    def leave_relay(self) -> Address:
        relay = self.links[self.way.relay]
        relay.close()
        return relay.peer

    def abandon(self) -> None:
        for exchange in self.exchanges.values():
            exchange.abandon()

    def open_channel(self, agreed: Agreed) -> None:
        self.channel.start(SecureChannel.begin, *self.record_keys(agreed))
        self.phase = Phase.OPEN

    def close_channel(self) -> None:
        self.phase = Phase.CLOSING
        self.channel[None].close()
        self._offer_room()

    # -- what exchanges, turns and the channel ask

    @property
    def has_too_many(self) -> bool:
        """Exchanges, the newest included."""
        return len(self.exchanges) > self.limits.exchanges

    def has_turn(self, uid: int) -> None:
        self.exchanges[uid].have_turn()

    def exhaust(self) -> None:
        self.way.post(PeerInput.EXHAUSTED())

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

    def _relay_packet(self, uid: int, packet: p.BobPacket) -> None:
        """Packets of the relay itself count only with uid 0; the rest is the role's."""
        match packet:
            case p.PeerClosed(uid=gone) if uid == p.RELAY:
                if gone == p.RELAY:
                    self.way.post(PeerInput.RELAY_CLOSED())
                else:
                    self.turns.guesses.forget(gone)
                    if gone in self.exchanges:
                        self.exchanges[gone].lose_peer()
            case p.Timeout() if uid == p.RELAY:
                self.way.post(PeerInput.RELAY_TIMEOUT())
            case p.Done() if uid == p.RELAY:
                self.way.post(PeerInput.DONE())
            case p.SpokeFailure() if uid in self.exchanges:
                self.exchanges[uid].fail(packet.fault)
            case _:
                self.role_packet(uid, packet)

    def _note_movement(self) -> None:
        if self.state is PeerState.TALKING:
            self.way.post(PeerInput.MOVED())

    def _offer_room(self) -> None:
        """The channel may have output."""
        if self.way.room in self.links:
            self.offer(self.links[self.way.room])

    def _write(self, key: Link, name: str, data: bytes) -> None:
        self.note_sent(key, name, len(data))
        self.links[key].write(data)
