"""EGTP's scripted peers: the transport and the store of a mailbox server, its clients; and the server of a client."""

from __future__ import annotations

from typing import Any, ClassVar

from scripted import ScriptedPeer

from sansproto.contract import AbortTransport, Address, CloseTransport, Link, OpenStream, Path, SendBytes, SendDatagram
from sansproto.egtp import (
    MAILBOX_PORT,
    EgtpNode,
    KeyPair,
    MailboxClient,
    MailboxClientDelays,
    MailboxClientLimits,
    MailboxServer,
    MailboxServerDelays,
    MailboxServerLimits,
    NodeDelays,
    NodeLimits,
    Relay,
    StoreWanted,
    crypto,
)
from sansproto.egtp import packets as p
from sansproto.egtp.channel import Channel, read_hello, read_welcome, write_hello, write_welcome
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
    """What all of them have to know of links."""

    def __init__(self, endpoint: Any) -> None:
        self.opening: list[Link] = []
        self.how: dict[Link, type] = {}  # a link ended
        super().__init__(endpoint)

    def carry(self, transmit: Any) -> None:
        match transmit:
            case SendBytes(link, data):
                self.arrive(link, data)
                return
            case OpenStream(link):
                self.opening.append(link)
            case CloseTransport(link) | AbortTransport(link):
                self.how[link] = type(transmit)
        super().carry(transmit)

    def arrive(self, link: Link, data: bytes) -> None:
        raise NotImplementedError


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
        return self.peer.how.get(self.link) is CloseTransport


class ServerPeer(Stream):
    """The store of a mailbox server, and all its clients."""

    role = MailboxServer
    arguments: ClassVar[Any] = {"private_key": SERVER.private, "wall_epoch": float(EPOCH)}
    kind = "egtp.mailbox_server"
    usual: ClassVar[Any] = {"private_key": SERVER.private.hex(), "wall_epoch": EPOCH * 1000}
    bounds: Any = (MailboxServerLimits(), MailboxServerDelays())

    def __init__(self, endpoint: Any) -> None:
        self.guests: dict[Link, Guest] = {}
        self.wanted: list[StoreWanted] = []
        self.is_storing = True
        super().__init__(endpoint)

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

    role = MailboxClient
    arguments: ClassVar[Any] = {
        "server": Address("192.0.2.1", 7000),
        "server_key": SERVER.public,
        "private_key": OWNER.private,
    }
    kind = "egtp.mailbox_client"
    usual: ClassVar[Any] = {
        "host": "192.0.2.1",
        "port": 7000,
        "server_key": SERVER.public.hex(),
        "private_key": OWNER.private.hex(),
    }
    bounds: Any = (MailboxClientLimits(), MailboxClientDelays())

    def __init__(self, endpoint: Any) -> None:
        self.requests: list[Any] = []
        self.inbox: list[bytes] = []
        self.channel: Channel | None = None
        super().__init__(endpoint)

    def arrive(self, link: Link, data: bytes) -> None:
        for message in frames_in(data):
            if self.channel is None:
                self.inbox.append(message)
            else:
                self.requests.append(p.REQUEST.decode(self.channel.incoming.open(message)))

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
        found, self.requests = self.requests, []
        return found


# -- a node ------------------------------------------------------------------------------------------------------------

A, B, C = (KeyPair.of(bytes([number]) * 32) for number in (1, 2, 3))
AT_A, AT_B, AT_C = (Path("udp", host, 7000) for host in ("192.0.2.10", "198.51.100.20", "203.0.113.30"))
RELAY = Relay(SERVER.public, Address("192.0.2.1", 7000))


def node(keys: KeyPair, seed: str = "", **more: Any) -> EgtpNode:
    """A live node; another seed is another process."""
    given = {"private_key": keys.private, "wall_epoch": float(EPOCH), "entropy": ScriptedEntropy(seed=seed.encode())}
    return EgtpNode(**given | more)


