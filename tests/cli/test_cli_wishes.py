"""What people asked for: where it goes, what it keeps, streams and texts, and passwords that nobody sees."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from cli_commands import PASSWORD, PATIENCE, Command, Place, Result, failed

from sansproto_cli import passwords
from sansproto_cli.app import app, run_command
from sansproto_cli.exits import CommandFailed, Exit
from sansproto_cli.sizes import parse_size
from sansproto_cli.sources import open_source

_ROOT = Path(__file__).parents[2]


def _receive(place: Place, *arguments: object, **keywords: object) -> Command:
    return place.start("receive", PASSWORD, *place.at, *arguments, **keywords)


def _file(place: Place, contents: bytes = b"contents") -> Path:
    path = place.folder / "a.txt"
    path.write_bytes(contents)
    return path


# -- where it goes -----------------------------------------------------------------------------------------------------


def test_a_file_gets_the_name_that_the_receiver_chose(place: Place) -> None:
    sender, receiver = place.send(_file(place), "--json"), _receive(place, "-y", "-o", place.inbox / "other.txt")
    assert receiver.wait().code == 0
    assert place.received == ["other.txt"]
    assert sender.wait().event("finished")["stored"] == "other.txt"


def test_a_file_that_is_there_is_told_before_anybody_connects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("a", "link"):
        code = run_command(["receive", "x", "-r", "192.0.2.1", "-o", f"{tmp_path}/{name}"])
        failed(Result(code, *capsys.readouterr()), 9, "nothing is overwritten")
    for name in ("no/a", "no/"):
        code = run_command(["receive", "x", "-r", "192.0.2.1", "-o", f"{tmp_path}/{name}"])
        failed(Result(code, *capsys.readouterr()), 9, "is not a folder")


def test_a_file_that_comes_to_be_there_meanwhile_stays(place: Place) -> None:
    sender, receiver = place.send(_file(place)), _receive(place, "-o", place.inbox / "b.txt", stdin=None)
    receiver.wait_for("[Y/n]")
    (place.inbox / "b.txt").write_bytes(b"old")
    receiver.type("y")
    assert (receiver.wait().code, sender.wait().code) == (0, 0)
    assert place.received == ["b (1).txt", "b.txt"]
    assert (place.inbox / "b.txt").read_bytes() == b"old"


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_the_standard_output_takes_the_file_and_nothing_else(place: Place, size: int) -> None:
    contents = os.urandom(size)
    sender, receiver = place.send(_file(place, contents)), _receive(place, "-y", "-o", "-")
    result = receiver.wait()
    assert result.code == 0, result.err
    assert receiver.output == contents
    assert "Received to the standard output" in result.err
    assert sender.wait().code == 0


def test_an_output_that_is_closed_is_told(place: Place) -> None:
    sender = place.send(_file(place, bytes(3_000_000)), "--no-compress")
    arguments = [sys.executable, "-m", "sansproto_cli", "receive", PASSWORD, *map(str, place.at), "-y", "-o", "-"]
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb") as out:
        found = subprocess.run(arguments, stdout=out, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert found.returncode == 9
    assert "not the whole file" in found.stderr
    failed(sender.wait(), 7, "The other side cannot write the file")


def test_json_has_no_place_beside_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    code = run_command(["receive", "x", "-r", "192.0.2.1", "-o", "-", "--json"])
    out, err = capsys.readouterr()
    assert code == 2
    assert "both write to the standard output" in out + err


# -- what it keeps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o750, 0o4777, 0o400])
def test_permissions_and_times_are_kept(place: Place, mode: int) -> None:
    path = _file(place)
    path.chmod(mode)
    os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    place.transfer(path)
    mask = os.umask(0)
    os.umask(mask)
    kept = (place.inbox / "a.txt").stat()
    assert stat.S_IMODE(kept.st_mode) == mode & 0o777 & ~mask
    assert kept.st_mtime_ns == 1_234_567_890_123_456_789
    place.transfer(path, receiver=("--no-preserve",))
    other = (place.inbox / "a (1).txt").stat()
    assert (stat.S_IMODE(other.st_mode), other.st_mtime > time.time() - 60) == (0o600, True)


# -- streams and texts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [(), ("--no-compress",), ("--compress",)])
def test_a_stream_arrives_while_it_goes_on(place: Place, compression: tuple[str, ...]) -> None:
    sender, receiver = place.send("-", *compression, stdin=None), _receive(place, "-y", "-o", "-")
    for line in ("one", "two"):
        sender.type(line)
        receiver.wait_for(line)
    sender.end_input()
    assert receiver.wait().code == 0
    assert receiver.output == b"one\ntwo\n"
    sent = sender.wait()
    assert sent.code == 0, sent.err
    assert "of unknown size" in sent.out


def test_a_stream_has_a_name_and_a_limit(place: Place) -> None:
    sent, received = place.transfer("-", "--name", "log:today", stdin=b"12345")
    assert (sent.code, received.code) == (0, 0), sent.err + received.err
    assert (place.inbox / "log:today").read_bytes() == b"12345"
    sender = place.send("-", stdin=bytes(50_000))
    failed(place.receive("-y", "--max-size", "1K").wait(), 8, "--max-size")
    assert sender.wait().code == 7
    assert place.received == ["log:today"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_with_a_name_is_sent_as_it_comes(place: Place) -> None:
    """Nothing is read, and nobody is waited for, before the receiver says yes."""
    path = place.folder / "pipe"
    os.mkfifo(path)
    sender = place.send(path)
    sender.wait_for("of unknown size")
    receiver = _receive(place, "-y", "-o", "-")
    with open(path, "wb", buffering=0) as pipe:
        for line in (b"one", b"two"):
            pipe.write(line)
            receiver.wait_for(line.decode())
    assert (receiver.wait().code, sender.wait().code) == (0, 0)
    assert receiver.output == b"onetwo"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_who_waits_for_a_pipe_can_be_stopped(place: Place) -> None:
    path = place.folder / "pipe"
    os.mkfifo(path)
    sender, receiver = place.send(path), place.receive("-y")
    receiver.wait_for("Receiving pipe")
    sender.signal(signal.SIGINT)
    assert (sender.wait().code, receiver.wait().code) == (130, 10)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no sockets with names")
def test_a_socket_and_a_pipe_without_permission_cannot_be_sent(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)  # a socket has a short path
    with closing(socket.socket(socket.AF_UNIX)) as one:
        one.bind("socket")
        failed(place.send(place.folder / "socket").wait(), 9, "is a socket")
    os.mkfifo("pipe")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read everything
    with pytest.raises(CommandFailed, match="Permission denied"):
        open_source(["pipe"])


def test_a_sender_that_is_killed_leaves_no_part_of_a_stream(place: Place) -> None:
    sender, receiver = place.send("-", stdin=None), place.receive("-y", "--json")
    sender.type("one")
    receiver.wait_for("progress")
    sender.signal(signal.SIGKILL)
    assert receiver.wait().code == 7
    assert place.received == []


def test_a_text_is_shown_and_not_kept(place: Place) -> None:
    text = "two\tlines\n\x1b[2J\N{SNOWMAN}"
    sender = place.start("send", "--text", text, *place.at, "-p", PASSWORD)
    received = place.receive("-y").wait()
    assert (received.code, sender.wait().code) == (0, 0)
    assert (place.inbox / "text.txt").read_bytes() == text.encode()  # for who chose a place
    sender = place.start("send", "--text", text, *place.at, "-p", PASSWORD)
    received = _receive(place, "-y").wait()
    assert sender.wait().code == 0
    assert "two     lines\n\N{REPLACEMENT CHARACTER}[2J\N{SNOWMAN}\n" in received.out
    sender = place.start("send", "--text", text, *place.at, "-p", PASSWORD)
    assert _receive(place, "-y", "--json").wait().event("text")["text"] == text
    assert sender.wait().code == 0


# -- passwords ---------------------------------------------------------------------------------------------------------

_OURS = "marble acoustic tunnel wise ladder"


def test_a_password_may_stand_in_an_option_or_a_file(place: Place) -> None:
    secret = place.folder / "secret"
    secret.write_bytes(b"in a file\r\nand more\n")
    sender = place.start("send", _file(place), *place.at, "--password-file", secret)
    assert place.start("receive", *place.at, "-y", "-o", place.inbox, "-p", "in a file").wait().code == 0
    sent = sender.wait()
    assert (sent.code, "in a file" in sent.out) == (0, False)
    sender = place.start("send", _file(place), *place.at, "-p", "in a file")
    receiver = place.start("receive", *place.at, "-y", "-o", place.inbox, "--password-file", secret)
    assert (receiver.wait().code, sender.wait().code) == (0, 0)


@pytest.mark.parametrize(
    ("words", "password", "code"),
    [(("x",), "y", Exit.USAGE), (("x",), None, Exit.USAGE), ((), "y", Exit.USAGE), ((), None, Exit.FILES)],
)
def test_one_password_is_enough(tmp_path: Path, words: tuple[str, ...], password: str | None, code: Exit) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"\n")
    with pytest.raises(CommandFailed) as caught:
        passwords.given(words, password, None if words and password else file)
    assert caught.value.code is code
    with pytest.raises(CommandFailed, match="No such file"):
        passwords.given((), None, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("words", "password"),
    [
        ((_OURS,), "marble-acoustic-tunnel-wise-ladder"),
        (tuple(_OURS.split()), "marble-acoustic-tunnel-wise-ladder"),
        (("marble acoustic tunnel wise",), "marble acoustic tunnel wise"),
        (("correct horse battery staple x",), "correct horse battery staple x"),
        ((_OURS.upper(),), _OURS.upper()),
        (("x",), "x"),
    ],
)
def test_blanks_are_dashes_between_five_words_of_ours(words: tuple[str, ...], password: str) -> None:
    assert passwords.given(words, None, None) == password


@pytest.mark.parametrize("words", [("a", "b"), tuple(_OURS.split()[:4]), (*_OURS.split(), "x")])
def test_other_words_are_too_many(words: tuple[str, ...]) -> None:
    with pytest.raises(passwords.TooManyWords):
        passwords.given(words, None, None)


def test_words_that_are_typed_count_too(place: Place) -> None:
    sender = place.start("send", _file(place), *place.at, "-p", _OURS.replace(" ", "-"))
    receiver = place.start("receive", *place.at, "-y", "-o", place.inbox, stdin=f"{_OURS}\n".encode())
    assert (receiver.wait().code, sender.wait().code) == (0, 0)


# -- relays ------------------------------------------------------------------------------------------------------------


def test_a_relay_of_its_own_listens_where_it_is_told(place: Place) -> None:
    sender = place.start("send", _file(place), "--bind", "127.0.0.1:0", "--json")
    sender.wait_for("waiting")
    waiting = Result(0, sender.output.decode(), "").event("waiting")
    assert waiting["relay"] == "127.0.0.1"
    words = shlex.split(waiting["command"])
    assert words[3:5] == ["--relay", f"127.0.0.1:{waiting['port']}"]
    assert words[5:7] == ["--secure-port", str(waiting["secure_port"])]
    assert place.start(*words[1:], "-y", "-o", place.inbox).wait().code == 0
    assert sender.wait().code == 0


@pytest.mark.parametrize(
    ("relay", "given", "environment", "port"),
    [
        ("h", None, "", 9001),
        ("h:9000", None, "", 9001),
        ("h:7000", None, "", 7001),
        ("h:7000", 8000, "", 8000),
        ("h:7000", None, "8001", 8001),
        ("h:7000", 8000, "8001", 8000),
    ],
)
def test_the_secure_port_is_the_next_one(
    relay: str, given: int | None, environment: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sansproto_cli.addresses import parse_relay

    monkeypatch.setenv("SANSPROTO_SECURE_PORT", environment)
    assert parse_relay(relay, given).secure_port == port


@pytest.mark.parametrize(
    ("port", "secure_port", "is_told"),
    [(9000, 9001, False), (9000, 7001, True), (7000, 7001, True), (7000, 9001, True)],
)
def test_the_command_for_the_other_side_leads_to_the_same_ports(port: int, secure_port: int, is_told: bool) -> None:
    from sansproto_cli import app
    from sansproto_cli.addresses import RelayAddress, parse_relay

    relay = RelayAddress("h", port, secure_port)
    words = shlex.split(app._receive_command(None, relay))
    assert words[:4] == ["sansproto", "receive", "--relay", f"h:{port}"]
    assert words[4:] == ["--secure-port", str(secure_port)] * is_told
    assert parse_relay(words[3], int(words[5]) if is_told else None) == relay


@pytest.mark.parametrize("text", ["x", "0", "65536", "-1"])
def test_a_secure_port_of_the_environment_that_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from sansproto_cli.addresses import parse_relay

    monkeypatch.setenv("SANSPROTO_SECURE_PORT", text)
    with pytest.raises(CommandFailed, match="SANSPROTO_SECURE_PORT"):
        parse_relay("h", None)
    monkeypatch.setenv("SANSPROTO_SECURE_PORT", "")
    with pytest.raises(CommandFailed, match="--secure-port"):
        parse_relay("h:65535", None)


# -- the rest ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"), [("1.5G", 1_500_000_000), ("1500", 1500), ("0.5k", 500), ("2 M".replace(" ", ""), 2_000_000)]
)
def test_a_size_may_have_a_point(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1.", ".5G", "1,5G", "1e9", "-1", "1.5.1", "G", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_size_is_a_number(text: str) -> None:
    with pytest.raises(CommandFailed, match="--max-size"):
        parse_size(text)


def test_maybe_is_no_answer(place: Place) -> None:
    sender, receiver = place.send(_file(place)), place.receive(stdin=b"maybe\n\xff\nYES\n")
    result = receiver.wait()
    assert (result.code, sender.wait().code) == (0, 0)
    assert result.out.count("Please answer y or n:") == 2


def test_a_shell_can_complete(capsys: pytest.CaptureFixture[str]) -> None:
    script = app.generate_completion(shell="bash")
    for word in ("receive", "--max-size", "--password-file"):
        assert word in script
    run_command(["--help"])
    assert "--install-completion" in capsys.readouterr()[0]


def test_the_readme_has_all_exit_codes_in_one_table() -> None:
    text = (_ROOT / "adapters/sansproto-cli/README.md").read_text("utf-8")
    table = text[text.index("| exit code |") :]
    codes = [int(code) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in row.split(",")]
    assert codes == [int(code) for code in Exit]


def test_the_readme_says_what_does_not_exist_and_how_the_other_computer_gets_the_command() -> None:
    text = (_ROOT / "README.md").read_text("utf-8")
    command = text[text.index("## The command") : text.index("## Protocols")]
    assert command.index("pipx install") < command.index("sansproto send")
    assert "resum" in command.lower()


def test_what_somebody_sends_is_not_written_to_a_terminal() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sansproto_cli", "receive", "x", "-r", "192.0.2.1", "-o", "-"]
    found = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    os.close(ours)
    os.close(theirs)
    assert found.returncode == 2
    assert "to this terminal" in found.stderr
