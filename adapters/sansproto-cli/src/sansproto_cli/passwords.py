"""Passwords that can be said over the phone, and not be guessed."""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mnemonic import Mnemonic

from .exits import CommandFailed, Exit

_LONGEST = 4096  # bytes of a line

WORDS = 5
"""Of a list of 2048 (BIP 39: no two begin with the same four letters), so 55 bits. The exchange gives an attacker no
way to try passwords offline, and the sender answers few wrong ones."""


def generate() -> str:
    """A new password, such as ``marble-acoustic-tunnel-wise-ladder``."""
    words = Mnemonic("english").wordlist
    return "-".join(secrets.choice(words) for _ in range(WORDS))


class TooManyWords(Exception):
    """Words behind ``receive`` that are no password of ours, and more than one."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        super().__init__("too many words")


def choose(password: str | None, file: Path | None) -> tuple[str, str | None]:
    """A sender's password, and what may be shown of it: who chose one knows it, and others may see the screen."""
    own = given((), password, file)
    secret = own or generate()
    if not is_showable(secret):
        raise CommandFailed(
            Exit.USAGE, "The password has a character that cannot be shown and typed, such as a tab: choose another."
        )
    return secret, None if own else secret


def given(words: Sequence[str], password: str | None, file: Path | None) -> str:
    """The password of the command line, of a file, or of the environment; empty if there is none.

    Raises :class:`CommandFailed`, :class:`TooManyWords`.
    """
    if sum((bool(words), password is not None, file is not None)) > 1:
        raise CommandFailed(Exit.USAGE, "There is more than one password: give one, or one --password-file.")
    if file is not None:
        return _read(file)
    if len(words) > 1 and not (len(words) == WORDS and all(map(_is_ours, words))):
        raise TooManyWords(words[1:])
    joined = " ".join(words) if words else password or os.environ.get("SANSPROTO_PASSWORD") or ""
    return as_typed(joined)


def as_typed(password: str) -> str:
    """With dashes for blanks, if these are five words of our list, as they are said over the phone."""
    words = password.split(" ")
    return "-".join(words) if len(words) == WORDS and all(map(_is_ours, words)) else password


def _is_ours(word: str) -> bool:
    return word in _list()


@cache
def _list() -> frozenset[str]:
    return frozenset(Mnemonic("english").wordlist)


def _read(file: Path) -> str:
    try:
        with open(file, "rb") as stream:
            line = stream.readline(_LONGEST).decode(errors="surrogateescape").rstrip("\r\n")
    except OSError as error:
        text = f"Cannot read the password file ({error.strerror}): check its name and permissions."
        raise CommandFailed(Exit.FILES, text) from error
    if not line:
        raise CommandFailed(Exit.FILES, "The password file has no password in its first line: write one there.")
    return as_typed(line)


def is_showable(password: str) -> bool:
    """Can it stand in a command that somebody copies? Not with control characters, nor if it is no UTF-8."""
    return not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in password)
