"""``sansproto tox``: keys, pipes, echoes and relays, over real sockets on the loopback.

The other end is a node of the test itself, which speaks the format of pipes by hand: docs/protocols/tox.rst, pipes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from io import StringIO
from pathlib import Path as File
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from cli_commands import PATIENCE, Command
from rich.console import Console

from sansproto.contract import Path
from sansproto.tox import (
    RELAY_PORT,
    CustomReceived,
    FriendOffline,
    KeyPair,
    MessageReceived,
    NodeDelays,
    NodeLimits,
    OfflineReason,
    Proxy,
    RelayServer,
    ToxEvent,
    ToxNode,
)
from sansproto.tox import packets as p
from sansproto_cli import demo_tox, standard_streams, tox_listening, tox_meeting, tox_piping
from sansproto_cli.app import run_command
from sansproto_cli.demo_tox import show_tox
from sansproto_cli.exits import CommandFailed, Exit, Interrupted
from sansproto_cli.report import QuietReporter
from sansproto_cli.standard_streams import RawOutput
from sansproto_cli.tox_keys import Friend, Keys, read_keys
from sansproto_cli.tox_listening import Listening
from sansproto_cli.tox_meeting import Meeting
from sansproto_cli.tox_piping import PIECE, Piping, cut
from sansproto_sockets import system_entropy, wall_epoch
from sansproto_threads import Runner, run

HERE = "127.0.0.1"
BRIEF = NodeDelays(farewell=0.1)
DATA, END, WRITTEN = b"\xa0", b"\xa0", b"\xa1"
CLI = File(__file__).parents[2] / "adapters" / "sansproto-cli"


PROGRESS = {"event": "progress", "text": "", "size": None}


class FakeInput:
    """What the pipe asks about the standard streams."""

    SEEK_CUR = os.SEEK_CUR

    def __init__(self, descriptor: int, *, is_terminal: bool = False) -> None:
        self._status, self._at = os.fstat(descriptor), 0
        with suppress(OSError):
            self._at = os.lseek(descriptor, 0, os.SEEK_CUR)
        self._is_terminal = is_terminal

    def fstat(self, _: int) -> os.stat_result:
        return self._status

    def lseek(self, *_: int) -> int:
        return self._at

    def isatty(self, _: int) -> bool:
        return self._is_terminal


def wait_for(what: str, happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.01)


class Told(QuietReporter):
    """All that was told."""

    def __init__(self) -> None:
        super().__init__(StringIO())
        self.events: list[dict[str, Any]] = []

    def tell(self, event: str, text: str = "", **facts: object) -> None:
        self.events.append({"event": event, "text": text, **facts})

    def progress(self, done: int, total: int | None) -> None:
        self.tell("progress", done=done, size=total)

    @property
    def names(self) -> list[str]:
        return [event["event"] for event in self.events if event["event"] != "progress"]

    def event(self, name: str) -> dict[str, Any]:
        wait_for(name, lambda: name in self.names)
        return next(event for event in self.events if event["event"] == name)


class Peer:
    """A node of the test."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.node = ToxNode(
            real_key=keys.real.secret,
            dht_key=keys.dht.secret,
            entropy=system_entropy,
            wall_epoch=wall_epoch(),
            delays=BRIEF,
        )
        self.events: list[ToxEvent] = []
        self._running = run(self.node, sockets={"udp": (HERE, 0)})
        self.runner: Runner[ToxEvent] = self._running.__enter__()
        self._is_left = False

    def meet(self, other: Keys, address: str) -> None:
        """Be online with the other one."""
        self.friend = other.real.public
        path = Path("udp", HERE, int(address.rpartition(":")[2]))
        self.runner.call(lambda now: self.node.add_friend(self.friend, other.dht.public, now, path=path))

    def take(self) -> list[ToxEvent]:
        """All events so far."""
        while (event := self.runner.call(lambda _: self.node.next_event())) is not None:
            self.events.append(event)
        return self.events

    def send(self, *packets: bytes) -> None:
        left = list(packets)

        def are_taken() -> bool:
            del left[: self.offer(left[:500])]
            return not left

        wait_for("room for packets", are_taken)

    def offer(self, packets: list[bytes]) -> int:
        """How many were taken."""
        return self.runner.call(lambda now: self.node.send_many(self.friend, packets, now))

    @property
    def packets(self) -> list[bytes]:
        return [event.data for event in self.take() if isinstance(event, CustomReceived)]

    @property
    def messages(self) -> list[tuple[str, bool]]:
        return [(event.text, event.is_action) for event in self.take() if isinstance(event, MessageReceived)]

    @property
    def stream(self) -> bytes:
        return b"".join(data[1:] for data in self.packets if data[:1] == DATA)

    @property
    def is_online(self) -> bool:
        return self.runner.call(lambda _: self.node.is_online(self.friend))

    def leave(self) -> None:
        if not self._is_left:
            self._is_left = True
            self._running.__exit__(None, None, None)

    def vanish(self) -> None:
        """As a process that is killed."""
        self._is_left = True
        self.runner.abort()
        self._running.__exit__(None, None, None)


@attrs.define
class Ends:
    """Where a test runs its commands and nodes: each end has a file with keys."""

    folder: File
    stack: ExitStack
    commands: list[Command] = attrs.field(factory=list)

    def start(self, *arguments: object, stdin: bytes | None = b"") -> Command:
        command = Command(self.folder, "tox", *arguments, stdin=stdin)
        self.stack.callback(command.stop)
        return command

    def keys(self, name: str) -> Keys:
        return read_keys(self.folder / name, make=True)[0]

    def peer(self, name: str) -> Peer:
        peer = Peer(self.keys(name))
        self.stack.callback(peer.leave)
        return peer


