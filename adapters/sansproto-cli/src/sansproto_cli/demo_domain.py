"""The Overte part of the demo: a domain, a mixer and a client, one on each adapter, and the datagrams between them."""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from typing import Any, Final

from rich.console import Console

import sansproto_asyncio
import sansproto_sockets
import sansproto_threads
from sansproto.contract import SendDatagram, Transmit
from sansproto.overte import (
    SOCKET,
    ClientEvent,
    Connected,
    Departure,
    Disconnected,
    DomainClient,
    DomainServer,
    NodeActivated,
    NodeLeft,
    NodeMeasured,
    NodeRemoved,
    NodeType,
    PacketReceived,
    PacketType,
    Removal,
    Renumbered,
    ServerEvent,
    uuid_text,
)
from sansproto.overte.header import Control, decode_datagram
from sansproto.overte.packets import PACKETS
from sansproto.wire import Node
from sansproto_sockets import system_entropy, wall_epoch

from .addresses import LOOPBACK, format_address
from .line import Runner
from .stage import on_asyncio, print_packet, require, say

_STAY = 2.5  # seconds
_SHOWN = 1.3  # seconds of it: after that, all comes again
_TICK = 0.01
_PATIENCE = 10.0  # seconds, for a busy machine
_ANYWHERE = {SOCKET: (LOOPBACK, 0)}
_STYLES = {"domain": "cyan", "mixer": "green", "client": "magenta"}
_PHRASES = {
    "mixer": (PacketType.MIXED_AUDIO, b"10 ms of what you hear"),
    "client": (PacketType.SILENT_AUDIO_FRAME, b"10 ms in which I say nothing"),
}
_CHAPTERS: Final = {
    ("DomainConnectRequest",): "Each asks to be let in, and hears in a list of the nodes that it wants to know.",
    ("Ping",): "The two try each other's addresses, and sign with the secret that the domain gave to just them.",
    ("MIXED_AUDIO", "SILENT_AUDIO_FRAME"): "An address has answered: each says something, directly.",
    ("DomainListRequest",): "From now on, once a second, a check-in for the domain and a ping for the other node.",
    ("DisconnectRequest",): "The client leaves, and the mixer is told.",
}
_REPEATED = ("DomainListRequest", "DomainList", "Ping", "PingReply")
_TELLING = ("place_name", "interests", "local_id", "new_connection", "type", "connection_id", "sequence")


def show_domain(console: Console) -> None:
    """Raises CommandFailed if anything of it did not happen."""
    stage = _Stage(console)
    domain_id, assignment = uuid.uuid4().bytes, uuid.uuid4().bytes
    server = _TappedServer(domain_id=domain_id, entropy=system_entropy, wall_epoch=stage.wall_epoch)
    server.watch(lambda sent: stage.note("domain", sent))
    server.assign(assignment, NodeType.AUDIO_MIXER, time.monotonic())
    left: list[NodeLeft] = []

    def hear(event: ServerEvent) -> None:
        if isinstance(event, NodeLeft):
            left.append(event)

    with on_asyncio(sansproto_asyncio.run(server, sockets=_ANYWHERE), hear) as bound:
        stage.open(bound[SOCKET].port, domain_id)
        mixer = stage.visitor("mixer", node_type=NodeType.AUDIO_MIXER, assignment=assignment, interest=b"I")
        client = stage.visitor("client", interest=b"M", place_name="/demo")
        with sansproto_threads.run(mixer.session, sockets=_ANYWHERE) as threads:
            stage.enter(mixer, threads, threads.addresses[SOCKET].port)
            stage.wait_for("the mixer in the domain", lambda: mixer.stands)
            with sansproto_sockets.run(client.session, sockets=_ANYWHERE) as sockets:
                stage.enter(client, sockets, sockets.addresses[SOCKET].port)
                stage.wait_for("a word each way", lambda: client.heard == mixer.says and mixer.heard == client.says)
                end = time.monotonic() + _STAY
                stage.wait_for("the end of the visit", lambda: time.monotonic() >= end)
                require("client and mixer in the domain all the time", client.stands and mixer.stands)
            stage.leave(client)
            stage.wait_for("the client's departure", lambda: bool(left and mixer.removed))
        gone = client.session_id
        require("the domain to see who left", left[0] == NodeLeft(gone, Departure.LEFT))
        require("the mixer to hear of it", mixer.removed == [NodeRemoved(gone, Removal.REMOVED)])
    stage.conclude(client)


class _TappedServer(DomainServer):
    """Calls ``seen`` for every datagram that it sends."""

    def watch(self, seen: Callable[[SendDatagram], None]) -> None:
        self.seen = seen

    def next_transmit(self) -> Transmit | None:
        return _seen(super().next_transmit(), self.seen)


class _TappedClient(DomainClient):
    """The same."""

    def watch(self, seen: Callable[[SendDatagram], None]) -> None:
        self.seen = seen

    def next_transmit(self) -> Transmit | None:
        return _seen(super().next_transmit(), self.seen)


def _seen(transmit: Transmit | None, seen: Callable[[SendDatagram], None]) -> Transmit | None:
    if isinstance(transmit, SendDatagram):
        seen(transmit)
    return transmit


