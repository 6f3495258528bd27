"""Static checks of a table and its guards: what can be seen wrong without running anything.

:func:`check` gives findings as text; an empty list means that the table is whole, that no object waits for ever, and
that with a silent peer its timers alone bring it to rest::

    assert check(LINK, "docs/protocols") == []

The checks follow every *configuration* that an object can be in: its state and the set of its armed timers. A timer
that fired is no longer armed. An input that a timer posts arises from nothing else, unless guards give it too. What an
action posts is not seen: it is taken as an input that may come or not. A ``when`` may hold or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from copy import copy
from enum import Enum
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ..machine import Input, Outcome, Row, Table

AnyTable: TypeAlias = Table[Any, Enum]
AnyRow: TypeAlias = Row[Any, Any]


def check(table: Table[Any, Any], docs: str | Path) -> list[str]:
    """All findings about a table; ``docs`` is the folder with its page."""
    analysis = _Analysis(table)
    findings = (
        *_references(table, Path(docs)),
        *_ends(table),
        *_unused(table),
        *_guards(table),
        *_timers(table),
        *_violations(analysis),
        *_raising(table),
        *_unreachable(analysis),
        *_undying(analysis),
        *_waiting(analysis),
        *_endless(analysis),
        *_restless(analysis),
    )
    return [f"{table.name}: {finding}" for finding in findings]


def refusals(table: Table[Any, Any]) -> Iterator[tuple[Enum, Input[Any, Any], Outcome]]:
    """The pairs of state and input that raise, and how."""
    for (state, on), (rows, default) in table.pairs.items():
        is_certain = rows and rows[-1].when is None
        if not is_certain and default.outcome in (Outcome.REJECT, Outcome.NOT_OPEN):
            yield state, on, default.outcome


def headings(page: str | Path) -> set[str]:
    """The headings of a reStructuredText page, in lower case."""
    lines = Path(page).read_text("utf-8").splitlines()
    return {
        line.strip().lower()
        for line, under in pairwise(lines)
        if line.strip() and len(under) >= len(line.rstrip()) and len(set(under)) == 1 and not under[0].isalnum()
    }


class Config(NamedTuple):
    state: Any
    armed: frozenset[Any]

    def __str__(self) -> str:
        timers = ", ".join(sorted(timer.name for timer in self.armed))
        return f"{self.state.name} with {timers or 'no timer'}"


class _Firing(NamedTuple):
    """A timer fired in a configuration, and one of the rows of its input was taken."""

    timer: Any
    to: Config
    row: AnyRow | None  # None: ignored


class _Analysis:
    """A table and every configuration that its objects can come into."""

    def __init__(self, table: AnyTable) -> None:
        self.table, self.idle = table, frozenset(table.idle)
        self.happened: set[tuple[Any, Any]] = set()
        self.configs = self._explore()

    @cached_property
    def from_timers_only(self) -> Set[Any]:
        given = {step.on for guards in self.table.guards for step in guards.steps}
        return {timer.on for timer in self.table.timers} - given

    def is_resting(self, state: Any) -> bool:
        return state in self.idle or state in self.table.terminal

    def firings(self, config: Config) -> Iterator[_Firing]:
        for timer in sorted(config.armed, key=lambda timer: timer.index):
            for to, row in self._steps(Config(config.state, config.armed - {timer}), timer.on):
                yield _Firing(timer, to, row)

    def _steps(self, config: Config, on: Any) -> Iterator[tuple[Config, AnyRow | None]]:
        """Where an input may lead: by each of its conditional rows, and by what is behind them."""
        rows, default = self.table.pairs[config.state, on]
        for row in rows:
            yield self._after(config, row), row
        if rows and rows[-1].when is None:
            return
        if default.outcome is Outcome.VIOLATION and self.table.violated not in (None, on):
            yield from self._steps(config, self.table.violated)
        else:
            yield config, None

    def _after(self, config: Config, row: AnyRow) -> Config:
        state = config.state if row.to is None else row.to
        if state in self.table.terminal:
            return Config(state, frozenset())
        return Config(state, (config.armed - set(row.cancel)) | set(row.arm))

    def _explore(self) -> list[Config]:
        found = {Config(self.table.initial, frozenset()): None}
        todo = list(found)
        free = [on for on in self.table.inputs if on not in self.from_timers_only]
        for config in todo:
            reached = [to for on in free for to, _ in self._steps(config, on)]
            firings = list(self.firings(config))
            self.happened |= {(config.state, on) for on in free}
            self.happened |= {(config.state, firing.timer.on) for firing in firings}
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
    steps = [
        (f"guard {guards.name}/{step.name}", step.ref) for guards in table.guards for step in guards.steps if step.call
    ]
    for what, ref in (*((repr(row), row.ref) for row in table.rows), *steps):
        if not ref:
            yield f"{what} has no reference"
        elif known is not None and ref.lower() not in known:
            yield f"{what}: no heading {ref!r} in {page.name}"


def _ends(table: AnyTable) -> Iterator[str]:
    for row in table.rows:
        for state in row.states:
            if state in table.terminal:
                yield f"{row} leaves the terminal state {state.name}"
    for state, ends in table.idle.items():
        if not isinstance(state, table.states) or state in table.terminal:
            yield f"{state} cannot be idle"
        elif not ends:
            yield f"nothing is named that ends the idle state {state.name}"


def _unused(table: AnyTable) -> Iterator[str]:
    answered = {on for row in table.rows for on in row.on} | {on for default in table.defaults for on in default.on}
    yield from (f"no row and no default of its own answers {on.name}" for on in table.inputs if on not in answered)
    deciding = set()
    for state in table.states:
        for on in table.inputs:
            rows, default = table.pairs[state, on]
            if not rows or rows[-1].when is not None:
                deciding.add(default)
    for number, default in enumerate(table.defaults, 1):
        if default not in deciding:
            yield f"default {number} ({default.outcome.name}) decides nothing"
        elif not default.reason and default.outcome in (Outcome.IGNORE, Outcome.VIOLATION):
            yield f"default {number} ({default.outcome.name}) has no reason"


def _guards(table: AnyTable) -> Iterator[str]:
    for guards in table.guards:
        asked: set[Any] = set()
        for step in guards.steps:
            if step.on is None and not step.reason:
                yield f"guard {guards.name}/{step.name} drops without a reason"
            if step.call in asked:
                yield f"guard {guards.name}/{step.name} asks what a step before it asked"
            asked = {step.call} if step.kind.name == "MAKE" else asked | {step.call}


def _timers(table: AnyTable) -> Iterator[str]:
    armed = {timer for row in table.rows for timer in row.arm}
    yield from (f"no row arms {timer.name}" for timer in table.timers if timer not in armed)
    for row in table.rows:
        if row.to in table.terminal and row.arm:
            yield f"{row} arms a timer of an object that has ended"
        yield from (f"{row} cancels {timer.name}, which it arms" for timer in row.cancel if timer in row.arm)
        if row.to in table.terminal and row.cancel:
            yield f"{row} cancels a timer of an object that has ended"


def _violations(analysis: _Analysis) -> Iterator[str]:
    table = analysis.table
    for state in table.states:
        for on in table.inputs:
            rows, default = table.pairs[state, on]
            if (rows and rows[-1].when is None) or default.outcome is not Outcome.VIOLATION:
                continue
            if table.violated is None:
                yield f"{state.name} x {on.name} is a violation, but no input is named that follows"
            elif on is table.violated or not table.pairs[state, table.violated][0]:
                yield f"{state.name} x {on.name} is a violation, but {table.violated.name} does nothing there"


def _raising(table: AnyTable) -> Iterator[str]:
    """Inputs with a REJECT or NOT_OPEN that no verb asks about: such a refusal comes after something has changed."""
    makers: dict[Any, str] = {timer.on: f"by {timer.name}" for timer in table.timers}
    makers |= {table.violated: "by violations"} if table.violated else {}
    makers |= {step.on: f"by guards {guards.name!r}" for guards in table.guards for step in guards.steps if step.on}
    for state, on, outcome in refusals(table):
        if on in makers:
            yield f"{state.name} x {on.name} raises ({outcome.name}), though it is made {makers[on]}, by no verb"


def _unreachable(analysis: _Analysis) -> Iterator[str]:
    states = {config.state for config in analysis.configs}
    yield from (f"{state.name} is never reached" for state in analysis.table.states if state not in states)
    for row in analysis.table.rows:
        never = [
            f"{state.name} x {on.name}"
            for state in row.states
            for on in row.on
            if state in states and (state, on) not in analysis.happened
        ]
        if never:
            yield f"{row}: no timer is armed that could make {', '.join(never)}"


def _undying(analysis: _Analysis) -> Iterator[str]:
    """States from which no input at all leads to a terminal one."""
    ends: dict[Any, set[Any]] = {state: set() for state in analysis.table.states}
    for row in analysis.table.rows:
        for state in row.states:
            if any((state, on) in analysis.happened for on in row.on):
                ends[state].add(state if row.to is None else row.to)
    mortal: set[Enum] = set(analysis.table.terminal)
    while more := {state for state, others in ends.items() if others & mortal} - mortal:
        mortal |= more
    if mortal:
        states = {config.state for config in analysis.configs} - mortal
        yield from (f"no way leads from {state.name} to an end" for state in analysis.table.states if state in states)


def _waiting(analysis: _Analysis) -> Iterator[str]:
    """Timers that are missing in states that need one, or armed in states where they have no row."""
    for config in analysis.configs:
        if not config.armed and not analysis.is_resting(config.state):
            yield f"an object can be in {config}: it waits for ever"
        for timer in sorted(config.armed, key=lambda timer: timer.index):
            if not analysis.table.pairs[config.state, timer.on][0]:
                yield f"{config}: {timer.name} fires {timer.on.name}, which does nothing there"


def _endless(analysis: _Analysis) -> Iterator[str]:
    """Cycles of timers alone, as with a silent peer, that never lead to an idle or terminal state."""
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
                if firing.to not in component
            }
            left = {
                config: [arc for arc in firings if (config, arc.timer) not in leaving]
                for config, firings in within.items()
            }
            if left == within:
                states = ", ".join(sorted({config.state.name for config in component}))
                timers = ", ".join(sorted({arc.timer.name for firings in within.values() for arc in firings}))
                yield f"with a silent peer it goes on for ever in {states}, by {timers}"
            else:  # a condition leads out in the end: look at what goes round without asking it
                todo.append(left)


def _restless(analysis: _Analysis) -> Iterator[str]:
    """States that are declared idle without need: the checks would pass without that."""
    without = copy(analysis)
    found, reached = [*_waiting(analysis), *_endless(analysis)], {config.state for config in analysis.configs}
    for state in analysis.table.idle:
        without.idle = analysis.idle - {state}
        if state in reached and [*_waiting(without), *_endless(without)] == found:
            yield f"{state.name} is called idle, but a timer runs in it, and leads on"


def _runs_out(component: Set[Config], within: Mapping[Config, list[_Firing]]) -> bool:
    """Whether a timer runs in all of these states, and none of these rows arms it again: then it ends the cycle."""
    firings = [firing for arcs in within.values() for firing in arcs]
    touched = {timer for firing in firings if firing.row is not None for timer in firing.row.arm}
    touched |= {firing.timer for firing in firings}
    return bool(frozenset.intersection(*(config.armed for config in component)) - touched)


def _components(arcs: Mapping[Config, list[_Firing]]) -> list[set[Config]]:
    """The strongly connected components, from the full reachability relation: tables are small."""
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
