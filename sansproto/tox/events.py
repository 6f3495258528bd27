"""What a node tells its application."""

from __future__ import annotations

from enum import Enum
from typing import Never, TypeAlias

import attrs

from ..events import Closed
from .nodes import Relay
from .packets import FileControl, FileData, FileRequest, FriendRequest
from .relay_events import RelayConnected, RelayLost


class Presence(Enum):
    """What a friend says of itself."""

    NONE = 0
    """It is there."""
    AWAY = 1
    """It is not at its keyboard."""
    BUSY = 2
    """It does not want to be disturbed."""


class OfflineReason(Enum):
    """Why a friend is not online any more."""

    SAID = 0
    """It said so: it ends, or does not want to listen."""
    RESTARTED = 1
    """Another session took the place of the one that was in use: what the friend knew in it is gone."""
    SILENT = 2
    """Nothing came from it for too long."""
    REMOVED = 3
    """This end removed it, or was closed."""


@attrs.frozen
class FriendOnline:
    """A friend listens: messages and packets may be sent."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    session: int = 1
    """The session's number, which ``session_number`` gives as long as it is this one: so often it has come online."""


@attrs.frozen
class FriendOffline:
    """A friend does not listen any more. What had not arrived was told as :class:`Undelivered` before."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    reason: OfflineReason
    """Why."""


@attrs.define(weakref_slot=False)
class MessageReceived:
    """A message of a friend."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    text: str = attrs.field(repr=lambda text: f"<{len(text)} characters>")
    """What it says."""
    is_action: bool = False
    """It tells what the friend does: "/me waves"."""


@attrs.define(weakref_slot=False)
class MessageDelivered:
    """A message of ours has arrived."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """The real key of the friend."""
    number: int
    """The message, as ``send_message`` numbered it."""


@attrs.frozen
class Undelivered:
    """What is not known to have arrived, and is not sent any more: each message and packet is told once."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """The real key of the friend."""
    messages: tuple[int, ...]
    """Messages, as ``send_message`` numbered them."""
    packets: tuple[bytes, ...] = attrs.field(repr=lambda packets: f"<{len(packets)} packets>")
    """Custom lossless packets, in the order in which they were given."""


@attrs.define(weakref_slot=False)
class CustomReceived:
    """A custom packet of a friend. Its first byte, the id, says whether it is lossless or lossy."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """The packet with its id."""


@attrs.frozen
class FriendWritable:
    """``send`` takes packets for this friend again, after it had refused some."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""


@attrs.frozen
class NameChanged:
    """A friend says its name."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    name: str
    """The name."""


@attrs.frozen
class StatusMessageChanged:
    """A friend says what it does."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    message: str
    """What it says."""


@attrs.frozen
class PresenceChanged:
    """A friend says whether it is there."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    presence: Presence
    """What it says."""


@attrs.frozen
class TypingChanged:
    """A friend types, or has stopped to."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    is_typing: bool
    """Which."""


@attrs.frozen
class RelaysShared:
    """A friend says at which relays it can be met."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    relays: tuple[Relay, ...]
    """At most three."""


class DemotionReason(Enum):
    """What speaks against a relay."""

    GARBLED = 0
    """Packets through it do not open: it has changed them, or the friend sends such."""
    SILENT = 1
    """It answers, but nothing comes through it that should have come."""


@attrs.frozen
class RelayDemoted:
    """A relay is not used for this friend for 30 seconds, and then asked for it again; sooner if no other way is left.

    Each time that this happens it is four times as long, up to 600 seconds. For other friends nothing changes.
    """

    relay: bytes = attrs.field(repr=bytes.hex)
    """The relay's key."""
    friend: bytes = attrs.field(repr=bytes.hex)
    """The friend's real key."""
    reason: DemotionReason
    """Why."""


@attrs.frozen
class FriendPacketReceived:
    """A packet of a friend that is left to the program: it asks for friendship, or is about a file."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    packet: FriendRequest | FileRequest | FileControl | FileData
    """What it sent."""


ToxEvent: TypeAlias = (
    RelayConnected
    | RelayLost
    | FriendOnline
    | FriendOffline
    | MessageReceived
    | MessageDelivered
    | Undelivered
    | CustomReceived
    | FriendWritable
    | NameChanged
    | StatusMessageChanged
    | PresenceChanged
    | TypingChanged
    | RelaysShared
    | RelayDemoted
    | FriendPacketReceived
    | Closed[Never]
)
"""All of them."""
