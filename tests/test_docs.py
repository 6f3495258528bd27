"""The protocol pages say what the code says, and whatever the code refers to is there."""

from __future__ import annotations

import importlib.util
import re
from enum import Enum
from pathlib import Path
from types import ModuleType

import pytest

from sansproto.bob import Departure, Failure, Violation
from sansproto.machine import Verdict
from sansproto.testing.tables import AnyTable, check, headings

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "protocols"
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
TABLES: list[AnyTable] = [table for tables in GENERATOR.TABLES.values() for table in tables]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path: Path) -> None:
    """If this fails, run docs/generate.py."""
    assert path.read_text("utf-8") == FILES[path]


def test_every_generated_part_is_on_its_page_and_nothing_else_is_there() -> None:
    parts = sorted(path.name for path in FILES if path.suffix == ".inc")
    assert sorted(path.name for path in GENERATOR.GENERATED.iterdir()) == parts
    included = re.findall(r"^\.\. include:: generated/(\S+)$", (PAGES / "bob.rst").read_text("utf-8"), re.M)
    assert sorted(included) == [part for part in parts if part.startswith("bob.")]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_is_sound_and_its_references_are_headings(table: AnyTable) -> None:
    assert check(table, PAGES) == []


def citations() -> list[tuple[str, str, str]]:
    """Where the code cites a page and a heading of it: ``docs/protocols/bob.rst, announcements``."""
    found = []
    for source in SOURCES:
        text = re.sub(r"\s*\n\s*(#\s*)?", " ", source.read_text("utf-8"))
        for page, heading in re.findall(r"docs/protocols/(\w+\.rst)(?:, ([a-z][^.:;\"`]*))?", text):
            found.append((source.name, page, heading))
    return found


@pytest.mark.parametrize(("source", "page", "heading"), citations())
def test_what_the_code_cites_is_there(source: str, page: str, heading: str) -> None:
    assert (PAGES / page).is_file()
    assert not heading or heading.strip().lower() in headings(PAGES / page)


def _reasons() -> set[str]:
    shared = [ROOT / "sansproto" / f"{name}.py" for name in ("endpoint", "session")]
    texts = [path.read_text("utf-8") for path in (*shared, *(ROOT / "sansproto" / "bob").rglob("*.py"))]
    dropped = {reason for text in texts for reason in re.findall(r'_drop\("([^"]+)"\)', text)}
    ignored = {
        str(default.reason) for table in TABLES for default in table.otherwise if default.verdict is Verdict.IGNORE
    }
    return dropped | ignored


def section(page: str, heading: str) -> str:
    text = (PAGES / page).read_text("utf-8")
    after = text.split(f"\n{heading}\n", 1)[1].split("\n", 1)[1]
    return re.split(r"\n\S[^\n]*\n[-=]{3,}\n\n", after, maxsplit=1)[0]


def test_every_reason_to_drop_is_explained() -> None:
    table = section("bob.rst", "Why a packet was dropped")
    assert set(re.findall(r"^``([^`]+)``  ", table, re.M)) == _reasons()


@pytest.mark.parametrize("member", [*Violation, *Failure, *Departure], ids=str)
def test_every_way_to_fail_is_explained(member: Enum) -> None:
    assert f"``{member.name}``" in (PAGES / "bob.rst").read_text("utf-8").replace("PeerFailed(", "``").replace(
        ")``", "``"
    )
