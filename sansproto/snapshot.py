"""State as nested tuples of plain values, and back: driven by type annotations, compiled once per type.

``freeze(base)`` gives deadlines and other :data:`~sansproto.contract.Instant` values relative to ``base``, so that two
states that differ only in *when* they were reached compare equal. Supported: plain values, enums, ``X | Y`` of attrs
classes and plain values, tuple, list, deque, dict, set, bytearray, attrs classes, and sessions made without arguments.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Mapping
from enum import Enum, Flag
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

from .compiled import Source
from .contract import Instant

Freeze = Callable[[Any, float], Any]
Thaw = Callable[[Any, float], Any]

CACHED = "cached"
"""``Annotated[T, CACHED]``: an attribute that is rebuilt from the state and is no part of it."""

MEMO = "memo"
"""``Annotated[T, MEMO]``: a cached attribute that nothing rebuilds. It may be forgotten at any time: a restored one is
as in the beginning."""

_PLAIN = (int, float, str, bytes, bool, None, NoneType)


@cache
def codec(kind: Any) -> tuple[Freeze, Thaw]:
    """The two functions ``freeze(value, base)`` and ``thaw(frozen, base)`` of a type."""
    if kind == Instant:
        return (lambda value, base: value - base), (lambda frozen, base: frozen + base)
    inner = _inner(kind)
    if inner is not None:
        return codec(inner)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _union(args)
    if origin is not None and not attrs.has(origin):
        return _container(origin, args)
    return _scalar(origin or kind)


def codecs(owner: type, kinds: Mapping[str, Any]) -> list[tuple[str, Freeze, Thaw]]:
    """The functions of attributes of a class, with their names."""
    found = []
    for name, kind in kinds.items():
        try:
            found.append((name, *codec(kind)))
        except TypeError as error:
            raise TypeError(f"{owner.__name__}.{name}: {error}") from None
    return found


def check_declared(value: object, names: Container[str]) -> None:
    """TypeError for an attribute that is none of these."""
    for name in getattr(value, "__dict__", ()):
        if name not in names:
            raise TypeError(f"{type(value).__name__}.{name} is not declared")


def applied(source: Source, function: Freeze | Thaw, value: str) -> str:
    """The call of one of the functions of a type; a value that stands for itself is not changed by any."""
    return value if function is _same else f"{source.name(function, 'change')}({value}, base)"


def tuple_of(items: Iterable[str]) -> str:
    """The source of a tuple."""
    return f"({''.join(f'{item}, ' for item in items)})"


def is_cached(hint: Any) -> bool:
    return get_origin(hint) is Annotated and (CACHED in hint.__metadata__ or is_memo(hint))


def is_memo(hint: Any) -> bool:
    return get_origin(hint) is Annotated and MEMO in hint.__metadata__


def _inner(kind: Any) -> Any:
    """The type within one with an annotation, a NewType, or the bound of a variable of a generic class."""
    if get_origin(kind) is Annotated:
        return get_args(kind)[0]
    return kind.__bound__ if isinstance(kind, TypeVar) else getattr(kind, "__supertype__", None)


def _scalar(kind: Any) -> tuple[Freeze, Thaw]:
    if kind in _PLAIN or kind is Enum:  # a member of an enum that is not known here stands for itself
        return _same, _same
    if kind is bytearray:
        return (lambda value, _: bytes(value)), (lambda frozen, _: bytearray(frozen))
    if issubclass(kind, Enum):
        members = {member.value: member for member in kind}
        thaw = kind if issubclass(kind, Flag) else members.__getitem__  # flags are more than their members
        return (lambda value, _: value._value_), (lambda frozen, _: thaw(frozen))
    if hasattr(kind, "freeze"):
        return (lambda value, base: value.freeze(base)), kind.restore
    if attrs.has(kind):
        return _record(kind)
    raise TypeError(f"{kind!r} cannot be part of a snapshot")


def _same(value: Any, _: float) -> Any:
    return value


def _record(kind: Any) -> tuple[Freeze, Thaw]:
    hints, fields = get_type_hints(kind, include_extras=True), attrs.fields_dict(kind)
    found = codecs(kind, {name: hints[name] for name in fields if not is_cached(hints[name])})
    source = Source(kind, kind, kind=kind, fields=fields, check_declared=check_declared)
    source.lines += ["def freeze(value, base):"]
    source.lines += ["    check_declared(value, fields)"] if kind.__dictoffset__ else []
    source.lines += [f"    return {tuple_of(applied(source, freeze, f'value.{name}') for name, freeze, _ in found)}"]
    thawed = [f"{fields[name].alias}={applied(source, thaw, f'{name}_')}" for name, _, thaw in found]
    source.lines += ["def thaw(frozen, base):", f"    {tuple_of(f'{name}_' for name, *_ in found)} = frozen"]
    source.lines += [f"    return kind({', '.join(thawed)})"]
    functions = source.compile(f"state of {kind.__qualname__}")
    return functions["freeze"], functions["thaw"]


def _union(kinds: tuple[Any, ...]) -> tuple[Freeze, Thaw]:
    """A plain value or enum stands for itself when only None is beside it; everything else is tagged by its place."""
    others = [kind for kind in kinds if kind is not NoneType]
    if len(others) == 1 and len(kinds) == 2:
        freeze_one, thaw_one = codec(others[0])
        return (
            lambda value, base: None if value is None else (freeze_one(value, base),),
            lambda frozen, base: None if frozen is None else thaw_one(frozen[0], base),
        )
    if all(kind in _PLAIN for kind in kinds):
        return _same, _same
    both = [codec(kind) for kind in kinds]
    place = {_class_of(kind): index for index, kind in enumerate(kinds)}

    def freeze(value: Any, base: float) -> Any:
        index = place[value.__class__]
        return index, both[index][0](value, base)

    return freeze, lambda frozen, base: both[frozen[0]][1](frozen[1], base)


def _class_of(kind: Any) -> Any:
    """The class that values of a type have."""
    inner = _inner(kind)
    return _class_of(inner) if inner is not None else get_origin(kind) or kind


def _container(origin: Any, args: tuple[Any, ...]) -> tuple[Freeze, Thaw]:
    if origin in (dict, OrderedDict):
        (freeze_key, thaw_key), (freeze_value, thaw_value) = map(codec, args)
        if freeze_key is freeze_value is _same:
            return (lambda value, _: tuple(value.items())), (lambda frozen, _: origin(frozen))
        return (
            lambda value, base: tuple([(freeze_key(k, base), freeze_value(v, base)) for k, v in value.items()]),
            lambda frozen, base: origin((thaw_key(k, base), thaw_value(v, base)) for k, v in frozen),
        )
    if origin is tuple and args[-1] is not Ellipsis:
        both = [codec(kind) for kind in args]
        return (
            lambda value, base: tuple([c[0](v, base) for c, v in zip(both, value, strict=True)]),
            lambda frozen, base: tuple([c[1](v, base) for c, v in zip(both, frozen, strict=True)]),
        )
    if origin not in (tuple, list, deque, set, frozenset):
        raise TypeError(f"{origin!r} cannot be part of a snapshot")
    freeze_item, thaw_item = codec(args[0])
    ordered: Any = sorted if origin in (set, frozenset) else tuple
    if freeze_item is _same:
        return (lambda value, _: tuple(ordered(value))), (lambda frozen, _: origin(frozen))
    return (
        lambda value, base: tuple(ordered([freeze_item(v, base) for v in value])),
        lambda frozen, base: origin(thaw_item(v, base) for v in frozen),
    )
