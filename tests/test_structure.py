"""How roles and parts are built, read off the source: few bases, nobody's secrets, and no method without a use."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from importlib import import_module
from inspect import getsource, isfunction
from pathlib import Path
from pkgutil import walk_packages
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest
from asking import ASK, AskInput, AskState

import sansproto
from sansproto.component import Component, Host, Part
from sansproto.machine import Default, Guards, Happened, Input, Outcome, Row, Table, Timer
from sansproto.session import Session
from sansproto.testing._internal.protocols import protocols
from sansproto.testing.tables import refusals

pytestmark = pytest.mark.outside

PACKAGE = Path(sansproto.__file__).parent
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "testing" not in path.relative_to(PACKAGE).parts)

for module in walk_packages(sansproto.__path__, "sansproto."):
    if not module.name.startswith("sansproto.testing"):
        import_module(module.name)


def subclasses(of: type) -> Iterator[type]:
    for kind in of.__subclasses__():
        yield kind
        yield from subclasses(kind)


def of_the_library(of: type) -> list[type]:
    """The subclasses that the library defines, each once."""
    found = {kind for kind in subclasses(of) if kind.__module__.startswith("sansproto.")}
    return sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


# -- nobody reads what another object keeps to itself


def others_secrets(tree: ast.AST) -> Iterator[str]:
    """Attributes with an underscore that are not an object's own. (``_value_`` of an enum member has two.)"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("_"):
            owner = ast.unparse(node.value)
            if owner not in ("self", "cls", "super()"):
                yield f"{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_object_touches_what_another_keeps_to_itself(path: Path) -> None:
    assert [*others_secrets(tree_of(path))] == []


def test_secrets_of_others_are_seen() -> None:
    code = "self._a, cls._b, super()._c, state._value_, self.__dict__\nself.part._d, part._e = f(self)._g, 1"
    assert [*others_secrets(ast.parse(code))] == ["2: self.part._d", "2: part._e", "2: f(self)._g"]


# -- few bases


def own_bases(kind: type) -> list[str]:
    """The classes of its own protocol in its MRO, itself first; what the shared modules define is not counted."""
    protocol = kind.__module__.split(".")[:2]
    return [base.__name__ for base in kind.__mro__ if base.__module__.split(".")[:2] == protocol]


ROLES = [kind for kind in of_the_library(Session) if kind.__module__.count(".") > 1]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.__name__)
def test_a_role_has_at_most_one_base_in_its_protocol(role: type) -> None:
    assert len(own_bases(role)) <= 2


def test_bases_of_a_protocol_are_counted() -> None:
    assert {"Client", "Relay", "DomainClient", "IceServer"} <= {role.__name__ for role in ROLES}
    bottom: Any = type("Bottom", (ROLES[0],), {"__module__": ROLES[0].__module__})
    lowest = type("Lowest", (bottom,), {"__module__": ROLES[0].__module__})
    assert own_bases(lowest)[:2] == ["Lowest", "Bottom"]
    assert len(own_bases(lowest)) > 2


# -- no method without a use


def handlers(part: type[Any]) -> Iterator[Callable[..., Any]]:
    """The functions that the table of a part and its guards name."""
    table = vars(part).get("table")
    if isinstance(table, Table):
        for row in table.rows:
            yield from (*row.do, *([] if row.when is None else [row.when]))
        yield from (timer.after for timer in table.timers if callable(timer.after))
    for guards in vars(part).get("guards_made", ()):
        yield from (step.call for step in guards.steps if step.call is not None)


