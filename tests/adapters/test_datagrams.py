"""Datagrams of one size for one address are sent and read together where the system can; nobody sees a difference."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from sansproto.contract import Path, Rebind, SendDatagram, SendError
from sansproto.events import Closed
from sansproto.testing._internal.adapter_harness import LOCAL, PATIENCE
from sansproto.testing._internal.scripted_endpoint import Report, ScriptedEndpoint
from sansproto_sockets import Runner, datagrams, run
from sansproto_sockets.datagrams import Datagrams

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes and gives several datagrams at once")
NO_OPTION = 250

RUNS = {
    "of one size": ([1200] * 10, [10]),
    "the last one is shorter": ([1200] * 3 + [700] + [1200] * 2, [4, 2]),
    "the next one is longer": ([700] * 2 + [1200] * 2, [2, 2]),
    "empty": ([0, 0, 5, 5], [1, 1, 2]),
    "many": ([100] * 100, [64, 36]),
    "much": ([1300] * 60, [50, 10]),
    "each is longer than half of the most": ([40_000] * 3, [1, 1, 1]),
}
of_each_run = pytest.mark.parametrize(("sizes", "runs"), RUNS.values(), ids=RUNS.keys())


class Ends:
    """A sender and its receivers, each with a runner of its own."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.endpoint, self.sender = self.start()

    def start(self, host: str = "127.0.0.1") -> tuple[ScriptedEndpoint, Runner[Report | Closed]]:
        endpoint = ScriptedEndpoint()
        return endpoint, self._stack.enter_context(run(endpoint, sockets={"udp": (host, 0)}))

    def send(self, *what: tuple[bytes, Path]) -> None:
        self.sender.call(lambda _: self.endpoint.do(*(SendDatagram(*one) for one in what)))
        while self.endpoint.has_output:
            self.sender.run_once(0.0)


def path_to(runner: Runner[Report | Closed], host: str = "127.0.0.1") -> Path:
    return Path("udp", host, runner.addresses["udp"].port)


def got(runner: Runner[Report | Closed], name: str, count: int) -> list[object]:
    """What so many reports of this name have."""
    found: list[object] = []
    while len(found) < count:
        event = runner.next_event(timeout=PATIENCE)
        found += [event.value] if isinstance(event, Report) and event.name == name else []
    return found


def texts(sizes: list[int]) -> list[bytes]:
    """All different, so that their order can be seen."""
    return [bytes([number]) * size for number, size in enumerate(sizes)]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many datagrams each call to the system took."""
    found: list[int] = []
    together, one = Datagrams._send_together, Datagrams._send_one

    def send_together(self: Datagrams, run: list[bytes], path: Path) -> bool:
        is_sent = together(self, run, path)
        found.extend([len(run)] if is_sent else [])
        return is_sent

    def send_one(self: Datagrams, data: bytes, path: Path) -> None:
        found.append(1)
        one(self, data, path)

    monkeypatch.setattr(Datagrams, "_send_together", send_together)
    monkeypatch.setattr(Datagrams, "_send_one", send_one)
    return found


@on_linux
@of_each_run
@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_runs_leave_together_and_arrive_as_they_were(
    counted: list[int], sizes: list[int], runs: list[int], host: str
) -> None:
    with ExitStack() as stack:
        ends = Ends(stack)
        _, receiver = ends.start(host)
        path = path_to(receiver)
        ends.send(*((data, path) for data in texts(sizes)))
        sender = Path("udp", "127.0.0.1", ends.sender.addresses["udp"].port)
        assert got(receiver, "datagram", len(sizes)) == [(data, sender) for data in texts(sizes)]
    assert counted == runs


def without_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "_SEGMENT", NO_OPTION)


def without_joining(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "_GRO", NO_OPTION)


@of_each_run
@pytest.mark.parametrize("lacks", [without_options, without_joining])
def test_each_goes_alone_where_the_system_cannot(
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[int],
    runs: list[int],
    lacks: Callable[[pytest.MonkeyPatch], None],
) -> None:
    lacks(monkeypatch)
    with ExitStack() as stack:
        ends = Ends(stack)
        _, receiver = ends.start()
        ends.send(*((data, path_to(receiver)) for data in texts(sizes)))
        assert [data for data, _ in got(receiver, "datagram", len(sizes))] == texts(sizes)  # type: ignore[misc]


def test_a_run_that_the_system_refuses_is_sent_one_by_one(monkeypatch: pytest.MonkeyPatch, counted: list[int]) -> None:
    with ExitStack() as stack:
        ends = Ends(stack)
        _, receiver = ends.start()
        without_options(monkeypatch)  # after it had them: as where a card cannot do it
        ends.send(*((data, path_to(receiver)) for data in texts([1200] * 4)))
        assert [data for data, _ in got(receiver, "datagram", 4)] == texts([1200] * 4)  # type: ignore[misc]
    assert counted == [1] * 4


def test_another_address_ends_a_run(counted: list[int]) -> None:
    with ExitStack() as stack:
        ends = Ends(stack)
        receivers = [ends.start()[1] for _ in range(2)]
        there, elsewhere = map(path_to, receivers)
        ends.send((b"1", there), (b"2", there), (b"3", elsewhere), (b"4", there))
        found = [[data for data, _ in got(receivers[at], "datagram", count)] for at, count in ((0, 3), (1, 1))]  # type: ignore[misc]
    assert found == [[b"1", b"2", b"4"], [b"3"]]
    assert sum(counted) == 4


def test_what_waits_leaves_before_its_socket_is_bound_anew() -> None:
    with ExitStack() as stack:
        ends = Ends(stack)
        _, receiver = ends.start()
        path, before = path_to(receiver), ends.sender.addresses["udp"].port
        one = SendDatagram(b"x", path)
        ends.sender.call(lambda _: ends.endpoint.do(one, one, Rebind("udp"), one))
        ports = [sender.port for _, sender in got(receiver, "datagram", 3)]  # type: ignore[misc]
    assert ports[:2] == [before, before] != [ports[2], before]


def test_those_that_are_too_big_are_told_one_by_one() -> None:
    with ExitStack() as stack:
        ends = Ends(stack)
        path = Path("udp", "127.0.0.1", 9)
        ends.send(*[(bytes(65_600), path)] * 2)
        assert got(ends.sender, "datagram failed", 2) == [(path, SendError.TOO_BIG)] * 2


@on_linux
def test_the_error_of_one_run_does_not_cost_another() -> None:
    with ExitStack() as stack:
        ends = Ends(stack)
        _, receiver = ends.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
            closed.bind(LOCAL)
            nowhere = Path("udp", *closed.getsockname())
        for number in range(3):
            ends.send(*[(b"nobody", nowhere)] * 2, *[(b"%d" % number, path_to(receiver))] * 2)
            assert (nowhere, SendError.UNREACHABLE) in got(ends.sender, "datagram failed", 1)
        assert [data for data, _ in got(receiver, "datagram", 6)] == [b"0", b"0", b"1", b"1", b"2", b"2"]  # type: ignore[misc]
