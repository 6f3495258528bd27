"""The queue of password derivations, computed a slice at a time. docs/protocols/bob.rst, derivation in slices."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import Annotated, Any, Final, Protocol

from ..component import Component, Host
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .crypto import Derivation
from .limits import PeerDelays

SLICE: Final = 512
"""Rounds that one call computes at most: about a millisecond on a fast machine, 5 on a slow one."""

FINISH: Final = 64
"""As many rounds stand for what is made of a derivation that is done: two points of the curve."""

OLDEST: Final = 4
"""Of so many slices one is the oldest derivation's: who asks for much has its turn, however many ask for little."""


class KdfState(Enum):
    EMPTY = 0
    BUSY = 1


class KdfInput:
    PUT = Input[KdfState, None]()
    """There is something to do."""
    SLICE = Input[KdfState, None]()


class KdfTimer:
    WORK = Timer(KdfInput.SLICE, PeerDelays.work)


class KdfHost(Host[Any], Protocol):
    """What the queue asks of its peer."""

    delays: PeerDelays

    def derived(self, uid: int, material: bytes) -> None: ...


class KdfQueue(Component[KdfState, KdfHost]):
    """The derivations that wait, by the uid of the peer they are for (0: this peer's own secret)."""

    waiting: OrderedDict[int, Derivation]
    """The oldest first."""
    classes: dict[int, OrderedDict[int, None]]
    """Uids by the slices that are left to do."""
    slices: int
    """Of those since the oldest had one."""
    delays: Annotated[PeerDelays, CACHED]

    def __init__(self, host: KdfHost) -> None:
        super().__init__(host)
        self.delays = host.delays
        self.waiting, self.classes, self.slices = OrderedDict(), {}, 0

    # -- for the peer

    def put(self, uid: int, derivation: Derivation) -> None:
        self.waiting[uid] = derivation
        self._sort_in(uid, _slices(derivation))
        self.post(KdfInput.PUT())

    def take_off(self, uid: int) -> None:
        """Nobody needs it any more, if it is here."""
        derivation = self.waiting.pop(uid, None)
        if derivation is not None:
            self._sort_out(uid, _slices(derivation))

    def clear(self) -> None:
        self.waiting.clear()
        self.classes.clear()

    # -- the action

    def work(self) -> None:
        """Compute a slice, and hand over the key material of the derivations that it finished."""
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
        for uid, material in finished:
            self.host.derived(uid, material)
        if self.waiting:
            self.post(KdfInput.PUT())
        else:
            self.slices = 0

    # -- inside

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


_S, _I, _T = KdfState, KdfInput, KdfTimer

KDF: Final = Table[KdfQueue, KdfState](
    KdfQueue,
    KdfInput,
    KdfTimer,
    name="bob.kdf",
    initial=_S.EMPTY,
    idle={_S.EMPTY: "the next derivation"},
    rows=(
        Row(_S.EMPTY, _I.PUT, _S.BUSY, arm=(_T.WORK,), ref="derivation in slices"),
        Row(_S.BUSY, _I.PUT, ref="derivation in slices"),
        Row(_S.BUSY, _I.SLICE, _S.EMPTY, KdfQueue.work, ref="derivation in slices"),
    ),
    defaults=(Default(Outcome.IGNORE, "stale"),),
)
