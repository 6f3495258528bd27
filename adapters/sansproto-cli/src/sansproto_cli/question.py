"""A question to whoever sits before the standard input."""

from __future__ import annotations

import time
from collections.abc import Callable

from .line import InputLine
from .report import Reporter

THINKING = 240.0  # seconds for the answer: the relay cuts whoever reads nothing for 300
_YES, _NO = ("", "y", "yes"), ("n", "no")


def answer(question: str, reporter: Reporter, watch: Callable[[], None]) -> bool | None:
    """Yes or no; None if there is nobody to say it, or nobody did in time. Any other word asks again.

    ``watch`` is called all the time, waits a little, and may raise to end the question.
    """
    deadline = time.monotonic() + THINKING
    while True:
        reporter.ask(question)
        line = InputLine()
        while not line.is_there:
            watch()
            if time.monotonic() > deadline:
                return None
        watch()
        reporter.answered()
        if line.text is None:
            return None
        word = line.text.strip().lower()
        if word in _YES or word in _NO:
            return word in _YES
        question = "Please answer y or n:"
