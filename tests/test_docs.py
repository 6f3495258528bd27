"""The protocol pages say what the code says, and whatever the code refers to is there."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from sansproto.bob import Departure, Failure, TransferFault, Violation
from sansproto.component import Note, Refusal
from sansproto.endpoint import OUTBOX_FULL
from sansproto.machine import Outcome, Table
from sansproto.overte import DenialReason, Loss, Removal
from sansproto.overte import Departure as OverteDeparture
from sansproto.overte import packets as overte
from sansproto.session import Answers, Session
from sansproto.testing.protocols import protocols
from sansproto.testing.tables import check, headings

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "protocols"
PROTOCOLS = protocols()
SOURCES = sorted((ROOT / "sansproto").rglob("*.py"))


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()
FILES: dict[Path, str] = GENERATOR.files()
TABLES: list[Table[Any, Any]] = [table for tables in GENERATOR.TABLES.values() for table in tables]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path: Path) -> None:
    """If this fails, run docs/generate.py."""
    assert path.read_text("utf-8") == FILES[path]


def test_every_generated_part_is_on_its_page_and_nothing_else_is_there() -> None:
    parts = sorted(path.name for path in FILES if path.suffix == ".inc")
    assert sorted(path.name for path in GENERATOR.GENERATED.iterdir()) == parts
    for page in PROTOCOLS:
        included = re.findall(r"^\.\. include:: generated/(\S+)$", (PAGES / f"{page}.rst").read_text("utf-8"), re.M)
        assert sorted(included) == [part for part in parts if part.startswith(f"{page}.")]


class Doorman(Session[str]):
    strangers: ClassVar = Answers(161, grows=16, budget="time")


class Deaf(Session[str]):
    pass


def test_declared_answers_to_strangers_are_listed() -> None:
    text = GENERATOR.strangers([Doorman, Deaf])
    assert "at most 1 of at most 161 bytes, at most 16 bytes longer than what it answers, while ``time`` lasts" in text
    assert "   * - ``Deaf``\n     - none\n" in text
    assert GENERATOR.strangers([Deaf]) == ""
    assert str(Answers(32)) == "at most 1 of at most 32 bytes, none longer than what it answers"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_is_sound_and_its_references_are_headings(table: Table[Any, Any]) -> None:
    assert check(table, PAGES) == []


def citations() -> list[tuple[str, str, str]]:
    """Where the code cites a page and headings of it: ``docs/protocols/bob.rst, announcements``."""
    found = []
    for source in SOURCES:
        text = re.sub(r"\s*\n\s*(#\s*)?", " ", source.read_text("utf-8"))
        for page, heading in re.findall(r"docs/protocols/(\w+\.rst)(?:, ([A-Za-z][^.:;\"`]*))?", text):
            found.append((source.name, page, heading))
    return found


@pytest.mark.parametrize(("source", "page", "heading"), citations())
def test_what_the_code_cites_is_there(source: str, page: str, heading: str) -> None:
    assert (PAGES / page).is_file()
    known = headings(PAGES / page)
    cited = [heading.strip().lower()] if heading else []
    if not known.issuperset(cited):  # several headings; a single one may hold an "and" itself
        cited = re.split(r", | and ", cited[0])
    assert known.issuperset(cited)


def dropped_in(path: Path) -> Iterator[str]:
    """Every reason that a module gives to ``drop`` or ``stats.drop``; what a reason says of its packet is "..."."""
    for function in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".drop"):
                    yield from texts(node.args[0], function)


def texts(reason: ast.expr, function: ast.FunctionDef) -> Iterator[str]:
    match reason:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=otherwise):
            yield from (*texts(body, function), *texts(otherwise, function))
        case ast.JoinedStr(values=values):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in values)
        case ast.Name(id=name) if name not in [argument.arg for argument in function.args.args]:
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and name in [ast.unparse(target) for target in node.targets]:
                    yield from texts(node.value, function)
        case ast.Name():  # whoever calls it gives the reason
            pass
        case _:
            raise AssertionError(f"a reason that this test does not see: {ast.unparse(reason)}")


def _reasons(page: str) -> set[str]:
    shared = [ROOT / "sansproto" / f"{name}.py" for name in ("endpoint", "session", "streams")]
    modules = [*shared, *(ROOT / "sansproto" / page).rglob("*.py")]
    ignored = {reason for table in TABLES if table.page in ("links", page) for reason in _reasons_of(table)}
    return ignored | {reason for module in modules for reason in dropped_in(module)}


def _reasons_of(table: Table[Any, Any]) -> set[str]:
    """What is malformed is explained once for all packets."""
    ignored = {default.reason for default in table.defaults if default.outcome is Outcome.IGNORE}
    reasons = {step.reason for guards in table.guards for step in guards.steps if step.on is None}
    return ignored | {re.sub(rf"^malformed ({'|'.join(PACKETS)})$", "malformed ...", reason) for reason in reasons}


def section(page: str, heading: str) -> str:
    text = (PAGES / page).read_text("utf-8")
    after = text.split(f"\n{heading}\n", 1)[1].split("\n", 1)[1]
    return re.split(r"\n\S[^\n]*\n[-=]{3,}\n\n", after, maxsplit=1)[0]


@pytest.mark.parametrize("page", PROTOCOLS)
def test_every_reason_to_drop_is_explained(page: str) -> None:
    table = section(f"{page}.rst", "Why a packet was dropped")
    assert set(re.findall(r"^``([^`]+)``  ", table, re.M)) == _reasons(page)


def _declared(page: str, kind: type[Refusal] | type[Note]) -> Iterator[Refusal | Note]:
    names = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "sansproto" / page).rglob("*.py")]
    for module in ["sansproto.endpoint", *(".".join(name.parts) for name in names if name.name != "__init__")]:
        yield from (value for value in vars(import_module(module)).values() if isinstance(value, kind))


@pytest.mark.parametrize("page", ["overte"])
def test_every_refusal_and_remark_is_explained(page: str) -> None:
    refused, noted = re.split(r"^``stats.noted``", section(f"{page}.rst", "Refusals and remarks"), flags=re.M)
    refusals, notes = {*_declared(page, Refusal)}, {*_declared(page, Note)}
    assert set(re.findall(r"^``([^`]+)``  ", refused, re.M)) == {one.reason for one in refusals}  # type: ignore[union-attr]
    assert set(re.findall(r"^``([^`]+)``  ", noted, re.M)) == {one.remark for one in notes}  # type: ignore[union-attr]
    known = headings(PAGES / f"{page}.rst")
    assert known.issuperset(one.ref for one in (*refusals, *notes) if one is not OUTBOX_FULL)


PACKETS = [kind.__name__ for kind in overte.PACKETS.values()]
WAYS: dict[str, list[Enum]] = {
    "bob": [*Violation, *Failure, *Departure, *TransferFault],
    "overte": [*DenialReason, *Loss, *Removal, *OverteDeparture],
}


@pytest.mark.parametrize(("page", "member"), [(page, member) for page, members in WAYS.items() for member in members])
def test_every_way_to_fail_is_explained(page: str, member: Enum) -> None:
    text = (PAGES / f"{page}.rst").read_text("utf-8").replace("PeerFailed(", "``").replace(")``", "``")
    assert f"``{member.name}``" in text


ARCHITECTURE = (ROOT / "docs" / "architecture.rst").read_text("utf-8")
STOPS = re.findall(r"^   \* - ``(\S+\.py)``, ``(\w+)\.(\w+)``$", ARCHITECTURE, re.M)


@pytest.mark.parametrize(("path", "owner", "name"), STOPS)
def test_each_stop_on_the_way_of_a_datagram_or_a_stream_is_there(path: str, owner: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner)
    assert name in [node.name for node in found.body if isinstance(node, ast.FunctionDef)]


def test_stops_and_files_of_the_core_are_read_and_files_are_listed_below_what_they_import() -> None:
    assert len(STOPS) == ARCHITECTURE.count("   * - ``") > 20
    listed = re.findall(r"^``(\w+)(?:\.py|/)``  ", ARCHITECTURE, re.M)
    core = [path for path in (ROOT / "sansproto").glob("*.py") if not re.match("old_|lift|__init__", path.name)]
    assert {*listed} == {*(path.stem for path in core), "wire", "testing"}
    for path in core:
        above = {*listed[: listed.index(path.stem)]}
        nodes = ast.parse(path.read_text("utf-8")).body  # an import for types only stands in an if
        imported = {
            str(node.module).partition(".")[0] for node in nodes if isinstance(node, ast.ImportFrom) and node.level
        }
        assert imported <= above
