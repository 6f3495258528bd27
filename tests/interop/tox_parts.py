"""What stands around a real toxcore in tests: nodes and relays of ours on real sockets, and a line between two ends."""

from __future__ import annotations

import random
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

from sansproto.contract import Address, Path
from sansproto.errors import NotOpen
from sansproto.tox import RELAY_PORT, Relay, RelayServer
from sansproto.tox.node import ToxNode
from sansproto_sockets import run

HERE: Final = "127.0.0.1"
HERE_V6: Final = "::1"
COOKIE_REQUEST, COOKIE_RESPONSE, HANDSHAKE, DATA = 24, 25, 26, 27

_REST: Final = 0.002
_BUFFER: Final = 1 << 22
_READS: Final = 256

E = TypeVar("E")
T = TypeVar("T")


def entropy(n: int, *, purpose: str) -> bytes:
    return secrets.token_bytes(n)


def free_port() -> int:
    """Free for UDP and TCP. Below those that outgoing connections use."""
    for port in random.sample(range(20_000, 30_000), 50):
        with suppress(OSError), socket.create_server((HERE, port)), socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.bind((HERE, port))
            return port
    raise AssertionError("no free port")


class Part(Protocol):
    def turn(self) -> None: ...
    def stop(self) -> None: ...


class Scene:
    """All that takes part, in one thread."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def add(self, part: T) -> T:
        self.parts.append(part)
        return part

    def stop(self, part: Part) -> None:
        self.parts.remove(part)
        part.stop()

    def until(self, condition: Callable[[], object], within: float = 10.0) -> float:
        """Let all act until something holds; how long that took."""
        begun = time.monotonic()
        while not condition():
            took = time.monotonic() - begun
            assert took < within, f"not within {within} s"
            for part in self.parts:
                part.turn()
            time.sleep(_REST)
        return time.monotonic() - begun

    def close(self) -> None:
        for part in self.parts:
            part.stop()


class _Running:
    """An endpoint on real sockets, and what it told."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner
        self.events: list[Any] = []
        runner.__enter__()

    def turn(self) -> None:
        self.runner.run_once(0)
        with suppress(TimeoutError, NotOpen):
            while True:
                self.events.append(self.runner.next_event(timeout=0))

    def stop(self) -> None:
        """As if the process died: the other end hears nothing of it."""
        with suppress(NotOpen):
            self.runner.__exit__(KeyboardInterrupt, None, None)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


class Ours(_Running):
    """A node of ours."""

    def __init__(
        self, *, real: bytes = b"", dht: bytes = b"", host: str = HERE, port: int = 0, is_udp: bool = True
    ) -> None:
        self.real_secret, self.dht_secret = real or secrets.token_bytes(32), dht or secrets.token_bytes(32)
        self.node = ToxNode(real_key=self.real_secret, dht_key=self.dht_secret, entropy=entropy)
        super().__init__(run(self.node, sockets={"udp": (host, port)} if is_udp else {}))
        self.port = self.runner.addresses["udp"].port if is_udp else 0
        self.real_key, self.dht_key = self.node.real_key, self.node.dht_key

    def call(self, verb: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """A verb of the node, now."""
        result: T = self.runner.call(lambda now: verb(*arguments, now, **more))
        return result

    def befriend(self, friend: Any, *, path: Path | None = None) -> None:
        assert self.call(self.node.add_friend, friend.real_key, friend.dht_key, path=path)

    def text(self, friend: Any, text: str) -> int:
        """The message's number, 0 if it was not taken."""
        return self.call(self.node.send_message, friend.real_key, text) or 0

    def send(self, friend: Any, data: bytes) -> bool:
        return self.call(self.node.send, friend.real_key, data)

    def use_relay(self, port: int, key: bytes) -> None:
        assert self.call(self.node.add_relay, Relay(key, Address(HERE, port)))


class OurRelay(_Running):
    """A relay of ours."""

    def __init__(self, *, secret: bytes = b"", port: int = 0) -> None:
        self.secret = secret or secrets.token_bytes(32)
        self.server = RelayServer(private_key=self.secret, entropy=entropy)
        super().__init__(run(self.server, listen={RELAY_PORT: (HERE, port)}))
        self.port, self.dht_key = self.runner.addresses[RELAY_PORT].port, self.server.public_key


class Line:
    """Everything between a node of ours and the UDP port of a toxcore, which see each other at ``path`` and at a port
    that is drawn: it loses some of it, or all, or holds it back."""

    def __init__(self, port: int, *, host: str = HERE, loss: float = 0.0, seed: int = 1) -> None:
        self._near, self._far = self._open(host), self._open(host)
        self.path = Path("udp", *self._near.getsockname()[:2])
        self._theirs, self._ours = (host, port), ("", 0)
        self._random = random.Random(seed)
        self.loss, self.is_cut, self.holds = loss, False, False
        self.held: list[tuple[bool, bytes]] = []
        """Whether it is ours, and what."""
        self.seen: Counter[tuple[bool, int]] = Counter()
        """Packets by whether they are ours, and by kind."""

    def turn(self) -> None:
        for ours, sock in ((True, self._near), (False, self._far)):
            for _ in range(_READS):
                try:
                    data, source = sock.recvfrom(2048)
                except OSError:  # nothing is there; or nobody was, when something was sent
                    break
                if ours:
                    self._ours = source[:2]
                self._pass_on(ours, data)

    def stop(self) -> None:
        self._near.close()
        self._far.close()

    def are_held(self, kind: int) -> bool:
        """Is such a packet held on its way in each direction?"""
        return {ours for ours, data in self.held if data[0] == kind} == {False, True}

    def release(self, kind: int) -> None:
        """Let the first packet of this kind in each direction pass, and forget all that is held."""
        held, self.held = self.held, []
        for way in (True, False):
            self._send(way, next(data for ours, data in held if ours is way and data[0] == kind))

    def _pass_on(self, ours: bool, data: bytes) -> None:
        self.seen[ours, data[0]] += 1
        if self.holds:
            self.held.append((ours, data))
        elif not self.is_cut and self._random.random() >= self.loss:
            self._send(ours, data)

    def _send(self, ours: bool, data: bytes) -> None:
        sock, to = (self._far, self._theirs) if ours else (self._near, self._ours)
        with suppress(OSError):
            sock.sendto(data, to)

    @staticmethod
    def _open(host: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        sock.bind((host, 0))
        return sock
