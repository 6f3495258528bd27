"""The relay port: its connections, the uids that they get, and what each of them hears of the others."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any, Final

from ..component import Part, Parts
from ..contract import Link
from ..links import Pull
from ..snapshot import CACHED
from . import packets as p
from .announcements import AnnouncementLog
from .events import Departure
from .floods import Bucket
from .host import Heard, RelayHost
from .member import WASTED, Member, MemberInput, MemberState, Wasted
from .pair import Pair

_WITHDRAWN_AT_ONCE: Final = 64  # of those that left when they were announced: a millisecond's work


class Registry(Part[RelayHost]):
    """All connections to the relay port."""

    members: Parts[Link, Member]
    uids: dict[int, Link]
    fresh_uid: int
    """The next one that nobody had yet."""
    freed_uids: deque[int]
    pair_count: int
    departed: int
    """How many peers have left."""
    log: AnnouncementLog
    dying: deque[tuple[int, list[int]]]
    """Servers that left in the instant in which they were announced."""
    cuts: Bucket
    at_hand: Annotated[tuple[Member, int] | None, CACHED]
    """Whose packet is being looked at, and the uid that it is for."""

    def __init__(self, host: RelayHost) -> None:
        super().__init__(host)
        self.members = Parts(lambda key: Member(host, self, host.links[key]))
        self.at_hand = None
        self.uids, self.fresh_uid, self.freed_uids = {}, 1, deque()
        self.pair_count = self.departed = 0
        self.log, self.dying, self.cuts = AnnouncementLog(self.host.limits.departures), deque(), Bucket()

    # -- for the relay

    def accept(self, link: Link) -> None:
        self.members.add(link).post(MemberInput.CONNECTED())

    def receive(self, link: Link, heard: Heard[p.BobPacket]) -> None:
        """A packet of somebody."""
        member = self.members[link]
        self.at_hand = member, heard.uid
        member.hear(heard)

    def was_dropped(self, reason: str, part: Part[Any] | None) -> None:
        """If it was the packet at hand, then at its sender's expense."""
        if self.at_hand is not None and isinstance(part, Member | Pair):
            (member, uid), self.at_hand = self.at_hand, None
            member.take(WASTED, Wasted(reason, uid))

    def unblocked(self, link: Link) -> None:
        if link in self.members and self.members[link].state is MemberState.CLIENT:
            self.log.unblock(link)

    def forget_link(self, link: Link) -> None:
        self.log.unsubscribe(link)
        self.members.remove(link)

    def withdraw_dying(self) -> None:
        """Time has passed: some of those that left when they were announced are taken back."""
        for _ in range(min(len(self.dying), _WITHDRAWN_AT_ONCE)):
            self._withdraw(*self.dying.popleft())

    def say_goodbye(self) -> None:
        for member in self.members.values():
            member.say(p.PeerClosed(p.RELAY))

    # -- what members ask

    def is_full(self) -> bool:
        return len(self.uids) + len(self.dying) >= min(self.host.limits.peers, p.MAX_UID)

    def peer_of(self, uid: int) -> Member | None:
        link = self.uids.get(uid)
        return None if link is None else self.members[link]

    def has_known(self, uid: int) -> bool:
        """Has somebody had this uid?"""
        return uid < self.fresh_uid

    def register(self, member: Member) -> int:
        """The uid that it gets."""
        if self.fresh_uid <= p.MAX_UID:
            uid, self.fresh_uid = self.fresh_uid, self.fresh_uid + 1
        else:
            uid = self.freed_uids.popleft()
        self.uids[uid] = member.link.key
        return uid

    def deregister(self, member: Member) -> None:
        """Free the uid, and tell those who have to know: clients through the log, servers one by one."""
        del self.uids[member.uid]
        self.departed += 1
        for server in member.leave_pairs():
            server.say(p.PeerClosed(member.uid))
        if member.link.key in self.log.subscribers:  # what came before is still read, and nothing after it
            member.link.mark(Pull(self.log.last))
            self.log.block(member.link.key)
        if not member.announcements:
            self.freed_uids.append(member.uid)
        elif member.announced == self.host.clock:
            self.dying.append((member.uid, member.announcements))
        else:
            self._withdraw(member.uid, member.announcements)
        self.pair_count -= len(member.pairs)
        member.pairs.clear()  # at once, however many: they have no timers

    # -- what exchanges ask

    def may_begin(self, pair: Pair) -> bool:
        """Does its client have a share left? Nobody can take what others need."""
        client, left = self._peer(pair.client), self.host.limits.pairs - self.pair_count
        share = min(self.host.limits.pairs_of_one, -(-left // 100))
        if len(client.partners) >= share and client.departures_seen != self.departed:
            client.partners = {uid: None for uid in client.partners if self.have_pair(client, uid)}
            client.departures_seen = self.departed
        return len(client.partners) < share

    def have_pair(self, client: Member, uid: int) -> bool:
        server = self.peer_of(uid)
        return server is not None and client.uid in server.pairs

    def remember(self, pair: Pair) -> None:
        self._peer(pair.server).pairs.keep(pair.client, pair)
        self._peer(pair.client).partners[pair.server] = None
        self.pair_count += 1

    def unite(self, pair: Pair) -> None:
        """The client accepted: both leave the relay port for a room of their own."""
        client, server = self._peer(pair.client), self._peer(pair.server)
        client.say(p.Done())
        self.forget_pair(pair)
        self.host.open_room(client.identity, server.identity)
        server.post(MemberInput.LEFT(Departure.PAIRED))
        client.post(MemberInput.LEFT(Departure.PAIRED))

    def forget_pair(self, pair: Pair) -> None:
        self._peer(pair.server).pairs.remove(pair.client)  # the client may have left already
        self.pair_count -= 1

    # -- inside

    def _peer(self, uid: int) -> Member:
        return self.members[self.uids[uid]]

    def _withdraw(self, uid: int, numbers: list[int]) -> None:
        self.log.withdraw(numbers, p.encode(p.RELAY, p.PeerClosed(uid)))
        self.freed_uids.append(uid)