@pytest.fixture
def ends(tmp_path: File) -> Iterator[Ends]:
    with ExitStack() as stack:
        yield Ends(tmp_path, stack)


class Running:
    """What a command does, in a thread of the test, until it ends or is interrupted."""

    def __init__(self, ends: Ends, name: str, relays: tuple[str, ...] = (), proxy: Proxy | None = None) -> None:
        self.told = Told()
        self._is_interrupted = False
        self._meeting = Meeting(ends.keys(name), f"{HERE}:0", relays, self.told, BRIEF, proxy=proxy)
        self._pool = ThreadPoolExecutor(1)
        ends.stack.callback(self.stop)

    def begin(self, act: Callable[[Meeting, Runner[ToxEvent], Callable[[], None]], None]) -> None:
        def run_it() -> None:
            with self._meeting.begin() as runner:
                act(self._meeting, runner, self._check)

        self._future: Future[None] = self._pool.submit(run_it)

    @property
    def node(self) -> ToxNode:
        return self._meeting.node

    @property
    def address(self) -> str:
        return str(self.told.event("started")["address"])

    def end(self) -> None:
        """Wait for it. Raises what it raised."""
        self._future.result(PATIENCE)

    def fail(self) -> CommandFailed:
        with pytest.raises(CommandFailed) as failure:
            self.end()
        return failure.value

    def stop(self) -> None:
        self._is_interrupted = True
        self._pool.shutdown()

    def _check(self) -> None:
        if self._is_interrupted:
            raise Interrupted(Exit.INTERRUPTED)


class Piped(Running):
    """A pipe of 'a' to 'b', whose standard streams are the test's."""

    def __init__(self, ends: Ends, monkeypatch: pytest.MonkeyPatch, timeout: float | None = None) -> None:
        super().__init__(ends, "a")
        self._input: SimpleQueue[bytes] = SimpleQueue()
        self.reads = 0
        self.output = bytearray()
        self.may_write = threading.Event()
        self.may_write.set()
        monkeypatch.setattr(standard_streams, "os", SimpleNamespace(read=self._read, write=self._write))
        friend = Friend(ends.keys("b").real.public, ends.keys("b").dht.public)

        def act(meeting: Meeting, runner: Runner[ToxEvent], check: Callable[[], None]) -> None:
            Piping(meeting, runner, friend, RawOutput(), timeout).run(None, check)

        self.begin(act)

    def type(self, data: bytes) -> None:
        self._input.put(data)

    def close_input(self) -> None:
        self._input.put(b"")

    def stop(self) -> None:
        self.may_write.set()
        self.close_input()
        super().stop()

    def _read(self, _: int, most: int) -> bytes:
        data = self._input.get()
        self.reads += 1
        assert len(data) <= most
        return data

    def _write(self, _: int, data: memoryview) -> int:
        self.may_write.wait()
        self.output += data[:10_000]  # a pipe takes what it has room for
        return len(data[:10_000])


@pytest.fixture
def piped(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Piped, Peer]]:
    """A pipe, and a friend that has just come."""
    pipe, peer = Piped(ends, monkeypatch), ends.peer("b")
    peer.meet(ends.keys("a"), pipe.address)
    wait_for("session", lambda: peer.is_online and "connected" in pipe.told.names)
    return pipe, peer


Both = tuple[Piped, Peer]


