"""Why the sessions of a protocol drop, refuse and remark: read off their tables, guards, declarations and base classes.

:func:`dropped`, :func:`refused` and :func:`noted` give every reason that ``stats`` can count, with who gives it and
where that is explained; :func:`rst` makes the table of it for the protocol's page.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from inspect import isfunction
from itertools import chain
from types import FunctionType
from typing import Any, Never, TypeAlias, TypeVar

import attrs

from ...compiled import type_arguments
from ...component import DatagramHost, Note, Refusal
from ...contract import Endpoint, Session, StreamSession
from ...endpoint import D
from ...machine import Outcome
from .charts import list_table
from .declared import tables_below
from .protocols import modules_of, protocols, sessions_of, tables_of
from .reach import Reach, function_of

MALFORMED = "malformed ..."
"""Of any packet, by its name."""

_PACKET = re.compile(r"^malformed [A-Z]\w*$")
_PAGES = {"session": ":doc:`endpoints`", "endpoint": ":doc:`endpoints`", "streams": ":doc:`links`"}

T = TypeVar("T", Refusal, Note)


@attrs.frozen
class Given:
    """By whom a reason is given, how (by guards, or where a table has no row), and where it is explained."""

    by: str
    how: str = ""
    see: str = ""


Reasons: TypeAlias = dict[str, list[Given]]


def dropped(protocol: str) -> Reasons:
    """Why something that arrived is dropped. Malformed packets have one reason for all of them."""
    found: Reasons = {}
    for reason, given in _dropped(protocol):
        found.setdefault(key(reason), []).append(given)
    if MALFORMED in found:
        found[MALFORMED] = [Given("the part that the packet is for")]
    return dict(sorted(found.items()))


def key(reason: str) -> str:
    """The key of a reason in :func:`dropped`."""
    return _PACKET.sub(MALFORMED, reason)


def refused(protocol: str) -> Reasons:
    """Why output is not taken."""
    shared = {one.reason: [Given("", see=page)] for page, one in _of_shared_parts(protocol, Refusal)}
    bases = [given for cls in sessions_of(protocol) for given in drops_of_base(cls)]
    found = {what.reason: [Given("", see=given.see)] for what, given in bases if isinstance(what, Refusal)}
    found.update({one.reason: [Given("", see=one.ref)] for one in _declared(protocol, Refusal)})
    return dict(sorted({**shared, **found}.items()))


def noted(protocol: str) -> Reasons:
    """Remarks on what is accepted."""
    found = {one.remark: [Given("", see=page)] for page, one in _of_shared_parts(protocol, Note)}
    found.update({one.remark: [Given("", see=one.ref)] for one in _declared(protocol, Note)})
    return dict(sorted(found.items()))


def rst(reasons: Mapping[str, list[Given]], advice: Mapping[str, str] | None = None) -> str:
    """A table of reasons; without who gives them where that is nobody in particular. With advice, it is told for each:
    KeyError for one that has none."""
    anybody = any(given.by for group in reasons.values() for given in group)
    columns: dict[str, list[str]] = {"Reason": [f"``{reason}``" for reason in reasons]}
    if advice is not None:
        columns["What it means, and what to do"] = [advice[reason] for reason in reasons]
    if anybody:
        columns["Given by"] = [_by(group) for group in reasons.values()]
    columns["See"] = [_see(group) for group in reasons.values()]
    return list_table((*columns,), [*zip(*columns.values(), strict=True)])


def speaks_datagrams(cls: type[Any]) -> bool:
    """A session class whose datagrams are ``Never`` has no limits for them, and drops all that arrive."""
    return type_arguments(cls).get(D, Never) is not Never


def drops_of_base(cls: type[Any]) -> Iterator[tuple[str | Refusal, Given]]:
    """What a session class drops or refuses itself, in what the contract's calls lead to."""
    speaks = speaks_datagrams(cls)
    roots = {name for kind in (Session, StreamSession, Endpoint) for name in vars(kind)}
    todo: list[tuple[str, type[Any] | None]] = [(name, None) for name in sorted(roots)]
    todo += [(name, None) for name in vars(DatagramHost) if speaks]
    for name, behind in todo:
        owner = _owner_of(cls, name, behind)
        function = None if owner is None else vars(owner)[name]
        if owner is not None and isfunction(function) and not name.startswith("__"):
            reader = _read(function, speaks)
            see = _PAGES.get(owner.__module__.rpartition(".")[2], "")
            yield from ((what, Given("the session", see=see)) for what in reader.found)
            calls = [(called, owner if is_super else None) for called, is_super in reader.calls]
            todo += [call for call in calls if call not in todo]


