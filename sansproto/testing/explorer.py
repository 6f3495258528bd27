"""Breadth-first exploration of several endpoints over a network that misbehaves within a declared budget.

Every interleaving of deliveries, timers, decisions of the applications and faults is tried, each situation once. What
is compared is the whole state of every party, with points in time relative to now, and all that is in flight::

    client = Party(Client, {...}, start=(Verb("connect"),))
    report = explore(
        {"client": client, "server": Party(Server, {...}, listens={HERE: "main"})},
        budget=Budget(cuts=1, early=1),
        verify=lambda final: [] if final["client"].told else ["the client knows nothing"],
    )
    assert not report.violations, report

The report says how much was seen, and has what is wrong, each with the shortest way to it. Time
passes (to the next timer of any party) only when nothing is in flight, or at the cost of the budget. Applications
decide whenever they like. Delays that are exact in binary keep equal situations equal. The wall clock of a party stands
still unless it declares how long it runs (``Party.wall_horizon``); the report names those where it stands still.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, TypeVar

import attrs

from ..component import components_of
from ..contract import Address, Phase
from ..trace import place_name
from ._internal.budget import Budget, Insert
from ._internal.parties import RESTARTED, Decision, Parties, Party, Restarted, Verb, sessions_in
from ._internal.world import BEHIND_DATA, BY_ITSELF, Datagram, End, Move, Network, World

__all__ = [
    "Budget",
    "Decision",
    "Insert",
    "Party",
    "Report",
    "Restarted",
    "Scene",
    "Verb",
    "View",
    "Violation",
    "at_rest",
    "explore",
]


V = TypeVar("V")

LONGEST_WAY: Final = 10_000
"""The most worlds on the way to the one with which an exploration begins."""


class View:
    """One party in a world: what it was told so far, and a copy of its session."""

    def __init__(self, parties: Parties, party: int, world: World) -> None:
        self._parties = parties
        self._party = party
        self._seat = world.seats[party]

    @property
    def told(self) -> tuple[Any, ...]:
        """The events so far, as ``Party.told`` kept them."""
        return self._parties.told[self._seat.told]

    @property
    def undecided(self) -> tuple[Decision, ...]:
        return self._parties.open[self._seat.open]

    @property
    def phase(self) -> Phase:
        return self._parties.phase(self._party, self._seat.state)

    @property
    def next_timeout(self) -> float | None:
        """Seconds from now."""
        return self._parties.next_timeout(self._party, self._seat.state)

    def ask(self, question: Callable[[Any], V]) -> V:
        """The result of a function of the session. It is called once for each state, so that checks are fast."""
        return self._parties.ask(self._party, self._seat.state, self._seat.wall, question)

    @property
    def session(self) -> Any:
        """A copy of the session, made anew each time; now is 0."""
        return self._parties.restore(self._party, self._seat.state, self._seat.wall)


class Scene:
    """A world for checks to look at: ``scene["client"].told``."""

    def __init__(self, parties: Parties, world: World) -> None:
        self._parties = parties
        self.world = world

    def __getitem__(self, name: str) -> View:
        return View(self._parties, self._parties.names.index(name), self.world)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parties.names)

    def once(self, question: Callable[[Scene], V]) -> V:
        """The result of a function of all parties' ``told``. It is called once for each value of these."""
        told = tuple([seat.told for seat in self.world.seats])
        return self._parties.once((told, question), lambda: question(self))


Check = Callable[[Scene], Iterable[str]]


@attrs.frozen
class Violation:
    """What is wrong, and the shortest way there: a line per move."""

    complaint: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join((self.complaint, *(f"  {number}. {line}" for number, line in enumerate(self.path, 1))))


@attrs.frozen
class Report:
    """What an exploration saw. ``steps`` counts the inputs that parties really answered; the rest was remembered.

    ``timeless`` names the parties whose wall clock stood still: nothing that lapses by it was seen to lapse.
    """

    budget: Budget
    states: int
    transitions: int
    finals: int
    deepest: int
    steps: int
    exhausted: bool
    timeless: tuple[str, ...]
    violations: tuple[Violation, ...]

    def __str__(self) -> str:
        still = f"the wall clock stands still for {', '.join(self.timeless)}, " if self.timeless else ""
        seen = (
            f"{self.states} states ({self.finals} final), {self.transitions} transitions, {self.steps} steps of "
            f"parties, at most {self.deepest} moves deep, {still}within {self.budget}; "
            f"{'all there are' if self.exhausted else 'stopped early'}"
        )
        return "\n".join((*map(str, self.violations), seen))


def at_rest(scene: Scene) -> Iterator[str]:
    """Complaints about objects that would wait for ever: in a state that is neither idle nor terminal, without a timer.

    Explorations without a ``verify`` of their own use it.
    """
    for name in scene:
        for session in sessions_in(scene[name].session):
            for part in components_of(session):
                table = part.table
                if part.state not in table.idle and part.state not in table.terminal:
                    yield f"{name}: {table.name}[{place_name(part.place)}] waits in {part.state.name} for ever"


