"""Signals to a command whose output nobody reads: the first one is enough."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

import pytest

from sansproto_cli.exits import Exit, Interrupted
from sansproto_cli.report import JsonReporter
from sansproto_cli.signals import Signals
from sansproto_cli.standard_streams import RawOutput


@pytest.fixture
def full() -> Iterator[TextIO]:
    """A pipe that takes nothing more."""
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    with suppress(BlockingIOError):
        while True:
            os.write(sink, bytes(4096))
    os.set_blocking(sink, True)
    with open(source, "rb"), open(sink, "w", encoding="utf-8") as out:
        yield out


def goes_nowhere(out: TextIO) -> bool:
    return stat.S_ISCHR(os.fstat(out.fileno()).st_mode)


def test_a_line_that_nobody_reads_is_given_up(full: TextIO) -> None:
    with Signals():
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(Interrupted) as caught:
            JsonReporter(full).tell("message", line="x")
        assert caught.value.code is Exit.TERMINATED
        assert goes_nowhere(full)
        JsonReporter(full).tell("stopped")


def test_the_last_words_wait_for_nobody(full: TextIO) -> None:
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            signals.check()
        JsonReporter(full).tell("stopped")
        assert goes_nowhere(full)


def test_a_signal_just_before_an_output_is_not_overlooked() -> None:
    with Signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            RawOutput().message(b"x")


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    """What is written, and what can be read then."""
    source, sink = os.pipe()
    with open(source, encoding="utf-8") as read, open(sink, "w", encoding="utf-8") as out:
        yield out, read


def test_a_line_is_written_although_a_signal_waits(pipe: tuple[TextIO, TextIO]) -> None:
    out, read = pipe
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        JsonReporter(out).tell("told")
        with pytest.raises(Interrupted):
            signals.check()
    assert "told" in read.readline()


def test_a_long_line_does_not_hide_a_signal_nor_silence_what_follows(pipe: tuple[TextIO, TextIO]) -> None:
    out, read = pipe
    with Signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            JsonReporter(out).tell("long", line="x" * 5000)
        assert not goes_nowhere(out)
        JsonReporter(out).tell("long", line="y" * 5000)
    assert "y" * 5000 in read.readline()


MOMENTS = {
    "before it begins": ("call", "run_command"),
    "while a part is imported": ("call", "__set_name__"),
    "after it has ended": ("return", "run_command"),
}
INTERRUPTED = (Exit.INTERRUPTED, -signal.SIGINT)  # a shell says 130 for both


def _run_with(interrupt: str) -> subprocess.CompletedProcess[str]:
    """The command with a function ``interrupt`` that sees each call and each return."""
    program = f"""
import signal, sys
import sansproto_cli.app
from sansproto_cli.__main__ import main

{interrupt}
sys.argv = ["sansproto", "domain", "no-such-command", "--json"]
sys.setprofile(interrupt)
main()
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_shows_no_traceback(moment: str) -> None:
    """Nor does the second one, which comes while the first one is told."""
    done = _run_with(f"""
def interrupt(frame, event, _):
    if (event, frame.f_code.co_name) in ({MOMENTS[moment]}, ("call", "_report_interrupted")):
        signal.raise_signal(signal.SIGINT)
""")
    assert done.stderr == ""
    assert done.returncode in INTERRUPTED


def test_ctrl_c_in_a_destructor_shows_no_traceback() -> None:
    done = _run_with("""
class Falls:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def interrupt(frame, event, _):
    if (event, frame.f_code.co_name) == ("call", "run_command"):
        Falls()
""")
    assert done.stderr == ""
