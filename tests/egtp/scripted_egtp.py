"""EGTP's scripted peers: the transport and the store of a mailbox server, its clients; and the server of a client."""

from __future__ import annotations

from typing import Any, ClassVar

from scripted import ScriptedPeer

from sansproto.contract import AbortTransport, Address, CloseTransport, Link, OpenStream, SendBytes
from sansproto.egtp import (
    MAILBOX_PORT,
    KeyPair,
    MailboxClient,
    MailboxClientDelays,
    MailboxClientLimits,
    MailboxServer,
    MailboxServerDelays,
    MailboxServerLimits,
    StoreWanted,
    crypto,
)
from sansproto.egtp import packets as p
from sansproto.egtp.channel import Channel, read_hello, read_welcome, write_hello, write_welcome
from sansproto.testing.conformance_egtp import MACHINES
from sansproto.testing.entropy import ScriptedEntropy

SERVER = KeyPair.of(bytes(range(32)))
OWNER, OTHER, DEPOSITOR = (KeyPair.of(bytes([number]) * 32) for number in (7, 8, 9))
EPHEMERAL = b"ephemera" * 4
EPOCH = 1_700_000_000
HERE, THERE = "192.0.2.7", "198.51.100.8"
TERMS = p.Terms(16384, 256, 604800)


def mailbox_of(owner: KeyPair) -> bytes:
    return crypto.mailbox_id(SERVER.public, owner.public)


def frames_in(data: bytes) -> list[bytes]:
    """The messages of whole frames."""
    found, at = [], 0
    while at < len(data):
        frame, at = p.FrameOfStream.decode_prefix(data, at)
        found.append(frame.message)
    return found


class Stream(ScriptedPeer):
    """The transport. It closes links as soon as that is asked for; those of a recorded session at its end."""

    machines = MACHINES

    def __init__(self, endpoint: Any) -> None:
        self.ended: dict[Link, type] = {}
        self.opening: list[Link] = []
        super().__init__(endpoint)

    def carry(self, transmit: Any) -> None:
        match transmit:
            case SendBytes(link, data):
                self.arrive(link, data)
            case OpenStream(link):
                self.opening.append(link)
            case CloseTransport(link) | AbortTransport(link):
                self.ended[link] = type(transmit)
                if not self.pause:
                    self.endpoint.stream_lost(link, self.now)

    def arrive(self, link: Link, data: bytes) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """A recorded session has its links closed that it closed, but for those that were lost."""
        self.drain()
        lost = [step.get("lost", {}).get("link") for step in self.steps] if self.pause else [*self.ended]
        for link in [link for link in self.ended if link not in lost]:
            self.stream_lost(link, self.now)


class Guest:
    """Somebody at a mailbox server, who says what a script says."""

    def __init__(self, peer: ServerPeer, static: KeyPair = DEPOSITOR, host: str = HERE) -> None:
        self.peer, self.static = peer, static
        self.heard: list[Any] = []
        self.channel: Channel | None = None
        self.link = peer.stream_accepted(MAILBOX_PORT, Address(host, 40000 + len(peer.guests)), peer.now)
        peer.guests[self.link] = self
        frame, self.kept = write_hello(static, EPHEMERAL, SERVER.public)
        self.hello = frame

    def say(self, data: bytes) -> None:
        self.peer.drain()
        self.peer.now += self.peer.pause
        self.peer.receive_data(self.link, data, self.peer.now)
        self.peer.settle()

    def ask(self, *requests: p.Request) -> list[Any]:
        """What comes back, with the names of packets that carry nothing else."""
        self.say(b"".join(self.seal(p.REQUEST.encode(request)) for request in requests))
        return self.take()

    def seal(self, clear: bytes) -> bytes:
        assert self.channel is not None
        return self.channel.outgoing.seal(clear)

    def take(self) -> list[Any]:
        found, self.heard = self.heard, []
        return found

    def hear(self, data: bytes) -> None:
        for message in frames_in(data):
            if self.channel is None:
                terms, self.channel = read_welcome(self.kept, self.static, message)
                self.heard.append(terms)
            else:
                self.heard.append(p.RESPONSE.decode(self.channel.incoming.open(message)))

    @property
    def is_closed(self) -> bool:
        self.peer.drain()
        return self.peer.ended.get(self.link) is CloseTransport