def _dropped(protocol: str) -> Iterator[tuple[str, Given]]:
    streams = _tables_below(protocol, tables_of("links"))
    shared, reach = _reach_of(protocol)
    for table in (*tables_of(protocol), *streams, *shared):
        page = "" if table.page == protocol else f":doc:`{table.page}`"
        is_own = table not in shared
        for guards in table.guards:
            for step in guards.steps:
                if step.on is None and (is_own or reach.has(guards)):
                    yield step.reason, Given(table.name, guards.name, page or step.ref)
        for default in table.defaults:
            if default.outcome is Outcome.IGNORE and (is_own or reach.has_default(default)):
                yield default.reason, Given(table.name, "no row", page)
    for cls in sessions_of(protocol):
        yield from ((what, given) for what, given in drops_of_base(cls) if isinstance(what, str))


def shared_parts(protocol: str) -> list[str]:
    """The protocols whose parts the sessions of this one own."""
    return [page for page in sorted(protocols()) if page != protocol and _tables_below(protocol, tables_of(page))]


@cache
def _reach_of(protocol: str) -> tuple[tuple[Any, ...], Reach]:
    """The tables of shared parts that the sessions of a protocol own, and what it reaches of them."""
    tables = tuple(chain.from_iterable(_tables_below(protocol, tables_of(page)) for page in shared_parts(protocol)))
    return tables, Reach(protocol, tables)


def _tables_below(protocol: str, tables: Iterable[Any]) -> list[Any]:
    """Those of these that the sessions of a protocol have below them."""
    below = set[Any]().union(*map(tables_below, sessions_of(protocol)))
    return [table for table in tables if table in below]


def _of_shared_parts(protocol: str, kind: type[T]) -> Iterator[tuple[str, T]]:
    _, reach = _reach_of(protocol)
    for page in shared_parts(protocol):
        yield from ((f":doc:`{page}`", one) for one in _declared(page, kind) if reach.has(one))


def _declared(protocol: str, kind: type[T]) -> set[T]:
    return {value for one in modules_of(protocol) for value in vars(one).values() if isinstance(value, kind)}


def _owner_of(cls: type[Any], name: str, behind: type[Any] | None) -> type[Any] | None:
    """The class whose method of this name a session has; the next one for ``super``."""
    mro = cls.__mro__
    rest = mro if behind is None else mro[mro.index(behind) + 1 :]
    return next((one for one in rest if name in vars(one)), None)


@cache  # most are those of the base classes
def _read(function: FunctionType, speaks: bool) -> _Reader:
    return _Reader(function, speaks)


class _Reader(ast.NodeVisitor):
    """What a method drops, and the methods of its own that it calls, on a session that speaks datagrams or does not."""

    def __init__(self, function: FunctionType, speaks: bool) -> None:
        self.found: list[str | Refusal] = []
        self.calls: list[tuple[str, bool]] = []
        self._names, self._speaks = function.__globals__, speaks
        self.visit(function_of(function))

    def visit_If(self, node: ast.If) -> None:
        for one in (node.test, *self._chosen(node.test, node.body, node.orelse)):
            self.visit(one)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        where, _, name = ast.unparse(node.func).rpartition(".")
        if where == "super()" or (where == "self" and name != "drop"):
            self.calls.append((name, where != "self"))
        if where == "self" and name == "drop":
            self.found += self._texts(node.args[0])
        elif where == "self" and name == "count_refusal":
            self.found.append(self._names[ast.unparse(node.args[0])])

    def _texts(self, reason: ast.expr) -> Iterator[str]:
        if isinstance(reason, ast.IfExp):
            for one in self._chosen(reason.test, [reason.body], [reason.orelse]):
                yield from self._texts(one)
        else:
            yield ast.literal_eval(reason)

    def _chosen(self, test: ast.expr, body: list[Any], orelse: list[Any]) -> Iterable[Any]:
        """The branches that can be taken."""
        if ast.unparse(test) in ("limits is None", "self._datagram_limits is None"):
            return orelse if self._speaks else body
        return [*body, *orelse]


def _by(group: Iterable[Given]) -> str:
    """Each table once: ``bob.member: hello, packet``."""
    found: dict[str, dict[str, None]] = {}
    for given in group:
        found.setdefault(given.by, {})[given.how] = None
    return "; ".join(f"{by}: {', '.join(how)}".removesuffix(": ") for by, how in found.items())


def _see(group: Iterable[Given]) -> str:
    return "; ".join(dict.fromkeys(given.see for given in group if given.see))
