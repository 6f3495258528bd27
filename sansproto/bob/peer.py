"""What a client and a server share: the way to the relay, the secure room and the channel. docs/protocols/bob.rst."""

from __future__ import annotations

from abc import abstractmethod
from enum import Enum
from ipaddress import ip_address
from typing import Annotated, Any, ClassVar, Never, Protocol

import attrs

from ..component import OptionalPart
from ..contract import Address, Entropy, Link, Lookup, Phase
from ..errors import Fault, LocalProtocolError, WireError
from ..events import CloseCause, Closed
from ..links import Mark, StreamLink
from ..old_machine import Machine
from ..old_session import SessionBase
from ..snapshot import CACHED
from ..streams import StreamEndpoint
from ..trace import Trace
from . import packets as p
from .channel import SecureChannel
from .crypto import Derivation, RecordKey, SharedKeys
from .events import Connected, Failure, PeerEvent, PeerFailed, Registered, Violation
from .kdf import KdfQueue
from .limits import PeerDelays, PeerLimits
from .tables import PEER
from .tables.peer import PeerInput, PeerState, PeerTimer
from .turns import Turns

_NONE = Link(0)
_QUERY = 1
_ROOM_INPUTS = {
    p.RoomCode.JOINED: PeerInput.JOINED,
    p.RoomCode.EXPIRED: PeerInput.ROOM_EXPIRED,
    p.RoomCode.UNKNOWN: PeerInput.ROOM_UNKNOWN,
}
_FAILURES: dict[object, Failure] = {
    p.SpokeFault.POINT: Failure.BAD_POINT,
    p.SpokeFault.SERVER_VALIDATOR: Failure.WRONG_PASSWORD,
    p.SpokeFault.CLIENT_VALIDATOR: Failure.WRONG_PASSWORD,
    Fault.BAD_POINT: Failure.BAD_POINT,
    Fault.BAD_MAC: Failure.WRONG_PASSWORD,
}
_TOO_LATE = {
    PeerTimer.GREETING: "the relay did not answer our hello",
    PeerTimer.WAITING: "nobody came to an agreement",
    PeerTimer.DONE: "the relay did not confirm the agreement",
    PeerTimer.LOBBY: "the other peer did not come to the secure room",
    PeerTimer.SILENCE: "nothing moved for too long",
}


@attrs.frozen
class Agreed:
    """What is needed for the secure room: who the other peer is, and the keys shared with it."""

    uid: int
    identity: str
    keys: SharedKeys
    public: p.PublicParameters


class Exchange(Protocol):
    """An offer or a handshake."""

    state: Any
    key: int
    identity: str


