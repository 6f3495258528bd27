"""Which Pythons the Makefile and .ci/run choose on machines that have other ones than this. Those here are fakes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.outside

ROOT = Path(__file__).parents[1]
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("adapters/*/pyproject.toml"))]
OLDEST = 11

# An interpreter that says it is another version, and that some system left without what makes virtual environments.
FAKE = """
import sys
_, itself, minor, able, option, code, *sys.argv[1:] = sys.argv
assert option == "-c"
sys.version_info = (3, int(minor), 1, "final", 0)
sys.executable = itself
if able == "no":
    sys.modules["ensurepip"] = None
exec(code)
"""
PYENV = ".pyenv/versions/3.18.0/bin"
FAKE_MAKE = """#!/bin/sh
printf '%s\\n' "$*" >>made
"""


class Machine:
    """Its PATH is one folder, and its home another. What this machine has in /opt and /usr/local comes after them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = folder / "my tools"
        self.tools.mkdir()
        self.env = {"PATH": str(self.tools), "HOME": str(folder)}
        for name in ("sh", "make", "sed", "dirname", "id"):
            (self.tools / name).symlink_to(str(shutil.which(name)))
        (folder / "fake.py").write_text(FAKE, "utf-8")

    def has(self, name: str, minor: int, *, able: bool = True, folder: str = "my tools") -> str:
        python = self.folder / folder / name
        python.parent.mkdir(parents=True, exist_ok=True)
        answer = f'"{self.folder}/fake.py" "$0" {minor} {"yes" if able else "no"}'
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S {answer} "$@"\n', "utf-8")
        python.chmod(0o755)
        return str(python)

    def chosen(self, *more: str) -> str | None:
        """What `make demo` would make the environment with."""
        command = [str(shutil.which("make")), "-n", "demo", f"VENV={self.folder / 'venv'}", *more]
        ran = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return shutil.which(re.findall(r'"(.*)" -m venv ', ran.stdout)[0], path=self.tools)

    def checks(self) -> subprocess.CompletedProcess[str]:
        """.ci/run, with a make that only notes what it is asked for."""
        shutil.copytree(ROOT / ".ci", self.folder / ".ci")
        (self.folder / "pyproject.toml").touch()
        (self.tools / "make").unlink()
        (self.tools / "make").write_text(FAKE_MAKE, "utf-8")
        (self.tools / "make").chmod(0o755)
        return subprocess.run([self.folder / ".ci" / "run"], env=self.env, capture_output=True, text=True)

    def made(self) -> list[str]:
        return (self.folder / "made").read_text("utf-8").splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("minor", [11, 14, 15, 27])
def test_make_takes_python3_of_any_version_from_3_11_on(machine: Machine, minor: int) -> None:
    python = machine.has("python3", minor)
    machine.has("python3.12", 12)
    assert machine.chosen() == python


@pytest.mark.parametrize(("minor", "able"), [(10, True), (16, False)], ids=["too old", "without venv"])
def test_make_passes_over_what_it_cannot_use(machine: Machine, minor: int, able: bool) -> None:
    machine.has("python3", minor, able=able)
    python = machine.has("python3.17", 17)
    assert machine.chosen() == python


def test_make_finds_the_pythons_of_pyenv(machine: Machine) -> None:
    python = machine.has("python3", 18, folder=PYENV)
    assert machine.chosen() == python


def test_make_takes_the_one_that_it_is_told(machine: Machine) -> None:
    machine.has("python3", 14)
    python = machine.has("other python", 15, folder="")
    assert machine.chosen(f"PYTHON={python}") == python


