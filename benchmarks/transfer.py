"""Transfers over loopback in processes of their own: the command against a plain TCP proxy, and the way to Done."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import sansproto_asyncio
from benchmarks.measure import Line
from sansproto.bob import Client, PeerAgreed, Registered, Server
from sansproto.bob import packets as p
from sansproto.trace import Stepped, TraceRecord

HOST = "127.0.0.1"
SIZE = 256 << 20
CROWD = 10_000
PAIRS = 5
PASSWORD = "benchmark"


def run() -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder:
        yield throughput(Path(folder))
    yield from way_to_done()


# -- a file against a proxy --------------------------------------------------------------------------------------------


def throughput(folder: Path) -> Line:
    """A random file, uncompressed: what the receiver says it took, against the same bytes through a proxy."""
    file = folder / "random.bin"
    with file.open("wb") as out:
        for _ in range(SIZE >> 20):
            out.write(os.urandom(1 << 20))
    with ExitStack() as stack:
        ports = [free_port() for _ in range(4)]
        stack.enter_context(process("-m", "benchmarks.plain_tcp", "sink", str(ports[0])))
        stack.enter_context(process("-m", "benchmarks.plain_tcp", "proxy", str(ports[1]), str(ports[0])))
        stack.enter_context(relay(ports[2], ports[3]))
        pairs = [
            (through_proxy(ports[1], file), through_relay(ports[2], ports[3], file, folder / str(number)))
            for number in range(PAIRS + 1)
        ][1:]  # the first one warms up
    value = median(plain / ours for plain, ours in pairs)
    rates = [SIZE / median(times) / 1e6 for times in zip(*pairs, strict=True)]
    note = f"{rates[0]:.0f} and {rates[1]:.0f} MB/s"
    return Line("transfer: 256 MB uncompressed, plain TCP proxy / ours", value, 0.5, True, note=note)


def through_proxy(port: int, file: Path) -> float:
    source = [sys.executable, "-m", "benchmarks.plain_tcp", "source", str(port), str(file)]
    return float(subprocess.run(source, check=True, capture_output=True, text=True).stdout)


def through_relay(port: int, secure_port: int, file: Path, folder: Path) -> float:
    """Seconds from the open channel until the file stands there, verified, as the receiver says."""
    folder.mkdir()
    way = ["--relay", f"{HOST}:{port}", "--secure-port", str(secure_port), "--json"]
    send = ["send", str(file), "--password", PASSWORD, "--no-compress", *way]
    with process("-m", "sansproto_cli", *send, wait=False):
        receive = [sys.executable, "-m", "sansproto_cli", "receive", PASSWORD, "--yes", "--output", str(folder), *way]
        output = subprocess.run(receive, check=True, capture_output=True, text=True).stdout
    (folder / file.name).unlink()
    return float(json.loads(output.splitlines()[-1])["seconds"])


# -- from hello to Done ------------------------------------------------------------------------------------------------


def way_to_done() -> Iterator[Line]:
    """Milliseconds from a client's hello until the relay confirms the agreement."""
    port, secure_port = free_port(), free_port()
    with relay(port, secure_port):
        alone = median(asyncio.run(measure_way(port, secure_port)) for _ in range(21))
        yield Line("hello to Done", alone * 1e3, 30, False, " ms")
        with crowd(port) as joined:
            times = []
            for number in range(10):
                joined(number)
                times.append(asyncio.run(measure_way(port, secure_port)))
                sleep(1 - min(times[-1], 1))
            note = f"the slowest {max(times) * 1e3:.1f} ms"
            name = "hello to Done while 10,000 peers wait and a server joins each second"
            yield Line(name, median(times) * 1e3, 30, False, " ms", note)


async def measure_way(port: int, secure_port: int) -> float:
    """One server that waits, one client that comes."""
    moments: dict[str, float] = {}

    def note(record: TraceRecord) -> None:
        if isinstance(record, Stepped) and record.machine == "bob.peer":
            moments.setdefault(record.input, perf_counter())

    def entropy(n: int, *, purpose: str) -> bytes:
        return os.urandom(n)

    way = {"relay": (HOST, port), "secure_port": secure_port, "entropy": entropy, "password": os.urandom(8)}
    server, client = Server(**way), Client(**way, trace=note)
    async with sansproto_asyncio.run(server, linger=0) as serving, sansproto_asyncio.run(client, linger=0) as waiting:
        serving.call(server.connect)
        async for event in serving:
            if isinstance(event, Registered):
                break
        waiting.call(client.connect)
        async for event in waiting:
            if isinstance(event, PeerAgreed):
                waiting.call(lambda now, uid=event.uid: client.accept(uid, now))
            if "DONE" in moments:
                break
        server.abort()
        client.abort()
    return moments["DONE"] - moments["OPENED"]


@contextmanager
def crowd(port: int) -> Iterator[object]:
    """Many clients that have said hello and wait; gives a function with which one more server joins."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with ExitStack() as stack:

        def join(hello: p.BobPacket) -> None:
            one = stack.enter_context(socket.create_connection((HOST, port)))
            one.sendall(p.encode(p.RELAY, hello))
            one.recv(64)

        for _ in range(CROWD):
            join(p.HelloAsClient())
        yield lambda number: join(p.HelloAsServer(bytes([number]) * 34))


# -- processes ---------------------------------------------------------------------------------------------------------


@contextmanager
def relay(port: int, secure_port: int) -> Iterator[None]:
    command = ["relay", "--quiet", "--bind", HOST, "--port", str(port), "--secure-port", str(secure_port)]
    with process("-m", "sansproto_cli", *command, wait=False):
        while True:
            with suppress(ConnectionRefusedError), socket.create_connection((HOST, secure_port)):
                break
            sleep(0.05)
        yield


@contextmanager
def process(*command: str, wait: bool = True) -> Iterator[None]:
    """A Python process that says that it is ready by its first line of output."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        try:
            if wait:
                child.stdout.readline()
            yield
        finally:
            child.terminate()
            child.communicate()


def free_port() -> int:
    with socket.create_server((HOST, 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
