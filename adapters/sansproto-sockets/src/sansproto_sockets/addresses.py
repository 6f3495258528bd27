"""Socket addresses in the form that the contract wants: canonical text, v4-in-v6 unmapped, no flow label."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeAlias, cast

from sansproto.contract import Address

Bind: TypeAlias = tuple[str, int] | socket.socket
"""Where to listen or bind: a host with a port (0: any free one), or a bound socket of yours, then the runner's.

The host ``""`` is every address of both families, ``"0.0.0.0"`` every IPv4 one, ``"::"`` every IPv6 one.
"""

BACKLOG = 4096  # the kernel lowers it to its own limit


def each(bindings: Bind | Sequence[Bind]) -> Sequence[Bind]:
    """One binding or several, as several."""
    if isinstance(bindings, Sequence) and bindings and not isinstance(bindings[0], str):
        return cast(Sequence[Bind], bindings)
    return (cast(Bind, bindings),)


def bound_socket(where: Bind, kind: socket.SocketKind, free_port: int = 0) -> socket.socket:
    """Bind a socket that does not block, to ``free_port`` if any port will do.

    Raises OSError, and TypeError for what is no :data:`Bind`.
    """
    if isinstance(where, socket.socket):
        sock = where
    else:
        match where:
            case [str(host), int(port)]:
                pass
            case _:
                raise TypeError(f"cannot bind to {where!r}: give (host, port), or a bound socket")
        dual_stack = host == "" and socket.has_dualstack_ipv6()
        host = host or ("::" if dual_stack else "0.0.0.0")
        try:
            family, *_, sockaddr = socket.getaddrinfo(
                host, _checked(port or free_port), type=kind, flags=socket.AI_PASSIVE
            )[0]
        except ValueError as error:
            raise OSError(errno.EINVAL, "no host name") from error
        sock = socket.socket(family, kind)
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual_stack)
            if kind == socket.SOCK_STREAM and os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(sockaddr)
        except BaseException:
            sock.close()
            raise
    if kind == socket.SOCK_STREAM:
        sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


@lru_cache(maxsize=4096)
def address_of(sockaddr: tuple[Any, ...]) -> Address:
    """The address in what ``accept``, ``recvfrom``, ``getsockname`` or ``getaddrinfo`` gave."""
    host, port, *flow_and_scope = sockaddr
    ip = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        return Address(str(ip.ipv4_mapped), port)
    return Address(str(ip), port, flow_and_scope[1] if flow_and_scope else 0)


@lru_cache(maxsize=4096)
def sockaddr_of(family: int, host: str, port: int, scope: int) -> tuple[Any, ...]:
    """What a socket of this family takes for this address. Raises OSError if it cannot reach it."""
    _checked(port)
    if family == socket.AF_INET6:
        return (host if ":" in host else f"::ffff:{host}", port, 0, scope)
    if ":" in host:
        raise OSError(errno.EAFNOSUPPORT, "an IPv4 socket cannot reach an IPv6 address")
    return (host, port)


def resolve(host: str, port: int) -> tuple[Address, ...]:
    """The addresses of a name, best first; none if it failed. Blocks as long as the system's resolver likes."""
    try:
        found = socket.getaddrinfo(host, _checked(port), type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(address_of(sockaddr) for *_, sockaddr in found))
    except (OSError, ValueError):  # ValueError: no name at all, such as a label of 64 characters
        return ()


def own_addresses(to: Address) -> tuple[Address, ...]:
    """Ours on the way there; none if no way leads there. Nothing is sent."""
    family = socket.AF_INET6 if ":" in to.host else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(sockaddr_of(family, to.host, to.port, to.scope))
        return (address_of(sock.getsockname()),)
    return ()


def _checked(port: int) -> int:
    """The resolver would take a port modulo 65,536, and ``connect`` raise what is no OSError."""
    if not 0 <= port <= 65_535:
        raise OSError(errno.EINVAL, f"{port} is no port")
    return port
