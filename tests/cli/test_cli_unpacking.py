"""Folders that arrive are unpacked, and nothing in an archive leads outside of the new folder."""

from __future__ import annotations

import errno
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cli_commands import Place, failed

from sansproto_cli import sources, unpacking
from sansproto_cli.exits import CommandFailed
from sansproto_cli.unpacking import UnpackedFolder

Member = tuple[str, bytes, bytes | str]


def archive(path: Path, *members: Member, size: int | None = None) -> Path:
    """Of names, types and contents, or where a link leads."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, what in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o644 if kind == tarfile.REGTYPE else 0o755
            contents = what if isinstance(what, bytes) else b""
            info.linkname = "" if isinstance(what, bytes) else what
            info.size = len(contents) if size is None else size
            tar.addfile(info, io.BytesIO(contents))
    return path


def unpack(folder: Path, tar: Path, *, name: str = "new", single: bool = True, preserve: bool = True) -> list[str]:
    """What is there then, and what was warned of."""
    warned: list[str] = []
    with UnpackedFolder(folder, single=single, preserve=preserve, warn=warned.append, check=lambda: None) as unpacked:
        unpacked.unpack(tar)
        unpacked.keep(name)
    return warned


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


DIR, REG, SYM, LNK = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def test_a_folder_arrives_unpacked(place: Place) -> None:
    folder = place.folder / "holidays"
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"a")
    (folder / "a.txt").chmod(0o750)
    (folder / "sub" / ".hidden").write_bytes(b"b")
    (folder / "link").symlink_to("sub/.hidden")
    (folder / "out").symlink_to("/etc/passwd")
    os.link(folder / "a.txt", folder / "hard.txt")
    os.utime(folder / "a.txt", ns=(0, 1_600_000_000_000_000_000))
    os.utime(folder / "sub", ns=(0, 1_500_000_000_000_000_000))
    sent, received = place.transfer(folder)
    assert (sent.code, received.code) == (0, 0), sent.err + received.err
    assert place.received == ["holidays"]
    there = place.inbox / "holidays"
    assert everything(there) == ["a.txt", "hard.txt", "link", "sub", "sub/.hidden", "sub/empty"]
    assert (there / "link").read_bytes() == b"b"
    assert stat.S_IMODE((there / "hard.txt").stat().st_mode) == 0o750 & ~_umask()
    assert (there / "a.txt").stat().st_mtime == 1_600_000_000
    assert (there / "sub").stat().st_mtime == 1_500_000_000
    assert "out is a link to outside of the folder: left out." in received.out
    assert "Receiving the folder holidays" in received.out
    again = place.transfer(folder, receiver=("--no-preserve",))[1]
    assert again.code == 0, again.err
    assert place.received == ["holidays", "holidays (1)"]
    other = (place.inbox / "holidays (1)" / "a.txt").stat()
    assert (stat.S_IMODE(other.st_mode), other.st_mtime > 1_600_000_000) == (0o666 & ~_umask(), True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_several_files_arrive_in_a_folder(place: Place) -> None:
    for name in ("a", "b"):
        (place.folder / name).write_bytes(b"1")
    place.transfer(place.folder / "a", place.folder / "b", "--name", "both")
    assert everything(place.inbox) == ["both", "both/a", "both/b"]


def test_both_ends_call_a_folder_one(place: Place) -> None:
    folder = place.folder / "fold"
    folder.mkdir()
    sent, received = place.transfer(folder)
    assert "Ready to send the folder fold (" in sent.out
    assert "Receiving the folder fold (" in received.out
    assert "Sent the folder fold (" in sent.out
    assert sent.out.endswith("The other side has verified it.\n")
    sent, received = place.transfer(folder, receiver=("--keep-tar",))
    assert "Receiving fold.tar (" in received.out
    assert sent.out.endswith("The other side has verified it, and keeps it as fold.tar.\n")


def test_a_tar_that_somebody_sends_stays_one(place: Place) -> None:
    path = archive(place.folder / "x.tar", ("x", DIR, b""), ("x/a", REG, b"1"))
    place.transfer(path)
    assert place.received == ["x.tar"]


@pytest.mark.parametrize("option", [("--keep-tar",), ("-o", "FILE")])
def test_who_wants_the_archive_gets_it(place: Place, option: tuple[str, ...]) -> None:
    folder = place.folder / "x"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    options = [str(place.inbox / "x.tar") if word == "FILE" else word for word in option]
    sender, receiver = (
        place.send(folder),
        place.start(
            "receive",
            "marble-acoustic-tunnel",
            *place.at,
            "-y",
            *options,
            *(() if "-o" in options else ("-o", place.inbox)),
        ),
    )
    assert (receiver.wait().code, sender.wait().code) == (0, 0)
    with tarfile.open(place.inbox / "x.tar") as tar:
        assert tar.getnames() == ["x", "x/a"]


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ([("/etc/cron.d/x", REG, b"1")], "outside"),
        ([("x/../../y", REG, b"1")], "outside"),
        ([("../y", DIR, b"")], "outside"),
        ([("x//y", REG, b"1")], "outside"),
        ([(".", REG, b"1")], "an invalid path"),
        ([("a/" * 300 + "b", REG, b"1")], "an invalid path"),
        ([("x/null", tarfile.CHRTYPE, b"")], "a device or a pipe"),
        ([("x/disk", tarfile.BLKTYPE, b"")], "a device or a pipe"),
        ([("x/pipe", tarfile.FIFOTYPE, b"")], "a device or a pipe"),
        ([("x/a", REG, b"1"), ("x/a", REG, b"2")], "the same name twice"),
        ([("x/a", REG, b"1"), ("x/./a", REG, b"2")], "the same name twice"),
        ([("x/a", REG, b"1"), ("x/a/b", REG, b"2")], "a folder, too"),
        ([("x/a/b", REG, b"1"), ("x/a", REG, b"2")], "the same name twice"),
        ([("x/a", LNK, "/etc/passwd")], "outside"),
        ([("x/a", LNK, "../../outside")], "outside"),
        ([("x/l", SYM, "/etc/passwd"), ("x/a", LNK, "x/l")], "a link to something else"),
    ],
)
def test_what_no_honest_sender_makes_is_refused(inbox: Path, tmp_path: Path, members: list[Member], word: str) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    tar = archive(tmp_path / "x.tar", ("x", DIR, b""), *members)
    with pytest.raises(CommandFailed, match=word) as caught:
        unpack(inbox, tar)
    assert caught.value.code == 8
    assert everything(inbox) == []


@pytest.mark.parametrize(
    "members",
    [
        [("x/l", SYM, ".."), ("x/l/escaped", REG, b"1")],
        [("x/l", SYM, "/tmp"), ("x/l/escaped", REG, b"1")],
        [("x/l", SYM, "."), ("x/l/m", SYM, ".."), ("x/l/m/../escaped", SYM, "a")],
        [("x/d", DIR, b""), ("x/d/l", SYM, "../.."), ("x/m", SYM, "d/l/../.."), ("x/m/escaped", REG, b"1")],
        [("x/l", SYM, "a"), ("x/l", REG, b"1")],
    ],
)
def test_no_link_leads_anything_outside(inbox: Path, tmp_path: Path, members: list[Member]) -> None:
    tar = archive(tmp_path / "x.tar", ("x", DIR, b""), *members)
    with suppress(CommandFailed):
        unpack(inbox, tar)
    assert {path.name for path in tmp_path.iterdir()} == {"inbox", "x.tar"}
    for path in inbox.rglob("*"):
        assert path.resolve().is_relative_to(inbox)


@pytest.mark.parametrize(
    ("target", "stays"),
    [
        ("a", True),
        ("sub/../a", False),
        ("../a", True),
        ("../../a", False),
        ("/a", False),
        ("", False),
        ("a//b", False),
        ("..", True),
        ("c:\\a", False),
        ("." * 3, True),
    ],
)
def test_links_that_stay_are_made(inbox: Path, tmp_path: Path, target: str, stays: bool) -> None:
    warned = unpack(inbox, archive(tmp_path / "x.tar", ("x", DIR, b""), ("x/sub", DIR, b""), ("x/sub/l", SYM, target)))
    assert os.path.islink(inbox / "new/sub/l") == stays
    assert bool(warned) == (not stays)


def test_names_that_are_one_where_case_means_nothing_are_both_kept(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def caseless(path: str | Path, flags: int, mode: int = 0o777) -> int:
        folder, name = os.path.split(path)
        if flags & os.O_CREAT and name.lower() in {other.lower() for other in os.listdir(folder)}:
            raise FileExistsError(17, "File exists")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", caseless)
    warned = unpack(inbox, archive(tmp_path / "x.tar", ("x/A.txt", REG, b"1"), ("x/a.txt", REG, b"2")))
    assert everything(inbox / "new") == ["A.txt", "a (1).txt"]
    assert warned == ["a.txt cannot be stored under that name here: it is a (1).txt."]


def test_names_with_control_characters_are_stored_without(inbox: Path, tmp_path: Path) -> None:
    warned = unpack(inbox, archive(tmp_path / "x.tar", ("x/a\x1b[2J", REG, b"1"), ("x/\udcff", REG, b"2")))
    assert everything(inbox / "new") == ["a_[2J", "\udcff"]
    assert warned == ["'a\\x1b[2J' cannot be stored under that name here: it is a_[2J."]


def test_many_names_that_are_one_here_do_not_count_from_the_beginning(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These are told apart by control characters alone, which are not stored."""
    tried: list[str] = []
    real = os.open

    def noted(path: str | Path, flags: int, mode: int = 0o777) -> int:
        tried.append(os.path.basename(path))
        return real(path, flags, mode)

    tar = archive(tmp_path / "x.tar", *((f"x/{chr(1 + a)}{chr(1 + b)}", REG, b"") for a in range(9) for b in range(9)))
    monkeypatch.setattr(os, "open", noted)
    unpack(inbox, tar)
    assert len(everything(inbox / "new")) == 81
    assert tried.count("__ (1)") == 1
    assert len([name for name in tried if name.startswith("__ (")]) < 2 * 81


