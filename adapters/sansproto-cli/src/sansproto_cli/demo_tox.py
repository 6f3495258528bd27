"""The Tox part of the demo: two friends, two relays, and a stream that goes on while one way after the other fails."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final, NamedTuple, Self

from rich.console import Console
from rich.filesize import decimal

import sansproto_asyncio
import sansproto_sockets
import sansproto_threads
from sansproto.contract import Path
from sansproto.testing.faulty_relay import FaultyRelay, black_hole
from sansproto.tox import (
    RELAY_PORT,
    CustomReceived,
    FriendOnline,
    NodeDelays,
    Relay,
    RelayConnected,
    ToxEvent,
    ToxNode,
)
from sansproto.tox.packets import DATAGRAM
from sansproto.tox.paths import Direct, Relayed, Several
from sansproto.tox.tracks import UDP
from sansproto.trace import Noted, TraceRecord
from sansproto_sockets import system_entropy, wall_epoch

from .addresses import LOOPBACK
from .exits import CommandFailed, Exit
from .line import Runner
from .stage import on_asyncio, print_packet, require, say
from .tox_meeting import SOCKET
from .tox_piping import DATA, PIECE, Outgoing

_PAUSE = 0.02  # seconds between two pieces of the stream
_FEW = 20 * PIECE  # bytes that arrive before the next thing happens
_PLACE: Final = {SOCKET: (LOOPBACK, 0)}
_TICK = 0.01
_PATIENCE = 20.0  # seconds, for a busy machine
_EVERY = 0.5  # seconds of data on one line
_DELAYS: Final = NodeDelays(farewell=0.1)
_NAMES: Final = {number: kind.__name__ for number, kind in DATAGRAM.packets.items()}
_STYLES: Final = {"sender": "green", "receiver": "magenta", "nobody": "red"}
_MEET: Final = "The sender calls, by UDP. After a cookie and two handshakes each knows the other by its key."
_STREAM: Final = "Both are at both relays, too. A stream begins, and goes by UDP."
_CUT: Final = "UDP is cut, without a sign: what is sent there is lost."
_FREEZE: Final = "Relay {} freezes: it takes what it is sent, answers pings, and passes nothing on."
_KILL: Final = "Relay {} passes packets on again, and relay {} is killed."
_BACK: Final = "It is started again, and both ends dial it by themselves."


def show_tox(console: Console) -> None:
    """Raises CommandFailed unless the stream arrives as it was sent."""
    timeline = _Timeline(console)
    with ExitStack() as stack:
        relays = [stack.enter_context(_Relay(number)) for number in (1, 2)]
        for relay in relays:
            timeline.introduce(relay.name, f"on asyncio, at {relay.relay.address}")
        timeline.names |= {relay.relay.key: relay.name for relay in relays}
        sender, receiver = _TappedNode("sender", timeline), _TappedNode("receiver", timeline)
        first = stack.enter_context(sansproto_threads.run(sender, sockets=_PLACE))
        second = stack.enter_context(sansproto_sockets.run(receiver, sockets=_PLACE))
        cable = stack.enter_context(_Cable(first.addresses[SOCKET].port, second.addresses[SOCKET].port))
        timeline.introduce("sender", f"on threads, at {first.addresses[SOCKET]}")
        timeline.introduce("receiver", f"on plain sockets, at {second.addresses[SOCKET]}")
        _Act(_Sender(sender, first), _Receiver(receiver, second), relays, cable, timeline).play()


class _Act:
    """What happens, one thing after the other."""

    def __init__(
        self, sender: _Sender, receiver: _Receiver, relays: list[_Relay], cable: _Cable, timeline: _Timeline
    ) -> None:
        self._sender, self._receiver, self._ends = sender, receiver, (sender, receiver)
        self._relays, self._cable, self._timeline = relays, cable, timeline

    def play(self) -> None:
        sender, receiver, timeline = self._sender, self._receiver, self._timeline
        timeline.begin(_MEET)
        receiver.meet(sender.node)
        sender.meet(receiver.node, self._cable.path)
        self._wait_for("a session", lambda: all(end.session for end in self._ends))
        for end in self._ends:
            for relay in self._relays:
                end.use(relay.relay)
        self._wait_for("the relays", lambda: all(len(end.node.links) == len(end.at_relays) == 2 for end in self._ends))
        timeline.begin(_STREAM)
        sender.begin(receiver.node.real_key)
        self._stream()

        self._cable.cut()
        timeline.cut()
        took = [f"{self._await_switch(UDP) * 1000:.0f} ms after UDP was cut"]
        frozen = next(one for one in self._relays if one.relay.key == sender.used)
        other = next(one for one in self._relays if one is not frozen)
        timeline.begin(_FREEZE.format(frozen.number))
        frozen.server.fault = black_hole()
        took.append(f"{self._await_switch(frozen.relay.key) * 1000:.0f} ms after {frozen.name} froze")
        timeline.begin(_KILL.format(frozen.number, other.number))
        frozen.server.fault = None
        for end in self._ends:
            end.at_relays.discard(other.relay.key)
        other.kill()
        took.append(f"{self._await_switch(other.relay.key) * 1000:.0f} ms after {other.name} was killed")
        timeline.begin(_BACK)
        other.restart()
        self._wait_for("the relay to be dialled", lambda: all(len(end.at_relays) == 2 for end in self._ends))

        sender.end()
        self._wait_for("the whole stream", lambda: len(receiver.data) >= len(sender.said))
        if receiver.data != sender.said:
            raise CommandFailed(Exit.BUG, "The two streams differ: this is a bug, please report it.")
        timeline.conclude(
            f"Another way was in use {', '.join(took)}. All {decimal(len(sender.said))} arrived, once and in order."
        )

    def _wait_for(self, what: str, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not happened():
            require(what, time.monotonic() < deadline)
            for end in self._ends:
                end.work()
            self._timeline.print_passed()

    def _stream(self) -> None:
        had = len(self._receiver.data)
        self._wait_for("a part of the stream", lambda: len(self._receiver.data) > had + _FEW)

    def _await_switch(self, old: bytes) -> float:
        """The sender leaves a way, and a part of the stream arrives by another one; how long the first took."""
        began = time.monotonic()
        self._wait_for("another way", lambda: self._sender.used not in (old, None))
        took = time.monotonic() - began
        self._stream()
        return took


class _Relay:
    """A relay, which can be killed and started again, with its key and its address."""

    def __init__(self, number: int) -> None:
        self.number, self.name = number, f"relay {number}"
        self._key, self._port, self._running = system_entropy(32, purpose="key"), 0, ExitStack()
        self._ending = threading.Thread()

    def start(self) -> None:
        self.server = FaultyRelay(private_key=self._key, entropy=system_entropy)
        running = on_asyncio(sansproto_asyncio.run(self.server, listen={RELAY_PORT: (LOOPBACK, self._port)}))
        bound = self._running.enter_context(running)[RELAY_PORT]
        self.relay, self._port = Relay(self.server.public_key, bound), bound.port

    def kill(self) -> None:
        """It waits for its clients to hang up, one of which is driven by this thread."""
        self._ending = threading.Thread(target=self._running.close, name="end of relay")
        self._ending.start()

    def restart(self) -> None:
        self._ending.join()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()


class _TappedNode(ToxNode):
    """Tells of every packet that it sends, by which way, and of every way that it leaves."""

    def __init__(self, name: str, timeline: _Timeline) -> None:
        super().__init__(
            real_key=system_entropy(32, purpose="key"),
            dht_key=system_entropy(32, purpose="key"),
            entropy=system_entropy,
            wall_epoch=wall_epoch(),
            delays=_DELAYS,
            trace=self._note,
        )
        self._name, self._timeline = name, timeline
        self._used: bytes | None = UDP  # the first one is taken without a remark

    @property
    def used(self) -> bytes | None:
        """The way in use to its one friend."""
        return next((friend.ways.used for friend in self.friends.all.values()), None)

    def put(self, way: Direct | Relayed | Several, data: bytes) -> None:
        super().put(way, data)
        if not isinstance(way, Several):  # its parts come here, too
            self._timeline.note(self._name, data, UDP if isinstance(way, Direct) else way.relay)

    def _note(self, record: TraceRecord) -> None:
        if isinstance(record, Noted) and record.place.endswith(".ways"):
            old, self._used = self._used, self.used
            self._timeline.note_switch(self._name, old, self._used, record.remark)


class _End:
    """One of the two friends, and what happened to it."""

    def __init__(self, node: _TappedNode, runner: Runner[ToxEvent]) -> None:
        self.node, self.runner = node, runner
        self.session: int | None = None
        self.at_relays: set[bytes] = set()

    @property
    def used(self) -> bytes | None:
        return self.node.used

    def meet(self, other: ToxNode, path: Path | None = None) -> None:
        self.runner.call(lambda now: self.node.add_friend(other.real_key, other.dht_key, now, path=path))

    def use(self, relay: Relay) -> None:
        self.runner.call(lambda now: self.node.add_relay(relay, now))

    def work(self) -> None:
        """Take what happened."""
        timeout = _TICK
        with suppress(TimeoutError):
            while True:
                self.take(self.runner.next_event(timeout=timeout))
                timeout = 0.0

    def take(self, event: ToxEvent) -> None:
        match event:
            case FriendOnline(session=session):
                self.session = session
            case RelayConnected(relay):
                self.at_relays.add(relay)


class _Sender(_End):
    """In a thread of its own."""

    def __init__(self, node: _TappedNode, runner: Runner[ToxEvent]) -> None:
        super().__init__(node, runner)
        self.said = bytearray()
        self._waiting: deque[bytes] = deque()
        self._next: float | None = None
        self._outgoing: Outgoing | None = None

    def begin(self, friend: bytes) -> None:
        self._outgoing = Outgoing(self.node, friend)
        self._outgoing.session = self.session
        self._next = time.monotonic()

    def end(self) -> None:
        self._next = None

    def work(self) -> None:
        super().work()
        while self._next is not None and time.monotonic() >= self._next:
            piece = secrets.token_bytes(PIECE)
            self.said += piece
            self._waiting.append(DATA + piece)
            self._next += _PAUSE
        outgoing = self._outgoing
        if outgoing is not None and self._waiting:
            self.runner.call(lambda now: outgoing.take(self._waiting, now))


class _Receiver(_End):
    """In the thread of the demo."""

    def __init__(self, node: _TappedNode, runner: Runner[ToxEvent]) -> None:
        super().__init__(node, runner)
        self.data = bytearray()

    def take(self, event: ToxEvent) -> None:
        super().take(event)
        if isinstance(event, CustomReceived):
            self.data += event.data[1:]


class _Cable:
    """UDP between two ports of this computer, for as long as it is not cut."""

    def __init__(self, near: int, far: int) -> None:
        self._other = {(LOOPBACK, near): (LOOPBACK, far), (LOOPBACK, far): (LOOPBACK, near)}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self._socket.settimeout(_TICK)
        self.path = Path(SOCKET, LOOPBACK, self._socket.getsockname()[1])
        """At which each end finds the other one."""
        self._is_cut = self._is_over = False
        self._thread = threading.Thread(target=self._carry, name="cable", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()
        self._socket.close()

    def cut(self) -> None:
        self._is_cut = True

    def _carry(self) -> None:
        while not self._is_over:
            with suppress(OSError):
                data, where = self._socket.recvfrom(2048)
                if not self._is_cut and where in self._other:
                    self._socket.sendto(data, self._other[where])


class _Passed(NamedTuple):
    """A packet that was sent, or why another way is used."""

    time: float
    end: str
    name: str
    size: int
    way: bytes | None
    remark: str = ""
    old: bytes | None = None


class _Timeline:
    """Prints what passes: handshakes one by one, data in sums; and each switch with its reason."""

    def __init__(self, console: Console) -> None:
        self._console, self._began = console, time.monotonic()
        self._passed: deque[_Passed] = deque()
        self._sums: dict[tuple[str, bytes | None], tuple[int, int]] = {}
        self._since = self._began
        self.names: dict[bytes | None, str] = {UDP: "UDP", None: "nowhere"}
        self._is_cut = False

    def note(self, end: str, data: bytes, way: bytes) -> None:
        """Called from the thread of either end."""
        self._passed.append(_Passed(time.monotonic(), end, _NAMES[data[0]], len(data), way))

    def note_switch(self, end: str, old: bytes | None, new: bytes | None, remark: str) -> None:
        self._passed.append(_Passed(time.monotonic(), end, "", 0, new, remark, old))

    def introduce(self, end: str, text: str) -> None:
        say(self._console, f"{end:<8}  {text}", _STYLES.get(end, "cyan"))

    def begin(self, chapter: str) -> None:
        self.print_passed()
        self._print_sums()
        say(self._console, "\n" + chapter)

    def cut(self) -> None:
        self.begin(_CUT)
        self._is_cut = True

    def print_passed(self) -> None:
        while self._passed:
            passed = self._passed.popleft()
            if passed.remark or passed.time - self._since > _EVERY:
                self._print_sums()
            if passed.remark:
                ways = f"{self.names[passed.old]} \N{RIGHTWARDS ARROW} {self.names[passed.way]}"
                text = f"{(passed.time - self._began) * 1000:7.1f} ms  {passed.end:>8}: {ways}: {passed.remark}"
                say(self._console, text, "bold yellow")
            elif passed.name == "Data":
                count, size = self._sums.get((passed.end, passed.way), (0, 0))
                self._sums[passed.end, passed.way] = count + 1, size + passed.size
            else:
                self._print(passed.time, passed.end, passed.way, passed.name, f"{passed.size} bytes")

    def conclude(self, text: str) -> None:
        self.print_passed()
        self._print_sums()
        say(self._console, f"\n{text} {time.monotonic() - self._began:.1f} s in all.", "bold")

    def _print_sums(self) -> None:
        now = time.monotonic()
        for (end, way), (count, size) in self._sums.items():
            self._print(now, end, way, "Data", f"{count} packet{'s' if count > 1 else ''}, {decimal(size)}")
        self._sums, self._since = {}, now

    def _print(self, at: float, end: str, way: bytes | None, name: str, text: str) -> None:
        other = "receiver" if end == "sender" else "sender"
        to = "nobody" if self._is_cut and way == UDP else other
        print_packet(self._console, at - self._began, (end, to), name, f"{text}, by {self.names[way]}", _STYLES)
