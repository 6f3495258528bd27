"""Under which ids a domain knows a client, and what it allows."""

from __future__ import annotations

from typing import Final

import attrs

from ..contract import Instant
from .qt import NULL_UUID


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
