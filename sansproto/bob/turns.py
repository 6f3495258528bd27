"""Whose answer goes out next: one after another, and a host after another. docs/protocols/bob.rst, turns."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv4Address, IPv6Address, ip_address

import attrs

from ..contract import Instant
from .limits import PeerLimits
from .tables.peer import TurnsState

SHARE = 10
"""One host has no more places than a tenth of those that are left.

In larger tables it is a hundredth. But here are 1,000 places at most, and who gets none is not answered at all: ten
would turn away the honest peers of a house with one address. Ten hosts that take all they can leave a third.
"""


@attrs.define(eq=False, weakref_slot=False)
class Guesses:
    """How often an exchange failed, in total and with each peer."""

    total: int = 0
    of: dict[int, int] = attrs.field(factory=dict)
    mismatched: set[int] = attrs.field(factory=set)  # a client's: with whom it failed because of the password

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


@attrs.define(eq=False, weakref_slot=False)
class Turns:
    """The exchanges that wait for their turn, and when the next of them has it."""

    state: TurnsState = TurnsState.NOBODY
    key: int = 0
    next_answer: Instant = 0.0
    served: str = ""  # the host that had the last answer behind which others have to wait
    hosts: dict[int, str] = attrs.field(factory=dict)  # of all who wait, by their uid
    queues: OrderedDict[str, OrderedDict[int, float]] = attrs.field(factory=OrderedDict)
    """Who waits of each host, the first first, with the space behind its answer; the hosts in the order of turns."""

    def is_busy(self, now: float) -> bool:
        """Has who comes now to wait?"""
        return bool(self.hosts) or self.next_answer > now

    def is_full(self, identity: str, guesses: int) -> bool:
        """Has this host its share? Those who wait will guess, too: no more of them than guesses are left."""
        left = guesses - len(self.hosts)
        return len(self.queues.get(host_of(identity), ())) >= -(-left // SHARE)

    def join(self, uid: int, identity: str, space: float) -> bool:
        """Wait. The space is that of the moment when it came: who comes with many at once is kept from few others.

        True if it is the only one.
        """
        host = self.hosts[uid] = host_of(identity)
        self.queues.setdefault(host, OrderedDict())[uid] = space
        return len(self.hosts) == 1

    def leave(self, uid: int) -> bool:
        """It waits no longer, if it did. True if it was the last one."""
        host = self.hosts.pop(uid, None)
        if host is None:
            return False
        queue = self.queues[host]
        del queue[uid]
        if not queue:
            del self.queues[host]
        return not self.hosts

    def call(self, now: float) -> int:
        """Who is the next? A host that has just been served lets those pass that came meanwhile."""
        if self.served in self.queues:
            self.queues.move_to_end(self.served)
        host, queue = next(iter(self.queues.items()))
        uid, space = next(iter(queue.items()))
        self.leave(uid)
        self._serve(host, now, space)
        return uid

    def take(self, identity: str, now: float, space: float) -> None:
        """It is answered at once. Who comes later waits for that only if answers have a space."""
        self._serve(host_of(identity), now, space)

    def _serve(self, host: str, now: float, space: float) -> None:
        self.next_answer = now + space
        if space:
            self.served = host

    def clear(self) -> None:
        self.hosts.clear()
        self.queues.clear()


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
