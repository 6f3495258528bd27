"""Sessions that were closed: what still comes for them is answered with the close, or with nothing.

docs/protocols/recovery.rst, R16 goodbye.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

import attrs

from ..component import Component, Note
from ..contract import Instant
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .host import RecoveryHost
from .items import Route, Sealed
from .limits import RecoveryDelays, answer_pause

TOLD_AGAIN: Final = Note("told again that a session is closed", ref="R16 goodbye")


@attrs.define(weakref_slot=False)
class Slot:
    """When the close may be sent again, to one route or to all others."""

    free: Instant
    sent: int = 0


class ClosedSession(Protocol):
    """What a tombstone keeps of the session that was closed."""

    peer_id: bytes
    address: int


class TombstoneOwner(Protocol):
    """What a closed session asks of the core."""

    def times_of(self, route: Route | None) -> RecoveryDelays: ...
    def is_elsewhere(self, address: int) -> bool: ...
    def remove_tombstone(self, tombstone: Tombstone) -> None: ...


class TombstoneState(Enum):
    NEW = 0
    SAID = 1
    """We said goodbye."""
    REFUSED = 2
    """We refused it."""
    DRAINED = 3
    """The peer said goodbye."""
    GONE = 4


class TombstoneInput:
    SAY = Input[TombstoneState, None]()
    SAY_TWICE = Input[TombstoneState, None]()
    REFUSE = Input[TombstoneState, None]()
    DRAIN = Input[TombstoneState, None]()
    ASKED = Input[TombstoneState, Sealed]()
    AGAIN_DUE = Input[TombstoneState, None]()
    EXPIRED = Input[TombstoneState, None]()


class Tombstone(Component[TombstoneState, RecoveryHost]):
    """A closed session, by our id of it. Nothing is opened for it, and no hint is ever sent."""

    peer_id: bytes
    close: bytes
    """The packet that said goodbye; it is sent again as it is. Empty: there is none."""
    address: int
    """At which of our addresses the session was made."""
    home: Route | None
    lives: float
    at_home: Slot
    elsewhere: Slot
    core: Annotated[TombstoneOwner, CACHED]
    sid: Annotated[bytes, CACHED]

    def __init__(self, host: RecoveryHost, core: TombstoneOwner, sid: bytes) -> None:
        super().__init__(host)
        self.core, self.sid = core, sid
        self.peer_id, self.close, self.address, self.home, self.lives = b"", b"", 0, None, 0.0
        self.at_home, self.elsewhere = Slot(0.0), Slot(0.0)

    def begin(self, session: ClosedSession, close: bytes, home: Route | None, lives: float) -> None:
        now = self.host.clock
        self.peer_id, self.address = session.peer_id, session.address
        self.close, self.home, self.lives = close, home, lives
        self.at_home, self.elsewhere = Slot(now), Slot(now)

    @property
    def rank(self) -> int:
        """The lowest one goes first, if there are too many."""
        return _RANKS[self.state]

    def has_close(self) -> bool:
        """Is there something to send, at this address of ours?"""
        return bool(self.close) and not self.core.is_elsewhere(self.address)

    # -- guards

    def is_larger(self, packet: Sealed) -> bool:
        """An answer is smaller than what it answers, or two closed ends would answer each other for ever."""
        return self.has_close() and packet.size > len(self.close)

    def is_free(self, packet: Sealed) -> bool:
        return self.host.clock >= self._slot(packet.route).free

    # -- times

    def life(self) -> float:
        return self.lives

    def pause(self) -> float:
        return self.core.times_of(self.home).rto

    # -- actions

    def say(self) -> None:
        """For the first time. Whoever asks at once has crossed with it."""
        self.at_home.free = self.host.clock + self.pause() / 2
        self.say_again()

    def say_again(self) -> None:
        """Unasked."""
        if self.home is not None and self.has_close():
            self.host.transmit(self.close, self.home)

    def wait_half(self) -> None:
        self.at_home.free = self.host.clock + self.pause() / 2

    def refuse(self) -> None:
        if self.home is not None and self.has_close():
            self._send(self.at_home, self.home)

    def answer(self, packet: Sealed) -> None:
        """Where it came from, or home if nothing leads back there."""
        self.host.count_note(TOLD_AGAIN, self)
        route = packet.route if packet.route.reply else self.home
        if route is not None:
            self._send(self._slot(packet.route), route)

    def leave(self) -> None:
        self.core.remove_tombstone(self)

    # -- inside

    def _slot(self, route: Route) -> Slot:
        return self.at_home if route == self.home or not route.reply else self.elsewhere

    def _send(self, slot: Slot, route: Route) -> None:
        times = self.core.times_of(self.home)
        slot.free = self.host.clock + answer_pause(slot.sent, times)
        slot.sent += 1
        self.host.transmit(self.close, route)


_S, _I, _C = TombstoneState, TombstoneInput, Tombstone
_REF: Final = "R16 goodbye"
_RANKS: Final = {_S.NEW: 3, _S.SAID: 2, _S.REFUSED: 1, _S.DRAINED: 0, _S.GONE: 0}

CLOSED_DATA: Final = (
    Guards.of(Tombstone, TombstoneState, Sealed, "data of a closed session")
    .need(_C.is_larger, "data of a closed session", ref=_REF)
    .need(_C.is_free, "data of a closed session, too soon", ref=_REF)
    .give(_I.ASKED)
)


class TombstoneTimer:
    LIFE = Timer(_I.EXPIRED, _C.life)
    AGAIN = Timer(_I.AGAIN_DUE, _C.pause)


_T = TombstoneTimer
_HERE: Final = (_S.SAID, _S.REFUSED, _S.DRAINED)

TOMBSTONE: Final = Table[Tombstone, TombstoneState](
    Tombstone,
    TombstoneInput,
    TombstoneTimer,
    name="recovery.tombstone",
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={_S.NEW: "what it is made for"},
    rows=(
        Row(_S.NEW, _I.SAY, _S.SAID, _C.wait_half, arm=(_T.LIFE,), ref=_REF),
        Row(_S.NEW, _I.SAY_TWICE, _S.SAID, _C.say, arm=(_T.LIFE, _T.AGAIN), ref=_REF),
        Row(_S.NEW, _I.REFUSE, _S.REFUSED, _C.refuse, arm=(_T.LIFE,), ref=_REF),
        Row(_S.NEW, _I.DRAIN, _S.DRAINED, arm=(_T.LIFE,), ref=_REF),
        Row(_S.SAID, _I.AGAIN_DUE, None, _C.say_again, ref=_REF),
        Row((_S.SAID, _S.REFUSED), _I.ASKED, None, _C.answer, ref=_REF),
        Row(_HERE, _I.EXPIRED, _S.GONE, _C.leave, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
