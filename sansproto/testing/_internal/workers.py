"""The same inputs in other processes, with other hash seeds: for law 3."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from typing import IO, Any

import attrs

from ..operations import Op


class Workers:
    """Two processes with other hash seeds that play what they are told, and answer with a digest."""

    def __init__(self, owner: type[Any]) -> None:
        self._name = f"{owner.__module__}:{owner.__qualname__}"
        path = os.pathsep.join(sys.path)
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import work; work()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            )
            for seed in ("1", "2")
        ]
        for process in self._processes:
            pickle.dump(self._name, _pipe(process.stdin))

    def digests(self, ops: Sequence[Op], start: float) -> list[str]:
        """The digests of these operations, from that time on."""
        for process in self._processes:
            pickle.dump((list(ops), start), _pipe(process.stdin))
            _pipe(process.stdin).flush()
        return [pickle.load(_pipe(process.stdout)) for process in self._processes]

    def close(self) -> None:
        for process in self._processes:
            process.communicate(pickle.dumps(None))


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def work() -> None:
    """What a worker process does until its input ends."""
    module, name = pickle.load(sys.stdin.buffer).split(":")
    owner: Any = import_module(module)
    for part in name.split("."):
        owner = getattr(owner, part)
    while (told := pickle.load(sys.stdin.buffer)) is not None:
        ops, start = told
        pickle.dump(digest(attrs.evolve(owner.subject, start=start), ops), sys.stdout.buffer)
        sys.stdout.buffer.flush()


def digest(subject: Any, ops: Sequence[Op]) -> str:
    run = subject.run().play(ops)
    return sha256(repr((run.outputs, run.returned, run.endpoint.snapshot(), run.trace)).encode()).hexdigest()


@contextmanager
def workers(owner: type[Any]) -> Iterator[Workers]:
    crew = Workers(owner)
    try:
        yield crew
    finally:
        crew.close()
