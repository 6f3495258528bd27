"""Events of a node, besides those of the recovery core."""

from __future__ import annotations

from typing import Never, TypeAlias

import attrs

from ..contract import Address
from ..events import CloseCause, Closed, Writable
from ..recovery import RecoveryEvent
from .mailbox_events import MailboxViolation


@attrs.frozen
class Relay:
    """A mailbox server at which a node has a mailbox."""

    key: bytes = attrs.field(repr=bytes.hex)
    """The server's static public key, 32 bytes."""
    address: Address
    """The address at which it listens."""


@attrs.define(weakref_slot=False)
class MessageReceived:
    """A peer sent a message. Each message comes up once. (Not frozen, for speed.)"""

    peer: bytes = attrs.field(repr=bytes.hex)
    """The public key of the peer that sent it."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """The message."""
    generation: int = attrs.field(kw_only=True)
    """The generation of the session in which it came."""
    handle: bytes = attrs.field(kw_only=True, repr=bytes.hex)
    """The id of that session."""
    stale: bool = attrs.field(default=False, kw_only=True)
    """The peer has restarted since it sent this: do not mix it into state that began after the restart."""


@attrs.frozen
class MailboxReachable:
    """The node has reached a mailbox server, and polls its mailbox there from now on."""

    server: bytes = attrs.field(repr=bytes.hex)
    """The server's key."""


@attrs.frozen
class MailboxUnreachable:
    """The connection to a mailbox server was lost, or could not be made. The node tries again.

    The event does not come again for this server before ``MailboxReachable``. A server that closes the connection
    before it was ever reached may have another key.
    """

    server: bytes = attrs.field(repr=bytes.hex)
    """The server's key."""
    cause: CloseCause
    """Why the connection ended."""
    violation: MailboxViolation | None = attrs.field(default=None, kw_only=True)
    """How the server broke the protocol, or what it said; None if ``cause`` says it all."""


EgtpEvent: TypeAlias = (
    RecoveryEvent | MessageReceived | MailboxReachable | MailboxUnreachable | Writable | Closed[Never]
)
"""All events of a node."""
