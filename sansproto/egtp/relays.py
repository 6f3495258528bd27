"""The mailboxes that a node polls, and those of others that it writes to. docs/protocols/egtp.rst, over mailboxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Protocol

from ..component import Part, Parts, Refusal
from ..contract import Address, Link
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


class Relays(Part[RelaysHost]):
    """All connections to mailbox servers."""

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

    def redial(self) -> None:
        """The network is another one: connections over the old one may be dead."""
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
