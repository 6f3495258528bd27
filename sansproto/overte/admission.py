"""Who comes in: docs/protocols/overte.rst, connect requests.

A request may have been sent by anybody, whatever its sender's address says. So no answer is longer than the request,
but for the list that the protocol wants, and a host gets a few answers at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import Annotated, Final

import attrs

from ..component import Component, Refusal
from ..contract import Instant, Path
from ..endpoint import Received
from ..errors import LocalProtocolError
from ..fair import host_of
from ..machine import Guards, Input, Row, Table
from ..snapshot import CACHED
from ..wire import Absent
from . import packets as p
from .crypto import BadKey, lower, signed_digest
from .member import ADMISSIBLE, AGENT, Entry, Member, MemberInput
from .members import Members
from .parts import Arrival, ServerHost, keep_newest, read, receives
from .policy import ASSIGNED, Visitor
from .qt import SockAddr
from .remote import is_loopback, with_host
from .server_events import ConnectRefused, Departure, KeyWanted
from .tokens import Tokens
from .versions import PacketType

TOO_SHORT: Final = Refusal("request too short for an answer", ref="connect requests")

_SIGNATURE: Final = slice(16, 36)  # of the protocol, with its length: where it is in any version's connect request
_DENIAL_HEAD: Final = 1 + 2 + 2  # reason, two lengths; its datagram has the same header as that of a connect request


@attrs.define(eq=False, weakref_slot=False)
class Count:
    """How often, since then."""

    since: Instant
    count: int = 0


class Proof(Enum):
    """What a request has to show for its username."""

    NONE = 0
    """It has none, or needs none."""
    MISSING = 1
    """No signature, or over a token that is too old."""
    UNKNOWN = 2
    """The key is not known."""
    BAD = 3
    GOOD = 4


@attrs.frozen
class PendingConnect:
    """A connect request that could be read, with what is known of who sent it."""

    request: Arrival
    says: p.DomainConnectRequest = attrs.field(repr=False)
    entry: Entry
    sockets: tuple[SockAddr, SockAddr]
    """Its public and its local one."""
    replaced: dict[int, Member]
    """Who goes when it comes, by local id: the node at its address, and the one that has its assignment."""
    proof: Proof = Proof.NONE


class AdmissionState(Enum):
    READY = 0


class AdmissionInput:
    OTHER_PROTOCOL = Input[AdmissionState, Arrival]()
    REPEATED = Input[AdmissionState, PendingConnect]()
    TOKEN_NEEDED = Input[AdmissionState, PendingConnect]()
    KEY_UNKNOWN = Input[AdmissionState, PendingConnect]()
    BAD_SIGNATURE = Input[AdmissionState, PendingConnect]()
    LOGIN_FAILED = Input[AdmissionState, PendingConnect]()
    FORBIDDEN = Input[AdmissionState, PendingConnect]()
    FULL = Input[AdmissionState, PendingConnect]()
    ADMITTED = Input[AdmissionState, PendingConnect]()
    PINGED = Input[AdmissionState, Received[p.ICEPing]]()


class Admission(Component[AdmissionState, ServerHost]):
    """Answers whoever is outside. It keeps what it needs for that: no connect request is pending between two calls."""

    tokens: Tokens
    wanted: OrderedDict[str, Instant]
    """Usernames whose keys the application was asked for, and when."""
    keys: OrderedDict[str, bytes | str]
    """By username."""
    keyless: OrderedDict[str, None]
    """Usernames that have no key. They push out no key of another one."""
    answers: OrderedDict[bytes, Count]
    """To requests, by host."""
    failures: OrderedDict[bytes, Count]
    """Bad signatures, by host."""
    assignments: dict[bytes, p.NodeType]
    """By connect id."""
    members: Annotated[Members, CACHED]
    version_name: Annotated[str, CACHED]

    def __init__(self, host: ServerHost, members: Members, version_name: str) -> None:
        super().__init__(host)
        self.members, self.version_name = members, version_name
        self.tokens, self.assignments = Tokens(host), {}
        self.wanted, self.keys, self.keyless = OrderedDict(), OrderedDict(), OrderedDict()
        self.answers, self.failures = OrderedDict(), OrderedDict()

    # -- for the verbs

    def provide_key(self, username: str, key: bytes | str | None) -> None:
        username = lower(username)
        for table in (self.wanted, self.keys, self.keyless):
            table.pop(username, None)
        if key is None:
            keep_newest(self.keyless, username, None, self.host.limits.keys)
        else:
            keep_newest(self.keys, username, key, self.host.limits.keys)

    def assign(self, connect_id: bytes, node_type: p.NodeType) -> None:
        known = self.assignments.get(connect_id, node_type)
        if len(connect_id) != 16 or not any(connect_id) or node_type not in p.STATIC:
            why = "no connect id, or no type that is assigned"
        elif known is not node_type:
            why = "this connect id has another type"
        elif connect_id not in self.assignments and len(self.assignments) >= self.host.limits.nodes:
            why = "too many assignments"
        else:
            self.assignments[connect_id] = node_type
            return
        raise LocalProtocolError("assign", self.state.name, why)

    def reconsider(self, member: Member) -> None:
        """The policy changed: who may not connect any more is out."""
        permissions = self._permissions(member.entry)
        if permissions & p.Permissions.CONNECT:
            member.permit(permissions)
        else:
            member.post(MemberInput.LEAVE(Departure.UNWELCOME))

    def visitor(self, entry: Entry) -> Visitor:
        """Who that is to the policy."""
        host, local = entry.path.host, self.host.local
        return Visitor(
            host=host,
            is_local=self.host.trust_loopback and (is_loopback(host) or (local is not None and host == local.host)),
            node_type=p.NodeType(entry.node_type),
            fingerprint=entry.fingerprint,
            username=entry.username,
            account=entry.account,
        )

    # -- guards

    def is_something(self, request: Arrival) -> bool:
        return bool(request.payload)

    def is_ours_or_seldom(self, request: Arrival) -> bool:
        """Of other protocols nobody can show a good signature."""
        return not self.is_of_other_protocol(request) or self._is_seldom(request.path)

    def is_of_other_protocol(self, request: Arrival) -> bool:
        header, signature = request.header, b"\0\0\0\x10" + self.host.versions.signature
        is_ours = header.type is PacketType.DOMAIN_CONNECT_REQUEST and header.version == self.host.versions[header.type]
        return not is_ours or request.payload[_SIGNATURE] != signature

    def read(self, request: Arrival) -> PendingConnect:
        """Assignments need no name, and who logs in with the domain need not sign a username."""
        says = read(self, p.DomainConnectRequest, request.payload)
        check_in, connect_id, has_login = says.check_in, says.connect_id, self.host.policy.login is not None
        is_assigned = connect_id in self.assignments
        account = _text(says.domain_username) if has_login and not is_assigned else ""
        is_named = not is_assigned and (says.username_signature or not account)
        entry = Entry(
            node_type=check_in.node_type,
            path=request.path,
            fingerprint=says.machine_fingerprint,
            connect_id=connect_id if is_assigned else None,
            username=lower(says.username or "") if is_named else "",
            account=account,
        )
        sockets = with_host(check_in.public_socket, request.path), check_in.local_socket
        holders = self.members.by_path.get(request.path), self.members.by_connect_id.get(connect_id)
        replaced = {member.local_id: member for member in holders if member is not None}
        return PendingConnect(request, says, entry, sockets, replaced)

    def has_sockets(self, pending: PendingConnect) -> bool:
        return not any(socket.is_null for socket in pending.sockets)

    def has_node_type(self, pending: PendingConnect) -> bool:
        return pending.entry.node_type in ADMISSIBLE

    def is_expected(self, pending: PendingConnect) -> bool:
        """Other types than agents need an assignment, which is for a type and stands for one node at a time."""
        node_type, connect_id = pending.entry.node_type, pending.entry.connect_id
        if connect_id is None:
            return node_type == AGENT
        holder = self.members.by_connect_id.get(connect_id)
        is_free = holder is None or (holder.public, holder.local) == pending.sockets
        return is_free and self.assignments[connect_id] == node_type

    def prove(self, pending: PendingConnect) -> PendingConnect | None:
        """Look at its signature; not if its host showed too many bad ones lately."""
        username, signature, path = pending.entry.username, pending.says.username_signature, pending.request.path
        if not username:
            return pending
        key = self.keys.get(username)
        if not signature:
            proof = Proof.MISSING
        elif self._is_guest(pending.entry):
            return attrs.evolve(pending, entry=attrs.evolve(pending.entry, username=""))
        elif username in self.keyless:
            proof = Proof.BAD
        elif key is None:
            proof = Proof.UNKNOWN if username in self.wanted else Proof.MISSING
        elif not self._is_within(self.failures, path, self.host.limits.signatures):
            return None
        else:
            proof = self._check(pending, key, signature)
        return attrs.evolve(pending, proof=proof)

    def is_proven_or_seldom(self, pending: PendingConnect) -> bool:
        """The limit is for strangers: a good signature came from where its token went."""
        return pending.proof is Proof.GOOD or self._is_seldom(pending.request.path)

    def is_repeated(self, pending: PendingConnect) -> bool:
        """Does the node at this address ask again for what it has? Its names need no other proof than they had."""
        return any(
            self.host.clock - member.joined < self.host.delays.repeated
            and member.entry == pending.entry
            and (member.public, member.local) == pending.sockets
            for member in pending.replaced.values()
        )

    def is_beyond_ids(self, pending: PendingConnect) -> bool:
        return len(self.members.by_id) - len(pending.replaced) >= self.host.limits.nodes

    def is_assigned(self, pending: PendingConnect) -> bool:
        return pending.entry.connect_id is not None

    def is_no_intruder(self, pending: PendingConnect) -> bool:
        """A sender's address can be forged; a machine's fingerprint is only known to those on the way.

        Who is silent has most likely gone, and another one began there: clients check in each second.
        """
        fingerprint, there = pending.entry.fingerprint, pending.replaced.values()
        return not any(
            member.is_proven
            and member.entry.fingerprint != fingerprint
            and self.host.clock - member.heard < self.host.delays.takeover
            for member in there
        )

    def is_without_token(self, pending: PendingConnect) -> bool:
        return pending.proof is Proof.MISSING

    def is_of_unknown_key(self, pending: PendingConnect) -> bool:
        return pending.proof is Proof.UNKNOWN

    def is_badly_signed(self, pending: PendingConnect) -> bool:
        return pending.proof is Proof.BAD

    def is_not_logged_in(self, pending: PendingConnect) -> bool:
        account, tokens = pending.entry.account, _text(pending.says.domain_tokens)
        return bool(account) and not self.host.policy.is_account(account, tokens)

    def is_forbidden(self, pending: PendingConnect) -> bool:
        return not self._permissions(pending.entry) & p.Permissions.CONNECT

    def is_one_too_many(self, pending: PendingConnect) -> bool:
        capacity, gone = self.host.policy.capacity, pending.replaced.values()
        return (
            capacity is not None
            and self.members.count(AGENT) - sum(member.entry.node_type == AGENT for member in gone) >= capacity
            and not self._permissions(pending.entry) & p.Permissions.PAST_CAPACITY
        )

    # -- actions

    def deny_protocol(self, request: Arrival) -> None:
        text = f"Protocol version mismatch - Domain version: {self.version_name}"
        self._deny(request, p.DenialReason.PROTOCOL_MISMATCH, text)

    def count_failure(self, pending: PendingConnect) -> None:
        """A signature was looked at in vain."""
        if pending.entry.username in self.keys:
            self._count(self.failures, pending.request.path)

    def deny_signature(self, pending: PendingConnect) -> None:
        self._deny(pending.request, p.DenialReason.LOGIN_ERROR_DIRECTORY, "Error decrypting username signature.")

    def deny_login(self, pending: PendingConnect) -> None:
        self._deny(pending.request, p.DenialReason.LOGIN_ERROR_DOMAIN, "The domain does not know this account.")

    def deny_permission(self, pending: PendingConnect) -> None:
        login = self.host.policy.login
        if login is None:
            text = "You lack the required Directory Services permissions to connect to this domain."
            self._deny(pending.request, p.DenialReason.NOT_AUTHORIZED_DIRECTORY, text)
        else:
            text = "You lack the permissions of this domain that are required to connect to it."
            self._deny(pending.request, p.DenialReason.NOT_AUTHORIZED_DOMAIN, text, f"{login.url}|{login.client_id}")

    def deny_full(self, pending: PendingConnect) -> None:
        redirect = self.host.policy.redirect
        self._deny(pending.request, p.DenialReason.TOO_MANY_USERS, "Too many connected users.", redirect)

    def send_token(self, pending: PendingConnect) -> None:
        path = pending.request.path
        self._count(self.answers, path)
        self.host.answer(path, p.ConnectionToken(self.tokens.token(pending.entry.username, path)))

    def tell_key_wanted(self, pending: PendingConnect) -> None:
        username = pending.entry.username
        if username not in self.wanted:
            keep_newest(self.wanted, username, self.host.clock, self.host.limits.wanted)
            self.host.emit(KeyWanted(username))

    def repeat(self, pending: PendingConnect) -> None:
        self._count(self.answers, pending.request.path)
        for member in pending.replaced.values():
            member.repeat(pending.says.check_in)

    def let_in(self, pending: PendingConnect) -> None:
        """Who is at its address, or has its assignment, is gone before it is in."""
        if pending.proof is Proof.GOOD:
            self.keys.move_to_end(pending.entry.username)  # who comes in is forgotten last
        else:
            self._count(self.answers, pending.request.path)
        for member in pending.replaced.values():
            member.post(MemberInput.LEAVE(Departure.REPLACED))
        local_id = self.members.fresh_id(pending.replaced)
        node_id, permissions = self.host.draw(16, f"node.{local_id}.id"), self._permissions(pending.entry)
        self.members.admit(node_id, local_id, pending.entry, pending.says.check_in, permissions)

    def answer_ping(self, pinged: Received[p.ICEPing]) -> None:
        self.host.answer(pinged.path, p.ICEPingReply(self.host.domain_id, pinged.packet.type))

    # -- inside

    def _permissions(self, entry: Entry) -> int:
        """What somebody may do, the names taken as proven."""
        if entry.connect_id is not None:
            return int(ASSIGNED)
        visitor, policy = self.visitor(entry), self.host.policy
        permissions = int(policy.permissions(visitor)) & 0xFFFFFFFF
        return permissions & ~int(p.Permissions.CONNECT) if policy.is_banned(visitor) else permissions

    def _deny(self, request: Arrival, reason: p.DenialReason, text: str, extra: str = "") -> None:
        """Refuse, with as much of the text as makes the answer no longer than the request was."""
        room = len(request.payload) - _DENIAL_HEAD
        if room < 0:
            self.host.count_refusal(TOO_SHORT, self)
            return
        extra = _cut(extra, room)
        text = _cut(text, room - len(extra.encode()))
        self._count(self.answers, request.path)
        self.host.answer(request.path, p.DomainConnectionDenied(reason, text, extra))
        self.host.emit(ConnectRefused(request.path, reason))

    def _is_guest(self, entry: Entry) -> bool:
        """Without a list of users a name without a key is a guest's, unless it is banned; the application has some time
        to find a key."""
        username, policy = entry.username, self.host.policy
        if username in self.keys or policy.asks_names() or policy.is_banned(self.visitor(entry)):
            return False
        asked = self.wanted.get(username)
        return asked is None or self.host.clock - asked >= self.host.delays.key

    def _check(self, pending: PendingConnect, key: bytes | str, signature: bytes) -> Proof:
        username, said = pending.entry.username, pending.says.username or ""
        try:
            digest = signed_digest(key, signature)
        except BadKey:
            return Proof.BAD
        is_fresh = None if digest is None else self.tokens.is_fresh(username, said, pending.request.path, digest)
        return Proof.BAD if is_fresh is None else Proof.GOOD if is_fresh else Proof.MISSING

    def _is_seldom(self, path: Path) -> bool:
        return self._is_within(self.answers, path, self.host.limits.connects)

    def _is_within(self, counts: OrderedDict[bytes, Count], path: Path, most: int) -> bool:
        count = counts.get(host_of(path.host))
        return count is None or self._is_over(count) or count.count < most

    def _count(self, counts: OrderedDict[bytes, Count], path: Path) -> None:
        if self.host.trust_loopback and is_loopback(path.host):  # nobody else can send from there
            return
        host = host_of(path.host)
        count = counts.get(host)
        if count is None or self._is_over(count):
            count = Count(self.host.clock)
            keep_newest(counts, host, count, self.host.limits.applicants)
        count.count += 1

    def _is_over(self, count: Count) -> bool:
        return self.host.clock - count.since >= self.host.delays.repeated


def _text(value: str | Absent | None) -> str:
    return value if isinstance(value, str) else ""


def _cut(text: str, size: int) -> str:
    """As much of a text as fits into so many bytes of UTF-8."""
    return text.encode()[:size].decode("utf-8", "ignore")


_S, _I, _A = AdmissionState, AdmissionInput, Admission

CONNECT: Final = (
    Guards.of(_A, _S, Arrival, "connect")
    .need(_A.is_something, "empty connect request", ref="connect requests")
    .need(_A.is_ours_or_seldom, "connect requests too often", ref="repeated requests")
    .give_if(_A.is_of_other_protocol, _I.OTHER_PROTOCOL, ref="protocol signature")
    .make(_A.read, "malformed connect request", ref="connect requests")
    .need(_A.has_sockets, "connect request without sockets", ref="connect requests")
    .need(_A.has_node_type, "connect request of no node type", ref="connect requests")
    .need(_A.is_expected, "connect request without assignment", ref="assignments")
    .make(_A.prove, "bad signatures too often", ref="usernames")
    .give_if(_A.is_badly_signed, _I.BAD_SIGNATURE, ref="usernames")
    .need(_A.is_proven_or_seldom, "connect requests too often", ref="repeated requests")
    .give_if(_A.is_repeated, _I.REPEATED, ref="repeated requests")
    .give_if(_A.is_beyond_ids, _I.FULL, ref="capacity")
    .give_if(_A.is_assigned, _I.ADMITTED, ref="assignments")
    .need(_A.is_no_intruder, "connect request from another node's address", ref="repeated requests")
    .give_if(_A.is_without_token, _I.TOKEN_NEEDED, ref="usernames")
    .give_if(_A.is_of_unknown_key, _I.KEY_UNKNOWN, ref="usernames")
    .give_if(_A.is_not_logged_in, _I.LOGIN_FAILED, ref="domain accounts")
    .give_if(_A.is_forbidden, _I.FORBIDDEN, ref="permissions")
    .give_if(_A.is_one_too_many, _I.FULL, ref="capacity")
    .give(_I.ADMITTED)
)
ICE_PING: Final = (
    Guards.of(_A, _S, Arrival, "ping").make(receives(p.ICEPing), "malformed ICEPing", ref="ICE").give(_I.PINGED)
)

ADMISSION: Final = Table[Admission, AdmissionState](
    Admission,
    AdmissionInput,
    name="overte.admission",
    initial=_S.READY,
    idle={_S.READY: "the domain's end: it answers whoever asks"},
    rows=(
        Row(_S.READY, _I.OTHER_PROTOCOL, None, _A.deny_protocol, ref="protocol signature"),
        Row(_S.READY, _I.REPEATED, None, _A.repeat, ref="repeated requests"),
        Row(_S.READY, _I.TOKEN_NEEDED, None, _A.send_token, _A.tell_key_wanted, ref="usernames"),
        Row(_S.READY, _I.KEY_UNKNOWN, None, _A.tell_key_wanted, ref="usernames"),
        Row(
            _S.READY,
            _I.BAD_SIGNATURE,
            None,
            _A.count_failure,
            _A.deny_signature,
            when=_A.is_proven_or_seldom,
            ref="usernames",
        ),
        Row(_S.READY, _I.BAD_SIGNATURE, None, _A.count_failure, ref="usernames"),
        Row(_S.READY, _I.LOGIN_FAILED, None, _A.deny_login, ref="domain accounts"),
        Row(_S.READY, _I.FORBIDDEN, None, _A.deny_permission, ref="permissions"),
        Row(_S.READY, _I.FULL, None, _A.deny_full, ref="capacity"),
        Row(_S.READY, _I.ADMITTED, None, _A.let_in, ref="admission"),
        Row(_S.READY, _I.PINGED, None, _A.answer_ping, ref="ICE"),
    ),
    defaults=(),
)
