"""The tree that dissection gives: every byte in exactly one leaf, also of bytes that are not a packet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import attrs

from ..errors import Fault

if TYPE_CHECKING:
    from .declare import Packet


@attrs.frozen(kw_only=True)
class Node:
    """A named part of a buffer.

    ``children`` divide the node's bytes without gap or overlap. ``opened`` is what a sealed part holds: it has a buffer
    of its own, from which its offsets count. A node with a ``fault`` has no ``value``. It reaches to the end of the
    bytes that were left, unless it could be read and only does not fit the others. At a sealed part, ``fault`` says why
    the opener did not open it. The repr shows neither raw bytes nor values. A program should not show the value of a
    ``secret`` node either.
    """

    name: str
    """The field, or the packet."""
    offset: int
    """Where it begins, from the beginning of the outermost buffer."""
    raw: bytes = attrs.field(repr=False)
    """Its bytes."""
    value: object = attrs.field(default=None, repr=False)
    """What they mean; None where there are children or a fault."""
    children: tuple[Node, ...] = ()
    """Its parts, which divide it without gap or overlap."""
    fault: Fault | None = None
    """Why it could not be read, or does not fit."""
    secret: bool = attrs.field(default=False, repr=False)
    """Its value should not be shown."""
    opened: Node | None = None
    """The content of a sealed part, which has a buffer of its own."""

    @property
    def length(self) -> int:
        return len(self.raw)

    @property
    def end(self) -> int:
        return self.offset + self.length

    def walk(self) -> Iterator[Node]:
        """The node and everything below it, in the order of the bytes; what was opened comes behind its sealed part."""
        yield self
        for node in (*self.children, *([self.opened] if self.opened else [])):
            yield from node.walk()


@attrs.frozen
class Sealed:
    """What an opener is asked to open: a field declared ``sealed``, and all of its packet that could be read."""

    packet: type[Packet]
    """The class of the packet."""
    field: str
    """The name of the sealed field."""
    data: bytes = attrs.field(repr=False)
    """The sealed bytes."""
    siblings: Mapping[str, object] = attrs.field(repr=False)
    """The other fields of the packet that could be read, by name."""


#: Answers a dissection of the content (usually ``Inner.dissect(plain, opener)``), or None if it cannot open this one.
#: A ``WireError`` (``BAD_MAC``, ...) that it raises becomes the fault of the sealed node.
Opener: TypeAlias = Callable[[Sealed], "Node | None"]


def parent(
    name: str,
    data: bytes | bytearray,
    start: int,
    end: int,
    children: Sequence[Node],
    value: object,
    fault: Fault | None,
) -> Node:
    """A node over ``children``. With a fault it reaches to ``end``: a last child has the bytes that nobody read."""
    stop = children[-1].end if children else start
    if fault and stop < end:
        children = (*children, Node(name="unread", offset=stop, raw=bytes(data[stop:end])))
        stop = end
    raw = bytes(data[start:stop])
    return Node(name=name, offset=start, raw=raw, children=tuple(children), value=None if fault else value, fault=fault)
