"""The asyncio adapter: the suite that all adapters pass, on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import pytest
import uvloop
from async_programs import events_until_closed

from sansproto.contract import Address
from sansproto.errors import NotOpen
from sansproto.events import CloseCause, Closed
from sansproto.testing.adapter_suite import LOCAL, PATIENCE, AdapterSuite, Report, ScriptedEndpoint
from sansproto_asyncio import Runner, run, wall_epoch

T = TypeVar("T")


class Running:
    """A runner in a loop in a thread."""

    def __init__(self, runner: Runner[Any], new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.leftovers: list[str] = []
        self._runner = runner
        self._loop = new_loop()
        self._stop = asyncio.Event()
        self._entered = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self._entered.wait()
        if self._loop.is_closed():  # it was not entered
            self._join()

    @property
    def addresses(self) -> Mapping[str, Address]:
        return self._runner.addresses

    def call(self, verb: Callable[[float], T]) -> T:
        async def call() -> T:
            return self._runner.call(verb)

        return self._do(call())

    def next_event(self, timeout: float) -> Any:
        async def next_event() -> Any:
            async with asyncio.timeout(timeout):
                return await self._runner.next_event()

        return self._do(next_event())

    def leave(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._join()

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        try:
            self._join()
        except asyncio.CancelledError:
            return
        raise AssertionError("the cancellation was swallowed")

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():  # the runner was left: any loop will do
            return asyncio.run(coroutine)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(2 * PATIENCE)

    def _work(self) -> None:
        try:
            self._task = self._loop.create_task(self._main())
            self._loop.run_until_complete(self._task)
        except BaseException as failure:
            self._failure = failure
        finally:
            self._loop.close()
            self._entered.set()

    async def _main(self) -> None:
        try:
            async with self._runner:
                self._entered.set()
                await self._stop.wait()
        finally:
            for _ in range(3):  # who waited for an event is told of the end
                await asyncio.sleep(0)
            self.leftovers = [repr(task) for task in asyncio.all_tasks() - {self._task}]

    def _join(self) -> None:
        self._thread.join(2 * PATIENCE)
        if self._failure is not None:
            raise self._failure


class Harness:
    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._new_loop = new_loop
        self._started: list[Running] = []

    def start(self, endpoint: ScriptedEndpoint, **how: Any) -> Running:
        running = Running(run(endpoint, **how), self._new_loop)
        self._started.append(running)
        return running

    def leftovers(self) -> list[str]:
        return [task for running in self._started for task in running.leftovers]


uvloop.new_event_loop().close()  # libuv's first loop opens a pipe for the life of the process: no leak of a test


class TestAsyncio(AdapterSuite):
    harness = Harness(asyncio.new_event_loop)


class TestUvloop(AdapterSuite):
    harness = Harness(uvloop.new_event_loop)


def test_iteration_ends_with_closed() -> None:
    timer, closed = asyncio.run(events_until_closed(run))
    assert isinstance(timer, Report)
    assert closed == Closed(CloseCause.LOCAL)


def test_only_one_task_may_wait_and_it_learns_of_the_end() -> None:
    async def main() -> None:
        endpoint = ScriptedEndpoint()
        async with run(endpoint) as runner:
            waiting = asyncio.create_task(runner.next_event())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task"):
                await runner.next_event()
        with pytest.raises(NotOpen):
            await asyncio.wait_for(waiting, PATIENCE)

    asyncio.run(main())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_runners_may_follow_each_other_in_a_loop(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        for _ in range(3):
            async with run(ScriptedEndpoint(), sockets={"udp": LOCAL}) as runner, asyncio.timeout(PATIENCE):
                assert isinstance(await runner.next_event(), Report)
                endpoint = ScriptedEndpoint()
                async with run(endpoint) as inner:
                    inner.call(endpoint.arm)
                    assert isinstance(await inner.next_event(), Report)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


def test_the_clock_is_that_of_the_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with run(ScriptedEndpoint()) as runner:
            before = loop.time()
            assert before <= runner.call(lambda now: now) <= loop.time()
            assert runner.call(lambda more, now: now + more, 1e9) >= 1e9
            assert wall_epoch() + loop.time() == pytest.approx(time.time(), abs=60)

    loop = asyncio.new_event_loop()
    start = loop.time()
    real = loop.time
    loop.time = lambda: real() - start  # type: ignore[method-assign]  # as loops with a virtual time do
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