def test_the_checks_run_with_every_python_once(machine: Machine) -> None:
    first = machine.has("python3", 14)
    machine.has("python3.14", 14)
    machine.has("python3.10", 10)
    machine.has("python3.16", 16, able=False)
    others = {minor: machine.has(f"python3.{minor}", minor) for minor in (15, 17)}
    machine.has("python3.17-config", 17)
    others[18] = machine.has("python3", 18, folder=PYENV)
    ran = machine.checks()
    assert ran.returncode == 0, ran.stderr
    made = machine.made()
    assert made[:4] == [f"{target} PYTHON={first}" for target in ("test", "docs", "dist", "interop")]
    assert made[4:7] == [f"check VENV=.venv-3.{minor} PYTHON={others[minor]}" for minor in others]
    numbers = [line.split()[1] for line in made[4:]]  # this machine's own come after those
    assert len({*numbers}) == len(numbers)
    assert not {f"VENV=.venv-3.{minor}" for minor in (10, 14, 16)} & {*numbers}
    assert "NOT RUN: Python 3.16 cannot make a virtual environment" in ran.stdout


def test_the_checks_say_which_promised_python_they_did_not_run(machine: Machine) -> None:
    machine.has("python3", 98)
    lines = [f'    "Programming Language :: Python :: 3.{minor}",' for minor in (98, 99)]
    (machine.folder / "pyproject.toml").write_text("\n".join(lines), "utf-8")
    ran = machine.checks()
    assert ran.returncode == 0, ran.stderr
    assert re.findall(r"^NOT RUN: Python (\S+),", ran.stdout, re.M) == ["3.99"]


def test_the_checks_begin_with_the_python_that_they_are_told(machine: Machine) -> None:
    machine.has("python3", 14)
    machine.env["PYTHON"] = machine.has("other python", 15, folder="")
    ran = machine.checks()
    assert ran.returncode == 0, ran.stderr
    assert machine.made()[0] == f"test PYTHON={machine.env['PYTHON']}"


@pytest.mark.parametrize(("minor", "able"), [(10, True), (14, False)], ids=["too old", "without venv"])
def test_the_checks_refuse_a_python_that_they_cannot_use(machine: Machine, minor: int, able: bool) -> None:
    machine.has("python3", 14)
    machine.env["PYTHON"] = machine.has("other python", minor, able=able, folder="")
    ran = machine.checks()
    assert (ran.returncode, "Python 3.11 or newer" in ran.stderr) == (1, True)
    assert machine.env["PYTHON"] in ran.stderr
    assert not (machine.folder / "made").exists()


def test_the_checks_run_where_paths_hold_spaces_and_nobody_is_at_home(machine: Machine) -> None:
    del machine.env["HOME"]
    python = machine.tools / "python3"
    python.symlink_to(os.path.realpath(sys.executable))
    ran = machine.checks()
    assert ran.returncode == 0, ran.stderr
    assert machine.made()[:4] == [f"{target} PYTHON={python}" for target in ("test", "docs", "dist", "interop")]


def classified(project: Path) -> list[str]:
    found = tomllib.loads(project.read_text("utf-8"))["project"]["classifiers"]
    return [line.rpartition(" ")[2] for line in found if re.search(r":: Python :: 3\.\d+$", line)]


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_no_project_has_an_upper_bound(project: Path) -> None:
    """A new Python must not be refused before it was tried. The classifiers are those that were."""
    assert tomllib.loads(project.read_text("utf-8"))["project"]["requires-python"] == f">=3.{OLDEST}"
    assert classified(project) == classified(PROJECTS[0])
    assert classified(project)[0] == f"3.{OLDEST}"


SAYS = [ROOT / name for name in ("Makefile", ".ci/run", ".ci/pythons", "README.md", "SECURITY.rst", "pyproject.toml")]
SAYS += [*ROOT.glob("adapters/*/README.md"), *ROOT.glob("adapters/*/pyproject.toml"), *ROOT.glob("docs/**/*.rst")]


@pytest.mark.parametrize("path", sorted(SAYS), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_lists_the_pythons_that_there_are(path: Path) -> None:
    """Such a list is an upper bound. Only the oldest is named, and the classifiers."""
    lines = [line for line in path.read_text("utf-8").splitlines() if ":: Python ::" not in line]
    named = re.findall(r"python *3[.][1-9][0-9]?|\b3, ?1[0-9]\b|\b(?:and|or|,) 3[.]1[0-9]\b", "\n".join(lines), re.I)
    assert {re.sub(r"\D+", "", name) for name in named} <= {f"3{OLDEST}"}
