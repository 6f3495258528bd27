"""The store of a mailbox server: what was written is there after the process, and what was erased is not."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansproto.egtp import (
    MailboxMade,
    MailboxPolled,
    MailboxRemoved,
    MessageAdded,
    MessagesErased,
    StoreChange,
    StoredMailbox,
    StoredMessage,
)
from sansproto_cli.exits import CommandFailed, Exit
from sansproto_cli.mailbox_store import SqliteStore

MOST = 2**64 - 1
SECRET = b"what is erased, is erased for good" * 20


def box(number: int, **keywords: object) -> StoredMailbox:
    made = StoredMailbox(mailbox=bytes([number]) * 32, epoch=b"epoch..1", group=b"group", polled_at=1_700_000_000_000)
    return attrs.evolve(made, **keywords)  # type: ignore[arg-type]


def message(seq: int, blob: bytes = b"blob") -> StoredMessage:
    return StoredMessage(seq, blob, b"from", 1_700_000_000_001)


ONE, TWO = box(1), box(2)
FILLED: tuple[StoreChange, ...] = (
    MailboxMade(ONE),
    MailboxMade(TWO),
    MessageAdded(ONE.mailbox, message(1)),
    MessageAdded(ONE.mailbox, message(2, b"")),
    MessageAdded(TWO.mailbox, message(1, SECRET)),
)


@attrs.frozen
class File:
    """A store that is opened anew each time, as by another process."""

    path: Path

    def read(self) -> list[StoredMailbox]:
        with closing(SqliteStore(self.path)) as store:
            return list(store.mailboxes())

    def write(self, *changes: StoreChange) -> None:
        with closing(SqliteStore(self.path)) as store:
            store.write(changes)


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "store")


def test_what_was_written_is_there_again(file: File) -> None:
    file.write(*FILLED)
    assert file.read() == [
        attrs.evolve(ONE, last_seq=2, messages=(message(1), message(2, b""))),
        attrs.evolve(TWO, last_seq=1, messages=(message(1, SECRET),)),
    ]


def test_a_new_store_is_empty_and_its_owners_alone(file: File) -> None:
    assert file.read() == []
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_numbers_of_64_bits_keep_their_order(file: File) -> None:
    seqs = [1, 2**31, 2**63 - 1, 2**63, MOST]
    file.write(MailboxMade(ONE), *(MessageAdded(ONE.mailbox, message(seq)) for seq in seqs))
    file.write(MessagesErased(ONE.mailbox, 2**63 - 1, 2**63 - 2))
    (found,) = file.read()
    assert [item.seq for item in found.messages] == [2**63, MOST]
    assert (found.floor, found.last_seq) == (2**63 - 2, MOST)


def test_polled_and_removed(file: File) -> None:
    file.write(*FILLED, MailboxPolled(ONE.mailbox, 1_800_000_000_000), MailboxRemoved(TWO.mailbox))
    (found,) = file.read()
    assert found.polled_at == 1_800_000_000_000
    assert found.mailbox == ONE.mailbox


def test_a_mailbox_that_is_made_anew_has_none_of_the_old_messages(file: File) -> None:
    anew = attrs.evolve(ONE, epoch=b"epoch..2")
    file.write(*FILLED, MailboxMade(anew))
    assert file.read()[0] == anew


@pytest.mark.parametrize(
    "erasing", [MessagesErased(TWO.mailbox, 1, 1), MailboxRemoved(TWO.mailbox)], ids=["messages", "box"]
)
def test_erased_bytes_are_in_no_file(file: File, erasing: StoreChange) -> None:
    file.write(*FILLED)
    assert SECRET in file.path.read_bytes()
    with closing(SqliteStore(file.path)) as store:
        store.write([erasing])
        for name in file.path.parent.iterdir():
            assert SECRET[:40] not in name.read_bytes()


def test_changes_that_do_not_all_fit_leave_none(file: File) -> None:
    file.write(*FILLED)
    before = file.read()
    with pytest.raises(CommandFailed):
        file.write(MailboxRemoved(ONE.mailbox), MessageAdded(TWO.mailbox, message(1)))  # its number is taken
    assert file.read() == before


def test_a_failed_write_leaves_the_store_usable(file: File) -> None:
    with closing(SqliteStore(file.path)) as store:
        with pytest.raises(CommandFailed):
            store.write([MessageAdded(ONE.mailbox, message(1))])  # there is no such mailbox
        store.write([MailboxMade(ONE)])
    assert file.read() == [ONE]


@pytest.mark.parametrize("is_new", [True, False])
def test_one_process_has_it(file: File, is_new: bool) -> None:
    if not is_new:
        assert file.read() == []
    with closing(SqliteStore(file.path)):
        with pytest.raises(CommandFailed, match="another process") as failure:
            SqliteStore(file.path)
        assert failure.value.code is Exit.FILES
    assert file.read() == []


def _other_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"no database " * 200), "not a mailbox store"),
        (_other_version, "another version"),
        (lambda path: path.mkdir(), "--store"),
        (lambda path: path.symlink_to(path.parent / "none" / "store"), "--store"),
    ],
    ids=["no database", "another version", "a folder", "a link to nowhere"],
)
def test_what_is_no_store(file: File, make: Callable[[Path], None], words: str) -> None:
    make(file.path)
    with pytest.raises(CommandFailed, match=words) as failure:
        SqliteStore(file.path)
    assert failure.value.code is Exit.FILES


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more(file: File) -> None:
    file.write(*FILLED)
    with (
        closing(SqliteStore(file.path)) as store,
        _files_of_at_most(100_000),
        pytest.raises(CommandFailed, match="--store") as failure,
    ):
        store.write([MessageAdded(ONE.mailbox, message(3, bytes(200_000)))])
    assert failure.value.code is Exit.FILES
    assert len(file.read()[0].messages) == 2


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_store_that_was_moved_confirms_nothing(file: File, is_replaced: bool) -> None:
    """What is written into a file without a name is gone when the process ends."""
    file.write(*FILLED)
    with closing(SqliteStore(file.path)) as store:
        store.write([MailboxPolled(ONE.mailbox, 1_800_000_000_000)])
        file.path.rename(file.path.with_name("elsewhere"))
        if is_replaced:
            file.path.touch()
        with pytest.raises(CommandFailed, match="moved or deleted") as failure:
            store.write([MessageAdded(ONE.mailbox, message(3))])
        assert failure.value.code is Exit.FILES


def test_what_the_disk_says_is_told_although_nothing_is_left_to_be_taken_back(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite takes back a whole transaction by itself when the disk is full."""
    file.write(*FILLED)
    with closing(SqliteStore(file.path)) as store:

        def fail(change: StoreChange) -> None:
            store._db.execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(store, "_write", fail)
        with pytest.raises(CommandFailed, match="disk is full"):
            store.write([MessageAdded(ONE.mailbox, message(3))])
        monkeypatch.undo()
        store.write([MessageAdded(ONE.mailbox, message(3))])
    assert len(file.read()[0].messages) == 3


