"""The commands for Overte's domains, and their options."""

from __future__ import annotations

import json as jsonlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from cyclopts import App, Parameter

from sansproto.errors import LocalProtocolError
from sansproto.overte import (
    DEFAULT,
    DOMAIN_PORT,
    ICE_PORT,
    SOCKET,
    ClientDelays,
    ClientEvent,
    DomainClient,
    DomainServer,
    IceRegistration,
    IceServer,
    IceTarget,
    NodeType,
    Permissions,
    Policy,
)
from sansproto_sockets import Runner, run, system_entropy, wall_epoch

from . import addresses
from .domain_connecting import Advice, Connecting
from .domain_options import bans_of, parse_place, versions_of
from .domain_serving import Serving, open_sockets, serve_ice
from .domain_words import is_any, is_ip
from .exits import CommandFailed, Exit
from .keys import read_file, read_private_key, read_public_key
from .line import LINGER
from .options import Port, Seconds, Switch, not_negative
from .report import make_reporter
from .signals import Signals

_EPILOGUE = """\
Exit codes: 0 done, or left by Ctrl-C; 1 unexpected error, 2 wrong usage, 3 no domain there, 5 the domain refuses us, \
6 no free port, 9 a file error, 130 Ctrl-C and 143 terminated before we were in."""
_FOR_EVER = 7 * 86400.0  # seconds: who was in once goes on trying
_STUN_PORT, _STUN_EXAMPLE = 3478, "stun.example.org:3478"
_PUBLIC_EXAMPLE = "203.0.113.7:40105"
_MAX_SETTINGS = 1 << 20
_TYPES = {
    kind.name.lower().replace("_", "-"): kind
    for kind in (
        NodeType.AGENT,
        NodeType.AUDIO_MIXER,
        NodeType.AVATAR_MIXER,
        NodeType.ENTITY_SERVER,
        NodeType.ASSET_SERVER,
        NodeType.MESSAGES_MIXER,
        NodeType.ENTITY_SCRIPT_SERVER,
    )
}

domain_app = App(
    name="domain",
    help="Visit a domain of Overte, or serve one.",
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
)

Where: TypeAlias = Annotated[str | None, Parameter(metavar="HOST[:PORT]")]
Protocol: TypeAlias = Annotated[str, Parameter(metavar="NAME")]
Bind: TypeAlias = Annotated[str, Parameter(metavar="HOST[:PORT]", show_default=False)]
Table: TypeAlias = Annotated[Path | None, Parameter(metavar="FILE")]
UUIDText: TypeAlias = Annotated[str | None, Parameter(metavar="UUID")]


@dataclass(frozen=True, kw_only=True)
class Who:
    """How the domain sees us.

    Parameters
    ----------
    username
        Our name at the directory service; --key proves it.
    key
        Our RSA private key, PEM or DER.
    account
        Our name among the domain's own accounts. SANSPROTO_TOKENS has its tokens, ACCESS:REFRESH.
    place
        The name of the place in the domain at which we claim to be.
    type
        The type of node that we are: agent, or one that the domain expects, such as audio-mixer (with --assignment).
    assignment
        The UUID under which the domain expects us; domain serve --assign names it.
    interest
        The types of nodes that we want to hear of.
    """

    username: str | None = None
    key: Annotated[Path | None, Parameter(metavar="FILE")] = None
    account: Annotated[str | None, Parameter(metavar="NAME")] = None
    place: str | None = None
    type: str = "agent"
    assignment: UUIDText = None
    interest: Annotated[str, Parameter(metavar="LETTERS")] = "MWoAmS"

    def arguments(self) -> dict[str, Any]:
        """Those of a client."""
        if bool(self.username) is not (self.key is not None):
            raise CommandFailed(Exit.USAGE, "A name has to be proved: give both --username and --key.")
        node_type = _node_type(self.type)
        if node_type is not NodeType.AGENT and self.assignment is None:
            raise CommandFailed(Exit.USAGE, f"A domain has to expect its {self.type}: give --assignment, too.")
        return {
            "username": self.username or "",
            "private_key": None if self.key is None else read_private_key(self.key),
            "domain_account": None if self.account is None else (self.account, _tokens()),
            "place_name": self.place,
            "node_type": node_type,
            "assignment": bytes(16) if self.assignment is None else _uuid(self.assignment),
            "interest": _interest(self.interest),
        }