class TestPipe:
    def test_each_piece_goes_at_once_and_bytes_come_out_as_they_are(self, piped: Both) -> None:
        pipe, peer = piped
        pipe.type(b"question\n")
        wait_for("question", lambda: peer.packets)
        assert peer.packets == [DATA + b"question\n"]
        peer.send(DATA + b"\0answer", DATA + b"\xff")
        wait_for("answer", lambda: len(pipe.output) == 8)
        assert pipe.output == b"\0answer\xff"

    def test_both_ends_close_and_know_that_all_was_written(self, piped: Both) -> None:
        pipe, peer = piped
        pipe.type(b"all of it")
        pipe.close_input()
        wait_for("end", lambda: END in peer.packets)
        assert peer.packets == [DATA + b"all of it", END]
        peer.send(WRITTEN, DATA + b"back", END)
        wait_for("answer", lambda: WRITTEN in peer.packets)
        pipe.end()
        assert pipe.output == b"back"
        assert pipe.told.names[-3:] == ["all_arrived", "all_received", "finished"]
        assert pipe.told.event("all_arrived")["sent"] == pipe.told.event("finished")["sent"] == 9
        assert pipe.told.event("all_received")["received"] == pipe.told.event("finished")["received"] == 4
        wait_for("goodbye", lambda: FriendOffline(peer.friend, OfflineReason.SAID) in peer.take())

    def test_one_direction_ends_and_the_other_goes_on(self, piped: Both) -> None:
        pipe, peer = piped
        peer.send(END)
        wait_for("answer", lambda: WRITTEN in peer.packets)
        pipe.type(b"still here")
        wait_for("stream", lambda: peer.stream == b"still here")
        pipe.close_input()
        wait_for("end", lambda: END in peer.packets)
        peer.send(WRITTEN)
        pipe.end()

    def test_a_long_stream_in_both_directions(self, piped: Both) -> None:
        pipe, peer = piped
        data = os.urandom(300_000)
        for at in range(0, len(data), 60_000):
            pipe.type(data[at : at + 60_000])
        peer.send(*cut(data[::-1])[:-1])
        wait_for("streams", lambda: len(peer.stream) == len(pipe.output) == len(data))
        assert peer.stream == data
        assert pipe.output == data[::-1]
        assert {len(packet) for packet in peer.packets} <= {PIECE + 1, 60_000 % PIECE + 1}

    def test_it_goes_on_as_soon_as_there_is_room(self, piped: Both, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody has to look again and again."""
        pipe, peer = piped
        monkeypatch.setattr(standard_streams, "_AGAIN", 3600.0)
        for _ in range(30):
            pipe.type(bytes(60_000))
        wait_for("stream", lambda: len(peer.stream) == 1_800_000)

    def test_what_waits_for_a_friend_goes_as_soon_as_it_comes(
        self, ends: Ends, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(standard_streams, "_AGAIN", 3600.0)
        pipe, peer = Piped(ends, monkeypatch), ends.peer("b")
        pipe.type(b"early")
        time.sleep(0.2)
        peer.meet(ends.keys("a"), pipe.address)
        wait_for("stream", lambda: peer.stream == b"early")

    def test_the_end_is_answered_only_when_all_is_written(self, piped: Both) -> None:
        pipe, peer = piped
        pipe.may_write.clear()
        peer.send(DATA + b"slowly", END)
        time.sleep(1.0)
        assert WRITTEN not in peer.packets
        pipe.may_write.set()
        wait_for("answer", lambda: WRITTEN in peer.packets)
        assert pipe.output == b"slowly"

    def test_an_answer_before_our_end_means_nothing(self, piped: Both) -> None:
        pipe, peer = piped
        peer.send(WRITTEN, END)
        wait_for("answer", lambda: WRITTEN in peer.packets)
        assert "all_arrived" not in pipe.told.names
        pipe.close_input()
        wait_for("end", lambda: END in peer.packets)
        peer.send(WRITTEN)
        pipe.end()

    def test_other_packets_of_the_friend_are_none_of_it(self, piped: Both) -> None:
        pipe, peer = piped
        peer.send(b"\xa2", b"\xbf of another program")
        peer.runner.call(lambda now: peer.node.send_message(peer.friend, "hello", now))
        peer.send(DATA + b"mine")
        wait_for("stream", lambda: pipe.output == b"mine")

    def test_the_input_is_read_no_faster_than_it_is_taken(self, piped: Both) -> None:
        pipe, peer = piped
        for _ in range(400):
            pipe.type(bytes(60_000))
        with peer.runner._changed:  # the friend does not act
            read = -1
            while read != pipe.reads:
                read = pipe.reads
                time.sleep(1.0)
        assert 0 < read < 40

    def test_a_slow_output_stops_the_friend_and_loses_nothing(
        self, ends: Ends, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tox_meeting, "ToxNode", partial(ToxNode, limits=NodeLimits(events=64)))
        pipe, peer = Piped(ends, monkeypatch), ends.peer("b")
        peer.meet(ends.keys("a"), pipe.address)
        wait_for("session", lambda: peer.is_online)
        pipe.may_write.clear()
        data = os.urandom(PIECE * 300)
        peer.send(*cut(data)[:-1])
        time.sleep(1.5)
        assert pipe.node.waiting_events <= 32
        assert peer.runner.call(lambda _: peer.node.waiting(peer.friend)) > 100
        pipe.may_write.set()
        wait_for("stream", lambda: len(pipe.output) == len(data))
        assert pipe.output == data


class TestPipeEnds:
    """One that ends before all has arrived says how much has."""

    def lose(self, piped: Both) -> tuple[Piped, Peer]:
        """A stream of which the first part is known to have arrived, and the rest is on its way to nowhere."""
        pipe, peer = piped
        peer.send(DATA + b"from there")
        pipe.type(bytes(5000))
        wait_for("progress", lambda: pipe.told.events[-1] == {**PROGRESS, "done": 5010})
        peer.vanish()
        pipe.type(bytes(300))
        time.sleep(0.2)
        return pipe, peer

    def test_nothing_goes_into_another_session(self, ends: Ends, piped: Both, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also while nobody has seen yet that ours is over."""
        pipe, peer = piped
        pipe.may_write.clear()
        peer.send(DATA + b"nobody reads")
        wait_for("acknowledgement", lambda: not peer.runner.call(lambda _: peer.node.waiting(peer.friend)))
        time.sleep(0.2)
        peer.vanish()
        again = ends.peer("b")
        again.meet(ends.keys("a"), pipe.address)
        wait_for("session", lambda: again.is_online)
        pipe.type(b"for the other process")
        time.sleep(0.3)
        assert not again.packets
        pipe.may_write.set()
        assert pipe.fail().code is Exit.CUT

    def check(self, pipe: Piped, reason: str, *words: str) -> None:
        failure = pipe.fail()
        assert failure.code is Exit.CUT == 7
        assert all(
            word in failure.message for word in (*words, "5,000 bytes are known to have arrived", "10 arrived here")
        )
        cut = pipe.told.event("cut")
        assert (cut["reason"], cut["sent"], cut["arrived"], cut["received"]) == (reason, 5300, 5000, 10)

    def test_a_session_that_is_replaced(self, ends: Ends, piped: Both) -> None:
        pipe, _ = self.lose(piped)
        again = ends.peer("b")
        again.meet(ends.keys("a"), pipe.address)
        self.check(pipe, "restarted", "has restarted")
        wait_for("goodbye", lambda: FriendOffline(again.friend, OfflineReason.SAID) in again.take())
        assert not again.packets, "what was meant for another process"

    def test_a_friend_that_leaves(self, piped: Both) -> None:
        pipe, peer = piped
        pipe.type(b"in vain")
        wait_for("stream", lambda: peer.stream)
        peer.leave()
        failure = pipe.fail()
        assert failure.code is Exit.CUT
        assert "left" in failure.message
        assert pipe.told.event("cut")["reason"] == "said"

    def test_a_friend_that_leaves_without_its_answer(self, piped: Both) -> None:
        pipe, peer = piped
        pipe.close_input()
        peer.send(END)
        wait_for("end", lambda: END in peer.packets)
        peer.leave()
        assert pipe.fail().code is Exit.CUT

    def test_a_friend_that_leaves_when_all_is_written(self, piped: Both, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whether it has heard that we know that does not matter."""
        pipe, peer = piped
        pipe.close_input()
        wait_for("end", lambda: END in peer.packets)
        peer.send(WRITTEN, END)
        monkeypatch.setattr(tox_piping, "_PATIENCE", 0.3)
        pipe.told.event("all_received")
        peer.vanish()
        pipe.end()

    def test_more_behind_the_end(self, piped: Both) -> None:
        pipe, peer = piped
        peer.send(END, DATA + b"more")
        assert pipe.fail().code is Exit.DAMAGED == 8
        assert pipe.output == b""

    def test_nobody_comes(self, ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
        pipe = Piped(ends, monkeypatch, timeout=0.5)
        assert pipe.fail().code is Exit.NOBODY == 3

    def test_the_wait_ends_when_somebody_has_come(self, ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
        pipe, peer = Piped(ends, monkeypatch, timeout=1.5), ends.peer("b")
        peer.meet(ends.keys("a"), pipe.address)
        pipe.told.event("connected")
        time.sleep(2.0)
        pipe.type(b"late")
        wait_for("stream", lambda: peer.stream == b"late")

    def test_an_output_that_is_closed(self, piped: Both, monkeypatch: pytest.MonkeyPatch) -> None:
        def write(_: int, data: memoryview) -> int:
            raise BrokenPipeError(32, "Broken pipe")

        pipe, peer = piped
        monkeypatch.setattr(standard_streams.os, "write", write)
        peer.send(DATA + b"to whom?")
        assert pipe.fail().code is Exit.FILES == 9


class TestMistakes:
    """Wrong keys are what people get wrong: who is called says so, once."""

    @pytest.mark.parametrize(
        ("caller", "called", "reason"),
        [
            (("b", "b"), ("a", "c"), "other_dht_key"),
            (("b", "b"), ("c", "a"), "other_real_key"),
            (("c", "c"), ("a", "a"), "other_caller"),
        ],
    )
    def test_wrong_keys(
        self,
        ends: Ends,
        monkeypatch: pytest.MonkeyPatch,
        caller: tuple[str, str],
        called: tuple[str, str],
        reason: str,
    ) -> None:
        pipe = Piped(ends, monkeypatch)
        peer = Peer(Keys(ends.keys(caller[0]).real, ends.keys(caller[1]).dht))
        ends.stack.callback(peer.leave)
        peer.meet(Keys(ends.keys(called[0]).real, ends.keys(called[1]).dht), pipe.address)
        assert pipe.told.event("warning")["reason"] == reason
        time.sleep(2.5)  # it calls again
        assert pipe.told.names == ["started", "warning"]


class TestProgress:
    def test_of_an_input_that_is_a_file(self, ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
        with (ends.folder / "input").open("w+b") as file:
            file.write(bytes(7000))
            file.flush()
            file.seek(2000)
            monkeypatch.setattr(tox_piping, "os", FakeInput(file.fileno()))
            pipe, peer = Piped(ends, monkeypatch), ends.peer("b")
        peer.meet(ends.keys("a"), pipe.address)
        pipe.told.event("connected")
        peer.send(DATA + b"does not count")
        pipe.type(bytes(5000))
        wait_for("progress", lambda: {**PROGRESS, "done": 5000, "size": 5000} in pipe.told.events)
        assert {**PROGRESS, "done": 0, "size": 5000} in pipe.told.events

    def test_of_others_is_all_that_passes(self, piped: Both) -> None:
        pipe, peer = piped
        peer.send(DATA + b"both")
        pipe.type(b"count")
        wait_for("progress", lambda: {**PROGRESS, "done": 9} in pipe.told.events)

    def test_none_is_shown_at_a_terminal(self, ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tox_piping, "os", FakeInput(0, is_terminal=True))
        pipe, peer = Piped(ends, monkeypatch), ends.peer("b")
        peer.meet(ends.keys("a"), pipe.address)
        pipe.told.event("connected")
        peer.send(DATA + b"talk")
        wait_for("output", lambda: pipe.output == b"talk")
        time.sleep(0.3)
        assert "progress" not in [event["event"] for event in pipe.told.events[1:]]


class TestListen:
    @pytest.fixture
    def echo(self, ends: Ends) -> Iterator[tuple[Running, Peer]]:
        """An echo for 'b', which has just come."""
        echo, peer = Running(ends, "a"), ends.peer("b")
        friends = [Friend(ends.keys(name).real.public, ends.keys(name).dht.public) for name in "bc"]
        echo.begin(lambda meeting, runner, check: Listening(meeting, runner, friends).run(check))
        peer.meet(ends.keys("a"), echo.address)
        wait_for("session", lambda: peer.is_online and "online" in echo.told.names)
        return echo, peer

    def test_messages_come_back(self, echo: tuple[Running, Peer]) -> None:
        running, peer = echo
        peer.runner.call(lambda now: peer.node.send_message(peer.friend, "hello", now))
        peer.runner.call(lambda now: peer.node.send_message(peer.friend, "waves", now, action=True))
        wait_for("echo", lambda: len(peer.messages) == 2)
        assert peer.messages == [("hello", False), ("waves", True)]
        told = [event for event in running.told.events if event["event"] == "message"]
        short = peer.keys.real.public.hex()[:8]
        assert [event["text"] for event in told] == [f"{short}: hello", f"* {short} waves"]
        assert [event["line"] for event in told] == ["hello", "waves"]
        assert [event["is_action"] for event in told] == [False, True]

    def test_messages_that_nobody_may_send_end_nothing(self, echo: tuple[Running, Peer]) -> None:
        """Empty ones, and those that are longer because they are not UTF-8."""
        _, peer = echo
        texts = (b"", b"\xff" * 1372, b"x" * 1371 + b"\xff", b"hello")
        outgoing = peer.node.friends.all[peer.friend].session.outgoing
        for text in texts:
            peer.runner.call(lambda now, text=text: outgoing.send(p.FRIEND.encode(p.Message(text))))
        wait_for("echo", lambda: len(peer.messages) == 3)
        assert [text for text, _ in peer.messages] == ["\ufffd" * 457, "x" * 1371, "hello"]

    def test_a_friend_faster_than_its_echo_gets_all_of_it(
        self, echo: tuple[Running, Peer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, peer = echo
        monkeypatch.setattr(tox_listening, "_MOST", 1)
        for number in range(100):
            peer.runner.call(lambda now, text=f"{number}": peer.node.send_message(peer.friend, text, now))
        wait_for("echo", lambda: len(peer.messages) == 100)
        assert [text for text, _ in peer.messages] == [f"{number}" for number in range(100)]

    def test_packets_come_back(self, echo: tuple[Running, Peer]) -> None:
        running, peer = echo
        sent = [b"\xa5lossless", b"\xc8lossy"]
        for data in sent:
            peer.runner.call(partial(peer.node.send, peer.friend, data))
        wait_for("echo", lambda: sorted(peer.packets) == sent)
        told = [event for event in running.told.events if event["event"] == "packet"]
        assert [(event["id"], bytes.fromhex(event["hex"])) for event in told] == [(165, b"lossless"), (200, b"lossy")]

    def test_a_pipe_comes_back_with_its_end(self, echo: tuple[Running, Peer]) -> None:
        running, peer = echo
        data = os.urandom(200_000)
        peer.send(*cut(data)[:-1], END)
        wait_for("end", lambda: END in peer.packets)
        assert peer.stream == data
        assert peer.packets[-2:] == [WRITTEN, END]
        peer.send(WRITTEN)
        assert running.told.event("stream")["size"] == len(data)

    def test_each_friend_has_an_echo_of_its_own(self, ends: Ends, echo: tuple[Running, Peer]) -> None:
        running, peer = echo
        other, stranger = ends.peer("c"), ends.peer("d")
        for one in (other, stranger):
            one.meet(ends.keys("a"), running.address)
        wait_for("session", lambda: other.is_online)
        other.send(DATA + b"of c")
        peer.send(DATA + b"of b")
        wait_for("echo", lambda: peer.stream == b"of b" and other.stream == b"of c")
        assert not stranger.is_online

    def test_it_is_told_who_comes_and_goes(self, echo: tuple[Running, Peer]) -> None:
        running, peer = echo
        peer.leave()
        told = running.told.event("offline")
        assert (told["friend"], told["reason"]) == (peer.keys.real.public.hex(), "said")

    def test_a_friend_that_takes_nothing_has_to_come_again(
        self, ends: Ends, echo: tuple[Running, Peer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Meanwhile nobody is heard."""
        running, peer = echo
        monkeypatch.setattr(tox_listening, "_MOST", 10)
        monkeypatch.setattr(tox_listening, "_STUCK", 1.0)
        monkeypatch.setattr(tox_listening, "_AWAY", 2.0)
        monkeypatch.setattr(tox_listening.Echo, "send", lambda echo, now: None)
        peer.send(*[DATA] * 20)
        assert running.told.event("warning")["reason"] == "stuck"
        wait_for("goodbye", lambda: FriendOffline(peer.friend, OfflineReason.SAID) in peer.take())
        monkeypatch.undo()
        again = ends.peer("c")
        again.meet(ends.keys("a"), running.address)
        wait_for("session", lambda: again.is_online)
        again.send(DATA + b"heard")
        wait_for("echo", lambda: again.stream == b"heard")
        wait_for("session", lambda: peer.is_online)


class TestRelay:
    @pytest.fixture
    def relay(self, ends: Ends) -> tuple[Command, str]:
        """A relay, and what its users give."""
        command = ends.start("relay", "--bind", f"{HERE}:0", "--key", ends.folder / "relay", "--json")
        started = json.loads(command.wait_for("\n").splitlines()[0])
        assert started["public_key"] == ends.keys("relay").dht.public.hex()
        name = f"{started['public_key']}@{HERE}:{started['port']}"
        assert started["command"] == f"--relay {name}"
        return command, name

    def test_two_pipes_meet_there(self, ends: Ends, relay: tuple[Command, str]) -> None:
        """As users have it: files go both ways through three processes."""
        server, name = relay
        data = {name: os.urandom(50_000) for name in "ab"}
        commands = {}
        names = {name: ends.keys(name).name for name in "ab"}
        for one, other in ("ab", "ba"):
            key = "--key", ends.folder / one
            commands[one] = ends.start("pipe", names[other], *key, "--relay", name, stdin=data[one])
        results = {name: command.wait() for name, command in commands.items()}
        assert [result.code for result in results.values()] == [0, 0], results["a"].err + results["b"].err
        assert commands["a"].output == data["b"]
        assert commands["b"].output == data["a"]
        assert "Our input is over, and written by the other end: 50,000 bytes." in results["a"].err
        server.signal(signal.SIGINT)
        result = server.wait()
        assert result.code == 0
        assert result.events[-1]["event"] == "stopped"
        keys = {ends.keys(name).dht.public.hex() for name in "ab"}
        assert {event["dht_key"] for event in result.events if event["event"] == "joined"} == keys
        assert {event["dht_key"] for event in result.events if event["event"] == "left"} == keys

    def test_it_is_told_that_a_client_expects_another_key(self, ends: Ends, relay: tuple[Command, str]) -> None:
        server, name = relay
        other = ends.keys("other").dht.public.hex()
        self.echo(ends, f"{other}@{name.partition('@')[2]}")
        lines = server.wait_for("other_key").splitlines()
        (warning,) = (told for told in map(json.loads, lines) if told["event"] == "warning")
        assert warning["reason"] == "other_key"
        server.signal(signal.SIGINT)
        assert server.wait().events[-1]["dropped"]["bad hello"] >= 1

    def test_a_port_that_is_taken(self, ends: Ends, capfd: pytest.CaptureFixture[str]) -> None:
        with socket.create_server((HERE, 0)) as taken:
            place = f"{HERE}:{taken.getsockname()[1]}"
            assert run_command(["tox", "relay", "--bind", place, "--key", str(ends.folder / "key")]) == 6
        assert "--bind" in capfd.readouterr().err

    def echo(self, ends: Ends, name: str) -> Told:
        """What an echo tells that uses this relay."""
        running = Running(ends, "a", (name,))
        friends = [Friend(ends.keys("b").real.public, ends.keys("b").dht.public)]
        running.begin(lambda meeting, runner, check: Listening(meeting, runner, friends).run(check))
        return running.told

    def test_a_relay_that_is_lost_and_found_again(self, ends: Ends) -> None:
        keys = ends.keys("relay")
        public = keys.dht.public.hex()
        with run_relay(keys, 0) as port:
            told = self.echo(ends, f"{public}@{HERE}:{port}")
            event = told.event("relay_connected")
            assert (event["relay"], event["address"]) == (public, f"{HERE}:{port}")
        event = told.event("relay_lost")
        assert (event["relay"], event["address"], event["reason"]) == (public, f"{HERE}:{port}", "lost")
        assert "does not answer" in event["text"]
        with run_relay(keys, port):
            wait_for("relay", lambda: told.names.count("relay_connected") == 2)

    def test_a_relay_with_another_key(self, ends: Ends) -> None:
        with run_relay(ends.keys("relay"), 0) as port:
            event = self.echo(ends, f"{ends.keys('other').dht.public.hex()}@{HERE}:{port}").event("relay_lost")
        assert "does not have the key" in event["text"]
        assert event["reason"] == "bad_hello"

    def test_no_relay(self, ends: Ends) -> None:
        with socket.socket() as held:
            held.bind((HERE, 0))
            name = f"{ends.keys('other').dht.public.hex()}@{HERE}:{held.getsockname()[1]}"
            event = self.echo(ends, name).event("relay_lost")
        assert "does not answer" in event["text"]
        assert event["reason"] == "unreachable"


@contextmanager
def run_relay(keys: Keys, port: int) -> Iterator[int]:
    server = RelayServer(private_key=keys.dht.secret, entropy=system_entropy)
    with run(server, listen={RELAY_PORT: (HERE, port)}) as runner:
        yield runner.addresses[RELAY_PORT].port


class TestProcess:
    """A pipe as a process, which the test's own node meets."""

    def pipe(self, ends: Ends, *arguments: object) -> Command:
        key, name = ends.folder / "a", ends.keys("b").name
        ends.keys("a")
        return ends.start("pipe", name, "--key", key, "--bind", f"{HERE}:0", *arguments, stdin=None)

    def test_json(self, ends: Ends) -> None:
        command, peer = self.pipe(ends, "--json"), ends.peer("b")
        started = json.loads(command.wait_for("\n"))
        assert started["event"] == "started"
        assert (started["real_key"], started["dht_key"]) == tuple(ends.keys("a").name.split(":"))
        peer.meet(ends.keys("a"), started["address"])
        command.wait_for('"connected"')
        command.type("typed")
        peer.send(DATA + b"text", DATA + b"\xff\xfe", END)
        wait_for("stream", lambda: peer.stream == b"typed\n")
        command.end_input()
        wait_for("end", lambda: END in peer.packets)
        peer.send(WRITTEN)
        result = command.wait()
        assert result.code == 0
        messages = [event for event in result.events if event["event"] == "message"]
        assert messages == [
            {"event": "message", "hex": b"text".hex(), "line": "text"},
            {"event": "message", "hex": "fffe"},
        ]
        assert result.event("finished") == {"event": "finished", "sent": 6, "received": 6}
        assert result.event("progress").keys() == {"event", "done", "size", "rate", "seconds_left"}

    def test_ctrl_c_says_goodbye_and_what_arrived(self, ends: Ends) -> None:
        command, peer = self.pipe(ends, "--json"), ends.peer("b")
        peer.meet(ends.keys("a"), json.loads(command.wait_for("\n"))["address"])
        command.wait_for('"connected"')
        command.type("seven")
        command.wait_for('"progress"')
        command.signal(signal.SIGINT)
        result = command.wait()
        assert result.code == 130
        assert result.event("cut") == {"event": "cut", "reason": "interrupted", "sent": 6, "arrived": 6, "received": 0}
        wait_for("goodbye", lambda: FriendOffline(peer.friend, OfflineReason.SAID) in peer.take())

    def test_one_end_is_killed_and_comes_back(self, ends: Ends) -> None:
        command, peer = self.pipe(ends), ends.peer("b")
        wait_for("start", lambda: "We are at" in command.errors)
        peer.meet(ends.keys("a"), re.findall(r"at (\S+),", command.errors)[0])
        command.type("before")
        wait_for("stream", lambda: peer.stream == b"before\n")
        peer.vanish()
        again = ends.peer("b")
        again.meet(ends.keys("a"), re.findall(r"at (\S+),", command.errors)[0])
        result = command.wait()
        assert result.code == 7
        assert "The other end has restarted: " in result.err.splitlines()[-1]
        assert result.out == ""

    def test_an_echo_ends_well(self, ends: Ends) -> None:
        ends.keys("a")
        arguments = "--key", ends.folder / "a", "--friend", ends.keys("b").name, "--bind", f"{HERE}:0", "--json"
        command = ends.start("listen", *arguments)
        command.wait_for("\n")
        command.signal(signal.SIGTERM)
        result = command.wait()
        assert result.code == 0
        assert [event["event"] for event in result.events] == ["started", "stopped"]

    def test_echoes_without_a_port_have_one_of_their_own_each(self, ends: Ends) -> None:
        ends.keys("a")
        arguments = "--key", ends.folder / "a", "--friend", ends.keys("b").name, "--bind", HERE, "--json"
        commands = [ends.start("listen", *arguments) for _ in range(2)]
        places = {json.loads(command.wait_for("\n").splitlines()[0])["address"] for command in commands}
        for command in commands:
            command.signal(signal.SIGTERM)
            assert command.wait().code == 0
        assert len(places) == 2
        assert all(place.startswith(f"{HERE}:") and not place.endswith(":0") for place in places)


class TestKey:
    def test_made_once_for_its_owner_alone(self, ends: Ends, capfd: pytest.CaptureFixture[str]) -> None:
        file = ends.folder / "new"
        assert run_command(["tox", "key", str(file)]) == 0
        assert capfd.readouterr().out == f"{ends.keys('new').name}\n"
        assert run_command(["tox", "key", str(file), "--json"]) == 0
        real, dht = ends.keys("new").name.split(":")
        told = json.loads(capfd.readouterr().out)
        assert told == {"event": "key", "real_key": real, "dht_key": dht, "made": False}
        secrets = [bytes.fromhex(line) for line in file.read_text().split()]  # so docs/howto/tox.rst says
        assert [KeyPair.of(secret).public.hex() for secret in secrets] == [real, dht]
        assert file.stat().st_mode & 0o777 == 0o600

    def test_one_that_others_can_read_is_used_with_a_warning(
        self, ends: Ends, capfd: pytest.CaptureFixture[str]
    ) -> None:
        ends.keys("open")
        (ends.folder / "open").chmod(0o644)
        assert run_command(["tox", "key", str(ends.folder / "open")]) == 0
        assert "chmod 600" in capfd.readouterr().err

    @pytest.mark.parametrize("data", ["", "00" * 32, "00" * 64, "00" * 32 + "\nzz" * 32, "00" * 32 + "\n" + "00" * 31])
    def test_a_file_that_holds_none_is_left_alone(
        self, ends: Ends, data: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        file = ends.folder / "other"
        file.write_text(data)
        assert run_command(["tox", "key", str(file)]) == 9
        assert "does not hold a key of Tox" in capfd.readouterr().err
        assert file.read_text() == data

    def test_no_secret_is_shown(self, ends: Ends) -> None:
        keys = ends.keys("a")
        assert keys.real.secret.hex() not in repr(keys).replace("\\x", "")
        assert repr(keys.real.secret) not in repr(keys)
        assert repr(keys.dht.secret) not in repr(keys)


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((), "No meeting place is named"),
            (("--to", "127.0.0.1"), "HOST:PORT"),
            (("--to", "127.0.0.1:0"), "HOST:PORT"),
            (("--bind", "127.0.0.1:65536"), "HOST:PORT"),
            (("--relay", "127.0.0.1:7000"), "PUBLICKEY@HOST:PORT"),
            (("--relay", "00@127.0.0.1:7000"), "64 digits"),
            (("--relay", "00" * 32 + "@127.0.0.1:7000"), "64 digits"),
            (("--relay", "09" * 32 + "@127.0.0.1"), "HOST:PORT"),
            (("--timeout", "-1", "--bind", ":0"), "--timeout"),
        ],
    )
    def test_wrong(self, ends: Ends, arguments: tuple[str, ...], words: str, capfd: pytest.CaptureFixture[str]) -> None:
        ends.keys("a")
        line = ["tox", "pipe", ends.keys("b").name, "--key", str(ends.folder / "a"), *arguments]
        assert run_command(line) == 2
        assert words in capfd.readouterr().err

    @pytest.mark.parametrize(
        ("friend", "words"),
        [
            ("", "REAL:DHT"),
            ("00" * 32, "REAL:DHT"),
            ("09" * 32 + ":09", "64 digits"),
            ("09" * 32 + ":" + "00" * 32, "64 digits"),
            ("00" * 32 + ":" + "09" * 32, "64 digits"),
        ],
    )
    @pytest.mark.parametrize("command", [("pipe",), ("listen", "--friend")])
    def test_no_friend(
        self,
        ends: Ends,
        command: tuple[str, ...],
        friend: str,
        words: str,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        ends.keys("a")
        assert run_command(["tox", *command, friend, "--key", str(ends.folder / "a"), "--bind", ":0"]) == 2
        assert words in capfd.readouterr().err

    @pytest.mark.parametrize("command", [("pipe",), ("listen", "--friend")])
    def test_our_own_key(self, ends: Ends, command: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
        name = ends.keys("a").name
        assert run_command(["tox", *command, name, "--key", str(ends.folder / "a"), "--bind", ":0"]) == 2
        assert "own key" in capfd.readouterr().err

    @pytest.mark.parametrize("command", [("pipe",), ("listen", "--friend")])
    def test_a_port_that_is_named_and_taken(
        self, ends: Ends, command: tuple[str, ...], capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Others were told of this one: no other is taken instead."""
        ends.keys("a")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind((HERE, 0))
            place = f"{HERE}:{taken.getsockname()[1]}"
            line = ["tox", *command, ends.keys("b").name, "--key", str(ends.folder / "a"), "--bind", place]
            assert run_command(line) == 6
        assert "--bind" in capfd.readouterr().err

    def test_an_echo_that_nobody_can_find(self, ends: Ends, capfd: pytest.CaptureFixture[str]) -> None:
        friend = ends.keys("b").name
        assert run_command(["tox", "listen", "--friend", friend, "--key", str(ends.folder / "b")]) == 2
        assert run_command(["tox", "listen", "--friend", ends.keys("a").name, "--key", str(ends.folder / "b")]) == 2
        assert "No meeting place is named" in capfd.readouterr().err

    def test_no_key(self, ends: Ends, capfd: pytest.CaptureFixture[str]) -> None:
        line = ["tox", "pipe", ends.keys("b").name, "--key", str(ends.folder / "none"), "--bind", ":0"]
        assert run_command(line) == 9
        assert f"sansproto tox key {ends.folder / 'none'}" in capfd.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (("--bind", "192.0.2.1:0"), 6, "--bind"),
            (("--to", "nowhere.invalid:7000"), 3, "nowhere.invalid"),
            (("--relay", "09" * 32 + "@nowhere.invalid:7000"), 3, "nowhere.invalid"),
        ],
    )
    def test_an_address_that_is_none(
        self, ends: Ends, arguments: tuple[str, ...], code: int, words: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        ends.keys("a")
        line = ["tox", "pipe", ends.keys("b").name, "--key", str(ends.folder / "a"), *arguments]
        assert run_command(line) == code
        assert words in capfd.readouterr().err.splitlines()[-1]

    def test_too_many_relays(self, ends: Ends, capfd: pytest.CaptureFixture[str]) -> None:
        ends.keys("a")
        relays = [f"--relay={number + 9:02x}{'09' * 31}@{HERE}:1" for number in range(33)]
        assert run_command(["tox", "pipe", ends.keys("b").name, "--key", str(ends.folder / "a"), *relays]) == 2
        assert "too many relays" in capfd.readouterr().err


class TestDocuments:
    def test_each_line_of_json_is_in_the_readme(self) -> None:
        told = set()
        for file in (CLI / "src" / "sansproto_cli").glob("tox_*.py"):
            told |= set(re.findall(r"\.(?:tell|command)\(\s*\"(\w+)\"", file.read_text("utf-8")))
        assert {"finished", "relay_started", "stuck"} - told == {"stuck"}
        listed = set(re.findall(r"`(\w+)`", (CLI / "README.md").read_text("utf-8")))
        assert told <= listed


class TestDemo:
    def test_one_way_after_the_other_fails_and_the_stream_arrives(self) -> None:
        shown = StringIO()
        show_tox(Console(file=shown, width=200))
        to = "\N{RIGHTWARDS ARROW}"
        first, second = ("relay 1", "relay 2") if f"UDP {to} relay 1" in shown.getvalue() else ("relay 2", "relay 1")
        unproved, closed = (
            "a way was left: nothing is shown to arrive by it",
            "a relay was left: the friend is not linked",
        )
        story = [
            *("The sender calls", "CookieRequest", "CookieResponse", "Handshake"),
            *("A stream begins", "by UDP", "UDP is cut", "nobody"),
            *(f"sender: UDP {to} {first}: {unproved}", f"by {first}"),
            *(f"{first.capitalize()} freezes", f"by {first}"),
            *(f"sender: {first} {to} {second}: {unproved}", f"by {second}"),
            *(f"{second} is killed", f"sender: {second} {to} {first}: {closed}"),
            *(f"by {first}", "It is started again", f"by {first}", "once and in order"),
        ]
        at = 0
        for told in story:
            assert told in shown.getvalue()[at:], shown.getvalue()
            at = shown.getvalue().index(told, at) + len(told)

    def test_it_fails_if_nothing_comes_by_the_relay(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cut = demo_tox._Timeline.cut

        def lose_patience(timeline: demo_tox._Timeline) -> None:
            cut(timeline)
            monkeypatch.setattr(demo_tox, "_PATIENCE", 2.0)
            monkeypatch.setattr(demo_tox._TappedNode, "relay_heard", lambda *_: None)

        monkeypatch.setattr(demo_tox._Timeline, "cut", lose_patience)
        with pytest.raises(CommandFailed, match="another way") as failure:
            show_tox(Console(file=StringIO()))
        assert failure.value.code is Exit.BUG

    def test_it_fails_if_another_stream_arrives(self, monkeypatch: pytest.MonkeyPatch) -> None:
        take = demo_tox._Receiver.take

        def change(receiver: demo_tox._Receiver, event: ToxEvent) -> None:
            take(receiver, CustomReceived(b"", event.data[::-1]) if isinstance(event, CustomReceived) else event)

        monkeypatch.setattr(demo_tox._Receiver, "take", change)
        with pytest.raises(CommandFailed, match="differ") as failure:
            show_tox(Console(file=StringIO()))
        assert failure.value.code is Exit.BUG
