"""The tables of the rules of recovery, which hosts' vectors run: see :mod:`sansproto.testing.conformance`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ._internal.protocols import tables_of

ANSWERS: Mapping[str, Callable[..., Any]] = {}
MACHINES: Mapping[str, Callable[..., Any]] = {}
TABLES = tables_of("recovery")
CANNOT: frozenset[str] = frozenset()
