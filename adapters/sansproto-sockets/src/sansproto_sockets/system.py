"""What endpoints ask of the system besides sockets: random bytes, and the time of day."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable


def system_entropy(n: int, *, purpose: str) -> bytes:
    """``n`` random bytes of the operating system, whatever they are for: the ``entropy`` of an endpoint."""
    return secrets.token_bytes(n)


def wall_epoch(clock: Callable[[], float] = time.monotonic) -> float:
    """The time of day, in seconds since 1970, when ``clock`` was 0: the ``wall_epoch`` of an endpoint.

    ``clock`` has to be the one that the adapter counts ``now`` with.
    """
    return time.time() - clock()
