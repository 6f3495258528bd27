"""The stage for scenarios: one recorded session, and a hand that plays everybody else."""

from __future__ import annotations

from typing import Any

import attrs

from sansproto.bob import (
    RELAY_PORT,
    SECURE_PORT,
    PeerDelays,
    PeerLimits,
    RelayDelays,
    RelayLimits,
    crypto,
)
from sansproto.bob import packets as p
from sansproto.contract import AbortTransport, Address, CloseTransport, Link, OpenStream, SendBytes
from sansproto.testing import staging
from sansproto.testing.conformance_bob import MACHINES
from sansproto.testing.record import plain
from sansproto.testing.staging import Config, whole

HOST = "192.0.2.1"
PASSWORD = b"soarfly-bril"
SALT = bytes(range(16))
ME, OTHER, THIRD = "198.51.100.7:40001", "198.51.100.8:40002", "198.51.100.9:40003"
SCALAR = bytes(range(8, 40))  # of whoever stands in for the other end
BASE_POINT = b"\x58" + b"\x66" * 31
BOTH_WAYS = p.PublicParameters(1, 2, p.Cipher.AES_256_GCM, p.Cipher.AES_256_GCM, SALT)


# -- the stage: a recorded session, and a hand that plays everybody else -----------------------------------------------


class Stage(staging.Stage):
    """The relay's streams, and what is written to them."""

    def __init__(self, kind: str, config: Config) -> None:
        self.asked: list[OpenStream] = []
        self.closing: dict[Link, None] = {}
        self.written = bytearray()
        super().__init__(MACHINES, kind, config)

    def next_transmit(self) -> Any:
        transmit = super().next_transmit()
        if isinstance(transmit, SendBytes):
            self.written += transmit.data
        elif isinstance(transmit, OpenStream):
            self.asked.append(transmit)
        elif isinstance(transmit, CloseTransport | AbortTransport):
            self.closing[transmit.link] = None
        return transmit

    def end(self) -> None:
        """The transport has closed what it was to close."""
        self.flush()
        for link in tuple(self.closing):
            self.stream_lost(link, self.now)

    def stream_lost(self, link: Link, now: float, *, detail: str = "") -> None:
        self.flush()
        self.closing.pop(link, None)
        super().__getattr__("stream_lost")(link, now, detail=detail)

    def said(self) -> list[tuple[int, p.BobPacket]]:
        """The packets that came out since the last time."""
        self.flush()
        packets, offset = [], 0
        while offset < len(self.written):
            header, packet, offset = p.FRAME.decode_prefix(bytes(self.written), offset)
            packets.append((header.uid, packet))
        self.written.clear()
        return packets


class PeerStage(Stage):
    """A client or server; the hand plays the relay and the other peers."""

    secret: Any

    def __init__(self, kind: str, *, host: str = HOST, limits: Config | None = None, **more: Any) -> None:
        config = {
            "relay": {"host": host, "port": 9000},
            "secure_port": 9001,
            "password": PASSWORD.hex(),
            **more,
            "limits": whole(attrs.evolve(PeerLimits(), **(limits or {}))),
            "delays": whole(PeerDelays(work=0.125)),
        }
        super().__init__(kind, config)
        self.material = crypto.derive(PASSWORD, SALT, 2)

    def get(self, uid: int, packet: p.BobPacket) -> None:
        self.receive_data(self.link, p.encode(uid, packet), self.now)

    def open(self) -> None:
        """The connection that was asked for last is there."""
        self.flush()
        self.link = self.asked[-1].link
        self.wait(0.125)
        self.stream_opened(self.link, self.now)

    def register(self) -> None:
        self.connect(self.now)
        if self.kind == "bob.server":
            self.tick()
        self.open()
        identity = p.ClientIdentity(ME) if self.kind == "bob.client" else p.ServerIdentity(ME)
        self.get(0, identity)
        self.written.clear()

    def enter_room(self) -> None:
        """The way to the secure port, up to the open channel."""
        self.approach()
        self.receive_data(self.link, b"00", self.now)
        self.written.clear()

    def approach(self) -> None:
        old = self.link
        self.open()
        self.stream_lost(old, self.now)


