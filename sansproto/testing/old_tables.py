"""Static checks of a table and its ladders: what can be seen wrong without running anything.

:func:`check` gives findings as text; an empty list means that the table is whole, that no object waits for ever, and
that with a silent peer its timers alone bring it to rest::

    assert check(LINK, "docs/protocols") == []

The checks follow every *configuration* that an object can be in: its state and the set of its armed timers. A timer
that fired is no longer armed. An input that a timer (or a timer's ladder) names arises from nothing else, unless
another ladder names it too. What an action posts is not seen: it is taken as an input that may come or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from enum import Enum
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ..old_machine import Ladder, Otherwise, Row, Table, Verdict

AnyTable = Table[Any, Any, Any, Any]


def check(table: AnyTable, docs: str | Path) -> list[str]:
    """All findings about a table; ``docs`` is the folder with its page."""
    try:
        analysis = _Analysis(table)
    except ValueError as error:  # not total: nothing else can be said
        return [str(error)]
    findings = (
        *_references(table, Path(docs)),
        *_ends(table),
        *_unused(analysis),
        *_timers(table),
        *_violations(analysis),
        *_unreachable(analysis),
        *_undying(analysis),
        *_waiting(analysis),
        *_endless(analysis),
    )
    return [f"{table.name}: {finding}" for finding in findings]


def headings(page: str | Path) -> set[str]:
    """The headings of a reStructuredText page, in lower case."""
    lines = Path(page).read_text("utf-8").splitlines()
    return {
        line.strip().lower()
        for line, under in pairwise(lines)
        if line.strip() and len(under) >= len(line.rstrip()) and len(set(under)) == 1 and not under[0].isalnum()
    }


def row_name(row: Row[Any, Any, Any, Any]) -> str:
    """A row as findings and reports name it."""
    return f"row {_names(each(row.state))} x {_names(each(row.on))}"


def each(value: Any) -> tuple[Any, ...]:
    """The members of a group of states or inputs, or the only one."""
    return value if isinstance(value, tuple) else (value,)


def _names(members: Iterable[Enum]) -> str:
    return "|".join(member.name for member in members)


class Config(NamedTuple):
    state: Any
    armed: frozenset[Any]

    def __str__(self) -> str:
        timers = ", ".join(sorted(timer.name for timer in self.armed))
        return f"{self.state.name} with {timers or 'no timer'}"


class _Firing(NamedTuple):
    """A timer fired in a configuration and was found to be this input."""

    timer: Any
    on: Any
    to: Config
    row: Row[Any, Any, Any, Any] | None  # None: ignored


class _Analysis:
    """A table and every configuration that its objects can come into."""

    def __init__(self, table: AnyTable) -> None:
        self.table = table
        self.cells = table.cells()
        self.ladders: Mapping[str, Ladder[Any]] = {ladder.name: ladder for ladder in table.ladders}
        self.happened: set[tuple[Any, Any]] = set()
        self.configs = self._explore()

    def outcomes(self, timer: Any) -> tuple[Any, ...]:
        """The inputs that a timer can turn out to be."""
        fires = self.table.fires.get(timer)
        return () if fires is None else self.named_by(fires)

    def named_by(self, what: Any) -> tuple[Any, ...]:
        if not isinstance(what, str):
            return (what,)
        ladder = self.ladders.get(what)
        return () if ladder is None else (*(rung.input for rung in ladder.rungs), ladder.otherwise)

    @cached_property
    def from_timers_only(self) -> Set[Any]:
        fired = set(self.table.fires.values())
        others = {on for name in self.ladders if name not in fired for on in self.named_by(name)}
        return {on for what in fired for on in self.named_by(what)} - others

    def is_resting(self, state: Any) -> bool:
        return state in self.table.idle or state in self.table.terminal

    def firings(self, config: Config) -> Iterator[_Firing]:
        for timer in sorted(config.armed, key=lambda timer: timer.value):
            for on in self.outcomes(timer):
                yield _Firing(timer, on, *self._step(Config(config.state, config.armed - {timer}), on))

    def _step(self, config: Config, on: Any) -> tuple[Config, Row[Any, Any, Any, Any] | None]:
        cell = self.cells[config.state, on]
        if isinstance(cell, Otherwise) and cell.verdict is Verdict.VIOLATION and self.table.violated is not None:
            cell = self.cells[config.state, self.table.violated]
        if isinstance(cell, Otherwise):
            return config, None
        state = config.state if cell.to is None else cell.to
        if state in self.table.terminal:
            return Config(state, frozenset()), cell
        return Config(state, (config.armed - set(cell.cancel)) | set(cell.arm)), cell

    def _explore(self) -> list[Config]:
        found = {Config(self.table.initial, frozenset()): None}
        todo = list(found)
        for config in todo:
            reached = [self._step(config, on)[0] for on in self.table.inputs if on not in self.from_timers_only]
            firings = list(self.firings(config))
            self.happened |= {(config.state, on) for on in self.table.inputs if on not in self.from_timers_only}
            self.happened |= {(config.state, firing.on) for firing in firings}
            for other in (*reached, *(firing.to for firing in firings)):
                if other not in found:
                    found[other] = None
                    todo.append(other)
        return todo


def _references(table: AnyTable, docs: Path) -> Iterator[str]:
    page = docs / f"{table.page}.rst"
    known = headings(page) if page.is_file() else None
    if known is None:
        yield f"there is no page {page.name}"
    rungs = [(f"rung {ladder.name}/{rung.check}", rung.ref) for ladder in table.ladders for rung in ladder.rungs]
    for what, ref in (*((row_name(row), row.ref) for row in table.rows), *rungs):
        if not ref:
            yield f"{what} has no reference"
        elif known is not None and ref.lower() not in known:
            yield f"{what}: no heading {ref!r} in {page.name}"


def _ends(table: AnyTable) -> Iterator[str]:
    for row in table.rows:
        for state in each(row.state):
            if state in table.terminal:
                yield f"{row_name(row)} leaves the terminal state {state.name}"
    for state, ends in table.idle.items():
        if not isinstance(state, table.states) or state in table.terminal:
            yield f"{state} cannot be idle"
        elif not ends:
            yield f"nothing is named that ends the idle state {state.name}"


def _unused(analysis: _Analysis) -> Iterator[str]:
    table = analysis.table
    done = {action for row in table.rows for action in row.do}
    answered = {on for row in table.rows for on in each(row.on)}
    answered |= {on for default in table.otherwise for on in default.inputs or ()}
    yield from (f"no row does {action.name}" for action in table.actions if action not in done)
    yield from (f"no row and no default of its own answers {on.name}" for on in table.inputs if on not in answered)
    deciding = {id(cell) for cell in analysis.cells.values()}
    for number, default in enumerate(table.otherwise, 1):
        if id(default) not in deciding:
            yield f"default {number} ({default.verdict.name}) decides nothing"
    if len(analysis.ladders) < len(table.ladders):
        yield "two ladders have one name"


def _timers(table: AnyTable) -> Iterator[str]:
    armed = {timer for row in table.rows for timer in row.arm}
    names = {ladder.name for ladder in table.ladders}
    for timer in table.timers:
        fires = table.fires.get(timer)
        if timer not in armed:
            yield f"no row arms {timer.name}"
        if fires is None:
            yield f"nothing is said about what {timer.name} fires"
        elif isinstance(fires, str) and fires not in names:
            yield f"{timer.name} fires the ladder {fires!r}, which is not there"
    for row in table.rows:
        if row.to in table.terminal and row.arm:
            yield f"{row_name(row)} arms a timer of an object that has ended"


def _violations(analysis: _Analysis) -> Iterator[str]:
    table = analysis.table
    for (state, on), cell in analysis.cells.items():
        if not isinstance(cell, Otherwise) or cell.verdict is not Verdict.VIOLATION:
            continue
        if table.violated is None:
            yield f"{state.name} x {on.name} is a violation, but no input is named that follows"
        elif not isinstance(analysis.cells[state, table.violated], Row):
            yield f"{state.name} x {on.name} is a violation, but {table.violated.name} does nothing there"


def _unreachable(analysis: _Analysis) -> Iterator[str]:
    states = {config.state for config in analysis.configs}
    yield from (f"{state.name} is never reached" for state in analysis.table.states if state not in states)
    for row in analysis.table.rows:
        never = [
            f"{state.name} x {on.name}"
            for state in each(row.state)
            for on in each(row.on)
            if state in states and (state, on) not in analysis.happened
        ]
        if never:
            yield f"{row_name(row)}: no timer is armed that could make {', '.join(never)}"


def _undying(analysis: _Analysis) -> Iterator[str]:
    """States from which no input at all leads to a terminal one."""
    ends: dict[Any, set[Any]] = {state: set() for state in analysis.table.states}
    for (state, on), cell in analysis.cells.items():
        if isinstance(cell, Row) and (state, on) in analysis.happened:
            ends[state].add(state if cell.to is None else cell.to)
    mortal = set(analysis.table.terminal)
    while more := {state for state, others in ends.items() if others & mortal} - mortal:
        mortal |= more
    if mortal:
        states = {config.state for config in analysis.configs} - mortal
        yield from (f"no way leads from {state.name} to an end" for state in analysis.table.states if state in states)


def _waiting(analysis: _Analysis) -> Iterator[str]:
    """Timers that are missing where they are needed, or armed where they mean nothing."""
    for config in analysis.configs:
        if not config.armed and not analysis.is_resting(config.state):
            yield f"an object can be in {config}: it waits for ever"
        for firing in analysis.firings(config):
            if firing.row is None:
                yield f"{config}: {firing.timer.name} fires {firing.on.name}, which does nothing there"


def _endless(analysis: _Analysis) -> Iterator[str]:
    """With a silent peer only timers act: is there a way to go on for ever without coming to rest?"""
    nodes = [config for config in analysis.configs if not analysis.is_resting(config.state)]
    arcs = {config: list(analysis.firings(config)) for config in nodes}
    todo = [arcs]
    while todo:
        inside = todo.pop()
        for component in _components(inside):
            within = {config: [arc for arc in inside[config] if arc.to in component] for config in component}
            if not any(within.values()) or _runs_out(component, within):
                continue
            leaving = {
                (config, firing.timer)
                for config in component
                for firing in analysis.firings(config)
                if firing.to not in component and isinstance(analysis.table.fires[firing.timer], str)
            }
            left = {
                config: [arc for arc in firings if (config, arc.timer) not in leaving]
                for config, firings in within.items()
            }
            if left == within:
                states = ", ".join(sorted({config.state.name for config in component}))
                timers = ", ".join(sorted({arc.timer.name for firings in within.values() for arc in firings}))
                yield f"with a silent peer it goes on for ever in {states}, by {timers}"
            else:  # a ladder leads out in the end: look at what goes round without asking it
                todo.append(left)


def _runs_out(component: Set[Config], within: Mapping[Config, list[_Firing]]) -> bool:
    """Is there a timer that runs all the while, and that nothing in here arms again? It ends the round."""
    firings = [firing for arcs in within.values() for firing in arcs]
    touched = {timer for firing in firings if firing.row is not None for timer in firing.row.arm}
    touched |= {firing.timer for firing in firings}
    return bool(frozenset.intersection(*(config.armed for config in component)) - touched)


def _components(arcs: Mapping[Config, list[_Firing]]) -> list[set[Config]]:
    """The strongly connected parts. (Tables are small: who reaches whom is simply worked out.)"""
    reach = {config: {config} for config in arcs}
    changed = True
    while changed:
        changed = False
        for config, firings in arcs.items():
            more = set().union(*(reach[firing.to] for firing in firings if firing.to in reach)) - reach[config]
            reach[config] |= more
            changed = changed or bool(more)
    parts: dict[frozenset[Config], set[Config]] = {}
    for config in arcs:
        both = frozenset(other for other in reach[config] if config in reach[other])
        parts[both] = set(both)
    return list(parts.values())
