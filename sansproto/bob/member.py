"""A connection to the relay port: who it is, and which of its packets go through. docs/protocols/bob.rst."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, NamedTuple, Protocol

from ..component import Note, Parts
from ..contract import Instant
from ..links import LinkState, Mark, Pull, PullAnew, StreamLink
from ..machine import Default, Guards, Happened, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .announcements import AnnouncementLog
from .events import Departure, PeerJoined, PeerLeft, Role
from .floods import Bucket
from .host import Connection, Heard, RelayHost, concerns_the_relay
from .pair import INPUTS, Pair, PairInput, PairOwner, PairState, Passed

_ANSWERS: Final = 2  # an answer, and that the exchange failed: so much may be on its way to somebody who leaves


class MemberState(Enum):
    NEW = 0
    STRANGER = 1
    """It has not said hello."""
    CLIENT = 2
    SERVER = 3
    ENDED = 4
    MUTED = 5
    """Over its budget of drops: no longer there, not read, and soon cut."""


class Routed(NamedTuple):
    """A packet, and the peer that it is for."""

    peer: Member
    packet: p.BobPacket


class Wasted(NamedTuple):
    """Why a packet was of no use, and to which uid it was sent."""

    reason: str
    uid: int


class MemberInput:
    CONNECTED = Input[MemberState, None]()
    HELLO_CLIENT = Input[MemberState, Heard[p.HelloAsClient]]()
    HELLO_SERVER = Input[MemberState, Heard[p.HelloAsServer]]()
    NO_UID_LEFT = Input[MemberState, Heard[Any]]()
    ROUTED = Input[MemberState, Routed]()
    """A packet for a peer that may get it."""
    FAILURE = Input[MemberState, Heard[Any]]()
    """One for the relay, which changes nothing."""
    UNEXPECTED = Input[MemberState, Heard[Any]]()
    MALFORMED = Input[MemberState, None]()
    LEFT = Input[MemberState, Departure]()
    EXPIRED = Input[MemberState, None]()
    """It said nothing for too long."""
    EXCUSED = Input[MemberState, Wasted]()
    """A packet of it was dropped: an answer to somebody who may have left."""
    CHARGED = Input[MemberState, Wasted]()
    """One was dropped that it need not have sent."""
    FLOODED = Input[MemberState, Wasted]()
    """One more than its budget allows."""
    MANY_FLOODED = Input[MemberState, Wasted]()
    """The same, and many others did so."""
    MUTE_EXPIRED = Input[MemberState, None]()


class MemberOwner(PairOwner, Protocol):
    """What a connection asks of the relay port."""

    log: AnnouncementLog
    cuts: Bucket

    def is_full(self) -> bool: ...
    def peer_of(self, uid: int) -> Member | None: ...
    def has_known(self, uid: int) -> bool: ...
    def register(self, member: Member) -> int: ...
    def deregister(self, member: Member) -> None: ...


class Member(Connection[MemberState]):
    """A connection to the relay port."""

    __slots__ = (
        "announced",
        "announcements",
        "budget",
        "departures_seen",
        "excuses",
        "hellos",
        "owner",
        "pairs",
        "partners",
        "uid",
    )
    uid: int
    """Given when it says hello."""
    hellos: int
    announcements: list[int]
    """A server's numbers in the log."""
    announced: Instant
    """When it was announced last."""
    pairs: Parts[int, Pair]
    """A server's, by client."""
    partners: dict[int, None]
    """The servers that a client has asked."""
    budget: Bucket
    """Of packets that are dropped."""
    excuses: int
    """How many more are not its own doing."""
    departures_seen: int
    """How many peers had left when those that had were taken out of the partners."""
    owner: Annotated[MemberOwner, CACHED]

    def __init__(self, host: RelayHost, owner: MemberOwner, link: StreamLink) -> None:
        super().__init__(host, link)
        self.owner = owner
        self.uid = self.hellos = self.excuses = self.departures_seen = 0
        self.announcements, self.announced, self.budget = [], 0.0, Bucket()
        self.pairs, self.partners = Parts(self._make_pair), {}

    def _make_pair(self, client: int) -> Pair:
        return Pair(self.host, self.owner, client, self.uid)

    @property
    def identity(self) -> str:
        return str(self.link.peer)

    # -- for the relay

    def hear(self, heard: Heard[p.BobPacket]) -> None:
        """A packet for the peer with this uid, or for the relay itself."""
        self.post(Happened(MEANINGS.get(type(heard.packet), MemberInput.UNEXPECTED), heard))

    def say(self, packet: p.BobPacket, *, source: int = p.RELAY) -> None:
        """Write a packet, behind the announcements that came before it."""
        if self.link.key in self.owner.log.subscribers:
            self.link.mark(Pull(self.owner.log.last))
        data = p.encode(source, packet)
        self.host.note_sent(self.link.key, type(packet).__name__, len(data))
        self.link.write(data)

    def forward(self, source: int, packet: p.BobPacket) -> None:
        """Write a packet of another peer, which it may answer."""
        self.excuses += _ANSWERS
        self.say(packet, source=source)

    def pull(self, mark: Mark | None) -> bytes | None:
        """A client's next announcement, up to a mark that stands before a direct packet.

        None if there is none, or if it is too slow to be told.
        """
        log, link = self.owner.log, self.link.key
        if link not in log.subscribers or (mark is None and self.state is not MemberState.CLIENT):
            return None
        if isinstance(mark, PullAnew):
            log.subscribe(link, mark.since)
            return None
        try:
            told = log.pull(link, log.last if mark is None else mark.up_to)
        except LookupError:
            log.unsubscribe(link)
            self.post(MemberInput.LEFT(Departure.SLOW))
            return None
        if told is not None:
            self.excuses += _ANSWERS
        return told

    def leave_pairs(self) -> list[Member]:
        """Forget a client's exchanges; the servers with which one was under way."""
        told = []
        for uid in self.partners:
            server = self.owner.peer_of(uid)
            pair = server.pairs.get(self.uid) if server is not None else None
            if server is not None and pair is not None:
                if pair.state is not PairState.FAILED:
                    told.append(server)
                pair.post(PairInput.PARTED())
        self.partners.clear()
        return told

    # -- guards

    def is_beyond_uids(self) -> bool:
        return self.state is MemberState.STRANGER and self.owner.is_full()

    def may_greet(self) -> bool:
        return self.hellos < self.host.limits.hellos

    def hears_a_client(self, heard: Heard[p.BobPacket]) -> bool:
        return isinstance(heard.packet, p.HelloAsClient)

    def has_its_role(self, heard: Heard[p.BobPacket]) -> bool:
        return self.state in ROLES[type(heard.packet)]

    def find_peer(self, heard: Heard[p.BobPacket]) -> Routed | None:
        peer = self.owner.peer_of(heard.uid)
        return None if peer is None else Routed(peer, heard.packet)

    def writes_to_the_other_role(self, routed: Routed) -> bool:
        return routed.peer.state is not self.state

    def claims_no_other_identity(self, routed: Routed) -> bool:
        packet = routed.packet
        return not isinstance(packet, p.XAndClientIdentity) or packet.identity == self.identity

    def is_excused(self, wasted: Wasted) -> bool:
        return wasted.reason in EXCUSABLE and self.excuses > 0 and self.owner.has_known(wasted.uid)

    def is_within_its_budget(self) -> bool:
        limits = self.host.limits
        return self.budget.delay(self.host.clock, limits.dropped_rate, limits.dropped_burst) <= 0

    def is_one_of_many(self) -> bool:
        return self._cut_delay() > 0

    # -- actions

    def register(self) -> None:
        self.uid = self.owner.register(self)
        role = Role.CLIENT if self.state is MemberState.CLIENT else Role.SERVER
        self.host.emit(PeerJoined(self.uid, self.identity, role))

    def greet_client(self) -> None:
        """Tell it who it is, and all announcements from the beginning."""
        self.hellos += 1
        self.say(p.ClientIdentity(self.identity))
        log, link = self.owner.log, self.link
        if link.key in log.subscribers:
            link.mark(PullAnew(log.last))
            self.leave_pairs()
        else:
            log.subscribe(link.key, log.last)
            if link.state is LinkState.BLOCKED:
                log.block(link.key)
        self.host.offer(link)

    def greet_server(self, heard: Heard[p.HelloAsServer]) -> None:
        """Tell it who it is, and announce it to the clients."""
        self.hellos += 1
        self.say(p.ServerIdentity(self.identity))
        packet = p.encode(p.RELAY, p.NewServer(self.uid, heard.packet.public, self.identity))
        self.announcements.append(self.owner.log.announce(packet))
        self.announced = self.host.clock

    def hand_over(self, routed: Routed) -> None:
        """To their exchange, which may not have begun."""
        peer, packet = routed
        client, server = (self, peer) if self.state is MemberState.CLIENT else (peer, self)
        pair = server.pairs.get(client.uid) or server.pairs.make(client.uid)
        pair.post(Happened(INPUTS[type(packet)], Passed(peer, self.uid, packet)))

    def send_closed(self) -> None:
        self.say(p.PeerClosed(p.RELAY))

    def send_timeout(self) -> None:
        self.say(p.Timeout())

    def leave(self, departure: Departure) -> None:
        self.owner.deregister(self)
        self.host.emit(PeerLeft(self.uid, self.identity, departure))

    def leave_idle(self) -> None:
        self.leave(Departure.IDLE)

    def leave_malformed(self) -> None:
        self.leave(Departure.MALFORMED)

    def expel(self) -> None:
        self.leave(Departure.FLOODING)

    def excuse(self) -> None:
        self.excuses -= 1

    def charge(self) -> None:
        self.budget.count(self.host.clock, self.host.limits.dropped_rate)

    def note_failure(self) -> None:
        """It is of no use to anybody."""
        self.host.count_note(FAILURE_NOTED, self)
        self.take(WASTED, Wasted(FAILURE_NOTED.remark, p.RELAY))

    def cut(self) -> None:
        self._count_cut()
        self.link.abort()

    def mute(self) -> None:
        self._count_cut()
        self.link.deafen()

    # -- delays

    def patience(self) -> float:
        return self.delays.hello if self.state is MemberState.STRANGER else self.delays.idle

    def mute_delay(self) -> float:
        return min(self._cut_delay(), self.delays.mute)

    # -- inside

    def _cut_delay(self) -> float:
        """Until no more than ``cuts`` have happened in any second."""
        most = self.host.limits.cuts
        return self.owner.cuts.delay(self.host.clock, most, most)

    def _count_cut(self) -> None:
        self.owner.cuts.count(self.host.clock, self.host.limits.cuts, self.delays.mute)


