"""Events of relays and of their clients."""

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
    """A frame holds a packet that this end does not expect, or something that is not a packet."""
    ZERO_PONG = 3
    """The answer to a ping has the number 0, which no ping has."""


@attrs.frozen
class RelayConnected:
    """The stream to the relay is open. Keys for which the application asked are sent to the relay now."""

    relay: bytes = attrs.field(repr=bytes.hex)
    """Its key."""


@attrs.frozen
class RelayLost:
    """The stream to the relay ended, or could not be opened. The client dials again.

    The event does not come again before ``RelayConnected``. A relay that ends the stream before ``RelayConnected`` may
    have another key: it cannot say so.
    """

    relay: bytes = attrs.field(repr=bytes.hex)
    """Its key."""
    cause: CloseCause
    """Why the stream ended."""
    violation: RelayViolation | None = attrs.field(default=None, kw_only=True)
    """How the relay broke the protocol, if it did."""
    proxy: ProxyFailure | None = attrs.field(default=None, kw_only=True)
    """The proxy's fault or answer, if that is the reason."""
    detail: str = attrs.field(default="", kw_only=True)
    """Text for people only."""


@attrs.frozen
class Routed:
    """The relay has noted that we want to be linked with this key."""

    key: bytes = attrs.field(repr=bytes.hex)
    """The other client's DHT key."""


@attrs.frozen
class RouteRefused:
    """The relay has no room for this key. The client asks again later."""

    key: bytes = attrs.field(repr=bytes.hex)
    """The other client's DHT key."""


@attrs.frozen
class Linked:
    """The client with this key is at the relay, too, and asked for us: packets pass in both directions."""

    key: bytes = attrs.field(repr=bytes.hex)
    """The other client's DHT key."""


@attrs.frozen
class Unlinked:
    """The link is over: the other client left, or gave up the link, or the stream to the relay ended."""

    key: bytes = attrs.field(repr=bytes.hex)
    """The other client's DHT key."""


@attrs.frozen
class RelayedReceived:
    """A linked client sent a packet. It is never empty."""

    key: bytes = attrs.field(repr=bytes.hex)
    """Its DHT key, as the relay says."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """The packet, at most 2031 bytes."""


@attrs.frozen
class OobReceived:
    """A client of the relay sent a packet by key. It need not be linked with us."""

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
"""All events of a client of a relay."""


@attrs.frozen
class RelayClientJoined:
    """A client completed the handshake, and has proved that it has the key."""

    key: bytes = attrs.field(repr=bytes.hex)
    """Its DHT key."""
    link: Link
    """Its connection."""
    address: Address = attrs.field(kw_only=True)
    """The address from which it came."""


@attrs.frozen
class RelayClientLeft:
    """The connection of a client is over."""

    key: bytes = attrs.field(repr=bytes.hex)
    """Its DHT key."""
    link: Link
    """Its connection."""


RelayServerEvent: TypeAlias = RelayClientJoined | RelayClientLeft | Closed[Never]
"""All events of a relay."""
