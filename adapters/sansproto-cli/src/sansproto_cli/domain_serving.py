"""A domain of one's own, and an ice-server: who comes and goes is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

from sansproto.contract import Path
from sansproto.overte import (
    SOCKET,
    BanAdded,
    ConnectRefused,
    Departure,
    DomainServer,
    IcePeerAdded,
    IcePeerRemoved,
    IceServer,
    IceServerEvent,
    KeyRefused,
    KeyWanted,
    KickAsked,
    NodeChanged,
    NodeJoined,
    NodeLeft,
    ServerEvent,
    UsernameAsked,
    uuid_text,
)
from sansproto_sockets import Runner, run

from . import addresses
from .domain_words import is_any, label_of, name_of, permissions_of, where_is
from .exits import CommandFailed, Exit
from .line import attend
from .mistakes import tell_stopped
from .report import Reporter, printable

R = TypeVar("R")

_DEPARTURES = {
    Departure.LEFT: "left",
    Departure.SILENT: "was silent for too long",
    Departure.KICKED: "was thrown out",
    Departure.REPLACED: "came in anew",
    Departure.UNWELCOME: "is not welcome any more",
}


class Serving:
    """Runs a domain until it is interrupted. ``keys`` are the public keys of users by their names in lower case."""

    def __init__(self, server: DomainServer, keys: Mapping[str, bytes], reporter: Reporter) -> None:
        self._server = server
        self._keys = keys
        self._reporter = reporter
        self._labels: dict[bytes, str] = {}  # of those who are in

    def run(self, host: str, port: int, domain_id: bytes, check: Callable[[], None]) -> None:
        running: Runner[ServerEvent] = run(self._server, sockets={SOCKET: (host, port)})
        with ExitStack() as stack:
            self._runner = open_sockets(stack, running)
            shown, port = _shown(host), self._runner.addresses[SOCKET].port
            where, domain = addresses.format_address(shown, port), uuid_text(domain_id)
            self._reporter.command(
                "domain_started",
                f"Domain {domain} at {where}. Ctrl-C stops it. To come in, type:",
                f"sansproto domain connect {where}",
                host=shown,
                port=port,
                domain_id=domain,
            )
            attend(self._runner, check, self._tell)
            tell_stopped(self._reporter, "The domain", self._server.stats)

    def _tell(self, event: ServerEvent) -> None:
        match event:
            case NodeJoined():
                self._tell_joined(event)
            case NodeChanged(node_id):
                text = f"{self._labels[node_id]} is {_at(event.place)} now." if event.place else ""
                self._reporter.tell("changed", text, node=uuid_text(node_id), place=event.place)
            case NodeLeft(node_id, why):
                text = f"{self._labels.pop(node_id)} {_DEPARTURES[why]}."
                self._reporter.tell("left", text, node=uuid_text(node_id), reason=why.name.lower())
            case ConnectRefused(path, reason):
                text = f"Refused {_from(path)}: {reason.name.lower().replace('_', ' ')}."
                self._reporter.tell("refused", text, address=_from(path), reason=reason.name.lower())
            case KeyWanted(username):
                self._provide_key(username)
            case KeyRefused(host, port):
                where = addresses.format_address(host, port)
                text = f"The ice-server {where} knows another key for this domain: check --ice-key and --id."
                self._reporter.tell("warning", text, reason="key_refused", ice=where)
            case KickAsked(by, node_id):
                self._kick(by, node_id, event.flags)
            case BanAdded(banned):
                ban = printable(banned.text)
                text = f"{ban} stays outside until the domain stops: for good, start it with --ban {ban}."
                self._reporter.tell("banned", text, ban=banned.text)
            case UsernameAsked(by, node_id):
                self._runner.call(lambda now: self._server.answer_username(by, node_id, now))
            case _:  # statistics
                pass

    def _kick(self, by: bytes, node_id: bytes, ban: int) -> None:
        label = self._labels.get(node_id)
        if label is not None:
            asker = self._labels.get(by, "Somebody who has left")
            self._reporter.tell("kick", f"{asker} throws {label} out.", by=uuid_text(by), node=uuid_text(node_id))
            self._runner.call(lambda now: self._server.kick(node_id, now, ban=ban))

    def _tell_joined(self, event: NodeJoined) -> None:
        name = f" as {printable(event.username)}" if event.username else ""
        place = f", {_at(event.place)}" if event.place else ""
        self._labels[event.node_id] = label = label_of(event.node_type, event.node_id)
        self._reporter.tell(
            "joined",
            f"{label} came in from {_from(event.path)}{name}{place}.",
            node=uuid_text(event.node_id),
            type=name_of(event.node_type),
            local_id=event.local_id,
            address=_from(event.path),
            permissions=permissions_of(event.permissions),
            username=event.username,
            place=event.place,
        )

    def _provide_key(self, username: str) -> None:
        key = self._keys.get(username)
        if key is None:
            text = f"A node claims the name {printable(username)}, which no --allow has."
            self._reporter.tell("unknown_user", text, username=username)
        self._runner.call(lambda now: self._server.provide_key(username, key, now))


def serve_ice(server: IceServer, host: str, port: int, reporter: Reporter, check: Callable[[], None]) -> None:
    """Run an ice-server until it is interrupted."""
    with ExitStack() as stack:
        running: Runner[IceServerEvent] = run(server, sockets={SOCKET: (host, port)})
        runner = open_sockets(stack, running)
        shown, port = _shown(host), runner.addresses[SOCKET].port
        text = f"Ice-server at {addresses.format_address(shown, port)}. Ctrl-C stops it."
        reporter.tell("ice_started", text, host=shown, port=port)
        attend(runner, check, lambda event: _tell_ice(event, reporter))
        tell_stopped(reporter, "The ice-server", server.stats)


def open_sockets(stack: ExitStack, running: AbstractContextManager[R]) -> R:
    """Enter a runner, whose sockets are opened by that."""
    try:
        return stack.enter_context(running)
    except OSError as error:
        text = f"Cannot open the socket ({error.strerror}): choose another address or port."
        raise CommandFailed(Exit.RELAY, text) from error


def _tell_ice(event: IceServerEvent, reporter: Reporter) -> None:
    match event:
        case IcePeerAdded(peer_id, address):
            kind, where = "domain" if event.is_domain else "client", where_is(address)
            text = f"The {kind} {uuid_text(peer_id)} is at {where}."
            reporter.tell("peer_added", text, peer=uuid_text(peer_id), type=kind, address=where)
        case IcePeerRemoved(peer_id):
            reporter.tell("peer_removed", f"{uuid_text(peer_id)} is gone.", peer=uuid_text(peer_id))
        case _:  # nobody is asked for keys: it believes every domain
            pass


def _shown(bind: str) -> str:
    return addresses.own_address() if is_any(bind) else bind


def _from(path: Path) -> str:
    return addresses.format_address(path.host, path.port)


def _at(place: str) -> str:
    return f"at {printable(place)}"
