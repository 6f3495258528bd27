"""Fields of the classes that say how much and how long."""

from __future__ import annotations

from math import inf

import attrs


def some(default: int, *, least: int = 1) -> int:
    """A field of a class of limits: how many, or how much. With room for nothing, a session would wait for ever."""
    return attrs.field(default=default, validator=attrs.validators.ge(least))


def seconds(default: float) -> float:
    """A field of a class of delays: a positive and finite number of seconds."""
    return attrs.field(default=default, validator=_positive)


def _positive(_: object, field: attrs.Attribute[float], value: float) -> None:
    if not 0 < value < inf:  # no selector and no event loop waits for ever until a time
        raise ValueError(f"{field.name} must be positive and finite")
