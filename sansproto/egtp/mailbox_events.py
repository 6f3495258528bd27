"""Events of mailbox servers and mailbox clients. What a server wants to have stored is an event, too."""

from __future__ import annotations

from enum import Enum
from typing import Never, TypeAlias

import attrs

from ..events import Closed


@attrs.frozen
class StoredMessage:
    """A message of a mailbox, as a store keeps it."""

    seq: int
    """Its number in the mailbox."""
    blob: bytes = attrs.field(repr=lambda blob: f"<{len(blob)} bytes>")
    """The message."""
    group: bytes = attrs.field(repr=bytes.hex)
    """The group of the address from which it was deposited."""
    at: int
    """When: milliseconds since 1970."""


@attrs.frozen(kw_only=True)
class StoredMailbox:
    """A mailbox, as a store keeps it."""

    mailbox: bytes = attrs.field(repr=bytes.hex)
    """Its id, 32 bytes."""
    epoch: bytes = attrs.field(repr=bytes.hex)
    """8 random bytes, drawn when it was made."""
    group: bytes = attrs.field(repr=bytes.hex)
    """The group of the address from which it was made."""
    polled_at: int
    """When it was last polled, or nearly: milliseconds since 1970."""
    floor: int = 0
    """The highest number that its owner acknowledged."""
    last_seq: int = 0
    """The number of the last message that was put into it; 0 if there was none."""
    messages: tuple[StoredMessage, ...] = ()
    """What is in it, by number."""


@attrs.frozen
class MailboxMade:
    """Store a new mailbox. If the store has one with this id, erase that one."""

    stored: StoredMailbox
    """The new mailbox, which is empty."""


@attrs.frozen
class MessageAdded:
    """Store a message. Its number is the mailbox's ``last_seq`` from now on."""

    mailbox: bytes = attrs.field(repr=bytes.hex)
    """The id."""
    message: StoredMessage
    """The message to store."""


@attrs.frozen
class MessagesErased:
    """Erase messages for good."""

    mailbox: bytes = attrs.field(repr=bytes.hex)
    """The id."""
    up_to: int
    """The highest number that is erased; all below it are erased too."""
    floor: int
    """The highest number that the owner acknowledged, from now on."""


@attrs.frozen
class MailboxPolled:
    """Store when a mailbox was polled."""

    mailbox: bytes = attrs.field(repr=bytes.hex)
    """The id."""
    at: int
    """Milliseconds since 1970."""


@attrs.frozen
class MailboxRemoved:
    """Erase a mailbox for good, with all that is in it."""

    mailbox: bytes = attrs.field(repr=bytes.hex)
    """The id."""


StoreChange: TypeAlias = MailboxMade | MessageAdded | MessagesErased | MailboxPolled | MailboxRemoved
"""What a store is asked to do."""


@attrs.frozen
class StoreWanted:
    """Store this change, after those with lower numbers, then call ``stored`` with the number."""

    number: int
    """The number of this change; the first one is 1."""
    change: StoreChange
    """The change."""


MailboxServerEvent: TypeAlias = StoreWanted | Closed[Never]
"""All events of a mailbox server."""


class MailboxViolation(Enum):
    """How a mailbox server broke the protocol, or why it closed (``Closed.violation``)."""

    BAD_FRAME = 0
    """A frame that is empty, too short or too long."""
    BAD_HANDSHAKE = 1
    """The server's part of the handshake does not open: it does not have the key that was expected."""
    BAD_SEAL = 2
    """A frame does not open: somebody changed the data."""
    BAD_MESSAGE = 3
    """The content of a frame is not a valid message, or not the answer that was due."""
    TYPE = 4
    """The server does not know a request of ours."""
    LENGTH = 5
    """The server does not take a request of this size."""
    FIELD = 6
    """The server does not take a value of ours."""
    ORDER = 7
    """The server did not expect this request now."""
    NOT_REGISTERED = 8
    """The server does not know us as the owner of a mailbox."""
    SUPERSEDED = 9
    """The owner registered on another connection."""
    LIMIT = 10
    """The server has no room for us, or we sent too many requests at once."""


@attrs.frozen
class MailboxOpen:
    """The connection is open. The fields are the limits of the server."""

    max_blob: int
    """The size of the largest message that it takes, in bytes."""
    max_stored: int
    """How many messages a mailbox holds."""
    retention: int = attrs.field(kw_only=True)
    """For how many seconds it keeps a message."""


@attrs.frozen
class MailboxRegistered:
    """The server knows us as the owner of the mailbox; now ``poll`` and ``ack`` may be called."""

    epoch: bytes = attrs.field(repr=bytes.hex)
    """8 bytes. If they have changed, the mailbox was made anew, and counts its messages from 1 again."""
    stored: int
    """How many messages are in it."""


@attrs.frozen
class MailboxMessage:
    """A message of the mailbox. Each number comes once per connection, the lowest first."""

    seq: int
    """Its number in this epoch of the mailbox."""
    blob: bytes = attrs.field(repr=lambda blob: f"<{len(blob)} bytes>")
    """The message."""


@attrs.frozen
class MailboxPollDone:
    """All messages that answer a poll have come."""

    sent: int
    """How many messages came."""
    left: int
    """How many messages are left for further polls."""


@attrs.frozen
class MailboxAcked:
    """The server has erased the messages that were acknowledged."""

    floor: int
    """The highest number that was acknowledged."""
    stored: int
    """How many messages are left in the mailbox."""


@attrs.frozen
class MailboxDeposited:
    """The server answered a deposit."""

    tag: int
    """The number that ``deposit`` returned."""
    stored: bool
    """False if the server did not take the message; it does not say why."""


MailboxClientEvent: TypeAlias = (
    MailboxOpen
    | MailboxRegistered
    | MailboxMessage
    | MailboxPollDone
    | MailboxAcked
    | MailboxDeposited
    | Closed[MailboxViolation]
)
"""All events of a mailbox client."""
