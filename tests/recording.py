"""The file of vectors that scripts write: ``make vectors`` runs each module that has some."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TypeVar

from scripted import ScriptedPeer

from sansproto import __version__
from sansproto.testing import session_recorder
from sansproto.testing.session_recorder import Config
from sansproto.testing.vectors import write_json

P = TypeVar("P", bound=ScriptedPeer)


class Scenarios:
    """Decorates the scripts of one file: each gives the peer that it was played with, which ends then."""

    def __init__(self, file: str) -> None:
        """``file`` is the folder of the protocol and a name, in ``vectors``."""
        self.path = Path(__file__).parents[1] / "vectors" / file
        self.all: list[Callable[[], ScriptedPeer]] = []

    def __call__(self, script: Callable[[], P]) -> Callable[[], P]:
        @wraps(script)
        def ended() -> P:
            peer = script()
            peer.end()
            return peer

        self.all.append(ended)
        return ended

    def document(self) -> Config:
        return session_recorder.document(self.path.parent.name, __version__, self.all)

    def write(self) -> None:
        write_json(self.path, self.document())