class MemberTimer:
    SILENCE = Timer(MemberInput.EXPIRED, Member.patience)
    MUTE = Timer(MemberInput.MUTE_EXPIRED, Member.mute_delay)


_S, _I, _T, _M = MemberState, MemberInput, MemberTimer, Member
_REGISTERED: Final = (_S.CLIENT, _S.SERVER)
_CHECKS: Final = "what the relay checks"

FAILURE_NOTED: Final = Note("a failure told to the relay", ref="floods")

EXCUSABLE: Final = {"nobody has this uid", "out of order", "one exchange too many", FAILURE_NOTED.remark}
"""Why a packet may be of no use that answers what its sender was told, since somebody has left or there are many."""

ROLES: Final[dict[type[p.BobPacket], tuple[MemberState, ...]]] = {
    **dict.fromkeys((p.XAndClientIdentity, p.ClientValidator, p.Accepted, p.Refused), (_S.CLIENT,)),
    **dict.fromkeys((p.YAndServerValidator, p.Agreement), (_S.SERVER,)),
    p.SpokeFailure: _REGISTERED,
}
"""Who may send the packets that are for another peer."""


def _for_the_relay(name: str) -> Guards[Member, MemberState, Heard[Any], Heard[Any]]:
    return Guards.of(Member, _S, Heard[Any], name).need(concerns_the_relay, "unexpected packet", ref=_CHECKS)