def named_in(tree: ast.AST) -> Iterator[str]:
    """The attributes that functions name. What stands outside of them (tables, guards) is looked up by ``handlers``."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            yield from (node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute))


@cache
def exported() -> set[type]:
    """What protocols have for their users, whose methods may have their only use there: a part for other protocols."""
    packages = [import_module(f"sansproto.{name}") for name in protocols()]
    return {value for one in packages for name in one.__all__ if isinstance(value := getattr(one, name), type)}


def without_use(part: type[Any], used: set[Any], named: set[str]) -> Iterator[str]:
    """The methods and properties of a part that no row, guard, timer or code names, and that override nothing."""
    inherited = {name for base in part.__mro__[1:] for name in vars(base)}
    for name, member in vars(part).items():
        if not isfunction(member) and not isinstance(member, property | cached_property | classmethod | staticmethod):
            continue
        if not name.startswith("__") and name not in named | inherited and member not in used:
            yield name


PARTS = of_the_library(Part)


@cache
def all_handlers() -> set[Callable[..., Any]]:
    return {handler for part in PARTS for handler in handlers(part)}


def without_need(handler: Callable[..., Any]) -> list[str]:
    """The arguments of a function that it does not use. A lambda stands for what its maker was given."""
    (function,) = ast.parse(dedent(getsource(handler))).body
    assert isinstance(function, ast.FunctionDef)
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    return [one.arg for one in function.args.args[1:] if one.arg not in used]


def test_no_handler_takes_what_it_does_not_use() -> None:
    """But those that make a value: they always have the one before."""
    guards = [made for part in PARTS for made in vars(part).get("guards_made", ())]
    making = {step.call for made in guards for step in made.steps if step.kind.name == "MAKE"}
    named = {one for one in all_handlers() - making if one.__name__ != "<lambda>"}
    assert len(named) > 500
    assert [one.__qualname__ for one in named if without_need(one)] == []


def test_arguments_that_are_not_used_are_seen() -> None:
    assert without_need(Idle.is_good) == without_need(Idle.is_read) == []
    assert without_need(Idle.waste) == ["packet"]


@cache
def all_named() -> set[str]:
    return {name for path in SOURCES for name in named_in(tree_of(path))}


@pytest.mark.parametrize("part", [part for part in PARTS if part not in exported()], ids=lambda part: part.__qualname__)
def test_every_method_of_a_part_is_used(part: type) -> None:
    assert [*without_use(part, all_handlers(), all_named())] == []


class Idle(Component[AskState, Host[Any]]):
    """Some of its methods have a use."""

    def forget(self) -> None:
        """Overrides one of its base."""

    def is_good(self) -> bool:
        return True

    def is_read(self, packet: bytes) -> bool:
        return bool(packet)

    def act(self) -> None: ...

    def waste(self, packet: bytes) -> None: ...

    def pause(self) -> float:
        return 1.0

    def is_named_in_code(self) -> bool:
        return True

    def is_named_in_no_code(self) -> bool:
        return True

    @property
    def size(self) -> int:
        return 1


class IdleInput:
    DUE = Input[AskState, None]()
    READ = Input[AskState, bytes]()


class IdleTimer:
    PAUSE = Timer(IdleInput.DUE, Idle.pause)


def test_methods_without_a_use_are_seen() -> None:
    Guards.of(Idle, AskState, bytes, "x").need(Idle.is_read, "unread", ref="x").give(IdleInput.READ)
    Table[Idle, AskState](
        Idle,
        IdleInput,
        IdleTimer,
        name="idle",
        initial=AskState.NEW,
        idle={},
        rows=(Row(AskState.NEW, IdleInput.DUE, None, Idle.act, when=Idle.is_good, ref="x"),),
        defaults=(Default(Outcome.IGNORE, "late"),),
    )
    assert {*handlers(Idle)} == {Idle.is_read, Idle.act, Idle.is_good, Idle.pause}
    tree = ast.parse("def f():\n    idle.is_named_in_code()\nTABLE = Idle.is_named_in_no_code, Idle.size")
    assert [*without_use(Idle, {*handlers(Idle)}, {*named_in(tree)})] == ["waste", "is_named_in_no_code", "size"]


# -- guards, tables and the base drop what was received


def drops(node: ast.AST, where: str) -> Iterator[str]:
    """The uses of ``drop``, by the functions that they stand in. What overrides it may pass on to its base."""
    if isinstance(node, ast.Attribute) and node.attr == "drop" and ast.unparse(node.value) != "super()":
        yield where
    inner = f"{where}.{node.name}" if isinstance(node, ast.ClassDef | ast.FunctionDef) else where
    for child in ast.iter_child_nodes(node):
        yield from drops(child, inner)


def test_what_is_received_is_dropped_by_guards_tables_and_the_base_only() -> None:
    modules = {path: path.relative_to(PACKAGE).with_suffix("").parts for path in SOURCES}
    protocols = {path: ".".join(parts) for path, parts in modules.items() if len(parts) > 1}
    assert [drop for path, module in protocols.items() for drop in drops(tree_of(path), module)] == []


def test_drops_in_plain_code_are_seen() -> None:
    code = """
class Part:
    def drop(self, reason):
        super().drop(reason)
    def receive(self):
        self.host.drop("late")
        why = self.drop
def help(part):
    part.host.stats.drop("late")