class Peer(StreamEndpoint[PeerEvent, Never], SessionBase[PeerEvent], abstract=True):
    """The base of :class:`~sansproto.bob.client.Client` and :class:`~sansproto.bob.server.Server`."""

    state: PeerState
    key: ClassVar[int] = 0
    identity: str  # how the relay sees us; empty before Registered
    _addresses: list[Address]
    _relay: Link  # to the relay port; 0: none
    _room: Link  # to the secure port; 0: none
    _exchanges: dict[int, Any]  # with other peers, by their uid; a role says which kind
    kdf: KdfQueue
    turns: Turns
    _agreed: Agreed | None
    channel: OptionalPart[SecureChannel]
    _host: Annotated[str, CACHED]
    _port: Annotated[int, CACHED]
    _secure_port: Annotated[int, CACHED]
    _password: Annotated[bytes, CACHED]
    _limits: Annotated[PeerLimits, CACHED]
    _times: Annotated[PeerDelays, CACHED]

    _way = Machine(PEER)
    _exchange: ClassVar[Machine[Any, Any]]
    _abandon: ClassVar[Enum]
    _called: ClassVar[Enum]  # what an exchange learns when it has its turn

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
        self._limits = limits or PeerLimits()
        self._times = delays or PeerDelays()
        super().__init__(entropy=entropy, delays=self._times, limits=self._limits, trace=trace)
        self._delays = self._times
        self._host, self._port = relay
        self._secure_port = secure_port
        self._password = password
        self.state = PeerState.NEW
        self.identity = ""
        self._addresses = []
        self._relay = self._room = _NONE
        self._exchanges = {}
        self.kdf = KdfQueue(self, self, self._times)
        self.turns = Turns(self, self, self._limits)
        self._agreed = None
        self.channel = OptionalPart(lambda: SecureChannel(self, self, self._limits, self._times))

    # -- verbs

    def connect(self, now: float) -> None:
        """Go to the relay and say hello; ``Registered`` follows. Raises LocalProtocolError if called twice."""
        if self.state is not PeerState.NEW:
            raise LocalProtocolError("connect", self.state.name)
        self._advance(now)
        self.phase = Phase.OPENING
        self._post(self._way, self, "start")
        self._settle()

    @property
    def capacity(self) -> int:
        """Bytes that ``send`` would take now; 0 before ``Connected``, and without a cipher to send with."""
        channel = self.channel.part
        return channel.capacity if channel is not None and self.state is PeerState.TALKING else 0

    def send(self, data: bytes, now: float) -> int:
        """Queue bytes for the other peer and return how many were taken (:meth:`Channel.send`).

        Raises NotOpen before ``connect`` and after ``close``, LocalProtocolError before ``Connected`` and where the
        cipher of this direction is none that works.
        """
        self._way.ask(self, PeerInput.SEND, "send")
        channel = self.channel.part
        assert channel is not None  # in state TALKING there is one
        self._advance(now)
        taken = channel.send(data)
        self.offer(self.links[self._room])
        return taken

    def close(self, now: float) -> None:
        if self._alive(now) and self._closing is None:
            self._post(self._way, self, PeerInput.CLOSE)
            self._settle()

    # -- events and output of the channel

    def next_event(self) -> PeerEvent | None:
        channel = self.channel.part
        if channel is None or (self._events and not isinstance(self._events[0], Closed)):
            return super().next_event()
        event = channel.next_received()
        if event is None:
            return super().next_event()
        if channel.wants_data and self._room in self.links:
            self.links[self._room].resume()
        self._offer_room()
        self._settle()
        return event

    def link_pull(self, link: StreamLink, mark: Mark | None) -> bytes | None:
        channel = self.channel.part
        record = channel.next_record() if channel is not None and link.key == self._room else None
        if record is not None:
            self._note_movement()
            self._settle()
        return record

    # -- links

    def link_opened(self, link: StreamLink) -> None:
        self._post(self._way, self, PeerInput.OPENED)

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        if link.key == self._relay:
            header, payload, offset = p.FRAME.decode_prefix(data, offset)
            return (header.uid, payload), offset
        if self.state is PeerState.LOBBY:
            return p.RoomAnswer.decode_prefix(data, offset)
        return data[offset:], len(data)

    def link_packet(self, link: StreamLink, packet: Any) -> None:
        if link.key == self._relay:
            self._relay_packet(*packet)
        elif isinstance(packet, p.RoomAnswer):
            self._post(self._way, self, _ROOM_INPUTS[packet.code], packet.code)
        else:
            channel = self.channel.part
            assert channel is not None  # behind the relay's answer there is one
            self._note_movement()
            channel.receive(packet)
            if not channel.wants_data:
                link.pause()
            self._offer_room()

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        violation = Violation.BAD_PACKET if link.key == self._relay else Violation.BAD_ROOM_ANSWER
        detail = (
            f"{error.fault.value} in {error.field or 'a packet'}"  # no offset: that depends on how the stream was cut
        )
        self._post(self._way, self, PeerInput.VIOLATED, Closed(CloseCause.VIOLATION, violation, detail=detail))

    def link_eof(self, link: StreamLink) -> None:
        self.link_over(link, CloseCause.LOST, "the relay closed the connection")

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        if cause is CloseCause.UNREACHABLE:
            self._post(self._way, self, "unreachable", detail)
        elif link.key == self._relay:
            lost = Closed(CloseCause.LOST, Violation.RELAY_LOST, detail=detail)
            self._post(self._way, self, PeerInput.RELAY_LOST, lost)
        elif self.channel.part is not None:
            self.channel.part.lose_stream(detail)
            self._offer_room()
        else:
            lost = Closed(CloseCause.LOST, Violation.ROOM_LOST, detail=detail)
            self._post(self._way, self, PeerInput.ROOM_LOST, lost)

    def link_gone(self, link: StreamLink) -> None:
        if link.key == self._relay:
            self._relay = _NONE
        elif link.key == self._room:
            self._room = _NONE

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        if self._alive(now):
            self._addresses = list(addresses)
            self._post(self._way, self, "addresses")
            self._settle()

    # -- packets

    def _relay_packet(self, uid: int, packet: p.BobPacket) -> None:
        """Packets of the relay itself count only with uid 0; the rest is the role's."""
        match packet:
            case p.PeerClosed(uid=gone) if uid == p.RELAY:
                if gone == p.RELAY:
                    self._post(self._way, self, PeerInput.RELAY_CLOSED)
                else:
                    self.turns.guesses.forget(gone)
                    self._peer_gone(gone)
            case p.Timeout() if uid == p.RELAY:
                self._post(self._way, self, PeerInput.RELAY_TIMEOUT)
            case p.Done() if uid == p.RELAY:
                self._post(self._way, self, PeerInput.DONE)
            case _:
                self._role_packet(uid, packet)

    def _note_movement(self) -> None:
        if self.state is PeerState.TALKING:
            self._post(self._way, self, PeerInput.MOVED)

    def channel_ended(self, closed: Closed) -> None:
        if self.state is not PeerState.ENDED:
            self._post(self._way, self, PeerInput.CHANNEL_ENDED, closed)

    def _offer_room(self) -> None:
        """The channel may have output."""
        if self._room in self.links:
            self.offer(self.links[self._room])

    @abstractmethod
    def _role_packet(self, uid: int, packet: p.BobPacket) -> None:
        """A packet that only one of the two roles understands."""

    @abstractmethod
    def _peer_gone(self, uid: int) -> None:
        """The relay says that this peer left."""

    def _say(self, uid: int, packet: p.BobPacket) -> None:
        """Send a packet to a peer, or to the relay."""
        data = p.encode(uid, packet)
        self._note_sent(self._relay, packet, len(data))
        self.links[self._relay].write(data)

    # -- the way's checks and actions

    def _way_is_unprepared(self, _: object, __: object) -> bool:
        return False

    def _way_is_given_a_name(self, _: object, __: object) -> bool:
        try:
            address = ip_address(self._host)
        except ValueError:
            return True
        self._addresses = [Address(str(address), self._port)]
        return False

    def _way_is_without_address(self, _: object, __: object) -> bool:
        return not self._addresses

    def _way_is_left_with_an_address(self, _: object, __: object) -> bool:
        return self.state is PeerState.CONNECTING and bool(self._addresses)

    @abstractmethod
    def _way_derive(self, _: object, __: object) -> None:
        """Begin to derive what is needed before the relay is asked."""

    def _way_look_up(self, _: object, __: object) -> None:
        self.ask_transport(Lookup(_QUERY, self._host, self._port))

    def _way_dial(self, _: object, __: object) -> None:
        self._relay = self.open_link(self._addresses.pop(0)).key

    @abstractmethod
    def _way_send_hello(self, _: object, __: object) -> None:
        """Say which role this is."""

    def _way_remember_identity(self, _: object, identity: object) -> None:
        self.identity = str(identity)
        self._emit(Registered(self.identity))

    def _way_send_accepted(self, _: object, agreed: Any) -> None:
        self._agreed = agreed
        self._say(agreed.uid, p.Accepted())

    def _way_approach(self, _: object, agreed: Any) -> None:
        if agreed is not None:
            self._agreed = agreed
        relay = self.links[self._relay]
        relay.close()
        self._relay = _NONE
        self._room = self.open_link(attrs.evolve(relay.peer, port=self._secure_port)).key

    def _way_send_line(self, _: object, __: object) -> None:
        assert self._agreed is not None  # nobody approaches without
        line = p.RoomLine(self._agreed.identity)
        self._note_sent(self._room, line, len(line.encode()))
        self.links[self._room].write(line.encode())

    def _way_open_channel(self, _: object, __: object) -> None:
        assert self._agreed is not None
        self.channel.start(SecureChannel.begin, *self._record_keys(self._agreed))
        self.phase = Phase.OPEN
        self._emit(Connected(self._agreed.identity))

    @abstractmethod
    def _record_keys(self, agreed: Agreed) -> tuple[RecordKey | None, RecordKey | None]:
        """To send and to receive, seen from this role; None without a cipher that works."""

    def _way_close_channel(self, _: object, __: object) -> None:
        channel = self.channel.part
        assert channel is not None
        self.phase = Phase.CLOSING
        channel.close()
        self.offer(self.links[self._room])

    def _way_abandon(self, _: object, __: object) -> None:
        for exchange in self._exchanges.values():
            self._post(self._exchange, exchange, self._abandon)

    def closing(self) -> None:
        self._way_abandon(self, None)

    def _end(self, closed: Closed) -> None:
        """Whoever ended it: no verb does anything any more, and what the channel has received is still handed out."""
        super()._end(closed)
        self.state = PeerState.ENDED
        self._exchanges.clear()
        self.kdf.clear()
        self.turns.clear()
        if self.channel.part is not None and not self.channel.part.is_over:
            self.channel.part.lose_stream()

    def _way_end_local(self, _: object, __: object) -> None:
        self.close_gracefully(Closed(CloseCause.LOCAL))

    def _way_end_remote(self, _: object, __: object) -> None:
        self.close_gracefully(Closed(CloseCause.REMOTE, detail="the relay ended the connection"))

    def _way_end_refused(self, _: object, code: object) -> None:
        expired = code is p.RoomCode.EXPIRED
        self.close_gracefully(Closed(CloseCause.REFUSED, Violation.ROOM_EXPIRED if expired else Violation.ROOM_UNKNOWN))

    def _way_end_unreachable(self, _: object, detail: object) -> None:
        text = detail if isinstance(detail, str) else "the relay's name has no address"
        self.close_gracefully(Closed(CloseCause.UNREACHABLE, detail=text))

    def _way_end_lost(self, _: object, closed: Any) -> None:
        self.close_gracefully(closed)

    def _way_end_timeout(self, _: object, timer: Any) -> None:
        if timer is None:
            detail = "the relay's time for us is over"
            self.close_gracefully(Closed(CloseCause.TIMEOUT, Violation.RELAY_TIMEOUT, detail=detail))
        else:
            self.close_gracefully(Closed(CloseCause.TIMEOUT, detail=_TOO_LATE[timer]))

    def _way_end_violation(self, _: object, closed: Any) -> None:
        self.close_gracefully(closed)

    def _way_end_as_channel(self, _: object, closed: Any) -> None:
        self.close_gracefully(closed)

    def _way_end_limit(self, _: object, __: object) -> None:
        self.close_gracefully(Closed(CloseCause.LIMIT, Violation.TOO_MANY_GUESSES))

    # -- the actions that both kinds of exchange have

    def _exchange_tell_failed(self, exchange: Exchange, reason: object) -> None:
        """``reason`` is what the other end said, what was wrong with its packet, or None: unreadable parameters."""
        fault = reason.fault if isinstance(reason, WireError) else reason
        failure = _FAILURES.get(fault, Failure.BAD_PUBLIC)
        self._emit(PeerFailed(exchange.key, failure, identity=exchange.identity))

    def _exchange_tell_silent(self, exchange: Exchange, _: object) -> None:
        self._emit(PeerFailed(exchange.key, Failure.SILENT, identity=exchange.identity))

    def _exchange_tell_gone(self, exchange: Exchange, _: object) -> None:
        self._emit(PeerFailed(exchange.key, Failure.GONE, identity=exchange.identity))

    def _exchange_send_no_handshake(self, exchange: Exchange, _: object) -> None:
        self._say(p.RELAY, p.RelayFailure(p.Missing.HANDSHAKE, exchange.key))

    def _exchange_exhaust(self, _: Exchange, __: object) -> None:
        self._post(self._way, self, PeerInput.EXHAUSTED)

    def _exchange_forget(self, exchange: Exchange, _: object) -> None:
        self.kdf.take_off(exchange.key)
        self.turns.leave(exchange.key)
        del self._exchanges[exchange.key]

    def _exchange_wait(self, exchange: Exchange, _: object) -> None:
        self.turns.join(exchange.key, exchange.identity)

    def _exchange_take_turn(self, exchange: Exchange, _: object) -> None:
        self.turns.take_turn(exchange.identity)

    def _exchange_is_held_back(self, _: Exchange, __: object) -> bool:
        return self.turns.is_busy()

    def _exchange_is_excessive(self, exchange: Exchange, _: object) -> bool:
        limits, guesses = self._limits, self.turns.guesses
        return guesses.of.get(exchange.key, 0) >= limits.guesses_of_one or len(self._exchanges) > limits.exchanges

    # -- what the turns and the queue of derivations ask

    def has_turn(self, uid: int) -> None:
        self._post(self._exchange, self._exchanges[uid], self._called)

    @abstractmethod
    def derived(self, uid: int, material: bytes) -> None:
        """The key material for this peer (0: for ourselves) is there."""

    def _put_in_queue(self, uid: int, salt: bytes, count: int) -> None:
        self.kdf.put(uid, Derivation(self._password, salt, count))
