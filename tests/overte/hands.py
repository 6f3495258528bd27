"""The stage for scenarios of Overte: one recorded session, and a hand that plays everybody else."""

from __future__ import annotations

from pathlib import Path as File
from typing import Any

import attrs
from rig import DOMAIN, DOMAIN_ID, SECRET, US, domain_list

from sansproto.contract import Address, Path, SendDatagram
from sansproto.overte import ClientDelays, ClientLimits, IceDelays, IceLimits, ServerDelays, ServerLimits, crypto
from sansproto.overte import packets as p
from sansproto.overte.header import NO_MAC, Control, ControlType, Header, decode_datagram, encode_datagram
from sansproto.overte.qt import SockAddr
from sansproto.overte.remote import SOCKET
from sansproto.overte.versions import DEFAULT, Form, PacketType
from sansproto.testing.conformance_overte import MACHINES
from sansproto.testing.staging import Config, Stage, whole
from sansproto.testing.vectors import load

EPOCH = 1_762_670_000_000  # milliseconds
TYPES = tuple(PacketType)
GUEST = Path(SOCKET, "203.0.113.7", 48001)
GUEST_LOCAL = SockAddr("192.168.1.23", 48001)
PRIVATE_KEY, PUBLIC_KEY = next(
    (test.octets("inputs", "private_key"), test.octets("inputs", "public_key"))
    for test in load(File(__file__).parents[2] / "vectors" / "overte" / "crypto.json")
    if test.type == "overte.username_signature"
)


class Hand(Stage):
    """A session, and datagrams for it out of packets."""

    def __init__(self, kind: str, config: Config) -> None:
        self.out: list[tuple[Any, bytes, Path]] = []
        super().__init__(MACHINES, kind, {"wall_epoch": EPOCH, **config})

    def next_transmit(self) -> Any:
        transmit = super().next_transmit()
        if isinstance(transmit, SendDatagram) and not transmit.data.startswith(b"\0\1"):  # which is STUN
            self.out.append((*decode_datagram(transmit.data), transmit.path))
        return transmit

    def said(self, kind: PacketType | ControlType) -> Any:
        """The last of its packets of this type: header, or the sequence number of a control packet."""
        self.flush()
        head, payload, path = next(one for one in reversed(self.out) if one[0].type is kind)
        return head.sequence if isinstance(head, Control) else (payload, path)

    def say(self, content: Any, path: Path, *, source: int = 0, secret: bytes = b"", **head: Any) -> None:
        """Send it a packet, or a type and a payload."""
        kind, payload = content if isinstance(content, tuple) else (TYPES[content.__wire__.id], content.encode())
        header = Header(
            kind,
            head.pop("number", 1),
            head.pop("version", DEFAULT[kind]),
            None if kind.form is Form.UNSOURCED else source,
            None if kind.form is not Form.VERIFIED else crypto.mac(secret, payload) if secret else NO_MAC,
            **head,
        )
        self.receive_datagram(encode_datagram(header, payload), path, self.now)

    def reliably(self, number: int, content: Any, path: Path, **head: Any) -> None:
        self.say(content, path, number=number, reliable=True, **head)

    def rest(self) -> None:
        """Let all timers fire, until there are none."""
        while self.next_timeout() is not None:
            self.tick()
            self.flush()

    def control(self, kind: ControlType, path: Path, number: int | None = None) -> None:
        self.receive_datagram(encode_datagram(Control(kind, number)), path, self.now)


