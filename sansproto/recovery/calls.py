"""Calls of a host's methods, which may fail. docs/protocols/recovery.rst, what the host does."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ..errors import WireError

P = ParamSpec("P")
R = TypeVar("R")


def attempt(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
    """What a method of the host gives; None if it fails. A WireError tells what was wrong, so it goes on to the guard.

    A step that calls it comes before anything is changed.
    """
    try:
        return call(*args, **kwargs)
    except WireError:
        raise
    except Exception:
        return None


def quietly(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
    """The same for an action, of which nothing is left to be undone: None, whatever was wrong."""
    try:
        return call(*args, **kwargs)
    except Exception:
        return None
