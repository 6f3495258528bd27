"""Each role says in its docstring which of its names are for applications, and says all of them."""

from __future__ import annotations

from inspect import getdoc
from typing import Any

import pytest

from sansproto.endpoint import DatagramEndpoint
from sansproto.testing._internal.protocols import protocols, sessions_of
from sansproto.testing._internal.verbs import call_of, queries_of, said_of, verbs_of

ROLES = [role for protocol in protocols() for role in sessions_of(protocol)]


class Rower(DatagramEndpoint[str, str]):
    """Rows.

    Verbs: ``row``, ``close``. Queries: ``speed``,
    ``strokes``.
    """

    # -- verbs

    @property
    def speed(self) -> int:
        """In knots."""
        return 2

    def strokes(self, of: str, *, most: int = 9) -> int:
        """How many there were."""
        return min(len(of), most)

    def row(self, to: str, now: float) -> None:
        """Row."""

    def unsaid(self) -> None:  # without a docstring it is not for applications
        pass

    # -- what parts ask

    def wet(self) -> bool:
        """Is a part wet?"""
        return True


class Silent(Rower):
    """Says nothing of verbs."""


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.__name__)
def test_a_role_says_all_of_its_verbs_and_queries(role: Any) -> None:
    verbs, queries = said_of(role)
    assert sorted(verbs) == sorted(verbs_of(role))
    assert sorted(queries) == sorted(queries_of(role))
    assert all(getdoc(getattr(role, name)) for name in (*verbs, *queries))


def test_verbs_take_the_time_and_queries_are_below_their_heading() -> None:
    assert verbs_of(Rower) == {"row", "close"} == verbs_of(Silent)
    assert queries_of(Rower) == {"speed", "strokes"} == queries_of(Silent)
    assert said_of(Rower) == (["row", "close"], ["speed", "strokes"])
    assert said_of(Silent) == ([], [])


def test_how_verbs_and_queries_are_written() -> None:
    written = [call_of(Rower, name) for name in ("row", "speed", "strokes")]
    assert written == ["row(to, now)", "speed", "strokes(of, most=)"]
