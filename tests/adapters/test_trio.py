"""The trio adapter: the suite that all adapters pass."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import pytest
import trio
import trio.testing
from async_programs import events_until_closed

from sansproto.contract import Address
from sansproto.errors import NotOpen
from sansproto.events import CloseCause, Closed
from sansproto.testing.adapter_suite import LOCAL, PATIENCE, AdapterSuite, Report, ScriptedEndpoint
from sansproto_trio import Runner, run, wall_epoch

T = TypeVar("T")


class Running:
    """A runner in a run of trio in a thread."""

    def __init__(self, runner: Runner[Any]) -> None:
        self.leftovers: list[str] = []
        self._runner = runner
        self._entered = threading.Event()
        self._failure: BaseException | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self._entered.wait()
        if self._is_over:  # it was not entered
            self._join()

    @property
    def addresses(self) -> Mapping[str, Address]:
        return self._runner.addresses

    def call(self, verb: Callable[[float], T]) -> T:
        async def call() -> T:
            return self._runner.call(verb)

        return self._do(call)

    def next_event(self, timeout: float) -> Any:
        async def next_event() -> Any:
            try:
                with trio.fail_after(timeout):
                    return await self._runner.next_event()
            except trio.TooSlowError:
                raise TimeoutError from None

        return self._do(next_event)

    def leave(self) -> None:
        self._token.run_sync_soon(self._stop.set)
        self._join()

    def cancel(self) -> None:
        self._token.run_sync_soon(self._scope.cancel)
        self._join()
        assert self._scope.cancelled_caught, "the cancellation was swallowed"

    def _do(self, function: Callable[[], Awaitable[T]]) -> T:
        if self._is_over:  # the runner was left: any run will do
            return trio.run(function)
        return trio.from_thread.run(function, trio_token=self._token)

    def _work(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as failure:
            self._failure = failure
        finally:
            self._is_over = True
            self._entered.set()

    async def _main(self) -> None:
        self._token, self._stop = trio.lowlevel.current_trio_token(), trio.Event()
        system = trio.lowlevel.current_root_task()
        assert system is not None
        before = _system_tasks(system)
        try:
            with trio.CancelScope() as self._scope:
                async with self._runner:
                    self._entered.set()
                    await self._stop.wait()
        finally:
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()
                self.leftovers = [repr(task) for task in _system_tasks(system) - before]

    def _join(self) -> None:
        self._thread.join(2 * PATIENCE)
        if self._failure is not None:
            raise self._failure


def _system_tasks(root: trio.lowlevel.Task) -> set[trio.lowlevel.Task]:
    return {task for nursery in root.child_nurseries for task in nursery.child_tasks}


class Harness:
    def __init__(self) -> None:
        self._started: list[Running] = []

    def start(self, endpoint: ScriptedEndpoint, **how: Any) -> Running:
        running = Running(run(endpoint, **how))
        self._started.append(running)
        return running

    def leftovers(self) -> list[str]:
        return [task for running in self._started for task in running.leftovers]


class TestTrio(AdapterSuite):
    harness = Harness()


def test_iteration_ends_with_closed() -> None:
    timer, closed = trio.run(events_until_closed, run)
    assert isinstance(timer, Report)
    assert closed == Closed(CloseCause.LOCAL)


def test_only_one_task_may_wait_and_it_learns_of_the_end() -> None:
    learnt = []

    async def wait(runner: Runner[Any]) -> None:
        with pytest.raises(NotOpen):
            await runner.next_event()
        learnt.append("the end")

    async def main() -> None:
        endpoint = ScriptedEndpoint()
        async with trio.open_nursery() as nursery, run(endpoint) as runner:
            nursery.start_soon(wait, runner)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(RuntimeError, match="another task"):
                await runner.next_event()

    trio.run(main)
    assert learnt == ["the end"]


def test_runners_may_follow_each_other() -> None:
    async def main() -> None:
        for _ in range(3):
            async with run(ScriptedEndpoint(), sockets={"udp": LOCAL}) as runner:
                with trio.fail_after(PATIENCE):
                    assert isinstance(await runner.next_event(), Report)
                    endpoint = ScriptedEndpoint()
                    async with run(endpoint) as inner:
                        inner.call(endpoint.arm)
                        assert isinstance(await inner.next_event(), Report)

    trio.run(main)


def test_the_clock_is_that_of_trio() -> None:
    """A clock of trio's tests runs an hour at once."""

    async def main() -> None:
        endpoint, start = ScriptedEndpoint(), trio.current_time()
        async with run(endpoint) as runner:
            runner.call(lambda delay, now: endpoint.arm(now + delay), 3600.0)
            assert isinstance(await runner.next_event(), Report)
            assert trio.current_time() == runner.call(lambda now: now) == start + 3600
        assert wall_epoch() + trio.current_time() == pytest.approx(time.time(), abs=60)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))
