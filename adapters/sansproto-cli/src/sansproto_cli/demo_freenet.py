"""The Freenet part of the demo: a joiner restarts with another identity at its address; before that, somebody lies."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Final

from rich.console import Console

import sansproto_sockets
from sansproto.contract import Path
from sansproto.freenet import Connected, FreenetEvent, FreenetGateway, FreenetPeer, MessageReceived, PeerLost
from sansproto.freenet.crypto import seal_intro
from sansproto.freenet.packets import IntroBody
from sansproto.trace import PacketSeen, TraceRecord
from sansproto_sockets import system_entropy

from .addresses import LOOPBACK
from .freenet_serving import SOCKET
from .stage import print_packet, require, say

_TICK = 0.002
_PATIENCE = 20.0  # seconds, for a busy machine
_STYLES: Final = {"gateway": "cyan", "joiner": "green", "newcomer": "magenta", "liar": "red", "nobody": "red"}
_JOIN: Final = "The joiner knows the gateway's key. After two packets there is a session, and a line comes back."
_LIE: Final = (
    "A liar asks for a session in the joiner's name: a valid intro, with its address. The gateway asks who is there, "
    "and the joiner answers. Its session stays."
)
_KILLED: Final = (
    "The joiner is killed, and starts again at its address with another identity. It is let in at once; the gateway "
    "asks the old session once more, and nobody answers."
)


def show_freenet(console: Console) -> None:
    """Raises CommandFailed unless the newcomer is let in and the old session ends."""
    timeline = _Timeline(console)
    with ExitStack() as stack:
        core = FreenetGateway(private_key=_secret(), entropy=system_entropy, trace=timeline.tap("gateway"))
        gateway = _End(core, 0, stack)
        timeline.introduce("gateway", f"on plain sockets, at {LOOPBACK}:{gateway.port}")
        with ExitStack() as first:
            timeline.begin(_JOIN, "joiner")
            joiner = _joiner("joiner", 0, gateway, timeline, first)
            _talk(gateway, joiner, "line 1")
            timeline.begin(_LIE, "joiner")
            _play_liar(core, joiner, timeline)
            _wait_for("an answer", (gateway, joiner), lambda: timeline.seen["joiner", "Pong"])
            _talk(gateway, joiner, "line 2")
            first.pop_all()  # killed: no farewell
            joiner.kill()
        timeline.begin(_KILLED, "newcomer")
        begun = time.monotonic()
        newcomer = _joiner("newcomer", joiner.port, gateway, timeline, stack)
        _talk(gateway, newcomer, "line 3")
        let_in = time.monotonic()
        _wait_for("the old session to end", (gateway, newcomer), lambda: gateway.of(PeerLost))
        lost = time.monotonic()
        sessions = core.sessions
        require("one session to be left", [*sessions] == [gateway.of(Connected)[-1].generation])
        left = ", ".join(map(str, sessions))
        timeline.conclude(
            f"The newcomer was in after {(let_in - begun) * 1000:.0f} ms. The old session ended {lost - let_in:.1f} s "
            f"later: the gateway has session {left} at {LOOPBACK}:{joiner.port}, and no other."
        )


def _secret() -> bytes:
    return system_entropy(32, purpose="key")


class _End:
    """One of the two, in the thread of the demo."""

    def __init__(self, core: Any, port: int, stack: ExitStack) -> None:
        self.core = core
        self.runner = sansproto_sockets.run(core, sockets={SOCKET: (LOOPBACK, port)})
        stack.enter_context(self.runner)
        self.port = self.runner.addresses[SOCKET].port
        self.events: list[FreenetEvent] = []

    def turn(self) -> None:
        self.runner.run_once(0)
        with suppress(TimeoutError):
            while True:
                self.events.append(self.runner.next_event(timeout=0))

    def kill(self) -> None:
        self.runner.abort()
        self.runner.__exit__(None, None, None)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def say(self, session: int, line: bytes) -> None:
        self.runner.call(lambda now: self.core.send(session, line, now))


def _joiner(name: str, port: int, gateway: _End, timeline: _Timeline, stack: ExitStack) -> _End:
    core = FreenetPeer(private_key=_secret(), entropy=system_entropy, trace=timeline.tap(name))
    end = _End(core, port, stack)
    timeline.introduce(name, f"at {LOOPBACK}:{end.port}, as {core.public_key.hex()[:8]}")
    path = Path(SOCKET, LOOPBACK, gateway.port)
    end.runner.call(lambda now: core.connect(gateway.core.public_key, path, now, gateway=True))
    return end


def _play_liar(core: FreenetGateway, joiner: _End, timeline: _Timeline) -> None:
    """What it sends is given to the gateway: the loopback lets nobody lie about an address."""
    intro = seal_intro(core.public_key, _secret(), IntroBody(core.version.wire, system_entropy(16, purpose="key")))
    timeline.tell("liar", "gateway", "Intro", len(intro))
    core.receive_datagram(intro, Path(SOCKET, LOOPBACK, joiner.port), time.monotonic())


def _talk(gateway: _End, joiner: _End, line: str) -> None:
    """A line that is heard, and sent back."""
    ends, known = (gateway, joiner), len(gateway.of(MessageReceived))
    _wait_for("a session", ends, lambda: joiner.of(Connected))
    joiner.say(joiner.of(Connected)[-1].generation, line.encode())
    _wait_for("a line to arrive", ends, lambda: len(gateway.of(MessageReceived)) > known)
    heard = gateway.of(MessageReceived)[-1]
    gateway.say(heard.generation, heard.data)
    _wait_for("the line to come back", ends, lambda: line.encode() in [one.data for one in joiner.of(MessageReceived)])


def _wait_for(what: str, ends: tuple[_End, ...], happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not happened():
        require(what, time.monotonic() < deadline)
        for end in ends:
            end.turn()
        time.sleep(_TICK)


class _Timeline:
    """Prints what happens when it does."""

    def __init__(self, console: Console) -> None:
        self._console, self._began, self._there = console, time.monotonic(), "joiner"
        self.seen: Counter[tuple[str, str]] = Counter()
        """Packets, by who sent them and their name."""

    def introduce(self, name: str, text: str) -> None:
        say(self._console, f"{name:>8}  {text}", _STYLES[name])

    def begin(self, chapter: str, there: str) -> None:
        """``there`` is who gets what goes to the joiner's address."""
        self._there = there
        say(self._console, f"\n{chapter}\n")

    def conclude(self, text: str) -> None:
        say(self._console, f"\n{text}", "bold")

    def tap(self, name: str) -> Callable[[TraceRecord], None]:
        """A trace that tells of each packet that this end sends."""

        def tell(record: TraceRecord) -> None:
            if isinstance(record, PacketSeen) and record.sent:
                self.tell(name, self._there if name == "gateway" else "gateway", record.name, record.size)

        return tell

    def tell(self, source: str, target: str, packet: str, size: int) -> None:
        self.seen[source, packet] += 1
        seconds = time.monotonic() - self._began
        print_packet(self._console, seconds, (source, target), packet, f"{size} bytes", _STYLES)
