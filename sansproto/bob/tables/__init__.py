"""The tables and ladders of Bob, and nothing else. Every ``ref`` is a heading of docs/protocols/bob.rst.

At a relay there is one for each kind of object: a connection (MEMBER), an exchange between two peers (PAIR), a
connection to the secure port (VISITOR) and the room of two of those (ROOM).
"""

from .relay import MEMBER, PAIR, ROOM, VISITOR

__all__ = ["MEMBER", "PAIR", "ROOM", "VISITOR"]
