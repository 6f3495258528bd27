"""What a mailbox server keeps, in a file: SQLite of the standard library, behind an interface of three methods."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

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

from .exits import CommandFailed, Exit

_VERSION = 1
_SCHEMA = """
CREATE TABLE boxes (
    mailbox BLOB PRIMARY KEY, epoch BLOB NOT NULL, grp BLOB NOT NULL, polled_at INTEGER NOT NULL,
    floor BLOB NOT NULL, last_seq BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE messages (
    mailbox BLOB NOT NULL REFERENCES boxes ON DELETE CASCADE, seq BLOB NOT NULL, blob BLOB NOT NULL, grp BLOB NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (mailbox, seq)
) WITHOUT ROWID;
"""


class Store(Protocol):
    """What outlives a mailbox server."""

    def mailboxes(self) -> Iterator[StoredMailbox]:
        """All that was stored."""
        ...

    def write(self, changes: Sequence[StoreChange]) -> None:
        """Store these changes in their order, all of them or none. They last when this returns."""

    def close(self) -> None: ...


class SqliteStore:
    """A store in one file, which only one process has open, and only its owner may read.

    What is erased is overwritten. Raises :class:`CommandFailed` where the file, or the disk, refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._failing():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._opened = self._identity()
            self._db = sqlite3.connect(path, isolation_level=None, timeout=0.0, check_same_thread=False)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise

    def mailboxes(self) -> Iterator[StoredMailbox]:
        with self._failing():
            for mailbox, epoch, group, polled_at, floor, last_seq in self._db.execute(
                "SELECT mailbox, epoch, grp, polled_at, floor, last_seq FROM boxes ORDER BY mailbox"
            ).fetchall():
                yield StoredMailbox(
                    mailbox=mailbox,
                    epoch=epoch,
                    group=group,
                    polled_at=polled_at,
                    floor=_number(floor),
                    last_seq=_number(last_seq),
                    messages=tuple(self._messages(mailbox)),
                )

    def write(self, changes: Sequence[StoreChange]) -> None:
        with self._failing():
            self._db.execute("BEGIN")
            try:
                for change in changes:
                    self._write(change)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # on a full disk it is over already
                    self._db.execute("ROLLBACK")
                raise
            if self._identity() != self._opened:
                text = f"{self._path} was moved or deleted, and what is stored would be lost: leave it where it is."
                raise CommandFailed(Exit.FILES, text)

    def close(self) -> None:
        self._db.close()

    # -- inside

    def _identity(self) -> tuple[int, int] | None:
        """Of the file that has the name now; None: there is none."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _open(self) -> None:
        for pragma in (
            "locking_mode = EXCLUSIVE",
            "journal_mode = TRUNCATE",  # the others keep what was erased until the next change
            "synchronous = EXTRA",  # after a power cut, too
            "secure_delete = ON",
            "foreign_keys = ON",
        ):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._db.execute("BEGIN EXCLUSIVE")  # the lock stays
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
        self._db.execute("COMMIT")
        if version not in (0, _VERSION):
            raise CommandFailed(Exit.FILES, f"{self._path} is a store of another version: name another with --store.")

    def _messages(self, mailbox: bytes) -> Iterable[StoredMessage]:
        rows = self._db.execute("SELECT seq, blob, grp, at FROM messages WHERE mailbox = ? ORDER BY seq", (mailbox,))
        return [StoredMessage(_number(seq), blob, group, at) for seq, blob, group, at in rows]

    def _write(self, change: StoreChange) -> None:
        execute = self._db.execute
        match change:
            case MailboxMade(stored):
                execute("DELETE FROM boxes WHERE mailbox = ?", (stored.mailbox,))
                row = stored.mailbox, stored.epoch, stored.group, stored.polled_at
                execute(
                    "INSERT INTO boxes VALUES (?, ?, ?, ?, ?, ?)", (*row, _key(stored.floor), _key(stored.last_seq))
                )
            case MessageAdded(mailbox, message):
                seq = _key(message.seq)
                added = mailbox, seq, message.blob, message.group, message.at
                execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", added)
                execute("UPDATE boxes SET last_seq = ? WHERE mailbox = ?", (seq, mailbox))
            case MessagesErased(mailbox, up_to, floor):
                execute("DELETE FROM messages WHERE mailbox = ? AND seq <= ?", (mailbox, _key(up_to)))
                execute("UPDATE boxes SET floor = ? WHERE mailbox = ?", (_key(floor), mailbox))
            case MailboxPolled(mailbox, at):
                execute("UPDATE boxes SET polled_at = ? WHERE mailbox = ?", (at, mailbox))
            case MailboxRemoved(mailbox):
                execute("DELETE FROM boxes WHERE mailbox = ?", (mailbox,))

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What SQLite and the system say, as one line."""
        try:
            yield
        except sqlite3.OperationalError as error:
            busy = "locked" in str(error)
            text = f"{self._path} is in use by another process" if busy else f"Cannot use {self._path} ({error})"
            raise CommandFailed(Exit.FILES, f"{text}: name another file with --store.") from error
        except sqlite3.DatabaseError as error:
            raise CommandFailed(Exit.FILES, f"{self._path} is not a mailbox store: choose another --store.") from error
        except OSError as error:
            text = f"Cannot open {self._path} ({error.strerror}): name another file with --store."
            raise CommandFailed(Exit.FILES, text) from error


def _key(number: int) -> bytes:
    """Numbers of 64 bits, in an order that SQLite's own integers do not have."""
    return number.to_bytes(8, "big")


def _number(key: bytes) -> int:
    return int.from_bytes(key, "big")
