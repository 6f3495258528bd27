"""A law that fails says with which seed and from when on, and the command that it gives does it again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from hypothesis import core, settings
from test_laws import BEAT, ECHO, QUICK, Blabs, NeedsAFineClock, Raises

from sansproto.testing import laws
from sansproto.testing._internal.check import Law, check
from sansproto.testing._internal.subject import Subject
from sansproto.testing.operations import LawBroken

LEAK, CLOCK = attrs.evolve(BEAT, cls=Blabs), attrs.evolve(BEAT, cls=NeedsAFineClock)
LUCK = settings(QUICK, derandomize=False)


def note_of(law: Law, subject: Subject, profile: settings = QUICK) -> str:
    with pytest.raises((LawBroken, IndexError)) as caught:
        check(law, subject, profile)
    (note,) = caught.value.__notes__[:1]
    return note


def test_a_failing_law_names_its_seed_its_start_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "tests/test_x.py::TestX::test_law_12[a b] (call)")
    monkeypatch.delenv("SANSPROTO_SOAK", raising=False)
    note = note_of(laws.law_12, LEAK)
    found = re.fullmatch(
        r"The run began at [\d.]+, and the seed was (\d+)\. Again:\n"
        r"    python -m pytest 'tests/test_x\.py::TestX::test_law_12\[a b\]' --hypothesis-seed=(\d+)",
        note,
    )
    assert found is not None
    assert found[1] == found[2]
    assert note_of(laws.law_12, LEAK) == note
    monkeypatch.setenv("SANSPROTO_SOAK", "500")
    assert "    SANSPROTO_SOAK=500 python -m pytest" in note_of(laws.law_12, LEAK)


def test_two_classes_of_tests_see_different_things(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though their subjects are of one class."""

    def seed_of(test: str) -> str:
        monkeypatch.setenv("PYTEST_CURRENT_TEST", f"tests/test_x.py::{test} (call)")
        return note_of(laws.law_12, LEAK).partition("--hypothesis-seed=")[2]

    assert seed_of("TestX::test_law_12") == seed_of("TestX::test_another")
    assert seed_of("TestX::test_law_12") != seed_of("TestY::test_law_12")


@pytest.mark.unmeasured
def test_whatever_is_raised_has_the_note_and_outside_of_pytest_there_is_no_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    assert re.fullmatch(
        r"The run began at [\d.]+, and the seed was \d+\.", note_of(laws.law_01, attrs.evolve(ECHO, cls=Raises))
    )


def test_the_start_is_the_one_that_matters() -> None:
    assert note_of(laws.law_06, CLOCK).startswith("The run began at 2147483648.0, ")


def test_a_seed_can_be_given_and_is_drawn_where_nothing_is_derandomized(monkeypatch: pytest.MonkeyPatch) -> None:
    assert note_of(laws.law_12, LEAK, LUCK) != note_of(laws.law_12, LEAK, LUCK)
    monkeypatch.setattr(core, "global_force_seed", 7)
    for profile in (QUICK, LUCK):
        assert "the seed was 7. " in note_of(laws.law_12, LEAK, profile)


FAILING = """
import attrs
from hypothesis import Phase, settings
from test_laws import BEAT, NeedsAFineClock
from sansproto.testing.laws import Laws

settings.register_profile("luck", deadline=None, max_examples=3000, database=None, phases=[Phase.generate])
settings.load_profile("luck")

class TestClock(Laws):
    subject = attrs.evolve(BEAT, cls=NeedsAFineClock)
"""


@pytest.mark.unmeasured
def test_the_command_fails_in_the_same_way(tmp_path: Path) -> None:
    (tmp_path / "test_failing.py").write_text(FAILING, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    tests = Path(__file__).parent
    modules = os.pathsep.join(map(str, (tests, tests.parent / "docs" / "howto")))
    environment = {**os.environ, "PATH": path, "PYTHONPATH": modules}
    environment.pop("SANSPROTO_SOAK", None)

    def run(command: str) -> list[str]:
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 1, done.stdout + done.stderr
        return [line for line in done.stdout.splitlines() if line.startswith("E ")]

    first = run("python -m pytest test_failing.py::TestClock::test_law_06_no_spin")
    (command,) = (line.removeprefix("E").strip() for line in first if "--hypothesis-seed=" in line)
    assert "test_failing.py::TestClock::test_law_06_no_spin" in command
    assert run(command) == first
