"""Parties for the explorer: an endpoint with its application, and what each does on an input, computed once.

Time stands still at 0 in every party: what is kept of a session is relative to now, so the same situation reached at
another time is the same value. Only the wall clock runs on, up to the horizon that a party declares.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping
from copy import copy
from functools import cache
from typing import Any, Generic, Self, TypeVar

import attrs

from ...contract import Address, Phase, Snapshot, Stats
from ...errors import NotOpen
from ...session import Session
from .driver import PULLS

T = TypeVar("T")
V = TypeVar("V", bound=Hashable)


@attrs.frozen
class Verb:
    """A call of the application: ``Verb("accept", (peer,))`` is ``accept(peer, now=...)``."""

    name: str
    args: tuple[Hashable, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.args))})"


Decision = tuple[tuple[Verb, ...], ...]
"""Alternatives: one of these sequences of verbs will be called, at any time. An empty one: it may never decide."""


def no_decision(_: Any) -> Decision:
    """The policy of an application that only listens."""
    return ()


def told_whole(event: Any) -> Hashable | None:
    """Keep every event; an event that is not hashable as a tuple of its class name and fields."""
    if type(event).__hash__ is None:
        return (type(event).__name__, *attrs.astuple(event))
    kept: Hashable = event
    return kept


@attrs.frozen
class Restarted:
    """Marks in what a party was told that it was restarted and lost its state."""


RESTARTED = Restarted()


def nothing_anew(_: int) -> Mapping[str, Any]:
    """A party that is constructed again as it was the first time."""
    return {}


@attrs.frozen
class Party:
    """One endpoint and its application.

    ``arguments`` go to the constructor and to every restore; entropy among them must depend on the purpose of a draw
    alone. ``start`` is called at the beginning, a decision of ``may`` at any time. ``policy`` makes a decision out of
    an event; one with a single alternative is carried out at once. ``told`` is what is kept of an event, for the final
    check; None forgets it. ``listens`` and ``sockets`` give the labels of listeners and datagram sockets.

    A party that ``restarts`` may lose all its state, and one that is ``behind_nat`` may be seen at other addresses than
    its own, both at the cost of the budget. ``anew`` gives the arguments that are others after the nth restart, first
    of all the entropy: who has forgotten what it drew must not draw it again.

    The wall clock of a party runs for ``wall_horizon`` seconds and then stops: as long as it runs, the same situation
    at another time is another state. Its ``arguments`` then hold a ``wall_epoch``. At 0 the wall clock stands still.
    """

    kind: type[Session[Any]]
    arguments: Mapping[str, Any]
    start: tuple[Verb, ...] = ()
    may: tuple[Decision, ...] = ()
    policy: Callable[[Any], Decision] = no_decision
    told: Callable[[Any], Hashable | None] = told_whole
    host: str = "192.0.2.1"
    listens: Mapping[Address, str] = attrs.field(factory=dict)
    sockets: Mapping[str, Address] = attrs.field(factory=dict)
    restarts: bool = False
    anew: Callable[[int], Mapping[str, Any]] = nothing_anew
    behind_nat: bool = False
    wall_horizon: float = attrs.field(default=0.0, validator=attrs.validators.ge(0.0))

    def __attrs_post_init__(self) -> None:
        if self.wall_horizon and "wall_epoch" not in self.arguments:
            raise ValueError(f"the wall clock of {self.kind.__name__} cannot run: its arguments have no wall_epoch")

    def wall(self, elapsed: float, pause: float) -> float:
        """Seconds that have passed on its wall clock after a further pause, at most its horizon."""
        return min(round(elapsed + pause, 9), self.wall_horizon)


class Interned(Generic[V]):
    """Numbers values, so that equal ones have the same small number."""

    def __init__(self) -> None:
        self._numbers: dict[V, int] = {}
        self._values: list[V] = []

    def number(self, value: V) -> int:
        found = self._numbers.setdefault(value, len(self._values))
        if found == len(self._values):
            self._values.append(value)
        return found

    def __getitem__(self, number: int) -> V:
        return self._values[number]

    def copy(self) -> Interned[V]:
        other = Interned[V]()
        other._numbers, other._values = {**self._numbers}, [*self._values]
        return other


@attrs.frozen
class Outcome:
    """What a party did on an input. ``fault`` is what it must never do: raise, or never stop."""

    state: int
    told: tuple[Hashable, ...]
    decisions: tuple[Decision, ...]
    transmits: tuple[Any, ...]
    value: Any = None
    fault: str = ""


class Parties:
    """The parties: each input to each of their states is computed once, also by several explorations of them."""

    def __init__(self, parties: Mapping[str, Party]) -> None:
        self.names = tuple(parties)
        self.specs = tuple(parties.values())
        self.told: Interned[tuple[Hashable, ...]] = Interned()
        self.open: Interned[tuple[Decision, ...]] = Interned()
        self._states: list[Interned[tuple[int, Snapshot]]] = [Interned() for _ in self.specs]
        self._facts: list[list[tuple[Phase, float | None]]] = [[] for _ in self.specs]
        self.outcomes: list[dict[Hashable, Outcome]] = [{} for _ in self.specs]  # of each, by the input
        self._answers: dict[Hashable, Any] = {}
        self._newest: tuple[tuple[int, int, float], Any] | None = None  # a session, by its party, state and wall time

    @property
    def steps(self) -> int:
        """How many different inputs to different states of parties were computed."""
        return sum(map(len, self.outcomes))

    def copy(self) -> Self:
        """What is computed from now on is known to one of them alone."""
        other = copy(self)
        other.told, other.open = self.told.copy(), self.open.copy()
        other._states = [states.copy() for states in self._states]
        other._facts = [[*facts] for facts in self._facts]
        other.outcomes = [{**outcomes} for outcomes in self.outcomes]
        other._answers = {**self._answers}
        other._newest = None
        return other

    def begin(self, party: int, life: int = 0, wall: float = 0.0) -> int:
        """The number of the state in which a party is constructed, after so many restarts and so much wall time."""
        return self._number(party, life, wall, self.specs[party].kind(**self._arguments(party, life, wall)))

    def life(self, party: int, state: int) -> int:
        """How often a party was restarted before this state."""
        return self._states[party][state][0]

    def restore(self, party: int, state: int, wall: float, late: float = 0.0) -> Any:
        """The session of a state, to which nothing happened for ``late`` seconds; now is 0, and ``wall`` later than
        when it began on the wall clock."""
        life, snapshot = self._states[party][state]
        return self.specs[party].kind.restore(snapshot, -late, **self._arguments(party, life, wall))

    def ask(self, party: int, state: int, wall: float, question: Callable[[Any], T]) -> T:
        """The result of a function for the session of a state at a wall time, computed once."""

        def answer() -> T:
            if self._newest is not None and self._newest[0] == (party, state, wall):
                return question(self._newest[1])  # most are asked about a state that was just met
            return question(self.restore(party, state, wall))

        return self.once((party, state, wall, question), answer)

    def once(self, key: Hashable, answer: Callable[[], T]) -> T:
        """The answer for a key, computed once."""
        if key not in self._answers:
            self._answers[key] = answer()
        found: T = self._answers[key]
        return found

    def phase(self, party: int, state: int) -> Phase:
        return self._facts[party][state][0]

    def next_timeout(self, party: int, state: int) -> float | None:
        return self._facts[party][state][1]

    def step(
        self, party: int, state: int, wall: float, call: str, args: tuple[Any, ...] = (), late: float = 0.0
    ) -> Outcome:
        """``wall`` is the time elapsed on the wall clock of the party, ``late`` included."""
        key = (state, wall, call, args, late)
        outcome = self.outcomes[party].get(key)
        if outcome is None:
            outcome = self.outcomes[party][key] = self.compute(party, *key)
        return outcome

    def _arguments(self, party: int, life: int, wall: float) -> Mapping[str, Any]:
        spec = self.specs[party]
        arguments = {**spec.arguments, **spec.anew(life)} if life else spec.arguments
        return {**arguments, "wall_epoch": arguments["wall_epoch"] + wall} if wall else arguments

    def compute(self, party: int, state: int, wall: float, call: str, args: tuple[Any, ...], late: float) -> Outcome:
        session = self.restore(party, state, wall, late)
        told: list[Hashable] = []
        decisions: list[Decision] = []
        transmits: list[Any] = []
        value, fault = None, ""
        try:
            value = _invoke(session, call, args)
            fault = self._drain(party, session, told, decisions, transmits)
        except Exception as error:  # whatever it is: the parties never raise
            fault = f"{self.names[party]}.{call} raised {type(error).__name__}: {error}"
        number = self._number(party, self.life(party, state), wall, session, tidy=bool(late))
        return Outcome(number, tuple(told), tuple(decisions), tuple(transmits), value, fault)

    def _drain(self, party: int, session: Any, told: list[Any], decisions: list[Decision], out: list[Any]) -> str:
        """Take all events and transmits, and let the application decide what it decides at once."""
        spec = self.specs[party]
        for _ in range(PULLS):
            event, transmit = session.next_event(), session.next_transmit()
            if event is None and transmit is None:
                return ""
            if transmit is not None:
                out.append(transmit)
            if event is None:
                continue
            kept = spec.told(event)
            if kept is not None:
                told.append(kept)
            decision = spec.policy(event)
            if len(decision) > 1:
                decisions.append(decision)
            for verb in decision[0] if len(decision) == 1 else ():
                _invoke(session, verb.name, verb.args)
        return f"{self.names[party]} never stops giving out events or transmits"

    def _number(self, party: int, life: int, wall: float, session: Any, tidy: bool = False) -> int:
        for part in sessions_in(session):
            part.stats = Stats()  # counters are no behaviour
        snapshot = session.freeze(0.0)
        states, facts = self._states[party], self._facts[party]
        number = states.number((life, _tidied(snapshot) if tidy else snapshot))
        if number == len(facts):
            facts.append((session.phase, session.next_timeout()))
        self._newest = None if tidy else ((party, number, wall), session)
        return number


def sessions_in(session: Session[Any]) -> Iterator[Session[Any]]:
    """A session, and the sessions in its attributes."""
    yield session
    for part in vars(session).values():
        if isinstance(part, Session):
            yield from sessions_in(part)


def _invoke(session: Any, call: str, args: tuple[Any, ...]) -> Any:
    kind: Any = type(session)
    try:
        method = getattr(session, call)
        return method(*args, now=0.0) if _takes_now(kind, call) else method(*args)
    except NotOpen:  # a race that an application may lose
        return None


@cache
def _takes_now(kind: Hashable, call: str) -> bool:
    return "now" in inspect.signature(getattr(kind, call)).parameters


def _tidied(value: Any) -> Any:
    """Without the rounding errors of subtracted times, which would make equal states differ."""
    if isinstance(value, tuple):
        return tuple([_tidied(item) for item in value])
    return (round(value, 9) or value) if isinstance(value, float) else value
