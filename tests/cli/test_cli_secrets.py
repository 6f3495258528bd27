"""A password that the user chose is shown nowhere: not in events, in the command for the other side, or in errors."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from cli_commands import PASSWORD, Place

from sansproto_cli.app import run_command

SECRET = "topsecret"
UUID = "00000000-0000-0000-0000-000000000007"

_COMMANDS = {
    "send": ["--relay", "--port", "--secure-port", "--timeout"],
    "receive": ["--relay", "--secure-port", "--max-size", "--timeout", "--yes", "--json"],
    "recv": ["--relay"],
    "relay": ["--port", "--secure-port", "--quiet", "--json"],
    "demo": [],
    "domain connect": [
        *("--username", "--type", "--assignment", "--interest", "--stun", "--ice", "--domain-id", "--local-host"),
        *("--protocol", "--timeout", "--for", "--json"),
    ],
    "domain serve": ["--port", "--id", "--capacity", "--allow", "--path", "--ice", "--assign", "--protocol", "--quiet"],
    "domain ice": ["--port", "--quiet", "--json"],
}
_USUAL = {
    "send": ["nowhere"],
    "receive": ["x", "-r", "h:x"],
    "domain connect": ["h:x"],
    "domain serve": ["--capacity", "-1"],
    "domain ice": ["--port", "-1"],
    "relay": ["--port", "-1"],
}  # what makes each fail in the end, should the secret be taken

_LINES = [
    [SECRET],
    [f"-{SECRET}"],
    [f"--{SECRET}"],
    ["domain", SECRET],
    ["domain", f"--{SECRET}"],
    ["domain", f"-{SECRET}", "serve"],
    ["receive", SECRET, SECRET, SECRET],
    ["receive", SECRET],
    ["receive", "-r", "h:x", "--", SECRET],
    ["receive", "--password", SECRET, "-r", "h:x"],
    ["receive", "-p", SECRET, "-r", "h:x"],
    ["receive", f"-p{SECRET}", "-r", "h:x"],
    ["receive", f"--password={SECRET}", "-r", "h:x"],
    ["receive", SECRET, "-p", SECRET, "-r", "h"],
    ["receive", "-p", SECRET, "--password-file", SECRET, "-r", "h"],
    ["send", "--text", SECRET, SECRET],
    ["send", "--text", SECRET, "-p", SECRET, "-p", SECRET],
    ["receive", SECRET, "-r", "h", "-r", "i"],
    ["receive", SECRET, "-r"],
    ["receive", SECRET, "-r", "h", "--max-size"],
    ["receive", "x", "-r", f"{SECRET}:x"],
    ["receive", "x", "-r", "h", f"-y{SECRET}"],
    ["send", "nowhere", "-p", SECRET, "-p", SECRET],
    ["send", "nowhere", "-p", f"{SECRET}\t"],
    ["send", "-p", SECRET],
    ["send", "-p", SECRET, "--port", "x", "nowhere"],
    ["send", f"-{SECRET}"],
    ["send", "-", SECRET],
    ["send", f"/{SECRET}", f"//{SECRET}/"],
    ["domain", "connect", "h", "--type", "audio-mixer", "--interest", SECRET],
    ["domain", "connect", "h", "--place", SECRET * 300],
    ["domain", "connect", "h", "--account", SECRET],
    ["domain", "connect", "h", "--username", SECRET],
    ["domain", "serve", "--assign", f"{SECRET}={UUID}"],
    ["domain", "serve", "--assign", f"audio-mixer={SECRET}"],
    ["domain", "serve", "--redirect", f"{SECRET}\udcff"],
    *([*command.split(), SECRET, SECRET, *_USUAL.get(command, ())] for command in _COMMANDS if command != "send"),
    *([*command.split(), f"--{SECRET}", *_USUAL.get(command, ())] for command in _COMMANDS),
    *([*command.split(), f"--{SECRET}={SECRET}", *_USUAL.get(command, ())] for command in _COMMANDS),
    *([*command.split(), f"-{SECRET}", *_USUAL.get(command, ())] for command in _COMMANDS),
    *(
        [*command.split(), f"{option}={SECRET}", *_USUAL.get(command, ())]
        for command, options in _COMMANDS.items()
        for option in options
        if (command, option) != ("send", "--relay")
    ),
]


@pytest.mark.parametrize("arguments", _LINES, ids=" ".join)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_a_usage_error_does_not_repeat_what_was_typed(
    arguments: list[str], as_json: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sansproto_cli.app.read_line", lambda: None)
    code = run_command([*arguments, *(["--json"] if as_json else [])])
    out, err = capsys.readouterr()
    assert (code, SECRET in out + err) == (2, False), out + err
    assert (out or err).count("\n") == 1
    assert ("failed" in out) if as_json else err.startswith("sansproto: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["send", "a", "--nonsense"], ["Name 2", "--help"]),
        (["send", "--port", "x", "a"], ["--port", "whole number"]),
        (["send", "--timeout", "x", "a"], ["--timeout", "number"]),
        (["send", "--timeout", "-1", "a"], ["--timeout", ">= 0"]),
        (["send", "-p", "x", "-p", "y", "a"], ["Word 4", "once"]),
        (["send", "a", "--relay"], ["--relay", "value"]),
        (["receive", "x", "y", "-r", "h"], ["Word 3", "more than"]),
        (["receive", "x", "-r", "h", "--yes=x"], ["--yes", "takes no value"]),
        (["receive", "x", "-r", "h", "--timout", "3"], ["Word 5", "not an option", "Did you mean --timeout?"]),
        (["receive", "x", "-r", "h", "--maxsize=3"], ["Word 5", "Did you mean --max-size?"]),
        (["receive", "x", "-r", "h:x"], ["--relay", "HOST:PORT"]),
        (["send", "a", "--bind", "h:x"], ["--bind", "HOST:PORT"]),
        (["relay", "--bind", "h:x"], ["--bind", "HOST:PORT"]),
        (["nonsense"], ["Word 1", "not a command", "send", "receive", "relay", "domain", "demo"]),
        (["domain", "nonsense"], ["Word 2", "not a command", "connect", "serve", "ice"]),
        (["domain", "serve", "--capacity", "x"], ["--capacity", "whole number"]),
    ],
)
def test_a_usage_error_names_the_place_and_what_to_do(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == 2
    err = capsys.readouterr().err
    for word in words:
        assert word in err


def test_an_error_that_nobody_foresaw_shows_where_but_no_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        try:
            raise ValueError(arguments)
        except ValueError as error:
            raise RuntimeError(f"with {arguments}") from error

    monkeypatch.setattr("sansproto_cli.app.open_source", fail)
    assert run_command(["send", SECRET, "-p", SECRET]) == 1
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    for word in ("sansproto: ", "report", "RuntimeError", "ValueError", "test_cli_secrets.py", "in fail"):
        assert word in err
    assert run_command(["send", SECRET, "-p", SECRET, "--json"]) == 1
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    assert '"reason": "bug"' in out


@pytest.mark.parametrize("given", ["argument", "environment"])
@pytest.mark.parametrize("how", ["--json", "--compress"])
def test_a_password_of_ones_own_is_not_shown(
    place: Place, given: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    if given == "argument":
        sender = place.send(path, how)
    else:
        monkeypatch.setattr("cli_commands._ENVIRONMENT", {**os.environ, "SANSPROTO_PASSWORD": PASSWORD})
        sender = place.start("send", path, *place.at, how)
        monkeypatch.setattr("cli_commands._ENVIRONMENT", dict(os.environ))
    sender.wait_for("sansproto receive")
    place.receive("-y", "--timeout", "3", password="another").wait()
    received, sent = place.receive("-y", *["--json"] * (how == "--json")).wait(), sender.wait()
    assert (sent.code, received.code) == (0, 0), sent.err + received.err
    assert PASSWORD not in sent.out + sent.err + received.out + received.err
    if how == "--json":
        assert sent.event("waiting")["password"] is None
        assert shlex.split(sent.event("waiting")["command"])[:3] == ["sansproto", "receive", "--relay"]
    else:
        assert "password when it asks" in sent.out


def test_the_printed_command_asks_for_a_password_of_ones_own(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    sender = place.send(path, "--json")
    sender.wait_for("waiting")
    _, *words = shlex.split(_event(sender.wait_for("\n"), "command"))
    receiver = place.start(*words, "-o", place.inbox, stdin=f"{PASSWORD}\ny\n".encode())
    assert (receiver.wait().code, sender.wait().code) == (0, 0)


def test_a_password_that_was_made_up_is_told(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    sender = place.start("send", path, *place.at, "--json")
    told = sender.wait_for("waiting")
    password = _event(told, "password")
    assert re.fullmatch(r"([a-z]{3,8}-){4}[a-z]{3,8}", password)
    assert shlex.split(_event(told, "command"))[:3] == ["sansproto", "receive", password]
    assert place.receive("-y", password=password).wait().code == 0
    assert sender.wait().code == 0


def _event(told: str, member: str) -> str:
    found = re.search(rf'"event": "waiting".*"{member}": "([^"]*)"', told)
    assert found is not None, told
    return found[1]


def test_the_page_of_promises_speaks_of_who_sees_a_password() -> None:
    text = (Path(__file__).parents[2] / "SECURITY.rst").read_text("utf-8")
    for word in ("``ps``", "history", "SANSPROTO_PASSWORD"):
        assert word in text
