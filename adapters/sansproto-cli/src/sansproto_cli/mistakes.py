"""What a node counts: what a person may have done wrong, and all of it at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sansproto.contract import Stats

from .line import Runner
from .report import Reporter

_LOOK = 1.0  # seconds between two looks


class Mistakes:
    """Tells of each once, as a warning.

    ``known`` are triples: what the node counts as dropped, refused or noted, the reason of the warning, and its text.
    """

    def __init__(self, stats: Stats, known: Sequence[tuple[str, str, str]], reporter: Reporter) -> None:
        self._stats, self._known, self._reporter = stats, known, reporter
        self._told: set[str] = set()
        self._next = 0.0

    def look(self, runner: Runner[Any]) -> None:
        """Call it often."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LOOK
        counted = runner.call(lambda _: {*self._stats.dropped, *self._stats.refused, *self._stats.noted})
        for what, reason, text in self._known:
            if what in counted and reason not in self._told:
                self._told.add(reason)
                self._reporter.tell("warning", text, reason=reason)


def tell_stopped(reporter: Reporter, who: str, stats: Stats) -> None:
    """Tell that who was run until now stops, and what it counted."""
    dropped, refused, noted = (dict(counts) for counts in (stats.dropped, stats.refused, stats.noted))
    listed = ", ".join(f"{reason} ({count})" for reason, count in Counter(dropped).most_common())
    text = f"{who} stops. It dropped: {listed}." if listed else f"{who} stops."
    reporter.tell("stopped", text, dropped=dropped, refused=refused, noted=noted)
