"""What the command is for: files arrive whole, under a name of their own, whatever they are."""

from __future__ import annotations

import os
import pty
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import tarfile
from contextlib import suppress

import pytest
from cli_commands import PASSWORD, PATIENCE, Place

_TEXT = b"the quick brown fox jumps over the lazy dog\n" * 30_000
_NOISE = random.Random(7).randbytes(3_000_000)


@pytest.mark.parametrize("compression", ["--compress", "--no-compress"])
@pytest.mark.parametrize("contents", [_TEXT, _NOISE, b"x", b""], ids=["text", "noise", "one byte", "empty"])
def test_a_file_arrives_as_it_is(place: Place, contents: bytes, compression: str) -> None:
    path = place.folder / "letter from \N{SNOWMAN}.txt"
    path.write_bytes(contents)
    sent, received = place.transfer(path, compression)
    assert (sent.code, received.code) == (0, 0), sent.err + received.err
    assert place.received == [path.name]
    assert (place.inbox / path.name).read_bytes() == contents
    assert "has verified it" in sent.out


def test_a_folder_and_several_files_arrive_as_a_tar(place: Place) -> None:
    folder = place.folder / "log"
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "b.txt").write_bytes(_TEXT)
    (folder / "sub" / ("long " * 40)).write_bytes(b"deep")
    (folder / "link").symlink_to("b.txt")
    os.mkfifo(folder / "pipe")
    (place.folder / "c.txt").write_bytes(_NOISE)
    sent, received = place.transfer(folder, receiver=("--keep-tar",))
    assert (sent.code, received.code) == (0, 0), sent.err + received.err
    assert "pipe is not a file or folder: left out" in sent.out
    with tarfile.open(place.inbox / "log.tar") as tar:
        assert tar.getnames() == ["log", "log/b.txt", "log/link", "log/sub", "log/sub/empty", "log/sub/" + "long " * 40]
        contents = tar.extractfile("log/b.txt")
        assert contents is not None
        assert contents.read() == _TEXT
        assert tar.getmember("log/link").linkname == "b.txt"
    place.transfer(folder / "b.txt", place.folder / "c.txt", receiver=("--keep-tar",))
    with tarfile.open(place.inbox / "files.tar") as tar:
        assert tar.getnames() == ["b.txt", "c.txt"]


def test_links_are_followed_where_the_user_named_them(place: Place) -> None:
    folder = place.folder / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"data")
    (place.folder / "to folder").symlink_to("folder")
    (place.folder / "to file").symlink_to("folder/a")
    place.transfer(place.folder / "to folder", place.folder / "to file", receiver=("--keep-tar",))
    with tarfile.open(place.inbox / "files.tar") as tar:
        assert tar.getnames() == ["to folder", "to folder/a", "to file"]
        assert all(tar.getmember(name).isreg() for name in ("to folder/a", "to file"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such files")
@pytest.mark.parametrize("path", ["/proc/version", "/sys/devices/system/cpu/possible"])
def test_a_file_whose_size_says_nothing_is_read(place: Place, path: str) -> None:
    sent, _ = place.transfer(path)
    assert sent.code == 0, sent.err
    with open(path, "rb") as file:
        assert (place.inbox / os.path.basename(path)).read_bytes() == file.read()


def test_the_standard_input_can_be_sent(place: Place) -> None:
    sent, received = place.transfer("-", stdin=b"from a pipe")
    assert (sent.code, received.code) == (0, 0), sent.err + received.err
    assert (place.inbox / "stdin").read_bytes() == b"from a pipe"


def test_nothing_is_overwritten(place: Place) -> None:
    path = place.folder / "a.tar.gz"
    path.write_bytes(b"new")
    path.chmod(0o600)
    (place.inbox / path.name).write_bytes(b"old")
    (place.inbox / "a (1).tar.gz").symlink_to("nowhere")
    place.transfer(path)
    assert place.received == ["a (1).tar.gz", "a (2).tar.gz", "a.tar.gz"]
    assert (place.inbox / path.name).read_bytes() == b"old"
    assert (place.inbox / "a (2).tar.gz").read_bytes() == b"new"
    assert not (place.inbox / "nowhere").exists()
    assert (place.inbox / "a (2).tar.gz").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 0), ("n", 5), (None, 5)])
def test_the_receiver_is_asked(place: Place, answer: str | None, code: int) -> None:
    """A file that is small enough to be on its way already: the sender must not take that for success."""
    path = place.folder / "small"
    path.write_bytes(b"12 bytes ...")
    sender = place.send(path)
    receiver = place.receive(stdin=b"" if answer is None else f"{answer}\n".encode())
    sent, received = sender.wait(), receiver.wait()
    assert (sent.code, received.code) == (code, code), sent.err + received.err
    assert place.received == (["small"] if code == 0 else [])
    assert re.search(r"Receive small \(12 bytes\) from 127\.0\.0\.1:\d+\? \[Y/n\]", received.out)
    assert "said no" in sent.err or code == 0


