"""Folders that arrive as a tar: unpacked beside their place, and put there when all of it is sound.

Nothing but files and folders is made while anything is written, so that no path leads elsewhere; links come last, and
only those that stay inside. What tarfile's own filter refuses is refused, too.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tarfile
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from math import inf
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast

from .exits import CommandFailed, Exit
from .files import EXCLUSIVE, Preserved, unwritable
from .names import candidates, for_windows, numbered
from .shown import shown_name

R = TypeVar("R")

MOST = 500_000
"""Files, folders and links in one archive."""

DEEPEST = 200
"""Folders in each other there, and a file in the last one."""

_NAMES = 1 << 28  # bytes of all names, and of where links lead, which are remembered
_COPY = 1 << 18
_LONGEST = 1 << 20  # bytes that are read at once: headers that are longer are none of ours
_TOLD = 8


class UnpackedFolder:
    """A hidden folder in ``folder``, for what an archive holds, that :meth:`keep` gives its name.

    ``single`` if there is one folder in it, which is the one that is meant. ``warn`` is told what was left out,
    ``check`` is called often and may raise.
    """

    def __init__(
        self, folder: Path, *, single: bool, preserve: bool, warn: Callable[[str], None], check: Callable[[], None]
    ) -> None:
        self._folder, self._single = folder, single
        self._path = folder / f".sansproto-{secrets.token_hex(8)}.part"
        self._preserve, self._warn, self._check = preserve, warn, check
        self._places: dict[str, Path] = {"": self._path}  # of the folders that were made, by their names in the archive
        self._files: dict[str, Path] = {}
        self._links: list[tarfile.TarInfo] = []
        self._folders: list[tuple[Path, Preserved]] = []
        self._numbers: dict[tuple[Path, str], int] = {}  # the next one for names that are one in a folder
        self._warnings = self._named = self._copied = 0
        self._size = 0  # of the archive

    def unpack(self, archive: Path) -> None:
        """Raises :class:`CommandFailed` for an archive that is none, or that no honest sender makes."""
        try:
            with open(archive, "rb") as raw:
                self._size = os.fstat(raw.fileno()).st_size
                guarded = _Guarded(raw)
                with tarfile.open(fileobj=cast(IO[bytes], guarded), mode="r:") as tar:
                    self._unpack_all(tar, guarded)
            for link in self._links:
                self._link(link)
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            raise _refused("something that is no archive") from error
        except OSError as error:
            raise unwritable(self._folder, error) from error

    def keep(self, name: str) -> Path:
        """Give it this name, or ``name (1)``; if ``single``, to the only folder in it, when that is all there is."""
        inside = list(self._path.iterdir())
        is_alone = self._single and len(inside) == 1 and inside[0].is_dir() and not inside[0].is_symlink()
        written = inside[0] if is_alone else self._path
        try:
            for candidate in numbered(name):
                with suppress(FileExistsError):
                    return self._settle(written, _claim_folder(written, self._folder / candidate))
        except OSError as error:
            raise unwritable(self._folder, error) from error
        raise AssertionError("there is always another candidate")

    def _settle(self, written: Path, path: Path) -> Path:
        """Permissions and times of folders come when nothing is written or moved any more, the innermost first."""
        if written == self._path:
            Preserved(mode=0o777).apply(path)
        for folder, preserved in reversed(self._folders):
            preserved.apply(path / folder.relative_to(written))
        return path

    def __enter__(self) -> Self:
        try:
            os.mkdir(self._path, 0o700)
        except OSError as error:
            raise unwritable(self._folder, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self._path, ignore_errors=True)

    # -- members

    def _unpack_all(self, tar: tarfile.TarFile, guarded: _Guarded) -> None:
        number = 0
        while (member := guarded.in_headers(tar.next)) is not None:
            self._check()
            number += 1
            if number > MOST:
                raise _refused(f"more than {MOST:,} files")
            self._unpack_member(tar, member)
            kept = cast(Any, tar)
            kept.members.clear()  # for who asks for one by its name
            kept.pax_headers.clear()  # those for all that follows: none of ours has any, and they would add up

    def _unpack_member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = _parts(member.name)
        self._named += len(member.name) + len(member.linkname)
        if self._named > _NAMES:
            raise _refused("names that are too long")
        if not (member.isdir() or member.isreg() or member.issym() or member.islnk()):
            raise _refused("a device or a pipe")
        if member.issparse():
            raise _refused("a file with holes")
        if member.issym():
            self._links.append(member)
            return
        key = "/".join(parts)
        if not member.islnk() and hasattr(tarfile, "data_filter"):  # as Python has since 3.11.4
            tarfile.data_filter(member, str(self._path))
        if member.isdir():
            self._folders.append((self._make_folder(parts), self._preserved(member)))
            return
        if key in self._files or key in self._places:
            raise _refused("the same name twice")
        parent = self._make_folder(parts[:-1])
        if member.islnk():
            self._files[key] = self._copy(member, parent, parts[-1])
        else:
            self._files[key] = self._write(tar, member, parent, parts[-1])

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, parent: Path, name: str) -> Path:
        descriptor, path = self._create(parent, name)
        contents = tar.extractfile(member)
        assert contents is not None  # it is a regular file
        if self._fill(descriptor, contents) != member.size:
            raise _refused("a file that is cut off")
        self._preserved(member).apply(path)
        return path

    def _fill(self, descriptor: int, contents: IO[bytes]) -> int:
        """How many bytes there were."""
        with os.fdopen(descriptor, "wb") as file:
            while piece := contents.read(_COPY):
                self._check()
                file.write(piece)
            return file.tell()

    def _copy(self, member: tarfile.TarInfo, parent: Path, name: str) -> Path:
        """Of a hard link: a second name of a file that came before, and of nothing else."""
        source = self._files.get("/".join(_parts(member.linkname)))
        if source is None:
            raise _refused("a link to something else")
        with suppress(OSError):  # a file system without links, or with too many of this file
            return self._first(parent, name, lambda path: _link_to(source, path))[1]
        descriptor, path = self._create(parent, name)
        with open(source, "rb") as contents:
            found = os.fstat(contents.fileno())
            self._copied += found.st_size
            if self._copied > self._size:
                raise _refused("links that would be copies here, of more bytes than it has itself")
            self._fill(descriptor, contents)
        Preserved(found.st_mode, found.st_mtime_ns).apply(path)
        return path

    def _link(self, member: tarfile.TarInfo) -> None:
        parts = _parts(member.name)
        if not _stays_inside(member.linkname, len(parts) - 1 - self._single):
            self._leave_out(f"{shown_name(member.name)} is a link to outside of the folder: left out.")
            return
        parent = self._make_folder(parts[:-1])

        def make(path: Path) -> int:
            os.symlink(member.linkname, path)
            return 0

        try:
            self._first(parent, parts[-1], make)
        except (OSError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or "no links here"
            self._leave_out(f"{shown_name(member.name)} is a link that cannot be made here ({why}): left out.")

    def _leave_out(self, text: str) -> None:
        self._warnings += 1
        if self._warnings <= _TOLD:
            self._warn(text + (" Further ones are not reported." if self._warnings == _TOLD else ""))

    # -- places

    def _make_folder(self, parts: list[str]) -> Path:
        path = self._path
        for depth, name in enumerate(parts, 1):
            key = "/".join(parts[:depth])
            if key in self._files:
                raise _refused("a file that is a folder, too")
            if key not in self._places:
                self._places[key] = self._first(path, name, _mkdir)[1]
                if len(self._places) - 1 > MOST:  # one is ours
                    raise _refused(f"more than {MOST:,} folders")
            path = self._places[key]
        return path

    def _create(self, parent: Path, name: str) -> tuple[int, Path]:
        """A new file: where two names are one, as without upper case, the second gets a number."""
        return self._first(parent, name, lambda path: os.open(path, EXCLUSIVE, 0o600))

    def _first(self, parent: Path, name: str, make: Callable[[Path], int]) -> tuple[int, Path]:
        refusal: OSError | None = None
        for candidate in chain([_stored(name)], candidates(_stored(name))):
            key = parent, unicodedata.normalize("NFC", candidate).casefold()
            first = self._numbers.get(key, 1)
            for number, free in enumerate(numbered(candidate, first), first):
                try:
                    made = make(parent / free)
                except FileExistsError:
                    continue
                except OSError as error:
                    refusal = error
                    break
                if number > first:
                    self._numbers[key] = number
                if free != name:
                    text = f"{shown_name(name)} cannot be stored under that name here: it is {shown_name(free)}."
                    self._leave_out(text)
                return made, parent / free
        raise refusal or OSError(0, "no name can be stored")

    def _preserved(self, member: tarfile.TarInfo) -> Preserved:
        if not self._preserve:
            return Preserved(mode=0o777 if member.isdir() else 0o666)
        return Preserved(mode=member.mode, modified=int(member.mtime * 1_000_000_000))


class _Guarded:
    """A file of which headers are no more than so much: how long they are says the sender."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read
        self._left: float = _LONGEST  # bytes that may be read

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._left:
            raise tarfile.ReadError("headers that are too long")
        self._left -= size
        return self._read(size)

    def in_headers(self, read: Callable[[], R]) -> R:
        """Within the call headers are read, and outside of it contents."""
        self._left = _LONGEST
        try:
            return read()
        finally:
            self._left = inf


