"""Overte's tables and ladders, a module for each of the things that they move."""

from ..channels import CHANNELS
from ..receiving import RECEIVING
from ..reception import RECEPTION
from ..sending import SENDING
from .client import CONNECTION, QUERY, STUN
from .node import NODE

__all__ = [
    "CHANNELS",
    "CONNECTION",
    "NODE",
    "QUERY",
    "RECEIVING",
    "RECEPTION",
    "SENDING",
    "STUN",
]
