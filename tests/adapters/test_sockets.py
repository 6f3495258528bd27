"""The sockets adapter, inside a selector loop that is not its own; and the parts that the other adapters share."""

from __future__ import annotations

import gc
import select
import selectors
import socket
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from types import FrameType
from typing import Any, TypeVar

import pytest

from sansproto.contract import (
    Address,
    CloseTransport,
    Link,
    Lookup,
    Path,
    Phase,
    Rebind,
    SendBytes,
    SendDatagram,
    SendError,
)
from sansproto.events import CloseCause, Closed
from sansproto.testing._internal.adapter_harness import LOCAL, PATIENCE, World, count_descriptors, read, reset, until
from sansproto.testing._internal.scripted_endpoint import CHUNK, Report, ScriptedEndpoint
from sansproto.testing.adapter_suite import AdapterSuite
from sansproto_sockets import Driver, Runner, run
from sansproto_sockets.streams import DISCARDED
from sansproto_threads import run as run_in_threads

T = TypeVar("T")


class Cancelled(Exception):
    pass


class Running:
    """A runner in somebody's selector loop, in a thread; the loop also watches a socket over which commands come."""

    def __init__(self, runner: Runner[Any]) -> None:
        self._runner = runner
        self._commands: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._waiting: list[tuple[float, Future[Any]]] = []  # until when, and for whose event
        self._bell, self._button = socket.socketpair()
        self._lock = threading.Lock()
        self._entered = threading.Event()
        self._stopping = self._cancelling = False
        self._over = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self._entered.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def addresses(self) -> Mapping[str, Address]:
        return self._runner.addresses

    def call(self, verb: Callable[[float], T]) -> T:
        return self._do(lambda: self._runner.call(verb))

    def next_event(self, timeout: float) -> Any:
        """Wait in the loop, which goes on with other things meanwhile."""
        answer: Future[Any] = Future()
        self._do(lambda: self._take(time.monotonic() + timeout, answer))
        return answer.result(2 * PATIENCE)

    def leave(self) -> None:
        with suppress(Exception):  # what ended it is raised below
            self._do(self._stop)
        self._thread.join(2 * PATIENCE)
        if self._failure is not None:
            raise self._failure

    def cancel(self) -> None:
        with suppress(Exception):
            self._do(self._interrupt)
        self._thread.join(2 * PATIENCE)
        assert isinstance(self._failure, Cancelled)

    def _take(self, deadline: float, answer: Future[Any]) -> None:
        try:
            answer.set_result(self._runner.next_event(timeout=0))
        except TimeoutError as error:
            if time.monotonic() < deadline:
                self._waiting.append((deadline, answer))
            else:
                answer.set_exception(error)
        except Exception as error:
            answer.set_exception(error)

    def _due(self) -> float | None:
        """Seconds until the runner has something to do, or a wait ends."""
        due = [deadline - time.monotonic() for deadline, _ in self._waiting]
        timeout = self._runner.timeout()
        return max(0.0, min(due if timeout is None else [*due, timeout])) if due else timeout

    def _stop(self) -> None:
        self._stopping = True

    def _interrupt(self) -> None:
        self._cancelling = True

    def _do(self, command: Callable[[], T]) -> T:
        """Have the loop's thread do something, or do it here if the loop ended."""
        answer: Future[T] = Future()
        with self._lock:
            self._commands.append((command, answer))
            if self._over:
                self._end()
            else:
                self._button.send(b"\0")
        return answer.result(2 * PATIENCE)

    def _work(self) -> None:
        try:
            with self._runner as runner, selectors.DefaultSelector() as selector:
                selector.register(runner.fileno(), selectors.EVENT_READ)
                selector.register(self._bell, selectors.EVENT_READ, self._obey)
                self._entered.set()
                while not self._stopping:
                    for key, _ in selector.select(self._due()):
                        if key.data is not None:
                            key.data()
                    if self._cancelling:
                        raise Cancelled
                    runner.run_once(0)
                    waiting, self._waiting = self._waiting, []
                    for deadline, answer in waiting:
                        self._take(deadline, answer)
        except Exception as error:
            self._failure = error
        with self._lock:
            self._end()
        self._entered.set()

    def _obey(self) -> None:
        self._bell.recv(1)
        command, answer = self._commands.popleft()
        try:
            answer.set_result(command())
        except Exception as error:
            answer.set_exception(error)

    def _end(self) -> None:
        self._over = True
        self._bell.close()
        self._button.close()
        for _, waiting in self._waiting:
            self._commands.append((lambda: self._runner.next_event(timeout=0), waiting))
        while self._commands:
            command, answer = self._commands.popleft()
            try:
                if self._failure is not None:
                    raise self._failure
                answer.set_result(command())
            except Exception as error:
                answer.set_exception(error)


