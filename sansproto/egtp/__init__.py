"""EGTP: restart-safe encrypted sessions over datagrams and polled mailboxes.

:class:`MailboxServer` keeps packets for nodes that cannot be reached; :class:`MailboxClient` talks to one.
docs/protocols/egtp.rst has their bytes and rules.
"""

from .crypto import KeyPair, mailbox_id, public_key
from .limits import MailboxClientDelays, MailboxClientLimits, MailboxServerDelays, MailboxServerLimits
from .mailbox_client import MailboxClient
from .mailbox_events import (
    MailboxAcked,
    MailboxClientEvent,
    MailboxDeposited,
    MailboxMade,
    MailboxMessage,
    MailboxOpen,
    MailboxPollDone,
    MailboxPolled,
    MailboxRegistered,
    MailboxRemoved,
    MailboxServerEvent,
    MailboxViolation,
    MessageAdded,
    MessagesErased,
    StoreChange,
    StoredMailbox,
    StoredMessage,
    StoreWanted,
)
from .mailbox_server import MAILBOX_PORT, MailboxServer

__all__ = [
    "MAILBOX_PORT",
    "KeyPair",
    "MailboxAcked",
    "MailboxClient",
    "MailboxClientDelays",
    "MailboxClientEvent",
    "MailboxClientLimits",
    "MailboxDeposited",
    "MailboxMade",
    "MailboxMessage",
    "MailboxOpen",
    "MailboxPollDone",
    "MailboxPolled",
    "MailboxRegistered",
    "MailboxRemoved",
    "MailboxServer",
    "MailboxServerDelays",
    "MailboxServerEvent",
    "MailboxServerLimits",
    "MailboxViolation",
    "MessageAdded",
    "MessagesErased",
    "StoreChange",
    "StoreWanted",
    "StoredMailbox",
    "StoredMessage",
    "mailbox_id",
    "public_key",
]
