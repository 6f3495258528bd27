"""Nodes, permissions and addresses of a domain in words."""

from __future__ import annotations

from ipaddress import ip_address

from sansproto.contract import Address
from sansproto.overte import NodeType, Permissions, uuid_text

from .addresses import format_address

_SHORT = 8  # characters of an id by which people tell nodes apart


def name_of(node_type: int) -> str:
    """``audio mixer`` for ``M``."""
    known = next((known for known in NodeType if known == node_type), None)
    return f"node of type {node_type}" if known is None else known.name.lower().replace("_", " ")


def label_of(node_type: int, node_id: bytes) -> str:
    """``audio mixer 91639838``."""
    return f"{name_of(node_type)} {uuid_text(node_id)[:_SHORT]}"


def permissions_of(bits: int) -> list[str]:
    """``["connect", "rez avatar entities"]``."""
    return [flag.name.lower().replace("_", " ") for flag in Permissions if flag & bits and flag.name]


def is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_any(bind: str) -> bool:
    """Is a socket that is bound there reached at every address of this computer?"""
    return not bind or (is_ip(bind) and ip_address(bind).is_unspecified)


def where_is(address: Address | None) -> str:
    return "" if address is None else format_address(address.host, address.port)
