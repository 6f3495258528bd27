"""Bob's scripted peers: the transport of a session of Bob, and whoever is at its other ends."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from scripted import ScriptedPeer
from transcripts import packets_in

from sansproto import bob
from sansproto.bob import crypto
from sansproto.bob import packets as p
from sansproto.contract import Address, Link

HOST, PASSWORD, SALT = "192.0.2.1", b"soarfly-bril", bytes(range(16))
ME, OTHER, THIRD = "198.51.100.7:40001", "198.51.100.8:40002", "198.51.100.9:40003"
SCALAR = bytes(range(8, 40))  # of whoever stands in for the other end
BASE_POINT = b"\x58" + b"\x66" * 31
BOTH_WAYS = p.PublicParameters(1, 2, p.Cipher.AES_256_GCM, p.Cipher.AES_256_GCM, SALT)
CLIENT, SERVER, ACCEPTED = p.HelloAsClient(), p.HelloAsServer(BOTH_WAYS.encode()), p.Accepted()


class BobPeer(ScriptedPeer):
    """Whoever speaks to a session of Bob. ``heard`` are the packets that came out, by their kind, with their uids."""

    paces: ClassVar[Any] = {"work": 0.125}

    def put(self, link: Link, uid: int, packet: p.BobPacket) -> None:
        self.receive_data(link, p.encode(uid, packet), self.now)

    def said(self, link: Link | None = None) -> list[tuple[int, p.BobPacket]]:
        """The packets that came out on a link since the last time, and to whom each went."""
        self.drain()
        found = [*packets_in(bytes(self.written.pop(link or self.link, b"")))]
        for uid, packet in found:
            self.heard[type(packet)].append((uid, packet))
        return found

    def all(self, kind: type[p.BobPacket]) -> list[tuple[int, Any]]:
        """The packets of a kind that came out so far."""
        self.said()
        return self.heard[kind]

    def whom(self, kind: type[p.BobPacket]) -> list[int]:
        return [uid for uid, _ in self.all(kind)]


class MemberPeer(BobPeer):
    """The relay of a client or server, and whoever is there."""

    arguments: ClassVar[Any] = {"relay": (HOST, 9000), "secure_port": 9001, "password": PASSWORD}
    usual: ClassVar[Any] = {"relay": {"host": HOST, "port": 9000}, "secure_port": 9001, "password": PASSWORD.hex()}
    identity: type[Any]

    def get(self, uid: int, packet: p.BobPacket) -> None:
        self.put(self.link, uid, packet)

    def register(self) -> None:
        self.connect(self.now)
        self.drain()
        while not self.link:  # a server derives its own secret first
            self.tick()
        self.open()
        self.get(p.RELAY, self.identity(ME))
        self.said()

    def talk(self, answer: bytes = b"00", **changes: Any) -> None:
        """All the way to the secure port: without its answer into the lobby, or into the open channel."""
        self.register()
        self.meet(**changes)
        self.open()
        self.stream_lost(Link(self.link - 1), self.now)  # the one before: to the relay
        if answer:
            self.receive_data(self.link, answer, self.now)
        key = getattr(self.half.keys, self.kind.removeprefix("bob."))
        self.other_sends = crypto.RecordCipher(crypto.RecordKey.from_shared(key))


class ClientPeer(MemberPeer):
    """The relay of a client, and all servers."""

    kind, role, identity = "bob.client", bob.Client, p.ClientIdentity

    def announce(self, uid: int = 1, identity: str = OTHER, **changes: Any) -> None:
        self.get(p.RELAY, p.NewServer(uid, attrs.evolve(BOTH_WAYS, **changes).encode(), identity))

    def reply(self, uid: int = 1, identity: str = OTHER, password: bytes = PASSWORD, count: int = 2) -> None:
        secret = crypto.ServerSecret.from_derived(crypto.derive(password, SALT, count))
        ends = (dict(self.all(p.XAndClientIdentity))[uid].x_point, ME.encode(), identity.encode())
        self.half = crypto.server_reply(secret, crypto.scalar(SCALAR), *ends)
        self.get(uid, p.YAndServerValidator(self.half.y_point, self.half.validator))

    def agree(self, uid: int = 1, **changes: Any) -> None:
        self.announce(uid, **changes)
        self.tick()
        self.reply(uid)
        self.get(uid, p.Agreement())

    def meet(self, **changes: Any) -> None:
        self.agree(**changes)
        self.accept(1, self.now)
        self.get(p.RELAY, p.Done())


class ServerPeer(MemberPeer):
    """The relay of a server, and all clients."""

    kind, role, identity = "bob.server", bob.Server, p.ServerIdentity
    usual: ClassVar[Any] = {**MemberPeer.usual, "count": 2, "client_cipher": "AES_256_GCM"}

    def register(self) -> None:
        super().register()
        public = p.PublicParameters.decode(dict(self.all(p.HelloAsServer))[p.RELAY].public)
        self.secret = crypto.ClientSecret.from_derived(crypto.derive(PASSWORD, public.salt, public.count))
        self.x_point = crypto.client_hello(self.secret, crypto.scalar(SCALAR))

    def ask(self, uid: int = 2, identity: str = OTHER) -> None:
        self.get(uid, p.XAndClientIdentity(self.x_point, identity))

    def prove(self, uid: int = 2, identity: str = OTHER) -> None:
        reply = dict(self.all(p.YAndServerValidator))[uid]
        ends = (self.x_point, reply.y_point, reply.validator, identity.encode(), ME.encode())
        self.half = crypto.client_finish(self.secret, crypto.scalar(SCALAR), *ends)
        self.get(uid, p.ClientValidator(self.half.validator))

    def meet(self) -> None:
        self.ask()
        self.prove()
        self.get(2, ACCEPTED)


class RelayPeer(BobPeer):
    """All peers of a relay. Each has the address that follows from the number of its connection."""

    kind, role, paces = "bob.relay", bob.Relay, {}

    def come(self, listener: str = bob.RELAY_PORT, line: str = "") -> Link:
        number, self.now = self.link + 1, self.now + self.pause
        peer = Address(f"198.51.100.{7 + number // 20_000}", 40_000 + number % 20_000)
        self.link = self.stream_accepted(listener, peer, self.now)
        if line:
            self.receive_data(self.link, line.encode() + b"\n", self.now)
        return self.link

    def join(self, hello: p.BobPacket) -> Link:
        link = self.come()
        self.put(link, p.RELAY, hello)
        return link

    def ask(self, client: Link, uid: int) -> None:
        self.put(client, uid, p.XAndClientIdentity(SCALAR, self.registry.members[client].identity))

    def unite(self, answer: p.BobPacket = ACCEPTED) -> tuple[str, str]:
        """A server and a client go through a whole exchange, and leave; the lines that open their room."""
        server, client = self.join(SERVER), self.join(CLIENT)
        at_server, at_client = (self.registry.members[link] for link in (server, client))
        self.ask(client, at_server.uid)
        self.put(server, at_client.uid, p.YAndServerValidator(SCALAR, bytes(64)))
        self.put(client, at_server.uid, p.ClientValidator(bytes(64)))
        self.put(server, at_client.uid, p.Agreement())
        self.put(client, at_server.uid, answer)
        self.end()
        return at_client.identity, at_server.identity
