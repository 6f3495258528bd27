"""What the suite for adapters needs to know of an adapter, and the real sockets at the other end."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from ...contract import Address, Link
from .scripted_endpoint import Report, ScriptedEndpoint

T = TypeVar("T")

PATIENCE = 20.0  # seconds after which a test fails because nothing happens: no test is decided by less
DEADLINE = 3 * PATIENCE  # seconds in which a runner is left, or a test fails: twice what a harness may wait, and more
LOCAL = ("127.0.0.1", 0)


class Running(Protocol):
    """A running adapter, used from the test's thread. Its loop runs by itself, in whatever thread."""

    @property
    def addresses(self) -> Mapping[str, Address]:
        """What is bound now, by label: a ``Rebind`` changes it."""
        ...

    def call(self, verb: Callable[[float], T]) -> T:
        """Also used after ``leave``: then it has to raise the NotOpen of the runner."""
        ...

    def next_event(self, timeout: float) -> Any:
        """Raise TimeoutError after so many seconds; the runner's own call is cancelled then.

        While one thread of the test waits here, others may be in any of these methods.
        """

    def leave(self) -> None:
        """Leave the runner's context manager, wait until that is done, and raise what it raises.

        Who waits in ``next_event`` then gets what the runner raises there.
        """

    def cancel(self) -> None:
        """Have an exception or cancellation arrive in the body, and wait until the context manager is left.

        It must come out again.
        """


class AdapterHarness(Protocol):
    """Starts runners of an adapter."""

    def start(
        self, endpoint: ScriptedEndpoint, *, listen: Mapping[str, Any], sockets: Mapping[str, Any], linger: float
    ) -> Running:
        """Enter the runner's context manager; raise what that raises."""
        ...

    def leftovers(self) -> list[str]:
        """What earlier runners left behind, such as tasks. The suite itself counts threads and descriptors."""
        ...


class World:
    """What a test uses: runners that are left, and peers that are closed, when it ends."""

    def __init__(self, harness: AdapterHarness) -> None:
        self._harness = harness
        self._started: list[tuple[ScriptedEndpoint, Running]] = []
        self._sockets: list[socket.socket] = []
        self._left: set[Running] = set()

    def start(
        self,
        endpoint: ScriptedEndpoint,
        *,
        listen: Mapping[str, Any] | None = None,
        sockets: Mapping[str, Any] | None = None,
        linger: float = PATIENCE,
    ) -> Running:
        listen = {"in": LOCAL} if listen is None else listen
        running = self._harness.start(endpoint, listen=listen, sockets=sockets or {}, linger=linger)
        self._started.append((endpoint, running))
        return running

    def leave(self, running: Running) -> None:
        self._left.add(running)
        begin(running.leave).result(DEADLINE)

    def cancel(self, running: Running) -> None:
        self._left.add(running)
        begin(running.cancel).result(DEADLINE)

    def dial(self, running: Running, label: str = "in", *, receive_buffer: int = 0) -> socket.socket:
        peer = self.own(socket.socket())
        if receive_buffer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer.connect((running.addresses[label].host, running.addresses[label].port))
        return peer

    def own(self, sock: socket.socket) -> socket.socket:
        sock.settimeout(PATIENCE)
        self._sockets.append(sock)
        return sock

    def linked(self, running: Running, **how: Any) -> tuple[socket.socket, Link]:
        """A peer, and the link that it is connected to."""
        peer = self.dial(running, **how)
        link = until(running, "accepted").link
        assert link is not None
        return peer, link

    def end(self) -> None:
        for sock in self._sockets:
            sock.close()
        for endpoint, running in self._started:
            if running not in self._left:
                self.leave(running)
            assert not endpoint.mistakes, endpoint.mistakes
            assert not endpoint.live
            assert set(endpoint.lost.values()) <= {1}


def begin(act: Callable[[], T]) -> Future[T]:
    """Call it in a thread; a future of its result."""
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(act())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return outcome


def begin_to_wait(running: Running, endpoint: ScriptedEndpoint) -> Future[Any]:
    """Wait for an event in a thread; the adapter has found that there is none yet."""
    asked = endpoint.asked
    waiting: Future[Any] = begin(lambda: running.next_event(PATIENCE))
    while endpoint.asked == asked and not waiting.done():
        time.sleep(0.001)
    return waiting


def until(running: Running, name: str, link: Link | None = None) -> Report:
    """The next event of this name (and link). Others before it are dropped."""
    while True:
        event = running.next_event(PATIENCE)
        assert isinstance(event, Report), f"{event} came before {name}"
        if event.name == name and link in (None, event.link):
            return event


def read(peer: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        data = peer.recv(min(size - len(found), 65536))
        assert data, f"the stream ended after {len(found)} of {size} bytes"
        found += data
    return bytes(found)


def read_to_the_end(peer: socket.socket, size: int) -> Callable[[], list[bytes]]:
    """Begin to read so many bytes and what follows them, in a thread, and then close; what is given waits for that."""
    found: list[bytes] = []

    def read_and_close() -> None:
        with suppress(AssertionError, ConnectionError):
            found.append(read(peer, size))
            found.append(peer.recv(1))
        peer.close()

    def wait() -> list[bytes]:
        reader.join()
        return found

    reader = threading.Thread(target=read_and_close)
    reader.start()
    return wait


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def await_reset(peer: socket.socket) -> None:
    """Read until the connection is reset: an orderly end will not do."""
    try:
        while peer.recv(65536):
            pass
    except ConnectionResetError:
        return
    raise AssertionError("the stream ended without a reset")


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
