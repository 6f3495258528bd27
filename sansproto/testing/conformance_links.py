"""The table that all streams have in common: see :mod:`sansproto.testing.conformance`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ._internal.protocols import tables_of

ANSWERS: Mapping[str, Callable[..., Any]] = {}
MACHINES: Mapping[str, Callable[..., Any]] = {}
TABLES = tables_of("links")
CANNOT: frozenset[str] = frozenset()
