"""What is to be sent: a file as it is, a folder or several files as a tar, a pipe as it comes, a text.

Files are looked at twice: when the command starts, so that whoever waits waits for something that can be read, and when
the transfer does. What counts is the second look. A file that differs from it afterwards is an error.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import queue
import stat
import sys
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import IO

import attrs

from .about import file_members
from .exits import CommandFailed, Exit
from .output import MAX_TEXT
from .shown import shown_name
from .unpacking import DEEPEST, MOST

CHUNK = 1 << 20
STDIN = "-"
_UNTOLD = (0, mmap.PAGESIZE)  # sizes that say nothing in /proc and in /sys
_PIECE = 1 << 16  # bytes of a pipe that are read at once
_AHEAD = 16  # of these pieces
_PATIENCE = 0.1  # seconds until it is told that there is nothing to read
_BLOCK = tarfile.BLOCKSIZE
_TAR_END = 2 * _BLOCK
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_READ = os.O_RDONLY | _NO_WAIT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@attrs.frozen
class Contents:
    """``chunks`` yields exactly ``size`` bytes, and nothing if there is something to wait for; it, and ``check`` behind
    it, raise :class:`CommandFailed` if a file has changed since it was looked at. A ``size`` of None is not known.
    ``skipped`` stays behind; ``about`` is what a receiver of ours is told besides."""

    size: int | None
    chunks: Iterator[bytes]
    check: Callable[[], None] = lambda: None
    skipped: tuple[str, ...] = ()
    about: Mapping[str, object] = MappingProxyType({"kind": "file"})


@attrs.frozen
class Source:
    """``found`` is of the first look. ``look`` looks again; it may raise :class:`CommandFailed`. ``spool`` gives what
    has no known size one, as the original needs it, and calls its argument while it waits."""

    name: str
    found: Contents
    look: Callable[[], Contents]
    spool: Callable[[Callable[[], None]], Contents] | None = None

    def named(self, name: str) -> Source:
        """The same under another name, which an archive keeps its ending behind."""
        is_archive = self.found.about.get("kind") in ("folder", "files")
        return attrs.evolve(self, name=f"{name}.tar" if is_archive and not name.endswith(".tar") else name)


def text_source(text: str) -> Source:
    """A text that is shown at the other end. Raises :class:`CommandFailed`."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise CommandFailed(Exit.USAGE, "The text is not UTF-8: send it as a file.") from None
    if len(data) > MAX_TEXT:
        raise CommandFailed(Exit.USAGE, f"The text has more than {MAX_TEXT:,} bytes: send it as a file.")

    def look() -> Contents:
        return Contents(len(data), iter([data] if data else []), about={"kind": "text"})

    return Source("text.txt", look(), look)


