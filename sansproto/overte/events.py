"""What a client tells its application."""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

import attrs

from ..contract import Address
from ..events import Closed
from .packets import DenialReason, NodeType
from .versions import PacketType


@attrs.frozen(kw_only=True)
class NodeInfo:
    """Another node, as it is known now. ``node_id`` is its session UUID, 16 bytes."""

    node_id: bytes
    local_id: int
    type: NodeType | int = attrs.field(metadata={"plain": int})  # in vectors it is the number
    permissions: int  # bits of Permissions
    replicated: bool
    public: Address | None  # None: it has none that could be sent to
    local: Address | None
    symmetric: Address | None  # from where it was heard, if that is neither of both
    active: Address | None  # the one of these that is known to work
    ping_ms: int | None = None  # of the last ping that was answered
    skew_us: int | None = None  # how far its clock is ahead of ours: the 80th percentile of the last 30 answers


class Loss(Enum):
    """Why there is no connection to the domain any more; the client goes on trying."""

    SILENT = 0  # it left too many check-ins unanswered
    MOVED = 1  # our own address is another one now


class Removal(Enum):
    """Why a node is gone."""

    REMOVED = 0  # the domain says so
    SILENT = 1
    REPLACED = 2  # by another one with the same address, or in the same office
    RESTARTED = 3  # it dropped us; the domain's next list brings it back


@attrs.frozen
class Connected:
    """The domain let us in. ``session_id`` is our session UUID, 16 bytes; it is another one after each connect."""

    session_id: bytes
    local_id: int
    domain_id: bytes = attrs.field(kw_only=True)
    permissions: int = attrs.field(kw_only=True)  # bits of Permissions


@attrs.frozen
class Disconnected:
    """The connection is lost, and with it all nodes; ``Connected`` follows if the domain is reached again."""

    why: Loss


@attrs.frozen
class Renumbered:
    """The domain knows us under other ids: a new session, in which all nodes are found anew."""

    session_id: bytes
    local_id: int
    permissions: int = attrs.field(kw_only=True)  # bits of Permissions


@attrs.frozen
class Denied:
    """The domain refuses us, for now: the client goes on asking until ``give_up``. Told once for each different denial.

    ``code`` is a :class:`~sansproto.overte.packets.DenialReason`, if it is one that is known; ``reason`` and ``extra``
    are the domain's words, ``hint`` says in ours what may help.
    """

    code: int
    reason: str
    extra: str = attrs.field(default="", kw_only=True)
    hint: str = attrs.field(default="", kw_only=True)


def hint_for(code: int) -> str:
    """What may help against a denial with this code; nothing is known about others."""
    return _HINTS.get(code, "")


_HINTS: Final[dict[int, str]] = {
    DenialReason.PROTOCOL_MISMATCH: "the domain runs another release: use the version table of that one",
    DenialReason.LOGIN_ERROR_DIRECTORY: "the username was not signed with the key that the directory service knows: "
    "log in there again, and publish a new key",
    DenialReason.NOT_AUTHORIZED_DIRECTORY: "log in to the directory service, or ask the owner of the domain for access",
    DenialReason.TOO_MANY_USERS: "the domain is full: try again later, or go where it points to",
    DenialReason.TIMED_OUT: "the domain did not finish in time: try again",
    DenialReason.LOGIN_ERROR_DOMAIN: "the domain does not know this account, or tokens, of its own: log in there again",
    DenialReason.NOT_AUTHORIZED_DOMAIN: "log in to the domain's own accounts, at the URL that it names",
}


@attrs.frozen
class PermissionsChanged:
    permissions: int


@attrs.frozen
class NodeAdded:
    """The domain tells of a node; it cannot be sent to before ``NodeActivated``."""

    node: NodeInfo


@attrs.frozen
class NodeActivated:
    """A way to the node is known to work, perhaps a better one than before."""

    node_id: bytes
    address: Address


@attrs.frozen
class NodeMeasured:
    """A node answered a ping."""

    node_id: bytes
    ping_ms: int = attrs.field(kw_only=True)
    skew_us: int = attrs.field(kw_only=True)


@attrs.frozen
class NodeRemoved:
    node_id: bytes
    why: Removal


@attrs.frozen
class PathAnswered:
    """What ``ask_path`` asked for: position and orientation as text, such as ``/0,0,0/0,0,0,1``."""

    path: str
    viewpoint: str


@attrs.frozen
class SettingsReceived:
    """Settings of the domain, as JSON in UTF-8. ``kind`` is the AssignmentType that was asked for."""

    kind: int
    json: bytes


@attrs.frozen
class NotAnswered:
    """No answer in time, or the connection was lost: to a question for this path, or for this kind of settings."""

    path: str | None = None
    kind: int | None = None


@attrs.define(weakref_slot=False)
class PacketReceived:
    """A packet from a node, authenticated if the domain's packets are. (Not frozen: this is the bulk path.)"""

    node_id: bytes
    type: PacketType
    payload: bytes = attrs.field(kw_only=True, repr=lambda payload: f"<{len(payload)} bytes>")


@attrs.frozen
class Undelivered:
    """So many reliable packets were given up. ``node_id`` is empty where they were for the domain."""

    node_id: bytes
    count: int


ClientEvent: TypeAlias = (
    Connected
    | Disconnected
    | Renumbered
    | Denied
    | PermissionsChanged
    | NodeAdded
    | NodeActivated
    | NodeMeasured
    | NodeRemoved
    | PathAnswered
    | SettingsReceived
    | NotAnswered
    | PacketReceived
    | Undelivered
    | Closed[DenialReason]
)
