"""Files that arrive: under a name of their own only when they are complete, and never over anything that is there."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from .exits import CommandFailed, DiskFull, Exit
from .names import candidates, numbered
from .shown import shown_name

EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@attrs.frozen
class Preserved:
    """What a file keeps of the one at the sender: permissions, and nanoseconds since 1970."""

    mode: int | None = None
    modified: int | None = None

    def apply(self, path: Path) -> None:
        """As far as the file system goes along: some have neither. What no user may grant is never granted."""
        with suppress(OSError, OverflowError):
            if self.mode is not None:
                os.chmod(path, self.mode & 0o777 & ~_umask())
        with suppress(OSError, OverflowError):
            if self.modified is not None:
                os.utime(path, ns=(self.modified, self.modified))


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


class IncomingFile:
    """A hidden temporary file in ``folder`` that :meth:`keep` gives its name; leaving the ``with`` without removes it.

    Only its owner may read it, also later if nothing else is preserved. Raises :class:`CommandFailed` where the disk or
    the system refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / f".sansproto-{secrets.token_hex(8)}.part"
        try:
            self._fd = os.open(self.path, EXCLUSIVE, 0o600)
        except OSError as error:
            raise unwritable(folder, error) from error

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError as error:
                raise unwritable(self._folder, error) from error

    def keep(self, name: str, preserved: Preserved) -> Path:
        """Give the finished file this name, or ``name (1)`` and so on if there is such a file; the path it has now."""
        try:
            preserved.apply(self.path)
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1
            for candidate in numbered(name):
                with suppress(FileExistsError):
                    return _claim(self.path, self._folder / candidate)
        except OSError as error:
            raise unwritable(self._folder, error) from error
        raise AssertionError("there is always another candidate")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):  # whatever kept us from writing may keep us from this: that was told
            if self._fd >= 0:
                os.close(self._fd)
        with suppress(OSError):
            os.unlink(self.path)


def write_new(path: Path, data: bytes) -> None:
    """A file that only its owner may read, and that is there whole or not at all.

    Raises FileExistsError if there is one already, or another OSError.
    """
    written = path.parent / f".sansproto-{secrets.token_hex(8)}.part"
    descriptor = os.open(written, EXCLUSIVE, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _claim(written, path)
    finally:
        with suppress(OSError):  # it has its own name already
            os.unlink(written)


def check_folder(folder: Path) -> None:
    """Raise :class:`CommandFailed` unless it is one, and files can be made in it."""
    try:
        is_folder = stat.S_ISDIR(os.stat(folder).st_mode)
    except FileNotFoundError:
        is_folder = False
    except OSError as error:
        raise unwritable(folder, error) from error
    if not is_folder:
        raise CommandFailed(Exit.FILES, f"{folder} is not a folder: make it, or choose another with --output.")
    with IncomingFile(folder):  # no other question to the system has a sure answer
        pass


def storable_name(folder: Path, name: str) -> str:
    """What a file that somebody else calls so can be called in this folder.

    Nothing but the file system knows what it stores: a file of that name is made and removed, unless there is one.
    Raises :class:`CommandFailed` if it takes none.
    """
    refusals: list[OSError] = []
    for candidate in candidates(name):
        try:
            _try_name(folder / candidate)
        except OSError as error:
            refusals.append(error)
            if error.errno in _NO_ROOM:
                break
        else:
            return candidate
    raise unwritable(folder, refusals[-1]) from refusals[-1]


def check_name(folder: Path, name: str) -> None:
    """Raise :class:`CommandFailed` if no file can have this name there."""
    try:
        _try_name(folder / name)
    except OSError as error:
        text = f"Cannot write {shown_name(name)} ({error.strerror}): choose another name with --output."
        raise CommandFailed(Exit.FILES, text) from error


def _try_name(path: Path) -> None:
    """Raise OSError if it cannot be that of a file; it may be there already."""
    with suppress(FileExistsError):
        os.close(os.open(path, EXCLUSIVE, 0o600))
        os.unlink(path)


def check_room(folder: Path, size: int) -> None:
    """Raise :class:`CommandFailed` if the disk surely has no room for so many bytes."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    if usage.total and usage.free < size:  # a file system without a size does not tell
        text = f"{folder} has room for {usage.free:,} bytes of {size:,}: make room, or choose another with --output."
        raise DiskFull(Exit.FILES, text)


def _claim(written: Path, path: Path) -> Path:
    """Give a file its name. Raises FileExistsError if there is one already, or another OSError."""
    try:
        os.link(written, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: nobody else has the empty file that is made and then replaced
        os.close(os.open(path, EXCLUSIVE, 0o600))
        os.replace(written, path)
    return path


def unwritable(folder: Path, error: OSError) -> CommandFailed:
    if error.errno in _NO_ROOM:
        return DiskFull(Exit.FILES, f"The disk of {folder} is full: make room, or choose another with --output.")
    return CommandFailed(Exit.FILES, f"Cannot write to {folder} ({error.strerror}): choose another with --output.")
