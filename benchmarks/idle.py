"""Many peers of a node that say nothing: where they are, and what a node does for the sake of time alone."""

from __future__ import annotations

from time import process_time
from typing import Any

from sansproto.contract import Path


def paths(count: int) -> list[Path]:
    """Addresses, one for each peer."""
    return [Path("udp", f"11.{place >> 16}.{place >> 8 & 255}.{place & 255}", 4000) for place in range(count)]


def let_act(node: Any, now: float) -> tuple[float, bool]:
    """What a driver does, once: the seconds that the node took for it, and whether timers were due."""
    start = process_time()
    due = node.next_timeout()
    is_due = due is not None and due <= now
    if is_due:
        node.handle_timeout(now)
    return process_time() - start, is_due
