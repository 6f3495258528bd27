"""The tables and ladders of Bob, and nothing else. Every ``ref`` is a heading of docs/protocols/bob.rst.

One table for each kind of object. At a client or server: its way (PEER), its exchange with one other peer (OFFER at a
client, HANDSHAKE at a server). At a relay: a connection (MEMBER), an exchange
between two peers (PAIR), a connection to the secure port (VISITOR) and the room of two of those (ROOM).
"""

from .peer import HANDSHAKE, OFFER, PEER
from .relay import MEMBER, PAIR, ROOM, VISITOR

__all__ = ["HANDSHAKE", "MEMBER", "OFFER", "PAIR", "PEER", "ROOM", "VISITOR"]
