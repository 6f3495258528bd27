"""The keys of Tox: who a node is, and how it is found."""

from __future__ import annotations

from pathlib import Path

import attrs

from sansproto.tox import KeyPair
from sansproto.tox.crypto import is_key

from .exits import CommandFailed, Exit
from .key_files import PublicKeys, read_secrets

COMMAND = "sansproto tox key"
PUBLIC_KEYS = PublicKeys(COMMAND, is_key)
RELAY_KEYS = PublicKeys("sansproto tox relay", is_key)


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
    (real, dht), is_new = read_secrets(path, 2, "Tox", COMMAND, make=make)
    return Keys(KeyPair.of(real), KeyPair.of(dht)), is_new


def parse_friend(text: str) -> Friend:
    """``REAL:DHT``."""
    real, colon, dht = text.partition(":")
    if not colon:
        raise CommandFailed(Exit.USAGE, f"That does not name a friend: give REAL:DHT, as {COMMAND} prints it there.")
    return Friend(PUBLIC_KEYS.parse(real, "friend"), PUBLIC_KEYS.parse(dht, "friend"))


def name_of(real: bytes, dht: bytes) -> str:
    return f"{real.hex()}:{dht.hex()}"
