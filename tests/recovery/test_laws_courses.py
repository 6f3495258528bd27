"""What must hold of recovery whatever happens: by Hypothesis, and by seeds.

``make soak`` runs 10,000 seeds, or those of a file (``SEEDS=FILE``, numbers with white space between them). A seed that
fails is printed with the command that runs it again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from courses import ACTIONS, Course, act, course_of, run
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from soaking import SOAKING

from sansproto.recovery import Recovery
from sansproto.recovery.session import Session

FEW, MANY, CHUNK = 15, 10_000, 50
pytestmark = pytest.mark.unmeasured

ENDS = st.sampled_from([(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)])


def chosen() -> list[int]:
    """The seeds: those of ``SEEDS`` (a file, or numbers with commas), many to soak, or a few."""
    given = os.environ.get("SEEDS", "")
    if given:
        text = given if given.replace(",", "").isdigit() else Path(given).read_text("utf-8")
        return [int(number) for number in text.replace(",", " ").split()]
    return [*range(MANY if SOAKING else FEW)]


SEEDS = chosen()
FOUND = [5460, 12892]
"""Seeds that have found something."""


def run_each(seeds: list[int], core: type[Recovery] = Recovery) -> None:
    for seed in seeds:
        try:
            run(seed, core)
        except BaseException as error:
            error.add_note(f"The seed was {seed}. Again:\n    SEEDS={seed} python -m pytest {__file__} -k seeds")
            raise


@pytest.mark.parametrize("first", range(0, len(SEEDS), CHUNK), ids=lambda first: f"{first}-{first + CHUNK}")
def test_courses_of_seeds(first: int) -> None:
    run_each(SEEDS[first : first + CHUNK])


def test_courses_that_found_something() -> None:
    run_each(FOUND)


def test_the_same_seed_is_the_same_course() -> None:
    """Whoever restores a session, or runs it again, sees the same."""
    for seed in SEEDS[:3]:
        first, second = run(seed), run(seed)
        for one, other in zip(first.ends, second.ends, strict=True):
            assert one.log == other.log
            assert one.session.snapshot() == other.session.snapshot()


class Naive(Session):
    """Takes everything for new."""

    def is_new(self, arrival: Any) -> bool:
        return True


def test_a_seed_that_fails_is_named_with_the_command() -> None:
    core = type("Wrong", (Recovery,), {"make_session": lambda core, sid: Naive(core.host, core, sid)})
    with pytest.raises(AssertionError) as caught:
        run_each([*range(20)], core)
    (note,) = caught.value.__notes__
    assert note.startswith("The seed was ")
    assert "SEEDS=" in note


class Courses(RuleBasedStateMachine):
    """Hypothesis chooses what happens to whom, and when."""

    course: Course

    @initialize(seed=st.integers(0, 1 << 32))
    def begin(self, seed: int) -> None:
        self.course = course_of(seed)
        self.course.connect(*self.course.ends[:2])
        self.course.world.net.run(1.0)

    @rule(name=st.sampled_from([*ACTIONS]), ends=ENDS, pause=st.floats(0.0, 10.0))
    def happen(self, name: str, ends: tuple[int, int], pause: float) -> None:
        one, other = (self.course.ends[number] for number in ends)
        act(self.course, name, one, other)
        self.course.world.net.run(pause)

    @rule(pause=st.floats(0.0, 200.0))
    def wait(self, pause: float) -> None:
        self.course.world.net.run(pause)

    @invariant()
    def tables_are_sound(self) -> None:
        if hasattr(self, "course"):
            self.course.world.check()

    def teardown(self) -> None:
        if hasattr(self, "course"):
            self.course.calm_down()
            self.course.check_end()


TestCourses = Courses.TestCase
TestCourses.settings = settings(stateful_step_count=40)
