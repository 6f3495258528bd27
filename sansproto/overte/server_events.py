"""What a domain server tells its application."""

from __future__ import annotations

from enum import Enum
from typing import Never, TypeAlias

import attrs

from ..contract import Path
from ..events import Closed
from .ice_events import KeyRefused
from .packets import DenialReason, NodeType
from .qt import SockAddr


class Departure(Enum):
    """Why a node is no longer in the domain."""

    LEFT = 0  # it said so
    SILENT = 1
    KICKED = 2
    REPLACED = 3  # another request came from its address, or for its assignment
    UNWELCOME = 4  # the policy changed


@attrs.frozen
class NodeJoined:
    """A node was let in. ``node_id`` is its session UUID, 16 bytes; its names are empty unless they were verified."""

    node_id: bytes
    node_type: NodeType
    local_id: int = attrs.field(kw_only=True)
    path: Path = attrs.field(kw_only=True)
    permissions: int = attrs.field(kw_only=True)
    username: str = attrs.field(default="", kw_only=True)
    account: str = attrs.field(default="", kw_only=True)  # the domain's own
    place: str = attrs.field(default="", kw_only=True)


@attrs.frozen
class NodeChanged:
    """A node reported other sockets or another place than before."""

    node_id: bytes
    public: SockAddr = attrs.field(kw_only=True)
    local: SockAddr = attrs.field(kw_only=True)
    place: str = attrs.field(default="", kw_only=True)


@attrs.frozen
class NodeLeft:
    node_id: bytes
    why: Departure


@attrs.frozen
class KeyWanted:
    """Somebody wants to come in under this name, in lower case: answer with ``provide_key``. Told once per answer."""

    username: str


@attrs.frozen
class ConnectRefused:
    """A connect request was answered by a denial."""

    path: Path
    reason: DenialReason


@attrs.frozen
class StatsReceived:
    """A node's statistics, as it sent them."""

    node_id: bytes
    data: bytes


@attrs.frozen
class KickAsked:
    """A node that may kick asks for it: ``kick(node_id, now)`` does it. ``flags`` say what else to ban."""

    by: bytes
    node_id: bytes
    flags: int = attrs.field(default=0, kw_only=True)


@attrs.frozen
class UsernameAsked:
    """A node asks who another one is."""

    by: bytes
    node_id: bytes


ServerEvent: TypeAlias = (
    NodeJoined
    | NodeChanged
    | NodeLeft
    | KeyWanted
    | ConnectRefused
    | StatsReceived
    | KickAsked
    | UsernameAsked
    | KeyRefused
    | Closed[Never]
)
