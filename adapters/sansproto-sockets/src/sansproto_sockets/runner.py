"""The adapter for programs with one thread and no framework."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar, TypeVarTuple

from sansproto.contract import Endpoint
from sansproto.errors import NotOpen

from .addresses import Bind
from .base import RunnerBase, outranks
from .driver import Driver

E = TypeVar("E")
T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Runner(RunnerBase[E]):
    """Runs an endpoint whenever the application waits for an event, or within its own selector loop.

    In a loop of yours: register ``fileno()`` for reading, wait no longer than ``timeout()``, then call ``run_once(0)``
    and take the events that are there with ``next_event(timeout=0)``.
    """

    def call(self, verb: Callable[[*Arguments, float], T], *arguments: *Arguments) -> T:
        """Call ``verb(*arguments, now)``, carry out what the endpoint then asks for, and give its result."""
        driver = self._driver
        try:
            return driver.call(verb, *arguments)
        finally:
            driver.turn()

    def next_event(self, *, timeout: float | None = None) -> E:
        """Run until there is an event. Raises TimeoutError after ``timeout`` seconds, NotOpen after ``Closed``."""
        driver = self._driver
        deadline = None if timeout is None else time.monotonic() + timeout
        while not driver.has_event():
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self.run_once(left)
            if left == 0 and not driver.has_event():
                raise TimeoutError
        try:
            return driver.take()
        finally:
            driver.turn()

    def __iter__(self) -> Iterator[E]:
        """The events, up to and with ``Closed``."""
        while True:
            try:
                event = self.next_event()
            except NotOpen:
                return
            yield event

    def run_once(self, timeout: float | None = None) -> None:
        """Wait for something to do, at most ``timeout`` seconds, and do it: a bounded amount of work."""
        driver = self._driver
        due = driver.timeout()
        driver.turn(driver.select(due if timeout is None or (due is not None and due < timeout) else timeout))

    def fileno(self) -> int:
        """A descriptor that is readable when ``run_once`` has something to do, besides at the timeout.

        Raises OSError where the system has neither epoll nor kqueue: there, use ``sansproto-threads``.
        """
        return self._driver.fileno()

    def timeout(self) -> float | None:
        """Seconds until ``run_once`` has something to do even if ``fileno()`` is not readable; None: never.

        It changes with every call of ``call``, ``next_event`` and ``run_once``.
        """
        return self._driver.timeout()

    def wake(self) -> None:
        """Make a waiting ``run_once`` return. The one method that other threads and signal handlers may call."""
        self._driver.wake()

    def __enter__(self) -> Self:
        self._running = Driver(self._endpoint, listen=self._listen, sockets=self._sockets)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        driver = self._driver
        try:
            if driver.failure is None:
                deadline = time.monotonic() + self._linger
                driver.begin_close()
                while not driver.finished and (left := deadline - time.monotonic()) > 0:
                    self.run_once(left)
        except (Exception, KeyboardInterrupt) as second:
            if outranks(second, kind):
                raise
        finally:
            self._running = None
            driver.release()
        if kind is None and driver.failure is not None:
            raise driver.failure


def run(
    endpoint: Endpoint[E],
    *,
    listen: Mapping[str, Bind | Sequence[Bind]] | None = None,
    sockets: Mapping[str, Bind] | None = None,
    linger: float = 5.0,
) -> Runner[E]:
    """A context manager that runs this endpoint, with listeners and datagram sockets by label.

    Entering binds them (OSError). Leaving, also by an exception, closes the endpoint politely, waits at most ``linger``
    seconds for that, discards the events that nobody took, and aborts what is left. An interrupt in the
    middle of its work, such as Ctrl-C, aborts at once.
    """
    return Runner(endpoint, listen or {}, sockets or {}, linger)
