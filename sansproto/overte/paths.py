"""Where a socket that a packet names is, as a path that something can be sent to."""

from __future__ import annotations

from ..contract import Path
from .qt import SockAddr
from .remote import SOCKET


def path_to(sock: SockAddr, instead: str = "") -> Path | None:
    """Where a socket of the wire is, with the host ``instead`` of a null one; None if nothing can be sent there."""
    host = sock.host or instead
    if host in ("", "*", "0.0.0.0", "::") or not sock.port:
        return None
    if host.startswith("::ffff:") and "." in host:
        host = host[7:]
    scope = int(sock.scope) if sock.scope and sock.scope.isascii() and sock.scope.isdecimal() else 0
    return Path(SOCKET, host, sock.port, scope)
