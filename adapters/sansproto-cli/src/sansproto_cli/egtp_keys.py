"""The keys of nodes and mailbox servers."""

from __future__ import annotations

from pathlib import Path

from sansproto.egtp import KeyPair
from sansproto.egtp.crypto import is_key

from .key_files import PublicKeys, read_secrets

COMMAND = "sansproto egtp key"
PUBLIC_KEYS = PublicKeys(COMMAND, is_key)


def read_key(path: Path, *, make: bool = False) -> tuple[KeyPair, bool]:
    """The key in a file; ``make`` makes one if there is no file. The second value says whether it did."""
    (private,), is_new = read_secrets(path, 1, "EGTP", COMMAND, make=make)
    return KeyPair.of(private), is_new
