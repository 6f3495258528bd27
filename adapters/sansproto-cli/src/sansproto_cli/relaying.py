"""Relays: the command, and the one that a sender brings along."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from rich.filesize import decimal

import sansproto_threads
from sansproto.bob import (
    RELAY_PORT,
    SECURE_PORT,
    Departure,
    PeerJoined,
    PeerLeft,
    Relay,
    RelayDelays,
    RelayEvent,
    Role,
    RoomClosed,
    RoomOpened,
)
from sansproto.contract import Address
from sansproto_sockets import Runner, run

from . import addresses
from .exits import CommandFailed, Exit
from .line import SERVER_LINGER, attend
from .mistakes import tell_stopped
from .report import Reporter, printable

_A_WEEK = 7 * 86400.0  # a relay of one's own does not tire before its sender
_ROLES = {Role.SERVER: "sender", Role.CLIENT: "receiver"}
_DEPARTURES = {
    Departure.LEFT: "left",
    Departure.IDLE: "was silent for too long",
    Departure.MALFORMED: "does not speak this protocol",
    Departure.SLOW: "does not read",
    Departure.PAIRED: "goes on in a room",
    Departure.FLOODING: "was cut: it sent too much that nobody can use",
}


def serve(host: str, port: int, secure_port: int, reporter: Reporter, check: Callable[[], None]) -> None:
    """Run a relay until it is interrupted."""
    raise_descriptor_limit()
    relay = Relay()
    listen = {RELAY_PORT: (host, port), SECURE_PORT: (host, secure_port)}
    running: Runner[RelayEvent] = run(relay, listen=listen, linger=SERVER_LINGER)
    with ExitStack() as stack:
        try:
            runner = stack.enter_context(running)
        except OSError as error:
            raise _cannot_listen(error) from error
        _tell_started(runner.addresses, reporter)
        attend(runner, check, lambda event: _tell(event, reporter))
        tell_stopped(reporter, "The relay", relay.stats)


class OwnRelay:
    """A relay that runs in a thread. ``addresses`` are those at which it listens."""

    def __init__(self, runner: sansproto_threads.Runner[RelayEvent]) -> None:
        self.addresses: Mapping[str, Address] = runner.addresses
        self._runner = runner
        self._receivers: dict[int, str] = {}  # who is there, by uid
        threading.Thread(target=self._listen, name="relay events", daemon=True).start()

    @property
    def receivers(self) -> Collection[str]:
        """The identities of those who wait there."""
        return {*self._receivers.copy().values()}

    def _listen(self) -> None:
        """A relay whose events nobody takes reads nothing any more."""
        with suppress(Exception):  # it is raised where the relay is left
            for event in self._runner:
                match event:
                    case PeerJoined(uid, identity, Role.CLIENT):
                        self._receivers[uid] = identity
                    case PeerLeft(uid):
                        self._receivers.pop(uid, None)


@contextmanager
def own_relay(host: str, port: int | None, secure_port: int | None) -> Iterator[OwnRelay]:
    """A relay for one sender. Ports that are None are the usual ones, or free ones if those are taken."""
    with ExitStack() as stack:
        try:
            usual = _or(port, addresses.PORT)
            runner = stack.enter_context(_running(host, usual, _or(secure_port, addresses.next_port(usual))))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise _cannot_listen(error) from error
            try:
                runner = stack.enter_context(_running(host, _or(port, 0), _or(secure_port, 0)))
            except OSError as again:
                raise _cannot_listen(again) from again
        yield OwnRelay(runner)


def _or(port: int | None, other: int) -> int:
    return other if port is None else port


def _running(host: str, port: int, secure_port: int) -> sansproto_threads.Runner[RelayEvent]:
    relay = Relay(delays=RelayDelays(idle=_A_WEEK))
    return sansproto_threads.run(
        relay, listen={RELAY_PORT: (host, port), SECURE_PORT: (host, secure_port)}, linger=SERVER_LINGER
    )


def raise_descriptor_limit() -> None:
    """Let this process have as many connections as the system allows."""
    try:
        import resource
    except ImportError:  # Windows, where there is no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS: the hard limit is none, and more than the system allows
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _tell_started(bound: Mapping[str, Address], reporter: Reporter) -> None:
    port, secure_port = bound[RELAY_PORT].port, bound[SECURE_PORT].port
    shown = addresses.shown(bound[RELAY_PORT].host)
    where = addresses.format_address(shown, port)
    reporter.tell(
        "relay_started",
        f"Relay at {where}, with the secure rooms at port {secure_port}. Ctrl-C stops it.",
        host=shown,
        port=port,
        secure_port=secure_port,
    )


def _tell(event: RelayEvent, reporter: Reporter) -> None:
    match event:
        case PeerJoined(uid, identity, role):
            text = f"{printable(identity)} is here as {_ROLES[role]} {uid:04x}."
            reporter.tell("joined", text, uid=uid, identity=identity, role=_ROLES[role])
        case PeerLeft(uid, identity, departure):
            text = f"{printable(identity)} {_DEPARTURES[departure]}."
            reporter.tell("left", text, uid=uid, identity=identity, reason=departure.name.lower())
        case RoomOpened(client, server):
            reporter.tell("room_opened", f"{server} sends to {client}.", sender=server, receiver=client)
        case RoomClosed(client, server, size=size):
            text = f"{server} has sent to {client}: {decimal(size)} passed."
            reporter.tell("room_closed", text, sender=server, receiver=client, size=size)


def _cannot_listen(error: OSError, options: str = "--port and --secure-port, or --bind") -> CommandFailed:
    return CommandFailed(Exit.RELAY, f"Cannot listen ({error.strerror}): choose another {options}.")
