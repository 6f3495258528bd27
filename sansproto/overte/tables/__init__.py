"""Overte's tables and ladders, a module for each of the things that they move."""

from .client import CONNECTION, QUERY, STUN
from .ice import ICE_PEER
from .node import NODE
from .reliable import RECEIVING, SENDING
from .server import APPLICANT, MEMBER

__all__ = [
    "APPLICANT",
    "CONNECTION",
    "ICE_PEER",
    "MEMBER",
    "NODE",
    "QUERY",
    "RECEIVING",
    "SENDING",
    "STUN",
]
