"""What a protocol reaches of the parts that it shares with others: the guards that it can come to, and the inputs.

Followed by name, from what the protocol's own modules name: functions name others, guards and inputs; guards and rows
name functions. So too much may be found where two things have one name, and nothing is missed.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from inspect import getsource
from types import FunctionType, ModuleType
from typing import Any

from ...machine import Default, Guards, Table
from .protocols import modules_of, protocols

AnyTable = Table[Any, Any]


class Reach:
    """What a protocol reaches of these tables of another one."""

    def __init__(self, protocol: str, tables: tuple[AnyTable, ...]) -> None:
        self._names: set[str] = set()
        for module in modules_of(protocol) if tables else ():
            self._names |= names_of(module)
        shared = [one for page in {table.page for table in tables} & {*protocols()} for one in modules_of(page)]
        self._constants = {
            id(one): name for module in shared for name, one in vars(module).items() if isinstance(one, Guards)
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

    def has_guards(self, guards: Guards[Any, Any, Any, Any]) -> bool:
        """Can something be classified by these? Guards that no module holds can."""
        return self._constants.get(id(guards)) in {None, *self._names}

    def has_default(self, default: Default[Any]) -> bool:
        """Can one of its inputs come?"""
        return not default.on or any(on.name in self._names for on in default.on)

    def _follow(self, table: AnyTable) -> None:
        for guards in table.guards:
            if self.has_guards(guards):
                for step in guards.steps:
                    self._names |= {one.name for one in (step, step.on) if one is not None and one.name}
        for row in table.rows:
            if any(on.name in self._names for on in row.on):
                self._names |= {one.__name__ for one in (*row.do, row.when) if one is not None}
                for timer in row.arm:
                    self._names |= {timer.on.name, getattr(timer.after, "__name__", "")}


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
    """What a module names."""
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
    first = function.__code__.co_firstlineno
    found = functions_of(sys.modules[function.__module__])
    return next(node for node in found if first in (node.lineno, *(one.lineno for one in node.decorator_list)))
