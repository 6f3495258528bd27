"""Tox between two friends: sessions over UDP and relays, on the wire of toxcore. docs/protocols/tox.rst.

:class:`ToxNode` keeps sessions with friends. :class:`RelayServer` is a relay that any client of Tox can use,
:class:`RelayClient` uses one.
"""

from ..proxies import Proxy, ProxyFailure, ProxyKind
from ..recovery import RecoveryConfig, RecoveryDelays, RecoveryLimits
from .crypto import KeyPair
from .events import (
    CustomReceived,
    DemotionReason,
    FriendOffline,
    FriendOnline,
    FriendPacketReceived,
    FriendWritable,
    MessageDelivered,
    MessageReceived,
    NameChanged,
    OfflineReason,
    Presence,
    PresenceChanged,
    RelayDemoted,
    RelaysShared,
    StatusMessageChanged,
    ToxEvent,
    TypingChanged,
    Undelivered,
)
from .limits import (
    NodeDelays,
    NodeLimits,
    RelayClientDelays,
    RelayClientLimits,
    RelayServerDelays,
    RelayServerLimits,
)
from .node import ToxNode
from .nodes import Relay
from .outgoing import Pace
from .packets import FileControl, FileData, FileRequest, FriendRequest
from .relay_client import RelayClient
from .relay_events import (
    Linked,
    OobReceived,
    RelayClientEvent,
    RelayClientJoined,
    RelayClientLeft,
    RelayConnected,
    RelayedReceived,
    RelayLost,
    RelayServerEvent,
    RelayViolation,
    Routed,
    RouteRefused,
    Unlinked,
)
from .relay_server import RELAY_PORT, RelayServer

__all__ = [
    "RELAY_PORT",
    "CustomReceived",
    "DemotionReason",
    "FileControl",
    "FileData",
    "FileRequest",
    "FriendOffline",
    "FriendOnline",
    "FriendPacketReceived",
    "FriendRequest",
    "FriendWritable",
    "KeyPair",
    "Linked",
    "MessageDelivered",
    "MessageReceived",
    "NameChanged",
    "NodeDelays",
    "NodeLimits",
    "OfflineReason",
    "OobReceived",
    "Pace",
    "Presence",
    "PresenceChanged",
    "Proxy",
    "ProxyFailure",
    "ProxyKind",
    "RecoveryConfig",
    "RecoveryDelays",
    "RecoveryLimits",
    "Relay",
    "RelayClient",
    "RelayClientDelays",
    "RelayClientEvent",
    "RelayClientJoined",
    "RelayClientLeft",
    "RelayClientLimits",
    "RelayConnected",
    "RelayDemoted",
    "RelayLost",
    "RelayServer",
    "RelayServerDelays",
    "RelayServerEvent",
    "RelayServerLimits",
    "RelayViolation",
    "RelayedReceived",
    "RelaysShared",
    "RouteRefused",
    "Routed",
    "StatusMessageChanged",
    "ToxEvent",
    "ToxNode",
    "TypingChanged",
    "Undelivered",
    "Unlinked",
]
