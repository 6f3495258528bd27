"""Whom a domain lets in, and what it tells those who ask: docs/protocols/overte.rst, permissions."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final

import attrs

from .packets import Ban, NodeType, Permissions
from .qt import NULL_UUID, uuid_text

ASSIGNED: Final = (
    Permissions.CONNECT
    | Permissions.ADJUST_LOCKS
    | Permissions.REZ
    | Permissions.REZ_TEMPORARY
    | Permissions.WRITE_ASSETS
    | Permissions.REPLACE_CONTENT
    | Permissions.PRIVATE_USER_DATA
    | Permissions.REZ_AVATAR_ENTITIES
    | Permissions.VIEW_ASSET_URLS
)
"""What nodes with an assignment may do, whatever the policy says."""

_GUEST: Final = Permissions.CONNECT | Permissions.REZ_AVATAR_ENTITIES
_ORIGIN: Final = "/0,0,0/0,0,0,1"
_EVERYTHING: Final = ASSIGNED | Permissions.PAST_CAPACITY | Permissions.KICK


@attrs.frozen(kw_only=True)
class Visitor:
    """Who a policy judges. The names are verified, and empty for those who gave none."""

    host: str
    """Where the request came from."""
    is_local: bool
    """It came from the machine that the server runs on."""
    node_type: NodeType
    """What it says that it does."""
    fingerprint: bytes
    """Of the machine, as it says itself."""
    username: str = ""
    """Of the directory service, in lower case."""
    account: str = ""
    """Of the domain's own."""


def require_utf8(name: str, text: str) -> None:
    """Raises ValueError for lone surrogates: better now than when the first stranger is told."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} has no UTF-8") from None


def _has_utf8(_: object, field: attrs.Attribute[Any], value: str | Mapping[str, str]) -> None:
    for text in value.values() if isinstance(value, Mapping) else (value,):
        require_utf8(field.name, text)


@attrs.frozen
class Banned:
    """Somebody who stays outside: ``who`` is a verified name in lower case, a fingerprint, or a host."""

    by: Ban
    """One of its members."""
    who: str
    """A name in lower case, the usual form of a UUID, or canonical numeric text of an address."""

    @property
    def text(self) -> str:
        """To store it: ``name:ada``, ``machine:00112233-...``, ``host:192.0.2.7``."""
        return f"{(self.by.name or '').lower()}:{self.who}"

    @classmethod
    def read(cls, text: str) -> Banned:
        """What :attr:`text` gives. Raises ValueError for anything else."""
        kind, _, who = text.partition(":")
        if kind == "machine":
            fingerprint = bytes.fromhex(who.replace("-", ""))
            if len(fingerprint) != 16:
                raise ValueError("a fingerprint has 32 digits")
            return cls(Ban.MACHINE, uuid_text(fingerprint))
        if kind == "host":
            return cls(Ban.HOST, str(ip_address(who)))
        if kind == "name" and who:
            return cls(Ban.NAME, who.lower())
        raise ValueError("neither name:NAME nor machine:FINGERPRINT nor host:ADDRESS")


@attrs.frozen
class Login:
    """Where the domain's own accounts log in, and the name that clients have there."""

    url: str = attrs.field(validator=_has_utf8)
    """Where to log in."""
    client_id: str = attrs.field(default="", validator=_has_utf8)
    """The name that clients have there."""


@attrs.frozen(kw_only=True)
class Policy:
    """What a domain decides. Override the methods for what data cannot say; they are asked again for every request.

    A user in ``users`` has just those permissions (and those of ``localhost``), so that somebody can be locked out;
    names are in lower case. ``accounts`` are the domain's own: what a client sends as tokens, by account name.
    Guests need ``REZ_AVATAR_ENTITIES``, or the reference's client stops at a dialog. Raises ValueError for text that
    has no UTF-8 (lone surrogates).
    """

    localhost: int = _EVERYTHING
    """What those on the server's machine may do, besides all else. Bits of ``Permissions``, as all that follow."""
    anonymous: int = _GUEST
    """What guests may do."""
    logged_in: int = _GUEST
    """What those with a verified name may do."""
    users: Mapping[str, int] = attrs.field(factory=dict)
    """What single users may do, by their names in lower case."""
    capacity: int | None = None
    """Agents that may be in at once; None: no bound but the server's."""
    redirect: str = attrs.field(default="", validator=_has_utf8)
    """Where those are to go for whom there is no room."""
    login: Login | None = None
    """The domain has accounts of its own; None: it has none."""
    accounts: Mapping[str, str] = attrs.field(factory=dict, repr=False, validator=_has_utf8)
    """The domain's own: the tokens that a client has to send, by account name."""
    paths: Mapping[str, str] = attrs.field(factory=dict, validator=_has_utf8)
    """Viewpoints by path; ``/`` is by itself the origin."""
    settings: str = attrs.field(default="{}", validator=_has_utf8)
    """The text of a JSON object, for who asks."""
    bans: frozenset[Banned] = frozenset()
    """Who may not connect, whatever else is said; those on the server's machine only by name."""

    def asks_names(self) -> bool:
        """Does anything depend on usernames? Else whoever has one without a known key is a guest like any other."""
        judges = type(self).permissions is not Policy.permissions
        return judges or bool(self.users) or self.logged_in != self.anonymous

    def permissions(self, visitor: Visitor) -> int:
        """What somebody may do. Without ``CONNECT`` they stay outside."""
        if visitor.username in self.users:
            own = self.users[visitor.username]
        else:
            own = self.logged_in if visitor.username or visitor.account else self.anonymous
        return own | self.localhost if visitor.is_local else own

    def is_banned(self, visitor: Visitor) -> bool:
        """May somebody not connect, whatever :meth:`permissions` says?"""
        return bool(self.bans) and not self.bans.isdisjoint(bans_of(visitor, ~0))

    def is_account(self, account: str, tokens: str) -> bool:
        """Does this account of the domain's own exist, and has it these tokens?"""
        known = self.accounts.get(account)
        return known is not None and hmac.compare_digest(known.encode(), tokens.encode("utf-8", "replace"))

    def viewpoint(self, path: str) -> str | None:
        """Where a path leads; None: the question gets no answer."""
        return self.paths.get(path, _ORIGIN if path == "/" else None)

    def settings_for(self, assignment_type: int) -> str:
        """The JSON text for nodes of a type: 0 audio, 1 avatar, 2 agent, 3 asset, 4 messages, 5 entity script,
        6 entity, 7 all. At most ``limits.message_size`` bytes in UTF-8.
        """
        return self.settings


def bans_of(visitor: Visitor, by: int) -> set[Banned]:
    """What keeps somebody out, by these bits of Ban. Names have to be verified. Who has none, and no fingerprint, and
    who is on the server's machine, cannot be told from others by that."""
    found = {Banned(Ban.NAME, name) for name in (visitor.username, visitor.account) if name and by & Ban.NAME}
    if not visitor.is_local:
        if by & Ban.MACHINE and visitor.fingerprint != NULL_UUID:
            found.add(Banned(Ban.MACHINE, uuid_text(visitor.fingerprint)))
        if by & Ban.HOST:
            found.add(Banned(Ban.HOST, visitor.host))
    return found
