"""What a relay keeps of its connections, of the exchanges between them, and of its rooms."""

from __future__ import annotations

import attrs

from ..contract import Instant, Link
from .floods import Budget
from .tables.relay import MemberState, PairState, RoomState, VisitorState


@attrs.define(eq=False, weakref_slot=False)
class Pair:
    """What a client and a server have said to each other."""

    key: tuple[int, int]  # the uids of client and server
    state: PairState = PairState.NEW


@attrs.define(eq=False, weakref_slot=False)
class Member:
    """A connection to the relay port."""

    key: Link
    identity: str
    state: MemberState = MemberState.NEW
    uid: int = 0
    hellos: int = 0
    announcements: list[int] = attrs.field(factory=list)  # a server's numbers in the feed
    announced: Instant = 0.0  # when it was announced last
    pairs: dict[int, Pair] = attrs.field(factory=dict)  # a server's, by client
    partners: dict[int, None] = attrs.field(factory=dict)  # the servers that a client has asked
    budget: Budget = attrs.field(factory=Budget)
    sifted: int = 0  # how many peers had left when those that had were taken out of the partners


@attrs.define(eq=False, weakref_slot=False)
class Visitor:
    """A connection to the secure port."""

    key: Link
    state: VisitorState = VisitorState.NEW
    room: int = 0
    line: str = ""
    early: int = 0  # bytes that came before its partner did


@attrs.define(eq=False, weakref_slot=False)
class Room:
    """A place for two visitors, each known by the line that it has to send: the identity of the other one."""

    key: int
    client: str
    server: str
    state: RoomState = RoomState.NEW
    visitors: dict[str, Link] = attrs.field(factory=dict)  # by line
    size: int = 0  # bytes that passed