"""
    assert [*drops(ast.parse(code), "x.y")] == ["x.y.Part.receive", "x.y.Part.receive", "x.y.help"]


# -- what a table may refuse is asked for before it is queued: nothing else could raise out of the queue


REFUSED = {on for part in PARTS if "table" in vars(part) for _, on, _ in refusals(vars(part)["table"])}


def holds(value: Any, refused: set[Any]) -> bool:
    """Is it such an input, or does it hold one?"""
    match value:
        case Happened():
            return value.on in refused
        case Mapping():
            return any(holds(one, refused) for pair in value.items() for one in pair)
        case tuple() | list() | set() | frozenset():
            return any(holds(one, refused) for one in value)
        case type():  # the class in which inputs stand: who has it as a whole may post any of them
            return any(isinstance(one, Input) and one in refused for one in vars(value).values())
        case _:
            return isinstance(value, Input) and value in refused


def meant(node: ast.AST, names: Mapping[str, Any]) -> Any:
    """What a global name, or an attribute of one, stands for."""
    match node:
        case ast.Name():
            return names.get(node.id)
        case ast.Attribute():
            owner = meant(node.value, names)
            return getattr(owner, node.attr, None) if isinstance(owner, type | ModuleType) else None


def asked(node: ast.AST) -> list[ast.expr]:
    """What is given to ``part.asked`` or ``table.ask``. Only ``verb`` and ``ask`` can use what the first makes."""
    match node:
        case ast.Call(func=ast.Attribute(attr="asked") | ast.Attribute(value=ast.Attribute(attr="table"), attr="ask")):
            return node.args
    return []


def unasked(tree: ast.AST, names: Mapping[str, Any], refused: set[Any]) -> Iterator[str]:
    """Where functions name such inputs, or what holds them, but to ask whether one is allowed.

    What stands outside of functions (tables, guards, timers) queues nothing.
    """
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]
    nodes = dict.fromkeys(node for function in functions for node in ast.walk(function))
    fine: set[ast.AST] = {given.func for node in nodes for given in asked(node) if isinstance(given, ast.Call)}
    fine |= {node.value for node in nodes if isinstance(node, ast.Attribute)}  # the whole is looked at
    for node in nodes:
        if isinstance(node, ast.expr) and node not in fine and holds(meant(node, names), refused):
            yield f"{node.lineno}: {ast.unparse(node)}"


def kept_by_classes(module: ModuleType, refused: set[Any]) -> Iterator[str]:
    """Attributes of classes that hold such inputs; where they are used cannot be read."""
    for kind in vars(module).values():
        if isinstance(kind, type) and kind.__module__ == module.__name__:
            for name, value in vars(kind).items():
                if not isinstance(value, Input) and holds(value, refused):
                    yield f"{kind.__name__}.{name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_inputs_that_may_be_refused_are_asked_for(path: Path) -> None:
    where = path.relative_to(PACKAGE.parent).with_suffix("").parts
    module = import_module(".".join(where).removesuffix(".__init__"))
    assert [*unasked(tree_of(path), vars(module), REFUSED), *kept_by_classes(module, REFUSED)] == []


def test_who_asks_is_known_by_the_name() -> None:
    named = [path.name for path in SOURCES for node in ast.walk(tree_of(path)) if getattr(node, "name", "") == "asked"]
    assert named == ["component.py"]
    assert {on.name for on in REFUSED} >= {"CONNECT", "SEND", "START"}


class Keeper:
    """Of inputs, in places where they are not seen."""

    always = Happened(AskInput.CONNECT, None)
    meanings: Mapping[type, Any] = {bytes: AskInput.CONNECT}
    harmless: Mapping[type, Any] = {bytes: AskInput.LOST}


def test_inputs_that_are_posted_unasked_are_seen() -> None:
    refused = {on for _, on, _ in refusals(ASK)}
    assert refused == {AskInput.CONNECT}
    code = """
VERBS = (_I.CONNECT, _I.LOST)
def fine(self, now):
    connect = self.part.asked(_I.CONNECT())
    self.verb("connect", now, connect, *[part.asked(here.AskInput.CONNECT()) for part in self])
    self.table.ask(self, _I.CONNECT(), "connect")
    self.post(_I.LOST())
def posts(self):
    self.part.post(_I.CONNECT())
    here.AskInput.CONNECT().act(self.part)
    self.request("connect", _I.CONNECT())
def hides(self):
    self.later = _I.CONNECT
    self.part.post(VERBS[0]())
    self.part.post(vars(_I)["CONNECT"]())
    self.verb("connect", self.part.asked(first(VERBS)()))
make = lambda part: part.post(_I.CONNECT())
"""
    here = ModuleType("here")
    vars(here)["AskInput"] = AskInput
    names = {"_I": AskInput, "here": here, "VERBS": (AskInput.CONNECT, AskInput.LOST)}
    assert sorted(unasked(ast.parse(code), names, refused)) == [
        "10: here.AskInput.CONNECT",
        "11: _I.CONNECT",
        "13: _I.CONNECT",
        "14: VERBS",
        "15: _I",
        "16: VERBS",
        "17: _I.CONNECT",
        "9: _I.CONNECT",
    ]
    vars(here)["Keeper"] = type("Keeper", (), {**vars(Keeper), "__module__": "here"})
    assert [*kept_by_classes(here, refused)] == ["Keeper.always", "Keeper.meanings"]
