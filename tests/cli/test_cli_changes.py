"""Exit 0 and "verified" mean that a file arrived as it was: what changes meanwhile is an error at both ends."""

from __future__ import annotations

import json
import os
import tarfile
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes

import attrs
import pytest
from cli_commands import PASSWORD, PATIENCE, Command, Place, failed, wait_long_for_a_greeting

from sansproto.bob import Client, FileVerified, PackError, PackReader, PackWriter, PeerAgreed, PeerEvent
from sansproto.errors import NotOpen
from sansproto.events import CloseCause, Closed, DataReceived
from sansproto_sockets import system_entropy
from sansproto_threads import Runner, run

_BIG = 40_000_000
_NOISE = token_bytes(_BIG)
_SIZES = pytest.mark.parametrize("size", [10, 200_000], ids=["small", "larger"])


def _send(place: Place, *arguments: object) -> Command:
    return place.send(*arguments, "--no-compress", before=wait_long_for_a_greeting)


def _big(place: Place, name: str = "big") -> Path:
    path = place.folder / name
    path.write_bytes(_NOISE)
    return path


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _overwrite(path: Path) -> None:
    """Its end, in place: the size stays."""
    with path.open("r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"other")


def _replace(path: Path) -> None:
    """By another file with the same contents and times."""
    found, other = path.stat(), path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.rename(path)


def _truncate(path: Path) -> None:
    os.truncate(path, 3)


def _vanish(path: Path) -> None:
    path.unlink()


_CHANGES = pytest.mark.parametrize("change", [_append, _overwrite, _replace, _truncate, _vanish])


# -- while it waits ----------------------------------------------------------------------------------------------------


@_SIZES
def test_what_is_saved_again_while_it_waits_is_sent_as_it_is_then(place: Place, size: int) -> None:
    path = place.folder / "r.json"
    path.write_bytes(b"1" * size)
    sender = _send(place, path)
    sender.wait_for("sansproto receive")
    path.write_bytes(b"2" * (3 * size))
    received, sent = place.receive("-y").wait(), sender.wait()
    assert (sent.code, received.code) == (0, 0), sent.err + received.err
    assert (place.inbox / "r.json").read_bytes() == b"2" * (3 * size)
    assert "has verified it" in sent.out


@_SIZES
def test_what_is_saved_again_in_a_folder_is_sent_as_it_is_then(place: Place, size: int) -> None:
    folder = place.folder / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"1" * size)
    (folder / "gone").write_bytes(b"")
    sender = _send(place, folder)
    sender.wait_for("sansproto receive")
    (folder / "a").write_bytes(b"2" * (3 * size))
    (folder / "gone").unlink()
    (folder / "new").write_bytes(b"3")
    received, sent = place.receive("-y", "--keep-tar").wait(), sender.wait()
    assert (sent.code, received.code) == (0, 0), sent.err + received.err
    with tarfile.open(place.inbox / "folder.tar") as tar:
        assert tar.getnames() == ["folder", "folder/a", "folder/new"]
        contents = tar.extractfile("folder/a")
        assert contents is not None
        assert contents.read() == b"2" * (3 * size)


def test_a_file_that_is_gone_when_the_receiver_comes(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    sender = _send(place, path)
    sender.wait_for("sansproto receive")
    path.unlink()
    received = place.receive("-y").wait()
    failed(received, 10, "The sender gave up (Cannot read a ")
    assert str(place.folder) not in received.err  # where it was there is nobody else's business
    failed(sender.wait(), 9, str(path))
    assert place.received == []


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="only Linux has such files")
def test_files_whose_size_says_nothing_are_whole_in_a_folder_too(place: Place) -> None:
    paths = ["/proc/version", "/sys/devices/system/cpu/possible"]
    sent, received = place.transfer(*paths, receiver=("--keep-tar",))
    assert (sent.code, received.code) == (0, 0), sent.err + received.err
    with tarfile.open(place.inbox / "files.tar") as tar:
        for path in paths:
            contents = tar.extractfile(os.path.basename(path))
            assert contents is not None
            assert contents.read() == Path(path).read_bytes()


# -- during the transfer -----------------------------------------------------------------------------------------------


@_CHANGES
def test_a_file_that_changes_while_it_is_sent(place: Place, change: Callable[[Path], None]) -> None:
    path = _big(place)
    sender, receiver = _send(place, path), place.receive(stdin=None)
    receiver.wait_for("[Y/n]")  # it reads no more, so that the sender cannot have read to the end
    change(path)
    receiver.type("y")
    received = receiver.wait()
    failed(received, 10, f"The sender gave up ({path.name} changed", "at rest): start")
    assert str(place.folder) not in received.err
    failed(sender.wait(), 9, str(path), "changed")
    assert place.received == []
    assert [path.name for path in place.inbox.iterdir()] == []


