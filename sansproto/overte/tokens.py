"""What a user has to sign: docs/protocols/overte.rst, usernames.

A token follows from a secret of the server, the name, the address that asks, and the minute. Nothing is kept of it, so
whoever asks under many names takes nothing away from others.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

from ..component import Part
from ..contract import Path
from . import crypto
from .parts import ServerHost

_WINDOW: Final = 60.0
"""Seconds: how long a token is the same. It is good in this window and the next."""

_FRESH: Final = 2
_KNOWN: Final = 10
"""Windows after which a token is no longer told from one that never was."""


class Tokens(Part[ServerHost]):
    """Makes tokens, and knows them again by what was signed."""

    master: bytes

    def __init__(self, host: ServerHost) -> None:
        super().__init__(host)
        self.master = host.draw(32, "token.master")

    def token(self, username: str, path: Path, age: int = 0) -> bytes:
        """16 bytes: what was, or would have been, given out so many windows ago."""
        window = int(self.host.clock // _WINDOW) - age
        parts = (str(window), path.socket, path.host, str(path.port), str(path.scope), username)
        message = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hmac.digest(self.master, message, "sha256")[:16]

    def is_fresh(self, username: str, said: str, path: Path, digest: bytes) -> bool | None:
        """Was a token signed that is good now? None: no token of this user and this address.

        ``digest`` is what the signature is over. The name counts in lower case, as newer texts of the reference have
        it, or as it came (``said``), as older ones do.
        """
        forms = {username.encode("utf-8", "replace"), said.encode("utf-8", "replace")}
        for age in range(_KNOWN):
            token = self.token(username, path, age)
            if any(crypto.are_equal(sha256(form + token).digest(), digest) for form in forms):
                return age < _FRESH
        return None
