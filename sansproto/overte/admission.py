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
from ..machine import Guards, Input, Row, Table
from ..snapshot import CACHED
from ..wire import Absent
from . import packets as p
from .crypto import BadKey, lower, verify, verify_username
from .member import ADMISSIBLE, AGENT, STATIC, Entry, Member, MemberInput
from .members import Members
from .parts import Arrival, ServerHost, keep_newest, read, receives
from .policy import ASSIGNED, Visitor
from .qt import SockAddr
from .remote import is_loopback, with_host
from .server_events import ConnectRefused, Departure, KeyWanted
from .versions import PacketType

TOO_SHORT: Final = Refusal("request too short for an answer", ref="connect requests")

_SIGNATURE: Final = slice(16, 36)  # of the protocol, with its length: where it is in any version's connect request
_DENIAL_HEAD: Final = 1 + 2 + 2  # reason, two lengths; its datagram has the same header as that of a connect request


@attrs.define(eq=False, weakref_slot=False)
class Token:
    """What a user has to sign. It is the same until it was used."""

    token: bytes = attrs.field(repr=False)
    was_told: bool = False
    """The application knows that the key is wanted."""


@attrs.define(eq=False, weakref_slot=False)
class Answers:
    """How often a host's connect requests were answered since then."""

    since: Instant
    count: int = 0


