"""Freenet's transport: sessions with peers that are known by their address, and survive the restart of either end.

:class:`FreenetGateway` lets in every peer that knows its key; :class:`FreenetPeer` calls gateways and other peers.
docs/protocols/freenet.rst has the bytes and the rules.
"""

from .crypto import KeyPair
from .events import (
    Confirmed,
    Connected,
    FreenetEvent,
    MessageReceived,
    PathConflict,
    PeerLost,
    Refused,
    StreamReceived,
    Unreachable,
)
from .gateway import FreenetGateway
from .limits import FreenetDelays, FreenetLimits
from .peer import FreenetPeer
from .versions import OURS, Version

__all__ = [
    "OURS",
    "Confirmed",
    "Connected",
    "FreenetDelays",
    "FreenetEvent",
    "FreenetGateway",
    "FreenetLimits",
    "FreenetPeer",
    "KeyPair",
    "MessageReceived",
    "PathConflict",
    "PeerLost",
    "Refused",
    "StreamReceived",
    "Unreachable",
    "Version",
]
