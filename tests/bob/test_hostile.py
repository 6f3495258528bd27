"""A relay among enemies: 2,000 hostile connections while a file goes through it, over real sockets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

import attrs
import pytest

from sansproto.bob import packets as p

CONNECTIONS = 2000
AT_ONCE = 250
FILE_SIZE = 8 << 20
SMALL = 1 << 16  # of a file that only shows that one passes
PASSWORD = "marble-acoustic-tunnel"
HOST = "127.0.0.1"
PATIENCE = 240.0  # seconds: only a relay that hangs takes so long, whatever else the machine does
ANY_PORTS = "--port", 0, "--secure-port", 0
NOBODY = "127.0.0.1:1"  # no peer ever has this identity
X = bytes(range(32))


@attrs.frozen
class Ports:
    relay: int
    secure: int


class Foe:
    """A connection that wishes nobody well."""

    def __init__(self, port: int, *, buffer: int | None = None) -> None:
        self._socket = socket.socket()
        if buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        try:
            self._socket.settimeout(PATIENCE)  # a relay that gets no processor is a while behind
            self._socket.connect((HOST, port))
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self.identity = f"{HOST}:{self._socket.getsockname()[1]}"
        self.over = False

    def say(self, data: bytes) -> None:
        """As much as fits."""
        with suppress(OSError):
            self._socket.send(data)

    def hear(self) -> bytes:
        try:
            data = self._socket.recv(1 << 16)
            self.over = not data
            return data
        except BlockingIOError:
            return b""
        except OSError:
            self.over = True
            return b""

    def half_close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._socket.close()

    def close(self) -> None:
        self._socket.close()


Attack = Iterator[None]  # a step for each turn that it gets
HELLO = p.encode(p.RELAY, p.HelloAsClient())


def anybody(dice: Random) -> Iterator[range]:
    """Uids: those of the two that exchange a file are among the first ones."""
    yield range(1, 50)
    start = dice.randrange(50, CONNECTIONS)
    yield range(start, start + 50)


def public(dice: Random) -> bytes:
    """Parameters that cost a client little, or that it has to refuse."""
    count = dice.choice([0, 1, 2, 2**63 + 16])
    return b"\0\1" + b"\0\2" + count.to_bytes(8, "big") + b"\0\0" + b"\0\2" + b"\0\4" + dice.randbytes(16)


def reset_at_once(ports: Ports, dice: Random) -> Attack:
    foe = Foe(dice.choice([ports.relay, ports.secure]))
    yield
    foe.reset()


def reset_in_a_packet(ports: Ports, dice: Random) -> Attack:
    foe = Foe(ports.relay)
    whole = HELLO + p.encode(1, p.XAndClientIdentity(X, NOBODY))
    foe.say(whole[: dice.randrange(1, len(whole))])
    yield
    foe.reset()


def reset_in_a_line(ports: Ports, dice: Random) -> Attack:
    foe = Foe(ports.secure)
    foe.say(NOBODY[: dice.randrange(1, 9)].encode())
    yield
    foe.reset()


def flood_of_hello(ports: Ports, dice: Random) -> Attack:
    foe = Foe(ports.relay)
    one = dice.choice([HELLO, p.encode(p.RELAY, p.HelloAsServer(public(dice)))])
    for _ in range(3):
        foe.say(one * 10)
        yield
    foe.close()


def garbage(ports: Ports, dice: Random) -> Attack:
    foe = Foe(dice.choice([ports.relay, ports.secure]))
    foe.say(dice.randbytes(4096))
    yield
    foe.close()


def identity_without_end(ports: Ports, dice: Random) -> Attack:
    foe = Foe(ports.relay)
    foe.say(HELLO + b"000107" + X + b"1" * 500)
    while not foe.over:
        foe.hear()
        yield
    foe.close()


def packets_to_the_last_uids(ports: Ports, dice: Random) -> Attack:
    foe = Foe(ports.relay)
    foe.say(HELLO)
    for uid in (0xFFFF, 0xFFFE, 0):
        for packet in (p.Accepted(), p.SpokeFailure(p.SpokeFault.POINT), p.XAndClientIdentity(X, foe.identity)):
            foe.say(p.encode(uid, packet))
        yield
    foe.close()


def accept_everybody(ports: Ports, dice: Random) -> Attack:
    foe = Foe(ports.relay)
    foe.say(HELLO)
    for uids in anybody(dice):
        foe.say(b"".join(p.encode(uid, p.Accepted()) for uid in uids))
        yield
    foe.close()


def out_of_turn(ports: Ports, dice: Random) -> Attack:
    """Every type that a client may not send, to whoever is there.

    A server may: but its wrong answers would be guesses at the password, which make others wait. See SECURITY.rst.
    """
    foe = Foe(ports.relay)
    foe.say(dice.choice([HELLO, b""]))
    packets: list[p.BobPacket] = [
        p.ServerIdentity(NOBODY),
        p.NewServer(1, public(dice), NOBODY),
        p.ClientValidator(bytes(64)),
        p.YAndServerValidator(X, bytes(64)),
        p.Agreement(),
        p.PeerClosed(1),
        p.Refused(),
        p.RelayFailure(p.Missing.HANDSHAKE, 1),
        p.Done(),
        p.Timeout(),
    ]
    for packet in packets:
        foe.say(b"".join(p.encode(uid, packet) for uid in range(20)))
        yield
    foe.close()


def failures_to_everybody(ports: Ports, dice: Random) -> Attack:
    """The one packet that an exchange may begin with in either direction."""
    foe = Foe(ports.relay)
    foe.say(HELLO)
    failure = p.SpokeFailure(dice.choice(list(p.SpokeFault)))
    for uids in anybody(dice):
        foe.say(b"".join(p.encode(uid, failure) for uid in uids))
        yield
    foe.reset()


def speak_for_another(ports: Ports, dice: Random) -> Attack:
    foe = Foe(ports.relay)
    foe.say(HELLO)
    for uids in anybody(dice):
        foe.say(b"".join(p.encode(uid, p.XAndClientIdentity(X, NOBODY)) for uid in uids))
        yield
    foe.close()


def half_closed(ports: Ports, dice: Random) -> Attack:
    foe = Foe(dice.choice([ports.relay, ports.secure]))
    foe.say(HELLO)
    foe.half_close()
    while not foe.over:
        foe.hear()
        yield
    foe.close()


def byte_by_byte(ports: Ports, dice: Random) -> Attack:
    port, text = dice.choice([(ports.relay, HELLO * 3), (ports.secure, NOBODY.encode() + b"\n")])
    foe = Foe(port)
    for byte in text:
        foe.say(bytes([byte]))
        yield
    foe.close()


def silence(ports: Ports, dice: Random) -> Attack:
    foe = Foe(dice.choice([ports.relay, ports.secure]))
    for _ in range(40):
        yield
    foe.close()


def never_read(ports: Ports, dice: Random) -> Attack:
    """Asks for all announcements again and again, and takes none."""
    foe = Foe(ports.relay, buffer=1024)
    for _ in range(40):
        foe.say(HELLO * 2)
        yield
    dice.choice([foe.close, foe.reset])()


def guess_a_room(ports: Ports, dice: Random) -> Attack:
    foe = Foe(ports.secure)
    foe.say(f"{HOST}:{dice.randrange(1, 1024)}\n".encode() + dice.randbytes(1000))
    yield
    yield
    foe.close()


def line_without_end(ports: Ports, dice: Random) -> Attack:
    foe = Foe(ports.secure)
    foe.say(b"1" * 10_000)
    while not foe.over:
        foe.hear()
        yield
    foe.close()


ATTACKS: list[Callable[[Ports, Random], Attack]] = [
    reset_at_once,
    reset_in_a_packet,
    reset_in_a_line,
    flood_of_hello,
    garbage,
    identity_without_end,
    packets_to_the_last_uids,
    accept_everybody,
    out_of_turn,
    failures_to_everybody,
    speak_for_another,
    half_closed,
    byte_by_byte,
    silence,
    never_read,
    guess_a_room,
    line_without_end,
]


def assault(ports: Ports, until: Callable[[], bool]) -> int:
    """Many attacks at once, at least CONNECTIONS, and for a while as long as it takes; how many there were."""
    dice, begun, running, deadline = Random(1), 0, [], monotonic() + PATIENCE
    most = 2 * CONNECTIONS
    while running or begun < CONNECTIONS:
        assert monotonic() < deadline, f"after {begun} connections: {sorted(attack.__name__ for attack in running)}"
        while len(running) < AT_ONCE and (begun < CONNECTIONS or (begun < most and not until())):
            running.append(ATTACKS[begun % len(ATTACKS)](ports, dice))
            begun += 1
        running = [attack for attack in running if next(attack, Ports) is not Ports]
        sleep(0.01)
    return begun


# -- the relay, and a transfer -----------------------------------------------------------------------------------------


@contextmanager
def command(*arguments: object, stdout: Any = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    line = [sys.executable, "-m", "sansproto_cli", *map(str, arguments)]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": stdout}
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SANSPROTO_", "COVERAGE_"))
    }
    with subprocess.Popen(line, **quiet, stderr=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def relay(log: Path) -> Iterator[tuple[int, Ports]]:
    """A relay's process: its number, and the free ports that it found. What it tells goes to a file."""
    with log.open("wb") as out, command("relay", "--json", "--bind", HOST, *ANY_PORTS, stdout=out) as process:
        deadline = monotonic() + PATIENCE
        while not (started := log.read_bytes().partition(b"\n"))[1]:
            assert process.poll() is None
            assert monotonic() < deadline
            sleep(0.05)
        told = json.loads(started[0])
        yield process.pid, Ports(told["port"], told["secure_port"])
        assert process.poll() is None


