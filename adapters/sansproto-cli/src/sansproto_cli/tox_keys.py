"""The keys of Tox: who a node is, and how it is found."""

from __future__ import annotations

from pathlib import Path

import attrs

from sansproto.tox import KeyPair
from sansproto.tox.crypto import is_key

from . import key_files
from .exits import CommandFailed, Exit

COMMAND = "sansproto tox key"
RELAY_COMMAND = "sansproto tox relay"


@attrs.frozen
class Keys:
    """Both pairs of a node, or of a relay, which is known by the second one."""

    real: KeyPair
    dht: KeyPair

    @property
    def name(self) -> str:
        """What others are told."""
        return name_of(self.real.public, self.dht.public)


@attrs.frozen
class Friend:
    """The public keys of another node."""

    real: bytes
    dht: bytes


def read_keys(path: Path, *, make: bool = False) -> tuple[Keys, bool]:
    """The keys in a file; ``make`` makes them if there is no file. The second value says whether it did."""
    (real, dht), is_new = key_files.read_secrets(path, 2, "Tox", COMMAND, make=make)
    return Keys(KeyPair.of(real), KeyPair.of(dht)), is_new


def parse_friend(text: str) -> Friend:
    """``REAL:DHT``."""
    real, colon, dht = text.partition(":")
    if not colon:
        raise CommandFailed(Exit.USAGE, f"That is no friend: give REAL:DHT, as {COMMAND} prints it there.")
    return Friend(*(checked(key_files.parse_public_key(key, "friend", COMMAND), "friend") for key in (real, dht)))


def checked(key: bytes, what: str) -> bytes:
    """A public key that somebody can have."""
    if not is_key(key):
        raise CommandFailed(Exit.USAGE, f"That is no public key of a {what}: no program has it.")
    return key


def name_of(real: bytes, dht: bytes) -> str:
    return f"{real.hex()}:{dht.hex()}"
