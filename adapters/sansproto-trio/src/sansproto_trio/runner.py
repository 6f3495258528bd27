"""The adapter for trio: a system task waits for one descriptor and one deadline, behind which all sockets are.

Nothing of the application runs in that task: whoever waits for an event is woken when there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar, TypeVarTuple

import trio

from sansproto.contract import Endpoint
from sansproto.errors import NotOpen
from sansproto_sockets import Bind, Driver, Ready, RunnerBase
from sansproto_sockets import wall_epoch as _wall_epoch

E = TypeVar("E")
T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Runner(RunnerBase[E]):
    """Runs an endpoint from entering to leaving the ``async with``. Everything is to be called in trio's thread."""

    def _set_up(self) -> None:
        self._wait = trio.CancelScope()
        self._event_waiter: trio.Event | None = None
        self._end_waiter: trio.Event | None = None

    def call(self, verb: Callable[[*Arguments, float], T], *arguments: *Arguments) -> T:
        """Call ``verb(*arguments, now)``, carry out what the endpoint then asks for, and give its result.

        ``now`` is ``trio.current_time()``.
        """
        driver = self._driver
        try:
            return driver.call(verb, *arguments)
        finally:
            self._turn()

    async def next_event(self) -> E:
        """The next event. Raises NotOpen after ``Closed``. A call that is cancelled loses no event.

        One task at a time may wait: a second one gets RuntimeError.
        """
        await trio.lowlevel.checkpoint()
        driver = self._driver
        while not driver.has_event():
            if self._event_waiter is not None:
                raise RuntimeError("another task is waiting for the next event")
            self._event_waiter = trio.Event()
            try:
                await self._event_waiter.wait()
            finally:
                self._event_waiter = None
        try:
            return driver.take()
        finally:
            self._turn()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """The events, up to and with ``Closed``."""
        try:
            return await self.next_event()
        except NotOpen:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        self._running = driver = Driver(
            self._endpoint, listen=self._listen, sockets=self._sockets, clock=trio.current_time
        )
        try:
            trio.lowlevel.spawn_system_task(self._work, driver, driver.fileno())
        except BaseException:
            self._running = None
            driver.release()
            raise
        self._turn()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        driver = self._driver
        try:
            if driver.failure is None:
                await self._close(driver)
        except Exception:
            if kind is None:
                raise  # else what was raised in the body is told, and not what came of it
        finally:
            self._running = None
            trio.lowlevel.notify_closing(driver.fileno())
            self._wait.cancel()
            driver.release()
            if self._event_waiter is not None:
                self._event_waiter.set()
        if kind is None and driver.failure is not None:
            raise driver.failure

    async def _work(self, driver: Driver[E], fileno: int) -> None:
        """Wait for the sockets and for the time. A system task: what is raised here would end the whole program."""
        while self._running is driver:
            with trio.CancelScope() as self._wait, suppress(trio.ClosedResourceError):
                self._wait.deadline = self._deadline(driver)
                await trio.lowlevel.wait_readable(fileno)
            if self._running is driver:
                self._turn(driver.select(0))
            if driver.failure is not None:
                return

    def _turn(self, ready: Ready = ()) -> None:
        """Let the driver act, wake who waits, and see to it that the next turn comes in time."""
        driver = self._running
        if driver is None:
            return
        with suppress(Exception):  # whatever is called next raises it again
            driver.turn(ready)
        if self._event_waiter is not None and driver.has_event():
            self._event_waiter.set()
        if self._end_waiter is not None and driver.finished:
            self._end_waiter.set()
        self._wait.deadline = self._deadline(driver)

    def _deadline(self, driver: Driver[E]) -> float:
        timeout = driver.timeout()
        return math.inf if timeout is None else trio.current_time() + timeout

    async def _close(self, driver: Driver[E]) -> None:
        driver.begin_close()
        with trio.move_on_after(self._linger, shield=True):
            while not driver.finished:
                self._end_waiter = trio.Event()
                self._turn()
                await self._end_waiter.wait()


def run(
    endpoint: Endpoint[E],
    *,
    listen: Mapping[str, Bind | Sequence[Bind]] | None = None,
    sockets: Mapping[str, Bind] | None = None,
    linger: float = 5.0,
) -> Runner[E]:
    """An asynchronous context manager that runs this endpoint, with listeners and datagram sockets by label.

    Entering binds them (OSError). Leaving, also by an exception or when cancelled, closes the endpoint politely, waits
    at most ``linger`` seconds for that, discards the events that nobody took, and aborts what is left. That cannot be
    cancelled.
    """
    return Runner(endpoint, listen or {}, sockets or {}, linger)


def wall_epoch() -> float:
    """The time of day, in seconds since 1970, when trio's clock was 0: the ``wall_epoch`` of an endpoint."""
    return _wall_epoch(trio.current_time)
