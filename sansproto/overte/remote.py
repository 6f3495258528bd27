"""The one socket, and addresses as keys of what is kept for them."""

from __future__ import annotations

from typing import Final, TypeAlias

from ..contract import Path

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
