"""The tables and ladders of Bob, and nothing else. Every ``ref`` is a heading of docs/protocols/bob.rst.

One table for each kind of object. At a client or server: its way (PEER), its exchange with one other peer (OFFER at a
client, HANDSHAKE at a server). Those of the other parts stand with them: channel.py, kdf.py, turns.py; and of a relay
in member.py, pair.py, visitor.py, room.py.
"""

from .peer import HANDSHAKE, OFFER, PEER

__all__ = ["HANDSHAKE", "OFFER", "PEER"]