def a_file(folder: Path, size: int) -> Path:
    path = folder / f"{size}.bin"
    path.write_bytes(Random(0).randbytes(size))
    return path


class Transfer:
    """A file on its way from one process to another."""

    def __init__(self, source: Path, folder: Path, ends: list[subprocess.Popen[bytes]]) -> None:
        self.source, self.folder = source, folder
        self._ends = ends
        self._began = monotonic()
        self.seconds: float | None = None

    def is_over(self) -> bool:
        if self.seconds is None and all(end.poll() is not None for end in self._ends):
            self.seconds = monotonic() - self._began
        return self.seconds is not None

    def check(self) -> float:
        """Seconds that it took, when the file is there and right."""
        deadline = monotonic() + PATIENCE
        while not self.is_over() and monotonic() < deadline:
            sleep(0.02)
        said = [end.stderr.read().decode() for end in self._ends if end.poll() is not None]
        assert [end.returncode for end in self._ends] == [0, 0], said
        assert (self.folder / self.source.name).read_bytes() == self.source.read_bytes()
        assert self.seconds is not None
        return self.seconds


@contextmanager
def transfer(source: Path, ports: Ports, folder: Path) -> Iterator[Transfer]:
    folder.mkdir()
    way = "--relay", f"{HOST}:{ports.relay}", "--secure-port", ports.secure
    with (
        command("send", source, "--password", PASSWORD, "--no-compress", *way) as sender,
        command("receive", PASSWORD, "--yes", "--output", folder, *way) as receiver,
    ):
        yield Transfer(source, folder, [sender, receiver])