def test_a_sender_without_a_relay_brings_its_own(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(_TEXT)
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        refused = place.start("send", path, "--port", port).wait()
        assert (refused.code, refused.err.count("\n")) == (6, 1)
    sender = place.start("send", path)
    out = sender.wait_for("sansproto receive")
    _, _, *words = shlex.split(next(line for line in out.splitlines() if "sansproto receive" in line))
    assert re.fullmatch(r"([a-z]{3,8}-){4}[a-z]{3,8}", words[0])
    receiver = place.start("receive", *words, "-y", "-o", place.inbox)
    assert (receiver.wait().code, sender.wait().code) == (0, 0)
    assert (place.inbox / "a").read_bytes() == _TEXT


@pytest.mark.parametrize("password", ["-p=x", " it's $HOME `id` \\ ", "nb\u00a0sp\u3000\N{SNOWMAN}"])
def test_the_command_for_the_other_side_can_be_pasted_into_a_shell(place: Place, password: str) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    sender = place.start("send", path, *place.at, f"--password={password}")
    out = sender.wait_for("sansproto receive")
    command = next(line for line in out.splitlines() if "sansproto receive" in line)
    folder = os.path.dirname(sys.executable)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHONUTF8": "1"}
    subprocess.run(
        ["sh", "-c", command],
        cwd=place.inbox,
        env=environment,
        input=f"{password}\ny\n".encode(),
        check=True,
        timeout=PATIENCE,
    )
    assert sender.wait().code == 0
    assert place.received == ["a"]


def test_a_relay_tells_the_address_that_its_name_came_to(place: Place) -> None:
    relay = place.start("relay", "--bind", "localhost", "--port", 0, "--secure-port", 0, "--json")
    relay.wait_for("\n")
    relay.signal(signal.SIGINT)
    assert relay.wait().event("relay_started")["host"] in ("127.0.0.1", "::1")


def test_json_lines_tell_everything(own_place: Place) -> None:
    place = own_place
    path = place.folder / "a"
    path.write_bytes(_TEXT)
    sender, receiver = place.send(path, "--json"), place.receive("--yes", "--json")
    sent, received = sender.wait(), receiver.wait()
    assert shlex.split(sent.event("waiting")["command"])[:3] == ["sansproto", "receive", "--relay"]
    assert sent.event("finished")["confirmed"] is True
    offered, finished = received.event("offered"), received.event("finished")
    assert (offered["name"], offered["size"]) == ("a", len(_TEXT))
    assert offered["identity"] == sent.event("registered")["identity"]
    assert (finished["path"], finished["size"]) == (str(place.inbox / "a"), len(_TEXT))
    place.relay.signal(signal.SIGINT)
    relay = place.relay.wait()
    assert relay.code == 0
    names = {event["event"] for event in relay.events}
    assert names == {"relay_started", "joined", "room_opened", "left", "room_closed", "stopped"}


def test_the_environment_gives_relay_and_password(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is read from the standard input: the password first, then the answer."""
    path = place.folder / "a"
    path.write_bytes(b"1")
    monkeypatch.setattr("cli_commands._ENVIRONMENT", {**os.environ, "SANSPROTO_RELAY": f"127.0.0.1:{place.port}"})
    receiver = place.start(
        "receive", "--secure-port", place.secure_port, "-o", place.inbox, stdin=f"{PASSWORD}\ny\n".encode()
    )
    monkeypatch.setattr("cli_commands._ENVIRONMENT", {**os.environ, "SANSPROTO_PASSWORD": PASSWORD})
    sender = place.start("send", path, *place.at)
    assert (receiver.wait().code, sender.wait().code) == (0, 0)


def test_the_demo_shows_every_packet_and_ends_well(place: Place) -> None:
    shown = place.start("demo").wait()
    assert shown.code == 0, shown.err
    for name in ("HelloAsServer", "NewServer", "XAndClientIdentity", "Agreement", "Done", "RoomAnswer", "close"):
        assert name in shown.out
    digests = re.findall(r"SHA-256 ([0-9a-f]{64})", shown.out)
    assert len(digests) == 2
    assert digests[0] == digests[1]
    assert "Both stayed in" in shown.out
    assert "The survivor knew" in shown.out


def test_what_is_no_terminal_gets_no_control_characters(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(_TEXT)
    sent, received = place.transfer(path)
    shown = place.start("demo").wait()
    for text in (sent.out, received.out, shown.out):
        assert text
        assert all(char == "\n" or char.isprintable() for char in text)


def test_a_terminal_gets_a_bar_and_a_question(place: Place) -> None:
    path = place.folder / "[bold]a"  # which is no markup
    path.write_bytes(_NOISE)
    sender = place.send(path)
    ours, theirs = pty.openpty()
    receive = ["receive", PASSWORD, *map(str, place.at), "-o", str(place.inbox)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-m", "sansproto_cli", *receive], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as receiver:
        os.close(theirs)
        shown = _read_until(ours, b"[Y/n]")
        os.write(ours, b"y\n")
        shown += _read_until(ours, b"Received")
        assert receiver.wait(PATIENCE) == 0
    os.close(ours)
    assert sender.wait().code == 0
    assert b"[bold]a (3.0 MB) from 127.0.0.1" in shown
    assert b"\x1b[" in shown


def test_a_terminal_gets_its_cursor_back_after_a_failure_and_no_password_of_ones_own(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(_NOISE * 30)
    ours, theirs = pty.openpty()
    send = ["send", str(path), *map(str, place.at), "-p", "my:smile:password", "--no-compress"]
    with subprocess.Popen(
        [sys.executable, "-m", "sansproto_cli", *send],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    ) as sender:
        os.close(theirs)
        shown = _read_until(ours, b"--secure-port")
        receiver = place.receive(password="my:smile:password", stdin=None)
        receiver.wait_for("[Y/n]")
        receiver.type("y")
        shown += _read_until(ours, b"\x1b[?25l")
        sender.send_signal(signal.SIGINT)
        with suppress(OSError):  # of Linux, when nobody has the terminal any more
            while more := os.read(ours, 10_000):
                shown += more
        assert sender.wait(PATIENCE) == 130
    os.close(ours)
    assert b"receive --relay" in shown
    assert b"my:smile:password" not in shown
    assert b"\x1b[?25h" in shown


def _read_until(terminal: int, text: bytes) -> bytes:
    shown = b""
    while text not in shown:
        shown += os.read(terminal, 10_000)
    return shown
