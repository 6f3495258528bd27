"""An address, and whoever is or may be there: docs/protocols/freenet.rst, addresses."""

from __future__ import annotations

from math import inf
from typing import Annotated, Protocol, TypeAlias

from ..component import OptionalPart, Part, Parts
from ..contract import Instant, Path
from ..machine import Happened
from ..snapshot import CACHED
from .call import Call, CallHost, CallInput, CallState
from .candidate import Candidate, CandidateHost
from .generation import Generation, GenerationHost, GenerationInput, Made
from .limits import ACKS, ASKED, SPAN
from .question import Why

Where: TypeAlias = tuple[str, str, int, int]
"""The label of our socket, and an address."""


def where_of(path: Path) -> Where:
    """What a path is kept under."""
    return path.socket, path.host, path.port, path.scope


class PlaceHost(GenerationHost, CallHost, CandidateHost, Protocol):
    """What an address asks of the endpoint."""

    def add_generation(self, place: Place, made: Made) -> None: ...
    def forget_generation(self, place: Place, number: int) -> None: ...
    def forget_candidate(self, place: Place, intro: bytes) -> None: ...
    def note_answered(self, place: Place, intro: bytes) -> None: ...
    def has_place_for(self, place: Place) -> bool: ...
    def confirm(self, place: Place, candidate: Candidate) -> Generation: ...


class Place(Part[PlaceHost]):
    """An address: sessions, those that were not confirmed, and our own call."""

    generations: Parts[int, Generation]
    """Oldest first."""
    candidates: Parts[bytes, Candidate]
    call: OptionalPart[Call]
    last_intro: Instant
    """When somebody asked for a session who has none yet."""
    questioned: Instant
    """When the last intro caused a question."""
    acks: list[Instant]
    """When intros were answered beside a session."""
    asked: list[Instant]
    """When pings and packets were sent in sessions that share that."""
    where: Annotated[Where, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: PlaceHost, where: Where) -> None:
        super().__init__(host)
        self.where, self.acks, self.asked = where, [], []
        self.last_intro = self.questioned = -inf
        self.generations = Parts(self.make_generation)
        self.candidates = Parts(self.make_candidate)
        self.call = OptionalPart(self.make_call)

    def make_generation(self, number: int) -> Generation:
        return Generation(self.host, self, number)

    def make_candidate(self, intro: bytes) -> Candidate:
        return Candidate(self.host, self, intro)

    def make_call(self) -> Call:
        return Call(self.host, self)

    @property
    def path(self) -> Path:
        return Path(*self.where)

    @property
    def is_empty(self) -> bool:
        return not self.generations and not self.candidates and self.call.part is None

    @property
    def has_live(self) -> bool:
        """Is a session here that is not known to be silent?"""
        return any(not one.is_silent for one in self.generations.values())

    @property
    def unproven_keys(self) -> int:
        """Keys under which something may come that is of no session yet."""
        call = self.call.part
        return len(self.candidates) + (0 if call is None else len(call.attempts))

    @property
    def senior(self) -> Generation | None:
        """The oldest session that is not known to be silent."""
        return next((one for one in self.generations.values() if not one.is_silent), None)

    @property
    def called(self) -> Generation | None:
        """The session that came of our own call, if it has one key only."""
        return next((one for one in self.generations.values() if one.is_caller and not one.second_key), None)

    @property
    def may_be_called(self) -> bool:
        """Do we call who is here, or have a session of that with one key?"""
        call = self.call.part
        return self.called is not None or (call is not None and call.is_outstanding)

    @property
    def calls_a_peer(self) -> bool:
        """Do we call somebody who may call us, too?"""
        call = self.call.part
        return call is not None and not call.is_gateway

    def is_known_intro(self, intro: bytes) -> bool:
        """Was this the beginning of a session that is here?"""
        return any(one.intro == intro for one in self.generations.values())

    def has_key(self, key: bytes) -> bool:
        """Does somebody here receive under this key?"""
        sessions, candidates = self.generations.values(), self.candidates.values()
        return any(one.send_key == key for one in sessions) or any(one.send_key == key for one in candidates)

    @property
    def may_ack(self) -> bool:
        return self._count(self.acks) < ACKS

    def forget_candidate(self, intro: bytes) -> None:
        self.host.forget_candidate(self, intro)

    def note_answered(self, intro: bytes) -> None:
        self.host.note_answered(self, intro)

    @property
    def oldest_candidate(self) -> bytes:
        """Which goes first."""
        return min(self.candidates, key=lambda intro: self.candidates[intro].since)

    @property
    def has_place(self) -> bool:
        """May there be another session?"""
        return self.host.has_place_for(self)

    def confirm(self, candidate: Candidate) -> None:
        """It turned out to be a session of its own."""
        self.host.confirm(self, candidate)

    def send_ack(self, datagram: bytes, name: str) -> None:
        """Answer an intro."""
        call = self.call.part
        if call is not None:
            call.introduce()
        self.host.send_datagram(datagram, self.path, name)
        if self.has_live:
            self.acks = self._later(self.acks, ACKS)

    # -- what a session asks

    def is_senior(self, number: int) -> bool:
        senior = self.senior
        return len(self.generations) == 1 or (senior is not None and senior.number == number)

    @property
    def may_ask(self) -> bool:
        return self._count(self.asked) < ASKED

    def note_asked(self) -> None:
        self.asked = self._later(self.asked, ASKED)

    def forget_generation(self, number: int) -> None:
        """Who was called is called anew, unless it may be the one that is here: an intro would be a restart to it."""
        was_called = self.generations[number].is_caller
        self.host.forget_generation(self, number)
        is_left = any(one.is_caller for one in self.generations.values()) or (self.calls_a_peer and self.has_live)
        if not self.generations or (was_called and not is_left):
            self.call_anew()

    def call_anew(self) -> None:
        self._tell_call(CallInput.LOST())

    def keep_call(self) -> None:
        self._tell_call(CallInput.ALIVE())

    def poke(self) -> None:
        """What was known of the way to who was called says nothing any more."""
        self._tell_call(CallInput.POKED())
        for one in self.generations.values():
            if one.is_caller and not one.is_silent:
                one.ask(Why.SILENCE)

    # -- what a call asks

    def adopt(self, made: Made) -> None:
        """Our intro was answered: the sessions that we called before end with it."""
        old = [one for one in self.generations.values() if one.is_caller]
        for one in old:
            one.post(GenerationInput.LOST(True))
        self.host.add_generation(self, made)

    # -- intros

    def note_intro(self) -> None:
        """Somebody asks for a session: is the oldest one still there?"""
        now = self.host.clock
        self.last_intro = now
        if now - self.questioned >= self.host.delays.ask_pause and self.generations:
            self.questioned = now
            senior = self.senior
            if senior is not None:
                senior.ask(Why.INTRO)
            else:
                next(iter(self.generations.values())).ping()

    def note_confirmed(self, number: int) -> None:
        """A session was confirmed here: are the older ones still there?"""
        if not self.candidates:
            self.last_intro = -inf
        if self.calls_a_peer:
            self._tell_call(CallInput.JOINED())
        for one in self.generations.values():
            if one.number != number:
                one.ask(Why.REPLACED, number)

    # -- inside

    def _tell_call(self, happened: Happened[CallState]) -> None:
        """Our own call, if there is one."""
        call = self.call.part
        if call is not None:
            call.post(happened)

    def _count(self, times: list[Instant]) -> int:
        return sum(self.host.clock - at < SPAN for at in times)

    def _later(self, times: list[Instant], most: int) -> list[Instant]:
        return [*times[-most + 1 :], self.host.clock]
