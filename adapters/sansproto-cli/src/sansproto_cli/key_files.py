"""Secret keys in files that only their owner may read, and public keys as people write them: 64 hexadecimal digits."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import attrs

from sansproto.contract import Address

from . import addresses
from .exits import CommandFailed, Exit
from .files import write_new
from .report import JsonReporter, PlainReporter, Reporter, make_reporter

_SIZE = 32
_MOST = 400  # bytes of a file that may be one


def read_secrets(path: Path, count: int, protocol: str, command: str, *, make: bool) -> tuple[list[bytes], bool]:
    """The keys in a file; ``make`` makes them if there is no file. The second value says whether it did.

    ``command`` is what a person types to have them made.
    """
    try:
        if make and not os.path.lexists(path):
            made = [secrets.token_bytes(_SIZE) for _ in range(count)]
            with suppress(FileExistsError):  # somebody else has made it just now
                write_new(path, "".join(f"{key.hex()}\n" for key in made).encode())
                return made, True
        with path.open("rb") as found:
            data = found.read(_MOST)
    except FileNotFoundError as error:
        known = f"There is no {path}: make it with {command} {path}."
        text = f"There is no folder {path.parent}: name a file in an existing one." if make else known
        raise CommandFailed(Exit.FILES, text) from error
    except OSError as error:
        text = f"Cannot use {path} ({error.strerror}): name another file."
        raise CommandFailed(Exit.FILES, text) from error
    keys = [_parse(word) for word in data.decode("ascii", "replace").split()]
    known_keys = [key for key in keys if key is not None]
    if not len(keys) == len(known_keys) == count:
        text = f"{path} does not hold a key of {protocol}: name another file, or one that does not exist yet."
        raise CommandFailed(Exit.FILES, text)
    return known_keys, False


def warn_if_open(path: Path, reporter: Reporter) -> None:
    """Others on this computer should not be able to read it."""
    if os.name == "posix" and path.stat().st_mode & 0o077:
        text = f"Others on this computer can read {path}: chmod 600 it, or make another key."
        reporter.tell("warning", text, reason="key_open", path=str(path))


def tell_keys(path: Path, text: str, *, made: bool, as_json: bool, **public: str) -> None:
    """What a command that shows keys prints. Warnings go beside it."""
    warn_if_open(path, make_reporter(as_json=as_json, beside=True))
    printing = JsonReporter(sys.stdout) if as_json else PlainReporter(sys.stdout, sys.stderr)
    printing.tell("key", text, **public, made=made)


@attrs.frozen
class PublicKeys:
    """Public keys of one protocol."""

    command: str
    """What a person types to see one."""
    is_key: Callable[[bytes], bool]
    """Can anybody have it?"""

    def parse(self, text: str, what: str) -> bytes:
        """64 hexadecimal digits. Raises CommandFailed."""
        key = _parse(text)
        if key is not None and not self.is_key(key):
            usage = f"These 64 digits are not a public key of a {what}: copy again what {self.command} prints."
            raise CommandFailed(Exit.USAGE, usage)
        if key is None:
            usage = f"That is not a public key of a {what}: give the 64 digits that {self.command} prints."
            raise CommandFailed(Exit.USAGE, usage)
        return key

    def parse_server(self, text: str, what: str, example: str, *, find: bool = True) -> tuple[bytes, Address]:
        """``PUBLICKEY@HOST:PORT``. Raises CommandFailed for what is none, or if its name is not known.

        Without ``find`` the name stays one, and is not looked up.
        """
        key, at, where = text.partition("@")
        if not at:
            raise CommandFailed(Exit.USAGE, f"That does not name a {what}: give PUBLICKEY@HOST:PORT, as it printed it.")
        public = self.parse(key, what)
        host, port = addresses.parse_bound(where, what, example)
        if not find:
            return public, Address(host, port)
        return public, Address(*addresses.find(host, port, socket.SOCK_STREAM))


def _parse(digits: str) -> bytes | None:
    with suppress(ValueError):
        key = bytes.fromhex(digits)
        if len(key) == _SIZE and len(digits) == 2 * _SIZE:
            return key
    return None
