"""A peer and what runs it, as a blocking program sees them; and how their end is told to a person."""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from enum import Enum
from typing import Generic, Protocol, TypeVar

from sansproto.bob import Failure, Violation
from sansproto.contract import Endpoint
from sansproto.events import CloseCause, Closed

from . import addresses
from .addresses import RelayAddress
from .exits import CommandFailed, Exit, Interrupted

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
T = TypeVar("T")
R = TypeVar("R")

TICK = 0.1  # seconds: how long a wait lasts before it looks at signals and deadlines
LINGER = 2.0  # seconds for a goodbye
SERVER_LINGER = 1.0  # seconds that a server which stops waits for those who are connected
_BATCH = 64


class Runner(Protocol[E_co]):
    """What sansproto-sockets and sansproto-threads have in common."""

    def call(self, verb: Callable[[float], T]) -> T: ...

    def next_event(self, *, timeout: float | None = None) -> E_co: ...


def each_event(runner: Runner[E], check: Callable[[], None]) -> Iterator[E | None]:
    """The events, for ever; None whenever there was none for TICK seconds. May raise Interrupted."""
    while True:
        check()
        try:
            event = runner.next_event(timeout=TICK)
        except TimeoutError:
            yield None
        else:
            yield event


def attend(runner: Runner[E], check: Callable[[], None], tell: Callable[[E], None]) -> None:
    """Tell what happens, until Ctrl-C or SIGTERM."""
    with suppress(Interrupted):
        for event in each_event(runner, check):
            if event is not None:
                tell(event)


class Line(Generic[E]):
    """Takes events in batches: a turn of the runner for each record would cost more than the record."""

    def __init__(self, peer: Endpoint[E], runner: Runner[E], check: Callable[[], None]) -> None:
        self.call = runner.call
        self._peer = peer
        self._runner = runner
        self.check = check
        self._events: deque[E] = deque()

    def ignore_signals(self) -> None:
        """From now on, for last words after the first one: the second one does not wait for a check."""
        self.check = lambda: None

    @property
    def is_empty(self) -> bool:
        """Does the next one have to be asked for?"""
        return not self._events

    def next_event(self) -> E | None:
        """The next event; None if there is none for TICK seconds. May raise Interrupted."""
        if not self._events:
            self.check()
            try:
                self._events.append(self._runner.next_event(timeout=TICK))
            except TimeoutError:
                return None
            self.call(self._take_more)
        return self._events.popleft()

    def _take_more(self, _: float) -> None:
        while len(self._events) < _BATCH and (event := self._peer.next_event()) is not None:
            self._events.append(event)


@contextmanager
def on_sockets(runner: AbstractContextManager[R]) -> Iterator[R]:
    """Run it. Raises CommandFailed if the place that was asked for cannot be used."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(runner)
        except OSError as error:
            raise CommandFailed(Exit.RELAY, f"No socket ({error.strerror}): choose another --bind.") from error
        yield running


class InputLine:
    """A line of the standard input, read in a thread: nothing can interrupt that."""

    def __init__(self) -> None:
        self.text: str | None = None  # stays None at the end of the input
        self._thread = threading.Thread(target=self._read, name="input", daemon=True)
        self._thread.start()

    @property
    def is_there(self) -> bool:
        return not self._thread.is_alive()

    def _read(self) -> None:
        self.text = read_line()


def read_line() -> str | None:
    """A line of the standard input, without its end; None at the end of the input.

    Byte by byte, so that nothing is kept from whoever reads the next line.
    """
    line = b""
    try:
        while not line.endswith(b"\n"):
            byte = os.read(0, 1)
            if not byte:
                break
            line += byte
    except OSError:  # closed
        pass
    return line.decode(errors="surrogateescape").rstrip("\r\n") if line else None


class Stage(Enum):
    """How far a peer has come."""

    RELAY = 0  # on the way to the relay
    WAITING = 1
    ROOM = 2  # somebody knows the password: on the way to the secure room
    TRANSFER = 3


def explain(closed: Closed, stage: Stage, relay: RelayAddress) -> CommandFailed:
    """Why there will be no (whole) file, and what to do about it. Raises CommandFailed if no relay has this name."""
    detail = in_brackets(closed)
    match closed.cause, closed.violation:
        case CloseCause.UNREACHABLE, _ if stage is not Stage.RELAY:  # whoever is told the room is there at once
            return CommandFailed(Exit.RELAY, f"Cannot reach {relay.secure}{detail}: check --secure-port.")
        case CloseCause.UNREACHABLE, _:
            addresses.find(relay.host, relay.port, socket.SOCK_STREAM)
            text = f"Cannot reach the relay {relay}{detail}: check the address, and that sansproto relay runs there."
            return CommandFailed(Exit.RELAY, text)
        case CloseCause.VIOLATION, Violation.RECORD_CORRUPTED | Violation.RECORD_TOO_LONG:
            return CommandFailed(Exit.DAMAGED, "Somebody changed the data on its way: try another relay.")
        case CloseCause.VIOLATION, _:
            return CommandFailed(Exit.RELAY, f"The program at {relay} is not a relay{detail}: check address and ports.")
        case CloseCause.LIMIT, _:
            text = "There were too many wrong passwords, so somebody may be guessing: start again with a new password."
            return CommandFailed(Exit.WRONG_PASSWORD, text)
        case CloseCause.LOST, Violation.RELAY_LOST if stage is not Stage.RELAY:
            return CommandFailed(Exit.RELAY, f"The relay {relay} is gone{detail}: start it, and then both sides again.")
        case CloseCause.REMOTE, _ if stage is not Stage.TRANSFER:
            return CommandFailed(Exit.RELAY, f"The relay {relay} has stopped: start it, and then both sides again.")
        case CloseCause.TIMEOUT, _ if stage is Stage.WAITING:
            return CommandFailed(Exit.NOBODY, "Nobody came in the time that the relay allows: start again.")
    match stage:
        case Stage.RELAY:
            return CommandFailed(Exit.RELAY, f"{relay} does not answer as relays do{detail}: check address and ports.")
        case Stage.WAITING | Stage.ROOM:
            text = (
                f"The other side did not come to {relay.secure}{detail}: check that it can, then start this side again."
            )
            return CommandFailed(Exit.CUT, text)
        case Stage.TRANSFER:
            text = f"The other side or the relay left before the file was complete{detail}: start both sides again."
            return CommandFailed(Exit.CUT, text)


def no_answer(relay: RelayAddress) -> CommandFailed:
    """--timeout was over before the relay said anything."""
    return CommandFailed(
        Exit.RELAY, f"The relay {relay} did not answer in time: check the address, and that sansproto relay runs there."
    )


def in_brackets(closed: Closed) -> str:
    """The detail of an end, to stand inside a sentence."""
    return f" ({closed.detail})" if closed.detail else ""


_WHY = {
    Failure.WRONG_PASSWORD: "has another password",
    Failure.BAD_POINT: "sent a value that no honest program sends",
    Failure.BAD_PUBLIC: "asks for parameters that are not supported",
    Failure.SILENT: "stopped answering",
    Failure.REFUSED: "said no",
    Failure.GONE: "left",
    Failure.ABSENT: "did not come to the secure port",
}


def describe(failure: Failure, identity: str) -> str:
    """What went wrong with one peer."""
    return f"{identity or 'A peer'} {_WHY[failure]}."
