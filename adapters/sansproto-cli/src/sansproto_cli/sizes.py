"""Sizes as people write and read them."""

from __future__ import annotations

import re
from decimal import Decimal

from rich.filesize import decimal

from .exits import CommandFailed, Exit

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_size(text: str) -> int:
    """Bytes: ``1.5G`` is a number with a unit. Raises :class:`CommandFailed`."""
    found = re.fullmatch(r"(\d{1,20}(?:\.\d{1,20})?)([KMGT]?)B?", text.strip().upper(), re.ASCII)
    if found is None:
        raise CommandFailed(Exit.USAGE, "--max-size is not a size: give bytes, or a number with K, M, G or T (1.5G).")
    return int(Decimal(found[1]) * _UNITS[found[2]])


def size_text(size: int | None) -> str:
    """As in ``48.2 MB``."""
    return "of unknown size" if size is None else decimal(size)


def speed_text(size: int, seconds: float) -> str:
    """Size, time and rate."""
    return f"{decimal(size)} in {seconds:.1f} s, {decimal(int(size / max(seconds, 1e-6)))}/s"
