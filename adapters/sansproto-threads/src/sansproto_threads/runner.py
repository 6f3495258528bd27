"""The adapter for threads: one thread does all I/O, one lock guards the endpoint, and every thread may call.

The I/O thread is a daemon: an interpreter that exits does not wait for a runner that nobody left. It does not survive
``fork()``, and the child would share the sockets: fork before entering, or start children with ``spawn``.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar, TypeVarTuple

from sansproto.contract import Endpoint
from sansproto.errors import NotOpen
from sansproto_sockets import Bind, Driver, RunnerBase
from sansproto_sockets.base import outranks

E = TypeVar("E")
T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Runner(RunnerBase[E]):
    """Runs an endpoint from entering to leaving the ``with``."""

    def _set_up(self) -> None:
        self._changed = threading.Condition()  # its lock guards everything below, and the endpoint
        self._waiting = 0  # threads that wait for an event, or for the end
        self._wakes_at = -math.inf  # when the I/O thread looks at the endpoint again by itself
        self._stopping = False

    def call(self, verb: Callable[[*Arguments, float], T], *arguments: *Arguments) -> T:
        """Call ``verb(*arguments, now)`` and give its result. What the endpoint then asks for is carried out at once.

        ``verb`` runs in the calling thread and holds the lock: it must not wait for anything.
        """
        with self._changed:
            try:
                return self._driver.call(verb, *arguments)
            finally:
                self._hurry()

    def next_event(self, *, timeout: float | None = None) -> E:
        """Wait for an event. Raises TimeoutError after ``timeout`` seconds, NotOpen after ``Closed``.

        Several threads may wait: each event goes to one of them.
        """
        with self._changed:
            driver = self._driver
            if not self._wait_for(driver.has_event, timeout):
                raise TimeoutError
            try:
                return driver.take()
            finally:
                self._hurry()

    def __iter__(self) -> Iterator[E]:
        """The events, up to and with ``Closed``. The lock is not held while the application has one."""
        while True:
            try:
                event = self.next_event()
            except NotOpen:
                return
            yield event

    def __enter__(self) -> Self:
        self._running = driver = Driver(self._endpoint, listen=self._listen, sockets=self._sockets)
        self._stopping = False
        self._thread = threading.Thread(target=self._work, args=(driver,), name="sansproto", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._running = None
            driver.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        driver = self._driver
        try:
            self._close(driver)
        except (Exception, KeyboardInterrupt) as second:
            if outranks(second, kind):
                raise
        finally:
            with self._changed:
                self._stopping = True
            driver.wake()
            self._thread.join()
            with self._changed:
                self._running = None
                driver.release()
                self._changed.notify_all()
        if kind is None and driver.failure is not None:
            raise driver.failure

    def _work(self, driver: Driver[E]) -> None:
        """What the I/O thread does."""
        while True:
            with self._changed:
                timeout = driver.timeout()
                if self._stopping or driver.failure is not None:
                    self._changed.notify_all()
                    return
                self._wakes_at = math.inf if timeout is None else time.monotonic() + timeout
            ready = driver.select(timeout)
            with self._changed:
                self._wakes_at = -math.inf
                with suppress(Exception):  # the driver keeps it, and raises it for who calls next
                    driver.turn(ready)
                self._tell(driver)

    def _hurry(self) -> None:
        """Wake who waits for what has come of a call, and the I/O thread if it would sleep too long."""
        driver = self._running
        if driver is None:
            return
        self._tell(driver)
        if self._wakes_at > -math.inf:
            timeout = driver.timeout()
            if timeout is not None and time.monotonic() + timeout < self._wakes_at:
                self._wakes_at = -math.inf
                driver.wake()

    def _tell(self, driver: Driver[E]) -> None:
        if self._waiting and (driver.has_event() or driver.finished):
            self._changed.notify_all()

    def _wait_for(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        self._waiting += 1
        try:
            return self._changed.wait_for(condition, timeout)
        finally:
            self._waiting -= 1

    def _close(self, driver: Driver[E]) -> None:
        with self._changed:
            if driver.failure is None:
                driver.begin_close()
                driver.wake()
                self._changed.notify_all()
                self._wait_for(lambda: driver.finished, self._linger)


def run(
    endpoint: Endpoint[E],
    *,
    listen: Mapping[str, Bind | Sequence[Bind]] | None = None,
    sockets: Mapping[str, Bind] | None = None,
    linger: float = 5.0,
) -> Runner[E]:
    """A context manager that runs this endpoint in a thread of its own, with listeners and datagram sockets by label.

    Entering binds them (OSError). Leaving, also by an exception, closes the endpoint politely, waits at most ``linger``
    seconds for that, discards the events that nobody took, and aborts what is left. An interrupt in the
    middle of its work, such as Ctrl-C, aborts at once.
    """
    return Runner(endpoint, listen or {}, sockets or {}, linger)
