"""What a person at a terminal sees when a command ends early; and standard streams that take nothing, or are gone."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from unittest.mock import ANY

import attrs
import pytest
from cli_commands import PATIENCE, Command, Result

HERE = "127.0.0.1:0"
SEND = ("send", __file__, "--bind", HERE)
RELAY = ("relay", "--bind", HERE, "--secure-port", "0")


@attrs.define
class Terminal:
    """A command with a terminal of its own."""

    process: subprocess.Popen[bytes]
    ours: int
    shown: bytes = b""

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            self._read()

    def ended(self) -> int:
        code = self.process.wait(PATIENCE)
        with suppress(OSError):  # of Linux, when nobody has the terminal any more
            while self._read():
                pass
        return code

    def _read(self) -> bool:
        read = os.read(self.ours, 10_000) if select.select([self.ours], [], [], 1.0)[0] else b""
        self.shown += read
        return bool(read)


@contextmanager
def terminal(*words: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    program = [sys.executable, "-c", _IN_FRONT, *words]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        program, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            with suppress(OSError):
                os.close(ours)


_IN_FRONT = """if True:
    import fcntl, termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    from sansproto_cli.__main__ import main
    main()
"""


@pytest.mark.parametrize(
    ("words", "begun", "key", "end", "code"),
    [
        (SEND, b"receive ", b"\x03", b"\xc3\x97 Interrupted: start again.", 130),
        (RELAY, b"Ctrl-C stops it.\r\n", b"\x03", b"The relay stops.", 0),
        (("receive", "--relay", "127.0.0.1:9"), b"Password:", b"\x03", b"\xc3\x97 Interrupted: start again.", 130),
        (("receive", "--relay", "127.0.0.1:9"), b"Password:", b"\x04", b"\xc3\x97 There is no password", 2),
    ],
    ids=["send", "relay", "a question", "no answer"],
)
def test_the_last_line_is_one_of_its_own(
    words: tuple[str, ...], begun: bytes, key: bytes, end: bytes, code: int
) -> None:
    """The terminal shows ^C, or a question, before it."""
    with terminal(*words) as at:
        at.wait_for(begun)
        os.write(at.ours, key)
        assert at.ended() == code
    last = at.shown.rstrip().rpartition(b"\n")[2]
    assert last.partition(b"\r\x1b[K")[2].lstrip(b"\x1b[1;3m").startswith(end)


@pytest.mark.parametrize(("words", "begun", "code"), [(SEND, b"receive ", 143), (RELAY, b"Ctrl-C stops", 0)])
def test_a_terminal_that_is_closed_ends_a_command_as_a_signal_does(
    words: tuple[str, ...], begun: bytes, code: int
) -> None:
    """What it has to say nobody reads, and that is no failure."""
    with terminal(*words) as at:
        at.wait_for(begun)
        os.close(at.ours)
        assert at.process.wait(PATIENCE) == code


def fill_errors() -> None:
    """The standard error is a full pipe that nobody reads."""
    _reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    sys.stderr = os.fdopen(writer, "w")


def test_an_interrupted_command_waits_for_nobody_who_reads_its_errors(tmp_path: Path) -> None:
    command = Command(tmp_path, *SEND, before=fill_errors)
    try:
        command.wait_for("receive ")
        command.signal(signal.SIGINT)
        assert command.wait().code == 130
    finally:
        command.stop()


def onto_a_full_disk() -> None:
    sys.stdout = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")


def into_a_pipe_that_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sys.stdout = os.fdopen(writer, "w")


def without_errors() -> None:
    sys.stderr.close()
    sys.stderr = None


@pytest.mark.parametrize("words", [("--version",), ("send", "--help"), ("demo",)])
@pytest.mark.parametrize(
    ("before", "code", "told"),
    [
        (onto_a_full_disk, 9, "sansproto: Cannot write the output (No space left on device): send it elsewhere.\n"),
        (into_a_pipe_that_nobody_reads, 1, ""),  # as of head, which has what it wants
    ],
)
def test_what_cannot_be_shown_is_no_bug(
    tmp_path: Path, words: tuple[str, ...], before: Callable[[], None], code: int, told: str
) -> None:
    result = Command(tmp_path, *words, before=before).wait()
    assert (result.code, result.err) == (code, told)


def test_without_a_standard_error_the_code_is_the_same(tmp_path: Path) -> None:
    assert Command(tmp_path, "send", tmp_path / "nothing", before=without_errors).wait().code == 9


def keep_temporary_files_in(folder: Path) -> None:
    tempfile.tempdir = str(folder)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)], ids=lambda it: str(it)
)
def test_a_demo_that_is_ended_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, code: int) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    command = Command(tmp_path, "demo", before=partial(keep_temporary_files_in, kept))
    command.wait_for("relay ")
    command.signal(number)
    assert command.wait() == Result(code, ANY, "sansproto: Interrupted: start again.\n")
    assert [*kept.iterdir()] == []
