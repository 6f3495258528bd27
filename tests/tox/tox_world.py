"""Nodes of Tox and relays on a network in memory."""

from __future__ import annotations

from typing import Any

from sansproto.contract import Address, Path
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, Host, Node, VirtualNetwork
from sansproto.tox import FriendOffline, MessageReceived, Relay, RelayServer, ToxNode


class World:
    """Nodes and relays on a network in memory."""

    def __init__(self, seed: int = 1, **conditions: Any) -> None:
        self.net = VirtualNetwork(seed=seed, default=Conditions(**{"latency": 0.02, **conditions}))
        self.relays: list[Node[Any]] = []

    def relay(self) -> Relay:
        number = len(self.relays)
        server = RelayServer(private_key=bytes([50 + number]) * 32, entropy=ScriptedEntropy(seed=b"%d" % number))
        self.relays.append(self.net.host(f"10.0.1.{number}").run(server, listen={"relay": 443}))
        return Relay(server.public_key, Address(f"10.0.1.{number}", 443))

    def node(self, number: int, seed: str = "", **more: Any) -> Tox:
        return Tox(self, number, seed, **more)


class Tox:
    """A node, with its keys and its host."""

    def __init__(
        self,
        world: World,
        number: int,
        seed: str = "",
        *,
        keys: int = 0,
        host: Host | None = None,
        has_socket: bool = True,
        **more: Any,
    ) -> None:
        self.world, self.keys, self.dht = world, keys or number, (keys or number) + 100
        self.tox = self.make(seed, **more)
        at = host or world.net.host(f"10.0.0.{number}")
        self.path = Path("udp", at.address, 33445 + number)
        self.node = at.run(self.tox, sockets={"udp": self.path.port} if has_socket else {})

    def make(self, seed: str, **more: Any) -> ToxNode:
        secrets = {"real_key": bytes([self.keys]) * 32, "dht_key": bytes([self.dht]) * 32}
        return ToxNode(**secrets, entropy=ScriptedEntropy(seed=seed.encode() + bytes([self.keys])), **more)

    @property
    def key(self) -> bytes:
        return self.tox.real_key

    @property
    def events(self) -> list[Any]:
        return self.node.events

    def restart(self, seed: str, **more: Any) -> None:
        self.tox = self.make(seed, **more)
        self.node.restart(self.tox, silent=True)

    def befriend(
        self, other: Tox, *, path: bool = False, at: Path | None = None, relays: tuple[Relay, ...] = ()
    ) -> None:
        at = other.path if path else at
        self.node.call(lambda now: self.tox.add_friend(other.key, other.tox.dht_key, now, path=at, relays=relays))

    def use(self, relay: Relay) -> bool:
        return self.node.call(lambda now: self.tox.add_relay(relay, now))

    def say(self, other: Tox, text: str) -> int | None:
        return self.node.call(lambda now: self.tox.send_message(other.key, text, now))

    def give(self, other: Tox, packets: list[bytes]) -> int:
        """Custom packets; how many were taken."""
        return self.node.call(lambda now: self.tox.send_many(other.key, packets, now))

    def texts(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, MessageReceived)]

    def ways(self, other: Tox) -> Any:
        return self.tox.friends.all[other.key].ways


def meet(world: World, a: Tox, b: Tox, within: float = 30.0) -> float:
    begun = world.net.now
    world.net.run_until(lambda: a.tox.is_online(b.key) and b.tox.is_online(a.key), within=within)
    return world.net.now - begun


def chat(world: World, a: Tox, b: Tox, seconds: float) -> None:
    """A message both ways each tenth of a second."""
    for _ in range(int(seconds * 10)):
        a.sent, b.sent = getattr(a, "sent", 0), getattr(b, "sent", 0)
        if a.say(b, f"{a.sent}") is not None:
            a.sent += 1
        if b.say(a, f"{b.sent}") is not None:
            b.sent += 1
        world.net.run(0.1)


def all_arrived(a: Any, b: Any) -> bool:
    return a.texts() == [str(n) for n in range(b.sent)] and b.texts() == [str(n) for n in range(a.sent)]


def offline(*nodes: Tox) -> list[Any]:
    return [event for node in nodes for event in node.events if isinstance(event, FriendOffline)]
