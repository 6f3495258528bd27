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
    """It said so."""
    SILENT = 1
    """It was not heard for too long."""
    KICKED = 2
    """The application called ``kick``."""
    REPLACED = 3
    """Another request came from its address, or for its assignment."""
    UNWELCOME = 4
    """The policy changed."""


@attrs.frozen
class NodeJoined:
    """A node was let in. ``node_id`` is its session UUID, 16 bytes; its names are empty unless they were verified."""

    node_id: bytes
    """Its session UUID, 16 bytes."""
    node_type: NodeType
    """What it does."""
    local_id: int = attrs.field(kw_only=True)
    """Its number in headers of packets, for as long as it is there."""
    path: Path = attrs.field(kw_only=True)
    """From where its connect request came."""
    permissions: int = attrs.field(kw_only=True)
    """Bits of :class:`~sansproto.overte.packets.Permissions`."""
    username: str = attrs.field(default="", kw_only=True)
    """Of the directory service, in lower case; empty unless it was verified."""
    account: str = attrs.field(default="", kw_only=True)
    """Of the domain's own; empty unless it was verified."""
    place: str = attrs.field(default="", kw_only=True)
    """The name of the place from which it says that it comes."""


@attrs.frozen
class NodeChanged:
    """A node reported other sockets or another place than before."""

    node_id: bytes
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

    node_id: bytes
    """The session UUID that it had, 16 bytes."""
    why: Departure
    """What ended it."""


@attrs.frozen
class KeyWanted:
    """Somebody wants to come in under this name, in lower case: answer with ``provide_key``. Told once per answer."""

    username: str
    """In lower case."""


@attrs.frozen
class ConnectRefused:
    """A connect request was answered by a denial."""

    path: Path
    """From where the request came."""
    reason: DenialReason
    """Why."""


@attrs.frozen
class StatsReceived:
    """A node's statistics, as it sent them."""

    node_id: bytes
    """Its session UUID, 16 bytes."""
    data: bytes
    """Not interpreted."""


@attrs.frozen
class BanAdded:
    """Somebody who was kicked stays outside. The policy holds it from now on: store it, for the next start."""

    banned: Banned
    """Who, and by what."""


@attrs.frozen
class KickAsked:
    """A node that may kick asks for it: ``kick(node_id, now, ban=flags)`` does it. ``flags`` say what to ban."""

    by: bytes
    """The session UUID of the one who asks."""
    node_id: bytes
    """The session UUID of the one to be kicked."""
    flags: int = attrs.field(default=0, kw_only=True)
    """By what to ban it: bits of :class:`~sansproto.overte.packets.Ban`, as the packet has them."""


@attrs.frozen
class UsernameAsked:
    """A node asks who another one is: ``answer_username(by, node_id, now)`` tells it what it may know."""

    by: bytes
    """The session UUID of the one who asks."""
    node_id: bytes
    """The session UUID of the one it is about."""


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
