"""A pipe between two computers that survives the restart of either, and changes of address."""

from __future__ import annotations

import ipaddress
import math
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import attrs

from sansproto.contract import Path
from sansproto.egtp import (
    CloseReason,
    EgtpEvent,
    EgtpNode,
    Established,
    Expired,
    IdentityConflict,
    MailboxReachable,
    MailboxUnreachable,
    MailboxViolation,
    MessageReceived,
    PathChanged,
    PeerClosed,
    PeerForgotten,
    PeerLost,
    PeerRestarted,
    Reason,
    Relay,
    Undelivered,
    Unreachable,
    place_of,
)
from sansproto.events import CloseCause, Closed
from sansproto_threads import Runner, run

from . import addresses
from .egtp_keys import PUBLIC_KEYS
from .exits import CommandFailed, Exit
from .line import each_event, on_sockets
from .mistakes import Mistakes
from .report import Reporter
from .standard_streams import Input, Output, pieces

SOCKET = "udp"
FAREWELL = 1.5  # seconds for who did not hear the goodbye
MESSAGE = 1198  # bytes of one message, at most
_HEARTBEAT = 5.0  # seconds; of who calls: who is called cannot find us after its restart
_PATIENCE = 2.0  # seconds until it is told that the end of the input has to wait
_SILENCE = 10.0  # seconds for which the other end may be silent before that is told
_LOOK = 1.0  # seconds between two looks at that

WORTH_TELLING = (
    (
        "an H1 for somebody else",
        "other_key",
        "A caller expects another public key here than ours: check the key that the other end was given.",
    ),
    (
        "a peer that is not let in",
        "other_caller",
        "A caller has another public key than the one that this command was given: check that key.",
    ),
    (
        "a mailbox server did not take a packet",
        "not_taken",
        "The mailbox server did not take a packet: check the key of the other end, and that it uses this server.",
    ),
)
"""What the node drops or cannot send, and what a person may have done wrong: each is told once."""

_MAILBOX_LOST = {
    MailboxViolation.SUPERSEDED: "Another process polls our mailbox: stop one of the two that have our key.",
    MailboxViolation.LIMIT: "The mailbox server has no room for us: trying again.",
    MailboxViolation.BAD_HANDSHAKE: "There is no mailbox server with the key that --mailbox names: trying again.",
}


@attrs.frozen
class Target:
    """Where the peer may be: at an address, in mailboxes, or neither, when it will call."""

    to: tuple[str, int] | None
    relay: Relay | None

    @classmethod
    def parse(cls, to: str | None, mailbox: str | None) -> Target:
        """``HOST:PORT``, and ``PUBLICKEY@HOST:PORT``."""
        place = None if to is None else addresses.parse_bound(to, "peer", "192.168.1.10:7000")
        if mailbox is None:
            return cls(place, None)
        return cls(place, Relay(*PUBLIC_KEYS.parse_server(mailbox, "mailbox server", "192.0.2.1:7100")))

    def resolve(self) -> Path | None:
        """The address of today; None: there is none, or the name cannot be found now."""
        if self.to is None:
            return None
        with suppress(OSError):
            return Path(SOCKET, *addresses.look_up(*self.to, socket.SOCK_DGRAM))
        return None


