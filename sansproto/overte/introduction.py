"""What a client says of itself to its domain, and what that says of the client. docs/protocols/overte.rst, check-in."""

from __future__ import annotations

from typing import Final, TypeAlias, TypeVar

import attrs

from ..contract import Instant
from ..wire import ABSENT
from . import crypto
from . import packets as p
from .qt import NULL_UUID, SockAddr

C = TypeVar("C", bound=p.CheckIn)

Sockets: TypeAlias = tuple[SockAddr, SockAddr]
"""Our public and our local socket."""

_NO_SYSTEM_INFO: Final = bytes(4)
"""Nothing, compressed."""


@attrs.frozen(kw_only=True)
class Introduction:
    """Who we are. ``account`` is a username and tokens of the domain's own accounts."""

    connect_id: bytes
    signature: bytes
    """Of the version table."""
    node_type: p.NodeType
    interest: bytes
    fingerprint: bytes
    username: str
    private_key: bytes | None = attrs.field(repr=False)
    account: tuple[str, str] | None = attrs.field(repr=False)
    place_name: str | None

    def check_in(self, kind: type[C], clock: int, sockets: Sockets) -> C:
        return kind(
            client_clock=clock,
            node_type=self.node_type,
            public_socket=sockets[0],
            local_socket=sockets[1],
            interests=self.interest,
            place_name=self.place_name,
        )

    def connect_request(
        self, clock: int, sockets: Sockets, *, reason: int, uptime: int, signature: bytes
    ) -> p.DomainConnectRequest:
        account, tokens = (ABSENT, ABSENT) if self.account is None else self.account
        return p.DomainConnectRequest(
            connect_id=self.connect_id,
            protocol_signature=self.signature,
            hardware_address=None,
            machine_fingerprint=self.fingerprint,
            system_info=_NO_SYSTEM_INFO,
            reason=reason,
            previous_uptime=uptime,
            check_in=self.check_in(p.CheckIn, clock, sockets),
            username=self.username or None,
            username_signature=signature,
            domain_username=account,
            domain_tokens=tokens,
        )

    @property
    def settings(self) -> p.AssignmentType:
        """The kind of the domain's settings that are for us."""
        return p.AssignmentType.__members__.get(self.node_type.name, p.AssignmentType.ALL)

    def sign(self, token: bytes) -> bytes:
        """A proof of the username for a token of the domain; empty without one, or without a key."""
        if not token or self.private_key is None:
            return b""
        return crypto.sign_username(self.private_key, self.username, token)

    @property
    def signature_size(self) -> int:
        """Bytes. Raises ValueError if the private key is none."""
        return 0 if self.private_key is None else crypto.load_private_key(self.private_key).key_size // 8


@attrs.frozen(kw_only=True)
class Membership:
    """What the domain's lists say of us, since a connection began. All is null while there is none."""

    session_id: bytes = NULL_UUID
    local_id: int = 0
    domain_id: bytes = NULL_UUID
    domain_local_id: int = 0
    permissions: int = 0
    """Bits of Permissions."""
    authenticated: bool = True
    """Packets between nodes have a MAC."""
    since: Instant = 0.0


NO_MEMBER: Final = Membership()
