"""Overte's tables and ladders, a module for each of the things that they move."""

from ..channels import CHANNELS
from ..receiving import RECEIVING
from ..reception import RECEPTION
from ..sending import SENDING
from .client import CONNECTION, QUERY, STUN
from .ice import HEARTBEAT, ICE_PEER, PUNCH
from .node import NODE
from .server import APPLICANT, MEMBER

__all__ = [
    "APPLICANT",
    "CHANNELS",
    "CONNECTION",
    "HEARTBEAT",
    "ICE_PEER",
    "MEMBER",
    "NODE",
    "PUNCH",
    "QUERY",
    "RECEIVING",
    "RECEPTION",
    "SENDING",
    "STUN",
]
