"""The differences between all values of two sessions, also of those outside of their snapshots: for law 14."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Set
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any, get_type_hints

import attrs

from ...component import Declared
from ...snapshot import is_memo
from .declared import attributes

_PLAIN = (int, float, str, bytes, bytearray, bool, NoneType, Enum)
_CONTAINERS = (Mapping, tuple, list, deque, Set)
_GIVEN = frozenset(("place", "trace", "_entropy"))
"""Attributes that may differ: the place of a part, which is computed when it is used; the entropy and the trace."""


def differences(one: Declared, other: Declared) -> Iterator[str]:
    """Each place where two sessions hold other values, and what these are.

    Values of declared attributes are compared, of attrs classes, containers and plain types. Of any other object (a
    cipher, a function) only the type is.
    """
    yield from _Comparison().differing(one, other, "")


class _Comparison:
    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()
        self._twins: dict[int, int] = {}

    def differing(self, one: Any, other: Any, where: str) -> Iterator[str]:
        pair = id(one), id(other)
        if one is other or pair in self._seen:
            return
        plain = isinstance(one, _PLAIN)
        if one != other if plain else type(one) is not type(other):
            yield f"{where.strip('.')}: {one!r} and {other!r}"
        elif not plain:
            self._seen.add(pair)
            if _is_object(one) and self._twins.setdefault(*pair) != id(other):
                yield f"{where.strip('.')}: the same object as elsewhere, and another one: {one!r}"
            yield from self._inside(one, other, where)

    def _inside(self, one: Any, other: Any, where: str) -> Iterator[str]:
        if isinstance(one, Declared):
            for name in sorted({*attributes(one), *attributes(other)} - _GIVEN):
                yield from self.differing(getattr(one, name, None), getattr(other, name, None), f"{where}.{name}")
        if isinstance(one, Mapping):
            yield from self._sets(_filled(one, other), _filled(other, one), where)
            for key in one:
                if key in other:
                    yield from self.differing(one[key], other[key], f"{where}[{key!r}]")
        elif isinstance(one, tuple | list | deque):
            if len(one) != len(other):
                yield f"{where.strip('.')}: {one!r} and {other!r}"
            for number, (a, b) in enumerate(zip(one, other, strict=False)):
                yield from self.differing(a, b, f"{where}[{number}]")
        elif isinstance(one, Set):
            yield from self._sets(one, other, where)
        elif attrs.has(type(one)):
            kind: Any = type(one)
            for name in _fields(kind):
                yield from self.differing(getattr(one, name), getattr(other, name), f"{where}.{name}")

    def _sets(self, one: Set[Any], other: Set[Any], where: str) -> Iterator[str]:
        if len(one) != len(other) or (one != other and not any(map(_is_object, one))):
            yield f"{where.strip('.')}: {sorted(map(repr, one))} and {sorted(map(repr, other))}"


def _filled(some: Mapping[Any, Any], other: Mapping[Any, Any]) -> Set[Any]:
    """The keys, without those that have an empty value on one side and are missing on the other."""
    return {key for key, value in some.items() if key in other or not isinstance(value, _CONTAINERS) or value}


def _is_object(value: Any) -> bool:
    """Whether it is of a class of this library that compares by identity."""
    kind: Any = type(value)
    return kind.__hash__ is object.__hash__ and (attrs.has(kind) or isinstance(value, Declared))


@cache
def _fields(kind: Hashable) -> tuple[str, ...]:
    one: Any = kind
    hints = get_type_hints(one, include_extras=True)
    return tuple(field.name for field in attrs.fields(one) if not is_memo(hints[field.name]))
