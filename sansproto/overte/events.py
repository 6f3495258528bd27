"""What a client tells its application."""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

import attrs

from ..contract import Address
from ..events import Closed, hex_of
from .packets import DenialReason, NodeType
from .versions import PacketType


@attrs.frozen(kw_only=True, weakref_slot=False)
class NodeInfo:
    """Another node, as it is known now. ``node_id`` is its session UUID, 16 bytes."""

    node_id: bytes = attrs.field(repr=bytes.hex)
    """Its session UUID, 16 bytes."""
    local_id: int
    """Its number in headers of packets, for as long as it is there."""
    type: NodeType | int = attrs.field(metadata={"plain": int})  # in vectors it is the number
    """What it does; the number itself where it is not known."""
    permissions: int
    """Bits of :class:`~sansproto.overte.packets.Permissions`."""
    replicated: bool
    """Another domain's mixers get copies of its packets."""
    public: Address | None
    """Its address for others; None if it has no address to which a packet could be sent."""
    local: Address | None
    """Its address in its own network; None if it has no address to which a packet could be sent."""
    symmetric: Address | None
    """The address from which it was heard, if that is neither the public nor the local one."""
    active: Address | None
    """The one of these three that is known to work; None as long as no one is."""
    webrtc: bool = False
    """It can be reached over WebRTC only. The library does not speak WebRTC, so nothing can be sent to this node."""
    ping_ms: int | None = None
    """The round trip of the last ping that was answered."""
    skew_us: int | None = None
    """How far its clock is ahead of ours: the 80th percentile of the last 30 answers."""


class Loss(Enum):
    """Why the connection to the domain was lost; the client goes on trying."""

    SILENT = 0
    """It left too many check-ins unanswered."""
    MOVED = 1
    """Our own address has changed."""


class Removal(Enum):
    """Why a node is gone."""

    REMOVED = 0
    """The domain says so."""
    SILENT = 1
    """It was not heard for too long."""
    REPLACED = 2
    """Another node with the same address, or with the same assignment, took its place."""
    RESTARTED = 3
    """It dropped us; the domain's next list brings it back."""


@attrs.frozen
class Connected:
    """The domain let us in. ``session_id`` is our session UUID, 16 bytes; each connect gives another one."""

    session_id: bytes = attrs.field(repr=bytes.hex)
    """Our session UUID, 16 bytes; each connect gives another one."""
    local_id: int
    """Our number in headers of packets."""
    domain_id: bytes = attrs.field(kw_only=True, repr=bytes.hex)
    """The UUID of the domain, 16 bytes."""
    permissions: int = attrs.field(kw_only=True)
    """Ours: bits of :class:`~sansproto.overte.packets.Permissions`."""


@attrs.frozen
class Disconnected:
    """The connection is lost, and no node is known any more. ``Connected`` follows when the domain answers again."""

    why: Loss
    """What ended it."""


@attrs.frozen
class Renumbered:
    """The domain gave us other ids: this is a new session, and the client finds all nodes anew."""

    session_id: bytes = attrs.field(repr=bytes.hex)
    """Our new session UUID, 16 bytes."""
    local_id: int
    """Our new number in headers of packets."""
    permissions: int = attrs.field(kw_only=True)
    """Ours: bits of :class:`~sansproto.overte.packets.Permissions`."""


@attrs.frozen
class Denied:
    """The domain refuses us. The client goes on asking until ``give_up``. The event comes once for each different one.

    ``code`` is a :class:`~sansproto.overte.packets.DenialReason`, if it is one that is known; ``reason`` and ``extra``
    are the domain's words, ``hint`` says in ours what may help.
    """

    code: int
    """A :class:`~sansproto.overte.packets.DenialReason`, if it is one that is known."""
    reason: str
    """The domain's words, for people."""
    extra: str = attrs.field(default="", kw_only=True)
    """Additional information from the domain, such as where else to go."""
    hint: str = attrs.field(default="", kw_only=True)
    """In our words, what may help; empty for codes that are not known."""


