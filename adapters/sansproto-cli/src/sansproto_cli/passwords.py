"""Passwords that can be said over the phone, and not be guessed."""

from __future__ import annotations

import secrets
import unicodedata

from mnemonic import Mnemonic

WORDS = 5
"""Of a list of 2048 (BIP 39: no two begin with the same four letters), so 55 bits. The exchange gives an attacker no
way to try passwords offline, and the sender answers few wrong ones."""


def generate() -> str:
    """A new password, such as ``marble-acoustic-tunnel-wise-ladder``."""
    words = Mnemonic("english").wordlist
    return "-".join(secrets.choice(words) for _ in range(WORDS))


def is_showable(password: str) -> bool:
    """Can it stand in a command that somebody copies? Not with control characters, nor if it is no UTF-8."""
    return not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in password)
