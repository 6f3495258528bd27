"""Tox between friends: encrypted sessions over UDP and over TCP relays. docs/protocols/tox.rst.

:class:`RelayServer` is a relay that any client of Tox can use, :class:`RelayClient` uses one.
"""

from .crypto import KeyPair
from .limits import RelayClientDelays, RelayClientLimits, RelayServerDelays, RelayServerLimits
from .nodes import Relay
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
    "KeyPair",
    "Linked",
    "OobReceived",
    "Relay",
    "RelayClient",
    "RelayClientDelays",
    "RelayClientEvent",
    "RelayClientJoined",
    "RelayClientLeft",
    "RelayClientLimits",
    "RelayConnected",
    "RelayLost",
    "RelayServer",
    "RelayServerDelays",
    "RelayServerEvent",
    "RelayServerLimits",
    "RelayViolation",
    "RelayedReceived",
    "RouteRefused",
    "Routed",
    "Unlinked",
]
