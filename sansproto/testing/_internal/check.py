"""One law on one subject, as a Hypothesis test that says how to run it again when it fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from shlex import quote
from typing import Any, TypeAlias
from zlib import crc32

from hypothesis import core, given, seed, settings
from hypothesis import strategies as st

from .meter import patience
from .subject import STARTS, Subject

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
Law: TypeAlias = Callable[[Subject, Draw], None]


def check(law: Law, subject: Subject, profile: settings | None = None) -> None:
    """Put a subject to a law; LawBroken if it does not keep it. The profile is Hypothesis' current one if None.

    Runs begin at several times. What is raised has a note with the seed, the time at which the run began, and the
    command that does it again. The seed is the one of ``--hypothesis-seed``, else drawn; or always the same for a law,
    a class and a class of tests, under a profile that is derandomized: two subjects of a class see different things.
    """
    number = _seed(law, subject, profile or settings())

    @seed(number)
    @settings(profile)
    @given(st.data())
    def keeps_the_law(data: st.DataObject) -> None:
        start = data.draw(st.sampled_from(STARTS))
        try:
            with patience():
                law(subject.beginning(start), data.draw)
        except Exception as error:
            error.add_note(f"The run began at {start!r}, and the seed was {number}.{_command(number)}")
            raise

    keeps_the_law()


def _seed(law: Law, subject: Subject, profile: settings) -> int:
    given: Any = core.global_force_seed
    if given is not None:
        return int(given)
    if profile.derandomize:
        parts = [subject.cls.__qualname__, getattr(law, "__name__", ""), *_test().split("::")[1:-1]]
        return crc32(" ".join(parts).encode())
    return int.from_bytes(os.urandom(4), "big")


def _test() -> str:
    """The id of the test that pytest runs."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]


def _command(number: int) -> str:
    """How pytest runs the test again that is running, as many examples included."""
    test = _test()
    soak = os.environ.get("SANSPROTO_SOAK")
    examples = f"SANSPROTO_SOAK={soak} " if soak else ""
    return f" Again:\n    {examples}python -m pytest {quote(test)} --hypothesis-seed={number}" if test else ""
