"""The keys of gateways and joiners."""

from __future__ import annotations

from pathlib import Path

from sansproto.freenet import KeyPair
from sansproto.freenet.crypto import is_key

from .key_files import PublicKeys, read_secrets

COMMAND = "sansproto freenet key"
PUBLIC_KEYS = PublicKeys(COMMAND, is_key)


def read_key(path: Path, *, make: bool = False) -> tuple[KeyPair, bool]:
    """The key in a file; ``make`` makes one if there is no file. The second value says whether it did."""
    (secret,), is_new = read_secrets(path, 1, "Freenet", COMMAND, make=make)
    return KeyPair.of(secret), is_new
