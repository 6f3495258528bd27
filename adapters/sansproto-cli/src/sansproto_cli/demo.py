"""All of it on this computer: first relay, sender and receiver, one on each adapter, and every packet between them."""

from __future__ import annotations

import hashlib
import random
import secrets
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal

import sansproto_asyncio
import sansproto_sockets
import sansproto_threads
from sansproto.bob import RELAY_PORT, SECURE_PORT, Cipher, Client, PeerEvent, Server
from sansproto.contract import Address
from sansproto_sockets import system_entropy

from . import passwords
from .addresses import LOOPBACK, RelayAddress
from .demo_domain import show_domain
from .demo_freenet import show_freenet
from .demo_recovery import show_recovery
from .demo_tox import show_tox
from .exits import CommandFailed, Exit, Interrupted
from .line import Line
from .output import Target
from .receiving import Receiving, Wishes
from .report import QuietReporter
from .sending import Sending
from .sources import open_source
from .stage import on_asyncio, print_packet, say
from .tap import Passed, TappedRelay, summary

_LINES, _NOISE = 100_000, 1 << 21  # of the file: text, which deflates well, and bytes that do not
_PATIENCE = 20.0  # seconds
_ROLES = {"HelloAsServer": "sender", "HelloAsClient": "receiver"}
_CHAPTERS = {
    ("HelloAsServer", "HelloAsClient"): "Both say hello, and the relay tells the receiver of the sender.",
    ("XAndClientIdentity",): "Each proves that it knows the password, and tells nothing of it.",
    ("Accepted",): "The receiver accepts, and the relay gives the two a room.",
    ("RoomLine",): "Each asks for the room by the identity of the other. There the relay copies what it cannot read.",
    ("close",): "The receiver has verified the file, and says goodbye.",
}
_STYLES = {"sender": "green", "receiver": "magenta", "relay": "cyan"}


def show(console: Console) -> None:
    """Raises CommandFailed if the file that arrives is another than the one that was sent."""
    began = time.monotonic()
    password = passwords.generate()
    with tempfile.TemporaryDirectory(prefix="sansproto-demo-") as folder:
        sent, inbox = Path(folder, "log book.txt"), Path(folder, "inbox")
        inbox.mkdir()
        _write_file(sent)
        printer = _Printer(console)
        relay = TappedRelay()
        relay.watch(printer.passed.append)
        listen = {RELAY_PORT: (LOOPBACK, 0), SECURE_PORT: (LOOPBACK, 0)}
        with on_asyncio(sansproto_asyncio.run(relay, listen=listen)) as bound:
            printer.introduce(bound, sent, password)
            received, times = _transfer(bound, sent, inbox, password, printer)
        printer.conclude(relay)
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (sent, received)]
        same = hashes[0] == hashes[1]
        console.print()
        for name, digest in zip(("sent", "received"), hashes, strict=True):
            say(console, f"  {name:<9} SHA-256 {digest}", "green" if same else "red")
        if not same:
            raise CommandFailed(Exit.BUG, "The two files differ: this is a bug, please report it.")
    meeting, transfer = times
    text = f"The same file. {meeting * 1000:.0f} ms to meet and agree, {transfer * 1000:.0f} ms for the file, "
    say(console, f"\n{text}{time.monotonic() - began:.1f} s in all.\n", "bold")
    show_domain(console)
    console.print()
    show_recovery(console)
    console.print()
    show_tox(console)
    console.print()
    show_freenet(console)


def _write_file(path: Path) -> None:
    numbers = random.Random(1)
    lines = (f"{number:06} wind {numbers.randrange(13)} sea {numbers.randrange(10)}\n" for number in range(_LINES))
    path.write_bytes("".join(lines).encode() + secrets.token_bytes(_NOISE))


# -- the three of them -------------------------------------------------------------------------------------------------


