"""The nodes of a domain, and all the ways to find them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator
from enum import Enum
from functools import lru_cache
from typing import Annotated, Final

import attrs

from ..contract import Instant, Path
from ..snapshot import CACHED, MEMO
from .packets import NodeType
from .qt import SockAddr
from .tables.server import MemberState

AGENT: Final = NodeType.AGENT
STATIC: Final = frozenset(
    {
        NodeType.AUDIO_MIXER,
        NodeType.AVATAR_MIXER,
        NodeType.ENTITY_SERVER,
        NodeType.ASSET_SERVER,
        NodeType.MESSAGES_MIXER,
        NodeType.ENTITY_SCRIPT_SERVER,
    }
)
"""The types that come by assignment only."""

ADMISSIBLE: Final = STATIC | {AGENT}


@attrs.define(eq=False, weakref_slot=False)
class Member:
    """A node of the domain. ``path`` is where its connect request came from: it is answered nowhere else."""

    key: int  # its local id
    node_id: bytes
    node_type: NodeType
    path: Path
    public: SockAddr
    local: SockAddr
    permissions: int
    fingerprint: bytes
    joined: Instant
    heard: Instant
    echo: int  # its clock at its last request
    connect_id: bytes = b""  # of its assignment
    username: str = ""
    account: str = ""
    place: str = ""
    interest: bytes = b""  # node types
    state: MemberState = MemberState.NEW
    is_proven: bool = False  # it sent what only the receiver of its list can send
    is_listed: bool = False  # a list to it is under way
    counted_from: Instant = 0.0
    lists: int = 0  # that it asked for since then
    report: Annotated[bytes, MEMO] = b""  # its last list request from there, without the clock; empty: unknown
    record: Annotated[bytes, MEMO] = b""  # how others see it, without the secret; empty: to be made

    @property
    def local_id(self) -> int:
        return self.key

    @property
    def secret(self) -> bytes:
        """A node shares secrets with other nodes, never with the domain."""
        return b""


@attrs.define(eq=False, weakref_slot=False)
class Roster:
    """Members by local id, and indices that follow from them. Nothing here costs more Python the more there are."""

    last_id: int  # the local id that was given out last
    step: int  # from one local id to the next; odd, so that all come round
    own_id: int = 0
    members: dict[int, Member] = attrs.field(factory=dict)
    _by_node_id: Annotated[dict[bytes, Member], CACHED] = attrs.field(init=False, factory=dict)
    _by_path: Annotated[dict[Path, Member], CACHED] = attrs.field(init=False, factory=dict)
    _of_type: Annotated[dict[int, list[int]], CACHED] = attrs.field(init=False, factory=dict)  # local ids, ascending
    _interested: Annotated[dict[int, list[int]], CACHED] = attrs.field(init=False, factory=dict)  # likewise, by type

    def __attrs_post_init__(self) -> None:
        for member in self.members.values():
            self._index(member)

    def __len__(self) -> int:
        return len(self.members)

    def fresh_id(self, leaving: Collection[int] = ()) -> int:
        """A local id that nobody has but those who are ``leaving``. There must be one."""
        while True:
            self.last_id = self.last_id + self.step & 0xFFFF
            if self.last_id not in (0, self.own_id) and (self.last_id not in self.members or self.last_id in leaving):
                return self.last_id

    def add(self, member: Member) -> None:
        self.members[member.key] = member
        self._index(member)

    def remove(self, member: Member) -> None:
        del self.members[member.key], self._by_node_id[member.node_id], self._by_path[member.path]
        _take_out(self._of_type[member.node_type.value], member.key)
        for kind in member.interest:
            _take_out(self._interested[kind], member.key)

    def set_interest(self, member: Member, interest: bytes) -> None:
        for kind in member.interest:
            _take_out(self._interested[kind], member.key)
        member.interest = interest
        self._index_interest(member)

    def of_id(self, node_id: bytes) -> Member | None:
        return self._by_node_id.get(node_id)

    def at(self, path: Path) -> Member | None:
        return self._by_path.get(path)

    def count(self, node_type: NodeType) -> int:
        return len(self._of_type.get(node_type._value_, ()))

    def of_types(self, kinds: bytes, place: int, after: int) -> Iterator[tuple[int, Member]]:
        """The members with a higher local id of the type at this place in ``kinds``, then all of the types behind it;
        with the place of their type. Only as long as nobody comes or goes.
        """
        members = self.members
        for now, ids in enumerate(map(self._of_type.get, kinds[place:]), place):
            if ids:
                for at in range(bisect_right(ids, after) if now == place else 0, len(ids)):
                    yield now, members[ids[at]]

    def next_interested(self, kind: int, after: int) -> Member | None:
        """The member that wants to know of a type, with the next higher local id."""
        ids = self._interested.get(kind)
        return self.members[ids[bisect_right(ids, after)]] if ids and ids[-1] > after else None

    def _index(self, member: Member) -> None:
        self._by_node_id[member.node_id] = self._by_path[member.path] = member
        insort(self._of_type.setdefault(member.node_type._value_, []), member.key)
        self._index_interest(member)

    def _index_interest(self, member: Member) -> None:
        for kind in member.interest:
            insort(self._interested.setdefault(kind, []), member.key)


@lru_cache(1024)
def interest_of(node_type: NodeType, wanted: bytes) -> bytes:
    """The types of which a node is told: those that it wants and that can be here. Agents never see agents."""
    return bytes(kind for kind in _TYPES if kind in wanted and not (node_type is AGENT and kind == AGENT.value))


_TYPES: Final = bytes(sorted(kind.value for kind in ADMISSIBLE))


def _take_out(ids: list[int], local_id: int) -> None:
    del ids[bisect_left(ids, local_id)]


@attrs.define(eq=False, weakref_slot=False)
class Listing:
    """A DomainList under way: up to where its receiver was told."""

    node_id: bytes
    is_new: bool
    asked: Instant
    kind: int = 0  # the place in the receiver's interest
    last: int = 0  # local id


class News(Enum):
    ADDED = 0
    REMOVED = 1


@attrs.define(eq=False, weakref_slot=False)
class Announcement:
    """News of a node under way: up to whom it was told."""

    news: News
    node_id: bytes
    kind: int  # the node's type
    last: int = 0  # local id
