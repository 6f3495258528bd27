"""What the documents say is so: the programs of README.md, the examples of the how-tos, the tests of SECURITY.rst."""

from __future__ import annotations

import doctest
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from sansproto.bob import RELAY_PORT, SECURE_PORT, Relay
from sansproto_threads import run

ROOT = Path(__file__).parents[1]
HOWTO = ROOT / "docs" / "howto"
README = (ROOT / "README.md").read_text("utf-8")
PROGRAMS = {name: text for text, name in re.findall(r"^```python\n(# (\w+\.py)\n.*?)^```$", README, re.S | re.M)}
FOLDERS = re.findall(r"^\$ mkdir (\w+)$", README, re.M)
COMMANDS = re.findall(r"^\$ python (\w+\.py .*)$", README, re.M)

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def ports() -> dict[str, str]:
    """What stands in for 9000 and 9001."""
    with socket.create_server(("", 0)) as first, socket.create_server(("", 0)) as second:
        return {"9000": str(first.getsockname()[1]), "9001": str(second.getsockname()[1])}


@pytest.fixture
def start(tmp_path: Path, ports: dict[str, str]) -> Iterator[Start]:
    """Start a program with the arguments that README.md gives it, at ports that are free, in the folders it makes."""
    running: list[subprocess.Popen[str]] = []
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text, "utf-8")

    def start(name: str, *, typed: str = "") -> subprocess.Popen[str]:
        (command,) = (command for command in COMMANDS if command.startswith(name))
        arguments = [ports.get(argument, argument) for argument in shlex.split(command)]
        process = subprocess.Popen(
            [sys.executable, "-W", "error", *arguments],
            cwd=tmp_path,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        running.append(process)
        assert process.stdin is not None
        if typed:
            process.stdin.write(typed + "\n")
            process.stdin.flush()
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def started_relay(start: Start) -> subprocess.Popen[str]:
    relay = start("relay.py")
    assert relay.stdout is not None
    assert relay.stdout.readline().startswith("listening: ")
    return relay


def test_the_commands_come_first() -> None:
    assert re.match(r"# sansproto\n\n```console\n\$ make demo .*\n\$ make test .*\n```\n", README)


def test_there_is_a_program_for_each_adapter() -> None:
    assert PROGRAMS.keys() == {command.split()[0] for command in COMMANDS}
    adapters = {re.findall(r"^from sansproto_(\w+) import", text, re.M)[0] for text in PROGRAMS.values()}
    assert adapters == {"asyncio", "threads", "sockets"}


@pytest.mark.unmeasured
def test_they_move_a_file(start: Start, tmp_path: Path) -> None:
    photo = Random(1).randbytes(2_000_000)
    (tmp_path / "photo.jpg").write_bytes(photo)
    relay = started_relay(start)
    sender, receiver = (start(name, typed="soarfly-bril") for name in ("send.py", "receive.py"))
    for process in (sender, receiver):
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        assert "Warning" not in output
    assert (tmp_path / "inbox" / "photo.jpg").read_bytes() == photo
    relay.send_signal(signal.SIGINT)
    output, _ = relay.communicate(timeout=60)
    assert (relay.returncode, output.splitlines()[-1]) == (0, "bye")
    assert output.count("RoomClosed") == 1


def await_line(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    while word not in (line := process.stdout.readline()):
        assert line, "it ended"


def ends_without_a_traceback(process: subprocess.Popen[str]) -> int:
    output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output, output
    return process.returncode


@pytest.mark.unmeasured
def test_one_of_several_senders_with_the_password_is_chosen(start: Start, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    started_relay(start)
    senders = [start("send.py", typed="soarfly-bril") for _ in range(4)]
    for sender in senders:
        await_line(sender, "Registered")
    assert ends_without_a_traceback(start("receive.py", typed="soarfly-bril")) == 0
    assert (tmp_path / "inbox" / "photo.jpg").read_bytes() == b"photo"


@pytest.mark.unmeasured
def test_a_sender_to_whom_the_relay_says_goodbye_has_failed(
    start: Start, ports: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    listen = {RELAY_PORT: ("127.0.0.1", int(ports["9000"])), SECURE_PORT: ("127.0.0.1", int(ports["9001"]))}
    with run(Relay(), listen=listen):
        sender = start("send.py", typed="soarfly-bril")
        await_line(sender, "Registered")
    assert ends_without_a_traceback(sender) == 1


@pytest.mark.unmeasured
def test_a_sender_whose_receiver_is_killed_midway_has_failed(start: Start, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(Random(2).randbytes(40_000_000))  # more than any kernel buffers
    started_relay(start)
    sender, receiver = (start(name, typed="soarfly-bril") for name in ("send.py", "receive.py"))
    await_line(receiver, "DataReceived")  # and no more: then it waits for somebody who reads what it prints
    receiver.kill()
    assert ends_without_a_traceback(sender) == 1


@pytest.mark.unmeasured
def test_with_another_password_nothing_is_moved(start: Start, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"secret")
    started_relay(start)
    receiver = start("receive.py", typed="soarfly-bril")
    sender = start("send.py", typed="soarfly-brill")
    for process in (sender, receiver):
        assert process.stdout is not None
        while "PeerFailed" not in (line := process.stdout.readline()):
            assert line, "it ended"
        assert "WRONG_PASSWORD" in line
    assert list((tmp_path / "inbox").iterdir()) == []


PAGES = [HOWTO.parent / "index.rst", *sorted(HOWTO.glob("*.rst")), *sorted(HOWTO.parent.glob("protocols/*.rst"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_examples_of_the_pages_give_what_they_show(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HOWTO)  # where the package echo is
    assert doctest.testfile(str(path), module_relative=False).failed == 0


PROTOCOL = (HOWTO / "protocol.rst").read_text("utf-8")
INCLUDES = re.findall(r"^\.\. literalinclude:: (\S+)\n((?:   :.*\n)*)", PROTOCOL, re.M)


def test_code_of_the_protocol_page_comes_from_files_or_is_run() -> None:
    assert re.findall(r"^\.\. code|::$", PROTOCOL, re.M) == []
    shown = {path for path, _ in INCLUDES}
    assert {f"echo/{path.name}" for path in HOWTO.glob("echo/*.*")} - shown == {"echo/__init__.py"}


@pytest.mark.parametrize(("path", "options"), INCLUDES, ids=range(len(INCLUDES)))
def test_what_the_protocol_page_shows_is_in_the_file(path: str, options: str) -> None:
    text = (HOWTO / path).read_text("utf-8")
    for option, value in re.findall(r"   :(\S+): (.*)\n", options):
        if option == "pyobject":
            assert re.search(rf"^(class|def) {value}\b", text, re.M)
        elif option != "language":
            assert option in ("start-at", "end-before")
            assert value in text
            text = text[text.index(value) :]


@pytest.mark.unmeasured
def test_the_program_of_the_protocol_page(ports: dict[str, str]) -> None:
    """A guest on a stream, and a probe, over real sockets."""
    port = ports["9000"]
    command = [sys.executable, "-W", "error", "-m", "echo", port]
    with (
        subprocess.Popen(command, cwd=HOWTO, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        try:
            assert server.stdout is not None
            assert server.stdout.readline().startswith("listening: ")
            with socket.create_connection(("127.0.0.1", int(port)), timeout=60) as guest:
                guest.sendall(b"\2hi\5hello\3bye")
                probe.settimeout(60)
                probe.sendto(b"\1number08\0\0", ("127.0.0.1", int(port)))
                assert probe.recv(100)[:9] == b"\2number08"
                heard = b"".join(iter(lambda: guest.recv(100), b""))
                assert (heard[:4], heard[-6:]) == (b"\x0bhi ", b"\5hello")
            assert "GuestSaid(link=1, text='hello')" in server.stdout.readline()
            assert "GuestLeft(link=1)" in server.stdout.readline()
            server.send_signal(signal.SIGINT)
            assert server.communicate(timeout=60)[0].splitlines()[-1] == "bye"
        finally:
            server.kill()


DOCUMENTS = [ROOT / "README.md", *ROOT.glob("adapters/*/README.md"), *ROOT.glob("vectors/**/*.md")]


def test_links_lead_somewhere() -> None:
    """To a file, or to a heading of the same document."""
    count, lost = 0, []
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        headings = {
            re.sub(r"[^\w -]", "", line).replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text.lower(), re.M)
        }
        for link in re.findall(r"\]\((?!http)(.+?)\)", text):
            count += 1
            path, _, heading = link.partition("#")
            if (path and not (document.parent / path).exists()) or (heading and not path and heading not in headings):
                lost.append((document.name, link))
    assert count > 40
    assert lost == []


def test_security_names_tests_that_exist() -> None:
    """``file::test``, or ``test`` in the file that was named last."""
    text, file, named = (ROOT / "SECURITY.rst").read_text("utf-8"), Path(), 0
    for path, name in re.findall(r"``(?:([\w/]+\.py)::)?(test_\w+)``", text):
        file = ROOT / path if path else file
        assert f"def {name}(" in file.read_text("utf-8"), f"{file}::{name}"
        named += 1
    assert named > 30
