"""A link between two clients of a relay, beside 2,000 others who flood it: processor time of the relay's machine.

Everything runs in this process. A turn is what a turn of an adapter's loop is: one read of each link that may be read,
connections that are accepted (one for eight reads), and timers. Making the bytes is not counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from time import process_time
from typing import Final

from benchmarks.measure import Line
from sansproto.contract import (
    AbortTransport,
    Address,
    CloseTransport,
    Link,
    PauseReading,
    ResumeReading,
    SendBytes,
)
from sansproto.tox import RELAY_PORT, KeyPair, RelayServer, crypto
from sansproto.tox import packets as p
from sansproto.tox.relay_channel import OwnKeys, RelayChannel, read_keys, write_hello

FOES = 2000
SECONDS, WARM_UP = 3.0, 1.0
SERVER = KeyPair.of(b"relay key" + bytes(23))
PACKET = bytes(1400)
FRAMES_PER_READ = 92  # of a link that is in use: 128 KiB
FOES_FRAMES = 200  # in each read of a foe: more than it may send at once
NOWHERE = KeyPair.of(b"nobody" + bytes(26)).public


def entropy(n: int, *, purpose: str) -> bytes:
    return os.urandom(n)


class Peer:
    """A client of the relay, or somebody who wants to be one."""

    def __init__(self, crowd: Crowd, host: str) -> None:
        self.crowd, self.keys = crowd, KeyPair.of(os.urandom(32))
        self.inbox, self.heard = b"", 0
        self.channel: RelayChannel | None = None
        self.shared = crypto.agree(self.keys.secret, SERVER.public)
        self.own = OwnKeys(os.urandom(32), os.urandom(24))
        self.hello = write_hello(self.shared, self.keys.public, self.own, os.urandom(24))
        self.link = crowd.relay.stream_accepted(RELAY_PORT, Address(host, 40000), crowd.now())
        crowd.peers[self.link] = self
        crowd.readable[self] = None

    def log_in(self) -> None:
        self.crowd.give(self, self.hello)
        while self.channel is None:
            self.crowd.wake()
        self.say(p.RelayPing(b"a number"))

    def hear(self, data: bytes) -> None:
        self.heard += len(data)
        if self.channel is None:
            self.inbox += data
            if len(self.inbox) >= 96:
                self.channel = self.own.channel(read_keys(self.shared, p.RelayAnswer.decode(self.inbox[:96])))

    def seal(self, frame: p.Control | p.Relayed, count: int = 1) -> bytes:
        assert self.channel is not None  # it has logged in
        return b"".join(self.channel.seal(frame) for _ in range(count))

    def say(self, frame: p.Control | p.Relayed) -> None:
        self.crowd.give(self, self.seal(frame))


class Crowd:
    """A relay, and everybody who is connected to it."""

    def __init__(self) -> None:
        self.uncounted = 0.0
        self.relay = RelayServer(private_key=SERVER.secret, entropy=entropy)
        self.peers: dict[Link, Peer] = {}
        self.readable: dict[Peer, None] = {}

    def now(self) -> float:
        """As if processor time was all that passes."""
        return process_time() - self.uncounted

    def give(self, peer: Peer, data: bytes) -> None:
        self.relay.receive_data(peer.link, data, self.now())
        self.drain()

    def wake(self) -> None:
        self.relay.handle_timeout(self.now())
        self.drain()

    def drain(self) -> None:
        relay = self.relay
        while relay.next_event() is not None:
            pass
        while (transmit := relay.next_transmit()) is not None:
            match transmit:
                case SendBytes(link, data):
                    self.peers[link].hear(data)
                case CloseTransport(link) | AbortTransport(link):
                    self.readable.pop(self.peers.pop(link), None)
                    relay.stream_lost(link, self.now())
                case PauseReading(link):
                    self.readable.pop(self.peers[link], None)  # all links of the newcomer are one peer
                case ResumeReading(link):
                    self.readable[self.peers[link]] = None
                case _:
                    pass

    def free(self, make: Callable[[], bytes]) -> bytes:
        """Bytes that are made in no time."""
        begin = process_time()
        data = make()
        self.uncounted += process_time() - begin
        return data


def linked(crowd: Crowd, host: str, other_host: str) -> tuple[Peer, Peer]:
    one, other = Peer(crowd, host), Peer(crowd, other_host)
    for peer in (one, other):
        peer.log_in()
    one.say(p.RoutingRequest(other.keys.public))
    other.say(p.RoutingRequest(one.keys.public))
    return one, other


def speed(crowd: Crowd, sender: Peer, receiver: Peer, flood: Callable[[], None], seconds: float = SECONDS) -> float:
    """MB/s from one to the other, while each turn of the loop has to do with the flood, too."""
    begin, heard = crowd.now(), receiver.heard
    while crowd.now() < begin + seconds:
        if sender in crowd.readable:
            crowd.give(sender, crowd.free(lambda: sender.seal(p.Relayed(16, PACKET), FRAMES_PER_READ)))
        flood()
        crowd.wake()
    return (receiver.heard - heard) / (crowd.now() - begin) / 1e6


def beside(host: str, says: p.Control | p.Relayed | None, comes: bool) -> tuple[float, float]:
    """The speed alone, and beside foes who say this all the time, or come and go."""
    crowd = Crowd()
    sender, receiver = linked(crowd, "192.0.2.1", "198.51.100.2")
    alone = speed(crowd, sender, receiver, lambda: None)
    foes: list[Peer] = []
    while says is not None and len(foes) < FOES:
        foes += linked(crowd, host, host)
    newcomer = Peer(crowd, host)

    def flood() -> None:
        reads = 1
        for foe in [*crowd.readable] if says is not None else ():
            if foe not in (sender, receiver, newcomer):
                reads += 1
                size = FRAMES_PER_READ if isinstance(says, p.Relayed) else FOES_FRAMES
                crowd.give(foe, crowd.free(lambda foe=foe, size=size: foe.seal(says, size)))  # type: ignore[misc]
        for _ in range(1 + reads // 8 if comes else 0):
            link = crowd.relay.stream_accepted(RELAY_PORT, Address(host, 40000), crowd.now())
            crowd.peers[link] = newcomer
            crowd.relay.receive_data(link, newcomer.hello, crowd.now())
            crowd.drain()

    speed(crowd, sender, receiver, flood, WARM_UP)
    return alone, speed(crowd, sender, receiver, flood)


FLOODS: Final[Mapping[str, tuple[p.Control | p.Relayed | None, bool]]] = {
    "pings": (p.RelayPing(b"a number"), False),
    "packets to nobody": (p.OobSend(NOWHERE, bytes(1000)), False),
    "hellos": (None, True),
    "pings and hellos": (p.RelayPing(b"a number"), True),
    "packets to each other": (p.Relayed(16, PACKET), False),
}


def run() -> Iterator[Line]:
    for name, (says, comes) in FLOODS.items():
        for host, where in (("203.0.113.3", "from another network"), ("192.0.2.77", "from the sender's network")):
            if isinstance(says, p.Relayed) and where == "from the sender's network":
                continue  # what is as good as what the two say: networks share a relay
            alone, among = beside(host, says, comes)
            title = f"tox relay: speed beside {FOES} connections that flood it with {name}, {where} / alone"
            yield Line(title, among / alone, 0.5, True, note=f"{among:.0f} and {alone:.0f} MB/s")