class ServerPeer(Stream):
    """The store of a mailbox server, and all its clients."""

    kind = "egtp.mailbox_server"
    usual: ClassVar[Any] = {"private_key": SERVER.private.hex(), "wall_epoch": EPOCH * 1000}
    bounds: Any = (MailboxServerLimits(), MailboxServerDelays())

    def __init__(self, endpoint: Any) -> None:
        self.guests: dict[Link, Guest] = {}
        self.wanted: list[StoreWanted] = []
        self.is_storing = True
        super().__init__(endpoint)

    @classmethod
    def live(cls, **more: Any) -> ServerPeer:
        given = {"private_key": SERVER.private, "wall_epoch": float(EPOCH), "entropy": ScriptedEntropy()}
        return cls(MailboxServer(**given | more))

    def arrive(self, link: Link, data: bytes) -> None:
        self.guests[link].hear(data)

    def settle(self) -> None:
        """Store what is wanted."""
        while self.is_storing and (events := [event for event in self.take() if isinstance(event, StoreWanted)]):
            self.wanted += events
            self.now += self.pause
            self.stored(events[-1].number, self.now)
        self.drain()

    def guest(self, static: KeyPair = DEPOSITOR, host: str = HERE) -> Guest:
        """Somebody whose channel stands."""
        guest = Guest(self, static, host)
        guest.say(guest.hello)
        guest.take()
        return guest

    def owner(self, static: KeyPair = OWNER, host: str = HERE) -> Guest:
        """Somebody who has registered."""
        guest = self.guest(static, host)
        guest.ask(p.Register())
        return guest


def deposit(blob: bytes = b"blob", owner: KeyPair = OWNER, tag: int = 1) -> p.Deposit:
    return p.Deposit(tag.to_bytes(4, "little"), mailbox_of(owner), blob)


class ClientPeer(Stream):
    """The mailbox server of a client."""

    kind = "egtp.mailbox_client"
    usual: ClassVar[Any] = {
        "host": "192.0.2.1",
        "port": 7000,
        "server_key": SERVER.public.hex(),
        "private_key": OWNER.private.hex(),
    }
    bounds: Any = (MailboxClientLimits(), MailboxClientDelays())

    def __init__(self, endpoint: Any) -> None:
        self.heard: list[Any] = []
        self.inbox: list[bytes] = []
        self.channel: Channel | None = None
        super().__init__(endpoint)

    @classmethod
    def live(cls, **more: Any) -> ClientPeer:
        given = {
            "server": Address("192.0.2.1", 7000),
            "server_key": SERVER.public,
            "private_key": OWNER.private,
            "entropy": ScriptedEntropy(),
        }
        return cls(MailboxClient(**given | more))

    @property
    def link(self) -> Link:
        return self.opening[-1]

    def arrive(self, link: Link, data: bytes) -> None:
        for message in frames_in(data):
            if self.channel is None:
                self.inbox.append(message)
            else:
                self.heard.append(p.REQUEST.decode(self.channel.incoming.open(message)))

    def open(self) -> None:
        """The connection that was asked for is there."""
        self.connect(self.now)
        self.drain()
        self.now += self.pause
        self.stream_opened(self.link, self.now)
        self.drain()

    def welcome(self, server: KeyPair = SERVER, terms: p.Terms = TERMS) -> None:
        """Connect, and shake hands."""
        self.open()
        frame, channel = write_welcome(read_hello(server, self.inbox.pop()), EPHEMERAL, terms)
        self.say(frame)
        self.channel = channel

    def own(self) -> None:
        """Register, too."""
        self.welcome()
        self.register(self.now)
        self.answer(p.Registered(b"epoch..1", 2))

    def say(self, data: bytes) -> None:
        self.drain()
        self.now += self.pause
        self.receive_data(self.link, data, self.now)
        self.drain()

    def answer(self, *responses: p.Response) -> None:
        assert self.channel is not None
        self.say(b"".join(self.channel.outgoing.seal(p.RESPONSE.encode(response)) for response in responses))

    def asked(self) -> list[Any]:
        """The requests since the last time."""
        self.drain()
        found, self.heard = self.heard, []
        return found
