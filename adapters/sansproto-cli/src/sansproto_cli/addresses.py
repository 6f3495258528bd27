"""Addresses as people write them, and the one under which others reach this computer."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

import attrs

from sansproto.contract import Address

from .exits import CommandFailed, Exit

P = TypeVar("P", int, int | None)

PORT, SECURE_PORT = 9000, 9001
LOOPBACK = "127.0.0.1"
_HERE = "place to listen at (--bind)", "192.168.1.10:9000"

# Of the blocks for documentation: connecting a datagram socket asks the routing table, and sends nothing.
_FAR_AWAY = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


@attrs.frozen
class RelayAddress:
    """Where a relay is, with both of its ports."""

    host: str
    port: int
    secure_port: int

    def __str__(self) -> str:
        return format_address(self.host, self.port)

    @property
    def secure(self) -> str:
        """The secure port, for people."""
        return f"the secure port {self.secure_port} of {self.host}"


def parse_relay(text: str, secure_port: int | None) -> RelayAddress:
    """Where a relay is."""
    host, port = parse_address(text, PORT, "relay (--relay)", "192.168.1.10:9000")
    return RelayAddress(host, port, secure_port or _secure_port_of_environment() or next_port(port))


def next_port(port: int) -> int:
    """The usual secure port of a relay at this one: 0 of 0, which is any."""
    if port == 65_535:
        raise CommandFailed(Exit.USAGE, "There is no port after 65535: add --secure-port.")
    return port + 1 if port else 0


def _secure_port_of_environment() -> int | None:
    text = os.environ.get("SANSPROTO_SECURE_PORT", "")
    if not text:
        return None
    if not _is_port(text):
        raise CommandFailed(Exit.USAGE, "SANSPROTO_SECURE_PORT is not a port: give a number from 1 to 65535.")
    return int(text)


def _is_port(text: str, least: int = 1) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6 and least <= int(text) < 65_536


def parse_address(text: str, usual_port: int, what: str, example: str, *, least: int = 1) -> tuple[str, int]:
    """Take ``HOST``, ``HOST:PORT``, ``[IPv6]:PORT`` or a bare IPv6 address apart."""
    host, port = _parse(text, what, example, least)
    return host, usual_port if port is None else port


def _parse(text: str, what: str, example: str, least: int) -> tuple[str, int | None]:
    """The same; the port is None if there is none."""
    host, port = text, None
    if text.startswith("["):
        host, end, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if end + rest[:1] == "]:" else None if end + rest == "]" else ""
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    is_port = port is None or _is_port(port, least)
    if not host.strip() or not is_port or (":" in host and not _is_ip(host)):
        form = f"give HOST or HOST:PORT, as in {example}"
        raise CommandFailed(Exit.USAGE, f"That is not a valid address of a {what}: {form}.")
    return host, None if port is None else int(port)


def parse_bind(text: str, port: P) -> tuple[str, int | P]:
    """Where to listen: ``HOST``, ``HOST:PORT``, ``:PORT`` or nothing; ``port`` is used if it names none."""
    if text.startswith(":") and not _is_ip(text):
        return "", parse_address(f"x{text}", 0, *_HERE, least=0)[1]
    if not text:
        return "", port
    host, at = _parse(text, *_HERE, 0)
    return host, port if at is None else at


def parse_bound(text: str, what: str, example: str) -> tuple[str, int]:
    """An address that has to name its port."""
    host, port = parse_address(text, 0, what, example, least=0)
    if not port:
        raise CommandFailed(Exit.USAGE, f"That is not a valid address of a {what}: give HOST:PORT, as in {example}.")
    return host, port


def look_up(host: str, port: int, kind: socket.SocketKind) -> tuple[str, int, int]:
    """Numeric host, port and IPv6 zone of a name. Raises OSError."""
    *_, found = socket.getaddrinfo(host, port, type=kind)[0]
    scope = found[3] if len(found) == 4 else 0
    return str(found[0]).partition("%")[0], int(found[1]), int(scope)


def find(host: str, port: int, kind: socket.SocketKind) -> tuple[str, int, int]:
    """The same. Raises CommandFailed."""
    try:
        return look_up(host, port, kind)
    except OSError as error:
        raise CommandFailed(Exit.NOBODY, f"Cannot find {host} ({error.strerror}): check the name.") from error


def _is_ip(host: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False


def format_address(host: str, port: int) -> str:
    """The opposite of :func:`parse_address`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def shown(bound: str) -> str:
    """Where others find what is bound to this address."""
    return own_address() if ipaddress.ip_address(bound).is_unspecified else bound


def we_are_at(bound: Address) -> tuple[str, str]:
    """Where others find what is bound to this address, and how that is said."""
    where = format_address(shown(bound.host), bound.port)
    other = ", and at the other addresses of this computer" if shown(bound.host) != bound.host else ""
    return where, f"We are at {where}{other}"


def own_address() -> str:
    """The address that others on the network reach this computer at; a loopback address if there is no network."""
    return next((address for address in _candidates() if _is_reachable(address)), LOOPBACK)


def _candidates() -> Iterator[str]:
    for family, far_away in _FAR_AWAY:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((far_away, 9))
            yield sock.getsockname()[0]
    with suppress(OSError):
        for *_, sockaddr in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM):
            yield str(sockaddr[0])


def _is_reachable(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return not (ip.is_loopback or ip.is_unspecified or ip.is_link_local)
