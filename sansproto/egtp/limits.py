"""How much and how long: what every machine of EGTP may use. Times are seconds, sizes bytes."""

from __future__ import annotations

import attrs

from ..limits import seconds, some
from ..links import LinkDelays, LinkLimits
from .packets import MAX_BLOB, MAX_FRAME, MAX_MESSAGE, PIPELINE


def _up_to(default: int, most: int) -> int:
    """A field of limits that a number on the wire bounds."""
    return attrs.field(default=default, validator=[attrs.validators.ge(1), attrs.validators.le(most)])


@attrs.frozen(kw_only=True)
class MailboxServerDelays(LinkDelays):
    """A mailbox server's times."""

    handshake: float = seconds(10.0)
    """From the connection to the end of the handshake."""
    idle: float = seconds(600.0)
    """Between two requests of a connection."""
    ending: float = seconds(30.0)
    """From a fault of the client until it has taken the answers before it."""
    retention: float = seconds(7 * 86400.0)
    """How long a message is kept."""
    unpolled: float = seconds(30 * 86400.0)
    """How long a mailbox is kept without a poll."""
    seen: float = seconds(86400.0)
    """How often the store records that a mailbox is polled."""


@attrs.frozen(kw_only=True)
class MailboxServerLimits(LinkLimits):
    """A mailbox server's bounds. What is stored counts with what is still on its way to the store."""

    links: int = some(8192)
    """Streams at once."""
    events: int = some(4096)
    """Events that are not yet popped: over it nothing is read."""
    links_of_group: int = some(256)
    """Streams at once of one group of addresses."""
    max_blob: int = _up_to(16_384, MAX_BLOB)
    """Bytes of one message."""
    pipeline: int = some(PIPELINE)
    """Requests of one connection that wait for their answers; a client that exceeds it is cut."""
    unsent: int = some(1 << 16)
    """Bytes of output of one connection: over it its requests wait, and it is not read."""
    mailboxes: int = some(65_536)
    """Mailboxes; a group of addresses gets no more than 1 % of what is left."""
    new_mailboxes: int = some(16)
    """New mailboxes of one group of addresses, at once."""
    new_mailbox_rate: int = some(1)
    """More of these in each second."""
    groups: int = some(1024)
    """Groups of addresses whose new mailboxes are counted."""
    mailbox_messages: int = _up_to(256, 65_535)
    """Messages in one mailbox."""
    mailbox_bytes: int = some(1 << 20)
    """Bytes in one mailbox."""
    mailbox_messages_of_group: int = some(64)
    """Messages in one mailbox out of one group of addresses."""
    stored_messages: int = some(1 << 18)
    """Messages in all mailboxes; a group of addresses gets no more than 1 % of what is left."""
    stored_bytes: int = some(1 << 28)
    """Bytes in all mailboxes; shared in the same way."""
    deposits: int = some(64)
    """Deposits of one connection, at once."""
    deposit_rate: int = some(20)
    """More of these in each second."""


@attrs.frozen(kw_only=True)
class MailboxClientDelays(LinkDelays):
    """A mailbox client's times."""

    answer: float = seconds(60.0)
    """For each answer of the server."""


@attrs.frozen(kw_only=True)
class MailboxClientLimits(LinkLimits):
    """A mailbox client's bounds."""

    links: int = some(2)
    """Streams at once: one may begin while another one ends."""
    pipeline: int = _up_to(PIPELINE, PIPELINE)
    """Requests that wait for their answers."""
    max_frame: int = _up_to(MAX_FRAME, MAX_FRAME)
    """Bytes of one frame of the server."""


@attrs.frozen(kw_only=True)
class NodeDelays(MailboxClientDelays):
    """A node's times, besides those of :class:`~sansproto.recovery.RecoveryDelays`."""

    poll: float = seconds(60.0)
    """Between two polls of a mailbox, a tenth more or less."""
    redial: float = seconds(5.0)
    """From a lost connection to a mailbox server until the next try; doubled each time, up to ``poll``. And between two
    reports of another network for which all connections are made anew."""
    unused: float = seconds(30.0)
    """How long an unused connection to another node's mailbox is kept."""
    farewell: float = seconds(2.0)
    """From the last goodbye until the end; meanwhile a peer that did not get the goodbye gets it again."""
    handover: float = seconds(10.0)
    """How long after that mailbox servers may take to accept the last packets."""


@attrs.frozen(kw_only=True)
class NodeLimits(MailboxClientLimits):
    """A node's bounds, besides those of :class:`~sansproto.recovery.RecoveryLimits`."""

    links: int = some(96)
    """Streams at once."""
    events: int = some(1024)
    """Events that are not popped yet; over it arriving packets are dropped, and mailboxes are not read."""
    outbox: int = some(1024)
    """Datagrams that the transport has not taken yet; over it nothing is sent, and arriving packets are dropped."""
    message: int = _up_to(1198, MAX_MESSAGE)
    """Bytes of one message that is sent."""
    depositors: int = some(64)
    """Mailboxes of other nodes into which packets are put at the same time."""
    deposits: int = some(32)
    """Packets that wait for one of them."""
    held: int = some(256)
    """H1s out of one mailbox that wait until they may be opened."""
    goodbyes: int = some(64)
    """Peers to whom one call says goodbye when the node is closed; the others follow at once."""
    paths: int = some(4096)
    """Paths whose serialised form is remembered."""
