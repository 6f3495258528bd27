"""Where packets come from, as bytes: paths, which tokens are bound to."""

from __future__ import annotations

from functools import lru_cache

from ..contract import Path
from ..fair import address_bytes, group_of_address
from .packets import PATH, PathRelay, PathV4, PathV6

_LABEL_MOST = 255


def path_bytes(path: Path) -> bytes:
    """A path of datagrams, serialised."""
    return _serialised(path, address_bytes(path.host))


def path_and_group(path: Path) -> tuple[bytes, bytes]:
    """A path of datagrams, serialised, and its group."""
    address = address_bytes(path.host)
    return _serialised(path, address), group_of_address(address)


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
