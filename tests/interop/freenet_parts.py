"""A real Freenet peer beside ours: a program on freenet-core's transport, by the environment variable FREENET_PEER.

docs/protocols/freenet.rst, a real peer, says which commands it must understand.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path as File
from typing import Any, Final, TypeVar

import pytest
from tox_parts import Line, Running, Scene, free_port

from sansproto.contract import Path
from sansproto.freenet import OURS, Connected, FreenetGateway, FreenetPeer, KeyPair, MessageReceived
from sansproto.freenet.crypto import seal_intro
from sansproto.freenet.packets import IntroBody
from sansproto_sockets import run, system_entropy

PROGRAM: Final = os.environ.get("FREENET_PEER", "")
NEEDS: Final = pytest.mark.skipif(not os.access(PROGRAM, os.X_OK), reason="FREENET_PEER does not name a Freenet peer")
HERE: Final = "127.0.0.1"
LENGTH: Final = 8
"""Bytes of the length before a message."""

T = TypeVar("T")
Change = Callable[..., Any]


def pattern(size: int) -> bytes:
    """What ``send SIZE`` of the program sends."""
    return bytes((i * 7 + (i >> 8)) & 0xFF for i in range(size))


def hashed(message: bytes) -> str:
    """FNV-1a, 64 bits, of a payload: so the program prints what it got."""
    value = 0xCBF29CE484222325
    for byte in len(message).to_bytes(LENGTH, "little") + message:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return f"{value:016x}"


class Real:
    """The program, as a gateway or a peer."""

    def __init__(self, role: str, folder: File, *, secret: bytes = b"", port: int = 0, host: str = HERE) -> None:
        self.keys, self.port, self.host = KeyPair.of(secret or secrets.token_bytes(32)), port or free_port(), host
        key = folder / f"{self.keys.public.hex()[:8]}.key"
        key.write_text(self.keys.secret.hex())
        at = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self._log = (folder / "freenet-peer.log").open("ab")
        self._process = subprocess.Popen(
            [PROGRAM, role, at, str(key)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, bufsize=0
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._rest = b""
        self.lines: list[list[str]] = []
        """What it said, in words, without the times."""

    @property
    def key(self) -> bytes:
        return self.keys.public

    def turn(self) -> None:
        assert self._process.stdout is not None
        while read := self._process.stdout.read(65536):
            *whole, self._rest = (self._rest + read).split(b"\n")
            self.lines += [line.decode().split()[1:] for line in whole]

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def say(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)).encode() + b"\n")

    def said(self, word: str) -> list[list[str]]:
        return [line[1:] for line in self.lines if line[:1] == [word]]

    def received(self) -> list[tuple[int, str]]:
        """Sizes and hashes of payloads."""
        return [(int(size), value) for _, size, value in self.said("RECV")]

    @property
    def is_listening(self) -> bool:
        return bool(self.said("LISTEN"))


class Ours(Running):
    """An end of ours, on a real socket."""

    def __init__(self, core: Any, *, port: int = 0, host: str = HERE) -> None:
        self.core, self.host = core, host
        super().__init__(run(core, sockets={"udp": (host, port)}))
        self.port = self.runner.addresses["udp"].port
        self.key: bytes = core.public_key

    def call(self, verb: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """A verb of the core, now."""
        result: T = self.runner.call(lambda now: verb(*arguments, now, **more))
        return result

    def dial(self, key: bytes, port: int, *, gateway: bool, host: str = HERE) -> None:
        assert self.call(self.core.connect, key, Path("udp", host, port), gateway=gateway)

    @property
    def session(self) -> int:
        """The newest one."""
        return self.of(Connected)[-1].generation

    def send(self, data: bytes) -> None:
        assert self.call(self.core.send, self.session, data)

    def messages(self) -> list[bytes]:
        return [event.data for event in self.of(MessageReceived)]

    @property
    def rate(self) -> int:
        """Datagrams in and out so far."""
        return self.core.stats.packets_received + self.core.stats.packets_sent


def our_gateway(secret: bytes = b"", **more: Any) -> Ours:
    return Ours(FreenetGateway(private_key=secret or secrets.token_bytes(32), entropy=system_entropy), **more)


def our_peer(secret: bytes = b"", **more: Any) -> Ours:
    return Ours(FreenetPeer(private_key=secret or secrets.token_bytes(32), entropy=system_entropy), **more)


class Echo:
    """Sends back what an end of ours receives."""

    def __init__(self, ours: Ours) -> None:
        self._ours, self._done = ours, 0
        self._waiting: list[tuple[int, bytes]] = []

    def turn(self) -> None:
        found = self._ours.of(MessageReceived)
        self._waiting += [(event.generation, event.data) for event in found[self._done :]]
        self._done = len(found)
        while self._waiting and self._ours.call(self._ours.core.send, *self._waiting[0]):
            self._waiting.pop(0)

    def stop(self) -> None:
        self._waiting.clear()


class Liar:
    """Asks an end of ours for sessions, in the name of whoever is at a port. (The loopback permits no lies.)"""

    def __init__(self, ours: Ours, port: int, rate: float) -> None:
        self._ours, self._path, self._pause, self._next = ours, Path("udp", HERE, port), 1 / rate, time.monotonic()
        self.sent = 0

    def turn(self) -> None:
        while time.monotonic() >= self._next:
            self._next += self._pause
            self.sent += 1
            body = IntroBody(OURS.wire, secrets.token_bytes(16))
            intro = seal_intro(self._ours.key, secrets.token_bytes(32), body)
            self._ours.call(self._ours.core.receive_datagram, intro, self._path)

    def stop(self) -> None:
        pass


def line_to(scene: Scene, port: int, **more: Any) -> Line:
    return scene.add(Line(port, **more))


def start(scene: Scene, role: str, folder: File, **more: Any) -> Real:
    """A real peer that listens."""
    real = scene.add(Real(role, folder, **more))
    scene.until(lambda: real.is_listening)
    return real


def kill(scene: Scene, part: Any) -> None:
    with suppress(OSError):
        scene.stop(part)
