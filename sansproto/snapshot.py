"""State as nested tuples of plain values, and back: driven by type annotations, compiled once per type.

``freeze(base)`` gives deadlines and other :data:`~sansproto.contract.Instant` values relative to ``base``, so that two
states that differ only in *when* they were reached compare equal. Supported: plain values, enums, ``X | Y`` of attrs
classes and plain values, tuple, list, deque, dict, set, bytearray, attrs classes, and classes with ``freeze``/``thaw``.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from enum import Enum, Flag
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

from .contract import Instant

Freeze = Callable[[Any, float], Any]
Thaw = Callable[[Any, float], Any]

CACHED = "cached"
"""``Annotated[T, CACHED]``: an attribute that is rebuilt from the state and is no part of it."""

MEMO = "memo"
"""``Annotated[T, MEMO]``: a cached attribute that nothing rebuilds. It may be forgotten at any time: a restored one is
as in the beginning."""

_PLAIN = (int, float, str, bytes, bool, None, NoneType)


def codec(kind: Any) -> tuple[Freeze, Thaw]:
    """The two functions ``freeze(value, base)`` and ``thaw(frozen, base)`` of a type."""
    return _codec(kind)


@cache
def _codec(kind: Hashable) -> tuple[Freeze, Thaw]:
    plain: Any = kind
    if plain == Instant:
        return (lambda value, base: value - base), (lambda frozen, base: frozen + base)
    if get_origin(plain) is Annotated:
        return _codec(get_args(plain)[0])
    supertype = getattr(plain, "__supertype__", None)  # NewType
    if supertype is not None:
        return _codec(supertype)
    origin = get_origin(plain)
    if origin in (Union, UnionType):
        return _union(get_args(plain))
    if isinstance(plain, TypeVar):  # of a generic attrs class
        return _codec(plain.__bound__)
    if origin is not None and not hasattr(origin, "freeze") and not attrs.has(origin):
        return _container(origin, get_args(plain))
    return _scalar(origin or plain)


def _scalar(kind: Any) -> tuple[Freeze, Thaw]:
    if kind in _PLAIN or kind is Enum:  # a member of an enum that is not known here stands for itself
        return _same, _same
    if kind is bytearray:
        return (lambda value, _: bytes(value)), (lambda frozen, _: bytearray(frozen))
    if issubclass(kind, Enum):
        members = {member.value: member for member in kind}
        thaw = kind if issubclass(kind, Flag) else members.__getitem__  # flags are more than their members
        return (lambda value, _: value.value), (lambda frozen, _: thaw(frozen))
    if hasattr(kind, "freeze"):
        return (lambda value, base: value.freeze(base)), getattr(kind, "restore_at", None) or kind.thaw
    if attrs.has(kind):
        return _record(kind)
    raise TypeError(f"{kind!r} cannot be part of a snapshot")


def _same(value: Any, _: float) -> Any:
    return value


def _record(kind: Any) -> tuple[Freeze, Thaw]:
    hints = get_type_hints(kind, include_extras=True)
    fields = [field for field in attrs.fields(kind) if not is_cached(hints[field.name])]
    codecs = [(field.name, field.alias, *_codec(hints[field.name])) for field in fields]
    declared = {field.name for field in attrs.fields(kind)}

    def freeze(value: Any, base: float) -> Any:
        for name in getattr(value, "__dict__", ()):
            if name not in declared:
                raise TypeError(f"{kind.__name__}.{name} is not declared")
        return tuple([freeze_field(getattr(value, name), base) for name, _, freeze_field, _ in codecs])

    def thaw(frozen: Any, base: float) -> Any:
        return kind(**{alias: codec[1](item, base) for (_, alias, *codec), item in zip(codecs, frozen, strict=True)})

    return freeze, thaw


def _union(kinds: tuple[Any, ...]) -> tuple[Freeze, Thaw]:
    """A plain value or enum stands for itself when only None is beside it; everything else is tagged by its place."""
    others = [kind for kind in kinds if kind is not NoneType]
    if len(others) == 1 and len(kinds) == 2:
        freeze_one, thaw_one = _codec(others[0])
        return (
            lambda value, base: None if value is None else (freeze_one(value, base),),
            lambda frozen, base: None if frozen is None else thaw_one(frozen[0], base),
        )
    if all(kind in _PLAIN for kind in kinds):
        return _same, _same
    codecs = [_codec(kind) for kind in kinds]
    place = {_class_of(kind): index for index, kind in enumerate(kinds)}

    def freeze(value: Any, base: float) -> Any:
        index = place[value.__class__]
        return index, codecs[index][0](value, base)

    return freeze, lambda frozen, base: codecs[frozen[0]][1](frozen[1], base)


def _class_of(kind: Any) -> Any:
    """The class that values of a type have."""
    if get_origin(kind) is Annotated:
        return _class_of(get_args(kind)[0])
    supertype = getattr(kind, "__supertype__", None)
    return _class_of(supertype) if supertype is not None else get_origin(kind) or kind


def _container(origin: Any, args: tuple[Any, ...]) -> tuple[Freeze, Thaw]:
    if origin in (dict, OrderedDict):
        (freeze_key, thaw_key), (freeze_value, thaw_value) = map(_codec, args)
        return (
            lambda value, base: tuple([(freeze_key(k, base), freeze_value(v, base)) for k, v in value.items()]),
            lambda frozen, base: origin((thaw_key(k, base), thaw_value(v, base)) for k, v in frozen),
        )
    if origin is tuple and args[-1] is not Ellipsis:
        codecs = [_codec(kind) for kind in args]
        return (
            lambda value, base: tuple([c[0](v, base) for c, v in zip(codecs, value, strict=True)]),
            lambda frozen, base: tuple([c[1](v, base) for c, v in zip(codecs, frozen, strict=True)]),
        )
    freeze_item, thaw_item = _codec(args[0])
    if origin in (set, frozenset):
        return (
            lambda value, base: tuple(sorted([freeze_item(v, base) for v in value])),
            lambda frozen, base: origin(thaw_item(v, base) for v in frozen),
        )
    if origin in (tuple, list, deque):
        return (
            lambda value, base: tuple([freeze_item(v, base) for v in value]),
            lambda frozen, base: origin(thaw_item(v, base) for v in frozen),
        )
    raise TypeError(f"{origin!r} cannot be part of a snapshot")


def is_cached(hint: Any) -> bool:
    return get_origin(hint) is Annotated and (CACHED in hint.__metadata__ or is_memo(hint))


def is_memo(hint: Any) -> bool:
    return get_origin(hint) is Annotated and MEMO in hint.__metadata__
