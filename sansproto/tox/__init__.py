"""Tox between friends: encrypted sessions over UDP and over TCP relays. docs/protocols/tox.rst."""

from .crypto import KeyPair
from .nodes import Relay

__all__ = [
    "KeyPair",
    "Relay",
]
