"""Vectors that were changed on purpose: each has to fail, and to say where."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import attrs

from sansproto.testing.conformance import Checks, differences
from sansproto.testing.vectors import VectorTest


def altered(test: VectorTest, checks: Checks, change: Callable[[Any], object]) -> list[str]:
    """What differs in a test that was changed; the beginning of each difference."""
    body = copy.deepcopy(dict(test.body))
    change(body)
    return [line.partition(":")[0] for line in differences(attrs.evolve(test, body=body), checks)]
