"""Several parties and the network between them as one immutable value, and the moves that change it.

:mod:`sansproto.testing.explorer` searches with these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import attrs

from ...contract import (
    AbortTransport,
    Address,
    CloseTransport,
    CloseWrite,
    Lookup,
    OpenStream,
    OwnAddress,
    Path,
    PauseAccepting,
    PauseReading,
    Rebind,
    ResumeReading,
    SendBytes,
    SendDatagram,
)
from .budget import Budget, Insert
from .parties import RESTARTED, Interned, Parties

# How an end of a stream is lost, once it is: the transport's report comes ...
NOT_LOST, BEHIND_DATA, ANY_TIME, BY_ITSELF = range(4)
NOT_YET, GONE = 0, -1  # in the place of a link id


class End(NamedTuple):
    """One end of a stream: its link, and what is in flight towards it."""

    party: int
    link: int
    inbound: tuple[bytes, ...] = ()
    eof: bool = False
    paused: bool = False
    lost: int = NOT_LOST
    blocked: bool = False


class Stream(NamedTuple):
    a: End  # who opened it
    b: End
    listener: str
    silent: bool = False


class Datagram(NamedTuple):
    party: int
    path: Path
    data: bytes


class Socket(NamedTuple):
    """A datagram socket: the address that its party knows, and the one that the others see."""

    party: int
    label: str
    local: Address
    outside: Address

    def gets(self, datagram: Datagram) -> bool:
        return (datagram.party, datagram.path.socket) == (self.party, self.label)


class Seat(NamedTuple):
    """A party's place in a world: the numbers of its snapshot, of what it was told, of its open decisions; and how far
    its wall clock has run."""

    state: int
    told: int
    open: int
    wall: float = 0.0


class World(NamedTuple):
    seats: tuple[Seat, ...]
    streams: tuple[Stream, ...]
    datagrams: tuple[Datagram, ...]
    lookups: tuple[tuple[int, Lookup | OwnAddress], ...]
    shut: tuple[tuple[int, str], ...]  # listeners that accept nothing for now
    bound: int  # the number of what the datagram sockets are bound to
    seen: tuple[bytes | Datagram, ...]  # what could be replayed
    budget: Budget


class Move(NamedTuple):
    """``where`` is the place of a stream (with ``end`` 0 or 1), datagram, look-up, party or socket."""

    kind: str
    where: int = 0
    end: int = 0
    item: Any = None
    cost: str = ""  # the part of the budget that pays


class Network:
    """The moves between worlds."""

    def __init__(self, parties: Parties, inserts: Sequence[Insert], names: Mapping[str, tuple[Address, ...]]) -> None:
        self.parties = parties
        self.names = names
        self.inserts = tuple((parties.names.index(insert.to), insert) for insert in inserts)
        self.listeners = {
            address: (party, label)
            for party, spec in enumerate(parties.specs)
            for address, label in spec.listens.items()
        }
        declared = [
            Socket(party, label, address, address)
            for party, spec in enumerate(parties.specs)
            for label, address in spec.sockets.items()
        ]
        self.sockets: Interned[tuple[Socket, ...]] = Interned()
        self.declared = self.sockets.number(tuple(declared))
        self.places = {(socket.party, socket.label): place for place, socket in enumerate(declared)}

    def first(self, budget: Budget) -> tuple[World, str]:
        """The world in which every party is constructed and has called its ``start`` verbs; and what went wrong."""
        parties = self.parties
        nothing = parties.told.number(())
        seats = [
            Seat(parties.begin(party), nothing, parties.open.number(spec.may))
            for party, spec in enumerate(parties.specs)
        ]
        draft = _Draft(self, World(tuple(seats), (), (), (), (), self.declared, (), budget))
        for party in range(len(parties.specs)):
            draft.start(party)
        return draft.done(), draft.fault

    def apply(self, world: World, move: Move) -> tuple[World, str]:
        """The world after a move; and what a party did in it that it must never do."""
        draft = _Draft(self, world)
        if move.cost:
            draft.budget = world.budget.without(move.cost)
        getattr(draft, move.kind)(move)
        return draft.done(), draft.fault

    def moves(self, world: World) -> tuple[list[Move], list[Move], list[Move]]:
        """What the network will do sooner or later; what the applications may do; faults, within the budget."""
        free = self._free(world)
        budget = world.budget
        faults = list(self._faults(world)) if any(budget) else []
        pause = self.pause(world)
        if pause is not None:
            if not free:
                free.append(Move("wait", item=pause))
            elif budget.early:
                faults.append(Move("wait", item=pause, cost="early"))
        return free, list(self._decisions(world)), faults

    def enough(self, world: World, moves: list[Move]) -> list[Move]:
        """Moves of which one comes first on some way to every final world; mostly far fewer than all (``explore``).

        What arrives at a party that has one stream and cannot be called by others comes in one order, and meanwhile
        the rest of the world neither hinders nor notices it: it may as well act first. Only its own decisions and what
        happens to its stream compete with that. This is a persistent set of partial-order reduction.
        """
        budget = world.budget
        if budget.early or budget.replays or budget.restarts or budget.moves or world.datagrams:
            return moves
        homes: dict[int, list[tuple[int, int]]] = {}
        for place, (a, b, _, _) in enumerate(world.streams):
            if a.link > 0:
                homes.setdefault(a.party, []).append((place, 0))
            if b.link > 0:
                homes.setdefault(b.party, []).append((place, 1))
        looking = {party for party, _ in world.lookups}
        for party, ends in homes.items():
            if len(ends) > 1 or party in looking or self.parties.specs[party].listens:
                continue
            place, side = ends[0]
            other = _ends(world.streams[place])[1 - side]
            unread = other.inbound or other.eof or other.lost or other.link == NOT_YET
            if unread and (budget.cuts or budget.losses):
                continue
            if any(move.kind in _ARRIVALS and (move.where, move.end) == (place, side) for move in moves):
                return [move for move in moves if _concerns(move, party, place, side)]
        return moves

    def pause(self, world: World) -> float | None:
        """Seconds until a timer is due."""
        parties = self.parties
        times = [parties.next_timeout(party, seat.state) for party, seat in enumerate(world.seats)]
        return min((time for time in times if time is not None), default=None)

    def moved(self, bound: int, place: int) -> Socket:
        """A socket with a public port of its host that was never used before."""
        sockets = self.sockets[bound]
        here = sockets[place].outside
        last = max(socket.outside.port for socket in sockets if socket.outside.host == here.host)
        return sockets[place]._replace(outside=attrs.evolve(here, port=last + 1))

    def _free(self, world: World) -> list[Move]:
        found: list[Move] = []
        for place, (a, b, listener, silent) in enumerate(world.streams):
            connecting = b.link == NOT_YET
            if connecting and (b.party, listener) not in world.shut:
                found.append(_move("connect", place))
            for side, end in ((0, a), (1, b)):
                if end.link > 0:
                    found += [_move(kind, place, side) for kind in _free_at(end, connecting, silent)]
        found += [_move("deliver_datagram", place) for place in range(len(world.datagrams))]
        found += [_move("look_up", place) for place in range(len(world.lookups))]
        return found

    def _decisions(self, world: World) -> Iterator[Move]:
        for party, seat in enumerate(world.seats):
            for number, decision in enumerate(self.parties.open[seat.open]):
                for verbs in decision:
                    yield Move("decide", party, number, verbs)

    def _faults(self, world: World) -> Iterator[Move]:
        budget = world.budget
        for place, stream in enumerate(world.streams):
            alive = not stream.silent and any(end.link > 0 and end.lost == NOT_LOST for end in _ends(stream))
            if budget.cuts and alive:
                yield Move("cut", place, cost="cuts")
            if budget.losses and alive:
                yield Move("silence", place, cost="losses")
            for side, end in enumerate(_ends(stream)):
                if end.link > 0 and end.lost == NOT_LOST and stream.b.link != NOT_YET:
                    if budget.blocks and not end.blocked:
                        yield Move("block", place, side, cost="blocks")
                    if not end.paused:
                        yield from self._faults_at(world, place, side, end)
        for place in range(len(world.datagrams)):
            if budget.losses:
                yield Move("drop_datagram", place, cost="losses")
            if budget.duplicates:
                yield Move("duplicate_datagram", place, cost="duplicates")
        for party, insert in self.inserts if budget.inserts else ():
            if insert.path is not None:
                yield Move("insert_datagram", item=Datagram(party, insert.path, insert.data), cost="inserts")
        for item in world.seen:
            if isinstance(item, Datagram):
                yield Move("insert_datagram", item=item, cost="replays")
        for party, spec in enumerate(self.parties.specs) if budget.restarts else ():
            if spec.restarts:
                yield Move("restart", party, cost="restarts")
        for place, socket in enumerate(self.sockets[world.bound]) if budget.moves else ():
            if self.parties.specs[socket.party].behind_nat:
                yield Move("readdress", place, cost="moves")
                if any(map(socket.gets, world.datagrams)):  # they are behind the NAT, or they come too late for it
                    yield Move("readdress", place, 1, cost="moves")

    def _faults_at(self, world: World, place: int, side: int, end: End) -> Iterator[Move]:
        budget = world.budget
        if budget.splits and end.inbound and len(end.inbound[0]) > 1:
            yield Move("split", place, side, cost="splits")
        for party, insert in self.inserts if budget.inserts else ():
            if party == end.party and insert.path is None:
                yield Move("insert", place, side, insert.data, cost="inserts")
        for item in world.seen:
            if isinstance(item, bytes):
                yield Move("insert", place, side, item, cost="replays")


@cache
def _move(kind: str, where: int, end: int = 0) -> Move:
    return Move(kind, where, end)


def _free_at(end: End, connecting: bool, silent: bool) -> Iterator[str]:
    """The moves at one end of a stream."""
    lost = end.lost
    if lost == BY_ITSELF:
        yield "lose"
        return
    if lost == ANY_TIME and not end.paused:
        yield "lose"
    if not end.paused and not connecting:  # paused: blind, even for a reset
        if end.inbound:
            yield "deliver"
        elif end.eof:
            yield "deliver_eof"
        elif lost == BEHIND_DATA:
            yield "lose"
    if end.blocked and not silent:
        yield "unblock"


_ON_STREAMS = (SendBytes, CloseWrite, CloseTransport, AbortTransport, PauseReading, ResumeReading)
_ARRIVALS = ("deliver", "deliver_eof", "lose")


def _concerns(move: Move, party: int, place: int, side: int) -> bool:
    """Is this a decision of a party, or does it happen at its end of a stream, or to the stream?"""
    if move.kind in ("cut", "silence"):
        return move.where == place
    return (move.where == party) if move.kind == "decide" else (move.where, move.end) == (place, side)


def _ends(stream: Stream) -> tuple[End, End]:
    return stream.a, stream.b


def _reading(end: End, inbound: tuple[bytes, ...]) -> End:
    """An end with other data in flight towards it; faster than ``_replace``."""
    return End(end.party, end.link, inbound, end.eof, end.paused, end.lost, end.blocked)


def _order(item: bytes | Datagram) -> tuple[Any, ...]:
    if isinstance(item, Datagram):
        path = item.path
        return 1, item.party, item.data, path.socket, path.host, path.port, path.scope
    return 0, item


class _Draft:
    """A world while it changes. The methods that take a move are the moves, by name."""

    def __init__(self, network: Network, world: World) -> None:
        self.network = network
        self.seats = list(world.seats)
        self.streams = list(world.streams)
        self.datagrams = list(world.datagrams)
        self.lookups = world.lookups
        self.shut = world.shut
        self.bound = world.bound
        self.seen = world.seen
        self.budget = world.budget
        self.fault = ""

    def done(self) -> World:
        """The world in canonical order, so that equal worlds with other histories are equal."""
        return World(
            tuple(self.seats),
            tuple(sorted(self.streams)) if len(self.streams) > 1 else tuple(self.streams),
            tuple(sorted(self.datagrams, key=_order)) if len(self.datagrams) > 1 else tuple(self.datagrams),
            self.lookups,
            self.shut,
            self.bound,
            self.seen if self.budget.replays else (),
            self.budget,
        )

    # -- moves

    def connect(self, move: Move) -> None:
        stream = self.streams[move.where]
        opener = stream.a
        peer = Address(self.network.parties.specs[opener.party].host, 49152 + opener.link)

        def accepted(link: Any) -> None:
            self._put(move.where, 1, stream.b._replace(link=link))

        self.step(stream.b.party, "stream_accepted", (stream.listener, peer), before=accepted)
        self.step(opener.party, "stream_opened", (opener.link,))

    def deliver(self, move: Move) -> None:
        end = self._end(move)
        self._put(move.where, move.end, _reading(end, end.inbound[1:]))
        self._receive(end, end.inbound[0])

    def split(self, move: Move) -> None:
        end = self._end(move)
        half = len(end.inbound[0]) // 2
        self._put(move.where, move.end, _reading(end, (end.inbound[0][half:], *end.inbound[1:])))
        self._receive(end, end.inbound[0][:half])

    def insert(self, move: Move) -> None:
        self._receive(self._end(move), move.item)

    def deliver_eof(self, move: Move) -> None:
        end = self._end(move)
        self._put(move.where, move.end, end._replace(eof=False))
        self.step(end.party, "receive_eof", (end.link,))

    def block(self, move: Move) -> None:
        end = self._end(move)
        self._put(move.where, move.end, end._replace(blocked=True))
        self.step(end.party, "stream_blocked", (end.link,))

    def unblock(self, move: Move) -> None:
        end = self._end(move)
        self._put(move.where, move.end, end._replace(blocked=False))
        self.step(end.party, "stream_unblocked", (end.link,))

    def lose(self, move: Move) -> None:
        end = self._end(move)
        self._put(move.where, move.end, End(end.party, GONE))
        self.step(end.party, "stream_lost", (end.link,))
        if max(end.link for end in _ends(self.streams[move.where])) <= 0:
            self._forget_streams()

    def cut(self, move: Move) -> None:
        for side, end in enumerate(_ends(self.streams[move.where])):
            if end.link == NOT_YET:
                self._put(move.where, side, end._replace(link=GONE))
            elif end.lost != BY_ITSELF and end.link != GONE:
                self._put(move.where, side, end._replace(inbound=(), eof=False, lost=ANY_TIME))

    def silence(self, move: Move) -> None:
        a, b, listener, _ = self.streams[move.where]
        b = b._replace(link=GONE) if b.link == NOT_YET else b
        self.streams[move.where] = Stream(
            a._replace(inbound=(), eof=False), b._replace(inbound=(), eof=False), listener, True
        )

    def deliver_datagram(self, move: Move) -> None:
        datagram = self.datagrams.pop(move.where)
        self._receive_datagram(datagram)

    def duplicate_datagram(self, move: Move) -> None:
        self._receive_datagram(self.datagrams[move.where])

    def drop_datagram(self, move: Move) -> None:
        del self.datagrams[move.where]

    def insert_datagram(self, move: Move) -> None:
        self._receive_datagram(move.item)

    def look_up(self, move: Move) -> None:
        party, lookup = self.lookups[move.where]
        self.lookups = self.lookups[: move.where] + self.lookups[move.where + 1 :]
        name = lookup.host if isinstance(lookup, Lookup) else ""  # whoever asks for its own address has none
        addresses = self.network.names.get(name, ())
        self.step(party, "looked_up", (lookup.query, addresses))

    def decide(self, move: Move) -> None:
        parties, seat = self.network.parties, self.seats[move.where]
        left = parties.open[seat.open]
        left = left[: move.end] + left[move.end + 1 :]
        self.seats[move.where] = seat._replace(open=parties.open.number(left))
        for verb in move.item:
            self.step(move.where, verb.name, verb.args)

    def wait(self, move: Move) -> None:
        for party, seat in enumerate(self.seats):
            self.seats[party] = seat._replace(wall=self.network.parties.specs[party].wall(seat.wall, move.item))
            self.step(party, "handle_timeout", late=move.item)

    def restart(self, move: Move) -> None:
        parties, party = self.network.parties, move.where
        for place, stream in enumerate(self.streams):
            for side, end in enumerate(_ends(stream)):
                if end.party == party and end.link > 0:
                    if not stream.silent:  # else the other end does not learn it either
                        self.cut(Move("cut", place))
                    self._put(place, side, End(party, GONE))
        self._forget_streams()
        self.lookups = tuple(waiting for waiting in self.lookups if waiting[0] != party)
        self.shut = tuple(shut for shut in self.shut if shut[0] != party)
        seat = self.seats[party]
        state = parties.begin(party, parties.life(party, seat.state) + 1, seat.wall)
        told = parties.told.number((*parties.told[seat.told], RESTARTED))
        self.seats[party] = Seat(state, told, parties.open.number(parties.specs[party].may), seat.wall)
        self.start(party)

    def readdress(self, move: Move) -> None:
        if move.end:
            self._lose_datagrams(move.where)
        self._bind(move.where, self.network.moved(self.bound, move.where))

    # -- inside

    def start(self, party: int) -> None:
        """Report its sockets to a party that was just constructed, and call its ``start`` verbs."""
        for (owner, _), place in self.network.places.items():
            if owner == party:
                self._report_bound(place)
        for verb in self.network.parties.specs[party].start:
            self.step(party, verb.name, verb.args)

    def step(
        self,
        party: int,
        call: str,
        args: tuple[Any, ...] = (),
        late: float = 0.0,
        before: Callable[[Any], None] | None = None,
    ) -> None:
        """Give a party an input and carry out its transmits; ``before`` first gets what the call returned."""
        parties, seat = self.network.parties, self.seats[party]
        outcome = parties.step(party, seat.state, seat.wall, call, args, late)
        told = parties.told.number(parties.told[seat.told] + outcome.told) if outcome.told else seat.told
        left = parties.open.number(parties.open[seat.open] + outcome.decisions) if outcome.decisions else seat.open
        self.seats[party] = Seat(outcome.state, told, left, seat.wall)
        self.fault = self.fault or outcome.fault
        if before is not None:
            before(outcome.value)
        for transmit in outcome.transmits:
            self._transmit(party, transmit)

    def _receive(self, end: End, data: bytes) -> None:
        self._see(data)
        self.step(end.party, "receive_data", (end.link, data))

    def _receive_datagram(self, datagram: Datagram) -> None:
        self._see(datagram)
        self.step(datagram.party, "receive_datagram", (datagram.data, datagram.path))

    def _see(self, item: bytes | Datagram) -> None:
        if self.budget.replays and item not in self.seen:
            self.seen = tuple(sorted((*self.seen, item), key=_order))

    def _end(self, move: Move) -> End:
        stream = self.streams[move.where]
        return stream.b if move.end else stream.a

    def _forget_streams(self) -> None:
        self.streams = [stream for stream in self.streams if stream.a.link > 0 or stream.b.link > 0]

    def _put(self, place: int, side: int, end: End) -> None:
        a, b, listener, silent = self.streams[place]
        self.streams[place] = Stream(a, end, listener, silent) if side else Stream(end, b, listener, silent)

    def _transmit(self, party: int, transmit: Any) -> None:
        if type(transmit) in _ON_STREAMS:
            for place, (a, b, _, _) in enumerate(self.streams):
                for side, end in ((0, a), (1, b)):
                    if end.party == party and end.link == transmit.link:
                        self._transmit_on(place, side, transmit)
            return
        match transmit:
            case SendDatagram(data, path):
                self._send_datagram(party, data, path)
            case Rebind(label):
                self._rebind(self.network.places[party, label])
            case Lookup() | OwnAddress():
                self.lookups = (*self.lookups, (party, transmit))
            case OpenStream(link, address):
                self._open(party, link, address)
            case PauseAccepting(listener):
                self.shut = tuple(sorted((*self.shut, (party, listener))))
            case _:
                self.shut = tuple(shut for shut in self.shut if shut != (party, transmit.listener))

    def _open(self, party: int, link: int, address: Address) -> None:
        listener = self.network.listeners.get(address)
        if listener is None:  # refused
            self.streams.append(Stream(End(party, link, lost=ANY_TIME), End(-1, GONE), ""))
        else:
            self.streams.append(Stream(End(party, link), End(listener[0], NOT_YET), listener[1]))

    def _send_datagram(self, party: int, data: bytes, path: Path) -> None:
        sockets = self.network.sockets[self.bound]
        source = sockets[self.network.places[party, path.socket]].outside
        address = Address(path.host, path.port, path.scope)
        for target in sockets:
            if target.outside == address:
                way = Path(target.label, source.host, source.port, source.scope)
                self.datagrams.append(Datagram(target.party, way, data))

    def _rebind(self, place: int) -> None:
        """A new socket: its party knows the address, and what was on the way to the old one is lost."""
        self._lose_datagrams(place)
        socket = self.network.moved(self.bound, place)
        self._bind(place, socket._replace(local=socket.outside))
        self._report_bound(place)

    def _bind(self, place: int, socket: Socket) -> None:
        sockets = self.network.sockets[self.bound]
        self.bound = self.network.sockets.number((*sockets[:place], socket, *sockets[place + 1 :]))

    def _report_bound(self, place: int) -> None:
        socket = self.network.sockets[self.bound][place]
        self.step(socket.party, "socket_bound", (socket.label, socket.local))

    def _lose_datagrams(self, place: int) -> None:
        gets = self.network.sockets[self.bound][place].gets
        self.datagrams = [datagram for datagram in self.datagrams if not gets(datagram)]

    def _transmit_on(self, place: int, side: int, transmit: Any) -> None:
        """Carry out a party's transmit for its end of a stream, with its effects at the other end."""
        stream = self.streams[place]
        end, other = (stream.b, stream.a) if side else (stream.a, stream.b)
        deaf = stream.silent or other.link == GONE or other.lost != NOT_LOST
        if (end.blocked or other.link == NOT_YET) and isinstance(transmit, (SendBytes, CloseWrite, CloseTransport)):
            name = self.network.parties.names[end.party]
            self.fault = self.fault or f"{name} gives out {transmit} for a link that is blocked or not yet open"
        match transmit:
            case SendBytes(_, data) if not deaf:
                other = _reading(other, (*other.inbound, data))
            case SendBytes() if not stream.silent and end.lost == NOT_LOST:
                end = end._replace(lost=BEHIND_DATA)
            case CloseWrite() if not deaf:
                other = other._replace(eof=True)
            case CloseTransport() | AbortTransport():
                end = End(end.party, end.link, lost=BY_ITSELF)
                if other.link == NOT_YET:
                    other = other._replace(link=GONE)
                elif not deaf:
                    polite = isinstance(transmit, CloseTransport)
                    other = other._replace(eof=True) if polite else other._replace(lost=ANY_TIME)
            case PauseReading() | ResumeReading():
                end = end._replace(paused=isinstance(transmit, PauseReading))
        self.streams[place] = Stream(*((other, end) if side else (end, other)), stream.listener, stream.silent)
