"""Passwords that can be said over the phone, and not be guessed."""

from __future__ import annotations

import secrets

from mnemonic import Mnemonic

WORDS = 5
"""Of a list of 2048 (BIP 39: no two begin with the same four letters), so 55 bits. The exchange gives an attacker no
way to try passwords offline, and the sender answers few wrong ones."""


def generate() -> str:
    """A new password, such as ``marble-acoustic-tunnel-wise-ladder``."""
    words = Mnemonic("english").wordlist
    return "-".join(secrets.choice(words) for _ in range(WORDS))
