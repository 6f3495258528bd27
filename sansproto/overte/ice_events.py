"""What the machines of ICE tell their applications."""

from __future__ import annotations

from typing import Never, TypeAlias

import attrs

from ..contract import Address
from ..events import Closed


@attrs.frozen
class IcePeerAdded:
    """A peer came to this ice-server: a domain sent a heartbeat, or a client a query."""

    peer_id: bytes = attrs.field(repr=bytes.hex)
    """Its UUID, 16 bytes."""
    address: Address
    """The address from which it sent."""
    is_domain: bool = attrs.field(default=False, kw_only=True)
    """True for a domain, False for a client."""


@attrs.frozen
class IcePeerRemoved:
    """This ice-server forgot a peer: it was silent, or a domain took the id of a client."""

    peer_id: bytes = attrs.field(repr=bytes.hex)
    """Its UUID, 16 bytes."""


@attrs.frozen
class DomainKeyWanted:
    """A heartbeat needs a key: no key of this domain is known, or the known one does not fit. Call ``provide_key``.

    Anybody can send heartbeats, so the event may come often. Remember which keys you looked up lately.
    """

    domain_id: bytes = attrs.field(repr=bytes.hex)
    """The UUID of the domain, 16 bytes."""


@attrs.frozen
class KeyRefused:
    """An ice-server denied several heartbeats of this domain in a row: it knows another public key of the domain."""

    host: str
    """The ice-server's host, as the domain was told it."""
    port: int
    """The ice-server's port."""


IceServerEvent: TypeAlias = IcePeerAdded | IcePeerRemoved | DomainKeyWanted | Closed[Never]
