"""The same inputs in other processes, with other hash seeds: for law 3."""

from __future__ import annotations

import atexit
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from operator import attrgetter
from typing import IO, Any

import attrs

from ..operations import Op


class Workers:
    """Two processes with other hash seeds that run operations, and answer with a digest of the outputs."""

    def __init__(self) -> None:
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

    def digests(self, owner: type[Any], ops: Sequence[Op], start: float) -> list[str]:
        """The digests of these operations of the subject of a class of tests, from that time on."""
        told = pickle.dumps((owner.__module__, owner.__qualname__, list(ops), start))
        for process in self._processes:
            _pipe(process.stdin).write(told)
            _pipe(process.stdin).flush()
        return [pickle.load(_pipe(process.stdout)) for process in self._processes]

    def close(self) -> None:
        for process in self._processes:
            process.communicate(pickle.dumps(None))


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def work() -> None:
    """The main loop of a worker process, until its input ends."""
    while (told := pickle.load(sys.stdin.buffer)) is not None:
        module, name, ops, start = told
        owner = attrgetter(name)(import_module(module))
        pickle.dump(digest(attrs.evolve(owner.subject, start=start), ops), sys.stdout.buffer)
        sys.stdout.buffer.flush()


def digest(subject: Any, ops: Sequence[Op]) -> str:
    run = subject.run().play(ops)
    return sha256(repr((run.outputs, run.returned, run.endpoint.snapshot(), run.trace)).encode()).hexdigest()


_running: list[Workers] = []


@contextmanager
def workers() -> Iterator[Workers]:
    """The workers of this process. They start at the first use, and end with the process or with an error."""
    if not _running:
        _running.append(Workers())
        atexit.register(_end)
    try:
        yield _running[0]
    except BaseException:
        _end()
        raise


def _end() -> None:
    while _running:
        _running.pop().close()
