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

from .exits import CommandFailed, Exit
from .names import candidates, numbered

_EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class IncomingFile:
    """A hidden temporary file in ``folder`` that :meth:`keep` gives its name; leaving the ``with`` without removes it.

    Only its owner may read it, also later. Raises :class:`CommandFailed` where the disk or the system refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / f".sansproto-{secrets.token_hex(8)}.part"
        try:
            self._fd = os.open(self._path, _EXCLUSIVE, 0o600)
        except OSError as error:
            raise _unwritable(folder, error) from error

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError as error:
                raise _unwritable(self._folder, error) from error

    def keep(self, name: str) -> Path:
        """Give the finished file this name, or ``name (1)`` and so on if there is such a file; the path it has now."""
        try:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1
            for candidate in numbered(name):
                with suppress(FileExistsError):
                    return _claim(self._path, self._folder / candidate)
        except OSError as error:
            raise _unwritable(self._folder, error) from error
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
            os.unlink(self._path)


def write_new(path: Path, data: bytes) -> None:
    """A file that only its owner may read, and that is there whole or not at all.

    Raises FileExistsError if there is one already, or another OSError.
    """
    written = path.parent / f".sansproto-{secrets.token_hex(8)}.part"
    descriptor = os.open(written, _EXCLUSIVE, 0o600)
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
        raise _unwritable(folder, error) from error
    if not is_folder:
        raise CommandFailed(Exit.FILES, f"{folder} is no folder: make it, or choose another with --output.")
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
            with suppress(FileExistsError):
                os.close(os.open(folder / candidate, _EXCLUSIVE, 0o600))
                os.unlink(folder / candidate)
        except OSError as error:
            refusals.append(error)
            if error.errno in _NO_ROOM:
                break
        else:
            return candidate
    raise _unwritable(folder, refusals[-1]) from refusals[-1]


def check_room(folder: Path, size: int) -> None:
    """Raise :class:`CommandFailed` if the disk surely has no room for so many bytes."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    if usage.total and usage.free < size:  # a file system without a size does not tell
        text = f"{folder} has room for {usage.free:,} bytes of {size:,}: make room, or choose another with --output."
        raise CommandFailed(Exit.FILES, text)


def _claim(written: Path, path: Path) -> Path:
    """Give a file its name. Raises FileExistsError if there is one already, or another OSError."""
    try:
        os.link(written, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: nobody else has the empty file that is made and then replaced
        os.close(os.open(path, _EXCLUSIVE, 0o600))
        os.replace(written, path)
    return path


def _unwritable(folder: Path, error: OSError) -> CommandFailed:
    if error.errno in _NO_ROOM:
        return CommandFailed(Exit.FILES, f"The disk of {folder} is full: make room, or choose another with --output.")
    return CommandFailed(Exit.FILES, f"Cannot write to {folder} ({error.strerror}): choose another with --output.")
