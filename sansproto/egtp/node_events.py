"""What a node tells its application, besides what the recovery core tells."""

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
    """Where it listens."""


@attrs.define(weakref_slot=False)
class MessageReceived:
    """A message of a peer, for the first and only time. (Not frozen: this is the bulk path.)"""

    peer: bytes = attrs.field(repr=bytes.hex)
    """Who sent it."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """What it is."""
    generation: int = attrs.field(kw_only=True)
    """Of the session that it came in."""
    handle: bytes = attrs.field(kw_only=True)
    """The session."""
    stale: bool = attrs.field(default=False, kw_only=True)
    """An instance of the peer sent it that was replaced since: it must not enter the new state."""


@attrs.frozen
class MailboxReachable:
    """The mailbox at a server is polled from now on."""

    server: bytes = attrs.field(repr=bytes.hex)
    """The server's key."""


@attrs.frozen
class MailboxUnreachable:
    """The connection to a mailbox server was lost, or could not be made; it is tried again, and that is told no more
    until it is reached. A server that closes before it is ever reached may have another key.
    """

    server: bytes = attrs.field(repr=bytes.hex)
    """The server's key."""
    cause: CloseCause
    """How it ended."""
    violation: MailboxViolation | None = attrs.field(default=None, kw_only=True)
    """How the server broke the protocol, or what it said; None if ``cause`` says it all."""


EgtpEvent: TypeAlias = (
    RecoveryEvent | MessageReceived | MailboxReachable | MailboxUnreachable | Writable | Closed[Never]
)
"""All that a node tells."""
