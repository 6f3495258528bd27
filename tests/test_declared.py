"""State is declared: what is not is found at the next snapshot; what is cached holds what follows from the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from inspect import isabstract
from pkgutil import walk_packages
from typing import Annotated, Any

import attrs
import pytest
from toys import Beat, Desk, Echo, Lines, Pulse, Visit, Visitor

import sansproto
from sansproto.component import Declared
from sansproto.contract import Path
from sansproto.session import Session
from sansproto.snapshot import CACHED, MEMO, codec
from sansproto.testing._internal.alike import differences
from sansproto.testing._internal.declared import attributes
from sansproto.testing._internal.protocols import protocols, without
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.wrap import WrappedStream


def declaring(kind: type = Declared) -> Iterator[type]:
    """All classes of the library whose state is declared, but for bases that leave types open."""
    for subclass in kind.__subclasses__():
        if subclass.__module__.startswith("sansproto."):
            yield subclass
            yield from declaring(subclass)


for module in walk_packages(sansproto.__path__, "sansproto."):
    if "adapter_" not in module.name and not module.name.endswith("laws"):
        import_module(module.name)

KINDS = sorted(
    (kind for kind in set(declaring()) if not isabstract(kind) and not getattr(kind, "__parameters__", ())),
    key=lambda kind: (kind.__module__, kind.__qualname__),
)


def test_every_kind_is_there() -> None:
    with_sessions = {protocol for protocol in protocols() if "laws" not in without(protocol)}
    assert {kind.__module__.split(".")[1] for kind in KINDS if issubclass(kind, Session)} >= with_sessions


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__qualname__)
def test_an_undeclared_attribute_is_an_error_in_every_class(kind: Any) -> None:
    made = object.__new__(kind)
    if hasattr(made, "__dict__"):
        vars(made)["_forgotten"] = 1
        with pytest.raises(TypeError, match=rf"^{kind.__name__}\._forgotten is not declared$"):
            Declared.freeze(made, 0.0)
    else:
        with pytest.raises(AttributeError):
            made._forgotten = 1


def wrapped() -> WrappedStream[Any]:
    return WrappedStream(Lines())


def beat() -> Beat:
    return Beat(entropy=ScriptedEntropy())


@pytest.mark.parametrize("make", [beat, wrapped, lambda: wrapped()._core], ids=["session", "wrapped", "core"])
def test_an_attribute_that_is_set_later_is_found(make: Any) -> None:
    session = make()
    session.snapshot()
    session._later = 1
    with pytest.raises(TypeError, match=r"\._later is not declared"):
        session.snapshot()


def test_what_the_session_within_has_is_found_through_the_one_around_it() -> None:
    endpoint = wrapped()
    endpoint._core._later = 1
    with pytest.raises(TypeError, match=r"Lines\._later is not declared"):
        endpoint.snapshot()


ARGUMENTS: dict[type, tuple[Any, ...]] = {Lines: (), Pulse: (beat(),), Visit: (beat(),)}
TOYS = (Echo, Beat, Visitor, Desk, *ARGUMENTS)
DECLARATIONS = [
    (kind, name) for kind in TOYS for name, hint in kind.__annotations__.items() if not hint.startswith("ClassVar")
]


@pytest.mark.parametrize(("kind", "name"), DECLARATIONS)
def test_no_declaration_can_be_deleted(kind: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(kind.__annotations__, name)
    less: Any = type("Less", (kind,), {})
    made = less(*ARGUMENTS[kind]) if kind in ARGUMENTS else less(entropy=ScriptedEntropy())
    with pytest.raises(TypeError, match=rf"Less\.{name} is not declared"):
        made.freeze(0.0)


@attrs.define(slots=False)
class Open:
    """A record that takes any attribute."""

    size: int = 0
    doubled: Annotated[int, CACHED] = 0


def test_what_a_record_within_a_session_does_not_declare_is_found_too() -> None:
    freeze, thaw = codec(list[Open])
    record = Open(3, 6)
    assert thaw(freeze([record], 0.0), 0.0) == [Open(3, 0)]
    record.color = "red"  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"Open\.color is not declared"):
        freeze([record], 0.0)


# -- what two of them hold


@attrs.define(eq=False)
class Box:
    size: int = 0


class Holder(Declared):
    plain: int | float
    many: deque[int]
    boxes: dict[str, Box]
    first: Annotated[Box | None, CACHED]
    chosen: Annotated[set[Path], CACHED]
    opener: Annotated[object, CACHED]
    memo: Annotated[bytes, MEMO]
    record: Open

    def __init__(self) -> None:
        self.place = None
        self.plain, self.many, self.boxes, self.chosen, self.memo = (
            1,
            deque((1, 2)),
            {"a": Box(), "b": Box()},
            set(),
            b"",
        )
        self.first, self.opener, self.record = self.boxes["a"], object(), Open()

    @cached_property
    def doubled(self) -> float:
        return self.plain * 2


def changed(**values: Any) -> Holder:
    holder = Holder()
    for name, value in values.items():
        setattr(holder, name, value)
    return holder


@pytest.mark.parametrize(
    ("values", "difference"),
    [
        ({"plain": 2}, "plain: 1 and 2"),
        ({"many": deque((1, 3))}, "many[1]: 2 and 3"),
        ({"many": deque((1,))}, "many: deque([1, 2]) and deque([1])"),
        ({"boxes": {"a": Box()}}, """boxes: ["'a'", "'b'"] and ["'a'"]"""),
        ({"boxes": {"a": Box(), "b": Box(7)}}, "boxes['b'].size: 0 and 7"),
        ({"first": None}, "first: Box(size=0) and None"),
        ({"first": Box()}, "first: the same object as elsewhere, and another one: Box(size=0)"),
        ({"chosen": {Path("udp", "h", 1)}}, "chosen: [] and [\"Path(socket='udp', host='h', port=1, scope=0)\"]"),
        ({"record": Open(0, 1)}, "record.doubled: 0 and 1"),
        ({"doubled": 5}, "doubled: 2 and 5"),
    ],
)
def test_where_two_differ(values: dict[str, Any], difference: str) -> None:
    assert [*differences(Holder(), changed(**values))][:1] == [difference]


@pytest.mark.parametrize(
    "values",
    [{}, {"plain": 1.0}, {"memo": b"made once"}, {"opener": object()}, {"doubled": 2}, {"place": ("somewhere",)}],
)
def test_where_two_do_not_differ(values: dict[str, Any]) -> None:
    assert not [*differences(Holder(), changed(**values))]


def test_something_empty_under_a_key_is_as_good_as_nothing() -> None:
    assert not [*differences(changed(opener={1: [2], 3: []}), changed(opener={4: (), 1: [2]}))]
    assert [*differences(changed(opener={1: [2], 3: []}), changed(opener={1: []}))] == ["opener[1]: [2] and []"]


def test_objects_in_a_set_are_counted() -> None:
    assert not [*differences(changed(chosen={Box()}), changed(chosen={Box(1)}))]
    assert [*differences(changed(chosen={Box()}), changed(chosen=set()))] == ["chosen: ['Box(size=0)'] and []"]


def test_a_value_that_is_not_set_is_none() -> None:
    holder = Holder()
    del holder.opener
    assert "opener" not in attributes(holder)
    assert next(differences(holder, Holder())).startswith("opener: None and <object")
