"""The judge of connect requests: docs/protocols/overte.rst, connect requests.

A request may have been sent by anybody, whatever its sender's address says. So no answer is longer than the request,
but for the list that the protocol wants, and a host gets a few answers at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Annotated, Final, TypeVar

import attrs

from ..contract import Instant, Path, Phase
from ..errors import LocalProtocolError, NotOpen, WireError
from ..old_machine import Machine
from ..snapshot import CACHED
from ..wire import Absent
from . import packets as p
from .crypto import BadKey, lower, verify, verify_username
from .limits import ServerDelays, ServerLimits
from .policy import ASSIGNED, Policy, Visitor
from .qt import SockAddr
from .roster import ADMISSIBLE, AGENT, STATIC, Member, Roster, interest_of
from .server_events import ConnectRefused, KeyWanted, ServerEvent
from .tables import APPLICANT
from .tables.server import ApplicantState
from .transport import Transport

T = TypeVar("T")

_SIGNATURE: Final = slice(16, 36)  # of the protocol, with its length: where it is in any version's connect request
_DENIAL_HEAD: Final = 1 + 2 + 2  # reason, two lengths; its datagram has the same header as that of a connect request


@attrs.define(eq=False, weakref_slot=False)
class Applicant:
    """A connect request, for as long as it is judged."""

    key: int
    path: Path
    payload: bytes = attrs.field(repr=False)
    of_other: bool
    request: p.DomainConnectRequest | None = attrs.field(default=None, repr=False)
    public: SockAddr = attrs.field(init=False)
    state: ApplicantState = ApplicantState.ASKING

    @property
    def says(self) -> p.DomainConnectRequest:
        assert self.request is not None  # the ladder sorts out what is malformed before anything looks
        return self.request

    @property
    def username(self) -> str:
        """The name in the way in which it is looked up."""
        return lower(self.says.username or "")

    @property
    def account(self) -> str:
        return _text(self.says.domain_username)


@attrs.define(eq=False, weakref_slot=False)
class Token:
    """What a user has to sign. It is the same until it was used."""

    token: bytes = attrs.field(repr=False)
    was_told: bool = False  # the application knows that the key is wanted


@attrs.define(eq=False, weakref_slot=False)
class Answers:
    """How often a host's connect requests were answered since then."""

    since: Instant
    count: int = 0


@attrs.define(eq=False, weakref_slot=False)
class Assignment:
    node_type: p.NodeType
    node_id: bytes = b""  # of the node that has it


