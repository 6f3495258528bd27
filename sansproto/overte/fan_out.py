"""Lists and announcements: begun at once, gone on with when they are taken.

docs/protocols/overte.rst, answering a check-in and admission.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import attrs

from ..component import Part, Refusal
from ..contract import Instant
from ..snapshot import CACHED
from .header import MAX_DATAGRAM
from .packets import DomainList, NodeRecord, RemovedNode, pack_list_head
from .parts import ServerHost
from .versions import PacketType

if TYPE_CHECKING:
    from .member import Member

AT_ONCE: Final = 8
"""Datagrams of a list or announcement that one call makes; the others are made when they are taken."""

LIST_UNDER_WAY: Final = Refusal("list under way", ref="answering a check-in")
LISTS_TOO_OFTEN: Final = Refusal("lists too often", ref="answering a check-in")
FULL: Final = Refusal("announcements full", ref="admission")

_SECOND: Final = 1.0
_LIST_ROOM: Final = MAX_DATAGRAM - 6 - DomainList.__wire__.min_size  # for records
_SECRET: Final = 16  # bytes of the secret, which ends a record
_LIST, _ADDED = PacketType.DOMAIN_LIST, PacketType.DOMAIN_SERVER_ADDED_NODE  # looked up once: the hot path


@attrs.define(eq=False, weakref_slot=False)
class Listing:
    """A DomainList under way: up to where its receiver was told."""

    node_id: bytes
    is_new: bool
    asked: Instant
    kind: int = 0
    """The place in the receiver's interest."""
    last: int = 0
    """Local id."""


@attrs.define(eq=False, weakref_slot=False)
class Announcement:
    """That a node came, or is gone, under way: up to whom it was told."""

    node_id: bytes
    kind: int
    """The node's type."""
    is_gone: bool
    last: int = 0
    """Local id."""


class Receivers(Protocol):
    """Who is told, and of whom."""

    @property
    def own_id(self) -> int: ...

    @property
    def by_id(self) -> Mapping[bytes, Member]: ...
    def of_types(self, kinds: bytes, place: int, after: int) -> Iterator[tuple[int, Member]]: ...
    def next_interested(self, kind: int, after: int) -> Member | None: ...


class FanOut(Part[ServerHost]):
    """What nodes are told of each other, a datagram at a time."""

    master: bytes
    """Of which the secrets of all pairs are derived."""
    under_way: deque[Listing | Announcement]
    members: Annotated[Receivers, CACHED]

    def __init__(self, host: ServerHost, members: Receivers) -> None:
        super().__init__(host)
        self.members = members
        self.master, self.under_way = host.draw(32, "master"), deque()

    def send_list(self, member: Member, *, is_new: bool) -> None:
        clock = self.host.clock
        if clock - member.counted_from >= _SECOND:
            member.counted_from, member.lists = clock, 0
        member.lists += 1
        if member.is_listed:
            self.host.count_refusal(LIST_UNDER_WAY, member)
        elif member.lists > self.host.limits.lists:  # somebody may send in its name, for it to drown in lists
            self.host.count_refusal(LISTS_TOO_OFTEN, member)
        elif self._has_room():
            member.is_listed = True
            self.start(Listing(member.node_id, is_new, clock))

    def announce(self, member: Member, *, is_gone: bool) -> None:
        if self._has_room():
            self.start(Announcement(member.node_id, int(member.entry.node_type), is_gone))

    def start(self, work: Listing | Announcement) -> None:
        """Make as much as one call may, unless older work waits."""
        for _ in range(AT_ONCE):
            if self.under_way or self.host.waiting > self.host.limits.outbox // 2:
                break
            if not self._make(work):
                return
        self.under_way.append(work)

    def go_on(self) -> None:
        """One datagram more of what is under way, in turns."""
        work = self.under_way.popleft()
        if self._make(work):
            self.under_way.append(work)

    # -- inside

    def _has_room(self) -> bool:
        """Not while too much waits to be made: the next check-in brings a list, silence tells who is gone."""
        if len(self.under_way) < self.host.limits.announcements:
            return True
        self.host.count_refusal(FULL, self)
        return False

    def _make(self, work: Listing | Announcement) -> bool:
        """One datagram more; False if that was the last of it."""
        return self._list(work) if isinstance(work, Listing) else self._announce(work)

    def _list(self, listing: Listing) -> bool:
        member = self.members.by_id.get(listing.node_id)
        if member is None:
            return False
        records = self._records(listing, member)
        host = self.host
        domain = host.domain_id, self.members.own_id
        node = listing.node_id, member.local_id, member.permissions, host.authenticates()
        clocks = member.echo, host.wall_us(), int((host.clock - listing.asked) * 1e6)
        head = pack_list_head(*domain, *node, *clocks, listing.is_new)
        self.host.send_raw(member.entry.path, _LIST, head + records)
        return member.is_listed

    def _records(self, listing: Listing, member: Member) -> bytes:
        """As many more as one datagram holds, type by type, then by local id."""
        records: list[bytes] = []
        room = _LIST_ROOM
        for kind, other in self.members.of_types(member.interest, listing.kind, listing.last):
            if kind != listing.kind:
                listing.kind, listing.last = kind, 0
            if other is not member:  # who is in no list to itself
                record = self._record(other, member)
                room -= len(record)
                if room < 0:
                    return b"".join(records)
                records.append(record)
            listing.last = other.local_id
        member.is_listed = False
        return b"".join(records)

    def _announce(self, announcement: Announcement) -> bool:
        target = self.members.next_interested(announcement.kind, announcement.last)
        subject = self.members.by_id.get(announcement.node_id)
        if target is None or (subject is None and not announcement.is_gone):
            return False
        announcement.last = target.local_id
        if announcement.is_gone:
            self.host.send_reliable(target.entry.path, RemovedNode(announcement.node_id))
        elif subject is not None and subject is not target:
            self.host.send_raw(target.entry.path, _ADDED, self._record(subject, target))
        return True

    def _record(self, member: Member, receiver: Member) -> bytes:
        if member.record is None:
            record = NodeRecord(
                type=member.entry.node_type,
                id=member.node_id,
                public_socket=member.public,
                local_socket=member.local,
                permissions=member.permissions,
                replicated=False,
                local_id=member.local_id,
                secret=bytes(_SECRET),
            )
            member.record = record.encode()[:-_SECRET]
        return member.record + self._secret(member.node_id, receiver.node_id)

    def _secret(self, one: bytes, other: bytes) -> bytes:
        """What two nodes have in common: it needs no memory, and no two pairs have the same."""
        pair = one + other if one < other else other + one
        return hmac.digest(self.master, pair, "sha256")[:_SECRET]
