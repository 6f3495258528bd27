"""A packet on its way from the transport to the part that takes it, and how that reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import attrs

from ..component import Note, Part
from ..contract import Path
from ..wire import Packet
from .header import Header

M = TypeVar("M")
P = TypeVar("P", bound=Packet)

TRAILING: Final = Note("trailing bytes", ref="where ours is stricter")


@attrs.define(eq=False, weakref_slot=False)
class Arrival:
    """A packet: its header, its payload, from where it came, and the peer who sent it, if that is known."""

    header: Header
    payload: bytes = attrs.field(repr=False)
    path: Path
    peer: Any = None


@attrs.frozen
class Received(Generic[M]):
    """A packet that was read, and where it came from."""

    packet: M
    path: Path


def read(part: Part[Any], kind: type[P], payload: bytes) -> P:
    """The payload as a packet of this kind. Raises WireError if it is none; bytes behind it are noted only."""
    packet, end = kind.decode_prefix(payload)
    if end < len(payload):
        part.host.count_note(TRAILING, part)
    return packet


def reads(kind: type[P]) -> Callable[[Part[Any], Arrival], P]:
    """What guards make of an arrival: a packet of this kind."""

    def read_packet(part: Part[Any], arrival: Arrival) -> P:
        return read(part, kind, arrival.payload)

    read_packet.__name__ = f"read_{kind.__name__}"  # docs and vectors name the step by it
    return read_packet


def receives(kind: type[P]) -> Callable[[Part[Any], Arrival], Received[P]]:
    """The same with where it came from."""

    def receive_packet(part: Part[Any], arrival: Arrival) -> Received[P]:
        return Received(read(part, kind, arrival.payload), arrival.path)

    receive_packet.__name__ = f"receive_{kind.__name__}"
    return receive_packet