class Gatekeeper(Transport[ServerEvent], abstract=True):
    """What of a domain server decides who comes in. ``_admit`` and ``_admit_again`` are the server's."""

    _roster: Roster
    _tokens: OrderedDict[str, Token]  # by username
    _keys: OrderedDict[str, bytes | str]  # likewise
    _answers: OrderedDict[str, Answers]  # by host
    _assignments: dict[bytes, Assignment]  # by connect id
    _policy: Annotated[Policy, CACHED]
    _version_name: Annotated[str, CACHED]
    _delays: Annotated[ServerDelays, CACHED]
    _limits: Annotated[ServerLimits, CACHED]

    _applicant = Machine(APPLICANT, objects="_applicants")

    # -- verbs

    def provide_key(self, username: str, key: bytes | str | None, now: float) -> None:
        """Answer :class:`KeyWanted`: the user's public key, as DER or as the base64 text of directory services.

        None: there is none. What is said is kept until ``limits.keys`` newer ones came. Where there is no key, or one
        of another form, those who sign are denied.
        """
        self._require_open("provide_key", now)
        username = lower(username)
        self._keys.pop(username, None)
        self._keys[username] = b"" if key is None else key
        _bound(self._keys, self._limits.keys)
        if username in self._tokens:
            self._tokens[username].was_told = False

    def assign(self, connect_id: bytes, node_type: p.NodeType, now: float) -> None:
        """Expect a node of a static type (a mixer or server), which will say this connect UUID.

        It stands for one node at a time, for good. LocalProtocolError if it is in use for another type, is not 16 bytes
        or is null, for types that need no assignment, and over ``limits.nodes``.
        """
        self._require_open("assign", now)
        known = self._assignments.get(connect_id)
        if len(connect_id) != 16 or not any(connect_id) or node_type not in STATIC:
            raise LocalProtocolError("assign", self.phase.name, "no connect id, or no type that is assigned")
        if known is not None and known.node_type is not node_type:
            raise LocalProtocolError("assign", self.phase.name, "this connect id has another type")
        if known is None:
            if len(self._assignments) >= self._limits.nodes:
                raise LocalProtocolError("assign", self.phase.name, "too many assignments")
            self._assignments[connect_id] = Assignment(node_type)

    def _require_open(self, verb: str, now: float) -> None:
        self._advance(now)
        if self.phase is not Phase.OPEN:
            raise NotOpen(verb, self.phase.name)

    # -- requests

    @property
    def _applicants(self) -> dict[int, Applicant]:
        """Those who wait between two calls: nobody."""
        return {}

    def _judge(self, payload: bytes, path: Path, *, of_other: bool = False) -> None:
        """Put a connect request before the ladder."""
        other = of_other or payload[_SIGNATURE] != b"\0\0\0\x10" + self._versions.signature
        applicant = Applicant(0, path, payload, other)
        if not other:
            self._read(applicant)
        self._post(self._applicant, applicant, "connect")

    def _read(self, applicant: Applicant) -> None:
        try:
            applicant.request, end = p.DomainConnectRequest.decode_prefix(applicant.payload)
        except WireError:
            return
        if end != len(applicant.payload):
            self._drop("trailing bytes")
        applicant.public = with_host(applicant.says.check_in.public_socket, applicant.path)

    def _names(self, applicant: Applicant) -> tuple[str, str]:
        """The username and the domain account that have to be proven; empty: none.

        Assignments need no name, and who logs in with the domain need not sign a username.
        """
        if self._assignment_of(applicant) is not None:
            return "", ""
        account = applicant.account if self._policy.login is not None else ""
        return applicant.username if applicant.says.username_signature or not account else "", account

    def _visitor_of(self, path: Path, node_type: int, fingerprint: bytes, names: tuple[str, str]) -> Visitor:
        return Visitor(
            host=path.host,
            is_local=is_loopback(path.host) or (self.local is not None and path.host == self.local.host),
            node_type=p.NodeType(node_type),
            fingerprint=fingerprint,
            username=names[0],
            account=names[1],
        )

    def _permissions_of(self, applicant: Applicant) -> int:
        """What it may do, its names taken as proven."""
        if self._assignment_of(applicant) is not None:
            return int(ASSIGNED)
        says = applicant.says
        names, node_type = self._names(applicant), says.check_in.node_type
        return self._permissions(self._visitor_of(applicant.path, node_type, says.machine_fingerprint, names))

    def _permissions(self, visitor: Visitor) -> int:
        return int(self._policy.permissions(visitor)) & 0xFFFFFFFF

    def _assignment_of(self, applicant: Applicant) -> Assignment | None:
        return self._assignments.get(applicant.says.connect_id)

    def _connect_id_of(self, applicant: Applicant) -> bytes:
        """The id of its assignment, if it has one."""
        return applicant.says.connect_id if self._assignment_of(applicant) is not None else b""

    def _makes_room(self, applicant: Applicant) -> int:
        """How many nodes of its kind go when it comes: 1 if it was here."""
        member = self._roster.at(applicant.path)
        return int(member is not None and member.node_type == applicant.says.check_in.node_type)

    # -- the ladder

    def _applicant_is_empty(self, applicant: Applicant, _: object) -> bool:
        return not applicant.payload

    def _applicant_is_too_often(self, applicant: Applicant, _: object) -> bool:
        answers = self._answers.get(applicant.path.host)
        if answers is None or self._clock - answers.since >= self._delays.repeated:
            return False
        return answers.count >= self._limits.connects

    def _applicant_is_of_other_protocol(self, applicant: Applicant, _: object) -> bool:
        return applicant.of_other

    def _applicant_is_malformed(self, applicant: Applicant, _: object) -> bool:
        return applicant.request is None

    def _applicant_is_without_socket(self, applicant: Applicant, _: object) -> bool:
        return applicant.public.is_null or applicant.says.check_in.local_socket.is_null

    def _applicant_is_of_bad_type(self, applicant: Applicant, _: object) -> bool:
        return applicant.says.check_in.node_type not in ADMISSIBLE

    def _applicant_is_unassigned(self, applicant: Applicant, _: object) -> bool:
        assignment, check_in = self._assignment_of(applicant), applicant.says.check_in
        if assignment is None:
            return check_in.node_type != AGENT
        holder = self._roster.of_id(assignment.node_id)
        return assignment.node_type != check_in.node_type or (
            holder is not None and (holder.public, holder.local) != (applicant.public, check_in.local_socket)
        )

    def _applicant_is_repeated(self, applicant: Applicant, _: object) -> bool:
        """Does the node at this address ask again for what it has? Its names need no other proof than they had."""
        member, says = self._roster.at(applicant.path), applicant.says
        return (
            member is not None
            and self._clock - member.joined < self._delays.repeated
            and member.fingerprint == says.machine_fingerprint
            and (member.public, member.local) == (applicant.public, says.check_in.local_socket)
            and (member.node_type, member.connect_id) == (says.check_in.node_type, self._connect_id_of(applicant))
            and (member.username, member.account) == self._names(applicant)
        )

    def _applicant_is_beyond_ids(self, applicant: Applicant, _: object) -> bool:
        return len(self._roster) - self._makes_room(applicant) >= self._limits.nodes

    def _applicant_is_assigned(self, applicant: Applicant, _: object) -> bool:
        return self._assignment_of(applicant) is not None

    def _applicant_is_intruding(self, applicant: Applicant, _: object) -> bool:
        """A sender's address can be forged; a machine's fingerprint is only known to those on the way."""
        member = self._roster.at(applicant.path)
        return member is not None and member.is_proven and member.fingerprint != applicant.says.machine_fingerprint

    def _applicant_is_without_token(self, applicant: Applicant, _: object) -> bool:
        username, _account = self._names(applicant)
        return bool(username) and not (applicant.says.username_signature and username in self._tokens)

    def _applicant_is_of_unknown_key(self, applicant: Applicant, _: object) -> bool:
        username, _account = self._names(applicant)
        return bool(username) and username not in self._keys

    def _applicant_is_badly_signed(self, applicant: Applicant, _: object) -> bool:
        """The name counts in lower case, as newer texts of the reference have it, or as it came, as older ones do."""
        username, _account = self._names(applicant)
        if not username:
            return False
        key, token = self._keys[username], self._tokens[username].token
        signature, name = applicant.says.username_signature or b"", applicant.says.username or ""
        try:
            return not (
                verify_username(key, signature, name, token)
                or verify(key, signature, name.encode("utf-8", "replace") + token)
            )
        except BadKey:
            return True

    def _applicant_is_not_logged_in(self, applicant: Applicant, _: object) -> bool:
        _username, account = self._names(applicant)
        return bool(account) and not self._policy.is_account(account, _text(applicant.says.domain_tokens))

    def _applicant_is_forbidden_here(self, applicant: Applicant, arg: object) -> bool:
        return self._policy.login is not None and self._applicant_is_forbidden(applicant, arg)

    def _applicant_is_forbidden(self, applicant: Applicant, _: object) -> bool:
        return not self._permissions_of(applicant) & p.Permissions.CONNECT

    def _applicant_is_no_room(self, applicant: Applicant, _: object) -> bool:
        capacity = self._policy.capacity
        return (
            capacity is not None
            and self._roster.count(AGENT) - self._makes_room(applicant) >= capacity
            and not self._permissions_of(applicant) & p.Permissions.PAST_CAPACITY
        )

    # -- actions

    def _applicant_deny_protocol(self, applicant: Applicant, _: object) -> None:
        text = f"Protocol version mismatch - Domain version: {self._version_name}"
        self._deny(applicant, p.DenialReason.PROTOCOL_MISMATCH, text)

    def _applicant_deny_signature(self, applicant: Applicant, _: object) -> None:
        self._deny(applicant, p.DenialReason.LOGIN_ERROR_DIRECTORY, "Error decrypting username signature.")

    def _applicant_deny_login(self, applicant: Applicant, _: object) -> None:
        self._deny(applicant, p.DenialReason.LOGIN_ERROR_DOMAIN, "The domain does not know this account.")

    def _applicant_deny_permission(self, applicant: Applicant, _: object) -> None:
        text = "You lack the required Directory Services permissions to connect to this domain."
        self._deny(applicant, p.DenialReason.NOT_AUTHORIZED_DIRECTORY, text)

    def _applicant_deny_permission_here(self, applicant: Applicant, _: object) -> None:
        login = self._policy.login
        assert login is not None  # the rung says so
        extra = f"{login.url}|{login.client_id}"
        text = "You lack the permissions of this domain that are required to connect to it."
        self._deny(applicant, p.DenialReason.NOT_AUTHORIZED_DOMAIN, text, extra)

    def _applicant_deny_full(self, applicant: Applicant, _: object) -> None:
        self._deny(applicant, p.DenialReason.TOO_MANY_USERS, "Too many connected users.", self._policy.redirect)

    def _applicant_send_token(self, applicant: Applicant, _: object) -> None:
        username, _account = self._names(applicant)
        token = self._tokens.get(username)
        if token is None:
            token = self._tokens[username] = Token(self._draw(16, f"token.{username}"))
            _bound(self._tokens, self._limits.tokens)
        self._count_answer(applicant.path.host)
        self.answer(applicant.path, p.ConnectionToken(token.token))

    def _applicant_tell_key_wanted(self, applicant: Applicant, _: object) -> None:
        username, _account = self._names(applicant)
        token = self._tokens[username]
        if not token.was_told:
            token.was_told = True
            self._emit(KeyWanted(username))

    def _applicant_admit(self, applicant: Applicant, _: object) -> None:
        self._count_answer(applicant.path.host)
        username, account = self._names(applicant)
        self._tokens.pop(username, None)
        assignment = self._assignment_of(applicant)
        before = self._roster.at(applicant.path), self._roster.of_id(assignment.node_id) if assignment else None
        replaced = {other.key: other for other in before if other is not None}
        says, check_in, local_id = applicant.says, applicant.says.check_in, self._roster.fresh_id(replaced)
        node_type = p.NodeType(check_in.node_type)
        member = Member(
            key=local_id,
            node_id=self._draw(16, f"node.{local_id}.id"),
            node_type=node_type,
            path=applicant.path,
            public=applicant.public,
            local=check_in.local_socket,
            permissions=self._permissions_of(applicant),
            fingerprint=says.machine_fingerprint,
            joined=self._clock,
            heard=self._clock,
            echo=check_in.client_clock,
            connect_id=self._connect_id_of(applicant),
            username=username,
            account=account,
            place=check_in.place_name or "",
            interest=interest_of(node_type, check_in.interests),
            report=check_in.encode()[8:],
        )
        if assignment is not None:
            assignment.node_id = member.node_id
        self._admit(member, list(replaced.values()))

    def _applicant_admit_again(self, applicant: Applicant, _: object) -> None:
        self._count_answer(applicant.path.host)
        member = self._roster.at(applicant.path)
        assert member is not None  # the rung says so
        member.echo = applicant.says.check_in.client_clock
        self._admit_again(member)

    def _admit(self, member: Member, replaced: list[Member]) -> None:
        """Take a node in, in place of others."""

    def _admit_again(self, member: Member) -> None:
        """Answer a copy of the request that brought a node in."""

    # -- inside

    def _draw(self, n: int, purpose: str) -> bytes:
        assert self._entropy is not None  # the constructor asks for it
        return self._entropy(n, purpose=purpose)

    def _deny(self, applicant: Applicant, reason: p.DenialReason, text: str, extra: str = "") -> None:
        """Refuse, with as much of the text as makes the answer no longer than the request was."""
        room = len(applicant.payload) - _DENIAL_HEAD
        if room < 0:
            self._drop("request too short for an answer")
            return
        extra = _cut(extra, room)
        text = _cut(text, room - len(extra.encode()))
        self._count_answer(applicant.path.host)
        self.answer(applicant.path, p.DomainConnectionDenied(reason, text, extra))
        self._emit(ConnectRefused(applicant.path, reason))

    def _count_answer(self, host: str) -> None:
        if is_loopback(host):  # nobody else can send from there
            return
        answers = self._answers.get(host)
        if answers is None or self._clock - answers.since >= self._delays.repeated:
            answers = self._answers[host] = Answers(self._clock)
            self._answers.move_to_end(host)
            _bound(self._answers, self._limits.applicants)
        answers.count += 1


def with_host(address: SockAddr, path: Path) -> SockAddr:
    """The public address that a node reports; a null one means the sender's, unless that is on this machine."""
    if address.host or is_loopback(path.host):
        return address
    return attrs.evolve(address, host=path.host)


@lru_cache(4096)
def is_loopback(host: str) -> bool:
    return ip_address(host).is_loopback


@lru_cache(4096)
def is_private(host: str) -> bool:
    """Is this an address of a local network, or of this machine?"""
    address = ip_address(host)
    return address.is_loopback or any(address in network for network in _PRIVATE)


_PRIVATE: Final = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def _text(value: str | Absent | None) -> str:
    return value if isinstance(value, str) else ""


def _cut(text: str, size: int) -> str:
    """As much of a text as fits into so many bytes of UTF-8."""
    return text.encode()[:size].decode("utf-8", "ignore")


def _bound(table: OrderedDict[str, T], limit: int) -> None:
    while len(table) > limit:
        table.popitem(last=False)
