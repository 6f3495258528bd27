"""Snippets with one mistake each: mypy, or the table when it is made, refuses them with the message in line 1.

``refused/mypy_*.py`` are refused by mypy and in other words by pyright, ``refused/made_*.py`` when they run,
``refused/fine_*.py`` by nobody.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "refused"
MARK = "# refused: "


def message(path: Path) -> str:
    first = path.read_text("utf-8").partition("\n")[0]
    assert first.startswith(MARK)
    return first.removeprefix(MARK)


@cache
def found() -> str:
    """What mypy says of all snippets, in one run."""
    files = [path.name for path in sorted(FOLDER.glob("*.py")) if not path.name.startswith("made_")]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *files]
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False).stdout


@cache
def refused_by_pyright() -> set[str]:
    """The names of the snippets in which pyright finds an error, in one run."""
    files = [path.name for path in sorted(FOLDER.glob("*.py"))]
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", *files]
    offline = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, env=offline)
    return {Path(one["file"]).name for one in json.loads(done.stdout)["generalDiagnostics"]}


@pytest.mark.unmeasured
@pytest.mark.parametrize("path", sorted(FOLDER.glob("mypy_*.py")), ids=lambda path: path.stem)
def test_type_checkers_refuse(path: Path) -> None:
    said = [line for line in found().splitlines() if line.startswith(f"{path.name}:") and " error: " in line]
    assert len(said) == 1, said
    assert message(path) in said[0]
    assert path.name in refused_by_pyright()


@pytest.mark.unmeasured
def test_type_checkers_accept_what_is_right() -> None:
    assert not re.findall(r"^(?:fine_|base).* error: .*$", found(), re.M)
    assert not {name for name in refused_by_pyright() if name.startswith(("fine_", "base"))}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("made_*.py")), ids=lambda path: path.stem)
def test_the_making_of_the_table_refuses(path: Path) -> None:
    done = subprocess.run([sys.executable, path.name], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert message(path) in done.stderr
