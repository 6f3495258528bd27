"""The tables and ladders of Bob, and nothing else. Every ``ref`` is a heading of docs/protocols/bob.rst.

One table for each kind of object. At a client or server: its way (PEER), its exchange with one other peer (OFFER at a
client, HANDSHAKE at a server), the turns of those that wait (TURNS), the bench of its long computations
(BENCH) and its encrypted channel (CHANNEL). Those of a relay stand with its parts: member.py, pair.py, visitor.py,
room.py.
"""

from .channel import CHANNEL
from .peer import BENCH, HANDSHAKE, OFFER, PEER, TURNS

__all__ = ["BENCH", "CHANNEL", "HANDSHAKE", "OFFER", "PEER", "TURNS"]
