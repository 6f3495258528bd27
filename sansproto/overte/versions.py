"""The packet types, with the version of each and the header that it has: docs/protocols/overte.rst, types and versions.

Two programs speak the same protocol if their tables of versions have the same signature; nothing else is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import attrs
from attrs.validators import max_len, min_len

from . import crypto


class Form(Enum):
    """What a header has besides type and version."""

    UNSOURCED = 0
    """Nothing."""
    SOURCED = 1
    """The sender's local id."""
    VERIFIED = 2
    """The sender's local id and a MAC, which is zero where there is no key."""


_U, _S, _V = Form.UNSOURCED, Form.SOURCED, Form.VERIFIED


class PacketType(Enum):
    """What a datagram holds. Each row: number, version in 2025.05.1, newest version known, form of the header."""

    _value_: int
    versions: list[int]
    """Its version in each of :data:`VERSIONS`."""
    form: Form

    def __new__(cls, number: int, *row: Any) -> PacketType:
        member = object.__new__(cls)
        member._value_ = number
        *member.versions, member.form = row
        return member

    UNKNOWN = 0, 22, 23, _V
    DOMAIN_CONNECT_REQUEST_PENDING = 1, 17, 17, _U
    DOMAIN_LIST = 2, 25, 25, _U
    PING = 3, 18, 18, _V
    PING_REPLY = 4, 22, 23, _V
    KILL_AVATAR = 5, 55, 55, _V
    AVATAR_DATA = 6, 55, 55, _V
    INJECT_AUDIO = 7, 24, 24, _V
    MIXED_AUDIO = 8, 24, 24, _V
    MICROPHONE_AUDIO_NO_ECHO = 9, 24, 24, _V
    MICROPHONE_AUDIO_WITH_ECHO = 10, 24, 24, _V
    BULK_AVATAR_DATA = 11, 55, 55, _V
    SILENT_AUDIO_FRAME = 12, 24, 24, _V
    DOMAIN_LIST_REQUEST = 13, 23, 23, _S
    REQUEST_ASSIGNMENT = 14, 22, 23, _U
    CREATE_ASSIGNMENT = 15, 22, 23, _U
    DOMAIN_CONNECTION_DENIED = 16, 19, 19, _U
    MUTE_ENVIRONMENT = 17, 22, 23, _V
    AUDIO_STREAM_STATS = 18, 24, 24, _V
    DOMAIN_SERVER_PATH_QUERY = 19, 22, 23, _U
    DOMAIN_SERVER_PATH_RESPONSE = 20, 22, 23, _U
    DOMAIN_SERVER_ADDED_NODE = 21, 19, 19, _U
    ICE_SERVER_PEER_INFORMATION = 22, 17, 17, _U
    ICE_SERVER_QUERY = 23, 17, 17, _U
    OCTREE_STATS = 24, 22, 23, _V
    SET_AVATAR_TRAITS = 25, 22, 23, _V
    INJECTOR_GAIN_SET = 26, 22, 23, _V
    ASSIGNMENT_CLIENT_STATUS = 27, 22, 23, _U
    NOISY_MUTE = 28, 22, 23, _V
    AVATAR_IDENTITY = 29, 55, 55, _V
    NODE_IGNORE_REQUEST = 30, 18, 18, _V
    DOMAIN_CONNECT_REQUEST = 31, 27, 27, _U
    DOMAIN_SERVER_REQUIRE_DTLS = 32, 22, 23, _U
    NODE_JSON_STATS = 33, 22, 23, _S
    OCTREE_DATA_NACK = 34, 22, 23, _S
    STOP_NODE = 35, 22, 23, _U
    AUDIO_ENVIRONMENT = 36, 22, 23, _V
    ENTITY_EDIT_NACK = 37, 22, 23, _S
    ICE_SERVER_HEARTBEAT = 38, 18, 18, _U
    ICE_PING = 39, 18, 18, _U
    ICE_PING_REPLY = 40, 17, 17, _U
    ENTITY_DATA = 41, 147, 154, _V
    ENTITY_QUERY = 42, 23, 24, _S
    ENTITY_ADD = 43, 147, 154, _V
    ENTITY_ERASE = 44, 22, 23, _V
    ENTITY_EDIT = 45, 147, 154, _V
    DOMAIN_SERVER_CONNECTION_TOKEN = 46, 22, 23, _U
    DOMAIN_SETTINGS_REQUEST = 47, 22, 23, _U
    DOMAIN_SETTINGS = 48, 18, 18, _U
    ASSET_GET = 49, 22, 22, _V
    ASSET_GET_REPLY = 50, 22, 23, _V
    ASSET_UPLOAD = 51, 22, 22, _V
    ASSET_UPLOAD_REPLY = 52, 22, 23, _V
    ASSET_GET_INFO = 53, 22, 22, _V
    ASSET_GET_INFO_REPLY = 54, 22, 23, _V
    DOMAIN_DISCONNECT_REQUEST = 55, 22, 23, _S
    DOMAIN_SERVER_REMOVED_NODE = 56, 22, 23, _U
    MESSAGES_DATA = 57, 18, 18, _V
    MESSAGES_SUBSCRIBE = 58, 22, 23, _V
    MESSAGES_UNSUBSCRIBE = 59, 22, 23, _V
    ICE_SERVER_HEARTBEAT_DENIED = 60, 17, 17, _U
    ASSET_MAPPING_OPERATION = 61, 22, 22, _V
    ASSET_MAPPING_OPERATION_REPLY = 62, 22, 22, _V
    ICE_SERVER_HEARTBEAT_ACK = 63, 17, 17, _U
    NEGOTIATE_AUDIO_FORMAT = 64, 22, 23, _V
    SELECTED_AUDIO_FORMAT = 65, 22, 23, _V
    MORE_ENTITY_SHAPES = 66, 22, 23, _V
    NODE_KICK_REQUEST = 67, 22, 23, _S
    NODE_MUTE_REQUEST = 68, 22, 23, _S
    RADIUS_IGNORE_REQUEST = 69, 22, 23, _V
    USERNAME_FROM_ID_REQUEST = 70, 22, 23, _S
    USERNAME_FROM_ID_REPLY = 71, 22, 23, _U
    AVATAR_QUERY = 72, 22, 22, _V
    REQUESTS_DOMAIN_LIST_DATA = 73, 22, 23, _V
    PER_AVATAR_GAIN_SET = 74, 22, 23, _V
    ENTITY_SCRIPT_GET_STATUS = 75, 22, 23, _V
    ENTITY_SCRIPT_GET_STATUS_REPLY = 76, 22, 23, _V
    RELOAD_ENTITY_SERVER_SCRIPT = 77, 22, 23, _V
    ENTITY_PHYSICS = 78, 147, 154, _V
    ENTITY_SERVER_SCRIPT_LOG = 79, 22, 23, _V
    ADJUST_AVATAR_SORTING = 80, 22, 23, _V
    OCTREE_FILE_REPLACEMENT = 81, 22, 23, _U
    COLLISION_EVENT_CHANGES = 82, 22, 23, _V
    REPLICATED_MICROPHONE_AUDIO_NO_ECHO = 83, 22, 23, _U
    REPLICATED_MICROPHONE_AUDIO_WITH_ECHO = 84, 22, 23, _U
    REPLICATED_INJECT_AUDIO = 85, 22, 23, _U
    REPLICATED_SILENT_AUDIO_FRAME = 86, 22, 23, _U
    REPLICATED_AVATAR_IDENTITY = 87, 22, 23, _U
    REPLICATED_KILL_AVATAR = 88, 22, 23, _U
    REPLICATED_BULK_AVATAR_DATA = 89, 22, 23, _U
    DOMAIN_CONTENT_REPLACEMENT_FROM_URL = 90, 22, 23, _U
    DROP_ON_NEXT_PROTOCOL_CHANGE_1 = 91, 22, 23, _V
    ENTITY_SCRIPT_CALL_METHOD = 92, 19, 19, _V
    DROP_ON_NEXT_PROTOCOL_CHANGE_2 = 93, 22, 23, _V
    DROP_ON_NEXT_PROTOCOL_CHANGE_3 = 94, 22, 23, _V
    OCTREE_DATA_FILE_REQUEST = 95, 22, 23, _U
    OCTREE_DATA_FILE_REPLY = 96, 22, 23, _U
    OCTREE_DATA_PERSIST = 97, 22, 23, _U
    ENTITY_CLONE = 98, 147, 154, _V
    ENTITY_QUERY_INITIAL_RESULTS_COMPLETE = 99, 92, 92, _V
    BULK_AVATAR_TRAITS = 100, 48, 48, _V
    AUDIO_SOLO_REQUEST = 101, 22, 23, _V
    BULK_AVATAR_TRAITS_ACK = 102, 48, 48, _V
    STOP_INJECTOR = 103, 24, 24, _V
    AVATAR_ZONE_PRESENCE = 104, 22, 23, _U
    WEBRTC_SIGNALING = 105, 22, 23, _U


