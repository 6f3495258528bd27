"""What the machines of ICE tell their applications."""

from __future__ import annotations

from typing import Never, TypeAlias

import attrs

from ..contract import Address
from ..events import Closed


@attrs.frozen
class IcePeerAdded:
    """An ice-server heard of a peer at this address: a domain by its heartbeat, or a client that asked."""

    peer_id: bytes
    """Its UUID, 16 bytes."""
    address: Address
    """From where it was heard."""
    is_domain: bool = attrs.field(default=False, kw_only=True)
    """It is a domain; else a client."""


@attrs.frozen
class IcePeerRemoved:
    """An ice-server forgot a peer: it fell silent, or was a client whose id a domain has now."""

    peer_id: bytes
    """Its UUID, 16 bytes."""


@attrs.frozen
class DomainKeyWanted:
    """A heartbeat could not be checked, or not with the key that is known: ``IceServer.provide_key`` brings another.

    Anybody can send heartbeats, so this may come often; who looks keys up does well to remember what was asked lately.
    """

    domain_id: bytes
    """The UUID of the domain, 16 bytes."""


@attrs.frozen
class KeyRefused:
    """An ice-server (as it was named to the domain) denied our heartbeats again and again: it has another key."""

    host: str
    """Of the ice-server, as it was named to the domain."""
    port: int
    """Of the ice-server."""


IceServerEvent: TypeAlias = IcePeerAdded | IcePeerRemoved | DomainKeyWanted | Closed[Never]
