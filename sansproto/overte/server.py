"""A domain server: lets nodes in, tells them of each other, forgets them. docs/protocols/overte.rst, the domain server.

It is a meeting place: what nodes have to say to each other does not go through it.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import Annotated, Final

import attrs

from ..component import Note, OptionalPart
from ..contract import Address, Entropy, Path, Phase, Transmit
from ..events import Closed
from ..snapshot import CACHED
from ..trace import Trace
from . import packets as p
from .admission import CONNECT, ICE_PING, Admission
from .endpoint import OverteEndpoint
from .fan_out import AT_ONCE
from .header import Header
from .limits import ServerDelays, ServerLimits
from .member import CHECK_IN, KICK_REQUEST, PATH_QUERY, SETTINGS_REQUEST, STATS, USERNAME_REQUEST, Member, MemberInput
from .members import Members
from .parts import Arrival, Peer
from .policy import Policy, bans_of, require_utf8
from .qt import NULL_UUID
from .registration import ACK, CLIENT, DENIAL, REPLY, IceRegistration, Registration, Signed
from .remote import SOCKET, is_private
from .server_events import BanAdded, Departure, ServerEvent
from .versions import DEFAULT, DOMAIN_IGNORED_VERIFICATION, PacketType, VersionTable

_OF_STRANGERS: Final = {
    PacketType.DOMAIN_CONNECT_REQUEST.value: CONNECT,
    PacketType.DOMAIN_CONNECT_REQUEST_PENDING.value: CONNECT,
    PacketType.ICE_PING.value: ICE_PING,
}
_OF_ICE: Final = {
    PacketType.ICE_PING_REPLY.value: REPLY,
    PacketType.ICE_SERVER_PEER_INFORMATION.value: CLIENT,
    PacketType.ICE_SERVER_HEARTBEAT_ACK.value: ACK,
    PacketType.ICE_SERVER_HEARTBEAT_DENIED.value: DENIAL,
}
_OF_MEMBERS: Final = {
    PacketType.DOMAIN_LIST_REQUEST.value: CHECK_IN,
    PacketType.NODE_JSON_STATS.value: STATS,
    PacketType.NODE_KICK_REQUEST.value: KICK_REQUEST,
    PacketType.USERNAME_FROM_ID_REQUEST.value: USERNAME_REQUEST,
}
_OF_THEIR_ADDRESSES: Final = {
    PacketType.DOMAIN_SERVER_PATH_QUERY.value: PATH_QUERY,
    PacketType.DOMAIN_SETTINGS_REQUEST.value: SETTINGS_REQUEST,
}
"""Which guards see a packet, by the number of its type; the last ones those without a source."""


_MAX_BANS: Final = 1 << 16
_MAX_NAME: Final = 1024  # bytes of a name in an answer

TOO_MANY_BANS: Final = Note("too many bans", ref="kicking")


class DomainServer(OverteEndpoint[ServerEvent, ServerDelays, ServerLimits]):
    """Serves a domain to up to ``limits.nodes`` nodes, under a policy that can be replaced at any time.

    ``domain_id`` is its UUID, 16 bytes. ``version_name`` names the release that a denial tells clients of another
    protocol to use; by default the name of ``versions``. ``authenticate`` says whether packets between nodes have a
    MAC. With ``strict_senders`` a node may send only from the address at which it connected, unless both addresses are
    private; without it, from any address. Without ``trust_loopback`` the server's own machine has the limits of any
    other host, and not the permissions of ``localhost``: use that behind a proxy on this machine. With ``ice`` the
    domain can be found by ice-servers. A snapshot does not hold the policy: pass it to ``restore`` again. ``close``
    tells the nodes nothing; they find out because check-ins stay unanswered.

    Raises ValueError for a ``domain_id`` that is not 16 bytes, or is null, and for text that cannot be encoded as
    UTF-8.

    Verbs: ``provide_key``, ``assign``, ``kick``, ``answer_username``, ``change_policy``, ``close``.
    """

    members: Members
    admission: Admission
    registration: OptionalPart[Registration]
    """At ice-servers: from the time on when the socket is bound."""
    policy: Annotated[Policy, CACHED]
    domain_id: Annotated[bytes, CACHED]
    ice: Annotated[IceRegistration | None, CACHED]
    trust_loopback: Annotated[bool, CACHED]
    _strict_senders: Annotated[bool, CACHED]
    _authenticate: Annotated[bool, CACHED]

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
        trust_loopback: bool = True,
        authenticate: bool = True,
        ice: IceRegistration | None = None,
        delays: ServerDelays | None = None,
        limits: ServerLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        if len(domain_id) != 16 or not any(domain_id):
            raise ValueError("domain_id is no UUID")
        require_utf8("version_name", version_name or "")
        delays, limits = delays or ServerDelays(), limits or ServerLimits()
        super().__init__(
            entropy=entropy, wall_epoch=wall_epoch, versions=versions, delays=delays, limits=limits, trace=trace
        )
        self.policy, self.domain_id, self.ice = policy or Policy(), domain_id, ice
        self._strict_senders, self._authenticate = strict_senders, authenticate
        self.trust_loopback = trust_loopback
        version_name, servers = versions.name if version_name is None else version_name, ice.servers if ice else ()
        self.members = Members(self)
        self.admission = Admission(self, self.members, version_name)
        self.registration = OptionalPart(lambda: Registration(self, servers))
        self.phase = Phase.OPEN

    # -- verbs

    def provide_key(self, username: str, key: bytes | str | None, now: float) -> None:
        """Answer :class:`KeyWanted`: the user's public key, as DER or as the base64 text of directory services.

        None means that there is no key. The answer is kept until ``limits.keys`` newer ones came. If there is no key,
        or the key cannot be used, requests with a signature are denied.
        """
        self.ask("provide_key")
        self.advance(now)
        self.admission.provide_key(username, key)

    def assign(self, connect_id: bytes, node_type: p.NodeType, now: float) -> None:
        """Expect a node of a static type (a mixer or server) with this connect UUID.

        It is for one node at a time, and stays valid. LocalProtocolError if it is in use for another type, is not 16
        bytes or is null, for types that need no assignment, and over ``limits.nodes``.
        """
        self.ask("assign")
        self.advance(now)
        self.admission.assign(connect_id, node_type)

    def kick(self, node_id: bytes, now: float, *, ban: int = 0) -> bool:
        """Kick a node. The other nodes are told; the node itself is not. Returns False if it is gone already.

        The bits of :class:`~.packets.Ban` in ``ban`` say what is banned; nodes that match the ban are removed, too.
        :class:`BanAdded` comes for each new ban. The policy holds at most 65,536 bans. docs/protocols/overte.rst,
        kicking. Raises NotOpen after the end.
        """
        self.ask("kick")
        self.advance(now)
        member = self.members.by_id.get(node_id)
        if member is None:
            return False
        bans = bans_of(self.admission.visitor(member.entry), ban) - self.policy.bans
        self.verb("kick", now, member.asked(MemberInput.LEAVE(Departure.KICKED)))
        if bans and len(self.policy.bans) + len(bans) > _MAX_BANS:
            self.count_note(TOO_MANY_BANS, self.admission)
        elif bans:
            for banned in sorted(bans, key=lambda banned: banned.text):
                self.emit(BanAdded(banned))
            self.change_policy(attrs.evolve(self.policy, bans=self.policy.bans | bans), now)
        return True

    def answer_username(self, by: bytes, node_id: bytes, now: float) -> bool:
        """Answer :class:`UsernameAsked`. Only nodes that may kick, or ask about themselves, get name and fingerprint.

        Queues a datagram. False if one of the two is gone: then there is no answer. Raises NotOpen after the end.
        docs/protocols/overte.rst, names and statistics.
        """
        self.ask("answer_username")
        self.advance(now)
        asker, about = self.members.by_id.get(by), self.members.by_id.get(node_id)
        if asker is None or about is None:
            return False
        may_know, entry = asker is about or asker.permissions & p.Permissions.KICK, about.entry
        name = entry.username.encode()[:_MAX_NAME].decode("utf-8", "ignore") if may_know else ""
        reply = p.UsernameFromIDReply(
            node_id,
            name,
            entry.fingerprint if may_know else NULL_UUID,
            bool(about.permissions & p.Permissions.KICK),
        )
        self.send_packet(asker.entry.path, reply)
        return True

    def change_policy(self, policy: Policy, now: float) -> None:
        """Use another policy from now on. Nodes that may not connect any more are removed without notice.

        This looks at every node. Nodes with an assignment stay as they are, and no node has to leave because of
        ``capacity``.
        """
        self.ask("change_policy")
        self.advance(now)
        self.policy = policy
        for member in tuple(self.members.by_id.values()):
            if member.entry.connect_id is None:
                self.admission.reconsider(member)
        self.run()

    def end(self, closed: Closed) -> None:
        super().end(closed)
        self.members.fan_out.under_way.clear()

    # -- the contract

    def next_transmit(self) -> Transmit | None:
        fan_out = self.members.fan_out
        for _ in range(AT_ONCE):
            if self._outbox or not fan_out.under_way:
                break
            fan_out.go_on()
            self.run()
        return super().next_transmit()

    def next_timeout(self) -> float | None:
        """At once if something is left that made no datagram within one call."""
        if self.members.fan_out.under_way and not self._outbox:
            return nextafter(self.clock, inf)
        return super().next_timeout()

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        super().socket_bound(socket, address, now)
        if self.ice is not None and socket == SOCKET and self.phase is not Phase.CLOSED:
            signed, registration = Signed.by(self.ice, self.domain_id, address), self.registration.part
            if registration is None:
                self.registration.start(Registration.begin, signed)
            else:
                registration.signed = signed
            self.run()

    def looked_up(self, query: int, addresses: tuple[Address, ...], now: float) -> None:
        registration = self.registration.part
        if registration is None or query != registration.query:
            super().looked_up(query, addresses, now)
        else:  # a session that is over has no registration any more
            self.advance(now)
            registration.looked_up(addresses)
            self.run()

    # -- the transport's questions

    @property
    def waiting(self) -> int:
        """Datagrams that were not yet taken."""
        return len(self._outbox)

    def authenticates(self) -> bool:
        return self._authenticate

    def accepts_unverified(self, header: Header, path: Path, peer: Peer) -> bool:
        return header.type in DOMAIN_IGNORED_VERIFICATION

    def accepts_channel(self, path: Path) -> bool:
        return path in self.members.by_path

    def source_of(self, local_id: int, path: Path) -> Peer | None:
        member = self.members.by_local_id.get(local_id)
        if member is None or not self._strict_senders or member.entry.path == path:
            return member
        return member if is_private(member.entry.path.host) and is_private(path.host) else None

    # -- what arrives

    def accepts_version(self, header: Header) -> bool:
        return _OF_STRANGERS.get(header.type._value_) is CONNECT

    def arrived(self, arrival: Arrival) -> None:
        kind, peer = arrival.header.type._value_, arrival.peer
        if isinstance(peer, Member):
            peer.is_proven = True
            if kind == PacketType.DOMAIN_DISCONNECT_REQUEST._value_:
                peer.post(MemberInput.LEAVE(Departure.LEFT))
            else:
                self.give(peer, _OF_MEMBERS.get(kind), arrival)
        elif kind in _OF_STRANGERS:
            self.give(self.admission, _OF_STRANGERS[kind], arrival)
        elif kind in _OF_ICE:
            self.give(self.registration.part, _OF_ICE[kind], arrival)
        else:
            self.give(self.members.by_path.get(arrival.path), _OF_THEIR_ADDRESSES.get(kind), arrival)
