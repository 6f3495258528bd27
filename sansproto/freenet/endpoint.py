"""What both roles are: sessions by address. docs/protocols/freenet.rst."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterable
from typing import Annotated, ClassVar, Final

from ..component import Parts, Refusal
from ..contract import Entropy, Path, Phase, Transmit
from ..endpoint import DatagramEndpoint
from ..errors import LocalProtocolError
from ..events import Writable
from ..fair import host_of
from ..recovery.limits import RecoveryConfig
from ..recovery.poke import Pokes, PokesInput
from ..session import Answers
from ..snapshot import CACHED
from ..trace import Trace
from . import packets as p
from .candidate import Candidate, CandidateInput
from .crypto import KeyPair
from .door import INTRO, PACKET, CameIntro, CamePacket, Door, ReadIntro, Spent
from .events import FreenetEvent
from .generation import Generation, GenerationInput, Made
from .limits import FreenetDelays, FreenetLimits
from .place import Place, Where, where_of
from .sending import TOO_MUCH
from .versions import OURS, Version

NOT_CONNECTED: Final = Refusal("no such session", ref="sessions")
OUTPUT_WAITS: Final = Refusal("too much output waits", ref="sending")

_INTRO = p.Intro.__wire__.id


class Reports(Pokes[Where]):
    """What the host reports of sleep and of its network, and the addresses that are called."""


class FreenetEndpoint(DatagramEndpoint[FreenetEvent, bytes]):
    """Sessions with others, by the addresses at which they are."""

    datagram = p.DATAGRAM
    strangers: ClassVar = Answers(91, grows=18, budget="spent")
    door: Door
    spent: Spent
    """What strangers have left."""
    places: Parts[Where, Place]
    expected: OrderedDict[Where, None]
    """From where others may call a peer that it does not call."""
    offered: OrderedDict[tuple[Where, bytes], None]
    """Sessions that were not confirmed; what goes first is first."""
    pokes: Reports
    count: int
    """Sessions so far: the number of the last one."""
    _is_wanting: bool
    """``Writable`` is due: ``send`` refused something."""
    by_number: Annotated[dict[int, Place], CACHED]
    by_host: Annotated[dict[bytes, int], CACHED]
    """Sessions of each host."""
    held: Annotated[dict[bytes, int], CACHED]
    """Bytes that are here of streams that are not complete, of each host that has some."""
    held_in_all: Annotated[int, CACHED]
    keys: Annotated[KeyPair, CACHED]
    version: Annotated[Version, CACHED]
    delays: Annotated[FreenetDelays, CACHED]
    limits: Annotated[FreenetLimits, CACHED]

    def __init__(
        self,
        *,
        private_key: bytes,
        entropy: Entropy,
        version: Version = OURS,
        limits: FreenetLimits | None = None,
        delays: FreenetDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Raises ValueError unless the key has 32 bytes."""
        self.limits, self.delays = limits or FreenetLimits(), delays or FreenetDelays()
        super().__init__(entropy=entropy, limits=self.limits, trace=trace)
        self.keys, self.version = KeyPair.of(private_key), version
        self.door, self.places = Door(self), Parts(self.make_place_part)
        self.pokes, self.spent = Reports(self, self, RecoveryConfig()), Spent.nothing(self.limits)
        self.count, self._is_wanting = 0, False
        self.expected, self.offered = OrderedDict(), OrderedDict()
        self.rebuild()
        self.phase = Phase.OPEN

    def rebuild(self) -> None:
        self.by_number, self.by_host, self.held, self.held_in_all = {}, {}, {}, 0
        for place in self.places.values():
            for number, session in place.generations.items():
                self._index(place, number)
                self.note_held(host_of(place.path.host), session.inbound.inbox.held)

    def make_place_part(self, where: Where) -> Place:
        return Place(self, where)

    # -- verbs

    @property
    def public_key(self) -> bytes:
        """What others must know to call this end: 32 bytes."""
        return self.keys.public

    @property
    def sessions(self) -> dict[int, Path]:
        """The path of each session, by its generation."""
        return {number: place.path for number, place in self.by_number.items()}

    def undelivered(self, generation: int) -> int:
        """How many messages of a session are not known to have arrived; 0 if there is no such session."""
        session = self._session(generation)
        return 0 if session is None else len(session.undelivered())

    def send(self, generation: int, data: bytes, now: float) -> bool:
        """Send a message in a session. It arrives at most once, and may be overtaken; it is lost only with the session.

        Returns False if it was not taken: there is no such session any more, or too much waits. In the second case
        ``Writable`` says when to go on. Raises LocalProtocolError for more than ``FreenetLimits.message`` bytes;
        NotOpen after ``close``.
        """
        self.ask("send")
        if len(data) > self.limits.message:
            raise LocalProtocolError("send", self.phase.name, f"more than {self.limits.message} bytes")
        self.advance(now)
        session = self._session(generation)
        if session is None:
            self.count_refusal(NOT_CONNECTED)
            return False
        if not self.room:
            self._is_wanting = True
            self.count_refusal(OUTPUT_WAITS)
            return False
        if not session.sending.has_room(len(data)):
            session.sending.is_wanting = True
            self.count_refusal(TOO_MUCH)
            return False
        session.send(data)
        self.run()
        return True

    def end_session(self, generation: int, now: float) -> tuple[bytes, ...]:
        """End a session. Nothing is sent, for there is no goodbye: the other end finds out by silence.

        Returns the messages that are not known to have arrived; none if there is no such session. Raises NotOpen after
        ``close``.
        """
        self.ask("end_session")
        self.advance(now)
        session = self._session(generation)
        if session is None:
            return ()
        left = session.undelivered()
        session.owner.forget_generation(generation)
        self.run()
        return left

    def network_changed(self, now: float) -> None:
        """Who was called is asked whether it is there, or called: at once, or after a pause if that was so lately.

        Nothing happens after ``close``.
        """
        self.resumed(now, asleep=0.0)

    def resumed(self, now: float, *, asleep: float) -> None:
        """As ``network_changed``."""
        if self.alive(now):
            self.pokes.post(PokesInput.REPORTED(asleep))
            self.run()

    # -- what reports of the host ask

    def peer_ids(self) -> Iterable[Where]:
        return (where for where, place in self.places.items() if place.call)

    def poke_peer(self, key: Where, asleep: float) -> None:
        place = self.places.get(key)
        if place is not None:
            place.poke()

    def renew_tokens(self) -> None:
        """There are none."""

    # -- the contract

    def decode(self, data: bytes, path: Path) -> bytes:
        """Only its form is looked at: there may be a flood of them."""
        size = len(data)
        is_intro = size == p.INTRO_SIZE and data[0] == _INTRO
        if not is_intro and (data[:1] != b"\2" or not p.MIN_SYMMETRIC <= size <= p.MAX_RECEIVED):
            p.DATAGRAM.decode(data)  # which says what is wrong
        return data

    def received(self, packet: bytes, path: Path) -> None:
        place = self.places.get(where_of(path))
        if packet[0] == _INTRO:
            INTRO.act(self.door, CameIntro(packet, path, place))
        else:
            PACKET.act(self.door, CamePacket(packet, place))

    def name_of(self, packet: bytes) -> str:
        return p.DATAGRAM.packets[packet[0]].__name__

    def next_transmit(self) -> Transmit | None:
        transmit = self._outbox.popleft() if self._outbox else None
        if self._is_wanting and len(self._outbox) <= self.limits.outbox // 2 and self.has_event_room:
            self._is_wanting = False
            self.emit(Writable())
        return transmit

    # -- what the parts ask

    def may_hold(self, group: bytes, size: int) -> bool:
        """May so much more of streams be held for a host? Each has a quarter of what is left."""
        return 4 * (self.held.get(group, 0) + size) <= self.limits.held - self.held_in_all

    def note_held(self, group: bytes, size: int) -> None:
        self.held_in_all += size
        held = self.held[group] = self.held.get(group, 0) + size
        if not held:
            del self.held[group]

    @property
    def room(self) -> int:
        """How many datagrams are taken now."""
        return self.limits.outbox - len(self._outbox)

    @property
    def has_event_room(self) -> bool:
        return len(self._events) < self.limits.events

    def tell_room(self) -> None:
        """A message is taken again: it is told as soon as not too many events wait."""
        self._is_wanting = not self.has_event_room
        if not self._is_wanting:
            self.emit(Writable())

    def place_at(self, path: Path) -> Place | None:
        return self.places.get(where_of(path))

    def make_place(self, path: Path) -> Place:
        where = where_of(path)
        return self.places.get(where) or self.places.add(where)

    @abstractmethod
    def is_welcome(self, path: Path) -> bool:
        """Is an intro from there opened?"""

    def add_candidate(self, place: Place, intro: ReadIntro) -> None:
        limits = self.limits
        if len(place.candidates) >= limits.candidates_of_address:
            self.forget_candidate(place, place.oldest_candidate, keep=place)
        elif len(self.offered) >= limits.candidates:
            where, oldest = next(iter(self.offered))
            self.forget_candidate(self.places[where], oldest, keep=place)
        self.offered[place.where, intro.data] = None
        candidate = place.candidates.add(intro.data, Candidate.begin, intro.key, intro.version)
        candidate.post(CandidateInput.OFFERED())

    def note_answered(self, place: Place, intro: bytes) -> None:
        self.offered.move_to_end((place.where, intro))

    def has_place_for(self, place: Place) -> bool:
        """(A silent session there makes place: whoever comes back may be the one who had it.)"""
        return not self._is_full(place) or any(one.is_silent for one in place.generations.values())

    def confirm(self, place: Place, candidate: Candidate) -> Generation:
        """A packet opened that only who has heard our answer can have made: a session of its own."""
        if self._is_full(place):
            silent = next(one for one in place.generations.values() if one.is_silent)
            silent.post(GenerationInput.LOST(True))
        made = candidate.made()
        self.forget_candidate(place, candidate.intro, keep=place)
        session = self._add(place, made)
        session.post(GenerationInput.ANSWERED())
        place.note_confirmed(session.number)
        return session

    def add_generation(self, place: Place, made: Made) -> None:
        """A peer that we call has answered."""
        session = self._add(place, made)
        session.post(GenerationInput.CALLED())

    def forget_generation(self, place: Place, number: int) -> None:
        place.generations[number].inbound.forget_all()
        place.generations.remove(number)
        del self.by_number[number]
        host = host_of(place.path.host)
        self.by_host[host] -= 1
        if not self.by_host[host]:
            del self.by_host[host]
        self.forget_place(place)

    def forget_candidate(self, place: Place, intro: bytes, keep: Place | None = None) -> None:
        place.candidates.remove(intro)
        del self.offered[place.where, intro]
        if place is not keep:
            self.forget_place(place)

    def end_call(self, place: Place) -> None:
        place.call.end()
        self.forget_place(place)

    def forget_place(self, place: Place) -> None:
        """Nobody is there any more."""
        if place.is_empty:
            self.places.remove(place.where)

    # -- inside

    def _session(self, generation: int) -> Generation | None:
        place = self.by_number.get(generation)
        return None if place is None else place.generations[generation]

    def _is_full(self, place: Place) -> bool:
        limits, of_host = self.limits, self.by_host.get(host_of(place.path.host), 0)
        of_address, of_all = len(place.generations), len(self.by_number)
        return of_address >= limits.generations or of_all >= limits.sessions or of_host >= limits.sessions_of_host

    def _add(self, place: Place, made: Made) -> Generation:
        self.count += 1
        session = place.generations.add(self.count, Generation.begin, made)
        self._index(place, self.count)
        return session

    def _index(self, place: Place, number: int) -> None:
        self.by_number[number] = place
        host = host_of(place.path.host)
        self.by_host[host] = self.by_host.get(host, 0) + 1