class ClientHand(Hand):
    """A client; the hand is the domain and the other nodes."""

    def __init__(self, *, limits: Config | None = None, **more: Any) -> None:
        config = {
            "host": "domain.example",
            "port": 40102,
            **more,
            "limits": whole(attrs.evolve(ClientLimits(), **(limits or {}))),
            "delays": whole(ClientDelays(handshake=0.125)),
        }
        super().__init__("overte.client", config)

    def bind(self, address: Address = US) -> None:
        self.socket_bound(SOCKET, address, self.now)

    def find(self, path: Path = DOMAIN, query: int = 1) -> None:
        self.wait(0.125)
        self.looked_up(query, (Address(path.host, path.port),), self.now)

    def go(self) -> None:
        """Up to the first connect request."""
        self.bind()
        self.connect(self.now)
        self.find()

    def list(self, *nodes: p.NodeRecord, **changes: Any) -> None:
        self.wait(0.125)
        self.say(domain_list(*nodes, **changes), DOMAIN)

    def come_in(self, *nodes: p.NodeRecord) -> None:
        self.go()
        self.list(*nodes)

    def live(self, until: float) -> None:
        """Let time pass; the domain answers each check-in."""
        while self.next_timeout() <= until:
            before = len(self.out)
            self.tick()
            self.flush()
            if any(head.type is PacketType.DOMAIN_LIST_REQUEST for head, *_ in self.out[before:]):
                self.list(new_connection=False)

    def ack(self, path: Path = DOMAIN, step: int = 0) -> None:
        """Acknowledge its first reliable packet, or the one so many behind it."""
        self.control(ControlType.ACK, path, self.first + step)

    def shake(self, path: Path = DOMAIN) -> None:
        self.first = self.said(ControlType.HANDSHAKE)
        self.wait(0.125)
        self.control(ControlType.HANDSHAKE_ACK, path, self.first)

    def ping(self, path: Path, clock: int, connection_id: int = 0) -> None:
        self.say(p.Ping(p.PingType.PUBLIC, clock, connection_id), path, source=4661, secret=SECRET)

    def pong(self, kind: p.PingType, path: Path, clock: int | None = None) -> None:
        """Answer its last ping."""
        self.flush()
        payload = next(
            payload
            for head, payload, _ in reversed(self.out)
            if head.type is PacketType.PING and payload[0] == kind.value
        )
        asked = p.Ping.decode(payload).clock if clock is None else clock
        self.say(p.PingReply(kind, asked, asked + 70_000), path, source=4661, secret=SECRET)


class ServerHand(Hand):
    """A domain server; the hand is all nodes and its ice-server."""

    def __init__(self, *, limits: Config | None = None, **more: Any) -> None:
        config = {
            "domain_id": DOMAIN_ID.hex(),
            **more,
            "limits": whole(attrs.evolve(ServerLimits(), **(limits or {}))),
            "delays": whole(ServerDelays(handshake=0.125)),
        }
        super().__init__("overte.server", config)

    def request(self, path: Path = GUEST, **changes: Any) -> p.DomainConnectRequest:
        inner = {name: changes.pop(name) for name in tuple(changes) if name in p.CheckIn.__annotations__}
        fields = {
            "client_clock": EPOCH * 1000,
            "node_type": p.NodeType.AGENT,
            "public_socket": SockAddr(path.host, path.port),
            "local_socket": GUEST_LOCAL,
            "interests": b"MWoAmS",
            "place_name": None,
        }
        request = p.DomainConnectRequest(
            connect_id=bytes(16),
            protocol_signature=DEFAULT.signature,
            hardware_address=None,
            machine_fingerprint=b"machine".ljust(16, b"\1"),
            system_info=bytes(4),
            reason=0,
            previous_uptime=0,
            check_in=p.CheckIn(**{**fields, **inner}),
            username=None,
            username_signature=b"",
        )
        return attrs.evolve(request, **changes)

    def ask(self, path: Path = GUEST, **changes: Any) -> None:
        self.wait(0.125)
        self.say(self.request(path, **changes), path)

    def enter(self, path: Path = GUEST, **changes: Any) -> p.DomainList:
        """Ask, and be let in."""
        self.ask(path, **changes)
        return self.list_of(path)

    def list_of(self, path: Path = GUEST) -> p.DomainList:
        self.flush()
        lists = [payload for head, payload, to in self.out if head.type is PacketType.DOMAIN_LIST and to == path]
        return p.DomainList.decode(lists[-1])

    def check_in(self, path: Path = GUEST, **changes: Any) -> None:
        check_in = self.request(path).check_in
        fields = {name: getattr(check_in, name) for name in p.CheckIn.__annotations__}
        self.say(p.DomainListRequest(**{**fields, **changes}), path, source=self.list_of(path).local_id)


class IceHand(Hand):
    """An ice-server; the hand is all domains and clients."""

    def __init__(self, keys: dict[str, str] | None = None, *, limits: Config | None = None) -> None:
        config = {
            "keys": keys,
            "limits": whole(attrs.evolve(IceLimits(), **(limits or {}))),
            "delays": whole(IceDelays()),
        }
        super().__init__("overte.ice_server", config)
