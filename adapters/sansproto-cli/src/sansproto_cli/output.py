"""Where what arrives goes: a file, the standard output, a folder that is unpacked, or a text on the screen."""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import attrs

from .exits import CommandFailed, Exit
from .files import IncomingFile, Preserved, check_folder, check_name
from .shown import shown_name
from .signals import at_once
from .unpacking import UnpackedFolder

MAX_TEXT = 65_536
"""Bytes of a text: what is longer is a file."""

_STDOUT = 1


@attrs.frozen
class Target:
    """What the user chose: a folder, a file in it that is not there yet, or the standard output."""

    folder: Path = Path(".")
    file: str = ""
    is_stdout: bool = False
    was_chosen: bool = False

    @classmethod
    def parse(cls, text: str | None) -> Target:
        """Raises :class:`CommandFailed` if it cannot be written to, or would have to be overwritten."""
        if text is None:
            check_folder(Path("."))
            return cls()
        if text == "-":
            if sys.stdout is None:
                raise CommandFailed(Exit.FILES, "The standard output is closed: let there be one, or name a file.")
            if sys.stdout.isatty():
                text = "-o - would write what somebody sends to this terminal: add > FILE or | less, or leave it out."
                raise CommandFailed(Exit.USAGE, text)
            return cls(is_stdout=True, was_chosen=True)
        if not text:
            raise CommandFailed(Exit.USAGE, "--output is empty: name a folder or a file, or leave it out.")
        path = Path(text)
        is_folder = os.path.isdir(path) or text.endswith(("/", os.sep)) or path.name in ("", "..")
        if not is_folder and os.path.lexists(path):
            raise CommandFailed(
                Exit.FILES, f"There is a file {shown_name(text)} already: nothing is overwritten, choose another name."
            )
        folder, file = (path, "") if is_folder else (path.parent, path.name)
        check_folder(folder)
        if file:
            check_name(folder, file)
        return cls(folder, file, was_chosen=True)


@attrs.frozen
class Kept:
    """Where it is now. ``name`` is what the sender is told, ``text`` is for the screen."""

    path: str
    name: str = ""
    text: str | None = None


class Sink(ExitStack):
    """Takes the contents; what is not finished is gone when it is left. Raises :class:`CommandFailed`."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Take the next ones."""

    @abstractmethod
    def finish(self) -> Kept:
        """All of it is there, and verified."""


class FileSink(Sink):
    """A file that gets this name."""

    def __init__(self, folder: Path, name: str, preserved: Preserved) -> None:
        super().__init__()
        self._name, self._preserved = name, preserved
        self._file = self.enter_context(IncomingFile(folder))

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def finish(self) -> Kept:
        path = self._file.keep(self._name, self._preserved)
        return Kept(str(path), path.name)


class FolderSink(Sink):
    """An archive that is unpacked, once it is there as a whole, to a folder of this name."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        single: bool,
        preserve: bool,
        warn: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        super().__init__()
        self._name = name
        self._archive = self.enter_context(IncomingFile(folder))
        self._unpacked = self.enter_context(
            UnpackedFolder(folder, single=single, preserve=preserve, warn=warn, check=check)
        )

    def write(self, data: bytes) -> None:
        self._archive.write(data)

    def finish(self) -> Kept:
        self._unpacked.unpack(self._archive.path)
        path = self._unpacked.keep(self._name)
        return Kept(str(path), path.name)


class OutputSink(Sink):
    """The standard output: what was written stays, whatever comes."""

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                with at_once():
                    view = view[os.write(_STDOUT, view) :]
            except OSError as error:
                text = f"Cannot write the output ({error.strerror}): what came is not the whole file."
                raise CommandFailed(Exit.FILES, text) from error

    def finish(self) -> Kept:
        return Kept("-")


class TextSink(Sink):
    """A text to be shown."""

    def __init__(self) -> None:
        super().__init__()
        self._data = b""

    def write(self, data: bytes) -> None:
        self._data += data

    def finish(self) -> Kept:
        return Kept("", text=self._data.decode(errors="replace"))
