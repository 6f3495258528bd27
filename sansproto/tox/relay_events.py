"""What relays and their clients tell their applications."""

from __future__ import annotations

from enum import Enum
from typing import Never, TypeAlias

import attrs

from ..contract import Address, Link
from ..events import CloseCause, Closed, Writable
from ..proxies import ProxyFailure


class RelayViolation(Enum):
    """How the other end of a stream to a relay broke the protocol."""

    BAD_HELLO = 0
    """The answer to the hello does not open: the relay does not have the key that was expected."""
    BAD_FRAME = 1
    """A frame that is too long or too short, or does not open: somebody changed the data."""
    BAD_PACKET = 2
    """A frame that holds no packet which this end expects."""
    ZERO_PONG = 3
    """The answer to a ping has the number 0, which none has."""


@attrs.frozen
class RelayConnected:
    """The relay has answered: what it was asked for is asked for now."""

    relay: bytes = attrs.field(repr=bytes.hex)
    """Its key."""


@attrs.frozen
class RelayLost:
    """The stream to the relay is over, or none came about; it is dialled again.

    A relay that ends the stream before it ever was there may have another key: it cannot say so. Told once, until
    ``RelayConnected``.
    """

    relay: bytes = attrs.field(repr=bytes.hex)
    """Its key."""
    cause: CloseCause
    """Why."""
    violation: RelayViolation | None = attrs.field(default=None, kw_only=True)
    """How the relay broke the protocol, if it did."""
    proxy: ProxyFailure | None = attrs.field(default=None, kw_only=True)
    """What is wrong with the proxy, or what it answered, if that is why."""
    detail: str = attrs.field(default="", kw_only=True)
    """Text for people only."""


@attrs.frozen
class Routed:
    """The relay knows that we want to be linked with this key."""

    key: bytes = attrs.field(repr=bytes.hex)
    """The other client's DHT key."""


@attrs.frozen
class RouteRefused:
    """The relay has no room for this key; it is asked again later."""

    key: bytes = attrs.field(repr=bytes.hex)
    """The other client's DHT key."""


@attrs.frozen
class Linked:
    """The other one is there and wants the same: packets go both ways."""

    key: bytes = attrs.field(repr=bytes.hex)
    """The other client's DHT key."""


@attrs.frozen
class Unlinked:
    """The other one has left the relay, or does not want to be linked any more, or the stream to the relay is over."""

    key: bytes = attrs.field(repr=bytes.hex)
    """The other client's DHT key."""


@attrs.frozen
class RelayedReceived:
    """A packet of a linked client. Never empty."""

    key: bytes = attrs.field(repr=bytes.hex)
    """Its DHT key, as the relay says."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """The packet, at most 2031 bytes."""


@attrs.frozen
class OobReceived:
    """A packet of anybody at the relay."""

    key: bytes = attrs.field(repr=bytes.hex)
    """The sender's DHT key, as the relay says."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """The packet, 1 to 1024 bytes."""


RelayClientEvent: TypeAlias = (
    RelayConnected
    | RelayLost
    | Routed
    | RouteRefused
    | Linked
    | Unlinked
    | RelayedReceived
    | OobReceived
    | Writable
    | Closed[Never]
)
"""All that a client of a relay is told."""


@attrs.frozen
class RelayClientJoined:
    """Somebody uses the relay, and has the key."""

    key: bytes = attrs.field(repr=bytes.hex)
    """Its DHT key."""
    link: Link
    """Its connection."""
    address: Address = attrs.field(kw_only=True)
    """From where it came."""


@attrs.frozen
class RelayClientLeft:
    """It uses the relay no longer, on this connection."""

    key: bytes = attrs.field(repr=bytes.hex)
    """Its DHT key."""
    link: Link
    """Its connection."""


RelayServerEvent: TypeAlias = RelayClientJoined | RelayClientLeft | Closed[Never]
"""All that a relay tells."""
