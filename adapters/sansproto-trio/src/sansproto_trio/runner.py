"""The adapter for trio: a system task waits for one descriptor and one deadline, behind which all sockets are.

Nothing of the application runs in that task: whoever waits for an event is woken when there is one.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import trio

from sansproto.contract import Endpoint
from sansproto_sockets import AsyncRunnerBase, Bind, Driver
from sansproto_sockets import wall_epoch as _wall_epoch

E = TypeVar("E")


class Runner(AsyncRunnerBase[E]):
    """Runs an endpoint from entering to leaving the ``async with``. Everything is to be called in trio's thread."""

    def _set_up(self) -> None:
        self._wait = trio.CancelScope()
        self._deadline = math.inf

    async def next_event(self) -> E:
        """The next event. Raises NotOpen after ``Closed``. A call that is cancelled loses no event.

        One task at a time may wait: a second one gets RuntimeError. Other tasks run meanwhile, whatever is there.
        """
        await trio.lowlevel.checkpoint()
        return await super().next_event()

    def _clock(self) -> Callable[[], float]:
        return trio.current_time

    def _new_waiter(self) -> trio.Event:
        return trio.Event()

    def _watch(self, driver: Driver[E]) -> None:
        trio.lowlevel.spawn_system_task(self._work, driver, driver.fileno())

    def _unwatch(self, driver: Driver[E]) -> None:
        trio.lowlevel.notify_closing(driver.fileno())
        self._wait.cancel()

    def _come_back(self, timeout: float | None) -> None:
        self._deadline = self._wait.deadline = math.inf if timeout is None else trio.current_time() + timeout

    async def _within_linger(self, act: Callable[[], Awaitable[None]]) -> None:
        with trio.move_on_after(self._linger, shield=True):
            await act()

    async def _work(self, driver: Driver[E], fileno: int) -> None:
        """Wait for the sockets and for the time. A system task: what is raised here would end the whole program."""
        while self._running is driver:
            with trio.CancelScope(deadline=self._deadline) as self._wait, suppress(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(fileno)
            if self._running is driver:
                self._turn(driver.select(0))


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
