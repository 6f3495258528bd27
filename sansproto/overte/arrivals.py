"""What a part of a client is given of a packet that arrived, and how it reads it."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs

from ..component import Part
from ..contract import Path
from ..wire import Packet
from .endpoint import TRAILING
from .header import Header

P = TypeVar("P", bound=Packet)


@attrs.define(eq=False, weakref_slot=False)
class Arrival:
    """A packet that the transport let through: its header, its payload, from where it came."""

    header: Header
    payload: bytes
    path: Path


def read(part: Part[Any], kind: type[P], payload: bytes) -> P:
    """The payload as a packet of this kind. Raises WireError if it is none; bytes behind it are noted only."""
    packet, end = kind.decode_prefix(payload)
    if end < len(payload):
        part.host.count_note(TRAILING, part)
    return packet