HELLO: Final = (
    _for_the_relay("hello")
    .give_if(_M.is_beyond_uids, _I.NO_UID_LEFT, ref="uids")
    .need(_M.may_greet, "hello too often", ref="hello again")
    .give_if(_M.hears_a_client, _I.HELLO_CLIENT, ref="hello")
    .give(_I.HELLO_SERVER)
)
FAILURE: Final = _for_the_relay("failure").give(_I.FAILURE)
PACKET: Final = (
    Guards.of(Member, _S, Heard[p.BobPacket], "packet")
    .need(_M.has_its_role, "wrong role", ref=_CHECKS)
    .make(_M.find_peer, "nobody has this uid", ref=_CHECKS)
    .need(_M.writes_to_the_other_role, "wrong role", ref=_CHECKS)
    .need(_M.claims_no_other_identity, "false identity", ref=_CHECKS)
    .give(_I.ROUTED)
)
MEANINGS: Final[dict[type[p.BobPacket], Guards[Any, MemberState, Any, None]]] = {
    **dict.fromkeys((p.HelloAsClient, p.HelloAsServer), HELLO),
    p.RelayFailure: FAILURE,
    **dict.fromkeys(ROLES, PACKET),
}
"""What decides about each packet; a relay expects no other."""

WASTED: Final = (
    Guards.of(Member, _S, Wasted, "wasted")
    .give_if(_M.is_excused, _I.EXCUSED, ref="floods")
    .give_if(_M.is_within_its_budget, _I.CHARGED, ref="floods")
    .give_if(_M.is_one_of_many, _I.MANY_FLOODED, ref="floods")
    .give(_I.FLOODED)
)