HINTS: Final[dict[int, str]] = {
    DenialReason.PROTOCOL_MISMATCH: "the domain runs another release: use the version table of that one",
    DenialReason.LOGIN_ERROR_DIRECTORY: "the username was not signed with the key that the directory service knows: "
    "log in there again, and publish a new key",
    DenialReason.NOT_AUTHORIZED_DIRECTORY: "log in to the directory service, or ask the owner of the domain for access",
    DenialReason.TOO_MANY_USERS: "the domain is full: try again later, or go where it points to",
    DenialReason.TIMED_OUT: "the domain did not finish in time: try again",
    DenialReason.LOGIN_ERROR_DOMAIN: "the domain does not know this account, or tokens, of its own: log in there again",
    DenialReason.NOT_AUTHORIZED_DOMAIN: "log in to the domain's own accounts, at the URL that it names",
}
"""What may help against a denial, by its code."""


@attrs.frozen
class PermissionsChanged:
    """The domain allows us more, or less, than before."""

    permissions: int
    """Ours from now on: bits of :class:`~sansproto.overte.packets.Permissions`."""


@attrs.frozen(weakref_slot=False)
class NodeAdded:
    """The domain named a node. Nothing can be sent to it before ``NodeActivated``."""

    node: NodeInfo
    """What the domain says about it."""


@attrs.frozen
class NodeActivated:
    """An address of the node is known to work now. It may be a better one than before."""

    node_id: bytes = attrs.field(repr=bytes.hex)
    """Its session UUID, 16 bytes."""
    address: Address
    """The address that works."""


@attrs.frozen
class NodeMeasured:
    """A node answered a ping of ours."""

    node_id: bytes = attrs.field(repr=bytes.hex)
    """Its session UUID, 16 bytes."""
    ping_ms: int = attrs.field(kw_only=True)
    """The round trip of the ping."""
    skew_us: int = attrs.field(kw_only=True)
    """How far its clock is ahead of ours: the 80th percentile of the last 30 answers."""


@attrs.frozen
class NodeRemoved:
    """A node is gone: nothing can be sent to it any more."""

    node_id: bytes = attrs.field(repr=bytes.hex)
    """Its session UUID, 16 bytes."""
    why: Removal
    """Why it is gone."""


@attrs.frozen
class PathAnswered:
    """The answer to ``ask_path``: position and orientation as text, such as ``/0,0,0/0,0,0,1``."""

    path: str
    """What was asked for."""
    viewpoint: str
    """Position and orientation as text, such as ``/0,0,0/0,0,0,1``."""


@attrs.frozen
class SettingsReceived:
    """Settings of the domain, as JSON in UTF-8. ``kind`` is the AssignmentType that was asked for."""

    kind: int
    """The AssignmentType that was asked for."""
    json: bytes = attrs.field(repr=lambda json: f"<{len(json)} bytes>")
    """UTF-8."""


@attrs.frozen
class NotAnswered:
    """The domain did not answer a question in time, or the connection was lost. One field says which question."""

    path: str | None = None
    """The path that was asked for; None if the question was not about a path."""
    kind: int | None = None
    """The AssignmentType that was asked for; None if the question was not about settings."""
    node_id: bytes | None = attrs.field(default=None, repr=hex_of)
    """The node whose name was asked for; None if the question was not about a name."""


@attrs.frozen
class UsernameAnswered:
    """Who a node is. Without the permission to kick, name and fingerprint are empty, except for our own node."""

    node_id: bytes = attrs.field(repr=bytes.hex)
    """Its session UUID, 16 bytes."""
    username: str = attrs.field(default="", kw_only=True)
    """Its name at the directory service; empty if it gave none, or if we may not know it."""
    fingerprint: bytes = attrs.field(default=bytes(16), kw_only=True, repr=bytes.hex)
    """The fingerprint of its machine, 16 bytes; zeros if we may not know it."""
    may_kick: bool = attrs.field(default=False, kw_only=True)
    """It may kick others."""


@attrs.define(weakref_slot=False)
class PacketReceived:
    """A packet from a node, with a valid MAC if the domain authenticates packets.

    (Not frozen, for speed.)
    """

    node_id: bytes = attrs.field(repr=bytes.hex)
    """The sender's session UUID, 16 bytes."""
    type: PacketType
    """What the payload is."""
    payload: bytes = attrs.field(kw_only=True, repr=lambda payload: f"<{len(payload)} bytes>")
    """Everything after the header."""


@attrs.frozen
class Undelivered:
    """``count`` reliable packets were given up: nothing acknowledged them."""

    node_id: bytes = attrs.field(repr=bytes.hex)
    """The node to which they were sent; empty for the domain."""
    count: int
    """How many packets."""


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
    | UsernameAnswered
    | PacketReceived
    | Undelivered
    | Closed[DenialReason]
)
