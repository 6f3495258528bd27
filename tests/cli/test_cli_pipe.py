"""``sansproto egtp pipe`` in this process, with short times: what it tells, and how it ends."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from typing import Any

import pytest
from cli_commands import PATIENCE

from sansproto.contract import Address, Path
from sansproto.egtp import (
    MAILBOX_PORT,
    CloseReason,
    EgtpNode,
    Established,
    Expired,
    IdentityConflict,
    KeyPair,
    MailboxReachable,
    MailboxServer,
    MailboxUnreachable,
    MailboxViolation,
    MessageReceived,
    NodeDelays,
    PathChanged,
    PeerClosed,
    PeerForgotten,
    PeerLost,
    PeerRestarted,
    Reason,
    RecoveryConfig,
    RecoveryDelays,
    Relay,
    StoreWanted,
    Undelivered,
    Unreachable,
)
from sansproto.egtp.routes import Routes, relay_route
from sansproto.errors import NotOpen
from sansproto.events import CloseCause
from sansproto_cli import addresses
from sansproto_cli.egtp_piping import Piping, Target
from sansproto_cli.exits import CommandFailed, Exit
from sansproto_cli.report import JsonReporter, PlainReporter
from sansproto_cli.standard_streams import JsonOutput
from sansproto_sockets import system_entropy, wall_epoch
from sansproto_threads import Runner, run

A, B, SERVER = (KeyPair.of(bytes([number]) * 32) for number in (1, 2, 3))
LOOPBACK = "127.0.0.1"
NOWHERE = ("192.0.2.1", 7000)
POLL = 0.2
QUICK = RecoveryConfig(
    direct=RecoveryDelays(
        round_trip=0.05,
        rto=0.06,
        rto_max=10.0,
        give_up=2.5,
        crossing=10.0,
        candidate=40.0,
        dead_min=0.5,
        previous=61.0,
        session=240.0,
    ),
    relay=RecoveryDelays.relay(POLL),
)
DELAYS = NodeDelays(poll=POLL, unused=0.3, farewell=0.3, handover=1.0)

Script = Iterator[None]


def node(keys: KeyPair, relays: tuple[Relay, ...] = ()) -> EgtpNode:
    epoch = wall_epoch()
    return EgtpNode(
        private_key=keys.private, entropy=system_entropy, wall_epoch=epoch, relays=relays, delays=DELAYS, recovery=QUICK
    )


def until(goal: Callable[[], object]) -> Script:
    deadline = time.monotonic() + PATIENCE
    while not goal():
        assert time.monotonic() < deadline
        yield


class Pipe:
    """A pipe to B; a script, which goes on a step each time that the pipe looks for signals, is all the rest."""

    def __init__(self, to: tuple[str, int] | None = None, relay: Relay | None = None, *, plain: bool = False) -> None:
        self.node, self.target = node(A, () if relay is None else (relay,)), Target(to, relay)
        self.out = StringIO()
        self.reporter = PlainReporter(self.out, self.out) if plain else JsonReporter(self.out)
        self._read, self._write = os.pipe()

    def run(self, script: Script) -> None:
        output = JsonOutput(self.reporter)
        self.piping = Piping(self.node, B.public, self.target, self.reporter, output, self._read)
        try:
            self.piping.run((LOOPBACK, 0), lambda: next(script, None))
        finally:
            self.end_input()

    def fail(self, script: Script) -> CommandFailed:
        with pytest.raises(CommandFailed) as failure:
            self.run(script)
        return failure.value

    def type(self, data: bytes) -> None:
        os.write(self._write, data)

    def end_input(self) -> None:
        if self._write >= 0:
            os.close(self._write)
            self._write = -1

    def emit(self, *events: Any) -> None:
        """The node tells of something that happened."""

        def happen(now: float) -> None:
            for event in events:
                self.node.emit(event)

        self.piping._runner.call(happen)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def told(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == name]


class Other:
    """B, whom the pipe talks to."""

    def __init__(self, relays: tuple[Relay, ...] = ()) -> None:
        self.node = node(B, relays)
        self.events: list[Any] = []

    @contextmanager
    def running(self) -> Iterator[Other]:
        with run(self.node, sockets={"udp": (LOOPBACK, 0)}, linger=0.5) as self.runner:
            yield self

    @property
    def at(self) -> tuple[str, int]:
        bound = self.runner.addresses["udp"]
        return bound.host, bound.port

    def told(self, kind: type[Any]) -> list[Any]:
        try:
            while True:
                self.events.append(self.runner.next_event(timeout=0.0))
        except TimeoutError:
            return [event for event in self.events if isinstance(event, kind)]

    def texts(self) -> list[bytes]:
        return [event.data for event in self.told(MessageReceived) if event.data]


# -- what is told ------------------------------------------------------------------------------------------------------

PEER: Any = (B.public, 7)
DIRECT = Routes(node(A), 9).of(Path("udp", "192.0.2.9", 7009))
MAILBOX = relay_route(SERVER.public, B.public)
GOODBYE = PeerClosed(*PEER, reason=CloseReason.GOING_AWAY)


def established(reason: Reason) -> Established:
    return Established(*PEER, handle=b"session.", reason=reason, old_handle=None)


def message(data: bytes) -> MessageReceived:
    return MessageReceived(B.public, data, generation=7, handle=b"session.")


FIRST = established(Reason.FIRST)
TOLD: list[tuple[Any, dict[str, Any] | None, str]] = [
    (FIRST, {"event": "connected", "generation": 7, "reason": "first"}, "Connected."),
    (established(Reason.REKEY), {"event": "connected", "generation": 7, "reason": "rekey"}, ""),
    (
        established(Reason.RESTART),
        {"event": "connected", "generation": 7, "reason": "restart"},
        "The other end has restarted: connected again.",
    ),
    (PeerRestarted(*PEER, old_instance=b"a", new_instance=b"b"), {"event": "restarted"}, ""),
    (message(b"hello\n"), {"event": "message", "hex": b"hello\n".hex(), "line": "hello\n"}, ""),
    (message(b"\xff\n"), {"event": "message", "hex": "ff0a"}, ""),
    (message(b""), None, ""),
    (
        Unreachable(*PEER, route=DIRECT),
        {"event": "unreachable"},
        "The other end does not answer: trying again.",
    ),
    (PeerForgotten(*PEER), {"event": "unreachable"}, "The other end does not answer: trying again."),
    (PeerLost(*PEER, other=b"c"), {"event": "unreachable"}, "The other end does not answer: trying again."),
    (
        PathChanged(*PEER, old=MAILBOX, new=DIRECT),
        {"event": "moved", "address": "192.0.2.9:7009"},
        "The other end is at 192.0.2.9:7009 now.",
    ),
    (
        PathChanged(*PEER, old=DIRECT, new=MAILBOX),
        {"event": "moved", "address": "its mailbox"},
        "The other end is at its mailbox now.",
    ),
    (
        MailboxUnreachable(SERVER.public, CloseCause.LOST),
        {"event": "mailbox_lost", "reason": "bad_handshake"},
        "There is no mailbox server with the key that --mailbox names: trying again.",
    ),
    (MailboxReachable(SERVER.public), {"event": "mailbox_reached"}, "The mailbox server answers."),
    (
        MailboxUnreachable(SERVER.public, CloseCause.LOST),
        {"event": "mailbox_lost", "reason": "lost"},
        "The mailbox server does not answer: trying again.",
    ),
    (
        MailboxUnreachable(SERVER.public, CloseCause.REFUSED, violation=MailboxViolation.SUPERSEDED),
        {"event": "mailbox_lost", "reason": "superseded"},
        "Another process polls our mailbox: stop one of the two that have our key.",
    ),
    (
        MailboxUnreachable(SERVER.public, CloseCause.VIOLATION, violation=MailboxViolation.BAD_SEAL),
        {"event": "mailbox_lost", "reason": "bad_seal"},
        "The mailbox server and we do not understand each other: trying again.",
    ),
    (
        IdentityConflict(*PEER),
        {"event": "warning", "reason": "two_processes"},
        "Two processes have the key of the other end: stop one of them.",
    ),
    (Expired(*PEER, handle=b"session."), None, ""),
]
"""Events, and what is told of each: an object, and a line."""


def happening(pipe: Pipe, *events: Any) -> Script:
    yield
    pipe.emit(*events, GOODBYE)


def test_what_happens_is_told_as_objects_and_as_lines() -> None:
    pipe, plain = Pipe(), Pipe(plain=True)
    for one in (pipe, plain):
        one.run(happening(one, *(event for event, _, _ in TOLD)))
    started, *told, finished = pipe.lines
    assert (started["event"], started["public_key"]) == ("started", A.public.hex())
    assert started["address"].startswith("127.0.0.1:")
    assert told == [found for _, found, _ in TOLD if found]
    assert finished == {"event": "finished", "reason": "going_away"}
    first, *lines, last = plain.out.getvalue().splitlines()
    assert first.startswith("We are at 127.0.0.1:")
    assert (lines, last) == ([text for _, _, text in TOLD if text], "The other end said goodbye.")


@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
def test_who_listens_at_every_address_says_so(bound: str) -> None:
    where, text = addresses.we_are_at(Address(bound, 7))
    assert where == addresses.format_address(addresses.own_address(), 7)
    assert text == f"We are at {where}, and at the other addresses of this computer"


# -- how it ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "words"), [((), "does not want us"), ((FIRST,), "has left, or does not want us any more")]
)
def test_an_end_that_is_not_wanted(before: tuple[Any, ...], words: str) -> None:
    pipe = Pipe(NOWHERE)
    failure = pipe.fail(happening(pipe, *before, PeerClosed(*PEER, reason=CloseReason.REFUSED)))
    assert (failure.code, failure.message) == (Exit.REFUSED, f"The other end {words}: ask who runs it.")


def test_a_goodbye_before_all_was_sent_is_no_success() -> None:
    pipe = Pipe(NOWHERE)
    failure = pipe.fail(happening(pipe, Undelivered(*PEER, packets=(b"one\n", b"", b"two\n"))))
    assert failure.code is Exit.NOBODY
    assert failure.message == "The other end said goodbye, and 2 messages were not sent: check that it is running."
    assert pipe.told("not_sent") == [{"event": "not_sent", "count": 2}]


def test_what_was_read_and_not_taken_counts_too() -> None:
    """Whoever is called takes messages only once somebody came."""
    pipe = Pipe()

    def story() -> Script:
        pipe.type(b"one\ntwo\nthree")
        yield from until(lambda: pipe.piping._lines.held)
        pipe.emit(GOODBYE)

    failure = pipe.fail(story())
    assert failure.message == "The other end said goodbye, and 2 messages were not sent: check that it is running."


@pytest.mark.parametrize(("data", "count"), [(b"", 0), (b"one\ntwo\nthree", 3)])
def test_the_input_ends_and_nobody_was_ever_there(data: bytes, count: int) -> None:
    pipe = Pipe(NOWHERE)
    pipe.type(data)
    pipe.end_input()
    failure = pipe.fail(iter(()))
    lost = f"{count} messages were not sent" if count else "nothing was sent"
    text = f"The other end does not answer, and {lost}: check that it is running."
    assert (failure.code, failure.message) == (Exit.NOBODY, text)
    assert pipe.told("ending") == [{"event": "ending", "count": count}]
    assert [line["count"] for line in pipe.told("not_sent")] == ([count] if count else [])
    assert not pipe.told("finished")


def test_the_input_ends_and_the_other_end_was_killed_meanwhile() -> None:
    """Its session is in use for minutes more: that nothing waits does not mean that somebody is there."""
    other = Other()
    with other.running():
        pipe = Pipe(other.at)

        def story() -> Script:
            yield from until(lambda: pipe.told("connected") and other.told(Established))
            quiet = time.monotonic() + 0.3  # seconds: what was said at the beginning has arrived
            yield from until(lambda: time.monotonic() > quiet)
            other.runner.call(lambda now: other.node.abort())
            pipe.type(b"in vain\n")
            pipe.end_input()

        failure = pipe.fail(story())
    assert failure.code is Exit.NOBODY
    assert (
        failure.message == "The other end does not answer, and the last messages may be lost: check that it is running."
    )
    assert not pipe.told("finished")


def names(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, int] | None) -> list[str]:
    """What the name of --to leads to, time after time; None: it is not found. The list tells what was looked up."""
    asked, answers = list[str](), iter(found)

    def look_up(host: str, port: int, kind: Any) -> tuple[str, int, int]:
        asked.append(host)
        place = next(answers, found[-1])
        if place is None:
            raise OSError(-2, "Name or service not known")
        return (*place, 0)

    monkeypatch.setattr(addresses, "look_up", look_up)
    return asked


NAME = ("other.example", 7000)


def test_a_name_is_looked_up_before_a_socket_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, None)
    pipe = Pipe(NAME)
    failure = pipe.fail(iter(()))
    assert (failure.code, failure.message[:26]) == (Exit.NOBODY, "Cannot find other.example ")
    assert not pipe.lines  # not even that it has started


def test_a_name_is_looked_up_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Other()
    with other.running():
        names(monkeypatch, NOWHERE, NOWHERE, other.at)
        pipe = Pipe(NAME)

        def story() -> Script:
            pipe.emit(Unreachable(*PEER, route=DIRECT))
            yield from until(lambda: pipe.told("connected"))
            pipe.emit(GOODBYE)

        pipe.run(story())


def test_while_a_name_is_not_found_its_last_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Other()
    with other.running():
        asked = names(monkeypatch, other.at, None)
        pipe = Pipe(NAME)

        def story() -> Script:
            yield from until(lambda: pipe.told("connected"))
            pipe.emit(GOODBYE)

        pipe.run(story())
    assert asked == ["other.example"] * 2


def test_while_a_name_is_not_found_the_mailbox_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Other()
    with other.running():
        names(monkeypatch, None, other.at)
        pipe = Pipe(NAME, Relay(SERVER.public, Address(LOOPBACK, 9)))

        def story() -> Script:
            assert pipe.piping._is_by_mailbox
            pipe.emit(Unreachable(*PEER, route=MAILBOX))
            yield from until(lambda: pipe.told("connected"))
            pipe.emit(GOODBYE)

        pipe.run(story())


def test_both_ways_are_tried_before_the_input_ends_in_vain() -> None:
    pipe = Pipe(NOWHERE, Relay(SERVER.public, Address(LOOPBACK, 9)))
    pipe.end_input()

    def story() -> Script:
        yield from until(lambda: pipe.piping._lines.is_over)
        pipe.emit(Unreachable(*PEER, route=DIRECT))
        yield from until(lambda: pipe.told("unreachable"))
        pipe.emit(Unreachable(*PEER, route=MAILBOX))

    assert pipe.fail(story()).code is Exit.NOBODY
    assert len(pipe.told("unreachable")) == 1


def test_messages_that_waited_in_vain_are_sent_to_who_comes_instead() -> None:
    """They come back when the other end has restarted: the layer above begins anew, which here means nothing."""
    other = Other()
    with other.running():
        pipe = Pipe(other.at)

        def story() -> Script:
            yield from until(lambda: pipe.told("connected"))
            pipe.emit(Undelivered(*PEER, packets=(b"one\n", b"", b"two\n")))
            pipe.end_input()
            yield from until(lambda: len(other.texts()) == 2)

        pipe.run(story())
        assert sorted(other.texts()) == [b"one\n", b"two\n"]
    assert pipe.lines[-1] == {"event": "finished"}
    assert not pipe.told("not_sent")


# -- through a mailbox server ------------------------------------------------------------------------------------------


class Server:
    """A mailbox server that stores nothing for long."""

    def __init__(self) -> None:
        self.node = MailboxServer(private_key=SERVER.private, entropy=system_entropy, wall_epoch=0.0)
        self.runner: Runner[Any] = run(self.node, listen={MAILBOX_PORT: (LOOPBACK, 0)})

    def __enter__(self) -> Relay:
        self.runner.__enter__()
        threading.Thread(target=self._store, name="store", daemon=True).start()
        bound = self.runner.addresses[MAILBOX_PORT]
        return Relay(SERVER.public, Address(bound.host, bound.port))

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        with suppress(NotOpen):
            self.runner.call(lambda now: self.node.abort())
            self.runner.__exit__(None, None, None)

    def _store(self) -> None:
        with suppress(NotOpen):
            for event in self.runner:
                if isinstance(event, StoreWanted):
                    self._stored(event.number)

    def _stored(self, number: int) -> None:
        self.runner.call(lambda now: self.node.stored(number, now))


@pytest.mark.parametrize("data", [b"", b"the last\n"])
def test_a_goodbye_leaves_although_the_mailbox_server_has_to_be_called_for_it(data: bytes) -> None:
    with Server() as relay:
        other = Other((relay,))
        with other.running():
            other.runner.call(other.node.start)
            pipe = Pipe(relay=relay)

            def story() -> Script:
                yield from until(lambda: pipe.told("connected") and other.told(Established))
                yield from until(lambda: not pipe.node.relays.depositors)  # idle for so long
                pipe.type(data)
                pipe.end_input()

            pipe.run(story())
            assert pipe.lines[-1] == {"event": "finished"}
            deadline = time.monotonic() + PATIENCE
            while not other.told(PeerClosed):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert other.texts() == ([data] if data else [])


def test_a_goodbye_that_no_mailbox_server_took_is_no_success() -> None:
    server = Server()
    with server as relay:
        other = Other((relay,))
        with other.running():
            other.runner.call(other.node.start)
            pipe = Pipe(relay=relay)

            def story() -> Script:
                yield from until(lambda: pipe.told("connected") and other.told(Established))
                yield from until(lambda: not pipe.node.relays.depositors)
                server.stop()
                yield from until(lambda: pipe.told("mailbox_lost"))
                pipe.end_input()

            failure = pipe.fail(story())
    assert failure.code is Exit.NOBODY
    assert failure.message.startswith("The goodbye, or messages before it, may be lost (")
    assert not pipe.told("finished")
