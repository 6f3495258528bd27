"""Lists of missing packets, the payloads with id 1: docs/protocols/tox.rst, request lists.

Numbers here are distances from the ``buffer_start`` of the packet that holds the list, so nothing wraps.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

from .packets import MAX_PAYLOAD, REQUEST

FURTHER: Final = 255
"""How far a byte reaches at most. A zero is a step as long that asks for nothing."""

MOST: Final = MAX_PAYLOAD - 1
"""So many steps has a list that is full: it may be cut short."""

NOTHING: Final = bytes([REQUEST])
"""The payload that asks for nothing."""


class Walked(NamedTuple):
    """What a list says."""

    asked: list[int]
    """The packets that are to be sent again, in their order."""
    passed: int
    """All others below this one have arrived."""


def encode(missing: Iterable[int], span: int, most: int = MAX_PAYLOAD) -> bytes:
    """The payload that asks for packets, of at most ``most`` bytes: the list ends where it is full.

    ``missing`` is in rising order; the packet at ``span`` is the first one of which nothing is known. Whoever reads
    the list takes what it passes over as arrived.
    """
    listed = bytearray((REQUEST,))
    last = -1
    for number in islice(missing, most):
        step = number - last
        if step > FURTHER:
            passed = (step - 1) // FURTHER
            listed += bytes(passed)
            step -= passed * FURTHER
        listed.append(step)
        last = number
    listed += bytes((span - last - 1) // FURTHER)
    return bytes(listed[:most])


def walk(listed: bytes, span: int) -> Walked:
    """What the bytes behind the id say of the ``span`` packets that were sent; of others they say nothing."""
    asked: list[int] = []
    last = -1
    for step in listed:
        last += step or FURTHER
        if last >= span:
            return Walked(asked, span)
        if step:
            asked.append(last)
    return Walked(asked, last + 1)
