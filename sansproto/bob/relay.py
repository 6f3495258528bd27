"""The relay: introduces peers, checks what they say to each other, joins them in rooms. docs/protocols/bob.rst.

An Endpoint with two listeners: :data:`RELAY_PORT` and :data:`SECURE_PORT`.
"""

from __future__ import annotations

from collections import deque
from math import inf, nextafter
from typing import Annotated, Any, Final

from ..contract import Link, Phase, Transmit
from ..errors import WireError
from ..events import CloseCause, Closed
from ..old_endpoint import EndpointBase
from ..old_links import LinkState, Pipe
from ..old_machine import Machine
from ..snapshot import CACHED
from ..trace import Trace
from . import packets as p
from .events import Departure, PeerJoined, PeerLeft, RelayEvent, Role, RoomClosed, RoomOpened
from .feed import Feed
from .floods import Pace
from .limits import RelayDelays, RelayLimits
from .parties import Member, Pair, Room, Visitor
from .tables import MEMBER, PAIR, ROOM, VISITOR
from .tables.relay import (
    CHARGED,
    EXCUSABLE,
    MemberInput,
    MemberState,
    PairInput,
    PairState,
    RoomInput,
    VisitorInput,
    VisitorState,
)

RELAY_PORT: Final = "relay"
"""The label of the listener for hello and the exchanges (TCP port 9000 by custom)."""

SECURE_PORT: Final = "secure"
"""The label of the listener for the secure rooms (TCP port 9001 by custom)."""

_WITHDRAWN_AT_ONCE: Final = 64  # of those that left when they were announced: a millisecond's work

_LADDERS: Final = {
    p.XAndClientIdentity: "x",
    p.ClientValidator: "to_server",
    p.Accepted: "to_server",
    p.Refused: "to_server",
    p.YAndServerValidator: "to_client",
    p.Agreement: "to_client",
    p.SpokeFailure: "to_either",
}
_PAIR_INPUTS: Final[dict[type[p.BobPacket], PairInput | str]] = {
    p.XAndClientIdentity: "x",
    p.YAndServerValidator: PairInput.Y,
    p.ClientValidator: PairInput.PROOF,
    p.Agreement: PairInput.AGREEMENT,
    p.Accepted: PairInput.ACCEPTED,
    p.Refused: PairInput.REFUSED,
    p.SpokeFailure: "failure",
}


