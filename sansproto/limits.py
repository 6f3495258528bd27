"""Fields of the classes that say how much and how long."""

from __future__ import annotations

from math import inf

import attrs


def some(default: int, *, least: int = 1) -> int:
    """A field of a class of limits: how many, or how much. With room for nothing, a session would wait for ever."""
    return attrs.field(default=default, validator=attrs.validators.ge(least))


def seconds(default: float) -> float:
    """A field of a class of delays: a positive number of seconds, and a finite one: no selector waits for longer."""
    return attrs.field(default=default, validator=[attrs.validators.gt(0), attrs.validators.lt(inf)])


def seconds_or_never(default: float | None) -> float | None:
    """The same, or None."""
    return attrs.field(default=default, validator=_is_time_or_none)


def _is_time_or_none(_: object, field: attrs.Attribute[float | None], value: float | None) -> None:
    if value is not None and not 0 < value < inf:
        raise ValueError(f"{field.name} is no time: {value}")
