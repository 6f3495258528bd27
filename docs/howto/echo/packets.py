"""Every packet of the echo protocol, declared once."""

from __future__ import annotations

from typing import Final

from sansproto.wire import U8, Bytes, Packet, field, packet

MAX_MESSAGE: Final = 200
"""Bytes of a message."""


@packet
class Message(Packet):
    """One message: a length of one byte, and as many bytes."""

    text: bytes = field(Bytes(U8, max=MAX_MESSAGE), "what is said")