class Relay(EndpointBase[RelayEvent]):
    """A relay for up to 65,534 peers. It sees every packet of the exchanges, and nothing of what its rooms pass on.

    Bytes that are no packet end the connection; packets that the sender may not send now are dropped and counted.
    """

    _members: dict[Link, Member]
    _uids: dict[int, Link]
    _fresh_uid: int  # the next one that nobody had yet
    _freed_uids: deque[int]
    _pair_count: int
    _departed: int  # how many peers have left
    _feed: Feed
    _was_fed: bool  # what was given out last is an announcement
    _dying: deque[tuple[int, list[int]]]  # servers that left in the instant in which they were announced
    _visitors: dict[Link, Visitor]
    _rooms: dict[int, Room]
    _lines: dict[str, int]  # the room that waits for a line
    _last_room: int
    _cuts: Pace
    _dropped_for: Annotated[str, CACHED]  # why the packet that is being looked at was dropped
    _limits: Annotated[RelayLimits, CACHED]
    _times: Annotated[RelayDelays, CACHED]

    _member = Machine(MEMBER, objects="_members")
    _pair = Machine(PAIR, objects="_pairs")
    _visitor = Machine(VISITOR, objects="_visitors")
    _room = Machine(ROOM, objects="_rooms")

    def __init__(
        self, *, limits: RelayLimits | None = None, delays: RelayDelays | None = None, trace: Trace | None = None
    ) -> None:
        self._limits = limits or RelayLimits()
        self._times = delays or RelayDelays()
        super().__init__(entropy=None, delays=self._times, limits=self._limits, trace=trace)
        self.phase = Phase.OPEN
        self._was_fed = False
        self._dropped_for = ""
        self._know_nobody()

    def _know_nobody(self) -> None:
        self._members = {}
        self._uids = {}
        self._fresh_uid = 1
        self._freed_uids = deque()
        self._pair_count = 0
        self._departed = 0
        self._feed = Feed(self._limits.departures)
        self._dying = deque()
        self._visitors = {}
        self._rooms = {}
        self._lines = {}
        self._last_room = 0
        self._cuts = Pace()

    @property
    def _pairs(self) -> dict[tuple[int, int], Pair]:
        """All exchanges; they are kept with their servers, which take them along when they leave."""
        return {pair.key: pair for member in self._members.values() for pair in member.pairs.values()}

    # -- the contract

    def close(self, now: float) -> None:
        if self._alive(now):
            self._part(Closed(CloseCause.LOCAL))
            self._settle()

    def stream_blocked(self, link: Link, now: float) -> None:
        self._feed.block(link)
        super().stream_blocked(link, now)

    def stream_unblocked(self, link: Link, now: float) -> None:
        if link in self._members and self._members[link].state is MemberState.CLIENT:
            self._feed.unblock(link)
        super().stream_unblocked(link, now)

    def next_transmit(self) -> Transmit | None:
        """Direct packets and announcements take turns, so that neither waits for all of the other."""
        transmit = None
        if self._was_fed or self._outbox:
            transmit, self._was_fed = super().next_transmit(), False
        if transmit is None:
            transmit = self._next_announcement()
            self._was_fed = transmit is not None
        return transmit or super().next_transmit()

    def _next_announcement(self) -> Transmit | None:
        while (link := self._feed.next_reader()) is not None:
            transmit = self._next_of(self._pipes[Link(link)])
            if transmit is not None:
                return transmit
        return None

    def _advance(self, now: float) -> None:
        before = self._clock
        super()._advance(now)
        if self._clock > before:
            for _ in range(min(len(self._dying), _WITHDRAWN_AT_ONCE)):
                self._withdraw(*self._dying.popleft())

    def next_timeout(self) -> float | None:
        if self._dying and self.phase is not Phase.CLOSED:
            return nextafter(self._clock, inf)
        return super().next_timeout()

    # -- links

    def _link_accepted(self, pipe: Pipe) -> None:
        if pipe.listener == SECURE_PORT:
            visitor = self._visitors[pipe.key] = Visitor(pipe.key)
            self._post(self._visitor, visitor, VisitorInput.CONNECTED)
        else:
            member = self._members[pipe.key] = Member(pipe.key, str(pipe.peer))
            self._post(self._member, member, MemberInput.CONNECTED)

    def _link_decode(self, pipe: Pipe, data: bytes, offset: int) -> tuple[object, int]:
        visitor = self._visitors.get(pipe.key)
        if visitor is None:
            header, payload, offset = p.FRAME.decode_prefix(data, offset)
            return (header.uid, payload), offset
        if visitor.state is VisitorState.READING:
            return p.RoomLine.decode_prefix(data, offset)
        return data[offset:] if offset else data, len(data)

    def _link_packet(self, pipe: Pipe, packet: Any) -> None:
        visitor = self._visitors.get(pipe.key)
        if visitor is None:
            member, self._dropped_for = self._members[pipe.key], ""
            self._member_packet(member, *packet)
            self._settle()
            if self._dropped_for in CHARGED:
                self._post(self._member, member, "wasted", (self._dropped_for, packet[0]))
            elif isinstance(packet[1], p.RelayFailure):
                self._post(self._member, member, "wasted", ("", p.RELAY))
        elif isinstance(packet, p.RoomLine):
            self._post(self._visitor, visitor, "line", packet.identity)
        else:
            self._post(self._visitor, visitor, "bytes", packet)

    def _link_broken(self, pipe: Pipe, error: WireError) -> None:
        if pipe.key in self._visitors:
            self._post(self._visitor, self._visitors[pipe.key], VisitorInput.UNKNOWN)
        else:
            self._post(self._member, self._members[pipe.key], MemberInput.MALFORMED)

    def _link_eof(self, pipe: Pipe) -> None:
        self._link_over(pipe, CloseCause.LOST, "")

    def _link_over(self, pipe: Pipe, cause: CloseCause, detail: str) -> None:
        if pipe.key in self._visitors:
            self._post(self._visitor, self._visitors[pipe.key], VisitorInput.LEFT)
        elif pipe.key in self._members:
            slow = cause is not CloseCause.LOST
            self._post(self._member, self._members[pipe.key], MemberInput.SLOW if slow else MemberInput.LEFT)

    def _link_gone(self, pipe: Pipe) -> None:
        self._feed.unfollow(pipe.key)
        self._members.pop(pipe.key, None)
        self._visitors.pop(pipe.key, None)

    def _link_pull(self, pipe: Pipe, mark: int | None) -> bytes | None:
        """Announcements, up to a mark that stands before a direct packet; a negative mark begins them anew."""
        leaves = pipe.key in self._members and self._members[pipe.key].state is MemberState.ENDED
        if pipe.key not in self._feed.followers or (leaves and mark is None):
            return None
        if mark is not None and mark < 0:
            self._feed.follow(pipe.key, -mark - 1)
            return None
        try:
            told = self._feed.pull(pipe.key, self._feed.last if mark is None else mark)
        except LookupError:
            self._feed.unfollow(pipe.key)
            self._post(self._member, self._members[pipe.key], MemberInput.SLOW)
            self._settle()
            return None
        if told is not None:
            self._members[pipe.key].budget.was_told()
        return told

    def _drop(self, reason: str) -> None:
        super()._drop(reason)
        self._dropped_for = reason

    def _parting(self) -> None:
        for member in self._members.values():
            self._say(member, p.RELAY, p.PeerClosed(p.RELAY))
        for visitor in self._visitors.values():
            if visitor.state is VisitorState.JOINED:
                self._queue(self._pipes[visitor.key], p.CLOSE)
        for machine, objects in (
            (self._member, self._members),
            (self._visitor, self._visitors),
            (self._room, self._rooms),
        ):
            for key in objects:
                self._cancel_timers(machine, key)
        self._know_nobody()

    def _end(self, closed: Closed) -> None:
        super()._end(closed)
        self._know_nobody()

    # -- members

    def _member_packet(self, member: Member, uid: int, packet: p.BobPacket) -> None:
        match packet:
            case p.HelloAsClient() if uid == p.RELAY:
                self._post(self._member, member, "hello_client")
            case p.HelloAsServer() if uid == p.RELAY:
                self._post(self._member, member, "hello_server", packet.public)
            case p.RelayFailure() if uid == p.RELAY:
                self._post(self._member, member, MemberInput.SPOKE)
            case _ if type(packet) in _LADDERS:
                self._post(self._member, member, _LADDERS[type(packet)], (uid, packet))
            case _:
                self._drop("unexpected packet")

    def _say(self, member: Member, uid: int, packet: p.BobPacket) -> None:
        """Write a packet, behind the announcements that came before it."""
        if member.key in self._feed.followers:
            self._pipes[member.key].out.append(self._feed.last)
        data = p.encode(uid, packet)
        self._note_sent(member.key, packet, len(data))
        self._put(member.key, data)

    def _put(self, link: Link, data: bytes) -> None:
        """Write to a link, if the transport has not lost it."""
        if link in self._pipes:
            self._write(self._pipes[link], data)

    def _let_go(self, link: Link, *, reset: bool = False) -> None:
        """Close a link, or reset that of a flood, which would linger; unless the transport has lost it."""
        if link in self._pipes:
            (self._abort_link if reset else self._close_link)(self._pipes[link])

    def _peer(self, uid: int) -> Member:
        return self._members[self._uids[uid]]

    def _withdraw(self, uid: int, numbers: list[int]) -> None:
        self._feed.withdraw(numbers, p.encode(p.RELAY, p.PeerClosed(uid)))
        self._freed_uids.append(uid)

    def _part_pairs(self, client: Member) -> list[Member]:
        """Forget a client's exchanges; the servers with which one was under way."""
        told = []
        for uid in client.partners:
            server = self._peer(uid) if uid in self._uids else None
            pair = server.pairs.get(client.uid) if server is not None else None
            if server is not None and pair is not None:
                if pair.state is not PairState.FAILED:
                    told.append(server)
                self._post(self._pair, pair, PairInput.PARTED)
        client.partners.clear()
        return told

    # checks

    def _member_is_beyond_uids(self, member: Member, _: object) -> bool:
        taken = len(self._uids) + len(self._dying)
        return member.state is MemberState.STRANGER and taken >= min(self._limits.peers, p.MAX_UID)

    def _member_is_greeting_often(self, member: Member, _: object) -> bool:
        return member.hellos >= self._limits.hellos

    def _member_is_stranger(self, member: Member, _: object) -> bool:
        return not member.uid

    def _member_is_no_client(self, member: Member, _: object) -> bool:
        return member.state is not MemberState.CLIENT

    def _member_is_no_server(self, member: Member, _: object) -> bool:
        return member.state is not MemberState.SERVER

    def _member_is_writing_to_nobody(self, _: Member, message: Any) -> bool:
        return message[0] not in self._uids

    def _member_is_writing_to_no_server(self, _: Member, message: Any) -> bool:
        return self._peer(message[0]).state is not MemberState.SERVER

    def _member_is_writing_to_no_client(self, _: Member, message: Any) -> bool:
        return self._peer(message[0]).state is not MemberState.CLIENT

    def _member_is_writing_to_its_own_role(self, member: Member, message: Any) -> bool:
        return self._peer(message[0]).state is member.state

    def _member_is_claiming_another_identity(self, member: Member, message: Any) -> bool:
        return bool(message[1].identity != member.identity)

    def _member_is_excused(self, member: Member, wasted: Any) -> bool:
        reason, uid = wasted
        return member.budget.excuses > 0 and uid < self._fresh_uid and (reason in EXCUSABLE or not reason)

    def _member_is_within_its_budget(self, member: Member, _: object) -> bool:
        return not member.budget.is_spent(self._clock, self._limits.dropped_burst, self._limits.dropped_rate)

    def _member_is_one_of_many(self, _: Member, __: object) -> bool:
        return self._cuts.delay(self._clock, self._limits.cuts) > 0

    # actions

    def _member_register(self, member: Member, _: object) -> None:
        if self._fresh_uid <= p.MAX_UID:
            member.uid, self._fresh_uid = self._fresh_uid, self._fresh_uid + 1
        else:
            member.uid = self._freed_uids.popleft()
        self._uids[member.uid] = member.key

    def _member_send_identity(self, member: Member, _: object) -> None:
        member.hellos += 1
        kind = p.ClientIdentity if member.state is MemberState.CLIENT else p.ServerIdentity
        self._say(member, p.RELAY, kind(member.identity))

    def _member_follow(self, member: Member, _: object) -> None:
        if member.key in self._feed.followers:
            self._pipes[member.key].out.append(-self._feed.last - 1)
            self._part_pairs(member)
        else:
            self._feed.follow(member.key, self._feed.last)
            if self._pipes[member.key].state is LinkState.BLOCKED:
                self._feed.block(member.key)
        self._offer(self._pipes[member.key])

    def _member_announce(self, member: Member, public: Any) -> None:
        packet = p.encode(p.RELAY, p.NewServer(member.uid, public, member.identity))
        member.announcements.append(self._feed.announce(packet))
        member.announced = self._clock

    def _member_hand_over(self, member: Member, message: Any) -> None:
        uid, packet = message
        client, server = (member, self._peer(uid)) if member.state is MemberState.CLIENT else (self._peer(uid), member)
        pair = server.pairs.get(client.uid) or Pair((client.uid, server.uid))
        self._post(self._pair, pair, _PAIR_INPUTS[type(packet)], (uid, member.uid, packet))

    def _member_send_closed(self, member: Member, _: object) -> None:
        self._say(member, p.RELAY, p.PeerClosed(p.RELAY))

    def _member_send_timeout(self, member: Member, _: object) -> None:
        self._say(member, p.RELAY, p.Timeout())

    def _member_deregister(self, member: Member, _: object) -> None:
        """Free the uid, and tell those who have to know: clients through the feed, servers one by one."""
        del self._uids[member.uid]
        self._departed += 1
        for server in self._part_pairs(member):
            self._say(server, p.RELAY, p.PeerClosed(member.uid))
        if member.key in self._feed.followers:  # what came before is still read, and nothing after it
            self._pipes[member.key].out.append(self._feed.last)
            self._feed.block(member.key)
        if not member.announcements:
            self._freed_uids.append(member.uid)
        elif member.announced == self._clock:
            self._dying.append((member.uid, member.announcements))
        else:
            self._withdraw(member.uid, member.announcements)
        self._pair_count -= len(member.pairs)
        member.pairs = {}

    def _member_excuse(self, member: Member, _: object) -> None:
        member.budget.excuse()

    def _member_charge(self, member: Member, _: object) -> None:
        member.budget.charge(self._clock, self._limits.dropped_rate)

    def _member_close(self, member: Member, _: object) -> None:
        self._let_go(member.key)

    def _member_abort(self, member: Member, _: object) -> None:
        self._let_go(member.key, reset=True)

    def _member_count_cut(self, _: Member, __: object) -> None:
        self._cuts.count(self._clock, self._limits.cuts, self._times.mute)

    def _member_mute(self, member: Member, _: object) -> None:
        self._deafen(self._pipes[member.key])

    def _member_mute_delay(self, _: Member) -> float:
        """Until no more than ``cuts`` of them end in a second, but no longer than ``mute``."""
        return min(self._cuts.delay(self._clock, self._limits.cuts), self._times.mute)

    def _member_tell_joined(self, member: Member, _: object) -> None:
        role = Role.CLIENT if member.state is MemberState.CLIENT else Role.SERVER
        self._emit(PeerJoined(member.uid, member.identity, role))

    def _member_tell_left(self, member: Member, _: object) -> None:
        self._emit(PeerLeft(member.uid, member.identity, Departure.LEFT))

    def _member_tell_idle(self, member: Member, _: object) -> None:
        self._emit(PeerLeft(member.uid, member.identity, Departure.IDLE))

    def _member_tell_malformed(self, member: Member, _: object) -> None:
        self._emit(PeerLeft(member.uid, member.identity, Departure.MALFORMED))

    def _member_tell_slow(self, member: Member, _: object) -> None:
        self._emit(PeerLeft(member.uid, member.identity, Departure.SLOW))

    def _member_tell_paired(self, member: Member, _: object) -> None:
        self._emit(PeerLeft(member.uid, member.identity, Departure.PAIRED))

    def _member_tell_flooding(self, member: Member, _: object) -> None:
        self._emit(PeerLeft(member.uid, member.identity, Departure.FLOODING))

    # -- pairs

    def _pair_is_one_too_many(self, pair: Pair, _: object) -> bool:
        if pair.state is not PairState.NEW:
            return False
        client, left = self._peer(pair.key[0]), self._limits.pairs - self._pair_count
        share = min(self._limits.pairs_of_one, -(-left // 100))  # so that nobody can take what others need
        if len(client.partners) >= share and client.sifted != self._departed:
            client.partners = {uid: None for uid in client.partners if self._have_pair(client, uid)}
            client.sifted = self._departed
        return len(client.partners) >= share

    def _have_pair(self, client: Member, uid: int) -> bool:
        return uid in self._uids and client.uid in self._peer(uid).pairs

    def _pair_remember(self, pair: Pair, _: object) -> None:
        client, server = pair.key
        self._peer(server).pairs[client] = pair
        self._peer(client).partners[server] = None
        self._pair_count += 1

    def _pair_forward(self, _: Pair, message: Any) -> None:
        uid, source, packet = message
        peer = self._peer(uid)
        peer.budget.was_told()
        self._say(peer, source, packet)

    def _pair_unite(self, pair: Pair, message: Any) -> None:
        """The client accepted: both leave the relay port for a room of their own."""
        client, server = (self._peer(uid) for uid in pair.key)
        self._pair_forward(pair, message)
        self._say(client, p.RELAY, p.Done())
        self._pair_forget(pair, None)
        self._open_room(client.identity, server.identity)
        self._post(self._member, server, MemberInput.PAIRED)
        self._post(self._member, client, MemberInput.PAIRED)

    def _pair_forget(self, pair: Pair, _: object) -> None:
        client, server = pair.key  # the client may have left already
        del self._peer(server).pairs[client]
        self._pair_count -= 1

    # -- rooms

    def _open_room(self, client: str, server: str) -> None:
        for line in (client, server):
            if line in self._lines:  # a port was used again before its first room had closed
                self._post(self._room, self._rooms[self._lines[line]], RoomInput.EXPIRED)
        self._last_room += 1
        room = self._rooms[self._last_room] = Room(self._last_room, client, server)
        self._post(self._room, room, RoomInput.OPEN)

    def _visitor_is_asking_for_no_room(self, _: Visitor, line: Any) -> bool:
        return line not in self._lines

    def _visitor_is_asking_for_a_taken_place(self, _: Visitor, line: Any) -> bool:
        return line in self._rooms[self._lines[line]].visitors

    def _visitor_is_second(self, _: Visitor, line: Any) -> bool:
        return bool(self._rooms[self._lines[line]].visitors)

    def _visitor_is_flooding(self, visitor: Visitor, data: Any) -> bool:
        return visitor.state is VisitorState.ALONE and visitor.early + len(data) > self._limits.early

    def _visitor_enter(self, visitor: Visitor, line: Any) -> None:
        visitor.room, visitor.line = self._lines[line], line
        self._rooms[visitor.room].visitors[line] = visitor.key

    def _visitor_fill(self, visitor: Visitor, _: object) -> None:
        self._post(self._room, self._rooms[visitor.room], RoomInput.FILLED, visitor)

    def _visitor_send_joined(self, visitor: Visitor, _: object) -> None:
        self._answer(visitor, p.RoomCode.JOINED)

    def _visitor_send_unknown(self, visitor: Visitor, _: object) -> None:
        self._answer(visitor, p.RoomCode.UNKNOWN)

    def _visitor_send_expired(self, visitor: Visitor, _: object) -> None:
        self._answer(visitor, p.RoomCode.EXPIRED)

    def _answer(self, visitor: Visitor, code: p.RoomCode) -> None:
        self._put(visitor.key, p.RoomAnswer(code).encode())

    def _visitor_send_close(self, visitor: Visitor, _: object) -> None:
        if visitor.key in self._pipes:
            self._queue(self._pipes[visitor.key], p.CLOSE)

    def _visitor_pass_on(self, visitor: Visitor, data: Any) -> None:
        room = self._rooms[visitor.room]
        room.size += len(data)
        partner = room.client if visitor.line == room.server else room.server
        self._pour(self._pipes[visitor.key], self._pipes[room.visitors[partner]], data)
        self._post(self._room, room, RoomInput.MOVED)

    def _visitor_drop_early(self, visitor: Visitor, data: Any) -> None:
        visitor.early += len(data)
        self._drop("before the partner came")

    def _visitor_leave(self, visitor: Visitor, _: object) -> None:
        room = self._rooms[visitor.room]
        del room.visitors[visitor.line]
        self._post(self._room, room, RoomInput.LEFT)

    def _visitor_close(self, visitor: Visitor, _: object) -> None:
        self._let_go(visitor.key)

    def _visitor_abort(self, visitor: Visitor, _: object) -> None:
        self._let_go(visitor.key, reset=True)

    def _room_tell_opened(self, room: Room, _: object) -> None:
        self._lines[room.client] = self._lines[room.server] = room.key
        self._emit(RoomOpened(room.client, room.server))

    def _room_tell_partner(self, room: Room, newcomer: object) -> None:
        for link in room.visitors.values():
            if self._visitors[link] is not newcomer:
                self._post(self._visitor, self._visitors[link], VisitorInput.PARTNER_CAME)

    def _room_expel(self, room: Room, _: object) -> None:
        for link in room.visitors.values():
            self._post(self._visitor, self._visitors[link], VisitorInput.ROOM_EXPIRED)

    def _room_dismiss(self, room: Room, _: object) -> None:
        for link in room.visitors.values():
            self._post(self._visitor, self._visitors[link], VisitorInput.PARTNER_LEFT)

    def _room_forget(self, room: Room, _: object) -> None:
        del self._rooms[room.key]
        for line in (room.client, room.server):
            self._lines.pop(line, None)
        self._emit(RoomClosed(room.client, room.server, size=room.size))
