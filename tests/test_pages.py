"""Each protocol's page has its parts in the same order, and begins with a program that is run."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from sansproto.testing._internal.protocols import protocols, sessions_of

PAGES = Path(__file__).parents[1] / "docs" / "protocols"
BEGINNING = ["A program", "Roles", "Events"]
ORDER = [*BEGINNING, "Packets", "Why a packet was dropped", "Refusals and remarks", "Times and limits"]
MOST_LINES = 25
SHOWN = re.compile(r"^\.\. literalinclude:: (programs/\w+\.py)\n\nIt prints::\n\n((?:    .+\n)+)", re.M)

of_each_protocol = pytest.mark.parametrize("protocol", protocols())


def headings_of(text: str) -> list[str]:
    """Those of sections, in their order. The title and what the page is for stand before the first one."""
    return [above for above, line in pairwise(text.splitlines()) if above and line == "-" * len(above)]


def faults(text: str, *, has_sessions: bool) -> list[str]:
    """What is wrong with a page; the page of a protocol without sessions has no packets, and refers to a program."""
    found = headings_of(text)
    order = [heading for heading in ORDER if has_sessions or heading != "Packets"]
    program = text.partition("\nRoles\n-----\n")[0]
    wrong = [f"no section {heading!r}" for heading in order if heading not in found]
    if found[: len(BEGINNING)] != BEGINNING:
        wrong.append(f"it does not begin with {BEGINNING}")
    if [heading for heading in found if heading in order] != [heading for heading in order if heading in found]:
        wrong.append(f"the order is not {order}")
    if not {*found[found.index(ORDER[-1]) + 1 :]} <= {"Security notes"}:
        wrong.append(f"sections behind {ORDER[-1]!r}")
    if not (SHOWN.search(program) if has_sessions else re.search(r"program of :doc:`\w+`", program)):
        wrong.append("no program")
    return wrong


@of_each_protocol
def test_a_page_has_its_parts_in_order(protocol: str) -> None:
    text = (PAGES / f"{protocol}.rst").read_text("utf-8")
    assert faults(text, has_sessions=bool(sessions_of(protocol))) == []


def page(*sections: str, program: str) -> str:
    text = "".join(f"{section}\n{'-' * len(section)}\n\nText.\n\n" for section in sections)
    return f"Toy\n===\n\nWhat it is for.\n\n{text.replace('Text.', program, 1)}"


PROGRAM = ".. literalinclude:: programs/toy.py\n\nIt prints::\n\n    hello\n"


def test_a_page_with_another_order_or_without_a_program_is_found() -> None:
    assert faults(page(*ORDER, "Security notes", program=PROGRAM), has_sessions=True) == []
    assert faults(page(*ORDER, program="Text."), has_sessions=True) == ["no program"]
    assert faults(page(*ORDER, program="The program of :doc:`egtp` counts."), has_sessions=True) == ["no program"]
    assert faults(page(*ORDER, program="The program of :doc:`egtp` counts."), has_sessions=False) == []
    assert faults(page(*ORDER, "Names", program=PROGRAM), has_sessions=True) == ["sections behind 'Times and limits'"]
    assert faults(page("Names", *ORDER, program=PROGRAM), has_sessions=True) == [f"it does not begin with {BEGINNING}"]
    swapped = [*ORDER[:4], "Refusals and remarks", "Why a packet was dropped", "Times and limits"]
    assert faults(page(*swapped, program=PROGRAM), has_sessions=True) == [f"the order is not {ORDER}"]
    without = [heading for heading in ORDER if heading != "Packets"]
    assert faults(page(*without, program=PROGRAM), has_sessions=True) == ["no section 'Packets'"]


def programs() -> list[tuple[str, str]]:
    """The programs of all pages, with what the page says that they print."""
    texts = [(PAGES / f"{protocol}.rst").read_text("utf-8") for protocol in protocols()]
    return [(name, re.sub(r"^    ", "", output, flags=re.M)) for text in texts for name, output in SHOWN.findall(text)]


def test_programs_are_short_and_each_is_on_a_page() -> None:
    files = {f"programs/{path.name}": path.read_text("utf-8") for path in (PAGES / "programs").glob("*.py")}
    assert [name for name, _ in programs()] == sorted(files)
    assert [name for name, text in files.items() if len(text.splitlines()) > MOST_LINES] == []


@pytest.mark.unmeasured
@pytest.mark.parametrize(("name", "output"), programs(), ids=[name for name, _ in programs()])
def test_a_program_prints_what_its_page_shows(name: str, output: str) -> None:
    command = [sys.executable, "-W", "error", str(PAGES / name)]
    found = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    assert (found.stdout, found.returncode) == (output, 0)
