"""Names: sent as they are, stored as the system can, and shown so that nothing in them passes for something else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from cli_commands import Place, failed

from sansproto_cli import names
from sansproto_cli.exits import CommandFailed
from sansproto_cli.files import check_room, storable_name
from sansproto_cli.shown import printable, shown_name


@pytest.mark.parametrize(
    "name", ["Shot 19:20:29.png", "aux.c", "con", "a\\b.txt", "what?", "\N{FAMILY}", "name.", " x ", "n" * 255]
)
def test_a_name_arrives_as_it_is(place: Place, name: str) -> None:
    path = place.folder / name
    path.write_bytes(b"1")
    sent, received = place.transfer(path)
    assert (sent.code, received.code) == (0, 0), sent.err + received.err
    assert place.received == [name]
    assert "cannot be stored" not in received.out
    assert "The other side has verified it." in sent.out


def _as_on_fat() -> None:
    """The file system of a memory card, at the end of an inbox."""
    real = os.open

    def opened(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT and "inbox" in str(path) and set(os.path.basename(path)) & set('<>:"|?*\\'):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
        return real(path, flags, mode, dir_fd=dir_fd)

    os.open = opened  # type: ignore[assignment]


def test_what_the_file_system_refuses_is_found_out_before_the_question(place: Place) -> None:
    path = place.folder / "what?"
    path.write_bytes(b"1")
    sender, receiver = place.send(path, "--json"), place.receive(stdin=None, before=_as_on_fat)
    asked = receiver.wait_for("[Y/n]")
    assert asked.index("what? cannot be stored under that name here: it will be what_.") < asked.index("[Y/n]")
    receiver.type("y")
    assert receiver.wait().code == 0
    assert place.received == ["what_"]
    assert sender.wait().event("finished")["stored"] == "what_"


def test_the_sender_shows_under_which_name_it_is_kept(place: Place) -> None:
    path = place.folder / ".profile"
    path.write_bytes(b"1")
    sent, received = place.transfer(path)
    assert "it will be _profile" in received.out
    assert "has verified it, and keeps it as _profile." in sent.out


def _nowhere() -> None:
    from sansproto_cli import files

    vars(files)["candidates"] = lambda name: iter(["nowhere/a", "nowhere/b"])


def test_a_folder_that_takes_no_name_is_told_before_the_question(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")

    sender, receiver = place.send(path), place.receive(before=_nowhere)
    failed(receiver.wait(), 9, "No such file")
    assert sender.wait().code == 7
    assert place.received == []


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("Shot 19:20:29.png", "Shot 19_20_29.png"),
        ("aux.c", "_aux.c"),
        ("CON", "_CON"),
        ("com\u00b9.txt", "_com\u00b9.txt"),
        ("console.log", "console.log"),
        ("..\\..\\b", "_._.._b"),
        ("C:evil", "C_evil"),
        ("name. .", "name_"),
        ("...", "_"),
        (".profile", "_profile"),
        ("n" * 300 + ".txt", "n" * 251 + ".txt"),
    ],
)
def test_what_windows_calls_it(name: str, stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_ON_WINDOWS", True)
    assert next(names.candidates(name)) == stored


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *[(name, "is none that a file can have") for name in ("", ".", "..", "a/", "a/..")],
        *[(name, "is not UTF-8, or has control characters") for name in ("a\n", "\udcff", "\0")],
        ("n" * 1025, "is too long"),
    ],
)
def test_a_name_that_cannot_be_sent_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(CommandFailed, match=why):
        names.check_sendable(name)


def test_a_long_name_is_cut_and_keeps_its_extension(tmp_path: Path) -> None:
    name = "\N{SNOWMAN}" * 300 + ".tar.gz"
    stored = storable_name(tmp_path, name)
    assert stored == "\N{SNOWMAN}" * 82 + ".tar.gz"
    (tmp_path / stored).touch()
    assert storable_name(tmp_path, name) == stored
    assert list(tmp_path.iterdir()) == [tmp_path / stored]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("doc.tar.gz", "doc (1).tar.gz"),
        ("doc.txt", "doc (1).txt"),
        ("doc", "doc (1)"),
        ("v1.2 final", "v1.2 final (1)"),
        ("n" * 255, "n" * 251 + " (1)"),
        ("x." + "e" * 253, ("x." + "e" * 253)[:251] + " (1)"),
    ],
)
def test_a_name_that_is_taken_gets_a_number(name: str, first: str) -> None:
    numbers = names.numbered(name)
    assert [next(numbers), next(numbers)] == [name, first]


def test_a_file_system_without_a_size_is_not_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("U", (), {"total": 0, "free": 0}))
    check_room(tmp_path, 1)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("U", (), {"total": 9, "free": 0}))
    with pytest.raises(CommandFailed, match="room for 0 bytes"):
        check_room(tmp_path, 1)


_FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467.png"
_ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "photo.jpg",
            "Shot 19:20:29.png",
            "a\\b.txt",
            "it's.txt",
            "two words",
            "What (1).txt",
            "\u00e9t\u00e9 \u2600.txt",
        ),
        *(
            _FAMILY,
            _ENGLAND,
            "\u2764\ufe0f\u200d\U0001f525",
            "1\ufe0f\u20e3",
            "\U0001faea new.png",
            "\U0001f1e9\U0001f1ea",
        ),
        *("\U0001f1e9\U0001f1ea", "\u00e9t\u00e9 \u2600.txt"),
        *("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0915\u094d\u200d\u0937", "\U0001f44d\U0001f3fd"),
    ],
)
def test_a_harmless_name_is_shown_as_it_is(name: str) -> None:
    assert shown_name(name) == printable(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[2Jb", "'a\\x1b[2Jb'"),
        ("a\nb", "'a\\x0ab'"),
        ("txt.\u202eexe", "'txt.\\u202eexe'"),
        ("a\u200db", "'a\\u200db'"),
        ("\u200d\U0001f467", "'\\u200d\U0001f467'"),
        ("a\u200b", "'a\\u200b'"),
        ("a\u3164", "'a\\u3164'"),
        ("a\U000e0067", "'a\\U000e0067'"),
        ("a\ufe0f\ufe0f\ufe0f", "'a\ufe0f\\ufe0f\\ufe0f'"),
        ("nb\u00a0sp", "'nb\\xa0sp'"),
        ("a (1 byte) from 10.0.0.1:5? [Y/n] y", "'a (1 byte) from 10.0.0.1:5? [Y/n] y'"),
        ("a (1 byte) from 10.0.0.1", "'a (1 byte) from 10.0.0.1'"),
        ("a\uff1f [\uff39/\uff4e]", "'a\uff1f [\uff39/\uff4e]'"),
        (" a", "' a'"),
        ("a ", "'a '"),
        ("a  b", "'a  b'"),
        ("'a\\'", "'\\'a\\\\\\''"),
        ("\udcff", "'\\udcff'"),
        ("", "''"),
    ],
)
def test_what_hides_or_imitates_is_shown_in_quotes(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_a_question_shows_the_name_in_quotes(place: Place) -> None:
    path = place.folder / "a (1 byte) from 1.2.3.4:5? [Y|n]"
    path.write_bytes(b"1")
    sender, receiver = place.send(path), place.receive(stdin=b"y\n")
    received = receiver.wait()
    assert (received.code, sender.wait().code) == (0, 0)
    assert f"Receive '{path.name}' (1 byte) from" in received.out
    assert place.received == [path.name]
