"""The bench: password derivations, computed a slice at a time. docs/protocols/bob.rst, derivation in slices."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from .crypto import Derivation
from .tables.peer import BenchState

SLICE = 512
"""Rounds that one call computes at most: about a millisecond on a fast machine, 5 on a slow one."""

FINISH = 64
"""As many rounds stand for what is made of a derivation that is done: two points of the curve."""


@attrs.define(eq=False, weakref_slot=False)
class Bench:
    """The derivations that wait, by the uid of the peer they are for (0: this peer's own secret), first come first."""

    state: BenchState = BenchState.EMPTY
    key: int = 0
    waiting: OrderedDict[int, Derivation] = attrs.field(factory=OrderedDict)

    def is_nearly_done(self) -> bool:
        """Does one more slice empty the bench?"""
        rounds = -FINISH  # the last one may finish with nothing to spare
        for derivation in self.waiting.values():
            rounds += derivation.count - derivation.done + FINISH
            if rounds > SLICE:
                return False
        return True

    def work(self) -> list[tuple[int, bytes]]:
        """Compute a slice; the uids and key material of the derivations that it finished."""
        rounds, finished = SLICE, []
        while self.waiting and rounds > 0:
            uid, derivation = next(iter(self.waiting.items()))
            before = derivation.done
            if derivation.step(rounds):
                finished.append((uid, derivation.result))
                del self.waiting[uid]
                rounds -= FINISH
            rounds -= derivation.done - before
        return finished