def explore(
    parties: Mapping[str, Party] | Parties,
    *,
    budget: Budget | None = None,
    verify: Check = at_rest,
    invariant: Check | None = None,
    settled: Callable[[Scene], bool] | None = None,
    inserts: Sequence[Insert] = (),
    names: Mapping[str, tuple[Address, ...]] | None = None,
    max_states: int = 200_000,
    max_violations: int = 1,
    begin: Callable[[Scene], bool] | None = None,
    reduced: bool = False,
    show: Callable[[bytes], str] = bytes.hex,
) -> Report:
    """Try everything that can happen to these parties, and check what comes of it.

    ``verify`` looks at every final world: nothing is in flight, no timer is armed and nobody has anything to decide;
    ``invariant`` looks at every world. Both give complaints. With ``settled``, a world from which neither a final one
    nor one that is settled can be reached any more is a violation too ("resends for ever"); it is looked for once all
    was seen. ``names`` answers look-ups; ``show`` writes bytes in paths. A party that raises is a violation always.

    Until ``begin`` holds, the exploration follows a single way, without faults. If it does not hold within 10,000
    states, that is a violation. ``reduced`` leaves out worlds that differ from others only in which of several parties
    acted first: every final world is still met, and so is every one in which nothing will happen before a timer or a
    decision. (A reset by the other end then never overtakes what was sent before it.) What ``Parties`` did in other
    explorations is not computed again.
    """
    known = parties if isinstance(parties, Parties) else Parties(parties)
    network = Network(known, inserts, names or {})
    search = _Search(known, network, verify, invariant, settled, max_violations, reduced, show)
    return search.run(budget or Budget(), max_states, begin)