class Harness:
    def start(self, endpoint: ScriptedEndpoint, **how: Any) -> Running:
        return Running(run(endpoint, **how))

    def leftovers(self) -> list[str]:
        return []


class TestSockets(AdapterSuite):
    harness = Harness()

    def test_runs_its_own_loop(self, world: World) -> None:
        endpoint = ScriptedEndpoint(echo=True)
        with run(endpoint, listen={"in": LOCAL}) as runner:
            peer = world.own(socket.create_connection((runner.addresses["in"].host, runner.addresses["in"].port)))
            peer.sendall(b"hello")
            peer.shutdown(socket.SHUT_WR)
            found = []
            for event in runner:
                found.append(event)
                if event == Report("lost", Link(1), ""):
                    runner.call(endpoint.close)
        assert [event.name for event in found if isinstance(event, Report)] == ["accepted", "eof", "lost"]
        assert found[-1] == Closed(CloseCause.LOCAL)
        assert read(peer, 5) == b"hello"
        assert endpoint.mistakes == []

    def test_takes_sockets_of_yours(self, world: World) -> None:
        listener = socket.create_server(LOCAL)
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(LOCAL)
        names = {"in": Address(*listener.getsockname()), "udp": Address(*datagrams.getsockname())}
        endpoint = ScriptedEndpoint(echo=True)
        running = world.start(endpoint, listen={"in": listener}, sockets={"udp": datagrams})
        assert running.addresses == names
        peer = world.dial(running)
        peer.sendall(b"hello")
        assert read(peer, 5) == b"hello"
        running.call(lambda _: endpoint.do(Rebind("udp")))
        until(running, "bound")
        assert until(running, "bound").value == ("udp", names["udp"]), "a port that was chosen is kept"

    def test_reads_the_last_words_of_a_peer_that_reset(self, world: World) -> None:
        """Writing to a peer that is gone fails, but why it went may be waiting to be read."""
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running)

        def write_to_one_that_left(_: float) -> None:
            # no turn of the loop comes between the reset and the write
            peer.sendall(b"refused: go away")
            reset(peer)
            endpoint.do(SendBytes(link, CHUNK), SendBytes(link, CHUNK))

        running.call(write_to_one_that_left)
        assert until(running, "data", link).value == b"refused: go away"
        until(running, "lost", link)

    def test_who_goes_on_after_the_end_is_reset(self, world: World) -> None:
        """What comes after a close is read and discarded, but not for as long as anybody likes to send."""
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running)
        running.call(lambda _: endpoint.do(CloseTransport(link)))
        assert peer.recv(1) == b""
        sent = 0
        with suppress(ConnectionResetError, BrokenPipeError):
            while sent < 4 * DISCARDED:
                peer.sendall(CHUNK)
                sent += len(CHUNK)
        assert DISCARDED <= sent < 4 * DISCARDED
        until(running, "lost", link)

    def test_those_who_come_keep_nobody_waiting_who_is_there(self) -> None:
        """However many have connected, a turn accepts few for each socket that it reads."""
        endpoint = ScriptedEndpoint(echo=True)
        driver = Driver(endpoint, listen={"in": LOCAL}, sockets={})
        at = driver.addresses["in"]
        peers = []
        try:
            peers += [socket.create_connection((at.host, at.port), timeout=PATIENCE) for _ in range(200)]
            accepted = []
            while len(endpoint.live) < len(peers):
                before = len(endpoint.live)
                driver.turn(driver.select(PATIENCE))
                accepted.append(len(endpoint.live) - before)
            assert max(accepted) <= 2
            for peer in peers[:160]:
                peer.sendall(b"x")
            peers += [socket.create_connection((at.host, at.port), timeout=PATIENCE) for _ in range(40)]
            before = len(endpoint.live)
            driver.turn(driver.select(PATIENCE))
            assert len(endpoint.live) - before in range(10, 30), "and among many a newcomer does not wait for long"
        finally:
            driver.release()
            for peer in peers:
                peer.close()

    def test_a_port_that_is_none_is_told_as_every_bad_address_is(self, world: World) -> None:
        """The resolver takes it modulo 65,536, and ``connect`` and ``sendto`` raise OverflowError."""
        for where in (("127.0.0.1", 70_000), ("127.0.0.1", -1), ("a" * 64, 0)):
            with pytest.raises(OSError, match=r"no port|no host name"):
                world.start(ScriptedEndpoint(), listen={"in": where})
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, sockets={"udp": LOCAL})
        link = running.call(lambda _: endpoint.open(Address("127.0.0.1", 70_000)))
        assert "no port" in until(running, "lost", link).value
        running.call(lambda _: endpoint.do(SendDatagram(b"to nobody", Path("udp", "127.0.0.1", 70_000))))
        until(running, "datagram failed")
        running.call(lambda _: endpoint.do(Lookup(7, "localhost", 70_000)))
        assert until(running, "looked up").value == (7, ())

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which datagram an ICMP error is about")
    @pytest.mark.parametrize("host", ["127.0.0.1", ""])
    def test_reports_what_icmp_says_about_a_datagram(self, world: World, host: str) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, sockets={"udp": (host, 0)})
        closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        closed.bind(LOCAL)
        path = Path("udp", *closed.getsockname())
        closed.close()
        open_ = world.own(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        open_.bind(LOCAL)
        other = Path("udp", *open_.getsockname())
        for _ in range(3):
            running.call(lambda _: endpoint.do(SendDatagram(b"to nobody", path), SendDatagram(b"to you", other)))
            assert until(running, "datagram failed").value == (path, SendError.UNREACHABLE)
            assert open_.recv(100) == b"to you", "the error of one datagram does not cost another"

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on its loopback")
    @pytest.mark.parametrize("host", ["", "0.0.0.0"])
    def test_answers_come_from_the_address_that_was_called(self, world: World, host: str) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, sockets={"udp": (host, 0)})
        caller = world.own(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        caller.bind(LOCAL)
        path = Path("udp", *caller.getsockname())
        for address in ("127.0.0.2", "127.0.0.1", "127.0.0.3"):
            called = address, running.addresses["udp"].port
            caller.sendto(b"ping", called)
            assert until(running, "datagram").value == (b"ping", path)
            running.call(lambda _: endpoint.do(SendDatagram(b"pong", path)))
            assert caller.recvfrom(100) == (b"pong", called)

    @pytest.mark.parametrize("clock", ["time", "clock_gettime"])
    def test_tells_how_long_the_machine_slept(self, world: World, monkeypatch: pytest.MonkeyPatch, clock: str) -> None:
        """The clock of the endpoint stood still meanwhile, and another one did not."""
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        went_on = getattr(time, clock)
        monkeypatch.setattr(time, clock, lambda *which: went_on(*which) + 3600)
        running.call(lambda now: endpoint.arm(now + 0.01))
        assert until(running, "resumed").value == pytest.approx(3600, abs=5)
        assert until(running, "timer").name == "timer", "it is told once, and before the timer"
        monkeypatch.setattr(time, clock, lambda *which: went_on(*which) + 3604)
        running.call(lambda now: endpoint.arm(now + 0.01))
        assert running.next_event(PATIENCE).name == "timer", "a clock that was set by a few seconds is no sleep"

    def test_an_interrupt_at_any_moment_leaves_nothing_open(self) -> None:
        """Ctrl-C comes between any two lines of the loop: it comes out as itself, and every socket is closed."""
        files = {module.__file__ for name, module in sys.modules.items() if name.startswith("sansproto_sockets.")}
        files.add(selectors.__file__)

        def is_interrupted(at: int) -> bool:
            """Interrupt before the line that is the so-many-th to run; False if there are fewer."""
            left = at

            def trace(frame: FrameType, event: str, _: object) -> Any:
                nonlocal left
                if frame.f_code.co_filename not in files:
                    return None
                left -= event == "line"
                if left == 0:
                    raise KeyboardInterrupt
                return trace

            endpoint, tracer, descriptors = ScriptedEndpoint(echo=True), sys.gettrace(), count_descriptors()
            with suppress(KeyboardInterrupt), run(endpoint, listen={"in": LOCAL}, sockets={"udp": LOCAL}) as runner:
                where = runner.addresses["in"].host, runner.addresses["in"].port
                with socket.create_connection(where) as one, socket.create_connection(where) as other:
                    one.sendall(b"x")
                    one.shutdown(socket.SHUT_WR)
                    reset(other)
                    sys.settrace(trace)
                    try:
                        while sum(endpoint.lost.values()) < 2:
                            runner.next_event(timeout=PATIENCE)
                            one.close()
                    finally:
                        sys.settrace(tracer)
                return False
            assert endpoint.phase is Phase.CLOSED
            if count_descriptors() > descriptors:
                gc.collect()
            assert count_descriptors() == descriptors
            return True

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # of a socket that was accepted, and is nobody's yet
            moments = next(at for at in count(1) if not is_interrupted(at))
        assert moments > 200

    def test_what_is_no_place_to_bind_is_told(self) -> None:
        for wrong in (7000, None, ("127.0.0.1",), ("127.0.0.1", "7000"), []):
            for how in ({"sockets": {"udp": wrong}}, {"listen": {"in": wrong}}):
                with pytest.raises(TypeError, match=r"give \(host, port\), or a bound socket"):
                    run(ScriptedEndpoint(), **how).__enter__()  # type: ignore[arg-type]

    @pytest.mark.parametrize("enter", [run, run_in_threads])
    def test_a_second_interrupt_is_not_told_behind_the_first(self, enter: Callable[..., Any]) -> None:
        class Interrupted(ScriptedEndpoint):
            def close(self, now: float) -> None:
                raise KeyboardInterrupt("second")

        for first, told in ((KeyboardInterrupt("first"), "first"), (ValueError("first"), "second")):
            endpoint, descriptors = Interrupted(), count_descriptors()
            with pytest.raises((KeyboardInterrupt, ValueError), match=told) as raised, enter(endpoint):
                raise first
            assert (raised.value.__context__ is None) is (told == "first"), "one traceback"
            assert endpoint.phase is Phase.CLOSED
            assert count_descriptors() == descriptors

    def test_after_a_bug_of_the_endpoint_nothing_spins_and_nothing_grows(self) -> None:
        class Broken(ScriptedEndpoint):
            def next_timeout(self) -> float | None:
                raise ZeroDivisionError

        depths = []
        runner = run(Broken()).__enter__()
        for _ in range(3):
            runner.wake()  # as a look-up does that ends afterwards
            with pytest.raises(ZeroDivisionError) as raised:
                runner.run_once()
            depths.append(len(raised.traceback))
        assert not select.select([runner.fileno()], [], [], 0)[0], "any loop that watches it would spin"
        with pytest.raises(ZeroDivisionError):
            runner.__exit__(None, None, None)
        assert depths[1] == depths[2]

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a queue of errors")
    def test_a_socket_of_yours_may_want_to_know_the_time_of_errors(self, world: World) -> None:
        datagrams, closed = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        datagrams.bind(LOCAL)
        datagrams.setsockopt(socket.SOL_SOCKET, 29, 1)  # SO_TIMESTAMP
        closed.bind(LOCAL)
        path = Path("udp", *closed.getsockname())
        closed.close()
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, sockets={"udp": datagrams})
        running.call(lambda _: endpoint.do(SendDatagram(b"to nobody", path)))
        until(running, "datagram failed")
        running.call(lambda now: endpoint.arm(now + 0.01))
        assert running.next_event(PATIENCE).name == "timer", "one error is one report"
