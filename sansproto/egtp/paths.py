"""Where packets come from, as bytes: paths, which tokens are bound to, and groups of them, which limits are for."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, ip_address

from ..contract import Address, Path
from .packets import PATH, PathRelay, PathV4, PathV6

_LABEL_MOST = 255
_OCTETS = {str(number): number for number in range(256)}


def _packed(host: str) -> bytes:
    """4 or 16 bytes; IPv4 within IPv6 is IPv4. What no adapter reports, a host that is no address, is one for all."""
    octets = [*map(_OCTETS.get, host.split("."))]
    if len(octets) == 4 and None not in octets:  # most are: a flood brings a new one with each packet
        return bytes(octets)  # type: ignore[arg-type]
    try:
        address = ip_address(host)
    except ValueError:
        return bytes(16)
    mapped = None if isinstance(address, IPv4Address) else address.ipv4_mapped
    return (mapped or address).packed


def path_bytes(path: Path) -> bytes:
    """A path of datagrams, serialised."""
    return _serialised(path, _packed(path.host))


def path_and_group(path: Path) -> tuple[bytes, bytes]:
    """A path of datagrams, serialised, and its group."""
    address = _packed(path.host)
    return _serialised(path, address), _group(address)


def _serialised(path: Path, address: bytes) -> bytes:
    if len(address) == 4:
        return _before_v4(path.socket) + address + path.port.to_bytes(2, "little")
    label = path.socket.encode()[:_LABEL_MOST]
    is_local = address[0] == 0xFE and address[1] & 0xC0 == 0x80
    return PATH.encode(PathV6(label, address, path.port, path.scope if is_local else 0))


@lru_cache(64)
def _before_v4(socket: str) -> bytes:
    """What comes before the address and the port."""
    return PATH.encode(PathV4(socket.encode()[:_LABEL_MOST], bytes(4), 0))[:-6]


def relay_path_bytes(server: bytes, mailbox: bytes) -> bytes:
    """The path to a mailbox at a server, serialised."""
    return PATH.encode(PathRelay(server, mailbox))


def group_of(where: Path | Address) -> bytes:
    """The network that an address belongs to: /24 of IPv4, /48 of IPv6."""
    return _group(_packed(where.host))


def _group(address: bytes) -> bytes:
    return b"\x04" + address[:3] if len(address) == 4 else b"\x06" + address[:6]