@dataclass(frozen=True, kw_only=True)
class Way:
    """How to get to the domain.

    Parameters
    ----------
    stun
        Ask this server for our public address. Without it, the domain uses the address that it sees.
    ice
        Ask this ice-server where the domain is. It needs --domain-id, and replaces HOST.
    domain_id
        The id by which the ice-server knows the domain.
    local_host
        Our address for others on the same network. [default: the address of the route to the domain]
    protocol
        The release of Overte: 2025.05.1, 2026-newest-known or vircadia.
    table
        A JSON file with the packet types whose version differs from that release, as {"57": 18}.
    public
        Our public address, if a router forwards that port to us.
    bind
        Use only this address of this computer.
    port
        Use this UDP port. [default: a free one]
    """

    stun: Where = None
    ice: Where = None
    domain_id: UUIDText = None
    local_host: Annotated[str | None, Parameter(metavar="HOST")] = None
    protocol: Protocol = DEFAULT.name
    table: Table = None
    public: Where = None
    bind: Bind = ""
    port: Annotated[Port, Parameter(show_default=False)] = 0

    def arguments(self, domain: str | None) -> dict[str, Any]:
        """Those of a client."""
        if (domain is None) is (self.ice is None) or (self.ice is None) is not (self.domain_id is None):
            raise CommandFailed(Exit.USAGE, "Which domain? Give HOST[:PORT], or --ice and --domain-id.")
        host, port = ("", DOMAIN_PORT) if domain is None else _domain_address(domain)
        parse = addresses.parse_address
        if self.local_host is not None and not is_ip(self.local_host):
            text = "--local-host is not an address: give one of this computer, such as 192.168.1.10."
            raise CommandFailed(Exit.USAGE, text)
        return {
            "host": host,
            "port": port,
            "ice": None if self.ice is None else _target(self.ice, self.domain_id),
            "stun": None if self.stun is None else parse(self.stun, _STUN_PORT, "STUN server", _STUN_EXAMPLE),
            "local_host": self.local_host,
            "public": None if self.public is None else addresses.parse_bound(self.public, "client", _PUBLIC_EXAMPLE),
            "versions": versions_of(self.protocol, self.table),
        }

    def socket(self) -> tuple[str, int]:
        """Where ours is to be."""
        return addresses.parse_bind(self.bind, self.port)

    def advice(self, who: Who) -> Advice:
        """What to check if nobody lets us in."""
        nobody = "check the address, and that its UDP port is open"
        if self.ice is not None:
            nobody = "check --ice and --domain-id, and that the domain is registered there"
        elif who.assignment is not None:
            nobody = (
                f"check the address, that its UDP port is open, and that it expects this --assignment as {who.type}"
            )
        silent = "it may be busy: try again later"
        if who.username is not None:
            silent = f"it may not find the key of {who.username}: publish the key, or connect without --username"
        return Advice(nobody, silent)


