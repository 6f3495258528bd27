"""Whose answer goes out next: one after another, and a host after another. docs/protocols/bob.rst, turns."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, Protocol

import attrs

from ..component import Component, Host
from ..contract import Instant
from ..machine import Default, Input, Outcome, Row, Table, Timer
from .limits import PeerLimits

SHARE: Final = 10
"""One host has no more places than a tenth of those that are left.

In larger tables it is a hundredth. But here are 1,000 places at most, and who gets none is not answered at all: ten
would turn away the honest peers of a house with one address. Ten hosts that take all they can leave a third.
"""


@attrs.define(eq=False, weakref_slot=False)
class Guesses:
    """How often an exchange failed, in total and with each peer."""

    total: int = 0
    of: dict[int, int] = attrs.field(factory=dict)
    mismatched: set[int] = attrs.field(factory=set)
    """A client's: with whom it failed because of the password."""

    def count(self, uid: int) -> None:
        self.total += 1
        self.of[uid] = self.of.get(uid, 0) + 1

    def clear(self, uid: int) -> None:
        """A guess turned out to be the password."""
        self.total -= 1
        self.of[uid] -= 1

    def forget(self, uid: int) -> None:
        """It has left."""
        self.of.pop(uid, None)
        self.mismatched.discard(uid)

    def space(self, limits: PeerLimits) -> float:
        """From one answer to the next: it doubles with every eight guesses that are not free."""
        over = self.total - limits.free_guesses
        return 0.0 if over < 0 else min(limits.slowest_guess, 0.05 * 2 ** min(over // 8, 16))


class TurnsState(Enum):
    NOBODY = 0
    SOMEBODY = 1
    """waits"""


class TurnsInput:
    JOINED = Input[TurnsState, None]()
    """Somebody waits where nobody did."""
    TURN = Input[TurnsState, None]()
    DESERTED = Input[TurnsState, None]()
    """All who waited are over."""


class TurnsHost(Host[Any], Protocol):
    """What the turns ask of their peer."""

    limits: PeerLimits

    def has_turn(self, uid: int) -> None: ...


class Turns(Component[TurnsState, TurnsHost]):
    """The exchanges that wait for their turn, when the next of them has it, and the guesses that make them wait."""

    guesses: Guesses
    next_answer: Instant
    served: str
    """The host that had the last answer behind which others have to wait."""
    hosts: dict[int, str]
    """Of all who wait, by their uid."""
    queues: OrderedDict[str, OrderedDict[int, float]]
    """Who waits of each host, the first first, with the space behind its answer; the hosts in the order of turns."""

    def __init__(self, host: TurnsHost) -> None:
        super().__init__(host)
        self.guesses, self.next_answer, self.served = Guesses(), 0.0, ""
        self.hosts, self.queues = {}, OrderedDict()

    # -- for exchanges

    def is_busy(self) -> bool:
        """Has who comes now to wait?"""
        return bool(self.hosts) or self.next_answer > self.host.clock

    def is_full(self, identity: str) -> bool:
        """Has this host its share? Those who wait will guess, too: no more of them than guesses are left."""
        left = self.host.limits.guesses - self.guesses.total - len(self.hosts)
        return len(self.queues.get(host_of(identity), ())) >= -(-left // SHARE)

    def join(self, uid: int, identity: str) -> None:
        """Wait. The space is that of this moment: who comes with many at once is kept from few others."""
        host = self.hosts[uid] = host_of(identity)
        self.queues.setdefault(host, OrderedDict())[uid] = self.guesses.space(self.host.limits)
        if len(self.hosts) == 1:
            self.post(TurnsInput.JOINED())

    def leave(self, uid: int) -> None:
        """It waits no longer, if it did."""
        if uid in self.hosts:
            self._remove(uid)
            if not self.hosts:
                self.post(TurnsInput.DESERTED())

    def take_turn(self, identity: str) -> None:
        """It is answered at once. Who comes later waits for that only if answers have a space."""
        self._serve(host_of(identity), self.guesses.space(self.host.limits))

    def clear(self) -> None:
        """Nobody waits any longer."""
        if self.hosts:
            self.hosts.clear()
            self.queues.clear()
            self.post(TurnsInput.DESERTED())

    # -- the timer and its action

    def until_next(self) -> float:
        return self.next_answer - self.host.clock

    def call_next(self) -> None:
        """A host that has just been served lets those pass that came meanwhile."""
        if self.served in self.queues:
            self.queues.move_to_end(self.served)
        host, queue = next(iter(self.queues.items()))
        uid, space = next(iter(queue.items()))
        self._remove(uid)
        self._serve(host, space)
        self.host.has_turn(uid)
        if self.hosts:
            self.post(TurnsInput.JOINED())

    # -- inside

    def _remove(self, uid: int) -> None:
        host = self.hosts.pop(uid)
        queue = self.queues[host]
        del queue[uid]
        if not queue:
            del self.queues[host]

    def _serve(self, host: str, space: float) -> None:
        self.next_answer = self.host.clock + space
        if space:
            self.served = host


def host_of(identity: str) -> str:
    """The host of ``address:port``; of IPv6 the network, of which a host has all addresses; "" for what is neither.

    So all that are no addresses count as one host: names can be made up.
    """
    try:
        address = ip_address(identity.rpartition(":")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Address(int(address) >> 64 << 64))


class TurnsTimer:
    TURN = Timer(TurnsInput.TURN, Turns.until_next)


_S, _I, _T = TurnsState, TurnsInput, TurnsTimer

TURNS: Final = Table[Turns, TurnsState](
    Turns,
    TurnsInput,
    TurnsTimer,
    name="bob.turns",
    initial=_S.NOBODY,
    idle={_S.NOBODY: "the next exchange that has to wait"},
    rows=(
        Row(_S.NOBODY, _I.JOINED, _S.SOMEBODY, arm=(_T.TURN,), ref="turns"),
        Row(_S.SOMEBODY, _I.TURN, _S.NOBODY, Turns.call_next, ref="turns"),
        Row(_S.SOMEBODY, _I.DESERTED, _S.NOBODY, cancel=(_T.TURN,), ref="turns"),
    ),
    defaults=(Default(Outcome.IGNORE, "stale"),),
)
