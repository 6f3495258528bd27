"""What a domain server tells its application."""

from __future__ import annotations

from enum import Enum
from typing import Never, TypeAlias

import attrs

from ..contract import Path
from ..events import Closed
from .ice_events import KeyRefused
from .packets import DenialReason, NodeType
from .policy import Banned
from .qt import SockAddr


class Departure(Enum):
    """Why a node is no longer in the domain."""

    LEFT = 0
    """It sent a DisconnectRequest."""
    SILENT = 1
    """It was not heard for too long."""
    KICKED = 2
    """The application called ``kick``."""
    REPLACED = 3
    """Another request came from its address, or for its assignment."""
    UNWELCOME = 4
    """The policy changed, or a ban holds for it, and it may not connect any more."""


@attrs.frozen
class NodeJoined:
    """A node came in. Its names are empty unless they were verified."""

    node_id: bytes = attrs.field(repr=bytes.hex)
    """Its session UUID, 16 bytes."""
    node_type: NodeType
    """What it does."""
    local_id: int = attrs.field(kw_only=True)
    """Its number in headers of packets, for as long as it is there."""
    path: Path = attrs.field(kw_only=True)
    """The path by which its connect request came."""
    permissions: int = attrs.field(kw_only=True)
    """Bits of :class:`~sansproto.overte.packets.Permissions`."""
    username: str = attrs.field(default="", kw_only=True)
    """Its name at the directory service, in lower case; empty unless it was verified."""
    account: str = attrs.field(default="", kw_only=True)
    """Its name among the domain's own accounts; empty unless it was verified."""
    place: str = attrs.field(default="", kw_only=True)
    """The place from which it comes, as it says itself."""


@attrs.frozen
class NodeChanged:
    """A node reported sockets or a place that differ from what it reported before."""

    node_id: bytes = attrs.field(repr=bytes.hex)
    """Its session UUID, 16 bytes."""
    public: SockAddr = attrs.field(kw_only=True)
    """Its address for others, as it says itself."""
    local: SockAddr = attrs.field(kw_only=True)
    """Its address in its own network, as it says itself."""
    place: str = attrs.field(default="", kw_only=True)
    """The name of its place."""


@attrs.frozen
class NodeLeft:
    """A node is no longer in the domain."""

    node_id: bytes = attrs.field(repr=bytes.hex)
    """The session UUID that it had, 16 bytes."""
    why: Departure
    """Why it is gone."""


@attrs.frozen
class KeyWanted:
    """A node wants to come in under this name: look up its public key, and call ``provide_key``.

    The event does not come again for this name before that call.
    """

    username: str
    """In lower case."""


@attrs.frozen
class ConnectRefused:
    """The server answered a connect request with a denial."""

    path: Path
    """The path by which the request came."""
    reason: DenialReason
    """The denial that was sent."""


@attrs.frozen
class StatsReceived:
    """A node sent its statistics."""

    node_id: bytes = attrs.field(repr=bytes.hex)
    """Its session UUID, 16 bytes."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """The payload, not interpreted."""


@attrs.frozen
class BanAdded:
    """``kick`` added a ban. The policy has it already; store it for the next start of the server."""

    banned: Banned
    """Whom the ban is for, and by what it recognises that node."""


@attrs.frozen
class KickAsked:
    """A node with the permission to kick asks for a kick. To do it, call ``kick(node_id, now, ban=flags)``."""

    by: bytes = attrs.field(repr=bytes.hex)
    """The session UUID of the node that asks."""
    node_id: bytes = attrs.field(repr=bytes.hex)
    """The session UUID of the node to kick."""
    flags: int = attrs.field(default=0, kw_only=True)
    """By what to ban it: bits of :class:`~sansproto.overte.packets.Ban`, as the packet has them."""


@attrs.frozen
class UsernameAsked:
    """A node asks who another node is. ``answer_username(by, node_id, now)`` tells it as much as it may know."""

    by: bytes = attrs.field(repr=bytes.hex)
    """The session UUID of the node that asks."""
    node_id: bytes = attrs.field(repr=bytes.hex)
    """The session UUID of the node about which it asks."""


ServerEvent: TypeAlias = (
    NodeJoined
    | NodeChanged
    | NodeLeft
    | KeyWanted
    | ConnectRefused
    | StatsReceived
    | KickAsked
    | BanAdded
    | UsernameAsked
    | KeyRefused
    | Closed[Never]
)
