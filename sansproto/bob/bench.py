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

OLDEST = 4
"""Of so many slices one is the oldest derivation's: who asks for much has its turn, however many ask for little."""


@attrs.define(eq=False, weakref_slot=False)
class Bench:
    """The derivations that wait, by the uid of the peer they are for (0: this peer's own secret)."""

    state: BenchState = BenchState.EMPTY
    key: int = 0
    waiting: OrderedDict[int, Derivation] = attrs.field(factory=OrderedDict)  # the oldest first
    classes: dict[int, OrderedDict[int, None]] = attrs.field(factory=dict)  # uids by the slices that are left to do
    slices: int = 0  # of those since the oldest had one

    def put(self, uid: int, derivation: Derivation) -> None:
        self.waiting[uid] = derivation
        self._sort_in(uid, _slices(derivation))

    def take_off(self, uid: int) -> None:
        """Nobody needs it any more, if it is here."""
        derivation = self.waiting.pop(uid, None)
        if derivation is not None:
            self._sort_out(uid, _slices(derivation))

    def clear(self) -> None:
        self.waiting.clear()
        self.classes.clear()

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
        self.slices = (self.slices + 1) % OLDEST
        is_oldest = self.slices == 0
        while self.waiting and rounds > 0:
            uid = next(iter(self.waiting if is_oldest else self.classes[min(self.classes)]))
            is_oldest = False
            derivation = self.waiting[uid]
            before, left = derivation.done, _slices(derivation)
            if derivation.step(rounds):
                finished.append((uid, derivation.result))
                del self.waiting[uid]
                rounds -= FINISH
            rounds -= derivation.done - before
            if _slices(derivation) < left:
                self._sort_out(uid, left)
                if uid in self.waiting:
                    self._sort_in(uid, _slices(derivation))
        if not self.waiting:
            self.slices = 0
        return finished

    def _sort_in(self, uid: int, slices: int) -> None:
        self.classes.setdefault(slices, OrderedDict())[uid] = None

    def _sort_out(self, uid: int, slices: int) -> None:
        found = self.classes[slices]
        del found[uid]
        if not found:  # so that there are no more of them than a derivation has slices: 1,954
            del self.classes[slices]


def _slices(derivation: Derivation) -> int:
    """How many are left to do. Of those with as many, the first comes first."""
    return -(-(derivation.count - derivation.done) // SLICE)