@attrs.frozen
class PendingConnect:
    """A connect request that could be read, with what is known of who sent it."""

    request: Arrival
    says: p.DomainConnectRequest = attrs.field(repr=False)
    public: SockAddr
    assigned: p.NodeType | None
    """The type that its assignment is for, if it has one."""
    username: str
    """In the way in which it is looked up. It has to be proven, as has the account; empty: there is none."""
    account: str
    here: tuple[Member, ...]
    """The node at its address, if there is one."""

    @property
    def connect_id(self) -> bytes | None:
        return None if self.assigned is None else self.says.connect_id

    @property
    def makes_room(self) -> int:
        """How many nodes of its kind go when it comes: 1 if it was here."""
        return sum(member.entry.node_type == self.says.check_in.node_type for member in self.here)


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

    tokens: OrderedDict[str, Token]
    """By username."""
    keys: OrderedDict[str, bytes | str | None]
    """Likewise; None: there is none."""
    answers: OrderedDict[str, Answers]
    """By host."""
    assignments: dict[bytes, p.NodeType]
    """By connect id."""
    members: Annotated[Members, CACHED]
    version_name: Annotated[str, CACHED]

    def __init__(self, host: ServerHost, members: Members, version_name: str) -> None:
        super().__init__(host)
        self.members, self.version_name = members, version_name
        self.tokens, self.keys, self.answers, self.assignments = OrderedDict(), OrderedDict(), OrderedDict(), {}

    def forget_all(self) -> None:
        for table in (self.tokens, self.keys, self.answers, self.assignments):
            table.clear()

    # -- for the verbs

    def provide_key(self, username: str, key: bytes | str | None) -> None:
        username = lower(username)
        keep_newest(self.keys, username, key, self.host.limits.keys)
        if username in self.tokens:
            self.tokens[username].was_told = False

    def assign(self, connect_id: bytes, node_type: p.NodeType) -> None:
        known = self.assignments.get(connect_id, node_type)
        if len(connect_id) != 16 or not any(connect_id) or node_type not in STATIC:
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
        entry = member.entry
        names = entry.username, entry.account
        permissions = self._permissions(entry.path, entry.node_type, entry.fingerprint, *names)
        if permissions & p.Permissions.CONNECT:
            member.permit(permissions)
        else:
            member.post(MemberInput.LEAVE(Departure.UNWELCOME))

    # -- guards

    def is_something(self, request: Arrival) -> bool:
        return bool(request.payload)

    def is_seldom(self, request: Arrival) -> bool:
        answers = self.answers.get(request.path.host)
        return answers is None or self._is_over(answers) or answers.count < self.host.limits.connects

    def is_of_other_protocol(self, request: Arrival) -> bool:
        header, signature = request.header, b"\0\0\0\x10" + self.host.versions.signature
        is_ours = header.type is PacketType.DOMAIN_CONNECT_REQUEST and header.version == self.host.versions[header.type]
        return not is_ours or request.payload[_SIGNATURE] != signature

    def read(self, request: Arrival) -> PendingConnect:
        """Assignments need no name, and who logs in with the domain need not sign a username."""
        says = read(self, p.DomainConnectRequest, request.payload)
        here, assigned = self.members.by_path.get(request.path), self.assignments.get(says.connect_id)
        account = _text(says.domain_username) if assigned is None and self.host.policy.login is not None else ""
        is_named = assigned is None and (says.username_signature or not account)
        return PendingConnect(
            request,
            says,
            with_host(says.check_in.public_socket, request.path),
            assigned,
            lower(says.username or "") if is_named else "",
            account,
            () if here is None else (here,),
        )

    def has_sockets(self, pending: PendingConnect) -> bool:
        return not (pending.public.is_null or pending.says.check_in.local_socket.is_null)

    def has_node_type(self, pending: PendingConnect) -> bool:
        return pending.says.check_in.node_type in ADMISSIBLE

    def is_expected(self, pending: PendingConnect) -> bool:
        """Other types than agents need an assignment, which is for a type and stands for one node at a time."""
        node_type = pending.says.check_in.node_type
        if pending.assigned is None:
            return node_type == AGENT
        holder = self.members.by_connect_id.get(pending.says.connect_id)
        sockets = pending.public, pending.says.check_in.local_socket
        return pending.assigned == node_type and (holder is None or (holder.public, holder.local) == sockets)

    def is_repeated(self, pending: PendingConnect) -> bool:
        """Does the node at this address ask again for what it has? Its names need no other proof than they had."""
        says, check_in, clock = pending.says, pending.says.check_in, self.host.clock
        asked = says.machine_fingerprint, check_in.node_type, pending.connect_id, pending.username, pending.account
        return any(
            clock - (entry := member.entry).joined < self.host.delays.repeated
            and (entry.fingerprint, entry.node_type, entry.connect_id, entry.username, entry.account) == asked
            and (member.public, member.local) == (pending.public, check_in.local_socket)
            for member in pending.here
        )

    def is_beyond_ids(self, pending: PendingConnect) -> bool:
        return len(self.members.by_id) - pending.makes_room >= self.host.limits.nodes

    def is_assigned(self, pending: PendingConnect) -> bool:
        return pending.assigned is not None

    def is_no_intruder(self, pending: PendingConnect) -> bool:
        """A sender's address can be forged; a machine's fingerprint is only known to those on the way."""
        fingerprint = pending.says.machine_fingerprint
        return not any(member.is_proven and member.entry.fingerprint != fingerprint for member in pending.here)

    def is_without_token(self, pending: PendingConnect) -> bool:
        username = pending.username
        return bool(username) and not (pending.says.username_signature and username in self.tokens)

    def is_of_unknown_key(self, pending: PendingConnect) -> bool:
        return bool(pending.username) and pending.username not in self.keys

    def is_badly_signed(self, pending: PendingConnect) -> bool:
        """The name counts in lower case, as newer texts of the reference have it, or as it came, as older ones do."""
        username = pending.username
        if not username:
            return False
        key, token = self.keys[username], self.tokens[username].token
        signature, name = pending.says.username_signature or b"", pending.says.username or ""
        try:
            return key is None or not (
                verify_username(key, signature, name, token)
                or verify(key, signature, name.encode("utf-8", "replace") + token)
            )
        except BadKey:
            return True

    def is_not_logged_in(self, pending: PendingConnect) -> bool:
        account, tokens = pending.account, _text(pending.says.domain_tokens)
        return bool(account) and not self.host.policy.is_account(account, tokens)

    def is_forbidden(self, pending: PendingConnect) -> bool:
        return not self._permissions_of(pending) & p.Permissions.CONNECT

    def is_one_too_many(self, pending: PendingConnect) -> bool:
        capacity = self.host.policy.capacity
        return (
            capacity is not None
            and self.members.count(AGENT) - pending.makes_room >= capacity
            and not self._permissions_of(pending) & p.Permissions.PAST_CAPACITY
        )

    # -- actions

    def deny_protocol(self, request: Arrival) -> None:
        text = f"Protocol version mismatch - Domain version: {self.version_name}"
        self._deny(request, p.DenialReason.PROTOCOL_MISMATCH, text)

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
        token = self.tokens.get(pending.username)
        if token is None:
            token = Token(self.host.draw(16, f"token.{pending.username}"))
            keep_newest(self.tokens, pending.username, token, self.host.limits.tokens)
        self._count_answer(pending.request.path.host)
        self.host.answer(pending.request.path, p.ConnectionToken(token.token))

    def tell_key_wanted(self, pending: PendingConnect) -> None:
        token = self.tokens[pending.username]
        if not token.was_told:
            token.was_told = True
            self.host.emit(KeyWanted(pending.username))

    def repeat(self, pending: PendingConnect) -> None:
        self._count_answer(pending.request.path.host)
        for member in pending.here:
            member.repeat(pending.says.check_in)

    def let_in(self, pending: PendingConnect) -> None:
        """Who is at its address, or has its assignment, is gone before it is in."""
        self._count_answer(pending.request.path.host)
        self.tokens.pop(pending.username, None)
        replaced = self._replaced_by(pending)
        for member in replaced.values():
            member.post(MemberInput.LEAVE(Departure.REPLACED))
        local_id = self.members.fresh_id(replaced)
        entry = Entry(
            local_id=local_id,
            node_type=p.NodeType(pending.says.check_in.node_type),
            path=pending.request.path,
            fingerprint=pending.says.machine_fingerprint,
            connect_id=pending.connect_id,
            username=pending.username,
            account=pending.account,
            joined=self.host.clock,
        )
        node_id = self.host.draw(16, f"node.{local_id}.id")
        self.members.admit(node_id, entry, pending.says.check_in, self._permissions_of(pending))

    def answer_ping(self, pinged: Received[p.ICEPing]) -> None:
        self.host.answer(pinged.path, p.ICEPingReply(self.host.domain_id, pinged.packet.type))

    # -- inside

    def _replaced_by(self, pending: PendingConnect) -> dict[int, Member]:
        """By local id."""
        holder = self.members.by_connect_id.get(pending.says.connect_id)
        return {member.local_id: member for member in (*pending.here, holder) if member is not None}

    def _permissions_of(self, pending: PendingConnect) -> int:
        """What it may do, its names taken as proven."""
        if pending.assigned is not None:
            return int(ASSIGNED)
        names, node_type = (pending.username, pending.account), p.NodeType(pending.says.check_in.node_type)
        return self._permissions(pending.request.path, node_type, pending.says.machine_fingerprint, *names)

    def _permissions(self, path: Path, node_type: p.NodeType, fingerprint: bytes, username: str, account: str) -> int:
        local = self.host.local
        visitor = Visitor(
            host=path.host,
            is_local=is_loopback(path.host) or (local is not None and path.host == local.host),
            node_type=node_type,
            fingerprint=fingerprint,
            username=username,
            account=account,
        )
        return int(self.host.policy.permissions(visitor)) & 0xFFFFFFFF

    def _deny(self, request: Arrival, reason: p.DenialReason, text: str, extra: str = "") -> None:
        """Refuse, with as much of the text as makes the answer no longer than the request was."""
        room = len(request.payload) - _DENIAL_HEAD
        if room < 0:
            self.host.count_refusal(TOO_SHORT, self)
            return
        extra = _cut(extra, room)
        text = _cut(text, room - len(extra.encode()))
        self._count_answer(request.path.host)
        self.host.answer(request.path, p.DomainConnectionDenied(reason, text, extra))
        self.host.emit(ConnectRefused(request.path, reason))

    def _count_answer(self, host: str) -> None:
        if is_loopback(host):  # nobody else can send from there
            return
        answers = self.answers.get(host)
        if answers is None or self._is_over(answers):
            answers = Answers(self.host.clock)
            keep_newest(self.answers, host, answers, self.host.limits.applicants)
        answers.count += 1

    def _is_over(self, answers: Answers) -> bool:
        return self.host.clock - answers.since >= self.host.delays.repeated


