"""The suite for adapters tells a broken adapter from one that is merely unusual."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

import pytest

from sansproto.contract import AbortTransport, Address, CloseTransport, Link, Path, PauseReading, SendDatagram, Transmit
from sansproto.errors import NotOpen
from sansproto.testing import adapter_suite
from sansproto.testing._internal import adapter_application, adapter_harness
from sansproto.testing._internal.adapter_harness import World, await_reset
from sansproto.testing._internal.scripted_endpoint import ScriptedEndpoint
from sansproto.testing.adapter_suite import AdapterSuite, clean_world
from sansproto_threads import Runner, run

T = TypeVar("T")
Test = Callable[[AdapterSuite, World], None]


class Seen:
    """The endpoint as an adapter drives it that passes some things on in its own way."""

    def __init__(self, endpoint: ScriptedEndpoint) -> None:
        self._endpoint = endpoint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._endpoint, name)


class Toy:
    """A runner of the threads adapter: each class below changes one thing."""

    seen: ClassVar[type[Seen]] = Seen

    def __init__(self, endpoint: ScriptedEndpoint, **how: Any) -> None:
        self.endpoint = endpoint
        self.through = self.seen(endpoint)
        self.runner: Runner[Any] = run(self.through, **how).__enter__()

    @property
    def addresses(self) -> Mapping[str, Address]:
        return self.runner.addresses

    def call(self, verb: Callable[[float], T]) -> T:
        return self.runner.call(verb)

    def next_event(self, timeout: float) -> Any:
        return self.runner.next_event(timeout=timeout)

    def leave(self) -> None:
        self.runner.__exit__(None, None, None)

    def cancel(self) -> None:
        self.runner.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


class Harness:
    def __init__(self, kind: type[Toy]) -> None:
        self.kind = kind

    def start(self, endpoint: ScriptedEndpoint, **how: Any) -> Toy:
        return self.kind(endpoint, **how)

    def leftovers(self) -> list[str]:
        return []


def passes(kind: type[Toy], test: Test) -> None:
    """One test of the suite, with what is checked after it."""
    with clean_world(Harness(kind)) as world:
        test(AdapterSuite(), world)


def fails(kind: type[Toy], test: Test, why: str | None = None) -> None:
    """The test itself fails; what is checked after it does not."""
    with clean_world(Harness(kind)) as world, pytest.raises((AssertionError, TimeoutError), match=why):
        test(AdapterSuite(), world)


def fails_afterwards(kind: type[Toy], test: Test, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        passes(kind, test)


class Dutiful(Toy):
    """Wakes the endpoint more often than it has to, which the contract allows."""

    def call(self, verb: Callable[[float], T]) -> T:
        def call_and_wake(now: float) -> T:
            result = verb(now)
            self.endpoint.handle_timeout(now)
            return result

        return super().call(call_and_wake)


def test_waking_too_often_is_no_fault() -> None:
    passes(Dutiful, AdapterSuite.test_timers_fire_and_not_early)


class WokenEarly(Seen):
    def next_timeout(self) -> float | None:
        at = self._endpoint.next_timeout()
        return None if at is None else at - 0.02

    def handle_timeout(self, now: float) -> None:
        self._endpoint.handle_timeout(now + 0.02)


class Premature(Toy):
    """Wakes the endpoint too early, and says that it is later than it is."""

    seen = WokenEarly


def test_a_time_that_has_not_come_is_noticed() -> None:
    fails(Premature, AdapterSuite.test_timers_fire_and_not_early, "had not come")


class Curtly(Seen):
    def next_transmit(self) -> Transmit | None:
        transmit = self._endpoint.next_transmit()
        return AbortTransport(transmit.link) if isinstance(transmit, CloseTransport) else transmit


class Curt(Toy):
    """Delivers the farewell, and resets."""

    seen = Curtly


def test_a_reset_behind_the_farewell_is_noticed() -> None:
    fails(Curt, AdapterSuite.test_leaving_closes_politely, "an orderly end")


class Trailing(Toy):
    """Leaves a thread behind, which ends when it is told to."""

    told: ClassVar[threading.Event]

    def leave(self) -> None:
        super().leave()
        threading.Thread(target=self.told.wait, name="trailing", daemon=True).start()


@pytest.mark.parametrize("ends", [True, False])
def test_a_thread_may_outlive_its_runner_but_not_for_long(monkeypatch: pytest.MonkeyPatch, ends: bool) -> None:
    Trailing.told = threading.Event()
    if ends:
        threading.Timer(0.5, Trailing.told.set).start()
        passes(Trailing, AdapterSuite.test_accepts_and_echoes)
    else:
        monkeypatch.setattr(adapter_suite, "PATIENCE", 0.1)
        fails_afterwards(Trailing, AdapterSuite.test_accepts_and_echoes, "left behind: .*trailing")
        Trailing.told.set()


class Unpaused(Seen):
    def next_transmit(self) -> Transmit | None:
        while isinstance(transmit := self._endpoint.next_transmit(), PauseReading):
            pass
        return transmit


class Insatiable(Toy):
    """Reads on after PauseReading."""

    seen = Unpaused


def test_reading_on_after_a_pause_is_noticed() -> None:
    """How much arrives while the endpoint wants nothing is up to the kernel: one of several tries shows it."""
    suite, why = AdapterSuite.test_back_pressure_reaches_a_peer_that_sends_and_does_not_read, "was read on and on"
    for tries_left in reversed(range(5)):
        try:
            fails_afterwards(Insatiable, suite, why)
        except pytest.fail.Exception:
            if not tries_left:
                raise
        else:
            break


class LostWithItsLink(Seen):
    def stream_lost(self, link: Link, now: float, *, detail: str = "") -> None:
        self._endpoint.stream_lost(link, now, detail=detail)
        self._endpoint.transport_lost(now, detail=detail)


class Alarmist(Toy):
    """Takes the end of one link for the end of everything."""

    seen = LostWithItsLink


def test_losing_a_transport_that_no_adapter_has_is_noticed() -> None:
    fails_afterwards(Alarmist, AdapterSuite.test_reports_a_reset, "no whole transport")


class Rude(Toy):
    """Aborts where it should say farewell."""

    def cancel(self) -> None:
        self.runner.abort()
        self.leave()


def test_an_orderly_end_is_no_reset() -> None:
    one, other = socket.socketpair()
    with one, other:
        other.close()
        with pytest.raises(AssertionError, match="without a reset"):
            await_reset(one)


def test_an_abort_in_place_of_a_farewell_is_noticed() -> None:
    fails(Rude, AdapterSuite.test_an_exception_in_the_body_says_goodbye_too)


class Forgetful(Toy):
    """Loses the event that arrives behind a wait that was given up."""

    lost = False

    def next_event(self, timeout: float) -> Any:
        try:
            event = super().next_event(min(timeout, 1.0))
            if not self.lost:
                return event
            self.lost = False
            return super().next_event(min(timeout, 1.0))
        except TimeoutError:
            self.lost = True
            raise


def test_an_event_that_a_cancelled_wait_lost_is_missed() -> None:
    fails(Forgetful, AdapterSuite.test_a_cancelled_wait_loses_no_event)


class Hasty(Toy):
    """Reports before everything is bound."""

    def __init__(self, endpoint: ScriptedEndpoint, **how: Any) -> None:
        endpoint.socket_bound("free", Address("127.0.0.1", 9), 0.0)
        super().__init__(endpoint, **how)


def test_a_report_of_a_start_that_failed_is_noticed() -> None:
    fails(Hasty, AdapterSuite.test_says_that_an_address_is_taken, "run elsewhere")


class Starving(AdapterSuite):
    """Runs in a process of its own, where it is known by this name."""

    class Restless(Toy):
        """Looks again and again at what it has no descriptor for."""

        def __init__(self, endpoint: ScriptedEndpoint, **how: Any) -> None:
            super().__init__(endpoint, **how)
            threading.Thread(target=self.spin, daemon=True).start()

        def spin(self) -> None:
            while True:
                pass

    harness = Harness(Restless)


def test_spinning_without_descriptors_is_noticed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError, match="standard error"):
        Starving().test_without_descriptors_it_neither_spins_nor_breaks()
    assert "of a CPU while there is nothing to do" in capfd.readouterr().err


class Deferring(Seen):
    def __init__(self, endpoint: ScriptedEndpoint) -> None:
        super().__init__(endpoint)
        self.is_called = False

    def next_transmit(self) -> Transmit | None:
        return None if self.is_called else self._endpoint.next_transmit()


class Late(Toy):
    """Carries out later what a call has asked for."""

    seen = Deferring

    def call(self, verb: Callable[[float], T]) -> T:
        def call_and_defer(now: float) -> T:
            self.through.is_called = True
            threading.Timer(0.05, self.carry_out).start()
            return verb(now)

        return super().call(call_and_defer)

    def carry_out(self) -> None:
        with suppress(NotOpen):
            self.runner.call(lambda _: setattr(self.through, "is_called", False))


def test_an_adapter_may_carry_out_later_what_a_call_has_asked_for() -> None:
    for _ in range(5):
        passes(Late, AdapterSuite.test_pauses_and_resumes_accepting)


class MappedSeen(Seen):
    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        host = path.host if ":" in path.host else f"::ffff:{path.host}"
        self._endpoint.receive_datagram(data, Path(path.socket, host, path.port), now)


class Mapping4In6(Toy):
    """Passes on what the system calls the sender."""

    seen = MappedSeen


class Unsendable(Seen):
    def next_transmit(self) -> Transmit | None:
        transmit = self._endpoint.next_transmit()
        if isinstance(transmit, SendDatagram) and ":" not in transmit.path.host:
            return None  # what a socket of the other family does with such an address
        return transmit


class OneFamily(Toy):
    """Sends from a socket for both families to addresses of one."""

    seen = Unsendable


def test_addresses_that_are_not_mapped_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_harness, "PATIENCE", 0.5)

    def test(suite: AdapterSuite, world: World) -> None:
        suite.test_addresses_of_datagrams_are_those_of_their_family(world, "127.0.0.1")

    fails(Mapping4In6, test, "unmapped")
    fails(OneFamily, test)


class Unanswered(Seen):
    def next_transmit(self) -> Transmit | None:
        transmit = self._endpoint.next_transmit()
        return None if isinstance(transmit, SendDatagram) and transmit.path.socket == "upd" else transmit


class Silent(Toy):
    """Loses what is sent from a socket that is not there."""

    seen = Unanswered


def test_silence_about_a_socket_that_is_not_there_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_application, "PATIENCE", 0.5)

    def test(suite: AdapterSuite, world: World) -> None:
        suite.test_a_socket_that_is_not_there_is_told(world, SendDatagram(b"x", Path("upd", "127.0.0.1", 9)))

    fails(Silent, test)


class Deaf(Toy):
    """Does not tell who waits what ended it."""

    def next_event(self, timeout: float) -> Any:
        try:
            return super().next_event(timeout)
        except (NotOpen, ZeroDivisionError):
            raise TimeoutError from None


class Usurped(Toy):
    """Remembers the last one only of those who wait."""

    waits: object = None

    def next_event(self, timeout: float) -> Any:
        me = self.waits = object()
        event = super().next_event(timeout)
        if self.waits is not me:
            raise TimeoutError
        return event


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (Deaf, AdapterSuite.test_who_waits_while_the_runner_is_left_learns_of_it),
        (Deaf, AdapterSuite.test_a_bug_of_the_endpoint_reaches_who_waits),
        (Usurped, AdapterSuite.test_of_two_who_wait_none_is_forgotten),
    ],
)
def test_who_waits_and_is_forgotten_is_noticed(kind: type[Toy], test: Test) -> None:
    with pytest.raises((AssertionError, TimeoutError, ZeroDivisionError)) as raised:
        passes(kind, test)
    assert raised.type is not ZeroDivisionError or kind is Deaf


class Stuck(Toy):
    """Does not come back when it is left."""

    def leave(self) -> None:
        super().leave()
        time.sleep(1.0)


def test_leaving_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_harness, "DEADLINE", 0.2)
    with pytest.raises(TimeoutError):
        passes(Stuck, AdapterSuite.test_leaving_closes_politely)


class LostTwice(Seen):
    def stream_lost(self, link: Link, now: float, *, detail: str = "") -> None:
        self._endpoint.stream_lost(link, now, detail=detail)
        self._endpoint.stream_lost(link, now, detail=detail)


class Repetitive(Toy):
    """Reports the end of a link as often as it likes."""

    seen = LostTwice


def test_a_link_that_is_lost_twice_is_noticed() -> None:
    fails_afterwards(Repetitive, AdapterSuite.test_reports_a_reset, "lost was reported for link")
