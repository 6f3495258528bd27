"""The ``sansproto`` command as users meet it: processes with pipes, over real sockets on the loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

PASSWORD = "marble-acoustic-tunnel"
PATIENCE = 20.0
_NOT_THEIRS = ("SANSPROTO_", "COVERAGE_")  # what we ask of tests; the core is measured without commands
PATIENT = (
    "-c",
    "from sansproto_cli import sending; sending.GREETING = 20.0; from sansproto_cli.__main__ import main; main()",
)  # a program: the command, but its sender waits as long as a busy machine takes for the receiver's first word
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


class Command:
    """A running command; its output goes to files, so that no pipe ever fills."""

    def __init__(
        self,
        folder: Path,
        *arguments: object,
        stdin: bytes | None = b"",
        limit: Callable[[], None] | None = None,
        program: Sequence[str] = ("-m", "sansproto_cli"),
    ) -> None:
        self._out = folder / f"out-{time.monotonic_ns()}"
        self._err = self._out.with_suffix(".err")
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *program, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                env=_ENVIRONMENT,
                preexec_fn=limit,
            )
        assert self.process.stdin is not None
        if stdin is not None:
            self.process.stdin.write(stdin)
            self.process.stdin.close()

    def wait(self) -> Result:
        code = self.process.wait(PATIENCE)
        return Result(code, self._out.read_text(errors="replace"), self._err.read_text())

    def wait_for(self, text: str) -> str:
        """Wait until this was written; what was written so far."""
        deadline = time.monotonic() + PATIENCE
        while text not in (written := self._out.read_text()):
            assert self.process.poll() is None, f"ended: {written}{self._err.read_text()}"
            assert time.monotonic() < deadline, f"no {text!r} in {written!r}"
            time.sleep(0.02)
        return written

    @property
    def output(self) -> bytes:
        """What was written so far."""
        return self._out.read_bytes()

    @property
    def errors(self) -> str:
        """What was written there so far."""
        return self._err.read_text()

    def close_input(self) -> None:
        """The end of the input of a command that was started with ``stdin=None``."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def type(self, line: str) -> None:
        """Write a line to a command that was started with ``stdin=None``."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


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

    def transfer(self, *arguments: object, **keywords: Any) -> tuple[Result, Result]:
        sender = self.send(*arguments, **keywords)
        receiver = self.receive("--yes")
        return sender.wait(), receiver.wait()

    def close(self) -> None:
        for command in self._commands:
            command.stop()
