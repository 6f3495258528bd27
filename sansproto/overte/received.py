"""What guards are given."""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

from ..contract import Path

M = TypeVar("M")


@attrs.frozen
class Received(Generic[M]):
    """A packet, and where it came from."""

    packet: M
    path: Path
