"""The byte tables of the docs, out of the declarations."""

from __future__ import annotations

import attrs

from .declare import Packet


@attrs.frozen
class LayoutRow:
    """One line of a byte table. ``offset`` counts from the packet's first byte, or says ``after`` which field."""

    offset: str
    size: str
    name: str
    type: str
    doc: str


def layout_rows(cls: type[Packet]) -> list[LayoutRow]:
    """The fields of a packet, in the order of their bytes; ``doc`` ends with what decoding takes besides."""
    rows = []
    base, distance = "", 0
    for field in cls.__wire__.fields:
        codec = field.codec
        offset = f"{base} + {distance}" if base and distance else base or str(distance)
        shape = codec.shape()
        least, most = shape.min_size, shape.max_size
        size = str(least) if least == most else f"{least}..{'' if most is None else most}"
        notes = (field.doc, f"also accepted: {shape.accepts}" if shape.accepts else "")
        rows.append(LayoutRow(offset, size, field.name, shape.type_name, "; ".join(note for note in notes if note)))
        if least == most:
            distance += least
        else:
            base, distance = f"after {field.name}", 0
    return rows


def layout_rst(cls: type[Packet]) -> str:
    """The table of :func:`layout_rows` as a reStructuredText ``list-table``."""
    lines = [f".. list-table:: {cls.__name__}", "   :header-rows: 1", ""]
    for row in [("offset", "size", "field", "type", "meaning"), *map(attrs.astuple, layout_rows(cls))]:
        lines += [f"   {'  ' if index else '* '}- {cell}".rstrip() for index, cell in enumerate(row)]
    return "\n".join(lines) + "\n"
