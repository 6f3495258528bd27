"""The threads adapter: the suite that all adapters pass, and what only threads can do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from sansproto.contract import Address, Path, SendDatagram
from sansproto.events import CloseCause, Closed
from sansproto.testing._internal.adapter_harness import World
from sansproto.testing.adapter_suite import LOCAL, PATIENCE, AdapterSuite, Report, ScriptedEndpoint
from sansproto_threads import Runner, run

T = TypeVar("T")


class Running:
    def __init__(self, runner: Runner[Any]) -> None:
        self._runner = runner.__enter__()

    @property
    def addresses(self) -> Mapping[str, Address]:
        return self._runner.addresses

    def call(self, verb: Callable[[float], T]) -> T:
        return self._runner.call(verb)

    def next_event(self, timeout: float) -> Any:
        return self._runner.next_event(timeout=timeout)

    def leave(self) -> None:
        self._runner.__exit__(None, None, None)

    def cancel(self) -> None:
        self._runner.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


class Harness:
    def start(self, endpoint: ScriptedEndpoint, **how: Any) -> Running:
        return Running(run(endpoint, **how))

    def leftovers(self) -> list[str]:
        return []


class TestThreads(AdapterSuite):
    harness = Harness()

    def test_every_thread_may_call_and_wait(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        seen: list[object] = []
        with run(endpoint, sockets={"udp": LOCAL}) as runner:
            runner.next_event(timeout=PATIENCE)
            address = runner.addresses["udp"]
            path = Path("udp", address.host, address.port)  # to itself

            def send_and_wait() -> None:
                for _ in range(50):
                    runner.call(lambda _: endpoint.do(SendDatagram(b"x", path)))
                    seen.append(runner.next_event(timeout=PATIENCE))

            with ThreadPoolExecutor(8) as pool:
                for done in [pool.submit(send_and_wait) for _ in range(8)]:
                    done.result()
        assert seen == [Report("datagram", value=(b"x", path))] * 400

    @pytest.mark.parametrize("failure", [None, KeyboardInterrupt])
    def test_a_thread_that_waits_learns_of_the_end(self, world: World, failure: type[BaseException] | None) -> None:
        runner = run(ScriptedEndpoint()).__enter__()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(list[object], runner)
            while not runner._waiting:
                time.sleep(0.001)
            runner.__exit__(failure, None, None)
            assert waiting.result(PATIENCE) == []

    def test_a_thread_that_waits_gets_what_a_call_of_another_made(self, world: World) -> None:
        """Though there is nothing for the I/O thread to do: no transmit, no timer."""
        endpoint = ScriptedEndpoint()
        with run(endpoint) as runner, ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(runner.next_event, timeout=PATIENCE)
            while not runner._waiting:
                time.sleep(0.001)
            runner.call(lambda _: endpoint.abort())
            assert waiting.result(PATIENCE / 2) == Closed(CloseCause.ABORTED)