def test_the_name_of_a_link_has_no_control_characters(inbox: Path, tmp_path: Path) -> None:
    warned = unpack(inbox, archive(tmp_path / "x.tar", ("x", DIR, b""), ("x/a\x1b[2J", SYM, "b")))
    assert everything(inbox / "new") == ["a_[2J"]
    assert len(warned) == 1


def test_a_header_for_all_that_follows_holds_for_one(inbox: Path, tmp_path: Path) -> None:
    """They would add up, to more than there is memory."""
    tar = tmp_path / "x.tar"
    following = tarfile.TarInfo.create_pax_global_header({"mtime": "1000000000"})
    blocks = [tarfile.TarInfo(f"x/{number}").tobuf(tarfile.PAX_FORMAT) for number in range(2)]
    tar.write_bytes(following + b"".join(blocks) + bytes(1024))
    unpack(inbox, tar)
    assert [(inbox / f"new/{number}").stat().st_mtime for number in range(2)] == [1_000_000_000, 0]


def test_a_sender_finds_out_before_it_waits_what_no_receiver_unpacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inbox: Path
) -> None:
    """What it lets pass is unpacked: up to the same bounds, however deep in each other."""
    for module in (sources, unpacking):
        monkeypatch.setattr(module, "MOST", 20)
        monkeypatch.setattr(module, "DEEPEST", 20)
    kinds: dict[str, Callable[[int], object]] = {
        "many": lambda count: [(tmp_path / "many" / f"{number}").write_bytes(b"") for number in range(count - 1)],
        "deep": lambda count: (tmp_path / "deep" / "/".join(["d"] * (count - 1))).mkdir(parents=True, exist_ok=True),
    }
    for name, make in kinds.items():
        (tmp_path / name).mkdir()
        make(20)
        tar = tmp_path / f"{name}.tar"
        tar.write_bytes(b"".join(sources.open_source([str(tmp_path / name)]).look().chunks))
        unpack(inbox, tar, name=name)
        assert len(everything(inbox / name)) == 19
        make(21)
        with pytest.raises(CommandFailed, match="pack it, and send that") as caught:
            sources.open_source([str(tmp_path / name)])
        assert caught.value.code == 9
        assert str(tmp_path) not in caught.value.told


