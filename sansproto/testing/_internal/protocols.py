"""The protocols of the library and what belongs to each, discovered in its packages.

Every subpackage but ``testing`` and ``wire`` is a protocol. Its tables are those that its modules hold, and those of
the parts that they define; its sessions are those that it exports. A protocol that has no page, laws, vectors or tables
says so, with a reason, in ``WITHOUT``::

    WITHOUT: Final = {"laws": "two ends use its rules; it has no session of its own"}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules, walk_packages
from types import ModuleType
from typing import Any, Final

from ...machine import Table
from ...session import Session

ROOT: Final = __name__.rpartition(".testing.")[0]
"""The name of the library, which may be vendored under another one."""

NO_PROTOCOLS: Final = frozenset(("testing", "wire"))


def protocols() -> list[str]:
    """The names of all protocols."""
    found = iter_modules(import_module(ROOT).__path__)
    return sorted(one.name for one in found if one.ispkg and one.name not in NO_PROTOCOLS)


@cache
def tables_of(protocol: str) -> tuple[Any, ...]:
    """The tables of a protocol, by name; or those on a page that is none of a protocol's, which modules share."""
    if protocol in protocols():
        return tables_in(modules_of(protocol))
    path = import_module(ROOT).__path__
    shared = [import_module(f"{ROOT}.{one.name}") for one in iter_modules(path) if not one.ispkg]
    return tuple(table for table in tables_in(shared) if table.page == protocol)


def sessions_of(protocol: str) -> list[type[Session[Any]]]:
    """The session classes that a protocol exports."""
    package = import_module(f"{ROOT}.{protocol}")
    exported = [getattr(package, name) for name in package.__all__]
    return [one for one in exported if isinstance(one, type) and issubclass(one, Session)]


def without(protocol: str) -> Mapping[str, str]:
    """What a protocol declares not to have, and why."""
    found: Mapping[str, str] = getattr(import_module(f"{ROOT}.{protocol}"), "WITHOUT", {})
    return found


def tables_in(modules: list[ModuleType]) -> tuple[Any, ...]:
    """The tables that modules hold, by name; of two with the same name the later."""
    found = {table.name: table for module in modules for table in _tables(module)}
    return tuple(table for _, table in sorted(found.items()))


def _tables(module: ModuleType) -> Iterator[Any]:
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == module.__name__:
            value = vars(value).get("table")  # of a part that is defined here
        if isinstance(value, Table):
            yield value


def modules_of(protocol: str) -> list[ModuleType]:
    """The package of a protocol and all its modules."""
    package = import_module(f"{ROOT}.{protocol}")
    names = sorted(one.name for one in walk_packages(package.__path__, f"{package.__name__}."))
    return [package, *map(import_module, names)]
