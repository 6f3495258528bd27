"""Keys of nodes and mailbox servers: 64 hexadecimal digits, in files that only their owner may read."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from sansproto.egtp import KeyPair
from sansproto.egtp.crypto import is_key

from .exits import CommandFailed, Exit
from .files import write_new

_SIZE = 32
_MOST = 200  # bytes of a file that may be one


def read_key(path: Path, *, make: bool = False) -> tuple[KeyPair, bool]:
    """The key in a file; ``make`` makes one if there is no file. The second value says whether it did."""
    try:
        if make and not os.path.lexists(path):
            private = secrets.token_bytes(_SIZE)
            with suppress(FileExistsError):  # somebody else has made one just now
                write_new(path, private.hex().encode() + b"\n")
                return KeyPair.of(private), True
        with path.open("rb") as found:
            data = found.read(_MOST)
    except FileNotFoundError as error:
        known = f"There is no {path}: make it with sansproto egtp key {path}."
        text = f"There is no folder {path.parent}: name a file in one that is there." if make else known
        raise CommandFailed(Exit.FILES, text) from error
    except OSError as error:
        text = f"Cannot use {path} ({error.strerror}): name another file."
        raise CommandFailed(Exit.FILES, text) from error
    return KeyPair.of(_parse(data, path)), False


def is_open_to_others(path: Path) -> bool:
    """Can others on this computer read it?"""
    return os.name == "posix" and bool(path.stat().st_mode & 0o077)


def parse_public_key(text: str, what: str) -> bytes:
    """64 hexadecimal digits."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(text) != 2 * _SIZE or not is_key(key):
        raise CommandFailed(
            Exit.USAGE, f"That is no public key of a {what}: give the 64 digits that sansproto egtp key prints."
        )
    return key


def _parse(data: bytes, path: Path) -> bytes:
    text = data.strip()
    if len(text) == 2 * _SIZE:
        try:
            return bytes.fromhex(text.decode("ascii"))
        except ValueError:
            pass
    raise CommandFailed(Exit.FILES, f"{path} is no key of EGTP: name another file, or one that is not there yet.")
