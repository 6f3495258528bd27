"""Overte's tables and ladders, a module for each of the things that they move."""

from .client import CONNECTION, QUERY, STUN
from .node import NODE
from .reliable import RECEIVING, SENDING

__all__ = [
    "CONNECTION",
    "NODE",
    "QUERY",
    "RECEIVING",
    "SENDING",
    "STUN",
]
