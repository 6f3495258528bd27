"""What mailbox servers and clients tell their applications; what a server wants to be stored is an event, too."""

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
    group: bytes
    """Of the address from which it was deposited."""
    at: int
    """When: milliseconds since 1970."""


@attrs.frozen(kw_only=True)
class StoredMailbox:
    """A mailbox, as a store keeps it."""

    mailbox: bytes = attrs.field(repr=bytes.hex)
    """Its id, 32 bytes."""
    epoch: bytes
    """8 random bytes, drawn when it was made."""
    group: bytes
    """Of the address from which it was made."""
    polled_at: int
    """When it was last polled, or nearly: milliseconds since 1970."""
    floor: int = 0
    """The highest number that its owner acknowledged."""
    last_seq: int = 0
    """The number of the last message that was put into it; 0: none."""
    messages: tuple[StoredMessage, ...] = ()
    """What is in it, by number."""


@attrs.frozen
class MailboxMade:
    """Store a new mailbox. One that was there under this id is gone."""

    stored: StoredMailbox
    """It is empty."""


@attrs.frozen
class MessageAdded:
    """Store a message; its number is the last one of the mailbox now."""

    mailbox: bytes = attrs.field(repr=bytes.hex)
    """The id."""
    message: StoredMessage
    """What is put into it."""


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
    """Counted up from 1."""
    change: StoreChange
    """What has to last."""


MailboxServerEvent: TypeAlias = StoreWanted | Closed[Never]
"""All that a mailbox server tells."""


class MailboxViolation(Enum):
    """How a mailbox server broke the protocol, or why it closed (``Closed.violation``)."""

    BAD_FRAME = 0
    """A frame that is empty, too short or too long."""
    BAD_HANDSHAKE = 1
    """The server's part of the handshake does not open: it does not have the key that was expected."""
    BAD_SEAL = 2
    """A frame does not open: somebody changed the data."""
    BAD_MESSAGE = 3
    """A sealed message that is none, or not the one that was due."""
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
    """The server has no room for us, or we ask too much at once."""


@attrs.frozen
class MailboxOpen:
    """The connection stands: what the server takes."""

    max_blob: int
    """Bytes of the largest message."""
    max_stored: int
    """Messages that a mailbox holds."""
    retention: int = attrs.field(kw_only=True)
    """Seconds for which a message is kept."""


@attrs.frozen
class MailboxRegistered:
    """This connection is the owner's."""

    epoch: bytes
    """8 bytes; others than before mean that the mailbox was made anew, and counts its messages from 1 again."""
    stored: int
    """Messages in it."""


@attrs.frozen
class MailboxMessage:
    """A message out of the mailbox. Each number comes once per connection, and the lowest first."""

    seq: int
    """Its number in this epoch of the mailbox."""
    blob: bytes = attrs.field(repr=lambda blob: f"<{len(blob)} bytes>")
    """The message."""


@attrs.frozen
class MailboxPollDone:
    """The poll is answered."""

    sent: int
    """Messages that came."""
    left: int
    """Messages that another poll would give."""


@attrs.frozen
class MailboxAcked:
    """The server has erased what was acknowledged."""

    floor: int
    """The highest number that was acknowledged."""
    stored: int
    """Messages in the mailbox."""


@attrs.frozen
class MailboxDeposited:
    """A deposit is answered."""

    tag: int
    """As ``deposit`` returned it."""
    stored: bool
    """False: the server did not take it, and does not say why."""


MailboxClientEvent: TypeAlias = (
    MailboxOpen
    | MailboxRegistered
    | MailboxMessage
    | MailboxPollDone
    | MailboxAcked
    | MailboxDeposited
    | Closed[MailboxViolation]
)
"""All that a mailbox client tells."""