class ClientStage(PeerStage):
    def __init__(self, **more: Any) -> None:
        super().__init__("bob.client", **more)
        self.server = crypto.ServerSecret.from_derived(self.material)

    def meet(self, uid: int = 1, public: p.PublicParameters = BOTH_WAYS) -> None:
        """A server is announced, and X goes out."""
        self.get(0, p.NewServer(uid, public.encode(), OTHER))
        self.tick()

    def reply(self, uid: int = 1, secret: crypto.ServerSecret | None = None) -> None:
        x_point = next(x.x_point for to, x in self.said() if to == uid and isinstance(x, p.XAndClientIdentity))
        ends = (crypto.scalar(SCALAR), x_point, ME.encode(), OTHER.encode())
        self.half = crypto.server_reply(secret or self.server, *ends)
        self.get(uid, p.YAndServerValidator(self.half.y_point, self.half.validator))

    def agree(self, uid: int = 1, public: p.PublicParameters = BOTH_WAYS) -> None:
        self.meet(uid, public)
        self.reply(uid)
        self.get(uid, p.Agreement())

    def talk(self, public: p.PublicParameters = BOTH_WAYS) -> None:
        """All the way into the open channel."""
        self.register()
        self.agree(public=public)
        self.accept(1, self.now)
        self.get(0, p.Done())
        self.enter_room()
        self.other_sends = crypto.RecordCipher(crypto.RecordKey.from_shared(self.half.keys.client))


class ServerStage(PeerStage):
    def __init__(self, **more: Any) -> None:
        super().__init__("bob.server", **{"count": 2, "client_cipher": "AES_256_GCM", **more})

    def register(self) -> None:
        super().register()
        salt = next(draw.data for draw in self.entropy.draws if draw.purpose == "salt")
        self.client = crypto.ClientSecret.from_derived(crypto.derive(PASSWORD, salt, self.config["count"]))

    def ask(self, uid: int = 2) -> None:
        """A client sends X."""
        self.x_point = crypto.client_hello(self.client, crypto.scalar(SCALAR))
        self.get(uid, p.XAndClientIdentity(self.x_point, OTHER))

    def prove(self, uid: int = 2) -> None:
        reply = next(y for to, y in self.said() if to == uid and isinstance(y, p.YAndServerValidator))
        ends = (self.x_point, reply.y_point, reply.validator, OTHER.encode(), ME.encode())
        self.half = crypto.client_finish(self.client, crypto.scalar(SCALAR), *ends)
        self.get(uid, p.ClientValidator(self.half.validator))

    def talk(self) -> None:
        self.register()
        self.ask()
        self.prove()
        self.get(2, p.Accepted())
        self.enter_room()


class RelayStage(Stage):
    """A relay; the hand plays all peers. Identities count up: a peer that comes later has a higher port."""

    def __init__(self, *, limits: Config | None = None, delays: Config | None = None) -> None:
        limits_of = attrs.evolve(RelayLimits(), **(limits or {}))
        super().__init__("bob.relay", {"limits": whole(limits_of), "delays": whole(RelayDelays(**(delays or {})))})
        self.ports = 40000

    def join(self, listener: str = RELAY_PORT) -> Link:
        self.ports += 1
        self.wait(0.125)
        link: Link = self.stream_accepted(listener, Address("198.51.100.7", self.ports), self.now)
        return link

    def visit(self, line: str = "") -> Link:
        link = self.join(SECURE_PORT)
        if line:
            self.receive_data(link, line.encode() + b"\n", self.now)
        return link

    def put(self, link: Link, uid: int, packet: p.BobPacket) -> None:
        self.receive_data(link, p.encode(uid, packet), self.now)

    def new_client(self) -> Link:
        link = self.join()
        self.put(link, 0, p.HelloAsClient())
        return link

    def new_server(self, public: p.PublicParameters = BOTH_WAYS) -> Link:
        link = self.join()
        self.put(link, 0, p.HelloAsServer(public.encode()))
        return link

    def identity(self, link: Link) -> str:
        return f"198.51.100.7:{40000 + link}"

    def ask(self, client: Link, uid: int) -> None:
        self.put(client, uid, p.XAndClientIdentity(SCALAR, self.identity(client)))

    def unite(self) -> tuple[str, str]:
        """A server with uid 1 and a client with uid 2 agree and leave; their identities."""
        server, client = self.new_server(), self.new_client()
        self.ask(client, 1)
        self.put(server, 2, p.YAndServerValidator(SCALAR, bytes(64)))
        self.put(client, 1, p.ClientValidator(bytes(64)))
        self.put(server, 2, p.Agreement())
        self.put(client, 1, p.Accepted())
        for link in (server, client):
            self.stream_lost(link, self.now)
        return self.identity(client), self.identity(server)

    def expire(self, name: str) -> None:
        """Wait until the timer of this name has fired."""
        while any(timer.endswith(name) for timer in self.timers()):
            self.tick()


class ChannelStage(Stage):
    """A channel of its own; the hand is the stream and the other end."""

    def __init__(self, *, one_way: bool = False, limits: Config | None = None) -> None:
        here, there = (crypto.RecordKey(bytes([n]) * 32, bytes([n]) * 12) for n in (1, 2))
        config = {
            "send_key": None if one_way else plain(here),
            "receive_key": plain(there),
            "limits": whole(attrs.evolve(PeerLimits(), **(limits or {}))),
            "delays": whole(PeerDelays(work=0.125)),
        }
        super().__init__("bob.channel", config)
        self.other_sends = crypto.RecordCipher(there)