# -- against a model

_BOXES = [box(number) for number in range(3)]
_STEPS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(_BOXES), st.integers(1, 6)), max_size=40)


@settings(max_examples=25)
@given(_STEPS, st.integers(1, 7))
def test_any_changes_in_any_portions(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, StoredMailbox, int]], portion: int
) -> None:
    model: dict[bytes, StoredMailbox] = {}
    changes: list[StoreChange] = []
    for kind, made, number in steps:
        there = model.get(made.mailbox)
        if kind == 0 or there is None:
            made = attrs.evolve(made, epoch=number.to_bytes(8, "big"))
            model[made.mailbox] = made
            changes.append(MailboxMade(made))
        elif kind <= 2:
            added = message(there.last_seq + 1, bytes(number))
            model[made.mailbox] = attrs.evolve(there, last_seq=added.seq, messages=(*there.messages, added))
            changes.append(MessageAdded(made.mailbox, added))
        elif kind == 3:
            left = tuple(item for item in there.messages if item.seq > number)
            model[made.mailbox] = attrs.evolve(there, floor=number, messages=left)
            changes.append(MessagesErased(made.mailbox, number, number))
        elif kind == 4:
            model[made.mailbox] = attrs.evolve(there, polled_at=number)
            changes.append(MailboxPolled(made.mailbox, number))
        else:
            del model[made.mailbox]
            changes.append(MailboxRemoved(made.mailbox))
    file = File(tmp_path_factory.mktemp("store") / "store")
    for at in range(0, len(changes), portion):
        file.write(*changes[at : at + portion])
    assert file.read() == [model[name] for name in sorted(model)]
