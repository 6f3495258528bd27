"""The recovery part of the demo: two ends of a session; one is killed, starts again, and is found by the other."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from rich.console import Console

import sansproto_sockets
from sansproto import contract
from sansproto.egtp import (
    EgtpEvent,
    EgtpNode,
    Established,
    KeyPair,
    MessageReceived,
    NodeDelays,
    Reason,
    RecoveryConfig,
    RecoveryDelays,
)
from sansproto.recovery import Kind, Opened, Sealed
from sansproto_sockets import system_entropy, wall_epoch

from .addresses import LOOPBACK, format_address, parse_bound
from .egtp_keys import read_key
from .egtp_piping import SOCKET
from .exits import CommandFailed, Exit
from .line import Runner
from .stage import print_packet, require, say

_TICK = 0.01
_PAUSE = 0.3  # seconds between two lines
_PATIENCE = 20.0  # seconds, for a busy machine
_PATIENT: Final = RecoveryConfig(direct=RecoveryDelays(dead=30.0, dead_min=30.0, probe=30.0, hint_min=30.0))
"""By default 2 s of silence are enough to call, and a slow start of the other end takes more: hints are to be seen."""
_NAMES: Final = {0x08: "H1", 0x09: "H2", 0x0A: "CH", 0x0B: "DATA", 0x0C: "HINT"}
_STYLES: Final = {"survivor": "green", "other": "magenta", "nobody": "red"}
_CALL: Final = "The survivor calls. After two packets each knows the other by its key, and lines pass both ways."
_KILLED: Final = "The other end is killed. It could not say goodbye, and what is said now is lost."
_BACK: Final = "It starts again, with its key and its address. The session is gone, and it cannot read what comes."
_HINT: Final = "It says so, with a token that nobody else can make: the survivor believes it, and shakes hands anew."
_AGAIN: Final = "Lines pass again, both ways."


def show_recovery(console: Console) -> None:
    """Raises CommandFailed if the two do not find each other again."""
    keys = KeyPair.of(system_entropy(32, purpose="key"))
    timeline = _Timeline(console)
    with tempfile.TemporaryDirectory(prefix="sansproto-demo-") as folder:
        key = Path(folder, "other.key")
        other, _ = read_key(key, make=True)
        node = _TappedNode(
            private_key=keys.private,
            entropy=system_entropy,
            wall_epoch=wall_epoch(),
            only=(other.public,),
            delays=NodeDelays(farewell=0.2),
            recovery=_PATIENT,
        )
        node.watch(timeline.tell_packet)
        with sansproto_sockets.run(node, sockets={SOCKET: (LOOPBACK, 0)}) as runner:
            at = format_address(LOOPBACK, runner.addresses[SOCKET].port)
            timeline.introduce("survivor", f"on plain sockets, at {at}")
            survivor = _Survivor(node, other.public, runner)
            _act(survivor, timeline, (keys.public.hex(), "--key", str(key)))


def _act(survivor: _Survivor, timeline: _Timeline, arguments: tuple[str, ...]) -> None:
    """Each step waits until what it tells has happened."""
    with _pipe(*arguments, "--bind", f"{LOOPBACK}:0") as first:
        survivor.wait_for("the other end", first, lambda: bool(first.address))
        address = first.address
        timeline.introduce("other", f"a process of its own, sansproto egtp pipe, at {address}")
        timeline.begin(_CALL)
        survivor.call(address)
        survivor.wait_for("a session", first, lambda: bool(survivor.reasons))
        survivor.talk(first)
        first.kill()
    timeline.begin(_KILLED)
    timeline.receiver = "nobody"
    killed = time.monotonic()
    lost = survivor.said + 2
    survivor.say_until("two lines to be lost", first, lambda: survivor.said >= lost)
    with _pipe(*arguments, "--bind", address) as second:
        survivor.wait_for("the other end to start again", second, lambda: bool(second.address))
        timeline.receiver = "other"
        timeline.begin(_BACK)
        back = time.monotonic()
        survivor.say_until("the survivor to notice the restart", second, lambda: Reason.RESTART in survivor.reasons)
        noticed = time.monotonic()
        timeline.begin(_AGAIN)
        survivor.talk(second)
        survivor.leave()
        survivor.wait_for("the other end to hear the goodbye", second, lambda: second.is_over)
    said, heard = survivor.said, len(first.heard) + len(second.heard)
    timeline.conclude(
        f"{back - killed:.1f} s after it was killed the other end was back. The survivor knew "
        f"{(noticed - back) * 1000:.0f} ms later. Of {said} lines {said - heard} were lost."
    )


class _TappedNode(EgtpNode):
    """Tells of every datagram that it sends or receives, and of what is sealed in it."""

    def watch(self, tell: Callable[[bytes, str, bool], None]) -> None:
        self._tell = tell
        self._sealed: dict[bytes, str] = {}
        self._opened = ""

    def seal(self, sid: bytes, counter: int, kind: Kind, body: bytes) -> bytes:
        packet = super().seal(sid, counter, kind, body)
        self._sealed[packet] = _words(kind, body)
        return packet

    def read(self, packet: Sealed, clear: bytes) -> Opened:
        opened = super().read(packet, clear)
        self._opened = _words(opened.kind, opened.body)
        return opened

    def next_transmit(self) -> contract.Transmit | None:
        transmit = super().next_transmit()
        if isinstance(transmit, contract.SendDatagram):
            self._tell(transmit.data, self._sealed.pop(transmit.data, ""), True)
        return transmit

    def receive_datagram(self, data: bytes, path: contract.Path, now: float) -> None:
        self._opened = ""
        super().receive_datagram(data, path, now)
        self._tell(data, self._opened, False)


def _words(kind: Kind, body: bytes) -> str:
    return f'"{body.decode().rstrip()}"' if kind is Kind.APP else kind.name.lower()


class _Survivor:
    """The end that runs all the time, in the thread of the demo."""

    def __init__(self, node: EgtpNode, peer: bytes, runner: Runner[EgtpEvent]) -> None:
        self._node, self._peer, self._runner = node, peer, runner
        self.said = 0
        self.heard: list[str] = []
        self.reasons: list[Reason] = []
        """For which there were sessions."""

    def call(self, address: str) -> None:
        path = contract.Path(SOCKET, *parse_bound(address, "peer", address))
        self._runner.call(lambda now: self._node.connect(self._peer, path, now))

    def talk(self, other: _Pipe) -> None:
        """A line that is heard, and an answer to it."""
        known = len(other.heard)
        self.say_until("a line to arrive", other, lambda: len(other.heard) > known)
        answer = f"I have heard {other.heard[known]}"
        other.type(answer)
        self.wait_for("an answer to arrive", other, lambda: answer in self.heard)

    def leave(self) -> None:
        self._runner.call(lambda now: self._node.disconnect(self._peer, now))

    def say_until(self, what: str, other: _Pipe, happened: Callable[[], bool]) -> None:
        """Lines with pauses: one that the other end cannot read is lost."""
        deadline = time.monotonic() + _PATIENCE
        while not happened():
            require(what, time.monotonic() < deadline)
            self._say_line()
            self._rest(other, happened)

    def wait_for(self, what: str, other: _Pipe, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not happened():
            other.check()
            require(what, time.monotonic() < deadline)
            with suppress(TimeoutError):
                self._take(self._runner.next_event(timeout=_TICK))

    def _say_line(self) -> None:
        self.said += 1
        line = f"line {self.said}\n".encode()
        self._runner.call(lambda now: self._node.send(self._peer, line, now))

    def _rest(self, other: _Pipe, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + _PAUSE
        self.wait_for("the end of a pause", other, lambda: happened() or time.monotonic() >= end)

    def _take(self, event: EgtpEvent) -> None:
        match event:
            case Established(reason=reason):
                self.reasons.append(reason)
            case MessageReceived(_, data):
                self.heard.append(data.decode().rstrip())


class _Pipe:
    """``sansproto egtp pipe`` in a process of its own: what it told so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = ""
        self.heard: list[str] = []
        self.is_over = False
        self._failure = ""
        self._reader = threading.Thread(target=self._read, name="other end", daemon=True)
        self._reader.start()

    def type(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # why it ended, it has told
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._reader.join()

    def check(self) -> None:
        """CommandFailed if it failed."""
        if self._failure:
            raise CommandFailed(Exit.BUG, f"The other end of the demo failed: {self._failure}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(ValueError):  # it was killed in the middle of a line
                self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        match told["event"]:
            case "started":
                self.address = told["address"]
            case "message":
                self.heard.append(told["line"].rstrip())
            case "finished":
                self.is_over = True
            case "failed":
                self._failure = told["message"]


@contextmanager
def _pipe(*arguments: str) -> Iterator[_Pipe]:
    command = [sys.executable, "-m", "sansproto_cli", "egtp", "pipe", *arguments, "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        pipe = _Pipe(process)
        try:
            yield pipe
        finally:
            pipe.kill()


class _Timeline:
    """Prints what happens when it does."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._was_hinted = False
        self.receiver = "other"
        """Who gets what the survivor sends."""

    def introduce(self, end: str, text: str) -> None:
        say(self._console, f"{end:<8}  {text}", _STYLES[end])

    def begin(self, chapter: str) -> None:
        say(self._console, "\n" + chapter)

    def tell_packet(self, data: bytes, words: str, is_sent: bool) -> None:
        name = _NAMES[data[0]]
        if name == "HINT" and not self._was_hinted:
            self._was_hinted = True
            self.begin(_HINT)
        ends = ("survivor", self.receiver) if is_sent else ("other", "survivor")
        fields = words or f"{len(data)} bytes"
        print_packet(self._console, time.monotonic() - self._began, ends, name, fields, _STYLES)

    def conclude(self, text: str) -> None:
        say(self._console, f"\n{text} {time.monotonic() - self._began:.1f} s in all.", "bold")
