"""What is to be sent, as a named stream of known size: one file as it is, a folder or several files as a tar."""

from __future__ import annotations

import io
import mimetypes
import os
import stat
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import attrs

from .exits import CommandFailed, Exit

CHUNK = 1 << 20
STDIN = "-"
_PAGE = 1 << 16  # the largest of any system
_PACKED = ("audio/", "video/", "image/")  # compressed already
_BLOCK = tarfile.BLOCKSIZE
_TAR_END = 2 * _BLOCK


@attrs.frozen
class Source:
    """``chunks`` yields exactly ``size`` bytes, or raises :class:`CommandFailed`. ``skipped`` stays behind."""

    name: str
    size: int
    chunks: Callable[[], Iterator[bytes]]
    skipped: tuple[str, ...] = ()

    @property
    def is_packed(self) -> bool:
        """Would compressing it again only cost time?"""
        kind, encoding = mimetypes.guess_type(self.name)
        return encoding is not None or (kind or "").startswith(_PACKED)


def open_source(paths: Sequence[str]) -> Source:
    """The source for what was named on the command line. Raises :class:`CommandFailed`."""
    if not paths:
        raise CommandFailed(Exit.USAGE, "Nothing to send: name a file, several, a folder, or - for the standard input.")
    if STDIN in paths:
        if len(paths) > 1:
            raise CommandFailed(Exit.USAGE, "- cannot be sent together with files: send it alone.")
        if sys.stdin is None:
            raise CommandFailed(Exit.FILES, "The standard input is closed: let there be one, or name a file.")
        return _spooled(sys.stdin.buffer, "stdin")
    for path in paths:
        if path.startswith("-") and not os.path.lexists(path):
            raise CommandFailed(Exit.USAGE, f"{path!r} is neither an option nor a file: see sansproto send --help.")
    try:
        if len(paths) == 1 and not os.path.isdir(paths[0]):
            return _one_file(paths[0])
        return _tar(paths)
    except OSError as error:
        raise _unreadable(error.filename or paths[0], error) from error


def _one_file(path: str) -> Source:
    name = os.path.basename(os.path.abspath(path))
    with open(path, "rb") as file:  # can it be read? To learn that when somebody waits for it would be late
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size <= _PAGE:  # 0 in /proc and a page in /sys say nothing
            return _spooled(file, name)
    return Source(name, found.st_size, lambda: _read(path, found.st_size))


def _spooled(stream: IO[bytes], name: str) -> Source:
    """The format tells the size first: what has none is copied, to a file without a name if it is large."""
    try:
        with ExitStack() as stack:
            spool = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=CHUNK))
            while chunk := _next_chunk(stream, name):
                spool.write(chunk)
            size = spool.tell()
            spool.seek(0)
            opened = stack.pop_all()
    except OSError as error:
        raise CommandFailed(
            Exit.FILES, f"Cannot keep {name} in a temporary file ({error.strerror}): let TMPDIR be another folder."
        ) from error

    def chunks() -> Iterator[bytes]:
        with opened:
            yield from _exactly(spool, size, name)

    return Source(name, size, chunks)


def _next_chunk(stream: IO[bytes], name: str) -> bytes:
    try:
        return stream.read(CHUNK)
    except OSError as error:
        raise _unreadable(name, error) from error


def _read(path: str, size: int) -> Iterator[bytes]:
    try:
        with open(path, "rb", buffering=0) as file:
            yield from _exactly(file, size, path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _exactly(file: IO[bytes], size: int, name: str) -> Iterator[bytes]:
    """The first ``size`` bytes of a file: what is appended meanwhile is not sent."""
    while size:
        chunk = file.read(min(CHUNK, size))
        if not chunk:
            text = f"{name} became shorter while it was sent, or never was as long as it claims: send it again, alone."
            raise CommandFailed(Exit.FILES, text)
        size -= len(chunk)
        yield chunk


# -- tar ---------------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Entry:
    header: bytes
    path: str
    size: int  # of the contents, 0 for all but regular files


def _tar(paths: Sequence[str]) -> Source:
    """A tar whose size is known before any contents are read: no copy of it is ever made."""
    roots = {os.path.basename(os.path.abspath(path)) or "root": _followed(path) for path in paths}
    if len(roots) < len(paths):
        raise CommandFailed(Exit.USAGE, "Two of these have the same name: send them one by one.")
    entries: list[_Entry] = []
    skipped: list[str] = []
    with tarfile.open(fileobj=io.BytesIO(), mode="w") as tar:  # it is never written: it makes the headers
        for name, root in roots.items():
            for path in _walk(root):
                inside = name if path == root else os.path.join(name, os.path.relpath(path, root))
                _add(tar, path, inside, entries, skipped)
    size = sum(len(entry.header) + entry.size + -entry.size % _BLOCK for entry in entries) + _TAR_END
    name = f"{next(iter(roots))}.tar" if len(roots) == 1 else "files.tar"
    return Source(name, size, lambda: _tar_chunks(entries), tuple(skipped))


def _followed(path: str) -> str:
    """Links are sent as links, but not those that the user named: nothing would be behind them."""
    return os.path.realpath(path) if os.path.islink(path) else path


def _walk(path: str) -> Iterator[str]:
    """A path and all below it, in an order that does not depend on the disk."""
    yield path
    if os.path.isdir(path) and not os.path.islink(path):
        for name in sorted(os.listdir(path)):
            yield from _walk(os.path.join(path, name))


def _add(tar: tarfile.TarFile, path: str, name: str, entries: list[_Entry], skipped: list[str]) -> None:
    info = tar.gettarinfo(path, name)
    if info is None or info.isdev():  # a socket, a pipe or a device
        skipped.append(path)
        return
    info.uid = info.gid = 0  # whose it is here means nothing there
    info.uname = info.gname = ""
    if info.isreg() and not os.access(path, os.R_OK):
        raise PermissionError(13, "Permission denied", path)
    header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    entries.append(_Entry(header, path, info.size if info.isreg() else 0))


def _tar_chunks(entries: list[_Entry]) -> Iterator[bytes]:
    """The tar, in pieces of some size: thousands of small files must not become thousands of small writes."""
    pending = bytearray()
    for entry in entries:
        pending += entry.header
        if entry.size:
            for chunk in _read(entry.path, entry.size):
                pending += chunk
                if len(pending) >= CHUNK:
                    yield bytes(pending)
                    pending.clear()
            pending += bytes(-entry.size % _BLOCK)
    yield bytes(pending) + bytes(_TAR_END)


def _unreadable(path: str | Path, error: OSError) -> CommandFailed:
    return CommandFailed(Exit.FILES, f"Cannot read {path} ({error.strerror}): check the name and its permissions.")