class NodePeer(Stream):
    """A node that is A, other nodes wherever they are, and a mailbox server."""

    role = EgtpNode
    arguments: ClassVar[Any] = {"private_key": A.private, "wall_epoch": float(EPOCH)}
    kind = "egtp.node"
    usual: ClassVar[Any] = {"private_key": A.private.hex(), "wall_epoch": EPOCH * 1000}
    bounds: Any = (NodeLimits(), NodeDelays())

    def __init__(self, endpoint: Any) -> None:
        self.others: dict[Path, EgtpNode] = {}
        self.server: MailboxServer | None = None
        self.is_up = True
        self.lines: dict[Link, Link] = {}
        self.lost: list[Any] = []
        self.is_losing = False
        super().__init__(endpoint)

    @classmethod
    def with_mailbox(cls, **more: Any) -> Any:
        """A recorded one that has a mailbox at a server."""
        relays = [{"key": SERVER.public.hex(), "host": RELAY.address.host, "port": RELAY.address.port}]
        peer = cls.recorded(relays=relays, **more)
        peer.serve()
        return peer

    def serve(self, **more: Any) -> None:
        """A mailbox server; nothing outlives it."""
        given = {"private_key": SERVER.private, "wall_epoch": float(EPOCH), "entropy": ScriptedEntropy(seed=b"server")}
        self.server = MailboxServer(**given | more)
        self.lines.clear()

    def carry(self, transmit: Any) -> None:
        match transmit:
            case SendDatagram(data, path) if self.is_losing:
                self.lost.append((data, path))
            case SendDatagram(data, path) if path in self.others:
                self.others[path].receive_datagram(data, AT_A, self.now)
            case SendDatagram():
                pass
            case SendBytes(link, data) if link in self.lines and self.server is not None:
                self.server.receive_data(self.lines[link], data, self.now)
            case SendBytes():
                pass
            case CloseTransport(link) | AbortTransport(link):
                if link in self.lines and self.server is not None:
                    self.server.stream_lost(self.lines.pop(link), self.now)
                super().carry(transmit)
            case _:
                super().carry(transmit)

    def settle(self) -> None:
        """Let everybody answer everybody, until all is said."""
        self.drain()
        while self._open() or self._hear_nodes() or self._hear_server():
            self.drain()

    def go(self, seconds: float) -> None:
        """Time passes, for all of them."""
        end = self.now + seconds
        while True:
            self.settle()
            ends = [one.next_timeout() for one in (*self.others.values(), *([self.server] if self.server else ()))]
            due = min([end, *(one for one in (*ends, self.endpoint.next_timeout()) if one is not None)])
            self.now = max(self.now, due)
            for one in (*self.others.values(), *([self.server] if self.server else ())):
                one.handle_timeout(self.now)
            self.wake(self.now)
            if due >= end:
                self.settle()
                return

    def _open(self) -> bool:
        if not self.opening:
            return False
        link = self.opening.pop(0)
        self.now += self.pause
        if self.server is None or not self.is_up:
            self.endpoint.stream_lost(link, self.now, detail="refused")
        else:
            self.lines[link] = self.server.stream_accepted(MAILBOX_PORT, Address("192.0.2.10", 50000 + link), self.now)
            self.endpoint.stream_opened(link, self.now)
        return True

    def _hear_nodes(self) -> bool:
        for path, other in self.others.items():
            while other.next_event() is not None:
                pass
            transmit = other.next_transmit()
            if isinstance(transmit, SendDatagram):
                if transmit.path == AT_A:
                    self.now += self.pause
                    self.endpoint.receive_datagram(transmit.data, path, self.now)
                return True
        return False

    def _hear_server(self) -> bool:
        if self.server is None:
            return False
        while (event := self.server.next_event()) is not None:
            if isinstance(event, StoreWanted):
                self.server.stored(event.number, self.now)
        transmit = self.server.next_transmit()
        if transmit is not None:
            self.hear_from_server(transmit)
        return transmit is not None

    def hear_from_server(self, transmit: Any) -> None:
        assert self.server is not None
        ours = {theirs: link for link, theirs in self.lines.items()}
        match transmit:
            case SendBytes(link, data) if link in ours:
                self.now += self.pause
                self.endpoint.receive_data(ours[link], data, self.now)
            case CloseTransport(link) | AbortTransport(link) if link in ours:
                self.now += self.pause
                self.server.stream_lost(link, self.now)
                del self.lines[ours[link]]
                self.endpoint.stream_lost(ours[link], self.now, detail="reset")


class Friend:
    """Another live node that has a mailbox at the server of a peer."""

    def __init__(self, peer: NodePeer, keys: KeyPair, **more: Any) -> None:
        self.peer, self.node = peer, node(keys, relays=(RELAY,), delays=NodeDelays(poll=10.0), **more)
        self.links: dict[Link, Link] = {}
        self.events: list[Any] = []
        self.node.start(peer.now)
        self.settle()

    def settle(self) -> None:
        """It and the server say all that they have to say by now."""
        server = self.peer.server
        assert server is not None
        self.node.handle_timeout(self.peer.now)
        while True:
            event, transmit = self.node.next_event(), self.node.next_transmit()
            if event is not None:
                self.events.append(event)
            match transmit:
                case OpenStream(link):
                    peer = Address("198.51.100.20", 50000 + link)
                    self.links[link] = server.stream_accepted(MAILBOX_PORT, peer, self.peer.now)
                    self.node.stream_opened(link, self.peer.now)
                case SendBytes(link, data) if link in self.links:
                    server.receive_data(self.links[link], data, self.peer.now)
                case CloseTransport(link) | AbortTransport(link):
                    server.stream_lost(self.links.pop(link), self.peer.now)
                    self.node.stream_lost(link, self.peer.now)
            if event is None and transmit is None and not self._hear_server(server):
                return

    def _hear_server(self, server: MailboxServer) -> bool:
        """What is for others is given to them."""
        while (event := server.next_event()) is not None:
            if isinstance(event, StoreWanted):
                server.stored(event.number, self.peer.now)
        transmit = server.next_transmit()
        ours = {theirs: link for link, theirs in self.links.items()}
        match transmit:
            case SendBytes(link, data) if link in ours:
                self.node.receive_data(ours[link], data, self.peer.now)
            case CloseTransport(link) | AbortTransport(link) if link in ours:
                server.stream_lost(link, self.peer.now)
                self.node.stream_lost(ours[link], self.peer.now)
                del self.links[ours[link]]
            case SendBytes() | CloseTransport() | AbortTransport():
                self.peer.hear_from_server(transmit)
        return transmit is not None
