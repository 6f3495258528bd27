"""The one socket, addresses as keys of what is kept for them, and what follows from where somebody is."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final, TypeAlias

import attrs

from ..blank import blank_of
from ..contract import Address, Path
from ..errors import WireError
from .packets import PingType
from .qt import SOCK_ADDR, SockAddr, SocketType

_NOWHERE: Final = frozenset(("", "*", "0.0.0.0", "::"))
_WEBRTC: Final = SocketType.WEBRTC.value
_LOCAL, _PUBLIC = PingType.LOCAL.value, PingType.PUBLIC.value
_BlankPath: Final = blank_of(Path)
_BlankAddress: Final = blank_of(Address)

_TURNS: Final = 16
"""The most addresses of one name that are tried."""

SOCKET: Final = "udp"
"""The label of the one datagram socket."""

Remote: TypeAlias = tuple[str, int, int]
"""An address: host, port, scope."""


def remote_of(path: Path) -> Remote:
    """The address that a path leads to."""
    return path.host, path.port, path.scope


def path_of(remote: Remote) -> Path:
    """The way to an address."""
    return Path(SOCKET, *remote)


def path_to(sock: SockAddr, instead: str = "") -> Path | None:
    """Where a socket of the wire is, with the host ``instead`` of a null one; None if no datagram can be sent there."""
    host, port, scope = sock.host or instead, sock.port, sock.scope
    if ":" in host and "." in host:
        host = host.removeprefix("::ffff:")
    if host in _NOWHERE or not port or sock.kind == _WEBRTC:
        return None
    blank = _BlankPath()
    blank.socket, blank.host, blank.port = SOCKET, host, port
    blank.scope = int(scope) if scope and scope.isascii() and scope.isdecimal() else 0
    blank.__class__ = Path
    path: Path = blank
    return path


def in_turn(addresses: tuple[Address, ...], bound: Address | None) -> tuple[Path, ...]:
    """The ways to a name, in the order in which they are tried: IPv4 first, and what our socket cannot reach only if
    there is nothing else.
    """
    families = [[address for address in addresses if (":" in address.host) is six] for six in (False, True)]
    if bound is not None and bound.host != "::" and families[":" in bound.host]:
        families = [families[":" in bound.host]]
    return tuple([Path(SOCKET, each.host, each.port, each.scope) for family in families for each in family][:_TURNS])


def turned(paths: tuple[Path, ...], path: Path) -> Path:
    """The way that is next."""
    return paths[(paths.index(path) + 1) % len(paths)] if path in paths else path


def own_socket(host: str, port: int) -> SockAddr:
    """A socket of ours, to tell others; without its host if no packet can hold that."""
    own = SockAddr(host, port)
    try:
        SOCK_ADDR.encode(own)
    except WireError:
        return SockAddr("", port)
    return own


def address_of(path: Path) -> Address:
    blank = _BlankAddress()
    blank.host, blank.port, blank.scope = path.host, path.port, path.scope
    blank.__class__ = Address
    address: Address = blank
    return address


def ways_to(local: SockAddr, public: SockAddr, instead: str = "") -> dict[int, Path]:
    """By the PingType that goes there, those of somebody's sockets that can be sent to, as :func:`path_to` says."""
    found = {}
    if (path := path_to(local)) is not None:
        found[_LOCAL] = path
    if (path := path_to(public, instead)) is not None:
        found[_PUBLIC] = path
    return found


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
