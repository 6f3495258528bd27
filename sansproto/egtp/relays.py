"""The mailboxes that a node polls, and those of others that it writes to. docs/protocols/egtp.rst, over mailboxes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Final, Protocol

from ..component import Component, Host, Part, Parts, Refusal
from ..contract import Address, Instant, Link
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .depositor import Depositor, DepositorHost, DepositorInput, DepositorState
from .limits import NodeDelays, NodeLimits
from .mailbox_connection import MailboxConnection
from .own_mailbox import OwnMailbox, OwnMailboxHost, OwnMailboxInput

HAS_LEFT: Final = Refusal("a closed node writes to no mailbox", ref="closing a node")
NO_RELAY: Final = Refusal("no mailbox at this server", ref="over mailboxes")
TOO_MANY_MAILBOXES: Final = Refusal("too many mailboxes are written to", ref="over mailboxes")


class RelaysHost(OwnMailboxHost, DepositorHost, Protocol):
    """What these ask of their node."""

    delays: NodeDelays
    limits: NodeLimits

    def redial_mailboxes(self) -> None: ...


class RedialsState(Enum):
    READY = 0
    WAITING = 1
    """Another report came soon after the one before: it is carried out in its time."""


class RedialsInput:
    REPORTED = Input[RedialsState, None]()
    DUE = Input[RedialsState, None]()


class RedialsHost(Host[Any], Protocol):
    """What they ask of their node."""

    delays: NodeDelays

    def redial_mailboxes(self) -> None: ...


class Redials(Component[RedialsState, RedialsHost]):
    """Reports of another network: a storm of them must not end each connection before it stands."""

    next_time: Instant

    def __init__(self, host: RedialsHost) -> None:
        super().__init__(host)
        self.next_time = 0.0

    def is_early(self) -> bool:
        return self.host.clock < self.next_time

    def until_due(self) -> float:
        return self.next_time - self.host.clock

    def redial(self) -> None:
        self.next_time = self.host.clock + self.host.delays.redial
        self.host.redial_mailboxes()


class RedialsTimer:
    LATER = Timer(RedialsInput.DUE, Redials.until_due)


REDIALS: Final = Table[Redials, RedialsState](
    Redials,
    RedialsInput,
    RedialsTimer,
    name="egtp.redials",
    initial=RedialsState.READY,
    idle={RedialsState.READY: "a report of the host"},
    rows=(
        Row(
            *(RedialsState.READY, RedialsInput.REPORTED, RedialsState.WAITING),
            when=Redials.is_early,
            arm=(RedialsTimer.LATER,),
            ref="over mailboxes",
        ),
        Row(RedialsState.READY, RedialsInput.REPORTED, None, Redials.redial, ref="over mailboxes"),
        Row(RedialsState.WAITING, RedialsInput.REPORTED, None, ref="over mailboxes"),
        Row(RedialsState.WAITING, RedialsInput.DUE, RedialsState.READY, Redials.redial, ref="over mailboxes"),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)


class Relays(Part[RelaysHost]):
    """All connections to mailbox servers."""

    redials: Redials
    own: Parts[bytes, OwnMailbox]
    """By the server's key."""
    depositors: Parts[tuple[bytes, bytes], Depositor]
    """By the server's key and the id of the mailbox, the one that was used last at the end."""
    made: int
    """Depositors so far."""
    lost: int
    """Packets that no mailbox server took."""
    is_stopped: bool
    """The node has left: only what was written already goes out."""
    by_link: Annotated[dict[Link, MailboxConnection], CACHED]
    addresses: Annotated[Mapping[bytes, Address], CACHED]

    def __init__(self, host: RelaysHost, addresses: Mapping[bytes, Address]) -> None:
        super().__init__(host)
        delays, limits = host.delays, host.limits
        self.addresses, self.made, self.lost, self.is_stopped, self.by_link = addresses, 0, 0, False, {}
        self.redials = Redials(host)
        self.own = Parts(lambda server: OwnMailbox(host, server, addresses[server], delays, limits))
        self.depositors = Parts(lambda key: Depositor(host, key, addresses[key[0]], limits))
        for server in addresses:
            self.own.add(server)

    def rebuild(self) -> None:
        self.by_link = {}
        owners: list[OwnMailbox | Depositor] = [*self.own.values(), *self.depositors.values()]
        for owner in owners:
            connection = owner.connection.part
            if connection is not None and connection.link:
                self.by_link[connection.link] = connection

    # -- for the node

    @property
    def under_way(self) -> int:
        """Packets that a mailbox server has yet to take."""
        return sum(len(one.waiting) + one.under_way for one in self.depositors.values())

    def put(self, server: bytes, mailbox: bytes, packet: bytes) -> None:
        """A packet for somebody else's mailbox."""
        if self.is_stopped:
            self.host.lose_packet(HAS_LEFT, self)
            return
        if server not in self.addresses:
            self.host.lose_packet(NO_RELAY, self)
            return
        found = self.depositors.get((server, mailbox))
        if found is None and not self._has_room():
            self.host.lose_packet(TOO_MANY_MAILBOXES, self)
            return
        if found is None:
            self.made += 1
            found = self.depositors.add((server, mailbox), Depositor.begin, self.made)
        found.post(DepositorInput.PUT(packet))

    def network_changed(self) -> None:
        """Connections over the network before may be dead."""
        self.redials.post(RedialsInput.REPORTED())

    def redial(self) -> None:
        """Make all connections anew."""
        for mailbox in self.own.values():
            mailbox.post(OwnMailboxInput.REDIAL())
        for depositor in self.depositors.values():
            depositor.post(DepositorInput.REDIAL())

    def stop(self) -> None:
        """Poll no more, and write no more: the node is about to close all links."""
        self.is_stopped = True
        for mailbox in self.own.values():
            mailbox.post(OwnMailboxInput.STOP())
        self.depositors.remove_all()

    def connection(self, link: Link) -> MailboxConnection | None:
        """Whose link it is; None: nobody's any more, it is on its way to its end."""
        return self.by_link.get(link)

    def forget_link(self, link: Link) -> None:
        connection = self.by_link.pop(link, None)
        if connection is not None:
            connection.link_gone()

    # -- inside

    def _has_room(self) -> bool:
        """A connection that nobody uses makes room."""
        if len(self.depositors) < self.host.limits.depositors:
            return True
        idle = next((one for one in self.depositors.values() if one.state is DepositorState.IDLE), None)
        if idle is None:
            return False
        idle.leave()
        return True
