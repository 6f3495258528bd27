"""Pairs of measurements: what something costs, against what it could not do without."""

from __future__ import annotations

import gc
from collections.abc import Callable
from statistics import median

import attrs


@attrs.frozen
class Line:
    """One line of the report: a ratio (or another figure) and what it has to reach."""

    name: str
    value: float
    target: float
    at_least: bool
    unit: str = ""
    note: str = ""

    @property
    def reached(self) -> bool:
        return self.value >= self.target if self.at_least else self.value <= self.target

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "ok" if self.reached else "MISSED"
        figure = f"{self.value:9.3f}{self.unit} ({sign} {self.target:g}{self.unit})"
        return f"{verdict:6} {figure:34} {self.name}" + (f"; {self.note}" if self.note else "")


def ratio(floor: Callable[[], float], ours: Callable[[], float], *, rounds: int) -> tuple[float, float, float]:
    """The median of floor / ours over pairs that ran next to each other, and the two medians by themselves.

    Each function measures itself, so that what only the benchmark needs stays out of the figure.
    """
    floor(), ours()
    pairs = []
    for number in range(rounds):
        gc.collect()
        first, second = (floor, ours) if number % 2 else (ours, floor)
        times = {first: first(), second: second()}
        pairs.append((times[floor], times[ours]))
    return median(a / b for a, b in pairs), median(a for a, _ in pairs), median(b for _, b in pairs)
