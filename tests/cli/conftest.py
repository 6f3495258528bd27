"""A relay for all tests of the command, and a place of its own for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_commands import Place, RelayCommand


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The command is no part of what is measured, and it starts faster without that."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.unmeasured)


@pytest.fixture(scope="session")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayCommand]:
    command = RelayCommand(tmp_path_factory.mktemp("relay"))
    yield command
    command.stop()


@pytest.fixture
def place(tmp_path: Path, relay: RelayCommand) -> Iterator[Place]:
    there = Place(tmp_path, relay)
    yield there
    there.close()


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    """A place whose relay may be ended."""
    relay = RelayCommand(tmp_path)
    there = Place(tmp_path, relay)
    yield there
    there.close()
    relay.stop()
