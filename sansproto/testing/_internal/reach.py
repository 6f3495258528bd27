"""What a protocol reaches of the parts that it shares with others: guards, inputs, refusals and notes.

Of the modules that it imports, followed by name, from what the protocol's own modules name: functions name others,
guards and inputs; guards and rows name functions. So too much may be found where two things have one name, and nothing
is missed.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from importlib.util import resolve_name
from inspect import getsource, unwrap
from types import FunctionType, ModuleType
from typing import Any

from ...component import Note, Refusal
from ...machine import Default, Guards, Table
from .protocols import modules_of, protocols

AnyTable = Table[Any, Any]


class Reach:
    """What a protocol reaches of these tables of another one."""

    def __init__(self, protocol: str, tables: tuple[AnyTable, ...]) -> None:
        self._names: set[str] = set()
        for module in modules_of(protocol) if tables else ():
            self._names |= names_of(module)
        pages = {table.page for table in tables} & {*protocols()}
        imported = imported_by(modules_of(protocol)) if tables else set()
        modules = [one for page in pages for one in modules_of(page)]
        shared = [one for one in modules if one.__name__ in imported]
        kinds = (Guards, Refusal, Note)
        self._constants = {
            id(one): name if module in shared else ""
            for module in sorted(modules, key=shared.__contains__)  # those that also import it count less
            for name, one in vars(module).items()
            if isinstance(one, kinds)
        }
        functions = [one for module in shared for one in functions_in(module)]
        before = -1
        while before != len(self._names):
            before = len(self._names)
            for name, named in functions:
                if name in self._names or name.startswith("__"):
                    self._names |= named
            for table in tables:
                self._follow(table)

    def has(self, constant: Guards[Any, Any, Any, Any] | Refusal | Note) -> bool:
        """Whether anything that is reached uses this name. A name that no module defines counts as used."""
        return self._constants.get(id(constant)) in {None, *self._names}

    def has_default(self, default: Default[Any]) -> bool:
        """Whether one of its inputs can happen."""
        return not default.on or any(on.name in self._names for on in default.on)

    def _follow(self, table: AnyTable) -> None:
        for guards in table.guards:
            if self.has(guards):
                for step in guards.steps:
                    self._names |= {one.name for one in (step, step.on) if one is not None and one.name}
        for row in table.rows:
            if any(on.name in self._names for on in row.on):
                self._names |= {one.__name__ for one in (*row.do, row.when) if one is not None}
                for timer in row.arm:
                    self._names |= {timer.on.name, getattr(timer.after, "__name__", "")}


def imported_by(modules: list[ModuleType]) -> set[str]:
    """The names of what modules import of the library, and of what these import in turn."""
    found, todo = set[str](), [*modules]
    while todo:
        module = todo.pop()
        if module.__name__ not in found:
            found.add(module.__name__)
            package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
            for node in ast.walk(tree_of(module)):
                if isinstance(node, ast.ImportFrom) and node.level:
                    base = resolve_name("." * node.level + (node.module or ""), package)
                    names = [base, *(f"{base}.{one.name}" for one in node.names)]
                    todo += [sys.modules[name] for name in names if name in sys.modules]
    return found


def names_in(tree: ast.AST) -> set[str]:
    """All names and attributes."""
    nodes = [*ast.walk(tree)]
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


@cache
def tree_of(module: ModuleType) -> ast.Module:
    return ast.parse(getsource(module))


@cache
def names_of(module: ModuleType) -> set[str]:
    """The names that a module uses."""
    return names_in(tree_of(module))


@cache
def functions_of(module: ModuleType) -> list[ast.FunctionDef]:
    """The functions of a module, and of its classes."""
    return [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.FunctionDef)]


@cache
def functions_in(module: ModuleType) -> list[tuple[str, set[str]]]:
    """The same by name, with what each names."""
    return [(node.name, names_in(node)) for node in functions_of(module)]


def function_of(function: FunctionType) -> ast.FunctionDef:
    """A function of a module as it is written there."""
    function = unwrap(function)
    first = function.__code__.co_firstlineno
    found = functions_of(sys.modules[function.__module__])
    return next(node for node in found if first in (node.lineno, *(one.lineno for one in node.decorator_list)))
