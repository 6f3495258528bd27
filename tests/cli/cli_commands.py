"""The ``sansproto`` command as users meet it: processes with pipes, over real sockets on the loopback.

Most are copies of a process that has imported the command already: to start an interpreter for each would take longer
than all that they do. Where it matters how the command is started, a test starts an interpreter of its own.
"""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import attrs

PASSWORD = "marble-acoustic-tunnel"
PATIENCE = 20.0
_NOT_THEIRS = ("SANSPROTO_", "COVERAGE_")  # what we ask of tests; the core is measured without commands
_ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_THEIRS)}


def failed(result: Result, code: int, *words: str) -> None:
    """It ended with this code and one line, which holds these words."""
    assert result.code == code, result.out + result.err
    assert result.err.startswith("sansproto: ")
    assert result.err.count("\n") == 1
    for word in words:
        assert word in result.err


@attrs.frozen
class Result:
    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def event(self, name: str) -> dict[str, Any]:
        return next(event for event in self.events if event["event"] == name)


_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [f"sansproto_cli.{name}" for name in ("app", "domain_app", "egtp_app", "freenet_app", "tox_app")]
)


def wait_long_for_a_greeting() -> None:
    """A sender that waits as long as a busy machine takes for the receiver's first word."""
    from sansproto_cli import sending

    sending.GREETING = PATIENCE


def write_no_large_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))


def _run(
    stdin: Connection,
    outputs: tuple[Path, Path],
    environment: Mapping[str, str],
    words: list[str],
    before: Callable[[], None] | None,
) -> None:
    """What a process does that is to be the command."""
    for number, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY), number)
    os.dup2(stdin.fileno(), 0)
    stdin.close()
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", errors="backslashreplace")
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["sansproto", *words]
    if before is not None:
        before()
    from sansproto_cli.__main__ import main

    main()


_PIPE: Final = 65_536  # bytes that a pipe of Linux holds


class Command:
    """A running command; its output goes to files, so that no pipe ever fills. ``before`` is called in its process."""

    def __init__(
        self,
        folder: Path,
        *arguments: object,
        stdin: bytes | None = b"",
        before: Callable[[], None] | None = None,
    ) -> None:
        self._out = folder / f"out-{time.monotonic_ns()}"
        self._err = self._out.with_suffix(".err")
        outputs = self._out, self._err
        for path in outputs:
            path.touch()
        theirs, self._stdin = _PROCESSES.Pipe(duplex=False)
        if stdin is not None:
            if len(stdin) > _PIPE:
                fcntl.fcntl(self._stdin, fcntl.F_SETPIPE_SZ, len(stdin))  # all of it is written before anybody reads
            os.write(self._stdin.fileno(), stdin)
            self.end_input()
        words = [str(argument) for argument in arguments]
        self._process = _PROCESSES.Process(
            target=_run, args=(theirs, outputs, _ENVIRONMENT, words, before), daemon=True
        )
        self._process.start()
        theirs.close()

    @property
    def is_running(self) -> bool:
        return self._process.exitcode is None

    def wait(self) -> Result:
        self._process.join(PATIENCE)
        code = self._process.exitcode
        assert code is not None, f"it still runs: {self._out.read_text()}{self._err.read_text()}"
        return Result(code, self._out.read_text(errors="surrogateescape"), self._err.read_text())

    def wait_for(self, text: str) -> str:
        """Wait until this was written; what was written so far."""
        deadline = time.monotonic() + PATIENCE
        while True:
            is_running = self.is_running
            if text in (written := self._out.read_text()):
                return written
            assert is_running, f"ended: {written}{self._err.read_text()}"
            assert time.monotonic() < deadline, f"no {text!r} in {written!r}"
            time.sleep(0.02)

    @property
    def output(self) -> bytes:
        """What was written so far."""
        return self._out.read_bytes()

    @property
    def errors(self) -> str:
        """What was written there so far."""
        return self._err.read_text()

    def type(self, line: str) -> None:
        """Write a line to a command that was started with ``stdin=None``."""
        os.write(self._stdin.fileno(), line.encode() + b"\n")

    def end_input(self) -> None:
        self._stdin.close()

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def stop(self) -> None:
        if self.is_running:
            self._process.kill()
        self._process.join()
        self._stdin.close()


class RelayCommand(Command):
    """A relay on free ports."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "relay", "--bind", "127.0.0.1", "--port", 0, "--secure-port", 0, "--json")
        started = json.loads(self.wait_for("\n").splitlines()[0])
        self.port: int = started["port"]
        self.secure_port: int = started["secure_port"]


class Place:
    """Where a test runs its commands: beside a relay, with folders for everything."""

    def __init__(self, folder: Path, relay: RelayCommand) -> None:
        self.folder = folder
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.relay = relay
        self._commands: list[Command] = []

    @property
    def port(self) -> int:
        return self.relay.port

    @property
    def secure_port(self) -> int:
        return self.relay.secure_port

    @property
    def at(self) -> tuple[object, ...]:
        return "--relay", f"127.0.0.1:{self.port}", "--secure-port", self.secure_port

    @property
    def received(self) -> list[str]:
        return sorted(os.listdir(self.inbox))

    def start(self, *arguments: object, **keywords: Any) -> Command:
        command = Command(self.folder, *arguments, **keywords)
        self._commands.append(command)
        return command

    def send(self, *arguments: object, **keywords: Any) -> Command:
        return self.start("send", *arguments, *self.at, "-p", PASSWORD, **keywords)

    def receive(self, *arguments: object, password: str = PASSWORD, **keywords: Any) -> Command:
        return self.start("receive", password, *self.at, "-o", self.inbox, *arguments, **keywords)

    def transfer(self, *arguments: object, receiver: tuple[object, ...] = (), **keywords: Any) -> tuple[Result, Result]:
        sender = self.send(*arguments, **keywords)
        receiving = self.receive("--yes", *receiver)
        return sender.wait(), receiving.wait()

    def close(self) -> None:
        for command in self._commands:
            command.stop()
