"""Somebody who joins a gateway: lines go there as messages, and what comes is printed."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import attrs

from sansproto.contract import Path
from sansproto.freenet import (
    Confirmed,
    Connected,
    FreenetEvent,
    FreenetPeer,
    MessageReceived,
    PeerLost,
    Refused,
    Unreachable,
)
from sansproto.freenet.versions import OURS
from sansproto_threads import Runner, run

from . import addresses
from .exits import CommandFailed, Exit
from .freenet_serving import SOCKET
from .line import LINGER, each_event, on_sockets
from .report import Reporter
from .standard_streams import Input, Output, pieces

MESSAGE = 65_536  # bytes of one message, at most
QUIET = 1.0  # seconds for which nothing comes when the input is over


@attrs.frozen
class Target:
    """Where a gateway is."""

    host: str
    port: int

    @classmethod
    def parse(cls, at: str) -> Target:
        """``HOST:PORT``."""
        return cls(*addresses.parse_bound(at, "gateway", "192.0.2.1:31337"))

    def resolve(self) -> Path:
        return Path(SOCKET, *addresses.find(self.host, self.port, socket.SOCK_DGRAM))


class Joining:
    """Between an input, an output and a gateway, until the input is over, or Ctrl-C."""

    def __init__(
        self,
        core: FreenetPeer,
        gateway: bytes,
        target: Target,
        reporter: Reporter,
        output: Output,
        descriptor: int = 0,
    ) -> None:
        self._core, self._gateway, self._target = core, gateway, target
        self._reporter, self._output, self._descriptor = reporter, output, descriptor
        self._session = 0
        """0: there is none."""
        self._missing = 0
        """Messages of sessions that are over, not known to have arrived."""
        self._heard, self._was_connected = 0.0, False

    def run(self, place: tuple[str, int], check: Callable[[], None]) -> None:
        """With a socket at this place."""
        path = self._target.resolve()
        self._runner: Runner[FreenetEvent] = run(self._core, sockets={SOCKET: place}, linger=LINGER)
        with on_sockets(self._runner):
            key = self._core.public_key.hex()
            where, text = addresses.we_are_at(self._runner.addresses[SOCKET])
            self._reporter.tell("started", f"{text}, as {key}.", address=where, public_key=key)
            self._runner.call(lambda now: self._core.connect(self._gateway, path, now, gateway=True))
            self._carry(check)

    def _carry(self, check: Callable[[], None]) -> None:
        self._lines = Input(self._descriptor, partial(pieces, most=MESSAGE), self._send)
        try:
            for event in each_event(self._runner, check):
                if event is not None:
                    self._tell(event)
                elif self._is_done():
                    break
        finally:
            self._lines.stop()
        if self._missing:
            text = (
                f"The session ended before {_counted(self._missing)} known to have arrived: send again what is missing."
            )
            raise CommandFailed(Exit.CUT, text)
        self._reporter.tell("finished", "")

    def _send(self, messages: deque[bytes]) -> None:
        """As many as fit, from the left."""

        def send(now: float) -> None:
            while messages and self._session and self._core.send(self._session, messages[0], now):
                messages.popleft()

        self._runner.call(send)

    def _is_done(self) -> bool:
        """All was sent and has arrived, and nothing comes any more."""
        if not self._lines.is_over or not (self._session or self._missing):
            return False
        if self._runner.call(lambda _: self._core.undelivered(self._session)):
            self._heard = time.monotonic()
        return time.monotonic() - self._heard >= QUIET

    def _tell(self, event: FreenetEvent) -> None:
        match event:
            case MessageReceived(_, data):
                self._heard = time.monotonic()
                self._output.message(data)
            case Connected(_, session, version=version):
                text = "The gateway has restarted: connected again." if self._was_connected else "Connected."
                self._session, self._heard, self._was_connected = session, time.monotonic(), True
                told = "" if version is None else str(version)
                self._reporter.tell("connected", text, session=session, version=told)
            case Confirmed(_, session):
                self._reporter.tell("confirmed", "", session=session)
            case PeerLost(_, session, undelivered=undelivered):
                self._missing += len(undelivered)
                self._session = 0 if session == self._session else self._session
                text = f"The session is over: {_counted(len(undelivered))} not known to have arrived."
                self._reporter.tell("lost", text if undelivered else "", session=session, undelivered=len(undelivered))
            case Unreachable() if self._lines.is_over or not self._session:
                self._tell_unreachable()
            case Refused(reason=reason):
                told = f"it says: {reason}"
                text = f"The gateway does not speak to our version, {OURS} ({told}): update the older one of the two."
                raise CommandFailed(Exit.REFUSED, text)
            case _:
                pass

    def _tell_unreachable(self) -> None:
        where = addresses.format_address(self._target.host, self._target.port)
        if self._lines.is_over or (self._lines.held and not self._was_connected):
            text = f"The gateway at {where} does not answer: check its address, its key, and that it is running."
            raise CommandFailed(Exit.NOBODY, text)
        self._reporter.tell("unreachable", f"The gateway at {where} does not answer: trying again.")


def _counted(count: int) -> str:
    return "1 message is" if count == 1 else f"{count} messages are"
