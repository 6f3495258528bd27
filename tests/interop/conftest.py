"""The libraries with which tests of toxcore run, and where they do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

import pytest
from tox_parts import Scene
from toxcore import DEBIAN, GIVEN, Library, debian, given

sys.path.append(str(File(__file__).parents[1] / "tox"))  # scripted_tox


def _library(library: Library | None, name: str, reason: str) -> Any:
    return pytest.param(library, id=name, marks=pytest.mark.skipif(library is None, reason=reason))


@pytest.fixture(
    scope="session",
    params=[
        _library(debian, "debian", f"{DEBIAN}, the package libtoxcore2 of Debian, cannot be loaded"),
        _library(given, "given", f"TOXCORE names no shared library of toxcore that can be loaded: {GIVEN!r}"),
    ],
)
def library(request: pytest.FixtureRequest) -> Library:
    real: Library = request.param
    return real


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.close()