@_CHANGES
def test_a_file_of_a_folder_that_changes_when_it_was_sent_already(place: Place, change: Callable[[Path], None]) -> None:
    folder = place.folder / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"first")
    (folder / "b").write_bytes(_NOISE)
    sender, receiver = _send(place, folder), place.receive(stdin=None)
    receiver.wait_for("[Y/n]")
    change(folder / "a")
    receiver.type("y")
    received = receiver.wait()
    failed(received, 10, "The sender gave up (a changed")
    assert str(folder) not in received.err
    failed(sender.wait(), 9, str(folder / "a"), "changed")
    assert place.received == []


def test_a_file_of_a_folder_that_changes_before_its_turn(place: Place) -> None:
    """Its header and the size of the whole are on their way by then."""
    folder = place.folder / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(_NOISE)
    (folder / "b").write_bytes(b"last")
    sender, receiver = _send(place, folder), place.receive(stdin=None)
    receiver.wait_for("[Y/n]")
    _append(folder / "b")
    receiver.type("y")
    failed(receiver.wait(), 10, "The sender gave up (b changed")
    failed(sender.wait(), 9, str(folder / "b"), "changed")
    assert place.received == []


# -- receivers by hand -------------------------------------------------------------------------------------------------


@attrs.define
class Got:
    """What a receiver by hand got."""

    records: list[bytes]
    closed: Closed

    @property
    def data(self) -> bytes:
        return b"".join(self.records)


def _take(place: Place, *, first: list[bytes], enough: int = 1 << 60, last: list[bytes], then: object = None) -> Got:
    """Say ``first``; when ``enough`` bytes came do ``then``; say ``last`` when it seems complete, and leave."""
    client = Client(
        relay=("127.0.0.1", place.port),
        secure_port=place.secure_port,
        password=PASSWORD.encode(),
        entropy=system_entropy,
    )
    runner: Runner[PeerEvent] = run(client, linger=1.0)
    records: list[bytes] = []

    def say(words: list[bytes]) -> None:
        for word in words:
            runner.call(partial(client.send, word))

    with runner:
        runner.call(client.connect)
        while not isinstance(event := runner.next_event(timeout=PATIENCE), Closed):
            if isinstance(event, PeerAgreed):
                runner.call(partial(client.accept, event.uid))
            elif type(event).__name__ == "Connected":
                say(first)
            elif isinstance(event, DataReceived):
                records.append(event.data)
                if callable(then) and sum(map(len, records)) > enough:
                    then, _ = None, then(records, client, runner) if enough < 0 else then()
            if (records and _is_complete(records)) or (enough == 0 and records):
                enough = 1 << 60
                try:
                    say(last)
                    runner.call(client.close)
                except NotOpen:
                    pass
    return Got(records, event)


def _is_complete(records: list[bytes]) -> bool:
    if not records[0].startswith(b"P"):
        return records[-1] == b"\3"
    return len(records[-1]) == 20 and _verifies(records)


def _verifies(records: list[bytes]) -> bool:
    pack = PackReader(max_size=_BIG)
    try:
        return any(isinstance(event, FileVerified) for record in records for event in pack.feed(record))
    except PackError:
        return False


