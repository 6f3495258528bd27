"""A node that a domain server has let in: docs/protocols/overte.rst, admission, pruning and leaving."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from struct import Struct
from typing import Annotated, Final, Protocol

import attrs

from ..component import Component
from ..contract import Instant, Path
from ..endpoint import Received
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED, MEMO
from ..wire import Absent
from . import packets as p
from .fan_out import FanOut
from .header import MAX_DATAGRAM
from .parts import Arrival, ServerHost, reads, receives
from .qt import SockAddr
from .remote import with_host
from .server_events import Departure, KickAsked, NodeChanged, NodeJoined, NodeLeft, StatsReceived, UsernameAsked
from .versions import PacketType

AGENT: Final = p.NodeType.AGENT
ADMISSIBLE: Final = p.STATIC | {AGENT}

_TYPES: Final = bytes(sorted(kind.value for kind in ADMISSIBLE))
_CLOCK: Final = Struct(">Q").unpack_from  # at the front of a list request
_PATH_ROOM: Final = MAX_DATAGRAM - 6 - p.PathResponse.__wire__.min_size


@lru_cache(1024)
def interest_of(node_type: int, wanted: bytes) -> bytes:
    """The types of which a node is told: those that it wants and that can be here. Agents never see agents."""
    return bytes(kind for kind in _TYPES if kind in wanted and not node_type == kind == AGENT)


@attrs.frozen(weakref_slot=False)
class Entry:
    """As what a node comes in. It is answered at ``path``, where its connect request came from, and nowhere else.

    The names are empty, or have to be verified before it is in.
    """

    node_type: p.NodeType | int
    path: Path
    fingerprint: bytes
    connect_id: bytes | None
    """Of its assignment, if it has one."""
    username: str
    """In the way in which it is looked up."""
    account: str


class MemberState(Enum):
    NEW = 0
    PRESENT = 1
    GONE = 2


class MemberInput:
    ADMITTED = Input[MemberState, None]()
    ADMITTED_AGAIN = Input[MemberState, None]()
    CHECKED_IN = Input[MemberState, Arrival]()
    """It asks for a list, and says nothing new."""
    REPORTED = Input[MemberState, Received[p.DomainListRequest]]()
    """It asks for a list."""
    SILENT = Input[MemberState, None]()
    LEAVE = Input[MemberState, Departure]()
    STATS = Input[MemberState, Arrival]()
    KICK_ASKED = Input[MemberState, p.NodeKickRequest]()
    USERNAME_ASKED = Input[MemberState, p.UsernameFromIDRequest]()
    PATH_ASKED = Input[MemberState, p.PathResponse]()
    SETTINGS_ASKED = Input[MemberState, p.DomainSettingsRequest]()


class MemberOwner(Protocol):
    """What a node needs of those who keep the nodes."""

    fan_out: FanOut

    def change_interest(self, member: Member, interest: bytes) -> None: ...
    def enrol(self, member: Member) -> None: ...
    def forget_member(self, member: Member) -> None: ...


class Member(Component[MemberState, ServerHost]):
    """A node of the domain. Thousands may be there, so it is slotted."""

    __slots__ = (
        *("counted_from", "echo", "entry", "heard", "interest", "is_listed", "is_proven", "joined", "lists", "local"),
        *("local_id", "node_id", "owner", "permissions", "place_name", "public", "record", "report"),
    )
    local_id: int
    entry: Entry
    joined: Instant
    public: SockAddr
    local: SockAddr
    place_name: str
    permissions: int
    interest: bytes
    """Node types."""
    heard: Instant
    echo: int
    """Its clock at its last request."""
    is_proven: bool
    """It sent what only the receiver of its list can send."""
    is_listed: bool
    """A list to it is under way."""
    counted_from: Instant
    lists: int
    """That it asked for since then."""
    node_id: Annotated[bytes, CACHED]
    owner: Annotated[MemberOwner, CACHED]
    report: Annotated[bytes | None, MEMO]
    """Its last list request from there, without the clock; None: unknown."""
    record: Annotated[bytes | None, MEMO]
    """How others see it, without the secret; None: to be made."""

    def __init__(self, host: ServerHost, owner: MemberOwner, node_id: bytes) -> None:
        super().__init__(host)
        self.owner, self.node_id = owner, node_id
        self.is_proven = self.is_listed = False
        self.counted_from, self.lists = 0.0, 0
        self.report = self.record = None

    def begin(self, local_id: int, entry: Entry, said: p.CheckIn, permissions: int) -> None:
        self.local_id, self.entry, self.permissions = local_id, entry, permissions
        self.public, self.local = with_host(said.public_socket, entry.path), said.local_socket
        self.place_name = said.place_name or ""
        self.interest = interest_of(entry.node_type, said.interests)
        self.joined = self.heard = self.host.clock
        self.echo = said.client_clock
        self.report = said.encode()[8:]

    @property
    def secret(self) -> bytes:
        """A node shares secrets with other nodes, never with the domain."""
        return b""

    # -- what happens

    def repeat(self, said: p.CheckIn) -> None:
        """A copy of the request that brought it in."""
        self.echo = said.client_clock
        self.post(_I.ADMITTED_AGAIN())

    def permit(self, permissions: int) -> None:
        if permissions != self.permissions:
            self.permissions, self.record = permissions, None

    # -- guards and timers

    def says_nothing_new(self, arrival: Arrival) -> bool:
        """A list request is nearly always as the last one, all but its clock: then it need not be read."""
        return arrival.payload[8:] == self.report and arrival.path == self.entry.path

    def may_kick(self) -> bool:
        return bool(self.permissions & p.Permissions.KICK)

    def is_another(self, asked: p.NodeKickRequest) -> bool:
        return asked.id != self.node_id

    def find_path(self, query: p.PathQuery) -> p.PathResponse | None:
        viewpoint = self.host.policy.viewpoint(query.path)
        if viewpoint is None or len((query.path + viewpoint).encode()) > _PATH_ROOM:
            return None
        return p.PathResponse(query.path, viewpoint)

    def has_room_for_path(self) -> bool:
        return self._has_room_for(PacketType.DOMAIN_SERVER_PATH_RESPONSE)

    def has_room_for_settings(self) -> bool:
        return self._has_room_for(PacketType.DOMAIN_SETTINGS)

    def _has_room_for(self, answer: PacketType) -> bool:
        """Questions are short, and who does not acknowledge the answers may ask for ever more of them."""
        return self.host.count_unacknowledged(self.entry.path, answer) < self.host.limits.answers

    def is_heard_lately(self) -> bool:
        return self.silence() > 0

    def silence(self) -> float:
        """Seconds until it is silent for too long."""
        return self.heard + self.host.delays.silence - self.host.clock

    # -- actions

    def enrol(self) -> None:
        self.owner.enrol(self)

    def send_first_list(self) -> None:
        self.owner.fan_out.send_list(self, is_new=True)

    def send_list(self) -> None:
        self.owner.fan_out.send_list(self, is_new=False)

    def note_clock(self, arrival: Arrival) -> None:
        (self.echo,) = _CLOCK(arrival.payload)

    def update(self, received: Received[p.DomainListRequest]) -> None:
        """What it reports of itself, if that is new. It is answered where it connected, whatever it says."""
        said = received.packet
        self.echo = said.client_clock
        self.report = said.encode()[8:] if received.path == self.entry.path else None
        interest = interest_of(self.entry.node_type, said.interests)
        if interest != self.interest:
            self.owner.change_interest(self, interest)
        place, public, local = said.place_name or "", with_host(said.public_socket, received.path), said.local_socket
        if (self.public, self.local, self.place_name) != (public, local, place):
            self.public, self.local, self.place_name, self.record = public, local, place, None
            self.host.emit(NodeChanged(self.node_id, public=public, local=local, place=place))

    def announce(self) -> None:
        self.owner.fan_out.announce(self, is_gone=False)

    def forget_it(self) -> None:
        self.owner.forget_member(self)

    def answer_path(self, response: p.PathResponse) -> None:
        self.host.send_reliable(self.entry.path, response)

    def answer_settings(self, request: p.DomainSettingsRequest) -> None:
        settings = self.host.policy.settings_for(request.type).encode()
        self.host.send_message(self.entry.path, PacketType.DOMAIN_SETTINGS, settings)

    def tell_stats(self, arrival: Arrival) -> None:
        self.host.emit(StatsReceived(self.node_id, arrival.payload))

    def tell_username_asked(self, asked: p.UsernameFromIDRequest) -> None:
        self.host.emit(UsernameAsked(self.node_id, asked.id))

    def tell_kick_asked(self, asked: p.NodeKickRequest) -> None:
        flags = p.USUAL_BAN if isinstance(asked.ban_flags, Absent) else asked.ban_flags
        self.host.emit(KickAsked(self.node_id, asked.id, flags=flags))

    def tell_joined(self) -> None:
        entry = self.entry
        self.host.emit(
            NodeJoined(
                self.node_id,
                p.NodeType(entry.node_type),
                local_id=self.local_id,
                path=entry.path,
                permissions=self.permissions,
                username=entry.username,
                account=entry.account,
                place=self.place_name,
            )
        )

    def tell_left(self, why: Departure) -> None:
        self.host.emit(NodeLeft(self.node_id, why))

    def tell_silent(self) -> None:
        self.tell_left(Departure.SILENT)


class MemberTimer:
    SILENCE = Timer(MemberInput.SILENT, Member.silence)


_S, _I, _T, _M = MemberState, MemberInput, MemberTimer, Member

CHECK_IN: Final = (
    Guards.of(_M, _S, Arrival, "check_in")
    .give_if(_M.says_nothing_new, _I.CHECKED_IN, ref="answering a check-in")
    .make(receives(p.DomainListRequest), "malformed DomainListRequest", ref="answering a check-in")
    .give(_I.REPORTED)
)
STATS: Final = Guards.of(_M, _S, Arrival, "stats").give(_I.STATS)
KICK_REQUEST: Final = (
    Guards.of(_M, _S, Arrival, "kick_request")
    .make(reads(p.NodeKickRequest), "malformed NodeKickRequest", ref="kicking")
    .need(_M.may_kick, "kick without permission", ref="kicking")
    .need(_M.is_another, "a kick of oneself", ref="kicking")
    .give(_I.KICK_ASKED)
)
USERNAME_REQUEST: Final = (
    Guards.of(_M, _S, Arrival, "username_request")
    .make(reads(p.UsernameFromIDRequest), "malformed UsernameFromIDRequest", ref="names and statistics")
    .give(_I.USERNAME_ASKED)
)
PATH_QUERY: Final = (
    Guards.of(_M, _S, Arrival, "path_query")
    .make(reads(p.PathQuery), "malformed PathQuery", ref="paths and settings")
    .make(_M.find_path, "path without answer", ref="paths and settings")
    .need(_M.has_room_for_path, "too many answers wait", ref="paths and settings")
    .give(_I.PATH_ASKED)
)
SETTINGS_REQUEST: Final = (
    Guards.of(_M, _S, Arrival, "settings_request")
    .make(reads(p.DomainSettingsRequest), "malformed DomainSettingsRequest", ref="paths and settings")
    .need(_M.has_room_for_settings, "too many answers wait", ref="paths and settings")
    .give(_I.SETTINGS_ASKED)
)


MEMBER: Final = Table[Member, MemberState](
    Member,
    MemberInput,
    MemberTimer,
    name="overte.member",
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={_S.NEW: "the request that makes it"},
    rows=(
        Row(
            _S.NEW,
            _I.ADMITTED,
            _S.PRESENT,
            _M.enrol,
            _M.tell_joined,
            _M.send_first_list,
            _M.announce,
            arm=(_T.SILENCE,),
            ref="admission",
        ),
        Row(_S.PRESENT, _I.ADMITTED_AGAIN, None, _M.send_first_list, ref="repeated requests"),
        Row(_S.PRESENT, _I.CHECKED_IN, None, _M.note_clock, _M.send_list, ref="answering a check-in"),
        Row(_S.PRESENT, _I.REPORTED, None, _M.update, _M.send_list, ref="answering a check-in"),
        Row(_S.PRESENT, _I.STATS, None, _M.tell_stats, ref="names and statistics"),
        Row(_S.PRESENT, _I.USERNAME_ASKED, None, _M.tell_username_asked, ref="names and statistics"),
        Row(_S.PRESENT, _I.KICK_ASKED, None, _M.tell_kick_asked, ref="kicking"),
        Row(_S.PRESENT, _I.PATH_ASKED, None, _M.answer_path, ref="paths and settings"),
        Row(_S.PRESENT, _I.SETTINGS_ASKED, None, _M.answer_settings, ref="paths and settings"),
        Row(_S.PRESENT, _I.SILENT, None, when=_M.is_heard_lately, arm=(_T.SILENCE,), ref="pruning"),
        Row(_S.PRESENT, _I.SILENT, _S.GONE, _M.forget_it, _M.tell_silent, ref="pruning"),
        Row(_S.PRESENT, _I.LEAVE, _S.GONE, _M.forget_it, _M.tell_left, ref="leaving"),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