def test_a_folder_that_is_deeper_than_calls_may_be_is_no_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as inside:
        inside.chdir(tmp_path)
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
    with pytest.raises(CommandFailed, match="pack it, and send that"):
        sources.open_source([str(tmp_path)])
    subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # rmtree calls itself


def test_headers_alone_do_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders, links and empty files have nothing behind them."""
    for number in range(50):
        (tmp_path / str(number)).mkdir()
    monkeypatch.setattr(sources, "CHUNK", 4096)
    chunks = [*sources.open_source([str(tmp_path)]).look().chunks]
    assert max(map(len, chunks)) <= 4096 + 2048
    assert sum(map(len, chunks)) == sources.open_source([str(tmp_path)]).found.size


def test_there_is_an_end_to_files_and_headers(inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST", 20)
    many = archive(tmp_path / "x.tar", *((f"x/{number}", REG, b"") for number in range(21)))
    with pytest.raises(CommandFailed, match="more than 20 files"):
        unpack(inbox, many)
    deep = archive(tmp_path / "x.tar", ("a/" * 100 + "b", REG, b""))
    with pytest.raises(CommandFailed, match="more than 20 folders"):
        unpack(inbox, deep)
    long = archive(tmp_path / "x.tar", ("x/" + "n" * 2_000_000, REG, b""))
    with pytest.raises(CommandFailed, match="no archive"):
        unpack(inbox, long)
    monkeypatch.setattr(unpacking, "_NAMES", 1000)
    for name, target in (("n" * 100, "t"), ("n", "t" * 100)):
        remembered = archive(tmp_path / "x.tar", *((f"x/{number}{name}", SYM, target) for number in range(10)))
        with pytest.raises(CommandFailed, match="names that are too long"):
            unpack(inbox, remembered)
    assert everything(inbox) == []


@pytest.mark.parametrize("links", [0, 2])
def test_links_that_become_copies_hold_no_more_than_the_archive(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: int
) -> None:
    """Of a file system without links, or with a bound for those of a file: a header would cost as much as the file."""
    made = 0
    link = os.link

    def bounded(source: Path, path: Path) -> None:
        nonlocal made
        if made == links:
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
        link(source, path)
        made += 1

    monkeypatch.setattr(os, "link", bounded)
    contents, count = b"1" * 50_000, links + 1
    names = [(f"x/{number}", LNK, "x/a") for number in range(count)]
    unpack(inbox, archive(tmp_path / "x.tar", ("x/a", REG, contents), *names), name="one")
    assert [(inbox / "one" / str(number)).read_bytes() == contents for number in range(count)] == [True] * count
    assert len({path.stat().st_mtime_ns for path in (inbox / "one").iterdir()}) == 1
    made = 0
    names = [(f"x/{number}", LNK, "x/a") for number in range(count + 1)]
    with pytest.raises(CommandFailed, match="copies here") as caught:
        unpack(inbox, archive(tmp_path / "x.tar", ("x/a", REG, contents), *names))
    assert caught.value.code == 8
    assert everything(inbox) == sorted(["one", "one/a", *(f"one/{number}" for number in range(count))])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:700],
        lambda data: b"nonsense" * 100,
        lambda data: data.replace(b"x/a", b"x/b", 1),
        lambda data: b"",
    ],
)
def test_what_is_no_archive_is_refused(inbox: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    tar = archive(tmp_path / "x.tar", ("x/a", REG, b"1" * 5000))
    tar.write_bytes(damage(tar.read_bytes()))
    with pytest.raises(CommandFailed, match=r"no archive|cut off") as caught:
        unpack(inbox, tar)
    assert caught.value.code == 8
    assert everything(inbox) == []


@pytest.mark.parametrize("form", ["in headers", "in the type"])
def test_a_file_with_holes_is_refused(inbox: Path, tmp_path: Path, form: str) -> None:
    """Half a kilobyte that claims to be a megabyte, and may as well claim to be a terabyte."""
    header = tarfile.TarInfo("x/sparse")
    header.size = 512
    if form == "in headers":
        version = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1"}
        header.pax_headers = {**version, "GNU.sparse.map": "0,512", "GNU.sparse.size": str(1 << 20)}
        block = header.tobuf(tarfile.PAX_FORMAT)
    else:
        header.type = tarfile.GNUTYPE_SPARSE
        plain = bytearray(header.tobuf(tarfile.GNU_FORMAT))
        plain[386:410], plain[483:495] = b"%011o\0%011o\0" % (0, 512), b"%011o\0" % (1 << 20)
        plain[148:156] = b"%06o\0 " % sum(plain[:148] + b" " * 8 + plain[156:])
        block = bytes(plain)
    tar = tmp_path / "x.tar"
    tar.write_bytes(block + bytes(512) + bytes(1024))
    with pytest.raises(CommandFailed, match="holes"):
        unpack(inbox, tar)
    assert everything(inbox) == []


def test_a_folder_is_not_merged_with_one_that_is_there(inbox: Path, tmp_path: Path) -> None:
    tar = archive(tmp_path / "x.tar", ("x/a", REG, b"1"))
    (inbox / "new").mkdir()
    (inbox / "new (1)").symlink_to(tmp_path)
    unpack(inbox, tar)
    assert sorted(os.listdir(inbox)) == ["new", "new (1)", "new (2)"]
    assert os.listdir(inbox / "new") == []


def test_an_archive_of_a_stranger_is_refused_by_the_command_too(place: Place) -> None:
    """The sender of ours says what it is; what is in it is not believed."""
    tar = archive(place.folder / "evil.tar", ("../../escaped", REG, b"1"))

    sender = place.start("send", tar, *place.at, "-p", "marble-acoustic-tunnel", before=_call_it_a_folder)
    failed(place.receive("-y").wait(), 8, "outside", "nothing was kept", "--keep-tar")
    assert sender.wait().code == 7
    assert place.received == []


def _call_it_a_folder() -> None:
    from sansproto_cli import sources

    vars(sources)["file_members"] = lambda mode, modified: {"kind": "folder"}