def _transfer(
    bound: Mapping[str, Address], sent: Path, inbox: Path, password: str, printer: _Printer
) -> tuple[Path, tuple[float, float]]:
    """Send and receive: the path of the file, and the seconds until the two were connected, and for the file."""
    relay, secure_port = (LOOPBACK, bound[RELAY_PORT].port), bound[SECURE_PORT].port
    where = RelayAddress(*relay, secure_port)
    server = Server(
        relay=relay,
        secure_port=secure_port,
        password=password.encode(),
        entropy=system_entropy,
        client_cipher=Cipher.AES_256_GCM,
    )
    client = Client(relay=relay, secure_port=secure_port, password=password.encode(), entropy=system_entropy)
    clock = _Clock()
    is_over = threading.Event()

    def check() -> None:
        if is_over.is_set():
            raise Interrupted(Exit.BUG)

    def send() -> None:
        runner: sansproto_threads.Runner[PeerEvent] = sansproto_threads.run(server)
        with runner:
            line = Line(server, runner, check)
            silence = QuietReporter(sys.stderr)
            Sending(open_source([str(sent)]), server, line, silence, relay=where, command="", timeout=_PATIENCE).run()

    def receive() -> Path:
        runner: sansproto_sockets.Runner[PeerEvent] = sansproto_sockets.run(client)
        with runner:
            line = Line(client, runner, printer.print_passed)
            wishes = Wishes(max_size=sent.stat().st_size, target=Target(inbox))
            return Path(Receiving(client, line, clock, wishes, relay=where).run().path)

    with ThreadPoolExecutor(1, thread_name_prefix="sender") as pool:
        sending = pool.submit(send)
        try:
            received = receive()
        except BaseException:
            is_over.set()
            raise
        sending.result()
    return received, (clock.connected - clock.began, clock.finished - clock.connected)


class _Clock(QuietReporter):
    """When things happened to the receiver."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.began = self.connected = self.finished = time.monotonic()

    def tell(self, event: str, text: str = "", **facts: object) -> None:
        if event == "connected":
            self.connected = time.monotonic()
        elif event == "finished":
            self.finished = time.monotonic()


# -- what is shown -----------------------------------------------------------------------------------------------------


class _Printer:
    """Prints in the order in which the relay saw it; the relay's own thread must not wait for that."""

    def __init__(self, console: Console) -> None:
        self.passed: deque[Passed] = deque()
        self._console = console
        self._began: float | None = None
        self._roles: dict[str, str] = {}  # by identity; a peer has another one at the secure port
        self._file_size = 0
        self._chapters = dict(_CHAPTERS)

    def introduce(self, bound: Mapping[str, Address], sent: Path, password: str) -> None:
        self._file_size = sent.stat().st_size
        self._say(f"relay     on asyncio, at {bound[RELAY_PORT]}; its secure rooms at {bound[SECURE_PORT]}", "relay")
        self._say(f"sender    on threads, with {sent.name!r} of {decimal(self._file_size)}", "sender")
        self._say("receiver  on plain sockets", "receiver")
        self._say(f"password  {password}: it never leaves the two, and the relay cannot try guesses offline")

    def print_passed(self) -> None:
        while self.passed:
            self._print(self.passed.popleft())

    def _print(self, passed: Passed) -> None:
        if self._began is None:
            self._began = passed.time
        role = self._role_of(passed)
        for names in [names for names in self._chapters if passed.packet.name in names]:
            self._say("\n" + self._chapters.pop(names))
        ends = (role, "relay") if passed.to_relay else ("relay", role)
        packet = passed.packet
        print_packet(self._console, passed.time - self._began, ends, packet.name, summary(packet), _STYLES)

    def conclude(self, relay: TappedRelay) -> None:
        self.print_passed()
        self._console.print()
        for peer, records in relay.records.items():
            role = self._roles.get(peer, peer)
            count = f"{records.count} sealed record{'s' if records.count > 1 else ''}"
            note = f" for the {decimal(self._file_size)} of the file" if role == "sender" else ": how it went"
            self._say(f"In the room, the {role} sent {count}, {decimal(records.size)}{note}.")

    def _role_of(self, passed: Passed) -> str:
        name, peer = passed.packet.name, passed.peer
        if name in _ROLES:
            self._roles[peer] = _ROLES[name]
        elif name == "RoomLine":  # it names the other one
            other = self._roles.get(str(passed.packet.children[0].value))
            self._roles[peer] = "sender" if other == "receiver" else "receiver"
        return self._roles.get(peer, peer)

    def _say(self, text: str, role: str = "") -> None:
        say(self._console, text, _STYLES.get(role, ""))
