"""Who may enter a domain, and what the domain answers: docs/protocols/overte.rst, permissions."""

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
    """Somebody who asks to be let in. The names are verified; they are empty for those who gave none."""

    host: str
    """The address from which the request came."""
    is_local: bool
    """It came from the machine that the server runs on."""
    node_type: NodeType
    """The type that it claims to have."""
    fingerprint: bytes
    """The fingerprint of its machine, as it claims it."""
    username: str = ""
    """Its verified name at the directory service, in lower case."""
    account: str = ""
    """Its verified account at the domain itself."""


def require_utf8(name: str, text: str) -> None:
    """Raise ValueError for lone surrogates, which could not be sent to a client later."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} has no UTF-8") from None


def _has_utf8(_: object, field: attrs.Attribute[Any], value: str | Mapping[str, str]) -> None:
    for text in value.values() if isinstance(value, Mapping) else (value,):
        require_utf8(field.name, text)


@attrs.frozen
class Banned:
    """A ban. ``who`` is a verified name in lower case, a fingerprint, or a host."""

    by: Ban
    """What ``who`` is: one member of Ban."""
    who: str
    """A name in lower case, the usual form of a UUID, or canonical numeric text of an address."""

    @property
    def text(self) -> str:
        """The ban as text, to be stored: ``name:ada``, ``machine:00112233-...``, ``host:192.0.2.7``."""
        return f"{(self.by.name or '').lower()}:{self.who}"

    @classmethod
    def read(cls, text: str) -> Banned:
        """The ban that :attr:`text` stands for. Raises ValueError for any other text."""
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
    """What a domain decides. Override the methods for rules that data cannot express. They are called for every
    request.

    A user in ``users`` has only the permissions there, and those of ``localhost``: so a user can be locked out. Names
    are in lower case. ``accounts`` are the domain's own accounts, each with the tokens that a client has to send.
    Guests need ``REZ_AVATAR_ENTITIES``, or the reference's client stops at a dialog. Raises ValueError for text that
    has no UTF-8 (lone surrogates).
    """

    localhost: int = _EVERYTHING
    """What those on the server's machine may do, besides what they may do anyway. Bits of ``Permissions``, as in the
    next three."""
    anonymous: int = _GUEST
    """What guests may do."""
    logged_in: int = _GUEST
    """What those with a verified name may do."""
    users: Mapping[str, int] = attrs.field(factory=dict)
    """What single users may do, by their names in lower case."""
    capacity: int | None = None
    """How many agents may be in the domain at once. None: only the server's own limits hold."""
    redirect: str = attrs.field(default="", validator=_has_utf8)
    """The place to which clients are sent for whom there is no room."""
    login: Login | None = None
    """Where the domain's own accounts log in. None: the domain has no accounts."""
    accounts: Mapping[str, str] = attrs.field(factory=dict, repr=False, validator=_has_utf8)
    """The domain's own accounts: the tokens that a client has to send, by the name of the account."""
    paths: Mapping[str, str] = attrs.field(factory=dict, validator=_has_utf8)
    """The viewpoint of each path. Without an entry, ``/`` is the origin."""
    settings: str = attrs.field(default="{}", validator=_has_utf8)
    """The text of a JSON object, for nodes that ask for the settings."""
    bans: frozenset[Banned] = frozenset()
    """Who may not connect, whatever their permissions are. On the server's own machine only bans of names count."""

    def asks_names(self) -> bool:
        """Does anything depend on usernames? If not, a user whose key is not known is a guest like any other."""
        judges = type(self).permissions is not Policy.permissions
        return judges or bool(self.users) or self.logged_in != self.anonymous

    def permissions(self, visitor: Visitor) -> int:
        """What this visitor may do. Without ``CONNECT`` it is not let in."""
        if visitor.username in self.users:
            own = self.users[visitor.username]
        else:
            own = self.logged_in if visitor.username or visitor.account else self.anonymous
        return own | self.localhost if visitor.is_local else own

    def is_banned(self, visitor: Visitor) -> bool:
        """Is this visitor kept out, whatever :meth:`permissions` says?"""
        return bool(self.bans) and not self.bans.isdisjoint(bans_of(visitor, ~0))

    def is_account(self, account: str, tokens: str) -> bool:
        """Does the domain have this account, with these tokens?"""
        known = self.accounts.get(account)
        return known is not None and hmac.compare_digest(known.encode(), tokens.encode("utf-8", "replace"))

    def viewpoint(self, path: str) -> str | None:
        """Where a path leads. None: the question is not answered."""
        return self.paths.get(path, _ORIGIN if path == "/" else None)

    def settings_for(self, assignment_type: int) -> str:
        """The JSON text for nodes of a type: 0 audio, 1 avatar, 2 agent, 3 asset, 4 messages, 5 entity script,
        6 entity, 7 all. At most ``limits.message_size`` bytes in UTF-8.
        """
        return self.settings


def bans_of(visitor: Visitor, by: int) -> set[Banned]:
    """The bans that keep this visitor out, for these bits of Ban: of its verified names, its fingerprint, its host.
    There is none for what the visitor does not have, and for fingerprint and host if it is on the server's machine."""
    found = {Banned(Ban.NAME, name) for name in (visitor.username, visitor.account) if name and by & Ban.NAME}
    if not visitor.is_local:
        if by & Ban.MACHINE and visitor.fingerprint != NULL_UUID:
            found.add(Banned(Ban.MACHINE, uuid_text(visitor.fingerprint)))
        if by & Ban.HOST:
            found.add(Banned(Ban.HOST, visitor.host))
    return found
