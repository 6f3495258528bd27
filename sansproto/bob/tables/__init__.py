"""The tables and ladders of Bob, and nothing else. Every ``ref`` is a heading of docs/protocols/bob.rst.

One table for each kind of object. At a client or server: its way (PEER), its exchange with one other peer (OFFER at a
client, HANDSHAKE at a server), the turns of those that wait (TURNS), the bench of its long computations
(BENCH) and its encrypted channel (CHANNEL). At a relay: a connection (MEMBER), an exchange between two peers (PAIR), a
connection to the secure port (VISITOR) and the room of two of those (ROOM).
"""

from .channel import CHANNEL
from .peer import BENCH, HANDSHAKE, OFFER, PEER, TURNS
from .relay import MEMBER, PAIR, ROOM, VISITOR

__all__ = ["BENCH", "CHANNEL", "HANDSHAKE", "MEMBER", "OFFER", "PAIR", "PEER", "ROOM", "TURNS", "VISITOR"]
