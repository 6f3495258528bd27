"""Overte's tables and ladders, a module for each of the things that they move."""

from .ice import ICE_PEER
from .reliable import RECEIVING, SENDING
from .server import APPLICANT, MEMBER

__all__ = [
    "APPLICANT",
    "ICE_PEER",
    "MEMBER",
    "RECEIVING",
    "SENDING",
]
