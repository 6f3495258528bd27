"""A module with all that a layout may show: tests/test_layouts.py."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from sansproto.wire import U8, Codec, EnumOf, Fixed, OneOf, Packet, by_id, field, packet

MOST: Final = 1 << 60
"""Flowers, all of a :class:`Kind`. More do
not ``fit``."""

SEASONS: Final = ("spring", "summer")

DAYS: Final = range(
    3,
    10,
)
"""When it is watered."""

_HIDDEN: Final = 3
OBJECT: Final = object()


class Colour(Enum):
    _value_: bytes
    shades: list[int]

    def __new__(cls, value: bytes, *shades: Any) -> Colour:
        member = object.__new__(cls)
        member._value_ = value
        member.shades = [*shades]
        return member

    RED = b"\1", 1, 2
    """Like a
    rose."""
    BLUE = b"\2"


@packet(id=7)
class Flower(Packet):
    colour: Colour = field(EnumOf(Colour, Fixed(1)), "of the petals")


class Scent(Codec[bytes]):
    """A codec of which nobody says how it is described."""

    shape = decode_from = encode = None  # type: ignore[assignment]


BED: Final = OneOf[Flower](U8, by_id(Flower))