def _text(value: str | Absent | None) -> str:
    return value if isinstance(value, str) else ""


def _cut(text: str, size: int) -> str:
    """As much of a text as fits into so many bytes of UTF-8."""
    return text.encode()[:size].decode("utf-8", "ignore")


_S, _I, _A = AdmissionState, AdmissionInput, Admission

CONNECT: Final = (
    Guards.of(_A, _S, Arrival, "connect")
    .need(_A.is_something, "empty connect request", ref="connect requests")
    .need(_A.is_seldom, "connect requests too often", ref="repeated requests")
    .give_if(_A.is_of_other_protocol, _I.OTHER_PROTOCOL, ref="protocol signature")
    .make(_A.read, "malformed connect request", ref="connect requests")
    .need(_A.has_sockets, "connect request without sockets", ref="connect requests")
    .need(_A.has_node_type, "connect request of no node type", ref="connect requests")
    .need(_A.is_expected, "connect request without assignment", ref="assignments")
    .give_if(_A.is_repeated, _I.REPEATED, ref="repeated requests")
    .give_if(_A.is_beyond_ids, _I.FULL, ref="capacity")
    .give_if(_A.is_assigned, _I.ADMITTED, ref="assignments")
    .need(_A.is_no_intruder, "connect request from another node's address", ref="repeated requests")
    .give_if(_A.is_without_token, _I.TOKEN_NEEDED, ref="usernames")
    .give_if(_A.is_of_unknown_key, _I.KEY_UNKNOWN, ref="usernames")
    .give_if(_A.is_badly_signed, _I.BAD_SIGNATURE, ref="usernames")
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
        Row(_S.READY, _I.BAD_SIGNATURE, None, _A.deny_signature, ref="usernames"),
        Row(_S.READY, _I.LOGIN_FAILED, None, _A.deny_login, ref="domain accounts"),
        Row(_S.READY, _I.FORBIDDEN, None, _A.deny_permission, ref="permissions"),
        Row(_S.READY, _I.FULL, None, _A.deny_full, ref="capacity"),
        Row(_S.READY, _I.ADMITTED, None, _A.let_in, ref="admission"),
        Row(_S.READY, _I.PINGED, None, _A.answer_ping, ref="ICE"),
    ),
    defaults=(),
)
