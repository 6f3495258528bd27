"""How a client reads the domain's lists: what is good of each, and quickly what it knows already.

docs/protocols/overte.rst, the domain list.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ..component import Note
from ..contract import Path
from ..errors import WireError
from . import packets as p
from .parts import Arrival, ClientPart
from .qt import sock_addr_end

_CLOCKS: Final = slice(41, 65)
"""What two lists that say the same differ in."""

_ASKED: Final = slice(41, 49)
"""The first clock of them: ours, when we asked."""

_number: Final = int.from_bytes
_NO_CLOCKS: Final = bytes(24)
_LISTS: Final = 64
"""The most of them that are remembered."""

_HEAD: Final = p.DomainList.__wire__.min_size
"""Bytes in front of the records."""

_BEFORE_SOCKETS: Final = 1 + 16
_BEHIND_SOCKETS: Final = 4 + 1 + 2 + 16
"""Bytes of a record, in front of its sockets and behind them."""

BAD_RECORD: Final = Note("malformed record", ref="the domain list")
CUT_SHORT: Final = Note("list cut short", ref="the domain list")


class Told(NamedTuple):
    """A list, when that was asked which it answers (by our clock; 0 if it does not say), and where it came from."""

    list: p.DomainList
    clock: int
    path: Path


class ListCache:
    """Lists whose records would change nothing, as nearly all are, by their bytes without the clocks.

    What is kept, and given instead of an equal list, has clocks of 0 and no records.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, p.DomainList] = {}
        self._new: tuple[bytes, p.DomainList] | None = None

    def read(self, part: ClientPart[Any], arrival: Arrival) -> Told:
        """A list. Raises WireError."""
        payload = arrival.payload
        key = payload[: _CLOCKS.start] + payload[_CLOCKS.stop :]
        found = self._known.get(key)
        if found is None:
            try:
                found = p.DomainList.decode(payload)
            except WireError:
                found = read_what_is_good(part, payload)
            self._new = key, found
        clock = _number(payload[_ASKED])  # big-endian
        if clock > part.host.wall_us():
            clock = 0
        return tuple.__new__(Told, (found, clock, arrival.path))  # half the time: each list makes one

    def take_in(self, found: p.DomainList) -> tuple[p.NodeRecord, ...]:
        """Know a list that was just read; its records. Whatever they change calls :meth:`clear`."""
        if self._new is not None and found is self._new[1]:
            key, self._new = self._new[0], None
            if len(self._known) >= _LISTS:
                self._known.clear()
            front = key[: _CLOCKS.start], key[_CLOCKS.start : _CLOCKS.start + 1]
            self._known[key] = p.DomainList.decode(_NO_CLOCKS.join(front))
        return found.nodes

    def clear(self) -> None:
        self._known.clear()


def read_what_is_good(part: ClientPart[Any], payload: bytes) -> p.DomainList:
    """A list of which not all decodes. A bad value costs its record; where a record does not even end, the list does.

    Raises WireError for what stands in front of the records.
    """
    head, rest = payload[:_HEAD], payload[_HEAD:]
    good: list[bytes] = []
    offset = 0
    while len(good) < p.MAX_NODES and (end := record_end(rest, offset)) is not None:
        record, offset = rest[offset:end], end
        try:
            p.NodeRecord.decode(record)
        except WireError:
            part.host.count_note(BAD_RECORD, part)
        else:
            good.append(record)
    found = p.DomainList.decode(head + b"".join(good))
    if offset < len(rest):
        part.host.count_note(CUT_SHORT, part)
    return found


def record_end(data: bytes, offset: int) -> int | None:
    """Where a record ends, whatever values it has; None if its sizes make no sense."""
    end: int | None = offset + _BEFORE_SOCKETS
    for _ in range(2):
        end = None if end is None else sock_addr_end(data, end)
    return None if end is None or end + _BEHIND_SOCKETS > len(data) else end + _BEHIND_SOCKETS
