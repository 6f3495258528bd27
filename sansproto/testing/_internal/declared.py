"""The declared attributes of a session with their values, and the tables of its parts, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from ...component import Declared, Parts, layout_of
from ...machine import Table
from ...snapshot import is_memo


def attributes(one: Declared) -> Mapping[str, Any]:
    """All attributes that are set, by name, but those declared ``MEMO``; lazy values once they were used.

    A restored object holds the same: what is declared ``CACHED`` follows from the rest.
    """
    layout = layout_of(type(one))
    held = [name for name, kind in layout.kinds.items() if not is_memo(kind)]
    lazy = [name for name in layout.lazy if name in getattr(one, "__dict__", ())]
    return {name: getattr(one, name) for name in (*held, *lazy) if hasattr(one, name)}


def tables_below(cls: type[Declared]) -> Iterator[Table[Any, Any]]:
    """The tables of the parts that a class declares, and of their parts, each once; a class of parts is looked into
    by what its ``Parts`` are declared to hold."""
    found: dict[int, Table[Any, Any]] = {}
    todo: list[type] = [cls]
    for one in todo:
        table = getattr(one, "table", None)
        if isinstance(table, Table):
            found[id(table)] = table
        layout = layout_of(one)
        todo += [kind for name in layout.parts if (kind := _class_in(layout.kinds[name])) not in todo]
    yield from found.values()


def _class_in(kind: Any) -> type:
    """The class of a part, or of the parts that ``Parts`` holds."""
    cls: type = get_origin(kind) or kind
    return _class_in(get_args(kind)[-1]) if issubclass(cls, Parts) else cls
