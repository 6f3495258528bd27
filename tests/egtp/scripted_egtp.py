"""EGTP's scripted peers: the store and the clients of a mailbox server, the server of a client, and all whom a node
meets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from scripted import Party, ScriptedPeer

from sansproto import egtp
from sansproto.contract import AbortTransport, Address, CloseTransport, Link, OpenStream, Path, SendBytes, SendDatagram
from sansproto.egtp import MAILBOX_PORT, EgtpNode, KeyPair, MailboxServer, Relay, StoreWanted, crypto
from sansproto.egtp import packets as p
from sansproto.egtp.channel import read_hello, read_welcome, write_hello, write_welcome
from sansproto.testing.entropy import ScriptedEntropy

SERVER = KeyPair.of(bytes(range(32)))
OWNER, OTHER, DEPOSITOR = (KeyPair.of(bytes([number]) * 32) for number in (7, 8, 9))
A, B, C = (KeyPair.of(bytes([number]) * 32) for number in (1, 2, 3))
AT_A, AT_B, AT_C = (Path("udp", host, 7000) for host in ("192.0.2.10", "198.51.100.20", "203.0.113.30"))
RELAY = Relay(SERVER.public, Address("192.0.2.1", 7000))
EPHEMERAL = b"ephemera" * 4
EPOCH = 1_700_000_000
HERE, THERE = "192.0.2.7", "198.51.100.8"
TERMS = p.Terms(16384, 256, 604800)
SERVING: dict[str, Any] = {"private_key": SERVER.private, "wall_epoch": float(EPOCH)}


def mailbox_of(owner: KeyPair) -> bytes:
    return crypto.mailbox_id(SERVER.public, owner.public)


def deposit(blob: bytes = b"blob", owner: KeyPair = OWNER, tag: int = 1) -> p.Deposit:
    return p.Deposit(tag.to_bytes(4, "little"), mailbox_of(owner), blob)


def frames_in(data: bytes) -> Iterator[bytes]:
    """The messages of whole frames."""
    while data:
        frame, size = p.FrameOfStream.decode_prefix(data)
        yield frame.message
        data = data[size:]


class Speaker(Party):
    """One end of a stream to or from a mailbox server; with a channel as soon as it has shaken hands."""

    channel: Any = None
    says: Any = p.RESPONSE
    hears: Any = p.REQUEST

    def hear(self, data: bytes) -> None:
        for message in frames_in(data):
            opened = self.channel and self.hears.decode(self.channel.incoming.open(message))
            self.inbox.append(opened or self.shake(message))

    def shake(self, message: bytes) -> Any:
        return message

    def seal(self, clear: bytes) -> bytes:
        return bytes(self.channel.outgoing.seal(clear))

    def say(self, data: bytes) -> None:
        self.give(data)

    def tell(self, *packets: Any) -> None:
        self.say(b"".join(self.seal(self.says.encode(packet)) for packet in packets))


class Guest(Speaker):
    """Somebody at a mailbox server."""

    says, hears = p.REQUEST, p.RESPONSE

    def __init__(self, peer: ServerPeer, static: KeyPair = DEPOSITOR, host: str = HERE) -> None:
        at = Address(host, 40000 + len(peer.parties))
        super().__init__(peer, peer.stream_accepted(MAILBOX_PORT, at, peer.now))
        self.static, (self.hello, self.kept) = static, write_hello(static, EPHEMERAL, SERVER.public)

    def shake(self, message: bytes) -> p.Terms:
        terms, self.channel = read_welcome(self.kept, self.static, message)
        return terms

    def say(self, data: bytes) -> None:
        self.give(data)
        self.peer.settle()

    def ask(self, *requests: p.Request) -> list[Any]:
        """What comes back, with the names of packets that carry nothing else."""
        self.tell(*requests)
        return self.take()

    @property
    def is_closed(self) -> bool:
        self.peer.drain()
        return self.peer.how.get(self.at) is CloseTransport


class ServerPeer(ScriptedPeer):
    """The store of a mailbox server, and all its clients."""

    kind, role, arguments = "egtp.mailbox_server", MailboxServer, SERVING

    def __init__(self, endpoint: Any) -> None:
        self.wanted, self.is_storing = list[StoreWanted](), True
        super().__init__(endpoint)

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


class ClientPeer(ScriptedPeer):
    """The mailbox server of a client."""

    kind, role = "egtp.mailbox_client", egtp.MailboxClient
    arguments: ClassVar[Any] = {
        "server": RELAY.address,
        "server_key": SERVER.public,
        "private_key": OWNER.private,
    }
    usual: ClassVar[Any] = {"host": RELAY.address.host, "port": RELAY.address.port}
    server: Speaker

    def open(self) -> None:
        """The connection that it asks for is there."""
        self.connect(self.now)
        self.drain()
        self.server = Speaker(self, self.link)
        super().open()

    def welcome(self, server: KeyPair = SERVER, terms: p.Terms = TERMS) -> None:
        """Connect, and shake hands."""
        self.open()
        (hello,) = self.server.take()
        frame, channel = write_welcome(read_hello(server, hello), EPHEMERAL, terms)
        self.server.say(frame)
        self.server.channel = channel

    def own(self) -> None:
        """Register, too."""
        self.welcome()
        self.register(self.now)
        self.server.tell(p.Registered(b"epoch..1", 2))


# -- a node ------------------------------------------------------------------------------------------------------------


def node(keys: KeyPair, seed: str = "", **more: Any) -> EgtpNode:
    """A live node; another seed is another process."""
    given = {"private_key": keys.private, "wall_epoch": float(EPOCH), "entropy": ScriptedEntropy(seed=seed.encode())}
    return EgtpNode(**given | more)


class End:
    """Another endpoint on the network of a node, and where it is. All other names are those of the endpoint."""

    def __init__(self, endpoint: Any, path: Path) -> None:
        self.endpoint, self.path, self.events = endpoint, path, list[Any]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.endpoint, name)


class NodePeer(ScriptedPeer):
    """A node that is A, and whom it meets: other nodes, a mailbox server, and friends who use that."""

    kind, role = "egtp.node", EgtpNode
    arguments: ClassVar[Any] = {"private_key": A.private, "wall_epoch": float(EPOCH)}
    path = AT_A

    def __init__(self, endpoint: Any) -> None:
        self.others: dict[Path, End] = {}
        self.friends: list[End] = []
        self.server: Any = None
        self.is_up = True
        self.opening: list[Link] = []
        self.lines: dict[tuple[Any, Link], tuple[Any, Link]] = {}  # from either end to the other one
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
        self.server = End(MailboxServer(**{**SERVING, "entropy": ScriptedEntropy(seed=b"server"), **more}), AT_A)
        self.lines.clear()

    def unplug(self) -> None:
        """What is sent on the links of our node is lost from now on."""
        self.lines = {near: far for near, far in self.lines.items() if self not in (near[0], far[0])}

    def meet(self, keys: KeyPair, path: Path, seed: str = "") -> End:
        """Another node, which is there from now on."""
        self.others[path] = End(node(keys, seed), path)
        return self.others[path]

    def befriend(self, keys: KeyPair, seed: str = "") -> End:
        """Another node, which has a mailbox at the server."""
        self.friends.append(End(node(keys, seed, relays=(RELAY,), delays=egtp.NodeDelays(poll=10.0)), AT_B))
        self.friends[-1].start(self.now)
        self.settle()
        return self.friends[-1]

    def carry(self, transmit: Any) -> None:
        if isinstance(transmit, OpenStream):
            self.opening.append(transmit.link)  # which is answered when all settle
        else:
            self.route(self, transmit)
        super().carry(transmit)

    def settle(self) -> None:
        """Let everybody answer everybody, until all is said."""
        self.drain()
        while self.opening or any(self.step(end) for end in self.ends()):
            if self.opening:
                self.dial(self, self.opening.pop(0))
            self.drain()

    def go(self, seconds: float) -> None:
        """Time passes, for all of them but the friends."""
        end, due = self.now + seconds, 0.0
        while due < end:
            self.settle()
            timed = [self, *self.others.values(), *filter(None, [self.server])]
            due = min(end, *(at for at in (one.endpoint.next_timeout() for one in timed) if at is not None))
            self.now = max(self.now, due)
            for one in timed[1:]:
                one.handle_timeout(self.now)
            self.wake(self.now)
        self.settle()

    def visit(self) -> None:
        """Time passes for the friends, too."""
        for friend in self.friends:
            friend.handle_timeout(self.now)
        self.settle()

    def ends(self) -> list[End]:
        return [*self.others.values(), *filter(None, [self.server]), *self.friends]

    def step(self, end: End) -> bool:
        """Let one of them say one thing; False if it has nothing to say."""
        for event in iter(end.next_event, None):
            end.events.append(event)
            if isinstance(event, StoreWanted):
                end.stored(event.number, self.now)
        if (transmit := end.next_transmit()) is not None:
            self.route(end, transmit)
        return transmit is not None

    def route(self, end: Any, transmit: Any) -> None:
        """What one of them sends comes to another one."""
        match transmit:
            case SendDatagram(data, path) if path in self.others:
                self.others[path].receive_datagram(data, end.path, self.now)
            case SendDatagram(data, path) if path == AT_A and end.path in self.others:
                self.give(end.path, data)
            case OpenStream(link):
                self.dial(end, link)
            case SendBytes(link, data) if (end, link) in self.lines:
                self.report("receive_data", *self.lines[end, link], data)
            case CloseTransport(link) | AbortTransport(link):
                if (end, link) in self.lines:
                    far = self.lines.pop((end, link))
                    del self.lines[far]
                    self.report("stream_lost", *far, detail="reset")
                if end is not self:
                    end.stream_lost(link, self.now)

    def dial(self, end: Any, link: Link) -> None:
        if self.server is None or not self.is_up:
            self.report("stream_lost", end, link, detail="refused")
            return
        there = self.server.stream_accepted(MAILBOX_PORT, Address(end.path.host, 50000 + link), self.now)
        self.lines[end, link], self.lines[self.server, there] = (self.server, there), (end, link)
        self.report("stream_opened", end, link)

    def report(self, what: str, end: Any, *arguments: Any, **more: Any) -> None:
        """To one of them; to our node a pause later."""
        self.now += self.pause if end is self else 0.0
        getattr(end.endpoint, what)(*arguments, self.now, **more)
