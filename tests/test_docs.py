"""The protocol pages say what the code says, and whatever the code refers to is there."""

from __future__ import annotations

import ast
import importlib.util
import re
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from sansproto.bob import Departure, Failure, TransferFault, Violation
from sansproto.egtp import MailboxViolation
from sansproto.egtp.packets import ErrorCode
from sansproto.machine import Table
from sansproto.overte import DenialReason, Loss, Removal
from sansproto.overte import Departure as OverteDeparture
from sansproto.proxies import ProxyFailure
from sansproto.session import Answers, Session
from sansproto.testing._internal.protocols import protocols
from sansproto.testing.tables import check, headings
from sansproto.tox import RelayViolation
from sansproto_cli.app import app

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
    assert path.is_file(), f"there is no {path.name}: run docs/generate.py"
    assert path.read_text("utf-8") == FILES[path], "run docs/generate.py"


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
    assert GENERATOR.answers(Answers(32)) == "at most 1 of at most 32 bytes, none longer than what it answers"
    assert GENERATOR.answers(Answers(161, 2)).startswith("at most 2 of at most 161 bytes, ")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_is_sound_and_its_references_are_headings(table: Table[Any, Any]) -> None:
    assert check(table, PAGES) == []


def citations() -> list[tuple[str, str, str]]:
    """Where the code cites a page and headings of it: ``docs/protocols/bob.rst, announcements``."""
    found = []
    for source in SOURCES:
        text = re.sub(r"\s*\n\s*(#\s*)?", " ", source.read_text("utf-8"))
        for page, heading in re.findall(r"docs/protocols/(\w+\.rst)(?:, ([A-Za-z][^.:;)\"`]*))?", text):
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


WAYS: dict[str, list[Enum]] = {
    "bob": [*Violation, *Failure, *Departure, *TransferFault],
    "egtp": [*MailboxViolation, *ErrorCode],
    "overte": [*DenialReason, *Loss, *Removal, *OverteDeparture],
    "links": [*ProxyFailure],
    "tox": [*RelayViolation],
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
    core = [path for path in (ROOT / "sansproto").glob("*.py") if path.stem != "__init__"]
    assert {*listed} == {*(path.stem for path in core), "wire", "testing"}
    for path in core:
        above = {*listed[: listed.index(path.stem)]}
        nodes = ast.parse(path.read_text("utf-8")).body  # an import for types only stands in an if
        imported = {
            (node.module or node.names[0].name).partition(".")[0]
            for node in nodes
            if isinstance(node, ast.ImportFrom) and node.level
        }
        assert imported <= above


def test_the_reference_has_every_public_module() -> None:
    pages = (ROOT / "docs" / "reference").glob("*.rst")
    described = [
        name for page in pages for name in re.findall(r"^\.\. automodule:: (\S+)$", page.read_text("utf-8"), re.M)
    ]
    library = ROOT / "sansproto"
    modules = [*library.glob("[a-z]*.py"), *library.glob("testing/[a-z]*.py"), *library.glob("*/__init__.py")]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in modules}
    adapters = {path.parent.name for path in (ROOT / "adapters").glob("*/src/*/runner.py")}
    names = {name for name in names if not name.startswith("sansproto.testing.conformance_")}
    names |= {f"sansproto.overte.{name}" for name in ("audio", "avatars", "packets", "packing", "payloads", "versions")}
    assert sorted(described) == sorted((names | adapters) - {"sansproto.testing"})


def test_which_of_these_names_commands_that_there_are() -> None:
    named = re.findall(r"``sansproto ([\w ]+)``", (ROOT / "docs" / "which.rst").read_text("utf-8"))
    assert len(named) > 10
    for command in named:
        found = app
        for word in command.split():
            found = found[word]


def test_the_page_on_testing_lists_the_public_modules() -> None:
    listed = re.findall(r"^``([a-z_]+)``  ", (ROOT / "docs" / "howto" / "testing.rst").read_text("utf-8"), re.M)
    modules = {path.stem for path in (ROOT / "sansproto" / "testing").glob("[a-z]*.py")}
    assert sorted(listed) == sorted(name for name in modules if not name.startswith("conformance_"))