class Piping:
    """Between an input, an output and a peer, until either end says goodbye, or Ctrl-C."""

    def __init__(
        self, node: EgtpNode, peer: bytes, target: Target, reporter: Reporter, output: Output, descriptor: int = 0
    ) -> None:
        self._node, self._peer = node, peer
        self._target, self._reporter, self._output, self._descriptor = target, reporter, output, descriptor
        self._path: Path | None = None
        self._is_by_mailbox = self._was_tried = False
        self._was_there = self._is_connected = self._was_polled = self._is_leaving = self._was_silent = False
        self._again: deque[bytes] = deque()
        """Messages that waited for a session, and came back."""
        self._next_beat = self._next_look = self._complains_at = 0.0
        self._mistakes = Mistakes(node.stats, WORTH_TELLING, reporter)

    def run(self, place: tuple[str, int], check: Callable[[], None]) -> None:
        """With a socket at this place."""
        if self._target.to is not None and self._target.relay is None:  # else mailboxes may lead there
            self._path = Path(SOCKET, *addresses.find(*self._target.to, socket.SOCK_DGRAM))
        self._runner: Runner[EgtpEvent] = run(self._node, sockets={SOCKET: place}, linger=2 * FAREWELL)
        with on_sockets(self._runner):
            self._tell_started()
            if self._target.relay is not None:
                self._runner.call(self._node.start)
            self._call()
            self._carry(check)

    def _tell_started(self) -> None:
        key = self._node.public_key.hex()
        where, text = addresses.we_are_at(self._runner.addresses[SOCKET])
        self._reporter.tell("started", f"{text}, as {key}.", address=where, public_key=key)

    def _carry(self, check: Callable[[], None]) -> None:
        self._lines = Input(self._descriptor, partial(pieces, most=MESSAGE), self._send)
        try:
            for event in each_event(self._runner, check):
                if event is not None and self._tell(event):
                    return
                if not self._is_leaving:
                    self._go_on()
        finally:
            self._lines.stop()

    def _go_on(self) -> None:
        self._mistakes.look(self._runner)
        self._look()
        self._send(self._again)
        if not self._lines.is_over:
            self._beat()
        elif self._is_all_sent() and self._silence() is None:
            self._is_leaving = True
            self._runner.call(self._leave)
        else:
            self._complain()

    def _send(self, messages: deque[bytes]) -> None:
        """As many as fit, from the left."""

        def send(now: float) -> None:
            while messages and self._node.send(self._peer, messages[0], now):
                messages.popleft()

        if messages:
            self._runner.call(send)

    def _leave(self, now: float) -> None:
        """Say goodbye. The node ends when that has left."""
        self._node.disconnect(self._peer, now)
        self._node.close(now)

    def _complain(self) -> None:
        """The input is over, and what was sent is not answered: after a while a person is told."""
        now = time.monotonic()
        self._complains_at = self._complains_at or now + _PATIENCE
        if now >= self._complains_at:
            self._complains_at = math.inf
            text = "The input is over: waiting until the other end answers."
            self._reporter.tell("ending", text, count=self._left())

    # -- the peer

    def _call(self) -> None:
        """At its address, or through mailboxes: the other one each time that it does not answer."""
        self._path = self._target.resolve() or self._path
        path, relay = self._path, self._target.relay
        swap = self._was_tried != self._is_by_mailbox
        self._is_by_mailbox = relay is not None and (path is None or swap)
        self._was_tried = True
        if relay is not None and self._is_by_mailbox:
            self._runner.call(lambda now: self._node.connect_by_mailbox(self._peer, relay.key, now))
        elif path is not None:
            self._check_place(path)
            self._runner.call(lambda now: self._node.connect(self._peer, path, now))

    def _beat(self) -> None:
        """A message of no bytes shows whether the other end has restarted; it adds nothing to its output."""
        due = time.monotonic() >= self._next_beat
        if due and self._target.to is not None and not self._is_by_mailbox and self._is_all_sent():
            self._next_beat = time.monotonic() + _HEARTBEAT
            self._send(deque([b""]))

    def _check_place(self, path: Path) -> None:
        """Nobody else can be where we are."""
        bound = self._runner.addresses[SOCKET]
        is_any = ipaddress.ip_address(bound.host).is_unspecified
        ours = {bound.host, addresses.LOOPBACK, addresses.own_address()} if is_any else {bound.host}
        if path.port == bound.port and path.host in ours:
            raise CommandFailed(Exit.USAGE, "--to is our own address: give the address of the other end.")

    def _look(self) -> None:
        """Is the other end silent?"""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK
        silence = self._silence()
        if silence is not None and silence >= _SILENCE and not self._was_silent:
            self._was_silent = True
            self._reporter.tell("silent", "The other end does not answer any more: calling it again.")
        elif silence is None:
            self._was_silent = False

    def _silence(self) -> float | None:
        """Seconds for which the other end has not answered; None: it has."""

        def look(now: float) -> float | None:
            since = self._node.silent_since(self._peer)
            return None if since is None else now - since

        return self._runner.call(look)

    def _is_all_sent(self) -> bool:
        return self._is_connected and not self._left()

    def _left(self) -> int:
        """Messages that were read and not sent."""
        waiting = self._runner.call(lambda _: self._node.waiting(self._peer))
        return waiting + len(self._again) + self._lines.held

    def _tell(self, event: EgtpEvent) -> bool:
        """True: it is over."""
        match event:
            case MessageReceived(_, data):
                if data:
                    self._output.message(data)
            case Established(generation=generation, reason=reason):
                self._was_there = self._is_connected = True
                texts = {Reason.FIRST: "Connected.", Reason.RESTART: "The other end has restarted: connected again."}
                self._reporter.tell(
                    "connected", texts.get(reason, ""), generation=generation, reason=reason.name.lower()
                )
            case PeerClosed(reason=reason):
                self._tell_goodbye(reason)
                return True
            case Closed(cause=cause, detail=detail):
                if cause is not CloseCause.LOCAL:
                    text = f"The goodbye, or messages before it, may be lost ({detail}): check the mailbox server."
                    raise CommandFailed(Exit.NOBODY, text)
                self._reporter.tell("finished", "")
                return True
            case Expired():
                self._is_connected = False
            case Unreachable() | PeerForgotten() | PeerLost() if not self._is_leaving:
                self._is_connected &= isinstance(event, Unreachable)
                self._tell_unreachable()
            case Undelivered(packets=packets):
                self._again.extend(filter(None, packets))
            case PathChanged(new=route):
                place = place_of(route)
                where = addresses.format_address(place.host, place.port) if isinstance(place, Path) else "its mailbox"
                self._reporter.tell("moved", f"The other end is at {where} now.", address=where)
            case MailboxReachable():
                self._was_polled = True
                self._reporter.tell("mailbox_reached", "The mailbox server answers.")
            case MailboxUnreachable():
                self._tell_mailbox_lost(event)
            case IdentityConflict():
                text = "Two processes have the key of the other end: stop one of them."
                self._reporter.tell("warning", text, reason="two_processes")
            case PeerRestarted():
                self._reporter.tell("restarted", "")
            case _:
                pass
        return False

    def _tell_goodbye(self, reason: CloseReason) -> None:
        if reason is CloseReason.REFUSED:
            text = "has left, or does not want us any more" if self._was_there else "does not want us"
            raise CommandFailed(Exit.REFUSED, f"The other end {text}: ask who runs it.")
        if self._left():
            raise self._nobody("said goodbye")
        self._reporter.tell("finished", "The other end said goodbye.", reason=reason.name.lower())

    def _tell_unreachable(self) -> None:
        is_last_way = self._is_by_mailbox or self._target.to is None or self._target.relay is None
        if self._lines.is_over and is_last_way:
            raise self._nobody("does not answer")
        self._reporter.tell("unreachable", "The other end does not answer: trying again.")
        self._call()

    def _nobody(self, what: str) -> CommandFailed:
        left = self._left()
        if left:
            self._reporter.tell("not_sent", "", count=left)
        lost = unsent(left) if left else "the last messages may be lost" if self._was_there else "nothing was sent"
        return CommandFailed(Exit.NOBODY, f"The other end {what}, and {lost}: check that it is running.")

    def _tell_mailbox_lost(self, lost: MailboxUnreachable) -> None:
        violation, cause = lost.violation, lost.cause
        if violation is None and cause is CloseCause.LOST and not self._was_polled:
            violation = MailboxViolation.BAD_HANDSHAKE  # it closes without a word
        text = "The mailbox server does not answer: trying again."
        if violation is not None:
            text = _MAILBOX_LOST.get(violation, "The mailbox server and we do not understand each other: trying again.")
        why = cause if violation is None else violation
        self._reporter.tell("mailbox_lost", text, reason=why.name.lower())


def unsent(count: int) -> str:
    return "1 message was not sent" if count == 1 else f"{count} messages were not sent"