@domain_app.command
def connect(
    domain: Annotated[str | None, Parameter(metavar="HOST[:PORT]|hifi://HOST[:PORT][/PATH]")] = None,
    /,
    *,
    who: Annotated[Who, Parameter(name="*")] = Who(),
    way: Annotated[Way, Parameter(name="*")] = Way(),
    timeout: Seconds = None,
    stay: Annotated[float | None, Parameter(name="--for", metavar="SECONDS", validator=not_negative)] = None,
    json: Switch = False,
) -> None:
    """Visit a domain and stay: show its nodes, with ping and clock skew, and ask to be let in again after silence.

    Parameters
    ----------
    domain
        The address of the domain. The usual port is 40102. With a PATH, the command asks where this path leads.
    timeout
        How long to try to get in. [default: 10; the command ends sooner if waiting is useless]
    stay
        Leave the domain after this time. [default: stay until Ctrl-C]
    json
        Print one JSON object per line.
    """
    reporter, path = make_reporter(as_json=json), ""
    if domain is not None:
        domain, path = parse_place(domain)
    arguments = {**way.arguments(domain), **who.arguments()}
    delays = ClientDelays(give_up=_FOR_EVER)
    with _usage():
        client = DomainClient(**arguments, delays=delays, entropy=system_entropy, wall_epoch=wall_epoch())
    host, port = arguments["host"], arguments["port"]
    where = addresses.format_address(host, port) if domain else f"{way.domain_id} by way of {way.ice}"
    asked = host if domain else arguments["ice"].host
    bind, own_port = way.socket()
    bind = bind or ("0.0.0.0" if is_ip(asked) and ":" not in asked else "")  # a socket for IPv6 takes IPv4 along
    running: Runner[ClientEvent] = run(client, sockets={SOCKET: (bind, own_port)}, linger=LINGER)
    with Signals() as signals, ExitStack() as stack:
        runner = open_sockets(stack, running)
        advice = way.advice(who)
        visit = Connecting(
            client, runner, signals.check, reporter, where, advice, path=path, timeout=timeout, stay=stay
        )
        visit.run()


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which users the domain lets in, and what it tells them.

    Parameters
    ----------
    capacity
        How many clients there may be at once.
    redirect
        The other domain that the server names to clients when this one is full.
    allow
        Let in only users like NAME, who proves the name by the RSA key whose public part is in FILE. May be repeated.
    admin
        Let the user NAME kick others. FILE has the user's public key, unless --allow names the user. May be repeated.
    ban
        Keep somebody out: name:NAME, machine:FINGERPRINT or host:ADDRESS. May be repeated.
    path
        Where a path leads, such as /=/0,0,0/0,0,0,1. May be repeated.
    settings
        A file of JSON, for those who ask for the domain's settings.
    """

    capacity: Annotated[int | None, Parameter(metavar="N", validator=not_negative)] = None
    redirect: Annotated[str, Parameter(metavar="ADDRESS", show_default=False)] = ""
    allow: Annotated[list[str] | None, Parameter(metavar="NAME=FILE", negative=())] = None
    admin: Annotated[list[str] | None, Parameter(metavar="NAME[=FILE]", negative=())] = None
    ban: Annotated[list[str] | None, Parameter(metavar="KIND:WHO", negative=())] = None
    path: Annotated[list[str] | None, Parameter(metavar="PATH=VIEWPOINT", negative=())] = None
    settings: Annotated[Path | None, Parameter(metavar="FILE")] = None

    def keys(self) -> dict[str, bytes]:
        """Public keys by username."""
        admins = [text for text in self.admin or () if "=" in text]
        pairs = _pairs(self.allow, "--allow NAME=FILE") + _pairs(admins, "--admin NAME=FILE")
        return {name.lower(): read_public_key(Path(file)) for name, file in pairs}

    def policy(self, keys: dict[str, bytes]) -> Policy:
        guest = Policy().anonymous
        admins = {text.partition("=")[0].lower() for text in self.admin or ()}
        if unknown := sorted(admins - keys.keys()):
            text = f"There is no key for {unknown[0]}: name it, as in --admin {unknown[0]}=FILE."
            raise CommandFailed(Exit.USAGE, text)
        return Policy(
            localhost=0,  # nobody is somebody special for being on this computer
            anonymous=0 if self.allow else guest,
            logged_in=0 if self.allow else guest,
            users={name: guest | (Permissions.KICK if name in admins else 0) for name in keys},
            bans=bans_of(self.ban),
            capacity=self.capacity,
            redirect=self.redirect,
            settings="{}" if self.settings is None else _settings(self.settings),
            paths=dict(_pairs(self.path, "--path PATH=VIEWPOINT")) or Policy().paths,
        )


@dataclass(frozen=True, kw_only=True)
class FoundBy:
    """Which ice-server knows where the domain is.

    Parameters
    ----------
    ice
        Let clients find the domain by this ice-server.
    ice_key
        The RSA private key by which the ice-server knows the domain.
    """

    ice: Where = None
    ice_key: Annotated[Path | None, Parameter(metavar="FILE")] = None

    def registration(self, bind: str) -> IceRegistration | None:
        """That of a domain with this socket."""
        if (self.ice is None) is not (self.ice_key is None):
            raise CommandFailed(Exit.USAGE, "An ice-server needs a signature: give both --ice and --ice-key.")
        if self.ice is None or self.ice_key is None:
            return None
        key, local_host = read_private_key(self.ice_key), addresses.own_address() if is_any(bind) else None
        return IceRegistration(servers=(_ice_address(self.ice),), private_key=key, local_host=local_host)


@domain_app.command
def serve(
    *,
    bind: Bind = "",
    port: Port = DOMAIN_PORT,
    id: UUIDText = None,
    rules: Annotated[Rules, Parameter(name="*")] = Rules(),
    assign: Annotated[list[str] | None, Parameter(metavar="TYPE=UUID", negative=())] = None,
    found_by: Annotated[FoundBy, Parameter(name="*")] = FoundBy(),
    protocol: Protocol = DEFAULT.name,
    table: Table = None,
    behind_proxy: Switch = False,
    quiet: Switch = False,
    json: Switch = False,
) -> None:
    """Serve a domain: a meeting place where clients, mixers and servers learn of each other.

    Parameters
    ----------
    bind
        Listen only at this address. [default: every address of this computer]
    port
        The UDP port.
    id
        The domain's id. [default: a new one]
    assign
        Expect a mixer or server that comes with this --assignment, such as audio-mixer=UUID. May be repeated.
    protocol
        The release of Overte: 2025.05.1, 2026-newest-known or vircadia.
    table
        A JSON file with the packet types whose version differs from that release, as {"57": 18}.
    behind_proxy
        Apply the limits to connections from this computer, too, because they come through a proxy.
    quiet
        Report only failures.
    json
        Print one JSON object per line.
    """
    bind, port = addresses.parse_bind(bind, port)
    keys, versions = rules.keys(), versions_of(protocol, table)
    domain_id = uuid.uuid4().bytes if id is None else _uuid(id)
    with _usage():
        server = DomainServer(
            domain_id=domain_id,
            policy=rules.policy(keys),
            versions=versions,
            version_name=versions.name,
            trust_loopback=not behind_proxy,
            ice=found_by.registration(bind),
            entropy=system_entropy,
            wall_epoch=wall_epoch(),
        )
        for kind, connect_id in _pairs(assign, "--assign TYPE=UUID"):
            server.assign(_uuid(connect_id), _node_type(kind), time.monotonic())
    with Signals() as signals:
        Serving(server, keys, make_reporter(as_json=json, quiet=quiet)).run(bind, port, domain_id, signals.check)


@domain_app.command
def ice(
    *,
    bind: Bind = "",
    port: Port = ICE_PORT,
    quiet: Switch = False,
    json: Switch = False,
) -> None:
    """Run an ice-server, which tells clients where domains are. It does not check the signatures of domains.

    Parameters
    ----------
    bind
        Listen only at this address. [default: every address of this computer]
    port
        The UDP port.
    quiet
        Report only failures.
    json
        Print one JSON object per line.
    """
    bind, port = addresses.parse_bind(bind, port)
    server = IceServer(entropy=system_entropy, wall_epoch=wall_epoch())
    with Signals() as signals:
        serve_ice(server, bind, port, make_reporter(as_json=json, quiet=quiet), signals.check)


# -- options as machines want them -------------------------------------------------------------------------------------


@contextmanager
def _usage() -> Iterator[None]:
    """What a machine does not take as an argument, the user gave wrongly."""
    try:
        yield
    except (ValueError, LocalProtocolError) as error:
        text = f"These options cannot be used: {error}. See sansproto domain --help."
        raise CommandFailed(Exit.USAGE, text) from error


def _domain_address(text: str) -> tuple[str, int]:
    return addresses.parse_address(text, DOMAIN_PORT, "domain", "192.168.1.10:40102")


def _ice_address(text: str) -> tuple[str, int]:
    return addresses.parse_address(text, ICE_PORT, "ice-server", "192.168.1.10:7337")


def _target(ice: str, domain_id: str | None) -> IceTarget:
    host, port = _ice_address(ice)
    return IceTarget(host=host, port=port, domain_id=_uuid(domain_id or ""), client_id=uuid.uuid4().bytes)


def _uuid(text: str) -> bytes:
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        raise CommandFailed(Exit.USAGE, f"That is not an id: give a UUID, such as {uuid.UUID(int=1 << 127)}.") from None


def _node_type(name: str) -> NodeType:
    if name not in _TYPES:
        raise CommandFailed(Exit.USAGE, f"That is not a type of node: give {_or(_TYPES)}.")
    return _TYPES[name]


def _interest(letters: str) -> bytes:
    known = {chr(kind): name for name, kind in _TYPES.items()}
    if not set(letters) <= known.keys():
        listed = ", ".join(f"{letter} ({name})" for letter, name in known.items())
        raise CommandFailed(Exit.USAGE, f"--interest has a letter that is not a type of node: choose among {listed}.")
    return letters.encode()


def _tokens() -> str:
    tokens = os.environ.get("SANSPROTO_TOKENS")
    if not tokens:
        raise CommandFailed(Exit.USAGE, "--account needs tokens: put them into SANSPROTO_TOKENS, ACCESS:REFRESH.")
    return tokens


def _pairs(texts: list[str] | None, form: str) -> list[tuple[str, str]]:
    pairs = []
    for text in texts or ():
        name, _, value = text.partition("=")
        if not name or not value:
            raise CommandFailed(Exit.USAGE, f"One half of the value is missing: give {form}.")
        pairs.append((name, value))
    return pairs


def _settings(path: Path) -> str:
    data = read_file(path)
    if len(data) > _MAX_SETTINGS:
        raise CommandFailed(Exit.FILES, f"{path} has more than {_MAX_SETTINGS:,} bytes: name a smaller file.")
    try:
        text = data.decode("utf-8-sig")
        jsonlib.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandFailed(Exit.FILES, f"{path} is not JSON ({error}): correct it, or name another file.") from error
    return text


def _or(names: Iterable[str]) -> str:
    return " or ".join(names)
