"""What a client tells its application."""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

import attrs

from ..contract import Address
from ..events import Closed
from .packets import DenialReason, NodeType
from .versions import PacketType


@attrs.frozen(kw_only=True, weakref_slot=False)
class NodeInfo:
    """Another node, as it is known now. ``node_id`` is its session UUID, 16 bytes."""

    node_id: bytes
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
    """Its address for others; None: it has none that could be sent to."""
    local: Address | None
    """Its address in its own network; None: it has none that could be sent to."""
    symmetric: Address | None
    """From where it was heard, if that is neither of both."""
    active: Address | None
    """The one of these that is known to work; None: none yet."""
    webrtc: bool = False
    """It is only reached over WebRTC, which is not spoken here: it is told of, and nothing can be sent to it."""
    ping_ms: int | None = None
    """The round trip of the last ping that was answered."""
    skew_us: int | None = None
    """How far its clock is ahead of ours: the 80th percentile of the last 30 answers."""


class Loss(Enum):
    """Why there is no connection to the domain any more; the client goes on trying."""

    SILENT = 0
    """It left too many check-ins unanswered."""
    MOVED = 1
    """Our own address is another one now."""


class Removal(Enum):
    """Why a node is gone."""

    REMOVED = 0
    """The domain says so."""
    SILENT = 1
    """It was not heard for too long."""
    REPLACED = 2
    """By another one with the same address, or with the same assignment."""
    RESTARTED = 3
    """It dropped us; the domain's next list brings it back."""


@attrs.frozen
class Connected:
    """The domain let us in. ``session_id`` is our session UUID, 16 bytes; it is another one after each connect."""

    session_id: bytes
    """Our session UUID, 16 bytes: another one after each connect."""
    local_id: int
    """Our number in headers of packets."""
    domain_id: bytes = attrs.field(kw_only=True)
    """The UUID of the domain, 16 bytes."""
    permissions: int = attrs.field(kw_only=True)
    """Ours: bits of :class:`~sansproto.overte.packets.Permissions`."""


@attrs.frozen
class Disconnected:
    """The connection is lost, and with it all nodes; ``Connected`` follows if the domain is reached again."""

    why: Loss
    """What ended it."""


@attrs.frozen
class Renumbered:
    """The domain knows us under other ids: a new session, in which all nodes are found anew."""

    session_id: bytes
    """Our new session UUID, 16 bytes."""
    local_id: int
    """Our new number in headers of packets."""
    permissions: int = attrs.field(kw_only=True)
    """Ours: bits of :class:`~sansproto.overte.packets.Permissions`."""


@attrs.frozen
class Denied:
    """The domain refuses us, for now: the client goes on asking until ``give_up``. Told once for each different denial.

    ``code`` is a :class:`~sansproto.overte.packets.DenialReason`, if it is one that is known; ``reason`` and ``extra``
    are the domain's words, ``hint`` says in ours what may help.
    """

    code: int
    """A :class:`~sansproto.overte.packets.DenialReason`, if it is one that is known."""
    reason: str
    """The domain's words, for people."""
    extra: str = attrs.field(default="", kw_only=True)
    """What it says besides, such as where else to go."""
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


@attrs.frozen
class NodeAdded:
    """The domain tells of a node; it cannot be sent to before ``NodeActivated``."""

    node: NodeInfo
    """What the domain says of it."""


@attrs.frozen
class NodeActivated:
    """A way to the node is known to work, perhaps a better one than before."""

    node_id: bytes
    """Its session UUID, 16 bytes."""
    address: Address
    """The one that works."""


@attrs.frozen
class NodeMeasured:
    """A node answered a ping."""

    node_id: bytes
    """Its session UUID, 16 bytes."""
    ping_ms: int = attrs.field(kw_only=True)
    """The round trip of the ping."""
    skew_us: int = attrs.field(kw_only=True)
    """How far its clock is ahead of ours: the 80th percentile of the last 30 answers."""


@attrs.frozen
class NodeRemoved:
    """A node is gone."""

    node_id: bytes
    """Its session UUID, 16 bytes."""
    why: Removal
    """What became of it."""


@attrs.frozen
class PathAnswered:
    """What ``ask_path`` asked for: position and orientation as text, such as ``/0,0,0/0,0,0,1``."""

    path: str
    """What was asked for."""
    viewpoint: str
    """Position and orientation as text, such as ``/0,0,0/0,0,0,1``."""


@attrs.frozen
class SettingsReceived:
    """Settings of the domain, as JSON in UTF-8. ``kind`` is the AssignmentType that was asked for."""

    kind: int
    """The AssignmentType that was asked for."""
    json: bytes
    """UTF-8."""


@attrs.frozen
class NotAnswered:
    """No answer in time, or the connection was lost: to a question for this path, kind of settings, or node."""

    path: str | None = None
    """What was asked for; None if it was not about a path."""
    kind: int | None = None
    """The AssignmentType that was asked for; None if it was not about settings."""
    node_id: bytes | None = None
    """Whose name was asked for; None if it was not about a name."""


@attrs.frozen
class UsernameAnswered:
    """Who a node is. Name and fingerprint are empty and null for those who may not know them: who may not kick."""

    node_id: bytes
    """Its session UUID, 16 bytes."""
    username: str = attrs.field(default="", kw_only=True)
    """Of the directory service; empty also if it gave none."""
    fingerprint: bytes = attrs.field(default=bytes(16), kw_only=True)
    """Of its machine, 16 bytes."""
    may_kick: bool = attrs.field(default=False, kw_only=True)
    """It may throw others out."""


@attrs.define(weakref_slot=False)
class PacketReceived:
    """A packet from a node, authenticated if the domain's packets are. (Not frozen: this is the bulk path.)"""

    node_id: bytes
    """The sender's session UUID, 16 bytes."""
    type: PacketType
    """What the payload is."""
    payload: bytes = attrs.field(kw_only=True, repr=lambda payload: f"<{len(payload)} bytes>")
    """All that is behind the header."""


@attrs.frozen
class Undelivered:
    """So many reliable packets were given up. ``node_id`` is empty where they were for the domain."""

    node_id: bytes
    """To whom; empty for the domain."""
    count: int
    """Packets."""


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
