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

from toxcore import HERE

from sansproto.contract import Address, Path
from sansproto.errors import NotOpen
from sansproto.testing.faulty_relay import FaultyRelay
from sansproto.tox import RELAY_PORT, KeyPair, Proxy, Relay, RelayClient, RelayClientDelays
from sansproto.tox.node import ToxNode
from sansproto_sockets import run, system_entropy

COOKIE_REQUEST, COOKIE_RESPONSE, HANDSHAKE, DATA = 24, 25, 26, 27

_REST: Final = 0.002
_BUFFER: Final = 1 << 22
_READS: Final = 256

E = TypeVar("E")
T = TypeVar("T")


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

    def until(self, condition: Callable[[], object], within: float = 20.0) -> float:
        """Let all act until something holds; how long that took."""
        begun = time.monotonic()
        while not condition():
            took = time.monotonic() - begun
            assert took < within, f"not within {within} s"
            for part in self.parts:
                part.turn()
            time.sleep(_REST)
        return time.monotonic() - begun

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end, seconds + 1.0)

    def close(self) -> None:
        for part in self.parts:
            part.stop()


class Running:
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
            self.runner.abort()
            self.runner.__exit__(None, None, None)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def take(self, kind: type[E]) -> list[E]:
        """The same, which are then forgotten."""
        found = self.of(kind)
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found


class Ours(Running):
    """A node of ours."""

    def __init__(
        self,
        *,
        real: bytes = b"",
        dht: bytes = b"",
        host: str = HERE,
        port: int = 0,
        is_udp: bool = True,
        proxy: Proxy | None = None,
    ) -> None:
        self.host = host
        self.real_secret, self.dht_secret = real or secrets.token_bytes(32), dht or secrets.token_bytes(32)
        self.node = ToxNode(real_key=self.real_secret, dht_key=self.dht_secret, entropy=system_entropy, proxy=proxy)
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


class Client(Running):
    """A client of ours at one relay."""

    def __init__(self, relay: Any, *, keys: KeyPair | None = None, **delays: float) -> None:
        self.keys, self.relay_key = keys or KeyPair.of(secrets.token_bytes(32)), relay.dht_key
        self.key = self.keys.public
        self.core = RelayClient(
            relay=Relay(relay.dht_key, Address(HERE, relay.relay_port)),
            private_key=self.keys.secret,
            entropy=system_entropy,
            delays=RelayClientDelays(**delays),
        )
        super().__init__(run(self.core))
        self.call("connect")

    def call(self, verb: str, *arguments: Any) -> Any:
        return self.runner.call(lambda now: getattr(self.core, verb)(*arguments, now))


class OurRelay(Running):
    """A relay of ours, which may misbehave."""

    def __init__(self, *, secret: bytes = b"", port: int = 0) -> None:
        self.secret = secret or secrets.token_bytes(32)
        self.server = FaultyRelay(private_key=self.secret, entropy=system_entropy)
        super().__init__(run(self.server, listen={RELAY_PORT: (HERE, port)}))
        self.relay_port, self.dht_key = self.runner.addresses[RELAY_PORT].port, self.server.public_key


class Line:
    """Everything between a node of ours and the UDP port of a toxcore. They see each other at ``path``, and at another
    port of the line. It loses some packets, or all, or holds some kinds back."""

    def __init__(self, port: int, *, host: str = HERE, loss: float = 0.0, seed: int = 1) -> None:
        self._near, self._far = self._open(host), self._open(host)
        self.path = Path("udp", *self._near.getsockname()[:2])
        self._theirs, self._ours = (host, port), ("", 0)
        self._random = random.Random(seed)
        self.loss, self.is_cut = loss, False
        self.holds: frozenset[int] = frozenset()
        """Kinds of packets that are held back."""
        self.held: list[tuple[bool, bytes]] = []
        """Whether it is from us, and what."""
        self.seen: Counter[tuple[bool, int]] = Counter()
        """How many came, from us or not, of each kind."""

    def turn(self) -> None:
        for is_ours, sock in ((True, self._near), (False, self._far)):
            for _ in range(_READS):
                try:
                    data, source = sock.recvfrom(2048)
                except OSError:  # nothing is there; or nobody was, when something was sent
                    break
                if is_ours:
                    self._ours = source[:2]
                self._take(is_ours, data)

    def stop(self) -> None:
        self._near.close()
        self._far.close()

    def holds_some(self, is_ours: bool, kind: int) -> bool:
        return any(ours is is_ours and data[0] == kind for ours, data in self.held)

    def release(self, is_ours: bool, kind: int) -> None:
        """Let the first one pass."""
        found = next(one for one in self.held if one[0] is is_ours and one[1][0] == kind)
        self.held.remove(found)
        self._pass_on(*found)

    def _take(self, is_ours: bool, data: bytes) -> None:
        self.seen[is_ours, data[0]] += 1
        if self.is_cut or self._random.random() < self.loss:
            return
        if data[0] in self.holds:
            self.held.append((is_ours, data))
        else:
            self._pass_on(is_ours, data)

    def _pass_on(self, is_ours: bool, data: bytes) -> None:
        sock, to = (self._far, self._theirs) if is_ours else (self._near, self._ours)
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
