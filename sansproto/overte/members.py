"""The nodes of a domain, and all the ways to find them. docs/protocols/overte.rst, admission."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator
from typing import Annotated, Final

from ..component import Part, Parts
from ..contract import Path
from ..snapshot import CACHED
from .fan_out import FanOut
from .member import Entry, Member, MemberInput
from .packets import CheckIn, NodeType
from .parts import ServerHost

_IDS: Final = (1 << (1 << 16)) - 1  # a bit for each local id


class Members(Part[ServerHost]):
    """Members by session UUID, and indices that follow from them. Nothing here costs more the more there are."""

    last_id: int
    """The local id that was given out last."""
    step: int
    """From one local id to the next; odd, so that all come round."""
    own_id: int
    by_id: Parts[bytes, Member]
    fan_out: FanOut
    by_local_id: Annotated[dict[int, Member], CACHED]
    taken: Annotated[int, CACHED]
    """A bit for each local id that nobody can get, in the order in which they are given: one is found at once."""
    by_path: Annotated[dict[Path, Member], CACHED]
    by_connect_id: Annotated[dict[bytes, Member], CACHED]
    of_type: Annotated[dict[int, list[int]], CACHED]
    """Local ids, ascending."""
    interested: Annotated[dict[int, list[int]], CACHED]
    """Likewise, by the type."""

    def __init__(self, host: ServerHost) -> None:
        super().__init__(host)
        self.fan_out = FanOut(host, self)
        self.by_id = Parts(lambda node_id: Member(host, self, node_id))
        self.last_id = int.from_bytes(host.draw(2, "local_id.start"), "big")
        self.step = int.from_bytes(host.draw(2, "local_id.step"), "big") | 1
        self.own_id = 0
        self.rebuild()
        self.own_id = self.fresh_id()
        self.taken |= self._turn(self.own_id)

    def rebuild(self) -> None:
        self.by_local_id, self.by_path, self.by_connect_id = {}, {}, {}
        self.of_type, self.interested = {}, {}
        self.taken = self._turn(0) | self._turn(self.own_id)
        for member in self.by_id.values():
            self.enrol(member)

    def fresh_id(self, leaving: Collection[int] = ()) -> int:
        """The next local id that nobody has but those who are ``leaving``. There must be one."""
        free = _IDS ^ self.taken
        for local_id in leaving:
            free |= self._turn(local_id)
        past = self._turn(self.last_id) << 1
        free = free & -past or free
        self.last_id = ((free & -free).bit_length() - 1) * self.step & 0xFFFF
        return self.last_id

    def admit(self, node_id: bytes, local_id: int, entry: Entry, said: CheckIn, permissions: int) -> None:
        """Let a node in. Whoever is at its address, or has its assignment or local id, has to be leaving."""
        self.by_id.add(node_id, Member.begin, local_id, entry, said, permissions).post(MemberInput.ADMITTED())

    # -- to find them

    def count(self, node_type: NodeType) -> int:
        return len(self.of_type.get(node_type, ()))

    def of_types(self, kinds: bytes, place: int, after: int) -> Iterator[tuple[int, Member]]:
        """The members with a higher local id of the type at this place in ``kinds``, then all of the types behind it;
        with the place of their type. Only as long as nobody comes or goes.
        """
        members = self.by_local_id
        for now, ids in enumerate(map(self.of_type.get, kinds[place:]), place):
            if ids:
                for at in range(bisect_right(ids, after) if now == place else 0, len(ids)):
                    yield now, members[ids[at]]

    def next_interested(self, kind: int, after: int) -> Member | None:
        """The member that wants to know of a type, with the next higher local id."""
        ids = self.interested.get(kind)
        return self.by_local_id[ids[bisect_right(ids, after)]] if ids and ids[-1] > after else None

    # -- for the members

    def change_interest(self, member: Member, interest: bytes) -> None:
        for kind in member.interest:
            _take_out(self.interested[kind], member.local_id)
        member.interest = interest
        self._index_interest(member)

    def enrol(self, member: Member) -> None:
        entry = member.entry
        self.by_local_id[member.local_id] = self.by_path[entry.path] = member
        self.taken |= self._turn(member.local_id)
        if entry.connect_id is not None:
            self.by_connect_id[entry.connect_id] = member
        insort(self.of_type.setdefault(entry.node_type, []), member.local_id)
        self._index_interest(member)

    def forget_member(self, member: Member) -> None:
        entry = member.entry
        self.by_id.remove(member.node_id)
        del self.by_local_id[member.local_id], self.by_path[entry.path]
        self.taken ^= self._turn(member.local_id)
        if entry.connect_id is not None:
            del self.by_connect_id[entry.connect_id]
        _take_out(self.of_type[entry.node_type], member.local_id)
        for kind in member.interest:
            _take_out(self.interested[kind], member.local_id)
        self.host.forget_channel(entry.path)
        self.host.forget_address(entry.path)
        self.fan_out.announce(member, is_gone=True)

    # -- inside

    def _turn(self, local_id: int) -> int:
        """The bit of a local id: the step is odd, so that each has a turn of its own."""
        return 1 << (local_id * pow(self.step, -1, 1 << 16) & 0xFFFF)

    def _index_interest(self, member: Member) -> None:
        for kind in member.interest:
            insort(self.interested.setdefault(kind, []), member.local_id)


def _take_out(ids: list[int], local_id: int) -> None:
    del ids[bisect_left(ids, local_id)]
