"""Packets in the form of codec vectors."""

from __future__ import annotations

from typing import Any

from ...wire import ABSENT, Codec, Const, Int, Packet
from ..record import plain


def fields_of(value: Packet) -> dict[str, Any]:
    """The fields of a packet: 64-bit numbers as text, a packet with its name, what is absent left out."""
    fields = [(one, getattr(value, one.name)) for one in value.__wire__.fields if not isinstance(one.codec, Const)]
    return {one.name: _plain(one.codec, given) for one, given in fields if given is not ABSENT}


def packet_answer(value: Packet, canonical: bytes) -> dict[str, Any]:
    """The outcome for a packet that was decoded to its end: its fields, and its encoding."""
    return {"packet": type(value).__name__, "fields": fields_of(value), "rest": "", "canonical": canonical.hex()}


def _plain(codec: Codec[Any], value: Any) -> Any:
    if isinstance(value, Packet):
        return {"packet": type(value).__name__, "fields": fields_of(value)}
    return str(value) if isinstance(codec, Int) and codec.size == 8 else plain(value)