MEMBER: Final = Table[Member, MemberState](
    Member,
    MemberInput,
    MemberTimer,
    name="bob.member",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={_S.NEW: "the connection that makes it"},
    rows=(
        Row(_S.NEW, _I.CONNECTED, _S.STRANGER, arm=(_T.SILENCE,), ref="hello"),
        Row(_S.STRANGER, _I.HELLO_CLIENT, _S.CLIENT, _M.register, _M.greet_client, arm=(_T.SILENCE,), ref="hello"),
        Row(_S.STRANGER, _I.HELLO_SERVER, _S.SERVER, _M.register, _M.greet_server, arm=(_T.SILENCE,), ref="hello"),
        Row(_S.STRANGER, _I.NO_UID_LEFT, _S.ENDED, _M.send_closed, _M.close, ref="uids"),
        Row(_S.STRANGER, _I.EXPIRED, _S.ENDED, _M.send_timeout, _M.close, ref="times and limits"),
        Row(_S.STRANGER, _I.MALFORMED, _S.ENDED, _M.send_closed, _M.close, ref="bad packets"),
        Row(_S.STRANGER, _I.LEFT, _S.ENDED, _M.close, ref="leaving"),
        Row(_S.CLIENT, _I.HELLO_CLIENT, None, _M.greet_client, arm=(_T.SILENCE,), ref="hello again"),
        Row(_S.SERVER, _I.HELLO_SERVER, None, _M.greet_server, arm=(_T.SILENCE,), ref="hello again"),
        Row(_REGISTERED, _I.ROUTED, None, _M.hand_over, arm=(_T.SILENCE,), ref=_CHECKS),
        Row(_REGISTERED, _I.FAILURE, None, _M.note_failure, arm=(_T.SILENCE,), ref="times and limits"),
        Row(_REGISTERED, _I.MALFORMED, _S.ENDED, _M.send_closed, _M.leave_malformed, _M.close, ref="bad packets"),
        Row(_REGISTERED, _I.EXPIRED, _S.ENDED, _M.send_timeout, _M.leave_idle, _M.close, ref="times and limits"),
        Row(_REGISTERED, _I.LEFT, _S.ENDED, _M.leave, _M.close, ref="leaving"),
        Row(_REGISTERED, _I.EXCUSED, None, _M.excuse, ref="floods"),
        Row((_S.STRANGER, *_REGISTERED), _I.CHARGED, None, _M.charge, ref="floods"),
        Row(_S.STRANGER, _I.FLOODED, _S.ENDED, _M.cut, ref="floods"),
        Row(_REGISTERED, _I.FLOODED, _S.ENDED, _M.expel, _M.cut, ref="floods"),
        Row(_S.STRANGER, _I.MANY_FLOODED, _S.MUTED, _M.mute, arm=(_T.MUTE,), cancel=(_T.SILENCE,), ref="floods"),
        Row(
            _REGISTERED,
            _I.MANY_FLOODED,
            _S.MUTED,
            _M.expel,
            _M.mute,
            arm=(_T.MUTE,),
            cancel=(_T.SILENCE,),
            ref="floods",
        ),
        Row(_S.MUTED, _I.MUTE_EXPIRED | _I.LEFT, _S.ENDED, _M.abort, ref="floods"),
    ),
    defaults=(
        Default(Outcome.IGNORE, "unexpected packet", _I.UNEXPECTED),
        Default(Outcome.IGNORE, "before hello", states=(_S.STRANGER,)),
        Default(Outcome.IGNORE, "role already taken", states=_REGISTERED),
        Default(Outcome.IGNORE, "late"),
    ),
)