def open_source(paths: Sequence[str]) -> Source:
    """The source for what was named on the command line. Raises :class:`CommandFailed`."""
    if not paths:
        text = "Nothing to send: name a file, several, a folder, - for the standard input, or add --text."
        raise CommandFailed(Exit.USAGE, text)
    if STDIN in paths:
        if len(paths) > 1:
            raise CommandFailed(Exit.USAGE, "- cannot be sent together with files: send it alone.")
        if sys.stdin is None:
            raise CommandFailed(Exit.FILES, "The standard input is closed: open it, or name a file.")
        return _pipe("stdin", "the standard input", lambda: 0)
    for number, path in enumerate(paths, 1):
        if path.startswith("-") and not os.path.lexists(path):
            text = f"Name {number} behind send is neither an option nor a file: see sansproto send --help."
            raise CommandFailed(Exit.USAGE, text)
    with _reading(paths[0]):
        if len(paths) > 1 or os.path.isdir(paths[0]):
            return _tar(paths)
        kind = os.stat(paths[0]).st_mode
        if stat.S_ISSOCK(kind):
            raise CommandFailed(Exit.FILES, f"{paths[0]} is a socket: name a file, a folder or a pipe.")
        if not stat.S_ISREG(kind):  # a pipe or a device
            if not os.access(paths[0], os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return _pipe(_base(paths[0]), paths[0], partial(os.open, paths[0], _READ & ~_NO_WAIT))
    return Source(_base(paths[0]), _one_file(paths[0]), lambda: _one_file(paths[0]))


def _base(path: str) -> str:
    return os.path.basename(os.path.abspath(path))


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """What the system refuses here is about this file, or about the one that it names."""
    try:
        yield
    except OSError as error:
        raise _unreadable(error.filename or path, error) from error


def _unreadable(path: str | Path, error: OSError) -> CommandFailed:
    def text(name: str | Path) -> str:
        return f"Cannot read {shown_name(str(name))} ({error.strerror}): check the name and its permissions."

    return CommandFailed(Exit.FILES, text(path), text(os.path.basename(path)))


# -- streams -----------------------------------------------------------------------------------------------------------


def _pipe(name: str, shown: str, opened: Callable[[], int]) -> Source:
    """It is read when somebody wants it: how much there is nobody knows."""
    reader = _Reader(shown, opened)
    unknown = Contents(None, reader.chunks())

    def spool(watch: Callable[[], None]) -> Contents:
        return _spooled(reader.read_on(watch), name)

    return Source(name, unknown, lambda: unknown, spool)


class _Reader:
    """Opens and reads a pipe in a thread, since nothing can interrupt that, no further ahead than a few pieces."""

    def __init__(self, shown: str, opened: Callable[[], int]) -> None:
        self._shown, self._opened = shown, opened
        self._pieces = queue.Queue[bytes | OSError](_AHEAD)
        self._thread = threading.Thread(target=self._read, name="input", daemon=True)

    def chunks(self) -> Iterator[bytes]:
        self._thread.start()
        while True:
            try:
                piece = self._pieces.get(timeout=_PATIENCE)
            except queue.Empty:
                yield b""
                continue
            if isinstance(piece, OSError):
                raise _unreadable(self._shown, piece) from piece
            if not piece:
                return
            yield piece

    def read_on(self, watch: Callable[[], None]) -> Callable[[], bytes]:
        """For who wants pieces alone: ``watch`` is called where there is none."""
        chunks = self.chunks()

        def read() -> bytes:
            for chunk in chunks:
                if chunk:
                    return chunk
                watch()
            return b""

        return read

    def _read(self) -> None:
        try:
            descriptor, piece = self._opened(), b"?"
            while piece:
                piece = os.read(descriptor, _PIECE)
                self._pieces.put(piece)
        except OSError as error:
            self._pieces.put(error)


def _spooled(read: Callable[[], bytes], name: str) -> Contents:
    """The format tells the size first: what has none is copied, to a file without a name if it is large."""
    try:
        with ExitStack() as stack:
            spool = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=CHUNK))
            while chunk := read():
                spool.write(chunk)
            size = spool.tell()
            spool.seek(0)
            opened = stack.pop_all()
    except OSError as error:
        raise CommandFailed(
            Exit.FILES, f"Cannot keep {name} in a temporary file ({error.strerror}): set TMPDIR to another folder."
        ) from error

    def chunks() -> Iterator[bytes]:
        with opened:
            while chunk := spool.read(CHUNK):
                yield chunk

    return Contents(size, chunks())


def _next_chunk(stream: IO[bytes], name: str) -> bytes:
    with _reading(name):
        return stream.read(CHUNK)


# -- files -------------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Seen:
    """What tells a file from another one, and from itself after a change."""

    size: int
    modified: int  # nanoseconds
    device: int
    inode: int
    mode: int = attrs.field(eq=False)

    @classmethod
    def of(cls, found: os.stat_result) -> _Seen:
        return cls(found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino, found.st_mode)


@attrs.frozen
class _File:
    """A regular file at its second look, or what is told of it at the first.

    ``generated`` has the contents of one that the system makes up when it is read: its size and times say nothing.
    """

    path: str
    seen: _Seen
    generated: Contents | None = None

    @classmethod
    def look(cls, path: str) -> _File:
        """Open it, to find out whether that goes. May raise OSError."""
        with _open(path) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise CommandFailed(Exit.FILES, f"{path} is not a file any more: start again.")
            seen = _Seen.of(found)
            if seen.size in _UNTOLD:
                contents = _spooled(partial(_next_chunk, file, path), path)
                if contents.size != seen.size and seen == _Seen.of(os.fstat(file.fileno())):
                    return cls(path, seen, contents)
                for _ in contents.chunks:
                    pass  # behind the last one the copy is closed
        return cls(path, seen)

    @property
    def size(self) -> int:
        return self.seen.size if self.generated is None else self.generated.size or 0

    def chunks(self) -> Iterator[bytes]:
        if self.generated is not None:
            yield from self.generated.chunks
            return
        with _reading(self.path), self._opened() as file:
            left = self.size
            while left:
                chunk = file.read(min(CHUNK, left))
                if not chunk:
                    raise self._changed()
                left -= len(chunk)
                yield chunk
            if _Seen.of(os.fstat(file.fileno())) != self.seen:
                raise self._changed()
        self.check()

    def check(self) -> None:
        """Raise :class:`CommandFailed` if the path is not that of the same file, unchanged."""
        if self.generated is None:
            found = None
            with suppress(OSError):
                found = _Seen.of(os.stat(self.path))
            if found != self.seen:
                raise self._changed()

    def _opened(self) -> IO[bytes]:
        """The file, if it is the one that was looked at: another one may be of any size, or have no end."""
        try:
            file = _open(self.path)
        except FileNotFoundError:
            raise self._changed() from None
        if _Seen.of(os.fstat(file.fileno())) != self.seen:
            file.close()
            raise self._changed()
        return file

    def _changed(self) -> CommandFailed:
        text = "changed while it was sent: send it again when it is at rest."
        return CommandFailed(Exit.FILES, f"{self.path} {text}", f"{os.path.basename(self.path)} {text}")


