"""Bob: two peers who share a password find each other at a relay and move a file through it, encrypted end to end.

:class:`Server` sends, :class:`Client` receives, :class:`Relay` introduces them; :class:`Channel` is the encrypted
stream alone, :mod:`sansproto.bob.pack` the format of the file within it, :mod:`sansproto.bob.transfer` the records that
two ends of this library exchange beyond it. docs/protocols/bob.rst has the details.
"""

from .channel import Channel
from .client import Client
from .crypto import RecordKey
from .events import (
    ChannelEvent,
    Connected,
    Departure,
    Failure,
    PeerAgreed,
    PeerEvent,
    PeerFailed,
    PeerJoined,
    PeerLeft,
    Registered,
    RelayEvent,
    Role,
    RoomClosed,
    RoomOpened,
    Violation,
)
from .limits import PeerDelays, PeerLimits, RelayDelays, RelayLimits
from .pack import FileAnnounced, FileData, FileVerified, PackError, PackFault, PackReader, PackWriter, safe_name
from .packets import Cipher, Receipt, ReceiptReason, ReceiptRecord
from .relay import RELAY_PORT, SECURE_PORT, Relay
from .server import Server
from .transfer import (
    MetadataReceived,
    SenderFailed,
    TransferError,
    TransferEvent,
    TransferFault,
    TransferReader,
    TransferWriter,
)

__all__ = [
    "RELAY_PORT",
    "SECURE_PORT",
    "Channel",
    "ChannelEvent",
    "Cipher",
    "Client",
    "Connected",
    "Departure",
    "Failure",
    "FileAnnounced",
    "FileData",
    "FileVerified",
    "MetadataReceived",
    "PackError",
    "PackFault",
    "PackReader",
    "PackWriter",
    "PeerAgreed",
    "PeerDelays",
    "PeerEvent",
    "PeerFailed",
    "PeerJoined",
    "PeerLeft",
    "PeerLimits",
    "Receipt",
    "ReceiptReason",
    "ReceiptRecord",
    "RecordKey",
    "Registered",
    "Relay",
    "RelayDelays",
    "RelayEvent",
    "RelayLimits",
    "Role",
    "RoomClosed",
    "RoomOpened",
    "SenderFailed",
    "Server",
    "TransferError",
    "TransferEvent",
    "TransferFault",
    "TransferReader",
    "TransferWriter",
    "Violation",
    "safe_name",
]