class Flood(threading.Thread):
    """Connections that repeat one packet as fast as TCP takes it, and come again at once when they are cut."""

    def __init__(self, ports: Ports, packet: bytes, number: int) -> None:
        super().__init__(daemon=True)
        self._ports, self._piece, self._number = ports, HELLO + packet * (65536 // len(packet)), number
        self._over = threading.Event()
        self.cuts = 0

    def __enter__(self) -> Flood:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        foes: list[Foe] = []
        while not self._over.is_set():
            for foe in foes:
                foe.say(self._piece)
                foe.hear()
            self.cuts += sum(foe.over for foe in foes)
            foes = [foe for foe in foes if not foe.over or foe.close()]
            with suppress(OSError):
                foes += [Foe(self._ports.relay) for _ in range(self._number - len(foes))]
            sleep(0.001)
        for foe in foes:
            foe.close()


@pytest.mark.unmeasured
@pytest.mark.parametrize("packet", [HELLO, p.encode(0xFFFF, p.Accepted())], ids=["hello", "dropped"])
def test_those_who_send_as_fast_as_they_can_stop_no_transfer(tmp_path: Path, packet: bytes) -> None:
    source = a_file(tmp_path, FILE_SIZE)
    with relay(tmp_path / "relay.log") as (_, ports):
        with transfer(source, ports, tmp_path / "alone") as way:
            alone = way.check()
        with Flood(ports, packet, 8) as flood:
            sleep(0.5)
            with transfer(source, ports, tmp_path / "beside") as way:
                beside = way.check()
    print(f"{alone:.1f} s alone, {beside:.1f} s beside {flood.cuts} connections that were cut")
    assert flood.cuts > 0
    assert beside < 6 * alone + 5


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid: int) -> int:
    """Megabytes of memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) >> 10


def processor_time(pid: int) -> float:
    """Seconds that a process has computed."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def settle(pid: int, most: int) -> None:
    """Wait until a relay has no more than so many descriptors, and does nothing for a second.

    Of connections that wait to be accepted its descriptors say nothing, and a relay that gets no processor has many.
    """
    deadline, worked = monotonic() + PATIENCE, -1.0
    while descriptors(pid) > most or processor_time(pid) - worked >= 0.05:
        assert monotonic() < deadline, f"it has {descriptors(pid)} descriptors, or never rests"
        worked = processor_time(pid)
        sleep(1.0)


@pytest.mark.unmeasured
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")
def test_a_file_passes_among_2000_hostile_connections(tmp_path: Path) -> None:
    large, small = a_file(tmp_path, FILE_SIZE), a_file(tmp_path, SMALL)
    with relay(tmp_path / "relay.log") as (pid, ports):
        idle = descriptors(pid)
        with transfer(small, ports, tmp_path / "before") as way:
            way.check()
        settle(pid, idle)
        before = resident(pid)
        with transfer(large, ports, tmp_path / "during") as way:
            connections = assault(ports, way.is_over)
            seconds = way.check()
        settle(pid, idle)
        after = resident(pid)
        with transfer(small, ports, tmp_path / "after") as way:
            way.check()
    print(f"{connections} connections, {seconds:.1f} s for a file among them")
    print(f"{before} -> {after} MB")
    assert connections >= CONNECTIONS
    assert after <= before + 24
