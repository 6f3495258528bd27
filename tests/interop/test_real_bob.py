"""Files go both ways between sansproto and the original bob, through the relay of either.

These run when the environment variable SANSPROTO_BOB names a ``bob`` executable.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TypeAlias

import pytest

_BOB = os.environ.get("SANSPROTO_BOB", "")
_PASSWORD, _OTHER = "marble-acoustic-tunnel", "marble-acoustic-ladder"
_PATIENCE = 40.0
_NOISE = random.Random(3)
_CONTENTS = {
    "text": b"the quick brown fox jumps over the lazy dog\n" * 30_000,
    "noise": _NOISE.randbytes(20_000_000),
    "empty": b"",
}
# Who sends, relays and receives. At least one of them is ours, and at least one is not.
_CASTS = [cast for cast in product(("ours", "bob"), repeat=3) if len(set(cast)) == 2]

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not _BOB, reason="SANSPROTO_BOB does not name a bob executable"),
]

Process: TypeAlias = "subprocess.Popen[bytes]"


class Meeting:
    """A relay of either kind, and commands of either kind beside it."""

    def __init__(self, folder: Path, relay: str) -> None:
        self._folder = folder
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self._port, self._secure_port = _free_ports()
        self._processes: list[Process] = []
        if relay == "bob":
            self.relay = self._start(_BOB, "relay", "127.0.0.1", self._port, "--secure-port", self._secure_port)
        else:
            ports = ("--port", self._port, "--secure-port", self._secure_port)
            self.relay = self._start(*_OURS, "relay", "--bind", "127.0.0.1", *ports)
        self._wait_for_relay()

    def send(self, kind: str, path: Path, *, compress: bool) -> Process:
        if kind == "bob":
            option = "--compress" if compress else "--no-compression"
            return self._start(_BOB, "send", "-q", *self._at, "-p", _PASSWORD, option, path)
        option = "--compress" if compress else "--no-compress"
        return self._start(*_OURS, "send", *self._at, "-p", _PASSWORD, option, path)

    def receive(self, kind: str, *options: str, password: str = _PASSWORD, answer: str = "y") -> Process:
        if kind == "bob":
            return self._start(_BOB, "recv", "-q", *self._at, password, answer=answer)
        return self._start(*_OURS, "receive", *self._at, "-o", self.inbox, *options, password, answer=answer)

    def close(self) -> None:
        if self.relay.poll() is None:
            self.relay.send_signal(signal.SIGINT)
        for process in self._processes[1:]:
            process.kill()
        for process in self._processes:
            process.wait(_PATIENCE)

    @property
    def _at(self) -> tuple[object, ...]:
        return "-r", f"127.0.0.1:{self._port}", "--secure-port", self._secure_port

    def _start(self, *command: object, answer: str = "") -> Process:
        with open(self._folder / "log", "ab") as log:
            process = subprocess.Popen(
                list(map(str, command)),
                cwd=self.inbox,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "BOB_TMP": str(self._folder)},
            )
        assert process.stdin is not None
        process.stdin.write(answer.encode() + b"\n")
        process.stdin.close()
        self._processes.append(process)
        return process

    def _wait_for_relay(self) -> None:
        """Connect nowhere: the original's relay remembers every connection for ever."""
        deadline = time.monotonic() + _PATIENCE
        while not _is_listening(self._secure_port):
            assert time.monotonic() < deadline
            time.sleep(0.05)


_OURS = (sys.executable, "-m", "sansproto_cli")


def _free_ports() -> tuple[int, int]:
    """Below those that outgoing connections use."""
    for port in random.sample(range(20_000, 30_000, 2), 50):
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
                return port, port + 1
        except OSError:
            continue
    raise AssertionError("no free ports")


def _is_listening(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False


@contextmanager
def _meeting(folder: Path, relay: str) -> Iterator[Meeting]:
    meeting = Meeting(folder, relay)
    try:
        yield meeting
    finally:
        meeting.close()


@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "stored"])
@pytest.mark.parametrize("contents", _CONTENTS)
@pytest.mark.parametrize("cast", _CASTS, ids="-".join)
def test_a_file_arrives(tmp_path: Path, cast: tuple[str, str, str], contents: str, compress: bool) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(_CONTENTS[contents])
    sender, relay, receiver = cast
    with _meeting(tmp_path, relay) as meeting:
        sending, receiving = meeting.send(sender, path, compress=compress), meeting.receive(receiver)
        log = tmp_path / "log"
        assert (receiving.wait(_PATIENCE), sending.wait(_PATIENCE)) == (0, 0), log.read_text()
        assert [path.name for path in meeting.inbox.iterdir()] == ["file.txt"]
        assert (meeting.inbox / "file.txt").read_bytes() == _CONTENTS[contents]


