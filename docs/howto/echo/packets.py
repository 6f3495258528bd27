"""Every packet of the echo protocol, declared once."""

from __future__ import annotations

from typing import Final

from sansproto.wire import U8, U16BE, Bytes, Fixed, OneOf, Packet, by_id, field, packet, padding

MAX_MESSAGE: Final = 200
"""Bytes of a message."""

MAX_COUNT: Final = 0xFFFF


@packet
class Message(Packet):
    """What stands on a stream, again and again: a length of one byte, and as many bytes."""

    text: bytes = field(Bytes(U8, max=MAX_MESSAGE), "what is said, in UTF-8")


@packet(id=1)
class Probe(Packet):
    """A datagram to the server: is it there, and how many guests has it?"""

    number: bytes = field(Fixed(8), "drawn by who asks")
    rest: bytes = padding(2, "so that the answer is not longer than the question")


@packet(id=2)
class Count(Packet):
    """The answer."""

    number: bytes = field(Fixed(8), "as in the question")
    guests: int = field(U16BE, "those who have connected")


TO_SERVER: Final = OneOf[Probe](U8, by_id(Probe))
TO_PROBER: Final = OneOf[Count](U8, by_id(Count))
