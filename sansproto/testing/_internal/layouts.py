"""The packets, enumerations and constants of a protocol as data, out of the declarations: ``vectors/layouts/*.json``.

``vectors/README.md`` says what the members mean. A protocol says in a :class:`Layout` what belongs to it; one that has
codecs of its own registers with :func:`described` how they are described.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import singledispatch
from types import ModuleType
from typing import Any, Final

import attrs

from ...wire import (
    Bool,
    Bytes,
    Codec,
    Const,
    EnumOf,
    Fixed,
    Float,
    Frame,
    HexInt,
    InRange,
    Int,
    ListOf,
    Nested,
    OneOf,
    Optional,
    Packet,
    Rest,
    Terminated,
    Text,
    TextToEnd,
    Trailing,
)
from ..conformance import load_checks
from ..vectors import VERSION

Data = dict[str, Any]


@attrs.frozen
class Layout:
    """What a protocol publishes for readers in other languages."""

    modules: Sequence[ModuleType]
    """Their packets, enumerations, codecs and constants, all that have a public name or are used by one that has."""
    types: Mapping[str, Codec[Any] | Mapping[str, Codec[Any]]]
    """By type of test: the codec, or several, of which ``packet`` names one."""
    rules: Mapping[type[Packet], Sequence[Data]] = attrs.field(factory=dict)
    """What the ``validate`` of packets refuses."""


def layout_of(protocol: str) -> Layout | None:
    """The layout of a protocol; None if no test is about its packets."""
    found: Layout | None = getattr(load_checks(protocol), "LAYOUT", None)
    return found


def document(protocol: str, layout: Layout) -> Data:
    """The layout as a file holds it."""
    named = {name: codec for module in layout.modules for name, codec in vars(module).items() if _is_shown(name, codec)}
    names = {id(codec): name for name, codec in named.items()}
    types = {
        name: {"kind": "named", "packets": {key: described(one) for key, one in codec.items()}}
        if isinstance(codec, Mapping)
        else names.get(id(codec)) or described(codec)
        for name, codec in layout.types.items()
    }
    return {
        "schema": "layout",
        "protocol": protocol,
        "schemaVersion": VERSION,
        "constants": _once([one for module in layout.modules for one in _constants(module)]),
        "enumerations": _once([(kind.__name__, _members(kind)) for kind in _classes(layout.modules, Enum)]),
        "packets": _once([(packet_name(kind), _packet(kind, layout.rules)) for kind in _packets(layout)]),
        "codecs": {name: described(codec) for name, codec in named.items()},
        "types": types,
    }


def _once(named: Sequence[tuple[str, Data]]) -> Data:
    """A table of things with names. Raises ValueError if two of them have the same."""
    table = dict(named)
    if len(table) < len(named):
        raise ValueError(f"twice in {', '.join(name for name, _ in named)}")
    return table


def _is_shown(name: str, value: object) -> bool:
    return not name.startswith("_") and isinstance(value, (OneOf, Frame))


def _classes(modules: Sequence[ModuleType], base: type) -> list[Any]:
    """The classes that are defined in modules, in the order of their lines."""
    return [
        one
        for module in modules
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, base) and one.__module__ == module.__name__
    ]


def _packets(layout: Layout) -> list[type[Packet]]:
    """The packets of the modules, and those that only the types of tests name."""
    codecs = [one for codec in layout.types.values() if isinstance(codec, Mapping) for one in codec.values()]
    named = [codec.packet for codec in codecs if isinstance(codec, Nested)]
    return list(dict.fromkeys((*_classes(layout.modules, Packet), *named)))


def packet_name(kind: type[Packet]) -> str:
    return kind.__name__.lstrip("_")


def _packet(kind: type[Packet], rules: Mapping[type[Packet], Sequence[Data]]) -> Data:
    wire = kind.__wire__
    sizes = {"min": wire.min_size} | ({} if wire.max_size is None else {"max": wire.max_size})
    fields = [
        {"name": one.name, "type": described(one.codec)} | ({"meaning": one.doc} if one.doc else {})
        for one in wire.fields
    ]
    number = {} if wire.id is None else {"id": wire.id}
    checks = {"rules": [*rules[kind]]} if kind in rules else {}
    return {**number, **sizes, "fields": fields, **checks}


def _members(kind: type[Enum]) -> Data:
    meanings = meanings_of(kind)
    return {one.name: _member(one) | _meaning(meanings.get(one.name, "")) for one in kind}


def _member(one: Enum) -> Data:
    """The value, and what a row of a table has besides."""
    extra = {name: _plain(value) for name, value in vars(one).items() if not name.startswith("_")}
    return {"value": _plain(one.value)} | extra


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bytes):
        return value.hex()
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _meaning(text: str) -> Data:
    return {"meaning": text} if text else {}


_MEANING: Final = r'(?:: [^=\n]+)? = [^\n]*(?:\n{indent}[ )\]}}][^\n"]*)*?\n{indent}"""([^"]*)"""$'


def meanings_of(kind: type | ModuleType) -> dict[str, str]:
    """The docstrings below the members of an enumeration, or below the constants of a module."""
    indent = "" if isinstance(kind, ModuleType) else "    "
    found = re.findall(rf"^{indent}(\w+){_MEANING.format(indent=indent)}", inspect.getsource(kind), re.M)
    return {name: re.sub(r":\w+:`|`", "", " ".join(text.split())) for name, text in found}


def _constants(module: ModuleType) -> list[tuple[str, Data]]:
    """Numbers, bytes and tuples of them that this module defines under a public name; imported ones are left out."""
    meanings = meanings_of(module)
    own = re.findall(r"^([A-Z][A-Z0-9_]*): Final\b", inspect.getsource(module), re.M)
    values = {name: getattr(module, name) for name in own}
    return [
        (name, {"value": _constant(value)} | _meaning(meanings.get(name, "")))
        for name, value in values.items()
        if isinstance(value, (int, bytes, str, range)) or _is_row(value)
    ]


def _is_row(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, (bytes, int, str)) for one in value)


def _constant(value: Any) -> Any:
    """A number over 2^53 is text, as in vectors; a range is its first and last number."""
    if isinstance(value, range):
        return {"first": value[0], "last": value[-1]}
    return str(value) if isinstance(value, int) and value >> 53 else _plain(value)


# -- codecs

_ORDERS: Final = {"<": "little", ">": "big"}


@singledispatch
def described(codec: Codec[Any]) -> Data:
    """A codec as data. Raises TypeError for a codec class without a description."""
    raise TypeError(f"{type(codec).__name__} has no description")


@described.register
def _(codec: Int) -> Data:
    order = {"order": _ORDERS[codec.format[0]]} if codec.size > 1 else {}
    return {"kind": "int", "size": codec.size, **order, **({"signed": True} if codec.low else {})}


@described.register
def _(codec: Float) -> Data:
    return {"kind": "float", "size": codec.size, "order": _ORDERS[codec.format[0]]}


@described.register
def _(codec: InRange) -> Data:
    return {**described(codec.inner), "min": codec.low, "max": codec.high}


@described.register
def _(codec: Bool) -> Data:
    return {"kind": "bool"}


@described.register
def _(codec: Fixed) -> Data:
    return {"kind": "bytes", "size": codec.size}


@described.register
def _(codec: Const) -> Data:
    return {"kind": "const", "bytes": codec.content.hex(), "error": codec.fault.value}


@described.register
def _(codec: HexInt) -> Data:
    return {"kind": "hex_digits", "size": codec.size}


@described.register(EnumOf)
def _(codec: EnumOf[Any]) -> Data:
    return {"kind": "enum", "of": codec.enum.__name__, "as": described(codec.inner), "error": codec.fault.value}


@described.register
def _(codec: Bytes) -> Data:
    return {"kind": "counted", "count": described(codec.count), "min": codec.min, "max": codec.max}


@described.register
def _(codec: Text) -> Data:
    sizes = {"min": codec.min, "max": codec.max}
    return {"kind": "counted", "count": described(codec.count), **sizes, "text": codec.encoding}


@described.register
def _(codec: Terminated) -> Data:
    allowed = [codec.allowed[0], codec.allowed[-1]]
    return {
        "kind": "terminated",
        "by": codec.terminator.hex(),
        "min": codec.min,
        "max": codec.max,
        "allowed": allowed,
    }


@described.register
def _(codec: Rest) -> Data:
    return {"kind": "rest", "min": codec.min, "max": codec.max}


@described.register
def _(codec: TextToEnd) -> Data:
    lead = {"lead": codec.lead.hex()} if codec.lead else {}
    return {"kind": "rest", "min": codec.min, "max": codec.max, **lead, "text": "utf-8"}


@described.register(ListOf)
def _(codec: ListOf[Any]) -> Data:
    return {"kind": "list", "count": described(codec.count), "of": described(codec.item), "max": codec.max}


@described.register(Optional)
def _(codec: Optional[Any]) -> Data:
    return {"kind": "optional", "of": described(codec.inner)}


@described.register(Trailing)
def _(codec: Trailing[Any]) -> Data:
    return {"kind": "trailing", "of": described(codec.inner)}


@described.register(Nested)
def _(codec: Nested[Any]) -> Data:
    return {"kind": "packet", "name": packet_name(codec.packet)}


@described.register(OneOf)
def _(codec: OneOf[Any]) -> Data:
    return {"kind": "one_of", "tag": described(codec.tag), "packets": _by_tag(codec.packets)}


@described.register(Frame)
def _(codec: Frame[Any, Any]) -> Data:
    header = packet_name(codec.header)
    return {"kind": "frame", "header": header, "tag": codec.tag, "packets": _by_tag(codec.payloads)}


def _by_tag(packets: Mapping[Any, type[Packet]]) -> Data:
    return {str(tag): packet_name(kind) for tag, kind in packets.items()}