@pytest.mark.parametrize("name", ["f", "ff"])
def test_a_short_name_does_not_end_the_original(tmp_path: Path, name: str) -> None:
    """Its receiver fails if the deflated name has fewer than 11 bytes and the contents are deflated, too."""
    contents = _CONTENTS["noise"][:200_000]
    path = tmp_path / name
    path.write_bytes(contents)
    with _meeting(tmp_path, "ours") as meeting:
        sending, receiving = meeting.send("ours", path, compress=True), meeting.receive("bob")
        assert (receiving.wait(_PATIENCE), sending.wait(_PATIENCE)) == (0, 0)
        assert (meeting.inbox / name).read_bytes() == contents


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Shot 19:20:29.png", "Shot 19:20:29.png"),
        ("a\\b.txt", "a\\b.txt"),
        ("-rf", "-rf"),
        ("\N{SNOWMAN}" * 85, "\N{SNOWMAN}" * 85),
        (".hidden", "_hidden"),
    ],
)
def test_odd_names_go_both_ways(tmp_path: Path, name: str, kept: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"contents")
    with _meeting(tmp_path, "ours") as meeting:
        for sender, receiver, stored in (("bob", "ours", kept), ("ours", "bob", name)):
            sending, receiving = meeting.send(sender, path, compress=True), meeting.receive(receiver)
            assert (receiving.wait(_PATIENCE), sending.wait(_PATIENCE)) == (0, 0)
            assert (meeting.inbox / stored).read_bytes() == b"contents"
            (meeting.inbox / stored).unlink()


def test_our_sender_notices_that_the_original_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(_CONTENTS["noise"] * 10)
    with _meeting(tmp_path, "ours") as meeting:
        sending, receiving = meeting.send("ours", path, compress=False), meeting.receive("bob")
        _wait_until((meeting.inbox / "file").exists)
        receiving.kill()
        assert sending.wait(_PATIENCE) == 7
        assert meeting.relay.poll() is None


def test_our_receiver_notices_that_the_original_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(_CONTENTS["noise"] * 10)
    with _meeting(tmp_path, "ours") as meeting:
        sending, receiving = meeting.send("bob", path, compress=False), meeting.receive("ours")
        _wait_for_text(tmp_path / "log", "[Y/n]")
        sending.kill()
        assert receiving.wait(_PATIENCE) == 7
        assert list(meeting.inbox.iterdir()) == []
        assert meeting.relay.poll() is None


def test_a_folder_reaches_the_original_as_a_tar(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a").write_bytes(_CONTENTS["text"])
    with _meeting(tmp_path, "ours") as meeting:
        sending, receiving = meeting.send("ours", folder, compress=True), meeting.receive("bob")
        assert (receiving.wait(_PATIENCE), sending.wait(_PATIENCE)) == (0, 0)
        with tarfile.open(meeting.inbox / "folder.tar") as tar:
            assert tar.getnames() == ["folder", "folder/sub", "folder/sub/a"]


@pytest.mark.parametrize(("sender", "relay"), [("ours", "bob"), ("bob", "ours"), ("bob", "bob")])
def test_we_notice_a_wrong_password(tmp_path: Path, sender: str, relay: str) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(_CONTENTS["text"])
    with _meeting(tmp_path, relay) as meeting:
        sending = meeting.send(sender, path, compress=True)
        assert meeting.receive("ours", "--timeout", "5", password=_OTHER).wait(_PATIENCE) == 4
        assert meeting.receive("ours").wait(_PATIENCE) == 0  # sender and relay have survived it
        assert sending.wait(_PATIENCE) == 0
        assert meeting.relay.poll() is None


def test_the_original_notices_a_wrong_password_and_our_sender_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(_CONTENTS["text"])
    with _meeting(tmp_path, "ours") as meeting:
        sending = meeting.send("ours", path, compress=True)
        meeting.receive("bob", password=_OTHER)
        _wait_for_text(tmp_path / "log", "has another password. Still waiting.")
        assert meeting.receive("ours").wait(_PATIENCE) == 0
        assert sending.wait(_PATIENCE) == 0


def test_a_receiver_of_ours_can_say_no_to_the_original(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(_CONTENTS["noise"])
    with _meeting(tmp_path, "ours") as meeting:
        meeting.send("bob", path, compress=False)
        assert meeting.receive("ours", answer="n").wait(_PATIENCE) == 5
        assert list(meeting.inbox.iterdir()) == []


def test_our_sender_goes_on_after_the_original_said_no(tmp_path: Path) -> None:
    """A relay keeps a no to itself, so the sender learns nothing of it."""
    path = tmp_path / "file.txt"
    path.write_bytes(_CONTENTS["text"])
    with _meeting(tmp_path, "ours") as meeting:
        sending = meeting.send("ours", path, compress=True)
        refusing = meeting.receive("bob", answer="n")
        _wait_for_text(tmp_path / "log", "Accept from")
        time.sleep(1.0)
        assert sending.poll() is None
        assert meeting.receive("ours").wait(_PATIENCE) == 0
        assert sending.wait(_PATIENCE) == 0
        assert refusing.poll() is None


def _wait_for_text(path: Path, text: str) -> None:
    _wait_until(lambda: text in path.read_text())


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
