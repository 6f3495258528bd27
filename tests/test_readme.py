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

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PROGRAMS = {name: text for text, name in re.findall(r"^```python\n(# (\w+\.py)\n.*?)^```$", README, re.S | re.M)}
FOLDERS = re.findall(r"^\$ mkdir (\w+)$", README, re.M)
COMMANDS = re.findall(r"^\$ python (\w+\.py .*)$", README, re.M)

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program with the arguments that README.md gives it, at ports that are free, in the folders it makes."""
    running: list[subprocess.Popen[str]] = []
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    ports = free_ports()
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


def free_ports() -> dict[str, str]:
    """What stands in for 9000 and 9001."""
    with socket.create_server(("", 0)) as first, socket.create_server(("", 0)) as second:
        return {"9000": str(first.getsockname()[1]), "9001": str(second.getsockname()[1])}


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


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "howto").glob("*.rst")), ids=lambda path: path.stem)
def test_examples_of_the_how_tos_give_what_they_show(path: Path) -> None:
    assert doctest.testfile(str(path), module_relative=False).failed == 0


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)(.+?)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_security_names_tests_that_exist() -> None:
    """``file::test``, or ``test`` in the file that was named last."""
    text, file, named = (ROOT / "SECURITY.rst").read_text("utf-8"), Path(), 0
    for path, name in re.findall(r"``(?:([\w/]+\.py)::)?(test_\w+)``", text):
        file = ROOT / path if path else file
        assert f"def {name}(" in file.read_text("utf-8"), f"{file}::{name}"
        named += 1
    assert named > 30