def _stored(name: str) -> str:
    """Of a component: it is not changed but for control characters, and where this is Windows."""
    name = "".join("_" if unicodedata.category(char) == "Cc" else char for char in name)
    return for_windows(name) if sys.platform == "win32" else name


def _parts(name: str) -> list[str]:
    """Of a path that stays inside: raises CommandFailed for any other."""
    parts = [part for part in name.rstrip("/").split("/") if part != "."] if name else []
    if not parts or len(parts) > DEEPEST:
        raise _refused("an invalid path")
    if not {"", ".."}.isdisjoint(parts):
        raise _refused("a path to outside of the folder")
    return parts


def _stays_inside(target: str, depth: int) -> bool:
    """Does a link in a folder of this depth lead nowhere else? It may go up first, and then only down.

    Its folder is a real one, and what it passes on the way down are folders, or links of which the same is true.
    """
    steps = target.split("/")
    up = next((at for at, step in enumerate(steps) if step != ".."), len(steps))
    return bool(target) and up <= depth and not any(step in ("", "..") or "\\" in step for step in steps[up:])


def _link_to(source: Path, path: Path) -> int:
    os.link(source, path)
    return 0


def _mkdir(path: Path) -> int:
    os.mkdir(path, 0o700)
    return 0


def _claim_folder(written: Path, path: Path) -> Path:
    """Give a folder its name. Raises FileExistsError if there is something of that name, or another OSError."""
    if sys.platform == "win32":
        os.rename(written, path)  # which never replaces anything there
        return path
    os.mkdir(path, 0o700)  # an empty one is what a folder can replace, and nothing else
    try:
        os.rename(written, path)
    except OSError:
        os.rmdir(path)
        raise
    return path


def _refused(what: str) -> CommandFailed:
    text = f"The archive holds {what}: nothing was kept. If you trust the sender, use --keep-tar to keep it packed."
    return CommandFailed(Exit.DAMAGED, text)