def _open(path: str) -> IO[bytes]:
    """Without waiting for anybody, should it be a pipe now."""
    return open(path, "rb", buffering=0, opener=lambda name, _: os.open(name, _READ))


def _one_file(path: str) -> Contents:
    with _reading(path):
        file = _File.look(path)
    about = file_members(file.seen.mode, file.seen.modified)
    return Contents(file.size, file.chunks(), file.check, about=about)


# -- tar ---------------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Entry:
    header_size: int
    packed: bytes  # the header, of which nearly all are zeros: there may be many
    file: _File | None  # of all but regular files there is the header alone


def _tar(paths: Sequence[str]) -> Source:
    roots = [_base(path) or "root" for path in paths]
    if len({*roots}) < len(paths):
        raise CommandFailed(Exit.USAGE, "Two of these have the same name: send them one by one.")

    def look() -> Contents:
        with _reading(paths[0]):
            return _walked(dict(zip(roots, map(_followed, paths), strict=True)), kind)

    kind = "folder" if len(roots) == 1 else "files"
    found = attrs.evolve(look(), chunks=iter(()), check=lambda: None)  # nothing of all these files is kept until then
    return Source(f"{roots[0]}.tar" if len(roots) == 1 else "files.tar", found, look)


def _walked(roots: Mapping[str, str], kind: str) -> Contents:
    """A tar whose size is known before any contents are read: no copy of it is ever made."""
    entries: list[_Entry] = []
    skipped: list[str] = []
    with tarfile.open(fileobj=io.BytesIO(), mode="w") as tar:  # it is never written: it makes the headers
        for name, root in roots.items():
            for path in _walk(root):
                inside = name if path == root else os.path.join(name, os.path.relpath(path, root))
                _add(tar, path, inside, entries, skipped)
                if len(entries) > MOST or inside.count(os.sep) >= DEEPEST:
                    text = f"holds more than {MOST:,} files or {DEEPEST} folders in each other: pack it, and send that."
                    raise CommandFailed(Exit.FILES, f"{root} {text}", f"{name} {text}")
    files = [entry.file for entry in entries if entry.file is not None]
    size = sum(entry.header_size for entry in entries) + sum(file.size + -file.size % _BLOCK for file in files)

    def check() -> None:
        for file in files:
            file.check()

    return Contents(size + _TAR_END, _tar_chunks(entries), check, tuple(skipped), {"kind": kind})


def _followed(path: str) -> str:
    """Links are sent as links, but not those that the user named: nothing would be behind them."""
    return os.path.realpath(path) if os.path.islink(path) else path


def _walk(path: str) -> Iterator[str]:
    """A path and all below it, in an order that does not depend on the disk."""
    todo = [path]
    while todo:
        yield (path := todo.pop())
        if os.path.isdir(path) and not os.path.islink(path):
            todo += (os.path.join(path, name) for name in sorted(os.listdir(path), reverse=True))


def _add(tar: tarfile.TarFile, path: str, name: str, entries: list[_Entry], skipped: list[str]) -> None:
    info = tar.gettarinfo(path, name)
    if info is None or info.isdev():  # a socket, a pipe or a device
        skipped.append(path)
        return
    info.uid = info.gid = 0  # whose it is here means nothing there
    info.uname = info.gname = ""
    file = None
    if info.isreg():
        file = _File.look(path)
        info.size, info.mtime = file.size, file.seen.modified / 1e9
    header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    entries.append(_Entry(len(header), zlib.compress(header, 1), file))


def _tar_chunks(entries: list[_Entry]) -> Iterator[bytes]:
    """The tar, in pieces of some size: thousands of small files must not become thousands of small writes."""
    pending = bytearray()
    for entry in entries:
        chunks = () if entry.file is None else entry.file.chunks()
        padding = b"" if entry.file is None else bytes(-entry.file.size % _BLOCK)
        for piece in chain([zlib.decompress(entry.packed)], chunks, [padding]):
            pending += piece
            if len(pending) >= CHUNK:
                yield bytes(pending)
                pending.clear()
    yield bytes(pending) + bytes(_TAR_END)