class _Search:
    def __init__(
        self,
        parties: Parties,
        network: Network,
        verify: Check,
        invariant: Check | None,
        settled: Callable[[Scene], bool] | None,
        max_violations: int,
        reduced: bool,
        show: Callable[[bytes], str],
    ) -> None:
        self._parties = parties
        self._network = network
        self._verify = verify
        self._invariant = invariant
        self._settled = settled
        self._max_violations = max_violations
        self._reduced = reduced
        self._show = show
        self._worlds: list[World] = []
        self._numbers: dict[World, int] = {}
        self._came: list[tuple[int, Move | None]] = []
        self._depth = array("l")
        self._arcs: tuple[array[int], array[int]] = (array("l"), array("l"))
        self._good: list[int] = []  # final or settled
        self._violations: list[Violation] = []
        self._steps = parties.steps  # of explorations before this one

    def run(self, budget: Budget, max_states: int, begin: Callable[[Scene], bool] | None) -> Report:
        first, fault = self._network.first(budget)
        self._add(first, 0, None, fault)
        done = transitions = finals = 0
        if begin is not None:
            done = transitions = self._go_to(begin)
        while done < len(self._worlds) and not self._is_enough() and len(self._worlds) < max_states:
            world = self._worlds[done]
            free, decisions, faults = self._network.moves(world)
            if not free and not decisions:
                finals += 1
                self._good.append(done)
                self._complain(done, self._verify(Scene(self._parties, world)))
            moves = [*free, *decisions, *faults]
            for move in self._network.enough(world, moves) if self._reduced else moves:
                self._go(done, move)
                transitions += 1
            done += 1
        exhausted = done == len(self._worlds)
        if exhausted and self._settled is not None and not self._is_enough():
            self._look_for_endless()
        return Report(
            budget=budget,
            states=len(self._worlds),
            transitions=transitions,
            finals=finals,
            deepest=self._depth[-1],
            steps=self._parties.steps - self._steps,
            exhausted=exhausted,
            timeless=tuple(
                name
                for name, party in zip(self._parties.names, self._parties.specs, strict=True)
                if not party.wall_horizon
            ),
            violations=tuple(self._violations[: self._max_violations]),
        )

    def _go_to(self, begin: Callable[[Scene], bool]) -> int:
        """The number of the first world in which that holds, on one way; the last of the way if it never does."""
        here = 0
        while not self._is_enough() and not begin(Scene(self._parties, self._worlds[here])):
            free = self._network.moves(self._worlds[here])[0]
            after = self._go(here, free[0]) if free else here
            if after <= here or after > LONGEST_WAY:  # it ends here, goes in a circle, or goes on without end
                self._complain(here, ("the exploration never begins: what it should begin with does not come about",))
                break
            here = after
        return here

    def _go(self, here: int, move: Move) -> int:
        """The number of the world after a move."""
        after, fault = self._network.apply(self._worlds[here], move)
        number = self._add(after, here, move, fault)
        if self._settled is not None:
            self._arcs[0].append(here)
            self._arcs[1].append(number)
        return number

    def _is_enough(self) -> bool:
        return len(self._violations) >= self._max_violations

    def _add(self, world: World, before: int, move: Move | None, fault: str) -> int:
        """The number of a world; one that was not seen before is looked at."""
        number = self._numbers.setdefault(world, len(self._worlds))
        if number == len(self._worlds):
            self._worlds.append(world)
            self._came.append((before, move))
            self._depth.append(self._depth[before] + 1 if move else 0)
            if self._invariant is not None:
                self._complain(number, self._invariant(Scene(self._parties, world)))
            if self._settled is not None and self._settled(Scene(self._parties, world)):
                self._good.append(number)
        if fault:  # also on the way to a world that is known: who raises changes nothing
            way = () if move is None else (*self._path(before), self._line(before, move, number))
            self._violations.append(Violation(fault, way))
        return number

    def _complain(self, number: int, complaints: Iterable[str]) -> None:
        self._violations += [Violation(complaint, tuple(self._path(number))) for complaint in complaints]

    def _look_for_endless(self) -> None:
        """Walk back from all good worlds. The first world that is not met on the way is reported."""
        before: dict[int, list[int]] = {}
        for source, target in zip(*self._arcs, strict=True):
            before.setdefault(target, []).append(source)
        found = set(self._good)
        todo = list(found)
        while todo:
            new = set(before.get(todo.pop(), ())) - found
            found |= new
            todo += new
        endless = next((number for number in range(len(self._worlds)) if number not in found), None)
        if endless is not None:
            self._complain(endless, ("from here it never ends, and never settles",))

    # -- paths

    def _path(self, number: int) -> list[str]:
        numbers = [number]
        while self._came[numbers[-1]][1] is not None:
            numbers.append(self._came[numbers[-1]][0])
        numbers.reverse()
        lines = []
        for before, after in pairwise(numbers):
            move = self._came[after][1]
            assert move is not None  # only the first world came by none
            lines.append(self._line(before, move, after))
        return lines

    def _line(self, before: int, move: Move, after: int) -> str:
        """A move, and what the applications learned by it."""
        old, new = self._worlds[before], self._worlds[after]
        line = ("FAULT " if move.cost else "") + self._words(old, move)
        for name, was, seat in zip(self._parties.names, old.seats, new.seats, strict=True):
            told = self._parties.told[seat.told][len(self._parties.told[was.told]) :]
            line += "".join(f"; {name} learns {event}" for event in told if event != RESTARTED)
        return line

    def _words(self, world: World, move: Move) -> str:
        parties, name = self._parties, self._parties.names
        if move.kind == "wait":
            due = [
                f"{name[party]}'s {timer}"
                for party, seat in enumerate(world.seats)
                for timer, at in parties.restore(party, seat.state, seat.wall).timers().items()
                if at <= move.item
            ]
            return f"{move.item:g} s pass: {', '.join(due)}"
        if move.kind == "decide":
            return f"{name[move.where]} decides: {', '.join(map(str, move.item)) or 'never'}"
        if move.kind == "restart":
            return f"{name[move.where]} restarts"
        if move.kind == "readdress":
            socket = self._network.moved(world.bound, move.where)
            lost = ", and what was on the way to it is lost" if move.end else ""
            return f"{name[socket.party]}'s NAT moves it to {socket.outside}{lost}"
        if move.kind == "look_up":
            party, lookup = world.lookups[move.where]
            return f"{name[party]} gets its answer for {getattr(lookup, 'host', '')}"
        if move.kind.endswith("datagram"):
            datagram: Datagram = move.item if move.item is not None else world.datagrams[move.where]
            path = datagram.path
            return f"{move.kind} to {name[datagram.party]} from {path.host}:{path.port}: {self._show(datagram.data)}"
        return self._stream_words(world, move)

    def _stream_words(self, world: World, move: Move) -> str:
        stream = world.streams[move.where]
        if move.kind in ("connect", "cut", "silence"):
            return f"{move.kind} {self._of(stream.a)} to {self._of(stream.b)}"
        end = stream.b if move.end else stream.a
        if move.kind == "lose":
            why = {BY_ITSELF: "confirmed", BEHIND_DATA: "reset, for the other end is gone"}.get(end.lost, "reset")
            return f"{self._of(end)} is over: {why}"
        if move.kind in ("block", "unblock"):
            return f"{self._of(end)} is {move.kind}ed"
        if move.kind == "deliver_eof":
            return f"{self._of(end)} receives the end"
        data = move.item if move.kind == "insert" else end.inbound[0]
        shown = self._show(data[: len(data) // 2] if move.kind == "split" else data)
        return f"{self._of(end)} receives {'inserted ' if move.kind == 'insert' else ''}{shown}"

    def _of(self, end: End) -> str:
        return f"{self._parties.names[end.party]}#{end.link}" if end.link > 0 else "nobody"
