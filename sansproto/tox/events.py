"""Events of a node."""

from __future__ import annotations

from enum import Enum
from typing import Never, TypeAlias

import attrs

from ..events import Closed
from .nodes import Relay
from .packets import FileControl, FileData, FileRequest, FriendRequest
from .relay_events import RelayConnected, RelayLost


class Presence(Enum):
    """What a friend says about itself."""

    NONE = 0
    """It is there."""
    AWAY = 1
    """It is not at its keyboard."""
    BUSY = 2
    """It does not want to be disturbed."""


class OfflineReason(Enum):
    """Why a friend is not online any more."""

    SAID = 0
    """The friend said goodbye."""
    RESTARTED = 1
    """A new session replaced the one in use: the friend has lost the state of the old session."""
    SILENT = 2
    """Nothing came from it for too long."""
    REMOVED = 3
    """This end called ``remove_friend`` or ``close``."""


@attrs.frozen
class FriendOnline:
    """A friend is online: it takes messages and packets."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    session: int = 1
    """How often this friend has come online. ``session_number`` gives this number while this session lasts."""


@attrs.frozen
class FriendOffline:
    """A friend is not online any more. If something had not arrived, ``Undelivered`` came before. If the friend only
    says that it does not listen, the session goes on: then ``MessageDelivered`` or ``Undelivered`` comes later."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    reason: OfflineReason
    """Why."""


@attrs.define(weakref_slot=False)
class MessageReceived:
    """A friend sent a message."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    text: str = attrs.field(repr=lambda text: f"<{len(text)} characters>")
    """The message. ``send_message`` may refuse it: it may be empty, and may be too long if it came as bytes that are
    not UTF-8."""
    is_action: bool = False
    """True if the text says what the friend does, like "/me waves"."""


@attrs.define(weakref_slot=False)
class MessageDelivered:
    """A message of ours has arrived at the friend's node."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """The real key of the friend."""
    number: int
    """The message, as ``send_message`` numbered it."""


@attrs.frozen
class Undelivered:
    """Messages and packets that may not have arrived, and are not sent any more. Each one is listed once."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """The real key of the friend."""
    messages: tuple[int, ...]
    """Messages, as ``send_message`` numbered them."""
    packets: tuple[bytes, ...] = attrs.field(repr=lambda packets: f"<{len(packets)} packets>")
    """Custom lossless packets, in the order in which they were given."""


@attrs.define(weakref_slot=False)
class CustomReceived:
    """A friend sent a custom packet. Its first byte, the id, says whether it is lossless or lossy."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """The packet with its id."""


@attrs.frozen
class FriendWritable:
    """``send`` takes packets for this friend again, after it refused one."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""


@attrs.frozen
class NameChanged:
    """A friend sent its name."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    name: str
    """The name."""


@attrs.frozen
class StatusMessageChanged:
    """A friend sent its status message."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    message: str
    """The status message."""


@attrs.frozen
class PresenceChanged:
    """A friend sent its presence."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    presence: Presence
    """The presence."""


@attrs.frozen
class TypingChanged:
    """A friend started to type, or stopped."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    is_typing: bool
    """True if it started."""


@attrs.frozen
class RelaysShared:
    """A friend sent a list of relays at which it can be met."""

    friend: bytes = attrs.field(repr=bytes.hex)
    """Its real key."""
    relays: tuple[Relay, ...]
    """At most three."""


class DemotionReason(Enum):
    """The evidence against a relay."""

    GARBLED = 0
    """Packets that came through it do not open: the relay changed them, or the friend sends such packets."""
    SILENT = 1
    """The relay answers pings, but packets that should have come through it did not."""


@attrs.frozen
class RelayDemoted:
    """A relay failed this friend. The node does not use it for this friend for 30 seconds, if another way is open.

    Each further time it takes four times as long, up to 600 seconds. For other friends nothing changes.
    """

    relay: bytes = attrs.field(repr=bytes.hex)
    """The relay's key."""
    friend: bytes = attrs.field(repr=bytes.hex)
    """The friend's real key."""
    reason: DemotionReason
    """The evidence."""


@attrs.frozen
class FriendPacketReceived:
    """A friend sent a friend request or a packet about a file. The node leaves these to the application."""

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
"""All events of a node."""
