"""The Tox part of the demo: two friends and a relay. UDP is cut between them, and a stream goes on by the relay."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple, Self

from rich.console import Console
from rich.filesize import decimal

import sansproto_asyncio
import sansproto_sockets
import sansproto_threads
from sansproto.contract import Path
from sansproto.tox import (
    RELAY_PORT,
    CustomReceived,
    FriendOnline,
    NodeDelays,
    Relay,
    RelayConnected,
    RelayServer,
    ToxEvent,
    ToxNode,
)
from sansproto.tox.packets import DATAGRAM
from sansproto.tox.paths import Direct, Relayed, Several

from .addresses import LOOPBACK
from .exits import CommandFailed, Exit
from .line import Runner, entropy
from .stage import on_asyncio, print_packet, require, say
from .tox_meeting import SOCKET
from .tox_piping import PIECE, Outgoing, cut

_SIZE = 150 * PIECE  # bytes of the stream
_PAUSE = 0.02  # seconds between two pieces of it
_PLACE: Final = {SOCKET: (LOOPBACK, 0)}
_TICK = 0.01
_PATIENCE = 20.0  # seconds, for a busy machine
_EVERY = 0.5  # seconds of data on one line
_IMPATIENT: Final = NodeDelays(direct=0.5, farewell=0.1)
"""By default relays are used after 8 s of silence by UDP: a stream that is not so steady makes pauses."""
_NAMES: Final = {number: kind.__name__ for number, kind in DATAGRAM.packets.items()}
_STYLES: Final = {"sender": "green", "receiver": "magenta", "nobody": "red", "relay": "cyan"}
_MEET: Final = "The sender calls, by UDP. After a cookie and two handshakes each knows the other by its key."
_STREAM: Final = "Both are at the relay, too. A stream begins, and goes by UDP."
_CUT: Final = "UDP is cut, without a sign: what is sent there is lost."
_RELAYED: Final = "It is noticed that nothing comes. The session goes on by the relay, and what was lost is sent again."


def show_tox(console: Console) -> None:
    """Raises CommandFailed unless the stream arrives as it was sent."""
    timeline = _Timeline(console)
    server = RelayServer(private_key=entropy(32, purpose="key"), entropy=entropy)
    with on_asyncio(sansproto_asyncio.run(server, listen={RELAY_PORT: (LOOPBACK, 0)})) as bound:
        relay = Relay(server.public_key, bound[RELAY_PORT])
        timeline.introduce("relay", f"on asyncio, at {relay.address}")
        sender, receiver = _node("sender", timeline), _node("receiver", timeline)
        with (
            sansproto_threads.run(sender, sockets=_PLACE) as first,
            sansproto_sockets.run(receiver, sockets=_PLACE) as second,
            _Cable(first.addresses[SOCKET].port, second.addresses[SOCKET].port) as cable,
        ):
            timeline.introduce("sender", f"on threads, at {first.addresses[SOCKET]}")
            timeline.introduce("receiver", f"on plain sockets, at {second.addresses[SOCKET]}")
            _act(_Sender(sender, first), _Receiver(receiver, second), relay, cable, timeline)


def _act(sender: _Sender, receiver: _Receiver, relay: Relay, cable: _Cable, timeline: _Timeline) -> None:
    def wait_for(what: str, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not happened():
            require(what, time.monotonic() < deadline)
            sender.work()
            receiver.work()
            timeline.print_passed()

    timeline.begin(_MEET)
    receiver.meet(sender.node)
    sender.meet(receiver.node, cable.path)
    wait_for("a session", lambda: bool(sender.session and receiver.session))
    for end in (sender, receiver):
        end.use(relay)
    wait_for("the relay", lambda: sender.is_at_relay and receiver.is_at_relay)
    timeline.begin(_STREAM)
    data = secrets.token_bytes(_SIZE)
    sender.begin(data, receiver.node.real_key)
    wait_for("a part of the stream", lambda: len(receiver.data) > _SIZE // 3)
    cable.cut()
    timeline.cut()
    was_cut, had = time.monotonic(), len(receiver.data)
    wait_for("the relay to be used", lambda: timeline.is_relayed)
    noticed = time.monotonic()
    wait_for("the whole stream", lambda: len(receiver.data) >= _SIZE)
    if receiver.data != data:
        raise CommandFailed(Exit.BUG, "The two streams differ: this is a bug, please report it.")
    timeline.conclude(
        f"{(noticed - was_cut) * 1000:.0f} ms after UDP was cut the relay was used. All {decimal(_SIZE)} arrived, once "
        f"and in order: {decimal(had)} before, the rest by the relay."
    )


def _node(name: str, timeline: _Timeline) -> _TappedNode:
    node = _TappedNode(
        real_key=entropy(32, purpose="key"),
        dht_key=entropy(32, purpose="key"),
        entropy=entropy,
        wall_epoch=time.time() - time.monotonic(),
        delays=_IMPATIENT,
    )
    node.watch(lambda data, is_direct: timeline.note(name, data, is_direct))
    return node


class _TappedNode(ToxNode):
    """Tells of every packet that it sends, and whether by UDP."""

    def watch(self, tell: Callable[[bytes, bool], None]) -> None:
        self._tell = tell

    def put(self, way: Direct | Relayed | Several, data: bytes) -> None:
        super().put(way, data)
        if not isinstance(way, Several):  # its parts come here, too
            self._tell(data, isinstance(way, Direct))


class _End:
    """One of the two friends, and what happened to it."""

    def __init__(self, node: ToxNode, runner: Runner[ToxEvent]) -> None:
        self.node, self.runner = node, runner
        self.session: int | None = None
        self.is_at_relay = False

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
            case RelayConnected():
                self.is_at_relay = True


class _Sender(_End):
    """In a thread of its own."""

    def __init__(self, node: ToxNode, runner: Runner[ToxEvent]) -> None:
        super().__init__(node, runner)
        self._pieces: deque[bytes] = deque()
        self._waiting: deque[bytes] = deque()
        self._next = 0.0

    def begin(self, data: bytes, friend: bytes) -> None:
        self._outgoing = Outgoing(self.node, friend)
        self._outgoing.session = self.session
        self._pieces.extend(cut(data)[:-1])
        self._next = time.monotonic()

    def work(self) -> None:
        super().work()
        while self._pieces and time.monotonic() >= self._next:
            self._waiting.append(self._pieces.popleft())
            self._next += _PAUSE
        if self._waiting:
            self.runner.call(lambda now: self._outgoing.take(self._waiting, now))


class _Receiver(_End):
    """In the thread of the demo."""

    def __init__(self, node: ToxNode, runner: Runner[ToxEvent]) -> None:
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
    """A packet that was sent."""

    time: float
    end: str
    name: str
    size: int
    is_direct: bool


class _Timeline:
    """Prints what passes: handshakes one by one, data in sums."""

    def __init__(self, console: Console) -> None:
        self._console, self._began = console, time.monotonic()
        self._passed: deque[_Passed] = deque()
        self._sums: dict[tuple[str, bool], tuple[int, int]] = {}
        self._since = self._began
        self.is_cut = self.is_relayed = False

    def note(self, end: str, data: bytes, is_direct: bool) -> None:
        """Called from the thread of either end."""
        self._passed.append(_Passed(time.monotonic(), end, _NAMES[data[0]], len(data), is_direct))

    def introduce(self, end: str, text: str) -> None:
        say(self._console, f"{end:<8}  {text}", _STYLES[end])

    def begin(self, chapter: str) -> None:
        self.print_passed()
        self._print_sums()
        say(self._console, "\n" + chapter)

    def cut(self) -> None:
        self.begin(_CUT)
        self.is_cut = True

    def print_passed(self) -> None:
        while self._passed:
            passed = self._passed.popleft()
            if passed.time - self._since > _EVERY:
                self._print_sums()
            if passed.name != "Data":
                self._print(passed.time, passed.end, passed.is_direct, passed.name, f"{passed.size} bytes")
                continue
            if self.is_cut and not passed.is_direct and not self.is_relayed:
                self.is_relayed = True
                self.begin(_RELAYED)
            count, size = self._sums.get((passed.end, passed.is_direct), (0, 0))
            self._sums[passed.end, passed.is_direct] = count + 1, size + passed.size

    def conclude(self, text: str) -> None:
        self.print_passed()
        self._print_sums()
        say(self._console, f"\n{text} {time.monotonic() - self._began:.1f} s in all.", "bold")

    def _print_sums(self) -> None:
        now = time.monotonic()
        for (end, is_direct), (count, size) in self._sums.items():
            self._print(now, end, is_direct, "Data", f"{count} packet{'s' if count > 1 else ''}, {decimal(size)}")
        self._sums, self._since = {}, now

    def _print(self, at: float, end: str, is_direct: bool, name: str, text: str) -> None:
        other = "receiver" if end == "sender" else "sender"
        to = "nobody" if self.is_cut and is_direct else other
        fields = f"{text}, by {'UDP' if is_direct else 'the relay'}"
        print_packet(self._console, at - self._began, (end, to), name, fields, _STYLES)
