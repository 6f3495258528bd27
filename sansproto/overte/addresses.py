"""What follows from where somebody is."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final

import attrs

from ..contract import Path
from .qt import SockAddr


def with_host(address: SockAddr, path: Path) -> SockAddr:
    """The public address that a node reports; a null one means the sender's, unless that is on this machine."""
    if address.host or is_loopback(path.host):
        return address
    return attrs.evolve(address, host=path.host)


@lru_cache(4096)
def is_loopback(host: str) -> bool:
    return ip_address(host).is_loopback


@lru_cache(4096)
def is_private(host: str) -> bool:
    """Is this an address of a local network, or of this machine?"""
    address = ip_address(host)
    return address.is_loopback or any(address in network for network in _PRIVATE)


_PRIVATE: Final = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
