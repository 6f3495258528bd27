"""Lists of relays, as friends tell them to each other: docs/protocols/tox.rst, packed nodes."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import attrs

from ..contract import Address
from ..errors import Fault, WireError
from .crypto import is_key
from .packets import NODE, TcpV4, TcpV6

MOST_NODES: Final = 3
"""How many of them are read, and sent."""


@attrs.frozen
class Relay:
    """A TCP relay."""

    key: bytes = attrs.field(repr=bytes.hex)
    """Its public key, 32 bytes."""
    address: Address
    """Where it listens."""


def decode_nodes(data: bytes) -> tuple[Relay, ...]:
    """The first relays of a list. An address that cannot be read ends the list.

    Raises WireError if there is none, or if a key is cut off or is no key.
    """
    relays: list[Relay] = []
    at = 0
    while at < len(data) and len(relays) < MOST_NODES:
        try:
            node, at = NODE.decode_from(data, at, len(data))
        except WireError as error:
            if relays and error.field != "key":
                break
            raise
        if not is_key(node.key):
            raise WireError(Fault.BAD_POINT, at - len(node.key), "key")
        relays.append(Relay(node.key, Address(str(_unmapped(node.address)), node.port)))
    if not relays:
        raise WireError(Fault.TRUNCATED, need=1)
    return tuple(relays)


def is_numeric(address: Address) -> bool:
    """Can it stand in such a list?"""
    try:
        ip_address(address.host)
    except ValueError:
        return False
    return True


def encode_nodes(relays: Iterable[Relay]) -> bytes:
    """The first three of them as one list."""
    return b"".join(NODE.encode(_packed(relay)) for relay, _ in zip(relays, range(MOST_NODES), strict=False))


def _unmapped(packed: bytes | str) -> IPv4Address | IPv6Address:
    """IPv4 within IPv6 is IPv4."""
    address = ip_address(packed)
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _packed(relay: Relay) -> TcpV4 | TcpV6:
    address = _unmapped(relay.address.host)
    kind = TcpV4 if isinstance(address, IPv4Address) else TcpV6
    return kind(address.packed, relay.address.port, relay.key)