def test_a_receiver_of_ours_gets_typed_records(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(_NOISE[:100_000])
    sender = _send(place, path)
    receipt = b'verified {"sha256": "%s"}' % sha256(_NOISE[:100_000]).hexdigest().encode()
    got = _take(place, first=[b"receiving", b"accepted"], last=[receipt])
    about, *data, end = got.records
    assert about.startswith(b'\1{"kind": "file"')
    assert {record[:1] for record in data} == {b"\0"}
    assert end == b"\3"
    assert _verifies([record[1:] for record in data])
    assert all(len(record) <= 32_767 for record in got.records)
    result = sender.wait()
    assert result.code == 0, result.err
    assert "has verified it" in result.out


def test_who_says_nothing_gets_what_the_original_expects(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"contents")
    sender = place.send(path, "--no-compress")
    got = _take(place, first=[], last=[])
    writer = PackWriter("a", 8, level=0)
    assert got.records == [*writer.start(), *writer.write(b"contents"), *writer.finish()]
    result = sender.wait()
    assert result.code == 0
    assert "did not say" in result.out


@pytest.mark.parametrize(
    ("name", "contents", "options", "level"),
    [
        ("a.mp4", bytes(50_000), (), 4),
        ("a.txt", _NOISE[:50_000], (), 0),
        ("a.mp4", _NOISE[:50_000], ("--compress",), 4),
        ("a.txt", bytes(50_000), ("--no-compress",), 0),
    ],
)
def test_what_does_not_get_smaller_is_not_compressed(
    place: Place, name: str, contents: bytes, options: tuple[str, ...], level: int
) -> None:
    path = place.folder / name
    path.write_bytes(contents)
    sender = place.send(path, *options)
    got = _take(place, first=[], last=[])
    writer = PackWriter(name, len(contents), level=level)
    assert got.records == [*writer.start(), *writer.write(contents), *writer.finish()]
    assert sender.wait().code == 0


def test_who_says_nothing_gets_a_stream_when_it_is_over(place: Place) -> None:
    sender = place.send("-", "--no-compress", stdin=b"contents")
    got = _take(place, first=[], last=[])
    writer = PackWriter("stdin", 8, level=0)
    assert got.records == [*writer.start(), *writer.write(b"contents"), *writer.finish()]
    assert sender.wait().code == 0


def test_the_original_gets_no_checksum_of_what_changed(place: Place) -> None:
    path = _big(place)
    sender = place.send(path, "--no-compress")
    got = _take(place, first=[], last=[], enough=1000, then=lambda: _overwrite(path))
    failed(sender.wait(), 9, str(path), "changed")
    assert got.closed.cause is CloseCause.REMOTE
    assert got.records[0].startswith(b"PACK")
    assert not _verifies(got.records)
    assert all(len(record) != 20 for record in got.records)


# -- the receipt -------------------------------------------------------------------------------------------------------


def _receipt(contents: bytes, **fields: object) -> bytes:
    return b"verified " + json.dumps({"sha256": sha256(contents).hexdigest(), **fields}).encode()


@pytest.mark.parametrize(
    ("receipt", "code", "word"),
    [
        (b"verified", 7, "before the file was confirmed"),
        (b"verified ", 7, "before the file was confirmed"),
        (b"verified {}", 7, "before the file was confirmed"),
        (b'verified {"sha256": ""}', 7, "before the file was confirmed"),
        (b'verified {"sha256": ["a"]}', 7, "before the file was confirmed"),
        (b"verified " + b"[" * 3000, 7, "before the file was confirmed"),
        (_receipt(b"contents").replace(b"verified", b"verifies"), 7, "before the file was confirmed"),
        (_receipt(b"contents", more="x" * 10_000), 7, "before the file was confirmed"),
        (_receipt(b""), 8, "another file"),
        (_receipt(b"content"), 8, "another file"),
    ],
)
def test_a_receipt_for_anything_else_is_none(place: Place, receipt: bytes, code: int, word: str) -> None:
    path = place.folder / "a"
    path.write_bytes(b"contents")
    sender = place.send(path, "--json", before=wait_long_for_a_greeting)
    _take(place, first=[b"receiving", b"accepted"], last=[receipt])
    result = sender.wait()
    assert (result.code, result.events[-1]["event"]) == (code, "failed"), result.out + result.err
    assert word in result.events[-1]["message"]
    assert "confirmed" not in result.out.replace(word, "")


def test_what_a_receipt_says_besides_is_ignored(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"contents")
    sender = place.send(path, "--json", before=wait_long_for_a_greeting)
    _take(
        place,
        first=[b"receiving", b"accepted"],
        last=[b"hm", _receipt(b"contents", name="b", more=[1, {"a": None}]), b"bye"],
    )
    assert sender.wait().event("finished")["confirmed"] is True


@pytest.mark.parametrize(
    "receipt", [_receipt(_NOISE), _receipt(b""), b"verified"], ids=["of all of it", "of nothing", "without a hash"]
)
def test_a_receipt_for_what_was_not_yet_sent_is_none(place: Place, receipt: bytes) -> None:
    path = _big(place)
    sender = place.send(path, "--no-compress", "--json", before=wait_long_for_a_greeting)
    _take(place, first=[b"receiving", b"accepted"], enough=0, last=[receipt])
    result = sender.wait()
    assert result.code in (7, 8), result.out + result.err
    assert result.events[-1]["event"] == "failed"


def test_a_receipt_at_once_is_for_nothing(place: Place) -> None:
    """Today's words, before anything was read."""
    path = place.folder / "a"
    path.write_bytes(b"contents")
    sender = place.send(path, "--json", before=wait_long_for_a_greeting)
    _take(place, first=[b"receiving", b"accepted", b"verified"], enough=0, last=[])
    result = sender.wait()
    assert (result.code, result.events[-1]["event"]) == (7, "failed"), result.out + result.err


# -- the yes -----------------------------------------------------------------------------------------------------------


def test_no_contents_go_out_before_somebody_said_yes(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"contents")
    sender = place.send(path, "--no-compress", before=wait_long_for_a_greeting)
    before: list[bytes] = []

    def say_yes(records: list[bytes], client: Client, runner: Runner[PeerEvent]) -> None:
        time.sleep(0.5)
        while (event := runner.call(lambda _: client.next_event())) is not None:
            assert isinstance(event, DataReceived)
            records.append(event.data)
        before.extend(records)
        runner.call(partial(client.send, b"accepted"))

    receipt = _receipt(b"contents")
    got = _take(place, first=[b"receiving"], last=[receipt], enough=-1, then=say_yes)
    assert [record[:1] for record in before] == [b"\1", *[b"\0"] * 4]  # metadata, and all before the contents
    assert b"contents" not in b"".join(before)
    assert b"contents" in got.data
    about = json.loads(before[0][1:])
    found = path.stat()
    assert about == {
        "kind": "file",
        "mode": found.st_mode & 0o777,
        "mtime": int(found.st_mtime_ns // 10**9),
        "mtime_ns": found.st_mtime_ns % 10**9,
    }
    assert sender.wait().code == 0
