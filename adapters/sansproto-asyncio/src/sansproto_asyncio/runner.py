"""The adapter for asyncio: the loop watches one descriptor and one timer, behind which all sockets of the endpoint are.

There is no task, and no callback of the application: whoever waits for an event is woken when there is one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Self, TypeVar

from sansproto.contract import Endpoint
from sansproto_sockets import AsyncRunnerBase, Bind, Driver
from sansproto_sockets import wall_epoch as _wall_epoch

E = TypeVar("E")


class Runner(AsyncRunnerBase[E]):
    """Runs an endpoint from entering to leaving the ``async with``. Everything is to be called on the loop's thread."""

    def _set_up(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return await super().__aenter__()

    def _clock(self) -> Callable[[], float]:
        return self._loop.time

    def _new_waiter(self) -> asyncio.Event:
        return asyncio.Event()

    def _watch(self, driver: Driver[E]) -> None:
        self._loop.add_reader(driver.fileno(), self._on_ready)

    def _unwatch(self, driver: Driver[E]) -> None:
        self._loop.remove_reader(driver.fileno())
        if self._timer is not None:
            self._timer.cancel()

    def _come_back(self, timeout: float | None) -> None:
        if timeout is None:
            return
        # uvloop rounds to milliseconds: rounded down, it would fire early and often. A timer that is early already can
        # stay: sessions put their deadlines off all the time, and a spurious turn costs less than a new timer each.
        at = self._loop.time() + math.ceil(timeout * 1000) / 1000
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(at, self._on_time), at

    async def _within_linger(self, act: Callable[[], Awaitable[None]]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._linger):
                await act()

    def _on_ready(self) -> None:
        if self._running is not None:
            self._turn(self._running.select(0))

    def _on_time(self) -> None:
        self._timer = None
        self._on_ready()


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
