"""Calls of a host's methods, which may fail. docs/protocols/recovery.rst, what the host does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from ..errors import WireError

A = TypeVarTuple("A")
R = TypeVar("R")


def attempt(call: Callable[[*A], R], *args: *A) -> R | None:
    """What a method of the host gives; None if it fails. A WireError tells what was wrong, so it goes on to the guard.

    A step that calls it comes before anything is changed.
    """
    try:
        return call(*args)
    except WireError:
        raise
    except Exception:
        return None


def quietly(call: Callable[[*A], R], *args: *A) -> R | None:
    """The same for an action, of which nothing is left to be undone: None, whatever was wrong."""
    try:
        return call(*args)
    except Exception:
        return None
