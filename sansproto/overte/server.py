"""A domain server: lets nodes in, tells them of each other, forgets them. docs/protocols/overte.rst, the domain server.

It is a meeting place: what nodes have to say to each other does not go through it.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict, deque
from math import inf, nextafter
from struct import Struct
from typing import Annotated, Final

from ..component import OptionalPart
from ..contract import Address, Entropy, Path, Phase, Transmit
from ..errors import NotOpen
from ..events import CloseCause, Closed
from ..old_machine import Machine
from ..snapshot import CACHED
from ..trace import Trace
from . import packets as p
from .gatekeeper import Gatekeeper, is_private, with_host
from .header import MAX_DATAGRAM, Header
from .limits import ServerDelays, ServerLimits
from .policy import Policy, require_utf8
from .received import Received
from .registration import ACK, CLIENT, DENIAL, REPLY, IceRegistration, Registration, RegistrationInput, Signed
from .roster import Announcement, Listing, Member, News, Roster, interest_of
from .server_events import Departure, KickAsked, NodeChanged, NodeJoined, NodeLeft, StatsReceived, UsernameAsked
from .tables import MEMBER
from .tables.server import MemberInput
from .transport import SOCKET, Peer
from .versions import DEFAULT, DOMAIN_IGNORED_VERIFICATION, PacketType, VersionTable

_AT_ONCE: Final = 8  # datagrams of a list or announcement that one call makes; the others are made when they are taken
_SECOND: Final = 1.0
_LIST_ROOM: Final = MAX_DATAGRAM - 6 - p.DomainList.__wire__.min_size  # for records
_PATH_ROOM: Final = MAX_DATAGRAM - 6 - p.PathResponse.__wire__.min_size
_RECORD_END: Final = 16  # bytes of the secret, which ends a record
_CLOCK: Final = Struct(">Q").unpack_from  # at the front of a list request
_LIST, _LIST_REQUESTED = PacketType.DOMAIN_LIST, MemberInput.LIST_REQUESTED  # looked up once: the hot path
_OF_ICE: Final = frozenset(
    {
        PacketType.ICE_PING_REPLY,
        PacketType.ICE_SERVER_PEER_INFORMATION,
        PacketType.ICE_SERVER_HEARTBEAT_ACK,
        PacketType.ICE_SERVER_HEARTBEAT_DENIED,
    }
)
_CONNECT_TYPES: Final = (PacketType.DOMAIN_CONNECT_REQUEST, PacketType.DOMAIN_CONNECT_REQUEST_PENDING)


class DomainServer(Gatekeeper):
    """A domain for up to ``limits.nodes`` nodes, under a policy that can be replaced at any time.

    ``domain_id`` is its UUID, 16 bytes. ``version_name`` is what clients of another protocol are told to look for; by
    itself the name of ``versions``.
    ``authenticate`` says whether packets between nodes have a MAC. Without ``strict_senders`` a node may send from
    everywhere; else only from where it connected, except that both may be private addresses. With ``ice`` the domain is
    found by ice-servers. A snapshot does not hold the policy: ``restore`` gets it again.

    Raises ValueError for a ``domain_id`` that is not 16 bytes, or is null, and for text that has no UTF-8.
    """

    _master: bytes  # of which the secrets of all pairs are derived
    _spreads: deque[Listing | Announcement]  # what is made when it is taken
    registration: OptionalPart[Registration]
    domain_id: Annotated[bytes, CACHED]
    ice: Annotated[IceRegistration | None, CACHED]
    _strict_senders: Annotated[bool, CACHED]
    _authenticate: Annotated[bool, CACHED]

    _member = Machine(MEMBER, objects="_members")

    def __init__(
        self,
        *,
        entropy: Entropy,
        wall_epoch: float,
        domain_id: bytes,
        policy: Policy | None = None,
        versions: VersionTable = DEFAULT,
        version_name: str | None = None,
        strict_senders: bool = True,
        authenticate: bool = True,
        ice: IceRegistration | None = None,
        delays: ServerDelays | None = None,
        limits: ServerLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        if len(domain_id) != 16 or not any(domain_id):
            raise ValueError("domain_id is no UUID")
        require_utf8("version_name", version_name or "")
        super().__init__(
            entropy=entropy,
            wall_epoch=wall_epoch,
            versions=versions,
            delays=delays or ServerDelays(),
            limits=limits or ServerLimits(),
            trace=trace,
        )
        self.domain_id, self.ice = domain_id, ice
        servers = () if ice is None else ice.servers
        self.registration = OptionalPart(lambda: Registration(self, servers, domain_id, self._delays, self._limits))
        self._policy = policy or Policy()
        self._version_name = versions.name if version_name is None else version_name
        self._strict_senders = strict_senders
        self._authenticate = authenticate
        self._master = self._draw(32, "master")
        start, step = self._draw(2, "local_id.start"), self._draw(2, "local_id.step")
        self._roster = Roster(int.from_bytes(start, "big"), int.from_bytes(step, "big") | 1)
        self._roster.own_id = self._roster.fresh_id()
        self._know_nobody()
        self.phase = Phase.OPEN

    def _know_nobody(self) -> None:
        self._roster = Roster(self._roster.last_id, self._roster.step, self._roster.own_id)
        self._spreads = deque()
        self._tokens = OrderedDict()
        self._keys = OrderedDict()
        self._answers = OrderedDict()
        self._assignments = {}

    @property
    def _members(self) -> dict[int, Member]:
        return self._roster.members

    # -- verbs

    def kick(self, node_id: bytes, now: float) -> None:
        """Throw a node out. It is not told, but the others are. NotOpen if it is gone already."""
        self._require_open("kick", now)
        member = self._roster.of_id(node_id)
        if member is None:
            raise NotOpen("kick", "GONE")
        self._post(self._member, member, MemberInput.KICKED)
        self._settle()

    def change_policy(self, policy: Policy, now: float) -> None:
        """Judge by another policy from now on, also those that are in: who may not connect any more is out, untold.

        This looks at every node. Those with an assignment stay as they are, and nobody leaves because it is full.
        """
        self._require_open("change_policy", now)
        self._policy = policy
        for member in tuple(self._members.values()):
            if not member.connect_id:
                self._judge_again(member)
        self._settle()

    def close(self, now: float) -> None:
        """End. Nodes are not told; they find out by their silent check-ins."""
        if self._alive(now):
            self._end(Closed(CloseCause.LOCAL))

    def _judge_again(self, member: Member) -> None:
        names = member.username, member.account
        permissions = self._permissions(self._visitor_of(member.path, member.node_type, member.fingerprint, names))
        if not permissions & p.Permissions.CONNECT:
            self._post(self._member, member, MemberInput.UNWELCOME)
        elif permissions != member.permissions:
            member.permissions = permissions
            member.record = b""

    def _end(self, closed: Closed) -> None:
        super()._end(closed)
        self.registration.end()
        self._know_nobody()

    # -- the ice-server

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        super().socket_bound(socket, address, now)
        if self.ice is not None and socket == SOCKET and self.phase is not Phase.CLOSED:
            signed, registration = Signed.by(self.ice, self.domain_id, address), self.registration.part
            if registration is None:
                self.registration.start(Registration.begin, signed).post(RegistrationInput.START())
            else:
                registration.signed = signed
            self.run()

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        registration = self.registration.part
        if registration is None or query != registration.query:
            super().looked_up(query, addresses, now)
        elif self.alive(now):
            registration.looked_up(addresses)
            self.run()

    # -- what arrives

    def authenticates(self) -> bool:
        return self._authenticate

    def accepts_unverified(self, header: Header, path: Path, peer: Peer) -> bool:
        return header.type in DOMAIN_IGNORED_VERIFICATION

    def accepts_channel(self, path: Path) -> bool:
        return self._roster.at(path) is not None

    def source_of(self, local_id: int, path: Path) -> Peer | None:
        member = self._roster.members.get(local_id)
        if member is None or not self._strict_senders or member.path == path:
            return member
        return member if is_private(member.path.host) and is_private(path.host) else None

    def other_version(self, header: Header, payload: bytes, path: Path) -> None:
        if header.type in _CONNECT_TYPES:
            self._judge(payload, path, of_other=True)

    def arrived(self, header: Header, payload: bytes, path: Path, peer: object) -> None:
        if isinstance(peer, Member):
            peer.is_proven = True
            self._from_member(header.type, payload, path, peer)
        elif header.type in _CONNECT_TYPES:
            self._judge(payload, path, of_other=header.type is PacketType.DOMAIN_CONNECT_REQUEST_PENDING)
        elif header.type is PacketType.ICE_PING:
            ping = self.decode_payload(p.ICEPing, payload)
            if ping is not None:
                self.answer(path, p.ICEPingReply(self.domain_id, ping.type))
        elif header.type in _OF_ICE and (registration := self.registration.part) is not None:
            self._to_registration(registration, header, payload, path)
        else:
            self._from_address(header, payload, path)

    def _to_registration(self, registration: Registration, header: Header, payload: bytes, path: Path) -> None:
        match header.type:
            case PacketType.ICE_SERVER_HEARTBEAT_ACK:
                registration.take(ACK, path)
            case PacketType.ICE_SERVER_HEARTBEAT_DENIED:
                registration.take(DENIAL, path)
            case PacketType.ICE_SERVER_PEER_INFORMATION:
                client = self.decode_payload(p.ICEServerPeerInformation, payload)
                if client is not None:
                    registration.take(CLIENT, Received(client, path))
            case _:
                reply = self.decode_payload(p.ICEPingReply, payload)
                if reply is not None:
                    registration.take(REPLY, Received(reply, path))

    def _from_member(self, kind: PacketType, payload: bytes, path: Path, member: Member) -> None:
        match kind:
            case PacketType.DOMAIN_LIST_REQUEST:
                self._check_in(payload, path, member)
            case PacketType.DOMAIN_DISCONNECT_REQUEST:
                self._post(self._member, member, MemberInput.LEFT)
            case PacketType.NODE_JSON_STATS:
                self._emit(StatsReceived(member.node_id, payload))
            case PacketType.NODE_KICK_REQUEST:
                kick = self.decode_payload(p.NodeKickRequest, payload)
                if kick is not None and not member.permissions & p.Permissions.KICK:
                    self._drop("kick without permission")
                elif kick is not None:
                    self._emit(KickAsked(member.node_id, kick.id, flags=kick.ban_flags))
            case PacketType.USERNAME_FROM_ID_REQUEST:
                question = self.decode_payload(p.UsernameFromIDRequest, payload)
                if question is not None:
                    self._emit(UsernameAsked(member.node_id, question.id))
            case _:
                self._drop("unexpected packet")

    def _check_in(self, payload: bytes, path: Path, member: Member) -> None:
        """A list request: nearly always all but its clock is as it was in the last one, and then need not be read."""
        report, request = payload[8:], None
        if not (report and report == member.report and path == member.path):
            request = self.decode_payload(p.DomainListRequest, payload)
            if request is None:
                return
            member.report = report if path == member.path and len(payload) <= MAX_DATAGRAM else b""
        (member.echo,) = _CLOCK(payload)
        self._post(self._member, member, _LIST_REQUESTED, (request, path))

    def _from_address(self, header: Header, payload: bytes, path: Path) -> None:
        """Unsourced packets: only the addresses of nodes are answered."""
        if self._roster.at(path) is None:
            self._drop("unexpected packet")
        elif header.type is PacketType.DOMAIN_SETTINGS_REQUEST:
            request = self.decode_payload(p.DomainSettingsRequest, payload)
            if request is not None:
                self.send_message(path, PacketType.DOMAIN_SETTINGS, self._policy.settings_for(request.type).encode())
        elif header.type is PacketType.DOMAIN_SERVER_PATH_QUERY:
            query = self.decode_payload(p.PathQuery, payload)
            if query is not None:
                self._answer_path(query, path)
        else:
            self._drop("unexpected packet")

    def _answer_path(self, query: p.PathQuery, path: Path) -> None:
        viewpoint = self._policy.viewpoint(query.path)
        if viewpoint is None or len((query.path + viewpoint).encode()) > _PATH_ROOM:
            self._drop("path without answer")
        else:
            self.send_reliable(path, p.PathResponse(query.path, viewpoint))

    # -- the gatekeeper's decisions

    def _admit(self, member: Member, replaced: list[Member]) -> None:
        for other in replaced:
            self._post(self._member, other, MemberInput.REPLACED)
        self._post(self._member, member, MemberInput.ADMITTED)

    def _admit_again(self, member: Member) -> None:
        self._post(self._member, member, MemberInput.ADMITTED_AGAIN)

    # -- members: the table's actions

    def _member_is_heard_lately(self, member: Member, _: object) -> bool:
        return self._clock < member.heard + self._delays.silence

    def _member_silence_delay(self, member: Member) -> float:
        return member.heard + self._delays.silence - self._clock

    def _member_enrol(self, member: Member, _: object) -> None:
        self._roster.add(member)

    def _member_forget(self, member: Member, _: object) -> None:
        self._roster.remove(member)
        self.forget_channel(member.path)

    def _member_send_first_list(self, member: Member, _: object) -> None:
        self._list(member, is_new=True)

    def _member_send_list(self, member: Member, _: object) -> None:
        self._list(member, is_new=False)

    def _member_update(self, member: Member, arg: tuple[p.DomainListRequest | None, Path]) -> None:
        """What it reports of itself, if that is new. It is answered where it connected, whatever it says."""
        request, path = arg
        if request is None:
            return
        interest = interest_of(member.node_type, request.interests)
        if interest != member.interest:
            self._roster.set_interest(member, interest)
        place, public, local = request.place_name or "", with_host(request.public_socket, path), request.local_socket
        if (member.public, member.local, member.place) != (public, local, place):
            member.public, member.local, member.place = public, local, place
            member.record = b""
            self._emit(NodeChanged(member.node_id, public=public, local=local, place=place))

    def _member_announce(self, member: Member, _: object) -> None:
        self._announce(News.ADDED, member)

    def _member_announce_end(self, member: Member, _: object) -> None:
        self._announce(News.REMOVED, member)

    def _member_tell_joined(self, member: Member, _: object) -> None:
        self._emit(
            NodeJoined(
                member.node_id,
                member.node_type,
                local_id=member.local_id,
                path=member.path,
                permissions=member.permissions,
                username=member.username,
                account=member.account,
                place=member.place,
            )
        )

    def _member_tell_left(self, member: Member, _: object) -> None:
        self._emit(NodeLeft(member.node_id, Departure.LEFT))

    def _member_tell_silent(self, member: Member, _: object) -> None:
        self._emit(NodeLeft(member.node_id, Departure.SILENT))

    def _member_tell_kicked(self, member: Member, _: object) -> None:
        self._emit(NodeLeft(member.node_id, Departure.KICKED))

    def _member_tell_replaced(self, member: Member, _: object) -> None:
        self._emit(NodeLeft(member.node_id, Departure.REPLACED))

    def _member_tell_unwelcome(self, member: Member, _: object) -> None:
        self._emit(NodeLeft(member.node_id, Departure.UNWELCOME))

    # -- lists and announcements: begun at once, gone on with when they are taken

    def next_transmit(self) -> Transmit | None:
        if self._spreads:
            for _ in range(_AT_ONCE):
                if self._outbox or not self._spreads:
                    break
                work = self._spreads.popleft()  # in turns
                if self._make(work):
                    self._spreads.append(work)
                self._settle()
        return super().next_transmit()

    def next_timeout(self) -> float | None:
        """At once if something is left that made no datagram within one call."""
        if self._spreads and not self._outbox:
            return nextafter(self._clock, inf)
        return super().next_timeout()

    def _list(self, member: Member, *, is_new: bool) -> None:
        if self._clock - member.counted_from >= _SECOND:
            member.counted_from, member.lists = self._clock, 0
        member.lists += 1
        if member.is_listed:
            self._drop("list under way")
        elif member.lists > self._limits.lists:  # somebody may send in its name, for it to drown in lists
            self._drop("lists too often")
        elif self._may_spread():
            member.is_listed = True
            self._spread(Listing(member.node_id, is_new, self._clock))

    def _announce(self, news: News, member: Member) -> None:
        if self._may_spread():
            self._spread(Announcement(news, member.node_id, member.node_type.value))

    def _may_spread(self) -> bool:
        """Not while too much waits to be made: the next check-in brings a list, silence tells who is gone."""
        if len(self._spreads) < self._limits.announcements:
            return True
        self._drop("announcements full")
        return False

    def _spread(self, work: Listing | Announcement) -> None:
        """As much as one call may do, unless older work waits."""
        for _ in range(_AT_ONCE):
            if self._spreads or len(self._outbox) > self._limits.outbox // 2:
                break
            if not self._make(work):
                return
        self._spreads.append(work)

    def _make(self, work: Listing | Announcement) -> bool:
        """One datagram more; False if that was the last of it."""
        return self._list_on(work) if isinstance(work, Listing) else self._announce_on(work)

    def _list_on(self, listing: Listing) -> bool:
        """One datagram more, type by type, then by local id."""
        roster = self._roster
        member = roster.of_id(listing.node_id)
        if member is None:
            return False
        parts, room, more = [b""], _LIST_ROOM, False
        for kind, other in roster.of_types(member.interest, listing.kind, listing.last):
            if kind != listing.kind:
                listing.kind, listing.last = kind, 0
            if other is not member:  # who is in no list to itself
                record = self._record_of(other, member)
                room -= len(record)
                if room < 0:
                    more = True
                    break
                parts.append(record)
            listing.last = other.key
        parts[0] = p.LIST_PREFIX(
            self.domain_id,
            roster.own_id,
            member.node_id,
            member.key,
            member.permissions,
            self._authenticate,
            member.echo,
            self.wall_us(),
            int((self._clock - listing.asked) * 1e6),
            listing.is_new,
        )
        self.send_raw(member.path, _LIST, b"".join(parts))
        member.is_listed = more
        return more

    def _announce_on(self, announcement: Announcement) -> bool:
        target = self._roster.next_interested(announcement.kind, announcement.last)
        subject = self._roster.of_id(announcement.node_id)
        if target is None or (subject is None and announcement.news is News.ADDED):
            return False
        announcement.last = target.key
        if announcement.news is News.REMOVED:
            self.send_reliable(target.path, p.RemovedNode(announcement.node_id))
        elif subject is not None and subject is not target:
            self.send_raw(target.path, PacketType.DOMAIN_SERVER_ADDED_NODE, self._record_of(subject, target))
        return True

    def _record_of(self, member: Member, receiver: Member) -> bytes:
        if not member.record:
            record = p.NodeRecord(
                type=member.node_type,
                id=member.node_id,
                public_socket=member.public,
                local_socket=member.local,
                permissions=member.permissions,
                replicated=False,
                local_id=member.local_id,
                secret=bytes(_RECORD_END),
            )
            member.record = record.encode()[:-_RECORD_END]
        return member.record + self._secret_of(member.node_id, receiver.node_id)

    def _secret_of(self, one: bytes, other: bytes) -> bytes:
        """What two nodes have in common: it needs no memory, and no two pairs have the same."""
        pair = one + other if one < other else other + one
        return hmac.digest(self._master, pair, "sha256")[:16]