class _Visitor:
    """A client of the domain: what it says once it can, and what it was told."""

    def __init__(self, name: str, session: _TappedClient) -> None:
        self.name = name
        self.session = session
        self.says = _PHRASES[name]
        self.heard: tuple[PacketType, bytes] | None = None
        self.session_id = b""
        self.removed: list[NodeRemoved] = []
        self.measured: list[NodeMeasured] = []
        self._entries = self._losses = 0
        self._reached: set[bytes] = set()

    @property
    def stands(self) -> bool:
        """It came in once, and nothing happened since."""
        return self._entries == 1 and not self._losses

    def take(self, event: ClientEvent, runner: Runner[ClientEvent]) -> None:
        match event:
            case Connected(session_id):
                self.session_id = session_id
                self._entries += 1
            case Disconnected() | Renumbered():
                self._losses += 1
            case NodeActivated(node_id) if node_id not in self._reached:
                self._reached.add(node_id)
                runner.call(lambda now: self.session.send_to_node(node_id, *self.says, now))
            case PacketReceived(_, kind):
                self.heard = kind, event.payload
            case NodeMeasured():
                self.measured.append(event)
            case NodeRemoved():
                self.removed.append(event)


class _Stage:
    """Runs the visitors in turn, and prints what was sent in the order in which it was."""

    def __init__(self, console: Console) -> None:
        self.wall_epoch = wall_epoch()
        self._console = console
        self._began = time.monotonic()
        self._sent: deque[tuple[float, str, SendDatagram]] = deque()
        self._names: dict[int, str] = {}  # by port
        self._visitors: list[tuple[_Visitor, Runner[ClientEvent]]] = []
        self._counts: Counter[str] = Counter()
        self._chapters = dict(_CHAPTERS)

    def open(self, port: int, domain_id: bytes) -> None:
        self._names[port] = "domain"
        self._port = port
        where = format_address(LOOPBACK, port)
        self._say(f"domain    on asyncio, at {where}: Overte's protocol, {uuid_text(domain_id)}", "domain")
        self._say("mixer     on threads, in place of an audio mixer: the domain expects it", "mixer")
        self._say("client    on plain sockets: anybody who walks in", "client")

    def visitor(self, name: str, **arguments: Any) -> _Visitor:
        session = _TappedClient(
            host=LOOPBACK, port=self._port, entropy=system_entropy, wall_epoch=self.wall_epoch, **arguments
        )
        session.watch(lambda sent: self.note(name, sent))
        return _Visitor(name, session)

    def enter(self, visitor: _Visitor, runner: Runner[ClientEvent], port: int) -> None:
        self._names[port] = visitor.name
        self._visitors.append((visitor, runner))
        runner.call(visitor.session.connect)

    def leave(self, visitor: _Visitor) -> None:
        self._visitors = [(other, runner) for other, runner in self._visitors if other is not visitor]

    def wait_for(self, what: str, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not happened():
            for visitor, runner in self._visitors:
                with suppress(TimeoutError):
                    visitor.take(runner.next_event(timeout=_TICK), runner)
            self._print_sent()
            require(what, time.monotonic() < deadline)

    def conclude(self, client: _Visitor) -> None:
        self._print_sent()
        counts, last = self._counts, client.measured[-1]
        ping = f"{last.ping_ms} ms" if last.ping_ms else "under 1 ms"
        say(
            self._console,
            f"\nBoth stayed in: {counts['DomainListRequest']} check-ins, {counts['DomainList']} lists; "
            f"{counts['Ping']} pings, {counts['PingReply']} replies. "
            f"Ping {ping}, and the mixer's clock {abs(last.skew_us) / 1000:.1f} ms away. "
            f"{time.monotonic() - self._began:.1f} s in all.",
            "bold",
        )

    def note(self, sender: str, sent: SendDatagram) -> None:
        """Called by any thread."""
        self._sent.append((time.monotonic(), sender, sent))

    def _print_sent(self) -> None:
        while self._sent:
            at, sender, sent = self._sent.popleft()
            name, fields = _describe(sent.data)
            self._counts[name] += 1
            for names in [names for names in self._chapters if name in names]:
                self._say("\n" + self._chapters.pop(names))
            if at - self._began > _SHOWN and name in _REPEATED:
                continue
            ends = sender, self._names[sent.path.port]
            print_packet(self._console, at - self._began, ends, name, fields, _STYLES)

    def _say(self, text: str, role: str = "") -> None:
        say(self._console, text, _STYLES.get(role, ""))


def _describe(datagram: bytes) -> tuple[str, str]:
    """The name of what is in it, and the fields that tell something."""
    head, payload = decode_datagram(datagram)
    if isinstance(head, Control):
        return head.type.name, ""
    packet = PACKETS.get(head.type.value)
    if packet is None:
        return head.type.name, f"{len(payload)} bytes"
    return packet.__name__, "  ".join(_fields(packet.dissect(payload)))


def _fields(node: Node) -> Iterator[str]:
    for child in node.children:
        if child.name in _TELLING and child.value is not None:
            yield f"{child.name} {_short(child.value)}"
        elif child.name == "nodes":
            yield f"nodes {len(child.children)}"
        else:
            yield from _fields(child)


def _short(value: object) -> str:
    match value:
        case Enum():
            return value.name
        case bytes():
            return value.decode()
    return str(value)