DOMAIN_SOURCED: Final = frozenset({PacketType.ASSET_MAPPING_OPERATION, PacketType.ASSET_GET, PacketType.ASSET_UPLOAD})
"""What a client accepts unverified if its source is the domain's local id and it comes from the domain's socket."""

DOMAIN_IGNORED_VERIFICATION: Final = frozenset(
    {PacketType.ASSET_MAPPING_OPERATION_REPLY, PacketType.ASSET_GET_REPLY, PacketType.ASSET_UPLOAD_REPLY}
)
"""What a domain server accepts whatever its MAC is."""

REPLICATED: Final = frozenset(kind for kind in PacketType if kind.name.startswith("REPLICATED_"))
"""As what an upstream mixer passes packets on: accepted from the socket of such a mixer only."""


@attrs.frozen(slots=False)
class VersionTable:
    """The version of every packet type. Raises :class:`ValueError` unless there are 106 ``versions``."""

    name: str
    """Of the release."""
    versions: bytes = attrs.field(
        validator=[min_len(len(PacketType)), max_len(len(PacketType))], repr=lambda versions: f"<{len(versions)} bytes>"
    )
    """One byte for each type, in the order of their numbers."""

    def __getitem__(self, kind: PacketType) -> int:
        return self.versions[kind._value_]

    def evolve(self, changes: Mapping[PacketType, int], *, name: str | None = None) -> VersionTable:
        """The table with other versions of some types. Raises :class:`ValueError` for a version over 255."""
        versions = bytearray(self.versions)
        for kind, version in changes.items():
            versions[kind._value_] = version
        return VersionTable(f"{self.name}, changed" if name is None else name, bytes(versions))

    @cached_property
    def signature(self) -> bytes:
        """The 16 bytes by which a domain server knows its own protocol."""
        return crypto.protocol_signature(self.versions)


RELEASES: Final = ("2025.05.1", "2026-newest-known")
"""What the versions in each row of :class:`PacketType` are those of, in their order."""

_ROWS: Final = {
    name: VersionTable(name, bytes(kind.versions[row] for kind in PacketType)) for row, name in enumerate(RELEASES)
}

DEFAULT: Final = _ROWS["2025.05.1"]

_BEFORE: Final = {DEFAULT[PacketType.ENTITY_DATA]: 133, DEFAULT[PacketType.AVATAR_DATA]: 54}
"""What Vircadia has for the versions of entities and avatars, which Overte raised."""

_VIRCADIA: Final = DEFAULT.evolve(
    {kind: _BEFORE[DEFAULT[kind]] for kind in PacketType if DEFAULT[kind] in _BEFORE}, name="vircadia"
)

VERSIONS: Final[Mapping[str, VersionTable]] = MappingProxyType({**_ROWS, _VIRCADIA.name: _VIRCADIA})
"""``2025.05.1`` is what servers of that release compute. ``2026-newest-known`` is the newest table that was seen, in
two copies of the source by third parties: whether a release will ever have it is not confirmed. ``vircadia`` is what
the SDK of Vircadia announces."""
