"""Functions made from source when a table or a list of guards is made: each calls its methods directly.

A table that is interpreted row by row costs two to three times as much (benchmarks).
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from linecache import cache
from types import MemberDescriptorType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints


class Source:
    """The source of functions made at run time, and what the names in it stand for."""

    def __init__(self, part: type, cls: type, **names: Any) -> None:
        self.part, self.cls = part, cls
        self.lines: list[str] = []
        self.names = names

    def name(self, value: object, hint: str) -> str:
        """A name for a value."""
        name = f"{hint if hint.isidentifier() else 'value'}_{len(self.names)}"
        self.names[name] = value
        return name

    def call(self, function: Callable[..., Any], payload: str) -> str:
        """The call of a method of the class, with the payload if it takes one."""
        method = method_of(self.part, self.cls, function)
        arguments = f"part, {payload}" if takes_payload(method) else "part"
        return f"{self.name(method, function.__name__)}({arguments})"

    def delay(self, after: Any) -> str:
        """The seconds that a timer runs."""
        return f"part.delays.{after.__name__}" if isinstance(after, MemberDescriptorType) else self.call(after, "None")

    def compile(self, title: str) -> dict[str, Any]:
        """The functions by name."""
        text = "\n".join(self.lines) + "\n"
        file = f"<{title} {id(self):x}>"
        cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # tracebacks show the lines
        exec(compile(text, file, "exec"), self.names)
        return self.names


def method_of(part: type, cls: type, function: Callable[..., Any]) -> Callable[..., Any]:
    """A method of ``part`` as the subclass ``cls`` has it; any other function as it is."""
    name = function.__name__
    if getattr(part, name, None) is not function:
        return function
    found: Callable[..., Any] = getattr(cls, name)
    return found


def call(function: Callable[..., Any], part: type, one: object, payload: object) -> Any:
    """What a method of ``part``, or another function, says of an object of that class."""
    method = method_of(part, type(one), function)
    return method(one, payload) if takes_payload(method) else method(one)


def takes_payload(function: Callable[..., Any]) -> bool:
    """Whether it has a second parameter without a default."""
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.default is p.empty and p.kind in kinds for p in [*signature(function).parameters.values()][1:2])


def type_arguments(cls: type) -> dict[Any, Any]:
    """What a class and its bases give for type variables."""
    found: dict[Any, Any] = {}
    for base in cls.__mro__:
        for generic in vars(base).get("__orig_bases__", ()):
            variables = getattr(get_origin(generic), "__parameters__", ())
            for variable, argument in zip(variables, get_args(generic), strict=False):  # Generic itself has none
                found.setdefault(variable, found.get(argument, argument))
    return found


def annotations_of(cls: type) -> dict[str, Any]:
    """What a class and its bases annotate, with type variables filled in where it gives types for them."""
    given = type_arguments(cls)
    found = get_type_hints(cls, include_extras=True)
    for name, kind in found.items():
        variables = getattr(kind, "__parameters__", ())
        if isinstance(kind, TypeVar):
            found[name] = given.get(kind, kind)
        elif variables:
            found[name] = kind[tuple(given.get(variable, variable) for variable in variables)]
    return found
