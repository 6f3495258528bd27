"""The adapter for asyncio: the loop watches one descriptor and one timer, behind which all sockets of the endpoint are.

There is no task, and no callback of the application: whoever waits for an event is woken when there is one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar, TypeVarTuple

from sansproto.contract import Endpoint
from sansproto.errors import NotOpen
from sansproto_sockets import Bind, Driver, Ready, RunnerBase
from sansproto_sockets import wall_epoch as _wall_epoch

E = TypeVar("E")
T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Runner(RunnerBase[E]):
    """Runs an endpoint from entering to leaving the ``async with``. Everything is to be called on the loop's thread."""

    def _set_up(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._event_waiter: asyncio.Future[None] | None = None
        self._end_waiter: asyncio.Future[None] | None = None

    def call(self, verb: Callable[[*Arguments, float], T], *arguments: *Arguments) -> T:
        """Call ``verb(*arguments, now)``, carry out what the endpoint then asks for, and give its result.

        ``now`` is the loop's time.
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
        driver = self._driver
        while not driver.has_event():
            if self._event_waiter is not None:
                raise RuntimeError("another task is waiting for the next event")
            self._event_waiter = self._loop.create_future()
            try:
                await self._event_waiter
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
        self._loop = asyncio.get_running_loop()
        self._running = driver = Driver(
            self._endpoint, listen=self._listen, sockets=self._sockets, clock=self._loop.time
        )
        try:
            self._loop.add_reader(driver.fileno(), self._on_ready)
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
            self._loop.remove_reader(driver.fileno())
            if self._timer is not None:
                self._timer.cancel()
            driver.release()
            _wake(self._event_waiter)
        if kind is None and driver.failure is not None:
            raise driver.failure

    def _on_ready(self) -> None:
        if self._running is not None:
            self._turn(self._running.select(0))

    def _on_time(self) -> None:
        self._timer = None
        self._on_ready()

    def _turn(self, ready: Ready = ()) -> None:
        """Let the driver act, wake who waits, and see to it that the next turn comes in time."""
        driver = self._running
        if driver is None:
            return
        with suppress(Exception):  # whatever is called next raises it again
            driver.turn(ready)
        if self._event_waiter is not None and driver.has_event():
            _wake(self._event_waiter)
        if self._end_waiter is not None and driver.finished:
            _wake(self._end_waiter)
        timeout = driver.timeout()
        if timeout is None or driver.failure is not None:
            return
        # uvloop rounds to milliseconds: rounded down, it would fire early and often. A timer that is early already can
        # stay: sessions put their deadlines off all the time, and a spurious turn costs less than a new timer each.
        at = self._loop.time() + math.ceil(timeout * 1000) / 1000
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(at, self._on_time), at

    async def _close(self, driver: Driver[E]) -> None:
        driver.begin_close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._linger):
                while not driver.finished:
                    self._end_waiter = self._loop.create_future()
                    self._turn()
                    await self._end_waiter


def run(
    endpoint: Endpoint[E],
    *,
    listen: Mapping[str, Bind | Sequence[Bind]] | None = None,
    sockets: Mapping[str, Bind] | None = None,
    linger: float = 5.0,
) -> Runner[E]:
    """An asynchronous context manager that runs this endpoint, with listeners and datagram sockets by label.

    Entering binds them (OSError). Leaving, also by an exception or when cancelled, closes the endpoint politely, waits
    at most ``linger`` seconds for that, discards the events that nobody took, and aborts what is left. Another
    cancellation meanwhile aborts at once.
    """
    return Runner(endpoint, listen or {}, sockets or {}, linger)


def wall_epoch() -> float:
    """The time of day, in seconds since 1970, when the loop's clock was 0: the ``wall_epoch`` of an endpoint."""
    return _wall_epoch(asyncio.get_running_loop().time)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
