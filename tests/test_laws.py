"""The laws hold for three toys; and each law catches the toys that break it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from functools import partial
from time import process_time
from typing import Annotated, Any, ClassVar

import attrs
import pytest
from echo import GuestSaid, Probe
from echo.guest import Guest
from echo.packets import TO_SERVER
from hypothesis import Phase as Step
from hypothesis import settings
from hypothesis import strategies as st
from toys import (
    PEER,
    PULSE,
    SECRET,
    Beat,
    Came,
    Echo,
    Heard,
    Lines,
    Pulse,
    PulseHost,
    Raw,
    ToyDelays,
    ToyLimits,
    sealed,
)

from sansproto.component import Note
from sansproto.contract import Address, CloseWrite, Link, Path, Phase, SendBytes, SendDatagram, Transmit
from sansproto.errors import LocalProtocolError
from sansproto.events import CloseCause, Closed
from sansproto.links import LinkState, StreamLink
from sansproto.session import Answers
from sansproto.snapshot import CACHED, MEMO
from sansproto.testing import laws
from sansproto.testing._internal import meter, workers
from sansproto.testing._internal.guarded import guards_watched
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.laws import Laws, Subject, addresses, check, links
from sansproto.testing.operations import Accept, Call, Data, Datagram, LawBroken, Op, Opened, Tick, Wait
from sansproto.testing.strategies import packets

CALLER = Address("192.0.2.7", 1234)
_texts = st.sampled_from([b"hi there", b"what?", b"x" * 150, b"bye", b""])
_messages = st.lists(_texts, max_size=5).map(lambda texts: b"".join(bytes([len(text)]) + text for text in texts))

ECHO = Subject(
    cls=Echo,
    arguments=lambda entropy, trace: {"entropy": entropy, "trace": trace, "limits": ToyLimits(link_queue=1000)},
    listeners=("echo",),
    data=_messages | st.binary(max_size=40),
    strangers=packets(Probe).map(TO_SERVER.encode) | st.binary(max_size=60),
    verbs={
        "dial": st.tuples(addresses),
        "dial_name": st.just(("echo.example",)),
        "say": st.tuples(links, st.sampled_from(["", "well", "y" * 200])),
    },
    openings=(
        (),
        (Accept("echo", CALLER), Data(0, (b"\x02hi",))),
        (Accept("echo", CALLER), Accept("echo", CALLER), Data(0, (b"\x02hi",)), Data(1, (b"\x03hi2\x01a",))),
        (Call("dial", (CALLER,)), Opened(0), Data(0, (b"\x02hi",))),
    ),
    secrets=(SECRET,),
    max_state=6_000,
)
LINES = Subject(
    cls=Lines,
    arguments=lambda entropy, trace: {"trace": trace},
    data=st.lists(st.sampled_from([b"a\n", b"word\n", b"bye\n", b"half", b"z" * 50, b"\n"]), max_size=8).map(b"".join),
    verbs={"write": st.tuples(st.sampled_from([b"", b"ping", b"w" * 100])), "finish": st.just(())},
    max_state=5000,
)
BEAT = Subject(
    cls=Beat,
    arguments=lambda entropy, trace: {"entropy": entropy, "trace": trace},
    datagrams=st.integers(0, 20).map(sealed),
    strangers=st.binary(max_size=12),
    verbs={"start": st.just(())},
    openings=((), (Call("start"),)),
    secrets=(SECRET,),
    max_state=2000,
)
CROWD = attrs.evolve(
    ECHO,
    arguments=lambda entropy, trace: {"entropy": entropy, "trace": trace, "limits": ToyLimits(links=500)},
    crowd=(Accept("echo", CALLER),) * 400,
)
HALL = attrs.evolve(CROWD, crowd=CROWD.crowd[:200])  # enough where the work grows with its square


@pytest.fixture
def workers_of_its_own() -> Iterator[None]:
    """Processes that are measured as the test is, and no longer: that triples what they take."""
    workers._end()
    yield
    workers._end()


class TestEcho(Laws):
    subject = ECHO

    @pytest.mark.usefixtures("workers_of_its_own")
    def test_law_03_deterministic(self) -> None:
        super().test_law_03_deterministic()


class TestLines(Laws):
    subject = LINES

    @pytest.mark.unmeasured
    def test_law_03_deterministic(self) -> None:
        super().test_law_03_deterministic()


@pytest.mark.unmeasured
class TestRaw(Laws):
    subject = attrs.evolve(LINES, cls=Raw)


@pytest.mark.unmeasured
class TestBeat(Laws):
    subject = BEAT


@pytest.mark.unmeasured
def test_law_11_leaves_declared_answers_and_their_budget_alone() -> None:
    check(laws.law_11, attrs.evolve(BEAT, cls=Doorman), settings(QUICK, max_examples=100))


# -- sessions that break one law each


class Raises(Echo):
    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        super().receive_datagram(data[:1] * data[0], path, now)


class ReadsByChunk(Lines):
    def receive_data(self, data: bytes, now: float) -> None:
        self._inbox = b""
        super().receive_data(data, now)


class LosesItsTail(Lines):
    def receive_data(self, data: bytes, now: float) -> None:
        super().receive_data(data, now)
        self._trailing = b""


class Hashes(Echo):
    def draw(self, n: int, purpose: str) -> bytes:
        return str(hash(purpose)).encode()[-n:]


class SendsWhereverThePeerIsThen(Beat):
    def next_transmit(self) -> Transmit | None:
        transmit = super().next_transmit()
        return SendDatagram(transmit.data, self.pulse.peer) if isinstance(transmit, SendDatagram) else transmit


class ForgetsLastWords(Echo):
    def stream_lost(self, link: Link, now: float, *, detail: str = "") -> None:
        if link in self.links:
            self.links[link].inbox = b""
        super().stream_lost(link, now, detail=detail)


class ChangesAndRaises(Beat):
    def start(self, now: float, peer: Path = PEER) -> None:
        self.pulse.number += 1
        super().start(now)


class Spins(Beat):
    after: ClassVar = 0.0

    def next_timeout(self) -> float | None:
        return None if super().next_timeout() is None else self.clock + self.after


class NeedsAFineClock(Spins):
    """Wants to be woken too soon for a clock that has been running for years."""

    after = 1e-8


class SpinsWhenDrained(Beat):
    def next_transmit(self) -> Transmit | None:
        transmit = super().next_transmit()
        if transmit is not None:
            self.pulse.missed = 0
            self._timers.set(self.pulse, PULSE.timers[0], self.clock)
        return transmit


class BeatsWhenAsked(Beat):
    def handle_timeout(self, now: float) -> None:
        self.advance(now)
        if self._timers.next() is not None:
            self.pulse.beat()


class CountsCalls(Beat):
    def handle_timeout(self, now: float) -> None:
        super().handle_timeout(now)
        self.pulse.number += 1


class CatchesUpOnAll(Beat):
    def handle_timeout(self, now: float) -> None:
        at = self._timers.next()
        super().handle_timeout(now)
        if at is not None:
            self._outbox.extend([SendDatagram(b"", self.pulse.peer)] * int(min((now - at) / ToyDelays().beat, 2000)))


class NotesTheTime(Beat):
    _noted: float

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._noted = 0.0

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        super().receive_datagram(data, path, now)
        self._noted = now


class GoesBack(Beat):
    def advance(self, now: float) -> None:
        self.clock = now


class Hoards(Echo):
    def _is_congested(self) -> bool:
        return False


class QueuesForEver(Lines):
    MAX_OUT = 10**9


class ClosesTwice(Beat):
    def transport_lost(self, now: float, *, detail: str = "") -> None:
        super().transport_lost(now, detail=detail)
        self._events.append(Closed(CloseCause.LOST))


class NeverCloses(Beat):
    def end(self, closed: Closed) -> None:
        pass


class AbortsWhenItsLinksAreOver(Echo):
    def abort(self) -> None:
        self.close_gracefully(Closed(CloseCause.ABORTED))
        self.run()


class BlamesTheCaller(Beat):
    def start(self, now: float, peer: Path = PEER) -> None:
        if self.phase is not Phase.NEW:
            raise LocalProtocolError("start", self.phase.name)
        super().start(now, peer)


class CountsNothing(Echo):
    def drop(self, reason: str, *_: Any, **__: Any) -> None:
        pass


class ClosesInSilence(Beat):
    def close(self, now: float) -> None:
        if self.phase is Phase.NEW:
            self.phase = Phase.CLOSED
        super().close(now)


class IgnoresWhatIsLate(Echo):
    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        if self.phase is not Phase.CLOSED:
            super().receive_datagram(data, path, now)


class ListensOn(Echo):
    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        super().looked_up(query, addresses, now)
        self._asked += 1


class TrustsStrangers(Beat):
    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        super().receive_datagram(data, path, now)
        self.pulse.missed = 0
        self.pulse.peer = path


class Amplifies(Echo):
    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        super().receive_datagram(data, path, now)
        self._outbox.append(SendDatagram(bytes(200), path))


class AnswersALittleMore(Echo):
    def send_datagram(self, data: bytes, path: Path, name: str = "") -> bool:
        return super().send_datagram(data + bytes(1), path, name)


class AnswersSomebodyElse(Echo):
    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        super().receive_datagram(data, Path(path.socket, "192.0.2.66", path.port), now)


class Doorman(Beat):
    """Answers whoever says at least six bytes with ten, as long as it has the time for strangers; breaks no law."""

    strangers: ClassVar = Answers(10, grows=4, budget="_time")
    _time: int

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._time = 3

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        dropped = self.stats.dropped.get("bad seal", 0)
        super().receive_datagram(data, path, now)
        if self.stats.dropped.get("bad seal", 0) > dropped and len(data) >= 6 and self._time:
            self._time -= 1
            self._turn_away(path)

    def _turn_away(self, path: Path) -> None:
        self.send_datagram(b"who is it?", path)


class SaysItTwice(Doorman):
    def _turn_away(self, path: Path) -> None:
        for _ in range(2):
            super()._turn_away(path)


class SaysMore(Doorman):
    def _turn_away(self, path: Path) -> None:
        self.send_datagram(b"who is it??", path)


class SaysMoreThanItGrows(Doorman):
    strangers: ClassVar = Answers(10, grows=3, budget="_time")


class NamesNoBudget(Doorman):
    strangers: ClassVar = Answers(10, grows=4, budget="_tine")


class SpendsAllThatAPartHas(Doorman):
    strangers: ClassVar = Answers(10, grows=4, budget="pulse")


class SpendsWithoutABudget(Doorman):
    strangers: ClassVar = Answers(10, grows=4)


class SpendsSomethingElse(Doorman):
    def _turn_away(self, path: Path) -> None:
        super()._turn_away(path)
        self.pulse.missed += 1


class AnswersUndeclared(Echo):
    strangers: ClassVar = Beat.strangers


class Blabs(Beat):
    def start(self, now: float, peer: Path = PEER) -> None:
        try:
            super().start(now)
        except LocalProtocolError:
            raise LocalProtocolError("start", self.phase.name, f"already, with {self.pulse.key!r}") from None


@attrs.frozen
class Lock:
    key: bytes


class KeepsAnOpenLock(Beat):
    _locks: Annotated[dict[str, Lock], CACHED]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._locks = {"door": Lock(SECRET)}


class Locked(Pulse):
    lock: Annotated[Lock, CACHED]

    def __init__(self, host: PulseHost) -> None:
        super().__init__(host)
        self.lock = Lock(self.key)


class HasAPartThatKeepsAnOpenLock(Beat):
    pulse_kind = Locked


class ShowsItsPart(Beat):
    class Shown(Pulse):
        def __repr__(self) -> str:
            return f"Shown({self.key!r})"

    pulse_kind = Shown


class CountsTwice(Lines):
    def receive_data(self, data: bytes, now: float) -> None:
        for first in range(len(data)):
            for _ in range(first):
                pass
        super().receive_data(data, now)


class AsksEverybody(Echo):
    def link_packet(self, link: StreamLink, packet: Any) -> None:
        for guest in self.guests.values():
            if guest.name == packet.text:
                return
        super().link_packet(link, packet)


class LooksAroundBeforeEachTransmit(Echo):
    def next_transmit(self) -> Transmit | None:
        for _ in self.links:
            for _ in self.links:
                pass
        return super().next_transmit()


class LooksAroundWhenWoken(Echo):
    def handle_timeout(self, now: float) -> None:
        super().handle_timeout(now)
        for _ in self.links:
            for _ in self.links:
                pass


class SearchesForEver(Echo):
    def next_event(self) -> Any:
        while self.links:
            pass
        return super().next_event()


class Endless(Echo):
    def next_transmit(self) -> Transmit | None:
        return super().next_transmit() or SendDatagram(b"again", Path("udp", "192.0.2.9", 9))


class DrawsAndRaises(Beat):
    def start(self, now: float, peer: Path = PEER) -> None:
        self.draw(4, "in vain")
        super().start(now)


class SaysHowOften(Beat):
    _times: Annotated[int, CACHED]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._times = 0

    def start(self, now: float, peer: Path = PEER) -> int:  # type: ignore[override]  # what verbs return is compared, too
        if self.phase is Phase.NEW:
            super().start(now)
        self._times += 1
        return self._times


class PilesUp(Echo):
    """Passes on what guests say to the next one, whether or not that one takes it."""

    def link_packet(self, link: StreamLink, packet: Any) -> None:
        others = [other for other in self.links.values() if other is not link]
        if others:
            others[0].out.append(packet.text)

    def _is_congested(self) -> bool:
        self._events.clear()
        return False


class ReadsOn(Echo):
    def _is_congested(self) -> bool:
        return False


class TellsOfEverybody(Echo):
    def link_accepted(self, link: StreamLink) -> None:
        super().link_accepted(link)
        self.emit(GuestSaid(link.key, ""))


class KeepsItElsewhere(Echo):
    _greeted: Annotated[int, CACHED]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._greeted = 0

    def draw(self, n: int, purpose: str) -> bytes:
        self._greeted += 1
        return self._greeted.to_bytes(n, "big")


class RestoresToZero(Beat):
    def rebuild(self) -> None:
        self.pulse.number = 0


class NotesElsewhere(Beat):
    _note: int
    _seen: Annotated[int, CACHED]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._note = self._seen = 0

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        super().receive_datagram(data, path, now)
        self._seen += 1
        self._note = self._seen


class CountsOnTheSide(Beat):
    """Nothing that it does depends on this count, yet."""

    _beats: Annotated[int, CACHED]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._beats = 0

    def send_datagram(self, data: bytes, path: Path, name: str = "") -> bool:
        self._beats += 1
        return super().send_datagram(data, path, name)


class ForgetsItsIndex(Echo):
    _by_label: Annotated[dict[str, Guest], CACHED]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._by_label = {}

    def link_accepted(self, link: StreamLink) -> None:
        super().link_accepted(link)
        self._by_label[f"guest {link.key}"] = self.guests[link.key]

    def link_gone(self, link: StreamLink) -> None:
        super().link_gone(link)
        self._by_label.pop(f"guest {link.key}", None)


class RebuildsItsIndex(ForgetsItsIndex):
    """Breaks no law."""

    def rebuild(self) -> None:
        self._by_label = {f"guest {key}": guest for key, guest in self.guests.items()}


class IndexesCopies(RebuildsItsIndex):
    def rebuild(self) -> None:
        super().rebuild()
        self._by_label = {label: copy(guest) for label, guest in self._by_label.items()}


@attrs.define
class Tally:
    heard: int = 0
    beats: Annotated[int, CACHED] = 0


class TalliesInARecord(Beat):
    _tally: Tally

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._tally = Tally()

    def send_datagram(self, data: bytes, path: Path, name: str = "") -> bool:
        self._tally.beats += 1
        return super().send_datagram(data, path, name)


class TalksOn(Echo):
    def link_packet(self, link: StreamLink, packet: object) -> None:
        super().link_packet(link, packet)
        link.finish()

    def next_of(self, link: StreamLink) -> Transmit | None:
        transmit = super().next_of(link)
        if isinstance(transmit, CloseWrite):
            link.out.append(b"and another thing")
        return transmit


class GivesTwice(Echo):
    def stream_accepted(self, listener: str, peer: Address, now: float) -> Link:
        self._last_link = 0
        return super().stream_accepted(listener, peer, now)


class Pushes(Echo):
    def next_of(self, link: StreamLink) -> Transmit | None:
        return SendBytes(link.key, b"") if link.state is LinkState.BLOCKED else super().next_of(link)

    def stream_blocked(self, link: Link, now: float) -> None:
        super().stream_blocked(link, now)
        if link in self.links:
            self.offer(self.links[link])


class Remembers(Echo):
    def link_gone(self, link: StreamLink) -> None:
        if link.key in self.guests:
            self.guests[link.key].forget()  # no timer is left, but the guest is


class Restless(Beat):
    """Breaks no law."""

    def handle_timeout(self, now: float) -> None:
        if (at := self._timers.next()) is not None and at <= now:
            self.pulse.missed = 0
        super().handle_timeout(now)


class AddsUpWhatItForgets(Beat):
    seen: Annotated[int, MEMO]
    total: int

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.seen = self.total = 0

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        super().receive_datagram(data, path, now)
        self.seen = self.total = self.seen + 1


class AnswersWithWhatItForgets(Beat):
    seen: Annotated[int, MEMO]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.seen = 0

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        super().receive_datagram(data, path, now)
        self.seen += 1

    def start(self, now: float, peer: Path = PEER) -> int:  # type: ignore[override]
        super().start(now, peer)
        return self.seen


class Impatient(Pulse):
    """Its guards do what is for actions."""

    def is_valid(self, came: Came) -> bool:
        self.missed += 1
        return super().is_valid(came)


class CountsInAGuard(Beat):
    pulse_kind = Impatient


class Forward(Pulse):
    def is_new(self, came: Came) -> bool:
        self.host.arm(self, PULSE.timers[0], 1.0)
        return super().is_new(came)


class ArmsInAGuard(Beat):
    pulse_kind = Forward


class Hasty(Pulse):
    def is_valid(self, came: Came) -> bool:
        self.post(PULSE.inputs[2]())
        return True


class PostsInAGuard(Beat):
    pulse_kind = Hasty


class HashesLaws(Laws):
    subject = attrs.evolve(ECHO, cls=Hashes)


BREACHES: list[tuple[Callable[..., None], Subject, type]] = [
    (laws.law_02, LINES, ReadsByChunk),
    (laws.law_02, LINES, LosesItsTail),
    (laws.law_04, BEAT, SendsWhereverThePeerIsThen),
    (laws.law_04_lost, ECHO, ForgetsLastWords),
    (laws.law_04, ECHO, Endless),
    (laws.law_05, BEAT, ChangesAndRaises),
    (laws.law_05, BEAT, DrawsAndRaises),
    (laws.law_06, BEAT, Spins),
    (laws.law_06, BEAT, NeedsAFineClock),
    (laws.law_06, BEAT, SpinsWhenDrained),
    (laws.law_07, BEAT, BeatsWhenAsked),
    (laws.law_07, BEAT, CountsCalls),
    (laws.law_07, BEAT, CatchesUpOnAll),
    (laws.law_08, BEAT, GoesBack),
    (laws.law_08, BEAT, NotesTheTime),
    (laws.law_09, ECHO, Hoards),
    (laws.law_09, LINES, QueuesForEver),
    (laws.law_09, attrs.evolve(ECHO, max_write=20), Echo),
    (laws.law_09_blocked, ECHO, PilesUp),
    (laws.law_09_repeated, ECHO, ReadsOn),
    (laws.law_09_repeated, ECHO, TellsOfEverybody),
    (laws.law_10, BEAT, ClosesInSilence),
    (laws.law_10, ECHO, IgnoresWhatIsLate),
    (laws.law_10, BEAT, ClosesTwice),
    (laws.law_10, BEAT, NeverCloses),
    (laws.law_10, ECHO, AbortsWhenItsLinksAreOver),
    (laws.law_10, BEAT, BlamesTheCaller),
    (laws.law_10, ECHO, CountsNothing),
    (laws.law_10, ECHO, ListensOn),
    (laws.law_11, BEAT, TrustsStrangers),
    (laws.law_11, ECHO, Amplifies),
    (laws.law_11, ECHO, AnswersALittleMore),
    (laws.law_11, ECHO, AnswersSomebodyElse),
    (laws.law_11, ECHO, AnswersUndeclared),
    (laws.law_11, BEAT, SaysItTwice),
    (laws.law_11, BEAT, SaysMore),
    (laws.law_11, attrs.evolve(BEAT, strangers=st.binary(min_size=6, max_size=7)), SaysMoreThanItGrows),
    (laws.law_11, BEAT, NamesNoBudget),
    (laws.law_11, BEAT, SpendsAllThatAPartHas),
    (laws.law_11, BEAT, SpendsWithoutABudget),
    (laws.law_11, BEAT, SpendsSomethingElse),
    (laws.law_12, BEAT, Blabs),
    (laws.law_12, BEAT, KeepsAnOpenLock),
    (laws.law_12, BEAT, HasAPartThatKeepsAnOpenLock),
    (laws.law_12, BEAT, ShowsItsPart),
    (laws.law_13, LINES, CountsTwice),
    (laws.law_13, CROWD, AsksEverybody),
    (laws.law_13, HALL, LooksAroundBeforeEachTransmit),
    (laws.law_13, HALL, LooksAroundWhenWoken),
    (laws.law_13, ECHO, SearchesForEver),
    (laws.law_14, ECHO, KeepsItElsewhere),
    (laws.law_14, BEAT, RestoresToZero),
    (laws.law_14, BEAT, AddsUpWhatItForgets),
    (laws.law_14, attrs.evolve(BEAT, openings=((),)), AnswersWithWhatItForgets),
    (laws.law_14, BEAT, NotesElsewhere),
    (laws.law_14, BEAT, SaysHowOften),
    (laws.law_14, BEAT, CountsOnTheSide),
    (laws.law_14, BEAT, TalliesInARecord),
    (laws.law_14, ECHO, ForgetsItsIndex),
    (laws.law_14, ECHO, IndexesCopies),
    (laws.law_15, ECHO, Pushes),
    (laws.law_15, ECHO, TalksOn),
    (laws.law_06, ECHO, GivesTwice),
    (laws.law_16, ECHO, Remembers),
    (laws.law_17, BEAT, CountsInAGuard),
    (laws.law_17, BEAT, ArmsInAGuard),
    (laws.law_17, BEAT, PostsInAGuard),
]

QUICK = settings(derandomize=True, phases=[Step.generate], report_multiple_bugs=False, max_examples=300, database=None)


@pytest.mark.parametrize(("law", "subject", "broken"), BREACHES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_law_catches(law: Callable[..., None], subject: Subject, broken: type) -> None:
    with pytest.raises(LawBroken):
        check(law, attrs.evolve(subject, cls=broken), QUICK)


def test_law_07_catches_a_spurious_call_between_operations() -> None:
    with pytest.raises(LawBroken, match="spurious"):
        laws.law_07(attrs.evolve(BEAT, cls=CountsCalls), lambda _: [Call("start"), Wait(1.0)])


def test_law_17_says_where_and_leaves_the_table_as_it_was() -> None:
    cells = [[*cells] for cells in Impatient.compiled.values()]
    with pytest.raises(LawBroken, match=r"guards that decided at datagram\.is_(valid|new) have changed"):
        check(laws.law_17, attrs.evolve(BEAT, cls=CountsInAGuard), QUICK)
    assert [*Impatient.compiled.values()] == cells
    check(laws.law_17, BEAT, settings(QUICK, max_examples=50))


@pytest.mark.parametrize("trace", [None, lambda record: None])
def test_guards_that_are_watched_may_remark_on_something(trace: Any) -> None:
    class Noting(Pulse):
        def is_valid(self, came: Came) -> bool:
            self.host.count_note(Note("it came", ref="beats"), self)
            return super().is_valid(came)

    beat = Beat(entropy=ScriptedEntropy(), trace=trace)
    beat.pulse = Noting(beat)
    beat.start(0.0)
    with guards_watched([PULSE]):
        beat.receive_datagram(sealed(1), PEER, 1.0)
    assert (beat.stats.noted, beat.next_event(), beat.trace) == ({"it came": 1}, Heard(1), trace)


@pytest.mark.parametrize(
    "opening",
    [(Call("start"), Datagram(b"nonsense", PEER)), (Datagram(sealed(1), PEER), Call("start"))],
    ids=["rubbish", "too early"],
)
def test_an_opening_that_opens_nothing_is_told(opening: tuple[Op, ...]) -> None:
    with pytest.raises(LawBroken, match=r"does nothing in the opening .* at 1000\.0\. Dropped: \{'.*': 1\}"):
        laws.openings_open(attrs.evolve(BEAT, openings=((), opening)))
    laws.openings_open(attrs.evolve(BEAT, openings=((Wait(1.0), Call("start"), Tick(), Datagram(sealed(1), PEER)),)))


@pytest.mark.unmeasured
def test_law_01_catches() -> None:
    with pytest.raises(IndexError):
        check(laws.law_01, attrs.evolve(ECHO, cls=Raises), QUICK)


def test_law_03_catches() -> None:
    with pytest.raises(LawBroken), laws.workers() as crew:
        check(partial(laws.law_03, digests=partial(crew.digests, HashesLaws)), HashesLaws.subject, QUICK)


@pytest.mark.parametrize("law", [laws.law_01, laws.law_09], ids=lambda law: law.__name__)
def test_a_call_that_never_returns_fails_any_law(law: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "PATIENCE", 0.5)
    with pytest.raises(LawBroken, match=r"still going on after 0\.5 s of the CPU, in SearchesForEver\.next_event"):
        check(law, attrs.evolve(ECHO, cls=SearchesForEver), settings(QUICK, deadline=None))
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def spin() -> None:
    end = process_time() + 2.0
    while process_time() < end:
        pass


def test_an_alarm_that_was_swallowed_goes_off_again() -> None:
    def swallow() -> None:
        with suppress(meter.TooMuch):  # as a finalizer does
            spin()
        spin()

    with pytest.raises(meter.TooMuch), meter.patience(0.1):
        swallow()


def test_an_alarm_within_another_leaves_that_one_set() -> None:
    def nest() -> None:
        with meter.patience(50.0):
            pass
        spin()

    with pytest.raises(meter.TooMuch, match=r"after 0\.1 s"), meter.patience(0.1):
        nest()


def test_in_another_thread_there_is_no_alarm() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(check, laws.law_01, BEAT, settings(max_examples=3, database=None)).result()


@pytest.mark.unmeasured
def test_law_14_leaves_an_index_alone_that_is_made_again() -> None:
    check(laws.law_14, attrs.evolve(ECHO, cls=RebuildsItsIndex), settings(QUICK, max_examples=60))


@pytest.mark.unmeasured
def test_a_crowd_costs_nothing_by_itself() -> None:
    check(laws.law_13, CROWD, settings(max_examples=10))


def test_time_stops_for_what_never_rests() -> None:
    run = attrs.evolve(BEAT, cls=Restless).run().play([Call("start"), Wait(1e6)])
    assert 1000.0 < run.now < 2000.0
    check(laws.law_07, attrs.evolve(BEAT, cls=Restless), settings(max_examples=20))


def test_a_trailing_tail_is_found_behind_more_than_fits() -> None:
    stream = b"a\n" * 20 + b"bye\nthe rest"
    assert laws._tail(LINES, [stream]) == laws._tail(LINES, [stream[:30], b"", stream[30:]]) == b"the rest"
    assert laws._tail(LINES, [b"z" * 50, b"rest"]) == b""


def test_a_class_without_a_subject_keeps_all_laws() -> None:
    class Shared(Laws):
        pass

    assert Shared.test_law_11_strangers is Laws.test_law_11_strangers


def test_laws_that_say_nothing_about_a_session_are_left_out() -> None:
    assert vars(TestBeat)["test_law_02_any_chunking"] is None
    assert vars(TestLines)["test_law_11_strangers"] is None


def test_neighbouring_data_of_a_link_is_one_read_for_the_law_of_chunks() -> None:
    ops = [Data(1, (b"a", b"b")), Data(1, (b"c",)), Data(2, (b"d",)), Wait(1.0), Data(2, (b"e",))]
    assert laws._coalesced(ops) == [Data(1, (b"abc",)), Data(2, (b"d",)), Wait(1.0), Data(2, (b"e",))]
