"""What the adapters for asyncio and trio have in common: waiting for an event, entering and leaving a runner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self, TypeVar, TypeVarTuple

from sansproto.errors import NotOpen

from .base import RunnerBase, outranks
from .driver import Driver, Ready

E = TypeVar("E")
T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Waiter(Protocol):
    """What one task waits for: an ``Event`` of the framework."""

    async def wait(self) -> object: ...
    def set(self) -> None: ...


class AsyncRunnerBase(RunnerBase[E]):
    """A runner of a framework with tasks, which watches ``driver.fileno()`` and one time, and then calls ``_turn``."""

    _event_waiter: Waiter | None = None
    _end_waiter: Waiter | None = None

    # -- what a framework has of its own

    def _clock(self) -> Callable[[], float]:
        """That of the running loop."""
        raise NotImplementedError

    def _new_waiter(self) -> Waiter:
        raise NotImplementedError

    def _watch(self, driver: Driver[E]) -> None:
        """See to it that ``_turn(driver.select(0))`` is called when ``driver.fileno()`` is readable."""
        raise NotImplementedError

    def _unwatch(self, driver: Driver[E]) -> None:
        """Neither that nor anything else is called from now on."""
        raise NotImplementedError

    def _come_back(self, timeout: float | None) -> None:
        """See to it that it is also called in so many seconds, and not later; None: there is nothing to wait for."""
        raise NotImplementedError

    async def _within_linger(self, act: Callable[[], Awaitable[None]]) -> None:
        """Await it, for no longer than ``linger``."""
        raise NotImplementedError

    # -- what an application calls

    def call(self, verb: Callable[[*Arguments, float], T], *arguments: *Arguments) -> T:
        """Call ``verb(*arguments, now)``, carry out what the endpoint then asks for, and give its result.

        ``now`` is the time of the framework's loop.
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
            self._event_waiter = self._new_waiter()
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
        self._running = driver = Driver(self._endpoint, listen=self._listen, sockets=self._sockets, clock=self._clock())
        try:
            self._watch(driver)
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
                driver.begin_close()
                await self._within_linger(self._finish)
        except (Exception, KeyboardInterrupt) as second:
            if outranks(second, kind):
                raise
        finally:
            self._running = None
            self._unwatch(driver)
            driver.release()
            if self._event_waiter is not None:
                self._event_waiter.set()
        if kind is None and driver.failure is not None:
            raise driver.failure

    # -- inside

    async def _finish(self) -> None:
        while not self._driver.finished:
            self._end_waiter = self._new_waiter()
            self._turn()
            await self._end_waiter.wait()

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
        timeout = driver.timeout()
        self._come_back(timeout if driver.failure is None else None)
